//! Whatever is ordered, whatever somebody does to the engine and whatever fails, in
//! any order: once it is over, all is as a simple model says, and nothing is written
//! any more.
//!
//! The model knows what is declared, what is held and nothing of plans. After each
//! transition the faults end, a person repeats what was not answered, and the
//! server's own loop runs until it rests.
//!
//! `COSMOS_MODEL_RUNS` says how many runs there are, `COSMOS_MODEL_SEED` which; the
//! seed is printed with a failure, and what failed is kept in `proptest-regressions`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    time::{Duration, SystemTime},
};

use proptest::{
    prelude::{BoxedStrategy, Just, Strategy, any, prop, prop_oneof},
    test_runner::{Config, FileFailurePersistence, RngSeed, TestRunner},
};
use proptest_state_machine::{ReferenceStateMachine, StateMachineTest};
use tokio::{runtime::Runtime, task::JoinHandle, time::sleep};

use super::{
    site::{Deed, Site, crowd_without_twin},
    *,
};
use crate::{
    plan::{
        Volumes,
        test_workspace::{name, service, shop},
    },
    reconcile::{
        convergence::{is_ours, listing},
        engine::EngineError,
        fake::{FakeEngine, Fault},
    },
    workspace::{
        AfterCondition, ContainerId, ContainerState, FurtherNetwork, Hold, Kind, Network,
        NetworkName, ObservedContainer, RunState, ServiceName, UpdateOrder,
    },
};

/// None of them is a number in hexadecimal, which would be a container's id.
const NAMES: [&str; 3] = ["web", "api", "queue"];

/// The one that a profile may leave off: nothing depends on it.
const OPTIONAL: usize = 2;

/// Enough for what is healed on an event. Nothing here fails, so nothing is retried.
const AT_ONCE: Duration = Duration::from_secs(1);

/// More than the time after which everything is looked at, event or not.
const RESYNC: Duration = Duration::from_secs(31);

// -- the model

/// What is wanted, as far as anyone was told that it is.
#[derive(Debug, Clone, Default, PartialEq)]
struct Wanted {
    declared: Option<File>,
    /// Whether each service is held running or stopped.
    runs: BTreeMap<usize, Hold>,
    scales: BTreeMap<usize, u32>,
}

/// A small `cosmos.toml`.
#[derive(Debug, Clone, PartialEq)]
struct File {
    services: [Option<Part>; 3],
    is_isolated: bool,
    inputs: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Part {
    is_newer: bool,
    replicas: u32,
    pids: Option<i64>,
    is_off: bool,
    is_further: bool,
    has_port: bool,
    update: UpdateOrder,
}

impl File {
    fn workspace(&self) -> Workspace {
        let inputs = if self.inputs { "v1" } else { "v2" };
        let mut desired = shop().with_command("migrate", "migrate:1", inputs);
        if self.is_isolated {
            desired.network.isolated = true;
            desired.network.name = "cosmos-net-shop".parse().unwrap();
        }
        let network = FurtherNetwork {
            external: false,
            network: Network::bridge(further()),
        };
        if self.services.iter().flatten().any(|part| part.is_further) {
            desired.networks.insert(further(), network);
        }
        for (index, part) in self.parts() {
            let mut it = service(image(index, part)).replicas(part.replicas);
            it.container.resources.pids = part.pids;
            it.update = part.update;
            if part.has_port {
                it = it.port(None, 80);
            }
            if index == 0 {
                it = it.volume("shop_web");
            }
            if part.is_off {
                it.run = RunState::Off;
            }
            if part.is_further {
                it.container.networks.push(further());
            }
            if index == 1 && self.services[0].is_some() {
                it = it.after(NAMES[0], AfterCondition::Ready);
            }
            if index == OPTIONAL {
                it = it.after("migrate", AfterCondition::Completed);
            }
            desired = desired.with(NAMES[index], it);
        }
        desired
    }

    fn parts(&self) -> impl Iterator<Item = (usize, &Part)> {
        let parts = self.services.iter().enumerate();
        parts.filter_map(|(index, part)| Some((index, part.as_ref()?)))
    }
}

fn image(index: usize, part: &Part) -> &'static str {
    match (index, part.is_newer) {
        (0, false) => "web:1",
        (0, true) => "web:2",
        (1, false) => "api:1",
        (1, true) => "api:2",
        (_, false) => "queue:1",
        (_, true) => "queue:2",
    }
}

