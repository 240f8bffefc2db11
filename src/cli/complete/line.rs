//! What is being typed: a command line up to the cursor, read as the parser would.
//!
//! Of a line that is not finished the parser itself only says that it is wrong, so it is
//! read here, along the same tree of verbs and options: one that is new is known by itself.

use clap::{Arg, Command};

/// A command line up to the cursor.
pub(in crate::cli) struct Line<'a> {
    /// The verb that it is about, and before it those that it is a verb of.
    pub(in crate::cli) verbs: Vec<&'a str>,
    /// What it can be given.
    pub(in crate::cli) command: &'a Command,
    /// The options before the cursor, with their values.
    pub(super) options: Vec<(&'a Arg, Option<String>)>,
    /// The words before the cursor that are no options and no verbs.
    pub(super) words: Vec<String>,
    /// What the cursor is in.
    pub(super) cursor: Cursor<'a>,
}

/// The word that the cursor is in, up to it.
#[derive(Debug)]
pub(super) enum Cursor<'a> {
    /// The value of an option. `before` is what of the word stands before it: `--file=`.
    Value {
        option: &'a Arg,
        before: String,
        typed: String,
    },
    /// The name of an option.
    Option(String),
    /// A verb, or one of its words.
    Word(String),
}

impl<'a> Line<'a> {
    /// Reads a line; the last of the words is the one with the cursor, and the first is us.
    pub(in crate::cli) fn read(root: &'a Command, words: &[String]) -> Option<Self> {
        let (typed, before) = words.split_last()?;
        let mut line = Self {
            verbs: Vec::new(),
            command: root,
            options: Vec::new(),
            words: Vec::new(),
            cursor: Cursor::Word(String::new()),
        };
        let mut reading = Reading {
            line: &mut line,
            waiting: None,
            is_literal: false,
        };
        for word in before.iter().skip(1) {
            reading.take(word);
        }
        line.cursor = reading.cursor(typed);
        Some(line)
    }

    /// The value that an option was given last.
    pub(super) fn value<'l>(&'l self, id: &'l str) -> Option<&'l str> {
        self.values(id).last()
    }

    /// Every value that an option was given.
    pub(super) fn values<'l>(&'l self, id: &'l str) -> impl Iterator<Item = &'l str> {
        let given = self
            .options
            .iter()
            .filter(move |(arg, _)| arg.get_id() == id);
        given.filter_map(|(_, value)| value.as_deref())
    }

    /// What the word at the cursor is to its verb, if it can have one more.
    pub(super) fn positional(&self) -> Option<&'a Arg> {
        let mut room = self.words.len();
        for arg in self.command.get_positionals() {
            // A list has no last.
            let most = arg.get_num_args().map_or(1, |range| range.max_values());
            let most = if is_repeated(arg) { usize::MAX } else { most };
            if room < most {
                return Some(arg);
            }
            room -= most;
        }
        None
    }
}

struct Reading<'l, 'a> {
    line: &'l mut Line<'a>,
    /// An option whose value is the next word.
    waiting: Option<&'a Arg>,
    /// No word is an option any more.
    is_literal: bool,
}

impl<'a> Reading<'_, 'a> {
    fn take(&mut self, word: &str) {
        if let Some(option) = self.waiting.take() {
            let is_taken = !word.starts_with('-') || must_have_value(option);
            let value = is_taken.then(|| word.to_owned());
            self.line.options.push((option, value));
            if is_taken {
                return;
            }
        }
        if self.is_literal {
            return self.line.words.push(word.to_owned());
        }
        match word.strip_prefix("--") {
            Some("") => self.is_literal = true,
            Some(long) => self.long(long),
            None if word.len() > 1 && word.starts_with('-') => self.short(&word[1..]),
            None => self.word(word),
        }
    }

    /// `--follow`, `--tail`, `--tail=3`.
    fn long(&mut self, text: &str) {
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (text, None),
        };
        let Some(option) = long(self.line.command, name) else {
            return;
        };
        if value.is_none() && takes_next_word(option) {
            self.waiting = Some(option);
        } else {
            self.line.options.push((option, value));
        }
    }

    /// `-f`, `-qf`, `-n3`, `-n`.
    fn short(&mut self, letters: &str) {
        for (at, letter) in letters.char_indices() {
            let Some(option) = short(self.line.command, letter) else {
                return;
            };
            let rest = &letters[at + letter.len_utf8()..];
            if !option.get_action().takes_values() {
                self.line.options.push((option, None));
            } else if !rest.is_empty() {
                let value = rest.strip_prefix('=').unwrap_or(rest).to_owned();
                return self.line.options.push((option, Some(value)));
            } else {
                self.waiting = takes_next_word(option).then_some(option);
                return;
            }
        }
    }

    fn word(&mut self, word: &str) {
        if self.line.words.is_empty()
            && let Some(verb) = self.line.command.find_subcommand(word)
        {
            self.line.command = verb;
            self.line.verbs.push(verb.get_name());
            return;
        }
        let positional = self.line.positional();
        // What stands behind the first word is the business of somebody else's command.
        self.is_literal = positional.is_some_and(Arg::is_trailing_var_arg_set);
        self.line.words.push(word.to_owned());
    }

    fn cursor(self, typed: &str) -> Cursor<'a> {
        let value = |option, before: &str, typed: &str| Cursor::Value {
            option,
            before: before.to_owned(),
            typed: typed.to_owned(),
        };
        if let Some(option) = self.waiting
            && (!typed.starts_with('-') || must_have_value(option))
        {
            return value(option, "", typed);
        }
        if self.is_literal || !typed.starts_with('-') {
            return Cursor::Word(typed.to_owned());
        }
        let named = typed
            .strip_prefix("--")
            .and_then(|text| text.split_once('='));
        if let Some((name, rest)) = named
            && let Some(option) = long(self.line.command, name)
            && option.get_action().takes_values()
        {
            return value(option, &typed[..typed.len() - rest.len()], rest);
        }
        Cursor::Option(typed.to_owned())
    }
}

