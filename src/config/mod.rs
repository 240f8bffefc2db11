//! From `cosmos.toml` to a [`Workspace`].
//!
//! [`load`] reads the file and its layers, merges them, puts variables in,
//! decodes, and gives everything its meaning. It reports **all** problems at
//! once, each with its place in a file, and it changes nothing: no printing, no
//! network, no engine.
//!
//! Start reading at [`load`], then [`mod@schema`] for what can be written and
//! `resolve/` for what it means.

pub mod adopt;
pub mod compose;
mod context;
mod danger;
mod declared;
mod decode;
mod diagnostics;
mod dockerfile;
mod dotenv;
mod explain;
pub mod forms;
mod glob;
mod ignore;
mod interpolate;
mod layers;
mod places;
mod read;
mod report;
mod resolve;
pub mod schema;
mod syntax;
mod units;
mod written;

#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::workspace::{Image, Installation, Origins, SecretName, Workspace};

pub use context::{
    BuildDigest, ContextError, ContextFile, ContextKind, LeftOut, build_digest, context_files,
    open_file,
};
pub use danger::Danger;
pub use declared::{Declared, declared};
pub use diagnostics::{Diagnostic, Diagnostics, Location, Related, Severity, Source, nearest};
pub use dockerfile::Dockerfile;
pub use explain::{Explanation, KeyState, Said, UnknownKey};
pub use layers::LayerKind;
pub use schema::{EngineName, schema};
pub use units::duration;

use decode::{Node, Segment, decode, join};
use diagnostics::Problems;
use layers::{Document, Layer, TABLES};
use read::{display_name, folder_of, read_text};
use report::Report;
use schema::Config;

/// The name of the file that makes a folder a workspace.
pub const FILE_NAME: &str = "cosmos.toml";

/// The file beside it for what is one person's own.
pub const LOCAL_FILE_NAME: &str = "cosmos.local.toml";

/// Finds `cosmos.toml` in `start` or the nearest folder around it.
pub fn find(start: &Path) -> Option<PathBuf> {
    start
        .ancestors()
        .map(|folder| folder.join(FILE_NAME))
        // Whatever it is: one that cannot be read must not be passed over for another.
        .find(|file| file.symlink_metadata().is_ok())
}

/// Everything a config is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// The workspace's file, usually a `cosmos.toml`.
    pub file: PathBuf,
    /// What is in it, where that is to be other than what it has now.
    pub text: Option<String>,
    /// The user's own file, if any: `$XDG_CONFIG_HOME/cosmos/config.toml`. It need not exist.
    pub user_file: Option<PathBuf>,
    /// The shell's environment.
    pub env: BTreeMap<String, String>,
    /// Which checkout this is, as said on the command line.
    pub instance: Option<String>,
    /// Active profiles, as said on the command line; `COSMOS_PROFILES` (commas) adds to them.
    pub profiles: Vec<String>,
    /// Keys set on the command line: `("proxy.port", "9090")`.
    pub flags: Vec<(String, String)>,
    /// The names of this installation of Cosmos.
    pub installation: Installation,
    /// Which secrets are read.
    pub secrets: SecretReading,
    /// Whether doubts are told that say nothing of what runs now: `check` tells them.
    pub thorough: bool,
}

/// Which secrets are read: that can mean running a password manager.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SecretReading {
    /// All that something uses.
    #[default]
    All,
    /// Those that no program has to be run for. The others are empty.
    NoCommands,
    /// None: all are empty.
    None,
}

/// A config and what it means.
#[derive(Debug)]
pub struct Loaded {
    /// What it means.
    pub workspace: Workspace,
    /// What runs it.
    pub engine: EngineName,
    /// The values of the secrets that something uses.
    pub secrets: BTreeMap<SecretName, Vec<u8>>,
    /// What reaches the host, in the order of the file.
    pub dangers: Vec<Danger>,
    /// The images that have a name of their own, whether or not something uses them.
    pub images: indexmap::IndexMap<String, Image>,
    /// What it means, but was probably not meant.
    pub warnings: Diagnostics,
    /// What it was read from, there or not: layers, env files, config files, secrets, what
    /// matches `inputs`, and the folders in which that was looked for.
    pub files: Vec<PathBuf>,
    document: Document,
    /// The values of variables that secrets are taken from: never shown.
    hidden: Vec<String>,
    /// The variables that were put into it, but for those with a short value.
    variables: BTreeMap<String, String>,
}

