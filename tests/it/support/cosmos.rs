//! A Cosmos that shares nothing with any other.

use std::{
    env, fs,
    io::Write as _,
    ops::Deref,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    thread,
};

use tempfile::TempDir;

use super::{Output, Running, Terminal, docker, free_port};

const PROGRAM: &str = env!("CARGO_BIN_EXE_cosmos");

/// Held by whoever uses the names and the port that everyone uses.
static USUAL_NAMES: Mutex<()> = Mutex::new(());

/// The one whose proxy is up, as long as some test uses it.
static READY: Mutex<Weak<Cosmos>> = Mutex::new(Weak::new());

/// An installation with a home, a project folder and a port of its own. What it
/// made in the engine goes with it.
pub(crate) struct Cosmos {
    home: TempDir,
    installation: String,
    port: u16,
    /// Nothing is said of names and port: they are the usual ones.
    is_usual: bool,
}

/// The Cosmos that everybody has, for one test at a time.
pub(crate) struct UsualCosmos {
    // Dropped in this order: it is cleaned up before it is the next one's turn.
    cosmos: Cosmos,
    _turn: MutexGuard<'static, ()>,
}

impl Deref for UsualCosmos {
    type Target = Cosmos;

    fn deref(&self) -> &Cosmos {
        &self.cosmos
    }
}

impl Cosmos {
    /// One of which nothing is there yet.
    pub(crate) fn new() -> Self {
        let port = free_port();
        // With our process id: a run that was killed must not be in the way.
        let installation = format!("test-{}-{}", process::id(), port);
        Self::of(installation, port, false)
    }

    /// The one that everybody has: `cosmos-proxy`, `cosmos-net`, port 8080. One
    /// test at a time.
    pub(crate) fn with_the_usual_names() -> UsualCosmos {
        let turn = USUAL_NAMES.lock().unwrap_or_else(PoisonError::into_inner);
        let there = docker(["ps", "-aq", "--filter", "name=^/?cosmos-proxy$"]);
        assert!(
            there.is_empty(),
            "there is a `cosmos-proxy` that is not ours: these tests need an engine without one"
        );
        UsualCosmos {
            cosmos: Self::of("cosmos".to_owned(), 8080, true),
            _turn: turn,
        }
    }

