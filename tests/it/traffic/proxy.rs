//! The data plane.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cosmos::traffic::{
    BodyError, BoxBody, Limits, Routes,
    routes::{Address, Leads, Outlook, UpstreamKey},
};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::{Response, body::Frame};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::mpsc,
};

use super::harness::{
    Proxy, full, mirror, nobody, proxy, proxy_with, raw_server, rule, server, upstream,
};

const BROWSE: &str = "GET / HTTP/1.1\r\nhost: web.shop.localhost:8080\r\naccept: text/html\r\n\r\n";
const GET: &str = "GET / HTTP/1.1\r\nhost: web.shop.localhost:8080\r\n\r\n";

#[tokio::test]
async fn path_and_query_pass_byte_for_byte() {
    let proxy = Proxy::to(&[mirror().await]).await;
    for target in [
        "/",
        "//",
        "/a//b/../c",
        "/%2e%2E/%61?x=%20&y=+&&z",
        "/a?",
        "/a??b",
        "/;a=1/:@!$'()*,~",
        "/a?x=[1]|{}",
        "/x/../container",
        "/%63ontainer",
    ] {
        let answer = proxy
            .ask(format!(
                "GET {target} HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n"
            ))
            .await;
        assert_eq!(
            answer.text().lines().next(),
            Some(&*format!("GET {target}")),
            "{answer:?}"
        );
    }
    let answer = proxy
        .ask("GET http://web.shop.localhost/a?b HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n")
        .await;
    assert!(answer.text().starts_with("GET /a?b\n"), "{answer:?}");
    let answer = proxy
        .ask("OPTIONS * HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n")
        .await;
    assert!(answer.text().starts_with("OPTIONS *\n"), "{answer:?}");
}

#[tokio::test]
async fn an_upstream_learns_who_asked_and_nothing_of_the_connection() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let answer = proxy
        .ask(
            "GET / HTTP/1.1\r\nHost: web.shop.localhost:8080\r\nConnection: keep-alive, X-Gone\r\n\
             X-Gone: 1\r\nKeep-Alive: 5\r\nProxy-Authorization: x\r\nTE: trailers\r\n\
             Cookie: a=1\r\nX-Forwarded-For: 6.6.6.6\r\nX_Real_IP: 6.6.6.6\r\n\
             X-Request-Id: mine-1\r\n\r\n",
        )
        .await;
    assert_eq!(
        answer.text(),
        "GET /\n\
         connection: te\n\
         cookie: a=1\n\
         forwarded: for=127.0.0.1;host=\"web.shop.localhost:8080\";proto=http\n\
         host: web.shop.localhost:8080\n\
         te: trailers\n\
         via: 1.1 cosmos\n\
         x-cosmos-hops: 1\n\
         x-forwarded-for: 127.0.0.1\n\
         x-forwarded-host: web.shop.localhost:8080\n\
         x-forwarded-port: 8080\n\
         x-forwarded-proto: http\n\
         x-real-ip: 127.0.0.1\n\
         x-request-id: mine-1\n"
    );
}

#[tokio::test]
async fn both_connections_are_kept() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = proxy.connect().await;
    for _ in 0..5 {
        client.send(GET).await;
        assert_eq!(client.answer().await.header("x-connection"), Some("1"));
    }
    client
        .send("POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 4\r\n\r\nbody")
        .await;
    let answer = client.answer().await;
    assert!(answer.text().ends_with("\nbody"), "{answer:?}");
    assert_eq!(answer.header("x-connection"), Some("1"));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = proxy.connect().await;
    client
        .send(format!("{GET}{}", GET.replace("GET /", "GET /second")))
        .await;
    assert!(client.answer().await.text().starts_with("GET /\n"));
    assert!(client.answer().await.text().starts_with("GET /second\n"));
}

#[tokio::test]
async fn a_restarted_container_gets_no_old_connection() {
    let mirror = mirror().await;
    let proxy = Proxy::to(&[mirror]).await;
    assert_eq!(proxy.ask(GET).await.header("x-connection"), Some("1"));
    let mut restarted = upstream(mirror);
    restarted.key = UpstreamKey {
        started: restarted.key.started + Duration::from_secs(1),
        ..restarted.key
    };
    let rule = rule("web.shop.localhost", Leads::To(vec![restarted]));
    proxy.shared.set_routes(Arc::new(Routes::new([rule])));
    assert_eq!(proxy.ask(GET).await.header("x-connection"), Some("2"));
}

