//! What can only be seen with all parts together: who needs whom, and who is in
//! whose way.

use std::collections::{BTreeMap, HashMap, HashSet};

use indexmap::IndexMap;

use super::{Resolver, each, names_in};
use crate::{
    config::{decode::join, forms::DependsOn},
    workspace::{AfterCondition, CommandKind, RunState, Service, Transport, Workspace},
};

/// Joins the parts and reports what does not fit.
pub(super) fn check(workspace: &mut Workspace, resolver: &mut Resolver<'_, '_>) {
    resolver.check_shared_names();
    resolver.link(workspace);
    resolver.check_circles(workspace);
    mark_needed(workspace);
    resolver.check_off(workspace);
    if resolver.given.sources.thorough {
        resolver.check_off_for_runs(workspace);
    }
    resolver.check_host_ports(workspace);
    resolver.check_hosts(workspace);
}

impl Resolver<'_, '_> {
    /// A name means one thing in `depends_on`, in `cosmos start` and as a container.
    fn check_shared_names(&mut self) {
        let written = self.given.written;
        for name in names_in(written, "commands") {
            if !self.is_written("services", name) {
                continue;
            }
            self.report
                .clash(
                    &join("commands", name),
                    format!("`{name}` is both a service and a command"),
                    &join("services", name),
                    "the service",
                )
                .help("call one of them something else");
        }
    }

    fn link(&mut self, workspace: &mut Workspace) {
        let config = self.given.config;
        for (name, table) in &config.services {
            let path = format!("{}.depends_on", join("services", name));
            let after = self.conditions(
                &path,
                &format!("service `{name}`"),
                table.depends_on.as_ref(),
            );
            if let Some(service) = workspace.services.get_mut(name.as_str()) {
                service.depends_on = after;
            }
        }
        for (name, table) in &config.commands {
            let path = format!("{}.depends_on", join("commands", name));
            let mut after = self.conditions(
                &path,
                &format!("command `{name}`"),
                table.depends_on.as_ref(),
            );
            let Some(command) = workspace.commands.get_mut(name.as_str()) else {
                continue;
            };
            // It runs inside the service, so the service comes first.
            if let CommandKind::Exec { service, .. } = &command.kind {
                let condition = self.usual_condition(service.as_str());
                after.entry(service.to_string()).or_insert(condition);
            }
            command.depends_on = after;
        }
    }

    /// What a bare name in `depends_on` asks for.
    fn usual_condition(&self, name: &str) -> AfterCondition {
        match self.given.config.services.get(name) {
            None => AfterCondition::Completed,
            Some(service) if service.health.is_some() => AfterCondition::Ready,
            Some(_) => AfterCondition::Started,
        }
    }

    fn conditions(
        &mut self,
        path: &str,
        who: &str,
        form: Option<&DependsOn>,
    ) -> IndexMap<String, AfterCondition> {
        let written: Vec<(String, &str, Option<AfterCondition>)> = match form {
            None => Vec::new(),
            Some(DependsOn::Names(names)) => each(path, names)
                .map(|(path, name)| (path, name.as_str(), None))
                .collect(),
            Some(DependsOn::Conditions(table)) => table
                .iter()
                .map(|(name, condition)| (join(path, name), name.as_str(), Some(*condition)))
                .collect(),
        };
        let mut after = IndexMap::with_capacity(written.len());
        for (path, name, condition) in written {
            let is_service = self.is_written("services", name);
            let is_command = self.is_written("commands", name);
            if !is_service && !is_command {
                self.unknown_name(
                    &path,
                    format!("{who} depends on `{name}`, which is neither a service nor a command"),
                    name,
                    &["services", "commands"],
                );
                continue;
            }
            match condition {
                Some(AfterCondition::Completed) if is_service && !is_command => {
                    self.report
                        .error(
                            &path,
                            format!("{who} waits for `{name}` to complete, but it is a service"),
                        )
                        .help("a service runs on: write \"ready\" or \"started\"");
                }
                Some(condition @ (AfterCondition::Ready | AfterCondition::Started))
                    if is_command && !is_service =>
                {
                    self.report
                        .error(
                            &path,
                            format!(
                                "{who} waits for `{name}` to be {condition}, but it is a command"
                            ),
                        )
                        .help("a command runs to its end: write \"completed\"");
                }
                _ => {}
            }
            let condition = condition.unwrap_or_else(|| self.usual_condition(name));
            after.insert(name.to_owned(), condition);
        }
        after
    }

