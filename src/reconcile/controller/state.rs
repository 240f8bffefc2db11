//! The state as a whole: copied out, and brought back.

use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::{Arc, PoisonError},
};

use super::{Controller, Turn};
use crate::{
    reconcile::event::Problem,
    store::{Store, StoreError},
};

impl Controller {
    /// A copy of the state as it is at this moment.
    ///
    /// # Errors
    /// If it cannot be written, as on a full disk.
    pub fn copy_state(&self) -> Result<fs::File, Problem> {
        self.store.copy().map_err(|error| Problem::from(&error))
    }

    /// Where a copy is put that is to come back.
    ///
    /// # Errors
    /// If there is no place for it.
    pub fn incoming_state(&self) -> Result<PathBuf, Problem> {
        self.store.incoming().map_err(|error| Problem::from(&error))
    }

    /// Puts a copy in the state's place and wants what it says from then on; the
    /// keys of its workspaces. Orders that are under way are finished first.
    ///
    /// # Errors
    /// If it is no whole state, or cannot be written: then nothing changed.
    pub async fn restore_state(&self, copy: &Path) -> Result<Vec<String>, Problem> {
        Store::check(copy).map_err(|error| Problem::from(&error))?;
        let turns = self.all_turns();
        let mut taken = Vec::new();
        for turn in &turns {
            taken.push(turn.take(&self.world).await);
        }
        let restored = self.restored(copy).map_err(|error| Problem::from(&error));
        // Healing looks at what is wanted now.
        drop(taken);
        self.world.send_modify(|version| *version += 1);
        restored
    }

    fn restored(&self, copy: &Path) -> Result<Vec<String>, StoreError> {
        self.store.bring_back(copy)?;
        self.store.interrupt_entries()?;
        self.lock_desired().clear();
        let mut keys = Vec::new();
        for declared in self.store.all_declared()? {
            keys.push(declared.workspace.identity.key());
            self.desire(&declared.workspace)?;
        }
        Ok(keys)
    }

    /// The turns of all workspaces, always in one order: who takes several at once
    /// must not wait for another who does.
    fn all_turns(&self) -> Vec<Arc<Turn>> {
        let turns: HashMap<_, _> = {
            let turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.clone()
        };
        let mut turns: Vec<_> = turns.into_iter().collect();
        turns.sort_by(|(left, _), (right, _)| left.cmp(right));
        turns.into_iter().map(|(_, turn)| turn).collect()
    }
}
