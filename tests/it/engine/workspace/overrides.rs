//! Recorded orders outlast what happens around them: `docs/overrides.md`.

use super::{
    WEB,
    checkouts::second_checkout,
    idle,
    support::{Place, docker, inspect, output, until},
};

/// One idle service, held stopped by somebody with a reason.
fn held() -> Place {
    let place = Place::up(&idle("one", "")).with("USER", "anna");
    let _ = place
        .cosmos(&["stop", "one", "--reason", "debugging"])
        .succeeded();
    place
}

/// The hold is there still, and `up` has nothing to do.
fn still_held(place: &Place) {
    let one = place.service("one");
    assert_eq!(one["state"], "held", "{one}");
    assert_eq!(one["hold"]["why"], "debugging", "{one}");
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(place.running("one"), None);
}

/// Waits until the proxy answers as another process than before.
fn proxy_back(place: &Place, before: &str) {
    until("the proxy is back", || {
        let now = inspect(&place.proxy(), "{{.State.StartedAt}} {{.State.Running}}")?;
        (now != before && now.ends_with("true")).then_some(())
    });
    until("it answers", || {
        (place.cosmos(&["status", "--json"]).code == 0).then_some(())
    });
}

fn started(place: &Place) -> String {
    inspect(&place.proxy(), "{{.State.StartedAt}} {{.State.Running}}").unwrap()
}

#[test]
fn a_hold_says_what_by_whom_when_and_what_for() {
    let place = held();
    let hold = &place.service("one")["hold"];
    assert_eq!(hold["what"], "stopped");
    assert_eq!(hold["by"], "cosmos stop one");
    assert!(hold["who"].as_str().unwrap().starts_with("anna@"), "{hold}");
    assert!(hold["at"].as_u64().unwrap() > 1_700_000_000_000, "{hold}");
    assert!(hold["until"].is_null(), "{hold}");
    let status = place.cosmos(&["status"]).succeeded().stdout;
    assert!(status.contains("held stopped by anna "), "{status}");
    assert!(
        status.contains(": \"debugging\" (cosmos start one releases it)"),
        "{status}"
    );
}

#[test]
fn an_up_says_in_its_one_line_what_an_order_holds() {
    let said = held().cosmos(&["up"]).was_up_to_date();
    assert!(said.stdout.ends_with("); one held stopped\n"), "{said}");
    assert_eq!(said.stdout.lines().count(), 1, "{said}");
}

#[test]
fn a_plan_shows_the_orders_that_it_honours() {
    let place = held();
    let plan = place.cosmos(&["plan"]).succeeded().stdout;
    assert!(
        plan.contains("= one  held stopped by `cosmos stop one` "),
        "{plan}"
    );
    let plan = place.cosmos(&["plan", "--json"]).succeeded().json();
    assert_eq!(plan["holds"][0]["service"], "one", "{plan}");
    assert_eq!(plan["holds"][0]["what"], "stopped", "{plan}");
}

#[test]
fn a_hold_survives_an_upgrade_of_the_proxy() {
    let place = held();
    let _ = place.cosmos(&["proxy", "upgrade"]).succeeded();
    still_held(&place);
}

#[test]
fn a_hold_survives_a_restart_of_the_proxy() {
    let place = held();
    let before = started(&place);
    docker(&["restart", &place.proxy()]);
    proxy_back(&place, &before);
    still_held(&place);
}

#[test]
fn a_hold_survives_the_death_of_the_proxy() {
    let place = held();
    let before = started(&place);
    let process = inspect(&place.proxy(), "{{.State.Pid}}").unwrap();
    let _ = output("kill", &["-KILL", &process]).succeeded();
    proxy_back(&place, &before);
    still_held(&place);
}

#[test]
fn a_hold_for_a_time_ends_by_itself() {
    let place = Place::up(&idle("one", ""));
    let said = place
        .cosmos(&["stop", "one", "--for", "2s"])
        .succeeded()
        .told(&["for 2 s, or until `cosmos start one`"]);
    assert_eq!(place.running("one"), None, "{said}");
    until("it runs again", || place.running("one"));
    let one = place.service("one");
    assert!(one["hold"].is_null(), "{one}");
    let logs = docker_logs(&place.proxy());
    assert!(logs.contains("the time of a hold is over"), "{logs}");
}

