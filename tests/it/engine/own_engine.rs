//! An engine of a test's own, which it may restart and kill.
//!
//! All other tests share one engine. A test that needs its own is run again, by
//! its name, in a process that has one; see [`on_its_own`].

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
};

use super::workspace::support::output;

/// Set in the process that has an engine of its own: where that lives.
const OWN: &str = "COSMOS_TEST_OWN_ENGINE";

/// One at a time: each is a daemon or two, and the machine is shared.
static TURN: Mutex<()> = Mutex::new(());

/// Runs the body of a test with an engine of its own. `name` is the test's, from
/// this folder on; `variables` are for the engine.
pub(super) fn on_its_own(name: &str, variables: &[(&str, &str)], body: impl FnOnce(&OwnEngine)) {
    run_on(&["start"], name, variables, body);
}

/// The same with Podman in the engine's place.
pub(super) fn on_podman(name: &str, body: impl FnOnce(&OwnEngine)) {
    run_on(&["start", "--podman"], name, &[], body);
}

fn run_on(start: &[&str], name: &str, variables: &[(&str, &str)], body: impl FnOnce(&OwnEngine)) {
    if let Some(state) = env::var_os(OWN) {
        return body(&OwnEngine {
            state: state.into(),
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        });
    }
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let engine = Started::new(start, variables);
    let ran = engine
        .0
        .script()
        .args(["run", "--"])
        .arg(env::current_exe().unwrap())
        .args(["--exact", &format!("engine::{name}"), "--nocapture"])
        .env(OWN, &engine.0.state)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
    eprintln!("{said}");
    // A name that no test has would run none, and succeed.
    assert!(ran.status.success() && said.contains("1 passed"), "{name}");
}

pub(super) struct OwnEngine {
    state: PathBuf,
    variables: Vec<(String, String)>,
}

impl OwnEngine {
    /// Ends the engine's daemon and starts it again; returns once it answers.
    pub(super) fn restart(&self) {
        self.run(&["restart"]);
    }

    /// The same, without giving it time to end anything.
    pub(super) fn kill_and_start(&self) {
        self.run(&["restart", "--kill"]);
    }

    fn run(&self, words: &[&str]) {
        let ran = self.script().args(words).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "scripts/engine {words:?}: {said}");
    }

    fn script(&self) -> Command {
        let mut command =
            Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/engine"));
        command
            .env("COSMOS_TEST_STATE", &self.state)
            .env_remove("COSMOS_TEST_ENGINE")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }
}

/// Removed with all that it holds at the end.
struct Started(OwnEngine);

impl Started {
    fn new(start: &[&str], variables: &[(&str, &str)]) -> Self {
        // Short: a socket's path has 107 letters at most.
        let state = PathBuf::from(format!("/var/tmp/cosmos-own-{}", std::process::id()));
        let engine = Self(OwnEngine {
            state,
            variables: variables
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        });
        engine.0.run(start);
        engine.load("busybox:latest");
        engine
    }

    /// Gives it an image that the engine of all tests has.
    fn load(&self, image: &str) {
        let file = self.0.state.join("image.tar");
        let file = file.to_str().unwrap();
        let _ = output("docker", &["save", "-o", file, image]).succeeded();
        let host = format!("unix://{}/run/docker.sock", self.0.state.display());
        let _ = output("docker", &["-H", &host, "load", "-i", file]).succeeded();
        fs::remove_file(file).unwrap();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let cleaned = self.0.script().arg("clean").output();
        if !cleaned.is_ok_and(|cleaned| cleaned.status.success()) {
            let _ = writeln!(std::io::stderr(), "{:?} is left", self.0.state);
        }
    }
}
