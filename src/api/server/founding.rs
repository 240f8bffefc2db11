//! `POST /container`: the founding API, for plain `curl` from the host.
//!
//! The engine's request is built new from a closed struct, never passed
//! through. Only ad-hoc containers that are ours can be stopped; absent and
//! foreign ones answer the same.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use axum::{Extension, Json, body::Bytes, extract::State};

use super::{Management, Refused, Trusted, input::Object, to_its_end};
use crate::{
    api::wire::{Founding, FoundingReply, Problem},
    plan::Action,
    reconcile::adhoc::{self, STOP_GRACE, TOKENLESS_CAP},
    workspace::{ContainerId, ContainerName, Hooks, ImageRef, name::label_from},
};

pub(super) async fn container(
    State(management): State<Arc<Management>>,
    Extension(Trusted(trusted)): Extension<Trusted>,
    body: Bytes,
) -> Result<Json<FoundingReply>, Refused> {
    let Object(order) = serde_json::from_slice(&body).map_err(|error| {
        Problem::new("invalid_request", format!("this is no order: {error}")).hinted(
            r#"send {"action":"start","image":"ubuntu:latest","args":["echo","x"]}, or {"action":"stop","container_id":"..."}"#,
        )
    })?;
    to_its_end(async move { obey(&management, trusted, order).await }).await
}

async fn obey(
    management: &Management,
    trusted: bool,
    order: Founding,
) -> Result<Json<FoundingReply>, Refused> {
    let (id, status) = match order {
        Founding::Start { image, args, name } => {
            let image = ImageRef::new(image).map_err(|_| {
                Problem::new("invalid_request", "`image` is empty")
                    .hinted("name one: \"ubuntu:latest\"")
            })?;
            let name = name.map(label).transpose()?;
            let _starting = match trusted {
                true => None,
                false => Some(one_more(management).await?),
            };
            let container = adhoc::tokenless(image, args);
            let (id, _) = management
                .adhoc
                .start(container, name, false, false, &|_| ())
                .await?;
            (id, "started")
        }
        Founding::Stop { container_id } => {
            let (id, name) = ours(management, &container_id).await?;
            let stop = Action::Stop {
                container: name,
                grace: STOP_GRACE,
                hooks: Hooks::default(),
            };
            management
                .controller
                .engine()
                .perform(&stop, &|_| ())
                .await?;
            (id, "stopped")
        }
        Founding::Restart { container_id } => {
            let (id, name) = ours(management, &container_id).await?;
            let restart = Action::Restart {
                container: name,
                grace: STOP_GRACE,
                hooks: Hooks::default(),
            };
            management
                .controller
                .engine()
                .perform(&restart, &|_| ())
                .await?;
            (id, "restarted")
        }
    };
    Ok(Json(FoundingReply {
        container_id: id.to_string(),
        status: status.to_owned(),
    }))
}

/// A name is one DNS label: with dots in it, it would be another's host name, in
/// the network and at the proxy.
fn label(name: String) -> Result<String, Problem> {
    match label_from(&name) {
        Some(label) if label == name => Ok(name),
        _ => Err(
            Problem::new("invalid_name", format!("`{name}` is not a DNS label"))
                .hinted("use a-z, 0-9 and `-`"),
        ),
    }
}

/// A place among the containers that callers without the token may have. Those
/// that are still being started have one, too: a pull takes its time.
async fn one_more(management: &Management) -> Result<Starting<'_>, Refused> {
    let starting = Starting::new(&management.starting);
    let observed = management.controller.engine().observe().await?;
    let live = management
        .adhoc
        .ours(&observed)?
        .iter()
        .filter(|container| container.is_running())
        .count();
    if live + starting.others < TOKENLESS_CAP {
        return Ok(starting);
    }
    Err(Problem::new(
        "too_many_containers",
        format!("{live} ad-hoc containers are running, and callers without the token get no more"),
    )
    .hinted("stop some, or use the `cosmos` command, which has the token")
    .into())
}

/// One start under way.
struct Starting<'a> {
    count: &'a AtomicUsize,
    /// How many were under way before it.
    others: usize,
}

impl<'a> Starting<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        let others = count.fetch_add(1, Ordering::SeqCst);
        Self { count, others }
    }
}

impl Drop for Starting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The ad-hoc container of ours that is meant. Whatever else exists is not found.
async fn ours(
    management: &Management,
    reference: &str,
) -> Result<(ContainerId, ContainerName), Refused> {
    let observed = management.controller.engine().observe().await?;
    let ours = management.adhoc.ours(&observed)?;
    let found = adhoc::find(ours.into_iter(), reference).map_err(|_| {
        Problem::new(
            "not_found",
            "there is no ad-hoc container with this `container_id`",
        )
        .hinted(
            "POST /container manages only what it started; use the `cosmos` command for the rest",
        )
    })?;
    Ok((found.id.clone(), found.name.clone()))
}
