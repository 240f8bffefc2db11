//! A container, written into a `cosmos.toml` as a service.
//!
//! What is there stays as it is, byte for byte: the service is a piece of text of its own,
//! put behind the last service of the file. What a person said in comments, in an order
//! and in line ends is none of our business.
//!
//! [`adopt`] is pure. Whether what comes out loads, and leaves everything else as it was,
//! is for whoever writes it to see.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::compose::{
    draft::{Draft, Item, Section, Table},
    write::write,
};
use crate::workspace::{
    Container, Health, HealthProbe, Mount, MountSource, PortPublish, RestartPolicy, ServiceName,
    Transport,
};

/// What becomes a service.
#[derive(Debug, Clone)]
pub struct Adoptee<'a> {
    /// What it is called from now on.
    pub name: &'a ServiceName,
    /// Where it comes from, for whoever reads the file.
    pub origin: &'a str,
    /// What of it differs from its image.
    pub container: &'a Container,
    /// Its check.
    pub health: Option<&'a Health>,
    /// When it is started again.
    pub restart: RestartPolicy,
    /// The ports that it listens on.
    pub exposed: &'a [u16],
}

/// What the workspace calls by names that the engine has, too.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Images with a name of their own.
    pub images: BTreeSet<String>,
    /// Volumes.
    pub volumes: Names,
    /// Further networks.
    pub networks: Names,
}

/// Names of things that the file and the engine do not call the same.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// What the file calls it, by the engine's name.
    pub of_engine: BTreeMap<String, String>,
    /// The file's names of what is this workspace's own.
    pub own: BTreeSet<String>,
}

/// A file with a service more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Adoption {
    /// All of the file.
    pub text: String,
    /// What is new in it.
    pub added: String,
    /// Variables whose values look like secrets: they are not in the file, and must be
    /// set elsewhere.
    pub variables: Vec<(String, String)>,
    /// What cannot be said in this file, and why.
    pub left_out: Vec<(String, String)>,
}

/// Why a file cannot be extended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// Its services stand where no table can follow.
    #[error("no service can be written behind those of this file: they stand on one line")]
    NoPlace {
        /// What would have been written.
        added: String,
    },
}

/// Puts a service into the text of a `cosmos.toml` that stands in `folder`.
///
/// # Errors
/// If nothing can be put behind its services.
pub fn adopt(
    text: &str,
    folder: &Path,
    adoptee: &Adoptee<'_>,
    known: &Known,
) -> Result<Adoption, AdoptError> {
    let mut writer = Writer {
        folder,
        adoptee,
        known,
        written: toml::from_str(text).unwrap_or_default(),
        draft: Draft::default(),
        variables: Vec::new(),
        left_out: Vec::new(),
    };
    writer.service();
    let added = write(&writer.draft);
    for at in [behind_services(text), Some(text.len())]
        .into_iter()
        .flatten()
    {
        let new = inserted(text, at, &added);
        if is_extended(text, &new, adoptee.name, &added) {
            return Ok(Adoption {
                text: new,
                added,
                variables: writer.variables,
                left_out: writer.left_out,
            });
        }
    }
    Err(AdoptError::NoPlace { added })
}

struct Writer<'a> {
    folder: &'a Path,
    adoptee: &'a Adoptee<'a>,
    known: &'a Known,
    /// The file as it is.
    written: toml::Table,
    draft: Draft,
    variables: Vec<(String, String)>,
    left_out: Vec<(String, String)>,
}

