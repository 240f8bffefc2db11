//! What differs between two declarations of a container, field by field.
//!
//! Values that may hold a secret are never shown: of `env`, labels and files
//! only the names are, of a command line only that it changed. Fields have the
//! names of `cosmos.toml`.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

use super::reason::At;
use crate::workspace::{
    AfterCondition, Container, File, Health, HealthProbe, Image, MountSource, Origin, Origins,
    Resources, Route, RunState, Service,
};

/// One field that differs.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldChange {
    key: &'static str,
    how: String,
    origin: Option<Origin>,
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} changed", self.key)?;
        if !self.how.is_empty() {
            write!(f, ": {}", self.how)?;
        }
        write!(f, "{}", At(self.origin.as_ref()))
    }
}

impl FieldChange {
    /// A change of a field of the part at `path`: `services.web`.
    pub(super) fn new(key: &'static str, how: String, path: &str, origins: &Origins) -> Self {
        Self {
            key,
            how,
            origin: origins.of(&format!("{path}.{key}")).cloned(),
        }
    }
}

/// How much of a field may be shown.
enum View {
    /// Old and new value.
    Shown(fn(&Container) -> String),
    /// The names in it, not what they stand for.
    Names(fn(&Container) -> BTreeMap<String, String>),
    /// Only that it changed.
    Hidden(fn(&Container) -> String),
}

/// Every field that makes a container another one. A test holds it complete.
const FIELDS: &[(&str, View)] = &[
    ("image", View::Shown(|it| it.image.reference().to_string())),
    (
        "entrypoint",
        View::Hidden(|it| format!("{:?}", it.entrypoint)),
    ),
    ("command", View::Hidden(|it| format!("{:?}", it.command))),
    ("env", View::Names(|it| pairs(&it.env))),
    ("mounts", View::Names(mounts)),
    ("ports", View::Names(ports)),
    ("configs", View::Names(files)),
    ("secrets", View::Names(secrets)),
    ("user", View::Shown(|it| or_none(&it.user))),
    ("workdir", View::Shown(|it| or_none(&it.workdir))),
    ("hostname", View::Shown(|it| or_none(&it.hostname))),
    ("init", View::Shown(|it| it.init.to_string())),
    ("tty", View::Shown(|it| it.tty.to_string())),
    ("stdin", View::Shown(|it| it.stdin.to_string())),
    ("labels", View::Names(|it| pairs(&it.labels))),
    ("extra_hosts", View::Names(|it| set(&it.extra_hosts))),
    ("dns", View::Names(|it| set(&it.dns))),
    ("tmpfs", View::Names(|it| pairs(&it.tmpfs))),
    (
        "shm_size",
        View::Shown(|it| {
            it.shm_size
                .map_or_else(none, |size| bytes(i64::try_from(size).unwrap_or(i64::MAX)))
        }),
    ),
    ("read_only", View::Shown(|it| it.read_only.to_string())),
    ("cap_add", View::Names(|it| set(&it.cap_add))),
    ("cap_drop", View::Names(|it| set(&it.cap_drop))),
    ("privileged", View::Shown(|it| it.privileged.to_string())),
    ("security_opt", View::Names(|it| set(&it.security_opt))),
    (
        "devices",
        View::Names(|it| {
            it.devices
                .iter()
                .map(|device| (device.host.clone(), format!("{device:?}")))
                .collect()
        }),
    ),
    (
        "ulimits",
        View::Names(|it| {
            it.ulimits
                .iter()
                .map(|(name, limit)| (name.clone(), format!("{limit:?}")))
                .collect()
        }),
    ),
    ("sysctls", View::Names(|it| pairs(&it.sysctls))),
    ("stop_signal", View::Shown(|it| or_none(&it.stop_signal))),
    ("platform", View::Shown(|it| or_none(&it.platform))),
    ("logging", View::Hidden(|it| format!("{:?}", it.logging))),
];

/// The fields of the part at `path` that differ, in the order people think of them.
pub(super) fn changes(
    old: &Container,
    new: &Container,
    path: &str,
    origins: &Origins,
) -> Vec<FieldChange> {
    let how = |view: &View| match view {
        View::Shown(text) => {
            let (old, new) = (text(old), text(new));
            (old != new).then(|| format!("{old} → {new}"))
        }
        View::Names(names) => {
            let (old, new) = (names(old), names(new));
            (old != new).then(|| named_differences(&old, &new))
        }
        View::Hidden(text) => (text(old) != text(new)).then(String::new),
    };
    FIELDS
        .iter()
        .filter_map(|(key, view)| Some(FieldChange::new(key, how(view)?, path, origins)))
        .collect()
}

/// How a field of a service is looked at.
type Look = fn(&Service) -> Seen;