fn docker_logs(container: &str) -> String {
    let said = output("docker", &["logs", container]).succeeded();
    said.stdout + &said.stderr
}

#[test]
fn the_end_of_a_hold_survives_a_restart_of_the_proxy() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["stop", "one", "--for", "6s"]).succeeded();
    let until_when = || place.service("one")["hold"]["until"].clone();
    let end = until_when();
    let before = started(&place);
    docker(&["restart", &place.proxy()]);
    proxy_back(&place, &before);
    assert_eq!(until_when(), end);
    until("it runs again", || place.running("one"));
}

#[test]
fn a_service_is_scaled_up_and_down_until_it_is_released() {
    let place = Place::up(WEB);
    let id = place.id("web");
    let said = place.cosmos(&["scale", "web=3"]).succeeded();
    assert_eq!(said.stdout, "Service scaled: web (3 replicas)\n");
    let all = |count: usize| {
        let names: Vec<_> = (1..=count)
            .map(|replica| format!("{}-web-{replica}", place.name))
            .collect();
        assert_eq!(place.containers(&["kind=service"]), names);
    };
    all(3);
    let _ = place.cosmos(&["up"]).was_up_to_date();
    let web = place.service("web");
    assert_eq!(web["scale"]["what"]["replicas"], 3, "{web}");
    assert_eq!(web["scale"]["by"], "cosmos scale web=3", "{web}");

    let _ = place.cosmos(&["scale", "web=2"]).succeeded();
    all(2);
    let _ = place.cosmos(&["release", "web"]).succeeded();
    all(1);
    assert_eq!(place.running("web"), Some(id));
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn a_stop_and_a_start_keep_a_scale() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["scale", "one=2"]).succeeded();
    let second = format!("{}-one-2", place.name);
    let running = || inspect(&second, "{{.State.Running}}");
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    assert_eq!(running().as_deref(), Some("false"));
    let _ = place.cosmos(&["start", "one"]).succeeded();
    assert_eq!(running().as_deref(), Some("true"));
}

#[test]
fn a_scale_that_cannot_be_is_refused_and_forgotten() {
    let place = Place::up(&idle("one", "ports = [\"21999:80\"]"));
    let _ = place
        .cosmos(&["scale", "one=2"])
        .ended(1)
        .told(&["cannot have 2 replicas", "host port 21999"]);
    let _ = place
        .cosmos(&["scale", "one=0"])
        .ended(1)
        .told(&["cannot have 0 replicas", "cosmos stop one"]);
    let _ = place
        .cosmos(&["scale", "onn=2"])
        .ended(1)
        .told(&["did you mean `one`?"]);
    let one = place.service("one");
    assert!(one["scale"].is_null(), "{one}");
}

#[test]
fn two_checkouts_do_not_share_orders() {
    let place = Place::up(&idle("one", ""));
    let second = second_checkout(&place);
    let other = |arguments: &[&str]| {
        let arguments = [&["--instance", "fix"], arguments].concat();
        place.cosmos_in(&second, &arguments).succeeded()
    };
    let _ = other(&["up"]);
    let theirs = || inspect(&format!("{}-fix-one-1", place.name), "{{.State.Running}}");
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    assert_eq!(place.running("one"), None);
    assert_eq!(theirs().as_deref(), Some("true"));

    let _ = place.cosmos(&["start", "one"]).succeeded();
    let _ = other(&["stop", "one"]);
    assert_eq!(theirs().as_deref(), Some("false"));
    assert!(place.running("one").is_some());
    let _ = other(&["down"]);
}

#[test]
fn an_order_from_another_folder_of_the_same_name_is_refused() {
    let place = Place::up(&idle("one", ""));
    let second = second_checkout(&place);
    for order in [["stop", "one"], ["scale", "one=2"]] {
        let _ = place
            .cosmos_in(&second, &order)
            .ended(1)
            .told(&[place.folder.to_str().unwrap(), "--instance"]);
    }
    assert!(place.running("one").is_some());
    assert_eq!(place.containers(&["kind=service"]).len(), 1);
}
