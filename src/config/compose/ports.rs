//! `ports`: what is published on the host.

use super::{
    draft::{Item, Table},
    project::Project,
    tree::{Map, Node, Value},
    variables::{default_of, has_variable, split},
};

/// A range of more ports than this is a mistake, or needs no publishing.
const LONGEST_RANGE: u16 = 256;

/// Of a whole file: the engine takes minutes for them.
const MOST_PORTS: usize = 1024;

/// Container ports at which something speaks HTTP most of the time.
const HTTP: [u16; 16] = [
    80, 3000, 3001, 4200, 5000, 5173, 8000, 8001, 8008, 8080, 8081, 8888, 9000, 9001, 9090, 15672,
];

/// One published port, as text that may hold variables.
struct Port {
    address: String,
    host: String,
    container: String,
    transport: String,
}

impl Port {
    /// As `cosmos.toml` has it, in its shortest form.
    fn written(&self) -> Item {
        let Self {
            address,
            host,
            container,
            transport,
        } = self;
        let tail = match transport.as_str() {
            "tcp" => container.clone(),
            transport => format!("{container}/{transport}"),
        };
        let is_loopback = address == "127.0.0.1";
        match (is_loopback, host.as_str()) {
            (true, "") => match tail.parse::<u16>() {
                Ok(number) => Item::Integer(i64::from(number)),
                Err(_) => tail.into(),
            },
            (true, host) => format!("{host}:{tail}").into(),
            (false, host) if address.contains(':') => format!("[{address}]:{host}:{tail}").into(),
            (false, host) => format!("{address}:{host}:{tail}").into(),
        }
    }
}

