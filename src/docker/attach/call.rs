//! One HTTP request to the engine over a socket of its own.
//!
//! A connection is opened for each: the socket is local, an open costs a tenth
//! of a millisecond, and a stream that took over its connection cannot be
//! mistaken for the answer to something else.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Method, Request, Response, StatusCode, body::Incoming, client::conn::http1, header, upgrade,
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::{
    Error,
    target::{Place, Target},
};
use crate::reconcile::engine::EngineError;

/// Opening a local socket is instant; this is for an engine across a network.
const CONNECT: Duration = Duration::from_secs(10);

/// An answer that is not a stream is a few kilobytes of JSON.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// What to ask, and how long the answer may take to begin.
pub(super) struct Call<'a> {
    /// As a person would name it, for a message.
    pub(super) name: &'static str,
    pub(super) method: Method,
    pub(super) path: &'a str,
    pub(super) body: Bytes,
    pub(super) seconds: u64,
}

impl<'a> Call<'a> {
    /// Half a minute: an engine under load answers late, one that hangs never.
    const SECONDS: u64 = 30;

    pub(super) fn get(name: &'static str, path: &'a str) -> Self {
        Self {
            name,
            method: Method::GET,
            path,
            body: Bytes::new(),
            seconds: Self::SECONDS,
        }
    }

    pub(super) fn post(name: &'static str, path: &'a str) -> Self {
        Self {
            method: Method::POST,
            ..Self::get(name, path)
        }
    }

    pub(super) fn json(self, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|cause| refused(0, cause.to_string()))?;
        Ok(Self {
            body: body.into(),
            ..self
        })
    }

    pub(super) fn within(self, seconds: u64) -> Self {
        Self { seconds, ..self }
    }

    /// Asks, and returns once the answer has begun and is a yes.
    pub(super) async fn begin(&self, target: &Target) -> Result<Response<Incoming>, Error> {
        self.in_time(self.send(target, false)).await?
    }

    /// Asks, and throws away what a yes says.
    pub(super) async fn done(&self, target: &Target) -> Result<(), Error> {
        self.begin(target).await.map(drop)
    }

    /// Asks, and reads the answer.
    pub(super) async fn answer<T: DeserializeOwned>(&self, target: &Target) -> Result<T, Error> {
        let body = self.in_time(async { read_all(self.send(target, false).await?).await });
        read_json(&body.await??)
    }

    /// Asks for the connection itself, and gets both directions of it.
    pub(super) async fn take_over(&self, target: &Target) -> Result<Raw, Error> {
        let response = self.in_time(self.send(target, true)).await??;
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let message = format!(
                "it answered `{}` without handing over the connection",
                self.name
            );
            return Err(refused(response.status().as_u16(), message));
        }
        let upgraded = upgrade::on(response)
            .await
            .map_err(|cause| Error::Lost(io::Error::other(cause)))?;
        split(upgraded)
    }

    async fn in_time<T>(&self, work: impl Future<Output = T>) -> Result<T, Error> {
        timeout(Duration::from_secs(self.seconds), work)
            .await
            .map_err(|_| {
                Error::Engine(EngineError::Deadline {
                    call: self.name,
                    seconds: self.seconds,
                })
            })
    }

    async fn send(&self, target: &Target, take_over: bool) -> Result<Response<Incoming>, Error> {
        let mut request = Request::builder()
            .method(&self.method)
            .uri(format!("{}{}", target.prefix(), self.path))
            .header(header::HOST, "engine")
            .header(
                header::USER_AGENT,
                concat!("cosmos/", env!("CARGO_PKG_VERSION")),
            );
        if !self.body.is_empty() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        request = if take_over {
            request
                .header(header::CONNECTION, "Upgrade")
                .header(header::UPGRADE, "tcp")
        } else {
            request.header(header::CONNECTION, "close")
        };
        let request = request
            .body(Full::new(self.body.clone()))
            .map_err(|cause| refused(0, cause.to_string()))?;

        let unreachable = |cause: io::Error| cannot_connect(target, &cause);
        let response = match target.place() {
            Place::Unix(path) => {
                let socket = connect(UnixStream::connect(path))
                    .await
                    .map_err(unreachable)?;
                exchange(socket, request).await
            }
            Place::Tcp { host, port } => {
                let socket = connect(TcpStream::connect((host.as_str(), *port)))
                    .await
                    .map_err(unreachable)?;
                // Keys must not wait for each other.
                socket.set_nodelay(true).map_err(unreachable)?;
                exchange(socket, request).await
            }
        };
        let response =
            response.map_err(|cause| cannot_connect(target, &io::Error::other(cause)))?;

        let status = response.status();
        if status.is_success() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Ok(response);
        }
        let body = read_all(response).await?;
        Err(classify(status.as_u16(), &body))
    }
}

