//! The forms that a value of a Compose file can have, each read to what a
//! `cosmos.toml` has for it. What is of no such form is a remark.

use std::{ops::RangeInclusive, rc::Rc};

use super::{
    draft::{Item, Table},
    project::Project,
    tree::{Node, Place, Value, boolean},
    variables::{Unset, default_of, has_variable, translate},
};
use crate::config::units;

impl Project<'_> {
    /// Text, its variables as Cosmos writes them.
    pub(super) fn text(&mut self, key: &str, node: &Node) -> Option<String> {
        let Some(text) = node.as_text() else {
            self.wrong(key, node, "text");
            return None;
        };
        Some(self.translated(key, node.place, text, Unset::Empty))
    }

    /// Text that cannot be empty; a variable in it must be set.
    pub(super) fn filled(&mut self, key: &str, node: &Node, wanted: &str) -> Option<String> {
        let Some(text) = node.as_text() else {
            self.wrong(key, node, wanted);
            return None;
        };
        let text = self.translated(key, node.place, text, Unset::Refused);
        if default_of(&text) == Some("") {
            self.remarks.left_out(
                node.place,
                key,
                format!("`{text}` is empty most of the time, and that is no value here"),
                "add it where the variable is always set",
            );
            return None;
        }
        Some(text)
    }

    fn translated(&mut self, key: &str, place: Place, text: &str, unset: Unset) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let translated = translate(text, unset);
        for lost in translated.lost {
            self.remarks.left_out(
                place,
                key,
                format!("`{lost}` is empty now: there is nothing like it here"),
                "known are ${V:-default}, ${V-default}, ${V:?message} and ${V?message}",
            );
        }
        translated.text
    }

    /// A list of texts; one text is a list of one.
    pub(super) fn texts(&mut self, key: &str, node: &Node) -> Vec<String> {
        let items = node.one_or_many();
        let many = matches!(node.value, Value::List(_));
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            let text = match many {
                true => self.text(&format!("{key}[{index}]"), item),
                false => self.text(key, item),
            };
            texts.extend(text);
        }
        texts
    }

    /// A command: text as it is, or its words.
    pub(super) fn words(&mut self, key: &str, node: &Node) -> Option<Item> {
        match &node.value {
            Value::List(_) => Some(self.texts(key, node).into()),
            _ => {
                let text = self.text(key, node)?;
                // Words of nothing: for Compose, an empty list.
                match text.trim() {
                    "" => Some(Item::List(Vec::new())),
                    text => Some(text.into()),
                }
            }
        }
    }

    /// True or false, or a variable that says so.
    pub(super) fn boolean(&mut self, key: &str, node: &Node) -> Option<Item> {
        let text = self.filled(key, node, "true or false")?;
        if has_variable(&text) {
            return Some(text.into());
        }
        let value = boolean(&text);
        if value.is_none() {
            self.wrong(key, node, "true or false");
        }
        value.map(Item::from)
    }

    /// A whole number, or a variable that is one.
    pub(super) fn integer(
        &mut self,
        key: &str,
        node: &Node,
        range: RangeInclusive<i64>,
    ) -> Option<Item> {
        let wanted = format!("a whole number from {} to {}", range.start(), range.end());
        let text = self.filled(key, node, &wanted)?;
        if has_variable(&text) {
            return Some(text.into());
        }
        let number = text.parse().ok().filter(|number| range.contains(number));
        if number.is_none() {
            self.wrong(key, node, &wanted);
        }
        number.map(Item::Integer)
    }

    /// `1m30s`.
    pub(super) fn duration(&mut self, key: &str, node: &Node) -> Option<Item> {
        let text = self.filled(key, node, units::DURATION)?;
        if has_variable(&text) || units::duration(&text).is_some() {
            return Some(text.into());
        }
        self.wrong(key, node, units::DURATION);
        None
    }

    /// `512m`, or a number of bytes.
    pub(super) fn size(&mut self, key: &str, node: &Node) -> Option<Item> {
        let text = self.filled(key, node, units::SIZE)?;
        if has_variable(&text) || units::size(&text).is_some() {
            return Some(text.into());
        }
        self.wrong(key, node, units::SIZE);
        None
    }

    /// `NAME: value` or `- NAME=value`, each with its place. No value: nothing was said.
    pub(super) fn pairs(&mut self, key: &str, node: &Node) -> Vec<Pair> {
        let mut pairs = Vec::new();
        match &node.value {
            Value::Map(map) => {
                for entry in map.iter() {
                    let key = format!("{key}.{}", entry.key);
                    if let Value::Plain(text) = &entry.node.value
                        && may_be_written_otherwise(text)
                    {
                        self.remarks.changed(
                            entry.place,
                            &key,
                            format!("Compose reads `{text}` as a number, and writes it its own way; here it is as it stands"),
                            "put it into quotes there: then it is the same in both",
                        );
                    }
                    let value = match entry.node.value {
                        Value::Null => None,
                        _ => match self.text(&key, &entry.node) {
                            Some(text) => Some(text),
                            None => continue,
                        },
                    };
                    pairs.push(Pair {
                        name: entry.key.to_string(),
                        value,
                        place: entry.place,
                    });
                }
            }
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    let key = format!("{key}[{index}]");
                    let Some(text) = self.text(&key, item) else {
                        continue;
                    };
                    let (name, value) = match text.split_once('=') {
                        Some((name, value)) => (name, Some(value.to_owned())),
                        None => (text.as_str(), None),
                    };
                    pairs.push(Pair {
                        name: name.to_owned(),
                        value,
                        place: item.place,
                    });
                }
            }
            Value::Null => {}
            _ => self.wrong(key, node, "a mapping, or a list of NAME=value"),
        }
        pairs
    }

    /// Pairs as a table; what has no value is empty.
    pub(super) fn table_of_pairs(&mut self, key: &str, node: &Node) -> Table {
        let mut table = Table::default();
        for pair in self.pairs(key, node) {
            table.push(&pair.name, pair.value.unwrap_or_default());
        }
        table
    }

    /// A list's items with their keys; of anything else, a remark.
    pub(super) fn items<'n>(&mut self, key: &str, node: &'n Node) -> Vec<(String, &'n Rc<Node>)> {
        match &node.value {
            Value::List(items) => {
                let items = items.iter().enumerate();
                items
                    .map(|(index, item)| (format!("{key}[{index}]"), item))
                    .collect()
            }
            Value::Null => Vec::new(),
            _ => {
                self.wrong(key, node, "a list");
                Vec::new()
            }
        }
    }

    /// A path of the Compose file, as the `cosmos.toml` has it.
    pub(super) fn path(&mut self, key: &str, place: Place, path: &str) -> String {
        let starts_with_variable = path.starts_with('$') && !path.starts_with("$$");
        if starts_with_variable && !self.files.is_beside(place.file) {
            self.remarks.changed(
                place,
                key,
                "a path that a variable begins now starts at the folder of the cosmos.toml",
                "make it absolute, or put the cosmos.toml beside the Compose file",
            );
        }
        self.files.relative(place.file, path)
    }

    /// Says that a value is of another form than Compose takes.
    pub(super) fn wrong(&mut self, key: &str, node: &Node, wanted: &str) {
        let found = match &node.value {
            Value::Plain(text) | Value::Quoted(text) if text.len() <= 40 => format!("`{text}`"),
            _ => node.describe().to_owned(),
        };
        self.remarks.left_out(
            node.place,
            key,
            format!("it should be {wanted}, not {found}"),
            "mend it there and convert again, or add it by hand",
        );
    }
}

