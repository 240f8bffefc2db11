//! Makes the table from what is wanted and what is there: a pure function.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use super::{Address, Leads, Outlook, Routes, Rule, Target, Upstream, UpstreamKey, canonical};
use crate::{
    traffic::{authority::Authority, guard::DASHBOARD_HOST},
    workspace::{
        CaptureMode, ContainerState, Identity, Kind, NetworkName, Observed, ObservedContainer,
        OutsideRoute, Owner, Readiness, RunState, Service, ServiceName, UpstreamProtocol,
        Workspace,
    },
};

/// What the table is derived from.
#[derive(Debug, Clone, Copy)]
pub struct RouteInputs<'a> {
    /// The workspaces, overrides applied. Where two claim one host, the first has it.
    pub workspaces: &'a [&'a Workspace],
    /// What is there, ad-hoc containers included.
    pub observed: &'a Observed,
    /// The networks that the proxy is in: it reaches no container in any other.
    pub attached: &'a BTreeSet<NetworkName>,
    /// The port published on the host.
    pub port: u16,
    /// The proxy's own name in its networks.
    pub proxy: &'a str,
}

impl Routes {
    /// Derives the table from what is wanted and what is there.
    pub fn derive(inputs: &RouteInputs<'_>) -> Self {
        // A service's own name is safe from every other claim, so those come first.
        let mut own = Vec::new();
        let mut claimed = Vec::new();
        let mut conflicts = Vec::new();
        for workspace in inputs.workspaces {
            for (name, service) in &workspace.services {
                service_rules(inputs, workspace, name, service, &mut own, &mut claimed);
            }
            for (name, route) in &workspace.routes {
                outside_rules(
                    inputs,
                    &workspace.identity,
                    name.as_str(),
                    route,
                    &mut own,
                    &mut claimed,
                );
            }
        }
        for container in &inputs.observed.containers {
            if container
                .owner
                .as_ref()
                .is_some_and(|owner| owner.kind == Kind::Adhoc)
            {
                own.push(adhoc_rule(inputs, container));
            }
        }
        own.append(&mut claimed);
        own.retain(|rule| {
            let whose = match rule.host.as_deref() {
                Some(DASHBOARD_HOST) => "the dashboard's",
                Some(host) if host == inputs.proxy => "the proxy's",
                _ => return true,
            };
            let (name, host) = (&rule.target.name, rule.host.as_deref());
            let host = host.unwrap_or_default();
            conflicts.push(format!("{name} cannot have `{host}`: it is {whose}"));
            false
        });
        let mut routes = Self::new(own).of_proxy(inputs.proxy);
        conflicts.append(&mut routes.conflicts);
        routes.conflicts = conflicts;
        routes
    }
}

fn url(host: &str, port: u16) -> String {
    match port {
        80 => format!("http://{host}"),
        _ => format!("http://{host}:{port}"),
    }
}

fn service_rules(
    inputs: &RouteInputs<'_>,
    workspace: &Workspace,
    name: &ServiceName,
    service: &Service,
    own: &mut Vec<Rule>,
    claimed: &mut Vec<Rule>,
) {
    let key = workspace.identity.key();
    let containers: Vec<(&ObservedContainer, &Owner)> = inputs
        .observed
        .owned_by(&key)
        .filter(|(_, owner)| {
            owner.kind == Kind::Service && owner.name.as_deref() == Some(name.as_str())
        })
        .collect();
    let port = match &service.route {
        Some(route) => route.port,
        // No route is written: one is made where there is no doubt which port.
        None => match containers
            .iter()
            .find_map(|(container, _)| match container.exposed[..] {
                [only] => Some(only),
                _ => None,
            }) {
            Some(only) => only,
            None => return,
        },
    };

    let host = workspace.identity.host(name.as_str());
    let protocol = service
        .route
        .as_ref()
        .map_or(UpstreamProtocol::Http, |route| route.protocol);
    let target = Arc::new(Target {
        name: format!("service `{name}` of `{key}`"),
        workspace: Some(key.clone()),
        service: Some(name.to_string()),
        url: url(&host, inputs.port),
        hold: service.route.as_ref().and_then(|route| route.hold),
        capture: service
            .route
            .as_ref()
            .map_or(CaptureMode::default(), |route| route.capture),
        leads: spoken_to(
            service_leads(inputs, workspace, name, service, &containers, port),
            protocol,
        ),
    });
    let path = service.route.as_ref().and_then(|route| route.path.clone());
    own.push(Rule {
        host: Some(host),
        path: path.clone(),
        target: Arc::clone(&target),
    });
    let Some(route) = &service.route else { return };
    for host in &route.hosts {
        claimed.push(Rule {
            host: Some(host.clone()),
            path: path.clone(),
            target: Arc::clone(&target),
        });
    }
    if route.default {
        claimed.push(Rule {
            host: None,
            path,
            target,
        });
    }
}

