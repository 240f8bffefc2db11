//! `cosmos doctor`: what it sees of a machine on which everything works, and of one on
//! which something does not.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::Path,
    process, thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::workspace::{WEB, idle, support::Place};
use crate::support::{Cosmos, Output, Running, docker, is_running, output_of, until};

/// It asks nobody for longer than three seconds in all. The rest is for a machine that
/// builds something else.
const AT_MOST: Duration = Duration::from_secs(10);

/// The checks that only an engine can answer.
const OF_THE_ENGINE: [&str; 9] = [
    "api",
    "proxy",
    "version",
    "address",
    "token",
    "leftovers",
    "disk",
    "clock",
    "ranges",
];

/// One check of `doctor --json`.
#[track_caller]
fn check<'a>(said: &'a Value, name: &str) -> &'a Value {
    let checks = said["checks"].as_array().unwrap();
    let found = checks.iter().find(|check| check["name"] == name);
    found.unwrap_or_else(|| panic!("no {name} in {said:#}"))
}

/// A check is so, and says this.
#[track_caller]
fn is(said: &Value, name: &str, state: &str, words: &[&str]) {
    let check = check(said, name);
    assert_eq!(check["state"], state, "{check:#}");
    for word in words {
        assert!(check.to_string().contains(word), "no {word:?} in {check:#}");
    }
}

fn json_of(output: &Output) -> Value {
    serde_json::from_str(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output}"))
}

#[test]
fn everything_is_fine_where_everything_works() {
    let place = Place::up(&format!("{WEB}mounts = [\"data:/data\"]\n"));
    let said = place.cosmos(&["doctor", "--json"]).succeeded().json();
    assert_eq!(said["schema"], 1);
    for name in [
        "engine",
        "socket",
        "proxy",
        "version",
        "token",
        "leftovers",
        "clock",
        "ranges",
        "config",
        "terminal",
    ] {
        is(&said, name, "ok", &[]);
    }
    is(&said, "api", "ok", &["1.41 or newer"]);
    is(
        &said,
        "address",
        "ok",
        &[&format!("127.0.0.1:{}", place.port)],
    );
    is(&said, "port", "ok", &["leads to the proxy"]);
    // What the machine under the tests has little of is its own affair.
    assert_ne!(check(&said, "disk")["state"], "skipped");
    assert_ne!(check(&said, "names")["state"], "skipped");
}

#[test]
fn it_makes_nothing_and_starts_nothing() {
    let place = Place::new(&idle("web", ""));
    let said = place.cosmos(&["doctor", "--json"]).succeeded().json();
    is(&said, "proxy", "ok", &["there is none yet"]);
    let ours = "label=dev.cosmos.installation=";
    let ours = format!("{ours}{}", place.proxy().trim_end_matches("-proxy"));
    let networks = docker(["network", "ls", "--filter", &ours, "-q"]);
    let containers = docker(["ps", "-a", "--filter", &ours, "-q"]);
    let volumes = docker(["volume", "ls", "--filter", &ours, "-q"]);
    assert_eq!(networks + &containers + &volumes, "");

    let _ = place.cosmos(&["up"]).succeeded();
    docker(["stop", &place.proxy()]);
    let said = place.cosmos(&["doctor", "--json"]).succeeded().json();
    is(&said, "proxy", "warning", &["does not run"]);
    assert!(!is_running(&place.proxy()));
}

/// Somebody who has a port, which no other test has.
fn holder() -> (TcpListener, u16) {
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    (holder, port)
}

/// `doctor` of a Cosmos whose proxy would have this port.
fn with_port<const N: usize>(cosmos: &Cosmos, port: u16, words: [&str; N]) -> Output {
    let mut command = cosmos.cosmos(words);
    Running::new(command.env("COSMOS_PROXY_PORT", port.to_string())).output()
}

#[test]
fn people_read_a_line_for_each_check_and_what_mends_it() {
    let (_holder, port) = holder();
    let output = with_port(&Cosmos::new(), port, ["doctor"]);
    assert_eq!(output.code, Some(1), "{output}");
    for text in [
        "ok       engine     Docker",
        "\nfailed   port       ",
        "\n         hint: free the port",
        "\n\n1 failed",
    ] {
        assert!(output.stdout.contains(text), "no {text:?} in {output}");
    }
}

