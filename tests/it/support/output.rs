//! All that one command said, as one value; and a command that still runs.

use std::{
    fmt,
    io::{BufRead as _, BufReader, Read},
    process::{Child, ChildStdout, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use super::PATIENCE;

/// Everything a user sees of one command. Shown, its ids are `<12 hex>` and
/// `<64 hex>`, so that one snapshot holds all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) code: Option<i32>,
}

impl Output {
    /// The same, and it must have been a success.
    #[track_caller]
    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "{self}");
        self
    }

    /// The id behind `Container started: `.
    #[track_caller]
    pub(crate) fn id(&self) -> String {
        self.after("Container started: ")
    }

    /// What stands behind the beginning of a line of stdout.
    #[track_caller]
    pub(crate) fn after(&self, beginning: &str) -> String {
        self.stdout
            .lines()
            .find_map(|line| line.strip_prefix(beginning))
            .unwrap_or_else(|| panic!("no line begins with {beginning:?}:\n{self}"))
            .to_owned()
    }
}

impl fmt::Display for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |text: &str| match text {
            "" => String::new(),
            text if text.ends_with('\n') => redacted(text),
            text => format!("{}[no newline]\n", redacted(text)),
        };
        write!(f, "{}", whole(&self.stdout))?;
        if !self.stderr.is_empty() {
            write!(f, "---- stderr ----\n{}", whole(&self.stderr))?;
        }
        match self.code {
            Some(code) => write!(f, "[exit code {code}]"),
            None => write!(f, "[ended by a signal]"),
        }
    }
}

/// With every id of an engine replaced by its length.
fn redacted(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest
            .find(|c: char| !c.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let is_hex = word
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        match word.len() {
            length @ (12 | 64) if is_hex => shown.push_str(&format!("<{length} hex>")),
            _ => shown.push_str(word),
        }
        rest = after;
    }
    shown.push_str(rest);
    shown
}

/// A command that was started off a terminal.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    seen: String,
    stderr: Receiver<String>,
}

impl Running {
    pub(crate) fn new(command: &mut Command) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let (sender, receiver) = channel();
        thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            let _ = sender.send(String::from_utf8_lossy(&text).into_owned());
        });
        let watched = Pid::from_child(&child);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let running = Self {
            child,
            stdout,
            seen: String::new(),
            stderr: receiver,
        };
        running.end_when_stuck(watched);
        running
    }

    /// Reads its output up to a line, and gives that line.
    #[track_caller]
    pub(crate) fn expect_line(&mut self, beginning: &str) -> String {
        loop {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            assert!(!line.is_empty(), "{beginning:?} is not in {:?}", self.seen);
            self.seen.push_str(&line);
            if line.starts_with(beginning) {
                return line.trim_end().to_owned();
            }
        }
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn output(mut self) -> Output {
        let mut rest = Vec::new();
        self.stdout.read_to_end(&mut rest).unwrap();
        let status = self.child.wait().unwrap();
        Output {
            stdout: std::mem::take(&mut self.seen) + &String::from_utf8_lossy(&rest),
            stderr: self.stderr.recv().unwrap(),
            code: status.code(),
        }
    }

    /// Kills it when time is up: what reads its output then sees the end of it,
    /// and the test fails with what was said so far.
    fn end_when_stuck(&self, child: Pid) {
        let deadline = Instant::now() + PATIENCE;
        thread::spawn(move || {
            // Its number cannot be another's before: the kernel counts far.
            while Instant::now() < deadline {
                thread::sleep(Duration::from_secs(1));
                if rustix::process::test_kill_process(child).is_err() {
                    return;
                }
            }
            let _ = kill_process(child, Signal::KILL);
        });
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
