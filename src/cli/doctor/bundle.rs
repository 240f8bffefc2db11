//! What a bug report needs, in one file that can be looked through before it is sent.
//!
//! [`gather`] asks the engine and the proxy, [`Gathered::files`] makes texts of the answers
//! and is pure: everything passes the [`Cleaner`] there. What cannot be had is no failure,
//! but said in `about.txt`: a bundle is made where something does not work.

use std::{
    collections::BTreeMap,
    env, fmt, fs,
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::GzEncoder};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    clean::{Cleaner, is_secret},
    json as checks_as_json,
    judge::{Check, judge},
    look::Reached,
    seen::Seen,
    shown,
};
use crate::{
    api::{
        client::encoded,
        wire::{API_VERSION, History, PlanReport},
    },
    cli::{bootstrap::VERSION, credentials, error::Failure},
    config::LOCAL_FILE_NAME,
    docker::diagnose::{About, ListedContainer, Machine},
    workspace::{CommandKind, Container, Image, Kind},
};

/// How much of what the proxy said.
const LOG_LINES: u64 = 500;

/// How much of what was done to a workspace.
const HISTORY_ENTRIES: usize = 100;

/// For one question. Whoever makes a bundle waits a little for what is in it.
const PATIENCE: Duration = Duration::from_secs(5);

/// The folder that everything is in: what is unpacked must not be strewn about.
const FOLDER: &str = "cosmos-doctor";

/// Says no as long as nothing was done for it.
pub(super) fn refuse_to_overwrite(file: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(file) {
        Ok(_) => Err(
            Failure::usage(format!("{} is there already", file.display()))
                .hinted("name another: `cosmos doctor --bundle FILE`"),
        ),
        Err(_) => Ok(()),
    }
}

/// Writes a bundle of what was seen and reached; the names of what is in it.
pub(super) async fn write(
    file: &Path,
    seen: Seen,
    reached: Reached,
) -> Result<Vec<String>, Failure> {
    let checks = judge(&seen.for_strangers());
    let gathered = gather(checks, reached).await;
    let files = gathered.files();
    save(file, &packed(&files)?).map_err(|error| {
        Failure::new(format!("{} cannot be written: {error}", file.display()))
            .hinted("name another: `cosmos doctor --bundle FILE`")
    })?;
    let names = files.into_iter().map(|file| file.name);
    Ok(names.map(|name| format!("{FOLDER}/{name}")).collect())
}

/// Writes a file that only its owner reads, and that was not there.
fn save(file: &Path, content: &[u8]) -> io::Result<()> {
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?
        .write_all(content)
}

/// One file of a bundle.
struct File {
    name: String,
    text: String,
}

/// A gzipped tar of them.
fn packed(files: &[File]) -> io::Result<Vec<u8>> {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::default()));
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(now);
        header.set_cksum();
        let path = format!("{FOLDER}/{}", file.name);
        tar.append_data(&mut header, path, file.text.as_bytes())?;
    }
    tar.into_inner()?.finish()
}

/// All that a bundle is made of, before anything is taken out.
#[derive(Default)]
struct Gathered {
    checks: Vec<Check>,
    /// System, kernel and kind of processor.
    system: String,
    about: Option<About>,
    machine: Option<Machine>,
    containers: Option<Vec<ListedContainer>>,
    log: Option<Vec<String>>,
    status: Option<Value>,
    plan: Option<Value>,
    /// By workspace.
    history: BTreeMap<String, Value>,
    /// The resolved config.
    workspace: Option<Value>,
    /// The texts of the config, by name.
    config: Vec<(String, String)>,
    /// What could not be had, and why.
    missing: Vec<String>,
    /// Variables whose values may be secret, whatever is made of them.
    variables: Vec<(String, String)>,
}