/// A server whose body comes from a channel.
async fn streaming() -> (std::net::SocketAddr, mpsc::Sender<Bytes>) {
    let (give, take) = mpsc::channel::<Bytes>(1);
    let take = Arc::new(tokio::sync::Mutex::new(take));
    let address = server(move |_, _| {
        let take = Arc::clone(&take);
        async move {
            let mut take = take.lock_owned().await;
            let stream = futures_util::stream::poll_fn(move |cx| {
                take.poll_recv(cx)
                    .map(|bytes| bytes.map(|bytes| Ok::<_, BodyError>(Frame::data(bytes))))
            });
            Response::new(BoxBody::new(StreamBody::new(stream)))
        }
    })
    .await;
    (address, give)
}

#[tokio::test]
async fn an_answer_is_passed_on_as_it_comes() {
    let (address, give) = streaming().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    // Each piece is only sent once the one before has arrived.
    assert_eq!(client.head().await.status, 200);
    for piece in ["one", "two", "three"] {
        give.send(Bytes::from(piece)).await.unwrap();
        assert_eq!(client.chunk().await.as_deref(), Some(piece.as_bytes()));
    }
    drop(give);
    assert_eq!(client.chunk().await, None);
}

#[tokio::test]
async fn a_request_is_passed_on_as_it_comes() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client
        .send("POST /up HTTP/1.1\r\nhost: web.shop.localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    let mut behind = accepted.recv().await.unwrap();
    assert!(
        behind
            .head_text()
            .await
            .contains("transfer-encoding: chunked\r\n")
    );
    for piece in ["one", "two", "three"] {
        client
            .send(format!("{:x}\r\n{piece}\r\n", piece.len()))
            .await;
        assert_eq!(behind.chunk().await.as_deref(), Some(piece.as_bytes()));
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(behind.chunk().await, None);
    behind.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);
}

#[tokio::test]
async fn a_cut_answer_is_seen_as_cut() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    behind
        .send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\none\r\n")
        .await;
    assert_eq!(client.head().await.status, 200);
    assert_eq!(client.chunk().await.as_deref(), Some(&b"one"[..]));
    drop(behind);
    assert!(client.is_closed().await);
    let lines = proxy.stop().await;
    assert!(lines[0]["cut"].is_string(), "{lines:?}");
}

#[tokio::test]
async fn nothing_listening_is_told_with_container_and_port() {
    let nobody = nobody().await;
    let proxy = Proxy::to(&[nobody]).await;
    let answer = proxy.ask(GET).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (502, "nothing_listens")
    );
    let said = format!("nothing listens on port {} in `shop-web-1`", nobody.port());
    assert!(answer.text().contains(&said), "{answer:?}");
}

#[tokio::test]
async fn a_replica_that_refuses_is_passed_over() {
    let proxy = Proxy::to(&[nobody().await, mirror().await, nobody().await]).await;
    for _ in 0..10 {
        let answer = proxy
            .ask("POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 2\r\n\r\nhi")
            .await;
        assert_eq!(answer.status, 200);
        assert!(answer.text().ends_with("\nhi"));
    }
}

#[tokio::test]
async fn a_kept_connection_that_died_is_replaced_for_a_get_only() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let serve_one = async |accepted: &mut mpsc::Receiver<_>| {
        let mut behind: super::harness::Client = accepted.recv().await.unwrap();
        behind.head_text().await;
        behind
            .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
            .await;
        behind
    };

    let (answer, mut behind) = tokio::join!(proxy.ask(GET), serve_one(&mut accepted));
    assert_eq!(answer.status, 200);
    // The kept connection takes the request and dies without a word.
    let die = async {
        behind.head_text().await;
        drop(behind);
        serve_one(&mut accepted).await
    };
    let (answer, mut behind) = tokio::join!(proxy.ask(GET), die);
    assert_eq!(answer.status, 200);

    let die = async {
        behind.head_text().await;
        drop(behind);
    };
    let post = "POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 0\r\n\r\n";
    let (answer, ()) = tokio::join!(proxy.ask(post), die);
    assert_eq!((answer.status, answer.code().as_str()), (502, "broken_off"));
    assert!(accepted.try_recv().is_err(), "a POST was sent twice");
}

#[tokio::test]
async fn nonsense_from_an_upstream_is_502() {
    for nonsense in ["SSH-2.0-OpenSSH\r\n", "HTTP/1.1 2x0 OK\r\n\r\n", ""] {
        let (address, mut accepted) = raw_server().await;
        let proxy = Proxy::to(&[address]).await;
        let behind = async {
            let mut behind = accepted.recv().await.unwrap();
            behind.head_text().await;
            behind.send(nonsense).await;
        };
        let (answer, ()) = tokio::join!(proxy.ask(GET), behind);
        assert_eq!(answer.status, 502, "{nonsense}: {answer:?}");
    }
}

