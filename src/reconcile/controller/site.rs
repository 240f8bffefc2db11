//! A server that can be killed: a controller, its state on a disk, and an engine
//! that outlives both.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{sleep, sleep_until, timeout};

use super::{
    tests::{outcome, wish},
    *,
};
use crate::{
    plan::{Volumes, test_workspace::name},
    reconcile::{
        convergence::{is_ours, listing, strangers},
        fake::FakeEngine,
    },
    traffic::{RouteInputs, Routes},
    workspace::{
        ContainerId, ContainerState, Fingerprint, Hold, Kind, NetworkName, ObservedContainer,
        Owner, Readiness, Resources, ServiceName, VolumeName,
    },
};

/// Longer than anything may take: an hour for a command, and some.
const FOR_EVER: Duration = Duration::from_secs(3 * 3600);

/// Looks until nothing is left to do; more would be a loop.
const ROUNDS: usize = 200;

pub(super) struct Site {
    pub(super) engine: Arc<FakeEngine>,
    pub(super) store: Arc<Store>,
    pub(super) controller: Arc<Controller>,
    folder: TempDir,
}

/// What somebody does.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    /// `cosmos up`.
    Up(Workspace),
    /// `cosmos up --release`.
    UpAnew(Workspace),
    /// `cosmos stop web` and its like.
    Order(&'static str, Order),
    /// `cosmos down`.
    Down(Volumes),
    /// A hand on the engine; healing sees it.
    ByHand(fn(&mut Observed)),
}

/// What must not be lost: what is declared, as which revision, and what is held.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Kept {
    declared: Option<(Workspace, u64)>,
    holds: Vec<(ServiceName, Hold)>,
}

/// A container, but for what differs from one incarnation to the next.
#[derive(Debug, Clone, PartialEq, PartialOrd, Eq, Ord)]
pub(super) struct Look {
    name: String,
    kind: Kind,
    part: Option<String>,
    replica: u32,
    spec: Fingerprint,
    image_id: String,
    is_running: bool,
    networks: Vec<NetworkName>,
    limits: String,
}

impl Site {
    /// A server of an engine that has this already.
    pub(super) fn beside(observed: Observed) -> Self {
        Self::open(Arc::new(FakeEngine::new(observed)), folder())
    }

    fn open(engine: Arc<FakeEngine>, folder: TempDir) -> Self {
        let store = Arc::new(Store::open(folder.path()).unwrap());
        let controller = Controller::new(engine.clone(), engine.clone(), Arc::clone(&store));
        Self {
            engine,
            store,
            controller: Arc::new(controller.unwrap()),
            folder,
        }
    }

    /// The server is killed, and the next one begins with what is on the disk.
    pub(super) fn restarted(self) -> Self {
        let Self { engine, folder, .. } = self;
        engine.recover();
        Self::open(engine, folder)
    }

    /// The same once more: its own engine, its own disk.
    pub(super) fn fork(&self) -> Self {
        let copy = folder();
        for file in std::fs::read_dir(self.folder.path()).unwrap() {
            let file = file.unwrap();
            std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
        }
        Self::open(Arc::new(self.engine.fork()), copy)
    }

    /// Does it, and heals where nobody else does.
    pub(super) async fn does(&self, deed: &Deed) -> Result<(), Problem> {
        let done = timeout(FOR_EVER, self.do_it(deed)).await;
        done.unwrap_or_else(|_| panic!("without an end: {deed:?}"))
    }

    async fn do_it(&self, deed: &Deed) -> Result<(), Problem> {
        let (sender, events) = mpsc::unbounded_channel();
        match deed {
            Deed::Up(workspace) => self.controller.apply(wish(workspace), &sender).await?,
            Deed::UpAnew(workspace) => {
                let wish = Wish {
                    release: true,
                    ..wish(workspace)
                };
                self.controller.apply(wish, &sender).await?;
            }
            Deed::Order(service, order) => {
                let by = format!("cosmos {order:?} {service}").to_lowercase();
                let words = Words {
                    by,
                    ..Words::default()
                };
                let order = self.controller.order(service, *order, Some("shop"), &words);
                return order.await.map(drop);
            }
            Deed::Down(volumes) => {
                let down =
                    self.controller
                        .down("shop", "/src/shop", *volumes, "cosmos down", &sender);
                down.await?;
            }
            Deed::ByHand(edit) => {
                self.engine.edit(edit);
                return self.settles().await;
            }
        }
        drop(sender);
        let outcome = outcome(events).await;
        match (outcome.failed, outcome.skipped) {
            (0, 0) => Ok(()),
            _ => Err(Problem::new("failed", format!("{outcome:?}"))),
        }
    }

    /// Heals until nothing is left that healing could do.
    pub(super) async fn settles(&self) -> Result<(), Problem> {
        for _ in 0..ROUNDS {
            let calls = self.engine.calls().len();
            match self.controller.heal_all().await? {
                Some(at) => sleep_until(at).await,
                None if self.engine.calls().len() == calls => return Ok(()),
                None => {}
            }
        }
        let calls = self.engine.calls();
        let last = &calls[calls.len().saturating_sub(20)..];
        panic!("it does not come to rest:\n{}", last.join("\n"));
    }

    pub(super) fn kept(&self) -> Kept {
        let declared = self.store.declared("shop").unwrap();
        let overrides = self.store.overrides("shop").unwrap().0;
        Kept {
            declared: declared.map(|declared| (declared.workspace, declared.revision)),
            holds: overrides
                .into_iter()
                .map(|(service, order)| (service, order.hold))
                .collect(),
        }
    }

