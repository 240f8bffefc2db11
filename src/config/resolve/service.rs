//! Services: what a container does not have by itself.

use std::time::Duration;

use indexmap::IndexMap;

use super::{Resolver, each};
use crate::{
    config::{
        decode::{Node, join},
        forms::{HookForm, PortForm, RouteForm, Words},
        schema::{HealthTable, ServiceTable},
    },
    workspace::{
        CaptureMode, Health, HealthProbe, Hooks, Image, Route, RunState, Service, ServiceName,
        UpstreamProtocol, WatchAction, WatchRule,
    },
};

impl Resolver<'_, '_> {
    pub(super) fn services(&mut self) -> IndexMap<ServiceName, Service> {
        let config = self.given.config;
        let mut services = IndexMap::with_capacity(config.services.len());
        for (name, table) in &config.services {
            if self.report.is_full() {
                break;
            }
            let service_name = self.name::<ServiceName>("services", name);
            let service = self.service(name, table);
            if let Some(service_name) = service_name {
                services.insert(service_name, service);
            }
        }
        services
    }

    fn service(&mut self, name: &str, table: &ServiceTable) -> Service {
        let path = join("services", name);
        let who = format!("service `{name}`");
        let image = match &table.image {
            Some(image) => self.image(&format!("{path}.image"), image),
            None => {
                if !self.was_refused("services", name, "image") {
                    self.report
                        .key_error(&path, format!("{who} has no image"))
                        .help("add image = \"..\": a name from [images], or a reference");
                }
                None
            }
        };
        let mut container = self.container(
            &path,
            &who,
            table.container(),
            image.unwrap_or_else(Self::no_image),
        );
        if let Some(command) = &table.command {
            container.command = self.words(&format!("{path}.command"), command);
        }
        container.hooks = Hooks {
            post_start: self.hook(
                &format!("{path}.hooks.post_start"),
                table.hooks.post_start.as_ref(),
            ),
            pre_stop: self.hook(
                &format!("{path}.hooks.pre_stop"),
                table.hooks.pre_stop.as_ref(),
            ),
        };
        let route = self.route(&format!("{path}.route"), table.route.as_ref());
        let watch = self.watch(&format!("{path}.watch"), &who, table, &container.image);
        let replicas = table.replicas.unwrap_or(1);
        if replicas == 0 || replicas > Service::MOST_REPLICAS {
            let problem = self.report.error(
                &format!("{path}.replicas"),
                format!("{who} cannot have {replicas} replicas"),
            );
            problem.help(if replicas == 0 {
                "at least 1: to have it off, give it a profile, or `cosmos stop` it".to_owned()
            } else {
                format!("at most {}", Service::MOST_REPLICAS)
            });
        }
        Service {
            run: self.run_state(table),
            replicas,
            // Filled in when all names are known.
            depends_on: IndexMap::new(),
            health: table
                .health
                .as_ref()
                .and_then(|health| self.health(&path, &who, health, route.as_ref(), table)),
            route,
            update: table.update,
            restart: table.restart,
            watch,
            container,
        }
    }

    fn run_state(&self, table: &ServiceTable) -> RunState {
        let active = self.profiles();
        let mut own = table.profiles.iter().peekable();
        if own.peek().is_none() || own.any(|(_, profile)| active.contains(profile.as_str())) {
            RunState::Running
        } else {
            RunState::Off
        }
    }

