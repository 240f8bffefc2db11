//! The loop that keeps workspaces true, and the orders that people give it.
//!
//! Level-triggered: whatever woke it (an order, an engine event, a probe's
//! result, the resync), it looks, plans and executes. One reconcile a workspace
//! at a time; engine events are hints, never the truth.
//!
//! Start reading at [`Controller::apply`], then `heal`.

mod heal;
mod orders;
mod status;
#[cfg(test)]
mod tests;
mod waiting;

pub use orders::{Meant, Obeyed, Order};
pub use status::{CommandStatus, ContainerStatus, Found, ServiceState, ServiceStatus, Status};

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::FutureExt as _;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, mpsc, watch};

use super::{
    engine::{Console, Engine, EngineError, Traffic},
    event::{Event, Outcome, Problem},
    execute::{Executor, WIDTH},
    probe::Probes,
};
use crate::{
    plan::{Action, Plan, Subject, Volumes, plan, teardown},
    store::{Store, StoreError},
    workspace::{
        ContainerId, ContainerName, Image, Memory, Observed, Overrides, PullPolicy, Readiness,
        RunState, SecretName, Workspace,
    },
};

/// Where the events of an order go. Nobody may be listening any more.
pub type Events = mpsc::UnboundedSender<Event>;

/// Twelve digits: as many as people know of ids, and far from a chance match.
const SHORT_DIGEST: usize = 12;

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

/// Keeps every workspace of an installation true.
pub struct Controller {
    engine: Arc<dyn Engine>,
    console: Arc<dyn Console>,
    store: Arc<Store>,
    probes: Probes,
    /// What is desired, by key: the store's content, with overrides merged in.
    desired: Mutex<BTreeMap<String, Arc<Workspace>>>,
    /// Raised with every hint that the world changed.
    world: watch::Sender<u64>,
    /// The last look, for the routes.
    looked: watch::Sender<Look>,
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
    /// About to be stopped: nobody is sent to them any more.
    leaving: Mutex<HashSet<ContainerName>>,
    /// Who sends requests to containers, once it is there.
    traffic: OnceLock<Arc<dyn Traffic>>,
}

/// One workspace's turn: whoever reconciles it has it. Healing gives it up as
/// soon as a person wants it.
#[derive(Default)]
struct Turn {
    lock: tokio::sync::Mutex<()>,
    wanted: Notify,
}

impl Turn {
    /// Takes the turn for a person's order.
    async fn take<'a>(&'a self, world: &'a watch::Sender<u64>) -> Taken<'a> {
        self.wanted.notify_one();
        let lock = self.lock.lock().await;
        // The wish is fulfilled: whoever heals next must not give way to it.
        let _ = self.wanted.notified().now_or_never();
        Taken { world, _lock: lock }
    }
}

/// A turn that a person's order has. When it ends, healing looks again: what
/// changed meanwhile may have been passed over.
struct Taken<'a> {
    world: &'a watch::Sender<u64>,
    _lock: tokio::sync::MutexGuard<'a, ()>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.world.send_modify(|version| *version += 1);
    }
}

/// What a person wants now: `PUT /workspaces/KEY`.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Wish {
    /// What is wanted.
    pub workspace: Workspace,
    /// The content of its secrets, base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<SecretName, String>,
    /// Carry out only the plan with this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// Finish as soon as everything is started, without waiting for ready.
    #[serde(default)]
    pub no_wait: bool,
    /// Only these services, and what they depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Forget every override first.
    #[serde(default)]
    pub release: bool,
}

impl std::fmt::Debug for Wish {
    /// Without the content of secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wish")
            .field("workspace", &self.workspace)
            .field("secrets", &self.secrets.keys())
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

/// How a command is run by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunCommand {
    /// Further arguments.
    pub args: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
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
        let controller = Self {
            engine,
            console,
            store,
            probes,
            desired: Mutex::default(),
            world: watch::Sender::new(0),
            looked: watch::Sender::new(Look::default()),
            looks: AtomicU64::new(0),
            turns: Mutex::default(),
            crashes: Mutex::default(),
            retries: Mutex::default(),
            dying: Mutex::default(),
            leaving: Mutex::default(),
            traffic: OnceLock::new(),
        };
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

