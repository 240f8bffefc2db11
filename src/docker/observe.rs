//! One look at the engine.
//!
//! Four lists at once, then an inspect of each container that is ours: the list
//! does not know limits, exit codes or health. A container that goes while it
//! is looked at is not there.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::IpAddr,
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Deserializer};

use super::{
    client::{Client, LOOK, Path, within},
    labels,
    last_look::LastLook,
    reference::spellings,
    request::NO_MEMORY_LIMIT,
};
use crate::{
    reconcile::engine::EngineError,
    workspace::{
        ContainerId, ContainerName, ContainerState, ImageRef, Installation, LiveSettings,
        NetworkName, Observed, ObservedContainer, ObservedNetwork, PortPublish, Readiness,
        Resources, Transport, VolumeName, time,
    },
};

/// Eight: the engine answers an inspect in 0.4 ms, and more at once only wait for its locks.
const INSPECTS_AT_ONCE: usize = 8;

/// Looks at everything.
pub(super) async fn observe(
    client: &Client,
    installation: &Installation,
    last: &LastLook,
) -> Result<Observed, EngineError> {
    within("observe", LOOK, async {
        let began = last.begin();
        if last.is_held()
            && let Some(observed) = last.confirmed(began, &lines(&list(client).await?))
        {
            return Ok(observed);
        }
        let (listed, observed) = look(client, installation).await?;
        last.keep(began, listed, &observed);
        Ok(observed)
    })
    .await
}

/// The last look, if the engine answers and told of nothing since.
pub(super) async fn glance(
    client: &Client,
    last: &LastLook,
) -> Result<Option<Observed>, EngineError> {
    if !last.is_held() {
        return Ok(None);
    }
    let began = last.begin();
    client.ping().await?;
    // What it told until then has arrived; whoever reads it may do so first.
    tokio::task::yield_now().await;
    Ok(last.unchanged(began))
}

async fn list(client: &Client) -> Result<Vec<Listed>, EngineError> {
    client.get(&Path::new("/containers/json?all=true")).await
}

/// The list as it is compared: what changes with nothing but time is not in it.
fn lines(listed: &[Listed]) -> Vec<String> {
    let line = |one: &Listed| {
        format!(
            "{} {} {} {}",
            one.id,
            one.state,
            one.image_id,
            one.names.join(" ")
        )
    };
    listed.iter().map(line).collect()
}

async fn look(
    client: &Client,
    installation: &Installation,
) -> Result<(Vec<String>, Observed), EngineError> {
    let (networks, volumes, images) = (
        Path::new("/networks"),
        Path::new("/volumes"),
        Path::new("/images/json"),
    );
    let (listed, networks, volumes, images) = tokio::try_join!(
        list(client),
        client.get::<Vec<Network>>(&networks),
        client.get::<Volumes>(&volumes),
        client.get::<Vec<Image>>(&images),
    )?;
    let as_listed = lines(&listed);
    let (ours, foreign): (Vec<_>, Vec<_>) = listed
        .into_iter()
        .partition(|container| labels::is_ours(&container.labels, installation));
    let network_ids: BTreeSet<&str> = networks.iter().map(|network| network.id.as_str()).collect();
    let mut containers: Vec<ObservedContainer> =
        foreign.into_iter().filter_map(Listed::observed).collect();
    let inspected: Vec<Option<Inspected>> = stream::iter(ours)
        .map(|container| inspect(client, container.id))
        .buffer_unordered(INSPECTS_AT_ONCE)
        .try_collect()
        .await?;
    containers.extend(
        inspected
            .into_iter()
            .flatten()
            .filter_map(|container| container.observed(installation, &network_ids)),
    );
    // By name, so that two looks at one world are equal.
    containers.sort_by(|left, right| (&left.name, &left.id).cmp(&(&right.name, &right.id)));
    let mut networks: Vec<ObservedNetwork> = networks
        .into_iter()
        .filter_map(|network| network.observed(installation))
        .collect();
    networks.sort_by(|left, right| (&left.name, &left.id).cmp(&(&right.name, &right.id)));
    let observed = Observed {
        containers,
        networks,
        volumes: volumes
            .volumes
            .into_iter()
            .filter_map(|volume| VolumeName::new(volume.name).ok())
            .collect(),
        images: references(images),
    };
    Ok((as_listed, observed))
}

