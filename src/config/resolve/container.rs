//! What services and commands have in common: one container.

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
    path::{Component, Path, PathBuf},
};

use indexmap::IndexMap;

use super::{Resolver, each, one_or_many, sorted};
use crate::{
    config::{
        decode::join,
        diagnostics::nearest,
        forms::{
            DeviceForm, Environment, Items, MountForm, PortForm, SizeForm, TmpfsForm, UlimitForm,
        },
        schema::{ContainerKeys, ResourcesTable},
        units,
    },
    workspace::{
        Container, Device, Hooks, Image, Logging, Mount, MountSource, PortPublish, Resources,
        Transport, Ulimit,
    },
};

/// The least memory every engine accepts.
const LEAST_MEMORY: u64 = 6 << 20;

/// Labels that are ours.
const OUR_LABELS: &str = "dev.cosmos.";

/// Signals a process can be sent, without `SIG`.
const SIGNALS: [&str; 31] = [
    "ABRT", "ALRM", "BUS", "CHLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "KILL", "PIPE",
    "PROF", "PWR", "QUIT", "SEGV", "STKFLT", "STOP", "SYS", "TERM", "TRAP", "TSTP", "TTIN", "TTOU",
    "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU", "XFSZ",
];

/// What `capabilities(7)` lists, without `CAP_`.
const CAPABILITIES: [&str; 42] = [
    "ALL",
    "AUDIT_CONTROL",
    "AUDIT_READ",
    "AUDIT_WRITE",
    "BLOCK_SUSPEND",
    "BPF",
    "CHECKPOINT_RESTORE",
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "IPC_LOCK",
    "IPC_OWNER",
    "KILL",
    "LEASE",
    "LINUX_IMMUTABLE",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "MKNOD",
    "NET_ADMIN",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_RAW",
    "PERFMON",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYSLOG",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_CHROOT",
    "SYS_MODULE",
    "SYS_NICE",
    "SYS_PACCT",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "WAKE_ALARM",
];

impl Resolver<'_, '_> {
    /// The container at `path`; `who` is what messages call it.
    pub(super) fn container(
        &mut self,
        path: &str,
        who: &str,
        keys: ContainerKeys<'_>,
        image: Image,
    ) -> Container {
        let at = |key: &str| [path, ".", key].concat();
        for (path, address) in one_or_many(&at("dns"), keys.dns.as_ref()) {
            if address.parse::<IpAddr>().is_err() {
                self.report
                    .error(&path, format!("`{address}` is not an address"))
                    .help("a DNS server is an address, like \"1.1.1.1\"");
            }
        }
        for (path, line) in each(&at("extra_hosts"), keys.extra_hosts) {
            let (host, address) = line.split_once([':', '=']).unwrap_or_default();
            if host.is_empty() || (address != "host-gateway" && address.parse::<IpAddr>().is_err())
            {
                self.report
                    .error(&path, format!("`{line}` is not `host:address`"))
                    .help("write it like \"db.example.com:10.0.0.5\", or \"host:host-gateway\"");
            }
        }
        if let Some(workdir) = keys.workdir {
            self.check_absolute(&at("workdir"), workdir);
        }
        if let Some(platform) = keys.platform
            && !matches!(platform.split('/').count(), 2 | 3)
        {
            self.report
                .error(&at("platform"), format!("`{platform}` is not a platform"))
                .help("write it like \"linux/amd64\"");
        }
        for label in keys
            .labels
            .keys()
            .filter(|label| label.starts_with(OUR_LABELS))
        {
            self.report
                .key_error(
                    &join(&at("labels"), label),
                    format!("labels that start with `{OUR_LABELS}` are Cosmos' own"),
                )
                .help("choose another");
        }
        let container = Container {
            image,
            entrypoint: keys
                .entrypoint
                .as_ref()
                .and_then(|words| self.words(&at("entrypoint"), words)),
            command: None,
            env: self.environment(path, keys),
            mounts: self.mounts(&at("mounts"), who, keys),
            ports: self.ports(path, keys),
            files: self.config_files(&at("configs"), who, keys),
            secrets: self.secrets(&at("secrets"), who, keys.secrets),
            networks: self.networks_of(&at("networks"), who, keys.networks),
            // A service's own: it is the only one that is started and stopped.
            hooks: Hooks::default(),
            resources: self.resources(&at("resources"), keys.resources),
            user: keys.user.as_ref().map(|user| user.0.clone()),
            workdir: keys.workdir.clone(),
            hostname: keys.hostname.clone(),
            init: *keys.init,
            tty: *keys.tty,
            stdin: *keys.stdin,
            labels: keys
                .labels
                .iter()
                .map(|(key, value)| (key.clone(), value.0.clone()))
                .collect(),
            extra_hosts: keys
                .extra_hosts
                .iter()
                .map(|(_, line)| line.replacen('=', ":", 1))
                .collect(),
            dns: one_or_many("", keys.dns.as_ref())
                .into_iter()
                .map(|(_, address)| address.to_owned())
                .collect(),
            tmpfs: self.tmpfs(&at("tmpfs"), keys.tmpfs.as_ref()),
            shm_size: keys
                .shm_size
                .as_ref()
                .and_then(|size| self.shm_size(&at("shm_size"), size)),
            read_only: *keys.read_only,
            cap_add: self.capabilities(&at("cap_add"), keys.cap_add),
            cap_drop: self.capabilities(&at("cap_drop"), keys.cap_drop),
            privileged: *keys.privileged,
            security_opt: keys.security_opt.to_vec(),
            devices: each(&at("devices"), keys.devices)
                .filter_map(|(path, form)| self.device(&path, form))
                .collect(),
            ulimits: self.ulimits(&at("ulimits"), keys),
            sysctls: sorted(keys.sysctls),
            stop_signal: keys
                .stop_signal
                .as_ref()
                .and_then(|signal| self.signal(&at("stop_signal"), signal)),
            stop_grace: keys
                .stop_grace
                .map_or(Container::STOP_GRACE, |grace| grace.0),
            platform: keys.platform.clone(),
            logging: keys.logging.as_ref().map(|logging| Logging {
                driver: logging.driver.clone(),
                options: sorted(&logging.options),
            }),
        };
        self.dangers_of(path, &container);
        container
    }

