//! Takes out what is secret, before something is written that strangers read.
//!
//! Three ways, and each for what the others do not see. Where a thing stands: no value of
//! an environment, of build arguments, of labels or of `[secrets]` is kept, and no comment
//! of a config. What it looks like: the inspector's [`Redactor`] finds what stands behind a
//! secret's name, before the `@` of an address, and what has the form of a token. And which
//! it is: the values that are known are taken out wherever they are. Where it is in doubt,
//! it takes out too much.

use std::collections::BTreeSet;

use serde_json::Value;
use toml_edit::{DocumentMut, Item, Value as TomlValue, visit_mut::VisitMut};

use crate::traffic::redact::{Redactor, is_secret_name};

/// What stands for what was taken out.
pub(super) const REMOVED: &str = "<removed>";

/// Keys whose values are nobody's business, whatever they are called.
const PRIVATE: [&str; 8] = [
    "args",
    "build_args",
    "content",
    "env",
    "environment",
    "labels",
    "options",
    "variables",
];

/// What commands say, once variables are put in. In a config as it is written they are
/// not yet, and it is kept.
const COMMANDS: [&str; 5] = ["command", "entrypoint", "post_start", "pre_stop", "run"];

/// Names that only sound like a secret's: the folder one is in, and what a refusal is called.
const NO_SECRETS: [&str; 3] = ["PWD", "OLDPWD", "code"];

/// Of a variable that is called a secret, the shortest value that is taken for one.
const SHORTEST_SECRET: usize = 3;

/// Of any other, the shortest value that is no word.
const SHORTEST_WORDY: usize = 12;

/// The same, if no word has such letters.
const SHORTEST_CRYPTIC: usize = 8;

/// Takes secrets out.
pub(super) struct Cleaner {
    redactor: Redactor,
    /// Values that are known to be secret, or may be: the longest first.
    known: Vec<String>,
}

impl Cleaner {
    /// One that knows the values of these variables.
    pub(super) fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut known = BTreeSet::new();
        for (name, value) in variables {
            known.extend(password_of_address(&value).map(str::to_owned));
            if may_be_secret(&name, &value) {
                // In JSON and in logs it is written so.
                let quoted = serde_json::to_string(&value).unwrap_or_default();
                known.insert(quoted.trim_matches('"').to_owned());
                known.insert(value);
            }
        }
        let mut known: Vec<String> = known.into_iter().collect();
        known.sort_by_key(|value| std::cmp::Reverse(value.len()));
        Self {
            redactor: Redactor::new(),
            known,
        }
    }

    /// A text of any kind.
    pub(super) fn text(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for value in &self.known {
            if text.contains(value.as_str()) {
                text = text.replace(value.as_str(), REMOVED);
            }
        }
        without_private_keys(&self.redactor.text(&text).text)
    }

    /// What crossed the wire, or was made of what did.
    pub(super) fn json(&self, value: &mut Value) {
        match value {
            Value::String(text) => *text = self.text(text),
            Value::Array(items) => items.iter_mut().for_each(|item| self.json(item)),
            Value::Object(entries) => {
                for (key, value) in entries.iter_mut() {
                    let key = key.as_str();
                    // A service's `run` is a table, and says whether it runs.
                    let is_command = COMMANDS.contains(&key) && !value.is_object();
                    match PRIVATE.contains(&key) || key == "secrets" || is_command {
                        true => remove_values(value),
                        false => self.json(value),
                    }
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A line of a log, which may be an object of JSON.
    pub(super) fn line(&self, line: &str) -> String {
        let Ok(Value::Object(mut fields)) = serde_json::from_str(line) else {
            return self.text(line);
        };
        for (name, value) in &mut fields {
            match is_secret(name) {
                true => remove_values(value),
                false => self.json(value),
            }
        }
        Value::Object(fields).to_string()
    }

    /// A config as a person wrote it; nothing if it is no TOML, since then nobody knows
    /// what is a value in it.
    pub(super) fn toml(&self, text: &str) -> Option<String> {
        let mut document: DocumentMut = text.parse().ok()?;
        // Only what is secret is written there.
        if let Some(secrets) = document.get_mut("secrets") {
            RemoveValues.visit_item_mut(secrets);
        }
        CleanValues(self).visit_document_mut(&mut document);
        Some(self.text(&without_comments(&document.to_string())))
    }
}

/// Whether what is called so is a secret.
pub(super) fn is_secret(name: &str) -> bool {
    is_secret_name(name) && !NO_SECRETS.contains(&name)
}

/// Whether a variable's value may be one that nobody else should see. What is certainly
/// none is left where it is, or nothing could be read any more.
fn may_be_secret(name: &str, value: &str) -> bool {
    let length = value.chars().count();
    if is_secret(name) {
        return length >= SHORTEST_SECRET;
    }
    let is_cryptic = value
        .chars()
        .any(|character| character.is_ascii_digit() || character.is_ascii_uppercase());
    length >= SHORTEST_WORDY || length >= SHORTEST_CRYPTIC && is_cryptic
}

/// The password in `postgres://user:password@host/`.
fn password_of_address(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let (user, _) = authority.rsplit_once('@')?;
    let (_, password) = user.split_once(':')?;
    (password.chars().count() >= SHORTEST_SECRET).then_some(password)
}

/// Keys in PEM have no name before them.
fn without_private_keys(text: &str) -> String {
    const BEGIN: &str = "-----BEGIN ";
    let mut kept = String::new();
    let mut rest = text;
    while let Some(start) = rest.find(BEGIN) {
        let (before, block) = rest.split_at(start);
        kept.push_str(before);
        let label = block[BEGIN.len()..].split("-----").next();
        if !label.is_some_and(|label| label.ends_with("PRIVATE KEY")) {
            kept.push_str(BEGIN);
            rest = &block[BEGIN.len()..];
            continue;
        }
        kept.push_str(REMOVED);
        let end = block.find("-----END ").map(|end| {
            let behind = &block[end + "-----END ".len()..];
            behind
                .find("-----")
                .map_or("", |end| &behind[end + "-----".len()..])
        });
        rest = end.unwrap_or_default();
    }
    kept + rest
}

/// Keeps the names, and nothing of the values.
fn remove_values(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(remove_values),
        Value::Object(entries) => entries.values_mut().for_each(remove_values),
        Value::Null => {}
        _ => *value = REMOVED.into(),
    }
}

/// The same of a config.
struct RemoveValues;

impl VisitMut for RemoveValues {
    fn visit_value_mut(&mut self, value: &mut TomlValue) {
        match value {
            TomlValue::Array(items) => self.visit_array_mut(items),
            TomlValue::InlineTable(table) => self.visit_inline_table_mut(table),
            _ => put(value, REMOVED.to_owned()),
        }
    }
}

/// Takes out what is private, and cleans what is left.
struct CleanValues<'a>(&'a Cleaner);

impl VisitMut for CleanValues<'_> {
    fn visit_table_like_kv_mut(&mut self, key: toml_edit::KeyMut<'_>, item: &mut Item) {
        let name = key.get();
        // `env = { API_URL = ".." }` by any other name.
        let is_variable = name.len() > 1
            && name
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_');
        // A service can be called `token`, and names of secrets are none.
        let is_secret = is_secret(name) && name != "secrets" && !item.is_table_like();
        match PRIVATE.contains(&name) || is_variable || is_secret {
            true => RemoveValues.visit_item_mut(item),
            false => self.visit_item_mut(item),
        }
    }

    fn visit_string_mut(&mut self, text: &mut toml_edit::Formatted<String>) {
        let clean = self.0.text(text.value());
        if clean != *text.value() {
            let decor = text.decor().clone();
            *text = toml_edit::Formatted::new(clean);
            *text.decor_mut() = decor;
        }
    }
}

