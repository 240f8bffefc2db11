//! Who said what about a key, and what a workspace looks like with its secrets out.

use serde::Serialize;
use serde_json::Value;

use super::{
    LayerKind, Loaded, Location,
    decode::{Segment, join, path_text, segments},
    diagnostics::nearest,
    schema::schema,
};

/// What one layer says about a key.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Said {
    /// Which kind of layer.
    pub layer: LayerKind,
    /// The variable, if it is one of the shell's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// Where.
    #[serde(flatten)]
    pub location: Location,
    /// The value, as written.
    pub text: String,
}

/// Where the value of a key is from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The key path.
    pub key: String,
    /// What there is at the key.
    pub state: KeyState,
    /// What the layers say, the one that counts first. Of a table all count.
    pub said: Vec<Said>,
    /// The keys below, if it is a table.
    pub keys: Vec<String>,
    /// What the key is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doc: Option<String>,
}

/// What there is at a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// A value: the first that is said counts.
    Value,
    /// A table, joined from all that is said.
    Table,
    /// Nobody says it: the built-in default holds.
    Default,
    /// It is said, but a later layer replaces what it is in as a whole.
    Replaced,
}

/// There is no such key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no key `{key}`{}", if .parent.is_empty() { String::new() } else { format!(" in `{}`", .parent) })]
pub struct UnknownKey {
    /// The step that leads nowhere.
    pub key: String,
    /// What it should be in.
    pub parent: String,
    /// What was meant, perhaps.
    pub meant: Option<String>,
    /// What there is.
    pub known: Vec<String>,
}

impl Loaded {
    /// Where the value of a key is from.
    ///
    /// # Errors
    /// If there is no such key.
    pub fn explain(&self, key: &str) -> Result<Explanation, UnknownKey> {
        let path = segments(key);
        let schema = schema();
        let known = self.known(&schema, &path)?;
        let key = path_text(&path);
        let mut said = self.document.says(&path);
        said.reverse();
        for said in &mut said {
            said.text = match said.layer {
                LayerKind::Environment if holds_secrets(&path) => HIDDEN.to_owned(),
                _ => self.without_secrets(&said.text),
            };
        }
        let found = self.document.find(&key).filter(|(.., exact)| *exact);
        let state = match found {
            None if said.is_empty() => KeyState::Default,
            None => KeyState::Replaced,
            Some((_, place, _)) if place.is_table() => KeyState::Table,
            Some(_) => KeyState::Value,
        };
        Ok(Explanation {
            state,
            said,
            keys: self.document.keys(&path),
            doc: known["description"].as_str().map(str::to_owned),
            key,
        })
    }

    /// The schema at a path, if every step of it is known.
    fn known<'s>(&self, root: &'s Value, path: &[Segment]) -> Result<&'s Value, UnknownKey> {
        let mut here = root;
        for (depth, segment) in path.iter().enumerate() {
            here = match segment {
                Segment::Index(_) => forms(root, here)
                    .into_iter()
                    .find_map(|form| form.get("items"))
                    .unwrap_or(&Value::Null),
                Segment::Key(key) => {
                    let forms = forms(root, here);
                    let named = forms.iter().find_map(|form| form["properties"].get(key));
                    let any = forms.iter().find_map(|form| {
                        form.get("additionalProperties")
                            .filter(|any| any.is_object())
                    });
                    let written = self.document.keys(&path[..depth]);
                    match (named, any) {
                        (Some(named), _) => named,
                        (None, Some(any)) if !self.document.says(&path[..=depth]).is_empty() => any,
                        (None, any) => {
                            let mut known = written;
                            if any.is_none() {
                                let keys = forms
                                    .iter()
                                    .filter_map(|form| form["properties"].as_object());
                                known = keys.flatten().map(|(key, _)| key.clone()).collect();
                            }
                            return Err(UnknownKey {
                                meant: nearest(key, known.iter().map(String::as_str))
                                    .map(|meant| join(&path_text(&path[..depth]), meant)),
                                key: key.clone(),
                                parent: path_text(&path[..depth]),
                                known,
                            });
                        }
                    }
                }
            };
        }
        Ok(here)
    }

    /// A text in which no value of a secret's variable is left.
    fn without_secrets(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.hidden {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), HIDDEN);
            }
        }
        text
    }

    /// The workspace as it may be shown: without what is secret in it, and with
    /// the size and the digest of config files instead of their content.
    pub fn shown(&self) -> Value {
        let mut shown = serde_json::to_value(&self.workspace).unwrap_or_default();
        self.hide(&mut shown, false);
        shown
    }

    fn hide(&self, value: &mut Value, is_environment: bool) {
        match value {
            Value::String(text) => *text = self.without_secrets(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.hide(item, false)),
            Value::Object(entries) => {
                for (key, value) in entries.iter_mut() {
                    match (key.as_str(), &mut *value) {
                        (name, Value::String(text)) if is_environment && sounds_secret(name) => {
                            HIDDEN.clone_into(text);
                        }
                        ("secrets", Value::Object(secrets)) => {
                            // The hash would be that of nothing: values are not read to be shown.
                            let names = secrets.keys().cloned().map(Value::String).collect();
                            *value = Value::Array(names);
                        }
                        ("content", Value::String(content)) => {
                            *content = format!("sha256:{}", digest_of_base64(content));
                        }
                        (key, value) => self.hide(value, matches!(key, "env" | "args")),
                    }
                }
            }
            _ => {}
        }
    }
}

/// What stands for a value that is not shown.
const HIDDEN: &str = "<hidden>";

/// Whether the values at a path are of a kind that passwords are put into.
fn holds_secrets(path: &[Segment]) -> bool {
    let kinds = ["env", "args", "labels", "options", "secrets", "command"];
    path.iter()
        .any(|segment| matches!(segment, Segment::Key(key) if kinds.contains(&key.as_str())))
}

/// Whether a variable's name says that its value is nobody's business.
fn sounds_secret(name: &str) -> bool {
    let name = name.to_ascii_uppercase();
    let words = ["PASSWORD", "PASSWD", "SECRET", "TOKEN", "CREDENTIAL"];
    words.iter().any(|word| name.contains(word)) || name.split('_').any(|word| word == "KEY")
}

fn digest_of_base64(content: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD};
    use sha2::{Digest as _, Sha256};
    let bytes = STANDARD.decode(content).unwrap_or_default();
    crate::workspace::fingerprint::hex(&Sha256::digest(&bytes))
}

/// The forms that a schema allows, with references followed.
fn forms<'s>(root: &'s Value, schema: &'s Value) -> Vec<&'s Value> {
    let mut forms = Vec::new();
    let mut todo = vec![schema];
    // No schema of ours leads back to itself.
    while let Some(schema) = todo.pop() {
        if let Some(reference) = schema["$ref"].as_str()
            && let Some(target) = root.pointer(reference.trim_start_matches('#'))
        {
            todo.push(target);
        }
        for of in ["anyOf", "oneOf", "allOf"] {
            todo.extend(schema[of].as_array().into_iter().flatten());
        }
        forms.push(schema);
    }
    forms
}
