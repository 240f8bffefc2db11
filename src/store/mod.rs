//! What survives a restart: one SQLite file in the state volume.
//!
//! Intent is committed before its first effect, so that a server killed at any
//! moment can look at the engine and go on. WAL with `synchronous=FULL`: an
//! answered order is on the disk.
//!
//! Calls are short and block. Whatever may wait for the disk tells the runtime so
//! by itself: other tasks go on meanwhile.

mod backup;
mod files;
#[cfg(test)]
mod fuse;
mod history;
mod leaving;
mod making;
mod schema;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError, TryLockError},
    time::{SystemTime, UNIX_EPOCH},
};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Serialize, de::DeserializeOwned};
use tokio::{
    runtime::{Handle, RuntimeFlavor},
    task::block_in_place,
};

use crate::workspace::{
    Asked, Aspect, CommandName, Container, ContainerId, ContainerName, Fingerprint, Identity,
    Memory, Override, Overrides, ServiceName, Workspace,
};

pub use history::{EntryState, Revision, RevisionState, Stored};
pub use leaving::Leaving;
pub use secrets::Secrets;

/// The host port of a container that had one, which somebody else has now.
const GIVEN_UP: u16 = 0;

/// The store of one installation.
pub struct Store {
    connection: Mutex<Connection>,
    secrets: Secrets,
    #[cfg(test)]
    pub(crate) fuse: fuse::Fuse,
}

