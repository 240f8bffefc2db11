//! A copy of the whole state, and the way back from one.
//!
//! A copy is one SQLite file, taken while others write. Secrets are in a file of
//! their own, and the token too: neither is ever in a copy, which people keep in
//! places that a secret must not be in.
//!
//! A copy that is to come back is first looked at from its first page to its last
//! and brought up to date, beside the state; the state changes in one transaction.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{
    Connection, OpenFlags,
    backup::{Backup, StepResult},
};

use super::{Store, StoreError, may_block, schema};

/// The state before the last one that was brought back, beside it.
const KEPT: &str = "state.db.before-restore";

/// What a file on its way begins with: removed at the next start, if one is left.
const PASSING: &str = "passing-";

impl Store {
    /// A copy of the state as it is at this moment. The file has no name: it goes
    /// when it is closed.
    ///
    /// # Errors
    /// If it cannot be written, as on a full disk.
    pub fn copy(&self) -> Result<fs::File, StoreError> {
        let path = self.passing("backup")?;
        let copied = self.copy_to(&path).and_then(|()| {
            fs::File::open(&path).map_err(|source| StoreError::File {
                path: path.clone(),
                source,
            })
        });
        // Open is enough; what was not written is of no use.
        let _ = fs::remove_file(&path);
        copied
    }

    /// Where a copy is put that is to come back.
    ///
    /// # Errors
    /// If the state is in memory only.
    pub fn incoming(&self) -> Result<PathBuf, StoreError> {
        self.passing("restore")
    }

    /// Checks a copy in a file of its own, and brings it up to date.
    ///
    /// # Errors
    /// If it is no state, not whole, or of a newer Cosmos.
    pub fn check(copy: &Path) -> Result<(), StoreError> {
        may_block(|| {
            let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let connection = Connection::open_with_flags(copy, flags)?;
            let is_whole =
                || -> rusqlite::Result<bool> {
                    let verdict: String =
                        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
                    let version: i64 =
                        connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
                    Ok(verdict == "ok"
                        && version > 0
                        && connection.table_exists(None, "workspaces")?)
                };
            match is_whole() {
                Ok(true) => {}
                Ok(false) => return Err(StoreError::NoState),
                Err(error) if is_of_the_file(&error) => return Err(StoreError::NoState),
                Err(error) => return Err(error.into()),
            }
            schema::prepare(&connection)?;
            // One file again: what the journal holds would stay behind.
            connection.pragma_update(None, "journal_mode", "DELETE")?;
            Ok(())
        })
    }

    /// Puts a checked copy in the state's place, in one transaction; the state
    /// before it is kept beside. Ad-hoc containers stay ours, whenever they were
    /// made: nobody else would ever remove them.
    ///
    /// # Errors
    /// If it cannot be written. The state is then what it was.
    pub fn bring_back(&self, copy: &Path) -> Result<(), StoreError> {
        if let Some(folder) = self.folder() {
            let (new, kept) = (self.passing("kept")?, folder.join(KEPT));
            self.copy_to(&new)?;
            fs::rename(&new, &kept).map_err(|source| StoreError::File { path: kept, source })?;
        }
        self.write(|connection| {
            let ours: Vec<(String, i64)> = connection
                .prepare("SELECT id, at FROM adhoc")?
                .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
                .collect::<Result<_, _>>()?;
            let source = Connection::open_with_flags(copy, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            for (id, at) in ours {
                source.execute(
                    "INSERT OR IGNORE INTO adhoc (id, at) VALUES (?1, ?2)",
                    (id, at),
                )?;
            }
            // All pages at once: readers and crashes see the one or the other.
            match Backup::new(&source, connection)?.step(-1)? {
                StepResult::Done => Ok(()),
                // Nobody else has either file: it would be a mistake of ours.
                _ => Err(StoreError::File {
                    path: copy.to_owned(),
                    source: io::Error::from(io::ErrorKind::ResourceBusy),
                }),
            }
        })
    }

    /// Removes what a server that was killed left of copies on their way.
    pub(super) fn clear_passing(folder: &Path) {
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if name.to_string_lossy().starts_with(PASSING) {
                // Only space is lost if it stays.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn copy_to(&self, path: &Path) -> Result<(), StoreError> {
        // Without the journal's help a half-written one could not be told from a whole.
        let _ = fs::remove_file(path);
        self.write(|connection| {
            connection.execute("VACUUM INTO ?1", [path.to_string_lossy()])?;
            Ok(())
        })
    }

    fn passing(&self, what: &str) -> Result<PathBuf, StoreError> {
        let folder = self.folder().ok_or_else(|| StoreError::File {
            path: PathBuf::from(":memory:"),
            source: io::Error::from(io::ErrorKind::Unsupported),
        })?;
        let mut word = [0_u8; 8];
        getrandom::fill(&mut word).map_err(|error| StoreError::File {
            path: folder.clone(),
            source: io::Error::other(error.to_string()),
        })?;
        let word = u64::from_le_bytes(word);
        Ok(folder.join(format!("{PASSING}{what}-{word:016x}.db")))
    }

    /// The folder of the state; none if it is in memory.
    fn folder(&self) -> Option<PathBuf> {
        let connection = self.lock();
        let path = connection.path().filter(|path| !path.is_empty())?;
        Path::new(path).parent().map(Path::to_owned)
    }
}

/// Whether SQLite finds fault with the file, and not with the disk.
fn is_of_the_file(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode;
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt)
    )
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::workspace::{Aspect, ContainerId, Hold, Override, ServiceName};

