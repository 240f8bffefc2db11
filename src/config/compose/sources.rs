//! What is read from outside: `environment` and `env_file`, `secrets` and `configs`.

use std::{collections::HashSet, rc::Rc};

use super::{
    draft::{Item, Table},
    project::{MissingKind, Project},
    tree::{Map, Node, Value},
};
use crate::workspace::SecretName;

/// Where secrets are.
const SECRETS: &str = "/run/secrets/";

/// What a file in a container may be given, beside its place.
const OWNERS: [&str; 3] = ["uid", "gid", "mode"];

impl Project<'_> {
    /// Environment variables.
    pub(super) fn environment(&mut self, table: &mut Table, path: &str, node: &Node) {
        let key = format!("{path}.environment");
        let mut env = Table::default();
        for pair in self.pairs(&key, node) {
            let is_name = !pair.name.is_empty()
                && !pair.name.contains(['\0', '$', '='])
                && !pair.name.contains(char::is_whitespace);
            if !is_name {
                self.remarks.left_out(
                    pair.place,
                    &format!("{key}.{}", pair.name),
                    "it is no name of a variable",
                    "mend it there and convert again, or add it by hand",
                );
                continue;
            }
            let value = match pair.value {
                Some(value) => value,
                None => {
                    self.remarks.changed(
                        pair.place,
                        &format!("{key}.{}", pair.name),
                        "taken from the shell or .env; where it is not set, it is empty and not absent",
                        "write a default: \"${NAME:-value}\"",
                    );
                    format!("${{{}:-}}", pair.name)
                }
            };
            env.push(&pair.name, value);
        }
        if !env.is_empty() {
            table.push("env", env);
        }
    }

    /// Files with environment variables.
    pub(super) fn env_files(&mut self, table: &mut Table, path: &str, node: &Node) {
        let key = format!("{path}.env_file");
        let is_list = matches!(node.value, Value::List(_));
        let mut files = Vec::new();
        for (index, item) in node.one_or_many().into_iter().enumerate() {
            let key = match is_list {
                true => format!("{key}[{index}]"),
                false => key.clone(),
            };
            let map = item.as_map();
            let file = map.map_or(Some(item), |map| map.get("path").map(|node| &**node));
            let Some(file) = file.and_then(|file| self.text(&key, file)) else {
                continue;
            };
            let is_optional = map
                .and_then(|map| map.get("required"))
                .is_some_and(|node| node.as_text().and_then(super::tree::boolean) == Some(false));
            let written = self.path(&key, item.place, &file);
            if is_optional && !self.files.is_there(&written) {
                self.remarks.left_out(
                    item.place,
                    &key,
                    format!("{written} is not there and need not be; here it would have to"),
                    "add it to env_file once it is there",
                );
                continue;
            }
            if let Some(format) = map.and_then(|map| map.get("format")) {
                self.remarks.left_out(
                    format.place,
                    &format!("{key}.format"),
                    "each file is NAME=value, with quotes as in a shell",
                    "nothing to do, unless a value has quotes that belong to it",
                );
            }
            self.need(MissingKind::File, item.place, &key, &written);
            files.push(
                written
                    .strip_prefix("./")
                    .map_or(written.clone(), str::to_owned),
            );
        }
        match files.as_slice() {
            [] => {}
            [only] => table.push("env_file", only.as_str()),
            _ => table.push("env_file", files),
        }
    }

    /// The secrets a service is given.
    pub(super) fn service_secrets(&mut self, table: &mut Table, path: &str, node: &Node) {
        let mut secrets = Vec::new();
        let mut seen = HashSet::new();
        for (key, item) in self.items(&format!("{path}.secrets"), node) {
            let Some((source, map)) = self.used(&key, item) else {
                continue;
            };
            if !self.is_declared("secrets", &source) || !seen.insert(source.clone()) {
                let why = format!("`{source}` is not in `secrets`, or was named before");
                self.remarks
                    .left_out(item.place, &key, why, "declare it, with a file");
                continue;
            }
            let name = secret_name(&source);
            let mut long = Table::default();
            long.push("name", name.as_str());
            let target = map.and_then(|map| map.get("target"));
            let own = format!("{SECRETS}{name}");
            if let Some(node) = target
                && let Some(target) = self.text(&format!("{key}.target"), node)
                && target != name
                && target != own
            {
                long.push("target", target);
            }
            self.owners(&key, map, &mut long);
            secrets.push(match long.0.len() {
                1 => Item::from(name),
                _ => long.into(),
            });
        }
        if !secrets.is_empty() {
            table.push("secrets", secrets);
        }
    }

    /// The config files a service is given.
    pub(super) fn service_configs(&mut self, table: &mut Table, path: &str, node: &Node) {
        let mut configs = Table::default();
        let mut seen = HashSet::new();
        for (key, item) in self.items(&format!("{path}.configs"), node) {
            let Some((source, map)) = self.used(&key, item) else {
                continue;
            };
            let Some(file) = self.config_file(&key, item, &source) else {
                continue;
            };
            if !seen.insert(file.clone()) {
                self.remarks.left_out(
                    item.place,
                    &key,
                    format!("{file} is put into the container already, at another place"),
                    "copy the file, and name the copy",
                );
                continue;
            }
            let target = map.and_then(|map| map.get("target"));
            let target = match target.and_then(|node| self.text(&format!("{key}.target"), node)) {
                Some(target) if target.starts_with('/') => target,
                Some(target) => format!("/{target}"),
                None => format!("/{source}"),
            };
            let mut long = Table::default();
            long.push("target", target.as_str());
            self.mode(
                &format!("{key}.mode"),
                map.and_then(|map| map.get("mode")),
                &mut long,
            );
            let owner = map.map(|map| {
                Map(map
                    .iter()
                    .filter(|entry| &*entry.key != "mode")
                    .cloned()
                    .collect())
            });
            self.owners(&key, owner.as_ref(), &mut long);
            match long.0.len() {
                1 => configs.push(&file, target),
                _ => configs.push(&file, long),
            }
        }
        if !configs.is_empty() {
            table.push("configs", configs);
        }
    }

    /// The name of what is used, and what else is said of it.
    fn used<'n>(&mut self, key: &str, item: &'n Node) -> Option<(String, Option<&'n Map>)> {
        match &item.value {
            Value::Map(map) => match map.text("source") {
                Some(source) => Some((source.to_owned(), Some(map))),
                None => {
                    self.wrong(&format!("{key}.source"), item, "a name");
                    None
                }
            },
            _ => Some((self.text(key, item)?, None)),
        }
    }

    fn owners(&mut self, key: &str, map: Option<&Map>, table: &mut Table) {
        let entries = map.map(Map::iter).into_iter().flatten();
        for entry in entries.filter(|entry| OWNERS.contains(&&*entry.key)) {
            let key = format!("{key}.{}", entry.key);
            if &*entry.key == "mode" {
                self.mode(&key, Some(&entry.node), table);
            } else if let Some(number) = self.integer(&key, &entry.node, 0..=i64::from(u32::MAX)) {
                table.push(&entry.key, number);
            }
        }
    }

    /// Permission bits, which YAML has as `0440`, `0o440` or, in quotes, either.
    fn mode(&mut self, key: &str, node: Option<&Rc<Node>>, table: &mut Table) {
        let Some(node) = node else { return };
        let text = node.as_text().unwrap_or_default();
        let digits = text.trim_start_matches("0o");
        match i64::from_str_radix(digits, 8) {
            Ok(bits) if (0..=0o7777).contains(&bits) && text.starts_with('0') => {
                table.push("mode", Item::Mode(bits));
            }
            _ => self.wrong(key, node, "permission bits like 0440"),
        }
    }

    /// The file of a config that is declared.
    fn config_file(&mut self, key: &str, item: &Node, name: &str) -> Option<String> {
        let config = self.declared_node("configs", name).map(Rc::clone);
        let config_key = format!("configs.{name}");
        let Some(map) = config.as_ref().and_then(|node| node.as_map()) else {
            let why = format!("`{name}` is not in `configs`");
            self.remarks
                .left_out(item.place, key, why, "declare it, with a file");
            return None;
        };
        let Some(file) = map.get("file") else {
            let (what, node) = ["content", "environment", "external"]
                .iter()
                .find_map(|what| Some((*what, map.get(what)?)))?;
            self.remarks.left_out(
                node.place,
                &format!("{config_key}.{what}"),
                "a config is a file",
                "write it to one, and name that in `configs` of the service",
            );
            return None;
        };
        let text = file.as_text().unwrap_or_default();
        if text.is_empty() || text.contains('$') {
            self.remarks.left_out(
                file.place,
                &format!("{config_key}.file"),
                "a file that a variable names cannot be in `configs`",
                "write its path, or mount it",
            );
            return None;
        }
        let path = self.path(&config_key, file.place, text);
        self.need(
            MissingKind::File,
            file.place,
            &format!("{config_key}.file"),
            &path,
        );
        Some(path)
    }

    /// Where secrets come from.
    pub(super) fn secrets(&mut self) {
        let Some(node) = self.root.get("secrets").map(Rc::clone) else {
            return;
        };
        let Some(secrets) = node.as_map() else {
            self.wrong("secrets", &node, "a mapping of secrets");
            return;
        };
        for entry in secrets.iter() {
            let key = format!("secrets.{}", entry.key);
            let empty = Map::default();
            let map = entry.node.as_map().unwrap_or(&empty);
            let name = secret_name(&entry.key);
            if name != *entry.key {
                self.remarks.changed(
                    entry.place,
                    &key,
                    format!(
                        "`{}` is no name of a file, so it is `{name}` here",
                        entry.key
                    ),
                    "read it under that name",
                );
            }
            let mut table = Table::default();
            if let Some(node) = map.get("file") {
                if let Some(file) = self.text(&format!("{key}.file"), node) {
                    let path = self.path(&key, node.place, &file);
                    self.need(MissingKind::File, node.place, &format!("{key}.file"), &path);
                    table.push("file", path);
                }
            } else if let Some(node) = map.get("environment")
                && let Some(variable) = self.text(&format!("{key}.environment"), node)
            {
                table.push("env", variable);
            }
            if table.is_empty() {
                let variable = variable_of(&name);
                self.remarks.left_to_do(
                    entry.place,
                    &key,
                    "it is kept outside of the Compose file, where Cosmos cannot look",
                    &format!("set {variable}, or write a command that prints it: command = [\"pass\", \"{name}\"]"),
                );
                table.push("env", variable);
            }
            for inside in map.iter() {
                let known = ["file", "environment", "external", "name"].contains(&&*inside.key);
                if !known && !inside.key.starts_with("x-") {
                    self.remarks.left_out(
                        inside.place,
                        &format!("{key}.{}", inside.key),
                        "a secret is a file, a variable or what a command prints",
                        "look whether it is needed",
                    );
                }
            }
            self.draft.add("secrets", Some(&name), table);
        }
    }
}

/// The name of a secret here.
fn secret_name(name: &str) -> String {
    if SecretName::new(name).is_ok() {
        return name.to_owned();
    }
    crate::workspace::name::label_from(name).unwrap_or_else(|| "secret".to_owned())
}

/// `db-password` as a variable: `DB_PASSWORD`.
fn variable_of(name: &str) -> String {
    let letters = name.chars().map(|letter| match letter {
        letter if letter.is_ascii_alphanumeric() => letter.to_ascii_uppercase(),
        _ => '_',
    });
    letters.collect()
}