fn further() -> NetworkName {
    NetworkName::new("shop_back").unwrap()
}

impl Wanted {
    fn after(mut self, act: &Act) -> Self {
        match act {
            Act::Up(file) => self.declared = Some(file.clone()),
            Act::UpAnew(file) => {
                self = Self::default();
                self.declared = Some(file.clone());
            }
            Act::Down => self = Self::default(),
            Act::Order(index, order) => self.obey(*index, *order),
            Act::Hand { .. } | Act::EngineRestarts | Act::Killed => {}
        }
        self
    }

    fn part(&self, index: usize) -> Option<&Part> {
        self.declared.as_ref()?.services[index].as_ref()
    }

    fn obey(&mut self, index: usize, order: Order) {
        let Some(is_off) = self.part(index).map(|part| part.is_off) else {
            return;
        };
        match order {
            Order::Stop => _ = self.runs.insert(index, Hold::Stopped),
            Order::Start | Order::Restart if is_off => _ = self.runs.insert(index, Hold::Started),
            Order::Start | Order::Restart => _ = self.runs.remove(&index),
            Order::Scale(count) => _ = self.scales.insert(index, count),
            Order::Release => {
                self.runs.remove(&index);
                self.scales.remove(&index);
            }
            Order::StopFor(_) | Order::Refresh | Order::Remove => {}
        }
    }

    /// Whether a service runs, is held stopped, or is not there.
    fn runs(&self, index: usize) -> Option<bool> {
        let part = self.part(index)?;
        match self.runs.get(&index) {
            Some(Hold::Stopped) => Some(false),
            Some(_) => Some(true),
            None if part.is_off => None,
            None => Some(true),
        }
    }

    fn replicas(&self, index: usize) -> u32 {
        let declared = self.part(index).map_or(0, |part| part.replicas);
        self.scales.get(&index).copied().unwrap_or(declared)
    }

    fn holds(&self) -> Vec<(ServiceName, Hold)> {
        let mut holds = Vec::new();
        let mut names: Vec<_> = NAMES.iter().enumerate().collect();
        names.sort_by_key(|(_, name)| **name);
        for (index, name) in names {
            // By service, then by aspect, as the store has them.
            let scale = self.scales.get(&index).map(|count| Hold::Replicas(*count));
            let held = scale.into_iter().chain(self.runs.get(&index).copied());
            holds.extend(held.map(|hold| (name.parse().unwrap(), hold)));
        }
        holds
    }
}

// -- what can happen

/// One thing that happens, and what goes wrong at it.
#[derive(Debug, Clone)]
struct Happening {
    act: Act,
    trouble: Vec<Trouble>,
}

