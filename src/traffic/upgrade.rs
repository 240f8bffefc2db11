//! Joins the two ends of a connection that is no HTTP any more.
//!
//! A protocol is only switched once the upstream has answered 101; what passes
//! then is bytes, and each side may close its half on its own.

use hyper::{
    HeaderMap, Method, Request, Version,
    header::{CONNECTION, HeaderValue, UPGRADE},
    upgrade::OnUpgrade,
};
use hyper_util::rt::TokioIo;
use tokio::sync::watch;

use super::{counted::Counted, log::Trace, pool::Lease};

/// The protocols a request asks to switch to, if it does.
///
/// `h2c` is ignored, as RFC 9113 lets any server do: behind the switch, requests
/// would pass that nobody routed.
pub(super) fn asked_for<B>(request: &Request<B>) -> Option<HeaderValue> {
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

/// Writes the switch back into headers that were stripped of it.
pub(super) fn ask(headers: &mut HeaderMap, protocol: HeaderValue) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, protocol);
}

/// Passes bytes both ways until both sides are done, or the proxy ends.
pub(super) fn splice(
    client: OnUpgrade,
    upstream: OnUpgrade,
    mut lease: Lease,
    mut trace: Trace,
    mut closing: watch::Receiver<bool>,
) {
    lease.lasts();
    tokio::spawn(async move {
        let (client, upstream) = match tokio::try_join!(client, upstream) {
            Ok(ends) => ends,
            Err(error) => {
                trace.cut(&format!("the switch failed: {error}"));
                return;
            }
        };
        let (mut client, passed_in) = Counted::new(TokioIo::new(client));
        let (mut upstream, passed_out) = Counted::new(TokioIo::new(upstream));
        // Either arm may be dropped: after it nothing is read or written again.
        tokio::select! {
            copied = tokio::io::copy_bidirectional(&mut client, &mut upstream) => match copied {
                Ok(_) => trace.ended(),
                Err(error) => trace.cut(&error.to_string()),
            },
            _ = closing.wait_for(|closing| *closing) => trace.cut("the proxy stopped"),
        }
        trace.passed_in(passed_in.get());
        trace.passed_out(passed_out.get());
        drop(lease);
    });
}