impl Loaded {
    /// The variables that were put into it, with their values: any of them can be a secret.
    pub fn variables(&self) -> &BTreeMap<String, String> {
        &self.variables
    }
}

/// Reads a config and gives it its meaning.
///
/// # Errors
/// All problems at once, in the order of the files.
pub fn load(sources: &Sources) -> Result<Loaded, Diagnostics> {
    load_noting(sources).0
}

/// The same, and what was read for it or looked for, whether or not it is valid: what has
/// to change before it can mean something else.
pub fn load_noting(sources: &Sources) -> (Result<Loaded, Diagnostics>, Vec<PathBuf>) {
    let mut files = Vec::new();
    let loaded = load_from(sources, &mut files);
    files.sort();
    files.dedup();
    let loaded = loaded.map(|loaded| Loaded {
        files: files.clone(),
        ..loaded
    });
    (loaded, files)
}

fn load_from(sources: &Sources, files: &mut Vec<PathBuf>) -> Result<Loaded, Diagnostics> {
    let mut problems = Problems::default();

    // First the layers; with a syntax error in any, the rest would be guesswork.
    let layers = read_layers(sources, files, &mut problems);
    if problems.has_errors() {
        return Err(problems.in_order());
    }
    let mut report = Report::new(Document::merge(layers), problems);
    let mut root = std::mem::replace(&mut report.document.root, Node::Refused);

    // Then the variables, then the types, then the meaning.
    let folder = folder_of(&sources.file);
    let variables = read_env_files(&folder, &mut root, sources, &mut report, files);
    let used = report.variables();
    let lookup = |name: &str| {
        let shell = sources.env.get(name);
        let value = shell.or_else(|| variables.get(name)).cloned();
        used.note(name, value.as_deref().unwrap_or_default());
        value
    };
    put_variables_in(&mut root, &Steps::Root, &lookup, &mut report);
    let config = decode_config(&mut root, &mut report);
    if report.is_full() {
        // What would be found is not told any more.
        return Err(report.into_parts().1);
    }
    let resolved = resolve::resolve(
        &resolve::Given {
            config: &config,
            written: &root,
            folder: &folder,
            sources,
            lookup: &lookup,
        },
        &mut report,
        files,
    );

    let (document, diagnostics) = report.into_parts();
    let Some(resolved) = resolved.filter(|_| !diagnostics.has_errors()) else {
        return Err(diagnostics);
    };
    let mut workspace = resolved.workspace;
    workspace.origins = origins(&document);
    let hidden = config
        .secrets
        .values()
        .filter_map(|secret| lookup(secret.env.as_deref()?))
        .filter(|value| !value.is_empty())
        .collect();
    Ok(Loaded {
        workspace,
        engine: config.workspace.engine,
        secrets: resolved.secrets,
        dangers: danger::placed(resolved.dangers, &document),
        images: resolved.images,
        warnings: diagnostics,
        files: Vec::new(),
        document,
        hidden,
        variables: used.values(),
    })
}

