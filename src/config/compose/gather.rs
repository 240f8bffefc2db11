//! One tree of all files: `include` and `extends` resolved, as Compose merges them.

use std::{
    collections::{HashMap, HashSet},
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
};

use super::{
    files::Files,
    read::{Budget, Fault, read, too_much},
    remark::Remarks,
    tree::{Entry, Map, Node, Place, Value},
};
use crate::config::diagnostics::{Diagnostic, Diagnostics, Location};

/// Longer chains of `extends` and `include` than anybody writes.
const LONGEST: usize = 16;

/// Sections whose entries an included file adds to ours.
const SHARED: [&str; 5] = ["services", "networks", "volumes", "secrets", "configs"];

/// Everything that was written, in one tree.
#[derive(Debug)]
pub(super) struct Gathered {
    /// The root of the main file, with what the others add to it.
    pub(super) root: Map,
    /// The files that were read, the main one first.
    pub(super) files: Files,
    /// What could not be resolved.
    pub(super) remarks: Remarks,
}

/// Reads a Compose file and what it refers to.
///
/// # Errors
/// If the file is no Compose file. What it refers to and cannot be had is a remark.
pub(super) fn gather(path: &Path, target: &Path) -> Result<Gathered, Diagnostics> {
    let mut gatherer = Gatherer {
        files: Files::new(target),
        remarks: Remarks::default(),
        budget: Budget::new(),
        read: HashMap::new(),
    };
    let name = path.display().to_string();
    let file = gatherer
        .files
        .open(path, &name, None)
        .map_err(|problem| Diagnostics::of(*problem))?;
    let root = gatherer
        .root(file)
        .map_err(|fault| gatherer.diagnostics(&fault))?;
    let root = gatherer.with_includes(root, &mut vec![identity(path)]);
    let root = gatherer
        .with_extended(root)
        .map_err(|fault| gatherer.diagnostics(&fault))?;
    Ok(Gathered {
        root,
        files: gatherer.files,
        remarks: gatherer.remarks,
    })
}

struct Gatherer {
    files: Files,
    remarks: Remarks,
    budget: Budget,
    /// Files that `extends` leads to, each read once.
    read: HashMap<PathBuf, Result<Map, String>>,
}

impl Gatherer {
    /// What a file says.
    fn root(&mut self, file: usize) -> Result<Map, Fault> {
        let source = self.files.source(file).map(Arc::clone);
        let text = source.as_ref().map_or("", |source| source.text.as_str());
        let document = read(text, file, &mut self.budget)?;
        if let Some(second) = document.second {
            self.remarks.left_out(
                second,
                "---",
                "only the first document of the file was read",
                "convert each document from a file of its own",
            );
        }
        match &document.root.value {
            Value::Map(map) => Ok(map.clone()),
            Value::Null => Ok(Map::default()),
            _ => Err(Fault {
                message: format!(
                    "a Compose file is a mapping with `services`, not {}",
                    document.root.describe()
                ),
                place: document.root.place,
                help: "name the file that has the services".to_owned(),
            }),
        }
    }

    fn diagnostics(&self, fault: &Fault) -> Diagnostics {
        let mut problem = Diagnostic::error(fault.message.as_str());
        if let Some(source) = self.files.source(fault.place.file) {
            let at = byte_of(&source.text, fault.place);
            problem.place(0, Location::new(source, at..at + 1));
        }
        problem.help(fault.help.as_str());
        Diagnostics::of(problem)
    }

    /// The same fault as one line, for a remark.
    fn told(&self, fault: &Fault) -> String {
        format!(
            "{} ({}:{}:{})",
            fault.message,
            self.files.name(fault.place.file),
            fault.place.line,
            fault.place.column
        )
    }

    /// Adds what included files have. Ours wins where both have it.
    fn with_includes(&mut self, root: Map, chain: &mut Vec<PathBuf>) -> Map {
        let Some(include) = root.entry("include") else {
            return root;
        };
        let node = Rc::clone(&include.node);
        let mut all = Map(root
            .0
            .into_iter()
            .filter(|entry| &*entry.key != "include")
            .collect());
        for item in node.one_or_many() {
            for included in self.included(item, chain) {
                self.add(&mut all, &included);
            }
        }
        all
    }

