//! What was put into each container of the files that can be changed in it.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::{Connection, params};

use super::{Store, StoreError};
use crate::workspace::ContainerId;

impl Store {
    /// Keeps what was just put into a container: digests by place. What was put
    /// elsewhere in it before stays known.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn remember_files(
        &self,
        key: &str,
        container: &ContainerId,
        digests: &BTreeMap<String, String>,
    ) -> Result<(), StoreError> {
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for (target, digest) in digests {
                transaction.execute(
                    "INSERT INTO files (workspace, container, target, digest) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (workspace, container, target) DO UPDATE SET digest = ?4",
                    params![key, container.as_str(), target, digest],
                )?;
            }
            transaction.commit()?;
            Ok(())
        })
    }

    /// Forgets what was put into containers of a workspace that are not there any more.
    ///
    /// # Errors
    /// If it cannot be read or written.
    pub fn forget_files_but_of(
        &self,
        key: &str,
        there: &BTreeSet<&ContainerId>,
    ) -> Result<(), StoreError> {
        let known = of_workspace(&self.lock(), key)?;
        let gone: Vec<_> = known.keys().filter(|id| !there.contains(id)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        self.write(|connection| {
            let transaction = connection.transaction()?;
            for id in gone {
                transaction.execute(
                    "DELETE FROM files WHERE workspace = ?1 AND container = ?2",
                    params![key, id.as_str()],
                )?;
            }
            transaction.commit()?;
            Ok(())
        })
    }
}

/// Digests by place, by container.
pub(super) fn of_workspace(
    connection: &Connection,
    key: &str,
) -> Result<BTreeMap<ContainerId, BTreeMap<String, String>>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT container, target, digest FROM files WHERE workspace = ?1")?;
    let mut files: BTreeMap<ContainerId, BTreeMap<String, String>> = BTreeMap::new();
    for row in statement.query_map([key], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    })? {
        let (container, target, digest) = row?;
        if let Ok(container) = ContainerId::new(container) {
            files.entry(container).or_default().insert(target, digest);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> ContainerId {
        ContainerId::new(text).unwrap()
    }

    fn digests(of: &[(&str, &str)]) -> BTreeMap<String, String> {
        let owned = |(target, digest): &(&str, &str)| ((*target).to_owned(), (*digest).to_owned());
        of.iter().map(owned).collect()
    }

    #[test]
    fn what_is_put_into_a_container_later_is_known_beside_what_was_there() {
        let store = Store::in_memory().unwrap();
        let first = digests(&[("/a", "1"), ("/b", "1")]);
        store.remember_files("shop", &id("one"), &first).unwrap();
        let later = digests(&[("/b", "2")]);
        store.remember_files("shop", &id("one"), &later).unwrap();
        let known = store.memory("shop").unwrap().files;
        assert_eq!(known[&id("one")], digests(&[("/a", "1"), ("/b", "2")]));
        assert!(store.memory("blog").unwrap().files.is_empty());
    }

    #[test]
    fn containers_that_are_gone_are_forgotten() {
        let store = Store::in_memory().unwrap();
        for one in ["one", "two"] {
            let files = digests(&[("/a", "1")]);
            store.remember_files("shop", &id(one), &files).unwrap();
        }
        let two = id("two");
        store
            .forget_files_but_of("shop", &BTreeSet::from([&two]))
            .unwrap();
        let known = store.memory("shop").unwrap().files;
        assert_eq!(known.into_keys().collect::<Vec<_>>(), [two]);
    }
}
