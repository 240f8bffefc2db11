//! The state as a whole: `GET /state` sends a copy, `PUT /state` takes one.

use std::{path::PathBuf, sync::Arc};

use axum::{Json, body::Body, extract::State, response::Response};
use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
use tokio::{
    fs::{self, OpenOptions},
    io::{AsyncReadExt as _, AsyncWriteExt as _},
};

use super::{Management, Refused, streamed, to_its_end};
use crate::api::wire::{Problem, Restored};

/// How much of a copy is in memory at once.
const PART: usize = 64 << 10;

pub(super) async fn copy(State(management): State<Arc<Management>>) -> Result<Response, Refused> {
    let file = fs::File::from_std(management.controller.copy_state()?);
    let parts = stream::unfold(Some(file), async |file| {
        let mut file = file?;
        let mut part = BytesMut::with_capacity(PART);
        match file.read_buf(&mut part).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(part.freeze()), Some(file))),
            // Told to whoever reads, and the end of it.
            Err(error) => Some((Err(error), None)),
        }
    });
    Ok(streamed("application/vnd.sqlite3", parts))
}

pub(super) async fn restore(
    State(management): State<Arc<Management>>,
    body: Body,
) -> Result<Json<Restored>, Refused> {
    let file = Passing(management.controller.incoming_state()?);
    receive(&file.0, body).await?;
    to_its_end(async move {
        let workspaces = management.controller.restore_state(&file.0).await?;
        Ok(Json(Restored {
            schema: 1,
            workspaces,
        }))
    })
    .await
}

/// A file that goes when nobody needs it any more, also if whoever sends it hangs up.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // The next start removes what cannot be removed now.
        let _ = std::fs::remove_file(&self.0);
    }
}

async fn receive(file: &PathBuf, body: Body) -> Result<(), Problem> {
    let unwritten = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::StorageFull => Problem::new(
            "state_full",
            "the volume with the state is full: there is no room for the copy",
        )
        .hinted("free some space on the engine's disk; what runs goes on running"),
        _ => Problem::new(
            "state_failed",
            format!("the copy cannot be written: {error}"),
        ),
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)
        .await
        .map_err(unwritten)?;
    let mut parts = body.into_data_stream();
    while let Some(part) = parts.next().await {
        let part = part.map_err(|error| {
            Problem::new(
                "invalid_request",
                format!("the copy did not arrive whole: {error}"),
            )
        })?;
        file.write_all(&part).await.map_err(unwritten)?;
    }
    file.flush().await.map_err(unwritten)
}
