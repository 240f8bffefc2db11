//! What a person wants, resolved: the meaning of a config.
//!
//! [`Workspace`] is what the CLI sends and the server plans from. Maps keep the
//! order of the file where a person will see it.

use std::{collections::BTreeMap, fmt, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::name::{
    CommandName, ContainerName, ImageRef, InstanceName, NetworkName, RouteName, SecretName,
    ServiceName, VolumeName, WorkspaceName,
};

/// The desired state of one workspace: complete, valid and ordered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

/// A workspace's name, which of its checkouts this is, and its folder.
///
/// Two checkouts with one name are two workspaces only if the instance differs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The workspace's name.
    pub name: WorkspaceName,
    /// Which of several checkouts, if not the only one.
    pub instance: Option<InstanceName>,
    /// The project's folder on the host: absolute, links resolved.
    pub folder: String,
}

impl Identity {
    /// What containers, hosts and API paths are named after: `shop` or `fix-42.shop`.
    pub fn key(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{instance}.{}", self.name),
            None => self.name.to_string(),
        }
    }

    /// The start of every container's name: `shop` or `shop-fix-42`.
    fn prefix(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{}-{instance}", self.name),
            None => self.name.to_string(),
        }
    }

    /// The name of one replica's container: `shop-api-1`.
    pub fn container(&self, service: &ServiceName, replica: u32) -> ContainerName {
        word(&format!("{}-{service}-{replica}", self.prefix()))
    }

    /// The name of a command's container: `shop-migrate`.
    pub fn command_container(&self, command: &CommandName) -> ContainerName {
        word(&format!("{}-{command}", self.prefix()))
    }

    /// The engine's name of a volume that the file calls `name`: `shop_db-data`.
    ///
    /// An underscore, so that it can never be another workspace's: no label has one.
    pub fn volume(&self, name: &str) -> VolumeName {
        match VolumeName::new(format!("{}_{name}", self.prefix())) {
            Ok(volume) => volume,
            // `name` came from a `VolumeName`: only its length can be too much.
            Err(_) => word(&format!(
                "{}_{}",
                self.prefix(),
                super::fingerprint::short_hash(name)
            )),
        }
    }

    /// The tag of an image that is built here, from the fingerprint of what it is built from.
    pub fn built_image(&self, image: &str, digest: &str) -> String {
        format!(
            "{}-{}:{}",
            self.prefix(),
            image.to_lowercase(),
            &digest[..digest.len().min(16)]
        )
    }

    /// The DNS domain of this workspace's services: `shop.internal`.
    pub fn domain(&self) -> String {
        format!("{}.internal", self.key())
    }

    /// The host under which the proxy serves something of this workspace.
    pub fn host(&self, name: &str) -> String {
        format!("{name}.{}.localhost", self.key())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}

/// Joins parts that are names already: too long is the only way it can fail.
fn word<T: TryFrom<String>>(text: &str) -> T
where
    T::Error: fmt::Debug,
{
    let shortened = || {
        let head: String = text.chars().take(100).collect();
        format!("{head}-{}", super::fingerprint::short_hash(text))
    };
    match T::try_from(text.to_owned()) {
        Ok(name) => name,
        Err(_) => match T::try_from(shortened()) {
            Ok(name) => name,
            Err(error) => unreachable!("a joined name is a name: {error:?}"),
        },
    }
}

/// The names of one installation of Cosmos: a second one can live beside the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Installation(String);

impl Installation {
    /// The name used unless `COSMOS_INSTALLATION` says otherwise.
    pub const DEFAULT: &'static str = "cosmos";