impl Gathered {
    /// Each file of the bundle, without secrets.
    fn files(&self) -> Vec<File> {
        let cleaner = Cleaner::new(self.variables.iter().cloned());
        let mut missing = self.missing.clone();
        let mut files = Vec::new();
        let mut add = |name: &str, text: String| {
            files.push(File {
                name: name.to_owned(),
                text,
            });
        };
        let as_json = |value: Value| {
            let mut value = value;
            cleaner.json(&mut value);
            serde_json::to_string_pretty(&value).unwrap_or_default() + "\n"
        };
        let checks = anstream::adapter::strip_str(&shown(&self.checks, None)).to_string();
        add("doctor.txt", cleaner.text(&checks));
        add("doctor.json", as_json(checks_as_json(&self.checks)));
        add(
            "engine.json",
            as_json(json!({ "engine": self.about, "machine": self.machine })),
        );
        if let Some(containers) = &self.containers {
            add("containers.json", as_json(listed(containers)));
        }
        if let Some(log) = &self.log {
            let lines: Vec<String> = log.iter().map(|line| cleaner.line(line)).collect();
            add("proxy.log", lines.join("\n") + "\n");
        }
        for (name, value) in [
            ("status.json", &self.status),
            ("plan.json", &self.plan),
            ("workspace.json", &self.workspace),
        ] {
            if let Some(value) = value {
                add(name, as_json(value.clone()));
            }
        }
        for (key, history) in &self.history {
            add(&format!("history/{key}.json"), as_json(history.clone()));
        }
        for (name, text) in &self.config {
            match cleaner.toml(text) {
                Some(clean) => add(name, clean),
                None => missing.push(format!(
                    "{name}: it is no TOML, so that nobody knows what in it is a value"
                )),
            }
        }
        let about = cleaner.text(&about(&self.system, &missing));
        files.insert(
            0,
            File {
                name: "about.txt".to_owned(),
                text: about,
            },
        );
        files
    }
}

fn about(system: &str, missing: &[String]) -> String {
    let mut text = format!(
        "Made by `cosmos doctor --bundle` of Cosmos {VERSION} (API {API_VERSION}) on {system}.\n\
         Values of environments, build arguments, labels, commands and secrets are taken out,\n\
         and what looks like a secret anywhere else. Look through it before you send it.\n"
    );
    if !missing.is_empty() {
        text.push_str("\nWhat is not here, and why:\n");
    }
    for missing in missing {
        text.push_str("  ");
        text.push_str(missing);
        text.push('\n');
    }
    text
}

/// The containers of ours, as `docker ps` has them. Of their labels only our own are known.
fn listed(containers: &[ListedContainer]) -> Value {
    let shown = |container: &ListedContainer| {
        json!({
            "name": container.name,
            "id": container.id,
            "image": container.image,
            "state": container.state,
            "status": container.status,
            "ports": container.ports,
            "cosmos": container.labels,
        })
    };
    containers.iter().map(shown).collect()
}

/// Asks for all of it.
async fn gather(checks: Vec<Check>, reached: Reached) -> Gathered {
    let mut gathered = Gathered {
        checks,
        system: system(),
        variables: variables_of_process(),
        ..Gathered::default()
    };
    if let Some(token) = &reached.token {
        gathered.variables.push(("token".to_owned(), token.clone()));
    }
    gathered.variables.extend(logins());
    gather_engine(&reached, &mut gathered).await;
    gather_proxy(&reached, &mut gathered).await;
    gather_config(&reached, &mut gathered);
    gathered.about = reached.about;
    gathered.machine = reached.machine;
    gathered
}

