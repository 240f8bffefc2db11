//! What the engine says is there, in our words.
//!
//! An [`Observed`] is one look at the world. It holds no promise about the next
//! moment, and it never holds anything that was only wished for.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::SystemTime,
};

use super::{
    container::{Container, PortPublish, Resources},
    fingerprint::Fingerprint,
    name::{
        CommandName, ContainerId, ContainerName, ImageRef, NetworkName, ServiceName, VolumeName,
    },
};

/// One look at the engine.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Observed {
    /// Every container, ours or not: a foreign one may hold a name we need.
    pub containers: Vec<ObservedContainer>,
    /// Every network.
    pub networks: Vec<ObservedNetwork>,
    /// Every named volume.
    pub volumes: BTreeSet<VolumeName>,
    /// The image id behind each reference the engine has.
    pub images: BTreeMap<ImageRef, String>,
}

/// What the store remembers and no engine can tell.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// One-shots that ran to their end with 0, by the fingerprint of the run: a
    /// removed container stays done.
    pub completed: BTreeMap<CommandName, Fingerprint>,
    /// Host ports once given to a published port without one of its own:
    /// container name and port inside, to the port on the host.
    pub host_ports: BTreeMap<(ContainerName, u16), u16>,
    /// Containers whose host port somebody else has by now: they cannot be started
    /// as they are.
    pub given_up: BTreeSet<ContainerName>,
    /// What each fingerprint stands for, so that a change can name its fields.
    pub applied: BTreeMap<Fingerprint, Container>,
    /// What was last put into each container of the files that can be changed in
    /// it: their digests, by place. No engine tells the content of a file.
    pub files: BTreeMap<ContainerId, BTreeMap<String, String>>,
    /// What somebody asks for just now.
    pub asked: Asked,
}

/// What a person asks for once, beside what is declared: of no store, and over
/// when it is done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Services to be started though they ended as their policy lets them.
    pub started: BTreeSet<ServiceName>,
    /// One-shots to be run again though nothing changed.
    pub again: BTreeSet<CommandName>,
}

impl Observed {
    /// The container of that name.
    pub fn container(&self, name: &ContainerName) -> Option<&ObservedContainer> {
        self.containers
            .iter()
            .find(|container| container.name == *name)
    }

    /// The network of that name.
    pub fn network(&self, name: &NetworkName) -> Option<&ObservedNetwork> {
        self.networks.iter().find(|network| network.name == *name)
    }

    /// The containers of one workspace.
    pub fn owned_by<'a>(
        &'a self,
        key: &'a str,
    ) -> impl Iterator<Item = (&'a ObservedContainer, &'a Owner)> {
        self.containers.iter().filter_map(move |container| {
            let owner = container.owner.as_ref()?;
            (owner.workspace.as_deref() == Some(key)).then_some((container, owner))
        })
    }
}

/// One container as it is now.
#[derive(Debug, Clone, PartialEq)]
pub struct ObservedContainer {
    /// Its id.
    pub id: ContainerId,
    /// Its name.
    pub name: ContainerName,
    /// Who made it, if Cosmos did (in this installation).
    pub owner: Option<Owner>,
    /// The reference it was created from.
    pub image: ImageRef,
    /// The id of the image it runs.
    pub image_id: String,
    /// What it is doing.
    pub state: ContainerState,
    /// Whether it is ready, as far as anyone has found out since its last start.
    pub readiness: Readiness,
    /// The networks it is in, with its address there (none while it is stopped).
    pub networks: BTreeMap<NetworkName, Option<IpAddr>>,
    /// Settings that can be changed from outside without a new container.
    pub live: LiveSettings,
    /// Host ports it really holds.
    pub ports: Vec<PortPublish>,
    /// Ports its image says it listens on (TCP).
    pub exposed: Vec<u16>,
    /// The places in it of volumes without a name: those go with it.
    pub nameless: Vec<String>,
}

impl ObservedContainer {
    /// Whether it is running now.
    pub fn is_running(&self) -> bool {
        matches!(self.state, ContainerState::Running { .. })
    }
}

/// Settings of a live container that anyone with the engine's socket can change in place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LiveSettings {
    /// Limits.
    pub resources: Resources,
}

/// Who a container belongs to, from its labels.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Owner {
    /// What it is.
    pub kind: Kind,
    /// The workspace's key (`shop`, `fix-42.shop`); ad-hoc containers and the proxy have none.
    pub workspace: Option<String>,
    /// The project's folder that the workspace had when it was made.
    pub folder: Option<String>,
    /// The service or command.
    pub name: Option<String>,
    /// Which replica, from 1.
    pub replica: u32,
    /// The hash of what it was made from.
    pub spec: Fingerprint,
    /// Which incarnation: a short random word.
    pub generation: String,
}

/// What a managed container is.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A replica of a declared service.
    Service,
    /// A one-shot.
    Command,
    /// Started by `cosmos start IMAGE`, in no config.
    Adhoc,
    /// The proxy itself.
    Proxy,
}

impl Kind {
    /// The text of the label `dev.cosmos.kind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Command => "command",
            Self::Adhoc => "adhoc",
            Self::Proxy => "proxy",
        }
    }

    /// Reads the label.
    pub fn from_label(text: &str) -> Option<Self> {
        [Self::Service, Self::Command, Self::Adhoc, Self::Proxy]
            .into_iter()
            .find(|kind| kind.as_str() == text)
    }
}

/// What a container is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerState {
    /// Made, never started.
    Created,
    /// Running, or restarting under a policy that is not ours.
    Running {
        /// Since when.
        since: SystemTime,
    },
    /// Frozen.
    Paused,
    /// It ended.
    Exited {
        /// Its exit code.
        code: i64,
        /// When.
        at: SystemTime,
        /// The kernel killed it for its memory.
        out_of_memory: bool,
    },
    /// The engine is removing it, or failed to.
    Dead,
}

/// Whether a running container is ready.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Readiness {
    /// Nothing has been found out yet, or it is still in its start period.
    #[default]
    Starting,
    /// Its probe succeeded, or it has none and runs.
    Ready,
    /// Its probe failed as often as it may.
    Unhealthy,
}

/// One network as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedNetwork {
    /// Its id: names are not unique.
    pub id: String,
    /// Its name.
    pub name: NetworkName,
    /// The workspace that it was made for, if one of ours.
    pub workspace: Option<String>,
    /// Made by this installation.
    pub managed: bool,
    /// No way out of it.
    pub internal: bool,
    /// Its driver.
    pub driver: String,
    /// Its subnets, in CIDR form.
    pub subnets: Vec<String>,
    /// The addresses of its gateways: whoever comes from the host comes from one.
    pub gateways: Vec<IpAddr>,
}
