//! What changed files ask for, service by service. Pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use crate::{
    watch::{Change, ChangeSet, Tree},
    workspace::{ServiceName, WatchAction},
};

/// A `watch` rule of a service.
#[derive(Debug, Clone)]
pub(super) struct Rule {
    pub(super) service: ServiceName,
    pub(super) action: WatchAction,
    /// For `sync`: where the top of the tree is, in the container.
    pub(super) target: String,
    pub(super) tree: Tree,
}

impl Rule {
    /// Where a path of the tree is, in the container.
    pub(super) fn target_of(&self, path: &Path) -> String {
        let top = self.target.trim_end_matches('/');
        match path.strip_prefix(&self.tree.path) {
            Ok(below) if below != Path::new("") => {
                let parts = below.components().map(|part| part.as_os_str());
                parts.fold(top.to_owned(), |target, part| {
                    format!("{target}/{}", part.to_string_lossy())
                })
            }
            // A file into a folder: `target = "/etc/nginx/"`.
            _ if self.target.ends_with('/') && !self.tree.path.is_dir() => {
                let name = self.tree.path.file_name().unwrap_or_default();
                format!("{top}/{}", name.to_string_lossy())
            }
            _ => top.to_owned(),
        }
    }
}

/// What is to be done.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Todo {
    /// Files because of which images are built again, if they are part of one.
    pub(super) rebuild: BTreeSet<PathBuf>,
    pub(super) services: BTreeMap<ServiceName, ServiceTodo>,
}

/// What is to be done with one service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ServiceTodo {
    /// Files because of which it is restarted.
    pub(super) restart: BTreeSet<PathBuf>,
    /// What is copied, by its path in the container.
    pub(super) sync: BTreeMap<String, Copied>,
}

/// A file that is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Copied {
    pub(super) from: PathBuf,
    pub(super) change: Change,
}

impl ServiceTodo {
    /// Adds what is to be done for later changes.
    pub(super) fn join(&mut self, later: Self) {
        self.restart.extend(later.restart);
        self.sync.extend(later.sync);
    }
}

impl Todo {
    /// Adds what is to be done for later changes.
    pub(super) fn join(&mut self, later: Self) {
        self.rebuild.extend(later.rebuild);
        for (service, todo) in later.services {
            self.services.entry(service).or_default().join(todo);
        }
    }
}

/// What these changes ask for by these rules.
pub(super) fn decide(rules: &[Rule], changes: &ChangeSet) -> Todo {
    let mut todo = Todo::default();
    for rule in rules {
        for (path, change) in changes.0.iter().filter(|(path, _)| rule.tree.has(path)) {
            if rule.action == WatchAction::Rebuild {
                todo.rebuild.insert(path.clone());
                continue;
            }
            let service = todo.services.entry(rule.service.clone()).or_default();
            if rule.action == WatchAction::Restart {
                service.restart.insert(path.clone());
                continue;
            }
            let copied = Copied {
                from: path.clone(),
                change: *change,
            };
            service.sync.insert(rule.target_of(path), copied);
        }
    }
    todo
}

/// `api/src/main.rs`, or `api/src/main.rs and 4,999 more`: paths as seen from a folder.
pub(super) fn named<'a>(paths: impl IntoIterator<Item = &'a PathBuf>, folder: &Path) -> String {
    let mut paths = paths.into_iter();
    let Some(first) = paths.next() else {
        return String::new();
    };
    let first = first.strip_prefix(folder).unwrap_or(first).display();
    match paths.count() {
        0 => first.to_string(),
        more => format!("{first} and {} more", thousands(more)),
    }
}

/// `4,999`.
pub(super) fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(String::from_utf8_lossy)
        .collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Passed;

    fn rule(service: &str, action: WatchAction, path: &str, target: &str) -> Rule {
        Rule {
            service: service.parse().unwrap(),
            action,
            target: target.to_owned(),
            tree: Tree {
                path: path.into(),
                passed: Passed::nothing(),
            },
        }
    }

    fn changes(changes: &[(&str, Change)]) -> ChangeSet {
        let changes = changes.iter().map(|(path, change)| (path.into(), *change));
        ChangeSet(changes.collect())
    }

    #[test]
    fn each_rule_asks_for_its_action_and_only_for_its_own_paths() {
        let rules = [
            rule("api", WatchAction::Restart, "/p/api/src", ""),
            rule("api", WatchAction::Rebuild, "/p/api/Cargo.toml", ""),
            rule("web", WatchAction::Sync, "/p/web", "/srv/www/"),
            rule("other", WatchAction::Restart, "/p/other", ""),
        ];
        let todo = decide(
            &rules,
            &changes(&[
                ("/p/api/src/main.rs", Change::Changed),
                ("/p/api/Cargo.toml", Change::Changed),
                ("/p/web/a/index.html", Change::Added),
                ("/p/web/old.html", Change::Removed),
                ("/p/elsewhere", Change::Added),
            ]),
        );
        assert_eq!(todo.rebuild, [PathBuf::from("/p/api/Cargo.toml")].into());
        let services: Vec<_> = todo.services.keys().map(ServiceName::as_str).collect();
        assert_eq!(services, ["api", "web"]);
        let api = &todo.services["api"];
        assert_eq!(api.restart, [PathBuf::from("/p/api/src/main.rs")].into());
        assert!(api.sync.is_empty());
        let copied: Vec<_> = todo.services["web"]
            .sync
            .iter()
            .map(|(target, copied)| (target.as_str(), copied.change))
            .collect();
        let expected = [
            ("/srv/www/a/index.html", Change::Added),
            ("/srv/www/old.html", Change::Removed),
        ];
        assert_eq!(copied, expected);
    }

    #[test]
    fn a_file_is_synced_to_its_target_or_into_a_folder() {
        let file = Path::new("/p/nginx.conf");
        for (target, path) in [
            ("/etc/nginx.conf", "/etc/nginx.conf"),
            ("/etc/", "/etc/nginx.conf"),
        ] {
            let rule = rule("web", WatchAction::Sync, "/p/nginx.conf", target);
            assert_eq!(rule.target_of(file), path);
        }
    }

    #[test]
    fn what_was_changed_last_is_what_is_copied() {
        let rules = [rule("web", WatchAction::Sync, "/p", "/w")];
        let mut todo = decide(&rules, &changes(&[("/p/a", Change::Changed)]));
        todo.join(decide(&rules, &changes(&[("/p/a", Change::Removed)])));
        assert_eq!(todo.services["web"].sync["/w/a"].change, Change::Removed);
    }

    #[test]
    fn many_files_are_named_by_the_first() {
        let paths: Vec<PathBuf> = (0..5_000)
            .map(|number| format!("/p/f{number:04}").into())
            .collect();
        let folder = Path::new("/p");
        assert_eq!(named(&paths, folder), "f0000 and 4,999 more");
        assert_eq!(named(&paths[..1], folder), "f0000");
        let elsewhere = named(&[PathBuf::from("/q/a")], folder);
        assert_eq!(elsewhere, "/q/a");
    }
}
