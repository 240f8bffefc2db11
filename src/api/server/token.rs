//! The token: another in the place of the one that the caller has.

use std::{io, sync::Arc};

use axum::{Json, extract::State};

use super::{Management, Refused, to_its_end};
use crate::api::wire::{Problem, Rotated};

/// Makes another token. It is not in the answer: who may have it reads it through the
/// engine, as the first one.
pub(super) async fn rotate(
    State(management): State<Arc<Management>>,
) -> Result<Json<Rotated>, Refused> {
    to_its_end(async move {
        (management.rotate_token)().map_err(|error| unwritten(&error))?;
        Ok(Json(Rotated { schema: 1 }))
    })
    .await
}

fn unwritten(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::StorageFull => Problem::new(
            "state_full",
            "the volume with the state is full: the token is as it was",
        )
        .hinted("free some space on the engine's disk"),
        _ => Problem::new(
            "state_failed",
            format!("the new token cannot be written: {error}"),
        ),
    }
}
