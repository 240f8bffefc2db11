//! Single containers: started, found, ordered about, listened to.

use std::{sync::Arc, time::Duration};

use axum::{Json, extract::State, response::Response};
use serde::Deserialize;
use tokio::sync::mpsc;

use super::{
    Management, Refused, events, frames,
    images::logins,
    input::{Asked, Named, Sent},
    to_its_end,
};
use crate::{
    api::wire::{
        About, Containers, Event, Found, LogOptions, LogTime, Ordered, Problem, StartAdhoc,
    },
    reconcile::{
        adhoc,
        controller::{Order, Words},
    },
    workspace::ImageRef,
};

pub(super) async fn list(
    State(management): State<Arc<Management>>,
) -> Result<Json<Containers>, Refused> {
    let look = management.controller.glance().await?;
    let adhoc = management.adhoc.ours(&look.observed)?;
    Ok(Json(Containers {
        schema: 1,
        adhoc: adhoc
            .into_iter()
            .map(|container| management.controller.container_status(container))
            .collect(),
        workspaces: management.controller.statuses(&look),
    }))
}

pub(super) async fn start_adhoc(
    State(management): State<Arc<Management>>,
    Sent(start): Sent<StartAdhoc>,
) -> Result<Response, Refused> {
    let image = ImageRef::new(start.image.clone())
        .map_err(|_| Problem::new("invalid_request", "no image was named"))?;
    let mut container = adhoc::container(image.clone(), start.args.clone());
    container.env = start
        .env
        .iter()
        .map(|line| match line.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (line.clone(), String::new()),
        })
        .collect();
    container.mounts = start.mounts.clone();
    container.ports = start.ports.clone();
    container.tty = start.tty;
    container.stdin = start.stdin;
    container.workdir = start.workdir.clone();
    container.user = start.user.clone();
    management.console.log_in(logins(start.credentials));

    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let progressed = |progress| {
            // The caller may have hung up.
            let _ = sender.send(Event::ImageProgressed {
                image: image.to_string(),
                progress,
            });
        };
        let started = management
            .adhoc
            .start(container, start.name, start.remove, start.hold, &progressed)
            .await;
        let event = match started {
            Ok((id, name)) if start.hold => Event::ContainerCreated {
                id: id.to_string(),
                name: name.to_string(),
            },
            Ok((id, name)) => Event::ContainerStarted {
                id: id.to_string(),
                name: name.to_string(),
            },
            Err(error) => Event::Failed {
                problem: Problem::from(&error),
            },
        };
        let _ = sender.send(event);
    });
    Ok(events(receiver))
}

pub(super) async fn find(
    State(management): State<Arc<Management>>,
    Named(reference): Named<String>,
    Asked(about): Asked<About>,
) -> Result<Json<Found>, Refused> {
    Ok(Json(
        management
            .controller
            .find(&reference, about.workspace.as_deref())
            .await?,
    ))
}

pub(super) async fn remove(
    State(management): State<Arc<Management>>,
    Named(reference): Named<String>,
    Asked(about): Asked<About>,
) -> Result<Json<Ordered>, Refused> {
    obey(management, reference, Order::Remove, about).await
}

pub(super) async fn order(
    State(management): State<Arc<Management>>,
    Named((reference, order)): Named<(String, String)>,
    Asked(about): Asked<About>,
) -> Result<Json<Ordered>, Refused> {
    let order = match order.as_str() {
        "start" => Order::Start,
        "stop" => match about.lasting {
            Some(millis) => Order::StopFor(Duration::from_millis(millis)),
            None => Order::Stop,
        },
        "scale" => Order::Scale(about.replicas.ok_or_else(|| {
            Problem::new(
                "invalid_request",
                "`replicas` says how many there are to be",
            )
        })?),
        "restart" => Order::Restart,
        "refresh" => Order::Refresh,
        "release" => Order::Release,
        other => {
            return Err(
                Problem::new("invalid_request", format!("there is no order `{other}`")).into(),
            );
        }
    };
    obey(management, reference, order, about).await
}

async fn obey(
    management: Arc<Management>,
    reference: String,
    order: Order,
    about: About,
) -> Result<Json<Ordered>, Refused> {
    to_its_end(async move {
        let words = Words {
            by: about.by,
            who: about.who,
            why: about.why,
        };
        let here = about.workspace.as_deref();
        if let (Some(key), Some(folder)) = (here, &about.folder) {
            management.controller.check_folder(key, folder)?;
        }
        let obeyed = management
            .controller
            .order(&reference, order, here, &words)
            .await?;
        Ok(Json(Ordered {
            service: obeyed.service,
            containers: obeyed.containers,
            note: obeyed.note,
        }))
    })
    .await
}

/// The query of `GET /containers/REF/logs`.
#[derive(Debug, Default, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub(in crate::api) struct LogQuery {
    follow: bool,
    tail: Option<u64>,
    since: Option<LogTime>,
    until: Option<LogTime>,
    timestamps: bool,
}

pub(super) async fn logs(
    State(management): State<Arc<Management>>,
    Named(reference): Named<String>,
    Asked(query): Asked<LogQuery>,
) -> Result<Response, Refused> {
    let container = ours(&management, &reference).await?;
    let options = LogOptions {
        follow: query.follow,
        tail: query.tail,
        since: query.since,
        until: query.until,
        timestamps: query.timestamps,
    };
    Ok(frames(management.console.logs(&container, options)))
}

pub(super) async fn wait(
    State(management): State<Arc<Management>>,
    Named(reference): Named<String>,
) -> Result<Json<i64>, Refused> {
    let container = ours(&management, &reference).await?;
    Ok(Json(management.console.wait(&container).await?))
}

/// The id of the container of ours that is meant; of a service, its first. The
/// engine would know any other by this name, too.
async fn ours(management: &Management, reference: &str) -> Result<String, Refused> {
    let found = management.controller.find(reference, None).await?;
    let Some(container) = found.containers.into_iter().next() else {
        return Err(Problem::new(
            "not_found",
            format!("service `{reference}` has no container"),
        )
        .into());
    };
    Ok(container.id)
}
