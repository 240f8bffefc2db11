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

/// All that is asked of an engine where nothing has changed: whether it is there.
fn is_a_ping(calls: &[String]) -> bool {
    calls == ["GET /v1.41/_ping"]
}

/// Reads, and makes these calls. Tried again, as volumes of other tests come and go, and
/// each makes the proxy look, too.
fn makes(tap: &Tap, place: &Place, arguments: &[&str], expected: impl Fn(&[String]) -> bool) {
    let mut fewest: Option<Vec<String>> = None;
    for _ in 0..40 {
        let calls = calls_of(tap, place, arguments);
        assert_reads_only(&calls);
        if expected(&calls) {
            return;
        }
        let is_fewer = |fewest: &Vec<String>| calls.len() < fewest.len();
        if fewest.as_ref().is_none_or(is_fewer) {
            fewest = Some(calls);
        }
    }
    panic!("cosmos {}: {fewest:#?}", arguments.join(" "));
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
    makes(&tap, &place, &["up"], is_a_ping);
}

#[test]
fn what_only_reads_asks_whether_the_engine_is_there_and_nothing_else() {
    let (tap, place) = at_rest();
    for arguments in [
        &["status"][..],
        &["status", "--all"],
        &["plan"],
        &["port", "web"],
        &["open", "web", "--print"],
        &["wait", "web"],
    ] {
        makes(&tap, &place, arguments, is_a_ping);
    }
}
