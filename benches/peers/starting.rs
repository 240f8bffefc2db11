//! How long it takes until services run, and to find that nothing is to be done, as their
//! number grows: beside Docker Compose with the same services, and beside the engine's own
//! calls with nothing between.

use std::{env, fs, time::Duration};

use super::{
    composed::Composed,
    engine::Engine,
    place::{Place, millis, timed},
    report::{Budget, Row},
};

/// From one to as many as somebody has on a laptop who has many.
const SIZES: [u32; 4] = [1, 10, 20, 40];

const ROUNDS: u32 = 5;

/// With more than this, fewer rounds do: each takes minutes.
const MANY: u32 = 100;

/// How many calls the floor has under way: tried from 1 to 32.
const WIDTHS: [usize; 6] = [1, 2, 4, 8, 16, 32];

pub(crate) fn run(asked: &[u32]) {
    let sizes = if asked.is_empty() { &SIZES } else { asked };
    let (place, engine) = (Place::new(), Engine::of_environment());
    // The proxy is there, as it is for whoever works.
    place.write(&idle(1, 0));
    place.up();
    timed(place.cosmos(&["down"]));

    let width = best_width(&engine, &place);
    for size in sizes {
        grown(&place, &engine, width, *size);
    }
    chain(&place);
    started(&place);
}

/// The width with which the engine is fastest.
fn best_width(engine: &Engine, place: &Place) -> usize {
    let mut times = WIDTHS.map(|_| Vec::new());
    for _ in 0..3 {
        for (width, times) in WIDTHS.iter().zip(&mut times) {
            times.push(engine.brings_up(place, 40, *width));
        }
    }
    let mut row = Row::new(
        "widths",
        "40 containers by the engine's own calls, so many at once",
    );
    for (width, times) in WIDTHS.iter().zip(&times) {
        row = row.of(&format!("{width}"), millis(times));
    }
    row.report();
    let fastest = WIDTHS.iter().zip(&times).min_by_key(|(_, times)| {
        let mut times = (*times).clone();
        times.sort();
        times[times.len() / 2]
    });
    *fastest.unwrap().0
}

/// What is timed of each of both.
#[derive(Default)]
struct Times {
    cold: Vec<Duration>,
    /// Until it is known that nothing ends at once, which ours waits for by itself.
    cold_and_sure: Vec<Duration>,
    nothing: Vec<Duration>,
    change: Vec<Duration>,
    change_and_sure: Vec<Duration>,
    look: Vec<Duration>,
    down: Vec<Duration>,
}

fn grown(place: &Place, engine: &Engine, width: usize, size: u32) {
    let (mut ours, mut theirs, mut floor) = (Times::default(), Times::default(), Vec::new());
    let mut others = Times::default();
    let (mut our_memory, mut their_memory) = (Vec::new(), Vec::new());
    let composed = Composed::new(place);
    let rounds = if size < MANY { ROUNDS } else { 2 };
    for round in 1..=rounds {
        floor.push(engine.brings_up(place, size as usize, width));

        place.write(&services(size, 0));
        let (up, sure) = brought_up(place);
        ours.cold.push(up);
        ours.cold_and_sure.push(sure);
        for _ in 0..4 {
            ours.nothing.push(timed(place.cosmos(&["up"])));
        }
        our_memory.push(memory(place, &[env!("CARGO_BIN_EXE_cosmos"), "up"]));
        ours.look.push(timed(place.cosmos(&["status"])));
        place.write(&services(size, round));
        let (up, sure) = brought_up(place);
        ours.change.push(up);
        ours.change_and_sure.push(sure);
        ours.down.push(timed(place.cosmos(&["down"])));

        let peers = |value| -> String {
            let value_of = |number| if number == 1 { value } else { 0 };
            (1..=size)
                .map(|number| composed.idle(number, value_of(number)))
                .collect()
        };
        composed.write(&peers(0));
        theirs.cold.push(timed(composed.command(&["up", "-d"])));
        for _ in 0..4 {
            theirs.nothing.push(timed(composed.command(&["up", "-d"])));
        }
        let compose = env::var("COSMOS_BENCH_COMPOSE").unwrap();
        their_memory.push(memory(place, &[&compose, "up", "-d"]));
        theirs.look.push(timed(composed.command(&["ps"])));
        composed.write(&peers(round));
        theirs.change.push(timed(composed.command(&["up", "-d"])));
        theirs.down.push(timed(composed.command(&["down"])));
        if let Some(podman) = composed.by_podman(size) {
            others.cold.push(timed(podman(&["up", "-d"])));
            others.nothing.push(timed(podman(&["up", "-d"])));
            others.look.push(timed(podman(&["ps"])));
            others.down.push(timed(podman(&["down", "-t", "0"])));
        }
    }
    let row = |name: &str, what: &str, of: fn(&Times) -> &[Duration]| {
        let row = Row::new(format!("{name}-{size}"), format!("{what}, {size} services"))
            .of("cosmos", millis(of(&ours)))
            .of("compose", millis(of(&theirs)));
        match of(&others) {
            [] => row,
            times => row.of("podman-compose", millis(times)),
        }
    };
    row("cold", "`up` from nothing, images present", |it| &it.cold)
        .of("engine alone", millis(&floor))
        .of("cosmos, sure", millis(&ours.cold_and_sure))
        .within(Budget::Times("engine alone", 1.1))
        .report();
    row("noop", "`up` with nothing to do", |it| &it.nothing)
        .within(Budget::Times("compose", 0.1))
        .report();
    row("change", "`up` with one service changed", |it| &it.change)
        .of("cosmos, sure", millis(&ours.change_and_sure))
        .report();
    row("status", "`status` beside `ps`", |it| &it.look)
        .within(Budget::Times("compose", 0.1))
        .report();
    row("down", "`down`", |it| &it.down).report();
    let mut row = Row::new(
        format!("noop-memory-{size}"),
        format!("the command's memory in an `up` with nothing to do, {size} services"),
    );
    row.unit = "MB";
    row.of("cosmos", our_memory)
        .of("compose", their_memory)
        .report();
}