/// Everything about one container; `None` if there is none.
pub(super) async fn inspect(
    client: &Client,
    container: String,
) -> Result<Option<Inspected>, EngineError> {
    let path = Path::new("/containers").segment(&container).then("/json");
    match client.get::<Inspected>(&path).await {
        Ok(inspected) => Ok(Some(inspected)),
        Err(EngineError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn references(images: Vec<Image>) -> BTreeMap<ImageRef, String> {
    let mut references = BTreeMap::new();
    for image in images {
        let listed = image.repo_tags.iter().chain(&image.repo_digests);
        // An untagged image is listed as `<none>:<none>`.
        let written = listed
            .filter(|name| !name.contains("<none>"))
            .flat_map(|name| spellings(name))
            .chain([image.id.clone()]);
        for reference in written.filter_map(|name| ImageRef::new(name).ok()) {
            references.insert(reference, image.id.clone());
        }
    }
    references
}

/// A list or map that engines also send as `null`.
pub(super) fn or_empty<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    #[serde(default, deserialize_with = "or_empty")]
    repo_tags: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    repo_digests: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    #[serde(default, deserialize_with = "or_empty")]
    volumes: Vec<VolumeEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct VolumeEntry {
    name: String,
}

/// A network as the engine lists it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Network {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default)]
    pub(super) created: String,
    #[serde(default)]
    driver: String,
    #[serde(default)]
    internal: bool,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) labels: HashMap<String, String>,
    #[serde(rename = "IPAM", default, deserialize_with = "or_empty")]
    ipam: Ipam,
    /// Who is in it. Only in the answer about one network, not in the list.
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) containers: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Ipam {
    #[serde(default, deserialize_with = "or_empty")]
    config: Vec<IpamRange>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct IpamRange {
    #[serde(default)]
    subnet: String,
    #[serde(default)]
    gateway: String,
}

impl Network {
    fn observed(self, installation: &Installation) -> Option<ObservedNetwork> {
        let managed = labels::is_ours(&self.labels, installation);
        Some(ObservedNetwork {
            name: NetworkName::new(self.name).ok()?,
            workspace: managed
                .then(|| labels::workspace_key(&self.labels))
                .flatten(),
            managed,
            internal: self.internal,
            driver: self.driver,
            gateways: self
                .ipam
                .config
                .iter()
                // Some engines write it as a prefix: `172.18.0.1/16`.
                .filter_map(|range| range.gateway.split('/').next()?.parse().ok())
                .collect(),
            subnets: self
                .ipam
                .config
                .into_iter()
                .map(|range| range.subnet)
                .filter(|subnet| !subnet.is_empty())
                .collect(),
            id: self.id,
        })
    }
}

/// A container as the engine lists it: enough for one that is not ours.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    #[serde(default, deserialize_with = "or_empty")]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    #[serde(rename = "ImageID", default)]
    image_id: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    created: i64,
    #[serde(default, deserialize_with = "or_empty")]
    labels: HashMap<String, String>,
}

impl Listed {
    fn observed(self) -> Option<ObservedContainer> {
        // Names of links have a second slash; the container's own does not.
        let name = self
            .names
            .iter()
            .filter_map(|name| name.strip_prefix('/').or(Some(name)))
            .find(|name| !name.contains('/'))?;
        let created = u64::try_from(self.created).unwrap_or_default();
        let state = State {
            status: self.state,
            ..State::default()
        };
        Some(ObservedContainer {
            id: ContainerId::new(self.id).ok()?,
            name: ContainerName::new(name).ok()?,
            owner: None,
            image: ImageRef::new(self.image).ok()?,
            image_id: self.image_id,
            state: state.observed(SystemTime::UNIX_EPOCH + Duration::from_secs(created)),
            readiness: Readiness::default(),
            networks: BTreeMap::new(),
            live: LiveSettings::default(),
            ports: Vec::new(),
            exposed: Vec::new(),
            nameless: Vec::new(),
        })
    }
}

/// A container as the engine tells all about it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    pub(super) id: String,
    name: String,
    /// The id of its image.
    image: String,
    pub(super) state: State,
    pub(super) config: Config,
    #[serde(default)]
    host_config: HostConfig,
    #[serde(default)]
    pub(super) network_settings: NetworkSettings,
    #[serde(default, deserialize_with = "or_empty")]
    mounts: Vec<MountPoint>,
}

