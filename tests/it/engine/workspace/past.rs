//! What was: the history, why a service is what it is, and the way back.

use serde_json::Value;

use super::{
    idle,
    support::{Place, docker, inspect, until},
};

/// A service whose new form ends at once, with its last words.
const BROKEN: &str = r#"
    [services.one]
    image = "busybox:latest"
    command = ["sh", "-c", "echo no such database; exit 3"]
"#;

/// `one` runs for 1000 s, then for 2000 s.
fn edited_once() -> Place {
    let place = Place::up(&idle("one", ""));
    edit(&place, 2000);
    place
}

fn edit(place: &Place, seconds: u32) {
    place.write(
        "cosmos.toml",
        &format!("[services.one]\nimage = \"busybox:latest\"\ncommand = \"sleep {seconds}\"\n"),
    );
    let _ = place.cosmos(&["up"]).succeeded();
}

fn command(place: &Place) -> String {
    inspect(&place.container("one"), "{{json .Config.Cmd}}").unwrap()
}

fn history(place: &Place) -> Vec<Value> {
    let history = place.cosmos(&["history", "--json"]).succeeded().json();
    history["entries"].as_array().unwrap().clone()
}

#[test]
fn a_replacement_that_does_not_come_up_is_rolled_back_with_its_last_words() {
    let place = Place::up(&idle("one", ""));
    let before = place.id("one");
    place.write("cosmos.toml", BROKEN);
    let said = place.cosmos(&["up"]);
    assert_eq!(said.code, 1, "{said}");
    assert!(said.stderr.contains("no such database"), "{said}");
    assert!(
        said.stderr.contains("service `one` runs as it did before"),
        "{said}"
    );
    assert_eq!(place.running("one"), Some(before));
    assert_eq!(place.containers(&["service=one"]).len(), 1);
    let kept = &place.service("one")["kept_because"];
    assert!(kept.as_str().unwrap().contains("exit code 3"), "{kept}");
}

#[test]
fn what_was_rolled_back_stays_so_until_the_next_edit() {
    let place = Place::up(&idle("one", ""));
    let before = place.id("one");
    place.write("cosmos.toml", BROKEN);
    assert_eq!(place.cosmos(&["up"]).code, 1);
    docker(&["restart", "-t", "0", &place.proxy()]);
    until("the proxy is back", || {
        (place.cosmos(&["status", "--json"]).code == 0).then_some(())
    });
    assert_eq!(place.running("one"), Some(before.clone()));
    edit(&place, 2000);
    assert_ne!(place.running("one"), Some(before));
}

#[test]
fn undo_goes_back_to_the_last_revision_that_came_up() {
    let place = edited_once();
    let _ = place.cosmos(&["undo"]).succeeded();
    assert!(!command(&place).contains("2000"), "{}", command(&place));
    // The file is not touched, and is applied again by the next `up`.
    let _ = place.cosmos(&["up"]).succeeded();
    assert!(command(&place).contains("2000"));
}

#[test]
fn rollback_takes_the_image_of_that_time_though_its_tag_moved() {
    let tag = format!("past-{}:1", std::process::id());
    docker(&["tag", "busybox:latest", &tag]);
    let config =
        |seconds| format!("[services.one]\nimage = \"{tag}\"\ncommand = \"sleep {seconds}\"\n");
    let place = Place::new("");
    let image = |place: &Place| inspect(&place.container("one"), "{{.Image}}").unwrap();
    place.write("cosmos.toml", &config(1000));
    let _ = place.cosmos(&["up"]).succeeded();
    let first = image(&place);
    docker(&["tag", "debian:latest", &tag]);
    place.write("cosmos.toml", &config(2000));
    let _ = place.cosmos(&["up"]).succeeded();
    assert_ne!(image(&place), first);
    let _ = place.cosmos(&["rollback", "1"]).succeeded();
    assert_eq!(image(&place), first);
    drop(place);
    docker(&["image", "rm", &tag]);
}

#[test]
fn the_history_tells_who_changed_what_and_what_was_healed() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["restart", "one"]).succeeded();
    docker(&["update", "--pids-limit", "77", &place.container("one")]);
    let healed = until("it is healed, and told", || {
        let newest = history(&place).into_iter().next()?;
        let is_over = newest["cause"]["kind"] == "healing" && newest["state"] == "done";
        is_over.then_some(newest)
    });
    let reason = healed["steps"][0]["reason"].as_str().unwrap();
    assert!(reason.starts_with("pids changed: 77 "), "{healed}");
    let causes: Vec<_> = history(&place)
        .iter()
        .map(|entry| {
            entry["cause"]["by"]
                .as_str()
                .unwrap_or("healing")
                .to_owned()
        })
        .collect();
    assert_eq!(causes, ["healing", "cosmos restart one", "cosmos up"]);
}

#[test]
fn why_names_every_cause_since_the_container_was_made() {
    let place = edited_once();
    let _ = place.cosmos(&["restart", "one"]).succeeded();
    let said = place.cosmos(&["why", "one"]).succeeded().stdout;
    let restarted = said.find("`cosmos restart one`").expect(&said);
    let changed = said.find("command changed (cosmos.toml:3)").expect(&said);
    assert!(restarted < changed, "{said}");
    assert!(!said.contains("new (cosmos.toml"), "{said}");
}

#[test]
fn the_last_start_tells_what_it_waited_for() {
    let config = idle("one", "") + &idle("two", "depends_on = { one = \"started\" }\n");
    let place = Place::up(&config);
    let said = place.cosmos(&["why"]).succeeded().stdout;
    let one = said
        .find(&format!("launch {}", place.container("one")))
        .expect(&said);
    let two = said
        .find(&format!("launch {}", place.container("two")))
        .expect(&said);
    assert!(one < two, "{said}");
}

#[test]
fn the_history_outlives_down() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["down"]).succeeded();
    let newest = &history(&place)[0];
    assert_eq!(newest["cause"]["by"], "cosmos down", "{newest}");
}

#[test]
fn nothing_to_do_is_no_history() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(history(&place).len(), 1);
}
