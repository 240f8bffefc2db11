//! Where values come from, and which one wins.
//!
//! Defaults < user file < `cosmos.toml` < `cosmos.local.toml` < environment <
//! flags. Figment merges them and remembers which layer each value is from; it
//! keeps neither order nor places, so each layer is also a [`Source`] with the
//! span of every key and value, and the order is restored from those.
//!
//! The environment and the flags are sources too: their text is made up, so that
//! a problem in `COSMOS_PROXY_PORT` is drawn like any other.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use figment::{
    Figment, Metadata, Profile, Provider,
    value::{Dict, Map, Tag, Value},
};
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::{
    Said,
    decode::{Node, Segment, segments},
    diagnostics::{Diagnostic, Location, Problems, Source, nearest, one_of},
    places::{Inside, Place, Places},
    syntax,
};
use crate::workspace::Origin;

/// What holds for every workspace that says nothing else.
const DEFAULTS: &str = "[workspace]\nengine = \"docker\"\n";

/// The tables that a user file may hold: what all workspaces of a person share.
const SHARED: [&str; 2] = ["proxy", "network"];

/// The tables of a file, which are those that a variable `COSMOS_<TABLE>__<KEY>` can lead into.
pub(super) const TABLES: [&str; 10] = [
    "workspace",
    "network",
    "networks",
    "proxy",
    "images",
    "services",
    "commands",
    "routes",
    "secrets",
    "volumes",
];

/// Variables with a key of their own.
const VARIABLES: [(&str, &str); 6] = [
    ("COSMOS_PROXY_IMAGE", "proxy.image"),
    ("COSMOS_PROXY_PORT", "proxy.port"),
    ("COSMOS_PROXY_TOKENLESS", "proxy.tokenless"),
    ("COSMOS_WORKSPACE", "workspace.name"),
    ("COSMOS_ENGINE", "workspace.engine"),
    ("COSMOS_NETWORK", "network.name"),
];

/// What the tests of Cosmos itself are told by: no slip of a person's.
const OF_OUR_TESTS: &str = "COSMOS_TEST_";

/// What kind of layer a value is from. Later ones win.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum LayerKind {
    /// Built in.
    Default,
    /// The user's own file, for all workspaces.
    User,
    /// `cosmos.toml`.
    Project,
    /// `cosmos.local.toml`, beside it.
    Local,
    /// `COSMOS_*` variables.
    Environment,
    /// The command line.
    Flag,
}

/// A longer key is no name, no path and no label, but an accident.
const LONGEST_KEY: usize = 1024;

/// More in one table or list is an accident, too: no engine has so many
/// containers, and no container so many of anything.
const MOST_ENTRIES: usize = 5_000;

/// More in one file: a thousand services of sixty values each.
const MOST_VALUES: usize = 60_000;

/// Each value has a `=` or a comma before or behind it. To parse a text with more
/// of them would take long, only to refuse it.
const MOST_SIGNS: usize = 2 * MOST_VALUES;

/// The same between two headers: a table of so many entries, each a small table.
const MOST_SIGNS_OF_A_TABLE: usize = 8 * MOST_ENTRIES;

/// The same of the dots in one key.
const MOST_DOTS: usize = LONGEST_KEY / 2;

/// The deepest key of a file has five steps; a variable must not make a deeper tree.
const DEEPEST: usize = 16;

/// The place in a text at which it is certain that it will be refused, why, and what
/// to do: found by its signs alone, in one pass, before a parser is asked.
fn far_too_much(text: &[u8]) -> Option<(usize, &'static str, String)> {
    let (mut all, mut of_table, mut dots) = (0, 0, 0);
    let mut is_key = true;
    for (at, byte) in text.iter().enumerate() {
        let starts_line = at == 0 || text[at - 1] == b'\n';
        if starts_line {
            (is_key, dots) = (true, 0);
        }
        match byte {
            b'[' if starts_line => of_table = 0,
            b'=' | b',' => {
                all += 1;
                of_table += 1;
            }
            b'.' if is_key => dots += 1,
            _ => {}
        }
        is_key &= byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        if all > MOST_SIGNS {
            let help = format!("{MOST_VALUES} are the most");
            return Some((at, "there are far too many values up to here", help));
        }
        if of_table > MOST_SIGNS_OF_A_TABLE {
            let help = format!("{MOST_ENTRIES} are the most");
            return Some((at, "this table has far too many entries up to here", help));
        }
        if dots > MOST_DOTS {
            let help = "the deepest key there is has five steps".to_owned();
            return Some((at, "this key has far too many steps", help));
        }
    }
    None
}