    fn health(
        &mut self,
        service: &str,
        who: &str,
        table: &HealthTable,
        route: Option<&Route>,
        service_table: &ServiceTable,
    ) -> Option<Health> {
        let path = format!("{service}.health");
        let kinds: Vec<&str> = [
            table.tcp.map(|_| "tcp"),
            table.http.as_ref().map(|_| "http"),
            table.command.as_ref().map(|_| "command"),
            table.log.as_ref().map(|_| "log"),
        ]
        .into_iter()
        .flatten()
        .collect();
        if let [first, second, ..] = kinds.as_slice() {
            self.report
                .error(
                    &path,
                    format!("the health check of {who} has both `{first}` and `{second}`"),
                )
                .help("keep one");
            return None;
        }
        if table.port.is_some() && table.http.is_none() {
            self.report
                .error(&format!("{path}.port"), "`port` goes with `http` only")
                .help("for a plain connection write tcp = PORT");
        }
        let probe = if let Some(port) = table.tcp {
            self.check_port(&format!("{path}.tcp"), port);
            HealthProbe::Tcp { port }
        } else if let Some(http) = &table.http {
            if !http.starts_with('/') {
                self.report
                    .error(
                        &format!("{path}.http"),
                        format!("`{http}` is not a path: it starts with `/`"),
                    )
                    .help("the path alone: http = \"/healthz\", and port = 3000 beside it");
            }
            let port = table.port.or(route.map(|route| route.port));
            let Some(port) = port else {
                // A route that was refused would have had the port.
                if service_table.route.is_none() {
                    self.report
                        .error(
                            &format!("{path}.http"),
                            format!("the health check of {who} has no port"),
                        )
                        .help("add port = .. beside it, or a route to the service");
                }
                return None;
            };
            self.check_port(&format!("{path}.port"), port);
            HealthProbe::Http {
                path: http.clone(),
                port,
            }
        } else if let Some(command) = &table.command {
            let run = self.words(&format!("{path}.command"), command)?;
            if run.is_empty() {
                self.report
                    .error(&format!("{path}.command"), "an empty command")
                    .help("write what is run in the container, as in [\"pg_isready\"]");
            }
            HealthProbe::Command { run }
        } else if let Some(contains) = &table.log {
            if contains.is_empty() {
                self.report
                    .error(&format!("{path}.log"), "an empty text is in every line")
                    .help("write a text that is printed once it is ready");
            }
            HealthProbe::Log {
                contains: contains.clone(),
            }
        } else {
            let name = service.strip_prefix("services.").unwrap_or(service);
            let is_refused = match self.given.written.get("services") {
                Some(services) => services
                    .get(name)
                    .and_then(|service| service.get("health"))
                    .is_some_and(Node::has_refused),
                None => false,
            };
            if !is_refused {
                self.report
                    .key_error(&path, format!("the health check of {who} tries nothing"))
                    .help("add tcp = 5432, http = \"/healthz\", command = \"..\" or log = \"..\"");
            }
            return None;
        };
        let or = |text: Option<crate::config::forms::DurationText>, default| {
            text.map_or(default, |text| text.0)
        };
        let health = Health {
            probe,
            interval: or(table.interval, Duration::from_secs(1)),
            timeout: or(table.timeout, Duration::from_secs(2)),
            retries: table.retries.unwrap_or(30),
            start_period: or(table.start_period, Duration::ZERO),
        };
        if self.given.sources.thorough {
            self.check_probed_port(&path, who, &health.probe, service_table, route);
        }
        for (key, is_zero) in [
            ("interval", health.interval.is_zero()),
            ("timeout", health.timeout.is_zero()),
            ("retries", health.retries == 0),
        ] {
            if is_zero {
                self.report
                    .error(&format!("{path}.{key}"), format!("`{key}` cannot be zero"))
                    .help("take it out for the default");
            }
        }
        Some(health)
    }

    /// No config says which ports a container opens, so that this is a guess and
    /// a warning: its table names ports, and the one that is probed is not among them.
    fn check_probed_port(
        &mut self,
        path: &str,
        who: &str,
        probe: &HealthProbe,
        table: &ServiceTable,
        route: Option<&Route>,
    ) {
        let (key, port) = match probe {
            HealthProbe::Tcp { port } => ("tcp", *port),
            HealthProbe::Http { port, .. } => ("port", *port),
            _ => return,
        };
        let published = table.ports.iter().filter_map(|(_, form)| match form {
            PortForm::Number(port) => Some(*port),
            PortForm::Long(table) => Some(table.container),
            PortForm::Short(text) => {
                let numbers = text.split('/').next().unwrap_or_default();
                numbers.rsplit(':').next()?.parse().ok()
            }
        });
        let routed = route.map(|route| route.port);
        let named: Vec<u16> = published.chain(routed).collect();
        if named.is_empty() || named.contains(&port) || port == 0 {
            return;
        }
        let named: Vec<String> = named.iter().map(ToString::to_string).collect();
        self.report
            .warning(
                &format!("{path}.{key}"),
                format!("{who} is probed at port {port}, which nothing else says it opens"),
            )
            .help(format!(
                "it names {}; if it opens this one as well, add {port} to `ports`",
                named.join(", ")
            ));
    }

