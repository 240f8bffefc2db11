//! What is used, by whom: one look, pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::api::wire::{ContainerStatus, Status, Usage};

/// One container that runs, and what it uses.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    /// The workspace's key; none of an ad-hoc container.
    pub(super) workspace: Option<String>,
    /// The service or command; none of an ad-hoc container.
    pub(super) service: Option<String>,
    /// What it is called in a table.
    #[serde(skip)]
    pub(super) label: String,
    /// The container's name.
    pub(super) container: String,
    /// Its id.
    pub(super) id: String,
    /// What it uses, once that was measured twice.
    #[serde(flatten)]
    pub(super) usage: Option<Usage>,
}

/// Whose use is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// That of everything there is.
    All,
    /// That of one workspace.
    Workspace(String),
    /// That of services and containers with these names; a service first of this
    /// workspace.
    Names {
        /// As they were typed.
        names: Vec<String>,
        /// The key of the workspace here.
        here: Option<String>,
    },
}

/// What there is, as the server told it last.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) workspaces: Vec<Status>,
    pub(super) adhoc: Vec<ContainerStatus>,
}

impl World {
    /// A row for each wanted container that runs: who works most stands first.
    pub(super) fn rows(&self, wanted: &Wanted, usage: &BTreeMap<String, Usage>) -> Vec<Row> {
        let mut rows: Vec<Row> = self
            .running()
            .into_iter()
            .filter(|row| self.is_wanted(wanted, row))
            .map(|row| Row {
                usage: usage.get(&row.id).cloned(),
                ..row
            })
            .collect();
        // Of one workspace alone, its name on each line says nothing.
        if matches!(wanted, Wanted::Workspace(_)) {
            for row in &mut rows {
                let prefix = row.workspace.as_ref().map(|key| format!("{key}/"));
                let short = prefix.and_then(|prefix| row.label.strip_prefix(&prefix));
                if let Some(short) = short {
                    row.label = short.to_owned();
                }
            }
        }
        rows.sort_by(|left, right| {
            let (used, other) = (left.usage.as_ref(), right.usage.as_ref());
            let cpu = |usage: Option<&Usage>| usage.map_or(-1.0, |usage| usage.cpu);
            let memory = |usage: Option<&Usage>| usage.map_or(0, |usage| usage.memory);
            cpu(other)
                .total_cmp(&cpu(used))
                .then(memory(other).cmp(&memory(used)))
                .then_with(|| left.label.cmp(&right.label))
        });
        rows
    }

    /// Every container that runs.
    fn running(&self) -> Vec<Row> {
        let mut rows = Vec::new();
        for workspace in &self.workspaces {
            let key = &workspace.workspace;
            for service in &workspace.services {
                let is_alone = service.containers.len() == 1;
                for container in &service.containers {
                    let number = match is_alone {
                        true => None,
                        false => number(&container.name, &service.name),
                    };
                    let label = match number {
                        Some(number) => format!("{key}/{}.{number}", service.name),
                        None => format!("{key}/{}", service.name),
                    };
                    rows.extend(row(Some((key, &service.name)), label, container));
                }
            }
            for command in &workspace.commands {
                if let Some(container) = &command.container {
                    let label = format!("{key}/{}", command.name);
                    rows.extend(row(Some((key, &command.name)), label, container));
                }
            }
        }
        for container in &self.adhoc {
            rows.extend(row(None, container.name.clone(), container));
        }
        rows
    }

    fn is_wanted(&self, wanted: &Wanted, row: &Row) -> bool {
        match wanted {
            Wanted::All => true,
            Wanted::Workspace(key) => row.workspace.as_ref() == Some(key),
            Wanted::Names { names, here } => names
                .iter()
                .any(|name| self.is_meant(name, here.as_deref(), row)),
        }
    }

    fn is_meant(&self, name: &str, here: Option<&str>, row: &Row) -> bool {
        if row.container == name || name.len() >= 4 && row.id.starts_with(name) {
            return true;
        }
        if row.service.as_deref() != Some(name) {
            return false;
        }
        let is_here = |status: &&Status| Some(status.workspace.as_str()) == here;
        let of_here = self.workspaces.iter().find(is_here);
        match of_here.filter(|status| has(status, name)) {
            Some(status) => row.workspace.as_ref() == Some(&status.workspace),
            None => true,
        }
    }
}

fn has(status: &Status, name: &str) -> bool {
    status.services.iter().any(|service| service.name == name)
        || status.commands.iter().any(|command| command.name == name)
}

