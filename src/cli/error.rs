//! Failures of a command, and the one place that shows them.
//!
//! The kind decides the exit code; the author of a check writes the advice
//! beside it with [`Failure::hinted`].

use std::{fmt, io, process::ExitCode};

use super::{
    context::installation,
    terminal_width,
    ui::{folded, printable, printable_lines, say},
};
use crate::{
    api::{client::ClientError, wire::Problem},
    reconcile::engine::EngineError,
};

/// The exit code of what a person stopped, as shells have it.
pub(super) const INTERRUPTED: u8 = 130;

/// How a command failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It was tried and did not work: exit code 1.
    Failed,
    /// Wrong usage or an invalid config: exit code 2.
    Usage,
    /// A person stopped it: exit code 130.
    Interrupted,
    /// The child of a verb that gives its child's exit code could not be run.
    Unrun(u8),
}

/// Why a command failed, and what to do next.
#[derive(Debug)]
pub(super) struct Failure {
    kind: Kind,
    /// An image cannot be had.
    is_without_image: bool,
    /// Of a child that could not be run: the exit code that a shell would give.
    unrun: Option<u8>,
    message: String,
    causes: Vec<String>,
    /// The line of a file that it is about: `api/Dockerfile:7`.
    place: Option<Box<str>>,
    hint: Option<String>,
    output: Vec<String>,
    /// Was shown already, in a better form.
    shown: bool,
}

impl Failure {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Failed,
            is_without_image: false,
            unrun: None,
            message: message.into(),
            causes: Vec::new(),
            place: None,
            hint: None,
            output: Vec::new(),
            shown: false,
        }
    }

    pub(super) fn usage(message: impl Into<String>) -> Self {
        Self {
            kind: Kind::Usage,
            ..Self::new(message)
        }
    }

    /// A failure that was shown already; only the exit code is left.
    pub(super) fn shown(kind: Kind) -> Self {
        Self {
            kind,
            shown: true,
            ..Self::new("")
        }
    }

    /// Whether it is that an image cannot be had: what was named is perhaps none.
    pub(super) fn is_without_image(&self) -> bool {
        self.is_without_image
    }

    /// Whether it is that an image has no such program.
    pub(super) fn is_without_program(&self) -> bool {
        self.unrun == Some(127)
    }

    #[must_use]
    pub(super) fn with_output(mut self, output: Vec<String>) -> Self {
        self.output = output;
        self
    }

    /// Of a verb that gives its child's exit code: the code of one that could not be run.
    #[must_use]
    pub(super) fn of_child(mut self) -> Self {
        if let Some(code) = self.unrun {
            self.kind = Kind::Unrun(code);
        }
        self
    }

    #[must_use]
    pub(super) fn placed(mut self, place: Option<String>) -> Self {
        self.place = place.map(String::into_boxed_str);
        self
    }

    #[must_use]
    pub(super) fn hinted(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl Failure {
    /// Shows it on stderr, on a terminal with no word broken; nothing, if it was shown.
    pub(super) fn show(&self) {
        if self.shown {
            return;
        }
        match terminal_width() {
            Some(width) => say!("{}", folded(&self.to_string(), width)),
            None => say!("{self}"),
        }
    }
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Self {
            unrun: match problem.code.as_str() {
                Problem::COMMAND_NOT_FOUND => Some(127),
                Problem::CANNOT_RUN => Some(126),
                _ => None,
            },
            is_without_image: ["image_not_found", "pull_failed"].contains(&problem.code.as_str()),
            hint: problem.hint,
            output: problem.output,
            ..Self::new(problem.message)
        }
    }
}

impl From<EngineError> for Failure {
    fn from(error: EngineError) -> Self {
        Problem::from(&error).into()
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused { problem, .. } => problem.into(),
            ClientError::Unreachable { ref source, .. } => {
                let proxy = installation().unwrap_or_default().proxy();
                Self {
                    causes: vec![source.to_string()],
                    ..Self::new(error.to_string()).hinted(format!(
                        "`cosmos proxy status` looks after it; `docker logs {proxy}` says what it said last"
                    ))
                }
            }
            ClientError::Stranger { address } => Self::new(error.to_string()).hinted(format!(
                "free the port, or choose another: `COSMOS_PROXY_PORT={} cosmos ...`",
                address.port().saturating_add(1)
            )),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::new(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bold = anstyle::Style::new().bold();
        let red = anstyle::AnsiColor::Red.on_default().bold();
        let cyan = anstyle::AnsiColor::Cyan.on_default();
        writeln!(
            f,
            "{red}error{red:#}{bold}:{bold:#} {}",
            printable_lines(&self.message)
        )?;
        for cause in &self.causes {
            writeln!(f, "  because: {}", printable_lines(cause))?;
        }
        if let Some(place) = &self.place {
            writeln!(f, "  {cyan}-->{cyan:#} {}", printable(place))?;
        }
        for line in &self.output {
            writeln!(f, "  | {}", printable(line))?;
        }
        if let Some(hint) = &self.hint {
            writeln!(f, "{cyan}hint{cyan:#}: {}", printable_lines(hint))?;
        }
        Ok(())
    }
}

/// Shows a failure on stderr; its exit code.
pub(super) fn report(failure: &Failure) -> ExitCode {
    failure.show();
    ExitCode::from(match failure.kind {
        Kind::Failed => 1,
        Kind::Usage => 2,
        Kind::Interrupted => INTERRUPTED,
        Kind::Unrun(code) => code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_engine_or_registry_says_cannot_move_the_cursor() {
        let failure = Failure::new("pull: \x1b[2Jdenied").hinted("see \u{202e}it");
        let shown = anstream::adapter::strip_str(&failure.to_string()).to_string();
        assert_eq!(
            shown,
            "error: pull: \u{fffd}[2Jdenied\nhint: see \u{fffd}it\n"
        );
    }
}
