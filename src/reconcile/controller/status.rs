//! How things are: one look, told service by service.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::{Controller, Look, Meant, heal::crash_note, leaving::is_leaving, not_up};
use crate::{
    reconcile::event::Problem,
    workspace::{
        Aspect, ContainerState, Hold, Kind, ObservedContainer, Override, Overrides, Readiness,
        RunState, Service, ServiceName, Workspace,
    },
};

/// How one workspace is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Status {
    /// The version of this form.
    pub schema: u32,
    /// The workspace's key.
    pub workspace: String,
    /// The folder it was brought up from.
    pub folder: String,
    /// Its services, in the order of the file.
    pub services: Vec<ServiceStatus>,
    /// Its commands that `up` runs.
    pub commands: Vec<CommandStatus>,
}

/// How one service is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// One word for people and programs.
    pub state: ServiceState,
    /// Replicas wanted.
    pub replicas: u32,
    /// Its containers.
    pub containers: Vec<ContainerStatus>,
    /// Its host name through the proxy.
    pub host: Option<String>,
    /// Anything a person should know: a hold, a crash loop.
    pub note: Option<String>,
    /// Where its containers are not as declared, before that is healed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub drift: Vec<String>,
    /// It is kept as it was, because its newest form did not come up: why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept_because: Option<String>,
    /// The order that holds it stopped or started, if one does.
    #[serde(default)]
    pub hold: Option<Override>,
    /// The order that says how many replicas there are, if one does.
    #[serde(default)]
    pub scale: Option<Override>,
}

/// One word for how a service is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ServiceState {
    /// Every replica is ready.
    Ready,
    /// Some replica is not ready yet.
    Starting,
    /// Some replica's health check fails.
    Unhealthy,
    /// Some replica ended.
    Exited,
    /// Some replica is not there.
    Missing,
    /// Held stopped by an order.
    Held,
    /// None of its profiles is active.
    Off,
}

impl std::fmt::Display for ServiceState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Unhealthy => "unhealthy",
            Self::Exited => "exited",
            Self::Missing => "missing",
            Self::Held => "held",
            Self::Off => "off",
        })
    }
}

/// How one container is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ContainerStatus {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The engine's word: `running`, `exited`, `created`, `paused`, `dead`.
    pub state: String,
    /// Whether it is ready.
    pub readiness: Readiness,
    /// Seconds it has been running, or since it ended.
    pub seconds: Option<u64>,
    /// Its exit code, if it ended.
    pub exit_code: Option<i64>,
    /// The image it was created from.
    pub image: String,
    /// Its addresses, one a network.
    pub addresses: Vec<String>,
    /// Host ports: `127.0.0.1:15432->5432/tcp`.
    pub ports: Vec<String>,
    /// How often it was started again since it last lived long enough.
    pub restarts: u32,
}

/// How one command is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct CommandStatus {
    /// Its name.
    pub name: String,
    /// `completed`, `failed`, `running` or `not run`.
    pub state: String,
    /// Its container, if it is still there.
    pub container: Option<ContainerStatus>,
}

/// What a reference means, for whoever wants to exec or read logs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Found {
    /// The service, if it was one.
    pub service: Option<String>,
    /// The containers, first replica first.
    pub containers: Vec<ContainerStatus>,
    /// The host name through the proxy, if it leads there.
    #[serde(default)]
    pub host: Option<String>,
    /// What paths have to begin with there, if not any will do.
    #[serde(default)]
    pub path: Option<String>,
}

impl Controller {
    /// How one workspace is.
    ///
    /// # Errors
    /// If it is not up, or the engine cannot be looked at.
    pub async fn status(&self, key: &str) -> Result<Status, Problem> {
        let look = self.glance().await.map_err(|error| Problem::from(&error))?;
        self.status_at(&look, key)
    }

    /// How one workspace was at that look.
    fn status_at(&self, look: &Look, key: &str) -> Result<Status, Problem> {
        let mut workspaces = look.workspaces.iter();
        let workspace = workspaces.find(|workspace| workspace.identity.key() == key);
        Ok(self.status_of(look, workspace.ok_or_else(|| not_up(key))?))
    }

