//! What a config means: [`Config`] to [`Workspace`].
//!
//! Everything is resolved even when something is wrong already, so that all
//! problems come at once; only what was refused before is passed over, so that
//! one mistake is told once.

mod command;
mod container;
mod danger;
mod files;
mod image;
mod links;
mod network;
mod secret;
mod service;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Display,
    net::IpAddr,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject as _},
};

use super::{
    Sources,
    decode::{Node, join},
    diagnostics::nearest,
    forms::{Items, OneOrMany, Scalar, Words},
    interpolate::Lookup,
    read::read,
    report::Report,
    schema::Config,
};
use crate::workspace::{
    Identity, Image, ImageRef, InstanceName, NetworkName, Origins, OutsideRoute, ProxyNeeds,
    RouteName, SecretName, ServiceName, Volume, VolumeName, Workspace, WorkspaceName,
    name::label_from,
};

/// Hosts under which the proxy serves its own API and dashboard, and what
/// containers ask it for.
const RESERVED_HOSTS: [&str; 3] = ["localhost", "cosmos.localhost", "cosmos-proxy"];

/// What a config is resolved with.
pub(super) struct Given<'a> {
    pub(super) config: &'a Config,
    /// The tree it was decoded from: has what was refused, too.
    pub(super) written: &'a Node,
    /// The project's folder.
    pub(super) folder: &'a Path,
    pub(super) sources: &'a Sources,
    /// Variables of the shell and of the env files.
    pub(super) lookup: Lookup<'a>,
}

/// A config's meaning, and what else was found out on the way.
pub(super) struct Resolved {
    pub(super) workspace: Workspace,
    pub(super) secrets: BTreeMap<SecretName, Vec<u8>>,
    pub(super) images: IndexMap<String, Image>,
    /// What reaches the host, by key path.
    pub(super) dangers: Vec<(String, String)>,
}

/// Resolves everything, or reports why not. `None` only with an error reported.
pub(super) fn resolve(
    given: &Given<'_>,
    report: &mut Report,
    files: &mut Vec<PathBuf>,
) -> Option<Resolved> {
    let mut resolver = Resolver {
        identity: identity(given, report),
        given,
        report,
        files,
        images: HashMap::new(),
        volumes: IndexMap::new(),
        networks_in_use: BTreeSet::new(),
        dangers: Vec::new(),
        secrets: BTreeMap::new(),
        secret_hashes: HashMap::new(),
        env_files: HashMap::new(),
        port_places: HashMap::new(),
    };
    let network = resolver.network();
    let networks = resolver.further_networks();
    let proxy = resolver.proxy();
    resolver.check_images();
    let services = resolver.services();
    let commands = resolver.commands();
    let routes = resolver.routes();
    resolver.check_volumes();
    let networks = resolver.used_networks(networks);
    resolver.check_secrets();
    let mut workspace = Workspace {
        identity: resolver.identity.clone(),
        network,
        proxy,
        services,
        commands,
        routes,
        volumes: std::mem::take(&mut resolver.volumes),
        networks,
        origins: Origins::default(),
    };
    links::check(&mut workspace, &mut resolver);
    Some(Resolved {
        workspace,
        secrets: std::mem::take(&mut resolver.secrets),
        dangers: std::mem::take(&mut resolver.dangers),
        images: resolver.named_images(),
    })
}

struct Resolver<'a, 'r> {
    given: &'a Given<'a>,
    report: &'r mut Report,
    files: &'r mut Vec<PathBuf>,
    identity: Identity,
    /// Named images that something used already.
    images: HashMap<String, Option<Image>>,
    volumes: IndexMap<VolumeName, Volume>,
    /// Further networks that something names, by the engine's names.
    networks_in_use: BTreeSet<NetworkName>,
    /// What reaches the host, by key path.
    dangers: Vec<(String, String)>,
    secrets: BTreeMap<SecretName, Vec<u8>>,
    secret_hashes: HashMap<String, Option<String>>,
    /// Env files read already: many services share one.
    env_files: HashMap<String, IndexMap<String, String>>,
    /// Where each port of a service or command was written, by its path.
    port_places: HashMap<String, Vec<String>>,
}

