//! The engine's own API with nothing between: the floor of whatever starts containers.

use std::{
    env,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, sleep},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::place::Place;

/// Between two looks: a fifth of what is measured here at the least.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// The engine's API with nothing between.
pub(crate) struct Engine(String);

impl Engine {
    pub(crate) fn of_environment() -> Self {
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

    pub(crate) fn get(&self, path: &str) -> Value {
        self.call("GET", path, "")
    }

    pub(crate) fn create(&self, place: &Place) -> String {
        let body = json!({
            "Image": "busybox:latest",
            "Cmd": ["sleep", "10000"],
            "HostConfig": { "Init": true, "NetworkMode": format!("{}-net", place.name) },
        });
        let made = self.call("POST", "/containers/create", &body.to_string());
        made["Id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn start(&self, container: &str) {
        self.call("POST", &format!("/containers/{container}/start"), "");
    }

    pub(crate) fn kill(&self, container: &str) {
        self.call("POST", &format!("/containers/{container}/kill"), "");
        self.call("POST", &format!("/containers/{container}/wait"), "");
    }

    pub(crate) fn remove(&self, container: &str) {
        self.call("DELETE", &format!("/containers/{container}?force=true"), "");
    }

    pub(crate) fn creates_and_starts(&self, place: &Place) -> Duration {
        let began = Instant::now();
        let container = self.create(place);
        self.start(&container);
        let took = began.elapsed();
        self.remove(&container);
        took
    }

    /// So many containers from nothing to running, by the barest calls, so many at once.
    pub(crate) fn brings_up(&self, place: &Place, count: usize, at_once: usize) -> Duration {
        let (next, made) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
        let began = Instant::now();
        each_at_once(at_once, || {
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let container = self.create(place);
                self.start(&container);
                made.lock().unwrap().push(container);
            }
        });
        let took = began.elapsed();
        let made = made.into_inner().unwrap();
        let gone = AtomicUsize::new(0);
        each_at_once(8, || {
            while let Some(container) = made.get(gone.fetch_add(1, Ordering::Relaxed)) {
                self.remove(container);
            }
        });
        took
    }

    pub(crate) fn starts(&self, place: &Place) -> Duration {
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
    pub(crate) fn running(&self, name: &str) -> Option<(Value, Value)> {
        let mut seen = self.get(&format!("/containers/{name}/json"));
        let runs = seen["State"]["Running"] == true;
        runs.then(|| (seen["Id"].take(), seen["State"]["StartedAt"].take()))
    }

    pub(crate) fn until_another_runs(&self, name: &str, before: Option<&(Value, Value)>) {
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

fn each_at_once(threads: usize, work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(&work);
        }
    });
}
