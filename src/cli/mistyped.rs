//! What was typed, and what was meant by it.
//!
//! Of a slip the parser says what is near. A verb of another tool is near to nothing, so
//! that it is told here which command of ours it is: never one that loses something.

use std::env;

use clap::{
    Parser as _,
    error::{
        ContextKind, ContextValue, Error,
        ErrorKind::{DisplayHelp, DisplayHelpOnMissingArgumentOrSubcommand},
    },
};

use super::{args::Cli, complete::Line, error::Failure, help};

/// Verbs of other tools, and ours. The words behind the verb are put at `*`, or only the
/// first of them at `?`; where there are none, what is in the third column.
const VERBS: [(&str, &str, &str); 27] = [
    ("apply", "up *", ""),
    ("attach", "exec ? sh", "NAME"),
    ("backup", "state backup *", ""),
    ("bash", "exec ? bash", "NAME"),
    ("create", "start -d *", "IMAGE"),
    ("deploy", "up *", ""),
    ("describe", "why ?", ""),
    ("dev", "watch *", ""),
    ("diff", "plan", ""),
    ("enter", "exec ? sh", "NAME"),
    ("events", "history", ""),
    ("info", "status", ""),
    ("inspect", "why ?", ""),
    ("kill", "stop *", "NAME"),
    ("lint", "check", ""),
    ("list", "status", ""),
    ("ls", "status", ""),
    ("new", "init", ""),
    ("pause", "stop *", "NAME"),
    ("requests", "http", ""),
    ("sh", "exec ? sh", "NAME"),
    ("shell", "exec ? sh", "NAME"),
    ("ssh", "exec ? sh", "NAME"),
    ("unpause", "start *", "NAME"),
    ("upgrade", "proxy upgrade", ""),
    ("validate", "check", ""),
    ("version", "--version", ""),
];

/// Reads the command line. Asked for help, or told something that makes no sense, it says
/// so and ends.
pub(super) fn parse() -> Result<Cli, Failure> {
    let error = match Cli::try_parse() {
        Ok(cli) => return Ok(cli),
        Err(error) => error,
    };
    // Only who reads the help waits until it is put in order.
    if matches!(
        error.kind(),
        DisplayHelp | DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        help::command().get_matches();
    }
    let words: Vec<String> = env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    match explained(&error, &words) {
        Some(failure) => Err(failure),
        None => error.exit(),
    }
}

/// What is wrong with a line that has a verb that there is not.
fn explained(error: &Error, words: &[String]) -> Option<Failure> {
    let Some(ContextValue::String(verb)) = error.get(ContextKind::InvalidSubcommand) else {
        return None;
    };
    let at = words.iter().skip(1).position(|word| word == verb)? + 1;
    let root = help::built();
    let line = Line::read(&root, &words[..=at])?;
    let theirs = match line.verbs.is_empty() {
        true => theirs(verb, &words[at + 1..]),
        false => None,
    };
    Some(theirs.unwrap_or_else(|| help::unknown(line.command, verb, [])))
}

/// What somebody means by a verb of another tool.
fn theirs(verb: &str, behind: &[String]) -> Option<Failure> {
    // Options mean something else there, or nothing.
    let mut words = behind.iter().filter(|word| !word.starts_with('-'));
    let command = match verb {
        "compose" | "docker" | "podman" => match words.next() {
            Some(verb) => ours(verb, words)?,
            None => "cosmos help".to_owned(),
        },
        verb => {
            VERBS.iter().find(|(name, ..)| *name == verb)?;
            ours(verb, words)?
        }
    };
    let failure = Failure::usage(format!("`cosmos` has no verb `{verb}`"));
    Some(failure.hinted(match command.starts_with("cosmos help") {
        true => format!("see `{command}`"),
        false => format!("that is `{command}`"),
    }))
}

