//! `cosmos __complete`: what the shells' functions ask for at every press of Tab.
//!
//! It answers at once and never complains: nobody asked it to say that the config is
//! invalid, or that there is no proxy. It makes and starts nothing.
//!
//! Names come from strangers: from a config that was cloned, from containers that anybody
//! may have started. What is printed is put into a command line as it is, so a name with
//! anything in it that means something to a shell is not offered at all.
//!
//! `clap_complete` has such an engine, too. It hands a completer the word at the cursor
//! and nothing before it (so `-f other.toml` would not count), is marked unstable, and is
//! switched on by a variable called `COMPLETE`, whoever set that.

mod line;
mod names;
mod offer;

use std::{collections::HashSet, fmt::Write as _, process::ExitCode};

pub(super) use self::line::Line;

use self::{
    names::Names,
    offer::{Candidate, Lookup, offer},
};
use super::{
    args::{Complete as Args, Shell},
    help,
    ui::{out, printable},
};

/// Instead of a candidate: the shell is to offer files.
const FILES: &str = ":files";

/// More of it no screen has room for beside a name.
const LONGEST_ABOUT: usize = 60;

/// More is no choice.
const MOST: usize = 500;

pub(super) async fn run(args: Args) -> ExitCode {
    let words = args.words.iter().map(|word| word.to_string_lossy());
    let words: Vec<String> = match args.shell {
        Shell::Bash => words.map(|word| unquoted(&word)).collect(),
        // The others have done so, but for the word that is being typed.
        Shell::Fish => {
            let last = args.words.len().saturating_sub(1);
            let unquote = |(at, word): (usize, std::borrow::Cow<'_, str>)| match at == last {
                true => unquoted(&word),
                false => word.into_owned(),
            };
            words.enumerate().map(unquote).collect()
        }
        Shell::Zsh => words.map(|word| word.into_owned()).collect(),
    };
    out!("{}", answer(&words, args.shell).await);
    ExitCode::SUCCESS
}

/// One candidate a line; for a shell that shows it, with what it is behind a tab.
async fn answer(words: &[String], shell: Shell) -> String {
    let root = help::built();
    let Some(line) = Line::read(&root, words) else {
        return String::new();
    };
    let offer = offer(&line);
    let mut names = Names::of(&line);
    let mut candidates = offer.candidates;
    for what in offer.lookups {
        candidates.extend(names.look_up(*what, &offer.typed).await);
    }
    let mut seen = HashSet::new();
    let fitting = candidates
        .into_iter()
        .filter(|candidate| candidate.text.starts_with(&offer.typed))
        .filter(|candidate| is_harmless(&candidate.text))
        .filter(|candidate| !offer.taken.contains(&candidate.text))
        .filter(|candidate| seen.insert(candidate.text.clone()))
        .take(MOST);
    let mut lines = String::new();
    for Candidate { text, about } in fitting {
        // Writing to a `String` cannot fail.
        let _ = match shell {
            Shell::Bash => writeln!(lines, "{}{text}", offer.before),
            Shell::Zsh | Shell::Fish => {
                writeln!(lines, "{}{text}\t{}", offer.before, short(&about))
            }
        };
    }
    if offer.lookups.contains(&Lookup::Files) {
        let _ = writeln!(lines, "{FILES}");
    }
    lines
}

/// Whether a text means itself in every shell, wherever it stands in a word.
fn is_harmless(text: &str) -> bool {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./:=@+,".contains(letter);
    let begins = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    text.starts_with(begins) && text.chars().all(is_plain)
}

fn short(about: &str) -> String {
    let about = printable(about);
    match about.char_indices().nth(LONGEST_ABOUT) {
        Some((end, _)) => format!("{}..", &about[..end]),
        None => about,
    }
}