    /// Each circle once, with all its names.
    fn check_circles(&mut self, workspace: &Workspace) {
        for circle in circles(&edges(workspace)) {
            let first = &circle[0];
            let path = self.dependent_path(first);
            let next = circle.get(1).unwrap_or(first);
            let at = self.dependency_path(&path, next);
            if circle.len() == 2 {
                self.report
                    .error(&at, format!("`{first}` depends on itself"))
                    .help("take it out");
            } else {
                self.report
                    .error(
                        &at,
                        format!("these wait for each other: {}", circle.join(" -> ")),
                    )
                    .help("take out one of them");
            }
        }
    }

    /// Where `path` says that it depends on `needed`.
    fn dependency_path(&self, path: &str, needed: &str) -> String {
        let config = self.given.config;
        let form = match path.split_once('.') {
            Some(("services", name)) => config
                .services
                .get(name)
                .and_then(|table| table.depends_on.as_ref()),
            Some((_, name)) => config
                .commands
                .get(name)
                .and_then(|table| table.depends_on.as_ref()),
            None => None,
        };
        let path = format!("{path}.depends_on");
        match form {
            Some(DependsOn::Names(names)) => each(&path, names)
                .find(|(_, name)| *name == needed)
                .map_or(path.clone(), |(path, _)| path),
            _ => join(&path, needed),
        }
    }

    /// A dependency that is off would be waited for, for ever.
    fn check_off(&mut self, workspace: &Workspace) {
        let off = |name: &str| {
            let service = workspace.services.get(name);
            service.is_some_and(|service| service.run == RunState::Off)
        };
        let services = workspace
            .services
            .iter()
            .filter(|(_, service)| service.run != RunState::Off)
            .map(|(name, service)| (("service", name.as_str()), &service.depends_on));
        let commands = workspace
            .commands
            .iter()
            .filter(|(_, command)| command.needed)
            .map(|(name, command)| (("command", name.as_str()), &command.depends_on));
        let waiting: Vec<_> = services
            .chain(commands)
            .flat_map(|(who, after)| after.keys().map(move |needed| (who, needed)))
            .filter(|(_, needed)| off(needed))
            .collect();
        for ((kind, name), needed) in waiting {
            let profiles = self.given.config.services.get(needed.as_str());
            let profiles = profiles
                .map(|table| table.profiles.to_vec())
                .unwrap_or_default();
            let first = profiles.first().cloned().unwrap_or_default();
            let path = self.dependency_path(&join(&format!("{kind}s"), name), needed);
            self.report
                .error(
                    &path,
                    format!(
                        "{kind} `{name}` depends on `{needed}`, which is off: no profile of it is active ({})",
                        profiles.join(", ")
                    ),
                )
                .help(match kind {
                    "service" => {
                        format!("use --profile {first}, or give `{name}` the same profiles")
                    }
                    _ => format!("use --profile {first}"),
                });
        }
    }

    /// A command in a service that is off fails when it is run, and only then. With
    /// its profile, or once the service is started by hand, it is right.
    fn check_off_for_runs(&mut self, workspace: &Workspace) {
        for (name, command) in &workspace.commands {
            let CommandKind::Exec { service, .. } = &command.kind else {
                continue;
            };
            let is_off = workspace
                .services
                .get(service.as_str())
                .is_some_and(|service| service.run == RunState::Off);
            // One that is needed has been refused already.
            if !is_off || command.needed {
                continue;
            }
            let table = self.given.config.services.get(service.as_str());
            let profiles = table
                .map(|table| table.profiles.to_vec())
                .unwrap_or_default();
            let first = profiles.first().cloned().unwrap_or_default();
            self.report
                .warning(
                    &format!("{}.service", join("commands", name.as_str())),
                    format!("command `{name}` runs in `{service}`, which is off"),
                )
                .help(format!("use --profile {first} to run it"));
        }
    }

