//! What is wrong with a config, where, and what to do about it.
//!
//! Every problem carries its place in the text it came from: file, line,
//! column, and the key path. All problems of a config are collected and shown
//! at once, in the order of the files; only `cli/` prints them.
//!
//! The tone: what is wrong, on what, in one line; the place; one line of help.

use std::{fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Element, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// A text a problem can point into.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is called in messages: a path as short as it can be.
    pub name: String,
    /// The text.
    pub text: String,
    /// Where each line starts.
    lines: Vec<usize>,
}

impl Source {
    /// A text under the name that messages call it by.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        let newlines = text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            name: name.into(),
            lines: std::iter::once(0).chain(newlines).collect(),
            text,
        }
    }

    /// The line of an offset, from 0.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset).max(1) - 1
    }

    /// The lines from `first` to `last`, from 0, without the last newline.
    fn lines(&self, first: usize, last: usize) -> Range<usize> {
        let start = self.lines.get(first).copied().unwrap_or(0);
        let end = self.lines.get(last + 1).map(|next| next - 1);
        let end = end.unwrap_or(self.text.len());
        // A file from Windows ends its lines with two letters.
        let text = &self.text[start..end];
        start..end - usize::from(text.ends_with('\r'))
    }

    /// Line and column of an offset, both from 1; the column in characters.
    pub(super) fn position(&self, offset: usize) -> (u32, u32) {
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let line = self.line(offset);
        let start = self.lines.get(line).copied().unwrap_or(0);
        let column = self.text[start..offset].chars().count() + 1;
        (count(line + 1), count(column))
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The config means nothing until this is mended.
    Error,
    /// It means something, but probably not what was meant.
    Warning,
}

/// A place in a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Location {
    /// The file, as short as it can be.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The line where it ends.
    pub end_line: u32,
    /// The column behind its last character.
    pub end_column: u32,
    #[serde(skip)]
    source: Arc<Source>,
    #[serde(skip)]
    span: Range<usize>,
}

impl Location {
    /// The place of a span of bytes in a text. A span outside of it is moved inside.
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let text = &source.text;
        let start = floor_char(text, span.start);
        let end = floor_char(text, span.end).max(start);
        let (line, column) = source.position(start);
        let (end_line, end_column) = source.position(end);
        Self {
            file: source.name.clone(),
            line,
            column,
            end_line,
            end_column,
            source: Arc::clone(source),
            span: start..end,
        }
    }

    /// Whether one picture can show both.
    fn is_near(&self, other: &Self) -> bool {
        const FAR: u32 = 100;
        Arc::ptr_eq(&self.source, &other.source) && self.line.abs_diff(other.line) < FAR
    }
}

/// The nearest character boundary at or before `at`, inside the text.
pub(super) fn floor_char(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong, on what: one line.
    pub message: String,
    /// The key path: `services.web.mounts[0]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Where.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub location: Option<Location>,
    /// Another place that has to do with it, and how.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub related: Option<Related>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    #[serde(skip)]
    rank: usize,
}

/// Another place that has to do with a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Related {
    /// How it has to do with it.
    pub message: String,
    /// Where.
    #[serde(flatten)]
    pub location: Location,
}

impl Diagnostic {
    /// An error without a place.
    pub fn error(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            message: one_line(message.into()),
            key: None,
            location: None,
            related: None,
            help: None,
            rank: 0,
        }
    }

    /// A warning without a place.
    pub fn warning(message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(message)
        }
    }

    /// Says what to do about it.
    pub fn help(&mut self, help: impl Into<String>) -> &mut Self {
        self.help = Some(one_line(help.into()));
        self
    }

    pub(super) fn rank(&mut self, rank: usize) -> &mut Self {
        self.rank = rank;
        self
    }

    pub(super) fn place(&mut self, rank: usize, location: Location) -> &mut Self {
        self.rank = rank;
        self.location = Some(location);
        self
    }

    pub(super) fn key(&mut self, key: impl Into<String>) -> &mut Self {
        self.key = Some(one_line(key.into()));
        self
    }

    pub(super) fn related(&mut self, message: impl Into<String>, location: Location) -> &mut Self {
        self.related = Some(Related {
            message: one_line(message.into()),
            location,
        });
        self
    }

    /// Draws it under its line of source.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        }
        .term_width(width);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut group = level
            .primary_title(self.message.as_str())
            .elements(self.elements());
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    fn elements(&self) -> Vec<Element<'_>> {
        let Some(location) = &self.location else {
            return Vec::new();
        };
        let mark = (location, AnnotationKind::Primary, self.key.as_deref());
        let Some(related) = &self.related else {
            return drawn(&[mark]);
        };
        let other = (
            &related.location,
            AnnotationKind::Context,
            Some(related.message.as_str()),
        );
        if location.is_near(&related.location) {
            return drawn(&[mark, other]);
        }
        let mut elements = drawn(&[mark]);
        elements.extend(drawn(&[other]));
        elements
    }
}