    /// The roots of the files that one item of `include` names.
    fn included(&mut self, item: &Node, chain: &mut Vec<PathBuf>) -> Vec<Map> {
        let (paths, folder) = match &item.value {
            Value::Map(map) => {
                if let Some(env_file) = map.get("env_file") {
                    self.remarks.left_out(
                        env_file.place,
                        "include.env_file",
                        "variables are of the whole file here",
                        "name it in [workspace] env_file",
                    );
                }
                let folder = map.text("project_directory");
                let folder = folder.map(|folder| self.files.absolute(item.place.file, folder));
                let paths = map.get("path").map(|paths| paths.one_or_many());
                (paths.unwrap_or_default(), folder)
            }
            _ => (vec![item], None),
        };
        // Of several paths in one item, later ones are laid over the first.
        if let [_, over, ..] = paths.as_slice() {
            self.remarks.changed(
                over.place,
                "include",
                "files that are laid over another are added to it here",
                "write what the second one changes into the cosmos.toml, or a cosmos.local.toml",
            );
        }
        let mut roots = Vec::new();
        for path in paths {
            match self.include(path, folder.as_deref(), chain) {
                Ok(root) => roots.push(root),
                Err(why) => self.remarks.left_out(
                    path.place,
                    "include",
                    why,
                    "convert that file, too, and put what it says into this one",
                ),
            }
        }
        roots
    }

    fn include(
        &mut self,
        node: &Node,
        folder: Option<&Path>,
        chain: &mut Vec<PathBuf>,
    ) -> Result<Map, String> {
        let Some(path) = node.as_text() else {
            return Err(format!("a path is text, not {}", node.describe()));
        };
        if let Some(why) = elsewhere(path) {
            return Err(why);
        }
        let full = self.files.absolute(node.place.file, path);
        let identity = identity(&full);
        if chain.contains(&identity) {
            return Err(format!("`{path}` includes itself"));
        }
        if chain.len() >= LONGEST {
            return Err(format!("`{path}` is behind {LONGEST} others"));
        }
        let name = self.name(node.place.file, path);
        let file = self.files.open(&full, &name, folder);
        let file = file.map_err(|unreadable| unreadable.message)?;
        let root = self.root(file).map_err(|fault| self.told(&fault))?;
        chain.push(identity);
        let root = self.with_includes(root, chain);
        chain.pop();
        Ok(root)
    }

    fn name(&self, file: usize, path: &str) -> String {
        let relative = self.files.relative(file, path);
        relative
            .strip_prefix("./")
            .map_or(relative.clone(), str::to_owned)
    }

    fn add(&mut self, all: &mut Map, included: &Map) {
        for section in SHARED {
            let Some(theirs) = included.get(section) else {
                continue;
            };
            let Some(new) = theirs.as_map() else { continue };
            let at = all.0.iter().position(|entry| &*entry.key == section);
            let ours = at.and_then(|at| all.0[at].node.as_map());
            let mut entries = ours.cloned().unwrap_or_default().0;
            let known: HashSet<Rc<str>> =
                entries.iter().map(|entry| Rc::clone(&entry.key)).collect();
            for entry in new.iter() {
                if !known.contains(&entry.key) {
                    entries.push(entry.clone());
                } else if section != "networks" {
                    self.remarks.left_out(
                        entry.place,
                        &format!("{section}.{}", entry.key),
                        "it is in the including file, too, and Compose takes no name twice",
                        "give one of the two another name",
                    );
                }
            }
            let place = at.map_or(theirs.place, |at| all.0[at].node.place);
            let node = Rc::new(Node::new(Value::Map(Map(entries)), place));
            match at {
                Some(at) => all.0[at].node = node,
                None => all.0.push(Entry {
                    key: Rc::from(section),
                    place: theirs.place,
                    node,
                }),
            }
        }
    }

    /// Resolves `extends` in every service.
    fn with_extended(&mut self, mut root: Map) -> Result<Map, Fault> {
        let Some(at) = root.0.iter().position(|entry| &*entry.key == "services") else {
            return Ok(root);
        };
        let Some(services) = root.0[at].node.as_map().cloned() else {
            return Ok(root);
        };
        let by_name = index(&services);
        let mut done = Vec::with_capacity(services.0.len());
        for entry in services.iter() {
            let node = self.extended(&entry.node, &entry.key, &by_name, &mut Vec::new())?;
            done.push(Entry {
                node,
                ..entry.clone()
            });
        }
        let place = root.0[at].node.place;
        root.0[at].node = Rc::new(Node::new(Value::Map(Map(done)), place));
        Ok(root)
    }

