//! The table of what a change does: complete, and what its page says.

use std::{env, fs};

use cosmos::plan::CHANGES;

const PAGE: &str = "docs/changes.md";

#[test]
fn every_key_of_a_service_has_its_row() {
    let schema = cosmos::config::schema();
    let service = &schema["$defs"]["ServiceTable"]["properties"];
    let keys = service.as_object().expect("the schema has services").keys();
    let left_out: Vec<_> = keys
        .filter(|key| !CHANGES.iter().any(|change| change.key == *key))
        .collect();
    assert!(left_out.is_empty(), "no row for {left_out:?}");
    let unknown: Vec<_> = CHANGES
        .iter()
        .map(|change| change.key)
        .filter(|key| service.get(key.split('.').next().unwrap()).is_none())
        .collect();
    assert!(unknown.is_empty(), "the schema has no {unknown:?}");
}

#[test]
fn the_page_of_changes_is_the_table() {
    let text = fs::read_to_string(PAGE).unwrap();
    let (before, rest) = text.split_once("<!-- table -->\n").expect("a table begins");
    let (_, after) = rest.split_once("<!-- end -->\n").expect("a table ends");
    let table = format!("{before}<!-- table -->\n{}<!-- end -->\n{after}", table());
    if env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(PAGE, table).unwrap();
        return;
    }
    assert_eq!(
        text, table,
        "{PAGE} is stale: run `UPDATE_REFERENCE=1 cargo test --test it changes`"
    );
}

fn table() -> String {
    let rows = CHANGES.iter().map(|change| {
        format!(
            "| `{}` | {} | {} |\n",
            change.key, change.effect, change.when
        )
    });
    let head = "| key of a service | its container is | |\n|---|---|---|\n";
    head.to_owned() + &rows.collect::<String>()
}