/// Who the workspace is.
fn identity(given: &Given<'_>, report: &mut Report) -> Identity {
    let folder_name = given
        .folder
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let name = match &given.config.workspace.name {
        Some(name) => match WorkspaceName::new(name.as_str()) {
            Ok(name) => Some(name),
            Err(error) => {
                suggest_label(report.error("workspace.name", error.to_string()), name);
                None
            }
        },
        None => {
            let label = label_from(&folder_name).and_then(|label| WorkspaceName::new(label).ok());
            if label.is_none() {
                report
                    .error(
                        "workspace.name",
                        format!("no workspace name can be made of the folder's, `{folder_name}`"),
                    )
                    .help("give it one: [workspace] name = \"shop\"");
            }
            label
        }
    };
    Identity {
        name: name.unwrap_or_else(placeholder),
        instance: instance(given, report),
        folder: given.folder.to_string_lossy().into_owned(),
    }
}

/// Stands for a name that was refused: nothing that holds it gets out.
fn placeholder<T: TryFrom<String>>() -> T
where
    T::Error: std::fmt::Debug,
{
    match T::try_from("x".to_owned()) {
        Ok(name) => name,
        Err(error) => unreachable!("`x` is a name: {error:?}"),
    }
}

fn suggest_label(problem: &mut super::Diagnostic, name: &str) {
    problem.help(match label_from(name) {
        Some(label) => format!("`{label}` would do"),
        None => "choose another, like `shop`".to_owned(),
    });
}

/// Which checkout: as ordered, else the name of a linked git worktree.
fn instance(given: &Given<'_>, report: &mut Report) -> Option<InstanceName> {
    let variable = given.sources.env.get("COSMOS_INSTANCE");
    let ordered = given.sources.instance.as_ref().or(variable);
    let Some(ordered) = ordered.filter(|name| !name.is_empty()) else {
        let worktree = worktree(given.folder)?;
        return InstanceName::new(label_from(&worktree)?).ok();
    };
    match InstanceName::new(ordered.as_str()) {
        Ok(name) => Some(name),
        Err(error) => {
            let mut problem =
                super::Diagnostic::error(format!("the instance's name is none: {error}"));
            suggest_label(&mut problem, ordered);
            report.push(problem);
            None
        }
    }
}

/// The name of the linked git worktree that a folder is in.
///
/// There `.git` is a file that names `<repository>/.git/worktrees/<name>`; a
/// submodule's names `.git/modules/..` and is no checkout of the same project.
fn worktree(folder: &Path) -> Option<String> {
    let git = folder
        .ancestors()
        .map(|folder| folder.join(".git"))
        .find(|git| git.exists())?;
    let text = String::from_utf8(read(&git).ok()?).ok()?;
    let target = Path::new(text.trim().strip_prefix("gitdir:")?.trim());
    let parent = target.parent()?.file_name()?;
    (parent == "worktrees").then(|| target.file_name().map(|name| name.to_string_lossy().into()))?
}

impl Resolver<'_, '_> {
    /// Whether a name stands in a table, even with a value that was refused.
    fn is_written(&self, table: &str, name: &str) -> bool {
        let table = self.given.written.get(table);
        table.is_some_and(|table| table.get(name).is_some())
    }

    /// A name that none of these tables has; the first is where it belongs.
    fn unknown_name(&mut self, path: &str, message: String, name: &str, tables: &[&str]) {
        let written = self.given.written;
        let names = tables.iter().flat_map(|table| names_in(written, table));
        let table = tables.first().copied().unwrap_or_default();
        self.report.unknown_name(path, message, name, names, table);
    }

    /// Whether a key of `[table.name]` was there, and was refused.
    fn was_refused(&self, table: &str, name: &str, key: &str) -> bool {
        let entry = self
            .given
            .written
            .get(table)
            .and_then(|table| table.get(name));
        match entry {
            Some(Node::Refused) => true,
            // Or something that was meant to be it.
            Some(Node::Table(entries)) => entries
                .iter()
                .any(|(name, value)| *value == Node::Refused && nearest(name, [key]).is_some()),
            Some(_) => false,
            None => false,
        }
    }

