//! From what is wanted to what the engine is asked: pure.
//!
//! Nothing is decided here beyond the translation, with two exceptions that
//! hold for every container of ours: it does not restart by itself, since
//! restarts belong to the reconciler, and it has no `NET_RAW` unless its config
//! adds it, since with that it could forge the gateway's address and pass for
//! the host.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use bollard::models::{
    ContainerCreateBody, ContainerUpdateBody, DeviceMapping, EndpointSettings, HealthConfig,
    HostConfig, HostConfigLogConfig, MountType, NetworkingConfig, PortBinding, PortMap,
    ResourcesUlimits, RestartPolicy, RestartPolicyNameEnum,
};

use super::labels;
use crate::{
    plan::Launch,
    workspace::{
        Container, Health, HealthProbe, Installation, Mount, MountSource, PortPublish, Resources,
    },
};

/// A container about to be asked for.
#[derive(Debug, Clone, PartialEq)]
pub struct CreateRequest {
    /// Its name.
    pub name: String,
    /// `os/arch`, if not the engine's own.
    pub platform: Option<String>,
    /// Everything else.
    pub body: ContainerCreateBody,
}

/// Whether a file can only be put into a volume over its folder: the archive API
/// refuses to write into a read-only root, and what is written under a memory
/// file system is hidden as soon as that is mounted.
pub(super) fn needs_own_folder(container: &Container, file: &str) -> bool {
    let is_hidden = |above: &str| {
        let rest = file.strip_prefix(above.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.starts_with('/'))
    };
    container.read_only || container.tmpfs.keys().any(|above| is_hidden(above))
}

/// The folders of such files: each is a volume of the container's own.
pub(super) fn writable_folders(container: &Container) -> BTreeSet<String> {
    let mounted = |folder: &str| {
        container
            .mounts
            .iter()
            .any(|mount| mount.target.trim_end_matches('/') == folder)
    };
    let files = container.files.iter().map(|file| file.target.clone());
    let secrets = container.secrets.iter();
    files
        .chain(secrets.map(|(name, secret)| secret.path(name)))
        .filter(|file| needs_own_folder(container, file))
        .map(|file| folder_of(&file).to_owned())
        .filter(|folder| !mounted(folder))
        .collect()
}

/// The folder that a file is in.
pub(super) fn folder_of(path: &str) -> &str {
    match path.rsplit_once('/') {
        Some(("", _)) | None => "/",
        Some((folder, _)) => folder,
    }
}

/// What to ask for a launch.
pub fn create(launch: &Launch, installation: &Installation) -> CreateRequest {
    let container = &launch.container;
    let mut labels: HashMap<String, String> = container
        .labels
        .iter()
        // A config cannot pass a container for another's.
        .filter(|(label, _)| !label.starts_with(labels::PREFIX))
        .map(|(label, value)| (label.clone(), value.clone()))
        .collect();
    labels.extend(labels::of_owner(&launch.owner, installation));
    let body = ContainerCreateBody {
        hostname: container.hostname.clone(),
        user: container.user.clone(),
        exposed_ports: some(exposed_ports(&container.ports)),
        tty: flag(container.tty),
        open_stdin: flag(container.stdin),
        // The end of our input is the end of its input, and of nothing else.
        stdin_once: flag(container.stdin && !container.tty),
        env: some(
            container
                .env
                .iter()
                .map(|(name, value)| format!("{name}={value}"))
                .collect(),
        ),
        cmd: container.command.clone(),
        healthcheck: launch.health.as_ref().and_then(healthcheck),
        image: Some(container.image.reference().to_string()),
        working_dir: container.workdir.clone(),
        entrypoint: container.entrypoint.clone().map(|entrypoint| {
            // An empty list means "the image's own"; this is how it is cleared.
            if entrypoint.is_empty() {
                vec![String::new()]
            } else {
                entrypoint
            }
        }),
        labels: Some(labels),
        stop_signal: container.stop_signal.clone(),
        stop_timeout: Some(grace_seconds(container.stop_grace)),
        host_config: Some(host_config(launch)),
        networking_config: Some(NetworkingConfig {
            endpoints_config: Some(HashMap::from([(
                launch.network.to_string(),
                endpoint(&launch.aliases),
            )])),
        }),
        ..ContainerCreateBody::default()
    };
    CreateRequest {
        name: launch.name.to_string(),
        platform: container.platform.clone(),
        body,
    }
}

