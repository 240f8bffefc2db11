//! What is wrong with a text that is not TOML.
//!
//! The parser goes on after an error, so that all come at once. But after a
//! bracket or quote that is not closed it only guesses: there it is stopped.

use std::ops::Range;

use super::{
    diagnostics::{Diagnostic, Location},
    layers::Layer,
};

/// Explains the parser's errors, one for a line at most.
pub(super) fn explain(
    layer: &Layer,
    rank: usize,
    errors: &[toml::de::Error],
    problems: &mut Vec<Diagnostic>,
) {
    let source = &layer.source;
    let mut last_line = 0;
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let location = Location::new(source, span.clone());
        if location.line == last_line {
            continue;
        }
        last_line = location.line;
        let fault = Fault::of(error.message(), &source.text, &span);
        let is_last = matches!(fault, Fault::OpenList(_) | Fault::OpenText);
        problems.push(fault.diagnostic(layer, rank, location, &span));
        if is_last {
            return;
        }
    }
}

enum Fault<'a> {
    /// A key or table that is there already.
    Twice(&'a str),
    /// A word where a value must be.
    Bare(&'a str),
    /// A list or inline table that goes on into the next lines.
    OpenList(usize),
    /// A text without its closing quote.
    OpenText,
    /// In the parser's words.
    Other(&'a str),
}

impl<'a> Fault<'a> {
    fn of(message: &'a str, text: &'a str, span: &Range<usize>) -> Self {
        let at = text.get(span.clone()).unwrap_or_default();
        let before = text.get(..span.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        if message == "duplicate key" {
            return Self::Twice(at);
        }
        if let Some(open) = open_bracket(before)
            // A new line begins like a table or a key: the bracket was forgotten.
            && before[open..].contains('\n')
            && line.trim().is_empty()
        {
            return Self::OpenList(open);
        }
        if message.contains("unclosed") || message.contains("missing closing") {
            return open_bracket(before).map_or(Self::Other(message), Self::OpenList);
        }
        if message.contains("string") && !message.contains("quoted") {
            return Self::OpenText;
        }
        let is_word = at.starts_with(|c: char| c.is_alphabetic())
            && at
                .chars()
                .all(|c| c.is_alphanumeric() || "_-./: ".contains(c));
        if is_word && line.contains('=') {
            return Self::Bare(at);
        }
        Self::Other(message)
    }

    fn diagnostic(
        &self,
        layer: &Layer,
        rank: usize,
        location: Location,
        span: &Range<usize>,
    ) -> Diagnostic {
        match self {
            Self::Twice(key) => {
                let mut problem = Diagnostic::error(format!("`{key}` is written twice"));
                problem
                    .place(rank, location)
                    .help("a key or a table can be written once: join the two");
                if let Some(first) = first_of(layer, key, span) {
                    problem.related("the first", Location::new(&layer.source, first));
                }
                problem
            }
            Self::Bare(word) => {
                let mut problem = Diagnostic::error(format!("`{word}` is text without quotes"));
                problem
                    .place(rank, location)
                    .help(format!("write \"{word}\""));
                problem
            }
            Self::OpenList(open) => {
                let (what, close) = match layer.source.text.as_bytes().get(*open) {
                    Some(b'{') => ("this table", '}'),
                    _ => ("this list", ']'),
                };
                let mut problem = Diagnostic::error(format!("{what} is not closed"));
                problem
                    .place(rank, Location::new(&layer.source, *open..open + 1))
                    .help(format!("add the missing `{close}`, or the comma before it"));
                problem
            }
            Self::OpenText => {
                let mut problem = Diagnostic::error("this text is not closed");
                problem
                    .place(rank, location)
                    .help("add the missing quote, or write \\\\ for a backslash");
                problem
            }
            Self::Other(message) => {
                let message = message.replace('\n', ", ");
                let mut problem = Diagnostic::error(format!("this is not TOML: {message}"));
                problem
                    .place(rank, location)
                    .help("a line is key = \"value\", or a [table]");
                problem
            }
        }
    }
}

/// Where the key was written first: in the same table, so nearest before.
fn first_of(layer: &Layer, key: &str, span: &Range<usize>) -> Option<Range<usize>> {
    let text = &layer.source.text;
    let start = line_start(text, span.start);
    let header = text[start..].lines().next()?.trim();
    if header.starts_with('[') {
        // The parser has forgotten the first table: it is looked for in the text.
        let is_same = |at: &usize| {
            line_start(text, *at) == *at - indent(text, *at) && text[*at..].starts_with(header)
        };
        let at = text[..start]
            .match_indices(header)
            .map(|(at, _)| at)
            .find(is_same)?;
        return Some(at..at + header.len());
    }
    let candidates = layer
        .spans
        .values()
        .filter(|spans| spans.key.start < span.start && text.get(spans.key.clone()) == Some(key));
    candidates
        .map(|spans| spans.key.clone())
        .max_by_key(|span| span.start)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// How much white space is before `at` on its line.
fn indent(text: &str, at: usize) -> usize {
    text[..at].len() - text[..at].trim_end_matches([' ', '\t']).len()
}

/// The innermost bracket that is open at the end of `text`, strings and
/// comments aside. A line that begins with a bracket is a table's header.
fn open_bracket(text: &str) -> Option<usize> {
    let mut open = Vec::new();
    let mut quote: Option<u8> = None;
    let mut is_comment = false;
    let mut line_is_empty = true;
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate() {
        if byte == b'\n' {
            (is_comment, line_is_empty, quote, is_escaped) = (false, true, None, false);
            continue;
        }
        if is_comment {
            continue;
        }
        match (quote, byte) {
            (Some(b'"'), b'\\') if !is_escaped => {
                is_escaped = true;
                continue;
            }
            (Some(open_quote), _) if byte == open_quote && !is_escaped => quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'#') => is_comment = true,
            (None, b'[') if line_is_empty && open.is_empty() => is_comment = true,
            (None, b'[' | b'{') => open.push(at),
            (None, b']' | b'}') => {
                open.pop();
            }
            (None, _) => {}
        }
        is_escaped = false;
        line_is_empty &= byte.is_ascii_whitespace();
    }
    open.last().copied()
}
