//! The controller on an engine that is one value.

use futures_util::task::{ArcWake, waker};

use super::*;
use crate::{
    plan::{
        Volumes,
        test_workspace::{name, service, shop},
    },
    reconcile::{
        event::Outcome,
        fake::{FakeEngine, Fault},
    },
    workspace::{Aspect, Hold, ObservedContainer, Override, RunState, ServiceName},
};

/// A controller, and the engine under it.
pub(super) struct Bench {
    pub(super) engine: Arc<FakeEngine>,
    pub(super) store: Arc<Store>,
    pub(super) controller: Arc<Controller>,
}

impl Bench {
    pub(super) fn empty() -> Self {
        Self::with(Observed::default())
    }

    pub(super) fn with(observed: Observed) -> Self {
        let engine = Arc::new(FakeEngine::new(observed));
        let store = Arc::new(Store::in_memory().unwrap());
        let controller =
            Controller::new(engine.clone(), engine.clone(), Arc::clone(&store)).unwrap();
        Self {
            engine,
            store,
            controller: Arc::new(controller),
        }
    }

    pub(super) async fn apply(&self, workspace: &Workspace) -> Outcome {
        self.wish(wish(workspace)).await.unwrap()
    }

    pub(super) async fn wish(&self, wish: Wish) -> Result<Outcome, Problem> {
        let (sender, events) = mpsc::unbounded_channel();
        self.controller.apply(wish, &sender).await?;
        drop(sender);
        Ok(outcome(events).await)
    }

    pub(super) async fn down(&self, volumes: Volumes) -> Result<Outcome, Problem> {
        let (sender, events) = mpsc::unbounded_channel();
        self.controller
            .down("shop", "/src/shop", volumes, "cosmos down", &sender)
            .await?;
        drop(sender);
        Ok(outcome(events).await)
    }

    pub(super) async fn order(&self, service: &str, order: Order) -> Result<Obeyed, Problem> {
        let by = format!("cosmos {order:?} {service}").to_lowercase();
        let words = Words {
            by,
            ..Words::default()
        };
        self.controller
            .order(service, order, Some("shop"), &words)
            .await
    }

    /// The calls since the last time, as a plan prints them.
    pub(super) fn calls_since(&self, count: usize) -> Vec<String> {
        self.engine.calls().split_off(count)
    }

    /// The server is killed, and another one begins with what is on the disk.
    pub(super) fn restarted(self) -> Self {
        self.engine.recover();
        let (engine, store) = (self.engine, self.store);
        let controller =
            Controller::new(engine.clone(), engine.clone(), Arc::clone(&store)).unwrap();
        Self {
            engine,
            store,
            controller: Arc::new(controller),
        }
    }

    pub(super) fn container(&self, container: &str) -> ObservedContainer {
        self.engine
            .observed()
            .container(&name(container))
            .unwrap()
            .clone()
    }
}

pub(super) fn wish(workspace: &Workspace) -> Wish {
    Wish {
        workspace: workspace.clone(),
        secrets: BTreeMap::new(),
        expect: None,
        no_wait: false,
        only: Vec::new(),
        release: false,
        rerun: Rerun::default(),
        yes: false,
        may_log_in: false,
        by: "cosmos up".to_owned(),
    }
}

pub(super) async fn outcome(mut events: mpsc::UnboundedReceiver<Event>) -> Outcome {
    while let Some(event) = events.recv().await {
        if let Event::Finished { outcome } = event {
            return outcome;
        }
    }
    panic!("it did not finish");
}

pub(super) fn refused() -> EngineError {
    EngineError::Refused {
        status: 500,
        message: "no".to_owned(),
    }
}

fn web() -> ServiceName {
    "web".parse().unwrap()
}

#[tokio::test]
async fn a_second_apply_calls_nothing() {
    let bench = Bench::empty();
    let desired = shop()
        .with_command("migrate", "api:1", "v1")
        .with("web", service("node:20").replicas(2));
    bench.apply(&desired).await;
    let calls = bench.engine.calls().len();
    let outcome = bench.apply(&desired).await;
    assert_eq!(bench.calls_since(calls), Vec::<String>::new());
    assert_eq!((outcome.succeeded, outcome.services), (0, 1));
}