#[tokio::test]
async fn an_upgrade_is_joined_after_a_101_and_closed_half_by_half() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nhost: web.shop.localhost\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\nearly",
        )
        .await;
    let mut behind = accepted.recv().await.unwrap();
    let head = behind.head_text().await;
    assert!(
        head.contains("\r\nconnection: upgrade\r\n") && head.contains("\r\nupgrade: websocket\r\n"),
        "{head}"
    );
    assert!(head.contains("sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n"));
    behind
        .send("HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\nhello")
        .await;
    let answer = client.head().await;
    assert_eq!(answer.status, 101);
    assert_eq!(answer.header("upgrade"), Some("websocket"));
    assert_eq!(answer.header("sec-websocket-accept"), Some("x"));
    assert_eq!(client.exactly(5).await, b"hello");
    assert_eq!(behind.exactly(5).await, b"early");
    // One half is closed, the other goes on.
    client.stream.shutdown().await.unwrap();
    assert!(behind.is_closed().await);
    behind.send("more").await;
    assert_eq!(client.exactly(4).await, b"more");
    drop(behind);
    assert!(client.is_closed().await);
    let lines = proxy.stop().await;
    assert_eq!(lines[0]["status"], 101);
    assert_eq!(
        (&lines[0]["bytes_in"], &lines[0]["bytes_out"]),
        (&5.into(), &9.into())
    );
}

#[tokio::test]
async fn an_upgrade_that_is_refused_is_relayed() {
    let proxy = Proxy::to(&[server(|_, _| async {
        Response::builder()
            .status(426)
            .header("sec-websocket-version", "13")
            .body(full("no"))
            .unwrap()
    })
    .await])
    .await;
    let mut client = proxy.connect().await;
    for _ in 0..2 {
        client
            .send("GET / HTTP/1.1\r\nhost: web.shop.localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n")
            .await;
        let answer = client.answer().await;
        assert_eq!((answer.status, answer.text().as_str()), (426, "no"));
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
}

#[tokio::test]
async fn an_unasked_101_and_h2c_switch_nothing() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let behind = async {
        let mut behind = accepted.recv().await.unwrap();
        let head = behind.head_text().await;
        assert!(!head.contains("upgrade"), "{head}");
        behind
            .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
            .await;
        behind
    };
    let asked = proxy.ask(
        "GET / HTTP/1.1\r\nhost: web.shop.localhost\r\nconnection: upgrade, http2-settings\r\n\
         upgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n",
    );
    let (answer, _behind) = tokio::join!(asked, behind);
    assert_eq!(answer.status, 502);
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let host = "host: web.shop.localhost\r\n";
    let many: String = (0..101)
        .map(|number| format!("x-{number}: 1\r\n"))
        .collect();
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n".to_owned(), 400),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n".to_owned(), 400),
        (
            "GET / HTTP/1.1\r\nhost : web.shop.localhost\r\n\r\n".to_owned(),
            400,
        ),
        (format!("GET / HTTP/1.1\r\n{host} folded: 1\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}bad name: 1\r\n\r\n"), 400),
        (format!("GET / HTTP/1.1\r\n{host}x: a\0b\r\n\r\n"), 400),
        (
            "CONNECT web.shop.localhost:80 HTTP/1.1\r\nhost: web.shop.localhost:80\r\n\r\n"
                .to_owned(),
            405,
        ),
        (format!("TRACE / HTTP/1.1\r\n{host}\r\n"), 405),
        (
            format!("GET / HTTP/1.1\r\n{host}connection: cookie\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            501,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: gzip\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.0\r\n{host}transfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}content-length: 1\r\ncontent-length: 2\r\n\r\nab"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}content-length: +1\r\n\r\na"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}content-length: -1\r\n\r\na"),
            400,
        ),
        (
            format!("POST / HTTP/1.1\r\n{host}transfer-encoding: chunked\r\n\r\nxyz\r\n"),
            400,
        ),
        (format!("GET / HTTP/1.1\r\n{host}{many}\r\n"), 431),
        (
            format!(
                "GET / HTTP/1.1\r\n{host}x: {}\r\n\r\n",
                "x".repeat(65 * 1024)
            ),
            431,
        ),
        ("GARBAGE\r\n\r\n".to_owned(), 400),
        (format!("GET / HTTP/9.9\r\n{host}\r\n"), 400),
    ] {
        let answer = proxy.ask(&request).await;
        let shown: String = request.chars().take(120).collect();
        assert_eq!(answer.status, status, "{shown:?} {answer:?}");
    }
}