fn host_config(launch: &Launch) -> HostConfig {
    let container = &launch.container;
    HostConfig {
        memory: container.resources.memory,
        memory_swap: container.resources.memory,
        nano_cpus: container.resources.nano_cpus,
        pids_limit: container.resources.pids,
        init: flag(container.init),
        devices: some(
            container
                .devices
                .iter()
                .map(|device| DeviceMapping {
                    path_on_host: Some(device.host.clone()),
                    path_in_container: Some(device.container.clone()),
                    cgroup_permissions: Some(device.permissions.clone()),
                })
                .collect(),
        ),
        ulimits: some(
            container
                .ulimits
                .iter()
                .map(|(name, limit)| ResourcesUlimits {
                    name: Some(name.clone()),
                    soft: Some(limit.soft),
                    hard: Some(limit.hard),
                })
                .collect(),
        ),
        log_config: container
            .logging
            .as_ref()
            .map(|logging| HostConfigLogConfig {
                typ: Some(logging.driver.clone()),
                config: Some(map(&logging.options)),
            }),
        // Without this, the engine adds its default bridge beside the one asked for.
        network_mode: Some(launch.network.to_string()),
        port_bindings: port_bindings(&container.ports),
        restart_policy: Some(restart(RestartPolicyNameEnum::NO)),
        auto_remove: flag(launch.remove_when_done),
        mounts: some(
            container
                .mounts
                .iter()
                .map(mount)
                .chain(
                    writable_folders(container)
                        .into_iter()
                        .map(|folder| anonymous_volume(&folder)),
                )
                .collect(),
        ),
        cap_add: some(container.cap_add.clone()),
        cap_drop: some(dropped_capabilities(container)),
        dns: some(container.dns.clone()),
        // One dot: a bare name is looked up in the workspace's domain first,
        // and anything with a dot in it is left as it is.
        dns_options: launch.search.as_ref().map(|_| vec!["ndots:1".to_owned()]),
        dns_search: launch.search.clone().map(|domain| vec![domain]),
        extra_hosts: some(container.extra_hosts.clone()),
        privileged: flag(container.privileged),
        readonly_rootfs: flag(container.read_only),
        security_opt: some(container.security_opt.clone()),
        tmpfs: (!container.tmpfs.is_empty()).then(|| {
            container
                .tmpfs
                .iter()
                .map(|(path, options)| (path.clone(), options.clone()))
                .collect()
        }),
        shm_size: container
            .shm_size
            .map(|bytes| i64::try_from(bytes).unwrap_or(i64::MAX)),
        sysctls: (!container.sysctls.is_empty()).then(|| map(&container.sysctls)),
        ..HostConfig::default()
    }
}

/// How an endpoint in a network is asked for.
pub(super) fn endpoint(aliases: &[String]) -> EndpointSettings {
    EndpointSettings {
        aliases: some(aliases.to_vec()),
        ..EndpointSettings::default()
    }
}

/// The memory "limit" that lifts one: the engine refuses 0 (unchanged) and
/// negative numbers. The kernel's own, rounded to its page.
pub(super) const NO_MEMORY_LIMIT: i64 = i64::MAX - 4095;

/// What to ask so that a container with limits `now` has others.
///
/// Swap is always set with memory: the engine refuses a memory limit above the
/// swap limit that it once derived from an older one. A CPU limit cannot be
/// lifted in place: the engine takes 0 for "unchanged" and nothing else for "none".
pub fn update(now: &Resources, wanted: &Resources) -> ContainerUpdateBody {
    let memory = match (wanted.memory, now.memory) {
        (Some(bytes), _) => Some(bytes),
        (None, Some(_)) => Some(NO_MEMORY_LIMIT),
        (None, None) => None,
    };
    ContainerUpdateBody {
        memory,
        // Also where it is lifted: -1 for swap never reaches the kernel (20.10).
        memory_swap: memory,
        nano_cpus: wanted.nano_cpus,
        pids_limit: wanted.pids.or(now.pids.map(|_| -1)),
        ..ContainerUpdateBody::default()
    }
}

