//! The world of the engine for tests, and its rules.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    time::SystemTime,
};

use tokio::sync::mpsc::UnboundedSender;

use super::{
    super::engine::{Change, Done, EngineError, LogOptions},
    Fault,
};
use crate::{
    plan::{Action, Launch, Reread},
    workspace::{
        AfterCondition, ContainerId, ContainerName, ContainerState, File, ImageRef, Kind,
        LiveSettings, MountSource, Network, NetworkName, Observed, ObservedContainer,
        ObservedNetwork, PortPublish, Readiness, VolumeName, fingerprint,
    },
};

/// Where an engine looks for a free host port first.
const FIRST_CHOICE: u16 = 32768;

/// As far back as a look can lag behind.
const REMEMBERED: usize = 8;

#[derive(Debug, Default)]
pub(super) struct World {
    pub(super) observed: Observed,
    pub(super) calls: Vec<String>,
    pub(super) faults: BTreeMap<usize, Fault>,
    /// What happens to the next calls of a kind.
    pub(super) by_kind: Vec<(&'static str, Fault)>,
    pub(super) is_crashed: bool,
    /// What it had before each of the last writes, the oldest first.
    pub(super) past: VecDeque<Observed>,
    /// How many writes the look after a call does not show.
    pub(super) lags: BTreeMap<usize, usize>,
    /// How many writes the next look does not show.
    /// What a glance shows.
    pub(super) remembered: Option<Observed>,
    pub(super) stale: Option<usize>,
    /// Who is told of changes.
    pub(super) listeners: Vec<UnboundedSender<Change>>,
    /// Nothing is told.
    pub(super) is_mute: bool,
    /// How many turns others have before each call.
    pub(super) turns: usize,
    /// Containers without all that belongs in them.
    pub(super) incomplete: BTreeSet<ContainerId>,
    /// Those that were started all the same.
    pub(super) started_incomplete: Vec<ContainerName>,
    /// What each container was made from, as far as it was made here.
    pub(super) launches: BTreeMap<ContainerId, Launch>,
    /// What was put into each, by place.
    pub(super) files: BTreeMap<ContainerId, BTreeMap<String, Vec<u8>>>,
    /// Names under which nothing ever gets ready.
    pub(super) never_ready: BTreeSet<ContainerName>,
    /// Images that no registry has.
    pub(super) unpullable: BTreeSet<ImageRef>,
    /// Images whose program ends at once.
    pub(super) broken: BTreeSet<ImageRef>,
    /// Exit codes of one-shots that do not end with 0.
    pub(super) exit_codes: BTreeMap<ContainerName, i64>,
    /// What containers said.
    pub(super) output: BTreeMap<String, String>,
    /// Whose output was asked for, and what of it.
    pub(super) read: Vec<(String, LogOptions)>,
    /// What was put into whom, and where.
    pub(super) copied: Vec<(ContainerId, String, String)>,
    pub(super) made: u64,
}

impl World {
    /// The same world, that nobody listens to and nothing befalls.
    pub(super) fn fork(&self) -> Self {
        Self {
            observed: self.observed.clone(),
            calls: self.calls.clone(),
            incomplete: self.incomplete.clone(),
            launches: self.launches.clone(),
            never_ready: self.never_ready.clone(),
            unpullable: self.unpullable.clone(),
            broken: self.broken.clone(),
            exit_codes: self.exit_codes.clone(),
            output: self.output.clone(),
            made: self.made,
            ..Self::default()
        }
    }

    pub(super) fn look(&mut self) -> Result<Observed, EngineError> {
        if self.is_crashed {
            return Err(died());
        }
        let back = self.stale.take().unwrap_or(0).min(self.past.len());
        let past = self.past.get(self.past.len() - back);
        Ok(past.unwrap_or(&self.observed).clone())
    }

    pub(super) fn tell(&mut self, change: &Change) {
        if !self.is_mute {
            self.listeners
                .retain(|listener| listener.send(change.clone()).is_ok());
        }
    }

    pub(super) fn call(&mut self, action: &Action) -> Result<Done, EngineError> {
        let number = self.calls.len();
        self.calls.push(action.to_string());
        if let Some(writes) = self.lags.remove(&number) {
            self.stale = Some(writes);
        }
        if self.is_crashed {
            return Err(died());
        }
        let fault = self.faults.get(&number).cloned();
        match fault.or_else(|| self.fault_of(action)) {
            None => self.write(action),
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After(error)) => {
                self.write(action)?;
                Err(error)
            }
            Some(crash) => {
                self.is_crashed = true;
                // Whether it was done or not: nobody is there to be told.
                let _ = match crash {
                    Fault::CrashAfter => self.write(action).map(drop),
                    Fault::CrashMidway => self.begin(action),
                    _ => Ok(()),
                };
                Err(died())
            }
        }
    }

