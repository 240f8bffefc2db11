//! The loop that keeps workspaces true, and the orders that people give it.
//!
//! Level-triggered: whatever woke it (an order, an engine event, a probe's
//! result, the resync), it looks, plans and executes. One reconcile a workspace
//! at a time; engine events are hints, never the truth.
//!
//! Start reading at [`Controller::apply`] in `apply`, then `heal`.

mod apply;
#[cfg(test)]
mod at_once;
mod beside;
mod by_hand;
mod carry_out;
mod choosing;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod crash;
mod drift;
mod files;
mod heal;
mod holds;
mod keeping;
mod leaving;
#[cfg(test)]
mod model;
#[cfg(test)]
mod one_plan;
mod orders;
mod past;
mod ports;
mod rerun;
#[cfg(test)]
mod site;
mod state;
mod status;
#[cfg(test)]
mod tests;
mod wait;
mod waiting;

pub use apply::{Preview, Wish};
pub use files::{Copied, Tar};
pub use holds::Held;
pub use orders::{Meant, Obeyed, Order, RunCommand, Words};
pub use past::{Entry, History, RevisionSummary, Rollback, Why};
pub use rerun::Rerun;
pub use status::{CommandStatus, ContainerStatus, Found, ServiceState, ServiceStatus, Status};
pub use wait::{Condition, Met};

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc, watch};

use super::{
    engine::{Console, Engine, EngineError, Traffic},
    event::{Event, Problem},
    one_look::OneLook,
    own_writes::OwnWrites,
    probe::Probes,
    underway::Underway,
};
use crate::{
    plan::Subject,
    store::{Store, StoreError},
    workspace::{ContainerId, ContainerName, Observed, Readiness, Workspace},
};

/// Where the events of an order go. Nobody may be listening any more.
pub type Events = mpsc::UnboundedSender<Event>;

/// What everyone who looks sees: the desired workspaces and the engine.
#[derive(Debug, Clone, Default)]
pub struct Look {
    /// Every workspace that is up, as declared with its overrides, by key.
    pub workspaces: Vec<Arc<Workspace>>,
    /// The engine, with the probes' results.
    pub observed: Arc<Observed>,
    /// Looks are numbered as they begin: they do not end in this order.
    number: u64,
}

impl Look {
    /// Whether anybody has looked yet. Until then nothing is known, which is not the same
    /// as that there is nothing.
    pub fn was_taken(&self) -> bool {
        self.number > 0
    }
}

/// Keeps every workspace of an installation true.
pub struct Controller {
    engine: Arc<dyn Engine>,
    /// The same engine, as it is asked what it is doing.
    underway: Arc<Underway>,
    console: Arc<dyn Console>,
    store: Arc<Store>,
    probes: Probes,
    /// What is desired, by key: the store's content, with overrides merged in.
    desired: Mutex<BTreeMap<String, Arc<Workspace>>>,
    /// Raised with every hint that the world changed.
    world: watch::Sender<u64>,
    /// The last look, for the routes.
    looked: watch::Sender<Look>,
    /// Whether the engine's events are heard.
    heard: watch::Sender<bool>,
    /// How many looks were begun.
    looks: AtomicU64,
    /// Held by whoever reconciles a workspace.
    turns: Mutex<HashMap<String, Arc<Turn>>>,
    /// How often a container was started again since it last lived long enough.
    crashes: Mutex<HashMap<ContainerName, heal::Crash>>,
    /// What could not be healed, by workspace and subject.
    retries: Mutex<HashMap<(String, Subject), heal::Retry>>,
    /// Since when the engine has been removing a container.
    dying: Mutex<HashMap<ContainerId, tokio::time::Instant>>,
    /// Stopped by somebody else, with the engine's own words, and not started since.
    stopped: Mutex<HashSet<ContainerId>>,
    /// About to be stopped: nobody is sent to them any more.
    leaving: Mutex<HashSet<ContainerName>>,
    /// When holds end that end by themselves.
    ends: Mutex<holds::Ends>,
    /// Who sends requests to containers, once it is there.
    traffic: OnceLock<Arc<dyn Traffic>>,
}

/// One workspace's turn: whoever reconciles it has it. Healing gives it up as
/// soon as a person wants it.
#[derive(Default)]
struct Turn {
    lock: tokio::sync::Mutex<()>,
    wanted: Notify,
    /// A person's order has it.
    is_ordered: AtomicBool,
    /// Healing was turned away from it.
    is_missed: AtomicBool,
    /// The order that has it found nothing to do.
    is_idle: AtomicBool,
}

impl Turn {
    /// Takes the turn for a person's order.
    async fn take<'a>(&'a self, world: &'a watch::Sender<u64>) -> Taken<'a> {
        self.wanted.notify_one();
        let lock = self.lock.lock().await;
        // The wish is fulfilled: whoever heals next must not give way to it.
        let _ = self.wanted.notified().now_or_never();
        self.is_ordered.store(true, Ordering::Relaxed);
        Taken {
            world,
            turn: self,
            lock: Some(lock),
        }
    }