async fn gather_engine(reached: &Reached, gathered: &mut Gathered) {
    let (Some(engine), Some(listing)) = (&reached.engine, &reached.listing) else {
        gathered.miss("the containers and the proxy's log", "no engine answers");
        return;
    };
    let ours = listing.containers.iter();
    let ours: Vec<ListedContainer> = ours.filter(|it| it.owner.is_some()).cloned().collect();
    let is_proxy = |container: &&ListedContainer| {
        let owner = container.owner.as_ref();
        owner.is_some_and(|owner| owner.kind == Kind::Proxy)
    };
    // What the proxy was told is no secret, and is in everything that it says.
    let others = ours.iter().filter(|container| !is_proxy(container));
    let ids = others.map(|container| container.id.clone()).collect();
    match in_time(engine.environments(ids)).await {
        Ok(environments) => {
            let pairs = environments.iter().filter_map(|line| line.split_once('='));
            let owned = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
            gathered.variables.extend(owned);
        }
        // Then nobody could take them out of what was said.
        Err(why) => {
            gathered.miss("the containers and the proxy's log", why);
            return;
        }
    }
    match ours.iter().find(is_proxy) {
        Some(proxy) => match in_time(engine.container_logs_tail(&proxy.id, LOG_LINES)).await {
            Ok(lines) => gathered.log = Some(lines),
            Err(why) => gathered.miss("the proxy's log", why),
        },
        None => gathered.miss("the proxy's log", "there is no proxy"),
    }
    gathered.containers = Some(ours);
}

async fn gather_proxy(reached: &Reached, gathered: &mut Gathered) {
    let (Some(client), Some(containers)) = (&reached.client, &reached.containers) else {
        gathered.miss("status, plan and history", "the proxy does not answer");
        return;
    };
    gathered.status = serde_json::to_value(containers).ok();
    for workspace in &containers.workspaces {
        let key = &workspace.workspace;
        let path = format!(
            "/workspaces/{}/history?limit={HISTORY_ENTRIES}",
            encoded(key)
        );
        match in_time(client.get::<History>(&path)).await {
            Ok(history) => {
                let history = serde_json::to_value(history).unwrap_or_default();
                gathered.history.insert(key.clone(), history);
            }
            Err(why) => gathered.miss(&format!("the history of {key}"), why),
        }
    }
    let here = reached.loaded.as_ref();
    let here = here.map(|loaded| loaded.workspace.identity.key());
    let is_up = |key: &String| containers.workspaces.iter().any(|it| it.workspace == *key);
    let Some(key) = here.filter(is_up) else {
        gathered.miss("the plan", "the workspace here is not up");
        return;
    };
    let path = format!("/workspaces/{}/plan", encoded(&key));
    match in_time(client.get::<PlanReport>(&path)).await {
        Ok(plan) => gathered.plan = serde_json::to_value(plan).ok(),
        Err(why) => gathered.miss("the plan", why),
    }
}

fn gather_config(reached: &Reached, gathered: &mut Gathered) {
    let Some(file) = &reached.config_file else {
        gathered.miss("the config", "there is no cosmos.toml here or above");
        return;
    };
    let local = file.with_file_name(LOCAL_FILE_NAME);
    for file in [file, &local] {
        let name = file.file_name().unwrap_or(file.as_os_str());
        let name = name.to_string_lossy().into_owned();
        match fs::read_to_string(file) {
            Ok(text) => gathered.config.push((name, text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && *file == local => {}
            Err(error) => gathered.miss(&name, error),
        }
    }
    gathered.config.dedup();
    let Some(loaded) = &reached.loaded else {
        gathered.miss(
            "the resolved config",
            "it is not valid: `cosmos check` says why",
        );
        return;
    };
    let workspace = &loaded.workspace;
    let services = workspace.services.values();
    let services = services.map(|service| &service.container);
    let commands = workspace.commands.values();
    let commands = commands.filter_map(|command| match &command.kind {
        CommandKind::Container(container) => Some(&**container),
        CommandKind::Exec { .. } => None,
    });
    for container in services.chain(commands) {
        gathered.variables.extend(variables_of(container));
    }
    let used = loaded.variables().iter();
    let used = used.map(|(name, value)| (name.clone(), value.clone()));
    gathered.variables.extend(used);
    gathered.workspace = Some(loaded.shown());
}

impl Gathered {
    fn miss(&mut self, what: &str, why: impl fmt::Display) {
        self.missing.push(format!("{what}: {why}"));
    }
}

async fn in_time<T, E: fmt::Display>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(PATIENCE, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    }
}

/// The system, without the name of this machine.
fn system() -> String {
    let name = rustix::system::uname();
    [name.sysname(), name.release(), name.machine()]
        .map(|part| part.to_string_lossy())
        .join(" ")
}

/// What a container is given that may be secret.
fn variables_of(container: &Container) -> Vec<(String, String)> {
    let mut variables: Vec<(String, String)> = container
        .env
        .iter()
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    if let Image::Built { build, .. } = &container.image {
        let args = build.args.iter();
        variables.extend(args.map(|(name, value)| (name.clone(), value.clone())));
    }
    variables
}

/// Our own environment: only what is called a secret, the rest is in everything.
fn variables_of_process() -> Vec<(String, String)> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| is_secret(name))
        .collect()
}

