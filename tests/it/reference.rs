//! `docs/reference.md`: every key of `cosmos.toml`, out of the JSON Schema.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::Path};

use serde_json::{Map, Value};

#[test]
fn the_reference_has_every_key_of_the_schema() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let schema = fs::read_to_string(root.join("schemas/cosmos.schema.json")).unwrap();
    let wanted = Reference::new(&serde_json::from_str(&schema).unwrap()).written();
    let path = root.join("docs/reference.md");
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    assert!(
        fs::read_to_string(path).unwrap_or_default() == wanted,
        "docs/reference.md is stale: run `UPDATE_REFERENCE=1 cargo test --test it reference`"
    );
}

const HEAD: &str = "\
# The keys of cosmos.toml

Generated from [the JSON Schema](../schemas/cosmos.schema.json), which also lets an editor complete and
explain them: begin the file with `#:schema` and its path. An unknown key is an error.
[cosmos.toml.example](../cosmos.toml.example) has one of nearly everything.

Texts take variables: `${V}`, `${V:-default}`, `${V:?message}`; `$$` is a dollar sign. A number, or `true`, may
be such a text, too: `replicas = \"${REPLICAS:-1}\"`. Variables are those of the shell, then those of `.env`.

An env file has a `NAME=value` in each line, or a comment after `#`; `export` before the name is passed over. In `'..'`
everything is literal, `\"..\"` knows `\\n \\r \\t \\\" \\\\ \\$`, and both may span lines; else the value is trimmed and ends
at a `#` with a space before it. `$` means nothing in it. Of a name that comes twice the last counts.

Nothing that is read is larger than 4 MiB, no list or table has more than 5,000 entries.
";

struct Reference<'a> {
    definitions: &'a Map<String, Value>,
    root: &'a Value,
}

/// One table: its heading, and its definition's name.
struct Section {
    heading: String,
    definition: String,
}

impl<'a> Reference<'a> {
    fn new(root: &'a Value) -> Self {
        Self {
            definitions: root["$defs"].as_object().unwrap(),
            root,
        }
    }

    fn written(&self) -> String {
        let mut text = HEAD.to_owned();
        for (name, schema) in self.root["properties"].as_object().unwrap() {
            let (heading, table) = match &schema["additionalProperties"] {
                Value::Object(_) => (format!("[{name}.NAME]"), &schema["additionalProperties"]),
                _ => (format!("[{name}]"), schema),
            };
            let section = Section {
                heading,
                definition: referred(table).unwrap().to_owned(),
            };
            self.write_section(&mut text, 2, &section, &schema["description"]);
        }
        let mut done = BTreeSet::new();
        text.push_str("\n## Tables inside of keys\n");
        for (name, schema) in self.root["properties"].as_object().unwrap() {
            let top = if schema["additionalProperties"].is_object() {
                &schema["additionalProperties"]
            } else {
                schema
            };
            self.write_inner(
                &mut text,
                &mut done,
                self.definition(referred(top).unwrap()),
                name,
            );
        }
        text
    }

    /// The tables that keys of `table` take, depth first, each once.
    fn write_inner(
        &self,
        text: &mut String,
        done: &mut BTreeSet<String>,
        table: &Value,
        path: &str,
    ) {
        for (key, schema) in table["properties"].as_object().unwrap() {
            for definition in self.tables_in(schema) {
                if done.insert(definition.clone()) {
                    let heading = self.heading_of(&definition);
                    let inner = self.definition(&definition);
                    let section = Section {
                        heading,
                        definition,
                    };
                    self.write_section(text, 3, &section, &inner["description"]);
                    self.write_inner(text, done, inner, &format!("{path}.{key}"));
                }
            }
        }
    }

