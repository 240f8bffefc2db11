//! `check` and `config` as a shell sees them, on files of every kind.

use std::{
    fs,
    io::Read as _,
    os::unix::{fs::symlink, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use tempfile::TempDir;

/// Nothing here takes a second; whatever waits for a pipe takes for ever.
const DEADLINE: Duration = Duration::from_secs(30);

/// A folder that is a workspace once something is written into it.
struct Project(TempDir);

impl Project {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn with(file: &str) -> Self {
        let project = Self::new();
        fs::write(project.path("cosmos.toml"), file).unwrap();
        project
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosmos"));
        command
            .args(arguments)
            .current_dir(self.0.path())
            .env_clear()
            .env("HOME", self.0.path())
            .env("COLUMNS", "100");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        ended(&mut self.command(arguments))
    }
}

/// What a process wrote, and how it ended.
struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

/// Runs to the end, or to the deadline.
fn ended(command: &mut Command) -> Ended {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut stderr = child.stderr.take().unwrap();
    let id = child.id();
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut texts = (String::new(), String::new());
        stdout.read_to_string(&mut texts.0).unwrap();
        stderr.read_to_string(&mut texts.1).unwrap();
        let code = child.wait().unwrap().code();
        let _ = sender.send((code, texts));
    });
    let Ok((code, (stdout, stderr))) = receiver.recv_timeout(DEADLINE) else {
        let _ = Command::new("kill").args(["-9", &id.to_string()]).status();
        panic!("{command:?} did not end");
    };
    Ended {
        code,
        stdout,
        stderr,
    }
}

fn make_pipe(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().unwrap();
    assert!(made.success());
}

#[test]
fn a_config_that_is_no_file_is_refused_in_words_and_at_once() {
    type Make = fn(&Path);
    let cases: [(&str, Make); 6] = [
        ("it is a folder", |path| fs::create_dir(path).unwrap()),
        ("it is a pipe, not a file", make_pipe),
        ("it is a device, not a file", |path| {
            symlink("/dev/zero", path).unwrap()
        }),
        ("its links lead in a circle", |path| {
            symlink("cosmos.toml", path).unwrap()
        }),
        ("there is no", |path| symlink("nowhere", path).unwrap()),
        ("it is larger than 4 MiB", |path| {
            fs::File::create(path).unwrap().set_len(1 << 30).unwrap();
        }),
    ];
    for (words, make) in cases {
        let project = Project::new();
        make(&project.path("cosmos.toml"));
        let ended = project.run(&["check"]);
        assert!(ended.stderr.contains(words), "{words}: {}", ended.stderr);
        assert!(ended.stderr.contains("help: "), "{words}: {}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{words}: {}", ended.stderr);
    }
}

#[test]
fn one_reader_serves_layers_env_files_config_files_and_secrets() {
    let uses = "[services.web]\nimage = \"x\"\nenv_file = \"own.env\"\nsecrets = [\"s\"]\n\
                configs = { \"app.conf\" = \"/app.conf\" }\n[secrets.s]\nfile = \"key\"\n";
    for file in ["cosmos.local.toml", ".env", "own.env", "app.conf", "key"] {
        let project = Project::with(uses);
        for other in ["own.env", "app.conf", "key"] {
            fs::write(project.path(other), "").unwrap();
        }
        let _ = fs::remove_file(project.path(file));
        make_pipe(&project.path(file));
        // `plan` reads secrets, too; it gets no further than the config.
        let ended = project.run(&["plan"]);
        assert!(
            ended.stderr.contains("it is a pipe"),
            "{file}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains(file), "{file}: {}", ended.stderr);
        assert_eq!(ended.code, Some(2), "{file}: {}", ended.stderr);
    }
}

#[test]
fn a_config_that_may_not_be_read_is_told_with_the_mend() {
    use std::os::unix::fs::PermissionsExt as _;
    let project = Project::with("");
    let file = project.path("cosmos.toml");
    fs::set_permissions(project.0.path(), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o000)).unwrap();
    let mut command = project.command(&["check"]);
    if rustix::process::geteuid().is_root() {
        // Root may read everything; the program must be where anybody may run it.
        let program = project.path("cosmos");
        // By another process: a program that this one has open for writing, and so
        // whatever another test is starting just now, cannot be run.
        let copied = Command::new("cp")
            .arg(env!("CARGO_BIN_EXE_cosmos"))
            .arg(&program)
            .status();
        assert!(copied.unwrap().success());
        command = Command::new(&program);
        command
            .arg("check")
            .current_dir(project.0.path())
            .env_clear()
            .uid(65_534)
            .gid(65_534);
    }
    let ended = ended(&mut command);
    assert!(
        ended
            .stderr
            .contains("cannot read `cosmos.toml`: permission denied"),
        "{}",
        ended.stderr
    );
    assert!(ended.stderr.contains("chmod"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(2));
}

#[test]
fn a_folder_named_dot_env_is_somebody_elses() {
    let project = Project::with("[services.web]\nimage = \"x\"\n");
    fs::create_dir(project.path(".env")).unwrap();
    let ended = project.run(&["check"]);
    assert!(ended.stdout.contains("is valid"), "{}", ended.stderr);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn every_answer_in_json_has_a_schema_version() {
    let project = Project::with("[services.web]\nimage = \"x\"\n");
    for arguments in [
        &["check", "--json"][..],
        &["config", "--json"],
        &["config", "--json", "--explain", "services.web.image"],
    ] {
        let ended = project.run(arguments);
        let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
        assert_eq!(json["schema"], 1, "{arguments:?}: {}", ended.stderr);
    }
}

#[test]
fn warnings_are_in_the_json_and_exit_with_0() {
    let project = Project::with("[services.web]\nimage = \"x\"\n[volumes.data]\n");
    let ended = project.run(&["check", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(json["diagnostics"][0]["severity"], "warning");
    assert_eq!(json["diagnostics"][0]["line"], 3);
    assert_eq!(json["valid"], true);
    assert_eq!(ended.code, Some(0));
}

#[test]
fn a_key_that_is_none_is_answered_with_what_was_meant() {
    let project = Project::with("[services.web]\nimage = \"x\"\n");
    let ended = project.run(&["config", "--explain", "services.web.imag"]);
    assert_eq!(
        ended.stderr,
        "error: there is no key `imag` in `services.web`\nhint: did you mean `services.web.image`?\n"
    );
    assert_eq!(ended.code, Some(2));
}

#[test]
fn after_fifty_mistakes_the_rest_is_counted() {
    let mistakes: String = (0..60)
        .map(|number| format!("[services.s{number}]\n"))
        .collect();
    let ended = Project::with(&mistakes).run(&["check"]);
    assert!(
        ended.stderr.trim_end().ends_with("and 10 more"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_key_on_the_command_line_wins_over_files_and_variables() {
    let project = Project::with("[services.web]\nimage = \"x\"\nreplicas = 2\n");
    let explain = |set: &[&str]| {
        let key = ["config", "--explain", "services.web.replicas"];
        let mut command = project.command(&[&key, set].concat());
        ended(command.env("COSMOS_SERVICES__WEB__REPLICAS", "3"))
    };
    let said = explain(&["--set", "services.web.replicas=4"]).stdout;
    let first = "services.web.replicas = 4\n  the command line sets it\n";
    assert!(said.starts_with(first), "{said}");
    assert!(said.contains("cosmos.toml:3:1 is overridden: 2"), "{said}");
    let refused = explain(&["--set", "services.web.replicas"]);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("is not KEY=VALUE"),
        "{}",
        refused.stderr
    );
}