impl Writer<'_> {
    fn service(&mut self) {
        let Adoptee {
            container, health, ..
        } = *self.adoptee;
        let mut table = Table::default();
        table.push("image", self.image());
        if let Some(words) = &container.entrypoint {
            table.push("entrypoint", texts(words));
        }
        if let Some(words) = &container.command {
            table.push("command", texts(words));
        }
        self.environment(&mut table);
        let mounts: Vec<Item> = container
            .mounts
            .iter()
            .filter_map(|mount| self.mount(mount))
            .collect();
        push_list(&mut table, "mounts", mounts);
        if !container.tmpfs.is_empty() {
            let entries = container.tmpfs.iter();
            table.push(
                "tmpfs",
                pairs(entries.map(|(path, options)| (path.as_str(), options.as_str()))),
            );
        }
        let ports = container.ports.iter().map(port).collect();
        push_list(&mut table, "ports", ports);
        if let Some(port) = route(self.adoptee.exposed) {
            table.push("route", i64::from(port));
        }
        let networks: Vec<Item> = container
            .networks
            .iter()
            .filter_map(|network| self.called("networks", network.as_str()))
            .map(Item::from)
            .collect();
        push_list(&mut table, "networks", networks);
        self.process(&mut table);
        if let Some(health) = health {
            table.push("health", checked(health));
        }
        match self.adoptee.restart {
            RestartPolicy::Always => {}
            RestartPolicy::OnFailure => table.push("restart", "on-failure"),
            RestartPolicy::Never => table.push("restart", "never"),
        }
        self.rights(&mut table);
        self.draft.sections.insert(
            0,
            Section {
                kind: "services",
                name: Some(self.adoptee.name.to_string()),
                comment: Some(format!("From {}.", self.adoptee.origin)),
                table,
            },
        );
    }

    /// Its reference; never the name of an image of this file.
    fn image(&self) -> String {
        let reference = self.adoptee.container.image.reference().to_string();
        match self.known.images.contains(&reference) {
            true => format!("{reference}:latest"),
            false => escaped(&reference),
        }
    }

    fn environment(&mut self, table: &mut Table) {
        let mut variables = Table::default();
        for (name, value) in &self.adoptee.container.env {
            if !is_variable(name) {
                self.lose(
                    format!("the variable `{name}`"),
                    "that is no name of a variable here",
                );
                continue;
            }
            if is_secret(name, value) && is_plain_name(name) {
                self.variables.push((name.clone(), value.clone()));
                variables.push(name, format!("${{{name}:?set it in .env}}"));
            } else if is_secret(name, value) {
                self.lose(
                    format!("the variable `{name}`"),
                    "its value looks like a secret, and no variable of .env can be called so",
                );
            } else {
                variables.push(name, escaped(value));
            }
        }
        if !variables.is_empty() {
            table.push("env", variables);
        }
    }

    fn mount(&mut self, mount: &Mount) -> Option<Item> {
        let source = match &mount.source {
            MountSource::Anonymous => None,
            MountSource::Host(path) => Some(self.host_path(path)),
            MountSource::Volume(name) => Some(self.called("volumes", name.as_str())?),
        };
        let has_colon =
            mount.target.contains(':') || source.as_ref().is_some_and(|it| it.contains(':'));
        if has_colon {
            let mut table = Table::default();
            if let Some(source) = source {
                table.push("source", escaped(&source));
            }
            table.push("target", escaped(&mount.target));
            if mount.read_only {
                table.push("read_only", true);
            }
            return Some(table.into());
        }
        let source = source.map_or_else(String::new, |source| format!("{source}:"));
        let mode = if mount.read_only { ":ro" } else { "" };
        Some(escaped(&format!("{source}{}{mode}", mount.target)).into())
    }

    /// A path on the host: relative where it is of this project.
    fn host_path(&self, path: &str) -> String {
        match Path::new(path).strip_prefix(self.folder) {
            Ok(inside) if inside.as_os_str().is_empty() => ".".to_owned(),
            Ok(inside) => format!("./{}", inside.display()),
            Err(_) => path.to_owned(),
        }
    }

    /// What the file calls the engine's volume or network of this name. It is declared, if
    /// it was not; nothing if the file means another one by it.
    fn called(&mut self, kind: &'static str, name: &str) -> Option<String> {
        let (known, what) = match kind {
            "volumes" => (&self.known.volumes, "volume"),
            _ => (&self.known.networks, "network"),
        };
        if let Some(called) = known.of_engine.get(name) {
            return Some(called.clone());
        }
        let declared = self.written.get(kind).and_then(|table| table.get(name));
        let is_external = |table: &toml::Value| {
            let external = table.get("external").and_then(toml::Value::as_bool);
            external == Some(true)
        };
        if known.own.contains(name) || declared.is_some_and(|table| !is_external(table)) {
            self.lose(
                format!("the {what} `{name}`"),
                &format!("the file calls one of this workspace's own so: rename that, and declare [{kind}.{name}] external = true"),
            );
            return None;
        }
        let mut sections = self.draft.sections.iter();
        let is_new = !sections.any(|one| one.kind == kind && one.name.as_deref() == Some(name));
        if declared.is_none() && is_new {
            let mut table = Table::default();
            table.push("external", true);
            self.draft.add(kind, Some(name), table);
        }
        Some(name.to_owned())
    }

    fn process(&self, table: &mut Table) {
        let container = self.adoptee.container;
        let texts = [
            ("user", &container.user),
            ("workdir", &container.workdir),
            ("hostname", &container.hostname),
            ("stop_signal", &container.stop_signal),
            ("platform", &container.platform),
        ];
        for (key, value) in texts {
            if let Some(value) = value {
                table.push(key, escaped(value));
            }
        }
        if container.stop_grace != Container::STOP_GRACE {
            table.push("stop_grace", time(container.stop_grace));
        }
        for (key, value) in [
            ("init", container.init),
            ("tty", container.tty),
            ("stdin", container.stdin),
        ] {
            if value {
                table.push(key, true);
            }
        }
        if !container.labels.is_empty() {
            let entries = container.labels.iter();
            table.push(
                "labels",
                pairs(entries.map(|(label, value)| (label.as_str(), value.as_str()))),
            );
        }
    }

    /// What it may use, and what it may do.
    fn rights(&self, table: &mut Table) {
        let container = self.adoptee.container;
        let mut resources = Table::default();
        if let Some(nanos) = container.resources.nano_cpus {
            resources.push("cpus", cpus(nanos));
        }
        if let Some(memory) = container.resources.memory {
            resources.push("memory", size(memory.unsigned_abs()));
        }
        if let Some(pids) = container.resources.pids {
            resources.push("pids", pids);
        }
        if !resources.is_empty() {
            table.push("resources", resources);
        }
        if let Some(bytes) = container.shm_size {
            table.push("shm_size", size(bytes));
        }
        for (key, value) in [
            ("read_only", container.read_only),
            ("privileged", container.privileged),
        ] {
            if value {
                table.push(key, true);
            }
        }
        for (key, values) in [
            ("cap_add", &container.cap_add),
            ("cap_drop", &container.cap_drop),
            ("security_opt", &container.security_opt),
            ("extra_hosts", &container.extra_hosts),
            ("dns", &container.dns),
        ] {
            if !values.is_empty() {
                table.push(key, texts(values));
            }
        }
        let devices = container.devices.iter().map(|device| {
            let is_same = device.host == device.container;
            let text = match (is_same, device.permissions.as_str()) {
                (true, "rwm") => device.host.clone(),
                (false, "rwm") => format!("{}:{}", device.host, device.container),
                (_, permissions) => format!("{}:{}:{permissions}", device.host, device.container),
            };
            Item::from(escaped(&text))
        });
        push_list(table, "devices", devices.collect());
        let mut limits = Table::default();
        for (name, limit) in &container.ulimits {
            if limit.soft == limit.hard {
                limits.push(name, limit.soft);
                continue;
            }
            let mut apart = Table::default();
            apart.push("soft", limit.soft);
            apart.push("hard", limit.hard);
            limits.push(name, apart);
        }
        if !limits.is_empty() {
            table.push("ulimits", limits);
        }
        if !container.sysctls.is_empty() {
            let entries = container.sysctls.iter();
            table.push(
                "sysctls",
                pairs(entries.map(|(name, value)| (name.as_str(), value.as_str()))),
            );
        }
        if let Some(logging) = &container.logging {
            let mut log = Table::default();
            log.push("driver", escaped(&logging.driver));
            if !logging.options.is_empty() {
                let entries = logging.options.iter();
                log.push(
                    "options",
                    pairs(entries.map(|(name, value)| (name.as_str(), value.as_str()))),
                );
            }
            table.push("logging", log);
        }
    }

    fn lose(&mut self, what: String, why: &str) {
        self.left_out.push((what, why.to_owned()));
    }
}

