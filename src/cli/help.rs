//! How to use it: examples first, the verbs in groups, and topics.
//!
//! Verbs write their help in [`super::args`]; here, in one place, it is put into the order
//! in which it is read: how it is called, examples, options, and last what else is to say.

use std::{fmt::Write as _, process::ExitCode};

use clap::{
    Command, CommandFactory as _,
    builder::{Resettable, StyledStr},
};

use super::{
    args::{Cli, Help as Args},
    error::Failure,
    orders::did_you_mean,
    terminal_width,
    topics::{TOPICS, Topic},
    ui::{out, outln},
};
use crate::config::nearest;

/// What the verbs are about, for the list of them.
const GROUPS: [(&str, &[&str]); 6] = [
    (
        "Workspace",
        &[
            "up", "watch", "plan", "down", "run", "wait", "scale", "release", "rollback",
        ],
    ),
    (
        "Containers",
        &["start", "stop", "restart", "exec", "cp", "rm", "prune"],
    ),
    (
        "Look",
        &[
            "status",
            "top",
            "logs",
            "http",
            "dashboard",
            "open",
            "port",
            "history",
            "why",
        ],
    ),
    ("Images", &["build", "pull"]),
    ("Config", &["init", "adopt", "check", "config"]),
    (
        "Proxy and others",
        &["proxy", "state", "doctor", "completions", "man", "help"],
    ),
];

/// Where a description is put beside what it describes.
const COLUMN: usize = 15;

/// Narrower than this, nothing is broken into lines any more.
const NARROWEST: usize = 40;

/// The order of the help of a verb.
const TEMPLATE: &str =
    "{about-with-newline}\n{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";

pub(super) fn run(args: &Args) -> Result<ExitCode, Failure> {
    if let [name] = &args.words[..]
        && let Some(topic) = TOPICS.iter().find(|topic| topic.name == *name)
    {
        show(topic);
        return Ok(ExitCode::SUCCESS);
    }
    let root = built();
    let shown = find(&root, &args.words)?.clone().render_long_help();
    out!("{}", shown.ansi());
    Ok(ExitCode::SUCCESS)
}

/// All that can be typed, with its help in order.
pub(super) fn command() -> Command {
    let command = arranged(Cli::command().bin_name("cosmos"));
    let header = *command.get_styles().get_header();
    let list = list(&command, width());
    let template = format!(
        "{{about-with-newline}}\n{{usage-heading}} {{usage}}\n\n{{before-help}}{list}\n{header}Options:{header:#}\n{{options}}{{after-help}}"
    );
    let mut about_topics = format!("{header}Topics:{header:#}");
    for topic in TOPICS {
        let _ = write!(
            about_topics,
            "\n{}",
            row(&format!("help {}", topic.name), topic.about, 20, width())
        );
    }
    command
        .help_template(StyledStr::from(template))
        .after_help(StyledStr::from(about_topics))
}

/// The same, with all that the parser adds to it.
pub(super) fn built() -> Command {
    let mut command = command();
    command.build();
    command
}

/// Verbs and topics, for whoever asks what there is help about.
pub(super) fn topics() -> impl Iterator<Item = (String, String)> {
    let verbs: Vec<_> = command()
        .get_subcommands()
        .filter(|verb| !verb.is_hide_set())
        .map(|verb| (verb.get_name().to_owned(), about(verb)))
        .collect();
    let topics = TOPICS.map(|topic| (topic.name.to_owned(), topic.about.to_owned()));
    verbs.into_iter().chain(topics)
}

/// The verb that these words name.
pub(super) fn find<'a>(root: &'a Command, words: &[String]) -> Result<&'a Command, Failure> {
    let mut command = root;
    for (at, word) in words.iter().enumerate() {
        command = match command.find_subcommand(word) {
            Some(verb) => verb,
            None if at == 0 => {
                let topics = TOPICS.iter().map(|topic| topic.name);
                return Err(unknown(command, word, topics));
            }
            None => return Err(unknown(command, word, [])),
        };
    }
    Ok(command)
}