fn read_layers(sources: &Sources, files: &mut Vec<PathBuf>, problems: &mut Problems) -> Vec<Layer> {
    let folder = folder_of(&sources.file);
    let local = folder.join(LOCAL_FILE_NAME);
    let mut layers = vec![Layer::defaults()];
    let mut add = |kind, path: &Path, is_needed: bool| {
        files.push(path.to_owned());
        let rank = layers.len();
        let name = display_name(path, &folder);
        let read = match &sources.text {
            Some(text) if kind == LayerKind::Project => Ok(Some(Source::new(name, text.as_str()))),
            _ => read_text(path, &name, rank),
        };
        match read {
            Ok(Some(source)) => layers.push(Layer::parse(kind, source, rank, problems)),
            Ok(None) if is_needed => {
                let mut problem = Diagnostic::error(format!("there is no `{}`", path.display()));
                problem.help("write one with `cosmos init`, or name another: `-f FILE`");
                problems.push(problem);
            }
            Ok(None) => {}
            Err(problem) => problems.push(*problem),
        }
    };
    if let Some(user_file) = &sources.user_file {
        add(LayerKind::User, user_file, false);
    }
    add(LayerKind::Project, &sources.file, true);
    if sources.file != local {
        add(LayerKind::Local, &local, false);
    }
    layers.push(Layer::environment(&sources.env, problems));
    layers.push(Layer::flags(&sources.flags));
    layers
}

/// Reads the files named by `[workspace] env_file`; later ones win.
fn read_env_files(
    folder: &Path,
    root: &mut Node,
    sources: &Sources,
    report: &mut Report,
    files: &mut Vec<PathBuf>,
) -> BTreeMap<String, String> {
    // Their names can hold variables of the shell only.
    let used = report.variables();
    let shell = |name: &str| {
        let value = sources.env.get(name).cloned();
        used.note(name, value.as_deref().unwrap_or_default());
        value
    };
    let mut named = Vec::new();
    if let Some(node) = env_file_node(root) {
        let table = Steps::Key(&Steps::Root, "workspace");
        put_variables_in(node, &Steps::Key(&table, "env_file"), &shell, report);
        match node {
            Node::Text(file) | Node::Loose(file) => {
                named.push(("workspace.env_file".to_owned(), file.clone()));
            }
            Node::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    if let Node::Text(file) | Node::Loose(file) = item {
                        named.push((format!("workspace.env_file[{index}]"), file.clone()));
                    }
                }
            }
            // Of another type: decoding says so.
            _ => {}
        }
    } else {
        let usual = folder.join(".env");
        files.push(usual.clone());
        // A folder of that name is somebody else's: Python's environments are.
        if usual.symlink_metadata().is_ok() && !usual.is_dir() {
            named.push(("workspace".to_owned(), ".env".to_owned()));
        }
    }
    let mut variables = BTreeMap::new();
    for (path, file) in named {
        variables.extend(read_env_file(folder, &path, &file, report, files));
    }
    variables
}

fn env_file_node(root: &mut Node) -> Option<&mut Node> {
    let Node::Table(tables) = root else {
        return None;
    };
    match tables.get_mut("workspace")? {
        Node::Table(entries) => entries.get_mut("env_file"),
        _ => None,
    }
}

/// Reads one file of `NAME=value` lines. Problems point into that file.
fn read_env_file(
    folder: &Path,
    path: &str,
    file: &str,
    report: &mut Report,
    files: &mut Vec<PathBuf>,
) -> indexmap::IndexMap<String, String> {
    let full = folder.join(file);
    files.push(full.clone());
    // After every layer: an env file is read because a layer names it.
    let rank = report.document.layers.len();
    let source = match read_text(&full, &display_name(&full, folder), rank) {
        Ok(Some(source)) => Arc::new(source),
        Ok(None) => {
            report
                .error(path, format!("the env file `{file}` does not exist"))
                .help("create it, or take it out of `env_file`");
            return indexmap::IndexMap::new();
        }
        Err(mut problem) => {
            if problem.location.is_some() {
                problem.key(path);
                report.push(*problem);
            } else {
                // The file has no place to show, but what names it has.
                let help = problem.help.take().unwrap_or_default();
                report.error(path, problem.message).help(help);
            }
            return indexmap::IndexMap::new();
        }
    };
    let (values, faults) = dotenv::parse(&source.text);
    for fault in faults {
        let mut problem = Diagnostic::error(format!("`{file}` has {}", fault.message));
        problem
            .place(rank, Location::new(&source, fault.span))
            .help("each line is NAME=value, or a comment after `#`");
        report.push(problem);
    }
    values
}

