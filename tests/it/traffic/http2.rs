//! HTTP/2 on either side of the proxy, or on both.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use cosmos::traffic::{
    BodyError, BoxBody, Limits, Routes,
    routes::{Address, Leads, Rule},
};
use futures_util::future::join_all;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{
    HeaderMap, Method, Request, Response, Version,
    body::{Frame, Incoming},
    client::conn::http2::SendRequest,
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{Barrier, mpsc, oneshot},
};

use super::harness::{
    PATIENCE, Proxy, TOKEN, full, mirror, proxy, proxy_with, raw_server, rule, upstream,
};

/// A server that speaks HTTP/2 from the first byte, and counts connections.
async fn http2_server<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, usize) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<BoxBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connection = 0;
        while let Ok((stream, _)) = listener.accept().await {
            connection += 1;
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request, connection);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

fn over_http2(address: SocketAddr) -> Rule {
    let mut upstream = upstream(address);
    upstream.key.address = Address::Http2(address);
    rule("web.shop.localhost", Leads::To(vec![upstream]))
}

async fn proxy_to_http2(address: SocketAddr) -> Proxy {
    let proxy = proxy().await;
    let routes = Routes::new([over_http2(address)]);
    proxy.shared.set_routes(Arc::new(routes));
    proxy
}

/// A client of the proxy that speaks HTTP/2 from the first byte.
async fn client(proxy: &Proxy) -> SendRequest<BoxBody> {
    let stream = TcpStream::connect(proxy.address).await.unwrap();
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    sender
}

fn get(target: &str) -> Request<BoxBody> {
    Request::get(target).body(full("")).unwrap()
}

async fn ask(sender: &mut SendRequest<BoxBody>, request: Request<BoxBody>) -> (u16, String) {
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request));
    let answer = answer.await.unwrap().unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// A body that is sent as it is told.
fn told() -> (mpsc::Sender<Frame<Bytes>>, BoxBody) {
    let (give, mut take) = mpsc::channel(1);
    let stream = futures_util::stream::poll_fn(move |cx| {
        let next = take.poll_recv(cx);
        next.map(|frame| frame.map(Ok::<Frame<Bytes>, BodyError>))
    });
    (give, BoxBody::new(StreamBody::new(stream)))
}

fn trailers(name: &'static str, value: &'static str) -> Frame<Bytes> {
    let value = value.parse().unwrap();
    Frame::trailers(HeaderMap::from_iter([(name.parse().unwrap(), value)]))
}

/// A server of calls: sends each message back, and the trailers at the end.
async fn echo() -> SocketAddr {
    http2_server(|request, _| async move {
        assert_eq!(request.headers()["te"], "trailers");
        let (give, body) = told();
        tokio::spawn(async move {
            let mut asked = request.into_body();
            while let Some(Ok(frame)) = asked.frame().await {
                // The end of a body may come as a frame of its own.
                if frame.data_ref().is_some_and(Bytes::is_empty) {
                    continue;
                }
                let frame = frame.map_data(|data| [b"echo ", &*data].concat().into());
                if give.send(frame).await.is_err() {
                    return;
                }
            }
            let _ = give.send(trailers("grpc-status", "0")).await;
        });
        let answer = Response::builder().header("content-type", "application/grpc");
        answer.body(body).unwrap()
    })
    .await
}

fn call(body: BoxBody) -> Request<BoxBody> {
    Request::post("http://web.shop.localhost:8080/shop.Cart/Add")
        .header("content-type", "application/grpc+proto")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

#[tokio::test]
async fn a_call_passes_message_by_message_and_ends_with_trailers() {
    let proxy = proxy_to_http2(echo().await).await;
    let mut client = client(&proxy).await;
    let (give, body) = told();
    let answer = client.send_request(call(body)).await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut answer = answer.into_body();
    // Each message is only sent once the one before was answered.
    for message in ["one", "two", "three"] {
        give.send(Frame::data(message.into())).await.unwrap();
        let frame = answer.frame().await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("echo {message}"));
    }
    drop(give);
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap()["grpc-status"], "0");
    let lines = proxy.stop().await;
    assert_eq!(lines[0]["host"], "web.shop.localhost:8080");
    assert_eq!(lines[0]["status"], 200);
    assert!(lines[0].get("cut").is_none(), "{lines:?}");
}