#[derive(Debug, Clone)]
enum Act {
    Up(File),
    UpAnew(File),
    Down,
    Order(usize, Order),
    /// Somebody's hand on the engine, on a container of ours by number. The event
    /// may be lost, and more may happen before anything is healed.
    Hand {
        what: Hand,
        on: usize,
        is_heard: bool,
    },
    /// Every container ends, and so do the streams of events.
    EngineRestarts,
    /// The server is killed while it does nothing.
    Killed,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Hand {
    Stop,
    Pause,
    Remove,
    Rename,
    Update,
    Disconnect,
    RemoveNetwork,
    /// A container is stopped, and a stranger takes the host port that it had.
    Rob,
}

#[derive(Debug, Clone)]
enum Trouble {
    /// At the call of this number from now.
    Call(usize, Fault),
    /// At so many calls of a kind.
    Kind(&'static str, usize, Fault),
    /// The look after the call of this number from now does not show it yet, nor some
    /// of those before.
    Lag(usize, usize),
}

fn any_file() -> impl Strategy<Value = File> {
    let part = |index: usize| {
        let update = prop_oneof![
            Just(UpdateOrder::Auto),
            Just(UpdateOrder::StartFirst),
            Just(UpdateOrder::StopFirst)
        ];
        let shape = (any::<bool>(), 1..3_u32, prop::option::of(Just(64_i64)));
        let place = (any::<bool>(), any::<bool>(), any::<bool>(), update);
        (shape, place).prop_map(move |(shape, place)| {
            let (is_newer, replicas, pids) = shape;
            let (is_off, is_further, has_port, update) = place;
            Part {
                is_newer,
                replicas,
                pids,
                is_off: is_off && index == OPTIONAL,
                is_further,
                has_port,
                update,
            }
        })
    };
    let maybe = |index| prop::option::weighted(0.8, part(index));
    let services = (maybe(0), maybe(1), maybe(2));
    (services, prop::bool::weighted(0.2), any::<bool>()).prop_map(
        |((web, api, queue), is_isolated, inputs)| File {
            services: [web, api, queue],
            is_isolated,
            inputs,
        },
    )
}

fn any_order() -> impl Strategy<Value = Order> {
    prop_oneof![
        3 => Just(Order::Stop),
        3 => Just(Order::Start),
        2 => Just(Order::Restart),
        2 => Just(Order::Release),
        2 => (1..4_u32).prop_map(Order::Scale),
    ]
}

fn any_hand() -> impl Strategy<Value = Hand> {
    prop_oneof![
        Just(Hand::Stop),
        Just(Hand::Pause),
        Just(Hand::Remove),
        Just(Hand::Rename),
        Just(Hand::Update),
        Just(Hand::Disconnect),
        Just(Hand::RemoveNetwork),
        Just(Hand::Rob),
    ]
}

fn any_act() -> impl Strategy<Value = Act> {
    let hand = (any_hand(), 0..8_usize, prop::bool::weighted(0.7));
    prop_oneof![
        5 => any_file().prop_map(Act::Up),
        1 => any_file().prop_map(Act::UpAnew),
        1 => Just(Act::Down),
        6 => (0..NAMES.len(), any_order()).prop_map(|(index, order)| Act::Order(index, order)),
        6 => hand.prop_map(|(what, on, is_heard)| Act::Hand { what, on, is_heard }),
        1 => Just(Act::EngineRestarts),
        1 => Just(Act::Killed),
    ]
}

fn any_fault() -> impl Strategy<Value = Fault> {
    let error = prop_oneof![
        Just(EngineError::Refused {
            status: 500,
            message: "no".to_owned(),
        }),
        Just(EngineError::Conflict {
            what: "in use".to_owned(),
        }),
        Just(EngineError::Deadline {
            call: "call",
            seconds: 60,
        }),
    ];
    prop_oneof![
        2 => error.clone().prop_map(Fault::Before),
        2 => error.prop_map(Fault::After),
        1 => Just(Fault::CrashBefore),
        1 => Just(Fault::CrashMidway),
        1 => Just(Fault::CrashAfter),
    ]
}

fn any_trouble() -> impl Strategy<Value = Vec<Trouble>> {
    let kind = prop_oneof![
        Just("launch"),
        Just("start"),
        Just("stop"),
        Just("remove"),
        Just("rename"),
        Just("connect"),
        Just("create"),
    ];
    let one = prop_oneof![
        4 => (0..10_usize, any_fault()).prop_map(|(call, fault)| Trouble::Call(call, fault)),
        2 => (kind, 1..4_usize, any_fault())
            .prop_map(|(kind, times, fault)| Trouble::Kind(kind, times, fault)),
        2 => (0..10_usize, 0..4_usize).prop_map(|(call, before)| Trouble::Lag(call, before)),
    ];
    prop_oneof![
        2 => Just(Vec::new()),
        3 => prop::collection::vec(one, 1..3),
    ]
}

impl ReferenceStateMachine for Wanted {
    type State = Self;
    type Transition = Happening;

    fn init_state() -> BoxedStrategy<Self> {
        let declared = any_file().prop_map(|file| Self {
            declared: Some(file),
            ..Self::default()
        });
        declared.boxed()
    }

    fn transitions(_: &Self) -> BoxedStrategy<Happening> {
        (any_act(), any_trouble())
            .prop_map(|(act, trouble)| Happening { act, trouble })
            .boxed()
    }

    fn apply(state: Self, happening: &Happening) -> Self {
        state.after(&happening.act)
    }
}

// -- the server, on its engine

struct Server {
    runtime: Runtime,
    /// Taken only while the server is killed.
    site: Option<Site>,
    heals: JoinHandle<()>,
    wanted: Wanted,
    /// What is not ours, as it must stay.
    others: Observed,
}

impl Server {
    fn site(&self) -> &Site {
        self.site.as_ref().unwrap()
    }

