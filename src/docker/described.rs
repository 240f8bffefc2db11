//! Any container of the engine, in the words of a config: what makes it differ from its
//! image, and what there are no words for.
//!
//! The reverse of [`super::request`]. `describe` is pure; start there.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use indexmap::IndexMap;
use serde::Deserialize;

use super::{
    client::{LOOK, Path, within},
    engine::DockerEngine,
    labels,
    observe::{or_empty, port},
    request::NO_MEMORY_LIMIT,
};
use crate::{
    reconcile::engine::EngineError,
    workspace::{
        Container, ContainerId, Device, Health, HealthProbe, Image, ImageRef, Installation,
        Logging, Mount, MountSource, NetworkName, Owner, PortPublish, PullPolicy, Resources,
        RestartPolicy, Transport, Ulimit, VolumeName,
    },
};

/// A container as a config would declare it.
#[derive(Debug, Clone, PartialEq)]
pub struct Described {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: String,
    /// What a service of it may be called, as far as its labels tell.
    pub service: Option<String>,
    /// Whose it is, if it is of this installation.
    pub owner: Option<Owner>,
    /// Whether it runs now.
    pub is_running: bool,
    /// What its image does not say by itself.
    pub container: Container,
    /// Its check, if it is not its image's.
    pub health: Option<Health>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// The ports it listens on, as it or its image says.
    pub exposed: Vec<u16>,
    /// What there are no words for.
    pub left_out: Vec<LeftOut>,
}

/// Something of a container that a config cannot say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LeftOut {
    /// What, as the engine's own command calls it.
    pub what: String,
    /// Why, or what there is instead.
    pub why: String,
}

impl DockerEngine {
    /// What a container is, by its name, its id or the beginning of one.
    ///
    /// # Errors
    /// If there is no such container, or more than one, or the engine refuses.
    pub async fn describe(&self, reference: &str) -> Result<Described, EngineError> {
        let path = Path::new("/containers").segment(reference).then("/json");
        let inspected: Inspected = within("inspect", LOOK, self.client().get(&path)).await?;
        let image = self.image_of(&inspected.image).await?;
        let tagged = self.image_of(&inspected.config.image).await?;
        let info: Info = within("info", LOOK, self.client().get(&Path::new("/info"))).await?;
        let world = World {
            installation: self.installation(),
            image: image.as_ref(),
            tagged: tagged.as_ref(),
            logging: &info.logging_driver,
        };
        describe(&inspected, &world)
    }