#[tokio::test]
async fn a_length_beside_chunks_is_dropped_and_the_connection_closed() {
    let proxy = Proxy::to(&[mirror().await]).await;
    for lengths in [
        "content-length: 3\r\ntransfer-encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nCONTENT-LENGTH: 3\r\n",
    ] {
        let mut client = proxy.connect().await;
        client
            .send(format!("POST / HTTP/1.1\r\nhost: web.shop.localhost\r\n{lengths}\r\n2\r\nhi\r\n0\r\n\r\n{GET}"))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200);
        assert!(
            !answer.text().contains("content-length") && answer.text().ends_with("\nhi"),
            "{answer:?}"
        );
        assert_eq!(answer.header("connection"), Some("close"));
        assert!(client.is_closed().await);
    }
    // Without the length the connection is kept.
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    client.send("2\r\nhi\r\n0\r\n\r\n").await;
    assert_eq!(client.answer().await.header("connection"), None);
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn a_request_that_goes_round_is_stopped() {
    let proxy = Proxy::to(&[]).await;
    // The route leads to the proxy itself.
    proxy.lead_to(&[proxy.address]);
    let answer = proxy.ask(GET).await;
    assert_eq!((answer.status, answer.code().as_str()), (508, "loop"));
    assert_eq!(proxy.shared.refusals()["loop"], 1);
    assert_eq!(proxy.stop().await.len(), 6);
}

#[tokio::test]
async fn an_unknown_host_is_told_what_there_is() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let answer = proxy
        .ask("GET / HTTP/1.1\r\nhost: nope.localhost\r\n\r\n")
        .await;
    assert_eq!((answer.status, answer.code().as_str()), (404, "no_route"));
    assert!(
        answer.text().contains("http://web.shop.localhost:8080"),
        "{answer:?}"
    );
    assert!(answer.text().contains("cosmos up"));
    let page = proxy
        .ask("GET /a HTTP/1.1\r\nhost: nope.localhost\r\naccept: text/html\r\n\r\n")
        .await;
    assert_eq!(
        page.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert!(
        page.text()
            .contains("<a href=\"http://web.shop.localhost:8080\">"),
        "{page:?}"
    );
}

#[tokio::test]
async fn a_service_that_is_not_ready_is_503_with_its_state() {
    let proxy = proxy().await;
    let state = "held stopped by `cosmos stop web`".to_owned();
    let rule = rule(
        "web.shop.localhost",
        Leads::Nowhere {
            state: state.clone(),
            outlook: Outlook::Down,
            container: Some("web-1".to_owned()),
        },
    );
    proxy.shared.set_routes(Arc::new(Routes::new([rule])));
    let answer = proxy.ask(GET).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
    assert!(answer.header("retry-after").is_some() && answer.text().contains(&state));

    // And with what it said last, once somebody can read that.
    proxy.shared.read_output_by(Arc::new(|container| {
        Box::pin(async move { format!("{container}: <no> such table\n").into_bytes() })
    }));
    let answer: serde_json::Value = serde_json::from_slice(&proxy.ask(GET).await.body).unwrap();
    assert_eq!(
        answer["error"]["output"],
        serde_json::json!(["web-1: <no> such table"])
    );
    let page = proxy.ask(BROWSE).await.text();
    assert!(
        page.contains("<pre>web-1: &lt;no&gt; such table\n</pre>"),
        "{page}"
    );
}

#[tokio::test]
async fn an_outside_route_has_the_outsides_host_and_prefix() {
    let mirror = mirror().await;
    let mut upstream = upstream(mirror);
    upstream.key.address = Address::Name("127.0.0.1".to_owned(), mirror.port());
    let proxy = proxy().await;
    let leads = Leads::Outside {
        upstream,
        authority: format!("127.0.0.1:{}", mirror.port()),
        prefix: "/v1".to_owned(),
    };
    proxy
        .shared
        .set_routes(Arc::new(Routes::new([rule("llm.shop.localhost", leads)])));
    let answer = proxy
        .ask("GET /chat?x HTTP/1.1\r\nhost: llm.shop.localhost\r\n\r\n")
        .await;
    assert!(answer.text().starts_with("GET /v1/chat?x\n"), "{answer:?}");
    assert!(
        answer
            .text()
            .contains(&format!("\nhost: 127.0.0.1:{}\n", mirror.port()))
    );
    assert!(
        answer
            .text()
            .contains("\nx-forwarded-host: llm.shop.localhost\n")
    );
}