    /// One whose proxy is up, for whoever does not care about that part.
    pub(crate) fn ready() -> Arc<Self> {
        let mut ready = READY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cosmos) = ready.upgrade() {
            return cosmos;
        }
        let cosmos = Arc::new(Self::new());
        let _ = cosmos
            .run(["start", "--rm", "alpine:latest", "true"])
            .success();
        *ready = Arc::downgrade(&cosmos);
        cosmos
    }

    fn of(installation: String, port: u16, is_usual: bool) -> Self {
        assert!(
            env::var_os("DOCKER_HOST").is_some(),
            "DOCKER_HOST names the engine to test on"
        );
        let home = TempDir::new().unwrap();
        fs::create_dir(home.path().join("project")).unwrap();
        Self {
            home,
            installation,
            port,
            is_usual,
        }
    }

    pub(crate) fn proxy(&self) -> String {
        format!("{}-proxy", self.installation)
    }

    pub(crate) fn network(&self) -> String {
        format!("{}-net", self.installation)
    }

    pub(crate) fn volume(&self) -> String {
        format!("{}-state", self.installation)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.port)
    }

    /// A name that no other installation uses, and that is cleaned up.
    pub(crate) fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.installation)
    }

    /// For `docker ps --filter`: everything of this installation.
    pub(crate) fn label_filter(&self) -> String {
        format!("label=dev.cosmos.installation={}", self.installation)
    }

    /// The folder that commands are run in.
    pub(crate) fn project(&self) -> PathBuf {
        self.home.path().join("project")
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.path()
    }

    /// A program that sees this installation and nothing of ours.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap())
            .env("DOCKER_HOST", env::var_os("DOCKER_HOST").unwrap())
            .env("HOME", self.home.path())
            .env("XDG_CACHE_HOME", self.home.path().join("cache"))
            .env("XDG_CONFIG_HOME", self.home.path().join("config"))
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", "1")
            .current_dir(self.project())
            .stdin(Stdio::null());
        if !self.is_usual {
            command
                .env("COSMOS_INSTALLATION", &self.installation)
                .env("COSMOS_PROXY_PORT", self.port.to_string());
        }
        command
    }

    /// `cosmos` itself, not yet started.
    pub(crate) fn cosmos<const N: usize>(&self, words: [&str; N]) -> Command {
        let mut command = self.command(PROGRAM);
        command.args(words);
        command
    }

    /// Runs `cosmos` off a terminal, without input.
    #[track_caller]
    pub(crate) fn run<const N: usize>(&self, words: [&str; N]) -> Output {
        self.start(words).output()
    }

    /// The same, with input.
    #[track_caller]
    pub(crate) fn run_with_input<const N: usize>(&self, words: [&str; N], input: &str) -> Output {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let input = input.to_owned();
        thread::spawn(move || writer.write_all(input.as_bytes()));
        // The command keeps an end of the pipe, and must be gone for the pipe's own end.
        let running = Running::new(self.cosmos(words).stdin(reader));
        running.output()
    }

    /// Starts `cosmos` off a terminal.
    pub(crate) fn start<const N: usize>(&self, words: [&str; N]) -> Running {
        Running::new(&mut self.cosmos(words))
    }

    /// Starts `cosmos` on a terminal.
    pub(crate) fn on_a_terminal<const N: usize>(&self, words: [&str; N]) -> Terminal {
        Terminal::open(self.command("setsid").args(["--ctty", PROGRAM]).args(words))
    }

    /// What `curl` prints, run where this installation's port is.
    #[track_caller]
    pub(crate) fn curl<const N: usize>(&self, words: [&str; N]) -> Output {
        Running::new(
            self.command("curl")
                .args(["--silent", "--show-error", "--max-time", "30"])
                .args(words),
        )
        .output()
    }

    /// `POST /container` as the README has it, with further words for `curl`:
    /// the body, and behind it the status.
    #[track_caller]
    pub(crate) fn post_container<const N: usize>(&self, body: &str, words: [&str; N]) -> Output {
        let mut command = self.command("curl");
        command
            .args(["--silent", "--show-error", "--max-time", "30"])
            .args(["-X", "POST", &self.url("/container"), "-d", body])
            .args(["--write-out", "\n%{http_code}\n"])
            .args(words);
        if !words.join(" ").contains("Content-Type") {
            command.args(["-H", "Content-Type: application/json"]);
        }
        Running::new(&mut command).output()
    }
}

impl Drop for Cosmos {
    /// By label and by name, and as far as it goes: the test has its verdict.
    fn drop(&mut self) {
        let list = |words: &[&str]| -> Vec<String> {
            let output = Command::new("docker").args(words).output();
            let text = output.map_or(Vec::new(), |output| output.stdout);
            let lines = String::from_utf8_lossy(&text);
            lines.lines().map(str::to_owned).collect()
        };
        let named = |what: &str, field: &str, listing: &[&str]| {
            let format = format!("{{{{.{field}}}}}");
            let words = [&[what], listing, &["--format", &format]].concat();
            let mut names = list(&words);
            // Somebody may have named things of theirs `cosmos-..`, too.
            names.retain(|name| match self.is_usual {
                true => *name == self.network() || *name == self.volume(),
                false => name.starts_with(&self.name("")),
            });
            names
        };
        let remove = |what: &[&str], which: &[String]| {
            if !which.is_empty() {
                let _ = Command::new("docker").args(what).args(which).output();
            }
        };
        // The proxy first: nobody else makes containers meanwhile.
        remove(&["rm", "-f", "-v"], &[self.proxy()]);
        let by_label = self.label_filter();
        let labelled = list(&["ps", "-aq", "--filter", &by_label]);
        remove(&["rm", "-f", "-v"], &labelled);
        remove(
            &["rm", "-f", "-v"],
            &named("container", "Names", &["ls", "--all"]),
        );
        remove(&["network", "rm"], &named("network", "Name", &["ls"]));
        remove(&["volume", "rm", "-f"], &named("volume", "Name", &["ls"]));
        remove(&["rmi"], &named("image", "Repository", &["ls"]));
    }
}