    /// What befalls the next call of this kind.
    fn fault_of(&mut self, action: &Action) -> Option<Fault> {
        let text = action.to_string();
        let kind = text.split(' ').next()?;
        let mut faults = self.by_kind.iter();
        let index = faults.position(|(of, _)| *of == kind)?;
        Some(self.by_kind.remove(index).1)
    }

    /// Carries an action out, and tells of it.
    fn write(&mut self, action: &Action) -> Result<Done, EngineError> {
        self.past.push_back(self.observed.clone());
        if self.past.len() > REMEMBERED {
            self.past.pop_front();
        }
        let done = self.perform(action);
        self.tell(&Change::Other);
        done
    }

    /// The first half of an action.
    fn begin(&mut self, action: &Action) -> Result<(), EngineError> {
        match action {
            Action::Launch(launch) | Action::Create(launch) => {
                let id = self.create(launch)?;
                self.incomplete.insert(id);
                Ok(())
            }
            Action::Restart { container, .. } => self.stop(container),
            _ => Ok(()),
        }
    }

    fn perform(&mut self, action: &Action) -> Result<Done, EngineError> {
        match action {
            Action::PullImage { image } => self.pull(image)?,
            Action::CreateNetwork { network, workspace } => self.create_network(network, workspace),
            Action::RemoveNetwork { network } => self.remove_network(network)?,
            Action::ConnectNetwork {
                container, network, ..
            } => self.connect(container, network)?,
            Action::DisconnectNetwork { container, network } => {
                self.container(container)?.networks.remove(network);
            }
            Action::CreateVolume { volume, .. } => {
                self.observed.volumes.insert(volume.clone());
            }
            Action::RemoveVolume { volume } => self.remove_volume(volume)?,
            Action::Create(launch) => return self.create(launch).map(Done::Created),
            Action::Launch(launch) => {
                let id = self.create(launch)?;
                self.start(&launch.name)?;
                return Ok(Done::Created(id));
            }
            Action::Start { container, .. } => self.start(container)?,
            Action::Restart { container, .. } => {
                self.stop(container)?;
                self.start(container)?;
            }
            Action::Stop { container, .. } => self.stop(container)?,
            Action::Remove { container } => {
                let containers = &mut self.observed.containers;
                containers.retain(|one| one.name != *container);
            }
            Action::Rename { from, to } => self.rename(from, to)?,
            Action::Update {
                container,
                resources,
            } => self.container(container)?.live.resources = *resources,
            Action::Reload {
                container,
                id,
                files,
                then,
            } => {
                self.write_files(container, id, files)?;
                if let Reread::Restart { .. } = then {
                    self.stop(container)?;
                    self.start(container)?;
                }
            }
            Action::Await { .. } | Action::BuildImage { .. } => {
                return Err(EngineError::Refused {
                    status: 0,
                    message: format!("not an engine's: {action}"),
                });
            }
        }
        Ok(Done::Done)
    }

    fn pull(&mut self, image: &ImageRef) -> Result<(), EngineError> {
        if self.unpullable.contains(image) {
            return Err(no_image(image));
        }
        let id = format!("sha256:{}", fingerprint::short_hash(image.as_str()));
        self.observed.images.entry(image.clone()).or_insert(id);
        Ok(())
    }

    fn create_network(&mut self, network: &Network, workspace: &Option<String>) {
        if self.has_network(&network.name) {
            return;
        }
        self.made += 1;
        self.observed.networks.push(ObservedNetwork {
            id: format!("net{}", self.made),
            name: network.name.clone(),
            workspace: workspace.clone(),
            managed: true,
            internal: network.internal,
            driver: network.driver.clone(),
            subnets: network.subnet.iter().cloned().collect(),
            gateways: Vec::new(),
        });
    }

    fn remove_network(&mut self, network: &NetworkName) -> Result<(), EngineError> {
        for one in &mut self.observed.containers {
            if one.owner.as_ref().is_some_and(|it| it.kind == Kind::Proxy) {
                one.networks.remove(network);
            }
        }
        // Whoever does not run is in it by name only.
        let is_user =
            |one: &&ObservedContainer| is_alive(one) && one.networks.contains_key(network);
        let mut containers = self.observed.containers.iter();
        if let Some(user) = containers.find(is_user) {
            return Err(conflict(format!("{} is in {network}", user.name)));
        }
        self.observed.networks.retain(|one| one.name != *network);
        Ok(())
    }

