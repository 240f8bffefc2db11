//! What a change of each key does to a container that is there, on a real engine:
//! all rows of the table in one place, by one `up`.

use std::collections::BTreeMap;

use cosmos::plan::{CHANGES, Effect};
use serde_json::Value;

use super::inspected;
use crate::engine::workspace::support::{Place, output};

/// A key of a row, and the lines of a service before and after.
struct Sample {
    key: &'static str,
    effect: Effect,
    before: &'static str,
    after: &'static str,
}

const fn sample(
    key: &'static str,
    effect: Effect,
    before: &'static str,
    after: &'static str,
) -> Sample {
    Sample {
        key,
        effect,
        before,
        after,
    }
}

/// Whatever says nothing of these has them so.
const USUAL: [(&str, &str); 3] = [
    ("image", "\"busybox:latest\""),
    ("command", "[\"sleep\", \"1000\"]"),
    ("stop_grace", "\"0s\""),
];

const SAMPLES: &[Sample] = &[
    sample("image", Effect::Replace, "", "image = \"alpine:latest\""),
    sample(
        "entrypoint",
        Effect::Replace,
        "",
        "entrypoint = [\"sh\", \"-c\", \"sleep 1000\"]",
    ),
    sample(
        "command",
        Effect::Replace,
        "",
        "command = [\"sleep\", \"2000\"]",
    ),
    sample(
        "env",
        Effect::Replace,
        "env = { A = \"a\" }",
        "env = { A = \"b\" }",
    ),
    sample("env_file", Effect::Replace, "", "env_file = \"an.env\""),
    sample("mounts", Effect::Replace, "", "mounts = [\"data:/data\"]"),
    sample("ports", Effect::Replace, "", "ports = [80]"),
    sample("secrets", Effect::Replace, "", "secrets = [\"key\"]"),
    // Of these, only the content of the file changes.
    sample(
        "configs",
        Effect::Replace,
        "configs = { \"./app.conf\" = \"/etc/app.conf\" }",
        "configs = { \"./app.conf\" = \"/etc/app.conf\" }",
    ),
    sample(
        "configs",
        Effect::Signal,
        "configs.\"./app.conf\" = { target = \"/etc/app.conf\", reload = \"HUP\" }",
        "configs.\"./app.conf\" = { target = \"/etc/app.conf\", reload = \"HUP\" }",
    ),
    sample(
        "configs",
        Effect::Restart,
        "configs.\"./app.conf\" = { target = \"/etc/app.conf\", reload = \"restart\" }",
        "configs.\"./app.conf\" = { target = \"/etc/app.conf\", reload = \"restart\" }",
    ),
    sample(
        "configs.*.reload",
        Effect::Nothing,
        "configs.\"./still.conf\" = { target = \"/etc/app.conf\", reload = \"HUP\" }",
        "configs.\"./still.conf\" = { target = \"/etc/app.conf\", reload = \"USR1\" }",
    ),
    sample(
        "resources",
        Effect::Update,
        "resources = { cpus = 1.0, memory = \"64MiB\", pids = 50 }",
        "resources = { cpus = 0.5, memory = \"96MiB\", pids = 60 }",
    ),
    sample("networks", Effect::Connect, "", "networks = [\"back\"]"),
    sample("user", Effect::Replace, "", "user = \"1000\""),
    sample("workdir", Effect::Replace, "", "workdir = \"/tmp\""),
    sample("hostname", Effect::Replace, "", "hostname = \"other\""),
    sample("init", Effect::Replace, "", "init = true"),
    sample("tty", Effect::Replace, "", "tty = true"),
    sample("stdin", Effect::Replace, "", "stdin = true"),
    sample("labels", Effect::Replace, "", "labels = { a = \"b\" }"),
    sample(
        "extra_hosts",
        Effect::Replace,
        "",
        "extra_hosts = [\"a:127.0.0.1\"]",
    ),
    sample("dns", Effect::Replace, "", "dns = [\"127.0.0.1\"]"),
    sample("tmpfs", Effect::Replace, "", "tmpfs = [\"/memory\"]"),
    sample("shm_size", Effect::Replace, "", "shm_size = \"32MiB\""),
    sample("read_only", Effect::Replace, "", "read_only = true"),
    sample("cap_add", Effect::Replace, "", "cap_add = [\"NET_ADMIN\"]"),
    sample("cap_drop", Effect::Replace, "", "cap_drop = [\"MKNOD\"]"),
    sample("privileged", Effect::Replace, "", "privileged = true"),
    sample(
        "security_opt",
        Effect::Replace,
        "",
        "security_opt = [\"no-new-privileges\"]",
    ),
    sample(
        "devices",
        Effect::Replace,
        "",
        "devices = [\"/dev/null:/dev/other\"]",
    ),
    sample(
        "ulimits",
        Effect::Replace,
        "",
        "ulimits = { nofile = 1024 }",
    ),
    sample(
        "sysctls",
        Effect::Replace,
        "",
        "sysctls = { \"net.ipv4.ip_unprivileged_port_start\" = \"0\" }",
    ),
    sample(
        "stop_signal",
        Effect::Replace,
        "",
        "stop_signal = \"SIGINT\"",
    ),
    sample(
        "platform",
        Effect::Replace,
        "",
        "platform = \"linux/amd64\"",
    ),
    sample(
        "logging",
        Effect::Replace,
        "",
        "logging = { driver = \"none\" }",
    ),
    sample(
        "health",
        Effect::Nothing,
        "command = [\"sh\", \"-c\", \"echo ready; sleep 1000\"]\nhealth = { log = \"ready\" }",
        "command = [\"sh\", \"-c\", \"echo ready; sleep 1000\"]\nhealth = { log = \"read\" }",
    ),
    sample(
        "health",
        Effect::Replace,
        "",
        "health = { command = [\"true\"], interval = \"200ms\" }",
    ),
    sample("route", Effect::Nothing, "route = 80", "route = 81"),
    sample("replicas", Effect::Nothing, "", "replicas = 2"),
    sample("profiles", Effect::Nothing, "", "profiles = [\"on\"]"),
    sample("depends_on", Effect::Nothing, "", "depends_on = [\"s0\"]"),
    sample("update", Effect::Nothing, "", "update = \"stop-first\""),
    sample("restart", Effect::Nothing, "", "restart = \"on-failure\""),
    sample(
        "watch",
        Effect::Nothing,
        "",
        "watch = [{ path = \"./still.conf\", action = \"restart\" }]",
    ),
    sample(
        "hooks",
        Effect::Nothing,
        "",
        "hooks = { post_start = [[\"true\"]] }",
    ),
    sample("stop_grace", Effect::Nothing, "", "stop_grace = \"1s\""),
];

