//! What was done, and what was wanted before: entries and revisions, newest first.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension as _, params};
use serde::{Serialize, de::DeserializeOwned};

use super::{Store, StoreError, from_json, now_millis, to_json};
use crate::workspace::{Fallback, Fallbacks, ImageRef, ServiceName, Workspace};

/// Entries of a workspace that are kept: weeks of a busy one.
const KEPT_ENTRIES: u64 = 1000;

/// Revisions of a workspace that are kept: each is a whole config.
const KEPT_REVISIONS: u64 = 200;

/// One thing that was done to a workspace, as it is stored: its form is the caller's.
#[derive(Debug, Clone, PartialEq)]
pub struct Stored<T> {
    /// Which, from 1 in each workspace.
    pub number: u64,
    /// The newest revision when it began; 0 if none was.
    pub revision: u64,
    /// When it began, in milliseconds since the epoch.
    pub at: u64,
    /// How it stands.
    pub state: EntryState,
    /// What it was.
    pub form: T,
}

/// How an entry of the history stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum EntryState {
    /// It is being done.
    Underway,
    /// All of it was done.
    Done,
    /// Some of it failed.
    Failed,
    /// Something more urgent was to be done first.
    GaveWay,
    /// The proxy ended in the middle of it; what was left is done by a later one.
    Interrupted,
}

impl EntryState {
    const ALL: [Self; 5] = [
        Self::Underway,
        Self::Done,
        Self::Failed,
        Self::GaveWay,
        Self::Interrupted,
    ];

    /// The word for it in the state, and for people.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Underway => "underway",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::GaveWay => "gave way",
            Self::Interrupted => "interrupted",
        }
    }

    fn from_word(word: &str) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|state| state.as_str() == word)
            .unwrap_or(Self::Interrupted)
    }
}

/// What became of a revision.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RevisionState {
    /// It was ordered; whether it came up is not known.
    Begun,
    /// All of it came up.
    Good,
    /// Something of it did not come up.
    Failed,
}

impl RevisionState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Begun => "begun",
            Self::Good => "good",
            Self::Failed => "failed",
        }
    }

    fn from_word(word: &str) -> Self {
        match word {
            "good" => Self::Good,
            "failed" => Self::Failed,
            _ => Self::Begun,
        }
    }
}

/// One applied workspace.
#[derive(Debug, Clone, PartialEq)]
pub struct Revision {
    /// Which, from 1 in each workspace.
    pub revision: u64,
    /// When it was ordered first, in milliseconds since the epoch.
    pub at: u64,
    /// What became of it.
    pub state: RevisionState,
    /// What was wanted.
    pub workspace: Workspace,
    /// What its image references stood for when it came up: reference to id.
    pub images: BTreeMap<ImageRef, String>,
}