    fn connect(
        &mut self,
        container: &ContainerName,
        network: &NetworkName,
    ) -> Result<(), EngineError> {
        if !self.has_network(network) {
            return Err(not_found(network));
        }
        self.made += 1;
        let address = address(self.made);
        let container = self.container(container)?;
        let address = container.is_running().then_some(address);
        container.networks.insert(network.clone(), address);
        Ok(())
    }

    fn remove_volume(&mut self, volume: &VolumeName) -> Result<(), EngineError> {
        let mounts = |launch: &Launch| {
            let mut mounts = launch.container.mounts.iter();
            mounts.any(|mount| mount.source == MountSource::Volume(volume.clone()))
        };
        let mut containers = self.observed.containers.iter();
        if containers.any(|one| self.launches.get(&one.id).is_some_and(mounts)) {
            return Err(conflict(format!("{volume} is in use")));
        }
        self.observed.volumes.remove(volume);
        Ok(())
    }

    fn create(&mut self, launch: &Launch) -> Result<ContainerId, EngineError> {
        let image = launch.container.image.reference();
        let Some(image_id) = self.observed.images.get(image).cloned() else {
            return Err(no_image(image));
        };
        if let Ok(holder) = self.container(&launch.name) {
            // What an earlier try of this very launch left is completed.
            let is_earlier = holder.owner.as_ref() == Some(&launch.owner);
            let id = holder.id.clone();
            if is_earlier && self.launches.contains_key(&id) {
                self.incomplete.remove(&id);
                return Ok(id);
            }
            return Err(conflict(format!("the name {} is in use", launch.name)));
        }
        let networks = || std::iter::once(&launch.network).chain(&launch.container.networks);
        if let Some(missing) = networks().find(|network| !self.has_network(network)) {
            return Err(not_found(missing));
        }
        self.made += 1;
        let hash = fingerprint::short_hash(&self.made.to_string());
        let id = ContainerId::new(hash.repeat(8)).map_err(|error| conflict(error.to_string()))?;
        let files = launch.container.files.iter().map(placed);
        self.files.insert(id.clone(), files.collect());
        self.launches.insert(id.clone(), launch.clone());
        self.observed.containers.push(ObservedContainer {
            id: id.clone(),
            name: launch.name.clone(),
            owner: Some(launch.owner.clone()),
            image: image.clone(),
            image_id,
            state: ContainerState::Created,
            readiness: Readiness::Starting,
            networks: networks().map(|network| (network.clone(), None)).collect(),
            live: LiveSettings {
                resources: launch.container.resources,
            },
            ports: Vec::new(),
            exposed: Vec::new(),
            nameless: launch
                .container
                .mounts
                .iter()
                .filter(|mount| mount.source == MountSource::Anonymous)
                .map(|mount| mount.target.clone())
                .collect(),
        });
        Ok(id)
    }

    fn write_files(
        &mut self,
        name: &ContainerName,
        id: &ContainerId,
        files: &[File],
    ) -> Result<(), EngineError> {
        if self.container(name)?.id != *id {
            return Err(conflict(format!("{name} is another container")));
        }
        let has = self.files.entry(id.clone()).or_default();
        has.extend(files.iter().map(placed));
        Ok(())
    }

    fn start(&mut self, name: &ContainerName) -> Result<(), EngineError> {
        let container = self.container(name)?.clone();
        if container.is_running() {
            return Ok(());
        }
        // An engine cannot start what remembers a network that is gone.
        let mut networks = container.networks.keys();
        if let Some(gone) = networks.find(|network| !self.has_network(network)) {
            return Err(not_found(gone));
        }
        let ports = self.bound(&container)?;
        if self.incomplete.contains(&container.id) {
            self.started_incomplete.push(name.clone());
        }
        let is_broken = self.broken.contains(&container.image);
        let is_one_shot = container
            .owner
            .is_some_and(|owner| owner.kind == Kind::Command);
        let code = self.exit_codes.get(name).copied();
        let code = code.unwrap_or(i64::from(is_broken));
        let readiness = match self.never_ready.contains(name) {
            true => Readiness::Unhealthy,
            false => Readiness::Ready,
        };
        self.made += 1;
        let address = address(self.made);
        let container = self.container(name)?;
        container.readiness = readiness;
        if is_one_shot || is_broken {
            container.state = exited(code);
            return Ok(());
        }
        container.ports = ports;
        container.state = ContainerState::Running {
            since: SystemTime::UNIX_EPOCH,
        };
        for at in container.networks.values_mut() {
            *at = Some(address);
        }
        Ok(())
    }