/// One layer: its text, its values, and where each of them is.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) kind: LayerKind,
    pub(super) source: Arc<Source>,
    values: Dict,
    pub(super) places: Place,
}

impl Layer {
    pub(super) fn defaults() -> Self {
        Self::parse(
            LayerKind::Default,
            Source::new("built-in defaults", DEFAULTS),
            0,
            &mut Problems::default(),
        )
    }

    /// Reads a file. Syntax errors go to `problems`.
    pub(super) fn parse(
        kind: LayerKind,
        source: Source,
        rank: usize,
        problems: &mut Problems,
    ) -> Self {
        let source = Arc::new(source);
        if let Some((at, message, help)) = far_too_much(source.text.as_bytes()) {
            let mut problem = Diagnostic::error(message);
            problem
                .place(rank, Location::new(&source, at..at + 1))
                .help(help);
            problems.push(problem);
            return Self {
                kind,
                values: Dict::new(),
                places: Place::table(IndexMap::new()),
                source,
            };
        }
        let (table, errors) = syntax::parse(&source.text);
        let mut reading = Reading::default();
        let (values, entries) = reading.table(table.get_ref());
        let mut layer = Self {
            kind,
            values,
            places: Place::table(entries),
            source: Arc::clone(&source),
        };
        syntax::explain(&layer, rank, &errors, problems);
        for (span, message, help) in reading.too_much {
            let mut problem = Diagnostic::error(message);
            problem.place(rank, Location::new(&source, span)).help(help);
            problems.push(problem);
        }
        if kind == LayerKind::User {
            layer.keep_shared(rank, problems);
        }
        layer
    }

    fn keep_shared(&mut self, rank: usize, problems: &mut Problems) {
        let foreign: Vec<String> = self
            .values
            .keys()
            .filter(|key| !SHARED.contains(&key.as_str()))
            .cloned()
            .collect();
        for key in foreign {
            self.values.remove(&key);
            let mut problem =
                Diagnostic::error(format!("`{key}` cannot be set for all workspaces at once"));
            if let Some(place) = self.places.child(&Segment::Key(key.clone())) {
                problem.place(rank, Location::new(&self.source, place.key.clone()));
            }
            problem.key(key).help(format!(
                "the user file may have {}; the rest belongs into a cosmos.toml",
                one_of(SHARED)
            ));
            problems.push(problem);
        }
    }

    /// What the variables of the environment set.
    pub(super) fn environment(
        variables: &BTreeMap<String, String>,
        problems: &mut Problems,
    ) -> Self {
        let mut set = Vec::new();
        for (name, value) in variables {
            if value.is_empty() || name.starts_with(OF_OUR_TESTS) {
                continue;
            }
            if let Some((_, key)) = VARIABLES.iter().find(|(known, _)| known == name) {
                let path = key.split('.').map(str::to_owned).collect();
                set.push((name.as_str(), path, value.as_str()));
            } else if let Some(rest) = name.strip_prefix("COSMOS_") {
                let path = key_path(rest);
                let is_key = path.len() > 1 && path.len() <= DEEPEST;
                if is_key && TABLES.contains(&path[0].as_str()) {
                    set.push((name.as_str(), path, value.as_str()));
                } else if let Some(known) = nearest(name, VARIABLES.iter().map(|(name, _)| *name)) {
                    let mut problem =
                        Diagnostic::warning(format!("the variable `{name}` does nothing"));
                    problem.help(format!("did you mean `{known}`?"));
                    problems.push(problem);
                }
            }
        }
        Self::loose(LayerKind::Environment, "environment", &set)
    }