    pub(super) fn check_port(&mut self, path: &str, port: u16) -> bool {
        if port == 0 {
            self.report
                .error(path, "0 is not a port")
                .help("a port is 1 to 65535");
        }
        port != 0
    }

    fn route(&mut self, path: &str, form: Option<&RouteForm>) -> Option<Route> {
        let plain = |port| Route {
            port,
            hosts: Vec::new(),
            path: None,
            protocol: UpstreamProtocol::default(),
            default: false,
            hold: None,
            capture: CaptureMode::default(),
        };
        let route = match form? {
            RouteForm::Port(port) => plain(*port),
            RouteForm::Text(text) => match text.parse() {
                Ok(port) => plain(port),
                Err(_) => {
                    self.report
                        .error(path, format!("`{text}` is not a port"))
                        .help("write route = 3000, or route = { port = 3000, hosts = [..] }");
                    return None;
                }
            },
            RouteForm::Table(table) => {
                if let Some(prefix) = &table.path
                    && !prefix.starts_with('/')
                {
                    self.report
                        .error(
                            &format!("{path}.path"),
                            format!("`{prefix}` is not a path: it starts with `/`"),
                        )
                        .help(format!("write \"/{prefix}\""));
                }
                Route {
                    hosts: self.hosts(&format!("{path}.hosts"), table.hosts.as_ref()),
                    path: table.path.clone(),
                    protocol: table.protocol,
                    default: table.default,
                    hold: table.hold.map(|text| text.0),
                    capture: table.capture,
                    ..plain(table.port)
                }
            }
        };
        let port_path = match form? {
            RouteForm::Table(_) => format!("{path}.port"),
            _ => path.to_owned(),
        };
        self.check_port(&port_path, route.port);
        Some(route)
    }

    fn hook(&mut self, path: &str, form: Option<&HookForm>) -> Vec<Vec<String>> {
        match form {
            None => Vec::new(),
            Some(HookForm::One(line)) => self
                .words(path, &Words::Line(line.clone()))
                .into_iter()
                .collect(),
            Some(HookForm::Many(commands)) => each(path, commands)
                .filter_map(|(path, command)| self.words(&path, command))
                .collect(),
        }
    }

    fn watch(
        &mut self,
        path: &str,
        who: &str,
        table: &ServiceTable,
        image: &Image,
    ) -> Vec<WatchRule> {
        let mut rules = Vec::new();
        for (path, rule) in each(path, &table.watch) {
            let host = self.host_path(&rule.path);
            if !host.exists() {
                self.report
                    .error(
                        &format!("{path}.path"),
                        format!("{who} watches `{}`, which does not exist", rule.path),
                    )
                    .help("create it, or mend the path");
            }
            match (rule.action, &rule.target) {
                (WatchAction::Sync, None) => {
                    self.report
                        .error(
                            &format!("{path}.action"),
                            format!("{who} syncs `{}` to nowhere", rule.path),
                        )
                        .help("add target = \"/path/in/the/container\"");
                }
                (WatchAction::Sync, Some(target)) => {
                    self.check_absolute(&format!("{path}.target"), target);
                }
                (_, Some(_)) => {
                    self.report
                        .error(&format!("{path}.target"), "only `sync` has a target")
                        .help("take it out, or write action = \"sync\"");
                }
                (WatchAction::Rebuild, None) if matches!(image, Image::Pulled { .. }) => {
                    // Of an image that was refused nothing is known.
                    let is_known = *image != Self::no_image();
                    if is_known {
                        self.report
                            .error(
                                &format!("{path}.action"),
                                format!("{who} rebuilds its image, which is not built here"),
                            )
                            .help("give its image a `build` in [images], or write \"restart\"");
                    }
                }
                _ => {}
            }
            rules.push(WatchRule {
                path: host.to_string_lossy().into_owned(),
                action: rule.action,
                target: rule.target.clone(),
            });
        }
        rules
    }
}
