//! What it costs to find that nothing is to be done.

use std::time::Duration;

use super::{
    WEB, idle,
    support::{Place, until},
    tap::Tap,
};

/// A workspace behind a tap, up and at rest.
fn at_rest() -> (Tap, Place) {
    let tap = Tap::new();
    let config = WEB.to_owned()
        + &idle("one", "depends_on = [\"web\"]")
        + &idle("two", "mounts = [\"data:/data\"]");
    let place = Place::new(&config).through(tap.socket());
    let _ = place.cosmos(&["up"]).succeeded();
    (tap, place)
}

/// The calls that a command makes: the fewest of three times, as volumes of other
/// tests come and go, and each makes the proxy look, too.
fn fewest_calls_of(tap: &Tap, place: &Place, arguments: &[&str]) -> Vec<String> {
    let tries = (0..3).map(|_| calls_of(tap, place, arguments));
    let fewest = tries
        .inspect(|calls| assert_reads_only(calls))
        .min_by_key(Vec::len)
        .unwrap();
    println!("{} calls by `cosmos {}`", fewest.len(), arguments.join(" "));
    fewest
}

/// The calls while a command runs, once those of before are over.
fn calls_of(tap: &Tap, place: &Place, arguments: &[&str]) -> Vec<String> {
    until("the engine is left alone", || {
        let before = tap.calls().len();
        std::thread::sleep(Duration::from_millis(400));
        (tap.calls().len() == before).then_some(())
    });
    let before = tap.calls().len();
    let _ = place.cosmos(arguments).succeeded();
    tap.calls()[before..].to_vec()
}

fn assert_reads_only(calls: &[String]) {
    let writes: Vec<_> = calls
        .iter()
        .filter(|call| !call.starts_with("GET "))
        .collect();
    assert!(writes.is_empty(), "{writes:?}");
}

#[test]
fn a_second_up_is_one_line_and_writes_nothing() {
    let (tap, place) = at_rest();
    let said = place.cosmos(&["up"]).was_up_to_date();
    assert!(
        said.stdout.starts_with("up to date (3 services, "),
        "{said}"
    );
    let calls = fewest_calls_of(&tap, &place, &["up"]);
    // Lists of containers, networks, volumes and images, and an inspect of each
    // container, once: the look for the plan also tells that all are ready.
    assert!(calls.len() <= 4 + 4, "{calls:#?}");
}

#[test]
fn status_and_plan_write_nothing() {
    let (tap, place) = at_rest();
    for verb in ["status", "plan"] {
        let calls = fewest_calls_of(&tap, &place, &[verb]);
        assert!(calls.len() <= 4 + 4, "{verb}: {calls:#?}");
    }
}
