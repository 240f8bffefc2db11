//! What an engine's refusal means to a person: a stable code, a line, a next command.

use super::{adhoc::AdhocError, engine::EngineError, event::Problem};
use crate::{
    plan::{Action, Blocked},
    store::StoreError,
};

impl Problem {
    /// The code of a plan that loses something, to which nobody has said yes.
    pub const CONFIRM: &str = "confirm";
    /// The code of a plan that is not the one somebody looked at.
    pub const WORLD_MOVED: &str = "world_moved";
    /// The code of a command that its image does not have.
    pub const COMMAND_NOT_FOUND: &str = "command_not_found";
    /// The code of a command that is there, and cannot be run.
    pub const CANNOT_RUN: &str = "cannot_run";
    /// The code of what is waited for and cannot come about.
    pub const CANNOT_BE: &str = "cannot_be";
    /// The code of what was waited for and did not come about in time.
    pub const NOT_IN_TIME: &str = "not_in_time";
    /// The code of a container that did not become ready.
    pub const NOT_READY: &str = "not_ready";
    /// The code of a container that ended and should run.
    pub const CONTAINER_ENDED: &str = "container_ended";
    /// The code of a hook that ended with another code than 0.
    pub const HOOK_FAILED: &str = "hook_failed";
    /// The code of a host port that somebody else has.
    pub const PORT_TAKEN: &str = "port_taken";
    /// The code of a host port that somebody else has, and that nobody asked for by
    /// number: another is taken.
    pub const PORT_LOST: &str = "port_lost";

    /// Whether what was declared is to blame: tried again, it would fail again. An
    /// engine that does not answer, or says no for reasons of its own, is not.
    pub fn is_of_the_declaration(&self) -> bool {
        matches!(
            self.code.as_str(),
            Self::NOT_READY
                | Self::CONTAINER_ENDED
                | Self::COMMAND_NOT_FOUND
                | Self::CANNOT_RUN
                | Self::HOOK_FAILED
                | Self::PORT_TAKEN
        )
    }

    /// Why `action` could not be carried out.
    pub fn of_action(action: &Action, error: &EngineError) -> Self {
        let problem = Self::from(error);
        match (action, error) {
            (Action::Launch(launch) | Action::Create(launch), EngineError::Conflict { .. }) => {
                problem.hinted(format!(
                    "see who has it: `docker ps -a --filter name={}`",
                    launch.name
                ))
            }
            (Action::RemoveVolume { volume }, EngineError::Conflict { .. }) => problem.hinted(
                format!("see who uses it: `docker ps -a --filter volume={volume}`"),
            ),
            (Action::RemoveNetwork { network }, EngineError::Conflict { .. }) => problem.hinted(
                format!("see who is in it: `docker ps -a --filter network={network}`"),
            ),
            _ => problem,
        }
    }
}

impl From<&EngineError> for Problem {
    fn from(error: &EngineError) -> Self {
        let problem = Self::new(code(error), error.to_string());
        match error {
            EngineError::Unreachable { .. } => {
                problem.hinted(
                "start it: `sudo systemctl start docker`, or say where it is: DOCKER_HOST=unix:///path/to/docker.sock",
            )
            }
            EngineError::Denied { .. } => problem.hinted(
                "join the group of the socket: `sudo usermod -aG docker $USER`, then log in again",
            ),
            EngineError::NoImage { image, .. } => problem.hinted(format!(
                "check the name, or log in to its registry: `docker pull {image}`"
            )),
            EngineError::Pull { image, .. } => problem.hinted(format!(
                "see whether its registry can be reached: `docker pull {image}`"
            )),
            EngineError::LoginNeeded { registry, .. } => problem.hinted(format!(
                "log in, and run it again: `docker login {registry}`"
            )),
            EngineError::NoBuildkit { .. } => {
                problem.hinted("build without it: `DOCKER_BUILDKIT=0 cosmos build`")
            }
            EngineError::PortTaken { port } => problem.hinted(format!(
                "free it, or publish another: `ss -ltnp 'sport = :{port}'` names its holder"
            )),
            EngineError::CannotRun { code: 127, .. } => {
                problem.hinted("check `command` and `entrypoint`: the image has no such program")
            }
            EngineError::CannotRun { .. } => {
                problem.hinted("check that `command` names a program that may be executed")
            }
            EngineError::Hook { output, .. } => problem.with_output(output.clone()).hinted(
                "mend the command, or take it out of `hooks`; the container was stopped, and is started again as after a crash",
            ),
            EngineError::Build { output, .. } => problem.with_output(output.clone()),
            EngineError::Deadline { .. } => {
                problem.hinted("the engine is slow or stuck: see whether `docker ps` answers")
            }
            EngineError::NotFound { .. }
            | EngineError::Conflict { .. }
            | EngineError::Refused { .. } => problem,
        }
    }
}

impl From<&Blocked> for Problem {
    fn from(blocked: &Blocked) -> Self {
        let problem = Self::new(blocked.code, &blocked.why);
        match &blocked.hint {
            Some(hint) => problem.hinted(hint),
            None => problem,
        }
    }
}

impl From<&StoreError> for Problem {
    fn from(error: &StoreError) -> Self {
        if error.is_full() {
            return Self::new(
                "state_full",
                "the volume with the state is full: the order was not taken",
            )
            .hinted("free some space on the engine's disk; what runs goes on running");
        }
        if matches!(error, StoreError::NoState | StoreError::Newer { .. }) {
            return Self::new("invalid_request", error.to_string())
                .hinted("nothing was changed; `cosmos state backup` writes what can come back");
        }
        let mut message = error.to_string();
        if let Some(cause) = std::error::Error::source(error) {
            message = format!("{message}: {cause}");
        }
        Self::new("state_failed", message).hinted("`cosmos proxy logs` says more")
    }
}

impl From<&AdhocError> for Problem {
    fn from(error: &AdhocError) -> Self {
        match error {
            AdhocError::Engine(error) => Self::from(error),
            AdhocError::Store(error) => Self::from(error),
            AdhocError::Invalid(problem) => problem.clone(),
        }
    }
}

/// The stable word for each kind of refusal.
fn code(error: &EngineError) -> &'static str {
    match error {
        EngineError::Unreachable { .. } => "engine_unreachable",
        EngineError::Denied { .. } => "engine_denied",
        EngineError::NotFound { .. } => "not_found",
        EngineError::NoImage { .. } => "image_not_found",
        EngineError::Pull { .. } => "pull_failed",
        EngineError::LoginNeeded { .. } => "login_needed",
        EngineError::NoBuildkit { .. } => "no_buildkit",
        EngineError::Conflict { .. } => "conflict",
        EngineError::PortTaken { .. } => Problem::PORT_TAKEN,
        EngineError::CannotRun { code: 127, .. } => Problem::COMMAND_NOT_FOUND,
        EngineError::CannotRun { .. } => Problem::CANNOT_RUN,
        EngineError::Hook { .. } => Problem::HOOK_FAILED,
        EngineError::Build { .. } => "build_failed",
        EngineError::Deadline { .. } => "engine_deadline",
        // It understood, and says that what was asked makes no sense to it.
        EngineError::Refused {
            status: 400..=499, ..
        } => "not_accepted",
        EngineError::Refused { .. } => "engine_refused",
    }
}