#[tokio::test]
async fn a_head_that_never_ends_is_closed_and_an_idle_connection_is_not() {
    let proxy = proxy_with(Limits {
        head: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[mirror().await]);
    let mut kept = proxy.connect().await;
    kept.send(GET).await;
    assert_eq!(kept.answer().await.status, 200);

    let mut slow = proxy.connect().await;
    slow.send("GET / HTTP/1.1\r\nho").await;
    assert!(slow.is_closed().await);
    let mut silent = proxy.connect().await;
    assert!(silent.is_closed().await);
    // Both took at least as long as the head may; the kept one was idle meanwhile.
    kept.send(GET).await;
    assert_eq!(kept.answer().await.status, 200);
    kept.send("GET / HTTP/1.1\r\nho").await;
    assert!(kept.is_closed().await);
}

#[tokio::test]
async fn an_idle_connection_is_closed_in_the_end() {
    let proxy = proxy_with(Limits {
        keep_alive: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[mirror().await]);
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 200);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn an_upstream_that_says_nothing_is_504() {
    let (address, mut accepted) = raw_server().await;
    let proxy = proxy_with(Limits {
        response_head: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[address]);
    let (answer, _behind) = tokio::join!(proxy.ask(GET), accepted.recv());
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "answer_timeout")
    );
}

#[tokio::test]
async fn events_and_switched_protocols_may_be_answered_late() {
    let (address, mut accepted) = raw_server().await;
    let proxy = proxy_with(Limits {
        response_head: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[address]);
    let mut late = Vec::new();
    for asked in [
        "accept: text/event-stream",
        "connection: upgrade\r\nupgrade: websocket",
    ] {
        let mut client = proxy.connect().await;
        client
            .send(format!(
                "GET / HTTP/1.1\r\nhost: web.shop.localhost\r\n{asked}\r\n\r\n"
            ))
            .await;
        let mut behind = accepted.recv().await.unwrap();
        behind.head_text().await;
        late.push((client, behind));
    }
    // The limit has passed once a plain request, begun later, is told so.
    let (answer, _behind) = tokio::join!(proxy.ask(GET), accepted.recv());
    assert_eq!(answer.status, 504);
    for (mut client, mut behind) in late {
        behind
            .send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.status, 200);
    }
}

#[tokio::test]
async fn an_upstream_that_takes_no_connection_is_504() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    // Nobody accepts: once its queue is full, one more is not answered.
    let mut queue = Vec::new();
    let one_more = || tokio::net::TcpStream::connect(address);
    let within = Duration::from_millis(50);
    while let Ok(stream) = tokio::time::timeout(within, one_more()).await {
        queue.push(stream.unwrap());
    }
    let proxy = proxy_with(Limits {
        connect: within,
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[address]);
    let answer = proxy.ask(GET).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (504, "connect_timeout")
    );
}

#[tokio::test]
async fn the_less_loaded_of_two_replicas_is_taken() {
    let (busy, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[busy]).await;
    let mut waiting = proxy.connect().await;
    waiting.send(GET).await;
    let _behind = accepted.recv().await.unwrap();
    proxy.lead_to(&[busy, mirror().await]);
    for _ in 0..20 {
        assert_eq!(proxy.ask(GET).await.status, 200);
    }
    assert!(accepted.try_recv().is_err());
}

#[tokio::test]
async fn a_request_whose_body_stops_coming_is_408() {
    let (address, mut accepted) = raw_server().await;
    let proxy = proxy_with(Limits {
        body_silence: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[address]);
    let asked =
        proxy.ask("POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 9\r\n\r\nhalf");
    let (answer, _behind) = tokio::join!(asked, accepted.recv());
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (408, "body_timeout")
    );
}

#[tokio::test]
async fn a_silent_body_is_cut_but_not_a_stream_of_events() {
    let (address, mut accepted) = raw_server().await;
    let proxy = proxy_with(Limits {
        body_silence: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[address]);
    let answer = |kind: &'static str| {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n"
        )
    };
    let mut events = proxy.connect().await;
    events.send(GET).await;
    let mut behind_events = accepted.recv().await.unwrap();
    behind_events
        .send(answer("text/event-stream; charset=utf-8"))
        .await;
    assert_eq!(events.head().await.status, 200);
    assert!(events.chunk().await.is_some());

    let mut silent = proxy.connect().await;
    silent.send(GET).await;
    let mut behind = accepted.recv().await.unwrap();
    behind.send(answer("text/plain")).await;
    assert_eq!(silent.head().await.status, 200);
    assert!(silent.chunk().await.is_some());
    assert!(silent.is_closed().await);

    behind_events.send("2\r\nho\r\n").await;
    assert_eq!(events.chunk().await.as_deref(), Some(&b"ho"[..]));
}

