//! Podman's socket in the engine's place.

use std::fs;

use super::{
    own_engine::on_podman,
    workspace::{
        idle,
        support::{Place, inspect},
    },
};

#[test]
fn on_podmans_socket_the_proxy_is_nobody_and_does_its_work() {
    let name = "podman::on_podmans_socket_the_proxy_is_nobody_and_does_its_work";
    on_podman(name, |_| {
        let place = Place::up(&idle("one", ""));
        assert!(place.running("one").is_some());
        let _ = place.cosmos(&["up"]).was_up_to_date();
        // As the kernel has it, and not only as it was asked for.
        let process = inspect(&place.proxy(), "{{.State.Pid}}").unwrap();
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let is = |line: &str| assert!(status.contains(line), "no {line:?} in {status}");
        is("Uid:\t65532\t65532\t65532\t65532");
        is("CapEff:\t0000000000000000");
        is("NoNewPrivs:\t1");
        let _ = place.cosmos(&["stop", "one"]).succeeded();
        assert!(place.running("one").is_none());
        let _ = place.cosmos(&["down"]).succeeded();
    });
}
