//! Sends a request to an upstream and its answer back, both as they come.
//!
//! Nothing is sent twice unless it is certain that nobody acted on it: a
//! connection could not be made, or a kept one was dead before the request was
//! written, or died without a word on a request that is safe to repeat.

use std::{net::IpAddr, pin::pin, sync::Arc, time::Duration};

use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    body::Incoming,
    header::{ACCEPT, CONNECTION, CONTENT_TYPE, EXPECT, HOST, HeaderValue, TE, TRANSFER_ENCODING},
    http::uri::PathAndQuery,
};
use tokio::sync::watch;

use super::{
    Shared,
    answer::{Explanation, Form},
    authority::Authority,
    body::{self, Parting, Progress, RequestBody, ResponseBody},
    headers::{self, Stamp},
    hold, http2,
    log::Trace,
    manage::refuse,
    pool::{ConnectError, Dial, Lease, MOST_READ},
    refusal::{Code, Refusal},
    routes::{Address, Leads, Target, Upstream},
    upgrade::{self, Splice},
};

/// A request that the guard let through to the routes.
pub(super) struct Inbound {
    pub(super) request: Request<Incoming>,
    pub(super) authority: Authority,
    pub(super) peer: IpAddr,
    /// Says that the proxy ends.
    pub(super) closing: watch::Receiver<bool>,
}

/// Why there is no answer to pass on.
enum Failure {
    /// No upstream takes a connection; the last one's reason.
    Connect(Upstream, ConnectError),
    /// The upstream broke off, or does not speak HTTP.
    Exchange(Upstream, hyper::Error),
    /// It did not answer in time.
    Silent(Upstream, Duration),
}

