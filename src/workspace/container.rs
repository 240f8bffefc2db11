//! What services, commands and ad-hoc containers have in common: one container.

use std::{collections::BTreeMap, fmt, time::Duration};

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use super::{
    fingerprint, millis,
    name::{ImageRef, NetworkName, SecretName, VolumeName},
};

/// What services, commands and ad-hoc containers have in common.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
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
    /// Secrets, each a file of its own.
    pub secrets: BTreeMap<SecretName, SecretFile>,
    /// Networks that it is in beside the workspace's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<NetworkName>,
    /// What is run in it after a start and before a stop.
    #[serde(default, skip_serializing_if = "Hooks::is_empty")]
    pub hooks: Hooks,
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
    #[schemars(with = "u64")]
    pub stop_grace: Duration,
    /// `os/arch[/variant]`, if not the engine's own.
    pub platform: Option<String>,
    /// Log driver, if not the engine's default.
    pub logging: Option<Logging>,
}

impl Container {
    /// The files that can be changed in it while it is there.
    pub fn reloadable(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.reload.is_some())
    }

    /// Whether a config or a secret of it is right in this folder.
    pub fn has_file_in(&self, folder: &str) -> bool {
        let is_in = |file: &str| file.rsplit_once('/').is_some_and(|(of, _)| of == folder);
        let mut secrets = self.secrets.iter();
        self.files.iter().any(|file| is_in(&file.target))
            || secrets.any(|(name, file)| is_in(&file.path(name)))
    }

    /// What each of those files is, by its place.
    pub fn reloadable_digests(&self) -> BTreeMap<String, String> {
        self.reloadable()
            .map(|file| (file.target.clone(), file.digest()))
            .collect()
    }

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
            networks: Vec::new(),
            hooks: Hooks::default(),
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Mount {
    /// What is mounted.
    pub source: MountSource,
    /// Where, in the container.
    pub target: String,
    /// Not writable in the container.
    pub read_only: bool,
}

/// What a mount shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
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

/// A secret put into a container before it starts: a file whose content is
/// known by its hash alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(from = "SecretFileForm", into = "SecretFileForm")]
pub struct SecretFile {
    /// A keyed hash of the content.
    pub hash: String,
    /// Where, if not under its name in [`SECRETS`]: absolute.
    pub target: Option<String>,
    /// Permission bits.
    pub mode: u32,
    /// The number of the user who owns it.
    pub uid: u32,
    /// The number of the group that owns it.
    pub gid: u32,
}

/// Where secrets are, one file each, unless their config says otherwise.
pub const SECRETS: &str = "/run/secrets";

impl SecretFile {
    /// Read by whoever runs in the container.
    pub const MODE: u32 = 0o444;

    /// A secret under its own name, for whoever runs in the container.
    pub fn plain(hash: impl Into<String>) -> Self {
        Self {
            hash: hash.into(),
            target: None,
            mode: Self::MODE,
            uid: 0,
            gid: 0,
        }
    }

    /// The path of its file in the container.
    pub fn path(&self, name: &SecretName) -> String {
        match &self.target {
            Some(target) => target.clone(),
            None => format!("{SECRETS}/{name}"),
        }
    }
}

/// A plain one is its hash alone, so that the fingerprints of those stay as they
/// were before there were others.
#[derive(Serialize, Deserialize, schemars::JsonSchema)]
#[serde(untagged)]
enum SecretFileForm {
    Plain(String),
    Full {
        hash: String,
        target: Option<String>,
        mode: u32,
        uid: u32,
        gid: u32,
    },
}

impl From<SecretFile> for SecretFileForm {
    fn from(file: SecretFile) -> Self {
        if file == SecretFile::plain(file.hash.as_str()) {
            return Self::Plain(file.hash);
        }
        let SecretFile {
            hash,
            target,
            mode,
            uid,
            gid,
        } = file;
        Self::Full {
            hash,
            target,
            mode,
            uid,
            gid,
        }
    }
}

impl From<SecretFileForm> for SecretFile {
    fn from(form: SecretFileForm) -> Self {
        match form {
            SecretFileForm::Plain(hash) => Self::plain(hash),
            SecretFileForm::Full {
                hash,
                target,
                mode,
                uid,
                gid,
            } => Self {
                hash,
                target,
                mode,
                uid,
                gid,
            },
        }
    }
}

/// A file put into a container before it starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct File {
    /// Where, in the container: absolute.
    pub target: String,
    /// Its content, base64 on the wire.
    #[serde(with = "bytes_as_base64")]
    #[schemars(with = "String")]
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
    /// The number of the user who owns it.
    #[serde(default, skip_serializing_if = "is_root")]
    pub uid: u32,
    /// The number of the group that owns it.
    #[serde(default, skip_serializing_if = "is_root")]
    pub gid: u32,
    /// How the process comes to read another content of it. Without one, another
    /// content is another container.
    pub reload: Option<Reload>,
}

impl File {
    /// Stands for what the file is: content, mode and owner.
    pub fn digest(&self) -> String {
        fingerprint::digest(&Self {
            reload: None,
            ..self.clone()
        })
    }
}

/// How a process comes to read a file again that was changed under it.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(from = "String", into = "String")]
pub enum Reload {
    /// It is sent this signal: `SIGHUP`, or a number.
    Signal(String),
    /// It is restarted, in its container.
    Restart,
}

impl Reload {
    /// What the config says for [`Reload::Restart`]: no signal is called so.
    pub const RESTART: &str = "restart";
}

impl From<String> for Reload {
    fn from(text: String) -> Self {
        match text.as_str() {
            Self::RESTART => Self::Restart,
            _ => Self::Signal(text),
        }
    }
}

impl From<Reload> for String {
    fn from(reload: Reload) -> Self {
        match reload {
            Reload::Signal(signal) => signal,
            Reload::Restart => Reload::RESTART.to_owned(),
        }
    }
}

/// Left out, so that the fingerprints of such files stay as they always were.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_root(id: &u32) -> bool {
    *id == 0
}

/// Commands run in a container at its turning points, each by its words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Hooks {
    /// After each start. If one fails, the container is stopped as if it had crashed.
    pub post_start: Vec<Vec<String>>,
    /// Before each stop that is ordered. One that fails is told, and the stop goes on.
    pub pre_stop: Vec<Vec<String>>,
}

impl Hooks {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.post_start.is_empty() && self.pre_stop.is_empty()
    }
}

/// Limits of a container. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Resources {
    /// Processors, in billionths.
    pub nano_cpus: Option<i64>,
    /// Bytes.
    pub memory: Option<i64>,
    /// Processes and threads.
    pub pids: Option<i64>,
}

/// The processes that Podman allows a container of which nobody said how many it may have.
const PIDS_OF_PODMAN: i64 = 2048;

impl Resources {
    /// What a container has, without what an engine gave it by itself because nothing is
    /// wanted.
    #[must_use]
    pub fn without_defaults(self, wanted: &Self) -> Self {
        let is_default = wanted.pids.is_none() && self.pids == Some(PIDS_OF_PODMAN);
        Self {
            pids: self.pids.filter(|_| !is_default),
            ..self
        }
    }
}

/// A host device in a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Device {
    /// Path on the host.
    pub host: String,
    /// Path in the container.
    pub container: String,
    /// `r`, `w` and `m` in any mix.
    pub permissions: String,
}

/// A limit of the processes in a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ulimit {
    /// What a process gets.
    pub soft: i64,
    /// How far it may raise it.
    pub hard: i64,
}

/// A log driver and its options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Logging {
    /// The driver.
    pub driver: String,
    /// Its options.
    pub options: BTreeMap<String, String>,
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