/// Our command for a verb of ours or of another tool, with the words that it is about.
fn ours<'w>(verb: &str, words: impl Iterator<Item = &'w String>) -> Option<String> {
    let words: Vec<&str> = words.map(String::as_str).collect();
    if let Some((_, command, without)) = VERBS.iter().find(|(name, ..)| *name == verb) {
        let of = |words: &[&str]| match words {
            [] => (*without).to_owned(),
            words => shell_words::join(words),
        };
        let command = match command.split_once('?') {
            Some((before, after)) => {
                format!("{before}{}{after}", of(words.get(..1).unwrap_or_default()))
            }
            None => command.replace('*', &of(&words)),
        };
        return Some(format!("cosmos {}", command.trim()));
    }
    // Whoever takes something down reads first what is lost here.
    if ["down", "prune"].contains(&verb) {
        return Some(format!("cosmos help {verb}"));
    }
    let root = help::command();
    let verb = root
        .find_subcommand(verb)
        .filter(|verb| !verb.is_hide_set())?;
    let words = shell_words::join(words);
    Some(
        format!("cosmos {} {words}", verb.get_name())
            .trim()
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said to a line.
    fn said(line: &str) -> String {
        let words = std::iter::once("cosmos").chain(line.split(' '));
        let words: Vec<String> = words.map(str::to_owned).collect();
        let error = help::command().try_get_matches_from(&words).unwrap_err();
        let failure = explained(&error, &words).map(|failure| failure.to_string());
        anstream::adapter::strip_str(&failure.unwrap_or_default()).to_string()
    }

    #[test]
    fn a_verb_of_another_tool_is_told_which_of_ours_it_is() {
        for (line, expected) in [
            ("kill web", "cosmos stop web"),
            ("kill", "cosmos stop NAME"),
            ("-q kill -9 web", "cosmos stop web"),
            ("ls", "cosmos status"),
            ("shell web", "cosmos exec web sh"),
            ("ssh web uptime", "cosmos exec web sh"),
            ("inspect", "cosmos why"),
            ("create alpine:latest", "cosmos start -d alpine:latest"),
            ("deploy", "cosmos up"),
            ("compose up -d web", "cosmos up web"),
            ("compose ps", "cosmos status"),
            ("compose logs -f web", "cosmos logs web"),
            ("compose kill web", "cosmos stop web"),
            ("kill $(id)", "cosmos stop '$(id)'"),
            ("version", "cosmos --version"),
        ] {
            let hint = format!("hint: that is `{expected}`\n");
            assert!(said(line).ends_with(&hint), "{line}: {}", said(line));
        }
        assert!(said("compose down -v").ends_with("hint: see `cosmos help down`\n"));
        assert!(said("compose").ends_with("hint: see `cosmos help`\n"));
        for line in ["compose nonsense", "compose serve", "nonsense"] {
            assert!(!said(line).contains("that is"), "{line}: {}", said(line));
        }
    }

    #[test]
    fn what_is_told_can_be_typed_and_loses_nothing() {
        let root = help::command();
        for (verb, command, _) in VERBS {
            assert!(
                root.find_subcommand(verb).is_none(),
                "`{verb}` is a verb of ours"
            );
            let line = format!("cosmos {}", command.replace(['*', '?'], "x"));
            let parsed = help::command().try_get_matches_from(line.split(' '));
            let is_version = parsed
                .as_ref()
                .is_err_and(|error| error.kind() == clap::error::ErrorKind::DisplayVersion);
            assert!(parsed.is_ok() || is_version, "{line}");
            for lost in ["down", "prune", "rm", "restore", "clear", "--release"] {
                assert!(!line.contains(lost), "{line}");
            }
        }
    }

    #[test]
    fn a_slip_is_told_what_was_meant() {
        for (line, expected) in [
            (
                "strat",
                "`cosmos` has no verb `strat`\nhint: did you mean `start`?",
            ),
            (
                "staus",
                "`cosmos` has no verb `staus`\nhint: did you mean `status`?",
            ),
            (
                "-q lgos web",
                "`cosmos` has no verb `lgos`\nhint: did you mean `logs`?",
            ),
            (
                "histroy",
                "`cosmos` has no verb `histroy`\nhint: did you mean `history`?",
            ),
            (
                "proxy staus",
                "`cosmos proxy` has no verb `staus`\nhint: did you mean `status`?",
            ),
            (
                "proxy kill",
                "`cosmos proxy` has no verb `kill`\nhint: `cosmos proxy --help` lists those that it has",
            ),
            (
                "zzzzzz",
                "`cosmos` has no verb `zzzzzz`\nhint: `cosmos --help` lists those that it has",
            ),
        ] {
            assert_eq!(said(line), format!("error: {expected}\n"), "{line}");
        }
        assert_eq!(said("up --nonsense"), "");
    }
}
