//! An engine for tests: an [`Observed`] that actions edit.
//!
//! It obeys the rules of a real engine that a plan can fall over: a name is
//! held by one container, a host port by one that runs, a container needs its
//! image and its network, and a start that fails leaves the container behind.
//! It can be told to fail or to die at any call.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    stream::{self, BoxStream},
};

use super::{
    engine::{
        Change, Console, Done, Engine, EngineError, ImageBuild, LogChunk, LogOptions, Login,
        Progress,
    },
    event::Problem,
    execute::Waiter,
};
use crate::{
    plan::{Action, Launch, Reread},
    workspace::{
        AfterCondition, ContainerId, ContainerName, ContainerState, File, ImageRef, Kind,
        LiveSettings, MountSource, Network, NetworkName, Observed, ObservedContainer,
        ObservedNetwork, Readiness, VolumeName, fingerprint,
    },
};

/// An engine whose whole world is one value.
#[derive(Debug, Default)]
pub struct FakeEngine {
    world: Mutex<World>,
}

/// What happens to one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// It is refused, and nothing was done.
    Before(EngineError),
    /// It is done, and its answer is lost.
    After(EngineError),
    /// Cosmos dies before it: this call and all later ones fail until
    /// [`FakeEngine::recover`].
    CrashBefore,
    /// Cosmos dies after it was done.
    CrashAfter,
}

#[derive(Debug, Default)]
struct World {
    observed: Observed,
    calls: Vec<String>,
    faults: BTreeMap<usize, Fault>,
    is_crashed: bool,
    /// What each container was made from, as far as it was made here.
    launches: BTreeMap<ContainerId, Launch>,
    /// What was put into each, by place.
    files: BTreeMap<ContainerId, BTreeMap<String, Vec<u8>>>,
    /// Names under which nothing ever gets ready.
    never_ready: BTreeSet<ContainerName>,
    /// Images that no registry has.
    unpullable: BTreeSet<ImageRef>,
    /// Images whose program ends at once.
    broken: BTreeSet<ImageRef>,
    /// Exit codes of one-shots that do not end with 0.
    exit_codes: BTreeMap<ContainerName, i64>,
    /// What containers said.
    output: BTreeMap<String, String>,
    /// Whose output was asked for, and what of it.
    read: Vec<(String, LogOptions)>,
    /// What was put into whom, and where.
    copied: Vec<(ContainerId, String, String)>,
    made: u64,
}

impl FakeEngine {
    /// An engine that has this.
    pub fn new(observed: Observed) -> Self {
        let fake = Self::default();
        fake.world().observed = observed;
        fake
    }

    /// What it has now.
    pub fn observed(&self) -> Observed {
        self.world().observed.clone()
    }

    /// What is in a container of the files that were put there.
    pub fn files_of(&self, id: &ContainerId) -> BTreeMap<String, Vec<u8>> {
        self.world().files.get(id).cloned().unwrap_or_default()
    }

    /// Changes what it has, as somebody with a hand on the engine would.
    pub fn edit(&self, edit: impl FnOnce(&mut Observed)) {
        edit(&mut self.world().observed);
    }

    /// Every action so far, as a plan prints it.
    pub fn calls(&self) -> Vec<String> {
        self.world().calls.clone()
    }

    /// What happens to the call of this number, from 0.
    pub fn fail(&self, call: usize, fault: Fault) {
        self.world().faults.insert(call, fault);
    }

    /// Forgets every fault, and lives again after a crash.
    pub fn recover(&self) {
        let mut world = self.world();
        world.faults.clear();
        world.is_crashed = false;
    }

    /// Whatever has this name is never ready.
    pub fn never_ready(&self, name: &ContainerName) {
        self.world().never_ready.insert(name.clone());
    }

    /// No registry has this image.
    pub fn unpullable(&self, image: &ImageRef) {
        self.world().unpullable.insert(image.clone());
    }

    /// Whatever runs this image ends at once, with 1.
    pub fn broken(&self, image: &ImageRef) {
        self.world().broken.insert(image.clone());
    }

    /// Every program works again.
    pub fn mend(&self) {
        self.world().broken.clear();
    }

    /// The one-shot of this name ends with this code.
    pub fn exit_with(&self, name: &ContainerName, code: i64) {
        self.world().exit_codes.insert(name.clone(), code);
    }

    /// The container said this.
    pub fn says(&self, name: &ContainerName, output: &str) {
        let mut world = self.world();
        world.output.insert(name.to_string(), output.to_owned());
    }

    /// Whose output was asked for so far, and what of it.
    pub fn read(&self) -> Vec<(String, LogOptions)> {
        self.world().read.clone()
    }

    /// What was put into whom so far, and where.
    pub fn files(&self) -> Vec<(ContainerId, String, String)> {
        self.world().copied.clone()
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // Whoever panicked with the lock failed a test of its own.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for FakeEngine {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        ready(self.world().look()).boxed()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        _progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        ready(self.world().call(action)).boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        stream::once(ready(Change::Connected))
            .chain(stream::pending())
            .boxed()
    }
}

