//! `cosmos man`: manual pages, made of the same as the help.
//!
//! Examples stand before everything that is only looked up: nobody reads a page from its
//! beginning. What is the same for all verbs is on every page: one page is read at a time.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::Path,
    process::{ExitCode, Stdio},
};

use clap::Command;
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};
use tokio::{
    io::AsyncWriteExt as _,
    process,
    signal::unix::{SignalKind, signal},
};

use super::{
    args::Man as Args,
    error::Failure,
    help,
    topics::{TOPICS, Topic},
    ui::{out, outln, plural},
};
use crate::platform;

/// The section of commands.
const SECTION: &str = "1";

pub(super) async fn run(args: Args) -> Result<ExitCode, Failure> {
    if let Some(folder) = &args.dir {
        let count = write_all(folder).map_err(|error| {
            Failure::new(format!("{} cannot be written: {error}", folder.display()))
        })?;
        outln!("{} in {}", plural(count, "page"), folder.display());
        return Ok(ExitCode::SUCCESS);
    }
    let root = help::built();
    let page = page(help::find(&root, &args.verbs)?)?;
    if !io::stdout().is_terminal() || !is_shown(&page).await? {
        out!("{page}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows a page as this system shows pages; false if it has nothing for that.
async fn is_shown(page: &str) -> io::Result<bool> {
    // Ctrl-C is the pager's: without us it would be left alone with the terminal.
    let _interrupts = signal(SignalKind::interrupt())?;
    for viewer in platform::MANUALS {
        let Some((program, words)) = viewer.split_first() else {
            continue;
        };
        let mut command = process::Command::new(program);
        let Ok(mut shown) = command.args(words).stdin(Stdio::piped()).spawn() else {
            continue;
        };
        if let Some(mut input) = shown.stdin.take() {
            // Left before its end, it is read enough.
            let _ = input.write_all(page.as_bytes()).await;
        }
        if shown.wait().await?.success() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Writes the page of every verb into a folder; how many there are.
fn write_all(folder: &Path) -> io::Result<u32> {
    fs::create_dir_all(folder)?;
    let mut count = 0;
    for command in commands(&help::built()) {
        let file = folder.join(format!("{}.{SECTION}", name(command)));
        fs::write(file, page(command)?)?;
        count += 1;
    }
    Ok(count)
}

/// A command and all of its verbs, those that are shown.
fn commands(command: &Command) -> Vec<&Command> {
    // `cosmos http help` is the parser's own: what it tells is on the other pages.
    let is_told = |verb: &&Command| {
        !verb.is_hide_set() && (verb.get_name() != "help" || command.get_name() == "cosmos")
    };
    let verbs = command.get_subcommands().filter(is_told);
    std::iter::once(command)
        .chain(verbs.flat_map(commands))
        .collect()
}

/// `cosmos-http-show`.
fn name(command: &Command) -> &str {
    command
        .get_display_name()
        .unwrap_or_else(|| command.get_name())
}

/// The page of a command, as roff.
fn page(command: &Command) -> io::Result<String> {
    let man = Man::new(command.clone().subcommand_help_heading("VERBS"))
        .title(name(command).to_uppercase())
        .section(SECTION)
        // Not empty: as an argument of a macro that would be none at all.
        .date(" ")
        .source(concat!("Cosmos ", env!("CARGO_PKG_VERSION")))
        .manual("Cosmos");
    let mut page = Page::default();
    page.add(|part| man.render_title(part))?;
    page.add(|part| man.render_name_section(part))?;
    page.add(|part| synopsis(command).to_writer(part))?;
    page.add(|part| examples(command).to_writer(part))?;
    page.add(|part| description(command).to_writer(part))?;
    page.add(|part| man.render_options_section(part))?;
    if command.get_subcommands().any(|verb| !verb.is_hide_set()) {
        page.add(|part| man.render_subcommands_section(part))?;
    }
    for topic in TOPICS {
        page.add(|part| section(topic).to_writer(part))?;
    }
    page.add(|part| see_also(command).to_writer(part))?;
    Ok(page.0)
}

/// A page that grows part by part.
#[derive(Default)]
struct Page(String);

impl Page {
    fn add(&mut self, render: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) -> io::Result<()> {
        let mut part = Vec::new();
        render(&mut part)?;
        let part = String::from_utf8_lossy(&part);
        // Each part begins with what a page needs once: how an apostrophe is written.
        let once = Roff::new().render();
        let part = match self.0.is_empty() {
            true => &part,
            false => part.strip_prefix(&once).unwrap_or(&part),
        };
        self.0.push_str(part);
        Ok(())
    }
}

/// As the help has it: the parser's own for pages lists options without their values.
fn synopsis(command: &Command) -> Roff {
    let usage = command.clone().render_usage().to_string();
    let mut roff = Roff::new();
    roff.control("SH", ["SYNOPSIS"]);
    roff.control("nf", []);
    for line in usage.trim_start_matches("Usage:").lines() {
        roff.text([bold(line.trim())]);
    }
    roff.control("fi", []);
    roff
}

fn examples(command: &Command) -> Roff {
    let mut roff = Roff::new();
    let lines = help::examples(command);
    if lines.is_empty() {
        return roff;
    }
    roff.control("SH", ["EXAMPLES"]);
    roff.control("nf", []);
    for line in lines {
        // The page indents by itself.
        roff.text([roman(line.strip_prefix("  ").unwrap_or(&line))]);
    }
    roff.control("fi", []);
    roff
}

fn description(command: &Command) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", ["DESCRIPTION"]);
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = about.map(ToString::to_string).unwrap_or_default();
    roff.text([roman(format!("{about}."))]);
    let is_root = command.get_name() == "cosmos";
    // What the root has there is a list of topics, which are sections of the page.
    let notes = command.get_after_help().filter(|_| !is_root);
    let notes = notes.map(ToString::to_string).unwrap_or_default();
    for paragraph in notes.split("\n\n").filter(|text| !text.is_empty()) {
        roff.control("PP", []);
        for line in paragraph.lines() {
            roff.text([roman(line)]);
        }
    }
    roff
}

fn section(topic: &Topic) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [topic.section]);
    for (name, text) in topic.rows {
        roff.control("TP", []);
        roff.text([bold(*name)]);
        roff.text([roman(*text)]);
    }
    if !topic.note.is_empty() {
        roff.control("PP", []);
        roff.text([roman(topic.note)]);
    }
    roff
}

/// The pages around it: what it is a verb of, and those that are about the same.
fn see_also(command: &Command) -> Roff {
    let words: Vec<&str> = command
        .get_bin_name()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let (last, of) = words.split_last().unwrap_or((&"cosmos", &[]));
    let mut pages: Vec<String> = (1..=of.len()).map(|end| of[..end].join("-")).collect();
    if of.len() == 1 {
        pages.extend(help::beside(last).map(|verb| format!("cosmos-{verb}")));
    }
    pages.push("docker".to_owned());
    let pages: Vec<_> = pages
        .iter()
        .map(|page| format!("{page}({SECTION})"))
        .collect();
    let mut roff = Roff::new();
    roff.control("SH", ["SEE ALSO"]);
    roff.text([roman(pages.join(", "))]);
    roff
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(words: &[&str]) -> String {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        page(help::find(&help::built(), &words).unwrap()).unwrap()
    }

    /// The headings of a page, in order.
    fn sections(page: &str) -> Vec<&str> {
        let headings = page.lines().filter_map(|line| line.strip_prefix(".SH "));
        headings.map(|heading| heading.trim_matches('"')).collect()
    }

    #[test]
    fn every_page_has_its_sections_in_their_order() {
        let root = help::built();
        let commands = commands(&root);
        assert!(commands.len() > 30, "{}", commands.len());
        for command in commands {
            let page = page(command).unwrap();
            let mut sections = sections(&page);
            // Only a verb of a verb may do without.
            let is_of_verb = command.get_bin_name().unwrap().split(' ').count() > 2;
            let has_examples = sections.contains(&"EXAMPLES");
            assert!(has_examples || is_of_verb, "{}", name(command));
            sections.retain(|section| !["EXAMPLES", "VERBS"].contains(section));
            assert_eq!(
                sections,
                [
                    "NAME",
                    "SYNOPSIS",
                    "DESCRIPTION",
                    "OPTIONS",
                    "OPTIONS OF EVERY VERB",
                    "EXIT STATUS",
                    "FILES",
                    "ENVIRONMENT",
                    "SEE ALSO"
                ],
                "{}",
                name(command)
            );
        }
    }

    /// What a formatter stumbles over: it knows these macros only, and takes what begins
    /// with a dot for one.
    #[test]
    fn every_line_of_a_page_is_text_or_a_macro_that_there_is() {
        const MACROS: [&str; 11] = [
            "TH", "SH", "TP", "PP", "RS", "RE", "IP", "nf", "fi", "br", "ie",
        ];
        let root = help::built();
        for command in commands(&root) {
            let page = page(command).unwrap();
            assert!(page.starts_with(".ie "), "{page}");
            assert_eq!(page.matches("\n.ie ").count(), 0, "{page}");
            for line in page.lines().skip(2) {
                let name = line.strip_prefix('.').map(|line| line.split(' ').next());
                if let Some(name) = name {
                    assert!(MACROS.contains(&name.unwrap()), "{line}");
                }
            }
            let opened = page.matches("\n.nf").count() + page.matches("\n.RS").count();
            let closed = page.matches("\n.fi").count() + page.matches("\n.RE").count();
            assert_eq!(opened, closed);
        }
    }

    #[test]
    fn a_page_says_what_the_help_says() {
        let page = of(&["wait"]);
        assert!(page.contains(".TH COSMOS-WAIT 1 \" \" \"Cosmos "), "{page}");
        assert!(
            page.contains("cosmos wait [OPTIONS] <SERVICE>..."),
            "{page}"
        );
        assert!(page.contains("cosmos wait web api"), "{page}");
        assert!(page.contains("Exits with 1 as soon as"), "{page}");
        assert!(page.contains("\\-\\-timeout"), "{page}");
        assert!(page.contains("cosmos(1), "), "{page}");
        assert!(of(&["http", "show"]).contains("cosmos(1), cosmos\\-http(1), docker(1)"));
        assert!(of(&[]).contains("cosmos\\-up(1)"));
    }

    #[test]
    fn all_pages_are_written_and_no_other_file() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("man/man1");
        let count = write_all(&folder).unwrap();
        let files: Vec<_> = fs::read_dir(&folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        assert_eq!(files.len(), usize::try_from(count).unwrap());
        for file in ["cosmos.1", "cosmos-up.1", "cosmos-http-show.1"] {
            assert!(files.contains(&file.to_owned()), "{files:?}");
        }
        assert!(
            files
                .iter()
                .all(|file| !file.contains("__") && !file.contains("serve"))
        );
    }
}
