//! What it takes to read: each verb that only looks, with forty services up, beside
//! `docker compose ps` of the same; and many lines of a log, beside `docker logs`.

use super::{
    composed::Composed,
    place::{Place, docker, millis, timed},
    report::{Budget, Row},
};

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

pub(crate) fn run() {
    let place = Place::new();
    place.write(&(1..=SERVICES).map(service).collect::<String>());
    place.up();
    let composed = Composed::new(&place);
    composed.write(
        &(1..=SERVICES)
            .map(|number| composed.idle(number, 0))
            .collect::<String>(),
    );
    timed(composed.command(&["up", "-d"]));
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

fn verbs(place: &Place, composed: &Composed<'_>) {
    let mut ours = VERBS.map(|_| Vec::new());
    let mut theirs = Vec::new();
    for _ in 0..ROUNDS {
        for (verb, ours) in VERBS.iter().zip(&mut ours) {
            ours.push(timed(place.cosmos(verb)));
        }
        theirs.push(timed(composed.command(&["ps"])));
    }
    for (verb, ours) in VERBS.iter().zip(&ours) {
        let name = verb.join("-").replace("--", "");
        let what = format!("`cosmos {}` of {SERVICES} services", verb.join(" "));
        Row::new(format!("read-{name}"), what)
            .of("cosmos", millis(ours))
            .of("compose ps", millis(&theirs))
            .within(Budget::Times("compose ps", 0.1))
            .report();
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
    Row::new("logs", format!("{lines} lines of a log"))
        .of("cosmos logs", millis(&ours))
        .of("docker logs", millis(&theirs))
        .within(Budget::Times("docker logs", 1.1))
        .report();
}