/// That a command has no such verb, and which may have been meant; or which other word.
pub(super) fn unknown<'a>(
    command: &'a Command,
    word: &str,
    others: impl IntoIterator<Item = &'a str>,
) -> Failure {
    let of = command.get_bin_name().unwrap_or("cosmos");
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    let verbs: Vec<_> = shown
        .flat_map(|verb| {
            [verb.get_name()]
                .into_iter()
                .chain(verb.get_visible_aliases())
        })
        .collect();
    if verbs.is_empty() {
        return Failure::usage(format!("`{of}` has no verbs"))
            .hinted(format!("`{of} --help` has all that there is"));
    }
    let failure = Failure::usage(format!("`{of}` has no verb `{word}`"));
    match nearest(word, verbs.into_iter().chain(others)) {
        Some(meant) => failure.hinted(did_you_mean(meant)),
        None => failure.hinted(format!("`{of} --help` lists those that it has")),
    }
}

/// A verb with its help in order, and those of its own.
fn arranged(command: Command) -> Command {
    let command = command.mut_subcommands(arranged);
    let text = command.get_after_help().map(ToString::to_string);
    let (examples, notes) = split(text.as_deref().unwrap_or_default());
    let header = *command.get_styles().get_header();
    let examples = examples.map(|examples| format!("{header}Examples:{header:#}\n{examples}"));
    command
        .help_template(TEMPLATE)
        .before_help(resettable(examples))
        .after_help(resettable(notes.map(str::to_owned)))
}

fn resettable(text: Option<String>) -> Resettable<StyledStr> {
    text.map_or(Resettable::Reset, |text| Resettable::Value(text.into()))
}

/// The examples of a help text, and what comes after them.
fn split(text: &str) -> (Option<&str>, Option<&str>) {
    match text.strip_prefix(EXAMPLES) {
        Some(text) => match text.split_once("\n\n") {
            Some((examples, notes)) => (Some(examples), Some(notes)),
            None => (Some(text), None),
        },
        None => (None, Some(text).filter(|text| !text.is_empty())),
    }
}

const EXAMPLES: &str = "Examples:\n";

/// The examples of a verb, a line each; none of one that has none.
pub(super) fn examples(command: &Command) -> Vec<String> {
    let text = command.get_before_help().map(ToString::to_string);
    let text = text.unwrap_or_default();
    let lines = text.strip_prefix(EXAMPLES).unwrap_or_default().lines();
    lines.map(str::to_owned).collect()
}

/// The verbs in their groups; one that is in none is in the last.
fn list(command: &Command, width: usize) -> String {
    let styles = command.get_styles();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let last = GROUPS.len() - 1;
    let mut text = String::new();
    for (number, (title, names)) in GROUPS.iter().enumerate() {
        let _ = writeln!(text, "{header}{title}:{header:#}");
        let named = names
            .iter()
            .filter_map(|name| command.find_subcommand(name));
        let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
        let left = shown.filter(|verb| number == last && group_of(verb.get_name()).is_none());
        for verb in named.chain(left) {
            let mut about = about(verb);
            for alias in verb.get_visible_aliases() {
                let _ = write!(about, " [also: {alias}]");
            }
            let name = verb.get_name();
            let line = row(name, &about, COLUMN, width);
            // Styled only now: what is not seen must not be counted.
            let styled = format!("{literal}{name}{literal:#}");
            let _ = writeln!(text, "{}", line.replacen(name, &styled, 1));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len() + 1);
    text
}

fn group_of(verb: &str) -> Option<&'static str> {
    let group = GROUPS.iter().find(|(_, names)| names.contains(&verb));
    group.map(|(title, _)| *title)
}

/// The other verbs of a verb's group.
pub(super) fn beside(verb: &str) -> impl Iterator<Item = &'static str> {
    let group = GROUPS.iter().find(|(_, names)| names.contains(&verb));
    let names = group.map_or(&[][..], |(_, names)| names);
    names.iter().copied().filter(move |name| *name != verb)
}

