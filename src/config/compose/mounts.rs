//! `volumes` of a service, `tmpfs`, and the volumes of the project.

use std::{collections::HashMap, path::Path, rc::Rc};

use super::{
    draft::{Item, Table},
    project::{MissingKind, Project},
    tree::{Map, Node, Place, Value},
    variables::split,
};

/// One mount.
struct Mount {
    /// Of a volume without a name, nothing.
    source: Option<String>,
    target: String,
    is_read_only: bool,
    place: Place,
    key: String,
}

impl Mount {
    fn written(&self) -> Item {
        let has_colon = |text: &str| split(text, ':').len() > 1;
        let source = self.source.as_deref().unwrap_or_default();
        if has_colon(source) || has_colon(&self.target) {
            let mut table = Table::default();
            if !source.is_empty() {
                table.push("source", source);
            }
            table.push("target", self.target.as_str());
            if self.is_read_only {
                table.push("read_only", true);
            }
            return table.into();
        }
        let mode = if self.is_read_only { ":ro" } else { "" };
        match &self.source {
            Some(source) => format!("{source}:{}{mode}", self.target).into(),
            None => format!("{}{mode}", self.target).into(),
        }
    }
}

/// Options of a mount that mean nothing on Linux, or nothing any more.
const WITHOUT_EFFECT: [&str; 5] = ["rw", "cached", "delegated", "consistent", "default"];

