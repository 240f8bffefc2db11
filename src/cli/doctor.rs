//! `cosmos doctor`: everything that usually is wrong with a machine, looked at in one go.
//!
//! `look` sees, `judge` thinks, and this file shows: a line for each check, and under
//! what is wrong the command that mends it. Nothing is made, started or changed, and
//! neither engine nor proxy is needed. `bundle` writes what a bug report needs.

mod bundle;
mod clean;
mod judge;
mod look;
mod port;
mod range;
mod seen;

use std::{fmt::Write as _, io::IsTerminal as _, process::ExitCode};

use anstyle::{AnsiColor, Style};

use self::judge::{Check, State, judge};
use super::{
    args::{Doctor, Global},
    error::Failure,
    terminal_width,
    ui::{out, outln, plural, printable, sayln},
};

/// On a narrower screen the text begins under the name and not beside it.
const NARROW: usize = 60;

/// How far, then.
const NARROW_INDENT: usize = 2;

/// The widest state.
const STATE_WIDTH: usize = 7;

/// The widest name of a check.
const NAME_WIDTH: usize = 9;

pub(super) async fn run(global: Global, args: Doctor) -> Result<ExitCode, Failure> {
    if let Some(file) = &args.bundle {
        bundle::refuse_to_overwrite(file)?;
    }
    let (seen, reached) = look::look(&global, &args.project).await?;
    let checks = judge(&seen);
    if args.json {
        outln!("{}", json(&checks));
    } else {
        let is_terminal = std::io::stdout().is_terminal();
        out!(
            "{}",
            shown(&checks, terminal_width().filter(|_| is_terminal))
        );
        if !global.quiet {
            outln!();
            outln!("{}", summary(&checks));
        }
    }
    if let Some(file) = &args.bundle {
        let files = bundle::write(file, seen, reached).await?;
        if !global.quiet {
            tell(&args, file, &files);
        }
    }
    let has_failed = checks.iter().any(|check| check.state == State::Failed);
    Ok(ExitCode::from(u8::from(has_failed)))
}

/// What is printed for machines.
fn json(checks: &[Check]) -> serde_json::Value {
    serde_json::json!({ "schema": 1, "checks": checks })
}

/// Says what is in a bundle. Where the output is for a machine, beside it.
fn tell(args: &Doctor, file: &std::path::Path, files: &[String]) {
    let mut text = format!("\nwritten: {}\n", file.display());
    for file in files {
        let _ = writeln!(text, "  {}", printable(file));
    }
    let _ = write!(
        text,
        "Secrets are taken out as far as they can be told. Look through it before you send it: `tar -xzf {}`",
        shell_words::quote(&file.display().to_string())
    );
    match args.json {
        true => sayln!("{}", text.trim_start()),
        false => outln!("{text}"),
    }
}

/// `1 failed, 2 warnings`.
fn summary(checks: &[Check]) -> String {
    let count = |state: State| {
        let of_it = checks.iter().filter(|check| check.state == state);
        u32::try_from(of_it.count()).unwrap_or(u32::MAX)
    };
    let warnings = match count(State::Warning) {
        0 => String::new(),
        warnings => format!(", {}", plural(warnings, "warning")),
    };
    match count(State::Failed) {
        0 => format!("nothing failed{warnings}"),
        failed => format!("{failed} failed{warnings}"),
    }
}

/// The checks as a person reads them.
fn shown(checks: &[Check], width: Option<usize>) -> String {
    let mut text = String::new();
    for check in checks {
        show(check, width, &mut text);
    }
    text
}

fn show(check: &Check, width: Option<usize>, text: &mut String) {
    let style = match check.state {
        State::Ok => AnsiColor::Green.on_default(),
        State::Warning => AnsiColor::Yellow.on_default().bold(),
        State::Failed => AnsiColor::Red.on_default().bold(),
        State::Skipped => Style::new().dimmed(),
    };
    let (state, name) = (check.state, check.name);
    let is_narrow = width.is_some_and(|width| width < NARROW);
    let (found_at, hint_at) = match is_narrow {
        true => (NARROW_INDENT, NARROW_INDENT),
        false => (STATE_WIDTH + NAME_WIDTH + 4, STATE_WIDTH + 2),
    };
    let room = |indent: usize| width.map(|width| width.saturating_sub(indent));
    let found = printable(&check.found);
    let found = wrapped(found.split_whitespace(), room(found_at)).join(&line_break(found_at));
    let _ = match is_narrow {
        true => writeln!(
            text,
            "{style}{state:STATE_WIDTH$}{style:#}  {name}{}{found}",
            line_break(found_at)
        ),
        false => writeln!(
            text,
            "{style}{state:STATE_WIDTH$}{style:#}  {name:NAME_WIDTH$}  {found}"
        ),
    };
    let Some(hint) = &check.hint else { return };
    let cyan = AnsiColor::Cyan.on_default();
    // As long as it is shown, so that the first line is not too long.
    let hint = format!("hint: {}", printable(hint));
    let hint = wrapped(words(&hint).into_iter(), room(hint_at)).join(&line_break(hint_at));
    let hint = hint.strip_prefix("hint").unwrap_or(&hint);
    let _ = writeln!(text, "{:hint_at$}{cyan}hint{cyan:#}{hint}", "");
}

