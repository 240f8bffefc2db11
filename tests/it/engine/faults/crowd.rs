//! Many orders at once, of many processes.

use std::time::Instant;

use super::{
    super::workspace::{
        WEB, idle,
        support::{Place, docker, inspect, until},
    },
    figure, is_whole, settles, shop,
};

/// What one process does at once with others, and how many of them there are.
const CROWD: usize = 50;

#[test]
fn fifty_ups_at_once_make_one_of_each_and_each_is_told_the_truth() {
    let place = Place::new(&(WEB.to_owned() + &shop(&[("one", 0), ("two", 0)])));
    let began = Instant::now();
    let ups: Vec<_> = (0..CROWD).map(|_| place.begin(&["up"])).collect();
    let said: Vec<_> = ups.into_iter().map(|up| up.end().succeeded()).collect();
    figure("the last of fifty `up`s ends", began);
    // Whoever did it says so; for all others it was done already.
    let did = said
        .iter()
        .filter(|said| said.stdout.contains("Ready in "))
        .count();
    let found = said
        .iter()
        .filter(|said| said.stdout.contains("up to date (3 services"))
        .count();
    assert_eq!((did, found), (1, CROWD - 1));
    let of_us = format!(
        "label=dev.cosmos.installation={}",
        place.network().trim_end_matches("-net")
    );
    for what in ["network", "volume"] {
        let made = docker(&[what, "ls", "-q", "--filter", &of_us]);
        assert_eq!(made.lines().count(), 1, "{what}: {made}");
    }
    let proxies = place.containers(&["kind=proxy"]);
    assert_eq!(proxies, [place.proxy()]);
    settles(&place);
    is_whole(&place);
}

#[test]
fn a_config_saved_while_an_apply_runs_is_what_holds_in_the_end() {
    let slow = WEB.replace("exec httpd", "sleep 2; exec httpd");
    let before = slow.clone()
        + &idle(
            "one",
            "depends_on = { web = \"ready\" }\nenv = { VALUE = \"old\" }",
        );
    let after = slow
        + &idle(
            "one",
            "depends_on = { web = \"ready\" }\nenv = { VALUE = \"new\" }",
        );
    let place = Place::new(&before);
    let first = place.begin(&["up"]);
    until("it is in the middle", || place.running("web"));
    let web = place.id("web");
    place.write("cosmos.toml", &after);
    let began = Instant::now();
    let second = place.begin(&["up"]);
    for up in [first, second] {
        let _ = up.end().succeeded();
    }
    figure("saved in the middle of an apply: it holds", began);
    let value = inspect(&place.container("one"), "{{.Config.Env}}").unwrap();
    assert!(value.contains("VALUE=new"), "{value}");
    // What the second one did not change went on as the first had begun it.
    assert_eq!(place.running("web"), Some(web));
    settles(&place);
    is_whole(&place);
}