fn put(value: &mut TomlValue, text: String) {
    let decor = value.decor().clone();
    *value = TomlValue::from(text);
    *value.decor_mut() = decor;
}

/// A valid TOML text without what its comments say: they may hold what was a value once.
/// Their signs stay, so that every line keeps its number.
fn without_comments(text: &str) -> String {
    let mut kept = String::new();
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        let length = match character {
            '"' | '\'' => string(rest),
            '#' => {
                kept.push('#');
                rest = &rest[rest.find('\n').unwrap_or(rest.len())..];
                continue;
            }
            _ => character.len_utf8(),
        };
        kept.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    kept
}

/// How long the string is that begins here.
fn string(text: &str) -> usize {
    let quote = &text[..1];
    let triple = quote.repeat(3);
    let ends = match text.starts_with(&triple) {
        true => triple.as_str(),
        false => quote,
    };
    let mut at = ends.len();
    while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
        if let Some(behind) = rest.strip_prefix(ends) {
            // Quotes right before the end are the string's own: they are found as its end first.
            let own = behind
                .bytes()
                .take_while(|byte| ends.len() == 3 && *byte == quote.as_bytes()[0])
                .count();
            return at + ends.len() + own;
        }
        let is_escape = quote == "\"" && rest.starts_with('\\');
        let mut characters = rest.chars();
        let skipped = characters.by_ref().take(if is_escape { 2 } else { 1 });
        at += skipped.map(char::len_utf8).sum::<usize>();
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn cleaner(variables: &[(&str, &str)]) -> Cleaner {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        Cleaner::new(variables.iter().map(owned))
    }

    #[test]
    fn a_known_value_is_taken_out_wherever_it_is() {
        let cleaner = cleaner(&[
            ("DB_PASSWORD", "abc"),
            ("DSN", "postgres://anna:hunter2@db/shop"),
            ("MODE", "production"),
        ]);
        assert_eq!(
            cleaner.text("connect with abc, then hunter2, in production"),
            "connect with <removed>, then <removed>, in production"
        );
    }

    #[test]
    fn a_longer_value_goes_before_one_that_is_in_it() {
        let cleaner = cleaner(&[("A_TOKEN", "abc"), ("B_TOKEN", "abcdef")]);
        assert_eq!(cleaner.text("abcdef"), "<removed>");
    }

    #[test]
    fn what_looks_like_a_secret_is_taken_out_though_nobody_knows_it() {
        let text =
            cleaner(&[]).text("Authorization: Bearer k3x9f2a7c1\nhttps://anna:hunter2@host/");
        assert!(
            !text.contains("k3x9f2a7c1") && !text.contains("hunter2"),
            "{text}"
        );
        let pem = "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb";
        assert_eq!(cleaner(&[]).text(pem), "a\n<removed>\nb");
        let cut = "a -----BEGIN PRIVATE KEY-----\nMIIE";
        assert_eq!(cleaner(&[]).text(cut), "a <removed>");
        let public = "-----BEGIN CERTIFICATE-----\nMIIE\n-----END CERTIFICATE-----";
        assert_eq!(cleaner(&[]).text(public), public);
    }

    #[test]
    fn of_json_the_names_of_private_things_are_kept_and_no_value() {
        let mut value = json!({
            "container": {
                "env": { "A": "1", "B": ["2", 3] },
                "command": ["serve", "-ppassword"],
                "image": { "build": { "args": { "PROFILE": "dev" } } },
                "ports": [80],
                "hooks": { "post_start": [["print", "hook-password"]] },
            },
            "run": { "state": "running" },
            "upstream": "https://anna:hunter2@host/",
        });
        cleaner(&[]).json(&mut value);
        let text = value.to_string();
        for gone in [
            "\"1\"",
            "\"2\"",
            ",3]",
            "-ppassword",
            "\"dev\"",
            "hunter2",
            "hook-password",
        ] {
            assert!(!text.contains(gone), "{gone} is in {text}");
        }
        for kept in ["\"A\"", "\"PROFILE\"", "[80]", "host/", "\"running\""] {
            assert!(text.contains(kept), "{kept} is not in {text}");
        }
    }

    #[test]
    fn a_line_of_a_log_stays_json_and_says_what_was_refused() {
        let line = r#"{"path":"/?api_key=canary","token":"canary","code":"no_token","status":401}"#;
        let clean: Value = serde_json::from_str(&cleaner(&[]).line(line)).unwrap();
        assert!(!clean.to_string().contains("canary"), "{clean}");
        assert_eq!(
            (&clean["code"], &clean["status"]),
            (&json!("no_token"), &json!(401))
        );
        let plain = cleaner(&[]).line("Authorization: Bearer k3x9f2a7c1");
        assert!(!plain.contains("k3x9f2a7c1"), "{plain}");
    }

    #[test]
    fn the_folder_that_one_is_in_is_no_password() {
        let cleaner = cleaner(&[("PWD", "/src/shop")]);
        assert_eq!(cleaner.text("/src/shop"), "/src/shop");
    }

    #[test]
    fn of_a_config_the_names_of_private_things_are_kept_and_no_value() {
        let text = r#"
# password = "canary"
[services.web] # canary
image = "nginx" # a # canary
command = "serve --quiet"
env = { A = "canary", B = 1 } 
secrets = ["stripe_key"]
[services.web.labels]
"a.b" = "canary"
[services.db]
environment = [ # canary
  "A=canary",
]
health = { http = "/", port = 80 }
[routes.llm]
upstream = "https://anna:canary@host/#top"
[secrets.stripe_key]
command = ["op", "canary"]
[images.web]
build = { args = { PROFILE = "canary" }, context = "." }
DB_URL = "canary"
"#;
        let clean = cleaner(&[]).toml(text).unwrap();
        assert!(!clean.contains("canary"), "{clean}");
        assert_eq!(clean.lines().count(), text.lines().count());
        for kept in [
            "image = \"nginx\" #\n",
            "command = \"serve --quiet\"",
            "env = { A = \"<removed>\", B = \"<removed>\" }",
            "secrets = [\"stripe_key\"]",
            "health = { http = \"/\", port = 80 }",
            "context = \".\"",
            "@host/#top\"",
        ] {
            assert!(clean.contains(kept), "{kept} is not in {clean}");
        }
    }

    #[test]
    fn what_is_no_toml_is_not_kept_at_all() {
        assert_eq!(cleaner(&[]).toml("env = { A = \"canary\""), None);
    }

    #[test]
    fn a_comment_begins_where_no_string_is() {
        for (text, without) in [
            ("a = \"# b\" # c", "a = \"# b\" #"),
            ("a = '# \\' # c", "a = '# \\' #"),
            ("a = \"\\\"# b\" # c\nd", "a = \"\\\"# b\" #\nd"),
            (
                "a = \"\"\"\n# b \" # \"\"\"\" # c",
                "a = \"\"\"\n# b \" # \"\"\"\" #",
            ),
            ("a = '''# b''' # c", "a = '''# b''' #"),
            ("# ä\nä = 1", "#\nä = 1"),
        ] {
            assert_eq!(without_comments(text), without);
        }
    }
}
