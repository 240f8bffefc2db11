//! What can stand where the cursor is: the table of every value of every verb.

use clap::{Arg, Command};

use super::line::{Cursor, Line, is_repeated};

/// Names and numbers that are looked up when they are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lookup {
    /// Services of the config.
    Services,
    /// The same, with a `=` behind each; behind that, a number of replicas.
    Counts,
    /// Commands of the config.
    Commands,
    /// Images that the config builds.
    BuiltImages,
    /// Images that the config names and does not build.
    PulledImages,
    /// References of images in the config.
    References,
    /// Profiles of the config.
    Profiles,
    /// Ad-hoc containers that run.
    Running,
    /// Ad-hoc containers, ended ones too.
    Containers,
    /// Entries of the history.
    Entries,
    /// Revisions.
    Revisions,
    /// Requests that the proxy remembers.
    Exchanges,
    /// Terms that requests are looked for with.
    Terms,
    /// Verbs, and what else there is help about.
    Topics,
    /// Files and folders: the shell knows them.
    Files,
}

/// A text that can be put in, and what it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) text: String,
    pub(super) about: String,
}

impl Candidate {
    pub(super) fn new(text: impl Into<String>, about: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            about: about.into(),
        }
    }
}

/// What can be put in at the cursor.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Offer {
    /// What the command line itself knows.
    pub(super) candidates: Vec<Candidate>,
    /// What has to be looked up.
    pub(super) lookups: &'static [Lookup],
    /// What the word at the cursor begins with that is no part of it.
    pub(super) before: String,
    /// What is typed of it.
    pub(super) typed: String,
    /// What is there already, and not offered once more.
    pub(super) taken: Vec<String>,
}

/// What can be put in where the cursor is.
pub(super) fn offer(line: &Line<'_>) -> Offer {
    match &line.cursor {
        Cursor::Option(typed) => Offer {
            candidates: options(line, typed),
            typed: typed.clone(),
            ..Offer::default()
        },
        Cursor::Value {
            option,
            before,
            typed,
        } => {
            let (earlier, typed) = last_of_list(option, typed);
            Offer {
                candidates: values(option),
                lookups: lookups(&line.verbs, option, 0).unwrap_or_default(),
                before: format!("{before}{earlier}"),
                typed: typed.to_owned(),
                taken: earlier.split(',').map(str::to_owned).collect(),
            }
        }
        Cursor::Word(typed) => {
            let positional = line.positional();
            let mut candidates = match line.words.is_empty() {
                true => verbs(line.command),
                false => Vec::new(),
            };
            candidates.extend(positional.into_iter().flat_map(values));
            let lookups = positional.and_then(|arg| lookups(&line.verbs, arg, line.words.len()));
            // There is nothing else to say to it.
            let is_alone = line.words.is_empty() && typed.is_empty();
            if candidates.is_empty() && positional.is_none() && is_alone {
                candidates = options(line, "--");
            }
            Offer {
                candidates,
                lookups: lookups.unwrap_or_default(),
                before: String::new(),
                typed: typed.clone(),
                taken: line.words.clone(),
            }
        }
    }
}

fn about(text: Option<&clap::builder::StyledStr>) -> String {
    let text = text.map(ToString::to_string).unwrap_or_default();
    text.lines().next().unwrap_or_default().to_owned()
}

fn verbs(command: &Command) -> Vec<Candidate> {
    let shown = command.get_subcommands().filter(|verb| !verb.is_hide_set());
    shown
        .map(|verb| Candidate::new(verb.get_name(), about(verb.get_about())))
        .collect()
}

/// The options that can still be given; short ones only where they are asked for.
fn options(line: &Line<'_>, typed: &str) -> Vec<Candidate> {
    let is_given = |arg: &Arg| {
        line.options
            .iter()
            .any(|(given, _)| given.get_id() == arg.get_id())
    };
    let shown = line
        .command
        .get_arguments()
        .filter(|arg| !arg.is_positional() && !arg.is_hide_set())
        .filter(|arg| is_repeated(arg) || !is_given(arg));
    let mut candidates = Vec::new();
    for arg in shown {
        let about = about(arg.get_help());
        if let Some(long) = arg.get_long() {
            let end = if arg.is_require_equals_set() && must_have(arg) {
                "="
            } else {
                ""
            };
            candidates.push(Candidate::new(format!("--{long}{end}"), &about));
        }
        if let Some(short) = arg.get_short().filter(|_| typed == "-") {
            candidates.push(Candidate::new(format!("-{short}"), about));
        }
    }
    candidates
}

