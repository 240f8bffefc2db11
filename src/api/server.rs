//! The management side: `POST /container` and everything under `/_cosmos/v1`.
//!
//! The gate stands before this (see `traffic::guard`): whatever arrives here
//! may be here. Handlers translate, and decide nothing.
//!
//! Container output crosses as frames, as Docker frames it: a byte for the
//! stream (1 out, 2 err), three zeros, the length as four big-endian bytes, and
//! the bytes themselves.

mod containers;
mod exchanges;
mod files;
mod founding;
mod images;
mod input;
mod live;
mod problem;
mod session;
mod state;
#[cfg(test)]
mod tests;
mod token;
mod workspaces;

#[cfg(test)]
pub(super) use containers::LogQuery;

pub use live::Usages;

use std::{
    sync::{Arc, OnceLock, Weak, atomic::AtomicUsize},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Body,
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, stream};
use serde::Serialize;
use tokio::{sync::mpsc, time::sleep};

use super::wire::{API_VERSION, ErrorBody, Event, PREFIX, Problem, Version};
use crate::{
    reconcile::{
        adhoc::Adhoc,
        controller::Controller,
        engine::{Console, EngineError, LogChunk},
    },
    traffic::Shared,
    workspace::Installation,
};

/// Whether the body of a request is a stream, and not JSON: a context to build, files
/// for a container, or a copy of the state. Whatever the method: the router knows which
/// there are, and reads no body for another.
pub fn takes_stream(path: &str) -> bool {
    let Some(path) = path.strip_prefix(PREFIX) else {
        return false;
    };
    matches!(path, "/images" | "/state")
        || path.starts_with("/workspaces/") && path.ends_with("/files")
}

/// What the handlers work with.
pub struct Management {
    /// The loop that keeps workspaces true.
    pub controller: Arc<Controller>,
    /// The orders about single containers.
    pub adhoc: Adhoc,
    /// What containers say.
    pub console: Arc<dyn Console>,
    /// Whose server this is.
    pub installation: Installation,
    /// Starts of callers without the token that are under way.
    pub starting: AtomicUsize,
    /// What passes, once it may.
    pub passing: Arc<OnceLock<Weak<Shared>>>,
    /// What containers use.
    pub usages: Usages,
    /// Puts another token in the place of the one that opens the gate.
    pub rotate_token: Box<dyn Fn() -> std::io::Result<()> + Send + Sync>,
}

impl Management {
    /// The data plane.
    fn proxy(&self) -> Result<Arc<Shared>, Problem> {
        let passing = self.passing.get().and_then(Weak::upgrade);
        passing.ok_or_else(|| Problem::new("starting", "the proxy is still starting"))
    }
}

/// Whether a request came with the token. Put into its extensions by whoever
/// stands before the router.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trusted(pub bool);

/// The largest body with a token that is read whole: 16 MiB.
const LARGEST_JSON: usize = 16 << 20;

/// Every endpoint.
pub fn router(management: Arc<Management>) -> Router {
    let v1 = Router::new()
        .route("/version", get(version))
        .route("/workspaces", get(workspaces::list))
        .route(
            "/workspaces/{key}",
            get(workspaces::status)
                .put(workspaces::apply)
                .delete(workspaces::down),
        )
        .route(
            "/workspaces/{key}/plan",
            get(workspaces::pending).post(workspaces::plan),
        )
        .route("/workspaces/{key}/wait", get(workspaces::wait))
        .route("/workspaces/{key}/rollback", post(workspaces::rollback))
        .route("/workspaces/{key}/history", get(workspaces::history))
        .route(
            "/workspaces/{key}/services/{service}/why",
            get(workspaces::why),
        )
        .route(
            "/workspaces/{key}/commands/{command}/run",
            post(workspaces::run_command),
        )
        .route(
            "/workspaces/{key}/services/{service}/files",
            axum::routing::put(files::put),
        )
        .route(
            "/workspaces/{key}/services/{service}/files/remove",
            post(files::remove),
        )
        .route("/live", get(live::follow))
        .route("/session", post(session::open))
        .route("/session/invite", post(session::invite))
        .route("/exchanges", get(exchanges::list).delete(exchanges::clear))
        .route("/exchanges/follow", get(exchanges::follow))
        .route("/exchanges/har", get(exchanges::har))
        .route("/exchanges/{number}", get(exchanges::one))
        .route("/exchanges/{number}/curl", get(exchanges::curl))
        .route("/exchanges/{number}/replay", post(exchanges::replay))
        // Answered by the data plane; here are its methods.
        .route("/metrics", get(no_such_endpoint))
        .route("/state", get(state::copy).put(state::restore))
        .route("/token/rotate", post(token::rotate))
        .route("/images", axum::routing::put(images::build))
        .route("/images/pull", post(images::pull))
        .route("/logins", post(images::log_in))
        .route(
            "/containers",
            get(containers::list).post(containers::start_adhoc),
        )
        .route(
            "/containers/{reference}",
            get(containers::find).delete(containers::remove),
        )
        .route("/containers/{reference}/{order}", post(containers::order))
        .route("/containers/{reference}/logs", get(containers::logs))
        .route("/containers/{reference}/wait", get(containers::wait))
        .fallback(no_such_endpoint)
        .method_not_allowed_fallback(no_such_method);
    Router::new()
        .route("/container", post(founding::container))
        .nest(PREFIX, v1)
        .layer(axum::extract::DefaultBodyLimit::max(LARGEST_JSON))
        .with_state(management)
}