    /// An image; none if it is gone.
    async fn image_of(&self, reference: &str) -> Result<Option<ImageInspected>, EngineError> {
        let path = Path::new("/images").image(reference).then("/json");
        match within("inspect image", LOOK, self.client().get(&path)).await {
            Ok(image) => Ok(Some(image)),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What a container is compared with.
struct World<'a> {
    installation: &'a Installation,
    /// The image it was made from, if it is still there.
    image: Option<&'a ImageInspected>,
    /// What its image's name means now.
    tagged: Option<&'a ImageInspected>,
    /// The log driver of whoever says nothing.
    logging: &'a str,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Info {
    #[serde(default)]
    logging_driver: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageInspected {
    id: String,
    #[serde(default, deserialize_with = "or_empty")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    config: Config,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    /// The id of its image.
    #[serde(default)]
    image: String,
    state: State,
    #[serde(default)]
    config: Config,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default, deserialize_with = "or_empty")]
    mounts: Vec<MountPoint>,
    #[serde(default)]
    network_settings: NetworkSettings,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    #[serde(default)]
    running: bool,
    #[serde(default)]
    exit_code: i64,
}

/// Of a container, or of an image.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Config {
    image: String,
    hostname: String,
    domainname: String,
    user: String,
    working_dir: String,
    tty: bool,
    open_stdin: bool,
    #[serde(deserialize_with = "or_empty")]
    env: Vec<String>,
    #[serde(deserialize_with = "words")]
    cmd: Vec<String>,
    #[serde(deserialize_with = "words")]
    entrypoint: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    exposed_ports: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "or_empty")]
    volumes: BTreeMap<String, serde_json::Value>,
    #[serde(deserialize_with = "or_empty")]
    stop_signal: String,
    stop_timeout: Option<i64>,
    healthcheck: Option<Healthcheck>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Healthcheck {
    #[serde(deserialize_with = "or_empty")]
    test: Vec<String>,
    interval: i64,
    timeout: i64,
    start_period: i64,
    retries: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostConfig {
    #[serde(deserialize_with = "or_empty")]
    port_bindings: BTreeMap<String, Option<Vec<Binding>>>,
    publish_all_ports: bool,
    restart_policy: Restart,
    network_mode: String,
    memory: i64,
    memory_swap: i64,
    memory_reservation: i64,
    nano_cpus: i64,
    cpu_quota: i64,
    cpu_period: i64,
    cpu_shares: i64,
    cpuset_cpus: String,
    blkio_weight: i64,
    #[serde(deserialize_with = "or_empty")]
    pids_limit: i64,
    #[serde(deserialize_with = "or_empty")]
    init: bool,
    #[serde(deserialize_with = "or_empty")]
    devices: Vec<HostDevice>,
    #[serde(deserialize_with = "or_empty")]
    device_requests: Vec<serde_json::Value>,
    #[serde(deserialize_with = "or_empty")]
    device_cgroup_rules: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    ulimits: Vec<HostUlimit>,
    #[serde(deserialize_with = "or_empty")]
    log_config: LogConfig,
    #[serde(deserialize_with = "or_empty")]
    cap_add: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    cap_drop: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    dns: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    dns_options: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    dns_search: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    extra_hosts: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    group_add: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    links: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    volumes_from: Vec<String>,
    ipc_mode: String,
    pid_mode: String,
    #[serde(rename = "UTSMode")]
    uts_mode: String,
    userns_mode: String,
    cgroup_parent: String,
    runtime: String,
    oom_score_adj: i64,
    #[serde(deserialize_with = "or_empty")]
    oom_kill_disable: bool,
    privileged: bool,
    readonly_rootfs: bool,
    #[serde(deserialize_with = "or_empty")]
    security_opt: Vec<String>,
    #[serde(deserialize_with = "or_empty")]
    storage_opt: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    tmpfs: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_empty")]
    mounts: Vec<AskedMount>,
    shm_size: u64,
    #[serde(deserialize_with = "or_empty")]
    sysctls: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Binding {
    host_ip: String,
    host_port: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Restart {
    name: String,
    maximum_retry_count: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostDevice {
    path_on_host: String,
    path_in_container: String,
    cgroup_permissions: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct HostUlimit {
    name: String,
    soft: i64,
    hard: i64,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct LogConfig {
    r#type: String,
    #[serde(deserialize_with = "or_empty")]
    config: BTreeMap<String, String>,
}

/// A mount as it was asked for.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct AskedMount {
    r#type: String,
    target: String,
    #[serde(deserialize_with = "or_empty")]
    tmpfs_options: TmpfsOptions,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct TmpfsOptions {
    size_bytes: i64,
    mode: u32,
}

/// A mount as it is.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct MountPoint {
    r#type: String,
    name: String,
    source: String,
    destination: String,
    #[serde(rename = "RW")]
    rw: bool,
    mode: String,
    propagation: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkSettings {
    #[serde(deserialize_with = "or_empty")]
    networks: BTreeMap<String, NetworkEnd>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct NetworkEnd {
    #[serde(rename = "IPAMConfig", deserialize_with = "or_empty")]
    ipam: HashMap<String, serde_json::Value>,
}

/// A command, which engines also send as one text.
fn words<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Words {
        Many(Vec<String>),
        One(String),
    }
    Ok(match Option::deserialize(deserializer)? {
        None => Vec::new(),
        Some(Words::Many(words)) => words,
        Some(Words::One(word)) => vec![word],
    })
}

/// Collects what there are no words for.
#[derive(Default)]
struct Lost(Vec<LeftOut>);

impl Lost {
    fn add(&mut self, what: impl Into<String>, why: impl Into<String>) {
        self.0.push(LeftOut {
            what: what.into(),
            why: why.into(),
        });
    }
}

/// Puts what the engine says of a container in the words of a config.
fn describe(inspected: &Inspected, world: &World<'_>) -> Result<Described, EngineError> {
    let refused = |error: crate::workspace::NameError| EngineError::Refused {
        status: 0,
        message: error.to_string(),
    };
    let none = Config::default();
    let image = world.image.map_or(&none, |image| &image.config);
    let mut lost = Lost::default();
    let reference = image_of(inspected, world, &mut lost);
    let reference = ImageRef::new(reference).map_err(refused)?;
    let (config, host) = (&inspected.config, &inspected.host_config);

    let mut container = Container::of(Image::Pulled {
        reference,
        policy: PullPolicy::Missing,
    });
    process(&mut container, config, image, &inspected.id, &mut lost);
    container.env = environment(&config.env, &image.env);
    container.labels = labels_of(&config.labels, &image.labels);
    mounts(&mut container, inspected, image, &mut lost);
    container.ports = ports(host, &mut lost);
    container.networks = networks(inspected, world.installation, &mut lost);
    container.resources = resources(host, &mut lost);
    settings(&mut container, host, world, &mut lost);
    without_words(host, &mut lost);
    let health = health(config, image, &mut lost);
    let owner_labels = config.labels.clone().into_iter().collect();
    let owner = labels::owner(&owner_labels, world.installation);
    let ended_well = !inspected.state.running && inspected.state.exit_code == 0;
    let restart = match owner {
        // It never restarts by itself, whoever started it: that is said of no one.
        Some(_) if !ended_well => RestartPolicy::Always,
        _ => restart(&host.restart_policy, &mut lost),
    };
    lost.0.sort();
    Ok(Described {
        name: inspected.name.trim_start_matches('/').to_owned(),
        id: ContainerId::new(inspected.id.clone()).map_err(refused)?,
        service: config.labels.get(COMPOSE_SERVICE).cloned(),
        owner,
        is_running: inspected.state.running,
        health,
        restart,
        exposed: config
            .exposed_ports
            .keys()
            .filter_map(|key| match port(key)? {
                (port, Transport::Tcp) => Some(port),
                (_, Transport::Udp) => None,
            })
            .collect(),
        container,
        left_out: lost.0,
    })
}

/// What Compose calls its services by.
const COMPOSE_SERVICE: &str = "com.docker.compose.service";

/// Labels by which programs know what is theirs: in a config they would be a lie.
const THEIRS: [&str; 3] = [labels::PREFIX, "com.docker.compose.", "desktop.docker.io/"];

/// Its image by a name that people know.
fn image_of(inspected: &Inspected, world: &World<'_>, lost: &mut Lost) -> String {
    let written = &inspected.config.image;
    let id = inspected.image.as_str();
    let digits = written.strip_prefix("sha256:").unwrap_or(written);
    let is_id = digits.len() >= 12 && id.strip_prefix("sha256:").unwrap_or(id).starts_with(digits);
    if !is_id {
        if world.tagged.is_some_and(|tagged| tagged.id != id) {
            lost.add(
                format!("the very image that `{written}` was"),
                "the name means another one by now, and that is what the service gets",
            );
        }
        return written.clone();
    }
    let tags = world.image.map_or(&[][..], |image| &image.repo_tags);
    match tags.iter().find(|tag| !tag.contains("<none>")) {
        Some(tag) => tag.clone(),
        None => {
            lost.add(
                "a name of the image",
                "it has none: `docker tag` gives it one that others know, too",
            );
            written.clone()
        }
    }
}

/// What runs, as whom, and where.
fn process(container: &mut Container, config: &Config, image: &Config, id: &str, lost: &mut Lost) {
    let has_own_entrypoint = config.entrypoint != image.entrypoint;
    // With an entrypoint of its own it does not get the image's command either.
    let is_said_again = !has_own_entrypoint && config.cmd.is_empty() && !image.cmd.is_empty();
    if has_own_entrypoint || is_said_again {
        // The engine's way to say that there is none.
        let is_cleared = config.entrypoint.iter().all(String::is_empty);
        container.entrypoint = Some(match is_cleared {
            true => Vec::new(),
            false => config.entrypoint.clone(),
        });
    }
    let has_own_command = match has_own_entrypoint {
        true => !config.cmd.is_empty(),
        false => config.cmd != image.cmd && !config.cmd.is_empty(),
    };
    if has_own_command {
        container.command = Some(config.cmd.clone());
    }
    let own = |value: &str, image: &str, usual: &str| {
        let is_own = value != image && !value.is_empty() && value != usual;
        is_own.then(|| value.to_owned())
    };
    container.user = own(&config.user, &image.user, "");
    container.workdir = own(&config.working_dir, &image.working_dir, "/");
    container.stop_signal = own(&config.stop_signal, &image.stop_signal, "SIGTERM");
    container.hostname = own(&config.hostname, "", id.get(..12).unwrap_or(id));
    container.tty = config.tty;
    container.stdin = config.open_stdin;
    if let Some(seconds) = config.stop_timeout
        && let Ok(seconds) = u64::try_from(seconds)
    {
        container.stop_grace = Duration::from_secs(seconds);
    }
    if !config.domainname.is_empty() {
        lost.add(
            format!("--domainname {}", config.domainname),
            "a container has a `hostname`",
        );
    }
}

fn environment(own: &[String], image: &[String]) -> IndexMap<String, String> {
    own.iter()
        .filter(|line| !image.contains(line))
        .map(|line| {
            let (name, value) = line.split_once('=').unwrap_or((line, ""));
            (name.to_owned(), value.to_owned())
        })
        .collect()
}

fn labels_of(
    own: &BTreeMap<String, String>,
    image: &BTreeMap<String, String>,
) -> IndexMap<String, String> {
    let is_own = |label: &str, value: &String| {
        image.get(label) != Some(value) && !THEIRS.iter().any(|prefix| label.starts_with(prefix))
    };
    own.iter()
        .filter(|(label, value)| is_own(label, value))
        .map(|(label, value)| (label.clone(), value.clone()))
        .collect()
}

fn mounts(container: &mut Container, inspected: &Inspected, image: &Config, lost: &mut Lost) {
    let host = &inspected.host_config;
    container.tmpfs = host.tmpfs.clone().into_iter().collect();
    for mount in &inspected.mounts {
        let target = mount.destination.clone();
        let is_nameless =
            mount.name.len() == 64 && mount.name.bytes().all(|b| b.is_ascii_hexdigit());
        let source = match mount.r#type.as_str() {
            "bind" => MountSource::Host(mount.source.clone()),
            // The image asks for it: it comes by itself.
            "volume" if is_nameless && image.volumes.contains_key(&target) => continue,
            "volume" if is_nameless => MountSource::Anonymous,
            "volume" => match VolumeName::new(mount.name.clone()) {
                Ok(name) => MountSource::Volume(name),
                Err(error) => {
                    lost.add(format!("the volume at {target}"), error.to_string());
                    continue;
                }
            },
            "tmpfs" => {
                let asked = host.mounts.iter();
                let asked = asked
                    .filter(|asked| asked.r#type == "tmpfs")
                    .find(|asked| asked.target == target);
                let options = asked.map(|asked| options_of(&asked.tmpfs_options));
                container
                    .tmpfs
                    .entry(target)
                    .or_insert(options.unwrap_or_default());
                continue;
            }
            other => {
                lost.add(
                    format!("the mount of type {other} at {target}"),
                    "a mount is of a folder or a volume",
                );
                continue;
            }
        };
        if !matches!(mount.propagation.as_str(), "" | "private" | "rprivate") {
            lost.add(
                format!("the propagation `{}` of {target}", mount.propagation),
                "a mount is private",
            );
        }
        // Of a volume the engine says so by itself.
        let mut modes = mount.mode.split(',');
        if mount.r#type == "bind" && modes.any(|mode| matches!(mode, "z" | "Z")) {
            lost.add(
                format!("the SELinux label of {target}"),
                "a mount is not labelled; `chcon` does it once",
            );
        }
        container.mounts.push(Mount {
            source,
            target,
            read_only: !mount.rw,
        });
    }
    container
        .mounts
        .sort_by(|left, right| left.target.cmp(&right.target));
    for from in &host.volumes_from {
        lost.add(
            format!("--volumes-from {from}"),
            "the volumes themselves are mounted",
        );
    }
}

fn options_of(options: &TmpfsOptions) -> String {
    let mut parts = Vec::new();
    if options.size_bytes > 0 {
        parts.push(format!("size={}", options.size_bytes));
    }
    if options.mode > 0 {
        parts.push(format!("mode={:o}", options.mode));
    }
    parts.join(",")
}

fn ports(host: &HostConfig, lost: &mut Lost) -> Vec<PortPublish> {
    let mut ports = Vec::new();
    for (key, bindings) in &host.port_bindings {
        let Some((container, transport)) = port(key) else {
            lost.add(format!("the port {key}"), "a port is of tcp or udp");
            continue;
        };
        for binding in bindings.iter().flatten() {
            let number = binding.host_port.parse::<u16>().ok();
            if number.is_none() && !binding.host_port.is_empty() {
                lost.add(
                    format!("any host port of {} for {key}", binding.host_port),
                    "it is a free one, which stays the same",
                );
            }
            ports.push(PortPublish {
                container,
                host: number.filter(|number| *number > 0),
                address: match binding.host_ip.as_str() {
                    "" => "0.0.0.0".to_owned(),
                    address => address.to_owned(),
                },
                transport,
            });
        }
    }
    ports.sort_by_key(|port| (port.container, port.transport));
    if host.publish_all_ports {
        lost.add("--publish-all", "each port is written: `ports = [80]`");
    }
    ports
}

/// The networks that it is in beside what every container is in.
fn networks(
    inspected: &Inspected,
    installation: &Installation,
    lost: &mut Lost,
) -> Vec<NetworkName> {
    let mode = inspected.host_config.network_mode.as_str();
    if matches!(mode, "host" | "none") || mode.starts_with("container:") {
        lost.add(
            format!("--network {mode}"),
            "a service is in the workspace's network",
        );
        return Vec::new();
    }
    let ours = installation.network();
    let isolated = format!("{ours}-");
    let mut networks = Vec::new();
    for (name, end) in &inspected.network_settings.networks {
        let has_address = ["IPv4Address", "IPv6Address"]
            .iter()
            .any(|key| end.ipam.get(*key).is_some_and(|it| it != ""));
        if has_address {
            lost.add(
                format!("its own address in {name}"),
                "the engine gives the addresses; names lead to them",
            );
        }
        let is_usual = matches!(name.as_str(), "bridge" | "podman") || *name == ours.as_str();
        if is_usual || name.starts_with(&isolated) {
            continue;
        }
        match NetworkName::new(name.clone()) {
            Ok(name) => networks.push(name),
            Err(error) => lost.add(format!("the network {name}"), error.to_string()),
        }
    }
    networks
}

fn resources(host: &HostConfig, lost: &mut Lost) -> Resources {
    let limit = |value: i64| (value > 0).then_some(value);
    let quota = match (host.cpu_quota, host.cpu_period) {
        (quota, period) if quota > 0 => {
            let period = if period > 0 { period } else { 100_000 };
            Some(quota.saturating_mul(1_000_000_000) / period)
        }
        _ => None,
    };
    if host.memory > 0
        && host.memory_swap != 0
        && host.memory_swap != host.memory
        && host.memory_swap != host.memory.saturating_mul(2)
    {
        lost.add(
            format!("--memory-swap {}", host.memory_swap),
            "there is no swap beyond the limit of memory",
        );
    }
    let others = [
        ("--memory-reservation", host.memory_reservation),
        ("--cpu-shares", host.cpu_shares),
        ("--blkio-weight", host.blkio_weight),
    ];
    for (option, value) in others.into_iter().filter(|(_, value)| *value > 0) {
        lost.add(
            format!("{option} {value}"),
            "the limits are of cpus, memory and pids",
        );
    }
    if !host.cpuset_cpus.is_empty() {
        lost.add(
            format!("--cpuset-cpus {}", host.cpuset_cpus),
            "processors are limited by their number",
        );
    }
    Resources {
        nano_cpus: limit(host.nano_cpus).or(quota),
        memory: limit(host.memory).filter(|bytes| *bytes < NO_MEMORY_LIMIT),
        pids: limit(host.pids_limit),
    }
}

/// The engine's own size of `/dev/shm`: 64 MiB.
const USUAL_SHM: u64 = 64 << 20;

fn settings(container: &mut Container, host: &HostConfig, world: &World<'_>, lost: &mut Lost) {
    let plain = |names: &[String]| -> Vec<String> {
        let upper = names.iter().map(|name| name.to_ascii_uppercase());
        upper
            .map(|name| name.strip_prefix("CAP_").unwrap_or(&name).to_owned())
            .collect()
    };
    container.init = host.init;
    container.cap_add = plain(&host.cap_add);
    container.cap_drop = plain(&host.cap_drop);
    // Dropped anyway.
    container.cap_drop.retain(|name| name != "NET_RAW");
    container.privileged = host.privileged;
    container.read_only = host.readonly_rootfs;
    container.security_opt.clone_from(&host.security_opt);
    // The engine adds this by itself to what shares something with the host.
    if host.privileged || host.pid_mode == "host" || host.ipc_mode == "host" {
        let added = |option: &String| matches!(option.as_str(), "label=disable" | "label:disable");
        container.security_opt.retain(|option| !added(option));
    }
    container.dns.clone_from(&host.dns);
    container.extra_hosts.clone_from(&host.extra_hosts);
    container.sysctls.clone_from(&host.sysctls);
    container.shm_size = Some(host.shm_size).filter(|size| *size > 0 && *size != USUAL_SHM);
    container.devices = host
        .devices
        .iter()
        .map(|device| Device {
            host: device.path_on_host.clone(),
            container: device.path_in_container.clone(),
            permissions: device.cgroup_permissions.clone(),
        })
        .collect();
    container.ulimits = host
        .ulimits
        .iter()
        // Podman says its own defaults so.
        .filter(|limit| !limit.name.starts_with("RLIMIT_"))
        .map(|limit| {
            let (soft, hard) = (limit.soft, limit.hard);
            (limit.name.clone(), Ulimit { soft, hard })
        })
        .collect();
    let log = &host.log_config;
    let is_usual = log.r#type == world.logging && log.config.is_empty();
    if !log.r#type.is_empty() && !is_usual {
        container.logging = Some(Logging {
            driver: log.r#type.clone(),
            options: log.config.clone(),
        });
    }
    for option in &host.dns_options {
        // What Cosmos gives a service itself.
        if option != "ndots:1" {
            lost.add(
                format!("--dns-option {option}"),
                "how names are looked up is Cosmos' own",
            );
        }
    }
    for domain in &host.dns_search {
        lost.add(
            format!("--dns-search {domain}"),
            "how names are looked up is Cosmos' own",
        );
    }
}

/// What there is nothing like in a config, as far as it is not the usual.
fn without_words(host: &HostConfig, lost: &mut Lost) {
    for (option, value, usual, why) in [
        (
            "--ipc",
            &host.ipc_mode,
            &["", "private", "shareable", "default"][..],
            "every container has its own",
        ),
        (
            "--pid",
            &host.pid_mode,
            &["", "private"],
            "every container has its own",
        ),
        (
            "--uts",
            &host.uts_mode,
            &["", "private"],
            "every container has its own",
        ),
        ("--userns", &host.userns_mode, &[""], "the engine's default"),
        (
            "--cgroup-parent",
            &host.cgroup_parent,
            &[""],
            "the engine's choice",
        ),
        (
            "--runtime",
            &host.runtime,
            &["", "runc", "io.containerd.runc.v2", "oci"],
            "the engine's default",
        ),
    ] {
        if !usual.contains(&value.as_str()) {
            lost.add(format!("{option} {value}"), why);
        }
    }
    for group in &host.group_add {
        lost.add(
            format!("--group-add {group}"),
            "a user has the groups of the image; `user = \"name:group\"` is one",
        );
    }
    for link in &host.links {
        lost.add(
            format!("--link {link}"),
            "services are found by name in one network",
        );
    }
    for rule in &host.device_cgroup_rules {
        lost.add(
            format!("--device-cgroup-rule {rule}"),
            "devices are named one by one",
        );
    }
    for option in host.storage_opt.keys() {
        lost.add(format!("--storage-opt {option}"), "the engine's default");
    }
    if !host.device_requests.is_empty() {
        lost.add("--gpus", "devices are named one by one");
    }
    if host.oom_score_adj != 0 {
        lost.add(
            format!("--oom-score-adj {}", host.oom_score_adj),
            "the kernel's choice",
        );
    }
    if host.oom_kill_disable {
        lost.add("--oom-kill-disable", "the kernel's choice");
    }
}

/// What the engine takes where nothing is said.
const USUAL_INTERVAL: Duration = Duration::from_secs(30);

/// The same, of the failures.
const USUAL_RETRIES: u32 = 3;

fn health(config: &Config, image: &Config, lost: &mut Lost) -> Option<Health> {
    let check = config.healthcheck.as_ref()?;
    if config.healthcheck == image.healthcheck {
        return None;
    }
    let run = match check.test.split_first() {
        Some((kind, words)) if kind == "CMD" && !words.is_empty() => words.to_vec(),
        Some((kind, words)) if kind == "CMD-SHELL" && !words.is_empty() => {
            vec!["/bin/sh".to_owned(), "-c".to_owned(), words.join(" ")]
        }
        Some((kind, _)) if kind == "NONE" => {
            lost.add(
                "--no-healthcheck",
                "a check of the image itself cannot be switched off; without `health` nothing waits for it",
            );
            return None;
        }
        // Other times for the image's own.
        _ => {
            lost.add(
                "the times of the image's health check",
                "they go with a check of one's own: `health = { command = [..] }`",
            );
            return None;
        }
    };
    let time = |nanos: i64, usual: Duration| match u64::try_from(nanos) {
        Ok(nanos @ 1..) => Duration::from_nanos(nanos),
        _ => usual,
    };
    Some(Health {
        probe: HealthProbe::Command { run },
        interval: time(check.interval, USUAL_INTERVAL),
        timeout: time(check.timeout, USUAL_INTERVAL),
        retries: u32::try_from(check.retries)
            .ok()
            .filter(|retries| *retries > 0)
            .unwrap_or(USUAL_RETRIES),
        start_period: time(check.start_period, Duration::ZERO),
    })
}

fn restart(policy: &Restart, lost: &mut Lost) -> RestartPolicy {
    if policy.maximum_retry_count > 0 {
        lost.add(
            format!("--restart on-failure:{}", policy.maximum_retry_count),
            "Cosmos does not give up: it waits longer each time, up to 10 s",
        );
    }
    match policy.name.as_str() {
        "always" | "unless-stopped" => RestartPolicy::Always,
        // What ends well is left alone, as it was.
        _ => RestartPolicy::OnFailure,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::{
        docker::request,
        plan::Launch,
        workspace::{ContainerName, Fingerprint, Kind},
    };

    /// A container of `nginx:alpine` with nothing said, changed.
    fn described(change: impl FnOnce(&mut Value)) -> Described {
        let mut json = json!({
            "Id": "0123456789abcdef0123456789abcdef",
            "Name": "/web",
            "Image": "sha256:11",
            "State": {"Running": true, "ExitCode": 0},
            "Config": {
                "Image": "nginx:alpine",
                "Hostname": "0123456789ab",
                "Env": ["PATH=/bin"],
                "Cmd": ["nginx"],
                "Entrypoint": ["/entry"],
                "WorkingDir": "/srv",
                "Labels": {"maintainer": "nginx"},
                "ExposedPorts": {"80/tcp": {}},
                "StopSignal": "SIGQUIT",
                "Healthcheck": {"Test": ["CMD", "true"]},
            },
            "HostConfig": {
                "NetworkMode": "bridge",
                "RestartPolicy": {"Name": "no"},
                "LogConfig": {"Type": "json-file", "Config": {}},
                "ShmSize": 67_108_864,
                "IpcMode": "private",
                "Runtime": "runc",
                "PidsLimit": null,
                "Init": null,
            },
            "NetworkSettings": {"Networks": {"bridge": {"IPAMConfig": null}}},
        });
        change(&mut json);
        let image = json!({
            "Id": "sha256:11",
            "RepoTags": ["nginx:alpine"],
            "Config": {
                "Env": ["PATH=/bin"],
                "Cmd": ["nginx"],
                "Entrypoint": ["/entry"],
                "WorkingDir": "/srv",
                "Labels": {"maintainer": "nginx"},
                "StopSignal": "SIGQUIT",
                "Volumes": {"/cache": {}},
                "Healthcheck": {"Test": ["CMD", "true"]},
            },
        });
        let image: ImageInspected = serde_json::from_value(image).unwrap();
        let world = World {
            installation: &Installation::default(),
            image: Some(&image),
            tagged: Some(&image),
            logging: "json-file",
        };
        describe(&serde_json::from_value(json).unwrap(), &world).unwrap()
    }

    fn lost(described: &Described) -> Vec<&str> {
        let lost = described.left_out.iter();
        lost.map(|one| one.what.as_str()).collect()
    }

    #[test]
    fn what_the_image_says_by_itself_is_not_said_again() {
        let web = described(|_| {});
        let reference = ImageRef::new("nginx:alpine").unwrap();
        let plain = Container::of(Image::Pulled {
            reference,
            policy: PullPolicy::Missing,
        });
        assert_eq!(web.container, plain);
        assert_eq!(
            (web.name.as_str(), web.exposed.as_slice()),
            ("web", &[80][..])
        );
        assert_eq!((web.health, web.owner), (None, None));
        assert_eq!(web.restart, RestartPolicy::OnFailure);
        assert_eq!(web.left_out, []);
    }

    /// What the engine tells of what it was asked for.
    fn told(launch: &Launch) -> Value {
        let body = request::create(launch, &Installation::default()).body;
        let body = serde_json::to_value(body).unwrap();
        let host = body["HostConfig"].clone();
        let mounts = host["Mounts"].as_array().cloned().unwrap_or_default();
        let mounts: Vec<_> = mounts
            .iter()
            .map(|mount| {
                let kind = mount["Type"].as_str().unwrap();
                let source = mount["Source"].clone();
                let nameless = "c".repeat(64);
                json!({
                    "Type": kind,
                    "Name": match (kind, source.as_str()) {
                        ("volume", Some(name)) => name,
                        ("volume", None) => &nameless,
                        _ => "",
                    },
                    "Source": source.as_str().unwrap_or_default(),
                    "Destination": mount["Target"],
                    "RW": mount["ReadOnly"] != true,
                    "Propagation": if kind == "bind" { "rprivate" } else { "" },
                })
            })
            .collect();
        json!({
            "Id": "0123456789abcdef0123456789abcdef",
            "Name": format!("/{}", launch.name),
            "Image": "sha256:11",
            "State": {"Running": true},
            "Config": body,
            "HostConfig": host,
            "Mounts": mounts,
        })
    }

    #[test]
    fn what_is_described_is_what_was_asked_for() {
        let mut container = Container::of(Image::Pulled {
            reference: ImageRef::new("a:1").unwrap(),
            policy: PullPolicy::Missing,
        });
        container.entrypoint = Some(Vec::new());
        container.command = Some(vec!["serve".to_owned(), "-x y".to_owned()]);
        container.env = IndexMap::from([("A".to_owned(), "b=c".to_owned())]);
        let mount = |source, target: &str, read_only| Mount {
            source,
            target: target.to_owned(),
            read_only,
        };
        container.mounts = vec![
            mount(MountSource::Anonymous, "/anonymous", false),
            mount(MountSource::Host("/srv/site".to_owned()), "/site", true),
            mount(
                MountSource::Volume(VolumeName::new("data").unwrap()),
                "/var",
                false,
            ),
        ];
        let published = |container, host, address: &str, transport| PortPublish {
            container,
            host,
            address: address.to_owned(),
            transport,
        };
        container.ports = vec![
            published(53, Some(5353), "0.0.0.0", Transport::Udp),
            published(80, None, "127.0.0.1", Transport::Tcp),
        ];
        container.resources = Resources {
            nano_cpus: Some(1_500_000_000),
            memory: Some(512 << 20),
            pids: Some(100),
        };
        container.user = Some("1000:1000".to_owned());
        container.workdir = Some("/work".to_owned());
        container.hostname = Some("box".to_owned());
        (container.init, container.tty, container.stdin) = (true, true, true);
        (container.read_only, container.privileged) = (true, true);
        container.labels = IndexMap::from([("team".to_owned(), "a".to_owned())]);
        container.extra_hosts = vec!["db:10.0.0.5".to_owned()];
        container.dns = vec!["1.1.1.1".to_owned()];
        container.tmpfs = IndexMap::from([("/tmp".to_owned(), "size=64m".to_owned())]);
        container.shm_size = Some(1 << 30);
        container.cap_add = vec!["NET_ADMIN".to_owned()];
        container.cap_drop = vec!["CHOWN".to_owned()];
        container.security_opt = vec!["no-new-privileges".to_owned()];
        container.devices = vec![Device {
            host: "/dev/fuse".to_owned(),
            container: "/dev/fuse".to_owned(),
            permissions: "rwm".to_owned(),
        }];
        container.ulimits = BTreeMap::from([("nofile".to_owned(), Ulimit { soft: 1, hard: 2 })]);
        container.sysctls = BTreeMap::from([("net.core.somaxconn".to_owned(), "9".to_owned())]);
        container.stop_signal = Some("SIGINT".to_owned());
        container.stop_grace = Duration::from_secs(42);
        container.logging = Some(Logging {
            driver: "local".to_owned(),
            options: BTreeMap::from([("max-size".to_owned(), "1m".to_owned())]),
        });
        let launch = Launch {
            name: ContainerName::new("box").unwrap(),
            owner: Owner {
                kind: Kind::Adhoc,
                workspace: None,
                folder: None,
                name: None,
                replica: 1,
                spec: Fingerprint::of_container(&container),
                generation: "x".to_owned(),
            },
            network: Installation::default().network(),
            aliases: Vec::new(),
            search: None,
            health: None,
            remove_when_done: false,
            container,
        };
        let found = described(|json| *json = told(&launch));
        assert_eq!(found.container, launch.container);
        assert_eq!(found.owner, Some(launch.owner));
        assert_eq!(found.restart, RestartPolicy::Always);
        assert_eq!(found.left_out, []);
    }

    #[test]
    fn a_command_and_an_entrypoint_are_told_as_the_engine_takes_them() {
        let of = |entrypoint: Value, command: Value| {
            let container = described(|json| {
                json["Config"]["Entrypoint"] = entrypoint;
                json["Config"]["Cmd"] = command;
            })
            .container;
            (container.entrypoint, container.command)
        };
        let words = |texts: &[&str]| Some(texts.iter().map(|&text| text.to_owned()).collect());
        assert_eq!(of(json!(["/entry"]), json!(["x"])), (None, words(&["x"])));
        // With another entrypoint the image's command does not count.
        assert_eq!(of(json!(["sh"]), json!(null)), (words(&["sh"]), None));
        assert_eq!(
            of(json!("sh"), json!(["nginx"])),
            (words(&["sh"]), words(&["nginx"]))
        );
        assert_eq!(of(json!([""]), json!(["x"])), (words(&[]), words(&["x"])));
        assert_eq!(of(json!(null), json!(["x"])), (words(&[]), words(&["x"])));
        // Its own again, so that there is no command.
        assert_eq!(
            of(json!(["/entry"]), json!(null)),
            (words(&["/entry"]), None)
        );
    }

    #[test]
    fn an_image_is_told_by_its_tag() {
        let of = |written: &str| {
            let web = described(|json| {
                json["Config"]["Image"] = written.into();
                json["Image"] = "sha256:1111222233334444".into();
            });
            (
                web.container.image.reference().to_string(),
                web.left_out.len(),
            )
        };
        assert_eq!(
            of("sha256:1111222233334444"),
            ("nginx:alpine".to_owned(), 0)
        );
        assert_eq!(of("111122223333"), ("nginx:alpine".to_owned(), 0));
        // The name is another image by now.
        assert_eq!(of("nginx:alpine"), ("nginx:alpine".to_owned(), 1));
    }

    #[test]
    fn volumes_that_the_image_asks_for_and_labels_of_other_programs_are_not_its_own() {
        let nameless = "a".repeat(64);
        let web = described(|json| {
            json["Mounts"] = json!([
                {"Type": "volume", "Name": nameless, "Destination": "/cache", "RW": true},
                {"Type": "volume", "Name": nameless, "Destination": "/own", "RW": true, "Mode": "z"},
                {"Type": "tmpfs", "Destination": "/scratch", "RW": true},
            ]);
            json["HostConfig"]["Mounts"] = json!([
                {"Type": "tmpfs", "Target": "/scratch", "TmpfsOptions": {"SizeBytes": 1024, "Mode": 448}},
            ]);
            json["Config"]["Labels"] = json!({
                "maintainer": "nginx", "com.docker.compose.service": "front", "team": "a",
            });
        });
        let targets: Vec<_> = web.container.mounts.iter().map(|it| &it.target).collect();
        assert_eq!(targets, ["/own"]);
        assert_eq!(web.container.tmpfs["/scratch"], "size=1024,mode=700");
        let labels: Vec<_> = web.container.labels.keys().collect();
        assert_eq!(labels, ["team"]);
        assert_eq!(web.left_out, []);
        assert_eq!(web.service.as_deref(), Some("front"));
    }

    #[test]
    fn a_check_of_its_own_is_told_with_the_engines_times() {
        let check = |check: Value| described(|json| json["Config"]["Healthcheck"] = check);
        let own = check(json!({"Test": ["CMD-SHELL", "curl -f x"], "Interval": 5_000_000_000_i64}));
        let health = own.health.unwrap();
        let run = ["/bin/sh", "-c", "curl -f x"].map(str::to_owned).to_vec();
        assert_eq!(health.probe, HealthProbe::Command { run });
        assert_eq!(health.interval, Duration::from_secs(5));
        assert_eq!((health.timeout, health.retries), (USUAL_INTERVAL, 3));
        assert_eq!(
            lost(&check(json!({"Test": ["NONE"]}))),
            ["--no-healthcheck"]
        );
        assert_eq!(lost(&check(json!({"Interval": 1}))).len(), 1);
    }

    #[test]
    fn restarts_are_what_was_said_or_what_a_service_has() {
        let policy = |name: &str, tries: i64| {
            let web = described(|json| {
                json["HostConfig"]["RestartPolicy"] =
                    json!({"Name": name, "MaximumRetryCount": tries});
            });
            (web.restart, web.left_out.len())
        };
        assert_eq!(policy("unless-stopped", 0), (RestartPolicy::Always, 0));
        assert_eq!(policy("on-failure", 3), (RestartPolicy::OnFailure, 1));
        assert_eq!(policy("", 0), (RestartPolicy::OnFailure, 0));
    }

    #[test]
    fn what_there_are_no_words_for_is_named() {
        let web = described(|json| {
            let host = &mut json["HostConfig"];
            host["PidMode"] = "host".into();
            host["SecurityOpt"] = json!(["label=disable"]);
            host["CpuShares"] = 512.into();
            host["GroupAdd"] = json!(["audio"]);
            host["DeviceRequests"] = json!([{"Count": -1}]);
            host["Memory"] = (1 << 30).into();
            host["MemorySwap"] = (-1).into();
            host["PublishAllPorts"] = true.into();
            host["PortBindings"] =
                json!({"9/sctp": [{"HostPort": "9"}], "80/tcp": [{"HostPort": "8000-8010"}]});
            host["DnsSearch"] = json!(["example.com"]);
            json["NetworkSettings"]["Networks"] = json!({
                "back": {"IPAMConfig": {"IPv4Address": "10.0.0.5"}}, "cosmos-net": {}, "cosmos-net-shop": {},
            });
            json["Mounts"] = json!([
                {"Type": "bind", "Source": "/a", "Destination": "/a", "RW": true, "Mode": "z", "Propagation": "rshared"},
                {"Type": "image", "Destination": "/b"},
            ]);
        });
        assert_eq!(
            lost(&web),
            [
                "--cpu-shares 512",
                "--dns-search example.com",
                "--gpus",
                "--group-add audio",
                "--memory-swap -1",
                "--pid host",
                "--publish-all",
                "any host port of 8000-8010 for 80/tcp",
                "its own address in back",
                "the SELinux label of /a",
                "the mount of type image at /b",
                "the port 9/sctp",
                "the propagation `rshared` of /a",
            ]
        );
        assert_eq!(web.container.security_opt, Vec::<String>::new());
        assert_eq!(web.container.networks, [NetworkName::new("back").unwrap()]);
        assert_eq!(web.container.ports[0].host, None);
        assert_eq!(web.container.ports[0].address, "0.0.0.0");
        let host = described(|json| json["HostConfig"]["NetworkMode"] = "host".into());
        assert_eq!(lost(&host), ["--network host"]);
    }
}