    /// A name of a kind, or a problem at its key.
    fn name<T>(&mut self, table: &str, name: &str) -> Option<T>
    where
        T: TryFrom<String>,
        T::Error: Display,
    {
        match T::try_from(name.to_owned()) {
            Ok(name) => Some(name),
            Err(error) => {
                let path = join(table, name);
                let label = label_from(name).filter(|label| T::try_from(label.clone()).is_ok());
                let is_taken = label
                    .as_ref()
                    .is_some_and(|label| self.is_written(table, label));
                let problem = self.report.key_error(&path, error.to_string());
                match label {
                    Some(label) if is_taken => {
                        problem.help(format!("`{label}` would do, but is there already"));
                    }
                    Some(label) => {
                        problem.help(format!("`{label}` would do"));
                    }
                    None => {
                        problem.help("give it a name: letters, digits and `-`");
                    }
                }
                None
            }
        }
    }

    /// A value of a kind, or a problem at its place.
    fn value<T>(&mut self, path: &str, text: &str) -> Option<T>
    where
        T: TryFrom<String>,
        T::Error: Display,
    {
        match T::try_from(text.to_owned()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.report
                    .error(path, error.to_string())
                    .help("choose another");
                None
            }
        }
    }

    fn words(&mut self, path: &str, words: &Words) -> Option<Vec<String>> {
        match words {
            Words::List(words) => Some(words.to_vec()),
            Words::Line(line) => match shell_words::split(line) {
                Ok(words) if words.is_empty() => {
                    self.report
                        .error(path, "an empty command")
                        .help("write the command, or take the key out");
                    None
                }
                Ok(words) => Some(words),
                Err(_) => {
                    self.report
                        .error(path, "a quote in this command is not closed")
                        .help("close it, or write the command as a list of words");
                    None
                }
            },
        }
    }

    fn proxy(&mut self) -> ProxyNeeds {
        let table = &self.given.config.proxy;
        if table.port == Some(0) {
            self.report
                .error("proxy.port", "the proxy cannot listen on port 0")
                .help("a port is 1 to 65535");
        }
        let image = table.image.as_ref();
        if let Some(image) = image {
            self.danger(
                "proxy.image",
                format!("makes the proxy, which has the engine's socket, of `{image}`"),
            );
        }
        ProxyNeeds {
            port: table.port,
            tokenless: table.tokenless,
            image: image.and_then(|image| self.reference("proxy.image", image)),
        }
    }

    fn routes(&mut self) -> IndexMap<RouteName, OutsideRoute> {
        let mut routes = IndexMap::new();
        for (name, table) in &self.given.config.routes {
            let path = join("routes", name);
            let route_name = self.name::<RouteName>("routes", name);
            let Some(upstream) = &table.upstream else {
                if !self.was_refused("routes", name, "upstream") {
                    self.report
                        .key_error(&path, format!("route `{name}` leads nowhere"))
                        .help("add upstream = \"https://api.example.com\"");
                }
                continue;
            };
            let upstream_path = format!("{path}.upstream");
            self.check_upstream(&upstream_path, upstream);
            let hosts = self.hosts(&format!("{path}.hosts"), table.hosts.as_ref());
            let ca = table
                .ca
                .as_ref()
                .and_then(|file| self.authority(&format!("{path}.ca"), file, upstream));
            if let Some(route_name) = route_name {
                let route = OutsideRoute {
                    upstream: upstream.clone(),
                    hosts,
                    ca,
                    capture: table.capture,
                };
                routes.insert(route_name, route);
            }
        }
        routes
    }

    /// The certificates in a file, which are sent along: the proxy cannot read it.
    fn authority(&mut self, path: &str, file: &str, upstream: &str) -> Option<String> {
        if !upstream.starts_with("https://") {
            self.report
                .error(
                    path,
                    "`ca` is about https, which this upstream does not speak",
                )
                .help("remove it, or write the upstream with https://");
        }
        let host = self.host_path(file);
        self.files.push(host.clone());
        self.danger_of_reading(path, &host);
        let content = match read(&host) {
            Ok(content) => content,
            Err(why) => {
                self.report
                    .error(path, format!("`{file}` cannot be read: {why}"))
                    .help(why.help());
                return None;
            }
        };
        let text = String::from_utf8(content).unwrap_or_default();
        if text.contains("PRIVATE KEY-----") {
            self.report
                .error(path, format!("`{file}` holds a private key"))
                .help("name a file with the certificate alone: the key is nobody's business here");
            return None;
        }
        let mut usable = RootCertStore::empty();
        let are_usable = CertificateDer::pem_slice_iter(text.as_bytes())
            .all(|certificate| certificate.is_ok_and(|it| usable.add(it).is_ok()));
        if !are_usable || usable.is_empty() {
            self.report
                .error(
                    path,
                    format!("`{file}` holds no certificates that can be used"),
                )
                .help("they are in PEM: -----BEGIN CERTIFICATE-----");
            return None;
        }
        Some(text)
    }

    fn check_upstream(&mut self, path: &str, upstream: &str) {
        let Some((scheme, rest)) = upstream.split_once("://") else {
            self.report
                .error(path, format!("`{upstream}` has no scheme"))
                .help(format!("write https://{upstream} or http://{upstream}"));
            return;
        };
        if !matches!(scheme, "http" | "https") {
            self.report
                .error(path, format!("an upstream cannot be `{scheme}`"))
                .help("it is http or https");
            return;
        }
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        if authority.contains('@') {
            self.report
                .error(path, "an upstream cannot hold a user or password")
                .help("it would be shown in logs: let the client send the header");
        } else if authority.is_empty() || authority.contains(char::is_whitespace) {
            self.report
                .error(path, format!("`{upstream}` has no host"))
                .help("write it like https://api.example.com");
        } else if let Some(port) = port_of(authority)
            && !port.parse::<u16>().is_ok_and(|port| port > 0)
        {
            self.report
                .error(path, format!("`{port}` is not a port"))
                .help("a port is 1 to 65535");
        }
    }

    fn hosts(&mut self, path: &str, hosts: Option<&OneOrMany>) -> Vec<String> {
        let mut all = Vec::new();
        for (path, host) in one_or_many(path, hosts) {
            let is_label = |label: &str| {
                !label.is_empty()
                    && label.len() <= 63
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            };
            let plain = host.strip_prefix("*.").unwrap_or(host);
            let is_reserved = RESERVED_HOSTS.contains(&plain) || plain.parse::<IpAddr>().is_ok();
            if is_reserved {
                self.report
                    .error(&path, format!("`{host}` is the proxy's own"))
                    .help(format!(
                        "choose another, like \"{}.localhost\"",
                        self.identity.key()
                    ));
            } else if plain.split('.').all(is_label) {
                all.push(host.to_ascii_lowercase());
            } else {
                self.report
                    .error(&path, format!("`{host}` is not a host name"))
                    .help("a name alone, without scheme, port or path: \"shop.example.com\"");
            }
        }
        all
    }

    /// The engine's name of a named volume, which from then on is part of the workspace.
    fn volume(&mut self, path: &str, name: &str) -> Option<VolumeName> {
        if let Err(error) = VolumeName::new(name) {
            let problem = self.report.error(path, error.to_string());
            problem.help(if name.contains('/') {
                format!("a path on the host starts with `./`: \"./{name}\"")
            } else {
                "choose another, like \"db-data\"".to_owned()
            });
            return None;
        }
        let table = self.given.config.volumes.get(name);
        if table.is_none() && !self.is_written("volumes", name) {
            let names = names_in(self.given.written, "volumes");
            if let Some(meant) = self.report.nearest(name, names) {
                self.report
                    .warning(path, format!("the volume `{name}` is not in [volumes]"))
                    .help(format!("it is made anew; did you mean `{meant}`?"));
            }
        }
        let external = table.is_some_and(|table| table.external);
        let volume = if external {
            VolumeName::new(name).ok()?
        } else {
            self.identity.volume(name)
        };
        if !self.volumes.contains_key(&volume) {
            let made = table.map_or_else(Volume::default, |table| Volume {
                external,
                driver: table.driver.clone().unwrap_or_else(|| "local".to_owned()),
                options: sorted(&table.options),
                labels: sorted(&table.labels),
            });
            self.danger_of_volume(name, &made);
            self.volumes.insert(volume.clone(), made);
        }
        Some(volume)
    }

    fn check_volumes(&mut self) {
        for (name, table) in &self.given.config.volumes {
            let path = join("volumes", name);
            if let Err(error) = VolumeName::new(name.as_str()) {
                self.report
                    .key_error(&path, error.to_string())
                    .help("choose another, like [volumes.db-data]");
                continue;
            }
            let engine_name = if table.external {
                VolumeName::new(name.as_str()).ok()
            } else {
                Some(self.identity.volume(name))
            };
            let is_mounted = engine_name.is_some_and(|name| self.volumes.contains_key(&name));
            if !is_mounted {
                self.report
                    .warning(&path, format!("nothing mounts the volume `{name}`"))
                    .help(format!(
                        "mount it, as in mounts = [\"{name}:/data\"], or take it out"
                    ));
            }
            let says_how = table.driver.is_some() || !table.options.is_empty();
            if table.external && says_how {
                self.report
                    .key_error(
                        &path,
                        format!("the volume `{name}` is external, so it is not made here"),
                    )
                    .help("take out driver and options, or external = true");
            }
        }
    }

    /// The active profiles.
    fn profiles(&self) -> BTreeSet<&str> {
        let variable = self.given.sources.env.get("COSMOS_PROFILES");
        let from_variable = variable.into_iter().flat_map(|names| names.split(','));
        let from_flags = self.given.sources.profiles.iter().map(String::as_str);
        from_variable
            .chain(from_flags)
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .collect()
    }

    fn reference(&mut self, path: &str, text: &str) -> Option<ImageRef> {
        if let Some(fault) = image::fault_of_reference(text) {
            let message = if text.is_empty() {
                "an image reference cannot be empty".to_owned()
            } else {
                format!("`{text}` is not an image reference: {fault}")
            };
            self.report
                .error(path, message)
                .help("write it like \"postgres:16-alpine\"");
            return None;
        }
        self.value(path, text)
    }

    /// The path of a service's or command's key by its name.
    fn dependent_path(&self, name: &str) -> String {
        let is_service = ServiceName::new(name)
            .is_ok_and(|name| self.given.config.services.contains_key(name.as_str()));
        join(if is_service { "services" } else { "commands" }, name)
    }
}

