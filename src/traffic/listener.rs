//! Takes connections, and serves each one request after another.
//!
//! Nobody can hold a place for nothing: a head has ten seconds from its first
//! byte, a connection between two requests has 75, and where every place is
//! taken the one that was idle longest goes.

use std::{
    convert::Infallible,
    future::Future,
    net::{IpAddr, SocketAddr},
    pin::pin,
    sync::Arc,
    time::Duration,
};

use hyper::{
    Request, Response, Version,
    body::{Body as _, Incoming},
    header::{CONNECTION, HOST, HeaderValue, TRANSFER_ENCODING},
    server::conn::http1,
    service::{HttpService, service_fn},
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::DuplexStream,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};

use super::{
    Shared,
    answer::{Explanation, Form},
    body::{self, ResponseBody},
    connection::{ClientIo, ConnectionWatch, Place, Registry},
    forward::{self, Inbound},
    guard::{self, Facts, Verdict},
    headers, http2,
    log::{Begin, Trace},
    manage,
    refusal::{Code, Refusal},
    session,
};

/// Larger than browsers and servers send, and less than would cost us anything.
const LARGEST_HEAD: usize = 64 * 1024;
/// The same, in the type that HTTP/2 has for it.
const HEAD_OVER_HTTP2: u32 = 64 * 1024;

/// The engine's own limit is reached: a moment later there may be room again.
const AFTER_A_FAILED_ACCEPT: Duration = Duration::from_millis(50);

/// How long one of a crowd keeps its buffers without a request.
const RESTS_IN_A_CROWD: Duration = Duration::from_millis(20);

/// Guessing must be slow; a typo need not be felt.
const AFTER_A_WRONG_TOKEN: Duration = Duration::from_millis(100);

/// Serves until `shutdown` is done, then lets what is under way finish.
pub async fn serve(listener: TcpListener, shared: Arc<Shared>, shutdown: impl Future<Output = ()>) {
    let (close, closing) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        // Every arm may be dropped half-way: accepting and joining lose nothing.
        let accepted = tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                let Some(place) = Registry::admit(&shared) else {
                    turn_away(&shared, &stream);
                    continue;
                };
                // Small writes go out at once; a failure only means that they do not.
                let _ = stream.set_nodelay(true);
                connections.spawn(serve_connection(
                    stream,
                    peer,
                    place,
                    Arc::clone(&shared),
                    closing.clone(),
                ));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be taken");
                tokio::time::sleep(AFTER_A_FAILED_ACCEPT).await;
            }
        }
    }

    drop((listener, closing));
    close.send_replace(true);
    let finish = async {
        while connections.join_next().await.is_some() {}
        // What is no HTTP any more says goodbye, too.
        close.closed().await;
    };
    let _ = tokio::time::timeout(shared.limits.drain, finish).await;
    connections.shutdown().await;
    shared.log.flush().await;
}

/// No place is free and nobody is idle: said without waiting for the request.
fn turn_away(shared: &Shared, stream: &TcpStream) {
    shared.refusals.count(Code::TooManyConnections);
    let refusal = Refusal::new(
        Code::TooManyConnections,
        "every connection is busy",
        "close some, or try again in a second",
    );
    let response = Explanation::from(refusal).into_response(Form::Json);
    let body = response.body();
    let mut text = format!(
        "HTTP/1.1 {}\r\nconnection: close\r\ncontent-length: {}\r\n",
        response.status(),
        body.len()
    )
    .into_bytes();
    for (name, value) in response.headers() {
        text.extend_from_slice(name.as_str().as_bytes());
        text.extend_from_slice(b": ");
        text.extend_from_slice(value.as_bytes());
        text.extend_from_slice(b"\r\n");
    }
    text.extend_from_slice(b"\r\n");
    text.extend_from_slice(body);
    // If even this does not fit into the socket, closing has to say it.
    let _ = stream.try_write(&text);
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    place: Place,
    shared: Arc<Shared>,
    mut closing: watch::Receiver<bool>,
) {
    let watch = Arc::clone(&place.watch);
    let client = Arc::new(Client {
        peer: peer.ip().to_canonical(),
        watch: Arc::clone(&watch),
        closing: closing.clone(),
        shared: Arc::clone(&shared),
    });
    let mut io = ClientIo::new(stream, place, &shared.limits);
    // Dropping an arm drops the connection: nothing was asked over it yet.
    let is_http2 = tokio::select! {
        speaks = io.speaks_http2() => match speaks {
            Ok(speaks) => speaks,
            Err(_) => return,
        },
        () = watch.evicted.notified() => return,
        _ = closing.wait_for(|closing| *closing) => return,
    };
    if is_http2 {
        serve_http2(io, &client, closing).await;
        return;
    }
    while let Some(resting) = serve_http1(io, &client, closing.clone()).await {
        io = resting;
        let limits = &client.shared.limits;
        let rest = limits.keep_alive.saturating_sub(limits.rest);
        // Every arm may be dropped: not a byte was read.
        let goes_on = tokio::select! {
            next = io.next_byte() => next.is_ok(),
            () = watch.evicted.notified() => false,
            _ = closing.wait_for(|closing| *closing) => false,
            () = tokio::time::sleep(rest) => false,
        };
        if !goes_on {
            return;
        }
    }
}