    /// Takes the turn for healing, unless somebody has it: whoever does wakes us when done.
    fn take_to_heal(&self) -> Option<tokio::sync::MutexGuard<'_, ()>> {
        self.lock.try_lock().ok().or_else(|| {
            self.is_missed.store(true, Ordering::SeqCst);
            // Once more: it may have been given up before that was said.
            self.lock.try_lock().ok()
        })
    }

    /// Says that the order which has the turn changes nothing.
    fn finds_nothing_to_do(&self) {
        self.is_idle.store(true, Ordering::SeqCst);
    }
}

/// A turn that a person's order has. When it ends, healing looks again: what
/// changed meanwhile may have been passed over, and what failed is tried again.
struct Taken<'a> {
    world: &'a watch::Sender<u64>,
    turn: &'a Turn,
    lock: Option<tokio::sync::MutexGuard<'a, ()>>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.turn.is_ordered.store(false, Ordering::Relaxed);
        let is_idle = self.turn.is_idle.swap(false, Ordering::SeqCst);
        // First the turn, then the word: who is woken while it is still taken
        // goes back to sleep, and nobody wakes it again.
        drop(self.lock.take());
        let is_missed = self.turn.is_missed.swap(false, Ordering::SeqCst);
        if is_missed || !is_idle {
            self.world.send_modify(|version| *version += 1);
        }
    }
}

