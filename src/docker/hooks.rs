//! What is run in a container after its start and before its stop.

use std::time::Duration;

use super::{client::within, engine::DockerEngine};
use crate::{
    reconcile::engine::{EngineError, LogChunk},
    workspace::Hooks,
};

/// Long enough to warm a cache or to register somewhere, short enough that one
/// which hangs is told before people give up.
const POST_START_LIMIT: Duration = Duration::from_secs(120);

/// As many lines of a failed hook's output as are shown of a container's.
const SHOWN_LINES: usize = 10;

impl DockerEngine {
    /// Runs what is to be run in a container that was just started.
    ///
    /// If one fails, the container is stopped: it is not what was asked for, and
    /// whoever looks must not take it for that. It is then treated as one that crashed.
    pub(super) async fn after_start(
        &self,
        container: &str,
        hooks: &Hooks,
    ) -> Result<(), EngineError> {
        for (number, command) in (1..).zip(&hooks.post_start) {
            let run = self.run_hook("post_start", number, container, command);
            if let Err(failure) = within("post_start", POST_START_LIMIT, run).await {
                self.stop(container, None).await?;
                return Err(failure);
            }
        }
        Ok(())
    }

    /// Runs what is to be run in a container that is about to be stopped, for as
    /// long as that may take. The stop was ordered: what fails does not hold it up.
    pub(super) async fn before_stop(&self, container: &str, hooks: &Hooks, grace: Duration) {
        for (number, command) in (1..).zip(&hooks.pre_stop) {
            let run = self.run_hook("pre_stop", number, container, command);
            match within("pre_stop", grace, run).await {
                // One that does not run any more has nothing to be told.
                Ok(()) | Err(EngineError::NotFound { .. } | EngineError::Conflict { .. }) => {}
                Err(failure) => {
                    tracing::warn!(container, %failure, "a hook failed, and the stop goes on");
                }
            }
        }
    }

    async fn run_hook(
        &self,
        when: &'static str,
        number: usize,
        container: &str,
        command: &[String],
    ) -> Result<(), EngineError> {
        let (code, output) = self.run_inside(container, command, None).await?;
        match code {
            0 => Ok(()),
            code => Err(EngineError::Hook {
                container: container.to_owned(),
                when,
                number,
                code,
                output: last_lines(&output),
            }),
        }
    }
}

fn last_lines(chunks: &[LogChunk]) -> Vec<String> {
    let mut text = Vec::new();
    for chunk in chunks {
        text.extend_from_slice(chunk.bytes());
    }
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines[lines.len().saturating_sub(SHOWN_LINES)..].to_vec()
}