/// The images that logins are wanted for before this is applied.
async fn logins_wanted(bench: &Bench, workspace: &Workspace) -> Option<Vec<String>> {
    let (sender, mut events) = mpsc::unbounded_channel();
    let wish = Wish {
        may_log_in: true,
        ..wish(workspace)
    };
    bench.controller.apply(wish, &sender).await.unwrap();
    drop(sender);
    let mut last = None;
    while let Some(event) = events.recv().await {
        last = Some(event);
    }
    match last {
        Some(Event::LoginsWanted { images }) => Some(images),
        _ => None,
    }
}

#[tokio::test]
async fn logins_are_wanted_before_a_pull_and_only_then() {
    let bench = Bench::empty();
    let desired = shop().with("web", service("node:20"));
    let wanted = logins_wanted(&bench, &desired).await;
    assert_eq!(wanted, Some(vec!["node:20".to_owned()]));
    assert_eq!(bench.engine.calls(), Vec::<String>::new());
    bench.apply(&desired).await;
    assert_eq!(logins_wanted(&bench, &desired).await, None);
}

#[tokio::test]
async fn applies_at_once_make_one_container() {
    let bench = Bench::empty();
    let desired = shop().with("web", service("node:20"));
    let (one, other) = tokio::join!(bench.apply(&desired), bench.apply(&desired));
    assert_eq!((one.failed, other.failed), (0, 0));
    assert_eq!(bench.engine.observed().containers.len(), 1);
}

#[tokio::test]
async fn a_one_shot_is_found_by_its_name_in_its_own_workspace() {
    let bench = Bench::empty();
    bench
        .apply(&shop().with_command("migrate", "api:1", "v1"))
        .await;
    let found = bench
        .controller
        .find("migrate", Some("shop"))
        .await
        .unwrap();
    assert_eq!(found.containers[0].name, "shop-migrate");
    let elsewhere = bench.controller.find("migrate", Some("blog")).await;
    assert!(elsewhere.is_err());
}

#[tokio::test]
async fn a_stop_holds_through_an_apply_until_a_start() {
    let bench = Bench::empty();
    let desired = shop().with("web", service("node:20"));
    bench.apply(&desired).await;
    bench.order("web", Order::Stop).await.unwrap();
    bench.apply(&desired).await;
    assert!(!bench.container("shop-web-1").is_running());

    bench.order("web", Order::Start).await.unwrap();
    assert!(bench.container("shop-web-1").is_running());
}

#[tokio::test]
async fn a_restart_releases_a_stop() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    bench.order("web", Order::Stop).await.unwrap();
    bench.order("web", Order::Restart).await.unwrap();
    assert!(bench.container("shop-web-1").is_running());
    assert!(bench.store.overrides("shop").unwrap().0.is_empty());
}

#[tokio::test]
async fn what_nothing_is_made_from_any_more_is_forgotten() {
    let bench = Bench::empty();
    for version in 0..20 {
        let image = format!("node:{version}");
        let desired = shop()
            .with_command("migrate", "api:1", &image)
            .with("web", service(&image));
        bench.apply(&desired).await;
    }
    // Of the service and of the command, the newest.
    assert_eq!(bench.store.memory("shop").unwrap().applied.len(), 2);
}

#[tokio::test]
async fn a_stop_and_a_start_keep_the_number_of_replicas() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    let scaled = Override {
        hold: Hold::Replicas(2),
        by: "cosmos scale web=2".to_owned(),
        who: None,
        at: 0,
        until: None,
        why: None,
    };
    bench.store.set_override("shop", &web(), &scaled).unwrap();
    bench.order("web", Order::Stop).await.unwrap();
    bench.order("web", Order::Start).await.unwrap();
    assert!(bench.container("shop-web-2").is_running());
}

#[tokio::test]
async fn a_restart_of_a_service_off_by_its_profile_holds_it_started() {
    let bench = Bench::empty();
    let mut off = service("node:20");
    off.run = RunState::Off;
    bench.apply(&shop().with("web", off)).await;
    bench.order("web", Order::Start).await.unwrap();
    bench.order("web", Order::Restart).await.unwrap();
    assert!(bench.container("shop-web-1").is_running());
}