impl Controller {
    /// A controller with what the store remembers.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn new(
        engine: Arc<dyn Engine>,
        console: Arc<dyn Console>,
        store: Arc<Store>,
    ) -> Result<Self, StoreError> {
        let probes = Probes::new(Arc::clone(&console));
        let underway = Arc::new(Underway::new(engine));
        let looks = Arc::new(OneLook::new(Arc::clone(&underway) as Arc<dyn Engine>));
        let controller = Self {
            engine: Arc::new(OwnWrites::new(looks)),
            underway,
            console,
            store,
            probes,
            desired: Mutex::default(),
            world: watch::Sender::new(0),
            looked: watch::Sender::new(Look::default()),
            heard: watch::Sender::new(false),
            looks: AtomicU64::new(0),
            turns: Mutex::default(),
            crashes: Mutex::default(),
            retries: Mutex::default(),
            dying: Mutex::default(),
            stopped: Mutex::default(),
            leaving: Mutex::default(),
            ends: Mutex::default(),
            traffic: OnceLock::new(),
        };
        controller.store.interrupt_entries()?;
        for declared in controller.store.all_declared()? {
            controller.desire(&declared.workspace)?;
        }
        Ok(controller)
    }

    /// The engine.
    pub fn engine(&self) -> &dyn Engine {
        &*self.engine
    }

    /// Says who sends requests to containers, so that it is asked before one is
    /// stopped. Only the first one counts.
    pub fn set_traffic(&self, traffic: Arc<dyn Traffic>) {
        let _ = self.traffic.set(traffic);
    }

    /// What was last seen; changes with every look.
    pub fn looked(&self) -> watch::Receiver<Look> {
        self.looked.subscribe()
    }

    /// Whether the engine's events are heard: what ends with the engine's process.
    pub fn heard(&self) -> watch::Receiver<bool> {
        self.heard.subscribe()
    }

    /// Looks at the engine, overlays what the probes know, and shows it to
    /// whoever follows [`Controller::looked`].
    ///
    /// A look that was overtaken by a later one is thrown away, and the later one
    /// is the answer: an old look would bring back the routes and the probes of
    /// containers that are gone.
    ///
    /// # Errors
    /// If the engine cannot be looked at.
    pub async fn look(&self) -> Result<Look, EngineError> {
        let number = self.looks.fetch_add(1, Ordering::Relaxed) + 1;
        let mut observed = self.engine.observe().await?;
        let workspaces: Vec<_> = self.lock_desired().values().cloned().collect();
        // The channel's own lock is held meanwhile, so that looks are compared and
        // shown one after the other.
        let mut look = None;
        self.looked.send_if_modified(|shown| {
            if shown.number > number {
                return false;
            }
            for workspace in &workspaces {
                self.probes.overlay(workspace, &mut observed);
            }
            *shown = Look {
                workspaces,
                observed: Arc::new(observed),
                number,
            };
            look = Some(shown.clone());
            self.mark_leaving(shown);
            true
        });
        // A newer one was shown meanwhile: whoever asked wants to know the newest.
        Ok(look.unwrap_or_else(|| self.looked.borrow().clone()))
    }

    /// The same for whoever only tells people: while nothing changes it costs the engine
    /// next to nothing. What changed a moment ago may not be in it, so nobody else is
    /// shown it.
    ///
    /// # Errors
    /// If the engine does not answer.
    pub async fn glance(&self) -> Result<Look, EngineError> {
        let Some(mut observed) = self.engine.glance().await? else {
            return self.look().await;
        };
        let workspaces: Vec<_> = self.lock_desired().values().cloned().collect();
        for workspace in &workspaces {
            self.probes.overlay_known(workspace, &mut observed);
        }
        let mut look = Look {
            workspaces,
            observed: Arc::new(observed),
            number: self.looks.load(Ordering::Relaxed),
        };
        self.mark_leaving(&mut look);
        Ok(look)
    }

    /// The engine now, with what the probes of this workspace know.
    async fn seen(&self, desired: &Workspace) -> Result<Observed, Problem> {
        let mut observed = self
            .engine
            .observe()
            .await
            .map_err(|error| Problem::from(&error))?;
        self.probes.overlay(desired, &mut observed);
        Ok(observed)
    }

    /// What was seen last, with what the probes of this workspace know, if nothing was
    /// told of since: see [`Engine::glance`].
    async fn glanced(&self, desired: &Workspace) -> Result<Option<Observed>, Problem> {
        let seen = self.engine.glance().await;
        let mut seen = seen.map_err(|error| Problem::from(&error))?;
        if let Some(observed) = &mut seen {
            self.probes.overlay_known(desired, observed);
        }
        Ok(seen)
    }

    /// What is about to be stopped is not ready, for whoever follows [`Controller::looked`].
    fn mark_leaving(&self, look: &mut Look) {
        let leaving = self.lock_leaving();
        if leaving.is_empty() {
            return;
        }
        for container in &mut Arc::make_mut(&mut look.observed).containers {
            if leaving.contains(&container.name) {
                container.readiness = Readiness::Starting;
            }
        }
    }

    fn lock_stopped(&self) -> std::sync::MutexGuard<'_, HashSet<ContainerId>> {
        // Nothing panics while it is held; if something did, the set is whole.
        self.stopped.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_leaving(&self) -> std::sync::MutexGuard<'_, HashSet<ContainerName>> {
        // Nothing panics while it is held; if something did, the set is whole.
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the host ports that running containers have, so that they stay the same. One
    /// that does not run may have lost its port.
    fn remember_ports(&self, desired: &Workspace, observed: &Observed) -> Result<(), StoreError> {
        let mut chosen = Vec::new();
        let key = desired.identity.key();
        let ours = observed.owned_by(&key);
        for (container, owner) in ours.filter(|(container, _)| container.is_running()) {
            let service = owner
                .name
                .as_deref()
                .and_then(|name| desired.services.get(name));
            for wanted in service
                .into_iter()
                .flat_map(|service| &service.container.ports)
            {
                let held = container.ports.iter().find(|port| {
                    port.container == wanted.container && port.transport == wanted.transport
                });
                if wanted.host.is_none()
                    && let Some(host) = held.and_then(|port| port.host)
                {
                    chosen.push((container.name.clone(), wanted.container, host));
                }
            }
        }
        if chosen.is_empty() {
            Ok(())
        } else {
            self.store.remember_host_ports(&chosen)
        }
    }

    /// Makes a workspace, with its overrides, what is kept true from now on.
    ///
    /// Whether it was not so before.
    fn desire(&self, workspace: &Workspace) -> Result<bool, StoreError> {
        let key = workspace.identity.key();
        let overrides = self.store.overrides(&key)?;
        self.keep_ends(&key, &overrides);
        let kept = self.store.fallbacks(&key)?.apply(workspace);
        let desired = Arc::new(overrides.apply(&kept));
        let before = self.lock_desired().insert(key, Arc::clone(&desired));
        Ok(before.is_none_or(|before| before != desired))
    }

    fn desired_of(&self, key: &str) -> Option<Arc<Workspace>> {
        self.lock_desired().get(key).cloned()
    }

    /// The keys of all workspaces that are up.
    fn desired_keys(&self) -> Vec<String> {
        self.lock_desired().keys().cloned().collect()
    }

    fn lock_desired(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Workspace>>> {
        // Nothing panics while it is held; if something did, the map is whole.
        self.desired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, key: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        // Who is not waited for and has none is as good as one that is new.
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(key.to_owned()).or_default())
    }
}

/// Tells a fact. That nobody listens any more changes nothing.
fn tell(events: &Events, event: Event) {
    let _ = events.send(event);
}

fn count(things: impl IntoIterator) -> u32 {
    u32::try_from(things.into_iter().count()).unwrap_or(u32::MAX)
}

fn not_up(key: &str) -> Problem {
    Problem::new("not_up", format!("workspace `{key}` is not up"))
        .hinted("`cosmos up` brings it up")
}
