//! Ad-hoc containers that are being made: the intent, before there is an id.
//!
//! The engine gives the id, so a server that is killed between the engine's work
//! and ours would leave a container that nobody owns. The word written down here
//! before is the container's generation, by which it is found again.

use rusqlite::params;

use super::{Store, StoreError, now_millis};
use crate::workspace::ContainerId;

impl Store {
    /// Keeps that an ad-hoc container of this generation is about to be made.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn intend_adhoc(&self, generation: &str) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO making (generation, at) VALUES (?1, ?2)",
                params![generation, now_millis()],
            )?;
            Ok(())
        })
    }

    /// Keeps that it was made, and is ours under this id from now on.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn made_adhoc(&self, generation: &str, id: &ContainerId) -> Result<(), StoreError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "INSERT OR REPLACE INTO adhoc (id, at) VALUES (?1, ?2)",
                params![id.as_str(), now_millis()],
            )?;
            transaction.execute("DELETE FROM making WHERE generation = ?1", [generation])?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Forgets an intent of which nothing came, or nothing is left.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn forget_making(&self, generation: &str) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute("DELETE FROM making WHERE generation = ?1", [generation])?;
            Ok(())
        })
    }

    /// The generations of containers that may have been made and are nobody's yet.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn making(&self) -> Result<Vec<String>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare("SELECT generation FROM making ORDER BY at")?;
        let generations = statement.query_map([], |row| row.get(0))?;
        Ok(generations.collect::<Result<_, _>>()?)
    }
}