    /// The absolute path that a path in the config means.
    pub(super) fn host_path(&self, text: &str) -> PathBuf {
        let home = self.given.sources.env.get("HOME").map(PathBuf::from);
        let path = match (text.strip_prefix('~'), home) {
            (Some(rest), Some(home)) if rest.is_empty() || rest.starts_with('/') => {
                home.join(rest.trim_start_matches('/'))
            }
            _ => self.given.folder.join(text),
        };
        without_dots(&path)
    }

    /// A path as short as it can be, for messages.
    pub(super) fn short(&self, path: &Path) -> String {
        let short = path.strip_prefix(self.given.folder).unwrap_or(path);
        short.display().to_string()
    }

    pub(super) fn check_absolute(&mut self, path: &str, target: &str) -> bool {
        let is_absolute = target.starts_with('/');
        if !is_absolute {
            self.report
                .error(
                    path,
                    format!("`{target}` is no absolute path in the container"),
                )
                .help("it starts with `/`");
        }
        is_absolute
    }

    fn environment(&mut self, path: &str, keys: ContainerKeys<'_>) -> IndexMap<String, String> {
        let mut variables = IndexMap::new();
        for (path, file) in one_or_many(&format!("{path}.env_file"), keys.env_file.as_ref()) {
            self.danger_of_reading(&path, &self.given.folder.join(file));
            if !self.env_files.contains_key(file) {
                let read = crate::config::read_env_file(
                    self.given.folder,
                    &path,
                    file,
                    self.report,
                    self.files,
                );
                self.env_files.insert(file.to_owned(), read);
            }
            variables.extend(self.env_files.get(file).cloned().unwrap_or_default());
        }
        let path = format!("{path}.env");
        match keys.env {
            None => {}
            Some(Environment::Table(table)) => {
                for (name, value) in table {
                    self.check_variable(&join(&path, name), name);
                    variables.insert(name.clone(), value.0.clone());
                }
            }
            Some(Environment::List(lines)) => {
                for (path, line) in each(&path, lines) {
                    let (name, value) = match line.split_once('=') {
                        Some((name, value)) => (name, Some(value.to_owned())),
                        None => (line.as_str(), (self.given.lookup)(line)),
                    };
                    self.check_variable(&path, name);
                    match value {
                        Some(value) => {
                            variables.insert(name.to_owned(), value);
                        }
                        None => {
                            self.report
                                .error(&path, format!("the variable `{name}` is not set"))
                                .help("set it in .env or in the shell, or write NAME=value");
                        }
                    }
                }
            }
        }
        variables
    }