    fn write_section(
        &self,
        text: &mut String,
        depth: usize,
        section: &Section,
        description: &Value,
    ) {
        let Section {
            heading,
            definition,
        } = section;
        let code = if depth == 2 {
            format!("`{heading}`")
        } else {
            heading.clone()
        };
        write!(
            text,
            "\n{} {code}\n\n{}\n",
            "#".repeat(depth),
            said(description)
        )
        .unwrap();
        text.push_str("\n| key | takes | |\n|---|---|---|\n");
        let shared = self.definition("ServiceTable")["properties"]
            .as_object()
            .unwrap();
        let mut as_service = Vec::new();
        for (key, schema) in self.definition(definition)["properties"]
            .as_object()
            .unwrap()
        {
            if definition == "CommandTable" && shared.get(key) == Some(schema) {
                as_service.push(format!("`{key}`"));
                continue;
            }
            let description = match &schema["description"] {
                Value::Null => {
                    said(&self.definition(referred(schema).unwrap_or_default())["description"])
                }
                own => said(own),
            };
            let takes = self.takes(schema).replace('|', "\\|");
            writeln!(
                text,
                "| `{key}` | {takes} | {} |",
                description.replace('|', "\\|")
            )
            .unwrap();
        }
        if !as_service.is_empty() {
            writeln!(
                text,
                "\nAlso, as a service has them: {}.",
                as_service.join(", ")
            )
            .unwrap();
        }
    }

    fn definition(&self, name: &str) -> &'a Value {
        self.definitions.get(name).unwrap_or(&Value::Null)
    }

    /// `HealthTable` is headed `health`.
    fn heading_of(&self, definition: &str) -> String {
        let name = definition.trim_end_matches("Table");
        assert!(self.definitions.contains_key(definition));
        format!("A {} table", name.to_lowercase())
    }

    /// What may be written behind a key.
    fn takes(&self, schema: &Value) -> String {
        if let Some(name) = referred(schema) {
            let definition = self.definition(name);
            return if definition["properties"].is_object() {
                let heading = self.heading_of(name);
                let anchor = heading.to_lowercase().replace(' ', "-");
                format!("[{}](#{anchor})", heading.to_lowercase())
            } else {
                self.takes(definition)
            };
        }
        if let Some(constant) = schema.get("const") {
            return format!("`{constant}`");
        }
        for several in ["anyOf", "oneOf", "enum"] {
            let Some(Value::Array(each)) = schema.get(several) else {
                continue;
            };
            let mut once: Vec<String> = Vec::new();
            for form in each.iter().filter(|form| is_worth_a_word(form)) {
                let takes = match several {
                    "enum" => format!("`{form}`"),
                    _ => self.takes(form),
                };
                let new = takes
                    .split(" or ")
                    .filter(|form| !once.iter().any(|had| had == form));
                let new: Vec<String> = new.map(str::to_owned).collect();
                once.extend(new);
            }
            return once.join(" or ");
        }
        match &schema["type"] {
            Value::Array(types) => types
                .iter()
                .filter(|kind| *kind != "null")
                .map(|kind| self.of_type(kind.as_str().unwrap(), schema))
                .collect::<Vec<_>>()
                .join(" or "),
            kind => self.of_type(kind.as_str().unwrap_or("any"), schema),
        }
    }

    fn of_type(&self, kind: &str, schema: &Value) -> String {
        match kind {
            "string" => "text".to_owned(),
            "integer" => "whole number".to_owned(),
            "boolean" => "`true` or `false`".to_owned(),
            "array" => format!("list of: {}", self.takes(&schema["items"])),
            "object" => match &schema["additionalProperties"] {
                values @ Value::Object(_) => format!("table of: {}", self.takes(values)),
                _ => "table".to_owned(),
            },
            other => other.to_owned(),
        }
    }

    /// The definitions of tables that `schema` leads to.
    fn tables_in(&self, schema: &Value) -> Vec<String> {
        if let Some(name) = referred(schema) {
            let definition = self.definition(name);
            return if definition["properties"].is_object() {
                vec![name.to_owned()]
            } else {
                self.tables_in(definition)
            };
        }
        match schema {
            Value::Object(fields) => fields
                .values()
                .flat_map(|field| self.tables_in(field))
                .collect(),
            Value::Array(items) => items.iter().flat_map(|item| self.tables_in(item)).collect(),
            _ => Vec::new(),
        }
    }
}

/// Not `null`, and not the text that only stands for a value: `"${REPLICAS}"`.
fn is_worth_a_word(form: &Value) -> bool {
    form["type"] != "null" && form["pattern"] != "\\$\\{"
}

fn referred(schema: &Value) -> Option<&str> {
    schema["$ref"].as_str()?.strip_prefix("#/$defs/")
}

/// A description on one line.
fn said(description: &Value) -> String {
    description
        .as_str()
        .unwrap_or_default()
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
}
