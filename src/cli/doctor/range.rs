//! Address ranges, and where two of them are the same addresses: a container's network
//! against what the host reaches, and against other networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::docker::diagnose::ListedNetwork;

/// Routes to more than this are ways to everywhere: the default, or the halves of it that
/// a VPN has. Whatever is more exact goes first, and that every network is.
const EVERYWHERE: u8 = 7;

/// Addresses from one on, as many as share its first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Range {
    address: IpAddr,
    length: u8,
}

impl Range {
    /// Reads `172.18.0.0/16`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let range = Self {
            address: address.parse().ok()?,
            length: length.parse().ok()?,
        };
        (range.length <= range.bits()).then_some(range)
    }

    fn bits(self) -> u8 {
        if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Whether there is an address in both.
    pub(super) fn overlaps(self, other: Self) -> bool {
        if self.address.is_ipv4() != other.address.is_ipv4() {
            return false;
        }
        let shared = self.length.min(other.length);
        self.first_bits(shared) == other.first_bits(shared)
    }

    fn first_bits(self, count: u8) -> u128 {
        let bits = match self.address {
            IpAddr::V4(address) => u128::from(address.to_bits()) << 96,
            IpAddr::V6(address) => address.to_bits(),
        };
        bits.checked_shr(128 - u32::from(count)).unwrap_or_default()
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.length)
    }
}

/// Where the host sends what is for a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) range: Range,
    pub(super) device: String,
    /// Its device is in the range itself: nobody passes it on.
    pub(super) is_direct: bool,
}

/// Reads `/proc/net/route`.
pub(super) fn routes_v4(text: &str) -> Vec<Route> {
    let address = |hex: &str| {
        // As the machine has it in memory, which is the network's order.
        let number = u32::from_str_radix(hex, 16).ok()?;
        Some(Ipv4Addr::from(number.to_ne_bytes()))
    };
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let device = fields.next()?;
        let to = address(fields.next()?)?;
        let gateway = address(fields.next()?)?;
        let mask = address(fields.nth(4)?)?;
        Some(Route {
            range: Range {
                address: to.into(),
                length: u8::try_from(mask.to_bits().leading_ones()).ok()?,
            },
            device: device.to_owned(),
            is_direct: gateway.is_unspecified(),
        })
    };
    text.lines().skip(1).filter_map(route).collect()
}

/// Reads `/proc/net/ipv6_route`.
pub(super) fn routes_v6(text: &str) -> Vec<Route> {
    let address = |hex: &str| Some(Ipv6Addr::from_bits(u128::from_str_radix(hex, 16).ok()?));
    let route = |line: &str| {
        let mut fields = line.split_whitespace();
        let to = address(fields.next()?)?;
        let length = u8::from_str_radix(fields.next()?, 16).ok()?;
        let gateway = address(fields.nth(2)?)?;
        let device = fields.nth(4)?;
        // What every link has by itself is no network of anybody's.
        let is_own = to.is_unicast_link_local() || to.is_multicast() || to.is_loopback();
        (!is_own && device != "lo").then(|| Route {
            range: Range {
                address: to.into(),
                length,
            },
            device: device.to_owned(),
            is_direct: gateway.is_unspecified(),
        })
    };
    text.lines().filter_map(route).collect()
}

/// A range of a network of ours that leads elsewhere, too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Clash {
    pub(super) network: String,
    pub(super) range: Range,
    pub(super) with: Other,
}

/// What has the same addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Other {
    /// Another network of the engine.
    Network { name: String, range: Range },
    /// What the host reaches.
    Host { device: String, range: Range },
}

/// Where the networks of ours have addresses that something else has, too. Each pair is
/// told once, and each network of ours with each device once.
pub(super) fn clashes(networks: &[ListedNetwork], routes: &[Route]) -> Vec<Clash> {
    let mut clashes: Vec<Clash> = Vec::new();
    for (place, network) in networks.iter().enumerate() {
        for range in ranges(network).filter(|_| network.is_ours) {
            for (other_place, other) in networks.iter().enumerate() {
                let is_told = other.is_ours && other_place < place;
                if other_place == place || is_told {
                    continue;
                }
                let mut others = ranges(other);
                if let Some(other_range) = others.find(|other| other.overlaps(range)) {
                    clashes.push(Clash {
                        network: network.name.clone(),
                        range,
                        with: Other::Network {
                            name: other.name.clone(),
                            range: other_range,
                        },
                    });
                }
            }
            for route in routes {
                let is_bridge = networks.iter().any(|network| leads_into(route, network));
                if route.range.length <= EVERYWHERE || is_bridge || !route.range.overlaps(range) {
                    continue;
                }
                let with = Other::Host {
                    device: route.device.clone(),
                    range: route.range,
                };
                let is_told = |clash: &Clash| {
                    clash.network == network.name
                        && matches!(&clash.with, Other::Host { device, .. } if *device == route.device)
                };
                if !clashes.iter().any(is_told) {
                    clashes.push(Clash {
                        network: network.name.clone(),
                        range,
                        with,
                    });
                }
            }
        }
    }
    clashes
}

fn ranges(network: &ListedNetwork) -> impl Iterator<Item = Range> + '_ {
    network.subnets.iter().filter_map(|text| Range::parse(text))
}

/// Whether a route of the host is its end of this network.
fn leads_into(route: &Route, network: &ListedNetwork) -> bool {
    // Podman does not tell the names of its bridges, which begin so.
    let is_podmans = ["podman", "cni-"]
        .iter()
        .any(|start| route.device.starts_with(start));
    route.device == network.bridge
        || is_podmans && route.is_direct && ranges(network).any(|range| range == route.range)
}

