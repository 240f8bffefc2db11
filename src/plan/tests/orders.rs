//! What recorded orders do to a plan, and how its reasons name them.

use insta::assert_snapshot;

use super::{Lab, service, shop};
use crate::workspace::{Hold, Override, Overrides, RunState, Workspace};

/// The workspace with one order on top.
fn ordered(declared: &Workspace, hold: Hold, by: &str) -> Workspace {
    let order = Override {
        hold,
        by: by.to_owned(),
        who: None,
        at: 0,
        until: None,
        why: None,
    };
    Overrides(vec![("web".parse().unwrap(), order)]).apply(declared)
}

#[test]
fn a_scale_up_launches_what_is_missing_and_names_the_order() {
    let declared = shop().with("web", service("node:20"));
    let lab = Lab::running(&declared);
    let scaled = ordered(&declared, Hold::Replicas(3), "cosmos scale web=3");
    assert_snapshot!(lab.plan(&scaled), @"
    #1 launch shop-web-2  replicas = 3 by `cosmos scale web=3`
    #2 launch shop-web-3  replicas = 3 by `cosmos scale web=3`
    ");
}

#[test]
fn a_scale_down_removes_the_highest_and_names_the_order() {
    let declared = shop().with("web", service("node:20").replicas(2));
    let lab = Lab::running(&declared);
    let scaled = ordered(&declared, Hold::Replicas(1), "cosmos scale web=1");
    assert_snapshot!(lab.plan(&scaled), @"
    #1 stop shop-web-2             replicas = 1 by `cosmos scale web=1`
    #2 remove shop-web-2  after 1  replicas = 1 by `cosmos scale web=1`
    ");
}

#[test]
fn a_replica_that_is_lost_is_missing_and_not_ordered() {
    let declared = shop().with("web", service("node:20"));
    let scaled = ordered(&declared, Hold::Replicas(3), "cosmos scale web=3");
    let lab = Lab::running(&scaled);
    lab.engine.edit(|observed| {
        observed
            .containers
            .retain(|one| one.name.as_str() != "shop-web-2");
    });
    assert_snapshot!(lab.plan(&scaled), @"#1 launch shop-web-2  missing");
}

#[test]
fn a_service_off_by_its_profile_that_is_held_started_names_the_order() {
    let mut off = service("node:20");
    off.run = RunState::Off;
    let declared = shop().with("web", off);
    let mut lab = Lab::running(&shop().with("web", service("node:20")));
    lab.apply(&declared);
    let started = ordered(&declared, Hold::Started, "cosmos start web");
    assert_snapshot!(lab.plan(&started), @"#1 launch shop-web-1  held started by `cosmos start web`");
}

#[test]
fn a_scale_that_the_declaration_has_come_to_forbid_is_left_out() {
    let declared = shop().with("web", service("node:20").port(Some(8000), 80));
    let lab = Lab::running(&declared);
    let scaled = ordered(&declared, Hold::Replicas(3), "cosmos scale web=3");
    assert_snapshot!(lab.plan(&scaled), @"");
}