    /// What the command line sets, by key path.
    pub(super) fn flags(flags: &[(String, String)]) -> Self {
        let set: Vec<_> = flags
            .iter()
            .map(|(key, value)| {
                let path = key.split('.').map(str::to_owned).collect();
                (key.as_str(), path, value.as_str())
            })
            .collect();
        Self::loose(LayerKind::Flag, "command line", &set)
    }

    fn loose(kind: LayerKind, name: &str, set: &[(&str, Vec<String>, &str)]) -> Self {
        let mut text = String::new();
        let mut places = Place::table(IndexMap::new());
        let mut values = Dict::new();
        for (name, path, value) in set {
            let start = text.len();
            text.push_str(name);
            let key = start..text.len();
            text.push('=');
            let start = text.len();
            text.push_str(value);
            let place = Place {
                key,
                value: start..text.len(),
                inside: Inside::Nothing,
            };
            text.push('\n');
            places.insert(path, &place);
            insert(&mut values, path, value);
        }
        Self {
            kind,
            source: Arc::new(Source::new(name, text)),
            values,
            places,
        }
    }

    fn is_loose(&self) -> bool {
        matches!(self.kind, LayerKind::Environment | LayerKind::Flag)
    }
}

/// Reads values and their places, as far as there is sense in it.
#[derive(Default)]
struct Reading {
    values: usize,
    /// What is left out: where, what is wrong with it, and what would be right.
    too_much: Vec<(Range<usize>, String, String)>,
}

impl Reading {
    fn table(&mut self, table: &DeTable<'_>) -> (Dict, IndexMap<String, Place>) {
        let mut values = Dict::new();
        let mut places = IndexMap::with_capacity(table.len());
        for (key, value) in table {
            let span = key.span();
            let key = key.get_ref();
            if key.len() > LONGEST_KEY {
                let message = format!("this key has {} bytes", key.len());
                self.leave_out(span, message, format!("{LONGEST_KEY} are the most"));
            } else if let Some((read, inside)) = self.value(&span, value.get_ref()) {
                let place = Place {
                    key: span,
                    value: value.span(),
                    inside,
                };
                values.insert(key.to_string(), read);
                places.insert(key.to_string(), place);
            }
        }
        (values, places)
    }

    /// `at` is where a value that is left out is reported.
    fn value(&mut self, at: &Range<usize>, value: &DeValue<'_>) -> Option<(Value, Inside)> {
        let (what, entries) = match value {
            DeValue::Array(items) => ("list", items.len()),
            DeValue::Table(table) => ("table", table.len()),
            _ => ("", 0),
        };
        if entries > MOST_ENTRIES {
            let message = format!("this {what} has {entries} entries");
            self.leave_out(at.clone(), message, format!("{MOST_ENTRIES} are the most"));
            return None;
        }
        self.values += 1;
        if self.values > MOST_VALUES {
            if self.values == MOST_VALUES + 1 {
                let message = format!("there are more than {MOST_VALUES} values up to here");
                let help = "no workspace has so many: split it, or mount what is data";
                self.leave_out(at.clone(), message, help.to_owned());
            }
            return None;
        }
        let value = match value {
            DeValue::String(text) => Value::from(text.to_string()),
            DeValue::Integer(number) => {
                match i64::from_str_radix(number.as_str(), number.radix()) {
                    Ok(number) => Value::from(number),
                    // Too large for any key: whatever wants a whole number says so.
                    Err(_) => Value::from(number.as_str().parse().unwrap_or(f64::INFINITY)),
                }
            }
            DeValue::Float(number) => Value::from(number.as_str().parse().unwrap_or(f64::NAN)),
            DeValue::Boolean(value) => Value::from(*value),
            DeValue::Datetime(date) => Value::from(date.to_string()),
            DeValue::Array(items) => {
                let mut values = Vec::with_capacity(items.len());
                let mut places = Vec::with_capacity(items.len());
                for item in items {
                    let span = item.span();
                    let Some((read, inside)) = self.value(&span, item.get_ref()) else {
                        continue;
                    };
                    values.push(read);
                    places.push(Place {
                        key: span.clone(),
                        value: span,
                        inside,
                    });
                }
                return Some((Value::Array(Tag::Default, values), Inside::List(places)));
            }
            DeValue::Table(table) => {
                let (values, places) = self.table(table);
                return Some((Value::Dict(Tag::Default, values), Inside::Table(places)));
            }
        };
        Some((value, Inside::Nothing))
    }

