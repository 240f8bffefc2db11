//! A draft as text that looks as a person would have written it.
//!
//! What fits on a line is on one; longer lists are a line per item, and longer
//! tables have a heading of their own.

use toml_edit::{Array, DocumentMut, Formatted, InlineTable, Value};

use super::draft::{Draft, Item, Line, Section, Table};

/// Longer lines are broken.
const WIDTH: usize = 100;

/// The text of a draft.
pub(in crate::config) fn write(draft: &Draft) -> String {
    let mut document = DocumentMut::new();
    let root = document.as_table_mut();
    root.set_implicit(true);
    for section in &draft.sections {
        let table = table_of(section);
        match &section.name {
            None => {
                root.insert(section.kind, toml_edit::Item::Table(table));
            }
            Some(name) => {
                let kind = root
                    .entry(section.kind)
                    .or_insert_with(|| toml_edit::Item::Table(implicit()));
                if let Some(kind) = kind.as_table_mut() {
                    kind.insert(name, toml_edit::Item::Table(table));
                }
            }
        }
    }
    let heading: String = draft
        .heading
        .iter()
        .map(|line| format!("# {line}\n"))
        .collect();
    // A file of no tables has no blank line to begin with.
    let body = document.to_string();
    match heading.is_empty() {
        true => body.trim_start().to_owned(),
        false if body.is_empty() => heading,
        false => format!("{heading}\n{}", body.trim_start()),
    }
}

fn implicit() -> toml_edit::Table {
    let mut table = toml_edit::Table::new();
    table.set_implicit(true);
    table
}

fn table_of(section: &Section) -> toml_edit::Table {
    let mut table = filled(&section.table);
    let comment = section.comment.as_deref();
    table
        .decor_mut()
        .set_prefix(format!("\n{}", comments(comment)));
    table
}

/// A table with a heading: plain values first, as TOML wants it.
fn filled(from: &Table) -> toml_edit::Table {
    let mut table = toml_edit::Table::new();
    let mut inner = Vec::new();
    for line in &from.0 {
        if let Item::Table(below) = &line.item
            && !fits(line)
        {
            inner.push((line, below));
            continue;
        }
        let mut value = value_of(&line.item);
        if let Item::List(items) = &line.item
            && !fits(line)
        {
            value = broken(items);
        }
        insert(&mut table, line, toml_edit::Item::Value(value));
    }
    for (line, below) in inner {
        let mut below = filled(below);
        let comment = line.comment.as_deref();
        below
            .decor_mut()
            .set_prefix(format!("\n{}", comments(comment)));
        table.insert(&line.key, toml_edit::Item::Table(below));
    }
    table
}

fn insert(table: &mut toml_edit::Table, line: &Line, item: toml_edit::Item) {
    table.insert(&line.key, item);
    if line.comment.is_some()
        && let Some(mut key) = table.key_mut(&line.key)
    {
        key.leaf_decor_mut()
            .set_prefix(comments(line.comment.as_deref()));
    }
}

fn comments(comment: Option<&str>) -> String {
    let lines = comment.unwrap_or_default().lines();
    lines.map(|line| format!("# {line}\n")).collect()
}

/// Whether `key = value` is one line of a decent length.
fn fits(line: &Line) -> bool {
    let has_breaks = holds_break(&line.item);
    !has_breaks && line.key.len() + 3 + value_of(&line.item).to_string().len() <= WIDTH
}

fn holds_break(item: &Item) -> bool {
    match item {
        Item::Text(text) => text.contains('\n'),
        Item::List(items) => items.iter().any(holds_break),
        Item::Table(table) => table.0.iter().any(|line| holds_break(&line.item)),
        _ => false,
    }
}

fn value_of(item: &Item) -> Value {
    match item {
        Item::Text(text) => text.as_str().into(),
        Item::Integer(number) => (*number).into(),
        Item::Mode(bits) => {
            // The one way to get octal digits.
            let octal = format!("0o{bits:o}");
            octal.parse().unwrap_or_else(|_| (*bits).into())
        }
        Item::Float(number) => Value::Float(Formatted::new(*number)),
        Item::Boolean(value) => (*value).into(),
        Item::List(items) => Value::Array(items.iter().map(value_of).collect::<Array>()),
        Item::Table(table) => {
            let mut inline = InlineTable::new();
            for line in &table.0 {
                inline.insert(&line.key, value_of(&line.item));
            }
            Value::InlineTable(inline)
        }
    }
}

/// A list with a line for each item.
fn broken(items: &[Item]) -> Value {
    let mut array = Array::new();
    for item in items {
        let mut value = value_of(item);
        value.decor_mut().set_prefix("\n    ");
        array.push_formatted(value);
    }
    array.set_trailing("\n");
    array.set_trailing_comma(true);
    Value::Array(array)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(lines: &[(&str, Item)]) -> Table {
        let mut table = Table::default();
        for (key, item) in lines {
            table.push(key, item.clone());
        }
        table
    }

    #[test]
    fn a_draft_is_written_as_a_person_would() {
        let long = "x".repeat(70);
        let mut web = table(&[
            ("image", "nginx".into()),
            (
                "env",
                table(&[("A", "1".into()), ("B c", "it's \"x\"".into())]).into(),
            ),
            ("ports", vec!["80".to_owned(), "81".to_owned()].into()),
            ("mounts", vec![long.clone(), long.clone()].into()),
            (
                "labels",
                table(&[("a.b", long.clone().into()), ("c", long.into())]).into(),
            ),
            (
                "command",
                vec!["sh".to_owned(), "-c".to_owned(), "a\nb".to_owned()].into(),
            ),
            (
                "configs",
                table(&[("./a", table(&[("mode", Item::Mode(0o440))]).into())]).into(),
            ),
            ("cpus", Item::Float(1.5)),
        ]);
        web.comment("ports", "why\nso");
        let mut draft = Draft {
            heading: vec!["From compose.yaml.".to_owned()],
            sections: Vec::new(),
        };
        draft.add("network", None, table(&[("isolated", true.into())]));
        draft.add("services", Some("web"), web);
        draft.add("services", Some("db"), table(&[("image", "a".into())]));
        insta::assert_snapshot!(write(&draft));
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_back_as_it_was(text in "[\\PC\n\t\"'\\\\#]{0,40}", key in "\\PC{1,10}") {
            let mut draft = Draft::default();
            draft.add("services", Some("web"), table(&[
                (key.as_str(), text.as_str().into()),
                ("list of", vec![text.clone(), text.repeat(20)].into()),
            ]));
            let written = write(&draft);
            let read: toml::Value = toml::from_str(&written).unwrap();
            let web = &read["services"]["web"];
            proptest::prop_assert_eq!(web["list of"][0].as_str(), Some(text.as_str()));
            proptest::prop_assert_eq!(web[key.as_str()].as_str(), Some(text.as_str()));
        }
    }
}