/// Something that is mounted in a container.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MountPoint {
    #[serde(default)]
    r#type: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    destination: String,
}

impl MountPoint {
    /// The engine names such a volume by itself, with 64 digits.
    fn is_nameless_volume(&self) -> bool {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        self.r#type == "volume" && self.name.len() == 64 && self.name.bytes().all(is_digit)
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct State {
    #[serde(default)]
    pub(super) status: String,
    #[serde(default)]
    pub(super) exit_code: i64,
    #[serde(rename = "OOMKilled", default)]
    out_of_memory: bool,
    #[serde(default)]
    started_at: String,
    #[serde(default)]
    finished_at: String,
    health: Option<HealthState>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthState {
    #[serde(default)]
    status: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Config {
    #[serde(default)]
    pub(super) image: String,
    #[serde(default)]
    pub(super) user: String,
    #[serde(default)]
    pub(super) tty: bool,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) env: Vec<String>,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) labels: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    exposed_ports: BTreeMap<String, serde_json::Value>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HostConfig {
    #[serde(default)]
    memory: i64,
    #[serde(default)]
    nano_cpus: i64,
    #[serde(default, deserialize_with = "or_empty")]
    pids_limit: i64,
    #[serde(default, deserialize_with = "or_empty")]
    port_bindings: BTreeMap<String, Option<Vec<Binding>>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct NetworkSettings {
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) networks: BTreeMap<String, Endpoint>,
    #[serde(default, deserialize_with = "or_empty")]
    ports: BTreeMap<String, Option<Vec<Binding>>>,
}

/// A container's end of a network.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Endpoint {
    #[serde(rename = "NetworkID", default)]
    pub(super) network_id: String,
    #[serde(rename = "IPAddress", default)]
    address: String,
    #[serde(default, deserialize_with = "or_empty")]
    pub(super) aliases: Vec<String>,
}

impl Endpoint {
    /// Whether it means whatever network has its name now: Docker of a container
    /// that never started, Podman always (4.3 gives the name as the id).
    pub(super) fn is_by_name(&self, name: &str) -> bool {
        self.network_id.is_empty() || self.network_id == name
    }
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Binding {
    #[serde(default)]
    host_ip: String,
    #[serde(default)]
    host_port: String,
}

impl Inspected {
    /// Whether it runs now.
    pub(super) fn is_running(&self) -> bool {
        matches!(
            self.state.observed(SystemTime::UNIX_EPOCH),
            ContainerState::Running { .. }
        )
    }

    /// Host ports that it was created to hold, whether it runs or not.
    pub(super) fn bound_ports(&self) -> Vec<PortPublish> {
        self.host_config
            .port_bindings
            .iter()
            .flat_map(held_ports)
            .collect()
    }

    /// The limits it has now.
    pub(super) fn resources(&self) -> Resources {
        self.host_config.observed()
    }

    fn observed(
        self,
        installation: &Installation,
        network_ids: &BTreeSet<&str>,
    ) -> Option<ObservedContainer> {
        let state = self.state.observed(SystemTime::UNIX_EPOCH);
        let networks = self
            .network_settings
            .networks
            .into_iter()
            // One that was remade has another id: the container is not in it.
            .filter(|(name, endpoint)| {
                endpoint.is_by_name(name) || network_ids.contains(endpoint.network_id.as_str())
            })
            .filter_map(|(name, endpoint)| {
                let address: Option<IpAddr> = endpoint.address.parse().ok();
                Some((NetworkName::new(name).ok()?, address))
            })
            .collect();
        let ports = self.network_settings.ports;
        Some(ObservedContainer {
            id: ContainerId::new(self.id).ok()?,
            name: ContainerName::new(self.name.trim_start_matches('/')).ok()?,
            owner: labels::owner(&self.config.labels, installation),
            image: ImageRef::new(self.config.image).ok()?,
            image_id: self.image,
            readiness: readiness(state, self.state.health.as_ref()),
            state,
            networks,
            live: LiveSettings {
                resources: self.host_config.observed(),
            },
            ports: ports.iter().flat_map(held_ports).collect(),
            exposed: self
                .config
                .exposed_ports
                .keys()
                .filter_map(|key| match port(key)? {
                    (port, Transport::Tcp) => Some(port),
                    (_, Transport::Udp) => None,
                })
                .collect(),
            nameless: self
                .mounts
                .into_iter()
                .filter(MountPoint::is_nameless_volume)
                .map(|mount| mount.destination)
                .collect(),
        })
    }
}

fn readiness(state: ContainerState, health: Option<&HealthState>) -> Readiness {
    if !matches!(state, ContainerState::Running { .. }) {
        return Readiness::Starting;
    }
    match health.map(|health| health.status.as_str()) {
        None | Some("" | "none" | "healthy") => Readiness::Ready,
        Some("unhealthy") => Readiness::Unhealthy,
        Some(_) => Readiness::Starting,
    }
}

impl State {
    /// In our words; `unknown` is the time of which the engine says nothing.
    fn observed(&self, unknown: SystemTime) -> ContainerState {
        match self.status.as_str() {
            // What restarts under the engine's own policy is up as far as we care.
            "running" | "restarting" | "stopping" => ContainerState::Running {
                since: time(&self.started_at).unwrap_or(unknown),
            },
            "paused" => ContainerState::Paused,
            "exited" | "stopped" => ContainerState::Exited {
                code: self.exit_code,
                at: time(&self.finished_at).unwrap_or(unknown),
                out_of_memory: self.out_of_memory,
            },
            "dead" | "removing" => ContainerState::Dead,
            // Podman also says `configured` and `initialized`.
            _ => ContainerState::Created,
        }
    }
}

impl HostConfig {
    fn observed(&self) -> Resources {
        let limit = |value: i64| (value > 0).then_some(value);
        Resources {
            nano_cpus: limit(self.nano_cpus),
            memory: limit(self.memory).filter(|&bytes| bytes < NO_MEMORY_LIMIT),
            pids: limit(self.pids_limit),
        }
    }
}

/// Those of one port inside; what has no number yet holds none.
fn held_ports((key, bindings): (&String, &Option<Vec<Binding>>)) -> Vec<PortPublish> {
    let Some((container, transport)) = port(key) else {
        return Vec::new();
    };
    bindings
        .iter()
        .flatten()
        .filter_map(|binding| {
            Some(PortPublish {
                container,
                host: Some(binding.host_port.parse().ok()?),
                address: binding.host_ip.clone(),
                transport,
            })
        })
        .collect()
}

/// Reads `80/tcp`.
pub(super) fn port(key: &str) -> Option<(u16, Transport)> {
    let (number, transport) = key.split_once('/').unwrap_or((key, "tcp"));
    let transport = match transport {
        "tcp" => Transport::Tcp,
        "udp" => Transport::Udp,
        _ => return None,
    };
    Some((number.parse().ok()?, transport))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inspected(change: impl FnOnce(&mut serde_json::Value)) -> ObservedContainer {
        let mut json = serde_json::json!({
            "Id": "0123456789abcdef",
            "Name": "/shop-web-1",
            "Image": "sha256:00",
            "State": {"Status": "running", "StartedAt": "1970-01-01T00:00:09Z"},
            "Config": {
                "Image": "nginx:alpine",
                "Labels": {
                    "dev.cosmos.installation": "cosmos",
                    "dev.cosmos.kind": "service",
                    "dev.cosmos.workspace": "shop",
                    "dev.cosmos.service": "web",
                },
                "ExposedPorts": {"80/tcp": {}, "53/udp": {}},
            },
            "HostConfig": {"Memory": 5, "NanoCpus": 0, "PidsLimit": null},
            "NetworkSettings": {
                "Networks": {
                    "cosmos-net": {"NetworkID": "n1", "IPAddress": "172.18.0.2", "Aliases": null},
                    "gone": {"NetworkID": "n0", "IPAddress": ""},
                },
                "Ports": {
                    "80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}],
                    "81/tcp": null,
                },
            },
        });
        change(&mut json);
        serde_json::from_value::<Inspected>(json)
            .unwrap()
            .observed(&Installation::default(), &BTreeSet::from(["n1"]))
            .unwrap()
    }

    #[test]
    fn an_inspected_container_is_told_in_our_words() {
        let container = inspected(|_| {});
        assert_eq!(container.name.as_str(), "shop-web-1");
        assert_eq!(
            container.state,
            ContainerState::Running {
                since: SystemTime::UNIX_EPOCH + Duration::from_secs(9)
            }
        );
        assert_eq!(container.owner.unwrap().name.as_deref(), Some("web"));
        assert_eq!(container.exposed, [80]);
        assert_eq!(container.live.resources.memory, Some(5));
        assert_eq!(container.live.resources.pids, None);
        assert_eq!(container.ports[0].host, Some(8081));
        assert_eq!(container.ports.len(), 1);
    }

    #[test]
    fn a_network_that_was_remade_is_not_one_it_is_in() {
        let networks = inspected(|_| {}).networks;
        let address: IpAddr = [172, 18, 0, 2].into();
        assert_eq!(
            networks,
            BTreeMap::from([(NetworkName::new("cosmos-net").unwrap(), Some(address))])
        );
    }

    #[test]
    fn a_lifted_memory_limit_is_none() {
        let container = inspected(|json| json["HostConfig"]["Memory"] = NO_MEMORY_LIMIT.into());
        assert_eq!(container.live.resources.memory, None);
    }

    #[test]
    fn readiness_is_the_health_checks_and_without_one_that_it_runs() {
        let with = |health: serde_json::Value, status: &str| {
            inspected(|json| {
                json["State"]["Health"] = health;
                json["State"]["Status"] = status.into();
            })
            .readiness
        };
        let health = |status: &str| serde_json::json!({ "Status": status });
        assert_eq!(with(serde_json::Value::Null, "running"), Readiness::Ready);
        assert_eq!(with(health("healthy"), "running"), Readiness::Ready);
        assert_eq!(with(health("starting"), "running"), Readiness::Starting);
        assert_eq!(with(health("unhealthy"), "running"), Readiness::Unhealthy);
        assert_eq!(with(health("healthy"), "exited"), Readiness::Starting);
    }

    #[test]
    fn a_state_that_no_docker_knows_does_not_break_the_look() {
        assert_eq!(
            inspected(|json| json["State"]["Status"] = "initialized".into()).state,
            ContainerState::Created
        );
    }

    #[test]
    fn a_container_of_another_is_known_by_name_and_state_only() {
        let listed: Listed = serde_json::from_value(serde_json::json!({
            "Id": "ff", "Names": ["/other/alias", "/db"], "Image": "postgres", "ImageID": "sha256:1",
            "State": "running", "Created": 7, "Labels": null,
        }))
        .unwrap();
        let container = listed.observed().unwrap();
        assert_eq!(container.name.as_str(), "db");
        assert!(container.is_running() && container.owner.is_none());
    }
}
