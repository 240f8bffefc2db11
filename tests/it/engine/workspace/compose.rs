//! One file brought up by Compose and, converted, by Cosmos: the containers are
//! equal in `docker inspect`, but for what is listed here and what the conversion lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use serde_json::{Value, json};

use super::support::{Place, docker, free_port, output};

/// What may differ in every container, and why. `*` stands for any end.
const ALWAYS: [(&str, &str); 25] = [
    ("Id", "each container has its own"),
    ("Created", "each has its own"),
    ("Name", "Cosmos names containers WORKSPACE-SERVICE-NUMBER"),
    ("State.Pid", "each has its own"),
    ("State.StartedAt", "each has its own"),
    ("State.FinishedAt", "each has its own"),
    ("State.Health.*", "when it was checked, and how it was then"),
    (
        "Config.Volumes.*",
        "where Compose asks for volumes, too: compared in `Mounts`",
    ),
    ("ResolvConfPath", "a path with the id"),
    ("HostnamePath", "a path with the id"),
    ("HostsPath", "a path with the id"),
    ("LogPath", "a path with the id"),
    ("GraphDriver.*", "a path with an id"),
    (
        "NetworkSettings.*",
        "the network's name, addresses, and the names in it",
    ),
    ("HostConfig.NetworkMode", "the network's name"),
    (
        "Config.Hostname",
        "the beginning of the id, where nothing is said",
    ),
    ("Config.Labels.com.docker.compose.*", "labels of Compose"),
    ("Config.Labels.dev.cosmos.*", "labels of Cosmos"),
    ("HostConfig.RestartPolicy.*", "restarts are Cosmos's"),
    ("HostConfig.DnsSearch", "by which short names are found"),
    ("HostConfig.DnsOptions", "the same"),
    ("HostConfig.MemorySwap", "no swap beyond a memory limit"),
    (
        "HostConfig.Binds",
        "asked for as mounts: compared in `Mounts`",
    ),
    ("HostConfig.Mounts", "the same"),
    (
        "Mounts./run/secrets/*",
        "a secret is put into the container, and not mounted",
    ),
];

/// What may differ in one service, and why.
const OF_ONE: [(&str, &str, &str); 3] = [
    (
        "api",
        "HostConfig.PortBindings.700*",
        "a host port that nobody named is chosen once, and stays through every start",
    ),
    ("built", "Image", "it is built twice, at two times"),
    (
        "built",
        "Config.Image",
        "Cosmos tags what it builds by its content",
    ),
];

/// What may differ where the conversion lists a key of the service.
const LISTED: [(&str, &str); 2] = [
    ("expose", "Config.ExposedPorts.7000/tcp"),
    ("environment.RATIO", "Config.Env.RATIO"),
];

/// The folder with the file and all it refers to.
fn copied_into(place: &Place) {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/compose/engine");
    for file in [
        "compose.yaml",
        "cache.env",
        "token.txt",
        "site/index.html",
        "built/Dockerfile",
    ] {
        place.write(file, &fs::read_to_string(from.join(file)).unwrap());
    }
    let variables = format!(
        "FROM_DOTENV=dotenv\nAPI_PORT={}\nWEB_PORT={}\nCOMPOSE_PROJECT_NAME={}\n",
        free_port(),
        free_port(),
        project(place)
    );
    place.write(".env", &variables);
    fs::remove_file(place.folder.join("cosmos.toml")).unwrap();
}

fn project(place: &Place) -> String {
    format!("{}compose", place.name)
}

/// Compose, and what it made goes with it.
struct Compose<'a>(&'a Place);

impl Compose<'_> {
    fn run(&self, arguments: &[&str]) {
        let output = Command::new("docker-compose")
            .args(["-p", &project(self.0)])
            .args(arguments)
            .current_dir(&self.0.folder)
            .output()
            .expect("docker-compose is a package of Debian's");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker-compose: {stderr}");
    }

    /// What the engine says of its containers, by service and number.
    fn containers(&self) -> BTreeMap<String, Value> {
        let filter = format!("label=com.docker.compose.project={}", project(self.0));
        by_service(
            &filter,
            "com.docker.compose.service",
            "com.docker.compose.container-number",
        )
    }
}

