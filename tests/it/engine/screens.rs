//! What a person sees: commands in a real terminal, of several widths, and its screen.

use insta::assert_snapshot;
use regex_lite::Regex;

use super::workspace::support::{Place, docker, until};
use crate::support::Terminal;

/// A workspace that is called so, as names are part of what is seen. One test each: the
/// engine has each container's name once.
fn place(name: &str, config: &str) -> Place {
    Place::new(config).with("COSMOS_WORKSPACE__NAME", name)
}

const SHOP: &str = r#"
[services.db]
image = "busybox:latest"
init = true
command = ["sh", "-c", "echo ready to serve; exec sleep 1000"]

[services.web]
image = "busybox:latest"
init = true
command = ["sleep", "1000"]
route = 80
depends_on = ["db"]
"#;

/// What a command leaves on a screen of so many columns.
fn screen(place: &Place, columns: u16, words: &[&str]) -> String {
    let mut terminal = place.on_a_terminal_of(columns, words);
    terminal.expect_end();
    seen(place, &mut terminal)
}

/// The screen without what differs from run to run.
fn seen(place: &Place, terminal: &mut Terminal) -> String {
    let shown = terminal.shown().replace(&place.port.to_string(), "8080");
    let shown = replaced(&shown, r" *\b[0-9.]+ (ms|s|min)\b", " TIME");
    let shown = shown.replace("just now", "TIME ago");
    replaced(&shown, r"plan [0-9a-f]{12}", "plan DIGEST")
}

fn replaced(text: &str, pattern: &str, with: &str) -> String {
    Regex::new(pattern)
        .unwrap()
        .replace_all(text, with)
        .into_owned()
}

#[test]
fn a_plan_a_start_and_a_status_fit_their_screens() {
    let place = place("screens", SHOP);
    // The proxy first, or its making is part of what is seen.
    let _ = place
        .cosmos(&["start", "--rm", "busybox:latest", "true"])
        .succeeded();
    assert_snapshot!("plan_80", screen(&place, 80, &["plan"]));
    assert_snapshot!("plan_40", screen(&place, 40, &["plan"]));
    let up = screen(&place, 80, &["up"]);
    assert!(up.contains("Ready in TIME (2 services)"), "{up}");
    assert_snapshot!("up_again", screen(&place, 80, &["up"]));
    assert_snapshot!("status_120", screen(&place, 120, &["status"]));
    assert_snapshot!("status_80", screen(&place, 80, &["status"]));
    assert_snapshot!("status_40", screen(&place, 40, &["status"]));
    let _ = place
        .cosmos(&["stop", "web", "--reason", "a look"])
        .succeeded();
    assert_snapshot!("status_held_80", screen(&place, 80, &["status"]));
    assert_snapshot!("status_held_40", screen(&place, 40, &["status"]));
    assert_snapshot!("logs_80", screen(&place, 80, &["logs"]));
    assert_snapshot!("logs_40", screen(&place, 40, &["logs"]));
}

#[test]
fn a_slow_start_says_what_it_waited_for_and_leaves_nothing_that_moved() {
    let slow = r#"
[services.db]
image = "busybox:latest"
init = true
command = ["sh", "-c", "sleep 3; touch /ready; exec sleep 1000"]
health = { command = ["test", "-e", "/ready"], interval = "100ms" }

[services.web]
image = "busybox:latest"
init = true
command = ["sleep", "1000"]
depends_on = ["db"]
"#;
    let place = place("slow", slow);
    let _ = place
        .cosmos(&["start", "--rm", "busybox:latest", "true"])
        .succeeded();
    let mut terminal = place.on_a_terminal_of(100, &["up"]);
    terminal.expect("wait");
    // While it is drawn: what was as wide as the screen before is not in the way.
    terminal.resize(60, 24);
    terminal.expect("Ready in");
    assert_eq!(terminal.expect_end(), Some(0));
    let shown = seen(&place, &mut terminal);
    // How wide the screen was when the first line was written is chance.
    let (done, told) = shown.split_once("Ready in").unwrap();
    assert!(
        !done.contains("not ready yet") && !done.contains("wait for"),
        "{shown}"
    );
    assert_snapshot!("up_slow_60", told);
}

#[test]
fn a_start_that_fails_shows_the_last_words_and_the_next_command() {
    let failing = r#"
[services.api]
image = "busybox:latest"
command = ["sh", "-c", "echo reading the config; echo no such file: app.toml; exit 3"]
restart = "never"
"#;
    let place = place("failing", failing);
    let _ = place
        .cosmos(&["start", "--rm", "busybox:latest", "true"])
        .succeeded();
    for columns in [80, 40] {
        let shown = screen(&place, columns, &["up"]);
        assert_snapshot!(format!("up_failed_{columns}"), shown);
    }
}

