//! The whole file: what is called what, what a service and what a command, and
//! the tables beside them.

use std::{
    collections::{HashMap, HashSet},
    path::Path,
    rc::Rc,
};

use serde::Serialize;

use super::{
    draft::{Draft, Item, Table},
    files::Files,
    remark::Remarks,
    tree::{Map, Node, Place},
};
use crate::{
    config::interpolate::interpolate,
    workspace::{ServiceName, WorkspaceName, name::label_from},
};

/// More would take longer than anybody waits.
const MOST_LOOKED_FOR: usize = 1000;

/// Something that the config needs and that is not there.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct Missing {
    /// The path, as the config has it.
    pub path: String,
    /// What it should be.
    pub kind: MissingKind,
}

/// What is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MissingKind {
    /// A folder.
    Folder,
    /// A file.
    File,
}

/// What is known of a service before any is converted.
#[derive(Debug, Clone)]
pub(super) struct Known {
    /// What it is called here.
    pub(super) name: String,
    /// Somebody waits for its end: it is a command here.
    pub(super) is_command: bool,
    /// It has a check that is carried over.
    pub(super) is_checked: bool,
    /// It is not always there.
    pub(super) has_profiles: bool,
}

/// A project on its way.
pub(super) struct Project<'a> {
    pub(super) root: &'a Map,
    pub(super) files: Files,
    pub(super) remarks: Remarks,
    pub(super) draft: Draft,
    /// By their names in the Compose file.
    pub(super) known: HashMap<Rc<str>, Known>,
    /// What is declared beside the services, by section and name.
    declared: HashMap<(&'static str, Rc<str>), Rc<Node>>,
    pub(super) images: super::image::Images,
    /// The network that is the workspace's own, by its name in the Compose file.
    pub(super) main_network: Rc<str>,
    pub(super) missing: Vec<Missing>,
    /// The workspace's name, as far as it is known.
    pub(super) workspace: String,
    /// How many ports are published.
    pub(super) published: usize,
    /// Paths that were looked for.
    looked_for: HashSet<String>,
    /// Which comments were made: the first place is enough.
    commented: HashSet<&'static str>,
}

/// What a project became.
pub(super) struct Converted {
    pub(super) draft: Draft,
    pub(super) files: Files,
    pub(super) remarks: Remarks,
    pub(super) services: Vec<String>,
    pub(super) commands: Vec<String>,
    pub(super) missing: Vec<Missing>,
}

/// Converts a project.
pub(super) fn convert(root: &Map, files: Files, remarks: Remarks, name: Option<&str>) -> Converted {
    let mut project = Project {
        root,
        files,
        remarks,
        draft: Draft::default(),
        known: HashMap::new(),
        declared: index(root),
        images: super::image::Images::default(),
        main_network: Rc::from("default"),
        missing: Vec::new(),
        workspace: String::new(),
        published: 0,
        looked_for: HashSet::new(),
        commented: HashSet::new(),
    };
    project.name_services();
    project.find_tags();
    project.heading();
    project.workspace(name);
    project.network();
    for (service, node) in project.services() {
        project.service(&service, &node);
    }
    project.command_sections_last();
    project.secrets();
    project.volumes();
    project.other_sections();
    let of_kind = |kind: &str| {
        let sections = project.draft.sections.iter();
        let named = sections.filter(|section| section.kind == kind);
        named.filter_map(|section| section.name.clone()).collect()
    };
    Converted {
        services: of_kind("services"),
        commands: of_kind("commands"),
        draft: project.draft,
        files: project.files,
        remarks: project.remarks,
        missing: project.missing,
    }
}

