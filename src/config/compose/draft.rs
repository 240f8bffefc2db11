//! A `cosmos.toml` before it is text: tables in order, with comments.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) enum Item {
    /// Text.
    Text(String),
    /// A whole number.
    Integer(i64),
    /// Permission bits, written in octal.
    Mode(i64),
    /// A number with a point.
    Float(f64),
    /// True or false.
    Boolean(bool),
    /// A list.
    List(Vec<Item>),
    /// A table.
    Table(Table),
}

impl From<&str> for Item {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Item {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<bool> for Item {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<i64> for Item {
    fn from(number: i64) -> Self {
        Self::Integer(number)
    }
}

impl From<Vec<String>> for Item {
    fn from(texts: Vec<String>) -> Self {
        Self::List(texts.into_iter().map(Self::Text).collect())
    }
}

impl From<Vec<Item>> for Item {
    fn from(items: Vec<Item>) -> Self {
        Self::List(items)
    }
}

impl From<Table> for Item {
    fn from(table: Table) -> Self {
        Self::Table(table)
    }
}

/// Keys and values in order.
#[derive(Debug, Clone, Default, PartialEq)]
pub(in crate::config) struct Table(pub(super) Vec<Line>);

/// One key of a table.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct Line {
    /// The key.
    pub(in crate::config) key: String,
    /// Its value.
    pub(in crate::config) item: Item,
    /// A comment above it.
    pub(in crate::config) comment: Option<String>,
}

impl Table {
    /// Sets a key; one that is there keeps its place.
    pub(in crate::config) fn set(&mut self, key: &str, item: impl Into<Item>) {
        let item = item.into();
        match self.0.iter_mut().find(|line| line.key == key) {
            Some(line) => line.item = item,
            None => self.push(key, item),
        }
    }

    /// Adds a key that is not there.
    pub(in crate::config) fn push(&mut self, key: &str, item: impl Into<Item>) {
        self.0.push(Line {
            key: key.to_owned(),
            item: item.into(),
            comment: None,
        });
    }

    pub(in crate::config) fn get(&self, key: &str) -> Option<&Item> {
        self.0
            .iter()
            .find(|line| line.key == key)
            .map(|line| &line.item)
    }

    /// Edits the table of a key, made if it is not there.
    pub(in crate::config) fn edit(&mut self, key: &str, edit: impl FnOnce(&mut Table)) {
        let mut table = match self.take(key) {
            Some(Item::Table(table)) => table,
            _ => Self::default(),
        };
        edit(&mut table);
        self.set(key, table);
    }

    /// Takes a value out; its key keeps its place.
    fn take(&mut self, key: &str) -> Option<Item> {
        let line = self.0.iter_mut().find(|line| line.key == key)?;
        Some(std::mem::replace(&mut line.item, Item::Boolean(false)))
    }

    /// Says why a key is as it is.
    pub(in crate::config) fn comment(&mut self, key: &str, comment: &str) {
        if let Some(line) = self.0.iter_mut().find(|line| line.key == key) {
            line.comment = Some(comment.to_owned());
        }
    }

    pub(in crate::config) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A table of the file: `[services.web]`.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::config) struct Section {
    /// `services`, or `network`, which has no name.
    pub(in crate::config) kind: &'static str,
    /// `web`.
    pub(in crate::config) name: Option<String>,
    /// A comment above it.
    pub(in crate::config) comment: Option<String>,
    /// Its keys.
    pub(in crate::config) table: Table,
}

/// The whole file.
#[derive(Debug, Default)]
pub(in crate::config) struct Draft {
    /// The comment at its top.
    pub(in crate::config) heading: Vec<String>,
    /// Its tables; those of one kind are written together.
    pub(in crate::config) sections: Vec<Section>,
}

impl Draft {
    pub(in crate::config) fn add(&mut self, kind: &'static str, name: Option<&str>, table: Table) {
        self.sections.push(Section {
            kind,
            name: name.map(str::to_owned),
            comment: None,
            table,
        });
    }
}
