//! What containers and builds say.

use std::collections::VecDeque;

use bollard::{
    container::LogOutput,
    exec::{CreateExecOptions, StartExecResults},
};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{
    FutureExt as _, StreamExt as _, TryStreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use serde::Deserialize;

use super::{
    client::{CHANGE, LOOK, Path, refused, within},
    engine::{Credentials, DockerEngine},
    failure,
};
use crate::{
    reconcile::engine::{
        Console, EngineError, ImageBuild, LogChunk, LogOptions, Login, Progress, Used,
    },
    workspace::ContainerId,
};

/// The head of a frame: which stream, three zeros, and a length.
const FRAME_HEAD: usize = 8;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Waited {
    status_code: i64,
    error: Option<WaitError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WaitError {
    message: Option<String>,
}

impl Console for DockerEngine {
    fn logs(
        &self,
        container: &str,
        options: LogOptions,
    ) -> BoxStream<'static, Result<LogChunk, EngineError>> {
        let (engine, container) = (self.clone(), container.to_owned());
        stream::once(async move { engine.open_logs(&container, &options).await })
            .try_flatten()
            .boxed()
    }

    fn wait<'a>(&'a self, container: &'a str) -> BoxFuture<'a, Result<i64, EngineError>> {
        async move {
            let path = Path::new("/containers")
                .segment(container)
                .then("/wait?condition=not-running");
            let waited: Waited = self.client().ask(&path).await?;
            match waited.error.and_then(|error| error.message) {
                Some(message) if !message.is_empty() => Err(refused(0, message)),
                _ => Ok(waited.status_code),
            }
        }
        .boxed()
    }

    fn exec<'a>(
        &'a self,
        container: &'a str,
        command: &'a [String],
    ) -> BoxFuture<'a, Result<(i64, Vec<LogChunk>), EngineError>> {
        self.run_inside(container, command, None).boxed()
    }

    fn used<'a>(&'a self, container: &'a ContainerId) -> BoxFuture<'a, Result<Used, EngineError>> {
        self.measure(container).boxed()
    }

    fn put_files<'a>(
        &'a self,
        container: &'a ContainerId,
        folder: &'a str,
        tar: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.unpack(container, folder, tar).boxed()
    }

    fn remove_files<'a>(
        &'a self,
        container: &'a ContainerId,
        paths: &'a [String],
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.remove_inside(container, paths).boxed()
    }

    fn log_in(&self, logins: Vec<Login>) {
        for login in logins {
            // How Docker's own client keeps a token that stands for a login.
            let credentials = if login.username == "<token>" {
                Credentials::IdentityToken(login.password)
            } else {
                Credentials::Password {
                    username: login.username,
                    password: login.password,
                }
            };
            self.set_credentials(&login.host, credentials);
        }
    }

    fn build<'a>(
        &'a self,
        build: ImageBuild,
        context: BoxStream<'static, Result<Bytes, std::io::Error>>,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<(), EngineError>> {
        self.build_image(build, context, progress).boxed()
    }
}

impl DockerEngine {
    /// The last lines of a container's output, both streams as they came.
    ///
    /// # Errors
    /// If there is no such container, or its log cannot be read.
    pub async fn container_logs_tail(
        &self,
        container: &str,
        lines: u64,
    ) -> Result<Vec<String>, EngineError> {
        let options = LogOptions {
            tail: Some(lines),
            ..LogOptions::default()
        };
        let output = within("logs", LOOK, async {
            self.logs(container, options)
                .try_fold(BytesMut::new(), |mut whole, chunk| async move {
                    let (LogChunk::Out(bytes) | LogChunk::Err(bytes)) = chunk;
                    whole.extend_from_slice(&bytes);
                    Ok(whole)
                })
                .await
        })
        .await?;
        let text = String::from_utf8_lossy(&output);
        Ok(text.lines().map(str::to_owned).collect())
    }

