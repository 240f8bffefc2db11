//! Workspaces that are to go: written down before anything of them does, so that
//! a server killed half-way finishes what was ordered and does not heal it back.

use rusqlite::{OptionalExtension as _, params};

use super::{Store, StoreError};

/// A workspace that was ordered to go, and is not gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leaving {
    /// Its volumes go with it: that was asked for.
    pub with_volumes: bool,
}

impl Store {
    /// Records that a workspace is to go. The newest order counts, about its
    /// volumes, too; [`Store::declare`] takes it back.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn leave(&self, key: &str, leaving: Leaving) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO leaving (workspace, with_volumes) VALUES (?1, ?2)
             ON CONFLICT (workspace) DO UPDATE SET with_volumes = ?2",
                params![key, leaving.with_volumes],
            )?;
            Ok(())
        })
    }

    /// Whether a workspace is to go.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn leaving(&self, key: &str) -> Result<Option<Leaving>, StoreError> {
        Ok(self
            .lock()
            .query_row(
                "SELECT with_volumes FROM leaving WHERE workspace = ?1",
                [key],
                |row| {
                    Ok(Leaving {
                        with_volumes: row.get(0)?,
                    })
                },
            )
            .optional()?)
    }
}