    /// The host ports that a container gets if it starts now.
    fn bound(&self, container: &ObservedContainer) -> Result<Vec<PortPublish>, EngineError> {
        let others = |one: &&ObservedContainer| is_alive(one) && one.id != container.id;
        let running = self.observed.containers.iter().filter(others);
        let mut held: BTreeSet<u16> = running
            .flat_map(|one| one.ports.iter().filter_map(|port| port.host))
            .collect();
        let asked_for = self.launches.get(&container.id);
        let mut ports = asked_for.map_or_else(
            || container.ports.clone(),
            |launch| launch.container.ports.clone(),
        );
        for port in &mut ports {
            let host = port
                .host
                .or_else(|| (FIRST_CHOICE..).find(|port| !held.contains(port)))
                .unwrap_or_default();
            if !held.insert(host) {
                return Err(EngineError::PortTaken { port: host });
            }
            port.host = Some(host);
        }
        Ok(ports)
    }

    fn stop(&mut self, name: &ContainerName) -> Result<(), EngineError> {
        let container = self.container(name)?;
        if matches!(
            container.state,
            ContainerState::Running { .. } | ContainerState::Paused
        ) {
            container.state = exited(143);
            container.readiness = Readiness::Starting;
            container.ports.clear();
            for address in container.networks.values_mut() {
                *address = None;
            }
        }
        Ok(())
    }

    fn rename(&mut self, from: &ContainerName, to: &ContainerName) -> Result<(), EngineError> {
        if self.container(to).is_ok() {
            return Err(conflict(format!("the name {to} is in use")));
        }
        self.container(from)?.name = to.clone();
        Ok(())
    }

    fn container(&mut self, name: &ContainerName) -> Result<&mut ObservedContainer, EngineError> {
        let mut containers = self.observed.containers.iter_mut();
        containers
            .find(|one| one.name == *name)
            .ok_or_else(|| not_found(name))
    }

    fn has_network(&self, name: &NetworkName) -> bool {
        let mut networks = self.observed.networks.iter();
        networks.any(|network| network.name == *name)
    }

    /// Whoever is waited for gets ready, if it ever does.
    pub(super) fn let_time_pass(&mut self, names: &[ContainerName]) {
        for one in &mut self.observed.containers {
            let is_awaited = names.contains(&one.name) && one.is_running();
            if is_awaited && !self.never_ready.contains(&one.name) {
                one.readiness = Readiness::Ready;
            }
        }
    }

    pub(super) fn meets(&self, name: &ContainerName, condition: AfterCondition) -> bool {
        let Some(container) = self.observed.container(name) else {
            return false;
        };
        match condition {
            AfterCondition::Started => container.is_running(),
            AfterCondition::Ready => {
                container.is_running() && container.readiness == Readiness::Ready
            }
            AfterCondition::Completed => {
                matches!(container.state, ContainerState::Exited { code: 0, .. })
            }
        }
    }
}

/// An address that nobody had before, of a range that leads nowhere.
fn address(number: u64) -> IpAddr {
    let [.., high, low] = number.to_be_bytes();
    IpAddr::from([198, 18, high, low])
}

/// Whether it holds what a running container does.
fn is_alive(container: &ObservedContainer) -> bool {
    matches!(
        container.state,
        ContainerState::Running { .. } | ContainerState::Paused
    )
}

/// What nobody is told any more: whoever asked is dead.
fn died() -> EngineError {
    EngineError::Unreachable {
        endpoint: "fake".to_owned(),
        cause: "cosmos died".to_owned(),
    }
}

/// A file's place and content.
fn placed(file: &File) -> (String, Vec<u8>) {
    (file.target.clone(), file.content.clone())
}

fn exited(code: i64) -> ContainerState {
    ContainerState::Exited {
        code,
        at: SystemTime::UNIX_EPOCH,
        out_of_memory: false,
    }
}

pub(super) fn not_found(what: &impl std::fmt::Display) -> EngineError {
    EngineError::NotFound {
        what: format!("no such thing: {what}"),
    }
}

fn no_image(image: &ImageRef) -> EngineError {
    EngineError::NoImage {
        image: image.to_string(),
        cause: "manifest unknown".to_owned(),
    }
}

fn conflict(what: String) -> EngineError {
    EngineError::Conflict { what }
}
