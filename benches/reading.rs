//! What it takes to read: each verb that only looks, with forty services up, against
//! `docker compose ps` of the same; and many lines of a log, against `docker logs`.
//!
//! Ours and its peer are asked in turn, so that a busy machine slows both; what is said
//! is the median of the rounds. It needs an engine (`DOCKER_HOST`, a Unix socket) with
//! `busybox:latest`, and Docker Compose 2:
//!
//! ```sh
//! COSMOS_BENCH_COMPOSE=$(scripts/peers compose) scripts/engine run -- cargo bench --bench reading
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and its output is for people"
)]

use std::{env, fs, process::Command};

mod support;
use support::{Place, docker, median, timed};

/// Enough for a median that stays the same from run to run.
const ROUNDS: usize = 20;

/// As many as somebody has on a laptop who has many.
const SERVICES: u32 = 40;

/// As many lines as a talkative service writes in a day.
const LINES: u32 = 1_000_000;

/// What only looks.
const VERBS: [&[&str]; 13] = [
    &["status"],
    &["status", "--json"],
    &["status", "--all"],
    &["plan"],
    &["port", "s1"],
    &["open", "--print", "s1"],
    &["logs", "-n", "1", "s1"],
    &["history"],
    &["http"],
    &["wait", "s1"],
    &["proxy", "status"],
    &["config"],
    &["check"],
];

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    let place = Place::new();
    place.write(&(1..=SERVICES).map(service).collect::<String>());
    fs::write(place.folder().join("compose.yaml"), compose(&place)).unwrap();
    place.up();
    let composed = Composed::up(&place);
    verbs(&place, &composed);
    drop(composed);

    place.write(&talker());
    place.up();
    logs(&place);
}

fn service(number: u32) -> String {
    format!(
        "[services.s{number}]\nimage = \"busybox:latest\"\ninit = true\nroute = 80\n\
         command = [\"sleep\", \"10000\"]\n"
    )
}

/// The same for Compose, under another name.
fn compose(place: &Place) -> String {
    let service = |number| {
        format!(
            "  s{number}:\n    image: busybox:latest\n    init: true\n    command: [sleep, \"10000\"]\n"
        )
    };
    let services: String = (1..=SERVICES).map(service).collect();
    format!("name: {}-peer\nservices:\n{services}", place.name)
}

/// The peer's containers, for as long as they are there.
struct Composed<'a>(&'a Place);

impl<'a> Composed<'a> {
    fn up(place: &'a Place) -> Self {
        let composed = Self(place);
        timed(composed.command(&["up", "-d"]));
        composed
    }

    fn command(&self, words: &[&str]) -> Command {
        let program = env::var("COSMOS_BENCH_COMPOSE");
        let program = program.expect("COSMOS_BENCH_COMPOSE is Docker Compose 2");
        self.0.command(&program, words)
    }
}

impl Drop for Composed<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["down", "-t", "0"]).status();
    }
}

fn verbs(place: &Place, composed: &Composed<'_>) {
    let mut ours = VERBS.map(|_| Vec::new());
    let mut theirs = Vec::new();
    for _ in 0..ROUNDS {
        for (verb, ours) in VERBS.iter().zip(&mut ours) {
            ours.push(timed(place.cosmos(verb)));
        }
        theirs.push(timed(composed.command(&["ps"])));
    }
    let theirs = median(&theirs);
    println!("{SERVICES} services; `docker compose ps` takes {theirs:.1} ms");
    for (verb, ours) in VERBS.iter().zip(&ours) {
        let ours = median(ours);
        let verb = format!("cosmos {}", verb.join(" "));
        println!("{verb:<32} {ours:>8.1} ms   x {:.3}", ours / theirs);
    }
}

/// A service that says much, and then no more.
fn talker() -> String {
    format!(
        "[services.talker]\nimage = \"busybox:latest\"\ninit = true\n\
         command = [\"sh\", \"-c\", \"yes 'a line about as long as most are: GET /index.html HTTP/1.1 200 1234' | head -n {LINES}; touch /done; sleep 10000\"]\n\
         health = {{ command = [\"test\", \"-e\", \"/done\"], interval = \"1s\", timeout = \"60s\" }}\n"
    )
}

fn logs(place: &Place) {
    let container = format!("{}-talker-1", place.name);
    let lines = docker(&["logs", &container]).lines().count();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS / 4 {
        ours.push(timed(place.cosmos(&["logs", "talker"])));
        theirs.push(timed(place.command("docker", &["logs", &container])));
    }
    let (ours, theirs) = (median(&ours), median(&theirs));
    println!(
        "{lines} lines: `cosmos logs` {ours:.0} ms, `docker logs` {theirs:.0} ms: x {:.2} of its speed",
        theirs / ours
    );
}
