//! The proxy's process is killed at any moment of an order. The engine starts it
//! again, and it goes on from what it wrote down and from what it sees.

use std::{
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    super::workspace::{
        idle,
        support::{Place, docker, inspect, output, until},
    },
    Dice, is_whole,
    person::{Doing, Shop},
    setting, settles,
};

/// How often it is killed here. `COSMOS_TEST_KILLS=200` is what is claimed of it,
/// and takes a quarter of an hour.
const KILLS: u32 = 12;

/// Longer than any of the orders here takes, in milliseconds.
const LONGEST: u64 = 1_200;

#[test]
fn a_proxy_killed_at_any_moment_leaves_no_orphan_no_double_and_no_lost_order() {
    let kills = setting("COSMOS_TEST_KILLS", KILLS);
    let mut dice = Dice::new();
    let mut shop = Shop::up(Place::new(""));
    let (mut answered, mut longest) = (0, Duration::ZERO);
    for round in 1..=kills {
        shop.round = round;
        let doing = Doing::any(&mut dice);
        let moment = Duration::from_millis(dice.below(LONGEST));
        eprintln!("{round}: {doing:?}, killed after {moment:?}");
        let words = shop.words(doing, &mut dice);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let process = until("the proxy runs", || {
            inspect(&shop.place.proxy(), "{{.State.Pid}}").filter(|process| process != "0")
        });
        let order = shop.place.begin(&words);
        // It is the moment that is tried, and nothing tells of it.
        sleep(moment);
        let _ = output("kill", &["-KILL", &process]);
        let killed = Instant::now();
        let was_answered = order.end().code == 0;
        if was_answered {
            answered += 1;
            shop.believe(doing);
        }
        settles(&shop.place);
        longest = longest.max(killed.elapsed());
        shop.remembers(doing, was_answered);
        if doing == Doing::AdHoc {
            shop.owns_what_it_made(was_answered);
        }
        is_whole(&shop.place);
        shop.remembers(doing, true);
    }
    let networks = docker(&[
        "network",
        "ls",
        "-q",
        "--filter",
        &format!("name=^{}$", shop.place.network()),
    ]);
    assert_eq!(networks.lines().count(), 1, "{networks}");
    eprintln!(
        "{kills} kills, {answered} orders answered before, whole again after {longest:?} at most"
    );
}

#[test]
fn a_proxy_that_keeps_ending_is_started_by_whoever_needs_it() {
    let place = Place::up(&idle("one", ""));
    // The engine waits longer each time. That it counted is how one tells that it
    // was the engine; a start by hand begins to count again.
    for _ in 0..7 {
        let process = until("the proxy runs", || {
            inspect(&place.proxy(), "{{.State.Pid}}").filter(|process| process != "0")
        });
        let _ = output("kill", &["-KILL", &process]);
        until("it ended", || {
            inspect(&place.proxy(), "{{.State.Pid}}").filter(|now| *now != process)
        });
    }
    let _ = place.cosmos(&["status"]).succeeded();
    let restarts = inspect(&place.proxy(), "{{.RestartCount}}");
    assert_eq!(restarts.as_deref(), Some("0"));
}
