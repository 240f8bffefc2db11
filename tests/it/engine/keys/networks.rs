//! Keys of what a container is joined to.

use serde_json::json;

use super::{Row, both, holds, inspected, row};
use crate::engine::workspace::{
    idle,
    support::{Place, docker, free_port},
};

pub(super) fn port_rows() -> Vec<Row> {
    vec![
        row(
            "services.*.ports",
            "/HostConfig/PortBindings/80~1tcp/0/HostIp",
            "127.0.0.1",
        ),
        row(
            "services.*.ports[].container",
            "/Config/ExposedPorts/53~1udp",
            json!({}),
        ),
        row(
            "services.*.ports[].host",
            "/HostConfig/PortBindings/53~1udp/0/HostPort",
            "PORT",
        ),
        row(
            "services.*.ports[].address",
            "/HostConfig/PortBindings/53~1udp/0/HostIp",
            "127.0.0.2",
        ),
        row(
            "services.*.ports[].transport",
            "/HostConfig/PortBindings/53~1udp/0/HostPort",
            "PORT",
        ),
        row(
            "services.*.extra_hosts",
            "/HostConfig/ExtraHosts",
            json!(["db.example.com:10.0.0.5"]),
        ),
        row("services.*.dns", "/HostConfig/Dns", json!(["192.0.2.53"])),
    ]
}

#[test]
fn ports_hosts_and_resolvers() {
    let (first, second) = (free_port(), free_port());
    let keys = |port: u16| {
        format!(
            "image = \"busybox:latest\"\ninit = true\n\
             ports = [80, {{ container = 53, host = {port}, address = \"127.0.0.2\", transport = \"udp\" }}]\n\
             extra_hosts = [\"db.example.com:10.0.0.5\"]\ndns = \"192.0.2.53\""
        )
    };
    let place = Place::up(&format!(
        "[services.it]\n{}\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"once\"]\n\
         [commands.once]\n{}\nrun = [\"true\"]\n",
        keys(first),
        keys(second)
    ));
    for (told, port) in both(&place).iter().zip([first, second]) {
        let mut rows = port_rows();
        for row in &mut rows {
            if row.is == "PORT" {
                row.is = json!(port.to_string());
            }
        }
        holds(told, &rows);
    }
}

#[test]
fn the_network_of_an_isolated_workspace_is_made_as_its_table_says() {
    let place = Place::up(&format!(
        "[network]\nname = \"NAME\"\nisolated = true\ninternal = true\nsubnet = \"10.211.1.0/24\"\ngateway = \"10.211.1.9\"\n\
         driver = \"bridge\"\noptions = {{ \"com.docker.network.driver.mtu\" = 1400 }}\nlabels = {{ kind = 7 }}\n{}",
        idle("it", "")
    )
    .replace("NAME", &format!("zz-{}", std::process::id())));
    let told = inspected("network", &format!("zz-{}", std::process::id()));
    holds(
        &told,
        &[
            row("network.internal", "/Internal", true),
            row("network.subnet", "/IPAM/Config/0/Subnet", "10.211.1.0/24"),
            row("network.gateway", "/IPAM/Config/0/Gateway", "10.211.1.9"),
            row("network.driver", "/Driver", "bridge"),
            row(
                "network.options",
                "/Options/com.docker.network.driver.mtu",
                "1400",
            ),
            row("network.labels", "/Labels/kind", "7"),
        ],
    );
    let _ = place.cosmos(&["down"]).succeeded();
}