// -- values

/// A text in which no `$` begins a variable.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        escaped.push(letter);
        if letter == '$' && matches!(letters.peek(), Some('$' | '{')) {
            escaped.push('$');
        }
    }
    escaped
}

fn texts(texts: &[String]) -> Item {
    Item::List(texts.iter().map(|text| Item::Text(escaped(text))).collect())
}

fn pairs<'a>(entries: impl Iterator<Item = (&'a str, &'a str)>) -> Item {
    let mut table = Table::default();
    for (key, value) in entries {
        table.push(key, escaped(value));
    }
    table.into()
}

fn push_list(table: &mut Table, key: &str, items: Vec<Item>) {
    if !items.is_empty() {
        table.push(key, items);
    }
}

/// A port in its shortest form.
fn port(port: &PortPublish) -> Item {
    let container = match port.transport {
        Transport::Tcp => port.container.to_string(),
        Transport::Udp => format!("{}/udp", port.container),
    };
    let host = port.host.map(|host| host.to_string()).unwrap_or_default();
    match (port.address.as_str(), port.host) {
        ("127.0.0.1", None) if port.transport == Transport::Tcp => {
            Item::Integer(i64::from(port.container))
        }
        ("127.0.0.1", None) => container.into(),
        ("127.0.0.1", Some(_)) => format!("{host}:{container}").into(),
        (address, _) if address.contains(':') => format!("[{address}]:{host}:{container}").into(),
        (address, _) => format!("{address}:{host}:{container}").into(),
    }
}

