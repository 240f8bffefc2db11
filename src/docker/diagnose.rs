//! What `cosmos doctor` asks of an engine: what it is, and all that is there, ours or not.
//!
//! Nothing is changed, and every answer is the engine's own: whatever is wrong may
//! be wrong in what the proxy would say. What of it is wrong is judged elsewhere.

use std::{
    collections::{BTreeMap, HashMap},
    time::SystemTime,
};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::{
    client::{self, LOOK, Path, within},
    engine::DockerEngine,
    labels,
    observe::or_empty,
};
use crate::{
    reconcile::engine::EngineError,
    workspace::{Installation, Owner, time},
};

/// The oldest API that Cosmos can use, which is Docker 20.10's: 1.41.
pub const OLDEST_MINOR: u32 = 41;

/// The newest API that Cosmos speaks: 1.47.
pub const NEWEST_MINOR: u32 = client::NEWEST_MINOR;

/// Eight: as when the engine is observed.
const INSPECTS_AT_ONCE: usize = 8;

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// `Docker` or `Podman`; what else it calls itself.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The newest API that it speaks: `1.41`.
    pub api: String,
    /// The oldest API that it speaks, if it says so.
    pub oldest_api: Option<String>,
}

/// The machine that an engine runs on. What may hold a secret (proxies, registries) is not
/// read at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all(deserialize = "PascalCase"))]
pub struct Machine {
    /// The system: `Debian GNU/Linux 12 (bookworm)`.
    #[serde(default)]
    pub operating_system: String,
    /// The kernel's version.
    #[serde(default)]
    pub kernel_version: String,
    /// `x86_64`.
    #[serde(default)]
    pub architecture: String,
    /// How images and containers are stored: `overlay2`.
    #[serde(default)]
    pub driver: String,
    /// `1` or `2`.
    #[serde(default)]
    pub cgroup_version: String,
    /// What containers are run by: `runc`.
    #[serde(default)]
    pub default_runtime: String,
    /// `name=seccomp,profile=default`, `name=rootless`.
    #[serde(default, deserialize_with = "or_empty")]
    pub security_options: Vec<String>,
    /// How many processors.
    #[serde(rename(deserialize = "NCPU"), default)]
    pub processors: u64,
    /// Its memory in bytes.
    #[serde(rename(deserialize = "MemTotal"), default)]
    pub memory: u64,
    /// How many containers there are.
    #[serde(default)]
    pub containers: u64,
    /// How many images there are.
    #[serde(default)]
    pub images: u64,
    /// The folder that it keeps everything in.
    #[serde(rename(deserialize = "DockerRootDir"), default)]
    pub root: String,
    /// What time it is there: RFC 3339.
    #[serde(default)]
    pub system_time: String,
    /// What the engine itself warns of.
    #[serde(default, deserialize_with = "or_empty")]
    pub warnings: Vec<String>,
}

impl Machine {
    /// What time it is there, if it says so.
    pub fn time(&self) -> Option<SystemTime> {
        time(&self.system_time)
    }

    /// Whether the engine's files are on a disk of its own, though its socket is here:
    /// it runs in a machine in this machine.
    pub fn is_virtual(&self) -> bool {
        self.operating_system.contains("Docker Desktop")
    }
}

/// All that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listing {
    /// Every container.
    pub containers: Vec<ListedContainer>,
    /// Every network.
    pub networks: Vec<ListedNetwork>,
    /// The volumes of this installation that no container uses.
    pub unused_volumes: Vec<String>,
}

/// A container as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedContainer {
    /// Its name.
    pub name: String,
    /// Its id.
    pub id: String,
    /// The image it was created from.
    pub image: String,
    /// The engine's word: `running`, `exited`.
    pub state: String,
    /// The engine's words: `Up 2 hours (healthy)`.
    pub status: String,
    /// The host ports that it holds now, each with its address.
    pub ports: Vec<(String, u16)>,
    /// Who it belongs to, if this installation made it.
    pub owner: Option<Owner>,
    /// Those of its labels that are Cosmos's own.
    pub labels: BTreeMap<String, String>,
}

impl ListedContainer {
    /// Whether it is one that holds its ports.
    pub fn holds(&self, port: u16) -> bool {
        self.state == "running" && self.ports.iter().any(|(_, held)| *held == port)
    }
}

/// A network as the engine lists it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ListedNetwork {
    /// Its name.
    pub name: String,
    /// Made by this installation.
    pub is_ours: bool,
    /// Its driver.
    pub driver: String,
    /// The host's end of it, as far as that is known: `br-0123456789ab`.
    pub bridge: String,
    /// Its address ranges, in CIDR form.
    pub subnets: Vec<String>,
}

