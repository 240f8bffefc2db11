//! `deploy`, the older keys for the same, and `restart`: how many, how much, and
//! what happens at the end.

use super::{
    draft::{Item, Table},
    project::Project,
    tree::{Map, Node},
    variables::{default_of, has_variable},
};

/// More replicas than Cosmos takes.
const MOST_REPLICAS: i64 = 1000;

impl Project<'_> {
    /// How many, if it is said.
    pub(super) fn replicas(&mut self, path: &str, service: &Map) -> Option<Item> {
        let deploy = service.get("deploy").and_then(|node| node.as_map());
        let replicas = deploy.and_then(|map| map.get("replicas"));
        let (key, node) = match (replicas, service.get("scale")) {
            (Some(node), _) => (format!("{path}.deploy.replicas"), node),
            (None, Some(node)) => (format!("{path}.scale"), node),
            (None, None) => return None,
        };
        if node.as_text() == Some("0") {
            self.remarks.left_out(
                node.place,
                &key,
                "a service has at least one container",
                "`cosmos stop` holds it stopped; or give it a profile",
            );
            return None;
        }
        let replicas = self.integer(&key, node, 1..=MOST_REPLICAS)?;
        (replicas != Item::Integer(1)).then_some(replicas)
    }

    /// Limits, from both of their places.
    pub(super) fn limits(&mut self, table: &mut Table, path: &str, service: &Map) {
        let deploy = service.get("deploy").and_then(|node| node.as_map());
        let resources = deploy.and_then(|map| map.get("resources"));
        let resources = resources.and_then(|node| node.as_map());
        let limits = resources.and_then(|map| map.get("limits"));
        let limits = limits.and_then(|node| node.as_map());
        let find = |new: &str, old: &str| {
            let new_place = limits.and_then(|map| {
                Some((
                    format!("{path}.deploy.resources.limits.{new}"),
                    map.get(new)?,
                ))
            });
            new_place.or_else(|| Some((format!("{path}.{old}"), service.get(old)?)))
        };
        let mut wanted = Table::default();
        if let Some((key, node)) = find("cpus", "cpus")
            && let Some(cpus) = self.cpus(&key, node)
        {
            wanted.push("cpus", cpus);
        }
        if let Some((key, node)) = find("memory", "mem_limit")
            && node.as_text() != Some("0")
            && let Some(memory) = self.size(&key, node)
        {
            wanted.push("memory", memory);
        }
        if let Some((key, node)) = find("pids", "pids_limit")
            && !matches!(node.as_text(), Some("-1" | "0"))
            && let Some(pids) = self.integer(&key, node, 1..=i64::from(u32::MAX))
        {
            wanted.push("pids", pids);
        }
        if !wanted.is_empty() {
            table.push("resources", wanted);
        }
    }

    fn cpus(&mut self, key: &str, node: &Node) -> Option<Item> {
        let text = self.filled(key, node, "a number of processors")?;
        if has_variable(&text) {
            return Some(text.into());
        }
        match text.parse::<f64>() {
            Ok(0.0) => None,
            Ok(cpus) if cpus > 0.0 && cpus <= 1e6 => Some(Item::Float(cpus)),
            _ => {
                self.wrong(key, node, "a number of processors");
                None
            }
        }
    }

    /// What is left of `deploy`.
    pub(super) fn deploy(&mut self, path: &str, node: &Node) {
        let key = format!("{path}.deploy");
        let Some(deploy) = node.as_map() else {
            self.wrong(&key, node, "a mapping");
            return;
        };
        for entry in deploy.iter().filter(|entry| !entry.node.is_null()) {
            let key = format!("{key}.{}", entry.key);
            match &*entry.key {
                "replicas" => {}
                "resources" => self.left_of_resources(&key, &entry.node),
                "restart_policy" => self.left_of_restart(&key, &entry.node),
                // What is so anyway.
                "mode" if entry.node.as_text() == Some("replicated") => {}
                name if name.starts_with("x-") => {}
                "labels" => self.remarks.left_out(
                    entry.place,
                    &key,
                    "they are of a Swarm's service, and there is none",
                    "`labels` of the service itself are carried over",
                ),
                "update_config" | "rollback_config" => self.remarks.left_out(
                    entry.place,
                    &key,
                    "Cosmos replaces one at a time, and keeps the old one where the new is not ready",
                    "update = \"start-first\" or \"stop-first\" is all there is to say",
                ),
                _ => self.remarks.left_out(
                    entry.place,
                    &key,
                    "it is for a Swarm; this is one machine",
                    "nothing to do",
                ),
            }
        }
    }

    fn left_of_resources(&mut self, key: &str, node: &Node) {
        let parts = node.as_map().map(Map::iter).into_iter().flatten();
        for part in parts.filter(|part| !part.node.is_null()) {
            let key = format!("{key}.{}", part.key);
            if &*part.key != "limits" {
                let has_devices = part
                    .node
                    .as_map()
                    .is_some_and(|map| map.get("devices").is_some());
                let instead = match has_devices {
                    true => "devices = [\"/dev/..\"], if it is one",
                    false => "a limit, in `resources`",
                };
                self.remarks
                    .left_out(part.place, &key, "nothing to do can be reserved", instead);
                continue;
            }
            let limits = part.node.as_map().map(Map::iter).into_iter().flatten();
            for limit in limits {
                if !["cpus", "memory", "pids"].contains(&&*limit.key) {
                    self.remarks.left_out(
                        limit.place,
                        &format!("{key}.{}", limit.key),
                        "the limits are of cpus, memory and pids",
                        "nothing to do",
                    );
                }
            }
        }
    }

    fn left_of_restart(&mut self, key: &str, node: &Node) {
        let parts = node.as_map().map(Map::iter).into_iter().flatten();
        for part in parts.filter(|part| &*part.key != "condition") {
            self.remarks.left_out(
                part.place,
                &format!("{key}.{}", part.key),
                "Cosmos waits 100 ms, then twice as long each time, up to 10 s",
                "nothing to do: it does not give up",
            );
        }
    }

    /// What happens when it ends.
    pub(super) fn restart(
        &mut self,
        table: &mut Table,
        path: &str,
        service: &Map,
        is_command: bool,
    ) {
        let deploy = service.get("deploy").and_then(|node| node.as_map());
        let policy = deploy.and_then(|map| map.get("restart_policy"));
        let condition = policy.and_then(|node| node.as_map()?.get("condition"));
        let (key, node) = match (service.get("restart"), condition) {
            (Some(node), _) => (format!("{path}.restart"), node),
            (None, Some(node)) => (format!("{path}.deploy.restart_policy.condition"), node),
            (None, None) => {
                if !is_command {
                    table.push("restart", "on-failure");
                    self.comment_once(
                        table,
                        "restart",
                        "Compose was told nothing, and leaves what ends. Cosmos starts again what failed.",
                    );
                }
                return;
            }
        };
        let text = match self.text(&key, node) {
            Some(text) if has_variable(&text) => self.by_default(&key, node, &text),
            Some(text) => text,
            None => return,
        };
        let (word, tries) = text.split_once(':').unwrap_or((&text, ""));
        if is_command {
            if !matches!(word, "no" | "none" | "") {
                self.remarks.left_out(
                    node.place,
                    &key,
                    "it is a command here: it runs to its end, and again at the next `cosmos up` if it failed",
                    "nothing to do",
                );
            }
            return;
        }
        match word {
            "always" | "any" => table.push("restart", "always"),
            "unless-stopped" => {
                table.push("restart", "always");
                self.comment_once(
                    table,
                    "restart",
                    "As unless-stopped was: `cosmos stop` holds it stopped.",
                );
            }
            "on-failure" => table.push("restart", "on-failure"),
            "no" | "none" | "false" => table.push("restart", "never"),
            _ => self.wrong(&key, node, "no, always, on-failure or unless-stopped"),
        }
        if !tries.is_empty() {
            self.remarks.left_out(
                node.place,
                &key,
                format!("Cosmos does not give up after {tries} tries"),
                "nothing to do: it waits longer each time, up to 10 s",
            );
        }
    }

    /// The default of `${V:-default}`: a word of Compose's cannot be one of ours by a variable.
    fn by_default(&mut self, key: &str, node: &Node, text: &str) -> String {
        let default = default_of(text).unwrap_or_default();
        let default = if default.is_empty() { "no" } else { default };
        self.remarks.changed(
            node.place,
            key,
            format!("the variable is not looked at, as its words are not Cosmos': it is as `{default}` would be"),
            "restart = \"${NAME:-always}\" takes always, on-failure or never",
        );
        default.to_owned()
    }
}
