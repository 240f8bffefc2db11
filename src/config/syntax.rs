//! What is wrong with a text that is not TOML.
//!
//! The parser goes on after an error, so that all come at once. But after a
//! bracket or quote that is not closed it only guesses: there it is stopped.

use std::{collections::HashMap, ops::Range};

use toml::{Spanned, de::DeTable};

use super::{
    diagnostics::{Diagnostic, Location, Problems, floor_char},
    layers::Layer,
    places::{Inside, Place},
};

/// How much is read after the first error: each costs the parser as much as a
/// hundred bytes without one, and a hostile file has nothing else.
const WINDOW: usize = 32 << 10;

/// Parses a text, with all its errors; of a very long one, those near the first.
pub(super) fn parse(text: &str) -> (Spanned<DeTable<'_>>, Vec<toml::de::Error>) {
    let first = match DeTable::parse(text) {
        Ok(table) => return (table, Vec::new()),
        Err(error) => error,
    };
    let start = first.span().map_or(0, |span| span.start);
    let end = floor_char(text, start.saturating_add(WINDOW));
    let line_end = text[end..].find('\n').map(|line| end + line);
    // A line that does not end soon is cut.
    let end = match line_end {
        Some(line_end) if line_end - end < WINDOW => line_end,
        None if text.len() - end < WINDOW => text.len(),
        _ => end,
    };
    let (table, mut errors) = DeTable::parse_recoverable(&text[..end]);
    if end < text.len() {
        // What the cut leaves open is no error of the text.
        errors.retain(|error| error.span().is_none_or(|span| span.end < end));
    }
    if errors.is_empty() {
        errors.push(first);
    }
    (table, errors)
}

