//! `cosmos.toml`, exactly as it is written.
//!
//! Options, strings and human units: what they mean is found out in
//! `resolve/`. The documentation of each field is the text that an
//! editor shows, through the JSON Schema made from these types.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::forms::{
    ConfigForm, DependsOn, DeviceForm, DurationText, Environment, HookForm, Items, MountForm,
    OneOrMany, PortForm, RouteForm, Scalar, SecretForm, SizeForm, TmpfsForm, UlimitForm, Words,
};
use crate::workspace::{
    CaptureMode, PullPolicy, RestartPolicy, Tokenless, UpdateOrder, WatchAction,
};

/// The whole file.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(title = "cosmos.toml", rename = "Config")]
pub struct Config {
    /// Who this workspace is, and where it runs.
    pub workspace: WorkspaceTable,
    /// The network its containers are in.
    pub network: NetworkTable,
    /// Further networks, for the services and commands that name them.
    pub networks: IndexMap<String, FurtherNetworkTable>,
    /// What it needs of the proxy it shares with other workspaces.
    pub proxy: ProxyTable,
    /// Named images: built here, or pulled.
    pub images: IndexMap<String, ImageTable>,
    /// Long-running containers.
    pub services: IndexMap<String, ServiceTable>,
    /// Run-to-completion containers, or commands run in a service.
    pub commands: IndexMap<String, CommandTable>,
    /// Upstreams outside the engine, logged like any other.
    pub routes: IndexMap<String, OutsideRouteTable>,
    /// Secrets: put under `/run/secrets`, never into the environment.
    pub secrets: IndexMap<String, SecretTable>,
    /// Named volumes that need more than a name.
    pub volumes: IndexMap<String, VolumeTable>,
}

/// Which engine runs the containers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum EngineName {
    /// Docker, or Podman through the same API.
    #[default]
    Docker,
    /// Docker Swarm.
    Swarm,
}

/// `[workspace]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct WorkspaceTable {
    /// The workspace's name, a DNS label: the folder's name unless said otherwise.
    pub name: Option<String>,
    /// Files with variables for `${VAR}` in this file: `.env`, if it is there, unless said
    /// otherwise. The shell's environment wins.
    pub env_file: Option<OneOrMany>,
    /// What runs the containers.
    pub engine: EngineName,
}

/// `[network]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkTable {
    /// The engine's name of it: `cosmos-net`, shared by all, unless said otherwise.
    pub name: Option<String>,
    /// A network of this workspace's own.
    pub isolated: bool,
    /// No way out but through `[routes.*]`: a sandbox one can watch. Needs `isolated`.
    pub internal: bool,
    /// The address range: `"172.30.0.0/24"`.
    pub subnet: Option<String>,
    /// The gateway's address in it.
    pub gateway: Option<String>,
    /// IPv6 as well.
    pub ipv6: bool,
    /// The driver: `bridge` unless said otherwise.
    pub driver: Option<String>,
    /// The driver's options.
    pub options: IndexMap<String, Scalar>,
    /// Labels.
    pub labels: IndexMap<String, Scalar>,
}

/// `[networks.NAME]`: beside the workspace's own network, for what names it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct FurtherNetworkTable {
    /// It is somebody else's, under exactly this name: neither made nor removed here.
    pub external: bool,
    /// No way out of it.
    pub internal: bool,
    /// The address range: `"172.30.0.0/24"`.
    pub subnet: Option<String>,
    /// The gateway's address in it.
    pub gateway: Option<String>,
    /// IPv6 as well.
    pub ipv6: bool,
    /// The driver: `bridge` unless said otherwise.
    pub driver: Option<String>,
    /// The driver's options.
    pub options: IndexMap<String, Scalar>,
    /// Labels.
    pub labels: IndexMap<String, Scalar>,
}

/// `[proxy]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProxyTable {
    /// The host port it listens on: 8080 unless said otherwise.
    pub port: Option<u16>,
    /// What may be done without the token: `adhoc` (start and stop ad-hoc containers) or `off`.
    pub tokenless: Option<Tokenless>,
    /// Its image, instead of the one that Cosmos makes of itself.
    pub image: Option<String>,
}

