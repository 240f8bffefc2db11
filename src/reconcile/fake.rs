//! An engine for tests: an [`Observed`] that actions edit.
//!
//! It obeys the rules of a real engine that a plan can fall over: a name is
//! held by one container, a host port by one that runs, a container needs its
//! image and its network, and a start that fails leaves the container behind.
//! It can be told to fail or to die at any call, to hide what it did last, and
//! what it tells of changes.

mod world;

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::{BoxFuture, ready},
    stream::{self, BoxStream},
};
use tokio::{sync::mpsc, task::yield_now};

use self::world::{World, not_found};
use super::{
    engine::{
        Change, Console, Done, Engine, EngineError, ImageBuild, LogChunk, LogOptions, Login,
        Progress,
    },
    event::Problem,
    execute::Waiter,
};
use crate::{
    plan::Action,
    workspace::{AfterCondition, ContainerId, ContainerName, ContainerState, ImageRef, Observed},
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
    /// Cosmos dies in the middle of it: a launched container is there, and neither
    /// complete nor started; a restarted one is stopped. Of what has no middle,
    /// nothing was done.
    CrashMidway,
    /// Cosmos dies after it was done.
    CrashAfter,
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

    /// What happens to so many of the next calls of this kind, by the first word
    /// of the action: `start`.
    pub fn fail_next(&self, kind: &'static str, times: usize, fault: &Fault) {
        let faults = std::iter::repeat_n((kind, fault.clone()), times);
        self.world().by_kind.extend(faults);
    }

    /// Cosmos dies now.
    pub fn crash(&self) {
        self.world().is_crashed = true;
    }

    /// Whether Cosmos died.
    pub fn is_crashed(&self) -> bool {
        self.world().is_crashed
    }

    /// Forgets every fault, and lives again after a crash.
    pub fn recover(&self) {
        let mut world = self.world();
        world.faults.clear();
        world.by_kind.clear();
        world.stale = None;
        world.lags.clear();
        world.is_crashed = false;
    }

    /// A glance shows this from now on, whatever there is.
    pub fn remember(&self, seen: Observed) {
        self.world().remembered = Some(seen);
    }

    /// The next look does not show the last so many writes yet.
    pub fn lag(&self, writes: usize) {
        self.world().stale = Some(writes);
    }

    /// Every call lets others have so many turns first.
    pub fn take_time(&self, turns: usize) {
        self.world().turns = turns;
    }

    /// The look after the call of this number does not show that one yet, nor so many
    /// before it.
    pub fn lag_after(&self, call: usize, before: usize) {
        self.world().lags.insert(call, before + 1);
    }

    /// Tells whoever listens that something may have changed.
    pub fn hint(&self) {
        self.world().tell(&Change::Other);
    }

    /// The streams of changes end, as when the engine restarts.
    pub fn end_changes(&self) {
        self.world().listeners.clear();
    }

    /// Nothing of what changes is told from now on, or it is again.
    pub fn mute(&self, is_mute: bool) {
        self.world().is_mute = is_mute;
    }

    /// Containers that were started without all that belongs in them.
    pub fn started_incomplete(&self) -> Vec<ContainerName> {
        self.world().started_incomplete.clone()
    }

    /// Another engine that has what this one has.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self {
            world: Mutex::new(self.world().fork()),
        }
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

    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        ready(Ok(self.world().remembered.clone())).boxed()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        _progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        let turns = self.world().turns;
        async move {
            for _ in 0..turns {
                yield_now().await;
            }
            self.world().call(action)
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        let (sender, listener) = mpsc::unbounded_channel();
        self.world().listeners.push(sender);
        let told = stream::unfold(listener, async |mut listener| {
            let change = listener.recv().await?;
            Some((change, listener))
        });
        stream::once(ready(Change::Connected)).chain(told).boxed()
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
        let follows = options.follow;
        world.read.push((container.to_owned(), options));
        let output = world.output.get(container).cloned();
        let said = stream::iter(output.map(|output| Ok(LogChunk::Out(output.into()))));
        match follows {
            true => said.chain(stream::pending()).boxed(),
            false => said.boxed(),
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

    fn used<'a>(
        &'a self,
        _container: &'a ContainerId,
    ) -> BoxFuture<'a, Result<super::engine::Used, EngineError>> {
        ready(Ok(super::engine::Used::default())).boxed()
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
