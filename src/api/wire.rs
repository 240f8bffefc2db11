//! All that crosses the wire between the CLI and the server.
//!
//! Streams are NDJSON lines of [`Event`]; errors are [`ErrorBody`] with an HTTP
//! status. Container output crosses as frames (see [`crate::api::server`]).
//!
//! Version 1. A field may be added with a default; anything else is version 2.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use crate::{
    plan::{Ignored, Quiet, Sign, StepId, StepSummary, Subject},
    reconcile::{
        controller::{
            CommandStatus, Condition, ContainerStatus, Copied, Entry, Found, Held, History, Met,
            Rerun, RevisionSummary, Rollback, RunCommand, ServiceState, ServiceStatus, Status, Why,
            Wish,
        },
        engine::{
            BuildState, BuildStep, Builder, ImageBuild, LogOptions, LogTime, Progress, StepPlace,
        },
        event::{Event, Outcome, Problem},
        history::{Cause, Doing, EntryState, RevisionState, StepResult, Told},
    },
    traffic::{
        Edits,
        exchange::{
            Body, Content, Exchange, Line as ExchangeLine, Message, Side as ExchangeSide,
            State as ExchangeState, Summary,
        },
    },
    workspace::{Hold, Mount, Override, PortPublish, Readiness, SecretName, Workspace},
};

/// The path every endpoint but `POST /container` is under.
pub const PREFIX: &str = "/_cosmos/v1";

/// The version of this API. Raised with the prefix.
pub const API_VERSION: u32 = 1;

/// The header of `PUT /images` that says what the tar in the body is built into:
/// an [`ImageBuild`] as JSON, in base64.
pub const BUILD_HEADER: &str = "x-cosmos-build";

/// The code of a build that BuildKit was wanted for and that the engine has none for.
pub const NO_BUILDKIT: &str = "no_buildkit";

/// `GET /version`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Version {
    /// Of the program.
    pub version: String,
    /// Of the API.
    pub api: u32,
    /// The installation it belongs to.
    pub installation: String,
}

/// The answer of `PUT /state`, whose body is what `GET /state` sent: an SQLite file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Restored {
    /// The version of this form.
    pub schema: u32,
    /// The keys of the workspaces that are up from now on.
    pub workspaces: Vec<String>,
}

/// The answer of `POST /token/rotate`: from now on, only another token is the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rotated {
    /// The version of this form.
    pub schema: u32,
}

/// The answer of `POST /session/invite`: with it the dashboard is opened, once and soon.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Invitation {
    /// The version of this form.
    pub schema: u32,
    /// The code.
    pub code: String,
}

/// The answer of `POST /session`, whose bearer is a code.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Session {
    /// The version of this form.
    pub schema: u32,
    /// What the dashboard's calls carry from now on.
    pub token: String,
}

/// Which exchanges: the query of `GET /exchanges` and `GET /exchanges/har`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Wanted {
    /// What they have to be: `service:api status:>=500`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// How many of the newest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// The query of `GET /exchanges/follow`. Answers with [`ExchangeLine`]s.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Following {
    /// What they have to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The newest change that is known already.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// The process that it is known of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<String>,
}

/// `GET /exchanges`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExchangeList {
    /// The version of this form.
    pub schema: u32,
    /// Stands for the process: with another one, numbers begin anew.
    pub epoch: String,
    /// The newest change.
    pub seq: u64,
    /// How many were not captured since the start.
    pub dropped: u64,
    /// The newest first.
    pub exchanges: Vec<Summary>,
}

/// `GET /exchanges/NUMBER`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct OneExchange {
    /// The version of this form.
    pub schema: u32,
    /// All that is kept of it.
    pub exchange: Exchange,
}

/// `GET /exchanges/NUMBER/curl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Curl {
    /// The version of this form.
    pub schema: u32,
    /// What a shell is given to send the request again.
    pub command: String,
}