    /// What of ours is there, whichever incarnation.
    pub(super) fn ours(&self) -> Vec<Look> {
        let observed = self.engine.observed();
        let ours = observed.containers.iter().filter(|one| is_ours(one));
        let mut looks: Vec<_> = ours.map(Look::of).collect();
        looks.sort();
        looks
    }

    /// Networks and volumes, by name.
    pub(super) fn shared(&self) -> (Vec<NetworkName>, Vec<VolumeName>) {
        let observed = self.engine.observed();
        let mut networks: Vec<_> = observed.networks.into_iter().map(|it| it.name).collect();
        networks.sort();
        (networks, observed.volumes.into_iter().collect())
    }

    /// I1: what is not ours is as it was, and no volume went.
    pub(super) fn assert_untouched(&self, before: &Observed, may_lose_volumes: bool) {
        let observed = self.engine.observed();
        assert_eq!(foreign(&observed), foreign(before));
        if !may_lose_volumes {
            let lost: Vec<_> = before.volumes.difference(&observed.volumes).collect();
            assert!(lost.is_empty(), "volumes went: {lost:?}");
        }
    }

    /// I2: at most one container for each identity and replica, and none that was
    /// started without what belongs in it.
    pub(super) fn assert_single(&self) {
        let observed = self.engine.observed();
        let mut seen = HashSet::new();
        for one in observed.containers.iter().filter(|one| is_ours(one)) {
            let owner = one.owner.as_ref().unwrap();
            assert!(
                seen.insert((owner.kind, owner.name.clone(), owner.replica)),
                "two of {:?} {}:\n{}\nafter\n{}",
                owner.name,
                owner.replica,
                listing(&observed),
                self.engine.calls().join("\n"),
            );
        }
        assert_eq!(self.engine.started_incomplete(), []);
    }

    /// I5: what is shown leads only to what runs and is ready.
    pub(super) fn assert_routes(&self) {
        let look = self.controller.looked().borrow().clone();
        let workspaces: Vec<&Workspace> = look.workspaces.iter().map(Arc::as_ref).collect();
        let mut observed = (*look.observed).clone();
        for one in &mut observed.containers {
            one.exposed = vec![80];
        }
        let attached = observed.networks.iter().map(|it| it.name.clone()).collect();
        let routes = Routes::derive(&RouteInputs {
            workspaces: &workspaces,
            observed: &observed,
            attached: &attached,
            port: 8080,
            proxy: "cosmos-proxy",
        });
        let now = self.engine.observed();
        for upstream in routes.targets().flat_map(|target| target.upstreams()) {
            let one = now.container(&name(&upstream.name));
            let is_ready = one.is_some_and(|one| {
                one.id.as_str() == upstream.key.id
                    && one.is_running()
                    && one.readiness == Readiness::Ready
            });
            assert!(is_ready, "a route leads to {}", upstream.name);
        }
    }

    /// I7: once all is well for a while, nothing is kept of what was not.
    pub(super) async fn assert_bounded(&self) {
        sleep(Duration::from_secs(120)).await;
        self.controller.heal_all().await.unwrap();
        let controller = &self.controller;
        assert!(controller.turns.lock().unwrap().len() <= 1);
        assert_eq!(controller.crashes.lock().unwrap().len(), 0);
        assert_eq!(controller.retries.lock().unwrap().len(), 0);
        assert_eq!(controller.dying.lock().unwrap().len(), 0);
        assert_eq!(controller.lock_leaving().len(), 0);
    }
}

impl Look {
    fn of(one: &ObservedContainer) -> Self {
        let owner = one.owner.clone().unwrap();
        Self {
            name: one.name.to_string(),
            kind: owner.kind,
            part: owner.name,
            replica: owner.replica,
            spec: owner.spec,
            image_id: one.image_id.clone(),
            is_running: one.is_running(),
            networks: one.networks.keys().cloned().collect(),
            limits: format!("{:?}", one.live.resources),
        }
    }
}

/// A folder that no disk has to be waited for.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Who is on the engine beside us, with the proxy.
pub(super) fn crowd() -> Observed {
    let mut observed = strangers();
    let mut proxy = observed.containers[0].clone();
    proxy.id = ContainerId::new("proxy").unwrap();
    proxy.name = name("cosmos-proxy");
    proxy.state = ContainerState::Running {
        since: std::time::SystemTime::UNIX_EPOCH,
    };
    proxy.owner = Some(Owner {
        kind: Kind::Proxy,
        workspace: None,
        folder: None,
        name: None,
        replica: 1,
        spec: Fingerprint::from_label("0"),
        generation: "0000".to_owned(),
    });
    proxy.live.resources = Resources::default();
    observed.containers.push(proxy);
    observed
}

/// The same without another checkout of this name.
pub(super) fn crowd_without_twin() -> Observed {
    let mut observed = crowd();
    observed
        .containers
        .retain(|one| one.name.as_str() != "elsewhere-web-1");
    observed
}

/// What is neither ours nor the proxy.
fn foreign(observed: &Observed) -> Vec<ObservedContainer> {
    let is_proxy = |one: &ObservedContainer| one.name.as_str() == "cosmos-proxy";
    let containers = observed.containers.iter();
    let mut foreign: Vec<_> = containers
        .filter(|one| !is_ours(one) && !is_proxy(one))
        .cloned()
        .collect();
    foreign.sort_by(|left, right| left.id.cmp(&right.id));
    foreign
}