impl Project<'_> {
    /// The services in the order of the file.
    pub(super) fn services(&self) -> Vec<(Rc<str>, Rc<Node>)> {
        let services = self.root.get("services").and_then(|node| node.as_map());
        let entries = services.map(Map::iter).into_iter().flatten();
        entries
            .map(|entry| (Rc::clone(&entry.key), Rc::clone(&entry.node)))
            .collect()
    }

    pub(super) fn declared_node(&self, section: &'static str, name: &str) -> Option<&Rc<Node>> {
        self.declared.get(&(section, Rc::from(name)))
    }

    /// What is said of a network, volume, secret or config.
    pub(super) fn declared(&self, section: &'static str, name: &str) -> Option<&Map> {
        self.declared_node(section, name)?.as_map()
    }

    /// Whether there is one, if nothing is said of it.
    pub(super) fn is_declared(&self, section: &'static str, name: &str) -> bool {
        self.declared_node(section, name).is_some()
    }

    /// Makes a comment once, at the first place that calls for it.
    pub(super) fn comment_once(&mut self, table: &mut Table, key: &str, comment: &'static str) {
        if self.is_first(comment) {
            table.comment(key, comment);
        }
    }

    /// Whether something is said for the first time.
    pub(super) fn is_first(&mut self, what: &'static str) -> bool {
        self.commented.insert(what)
    }

    /// Notes what the config needs and is not there, and says how it is made.
    pub(super) fn need(&mut self, kind: MissingKind, place: Place, key: &str, path: &str) {
        // Where its variables are not set; where that is an error, nobody knows the path.
        let Ok(path) = interpolate(path, &|_| None) else {
            return;
        };
        if path.starts_with('~') || path.is_empty() {
            return;
        }
        // `path` is as the config has it, so it starts where the config is.
        let is_new =
            self.looked_for.len() < MOST_LOOKED_FOR && self.looked_for.insert(path.clone());
        if !is_new || self.files.is_there(&path) {
            return;
        }
        let (what, how) = match kind {
            MissingKind::Folder => ("folder", format!("`mkdir -p {path}`")),
            MissingKind::File => ("file", format!("create {path}")),
        };
        self.remarks.left_to_do(
            place,
            key,
            format!("the {what} {path} is not there, and Cosmos does not make it"),
            &how,
        );
        self.missing.push(Missing { path, kind });
    }

    /// Gives every service its name here.
    fn name_services(&mut self) {
        let services = self.services();
        let completed = super::after::waited_for(&services);
        let mut taken: HashSet<String> = services
            .iter()
            .filter(|(name, _)| ServiceName::new(&**name).is_ok())
            .map(|(name, _)| name.to_string())
            .collect();
        let mut last = HashMap::new();
        for (name, node) in services {
            let is_label = ServiceName::new(&*name).is_ok();
            let label = match is_label {
                true => name.to_string(),
                false => {
                    let label = label_from(&name);
                    unused(label.as_deref().unwrap_or("service"), &taken, &mut last)
                }
            };
            if !is_label {
                taken.insert(label.clone());
                self.remarks.changed(
                    node.place,
                    &format!("services.{name}"),
                    format!("`{name}` is no DNS label, so it is `{label}` here, and that is its host name"),
                    &format!("write `{label}` where something connects to it"),
                );
            }
            let known = Known {
                name: label,
                is_command: completed.contains(&name),
                has_profiles: node
                    .as_map()
                    .is_some_and(|map| map.get("profiles").is_some()),
                is_checked: node.as_map().is_some_and(super::health::is_checked),
            };
            self.known.insert(name, known);
        }
    }

    fn heading(&mut self) {
        let name = Path::new(self.files.name(0)).file_name();
        let name = name.unwrap_or_default().to_string_lossy();
        let name = self.files.relative(0, &name);
        let name = name.trim_start_matches("./");
        self.draft.heading = vec![
            format!(
                "Made of {name} by `cosmos init --from`, which lists what it could not carry over."
            ),
            "`cosmos check` says what is missing, `cosmos up` makes it true.".to_owned(),
        ];
    }

    fn workspace(&mut self, asked: Option<&str>) {
        let mut table = Table::default();
        let written = self.root.get("name").cloned();
        if let Some(asked) = asked {
            table.push("name", asked);
        } else if let Some(node) = written
            && let Some(name) = self.text("name", &node)
        {
            let has_variable = super::variables::has_variable(&name);
            let label = label_from(&name).unwrap_or_default();
            if has_variable || WorkspaceName::new(name.as_str()).is_ok() {
                table.push("name", name);
            } else if !label.is_empty() {
                self.remarks.changed(
                    node.place,
                    "name",
                    format!("`{name}` is no DNS label, so it is `{label}` here"),
                    "choose another with `--name`",
                );
                table.push("name", label);
            }
        }
        self.workspace = match table.get("name") {
            Some(Item::Text(name)) if !super::variables::has_variable(name) => name.clone(),
            _ => self.files.target_name(),
        };
        if !self.files.is_beside(0) && self.files.absolute(0, ".env").is_file() {
            let path = self.files.relative(0, ".env");
            table.push("env_file", vec![path]);
        }
        if !table.is_empty() {
            self.draft.add("workspace", None, table);
        }
    }

    /// What a service became is where it was; what a command became is behind all services.
    fn command_sections_last(&mut self) {
        // Stable, so the order of the file stays.
        let rank = |kind: &str| match kind {
            "workspace" => 0,
            "network" => 1,
            "networks" => 2,
            "images" => 3,
            "services" => 4,
            _ => 5,
        };
        self.draft
            .sections
            .sort_by_key(|section| rank(section.kind));
    }

    /// What else is at the top.
    fn other_sections(&mut self) {
        const KNOWN: [&str; 8] = [
            "name", "version", "services", "networks", "volumes", "secrets", "configs", "include",
        ];
        for entry in self.root.iter() {
            if KNOWN.contains(&&*entry.key) || entry.key.starts_with("x-") {
                continue;
            }
            let why = match &*entry.key {
                "models" => "Cosmos runs no models",
                _ => "it is no section of a Compose file that is known here",
            };
            self.remarks.left_out(
                entry.place,
                &entry.key,
                why,
                "look whether a service needs it",
            );
        }
        let services = self.root.entry("services");
        if let Some(entry) = services
            && entry.node.as_map().is_none()
            && !entry.node.is_null()
        {
            let node = Rc::clone(&entry.node);
            self.wrong("services", &node, "a mapping of services");
        }
    }
}

fn index(root: &Map) -> HashMap<(&'static str, Rc<str>), Rc<Node>> {
    let sections = ["networks", "volumes", "secrets", "configs"];
    let mut index = HashMap::new();
    for section in sections {
        let entries = root.get(section).and_then(|node| node.as_map());
        for entry in entries.map(Map::iter).into_iter().flatten() {
            index.insert((section, Rc::clone(&entry.key)), Rc::clone(&entry.node));
        }
    }
    index
}

/// A name like this one that nobody has. `last` remembers the number it ended at.
fn unused(name: &str, taken: &HashSet<String>, last: &mut HashMap<String, u32>) -> String {
    if !taken.contains(name) {
        return name.to_owned();
    }
    let number = last.entry(name.to_owned()).or_insert(1);
    loop {
        *number += 1;
        let suffix = format!("-{number}");
        let room = name.len().min(LONGEST_LABEL - suffix.len());
        let candidate = name[..room].trim_end_matches('-').to_owned() + &suffix;
        if !taken.contains(&candidate) {
            return candidate;
        }
    }
}

/// The longest DNS label, RFC 1035 section 2.3.4.
const LONGEST_LABEL: usize = 63;
