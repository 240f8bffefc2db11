//! What is broken by hand is mended with nobody at the keyboard.

use super::{
    WEB, idle,
    support::{Place, docker, inspect, until},
};

/// Breaks a service's container, and waits until it runs and answers again.
fn heals(break_it: impl FnOnce(&Place, &str)) -> (String, String) {
    let place = Place::up(WEB);
    let before = place.id("web");
    let container = place.container("web");
    let started = || inspect(&container, "{{.State.StartedAt}}");
    let first = (place.id("web"), started());
    break_it(&place, &container);
    let after = until("it runs again", || {
        let id = place.running("web")?;
        ((id.clone(), started()) != first || container != place.container("web")).then_some(id)
    });
    until("it answers", || {
        place
            .get("web", "/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
    assert_eq!(place.containers(&["kind=service"]), [container]);
    let _ = place.cosmos(&["up"]).was_up_to_date();
    (before, after)
}

#[test]
fn a_removed_container_is_made_again() {
    let (before, after) = heals(|_, container| drop(docker(&["rm", "-f", container])));
    assert_ne!(before, after);
}

#[test]
fn a_stopped_container_is_started_again() {
    let (before, after) = heals(|_, container| drop(docker(&["stop", container])));
    assert_eq!(before, after);
}

#[test]
fn a_killed_container_is_started_again() {
    let (before, after) = heals(|_, container| drop(docker(&["kill", container])));
    assert_eq!(before, after);
}

#[test]
fn a_renamed_container_gets_its_name_back() {
    let place = Place::up(WEB);
    let id = place.id("web");
    docker(&[
        "rename",
        &place.container("web"),
        &format!("{}-other", place.name),
    ]);
    until("it has its name", || {
        inspect(&place.container("web"), "{{.Id}}").filter(|found| *found == id)
    });
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("web")]
    );
}

#[test]
fn limits_changed_by_hand_are_changed_back() {
    let place = Place::up(&idle("one", "resources = { memory = \"64MiB\" }"));
    let memory = || inspect(&place.container("one"), "{{.HostConfig.Memory}}").unwrap();
    docker(&[
        "update",
        "--memory",
        "96m",
        "--memory-swap",
        "192m",
        &place.container("one"),
    ]);
    until("they are as declared", || {
        (memory() == (64 << 20).to_string()).then_some(())
    });
}

#[test]
fn a_container_taken_off_its_network_is_put_back() {
    let place = Place::up(WEB);
    docker(&[
        "network",
        "disconnect",
        &place.network(),
        &place.container("web"),
    ]);
    until("it is in it", || {
        let networks = inspect(
            &place.container("web"),
            "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
        )?;
        networks.contains(&place.network()).then_some(())
    });
    until("it answers", || {
        place
            .get("web", "/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
}

#[test]
fn a_proxy_taken_off_a_network_is_put_back() {
    let place = Place::up(&format!("[network]\nisolated = true\n{WEB}"));
    docker(&[
        "network",
        "disconnect",
        &format!("{}-{}", place.network(), place.name),
        &place.proxy(),
    ]);
    until("it answers", || {
        place
            .get("web", "/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
}

#[test]
fn a_crash_loop_backs_off_and_is_shown() {
    let place = Place::up(&idle("one", "").replace(
        "sleep\", \"1000",
        "sh\", \"-c\", \"[ -e /crash ] && exit 3; sleep 1000",
    ));
    docker(&["exec", &place.container("one"), "touch", "/crash"]);
    docker(&["kill", &place.container("one")]);
    let note = until("it is shown", || {
        let service = place.service("one");
        let note = service["note"].as_str()?.to_owned();
        let restarts = service["containers"][0]["restarts"].as_u64()?;
        (restarts >= 5).then_some(note)
    });
    let told = note.strip_prefix("exit code 3, crash loop, next try in ");
    assert!(told.is_some(), "{note}");
    // The sixth try is 3.2 s after the fifth.
    let restarts = || {
        place.service("one")["containers"][0]["restarts"]
            .as_u64()
            .unwrap()
    };
    let before = (restarts(), std::time::Instant::now());
    until("the next try", || (restarts() > before.0).then_some(()));
    assert!(
        before.1.elapsed().as_millis() > 1_000,
        "{:?}",
        before.1.elapsed()
    );
}

#[test]
fn why_has_the_exit_code_and_the_last_words_of_what_ended() {
    let ends = idle("one", "restart = \"never\"").replace(
        "\"sleep\", \"1000\"",
        "\"sh\", \"-c\", \"echo the reason; exit 3\"",
    );
    let place = Place::new(&ends);
    let _ = place.cosmos(&["up"]).ended(1);
    let why = place.cosmos(&["why", "one"]).succeeded();
    for words in [" exited (3) ", "\n    | the reason\n"] {
        assert!(why.stdout.contains(words), "{why}");
    }
}
