//! By a container that passes for the gateway, and so for the host: it tells the proxy
//! by ARP that the gateway's address is its own, and speaks TCP over raw frames.
//!
//! It needs `CAP_NET_RAW`, which engines give by default and Cosmos does not.

use std::path::Path;

use super::Stronghold;
use crate::engine::workspace::support::{Said, docker, inspect, output};

/// Has Python.
const IMAGE: &str = "fixture/shop:latest";

fn forge(stronghold: &Stronghold, container: &str) -> Said {
    let place = &stronghold.place;
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/engine/attacks/forge.py");
    docker(&[
        "cp",
        program.to_str().unwrap(),
        &format!("{container}:/forge.py"),
    ]);
    let of_network = |format: &str| {
        let format = format!("{{{{range .NetworkSettings.Networks}}}}{{{{.{format}}}}}{{{{end}}}}");
        inspect(&place.proxy(), &format).unwrap()
    };
    let (proxy, gateway) = (of_network("IPAddress"), of_network("Gateway"));
    let host = format!("localhost:{}", place.port);
    let run = ["exec", container, "python3", "/forge.py"];
    output(
        "docker",
        &[&run[..], &[&proxy, &gateway, &host, &stronghold.victim]].concat(),
    )
}

fn service(keys: &str) -> String {
    format!(
        "[services.agent]\nimage = \"{IMAGE}\"\ninit = true\ncommand = [\"sleep\", \"10000\"]\n{keys}\n"
    )
}

#[test]
fn a_container_of_ours_cannot_forge_the_gateways_address() {
    let stronghold = Stronghold::new(&service(""));
    let before = stronghold.standing();
    let said = forge(&stronghold, &stronghold.place.container("agent"));
    assert!(
        said.code != 0 && said.stderr.contains("Operation not permitted"),
        "{said}"
    );
    assert_eq!(stronghold.standing(), before);
}

/// What SECURITY.md says of NET_RAW: without this test, the one above would prove
/// nothing but that some program fails.
#[test]
fn with_net_raw_the_address_can_be_forged_and_without_tokenless_calls_it_is_of_no_use() {
    // Else its own kernel would pass answers on to the true gateway, which ends what it
    // knows nothing of.
    let raw = service("cap_add = [\"NET_RAW\"]\nsysctls = { \"net.ipv4.ip_forward\" = \"0\" }");
    let stronghold = Stronghold::new(&raw);
    let said = forge(&stronghold, &stronghold.place.container("agent"));
    assert!(said.stdout.contains("HTTP/1.1 200"), "{said}");
    assert!(said.stdout.contains("\"stopped\""), "{said}");
    drop(stronghold);

    let stronghold = Stronghold::new(&format!("[proxy]\ntokenless = \"off\"\n{raw}"));
    let before = stronghold.standing();
    let said = forge(&stronghold, &stronghold.place.container("agent"));
    assert!(said.stdout.contains("tokenless_off"), "{said}");
    assert_eq!(stronghold.standing(), before);
}
