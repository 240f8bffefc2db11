//! What differs from one system to the next, in one place.
//!
//! Cosmos is made and tested on Linux. The choices for macOS are here so that somebody can
//! try them: **untested**. Windows is not built at all, and uses Cosmos inside of WSL 2,
//! which is Linux.
//!
//! What else wants a Unix, and would have to change for Windows: sockets of the engine
//! (`docker::client`, `docker::attach`), signals (`server`, `cli::terminal`, `cli::watch`),
//! raw mode and window size (`cli::terminal`), modes and owners of files (`cli::private`,
//! `cli::bootstrap`, `cli::build`, `cli::watch`). What wants Linux or a Unix and can do without
//! has the other way beside it: `/proc` in `cli::terminal`, limits of inotify in
//! [`crate::watch`], pipes, links and modes in `config::read` and `config::context`.

use std::{
    env,
    path::{Path, PathBuf},
};

const IS_MACOS: bool = cfg!(target_os = "macos");

/// Whether this executable can run in a container: the proxy's image is then made of it.
pub const RUNS_IN_CONTAINERS: bool = cfg!(target_os = "linux");

/// The programs that open a page in a browser, with their first words, the best first.
pub const BROWSERS: &[&[&str]] = if IS_MACOS {
    &[&["open"]]
} else {
    &[&["xdg-open"], &["gio", "open"]]
};

/// The programs that show a manual page that they are given as their input.
pub const MANUALS: &[&[&str]] = if IS_MACOS {
    &[&["mandoc", "-a"]]
} else {
    &[&["man", "-l", "-"], &["mandoc", "-a"]]
};

/// Whether there is a screen that a browser could be on.
pub fn has_screen() -> bool {
    IS_MACOS
        || ["BROWSER", "DISPLAY", "WAYLAND_DISPLAY"]
            .iter()
            .any(|name| variable(name).is_some())
}

/// Our folder among those for what a person writes; none for a user without a home.
pub fn config_folder() -> Option<PathBuf> {
    folder("XDG_CONFIG_HOME", ".config", "Library/Application Support")
}

/// Our folder among those for what can be made again.
pub fn cache_folder() -> Option<PathBuf> {
    folder("XDG_CACHE_HOME", ".cache", "Library/Caches")
}

/// Our folder among those for what was said once and is kept.
pub fn state_folder() -> Option<PathBuf> {
    folder(
        "XDG_STATE_HOME",
        ".local/state",
        "Library/Application Support",
    )
}

/// Where a variable says, as the XDG Base Directory Specification has it, else where the
/// system has such things.
fn folder(name: &str, elsewhere: &str, on_macos: &str) -> Option<PathBuf> {
    let all = match variable(name) {
        Some(folder) => folder,
        None => variable("HOME")?.join(if IS_MACOS { on_macos } else { elsewhere }),
    };
    Some(all.join("cosmos"))
}

fn variable(name: &str) -> Option<PathBuf> {
    let value = env::var_os(name).filter(|value| !value.is_empty());
    value.map(PathBuf::from)
}

/// The socket of a Docker engine that nobody configured.
pub const DOCKER_SOCKET: &str = "/var/run/docker.sock";

/// Where engines usually listen: Docker, Docker rootless, Docker Desktop, Podman; and what
/// runs them on macOS.
pub fn usual_sockets(home: Option<&Path>, runtime_folder: Option<&Path>) -> Vec<PathBuf> {
    let mut sockets = vec![
        Some(PathBuf::from(DOCKER_SOCKET)),
        runtime_folder.map(|folder| folder.join("docker.sock")),
        home.map(|folder| folder.join(".docker/run/docker.sock")),
        runtime_folder.map(|folder| folder.join("podman/podman.sock")),
        Some(PathBuf::from("/run/podman/podman.sock")),
    ];
    if IS_MACOS {
        sockets.push(home.map(|folder| folder.join(".colima/default/docker.sock")));
        sockets.push(home.map(|folder| folder.join(".orbstack/run/docker.sock")));
    }
    sockets.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_nobody_are_not_looked_for() {
        let all = usual_sockets(Some(Path::new("/home/ann")), Some(Path::new("/run/user/7")));
        let some = usual_sockets(None, None);
        assert_eq!(all.first(), Some(&PathBuf::from(DOCKER_SOCKET)));
        assert!(all.contains(&"/run/user/7/podman/podman.sock".into()));
        assert!(some.iter().all(|socket| socket.is_absolute()));
        assert!(some.len() < all.len());
    }
}