/// What of a service acts from outside its container, by field.
const CONDUCT: &[(&str, Look)] = &[
    ("route", |it| {
        let route = it.route.as_ref();
        let text = |route: &Route| {
            let path = route.path.as_deref().unwrap_or_default();
            format!("{}{path}", route.port)
        };
        Seen::new(route.map_or_else(none, text), format!("{route:?}"))
    }),
    ("health", |it| {
        let health = it.health.as_ref();
        let text = |health: &Health| match &health.probe {
            HealthProbe::Tcp { port } => format!("tcp {port}"),
            HealthProbe::Http { path, port } => format!("http {port}{path}"),
            // Either can hold what is nobody's business.
            HealthProbe::Command { .. } => "command".to_owned(),
            HealthProbe::Log { .. } => "log".to_owned(),
        };
        Seen::new(health.map_or_else(none, text), format!("{health:?}"))
    }),
    ("replicas", |it| Seen::plain(it.replicas.to_string())),
    ("profiles", |it| {
        let is_off = it.run == RunState::Off;
        Seen::plain(if is_off { "off" } else { "on" }.to_owned())
    }),
    ("update", |it| Seen::plain(worded(&it.update))),
    ("restart", |it| Seen::plain(worded(&it.restart))),
    ("depends_on", |it| {
        let each = |(on, condition): (&String, &AfterCondition)| format!("{on} {condition}");
        let parts: Vec<_> = it.depends_on.iter().map(each).collect();
        Seen::plain(match parts.is_empty() {
            true => none(),
            false => parts.join(", "),
        })
    }),
    ("watch", |it| Seen::hidden(format!("{:?}", it.watch))),
    ("hooks", |it| {
        Seen::hidden(format!("{:?}", it.container.hooks))
    }),
    ("stop_grace", |it| {
        Seen::plain(format!("{}s", it.container.stop_grace.as_secs_f32()))
    }),
    ("networks", |it| {
        let names: Vec<_> = it
            .container
            .networks
            .iter()
            .map(ToString::to_string)
            .collect();
        Seen::plain(match names.is_empty() {
            true => none(),
            false => names.join(", "),
        })
    }),
    ("image", |it| match &it.container.image {
        Image::Pulled { policy, .. } => Seen::plain(format!("pull {}", worded(policy))),
        Image::Built { .. } => Seen::plain("build".to_owned()),
    }),
    ("configs", |it| {
        let how = |file: &File| format!("{} {:?}", file.target, file.reload);
        let files: Vec<_> = it.container.reloadable().map(how).collect();
        Seen::hidden(files.join(" "))
    }),
];

/// A value: what is shown of it, and what stands for all of it.
struct Seen {
    shown: String,
    whole: String,
}

impl Seen {
    fn new(shown: String, whole: String) -> Self {
        Self { shown, whole }
    }

    fn plain(text: String) -> Self {
        Self::new(text.clone(), text)
    }

    fn hidden(whole: String) -> Self {
        Self::new(String::new(), whole)
    }
}

/// A word of the config.
fn worded(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => none(),
    }
}

/// What differs between two declarations of the service at `path` beside its container.
pub(super) fn conduct(
    old: &Service,
    new: &Service,
    path: &str,
    origins: &Origins,
) -> Vec<FieldChange> {
    let changes = CONDUCT.iter().filter_map(|(key, field)| {
        let (old, new) = (field(old), field(new));
        let how = match old.shown == new.shown {
            true => String::new(),
            false => format!("{} → {}", old.shown, new.shown),
        };
        (old.whole != new.whole).then(|| FieldChange::new(key, how, path, origins))
    });
    changes.collect()
}

/// The limits of the part at `path` that differ.
pub(super) fn limits(
    old: &Resources,
    new: &Resources,
    path: &str,
    origins: &Origins,
) -> Vec<FieldChange> {
    let cpus = |it: &Resources| it.nano_cpus.map_or_else(none, processors);
    let memory = |it: &Resources| it.memory.map_or_else(none, bytes);
    let pids = |it: &Resources| it.pids.map_or_else(none, |pids| pids.to_string());
    let path = format!("{path}.resources");
    [
        ("cpus", cpus(old), cpus(new)),
        ("memory", memory(old), memory(new)),
        ("pids", pids(old), pids(new)),
    ]
    .into_iter()
    .filter(|(_, old, new)| old != new)
    .map(|(key, old, new)| FieldChange::new(key, format!("{old} → {new}"), &path, origins))
    .collect()
}

/// `+ ADDED, - REMOVED, ~ CHANGED`.
fn named_differences(old: &BTreeMap<String, String>, new: &BTreeMap<String, String>) -> String {
    let removed = old.keys().filter(|name| !new.contains_key(*name));
    let added_or_changed = new.iter().filter_map(|(name, value)| match old.get(name) {
        None => Some(format!("+ {name}")),
        Some(old) if old != value => Some(format!("~ {name}")),
        Some(_) => None,
    });
    let parts: Vec<_> = removed
        .map(|name| format!("- {name}"))
        .chain(added_or_changed)
        .collect();
    parts.join(", ")
}

fn none() -> String {
    "none".to_owned()
}

fn or_none(text: &Option<String>) -> String {
    text.clone().unwrap_or_else(none)
}