/// How long until all run, as a peer waits, and until none of them has ended at once.
fn brought_up(place: &Place) -> (Duration, Duration) {
    let runs = timed(place.cosmos(&["up", "--no-wait"]));
    (runs, runs + timed(place.cosmos(&["up"])))
}

fn idle(number: u32, value: u32) -> String {
    format!(
        "[services.s{number}]\nimage = \"busybox:latest\"\ninit = true\n\
         command = [\"sleep\", \"10000\"]\nenv = {{ VALUE = \"{value}\" }}\n"
    )
}

/// So many, the first of which has this value.
fn services(count: u32, value: u32) -> String {
    let value_of = |number| if number == 1 { value } else { 0 };
    (1..=count)
        .map(|number| idle(number, value_of(number)))
        .collect()
}

/// The most memory that a program has, in megabytes.
fn memory(place: &Place, words: &[&str]) -> f64 {
    let told = place.files.path().join("memory");
    let told_to = told.display().to_string();
    let words = [&["-f", "%M", "-o", told_to.as_str()], words].concat();
    timed(place.command("/usr/bin/time", &words));
    let kilobytes: f64 = fs::read_to_string(told).unwrap().trim().parse().unwrap();
    kilobytes / 1024.0
}

/// A chain of five, each of which waits for the health of the one before it.
fn chain(place: &Place) {
    let ours = |number: u32| {
        let after = match number {
            1 => String::new(),
            _ => format!("depends_on = {{ s{} = \"ready\" }}\n", number - 1),
        };
        format!(
            "{}health = {{ command = [\"true\"], interval = \"1s\" }}\n{after}",
            idle(number, 0)
        )
    };
    let composed = Composed::new(place);
    let theirs = |number: u32| {
        let after = match number {
            1 => String::new(),
            _ => format!(
                "    depends_on: {{ s{}: {{ condition: service_healthy }} }}\n",
                number - 1
            ),
        };
        format!(
            "{}    healthcheck: {{ test: [\"CMD\", \"true\"], interval: 1s }}\n{after}",
            composed.idle(number, 0)
        )
    };
    place.write(&(1..=5).map(ours).collect::<String>());
    composed.write(&(1..=5).map(theirs).collect::<String>());
    place.up();
    timed(composed.command(&["up", "-d"]));
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 2 {
        ours.push(timed(place.cosmos(&["up"])));
        theirs.push(timed(composed.command(&["up", "-d"])));
    }
    Row::new(
        "noop-chain",
        "`up` with nothing to do, a chain of five health-gated services",
    )
    .of("cosmos", millis(&ours))
    .of("compose", millis(&theirs))
    .within(Budget::Times("compose", 0.01))
    .report();
    timed(place.cosmos(&["down"]));
}

/// A container of its own, to its end. Ours is in a network in which it finds others by
/// their names, which takes an engine longer: so the peer is asked for that, too.
fn started(place: &Place) {
    let network = format!("{}-net", place.name);
    let echo = ["busybox:latest", "echo", "hi"];
    let with = |words: &[&'static str]| [words, &echo].concat();
    let (mut ours, mut alike, mut plain) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS * 4 {
        ours.push(timed(place.cosmos(&with(&["start", "--rm"]))));
        let words = [&["run", "--rm", "--network", &network], &echo[..]].concat();
        alike.push(timed(place.command("docker", &words)));
        plain.push(timed(place.command("docker", &with(&["run", "--rm"]))));
    }
    Row::new("start", "`cosmos start IMAGE echo hi`, the proxy present")
        .of("cosmos", millis(&ours))
        .of("docker run", millis(&alike))
        .of("without names", millis(&plain))
        .within(Budget::Times("docker run", 1.0))
        .report();
}
