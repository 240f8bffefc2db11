//! The JSON Schema, judged by somebody else's validator, on every fixture.

use std::{collections::BTreeSet, fs, path::Path};

use serde_json::{Map, Value};

/// Fixtures that are written right and mean nothing: no schema can see that.
const ONLY_MEANING: &[&str] = &[
    "command-both",
    "command-exec-with-settings",
    "command-inputs-outside",
    "command-nowhere",
    "command-quotes",
    "command-unknown-service",
    "configs",
    "configs-same-target",
    "depends-on-circle",
    "depends-on-circle-through-exec",
    "depends-on-itself",
    "depends-on-off",
    "depends-on-off-through-command",
    "depends-on-two-circles",
    "depends-on-unknown",
    "depends-on-wrong-condition",
    "env-file-broken",
    "env-file-missing",
    "env-file-names",
    "env-list-names",
    "env-list-not-set",
    "env-names",
    "health-empty-texts",
    "health-no-port",
    "health-nothing",
    "health-port-with-tcp",
    "health-two",
    "image-bad-reference",
    "image-both",
    "image-dockerfile-outside",
    "image-from-nowhere",
    "image-missing",
    "image-no-context",
    "image-no-dockerfile",
    "image-pull-of-a-build",
    "image-references",
    "mount-bad-forms",
    "mount-missing-source",
    "mount-modes",
    "mount-same-target",
    "name-differs-in-case",
    "name-empty",
    "name-of-a-command",
    "name-of-a-network",
    "name-of-a-route",
    "name-of-a-secret",
    "name-of-a-volume",
    "name-of-an-image",
    "name-service",
    "name-service-and-command",
    "name-too-long",
    "name-workspace",
    "network",
    "network-bits",
    "network-gateway-alone",
    "network-gateway-outside",
    "port-clash",
    "port-clash-after-a-wrong-one",
    "port-clash-of-a-command",
    "port-clash-of-every-address",
    "port-clash-replicas",
    "replicas-none",
    "replicas-too-many",
    "resources",
    "route-bad-host",
    "route-ca",
    "route-clash",
    "route-clash-with-outside",
    "route-outside",
    "route-reserved-host",
    "route-two-defaults",
    "route-upstreams",
    "secret-from-two",
    "secret-not-there",
    "secret-sources",
    "secret-unknown",
    "secret-used-twice-once-wrong",
    "shm-size-none",
    "unicode-before-the-place",
    "variable-bad-form",
    "variable-in-a-default",
    "variable-in-every-place",
    "variable-in-long-text",
    "variable-names",
    "variable-not-closed",
    "variable-not-set",
    "variable-of-wrong-type",
    "variable-says-what-to-do",
    "variable-with-escapes",
    "volume-external-with-driver",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn validator() -> jsonschema::Validator {
    let schema = fs::read_to_string(root().join("schemas/cosmos.schema.json")).unwrap();
    jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap()
}

/// The fixtures of a kind that are TOML, by name. A layer alone is no fixture.
fn fixtures(kind: &str) -> Vec<(String, Value)> {
    let folder = root().join("tests/fixtures/config").join(kind);
    let mut fixtures = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(".toml") else {
            continue;
        };
        let is_layered = path.with_file_name(format!("{name}.local.toml")).exists();
        if name.ends_with(".local") || is_layered {
            continue;
        }
        let text = String::from_utf8(fs::read(&path).unwrap()).unwrap_or_else(|_| "=".to_owned());
        let text = text.trim_start_matches('\u{feff}');
        if let Ok(table) = text.parse::<toml::Table>() {
            fixtures.push((name.to_owned(), json(&toml::Value::Table(table))));
        }
    }
    fixtures.sort_by(|one, other| one.0.cmp(&other.0));
    assert!(fixtures.len() > 50);
    fixtures
}

/// As editors see it: a date is a text there, and what is no number is nothing.
fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => text.as_str().into(),
        toml::Value::Integer(number) => (*number).into(),
        toml::Value::Float(number) => (*number).into(),
        toml::Value::Boolean(value) => (*value).into(),
        toml::Value::Datetime(date) => date.to_string().into(),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => {
            let entries = table.iter().map(|(key, value)| (key.clone(), json(value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

#[test]
fn every_valid_file_has_the_form_that_the_schema_says() {
    let validator = validator();
    for (name, file) in fixtures("valid") {
        let errors: Vec<String> = validator
            .iter_errors(&file)
            .map(|error| format!("{} at {}", error, error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{name}: {errors:#?}");
    }
}

#[test]
fn an_invalid_file_has_another_form_or_is_in_the_list() {
    let validator = validator();
    let accepted: BTreeSet<String> = fixtures("invalid")
        .into_iter()
        .filter(|(_, file)| validator.is_valid(file))
        .map(|(name, _)| name)
        .collect();
    let listed: BTreeSet<String> = ONLY_MEANING.iter().map(|&name| name.to_owned()).collect();
    let missing: Vec<_> = accepted.difference(&listed).collect();
    let stale: Vec<_> = listed.difference(&accepted).collect();
    assert!(
        missing.is_empty(),
        "the schema accepts {missing:#?}: does it miss something, or do they belong into the list?"
    );
    assert!(
        stale.is_empty(),
        "the schema refuses {stale:#?}, or they are no fixtures any more: take them out of the list"
    );
}

#[test]
fn the_example_has_the_form_that_the_schema_says() {
    let text = fs::read_to_string(root().join("cosmos.toml.example")).unwrap();
    let table: toml::Table = text.parse().unwrap();
    assert!(validator().is_valid(&json(&toml::Value::Table(table))));
}
