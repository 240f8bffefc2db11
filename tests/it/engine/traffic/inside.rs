//! What a container reaches through the proxy.

use crate::engine::workspace::support::{Place, docker, inspect, output};

/// A server that is no container of ours, nor this machine: an nginx behind a link of
/// its own, in a network that no engine knows. It goes with this.
struct Far {
    container: String,
    address: &'static str,
}

impl Far {
    fn new(place: &Place) -> Self {
        let container = format!("{}-far", place.name);
        docker(&[
            "run",
            "-d",
            "--name",
            &container,
            "--network",
            "none",
            "nginx:latest",
            "sh",
            "-c",
            "echo 'server { listen 8000; location / { return 200 \"$request_uri $http_host\"; } }' \
             >/etc/nginx/conf.d/far.conf && exec nginx -g 'daemon off;'",
        ]);
        let this = Self {
            container,
            // RFC 5737: for documentation, so that nobody has it.
            address: "198.51.100.2",
        };
        let process = inspect(&this.container, "{{.State.Pid}}").unwrap();
        let inside = ["nsenter", "-t", &process, "-n"];
        for command in [
            &[
                "ip", "link", "add", "far0", "type", "veth", "peer", "name", "far1",
            ][..],
            &["ip", "link", "set", "far1", "netns", &process],
            &["ip", "address", "add", "198.51.100.1/30", "dev", "far0"],
            &["ip", "link", "set", "far0", "up"],
            &[
                &inside[..],
                &["ip", "address", "add", "198.51.100.2/30", "dev", "far1"],
            ]
            .concat(),
            &[&inside[..], &["ip", "link", "set", "far1", "up"]].concat(),
        ] {
            let _ = output(command[0], &command[1..]).succeeded();
        }
        this
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        // The link goes with its other end.
        let _ = output("docker", &["rm", "-f", "-v", &self.container]);
    }
}

#[test]
fn of_an_internal_network_the_proxy_is_the_only_way_out() {
    let agent = "[services.agent]\nimage = \"debian:latest\"\ninit = true\n\
                 command = [\"sleep\", \"10000\"]\n";
    // First in a network that leads out: there is a way.
    let place = Place::up(agent);
    let far = Far::new(&place);
    let address = format!("{}:8000", far.address);
    let fetch = |url: &str| {
        let container = place.container("agent");
        let get = ["curl", "--max-time", "2", "--silent", "--show-error", url];
        output("docker", &[&["exec", &container], &get[..]].concat())
    };
    let direct = || fetch(&format!("http://{address}/v1/chat"));
    assert_eq!(direct().stdout, format!("/v1/chat {address}"));

    place.write(
        "cosmos.toml",
        &format!(
            "[network]\nisolated = true\ninternal = true\n{agent}\
             [routes.model]\nupstream = \"http://{address}/v1\"\n"
        ),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let said = direct();
    assert!(said.code != 0 && said.stdout.is_empty(), "{said}");
    let (proxy, name) = (place.proxy(), &place.name);
    let said = fetch(&format!(
        "http://{proxy}:8080/_routes/{name}/model/chat?x=1"
    ));
    assert_eq!(said.stdout, format!("/v1/chat?x=1 {address}"), "{said}");
}