    /// A service with what it extends beneath it.
    fn extended(
        &mut self,
        service: &Rc<Node>,
        name: &str,
        services: &HashMap<Rc<str>, Rc<Node>>,
        chain: &mut Vec<Place>,
    ) -> Result<Rc<Node>, Fault> {
        let Some(extends) = service.as_map().and_then(|map| map.get("extends")) else {
            return Ok(Rc::clone(service));
        };
        let key = format!("services.{name}.extends");
        let own = without(service, "extends");
        let missing = |this: &mut Self, why: String| {
            this.remarks.left_out(
                extends.place,
                &key,
                why,
                "write what it would have had into the service",
            );
        };
        if chain.contains(&service.place) || chain.len() >= LONGEST {
            missing(
                self,
                "it comes back to itself, or is too long a chain".to_owned(),
            );
            return Ok(own);
        }
        let (file, base_name) = match &extends.value {
            Value::Map(map) => (map.get("file"), map.text("service")),
            _ => (None, extends.as_text()),
        };
        let Some(base_name) = base_name else {
            missing(self, "it names no service".to_owned());
            return Ok(own);
        };
        let elsewhere;
        let services = match file {
            None => services,
            Some(file) => match self.extended_file(file) {
                Ok(map) => {
                    let found = map.get("services").and_then(|node| node.as_map());
                    elsewhere = found.map(index).unwrap_or_default();
                    &elsewhere
                }
                Err(why) => {
                    missing(self, why);
                    return Ok(own);
                }
            },
        };
        let Some(base) = services.get(base_name) else {
            missing(self, format!("there is no service `{base_name}`"));
            return Ok(own);
        };
        chain.push(service.place);
        let base = self.extended(base, base_name, services, chain)?;
        chain.pop();
        if !self.budget.take(base.size) {
            return Err(too_much(extends.place));
        }
        Ok(laid_over(&base, &own, name))
    }

    fn extended_file(&mut self, node: &Node) -> Result<Map, String> {
        let Some(path) = node.as_text() else {
            return Err(format!("a path is text, not {}", node.describe()));
        };
        if let Some(why) = elsewhere(path) {
            return Err(why);
        }
        let full = self.files.absolute(node.place.file, path);
        let identity = identity(&full);
        if let Some(known) = self.read.get(&identity) {
            return known.clone();
        }
        let name = self.name(node.place.file, path);
        let opened = self.files.open(&full, &name, None);
        let read = match opened {
            Ok(file) => self.root(file).map_err(|fault| self.told(&fault)),
            Err(unreadable) => Err(unreadable.message),
        };
        self.read.insert(identity, read.clone());
        read
    }
}

/// Why a path leads to no file here.
fn elsewhere(path: &str) -> Option<String> {
    let is_remote = path.contains("://") || path.starts_with("git@") || path.starts_with("oci:");
    if is_remote {
        return Some(format!("`{path}` is not on this machine"));
    }
    path.contains('$')
        .then(|| format!("`{path}` depends on a variable"))
}