/// Explains the parser's errors, one for a line at most.
pub(super) fn explain(
    layer: &Layer,
    rank: usize,
    errors: &[toml::de::Error],
    problems: &mut Problems,
) {
    let source = &layer.source;
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| (error.span().unwrap_or(0..0), error.message()))
        .collect();
    // Each looks back from the one before it, so that the text is read once.
    errors.sort_by_key(|(span, _)| span.start);
    let mut brackets = Brackets::new(&source.text);
    let mut firsts = None;
    let mut last_line = None;
    for (span, message) in errors {
        let line = Some(source.line(span.start));
        if line == last_line {
            continue;
        }
        last_line = line;
        if problems.is_full() {
            problems.count();
            continue;
        }
        let fault = Fault::of(message, &source.text, &span, &mut brackets);
        let is_last = matches!(fault, Fault::OpenList(_) | Fault::OpenText);
        let location = Location::new(source, span.clone());
        let mut problem = fault.diagnostic(layer, location);
        if matches!(fault, Fault::Twice(_)) {
            let firsts = firsts.get_or_insert_with(|| Firsts::of(layer));
            if let Some(first) = firsts.before(&span) {
                problem.related("the first", Location::new(source, first));
            }
        }
        problem.rank(rank);
        problems.push(problem);
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
    /// Nothing where a value must be.
    NoValue,
    /// A backslash before a letter that it means nothing with.
    Escape,
    /// In the parser's words.
    Other(&'a str),
}

impl<'a> Fault<'a> {
    fn of(
        message: &'a str,
        text: &'a str,
        span: &Range<usize>,
        brackets: &mut Brackets<'_>,
    ) -> Self {
        let at = text.get(span.clone()).unwrap_or_default();
        let before = text.get(..span.start).unwrap_or_default();
        let line = before.rsplit('\n').next().unwrap_or_default();
        if message == "duplicate key" {
            return Self::Twice(at);
        }
        let open = brackets.open_before(span.start);
        if let Some(open) = open
            // A new line begins like a table or a key: the bracket was forgotten.
            && before[open..].contains('\n')
            && line.trim().is_empty()
        {
            return Self::OpenList(open);
        }
        if message.contains("unclosed") || message.contains("missing closing") {
            return open.map_or(Self::Other(message), Self::OpenList);
        }
        if message.starts_with("missing escaped value") {
            return Self::Escape;
        }
        if line.trim_end().ends_with('=') && at.trim().is_empty() {
            return Self::NoValue;
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

    fn diagnostic(&self, layer: &Layer, location: Location) -> Diagnostic {
        let at = |message: String, location: Location, help: String| {
            let mut problem = Diagnostic::error(message);
            problem.place(0, location).help(help);
            problem
        };
        match self {
            Self::Twice(key) => at(
                format!("`{key}` is written twice"),
                location,
                "a key or a table can be written once: join the two".to_owned(),
            ),
            Self::Bare(word) => at(
                format!("`{word}` is text without quotes"),
                location,
                format!("write \"{word}\""),
            ),
            Self::OpenList(open) => {
                let (what, close) = match layer.source.text.as_bytes().get(*open) {
                    Some(b'{') => ("this table", '}'),
                    _ => ("this list", ']'),
                };
                at(
                    format!("{what} is not closed"),
                    Location::new(&layer.source, *open..open + 1),
                    format!("add the missing `{close}`, or the comma before it"),
                )
            }
            Self::OpenText => at(
                "this text is not closed".to_owned(),
                location,
                "add the missing quote, or write \\\\ for a backslash".to_owned(),
            ),
            Self::Other(message) => {
                let message = message.trim_end_matches(", expected nothing");
                at(
                    format!("this is not TOML: {}", message.replace('\n', ", ")),
                    location,
                    help_for(message).to_owned(),
                )
            }
            Self::NoValue => at(
                "there is no value behind the `=`".to_owned(),
                location,
                "write one, or take the line out".to_owned(),
            ),
            Self::Escape => at(
                "this backslash begins no escape".to_owned(),
                location,
                "write \\\\ for a backslash, or the text in single quotes".to_owned(),
            ),
        }
    }
}

fn help_for(message: &str) -> &'static str {
    match message {
        _ if message.contains("cannot extend") => "it has a value already: keep one of the two",
        _ if message.contains("leading zero") => "write it without the zero, or in quotes",
        _ if message.contains("unclosed table") => "add the missing `]`",
        _ => "a line is key = \"value\", or a [table]",
    }
}

/// Where each key and each table was written, to find what comes twice.
struct Firsts<'a> {
    text: &'a str,
    keys: HashMap<&'a str, Vec<usize>>,
    headers: HashMap<&'a str, usize>,
}

impl<'a> Firsts<'a> {
    fn of(layer: &'a Layer) -> Self {
        let text = layer.source.text.as_str();
        let mut keys: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut todo: Vec<&Place> = vec![&layer.places];
        while let Some(place) = todo.pop() {
            let key = text.get(place.key.clone()).unwrap_or_default();
            keys.entry(key).or_default().push(place.key.start);
            match &place.inside {
                Inside::Nothing => {}
                Inside::List(items) => todo.extend(items),
                Inside::Table(entries) => todo.extend(entries.values()),
            }
        }
        keys.values_mut().for_each(|starts| starts.sort_unstable());
        // The parser has forgotten the first of two tables: it is looked for in the text.
        let mut headers = HashMap::new();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let header = line.trim();
            if header.starts_with('[') {
                let indent = line.len() - line.trim_start().len();
                headers.entry(header).or_insert(start + indent);
            }
            start += line.len();
        }
        Self {
            text,
            keys,
            headers,
        }
    }

    /// The nearest before: in the same table, most often.
    fn before(&self, span: &Range<usize>) -> Option<Range<usize>> {
        let start = line_start(self.text, span.start);
        let header = self.text[start..].lines().next()?.trim();
        if header.starts_with('[') {
            let first = *self.headers.get(header)?;
            return (first < start).then(|| first..first + header.len());
        }
        let key = self.text.get(span.clone())?;
        let starts = self.keys.get(key)?;
        let before = starts.partition_point(|start| *start < span.start);
        let first = *starts.get(before.checked_sub(1)?)?;
        Some(first..first + key.len())
    }
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The brackets that are open at a place of a text, strings and comments aside.
/// A line that begins with a bracket is a table's header.
struct Brackets<'a> {
    text: &'a str,
    at: usize,
    open: Vec<usize>,
    quote: Option<u8>,
    is_comment: bool,
    line_is_empty: bool,
    is_escaped: bool,
}

impl<'a> Brackets<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            open: Vec::new(),
            quote: None,
            is_comment: false,
            line_is_empty: true,
            is_escaped: false,
        }
    }

    /// The innermost that is open before `end`, which only grows.
    fn open_before(&mut self, end: usize) -> Option<usize> {
        let bytes = self.text.as_bytes();
        while self.at < end.min(bytes.len()) {
            self.pass(bytes[self.at]);
            self.at += 1;
        }
        self.open.last().copied()
    }

    fn pass(&mut self, byte: u8) {
        if byte == b'\n' {
            (self.is_comment, self.line_is_empty) = (false, true);
            (self.quote, self.is_escaped) = (None, false);
            return;
        }
        if self.is_comment {
            return;
        }
        match (self.quote, byte) {
            (Some(b'"'), b'\\') if !self.is_escaped => {
                self.is_escaped = true;
                return;
            }
            (Some(quote), _) if byte == quote && !self.is_escaped => self.quote = None,
            (Some(_), _) => {}
            (None, b'"' | b'\'') => self.quote = Some(byte),
            (None, b'#') => self.is_comment = true,
            (None, b'[') if self.line_is_empty && self.open.is_empty() => self.is_comment = true,
            (None, b'[' | b'{') => self.open.push(self.at),
            (None, b']' | b'}') => {
                self.open.pop();
            }
            (None, _) => {}
        }
        self.is_escaped = false;
        self.line_is_empty &= byte.is_ascii_whitespace();
    }
}
