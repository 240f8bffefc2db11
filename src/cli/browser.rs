//! The user's browser, if there is one.

use std::{
    env,
    ffi::{OsStr, OsString},
    process::{Command, Stdio},
};

/// How a browser is opened on this system, if `BROWSER` does not say.
const OPENERS: [&str; 2] = match cfg!(target_os = "macos") {
    true => ["open", "xdg-open"],
    false => ["xdg-open", "gio"],
};

/// Whether there is a screen that a browser could be on.
pub(super) fn has_screen() -> bool {
    let is_set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    cfg!(target_os = "macos") || is_set("BROWSER") || is_set("DISPLAY") || is_set("WAYLAND_DISPLAY")
}

/// Opens an address or a file in it; false if there is none.
///
/// Whoever else is on this machine can read what it is given: an address with a secret
/// in it has to be in a file.
pub(super) fn open(page: impl AsRef<OsStr>) -> bool {
    let named = env::var_os("BROWSER").filter(|name| !name.is_empty());
    let openers: Vec<OsString> = match named {
        Some(name) => vec![name],
        None => OPENERS.iter().map(OsString::from).collect(),
    };
    // Nobody waits for it: a browser that is the first of its kind stays.
    openers.iter().any(|opener| {
        let mut command = Command::new(opener);
        if opener == "gio" {
            command.arg("open");
        }
        command
            .arg(page.as_ref())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().is_ok()
    })
}
