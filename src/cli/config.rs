//! `cosmos config`: what the config means, and who said so.
//!
//! As TOML it has the names and the short forms of `cosmos.toml`, with every
//! value absolute; what is empty, false or nothing is left out. As JSON it is
//! the workspace that is sent to the server, under a schema version. What is
//! secret is in neither.

use std::process::ExitCode;

use serde_json::{Map, Value};
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table};

use super::{
    args::{Config as Args, Global},
    context,
    error::Failure,
    ui::{out, outln},
};
use crate::config::{Explanation, KeyState, LayerKind, Said, SecretReading};

pub(super) fn run(global: &Global, args: &Args) -> Result<ExitCode, Failure> {
    let sources = context::sources(global, &args.project, SecretReading::None)?;
    let loaded = context::load_from(&sources)?;
    if let Some(key) = &args.explain {
        let explanation = loaded.explain(key).map_err(|unknown| {
            let hint = match &unknown.meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None if unknown.known.is_empty() => "it has no keys".to_owned(),
                None => format!("there are {}", unknown.known.join(", ")),
            };
            Failure::usage(unknown.to_string()).hinted(hint)
        })?;
        if args.json {
            let mut json = serde_json::to_value(&explanation).unwrap_or_default();
            json["schema"] = 1.into();
            outln!("{json}");
        } else {
            out!("{}", explained(&explanation));
        }
    } else if args.json {
        let json = serde_json::json!({ "schema": 1, "workspace": loaded.shown() });
        outln!(
            "{}",
            serde_json::to_string_pretty(&json).unwrap_or_default()
        );
    } else {
        out!("{}", toml_of(&loaded.shown()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The answer in words: who counts first, then whom that overrode.
fn explained(explanation: &Explanation) -> String {
    let key = &explanation.key;
    let mut lines = vec![match (explanation.state, explanation.said.first()) {
        (KeyState::Value, Some(first)) => format!("{key} = {}", first.text),
        (KeyState::Table, _) => format!("{key} is a table"),
        (KeyState::Replaced, _) => {
            format!("{key} is not set: a later layer replaces what it is in")
        }
        (KeyState::Default | KeyState::Value, _) => {
            format!("{key} is said nowhere: the built-in default holds")
        }
    }];
    for (number, said) in explanation.said.iter().enumerate() {
        let how = match explanation.state {
            KeyState::Table => "has it",
            KeyState::Value if number == 0 => "sets it",
            _ => "is overridden",
        };
        let text = match explanation.state {
            KeyState::Value if number > 0 => format!(": {}", said.text),
            _ => String::new(),
        };
        lines.push(format!("  {} {how}{text}", place(said)));
    }
    if !explanation.keys.is_empty() {
        lines.push(format!("  keys: {}", explanation.keys.join(", ")));
    }
    lines.extend(explanation.doc.iter().map(|doc| format!("  {doc}")));
    lines.join("\n") + "\n"
}

fn place(said: &Said) -> String {
    let at = &said.location;
    match said.layer {
        LayerKind::Default => "the built-in default".to_owned(),
        LayerKind::Environment => match &said.variable {
            Some(variable) => format!("the variable {variable}"),
            None => "the environment".to_owned(),
        },
        LayerKind::Flag => "the command line".to_owned(),
        _ => format!("{}:{}:{}", at.file, at.line, at.column),
    }
}

/// The workspace in the words of `cosmos.toml`.
fn toml_of(workspace: &Value) -> String {
    let mut document = DocumentMut::new();
    for (key, value) in workspace.as_object().into_iter().flatten() {
        let Value::Object(entries) = value else {
            continue;
        };
        match key.as_str() {
            "origins" => {}
            "identity" => add(document.as_table_mut(), "workspace", entries),
            "services" | "commands" | "routes" | "volumes" | "networks" => {
                let mut all = Table::new();
                all.set_implicit(true);
                for (name, entry) in entries {
                    if let Value::Object(entry) = entry {
                        add(&mut all, name, entry);
                    }
                }
                document.insert(key, Item::Table(all));
            }
            key => add(document.as_table_mut(), key, entries),
        }
    }
    document.to_string().trim_start().to_owned()
}

fn add(parent: &mut Table, name: &str, entries: &Map<String, Value>) {
    let mut table = Table::new();
    for (key, value) in flat(entries) {
        if let Some(value) = toml_value(&value) {
            table.insert(&key, Item::Value(value));
        }
    }
    parent.insert(name, Item::Table(table));
}

/// The keys of a service or command with those of its container among them, the
/// image first, and each in its short form.
fn flat(entries: &Map<String, Value>) -> Vec<(String, Value)> {
    let mut flat_entries = Vec::new();
    for (key, value) in entries {
        match (key.as_str(), value) {
            ("container" | "kind" | "exec" | "network", Value::Object(inside)) => {
                flat_entries.splice(0..0, flat(inside));
            }
            _ => flat_entries.extend(short(key, value)),
        }
    }
    flat_entries
}

/// A key in the form that people write, if it has another on the wire.
fn short(key: &str, value: &Value) -> Vec<(String, Value)> {
    let one = |key: &str, value: Value| vec![(key.to_owned(), value)];
    match key {
        "image" if value.is_object() => {
            let pulled = &value["pulled"];
            let built = &value["built"];
            if pulled.is_object() {
                return vec![
                    ("image".to_owned(), pulled["reference"].clone()),
                    ("pull".to_owned(), pulled["policy"].clone()),
                ];
            }
            vec![
                ("image".to_owned(), built["tag"].clone()),
                ("build".to_owned(), built["build"].clone()),
            ]
        }
        "mounts" => one(key, each(value, mount)),
        "ports" => one(key, each(value, port)),
        "files" => one("configs", by_target(value)),
        "run" if value.is_object() => one(key, value["state"].clone()),
        "health" if value.is_object() => one(key, health(value)),
        "resources" if value.is_object() => one(key, resources(value)),
        "stop_grace" | "interval" | "timeout" | "start_period" => {
            one(key, value.as_u64().map_or(value.clone(), milliseconds))
        }
        "shm_size" => one(key, value.as_u64().map_or(value.clone(), bytes)),
        _ => one(key, value.clone()),
    }
}

fn each(list: &Value, form: impl Fn(&Value) -> Value) -> Value {
    list.as_array()
        .map_or(list.clone(), |items| items.iter().map(form).collect())
}

fn mount(mount: &Value) -> Value {
    let source = ["volume", "host"]
        .iter()
        .find_map(|kind| mount["source"][kind].as_str());
    let target = mount["target"].as_str().unwrap_or_default();
    let source = source
        .map(|source| format!("{source}:"))
        .unwrap_or_default();
    let mode = if mount["read_only"] == true {
        ":ro"
    } else {
        ""
    };
    format!("{source}{target}{mode}").into()
}

fn port(port: &Value) -> Value {
    let address = port["address"].as_str().unwrap_or_default();
    let address = if address.contains(':') {
        format!("[{address}]")
    } else {
        address.to_owned()
    };
    let host = port["host"].as_u64().map(|host| host.to_string());
    let container = &port["container"];
    let transport = port["transport"].as_str().unwrap_or("tcp");
    format!(
        "{address}:{}:{container}/{transport}",
        host.unwrap_or_default()
    )
    .into()
}

/// Files by their place in the container: of the content, the digest.
fn by_target(files: &Value) -> Value {
    let mut table = Map::new();
    for file in files.as_array().into_iter().flatten() {
        let mut entry = file.as_object().cloned().unwrap_or_default();
        let target = entry.remove("target");
        if let Some(mode) = entry.get("mode").and_then(Value::as_u64) {
            entry.insert("mode".to_owned(), format!("{mode:04o}").into());
        }
        let target = target.as_ref().and_then(Value::as_str).unwrap_or_default();
        table.insert(target.to_owned(), Value::Object(entry));
    }
    Value::Object(table)
}

fn health(health: &Value) -> Value {
    let mut table = Map::new();
    for (key, value) in health.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            // `{ tcp = { port = 80 } }` is written `tcp = 80`.
            ("probe", Value::Object(probe)) => {
                for (kind, probe) in probe {
                    let keys = ["path", "run", "contains", "port"];
                    let what = keys.iter().find(|key| !probe[**key].is_null());
                    table.insert(
                        kind.clone(),
                        what.map_or(probe.clone(), |key| probe[*key].clone()),
                    );
                    if kind == "http" {
                        table.insert("port".to_owned(), probe["port"].clone());
                    }
                }
            }
            _ => table.extend(short(key, value)),
        }
    }
    Value::Object(table)
}

fn resources(resources: &Value) -> Value {
    let mut table = Map::new();
    for (key, value) in resources.as_object().into_iter().flatten() {
        match (key.as_str(), value.as_u64()) {
            #[allow(clippy::cast_precision_loss)]
            ("nano_cpus", Some(nano)) => {
                table.insert("cpus".to_owned(), (nano as f64 / 1e9).into())
            }
            ("memory", Some(size)) => table.insert(key.clone(), bytes(size)),
            _ => table.insert(key.clone(), value.clone()),
        };
    }
    Value::Object(table)
}

/// In the largest unit that it is a whole number of.
fn milliseconds(count: u64) -> Value {
    let units = [("h", 3_600_000), ("m", 60_000), ("s", 1000)];
    let unit = units
        .iter()
        .find(|(_, size)| count > 0 && count.is_multiple_of(*size));
    match unit {
        Some((unit, size)) => format!("{}{unit}", count / size),
        None => format!("{count}ms"),
    }
    .into()
}

fn bytes(count: u64) -> Value {
    let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1_u64 << 10)];
    match units
        .iter()
        .find(|(_, size)| count > 0 && count.is_multiple_of(*size))
    {
        Some((unit, size)) => format!("{}{unit}", count / size).into(),
        None => count.into(),
    }
}

