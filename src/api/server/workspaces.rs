//! Workspaces: applied, planned, looked at, taken down.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{Json, extract::State, response::Response};
use tokio::sync::mpsc;

use super::{
    Management, Refused, events,
    input::{Asked, Named, Sent},
    to_its_end,
};
use crate::{
    api::wire::{
        Down, Event, History, Newest, PlanReport, Problem, Rollback, RunCommand, Status, Wait,
        Waited, Why, Wish,
    },
    plan::Volumes,
    reconcile::controller::Events,
    reconcile::controller::Preview,
};

pub(super) async fn list(
    State(management): State<Arc<Management>>,
) -> Result<Json<Vec<Status>>, Refused> {
    let look = management.controller.glance().await?;
    Ok(Json(management.controller.statuses(&look)))
}

pub(super) async fn status(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
) -> Result<Json<Status>, Refused> {
    Ok(Json(management.controller.status(&key).await?))
}

pub(super) async fn plan(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
    Sent(wish): Sent<Wish>,
) -> Result<Json<PlanReport>, Refused> {
    check_key(&key, &wish)?;
    Ok(Json(management.controller.preview(&wish).await?.into()))
}

impl From<Preview> for PlanReport {
    fn from(preview: Preview) -> Self {
        let Preview {
            plan,
            unchanged,
            holds,
        } = preview;
        Self {
            schema: 1,
            digest: plan.digest(),
            steps: plan.summaries(),
            blocked: plan.blocked.iter().map(Problem::from).collect(),
            unchanged,
            holds,
            quiet: plan.quiet,
            ignored: plan.ignored,
        }
    }
}

/// What is still to be done of what was declared last.
pub(super) async fn pending(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
) -> Result<Json<PlanReport>, Refused> {
    Ok(Json(management.controller.pending(&key).await?.into()))
}

pub(super) async fn apply(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
    Sent(wish): Sent<Wish>,
) -> Result<Response, Refused> {
    check_key(&key, &wish)?;
    let controller = Arc::clone(&management.controller);
    Ok(told(move |events| async move {
        controller.apply(wish, &events).await
    }))
}

pub(super) async fn down(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
    Asked(down): Asked<Down>,
) -> Response {
    let controller = Arc::clone(&management.controller);
    let volumes = if down.volumes {
        Volumes::Remove
    } else {
        Volumes::Keep
    };
    told(move |events| async move {
        controller
            .down(&key, &down.folder, volumes, &down.by, &events)
            .await
    })
}

/// Applies an earlier revision.
pub(super) async fn rollback(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
    Sent(rollback): Sent<Rollback>,
) -> Response {
    let controller = Arc::clone(&management.controller);
    told(move |events| async move { controller.rollback(&key, rollback, &events).await })
}

/// Answers with what is told of some work. It is done in a task of its own:
/// whoever asked may hang up, the order stands.
fn told<Work, Done>(work: Work) -> Response
where
    Work: FnOnce(Events) -> Done,
    Done: Future<Output = Result<(), Problem>> + Send + 'static,
{
    let (sender, receiver) = mpsc::unbounded_channel();
    let done = work(sender.clone());
    tokio::spawn(async move {
        if let Err(problem) = done.await {
            // The caller may have hung up.
            let _ = sender.send(Event::Failed { problem });
        }
    });
    events(receiver)
}

pub(super) async fn history(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
    Asked(newest): Asked<Newest>,
) -> Result<Json<History>, Refused> {
    Ok(Json(management.controller.history(&key, newest.limit)?))
}

pub(super) async fn why(
    State(management): State<Arc<Management>>,
    Named((key, service)): Named<(String, String)>,
) -> Result<Json<Why>, Refused> {
    Ok(Json(management.controller.why(&key, &service).await?))
}

/// Answers when it is so, or cannot be. Whoever hangs up waits no longer.
pub(super) async fn wait(
    State(management): State<Arc<Management>>,
    Named(key): Named<String>,
    Asked(wait): Asked<Wait>,
) -> Result<Json<Waited>, Refused> {
    let names: Vec<_> = wait.names.split(',').map(str::to_owned).collect();
    let patience = Duration::from_millis(wait.patience);
    let met = management
        .controller
        .wait_for(&key, &names, wait.condition, patience)
        .await?;
    Ok(Json(Waited { schema: 1, met }))
}

/// Creates the container of a command, unstarted: the caller attaches first.
pub(super) async fn run_command(
    State(management): State<Arc<Management>>,
    Named((key, command)): Named<(String, String)>,
    Sent(run): Sent<RunCommand>,
) -> Result<Json<BTreeMap<&'static str, String>>, Refused> {
    to_its_end(async move {
        let (id, name) = management
            .controller
            .create_command(&key, &command, run)
            .await?;
        Ok(Json(BTreeMap::from([
            ("id", id.to_string()),
            ("name", name.to_string()),
        ])))
    })
    .await
}

fn check_key(key: &str, wish: &Wish) -> Result<(), Problem> {
    if wish.workspace.identity.key() == key {
        return Ok(());
    }
    Err(Problem::new(
        "invalid_request",
        format!(
            "the path names the workspace `{key}`, the body `{}`",
            wish.workspace.identity.key()
        ),
    ))
}