/// The names that stand in a table.
fn names_in<'a>(written: &'a Node, table: &str) -> impl Iterator<Item = &'a str> + use<'a> {
    let entries = match written.get(table) {
        Some(Node::Table(entries)) => Some(entries.keys()),
        _ => None,
    };
    entries.into_iter().flatten().map(String::as_str)
}

/// Each of one or many, with its path.
fn one_or_many<'a>(path: &str, texts: Option<&'a OneOrMany>) -> Vec<(String, &'a str)> {
    match texts {
        None => Vec::new(),
        Some(OneOrMany::One(text)) => vec![(path.to_owned(), text)],
        Some(OneOrMany::Many(texts)) => each(path, texts)
            .map(|(path, text)| (path, text.as_str()))
            .collect(),
    }
}

/// Each item of a list, with its path.
fn each<'a, T>(path: &str, items: &'a Items<T>) -> impl Iterator<Item = (String, &'a T)> {
    items
        .iter()
        .map(move |(index, item)| (format!("{path}[{index}]"), item))
}

fn sorted(table: &IndexMap<String, Scalar>) -> BTreeMap<String, String> {
    let entries = table.iter();
    entries
        .map(|(key, value)| (key.clone(), value.0.clone()))
        .collect()
}

/// The port of `host:port` or `[v6]:port`.
fn port_of(authority: &str) -> Option<&str> {
    let after = authority
        .rsplit_once(']')
        .map_or(authority, |(_, after)| after);
    after.rsplit_once(':').map(|(_, port)| port)
}