#[tokio::test]
async fn an_apply_that_is_refused_releases_nothing() {
    let bench = Bench::empty();
    let desired = shop().with("web", service("node:20"));
    bench.apply(&desired).await;
    bench.order("web", Order::Stop).await.unwrap();
    let refused = bench
        .wish(Wish {
            release: true,
            expect: Some("another plan".to_owned()),
            ..wish(&desired)
        })
        .await
        .unwrap_err();
    assert_eq!(refused.code, "world_moved");
    assert_eq!(bench.store.overrides("shop").unwrap().0.len(), 1);
}

#[tokio::test]
async fn an_apply_with_release_forgets_every_hold() {
    let bench = Bench::empty();
    let desired = shop().with("web", service("node:20"));
    bench.apply(&desired).await;
    bench.order("web", Order::Stop).await.unwrap();
    bench
        .wish(Wish {
            release: true,
            ..wish(&desired)
        })
        .await
        .unwrap();
    assert!(bench.container("shop-web-1").is_running());
    assert!(bench.store.overrides("shop").unwrap().0.is_empty());
}

#[tokio::test]
async fn after_down_nothing_is_desired_and_nothing_is_there() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    bench.down(Volumes::Keep).await.unwrap();
    assert!(bench.engine.observed().containers.is_empty());
    assert!(bench.store.all_declared().unwrap().is_empty());
    assert_eq!(
        bench.controller.status("shop").await.unwrap_err().code,
        "not_up"
    );
}

#[tokio::test]
async fn a_restart_leaves_a_stranger_with_the_same_name_alone() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    bench
        .engine
        .edit(|observed| observed.containers[0].owner = None);
    let calls = bench.engine.calls().len();
    bench.order("web", Order::Restart).await.unwrap_err();
    assert_eq!(bench.calls_since(calls), Vec::<String>::new());
}

#[tokio::test]
async fn an_order_does_not_reach_a_stranger_with_copied_labels() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    bench.engine.edit(|observed| {
        let copy = &mut observed.containers[0];
        copy.name = name("stranger");
        if let Some(owner) = &mut copy.owner {
            (owner.kind, owner.workspace) = (crate::workspace::Kind::Adhoc, None);
        }
    });
    let refused = bench.order("stranger", Order::Stop).await.unwrap_err();
    assert_eq!(refused.code, "not_found");
    assert!(bench.container("stranger").is_running());
}

#[tokio::test]
async fn a_workspace_that_could_not_be_taken_down_says_that_it_is_to_go() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    bench
        .engine
        .fail(bench.engine.calls().len(), Fault::Before(refused()));
    let outcome = bench.down(Volumes::Keep).await.unwrap();
    assert!(outcome.failed > 0);
    let status = bench.controller.status("shop").await.unwrap();
    let note = status.services[0].note.as_deref();
    assert_eq!(note, Some("workspace `shop` is being taken down"));
}

#[tokio::test]
async fn a_look_that_was_overtaken_shows_the_later_one() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    let later = bench.controller.look().await.unwrap();
    // As if this one had begun before.
    bench.controller.looks.store(0, Ordering::Relaxed);
    bench.engine.edit(|observed| observed.containers.clear());
    let overtaken = bench.controller.look().await.unwrap();
    assert_eq!(overtaken.observed.containers, later.observed.containers);
}

#[test]
fn a_wish_does_not_show_its_secrets() {
    let secrets = BTreeMap::from([("key".parse().unwrap(), "Y2FuYXJ5".to_owned())]);
    let shown = format!(
        "{:?}",
        Wish {
            secrets,
            ..wish(&shop())
        }
    );
    assert!(
        shown.contains("key") && !shown.contains("Y2FuYXJ5"),
        "{shown}"
    );
}

#[tokio::test]
async fn a_refresh_restarts_what_runs_and_holds_nothing() {
    let bench = Bench::empty();
    bench
        .apply(&shop().with("web", service("node:20").replicas(2)))
        .await;
    let calls = bench.engine.calls().len();
    let obeyed = bench.order("web", Order::Refresh).await.unwrap();
    assert_eq!(
        bench.calls_since(calls),
        ["restart shop-web-1", "restart shop-web-2"]
    );
    assert_eq!((obeyed.containers.len(), obeyed.note), (2, None));
    assert!(bench.store.overrides("shop").unwrap().0.is_empty());
}

