//! One service, key by key, in the order of the file.

use std::net::IpAddr;

use super::{
    draft::{Item, Table},
    project::Project,
    tree::{Map, Node, Value},
    variables::has_variable,
};

/// How the value of a key is read.
#[derive(Clone, Copy)]
enum Form {
    Text,
    /// Text that cannot be empty.
    Filled,
    Boolean,
    Texts,
    Size,
    Duration,
    Pairs,
}

/// Keys that mean the same in both, by their name in Compose.
const SAME: [(&str, &str, Form); 19] = [
    ("user", "user", Form::Text),
    ("working_dir", "workdir", Form::Text),
    ("hostname", "hostname", Form::Text),
    ("init", "init", Form::Boolean),
    ("tty", "tty", Form::Boolean),
    ("stdin_open", "stdin", Form::Boolean),
    ("labels", "labels", Form::Pairs),
    ("dns", "dns", Form::Texts),
    ("shm_size", "shm_size", Form::Size),
    ("read_only", "read_only", Form::Boolean),
    ("cap_add", "cap_add", Form::Texts),
    ("cap_drop", "cap_drop", Form::Texts),
    ("privileged", "privileged", Form::Boolean),
    ("security_opt", "security_opt", Form::Texts),
    ("sysctls", "sysctls", Form::Pairs),
    ("stop_signal", "stop_signal", Form::Filled),
    ("stop_grace_period", "stop_grace", Form::Duration),
    ("platform", "platform", Form::Filled),
    ("profiles", "profiles", Form::Texts),
];

/// Keys that other files of this folder know, together with others.
const ELSEWHERE: [&str; 24] = [
    "image",
    "build",
    "pull_policy",
    "depends_on",
    "links",
    "healthcheck",
    "ports",
    "volumes",
    "tmpfs",
    "environment",
    "env_file",
    "secrets",
    "configs",
    "networks",
    "network_mode",
    "deploy",
    "scale",
    "cpus",
    "mem_limit",
    "pids_limit",
    "restart",
    "extends",
    "command",
    "entrypoint",
];

/// Keys that are not carried over: why, and what to do.
const LEFT_OUT: [(&str, &str, &str); 41] = [
    ("annotations", "a container has labels", "`labels`"),
    ("attach", "`cosmos up` shows no logs", "`cosmos logs -f`"),
    (
        "blkio_config",
        "the limits are of cpus, memory and pids",
        "nothing to do",
    ),
    ("cgroup", "the engine's choice", "nothing to do"),
    ("cgroup_parent", "the engine's choice", "nothing to do"),
    (
        "container_name",
        "Cosmos names containers WORKSPACE-SERVICE-NUMBER",
        "`cosmos exec`, `logs` and `stop` take the service's name; so does DNS",
    ),
    (
        "cpu_count",
        "it is for Windows",
        "resources = { cpus = .. }",
    ),
    (
        "cpu_percent",
        "it is for Windows",
        "resources = { cpus = .. }",
    ),
    (
        "cpu_period",
        "processors are limited by their number",
        "resources = { cpus = .. }",
    ),
    (
        "cpu_quota",
        "processors are limited by their number",
        "resources = { cpus = .. }",
    ),
    (
        "cpu_rt_period",
        "processors are limited by their number",
        "nothing to do",
    ),
    (
        "cpu_rt_runtime",
        "processors are limited by their number",
        "nothing to do",
    ),
    (
        "cpu_shares",
        "processors are limited by their number",
        "resources = { cpus = .. }",
    ),
    (
        "cpuset",
        "processors are limited by their number",
        "resources = { cpus = .. }",
    ),
    ("credential_spec", "it is for Windows", "nothing to do"),
    (
        "device_cgroup_rules",
        "devices are named one by one",
        "devices = [\"/dev/..\"]",
    ),
    (
        "dns_opt",
        "how names are looked up is Cosmos' own",
        "nothing to do",
    ),
    (
        "dns_search",
        "how names are looked up is Cosmos' own",
        "write the whole name",
    ),
    (
        "domainname",
        "a container has a host name",
        "hostname = \"name.domain\"",
    ),
    (
        "expose",
        "services reach all ports of each other anyway",
        "nothing to do",
    ),
    (
        "external_links",
        "services are found by name in one network",
        "put the other one into this workspace",
    ),
    (
        "gpus",
        "devices are named one by one",
        "devices = [\"/dev/..\"], if it is one",
    ),
    (
        "group_add",
        "a user has the groups of the image",
        "user = \"name:group\"",
    ),
    (
        "ipc",
        "every container has its own",
        "a volume, or a socket in one",
    ),
    ("isolation", "it is for Windows", "nothing to do"),
    (
        "mac_address",
        "the engine gives the addresses",
        "nothing to do",
    ),
    (
        "mem_reservation",
        "nothing to do can be reserved",
        "resources = { memory = .. } is the limit",
    ),
    ("mem_swappiness", "swap is the host's", "nothing to do"),
    (
        "memswap_limit",
        "swap is the host's: none beyond the limit of memory",
        "nothing to do",
    ),
    ("models", "Cosmos runs no models", "nothing to do"),
    ("oom_kill_disable", "the kernel's choice", "nothing to do"),
    ("oom_score_adj", "the kernel's choice", "nothing to do"),
    ("pid", "every container has its own", "nothing to do"),
    ("provider", "Cosmos runs containers only", "run it beside"),
    ("runtime", "the engine's default", "nothing to do"),
    ("storage_opt", "the engine's default", "nothing to do"),
    (
        "use_api_socket",
        "the engine's socket is the proxy's",
        "mount it by hand, if it must be",
    ),
    ("userns_mode", "the engine's default", "nothing to do"),
    ("uts", "every container has its own", "nothing to do"),
    (
        "volume_driver",
        "a volume has its driver",
        "[volumes.NAME] driver = ..",
    ),
    (
        "volumes_from",
        "a mount is of a volume or a folder",
        "name the volumes in `mounts` of both",
    ),
];