impl Project<'_> {
    /// The mounts of a service.
    pub(super) fn mounts(&mut self, table: &mut Table, path: &str, service: &Map) {
        if let Some(node) = service.get("volumes") {
            let mut mounts: Vec<Mount> = Vec::new();
            let mut at: HashMap<String, usize> = HashMap::new();
            let mut memory = Vec::new();
            for (key, item) in self.items(&format!("{path}.volumes"), node) {
                let mount = match &item.value {
                    Value::Map(map) => self.long_mount(&key, item, map, &mut memory),
                    _ => self.short_mount(&key, item),
                };
                let Some(mount) = mount else { continue };
                // The last of two at one place is the one that Compose mounts.
                let target = mount.target.trim_end_matches('/').to_owned();
                match at.get(&target).copied() {
                    None => {
                        at.insert(target, mounts.len());
                        mounts.push(mount);
                    }
                    Some(index) => {
                        let before = std::mem::replace(&mut mounts[index], mount);
                        self.remarks.left_out(
                            before.place,
                            &before.key,
                            format!("another is mounted at `{}`, further down", before.target),
                            "nothing to do: Compose mounts the last one, too",
                        );
                    }
                }
            }
            if !mounts.is_empty() {
                table.set(
                    "mounts",
                    mounts.iter().map(Mount::written).collect::<Vec<_>>(),
                );
            }
            if !memory.is_empty() {
                table.edit("tmpfs", |table| {
                    memory
                        .into_iter()
                        .for_each(|(path, options)| table.push(&path, options))
                });
            }
        }
        if let Some(node) = service.get("tmpfs") {
            let texts = self.texts(&format!("{path}.tmpfs"), node);
            let is_alone = table.get("tmpfs").is_none();
            if is_alone {
                table.set("tmpfs", texts);
            } else {
                table.edit("tmpfs", |table| {
                    for text in texts {
                        let (path, options) = text.split_once(':').unwrap_or((&text, ""));
                        table.push(path, options);
                    }
                });
            }
        }
    }

    /// `[source:]target[:options]`.
    fn short_mount(&mut self, key: &str, node: &Node) -> Option<Mount> {
        let text = self.filled(key, node, "a mount")?;
        let parts = split(&text, ':');
        let drive =
            |part: &str| part.len() == 1 && part.starts_with(|c: char| c.is_ascii_alphabetic());
        if parts.len() > 3 || (parts.len() > 1 && drive(parts[0])) {
            self.remarks.left_out(
                node.place,
                key,
                "it is no mount of Linux",
                "write source:target, with paths of Linux",
            );
            return None;
        }
        let (source, target, options) = match parts.as_slice() {
            [source, target, options] => (Some(*source), *target, *options),
            [source, target] => (Some(*source), *target, ""),
            _ => (None, text.as_str(), ""),
        };
        let mut is_read_only = false;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" => is_read_only = true,
                option if WITHOUT_EFFECT.contains(&option) => {}
                option => self.remarks.left_out(
                    node.place,
                    key,
                    format!("a mount cannot be `{option}`"),
                    match option {
                        "z" | "Z" => "`chcon -t container_file_t` the folder, where SELinux is on",
                        _ => "the mount is made without it",
                    },
                ),
            }
        }
        Some(Mount {
            source: source.and_then(|source| self.mount_source(key, node.place, source, true)),
            target: target.to_owned(),
            is_read_only,
            place: node.place,
            key: key.to_owned(),
        })
    }

    fn long_mount(
        &mut self,
        key: &str,
        node: &Node,
        map: &Map,
        memory: &mut Vec<(String, String)>,
    ) -> Option<Mount> {
        let mut text = |name: &str| {
            let node = map.get(name)?;
            self.text(&format!("{key}.{name}"), node)
        };
        let kind = text("type").unwrap_or_else(|| "volume".to_owned());
        let source = text("source");
        let Some(target) = text("target") else {
            self.wrong(&format!("{key}.target"), node, "a path in the container");
            return None;
        };
        const KNOWN: [&str; 9] = [
            "type",
            "source",
            "target",
            "read_only",
            "bind",
            "volume",
            "tmpfs",
            "consistency",
            "image",
        ];
        for entry in map.iter() {
            if !KNOWN.contains(&&*entry.key) {
                self.remarks.left_out(
                    entry.place,
                    &format!("{key}.{}", entry.key),
                    "a mount has a source, a target, and may be read-only",
                    "the mount is made without it",
                );
            }
        }
        for section in ["bind", "volume"] {
            let options = map.get(section).and_then(|node| node.as_map());
            for entry in options.map(Map::iter).into_iter().flatten() {
                if &*entry.key != "create_host_path" {
                    self.remarks.left_out(
                        entry.place,
                        &format!("{key}.{section}.{}", entry.key),
                        "a mount has a source, a target, and may be read-only",
                        "the mount is made without it",
                    );
                }
            }
        }
        let is_read_only = map.get("read_only").is_some_and(|node| node.is_true());
        match kind.as_str() {
            "tmpfs" => {
                let options = map.get("tmpfs").and_then(|node| node.as_map());
                memory.push((target, self.tmpfs_options(key, options)));
                None
            }
            "volume" | "bind" => {
                let source = source
                    .and_then(|source| self.mount_source(key, node.place, &source, kind == "bind"));
                Some(Mount {
                    source,
                    target,
                    is_read_only,
                    place: node.place,
                    key: key.to_owned(),
                })
            }
            kind => {
                self.remarks.left_out(
                    node.place,
                    key,
                    format!("there is no mount of type `{kind}`"),
                    "use a volume or a folder",
                );
                None
            }
        }
    }

    fn tmpfs_options(&mut self, key: &str, map: Option<&Map>) -> String {
        let mut options = Vec::new();
        for name in ["size", "mode"] {
            if let Some(node) = map.and_then(|map| map.get(name))
                && let Some(text) = self.text(&format!("{key}.tmpfs.{name}"), node)
            {
                // YAML writes octal as 0o1777, mount options as 1777.
                let text = text.strip_prefix("0o").map_or(text.clone(), str::to_owned);
                options.push(format!("{name}={text}"));
            }
        }
        options.join(",")
    }

    /// What is mounted, as the `cosmos.toml` has it.
    fn mount_source(
        &mut self,
        key: &str,
        place: Place,
        source: &str,
        may_be_path: bool,
    ) -> Option<String> {
        if source.is_empty() {
            return None;
        }
        if !source.starts_with(['.', '/', '~', '$']) {
            if !may_be_path || !source.contains('/') {
                return Some(self.volume_name(source));
            }
            // Long `type: bind` takes `src/app` for a path.
            return self.mount_source(key, place, &format!("./{source}"), true);
        }
        let path = self.path(key, place, source);
        // What has an ending is a file, most often. Compose would make a folder of it.
        let is_file = Path::new(source).extension().is_some() && !source.ends_with('/');
        let kind = match is_file {
            true => MissingKind::File,
            false => MissingKind::Folder,
        };
        self.need(kind, place, key, &path);
        Some(path)
    }

    /// What a volume is called here: one of somebody else has its own name.
    fn volume_name(&self, name: &str) -> String {
        let volume = self.declared("volumes", name);
        match volume {
            Some(volume) if is_external(volume) => external_name(volume).unwrap_or(name).to_owned(),
            _ => name.to_owned(),
        }
    }

    /// The volumes that need more than a name.
    pub(super) fn volumes(&mut self) {
        let Some(node) = self.root.get("volumes").map(Rc::clone) else {
            return;
        };
        let Some(volumes) = node.as_map() else {
            self.wrong("volumes", &node, "a mapping of volumes");
            return;
        };
        for entry in volumes.iter() {
            let key = format!("volumes.{}", entry.key);
            let Some(map) = entry.node.as_map() else {
                continue;
            };
            let mut table = Table::default();
            let name = self.volume_name(&entry.key);
            if is_external(map) {
                table.push("external", true);
                self.draft.add("volumes", Some(&name), table);
                continue;
            }
            for inside in map.iter().filter(|inside| !inside.node.is_null()) {
                let key = format!("{key}.{}", inside.key);
                match &*inside.key {
                    "driver" => {
                        if let Some(driver) = self.text(&key, &inside.node) {
                            table.push("driver", driver);
                        }
                    }
                    "driver_opts" => {
                        let options = self.table_of_pairs(&key, &inside.node);
                        table.push("options", options);
                    }
                    "labels" => {
                        let labels = self.table_of_pairs(&key, &inside.node);
                        table.push("labels", labels);
                    }
                    "external" => {}
                    "name" => self.remarks.left_out(
                        inside.place,
                        &key,
                        "Cosmos names volumes itself, by workspace: this one begins empty",
                        "to go on with its data, make it [volumes.THE-NAME] external = true",
                    ),
                    name if name.starts_with("x-") => {}
                    _ => self.remarks.left_out(
                        inside.place,
                        &key,
                        "a volume has a driver, options and labels",
                        "make it beside, and declare it external = true",
                    ),
                }
            }
            if !table.is_empty() {
                self.draft.add("volumes", Some(&name), table);
            }
        }
    }
}

fn is_external(volume: &Map) -> bool {
    volume
        .get("external")
        .is_some_and(|node| node.is_true() || node.as_map().is_some())
}

fn external_name(volume: &Map) -> Option<&str> {
    let inside = volume.get("external").and_then(|node| node.as_map());
    volume.text("name").or_else(|| inside?.text("name"))
}