    /// How every workspace was at that look.
    pub fn statuses(&self, look: &Look) -> Vec<Status> {
        let workspaces = look.workspaces.iter();
        workspaces
            .map(|workspace| self.status_of(look, workspace))
            .collect()
    }

    /// What a reference means.
    ///
    /// # Errors
    /// If nothing is meant, or more than one thing.
    pub async fn find(&self, reference: &str, workspace: Option<&str>) -> Result<Found, Problem> {
        let look = self.glance().await.map_err(|error| Problem::from(&error))?;
        match self.meant_at(&look, reference, workspace)? {
            Meant::Service { key, name } => {
                let status = self.status_at(&look, &key)?;
                let service = status
                    .services
                    .into_iter()
                    .find(|service| service.name == name.as_str());
                let (mut containers, host) = service
                    .map(|service| (service.containers, service.host))
                    .unwrap_or_default();
                // An id or a container's name means that replica first.
                containers.sort_by_key(|container| {
                    !(container.name == reference || container.id.starts_with(reference))
                });
                Ok(Found {
                    service: Some(name.to_string()),
                    containers,
                    host,
                    path: self.desired_of(&key).and_then(|desired| {
                        let route = desired.services.get(&name)?.route.as_ref()?;
                        route.path.clone()
                    }),
                })
            }
            Meant::Container(container) => {
                let owner = container.owner.as_ref();
                let is_routed = owner.is_some_and(|owner| owner.kind == Kind::Adhoc);
                Ok(Found {
                    service: None,
                    host: is_routed.then(|| format!("{}.localhost", container.name)),
                    path: None,
                    containers: vec![self.container_status(&container)],
                })
            }
        }
    }

    fn status_of(&self, look: &Look, workspace: &Workspace) -> Status {
        let key = workspace.identity.key();
        let of_kind = |kind: Kind, name: &str| {
            let mut containers: Vec<_> = look
                .observed
                .owned_by(&key)
                .filter(|(_, owner)| owner.kind == kind && owner.name.as_deref() == Some(name))
                .collect();
            containers.sort_by_key(|(_, owner)| owner.replica);
            containers
                .into_iter()
                .map(|(container, _)| container)
                .collect::<Vec<_>>()
        };
        // A status without what the store knows is better than none.
        let overrides = self.store.overrides(&key).unwrap_or_default();
        let fallbacks = self.store.fallbacks(&key).unwrap_or_default();
        let memory = self.store.memory(&key).unwrap_or_default();
        let mut drift = self.drift(look, workspace, &memory);
        let mut services: Vec<_> = workspace
            .services
            .iter()
            .map(|(name, service)| {
                let containers = of_kind(Kind::Service, name.as_str());
                let status = self.service_status(workspace, name, service, &containers, &overrides);
                ServiceStatus {
                    drift: drift.remove(name).unwrap_or_default(),
                    kept_because: fallbacks.of(name, service).map(|it| it.because.clone()),
                    ..status
                }
            })
            .collect();
        if matches!(self.leaving(&key), Ok(Some(_))) {
            for service in &mut services {
                service.note = Some(is_leaving(&key));
            }
        }
        // A run that the store remembers is done, whatever became of its container.
        let completed = memory.completed;
        let commands = workspace
            .commands
            .iter()
            .filter(|(_, command)| command.needed)
            .map(|(name, _)| {
                let container = of_kind(Kind::Command, name.as_str()).pop();
                let state = match container.map(|container| container.state) {
                    Some(ContainerState::Running { .. }) => "running",
                    Some(ContainerState::Exited { code, .. }) if code != 0 => "failed",
                    _ if completed.contains_key(name) => "completed",
                    _ => "not run",
                };
                CommandStatus {
                    name: name.to_string(),
                    state: state.to_owned(),
                    container: container.map(|container| self.container_status(container)),
                }
            })
            .collect();
        Status {
            schema: 1,
            workspace: key.clone(),
            folder: workspace.identity.folder.clone(),
            services,
            commands,
        }
    }

