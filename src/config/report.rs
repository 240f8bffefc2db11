//! Collects problems by key path, and knows where each path was written.

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, sync::Arc};

use super::{
    decode::{Refusal, Segment, UNSAID, Why, join, path_text},
    diagnostics::{self, Diagnostic, Diagnostics, Location, Problems, nearest, one_of},
    interpolate,
    layers::Document,
    written,
};

/// What other tools call a thing that is called otherwise here.
const OTHER_WORDS: [(&str, &str); 24] = [
    ("volumes", "here they are mounts = [\"name:/path\"]"),
    ("volume", "here they are mounts = [\"name:/path\"]"),
    ("environment", "here it is env = { NAME = \"value\" }"),
    (
        "healthcheck",
        "here it is health = { http = \"/\" }, or with tcp, command or log",
    ),
    ("working_dir", "here it is `workdir`"),
    (
        "container_name",
        "containers are named <workspace>-<service>-<n>: take it out",
    ),
    (
        "build",
        "images are built in [images.NAME], and used by image = \"NAME\"",
    ),
    (
        "dockerfile",
        "images are built in [images.NAME], and used by image = \"NAME\"",
    ),
    (
        "network_mode",
        "all services of a workspace are in one network: see [network]",
    ),
    (
        "deploy",
        "here they are `replicas`, `resources` and `update`",
    ),
    ("scale", "here it is `replicas`"),
    ("stop_grace_period", "here it is `stop_grace`"),
    ("stdin_open", "here it is `stdin`"),
    (
        "mem_limit",
        "here it is resources = { memory = \"512MiB\" }",
    ),
    ("memory", "here it is resources = { memory = \"512MiB\" }"),
    ("cpus", "here it is resources = { cpus = 1.5 }"),
    ("pids_limit", "here it is resources = { pids = 512 }"),
    (
        "expose",
        "every port can be reached inside the network: take it out",
    ),
    ("links", "services find each other by name: take it out"),
    ("cmd", "here it is `command`"),
    ("args", "here it is `command`"),
    ("port", "here it is ports = [5432], or route = 3000"),
    ("test", "here it is `command`"),
    ("pull_policy", "here it is `pull`, in [images.NAME]"),
];

/// Words of other tools for values.
const OTHER_VALUES: [(&str, &str); 7] = [
    ("no", "never"),
    ("unless-stopped", "always"),
    ("service_started", "started"),
    ("service_healthy", "ready"),
    ("healthy", "ready"),
    ("service_completed_successfully", "completed"),
    ("if_not_present", "missing"),
];

/// Variables that were put into the config, by name. Any of them can be a secret.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables(Rc<RefCell<BTreeMap<String, String>>>);

impl Variables {
    /// A shorter value is no secret, but a word that is in messages anyway.
    const SHORTEST: usize = 6;

    /// Of a longer one the beginning is enough to find it, since messages are cut.
    const LONGEST: usize = 40;

    pub(super) fn note(&self, name: &str, value: &str) {
        let mut variables = self.0.borrow_mut();
        if value.len() >= Self::SHORTEST && !variables.contains_key(name) {
            variables.insert(name.to_owned(), value.to_owned());
        }
    }

    /// All of them.
    pub(super) fn values(&self) -> BTreeMap<String, String> {
        self.0.borrow().clone()
    }

    /// Says the variable's name where its value was said.
    fn take_out_of(&self, diagnostics: &mut Diagnostics) {
        let variables = self.0.borrow();
        if variables.is_empty() {
            return;
        }
        let hidden: Vec<(String, String)> = variables
            .iter()
            .map(|(name, value)| {
                let end = value
                    .char_indices()
                    .nth(Self::LONGEST)
                    .map_or(value.len(), |(at, _)| at);
                (format!("${{{name}}}"), value[..end].to_owned())
            })
            .collect();
        diagnostics.each_text(|text| {
            for (name, value) in &hidden {
                // A message has control letters escaped.
                let escaped = diagnostics::one_line(value.clone());
                let found = [value, &escaped]
                    .into_iter()
                    .find(|form| text.contains(form.as_str()));
                match found {
                    Some(form) if value.chars().count() < Self::LONGEST => {
                        *text = text.replace(form.as_str(), name);
                    }
                    // Where it ends is not known any more.
                    Some(form) => {
                        let at = text.find(form.as_str()).unwrap_or(0);
                        text.truncate(at);
                        text.push_str(name);
                        text.push_str(" ..");
                    }
                    None => {}
                }
            }
        });
    }
}

/// Enough for a thousand names among a hundred, and over in some milliseconds.
const MOST_COMPARISONS: usize = 100_000;