/// What opens registries, as `docker login` keeps it.
fn logins() -> Vec<(String, String)> {
    let text = credentials::config().and_then(|file| fs::read(file).ok());
    let config: Value = serde_json::from_slice(&text.unwrap_or_default()).unwrap_or_default();
    let mut secrets = Vec::new();
    for login in config["auths"]
        .as_object()
        .into_iter()
        .flat_map(|it| it.values())
    {
        for (key, value) in login.as_object().into_iter().flatten() {
            let Some(value) = value.as_str() else {
                continue;
            };
            if matches!(key.as_str(), "username" | "email") {
                continue;
            }
            if key == "auth" {
                let decoded = STANDARD.decode(value).unwrap_or_default();
                let decoded = String::from_utf8_lossy(&decoded).into_owned();
                let password = decoded.split_once(':').map(|(_, password)| password);
                secrets.extend(password.map(str::to_owned));
            }
            secrets.push(value.to_owned());
        }
    }
    let called = |secret| ("password".to_owned(), secret);
    secrets.into_iter().map(called).collect()
}

#[cfg(test)]
mod tests {
    use std::{io::Read as _, os::unix::fs::PermissionsExt as _};

    use super::*;
    use crate::cli::doctor::judge::State;

    /// What is in no file of a bundle: one for each place that a secret can be in.
    const CANARIES: [&str; 14] = [
        "canary-env-1",
        "canary-arg-2",
        "canary-url-3",
        "canary-login-4",
        "canary-bearer-5",
        "canary-secret-6",
        "canary-comment-7",
        "canary-label-8",
        "canary-dotenv-9",
        "canary-token-10",
        "canary-history-11",
        "canary-command-12",
        "canary-hint-13",
        "canary-query-14",
    ];

    fn full_of_canaries() -> Gathered {
        let config = r#"
# POSTGRES_PASSWORD = "canary-comment-7"
[images.web]
build = { context = ".", args = { NPM = "canary-arg-2" } } # canary-comment-7
[services.web]
image = "web"
command = "serve --dsn postgres://anna:canary-url-3@db/"
env = { A = "canary-env-1" }
labels = { auth = "canary-label-8" }
[routes.llm]
upstream = "https://anna:canary-url-3@host/"
[secrets.stripe_key]
command = ["print", "canary-secret-6"]
"#;
        let workspace = json!({
            "services": { "web": { "container": {
                "env": { "A": "canary-env-1" },
                "command": ["serve", "canary-command-12"],
                "labels": { "auth": "canary-label-8" },
                "image": { "built": { "build": { "args": { "NPM": "canary-arg-2" } } } },
                "hostname": "canary-dotenv-9",
            } } },
            "routes": { "llm": { "upstream": "https://anna:canary-url-3@host/" } },
            "secrets": ["canary-secret-6"],
        });
        let history = json!({ "entries": [{ "steps": [{ "problem": { "output": [
            "Authorization: Bearer canary-bearer-5",
            "connected to postgres://anna:canary-url-3@db/ as canary-env-1",
            "password=canary-history-11",
        ] } }] }] });
        let variables = [
            ("A", "canary-env-1"),
            ("NPM", "canary-arg-2"),
            ("DSN", "postgres://anna:canary-url-3@db/"),
            ("password", "canary-login-4"),
            ("HOST", "canary-dotenv-9"),
            ("token", "canary-token-10"),
        ];
        Gathered {
            checks: vec![Check {
                name: "engine",
                state: State::Failed,
                found: "nothing answers at tcp://anna:canary-url-3@host:2375".to_owned(),
                hint: Some("`docker -H tcp://anna:canary-hint-13@host version`".to_owned()),
            }],
            system: "Linux".to_owned(),
            log: Some(vec![
                "Authorization: Bearer canary-bearer-5".to_owned(),
                r#"{"path":"/?api_key=canary-query-14","who":"canary-login-4"}"#.to_owned(),
                "the token is canary-token-10".to_owned(),
            ]),
            status: Some(json!({ "note": "canary-env-1" })),
            plan: Some(json!({ "steps": [{ "reason": "canary-arg-2" }] })),
            history: BTreeMap::from([("shop".to_owned(), history)]),
            workspace: Some(workspace),
            config: vec![("cosmos.toml".to_owned(), config.to_owned())],
            missing: vec!["the plan: tcp://anna:canary-url-3@host says no".to_owned()],
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
            ..Gathered::default()
        }
    }