/// `None` for what is empty, false or nothing.
fn toml_value(value: &Value) -> Option<toml_edit::Value> {
    Some(match value {
        Value::Null | Value::Bool(false) => return None,
        Value::Bool(true) => true.into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) if items.is_empty() => return None,
        Value::Array(items) => {
            // An item keeps its place, even if it is an empty list.
            let items = items.iter().map(|item| {
                toml_value(item).unwrap_or_else(|| toml_edit::Value::Array(Array::new()))
            });
            toml_edit::Value::Array(items.collect())
        }
        Value::Object(entries) => {
            let mut table = InlineTable::new();
            for (key, value) in entries {
                // A variable that is empty is there all the same.
                if let Some(value) = toml_value(value) {
                    table.insert(key, value);
                }
            }
            if table.is_empty() {
                return None;
            }
            toml_edit::Value::InlineTable(table)
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_workspace_is_shown_in_the_words_of_its_config() {
        let shown = toml_of(&json!({
            "identity": { "name": "shop", "folder": "/src/shop", "instance": null },
            "services": { "web": {
                "container": {
                    "image": { "pulled": { "reference": "nginx", "policy": "missing" } },
                    "env": { "A": "1", "EMPTY": "" },
                    "mounts": [
                        { "source": { "volume": "shop_data" }, "target": "/data", "read_only": false },
                        { "source": { "host": "/src" }, "target": "/src", "read_only": true },
                        { "source": "anonymous", "target": "/cache", "read_only": false },
                    ],
                    "ports": [
                        { "container": 80, "host": null, "address": "127.0.0.1", "transport": "tcp" },
                        { "container": 53, "host": 53, "address": "::1", "transport": "udp" },
                    ],
                    "files": [{ "target": "/etc/app.conf", "content": "sha256:00", "mode": 420 }],
                    "resources": { "nano_cpus": 1_500_000_000, "memory": 536_870_912, "pids": null },
                    "stop_grace": 10_000,
                    "tty": false,
                },
                "run": { "state": "running" },
                "replicas": 1,
                "health": { "probe": { "http": { "path": "/", "port": 80 } }, "interval": 500 },
                "watch": [],
            } },
            "origins": { "services": {} },
        }));
        insta::assert_snapshot!(shown, @r#"
        [workspace]
        name = "shop"
        folder = "/src/shop"

        [services.web]
        image = "nginx"
        pull = "missing"
        env = { A = "1", EMPTY = "" }
        mounts = ["shop_data:/data", "/src:/src:ro", "/cache"]
        ports = ["127.0.0.1::80/tcp", "[::1]:53:53/udp"]
        configs = { "/etc/app.conf" = { mode = "0644", content = "sha256:00" } }
        resources = { cpus = 1.5, memory = "512MiB" }
        stop_grace = "10s"
        run = "running"
        replicas = 1
        health = { http = "/", port = 80, interval = "500ms" }
        "#);
    }

    #[test]
    fn times_and_sizes_are_whole_numbers_of_the_largest_unit() {
        assert_eq!(milliseconds(0), "0ms");
        assert_eq!(milliseconds(90_000), "90s");
        assert_eq!(milliseconds(120_000), "2m");
        assert_eq!(milliseconds(1500), "1500ms");
        assert_eq!(bytes(1 << 30), "1GiB");
        assert_eq!(bytes(1000), 1000);
    }
}