/// The same upstreams, in the protocol that they speak.
fn spoken_to(mut leads: Leads, protocol: UpstreamProtocol) -> Leads {
    if let Leads::To(upstreams) = &mut leads
        && protocol != UpstreamProtocol::Http
    {
        for upstream in upstreams {
            if let Address::Socket(address) = upstream.key.address {
                upstream.key.address = Address::Http2(address);
            }
        }
    }
    leads
}

fn service_leads(
    inputs: &RouteInputs<'_>,
    workspace: &Workspace,
    name: &ServiceName,
    service: &Service,
    containers: &[(&ObservedContainer, &Owner)],
    port: u16,
) -> Leads {
    // One container a replica. While one is being replaced there are two, and
    // the one with the replica's own name is the newer.
    let mut replicas: BTreeMap<u32, Upstream> = BTreeMap::new();
    for (container, owner) in containers {
        if container.readiness != Readiness::Ready {
            continue;
        }
        let Some(upstream) = upstream(inputs, container, Some(&workspace.network.name), port)
        else {
            continue;
        };
        let is_newest = container.name == workspace.identity.container(name, owner.replica);
        if is_newest || !replicas.contains_key(&owner.replica) {
            replicas.insert(owner.replica, upstream);
        }
    }
    if !replicas.is_empty() {
        return Leads::To(replicas.into_values().collect());
    }
    // While one is being replaced, what counts is the one on its way.
    let starts =
        |(container, _): &&(&ObservedContainer, _)| outlook(container) == Outlook::Starting;
    let container = containers.iter().find(starts).or(containers.first());
    let (state, outlook) = match &service.run {
        RunState::Stopped { because } => (because.clone(), Outlook::Down),
        RunState::Off => (
            format!("off: none of its profiles is active (`cosmos start {name}` starts it)"),
            Outlook::Down,
        ),
        RunState::Running => match container {
            None => ("not started yet".to_owned(), Outlook::Starting),
            // Another will be made in its place.
            Some((container, _)) if container.state == ContainerState::Dead => {
                (state_in_words(container), Outlook::Starting)
            }
            Some((container, _)) => (state_in_words(container), outlook(container)),
        },
    };
    Leads::Nowhere {
        state,
        outlook,
        container: container.map(|(container, _)| container.id.to_string()),
    }
}

fn adhoc_rule(inputs: &RouteInputs<'_>, container: &ObservedContainer) -> Rule {
    let host = canonical(&format!("{}.localhost", container.name));
    let leads = match upstream(inputs, container, None, adhoc_port(&container.exposed)) {
        Some(upstream) => Leads::To(vec![upstream]),
        None => Leads::Nowhere {
            state: state_in_words(container),
            outlook: outlook(container),
            container: Some(container.id.to_string()),
        },
    };
    Rule {
        host: Some(host.clone()),
        path: None,
        target: Arc::new(Target {
            name: format!("container `{}`", container.name),
            workspace: None,
            service: None,
            url: url(&host, inputs.port),
            hold: None,
            capture: CaptureMode::default(),
            leads,
        }),
    }
}

/// The only port, else 80 if it is among them or none is said, else the lowest.
fn adhoc_port(exposed: &[u16]) -> u16 {
    match exposed {
        [only] => *only,
        several if several.contains(&80) => 80,
        several => several.iter().min().copied().unwrap_or(80),
    }
}

