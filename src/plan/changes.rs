//! What a change of each key of a service does to a container that is there: the
//! mildest thing that is enough.
//!
//! Data, and held to be true: `tests/it/engine/keys/changes.rs` changes every row
//! on a real engine, and `docs/changes.md` is this table.

use std::fmt;

/// What a change does to a container that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// It is in force, and the container does not notice.
    Nothing,
    /// Its limits are changed while it runs.
    Update,
    /// It is put into a network, or taken out of one, while it runs.
    Connect,
    /// Its process gets a signal.
    Signal,
    /// It is stopped and started.
    Restart,
    /// Another container takes its place.
    Replace,
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "nothing",
            Self::Update => "updated in place",
            Self::Connect => "connected or disconnected",
            Self::Signal => "signalled",
            Self::Restart => "restarted",
            Self::Replace => "replaced",
        })
    }
}

/// A key, and what its change does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The key under `services.NAME`, with all that is below it.
    pub key: &'static str,
    /// When it does that, if not always.
    pub when: &'static str,
    /// What it does.
    pub effect: Effect,
}

const fn change(key: &'static str, effect: Effect) -> Change {
    Change {
        key,
        when: "",
        effect,
    }
}

const fn change_when(key: &'static str, when: &'static str, effect: Effect) -> Change {
    Change { key, when, effect }
}

/// Every key of a service.
pub const CHANGES: &[Change] = &[
    change("image", Effect::Replace),
    change("entrypoint", Effect::Replace),
    change("command", Effect::Replace),
    change("env", Effect::Replace),
    change("env_file", Effect::Replace),
    change("mounts", Effect::Replace),
    change("ports", Effect::Replace),
    change("secrets", Effect::Replace),
    change_when("configs", "without a `reload`", Effect::Replace),
    change_when(
        "configs",
        "another content, mode or owner, with a signal as its `reload`",
        Effect::Signal,
    ),
    change_when(
        "configs",
        "the same, with `reload = \"restart\"`",
        Effect::Restart,
    ),
    change_when(
        "configs.*.reload",
        "unless it is taken away, which replaces",
        Effect::Nothing,
    ),
    change_when(
        "resources",
        "but a limit of `cpus` that is lifted, which replaces",
        Effect::Update,
    ),
    change("networks", Effect::Connect),
    change("user", Effect::Replace),
    change("workdir", Effect::Replace),
    change("hostname", Effect::Replace),
    change("init", Effect::Replace),
    change("tty", Effect::Replace),
    change("stdin", Effect::Replace),
    change("labels", Effect::Replace),
    change("extra_hosts", Effect::Replace),
    change("dns", Effect::Replace),
    change("tmpfs", Effect::Replace),
    change("shm_size", Effect::Replace),
    change("read_only", Effect::Replace),
    change("cap_add", Effect::Replace),
    change("cap_drop", Effect::Replace),
    change("privileged", Effect::Replace),
    change("security_opt", Effect::Replace),
    change("devices", Effect::Replace),
    change("ulimits", Effect::Replace),
    change("sysctls", Effect::Replace),
    change("stop_signal", Effect::Replace),
    change("platform", Effect::Replace),
    change("logging", Effect::Replace),
    change_when(
        "health",
        "`tcp`, `http` and `log`: looked at from outside",
        Effect::Nothing,
    ),
    change_when(
        "health",
        "`command`: the engine runs it in the container",
        Effect::Replace,
    ),
    change("route", Effect::Nothing),
    change_when("replicas", "to those that stay", Effect::Nothing),
    change_when("profiles", "if it is on before and after", Effect::Nothing),
    change("depends_on", Effect::Nothing),
    change("update", Effect::Nothing),
    change("restart", Effect::Nothing),
    change("watch", Effect::Nothing),
    change("hooks", Effect::Nothing),
    change("stop_grace", Effect::Nothing),
];