fn pairs<'a, K: ToString + 'a, V: ToString + 'a>(
    map: impl IntoIterator<Item = (&'a K, &'a V)>,
) -> BTreeMap<String, String> {
    map.into_iter()
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

fn set(items: &[String]) -> BTreeMap<String, String> {
    let in_place = |(index, item): (usize, &String)| (item.clone(), index.to_string());
    items.iter().enumerate().map(in_place).collect()
}

fn mounts(container: &Container) -> BTreeMap<String, String> {
    let text = |source: &MountSource| match source {
        MountSource::Volume(volume) => format!("{volume}:"),
        MountSource::Anonymous => String::new(),
        MountSource::Host(path) => format!("{path}:"),
    };
    container
        .mounts
        .iter()
        .map(|mount| {
            let access = if mount.read_only { ":ro" } else { "" };
            let name = format!("{}{}{access}", text(&mount.source), mount.target);
            (name, String::new())
        })
        .collect()
}

fn ports(container: &Container) -> BTreeMap<String, String> {
    container
        .ports
        .iter()
        .map(|port| {
            let host = port.host.map(|host| format!("{host}:")).unwrap_or_default();
            let name = format!(
                "{}:{host}{}/{}",
                port.address, port.container, port.transport
            );
            (name, String::new())
        })
        .collect()
}

fn secrets(container: &Container) -> BTreeMap<String, String> {
    container
        .secrets
        .iter()
        .map(|(name, file)| (name.to_string(), format!("{file:?}")))
        .collect()
}

fn files(container: &Container) -> BTreeMap<String, String> {
    let what = |file: &File| match file.reload {
        // Its content is changed in the container: see `reloaded`.
        Some(_) => "reload".to_owned(),
        None => format!("{file:?}"),
    };
    container
        .files
        .iter()
        .map(|file| (file.target.clone(), what(file)))
        .collect()
}

/// The files of the part at `path` that are put into a container that is there.
pub(super) fn reloaded(files: &[File], path: &str, origins: &Origins) -> FieldChange {
    let names: Vec<_> = files
        .iter()
        .map(|file| format!("~ {}", file.target))
        .collect();
    FieldChange::new("configs", names.join(", "), path, origins)
}

fn processors(nano: i64) -> String {
    let text = format!("{}.{:09}", nano / 1_000_000_000, nano % 1_000_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// A size in the largest unit that divides it.
fn bytes(bytes: i64) -> String {
    [("GiB", 30), ("MiB", 20), ("KiB", 10)]
        .into_iter()
        .find(|(_, shift)| bytes >= 1 << shift && bytes % (1 << shift) == 0)
        .map_or_else(
            || format!("{bytes}B"),
            |(unit, shift)| format!("{}{unit}", bytes >> shift),
        )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::{CHANGES, Change, Effect},
        workspace::{Image, ImageRef, PullPolicy},
    };

    fn node() -> Container {
        Container::of(Image::Pulled {
            reference: ImageRef::new("node:20").unwrap(),
            policy: PullPolicy::Missing,
        })
    }

    fn text(change: impl FnOnce(&mut Container)) -> String {
        let mut new = node();
        change(&mut new);
        let changes = changes(&node(), &new, "services.web", &Origins::default());
        let texts: Vec<_> = changes.iter().map(ToString::to_string).collect();
        texts.join("; ")
    }

    #[test]
    fn every_field_of_a_container_is_compared() {
        let form = serde_json::to_value(node()).unwrap();
        for key in form.as_object().unwrap().keys() {
            let known = match key.as_str() {
                // Compared with the live container, or of no matter to it.
                "resources" | "networks" | "hooks" | "stop_grace" => continue,
                "files" => "configs",
                key => key,
            };
            assert!(FIELDS.iter().any(|(field, _)| *field == known), "{key}");
        }
    }

    #[test]
    fn what_is_compared_of_a_container_is_what_replaces_it() {
        for (key, _) in FIELDS {
            let does = |row: &&Change| row.key == *key && row.effect == Effect::Replace;
            assert_eq!(CHANGES.iter().filter(does).count(), 1, "{key}");
        }
        let mildly = |key: &str| {
            let does = |row: &&Change| row.key == key && row.effect != Effect::Replace;
            CHANGES.iter().filter(does).count() > 0
        };
        for (key, _) in CONDUCT.iter().filter(|(key, _)| *key != "image") {
            assert!(mildly(key), "{key}");
        }
    }

    #[test]
    fn the_value_of_an_environment_variable_is_never_shown() {
        let text = text(|it| {
            it.env.insert("TOKEN".to_owned(), "s3cret".to_owned());
        });
        assert_eq!(text, "env changed: + TOKEN");
    }

    #[test]
    fn a_command_line_is_never_shown() {
        let text = text(|it| it.command = Some(vec!["--password=s3cret".to_owned()]));
        assert_eq!(text, "command changed");
    }

    #[test]
    fn sizes_are_in_the_largest_unit_that_fits() {
        assert_eq!(bytes(512 << 20), "512MiB");
        assert_eq!(bytes(1 << 30), "1GiB");
        assert_eq!(bytes(1000), "1000B");
        assert_eq!(processors(1_500_000_000), "1.5");
        assert_eq!(processors(2_000_000_000), "2");
    }
}