    fn web() -> ServiceName {
        ServiceName::new("web").unwrap()
    }

    fn stopped() -> Override {
        Override {
            hold: Hold::Stopped,
            by: "cosmos stop web".to_owned(),
            ..serde_json::from_str(r#"{"hold":"stopped","by":"","at":1}"#).unwrap()
        }
    }

    /// A state with one order in it, and a copy of that in its folder.
    fn copied() -> (tempfile::TempDir, Store, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        store.set_override("shop", &web(), &stopped()).unwrap();
        let mut copy = Vec::new();
        store.copy().unwrap().read_to_end(&mut copy).unwrap();
        let file = store.incoming().unwrap();
        fs::write(&file, copy).unwrap();
        (folder, store, file)
    }

    fn is_held(store: &Store) -> bool {
        let overrides = store.overrides("shop").unwrap();
        overrides.hold(&web(), Aspect::Run) == Some(Hold::Stopped)
    }

    #[test]
    fn what_was_copied_comes_back_and_what_was_there_is_kept_beside() {
        let (folder, store, copy) = copied();
        store.release("shop", &web(), Aspect::Run).unwrap();
        let made_since = ContainerId::new("aa").unwrap();
        store.own_adhoc(&made_since).unwrap();
        Store::check(&copy).unwrap();
        store.bring_back(&copy).unwrap();
        assert!(is_held(&store));
        assert!(store.owns_adhoc(&made_since).unwrap());

        drop(store);
        assert!(is_held(&Store::open(folder.path()).unwrap()));
        let kept = folder.path().join(KEPT);
        Store::check(&kept).unwrap();
        let kept = Connection::open(kept).unwrap();
        let orders: i64 = kept
            .query_row("SELECT COUNT(*) FROM overrides", [], |row| row.get(0))
            .unwrap();
        assert_eq!(orders, 0);
    }

    #[test]
    fn a_copy_leaves_no_file() {
        let (folder, store, copy) = copied();
        fs::remove_file(copy).unwrap();
        drop(store);
        let mut left: Vec<_> = fs::read_dir(folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["state.db"]);
    }

    #[test]
    fn what_is_no_whole_state_is_refused() {
        let (folder, store, copy) = copied();
        let whole = fs::read(&copy).unwrap();
        let mut corrupt = whole.clone();
        let middle = corrupt.len() / 2;
        corrupt[middle..].fill(0xff);
        let other = folder.path().join("other.db");
        Connection::open(&other)
            .unwrap()
            .execute_batch("CREATE TABLE x (y)")
            .unwrap();
        let cut = &whole[..whole.len() / 2];
        for bytes in [
            b"{}".as_slice(),
            &[],
            cut,
            &corrupt,
            &fs::read(&other).unwrap(),
        ] {
            fs::write(&copy, bytes).unwrap();
            let verdict = Store::check(&copy);
            assert!(matches!(verdict, Err(StoreError::NoState)), "{verdict:?}");
        }
        assert!(is_held(&store));
    }

    #[test]
    fn a_copy_of_a_newer_cosmos_is_refused() {
        let (_folder, _store, copy) = copied();
        Connection::open(&copy)
            .unwrap()
            .pragma_update(None, "user_version", 999)
            .unwrap();
        let verdict = Store::check(&copy);
        assert!(
            matches!(verdict, Err(StoreError::Newer { .. })),
            "{verdict:?}"
        );
    }

    #[test]
    fn a_file_that_a_killed_server_left_on_its_way_is_removed() {
        let (folder, store, copy) = copied();
        drop(store);
        let _store = Store::open(folder.path()).unwrap();
        assert!(!copy.exists());
    }
}
