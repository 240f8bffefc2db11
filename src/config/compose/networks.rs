//! Networks: the one that is the workspace's own, and what is said of others.
//!
//! Compose makes a network for the project, and services may be in others,
//! instead or beside. Here all services of a workspace are in one network.

use std::{collections::HashSet, rc::Rc};

use super::{
    draft::{Item, Table},
    language::HAS_FURTHER_NETWORKS,
    project::Project,
    tree::{Map, Node, Place, Value},
};

impl Project<'_> {
    /// The workspace's network: the default one, or the only one that anybody is in.
    pub(super) fn network(&mut self) {
        let mut used: Vec<Rc<str>> = Vec::new();
        let mut seen = HashSet::new();
        for (_, node) in self.services() {
            let Some(map) = node.as_map() else { continue };
            for network in memberships(map) {
                if seen.insert(Rc::clone(&network)) {
                    used.push(network);
                }
            }
        }
        if let [only] = used.as_slice() {
            self.main_network = Rc::clone(only);
        }
        let main = Rc::clone(&self.main_network);
        let declared = self.root.get("networks").map(Rc::clone);
        let networks = declared.as_ref().and_then(|node| node.as_map());
        if let (Some(node), None) = (&declared, networks) {
            self.wrong("networks", node, "a mapping of networks");
        }
        let own = networks.and_then(|map| map.get(&main)).map(Rc::clone);
        let mut table = self.network_table(&main, own.as_ref().and_then(|node| node.as_map()));
        if table.get("external").is_some() {
            table.0.retain(|line| line.key != "external");
            self.remarks.changed(
                own.map_or(
                    Place {
                        file: 0,
                        line: 1,
                        column: 1,
                    },
                    |node| node.place,
                ),
                &format!("networks.{main}"),
                "Cosmos makes the network where it is not there, and shares it where it is",
                "nothing to do",
            );
        } else {
            table.0.insert(
                0,
                super::draft::Line {
                    key: "isolated".to_owned(),
                    item: Item::Boolean(true),
                    comment: Some("A network of its own, as Compose makes one. Without it: one that all workspaces share.".to_owned()),
                },
            );
        }
        self.draft.add("network", None, table);
        for entry in networks.map(Map::iter).into_iter().flatten() {
            if entry.key == main || !seen.contains(&entry.key) {
                continue;
            }
            self.further_network(&entry.key, entry.place, &entry.node);
        }
    }

    fn further_network(&mut self, name: &str, place: Place, node: &Node) {
        if HAS_FURTHER_NETWORKS {
            let table = self.network_table(name, node.as_map());
            self.draft.add("networks", Some(name), table);
            return;
        }
        let is_external = node.as_map().is_some_and(is_external);
        let (why, instead) = match is_external {
            true => (
                "the services are in the network of the workspace, and in no other",
                "what they reach there, lead to by `ports` or a route",
            ),
            false => (
                "all services are in one network, so those that were kept apart reach each other",
                "put what must be apart into a workspace of its own",
            ),
        };
        self.remarks
            .left_out(place, &format!("networks.{name}"), why, instead);
    }

    /// What is said of a network, as `[network]` has it.
    fn network_table(&mut self, name: &str, map: Option<&Map>) -> Table {
        let mut table = Table::default();
        let Some(map) = map else { return table };
        let key = format!("networks.{name}");
        if is_external(map) {
            let nested = map.get("external").and_then(|node| node.as_map());
            let name = map
                .text("name")
                .or_else(|| nested?.text("name"))
                .unwrap_or(name);
            table.push("name", name);
            table.push("external", true);
            return table;
        }
        for entry in map.iter().filter(|entry| !entry.node.is_null()) {
            let key = format!("{key}.{}", entry.key);
            match &*entry.key {
                "name" | "driver" => {
                    if let Some(text) = self.text(&key, &entry.node) {
                        table.push(&entry.key, text);
                    }
                }
                "internal" | "enable_ipv6" => {
                    let name = match &*entry.key {
                        "internal" => "internal",
                        _ => "ipv6",
                    };
                    match self.boolean(&key, &entry.node) {
                        Some(Item::Boolean(false)) | None => {}
                        Some(item) => table.push(name, item),
                    }
                }
                "driver_opts" => {
                    let options = self.table_of_pairs(&key, &entry.node);
                    table.push("options", options);
                }
                "labels" => {
                    let labels = self.table_of_pairs(&key, &entry.node);
                    table.push("labels", labels);
                }
                "ipam" => self.addresses(&key, &entry.node, &mut table),
                "external" => {}
                name if name.starts_with("x-") => {}
                _ => self.remarks.left_out(
                    entry.place,
                    &key,
                    "a network has no such key here",
                    "look whether it is needed",
                ),
            }
        }
        table
    }

    fn addresses(&mut self, key: &str, node: &Node, table: &mut Table) {
        let Some(ipam) = node.as_map() else {
            self.wrong(key, node, "a mapping");
            return;
        };
        for entry in ipam.iter() {
            let key = format!("{key}.{}", entry.key);
            let is_default = &*entry.key == "driver" && entry.node.as_text() == Some("default");
            if &*entry.key == "config" || is_default {
                continue;
            }
            self.remarks.left_out(
                entry.place,
                &key,
                "the engine gives the addresses",
                "nothing to do",
            );
        }
        let Some(config) = ipam.get("config") else {
            return;
        };
        let key = format!("{key}.config");
        for (index, (key, item)) in self.items(&key, config).into_iter().enumerate() {
            let entries = item.as_map().map(Map::iter).into_iter().flatten();
            for entry in entries {
                let key = format!("{key}.{}", entry.key);
                match &*entry.key {
                    "subnet" | "gateway" if index == 0 => {
                        if let Some(text) = self.text(&key, &entry.node) {
                            table.push(&entry.key, text);
                        }
                    }
                    _ => self.remarks.left_out(
                        entry.place,
                        &key,
                        "a network has one subnet and its gateway",
                        "nothing to do, unless the addresses are in use elsewhere",
                    ),
                }
            }
        }
    }

    /// What a service says of its networks.
    pub(super) fn service_networks(&mut self, table: &mut Table, path: &str, service: &Map) {
        if let Some(mode) = service.get("network_mode") {
            self.network_mode(&format!("{path}.network_mode"), mode);
        }
        let Some(node) = service.get("networks") else {
            return;
        };
        let key = format!("{path}.networks");
        if node.as_text().is_some() {
            self.wrong(&key, node, "a list of networks, or a mapping");
            return;
        }
        let mut further = Vec::new();
        let mut is_in_main = false;
        for network in memberships(service) {
            if network == self.main_network {
                is_in_main = true;
            } else {
                further.push(network.to_string());
            }
        }
        if !HAS_FURTHER_NETWORKS {
            // Said of each network, once.
            is_in_main = true;
        } else if !further.is_empty() {
            table.push("networks", further);
        }
        if !is_in_main {
            self.remarks.changed(
                node.place,
                &key,
                "it is in the network of the workspace, too, as every service",
                "put what must be apart into a workspace of its own",
            );
        }
        let Value::Map(map) = &node.value else { return };
        for network in map.iter() {
            let details = network.node.as_map().map(Map::iter).into_iter().flatten();
            for detail in details.filter(|detail| !detail.node.is_null()) {
                let (why, instead) = match &*detail.key {
                    "aliases" => (
                        "a service has one name",
                        "write its own name where something connects to it",
                    ),
                    "ipv4_address" | "ipv6_address" => (
                        "the engine gives the addresses",
                        "connect to it by its name",
                    ),
                    _ => ("there is nothing like it", "look whether it is needed"),
                };
                let key = format!("{key}.{}.{}", network.key, detail.key);
                self.remarks.left_out(detail.place, &key, why, instead);
            }
        }
    }

    fn network_mode(&mut self, key: &str, mode: &Node) {
        let text = self.text(key, mode).unwrap_or_default();
        let instead = match text.as_str() {
            "host" => {
                "publish what it listens on with `ports`; reach the host as extra_hosts = [\"host.docker.internal:host-gateway\"]"
            }
            "none" => "`[network] internal = true` has no way out",
            "bridge" => "nothing to do: it is in the network of the workspace",
            _ => "connect to the other by its name",
        };
        self.remarks.left_out(
            mode.place,
            key,
            format!("every container is in the network of the workspace, so not `{text}`"),
            instead,
        );
    }
}

/// The networks that a service is in.
fn memberships(service: &Map) -> Vec<Rc<str>> {
    if service.get("network_mode").is_some() {
        return Vec::new();
    }
    let Some(node) = service.get("networks") else {
        return vec![Rc::from("default")];
    };
    match &node.value {
        Value::Map(map) => map.iter().map(|entry| Rc::clone(&entry.key)).collect(),
        Value::List(items) => {
            let names = items.iter().filter_map(|item| item.as_text());
            names.map(Rc::from).collect()
        }
        _ => Vec::new(),
    }
}

fn is_external(network: &Map) -> bool {
    network
        .get("external")
        .is_some_and(|node| node.is_true() || node.as_map().is_some())
}
