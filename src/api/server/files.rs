//! Files into the containers of a service, and out of them.

use std::sync::Arc;

use axum::{Json, body::Body, extract::State};
use futures_util::{StreamExt as _, TryStreamExt as _};

use super::{
    Management, Refused,
    input::{Asked, Named, Sent},
    to_its_end,
};
use crate::api::wire::{Copied, PutFiles, RemoveFiles};

/// Unpacks the tar that is the body, which has no bound and is not kept.
pub(super) async fn put(
    State(management): State<Arc<Management>>,
    Named((key, service)): Named<(String, String)>,
    Asked(put): Asked<PutFiles>,
    tar: Body,
) -> Result<Json<Copied>, Refused> {
    let tar = tar
        .into_data_stream()
        .map_err(std::io::Error::other)
        .boxed();
    let controller = &management.controller;
    Ok(Json(
        controller
            .put_files(&key, &service, &put.folder, tar)
            .await?,
    ))
}

/// Removes what is named.
pub(super) async fn remove(
    State(management): State<Arc<Management>>,
    Named((key, service)): Named<(String, String)>,
    Sent(remove): Sent<RemoveFiles>,
) -> Result<Json<Copied>, Refused> {
    to_its_end(async move {
        let controller = &management.controller;
        Ok(Json(
            controller
                .remove_files(&key, &service, &remove.paths)
                .await?,
        ))
    })
    .await
}
