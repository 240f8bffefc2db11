//! An engine that is slow, wrong or deaf, through the chaos socket.

use std::time::{Duration, Instant};

use super::{
    super::workspace::{
        WEB, idle,
        support::{Place, docker, inspect, until},
    },
    chaos::{Chaos, Fault},
    figure, is_whole, setting, settles, shop,
};

/// A workspace behind the chaos, up and at rest.
fn at_rest(config: &str) -> (Chaos, Place) {
    let chaos = Chaos::new();
    let place = Place::new(config).through(chaos.socket());
    let _ = place.cosmos(&["up"]).succeeded();
    settles(&place);
    (chaos, place)
}

#[test]
fn a_call_that_hangs_is_named_in_status_and_the_other_services_go_on() {
    let (chaos, place) = at_rest(&idle("one", ""));
    let stuck = place.container("stuck");
    chaos.on("POST", &format!("create?name={stuck}"), Fault::Hang);
    place.write(
        "cosmos.toml",
        &(idle("one", "") + &idle("stuck", "") + &idle("two", "")),
    );
    let began = Instant::now();
    let up = place.begin(&["up"]);
    until("the others go on", || place.running("two"));
    figure("a call hangs: the others run", began);
    let told = until("the call is named", || {
        place.service("stuck")["note"].as_str().map(str::to_owned)
    });
    assert!(told.contains(&format!("`launch {stuck}`")), "{told}");
    figure("a call hangs: it is named", began);
    chaos.calm();
    let _ = up.end().succeeded();
    settles(&place);
    is_whole(&place);
}

#[test]
fn a_call_that_hangs_holds_up_no_healing_in_its_workspace() {
    let (chaos, place) = at_rest(&idle("one", ""));
    let stuck = place.container("stuck");
    chaos.on("POST", &format!("create?name={stuck}"), Fault::Hang);
    place.write("cosmos.toml", &(idle("one", "") + &idle("stuck", "")));
    let up = place.begin(&["up"]);
    until("the call hangs", || {
        (chaos.count("POST", "/containers/create") > 0).then_some(())
    });
    let id = place.id("one");
    docker(&["rm", "-f", &id]);
    let began = Instant::now();
    until("it is made again", || {
        place.running("one").filter(|it| *it != id)
    });
    figure("removed by hand while a call hangs: it runs", began);
    chaos.calm();
    let _ = up.end().succeeded();
    settles(&place);
    is_whole(&place);
}

#[test]
fn an_engine_that_fails_every_change_is_told_and_changes_nothing_until_it_is_well() {
    let (chaos, place) = at_rest(&shop(&[("one", 1), ("two", 1)]));
    let before = ["one", "two"].map(|name| place.id(name));
    // By their ids: the new ones may have been about to take their names.
    let all_run = || {
        let runs = |id: &String| inspect(id, "{{.State.Running}}").as_deref() == Some("true");
        before.iter().all(runs)
    };
    chaos.on(
        "POST",
        "/containers/create",
        Fault::Answer(500, "{\"message\":\"a bad day\"}"),
    );
    place.write("cosmos.toml", &shop(&[("one", 2), ("two", 2)]));
    let _ = place.cosmos(&["up"]).ended(1).told(&["a bad day"]);
    assert!(all_run());
    let refused = chaos.count("POST", "/containers/create");
    chaos.calm();
    let began = Instant::now();
    is_whole(&place);
    figure(
        &format!("{refused} calls failed, and the engine is well: all is as declared"),
        began,
    );
    settles(&place);
}

#[test]
fn a_list_that_is_cut_or_garbage_is_no_world_without_containers() {
    let (chaos, place) = at_rest(&shop(&[("one", 1)]));
    let id = place.id("one");
    for fault in [
        Fault::Cut(300),
        Fault::Answer(200, "<html>no engine</html>"),
        Fault::Answer(200, "[{\"Id\":"),
        Fault::Answer(500, "{\"message\":\"a bad day\"}"),
    ] {
        chaos.on("GET", "/containers/json", fault);
        // Something happens, so that it looks.
        docker(&["kill", &id]);
        let said = place.cosmos(&["status"]);
        assert_eq!(said.code, 1, "{fault:?}: {said}");
        chaos.calm();
        let began = Instant::now();
        until("it runs again", || place.running("one"));
        figure("lists are whole again: it runs", began);
        assert_eq!(
            place.containers(&["kind=service"]),
            [place.container("one")]
        );
    }
    assert_eq!(chaos.count("POST", "/containers/create?name=w"), 1);
    assert_eq!(place.running("one"), Some(id));
    is_whole(&place);
}

#[test]
fn a_conflict_that_another_look_explains_is_not_doubled() {
    let (chaos, place) = at_rest(&shop(&[("one", 1)]));
    // The engine does it, and its answer is lost on the way.
    chaos.on("POST", "/containers/create", Fault::Cut(0));
    place.write("cosmos.toml", &shop(&[("one", 1), ("two", 1)]));
    let _ = place.cosmos(&["up"]).ended(1);
    chaos.calm();
    let began = Instant::now();
    settles(&place);
    figure("the answer was lost: there is one of it", began);
    is_whole(&place);
}

#[test]
fn events_that_are_lost_are_made_up_for_as_the_stream_is_opened_again() {
    let (chaos, place) = at_rest(&shop(&[("one", 1)]));
    let id = place.id("one");
    let opened = chaos.count("GET", "/events");
    chaos.on("GET", "/events", Fault::Hang);
    chaos.cut_events();
    until("it asks again", || {
        (chaos.count("GET", "/events") > opened).then_some(())
    });
    docker(&["rm", "-f", &id]);
    chaos.calm();
    let began = Instant::now();
    until("it is made again", || {
        place.running("one").filter(|now| *now != id)
    });
    figure(
        "events are heard again: what was removed meanwhile runs",
        began,
    );
    settles(&place);
    is_whole(&place);
}

#[test]
fn events_that_come_twice_or_in_a_burst_do_nothing_twice() {
    let chaos = Chaos::new();
    chaos.on("GET", "/events", Fault::Twice);
    let place = Place::new(&(WEB.to_owned() + &shop(&[("one", 1)]))).through(chaos.socket());
    let _ = place.cosmos(&["up"]).succeeded();
    let id = place.id("one");
    // Each is two events. `COSMOS_TEST_BURST=500` is what is claimed of it.
    for _ in 0..setting("COSMOS_TEST_BURST", 100) {
        docker(&["network", "disconnect", &place.network(), &id]);
        let _ = super::super::workspace::support::output(
            "docker",
            &["network", "connect", &place.network(), &id],
        );
    }
    docker(&["rm", "-f", &id]);
    until("it is made again", || {
        place.running("one").filter(|now| *now != id)
    });
    settles(&place);
    assert!(inspect(&place.container("web"), "{{.Id}}").is_some());
    assert_eq!(chaos.count("POST", "/containers/create?name=w"), 3);
    is_whole(&place);
}

#[test]
fn a_slow_engine_only_takes_longer() {
    let chaos = Chaos::new();
    chaos.on("", "", Fault::Delay(Duration::from_millis(100)));
    let place = Place::new(&shop(&[("one", 1), ("two", 1)])).through(chaos.socket());
    let began = Instant::now();
    is_whole(&place);
    figure(
        "every call takes 0.1 s more: two `up`s and the proxy",
        began,
    );
    chaos.calm();
    settles(&place);
}
