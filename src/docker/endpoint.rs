//! Where the engine is.
//!
//! `DOCKER_HOST` first, then the current Docker context, then the sockets that
//! engines usually have. Pure over [`Environment`] and [`Files`], so that every
//! order of precedence is tested without one.

use std::{
    fmt,
    os::unix::fs::FileTypeExt as _,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::{
    platform::{DOCKER_SOCKET, usual_sockets},
    reconcile::engine::EngineError,
    workspace::fingerprint::hex,
};

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// Plain HTTP: `host:port`.
    Tcp(String),
}

/// Who said where the engine is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedBy {
    /// `DOCKER_HOST`.
    Variable,
    /// A Docker context, by its name.
    Context(String),
    /// Nobody: it is where engines usually are.
    Usual,
}

impl fmt::Display for NamedBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable => f.write_str("DOCKER_HOST"),
            Self::Context(name) => write!(f, "Docker context `{name}`"),
            Self::Usual => f.write_str("a usual place"),
        }
    }
}

/// The port of `tcp://host` without one, as Docker's own client has it.
const TCP_PORT: u16 = 2375;

/// Why no endpoint was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// The address has a scheme that is not spoken here.
    #[error("`{address}` ({source_name}) cannot be used: {cause}")]
    Unsupported {
        /// The address.
        address: String,
        /// Who named it: `DOCKER_HOST`, or a context.
        source_name: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// The current context is not there or cannot be read.
    #[error("the Docker context `{name}` cannot be used: {cause}")]
    Context {
        /// Its name.
        name: String,
        /// What is wrong with it.
        cause: String,
    },
    /// None of the usual sockets is there.
    #[error("none of the usual sockets is there ({})", tried.join(", "))]
    Nowhere {
        /// Which were looked for.
        tried: Vec<String>,
    },
}

impl From<EndpointError> for EngineError {
    fn from(error: EndpointError) -> Self {
        let endpoint = match &error {
            EndpointError::Unsupported { address, .. } => address.clone(),
            EndpointError::Context { name, .. } => format!("context `{name}`"),
            EndpointError::Nowhere { .. } => format!("unix://{DOCKER_SOCKET}"),
        };
        Self::Unreachable {
            endpoint,
            cause: error.to_string(),
        }
    }
}

/// What of the environment says where the engine is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// `DOCKER_HOST`.
    pub docker_host: Option<String>,
    /// `DOCKER_CONTEXT`.
    pub docker_context: Option<String>,
    /// `DOCKER_CONFIG`: the folder that is else `~/.docker`.
    pub docker_config: Option<String>,
    /// `DOCKER_TLS_VERIFY`.
    pub docker_tls_verify: Option<String>,
    /// `XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<String>,
    /// `HOME`.
    pub home: Option<String>,
}

impl Environment {
    /// This process's own. Set but empty is the same as not set.
    pub fn of_process() -> Self {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        Self {
            docker_host: read("DOCKER_HOST"),
            docker_context: read("DOCKER_CONTEXT"),
            docker_config: read("DOCKER_CONFIG"),
            docker_tls_verify: read("DOCKER_TLS_VERIFY"),
            runtime_dir: read("XDG_RUNTIME_DIR"),
            home: read("HOME"),
        }
    }

    fn docker_folder(&self) -> Option<PathBuf> {
        match (&self.docker_config, &self.home) {
            (Some(folder), _) => Some(PathBuf::from(folder)),
            (None, Some(home)) => Some(Path::new(home).join(".docker")),
            (None, None) => None,
        }
    }

    /// Where engines usually listen.
    pub fn usual_sockets(&self) -> Vec<PathBuf> {
        let home = self.home.as_ref().map(Path::new);
        usual_sockets(home, self.runtime_dir.as_ref().map(Path::new))
    }
}

/// The little that is read of the file system.
pub trait Files {
    /// A file's text, if it can be read.
    fn text(&self, path: &Path) -> Option<String>;
    /// Whether there is a socket.
    fn has_socket(&self, path: &Path) -> bool;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct Disk;

impl Files for Disk {
    fn text(&self, path: &Path) -> Option<String> {
        std::fs::read_to_string(path).ok()
    }

    fn has_socket(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket())
    }
}

impl Endpoint {
    /// The engine that this process should use.
    ///
    /// # Errors
    /// If what was configured cannot be used, or nothing was and no usual socket is there.
    pub fn of_process() -> Result<Self, EndpointError> {
        Self::find(&Environment::of_process(), &Disk)
    }

    /// The engine that an environment means.
    ///
    /// # Errors
    /// As [`Endpoint::of_process`].
    pub fn find(environment: &Environment, files: &impl Files) -> Result<Self, EndpointError> {
        Self::find_named(environment, files).map(|(endpoint, _)| endpoint)
    }