async fn connect<T>(connecting: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    match timeout(CONNECT, connecting).await {
        Ok(connected) => connected,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}

async fn exchange<S>(socket: S, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    // Ends with the response's body, or when whoever reads that drops it.
    tokio::spawn(connection.with_upgrades());
    sender.send_request(request).await
}

async fn read_all(response: Response<Incoming>) -> Result<Bytes, Error> {
    match Limited::new(response.into_body(), LONGEST_ANSWER)
        .collect()
        .await
    {
        Ok(body) => Ok(body.to_bytes()),
        Err(cause) => Err(Error::Lost(io::Error::other(cause))),
    }
}

pub(super) async fn read_answer<T: DeserializeOwned>(
    response: Response<Incoming>,
) -> Result<T, Error> {
    read_json(&read_all(response).await?)
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|cause| refused(0, format!("its answer cannot be read: {cause}")))
}

/// Both directions of a connection that was taken over, and what arrived early.
pub(super) struct Raw {
    pub(super) reader: Box<dyn AsyncRead + Send + Unpin>,
    pub(super) writer: Box<dyn AsyncWrite + Send + Unpin>,
    pub(super) early: Bytes,
}

/// Splits without a lock, which the half of a unix or TCP socket does not need.
fn split(upgraded: upgrade::Upgraded) -> Result<Raw, Error> {
    let upgraded = match upgraded.downcast::<TokioIo<UnixStream>>() {
        Ok(parts) => {
            let (reader, writer) = parts.io.into_inner().into_split();
            return Ok(Raw {
                reader: Box::new(reader),
                writer: Box::new(writer),
                early: parts.read_buf,
            });
        }
        Err(upgraded) => upgraded,
    };
    match upgraded.downcast::<TokioIo<TcpStream>>() {
        Ok(parts) => {
            let (reader, writer) = parts.io.into_inner().into_split();
            Ok(Raw {
                reader: Box::new(reader),
                writer: Box::new(writer),
                early: parts.read_buf,
            })
        }
        Err(_) => Err(Error::Lost(io::Error::other(
            "the connection is of no known kind",
        ))),
    }
}

fn cannot_connect(target: &Target, cause: &io::Error) -> Error {
    let endpoint = target.to_string();
    Error::Engine(match cause.kind() {
        io::ErrorKind::PermissionDenied => EngineError::Denied { endpoint },
        _ => EngineError::Unreachable {
            endpoint,
            cause: cause.to_string(),
        },
    })
}

pub(super) fn refused(status: u16, message: String) -> Error {
    Error::Engine(EngineError::Refused { status, message })
}

/// What a no of the engine means.
fn classify(status: u16, body: &[u8]) -> Error {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    let message = match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => refusal.message,
        Err(_) => String::from_utf8_lossy(body).trim().to_owned(),
    };
    if let Some(cannot_run) = cannot_run(&message) {
        return Error::Engine(cannot_run);
    }
    match status {
        404 => Error::Engine(EngineError::NotFound { what: message }),
        409 if message.contains("is not running") => Error::NotRunning { what: message },
        409 => Error::Engine(EngineError::Conflict { what: message }),
        _ => refused(status, message),
    }
}

