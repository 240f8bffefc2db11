//! Files that are put into a container before it starts: configs and secrets.

use std::collections::{BTreeMap, HashMap};

use super::{Resolver, each};
use crate::{
    config::{
        decode::join,
        forms::{ConfigForm, Items, ModeForm, SecretForm},
        read::{Unreadable, read},
        schema::ContainerKeys,
    },
    workspace::{File, Reload, SECRETS, SecretFile, SecretName},
};

impl Resolver<'_, '_> {
    pub(super) fn config_files(
        &mut self,
        path: &str,
        who: &str,
        keys: ContainerKeys<'_>,
    ) -> Vec<File> {
        let mut files = Vec::new();
        let mut targets: HashMap<String, String> = HashMap::new();
        for (source, form) in keys.configs {
            let path = join(path, source);
            let (target, long) = match form {
                ConfigForm::Target(target) => (target, None),
                ConfigForm::Table(table) => (&table.target, Some(table)),
            };
            let host = self.host_path(source);
            self.files.push(host.clone());
            self.danger_of_reading(&path, &host);
            let content = match read(&host) {
                Ok(content) => content,
                Err(why) => {
                    self.report
                        .key_error(
                            &path,
                            format!(
                                "{who} has `{source}` in `configs`, which cannot be read: {why}"
                            ),
                        )
                        .help(match why {
                            Unreadable::Folder => "name each file, or mount the folder",
                            Unreadable::TooLarge => "mount it instead",
                            _ => why.help(),
                        });
                    continue;
                }
            };
            self.check_absolute(&path, target);
            if let Some(other) = targets.insert(target.clone(), path.clone()) {
                self.report
                    .clash(
                        &path,
                        format!("{who} puts two files at `{target}`"),
                        &other,
                        "the first",
                    )
                    .help("put one of them elsewhere");
            }
            let reload = long.and_then(|long| long.reload.as_ref());
            files.push(File {
                target: target.clone(),
                content,
                mode: self
                    .mode(&path, long.and_then(|long| long.mode.as_ref()))
                    .unwrap_or(0o644),
                uid: long.and_then(|long| long.uid).unwrap_or(0),
                gid: long.and_then(|long| long.gid).unwrap_or(0),
                reload: reload.and_then(|how| self.reload(&format!("{path}.reload"), how)),
            });
        }
        files
    }

    /// How a process comes to read a file again. A command has no process that
    /// would: another content is another run of it.
    fn reload(&mut self, path: &str, how: &str) -> Option<Reload> {
        if path.starts_with("commands.") {
            self.report
                .warning(path, "`reload` does nothing in a command")
                .help("a command that `up` runs is run again when its files change");
            return None;
        }
        match how {
            Reload::RESTART => Some(Reload::Restart),
            signal => self.signal(path, signal).map(Reload::Signal),
        }
    }

    /// The permission bits of the file at `path`, if they were written.
    fn mode(&mut self, path: &str, mode: Option<&ModeForm>) -> Option<u32> {
        let bits = match mode? {
            ModeForm::Bits(bits) => Some(*bits),
            ModeForm::Text(text) => u32::from_str_radix(text, 8).ok(),
        };
        let bits = bits.filter(|bits| *bits <= 0o7777);
        if bits.is_none() {
            self.report
                .error(&format!("{path}.mode"), "not permission bits")
                .help("octal digits, like \"0644\" or 0o644");
        }
        bits
    }

    /// The secrets of a container, each with the file it becomes.
    pub(super) fn secrets(
        &mut self,
        path: &str,
        who: &str,
        forms: &Items<SecretForm>,
    ) -> BTreeMap<SecretName, SecretFile> {
        let mut secrets = BTreeMap::new();
        // Where each name and each file was written; a file's path starts with `/`, no name does.
        let mut places: HashMap<String, String> = HashMap::new();
        for (path, form) in each(path, forms) {
            let (name, long) = match form {
                SecretForm::Name(name) => (name, None),
                SecretForm::Table(table) => (&table.name, Some(table)),
            };
            let name_path = match long {
                None => path.clone(),
                Some(_) => format!("{path}.name"),
            };
            let Some((name, hash)) = self.secret(&name_path, who, name) else {
                continue;
            };
            let mut file = SecretFile::plain(hash);
            if let Some(long) = long {
                file.target = long.target.as_deref().map(in_secrets);
                file.mode = self.mode(&path, long.mode.as_ref()).unwrap_or(file.mode);
                file.uid = long.uid.unwrap_or(file.uid);
                file.gid = long.gid.unwrap_or(file.gid);
            }
            let target = file.path(&name);
            let first = places.get(name.as_str()).or_else(|| places.get(&target));
            if let Some(first) = first {
                self.report
                    .clash(
                        &path,
                        format!("{who} has two secrets called `{name}` or at `{target}`"),
                        first,
                        "the first",
                    )
                    .help("each secret has one file of its own: keep one of them");
                continue;
            }
            places.insert(name.to_string(), path.clone());
            places.insert(target, path);
            secrets.insert(name, file);
        }
        secrets
    }
}

/// A relative target is in the folder of the secrets.
fn in_secrets(target: &str) -> String {
    match target.starts_with('/') {
        true => target.to_owned(),
        false => format!("{SECRETS}/{target}"),
    }
}