/// The answer of `POST /exchanges/NUMBER/replay`, whose body is an [`Edits`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Replayed {
    /// The version of this form.
    pub schema: u32,
    /// The exchange that it became.
    pub number: u64,
}

/// The answer of `DELETE /exchanges`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Cleared {
    /// The version of this form.
    pub schema: u32,
}

/// The query of `GET /live`. Answers with [`LiveLine`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Watching {
    /// It is told what containers use, which costs the engine a little all the time.
    pub usage: bool,
    /// And that every second, not every other.
    pub often: bool,
}

impl Default for Watching {
    fn default() -> Self {
        Self {
            usage: true,
            often: false,
        }
    }
}

/// One line of `GET /live`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum LiveLine {
    /// The first one.
    Hello {
        /// Of the program.
        version: String,
        /// Whose it is.
        installation: String,
        /// The port that is published on the host.
        port: u16,
    },
    /// How everything is: the first, and whenever something has changed.
    State {
        /// Every workspace that is up.
        workspaces: Vec<Status>,
        /// Every ad-hoc container.
        adhoc: Vec<ContainerStatus>,
    },
    /// What containers use.
    Usage {
        /// When it was measured, in milliseconds since the epoch.
        at: u64,
        /// Of each that runs, by id.
        containers: BTreeMap<String, Usage>,
    },
    /// Nothing happened, and the stream is well.
    Alive,
}

/// What one container uses.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Usage {
    /// In percent of one core.
    pub cpu: f64,
    /// In bytes, without what the kernel keeps of files and could give up.
    pub memory: u64,
    /// The most that it may use, in bytes, if there is one.
    pub limit: Option<u64>,
    /// Bytes a second that come to it over its networks.
    #[serde(default)]
    pub received: u64,
    /// Bytes a second that it sends over them.
    #[serde(default)]
    pub sent: u64,
    /// Bytes a second that it reads from disks.
    #[serde(default)]
    pub read: u64,
    /// Bytes a second that it writes to them.
    #[serde(default)]
    pub written: u64,
    /// Its processes and threads.
    #[serde(default)]
    pub pids: u64,
}

/// The body of every refusal and failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: Problem,
}

/// The answer of `POST /workspaces/KEY/plan`, whose body is a [`Wish`], as that of `PUT`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PlanReport {
    /// The version of this form.
    pub schema: u32,
    /// Names this plan; `up --expect` takes it.
    pub digest: String,
    /// What would be done, in order.
    pub steps: Vec<StepSummary>,
    /// What cannot be done, and why.
    pub blocked: Vec<Problem>,
    /// Services that stay as they are.
    pub unchanged: Vec<String>,
    /// The orders that say otherwise than the config, and are honoured.
    #[serde(default)]
    pub holds: Vec<Held>,
    /// What would be in force without a step.
    #[serde(default)]
    pub quiet: Vec<Quiet>,
    /// Containers with our labels that are left alone.
    #[serde(default)]
    pub ignored: Vec<Ignored>,
}

impl PlanReport {
    /// Whether everything is as it is wanted.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_empty() && self.quiet.is_empty()
    }
}

/// `DELETE /workspaces/KEY`: the query of `down`. Answers with [`Event`]s.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Down {
    /// Remove the volumes too.
    pub volumes: bool,
    /// The folder it was brought up from, so that no other checkout's is taken down.
    pub folder: String,
    /// The words of the order, for whoever asks later: `cosmos down`.
    pub by: String,
}

/// `GET /workspaces/KEY/history`: its query.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct Newest {
    /// How many entries; all if it is not said.
    pub limit: Option<u64>,
}

/// The query of `GET /workspaces/KEY/wait`. Answers with [`Waited`] once it is so.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Wait {
    /// Services and commands, with commas between.
    pub names: String,
    /// What they are to be; else services ready, and commands completed.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// How long that may take, in milliseconds.
    pub patience: u64,
}

/// What was waited for, and is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Waited {
    /// The version of this form.
    pub schema: u32,
    /// One for each that was asked for.
    pub met: Vec<Met>,
}

