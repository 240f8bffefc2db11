//! Many people at once: who orders, who applies and what heals take turns.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::{task::yield_now, time::timeout};

use super::{
    tests::{Bench, outcome, wish},
    *,
};
use crate::{
    plan::{
        Volumes,
        test_workspace::{service, shop},
    },
    reconcile::event::Outcome,
    workspace::Hold,
};

/// Longer than any of it takes on a clock that stands still.
const AT_MOST: Duration = Duration::from_secs(60);

fn edited(image: &str) -> Workspace {
    shop()
        .with("db", service("postgres:16").volume("shop_db"))
        .with("web", service(image).replicas(2))
}

/// On an engine that takes its time, so that others come in between.
fn slow() -> Bench {
    let bench = Bench::empty();
    bench.engine.take_time(3);
    bench
}

/// Applies in a task of its own, as the server does.
fn applied(bench: &Bench, workspace: &Workspace) -> tokio::task::JoinHandle<Outcome> {
    let (controller, wish) = (Arc::clone(&bench.controller), wish(workspace));
    tokio::spawn(async move {
        let (sender, events) = mpsc::unbounded_channel();
        controller.apply(wish, &sender).await.unwrap();
        drop(sender);
        outcome(events).await
    })
}

async fn all(tasks: Vec<tokio::task::JoinHandle<Outcome>>) -> Vec<Outcome> {
    let done = timeout(AT_MOST, join_all(tasks)).await.unwrap();
    done.into_iter().map(Result::unwrap).collect()
}

#[tokio::test(start_paused = true)]
async fn fifty_ups_at_once_are_one_and_each_is_told_the_truth() {
    let bench = slow();
    let healing = tokio::spawn(Arc::clone(&bench.controller).run());
    let wanted = edited("node:20");
    let outcomes = all((0..50).map(|_| applied(&bench, &wanted)).collect()).await;
    healing.abort();

    // One did it all, the others found it done; nobody failed and nothing was done twice.
    let did: Vec<_> = outcomes.iter().filter(|it| it.succeeded > 0).collect();
    assert_eq!(did.len(), 1);
    assert_eq!(did[0].succeeded as usize, bench.engine.calls().len());
    assert!(outcomes.iter().all(|it| it.failed == 0 && it.services == 2));
    assert_eq!(bench.engine.observed().containers.len(), 3);
    assert_eq!(bench.store.declared("shop").unwrap().unwrap().revision, 1);
}

#[tokio::test(start_paused = true)]
async fn of_fifty_different_ups_at_once_the_last_revision_is_what_runs() {
    let bench = slow();
    let images: Vec<_> = (0..50).map(|version| format!("node:{version}")).collect();
    let ups = images.iter().map(|image| applied(&bench, &edited(image)));
    let outcomes = all(ups.collect()).await;
    assert!(outcomes.iter().all(|it| it.failed == 0));

    let declared = bench.store.declared("shop").unwrap().unwrap();
    assert_eq!(declared.revision, 50);
    let newest = declared.workspace.services["web"]
        .container
        .image
        .reference();
    let observed = bench.engine.observed();
    assert_eq!(observed.containers.len(), 3);
    let web = observed
        .containers
        .iter()
        .filter(|one| one.replica_of("web"));
    assert!(web.clone().count() == 2 && web.clone().all(|one| one.image == *newest));
}

#[tokio::test(start_paused = true)]
async fn a_stop_given_while_many_apply_holds_to_the_end() {
    let bench = slow();
    bench.apply(&edited("node:20")).await;
    let healing = tokio::spawn(Arc::clone(&bench.controller).run());
    let images = ["node:21", "node:22", "node:23", "node:24"];
    let ups: Vec<_> = images
        .iter()
        .cycle()
        .take(20)
        .map(|image| applied(&bench, &edited(image)))
        .collect();
    yield_now().await;
    bench.order("web", Order::Stop).await.unwrap();
    let outcomes = all(ups).await;
    healing.abort();

    assert!(outcomes.iter().all(|it| it.failed == 0));
    let held = bench.store.overrides("shop").unwrap().0;
    assert_eq!(held[0].1.hold, Hold::Stopped);
    let observed = bench.engine.observed();
    let mut web = observed
        .containers
        .iter()
        .filter(|one| one.replica_of("web"));
    assert!(web.all(|one| !one.is_running()));
}

#[tokio::test(start_paused = true)]
async fn healing_and_a_down_do_not_fight() {
    let bench = slow();
    bench.apply(&edited("node:20")).await;
    let healing = tokio::spawn(Arc::clone(&bench.controller).run());
    bench.engine.hint();
    let (controller, engine) = (&bench.controller, &bench.engine);
    let down = async {
        let (sender, events) = mpsc::unbounded_channel();
        let folder = "/src/shop";
        let down = controller.down("shop", folder, Volumes::Keep, "cosmos down", &sender);
        down.await.unwrap();
        drop(sender);
        outcome(events).await
    };
    let hints = async {
        for _ in 0..100 {
            engine.hint();
            yield_now().await;
        }
    };
    let (outcome, ()) = timeout(AT_MOST, async { tokio::join!(down, hints) })
        .await
        .unwrap();
    tokio::time::sleep(AT_MOST).await;
    healing.abort();
    assert_eq!(outcome.failed, 0);
    assert!(bench.engine.observed().containers.is_empty());
}

impl crate::workspace::ObservedContainer {
    fn replica_of(&self, service: &str) -> bool {
        let owner = self.owner.as_ref();
        owner.is_some_and(|owner| owner.name.as_deref() == Some(service))
    }
}