/// Reads the engine's words for "that command is not in the image", in every
/// wording seen: by runc and crun, at `start` and at `exec`.
pub fn cannot_run(message: &str) -> Option<EngineError> {
    // Only the runtime's own report: a program may print the same words.
    let is_report = [
        "OCI runtime",
        "failed to create shim",
        "failed to create task",
        "crun:",
        "runc:",
    ]
    .iter()
    .any(|words| message.contains(words));
    if !is_report {
        return None;
    }
    // crun says so of an empty path; runc names a working directory that is
    // missing in the same words as a command, and that is no missing command.
    if message.contains("chdir") || message.contains("mkdir") || message.contains("rootfs") {
        return None;
    }
    let words = message.to_lowercase();
    let (code, reason) =
        if words.contains("executable file not found") || words.contains("executable file `") {
            (127, "not found in $PATH")
        } else if words.contains("no such file or directory") {
            (127, "no such file or directory")
        } else if words.contains("permission denied") {
            (126, "permission denied")
        } else if words.contains("exec format error") {
            (126, "not for this processor, or not a program")
        } else if words.contains("is a directory") {
            (126, "is a directory")
        } else {
            return None;
        };
    let cause = match command_of(message) {
        Some(command) => format!("cannot run `{command}`: {reason}"),
        None => format!("cannot run the command: {reason}"),
    };
    Some(EngineError::CannotRun { cause, code })
}

/// The command a runtime complains about: `exec: "bash": ...` of runc,
/// ``executable file `bash` not found`` of crun.
fn command_of(message: &str) -> Option<&str> {
    let quoted = |before: &str, quote: char| {
        let (_, rest) = message.rsplit_once(before)?;
        let (command, _) = rest.split_once(quote)?;
        (!command.is_empty()).then_some(command)
    };
    quoted("exec: \"", '"').or_else(|| quoted("executable file `", '`'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(message: &str) -> Option<(i64, String)> {
        match cannot_run(message)? {
            EngineError::CannotRun { cause, code } => Some((code, cause)),
            other => panic!("{other}"),
        }
    }

    #[test]
    fn a_missing_command_is_known_in_each_runtimes_words() {
        for (message, code, cause) in [
            (
                "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/bin/bash\": stat /bin/bash: no such file or directory: unknown\r\n",
                127,
                "cannot run `/bin/bash`: no such file or directory",
            ),
            (
                "failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: exec: \"nope\": executable file not found in $PATH: unknown",
                127,
                "cannot run `nope`: not found in $PATH",
            ),
            (
                "OCI runtime exec failed: exec failed: unable to start container process: exec: \"/etc/passwd\": permission denied: unknown",
                126,
                "cannot run `/etc/passwd`: permission denied",
            ),
            (
                "crun: executable file `bash` not found in $PATH: No such file or directory: OCI runtime attempted to invoke a command that was not found",
                127,
                "cannot run `bash`: not found in $PATH",
            ),
        ] {
            assert_eq!(said(message), Some((code, cause.to_owned())));
        }
    }

    #[test]
    fn what_a_program_prints_is_no_report_of_the_runtime() {
        assert_eq!(said("sh: bash: no such file or directory"), None);
        assert_eq!(said("OCI runtime exec failed: something else"), None);
        assert_eq!(
            said(
                "OCI runtime exec failed: exec failed: chdir to cwd (\"/nope\") failed: no such file or directory"
            ),
            None
        );
    }

    #[test]
    fn a_refusal_keeps_the_engines_words() {
        let told = |status, body: &str| classify(status, body.as_bytes()).to_string();
        assert_eq!(
            told(404, r#"{"message":"No such container: x"}"#),
            "No such container: x"
        );
        assert_eq!(
            told(409, r#"{"message":"Container x is not running"}"#),
            "Container x is not running"
        );
        assert_eq!(told(500, "half a js"), "the engine refused: half a js");
    }
}