#[tokio::test]
async fn at_the_cap_the_longest_idle_connection_goes() {
    let proxy = proxy_with(Limits {
        connections: 2,
        ..Limits::default()
    })
    .await;
    let (address, give) = streaming().await;
    proxy.lead_to(&[address]);
    let mut busy = proxy.connect().await;
    busy.send(GET).await;
    assert_eq!(busy.head().await.status, 200);
    let mut idle = proxy.connect().await;
    idle.send("GET / HTTP/1.1\r\nhost: nope.localhost\r\n\r\n")
        .await;
    assert_eq!(idle.answer().await.status, 404);

    let mut new = proxy.connect().await;
    new.send("GET / HTTP/1.1\r\nhost: nope.localhost\r\n\r\n")
        .await;
    assert_eq!(new.answer().await.status, 404);
    assert!(idle.is_closed().await);
    give.send(Bytes::from("still here")).await.unwrap();
    assert_eq!(busy.chunk().await.as_deref(), Some(&b"still here"[..]));
}

#[tokio::test]
async fn with_nobody_idle_a_new_connection_is_turned_away() {
    let proxy = proxy_with(Limits {
        connections: 1,
        ..Limits::default()
    })
    .await;
    let (address, _give) = streaming().await;
    proxy.lead_to(&[address]);
    let mut busy = proxy.connect().await;
    busy.send(GET).await;
    assert_eq!(busy.head().await.status, 200);
    let mut late = proxy.connect().await;
    let answer = late.answer().await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "too_many_connections")
    );
}

#[tokio::test]
async fn what_is_under_way_is_finished_when_the_proxy_stops() {
    let (address, give) = streaming().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(client.head().await.status, 200);
    let mut idle = proxy.connect().await;
    idle.send("GET / HTTP/1.1\r\nhost: nope.localhost\r\n\r\n")
        .await;
    assert_eq!(idle.answer().await.status, 404);

    let stopped = tokio::spawn(proxy.stop());
    assert!(idle.is_closed().await);
    give.send(Bytes::from("last")).await.unwrap();
    drop(give);
    assert_eq!(client.chunk().await.as_deref(), Some(&b"last"[..]));
    assert_eq!(client.chunk().await, None);
    assert_eq!(stopped.await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_request_is_logged_when_its_last_byte_has_passed() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let answer = proxy
        .ask("POST /a?sig=1&b=2 HTTP/1.1\r\nhost: web.shop.localhost:8080\r\ncontent-length: 4\r\nx-request-id: r-1\r\n\r\nbody")
        .await;
    let lines = proxy.stop().await;
    let line = &lines[0];
    assert_eq!(line["id"], "r-1");
    assert_eq!(line["path"], "/a?sig=[redacted]&b=2");
    assert_eq!(line["host"], "web.shop.localhost:8080");
    assert_eq!(
        (&line["workspace"], &line["service"]),
        (&"shop".into(), &"web".into())
    );
    assert_eq!(line["container"], "shop-web-1");
    assert_eq!(line["generation"], "made-1");
    assert_eq!(
        (&line["status"], &line["bytes_in"]),
        (&200.into(), &4.into())
    );
    assert_eq!(line["bytes_out"], answer.body.len());
    assert!(
        line["connect_ms"].is_f64() && line["first_byte_ms"].is_f64() && line["total_ms"].is_f64()
    );
    assert!(line.get("cut").is_none());
}

#[tokio::test]
async fn a_large_body_passes_both_ways_whole() {
    let echo = server(|request, _| async {
        Response::new(request.into_body().map_err(BodyError::from).boxed_unsync())
    })
    .await;
    let proxy = Proxy::to(&[echo]).await;
    let size = 8 * 1024 * 1024;
    let client = proxy.connect().await;
    let (mut read, mut write) = client.stream.into_split();
    let sent = tokio::spawn(async move {
        let head = format!(
            "PUT / HTTP/1.1\r\nhost: web.shop.localhost\r\nconnection: close\r\ncontent-length: {size}\r\n\r\n"
        );
        write.write_all(head.as_bytes()).await.unwrap();
        write.write_all(&vec![b'x'; size]).await.unwrap();
        write
    });
    let mut got = Vec::new();
    read.read_to_end(&mut got).await.unwrap();
    assert!(got.iter().filter(|byte| **byte == b'x').count() >= size);
    drop(sent.await.unwrap());
}

#[tokio::test]
async fn a_head_answer_has_a_length_and_no_body() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = proxy.connect().await;
    client
        .send("HEAD / HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n")
        .await;
    let answer = client.head().await;
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-length")
            .is_some_and(|length| length != "0"),
        "{answer:?}"
    );
    client.send(GET).await;
    assert_eq!(client.answer().await.status, 200);
}