/// Serves requests one after another, and gives the connection back when it rests.
///
/// hyper keeps 16 KiB of buffers for each connection that it serves, asked or not.
/// Ten thousand browsers that have nothing to ask are not worth that.
async fn serve_http1(
    io: ClientIo,
    client: &Arc<Client>,
    mut closing: watch::Receiver<bool>,
) -> Option<ClientIo> {
    let watch = &client.watch;
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // hyper counts this from the end of the last request: it is the idle
        // time. The head's own limit is kept by `ClientIo`.
        .header_read_timeout(client.shared.limits.keep_alive)
        // At most a hundred headers is hyper's own limit; to name it would cost
        // every request a table on the heap.
        // Half-closing stays off: a client that closed is gone, and what an
        // upstream does for it, perhaps for ever, must end.
        .max_header_size(LARGEST_HEAD)
        .max_buf_size(LARGEST_HEAD);
    let connection = builder.serve_connection(TokioIo::new(io), client.service());
    // On the heap, to be given up while the connection rests.
    let mut connection = Box::new(connection.with_upgrades());
    let rest = match client.shared.connections.is_a_crowd() {
        false => client.shared.limits.rest,
        true => client.shared.limits.rest.min(RESTS_IN_A_CROWD),
    };
    let mut is_closing = false;
    loop {
        // Dropping an arm loses nothing: the connection is polled in place.
        tokio::select! {
            served = &mut *connection => {
                if let Err(error) = served && error.is_parse() {
                    let status = if error.is_parse_too_large() { 431 } else { 400 };
                    client.shared.log.malformed(client.peer, status);
                }
                return None;
            }
            () = watch.evicted.notified() => return None,
            () = watch.rests(rest), if !is_closing => break,
            _ = closing.wait_for(|closing| *closing), if !is_closing => {
                if watch.is_idle() {
                    return None;
                }
                is_closing = true;
                Pin::new(&mut *connection).graceful_shutdown();
            }
        }
    }
    let parts = connection.into_parts()?;
    let mut io = parts.io.into_inner();
    io.give_again(parts.read_buf);
    Some(io)
}