pub(super) async fn forward(
    shared: &Shared,
    inbound: Inbound,
    mut trace: Trace,
) -> Response<ResponseBody> {
    let Inbound {
        mut request,
        authority,
        peer,
        closing,
    } = inbound;

    let hops = headers::hops(request.headers());
    if hops >= headers::MOST_HOPS {
        let refusal = Refusal::new(
            Code::Loop,
            format!("the request has been through this proxy {hops} times"),
            "the service sends it back to the proxy: give it the other service's own address, \
             such as http://api.shop.internal:3000",
        );
        let response = refuse(shared, refusal, &request, trace);
        body::discard(request);
        return response;
    }

    let mut routes = shared.routes();
    let (host, path) = (&*authority.host, request.uri().path());
    let is_navigation = hold::is_navigation(&request);
    let is_from_inside = routes.is_from_inside(host, path);
    let found = match is_from_inside {
        true => routes.find_from_inside(path).map(|(target, _)| target),
        false => routes.find(host, path),
    };
    if let Some(target) = found {
        trace.routed(target);
    }
    trace.capture_by(&shared.inspector, request.headers(), request.version());
    if !is_from_inside
        && let Some(target) = found
        && hold::may_come(target)
    {
        let answers = hold::until_it_answers(shared, (host, path), is_navigation, closing.clone());
        // On the heap, as what is rare must not be carried along by every request.
        routes = Box::pin(answers).await;
    }
    let found = if is_from_inside {
        routes.find_from_inside(path)
    } else {
        routes.find(host, path).map(|target| (target, 0))
    };
    let Some((target, taken)) = found else {
        let explanation = if is_from_inside {
            Explanation::no_inside_route(&authority, path, &routes)
        } else {
            Explanation::no_route(host, path, &routes)
        };
        return answer_early(explanation, request, trace);
    };
    trace.routed(target);
    let unanswered = match &target.leads {
        Leads::To(_) | Leads::Outside { .. } => None,
        Leads::Nowhere {
            state, container, ..
        } => {
            let mut explanation = not_ready(target, state);
            if let Some(container) = container {
                explanation.output = Box::pin(shared.last_lines.of(container)).await;
            }
            explanation.refreshes = is_navigation && hold::may_come(target);
            Some(explanation)
        }
        Leads::Unsupported { why } => Some(Explanation::new(
            StatusCode::NOT_IMPLEMENTED,
            "unsupported_upstream",
            format!("{} cannot be reached", target.name),
            why.clone(),
        )),
    };
    if let Some(explanation) = unanswered {
        return answer_early(explanation, request, trace);
    }

    let form = Form::wanted(request.headers());
    let is_http2 = target.speaks_http2();
    let was_connect = http2::was_connect(&request);
    // To an upstream of HTTP/2 nothing is switched: the request passes as a plain one.
    let switch = upgrade::asked_for(&request)
        .filter(|_| !is_http2)
        .map(|protocol| (protocol, hyper::upgrade::on(&mut request)));
    let is_event_stream = asks_for_events(request.headers());
    let is_get = request.method() == Method::GET;
    let is_call = is_http2 && http2::is_call(request.headers());
    let stamp = Stamp {
        peer,
        version: request.version(),
        authority: &authority,
        port: shared.guard().port,
        id: trace.id(),
        hops: hops + 1,
    };
    let protocol = switch.as_ref().map(|(protocol, _)| protocol.clone());
    let silence = if is_call {
        http2::CALL_SILENCE
    } else {
        shared.limits.body_silence
    };
    let body = |incoming| {
        RequestBody::new(incoming, Arc::clone(trace.progress()), silence).captured(trace.capture())
    };
    let mut outbound = onward(request.map(body), &stamp, (target, taken), protocol);
    if is_http2 {
        http2::reform(&mut outbound);
    }

    // An event or a switched protocol may be as far away as it likes.
    let is_timed = switch.is_none() && !is_event_stream && !is_call;
    let head_within = is_timed.then_some(shared.limits.response_head);
    let (mut response, lease) = match send(shared, target, outbound, head_within, &mut trace).await
    {
        Ok(answered) => answered,
        Err(failure) => return explain(failed(&failure, trace.progress()), form, trace),
    };
    if !headers::settle_framing(response.headers_mut()) {
        let explanation = Explanation::new(
            StatusCode::BAD_GATEWAY,
            "bad_answer",
            format!("{} does not say clearly where its answer ends", target.name),
            "this is a fault in the service: send one Content-Length, or \
             `Transfer-Encoding: chunked`",
        );
        return explain(explanation, form, trace);
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let Some((_, client)) = switch else {
            let explanation = Explanation::new(
                StatusCode::BAD_GATEWAY,
                "bad_answer",
                format!("{} switched protocols without being asked", target.name),
                "this is a fault in the service",
            );
            return explain(explanation, form, trace);
        };
        let splice = Splice {
            client,
            upstream: hyper::upgrade::on(&mut response),
            mask: upgrade::is_websocket(response.headers()).then(|| mask(shared.random())),
            tap: None,
            lease,
            trace,
            linger: shared.limits.linger,
            closing,
        };
        let mut answer = switched(response, splice);
        if was_connect {
            http2::opened_websocket(&mut answer);
        }
        return answer;
    }
    // To the client, whatever is a success would be an open WebSocket.
    if was_connect && response.status().is_success() {
        let explanation = Explanation::new(
            StatusCode::BAD_GATEWAY,
            "bad_answer",
            format!("{} answers there, but not as a WebSocket", target.name),
            "check the path, and that the service takes WebSockets over HTTP/1.1",
        );
        return explain(explanation, form, trace);
    }
    trace.progress().answer_begins();
    let is_events = is_event_stream || is_events(response.headers());
    // Of what is only asked for, events come for ever; what a POST is answered
    // with has an end, though it comes in pieces as a model's words do.
    let parting: Option<Parting> = (is_events && is_get)
        .then(|| Box::pin(upgrade::parting(&lease, shared.limits.linger, closing)) as _);
    let silence = (!is_events).then_some(silence);
    relay(response, lease, trace, silence, parting)
}

/// Passes an answer on.
fn relay(
    mut response: Response<Incoming>,
    lease: Lease,
    mut trace: Trace,
    silence: Option<Duration>,
    parting: Option<Parting>,
) -> Response<ResponseBody> {
    trace
        .capture()
        .answered(response.status(), response.headers());
    headers::strip(response.headers_mut());
    // What the upstream speaks is not what the client speaks.
    *response.version_mut() = Version::HTTP_11;
    trace.answered(response.status());
    response.map(|body| {
        let mut body = ResponseBody::upstream(body, silence, lease, trace);
        body.end_at(parting);
        body
    })
}

/// Relays a 101 and joins the two ends behind it.
fn switched(mut response: Response<Incoming>, mut splice: Splice) -> Response<ResponseBody> {
    let protocol = response.headers().get(hyper::header::UPGRADE).cloned();
    let capture = splice.trace.capture();
    capture.answered(response.status(), response.headers());
    splice.tap = splice.mask.and_then(|_| capture.tap(response.headers()));
    headers::strip(response.headers_mut());
    if let Some(protocol) = protocol {
        upgrade::ask(response.headers_mut(), protocol);
    }
    splice.trace.answered(StatusCode::SWITCHING_PROTOCOLS);
    splice.spawn();
    let mut answer = Response::new(ResponseBody::nothing());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *answer.headers_mut() = std::mem::take(response.headers_mut());
    answer
}