#[tokio::test]
async fn an_old_client_is_served_and_closed() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = proxy.connect().await;
    client
        .send("GET / HTTP/1.0\r\nhost: web.shop.localhost\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert!(answer.text().starts_with("GET /\n"), "{answer:?}");
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn a_client_that_leaves_ends_what_is_done_for_it() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    for begun in [false, true] {
        let mut client = proxy.connect().await;
        client.send(GET).await;
        let mut behind = accepted.recv().await.unwrap();
        behind.head_text().await;
        if begun {
            behind
                .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
                .await;
            assert_eq!(client.head().await.status, 200);
        }
        drop(client);
        assert!(behind.is_closed().await, "begun: {begun}");
    }
    let lines = proxy.stop().await;
    assert_eq!(lines[0]["status"], 499);
    assert_eq!(
        (&lines[1]["status"], &lines[1]["cut"]),
        (&200.into(), &"the client left".into())
    );
}

#[tokio::test]
async fn a_short_answer_is_seen_as_cut() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    behind
        .send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\none")
        .await;
    assert_eq!(client.head().await.header("content-length"), Some("9"));
    assert_eq!(client.exactly(3).await, b"one");
    drop(behind);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client
        .send(
            "POST / HTTP/1.1\r\nhost: web.shop.localhost\r\nte: trailers\r\ntrailer: x-sum\r\n\
             transfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n",
        )
        .await;
    let mut behind = accepted.recv().await.unwrap();
    let request = behind
        .until(b"\r\n\r\n2\r\nhi\r\n0\r\nx-sum: 1\r\n\r\n")
        .await;
    assert!(
        String::from_utf8(request)
            .unwrap()
            .contains("trailer: x-sum\r\n")
    );
    behind
        .send(
            "HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n\
             2\r\nho\r\n0\r\nx-sum: 2\r\n\r\n",
        )
        .await;
    client
        .until(b"\r\n\r\n2\r\nho\r\n0\r\nx-sum: 2\r\n\r\n")
        .await;
}

const ASKING: &str = "POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 4\r\nexpect: 100-continue\r\n\r\n";

#[tokio::test]
async fn a_client_that_asks_first_is_told_what_the_upstream_says() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client.send(ASKING).await;
    let mut behind = accepted.recv().await.unwrap();
    assert!(
        behind
            .head_text()
            .await
            .contains("expect: 100-continue\r\n")
    );
    behind.send("HTTP/1.1 100 Continue\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.send("body").await;
    assert_eq!(behind.exactly(4).await, b"body");
    behind.send("HTTP/1.1 204 No Content\r\n\r\n").await;
    assert_eq!(client.answer().await.status, 204);

    let mut client = proxy.connect().await;
    client.send(ASKING).await;
    behind.head_text().await;
    behind
        .send("HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno")
        .await;
    // No 100 before it: the body was never wanted.
    assert_eq!(client.answer().await.status, 403);
}

#[tokio::test]
async fn an_early_answer_is_read_by_a_client_that_still_sends() {
    let proxy = proxy().await;
    for host in ["nope.localhost", "two hosts"] {
        let mut client = proxy.connect().await;
        let head = format!("POST / HTTP/1.1\r\nhost: {host}\r\ncontent-length: 200000\r\n\r\n");
        client.send(head).await;
        client.send(vec![b'x'; 200_000]).await;
        assert!([400, 404].contains(&client.answer().await.status));
    }
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_frees_nothing_too_early() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client
        .send("POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 9\r\n\r\nhalf")
        .await;
    let mut behind = accepted.recv().await.unwrap();
    behind.until(b"half").await;
    behind
        .send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        .await;
    assert_eq!(client.answer().await.text(), "ok");
    // The connection that still waits for five bytes is not used for another.
    let other = async {
        let mut behind = accepted.recv().await.unwrap();
        behind.head_text().await;
        behind
            .send("HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nnew")
            .await;
        behind
    };
    let (answer, _behind) = tokio::join!(proxy.ask(GET), other);
    assert_eq!(answer.text(), "new");
}