impl DockerEngine {
    /// What it is.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn about(&self) -> Result<About, EngineError> {
        let path = Path::new("/version");
        let version: Version =
            within("version", LOOK, self.client().get_unversioned(&path)).await?;
        Ok(version.about())
    }

    /// The machine that it runs on.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn machine(&self) -> Result<Machine, EngineError> {
        within("info", LOOK, self.client().get(&Path::new("/info"))).await
    }

    /// All that is there.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn listing(&self) -> Result<Listing, EngineError> {
        let unused = Path::new("/volumes").query("filters", r#"{"dangling":["true"]}"#);
        let (containers, networks) = (
            Path::new("/containers/json?all=true"),
            Path::new("/networks"),
        );
        let (containers, networks, unused) = within("list", LOOK, async {
            tokio::try_join!(
                self.client().get::<Vec<Container>>(&containers),
                self.client().get::<Vec<Network>>(&networks),
                self.client().get::<Volumes>(&unused),
            )
        })
        .await?;
        let installation = self.installation();
        Ok(Listing {
            containers: containers
                .into_iter()
                .map(|container| container.listed(installation))
                .collect(),
            networks: networks
                .into_iter()
                .map(|network| network.listed(installation))
                .collect(),
            unused_volumes: unused.of(installation),
        })
    }

    /// Where on the engine's machine a volume is; nothing if there is none.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn volume_folder(&self, name: &str) -> Result<Option<String>, EngineError> {
        let path = Path::new("/volumes").segment(name);
        match within("inspect volume", LOOK, self.client().get::<Volume>(&path)).await {
            Ok(volume) => Ok(Some(volume.mountpoint).filter(|folder| !folder.is_empty())),
            Err(EngineError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The environments of these containers, `NAME=value` each: what must not be in
    /// anything that is shown. What is not there any more has none.
    ///
    /// # Errors
    /// If the engine does not say.
    pub async fn environments(&self, ids: Vec<String>) -> Result<Vec<String>, EngineError> {
        let environment = async |id: String| -> Result<Vec<String>, EngineError> {
            let found = self.inspect(&id).await?;
            Ok(found.map_or_else(Vec::new, |found| found.config.env))
        };
        let all: Vec<Vec<String>> = stream::iter(ids)
            .map(environment)
            .buffer_unordered(INSPECTS_AT_ONCE)
            .try_collect()
            .await?;
        Ok(all.into_iter().flatten().collect())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Version {
    #[serde(default)]
    version: String,
    #[serde(default)]
    api_version: String,
    #[serde(rename = "MinAPIVersion", default)]
    oldest: String,
    #[serde(default, deserialize_with = "or_empty")]
    components: Vec<Component>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Component {
    #[serde(default)]
    name: String,
}

impl Version {
    fn about(self) -> About {
        let name = match self.components.first().map(|first| first.name.as_str()) {
            Some("Engine" | "") | None => "Docker",
            Some(name) => name.strip_suffix(" Engine").unwrap_or(name),
        };
        About {
            name: name.to_owned(),
            version: self.version,
            api: self.api_version,
            oldest_api: Some(self.oldest).filter(|oldest| !oldest.is_empty()),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Container {
    id: String,
    #[serde(default, deserialize_with = "or_empty")]
    names: Vec<String>,
    #[serde(default)]
    image: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    status: String,
    #[serde(default, deserialize_with = "or_empty")]
    ports: Vec<Port>,
    #[serde(default, deserialize_with = "or_empty")]
    labels: HashMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Port {
    #[serde(rename = "IP", default)]
    address: String,
    #[serde(default, deserialize_with = "or_empty")]
    public_port: u16,
    #[serde(rename = "Type", default)]
    transport: String,
}

impl Container {
    fn listed(self, installation: &Installation) -> ListedContainer {
        // Names of links have a second slash; the container's own does not.
        let name = self
            .names
            .iter()
            .map(|name| name.trim_start_matches('/'))
            .find(|name| !name.contains('/'))
            .unwrap_or(&self.id);
        ListedContainer {
            name: name.to_owned(),
            image: self.image,
            state: self.state,
            status: self.status,
            ports: self
                .ports
                .into_iter()
                .filter(|port| port.public_port != 0 && port.transport != "udp")
                .map(|port| (port.address, port.public_port))
                .collect(),
            owner: labels::owner(&self.labels, installation),
            labels: self
                .labels
                .into_iter()
                .filter(|(label, _)| label.starts_with(labels::PREFIX))
                .collect(),
            id: self.id,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Network {
    id: String,
    name: String,
    #[serde(default)]
    driver: String,
    #[serde(default, deserialize_with = "or_empty")]
    labels: HashMap<String, String>,
    #[serde(default, deserialize_with = "or_empty")]
    options: HashMap<String, String>,
    #[serde(rename = "IPAM", default, deserialize_with = "or_empty")]
    addresses: Addresses,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Addresses {
    #[serde(default, deserialize_with = "or_empty")]
    config: Vec<Range>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Range {
    #[serde(default)]
    subnet: String,
}

impl Network {
    fn listed(self, installation: &Installation) -> ListedNetwork {
        let named = self.options.get("com.docker.network.bridge.name");
        let bridge = match named {
            Some(name) => name.clone(),
            None => format!("br-{}", self.id.get(..12).unwrap_or(&self.id)),
        };
        let ranges = self.addresses.config.into_iter();
        ListedNetwork {
            name: self.name,
            is_ours: labels::is_ours(&self.labels, installation),
            driver: self.driver,
            bridge,
            subnets: ranges
                .map(|range| range.subnet)
                .filter(|subnet| !subnet.is_empty())
                .collect(),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volumes {
    #[serde(default, deserialize_with = "or_empty")]
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Volume {
    #[serde(default)]
    name: String,
    #[serde(default)]
    mountpoint: String,
    #[serde(default, deserialize_with = "or_empty")]
    labels: HashMap<String, String>,
}

impl Volumes {
    /// Those of this installation but its state, which outlives the proxy on purpose.
    fn of(self, installation: &Installation) -> Vec<String> {
        let state = installation.state_volume();
        let is_ours =
            |volume: &Volume| labels::is_ours(&volume.labels, installation) && volume.name != state;
        let ours = self.volumes.into_iter().filter(is_ours);
        let mut names: Vec<String> = ours.map(|volume| volume.name).collect();
        names.sort();
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn about(answer: &str) -> About {
        serde_json::from_str::<Version>(answer).unwrap().about()
    }

    #[test]
    fn an_engine_is_called_what_people_call_it() {
        let docker = about(
            r#"{"Components":[{"Name":"Engine","Version":"20.10.24"}],"Version":"20.10.24","ApiVersion":"1.41","MinAPIVersion":"1.12"}"#,
        );
        assert_eq!(
            (docker.name.as_str(), docker.api.as_str()),
            ("Docker", "1.41")
        );
        assert_eq!(docker.oldest_api.as_deref(), Some("1.12"));
        let podman = about(
            r#"{"Components":[{"Name":"Podman Engine"},{"Name":"Conmon"}],"Version":"4.3.1","ApiVersion":"1.41"}"#,
        );
        assert_eq!(podman.name, "Podman");
        assert_eq!(about("{}").name, "Docker");
    }

    #[test]
    fn a_container_has_its_own_name_our_labels_and_the_ports_that_it_holds() {
        let container: Container = serde_json::from_str(
            r#"{"Id":"0123","Names":["/other/link","/web"],"Image":"nginx","State":"running","Status":"Up",
                "Labels":{"dev.cosmos.installation":"cosmos","dev.cosmos.kind":"adhoc","password":"1"},
                "Ports":[{"IP":"0.0.0.0","PrivatePort":80,"PublicPort":8080,"Type":"tcp"},
                         {"PrivatePort":81,"Type":"tcp"},{"IP":"::","PrivatePort":53,"PublicPort":53,"Type":"udp"}]}"#,
        )
        .unwrap();
        let listed = container.listed(&Installation::default());
        assert_eq!(listed.name, "web");
        assert_eq!(listed.ports, [("0.0.0.0".to_owned(), 8080)]);
        assert!(listed.holds(8080) && !listed.holds(53));
        assert!(!listed.labels.contains_key("password"));
        assert!(listed.owner.is_some());
    }

    #[test]
    fn a_network_has_its_bridge_by_option_or_by_id() {
        let listed = |answer: &str| {
            let network: Network = serde_json::from_str(answer).unwrap();
            network.listed(&Installation::default())
        };
        let plain = listed(
            r#"{"Id":"0123456789abcdef","Name":"x","IPAM":{"Config":[{"Subnet":"172.18.0.0/16"}]},"Options":null}"#,
        );
        assert_eq!(plain.bridge, "br-0123456789ab");
        assert_eq!(plain.subnets, ["172.18.0.0/16"]);
        let named = listed(
            r#"{"Id":"01","Name":"bridge","Options":{"com.docker.network.bridge.name":"docker0"}}"#,
        );
        assert_eq!(named.bridge, "docker0");
    }

    #[test]
    fn an_unused_volume_is_ours_by_label_and_never_the_state() {
        let volumes: Volumes = serde_json::from_str(
            r#"{"Volumes":[{"Name":"shop_data","Labels":{"dev.cosmos.installation":"cosmos"}},
                {"Name":"cosmos-state","Labels":{"dev.cosmos.installation":"cosmos"}},
                {"Name":"theirs","Labels":null}]}"#,
        )
        .unwrap();
        assert_eq!(volumes.of(&Installation::default()), ["shop_data"]);
    }
}