#[tokio::test]
async fn a_call_may_be_silent_for_longer_than_a_body() {
    let proxy = proxy_with(Limits {
        response_head: Duration::from_millis(50),
        body_silence: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let routes = Routes::new([over_http2(echo().await)]);
    proxy.shared.set_routes(Arc::new(routes));
    let mut client = client(&proxy).await;
    let (give, body) = told();
    let answer = client.send_request(call(body)).await.unwrap();
    let mut answer = answer.into_body();
    let silent = tokio::time::timeout(Duration::from_millis(200), answer.frame());
    assert!(silent.await.is_err(), "it was cut");
    give.send(Frame::data("late".into())).await.unwrap();
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "echo late");
}

/// A server over HTTP/2 that says what it was asked.
async fn http2_mirror() -> SocketAddr {
    http2_server(|request, connection| async move {
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap()))
            .collect();
        lines.sort();
        let (method, target) = (request.method().clone(), request.uri().clone());
        let body = request.into_body().collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&body);
        let text = format!("{method} {target}\n{}{body}", lines.concat());
        Response::builder()
            .header("x-connection", connection)
            .body(full(text))
            .unwrap()
    })
    .await
}

#[tokio::test]
async fn an_http1_client_reaches_an_http2_upstream() {
    let proxy = proxy_to_http2(http2_mirror().await).await;
    let answer = proxy
        .ask(
            "POST /a/../b?c HTTP/1.1\r\nHost: web.shop.localhost:8080\r\n\
             Connection: keep-alive, x-gone\r\nX-Gone: 1\r\nTransfer-Encoding: chunked\r\n\
             X-Request-Id: mine-1\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        )
        .await;
    assert_eq!(
        answer.text(),
        "POST http://web.shop.localhost:8080/a/../b?c\n\
         forwarded: for=127.0.0.1;host=\"web.shop.localhost:8080\";proto=http\n\
         via: 1.1 cosmos\n\
         x-cosmos-hops: 1\n\
         x-forwarded-for: 127.0.0.1\n\
         x-forwarded-host: web.shop.localhost:8080\n\
         x-forwarded-port: 8080\n\
         x-forwarded-proto: http\n\
         x-real-ip: 127.0.0.1\n\
         x-request-id: mine-1\n\
         hi"
    );
}

#[tokio::test]
async fn an_http2_client_reaches_an_http1_upstream() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = client(&proxy).await;
    let request = Request::post("http://web.shop.localhost:8080/a?b")
        .header("cookie", "a=1")
        .header("cookie", "b=2")
        .body(full("hi"))
        .unwrap();
    let (status, text) = ask(&mut client, request).await;
    assert_eq!(status, 200);
    assert!(text.starts_with("POST /a?b\n"), "{text}");
    assert!(text.contains("\nhost: web.shop.localhost:8080\n"), "{text}");
    assert!(text.contains("\ncookie: a=1; b=2\n"), "{text}");
    assert!(text.ends_with("\nhi"), "{text}");
}

#[tokio::test]
async fn one_connection_carries_many_requests_at_once() {
    const MANY: usize = 20;
    let all = Arc::new(Barrier::new(MANY));
    let server = http2_server(move |request, connection| {
        let all = Arc::clone(&all);
        async move {
            if request.uri().path() == "/together" {
                all.wait().await;
            }
            Response::new(full(connection.to_string()))
        }
    })
    .await;
    let proxy = proxy_to_http2(server).await;
    let mut client = client(&proxy).await;
    let first = get("http://web.shop.localhost/");
    assert_eq!(ask(&mut client, first).await, (200, "1".to_owned()));
    let answers = (0..MANY).map(|_| {
        let mut client = client.clone();
        async move { ask(&mut client, get("http://web.shop.localhost/together")).await }
    });
    for answer in join_all(answers).await {
        assert_eq!(answer, (200, "1".to_owned()));
    }
}

#[tokio::test]
async fn an_upstream_that_does_not_speak_http2_is_explained() {
    let proxy = proxy_to_http2(mirror().await).await;
    let answer = proxy
        .ask("GET / HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n")
        .await;
    assert_eq!((answer.status, &*answer.code()), (502, "broken_off"));
    assert!(answer.text().contains("route.protocol"), "{answer:?}");
}