#[tokio::test]
async fn a_change_of_routes_cuts_no_stream() {
    let (address, mut accepted) = raw_server().await;
    let (stream, give) = streaming().await;
    let proxy = Proxy::to(&[stream]).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(client.head().await.status, 200);

    proxy.lead_to(&[address]);
    let mut socket = proxy.connect().await;
    socket
        .send("GET / HTTP/1.1\r\nhost: web.shop.localhost\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        .await;
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    behind
        .send("HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
        .await;
    assert_eq!(socket.head().await.status, 101);
    for _ in 0..100 {
        proxy.shared.set_routes(Arc::new(Routes::default()));
    }

    give.send(Bytes::from("still")).await.unwrap();
    assert_eq!(client.chunk().await.as_deref(), Some(&b"still"[..]));
    socket.send("here").await;
    assert_eq!(behind.exactly(4).await, b"here");
    assert_eq!(proxy.ask(GET).await.status, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_swap_under_load_fails_no_request_and_doubles_none() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let served = Arc::new(AtomicU32::new(0));
    let mut servers = Vec::new();
    for _ in 0..2 {
        let served = Arc::clone(&served);
        servers.push(
            server(move |_, _| {
                served.fetch_add(1, Ordering::Relaxed);
                async { Response::new(full("ok")) }
            })
            .await,
        );
    }
    let proxy = Proxy::to(&servers[..1]).await;
    let load = async {
        let mut clients = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let mut client = proxy.connect().await;
            clients.spawn(async move {
                for _ in 0..200 {
                    client
                        .send("POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 2\r\n\r\nhi")
                        .await;
                    assert_eq!(client.answer().await.status, 200);
                }
            });
        }
        clients.join_all().await;
    };
    let swaps = async {
        for turn in 0..200 {
            proxy.lead_to(&servers[turn % 2..=turn % 2]);
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(load, swaps);
    assert_eq!(served.load(Ordering::Relaxed), 1600);
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_let_go() {
    let proxy = proxy_with(Limits {
        body_silence: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let (address, mut accepted) = raw_server().await;
    proxy.lead_to(&[address]);
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    behind
        .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n")
        .await;
    // More than all the buffers between us: it only ends if the proxy gives up.
    let endless = async {
        let piece = vec![b'x'; 64 * 1024];
        while behind.stream.write_all(&piece).await.is_ok() {}
    };
    tokio::time::timeout(super::harness::PATIENCE, endless)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_reason_phrase_is_the_upstreams() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let behind = async {
        let mut behind = accepted.recv().await.unwrap();
        behind.head_text().await;
        behind
            .send("HTTP/1.1 418 Short And Stout\r\ncontent-length: 0\r\n\r\n")
            .await;
    };
    let (answer, ()) = tokio::join!(proxy.ask(GET), behind);
    assert!(
        answer.head.starts_with("HTTP/1.1 418 Short And Stout\r\n"),
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_connection_that_rests_between_requests_is_served_on() {
    let proxy = proxy_with(Limits {
        rest: Duration::ZERO,
        ..Limits::default()
    })
    .await;
    proxy.lead_to(&[mirror().await]);
    let mut client = proxy.connect().await;
    for number in 0..20 {
        let path = format!("/{number}");
        let (first, second) = (GET.replacen("/ ", &format!("{path} "), 1), GET);
        // Whole, in two parts, and two at once.
        match number % 3 {
            0 => client.send(&first).await,
            1 => {
                client.send(&first[..9]).await;
                tokio::task::yield_now().await;
                client.send(&first[9..]).await;
            }
            _ => client.send(format!("{first}{second}")).await,
        }
        let answer = client.answer().await;
        assert!(
            answer.text().starts_with(&format!("GET {path}\n")),
            "{answer:?}"
        );
        if number % 3 == 2 {
            assert!(client.answer().await.text().starts_with("GET /\n"));
        }
    }
}

#[tokio::test]
async fn no_answer_is_cut_by_a_rest_though_its_client_takes_it_slowly() {
    const LARGE: usize = 16 << 20;
    let proxy = proxy_with(Limits {
        rest: Duration::ZERO,
        ..Limits::default()
    })
    .await;
    let (address, mut accepted) = raw_server().await;
    proxy.lead_to(&[address]);
    let mut client = proxy.connect().await;
    client.send(GET).await;
    let mut upstream = accepted.recv().await.unwrap();
    upstream.until(b"\r\n\r\n").await;
    let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {LARGE}\r\n\r\n");
    upstream.send(head).await;
    // Once all of it has left the upstream, the rest is with the proxy.
    let sent = tokio::spawn(async move {
        upstream.send(vec![b'x'; LARGE]).await;
        upstream
    });
    client.until(b"\r\n\r\n").await;
    let body = client.exactly(LARGE).await;
    assert!(body.iter().all(|byte| *byte == b'x'));
    drop(sent.await.unwrap());
    // And it goes on.
    client
        .send("GET / HTTP/1.1\r\nhost: nope.localhost\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 404);
}
