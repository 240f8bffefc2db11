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

use serde_json::Value;

use super::workspace::{WEB, idle, support::Place};
use crate::support::{Cosmos, Output, Running, docker, is_running};

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
