//! What must be there before something can start: images, volumes, the network,
//! and the parts it depends on. Each is looked at when it is first needed, so a
//! workspace that is up to date asks for nothing.

use std::time::Duration;

use indexmap::IndexMap;

use super::{
    action::{Action, StepId, Subject},
    planner::Planner,
    reason::Reason,
};
use crate::workspace::{
    AfterCondition, Container, ContainerName, Image, ImageRef, Kind, MountSource, NetworkName,
    ObservedContainer, PullPolicy, VolumeName,
};

/// The steps to wait for, or what is in the way.
pub(super) type Needs = Result<Vec<StepId>, Obstacle>;

/// Something in the world that forbids a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Obstacle {
    pub(super) code: &'static str,
    pub(super) why: String,
    pub(super) hint: Option<String>,
}

/// Something that several parts may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Shared<'a> {
    Image(&'a ImageRef),
    Volume(&'a VolumeName),
    Network,
    /// The proxy's way into the network.
    Door,
    /// A network beside the workspace's own.
    Further(&'a NetworkName),
}

/// How a part stands, for those that depend on it.
#[derive(Debug, Clone)]
pub(super) enum Standing {
    /// It runs, or will once some steps are done.
    Up(Up),
    /// A command that ran to its end already.
    Done,
    /// Held stopped by an order. An order outranks the declaration: whoever
    /// stopped it wants to see the others without it.
    Held,
    /// Declared, and not run: why, in words.
    NotRun(&'static str),
    /// It is in the list of what is blocked.
    Blocked,
}

/// A part that runs, or will once some steps are done.
#[derive(Debug, Clone, Default)]
pub(super) struct Up {
    pub(super) containers: Vec<ContainerName>,
    /// The steps after which it has been started.
    pub(super) started: Vec<StepId>,
    /// It has been seen to be ready, and no step changes that.
    pub(super) is_ready: bool,
    /// It is ready once it is started, as far as anyone can tell.
    pub(super) has_no_probe: bool,
    /// It has been seen to have ended with 0.
    pub(super) is_completed: bool,
    /// How long it may take to be ready.
    pub(super) patience: Duration,
    /// The step that waits until it is ready, once there is one.
    pub(super) ready: Option<StepId>,
    /// The step that waits until it is completed, once there is one.
    pub(super) completed: Option<StepId>,
}

/// An hour: a migration or a seed may be long, and has no end of its own to go by.
pub(super) const RUN_PATIENCE: Duration = Duration::from_secs(3600);

impl<'a> Planner<'a> {
    /// All that a new container of a part needs.
    pub(super) fn needs_to_launch(
        &mut self,
        name: &'a str,
        container: &'a Container,
        depends_on: &'a IndexMap<String, AfterCondition>,
    ) -> Needs {
        // Every obstacle before any step: nothing is fetched for what cannot start.
        self.check_dependencies(name, depends_on)?;
        self.check_network()?;
        self.check_further_networks(&container.networks)?;
        self.check_volumes(container)?;
        self.check_image(&container.image)?;
        let mut needs = vec![];
        needs.extend(self.network(name));
        needs.extend(self.further_networks(name, &container.networks));
        for mount in &container.mounts {
            if let MountSource::Volume(volume) = &mount.source {
                needs.extend(self.volume(name, volume));
            }
        }
        needs.extend(self.image(&container.image, &Reason::NeededBy(name)));
        needs.extend(self.dependencies(name, depends_on));
        Ok(needs)
    }

    /// What an existing container needs to start, once it is in these networks.
    pub(super) fn needs_to_start(
        &mut self,
        name: &'a str,
        depends_on: &'a IndexMap<String, AfterCondition>,
        networks: &[&'a NetworkName],
    ) -> Needs {
        self.check_dependencies(name, depends_on)?;
        let mut needs = self.needs_to_connect(name, networks)?;
        needs.extend(self.dependencies(name, depends_on));
        Ok(needs)
    }

    /// What a container needs to be put into networks that it is not in.
    pub(super) fn needs_to_connect(&mut self, name: &str, networks: &[&'a NetworkName]) -> Needs {
        let (own, further): (Vec<_>, Vec<_>) = networks
            .iter()
            .partition(|network| ***network == self.desired.network.name);
        self.check_further_networks(further.iter().copied())?;
        let mut needs = self.further_networks(name, further);
        if !own.is_empty() {
            self.check_network()?;
            needs.extend(self.network(name));
        }
        Ok(needs)
    }

    fn check_further_networks<'n>(
        &self,
        networks: impl IntoIterator<Item = &'n NetworkName>,
    ) -> Result<(), Obstacle> {
        for name in networks {
            let present = self.observed.network(name);
            let is_external = self
                .desired
                .networks
                .get(name)
                .is_some_and(|it| it.external);
            match present {
                None if is_external => return Err(Obstacle::network_missing(name)),
                Some(present) if !is_external && present.workspace.as_ref() != Some(&self.key) => {
                    return Err(Obstacle::network_taken(name));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Networks beside the workspace's own, for what is about to be in them.
    fn further_networks(
        &mut self,
        name: &str,
        networks: impl IntoIterator<Item = &'a NetworkName>,
    ) -> Vec<StepId> {
        let mut needs = Vec::new();
        for network in networks {
            let Some(further) = self.desired.networks.get(network) else {
                continue;
            };
            if self.observed.network(network).is_some() {
                continue;
            }
            let action = Action::CreateNetwork {
                network: further.network.clone(),
                workspace: Some(self.key.clone()),
            };
            let subject = Subject::Network(network.clone());
            let reason = Reason::NeededBy(name);
            needs.push(self.shared_step(Shared::Further(network), &subject, action, &reason));
        }
        needs
    }

    fn check_dependencies(
        &self,
        name: &str,
        depends_on: &IndexMap<String, AfterCondition>,
    ) -> Result<(), Obstacle> {
        let refused = |on: &str, why: &str, hint| Obstacle {
            code: "dependency_blocked",
            why: format!("`{name}` depends on `{on}`, which {why}"),
            hint,
        };
        for on in depends_on.keys() {
            match self.standings.get(on.as_str()) {
                Some(Standing::Blocked) => return Err(refused(on, "cannot start", None)),
                Some(Standing::NotRun(why)) => {
                    return Err(refused(on, why, Some(format!("`cosmos start {on}`"))));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What must be so of other parts before this one starts.
    fn dependencies(
        &mut self,
        name: &str,
        depends_on: &'a IndexMap<String, AfterCondition>,
    ) -> Vec<StepId> {
        let mut needs = Vec::new();
        for (on, condition) in depends_on {
            needs.extend(self.dependency(name, on, *condition));
        }
        needs
    }

    fn dependency(&mut self, name: &str, on: &'a str, condition: AfterCondition) -> Vec<StepId> {
        // Taken out while steps are added, and put back with what is known then.
        let Some((on, standing)) = self.standings.remove_entry(on) else {
            return Vec::new();
        };
        let Standing::Up(mut up) = standing else {
            self.standings.insert(on, standing);
            return Vec::new();
        };
        let needs = match condition {
            AfterCondition::Started => up.started.clone(),
            AfterCondition::Ready if up.has_no_probe => up.started.clone(),
            AfterCondition::Ready if up.is_ready => Vec::new(),
            AfterCondition::Completed if up.is_completed => Vec::new(),
            AfterCondition::Ready => {
                let waits = up
                    .ready
                    .unwrap_or_else(|| self.wait(name, on, &up, condition));
                up.ready = Some(waits);
                vec![waits]
            }
            AfterCondition::Completed => {
                let waits = up
                    .completed
                    .unwrap_or_else(|| self.wait(name, on, &up, condition));
                up.completed = Some(waits);
                vec![waits]
            }
        };
        self.standings.insert(on, Standing::Up(up));
        needs
    }

    fn wait(&mut self, name: &str, on: &str, up: &Up, condition: AfterCondition) -> StepId {
        let action = Action::Await {
            containers: up.containers.clone(),
            condition,
            patience: match condition {
                AfterCondition::Completed => RUN_PATIENCE,
                AfterCondition::Started | AfterCondition::Ready => up.patience,
            },
        };
        let subject = self.subject_of(on);
        self.step(&subject, up.started.clone(), action, &Reason::Before(name))
    }

    /// The service or command of that name.
    fn subject_of(&self, name: &str) -> Subject {
        if let Some((service, _)) = self.desired.services.get_key_value(name) {
            return Subject::Service(service.clone());
        }
        match self.desired.commands.get_key_value(name) {
            Some((command, _)) => Subject::Command(command.clone()),
            None => Subject::Orphan(name.to_owned()),
        }
    }

    fn check_image(&self, image: &Image) -> Result<(), Obstacle> {
        match image {
            Image::Pulled {
                policy: PullPolicy::Never,
                reference,
            } if !self.observed.images.contains_key(reference) => {
                Err(Obstacle::image_missing(reference))
            }
            _ => Ok(()),
        }
    }

    /// The image, for what is about to be made from it.
    pub(super) fn image(&mut self, image: &'a Image, reason: &Reason<'_>) -> Option<StepId> {
        let reference = image.reference();
        if self.observed.images.contains_key(reference) {
            return None;
        }
        let action = match image {
            Image::Built { .. } => Action::BuildImage {
                image: reference.clone(),
            },
            Image::Pulled { .. } => Action::PullImage {
                image: reference.clone(),
            },
        };
        let subject = Subject::Image(reference.clone());
        Some(self.shared_step(Shared::Image(reference), &subject, action, reason))
    }

    fn check_volumes(&self, container: &Container) -> Result<(), Obstacle> {
        for mount in &container.mounts {
            if let MountSource::Volume(name) = &mount.source
                && !self.observed.volumes.contains(name)
                && self.desired.volumes.get(name).is_some_and(|it| it.external)
            {
                return Err(Obstacle::volume_missing(name));
            }
        }
        Ok(())
    }

    fn volume(&mut self, name: &str, volume: &'a VolumeName) -> Option<StepId> {
        if self.observed.volumes.contains(volume) {
            return None;
        }
        let settings = self.desired.volumes.get(volume);
        let action = Action::CreateVolume {
            volume: volume.clone(),
            settings: settings.cloned().unwrap_or_default(),
            workspace: self.key.clone(),
        };
        let subject = Subject::Volume(volume.clone());
        let reason = Reason::NeededBy(name);
        Some(self.shared_step(Shared::Volume(volume), &subject, action, &reason))
    }

    /// The network with the proxy in it: there is no route to a service, and no
    /// probe of it, from outside its network.
    fn network(&mut self, name: &str) -> Option<StepId> {
        let made = self.bare_network(name);
        self.door(made).or(made)
    }

    /// Puts a proxy that is there into a network that it is not in: a new
    /// network, or one that an earlier proxy was in.
    pub(super) fn door(&mut self, made: Option<StepId>) -> Option<StepId> {
        let mut containers = self.observed.containers.iter();
        let proxy = containers.find(|container| {
            container
                .owner
                .as_ref()
                .is_some_and(|owner| owner.kind == Kind::Proxy)
        })?;
        let network = &self.desired.network.name;
        if !proxy.is_running() || proxy.networks.contains_key(network) {
            return None;
        }
        let action = Action::ConnectNetwork {
            container: proxy.name.clone(),
            network: network.clone(),
            aliases: Vec::new(),
        };
        let subject = Subject::Network(network.clone());
        let needs = made.into_iter().collect();
        Some(self.shared_step_after(Shared::Door, needs, &subject, action, &Reason::Routed))
    }

    fn bare_network(&mut self, name: &str) -> Option<StepId> {
        if self.network.is_some() {
            return None;
        }
        let network = &self.desired.network;
        let action = Action::CreateNetwork {
            network: network.clone(),
            workspace: network.isolated.then(|| self.key.clone()),
        };
        let subject = Subject::Network(network.name.clone());
        let reason = Reason::NeededBy(name);
        Some(self.shared_step(Shared::Network, &subject, action, &reason))
    }

    /// A step that several parts need, made for the first of them.
    fn shared_step(
        &mut self,
        shared: Shared<'a>,
        subject: &Subject,
        action: Action,
        reason: &Reason<'_>,
    ) -> StepId {
        self.shared_step_after(shared, Vec::new(), subject, action, reason)
    }

    fn shared_step_after(
        &mut self,
        shared: Shared<'a>,
        needs: Vec<StepId>,
        subject: &Subject,
        action: Action,
        reason: &Reason<'_>,
    ) -> StepId {
        if let Some(step) = self.shared.get(&shared) {
            return *step;
        }
        let step = self.step(subject, needs, action, reason);
        self.shared.insert(shared, step);
        step
    }

    /// Refuses a network that would not isolate as declared: an engine cannot
    /// change one in place, and remaking it would cut what runs.
    pub(super) fn check_network(&self) -> Result<(), Obstacle> {
        let network = &self.desired.network;
        // Shared: whoever made it decided, and the config refuses to differ.
        let Some(present) = self.network.filter(|_| network.isolated) else {
            return Ok(());
        };
        if present.workspace.as_ref() != Some(&self.key) {
            return Err(Obstacle::network_taken(&network.name));
        }
        let other_range = |subnet: &String| !present.subnets.contains(subnet);
        let differs = if present.internal != network.internal {
            Some(format!("internal = {}", present.internal))
        } else if present.driver != network.driver {
            Some(format!("driver = {}", present.driver))
        } else if network.subnet.as_ref().is_some_and(other_range) {
            Some(format!("subnet = {}", present.subnets.join(", ")))
        } else {
            None
        };
        match differs {
            None => Ok(()),
            Some(has) => Err(Obstacle {
                code: "network_differs",
                why: format!("network `{}` is there with {has}", network.name),
                hint: Some("`cosmos down`, then `cosmos up` makes it anew".to_owned()),
            }),
        }
    }
}

impl Obstacle {
    pub(super) fn wanted_twice(name: &ContainerName, first: &Subject) -> Self {
        Self {
            code: "name_taken",
            why: format!("container name `{name}` is wanted by `{first}` as well"),
            hint: Some("give one of them another name".to_owned()),
        }
    }

    pub(super) fn name_taken(name: &ContainerName, holder: &ObservedContainer, key: &str) -> Self {
        let elsewhere = holder.owner.as_ref().and_then(|owner| {
            let same = owner.workspace.as_deref() == Some(key);
            owner.folder.as_ref().filter(|_| same)
        });
        let (by, hint) = match (&holder.owner, elsewhere) {
            (_, Some(folder)) => (
                format!("workspace `{key}` of {folder}"),
                "give this checkout a name of its own: `--instance NAME`".to_owned(),
            ),
            (Some(owner), None) => match (&owner.workspace, owner.kind) {
                (Some(workspace), _) => (
                    format!("workspace `{workspace}`"),
                    "rename one of the two workspaces".to_owned(),
                ),
                (None, Kind::Proxy) => ("the proxy".to_owned(), "rename the service".to_owned()),
                (None, _) => (
                    "an ad-hoc container".to_owned(),
                    format!("remove it: `docker rm -f {name}`"),
                ),
            },
            (None, _) => (
                format!("a container of {} that Cosmos did not make", holder.image),
                format!("rename or remove it: `docker rename {name} {name}-old`"),
            ),
        };
        Self {
            code: "name_taken",
            why: format!("container name `{name}` is taken by {by}"),
            hint: Some(hint),
        }
    }

    fn image_missing(image: &ImageRef) -> Self {
        Self {
            code: "image_not_found",
            why: format!("image `{image}` is not on this engine, and pull = \"never\""),
            hint: Some("build or load it, or allow it to be pulled".to_owned()),
        }
    }

    fn network_taken(network: &NetworkName) -> Self {
        Self {
            code: "network_taken",
            why: format!("network `{network}` is there and is not this workspace's"),
            hint: Some(format!("remove it: `docker network rm {network}`")),
        }
    }

    fn network_missing(network: &NetworkName) -> Self {
        Self {
            code: "network_not_found",
            why: format!("external network `{network}` does not exist"),
            hint: Some(format!("make it: `docker network create {network}`")),
        }
    }

    fn volume_missing(volume: &VolumeName) -> Self {
        Self {
            code: "volume_not_found",
            why: format!("external volume `{volume}` does not exist"),
            hint: Some(format!("make it: `docker volume create {volume}`")),
        }
    }
}
