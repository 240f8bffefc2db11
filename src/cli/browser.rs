//! The user's browser, if there is one.

use std::{
    env,
    ffi::OsStr,
    process::{Command, Stdio},
};

use crate::platform;

/// Opens an address or a file in it; false if there is none.
///
/// Whoever else is on this machine can read what it is given: an address with a secret
/// in it has to be in a file.
pub(super) fn open(page: impl AsRef<OsStr>) -> bool {
    let named = env::var("BROWSER").ok().filter(|name| !name.is_empty());
    let named = named.as_deref().map(|name| [name]);
    let openers: Vec<&[&str]> = match &named {
        Some(name) => vec![name],
        None => platform::BROWSERS.to_vec(),
    };
    // Nobody waits for it: a browser that is the first of its kind stays.
    openers.into_iter().any(|opener| {
        let Some((program, words)) = opener.split_first() else {
            return false;
        };
        let mut command = Command::new(program);
        command
            .args(words)
            .arg(page.as_ref())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().is_ok()
    })
}
