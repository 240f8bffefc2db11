//! `depends_on` and its relatives: what must be so before a service starts.

use std::{collections::HashSet, rc::Rc};

use super::{
    draft::Table,
    project::Project,
    tree::{Map, Node, Place, Value},
};

const COMPLETED: &str = "service_completed_successfully";

/// The services whose end somebody waits for.
pub(super) fn waited_for(services: &[(Rc<str>, Rc<Node>)]) -> HashSet<Rc<str>> {
    let conditions = services.iter().filter_map(|(_, node)| {
        let depends_on = node.as_map()?.get("depends_on")?;
        depends_on.as_map()
    });
    conditions
        .flat_map(Map::iter)
        .filter(|entry| {
            let condition = entry.node.as_map().and_then(|map| map.text("condition"));
            condition == Some(COMPLETED)
        })
        .map(|entry| Rc::clone(&entry.key))
        .collect()
}

/// One thing to wait for.
struct Need {
    /// As the Compose file calls it.
    service: Rc<str>,
    condition: &'static str,
    place: Place,
    key: String,
}

impl Project<'_> {
    /// What a service waits for.
    pub(super) fn after(&mut self, table: &mut Table, path: &str, service: &Map) {
        let (mut needs, has_conditions) = self.written_needs(path, service);
        self.add_links(&mut needs, path, service);
        if needs.is_empty() {
            return;
        }
        let mut conditions = Table::default();
        // A bare name means `ready` here, if there is a check, and `completed` of a command.
        let mut is_usual = !has_conditions;
        let mut seen = HashSet::new();
        for need in &needs {
            let Some(known) = self.known.get(&need.service).cloned() else {
                self.remarks.left_out(
                    need.place,
                    &need.key,
                    format!("there is no service `{}`", need.service),
                    "mend the name",
                );
                continue;
            };
            let condition = match (known.is_command, need.condition) {
                (true, _) => "completed",
                (false, condition) => condition,
            };
            if condition == "completed" && need.condition != "completed" {
                self.remarks.changed(
                    need.place,
                    &need.key,
                    format!(
                        "`{}` is a command here, so its end is waited for",
                        known.name
                    ),
                    "nothing to do, unless it was to run beside it",
                );
            }
            if condition == "ready" && !known.is_checked {
                self.remarks.changed(
                    need.place,
                    &need.key,
                    format!(
                        "`{}` has no check here, so it counts as ready once it runs",
                        known.name
                    ),
                    "give it one, like health = { tcp = 5432 }",
                );
            }
            is_usual &= !known.is_checked || known.is_command;
            // Twice in a list is once.
            if seen.insert(known.name.clone()) {
                conditions.push(&known.name, condition);
            }
        }
        if conditions.is_empty() {
            return;
        }
        if is_usual {
            let names: Vec<String> = conditions.0.into_iter().map(|line| line.key).collect();
            table.set("depends_on", names);
        } else {
            table.set("depends_on", conditions);
            if !has_conditions {
                self.comment_once(
                    table,
                    "depends_on",
                    "Only started, as in Compose, where nothing more is said; \"ready\" waits for its check.",
                );
            }
        }
    }

    /// What `depends_on` says, and whether it says more than names.
    fn written_needs(&mut self, path: &str, service: &Map) -> (Vec<Need>, bool) {
        let mut needs = Vec::new();
        let Some(node) = service.get("depends_on") else {
            return (needs, false);
        };
        let key = format!("{path}.depends_on");
        let Value::Map(map) = &node.value else {
            for (key, item) in self.items(&key, node) {
                if let Some(name) = self.text(&key, item) {
                    needs.push(Need {
                        service: Rc::from(name),
                        condition: "started",
                        place: item.place,
                        key,
                    });
                }
            }
            return (needs, false);
        };
        let mut has_conditions = false;
        for entry in map.iter() {
            let key = format!("{key}.{}", entry.key);
            let details = entry.node.as_map();
            let condition = match details.and_then(|map| map.text("condition")) {
                None => "started",
                Some("service_started") => "started",
                Some("service_healthy") => "ready",
                Some(COMPLETED) => "completed",
                Some(other) => {
                    let why = format!("there is no condition `{other}`");
                    self.remarks.changed(
                        entry.node.place,
                        &key,
                        why,
                        "write \"started\", \"ready\" or \"completed\"",
                    );
                    "started"
                }
            };
            has_conditions |= condition != "started" || details.is_some();
            let get = |key: &str| details.and_then(|map| map.get(key));
            if let Some(restart) = get("restart").filter(|node| node.is_true()) {
                self.remarks.left_out(
                    restart.place,
                    &format!("{key}.restart"),
                    "Cosmos restarts what changed, and not what depends on it",
                    "`cosmos restart` it by hand",
                );
            }
            let is_optional = get("required").is_some_and(|node| {
                matches!(&node.value, Value::Plain(text) if super::tree::boolean(text) == Some(false))
            });
            if is_optional && self.is_profiled(&entry.key) {
                self.remarks.left_out(
                    entry.place,
                    &key,
                    "it need not be there, and it is not without its profile",
                    "add it where the profile is always on",
                );
                continue;
            }
            needs.push(Need {
                service: Rc::clone(&entry.key),
                condition,
                place: entry.place,
                key,
            });
        }
        (needs, has_conditions)
    }

    /// Whether a service may be off, or is not there at all.
    fn is_profiled(&self, service: &str) -> bool {
        let known = self.known.get(service);
        known.is_none_or(|known| known.has_profiles)
    }

    /// A link means to start after, too; its other name is lost.
    fn add_links(&mut self, needs: &mut Vec<Need>, path: &str, service: &Map) {
        let Some(node) = service.get("links") else {
            return;
        };
        let mut seen: HashSet<Rc<str>> =
            needs.iter().map(|need| Rc::clone(&need.service)).collect();
        for (key, item) in self.items(&format!("{path}.links"), node) {
            let Some(text) = self.text(&key, item) else {
                continue;
            };
            let (name, alias) = text.split_once(':').unwrap_or((&text, &text));
            if alias != name {
                self.remarks.left_out(
                    item.place,
                    &key,
                    format!("a service has one name, so `{alias}` leads nowhere"),
                    &format!("write `{name}` where it connects"),
                );
            }
            if seen.insert(Rc::from(name)) {
                needs.push(Need {
                    service: Rc::from(name),
                    condition: "started",
                    place: item.place,
                    key,
                });
            }
        }
    }
}
