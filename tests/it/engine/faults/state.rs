//! What the proxy remembers: copied, brought back, and taken along to another proxy.

use std::fs;

use super::{
    super::workspace::{
        WEB, idle,
        support::{Place, inspect, output},
    },
    held, is_whole, setting, settles, shop,
};

#[test]
fn a_backup_brings_orders_and_workspaces_back_and_has_no_secret_in_it() {
    let place = Place::new(
        &(shop(&[("one", 1)])
            + &idle("two", "secrets = [\"key\"]")
            + "[secrets.key]\nenv = \"KEY\"\n"),
    )
    .with("KEY", "canary-in-a-cage");
    let _ = place.cosmos(&["up"]).succeeded();
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    let file = place.elsewhere().join("state.db");
    let file = file.to_str().unwrap();
    let _ = place.cosmos(&["state", "backup", file]).succeeded();
    let copy = fs::read(file).unwrap();
    for secret in ["canary-in-a-cage", "Y2FuYXJ5LWluLWEtY2FnZQ"] {
        let is_in = copy
            .windows(secret.len())
            .any(|part| part == secret.as_bytes());
        assert!(!is_in, "{secret}");
    }

    // All of it is another now.
    let two = place.id("two");
    let _ = place.cosmos(&["start", "one"]).succeeded();
    let _ = place.cosmos(&["down"]).succeeded();
    let _ = place.cosmos(&["state", "restore", file]).ended(1);
    let _ = place.cosmos(&["up"]).succeeded();
    let said = place
        .cosmos(&["state", "restore", file, "--yes"])
        .succeeded();
    assert!(said.stdout.contains(&place.name), "{said}");
    assert_eq!(held(&place), ["one".to_owned()].into());
    settles(&place);
    assert_ne!(place.id("two"), two);
    is_whole(&place);
}

#[test]
fn a_file_that_is_no_backup_changes_nothing() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    let file = place.folder.join("cosmos.toml");
    let _ = place
        .cosmos(&["state", "restore", file.to_str().unwrap(), "--yes"])
        .ended(1)
        .told(&["no state of Cosmos", "nothing was changed"]);
    assert_eq!(held(&place), ["one".to_owned()].into());
    is_whole(&place);
}

#[test]
fn another_proxy_keeps_every_container_and_every_order() {
    let place = Place::up(&(WEB.to_owned() + &shop(&[("one", 1), ("two", 1)])));
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    let ids = || ["web", "one", "two"].map(|name| place.id(name));
    let started = || {
        place
            .running("web")
            .map(|id| inspect(&id, "{{.State.StartedAt}}"))
    };
    let (before, since) = (ids(), started());
    let proxy = inspect(&place.proxy(), "{{.Id}}");
    let _ = place.cosmos(&["proxy", "upgrade"]).succeeded();
    assert_ne!(inspect(&place.proxy(), "{{.Id}}"), proxy);
    assert_eq!(held(&place), ["one".to_owned()].into());
    settles(&place);
    is_whole(&place);
    assert_eq!((ids(), started()), (before, since));
}

/// How often here. `COSMOS_TEST_FULL=20` is what is claimed of it.
const RUNS: u32 = 1;

#[test]
fn a_full_state_refuses_orders_in_words_and_leaves_what_runs() {
    for _ in 0..setting("COSMOS_TEST_FULL", RUNS) {
        a_state_is_full();
    }
}

/// A state of one MiB that has room for orders, then for none, and then again.
fn a_state_is_full() {
    let place = Place::new("");
    let volume = place.network().replace("-net", "-state");
    let ours = format!(
        "dev.cosmos.installation={}",
        place.network().trim_end_matches("-net")
    );
    let made = output(
        "docker",
        &[
            "volume",
            "create",
            "--label",
            "dev.cosmos.managed=true",
            "--label",
            &ours,
            "-d",
            "local",
            "-o",
            "type=tmpfs",
            "-o",
            "device=tmpfs",
            "-o",
            "o=size=1m,mode=1777",
            &volume,
        ],
    );
    let _ = made.succeeded();
    place.write("cosmos.toml", &shop(&[("one", 1)]));
    let _ = place.cosmos(&["up"]).succeeded();
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    let _ = place.cosmos(&["start", "one"]).succeeded();
    let one = place.id("one");
    let history = || place.cosmos(&["history", "--json"]).succeeded().stdout;
    let before = history();
    // Larger than what is left: a config's content is a part of what is kept.
    place.write("large", &"x".repeat(1 << 20));
    place.write(
        "cosmos.toml",
        &(shop(&[("one", 2)]) + &idle("two", "configs = { \"./large\" = \"/large\" }")),
    );
    let _ = place
        .cosmos(&["up"])
        .ended(1)
        .told(&["is full", "goes on running"]);
    assert_eq!(place.running("one"), Some(one.clone()));
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("one")]
    );
    assert_eq!(history(), before, "what is kept is what was");
    // With room again it is taken.
    place.write("cosmos.toml", &shop(&[("one", 2)]));
    let _ = place.cosmos(&["up"]).succeeded();
    assert_ne!(place.id("one"), one);
    is_whole(&place);
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    assert_eq!(held(&place), ["one".to_owned()].into());
}