    fn check_variable(&mut self, path: &str, name: &str) {
        if name.is_empty() || name.contains(['=', '\0']) || name.contains(char::is_whitespace) {
            self.report
                .key_error(
                    path,
                    if name.is_empty() {
                        "the name of a variable cannot be empty".to_owned()
                    } else {
                        format!("`{name}` is not the name of a variable")
                    },
                )
                .help("letters, digits and `_`");
        }
    }

    fn mounts(&mut self, path: &str, who: &str, keys: ContainerKeys<'_>) -> Vec<Mount> {
        let mut mounts = Vec::new();
        let mut targets: HashMap<String, String> = HashMap::new();
        for (path, form) in each(path, keys.mounts) {
            let Some((source, target, read_only)) = self.mount_parts(&path, form) else {
                continue;
            };
            if !target.starts_with('/') {
                self.report
                    .error(
                        &path,
                        format!("{who} mounts at `{target}`, which is no absolute path"),
                    )
                    .help(format!("write source:target, as in \"{target}:/{target}\""));
                continue;
            }
            let target = without_dots(Path::new(&target))
                .to_string_lossy()
                .into_owned();
            if let Some(other) = targets.insert(target.clone(), path.clone()) {
                self.report
                    .clash(
                        &path,
                        format!("{who} mounts two things at `{target}`"),
                        &other,
                        "the first",
                    )
                    .help("mount one of them elsewhere");
            }
            let Some(source) = self.mount_source(&path, who, source.as_deref()) else {
                continue;
            };
            mounts.push(Mount {
                source,
                target,
                read_only,
            });
        }
        mounts
    }

    /// Source, target and whether read-only.
    fn mount_parts(
        &mut self,
        path: &str,
        form: &MountForm,
    ) -> Option<(Option<String>, String, bool)> {
        let text = match form {
            MountForm::Long(table) => {
                return Some((table.source.clone(), table.target.clone(), table.read_only));
            }
            MountForm::Short(text) => text,
        };
        let parts: Vec<&str> = text.split(':').collect();
        let parsed = match parts.as_slice() {
            [target] => Some((None, *target, "rw")),
            [target, mode @ ("ro" | "rw")] => Some((None, *target, *mode)),
            [source, target] => Some((Some(*source), *target, "rw")),
            [source, target, mode] => Some((Some(*source), *target, *mode)),
            _ => None,
        };
        let Some((source, target, mode)) = parsed else {
            self.report
                .error(path, format!("`{text}` is not a mount"))
                .help("write source:target, or source:target:ro");
            return None;
        };
        if !matches!(mode, "ro" | "rw") {
            self.report
                .error(path, format!("a mount cannot be `{mode}`"))
                .help("the third part is `ro` or `rw`; labels and propagation are not known here");
            return None;
        }
        Some((source.map(str::to_owned), target.to_owned(), mode == "ro"))
    }

    fn mount_source(&mut self, path: &str, who: &str, source: Option<&str>) -> Option<MountSource> {
        let Some(source) = source else {
            return Some(MountSource::Anonymous);
        };
        if !source.starts_with(['.', '/', '~']) {
            return self.volume(path, source).map(MountSource::Volume);
        }
        let host = self.host_path(source);
        if !host.exists() {
            self.report
                .error(
                    path,
                    format!("{who} mounts `{source}`, which does not exist"),
                )
                .help("create the folder, or remove the mount");
            return None;
        }
        Some(MountSource::Host(host.to_string_lossy().into_owned()))
    }

    fn ports(&mut self, path: &str, keys: ContainerKeys<'_>) -> Vec<PortPublish> {
        let mut ports = Vec::new();
        let mut places = Vec::new();
        for (path, form) in each(&format!("{path}.ports"), keys.ports) {
            let port = match form {
                PortForm::Number(port) => Some(loopback(*port, None, Transport::Tcp)),
                PortForm::Long(table) => Some(PortPublish {
                    address: table.address.clone().unwrap_or_else(|| LOOPBACK.to_owned()),
                    ..loopback(table.container, table.host, table.transport)
                }),
                PortForm::Short(text) => self.short_port(&path, text),
            };
            let Some(port) = port else { continue };
            if port.address.parse::<IpAddr>().is_err() {
                self.report
                    .error(&path, format!("`{}` is not an address", port.address))
                    .help("the host's address, like \"127.0.0.1\" or \"0.0.0.0\"");
            } else if self.check_port(&path, port.container)
                && port.host.is_none_or(|host| self.check_port(&path, host))
            {
                ports.push(port);
                places.push(path);
            }
        }
        if !places.is_empty() {
            self.port_places.insert(path.to_owned(), places);
        }
        ports
    }