/// Puts variables into every text from a file.
fn put_variables_in(
    node: &mut Node,
    path: &Steps<'_>,
    lookup: interpolate::Lookup<'_>,
    report: &mut Report,
) {
    match node {
        Node::Text(text) if text.contains('$') => {
            let done = match interpolate::interpolate(text, lookup) {
                Ok(done) => done,
                Err(faults) => {
                    report.faults(&path.text(), text, faults);
                    *node = Node::Refused;
                    return;
                }
            };
            // With a variable in it the text may stand for a number; `$$` alone is no variable.
            *node = if text.contains("${") {
                Node::Loose(done)
            } else {
                Node::Text(done)
            };
        }
        Node::Table(entries) => {
            for (key, value) in entries {
                put_variables_in(value, &Steps::Key(path, key), lookup, report);
            }
        }
        Node::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                put_variables_in(item, &Steps::Index(path, index), lookup, report);
            }
        }
        _ => {}
    }
}

/// A path that is written out only if there is something to say about it.
enum Steps<'a> {
    Root,
    Key(&'a Steps<'a>, &'a str),
    Index(&'a Steps<'a>, usize),
}

impl Steps<'_> {
    fn text(&self) -> String {
        match self {
            Self::Root => String::new(),
            Self::Key(path, key) => join(&path.text(), key),
            Self::Index(path, index) => format!("{}[{index}]", path.text()),
        }
    }
}

/// Decodes table by table, so that a problem in one costs no other anything.
fn decode_config(root: &mut Node, report: &mut Report) -> Config {
    let mut config = Config::default();
    let Node::Table(tables) = root else {
        return config;
    };
    for (key, node) in tables.iter_mut() {
        let path = [Segment::Key(key.clone())];
        let mut refuse = |refusal| report.refusal(refusal);
        match key.as_str() {
            "workspace" => config.workspace = decode(node, &path, &mut refuse).unwrap_or_default(),
            "network" => config.network = decode(node, &path, &mut refuse).unwrap_or_default(),
            "proxy" => config.proxy = decode(node, &path, &mut refuse).unwrap_or_default(),
            "networks" => config.networks = decode_each(node, key, report),
            "images" => config.images = decode_each(node, key, report),
            "services" => config.services = decode_each(node, key, report),
            "commands" => config.commands = decode_each(node, key, report),
            "routes" => config.routes = decode_each(node, key, report),
            "secrets" => config.secrets = decode_each(node, key, report),
            "volumes" => config.volumes = decode_each(node, key, report),
            _ => report.unknown_key(&join("", key), key, "", &TABLES),
        }
    }
    config
}

fn decode_each<T: serde::de::DeserializeOwned>(
    node: &mut Node,
    table: &str,
    report: &mut Report,
) -> indexmap::IndexMap<String, T> {
    let found = node.describe();
    let Node::Table(entries) = node else {
        report
            .error(table, format!("`{table}` must be a table, not {found}"))
            .help(format!("write [{table}.NAME] and its keys below"));
        return indexmap::IndexMap::new();
    };
    let mut decoded = indexmap::IndexMap::with_capacity(entries.len());
    for (name, entry) in entries {
        let path = [Segment::Key(table.to_owned()), Segment::Key(name.clone())];
        if let Some(value) = decode(entry, &path, &mut |refusal| report.refusal(refusal)) {
            decoded.insert(name.clone(), value);
        }
    }
    decoded
}

/// Where each key was written, for reasons that the server gives later.
fn origins(document: &Document) -> Origins {
    let mut origins = BTreeMap::new();
    let roots = document.places().map(|places| (String::new(), places));
    let mut todo: Vec<_> = roots.into_iter().collect();
    while let Some((path, places)) = todo.pop() {
        for (key, inside) in places.entries() {
            let path = join(&path, key);
            let (layer, place) = inside.first;
            if let Some(layer) = document.layers.get(layer) {
                origins.insert(path.clone(), layer.origin(place));
            }
            if place.is_table() {
                todo.push((path, inside));
            }
        }
    }
    Origins(origins)
}
