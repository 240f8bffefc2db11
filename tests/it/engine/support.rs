//! What the tests against an engine share.

use std::{env, process::Command};

use cosmos::docker::attach::{Client, Target};

/// The engine to test on.
pub(super) fn client() -> Client {
    let host = env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine to test on");
    Client::new(Target::new(&host, "1.41").unwrap())
}

/// A container that is removed at the end of its test.
pub(super) struct Container(pub(super) String);

impl Container {
    pub(super) fn new(verb: &str, arguments: &[&str]) -> Self {
        let output = Command::new("docker")
            .arg(verb)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Self(String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// One that was not started.
    pub(super) fn created(arguments: &[&str]) -> Self {
        Self::new("create", arguments)
    }

    /// One that does nothing, to run commands in.
    pub(super) fn idle() -> Self {
        Self::new(
            "run",
            &["-d", "--init", "busybox:latest", "tail", "-f", "/dev/null"],
        )
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker")
            .args(["rm", "-f", "-v", &self.0])
            .output();
    }
}
