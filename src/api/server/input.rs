//! What handlers are given: axum's own extractors, with refusals in our form.
//!
//! A client of another version may send what this one does not understand; a
//! refusal that is no [`Problem`] would look to it like a stranger's.

use axum::{
    Json,
    extract::{
        FromRequest, FromRequestParts, Path, Query, Request,
        rejection::{PathRejection, QueryRejection},
    },
    http::request::Parts,
};
use serde::de::DeserializeOwned;

use super::Refused;
use crate::api::wire::Problem;

/// A body of JSON.
pub(super) struct Sent<T>(pub(super) T);

/// The names in the path.
pub(super) struct Named<T>(pub(super) T);

/// The query of the address.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Sent<T> {
    type Rejection = Refused;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refused> {
        match Json::from_request(request, state).await {
            Ok(Json(sent)) => Ok(Self(sent)),
            Err(rejection) => Err(misunderstood(rejection.body_text())),
        }
    }
}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        Query::from_request_parts(parts, state)
            .await
            .map(|Query(asked)| Self(asked))
            .map_err(|rejection: QueryRejection| misunderstood(rejection.body_text()))
    }
}

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Named<T> {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refused> {
        Path::from_request_parts(parts, state)
            .await
            .map(|Path(named)| Self(named))
            .map_err(|rejection: PathRejection| misunderstood(rejection.body_text()))
    }
}

fn misunderstood(why: String) -> Refused {
    Problem::new("invalid_request", why)
        .hinted("`cosmos proxy status` shows whether the proxy is older than your `cosmos`")
        .into()
}