async fn version(
    axum::extract::State(management): axum::extract::State<Arc<Management>>,
) -> Json<Version> {
    Json(Version {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        api: API_VERSION,
        installation: management.installation.to_string(),
    })
}

async fn no_such_endpoint() -> Refused {
    Refused(
        Problem::new("no_such_endpoint", "this proxy has no such endpoint")
            .hinted("`cosmos proxy status` shows whether the proxy is older than your `cosmos`"),
    )
}

/// Axum adds which methods there are.
async fn no_such_method(method: Method) -> Refused {
    Refused(
        Problem::new(
            "method_not_allowed",
            format!("this endpoint does not know {method}"),
        )
        .hinted("its `Allow` header has those that it knows"),
    )
}

/// A problem on its way out, with the status its code stands for.
pub(super) struct Refused(pub(super) Problem);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(problem)
    }
}

/// Whatever can say what it means to a person, as `?` needs it.
impl<E> From<E> for Refused
where
    Problem: for<'a> From<&'a E>,
{
    fn from(error: E) -> Self {
        Self(Problem::from(&error))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        (problem::status(&self.0), Json(ErrorBody { error: self.0 })).into_response()
    }
}

/// Does it to its end, whether or not the caller stays to hear of it: what was
/// begun with the engine must not stop between two calls.
pub(super) async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refused>> + Send + 'static,
) -> Result<T, Refused> {
    tokio::spawn(work).await.unwrap_or_else(|ended| {
        Err(Problem::new("failed", format!("it was not done to its end: {ended}")).into())
    })
}

/// Answers with events, a JSON line each, as they happen.
pub(super) fn events(receiver: mpsc::UnboundedReceiver<Event>) -> Response {
    let lines = stream::unfold(receiver, |mut receiver| async move {
        let event = receiver.recv().await?;
        let mut line = serde_json::to_vec(&event).unwrap_or_default();
        line.push(b'\n');
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from(line)),
            receiver,
        ))
    });
    streamed("application/x-ndjson", lines)
}

/// Answers with lines of JSON, some at a time, at the pace of whoever reads them.
fn lines<T: Serialize + Send + 'static>(receiver: mpsc::Receiver<Vec<T>>) -> Response {
    let batches = stream::unfold(receiver, |mut receiver| async move {
        let batch = receiver.recv().await?;
        let mut text = Vec::new();
        for line in batch {
            // Into memory, which takes everything.
            let _ = serde_json::to_writer(&mut text, &line);
            text.push(b'\n');
        }
        Some((
            Ok::<_, std::convert::Infallible>(Bytes::from(text)),
            receiver,
        ))
    });
    streamed("application/x-ndjson", batches)
}

/// So many lines cross the wire at once, if they are there: each by itself costs a write.
const AT_ONCE: usize = 512;

/// After some lines, for more to be there. What is written without a pause is read in
/// many lines at a time then, by all on its way, and the processor is left to whoever
/// writes it. A line after a silence waits for nothing.
const GATHERING: Duration = Duration::from_micros(500);

/// Answers with a container's output in frames.
pub(super) fn frames(
    chunks: impl Stream<Item = Result<LogChunk, EngineError>> + Send + 'static,
) -> Response {
    let framed = gathered(chunks).flat_map(|chunks| {
        let mut frames = BytesMut::new();
        let mut failed = None;
        for chunk in chunks {
            match chunk {
                Ok(chunk) => put_frame(&mut frames, &chunk),
                Err(error) => failed = Some(Err(std::io::Error::other(error))),
            }
        }
        let whole = (!frames.is_empty()).then(|| Ok(frames.freeze()));
        stream::iter(whole.into_iter().chain(failed))
    });
    streamed("application/vnd.docker.multiplexed-stream", framed)
}

/// What is there, and after a while what is there by then.
fn gathered<T>(items: impl Stream<Item = T> + Send) -> impl Stream<Item = Vec<T>> + Send {
    let state = (Box::pin(items.ready_chunks(AT_ONCE)), false);
    stream::unfold(state, |(mut items, is_begun)| async move {
        if is_begun {
            sleep(GATHERING).await;
        }
        let gathered = items.next().await?;
        Some((gathered, (items, true)))
    })
}

fn put_frame(frames: &mut BytesMut, chunk: &LogChunk) {
    let stream: u32 = match chunk {
        LogChunk::Out(_) => 1,
        LogChunk::Err(_) => 2,
    };
    let bytes = chunk.bytes();
    frames.reserve(8 + bytes.len());
    frames.put_u32(stream << 24);
    // The engine's own frames are far below 4 GiB.
    frames.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
    frames.put_slice(bytes);
}

fn streamed<E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static>(
    kind: &'static str,
    chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
) -> Response {
    (
        StatusCode::OK,
        [
            (header::CONTENT_TYPE, kind),
            (header::CACHE_CONTROL, "no-store"),
        ],
        Body::from_stream(chunks),
    )
        .into_response()
}