/// The port that a route leads to, where it must be said: of one alone there is no doubt.
fn route(exposed: &[u16]) -> Option<u16> {
    match exposed {
        [] | [_] => None,
        several if several.contains(&80) => Some(80),
        several => several.iter().min().copied(),
    }
}

fn checked(health: &Health) -> Item {
    let mut table = Table::default();
    match &health.probe {
        HealthProbe::Command { run } => table.push("command", texts(run)),
        HealthProbe::Tcp { port } => table.push("tcp", i64::from(*port)),
        HealthProbe::Http { path, port } => {
            table.push("http", escaped(path));
            table.push("port", i64::from(*port));
        }
        HealthProbe::Log { contains } => table.push("log", escaped(contains)),
    }
    table.push("interval", time(health.interval));
    table.push("timeout", time(health.timeout));
    table.push("retries", i64::from(health.retries));
    if !health.start_period.is_zero() {
        table.push("start_period", time(health.start_period));
    }
    table.into()
}

/// `90s`, `1500ms`.
fn time(time: Duration) -> String {
    match time.subsec_nanos() {
        0 => format!("{}s", time.as_secs()),
        nanos if nanos % 1_000_000 == 0 => format!("{}ms", time.as_millis()),
        _ => format!("{}us", time.as_micros()),
    }
}

/// `512MiB`, in the largest unit that it is a number of.
fn size(bytes: u64) -> String {
    let units = [(30, "GiB"), (20, "MiB"), (10, "KiB")];
    let whole = units
        .into_iter()
        .find(|(bits, _)| bytes >= 1 << bits && bytes.is_multiple_of(1 << bits));
    match whole {
        Some((bits, unit)) => format!("{}{unit}", bytes >> bits),
        None => format!("{bytes}B"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "engines count billionths")]
fn cpus(nanos: i64) -> Item {
    Item::Float(nanos as f64 / 1e9)
}

// -- secrets

/// What a name has in it whose value nobody should see.
const SECRET_NAMES: [&str; 14] = [
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "PWD",
    "SECRET",
    "TOKEN",
    "CREDENTIAL",
    "APIKEY",
    "API_KEY",
    "ACCESS_KEY",
    "PRIVATE_KEY",
    "SIGNING_KEY",
    "ENCRYPTION_KEY",
    "AUTH_KEY",
];

/// What the values of well-known services begin with.
const SECRET_VALUES: [&str; 9] = [
    "-----BEGIN ",
    "ghp_",
    "gho_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "sk-",
    "sk_live_",
    "AKIA",
];

/// Whether a variable looks like one whose value nobody should see.
fn is_secret(name: &str, value: &str) -> bool {
    let is_said = !matches!(
        value.to_ascii_lowercase().as_str(),
        "" | "true" | "false" | "yes" | "no" | "on" | "off" | "0" | "1"
    );
    let upper = name.to_ascii_uppercase();
    // A path to one is none.
    let is_path = upper.ends_with("_FILE") || upper.ends_with("_PATH") || upper == "PWD";
    let is_named = SECRET_NAMES.iter().any(|word| upper.contains(word)) && !is_path;
    let begins = SECRET_VALUES.iter().any(|start| value.starts_with(start));
    is_said && (is_named || begins || has_password(value))
}

/// `postgres://user:password@host`.
fn has_password(value: &str) -> bool {
    let Some((_, after)) = value.split_once("://") else {
        return false;
    };
    let authority = after.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    let password = user.and_then(|user| user.split_once(':'));
    password.is_some_and(|(_, password)| !password.is_empty())
}

/// What a config takes as the name of a variable.
fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0']) && !name.contains(char::is_whitespace)
}

