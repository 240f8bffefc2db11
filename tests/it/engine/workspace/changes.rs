//! What a change of the file changes, and what not.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use super::{
    WEB, idle,
    support::{Place, docker, inspect},
};

/// Applies a change of `one`, and says whether it and `two` were replaced.
fn replaced_by(change: impl FnOnce(&str) -> String) -> (bool, bool) {
    let (one, two) = (idle("one", ""), idle("two", ""));
    let place = Place::up(&(one.clone() + &two));
    let before = (place.id("one"), place.id("two"));
    place.write("cosmos.toml", &(change(&one) + &two));
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("one"), place.container("two")]
    );
    let _ = place.cosmos(&["up"]).was_up_to_date();
    (place.id("one") != before.0, place.id("two") != before.1)
}

#[test]
fn a_changed_image_replaces_exactly_that_service() {
    assert_eq!(
        replaced_by(|one| one.replace("busybox:latest", "alpine:latest")),
        (true, false)
    );
}

#[test]
fn a_changed_environment_replaces_exactly_that_service() {
    assert_eq!(
        replaced_by(|one| format!("{one}env = {{ A = \"b\" }}\n")),
        (true, false)
    );
}

#[test]
fn a_changed_command_replaces_exactly_that_service() {
    assert_eq!(
        replaced_by(|one| one.replace("1000", "2000")),
        (true, false)
    );
}

#[test]
fn a_changed_comment_replaces_nothing() {
    let place = Place::up(&idle("one", ""));
    place.write(
        "cosmos.toml",
        &format!("# a comment\n\n{}", idle("one", "replicas = 1")),
    );
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn changed_limits_are_updated_in_place() {
    let place = Place::up(&idle(
        "one",
        "resources = { cpus = 1.0, memory = \"64MiB\" }",
    ));
    let limits = || {
        inspect(
            &place.container("one"),
            "{{.Id}} {{.HostConfig.NanoCpus}} {{.HostConfig.Memory}}",
        )
        .unwrap()
    };
    let id = place.id("one");
    assert_eq!(limits(), format!("{id} 1000000000 {}", 64 << 20));
    place.write(
        "cosmos.toml",
        &idle("one", "resources = { cpus = 0.5, memory = \"96MiB\" }"),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(limits(), format!("{id} 500000000 {}", 96 << 20));
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn a_service_that_is_not_declared_any_more_is_removed_and_a_stranger_is_not() {
    let place = Place::up(&(idle("one", "") + &idle("two", "")));
    let stranger = format!("{}-stranger", place.name);
    docker(&[
        "run",
        "-d",
        "--name",
        &stranger,
        "busybox:latest",
        "sleep",
        "1000",
    ]);
    let other = Place::up(&idle("two", ""));
    place.write("cosmos.toml", &idle("one", ""));
    let _ = place.cosmos(&["up"]).succeeded();
    let is_there = inspect(&stranger, "{{.State.Running}}");
    docker(&["rm", "-f", &stranger]);
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("one")]
    );
    assert_eq!(is_there.as_deref(), Some("true"));
    assert!(other.running("two").is_some());
}

#[test]
fn fewer_replicas_remove_the_highest_and_more_keep_the_rest() {
    let with = |count: u32| WEB.replace("route = 80", &format!("route = 80\nreplicas = {count}"));
    let place = Place::up(&with(2));
    let first = place.id("web");
    for count in [1, 3] {
        place.write("cosmos.toml", &with(count));
        let _ = place.cosmos(&["up"]).succeeded();
        assert_eq!(place.containers(&["service=web"]).len(), count as usize);
        assert_eq!(place.id("web"), first);
    }
}

#[test]
fn no_request_is_lost_while_a_service_with_a_route_is_replaced() {
    let place = Place::up(WEB);
    let is_over = AtomicBool::new(false);
    let answers = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            let mut answers = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                answers.push(
                    place
                        .get("web", "/")
                        .map(|answer| (answer.status, answer.body)),
                );
            }
            answers
        });
        for greeting in ["second", "third"] {
            place.write("cosmos.toml", &WEB.replace("hello", greeting));
            let said = place.cosmos(&["up"]);
            if said.code != 0 {
                is_over.store(true, Ordering::Relaxed);
                let _ = said.succeeded();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        asking.join().unwrap()
    });
    let lost: Vec<_> = answers
        .iter()
        .filter(|answer| !matches!(answer, Ok((200, _))))
        .collect();
    assert!(
        lost.is_empty(),
        "{} of {}: {lost:?}",
        lost.len(),
        answers.len()
    );
    let last = place.get("web", "/").unwrap().body;
    assert!(last.starts_with("third "), "{last}");
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("web")]
    );
}

#[test]
fn a_replacement_that_is_never_ready_leaves_the_old_one_serving() {
    let place = Place::up(WEB);
    let id = place.id("web");
    let broken = WEB
        .replace("exec httpd", "sleep 1000; exec httpd")
        .replace("interval = \"100ms\"", "interval = \"50ms\", retries = 5");
    place.write("cosmos.toml", &broken);
    let _ = place
        .cosmos(&["up"])
        .ended(1)
        .told(&["not ready", "all that is left of it"]);
    assert_eq!(
        place.get("web", "/").unwrap().body,
        format!("hello {}", &id[..12])
    );
    place.write("cosmos.toml", WEB);
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(place.running("web"), Some(id));
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("web")]
    );
}

#[test]
fn replicas_are_replaced_one_after_the_other_and_not_if_the_first_is_not_well() {
    let two = WEB.replace("route = 80", "route = 80\nreplicas = 2");
    let place = Place::up(&two);
    let second = || inspect(&format!("{}-web-2", place.name), "{{.Id}}").unwrap();
    let before = second();
    let broken = two
        .replace("exec httpd", "sleep 1000; exec httpd")
        .replace("interval = \"100ms\"", "interval = \"50ms\", retries = 5");
    place.write("cosmos.toml", &broken);
    let _ = place.cosmos(&["up"]).ended(1);
    assert_eq!(second(), before);

    place.write("cosmos.toml", &two.replace("hello", "second"));
    let said = place.cosmos(&["up", "--progress", "json"]).succeeded();
    let events: Vec<serde_json::Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let made = events.iter().find(|event| event["event"] == "plan_made");
    let steps = made.unwrap()["steps"].as_array().unwrap();
    let step = |action: String| {
        let found = steps.iter().find(|step| step["action"] == action.as_str());
        found.unwrap_or_else(|| panic!("no {action} in {said}"))["id"].clone()
    };
    let at = |what: &str, action: String| {
        let step = step(action);
        let is_it = |event: &serde_json::Value| event["event"] == what && event["step"] == step;
        events.iter().position(is_it).unwrap()
    };
    let name = &place.name;
    let is_well = at("step_succeeded", format!("wait for {name}-web-1: ready"));
    let next = at("step_started", format!("launch {name}-web-2"));
    assert!(is_well < next, "{said}");
    assert_ne!(second(), before);
}