#[tokio::test]
async fn an_http2_connection_that_broke_is_made_anew() {
    let server = http2_server(|request, connection| async move {
        // The whole connection breaks with the task that serves it.
        assert_ne!(request.uri().path(), "/break", "as it is asked to");
        Response::new(full(connection.to_string()))
    })
    .await;
    let proxy = proxy_to_http2(server).await;
    let mut client = client(&proxy).await;
    let first = get("http://web.shop.localhost/");
    assert_eq!(ask(&mut client, first).await.1, "1");
    let broken = get("http://web.shop.localhost/break");
    assert_eq!(ask(&mut client, broken).await.0, 502);
    let next = get("http://web.shop.localhost/");
    let (status, text) = ask(&mut client, next).await;
    assert_eq!(status, 200, "{text}");
}

#[tokio::test]
async fn the_guard_judges_the_authority_of_http2() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = client(&proxy).await;
    let call = |authority: &str, token: bool| {
        let request = Request::get(format!("http://{authority}/_cosmos/v1/status"));
        let request = match token {
            true => request.header("authorization", format!("Bearer {TOKEN}")),
            false => request,
        };
        request.body(full("")).unwrap()
    };
    let managed = (200, "token /_cosmos/v1/status 0".to_owned());
    assert_eq!(
        ask(&mut client, call("localhost:8080", true)).await,
        managed
    );
    for (authority, token, status) in [
        ("localhost:8080", false, 401),
        ("localhost:8081", true, 421),
        ("cosmos-proxy:8080", true, 421),
        ("evil.example", true, 421),
        ("me@localhost:8080", true, 400),
        ("web.shop.localhost", true, 200),
    ] {
        let (answered, text) = ask(&mut client, call(authority, token)).await;
        assert_eq!(answered, status, "{authority}: {text}");
    }
    let mut disagreeing = call("localhost:8080", true);
    let host = "web.shop.localhost".parse().unwrap();
    disagreeing.headers_mut().insert("host", host);
    let (status, text) = ask(&mut client, disagreeing).await;
    assert!(status == 400 && text.contains("host_disagrees"), "{text}");
}

#[tokio::test]
async fn connect_is_refused_over_http2() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = client(&proxy).await;
    let request = Request::connect("web.shop.localhost:80");
    let (status, text) = ask(&mut client, request.body(full("")).unwrap()).await;
    assert!(status == 405 && text.contains("method_refused"), "{text}");
}

#[tokio::test]
async fn more_than_a_hundred_headers_are_refused_but_cookies_count_as_one() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = client(&proxy).await;
    let with = |count: usize, name: &'static str| {
        let mut request = get("http://web.shop.localhost/");
        for _ in 0..count {
            let name = name.parse::<hyper::header::HeaderName>().unwrap();
            request.headers_mut().append(name, "a=1".parse().unwrap());
        }
        request
    };
    for (count, name, status) in [(80, "x-a", 200), (101, "x-a", 431), (101, "cookie", 200)] {
        let (answered, text) = ask(&mut client, with(count, name)).await;
        assert_eq!(answered, status, "{count} {name}: {text}");
    }
}

