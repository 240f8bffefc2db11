//! Building an image from a context that arrives as a tar.
//!
//! Where the engine has BuildKit, it builds, so that `RUN --mount` works; else
//! the classic builder does. Either is one call of the engine's API, and what it
//! answers with becomes the same steps and lines: [`trace`] reads what BuildKit
//! says, [`classic`] the other.
//!
//! BuildKit asks its caller for logins, secrets and SSH keys over a session, which
//! we do not hold. So the images that a build begins with are pulled first, with
//! our logins; `RUN --mount=type=secret` and `type=ssh` are refused, in words.

mod classic;
mod steps;
mod trace;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::stream::BoxStream;
use http_body_util::BodyExt as _;
use hyper::{HeaderMap, header::HeaderValue};
use serde::Deserialize;

use self::{classic::Classic, steps::Steps, trace::Trace};
use super::{client::Path, engine::DockerEngine};
use crate::{
    reconcile::engine::{Builder, EngineError, ImageBuild, Progress},
    workspace::ImageRef,
};

/// The first minor version of the API that can be asked for BuildKit.
const BUILDKIT_SINCE: u32 = 39;

impl DockerEngine {
    /// Builds an image, and tells how far it is.
    pub(super) async fn build_image(
        &self,
        build: ImageBuild,
        context: BoxStream<'static, Result<Bytes, std::io::Error>>,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), EngineError> {
        let (headers, minor) = self.client().ping().await?;
        let builder = choose(build.builder, &headers, minor);
        if builder == Builder::Buildkit {
            self.pull_bases(&build, progress).await?;
        }
        let headers = [("x-registry-config", self.registry_config())];
        let answer = self
            .client()
            .upload(&path(&build, builder), headers, context)
            .await
            .map_err(|error| refusal(error, builder, &build.tag))?;

        let mut told = Told::new(builder);
        let mut body = answer;
        let mut buffer = BytesMut::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| self.client().lost(&error))?;
            buffer.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                told.hear(&buffer.split_to(end), progress);
                buffer.advance(1);
            }
        }
        told.hear(&buffer, progress);
        told.end(&build.tag, progress)
    }

    /// Pulls what a build begins with, where it is not there or is wanted anew.
    async fn pull_bases(
        &self,
        build: &ImageBuild,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), EngineError> {
        for base in &build.bases {
            let Ok(image) = ImageRef::new(base.clone()) else {
                // The builder says better than we what is wrong with it.
                continue;
            };
            let is_there = match self.image_id(base).await {
                Ok(_) => true,
                Err(EngineError::NoImage { .. }) => false,
                Err(error) => return Err(error),
            };
            if build.pull || !is_there {
                self.pull(&image, progress).await?;
            }
        }
        Ok(())
    }

    /// The logins for a builder that pulls by itself: a header, in base64.
    fn registry_config(&self) -> String {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE};
        // Names and texts only: nothing of it can fail.
        let logins = serde_json::to_vec(&self.all_credentials()).unwrap_or_default();
        URL_SAFE.encode(logins)
    }
}

/// The builder to ask for. An engine that says nothing of itself has BuildKit
/// from 18.09 on; Podman's builder is asked as the classic one is, and knows
/// `RUN --mount` by itself.
fn choose(wanted: Builder, headers: &HeaderMap, minor: u32) -> Builder {
    let says = |name: &str| headers.get(name).map(HeaderValue::as_bytes);
    let is_podman = says("libpod-api-version").is_some();
    match wanted {
        _ if is_podman => Builder::Classic,
        Builder::Auto => match says("builder-version") {
            Some(b"1") => Builder::Classic,
            Some(b"2") => Builder::Buildkit,
            _ if minor >= BUILDKIT_SINCE && says("ostype") != Some(b"windows") => Builder::Buildkit,
            _ => Builder::Classic,
        },
        wanted => wanted,
    }
}

/// What the engine is asked.
fn path(build: &ImageBuild, builder: Builder) -> Path {
    let mut path = Path::new("/build")
        .query("t", &build.tag)
        .query("dockerfile", &build.dockerfile)
        .query("rm", "1")
        .query("forcerm", "1");
    if let Some(target) = &build.target {
        path = path.query("target", target);
    }
    if !build.args.is_empty() {
        // Texts only: nothing of it can fail.
        let args = serde_json::to_string(&build.args).unwrap_or_default();
        path = path.query("buildargs", &args);
    }
    if build.no_cache {
        path = path.query("nocache", "1");
    }
    if builder == Builder::Buildkit {
        // Without `pull`: it would ask for a login, and what it begins with is pulled already.
        return path.query("version", "2");
    }
    if build.pull {
        path = path.query("pull", "1");
    }
    path.query("version", "1")
}

