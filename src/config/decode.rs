//! A config tree with places, and how it becomes typed values.
//!
//! Serde stops at the first error. Here each error names its path, the value at
//! that path is set aside, and decoding goes on: so all errors are found, by the
//! same `Deserialize` that makes the schema, and one wrong value costs no other.

use indexmap::IndexMap;
use serde::{
    Deserializer,
    de::{
        DeserializeOwned, DeserializeSeed, EnumAccess, Error as _, Expected, MapAccess, SeqAccess,
        Unexpected, VariantAccess, Visitor, value::StrDeserializer,
    },
    forward_to_deserialize_any,
};

/// One value of a config.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// Text.
    Text(String),
    /// Text from outside any file, which takes the type its key wants.
    Loose(String),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// `true` or `false`.
    Boolean(bool),
    /// A list.
    List(Vec<Node>),
    /// A table, in the order it was written.
    Table(IndexMap<String, Node>),
    /// Wrong, reported and set aside.
    Refused,
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        match self {
            Self::Table(entries) => entries.get(key),
            _ => None,
        }
    }

    /// Whether a value of this table was refused.
    pub(super) fn has_refused(&self) -> bool {
        matches!(self, Self::Table(entries) if entries.values().any(|value| *value == Self::Refused))
    }

    fn at_mut(&mut self, path: &[Segment]) -> Option<&mut Node> {
        path.iter()
            .try_fold(self, |node, segment| match (node, segment) {
                (Self::Table(entries), Segment::Key(key)) => entries.get_mut(key),
                (Self::List(items), Segment::Index(index)) => items.get_mut(*index),
                _ => None,
            })
    }

    /// How many values it has, with itself.
    fn size(&self) -> usize {
        match self {
            Self::List(items) => 1 + items.iter().map(Self::size).sum::<usize>(),
            Self::Table(entries) => 1 + entries.values().map(Self::size).sum::<usize>(),
            _ => 1,
        }
    }

    /// What it is, in words.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::Loose(_) => UNSAID.to_owned(),
            Self::Text(text) => match text.chars().count() {
                0 => "empty text".to_owned(),
                1..=40 => format!("the text \"{}\"", text.escape_debug()),
                _ => "text".to_owned(),
            },
            Self::Integer(number) => format!("the number {number}"),
            Self::Float(number) => format!("the number {number}"),
            Self::Boolean(value) => format!("`{value}`"),
            Self::List(_) => "a list".to_owned(),
            Self::Table(_) => "a table".to_owned(),
            Self::Refused => "a refused value".to_owned(),
        }
    }
}

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Segment {
    /// Into a table.
    Key(String),
    /// Into a list.
    Index(usize),
}

/// `services.web.mounts[0]`; a key that is not bare is quoted, as in TOML.
pub(super) fn path_text(path: &[Segment]) -> String {
    path.iter()
        .fold(String::new(), |text, segment| match segment {
            Segment::Key(key) => join(&text, key),
            Segment::Index(index) => format!("{text}[{index}]"),
        })
}

/// The steps of a path as [`path_text`] writes it. What is none is a key, too.
pub(super) fn segments(path: &str) -> Vec<Segment> {
    let mut segments = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut key = String::new();
            let mut letters = quoted.char_indices();
            let mut end = quoted.len();
            while let Some((at, letter)) = letters.next() {
                match letter {
                    '"' => {
                        end = at + 1;
                        break;
                    }
                    '\\' => key.extend(letters.next().map(|(_, letter)| letter)),
                    letter => key.push(letter),
                }
            }
            segments.push(Segment::Key(key));
            rest = &quoted[end..];
        } else if let Some((index, after)) = index(rest) {
            segments.push(Segment::Index(index));
            rest = after;
        } else {
            // A bracket that is no index is part of the key.
            let end = rest
                .char_indices()
                .skip(1)
                .find(|(_, letter)| matches!(letter, '.' | '['))
                .map_or(rest.len(), |(at, _)| at);
            segments.push(Segment::Key(rest[..end].to_owned()));
            rest = &rest[end..];
        }
        rest = rest.strip_prefix('.').unwrap_or(rest);
    }
    segments
}

/// The number in `[0]`, and what comes after it.
fn index(text: &str) -> Option<(usize, &str)> {
    let (number, after) = text.strip_prefix('[')?.split_once(']')?;
    Some((number.parse().ok()?, after))
}

/// The path of a key in the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    let is_bare = !key.is_empty()
        && key
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    let dot = if path.is_empty() { "" } else { "." };
    if is_bare {
        [path, dot, key].concat()
    } else {
        format!(
            "{path}{dot}\"{}\"",
            key.replace('\\', "\\\\").replace('"', "\\\"")
        )
    }
}