    #[test]
    fn no_file_of_a_bundle_has_a_secret() {
        let gathered = full_of_canaries();
        let whole = format!(
            "{:?}{:?}{:?}{:?}",
            gathered.config, gathered.workspace, gathered.log, gathered.variables
        ) + &format!("{:?}{:?}", gathered.history, gathered.checks);
        for canary in CANARIES {
            assert!(whole.contains(canary), "{canary} sits nowhere");
        }
        for file in gathered.files() {
            for canary in CANARIES {
                assert!(
                    !file.text.contains(canary),
                    "{canary} is in {}:\n{}",
                    file.name,
                    file.text
                );
            }
        }
    }

    #[test]
    fn what_is_no_secret_stays_readable() {
        let files = full_of_canaries().files();
        let text = |name: &str| &files.iter().find(|file| file.name == name).unwrap().text;
        assert!(text("cosmos.toml").contains("[services.web]\nimage = \"web\""));
        assert!(text("workspace.json").contains("\"NPM\": \"<removed>\""));
        assert!(text("doctor.txt").contains("nothing answers at tcp://"));
        assert!(text("proxy.log").contains("Authorization: "));
        assert!(text("history/shop.json").contains("connected to <removed> as <removed>"));
    }

    #[test]
    fn what_could_not_be_had_is_said() {
        let files = Gathered {
            missing: vec!["the proxy's log: no engine answers".to_owned()],
            config: vec![("cosmos.toml".to_owned(), "[services".to_owned())],
            ..Gathered::default()
        }
        .files();
        let about = &files[0];
        assert_eq!(about.name, "about.txt");
        assert!(
            about
                .text
                .contains("  the proxy's log: no engine answers\n")
        );
        assert!(
            about.text.contains("  cosmos.toml: it is no TOML"),
            "{}",
            about.text
        );
        assert!(!files.iter().any(|file| file.name == "cosmos.toml"));
    }

    #[test]
    fn a_bundle_is_a_folder_of_files_in_a_gzipped_tar() {
        let files = full_of_canaries().files();
        let packed = packed(&files).unwrap();
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed.as_slice()));
        let mut seen = Vec::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            assert_eq!(entry.header().mode().unwrap(), 0o600);
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            let name = entry.path().unwrap().display().to_string();
            seen.push((name, text));
        }
        let expected = files.into_iter();
        let expected = expected.map(|file| (format!("{FOLDER}/{}", file.name), file.text));
        assert_eq!(seen, expected.collect::<Vec<_>>());
    }

    #[test]
    fn a_file_that_is_there_is_never_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("bundle.tar.gz");
        refuse_to_overwrite(&file).unwrap();
        save(&file, b"first").unwrap();
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(refuse_to_overwrite(&file).is_err());
        assert!(save(&file, b"second").is_err());
        assert_eq!(fs::read(&file).unwrap(), b"first");
        // Nor what a link leads to that is not there yet.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
        assert!(refuse_to_overwrite(&link).is_err() && save(&link, b"third").is_err());
    }
}
