//! Cosmos dies before, in the middle of and after every engine call, and before
//! every write of its state, of everything a person can order. The next server
//! heals, the order is given again, and all is as if nothing had happened.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::{
    site::{Deed, Kept, Site, crowd, crowd_without_twin},
    *,
};
use crate::{
    plan::{
        Volumes,
        test_workspace::{service, shop},
    },
    reconcile::fake::Fault,
    workspace::{
        AfterCondition, ContainerState, FurtherNetwork, Health, HealthProbe, Network, NetworkName,
        Service, UpdateOrder,
    },
};

/// Where it dies.
#[derive(Debug, Clone)]
enum Point {
    Call(usize, Fault),
    Write(usize),
}

/// What happens, and on which engine.
struct Scenario {
    beside: Observed,
    before: Vec<Deed>,
    deeds: Vec<Deed>,
}

impl Scenario {
    fn new(before: impl Into<Vec<Deed>>, deeds: impl Into<Vec<Deed>>) -> Self {
        Self {
            beside: crowd(),
            before: before.into(),
            deeds: deeds.into(),
        }
    }

    fn without_twin(mut self) -> Self {
        self.beside = crowd_without_twin();
        self
    }

    /// Tries every point; how many there were.
    async fn survives_every_crash(self) -> usize {
        let site = Site::beside(self.beside.clone());
        for deed in &self.before {
            site.does(deed).await.unwrap();
        }
        let prepared = site.restarted();

        // First as it should be …
        let reference = prepared.fork();
        let writes = count_writes(&reference);
        let mut states = vec![reference.kept()];
        for deed in &self.deeds {
            let done = reference.does(deed).await;
            assert!(done.is_ok() || self.is_told(deed), "{deed:?}: {done:?}");
            states.push(reference.kept());
        }
        reference.settles().await.unwrap();
        reference.assert_single();
        let began = prepared.engine.calls().len();
        let calls = reference.engine.calls();
        assert!(calls.len() > began, "nothing happened");

        // … then with a death at each moment.
        let faults = [Fault::CrashBefore, Fault::CrashMidway, Fault::CrashAfter];
        let mut points: Vec<_> = (began..calls.len())
            .flat_map(|call| faults.clone().map(|fault| Point::Call(call, fault)))
            .collect();
        points.extend((0..writes.load(Relaxed)).map(Point::Write));
        for point in &points {
            let what = match point {
                Point::Call(call, _) => calls[*call].as_str(),
                Point::Write(_) => "",
            };
            println!("{point:?} {what}");
            self.survives(&prepared, &reference, &states, point).await;
        }
        points.len()
    }

    async fn survives(&self, prepared: &Site, reference: &Site, states: &[Kept], point: &Point) {
        let site = prepared.fork();
        let before = site.engine.observed();
        let may_lose_volumes = self
            .deeds
            .iter()
            .any(|deed| matches!(deed, Deed::Down(Volumes::Remove)));
        arm(&site, point);
        let mut done = 0;
        for deed in &self.deeds {
            let _ = site.does(deed).await;
            if site.engine.is_crashed() {
                break;
            }
            done += 1;
        }
        if !site.engine.is_crashed() {
            // What was left to healing is where it dies.
            let _ = site.settles().await;
        }
        assert!(site.engine.is_crashed(), "it did not die");

        let site = site.restarted();
        let kept = site.kept();
        assert!(states.contains(&kept), "half an order: {kept:?}");
        site.assert_untouched(&before, may_lose_volumes);
        site.settles().await.unwrap();
        site.assert_single();
        site.assert_routes();

        for deed in &self.deeds[done..] {
            match deed {
                Deed::ByHand(_) if is_first(deed, &self.deeds[done..]) => {
                    site.settles().await.unwrap();
                }
                _ => {
                    let again = site.does(deed).await;
                    let is_down = matches!((&again, deed), (Err(problem), Deed::Down(_)) if problem.code == "not_up");
                    assert!(
                        again.is_ok() || is_down || self.is_told(deed),
                        "{deed:?} again: {again:?}"
                    );
                }
            }
        }
        site.settles().await.unwrap();
        let lasting = self.deeds.iter().rev().find_map(|deed| match deed {
            Deed::Up(workspace) | Deed::UpAnew(workspace) => Some(Deed::Up(workspace.clone())),
            _ => None,
        });
        assert_eq!(site.ours(), reference.ours());
        assert_eq!(site.shared(), reference.shared());
        assert_eq!(site.kept(), reference.kept());
        site.assert_single();
        site.assert_routes();
        site.assert_untouched(&before, may_lose_volumes);
        site.assert_bounded().await;
        if let Some(lasting) = lasting {
            let calls = site.engine.calls();
            site.does(&lasting).await.unwrap();
            assert_eq!(site.engine.calls(), calls);
        }
    }

