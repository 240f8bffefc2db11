//! Finds what reaches the host, once it is known what a config means.

use std::path::{Path, PathBuf};

use super::Resolver;
use crate::{
    config::decode::join,
    workspace::{Container, MountSource, Volume},
};

/// Capabilities with which a container is as good as the host, or can pass for it.
const POWERS: [&str; 14] = [
    "ALL",
    "BPF",
    "DAC_READ_SEARCH",
    "MAC_ADMIN",
    "MAC_OVERRIDE",
    "NET_RAW",
    "PERFMON",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_MODULE",
    "SYS_PTRACE",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYSLOG",
];

/// Where engines have their sockets.
const SOCKETS: [&str; 5] = [
    "/run/docker.sock",
    "/run/podman/podman.sock",
    "/run/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/user",
];

impl Resolver<'_, '_> {
    /// Notes what the key at `path` does to the host.
    pub(super) fn danger(&mut self, path: impl Into<String>, what: impl Into<String>) {
        self.dangers.push((path.into(), what.into()));
    }

    /// Notes what a container does to the host.
    pub(super) fn dangers_of(&mut self, path: &str, container: &Container) {
        if container.privileged {
            self.danger(
                format!("{path}.privileged"),
                "lifts every limit: what runs in it can do all that the host can",
            );
        }
        for (index, device) in container.devices.iter().enumerate() {
            self.danger(
                format!("{path}.devices[{index}]"),
                format!("uses the host's device `{}`", device.host),
            );
        }
        for (index, mount) in container.mounts.iter().enumerate() {
            if let MountSource::Host(source) = &mount.source
                && let Some(what) = self.danger_of_mount(Path::new(source), mount.read_only)
            {
                self.danger(format!("{path}.mounts[{index}]"), what);
            }
        }
        for (index, capability) in container.cap_add.iter().enumerate() {
            if POWERS.contains(&capability.as_str()) {
                self.danger(
                    format!("{path}.cap_add[{index}]"),
                    format!("has the capability {capability}"),
                );
            }
        }
        for (index, option) in container.security_opt.iter().enumerate() {
            if ["unconfined", "disable"]
                .iter()
                .any(|off| option.ends_with(off))
            {
                self.danger(
                    format!("{path}.security_opt[{index}]"),
                    format!("turns a protection off: `{option}`"),
                );
            }
        }
    }

    /// Notes a volume that is a folder of the host by another name.
    pub(super) fn danger_of_volume(&mut self, name: &str, volume: &Volume) {
        let Some(device) = volume.options.get("device") else {
            return;
        };
        if let Some(what) = self.danger_of_mount(Path::new(device), false)
            && device.starts_with('/')
        {
            self.danger(format!("{}.options.device", join("volumes", name)), what);
        }
    }

    /// Notes a file or folder that is read on the host, if it is not the project's.
    pub(super) fn danger_of_reading(&mut self, path: &str, file: &Path) {
        if self.is_outside(file) {
            self.danger(
                path,
                format!(
                    "reads `{}`, which is outside of the project",
                    file.display()
                ),
            );
        }
    }

    fn danger_of_mount(&self, source: &Path, read_only: bool) -> Option<String> {
        let real = real(source);
        let shows = |socket: &str| {
            let socket = Path::new(socket);
            socket.starts_with(&real) || real.starts_with(socket)
        };
        let shown = source.display();
        // `/var/run` is a link to `/run` nearly everywhere.
        let is_socket = SOCKETS.iter().any(|socket| shows(socket))
            || source.starts_with("/var/run")
            || real.file_name().is_some_and(|name| name == "docker.sock");
        if is_socket {
            return Some(format!(
                "mounts `{shown}`, and with it the engine's socket: whoever has that owns the host"
            ));
        }
        let how = if read_only { " for reading" } else { "" };
        self.is_outside(source)
            .then(|| format!("mounts `{shown}`{how}, which is outside of the project"))
    }

    /// Whether a path of the host leads out of the project's folder, links followed.
    fn is_outside(&self, path: &Path) -> bool {
        !real(path).starts_with(self.given.folder)
    }
}

/// A path without links, as far as it is there.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}