/// A word without its quotes, which the last one need not have closed yet. Variables and
/// the like stay as they are: nothing is expanded here.
fn unquoted(word: &str) -> String {
    let mut text = String::with_capacity(word.len());
    let mut letters = word.chars();
    let mut quote = None;
    while let Some(letter) = letters.next() {
        match (letter, quote) {
            ('\'' | '"', None) => quote = Some(letter),
            (letter, Some(open)) if letter == open => quote = None,
            ('\\', None) => text.extend(letters.next()),
            ('\\', Some('"')) => match letters.next() {
                Some(escaped @ ('"' | '\\' | '$' | '`')) => text.push(escaped),
                Some(other) => text.extend(['\\', other]),
                None => {}
            },
            (letter, _) => text.push(letter),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What bash is offered behind a line in the folder of a config, on one line.
    async fn completed(config: &str, line: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cosmos.toml");
        fs::write(&file, config).unwrap();
        let words = line.replace("FILE", file.to_str().unwrap());
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        answer(&words, Shell::Bash)
            .await
            .trim_end()
            .replace('\n', " ")
    }

    const SHOP: &str = "[images.api]\nbuild = {}\n[services.web]\nimage = \"nginx:alpine\"\nreplicas = 7\n\
        profiles = [\"dev\"]\n[services.api]\nimage = \"api\"\n[commands.migrate]\nimage = \"api\"\n";

    #[tokio::test]
    async fn names_are_those_of_the_config_that_the_line_names() {
        for (line, expected) in [
            ("cosmos -f FILE exec w", "web"),
            ("cosmos -f FILE run ", "migrate"),
            ("cosmos build -f FILE ", "api"),
            ("cosmos up -f FILE web ", "api"),
            ("cosmos up -f FILE --profile ", "dev"),
            ("cosmos up -f FILE --rerun=", "--rerun=migrate"),
            ("cosmos wait -f FILE m", "migrate"),
            ("cosmos -f FILE scale ", "web= api="),
            (
                "cosmos -f FILE scale web=",
                "web=0 web=1 web=2 web=3 web=4 web=5 web=7",
            ),
            ("cosmos -f FILE http service:a", "service:api"),
            ("cosmos -f FILE start n", "nginx:alpine"),
            ("cosmos -f FILE config -f ", ":files"),
            ("cosmos -f FILE run migrate ", ":files"),
            ("cosmos -f FILE wait x", ""),
            ("cosmos -f FILE wait --for re", "ready"),
        ] {
            assert_eq!(completed(SHOP, line).await, expected, "{line}");
        }
    }

    #[tokio::test]
    async fn a_config_that_is_not_valid_offers_its_names_and_says_nothing() {
        let config = "[services.web]\nimage = [\n[services.db]\nnonsense = 1\n";
        assert_eq!(completed(config, "cosmos up -f FILE w").await, "web");
        assert_eq!(completed("\0\u{1}", "cosmos up -f FILE ").await, "");
        assert_eq!(completed("", "cosmos up -f /nowhere/at-all ").await, "");
    }

    #[tokio::test]
    async fn a_name_that_a_shell_would_run_is_not_offered() {
        let config = "[services.\"$(touch x)\"]\n[services.\"a;b\"]\n[services.\"`id`\"]\n\
            [services.\"a b\"]\n[services.\"~root\"]\n[services.\"a\\nb\"]\n[services.\":files\"]\n\
            [services.\"=ls\"]\n[services.\"a'b\"]\n[services.\"{a,b}\"]\n[services.good]\n\
            image = \"x\"\nprofiles = [\"$(id)\", \"dev\"]\n";
        assert_eq!(completed(config, "cosmos up -f FILE ").await, "good");
        assert_eq!(
            completed(config, "cosmos up -f FILE --profile ").await,
            "dev"
        );
    }

    #[test]
    fn a_word_is_read_without_its_quotes() {
        for (word, expected) in [
            ("web", "web"),
            ("\"we", "we"),
            ("'my file'.toml", "my file.toml"),
            ("my\\ file", "my file"),
            ("\"a\\\"b\\n$x\"", "a\"b\\n$x"),
            ("$(id)", "$(id)"),
            ("\\", ""),
        ] {
            assert_eq!(unquoted(word), expected, "{word}");
        }
    }

    #[test]
    fn what_a_name_is_for_fits_beside_it() {
        assert_eq!(short("a\tb\nc"), "a b\u{fffd}c");
        assert_eq!(short(&"ä".repeat(200)).chars().count(), LONGEST_ABOUT + 2);
    }
}