    /// Whether a deed is done and says at the same time what it could not do: the
    /// network of a name that two checkouts share stays.
    fn is_told(&self, deed: &Deed) -> bool {
        matches!(deed, Deed::Down(_)) && self.beside == crowd()
    }
}

fn is_first(deed: &Deed, deeds: &[Deed]) -> bool {
    deeds.first().is_some_and(|first| std::ptr::eq(first, deed))
}

fn count_writes(site: &Site) -> Arc<AtomicUsize> {
    let writes = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&writes);
    site.store.fuse.set(move || {
        counted.fetch_add(1, Relaxed);
        true
    });
    writes
}

/// From the point on nothing is done and nothing written.
fn arm(site: &Site, point: &Point) {
    let last = match point {
        Point::Call(call, fault) => {
            site.engine.fail(*call, fault.clone());
            usize::MAX
        }
        Point::Write(write) => *write,
    };
    let (engine, writes) = (Arc::clone(&site.engine), AtomicUsize::new(0));
    site.store.fuse.set(move || {
        if writes.fetch_add(1, Relaxed) >= last {
            engine.crash();
        }
        !engine.is_crashed()
    });
}

/// Ready when the engine's own check says so.
fn checked(image: &str) -> Service {
    let mut it = service(image);
    it.health = Some(Health {
        probe: HealthProbe::Command {
            run: vec!["true".to_owned()],
        },
        interval: std::time::Duration::from_secs(1),
        timeout: std::time::Duration::from_secs(1),
        retries: 3,
        start_period: std::time::Duration::ZERO,
    });
    it
}

/// A database with a volume and a port, a command, and what needs both.
fn guestbook() -> Workspace {
    let db = checked("postgres:16").volume("shop_db").port(None, 5432);
    shop()
        .with("db", db)
        .with_command("migrate", "api:1", "v1")
        .with("api", api("api:1"))
        .with("web", service("node:20"))
}

fn api(image: &str) -> Service {
    let mut api = checked(image)
        .after("db", AfterCondition::Ready)
        .after("migrate", AfterCondition::Completed);
    api.update = UpdateOrder::StartFirst;
    api
}

fn up() -> [Deed; 1] {
    [Deed::Up(guestbook())]
}

#[tokio::test(start_paused = true)]
async fn of_a_first_up() {
    Scenario::new([], up()).survives_every_crash().await;
}

