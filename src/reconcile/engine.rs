//! The port to whatever runs containers: three verbs, owned by us, who call them.
//!
//! An engine observes, performs one action, and hints at changes. It decides
//! nothing: an action that needs a choice belongs in [`crate::plan`].

mod log;

pub use log::{LogChunk, LogOptions, LogTime, NoLogTime};

use std::time::Duration;

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};

use crate::{
    plan::Action,
    workspace::{ContainerId, ContainerName, NetworkName, Observed},
};

/// What runs containers.
pub trait Engine: Send + Sync + 'static {
    /// Looks at everything, once.
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>>;

    /// What the last look saw, if the engine answers and told of nothing since. It costs
    /// one small call, whatever there is to see. What changed a moment ago may not be in
    /// it: for telling people, never for a plan.
    ///
    /// None where only a look can tell, as of an engine that remembers none.
    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Carries out one action. Done already is success: a container that runs
    /// is started, one that is gone is removed.
    ///
    /// [`Action::Await`] and [`Action::BuildImage`] are not the engine's and are refused.
    fn perform<'a>(
        &'a self,
        action: &'a Action,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>>;

    /// Hints that something may have changed. Never the truth: look again. The
    /// stream ends when the engine goes away; whoever reads it asks again.
    fn changes(&self) -> BoxStream<'static, Change>;
}

/// Reading what containers say: beside [`Engine`], since no plan needs it.
pub trait Console: Send + Sync + 'static {
    /// The output of a container.
    fn logs(
        &self,
        container: &str,
        options: LogOptions,
    ) -> BoxStream<'static, Result<LogChunk, EngineError>>;

    /// The exit code, once the container has ended.
    fn wait<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<i64, EngineError>>;

    /// Runs a command in a container to its end; its exit code and output.
    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a [String],
    ) -> BoxFuture<'a, Result<(i64, Vec<LogChunk>), EngineError>>;

    /// Puts files into a container: a tar, whose names begin at a folder that is there.
    /// What is of the same name is replaced.
    fn put_files<'a>(
        &'a self,
        container: &'a ContainerId,
        folder: &'a str,
        tar: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> BoxFuture<'a, Result<(), EngineError>>;

    /// Removes files, and folders with all that is in them, from a running container.
    /// What is not there is removed. Engines have no call for it: a `rm` of the
    /// image's own does it, and where there is none that is
    /// [`EngineError::CannotRun`].
    fn remove_files<'a>(
        &'a self,
        container: &'a ContainerId,
        paths: &'a [String],
    ) -> BoxFuture<'a, Result<(), EngineError>>;

    /// What a running container uses, and has used.
    fn used<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<Used, EngineError>>;

    /// Takes logins at registries, for later pulls. They are kept in memory only.
    fn log_in(&self, logins: Vec<Login>);

    /// Builds an image from a context that arrives as a tar stream.
    fn build<'a>(
        &'a self,
        build: ImageBuild,
        context: BoxStream<'static, Result<Bytes, std::io::Error>>,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), EngineError>>;
}

/// What a container uses, and has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Processor time since its start, of all cores.
    pub cpu: Duration,
    /// Memory in bytes, without what the kernel keeps of files and could give up.
    pub memory: u64,
    /// The most that it may use, in bytes; none if that is all there is.
    pub limit: Option<u64>,
    /// Bytes that came to it over its networks since its start.
    pub received: u64,
    /// Bytes that it sent over them.
    pub sent: u64,
    /// Bytes that it read from disks since its start.
    pub read: u64,
    /// Bytes that it wrote to them.
    pub written: u64,
    /// Its processes and threads.
    pub pids: u64,
}

/// A login at a registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The registry.
    pub host: String,
    /// The user.
    pub username: String,
    /// The password or token.
    pub password: String,
}

/// What to build an image from, beside the context.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct ImageBuild {
    /// The tag the image gets.
    pub tag: String,
    /// The Dockerfile, relative to the context.
    pub dockerfile: String,
    /// The stage, if not the last.
    pub target: Option<String>,
    /// Build arguments.
    pub args: indexmap::IndexMap<String, String>,
    /// Who builds.
    #[serde(default)]
    pub builder: Builder,
    /// Do every step again, whatever an earlier build left.
    #[serde(default)]
    pub no_cache: bool,
    /// Fetch the images it begins with again, even where they are there.
    #[serde(default)]
    pub pull: bool,
    /// The images it begins with, as far as the Dockerfile tells. They are
    /// pulled first: BuildKit by itself has no login.
    #[serde(default)]
    pub bases: Vec<String>,
}

/// Which of an engine's builders builds.
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
#[serde(rename_all = "snake_case")]
pub enum Builder {
    /// The one that the engine says it has.
    #[default]
    Auto,
    /// BuildKit, which knows `RUN --mount`.
    Buildkit,
    /// The one that every engine has.
    Classic,
}

/// What an action left behind that its caller may want to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// Nothing more to say.
    Done,
    /// A container was made.
    Created(ContainerId),
}

/// How far a long action is.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case", tag = "progress")]
pub enum Progress {
    /// Bytes of one layer of a pull.
    Layer {
        /// The layer's id.
        id: String,
        /// What is happening to it.
        status: String,
        /// Bytes so far.
        current: u64,
        /// Bytes in all, 0 while unknown.
        total: u64,
    },
    /// A line of output of a build.
    Line {
        /// The line.
        text: String,
        /// The step that it is of, if it is of one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<u32>,
    },
    /// A step of a build. Told when it begins, and when it is over.
    Build {
        /// Which.
        step: BuildStep,
        /// How it is.
        state: BuildState,
    },
}