    /// The same, and who named it.
    ///
    /// # Errors
    /// As [`Endpoint::of_process`].
    pub fn find_named(
        environment: &Environment,
        files: &impl Files,
    ) -> Result<(Self, NamedBy), EndpointError> {
        let tls = environment.docker_tls_verify.is_some();
        // As in Docker's own client, an explicit host beats an explicit context.
        if let Some(host) = &environment.docker_host {
            let by = NamedBy::Variable;
            return Ok((Self::parse(host, &by.to_string(), tls)?, by));
        }
        if let Some((name, host)) = current_context(environment, files)? {
            let by = NamedBy::Context(name);
            return Ok((Self::parse(&host, &by.to_string(), false)?, by));
        }
        let sockets = environment.usual_sockets();
        match sockets.iter().find(|path| files.has_socket(path)) {
            Some(path) => Ok((Self::Unix(path.clone()), NamedBy::Usual)),
            None => Err(EndpointError::Nowhere {
                tried: sockets
                    .iter()
                    .map(|path| path.display().to_string())
                    .collect(),
            }),
        }
    }

    /// Reads `unix://`, `tcp://` and `http://` addresses.
    fn parse(address: &str, source_name: &str, tls: bool) -> Result<Self, EndpointError> {
        let unsupported = |cause| EndpointError::Unsupported {
            address: address.to_owned(),
            source_name: source_name.to_owned(),
            cause,
        };
        let (scheme, rest) = address
            .split_once("://")
            .ok_or_else(|| unsupported("it has no scheme, as in `unix:///var/run/docker.sock`"))?;
        match scheme {
            "unix" if rest.is_empty() => Ok(Self::Unix(PathBuf::from(DOCKER_SOCKET))),
            "unix" => Ok(Self::Unix(PathBuf::from(rest))),
            "tcp" if tls => Err(unsupported("TLS (DOCKER_TLS_VERIFY) is not spoken yet")),
            "tcp" | "http" => {
                let authority = rest.split('/').next().unwrap_or(rest);
                if authority.is_empty() {
                    return Err(unsupported("it names no host"));
                }
                let after_brackets = authority.rsplit(']').next().unwrap_or(authority);
                Ok(Self::Tcp(if after_brackets.contains(':') {
                    authority.to_owned()
                } else {
                    format!("{authority}:{TCP_PORT}")
                }))
            }
            "ssh" => Err(unsupported(
                "engines behind ssh are not reached yet; forward the socket with `ssh -L` and use that",
            )),
            "https" => Err(unsupported("TLS is not spoken yet")),
            _ => Err(unsupported("use unix://, tcp:// or http://")),
        }
    }

    /// The path, if it is a socket.
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp(_) => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(authority) => write!(f, "tcp://{authority}"),
        }
    }
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

#[derive(Deserialize)]
struct ContextFile {
    #[serde(rename = "Endpoints")]
    endpoints: ContextEndpoints,
}

#[derive(Deserialize)]
struct ContextEndpoints {
    docker: Option<ContextEndpoint>,
}

#[derive(Deserialize)]
struct ContextEndpoint {
    #[serde(rename = "Host", default)]
    host: String,
}