    /// `[[address:]host:]container[/udp]`.
    fn short_port(&mut self, path: &str, text: &str) -> Option<PortPublish> {
        let (numbers, transport) = match text.rsplit_once('/') {
            None => (text, Some(Transport::Tcp)),
            Some((numbers, "tcp")) => (numbers, Some(Transport::Tcp)),
            Some((numbers, "udp")) => (numbers, Some(Transport::Udp)),
            Some((numbers, _)) => (numbers, None),
        };
        let Some(transport) = transport else {
            self.report
                .error(path, format!("`{text}` is neither tcp nor udp"))
                .help("write it like \"53:53/udp\"");
            return None;
        };
        let (rest, container) = match numbers.rsplit_once(':') {
            Some((rest, container)) => (Some(rest), container),
            None => (None, numbers),
        };
        let (address, host) = match rest {
            None => (None, None),
            Some(rest) => match rest.rsplit_once(':') {
                Some((address, host)) => (
                    Some(address.trim_start_matches('[').trim_end_matches(']')),
                    Some(host),
                ),
                None => (None, Some(rest)),
            },
        };
        // "127.0.0.1::80" is a free port of that address.
        let host = host.filter(|host| !host.is_empty());
        let numbers = (
            container.parse::<u16>(),
            host.map(str::parse::<u16>).transpose(),
        );
        let (Ok(container), Ok(host)) = numbers else {
            let problem = self.report.error(path, format!("`{text}` is not a port"));
            problem.help(if text.contains('-') {
                "ranges are not known here: write each port"
            } else {
                "write 80, \"8080:80\" (host:container) or \"0.0.0.0:8080:80/tcp\""
            });
            return None;
        };
        Some(PortPublish {
            address: address.unwrap_or(LOOPBACK).to_owned(),
            ..loopback(container, host, transport)
        })
    }

    fn resources(&mut self, path: &str, table: &ResourcesTable) -> Resources {
        let nano_cpus = table.cpus.and_then(|cpus| {
            if cpus > 0.0 && cpus <= 1e6 {
                #[allow(clippy::cast_possible_truncation)]
                let nano = (cpus * 1e9).round() as i64;
                return Some(nano);
            }
            self.report
                .error(
                    &format!("{path}.cpus"),
                    format!("{cpus} is no number of processors"),
                )
                .help("more than 0, like 0.5 or 2");
            None
        });
        let memory_path = format!("{path}.memory");
        let memory = table
            .memory
            .as_ref()
            .and_then(|size| self.size(&memory_path, size));
        if memory.is_some_and(|memory| memory < LEAST_MEMORY) {
            self.report
                .error(
                    &memory_path,
                    "no engine starts a container with so little memory",
                )
                .help("at least 6MiB");
        }
        if table.pids == Some(0) {
            self.report
                .error(
                    &format!("{path}.pids"),
                    "a container needs at least one process",
                )
                .help("take it out for no limit");
        }
        Resources {
            nano_cpus,
            memory: memory.and_then(|memory| i64::try_from(memory).ok()),
            pids: table.pids.map(i64::from),
        }
    }

    fn shm_size(&mut self, path: &str, form: &SizeForm) -> Option<u64> {
        let size = self.size(path, form);
        if size == Some(0) {
            self.report
                .error(path, "`shm_size` cannot be zero")
                .help("take it out for the default, 64MiB");
        }
        size
    }

    fn size(&mut self, path: &str, form: &SizeForm) -> Option<u64> {
        let text = match form {
            SizeForm::Bytes(bytes) => return Some(*bytes),
            SizeForm::Text(text) => text,
        };
        let size = units::size(text);
        if size.is_none() {
            self.report
                .error(path, format!("`{text}` is not a size"))
                .help(format!("write {}", units::SIZE));
        }
        size
    }

