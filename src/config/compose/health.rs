//! `healthcheck`: when a service is ready.

use super::{
    draft::{Item, Table},
    project::Project,
    tree::{Map, Node, Value},
};

/// What the engine takes where a Compose file says nothing. Cosmos' own are shorter.
const DEFAULTS: [(&str, &str); 2] = [("interval", "30s"), ("timeout", "30s")];

/// The same, of the number of failures.
const DEFAULT_RETRIES: i64 = 3;

/// Whether a service has a check that is carried over.
pub(super) fn is_checked(service: &Map) -> bool {
    let check = service.get("healthcheck").and_then(|node| node.as_map());
    check.is_some_and(|check| !is_off(check) && check.get("test").is_some_and(|test| tries(test)))
}

fn is_off(check: &Map) -> bool {
    check.get("disable").is_some_and(|node| node.is_true())
        || check
            .get("test")
            .is_some_and(|test| first_word(test) == Some("NONE"))
}

fn tries(test: &Node) -> bool {
    match &test.value {
        Value::List(items) => {
            items.len() > 1 && matches!(first_word(test), Some("CMD" | "CMD-SHELL"))
        }
        _ => test.as_text().is_some_and(|text| !text.trim().is_empty()),
    }
}

fn first_word(test: &Node) -> Option<&str> {
    match &test.value {
        Value::List(items) => items.first()?.as_text(),
        _ => None,
    }
}

impl Project<'_> {
    /// The check of a service.
    pub(super) fn health(&mut self, table: &mut Table, path: &str, service: &Map) {
        let key = format!("{path}.healthcheck");
        let Some(node) = service.get("healthcheck") else {
            return;
        };
        let Some(check) = node.as_map() else {
            self.wrong(&key, node, "a mapping");
            return;
        };
        if is_off(check) {
            self.remarks.left_out(
                node.place,
                &key,
                "a check of the image itself cannot be switched off",
                "nothing to do: without `health`, Cosmos does not wait for it",
            );
            return;
        }
        let says_nothing = check
            .iter()
            .all(|entry| &*entry.key == "disable" || entry.node.is_null());
        if says_nothing {
            return;
        }
        let test = check.get("test").filter(|test| tries(test));
        let Some(test) = test else {
            self.remarks.left_out(
                node.place,
                &key,
                "it says nothing to try, and the image's own check is not Cosmos' to change",
                "add health = { tcp = .. }, { http = \"/\" } or { command = [..] }",
            );
            return;
        };
        let Some(command) = self.test(&format!("{key}.test"), test) else {
            return;
        };
        let mut health = Table::default();
        health.push("command", command);
        let mut has_default = false;
        for (name, default) in DEFAULTS {
            let said = check
                .get(name)
                .and_then(|node| self.duration(&format!("{key}.{name}"), node));
            has_default |= said.is_none();
            health.push(name, said.unwrap_or_else(|| default.into()));
        }
        let retries = check.get("retries").and_then(|node| {
            self.integer(&format!("{key}.retries"), node, 1..=i64::from(u32::MAX))
        });
        has_default |= retries.is_none();
        health.push("retries", retries.unwrap_or(Item::Integer(DEFAULT_RETRIES)));
        if let Some(node) = check.get("start_period")
            && let Some(period) = self.duration(&format!("{key}.start_period"), node)
        {
            health.push("start_period", period);
        }
        if let Some(node) = check.get("start_interval") {
            self.remarks.left_out(
                node.place,
                &format!("{key}.start_interval"),
                "there is one interval",
                "a shorter interval = \"1s\" for all of the time",
            );
        }
        table.set("health", health);
        if has_default {
            self.comment_once(
                table,
                "health",
                "What Compose did not say is the engine's default: 30s, 30s and 3. Shorter is ready sooner.",
            );
        }
    }

    fn test(&mut self, key: &str, test: &Node) -> Option<Item> {
        let in_a_shell =
            |text: String| Item::from(vec!["/bin/sh".to_owned(), "-c".to_owned(), text]);
        match &test.value {
            Value::List(_) => {
                let mut words = self.texts(key, test);
                if words.is_empty() {
                    return None;
                }
                let kind = words.remove(0);
                Some(match kind.as_str() {
                    "CMD-SHELL" => in_a_shell(words.join(" ")),
                    _ => words.into(),
                })
            }
            _ => self.text(key, test).map(in_a_shell),
        }
    }
}
