//! What the planner decides: two values in, one text out.

mod losses;
mod networks;
mod orders;
mod quiet;
mod reload;

use insta::assert_snapshot;

use super::{
    Action, Plan, Volumes, teardown,
    test_workspace::{Lab, name, service, shop},
};
use crate::workspace::{
    AfterCondition, Build, HealthProbe, Image, Kind, Observed, PullPolicy, Readiness, RunState,
    Workspace,
};

#[test]
fn a_fresh_workspace_gets_what_it_needs_in_the_order_of_its_dependencies() {
    let desired = shop()
        .with(
            "api",
            service("api:1")
                .after("db", AfterCondition::Ready)
                .after("migrate", AfterCondition::Completed),
        )
        .with("db", service("postgres:16").probed().volume("shop_data"))
        .with_command("migrate", "api:1", "v1")
        .written_at("services.db", 7);
    assert_snapshot!(Lab::empty().plan(&desired), @"
    #1 create network cosmos-net                        needed by db
    #2 create volume shop_data                          needed by db
    #3 pull postgres:16                                 needed by db
    #4 launch shop-db-1                  after 1 2 3    new (cosmos.toml:7)
    #5 pull api:1                                       needed by migrate
    #6 launch shop-migrate               after 1 5      not run yet
    #7 wait for shop-migrate: completed  after 6        it runs to its end
    #8 wait for shop-db-1: ready         after 4        api depends on it
    #9 launch shop-api-1                 after 1 5 7 8  new
    ");
}

#[test]
fn nothing_is_planned_for_what_is_as_declared() {
    let desired = shop()
        .with("db", service("postgres:16").probed().volume("shop_data"))
        .with_command("migrate", "api:1", "v1");
    assert_snapshot!(Lab::running(&desired).plan(&desired), @"");
}

#[test]
fn a_changed_image_starts_the_new_container_before_stopping_the_old() {
    let lab = Lab::running(&shop().with("web", service("node:20").probed()));
    let desired = shop()
        .with("web", service("node:22").probed())
        .written_at("services.web.image", 14);
    assert_snapshot!(lab.plan(&desired), @"
    #1 pull node:22                                   needed by web
    #2 rename shop-web-1 to shop-web-1.fef8  after 1  replaced by a new one
    #3 launch shop-web-1                     after 2  image changed: node:20 → node:22 (cosmos.toml:14)
    #4 wait for shop-web-1: ready            after 3  before shop-web-1.fef8 goes
    #5 stop shop-web-1.fef8                  after 4  replaced by a new one
    #6 remove shop-web-1.fef8                after 5  replaced by a new one
    ");
}

#[test]
fn a_writable_volume_stops_the_old_container_before_starting_the_new() {
    let lab = Lab::running(&shop().with("db", service("postgres:16").volume("shop_data")));
    let desired = shop().with("db", service("postgres:17").volume("shop_data"));
    assert_snapshot!(lab.plan(&desired), @"
    #1 pull postgres:17                             needed by db
    #2 stop shop-db-1                      after 1  replaced by a new one
    #3 rename shop-db-1 to shop-db-1.2671  after 2  replaced by a new one
    #4 launch shop-db-1                    after 3  image changed: postgres:16 → postgres:17
    #5 wait for shop-db-1: ready           after 4  before shop-db-1.2671 goes
    #6 remove shop-db-1.2671               after 5  replaced by a new one
    ");
}

#[test]
fn a_host_port_stops_the_old_container_before_starting_the_new() {
    let lab = Lab::running(&shop().with("web", service("node:20").port(Some(8000), 80)));
    let desired = shop().with("web", service("node:22").port(Some(8000), 80));
    assert_snapshot!(lab.plan(&desired), @"
    #1 pull node:22                                   needed by web
    #2 stop shop-web-1                       after 1  replaced by a new one
    #3 rename shop-web-1 to shop-web-1.edf8  after 2  replaced by a new one
    #4 launch shop-web-1                     after 3  image changed: node:20 → node:22
    #5 wait for shop-web-1: ready            after 4  before shop-web-1.edf8 goes
    #6 remove shop-web-1.edf8                after 5  replaced by a new one
    ");
}

#[test]
fn replicas_are_replaced_one_after_the_other() {
    let lab = Lab::running(&shop().with("web", service("node:20").probed().replicas(2)));
    let desired = shop().with("web", service("node:22").probed().replicas(2));
    assert_snapshot!(lab.plan(&desired), @"
    #1  pull node:22                                     needed by web
    #2  rename shop-web-1 to shop-web-1.fef8  after 1    replaced by a new one
    #3  launch shop-web-1                     after 2    image changed: node:20 → node:22
    #4  wait for shop-web-1: ready            after 3    before shop-web-1.fef8 goes
    #5  stop shop-web-1.fef8                  after 4    replaced by a new one
    #6  remove shop-web-1.fef8                after 5    replaced by a new one
    #7  rename shop-web-2 to shop-web-2.42d1  after 1 4  replaced by a new one
    #8  launch shop-web-2                     after 7    image changed: node:20 → node:22
    #9  wait for shop-web-2: ready            after 8    before shop-web-2.42d1 goes
    #10 stop shop-web-2.42d1                  after 9    replaced by a new one
    #11 remove shop-web-2.42d1                after 10   replaced by a new one
    ");
}

#[test]
fn scaling_up_launches_only_what_is_missing() {
    let lab = Lab::running(&shop().with("web", service("node:20")));
    assert_snapshot!(lab.plan(&shop().with("web", service("node:20").replicas(3))), @"
    #1 launch shop-web-2  missing
    #2 launch shop-web-3  missing
    ");
}

#[test]
fn scaling_down_removes_the_highest_replicas() {
    let lab = Lab::running(&shop().with("web", service("node:20").replicas(3)));
    let desired = shop()
        .with("web", service("node:20"))
        .written_at("services.web", 3);
    assert_snapshot!(lab.plan(&desired), @"
    #1 stop shop-web-2             replicas = 1 (cosmos.toml:3)
    #2 remove shop-web-2  after 1  replicas = 1 (cosmos.toml:3)
    #3 stop shop-web-3             replicas = 1 (cosmos.toml:3)
    #4 remove shop-web-3  after 3  replicas = 1 (cosmos.toml:3)
    ");
}

#[test]
fn a_service_held_stopped_is_stopped_and_the_reason_names_the_order() {
    let lab = Lab::running(&shop().with("web", service("node:20")));
    assert_snapshot!(lab.plan(&shop().with("web", service("node:20").held())), @"
    #1 stop shop-web-1  held stopped by `cosmos stop web`
    ");
}

#[test]
fn a_service_held_stopped_is_not_waited_for() {
    let desired = shop().with("web", service("node:20").probed().held()).with(
        "api",
        service("node:20").after("web", AfterCondition::Ready),
    );
    let lab = Lab::running(&desired);
    assert_snapshot!(lab.plan(&desired), @"");
}

#[test]
fn what_is_not_declared_any_more_is_removed() {
    let lab = Lab::running(
        &shop()
            .with("web", service("node:20"))
            .with("old", service("node:18")),
    );
    assert_snapshot!(lab.plan(&shop().with("web", service("node:20"))), @"
    #1 stop shop-old-1             not in cosmos.toml
    #2 remove shop-old-1  after 1  not in cosmos.toml
    ");
}

#[test]
fn a_command_runs_again_when_its_inputs_change() {
    let lab = Lab::running(&shop().with_command("migrate", "api:1", "v1"));
    assert_snapshot!(lab.plan(&shop().with_command("migrate", "api:1", "v2")), @"
    #1 remove shop-migrate                        its image, run, env or inputs changed
    #2 launch shop-migrate               after 1  its image, run, env or inputs changed
    #3 wait for shop-migrate: completed  after 2  it runs to its end
    ");
}

#[test]
fn a_command_whose_container_is_gone_stays_done() {
    let desired = shop().with_command("migrate", "api:1", "v1");
    let lab = Lab::running(&desired);
    lab.engine.edit(|observed| observed.containers.clear());
    assert_snapshot!(lab.plan(&desired), @"");
}

#[test]
fn a_command_that_failed_runs_again() {
    let desired = shop().with_command("migrate", "api:1", "v1");
    let mut lab = Lab::empty();
    lab.engine.exit_with(&name("shop-migrate"), 3);
    lab.apply(&desired);
    assert_snapshot!(lab.plan(&desired), @"
    #1 remove shop-migrate                        its last run exited with 3
    #2 launch shop-migrate               after 1  its last run exited with 3
    #3 wait for shop-migrate: completed  after 2  it runs to its end
    ");
}

#[test]
fn a_lost_network_is_made_again_and_its_members_are_connected() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    lab.engine.edit(|observed| observed.networks.clear());
    assert_snapshot!(lab.plan(&desired), @"
    #1 create network cosmos-net                  needed by web
    #2 connect shop-web-1 to cosmos-net  after 1  is not in cosmos-net
    ");
}

#[test]
fn a_limit_changed_by_hand_is_changed_back_in_place() {
    let mut web = service("node:20");
    web.container.resources.memory = Some(512 << 20);
    web.container.resources.nano_cpus = Some(1_500_000_000);
    let desired = shop()
        .with("web", web)
        .written_at("services.web.resources.memory", 9);
    let lab = Lab::running(&desired);
    lab.edit("shop-web-1", |web| {
        web.live.resources.memory = Some(1 << 30);
        web.live.resources.nano_cpus = None;
    });
    assert_snapshot!(lab.plan(&desired), @"
    #1 update shop-web-1  cpus changed: none → 1.5; memory changed: 1GiB → 512MiB (cosmos.toml:9)
    ");
}

#[test]
fn a_limit_that_podman_gave_by_itself_is_nobodys_change() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    lab.edit("shop-web-1", |web| web.live.resources.pids = Some(2048));
    assert_snapshot!(lab.plan(&desired), @"");
    lab.edit("shop-web-1", |web| web.live.resources.pids = Some(64));
    assert_snapshot!(lab.plan(&desired), @"#1 update shop-web-1  pids changed: 64 → none");
}

#[test]
fn a_container_renamed_by_hand_gets_its_name_back() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    lab.edit("shop-web-1", |web| web.name = name("mine"));
    assert_snapshot!(lab.plan(&desired), @"
    #1 rename mine to shop-web-1  was renamed to mine
    ");
}

#[test]
fn a_container_that_is_held_stopped_gets_its_name_back_and_is_not_started() {
    let desired = shop().with("web", service("node:20").held());
    let mut lab = Lab::running(&shop().with("web", service("node:20")));
    lab.apply(&desired);
    lab.edit("shop-web-1", |web| web.name = name("mine"));
    assert_snapshot!(
        lab.plan(&desired),
        @"#1 rename mine to shop-web-1  was renamed to mine"
    );
}

#[test]
fn what_was_never_started_is_launched_again_as_it_may_be_incomplete() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    lab.edit("shop-web-1", |web| {
        web.state = crate::workspace::ContainerState::Created
    });
    assert_snapshot!(lab.plan(&desired), @"#1 launch shop-web-1  was never started");
}

#[test]
fn two_containers_with_swapped_names_get_their_own_back() {
    let desired = shop().with("web", service("node:20").replicas(2));
    let lab = Lab::running(&desired);
    lab.edit("shop-web-1", |web| web.name = name("x"));
    lab.edit("shop-web-2", |web| web.name = name("shop-web-1"));
    lab.edit("x", |web| web.name = name("shop-web-2"));
    assert_snapshot!(lab.plan(&desired), @"
    #1 rename shop-web-1 to shop-web-1.42d1           has the name of shop-web-1
    #2 rename shop-web-2 to shop-web-1       after 1  was renamed to shop-web-2
    #3 rename shop-web-1.42d1 to shop-web-2  after 2  was renamed to shop-web-1
    ");
}

#[test]
fn a_container_that_ended_is_started_again() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    lab.edit("shop-web-1", |web| {
        web.state = crate::workspace::ContainerState::Exited {
            code: 1,
            at: std::time::SystemTime::UNIX_EPOCH,
            out_of_memory: false,
        };
    });
    assert_snapshot!(lab.plan(&desired), @"
    #1 start shop-web-1  exited with 1
    ");
}

/// The engine as a crash leaves it in the middle of replacing node:20 by node:22.
fn half_replaced() -> Lab {
    let mut lab = Lab::running(&shop().with("web", service("node:20").probed()));
    // Pull, rename, launch: and then nobody waits and removes.
    lab.engine.fail(
        lab.engine.calls().len() + 3,
        crate::reconcile::fake::Fault::CrashBefore,
    );
    lab.apply(&shop().with("web", service("node:22").probed()));
    lab.engine.recover();
    lab
}

#[test]
fn an_old_container_left_by_a_crash_goes_if_the_new_one_is_ready() {
    let lab = half_replaced();
    assert_snapshot!(lab.plan(&shop().with("web", service("node:22").probed())), @"
    #1 stop shop-web-1.fef8             left over beside shop-web-1
    #2 remove shop-web-1.fef8  after 1  left over beside shop-web-1
    ");
}

#[test]
fn an_old_container_left_by_a_crash_stays_until_the_new_one_is_ready() {
    let lab = half_replaced();
    lab.edit("shop-web-1", |web| web.readiness = Readiness::Starting);
    assert_snapshot!(lab.plan(&shop().with("web", service("node:22").probed())), @"
    #1 wait for shop-web-1: ready           before shop-web-1.fef8 goes
    #2 stop shop-web-1.fef8        after 1  left over beside shop-web-1
    #3 remove shop-web-1.fef8      after 2  left over beside shop-web-1
    ");
}

#[test]
fn an_old_container_left_without_a_new_one_is_replaced_from_where_it_is() {
    let lab = half_replaced();
    lab.engine.edit(|observed| {
        observed
            .containers
            .retain(|one| one.name != name("shop-web-1"))
    });
    assert_snapshot!(lab.plan(&shop().with("web", service("node:22").probed())), @"
    #1 launch shop-web-1                    image changed: node:20 → node:22
    #2 wait for shop-web-1: ready  after 1  before shop-web-1.fef8 goes
    #3 stop shop-web-1.fef8        after 2  replaced by a new one
    #4 remove shop-web-1.fef8      after 3  replaced by a new one
    ");
}

#[test]
fn going_back_takes_the_old_container_that_is_still_there() {
    let lab = half_replaced();
    assert_snapshot!(lab.plan(&shop().with("web", service("node:20").probed())), @"
    #1 rename shop-web-1 to shop-web-1.d7a3           left over beside shop-web-1
    #2 rename shop-web-1.fef8 to shop-web-1  after 1  was set aside
    #3 stop shop-web-1.d7a3                  after 2  left over beside shop-web-1
    #4 remove shop-web-1.d7a3                after 3  left over beside shop-web-1
    ");
}

#[test]
fn a_name_held_by_a_foreign_container_is_told_and_not_touched() {
    let desired = shop()
        .with("web", service("node:20"))
        .with(
            "api",
            service("node:20").after("web", AfterCondition::Started),
        )
        .with("db", service("postgres:16"));
    let lab = Lab::running(&desired);
    lab.engine.edit(|observed| {
        observed
            .containers
            .retain(|one| one.name == name("shop-web-1"));
        observed.containers[0].owner = None;
    });
    assert_snapshot!(lab.plan(&desired), @"
    #1 launch shop-db-1  missing
    blocked web: container name `shop-web-1` is taken by a container of node:20 that Cosmos did not make
       hint: rename or remove it: `docker rename shop-web-1 shop-web-1-old`
    blocked api: `api` depends on `web`, which cannot start
    ");
}

#[test]
fn the_containers_of_another_checkout_are_not_touched() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    let mut other = desired.clone();
    other.identity.folder = "/src/other".to_owned();
    assert_snapshot!(lab.plan(&other), @"
    blocked web: container name `shop-web-1` is taken by workspace `shop` of /src/shop
       hint: give this checkout a name of its own: `--instance NAME`
    ");
}

#[test]
fn a_container_with_copied_labels_is_not_believed() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    lab.engine.edit(|observed| {
        let mut copy = observed.containers[0].clone();
        copy.id = crate::workspace::ContainerId::new("f").unwrap();
        copy.name = name("a-copy");
        observed.containers.insert(0, copy);
    });
    assert_snapshot!(lab.plan(&desired), @"
    ignored a-copy: has a copy of the labels of `web`
    ");
}

#[test]
fn a_service_that_is_off_is_removed() {
    let lab = Lab::running(&shop().with("web", service("node:20")));
    let mut off = service("node:20");
    off.run = RunState::Off;
    assert_snapshot!(lab.plan(&shop().with("web", off)), @"
    #1 stop shop-web-1             none of its profiles is active
    #2 remove shop-web-1  after 1  none of its profiles is active
    ");
}

#[test]
fn nothing_starts_after_a_service_that_is_off() {
    let mut off = service("node:20");
    off.run = RunState::Off;
    let desired = shop()
        .with("db", off)
        .with("web", service("node:20").after("db", AfterCondition::Ready));
    assert_snapshot!(Lab::empty().plan(&desired), @"
    blocked web: `web` depends on `db`, which none of the active profiles runs
       hint: `cosmos start db`
    ");
}

#[test]
fn an_image_that_is_never_pulled_and_not_there_blocks_what_needs_it() {
    let mut web = service("node:20");
    web.container.image = Image::Pulled {
        reference: "node:20".parse().unwrap(),
        policy: PullPolicy::Never,
    };
    assert_snapshot!(Lab::empty().plan(&shop().with("web", web)), @r#"
    blocked web: image `node:20` is not on this engine, and pull = "never"
       hint: build or load it, or allow it to be pulled
    "#);
}

#[test]
fn a_missing_external_volume_blocks_what_mounts_it() {
    let mut desired = shop().with("db", service("postgres:16").volume("theirs"));
    desired.volumes[0].external = true;
    assert_snapshot!(Lab::empty().plan(&desired), @"
    blocked db: external volume `theirs` does not exist
       hint: make it: `docker volume create theirs`
    ");
}

#[test]
fn an_image_that_is_not_built_yet_is_a_step() {
    let mut web = service("x");
    web.container.image = Image::Built {
        tag: "shop-web:0123456789abcdef".parse().unwrap(),
        build: Build {
            context: "/src/shop".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            target: None,
            args: Default::default(),
        },
    };
    assert_snapshot!(Lab::empty().plan(&shop().with("web", web)), @"
    #1 create network cosmos-net                   needed by web
    #2 build shop-web:0123456789abcdef             needed by web
    #3 launch shop-web-1                after 1 2  new
    ");
}

#[test]
fn a_tag_that_moved_is_followed_if_it_is_always_pulled() {
    let mut web = service("node:20");
    web.container.image = Image::Pulled {
        reference: "node:20".parse().unwrap(),
        policy: PullPolicy::Always,
    };
    let desired = shop().with("web", web);
    let lab = Lab::running(&desired);
    lab.engine.edit(|observed| {
        *observed.images.values_mut().next().unwrap() = "sha256:0123456789abcdef".to_owned()
    });
    assert_snapshot!(lab.plan(&desired), @"
    #1 rename shop-web-1 to shop-web-1.fef8           replaced by a new one
    #2 launch shop-web-1                     after 1  node:20 moved: 194b23bd → 0123456789ab
    #3 wait for shop-web-1: ready            after 2  before shop-web-1.fef8 goes
    #4 stop shop-web-1.fef8                  after 3  replaced by a new one
    #5 remove shop-web-1.fef8                after 4  replaced by a new one
    ");
}

#[test]
fn a_tag_that_moved_is_not_followed_by_what_is_pulled_when_missing() {
    let desired = shop().with("web", service("node:20"));
    let lab = Lab::running(&desired);
    lab.engine.edit(|observed| {
        *observed.images.values_mut().next().unwrap() = "sha256:0123456789abcdef".to_owned()
    });
    assert_snapshot!(lab.plan(&desired), @"");
}

#[test]
fn an_isolated_workspace_leaves_the_shared_network() {
    let lab = Lab::running(&shop().with("web", service("node:20")));
    let desired = isolated(shop().with("web", service("node:20")));
    assert_snapshot!(lab.plan(&desired), @"
    #1 create network cosmos-net-shop                 needed by web
    #2 rename shop-web-1 to shop-web-1.fef8  after 1  replaced by a new one
    #3 launch shop-web-1                     after 2  network changed: cosmos-net → cosmos-net-shop
    #4 wait for shop-web-1: ready            after 3  before shop-web-1.fef8 goes
    #5 stop shop-web-1.fef8                  after 4  replaced by a new one
    #6 remove shop-web-1.fef8                after 5  replaced by a new one
    ");
}

#[test]
fn a_network_that_would_not_isolate_as_declared_blocks() {
    let mut desired = isolated(shop().with("web", service("node:20")));
    let lab = Lab::running(&desired);
    lab.engine.edit(|observed| observed.containers.clear());
    desired.network.internal = true;
    assert_snapshot!(lab.plan(&desired), @"
    blocked web: network `cosmos-net-shop` is there with internal = false
       hint: `cosmos down`, then `cosmos up` makes it anew
    ");
}

#[test]
fn a_circle_of_dependencies_is_told_and_nothing_is_done() {
    let desired = shop()
        .with(
            "web",
            service("node:20").after("api", AfterCondition::Ready),
        )
        .with(
            "api",
            service("node:20").after("web", AfterCondition::Ready),
        );
    assert_snapshot!(Lab::empty().plan(&desired), @"
    blocked web: its dependencies go round in a circle: web -> api -> web
       hint: take one `depends_on` of them away
    ");
}

#[test]
fn what_the_values_of_variables_are_is_never_said() {
    let lab = Lab::running(&shop().with(
        "web",
        service("node:20").env("TOKEN", "old").env("GONE", "x"),
    ));
    let desired = shop().with(
        "web",
        service("node:20")
            .env("TOKEN", "s3cret")
            .env("NEW", "s3cret"),
    );
    let text = lab.plan(&desired).to_string();
    assert!(
        text.contains("env changed: - GONE, + NEW, ~ TOKEN"),
        "{text}"
    );
    assert!(!text.contains("s3cret"), "{text}");
}

#[test]
fn a_port_that_was_given_before_is_given_again() {
    let desired = shop().with("db", service("postgres:16").port(None, 5432));
    let mut lab = Lab::empty();
    lab.memory
        .host_ports
        .insert((name("shop-db-1"), 5432), 49_321);
    let plan = lab.plan(&desired);
    let ports = plan.steps.iter().find_map(|step| match &step.action {
        Action::Launch(launch) => Some(&launch.container.ports),
        _ => None,
    });
    assert_eq!(ports.unwrap()[0].host, Some(49_321));
}

#[test]
fn a_port_that_was_given_is_not_told_as_a_change() {
    let db = |image: &str, host| service(image).port(host, 5432);
    let mut lab = Lab::running(&shop().with("db", db("postgres:16", None)));
    let given = db("postgres:16", Some(49_321)).container;
    lab.memory
        .host_ports
        .insert((name("shop-db-1"), 5432), 49_321);
    for applied in lab.memory.applied.values_mut() {
        *applied = given.clone();
    }
    let text = lab.plan(&shop().with("db", db("postgres:17", None)));
    assert!(!text.to_string().contains("ports"), "{text}");
}

#[test]
fn the_probe_of_the_engine_belongs_to_the_container() {
    let probed = |run: &str| {
        let mut web = service("node:20").probed();
        web.health.as_mut().unwrap().probe = HealthProbe::Command {
            run: vec![run.to_owned()],
        };
        shop().with("web", web)
    };
    let lab = Lab::running(&probed("true"));
    assert_eq!(lab.plan(&probed("true")).writes(), 0);
    assert_ne!(lab.plan(&probed("false")).writes(), 0);
}

#[test]
fn a_moved_line_changes_a_reason_and_not_the_digest() {
    let plan = |line| {
        Lab::empty().plan(
            &shop()
                .with("web", service("node:20"))
                .written_at("services.web", line),
        )
    };
    assert_ne!(plan(3).to_string(), plan(4).to_string());
    assert_eq!(plan(3).digest(), plan(4).digest());
}

#[test]
fn another_variable_is_another_digest() {
    let plan = |value| Lab::empty().plan(&shop().with("web", service("node:20").env("A", value)));
    assert_ne!(plan("1").digest(), plan("2").digest());
}

#[test]
fn a_workspace_goes_dependants_first_and_its_own_network_last() {
    let desired = isolated(
        shop()
            .with("db", service("postgres:16").volume("shop_data"))
            .with("web", service("node:20").after("db", AfterCondition::Ready))
            .with_command("migrate", "api:1", "v1"),
    );
    let lab = Lab::running(&desired);
    assert_snapshot!(down(&lab, &desired, Volumes::Keep), @"
    #1 remove shop-migrate                          the workspace is taken down
    #2 stop shop-web-1                              the workspace is taken down
    #3 remove shop-web-1               after 2      the workspace is taken down
    #4 stop shop-db-1                  after 2      the workspace is taken down
    #5 remove shop-db-1                after 4      the workspace is taken down
    #6 remove network cosmos-net-shop  after 1 3 5  the workspace is taken down
    ");
}

#[test]
fn volumes_go_only_if_asked_for() {
    let desired = shop().with("db", service("postgres:16").volume("shop_data"));
    let lab = Lab::running(&desired);
    assert_snapshot!(down(&lab, &desired, Volumes::Remove), @"
    #1 stop shop-db-1                    the workspace is taken down
    #2 remove shop-db-1         after 1  the workspace is taken down
    #3 remove volume shop_data  after 2  the workspace is taken down
    ");
}

#[test]
fn what_another_checkout_of_that_name_has_stays() {
    let desired = shop().with("db", service("postgres:16").volume("shop_data"));
    let lab = Lab::running(&desired);
    let mut other = desired.clone();
    other.identity.folder = "/src/other".to_owned();
    assert_snapshot!(down(&lab, &other, Volumes::Remove), @"
    blocked shop: workspace `shop` of /src/shop has the same name: its network and volumes stay
       hint: give one of the two a name of its own: `--instance NAME`
    ");
}

#[test]
fn the_proxy_joins_the_network_of_an_isolated_workspace() {
    let desired = isolated(shop().with("web", service("node:20")));
    let mut lab = Lab::with(proxy_alone());
    assert_snapshot!(lab.plan(&desired), @"
    #1 create network cosmos-net-shop                      needed by web
    #2 connect cosmos-proxy to cosmos-net-shop  after 1    the proxy leads to its services
    #3 pull node:20                                        needed by web
    #4 launch shop-web-1                        after 2 3  new
    ");
    lab.apply(&desired);
    assert_eq!(lab.plan(&desired).steps, []);
}

#[test]
fn a_proxy_that_was_taken_off_the_network_is_put_back() {
    let desired = shop().with("web", service("node:20"));
    let mut lab = Lab::with(proxy_alone());
    lab.apply(&desired);
    lab.edit("cosmos-proxy", |proxy| proxy.networks.clear());
    assert_snapshot!(lab.plan(&desired), @"#1 connect cosmos-proxy to cosmos-net  the proxy leads to its services");
}

#[test]
fn a_replacement_that_is_never_ready_leaves_the_old_one_running() {
    let mut lab = Lab::running(&shop().with("web", service("node:20").probed()));
    lab.engine.never_ready(&name("shop-web-1"));
    lab.apply(&shop().with("web", service("node:22").probed()));
    let observed = lab.engine.observed();
    let old = observed.container(&name("shop-web-1.fef8")).unwrap();
    assert!(old.is_running());
}

fn down(lab: &Lab, desired: &Workspace, volumes: Volumes) -> Plan {
    teardown(
        &desired.identity,
        Some(desired),
        &lab.engine.observed(),
        &lab.memory,
        volumes,
    )
}

fn isolated(mut desired: Workspace) -> Workspace {
    desired.network.isolated = true;
    desired.network.name = "cosmos-net-shop".parse().unwrap();
    desired
}

/// An engine with nothing but a running proxy, in no network.
fn proxy_alone() -> Observed {
    let lab = Lab::running(&shop().with("proxy", service("cosmos:1")));
    let mut proxy = lab.engine.observed().containers.remove(0);
    proxy.name = name("cosmos-proxy");
    proxy.networks.clear();
    if let Some(owner) = &mut proxy.owner {
        (owner.kind, owner.workspace, owner.folder) = (Kind::Proxy, None, None);
    }
    Observed {
        containers: vec![proxy],
        ..Observed::default()
    }
}

#[test]
fn a_chain_of_ten_thousand_services_needs_no_deep_stack() {
    let mut desired = shop();
    for number in 0..10_000_u32 {
        let mut service = service("nginx");
        if number < 9_999 {
            let next = format!("s{}", number + 1);
            service.depends_on.insert(next, AfterCondition::Started);
        }
        desired
            .services
            .insert(format!("s{number}").parse().unwrap(), service);
    }
    let small_stack = std::thread::Builder::new().stack_size(256 << 10);
    let order = std::thread::scope(|scope| {
        let order = || crate::workspace::order::topological(&desired).unwrap();
        small_stack
            .spawn_scoped(scope, order)
            .unwrap()
            .join()
            .unwrap()
    });
    assert_eq!(order.first().map(String::as_str), Some("s9999"));
    assert_eq!(order.last().map(String::as_str), Some("s0"));
}
