//! Every key of `cosmos.toml`, from the file to what the engine then has.
//!
//! A [`Row`] says where a key's value is found in what the engine tells of a
//! container. [`coverage`] holds the rows, and the tests that stand elsewhere,
//! against the JSON Schema: a key that nothing tries fails a test.

mod changes;
mod container;
mod coverage;
mod files;
mod networks;
mod workspace;

use serde_json::Value;

use super::workspace::support::{Place, docker};

/// A key, and what `docker inspect` then says at a JSON pointer.
struct Row {
    key: &'static str,
    at: &'static str,
    is: Value,
}

/// A row of a table.
fn row(key: &'static str, at: &'static str, is: impl Into<Value>) -> Row {
    let is = is.into();
    Row { key, at, is }
}

/// What the engine tells of a container, a network or a volume.
fn inspected(kind: &str, name: &str) -> Value {
    let text = docker(&["inspect", "--type", kind, "--format", "{{json .}}", name]);
    serde_json::from_str(&text).unwrap()
}

/// Each row is so, and all that are not are told at once.
#[track_caller]
fn holds(told: &Value, rows: &[Row]) {
    let wrong: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let found = told.pointer(row.at).unwrap_or(&Value::Null);
            (*found != row.is)
                .then(|| format!("{}: {} is {found}, not {}", row.key, row.at, row.is))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The same keys in a service and in a command: what both can have is read in one place.
fn service_and_command(keys: &str, body: &str) -> Place {
    let place = Place::new(&format!(
        "{body}\n\
         [services.it]\n{keys}\ncommand = [\"sleep\", \"1000\"]\ndepends_on = {{ once = \"completed\" }}\n\
         [commands.once]\n{keys}\nrun = [\"true\"]\n"
    ));
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    place
}

/// What the engine tells of the two containers of [`service_and_command`].
fn both(place: &Place) -> [Value; 2] {
    [
        inspected("container", &place.container("it")),
        inspected("container", &format!("{}-once", place.name)),
    ]
}