fn mask(random: u64) -> [u8; 4] {
    let [first, second, third, fourth, ..] = random.to_be_bytes();
    [first, second, third, fourth]
}

/// The request as it goes to the upstream.
fn onward(
    request: Request<RequestBody>,
    stamp: &Stamp<'_>,
    (target, taken): (&Target, usize),
    switch: Option<HeaderValue>,
) -> Request<RequestBody> {
    let (parts, mut body) = request.into_parts();
    // A client that asks first is only told to go on once the upstream says so.
    let permission = asks_first(&parts.headers).then(|| body.wait_for_permission());
    let mut onward = Request::new(body);
    *onward.method_mut() = parts.method;
    *onward.uri_mut() = onward_target(&parts.uri, target, taken);
    *onward.headers_mut() = onward_headers(parts.headers, stamp, target, switch);
    if let Some(permission) = permission {
        hyper::ext::on_informational(&mut onward, move |informed| {
            if informed.status() == StatusCode::CONTINUE {
                permission.give();
            }
        });
    }
    onward
}

/// Path and query as they came, without what only said which route is meant;
/// an outside route's own prefix before them.
fn onward_target(asked: &Uri, target: &Target, taken: usize) -> Uri {
    let path = asked.path_and_query().map_or("/", |path| path.as_str());
    let rest = path.get(taken..).unwrap_or_default();
    let onward = match &target.leads {
        Leads::Outside { prefix, .. } if taken > 0 || !prefix.is_empty() => {
            let slash = if rest.starts_with('/') { "" } else { "/" };
            let onward = format!("{prefix}{slash}{rest}");
            PathAndQuery::try_from(onward).ok().map(Uri::from)
        }
        _ => asked.path_and_query().map(|path| Uri::from(path.clone())),
    };
    onward.unwrap_or_else(|| Uri::from_static("/"))
}

