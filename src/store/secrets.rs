//! The secrets that healing needs after a reboot: one 0600 file, and nowhere else.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{StoreError, may_block};
use crate::workspace::SecretName;

/// The file with every workspace's secrets.
pub struct Secrets {
    path: PathBuf,
    /// Held from reading to writing: workspaces share the file, and each has a
    /// turn of its own only.
    turn: Mutex<()>,
}

impl Secrets {
    pub(super) fn in_folder(folder: &Path) -> Self {
        Self {
            path: folder.join("secrets.json"),
            turn: Mutex::default(),
        }
    }

    /// The secrets of a workspace.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
    pub fn of(&self, key: &str) -> Result<BTreeMap<SecretName, Vec<u8>>, StoreError> {
        let mut all = self.read()?;
        Ok(all
            .remove(key)
            .unwrap_or_default()
            .into_iter()
            .filter_map(|(name, content)| Some((name, STANDARD.decode(content).ok()?)))
            .collect())
    }

    /// Replaces the secrets of a workspace; an empty map forgets them.
    ///
    /// The file is written beside the old one and renamed over it, so that a
    /// crash leaves one of the two whole.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn replace(
        &self,
        key: &str,
        secrets: &BTreeMap<SecretName, Vec<u8>>,
    ) -> Result<(), StoreError> {
        may_block(|| self.replace_now(key, secrets))
    }

    fn replace_now(
        &self,
        key: &str,
        secrets: &BTreeMap<SecretName, Vec<u8>>,
    ) -> Result<(), StoreError> {
        // Whoever panicked with the turn wrote nothing: the rename comes last.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = self.read()?;
        let encoded: BTreeMap<_, _> = secrets
            .iter()
            .map(|(name, content)| (name.clone(), STANDARD.encode(content)))
            .collect();
        if all
            .get(key)
            .map_or(encoded.is_empty(), |held| *held == encoded)
        {
            return Ok(());
        }
        if encoded.is_empty() {
            all.remove(key);
        } else {
            all.insert(key.to_owned(), encoded);
        }
        self.write(&all).map_err(|source| StoreError::File {
            path: self.path.clone(),
            source,
        })
    }

    fn read(&self) -> Result<BTreeMap<String, BTreeMap<SecretName, String>>, StoreError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
            Err(source) => {
                return Err(StoreError::File {
                    path: self.path.clone(),
                    source,
                });
            }
        };
        serde_json::from_slice(&text).map_err(|source| StoreError::Unreadable {
            what: "file of secrets",
            source,
        })
    }

    fn write(&self, all: &BTreeMap<String, BTreeMap<SecretName, String>>) -> io::Result<()> {
        let beside = self.path.with_extension("json.new");
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(&serde_json::to_vec(all)?)?;
        file.sync_all()?;
        fs::rename(&beside, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn secrets_are_kept_in_one_file_that_only_its_owner_reads() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::in_folder(folder.path());
        let key = SecretName::new("stripe_key").unwrap();
        let wanted = BTreeMap::from([(key, b"\x00sk".to_vec())]);
        secrets.replace("shop", &wanted).unwrap();
        assert_eq!(secrets.of("shop").unwrap(), wanted);
        let mode = fs::metadata(folder.path().join("secrets.json"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn workspaces_that_write_at_once_lose_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::in_folder(folder.path());
        let key = SecretName::new("key").unwrap();
        let workspaces: Vec<_> = (0..8).map(|number| format!("shop-{number}")).collect();
        std::thread::scope(|scope| {
            for workspace in &workspaces {
                let wanted = BTreeMap::from([(key.clone(), workspace.as_bytes().to_vec())]);
                let secrets = &secrets;
                scope.spawn(move || secrets.replace(workspace, &wanted).unwrap());
            }
        });
        for workspace in &workspaces {
            assert_eq!(
                secrets.of(workspace).unwrap().get(&key),
                Some(&workspace.as_bytes().to_vec())
            );
        }
    }
}
