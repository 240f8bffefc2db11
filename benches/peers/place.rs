//! An installation of its own to measure on, and how programs are timed in it.

use std::{
    env, fs,
    net::TcpListener,
    path::PathBuf,
    process::{self, Command, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// An installation of its own, and a project in it.
pub(crate) struct Place {
    pub(crate) name: String,
    port: u16,
    pub(crate) files: TempDir,
}

impl Place {
    pub(crate) fn new() -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let place = Self {
            name: format!("bench-{}", process::id()),
            port,
            files: TempDir::new().unwrap(),
        };
        fs::create_dir(place.folder()).unwrap();
        place
    }

    pub(crate) fn folder(&self) -> PathBuf {
        self.files.path().join(&self.name)
    }

    pub(crate) fn write(&self, config: &str) {
        fs::write(self.folder().join("cosmos.toml"), config).unwrap();
    }

    /// A program in the project's folder, which neither reads nor shows anything.
    pub(crate) fn command(&self, program: &str, words: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(words)
            .current_dir(self.folder())
            .env("HOME", self.files.path())
            .env("COSMOS_INSTALLATION", &self.name)
            .env("COSMOS_PROXY_PORT", self.port.to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub(crate) fn cosmos(&self, words: &[&str]) -> Command {
        self.command(env!("CARGO_BIN_EXE_cosmos"), words)
    }

    pub(crate) fn up(&self) {
        assert!(self.cosmos(&["up"]).status().unwrap().success(), "up");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let ours = format!("label=dev.cosmos.installation={}", self.name);
        docker(&["rm", "-f", "-v", &format!("{}-proxy", self.name)]);
        for kind in [
            (["ps", "-aq"].as_slice(), ["rm", "-f"].as_slice()),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
        ] {
            let (list, remove) = kind;
            let found = docker(&[list, &["--filter", &ours]].concat());
            let found: Vec<_> = found.split_whitespace().collect();
            if !found.is_empty() {
                docker(&[remove, &found].concat());
            }
        }
    }
}

/// What Docker's own command says.
pub(crate) fn docker(words: &[&str]) -> String {
    let output = Command::new("docker").args(words).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How long a program takes, which has to succeed.
pub(crate) fn timed(mut command: Command) -> Duration {
    let began = Instant::now();
    let status = command.status().unwrap();
    assert!(status.success(), "{command:?}");
    began.elapsed()
}

/// Times in milliseconds.
pub(crate) fn millis(times: &[Duration]) -> impl Iterator<Item = f64> + '_ {
    times.iter().map(|time| time.as_secs_f64() * 1000.0)
}
