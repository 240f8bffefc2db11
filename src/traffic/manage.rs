//! Hands a call that the guard let through to whoever manages: with its body
//! read and bounded, or, where a stream is expected, as it comes.

use std::{future::Future, net::IpAddr, sync::Arc, time::Duration};

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::{
    Method, Request, Response,
    body::{Body as _, Incoming},
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use tokio::time::Instant;

use crate::workspace::proof::PROOF;

use super::{
    Shared,
    answer::{Explanation, Form},
    body::{self, BoxBody, ManagedBody, RequestBody, ResponseBody, Silent},
    guard::{CONTAINER_PATH, Caller},
    log::Trace,
    metrics,
    refusal::{Code, Refusal},
};

/// What answers management calls: the API, handed in from outside.
pub type Management = Arc<
    dyn Fn(Request<ManagedBody>, Caller) -> BoxFuture<'static, Response<BoxBody>> + Send + Sync,
>;

/// The peer's address, for management to read from a request's extensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub IpAddr);

/// The tokenless call is a dozen words.
const CONTAINER_BODY: usize = 64 * 1024;
/// And whoever sends it has it ready.
const CONTAINER_BODY_WITHIN: Duration = Duration::from_secs(5);
/// Deeper than any call is; a parser's stack is not the place to find out.
const CONTAINER_BODY_DEPTH: usize = 16;
/// A workspace of thousands of services, configs included.
const JSON_BODY: usize = 16 * 1024 * 1024;

pub(super) async fn manage(
    shared: &Shared,
    caller: Caller,
    is_stream: bool,
    peer: IpAddr,
    request: Request<Incoming>,
    mut trace: Trace,
) -> Response<ResponseBody> {
    trace.managed(caller);
    if caller == Caller::Anonymous
        && let Err(wait) = shared.bucket.take(Instant::now())
    {
        let refusal = Refusal::new(
            Code::RateLimited,
            format!("more than 10 calls in a second; the next may come in {wait:.1?}"),
            "wait, or use the `cosmos` command, which is not limited",
        );
        let response = refuse(shared, refusal, &request, trace);
        body::discard(request);
        return response;
    }

    // What only the data plane knows, it answers itself.
    if matches!(*request.method(), Method::GET | Method::HEAD)
        && metrics::is_asked_for(request.uri().path())
    {
        let mut response = Response::new(Bytes::from(shared.metrics.text(shared)));
        let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        trace.answered(response.status());
        body::discard(request);
        return response.map(|bytes| ResponseBody::whole(bytes, trace));
    }

    if caller == Caller::Visitor {
        // Whoever only looks has nothing to say.
        let (parts, incoming) = request.into_parts();
        let asked = Request::from_parts(parts.clone(), ManagedBody::whole(Bytes::new()));
        let response = (shared.management)(asked, caller).await;
        body::discard(Request::from_parts(parts, incoming));
        trace.answered(response.status());
        return response.map(|body| ResponseBody::boxed(body, trace));
    }
    let (mut parts, incoming) = request.into_parts();
    let silence = shared.limits.body_silence;
    let body = RequestBody::new(incoming, Arc::clone(trace.progress()), silence);
    let body = if is_stream {
        ManagedBody::stream(body)
    } else {
        let read = if parts.uri.path() == CONTAINER_PATH {
            within(CONTAINER_BODY_WITHIN, read_container_call(body)).await
        } else {
            read_whole(body, JSON_BODY).await
        };
        match read {
            Ok(bytes) => ManagedBody::whole(bytes),
            Err(refusal) => {
                return refuse(shared, refusal, &Request::from_parts(parts, ()), trace);
            }
        }
    };

    parts.extensions.insert(Peer(peer));
    let mut response = (shared.management)(Request::from_parts(parts, body), caller).await;
    // Whatever management does, no other site may ever read its answers.
    let foreign: Vec<HeaderName> = response
        .headers()
        .keys()
        .filter(|name| name.as_str().starts_with("access-control-"))
        .cloned()
        .collect();
    for name in foreign {
        response.headers_mut().remove(name);
    }
    trace.answered(response.status());
    response.map(|body| ResponseBody::boxed(body, trace))
}

/// Counts a refusal and answers it. Who asks for a proof before they send the token is
/// refused as well, and gets it.
pub(super) fn refuse<B>(
    shared: &Shared,
    refusal: Refusal,
    request: &Request<B>,
    mut trace: Trace,
) -> Response<ResponseBody> {
    let guard = shared.guard();
    let proof = (refusal.code == Code::TokenRequired)
        .then(|| guard.token.proof(request.headers(), guard.port))
        .flatten();
    match proof {
        // Every call of `cosmos` begins so: it is no attempt at anything.
        Some(_) => trace.refused("challenge"),
        None => {
            shared.refusals.count(refusal.code);
            trace.refused(refusal.code.as_str());
        }
    }
    let mut response = Explanation::from(refusal).into_response(Form::wanted(request.headers()));
    if let Some(proof) = proof {
        response.headers_mut().insert(PROOF, proof);
    }
    trace.answered(response.status());
    response.map(|bytes| ResponseBody::whole(bytes, trace))
}

async fn within(
    limit: Duration,
    read: impl Future<Output = Result<Bytes, Refusal>>,
) -> Result<Bytes, Refusal> {
    tokio::time::timeout(limit, read)
        .await
        .unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> Refusal {
    Refusal::new(
        Code::BodyTimeout,
        "the body did not come in time",
        "send it at once",
    )
}

async fn read_container_call(body: RequestBody) -> Result<Bytes, Refusal> {
    let bytes = read_whole(body, CONTAINER_BODY).await?;
    if depth(&bytes) > CONTAINER_BODY_DEPTH {
        return Err(Refusal::new(
            Code::BodyTooDeep,
            format!("the body is nested deeper than {CONTAINER_BODY_DEPTH}"),
            "send a flat object",
        ));
    }
    Ok(bytes)
}

async fn read_whole(mut body: RequestBody, most: usize) -> Result<Bytes, Refusal> {
    let too_large = || {
        Refusal::new(
            Code::BodyTooLarge,
            format!("the body is larger than {} KiB", most / 1024),
            "send less",
        )
    };
    // Said beforehand: refused before a byte of it is read.
    if body.size_hint().lower() > most as u64 {
        return Err(too_large());
    }
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            if error.is::<Silent>() {
                return too_slow();
            }
            Refusal::new(
                Code::BodyBroken,
                format!("the body cannot be read: {error}"),
                "send it whole, with its true length",
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if bytes.len() + data.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// How deep brackets are nested in a JSON text, valid or not.
fn depth(json: &[u8]) -> usize {
    let (mut now, mut most) = (0_usize, 0);
    let (mut in_string, mut is_escaped) = (false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_that_of_brackets_outside_of_strings() {
        for (json, deep) in [
            ("", 0),
            ("{}", 1),
            (r#"{"a":[1,[2]],"b":[]}"#, 3),
            (r#"{"a":"[[[\"[["}"#, 1),
            ("]]]]{", 1),
            (r#""\\"[]"#, 1),
        ] {
            assert_eq!(depth(json.as_bytes()), deep, "{json}");
        }
    }
}
