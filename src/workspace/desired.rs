//! What a person wants, resolved: the meaning of a config.
//!
//! [`Workspace`] is what the CLI sends and the server plans from. Maps keep the
//! order of the file where a person will see it.

use std::{collections::BTreeMap, fmt, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{
    container::{Container, Image},
    identity::Identity,
    millis,
    name::{CommandName, ImageRef, NetworkName, RouteName, ServiceName, VolumeName},
};

/// The desired state of one workspace: complete, valid and ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Workspace {
    /// Who it is.
    pub identity: Identity,
    /// The network its containers are in.
    pub network: Network,
    /// What it needs of the proxy it shares with others.
    pub proxy: ProxyNeeds,
    /// Long-running containers, in the order of the file.
    pub services: IndexMap<ServiceName, Service>,
    /// Run-to-completion containers and execs.
    pub commands: IndexMap<CommandName, Command>,
    /// Upstreams outside the engine.
    pub routes: IndexMap<RouteName, OutsideRoute>,
    /// Every named volume that anything mounts.
    pub volumes: IndexMap<VolumeName, Volume>,
    /// Networks beside its own that something is in, by the engine's name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub networks: IndexMap<NetworkName, FurtherNetwork>,
    /// Where each value was written. Beside the desired state, not part of it:
    /// moving a line changes nothing.
    #[serde(default)]
    pub origins: Origins,
}

impl Workspace {
    /// The images of what runs or may be run, one for each part that has one.
    pub fn images(&self) -> impl Iterator<Item = &Image> {
        let services = self
            .services
            .values()
            .map(|service| &service.container.image);
        let commands = self
            .commands
            .values()
            .filter_map(|command| match &command.kind {
                CommandKind::Container(container) => Some(&container.image),
                CommandKind::Exec { .. } => None,
            });
        services.chain(commands)
    }
}

/// A network and how it is made where it is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Network {
    /// The engine's name of it.
    pub name: NetworkName,
    /// Of this workspace alone.
    pub isolated: bool,
    /// No way out of it.
    pub internal: bool,
    /// IPv6 as well.
    pub ipv6: bool,
    /// The address range, in CIDR form, if not the engine's choice.
    pub subnet: Option<String>,
    /// The gateway's address, if not the engine's choice.
    pub gateway: Option<String>,
    /// The driver: `bridge` unless said otherwise.
    pub driver: String,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Network {
    /// A plain bridge of the given name.
    pub fn bridge(name: NetworkName) -> Self {
        Self {
            name,
            isolated: false,
            internal: false,
            ipv6: false,
            subnet: None,
            gateway: None,
            driver: "bridge".to_owned(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// A network beside the workspace's own, for those of its containers that name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FurtherNetwork {
    /// It is somebody else's: neither made nor removed here.
    pub external: bool,
    /// How it is made.
    pub network: Network,
}

/// What a workspace needs of the proxy. `None` means: no opinion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ProxyNeeds {
    /// The host port it listens on.
    pub port: Option<u16>,
    /// What may be done without the token.
    pub tokenless: Option<Tokenless>,
    /// Its image, if not self-made.
    pub image: Option<ImageRef>,
}

/// What callers without the token may do.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum Tokenless {
    /// `POST /container`, for ad-hoc containers.
    #[default]
    Adhoc,
    /// Nothing.
    Off,
}

/// A declared long-running container, with replicas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Service {
    /// What runs.
    pub container: Container,
    /// Whether it runs. Anything but `Running` was somebody's order.
    pub run: RunState,
    /// How many.
    pub replicas: u32,
    /// What must be so before it starts.
    pub depends_on: IndexMap<String, AfterCondition>,
    /// When it is ready. Without one it is ready once it runs.
    pub health: Option<Health>,
    /// How the proxy leads to it.
    pub route: Option<Route>,
    /// How it is replaced.
    pub update: UpdateOrder,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// Host paths whose change does something.
    pub watch: Vec<WatchRule>,
}

impl Service {
    /// More replicas than this are a typo.
    pub const MOST_REPLICAS: u32 = 1000;

    /// Why there cannot be so many of it at once, if there cannot.
    pub fn cannot_be(&self, replicas: u32) -> Option<String> {
        if replicas > Self::MOST_REPLICAS {
            return Some(format!("at most {} are", Self::MOST_REPLICAS));
        }
        let mut ports = self.container.ports.iter();
        let fixed = ports.find_map(|port| port.host).filter(|_| replicas > 1)?;
        Some(format!("they cannot all have host port {fixed}"))
    }
}

/// Whether a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum RunState {
    /// As declared.
    Running,
    /// Held stopped by an order.
    Stopped {
        /// The order, in words: ``held stopped by `cosmos stop web` ``.
        because: String,
    },
    /// Declared, but none of its profiles is active: it does not run unless held started.
    Off,
}

/// What must be so of a service or command before another starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AfterCondition {
    /// It runs.
    Started,
    /// It is ready, as its `health` says.
    Ready,
    /// It ran to its end with exit code 0.
    Completed,
}

impl fmt::Display for AfterCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Started => "started",
            Self::Ready => "ready",
            Self::Completed => "completed",
        })
    }
}

/// How it is found out whether a service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Health {
    /// What is tried.
    pub probe: HealthProbe,
    /// Between two tries.
    #[serde(with = "millis")]
    #[schemars(with = "u64")]
    pub interval: Duration,
    /// For one try.
    #[serde(with = "millis")]
    #[schemars(with = "u64")]
    pub timeout: Duration,
    /// Failures in a row that make it not ready.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    #[serde(with = "millis")]
    #[schemars(with = "u64")]
    pub start_period: Duration,
}

