//! Joins the two ends of a connection that is no HTTP any more.
//!
//! A protocol is only switched once the upstream has answered 101; what passes
//! then is bytes, and each side may close its half on its own.

use std::{future::Future, io, time::Duration};

use hyper::{
    HeaderMap, Method, Request, Version,
    header::{CONNECTION, HeaderValue, UPGRADE},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::watch,
};

use super::{capture::Tap, counted::Counted, http2, log::Trace, pool::Lease, websocket};

/// The protocols a request asks to switch to, if it does.
///
/// `h2c` is ignored, as RFC 9113 lets any server do: behind the switch, requests
/// would pass that nobody routed.
pub(super) fn asked_for<B>(request: &Request<B>) -> Option<HeaderValue> {
    if http2::was_connect(request) {
        return Some(HeaderValue::from_static("websocket"));
    }
    if request.version() != Version::HTTP_11 || request.method() == Method::CONNECT {
        return None;
    }
    let headers = request.headers();
    let is_named = headers.get_all(CONNECTION).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|name| name.trim_ascii().eq_ignore_ascii_case(b"upgrade"))
    });
    let mut protocols = headers.get_all(UPGRADE).iter();
    let (true, Some(only), None) = (is_named, protocols.next(), protocols.next()) else {
        return None;
    };
    let is_h2c = only.as_bytes().split(|byte| *byte == b',').any(|protocol| {
        protocol
            .trim_ascii()
            .to_ascii_lowercase()
            .starts_with(b"h2c")
    });
    (!is_h2c).then(|| only.clone())
}

/// Whether these headers switch to WebSocket.
pub(super) fn is_websocket(headers: &HeaderMap) -> bool {
    headers
        .get(UPGRADE)
        .is_some_and(|protocol| protocol.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

/// Writes the switch back into headers that were stripped of it.
pub(super) fn ask(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// The two ends behind a 101, and all that lives as long as they are joined.
pub(super) struct Splice {
    pub(super) client: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    /// Of a WebSocket: what a frame of our own to the upstream is masked with.
    pub(super) mask: Option<[u8; 4]>,
    /// Of a WebSocket that is captured.
    pub(super) tap: Option<Tap>,
    pub(super) lease: Lease,
    pub(super) trace: Trace,
    /// Once the upstream is in no route.
    pub(super) linger: Duration,
    pub(super) closing: watch::Receiver<bool>,
}

impl Splice {
    /// Passes bytes both ways until both sides are done, or there is a reason to part.
    pub(super) fn spawn(self) {
        tokio::spawn(async move {
            let Self {
                client,
                upstream,
                mask,
                tap,
                lease,
                mut trace,
                linger,
                closing,
            } = self;
            let parting = parting(&lease, linger, closing.clone());
            let (client, upstream) = match tokio::try_join!(client, upstream) {
                Ok(ends) => ends,
                Err(error) => {
                    trace.cut(&format!("the switch failed: {error}"));
                    return;
                }
            };
            let (client, passed_in) = Counted::new(TokioIo::new(client));
            let (upstream, passed_out) = Counted::new(TokioIo::new(upstream));
            let passed = match mask {
                Some(mask) => websocket::pass(client, upstream, mask, tap, parting).await,
                None => pass(client, upstream, parting).await,
            };
            match passed {
                Ok(None) => trace.ended(),
                Ok(Some(why)) => trace.cut(why),
                Err(error) => trace.cut(&error.to_string()),
            }
            trace.passed_in(passed_in.get());
            trace.passed_out(passed_out.get());
            drop((trace, lease));
            // The last thing that whoever stops the proxy waits for.
            drop(closing);
        });
    }
}

/// Bytes of an unknown protocol: there is no way to say in it that it is over.
async fn pass(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut upstream: impl AsyncRead + AsyncWrite + Unpin,
    parting: impl Future<Output = &'static str>,
) -> io::Result<Option<&'static str>> {
    // Either arm may be dropped: after it nothing is read or written again.
    tokio::select! {
        copied = tokio::io::copy_bidirectional(&mut client, &mut upstream) => copied.map(|_| None),
        why = parting => Ok(Some(why)),
    }
}

/// Returns when what lasts by its nature has to end, with the reason.
pub(super) fn parting(
    lease: &Lease,
    linger: Duration,
    mut closing: watch::Receiver<bool>,
) -> impl Future<Output = &'static str> + Send + use<> {
    let unrouted = lease.unrouted_for(linger);
    async move {
        // Either arm may be dropped: one reason is enough.
        tokio::select! {
            () = unrouted => "no route leads there any more",
            _ = closing.wait_for(|closing| *closing) => "the proxy stopped",
        }
    }
}