    /// Makes a workspace so. Tells what happens, and ends with
    /// [`Event::Finished`], or with [`Event::BuildNeeded`] if images must be built first.
    ///
    /// # Errors
    /// If nothing could be tried.
    pub async fn apply(&self, wish: Wish, events: &Events) -> Result<(), Problem> {
        let began = Instant::now();
        let workspace = self.selected(&wish)?;
        let key = workspace.identity.key();
        let turn = self.turn(&key);
        let _turn = turn.take(&self.world).await;

        self.forget_failures(&key);
        self.refuse_strangers(&workspace)?;
        self.pull_always(&workspace, events).await?;
        let (desired, memory) = self
            .merged(&wish, &workspace)
            .map_err(|error| Problem::from(&error))?;
        let observed = self.seen(&desired).await?;
        let plan = plan(&desired, &observed, &memory);

        let unbuilt = unbuilt(&plan);
        if !unbuilt.is_empty() {
            tell(events, Event::BuildNeeded { images: unbuilt });
            return Ok(());
        }
        if let Some(expected) = &wish.expect
            && !is_digest(expected, &plan)
        {
            return Err(Problem::new(
                "world_moved",
                "the plan is not the one you looked at any more",
            )
            .hinted("look again: `cosmos plan`"));
        }

        // Intent, committed before the first effect, and only now: an order that
        // is refused releases nothing.
        let is_new = self.commit(&wish, &workspace)?;

        let is_done = plan.steps.is_empty();
        let mut outcome = self.carry_out(&desired, plan, events).await?;
        let after = if is_done {
            observed
        } else {
            self.seen(&desired).await?
        };
        if !wish.no_wait && outcome.failed == 0 {
            for (subject, problem) in self.unready(&desired, &after).await {
                outcome.failed += 1;
                tell(
                    events,
                    Event::ServiceFailed {
                        service: subject,
                        problem,
                    },
                );
            }
        }
        if is_new || !is_done {
            // Whoever is told that it is ready may ask at once: the routes must lead there.
            self.look().await.map_err(|error| Problem::from(&error))?;
        }
        outcome.services = count(
            desired
                .services
                .values()
                .filter(|service| service.run == RunState::Running),
        );
        outcome.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(events, Event::Finished { outcome });
        Ok(())
    }

    /// What [`Controller::apply`] would do now, and the services it would leave alone.
    ///
    /// # Errors
    /// If the engine cannot be looked at.
    pub async fn preview(&self, wish: &Wish) -> Result<(Plan, Vec<String>), Problem> {
        let workspace = self.selected(wish)?;
        self.refuse_strangers(&workspace)?;
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let (desired, memory) = self
            .merged(wish, &workspace)
            .map_err(|error| Problem::from(&error))?;
        // The probes go on as they are: whoever only looks changes nothing.
        let plan = plan(&desired, &look.observed, &memory);
        let touched = plan.services();
        let unchanged = desired
            .services
            .keys()
            .filter(|service| !touched.contains(*service))
            .map(ToString::to_string)
            .collect();
        Ok((plan, unchanged))
    }