fn about(verb: &Command) -> String {
    verb.get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn width() -> usize {
    terminal_width().unwrap_or(100)
}

fn show(topic: &Topic) {
    outln!("{}\n", topic.about);
    let widest = topic.rows.iter().map(|(name, _)| name.len()).max();
    let column = widest.unwrap_or(0).min(26) + 4;
    for (name, text) in topic.rows {
        outln!("{}", row(name, text, column, width()));
    }
    if !topic.note.is_empty() {
        outln!("\n{}", lines(topic.note, width()).join("\n"));
    }
}

/// `  name  what it is`, broken into lines that fit.
fn row(name: &str, text: &str, column: usize, width: usize) -> String {
    let room = width.saturating_sub(column).max(NARROWEST);
    let text = lines(text, room).join(&format!("\n{:column$}", ""));
    let name = format!("  {name}  ");
    match name.len() > column {
        true => format!("{}\n{:column$}{text}", name.trim_end(), ""),
        false => format!("{name:column$}{text}"),
    }
}

/// Lines of at most so many letters, broken at blanks.
fn lines(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn help_of(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        find(&built(), &words)
            .unwrap()
            .clone()
            .render_long_help()
            .to_string()
    }

    fn place(text: &str, of: &str) -> usize {
        text.find(of)
            .unwrap_or_else(|| panic!("no {of:?} in {text}"))
    }

    #[test]
    fn every_verb_is_in_exactly_one_group() {
        for verb in command()
            .get_subcommands()
            .filter(|verb| !verb.is_hide_set())
        {
            let name = verb.get_name();
            let groups = GROUPS.iter().filter(|(_, names)| names.contains(&name));
            assert_eq!(groups.count(), 1, "put `{name}` into one of GROUPS");
        }
        let command = command();
        for name in GROUPS.iter().flat_map(|(_, names)| *names) {
            assert!(
                command.find_subcommand(name).is_some(),
                "there is no `{name}`"
            );
        }
    }

    #[test]
    fn a_verb_shows_its_usage_then_examples_then_options_then_notes() {
        let help = help_of(&["wait"]);
        let places = [
            "Usage: cosmos wait",
            "Examples:\n",
            "Arguments:\n",
            "Options:\n",
            "Exits with 1",
        ];
        let places = places.map(|part| place(&help, part));
        assert!(places.is_sorted(), "{help}");
    }

    #[test]
    fn the_list_of_verbs_is_in_groups_and_whole() {
        let help = help_of(&[]);
        assert!(place(&help, "Examples:\n") < place(&help, "Workspace:\n  up "));
        assert!(place(&help, "Workspace:\n") < place(&help, "Options:\n"));
        assert!(help.contains("[also: ps]"), "{help}");
        assert!(help.contains("help exit-codes"), "{help}");
        assert!(
            !help.contains("__complete") && !help.contains("  serve "),
            "{help}"
        );
    }

    #[test]
    fn no_line_of_the_list_is_wider_than_the_screen() {
        let list = anstream::adapter::strip_str(&list(&command(), 60)).to_string();
        let widest = list.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(60), "{list}");
    }

    #[test]
    fn a_word_that_is_no_verb_is_told_what_was_meant() {
        let failure = |words: &[&str]| {
            let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
            let text = find(&built(), &words).unwrap_err().to_string();
            anstream::adapter::strip_str(&text).to_string()
        };
        assert!(failure(&["staus"]).contains("did you mean `status`?"));
        assert!(failure(&["exitcodes"]).contains("did you mean `exit-codes`?"));
        assert!(failure(&["http", "reply"]).contains("`cosmos http` has no verb `reply`"));
        assert!(failure(&["up", "web"]).contains("`cosmos up` has no verbs"));
        assert!(failure(&["zzzzzz"]).contains("`cosmos --help` lists those"));
    }

    #[test]
    fn examples_end_at_the_first_empty_line() {
        assert_eq!(
            split("Examples:\n  a\n  b\n\nc\n\nd"),
            (Some("  a\n  b"), Some("c\n\nd"))
        );
        assert_eq!(split("Examples:\n  a"), (Some("  a"), None));
        assert_eq!(split("c"), (None, Some("c")));
        assert_eq!(split(""), (None, None));
    }
}
