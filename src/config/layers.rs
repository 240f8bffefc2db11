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
    value::{Dict, Map, Value},
};
use indexmap::IndexMap;
use toml::de::{DeTable, DeValue};

use super::{
    decode::{Node, Segment, join, path_text},
    diagnostics::{Diagnostic, Location, Source, nearest, one_of},
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

/// One layer: its text, its values, and where each of them is.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) kind: LayerKind,
    pub(super) source: Arc<Source>,
    values: Dict,
    pub(super) spans: HashMap<String, Spans>,
    /// Where each line starts.
    lines: Vec<usize>,
}

/// Where a key and its value are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spans {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
}

impl Layer {
    fn new(kind: LayerKind, source: Source) -> Self {
        let newlines = source.text.match_indices('\n').map(|(at, _)| at + 1);
        Self {
            kind,
            lines: std::iter::once(0).chain(newlines).collect(),
            source: Arc::new(source),
            values: Dict::new(),
            spans: HashMap::new(),
        }
    }

    pub(super) fn defaults() -> Self {
        Self::parse(
            LayerKind::Default,
            Source {
                name: "built-in defaults".to_owned(),
                text: DEFAULTS.to_owned(),
            },
            0,
            &mut Vec::new(),
        )
    }

    /// Reads a file. Syntax errors go to `problems`.
    pub(super) fn parse(
        kind: LayerKind,
        source: Source,
        rank: usize,
        problems: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut layer = Self::new(kind, source);
        let source = Arc::clone(&layer.source);
        let (table, errors) = DeTable::parse_recoverable(&source.text);
        layer.values = layer.read_table(table.get_ref(), &mut Vec::new());
        syntax::explain(&layer, rank, &errors, problems);
        if kind == LayerKind::User {
            layer.keep_shared(rank, problems);
        }
        layer
    }

    fn keep_shared(&mut self, rank: usize, problems: &mut Vec<Diagnostic>) {
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
            if let Some(spans) = self.spans.get(&join("", &key)) {
                problem.place(rank, Location::new(&self.source, spans.key.clone()));
            }
            problem.key(key).help(format!(
                "the user file may have {}; the rest belongs into a cosmos.toml",
                one_of(SHARED)
            ));
            problems.push(problem);
        }
    }

    fn read_table(&mut self, table: &DeTable<'_>, path: &mut Vec<Segment>) -> Dict {
        let mut values = Dict::new();
        for (key, value) in table {
            path.push(Segment::Key(key.get_ref().to_string()));
            let read = self.read_value(value.get_ref(), path);
            self.spans.insert(
                path_text(path),
                Spans {
                    key: key.span(),
                    value: value.span(),
                },
            );
            path.pop();
            values.insert(key.get_ref().to_string(), read);
        }
        values
    }

    fn read_value(&mut self, value: &DeValue<'_>, path: &mut Vec<Segment>) -> Value {
        match value {
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
                for (index, item) in items.iter().enumerate() {
                    path.push(Segment::Index(index));
                    values.push(self.read_value(item.get_ref(), path));
                    self.spans.insert(
                        path_text(path),
                        Spans {
                            key: item.span(),
                            value: item.span(),
                        },
                    );
                    path.pop();
                }
                Value::from(values)
            }
            DeValue::Table(table) => Value::from(self.read_table(table, path)),
        }
    }

    /// What the variables of the environment set.
    pub(super) fn environment(
        variables: &BTreeMap<String, String>,
        problems: &mut Vec<Diagnostic>,
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
                let path: Vec<String> = rest
                    .to_ascii_lowercase()
                    .split("__")
                    .map(str::to_owned)
                    .collect();
                if path.len() > 1 && TABLES.contains(&path[0].as_str()) {
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
        let mut spans = HashMap::new();
        let mut values = Dict::new();
        for (name, path, value) in set {
            let start = text.len();
            text.push_str(name);
            let key = start..text.len();
            text.push('=');
            let start = text.len();
            text.push_str(value);
            let value_span = start..text.len();
            text.push('\n');
            for depth in 1..=path.len() {
                let path = path[..depth]
                    .iter()
                    .fold(String::new(), |path, key| join(&path, key));
                spans.entry(path).or_insert(Spans {
                    key: key.clone(),
                    value: value_span.clone(),
                });
            }
            insert(&mut values, path, value);
        }
        let source = Source {
            name: name.to_owned(),
            text,
        };
        Self {
            values,
            spans,
            ..Self::new(kind, source)
        }
    }

    fn line(&self, offset: usize) -> u32 {
        u32::try_from(self.lines.partition_point(|start| *start <= offset)).unwrap_or(u32::MAX)
    }

    fn is_loose(&self) -> bool {
        matches!(self.kind, LayerKind::Environment | LayerKind::Flag)
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

/// A layer on its way into Figment, under its number.
struct Numbered<'a>(usize, &'a Layer);

impl Provider for Numbered<'_> {
    fn metadata(&self) -> Metadata {
        Metadata::named(self.0.to_string())
    }

    fn data(&self) -> figment::Result<Map<Profile, Dict>> {
        Ok(Map::from([(Profile::Default, self.1.values.clone())]))
    }
}