    /// Kills the server where it is; the next one begins with what is on the disk.
    fn restart(&mut self) {
        self.heals.abort();
        let site = self.site.take().unwrap().restarted();
        self.heals = tokio::spawn(Arc::clone(&site.controller).run());
        self.site = Some(site);
    }

    async fn meets(&mut self, happening: &Happening) {
        let engine = Arc::clone(&self.site().engine);
        arm(&engine, &happening.trouble);
        let answer = match &happening.act {
            Act::Hand { what, on, is_heard } => {
                engine.edit(|observed| lay_hand(observed, *what, *on));
                self.others = foreign_of(&self.others, &engine.observed());
                if *is_heard {
                    engine.hint();
                }
                Ok(())
            }
            Act::EngineRestarts => {
                engine.edit(|observed| observed.containers.iter_mut().for_each(end));
                self.others = foreign_of(&self.others, &engine.observed());
                engine.end_changes();
                Ok(())
            }
            Act::Killed => {
                engine.crash();
                Ok(())
            }
            act => self.site().does(&deed(act)).await,
        };
        sleep(AT_ONCE).await;
        let heard = matches!(happening.act, Act::Hand { is_heard: true, what, .. } if what != Hand::Stop && what != Hand::Rob);
        if heard && happening.trouble.is_empty() {
            self.assert_healed("a second after the event");
        }
        let is_killed = engine.is_crashed();
        match is_killed {
            true => self.restart(),
            false => engine.recover(),
        }
        self.rest().await;
        if answer.is_err() || is_killed {
            self.repeat(&happening.act).await;
        }
        self.wanted = self.wanted.clone().after(&happening.act);
    }

    /// A person who got no answer gives the order again.
    async fn repeat(&self, act: &Act) {
        if matches!(act, Act::Hand { .. } | Act::EngineRestarts | Act::Killed) {
            return;
        }
        let again = self.site().does(&deed(act)).await;
        let Err(problem) = again else {
            return self.rest().await;
        };
        let is_refused = match act {
            Act::Down => problem.code == "not_up",
            Act::Order(index, _) => self.wanted.part(*index).is_none(),
            _ => false,
        };
        assert!(is_refused, "{act:?} again: {problem:?}");
    }

    /// Lets time pass until nothing is done any more.
    async fn rest(&self) {
        let engine = &self.site().engine;
        for _ in 0..20 {
            let calls = engine.calls().len();
            sleep(RESYNC).await;
            if engine.calls().len() == calls {
                return;
            }
        }
        let calls = engine.calls();
        let last = &calls[calls.len().saturating_sub(20)..];
        panic!("it does not come to rest:\n{}", last.join("\n"));
    }

    fn assert_is(&self, wanted: &Wanted) {
        let site = self.site();
        self.assert_healed("at rest");
        site.assert_untouched(&self.others, false);
        let declared = site.store.declared("shop").unwrap();
        let declared = declared.map(|declared| declared.workspace);
        assert_eq!(declared, wanted.declared.as_ref().map(File::workspace));
        let held = site.store.overrides("shop").unwrap().0;
        let held: Vec<_> = held
            .into_iter()
            .map(|(of, order)| (of, order.hold))
            .collect();
        assert_eq!(held, wanted.holds());
        assert_eq!(site.store.leaving("shop").unwrap(), None);
    }

    /// What of ours is there is just what the model says.
    fn assert_healed(&self, when: &str) {
        let observed = self.site().engine.observed();
        let mut wrong = Vec::new();
        let mut seen = 0;
        for (index, service) in NAMES.iter().enumerate() {
            let Some(runs) = self.wanted.runs(index) else {
                continue;
            };
            for replica in 1..=self.wanted.replicas(index) {
                let called = format!("shop-{service}-{replica}");
                match (observed.container(&name(&called)), runs) {
                    // Nothing is made only to be held.
                    (None, false) => {}
                    (None, true) => wrong.push(format!("{called} is missing")),
                    (Some(one), runs) => {
                        seen += 1;
                        let part = self.wanted.part(index).unwrap();
                        wrong.extend(self.complaint(one, index, part, runs));
                    }
                }
            }
        }
        let is_service = |one: &&ObservedContainer| {
            is_ours(one)
                && one
                    .owner
                    .as_ref()
                    .is_some_and(|it| it.kind == Kind::Service)
        };
        if observed.containers.iter().filter(is_service).count() != seen {
            wrong.push("some are too many".to_owned());
        }
        wrong.extend(self.network_complaint(&observed));
        assert!(
            wrong.is_empty(),
            "{when}: {}\n{}\n{:#?}\nafter\n{}",
            wrong.join(", "),
            listing(&observed),
            self.wanted,
            self.site().engine.calls().join("\n"),
        );
    }