/// Why the store could not do something.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// SQLite said no.
    #[error("the state could not be read or written")]
    Database(#[from] rusqlite::Error),
    /// A file beside it could not be read or written.
    #[error("the state file {path} could not be read or written")]
    File {
        /// Which.
        path: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// What was stored is no longer understood.
    #[error("the state holds a {what} that cannot be read")]
    Unreadable {
        /// What it should have been.
        what: &'static str,
        /// Why not.
        source: serde_json::Error,
    },
    /// A file that should be a copy of a state is none, or not whole.
    #[error("this is no state of Cosmos, or not all of one")]
    NoState,
    /// The file was made by a newer Cosmos.
    #[error("the state was written by a newer Cosmos (schema {found}, this one knows {known})")]
    Newer {
        /// In the file.
        found: i64,
        /// The newest that this program knows.
        known: i64,
    },
}

impl StoreError {
    /// Whether the disk or the volume is full.
    pub fn is_full(&self) -> bool {
        match self {
            Self::Database(rusqlite::Error::SqliteFailure(error, _)) => {
                error.code == rusqlite::ErrorCode::DiskFull
            }
            Self::File { source, .. } => source.kind() == std::io::ErrorKind::StorageFull,
            _ => false,
        }
    }
}

/// One workspace as it was last ordered.
#[derive(Debug, Clone, PartialEq)]
pub struct Declared {
    /// What was ordered.
    pub workspace: Workspace,
    /// Which order it was, from 1.
    pub revision: u64,
}

impl Store {
    /// Opens the state in a folder, and makes or migrates it where needed.
    ///
    /// # Errors
    /// If the folder cannot be written or the file is of a newer Cosmos.
    pub fn open(folder: &Path) -> Result<Self, StoreError> {
        let connection = Connection::open(folder.join("state.db"))?;
        schema::prepare(&connection)?;
        Self::clear_passing(folder);
        Ok(Self {
            connection: Mutex::new(connection),
            secrets: Secrets::in_folder(folder),
            #[cfg(test)]
            fuse: fuse::Fuse::default(),
        })
    }

    /// An empty store in memory, for tests. It has no folder, so it keeps no secrets.
    ///
    /// # Errors
    /// If SQLite cannot be started.
    pub fn in_memory() -> Result<Self, StoreError> {
        let connection = Connection::open_in_memory()?;
        schema::prepare(&connection)?;
        Ok(Self {
            connection: Mutex::new(connection),
            secrets: Secrets::in_folder(Path::new("/nonexistent")),
            #[cfg(test)]
            fuse: fuse::Fuse::default(),
        })
    }

    /// The secrets' file, in the same folder.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    // -- workspaces

    /// Records an order as the newest revision; returns its number. Whoever was to
    /// go stays.
    ///
    /// The same order again is the same revision.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn declare(&self, workspace: &Workspace) -> Result<u64, StoreError> {
        self.declare_and(workspace, false)
    }

    /// The same, and every order about the workspace is forgotten with it: both, or
    /// neither.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn declare_and_release(&self, workspace: &Workspace) -> Result<u64, StoreError> {
        self.declare_and(workspace, true)
    }

    fn declare_and(&self, workspace: &Workspace, releases: bool) -> Result<u64, StoreError> {
        let key = workspace.identity.key();
        let same = self
            .declared(&key)?
            .filter(|declared| declared.workspace == *workspace);
        if let Some(declared) = &same
            && !releases
            && self.leaving(&key)?.is_none()
        {
            return Ok(declared.revision);
        }
        self.write(|connection| {
            let transaction = connection.transaction()?;
            let revision = match same {
                Some(declared) => declared.revision,
                None => new_revision(&transaction, &key, workspace)?,
            };
            transaction.execute("DELETE FROM leaving WHERE workspace = ?1", [&key])?;
            if releases {
                transaction.execute("DELETE FROM overrides WHERE workspace = ?1", [&key])?;
            }
            transaction.commit()?;
            Ok(revision)
        })
    }

    /// The workspace of that key, if it is up.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn declared(&self, key: &str) -> Result<Option<Declared>, StoreError> {
        let row = self
            .lock()
            .query_row(
                "SELECT form, revision FROM workspaces WHERE key = ?1",
                [key],
                |row| Ok((row.get::<_, String>(0)?, row.get(1)?)),
            )
            .optional()?;
        row.map(|(form, revision)| {
            Ok(Declared {
                workspace: from_json("workspace", &form)?,
                revision,
            })
        })
        .transpose()
    }

    /// Every workspace that is up, by key.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn all_declared(&self) -> Result<Vec<Declared>, StoreError> {
        let rows: Vec<(String, u64)> = {
            let connection = self.lock();
            let mut statement =
                connection.prepare_cached("SELECT form, revision FROM workspaces ORDER BY key")?;
            statement
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?
        };
        rows.into_iter()
            .map(|(form, revision)| {
                Ok(Declared {
                    workspace: from_json("workspace", &form)?,
                    revision,
                })
            })
            .collect()
    }

    /// Forgets that a workspace is up, with its overrides and one-shot results.
    /// Its history and its sticky ports stay.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn take_down(&self, identity: &Identity) -> Result<(), StoreError> {
        let key = identity.key();
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for table in [
                "workspaces WHERE key",
                "overrides WHERE workspace",
                "runs WHERE workspace",
                "applied WHERE workspace",
                "fallbacks WHERE workspace",
                "leaving WHERE workspace",
                "files WHERE workspace",
            ] {
                transaction.execute(&format!("DELETE FROM {table} = ?1"), [&key])?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    // -- overrides

    /// Records an order about a service, in place of the one before it about the
    /// same [`Aspect`].
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn set_override(
        &self,
        key: &str,
        service: &ServiceName,
        order: &Override,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO overrides (workspace, service, aspect, form) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (workspace, service, aspect) DO UPDATE SET form = ?4",
                params![
                    key,
                    service.as_str(),
                    order.hold.aspect().as_str(),
                    to_json(order)
                ],
            )?;
            Ok(())
        })
    }

    /// Forgets the order about one aspect of a service; whether there was one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn release(
        &self,
        key: &str,
        service: &ServiceName,
        aspect: Aspect,
    ) -> Result<bool, StoreError> {
        self.write(|connection| {
            let released = connection.execute(
                "DELETE FROM overrides WHERE workspace = ?1 AND service = ?2 AND aspect = ?3",
                params![key, service.as_str(), aspect.as_str()],
            )?;
            Ok(released > 0)
        })
    }

    /// Forgets every order about a service; whether there was one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn release_service(&self, key: &str, service: &ServiceName) -> Result<bool, StoreError> {
        self.write(|connection| {
            let released = connection.execute(
                "DELETE FROM overrides WHERE workspace = ?1 AND service = ?2",
                params![key, service.as_str()],
            )?;
            Ok(released > 0)
        })
    }

    /// The orders in force for a workspace.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn overrides(&self, key: &str) -> Result<Overrides, StoreError> {
        let connection = self.lock();
        let mut statement = connection.prepare_cached(
            "SELECT service, form FROM overrides WHERE workspace = ?1 ORDER BY service, aspect",
        )?;
        let rows: Vec<(String, String)> = statement
            .query_map([key], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<_, _>>()?;
        let mut overrides = Vec::new();
        for (service, form) in rows {
            if let Ok(service) = ServiceName::new(service) {
                overrides.push((service, from_json("override", &form)?));
            }
        }
        Ok(Overrides(overrides))
    }

    // -- memory for the planner

    /// What the planner needs to know of the past of one workspace.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn memory(&self, key: &str) -> Result<Memory, StoreError> {
        let connection = self.lock();
        let mut completed = BTreeMap::new();
        let mut statement = connection
            .prepare_cached("SELECT command, fingerprint FROM runs WHERE workspace = ?1")?;
        for row in statement.query_map([key], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })? {
            let (command, fingerprint) = row?;
            if let Ok(command) = CommandName::new(command) {
                completed.insert(command, Fingerprint::from_label(&fingerprint));
            }
        }
        let (mut host_ports, mut given_up) = (BTreeMap::new(), BTreeSet::new());
        let mut statement =
            connection.prepare_cached("SELECT container, inside, host FROM host_ports")?;
        for row in statement.query_map([], |row| {
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
        })? {
            let (container, inside, host) = row?;
            let Ok(container) = ContainerName::new(container) else {
                continue;
            };
            match host {
                GIVEN_UP => _ = given_up.insert(container),
                host => _ = host_ports.insert((container, inside), host),
            }
        }
        let mut applied = BTreeMap::new();
        let mut statement = connection
            .prepare_cached("SELECT fingerprint, form FROM applied WHERE workspace = ?1")?;
        for row in statement.query_map([key], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })? {
            let (fingerprint, form) = row?;
            // A form of an older Cosmos that cannot be read only costs words in a reason.
            if let Ok(container) = serde_json::from_str(&form) {
                applied.insert(Fingerprint::from_label(&fingerprint), container);
            }
        }
        let files = files::of_workspace(&connection, key)?;
        Ok(Memory {
            completed,
            host_ports,
            given_up,
            applied,
            asked: Asked::default(),
            files,
        })
    }

    /// Keeps what a fingerprint stands for, before a container with it is made.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn remember_applied(
        &self,
        key: &str,
        forms: &[(&Fingerprint, &Container)],
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for (fingerprint, container) in forms {
                transaction.execute(
                "INSERT OR IGNORE INTO applied (workspace, fingerprint, form) VALUES (?1, ?2, ?3)",
                params![key, fingerprint.as_str(), to_json(container)],
            )?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Forgets what no fingerprint of these stands for: each edit adds one.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn retain_applied(
        &self,
        key: &str,
        in_use: &BTreeSet<Fingerprint>,
    ) -> Result<(), StoreError> {
        let in_use: Vec<_> = in_use.iter().map(Fingerprint::as_str).collect();
        self.write(|connection| {
            connection.execute(
                "DELETE FROM applied WHERE workspace = ?1
             AND fingerprint NOT IN (SELECT value FROM json_each(?2))",
                params![key, to_json(&in_use)],
            )?;
            Ok(())
        })
    }

    /// Keeps that a command ran to its end with 0.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn remember_run(
        &self,
        key: &str,
        command: &CommandName,
        run: &Fingerprint,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT INTO runs (workspace, command, fingerprint, at) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (workspace, command) DO UPDATE SET fingerprint = ?3, at = ?4",
                params![key, command.as_str(), run.as_str(), now_millis()],
            )?;
            Ok(())
        })
    }

    /// Forgets that commands ran to their end.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn forget_runs(
        &self,
        key: &str,
        commands: &BTreeSet<CommandName>,
    ) -> Result<(), StoreError> {
        if commands.is_empty() {
            return Ok(());
        }
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for command in commands {
                transaction.execute(
                    "DELETE FROM runs WHERE workspace = ?1 AND command = ?2",
                    params![key, command.as_str()],
                )?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Keeps the host ports that the engine chose for containers.
    ///
    /// # Errors
    /// If they cannot be written.
    pub fn remember_host_ports(
        &self,
        ports: &[(ContainerName, u16, u16)],
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for (container, inside, host) in ports {
                transaction.execute(
                    "INSERT INTO host_ports (container, inside, host) VALUES (?1, ?2, ?3)
                 ON CONFLICT (container, inside) DO UPDATE SET host = ?3",
                    params![container.as_str(), inside, host],
                )?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Gives up a host port that a container was made with, because somebody else has it
    /// now: of these ports inside, for the one that it is kept for. If it is kept for none
    /// of them, another one was kept since, and all are given up. The next that they get
    /// are kept instead.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn give_up_host_port(
        &self,
        container: &ContainerName,
        host: u16,
        inside: &[u16],
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            let given_up = transaction.execute(
                "UPDATE host_ports SET host = ?3 WHERE container = ?1 AND host = ?2",
                params![container.as_str(), host, GIVEN_UP],
            )?;
            for port in inside.iter().filter(|_| given_up == 0) {
                transaction.execute(
                    "INSERT INTO host_ports (container, inside, host) VALUES (?1, ?2, ?3)
                 ON CONFLICT (container, inside) DO UPDATE SET host = ?3",
                    params![container.as_str(), port, GIVEN_UP],
                )?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    // -- ad-hoc containers

    /// Keeps that an ad-hoc container is ours: its labels alone prove nothing.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn own_adhoc(&self, id: &ContainerId) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute(
                "INSERT OR REPLACE INTO adhoc (id, at) VALUES (?1, ?2)",
                params![id.as_str(), now_millis()],
            )?;
            Ok(())
        })
    }

    /// Whether an ad-hoc container is ours.
    ///
    /// # Errors
    /// If it cannot be read.
    pub fn owns_adhoc(&self, id: &ContainerId) -> Result<bool, StoreError> {
        Ok(self
            .lock()
            .query_row("SELECT 1 FROM adhoc WHERE id = ?1", [id.as_str()], |_| {
                Ok(())
            })
            .optional()?
            .is_some())
    }

    /// Forgets an ad-hoc container that is gone.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn disown_adhoc(&self, id: &ContainerId) -> Result<(), StoreError> {
        self.write(|connection| {
            connection.execute("DELETE FROM adhoc WHERE id = ?1", [id.as_str()])?;
            Ok(())
        })
    }

    /// Writes, which waits for the disk.
    fn write<T>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        #[cfg(test)]
        self.fuse.check()?;
        may_block(|| work(&mut self.lock()))
    }

    /// A panic of another thread cannot leave a half-done transaction: SQLite rolls it back.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        match self.connection.try_lock() {
            Ok(connection) => connection,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            // Somebody writes: as long as a disk takes.
            Err(TryLockError::WouldBlock) => may_block(|| {
                self.connection
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
            }),
        }
    }
}