fn long<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    command.get_arguments().find(|arg| {
        arg.get_long() == Some(name)
            || arg
                .get_all_aliases()
                .is_some_and(|aliases| aliases.contains(&name))
    })
}

fn short(command: &Command, letter: char) -> Option<&Arg> {
    command.get_arguments().find(|arg| {
        arg.get_short() == Some(letter)
            || arg
                .get_all_short_aliases()
                .is_some_and(|aliases| aliases.contains(&letter))
    })
}

/// Whether the word behind an option is its value.
fn takes_next_word(option: &Arg) -> bool {
    option.get_action().takes_values() && !option.is_require_equals_set()
}

fn must_have_value(option: &Arg) -> bool {
    option
        .get_num_args()
        .is_none_or(|range| range.min_values() > 0)
}

/// Whether it can be given more than once.
pub(super) fn is_repeated(arg: &Arg) -> bool {
    use clap::ArgAction::{Append, Count};
    matches!(arg.get_action(), Append | Count)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::help;

    /// The line as one text: its verbs, the options before the cursor, its words, the cursor.
    fn read(text: &str) -> String {
        let root = help::built();
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        let line = Line::read(&root, &words).unwrap();
        let options: Vec<_> = line
            .options
            .iter()
            .map(|(option, value)| match value {
                Some(value) => format!("{}={value}", option.get_id()),
                None => option.get_id().to_string(),
            })
            .collect();
        let cursor = match &line.cursor {
            Cursor::Value {
                option,
                before,
                typed,
            } => format!("{before}<{}>{typed}", option.get_id()),
            Cursor::Option(typed) => format!("option {typed}"),
            Cursor::Word(typed) => match line.positional() {
                Some(arg) => format!("[{}] {typed}", arg.get_id()),
                None => format!("word {typed}"),
            },
        };
        format!(
            "{} | {} | {} | {cursor}",
            line.verbs.join(" "),
            options.join(" "),
            line.words.join(" ")
        )
    }

    #[test]
    fn a_line_is_read_as_the_parser_would() {
        for (text, expected) in [
            ("cosmos ", " |  |  | word "),
            ("cosmos st", " |  |  | word st"),
            (
                "cosmos -q --file x.toml logs ",
                "logs | quiet file=x.toml |  | [names] ",
            ),
            ("cosmos logs -f web a", "logs | follow | web | [names] a"),
            ("cosmos logs --tail ", "logs |  |  | <tail>"),
            ("cosmos logs --tail=", "logs |  |  | --tail=<tail>"),
            ("cosmos logs --tail -", "logs |  |  | <tail>-"),
            ("cosmos logs --ta", "logs |  |  | option --ta"),
            ("cosmos ps -", "status |  |  | option -"),
            ("cosmos http sh", "http |  |  | [filter] sh"),
            ("cosmos http show 3", "http show |  |  | [number] 3"),
            ("cosmos http show 3 ", "http show |  | 3 | word "),
            ("cosmos history -n5 ", "history | limit=5 |  | [number] "),
            ("cosmos up --rerun web", "up | commands |  | [services] web"),
            ("cosmos up --rerun=a,b", "up |  |  | --rerun=<commands>a,b"),
            ("cosmos init --from ", "init |  |  | <from>"),
            ("cosmos init --from --pr", "init |  |  | option --pr"),
            (
                "cosmos start -d ubuntu ls -",
                "start | detach | ubuntu ls | [words] -",
            ),
            ("cosmos exec -- web ", "exec |  | web | [words] "),
            ("cosmos -qf x up ", "up | quiet file=x |  | [services] "),
        ] {
            assert_eq!(read(text), expected, "{text}");
        }
    }

    #[test]
    fn what_there_is_not_is_passed_over() {
        assert_eq!(read("cosmos --nonsense lgos x"), " |  | lgos | word x");
        assert_eq!(read("cosmos -Zq logs -é "), "logs |  |  | [names] ");
    }

    #[test]
    fn the_values_of_an_option_are_all_there() {
        let root = help::built();
        let words = "cosmos up --profile a --profile=b".split(' ');
        let words: Vec<String> = words.chain([""]).map(str::to_owned).collect();
        let line = Line::read(&root, &words).unwrap();
        assert_eq!(line.values("profiles").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(line.value("profiles"), Some("b"));
    }
}
