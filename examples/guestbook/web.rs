//! The page: shows the book, and takes an entry.

use std::{fs, io};

use axum::{
    Router,
    extract::State,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Redirect, Response},
    routing::get,
};
use hyper::Method;

use crate::{
    entry::{Entry, Words, now},
    page::{Note, Page},
    remote::{Remote, RemoteError},
    server::serve,
    setting,
};

/// What the page is made with.
#[derive(Debug, Clone)]
struct Web {
    api: Remote,
    host: String,
}

pub(crate) async fn play() -> io::Result<()> {
    let web = Web {
        api: Remote::new(&setting("API", "http://api:8000")),
        host: fs::read_to_string("/etc/hostname")
            .unwrap_or_default()
            .trim()
            .to_owned(),
    };
    let routes = Router::new()
        .route("/", get(show).post(sign))
        .route("/style.css", get(style))
        .route("/healthz", get(|| async { "ok\n" }))
        .with_state(web);
    serve(&setting("LISTEN", "0.0.0.0:8080"), routes).await
}

async fn show(State(web): State<Web>) -> Response {
    web.page(StatusCode::OK, &Words::default(), None).await
}

async fn sign(State(web): State<Web>, form: String) -> Response {
    let Ok(words) = serde_urlencoded::from_str(&form) else {
        let why = "That form could not be read.";
        return web
            .page(StatusCode::BAD_REQUEST, &Words::default(), Some(why))
            .await;
    };
    match web
        .api
        .send::<Entry>(Method::POST, "/entries", &words)
        .await
    {
        // Shown by a request of its own, so that a reload does not sign twice.
        Ok(_) => Redirect::to("/").into_response(),
        Err(RemoteError::Refused { status, message })
            if status == StatusCode::UNPROCESSABLE_ENTITY =>
        {
            web.page(status, &words, Some(&message)).await
        }
        Err(failure) => {
            eprintln!("warning: {failure}");
            let why = "Your words could not be kept just now. Please try again.";
            web.page(StatusCode::BAD_GATEWAY, &words, Some(why)).await
        }
    }
}

impl Web {
    async fn page(&self, status: StatusCode, words: &Words, refusal: Option<&str>) -> Response {
        let entries = self.api.get::<Vec<Entry>>("/entries").await;
        let (status, note) = match (&entries, refusal) {
            (_, Some(why)) => (status, Some(Note::Refused(why))),
            (Err(failure), None) => {
                eprintln!("warning: {failure}");
                (StatusCode::BAD_GATEWAY, Some(Note::Closed))
            }
            (Ok(_), None) => (status, None),
        };
        let page = Page {
            entries: entries.as_deref().ok(),
            words,
            note,
            host: &self.host,
            now: now(),
        };
        (status, safe_headers(), Html(page.to_string())).into_response()
    }
}

async fn style() -> impl IntoResponse {
    let css = HeaderValue::from_static("text/css; charset=utf-8");
    ([(header::CONTENT_TYPE, css)], include_str!("style.css"))
}

/// Nothing in the page can run or load anything, whatever somebody wrote.
fn safe_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(
                "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'",
            ),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ]
}