    fn complaint(
        &self,
        one: &ObservedContainer,
        index: usize,
        part: &Part,
        runs: bool,
    ) -> Option<String> {
        if !is_ours(one) || one.is_running() != runs {
            return Some(format!("{} is {:?}", one.name, one.state));
        }
        // What is held stopped is as it was.
        if !runs {
            return None;
        }
        let own = match self.wanted.declared.as_ref()?.is_isolated {
            true => "cosmos-net-shop",
            false => "cosmos-net",
        };
        let mut networks = vec![own.to_owned()];
        networks.extend(part.is_further.then(|| further().to_string()));
        let is_in: Vec<_> = one.networks.keys().map(ToString::to_string).collect();
        let is_right = one.image.as_str() == image(index, part)
            && one.live.resources.pids == part.pids
            && is_in == networks
            && one.ports.len() == usize::from(part.has_port);
        (!is_right).then(|| format!("{} is not as declared: {one:?}", one.name))
    }

    /// A network of ours that nothing declares, and that nobody who is held is in.
    fn network_complaint(&self, observed: &Observed) -> Option<String> {
        let workspace = self.wanted.declared.as_ref().map(File::workspace);
        let is_declared = |network: &NetworkName| {
            workspace.as_ref().is_some_and(|workspace| {
                workspace.network.name == *network || workspace.networks.contains_key(network)
            })
        };
        let has_user = |network: &NetworkName| {
            let mut containers = observed.containers.iter().filter(|one| is_ours(one));
            containers.any(|one| one.networks.contains_key(network))
        };
        let ours = |it: &&crate::workspace::ObservedNetwork| it.workspace.is_some();
        let mut left = observed.networks.iter().filter(ours);
        let left = left.find(|it| !is_declared(&it.name) && !has_user(&it.name))?;
        Some(format!("network {} is left", left.name))
    }
}

fn deed(act: &Act) -> Deed {
    match act {
        Act::Up(file) => Deed::Up(file.workspace()),
        Act::UpAnew(file) => Deed::UpAnew(file.workspace()),
        Act::Order(index, order) => Deed::Order(NAMES[*index], *order),
        _ => Deed::Down(Volumes::Keep),
    }
}

fn arm(engine: &FakeEngine, trouble: &[Trouble]) {
    let calls = engine.calls().len();
    for trouble in trouble {
        match trouble {
            Trouble::Call(call, fault) => engine.fail(calls + call, fault.clone()),
            Trouble::Kind(kind, times, fault) => engine.fail_next(kind, *times, fault),
            // No list is from before this act: that is long ago.
            Trouble::Lag(call, before) => engine.lag_after(calls + call, *before.min(call)),
        }
    }
}

/// What is foreign now, and every volume that was ever there.
fn foreign_of(before: &Observed, now: &Observed) -> Observed {
    Observed {
        containers: now.containers.clone(),
        volumes: before.volumes.union(&now.volumes).cloned().collect(),
        ..Observed::default()
    }
}

fn end(one: &mut ObservedContainer) {
    if one.is_running() && one.name.as_str() != "cosmos-proxy" {
        one.state = ContainerState::Exited {
            code: 137,
            at: SystemTime::UNIX_EPOCH,
            out_of_memory: false,
        };
        one.ports.clear();
    }
}

fn lay_hand(observed: &mut Observed, what: Hand, on: usize) {
    let serial = observed.containers.len();
    let of_services = |one: &ObservedContainer| {
        is_ours(one)
            && one
                .owner
                .as_ref()
                .is_some_and(|it| it.kind == Kind::Service)
    };
    let ours: Vec<_> = (0..serial)
        .filter(|index| of_services(&observed.containers[*index]))
        .collect();
    if ours.is_empty() {
        return;
    }
    let index = ours[on % ours.len()];
    let one = &mut observed.containers[index];
    match what {
        Hand::Stop => end(one),
        Hand::Pause if one.is_running() => one.state = ContainerState::Paused,
        Hand::Pause => {}
        Hand::Remove => _ = observed.containers.remove(index),
        Hand::Rename => one.name = name(&format!("renamed-{serial}-{on}")),
        Hand::Update => one.live.resources.pids = Some(99),
        Hand::Disconnect => one.networks.clear(),
        Hand::RemoveNetwork => {
            observed.networks.clear();
            for one in &mut observed.containers {
                one.networks.clear();
            }
        }
        Hand::Rob => {
            let mut robber = one.clone();
            end(one);
            robber.owner = None;
            robber.networks.clear();
            robber.name = name(&format!("robber-{}", robber.id));
            robber.id = ContainerId::new(format!("robber{}{serial}", robber.id)).unwrap();
            let is_there = |it: &ObservedContainer| it.name == robber.name;
            if robber.is_running() && !observed.containers.iter().any(is_there) {
                observed.containers.push(robber);
            }
        }
    }
}

struct Model;

impl StateMachineTest for Model {
    type SystemUnderTest = Server;
    type Reference = Wanted;