/// It says nothing, and what has ended ended with the code it has.
impl Console for FakeEngine {
    fn logs(
        &self,
        container: &str,
        options: LogOptions,
    ) -> BoxStream<'static, Result<LogChunk, EngineError>> {
        let mut world = self.world();
        world.read.push((container.to_owned(), options));
        match world.output.get(container).cloned() {
            Some(output) => stream::iter([Ok(LogChunk::Out(output.into()))]).boxed(),
            None => stream::empty().boxed(),
        }
    }

    fn wait<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<i64, EngineError>> {
        let observed = self.observed();
        let mut containers = observed.containers.iter();
        let code = containers
            .find(|one| one.name.as_str() == container)
            .and_then(|one| match one.state {
                ContainerState::Exited { code, .. } => Some(code),
                _ => None,
            });
        async move {
            match code {
                Some(code) => Ok(code),
                None => std::future::pending().await,
            }
        }
        .boxed()
    }

    fn exec<'a>(
        &'a self,
        container: &'a str,
        _command: &'a [String],
    ) -> BoxFuture<'a, Result<(i64, Vec<LogChunk>), EngineError>> {
        ready(Err(not_found(&container))).boxed()
    }

    fn put_files<'a>(
        &'a self,
        container: &'a ContainerId,
        folder: &'a str,
        tar: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        async move {
            let mut content = Vec::new();
            let mut tar = tar;
            while let Some(chunk) = tar.next().await {
                let chunk = chunk.map_err(|error| EngineError::Refused {
                    status: 400,
                    message: error.to_string(),
                })?;
                content.extend_from_slice(&chunk);
            }
            let mut world = self.world();
            if !world
                .observed
                .containers
                .iter()
                .any(|one| one.id == *container)
            {
                return Err(not_found(container));
            }
            let said = String::from_utf8_lossy(&content).into_owned();
            world
                .copied
                .push((container.clone(), folder.to_owned(), said));
            Ok(())
        }
        .boxed()
    }

    fn remove_files<'a>(
        &'a self,
        container: &'a ContainerId,
        _paths: &'a [String],
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        ready(Err(not_found(container))).boxed()
    }

    fn log_in(&self, _logins: Vec<Login>) {}

    fn build<'a>(
        &'a self,
        build: ImageBuild,
        _context: BoxStream<'static, Result<Bytes, std::io::Error>>,
        _progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        ready(Err(not_found(&build.tag))).boxed()
    }
}

impl Waiter for FakeEngine {
    fn wait<'a>(
        &'a self,
        containers: &'a [ContainerName],
        condition: AfterCondition,
        _patience: Duration,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        let mut world = self.world();
        if condition == AfterCondition::Ready {
            world.let_time_pass(containers);
        }
        let fails = containers.iter().find(|name| !world.meets(name, condition));
        let result = match fails {
            None => Ok(()),
            Some(name) => Err(Problem::new(
                "not_ready",
                format!("`{name}` is not {condition}"),
            )),
        };
        ready(result).boxed()
    }
}

impl World {
    fn look(&self) -> Result<Observed, EngineError> {
        match self.is_crashed {
            true => Err(died()),
            false => Ok(self.observed.clone()),
        }
    }

    fn call(&mut self, action: &Action) -> Result<Done, EngineError> {
        let number = self.calls.len();
        self.calls.push(action.to_string());
        if self.is_crashed {
            return Err(died());
        }
        match self.faults.get(&number).cloned() {
            None => self.perform(action),
            Some(Fault::Before(error)) => Err(error),
            Some(Fault::After(error)) => {
                self.perform(action)?;
                Err(error)
            }
            Some(Fault::CrashBefore) => {
                self.is_crashed = true;
                Err(died())
            }
            Some(Fault::CrashAfter) => {
                self.is_crashed = true;
                // Whether it was done or not: nobody is there to be told.
                let _ = self.perform(action);
                Err(died())
            }
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
        let mut containers = self.observed.containers.iter();
        if let Some(user) = containers.find(|one| one.networks.contains_key(network)) {
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
        let container = self.container(container)?;
        container.networks.insert(network.clone(), None);
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
        if self.container(&launch.name).is_ok() {
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
            ports: launch.container.ports.clone(),
            exposed: Vec::new(),
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
        let held = |port: &u16| {
            let mut running = self
                .observed
                .containers
                .iter()
                .filter(|one| one.is_running());
            running.any(|one| one.ports.iter().any(|held| held.host == Some(*port)))
        };
        let mut wanted = container.ports.iter().filter_map(|port| port.host);
        if let Some(port) = wanted.find(held) {
            return Err(EngineError::PortTaken { port });
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
        let container = self.container(name)?;
        container.readiness = readiness;
        container.state = match is_one_shot || is_broken {
            true => exited(code),
            false => ContainerState::Running {
                since: SystemTime::UNIX_EPOCH,
            },
        };
        Ok(())
    }

    fn stop(&mut self, name: &ContainerName) -> Result<(), EngineError> {
        let container = self.container(name)?;
        if matches!(
            container.state,
            ContainerState::Running { .. } | ContainerState::Paused
        ) {
            container.state = exited(143);
            container.readiness = Readiness::Starting;
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
    fn let_time_pass(&mut self, names: &[ContainerName]) {
        for one in &mut self.observed.containers {
            let is_awaited = names.contains(&one.name) && one.is_running();
            if is_awaited && !self.never_ready.contains(&one.name) {
                one.readiness = Readiness::Ready;
            }
        }
    }

    fn meets(&self, name: &ContainerName, condition: AfterCondition) -> bool {
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

fn not_found(what: &impl std::fmt::Display) -> EngineError {
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