    fn tmpfs(&mut self, path: &str, form: Option<&TmpfsForm>) -> IndexMap<String, String> {
        let split = |text: &str| match text.split_once(':') {
            Some((target, options)) => (target.to_owned(), options.to_owned()),
            None => (text.to_owned(), String::new()),
        };
        let entries: Vec<(String, (String, String))> = match form {
            None => Vec::new(),
            Some(TmpfsForm::One(text)) => vec![(path.to_owned(), split(text))],
            Some(TmpfsForm::Many(texts)) => each(path, texts)
                .map(|(path, text)| (path, split(text)))
                .collect(),
            Some(TmpfsForm::Table(table)) => table
                .iter()
                .map(|(target, options)| (join(path, target), (target.clone(), options.clone())))
                .collect(),
        };
        for (path, (target, _)) in &entries {
            self.check_absolute(path, target);
        }
        entries.into_iter().map(|(_, entry)| entry).collect()
    }

    fn capabilities(&mut self, path: &str, names: &Items<String>) -> Vec<String> {
        let mut all = Vec::new();
        for (path, name) in each(path, names) {
            let upper = name.to_ascii_uppercase();
            let plain = upper.strip_prefix("CAP_").unwrap_or(&upper);
            if CAPABILITIES.contains(&plain) {
                all.push(plain.to_owned());
                continue;
            }
            let problem = self
                .report
                .error(&path, format!("`{name}` is not a capability"));
            problem.help(match nearest(plain, CAPABILITIES) {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "they are listed in capabilities(7)".to_owned(),
            });
        }
        all
    }

    fn device(&mut self, path: &str, form: &DeviceForm) -> Option<Device> {
        let (host, container, permissions) = match form {
            DeviceForm::Long(table) => (
                table.host.as_str(),
                table.container.as_deref(),
                table.permissions.as_deref(),
            ),
            DeviceForm::Short(text) => {
                let mut parts = text.split(':');
                (parts.next().unwrap_or_default(), parts.next(), parts.next())
            }
        };
        let container = container.unwrap_or(host);
        let permissions = permissions.unwrap_or("rwm");
        let is_allowed = !permissions.is_empty() && permissions.chars().all(|c| "rwm".contains(c));
        if !host.starts_with('/') || !container.starts_with('/') || !is_allowed {
            self.report
                .error(path, format!("`{host}` is not a device"))
                .help("write it like \"/dev/fuse\" or \"/dev/sda:/dev/xvda:r\"");
            return None;
        }
        Some(Device {
            host: host.to_owned(),
            container: container.to_owned(),
            permissions: permissions.to_owned(),
        })
    }

    fn ulimits(&mut self, path: &str, keys: ContainerKeys<'_>) -> BTreeMap<String, Ulimit> {
        let mut limits = BTreeMap::new();
        for (name, form) in keys.ulimits {
            let limit = match form {
                UlimitForm::Both(limit) => Ulimit {
                    soft: *limit,
                    hard: *limit,
                },
                UlimitForm::Apart(table) => Ulimit {
                    soft: table.soft,
                    hard: table.hard,
                },
            };
            // -1 is no limit.
            if limit.hard != -1 && (limit.soft > limit.hard || limit.soft == -1) {
                self.report
                    .error(
                        &join(path, name),
                        format!("the soft limit of `{name}` is above the hard one"),
                    )
                    .help("soft is at most hard");
            }
            limits.insert(name.clone(), limit);
        }
        limits
    }

    pub(super) fn signal(&mut self, path: &str, signal: &str) -> Option<String> {
        let upper = signal.to_ascii_uppercase();
        let plain = upper.strip_prefix("SIG").unwrap_or(&upper);
        let is_number = plain
            .parse::<u8>()
            .is_ok_and(|number| (1..=64).contains(&number));
        if is_number {
            return Some(plain.to_owned());
        }
        if SIGNALS.contains(&plain) || plain.starts_with("RTM") {
            return Some(format!("SIG{plain}"));
        }
        let problem = self
            .report
            .error(path, format!("`{signal}` is not a signal"));
        problem.help(match nearest(plain, SIGNALS) {
            Some(meant) => format!("did you mean `SIG{meant}`?"),
            None => "write it like \"SIGTERM\"".to_owned(),
        });
        None
    }
}

const LOOPBACK: &str = "127.0.0.1";

fn loopback(container: u16, host: Option<u16>, transport: Transport) -> PortPublish {
    PortPublish {
        container,
        host,
        address: LOOPBACK.to_owned(),
        transport,
    }
}

/// Without `.` and `..`, by the text alone: links stay as they are.
fn without_dots(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            part => clean.push(part),
        }
        clean
    })
}