/// Why a value was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Why {
    /// No such key.
    UnknownKey {
        /// What was written.
        key: String,
        /// What could have been.
        known: &'static [&'static str],
    },
    /// A key that must be there.
    Missing(&'static str),
    /// None of a list of words.
    UnknownWord {
        /// What was written.
        word: String,
        /// What could have been.
        known: &'static [&'static str],
    },
    /// Another kind of value.
    Type {
        /// In words.
        expected: String,
        /// In words.
        found: String,
    },
    /// Anything else.
    Other(String),
}

/// A refused value and its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) path: Vec<Segment>,
    pub(super) why: Why,
}

/// Decodes the value at `path`, as far as it goes: what cannot be decoded is
/// replaced by [`Node::Refused`] in the tree and reported to `refused`.
///
/// Returns `None` only if nothing of it could be decoded.
pub(super) fn decode<T: DeserializeOwned>(
    node: &mut Node,
    path: &[Segment],
    refused: &mut dyn FnMut(Refusal),
) -> Option<T> {
    let most = (MOST_WORK / node.size().max(1)).clamp(2, MOST_REFUSALS);
    for _ in 0..most {
        let failure = match T::deserialize(Reader(node)) {
            Ok(value) => return Some(value),
            Err(failure) => *failure.0,
        };
        let FailureAt { path: inner, why } = failure;
        let mut inner: Vec<Segment> = inner.into_iter().rev().collect();
        if let Why::UnknownKey { key, .. } = &why {
            inner.push(Segment::Key(key.clone()));
        }
        let mut is_known = false;
        let progress = match node.at_mut(&inner) {
            Some(place) if *place != Node::Refused && !inner.is_empty() => {
                // A key that was refused is missing, but that has been said.
                is_known =
                    matches!(why, Why::Missing(key) if place.get(key) == Some(&Node::Refused));
                *place = Node::Refused;
                true
            }
            _ => false,
        };
        if !is_known {
            refused(Refusal {
                path: path.iter().cloned().chain(inner).collect(),
                why,
            });
        }
        if !progress {
            break;
        }
    }
    *node = Node::Refused;
    None
}

/// Each refusal decodes the table once more: nobody mends more in one table
/// before trying again.
const MOST_REFUSALS: usize = 64;

/// In values read: a table that people write can be refused the most often, a
/// hostile one of a megabyte twice.
const MOST_WORK: usize = 50_000;

/// Boxed: a `Result` that carries it stays small.
#[derive(Debug)]
struct Failure(Box<FailureAt>);

#[derive(Debug)]
struct FailureAt {
    /// From the inside out.
    path: Vec<Segment>,
    why: Why,
}

impl Failure {
    fn new(why: Why) -> Self {
        Self(Box::new(FailureAt {
            path: Vec::new(),
            why,
        }))
    }

    fn under(mut self, segment: Segment) -> Self {
        self.0.path.push(segment);
        self
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0.why)
    }
}

impl std::error::Error for Failure {}

impl serde::de::Error for Failure {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new(Why::Other(message.to_string()))
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Why::Type {
            expected: plain_words(&expected.to_string()),
            found: match unexpected {
                Unexpected::Bool(value) => Node::Boolean(value),
                Unexpected::Unsigned(number) => {
                    Node::Integer(i64::try_from(number).unwrap_or(i64::MAX))
                }
                Unexpected::Signed(number) => Node::Integer(number),
                Unexpected::Float(number) => Node::Float(number),
                Unexpected::Str(text) => Node::Text(text.to_owned()),
                Unexpected::Map => Node::Table(IndexMap::new()),
                _ => Node::List(Vec::new()),
            }
            .describe(),
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::invalid_type(unexpected, expected)
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Why::UnknownWord {
            word: variant.to_owned(),
            known: expected,
        })
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Why::UnknownKey {
            key: field.to_owned(),
            known: expected,
        })
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new(Why::Missing(field))
    }
}

/// Serde's word for what it wanted, in ours.
fn plain_words(expected: &str) -> String {
    let whole = |least: i128, most: i128| format!("a whole number from {least} to {most}");
    match expected {
        "u8" => whole(0, u8::MAX.into()),
        "u16" => whole(0, u16::MAX.into()),
        "u32" | "u64" => "a whole number, 0 or more".to_owned(),
        "i64" | "i32" => "a whole number".to_owned(),
        "f64" => "a number".to_owned(),
        "a string" | "string" => "text in quotes".to_owned(),
        "a boolean" => "`true` or `false`".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        other if other.starts_with("struct ") => "a table".to_owned(),
        other => other.to_owned(),
    }
}