#[tokio::test]
async fn a_refresh_does_not_wake_what_is_held_stopped() {
    let bench = Bench::empty();
    bench.apply(&shop().with("web", service("node:20"))).await;
    bench.order("web", Order::Stop).await.unwrap();
    let calls = bench.engine.calls().len();
    let obeyed = bench.order("web", Order::Refresh).await.unwrap();
    assert_eq!(bench.calls_since(calls), Vec::<String>::new());
    assert!(obeyed.containers.is_empty());
    assert_eq!(
        obeyed.note.as_deref(),
        Some("service `web` is held stopped by `cosmos stop web`")
    );
    let held = bench.store.overrides("shop").unwrap();
    assert_eq!(held.hold(&web(), Aspect::Run), Some(Hold::Stopped));
}

#[tokio::test]
async fn a_refresh_does_not_wake_what_is_off_by_its_profile() {
    let bench = Bench::empty();
    let mut off = shop().with("web", service("node:20"));
    off.services["web"].run = RunState::Off;
    bench.apply(&off).await;
    let obeyed = bench.order("web", Order::Refresh).await.unwrap();
    assert_eq!(bench.engine.calls(), Vec::<String>::new());
    assert_eq!(
        obeyed.note.as_deref(),
        Some("service `web` is off by its profile")
    );
}

#[tokio::test]
async fn whoever_is_woken_by_the_end_of_an_order_finds_its_turn_free() {
    /// Looks the moment it is woken, as another thread may.
    struct Looks(Turn, AtomicBool);
    impl ArcWake for Looks {
        fn wake_by_ref(looks: &Arc<Self>) {
            looks
                .1
                .store(looks.0.lock.try_lock().is_ok(), Ordering::Relaxed);
        }
    }
    let looks = Arc::new(Looks(Turn::default(), AtomicBool::new(false)));
    let world = watch::Sender::new(0);
    let mut woken = world.subscribe();
    let taken = looks.0.take(&world).await;
    let waker = waker(Arc::clone(&looks));
    let mut healing = std::pin::pin!(woken.changed());
    assert!(
        healing
            .as_mut()
            .poll(&mut std::task::Context::from_waker(&waker))
            .is_pending()
    );
    drop(taken);
    assert!(looks.1.load(Ordering::Relaxed));
}

#[tokio::test]
async fn a_glance_may_say_that_nothing_is_to_be_done_and_never_what_is() {
    let bench = Bench::empty();
    let shop = shop().with("web", service("node:20"));
    let nothing = bench.engine.observed();
    bench.apply(&shop).await;
    let calls = bench.engine.calls();
    // It is said to be gone, and is there.
    bench.engine.remember(nothing);
    bench.apply(&shop).await;
    assert_eq!(bench.engine.calls(), calls);
    // A moment ago it was there: healing sees that it is not.
    bench.engine.remember(bench.engine.observed());
    bench.engine.edit(|observed| observed.containers.clear());
    bench.apply(&shop).await;
    assert_eq!(bench.engine.calls(), calls);
}

#[tokio::test(start_paused = true)]
async fn of_one_that_does_not_take_the_place_of_another_no_later_log_is_promised() {
    let bench = Bench::empty();
    let with = |image: &str| shop().with("web", service(image));
    bench.engine.broken(&"node:21".parse().unwrap());
    for (image, promised) in [("node:21", true), ("node:20", true), ("node:21", false)] {
        let (sender, mut events) = mpsc::unbounded_channel();
        let wish = wish(&with(image));
        bench.controller.apply(wish, &sender).await.unwrap();
        drop(sender);
        let mut hints = Vec::new();
        while let Some(event) = events.recv().await {
            if let Event::StepFailed { problem, .. } | Event::ServiceFailed { problem, .. } = event
            {
                hints.extend(problem.hint);
            }
        }
        let is_promised = |hint: &String| hint.contains("cosmos logs shop-web-1");
        let is_fine = image == "node:20";
        assert_eq!(hints.is_empty(), is_fine, "{hints:?}");
        assert_eq!(
            hints.iter().any(is_promised),
            promised && !is_fine,
            "{hints:?}"
        );
    }
}