/// All layers, merged.
#[derive(Debug)]
pub(super) struct Document {
    pub(super) root: Node,
    pub(super) layers: Vec<Layer>,
    /// Which layer each value is from; for a table, the first that has it.
    from: HashMap<String, usize>,
}

impl Document {
    pub(super) fn merge(layers: Vec<Layer>) -> Self {
        let figment = layers
            .iter()
            .enumerate()
            .fold(Figment::new(), |figment, (number, layer)| {
                figment.merge(Numbered(number, layer))
            });
        // No provider of ours fails.
        let values = figment
            .data()
            .ok()
            .and_then(|mut profiles| profiles.remove(&Profile::Default))
            .unwrap_or_default();
        let mut merged = Self {
            root: Node::Refused,
            layers,
            from: HashMap::new(),
        };
        merged.root = Node::Table(merged.table(&figment, values, ""));
        merged
    }

    fn table(&mut self, figment: &Figment, values: Dict, path: &str) -> IndexMap<String, Node> {
        let mut entries: Vec<_> = values
            .into_iter()
            .map(|(key, value)| {
                let path = join(path, &key);
                let place = self
                    .layers
                    .iter()
                    .enumerate()
                    .find_map(|(number, layer)| {
                        layer
                            .spans
                            .get(&path)
                            .map(|spans| (number, spans.key.start))
                    })
                    .unwrap_or_default();
                (place, path, key, value)
            })
            .collect();
        entries.sort_by_key(|(place, ..)| *place);
        entries
            .into_iter()
            .map(|((first, _), path, key, value)| {
                let node = self.node(figment, value, first, &path);
                (key, node)
            })
            .collect()
    }

    fn node(&mut self, figment: &Figment, value: Value, first: usize, path: &str) -> Node {
        let layer = figment
            .get_metadata(value.tag())
            .and_then(|layer| layer.name.parse().ok())
            .unwrap_or(first);
        let from = match value {
            Value::Dict(..) => first,
            _ => layer,
        };
        self.from.insert(path.to_owned(), from);
        match value {
            Value::Dict(_, values) => Node::Table(self.table(figment, values, path)),
            Value::Array(_, items) => Node::List(
                items
                    .into_iter()
                    .enumerate()
                    .map(|(index, item)| {
                        self.node(figment, item, layer, &format!("{path}[{index}]"))
                    })
                    .collect(),
            ),
            Value::String(_, text) if self.layers[layer].is_loose() => Node::Loose(text),
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

    /// The layer and the spans of a key path, or of the nearest thing around it.
    /// The last value is whether it is the thing itself.
    pub(super) fn find(&self, path: &str) -> Option<(usize, &Spans, bool)> {
        let mut at = path;
        loop {
            let found = self.from.get(at).and_then(|number| {
                let spans = self.layers.get(*number)?.spans.get(at)?;
                Some((*number, spans, at.len() == path.len()))
            });
            if found.is_some() {
                return found;
            }
            at = &at[..at.rfind(['.', '['])?];
        }
    }

    /// Every key path, with the layer its value is from and the line there.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&str, &Layer, u32)> {
        self.from.iter().filter_map(|(path, number)| {
            let layer = self.layers.get(*number)?;
            let spans = layer.spans.get(path)?;
            Some((path.as_str(), layer, layer.line(spans.key.start)))
        })
    }

    /// The kind of layer that a key path's value is from, and its place there.
    pub(super) fn origin(&self, path: &str) -> Option<(LayerKind, Origin)> {
        let (number, spans, _) = self.find(path)?;
        let layer = self.layers.get(number)?;
        let origin = Origin {
            file: layer.source.name.clone(),
            line: layer.line(spans.key.start),
        };
        Some((layer.kind, origin))
    }

    /// What each layer says about a key path, the one that wins last.
    pub(super) fn says(&self, path: &str) -> Vec<(LayerKind, Location, String)> {
        self.layers
            .iter()
            .filter_map(|layer| {
                let spans = layer.spans.get(path)?;
                let text = layer.source.text.get(spans.value.clone())?.to_owned();
                Some((
                    layer.kind,
                    Location::new(&layer.source, spans.key.clone()),
                    text,
                ))
            })
            .collect()
    }
}