#[test]
fn a_further_network_is_made_as_its_table_says_and_goes_with_the_workspace() {
    let keys = "image = \"busybox:latest\"\ninit = true\nnetworks = [\"back\"]";
    let place = Place::up(&format!(
        "[networks.back]\ninternal = true\nsubnet = \"10.211.2.0/24\"\ngateway = \"10.211.2.9\"\ndriver = \"bridge\"\n\
         options = {{ \"com.docker.network.driver.mtu\" = 1400 }}\nlabels = {{ kind = 7 }}\n\
         [services.it]\n{keys}\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"once\"]\n\
         [commands.once]\n{keys}\nrun = [\"true\"]\n"
    ));
    let network = format!("{}_back", place.name);
    holds(
        &inspected("network", &network),
        &[
            row("networks.*.internal", "/Internal", true),
            row(
                "networks.*.subnet",
                "/IPAM/Config/0/Subnet",
                "10.211.2.0/24",
            ),
            row("networks.*.gateway", "/IPAM/Config/0/Gateway", "10.211.2.9"),
            row("networks.*.driver", "/Driver", "bridge"),
            row(
                "networks.*.options",
                "/Options/com.docker.network.driver.mtu",
                "1400",
            ),
            row("networks.*.labels", "/Labels/kind", "7"),
        ],
    );
    for told in both(&place) {
        let networks = told["NetworkSettings"]["Networks"].as_object().unwrap();
        let mut names: Vec<_> = networks.keys().map(String::as_str).collect();
        names.sort_unstable();
        let mut wanted = [place.network(), network.clone()];
        wanted.sort();
        assert_eq!(names, wanted);
    }
    let _ = place.cosmos(&["up"]).was_up_to_date();
    let _ = place.cosmos(&["down"]).succeeded();
    let left = docker(&[
        "network",
        "ls",
        "-q",
        "--filter",
        &format!("name=^{network}$"),
    ]);
    assert_eq!(left, "");
}

#[test]
fn networks_have_version_six_addresses_where_that_is_asked_for() {
    let place = Place::up(&format!(
        "[network]\nisolated = true\nipv6 = true\nsubnet = \"fd00:c05:1::/64\"\n\
         [networks.six]\nipv6 = true\nsubnet = \"fd00:c05:2::/64\"\n{}",
        idle("it", "networks = [\"six\"]")
    ));
    let told = inspected("container", &place.container("it"));
    let networks = told["NetworkSettings"]["Networks"].as_object().unwrap();
    for (network, prefix) in [
        ("_six", "fd00:c05:2::"),
        (place.name.as_str(), "fd00:c05:1::"),
    ] {
        let (_, endpoint) = networks
            .iter()
            .find(|(name, _)| name.ends_with(network))
            .unwrap();
        let address = endpoint["GlobalIPv6Address"].as_str().unwrap();
        assert!(address.starts_with(prefix), "{network}: {address}");
    }
    let _ = place.cosmos(&["down"]).succeeded();
}

#[test]
fn a_service_joins_and_leaves_an_external_network_without_a_new_container() {
    let place = Place::new("");
    let network = format!("{}-theirs", place.name);
    docker(&["network", "create", &network]);
    let config = |keys: &str| {
        format!(
            "[networks.{network}]\nexternal = true\n{}",
            idle("it", keys)
        )
    };
    place.write("cosmos.toml", &config(""));
    let _ = place.cosmos(&["up"]).succeeded();
    let id = place.id("it");
    place.write(
        "cosmos.toml",
        &config(&format!("networks = [\"{network}\"]")),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(place.id("it"), id);
    let told = inspected("container", &place.container("it"));
    assert!(
        told["NetworkSettings"]["Networks"][&network].is_object(),
        "{told}"
    );
    let _ = place.cosmos(&["down"]).succeeded();
    docker(&["network", "rm", &network]);
}

#[test]
fn what_is_in_a_further_network_has_its_long_name_there() {
    let place = Place::up(&format!(
        "[networks.back]\n{}",
        idle("db", "networks = [\"back\"]")
    ));
    let back = format!("{}_back", place.name);
    let told = inspected("container", &place.container("db"));
    let address = told["NetworkSettings"]["Networks"][&back]["IPAddress"].clone();
    let host = format!("db.{}.internal", place.name);
    // Somebody who is in that network alone.
    let found = docker(&[
        "run",
        "--rm",
        "--network",
        &back,
        "busybox:latest",
        "nslookup",
        &host,
    ]);
    assert!(
        found.contains(address.as_str().unwrap()),
        "{address} in {found}"
    );
}