#[tokio::test]
async fn a_request_may_come_byte_by_byte() {
    let proxy = Proxy::to(&[mirror().await]).await;
    for method in ["GET", "PUT", "PROPFIND"] {
        let mut client = proxy.connect().await;
        let request = format!("{method} / HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n");
        for byte in request.as_bytes() {
            client.send([*byte]).await;
            tokio::task::yield_now().await;
        }
        let answer = client.answer().await;
        assert!(
            answer.text().starts_with(&format!("{method} /\n")),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_in_the_end_but_not_a_busy_one() {
    let (finish, finished) = oneshot::channel::<()>();
    let finished = Arc::new(tokio::sync::Mutex::new(Some(finished)));
    let server = http2_server(move |_, _| {
        let finished = Arc::clone(&finished);
        async move {
            let finished = finished.lock().await.take().unwrap();
            let _ = finished.await;
            Response::new(full("done"))
        }
    })
    .await;
    let proxy = proxy_with(Limits {
        keep_alive: Duration::from_millis(100),
        ..Limits::default()
    })
    .await;
    let routes = Routes::new([over_http2(server)]);
    proxy.shared.set_routes(Arc::new(routes));
    let mut client = client(&proxy).await;
    let answer = client.send_request(get("http://web.shop.localhost/"));
    let busy = tokio::time::timeout(Duration::from_millis(300), answer);
    tokio::pin!(busy);
    let mut finish = Some(finish);
    let answer = tokio::select! {
        answer = &mut busy => answer.unwrap_or_else(|_| panic!("finished too early")),
        () = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let _ = finish.take().unwrap().send(());
            std::future::pending::<()>().await;
        } => unreachable!(),
    };
    assert_eq!(answer.unwrap().status(), 200);
    let closed = async {
        while !client.is_closed() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn calls_under_way_are_finished_when_the_proxy_stops() {
    let proxy = proxy_to_http2(echo().await).await;
    let mut client = client(&proxy).await;
    let (give, body) = told();
    let answer = client.send_request(call(body)).await.unwrap();
    let mut answer = answer.into_body();
    let stopped = tokio::spawn(proxy.stop());
    give.send(Frame::data("last".into())).await.unwrap();
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "echo last");
    drop(give);
    let frame = answer.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_trailers().unwrap()["grpc-status"], "0");
    let lines = stopped.await.unwrap();
    assert!(lines[0].get("cut").is_none(), "{lines:?}");
}

/// The opening of a WebSocket over HTTP/2, RFC 8441.
fn open_websocket(path: &str) -> Request<BoxBody> {
    let mut request = Request::new(full(""));
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = format!("http://web.shop.localhost{path}").parse().unwrap();
    *request.version_mut() = Version::HTTP_2;
    let protocol = hyper::ext::Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    let version = "13".parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-version", version);
    request
}

#[tokio::test]
async fn a_websocket_over_http2_is_one_of_http1_to_the_upstream() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut sender = client(&proxy).await;
    // Whether it may is known once the proxy's settings have come.
    assert_eq!(ask(&mut sender, get("http://nope.localhost/")).await.0, 404);
    let opened = tokio::spawn(sender.send_request(open_websocket("/chat?x")));
    let mut upstream = accepted.recv().await.unwrap();
    let head = String::from_utf8(upstream.until(b"\r\n\r\n").await).unwrap();
    let head = head.to_lowercase();
    for line in [
        "get /chat?x http/1.1",
        "host: web.shop.localhost",
        "connection: upgrade",
        "upgrade: websocket",
        "sec-websocket-version: 13",
    ] {
        assert!(head.lines().any(|have| have == line), "no {line} in {head}");
    }
    assert!(head.contains("\r\nsec-websocket-key: "), "{head}");
    let switch = "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\n\
                  upgrade: websocket\r\nsec-websocket-accept: x\r\n\
                  sec-websocket-protocol: chat\r\n\r\n";
    upstream.send(switch).await;
    let answer = opened.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
    assert!(!answer.headers().contains_key("sec-websocket-accept"));

    let mut socket = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    // Two frames of text, the client's masked with zeros (RFC 6455 section 5.2).
    socket.write_all(b"\x81\x82\0\0\0\0hi").await.unwrap();
    assert_eq!(upstream.exactly(8).await, b"\x81\x82\0\0\0\0hi");
    upstream.send(b"\x81\x02ho").await;
    let mut heard = [0; 4];
    socket.read_exact(&mut heard).await.unwrap();
    assert_eq!(&heard, b"\x81\x02ho");
    // Others are served on the same connection meanwhile.
    assert_eq!(ask(&mut sender, get("http://nope.localhost/")).await.0, 404);
}

#[tokio::test]
async fn what_does_not_switch_is_no_open_websocket() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut sender = client(&proxy).await;
    assert_eq!(ask(&mut sender, get("http://nope.localhost/")).await.0, 404);
    let (status, body) = ask(&mut sender, open_websocket("/")).await;
    assert!(
        status == 502 && body.contains("not as a WebSocket"),
        "{status} {body}"
    );
    // And any other CONNECT is what it was: refused.
    let mut plain = open_websocket("/");
    plain.extensions_mut().clear();
    *plain.uri_mut() = "web.shop.localhost:80".parse().unwrap();
    assert_eq!(ask(&mut sender, plain).await.0, 405);
}