fn must_have(option: &Arg) -> bool {
    option
        .get_num_args()
        .is_some_and(|range| range.min_values() > 0)
}

/// The values that an argument has a list of.
fn values(arg: &Arg) -> Vec<Candidate> {
    if !arg.get_action().takes_values() {
        return Vec::new();
    }
    let shown = arg.get_possible_values();
    let shown = shown.iter().filter(|value| !value.is_hide_set());
    shown
        .map(|value| Candidate::new(value.get_name(), about(value.get_help())))
        .collect()
}

/// Of a value that is a list, the part before its last comma, and the rest.
fn last_of_list<'t>(option: &Arg, typed: &'t str) -> (&'t str, &'t str) {
    let comma = option
        .get_value_delimiter()
        .and_then(|comma| typed.rfind(comma).map(|at| at + comma.len_utf8()));
    typed.split_at(comma.unwrap_or(0))
}

/// What a person makes up, or knows: nothing is offered.
const FREE: [&str; 21] = [
    "BODY",
    "COUNT",
    "DIGEST",
    "HOST:CONTAINER",
    "INTERVAL",
    "KEY",
    "KEY=VALUE",
    "KEYS",
    "LINES",
    "METHOD",
    "N",
    "NAME",
    "NAME: VALUE",
    "PATH",
    "PATTERN",
    "PORT[/udp]",
    "TEXT",
    "TIME",
    "USER",
    "WHEN",
    "WORKDIR",
];