/// `[images.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImageTable {
    /// A reference: `postgres:16-alpine`. Either this or `build`.
    #[serde(rename = "ref")]
    pub reference: Option<String>,
    /// When a registry is asked for it: `missing`, `always` or `never`.
    pub pull: Option<PullPolicy>,
    /// How it is built. Either this or `ref`.
    pub build: Option<BuildTable>,
}

/// `build` of an image.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BuildTable {
    /// The folder it is built from: `.` unless said otherwise.
    pub context: Option<String>,
    /// The Dockerfile, relative to the context: `Dockerfile` unless said otherwise.
    pub dockerfile: Option<String>,
    /// The stage to build, if not the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: IndexMap<String, Scalar>,
}

/// Declares the keys that services and commands share in both, and a view of them.
///
/// Not `#[serde(flatten)]`: that would lose unknown keys and the place of an error.
macro_rules! with_container_keys {
    (
        $(
            $(#[$doc:meta])*
            pub struct $name:ident { $($(#[$own_doc:meta])* pub $own:ident: $own_type:ty,)* }
        )*
        shared { $($(#[$field_doc:meta])* pub $field:ident: $type:ty,)* }
    ) => {
        with_container_keys! {
            @tables
            [$($(#[$doc])* $name { $($(#[$own_doc])* $own: $own_type,)* })*]
            { $($(#[$field_doc])* $field: $type,)* }
        }

        /// The keys that services and commands share.
        #[derive(Debug, Clone, Copy)]
        pub struct ContainerKeys<'a> { $($(#[$field_doc])* pub $field: &'a $type,)* }
    };
    (@tables [] $shared:tt) => {};
    (
        @tables
        [
            $(#[$doc:meta])* $name:ident { $($(#[$own_doc:meta])* $own:ident: $own_type:ty,)* }
            $($rest:tt)*
        ]
        { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$own_doc])* pub $own: $own_type,)*
            $($(#[$field_doc])* pub $field: $type,)*
        }

        impl $name {
            /// The keys that services and commands share.
            pub fn container(&self) -> ContainerKeys<'_> {
                ContainerKeys { $($field: &self.$field,)* }
            }
        }

        with_container_keys! {
            @tables [$($rest)*] { $($(#[$field_doc])* $field: $type,)* }
        }
    };
}

with_container_keys! {
    /// `[services.NAME]`: a long-running container, with replicas.
    pub struct ServiceTable {
        /// Instead of the image's command: text, split as a shell splits words, or a list.
        pub command: Option<Words>,
        /// What must be so before it starts: a list of names, or a table like `{ db = "ready" }`.
        pub depends_on: Option<DependsOn>,
        /// When it is ready. Without one it is ready once it runs.
        pub health: Option<HealthTable>,
        /// How the proxy leads to it: a port, or a table.
        pub route: Option<RouteForm>,
        /// How many: 1 unless said otherwise.
        pub replicas: Option<u32>,
        /// How it is replaced: `auto`, `start-first` or `stop-first`.
        pub update: UpdateOrder,
        /// When it is started again: `always`, `on-failure` or `never`.
        pub restart: RestartPolicy,
        /// Commands run in it at its turning points.
        pub hooks: HooksTable,
        /// Host paths whose change does something while `cosmos watch` or `cosmos up --watch` runs.
        pub watch: Items<WatchTable>,
        /// It runs only if one of these is active. None: always.
        pub profiles: Items<String>,
    }

    /// `[commands.NAME]`: run to completion, by `up` where something needs it completed, or by
    /// `cosmos run NAME`.
    pub struct CommandTable {
        /// The service in whose running container it is run, instead of an image of its own.
        pub service: Option<String>,
        /// What is run: text, split as a shell splits words, or a list.
        pub run: Option<Words>,
        /// Files it depends on, as patterns: it runs again only when these, its image, `run` or
        /// `env` change.
        pub inputs: Items<String>,
        /// What must be so before it runs: a list of names, or a table like `{ db = "ready" }`.
        pub depends_on: Option<DependsOn>,
    }

    shared {
        /// A name from `[images]`, else an image reference.
        pub image: Option<String>,
        /// Instead of the image's entrypoint; an empty list clears it.
        pub entrypoint: Option<Words>,
        /// Environment: a table, or a list of `NAME=value`.
        pub env: Option<Environment>,
        /// Files with environment variables, as they are; `env` wins.
        pub env_file: Option<OneOrMany>,
        /// Volumes and folders: `"db-data:/var/lib/data"`, `"./src:/src:ro"`, or tables.
        pub mounts: Items<MountForm>,
        /// Host ports: `5432`, `"15432:5432"`, or tables.
        pub ports: Items<PortForm>,
        /// Names from `[secrets]`, put under `/run/secrets`; or tables, which say where and whose
        /// the file is.
        pub secrets: Items<SecretForm>,
        /// Files put into the container: source = target. Their content is part of its identity.
        pub configs: IndexMap<String, ConfigForm>,
        /// Names from `[networks]`: it is in these beside the workspace's own.
        pub networks: Items<String>,
        /// Limits.
        pub resources: ResourcesTable,
        /// `user[:group]`, if not the image's.
        pub user: Option<Scalar>,
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
        /// Labels.
        pub labels: IndexMap<String, Scalar>,
        /// Lines for `/etc/hosts`: `"host:address"`, or `"host:host-gateway"`.
        pub extra_hosts: Items<String>,
        /// DNS servers, if not the engine's.
        pub dns: Option<OneOrMany>,
        /// Memory file systems: paths, or a table of path = options.
        pub tmpfs: Option<TmpfsForm>,
        /// Size of `/dev/shm`: `"64MiB"`.
        pub shm_size: Option<SizeForm>,
        /// A read-only root.
        pub read_only: bool,
        /// Capabilities added: `["NET_ADMIN"]`.
        pub cap_add: Items<String>,
        /// Capabilities dropped.
        pub cap_drop: Items<String>,
        /// Everything the host can do. Dangerous: asked for once.
        pub privileged: bool,
        /// Security options.
        pub security_opt: Items<String>,
        /// Host devices. Dangerous: asked for once.
        pub devices: Items<DeviceForm>,
        /// Limits of the processes: `{ nofile = 65536 }`, or soft and hard apart.
        pub ulimits: IndexMap<String, UlimitForm>,
        /// Kernel parameters.
        pub sysctls: IndexMap<String, Scalar>,
        /// The signal that asks it to stop, if not the image's.
        pub stop_signal: Option<String>,
        /// How long it may take to stop before it is killed: `"10s"` unless said otherwise.
        pub stop_grace: Option<DurationText>,
        /// `os/arch[/variant]`, if not the engine's own.
        pub platform: Option<String>,
        /// Log driver, if not the engine's default.
        pub logging: Option<LoggingTable>,
    }
}

/// `health`: one of `tcp`, `http`, `command` and `log`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HealthTable {
    /// This port accepts a connection.
    pub tcp: Option<u16>,
    /// A GET of this path answers 2xx or 3xx. Made by the proxy: no curl in the image.
    pub http: Option<String>,
    /// For `http`: the port, if not the route's.
    pub port: Option<u16>,
    /// This command, in the container, exits 0.
    pub command: Option<Words>,
    /// A line of its output contains this text.
    pub log: Option<String>,
    /// Between two tries: `"1s"` unless said otherwise.
    pub interval: Option<DurationText>,
    /// For one try: `"2s"` unless said otherwise.
    pub timeout: Option<DurationText>,
    /// Failures in a row that make it not ready: 30 unless said otherwise.
    pub retries: Option<u32>,
    /// Failures in this time after the start do not count.
    pub start_period: Option<DurationText>,
}

/// `resources`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ResourcesTable {
    /// Processors: `1.5`.
    pub cpus: Option<f64>,
    /// Memory: `"512MiB"`.
    pub memory: Option<SizeForm>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// `hooks`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HooksTable {
    /// After each start: a command, or a list in which each item is one command. If one fails,
    /// the container is stopped, as if it had crashed.
    pub post_start: Option<HookForm>,
    /// Before each stop that is ordered: a command, or a list in which each item is one command.
    /// One that fails does not hold up the stop.
    pub pre_stop: Option<HookForm>,
}

/// One item of `watch`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchTable {
    /// A file, or a folder with all that is in it, on the host. What `.dockerignore` leaves out of
    /// the image's context does not count, nor do `.git`, `node_modules` and `target` below it.
    pub path: String,
    /// What its change does: `restart` the service, `rebuild` its image and replace it, or `sync`
    /// what changed into its containers. One that is held stopped is not woken.
    pub action: WatchAction,
    /// For `sync`: where the path is copied to, in the container.
    pub target: Option<String>,
}

/// `logging`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoggingTable {
    /// The driver: `json-file`, `local`, `journald`..
    pub driver: String,
    /// Its options.
    #[serde(default)]
    pub options: IndexMap<String, Scalar>,
}

/// `[routes.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct OutsideRouteTable {
    /// Where it leads: scheme, host, port and path prefix.
    pub upstream: Option<String>,
    /// Further host names; its own is always there.
    pub hosts: Option<OneOrMany>,
    /// A file of certificates (PEM) that may vouch for an `https` upstream, beside the authorities everybody trusts.
    pub ca: Option<String>,
    /// What the inspector keeps of its requests: `redacted` (no secrets), `unredacted` (in memory only, for replays that need them) or `off`.
    #[serde(default)]
    pub capture: CaptureMode,
}

/// `[secrets.NAME]`: one of `env`, `file` and `command`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SecretTable {
    /// The variable that holds it, in the shell's environment or in `[workspace] env_file`.
    pub env: Option<String>,
    /// The file that holds it.
    pub file: Option<String>,
    /// The command, run on the host, that prints it.
    pub command: Option<Words>,
}

/// `[volumes.NAME]`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct VolumeTable {
    /// It is somebody else's, under exactly this name: neither made nor removed here.
    pub external: bool,
    /// The driver: `local` unless said otherwise.
    pub driver: Option<String>,
    /// The driver's options.
    pub options: IndexMap<String, Scalar>,
    /// Labels.
    pub labels: IndexMap<String, Scalar>,
}

/// The JSON Schema of `cosmos.toml`.
pub fn schema() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    as_toml_has_it(&mut schema);
    schema
}

/// TOML has no null, and what is a number or a boolean may be given by a variable.
fn as_toml_has_it(schema: &mut Value) {
    match schema {
        Value::Array(schemas) => schemas.iter_mut().for_each(as_toml_has_it),
        Value::Object(keys) => {
            keys.retain(|key, value| key != "default" || !value.is_null());
            let is_null = |value: &Value| value == "null" || value["type"] == "null";
            for key in ["type", "anyOf"] {
                let Some(Value::Array(forms)) = keys.get_mut(key) else {
                    continue;
                };
                forms.retain(|form| !is_null(form));
                if forms.len() > 1 {
                    continue;
                }
                match (forms.pop(), key) {
                    (Some(Value::Object(only)), "anyOf") => {
                        keys.remove(key);
                        keys.extend(only);
                    }
                    (Some(only), _) => {
                        keys.insert(key.to_owned(), only);
                    }
                    (None, _) => {}
                }
            }
            keys.values_mut().for_each(as_toml_has_it);
            let variable = json!({ "type": "string", "pattern": r"\$\{" });
            // A word, too, may be given by a variable.
            if let Some(Value::Array(words)) = keys.get_mut("oneOf")
                && words
                    .iter()
                    .all(|word| word["const"].is_string() || word["enum"].is_array())
            {
                words.push(variable.clone());
            }
            let kind = keys.get("type").and_then(Value::as_str);
            if matches!(kind, Some("integer" | "number" | "boolean")) {
                let description = keys.remove("description");
                let plain = Value::Object(std::mem::take(keys));
                keys.insert("anyOf".to_owned(), json!([plain, variable]));
                keys.extend(description.map(|text| ("description".to_owned(), text)));
            }
        }
        _ => {}
    }
}