impl Drop for Compose<'_> {
    fn drop(&mut self) {
        let down = [
            "down",
            "-v",
            "-t",
            "0",
            "--rmi",
            "local",
            "--remove-orphans",
        ];
        let _ = Command::new("docker-compose")
            .args(["-p", &project(self.0)])
            .args(down)
            .current_dir(&self.0.folder)
            .output();
    }
}

/// The image that Cosmos builds, which nobody else removes.
struct BuiltImage(String);

impl Drop for BuiltImage {
    fn drop(&mut self) {
        let tags = output("docker", &["images", "-q", &self.0]).stdout;
        for image in tags.split_whitespace() {
            let tagged = output(
                "docker",
                &["inspect", "-f", "{{join .RepoTags \" \"}}", image],
            )
            .stdout;
            let ours = tagged
                .split_whitespace()
                .filter(|tag| tag.starts_with(&self.0));
            for tag in ours {
                let _ = output("docker", &["rmi", tag]);
            }
        }
    }
}

fn by_service(filter: &str, service: &str, number: &str) -> BTreeMap<String, Value> {
    let ids = docker(&["ps", "-aq", "--filter", filter]);
    let mut words = vec!["inspect"];
    words.extend(ids.split_whitespace());
    let Ok(Value::Array(containers)) = serde_json::from_str(&docker(&words)) else {
        panic!("no list");
    };
    let named = containers.into_iter().map(|container| {
        let label = |name: &str| {
            container["Config"]["Labels"][name]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        (format!("{} {}", label(service), label(number)), container)
    });
    named.collect()
}

/// Every value with its path, forms that mean the same made the same.
fn flat(container: &Value, place: &Place) -> BTreeMap<String, String> {
    let mut container = container.clone();
    same_health(&mut container["Config"]["Healthcheck"]);
    same_ports(&mut container["HostConfig"]["PortBindings"]);
    same_mounts(&mut container["Mounts"], place);
    by_key(&mut container["Config"]["Env"], |variable| {
        let (name, value) = variable.as_str()?.split_once('=')?;
        Some((name.to_owned(), json!(value)))
    });
    by_key(&mut container["Mounts"], |mount| {
        Some((mount["Destination"].as_str()?.to_owned(), mount.clone()))
    });
    for set in ["ExposedPorts", "Volumes"] {
        let entries = container["Config"][set]
            .as_object_mut()
            .into_iter()
            .flatten();
        entries.for_each(|(_, value)| *value = json!(true));
    }
    // A check that runs just now.
    container["ExecIDs"] = Value::Null;
    // Cosmos drops it unless it is added: with it, a container could pass for another.
    if let Some(dropped) = container["HostConfig"]["CapDrop"].as_array_mut() {
        dropped.retain(|capability| capability != "NET_RAW");
    }
    // The engine's own, where nothing is said.
    let timeout = &mut container["Config"]["StopTimeout"];
    if timeout.is_null() {
        *timeout = json!(10);
    }
    let mut all = BTreeMap::new();
    put(String::new(), &container, &mut all);
    all
}

fn put(path: String, value: &Value, all: &mut BTreeMap<String, String>) {
    let is_nothing = match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    };
    match value {
        // What is not said can be said in several ways.
        _ if is_nothing => {}
        Value::Object(entries) => {
            for (key, value) in entries {
                let dot = if path.is_empty() { "" } else { "." };
                put(format!("{path}{dot}{key}"), value, all);
            }
        }
        value => {
            all.insert(path, value.to_string());
        }
    }
}

fn same_health(check: &mut Value) {
    if let Some(test) = check["Test"].as_array()
        && test.first() == Some(&json!("CMD-SHELL"))
    {
        // What the engine does with it.
        check["Test"] = json!(["CMD", "/bin/sh", "-c", test[1]]);
    }
    if check.is_object() {
        for (key, default) in [
            ("Interval", 30_000_000_000_u64),
            ("Timeout", 30_000_000_000),
            ("Retries", 3),
        ] {
            if check[key].as_u64().unwrap_or_default() == 0 {
                check[key] = json!(default);
            }
        }
    }
}

fn same_ports(bindings: &mut Value) {
    let entries = bindings.as_object_mut().into_iter().flatten();
    for binding in entries
        .filter_map(|(_, bindings)| bindings.as_array_mut())
        .flatten()
    {
        if binding["HostIp"] == "" {
            binding["HostIp"] = json!("0.0.0.0");
        }
    }
}