fn row(of: Option<(&String, &String)>, label: String, container: &ContainerStatus) -> Option<Row> {
    (container.state == "running").then(|| Row {
        workspace: of.map(|(key, _)| key.clone()),
        service: of.map(|(_, name)| name.clone()),
        label,
        container: container.name.clone(),
        id: container.id.clone(),
        usage: None,
    })
}

/// The number of a replica, with which its container's name ends.
fn number(container: &str, service: &str) -> Option<u32> {
    let (_, number) = container.rsplit_once(&format!("-{service}-"))?;
    number.parse().ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::api::wire::{Readiness, ServiceState, ServiceStatus};

    pub(in super::super) fn container(name: &str, state: &str) -> ContainerStatus {
        ContainerStatus {
            name: name.to_owned(),
            id: format!("{name}-id"),
            state: state.to_owned(),
            readiness: Readiness::Ready,
            seconds: None,
            exit_code: None,
            image: "a".to_owned(),
            addresses: Vec::new(),
            ports: Vec::new(),
            restarts: 0,
        }
    }

    fn workspace(key: &str, services: &[(&str, &[&str])]) -> Status {
        let services = services.iter().map(|(name, states)| {
            let containers = states.iter().zip(1..);
            ServiceStatus {
                name: (*name).to_owned(),
                state: ServiceState::Ready,
                replicas: 1,
                containers: containers
                    .map(|(state, number)| container(&format!("{key}-{name}-{number}"), state))
                    .collect(),
                host: None,
                note: None,
                drift: Vec::new(),
                kept_because: None,
                hold: None,
                scale: None,
            }
        });
        Status {
            schema: 1,
            workspace: key.to_owned(),
            folder: format!("/{key}"),
            services: services.collect(),
            commands: Vec::new(),
        }
    }

    pub(in super::super) fn usage(cpu: f64, memory: u64) -> Usage {
        Usage {
            cpu,
            memory,
            limit: None,
            received: 0,
            sent: 0,
            read: 0,
            written: 0,
            pids: 1,
        }
    }

    fn world() -> World {
        World {
            workspaces: vec![
                workspace(
                    "shop",
                    &[
                        ("web", &["running", "running"]),
                        ("db", &["running"]),
                        ("job", &["exited"]),
                    ],
                ),
                workspace("blog", &[("web", &["running"]), ("cache", &["running"])]),
            ],
            adhoc: vec![container("nginx-k3f9", "running")],
        }
    }

    fn labels(wanted: &Wanted) -> Vec<String> {
        let usage = BTreeMap::from([
            ("shop-db-1-id".to_owned(), usage(3.0, 1)),
            ("shop-web-1-id".to_owned(), usage(0.0, 1)),
            ("shop-web-2-id".to_owned(), usage(0.0, 2)),
        ]);
        let rows = world().rows(wanted, &usage);
        rows.into_iter().map(|row| row.label).collect()
    }

    #[test]
    fn who_works_most_stands_first_and_what_does_not_run_nowhere() {
        let wanted = Wanted::Workspace("shop".to_owned());
        assert_eq!(labels(&wanted), ["db", "web.2", "web.1"]);
    }

    #[test]
    fn of_everything_each_name_says_whose_it_is() {
        let all = [
            "shop/db",
            "shop/web.2",
            "shop/web.1",
            "blog/cache",
            "blog/web",
            "nginx-k3f9",
        ];
        assert_eq!(labels(&Wanted::All), all);
    }

    #[test]
    fn a_name_is_a_service_of_here_before_one_of_elsewhere() {
        let wanted = |name: &str| Wanted::Names {
            names: vec![name.to_owned()],
            here: Some("shop".to_owned()),
        };
        assert_eq!(labels(&wanted("web")), ["shop/web.2", "shop/web.1"]);
        assert_eq!(labels(&wanted("cache")), ["blog/cache"]);
        assert_eq!(labels(&wanted("nginx-k3f9")), ["nginx-k3f9"]);
        assert_eq!(labels(&wanted("shop-web-1")), ["shop/web.1"]);
        assert_eq!(labels(&wanted("job")), Vec::<String>::new());
    }

    #[test]
    fn a_line_of_json_has_all_of_it_side_by_side() {
        let usage = BTreeMap::from([("shop-db-1-id".to_owned(), usage(3.0, 1))]);
        let wanted = Wanted::Workspace("shop".to_owned());
        let rows = world().rows(&wanted, &usage);
        let first = serde_json::to_value(&rows[0]).unwrap();
        assert_eq!(
            (&first["service"], &first["cpu"]),
            (&"db".into(), &3.0.into())
        );
        assert_eq!(first["container"], "shop-db-1");
        // Not measured yet: not said.
        assert!(serde_json::to_value(&rows[1]).unwrap().get("cpu").is_none());
    }
}
