//! Networks: the workspace's own, and those beside it.

use std::net::IpAddr;

use indexmap::IndexMap;

use super::{Resolver, each, names_in, placeholder, sorted};
use crate::{
    config::{
        decode::join,
        forms::Items,
        schema::{FurtherNetworkTable, NetworkTable},
    },
    workspace::{FurtherNetwork, Network, NetworkName},
};

impl Resolver<'_, '_> {
    /// The network that every container of the workspace is in.
    pub(super) fn network(&mut self) -> Network {
        let table = &self.given.config.network;
        let installation = &self.given.sources.installation;
        let name = match &table.name {
            Some(name) => self
                .value("network.name", name)
                .unwrap_or_else(placeholder::<NetworkName>),
            None if table.isolated => installation.isolated_network(&self.identity),
            None => installation.network(),
        };
        if table.internal && !table.isolated {
            self.report
                .error(
                    "network.internal",
                    "the network that all workspaces share cannot be internal",
                )
                .help("add isolated = true for a network of this workspace's own");
        }
        self.check_range("network", table.subnet.as_deref(), table.gateway.as_deref());
        let NetworkTable {
            isolated,
            internal,
            ipv6,
            ..
        } = *table;
        Network {
            isolated,
            internal,
            ipv6,
            subnet: table.subnet.clone(),
            gateway: table.gateway.clone(),
            driver: table.driver.clone().unwrap_or_else(|| "bridge".to_owned()),
            options: sorted(&table.options),
            labels: sorted(&table.labels),
            name,
        }
    }

    /// Every network of `[networks]`, by the engine's name.
    pub(super) fn further_networks(&mut self) -> IndexMap<NetworkName, FurtherNetwork> {
        let mut networks = IndexMap::new();
        for (name, table) in &self.given.config.networks {
            let path = join("networks", name);
            if self.name::<NetworkName>("networks", name).is_none() {
                continue;
            }
            self.check_range(&path, table.subnet.as_deref(), table.gateway.as_deref());
            let says_how = FurtherNetworkTable {
                external: true,
                ..FurtherNetworkTable::default()
            } != *table;
            if table.external && says_how {
                self.report
                    .key_error(
                        &path,
                        format!("the network `{name}` is external, so it is not made here"),
                    )
                    .help("take out all but external = true, or external itself");
            }
            let engine_name = self.network_called(name, table);
            let network = Network {
                isolated: false,
                internal: table.internal,
                ipv6: table.ipv6,
                subnet: table.subnet.clone(),
                gateway: table.gateway.clone(),
                driver: table.driver.clone().unwrap_or_else(|| "bridge".to_owned()),
                options: sorted(&table.options),
                labels: sorted(&table.labels),
                name: engine_name.clone(),
            };
            let external = table.external;
            networks.insert(engine_name, FurtherNetwork { external, network });
        }
        networks
    }

    /// Of these, those that something names; of the others it is told.
    pub(super) fn used_networks(
        &mut self,
        mut networks: IndexMap<NetworkName, FurtherNetwork>,
    ) -> IndexMap<NetworkName, FurtherNetwork> {
        for (name, table) in &self.given.config.networks {
            if !self
                .networks_in_use
                .contains(&self.network_called(name, table))
            {
                self.report
                    .warning(
                        &join("networks", name),
                        format!("nothing is in the network `{name}`"),
                    )
                    .help(format!("name it: networks = [\"{name}\"], or take it out"));
            }
        }
        networks.retain(|name, _| self.networks_in_use.contains(name));
        networks
    }

    /// The engine's names of the networks that a container names.
    pub(super) fn networks_of(
        &mut self,
        path: &str,
        who: &str,
        names: &Items<String>,
    ) -> Vec<NetworkName> {
        let mut networks = Vec::new();
        for (path, name) in each(path, names) {
            let Some(table) = self.given.config.networks.get(name) else {
                if !self.is_written("networks", name) {
                    let known = names_in(self.given.written, "networks");
                    self.report.unknown_name(
                        &path,
                        format!("{who} is in the network `{name}`, which is not declared"),
                        name,
                        known,
                        "networks",
                    );
                }
                continue;
            };
            let network = self.network_called(name, table);
            if networks.contains(&network) {
                self.report
                    .error(&path, format!("{who} names the network `{name}` twice"))
                    .help("once is enough");
                continue;
            }
            self.networks_in_use.insert(network.clone());
            networks.push(network);
        }
        networks
    }

    /// What the engine calls a network that the file calls `name`.
    fn network_called(&self, name: &str, table: &FurtherNetworkTable) -> NetworkName {
        match (table.external, NetworkName::new(name)) {
            (true, Ok(name)) => name,
            _ => self.identity.network(name),
        }
    }

    fn check_range(&mut self, path: &str, subnet: Option<&str>, gateway: Option<&str>) {
        let subnet_path = format!("{path}.subnet");
        if let Some(subnet) = subnet
            && !is_cidr(subnet)
        {
            self.report
                .error(&subnet_path, format!("`{subnet}` is not an address range"))
                .help("write it like \"172.30.0.0/24\"");
        }
        if let Some(gateway) = gateway {
            let path = format!("{path}.gateway");
            if gateway.parse::<IpAddr>().is_err() {
                self.report
                    .error(&path, format!("`{gateway}` is not an address"))
                    .help("write it like \"172.30.0.1\"");
            } else if subnet.is_none() {
                self.report
                    .error(&path, "a gateway needs its subnet")
                    .help("add subnet = \"172.30.0.0/24\", with the gateway inside");
            } else if let Some(subnet) = subnet.filter(|text| is_cidr(text))
                && !is_inside(gateway, subnet)
            {
                self.report
                    .clash(
                        &path,
                        format!("the gateway `{gateway}` is outside of the subnet"),
                        &subnet_path,
                        "the subnet",
                    )
                    .help("choose an address in it");
            }
        }
    }
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else {
        return false;
    };
    match (address.parse::<IpAddr>(), bits.parse::<u8>()) {
        (Ok(IpAddr::V4(_)), Ok(bits)) => bits <= 32,
        (Ok(IpAddr::V6(_)), Ok(bits)) => bits <= 128,
        _ => false,
    }
}

/// Whether an address is in a range. Both have been checked.
fn is_inside(address: &str, range: &str) -> bool {
    let Some((network, bits)) = range.split_once('/') else {
        return false;
    };
    let bits: u32 = bits.parse().unwrap_or(0);
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32_u32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    match (address.parse().map(number), network.parse().map(number)) {
        (Ok((address, width)), Ok((network, other))) if width == other => {
            let host = width.saturating_sub(bits);
            (address ^ network).checked_shr(host).unwrap_or(0) == 0
        }
        _ => false,
    }
}