/// Writes an order as the newest revision of a workspace; returns its number.
fn new_revision(
    transaction: &Transaction<'_>,
    key: &str,
    workspace: &Workspace,
) -> Result<u64, StoreError> {
    let revision: u64 = transaction.query_row(
        "SELECT COALESCE(MAX(revision), 0) + 1 FROM revisions WHERE workspace = ?1",
        [key],
        |row| row.get(0),
    )?;
    let form = to_json(workspace);
    transaction.execute(
        "INSERT INTO revisions (workspace, revision, at, form) VALUES (?1, ?2, ?3, ?4)",
        params![key, revision, now_millis(), form],
    )?;
    transaction.execute(
        "INSERT INTO workspaces (key, folder, revision, form) VALUES (?1, ?2, ?3, ?4)
     ON CONFLICT (key) DO UPDATE SET folder = ?2, revision = ?3, form = ?4",
        params![key, workspace.identity.folder, revision, form],
    )?;
    Ok(revision)
}

/// Does what may wait for the disk without keeping a runtime's other tasks waiting.
fn may_block<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current() {
        // A runtime of one thread, as tests have, has nobody to hand its tasks to.
        Ok(runtime) if runtime.runtime_flavor() == RuntimeFlavor::MultiThread => {
            block_in_place(work)
        }
        _ => work(),
    }
}

