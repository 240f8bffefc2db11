//! `cosmos stop` and `cosmos restart`.

use insta::assert_snapshot;

use crate::support::{Cosmos, inspect, is_running};

#[test]
fn a_container_is_stopped_and_restarted_by_id_prefix_and_name_as_given() {
    let cosmos = Cosmos::ready();
    let name = cosmos.name("idle");
    let short = cosmos
        .run(["start", "-d", "--name", &name, "alpine:latest"])
        .success()
        .id();
    let id = inspect(&short, "{{.Id}}");
    let prefix = id[..7].to_owned();
    for given in [id.clone(), short, prefix, name] {
        let stopped = cosmos.run(["stop", &given]).success();
        assert_eq!(stopped.stdout, format!("Container stopped: {given}\n"));
        assert_eq!(stopped.stderr, "");
        assert!(!is_running(&id));

        let restarted = cosmos.run(["restart", &given]).success();
        assert_eq!(restarted.stdout, format!("Container restarted: {given}\n"));
        assert!(is_running(&id));
    }
}

#[test]
fn a_restart_is_a_new_start() {
    let cosmos = Cosmos::ready();
    let id = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    let before = inspect(&id, "{{.State.StartedAt}}");
    let _ = cosmos.run(["restart", &id]).success();
    assert_ne!(inspect(&id, "{{.State.StartedAt}}"), before);
}

#[test]
fn a_kept_alive_container_ends_when_asked() {
    let cosmos = Cosmos::ready();
    let id = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    let _ = cosmos.run(["stop", &id]).success();
    // By the signal that asks: 137 would be the kill ten seconds later.
    assert_eq!(inspect(&id, "{{.State.ExitCode}}"), "143");
}

#[test]
fn several_are_stopped_by_one_command_and_a_stranger_does_not_stop_it() {
    let cosmos = Cosmos::ready();
    let start = || cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    let (first, second) = (start(), start());
    let output = cosmos.run(["stop", &first, "nobody", &second]);
    assert_snapshot!(output, @r"
    Container stopped: <12 hex>
    Container stopped: <12 hex>
    ---- stderr ----
    error: no container or service is called `nobody`
    hint: `cosmos status --all` lists what there is
    [exit code 1]
    ");
    assert!(!is_running(&first) && !is_running(&second));
}

#[test]
fn the_proxy_is_not_stopped_like_a_container() {
    let cosmos = Cosmos::ready();
    let output = cosmos.run(["stop", &cosmos.proxy()]);
    assert_eq!(output.code, Some(1), "{output}");
    assert!(is_running(&cosmos.proxy()));
}
