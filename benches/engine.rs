//! What a person waits for, against what the engine alone takes for it.
//!
//! Each figure of ours stands beside its floor: the barest calls of the engine's own
//! API that could do the same, made in turn with ours, so that a busy machine slows
//! both. It needs an engine (`DOCKER_HOST`, a Unix socket) with `busybox:latest`:
//!
//! ```sh
//! scripts/engine run -- cargo bench --bench engine
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and its output is for people"
)]

use std::{
    env, fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

mod support;
use support::{Place, median, timed};

/// Enough for a median that stays the same from run to run.
const ROUNDS: u32 = 20;

/// Between two looks: a fifth of what is measured here at the least.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// How long the proxy is watched in a crash loop: several of its longest pauses.
const CRASH_LOOP: Duration = Duration::from_secs(30);

fn main() {
    // `cargo test --benches` only wants to know that it builds.
    if env::args().any(|argument| argument == "--list") {
        return;
    }
    let engine = Engine::of_environment();
    let place = Place::new();

    place.write(&chain(0));
    place.up();
    let nothing_to_do = each(ROUNDS, |_| timed(place.cosmos(&["up"])));
    report(
        "no-op `up`, a chain of five health-gated services",
        &nothing_to_do,
        None,
    );

    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for round in 1..=ROUNDS {
        floors.push(engine.creates_and_starts(&place));
        ours.push(saved_to_running(&place, &engine, round));
    }
    report(
        "one service edited: saved -> running",
        &ours,
        Some(("create + start", &floors)),
    );

    let (mut ours, mut floors) = (Vec::new(), Vec::new());
    for _ in 1..=ROUNDS / 2 {
        floors.push(engine.starts(&place));
        ours.push(crashed_to_running(&place, &engine));
    }
    report("crashed -> running again", &ours, Some(("start", &floors)));

    println!(
        "{:<52} {:>8.2} %",
        "CPU of the proxy in a crash loop",
        crash_loop(&place, &engine)
    );
}

/// The median of ours, of the floor, and how they stand to each other.
fn report(what: &str, ours: &[Duration], floor: Option<(&str, &[Duration])>) {
    let ours = median(ours);
    match floor {
        None => println!("{what:<52} {ours:>8.1} ms"),
        Some((name, floors)) => {
            let floor = median(floors);
            println!(
                "{what:<52} {ours:>8.1} ms   engine's {name} {floor:.1} ms, + {:.1} ms, x {:.2}",
                ours - floor,
                ours / floor
            );
        }
    }
}

fn each(rounds: u32, measure: impl FnMut(u32) -> Duration) -> Vec<Duration> {
    (0..rounds).map(measure).collect()
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

/// The engine's API with nothing between.
struct Engine(String);

impl Engine {
    fn of_environment() -> Self {
        let host = env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine to measure on");
        let socket = host
            .strip_prefix("unix://")
            .expect("the engine has a socket");
        Self(socket.to_owned())
    }

    fn call(&self, method: &str, path: &str, body: &str) -> Value {
        let mut stream = UnixStream::connect(&self.0).unwrap();
        write!(
            stream,
            "{method} /v1.41{path} HTTP/1.0\r\nHost: engine\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        serde_json::from_str(body).unwrap_or(Value::Null)
    }

    fn get(&self, path: &str) -> Value {
        self.call("GET", path, "")
    }

    fn create(&self, place: &Place) -> String {
        let body = json!({
            "Image": "busybox:latest",
            "Cmd": ["sleep", "10000"],
            "HostConfig": { "Init": true, "NetworkMode": format!("{}-net", place.name) },
        });
        let made = self.call("POST", "/containers/create", &body.to_string());
        made["Id"].as_str().unwrap().to_owned()
    }

    fn start(&self, container: &str) {
        self.call("POST", &format!("/containers/{container}/start"), "");
    }

    fn kill(&self, container: &str) {
        self.call("POST", &format!("/containers/{container}/kill"), "");
        self.call("POST", &format!("/containers/{container}/wait"), "");
    }

    fn remove(&self, container: &str) {
        self.call("DELETE", &format!("/containers/{container}?force=true"), "");
    }

    fn creates_and_starts(&self, place: &Place) -> Duration {
        let began = Instant::now();
        let container = self.create(place);
        self.start(&container);
        let took = began.elapsed();
        self.remove(&container);
        took
    }

    fn starts(&self, place: &Place) -> Duration {
        let container = self.create(place);
        self.start(&container);
        self.kill(&container);
        let began = Instant::now();
        self.start(&container);
        let took = began.elapsed();
        self.remove(&container);
        took
    }

    /// The id of what runs under a name, and since when.
    fn running(&self, name: &str) -> Option<(Value, Value)> {
        let mut seen = self.get(&format!("/containers/{name}/json"));
        let runs = seen["State"]["Running"] == true;
        runs.then(|| (seen["Id"].take(), seen["State"]["StartedAt"].take()))
    }

    fn until_another_runs(&self, name: &str, before: Option<&(Value, Value)>) {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let now = self.running(name);
            if now.is_some() && now.as_ref() != before {
                return;
            }
            assert!(Instant::now() < deadline, "{name} does not run");
            sleep(LOOK_AGAIN);
        }
    }
}