fn onward_headers(
    mut headers: HeaderMap,
    stamp: &Stamp<'_>,
    target: &Target,
    switch: Option<HeaderValue>,
) -> HeaderMap {
    if !headers.contains_key(HOST)
        && let Ok(host) = HeaderValue::from_str(&stamp.authority.to_string())
    {
        headers.insert(HOST, host);
    }
    if stamp.version == Version::HTTP_2 {
        http2::join_cookies(&mut headers);
    }
    let is_chunked = headers.contains_key(TRANSFER_ENCODING);
    let takes_trailers = headers::strip(&mut headers);
    if is_chunked {
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    if let Some(protocol) = switch {
        upgrade::ask(&mut headers, protocol);
    }
    headers::stamp(&mut headers, stamp);
    if let Leads::Outside { authority, .. } = &target.leads
        && let Ok(authority) = HeaderValue::from_str(authority)
    {
        headers.insert(HOST, authority);
    }
    headers
}

/// Sends the request to one upstream, and to another where one does not take the connection.
async fn send(
    shared: &Shared,
    target: &Target,
    mut request: Request<RequestBody>,
    head_within: Option<Duration>,
    trace: &mut Trace,
) -> Result<(Response<Incoming>, Lease), Failure> {
    let upstreams = target.upstreams();
    let mut left: Vec<usize> = (0..upstreams.len()).collect();
    let mut may_reuse = true;
    loop {
        let load = |place: usize| shared.pool.load(&upstreams[left[place]]);
        let chosen = less_loaded(left.len(), load, shared.random());
        let place = left[chosen];
        let upstream = &upstreams[place];
        let dial = Dial {
            within: shared.limits.connect,
            clients: &shared.connections,
        };
        let mut lease = match shared.pool.lease(upstream, may_reuse, dial).await {
            Ok(lease) => lease,
            Err(error) => {
                left.swap_remove(chosen);
                if left.is_empty() {
                    return Err(Failure::Connect(upstream.clone(), error));
                }
                continue;
            }
        };
        trace.reached(place, lease.connected_in);

        // A kept connection may be dying at this very moment. What it takes to
        // say the same again is only kept where that is allowed.
        let again =
            (lease.is_reused && request.body().is_empty() && is_idempotent(request.method()))
                .then(|| head_of(&request));
        match exchange(&mut lease, request, head_within, trace.progress()).await {
            Ok(response) => return Ok((response, lease)),
            // Not a byte of it was written.
            Err(Broken::Unsent(unsent)) if lease.is_reused => request = *unsent,
            Err(Broken::Unsent(_)) => {
                return Err(Failure::Connect(
                    upstream.clone(),
                    ConnectError::Other(std::io::ErrorKind::ConnectionReset.into()),
                ));
            }
            Err(Broken::Sent(error)) => match again {
                Some(head) if !lease.has_heard() => {
                    may_reuse = false;
                    request = head.map(|()| RequestBody::empty(Arc::clone(trace.progress())));
                }
                _ => return Err(Failure::Exchange(upstream.clone(), error)),
            },
            Err(Broken::Silent(limit)) => return Err(Failure::Silent(upstream.clone(), limit)),
        }
    }
}

/// The less loaded of two taken by chance: nearly as even as asking all, and no
/// crowd runs to the one that was idle a moment ago.
fn less_loaded(count: usize, load: impl Fn(usize) -> usize, random: u64) -> usize {
    let count = count as u64;
    if count < 2 {
        return 0;
    }
    let first = random % count;
    let second = (first + 1 + (random >> 32) % (count - 1)) % count;
    let [first, second] = [first, second].map(|place| usize::try_from(place).unwrap_or(0));
    if load(second) < load(first) {
        second
    } else {
        first
    }
}

/// How sending a request can fail.
enum Broken {
    /// It is still here, whole.
    Unsent(Box<Request<RequestBody>>),
    /// Some of it may have been acted on.
    Sent(hyper::Error),
    /// There was no answer in time.
    Silent(Duration),
}

async fn exchange(
    lease: &mut Lease,
    request: Request<RequestBody>,
    head_within: Option<Duration>,
    progress: &Progress,
) -> Result<Response<Incoming>, Broken> {
    let Some(sender) = lease.sender() else {
        return Err(Broken::Unsent(Box::new(request)));
    };
    let mut answer = pin!(sender.try_send_request(request));
    loop {
        let before = (progress.bytes(), progress.has_ended());
        let polled = match head_within {
            Some(limit) => tokio::time::timeout(limit, answer.as_mut()).await,
            None => Ok(answer.as_mut().await),
        };
        match (polled, head_within) {
            (Ok(Ok(response)), _) => return Ok(response),
            (Ok(Err(mut error)), _) => {
                return Err(match error.take_message() {
                    Some(unsent) => Broken::Unsent(Box::new(unsent)),
                    None => Broken::Sent(error.into_error()),
                });
            }
            // A long upload is no silence: the wait begins when it ends.
            (Err(_), Some(_)) if before != (progress.bytes(), progress.has_ended()) => {}
            (Err(_), limit) => return Err(Broken::Silent(limit.unwrap_or_default())),
        }
    }
}

/// The request without its body, to be sent a second time.
fn head_of(request: &Request<RequestBody>) -> Request<()> {
    let mut head = Request::new(());
    head.method_mut().clone_from(request.method());
    head.uri_mut().clone_from(request.uri());
    head.headers_mut().clone_from(request.headers());
    head
}

fn is_idempotent(method: &Method) -> bool {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
    ]
    .contains(method)
}

