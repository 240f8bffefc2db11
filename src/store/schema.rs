//! The tables, and how an older file becomes a newer one.

use rusqlite::Connection;

use super::StoreError;

/// One entry a version, in order. An entry that was released is never edited.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE workspaces (
        key      TEXT PRIMARY KEY,
        folder   TEXT NOT NULL,
        revision INTEGER NOT NULL,
        form     TEXT NOT NULL
    ) STRICT;
    CREATE TABLE revisions (
        workspace TEXT NOT NULL,
        revision  INTEGER NOT NULL,
        at        INTEGER NOT NULL,
        form      TEXT NOT NULL,
        PRIMARY KEY (workspace, revision)
    ) STRICT;
    CREATE TABLE overrides (
        workspace TEXT NOT NULL,
        service   TEXT NOT NULL,
        form      TEXT NOT NULL,
        PRIMARY KEY (workspace, service)
    ) STRICT;
    CREATE TABLE runs (
        workspace   TEXT NOT NULL,
        command     TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        at          INTEGER NOT NULL,
        PRIMARY KEY (workspace, command)
    ) STRICT;
    CREATE TABLE applied (
        workspace   TEXT NOT NULL,
        fingerprint TEXT NOT NULL,
        form        TEXT NOT NULL,
        PRIMARY KEY (workspace, fingerprint)
    ) STRICT;
    CREATE TABLE host_ports (
        container TEXT NOT NULL,
        inside    INTEGER NOT NULL,
        host      INTEGER NOT NULL,
        PRIMARY KEY (container, inside)
    ) STRICT;
    CREATE TABLE adhoc (
        id TEXT PRIMARY KEY,
        at INTEGER NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE orders (
        workspace TEXT NOT NULL,
        service   TEXT NOT NULL,
        aspect    TEXT NOT NULL,
        form      TEXT NOT NULL,
        PRIMARY KEY (workspace, service, aspect)
    ) STRICT;
    INSERT INTO orders SELECT workspace, service, 'run', form FROM overrides;
    DROP TABLE overrides;
    ALTER TABLE orders RENAME TO overrides;
",
    "
    ALTER TABLE revisions ADD COLUMN state TEXT NOT NULL DEFAULT 'begun';
    ALTER TABLE revisions ADD COLUMN images TEXT NOT NULL DEFAULT '{}';
    CREATE TABLE history (
        workspace TEXT NOT NULL,
        number    INTEGER NOT NULL,
        revision  INTEGER NOT NULL,
        at        INTEGER NOT NULL,
        state     TEXT NOT NULL,
        form      TEXT NOT NULL,
        PRIMARY KEY (workspace, number)
    ) STRICT;
    CREATE TABLE fallbacks (
        workspace TEXT NOT NULL,
        service   TEXT NOT NULL,
        form      TEXT NOT NULL,
        PRIMARY KEY (workspace, service)
    ) STRICT;
",
    "
    CREATE TABLE leaving (
        workspace    TEXT PRIMARY KEY,
        with_volumes INTEGER NOT NULL
    ) STRICT;
",
    "
    CREATE TABLE files (
        workspace TEXT NOT NULL,
        container TEXT NOT NULL,
        target    TEXT NOT NULL,
        digest    TEXT NOT NULL,
        PRIMARY KEY (workspace, container, target)
    ) STRICT;
",
    "
    CREATE TABLE making (
        generation TEXT PRIMARY KEY,
        at         INTEGER NOT NULL
    ) STRICT;
",
];

/// Sets the durability, then brings the tables up to date.
pub(super) fn prepare(connection: &Connection) -> Result<(), StoreError> {
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(std::time::Duration::from_secs(5))?;

    let known = i64::try_from(MIGRATIONS.len()).unwrap_or(i64::MAX);
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if found > known {
        return Err(StoreError::Newer { found, known });
    }
    for (version, migration) in (1..).zip(MIGRATIONS) {
        if version > found {
            connection.execute_batch(&format!(
                "BEGIN IMMEDIATE; {migration} PRAGMA user_version = {version}; COMMIT;"
            ))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        store::Store,
        workspace::{Aspect, ContainerId, Hold, ServiceName},
    };

    /// What a state of each version held, in its own tables.
    fn fill(connection: &Connection, version: usize) {
        let order = r#"{"hold":"stopped","by":"cosmos stop web","at":1}"#;
        let overrides = match version {
            1 => format!("INSERT INTO overrides VALUES ('shop', 'web', '{order}')"),
            _ => format!("INSERT INTO overrides VALUES ('shop', 'web', 'run', '{order}')"),
        };
        let revisions = match version {
            1 | 2 => "INSERT INTO revisions VALUES ('shop', 7, 1, 'wanted')",
            _ => "INSERT INTO revisions VALUES ('shop', 7, 1, 'wanted', 'good', '{}')",
        };
        connection
            .execute_batch(&format!(
                "{overrides}; {revisions};
                 INSERT INTO workspaces VALUES ('shop', '/src/shop', 7, 'wanted');
                 INSERT INTO runs VALUES ('shop', 'migrate', 'v1:00', 1);
                 INSERT INTO applied VALUES ('shop', 'v1:00', '{{}}');
                 INSERT INTO host_ports VALUES ('shop-web-1', 80, 8000);
                 INSERT INTO adhoc VALUES ('aa', 1);"
            ))
            .unwrap();
    }

    #[test]
    fn a_state_of_every_earlier_version_opens_and_keeps_what_it_held() {
        for version in 1..=MIGRATIONS.len() {
            let folder = tempfile::tempdir().unwrap();
            let connection = Connection::open(folder.path().join("state.db")).unwrap();
            for migration in &MIGRATIONS[..version] {
                connection.execute_batch(migration).unwrap();
            }
            fill(&connection, version);
            let now = i64::try_from(version).unwrap();
            connection.pragma_update(None, "user_version", now).unwrap();
            drop(connection);

            let store = Store::open(folder.path()).unwrap();
            let web = ServiceName::new("web").unwrap();
            let held = store.overrides("shop").unwrap();
            assert_eq!(
                held.hold(&web, Aspect::Run),
                Some(Hold::Stopped),
                "{version}"
            );
            let memory = store.memory("shop").unwrap();
            assert_eq!(memory.completed.len(), 1, "{version}");
            assert_eq!(
                memory.host_ports.values().collect::<Vec<_>>(),
                [&8000],
                "{version}"
            );
            assert!(store.owns_adhoc(&ContainerId::new("aa").unwrap()).unwrap());
            let (folder, form, at): (String, String, i64) = store
                .lock()
                .query_row(
                    "SELECT folder, workspaces.form, at FROM workspaces
                     JOIN revisions USING (revision) WHERE workspaces.form = revisions.form",
                    [],
                    |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                )
                .unwrap();
            assert_eq!(
                (folder.as_str(), form.as_str(), at),
                ("/src/shop", "wanted", 1)
            );
        }
    }

    #[test]
    fn an_order_of_the_first_version_is_still_in_force() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(MIGRATIONS[0]).unwrap();
        connection
            .execute_batch(
                "INSERT INTO overrides VALUES ('shop', 'web', '{}'); PRAGMA user_version = 1;",
            )
            .unwrap();
        prepare(&connection).unwrap();
        let aspect: String = connection
            .query_row("SELECT aspect FROM overrides", [], |row| row.get(0))
            .unwrap();
        assert_eq!(aspect, "run");
    }
}