#[tokio::test(start_paused = true)]
async fn of_an_edit_that_starts_the_new_one_first() {
    let edited = guestbook().with("api", api("api:2"));
    Scenario::new(up(), [Deed::Up(edited)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_an_edit_that_stops_the_old_one_first() {
    let db = checked("postgres:17").volume("shop_db").port(None, 5432);
    Scenario::new(up(), [Deed::Up(guestbook().with("db", db))])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_three_replicas_and_one_again() {
    let three = guestbook().with("web", service("node:20").replicas(3));
    Scenario::new(up(), [Deed::Up(three), Deed::Up(guestbook())])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_an_edit_of_three_replicas() {
    let three = |image| guestbook().with("web", checked(image).replicas(3));
    Scenario::new([Deed::Up(three("node:20"))], [Deed::Up(three("node:22"))])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_services_that_are_not_declared_any_more() {
    let db = checked("postgres:16").volume("shop_db").port(None, 5432);
    Scenario::new(up(), [Deed::Up(shop().with("db", db))])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_command_whose_inputs_changed() {
    let changed = guestbook().with_command("migrate", "api:1", "v2");
    Scenario::new(up(), [Deed::Up(changed)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_command_and_its_service_that_changed() {
    let changed = guestbook()
        .with_command("migrate", "api:2", "v2")
        .with("api", api("api:2"));
    Scenario::new(up(), [Deed::Up(changed)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_limits_changed_in_place() {
    let mut web = service("node:20");
    web.container.resources.pids = Some(64);
    Scenario::new(up(), [Deed::Up(guestbook().with("web", web))])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_network_of_its_own_and_the_shared_one_again() {
    let mut isolated = guestbook();
    isolated.network.isolated = true;
    isolated.network.name = "cosmos-net-shop".parse().unwrap();
    Scenario::new(up(), [Deed::Up(isolated), Deed::Up(guestbook())])
        .without_twin()
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_further_network_that_is_joined_and_left() {
    let back: NetworkName = "shop_back".parse().unwrap();
    let mut joined = guestbook();
    let further = FurtherNetwork {
        external: false,
        network: Network::bridge(back.clone()),
    };
    joined.networks.insert(back.clone(), further);
    for service in joined.services.values_mut() {
        service.container.networks.push(back.clone());
    }
    Scenario::new(up(), [Deed::Up(joined), Deed::Up(guestbook())])
        .without_twin()
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_stop_and_a_start() {
    let orders = [
        Deed::Order("api", Order::Stop),
        Deed::Order("api", Order::Start),
    ];
    Scenario::new(up(), orders).survives_every_crash().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_stops_in_a_row() {
    let orders = [
        Deed::Order("api", Order::Stop),
        Deed::Order("db", Order::Stop),
    ];
    Scenario::new(up(), orders).survives_every_crash().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_stop_and_a_release() {
    let orders = [
        Deed::Order("api", Order::Stop),
        Deed::Order("api", Order::Release),
    ];
    Scenario::new(up(), orders).survives_every_crash().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_restart() {
    Scenario::new(up(), [Deed::Order("api", Order::Restart)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_an_up_that_forgets_the_holds() {
    let before = [
        Deed::Up(guestbook()),
        Deed::Order("api", Order::Stop),
        Deed::Order("web", Order::Stop),
    ];
    let edited = guestbook().with("web", service("node:22"));
    Scenario::new(before, [Deed::UpAnew(edited)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_an_edit_of_what_is_held_stopped_and_its_start() {
    let before = [Deed::Up(guestbook()), Deed::Order("api", Order::Stop)];
    let edited = guestbook().with("api", api("api:2"));
    let deeds = [Deed::Up(edited), Deed::Order("api", Order::Start)];
    Scenario::new(before, deeds).survives_every_crash().await;
}

#[tokio::test(start_paused = true)]
async fn of_a_down() {
    Scenario::new(up(), [Deed::Down(Volumes::Keep)])
        .without_twin()
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_down_with_its_volumes() {
    Scenario::new(up(), [Deed::Down(Volumes::Remove)])
        .without_twin()
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_down_beside_a_checkout_of_the_same_name() {
    Scenario::new(up(), [Deed::Down(Volumes::Remove)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_a_down_and_an_up() {
    let deeds = [Deed::Down(Volumes::Keep), Deed::Up(guestbook())];
    Scenario::new(up(), deeds)
        .without_twin()
        .survives_every_crash()
        .await;
}

fn one<'a>(observed: &'a mut Observed, name: &str) -> &'a mut crate::workspace::ObservedContainer {
    let mut containers = observed.containers.iter_mut();
    containers.find(|one| one.name.as_str() == name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn of_healing_what_was_disconnected_renamed_removed_and_stopped() {
    let edit = |observed: &mut Observed| {
        one(observed, "shop-db-1").networks.clear();
        one(observed, "shop-web-1").name = "mine".parse().unwrap();
        observed
            .containers
            .retain(|one| one.name.as_str() != "shop-api-1");
    };
    Scenario::new(up(), [Deed::ByHand(edit)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_healing_what_ended() {
    let edit = |observed: &mut Observed| {
        for name in ["shop-db-1", "shop-web-1", "shop-api-1"] {
            one(observed, name).state = ContainerState::Exited {
                code: 137,
                at: std::time::SystemTime::UNIX_EPOCH,
                out_of_memory: false,
            };
        }
    };
    Scenario::new(up(), [Deed::ByHand(edit)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_healing_a_network_that_was_removed() {
    let edit = |observed: &mut Observed| {
        observed.networks.clear();
        for one in &mut observed.containers {
            one.networks.clear();
        }
    };
    Scenario::new(up(), [Deed::ByHand(edit)])
        .survives_every_crash()
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_an_edit_a_stop_and_the_edit_taken_back() {
    let edited = guestbook().with("web", service("node:22"));
    let deeds = [
        Deed::Up(edited),
        Deed::Order("web", Order::Stop),
        Deed::Up(guestbook()),
    ];
    Scenario::new(up(), deeds).survives_every_crash().await;
}
