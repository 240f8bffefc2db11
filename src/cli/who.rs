//! Who types here, for whoever asks later who ordered something.

use std::{env, fs};

/// `anna@host`.
pub(super) fn here() -> String {
    format!("{}@{}", user(), host())
}

/// Somebody as people here know them: without this very host.
pub(super) fn known(who: &str) -> &str {
    match who.rsplit_once('@') {
        Some((user, there)) if there == host() => user,
        _ => who,
    }
}

fn host() -> String {
    let name = rustix::system::uname();
    name.nodename().to_string_lossy().into_owned()
}

/// `anna`.
pub(super) fn user() -> String {
    let id = rustix::process::getuid().as_raw();
    ["USER", "LOGNAME"]
        .iter()
        .find_map(|variable| env::var(variable).ok().filter(|name| !name.is_empty()))
        .or_else(|| user_of(&fs::read_to_string("/etc/passwd").ok()?, id))
        .unwrap_or_else(|| format!("uid {id}"))
}

/// The name that a `passwd` file has for a user's number.
fn user_of(passwd: &str, id: u32) -> Option<String> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_without_variables_is_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbroken\nanna:x:1000:1000::/home/anna:\n";
        assert_eq!(user_of(passwd, 1000).as_deref(), Some("anna"));
        assert_eq!(user_of(passwd, 7), None);
    }

    #[test]
    fn somebody_of_this_host_is_known_without_it() {
        assert_eq!(known(&format!("anna@{}", host())), "anna");
        assert_eq!(known("anna@elsewhere.invalid"), "anna@elsewhere.invalid");
    }
}