/// `POST /containers`: start an ad-hoc container. Answers with [`Event`]s.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct StartAdhoc {
    /// The image.
    pub image: String,
    /// Its command; none keeps the container alive without one.
    pub args: Vec<String>,
    /// Its name; one is made where there is none.
    pub name: Option<String>,
    /// `KEY=VALUE`.
    pub env: Vec<String>,
    /// Mounts.
    pub mounts: Vec<Mount>,
    /// Host ports.
    pub ports: Vec<PortPublish>,
    /// The engine removes it when it ends.
    pub remove: bool,
    /// A terminal.
    pub tty: bool,
    /// Standard input kept open.
    pub stdin: bool,
    /// Only create it: whoever asked attaches, and starts it then.
    pub hold: bool,
    /// Working folder.
    pub workdir: Option<String>,
    /// User.
    pub user: Option<String>,
    /// Registry logins for this one pull, by host.
    pub credentials: BTreeMap<String, Credentials>,
}

/// The user of a [`Credentials`] whose password is a token that stands for a login,
/// as Docker's helpers have it.
pub const TOKEN_USER: &str = "<token>";

/// `POST /images/pull`: fetch an image, even if it is there. Answers with [`Event`]s.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PullImage {
    /// Which.
    pub image: String,
}

/// A login at a registry. Kept in memory only. `POST /logins` takes them, by host.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Credentials {
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// `POST /containers/REF/ORDER` and its kin: whom it is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct About {
    /// The workspace of the caller's folder: its services' names come first.
    pub workspace: Option<String>,
    /// The folder that the caller believes the workspace to be up from: of two
    /// checkouts with one name, only one can be meant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// The words of the order, for whoever asks later: `cosmos stop web`.
    pub by: String,
    /// Who gives it: `anna@host`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// What for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// For `stop`: the hold is over after so many milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lasting: Option<u64>,
    /// For `scale`: how many there are to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replicas: Option<u32>,
}

/// `PUT /workspaces/KEY/services/NAME/files`: the query of a tar that is unpacked in
/// every container of the service that runs. Answers with [`Copied`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct PutFiles {
    /// The folder of the container that the names in the tar begin at.
    pub folder: String,
}

/// `POST /workspaces/KEY/services/NAME/files/remove`. Answers with [`Copied`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RemoveFiles {
    /// Absolute paths in the container.
    pub paths: Vec<String>,
}

/// What an order did, and to whom.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ordered {
    /// The service, if it was one.
    pub service: Option<String>,
    /// The containers, by name.
    pub containers: Vec<String>,
    /// A sentence worth showing: an override that was recorded or released.
    pub note: Option<String>,
}

/// `GET /containers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Containers {
    /// The version of this form.
    pub schema: u32,
    /// Every ad-hoc container.
    pub adhoc: Vec<ContainerStatus>,
    /// Every workspace that is up.
    pub workspaces: Vec<Status>,
}

/// The body of `POST /container`, the founding API. Closed: unknown and
/// duplicate keys are refused.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, schemars::JsonSchema)]
#[serde(tag = "action", rename_all = "lowercase", deny_unknown_fields)]
pub enum Founding {
    /// Start an ad-hoc container.
    Start {
        /// The image.
        image: String,
        /// Its command; none keeps the container alive without one.
        #[serde(default)]
        args: Vec<String>,
        /// Its name.
        #[serde(default)]
        name: Option<String>,
    },
    /// Stop an ad-hoc container.
    Stop {
        /// Its id, a prefix of it, or its name.
        container_id: String,
    },
    /// Restart an ad-hoc container.
    Restart {
        /// Its id, a prefix of it, or its name.
        container_id: String,
    },
}

/// The answer of `POST /container`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct FoundingReply {
    /// 64 hex digits.
    pub container_id: String,
    /// `started`, `stopped` or `restarted`.
    pub status: String,
}
