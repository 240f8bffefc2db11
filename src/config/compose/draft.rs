//! A `cosmos.toml` before it is text: tables in order, with comments.

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Item {
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
pub(super) struct Table(pub(super) Vec<Line>);

/// One key of a table.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Line {
    /// The key.
    pub(super) key: String,
    /// Its value.
    pub(super) item: Item,
    /// A comment above it.
    pub(super) comment: Option<String>,
}

impl Table {
    /// Sets a key; one that is there keeps its place.
    pub(super) fn set(&mut self, key: &str, item: impl Into<Item>) {
        let item = item.into();
        match self.0.iter_mut().find(|line| line.key == key) {
            Some(line) => line.item = item,
            None => self.push(key, item),
        }
    }

    /// Adds a key that is not there.
    pub(super) fn push(&mut self, key: &str, item: impl Into<Item>) {
        self.0.push(Line {
            key: key.to_owned(),
            item: item.into(),
            comment: None,
        });
    }

    pub(super) fn get(&self, key: &str) -> Option<&Item> {
        self.0
            .iter()
            .find(|line| line.key == key)
            .map(|line| &line.item)
    }

    /// Edits the table of a key, made if it is not there.
    pub(super) fn edit(&mut self, key: &str, edit: impl FnOnce(&mut Table)) {
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
    pub(super) fn comment(&mut self, key: &str, comment: &str) {
        if let Some(line) = self.0.iter_mut().find(|line| line.key == key) {
            line.comment = Some(comment.to_owned());
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// A table of the file: `[services.web]`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Section {
    /// `services`, or `network`, which has no name.
    pub(super) kind: &'static str,
    /// `web`.
    pub(super) name: Option<String>,
    /// A comment above it.
    pub(super) comment: Option<String>,
    /// Its keys.
    pub(super) table: Table,
}

/// The whole file.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// The comment at its top.
    pub(super) heading: Vec<String>,
    /// Its tables; those of one kind are written together.
    pub(super) sections: Vec<Section>,
}

impl Draft {
    pub(super) fn add(&mut self, kind: &'static str, name: Option<&str>, table: Table) {
        self.sections.push(Section {
            kind,
            name: name.map(str::to_owned),
            comment: None,
            table,
        });
    }
}
