//! Decides what an entry may be, and gives it its place and time.

use std::io;

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};
use hyper::Method;

use crate::{
    entry::{Entry, Words, now},
    remote::{Remote, RemoteError},
    server::serve,
    setting,
};

type Refusal = (StatusCode, String);

pub(crate) async fn play() -> io::Result<()> {
    let store = Remote::new(&setting("STORE", "http://store:7000"));
    let routes = Router::new()
        .route("/entries", get(list).post(sign))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(store);
    serve(&setting("LISTEN", "0.0.0.0:8000"), routes).await
}

async fn list(State(store): State<Remote>) -> Result<Json<Vec<Entry>>, Refusal> {
    let mut entries: Vec<Entry> = store.get("/entries").await.map_err(refusal)?;
    // Stable: those of one second stay in the order they were written.
    entries.reverse();
    entries.sort_by_key(|entry| std::cmp::Reverse(entry.at));
    Ok(Json(entries))
}

async fn sign(
    State(store): State<Remote>,
    Json(words): Json<Words>,
) -> Result<(StatusCode, Json<Entry>), Refusal> {
    let words = words
        .checked()
        .map_err(|why| (StatusCode::UNPROCESSABLE_ENTITY, why))?;
    let entry = Entry {
        id: random_id().map_err(|cause| (StatusCode::INTERNAL_SERVER_ERROR, cause.to_string()))?,
        words,
        at: now(),
    };
    let entry: Entry = store
        .send(Method::PUT, "/entries", &entry)
        .await
        .map_err(refusal)?;
    println!("signed by {:?}", entry.words.name);
    Ok((StatusCode::CREATED, Json(entry)))
}

fn random_id() -> Result<String, getrandom::Error> {
    Ok(format!("{:016x}", getrandom::u64()?))
}

fn refusal(failure: RemoteError) -> Refusal {
    eprintln!("warning: {failure}");
    match failure {
        RemoteError::Silent { .. } => (StatusCode::BAD_GATEWAY, failure.to_string()),
        RemoteError::Refused { status, message } => (status, message),
    }
}