#[test]
fn a_process_that_holds_the_port_is_named() {
    let (_holder, port) = holder();
    let output = with_port(&Cosmos::new(), port, ["doctor", "--json"]);
    assert_eq!(output.code, Some(1), "{output}");
    let process = format!("{port} is held by process {} (`it-", process::id());
    is(
        &json_of(&output),
        "port",
        "failed",
        &[&process, "`COSMOS_PROXY_PORT="],
    );
}

#[test]
fn a_container_that_holds_the_port_is_named() {
    let cosmos = Cosmos::new();
    let holder = cosmos.name("holder");
    docker([
        "run",
        "-d",
        "--init",
        "--name",
        &holder,
        "-p",
        "127.0.0.1::80",
        "busybox:latest",
        "tail",
        "-f",
        "/dev/null",
    ]);
    let address = docker(["port", &holder, "80/tcp"]);
    let port = address.rsplit(':').next().unwrap().parse().unwrap();
    let output = with_port(&cosmos, port, ["doctor", "--json"]);
    assert_eq!(output.code, Some(1), "{output}");
    let named = format!("{port} is held by the container `{holder}`, and the proxy");
    is(&json_of(&output), "port", "failed", &[&named]);
}

#[test]
fn without_an_engine_every_other_check_is_there_all_the_same() {
    let cosmos = Cosmos::new();
    let (given_up, port) = holder();
    drop(given_up);
    let mut command = cosmos.cosmos(["doctor", "--json"]);
    command
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .env("COSMOS_PROXY_PORT", port.to_string());
    let output = Running::new(&mut command).output();
    assert_eq!(output.code, Some(1), "{output}");
    let said = json_of(&output);
    is(
        &said,
        "engine",
        "failed",
        &["unix:///nowhere/docker.sock", "DOCKER_HOST"],
    );
    assert!(check(&said, "engine")["hint"].is_string());
    for name in OF_THE_ENGINE {
        is(&said, name, "skipped", &["engine"]);
    }
    for name in ["port", "terminal"] {
        is(&said, name, "ok", &[]);
    }
    is(&said, "config", "skipped", &["no cosmos.toml"]);
}

#[test]
fn who_may_not_use_the_socket_is_told_what_gives_the_right() {
    let cosmos = Cosmos::new();
    let socket = cosmos.project().join("docker.sock");
    let _engine = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    // Somebody else can look at the socket, and no more.
    for folder in [cosmos.home(), &cosmos.project()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = cosmos.project().join("cosmos");
    // Not by `fs::copy`: another test's child can inherit the open file, which then cannot be run.
    let mut copy = cosmos.command("cp");
    copy.arg(env!("CARGO_BIN_EXE_cosmos")).arg(&program);
    let _ = Running::new(&mut copy).output().success();
    let mut command = cosmos.command("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["doctor", "--json"])
        .env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let output = Running::new(&mut command).output();
    assert_eq!(output.code, Some(1), "{output}");
    let said = json_of(&output);
    is(
        &said,
        "socket",
        "failed",
        &["may not use", "sudo usermod -aG docker $USER"],
    );
    is(&said, "engine", "skipped", &["may not use its socket"]);
}

/// A socket whose calls are taken, and answered by this.
fn engine(socket: &Path, answer: fn(&mut UnixStream)) {
    let listener = UnixListener::bind(socket).unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(&mut stream.unwrap()));
        }
    });
}