impl Health {
    /// The longest a service may take from start to ready.
    pub fn patience(&self) -> Duration {
        self.start_period.saturating_add(
            (self.interval.saturating_add(self.timeout)).saturating_mul(self.retries.max(1)),
        )
    }
}

/// One way to see that a service is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthProbe {
    /// The port accepts a connection. Made by the proxy.
    Tcp {
        /// The container's port.
        port: u16,
    },
    /// A GET of the path answers 2xx or 3xx. Made by the proxy.
    Http {
        /// Path and query.
        path: String,
        /// The container's port.
        port: u16,
    },
    /// A command in the container exits 0. Made by the engine.
    Command {
        /// The command and its arguments.
        run: Vec<String>,
    },
    /// A line of its output contains the text.
    Log {
        /// The text.
        contains: String,
    },
}

/// How the proxy leads to a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Route {
    /// The container's port.
    pub port: u16,
    /// Further host names; the service's own is always there.
    pub hosts: Vec<String>,
    /// Only paths that start with this, on a segment's end.
    pub path: Option<String>,
    /// What the upstream speaks.
    pub protocol: UpstreamProtocol,
    /// Also takes what no other route does.
    pub default: bool,
    /// How long a request waits while the service starts; the proxy's own limit if not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Duration>,
    /// What the inspector keeps of its requests.
    #[serde(default, skip_serializing_if = "CaptureMode::is_default")]
    pub capture: CaptureMode,
}

/// What the inspector keeps of a route's requests.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum CaptureMode {
    /// What passes, without the secrets in it.
    #[default]
    Redacted,
    /// What passes, secrets included: in memory only, for whoever has the token.
    Unredacted,
    /// Nothing.
    Off,
}

impl CaptureMode {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// What an upstream speaks.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum UpstreamProtocol {
    /// HTTP/1.1.
    #[default]
    Http,
    /// HTTP/2 with prior knowledge.
    H2c,
    /// gRPC, which is HTTP/2 with trailers.
    Grpc,
}

/// How a service is replaced.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateOrder {
    /// The new one first, unless a fixed host port or a writable volume forbids it.
    #[default]
    Auto,
    /// The new one first.
    StartFirst,
    /// The old one goes first.
    StopFirst,
}

/// When a service that ended is started again.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Whatever its exit code.
    #[default]
    Always,
    /// If its exit code is not 0.
    OnFailure,
    /// Not at all.
    Never,
}

/// A host path whose change does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct WatchRule {
    /// Absolute path on the host.
    pub path: String,
    /// What its change does.
    pub action: WatchAction,
    /// Where it is copied to, for `sync`.
    pub target: Option<String>,
}

/// What the change of a watched path does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum WatchAction {
    /// Restart the service.
    Restart,
    /// Build its image again.
    Rebuild,
    /// Copy what changed into the container.
    Sync,
}

/// A declared run-to-completion container, or an exec in a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Command {
    /// Where it runs.
    pub kind: CommandKind,
    /// What must be so before it runs.
    pub depends_on: IndexMap<String, AfterCondition>,
    /// A digest of the content of its `inputs`, as the CLI saw them.
    pub inputs: Option<String>,
    /// `up` runs it, because something needs it completed.
    pub needed: bool,
}

/// Where a command runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CommandKind {
    /// In a container of its own.
    Container(Box<Container>),
    /// In a running service.
    Exec {
        /// Which.
        service: ServiceName,
        /// What.
        run: Vec<String>,
    },
}

/// An upstream outside the engine, logged like any other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OutsideRoute {
    /// Scheme, host, port and path prefix.
    pub upstream: String,
    /// Further host names.
    pub hosts: Vec<String>,
    /// Who may vouch for it beside those everybody trusts: certificates in PEM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<String>,
    /// What the inspector keeps of its requests.
    #[serde(default, skip_serializing_if = "CaptureMode::is_default")]
    pub capture: CaptureMode,
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Volume {
    /// It is somebody else's: neither made nor removed here.
    pub external: bool,
    /// The driver: `local` unless said otherwise.
    pub driver: String,
    /// The driver's options.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
}

impl Default for Volume {
    fn default() -> Self {
        Self {
            external: false,
            driver: "local".to_owned(),
            options: BTreeMap::new(),
            labels: BTreeMap::new(),
        }
    }
}

/// Who says what a value is.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(untagged)]
pub enum Origin {
    /// It is written.
    Written {
        /// The file, relative to the project's folder where it is inside.
        file: String,
        /// From 1.
        line: u32,
    },
    /// It was ordered, over all that is written.
    Ordered {
        /// The words of the order: `cosmos scale web=3`.
        by: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Written { file, line } => write!(f, "{file}:{line}"),
            Self::Ordered { by } => write!(f, "`{by}`"),
        }
    }
}

/// Who says what each value is, by key path: `services.web.image`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Origins(pub BTreeMap<String, Origin>);

impl Origins {
    /// The origin of a key, or of the nearest table around it.
    pub fn of(&self, key: &str) -> Option<&Origin> {
        let mut key = key;
        loop {
            if let Some(origin) = self.0.get(key) {
                return Some(origin);
            }
            key = &key[..key.rfind('.')?];
        }
    }
}
