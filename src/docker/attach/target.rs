//! Where an engine listens, as `DOCKER_HOST` words it.

use std::{fmt, path::PathBuf};

/// An engine's address, and the version of its API that was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    place: Place,
    prefix: String,
}

/// The two kinds of address that can be opened directly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    Unix(PathBuf),
    Tcp { host: String, port: u16 },
}

/// Why an address cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It is reached by other means than a socket.
    #[error(
        "no terminal can be attached through `{scheme}://`: only unix:// and tcp:// are opened directly"
    )]
    Scheme {
        /// What was written before `://`.
        scheme: String,
    },
    /// It cannot be read.
    #[error("`{host}` is not an engine's address: write unix:///path or tcp://host:port")]
    Unreadable {
        /// As written.
        host: String,
    },
}

/// The port Docker listens on without TLS, where none is written.
const PLAIN_PORT: u16 = 2375;

impl Target {
    /// Reads an address like that of `DOCKER_HOST`. `version` is the API's,
    /// written `1.41`, `v1.41` or `/v1.41`; the engine's newest if it is empty.
    pub fn new(host: &str, version: &str) -> Result<Self, TargetError> {
        Ok(Self {
            place: read_place(host)?,
            prefix: read_version(version),
        })
    }

    /// An engine that listens at this path.
    pub fn unix(path: impl Into<PathBuf>, version: &str) -> Self {
        Self {
            place: Place::Unix(path.into()),
            prefix: read_version(version),
        }
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    pub(super) fn prefix(&self) -> &str {
        &self.prefix
    }
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Place::Tcp { host, port } if host.contains(':') => {
                write!(formatter, "tcp://[{host}]:{port}")
            }
            Place::Tcp { host, port } => write!(formatter, "tcp://{host}:{port}"),
        }
    }
}

fn read_version(version: &str) -> String {
    match version.trim_start_matches('/').trim_start_matches('v') {
        "" => String::new(),
        number => format!("/v{number}"),
    }
}

fn read_place(host: &str) -> Result<Place, TargetError> {
    let unreadable = || TargetError::Unreadable {
        host: host.to_owned(),
    };
    let (scheme, rest) = match host.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None if host.starts_with('/') => ("unix", host),
        None => ("tcp", host),
    };
    match scheme {
        "unix" if !rest.is_empty() => Ok(Place::Unix(PathBuf::from(rest))),
        "tcp" | "http" => read_authority(rest).ok_or_else(unreadable),
        "unix" => Err(unreadable()),
        other => Err(TargetError::Scheme {
            scheme: other.to_owned(),
        }),
    }
}

fn read_authority(text: &str) -> Option<Place> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']')?;
        match after {
            "" => (host, None),
            after => (host, Some(after.strip_prefix(':')?)),
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.map_or(Some(PLAIN_PORT), |port| port.parse().ok())?;
    let is_host = |letter: char| {
        letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':' | '%')
    };
    if host.is_empty() || !host.chars().all(is_host) {
        return None;
    }
    Some(Place::Tcp {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(host: &str) -> String {
        Target::new(host, "1.41").unwrap().to_string()
    }

    #[test]
    fn the_addresses_of_docker_host_are_read() {
        assert_eq!(shown("unix:///run/docker.sock"), "unix:///run/docker.sock");
        assert_eq!(shown("/run/docker.sock"), "unix:///run/docker.sock");
        assert_eq!(shown("tcp://10.0.0.1:2380"), "tcp://10.0.0.1:2380");
        assert_eq!(shown("tcp://engine/"), "tcp://engine:2375");
        assert_eq!(shown("engine:1"), "tcp://engine:1");
        assert_eq!(shown("tcp://[::1]:99"), "tcp://[::1]:99");
        assert_eq!(shown("tcp://[::1]"), "tcp://[::1]:2375");
    }

    #[test]
    fn what_cannot_be_opened_is_refused() {
        for host in [
            "",
            "unix://",
            "tcp://",
            "tcp://:1",
            "tcp://a:b",
            "tcp://a b",
            "tcp://[::1",
            "tcp://[::1]9",
        ] {
            let refused = Target::new(host, "1.41").unwrap_err();
            assert!(matches!(refused, TargetError::Unreadable { .. }), "{host}");
        }
        let refused = Target::new("ssh://me@there", "1.41").unwrap_err();
        assert!(matches!(refused, TargetError::Scheme { scheme } if scheme == "ssh"));
    }

    #[test]
    fn the_version_is_taken_in_any_spelling() {
        for version in ["1.41", "v1.41", "/v1.41"] {
            assert_eq!(Target::new("/s", version).unwrap().prefix(), "/v1.41");
        }
        assert_eq!(Target::new("/s", "").unwrap().prefix(), "");
    }
}