/// Whether a text is a number that is not in its shortest form: `1.20`, `0x1F`, `007`.
fn may_be_written_otherwise(text: &str) -> bool {
    let digits = text.trim_start_matches(['-', '+']);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return false;
    }
    let is_based = ["0x", "0o", "0b"]
        .iter()
        .any(|base| digits.starts_with(base));
    let is_octal = digits.len() > 1 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let is_octal = is_octal && digits.starts_with('0');
    let is_long = text
        .parse::<f64>()
        .is_ok_and(|number| number.to_string() != text && digits.contains(['.', 'e', 'E']));
    is_based || is_octal || is_long
}

/// A name and what is said of it.
pub(super) struct Pair {
    /// The name.
    pub(super) name: String,
    /// Its value.
    pub(super) value: Option<String>,
    /// Where it stands.
    pub(super) place: Place,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_in_its_shortest_form_is_the_same_in_both() {
        for same in [
            "5", "-1", "1.5", "0", "0.25", "16.8", "1.2.3", "10.0.0.1", "5s", "no", "",
        ] {
            assert!(!may_be_written_otherwise(same), "{same}");
        }
        for other in ["1.20", "1.0", "0x1F", "0o17", "007", "1e3", "+1.50"] {
            assert!(may_be_written_otherwise(other), "{other}");
        }
    }
}