#[test]
fn every_row_of_the_table_of_changes_is_tried() {
    let untried: Vec<_> = CHANGES
        .iter()
        .filter(|row| {
            let is_it = |it: &Sample| it.key == row.key && it.effect == row.effect;
            !SAMPLES.iter().any(is_it)
        })
        .collect();
    assert!(untried.is_empty(), "{untried:#?}");
    assert_eq!(SAMPLES.len(), CHANGES.len());
}

/// The config, with each sample a service of its own.
fn config(lines: impl Fn(&Sample) -> &'static str) -> String {
    let mut text = "[networks.back]\n[secrets.key]\nfile = \"key\"\n".to_owned();
    for (number, sample) in SAMPLES.iter().enumerate() {
        let said = lines(sample);
        text += &format!("[services.s{number}]\n{said}\n");
        for (key, usual) in USUAL {
            let is_said = said
                .lines()
                .any(|line| line.starts_with(&format!("{key} =")));
            if !is_said {
                text += &format!("{key} = {usual}\n");
            }
        }
    }
    text
}

/// What is compared of a container.
#[derive(Debug, PartialEq, Clone)]
struct Seen {
    id: Value,
    started: Value,
    limits: Vec<Value>,
    networks: Vec<String>,
}

fn seen(place: &Place) -> Vec<Seen> {
    (0..SAMPLES.len())
        .map(|number| {
            let told = inspected("container", &place.container(&format!("s{number}")));
            let limits = ["Memory", "NanoCpus", "PidsLimit"];
            let networks = told["NetworkSettings"]["Networks"].as_object().unwrap();
            Seen {
                id: told["Id"].clone(),
                started: told["State"]["StartedAt"].clone(),
                limits: limits.map(|it| told["HostConfig"][it].clone()).to_vec(),
                networks: networks.keys().cloned().collect(),
            }
        })
        .collect()
}

