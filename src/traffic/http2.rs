//! HTTP/2 without TLS, on both sides: from clients that begin with it, and to
//! upstreams that say `protocol = "h2c"` or `"grpc"`.
//!
//! Nobody is switched to it: a client speaks it from its first byte, and to an
//! upstream it is spoken because its route says so. One connection carries all
//! requests to one upstream.

use std::{future::Future, time::Duration};

use base64::Engine as _;
use bytes::Bytes;
use futures_util::future::Either;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    client::conn::{TrySendError, http1, http2},
    ext::Protocol,
    header::{
        CONNECTION, CONTENT_TYPE, COOKIE, HOST, HeaderValue, SEC_WEBSOCKET_ACCEPT,
        SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE,
    },
    http::uri::{Authority, Scheme},
    server,
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::body::{RequestBody, ResponseBody};

/// What a connection begins with that speaks HTTP/2 (RFC 9113 section 3.4).
pub(super) const PREFACE: [u8; 24] = *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// As many requests at once as over as many connections of HTTP/1.1 from one browser
/// and its tabs; what is more waits at the client.
const MOST_STREAMS: u32 = 200;

/// How long one side of a call may be silent: both know better when it is over.
pub(super) const CALL_SILENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// The server's side.
pub(super) fn server(largest_head: u32) -> server::conn::http2::Builder<TokioExecutor> {
    let mut builder = server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .enable_connect_protocol()
        .max_concurrent_streams(MOST_STREAMS)
        .max_header_list_size(largest_head);
    builder
}

/// Marks a request that was the opening of a WebSocket over HTTP/2.
#[derive(Debug, Clone, Copy)]
pub(super) struct WasConnect;

/// Rewrites the opening of a WebSocket (RFC 8441) into that of HTTP/1.1, which the
/// upstream knows. `nonce` becomes the key, which HTTP/2 does without.
pub(super) fn open_websocket<B>(request: &mut Request<B>, nonce: impl AsRef<[u8]>) {
    let protocol = request.extensions().get::<Protocol>();
    if request.method() != Method::CONNECT
        || protocol.is_none_or(|protocol| protocol.as_str() != "websocket")
    {
        return;
    }
    *request.method_mut() = Method::GET;
    request.extensions_mut().insert(WasConnect);
    let key = base64::engine::general_purpose::STANDARD.encode(nonce);
    if let Ok(key) = HeaderValue::from_maybe_shared(Bytes::from(key)) {
        request.headers_mut().insert(SEC_WEBSOCKET_KEY, key);
    }
}

/// Whether a request was the opening of a WebSocket over HTTP/2.
pub(super) fn was_connect<B>(request: &Request<B>) -> bool {
    request.extensions().get::<WasConnect>().is_some()
}

/// Makes the upstream's 101 what HTTP/2 has for it: there is nothing to switch.
pub(super) fn opened_websocket(head: &mut Response<ResponseBody>) {
    *head.status_mut() = StatusCode::OK;
    for name in [CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT] {
        head.headers_mut().remove(name);
    }
}

/// One of many who use the same connection.
pub(super) type Shared = http2::SendRequest<RequestBody>;

/// Where requests to an upstream are handed over, whatever it speaks.
#[derive(Debug)]
pub(super) enum Sender {
    /// A connection for one request at a time.
    Http1(http1::SendRequest<RequestBody>),
    /// One of many on the same connection.
    Http2(Shared),
}

impl Sender {
    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_closed(),
            Self::Http2(sender) => sender.is_closed(),
        }
    }

    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Http1(sender) => sender.is_ready(),
            Self::Http2(sender) => sender.is_ready(),
        }
    }

    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        match self {
            Self::Http1(sender) => sender.ready().await,
            Self::Http2(sender) => sender.ready().await,
        }
    }

    pub(super) fn try_send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> {
        match self {
            Self::Http1(sender) => Either::Left(sender.try_send_request(request)),
            Self::Http2(sender) => Either::Right(sender.try_send_request(request)),
        }
    }
}

/// Begins to speak HTTP/2 over a stream.
pub(super) async fn shake_hands<S>(stream: S) -> hyper::Result<Shared>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .handshake(TokioIo::new(stream))
        .await?;
    // What goes wrong on it is told to whoever sends the next request.
    tokio::spawn(connection);
    Ok(sender)
}

/// Rewrites a request into the form that HTTP/2 has: its Host is a part of the target.
pub(super) fn reform(request: &mut Request<RequestBody>) {
    let headers = request.headers_mut();
    headers.remove(CONNECTION);
    headers.remove(TRANSFER_ENCODING);
    let host = headers.remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut target = std::mem::take(request.uri_mut()).into_parts();
    target.scheme = authority.is_some().then_some(Scheme::HTTP);
    target.authority = authority;
    *request.uri_mut() = Uri::from_parts(target).unwrap_or_default();
    *request.version_mut() = Version::HTTP_2;
}

/// Makes one header of several, as HTTP/1.1 wants it (RFC 9113 section 8.2.3).
pub(super) fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.nth(1).is_none() {
        return;
    }
    let cookies: Vec<&[u8]> = headers
        .get_all(COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&cookies.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Whether a request is a call, which may be as long as both sides like.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().get(..GRPC.len()))
        .is_some_and(|kind| kind.eq_ignore_ascii_case(GRPC))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_request_is_rewritten_with_its_host_in_its_target() {
        let mut request = Request::new(RequestBody::empty(Arc::default()));
        *request.uri_mut() = Uri::from_static("/a/../b?c");
        for (name, value) in [
            ("host", "web.test:80"),
            ("connection", "te"),
            ("te", "trailers"),
        ] {
            request.headers_mut().insert(name, value.parse().unwrap());
        }
        reform(&mut request);
        assert_eq!(request.uri(), "http://web.test:80/a/../b?c");
        let names: Vec<_> = request.headers().keys().collect();
        assert_eq!(names, ["te"]);
    }

    #[test]
    fn several_cookies_become_one_header() {
        let cookies = ["a=1", "b=2", "c=3"];
        let values = cookies.map(|value| (COOKIE, HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in values {
            headers.append(name, value);
        }
        join_cookies(&mut headers);
        let all: Vec<_> = headers.get_all(COOKIE).iter().collect();
        assert_eq!(all, ["a=1; b=2; c=3"]);
    }
}
