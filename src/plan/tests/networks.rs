//! Networks beside the workspace's own, and what is run at a container's turning points.

use insta::assert_snapshot;

use super::super::{
    Volumes,
    test_workspace::{Lab, service, shop},
};
use super::down;
use crate::workspace::{FurtherNetwork, Network, NetworkName, Service, Workspace};

fn network(name: &str) -> NetworkName {
    NetworkName::new(name).unwrap()
}

impl Service {
    fn within(mut self, name: &str) -> Self {
        self.container.networks.push(network(name));
        self
    }

    fn hooked(mut self) -> Self {
        let words = |text: &str| vec![vec![text.to_owned()]];
        self.container.hooks.post_start = words("warm");
        self.container.hooks.pre_stop = words("drain");
        self
    }
}

impl Workspace {
    fn with_network(mut self, name: &str, external: bool) -> Self {
        let further = FurtherNetwork {
            external,
            network: Network::bridge(network(name)),
        };
        self.networks.insert(network(name), further);
        self
    }
}

#[test]
fn a_further_network_is_made_once_for_all_that_are_in_it() {
    let desired = shop()
        .with_network("shop_back", false)
        .with("api", service("api:1").within("shop_back"))
        .with("db", service("postgres:16").within("shop_back"));
    assert_snapshot!(Lab::empty().plan(&desired), @"
    #1 create network cosmos-net               needed by api
    #2 create network shop_back                needed by api
    #3 pull api:1                              needed by api
    #4 launch shop-api-1          after 1 2 3  new
    #5 pull postgres:16                        needed by db
    #6 launch shop-db-1           after 1 2 5  new
    ");
    assert_snapshot!(Lab::running(&desired).plan(&desired), @"");
}

#[test]
fn a_container_joins_and_leaves_a_further_network_without_being_replaced() {
    let without = shop()
        .with_network("shop_back", false)
        .with("api", service("api:1"));
    let within = shop()
        .with_network("shop_back", false)
        .with("api", service("api:1").within("shop_back"))
        .written_at("services.api.networks", 9);
    assert_snapshot!(Lab::running(&without).plan(&within), @"
    #1 create network shop_back                  needed by api
    #2 connect shop-api-1 to shop_back  after 1  is not in shop_back
    ");
    assert_snapshot!(
        Lab::running(&within).plan(&without.written_at("services.api", 8)),
        @"#1 disconnect shop-api-1 from shop_back  not in its networks any more (cosmos.toml:8)"
    );
}

/// One that runs in `shop_back`, and the same without it.
fn entered_and_left() -> (Workspace, Workspace) {
    let entered = shop()
        .with_network("shop_back", false)
        .with("api", service("api:1").within("shop_back"));
    (entered, shop().with("api", service("api:1")))
}

#[test]
fn a_network_that_left_the_file_goes_once_nobody_is_in_it() {
    let (entered, left) = entered_and_left();
    assert_snapshot!(Lab::running(&entered).plan(&left), @"
    #1 disconnect shop-api-1 from shop_back           not in its networks any more
    #2 remove network shop_back              after 1  not in cosmos.toml
    ");
}

#[test]
fn a_network_that_left_the_file_waits_for_what_is_held_in_it() {
    let (entered, _) = entered_and_left();
    let held = shop().with("api", service("api:1").held());
    let mut lab = Lab::running(&entered);
    lab.apply(&shop().with("api", service("api:1").within("shop_back").held()));
    assert_snapshot!(lab.plan(&held), @"");
}

#[test]
fn a_network_that_left_the_file_stays_for_another_checkout() {
    let (entered, left) = entered_and_left();
    let lab = Lab::running(&entered);
    lab.engine.edit(|observed| {
        let mut twin = observed.containers[0].clone();
        twin.name = "elsewhere".parse().unwrap();
        if let Some(owner) = &mut twin.owner {
            owner.folder = Some("/src/other".to_owned());
        }
        observed.containers.push(twin);
    });
    assert_snapshot!(
        lab.plan(&left),
        @"#1 disconnect shop-api-1 from shop_back  not in its networks any more"
    );
}

#[test]
fn the_own_network_goes_when_the_workspace_is_in_the_shared_one_again() {
    let mut own = shop().with("api", service("api:1"));
    own.network.isolated = true;
    own.network.name = network("cosmos-net-shop");
    let shared = shop().with("api", service("api:1"));
    assert_snapshot!(Lab::running(&own).plan(&shared), @"
    #1 create network cosmos-net                            needed by api
    #2 connect shop-api-1 to cosmos-net            after 1  is not in cosmos-net
    #3 disconnect shop-api-1 from cosmos-net-shop  after 2  not in its networks any more
    #4 remove network cosmos-net-shop              after 3  not in cosmos.toml
    ");
}

#[test]
fn an_external_network_that_is_missing_blocks_what_is_in_it() {
    let desired = shop()
        .with_network("theirs", true)
        .with("api", service("api:1").within("theirs"));
    assert_snapshot!(Lab::empty().plan(&desired), @"
    blocked api: external network `theirs` does not exist
       hint: make it: `docker network create theirs`
    ");
}

#[test]
fn a_container_taken_off_its_own_network_by_hand_is_connected_though_it_is_in_another() {
    let desired = shop()
        .with_network("shop_back", false)
        .with("api", service("api:1").within("shop_back"));
    let lab = Lab::running(&desired);
    lab.edit("shop-api-1", |api| {
        api.networks.remove(&network("cosmos-net"));
    });
    assert_snapshot!(
        lab.plan(&desired),
        @"#1 connect shop-api-1 to cosmos-net  is not in cosmos-net"
    );
}

#[test]
fn further_networks_go_with_the_workspace() {
    let desired = shop()
        .with_network("shop_back", false)
        .with("api", service("api:1").within("shop_back"));
    assert_snapshot!(down(&Lab::running(&desired), &desired, Volumes::Keep), @"
    #1 stop shop-api-1                    the workspace is taken down
    #2 remove shop-api-1         after 1  the workspace is taken down
    #3 remove network shop_back  after 2  the workspace is taken down
    ");
}

#[test]
fn a_plan_says_where_something_is_run_in_a_container() {
    let lab = Lab::running(&shop().with("web", service("node:20").hooked()));
    let desired = shop().with("web", service("node:22").hooked());
    assert_snapshot!(lab.plan(&desired), @"
    #1 pull node:22                                      needed by web
    #2 rename shop-web-1 to shop-web-1.fef8     after 1  replaced by a new one
    #3 launch shop-web-1, then run post_start   after 2  image changed: node:20 → node:22
    #4 wait for shop-web-1: ready               after 3  before shop-web-1.fef8 goes
    #5 run pre_stop, then stop shop-web-1.fef8  after 4  replaced by a new one
    #6 remove shop-web-1.fef8                   after 5  replaced by a new one
    ");
}

#[test]
fn other_hooks_replace_nothing() {
    let lab = Lab::running(&shop().with("web", service("node:20")));
    let desired = shop().with("web", service("node:20").hooked());
    assert_snapshot!(lab.plan(&desired), @"");
}
