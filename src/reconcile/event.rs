//! Facts, past tense: the one vocabulary of progress, logs and the API stream.

use serde::{Deserialize, Serialize};

use super::{controller::Held, engine::Progress};
use crate::plan::{Quiet, StepId, StepSummary, Subject};

/// Something that happened. Streams are NDJSON lines of these.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum Event {
    /// A plan was made and is about to be carried out.
    PlanMade {
        /// Its steps, in order.
        steps: Vec<StepSummary>,
    },
    /// What was declared changed without a step: it is in force.
    DeclarationChanged {
        /// Each change.
        changes: Vec<Quiet>,
    },
    /// Something that is wanted could not be planned.
    Blocked {
        /// Whom it is about.
        subject: Subject,
        /// What is in the way.
        problem: Problem,
    },
    /// A step began.
    StepStarted {
        /// Which.
        step: StepId,
    },
    /// A step is so far.
    StepProgressed {
        /// Which.
        step: StepId,
        /// How far.
        progress: Progress,
    },
    /// A step was done.
    StepSucceeded {
        /// Which.
        step: StepId,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step failed.
    StepFailed {
        /// Which.
        step: StepId,
        /// What went wrong, and what to do.
        problem: Problem,
    },
    /// A step was not tried, because one that it needs failed; or it was given up to
    /// be planned anew, and is its own cause.
    StepSkipped {
        /// Which.
        step: StepId,
        /// The step that failed.
        because: StepId,
    },
    /// Images must be built first, by whoever has their contexts.
    BuildNeeded {
        /// Their tags.
        images: Vec<String>,
    },
    /// Images must be pulled, and whoever asked said that there may be logins for
    /// their registries: they go to `POST /logins` first, and the order is given again.
    LoginsWanted {
        /// The images.
        images: Vec<String>,
    },
    /// An image was fetched, outside a plan.
    ImagePulled {
        /// Which.
        image: String,
        /// The engine's id of it.
        id: String,
        /// It is another than was there before.
        changed: bool,
    },
    /// An image is being fetched, outside a plan.
    ImageProgressed {
        /// Which.
        image: String,
        /// How far.
        progress: Progress,
    },
    /// An ad-hoc container was created.
    ContainerCreated {
        /// Its full id.
        id: String,
        /// Its name.
        name: String,
    },
    /// A container was started.
    ContainerStarted {
        /// Its full id.
        id: String,
        /// Its name.
        name: String,
    },
    /// Everything was done, and a service is waited for to be ready.
    ServiceAwaited {
        /// Which.
        service: String,
    },
    /// A service that was waited for is ready.
    ServiceReady {
        /// Which.
        service: String,
    },
    /// A service that should run does not, or is not ready.
    ServiceFailed {
        /// Which.
        service: String,
        /// Why, and what to do.
        problem: Problem,
    },
    /// A service did not come up in its new form, and was put back as it was before.
    ServiceRolledBack {
        /// Which.
        service: String,
        /// What that means, and what to do.
        problem: Problem,
    },
    /// The work is over.
    Finished {
        /// What came of it.
        outcome: Outcome,
    },
    /// The work could not be done at all.
    Failed {
        /// Why.
        problem: Problem,
    },
}

/// What came of an apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Outcome {
    /// Steps that succeeded.
    pub succeeded: u32,
    /// Steps that failed.
    pub failed: u32,
    /// Steps that were not tried.
    pub skipped: u32,
    /// Services as declared now.
    pub services: u32,
    /// From the order to this moment, in milliseconds.
    pub millis: u64,
    /// Services that are not as declared, because somebody ordered it so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held: Vec<Held>,
}

/// One thing that is wrong, where, and the next command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Problem {
    /// A stable word for programs: `image_not_found`.
    pub code: String,
    /// What is wrong, in one line without a full stop.
    pub message: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hint: Option<String>,
    /// Last lines of the container or build that failed.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub output: Vec<String>,
}

impl Problem {
    /// A problem with a code and a message.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self {
            code: code.to_owned(),
            message: message.into(),
            hint: None,
            output: Vec::new(),
        }
    }

    /// The same, with advice.
    #[must_use]
    pub fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The same, with the last lines of what failed.
    #[must_use]
    pub fn with_output(mut self, output: Vec<String>) -> Self {
        self.output = output;
        self
    }
}
