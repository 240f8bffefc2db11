//! Lines of what a container writes, each with its time.
//!
//! The engine was asked to put the time before each line. It sends a line that is
//! long in pieces, with a time before each piece: they are one line again here.

use bytes::{Bytes, BytesMut};

use crate::{
    reconcile::engine::{LogChunk, LogTime},
    workspace::time,
};

/// A line that is longer is told in parts: a progress bar may never end its own.
const LONGEST: usize = 1 << 20;

/// The longest time that an engine writes: `2026-11-23T23:08:17.123456789+01:00`.
const LONGEST_TIME: usize = 35;

/// One line that a container wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// When.
    pub(super) time: LogTime,
    /// The same in the engine's words.
    pub(super) stamp: Bytes,
    /// What, without its end.
    pub(super) text: Bytes,
    /// Whether it went to the standard error.
    pub(super) is_error: bool,
}

/// What one container has begun to say on its two streams.
#[derive(Debug, Default)]
pub(super) struct Lines {
    begun: [BytesMut; 2],
    /// When the newest was written: what has no time of its own has this one.
    newest: (LogTime, Bytes),
}

impl Lines {
    /// Takes what arrived, and tells each line that is whole.
    pub(super) fn take(&mut self, chunk: &LogChunk, mut each: impl FnMut(Line)) {
        let (is_error, mut rest) = match chunk {
            LogChunk::Out(bytes) => (false, bytes.clone()),
            LogChunk::Err(bytes) => (true, bytes.clone()),
        };
        let at = usize::from(is_error);
        if !self.begun[at].is_empty()
            && let Some((_, length)) = stamp(&rest)
        {
            // The next piece of a long line.
            let _ = rest.split_to(length + 1);
        }
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let mut whole = rest.split_to(end + 1);
            whole.truncate(end);
            if !self.begun[at].is_empty() {
                self.begun[at].extend_from_slice(&whole);
                whole = self.begun[at].split().freeze();
            }
            each(self.line(whole, is_error));
        }
        self.begun[at].extend_from_slice(&rest);
        if self.begun[at].len() > LONGEST {
            let part = self.begun[at].split().freeze();
            each(self.line(part, is_error));
        }
    }

    /// Tells what was begun and never ended.
    pub(super) fn end(&mut self, mut each: impl FnMut(Line)) {
        for is_error in [false, true] {
            let begun = &mut self.begun[usize::from(is_error)];
            if !begun.is_empty() {
                let rest = begun.split().freeze();
                each(self.line(rest, is_error));
            }
        }
    }

    fn line(&mut self, mut text: Bytes, is_error: bool) -> Line {
        if let Some((time, length)) = stamp(&text) {
            self.newest = (time, text.split_to(length));
            // The space behind it.
            let _ = text.split_to(1);
        }
        if text.last() == Some(&b'\r') {
            // A terminal's end of line.
            text.truncate(text.len() - 1);
        }
        let (time, stamp) = self.newest.clone();
        Line {
            time,
            stamp,
            text,
            is_error,
        }
    }
}

/// The time that a line begins with, and how long it is written.
fn stamp(text: &[u8]) -> Option<(LogTime, usize)> {
    let begin = text.get(..text.len().min(LONGEST_TIME + 1))?;
    let length = begin.iter().position(|byte| *byte == b' ')?;
    let written = str::from_utf8(begin.get(..length)?).ok()?;
    Some((LogTime::at(time(written)?)?, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(chunks: &[(bool, &'static str)]) -> Vec<(u64, String, bool)> {
        let (mut lines, mut told) = (Lines::default(), Vec::new());
        let mut each = |line: Line| {
            let text = String::from_utf8_lossy(&line.text).into_owned();
            told.push((line.time.0, text, line.is_error));
        };
        for (is_error, text) in chunks {
            let bytes = Bytes::from_static(text.as_bytes());
            let chunk = match is_error {
                true => LogChunk::Err(bytes),
                false => LogChunk::Out(bytes),
            };
            lines.take(&chunk, &mut each);
        }
        lines.end(&mut each);
        told
    }

    #[test]
    fn each_line_has_its_time() {
        assert_eq!(
            told(&[
                (false, "1970-01-01T00:00:00.000000001Z one\n"),
                (true, "1970-01-01T00:00:00.000000002Z two\n"),
                (false, "1970-01-01T01:00:00.000000003+01:00 three\n"),
            ]),
            [
                (1, "one".to_owned(), false),
                (2, "two".to_owned(), true),
                (3, "three".to_owned(), false)
            ]
        );
    }

    #[test]
    fn the_pieces_of_a_long_line_are_one_line() {
        assert_eq!(
            told(&[
                (false, "1970-01-01T00:00:00.000000001Z aaa"),
                (true, "1970-01-01T00:00:00.000000002Z other\n"),
                (false, "1970-01-01T00:00:00.000000003Z bbb"),
                (false, "1970-01-01T00:00:00.000000004Z c\n"),
            ]),
            [
                (2, "other".to_owned(), true),
                (1, "aaabbbc".to_owned(), false)
            ]
        );
    }

    #[test]
    fn what_a_terminal_wrote_is_cut_anywhere() {
        let whole = "1970-01-01T00:00:00.000000001Z one\r\n1970-01-01T00:00:00.000000002Z two\r\n";
        for at in 1..whole.len() {
            let (first, second) = whole.split_at(at);
            assert_eq!(
                told(&[(false, first), (false, second)]),
                [(1, "one".to_owned(), false), (2, "two".to_owned(), false)],
                "cut at {at}"
            );
        }
    }

    #[test]
    fn what_has_no_end_is_told_at_the_end_and_what_has_no_time_has_the_last() {
        assert_eq!(
            told(&[(false, "1970-01-01T00:00:00.000000001Z one\ntwo\nthree")]),
            [
                (1, "one".to_owned(), false),
                (1, "two".to_owned(), false),
                (1, "three".to_owned(), false)
            ]
        );
    }

    #[test]
    fn a_line_without_an_end_does_not_grow_for_ever() {
        let piece = "x".repeat(1 << 16).leak();
        let chunks = vec![(false, &*piece); 40];
        assert!(told(&chunks).len() > 1);
    }
}