fn exposed_ports(ports: &[PortPublish]) -> Vec<String> {
    let ports: BTreeSet<String> = ports.iter().map(port_key).collect();
    ports.into_iter().collect()
}

fn port_key(port: &PortPublish) -> String {
    format!("{}/{}", port.container, port.transport)
}

fn port_bindings(ports: &[PortPublish]) -> Option<PortMap> {
    let mut bindings = PortMap::new();
    for port in ports {
        bindings
            .entry(port_key(port))
            .or_default()
            .get_or_insert_default()
            .push(PortBinding {
                host_ip: Some(port.address.clone()),
                host_port: Some(port.host.map(|port| port.to_string()).unwrap_or_default()),
            });
    }
    (!bindings.is_empty()).then_some(bindings)
}

fn mount(mount: &Mount) -> bollard::models::Mount {
    let (typ, source) = match &mount.source {
        MountSource::Volume(volume) => (MountType::VOLUME, Some(volume.to_string())),
        MountSource::Anonymous => (MountType::VOLUME, None),
        // As a mount and not as a bind string, so that a folder that is not
        // there is an error and not made, owned by root.
        MountSource::Host(path) => (MountType::BIND, Some(path.clone())),
    };
    bollard::models::Mount {
        target: Some(mount.target.clone()),
        source,
        typ: Some(typ),
        read_only: flag(mount.read_only),
        ..bollard::models::Mount::default()
    }
}

fn anonymous_volume(target: &str) -> bollard::models::Mount {
    mount(&Mount {
        source: MountSource::Anonymous,
        target: target.to_owned(),
        read_only: false,
    })
}

fn dropped_capabilities(container: &Container) -> Vec<String> {
    let plain = |capability: &str| {
        let upper = capability.to_ascii_uppercase();
        upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
    };
    let keeps_raw = container.privileged
        || container
            .cap_add
            .iter()
            .any(|capability| matches!(plain(capability).as_str(), "NET_RAW" | "ALL"));
    let drops_raw = container
        .cap_drop
        .iter()
        .any(|capability| matches!(plain(capability).as_str(), "NET_RAW" | "ALL"));
    let mut dropped = container.cap_drop.clone();
    if !keeps_raw && !drops_raw {
        dropped.push("NET_RAW".to_owned());
    }
    dropped
}

/// Only a command's health is the engine's to check.
fn healthcheck(health: &Health) -> Option<HealthConfig> {
    let HealthProbe::Command { run } = &health.probe else {
        return None;
    };
    let nanos = |duration: Duration| Some(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX));
    Some(HealthConfig {
        test: Some(
            std::iter::once("CMD".to_owned())
                .chain(run.iter().cloned())
                .collect(),
        ),
        interval: nanos(health.interval),
        timeout: nanos(health.timeout),
        retries: Some(i64::from(health.retries)),
        start_period: nanos(health.start_period),
        start_interval: None,
    })
}

