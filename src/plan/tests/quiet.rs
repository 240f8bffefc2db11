//! What changes in a declaration and needs no step.

use std::time::Duration;

use insta::assert_snapshot;

use super::super::{
    Plan,
    test_workspace::{Lab, service, shop},
};
use crate::workspace::{
    AfterCondition, CaptureMode, OutsideRoute, RestartPolicy, Route, RunState, Service,
    UpdateOrder, UpstreamProtocol, Workspace,
};

fn route(port: u16) -> Option<Route> {
    Some(Route {
        port,
        hosts: Vec::new(),
        path: None,
        protocol: UpstreamProtocol::Http,
        default: false,
        hold: None,
        capture: CaptureMode::default(),
    })
}

fn web(change: impl FnOnce(&mut Service)) -> Workspace {
    let mut web = service("node:20");
    web.route = route(3000);
    change(&mut web);
    shop()
        .with("web", web)
        .written_at("services.web", 3)
        .written_at("services.web.route", 14)
}

/// The plan from one declaration that is up to another.
fn change(from: &Workspace, to: &Workspace) -> Plan {
    Lab::running(from)
        .plan(to)
        .with_quiet_changes(Some(from), to)
}

#[test]
fn a_route_is_in_force_without_a_step() {
    let plan = change(&web(|_| {}), &web(|it| it.route = route(8080)));
    assert_snapshot!(plan, @"= web  route changed: 3000 → 8080 (cosmos.toml:14), nothing to restart");
    assert!(!plan.is_empty());
}

#[test]
fn every_policy_is_told() {
    let plan = change(
        &web(|_| {}),
        &web(|it| {
            it.update = UpdateOrder::StopFirst;
            it.restart = RestartPolicy::OnFailure;
            it.container.stop_grace = Duration::from_millis(1500);
            it.container.hooks.pre_stop = vec![vec!["drain --password=x".to_owned()]];
            *it = it.clone().probed();
        }),
    );
    assert_snapshot!(plan, @"
    = web  health changed: none → tcp 80 (cosmos.toml:3), nothing to restart
    = web  update changed: auto → stop-first (cosmos.toml:3), nothing to restart
    = web  restart changed: always → on-failure (cosmos.toml:3), nothing to restart
    = web  hooks changed (cosmos.toml:3), nothing to restart
    = web  stop_grace changed: 10s → 1.5s (cosmos.toml:3), nothing to restart
    ");
}

#[test]
fn what_a_step_is_about_is_not_told_twice() {
    let plan = change(
        &web(|_| {}),
        &web(|it| {
            it.container.init = true;
            it.route = route(8080);
        }),
    );
    assert_eq!(plan.quiet.len(), 1, "{plan}");
    assert_eq!(
        plan.quiet[0].change,
        "route changed: 3000 → 8080 (cosmos.toml:14)"
    );
}

#[test]
fn a_change_of_what_does_not_run_is_told() {
    let plan = change(
        &web(|it| it.run = RunState::Off),
        &web(|it| {
            it.run = RunState::Off;
            it.container.init = true;
        }),
    );
    assert_snapshot!(plan, @"= web  init changed: false → true (cosmos.toml:3), nothing to restart");
}

#[test]
fn a_dependency_is_told_and_restarts_nothing() {
    let with = |on: &[&str]| {
        let web = on.iter().fold(service("node:20"), |it, on| {
            it.after(on, AfterCondition::Ready)
        });
        shop().with("db", service("db:1")).with("web", web)
    };
    let plan = change(&with(&[]), &with(&["db"]));
    assert_snapshot!(plan, @"= web  depends_on changed: none → db ready, nothing to restart");
}

#[test]
fn a_line_that_moved_is_no_change() {
    let moved = web(|_| {}).written_at("services.web.route", 40);
    assert!(change(&web(|_| {}), &moved).is_empty());
}

#[test]
fn an_upstream_is_told_without_what_may_be_a_password_in_it() {
    let with = |upstream: &str| {
        let mut shop = web(|_| {});
        let route = OutsideRoute {
            upstream: upstream.to_owned(),
            ca: None,
            capture: CaptureMode::default(),
            hosts: Vec::new(),
        };
        shop.routes.insert("llm".parse().unwrap(), route);
        shop
    };
    let plan = change(&with("http://me:s3cret@a"), &with("http://me:s3cret@b"));
    assert_snapshot!(plan, @"= route llm  route changed");
}

#[test]
fn a_command_and_a_volume_that_change_are_told() {
    let with = |inputs: &str, driver: &str| {
        let mut shop = shop()
            .with("db", service("db:1").volume("shop_data"))
            .with_command("seed", "api:1", inputs);
        shop.commands[0].needed = false;
        shop.volumes[0].driver = driver.to_owned();
        shop
    };
    assert_snapshot!(change(&with("1", "local"), &with("2", "other")), @"
    = seed  declaration changed, for its next run
    = volume shop_data  settings changed, for when it is made anew
    ");
}

#[test]
fn the_digest_covers_what_needs_no_step() {
    let digest = |port| change(&web(|_| {}), &web(|it| it.route = route(port))).digest();
    assert_ne!(digest(8080), digest(3000));
    assert_ne!(digest(8080), digest(8081));
}