/// A running container as an upstream, by its address in a network the proxy is in.
fn upstream(
    inputs: &RouteInputs<'_>,
    container: &ObservedContainer,
    preferred: Option<&NetworkName>,
    port: u16,
) -> Option<Upstream> {
    let ContainerState::Running { since } = container.state else {
        return None;
    };
    let address_in = |network: &NetworkName| -> Option<IpAddr> {
        if !inputs.attached.contains(network) {
            return None;
        }
        *container.networks.get(network)?
    };
    let address = preferred
        .and_then(address_in)
        .or_else(|| container.networks.keys().find_map(address_in))?;
    Some(Upstream {
        key: UpstreamKey {
            id: container.id.to_string(),
            started: since,
            address: Address::Socket(SocketAddr::new(address, port)),
        },
        name: container.name.to_string(),
        generation: container
            .owner
            .as_ref()
            .map(|owner| owner.generation.clone()),
    })
}

fn outlook(container: &ObservedContainer) -> Outlook {
    match (container.state, container.readiness) {
        (ContainerState::Created, _) | (ContainerState::Running { .. }, Readiness::Starting) => {
            Outlook::Starting
        }
        (ContainerState::Exited { at, .. }, _) => Outlook::Ended(at),
        (ContainerState::Running { .. } | ContainerState::Paused | ContainerState::Dead, _) => {
            Outlook::Down
        }
    }
}

fn state_in_words(container: &ObservedContainer) -> String {
    match (container.state, container.readiness) {
        (ContainerState::Created, _) => "created, but not started yet".to_owned(),
        (ContainerState::Running { .. }, Readiness::Starting) => {
            "starting: not ready yet".to_owned()
        }
        (ContainerState::Running { .. }, Readiness::Unhealthy) => {
            "running, but its health check fails".to_owned()
        }
        (ContainerState::Running { .. }, Readiness::Ready) => {
            "running, but in no network that the proxy is in".to_owned()
        }
        (ContainerState::Paused, _) => "paused".to_owned(),
        (
            ContainerState::Exited {
                out_of_memory: true,
                ..
            },
            _,
        ) => "killed: it needed more memory than it may have".to_owned(),
        (ContainerState::Exited { code, .. }, _) => format!("exited with code {code}"),
        (ContainerState::Dead, _) => "being removed".to_owned(),
    }
}

fn outside_rules(
    inputs: &RouteInputs<'_>,
    identity: &Identity,
    name: &str,
    route: &OutsideRoute,
    own: &mut Vec<Rule>,
    claimed: &mut Vec<Rule>,
) {
    let host = identity.host(name);
    let target = Arc::new(Target {
        name: format!("route `{name}` of `{identity}`"),
        workspace: Some(identity.key()),
        service: Some(name.to_owned()),
        url: url(&host, inputs.port),
        hold: None,
        capture: route.capture,
        leads: outside_leads(route),
    });
    own.push(Rule {
        host: Some(host),
        path: None,
        target: Arc::clone(&target),
    });
    for host in &route.hosts {
        claimed.push(Rule {
            host: Some(host.clone()),
            path: None,
            target: Arc::clone(&target),
        });
    }
}

fn outside_leads(route: &OutsideRoute) -> Leads {
    let upstream = &route.upstream;
    let unsupported = |why: &str| Leads::Unsupported {
        why: format!("`{upstream}`: {why}"),
    };
    let (rest, is_tls) = match upstream.split_once("://") {
        Some(("http", rest)) => (rest, false),
        Some(("https", rest)) => (rest, true),
        _ => return unsupported("only http:// and https:// upstreams can be reached"),
    };
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, path.trim_end_matches('/')),
        None => (rest, ""),
    };
    let Some(parsed) = Authority::parse(authority.as_bytes()) else {
        return unsupported("it is not a host and perhaps a port");
    };
    let prefix = match path {
        "" => String::new(),
        path => format!("/{path}"),
    };
    if format!("{prefix}/").parse::<hyper::Uri>().is_err() || prefix.contains(['?', '#']) {
        return unsupported("it has a path that is no prefix of paths");
    }
    let host = parsed.host.trim_matches(['[', ']']).to_owned();
    let address = if is_tls {
        Address::Tls {
            host,
            port: parsed.port.unwrap_or(443),
            ca: route.ca.as_deref().map(Arc::from),
        }
    } else {
        Address::Name(host, parsed.port.unwrap_or(80))
    };
    Leads::Outside {
        upstream: Upstream {
            key: UpstreamKey {
                id: authority.to_owned(),
                // It is not ours to start: one for ever.
                started: SystemTime::UNIX_EPOCH,
                address,
            },
            name: authority.to_owned(),
            generation: None,
        },
        authority: authority.to_owned(),
        prefix,
    }
}
