//! Secrets: where their values come from, and the hash that stands for them.

use std::process;

use sha2::{Digest as _, Sha256};

use super::Resolver;
use crate::{
    config::{SecretReading, decode::join, forms::Words, read::read, schema::SecretTable},
    workspace::{SecretName, fingerprint::hex},
};

impl Resolver<'_, '_> {
    /// The hash of a secret that something uses. Its value is read once.
    pub(super) fn secret(
        &mut self,
        path: &str,
        user: &str,
        name: &str,
    ) -> Option<(SecretName, String)> {
        if !self.is_written("secrets", name) {
            self.unknown_name(
                path,
                format!("{user} uses the secret `{name}`, which is not declared"),
                name,
                &["secrets"],
            );
            return None;
        }
        let secret_name = SecretName::new(name).ok()?;
        if let Some(known) = self.secret_hashes.get(name) {
            return known.clone().map(|hash| (secret_name, hash));
        }
        let table = self.given.config.secrets.get(name);
        let value = table.and_then(|table| self.secret_value(name, table));
        let hash = value.as_ref().map(|value| self.secret_hash(name, value));
        if let Some(value) = value {
            self.secrets.insert(secret_name.clone(), value);
        }
        self.secret_hashes.insert(name.to_owned(), hash.clone());
        hash.map(|hash| (secret_name, hash))
    }

    /// Bound to the workspace and the name: equal secrets cannot be seen to be equal.
    fn secret_hash(&self, name: &str, value: &[u8]) -> String {
        let mut hasher = Sha256::new();
        for part in [
            b"secret 1".as_slice(),
            self.identity.folder.as_bytes(),
            name.as_bytes(),
            value,
        ] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hex(&hasher.finalize())
    }

    fn secret_value(&mut self, name: &str, table: &SecretTable) -> Option<Vec<u8>> {
        let path = join("secrets", name);
        let is_read = match self.given.sources.secrets {
            SecretReading::All => true,
            SecretReading::NoCommands => table.command.is_none(),
            SecretReading::None => false,
        };
        if !is_read {
            return Some(Vec::new());
        }
        if let Some(variable) = &table.env {
            let value = (self.given.lookup)(variable).filter(|value| !value.is_empty());
            if value.is_none() {
                self.report
                    .error(
                        &format!("{path}.env"),
                        format!("the secret `{name}` is in `{variable}`, which is not set"),
                    )
                    .help("set it in .env or in the shell");
            }
            return value.map(String::into_bytes);
        }
        if let Some(file) = &table.file {
            let full = self.host_path(file);
            self.files.push(full.clone());
            return match read(&full) {
                Ok(value) => Some(value),
                Err(why) => {
                    self.report
                        .error(
                            &format!("{path}.file"),
                            format!("the secret `{name}` cannot be read from `{file}`: {why}"),
                        )
                        .help(why.help());
                    None
                }
            };
        }
        let command_path = format!("{path}.command");
        let words = self.words(&command_path, table.command.as_ref()?)?;
        match run(&words, self.given) {
            Ok(value) => Some(value),
            Err(why) => {
                self.report
                    .error(
                        &command_path,
                        format!("the secret `{name}` could not be had: {why}"),
                    )
                    .help("run the command by hand to see why");
                None
            }
        }
    }

    /// Checks every secret's declaration, used or not.
    pub(super) fn check_secrets(&mut self) {
        for (name, table) in &self.given.config.secrets {
            let path = join("secrets", name);
            if let Err(error) = SecretName::new(name.as_str()) {
                self.report
                    .key_error(&path, error.to_string())
                    .help("choose another, like [secrets.api_key]");
            }
            let from: Vec<&str> = [
                table.env.is_some().then_some("env"),
                table.file.is_some().then_some("file"),
                table.command.is_some().then_some("command"),
            ]
            .into_iter()
            .flatten()
            .collect();
            let is_refused = ["env", "file", "command"]
                .iter()
                .any(|key| self.was_refused("secrets", name, key));
            if let Some(file) = &table.file {
                self.danger_of_reading(&format!("{path}.file"), &self.host_path(file));
            }
            if let Some(command) = &table.command {
                let command = match command {
                    Words::Line(line) => line.clone(),
                    Words::List(words) => shell_words::join(words.to_vec()),
                };
                self.danger(
                    format!("{path}.command"),
                    format!("runs `{command}` on this machine"),
                );
            }
            match from.as_slice() {
                [] if is_refused => {}
                [_] => {}
                [] => {
                    self.report
                        .key_error(&path, format!("the secret `{name}` comes from nowhere"))
                        .help("add env = \"VARIABLE\", file = \"path\" or command = [\"..\"]");
                }
                [first, second, ..] => {
                    self.report
                        .key_error(
                            &path,
                            format!("the secret `{name}` comes from both `{first}` and `{second}`"),
                        )
                        .help("keep one");
                }
            }
        }
    }
}

/// Runs a command in the project's folder and takes what it prints, as `$(..)` does.
fn run(words: &[String], given: &super::Given<'_>) -> Result<Vec<u8>, String> {
    let Some((program, arguments)) = words.split_first() else {
        return Err("its command is empty".to_owned());
    };
    let output = process::Command::new(program)
        .args(arguments)
        .current_dir(given.folder)
        .env_clear()
        .envs(&given.sources.env)
        .stdin(process::Stdio::inherit())
        .output()
        .map_err(|error| format!("`{program}`: {}", super::super::read::plain(&error)))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        let last = stderr.lines().rev().find(|line| !line.trim().is_empty());
        return Err(match (last, output.status.code()) {
            (Some(last), _) => format!("`{program}` says: {}", last.trim()),
            (None, Some(code)) => format!("`{program}` ended with exit code {code}"),
            (None, None) => format!("`{program}` was killed"),
        });
    }
    let mut value = output.stdout;
    while value
        .last()
        .is_some_and(|byte| matches!(byte, b'\n' | b'\r'))
    {
        value.pop();
    }
    Ok(value)
}