/// Whole seconds, never fewer than asked for: the engine knows no others.
pub(super) fn grace_seconds(grace: Duration) -> i64 {
    let seconds = grace.as_secs() + u64::from(grace.subsec_nanos() > 0);
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

pub(super) fn restart(name: RestartPolicyNameEnum) -> RestartPolicy {
    RestartPolicy {
        name: Some(name),
        maximum_retry_count: None,
    }
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn flag(set: bool) -> Option<bool> {
    set.then_some(true)
}

fn map(pairs: &std::collections::BTreeMap<String, String>) -> HashMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        docker::test_support::pretty,
        workspace::{
            ContainerName, Device, File, Fingerprint, Image, ImageRef, Kind, Logging, NetworkName,
            Owner, PullPolicy, SECRETS, SecretFile, SecretName, Transport, Ulimit, VolumeName,
        },
    };

    fn plain() -> Launch {
        Launch {
            name: ContainerName::new("shop-web-1").unwrap(),
            container: Container::of(Image::Pulled {
                reference: ImageRef::new("nginx:alpine").unwrap(),
                policy: PullPolicy::Missing,
            }),
            owner: Owner {
                kind: Kind::Service,
                workspace: Some("fix-42.shop".to_owned()),
                folder: Some("/src/shop".to_owned()),
                name: Some("web".to_owned()),
                replica: 1,
                spec: Fingerprint::from_label("cafe"),
                generation: "k3x9".to_owned(),
            },
            network: NetworkName::new("cosmos-net").unwrap(),
            aliases: vec!["web.fix-42.shop.internal".to_owned()],
            search: Some("fix-42.shop.internal".to_owned()),
            health: None,
            remove_when_done: false,
        }
    }

    fn strings(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn asked(launch: &Launch) -> ContainerCreateBody {
        create(launch, &Installation::default()).body
    }

    fn host(launch: &Launch) -> HostConfig {
        asked(launch).host_config.unwrap()
    }

    #[test]
    fn a_plain_container_is_asked_for_like_this() {
        insta::assert_snapshot!(pretty(&asked(&plain())));
    }

    #[test]
    fn a_container_with_everything_is_asked_for_like_this() {
        let mut launch = plain();
        let container = &mut launch.container;
        container.entrypoint = Some(Vec::new());
        container.command = Some(strings(&["serve", "--all"]));
        container.env = [("B".to_owned(), "2".to_owned()), ("A".into(), "x=y".into())].into();
        container.mounts = vec![
            Mount {
                source: MountSource::Volume(VolumeName::new("shop_db").unwrap()),
                target: "/data".to_owned(),
                read_only: false,
            },
            Mount {
                source: MountSource::Host("/src/shop/html".to_owned()),
                target: "/html".to_owned(),
                read_only: true,
            },
            Mount {
                source: MountSource::Anonymous,
                target: "/cache".to_owned(),
                read_only: false,
            },
        ];
        let port = |container, host, address: &str, transport| PortPublish {
            container,
            host,
            address: address.to_owned(),
            transport,
        };
        container.ports = vec![
            port(80, Some(8081), "127.0.0.1", Transport::Tcp),
            port(80, Some(8081), "::1", Transport::Tcp),
            port(53, None, "127.0.0.1", Transport::Udp),
        ];
        container.resources = Resources {
            nano_cpus: Some(1_500_000_000),
            memory: Some(512 << 20),
            pids: Some(64),
        };
        container.user = Some("1000:1000".to_owned());
        container.workdir = Some("/app".to_owned());
        container.hostname = Some("web".to_owned());
        container.init = true;
        container.tty = true;
        container.stdin = true;
        container.labels = [
            ("team".to_owned(), "blue".to_owned()),
            (labels::INSTALLATION.to_owned(), "forged".to_owned()),
        ]
        .into();
        container.extra_hosts = strings(&["db:10.0.0.1"]);
        container.dns = strings(&["10.0.0.2"]);
        container.tmpfs = [("/tmp".to_owned(), "size=1m".to_owned())].into();
        container.shm_size = Some(1 << 26);
        container.cap_add = strings(&["SYS_PTRACE"]);
        container.cap_drop = strings(&["MKNOD"]);
        container.security_opt = strings(&["no-new-privileges"]);
        container.devices = vec![Device {
            host: "/dev/fuse".to_owned(),
            container: "/dev/fuse".to_owned(),
            permissions: "rwm".to_owned(),
        }];
        container.ulimits = [(
            "nofile".to_owned(),
            Ulimit {
                soft: 1024,
                hard: 2048,
            },
        )]
        .into();
        container.sysctls = [("net.core.somaxconn".to_owned(), "9".to_owned())].into();
        container.stop_signal = Some("SIGINT".to_owned());
        container.stop_grace = Duration::from_millis(2500);
        container.logging = Some(Logging {
            driver: "json-file".to_owned(),
            options: [("max-size".to_owned(), "1m".to_owned())].into(),
        });
        launch.health = Some(Health {
            probe: HealthProbe::Command {
                run: strings(&["curl", "-f", "localhost"]),
            },
            interval: Duration::from_millis(500),
            timeout: Duration::from_secs(2),
            retries: 5,
            start_period: Duration::from_secs(1),
        });
        launch.remove_when_done = true;
        insta::assert_snapshot!(pretty(&asked(&launch)));
    }

    #[test]
    fn raw_sockets_are_dropped_unless_added() {
        let dropped = |add: &[&str], drop: &[&str]| {
            let mut launch = plain();
            launch.container.cap_add = strings(add);
            launch.container.cap_drop = strings(drop);
            host(&launch).cap_drop.unwrap_or_default()
        };
        assert_eq!(dropped(&[], &[]), ["NET_RAW"]);
        assert_eq!(dropped(&["NET_ADMIN"], &["MKNOD"]), ["MKNOD", "NET_RAW"]);
        assert_eq!(dropped(&["cap_net_raw"], &[]), [""; 0]);
        assert_eq!(dropped(&["ALL"], &[]), [""; 0]);
        assert_eq!(dropped(&[], &["ALL"]), ["ALL"]);
    }

    #[test]
    fn a_read_only_root_gets_volumes_where_files_and_secrets_go() {
        let mut launch = plain();
        launch.container.read_only = true;
        launch.container.files = vec![File {
            target: "/etc/app/app.conf".to_owned(),
            content: b"x".to_vec(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            reload: None,
        }];
        launch
            .container
            .secrets
            .insert(SecretName::new("key").unwrap(), SecretFile::plain("hash"));
        let targets: Vec<_> = host(&launch)
            .mounts
            .unwrap()
            .into_iter()
            .map(|mount| (mount.typ, mount.source, mount.target.unwrap()))
            .collect();
        let volume = |target: &str| (Some(MountType::VOLUME), None, target.to_owned());
        assert_eq!(targets, [volume("/etc/app"), volume(SECRETS)]);
    }

    #[test]
    fn a_secret_under_a_memory_file_system_gets_a_volume_over_it() {
        let mut launch = plain();
        launch.container.tmpfs = [("/run".to_owned(), String::new())].into();
        launch
            .container
            .secrets
            .insert(SecretName::new("key").unwrap(), SecretFile::plain("hash"));
        assert!(needs_own_folder(&launch.container, "/run/secrets/key"));
        assert!(!needs_own_folder(&launch.container, "/running/key"));
        let targets: Vec<_> = host(&launch)
            .mounts
            .unwrap()
            .into_iter()
            .map(|mount| mount.target.unwrap())
            .collect();
        assert_eq!(targets, [SECRETS]);
    }

    #[test]
    fn a_probe_of_the_proxys_is_no_health_check_of_the_engines() {
        let mut launch = plain();
        launch.health = Some(Health {
            probe: HealthProbe::Tcp { port: 80 },
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            retries: 1,
            start_period: Duration::ZERO,
        });
        assert_eq!(asked(&launch).healthcheck, None);
    }

    #[test]
    fn lifting_a_memory_limit_is_said_in_numbers_that_the_engine_takes() {
        let none = Resources::default();
        let all = Resources {
            nano_cpus: None,
            memory: Some(5),
            pids: Some(6),
        };
        let asked = |now, wanted| {
            let body = update(now, wanted);
            (body.memory, body.memory_swap, body.pids_limit)
        };
        assert_eq!(
            asked(&all, &none),
            (Some(NO_MEMORY_LIMIT), Some(NO_MEMORY_LIMIT), Some(-1))
        );
        assert_eq!(asked(&none, &all), (Some(5), Some(5), Some(6)));
        assert_eq!(asked(&none, &none), (None, None, None));
    }
}