/// The end of a line, and the blank that the next one begins with.
fn line_break(indent: usize) -> String {
    format!("\n{:indent$}", "")
}

/// Words in lines that fit. A longer word is a line by itself.
fn wrapped<'a>(words: impl Iterator<Item = &'a str>, room: Option<usize>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut used = 0;
    for word in words {
        let length = word.chars().count();
        match lines.last_mut() {
            Some(line) if room.is_none_or(|room| used + 1 + length <= room) => {
                line.push(' ');
                line.push_str(word);
                used += 1 + length;
            }
            _ => {
                lines.push(word.to_owned());
                used = length;
            }
        }
    }
    lines
}

/// The words of a text. What is in backticks is typed as it stands, and is one word, with
/// what sticks to it: a command that is broken by us cannot be copied.
fn words(text: &str) -> Vec<&str> {
    let (mut words, mut start, mut is_code) = (Vec::new(), 0, false);
    for (place, character) in text.char_indices() {
        match character {
            '`' => is_code = !is_code,
            ' ' if !is_code => {
                words.push(&text[start..place]);
                start = place + 1;
            }
            _ => {}
        }
    }
    words.push(&text[start..]);
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checks() -> Vec<Check> {
        let check = |name, state, found: &str, hint: Option<&str>| Check {
            name,
            state,
            found: found.to_owned(),
            hint: hint.map(str::to_owned),
        };
        vec![
            check(
                "engine",
                State::Ok,
                "Docker 20.10.24 at unix:///var/run/docker.sock (a usual place) answers in 1 ms",
                None,
            ),
            check(
                "port",
                State::Failed,
                "8080 is held by process 4711 (`python3 -m http.server`), and the proxy needs it",
                Some("free the port, or take another: `COSMOS_PROXY_PORT=8081 cosmos up`"),
            ),
            check(
                "leftovers",
                State::Skipped,
                "there is no proxy that answers",
                None,
            ),
        ]
    }

    fn plain(width: Option<usize>) -> String {
        anstream::adapter::strip_str(&shown(&checks(), width)).to_string()
    }

    #[test]
    fn a_check_is_one_line_where_nobody_says_how_long_lines_are() {
        insta::assert_snapshot!(plain(None), @r"
        ok       engine     Docker 20.10.24 at unix:///var/run/docker.sock (a usual place) answers in 1 ms
        failed   port       8080 is held by process 4711 (`python3 -m http.server`), and the proxy needs it
                 hint: free the port, or take another: `COSMOS_PROXY_PORT=8081 cosmos up`
        skipped  leftovers  there is no proxy that answers
        ");
    }

    #[test]
    fn lines_are_wrapped_between_words_and_never_in_a_command() {
        insta::assert_snapshot!(plain(Some(80)), @r"
        ok       engine     Docker 20.10.24 at unix:///var/run/docker.sock (a usual
                            place) answers in 1 ms
        failed   port       8080 is held by process 4711 (`python3 -m http.server`), and
                            the proxy needs it
                 hint: free the port, or take another:
                 `COSMOS_PROXY_PORT=8081 cosmos up`
        skipped  leftovers  there is no proxy that answers
        ");
    }

    #[test]
    fn on_a_narrow_screen_the_text_is_under_the_name() {
        insta::assert_snapshot!(plain(Some(40)), @r"
        ok       engine
          Docker 20.10.24 at
          unix:///var/run/docker.sock (a usual
          place) answers in 1 ms
        failed   port
          8080 is held by process 4711 (`python3
          -m http.server`), and the proxy needs
          it
          hint: free the port, or take another:
          `COSMOS_PROXY_PORT=8081 cosmos up`
        skipped  leftovers
          there is no proxy that answers
        ");
    }

    #[test]
    fn the_end_counts_what_is_wrong() {
        let mut checks = checks();
        assert_eq!(summary(&checks), "1 failed");
        checks[0].state = State::Warning;
        assert_eq!(summary(&checks), "1 failed, 1 warning");
        checks.remove(1);
        assert_eq!(summary(&checks), "nothing failed, 1 warning");
    }

    #[test]
    fn machines_get_states_in_words_and_hints_only_where_there_are_any() {
        let json = json(&checks());
        assert_eq!(json["schema"], 1);
        assert_eq!(json["checks"][1]["state"], "failed");
        assert!(json["checks"][0].get("hint").is_none());
    }
}