/// Turns a list into a table, so that its items are compared one by one.
fn by_key(list: &mut Value, key: impl Fn(&Value) -> Option<(String, Value)>) {
    let items = list.as_array().into_iter().flatten();
    *list = Value::Object(items.filter_map(key).collect());
}

/// Volumes by the name that the file gives them.
fn same_mounts(mounts: &mut Value, place: &Place) {
    let Some(mounts) = mounts.as_array_mut() else {
        return;
    };
    for mount in mounts.iter_mut() {
        let name = mount["Name"].as_str().unwrap_or_default().to_owned();
        let is_anonymous = name.len() == 64;
        let own = name
            .trim_start_matches(&project(place))
            .trim_start_matches(&place.name)
            .trim_start_matches(['_', '-']);
        if !name.is_empty() {
            mount["Name"] = json!(if is_anonymous { "anonymous" } else { own });
            mount["Source"] = Value::Null;
        }
        // `z`, `rw`: as it was written. Whether it may be written is in RW.
        mount["Mode"] = Value::Null;
    }
}

fn is_like(path: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => path.starts_with(beginning),
        None => path == pattern,
    }
}

#[test]
fn a_converted_file_makes_the_containers_that_compose_made() {
    // Removed after the containers of the place.
    let _image;
    let place = Place::new("");
    _image = BuiltImage(format!("{}-built", place.name));
    copied_into(&place);

    let theirs = {
        let compose = Compose(&place);
        compose.run(&["up", "-d"]);
        compose.containers()
    };
    let said = place
        .cosmos(&["init", "--from", "compose.yaml", "--json"])
        .succeeded();
    let report = said.json();
    let _ = place.cosmos(&["check"]).succeeded();
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    let workspace = format!("label=dev.cosmos.workspace={}", place.name);
    let ours = by_service(&workspace, "dev.cosmos.service", "dev.cosmos.replica");

    let names =
        |containers: &BTreeMap<String, Value>| containers.keys().cloned().collect::<BTreeSet<_>>();
    assert_eq!(names(&theirs), names(&ours));
    assert!(theirs.len() > 12, "{:?}", names(&theirs));
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for (name, theirs) in &theirs {
        let service = name.split(' ').next().unwrap();
        let expected = expected(&report, service);
        let (theirs, ours) = (flat(theirs, &place), flat(&ours[name], &place));
        let paths: BTreeSet<&String> = theirs.keys().chain(ours.keys()).collect();
        for path in paths {
            let (theirs, ours) = (theirs.get(path), ours.get(path));
            if theirs == ours {
                continue;
            }
            match expected.iter().find(|pattern| is_like(path, pattern)) {
                Some(pattern) => {
                    used.insert(*pattern);
                }
                None => wrong.push(format!(
                    "{name}: {path}\n    Compose {theirs:?}\n    Cosmos  {ours:?}"
                )),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let all = ALWAYS
        .iter()
        .chain(&LISTED.map(|(_, pattern)| (pattern, "")))
        .map(|(pattern, _)| *pattern)
        .collect::<BTreeSet<_>>();
    let unused: Vec<_> = all.difference(&used).collect();
    assert!(
        unused.is_empty(),
        "nothing differs there, so it need not be allowed: {unused:?}"
    );
}

/// What may differ in the containers of a service.
fn expected(report: &Value, service: &str) -> Vec<&'static str> {
    let listed = keys_listed(report, service);
    let always = ALWAYS.iter().map(|(pattern, _)| *pattern);
    let of_one = OF_ONE.iter().filter(|(of, ..)| *of == service);
    let because = LISTED.iter().filter(|(key, _)| listed.contains(*key));
    always
        .chain(of_one.map(|(_, pattern, _)| *pattern))
        .chain(because.map(|(_, pattern)| *pattern))
        .collect()
}

/// The keys of a service that were left out or changed.
fn keys_listed(report: &Value, service: &str) -> BTreeSet<String> {
    let remarks = report["remarks"].as_array().unwrap().iter();
    let beginning = format!("services.{service}.");
    let keys = remarks.filter_map(|remark| remark["key"].as_str()?.strip_prefix(&beginning));
    keys.map(str::to_owned).collect()
}