/// Milliseconds since the epoch, for people to read; never to decide by.
pub fn now_millis() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| {
            u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
        })
}

fn to_json(value: &impl Serialize) -> String {
    // Our types have string keys only, which is all that can fail here.
    serde_json::to_string(value).unwrap_or_default()
}

fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Unreadable { what, source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Hold;

    fn id(text: &str) -> ContainerId {
        ContainerId::new(text).unwrap()
    }

    fn ordered(hold: Hold) -> Override {
        Override {
            hold,
            by: "cosmos stop web".to_owned(),
            who: None,
            at: 1,
            until: None,
            why: None,
        }
    }

    #[test]
    fn a_reopened_store_has_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let web = ServiceName::new("web").unwrap();
        {
            let store = Store::open(folder.path()).unwrap();
            store
                .set_override("shop", &web, &ordered(Hold::Stopped))
                .unwrap();
            store.own_adhoc(&id("aa")).unwrap();
        }
        let store = Store::open(folder.path()).unwrap();
        assert_eq!(
            store.overrides("shop").unwrap().0,
            [(web, ordered(Hold::Stopped))]
        );
        assert!(store.owns_adhoc(&id("aa")).unwrap());
    }

    #[test]
    fn a_release_forgets_one_override_and_says_so() {
        let store = Store::in_memory().unwrap();
        let web = ServiceName::new("web").unwrap();
        store
            .set_override("shop", &web, &ordered(Hold::Stopped))
            .unwrap();
        assert!(store.release("shop", &web, Aspect::Run).unwrap());
        assert!(!store.release("shop", &web, Aspect::Run).unwrap());
    }

    #[test]
    fn a_stop_and_its_release_keep_the_number_of_replicas() {
        let store = Store::in_memory().unwrap();
        let web = ServiceName::new("web").unwrap();
        let replicas = Hold::Replicas(3);
        store
            .set_override("shop", &web, &ordered(replicas))
            .unwrap();
        store
            .set_override("shop", &web, &ordered(Hold::Stopped))
            .unwrap();
        let held = store.overrides("shop").unwrap();
        assert_eq!(held.hold(&web, Aspect::Run), Some(Hold::Stopped));
        assert_eq!(held.hold(&web, Aspect::Replicas), Some(replicas));

        store.release("shop", &web, Aspect::Run).unwrap();
        let held = store.overrides("shop").unwrap();
        assert_eq!(held.hold(&web, Aspect::Run), None);
        assert_eq!(held.hold(&web, Aspect::Replicas), Some(replicas));
    }

    #[test]
    fn a_state_of_a_newer_cosmos_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        Store::open(folder.path())
            .unwrap()
            .lock()
            .pragma_update(None, "user_version", 999)
            .unwrap();
        assert!(matches!(
            Store::open(folder.path()),
            Err(StoreError::Newer { found: 999, .. })
        ));
    }
}
