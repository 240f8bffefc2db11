//! A place of its own for each test: installation, home, proxy port, project.
//!
//! Names of workspaces are unique, too, as the engine has each container name
//! once. All of it goes in `Drop`, by the labels of the installation.

use std::{
    env, fmt, fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU16, Ordering},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::Terminal;
pub(in crate::engine) use crate::support::free_port;

/// How long anything may take that a test waits for: the crash loop's pauses and
/// a machine that builds something else included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// An installation of Cosmos with one project.
pub(in crate::engine) struct Place {
    /// The workspace's name, as it is the folder's.
    pub(in crate::engine) name: String,
    /// The project's folder.
    pub(in crate::engine) folder: PathBuf,
    /// The port on the host that leads to the proxy.
    pub(in crate::engine) port: u16,
    installation: String,
    engine: String,
    variables: Vec<(String, String)>,
    files: TempDir,
}

/// All that a command said.
#[must_use]
pub(in crate::engine) struct Said {
    what: String,
    pub(in crate::engine) code: i32,
    pub(in crate::engine) stdout: String,
    pub(in crate::engine) stderr: String,
}

impl Place {
    /// A project with this `cosmos.toml`; nothing is up.
    pub(in crate::engine) fn new(config: &str) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let engine = env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine to test on");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("w{}-{number}", std::process::id());
        let files = TempDir::new().unwrap();
        let folder = files.path().canonicalize().unwrap().join(&name);
        fs::create_dir(&folder).unwrap();
        let place = Self {
            installation: format!("it-{name}"),
            port: free_port(),
            name,
            folder,
            engine,
            variables: Vec::new(),
            files,
        };
        place.write("cosmos.toml", config);
        place
    }

    /// A project with a copy of one of the examples; nothing is up.
    pub(in crate::engine) fn example(example: &str) -> Self {
        let place = Self::new("");
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
        copy(&examples.join(example), &place.folder);
        let name = place.name.clone();
        place.with("COSMOS_WORKSPACE__NAME", &name)
    }

    /// One that is up already.
    pub(in crate::engine) fn up(config: &str) -> Self {
        let place = Self::new(config);
        let _ = place.cosmos(&["up"]).succeeded();
        place
    }

    /// The same, with another way to the engine.
    pub(in crate::engine) fn through(mut self, socket: &Path) -> Self {
        self.engine = format!("unix://{}", socket.display());
        self
    }

    /// The same, with a variable in the environment of `cosmos`.
    pub(in crate::engine) fn with(mut self, variable: &str, value: &str) -> Self {
        self.variables.push((variable.to_owned(), value.to_owned()));
        self
    }

    /// A folder that is not the project's.
    pub(in crate::engine) fn elsewhere(&self) -> &Path {
        self.files.path()
    }

    /// Writes a file of the project.
    pub(in crate::engine) fn write(&self, file: &str, text: &str) {
        let file = self.folder.join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// Runs `cosmos` in the project's folder.
    pub(in crate::engine) fn cosmos(&self, arguments: &[&str]) -> Said {
        self.cosmos_in(&self.folder, arguments)
    }

    /// The same, elsewhere.
    pub(in crate::engine) fn cosmos_in(&self, folder: &Path, arguments: &[&str]) -> Said {
        self.cosmos_sent(folder, arguments, &[])
    }

    /// The same, with something on its standard input.
    pub(in crate::engine) fn cosmos_sent(
        &self,
        folder: &Path,
        arguments: &[&str],
        input: &[u8],
    ) -> Said {
        let mut command = self.command("timeout", folder);
        command
            .args(["120", env!("CARGO_BIN_EXE_cosmos")])
            .args(arguments);
        if !input.is_empty() {
            command.stdin(Stdio::piped());
        }
        let mut child = command.spawn().unwrap();
        if let Some(mut stdin) = child.stdin.take() {
            let input = input.to_vec();
            thread::spawn(move || stdin.write_all(&input));
        }
        finished(child, format!("cosmos {}", arguments.join(" ")))
    }

    /// Starts `cosmos`, to be looked at while it runs.
    pub(in crate::engine) fn begin(&self, arguments: &[&str]) -> Running {
        self.begin_as(Path::new(env!("CARGO_BIN_EXE_cosmos")), arguments)
    }

    /// The same, with a program that runs `cosmos` in its own way.
    pub(in crate::engine) fn begin_as(&self, program: &Path, arguments: &[&str]) -> Running {
        let mut command = self.command(&program.to_string_lossy(), &self.folder);
        let child = command.args(arguments).spawn().unwrap();
        Running(Some((child, format!("cosmos {}", arguments.join(" ")))))
    }

    /// Starts `cosmos` on a terminal.
    pub(in crate::engine) fn on_a_terminal(&self, arguments: &[&str]) -> Terminal {
        Terminal::open(&mut self.for_a_terminal(arguments))
    }

    /// The same, on one that has so many columns.
    pub(in crate::engine) fn on_a_terminal_of(&self, columns: u16, arguments: &[&str]) -> Terminal {
        Terminal::sized(&mut self.for_a_terminal(arguments), columns, 24)
    }

    fn for_a_terminal(&self, arguments: &[&str]) -> Command {
        let mut command = self.command("setsid", &self.folder);
        command
            .args(["--ctty", env!("CARGO_BIN_EXE_cosmos")])
            .args(arguments)
            .env("TERM", "xterm-256color")
            .env("NO_COLOR", "1");
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    fn command(&self, program: &str, folder: &Path) -> Command {
        let home = self.files.path().join("home");
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env_clear()
            .env("PATH", env::var_os("PATH").unwrap_or_default())
            .env("HOME", home)
            .env("DOCKER_HOST", &self.engine)
            .env("COSMOS_INSTALLATION", &self.installation)
            .env("COSMOS_PROXY_PORT", self.port.to_string())
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The proxy's token, as `cosmos` keeps it.
    pub(in crate::engine) fn token(&self) -> String {
        let cache = self.files.path().join("home/.cache/cosmos");
        let file = fs::read_dir(cache).unwrap().next().unwrap().unwrap().path();
        let known: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        known["token"].as_str().unwrap().to_owned()
    }

    /// The name of a service's first container.
    pub(in crate::engine) fn container(&self, service: &str) -> String {
        format!("{}-{service}-1", self.name)
    }

    /// The id of a service's first container.
    pub(in crate::engine) fn id(&self, service: &str) -> String {
        inspect(&self.container(service), "{{.Id}}").unwrap_or_else(|| panic!("no {service}"))
    }

    /// The id, once it runs.
    pub(in crate::engine) fn running(&self, service: &str) -> Option<String> {
        let seen = inspect(&self.container(service), "{{.State.Running}} {{.Id}}")?;
        seen.strip_prefix("true ").map(str::to_owned)
    }

    /// The names of all containers of a service, or of all services.
    pub(in crate::engine) fn containers(&self, filters: &[&str]) -> Vec<String> {
        let installation = format!("label=dev.cosmos.installation={}", self.installation);
        let mut arguments = vec![
            "ps",
            "-a",
            "--format",
            "{{.Names}}",
            "--filter",
            &installation,
        ];
        let filters: Vec<_> = filters
            .iter()
            .map(|filter| format!("label=dev.cosmos.{filter}"))
            .collect();
        for filter in &filters {
            arguments.extend(["--filter", filter]);
        }
        let mut names: Vec<_> = docker(&arguments).lines().map(str::to_owned).collect();
        names.sort();
        names
    }

    /// The name of the proxy.
    pub(in crate::engine) fn proxy(&self) -> String {
        format!("{}-proxy", self.installation)
    }

    /// The name of the shared network.
    pub(in crate::engine) fn network(&self) -> String {
        format!("{}-net", self.installation)
    }

    /// GETs a path of a service through the proxy.
    pub(in crate::engine) fn get(&self, service: &str, path: &str) -> Result<Answer, String> {
        self.get_host(
            &format!("{service}.{}.localhost:{}", self.name, self.port),
            path,
        )
    }

    /// GETs a path of a host through the proxy.
    pub(in crate::engine) fn get_host(&self, host: &str, path: &str) -> Result<Answer, String> {
        get(self.port, host, path)
    }

    /// POSTs a body to a path of a service through the proxy.
    pub(in crate::engine) fn post(
        &self,
        service: &str,
        path: &str,
        body: &str,
    ) -> Result<Answer, String> {
        let host = format!("{service}.{}.localhost:{}", self.name, self.port);
        let length = body.len();
        ask(
            self.port,
            &format!(
                "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            ),
        )
    }

    /// What `status --json` says of a service.
    pub(in crate::engine) fn service(&self, service: &str) -> Value {
        let status = self.cosmos(&["status", "--json"]).succeeded().json();
        let services = status["services"].as_array().unwrap();
        let found = services.iter().find(|one| one["name"] == service);
        found
            .unwrap_or_else(|| panic!("no {service} in {status}"))
            .clone()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if thread::panicking() {
            let logs = output("docker", &["logs", "--tail", "25", &self.proxy()]);
            eprintln!("the proxy said:\n{}", logs.stdout + &logs.stderr);
        }
        let ours = format!("label=dev.cosmos.installation={}", self.installation);
        let built = format!("reference={}-*", self.name);
        // First, or it heals what goes.
        let _ = output("docker", &["rm", "-f", "-v", &self.proxy()]);
        for (list, remove) in [
            (vec!["ps", "-aq", "--filter", &ours], vec!["rm", "-f", "-v"]),
            (
                vec!["network", "ls", "-q", "--filter", &ours],
                vec!["network", "rm"],
            ),
            (
                vec!["volume", "ls", "-q", "--filter", &ours],
                vec!["volume", "rm"],
            ),
            (
                vec!["image", "ls", "-q", "--filter", &built],
                vec!["image", "rm", "-f"],
            ),
        ] {
            let found = output("docker", &list).stdout;
            if !found.trim().is_empty() {
                let _ = output(
                    "docker",
                    &[remove, found.split_whitespace().collect()].concat(),
                );
            }
        }
    }
}

impl Said {
    pub(in crate::engine) fn succeeded(self) -> Self {
        self.ended(0)
    }

    pub(in crate::engine) fn ended(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self}");
        self
    }

    /// Each of these is on stderr, where a failure is told.
    pub(in crate::engine) fn told(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "no {text:?} in\n{self}");
        }
        self
    }

    pub(in crate::engine) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self}"))
    }

    /// `up` found nothing to do.
    pub(in crate::engine) fn was_up_to_date(self) -> Self {
        let said = self.succeeded();
        assert!(said.stdout.starts_with("up to date ("), "{said}");
        said
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            what,
            code,
            stdout,
            stderr,
        } = self;
        write!(f, "$ {what}\n{stdout}---\n{stderr}--- exit code {code}")
    }
}

