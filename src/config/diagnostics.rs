//! What is wrong with a config, where, and what to do about it.
//!
//! Every problem carries its place in the text it came from: file, line,
//! column, and the key path. All problems of a config are collected and shown
//! at once, in the order of the files; only `cli/` prints them.
//!
//! The tone: what is wrong, on what, in one line; the place; one line of help.

use std::{fmt, ops::Range, sync::Arc};

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// A text a problem can point into.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// What it is called in messages: a path as short as it can be.
    pub name: String,
    /// The text.
    pub text: String,
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
        let before = &text[..start];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Self {
            file: source.name.clone(),
            line: count(before.matches('\n').count() + 1),
            column: count(before[line_start..].chars().count() + 1),
            source: Arc::clone(source),
            span: start..end,
        }
    }
}

/// The nearest character boundary at or before `at`, inside the text.
fn floor_char(text: &str, at: usize) -> usize {
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
            message: message.into(),
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
        self.help = Some(help.into());
        self
    }

    pub(super) fn place(&mut self, rank: usize, location: Location) -> &mut Self {
        self.rank = rank;
        self.location = Some(location);
        self
    }

    pub(super) fn key(&mut self, key: impl Into<String>) -> &mut Self {
        self.key = Some(key.into());
        self
    }

    pub(super) fn related(&mut self, message: impl Into<String>, location: Location) -> &mut Self {
        self.related = Some(Related {
            message: message.into(),
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
            .elements(self.snippets());
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help.as_str()));
        }
        renderer.render(&[group])
    }

    fn snippets(&self) -> Vec<Snippet<'_, annotate_snippets::Annotation<'_>>> {
        let Some(location) = &self.location else {
            return Vec::new();
        };
        let primary = AnnotationKind::Primary;
        let context = AnnotationKind::Context;
        let key = self.key.as_deref();
        match &self.related {
            Some(related) if Arc::ptr_eq(&related.location.source, &location.source) => {
                let (first, last) = if related.location.span.start < location.span.start {
                    (&related.location, location)
                } else {
                    (location, &related.location)
                };
                let cut = Cut::new(&location.source, first.span.start, last.span.start);
                vec![
                    cut.snippet()
                        .annotation(primary.span(cut.span(location)).label(key))
                        .annotation(
                            context
                                .span(cut.span(&related.location))
                                .label(related.message.as_str()),
                        ),
                ]
            }
            Some(related) => {
                let cuts = [location, &related.location]
                    .map(|place| Cut::new(&place.source, place.span.start, place.span.start));
                vec![
                    cuts[0]
                        .snippet()
                        .annotation(primary.span(cuts[0].span(location)).label(key)),
                    cuts[1].snippet().annotation(
                        context
                            .span(cuts[1].span(&related.location))
                            .label(related.message.as_str()),
                    ),
                ]
            }
            None => {
                let cut = Cut::new(&location.source, location.span.start, location.span.start);
                vec![
                    cut.snippet()
                        .annotation(primary.span(cut.span(location)).label(key)),
                ]
            }
        }
    }
}

/// Whole lines of a text: what is drawn. Only these are given to the renderer,
/// so that drawing does not depend on the size of the file.
struct Cut<'a> {
    source: &'a Source,
    start: usize,
    end: usize,
    line: usize,
}

impl<'a> Cut<'a> {
    fn new(source: &'a Source, first: usize, last: usize) -> Self {
        let text = &source.text;
        let start = text[..first].rfind('\n').map_or(0, |newline| newline + 1);
        let end = text[last..]
            .find('\n')
            .map_or(text.len(), |newline| last + newline);
        Self {
            source,
            start,
            end,
            line: text[..start].matches('\n').count() + 1,
        }
    }

    fn snippet<T: Clone>(&self) -> Snippet<'a, T> {
        Snippet::source(&self.source.text[self.start..self.end])
            .path(self.source.name.as_str())
            .line_start(self.line)
    }

    /// The span inside the cut, on its first line only.
    fn span(&self, location: &Location) -> Range<usize> {
        let text = &self.source.text[self.start..self.end];
        let start = location.span.start.saturating_sub(self.start);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let end = location.span.end.saturating_sub(self.start).min(line_end);
        start..end.max(start)
    }
}

/// All problems of a config, in the order of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(Vec<Diagnostic>);

impl Diagnostics {
    /// Puts them in the order of the files. What has no place goes first.
    pub(super) fn new(mut items: Vec<Diagnostic>) -> Self {
        let start = |item: &Diagnostic| item.location.as_ref().map_or(0, |place| place.span.start);
        items.sort_by_key(|item| (item.rank, start(item)));
        items.dedup();
        Self(items)
    }

    /// One by one.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.0.iter()
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|item| item.severity == Severity::Error)
    }

    /// Draws all of them, each under its line of source, for a terminal of `width` columns.
    pub fn render(&self, colour: bool, width: usize) -> String {
        let drawn: Vec<String> = self
            .0
            .iter()
            .map(|item| item.render(colour, width))
            .collect();
        drawn.join("\n\n")
    }
}

impl<'a> IntoIterator for &'a Diagnostics {
    type Item = &'a Diagnostic;
    type IntoIter = std::slice::Iter<'a, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false, annotate_snippets::renderer::DEFAULT_TERM_WIDTH))
    }
}

impl std::error::Error for Diagnostics {}

/// The nearest of some words to one that is none of them, if any is near.
pub(super) fn nearest<'a>(word: &str, among: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A third of the letters wrong is a typo; more is another word.
    let most = (word.chars().count() / 3).max(1);
    among
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|(distance, candidate)| {
            *distance <= most || candidate.trim_end_matches('s') == word.trim_end_matches('s')
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
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
