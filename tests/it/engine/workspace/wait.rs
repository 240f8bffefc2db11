//! `cosmos wait`, from outside: its exit code, and what it says.

use serde_json::json;

use super::{
    WEB, idle,
    support::{Place, until},
};

#[test]
fn what_is_started_without_waiting_can_be_waited_for() {
    let place = Place::new(&(WEB.to_owned() + &idle("one", "")));
    let _ = place.cosmos(&["up", "--no-wait"]).succeeded();
    let said = place.cosmos(&["wait", "web", "one"]).succeeded();
    assert_eq!(said.stdout, "web is ready\none is ready\n");
    assert_eq!(place.get("web", "/").unwrap().status, 200);
    let told = place.cosmos(&["wait", "web", "--json"]).succeeded().json();
    let met = json!([{ "name": "web", "is": "ready" }]);
    assert_eq!(told, json!({ "schema": 1, "met": met }));
}

#[test]
fn a_stop_given_elsewhere_ends_the_wait_for_it() {
    let place = Place::up(&idle("one", ""));
    let mut waiting = place.begin(&["wait", "one", "--for", "stopped"]);
    assert!(waiting.child().try_wait().unwrap().is_none());
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    let said = waiting.end().succeeded();
    assert_eq!(said.stdout, "one is stopped\n");
}

#[test]
fn what_is_held_stopped_is_said_at_once() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    let _ = place
        .cosmos(&["wait", "one", "--timeout", "100s"])
        .ended(1)
        .told(&["held stopped by `cosmos stop one`", "cosmos start one"]);
}

#[test]
fn when_the_time_is_over_the_last_lines_are_shown() {
    let place = Place::new(
        &idle(
            "one",
            "health = { tcp = 81, interval = \"100ms\", retries = 1000 }",
        )
        .replace(
            "\"sleep\", \"1000\"",
            "\"sh\", \"-c\", \"echo no database; exec sleep 1000\"",
        ),
    );
    let _ = place.cosmos(&["up", "--no-wait"]).succeeded();
    until("it says so", || {
        let logs = place.cosmos(&["logs", "one"]);
        logs.stdout.contains("no database").then_some(())
    });
    let _ = place
        .cosmos(&["wait", "one", "--timeout", "1s"])
        .ended(1)
        .told(&["was not ready within 1 s", "no database"]);
}

#[test]
fn a_one_shot_is_waited_for_to_be_completed() {
    let config = |code: u8| {
        format!(
            "[commands.migrate]\nimage = \"busybox:latest\"\nrun = [\"sh\", \"-c\", \"echo the reason; exit {code}\"]\n"
        ) + &idle("one", "depends_on = { migrate = \"completed\" }")
    };
    let place = Place::up(&config(0));
    let said = place.cosmos(&["wait", "migrate"]).succeeded();
    assert_eq!(said.stdout, "migrate is completed\n");

    place.write("cosmos.toml", &config(3));
    let _ = place.cosmos(&["up"]).ended(1);
    let _ = place
        .cosmos(&["wait", "migrate", "--timeout", "100s"])
        .ended(1)
        .told(&["ended with exit code 3", "the reason"]);
}

#[test]
fn a_name_that_nothing_has_is_refused_with_what_may_be_meant() {
    let place = Place::up(&idle("one", ""));
    let _ = place
        .cosmos(&["wait", "onn"])
        .ended(1)
        .told(&["`onn`", "did you mean `one`?"]);
    let _ = place
        .cosmos(&["wait", "one", "--timeout", "soon"])
        .ended(2)
        .told(&["`soon` is no time"]);
}