/// Reads whatever comes, and says nothing.
fn silence(stream: &mut UnixStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

/// Says that it is there, and then nothing.
fn polite_once(stream: &mut UnixStream) {
    let mut asked = [0; 4096];
    while let Ok(length @ 1..) = stream.read(&mut asked) {
        if asked[..length].starts_with(b"GET /_ping")
            || asked[..length].starts_with(b"GET /v1.41/_ping")
        {
            let pong = b"HTTP/1.1 200 OK\r\nApi-Version: 1.41\r\nContent-Length: 2\r\n\r\nOK";
            stream.write_all(pong).unwrap();
        }
    }
}

fn asked_of(answer: fn(&mut UnixStream)) -> (Value, Duration) {
    let cosmos = Cosmos::new();
    let socket = cosmos.project().join("docker.sock");
    engine(&socket, answer);
    let mut command = cosmos.cosmos(["doctor", "--json"]);
    let began = Instant::now();
    let output =
        Running::new(command.env("DOCKER_HOST", format!("unix://{}", socket.display()))).output();
    assert_eq!(output.code, Some(1), "{output}");
    (json_of(&output), began.elapsed())
}

#[test]
fn an_engine_that_hangs_is_a_finding_and_not_waited_for() {
    let (said, took) = asked_of(silence);
    is(&said, "engine", "failed", &["did not answer within 2.0 s"]);
    for name in OF_THE_ENGINE {
        is(&said, name, "skipped", &[]);
    }
    assert!(took < AT_MOST, "{took:?}");
}

#[test]
fn an_engine_that_says_one_word_and_no_other_is_not_waited_for_either() {
    let (said, took) = asked_of(polite_once);
    is(&said, "engine", "ok", &["an engine at"]);
    for name in ["api", "proxy", "disk", "clock", "ranges"] {
        is(&said, name, "failed", &["did not say within 2.0 s"]);
    }
    assert!(took < AT_MOST, "{took:?}");
}

#[test]
fn a_workspace_whose_folder_is_gone_and_containers_that_nobody_knows_are_named() {
    let place = Place::up(&idle("web", ""));
    let config = place.folder.join("cosmos.toml");
    let text = fs::read_to_string(&config).unwrap();
    fs::remove_file(&config).unwrap();
    let gone = |words: &[&str]| {
        let said = place.cosmos_in(place.elsewhere(), &["doctor", "--json"]);
        is(&said.succeeded().json(), "leftovers", "warning", words);
    };
    gone(&[&place.name, "which has no cosmos.toml"]);
    let moved = place.elsewhere().join("moved");
    fs::rename(&place.folder, &moved).unwrap();
    gone(&["which is not there any more"]);
    fs::rename(&moved, &place.folder).unwrap();
    fs::write(&config, text).unwrap();

    docker(["rm", "-f", &place.proxy()]);
    let state = place.proxy().replace("-proxy", "-state");
    docker(["volume", "rm", &state]);
    let _ = place
        .cosmos(&["start", "--rm", "busybox:latest", "true"])
        .succeeded();
    let said = place.cosmos(&["doctor", "--json"]).succeeded().json();
    let folder = place.folder.display().to_string();
    is(
        &said,
        "leftovers",
        "warning",
        &[
            &place.container("web"),
            &format!("cd {folder} && cosmos up"),
        ],
    );
}

#[test]
fn a_network_whose_addresses_lead_elsewhere_is_named_with_the_way() {
    let place = Place::up(&idle("web", ""));
    let subnet = docker([
        "network",
        "inspect",
        "--format",
        "{{(index .IPAM.Config 0).Subnet}}",
        &place.network(),
    ]);
    // As a VPN has it, and so that nothing goes there: the network's own way comes first.
    let route = |verb: &str| {
        let mut ip = process::Command::new("ip");
        ip.args(["route", verb, &subnet, "dev", "lo", "metric", "4711"]);
        assert!(ip.status().unwrap().success(), "{ip:?}");
    };
    route("add");
    let said = place.cosmos(&["doctor", "--json"]);
    route("del");
    is(
        &said.succeeded().json(),
        "ranges",
        "warning",
        &[&place.network(), "addresses that lo leads to", &subnet],
    );
}

#[test]
fn no_file_of_a_bundle_has_a_secret() {
    let place = Place::new(
        r#"
# POSTGRES_PASSWORD = "canary-comment-1"
[images.app]
build = { context = ".", args = { NPM = "canary-arg-2" } } # canary-comment-1

[services.web]
image = "app"
init = true
command = ["sh", "-c", "sleep 1000 # ${FROM_DOTENV} postgres://anna:canary-url-3@db/"]
env = { A = "canary-env-4", DSN = "postgres://anna:canary-url-3@db/" }
labels = { auth = "canary-label-5" }
secrets = ["stripe_key"]
route = 80

[services.late]
image = "busybox:latest"
depends_on = { broken = "completed" }

[commands.broken]
image = "busybox:latest"
run = ["sh", "-c", "echo Authorization: Bearer canary-bearer-6; echo $$A; exit 1"]
env = { A = "canary-env-7" }

[secrets.stripe_key]
env = "STRIPE"
"#,
    )
    .with("STRIPE", "canary-secret-8");
    place.write("Dockerfile", "FROM busybox:latest\nARG NPM\n");
    place.write(".env", "FROM_DOTENV=canary-dotenv-9\n");
    place.write(
        "cosmos.local.toml",
        "[services.web.env]\nB = \"canary-local-10\"\n",
    );
    let docker_config = json!({ "auths": { "registry.invalid": {
        "auth": STANDARD.encode("anna:canary-login-11"),
    } } });
    place.write("../home/.docker/config.json", &docker_config.to_string());
    let _ = place.cosmos(&["up"]).ended(1);
    let leaky = "/?x=Authorization:%20Bearer%20canary-bearer-12&url=http://a:canary-url-13@b/";
    let _ = place.get("web", leaky);
    until("the request is logged", || {
        output_of(&place.proxy()).contains("canary-bearer-12")
    });
    let history = place.cosmos(&["history", "--json"]).succeeded().stdout;
    assert!(history.contains("canary-bearer-6") && history.contains("canary-env-7"));

    let said = place.cosmos(&["doctor", "--bundle"]);
    let file = place.folder.join("cosmos-doctor.tar.gz");
    assert!(
        said.stdout.contains("written: cosmos-doctor.tar.gz"),
        "{said}"
    );
    assert!(said.stdout.contains("Look through it"), "{said}");
    let mode = fs::metadata(&file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let files = unpacked(&file);
    for name in [
        "about.txt",
        "doctor.txt",
        "doctor.json",
        "engine.json",
        "containers.json",
        "proxy.log",
        "status.json",
        "plan.json",
        "workspace.json",
        &format!("history/{}.json", place.name),
        "cosmos.toml",
        "cosmos.local.toml",
    ] {
        let name = format!("cosmos-doctor/{name}");
        let text = files.iter().find(|(have, _)| *have == name);
        let (_, text) = text.unwrap_or_else(|| panic!("no {name} in {said}"));
        assert!(!text.is_empty(), "{name} is empty");
        assert!(
            said.stdout.contains(&name),
            "{name} is not listed in {said}"
        );
    }
    for (name, text) in &files {
        assert!(!text.contains("canary"), "a secret is in {name}:\n{text}");
        let token = place.token();
        assert!(!text.contains(&token), "the token is in {name}:\n{text}");
    }

    let _ = place
        .cosmos(&["doctor", "--bundle"])
        .ended(2)
        .told(&["is there already"]);
    let elsewhere = place.elsewhere().join("other.tar.gz");
    let said = place.cosmos(&["doctor", "--json", "--bundle", elsewhere.to_str().unwrap()]);
    assert_eq!(said.json()["schema"], 1);
    assert!(said.stderr.contains("written: "), "{said}");
}

/// The names and texts of a bundle's files.
fn unpacked(file: &Path) -> Vec<(String, String)> {
    let packed = fs::File::open(file).unwrap();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let entries = archive.entries().unwrap();
    let read = |entry: std::io::Result<tar::Entry<'_, _>>| {
        let mut entry = entry.unwrap();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (entry.path().unwrap().display().to_string(), text)
    };
    entries.map(read).collect()
}

#[test]
fn a_bundle_is_written_without_an_engine_and_says_what_is_not_in_it() {
    let cosmos = Cosmos::new();
    let mut command = cosmos.cosmos(["doctor", "--bundle", "b.tar.gz"]);
    let output = Running::new(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock")).output();
    assert_eq!(output.code, Some(1), "{output}");
    let files = unpacked(&cosmos.project().join("b.tar.gz"));
    let (name, about) = &files[0];
    assert_eq!(name, "cosmos-doctor/about.txt");
    assert!(
        about.contains("the proxy's log: no engine answers"),
        "{about}"
    );
}