    async fn open_logs(
        &self,
        container: &str,
        options: &LogOptions,
    ) -> Result<BoxStream<'static, Result<LogChunk, EngineError>>, EngineError> {
        let inspected = self.must_inspect(container).await?;
        let mut path = Path::new("/containers")
            .segment(&inspected.id)
            .then("/logs?stdout=true&stderr=true");
        let flags = [
            ("follow", options.follow),
            ("timestamps", options.timestamps),
        ];
        for (key, _) in flags.into_iter().filter(|(_, is_set)| *is_set) {
            path = path.query(key, "true");
        }
        if let Some(lines) = options.tail {
            path = path.query("tail", &lines.to_string());
        }
        for (key, time) in [("since", options.since), ("until", options.until)] {
            if let Some(time) = time {
                path = path.query(key, &time.to_string());
            }
        }
        let bytes = self.client().open(&path).await?;
        let engine = self.clone();
        let bytes = bytes.map_err(move |error| engine.client().lost(&error));
        Ok(if inspected.config.tty {
            // A terminal has one stream, and the engine sends it as it is.
            bytes.map_ok(LogChunk::Out).boxed()
        } else {
            frames(bytes).boxed()
        })
    }

    /// Runs a command in a container, as its own user or another.
    pub(super) async fn run_inside(
        &self,
        container: &str,
        command: &[String],
        user: Option<&str>,
    ) -> Result<(i64, Vec<LogChunk>), EngineError> {
        let id = self.must_inspect(container).await?.id;
        let docker = self.client().docker();
        let told = |error: bollard::errors::Error| failure::of_start(self.client().error(&error));
        let options = CreateExecOptions {
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            cmd: Some(command.to_vec()),
            user: user.map(str::to_owned),
            ..CreateExecOptions::default()
        };
        let exec = within("exec", CHANGE, async {
            docker.create_exec(&id, options).await.map_err(told)
        })
        .await?;
        let StartExecResults::Attached { mut output, .. } =
            docker.start_exec(&exec.id, None).await.map_err(told)?
        else {
            return Err(refused(0, "the engine gave no output".to_owned()));
        };
        let mut chunks = VecDeque::new();
        while let Some(chunk) = output.next().await {
            keep_last(&mut chunks);
            chunks.push_back(match chunk.map_err(told)? {
                LogOutput::StdErr { message } => LogChunk::Err(message),
                LogOutput::StdOut { message }
                | LogOutput::StdIn { message }
                | LogOutput::Console { message } => LogChunk::Out(message),
            });
        }
        let inspected = within("exec", LOOK, async {
            docker.inspect_exec(&exec.id).await.map_err(told)
        })
        .await?;
        let code = inspected.exit_code.unwrap_or_default();
        // Both engines say that there is no such command on the stream, after having begun.
        if let (126 | 127, Some(LogChunk::Out(said) | LogChunk::Err(said))) = (code, chunks.front())
        {
            let said = String::from_utf8_lossy(said);
            let error = failure::of_start(refused(0, said.trim().to_owned()));
            if said.contains("OCI runtime") && matches!(error, EngineError::CannotRun { .. }) {
                return Err(error);
            }
        }
        Ok((code, chunks.into()))
    }
}

/// Takes apart the two streams that an engine sends as one.
fn frames(
    bytes: impl futures_util::Stream<Item = Result<Bytes, EngineError>> + Send + 'static,
) -> impl futures_util::Stream<Item = Result<LogChunk, EngineError>> + Send {
    let state = (bytes.boxed(), BytesMut::new());
    stream::try_unfold(state, |(mut bytes, mut buffer)| async move {
        loop {
            if let Some(chunk) = next_frame(&mut buffer) {
                return Ok(Some((chunk, (bytes, buffer))));
            }
            match bytes.try_next().await? {
                Some(more) => buffer.extend_from_slice(&more),
                // A frame that was cut with the stream is worth what arrived of it.
                None if buffer.len() > FRAME_HEAD => {
                    buffer.advance(FRAME_HEAD);
                    let rest = LogChunk::Out(buffer.split().freeze());
                    return Ok(Some((rest, (bytes, buffer))));
                }
                None => return Ok(None),
            }
        }
    })
}

fn next_frame(buffer: &mut BytesMut) -> Option<LogChunk> {
    let head = buffer.get(..FRAME_HEAD)?;
    let is_error = head[0] == 2;
    let length = u32::from_be_bytes([head[4], head[5], head[6], head[7]]) as usize;
    if buffer.len() < FRAME_HEAD + length {
        return None;
    }
    buffer.advance(FRAME_HEAD);
    let payload = buffer.split_to(length).freeze();
    Some(if is_error {
        LogChunk::Err(payload)
    } else {
        LogChunk::Out(payload)
    })
}

/// What is kept of a command's output: what a person would read of it.
const MOST_OUTPUT: usize = 64 << 10;

/// Drops the first of what was said where all of it would be too much.
fn keep_last(chunks: &mut VecDeque<LogChunk>) {
    let mut length: usize = chunks.iter().map(|chunk| chunk.bytes().len()).sum();
    while length > MOST_OUTPUT
        && let Some(first) = chunks.pop_front()
    {
        length -= first.bytes().len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_two_streams_are_told_apart_however_they_are_cut() {
        let wire = b"\x01\0\0\0\0\0\0\x02hi\x02\0\0\0\0\0\0\x03no\n\x01\0\0\0\0\0\0\0";
        for size in 1..wire.len() {
            let parts: Vec<_> = wire
                .chunks(size)
                .map(|part| Ok(Bytes::copy_from_slice(part)))
                .collect();
            let chunks: Vec<_> = frames(stream::iter(parts)).try_collect().await.unwrap();
            assert_eq!(
                chunks,
                [
                    LogChunk::Out("hi".into()),
                    LogChunk::Err("no\n".into()),
                    LogChunk::Out("".into())
                ],
                "in parts of {size}"
            );
        }
    }
}
