//! What an engine's words about a failed start mean.
//!
//! Engines say it in prose, each version in its own; there is no code. Every
//! phrase here was said by one of Docker 20.10 to 29, runc, crun or Podman, and
//! what is in none of them stays the engine's own words.

use crate::reconcile::engine::EngineError;

/// A start that failed, in our words.
pub(super) fn of_start(error: EngineError) -> EngineError {
    let text = match &error {
        EngineError::NotFound { what } | EngineError::Conflict { what } => what,
        EngineError::Refused { message, .. } => message,
        _ => return error,
    };
    if let Some(port) = taken_port(text) {
        return EngineError::PortTaken { port };
    }
    if let Some((cause, code)) = cannot_run(text) {
        return EngineError::CannotRun { cause, code };
    }
    error
}

/// Whether a start failed because a network that the container was in is gone.
pub(super) fn is_network_gone(error: &EngineError) -> bool {
    let text = match error {
        EngineError::NotFound { what } => what,
        EngineError::Refused { message, .. } => message,
        _ => return false,
    };
    text.contains("network") && text.contains("not found")
}

/// Whether an order failed because the container is frozen.
pub(super) fn is_paused(error: &EngineError) -> bool {
    match error {
        EngineError::Conflict { what } => what.contains("paused"),
        EngineError::Refused { message, .. } => message.contains("paused container"),
        _ => false,
    }
}

/// Whether a registry said that it wants a login, or another one.
pub(super) fn is_login_needed(message: &str) -> bool {
    let message = message.to_lowercase();
    // Of what is nowhere, some say that one may not see it: then nobody knows which it is.
    let may_be_absent = ["does not exist", "not found"]
        .iter()
        .any(|phrase| message.contains(phrase));
    !may_be_absent
        && [
            "no basic auth credentials",
            "unauthorized",
            "authentication required",
            "incorrect username or password",
        ]
        .iter()
        .any(|phrase| message.contains(phrase))
}

/// Whether a registry said that it has no such image, or none that we may see.
pub(super) fn is_image_absent(message: &str) -> bool {
    let message = message.to_lowercase();
    [
        "no such image",
        "not found",
        "manifest unknown",
        "pull access denied",
        "does not exist",
        "denied",
        "image not known",
        "no matching manifest",
    ]
    .iter()
    .any(|phrase| message.contains(phrase))
}

/// The host port that something else holds.
fn taken_port(text: &str) -> Option<u16> {
    if !text.contains("port is already allocated") && !text.contains("address already in use") {
        return None;
    }
    // What stands before the address, in the order from most to least certain.
    const BEFORE: [&str; 10] = [
        "Bind for ",
        "bind host port for ",
        "bind host port ",
        "listen tcp4 ",
        "listen tcp6 ",
        "listen tcp ",
        "listen udp4 ",
        "listen udp6 ",
        "listen udp ",
        "expose privileged port ",
    ];
    BEFORE.iter().find_map(|before| {
        let (_, after) = text.split_once(before)?;
        port_of(after.split_whitespace().next()?)
    })
}

/// The first port in `127.0.0.1:8080:172.17.0.2:80/tcp`, `[::1]:8080:` or `:8080`.
fn port_of(address: &str) -> Option<u16> {
    let after_host = match address.strip_prefix('[') {
        Some(bracketed) => bracketed.split_once("]:")?.1,
        // 20.10 has no brackets, and then no container's address behind it.
        None if address.contains("::") => address.rsplit_once(':')?.1,
        None => address.split_once(':')?.1,
    };
    let digits = after_host.split(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
}

/// Why a command could not be run, and the code a shell would give.
fn cannot_run(text: &str) -> Option<(String, i64)> {
    // crun: "executable file `nope` not found in $PATH".
    let is_absent = text.contains("executable file")
        && (text.contains("not found in $PATH") || text.contains("not found in PATH"));
    let at = text
        .rfind("exec: ")
        .or_else(|| text.rfind("executable file "))
        .or_else(|| text.rfind("exec "));
    let cause = |start: usize| {
        text[start..]
            .trim_start_matches("exec: ")
            .trim_end_matches(": unknown")
            // What crun and Podman explain after the fact itself.
            .split(": OCI ")
            .next()
            .unwrap_or_default()
            .trim_end_matches('.')
            .trim()
            .to_owned()
    };
    let start = at?;
    let rest = &text[start..];
    if is_absent || (rest.contains("no such file or directory") && rest.starts_with("exec: ")) {
        return Some((cause(start), 127));
    }
    let is_unusable = ["permission denied", "is a directory", "exec format error"]
        .iter()
        .any(|phrase| rest.to_lowercase().contains(phrase));
    is_unusable.then(|| (cause(start), 126))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(message: &str) -> EngineError {
        of_start(EngineError::Refused {
            status: 500,
            message: message.to_owned(),
        })
    }

    #[test]
    fn the_port_that_is_taken_is_named() {
        for text in [
            "driver failed programming external connectivity on endpoint x (4f): Bind for 127.0.0.1:8080 failed: port is already allocated",
            "driver failed programming external connectivity on endpoint x (4f): Bind for ::1:8080 failed: port is already allocated",
            "driver failed programming external connectivity on endpoint x (4f): Error starting userland proxy: listen tcp4 127.0.0.1:8080: bind: address already in use",
            "driver failed programming external connectivity on endpoint x (4f): Error starting userland proxy: listen tcp6 [::1]:8080: bind: address already in use",
            "failed to set up container networking: driver failed programming external connectivity on endpoint x (4f): failed to bind host port for 127.0.0.1:8080:172.18.0.2:80/tcp: address already in use",
            "failed to bind host port 127.0.0.1:8080/tcp: address already in use",
            "rootlessport listen tcp 0.0.0.0:8080: bind: address already in use",
            "cannot listen on the TCP port: listen tcp4 :8080: bind: address already in use",
        ] {
            assert_eq!(
                refused(text),
                EngineError::PortTaken { port: 8080 },
                "{text}"
            );
        }
    }

    #[test]
    fn a_command_that_is_not_there_is_127_and_one_that_cannot_run_126() {
        let code = |text: &str| match refused(text) {
            EngineError::CannotRun { cause, code } => (cause, code),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            code(
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"nope\": executable file not found in $PATH: unknown"
            ),
            (
                "\"nope\": executable file not found in $PATH".to_owned(),
                127
            )
        );
        assert_eq!(
            code(
                "failed to create task for container: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: exec: \"/nope\": stat /nope: no such file or directory: unknown"
            )
            .1,
            127
        );
        assert_eq!(
            code("crun: executable file `nope` not found in $PATH: No such file or directory: OCI runtime attempted to invoke a command that was not found").1,
            127
        );
        assert_eq!(
            code(
                "OCI runtime create failed: container_linux.go:380: starting container process caused: exec: \"/etc\": permission denied: unknown"
            )
            .1,
            126
        );
    }

    #[test]
    fn a_mount_that_is_not_there_is_no_missing_command() {
        let text = "OCI runtime create failed: rootfs_linux.go:76: mounting \"/a\" to rootfs at \"/b\" caused: no such file or directory: unknown";
        assert!(matches!(refused(text), EngineError::Refused { .. }));
    }

    #[test]
    fn a_network_that_is_gone_is_told_from_a_container_that_is() {
        let gone = |what: &str| {
            is_network_gone(&EngineError::NotFound {
                what: what.to_owned(),
            })
        };
        assert!(gone("network 4f0c not found"));
        assert!(!gone("No such container: network"));
    }
}
