//! Names as they are typed: completed, and mistyped.

use super::{
    WEB, idle,
    support::{Place, docker},
};

/// What bash would put in behind these words, on one line.
fn completed(place: &Place, words: &[&str]) -> String {
    let words = [&["__complete", "bash", "--", "cosmos"], words].concat();
    let said = place.cosmos(&words).succeeded();
    assert_eq!(said.stderr, "", "{said}");
    said.stdout.trim_end().replace('\n', " ")
}

#[test]
fn completion_knows_what_the_proxy_knows() {
    let place = Place::up(WEB);
    let (runs, ended) = (
        format!("{}-runs", place.name),
        format!("{}-ended", place.name),
    );
    let image = "busybox:latest";
    let _ = place
        .cosmos(&["start", "-d", "--name", &runs, image, "sleep", "1000"])
        .succeeded();
    let _ = place
        .cosmos(&["start", "--name", &ended, image, "true"])
        .succeeded();
    assert!(place.get("web", "/seen").is_ok());

    assert_eq!(completed(&place, &["stop", ""]), format!("web {runs}"));
    assert_eq!(completed(&place, &["exec", &place.name]), runs);
    let logs = completed(&place, &["logs", ""]);
    assert!(logs.contains(&runs) && logs.contains(&ended), "{logs}");
    assert_eq!(completed(&place, &["rollback", ""]), "1");
    let entries = completed(&place, &["history", ""]);
    assert!(entries.split(' ').any(|entry| entry == "1"), "{entries}");
    assert_eq!(completed(&place, &["http", "show", ""]), "1");
}

#[test]
fn completion_neither_makes_nor_starts_a_proxy() {
    let place = Place::new(WEB);
    assert_eq!(completed(&place, &["stop", ""]), "web");
    assert_eq!(completed(&place, &["rollback", ""]), "");
    let _ = place.cosmos(&["up"]).succeeded();
    // It takes the call and does not answer: whoever pressed Tab does not wait for it.
    let _ = docker(&["pause", &place.proxy()]);
    assert_eq!(completed(&place, &["stop", ""]), "web");
    let _ = docker(&["unpause", &place.proxy()]);
    let _ = docker(&["stop", &place.proxy()]);
    assert_eq!(completed(&place, &["stop", ""]), "web");
    assert_eq!(completed(&place, &["http", "show", ""]), "");
    let runs = docker(&["inspect", "--format", "{{.State.Running}}", &place.proxy()]);
    assert_eq!(runs.trim(), "false");
}

#[test]
fn a_slip_in_the_name_of_a_service_is_told_what_was_meant() {
    let place = Place::up(&idle("web", ""));
    for words in [
        &["logs", "wbe"][..],
        &["logs", "--http", "wbe"],
        &["exec", "wbe", "true"],
        &["stop", "wbe"],
        &["start", "wbe"],
        &["restart", "wbe"],
        &["release", "wbe"],
        &["scale", "wbe=2"],
        &["wait", "wbe"],
        &["why", "wbe"],
        &["up", "wbe"],
        &["watch", "wbe"],
        &["pull", "wbe"],
    ] {
        let said = place.cosmos(words);
        assert!([1, 2].contains(&said.code), "{said}");
        let _ = said.told(&["`web`"]).told(&["did you mean"]);
    }
    let said = place.cosmos(&["http", "service:wbe"]).succeeded();
    let _ = said.told(&["did you mean `web`?"]);
}

#[test]
fn a_slip_makes_no_proxy() {
    let place = Place::new(&idle("web", ""));
    let _ = place
        .cosmos(&["up", "wbe"])
        .ended(2)
        .told(&["did you mean `web`?"]);
    assert_eq!(place.containers(&[]), Vec::<String>::new());
}
