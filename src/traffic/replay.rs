//! Sends a captured request once more, through all that a request goes through.
//!
//! It comes in over a connection that never leaves the process, and is routed, held,
//! logged and captured as any other: with a number of its own, and that of the one it
//! repeats. What was taken out as a secret is left away, and what is not known whole is
//! not sent: half a request is another request.

use std::{net::Ipv4Addr, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Uri,
    client::conn::http1,
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio::{sync::watch, time::timeout};

use super::{
    Shared,
    exchange::{Content, Exchange},
    listener,
};

/// Of a request and its answer, as much as is on its way at once.
const BUFFER: usize = 64 * 1024;

/// For a request to be seen by the recorder.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// An answer is read to its end, but not for ever.
const READ_FOR: Duration = Duration::from_secs(10 * 60);

/// Headers that say how a message is carried, or that the proxy says itself.
const CARRIED: [&str; 13] = [
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-cosmos-hops",
    "x-request-id",
];

/// What is to be different this time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Edits {
    /// Another method.
    pub method: Option<String>,
    /// Another path, with its query.
    pub path: Option<String>,
    /// Other headers: all of them, in the place of those that were.
    pub headers: Option<Vec<(String, String)>>,
    /// Another body.
    pub body: Option<String>,
}

/// Why a request is not sent again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It is not kept any more.
    #[error("there is no exchange {0} any more")]
    Gone(u64),
    /// What was sent is not known.
    #[error("{0}")]
    Unknown(&'static str),
    /// What it is to be is no request.
    #[error("{0}")]
    Invalid(String),
    /// It was sent, and is not seen.
    #[error("it was sent, but not captured")]
    Unseen,
}

impl Shared {
    /// Sends an exchange's request again, and says which exchange that is, once it has
    /// begun: its answer is read whether or not anybody waits for it.
    ///
    /// # Errors
    /// If it is gone, or is not known whole, or is no request after the edits.
    pub async fn replay(self: &Arc<Self>, number: u64, edits: Edits) -> Result<u64, ReplayError> {
        let original = self
            .exchanges()
            .get(number)
            .ok_or(ReplayError::Gone(number))?;
        let request = request(&original, edits)?;
        let exchanges = self.exchanges();
        let mut changes = exchanges.changes();
        let before = *changes.borrow_and_update();

        let (ours, theirs) = tokio::io::duplex(BUFFER);
        let (closing, closed) = watch::channel(false);
        let peer = original
            .summary
            .peer
            .parse()
            .unwrap_or(Ipv4Addr::LOCALHOST.into());
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            listener::serve_replay(shared, TokioIo::new(theirs), peer, number, closed).await;
            drop(closing);
        });
        tokio::spawn(timeout(READ_FOR, async move {
            let Ok((mut sender, connection)) = http1::handshake(TokioIo::new(ours)).await else {
                return;
            };
            tokio::spawn(connection);
            if let Ok(mut answer) = sender.send_request(request).await {
                while let Some(Ok(_)) = answer.frame().await {}
            }
        }));

        let seen = async {
            loop {
                let news = exchanges.since(before);
                let repeats = |exchange: &Arc<Exchange>| {
                    let summary = &exchange.summary;
                    (summary.replay_of == Some(number)).then_some(summary.number)
                };
                if let Some(number) = news.exchanges.iter().filter_map(repeats).max() {
                    return Some(number);
                }
                changes.changed().await.ok()?;
            }
        };
        timeout(SEEN_WITHIN, seen)
            .await
            .ok()
            .flatten()
            .ok_or(ReplayError::Unseen)
    }
}

fn request(original: &Exchange, edits: Edits) -> Result<Request<Full<Bytes>>, ReplayError> {
    let invalid = |what: &str| ReplayError::Invalid(format!("`{what}` is not valid"));
    let body = match edits.body {
        Some(body) => Bytes::from(body),
        None => sent_body(original)?,
    };
    let method = edits.method.as_ref().unwrap_or(&original.summary.method);
    let path = match &edits.path {
        Some(path) => path,
        None if is_marked(&original.summary.path) => {
            return Err(ReplayError::Unknown(
                "its path has secrets that were not kept: send it with another path",
            ));
        }
        None => &original.summary.path,
    };
    if !path.starts_with('/') {
        return Err(ReplayError::Invalid(format!(
            "`{path}` is no path: it starts with `/`"
        )));
    }
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| invalid(method))?;
    *request.uri_mut() = path.parse::<Uri>().map_err(|_| invalid(path))?;
    let headers = edits.headers.as_ref().unwrap_or(&original.request.headers);
    for (name, value) in headers {
        if CARRIED.contains(&name.to_ascii_lowercase().as_str()) || is_marked(value) {
            continue;
        }
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| invalid(name))?;
        let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|_| invalid(value))?;
        request.headers_mut().append(name, value);
    }
    // Whom it is for is not to be edited: another host is another request.
    let host = HeaderValue::from_str(&original.summary.host)
        .map_err(|_| invalid(&original.summary.host))?;
    request.headers_mut().insert(hyper::header::HOST, host);
    if original
        .request
        .body
        .as_ref()
        .is_some_and(|body| body.decoded.is_some())
    {
        request
            .headers_mut()
            .remove(hyper::header::CONTENT_ENCODING);
    }
    Ok(request)
}

/// The body as it was sent, if that is known.
fn sent_body(original: &Exchange) -> Result<Bytes, ReplayError> {
    let Some(body) = &original.request.body else {
        return Ok(Bytes::new());
    };
    if !body.complete {
        return Err(ReplayError::Unknown("its body has not come whole"));
    }
    if body.truncated {
        return Err(ReplayError::Unknown(
            "its body is longer than what is kept of one: send it with another body",
        ));
    }
    if body.redacted > 0 {
        return Err(ReplayError::Unknown(
            "its body has secrets that were not kept: send it with another body, or set `capture = \"unredacted\"` on its route",
        ));
    }
    match &body.content {
        Content::Text(text) => Ok(Bytes::from(text.clone())),
        Content::Base64(text) => STANDARD
            .decode(text)
            .map(Bytes::from)
            .map_err(|_| ReplayError::Unknown("its body is not kept")),
        Content::Omitted(_) => Err(ReplayError::Unknown(
            "its body is not kept: send it with another body, or set `capture = \"unredacted\"` on its route",
        )),
    }
}

/// Whether something was taken out here.
pub(super) fn is_marked(text: &str) -> bool {
    text.contains("[redacted ")
}