/// Ranges that are rarely anybody's, one of which is free: for a network that needs another.
pub(super) fn free_range(networks: &[ListedNetwork], routes: &[Route]) -> Option<Range> {
    let taken: Vec<Range> = networks
        .iter()
        .flat_map(ranges)
        .chain(routes.iter().map(|route| route.range))
        .filter(|range| range.length > EVERYWHERE)
        .collect();
    (200..=254)
        .map(|third| Range {
            address: Ipv4Addr::new(10, 213, third, 0).into(),
            length: 24,
        })
        .find(|range| !taken.iter().any(|taken| taken.overlaps(*range)))
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn network(name: &str, is_ours: bool, subnet: &str) -> ListedNetwork {
        ListedNetwork {
            name: name.to_owned(),
            is_ours,
            driver: "bridge".to_owned(),
            bridge: format!("br-{name}"),
            subnets: vec![subnet.to_owned()],
        }
    }

    fn route(range: &str, device: &str) -> Route {
        Route {
            range: Range::parse(range).unwrap(),
            device: device.to_owned(),
            is_direct: true,
        }
    }

    /// `cosmos-net 172.18.0.0/16 tun0 172.16.0.0/12`.
    fn told(networks: &[ListedNetwork], routes: &[Route]) -> Vec<String> {
        let line = |clash: Clash| match clash.with {
            Other::Network { name, range } => {
                format!("{} {} {name} {range}", clash.network, clash.range)
            }
            Other::Host { device, range } => {
                format!("{} {} {device} {range}", clash.network, clash.range)
            }
        };
        clashes(networks, routes).into_iter().map(line).collect()
    }

    #[test]
    fn ranges_overlap_where_one_is_in_the_other() {
        let overlap = |one: &str, other: &str| {
            let (one, other) = (Range::parse(one).unwrap(), Range::parse(other).unwrap());
            assert_eq!(one.overlaps(other), other.overlaps(one));
            one.overlaps(other)
        };
        assert!(overlap("172.16.0.0/12", "172.18.0.0/16"));
        assert!(overlap("0.0.0.0/0", "10.0.0.0/8"));
        assert!(overlap("fd00::/8", "fd12:3456::/64"));
        assert!(!overlap("172.17.0.0/16", "172.18.0.0/16"));
        assert!(!overlap("::/0", "10.0.0.0/8"));
        for bad in ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/"] {
            assert_eq!(Range::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_routes_of_the_kernel_are_read() {
        let text = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n\
            eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
            docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\n\
            broken\n";
        let routes = routes_v4(text);
        assert_eq!(routes.len(), 2);
        assert_eq!(routes[0].range.to_string(), "0.0.0.0/0");
        assert!(!routes[0].is_direct);
        assert_eq!(routes[1], route("172.17.0.0/16", "docker0"));
        let none = "00000000000000000000000000000000";
        let line = |to: &str, length: &str, device: &str| {
            format!("{to} {length} {none} 00 {none} 00000100 00000001 00000000 00000001 {device}\n")
        };
        let text = line("fd000000000000000000000000000000", "40", "eth0")
            + &line("fe800000000000000000000000000000", "40", "eth0")
            + &line("00000000000000000000000000000001", "80", "lo");
        assert_eq!(routes_v6(&text), [route("fd00::/64", "eth0")]);
    }

    #[test]
    fn a_network_that_a_vpn_leads_to_is_named_with_it() {
        let ours = network("cosmos-net", true, "172.18.0.0/16");
        assert_eq!(
            told(&[ours], &[route("172.16.0.0/12", "tun0")]),
            ["cosmos-net 172.18.0.0/16 tun0 172.16.0.0/12"]
        );
    }

    #[test]
    fn two_networks_with_the_same_addresses_are_told_once() {
        let ours = network("cosmos-net", true, "172.18.0.0/16");
        let also = network("cosmos-net-shop", true, "172.18.4.0/24");
        let theirs = network("theirs", false, "172.18.0.0/17");
        assert_eq!(
            told(&[also.clone(), ours.clone()], &[]),
            ["cosmos-net-shop 172.18.4.0/24 cosmos-net 172.18.0.0/16"]
        );
        assert_eq!(
            told(&[theirs, ours], &[]),
            ["cosmos-net 172.18.0.0/16 theirs 172.18.0.0/17"]
        );
    }

    #[test]
    fn the_hosts_own_end_of_a_network_is_no_clash() {
        let ours = network("cosmos-net", true, "172.18.0.0/16");
        let routes = [
            route("0.0.0.0/0", "eth0"),
            route("128.0.0.0/1", "tun0"),
            route("172.18.0.0/16", "br-cosmos-net"),
            route("192.168.0.0/24", "eth0"),
        ];
        assert!(told(from_ref(&ours), &routes).is_empty());
        assert!(told(from_ref(&ours), &[route("172.18.0.0/16", "podman1")]).is_empty());
        assert_eq!(told(&[ours], &[route("172.18.0.0/16", "eth1")]).len(), 1);
    }

    #[test]
    fn clashes_of_others_are_their_own() {
        let theirs = network("theirs", false, "172.18.0.0/16");
        assert!(told(&[theirs.clone(), theirs], &[route("172.18.0.0/16", "tun0")]).is_empty());
    }

    #[test]
    fn a_range_that_is_offered_is_free() {
        let free = |routes: &[Route]| free_range(&[], routes).map(|range| range.to_string());
        assert_eq!(free(&[]).as_deref(), Some("10.213.200.0/24"));
        let taken = route("10.213.192.0/20", "tun0");
        assert_eq!(free(&[taken]).as_deref(), Some("10.213.208.0/24"));
        assert_eq!(free(&[route("10.0.0.0/8", "tun0")]), None);
    }
}