    fn leave_out(&mut self, at: Range<usize>, message: String, help: String) {
        self.too_much.push((at, message, help));
    }
}

fn insert(values: &mut Dict, path: &[String], value: &str) {
    match path {
        [] => {}
        [key] => {
            values.insert(key.clone(), Value::from(value));
        }
        [key, rest @ ..] => {
            let inner = values
                .entry(key.clone())
                .or_insert_with(|| Value::from(Dict::new()));
            if let Value::Dict(_, inner) = inner {
                insert(inner, rest, value);
            }
        }
    }
}

/// The key that `SERVICES__WEB__ENV__LOG` names. Keys are in small letters, but for
/// those that people choose in `env` and `args`.
fn key_path(name: &str) -> Vec<String> {
    let mut is_chosen = false;
    name.split("__")
        .map(|step| {
            if is_chosen {
                return step.to_owned();
            }
            let step = step.to_ascii_lowercase();
            is_chosen = matches!(step.as_str(), "env" | "args");
            step
        })
        .collect()
}

/// The values of one layer on their way into Figment.
struct Values(Dict);

impl Provider for Values {
    fn metadata(&self) -> Metadata {
        Metadata::named("layer")
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.0.clone())]))
    }
}

/// All values; later layers win.
///
/// Figment copies everything it is given, more than once. So it is given only
/// what two layers speak of: of a thousand services that is hardly any.
fn join_values(layers: Vec<Dict>) -> Dict {
    let mut speakers: HashMap<(String, String), usize> = HashMap::new();
    for (table, value) in layers.iter().flatten() {
        for name in names(value) {
            *speakers.entry((table.clone(), name)).or_default() += 1;
        }
    }
    let mut joined = Dict::new();
    let mut figment = Figment::new();
    for layer in layers {
        let mut shared = Dict::new();
        for (table, value) in layer {
            let is_alone = |name: &str| {
                let key = (table.clone(), name.to_owned());
                speakers.get(&key) == Some(&1)
            };
            let (alone, rest) = match value {
                Value::Dict(tag, entries) => {
                    let (alone, rest): (Dict, Dict) =
                        entries.into_iter().partition(|(name, _)| is_alone(name));
                    (alone, Value::Dict(tag, rest))
                }
                value => (Dict::new(), value),
            };
            put(&mut joined, table.clone(), Value::Dict(Tag::Default, alone));
            shared.insert(table, rest);
        }
        figment = figment.merge(Values(shared));
    }
    // No provider of ours fails.
    let shared = figment
        .data()
        .ok()
        .and_then(|mut profiles| profiles.remove(&Profile::Default))
        .unwrap_or_default();
    for (table, value) in shared {
        put(&mut joined, table, value);
    }
    joined
}

/// The keys of a table; what is none has one without a name.
fn names(value: &Value) -> Vec<String> {
    match value {
        Value::Dict(_, entries) => entries.keys().cloned().collect(),
        _ => vec![String::new()],
    }
}

/// Puts a value at a key, beside what is there.
fn put(values: &mut Dict, key: String, value: Value) {
    match (values.get_mut(&key), value) {
        (Some(Value::Dict(_, there)), Value::Dict(_, more)) => there.extend(more),
        (_, value) => {
            values.insert(key, value);
        }
    }
}

impl Layer {
    /// Where a value of it was written.
    pub(super) fn origin(&self, place: &Place) -> Origin {
        Origin::Written {
            file: self.source.name.clone(),
            line: self.source.position(place.key.start).0,
        }
    }
}

/// All layers, merged.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Node,
    pub(super) layers: Vec<Layer>,
}