/// What it means that the engine does not begin.
fn refusal(error: EngineError, builder: Builder, tag: &str) -> EngineError {
    match error {
        EngineError::Refused { message, .. }
            if builder == Builder::Buildkit && message.to_lowercase().contains("buildkit") =>
        {
            EngineError::NoBuildkit { cause: message }
        }
        // The classic builder reads the Dockerfile before it answers.
        EngineError::Refused { message, .. } => EngineError::Build {
            tag: tag.to_owned(),
            cause: point(&message),
            output: Vec::new(),
        },
        other => other,
    }
}

/// A line of what the engine answers.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Line {
    id: Option<String>,
    stream: Option<String>,
    status: Option<String>,
    progress_detail: Option<Detail>,
    error: Option<String>,
    aux: Option<serde_json::Value>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Detail {
    current: Option<u64>,
    total: Option<u64>,
}

/// What was said so far.
struct Told {
    steps: Steps,
    reader: Reader,
    error: Option<String>,
    /// The engine named the image that was made.
    is_made: bool,
}

enum Reader {
    Buildkit(Trace),
    Classic(Classic),
}

impl Told {
    fn new(builder: Builder) -> Self {
        Self {
            steps: Steps::default(),
            reader: match builder {
                Builder::Buildkit => Reader::Buildkit(Trace::default()),
                _ => Reader::Classic(Classic::default()),
            },
            error: None,
            is_made: false,
        }
    }

    /// Takes a line. One that is not understood says nothing.
    fn hear(&mut self, line: &[u8], progress: &(dyn Fn(Progress) + Send + Sync)) {
        let Ok(line) = serde_json::from_slice::<Line>(line) else {
            return;
        };
        if let Some(aux) = &line.aux {
            self.is_made |= aux.get("ID").is_some();
            if let (Reader::Buildkit(trace), Some("moby.buildkit.trace"), Some(message)) =
                (&mut self.reader, line.id.as_deref(), aux.as_str())
            {
                trace.hear(message, &mut self.steps, progress);
            }
        }
        if let Some(error) = line.error {
            self.error = Some(error);
        }
        if let (Reader::Classic(classic), Some(text)) = (&mut self.reader, &line.stream) {
            self.is_made |= text.starts_with("Successfully ");
            classic.hear(text, &mut self.steps, progress);
        }
        let Some(status) = line.status else {
            return;
        };
        match (line.id, line.progress_detail) {
            (Some(id), detail) => {
                let detail = detail.unwrap_or_default();
                progress(Progress::Layer {
                    id,
                    status,
                    current: detail.current.unwrap_or(0),
                    total: detail.total.unwrap_or(0),
                });
            }
            (None, _) => self.steps.line(None, &status, progress),
        }
    }

    /// How it ended, once nothing more is said.
    fn end(
        mut self,
        tag: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), EngineError> {
        if let Reader::Classic(classic) = &mut self.reader {
            classic.end(self.error.as_deref(), &mut self.steps, progress);
        }
        if self.error.is_none() && self.is_made {
            return Ok(());
        }
        let cause = match &self.error {
            Some(error) => self.steps.cause(error),
            None => "the engine ended it without a word".to_owned(),
        };
        Err(EngineError::Build {
            tag: tag.to_owned(),
            cause,
            output: self.steps.last_lines(),
        })
    }
}

/// The point of what a builder says about a failure.
fn point(error: &str) -> String {
    let mut error = error.trim();
    for before in [
        "failed to solve with frontend dockerfile.v0: ",
        "failed to solve with frontend gateway.v0: ",
        "failed to create LLB definition: ",
        "failed to solve: ",
        "rpc error: code = Unknown desc = ",
    ] {
        error = error.strip_prefix(before).unwrap_or(error);
    }
    if error == "no active sessions" {
        return "it needs a secret, an SSH key or a login of BuildKit's own, and Cosmos gives it none"
            .to_owned();
    }
    error.to_owned()
}

/// The code that a step's command ended with, in the words of any builder.
fn exit_code(error: &str) -> Option<i64> {
    ["exit code: ", "non-zero code: ", "exit status "]
        .iter()
        .find_map(|before| {
            let (_, after) = error.rsplit_once(before)?;
            let end = after
                .find(|letter: char| !letter.is_ascii_digit())
                .unwrap_or(after.len());
            after[..end].parse().ok()
        })
}

#[cfg(test)]
mod tests;
