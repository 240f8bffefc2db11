//! Talks to a process inside a container, over the engine's socket, by hand.
//!
//! Attaching and executing turn an HTTP connection into a stream of bytes. The
//! engine's client library guesses how that stream is framed, and guesses wrong
//! for terminals; here the caller says what it asked for, and that alone decides:
//! a terminal's stream is raw, any other is taken apart by [`Demultiplexer`].
//!
//! Start reading at [`Client`] for the calls, at [`Session`] for the stream.
//! Keys, window sizes and signals are `cli::terminal`'s.

mod call;
mod demultiplex;
mod session;
mod target;

use std::{io, time::Duration};

use hyper::{Response, body::Incoming};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use self::{
    call::Call,
    session::{Held, Window},
};
pub use self::{
    call::cannot_run,
    demultiplex::{Demultiplexer, Frame, FrameError},
    session::{Resizer, Session, SessionReader, SessionWriter, WindowSize},
    target::{Target, TargetError},
};
use crate::reconcile::engine::EngineError;

/// Why a process in a container could not be talked to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The engine said no, or did not answer.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The container is there, but nothing runs in it.
    #[error("{what}")]
    NotRunning {
        /// The engine's words.
        what: String,
    },
    /// The stream is not what was asked for.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The connection broke.
    #[error("the connection to the engine was lost: {0}")]
    Lost(#[source] io::Error),
}

impl Error {
    /// Whether the command is not in the image, or cannot be run: the code a
    /// shell would give, 127 or 126. A caller with another command may try it,
    /// as nothing was shown yet.
    pub fn cannot_run(&self) -> Option<i64> {
        match self {
            Self::Engine(EngineError::CannotRun { code, .. }) => Some(*code),
            _ => None,
        }
    }
}

/// Which streams of a container to join.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// Write to it, too. It must have been created with its input open.
    pub stdin: bool,
    /// It was created with a terminal: its stream is raw.
    pub tty: bool,
    /// First what it has already written.
    pub logs: bool,
}

/// What to run in a container that runs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ExecOptions {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Give it a terminal.
    pub tty: bool,
    /// Write to it.
    pub stdin: bool,
    /// As whom, if not the container's user.
    pub user: Option<String>,
    /// Where, if not the container's folder.
    pub workdir: Option<String>,
    /// More of the environment, as `NAME=value`.
    pub env: Vec<String>,
}

/// A command that was prepared in a container, and how to join it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    id: String,
    tty: bool,
    stdin: bool,
}

impl Exec {
    /// The engine's id of it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// What of a container's end to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WaitFor {
    /// Its next end, even if it is not started yet.
    NextExit,
    /// Its removal, for one that the engine removes at its end.
    Removed,
    /// Not to run: at once, if it does not.
    NotRunning,
}

/// The calls. Each opens a connection of its own.
#[derive(Debug, Clone)]
pub struct Client {
    target: Target,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ExecState {
    #[serde(default)]
    exit_code: Option<i64>,
    #[serde(default)]
    pid: i64,
}

impl Client {
    /// Opens nothing yet.
    pub fn new(target: Target) -> Self {
        Self { target }
    }

    /// Joins the streams of a container, which need not have been started: join
    /// first, and nothing it writes is lost.
    pub async fn attach(&self, container: &str, options: AttachOptions) -> Result<Session, Error> {
        let AttachOptions { stdin, tty, logs } = options;
        let path = format!(
            "/containers/{}/attach?stream=1&stdout=1&stderr=1&stdin={}&logs={}",
            segment(container)?,
            u8::from(stdin),
            u8::from(logs)
        );
        let raw = Call::post("attach", &path).take_over(&self.target).await?;
        let window = Window::container(self, container)?;
        Ok(Session::of(raw, tty, stdin, Some(window)))
    }

    /// Starts a container that was created. One that runs already is fine.
    pub async fn start(&self, container: &str) -> Result<(), Error> {
        let path = format!("/containers/{}/start", segment(container)?);
        // Starting mounts volumes and makes networks; two minutes is the CLI's own patience.
        Call::post("start", &path)
            .within(120)
            .done(&self.target)
            .await
    }

