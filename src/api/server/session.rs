//! Signing in to the dashboard.

use std::sync::Arc;

use axum::{
    Json,
    extract::State,
    http::{HeaderMap, header},
};

use super::{Management, Refused};
use crate::{
    api::wire::{Invitation, Problem, Session},
    traffic,
};

/// A code for whoever has the token, to open the dashboard with.
pub(super) async fn invite(
    State(management): State<Arc<Management>>,
) -> Result<Json<Invitation>, Refused> {
    let code = management.proxy()?.invite();
    let code = code.ok_or_else(|| Problem::new("failed", "the system has no random numbers"))?;
    Ok(Json(Invitation { schema: 1, code }))
}

/// Redeems the code that is the call's bearer.
pub(super) async fn open(
    State(management): State<Arc<Management>>,
    headers: HeaderMap,
) -> Result<Json<Session>, Refused> {
    let given = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes());
    let code = given.and_then(traffic::guard::bearer).unwrap_or_default();
    let token = management.proxy()?.open_session(code);
    let token = token.ok_or_else(|| {
        Problem::new("code_wrong", "this is no code that can be redeemed")
            .hinted("`cosmos dashboard` gives another; each is good for one time, for two minutes")
    })?;
    Ok(Json(Session { schema: 1, token }))
}