/// The file a path means, by whichever way.
fn identity(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

fn index(services: &Map) -> HashMap<Rc<str>, Rc<Node>> {
    let entries = services.iter();
    entries
        .map(|entry| (Rc::clone(&entry.key), Rc::clone(&entry.node)))
        .collect()
}

fn without(node: &Rc<Node>, key: &str) -> Rc<Node> {
    let Value::Map(map) = &node.value else {
        return Rc::clone(node);
    };
    let entries = map.iter().filter(|entry| &*entry.key != key);
    let map = Map(entries.cloned().collect());
    Rc::new(Node::new(Value::Map(map), node.place))
}

/// Keys of which the last word is the whole of it.
const REPLACED: [&str; 3] = ["command", "entrypoint", "test"];

/// Keys that are lists of names and texts, or mappings of them.
const PAIRS: [&str; 6] = [
    "environment",
    "labels",
    "args",
    "sysctls",
    "annotations",
    "depends_on",
];

/// Keys that may be one text or a list.
const LISTS: [&str; 5] = ["env_file", "dns", "dns_search", "tmpfs", "profiles"];

/// `over` laid over `base`, both values of `key`.
fn laid_over(base: &Rc<Node>, over: &Rc<Node>, key: &str) -> Rc<Node> {
    if over.is_override || REPLACED.contains(&key) {
        return Rc::clone(over);
    }
    if over.is_null() && key != "environment" {
        return Rc::clone(base);
    }
    let as_map = |node: &Rc<Node>| match &node.value {
        Value::Map(map) => Some(map.clone()),
        Value::List(items) if PAIRS.contains(&key) => Some(pairs(items, key)),
        Value::List(items) if key == "networks" => Some(pairs(items, key)),
        Value::Plain(_) | Value::Quoted(_) if key == "build" => Some(Map(vec![Entry {
            key: Rc::from("context"),
            place: node.place,
            node: Rc::clone(node),
        }])),
        _ => None,
    };
    let as_list = |node: &Rc<Node>| match &node.value {
        Value::List(items) => Some(items.clone()),
        Value::Plain(_) | Value::Quoted(_) if LISTS.contains(&key) => Some(vec![Rc::clone(node)]),
        _ => None,
    };
    let value = if let (Some(base), Some(over)) = (as_map(base), as_map(over)) {
        Value::Map(maps_laid_over(&base, &over))
    } else if let (Some(base), Some(over)) = (as_list(base), as_list(over)) {
        Value::List(lists_laid_over(&base, &over, key))
    } else {
        return Rc::clone(over);
    };
    Rc::new(Node::new(value, over.place))
}

fn maps_laid_over(base: &Map, over: &Map) -> Map {
    let index: HashMap<&str, &Entry> = over.iter().map(|entry| (&*entry.key, entry)).collect();
    let mut entries: Vec<Entry> = base
        .iter()
        .map(|entry| match index.get(&*entry.key) {
            None => entry.clone(),
            Some(own) => Entry {
                node: laid_over(&entry.node, &own.node, &entry.key),
                ..(*own).clone()
            },
        })
        .collect();
    let known: HashSet<&str> = base.iter().map(|entry| &*entry.key).collect();
    let new = over.iter().filter(|entry| !known.contains(&*entry.key));
    entries.extend(new.cloned());
    Map(entries)
}

/// Both lists; what stands for the same thing is there once, as the second has it.
fn lists_laid_over(base: &[Rc<Node>], over: &[Rc<Node>], key: &str) -> Vec<Rc<Node>> {
    let what = |node: &Node| match key {
        "volumes" => mount_target(node),
        _ => node.as_text().map(str::to_owned),
    };
    let replaced: HashSet<String> = over.iter().filter_map(|node| what(node)).collect();
    let kept = base
        .iter()
        .filter(|node| what(node).is_none_or(|what| !replaced.contains(&what)));
    kept.chain(over).map(Rc::clone).collect()
}

fn mount_target(node: &Node) -> Option<String> {
    match &node.value {
        Value::Map(map) => map.text("target").map(str::to_owned),
        _ => {
            let parts = super::variables::split(node.as_text()?, ':');
            parts
                .get(usize::from(parts.len() > 1))
                .map(|&part| part.to_owned())
        }
    }
}

/// A list of `NAME=value`, or of names, as a mapping.
fn pairs(items: &[Rc<Node>], key: &str) -> Map {
    let entry = |node: &Rc<Node>| {
        let text = node.as_text()?;
        let (name, value) = match text.split_once('=') {
            Some((name, value)) if key != "depends_on" && key != "networks" => {
                (name, Value::Quoted(value.to_owned()))
            }
            _ => (text, Value::Null),
        };
        Some(Entry {
            key: Rc::from(name),
            place: node.place,
            node: Rc::new(Node::new(value, node.place)),
        })
    };
    Map(items.iter().filter_map(entry).collect())
}

/// The byte of a text at which a place is.
fn byte_of(text: &str, place: Place) -> usize {
    let line = usize::try_from(place.line).unwrap_or(usize::MAX);
    let column = usize::try_from(place.column).unwrap_or(usize::MAX);
    let mut start = 0;
    for (number, content) in text.split_inclusive('\n').enumerate() {
        if number + 1 == line {
            let inside = content.char_indices().nth(column - 1);
            return start + inside.map_or(content.trim_end().len(), |(at, _)| at);
        }
        start += content.len();
    }
    text.len()
}
