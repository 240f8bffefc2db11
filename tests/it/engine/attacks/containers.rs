//! From a container, by every address that leads to the host or to the proxy.

use super::{Order, Stronghold};
use crate::engine::workspace::support::{docker, inspect, output};

/// A network that Cosmos knows nothing of, and a container in it.
struct Elsewhere {
    network: String,
    container: String,
}

impl Elsewhere {
    fn new(name: &str) -> Self {
        let this = Self {
            network: format!("{name}-other"),
            container: format!("{name}-outsider"),
        };
        docker(&["network", "create", &this.network]);
        let run = [
            "run",
            "-d",
            "--init",
            "--name",
            &this.container,
            "--network",
        ];
        docker(
            &[
                &run[..],
                &[&this.network, "debian:latest", "sleep", "10000"],
            ]
            .concat(),
        );
        this
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = output("docker", &["rm", "-f", &self.container]);
        let _ = output("docker", &["network", "rm", &self.network]);
    }
}

/// Every way to the proxy that a container could find: the proxy by its name and its
/// address, and each address of the machine at the published port.
fn ways(stronghold: &Stronghold) -> Vec<String> {
    let place = &stronghold.place;
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = inspect(&place.proxy(), format).unwrap();
    let mut ways = vec![
        format!("{}:8080", place.proxy()),
        format!("{address}:8080"),
        format!("host.docker.internal:{}", place.port),
    ];
    // Gateways of all bridges are among them.
    let addresses = output("ip", &["-o", "-4", "address"]).succeeded().stdout;
    let addresses = addresses.lines().filter_map(|line| {
        let address = line.split_whitespace().nth(3)?;
        Some(address.split('/').next()?.to_owned())
    });
    ways.extend(addresses.map(|address| format!("{address}:{}", place.port)));
    ways
}

/// Gives every order by every way, as a good client on the host would, and as one that
/// says where it goes; what each was answered.
fn attack(stronghold: &Stronghold, container: &str) -> Vec<String> {
    let port = stronghold.place.port;
    let mut script = String::new();
    for way in ways(stronghold) {
        for Order { method, path, body } in stronghold.orders() {
            for host in [&format!("localhost:{port}"), &format!("[::1]:{port}"), &way] {
                script += &format!(
                    "curl -s -m 5 --connect-timeout 0.3 -o /dev/null -w '%{{http_code}} {method} {path} by {way} as {host}\\n' \
                     -X {method} -H 'Host: {host}' -H 'Content-Type: application/json' -d '{body}' \
                     http://{way}{path}\n"
                );
            }
        }
    }
    let said = output("docker", &["exec", container, "sh", "-c", &script]);
    said.stdout.lines().map(str::to_owned).collect()
}

fn nothing_is_obeyed(stronghold: &Stronghold, container: &str) {
    let before = stronghold.standing();
    let answers = attack(stronghold, container);
    assert!(answers.len() > 50, "{answers:#?}");
    let obeyed: Vec<_> = answers
        .iter()
        .filter(|answer| {
            // No way, no token, not from there, not under that name.
            !["000", "401", "403", "421"]
                .iter()
                .any(|code| answer.starts_with(code))
        })
        .collect();
    assert!(obeyed.is_empty(), "{obeyed:#?}");
    assert_eq!(stronghold.standing(), before);
    assert_eq!(stronghold.honest_start(), 200);
}

#[test]
fn a_container_in_the_shared_network_is_obeyed_by_no_way() {
    let agent = "[services.agent]\nimage = \"debian:latest\"\ninit = true\n\
                 command = [\"sleep\", \"10000\"]\nextra_hosts = [\"host.docker.internal:host-gateway\"]\n";
    let stronghold = Stronghold::new(agent);
    nothing_is_obeyed(&stronghold, &stronghold.place.container("agent"));
}

#[test]
fn a_container_in_another_network_is_obeyed_by_no_way() {
    let stronghold = Stronghold::new(&crate::engine::workspace::idle("one", ""));
    let elsewhere = Elsewhere::new(&stronghold.place.name);
    nothing_is_obeyed(&stronghold, &elsewhere.container);
}
