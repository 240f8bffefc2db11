//! A child in a container, joined to our terminal or our pipes until it ends.
//!
//! What `start`, `run` and `exec` have in common: how we are joined, what its
//! end means, and the exit code that it gives us.

use std::{
    io::{IsTerminal as _, stdin, stdout},
    process::ExitCode,
};

use super::{
    args::Global,
    bootstrap,
    error::Failure,
    orders::{self, Order},
    terminal::{self, DetachKeys, End, StdinKind},
    ui::sayln,
};
use crate::{
    api::client::Client,
    docker::attach::{self, AttachOptions, ExecOptions, WaitFor},
    workspace::ContainerId,
};

/// What of us a container's process is joined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// Nothing.
    No,
    /// Its output is shown.
    Output,
    /// Its output is shown, and our input is sent to it.
    Piped,
    /// Our terminal is its terminal.
    Terminal,
}

impl Attached {
    /// As much of us as there is: a terminal, else what is piped in, else only our output.
    pub(super) fn here() -> Self {
        if is_interactive() {
            Self::Terminal
        } else if terminal::stdin_kind() == StdinKind::Stream {
            Self::Piped
        } else {
            Self::Output
        }
    }

    pub(super) fn tty(self) -> bool {
        self == Self::Terminal
    }

    pub(super) fn stdin(self) -> bool {
        matches!(self, Self::Piped | Self::Terminal)
    }
}

/// How a command ended that we were attached to.
pub(super) struct Ended {
    end: End,
    code: Option<i64>,
}

impl Ended {
    /// Says what a person must know, and gives the exit code.
    pub(super) fn report(self, global: &Global, id: &ContainerId) -> Result<ExitCode, Failure> {
        if let Some(code) = self.code {
            return Ok(exit_code(code));
        }
        if !global.quiet && matches!(self.end, End::Interrupted | End::Detached) {
            sayln!(
                "{} goes on running; stop it: `cosmos stop {}`",
                id.short(),
                id.short()
            );
        }
        Ok(self
            .end
            .exit_code()
            .map_or(ExitCode::SUCCESS, |code| exit_code(code.into())))
    }
}

/// Attaches to a container that was created, starts it, and relays until it ends.
pub(super) async fn run(
    client: &Client,
    id: &ContainerId,
    attached: Attached,
    detach_keys: &DetachKeys,
    started: impl FnOnce(),
) -> Result<Ended, Failure> {
    let engine = bootstrap::attach_client().await?;
    let id = id.as_str();
    let result = async {
        let session = engine
            .attach(
                id,
                AttachOptions {
                    stdin: attached.stdin(),
                    tty: attached.tty(),
                    logs: false,
                },
            )
            .await
            .map_err(attach_failed)?;
        let waiting = engine
            .wait(id, WaitFor::NextExit)
            .await
            .map_err(attach_failed)?;
        orders::give(client, id, &Order::of("start"), None).await?;
        started();
        Ok::<_, Failure>((session, waiting))
    };
    let (session, waiting) = match result.await {
        Ok(running) => running,
        Err(failure) => {
            // It never ran: nobody wants to look at it. Why it did not run matters more
            // than whether this worked.
            let _ = orders::remove(client, id).await;
            return Err(failure.of_child());
        }
    };
    let end = if attached.tty() {
        terminal::interact(session, detach_keys).await
    } else {
        terminal::follow(session).await
    }
    .map_err(|error| Failure::new(error.to_string()))?;
    let code = match end {
        End::Closed => Some(waiting.exit_code().await.map_err(attach_failed)?),
        _ => None,
    };
    Ok(Ended { end, code })
}

/// Runs a command in a container, joined to our terminal or our pipes, to its
/// end. The inner error is that it could not be begun.
pub(super) async fn join(
    container: &str,
    options: &ExecOptions,
    detach_keys: &DetachKeys,
) -> Result<Result<ExitCode, attach::Error>, Failure> {
    let engine = bootstrap::attach_client().await?;
    let (exec, session) = match engine.exec(container, options).await {
        Ok(begun) => begun,
        Err(error) => return Ok(Err(error)),
    };
    let end = if options.tty {
        terminal::interact(session, detach_keys).await
    } else {
        terminal::follow(session).await
    }
    .map_err(|error| Failure::new(error.to_string()))?;
    if let Some(code) = end.exit_code() {
        return Ok(Ok(exit_code(code.into())));
    }
    if end != End::Closed {
        return Ok(Ok(ExitCode::SUCCESS));
    }
    Ok(Ok(exit_code(
        engine.exec_end(&exec).await.map_err(attach_failed)?,
    )))
}

/// `KEY` alone takes the value that this shell has; where it has none, none is set.
pub(super) fn with_values(lines: &[String]) -> Vec<String> {
    lines
        .iter()
        .filter_map(|line| match line.split_once('=') {
            Some(_) => Some(line.clone()),
            None => Some(format!("{line}={}", std::env::var(line).ok()?)),
        })
        .collect()
}

/// Whether a person sits at both ends.
pub(super) fn is_interactive() -> bool {
    stdin().is_terminal() && stdout().is_terminal()
}

/// A child's exit code as ours: only its low eight bits exist.
pub(super) fn exit_code(code: i64) -> ExitCode {
    ExitCode::from(u8::try_from(code.rem_euclid(256)).unwrap_or(1))
}

pub(super) fn attach_failed(error: attach::Error) -> Failure {
    match error {
        attach::Error::Engine(error) => error.into(),
        other => Failure::new(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_that_this_shell_does_not_have_is_not_set() {
        let lines = ["A=b=c", "COSMOS_TEST_NOT_SET"].map(str::to_owned);
        assert_eq!(with_values(&lines), ["A=b=c"]);
    }
}
