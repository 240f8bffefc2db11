//! A Compose file as a tree in which every value knows its place.
//!
//! What an alias stands for is shared and not copied, so that a file cannot
//! unfold into more memory than it has bytes.

use std::rc::Rc;

/// Where something was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Which of the files that were read.
    pub(super) file: usize,
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
}

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    /// What it is.
    pub(super) value: Value,
    /// Where it begins.
    pub(super) place: Place,
    /// How many values it is, aliases unfolded.
    pub(super) size: usize,
    /// How many levels it has, aliases unfolded.
    pub(super) height: usize,
    /// Written as `!override` or `!reset`: it is not merged with what it stands over.
    pub(super) is_override: bool,
}

/// What a value is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    /// Nothing.
    Null,
    /// Text as it stands: it may be meant as a number, or as true or false.
    Plain(String),
    /// Text that can be nothing but text.
    Quoted(String),
    /// A list.
    List(Vec<Rc<Node>>),
    /// A mapping.
    Map(Map),
}

impl Node {
    pub(super) fn new(value: Value, place: Place) -> Self {
        let (size, height) = match &value {
            Value::Null | Value::Plain(_) | Value::Quoted(_) => (1, 0),
            Value::List(items) => measure(items.iter()),
            Value::Map(map) => measure(map.0.iter().map(|entry| &entry.node)),
        };
        Self {
            value,
            place,
            size,
            height,
            is_override: false,
        }
    }

    /// The text, if it is one.
    pub(super) fn as_text(&self) -> Option<&str> {
        match &self.value {
            Value::Plain(text) | Value::Quoted(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn as_map(&self) -> Option<&Map> {
        match &self.value {
            Value::Map(map) => Some(map),
            _ => None,
        }
    }

    pub(super) fn is_null(&self) -> bool {
        self.value == Value::Null
    }

    /// Whether it says `true`, in any of the words YAML ever had for it.
    pub(super) fn is_true(&self) -> bool {
        matches!(&self.value, Value::Plain(text) if boolean(text) == Some(true))
    }

    /// A list's items; of anything else, itself.
    pub(super) fn one_or_many(&self) -> Vec<&Node> {
        match &self.value {
            Value::List(items) => items.iter().map(Rc::as_ref).collect(),
            Value::Null => Vec::new(),
            _ => vec![self],
        }
    }

    /// What it is, in words.
    pub(super) fn describe(&self) -> &'static str {
        match self.value {
            Value::Null => "empty",
            Value::Plain(_) | Value::Quoted(_) => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a mapping",
        }
    }
}

fn measure<'a>(inside: impl Iterator<Item = &'a Rc<Node>>) -> (usize, usize) {
    let (size, height) = inside.fold((1_usize, 0), |(size, height), node| {
        (size.saturating_add(node.size), height.max(node.height))
    });
    (size, height + 1)
}

/// The words for true and false of YAML 1.1, which Compose files still have.
pub(super) fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// Keys and their values, in the order of the file.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Map(pub(super) Vec<Entry>);

/// A key and its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    /// The key.
    pub(super) key: Rc<str>,
    /// Where the key stands.
    pub(super) place: Place,
    /// The value.
    pub(super) node: Rc<Node>,
}

impl Map {
    pub(super) fn iter(&self) -> std::slice::Iter<'_, Entry> {
        self.0.iter()
    }

    pub(super) fn entry(&self, key: &str) -> Option<&Entry> {
        self.0.iter().find(|entry| &*entry.key == key)
    }

    /// The value of a key that says something.
    pub(super) fn get(&self, key: &str) -> Option<&Rc<Node>> {
        let entry = self.entry(key)?;
        (!entry.node.is_null()).then_some(&entry.node)
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.get(key)?.as_text()
    }
}