    /// Makes an installation's name.
    ///
    /// # Errors
    /// If it is no DNS label.
    pub fn new(name: &str) -> Result<Self, super::NameError> {
        WorkspaceName::new(name).map(|name| Self(name.into()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `cosmos-proxy`.
    pub fn proxy(&self) -> String {
        format!("{}-proxy", self.0)
    }

    /// `cosmos-net`, the network all share unless a workspace is isolated.
    pub fn network(&self) -> NetworkName {
        word(&format!("{}-net", self.0))
    }

    /// `cosmos-net-shop`: sorts after the shared one, so that connecting the
    /// proxy to it leaves the proxy's gateway alone.
    pub fn isolated_network(&self, identity: &Identity) -> NetworkName {
        word(&format!("{}-net-{}", self.0, identity.prefix()))
    }

    /// `cosmos-state`, the volume that survives the proxy.
    pub fn state_volume(&self) -> String {
        format!("{}-state", self.0)
    }
}

impl Default for Installation {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A network and how it is made where it is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What a workspace needs of the proxy. `None` means: no opinion.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    /// Run after a start and before a stop.
    pub hooks: Hooks,
    /// Host paths whose change does something.
    pub watch: Vec<WatchRule>,
}

/// Whether a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// What services, commands and ad-hoc containers have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// What it runs from.
    pub image: Image,
    /// Instead of the image's entrypoint. An empty list clears it.
    pub entrypoint: Option<Vec<String>>,
    /// Instead of the image's command.
    pub command: Option<Vec<String>>,
    /// Environment, on top of the image's.
    pub env: IndexMap<String, String>,
    /// Volumes and folders.
    pub mounts: Vec<Mount>,
    /// Host ports.
    pub ports: Vec<PortPublish>,
    /// Files put into it before it starts: their content is part of what it is.
    pub files: Vec<File>,
    /// Secrets put under `/run/secrets`, by name, with a keyed hash of the content.
    pub secrets: BTreeMap<SecretName, String>,
    /// Limits.
    pub resources: Resources,
    /// `user[:group]`, if not the image's.
    pub user: Option<String>,
    /// Working folder, if not the image's.
    pub workdir: Option<String>,
    /// Host name, if not the engine's choice.
    pub hostname: Option<String>,
    /// The engine's init as PID 1.
    pub init: bool,
    /// A terminal.
    pub tty: bool,
    /// Standard input kept open.
    pub stdin: bool,
    /// Labels, on top of the image's and ours.
    pub labels: IndexMap<String, String>,
    /// `host:address` lines for `/etc/hosts`.
    pub extra_hosts: Vec<String>,
    /// DNS servers, if not the engine's.
    pub dns: Vec<String>,
    /// Memory file systems: path to options.
    pub tmpfs: IndexMap<String, String>,
    /// Size of `/dev/shm` in bytes, if not the engine's.
    pub shm_size: Option<u64>,
    /// A read-only root.
    pub read_only: bool,
    /// Capabilities added.
    pub cap_add: Vec<String>,
    /// Capabilities dropped, beside `NET_RAW`, which is dropped unless added.
    pub cap_drop: Vec<String>,
    /// Everything the host can do. Dangerous.
    pub privileged: bool,
    /// Security options.
    pub security_opt: Vec<String>,
    /// Host devices. Dangerous.
    pub devices: Vec<Device>,
    /// Resource limits of the processes.
    pub ulimits: BTreeMap<String, Ulimit>,
    /// Kernel parameters.
    pub sysctls: BTreeMap<String, String>,
    /// The signal that asks it to stop, if not the image's.
    pub stop_signal: Option<String>,
    /// How long it may take to stop before it is killed.
    #[serde(with = "millis")]
    pub stop_grace: Duration,
    /// `os/arch[/variant]`, if not the engine's own.
    pub platform: Option<String>,
    /// Log driver, if not the engine's default.
    pub logging: Option<Logging>,
}

impl Container {
    /// A container of an image with nothing else said.
    pub fn of(image: Image) -> Self {
        Self {
            image,
            entrypoint: None,
            command: None,
            env: IndexMap::new(),
            mounts: Vec::new(),
            ports: Vec::new(),
            files: Vec::new(),
            secrets: BTreeMap::new(),
            resources: Resources::default(),
            user: None,
            workdir: None,
            hostname: None,
            init: false,
            tty: false,
            stdin: false,
            labels: IndexMap::new(),
            extra_hosts: Vec::new(),
            dns: Vec::new(),
            tmpfs: IndexMap::new(),
            shm_size: None,
            read_only: false,
            cap_add: Vec::new(),
            cap_drop: Vec::new(),
            privileged: false,
            security_opt: Vec::new(),
            devices: Vec::new(),
            ulimits: BTreeMap::new(),
            sysctls: BTreeMap::new(),
            stop_signal: None,
            stop_grace: Self::STOP_GRACE,
            platform: None,
            logging: None,
        }
    }

    /// What the engine itself gives a container that says nothing.
    pub const STOP_GRACE: Duration = Duration::from_secs(10);
}

/// Where a container's file system comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Image {
    /// From a registry, or already there.
    Pulled {
        /// Which.
        reference: ImageRef,
        /// When to ask the registry.
        policy: PullPolicy,
    },
    /// Built from the project. The tag carries a digest of everything that goes
    /// in, so that a changed context is another image.
    Built {
        /// The tag it is built under.
        tag: ImageRef,
        /// How.
        build: Build,
    },
}

impl Image {
    /// The reference a container is created from.
    pub fn reference(&self) -> &ImageRef {
        match self {
            Self::Pulled { reference, .. } => reference,
            Self::Built { tag, .. } => tag,
        }
    }
}

/// When a registry is asked for an image.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum PullPolicy {
    /// If the engine does not have it.
    #[default]
    Missing,
    /// At every `up`.
    Always,
    /// Not at all: it must be there.
    Never,
}