/// The checks of a `doctor` that say the same on every machine, as they are shown.
fn stable_checks(shown: &str) -> String {
    let stable = ["version", "token", "leftovers", "ranges", "terminal"];
    let mut is_kept = false;
    let kept = shown.lines().filter(|line| {
        let mut words = line.split_whitespace();
        let begins = !line.starts_with(' ');
        let name = words.nth(1).filter(|_| begins);
        is_kept = match begins {
            true => name.is_some_and(|name| stable.contains(&name)),
            false => is_kept,
        };
        is_kept
    });
    kept.map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn what_a_doctor_says_fits_its_screen() {
    let place = place("checked", SHOP);
    let _ = place.cosmos(&["up"]).succeeded();
    for columns in [120, 80, 40] {
        let shown = screen(&place, columns, &["doctor"]);
        for check in ["engine", "disk", "clock", "config"] {
            assert!(shown.contains(check), "{shown}");
        }
        assert_snapshot!(format!("doctor_{columns}"), stable_checks(&shown));
    }
}

/// A service that takes its time to stop.
const STUBBORN: &str = r#"
[services.db]
image = "busybox:latest"
command = ["sh", "-c", "trap '' TERM; echo up; while :; do sleep 1; done"]
stop_grace = "20s"
"#;

#[test]
fn a_first_interrupt_says_who_is_still_stopping_and_a_second_leaves() {
    let place = place("stubborn", STUBBORN);
    let _ = place.cosmos(&["up"]).succeeded();
    let mut terminal = place.on_a_terminal_of(80, &["down"]);
    terminal.expect("stubborn-db-1");
    terminal.press(b"\x03");
    terminal.expect("still stopping: ");
    terminal.press(b"\x03");
    terminal.expect("not following any more");
    assert_eq!(terminal.expect_end(), Some(130));
    let shown = seen(&place, &mut terminal);
    assert_snapshot!("down_interrupted_twice", shown);
    // The order stands.
    docker(&["kill", "stubborn-db-1"]);
    until("it is down", || {
        place.containers(&["kind=service"]).is_empty().then_some(())
    });
}

#[test]
fn an_interrupted_start_says_what_is_under_way() {
    let waiting = SHOP.replace(
        "route = 80",
        "health = { tcp = 81, interval = \"100ms\", start_period = \"60s\" }",
    );
    let place = place("waiting", &waiting);
    let _ = place
        .cosmos(&["start", "--rm", "busybox:latest", "true"])
        .succeeded();
    let mut terminal = place.on_a_terminal_of(80, &["up"]);
    terminal.expect("web is not ready yet");
    terminal.press(b"\x03");
    assert_eq!(terminal.expect_end(), Some(130));
    assert_snapshot!("up_interrupted", seen(&place, &mut terminal));
}

#[test]
fn nothing_is_drawn_where_nothing_can_be_drawn_anew() {
    for variable in ["CI", "TERM"] {
        let value = if variable == "CI" { "true" } else { "dumb" };
        let place =
            place(&format!("plain-{}", variable.to_lowercase()), SHOP).with(variable, value);
        let mut terminal = place.on_a_terminal(&["up"]);
        let shown = terminal.expect("Ready in");
        assert!(!shown.contains('\x1b'), "{variable}: {shown:?}");
        assert!(shown.contains("+ launch"), "{variable}: {shown:?}");
        terminal.expect_end();
    }
}

#[test]
fn a_screen_without_unicode_gets_none() {
    let place = place("ascii", SHOP).with("LC_ALL", "C");
    let mut terminal = place.on_a_terminal(&["up"]);
    let shown = terminal.expect("Ready in");
    assert!(shown.is_ascii(), "{shown:?}");
    terminal.expect_end();
}

#[test]
fn a_watched_status_changes_in_place_and_gives_the_screen_back() {
    let place = place("watched", SHOP);
    let _ = place.cosmos(&["up"]).succeeded();
    let mut terminal = place.on_a_terminal_of(80, &["status", "--watch"]);
    terminal.expect("ready");
    let _ = place.cosmos(&["stop", "web"]).succeeded();
    terminal.expect("held");
    terminal.resize(40, 24);
    terminal.expect("web: http://");
    terminal.press(b"q");
    assert_eq!(terminal.expect_end(), Some(0));
    assert_eq!(terminal.shown(), "", "what stood before stands there again");
}
