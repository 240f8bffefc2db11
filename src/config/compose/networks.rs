//! Networks: the one that is the workspace's own, and those beside it.
//!
//! Compose makes a network for the project, and services may be in others,
//! instead or beside. Here all services of a workspace are in its own network, and
//! others are beside it: so its own is the one that all are in, if there is one.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use super::{
    draft::{Item, Table},
    project::Project,
    tree::{Map, Node, Value},
};

impl Project<'_> {
    /// The workspace's network, and those beside it that some service is in.
    pub(super) fn network(&mut self) {
        let declared = self.root.get("networks").map(Rc::clone);
        let networks = declared.as_ref().and_then(|node| node.as_map());
        if let (Some(node), None) = (&declared, networks) {
            self.wrong("networks", node, "a mapping of networks");
        }
        let empty = Map::default();
        let networks = networks.unwrap_or(&empty);
        let used = self.choose_main();
        let main = Rc::clone(&self.main_network);
        let own = networks.get(&main).and_then(|node| node.as_map());
        let mut table = Table::default();
        table.push("isolated", true);
        table.comment(
            "isolated",
            "A network of its own, as Compose makes one. Without it: one that all workspaces share.",
        );
        self.fill_network(&main, own, &mut table);
        self.draft.add("network", None, table);
        for entry in networks.iter() {
            if entry.key == main || !used.contains(&entry.key) {
                continue;
            }
            self.further_network(&entry.key, &entry.node);
        }
    }

    /// Chooses the network that all services are in, if there is one; all that any is in.
    fn choose_main(&mut self) -> HashSet<Rc<str>> {
        let mut count: HashMap<Rc<str>, usize> = HashMap::new();
        let mut order = Vec::new();
        let mut services = 0;
        for (_, node) in self.services() {
            let Some(map) = node.as_map() else { continue };
            if map.get("network_mode").is_some() {
                continue;
            }
            services += 1;
            for network in memberships(map) {
                let count = count.entry(Rc::clone(&network)).or_insert_with(|| {
                    order.push(network);
                    0
                });
                *count += 1;
            }
        }
        let is_ours = |name: &str| !self.is_external_network(name);
        let of_all = order
            .iter()
            .find(|name| count.get(*name) == Some(&services) && is_ours(name));
        if let Some(of_all) = of_all {
            self.main_network = Rc::clone(of_all);
        }
        order.into_iter().collect()
    }

    fn further_network(&mut self, name: &str, node: &Node) {
        let mut table = Table::default();
        let map = node.as_map();
        match map.filter(|map| is_external(map)) {
            Some(_) => table.push("external", true),
            None => {
                self.fill_network(name, map, &mut table);
                if table.get("name").is_some() {
                    self.remarks.changed(
                        node.place,
                        &format!("networks.{name}.name"),
                        "Cosmos names it itself, by workspace",
                        "make it beside, and declare it external = true",
                    );
                    table.0.retain(|line| line.key != "name");
                }
            }
        }
        let name = self.network_name(name);
        self.draft.add("networks", Some(&name), table);
    }

    /// What a network is called here: one of somebody else has its own name.
    fn network_name(&self, name: &str) -> String {
        let Some(map) = self
            .declared("networks", name)
            .filter(|map| is_external(map))
        else {
            return name.to_owned();
        };
        let nested = map.get("external").and_then(|node| node.as_map());
        let own = map.text("name").or_else(|| nested?.text("name"));
        own.unwrap_or(name).to_owned()
    }

    fn is_external_network(&self, name: &str) -> bool {
        self.declared("networks", name).is_some_and(is_external)
    }

    /// What is said of a network, as `[network]` has it.
    fn fill_network(&mut self, name: &str, map: Option<&Map>, table: &mut Table) {
        let Some(map) = map else { return };
        let key = format!("networks.{name}");
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
                "ipam" => self.addresses(&key, &entry.node, table),
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
        let networks = memberships(service);
        let further: Vec<String> = networks
            .iter()
            .filter(|network| **network != self.main_network)
            .map(|network| self.network_name(network))
            .collect();
        let is_in_main = further.len() < networks.len();
        if !further.is_empty() {
            table.push("networks", further);
        }
        let keeps_apart = networks
            .iter()
            .any(|network| !self.is_external_network(network));
        if !is_in_main && keeps_apart {
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