    fn init_test(wanted: &Wanted) -> Server {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let others = crowd_without_twin();
        let (site, heals) = runtime.block_on(async {
            let site = Site::beside(others.clone());
            let heals = tokio::spawn(Arc::clone(&site.controller).run());
            let declared = wanted.declared.as_ref().unwrap();
            site.does(&Deed::Up(declared.workspace())).await.unwrap();
            (site, heals)
        });
        Server {
            runtime,
            site: Some(site),
            heals,
            wanted: wanted.clone(),
            others,
        }
    }

    fn apply(mut server: Server, _: &Wanted, happening: Happening) -> Server {
        let runtime = std::mem::replace(&mut server.runtime, idle());
        runtime.block_on(server.meets(&happening));
        server.runtime = runtime;
        server
    }

    fn check_invariants(server: &Server, wanted: &Wanted) {
        assert_eq!(server.wanted, *wanted);
        let site = server.site();
        server.assert_is(wanted);
        site.assert_single();
        site.assert_routes();
    }

    /// I3 and I7: once more writes nothing, and nothing is kept of what is over.
    fn teardown(server: Server, wanted: Wanted) {
        server.runtime.block_on(async {
            let site = server.site();
            site.assert_bounded().await;
            let calls = site.engine.calls();
            if let Some(declared) = &wanted.declared {
                site.does(&Deed::Up(declared.workspace())).await.unwrap();
            }
            server.rest().await;
            assert_eq!(site.engine.calls(), calls);
        });
    }
}

/// One that does nothing, in place of one that is in use.
fn idle() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
}

/// From the environment, or what is affordable every time.
fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

/// Half of the runs: two tests are done side by side.
fn run_half(which: u64) {
    let runs = number("COSMOS_MODEL_RUNS").unwrap_or(1_000) / 2;
    let seed = number("COSMOS_MODEL_SEED").unwrap_or_else(crate::store::now_millis);
    let config = Config {
        cases: u32::try_from(runs).unwrap(),
        rng_seed: RngSeed::Fixed(seed.wrapping_add(which)),
        failure_persistence: Some(Box::new(FileFailurePersistence::SourceParallel(
            "proptest-regressions",
        ))),
        source_file: Some(file!()),
        ..Config::default()
    };
    let (tried, happenings) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let result = TestRunner::new(config.clone()).run(
        &Wanted::sequential_strategy(1..12),
        |(wanted, all, seen)| {
            tried.fetch_add(1, Relaxed);
            happenings.fetch_add(all.len(), Relaxed);
            Model::test_sequential(config.clone(), wanted, all, seen);
            Ok(())
        },
    );
    let (tried, happenings) = (tried.into_inner(), happenings.into_inner());
    println!("COSMOS_MODEL_SEED={seed}: {tried} runs, {happenings} transitions");
    if let Err(error) = result {
        panic!("COSMOS_MODEL_SEED={seed}: {error}");
    }
}

#[test]
fn whatever_happens_it_becomes_what_is_wanted() {
    run_half(0);
}

#[test]
fn whatever_else_happens_it_becomes_what_is_wanted() {
    run_half(1);
}