/// A place, how it is marked, and what is written beside the mark.
type Mark<'a> = (&'a Location, AnnotationKind, Option<&'a str>);

/// A longer line is not drawn: nobody finds anything in it.
const LONGEST_LINE: usize = 20_000;

/// Places of one text that are near each other, under their lines. Only these
/// lines are given to the renderer: drawing does not depend on the size of the file.
fn drawn<'a>(marks: &[Mark<'a>]) -> Vec<Element<'a>> {
    let Some((location, ..)) = marks.first() else {
        return Vec::new();
    };
    let source: &'a Source = &location.source;
    let lines = marks
        .iter()
        .map(|(place, ..)| source.line(place.span.start));
    let (first, last) = lines.fold((usize::MAX, 0), |(first, last), line| {
        (first.min(line), last.max(line))
    });
    let range = source.lines(first, last);
    if range.len() > LONGEST_LINE {
        let place = |(place, ..): &Mark<'a>| {
            let number = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
            let origin = Origin::path(place.source.name.as_str());
            origin
                .line(number(place.line))
                .char_column(number(place.column))
                .into()
        };
        return marks.iter().map(place).collect();
    }
    let mut snippet = Snippet::source(&source.text[range.clone()])
        .path(source.name.as_str())
        .line_start(first + 1);
    for (place, kind, label) in marks {
        // On the first of its lines only, and inside of what is drawn.
        let line_end = source.lines(0, source.line(place.span.start)).end;
        let inside = |at: usize| at.clamp(range.start, range.end) - range.start;
        let span = inside(place.span.start)..inside(place.span.end.min(line_end));
        snippet = snippet.annotation(kind.span(span).label(*label));
    }
    vec![snippet.into()]
}

/// A text of one line, and not too long: what is quoted in it can be anything.
pub(super) fn one_line(text: String) -> String {
    const MOST: usize = 1000;
    let is_plain = |letter: char| !letter.is_control() && !is_invisible(letter);
    if text.len() <= MOST && text.chars().all(is_plain) {
        return text;
    }
    let (head, tail) = if text.len() <= MOST {
        (text.as_str(), None)
    } else {
        let head = &text[..floor_char(&text, MOST / 2)];
        let tail = &text[floor_char(&text, text.len() - MOST / 2)..];
        (head, Some(tail))
    };
    let mut line = String::with_capacity(MOST + 16);
    for part in [Some(head), tail.map(|_| " .. "), tail]
        .into_iter()
        .flatten()
    {
        for letter in part.chars() {
            if is_plain(letter) {
                line.push(letter);
            } else {
                line.extend(letter.escape_default());
            }
        }
    }
    line
}