/// Keys that only what runs on has.
const OF_SERVICES_ONLY: [&str; 3] = ["profiles", "post_start", "pre_stop"];

impl Project<'_> {
    /// Converts a service.
    pub(super) fn service(&mut self, compose_name: &str, node: &Node) {
        let Some(known) = self.known.get(compose_name).cloned() else {
            return;
        };
        let path = format!("services.{compose_name}");
        let Some(service) = node.as_map() else {
            self.wrong(&path, node, "a mapping");
            return;
        };
        let mut table = Table::default();
        let image = self.image(&path, &known.name, service);
        table.push("image", image.clone().unwrap_or_else(|| known.name.clone()));
        if image.is_none() {
            self.remarks.left_to_do(
                node.place,
                &path,
                "nothing to do says which image it is",
                "write its reference as `image`",
            );
        }
        let replicas = self.replicas(&path, service);
        for entry in service.iter() {
            if entry.node.is_null() {
                continue;
            }
            let key = format!("{path}.{}", entry.key);
            if known.is_command && OF_SERVICES_ONLY.contains(&&*entry.key) {
                self.remarks.left_out(
                    entry.place,
                    &key,
                    "it is a command here, which runs where something waits for its end",
                    "nothing to do",
                );
                continue;
            }
            match &*entry.key {
                "command" => {
                    let name = if known.is_command { "run" } else { "command" };
                    if let Some(words) = self.words(&key, &entry.node) {
                        table.push(name, words);
                    }
                }
                "entrypoint" => {
                    if let Some(words) = self.words(&key, &entry.node) {
                        table.push("entrypoint", words);
                    }
                }
                "environment" => self.environment(&mut table, &path, &entry.node),
                "env_file" => self.env_files(&mut table, &path, &entry.node),
                "ports" => self.ports(&mut table, &path, service, replicas.is_some()),
                "volumes" => self.mounts(&mut table, &path, service),
                "tmpfs" if service.get("volumes").is_none() => {
                    self.mounts(&mut table, &path, service)
                }
                "secrets" => self.service_secrets(&mut table, &path, &entry.node),
                "configs" => self.service_configs(&mut table, &path, &entry.node),
                "networks" => self.service_networks(&mut table, &path, service),
                "network_mode" if service.get("networks").is_none() => {
                    self.service_networks(&mut table, &path, service)
                }
                "depends_on" => self.after(&mut table, &path, service),
                "links" if service.get("depends_on").is_none() => {
                    self.after(&mut table, &path, service)
                }
                "healthcheck" if known.is_command => self.remarks.left_out(
                    entry.place,
                    &key,
                    "it is a command here: it is done when it ended well",
                    "nothing to do",
                ),
                "healthcheck" => self.health(&mut table, &path, service),
                "deploy" => self.deploy(&path, &entry.node),
                "extra_hosts" => self.extra_hosts(&mut table, &key, &entry.node),
                "devices" => self.devices(&mut table, &key, &entry.node),
                "ulimits" => self.ulimits(&mut table, &key, &entry.node),
                "logging" => self.logging(&mut table, &key, &entry.node),
                "post_start" | "pre_stop" => self.hook(&mut table, &entry.key, &key, &entry.node),
                "develop" => {
                    let is_built = service.get("build").is_some();
                    self.develop(&mut table, &key, &entry.node, is_built);
                }
                name if ELSEWHERE.contains(&name) || name.starts_with("x-") => {}
                name => self.simple(&mut table, name, &key, entry.place, &entry.node),
            }
        }
        if known.is_command {
            if replicas.is_some() {
                self.remarks.left_out(
                    node.place,
                    &format!("{path}.replicas"),
                    "it is a command here, which runs once",
                    "nothing to do",
                );
            }
        } else if let Some(replicas) = replicas {
            table.push("replicas", replicas);
        }
        self.limits(&mut table, &path, service);
        if !known.is_command {
            self.route(&mut table, &known.name);
        }
        self.restart(&mut table, &path, service, known.is_command);
        let kind = if known.is_command {
            "commands"
        } else {
            "services"
        };
        self.draft.add(kind, Some(&known.name), table);
        if known.is_command {
            self.explain_command();
        }
    }

    /// Keys that are the same in both, and those that there is nothing for.
    fn simple(
        &mut self,
        table: &mut Table,
        name: &str,
        key: &str,
        place: super::tree::Place,
        node: &Node,
    ) {
        if let Some((_, ours, form)) = SAME.iter().find(|(theirs, ..)| *theirs == name) {
            if let Some(item) = self.in_form(*form, key, node) {
                table.push(ours, item);
            }
            return;
        }
        match LEFT_OUT.iter().find(|(theirs, ..)| *theirs == name) {
            Some((_, why, instead)) => self.remarks.left_out(place, key, *why, instead),
            None => self.remarks.left_out(
                place,
                key,
                "it is no key of Compose that is known here",
                "mend its name, or look whether it is needed",
            ),
        }
    }

    fn in_form(&mut self, form: Form, key: &str, node: &Node) -> Option<Item> {
        match form {
            Form::Text => self.text(key, node).map(Item::from),
            Form::Filled => self.filled(key, node, "text").map(Item::from),
            // Nothing is on unless it is said.
            Form::Boolean => self
                .boolean(key, node)
                .filter(|item| *item != Item::Boolean(false)),
            Form::Texts => Some(self.texts(key, node))
                .filter(|texts| !texts.is_empty())
                .map(Item::from),
            Form::Size => self.size(key, node),
            Form::Duration => self.duration(key, node),
            Form::Pairs => {
                let mut table = self.table_of_pairs(key, node);
                table.0.retain(|line| !line.key.starts_with("dev.cosmos."));
                (!table.is_empty()).then(|| table.into())
            }
        }
    }

    /// `- "host:address"`, or a mapping of them.
    fn extra_hosts(&mut self, table: &mut Table, key: &str, node: &Node) {
        let mut lines = Vec::new();
        match &node.value {
            Value::Map(map) => {
                for entry in map.iter() {
                    let key = format!("{key}.{}", entry.key);
                    for address in self.texts(&key, &entry.node) {
                        lines.push((key.clone(), entry.place, format!("{}:{address}", entry.key)));
                    }
                }
            }
            _ => {
                for (key, item) in self.items(key, node) {
                    if let Some(line) = self.text(&key, item) {
                        lines.push((key, item.place, line.replacen('=', ":", 1)));
                    }
                }
            }
        }
        let mut hosts = Vec::new();
        for (key, place, line) in lines {
            let (host, address) = line.split_once(':').unwrap_or((&line, ""));
            // Compose also takes `host:[::1]`.
            let address = address.trim_matches(['[', ']']);
            let is_address = address == "host-gateway" || address.parse::<IpAddr>().is_ok();
            if !host.is_empty() && (is_address || has_variable(address)) {
                hosts.push(format!("{host}:{address}"));
            } else {
                self.remarks.left_out(
                    place,
                    &key,
                    format!("`{line}` is not `host:address`"),
                    "write it like \"db.example.com:10.0.0.5\"",
                );
            }
        }
        if !hosts.is_empty() {
            table.push("extra_hosts", hosts);
        }
    }

    fn devices(&mut self, table: &mut Table, key: &str, node: &Node) {
        let mut devices = Vec::new();
        for (key, item) in self.items(key, node) {
            let device = match &item.value {
                Value::Map(map) => {
                    let mut text = |name: &str| {
                        let node = map.get(name)?;
                        self.text(&format!("{key}.{name}"), node)
                    };
                    let source = text("source").unwrap_or_default();
                    let target = text("target").unwrap_or_else(|| source.clone());
                    let permissions = text("permissions").unwrap_or_else(|| "rwm".to_owned());
                    Some(format!("{source}:{target}:{permissions}"))
                }
                _ => self.text(&key, item),
            };
            match device {
                Some(device) if device.starts_with(['/', '$']) => devices.push(device),
                Some(device) => self.remarks.left_out(
                    item.place,
                    &key,
                    format!("`{device}` is no path of a device"),
                    "devices = [\"/dev/..\"], if it is one",
                ),
                None => {}
            }
        }
        if !devices.is_empty() {
            table.push("devices", devices);
        }
    }

    fn ulimits(&mut self, table: &mut Table, key: &str, node: &Node) {
        let Some(map) = node.as_map() else {
            self.wrong(key, node, "a mapping");
            return;
        };
        let mut limits = Table::default();
        for entry in map.iter() {
            let key = format!("{key}.{}", entry.key);
            let any = -1..=i64::MAX;
            let limit = match entry.node.as_map() {
                None => self.integer(&key, &entry.node, any),
                Some(both) => {
                    let mut limit = |name: &str| {
                        let node = both.get(name)?;
                        self.integer(&format!("{key}.{name}"), node, -1..=i64::MAX)
                    };
                    let (soft, hard) = (limit("soft"), limit("hard"));
                    let either = soft.clone().or_else(|| hard.clone());
                    either.map(|either| {
                        let mut table = Table::default();
                        table.push("soft", soft.unwrap_or_else(|| either.clone()));
                        table.push("hard", hard.unwrap_or(either));
                        table.into()
                    })
                }
            };
            if let Some(limit) = limit {
                limits.push(&entry.key, limit);
            }
        }
        if !limits.is_empty() {
            table.push("ulimits", limits);
        }
    }

    fn logging(&mut self, table: &mut Table, key: &str, node: &Node) {
        let Some(map) = node.as_map() else {
            self.wrong(key, node, "a mapping");
            return;
        };
        let driver = map.get("driver");
        let driver = driver.and_then(|node| self.text(&format!("{key}.driver"), node));
        let mut logging = Table::default();
        // The engine's own default, unless somebody changed it.
        logging.push("driver", driver.unwrap_or_else(|| "json-file".to_owned()));
        if let Some(node) = map.get("options") {
            let options = self.table_of_pairs(&format!("{key}.options"), node);
            if !options.is_empty() {
                logging.push("options", options);
            }
        }
        table.push("logging", logging);
    }

    /// Commands at the turning points of a service.
    fn hook(&mut self, table: &mut Table, name: &str, key: &str, node: &Node) {
        let mut commands = Vec::new();
        for (key, item) in self.items(key, node) {
            let Some(map) = item.as_map() else {
                self.wrong(&key, item, "a mapping with `command`");
                continue;
            };
            if let Some(node) = map.get("command")
                && let Some(words) = self.words(&format!("{key}.command"), node)
            {
                commands.push(words);
            }
            for entry in map.iter().filter(|entry| &*entry.key != "command") {
                self.remarks.left_out(
                    entry.place,
                    &format!("{key}.{}", entry.key),
                    "a hook runs as the service does",
                    "write it into the command: `su`, `env`, `cd`",
                );
            }
        }
        if !commands.is_empty() {
            table.edit("hooks", |hooks| hooks.push(name, commands));
        }
    }

    /// `develop.watch`.
    fn develop(&mut self, table: &mut Table, key: &str, node: &Node, is_built: bool) {
        let watch = node.as_map().and_then(|map| map.get("watch"));
        let Some(watch) = watch else { return };
        let mut rules = Vec::new();
        for (key, item) in self.items(&format!("{key}.watch"), watch) {
            let Some(rule) = item.as_map() else {
                self.wrong(&key, item, "a mapping with `path` and `action`");
                continue;
            };
            if !is_built && rule.text("action") == Some("rebuild") {
                self.remarks.left_out(
                    item.place,
                    &key,
                    "its image is not built here",
                    "write action = \"restart\"",
                );
                continue;
            }
            rules.extend(self.watch_rule(&key, item, rule));
        }
        if rules.is_empty() {
            return;
        }
        self.remarks.changed(
            watch.place,
            &format!("{key}.watch"),
            "it is carried over, and not acted on yet",
            "`cosmos restart` it, or `cosmos up --build`, after a change",
        );
        table.push("watch", rules);
    }

    fn watch_rule(&mut self, key: &str, node: &Node, rule: &Map) -> Option<Item> {
        let mut text = |name: &str| {
            let node = rule.get(name)?;
            self.text(&format!("{key}.{name}"), node)
        };
        let (path, action, target) = (text("path")?, text("action")?, text("target"));
        let ours = match action.as_str() {
            "sync" | "rebuild" | "restart" => action.as_str(),
            "sync+restart" => "sync",
            _ => {
                self.wrong(
                    &format!("{key}.action"),
                    node,
                    "sync, rebuild, restart or sync+restart",
                );
                return None;
            }
        };
        if ours != action {
            self.remarks.changed(
                node.place,
                &format!("{key}.action"),
                "it is synced, and not restarted",
                "mount the folder, and write action = \"restart\"",
            );
        }
        for entry in rule.iter() {
            if !["path", "action", "target"].contains(&&*entry.key) {
                self.remarks.left_out(
                    entry.place,
                    &format!("{key}.{}", entry.key),
                    "a rule has a path, an action and a target",
                    "name a smaller folder",
                );
            }
        }
        let path = self.path(key, node.place, &path);
        self.need(super::project::MissingKind::Folder, node.place, key, &path);
        let mut table = Table::default();
        table.push("path", path);
        table.push("action", ours);
        if ours == "sync" {
            table.push("target", target?);
        }
        Some(table.into())
    }

    /// Says once why a service became a command.
    fn explain_command(&mut self) {
        let comment = "It runs to its end, and again only when its image, `run` or `env` change.";
        if self.is_first("command")
            && let Some(section) = self.draft.sections.last_mut()
        {
            section.comment = Some(comment.to_owned());
        }
    }
}

/// Every key of a service that is known here.
#[cfg(test)]
pub(super) fn every_key() -> Vec<&'static str> {
    let same = SAME.iter().map(|(key, ..)| *key);
    let left_out = LEFT_OUT.iter().map(|(key, ..)| *key);
    let others = [
        "extra_hosts",
        "devices",
        "ulimits",
        "logging",
        "post_start",
        "pre_stop",
        "develop",
    ];
    same.chain(left_out)
        .chain(ELSEWHERE)
        .chain(others)
        .collect()
}