    /// Where a port was written: one before it may have been refused.
    fn port_path(&self, path: &str, index: usize) -> String {
        let place = self
            .port_places
            .get(path)
            .and_then(|places| places.get(index));
        place
            .cloned()
            .unwrap_or_else(|| format!("{path}.ports[{index}]"))
    }

    fn check_host_ports(&mut self, workspace: &Workspace) {
        let mut taken: HashMap<(u16, Transport), Claims<'_>> = HashMap::new();
        let services = workspace
            .services
            .iter()
            .filter(|(_, service)| service.run != RunState::Off)
            .map(|(name, service)| {
                let path = join("services", name.as_str());
                (
                    path,
                    format!("service `{name}`"),
                    service.replicas,
                    &service.container,
                )
            });
        let commands = workspace.commands.iter().filter_map(|(name, command)| {
            let CommandKind::Container(container) = &command.kind else {
                return None;
            };
            let path = join("commands", name.as_str());
            Some((path, format!("command `{name}`"), 1, container.as_ref()))
        });
        for (path, who, replicas, container) in services.chain(commands) {
            for (index, port) in container.ports.iter().enumerate() {
                let Some(host) = port.host else { continue };
                let path = self.port_path(&path, index);
                if replicas > 1 {
                    self.report
                        .error(
                            &path,
                            format!(
                                "{who} has {replicas} replicas, which cannot all have host port {host}"
                            ),
                        )
                        .help(format!("write {} for a free host port each", port.container));
                }
                let claim = Claim {
                    path,
                    who: who.clone(),
                };
                let others = taken.entry((host, port.transport)).or_default();
                if let Some(other) = others.in_the_way_of(&port.address) {
                    let message = if other.who == claim.who {
                        format!("{who} publishes host port {host} twice")
                    } else {
                        let other = &other.who;
                        format!("{who} publishes host port {host}, which {other} has already")
                    };
                    self.report
                        .clash(&claim.path, message, &other.path, "the first")
                        .help(format!(
                            "choose another, or write {} for a free one",
                            port.container
                        ));
                }
                others.add(&port.address, claim);
            }
        }
    }

    /// Two routes with one host and path: a request could not tell them apart.
    fn check_hosts(&mut self, workspace: &Workspace) {
        let mut taken: HashMap<(String, String), (String, String)> = HashMap::new();
        let mut default: Option<String> = None;
        let mut claims: Vec<(String, String, String, String)> = Vec::new();
        // Services of different profiles may take turns under one host.
        let is_on = |service: &Service| service.run != RunState::Off;
        for (name, service) in workspace
            .services
            .iter()
            .filter(|(_, service)| is_on(service))
        {
            let Some(route) = &service.route else {
                continue;
            };
            let path = format!("{}.route", join("services", name.as_str()));
            let who = format!("service `{name}`");
            let prefix = route
                .path
                .as_deref()
                .unwrap_or("/")
                .trim_end_matches('/')
                .to_owned();
            claims.push((
                self.identity.host(name.as_str()),
                prefix.clone(),
                path.clone(),
                who.clone(),
            ));
            for (index, host) in route.hosts.iter().enumerate() {
                let item = format!("{path}.hosts[{index}]");
                claims.push((host.clone(), prefix.clone(), item, who.clone()));
            }
            if route.default
                && let Some(other) = default.replace(path.clone())
            {
                self.report
                    .clash(
                        &format!("{path}.default"),
                        format!("{who} cannot be the default route, too"),
                        &format!("{other}.default"),
                        "the first",
                    )
                    .help("only one route takes what no other does");
            }
        }
        for (name, route) in &workspace.routes {
            let path = join("routes", name.as_str());
            let who = format!("route `{name}`");
            claims.push((
                self.identity.host(name.as_str()),
                String::new(),
                path.clone(),
                who.clone(),
            ));
            for (index, host) in route.hosts.iter().enumerate() {
                let item = format!("{path}.hosts[{index}]");
                claims.push((host.clone(), String::new(), item, who.clone()));
            }
        }
        for (host, prefix, path, who) in claims {
            match taken.get(&(host.clone(), prefix.clone())) {
                Some((other_path, other)) => {
                    let message = if *other == who {
                        format!("{who} has the host `{host}` twice")
                    } else {
                        format!("{who} and {other} have the same host, `{host}`")
                    };
                    self.report
                        .clash(&path, message, other_path, "the first")
                        .help("give one of them another host or path");
                }
                None => {
                    taken.insert((host, prefix), (path, who));
                }
            }
        }
    }
}