/// Letters that change what others look like: they are shown by number.
fn is_invisible(letter: char) -> bool {
    matches!(letter, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// More problems are only counted: nobody mends so many before the next try, and
/// a hostile file has one in every line.
pub(super) const MOST_PROBLEMS: usize = 500;

/// Problems as they are found.
#[derive(Debug, Default)]
pub(super) struct Problems {
    list: Vec<Diagnostic>,
    errors: usize,
    left_out: usize,
}

impl Problems {
    /// Whether further ones are only counted. Warnings alone never fill it: what
    /// has no error is read to its end.
    pub(super) fn is_full(&self) -> bool {
        self.errors >= MOST_PROBLEMS
    }

    /// One more that is only counted.
    pub(super) fn count(&mut self) {
        self.left_out += 1;
    }

    pub(super) fn push(&mut self, problem: Diagnostic) {
        let _ = self.add(problem);
    }

    /// The problem in the list, unless it was only counted.
    pub(super) fn add(&mut self, problem: Diagnostic) -> Option<&mut Diagnostic> {
        let is_error = problem.severity == Severity::Error;
        if self.is_full() || (!is_error && self.list.len() >= MOST_PROBLEMS) {
            self.count();
            return None;
        }
        self.errors += usize::from(is_error);
        self.list.push(problem);
        self.list.last_mut()
    }

    pub(super) fn has_errors(&self) -> bool {
        self.errors > 0
    }

    pub(super) fn in_order(self) -> Diagnostics {
        Diagnostics::new(self.list, self.left_out)
    }
}

/// As many are drawn: whoever mended these reads the rest in the next run.
const MOST_DRAWN: usize = 50;

/// All problems of a config, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Diagnostics {
    list: Vec<Diagnostic>,
    left_out: usize,
}

impl Diagnostics {
    /// Puts them in the order of the files. What has no place goes first.
    fn new(mut list: Vec<Diagnostic>, left_out: usize) -> Self {
        let start = |item: &Diagnostic| item.location.as_ref().map_or(0, |place| place.span.start);
        list.sort_by_key(|item| (item.rank, start(item)));
        list.dedup();
        Self { list, left_out }
    }

    /// One alone.
    pub(super) fn of(problem: Diagnostic) -> Self {
        Self::new(vec![problem], 0)
    }

    /// Every text in which something of the config can be quoted.
    pub(super) fn each_text(&mut self, mut change: impl FnMut(&mut String)) {
        for item in &mut self.list {
            change(&mut item.message);
            item.help.iter_mut().for_each(&mut change);
            item.related
                .iter_mut()
                .for_each(|related| change(&mut related.message));
        }
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.list.iter()
    }

    /// How many there are, with those that are not in the list.
    pub fn len(&self) -> usize {
        self.list.len() + self.left_out
    }

    /// How many are not in the list: after some hundreds they are only counted.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.iter().any(|item| item.severity == Severity::Error)
    }

    /// Draws them, each under its line of source, for a terminal of `width` columns.
    /// Those after the first fifty are only counted.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let mut drawn: Vec<String> = self
            .iter()
            .take(MOST_DRAWN)
            .map(|item| item.render(colour, width))
            .collect();
        match self.len().saturating_sub(MOST_DRAWN) {
            0 => {}
            1 => drawn.push("and 1 more".to_owned()),
            more => drawn.push(format!("and {more} more")),
        }
        drawn.join("\n\n")
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.list.serialize(serializer)
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false, annotate_snippets::renderer::DEFAULT_TERM_WIDTH))
    }
}

impl std::error::Error for Diagnostics {}

/// The nearest of some words to one that is none of them, if any is near.
pub fn nearest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // What is longer is not typed by hand, and comparing takes the square of it.
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    // A third of the letters wrong is a typo; more is another word.
    let most = (word.chars().count() / 3).max(1);
    let stem = word.trim_end_matches('s');
    among
        .into_iter()
        .filter_map(|candidate| {
            if candidate.trim_end_matches('s') == stem {
                return Some((1, candidate));
            }
            // Cheap to see, and enough to pass over nearly all of them.
            if least_distance(word, candidate) > most {
                return None;
            }
            let distance = strsim::damerau_levenshtein(word, candidate);
            (distance <= most).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Two words are at least so far apart: each letter too many is taken out, and
/// each that only one of them has is put in or changed.
fn least_distance(one: &str, other: &str) -> usize {
    if !one.is_ascii() || !other.is_ascii() {
        return 0;
    }
    // Letters that fall together make the result smaller, which is still true.
    let letters = |text: &str| {
        text.bytes()
            .fold(0_u64, |letters, byte| letters | 1 << (byte & 63))
    };
    let (ones, others) = (letters(one), letters(other));
    let apart = (ones & !others)
        .count_ones()
        .max((others & !ones).count_ones());
    one.len()
        .abs_diff(other.len())
        .max(usize::try_from(apart).unwrap_or(0))
}

/// `` `a`, `b` or `c` ``.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match quoted.split_last() {
        None => "nothing".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
    }
}
