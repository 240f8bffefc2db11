//! Everything removed by hand, and then used again.

use std::fs;

use insta::assert_snapshot;

use crate::support::{Cosmos, docker, inspect, is_running};

/// The founding clean-up.
fn clean_up(cosmos: &Cosmos) {
    docker(["stop", &cosmos.proxy()]);
    docker(["rm", &cosmos.proxy()]);
    docker(["network", "rm", &cosmos.network()]);
}

#[test]
fn after_the_clean_up_the_next_command_works_again() {
    let cosmos = Cosmos::with_the_usual_names();
    let _ = cosmos
        .run(["start", "ubuntu:latest", "echo", "x"])
        .success();
    // Word for word, as it was always written.
    docker(["stop", "cosmos-proxy"]);
    docker(["rm", "cosmos-proxy"]);
    docker(["network", "rm", "cosmos-net"]);
    let again = cosmos.run(["start", "ubuntu:latest", "echo", "x"]);
    assert_snapshot!(again, @r"
    Spawning coding-proxy container...
    Proxy container started: <12 hex>
    Container started: <12 hex>
    x
    [exit code 0]
    ");
}

#[test]
fn after_the_clean_up_an_old_container_is_still_ours_and_joins_the_new_network() {
    let cosmos = Cosmos::new();
    let id = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    let _ = cosmos.run(["stop", &id]).success();
    let old = docker([
        "network",
        "inspect",
        "--format",
        "{{.Id}}",
        &cosmos.network(),
    ]);
    clean_up(&cosmos);
    let restarted = cosmos.run(["restart", &id]);
    assert_snapshot!(restarted, @r"
    Spawning coding-proxy container...
    Proxy container started: <12 hex>
    Container restarted: <12 hex>
    [exit code 0]
    ");
    let new = docker([
        "network",
        "inspect",
        "--format",
        "{{.Id}}",
        &cosmos.network(),
    ]);
    assert_ne!(old, new);
    let joined = "{{range .NetworkSettings.Networks}}{{.NetworkID}}{{end}}";
    assert_eq!(inspect(&id, joined), new);

    // And that it is ours is in the state: without the token it can be stopped.
    let stop = format!(r#"{{"action":"stop","container_id":"{id}"}}"#);
    let stopped = cosmos.post_container(&stop, []);
    assert!(stopped.stdout.ends_with("\n200\n"), "{stopped}");
    assert!(!is_running(&id));
}

#[test]
fn a_container_that_runs_without_a_proxy_is_found_by_the_next() {
    let cosmos = Cosmos::new();
    let id = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    docker(["rm", "-f", &cosmos.proxy()]);
    let stopped = cosmos.run(["stop", &id]);
    assert_snapshot!(stopped, @r"
    Spawning coding-proxy container...
    Proxy container started: <12 hex>
    Container stopped: <12 hex>
    [exit code 0]
    ");
    assert!(!is_running(&id));
}

#[test]
fn after_the_clean_up_a_service_that_was_held_stopped_stays_so() {
    let cosmos = Cosmos::new();
    let config = "[workspace]\nname = 'shop'\n[services.web]\nimage = 'alpine:latest'\ncommand = 'sleep 600'\ninit = true\n";
    fs::write(cosmos.project().join("cosmos.toml"), config).unwrap();
    let _ = cosmos.run(["up"]).success();
    let _ = cosmos.run(["stop", "web"]).success();
    clean_up(&cosmos);
    let _ = cosmos.run(["up"]).success();
    let running = docker([
        "ps",
        "-q",
        "--filter",
        &cosmos.label_filter(),
        "--filter",
        "label=dev.cosmos.service=web",
    ]);
    assert_eq!(running, "", "it is held stopped");
    let status = cosmos.run(["status"]).success();
    assert!(status.stdout.contains("held stopped"), "{status}");
}

#[test]
fn without_its_network_the_proxy_is_mended() {
    let cosmos = Cosmos::new();
    let _ = cosmos
        .run(["start", "--rm", "alpine:latest", "true"])
        .success();
    docker([
        "network",
        "disconnect",
        "-f",
        &cosmos.network(),
        &cosmos.proxy(),
    ]);
    docker(["network", "rm", &cosmos.network()]);
    let again = cosmos.run(["start", "alpine:latest", "echo", "hello"]);
    assert_snapshot!(again, @r"
    Container started: <12 hex>
    hello
    [exit code 0]
    ");
}

#[test]
fn a_stopped_proxy_is_started_not_remade() {
    let cosmos = Cosmos::new();
    let _ = cosmos
        .run(["start", "--rm", "alpine:latest", "true"])
        .success();
    let before = inspect(&cosmos.proxy(), "{{.Id}}");
    docker(["stop", &cosmos.proxy()]);
    let again = cosmos.run(["start", "alpine:latest", "echo", "hello"]);
    assert_snapshot!(again, @r"
    Container started: <12 hex>
    hello
    [exit code 0]
    ");
    assert_eq!(inspect(&cosmos.proxy(), "{{.Id}}"), before);
}

#[test]
fn prune_all_is_the_whole_clean_up_in_one_and_the_state_stays() {
    let cosmos = Cosmos::new();
    let config = "[workspace]\nname = \"pruned\"\n[services.web]\nimage = \"alpine:latest\"\ncommand = \"sleep 1000\"\ninit = true\n";
    fs::write(cosmos.project().join("cosmos.toml"), config).unwrap();
    let _ = cosmos.run(["up"]).success();
    let _ = cosmos.run(["start", "-d", "alpine:latest"]).success();
    let pruned = cosmos.run(["prune", "--all", "--yes"]).success();
    assert!(pruned.stdout.contains("pruned is down ("), "{pruned}");
    assert!(
        pruned
            .stdout
            .contains("removed 2 containers, the proxy and its network;"),
        "{pruned}"
    );
    let left = docker(["ps", "-aq", "--filter", &cosmos.label_filter()]);
    assert_eq!(left, "");
    let filter = format!("name=^{}$", cosmos.network());
    assert_eq!(docker(["network", "ls", "-q", "--filter", &filter]), "");
    let _ = docker(["volume", "inspect", &cosmos.volume()]);
    // And once more there is nothing to do; the next command works again.
    let again = cosmos.run(["prune", "--all", "--yes"]);
    assert_snapshot!(again, @r"
    nothing to prune: there is no proxy and no container
    [exit code 0]
    ");
    let _ = cosmos.run(["start", "alpine:latest", "true"]).success();
}

#[test]
fn prune_removes_only_ad_hoc_containers_that_have_ended() {
    let cosmos = Cosmos::new();
    let runs = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    let ended = cosmos
        .run(["start", "alpine:latest", "true"])
        .success()
        .id();
    let refused = cosmos.run(["prune"]);
    assert!(refused.stderr.contains("cosmos prune --yes"), "{refused}");
    assert_eq!(inspect(&ended, "{{.State.Status}}"), "exited");
    let pruned = cosmos.run(["prune", "--yes"]);
    assert_snapshot!(pruned, @r"
    removed 1 container
    [exit code 0]
    ");
    assert!(is_running(&runs));
    assert!(!docker(["ps", "-aq"]).contains(&ended));
}