/// A value that came out of a variable can be a secret: it is not repeated.
fn without_value(mut failure: Failure) -> Failure {
    let found = UNSAID.to_owned();
    match &mut failure.0.why {
        Why::Type { found: value, .. } => *value = found,
        Why::UnknownWord { known, .. } => {
            failure.0.why = Why::Type {
                expected: super::diagnostics::one_of(known.iter().copied()),
                found,
            };
        }
        _ => {}
    }
    failure
}

pub(super) const UNSAID: &str = "this text";

#[derive(Clone, Copy)]
struct Reader<'de>(&'de Node);

impl<'de> Reader<'de> {
    fn wrong(self, expected: &str) -> Failure {
        Failure::new(Why::Type {
            expected: plain_words(expected),
            found: self.0.describe(),
        })
    }
}

/// Numbers and booleans from outside a file arrive as text.
macro_rules! loose {
    ($($method:ident => $visit:ident: $type:ty),* $(,)?) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            match self.0 {
                Node::Loose(text) => match text.parse::<$type>() {
                    Ok(value) => visitor.$visit(value).map_err(without_value),
                    Err(_) => Err(self.wrong(&(&visitor as &dyn Expected).to_string())),
                },
                _ => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'de> {
    type Error = Failure;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Text(text) => visitor.visit_str(text),
            Node::Loose(text) => visitor.visit_str(text).map_err(without_value),
            Node::Integer(number) => match u64::try_from(*number) {
                Ok(number) => visitor.visit_u64(number),
                Err(_) => visitor.visit_i64(*number),
            },
            Node::Float(number) => visitor.visit_f64(*number),
            Node::Boolean(value) => visitor.visit_bool(*value),
            Node::List(items) => visitor.visit_seq(Items { items, next: 0 }),
            Node::Table(entries) => visitor.visit_map(Entries {
                entries: entries.iter(),
                value: None,
            }),
            Node::Refused => Err(Failure::custom("refused before")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Refused => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        match self.0 {
            Node::Text(word) => visitor.visit_enum(Word(word)),
            Node::Loose(word) => visitor.visit_enum(Word(word)).map_err(without_value),
            _ => Err(self.wrong(&super::diagnostics::one_of(variants.iter().copied()))),
        }
    }

    loose! {
        deserialize_bool => visit_bool: bool,
        deserialize_u8 => visit_u64: u64,
        deserialize_u16 => visit_u64: u64,
        deserialize_u32 => visit_u64: u64,
        deserialize_u64 => visit_u64: u64,
        deserialize_i64 => visit_i64: i64,
        deserialize_f64 => visit_f64: f64,
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char str string bytes byte_buf unit unit_struct
        seq tuple tuple_struct map struct identifier ignored_any
    }
}

/// A word that names a variant.
struct Word<'de>(&'de str);

impl<'de> EnumAccess<'de> for Word<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Failure> {
        let variant = seed.deserialize(StrDeserializer::<Failure>::new(self.0))?;
        Ok((variant, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _: T) -> Result<T::Value, Failure> {
        Err(Failure::custom("a word with a value is not written here"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, _: V) -> Result<V::Value, Failure> {
        Err(Failure::custom("a word with values is not written here"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Failure> {
        Err(Failure::custom("a word with a table is not written here"))
    }
}

struct Items<'de> {
    items: &'de [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Failure> {
        if let Some(item) = self.items.get(self.next) {
            let index = self.next;
            self.next += 1;
            return seed
                .deserialize(Reader(item))
                .map(Some)
                .map_err(|failure| failure.under(Segment::Index(index)));
        }
        Ok(None)
    }
}

struct Entries<'de> {
    entries: indexmap::map::Iter<'de, String, Node>,
    value: Option<(&'de str, &'de Node)>,
}

impl<'de> MapAccess<'de> for Entries<'de> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Failure> {
        let Some((key, value)) = self.entries.find(|(_, value)| **value != Node::Refused) else {
            return Ok(None);
        };
        self.value = Some((key, value));
        seed.deserialize(StrDeserializer::<Failure>::new(key))
            .map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some((key, value)) = self.value.take() else {
            return Err(Failure::custom("a value before its key"));
        };
        seed.deserialize(Reader(value))
            .map_err(|failure| failure.under(Segment::Key(key.to_owned())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        #[test]
        fn a_path_is_read_as_it_was_written(
            keys in proptest::collection::vec("[a-z.\"\\\\\\[\\]é0-9 -]{0,6}", 1..5),
            indexed in proptest::prelude::any::<bool>(),
        ) {
            let mut path: Vec<Segment> = keys.into_iter().map(Segment::Key).collect();
            if indexed {
                path.push(Segment::Index(7));
            }
            proptest::prop_assert_eq!(segments(&path_text(&path)), path);
        }

        #[test]
        fn any_text_is_read_as_a_path(text in ".{0,20}") {
            let _ = segments(&text);
        }
    }
}