/// A step of a build.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct BuildStep {
    /// Its own among the steps of this build.
    pub id: u32,
    /// Where in the Dockerfile it is, if it is of the Dockerfile.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<StepPlace>,
    /// What is done: `RUN apk add curl`.
    pub name: String,
}

/// The place of a step: `[dev 2/5]`.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
pub struct StepPlace {
    /// Its stage, where the builder counts by stages.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// Which of the steps, from 1.
    pub number: u32,
    /// How many there are.
    pub of: u32,
}

impl std::fmt::Display for StepPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.stage {
            Some(stage) => write!(f, "[{stage} {}/{}]", self.number, self.of),
            None => write!(f, "[{}/{}]", self.number, self.of),
        }
    }
}

/// How a step of a build is.
#[derive(
    Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum BuildState {
    /// It is being done.
    Running,
    /// It was done by an earlier build.
    Cached,
    /// It is done.
    Done {
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// It failed.
    Failed {
        /// The builder's words.
        cause: String,
    },
}

/// Who sends requests to containers.
pub trait Traffic: Send + Sync + 'static {
    /// Returns once no request is sent to a container that [`Look`] does not
    /// show as ready any more, and none is under way there. The latter is not
    /// waited for longer than this.
    ///
    /// [`Look`]: super::controller::Look
    fn left<'a>(&'a self, container: &'a ContainerId, patience: Duration) -> BoxFuture<'a, ()>;
}

/// A hint that something may have changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The stream is open: everything before this moment may have been missed.
    Connected,
    /// Something happened to a container.
    Container {
        /// Which.
        id: ContainerId,
        /// Its name.
        name: Option<ContainerName>,
        /// The engine's word for it, in Docker's spelling: `die`, `start`, `rename`.
        what: String,
        /// Its labels say that it is ours.
        is_ours: bool,
    },
    /// Something happened to a network, or to who is in it.
    Network {
        /// Which.
        name: NetworkName,
    },
    /// Something happened to a volume or image.
    Other,
}

/// Why an engine did not do as told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Nothing answers.
    #[error("the container engine at {endpoint} does not answer: {cause}")]
    Unreachable {
        /// Where it was looked for.
        endpoint: String,
        /// The system's words.
        cause: String,
    },
    /// Its socket may not be used.
    #[error("no permission to use the container engine at {endpoint}")]
    Denied {
        /// Where.
        endpoint: String,
    },
    /// It has no such container, network or volume.
    #[error("{what}")]
    NotFound {
        /// The engine's words.
        what: String,
    },
    /// The image is nowhere.
    #[error("image `{image}` was not found: {cause}")]
    NoImage {
        /// Which.
        image: String,
        /// The engine's or registry's words.
        cause: String,
    },
    /// The image is not here, and could not be fetched.
    #[error("image `{image}` could not be pulled: {cause}")]
    Pull {
        /// Which.
        image: String,
        /// The engine's or registry's words.
        cause: String,
    },
    /// A registry gives the image only to whoever is logged in.
    #[error(
        "the registry {registry} {} for image `{image}`: {cause}",
        if *.had_login { "does not accept the login" } else { "asks for a login" }
    )]
    LoginNeeded {
        /// Which image.
        image: String,
        /// The registry's host.
        registry: String,
        /// A login was sent.
        had_login: bool,
        /// The registry's words.
        cause: String,
    },
    /// A name is taken, or something is in use.
    #[error("{what}")]
    Conflict {
        /// The engine's words.
        what: String,
    },
    /// A host port is held by something else.
    #[error("host port {port} is already in use")]
    PortTaken {
        /// Which.
        port: u16,
    },
    /// The command does not exist in the image, or cannot be run.
    #[error("{cause}")]
    CannotRun {
        /// The engine's words, shortened to their point.
        cause: String,
        /// As a shell would say it: 127 not found, 126 not executable.
        code: i64,
    },
    /// What was run in a container at one of its turning points failed.
    #[error("{when} of `{container}`: command {number} ended with exit code {code}")]
    Hook {
        /// The container.
        container: String,
        /// `post_start` or `pre_stop`.
        when: &'static str,
        /// Which of its commands, from 1. Not its words: those can hold a secret.
        number: usize,
        /// How it ended.
        code: i64,
        /// The last lines of its output.
        output: Vec<String>,
    },
    /// A build failed.
    #[error("building `{tag}` failed: {cause}")]
    Build {
        /// The tag.
        tag: String,
        /// The engine's words.
        cause: String,
        /// The last lines of its output.
        output: Vec<String>,
    },
    /// BuildKit was wanted, and the engine says that it has none.
    #[error("this engine does not build with BuildKit: {cause}")]
    NoBuildkit {
        /// The engine's words.
        cause: String,
    },
    /// It took longer than this class of call may.
    #[error("the engine did not finish `{call}` within {seconds} s")]
    Deadline {
        /// Which call.
        call: &'static str,
        /// Its limit.
        seconds: u64,
    },
    /// Anything else it said no to.
    #[error("the engine refused: {message}")]
    Refused {
        /// The HTTP status, 0 if there was none.
        status: u16,
        /// The engine's words.
        message: String,
    },
}