    /// Takes a workspace down: its containers, its own network, and its volumes
    /// if that was asked for.
    ///
    /// # Errors
    /// If it is not up from this folder, or the engine cannot be looked at.
    pub async fn down(
        &self,
        key: &str,
        folder: &str,
        volumes: Volumes,
        events: &Events,
    ) -> Result<(), Problem> {
        let began = Instant::now();
        let turn = self.turn(key);
        let _turn = turn.take(&self.world).await;
        let Some(workspace) = self.desired_of(key) else {
            return Err(not_up(key));
        };
        if workspace.identity.folder != folder {
            return Err(other_folder(key, &workspace.identity.folder, folder));
        }
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let memory = self
            .store
            .memory(key)
            .map_err(|error| Problem::from(&error))?;
        let plan = teardown(
            &workspace.identity,
            Some(&workspace),
            &look.observed,
            &memory,
            volumes,
        );
        // Not desired any more from here on, or healing would bring back what goes.
        self.lock_desired().remove(key);
        let carried_out = self.carry_out(&workspace, plan, events).await;
        if !matches!(&carried_out, Ok(outcome) if outcome.failed == 0) {
            // The store has it still, and so must we: it is not down.
            self.lock_desired().insert(key.to_owned(), workspace);
        } else {
            self.store
                .take_down(&workspace.identity)
                .and_then(|()| self.store.secrets().replace(key, &BTreeMap::new()))
                .map_err(|error| Problem::from(&error))?;
        }
        let mut outcome = carried_out?;
        outcome.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(events, Event::Finished { outcome });
        Ok(())
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

    fn lock_leaving(&self) -> std::sync::MutexGuard<'_, HashSet<ContainerName>> {
        // Nothing panics while it is held; if something did, the set is whole.
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Executes a plan for a workspace and keeps what must be remembered of it.
    async fn carry_out(
        &self,
        desired: &Workspace,
        plan: Plan,
        events: &Events,
    ) -> Result<Outcome, Problem> {
        self.carry_out_until(desired, plan, events, std::future::pending())
            .await
    }

    /// The same, until `cancel` is done: what is under way is finished then, and
    /// nothing else is begun.
    async fn carry_out_until(
        &self,
        desired: &Workspace,
        plan: Plan,
        events: &Events,
        cancel: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, Problem> {
        let key = desired.identity.key();
        let launches: Vec<_> = plan
            .steps
            .iter()
            .filter_map(|step| match &step.action {
                Action::Launch(launch) => Some((&launch.owner.spec, &launch.container)),
                _ => None,
            })
            .collect();
        if !launches.is_empty() {
            self.store
                .remember_applied(&key, &launches)
                .map_err(|error| Problem::from(&error))?;
        }
        for blocked in &plan.blocked {
            tell(
                events,
                Event::Blocked {
                    subject: blocked.subject.clone(),
                    problem: Problem::from(blocked),
                },
            );
        }
        if !plan.steps.is_empty() {
            tell(
                events,
                Event::PlanMade {
                    steps: plan.summaries(),
                },
            );
        }
        let waiter = waiting::ForDependants {
            controller: self,
            desired,
        };
        let tell_each = |event| tell(events, event);
        let executor = Executor {
            engine: &*self.engine,
            waiter: &waiter,
            events: &tell_each,
            width: WIDTH,
        };
        let mut outcome = executor.execute(&plan, cancel).await.outcome(0, 0);
        outcome.failed += count(&plan.blocked);
        if !plan.steps.is_empty() {
            let look = self.look().await.map_err(|error| Problem::from(&error))?;
            self.remember_ports(desired, &look.observed)
                .map_err(|error| Problem::from(&error))?;
        }
        Ok(outcome)
    }

    /// Fetches the images that are asked for at every `up`. The plan made after
    /// that replaces what runs from older ones.
    async fn pull_always(&self, workspace: &Workspace, events: &Events) -> Result<(), Problem> {
        let mut asked = BTreeSet::new();
        for image in workspace.images() {
            let Image::Pulled {
                reference,
                policy: PullPolicy::Always,
            } = image
            else {
                continue;
            };
            if !asked.insert(reference) {
                continue;
            }
            let pull = Action::PullImage {
                image: reference.clone(),
            };
            let progressed = |progress| {
                tell(
                    events,
                    Event::ImageProgressed {
                        image: reference.to_string(),
                        progress,
                    },
                );
            };
            self.engine
                .perform(&pull, &progressed)
                .await
                .map_err(|error| Problem::of_action(&pull, &error))?;
        }
        Ok(())
    }

    /// Keeps the host ports the engine chose, so that they stay the same.
    fn remember_ports(&self, desired: &Workspace, observed: &Observed) -> Result<(), StoreError> {
        let mut chosen = Vec::new();
        for (container, owner) in observed.owned_by(&desired.identity.key()) {
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

    /// The wanted workspace; where only some services were named, the others
    /// stay as they were last declared.
    fn selected(&self, wish: &Wish) -> Result<Workspace, Problem> {
        let mut workspace = wish.workspace.clone();
        if wish.only.is_empty() {
            return Ok(workspace);
        }
        let before = self
            .store
            .declared(&workspace.identity.key())
            .map_err(|error| Problem::from(&error))?
            .map(|declared| declared.workspace);
        let mut wanted: Vec<String> = wish.only.clone();
        let mut next = 0;
        while let Some(name) = wanted.get(next).cloned() {
            next += 1;
            let after = match (
                workspace.services.get_mut(name.as_str()),
                workspace.commands.get(name.as_str()),
            ) {
                (Some(service), _) => {
                    // Naming a service that is off by its profile turns it on.
                    service.run = RunState::Running;
                    service.depends_on.keys().cloned().collect::<Vec<_>>()
                }
                (None, Some(command)) => command.depends_on.keys().cloned().collect(),
                (None, None) => {
                    return Err(Problem::new(
                        "not_found",
                        format!("there is no service `{name}` in the config"),
                    )
                    .hinted("`cosmos config` lists the services"));
                }
            };
            wanted.extend(
                after
                    .into_iter()
                    .filter(|after| !wanted.contains(after))
                    .collect::<Vec<_>>(),
            );
        }
        for (name, service) in &mut workspace.services {
            if wanted.iter().any(|wanted| wanted == name.as_str()) {
                continue;
            }
            match before.as_ref().and_then(|before| before.services.get(name)) {
                Some(before) => *service = before.clone(),
                None => service.run = RunState::Off,
            }
        }
        for (name, command) in &mut workspace.commands {
            command.needed = command.needed && wanted.iter().any(|wanted| wanted == name.as_str());
        }
        Ok(workspace)
    }

    /// Refuses a workspace whose name another folder has, and shared settings
    /// on which two workspaces disagree.
    fn refuse_strangers(&self, workspace: &Workspace) -> Result<(), Problem> {
        let key = workspace.identity.key();
        for other in self.lock_desired().values() {
            let other_key = other.identity.key();
            if other_key == key {
                if other.identity.folder != workspace.identity.folder {
                    return Err(other_folder(
                        &key,
                        &other.identity.folder,
                        &workspace.identity.folder,
                    ));
                }
                continue;
            }
            if other.network.name == workspace.network.name && other.network != workspace.network {
                return Err(Problem::new(
                    "conflict",
                    format!(
                        "network `{}` is already set up otherwise by workspace `{other_key}` ({})",
                        workspace.network.name, other.identity.folder
                    ),
                )
                .hinted("make the two `[network]` tables the same, or set `isolated = true`"));
            }
        }
        Ok(())
    }

    /// The workspace with its overrides, unless they are to be forgotten, and what
    /// the store remembers of it.
    fn merged(
        &self,
        wish: &Wish,
        workspace: &Workspace,
    ) -> Result<(Workspace, Memory), StoreError> {
        let key = workspace.identity.key();
        let overrides = match wish.release {
            true => Overrides::default(),
            false => self.store.overrides(&key)?,
        };
        Ok((overrides.apply(workspace), self.store.memory(&key)?))
    }

    /// Writes down what is wanted, and wants it. Whether it was not so before.
    fn commit(&self, wish: &Wish, workspace: &Workspace) -> Result<bool, Problem> {
        let key = workspace.identity.key();
        let secrets = decoded(&wish.secrets)?;
        let write = || {
            self.store.secrets().replace(&key, &secrets)?;
            if wish.release {
                self.store.release_all(&key)?;
            }
            self.store.declare(workspace)?;
            self.desire(workspace)
        };
        write().map_err(|error: StoreError| Problem::from(&error))
    }

    /// Makes a workspace, with its overrides, what is kept true from now on.
    ///
    /// Whether it was not so before.
    fn desire(&self, workspace: &Workspace) -> Result<bool, StoreError> {
        let key = workspace.identity.key();
        let desired = Arc::new(self.store.overrides(&key)?.apply(workspace));
        let before = self.lock_desired().insert(key, Arc::clone(&desired));
        Ok(before.is_none_or(|before| before != desired))
    }

    fn desired_of(&self, key: &str) -> Option<Arc<Workspace>> {
        self.lock_desired().get(key).cloned()
    }

    fn lock_desired(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Workspace>>> {
        // Nothing panics while it is held; if something did, the map is whole.
        self.desired.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn turn(&self, key: &str) -> Arc<Turn> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(turns.entry(key.to_owned()).or_default())
    }
}

/// Tells a fact. That nobody listens any more changes nothing.
fn tell(events: &Events, event: Event) {
    let _ = events.send(event);
}

/// Whether a plan has this digest, or one that starts so: `cosmos plan` shows
/// twelve digits of it.
fn is_digest(expected: &str, plan: &Plan) -> bool {
    expected.len() >= SHORT_DIGEST && plan.digest().starts_with(expected)
}

/// The tags of images that only the CLI can build.
fn unbuilt(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::BuildImage { image } => Some(image.to_string()),
            _ => None,
        })
        .collect()
}

fn decoded(
    secrets: &BTreeMap<SecretName, String>,
) -> Result<BTreeMap<SecretName, Vec<u8>>, Problem> {
    secrets
        .iter()
        .map(|(name, content)| match STANDARD.decode(content) {
            Ok(content) => Ok((name.clone(), content)),
            Err(_) => Err(Problem::new(
                "invalid_request",
                format!("secret `{name}` is not base64"),
            )),
        })
        .collect()
}

fn count(things: impl IntoIterator) -> u32 {
    u32::try_from(things.into_iter().count()).unwrap_or(u32::MAX)
}

fn not_up(key: &str) -> Problem {
    Problem::new("not_up", format!("workspace `{key}` is not up"))
        .hinted("`cosmos up` brings it up")
}

fn other_folder(key: &str, theirs: &str, ours: &str) -> Problem {
    Problem::new(
        "other_folder",
        format!("workspace `{key}` is up from {theirs}, and this is {ours}"),
    )
    .hinted(
        "give this checkout a name of its own: `cosmos --instance NAME up`, or take the other down",
    )
}