/// How an image is built. The CLI streams the context: the server cannot see it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Build {
    /// The context's folder on the host: absolute.
    pub context: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The stage to build, if not the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: IndexMap<String, String>,
}

/// A volume, folder or memory mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where, in the container.
    pub target: String,
    /// Not writable in the container.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountSource {
    /// A named volume, by the engine's name.
    Volume(VolumeName),
    /// A volume without a name, that goes with the container.
    Anonymous,
    /// A file or folder of the host: absolute.
    Host(String),
}

/// A container's port, published on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortPublish {
    /// The port inside.
    pub container: u16,
    /// The port on the host; `None` for a free one that stays the same per checkout.
    pub host: Option<u16>,
    /// The host's address: loopback unless said otherwise.
    pub address: String,
    /// TCP or UDP.
    pub transport: Transport,
}

/// A transport protocol.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A file put into a container before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct File {
    /// Where, in the container: absolute.
    pub target: String,
    /// Its content, base64 on the wire.
    #[serde(with = "bytes_as_base64")]
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// Signal that makes the process read it again; without one it is restarted.
    pub reload: Option<String>,
}

/// Limits of a container. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// Processors, in billionths.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// A host device in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Path on the host.
    pub host: String,
    /// Path in the container.
    pub container: String,
    /// `r`, `w` and `m` in any mix.
    pub permissions: String,
}

/// A limit of the processes in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ulimit {
    /// What a process gets.
    pub soft: i64,
    /// How far it may raise it.
    pub hard: i64,
}

/// A log driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logging {
    /// The driver.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    /// What is tried.
    pub probe: HealthProbe,
    /// Between two tries.
    #[serde(with = "millis")]
    pub interval: Duration,
    /// For one try.
    #[serde(with = "millis")]
    pub timeout: Duration,
    /// Failures in a row that make it not ready.
    pub retries: u32,
    /// Failures in this time after the start do not count.
    #[serde(with = "millis")]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Commands run in the container at its turning points.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hooks {
    /// After each start.
    pub post_start: Vec<Vec<String>>,
    /// Before each stop.
    pub pre_stop: Vec<Vec<String>>,
}

/// A host path whose change does something.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutsideRoute {
    /// Scheme, host, port and path prefix.
    pub upstream: String,
    /// Further host names.
    pub hosts: Vec<String>,
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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

/// Where a value was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file, relative to the project's folder where it is inside.
    pub file: String,
    /// From 1.
    pub line: u32,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// Where each value was written, by key path: `services.web.image`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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

mod millis {
    //! Durations as whole milliseconds.
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &Duration,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        u64::try_from(value.as_millis())
            .unwrap_or(u64::MAX)
            .serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}

mod bytes_as_base64 {
    //! Bytes as base64 text.
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(D::Error::custom)
    }
}