/// A `cosmos` that runs, and is killed if nobody ends it.
pub(in crate::engine) struct Running(Option<(Child, String)>);

impl Running {
    pub(in crate::engine) fn child(&mut self) -> &mut Child {
        &mut self.0.as_mut().unwrap().0
    }

    /// Sends Ctrl-C's signal.
    pub(in crate::engine) fn interrupt(&mut self) {
        let id = self.child().id().to_string();
        let _ = output("kill", &["-INT", &id]);
    }

    /// Waits for its end.
    pub(in crate::engine) fn end(mut self) -> Said {
        let (mut child, what) = self.0.take().unwrap();
        let id = child.id().to_string();
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let watchdog = thread::spawn(move || {
            let ended = Instant::now() + Duration::from_secs(60);
            loop {
                if let Some(status) = child.try_wait().unwrap() {
                    return status;
                }
                if Instant::now() > ended {
                    let _ = output("kill", &["-KILL", &id]);
                }
                thread::sleep(LOOK_AGAIN);
            }
        });
        let errors = thread::spawn(move || all_of(stderr));
        let stdout = all_of(stdout);
        let stderr = errors.join().unwrap();
        let status = watchdog.join().unwrap();
        Said {
            what,
            code: code_of(status),
            stdout,
            stderr,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some((child, _)) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

fn all_of(source: Option<impl std::io::Read>) -> String {
    let mut text = Vec::new();
    if let Some(mut source) = source {
        // What a killed process left half-written is all there is.
        let _ = source.read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn code_of(status: std::process::ExitStatus) -> i32 {
    use std::os::unix::process::ExitStatusExt as _;
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

fn finished(child: Child, what: String) -> Said {
    let output = child.wait_with_output().unwrap();
    Said {
        what,
        code: code_of(output.status),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

pub(in crate::engine) fn output(program: &str, arguments: &[&str]) -> Said {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    finished(
        command.spawn().unwrap(),
        format!("{program} {}", arguments.join(" ")),
    )
}

/// What `docker` says, which must succeed.
pub(in crate::engine) fn docker(arguments: &[&str]) -> String {
    output("docker", arguments)
        .succeeded()
        .stdout
        .trim()
        .to_owned()
}

/// Something of a container, if there is one of this name.
pub(in crate::engine) fn inspect(container: &str, format: &str) -> Option<String> {
    let said = output(
        "docker",
        &["inspect", "--type", "container", "-f", format, container],
    );
    (said.code == 0).then(|| said.stdout.trim().to_owned())
}

/// Looks until there is something to see.
#[track_caller]
pub(in crate::engine) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        thread::sleep(LOOK_AGAIN);
    }
}

/// An answer over HTTP.
#[derive(Debug)]
pub(in crate::engine) struct Answer {
    pub(in crate::engine) status: u16,
    pub(in crate::engine) body: String,
}

/// GETs a path of a host from whatever listens on a port of the loopback.
pub(in crate::engine) fn get(port: u16, host: &str, path: &str) -> Result<Answer, String> {
    ask(
        port,
        &format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"),
    )
}

/// Sends a request, after which the other side closes.
pub(in crate::engine) fn ask(port: u16, request: &str) -> Result<Answer, String> {
    let told = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(told)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(told)?;
    stream.write_all(request.as_bytes()).map_err(told)?;
    let mut text = Vec::new();
    stream.read_to_end(&mut text).map_err(told)?;
    let text = String::from_utf8_lossy(&text);
    let (head, body) = text
        .split_once("\r\n\r\n")
        .ok_or_else(|| format!("no answer but {text:?}"))?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok(Answer {
        status: status.ok_or_else(|| format!("no status in {head:?}"))?,
        body: body.trim().to_owned(),
    })
}
