//! From a save, and from a crash, until a service runs again, beside the barest calls of the
//! engine's own API that could do the same; and what a crash loop costs.

use std::{
    fs,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    engine::Engine,
    place::{Place, millis},
    report::{Budget, Row},
};

/// Enough for a median that stays the same from run to run.
const ROUNDS: u32 = 20;

/// How long the proxy is watched in a crash loop: several of its longest pauses.
const CRASH_LOOP: Duration = Duration::from_secs(30);

pub(crate) fn run() {
    let engine = Engine::of_environment();
    let place = Place::new();

    place.write(&chain(0));
    place.up();

    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        floors.push(engine.creates_and_starts(&place));
        ours.push(saved_to_running(&place, &engine, round));
    }
    Row::new("edited", "one service edited: saved -> running")
        .of("cosmos", millis(&ours))
        .of("create + start", millis(&floors))
        .within(Budget::Over("create + start", 60.0))
        .report();

    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 1..=ROUNDS / 2 {
        floors.push(engine.starts(&place));
        ours.push(crashed_to_running(&place, &engine));
    }
    Row::new("crashed", "crashed -> running again, at the first try")
        .of("cosmos", millis(&ours))
        .of("start", millis(&floors))
        .within(Budget::Over("start", 150.0))
        .report();

    let mut loop_of_crashes = Row::new("crash-loop", "CPU of the proxy beside a crash loop");
    loop_of_crashes.unit = "%";
    loop_of_crashes
        .of("cosmos", [crash_loop(&place, &engine)])
        .report();
}

/// Five services, each of which needs the one before it to be ready, and one leaf.
fn chain(value: u32) -> String {
    let service = |number: u32| {
        let after = match number {
            1 => String::new(),
            _ => format!("depends_on = {{ s{} = \"ready\" }}\n", number - 1),
        };
        format!(
            "[services.s{number}]\nimage = \"busybox:latest\"\ninit = true\n\
             command = [\"httpd\", \"-f\", \"-p\", \"80\", \"-h\", \"/bin\"]\n\
             health = {{ tcp = 80, interval = \"100ms\" }}\n{after}"
        )
    };
    let leaf = format!(
        "[services.leaf]\nimage = \"busybox:latest\"\ninit = true\n\
         command = [\"sleep\", \"10000\"]\nenv = {{ VALUE = \"{value}\" }}\n"
    );
    (1..=5).map(service).collect::<String>() + &leaf
}

fn leaf(place: &Place) -> String {
    format!("{}-leaf-1", place.name)
}

fn saved_to_running(place: &Place, engine: &Engine, value: u32) -> Duration {
    let before = engine.running(&leaf(place));
    let began = Instant::now();
    place.write(&chain(value));
    let mut up = place.cosmos(&["up"]).spawn().unwrap();
    engine.until_another_runs(&leaf(place), before.as_ref());
    let took = began.elapsed();
    assert!(up.wait().unwrap().success(), "up");
    took
}

fn crashed_to_running(place: &Place, engine: &Engine) -> Duration {
    // A container that lived for ten seconds is started again after the first pause.
    sleep(Duration::from_millis(10_500));
    let before = engine.running(&leaf(place));
    engine.kill(&leaf(place));
    let began = Instant::now();
    engine.until_another_runs(&leaf(place), before.as_ref());
    began.elapsed()
}

/// Of one processor, in percent.
fn crash_loop(place: &Place, engine: &Engine) -> f64 {
    // Alone: probes that are asked for ten times a second cost what they cost.
    place.write("[services.loop]\nimage = \"busybox:latest\"\ncommand = [\"false\"]\n");
    let _ = place.cosmos(&["up"]).status();
    let process = engine.get(&format!("/containers/{}-proxy/json", place.name))["State"]["Pid"]
        .as_i64()
        .unwrap();
    let ticks = || -> u64 {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
        let fields = stat.rsplit(')').next().unwrap();
        let number = |index: usize| -> u64 {
            fields
                .split_whitespace()
                .nth(index)
                .unwrap()
                .parse()
                .unwrap()
        };
        // User and system time, the 14th and 15th of the whole line.
        number(11) + number(12)
    };
    let before = ticks();
    sleep(CRASH_LOOP);
    // A hundred ticks a second, on every Linux that is about.
    let used = u32::try_from(ticks() - before).unwrap();
    f64::from(used) / 100.0 / CRASH_LOOP.as_secs_f64() * 100.0
}