/// Whether the client waits for a `100 Continue` before it sends its body.
pub(super) fn asks_first(headers: &HeaderMap) -> bool {
    headers
        .get(EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

fn asks_for_events(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().any(is_event_type)
}

pub(super) fn is_events(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(is_event_type)
}

fn is_event_type(value: &HeaderValue) -> bool {
    const EVENTS: &[u8] = b"text/event-stream";
    value
        .as_bytes()
        .get(..EVENTS.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
}

/// Answers before the request's body was looked at.
fn answer_early(
    explanation: Explanation,
    request: Request<Incoming>,
    trace: Trace,
) -> Response<ResponseBody> {
    let form = Form::wanted(request.headers());
    let response = explain(explanation, form, trace);
    body::discard(request);
    response
}

/// Answers in the upstream's place.
fn explain(explanation: Explanation, form: Form, mut trace: Trace) -> Response<ResponseBody> {
    trace.refused(explanation.code);
    let mut response = explanation.into_response(form);
    if let Ok(id) = HeaderValue::from_str(trace.id()) {
        response.headers_mut().insert(headers::X_REQUEST_ID, id);
    }
    trace.answered(response.status());
    trace
        .capture()
        .answered(response.status(), response.headers());
    response.map(|bytes| ResponseBody::whole(bytes, trace))
}

fn not_ready(target: &Target, state: &str) -> Explanation {
    let service = target.service.as_deref().unwrap_or(&target.name);
    let mut explanation = Explanation::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "not_ready",
        format!("{} is not ready: {state}", target.name),
        format!("`cosmos status` shows its state, `cosmos logs {service}` what it says"),
    );
    explanation.retry_after = Some(2);
    explanation
}

/// What went wrong between us and the upstream, or before it.
fn failed(failure: &Failure, progress: &Progress) -> Explanation {
    // A client that breaks its body off breaks the exchange with the upstream, too.
    if progress.is_silent() {
        return Explanation::new(
            StatusCode::REQUEST_TIMEOUT,
            Code::BodyTimeout.as_str(),
            "the body stopped coming",
            "send it without a pause",
        );
    }
    if progress.is_broken() {
        return Explanation::new(
            StatusCode::BAD_REQUEST,
            Code::BodyBroken.as_str(),
            "the body was cut or is badly framed",
            "send it whole, with its true length or in valid chunks",
        );
    }
    match failure {
        Failure::Connect(upstream, ConnectError::Refused) => {
            let (message, hint) = match &upstream.key.address {
                Address::Socket(address) | Address::Http2(address) => (
                    format!(
                        "nothing listens on port {} in `{}`",
                        address.port(),
                        upstream.name
                    ),
                    format!(
                        "the process may still be starting, listen on another port (set \
                         `route.port`), or listen on 127.0.0.1 only: it must on 0.0.0.0:{}",
                        address.port()
                    ),
                ),
                Address::Name(host, port) | Address::Tls { host, port, .. } => (
                    format!("nothing listens on {host}:{port}"),
                    "check the route's `upstream`".to_owned(),
                ),
            };
            Explanation::new(StatusCode::BAD_GATEWAY, "nothing_listens", message, hint)
        }
        Failure::Connect(upstream, error @ ConnectError::Timeout(_)) => Explanation::new(
            StatusCode::GATEWAY_TIMEOUT,
            "connect_timeout",
            format!("`{}` takes no connection: {error}", upstream.name),
            "its process may hang, or a firewall in it drops packets: see `cosmos logs`",
        ),
        Failure::Connect(upstream, ConnectError::Tls(error)) => error.explanation(&upstream.name),
        Failure::Connect(upstream, ConnectError::Other(error)) => Explanation::new(
            StatusCode::BAD_GATEWAY,
            "unreachable",
            format!("`{}` cannot be reached: {error}", upstream.name),
            match &upstream.key.address {
                Address::Socket(_) | Address::Http2(_) => "`cosmos status` shows whether it runs",
                Address::Name(..) | Address::Tls { .. } => {
                    "check the route's `upstream`, and whether this machine reaches it"
                }
            },
        ),
        Failure::Exchange(upstream, error) if error.is_parse_too_large() => Explanation::new(
            StatusCode::BAD_GATEWAY,
            "bad_answer",
            format!(
                "the headers of the answer of `{}` are longer than {} KiB, or more than 100",
                upstream.name,
                MOST_READ / 1024
            ),
            "send fewer or shorter ones: cookies are the usual cause",
        ),
        Failure::Exchange(upstream, error) if error.is_parse() => Explanation::new(
            StatusCode::BAD_GATEWAY,
            "bad_answer",
            format!(
                "`{}` answered with something that is not HTTP/1.1",
                upstream.name
            ),
            "check `route.port`: another protocol may be spoken there",
        ),
        Failure::Exchange(upstream, _) if matches!(upstream.key.address, Address::Http2(_)) => {
            Explanation::new(
                StatusCode::BAD_GATEWAY,
                "broken_off",
                format!(
                    "`{}` broke off, or does not speak HTTP/2 without TLS",
                    upstream.name
                ),
                "check `route.protocol` and `route.port`; if they are right, its process may have \
                 ended: see `cosmos logs`",
            )
        }
        Failure::Exchange(upstream, _) => Explanation::new(
            StatusCode::BAD_GATEWAY,
            "broken_off",
            format!("`{}` broke off before it answered", upstream.name),
            "its process may have ended: see `cosmos logs`",
        ),
        Failure::Silent(upstream, limit) => Explanation::new(
            StatusCode::GATEWAY_TIMEOUT,
            "answer_timeout",
            format!(
                "`{}` did not answer within {} s",
                upstream.name,
                limit.as_secs_f32()
            ),
            "see `cosmos logs` for what it is doing",
        ),
    }
}