    /// Registers to learn of a container's end. What this returns is already
    /// listening: start the container after it, and no end is missed.
    pub async fn wait(&self, container: &str, until: WaitFor) -> Result<Waiting, Error> {
        let condition = match until {
            WaitFor::NextExit => "next-exit",
            WaitFor::Removed => "removed",
            WaitFor::NotRunning => "not-running",
        };
        let path = format!(
            "/containers/{}/wait?condition={condition}",
            segment(container)?
        );
        let answer = Call::post("wait", &path).begin(&self.target).await?;
        Ok(Waiting { answer })
    }

    /// Whether a container runs now.
    pub async fn container_is_running(&self, container: &str) -> Result<bool, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Inspected {
            state: Running,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Running {
            running: bool,
        }
        let path = format!("/containers/{}/json", segment(container)?);
        let inspected: Inspected = Call::get("inspect", &path).answer(&self.target).await?;
        Ok(inspected.state.running)
    }

    /// Prepares a command in a container that runs.
    pub async fn exec_create(&self, container: &str, options: &ExecOptions) -> Result<Exec, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wanted<'a> {
            cmd: &'a [String],
            tty: bool,
            attach_stdin: bool,
            attach_stdout: bool,
            attach_stderr: bool,
            env: &'a [String],
            #[serde(skip_serializing_if = "Option::is_none")]
            user: Option<&'a str>,
            #[serde(skip_serializing_if = "Option::is_none")]
            working_dir: Option<&'a str>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Created {
            id: String,
        }
        let wanted = Wanted {
            cmd: &options.command,
            tty: options.tty,
            attach_stdin: options.stdin,
            attach_stdout: true,
            attach_stderr: true,
            env: &options.env,
            user: options.user.as_deref(),
            working_dir: options.workdir.as_deref(),
        };
        let path = format!("/containers/{}/exec", segment(container)?);
        let created: Created = Call::post("exec", &path)
            .json(&wanted)?
            .answer(&self.target)
            .await?;
        Ok(Exec {
            id: created.id,
            tty: options.tty,
            stdin: options.stdin,
        })
    }

    /// Starts a prepared command and joins its streams.
    ///
    /// A command that is not in the image is no error here: the engine tells of
    /// it in the stream. [`Client::exec`] finds out.
    pub async fn exec_start(&self, exec: &Exec) -> Result<Session, Error> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Wanted {
            detach: bool,
            tty: bool,
        }
        let path = format!("/exec/{}/start", segment(&exec.id)?);
        let call = Call::post("exec", &path).json(&Wanted {
            detach: false,
            tty: exec.tty,
        })?;
        let raw = call.take_over(&self.target).await?;
        let window = Window::exec(self, exec)?;
        Ok(Session::of(raw, exec.tty, exec.stdin, Some(window)))
    }

    /// Prepares and starts a command, and returns once it runs, or has run.
    ///
    /// A command that is not in the image is an error, and nothing of the
    /// engine's complaint is in any stream. So another one can be tried.
    pub async fn exec(
        &self,
        container: &str,
        options: &ExecOptions,
    ) -> Result<(Exec, Session), Error> {
        let exec = self.exec_create(container, options).await?;
        let mut session = self.exec_start(&exec).await?;
        self.confirm(&exec, &mut session).await?;
        Ok((exec, session))
    }

    /// Waits for a proof that the command runs.
    ///
    /// Proof is a process id, or output that is not the engine's complaint. The
    /// engine's `Running` is none: it is true while it still tries (20.10).
    async fn confirm(&self, exec: &Exec, session: &mut Session) -> Result<(), Error> {
        // Doubling from two milliseconds: an exec takes 30 to 100, and asking costs 0.4.
        let mut pause = Duration::from_millis(2);
        loop {
            tokio::select! {
                // Cancel-safe: `hold` keeps each frame it has read in the session.
                held = session.reader.hold() => {
                    return match held? {
                        Held::Output => Ok(()),
                        Held::End | Held::Complaint => self.look_for_complaint(exec, session).await,
                    };
                }
                // Cancel-safe: nothing is lost with a sleep.
                () = sleep(pause) => {}
            }
            let state = self.exec_state(exec).await?;
            if state.pid > 0 && state.exit_code.is_none() {
                return Ok(());
            }
            pause = (pause * 2).min(Duration::from_millis(50));
        }
    }

    /// The stream began as the engine's complaint does, or was empty. It is one
    /// if nothing follows it and the code is a shell's for "cannot run".
    async fn look_for_complaint(&self, exec: &Exec, session: &mut Session) -> Result<(), Error> {
        let Some(text) = session.reader.hold_complaint().await? else {
            return Ok(());
        };
        let code = self.exec_exit_code(exec).await?;
        match (code, cannot_run(&text)) {
            (Some(126 | 127), Some(cannot_run)) => Err(cannot_run.into()),
            // As where the container ends meanwhile: not the command's fault.
            (Some(126 | 127), None) if text.starts_with("OCI runtime exec failed") => {
                Err(call::refused(0, text.trim().to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The exit code of a command, `None` while it runs.
    pub async fn exec_exit_code(&self, exec: &Exec) -> Result<Option<i64>, Error> {
        Ok(self.exec_state(exec).await?.exit_code)
    }

    /// The exit code of a command whose stream has ended. The engine closes the
    /// stream a moment before it knows the code.
    pub async fn exec_end(&self, exec: &Exec) -> Result<i64, Error> {
        let mut pause = Duration::from_millis(1);
        // Ends within ten seconds; what closed its streams may also live on.
        for _ in 0..60 {
            if let Some(code) = self.exec_exit_code(exec).await? {
                return Ok(code);
            }
            sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
        Err(Error::Engine(EngineError::Deadline {
            call: "exec",
            seconds: 10,
        }))
    }

    async fn exec_state(&self, exec: &Exec) -> Result<ExecState, Error> {
        let path = format!("/exec/{}/json", segment(&exec.id)?);
        Call::get("inspect", &path).answer(&self.target).await
    }

    /// Tells a container's terminal its size.
    pub async fn resize_container(&self, container: &str, size: WindowSize) -> Result<(), Error> {
        Window::container(self, container)?.resize(size).await
    }

    /// Tells a command's terminal its size.
    pub async fn resize_exec(&self, exec: &Exec, size: WindowSize) -> Result<(), Error> {
        Window::exec(self, exec)?.resize(size).await
    }
}

/// One segment of a path: a person may have typed it.
fn segment(text: &str) -> Result<String, Error> {
    if text.is_empty() || text.chars().all(|letter| letter == '.') {
        return Err(Error::Engine(EngineError::NotFound {
            what: format!("No such container: {text}"),
        }));
    }
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' => {
                encoded.push(char::from(byte))
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    Ok(encoded)
}

/// Listens for a container's end.
#[derive(Debug)]
pub struct Waiting {
    answer: Response<Incoming>,
}

impl Waiting {
    /// Its exit code, once it has ended.
    pub async fn exit_code(self) -> Result<i64, Error> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Ended {
            status_code: i64,
            #[serde(default)]
            error: Option<Failure>,
        }
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Failure {
            #[serde(default)]
            message: String,
        }
        let ended: Ended = call::read_answer(self.answer).await?;
        match ended.error {
            Some(Failure { message }) if !message.is_empty() => Err(call::refused(0, message)),
            _ => Ok(ended.status_code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_name_stays_one_segment_of_the_path() {
        assert_eq!(segment("shop-web-1").unwrap(), "shop-web-1");
        assert_eq!(segment("../x?y=1#z").unwrap(), "..%2Fx%3Fy%3D1%23z");
        assert!(segment("..").is_err());
        assert!(segment("").is_err());
    }
}