impl Document {
    pub(super) fn merge(mut layers: Vec<Layer>) -> Self {
        // Figment copies what it is given, and the values are not needed here any more.
        let values: Vec<Dict> = layers
            .iter_mut()
            .map(|layer| std::mem::take(&mut layer.values))
            .collect();
        let values = join_values(values);
        let mut merged = Self {
            root: Node::Refused,
            layers,
        };
        if let Some(places) = merged.places() {
            merged.root = Node::Table(merged.table(values, &places));
        }
        merged
    }

    /// The places of everything.
    pub(super) fn places(&self) -> Option<Places<'_>> {
        let roots = self.layers.iter().map(|layer| &layer.places);
        Places::new(roots.enumerate())
    }

    /// Figment forgets the order of a table; the places have it.
    fn table(&self, mut values: Dict, places: &Places<'_>) -> IndexMap<String, Node> {
        let mut entries = IndexMap::with_capacity(values.len());
        for (key, places) in places.entries() {
            if let Some(value) = values.remove(key) {
                entries.insert(key.to_owned(), self.node(value, &places));
            }
        }
        entries
    }

    fn node(&self, value: Value, places: &Places<'_>) -> Node {
        let layer = self.layers.get(places.first.0);
        let is_loose = layer.is_some_and(Layer::is_loose);
        match value {
            Value::Dict(_, values) => Node::Table(self.table(values, places)),
            Value::Array(_, items) => {
                let items = items.into_iter().zip(places.items());
                Node::List(
                    items
                        .map(|(item, places)| self.node(item, &places))
                        .collect(),
                )
            }
            Value::String(_, text) if is_loose => Node::Loose(text),
            Value::String(_, text) => Node::Text(text),
            Value::Char(_, letter) => Node::Text(letter.to_string()),
            Value::Bool(_, value) => Node::Boolean(value),
            Value::Num(_, number) => match (number.to_i128(), number.to_f64()) {
                (Some(number), _) => match i64::try_from(number) {
                    Ok(number) => Node::Integer(number),
                    Err(_) => Node::Text(number.to_string()),
                },
                (None, Some(number)) => Node::Float(number),
                (None, None) => match number.to_u128() {
                    Some(number) => Node::Text(number.to_string()),
                    None => Node::Refused,
                },
            },
            Value::Empty(..) => Node::Refused,
        }
    }

    /// The layer and the place of a key path, or of the nearest thing around it.
    /// The last value is whether it is the thing itself.
    pub(super) fn find(&self, path: &str) -> Option<(usize, &Place, bool)> {
        let mut here = self.places()?;
        let mut found = None;
        for segment in segments(path) {
            let Some(inside) = here.child(&segment) else {
                return found.map(|(layer, place)| (layer, place, false));
            };
            found = Some(inside.first);
            here = inside;
        }
        found.map(|(layer, place)| (layer, place, true))
    }

    /// The kind of layer that a key path's value is from, and its place there.
    pub(super) fn origin(&self, path: &str) -> Option<(LayerKind, Origin)> {
        let (number, place, _) = self.find(path)?;
        let layer = self.layers.get(number)?;
        Some((layer.kind, layer.origin(place)))
    }

    /// What each layer says about a key path, the one that wins last.
    pub(super) fn says(&self, path: &[Segment]) -> Vec<Said> {
        let said = self.layers.iter().filter_map(|layer| {
            let place = layer.places.at(path)?;
            let written = |span: &Range<usize>| layer.source.text.get(span.clone());
            let is_variable = layer.kind == LayerKind::Environment;
            Some(Said {
                layer: layer.kind,
                variable: written(&place.key)
                    .filter(|_| is_variable)
                    .map(str::to_owned),
                location: Location::new(&layer.source, place.key.clone()),
                text: written(&place.value)?.to_owned(),
            })
        });
        said.collect()
    }

    /// The keys of the table at a path, in order.
    pub(super) fn keys(&self, path: &[Segment]) -> Vec<String> {
        let Some(root) = self.places() else {
            return Vec::new();
        };
        let table = path
            .iter()
            .try_fold(root, |here, segment| here.child(segment));
        let entries = table.map(|table| table.entries()).unwrap_or_default();
        entries.into_iter().map(|(key, _)| key.to_owned()).collect()
    }
}