/// Name and address of the current context; `None` where it is the default one.
fn current_context(
    environment: &Environment,
    files: &impl Files,
) -> Result<Option<(String, String)>, EndpointError> {
    let Some(folder) = environment.docker_folder() else {
        return Ok(None);
    };
    let name = match &environment.docker_context {
        Some(name) => name.clone(),
        None => {
            let text = files.text(&folder.join("config.json")).unwrap_or_default();
            // A config that is broken for other reasons says nothing about contexts.
            serde_json::from_str::<ConfigFile>(&text)
                .map(|config| config.current_context)
                .unwrap_or_default()
        }
    };
    if name.is_empty() || name == "default" {
        return Ok(None);
    }
    let broken = |cause: String| EndpointError::Context {
        name: name.clone(),
        cause,
    };
    let path = folder
        .join("contexts/meta")
        .join(hex(&Sha256::digest(name.as_bytes())))
        .join("meta.json");
    let text = files
        .text(&path)
        .ok_or_else(|| broken(format!("{} cannot be read", path.display())))?;
    let context: ContextFile =
        serde_json::from_str(&text).map_err(|error| broken(error.to_string()))?;
    match context.endpoints.docker {
        Some(endpoint) if !endpoint.host.is_empty() => Ok(Some((name, endpoint.host))),
        _ => Err(broken("it names no Docker endpoint".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    #[derive(Default)]
    struct Fake {
        texts: BTreeMap<PathBuf, String>,
        sockets: BTreeSet<PathBuf>,
    }

    impl Fake {
        fn with_text(mut self, path: &str, text: &str) -> Self {
            self.texts.insert(path.into(), text.to_owned());
            self
        }

        fn with_socket(mut self, path: &str) -> Self {
            self.sockets.insert(path.into());
            self
        }
    }

    impl Files for Fake {
        fn text(&self, path: &Path) -> Option<String> {
            self.texts.get(path).cloned()
        }

        fn has_socket(&self, path: &Path) -> bool {
            self.sockets.contains(path)
        }
    }

    fn home() -> Environment {
        Environment {
            home: Some("/home/ann".to_owned()),
            runtime_dir: Some("/run/user/7".to_owned()),
            ..Environment::default()
        }
    }

    fn unix(path: &str) -> Endpoint {
        Endpoint::Unix(path.into())
    }

    fn meta(name: &str) -> String {
        let folder = hex(&Sha256::digest(name.as_bytes()));
        format!("/home/ann/.docker/contexts/meta/{folder}/meta.json")
    }

    #[test]
    fn docker_host_wins_over_context_and_sockets() {
        let mut environment = home();
        environment.docker_host = Some("unix:///tmp/x.sock".to_owned());
        environment.docker_context = Some("remote".to_owned());
        let files = Fake::default().with_socket(DOCKER_SOCKET);
        assert_eq!(
            Endpoint::find(&environment, &files),
            Ok(unix("/tmp/x.sock"))
        );
    }

    #[test]
    fn the_current_context_wins_over_the_usual_sockets() {
        let files = Fake::default()
            .with_socket(DOCKER_SOCKET)
            .with_text(
                "/home/ann/.docker/config.json",
                r#"{"auths":{},"currentContext":"remote"}"#,
            )
            .with_text(
                &meta("remote"),
                r#"{"Name":"remote","Endpoints":{"docker":{"Host":"tcp://10.0.0.2","SkipTLSVerify":false}}}"#,
            );
        assert_eq!(
            Endpoint::find(&home(), &files),
            Ok(Endpoint::Tcp("10.0.0.2:2375".to_owned()))
        );
    }

    #[test]
    fn the_default_context_means_the_usual_sockets() {
        let mut environment = home();
        environment.docker_context = Some("default".to_owned());
        let files = Fake::default().with_socket("/run/user/7/podman/podman.sock");
        assert_eq!(
            Endpoint::find(&environment, &files),
            Ok(unix("/run/user/7/podman/podman.sock"))
        );
    }

    #[test]
    fn a_context_that_is_gone_is_an_error_not_another_engine() {
        let mut environment = home();
        environment.docker_context = Some("gone".to_owned());
        let files = Fake::default().with_socket(DOCKER_SOCKET);
        let error = Endpoint::find(&environment, &files).unwrap_err();
        assert!(error.to_string().contains("`gone`"), "{error}");
    }

    #[test]
    fn whoever_named_it_is_told() {
        let named = |environment: &Environment| {
            let files = Fake::default().with_socket(DOCKER_SOCKET).with_text(
                &meta("remote"),
                r#"{"Endpoints":{"docker":{"Host":"tcp://10.0.0.2"}}}"#,
            );
            Endpoint::find_named(environment, &files).unwrap().1
        };
        let mut environment = home();
        assert_eq!(named(&environment), NamedBy::Usual);
        environment.docker_context = Some("remote".to_owned());
        assert_eq!(named(&environment), NamedBy::Context("remote".to_owned()));
        environment.docker_host = Some("unix://".to_owned());
        assert_eq!(named(&environment), NamedBy::Variable);
    }

    #[test]
    fn the_usual_sockets_are_tried_in_order() {
        let files = Fake::default()
            .with_socket("/run/podman/podman.sock")
            .with_socket("/run/user/7/docker.sock");
        assert_eq!(
            Endpoint::find(&home(), &files),
            Ok(unix("/run/user/7/docker.sock"))
        );
        let error = Endpoint::find(&home(), &Fake::default()).unwrap_err();
        assert!(error.to_string().contains(DOCKER_SOCKET), "{error}");
    }

    #[test]
    fn addresses_are_read_as_docker_reads_them() {
        let parse = |address: &str| Endpoint::parse(address, "DOCKER_HOST", false);
        assert_eq!(parse("unix://"), Ok(unix(DOCKER_SOCKET)));
        assert_eq!(
            parse("http://[::1]:80/"),
            Ok(Endpoint::Tcp("[::1]:80".to_owned()))
        );
        assert_eq!(parse("tcp://[::1]"), Ok(Endpoint::Tcp("[::1]:2375".into())));
        for bad in [
            "ssh://me@there",
            "https://x",
            "/var/run/docker.sock",
            "tcp://",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        assert!(Endpoint::parse("tcp://x:1", "DOCKER_HOST", true).is_err());
    }
}