/// Where problems go, and the document they are about.
#[derive(Debug)]
pub(super) struct Report {
    pub(super) document: Document,
    problems: Problems,
    /// How many comparisons of names are left for hints.
    comparisons: usize,
    /// The variables that were put in: no message repeats their values.
    variables: Variables,
    /// Takes what is said of a problem that is only counted.
    spare: Diagnostic,
}

impl Report {
    pub(super) fn new(document: Document, problems: Problems) -> Self {
        Self {
            document,
            problems,
            comparisons: MOST_COMPARISONS,
            variables: Variables::default(),
            spare: Diagnostic::error(String::new()),
        }
    }

    /// Whether further problems are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.problems.is_full()
    }

    /// The nearest of some names. Among very many there is no looking for it.
    pub(super) fn nearest(
        &mut self,
        word: &str,
        among: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Option<String> {
        if self.is_full() {
            return None;
        }
        let among: Vec<_> = among.into_iter().take(self.comparisons).collect();
        self.comparisons -= among.len();
        nearest(word, among.iter().map(AsRef::as_ref)).map(str::to_owned)
    }

    /// An error at the value of a key.
    pub(super) fn error(&mut self, path: &str, message: impl Into<String>) -> &mut Diagnostic {
        self.add(path, Diagnostic::error(message), false)
    }

    /// An error at a key itself.
    pub(super) fn key_error(&mut self, path: &str, message: impl Into<String>) -> &mut Diagnostic {
        self.add(path, Diagnostic::error(message), true)
    }

    /// A warning at the value of a key.
    pub(super) fn warning(&mut self, path: &str, message: impl Into<String>) -> &mut Diagnostic {
        self.add(path, Diagnostic::warning(message), false)
    }

    /// An error at a key's value that has to do with another's.
    pub(super) fn clash(
        &mut self,
        path: &str,
        message: impl Into<String>,
        other: &str,
        how: &str,
    ) -> &mut Diagnostic {
        let location = self.location(other, false).map(|(_, location)| location);
        let problem = self.add(path, Diagnostic::error(message), false);
        if let Some(location) = location {
            problem.related(how, location);
        }
        problem
    }

    /// A problem with a place of its own: in a file that is no layer.
    pub(super) fn push(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
    }

    fn add(&mut self, path: &str, mut problem: Diagnostic, at_key: bool) -> &mut Diagnostic {
        if self.is_full() {
            self.problems.count();
            return &mut self.spare;
        }
        if let Some((rank, location)) = self.location(path, at_key) {
            problem.place(rank, location);
        }
        problem.key(path);
        self.problems.add(problem).unwrap_or(&mut self.spare)
    }

    fn location(&self, path: &str, at_key: bool) -> Option<(usize, Location)> {
        let (number, spans, is_itself) = self.document.find(path)?;
        let source = &self.document.layers.get(number)?.source;
        // A whole table is too much to point at, and so is one that lacks a key.
        let is_long = source.text.get(spans.value.clone())?.contains('\n')
            || source.text[spans.value.clone()].starts_with('[')
                && spans.value.start < spans.key.start;
        let span = if at_key || !is_itself || is_long {
            spans.key.clone()
        } else {
            spans.value.clone()
        };
        Some((number, Location::new(source, span)))
    }

    /// What is wrong inside the text at a path. The spans are of the decoded text.
    pub(super) fn faults(&mut self, path: &str, text: &str, faults: Vec<interpolate::Fault>) {
        let Some((rank, place, _)) = self.document.find(path) else {
            return;
        };
        let Some(layer) = self.document.layers.get(rank) else {
            return;
        };
        let source = Arc::clone(&layer.source);
        let start = place.value.start;
        let written = &source.text[place.value.clone()];
        // A variable of the shell is written as it is.
        let offsets = written::offsets(written)
            .filter(|offsets| offsets.len() == text.len() + 1)
            .unwrap_or_else(|| (0..=written.len()).collect());
        for fault in faults {
            if self.is_full() {
                self.problems.count();
                continue;
            }
            let at = |offset: usize| offsets.get(offset).map_or(written.len(), |at| *at);
            let span = start + at(fault.span.start)..start + at(fault.span.end);
            let mut problem = Diagnostic::error(fault.message);
            problem
                .place(rank, Location::new(&source, span))
                .help(fault.help)
                .key(path);
            self.problems.push(problem);
        }
    }

    /// What decoding refused.
    pub(super) fn refusal(&mut self, refusal: Refusal) {
        let path = path_text(&refusal.path);
        let last = short(&path).to_owned();
        match refusal.why {
            Why::UnknownKey { key, known } => {
                let parent = path_text(&refusal.path[..refusal.path.len() - 1]);
                self.unknown_key(&path, &key, &parent, known);
            }
            Why::Missing(key) => {
                let problem = self.key_error(&path, format!("`{last}` needs the key `{key}`"));
                problem.help(format!("add {key} = .."));
            }
            Why::UnknownWord { word, known } => {
                let problem = self.error(&path, format!("`{last}` cannot be \"{word}\""));
                let other = OTHER_VALUES
                    .iter()
                    .find(|(other, ours)| *other == word && known.contains(ours));
                let meant = other
                    .map(|(_, ours)| *ours)
                    .or_else(|| nearest(&word, known.iter().copied()));
                let all = one_of(known.iter().copied());
                problem.help(match meant {
                    Some(meant) => format!("did you mean `{meant}`? It is one of {all}"),
                    None => format!("it is one of {all}"),
                });
            }
            Why::Type { expected, found } => {
                let help = help_for_type(&refusal.path, &path, &expected, &found);
                self.error(&path, format!("`{last}` must be {expected}, not {found}"))
                    .help(help);
            }
            Why::Other(message) => {
                self.error(&path, format!("`{last}`: {message}"))
                    .help("docs/reference.md says what it can be");
            }
        }
    }

    pub(super) fn unknown_key(&mut self, path: &str, key: &str, parent: &str, known: &[&str]) {
        if self.is_full() {
            self.problems.count();
            return;
        }
        let place = if parent.is_empty() {
            "at the top of the file".to_owned()
        } else {
            format!("in `{parent}`")
        };
        let nearest = nearest(key, known.iter().copied());
        let other = OTHER_WORDS.iter().find(|(other, _)| *other == key);
        let problem = self.key_error(path, format!("there is no key `{key}` {place}"));
        match (nearest, other) {
            (_, Some((_, ours)))
                if parent.starts_with("services.") || parent.starts_with("commands.") =>
            {
                problem.help(*ours);
            }
            (Some(meant), _) => {
                problem.help(format!("did you mean `{meant}`?"));
            }
            _ => {
                problem.help(format!("known keys are {}", list(known)));
            }
        }
    }

    /// A name that nothing declares.
    pub(super) fn unknown_name<'n>(
        &mut self,
        path: &str,
        message: String,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
        table: &str,
    ) {
        let meant = self.nearest(name, known);
        // In a table the name is the key; in a list it is the value.
        let problem = if path.ends_with(']') || path.ends_with(".service") {
            self.error(path, message)
        } else {
            self.key_error(path, message)
        };
        problem.help(match meant {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("declare it: [{}]", join(table, name)),
        });
    }

    /// Where the variables that are put in are to be noted.
    pub(super) fn variables(&self) -> Variables {
        self.variables.clone()
    }

    pub(super) fn into_parts(self) -> (Document, Diagnostics) {
        let mut diagnostics = self.problems.in_order();
        self.variables.take_out_of(&mut diagnostics);
        (self.document, diagnostics)
    }
}

