//! From another machine, which knows the way to the networks of containers.
//!
//! An engine before 28 lets whoever routes to a container's address reach the ports
//! that it publishes, on the loopback only as they may be.

use super::Stronghold;
use crate::engine::workspace::{
    idle,
    support::{docker, inspect, output},
};

/// A machine beside this one: a container that no engine's network knows, with a link of
/// its own. RFC 5737 keeps its addresses from being anybody's.
struct Machine {
    container: String,
}

impl Machine {
    const OURS: &str = "203.0.113.1";

    fn new(name: &str, to: &str) -> Self {
        let this = Self {
            container: format!("{name}-machine"),
        };
        let run = ["run", "-d", "--init", "--network", "none", "--name"];
        docker(
            &[
                &run[..],
                &[&this.container, "debian:latest", "sleep", "10000"],
            ]
            .concat(),
        );
        let process = inspect(&this.container, "{{.State.Pid}}").unwrap();
        let inside = ["nsenter", "-t", &process, "-n", "ip"];
        let link = "ip link add lan0 type veth peer name lan1";
        for command in [
            link,
            &format!("ip link set lan1 netns {process}"),
            &format!("ip address add {}/30 dev lan0", Self::OURS),
            "ip link set lan0 up",
        ] {
            let words: Vec<_> = command.split(' ').collect();
            let _ = output(words[0], &words[1..]).succeeded();
        }
        for command in [
            "address add 203.0.113.2/30 dev lan1",
            "link set lan1 up",
            &format!("route add {to} via {}", Self::OURS),
        ] {
            let words: Vec<_> = inside.into_iter().chain(command.split(' ')).collect();
            let _ = output(words[0], &words[1..]).succeeded();
        }
        this
    }

    /// The status of an answer to each order, and `000` where there was none.
    fn orders(&self, stronghold: &Stronghold, to: &str) -> Vec<String> {
        let host = format!("Host: localhost:{}", stronghold.place.port);
        let orders = stronghold.orders();
        let statuses = orders.iter().map(|order| {
            let url = format!("http://{to}{}", order.path);
            let curl = [
                "exec",
                &self.container,
                "curl",
                "-s",
                "-o",
                "/dev/null",
                "--connect-timeout",
                "1",
                "-w",
                "%{http_code}",
                "-H",
                &host,
                "-H",
                "Content-Type: application/json",
            ];
            let sent = ["-X", order.method, "-d", &order.body, &url];
            output("docker", &[&curl[..], &sent[..]].concat()).stdout
        });
        statuses.collect()
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        // The link goes with its other end.
        let _ = output("docker", &["rm", "-f", &self.container]);
    }
}

#[test]
fn another_machine_is_obeyed_neither_by_our_address_nor_by_the_proxys_own() {
    let stronghold = Stronghold::new(&idle("one", ""));
    let place = &stronghold.place;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let proxy = inspect(&place.proxy(), format).unwrap();
    let machine = Machine::new(&place.name, &proxy);
    let before = stronghold.standing();
    let published = format!("{}:{}", Machine::OURS, place.port);
    for (way, allowed) in [
        (published, &["000"][..]),
        (format!("{proxy}:8080"), &["000", "401", "403"]),
    ] {
        for status in machine.orders(&stronghold, &way) {
            assert!(allowed.contains(&status.as_str()), "{status} by {way}");
        }
    }
    assert_eq!(stronghold.standing(), before);
    assert_eq!(stronghold.honest_start(), 200);
}