/// What `${..}` can name.
fn is_plain_name(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

// -- the text

/// The place behind the last service of a text, with the comments that stand right below
/// it; none if there is no service.
fn behind_services(text: &str) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let services = table.get_ref().get("services")?;
    let end = end_of(services)?;
    let mut at = line_end(text, end);
    // Lines in comments below a service are of keys that somebody left out.
    while at < text.len() && text[at..].trim_start_matches([' ', '\t']).starts_with('#') {
        at = line_end(text, at);
    }
    Some(at)
}

/// The place behind the last byte of a value and of all that is in it.
fn end_of(value: &Spanned<DeValue<'_>>) -> Option<usize> {
    match value.get_ref() {
        DeValue::Table(table) => table
            .iter()
            .flat_map(|(key, value)| [Some(key.span().end), end_of(value)])
            .flatten()
            .max(),
        DeValue::Array(items) => {
            let inside = items.iter().filter_map(end_of).max();
            inside.max(Some(value.span().end))
        }
        _ => Some(value.span().end),
    }
}

/// The beginning of the next line.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |end| at + end + 1)
}

/// The text with more in it, in its own line ends.
fn inserted(text: &str, at: usize, added: &str) -> String {
    let newline = match text.find('\n') {
        Some(end) if text[..end].ends_with('\r') => "\r\n",
        _ => "\n",
    };
    let (before, after) = text.split_at(at);
    let mut new = before.to_owned();
    let is_at_end = after.trim().is_empty();
    if !new.is_empty() && !new.ends_with('\n') {
        new.push_str(newline);
    }
    if !new.trim().is_empty() && !new.ends_with(&newline.repeat(2)) {
        new.push_str(newline);
    }
    new.push_str(&added.trim_end().replace('\n', newline));
    // As the file ended before, it ends now.
    let ends_with_newline = text.is_empty() || text.ends_with('\n');
    if !is_at_end || ends_with_newline {
        new.push_str(newline);
    }
    if is_at_end {
        return new;
    }
    if !after.starts_with(['\n', '\r']) {
        new.push_str(newline);
    }
    new.push_str(after);
    new
}

/// Whether a new text is the old one and what was added, and nothing else.
fn is_extended(old: &str, new: &str, name: &ServiceName, added: &str) -> bool {
    let parsed = |text: &str| toml::from_str::<toml::Table>(text).ok();
    let (Some(mut old), Some(new), Some(added)) = (parsed(old), parsed(new), parsed(added)) else {
        return false;
    };
    for (kind, more) in added {
        let (Some(more), there) = (
            more.as_table().cloned(),
            old.entry(kind).or_insert_with(|| toml::Table::new().into()),
        ) else {
            return false;
        };
        let Some(there) = there.as_table_mut() else {
            return false;
        };
        for (key, value) in more {
            if there.insert(key, value).is_some() {
                return false;
            }
        }
    }
    let has_it = new.get("services").and_then(|it| it.get(name.as_str()));
    has_it.is_some() && old == new
}
