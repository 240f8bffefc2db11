//! How a line is shown: behind its container's name, its time, or as JSON.

use std::io::{self, IsTerminal as _, Write as _};

use anstyle::{AnsiColor, Style};
use indexmap::IndexSet;
use regex_lite::Regex;
use serde::Serialize;

use super::{line::Line, tame::tamed};
use crate::{
    cli::{args::Logs, error::Failure},
    reconcile::engine::LogChunk,
};

/// Colours that tell services apart on light and dark screens.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// As much as is written at once.
const ENOUGH: usize = 64 << 10;

/// Who wrote a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Writer {
    /// The container's name.
    pub(super) container: String,
    /// Its service, if it is of one.
    pub(super) service: Option<String>,
    /// Whose colour it has: of the same name, the same.
    place: usize,
}

/// Shows lines. What goes to our standard output and what to the error is told apart as
/// the containers do, unless it is JSON.
pub(super) struct Shown {
    form: Form,
    wanted: Option<Regex>,
    is_coloured: bool,
    /// Of our standard output and error, which one is a terminal.
    is_terminal: [bool; 2],
    names: IndexSet<String>,
    width: usize,
    /// What was not written yet, and whether it is for the standard error.
    held: Vec<u8>,
    is_error: bool,
}

enum Form {
    Json,
    /// The container's name where there are several or may be, and the time where it was
    /// asked for.
    Text {
        may_be_several: bool,
        has_time: bool,
    },
}

/// A line as JSON.
#[derive(Serialize)]
struct Told<'a> {
    time: &'a str,
    container: &'a str,
    service: Option<&'a str>,
    stream: &'a str,
    line: &'a str,
}

impl Shown {
    /// # Errors
    /// If `--grep` is no regular expression.
    pub(super) fn new(args: &Logs, may_be_several: bool) -> Result<Self, Failure> {
        let wanted = args.grep.as_deref().map(|pattern| {
            Regex::new(pattern).map_err(|error| {
                Failure::usage(format!("`{pattern}` is no pattern: {error}"))
                    .hinted("it is a regular expression: write `\\[` for a bracket, and `(?i)` before what may be in any case")
            })
        });
        let form = match args.json {
            true => Form::Json,
            false => Form::Text {
                may_be_several,
                has_time: args.timestamps,
            },
        };
        let is_terminal = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        Ok(Self {
            form,
            wanted: wanted.transpose()?,
            is_coloured: std::env::var_os("NO_COLOR").is_none() && is_terminal[0],
            is_terminal,
            names: IndexSet::new(),
            width: 0,
            held: Vec::new(),
            is_error: false,
        })
    }

    /// Whether any of it goes to a terminal, and so not as it is.
    pub(super) fn is_tame(&self) -> bool {
        self.is_terminal.contains(&true)
    }

    /// Somebody whose lines are shown: there is room for their name from now on, so
    /// that all lines begin at the same place.
    pub(super) fn writer(&mut self, container: &str, service: Option<&str>) -> Writer {
        let (place, _) = self.names.insert_full(container.to_owned());
        self.width = self.width.max(container.len());
        Writer {
            container: container.to_owned(),
            service: service.map(str::to_owned),
            place,
        }
    }

    /// Takes a line, and writes it soon.
    ///
    /// # Errors
    /// If nobody reads it.
    pub(super) fn show(&mut self, writer: &Writer, line: &Line) -> io::Result<()> {
        if let Some(wanted) = &self.wanted
            && !wanted.is_match(&String::from_utf8_lossy(&line.text))
        {
            return Ok(());
        }
        self.turn_to(line.is_error && !matches!(self.form, Form::Json))?;
        match self.form {
            Form::Json => self.tell(writer, line),
            Form::Text {
                may_be_several,
                has_time,
            } => {
                if may_be_several || self.names.len() > 1 {
                    self.name(writer);
                }
                if has_time {
                    self.held.extend_from_slice(&line.stamp);
                    self.held.push(b' ');
                }
                match self.is_terminal[usize::from(line.is_error)] {
                    true => self.held.extend_from_slice(tamed(&line.text).as_bytes()),
                    false => self.held.extend_from_slice(&line.text),
                }
            }
        }
        self.held.push(b'\n');
        self.flush_if_enough()
    }

    /// Takes what was written as it is, and writes it soon.
    ///
    /// # Errors
    /// If nobody reads it.
    pub(super) fn pass(&mut self, chunk: &LogChunk) -> io::Result<()> {
        self.turn_to(matches!(chunk, LogChunk::Err(_)))?;
        self.held.extend_from_slice(chunk.bytes());
        self.flush_if_enough()
    }

    fn turn_to(&mut self, is_error: bool) -> io::Result<()> {
        if is_error != self.is_error {
            self.flush()?;
            self.is_error = is_error;
        }
        Ok(())
    }

    fn flush_if_enough(&mut self) -> io::Result<()> {
        match self.held.len() > ENOUGH {
            true => self.flush(),
            false => Ok(()),
        }
    }

    fn tell(&mut self, writer: &Writer, line: &Line) {
        let told = Told {
            time: &String::from_utf8_lossy(&line.stamp),
            container: &writer.container,
            service: writer.service.as_deref(),
            stream: if line.is_error { "stderr" } else { "stdout" },
            line: &String::from_utf8_lossy(&line.text),
        };
        // Text into memory: neither fails.
        let _ = serde_json::to_writer(&mut self.held, &told);
    }

    fn name(&mut self, writer: &Writer) {
        let style = match self.is_coloured {
            true => COLOURS[writer.place % COLOURS.len()].on_default(),
            false => Style::new(),
        };
        let (name, width) = (&writer.container, self.width);
        // Into memory.
        let _ = write!(self.held, "{style}{name:<width$} |{style:#} ");
    }

    /// Writes all that was taken.
    ///
    /// # Errors
    /// If nobody reads it.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let write = |out: &mut dyn io::Write| out.write_all(&self.held).and_then(|()| out.flush());
        match self.is_error {
            true => write(&mut io::stderr().lock())?,
            false => write(&mut io::stdout().lock())?,
        }
        self.held.clear();
        Ok(())
    }
}
