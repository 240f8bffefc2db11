//! Images: built, pulled, and the logins for both.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use axum::{Json, body::Body, extract::State, http::HeaderMap, response::Response};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use futures_util::TryStreamExt as _;
use tokio::sync::mpsc;

use super::{
    Management, Refused, events,
    input::{Object, Sent},
};
use crate::{
    api::wire::{BUILD_HEADER, Credentials, Event, ImageBuild, Outcome, Problem, PullImage},
    plan::Action,
    reconcile::engine::{EngineError, Login, Progress},
    workspace::ImageRef,
};

/// Takes logins for what is pulled from now on. They are kept in memory only.
pub(super) async fn log_in(
    State(management): State<Arc<Management>>,
    Sent(credentials): Sent<BTreeMap<String, Credentials>>,
) -> Json<serde_json::Value> {
    management.console.log_in(logins(credentials));
    Json(serde_json::json!({}))
}

pub(super) fn logins(credentials: BTreeMap<String, Credentials>) -> Vec<Login> {
    credentials
        .into_iter()
        .map(|(host, login)| Login {
            host,
            username: login.username,
            password: login.password,
        })
        .collect()
}

/// Fetches an image, and says whether it is another than before. Whoever hangs up
/// gives it up.
pub(super) async fn pull(
    State(management): State<Arc<Management>>,
    Sent(order): Sent<PullImage>,
) -> Result<Response, Refused> {
    let image = ImageRef::new(order.image)
        .map_err(|error| Problem::new("invalid_request", error.to_string()))?;
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let progressed = |progress| {
            // The caller may have hung up.
            let _ = sender.send(Event::ImageProgressed {
                image: image.to_string(),
                progress,
            });
        };
        let pulled = tokio::select! {
            pulled = fetch(&management, &image, &progressed) => pulled,
            // Not continued: the engine keeps the layers that are there.
            () = sender.closed() => return,
        };
        let event = match pulled {
            Ok((id, changed)) => Event::ImagePulled {
                image: image.to_string(),
                id,
                changed,
            },
            Err(error) => Event::Failed {
                problem: Problem::from(&error),
            },
        };
        let _ = sender.send(event);
    });
    Ok(events(receiver))
}

/// The id of an image that was pulled, and whether it is another than before.
async fn fetch(
    management: &Management,
    image: &ImageRef,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<(String, bool), EngineError> {
    let engine = management.controller.engine();
    let id = async || -> Result<Option<String>, EngineError> {
        let observed = engine.observe().await?;
        Ok(observed.images.get(image).cloned())
    };
    let before = id().await?;
    let pull = Action::PullImage {
        image: image.clone(),
    };
    engine.perform(&pull, progress).await?;
    let after = id().await?;
    Ok((after.clone().unwrap_or_default(), after != before))
}

/// Builds an image from the context that is the body: a tar stream without a bound.
/// Whoever hangs up gives the build up.
pub(super) async fn build(
    State(management): State<Arc<Management>>,
    headers: HeaderMap,
    context: Body,
) -> Result<Response, Refused> {
    let build = build_in(&headers)?;
    let context = Box::pin(context.into_data_stream().map_err(std::io::Error::other));
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let began = Instant::now();
        let image = build.tag.clone();
        let progressed = |progress| {
            // The caller may have hung up.
            let _ = sender.send(Event::ImageProgressed {
                image: image.clone(),
                progress,
            });
        };
        let built = tokio::select! {
            built = management.console.build(build, context, &progressed) => built,
            // Not continued: the engine ends a build whose caller is gone.
            () = sender.closed() => return,
        };
        let event = match built {
            Ok(()) => Event::Finished {
                outcome: Outcome {
                    succeeded: 1,
                    failed: 0,
                    skipped: 0,
                    services: 0,
                    millis: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                    held: Vec::new(),
                },
            },
            Err(error) => Event::Failed {
                problem: Problem::from(&error),
            },
        };
        let _ = sender.send(event);
    });
    Ok(events(receiver))
}

/// What the context is built into. In a header and not in the path, which is
/// logged: build arguments are nobody else's business.
fn build_in(headers: &HeaderMap) -> Result<ImageBuild, Problem> {
    let not_understood = |why: String| {
        Problem::new(
            "invalid_request",
            format!("the build is not understood: {why}"),
        )
    };
    let header = headers
        .get(BUILD_HEADER)
        .ok_or_else(|| not_understood(format!("there is no header `{BUILD_HEADER}`")))?;
    let json = STANDARD
        .decode(header.as_bytes())
        .map_err(|error| not_understood(error.to_string()))?;
    let build = serde_json::from_slice(&json).map(|Object(build)| build);
    build.map_err(|error| not_understood(error.to_string()))
}