impl Project<'_> {
    /// The ports of a service. Without a fixed host port if it has replicas.
    pub(super) fn ports(
        &mut self,
        table: &mut Table,
        path: &str,
        service: &Map,
        has_replicas: bool,
    ) {
        let Some(node) = service.get("ports") else {
            return;
        };
        let mut ports = Vec::new();
        for (key, item) in self.items(&format!("{path}.ports"), node) {
            let mut found = match &item.value {
                Value::Map(map) => self.long_port(&key, item, map),
                _ => self.short_port(&key, item),
            };
            for port in &mut found {
                if has_replicas && !port.host.is_empty() {
                    self.remarks.changed(
                        item.place,
                        &key,
                        format!("replicas cannot all have host port {}", port.host),
                        "each has a free one; a route leads to all of them",
                    );
                    port.host.clear();
                }
            }
            self.published += found.len();
            if self.published > MOST_PORTS {
                self.remarks.left_out(
                    item.place,
                    &key,
                    format!("more than {MOST_PORTS} ports of one file"),
                    "reach it through a route, or publish fewer",
                );
                break;
            }
            ports.extend(found);
        }
        if ports.is_empty() {
            return;
        }
        table.push("ports", ports.iter().map(Port::written).collect::<Vec<_>>());
        if ports.iter().any(|port| port.address == "0.0.0.0") {
            self.comment_once(
                table,
                "ports",
                "0.0.0.0 is open to other machines, as in Compose; without it, to this one alone.",
            );
        }
    }

    /// The route that a published port suggests: nothing of the container depends on it.
    pub(super) fn route(&mut self, table: &mut Table, name: &str) {
        let Some(Item::List(ports)) = table.get("ports") else {
            return;
        };
        let container = |item: &Item| match item {
            Item::Integer(number) => u16::try_from(*number).ok(),
            Item::Text(text) => split(text, ':').last()?.parse().ok(),
            _ => None,
        };
        let port = ports
            .iter()
            .filter_map(container)
            .find(|port| HTTP.contains(port));
        if let Some(port) = port {
            table.push("route", i64::from(port));
            let workspace = &self.workspace;
            let comment =
                format!("Also at http://{name}.{workspace}.localhost:8080, through the proxy.");
            if self.is_first("route") {
                table.comment("route", &comment);
            }
        }
    }

    /// `[[address:]host:]container[/protocol]`, each of the ports a range.
    fn short_port(&mut self, key: &str, node: &Node) -> Vec<Port> {
        let Some(text) = self.text(key, node) else {
            return Vec::new();
        };
        // `${PORT:-8080:80}` is not one number.
        let text = match default_of(&text) {
            Some(default) if default.contains(':') => {
                self.remarks.changed(
                    node.place,
                    key,
                    "the variable is not looked at: it would be more than one number",
                    "write a variable for each: \"${HOST:-8080}:80\"",
                );
                default.trim_start_matches(':').to_owned()
            }
            _ => text,
        };
        let parts = split(&text, '/');
        let (numbers, transport) = match parts.as_slice() {
            [numbers] => (*numbers, "tcp"),
            [numbers, transport] => (*numbers, *transport),
            _ => (text.as_str(), ""),
        };
        let parts = split(numbers, ':');
        let (address, host, container) = match parts.as_slice() {
            [container] => ("", "", *container),
            [host, container] => ("", *host, *container),
            [address, host, container] => (*address, *host, *container),
            // An address of IPv6 without brackets.
            [.., host, container] => {
                let length = numbers.len() - host.len() - container.len() - 2;
                (&numbers[..length], *host, *container)
            }
            [] => ("", "", ""),
        };
        let port = Port {
            address: address.trim_matches(['[', ']']).to_owned(),
            host: host.to_owned(),
            container: container.to_owned(),
            transport: transport.to_owned(),
        };
        self.each_of(key, node, &port)
    }

    fn long_port(&mut self, key: &str, node: &Node, map: &Map) -> Vec<Port> {
        let mut text = |name: &str| {
            let node = map.get(name)?;
            self.text(&format!("{key}.{name}"), node)
        };
        let port = Port {
            address: text("host_ip").unwrap_or_default(),
            host: text("published").unwrap_or_default(),
            container: text("target").unwrap_or_default(),
            transport: text("protocol").unwrap_or_else(|| "tcp".to_owned()),
        };
        if let Some(mode) = map
            .get("mode")
            .filter(|mode| mode.as_text() != Some("host"))
        {
            self.remarks.left_out(
                mode.place,
                &format!("{key}.mode"),
                "a port is published on this host",
                "nothing to do, outside of a Swarm",
            );
        }
        self.each_of(key, node, &port)
    }

    /// The ports of a range, or the one port.
    fn each_of(&mut self, key: &str, node: &Node, port: &Port) -> Vec<Port> {
        let address = match port.address.as_str() {
            "" => "0.0.0.0".to_owned(),
            "localhost" => "127.0.0.1".to_owned(),
            address => address.to_owned(),
        };
        let is_address = has_variable(&address) || address.parse::<std::net::IpAddr>().is_ok();
        let is_transport =
            matches!(port.transport.as_str(), "tcp" | "udp") || has_variable(&port.transport);
        let containers = range(&port.container);
        let hosts = match port.host.as_str() {
            "" => Some(vec![String::new()]),
            host => range(host),
        };
        let (Some(containers), Some(hosts), true, true) =
            (containers, hosts, is_address, is_transport)
        else {
            self.remarks.left_out(
                node.place,
                key,
                "it is no port that can be published here: tcp or udp, at an address, at most 256 in a range",
                "write each port: \"8080:80\"",
            );
            return Vec::new();
        };
        let hosts = match (hosts.len(), containers.len()) {
            (have, want) if have == want => hosts,
            (1, _) if hosts[0].is_empty() => vec![String::new(); containers.len()],
            _ => {
                self.remarks.changed(
                    node.place,
                    key,
                    "any host port of a range cannot be asked for: it is any free one",
                    "write the one that is meant",
                );
                vec![String::new(); containers.len()]
            }
        };
        let pairs = hosts.into_iter().zip(containers);
        pairs
            .map(|(host, container)| Port {
                address: address.clone(),
                host,
                container,
                transport: port.transport.clone(),
            })
            .collect()
    }
}

/// `3000-3005`, `80`, or a variable. `None` if it is none of these.
fn range(text: &str) -> Option<Vec<String>> {
    if has_variable(text) {
        return Some(vec![text.to_owned()]);
    }
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
    let is_range = first > 0 && first <= last && last - first < LONGEST_RANGE;
    is_range.then(|| (first..=last).map(|port| port.to_string()).collect())
}