/// What became of a container.
fn effect(before: &Seen, after: &Seen) -> Effect {
    if before.id != after.id {
        Effect::Replace
    } else if before.started != after.started {
        Effect::Restart
    } else if before.limits != after.limits {
        Effect::Update
    } else if before.networks != after.networks {
        Effect::Connect
    } else {
        Effect::Nothing
    }
}

/// What is planned for a sample, in words.
fn steps(plan: &Value, number: usize) -> String {
    let name = format!("s{number}");
    let steps = plan["steps"].as_array().unwrap().iter();
    let mine = steps.filter(|step| step["subject"]["name"] == name.as_str());
    mine.map(|step| step["action"].to_string()).collect()
}

fn starts_privileged() -> bool {
    let run = ["run", "--rm", "--privileged", "busybox:latest", "true"];
    output("docker", &run).code == 0
}

#[test]
fn a_change_of_each_key_does_what_the_table_says_and_as_the_plan_said() {
    let place = Place::new(&config(|sample| sample.before));
    for (file, text) in [
        ("key", "k"),
        ("an.env", "A=b"),
        ("app.conf", "first"),
        ("still.conf", "s"),
    ] {
        place.write(file, text);
    }
    let up = ["up", "--trust", "--profile", "on"];
    let _ = place.cosmos(&up).succeeded();
    let before = seen(&place);

    place.write("app.conf", "second");
    place.write("cosmos.toml", &config(|sample| sample.after));
    let planned = ["plan", "--json", "--exit-code", "--profile", "on"];
    let plan = place.cosmos(&planned).ended(3).json();
    let is_privileged = |sample: &Sample| sample.key == "privileged";
    let number = SAMPLES.iter().position(is_privileged).unwrap();
    assert!(steps(&plan, number).contains("launch"), "{plan}");
    // An engine that is confined itself cannot start such a one.
    let left_out = |sample: &Sample| is_privileged(sample) && !starts_privileged();
    place.write(
        "cosmos.toml",
        &config(|sample| match left_out(sample) {
            true => sample.before,
            false => sample.after,
        }),
    );
    let plan = place.cosmos(&planned).ended(3).json();
    let done = place
        .cosmos(&[&up[..], &["--progress", "json"]].concat())
        .succeeded();
    let after = seen(&place);

    let wrong: BTreeMap<_, _> = SAMPLES
        .iter()
        .enumerate()
        .filter(|(_, sample)| !left_out(sample))
        .filter_map(|(number, sample)| {
            let did = effect(&before[number], &after[number]);
            // A signal leaves no trace in what the engine tells: see `files`.
            let expected = match sample.effect {
                Effect::Signal => Effect::Nothing,
                effect => effect,
            };
            (did != expected).then_some((sample.key, (did, expected)))
        })
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}\n{done}");

    let events: Vec<Value> = done
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let event = |what: &str| events.iter().find(|event| event["event"] == what).unwrap();
    assert_eq!(plan["steps"], event("plan_made")["steps"]);
    assert_eq!(plan["quiet"], event("declaration_changed")["changes"]);
    // What a container did not notice was told all the same.
    for (number, sample) in SAMPLES.iter().enumerate() {
        let name = format!("s{number}");
        let quiet = plan["quiet"].as_array().unwrap();
        // A profile that is on before and after changes nothing of what is wanted.
        if sample.effect == Effect::Nothing && sample.key != "profiles" {
            assert!(
                quiet.iter().any(|it| it["of"] == name.as_str()),
                "{}",
                sample.key
            );
        }
    }
    let _ = place
        .cosmos(&["plan", "--exit-code", "--profile", "on"])
        .succeeded();
}