/// Serves requests over HTTP/2 until the connection ends.
///
/// What is idle is told goodbye, as a request may be on its way; if it then idles
/// on, it is dropped.
async fn serve_http2(io: ClientIo, client: &Arc<Client>, mut closing: watch::Receiver<bool>) {
    let watch = &client.watch;
    let idles = || watch.idles(client.shared.limits.keep_alive);
    let builder = http2::server(HEAD_OVER_HTTP2);
    let mut connection = Box::pin(builder.serve_connection(TokioIo::new(io), client.service()));
    let mut is_closing = false;
    let mut idle = pin!(idles());
    loop {
        // Dropping an arm loses nothing: the connection is polled in place.
        tokio::select! {
            // What was wrong with it was told to the client in its own frames.
            _ = connection.as_mut() => return,
            () = watch.evicted.notified() => return,
            () = idle.as_mut() => {
                if is_closing {
                    return;
                }
                is_closing = true;
                connection.as_mut().graceful_shutdown();
                idle.set(idles());
            }
            _ = closing.wait_for(|closing| *closing), if !is_closing => {
                is_closing = true;
                if watch.is_idle() {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

/// Serves one request that repeats an exchange, over a connection of our own.
pub(super) async fn serve_replay(
    shared: Arc<Shared>,
    io: TokioIo<DuplexStream>,
    peer: IpAddr,
    number: u64,
    closing: watch::Receiver<bool>,
) {
    let client = Arc::new(Client {
        peer,
        watch: Arc::new(ConnectionWatch::of_replay(number)),
        closing,
        shared,
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .serve_connection(io, client.service());
    // What was wrong with it is in its exchange.
    let _ = connection.with_upgrades().await;
}

/// Whoever is at the other end of a connection.
struct Client {
    peer: IpAddr,
    watch: Arc<ConnectionWatch>,
    closing: watch::Receiver<bool>,
    shared: Arc<Shared>,
}

impl Client {
    /// What hyper gives its requests to.
    fn service(
        self: &Arc<Self>,
    ) -> impl HttpService<
        Incoming,
        ResBody = ResponseBody,
        Error = Infallible,
        Future: Send + 'static,
    > + use<> {
        let client = Arc::clone(self);
        service_fn(move |request| {
            let client = Arc::clone(&client);
            async move { Ok::<_, Infallible>(handle(&client, request).await) }
        })
    }
}

/// One request: guard, then management or the routes.
async fn handle(client: &Client, mut request: Request<Incoming>) -> Response<ResponseBody> {
    let shared = &client.shared;
    if request.version() == Version::HTTP_2 {
        let nonce = [shared.random().to_ne_bytes(), shared.random().to_ne_bytes()];
        http2::open_websocket(&mut request, nonce.concat());
    }
    let mut must_close =
        request.headers().contains_key(TRANSFER_ENCODING) && client.watch.may_have_two_lengths();
    let is_old = request.version() == Version::HTTP_10;
    let id = match headers::valid_request_id(request.headers()) {
        Some(id) => id.to_owned(),
        None => format!("{:016x}{:016x}", shared.random(), shared.random()),
    };
    let host = request
        .headers()
        .get(HOST)
        .map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned())
        // HTTP/2 has it in the target.
        .or_else(|| request.uri().authority().map(ToString::to_string))
        .unwrap_or_default();
    let trace = Trace::begin(Begin {
        id,
        peer: client.peer,
        method: request.method(),
        host,
        target: request.uri(),
        connection: Arc::clone(&client.watch),
        shared,
    });
    let asks_first = forward::asks_first(request.headers()) && !request.body().is_end_stream();
    let progress = Arc::clone(trace.progress());

    let (verdict, is_stream) = {
        let guard = shared.guard();
        let routes = shared.routes();
        let networks = shared.networks();
        let facts = Facts {
            method: request.method(),
            target: request.uri(),
            version: request.version(),
            headers: request.headers(),
            peer: client.peer,
            is_live: &|host| routes.is_live(host),
            networks: networks.as_ref().as_deref(),
            is_invited: &|code| shared.invitations.has(code),
            now: session::seconds(),
            config: &guard,
        };
        (guard::decide(&facts), guard::is_stream(&facts))
    };
    let verdict = match verdict {
        // Whatever is edited in it: what was traffic is traffic.
        Verdict::Manage(_) if client.watch.replays().is_some() => Verdict::Refuse(Refusal::new(
            Code::Misdirected,
            "what is repeated is a request to a service, and no order to Cosmos",
            "use the `cosmos` command",
        )),
        verdict => verdict,
    };
    let mut response = match verdict {
        Verdict::Proxy(authority) => {
            let inbound = Inbound {
                request,
                authority,
                peer: client.peer,
                closing: client.closing.clone(),
            };
            forward::forward(shared, inbound, trace).await
        }
        Verdict::Manage(caller) => {
            let managed = manage::manage(shared, caller, is_stream, client.peer, request, trace);
            // On the heap, as what is rare must not be carried along by every request.
            Box::pin(managed).await
        }
        Verdict::Refuse(refusal) => {
            if refusal.code == Code::TokenWrong {
                tokio::time::sleep(AFTER_A_WRONG_TOKEN).await;
            }
            // Where such a body ends, hyper and the client may see differently.
            must_close |= refusal.code == Code::CodingUnknown;
            let response = manage::refuse(shared, refusal, &request, trace);
            body::discard(request);
            response
        }
    };
    // What a client sends after an answer in the place of a 100 is its body or
    // its next request, and nobody can tell which.
    must_close |= asks_first && progress.bytes() == 0 && !progress.has_ended();
    // Only the end of the connection is an end that an old client understands.
    // hyper closes, too, but would tell it `keep-alive`.
    must_close |= is_old && response.body().size_hint().exact().is_none();
    if must_close {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
