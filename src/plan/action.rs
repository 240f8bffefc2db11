//! The parts of a plan: steps, what they do and what they need.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::quiet::Quiet;
use crate::workspace::{
    AfterCondition, CommandName, Container, ContainerId, ContainerName, File, Health, Hooks,
    ImageRef, Network, NetworkName, Owner, Resources, ServiceName, Volume, VolumeName,
};

/// What to do, in an order in which it can be done.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Each step stands after all that it needs.
    pub steps: Vec<Step>,
    /// What is wanted and cannot be planned. Steps that would need it are left out.
    pub blocked: Vec<Blocked>,
    /// Containers with our labels that are not ours.
    pub ignored: Vec<Ignored>,
    /// What changes in the declaration without a step.
    pub quiet: Vec<Quiet>,
    /// Stands for the declaration, where something changes in it without a step:
    /// the digest has to cover what the steps do not.
    pub declaration: Option<String>,
}

/// Something that is wanted and cannot be planned, for a reason in the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// Whom it is about.
    pub subject: Subject,
    /// A stable word for programs: `name_taken`.
    pub code: &'static str,
    /// What is in the way, in one line.
    pub why: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// A container with our labels that is not ours: it is never touched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Ignored {
    /// Which.
    pub container: ContainerName,
    /// How it can be told.
    pub why: String,
}

/// One unit of a plan.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// Its number in this plan, from 1.
    pub id: StepId,
    /// The steps that must have succeeded before.
    pub needs: Vec<StepId>,
    /// Whom it is about.
    pub subject: Subject,
    /// What it does.
    pub action: Action,
    /// Why, for people: ``image changed: node:20 → node:22``.
    pub reason: String,
    /// What is lost by it that nothing brings back: `what is in its volume /data`.
    pub loses: Option<String>,
}

/// A step's number in its plan, from 1.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct StepId(pub u32);

impl fmt::Display for StepId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Whom a step is about, as people know it.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "snake_case", tag = "kind", content = "name")]
pub enum Subject {
    /// A service.
    Service(ServiceName),
    /// A command.
    Command(CommandName),
    /// An image.
    Image(ImageRef),
    /// A network.
    Network(NetworkName),
    /// A volume.
    Volume(VolumeName),
    /// A service or command that is not declared any more.
    Orphan(String),
}

/// What a step does. It never crosses the wire: it is written only to be hashed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Action {
    /// Fetch an image from its registry.
    PullImage {
        /// Which.
        image: ImageRef,
    },
    /// Build an image. Only the CLI can: it has the context.
    BuildImage {
        /// The tag.
        image: ImageRef,
    },
    /// Make a network.
    CreateNetwork {
        /// Which, and how.
        network: Network,
        /// The key of the workspace it belongs to, if it is isolated.
        workspace: Option<String>,
    },
    /// Remove a network.
    RemoveNetwork {
        /// Which.
        network: NetworkName,
    },
    /// Put a container into a network.
    ConnectNetwork {
        /// Which container.
        container: ContainerName,
        /// Which network.
        network: NetworkName,
        /// Names it answers to there.
        aliases: Vec<String>,
    },
    /// Take a container out of a network.
    DisconnectNetwork {
        /// Which container.
        container: ContainerName,
        /// Which network.
        network: NetworkName,
    },
    /// Make a volume.
    CreateVolume {
        /// Which.
        volume: VolumeName,
        /// How.
        settings: Volume,
        /// The key of the workspace it belongs to.
        workspace: String,
    },
    /// Remove a volume and what is in it.
    RemoveVolume {
        /// Which.
        volume: VolumeName,
    },
    /// Create a container and leave it unstarted, so that a terminal can attach first.
    Create(Box<Launch>),
    /// Create a container and start it.
    Launch(Box<Launch>),
    /// Start a container that is there.
    Start {
        /// Which.
        container: ContainerName,
        /// What is run in it then, of its hooks `post_start`.
        hooks: Hooks,
    },
    /// Stop a container and start it again.
    Restart {
        /// Which.
        container: ContainerName,
        /// How long it may take to stop.
        grace: Duration,
        /// What is run in it before and after.
        hooks: Hooks,
    },
    /// Stop a container.
    Stop {
        /// Which.
        container: ContainerName,
        /// How long it may take before it is killed.
        grace: Duration,
        /// What is run in it before, of its hooks `pre_stop`.
        hooks: Hooks,
    },
    /// Remove a container, which is stopped first if it runs.
    Remove {
        /// Which.
        container: ContainerName,
    },
    /// Give a container another name.
    Rename {
        /// From.
        from: ContainerName,
        /// To.
        to: ContainerName,
    },
    /// Change limits in place.
    Update {
        /// Which.
        container: ContainerName,
        /// The limits it then has.
        resources: Resources,
    },
    /// Put other files in the place of some that a container has, and see to it
    /// that its process reads them.
    Reload {
        /// Which container, by its name …
        container: ContainerName,
        /// … and by its id: what it has of them is remembered for this very one.
        id: ContainerId,
        /// The files.
        files: Vec<File>,
        /// What is done once they are there.
        then: Reread,
    },
    /// Wait until containers are as a dependant needs them.
    Await {
        /// All of these.
        containers: Vec<ContainerName>,
        /// Until this is so.
        condition: AfterCondition,
        /// No longer than this.
        patience: Duration,
    },
}

/// How a process comes to read the files that were put into its container.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Reread {
    /// It does not run: it reads them when it is started.
    AtStart,
    /// It is sent these signals, one after the other.
    Signals(Vec<String>),
    /// It is restarted in its container.
    Restart {
        /// How long it may take to stop.
        grace: Duration,
        /// What is run in it before and after.
        hooks: Hooks,
    },
}

/// A container about to be made: complete, with every name chosen.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Launch {
    /// Its name.
    pub name: ContainerName,
    /// What it is, with every host port filled in that is known.
    pub container: Container,
    /// Who it is for: becomes its labels.
    pub owner: Owner,
    /// The network it is in first; further ones are the container's own to say.
    pub network: NetworkName,
    /// Names it answers to in each: `api.shop.internal`.
    pub aliases: Vec<String>,
    /// The DNS domain in which short names are looked up, if it is in a workspace.
    pub search: Option<String>,
    /// A health check that the engine makes (a command in the container).
    pub health: Option<Health>,
    /// The engine removes it when it ends.
    pub remove_when_done: bool,
}

/// A step without what only the engine needs: what people and the wire see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct StepSummary {
    /// Its number.
    pub id: StepId,
    /// What it needs.
    pub needs: Vec<StepId>,
    /// Whom it is about.
    pub subject: Subject,
    /// What it does, in the imperative: `start shop-api-1`.
    pub action: String,
    /// How that reads in a plan tree.
    pub sign: Sign,
    /// Why.
    pub reason: String,
    /// What is lost by it that nothing brings back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub loses: Option<String>,
}

/// How a step reads in a plan tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// Something new.
    Add,
    /// Something that goes.
    Remove,
    /// Something that changes.
    Change,
    /// Nothing is written: a wait.
    Wait,
}