/// How a value of the right type is written.
fn help_for_type(steps: &[Segment], path: &str, expected: &str, found: &str) -> String {
    let key = match steps.last() {
        Some(Segment::Key(key)) => format!("{} = ", join("", key)),
        _ => String::new(),
    };
    let number = found.strip_prefix("the number ");
    if found == UNSAID {
        return "it is from a variable: set that to one".to_owned();
    }
    match expected {
        "a table" if steps.len() == 2 => format!("write [{path}] and its keys below"),
        "a table" => format!("write {key}{{ .. }}, with its keys inside"),
        "a list" => format!("put it into brackets: {key}[..]"),
        _ if expected.starts_with("text in quotes") && number.is_some() => {
            "put it into quotes".to_owned()
        }
        "text in quotes" => format!("write {key}\"..\""),
        "`true` or `false`" => format!("write {key}true, without quotes"),
        _ if expected.starts_with("a duration") => match number {
            Some(number) => format!("say of what: {key}\"{number}s\""),
            None => "a number with its unit: ms, s, m, h or d".to_owned(),
        },
        _ if expected.starts_with("a whole number") => {
            format!("write it like {key}2, without quotes")
        }
        "a number" => format!("write it like {key}1.5, without quotes"),
        _ if key.is_empty() => "docs/reference.md has its forms".to_owned(),
        _ => format!(
            "docs/reference.md has the forms of `{}`",
            key.trim_end_matches(" = ")
        ),
    }
}

/// The last key of a path, with its index if it has one.
fn short(path: &str) -> &str {
    if path.ends_with('"') {
        return path;
    }
    path.rfind('.').map_or(path, |dot| &path[dot + 1..])
}

/// A list of words that stays readable: some of them, if many.
fn list(words: &[&str]) -> String {
    const MOST: usize = 12;
    if words.len() <= MOST {
        return words.join(", ");
    }
    format!(
        "{}, and {} more",
        words[..MOST].join(", "),
        words.len() - MOST
    )
}