/// What is looked up for a value: by its verb where that makes a difference, else by what
/// it is called in the usage. `None` is an argument that this table has never heard of.
fn lookups(verbs: &[&str], arg: &Arg, nth: usize) -> Option<&'static [Lookup]> {
    use Lookup::{
        BuiltImages, Commands, Containers, Counts, Entries, Exchanges, Files, Profiles,
        PulledImages, References, Revisions, Running, Services, Terms, Topics,
    };
    if !values(arg).is_empty() {
        return Some(&[]);
    }
    let verb = verbs.first().copied().unwrap_or_default();
    let names = arg.get_value_names().unwrap_or_default();
    let name = names.first().map_or("", |name| name.as_str());
    Some(match (verb, name, nth) {
        ("exec", "NAME COMMAND", 0) => &[Services, Running],
        ("start", "IMAGE COMMAND", 0) => &[Services, References],
        ("run", "COMMAND ARGS", 0) => &[Commands],
        ("run", "COMMAND ARGS", _) => &[Files],
        ("exec" | "start", "NAME COMMAND" | "IMAGE COMMAND", _) => &[],
        ("logs", "NAME", _) => &[Services, Containers],
        ("top", "NAME", _) | ("port", "SERVICE", _) => &[Services, Running],
        ("rm" | "adopt", "ID", _) => &[Containers],
        ("cp", "SOURCE" | "TARGET", _) => &[Files],
        ("wait", "SERVICE", _) => &[Services, Commands],
        ("stop", "ID", _) => &[Services, Running],
        ("release", "ID", _) => &[Services],
        ("help" | "man", "VERB", _) => &[Topics],
        (_, "SERVICE", _) => &[Services],
        (_, "SERVICE=COUNT", _) => &[Counts],
        (_, "ID", _) => &[Services, Containers],
        (_, "COMMAND", _) => &[Commands],
        (_, "IMAGE", _) => &[BuiltImages],
        (_, "IMAGE|SERVICE", _) => &[PulledImages, Services],
        (_, "P", _) => &[Profiles],
        (_, "ENTRY", _) => &[Entries],
        (_, "REVISION", _) => &[Revisions],
        (_, "NUMBER", _) => &[Exchanges],
        (_, "FILTER", _) => &[Terms],
        (_, "FILE" | "DIR" | "SOURCE:TARGET", _) => &[Files],
        (_, name, _) if FREE.contains(&name) => &[],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help;

    /// What is offered for a line, as one text: fixed candidates, then what is looked up.
    fn offered(text: &str) -> String {
        let root = help::built();
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let line = Line::read(&root, &words).unwrap();
        let offer = offer(&line);
        let fitting = offer
            .candidates
            .iter()
            .filter(|candidate| candidate.text.starts_with(&offer.typed));
        let fitting: Vec<_> = fitting.map(|candidate| candidate.text.as_str()).collect();
        format!("{} {:?}", fitting.join(" "), offer.lookups)
    }

    #[test]
    fn each_verb_is_offered_what_it_can_be_about() {
        for (text, expected) in [
            ("cosmos sta", "status start state []"),
            ("cosmos logs ", " [Services, Containers]"),
            ("cosmos exec ", " [Services, Running]"),
            ("cosmos exec web ", " []"),
            ("cosmos start ", " [Services, References]"),
            ("cosmos run ", " [Commands]"),
            ("cosmos run test ", " [Files]"),
            ("cosmos build ", " [BuiltImages]"),
            ("cosmos pull ", " [PulledImages, Services]"),
            ("cosmos scale ", " [Counts]"),
            ("cosmos release ", " [Services]"),
            ("cosmos history ", " [Entries]"),
            ("cosmos undo ", " [Revisions]"),
            ("cosmos http replay ", " [Exchanges]"),
            ("cosmos up --profile ", " [Profiles]"),
            ("cosmos up --rerun=", " [Commands]"),
            ("cosmos -f ", " [Files]"),
            ("cosmos wait --for s", "started stopped []"),
            ("cosmos --progress=p", "plain []"),
            ("cosmos proxy ro", "rotate-token []"),
        ] {
            assert_eq!(offered(text), expected, "{text}");
        }
    }

    #[test]
    fn an_option_is_offered_once_unless_it_can_be_given_again() {
        assert!(offered("cosmos up --").contains("--no-wait --build"));
        assert!(!offered("cosmos up --build --").contains("--build"));
        assert!(offered("cosmos up --profile a --").contains("--profile"));
        assert!(!offered("cosmos up --").contains("-y "));
        assert!(offered("cosmos up -").contains(" -y "));
    }

    #[test]
    fn a_verb_that_takes_no_word_is_offered_its_options() {
        assert!(offered("cosmos down ").starts_with("--file --profile"));
    }

    #[test]
    fn a_list_goes_on_behind_its_comma() {
        let root = help::built();
        let words = ["cosmos", "up", "--rerun=a,b"].map(str::to_owned);
        let offer = offer(&Line::read(&root, &words).unwrap());
        assert_eq!(
            (offer.before.as_str(), offer.typed.as_str()),
            ("--rerun=a,", "b")
        );
        assert!(offer.taken.contains(&"a".to_owned()));
    }

    /// So that a new verb is thought of: give what it takes a row in [`lookups`], or a place
    /// among [`FREE`].
    #[test]
    fn every_value_of_every_verb_has_a_row() {
        fn look(command: &Command, verbs: &[&str], without: &mut Vec<String>) {
            let valued = command.get_arguments();
            for arg in valued.filter(|arg| arg.get_action().takes_values()) {
                if lookups(verbs, arg, 0).is_none() {
                    without.push(format!("{} <{}>", verbs.join(" "), arg.get_id()));
                }
            }
            for verb in command.get_subcommands().filter(|verb| !verb.is_hide_set()) {
                // `cosmos proxy help`: verbs once more.
                if verb.get_name() != "help" || verbs.is_empty() {
                    look(verb, &[verbs, &[verb.get_name()]].concat(), without);
                }
            }
        }
        let mut without = Vec::new();
        look(&help::built(), &[], &mut without);
        assert!(without.is_empty(), "{without:#?}");
    }
}