/// Who publishes a host port, and where it says so.
struct Claim {
    path: String,
    who: String,
}

/// Those who publish one host port.
#[derive(Default)]
struct Claims<'a> {
    list: Vec<Claim>,
    /// The first of each address.
    of_address: HashMap<&'a str, usize>,
    /// The first that takes every address.
    of_all: Option<usize>,
}

impl<'a> Claims<'a> {
    /// The first that has the address already.
    fn in_the_way_of(&self, address: &str) -> Option<&Claim> {
        if is_every_address(address) {
            return self.list.first();
        }
        let same = self.of_address.get(address).copied();
        self.list.get(same.into_iter().chain(self.of_all).min()?)
    }

    fn add(&mut self, address: &'a str, claim: Claim) {
        let number = self.list.len();
        self.list.push(claim);
        if is_every_address(address) {
            self.of_all.get_or_insert(number);
        }
        self.of_address.entry(address).or_insert(number);
    }
}

fn is_every_address(address: &str) -> bool {
    matches!(address, "0.0.0.0" | "::")
}

/// A command is part of `up` if something that runs depends on it, however far away.
fn mark_needed(workspace: &mut Workspace) {
    let running = workspace
        .services
        .iter()
        .filter(|(_, service)| service.run != RunState::Off);
    let mut todo: Vec<String> = running
        .flat_map(|(_, service)| service.depends_on.keys().cloned())
        .collect();
    let mut seen = HashSet::new();
    while let Some(name) = todo.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        if let Some(command) = workspace.commands.get_mut(name.as_str()) {
            command.needed = true;
            todo.extend(command.depends_on.keys().cloned());
        } else if let Some(service) = workspace.services.get(name.as_str()) {
            todo.extend(service.depends_on.keys().cloned());
        }
    }
}

fn edges(workspace: &Workspace) -> IndexMap<&str, Vec<&str>> {
    let mut edges: IndexMap<&str, Vec<&str>> = IndexMap::new();
    for (name, service) in &workspace.services {
        let needs = service.depends_on.keys().map(String::as_str);
        edges.entry(name.as_str()).or_default().extend(needs);
    }
    for (name, command) in &workspace.commands {
        let needs = command.depends_on.keys().map(String::as_str);
        edges.entry(name.as_str()).or_default().extend(needs);
    }
    edges
}

/// More at once help nobody; each can be as long as the workspace.
const MOST_CIRCLES: usize = 20;

/// Circles, each named in full and closed: `a, b, a`.
///
/// [`crate::workspace::order`] finds the first one, which is enough to refuse a
/// workspace; here a person wants to see all. No recursion: a chain can be long.
fn circles(edges: &IndexMap<&str, Vec<&str>>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut done: HashSet<&str> = HashSet::new();
    for start in edges.keys() {
        let mut path: Vec<(&str, usize)> = vec![(start, 0)];
        let mut on_path: BTreeMap<&str, usize> = BTreeMap::from([(*start, 0)]);
        if done.contains(start) {
            continue;
        }
        while let Some((name, next)) = path.last().copied() {
            let Some(needed) = edges.get(name).and_then(|needs| needs.get(next)).copied() else {
                path.pop();
                on_path.remove(name);
                done.insert(name);
                continue;
            };
            if let Some(last) = path.last_mut() {
                last.1 += 1;
            }
            if let Some(from) = on_path.get(needed) {
                if found.len() >= MOST_CIRCLES {
                    return found;
                }
                let circle = path[*from..].iter().map(|(name, _)| (*name).to_owned());
                found.push(circle.chain([needed.to_owned()]).collect());
            } else if !done.contains(needed) {
                on_path.insert(needed, path.len());
                path.push((needed, 0));
            }
        }
    }
    found
}