impl Store {
    /// Records that something begins, before its first effect; its number.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn begin_entry(&self, key: &str, form: &impl Serialize) -> Result<u64, StoreError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            let number: u64 = transaction.query_row(
                "INSERT INTO history (workspace, number, revision, at, state, form)
                 SELECT ?1, COALESCE((SELECT MAX(number) FROM history WHERE workspace = ?1), 0) + 1,
                        COALESCE((SELECT revision FROM workspaces WHERE key = ?1), 0), ?2, ?3, ?4
                 RETURNING number",
                params![
                    key,
                    now_millis(),
                    EntryState::Underway.as_str(),
                    to_json(form)
                ],
                |row| row.get(0),
            )?;
            transaction.execute(
                "DELETE FROM history WHERE workspace = ?1 AND number <= ?2",
                params![key, number.saturating_sub(KEPT_ENTRIES)],
            )?;
            transaction.commit()?;
            Ok(number)
        })
    }

    /// Records how something ended.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn end_entry(
        &self,
        key: &str,
        number: u64,
        state: EntryState,
        form: &impl Serialize,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "UPDATE history SET state = ?3, form = ?4 WHERE workspace = ?1 AND number = ?2",
                params![key, number, state.as_str(), to_json(form)],
            )?;
            Ok(())
        })
    }

    /// What was underway when the last server ended was interrupted.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn interrupt_entries(&self) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "UPDATE history SET state = ?1 WHERE state = ?2",
                [
                    EntryState::Interrupted.as_str(),
                    EntryState::Underway.as_str(),
                ],
            )?;
            Ok(())
        })
    }

    /// The newest entries of a workspace, newest first. One that an older Cosmos
    /// wrote in a form that is not understood any more is left out.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn entries<T: DeserializeOwned>(
        &self,
        key: &str,
        limit: u64,
    ) -> Result<Vec<Stored<T>>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT number, revision, at, state, form FROM history
             WHERE workspace = ?1 ORDER BY number DESC LIMIT ?2",
        )?;
        let rows = statement.query_map(params![key, limit], |row| {
            let texts: (String, String) = (row.get(3)?, row.get(4)?);
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, texts))
        })?;
        let mut entries = Vec::new();
        for row in rows {
            let (number, revision, at, (state, form)) = row?;
            if let Ok(form) = serde_json::from_str(&form) {
                entries.push(Stored {
                    number,
                    revision,
                    at,
                    state: EntryState::from_word(&state),
                    form,
                });
            }
        }
        Ok(entries)
    }

    /// The revisions of a workspace, newest first.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn revisions(&self, key: &str) -> Result<Vec<Revision>, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT revision, at, state, form, images FROM revisions
             WHERE workspace = ?1 ORDER BY revision DESC",
        )?;
        let rows = statement.query_map([key], |row| {
            let texts: (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((row.get(0)?, row.get(1)?, texts))
        })?;
        let mut revisions = Vec::new();
        for row in rows {
            let (revision, at, (state, form, images)) = row?;
            // A form of an older Cosmos that cannot be read cannot be gone back to.
            if let Ok(workspace) = serde_json::from_str(&form) {
                revisions.push(Revision {
                    revision,
                    at,
                    state: RevisionState::from_word(&state),
                    workspace,
                    images: from_json("list of images", &images)?,
                });
            }
        }
        Ok(revisions)
    }

    /// The number of the revision of a workspace that is up.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn newest_revision(&self, key: &str) -> Result<Option<u64>, StoreError> {
        Ok(self
            .lock()
            .query_row(
                "SELECT revision FROM workspaces WHERE key = ?1",
                [key],
                |row| row.get(0),
            )
            .optional()?)
    }

    /// Records what became of the newest revision of a workspace, and what its
    /// images were.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn judge_revision(
        &self,
        key: &str,
        state: RevisionState,
        images: &BTreeMap<ImageRef, String>,
    ) -> Result<(), StoreError> {
        let images = to_json(images);
        let is_known = self
            .lock()
            .query_row(
                "SELECT 1 FROM revisions WHERE workspace = ?1 AND state = ?2 AND images = ?3
                 AND revision = (SELECT revision FROM workspaces WHERE key = ?1)",
                params![key, state.as_str(), images],
                |_| Ok(()),
            )
            .optional()?
            .is_some();
        if is_known {
            return Ok(());
        }
        self.write(|connection| {
            let transaction = connection.transaction()?;
            transaction.execute(
                "UPDATE revisions SET state = ?2, images = ?3 WHERE workspace = ?1
                 AND revision = (SELECT revision FROM workspaces WHERE key = ?1)",
                params![key, state.as_str(), images],
            )?;
            transaction.execute(
                "DELETE FROM revisions WHERE workspace = ?1
                 AND revision <= (SELECT revision FROM workspaces WHERE key = ?1) - ?2",
                params![key, KEPT_REVISIONS],
            )?;
            transaction.commit()?;
            Ok(())
        })
    }

    /// Records that a service is kept as it was, because its new form did not come up.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_fallback(
        &self,
        key: &str,
        service: &ServiceName,
        fallback: &Fallback,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO fallbacks (workspace, service, form) VALUES (?1, ?2, ?3)",
                params![key, service.as_str(), to_json(fallback)],
            )?;
            Ok(())
        })
    }

    /// Forgets that services were kept as they were, so that their new forms are tried.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn forget_fallbacks<'a>(
        &self,
        key: &str,
        services: impl Iterator<Item = &'a ServiceName>,
    ) -> Result<(), StoreError> {
        let mut services = services.peekable();
        if services.peek().is_none() {
            return Ok(());
        }
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for service in services {
                transaction.execute(
                    "DELETE FROM fallbacks WHERE workspace = ?1 AND service = ?2",
                    [key, service.as_str()],
                )?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// The services of a workspace that are kept as they were.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn fallbacks(&self, key: &str) -> Result<Fallbacks, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT service, form FROM fallbacks WHERE workspace = ?1 ORDER BY service",
        )?;
        let rows: Vec<(String, String)> = statement
            .query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut fallbacks = Vec::new();
        for (service, form) in rows {
            if let Ok(service) = ServiceName::new(service) {
                fallbacks.push((service, from_json("fallback", &form)?));
            }
        }
        Ok(Fallbacks(fallbacks))
    }
}