    fn service_status(
        &self,
        workspace: &Workspace,
        name: &ServiceName,
        service: &Service,
        containers: &[&ObservedContainer],
        overrides: &Overrides,
    ) -> ServiceStatus {
        let running = containers
            .iter()
            .filter(|container| container.is_running())
            .count();
        let any = |readiness| {
            containers
                .iter()
                .any(|container| container.is_running() && container.readiness == readiness)
        };
        let state = match &service.run {
            RunState::Stopped { .. } => ServiceState::Held,
            RunState::Off => ServiceState::Off,
            RunState::Running if containers.len() < service.replicas as usize => {
                ServiceState::Missing
            }
            RunState::Running if running < service.replicas as usize => ServiceState::Exited,
            RunState::Running if any(Readiness::Unhealthy) => ServiceState::Unhealthy,
            RunState::Running if any(Readiness::Starting) => ServiceState::Starting,
            RunState::Running => ServiceState::Ready,
        };
        let crash = containers.iter().find_map(|container| {
            let note = self.crash_of(&container.name).and_then(crash_note)?;
            Some(match container.state {
                ContainerState::Exited { code, .. } => format!("exit code {code}, {note}"),
                _ => note,
            })
        });
        let ordered = |aspect| overrides.about(name.as_str(), aspect).cloned();
        let scale = ordered(Aspect::Replicas);
        let note = match (&service.run, scale.as_ref().map(|order| order.hold)) {
            (RunState::Stopped { because }, _) => Some(because.clone()),
            (_, Some(Hold::Replicas(count))) if count != service.replicas => Some(format!(
                "{count} replicas were ordered, and cannot be as it is declared now"
            )),
            _ => crash
                .or_else(|| self.slow_call(workspace, name, service))
                .or_else(|| {
                    let key = workspace.identity.key();
                    let image = service.container.image.reference();
                    (state != ServiceState::Ready)
                        .then(|| self.failing(&key, name, image))
                        .flatten()
                }),
        };
        let has_route = service.route.is_some()
            || containers
                .first()
                .is_some_and(|container| container.exposed.len() == 1);
        ServiceStatus {
            name: name.to_string(),
            state,
            replicas: service.replicas,
            containers: containers
                .iter()
                .map(|container| self.container_status(container))
                .collect(),
            host: has_route.then(|| workspace.identity.host(name.as_str())),
            note,
            drift: Vec::new(),
            kept_because: None,
            hold: ordered(Aspect::Run),
            scale,
        }
    }

    /// What of a service the engine is slow with.
    fn slow_call(
        &self,
        workspace: &Workspace,
        name: &ServiceName,
        service: &Service,
    ) -> Option<String> {
        let containers: Vec<_> = (1..=service.replicas)
            .map(|replica| workspace.identity.container(name, replica))
            .collect();
        self.underway
            .slow(service.container.image.reference(), &containers)
    }

    /// How one container is.
    pub fn container_status(&self, container: &ObservedContainer) -> ContainerStatus {
        let since = |at: SystemTime| at.elapsed().ok().map(|age| age.as_secs());
        let (state, seconds, exit_code) = match container.state {
            ContainerState::Created => ("created", None, None),
            ContainerState::Running { since: at } => ("running", since(at), None),
            ContainerState::Paused => ("paused", None, None),
            ContainerState::Exited { code, at, .. } => ("exited", since(at), Some(code)),
            ContainerState::Dead => ("dead", None, None),
        };
        ContainerStatus {
            name: container.name.to_string(),
            id: container.id.to_string(),
            state: state.to_owned(),
            readiness: container.readiness,
            seconds,
            exit_code,
            image: container.image.to_string(),
            addresses: container
                .networks
                .values()
                .flatten()
                .map(ToString::to_string)
                .collect(),
            ports: container
                .ports
                .iter()
                .filter_map(|port| {
                    let host = port.host?;
                    Some(format!(
                        "{}:{host}->{}/{}",
                        port.address, port.container, port.transport
                    ))
                })
                .collect(),
            restarts: self
                .crash_of(&container.name)
                .map_or(0, |crash| crash.restarts),
        }
    }
}
