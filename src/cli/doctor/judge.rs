//! What to think of what was seen: a verdict for each check, and what mends it.
//!
//! Everything here is pure. A hint is a command that can be typed as it stands, and
//! never one that something is lost by.

mod engine;
mod machine;
mod proxy;

use std::fmt;

use serde::Serialize;

use super::seen::{Asked, Seen};
use crate::cli::ui::duration;

/// The verdict of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Check {
    /// What was looked at, in a word.
    pub(super) name: &'static str,
    pub(super) state: State,
    /// What was found.
    pub(super) found: String,
    /// What mends it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) hint: Option<String>,
}

/// How it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// It works, and may surprise.
    Warning,
    /// Something does not work because of it.
    Failed,
    /// It could not be looked at, for a reason that is another check's.
    Skipped,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        })
    }
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            found: found.into(),
            hint: None,
        }
    }

    fn skipped(name: &'static str, why: impl Into<String>) -> Self {
        Self {
            state: State::Skipped,
            ..Self::ok(name, why)
        }
    }

    fn warning(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            state: State::Warning,
            hint: Some(hint.into()),
            ..Self::ok(name, found)
        }
    }

    fn failed(name: &'static str, found: impl Into<String>, hint: impl Into<String>) -> Self {
        Self {
            state: State::Failed,
            ..Self::warning(name, found, hint)
        }
    }
}

/// The verdicts, in the order in which they are read: what the next ones stand on first.
pub(super) fn judge(seen: &Seen) -> Vec<Check> {
    vec![
        engine::engine(&seen.engine, &seen.about),
        engine::api(&seen.about),
        engine::socket(seen.socket.as_ref()),
        proxy::proxy(&seen.proxy),
        proxy::version(&seen.proxy),
        proxy::address(&seen.proxy),
        proxy::token(&seen.proxy),
        proxy::port(&seen.port),
        proxy::leftovers(&seen.leftovers),
        machine::names(&seen.names),
        machine::disk(&seen.disks),
        machine::clock(&seen.clock),
        machine::ranges(&seen.ranges),
        machine::config(&seen.config),
        machine::terminal(&seen.terminal),
    ]
}

/// The answer to a question of the engine; where there is none, what to say instead.
fn answered<'a, T>(name: &'static str, asked: &'a Asked<T>) -> Result<&'a T, Check> {
    let hint = "see what the engine is busy with: `sudo journalctl -u docker -n 50`";
    match asked {
        Asked::Answered(answer) => Ok(answer),
        Asked::Not(why) => Err(Check::skipped(name, *why)),
        Asked::Refused(why) => Err(Check::failed(name, why, hint)),
        Asked::Late(limit) => {
            let found = format!("the engine did not say within {}", duration(*limit));
            Err(Check::failed(name, found, hint))
        }
    }
}

/// The answer, or returns what there is to say instead.
macro_rules! answer_or_return {
    ($name:expr, $asked:expr) => {
        match $crate::cli::doctor::judge::answered($name, $asked) {
            Ok(answer) => answer,
            Err(check) => return check,
        }
    };
}

use answer_or_return;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_engine_does_not_say_is_a_finding_and_what_it_is_not_asked_is_none() {
        let verdict = |asked| answered::<()>("disk", &asked).unwrap_err();
        let late = verdict(Asked::Late(Duration::from_secs(2)));
        assert_eq!(late.state, State::Failed);
        assert_eq!(late.found, "the engine did not say within 2.0 s");
        let refused = verdict(Asked::Refused("no".to_owned()));
        assert_eq!(
            (refused.state, refused.found.as_str()),
            (State::Failed, "no")
        );
        let not = verdict(Asked::Not("there is no engine"));
        assert_eq!((not.state, not.hint), (State::Skipped, None));
    }
}
