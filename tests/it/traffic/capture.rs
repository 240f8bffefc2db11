//! What the inspector sees of what passes, and what it never does.

use std::{sync::Arc, time::Duration};

use cosmos::{
    traffic::{
        Edits, Filter, ReplayError, Routes,
        exchange::{Content, Exchange, FrameKind, Side, State},
        routes::{Leads, Rule, Target},
    },
    workspace::CaptureMode,
};
use http_body_util::BodyExt as _;
use hyper::Response;

use super::harness::{Client, PATIENCE, Proxy, full, mirror, raw_server, server, target, upstream};

/// Waits until an exchange is so.
async fn seen(proxy: &Proxy, is_so: impl Fn(&Exchange) -> bool) -> Arc<Exchange> {
    let exchanges = proxy.shared.exchanges();
    let mut changes = exchanges.changes();
    let look = async {
        loop {
            let newest = exchanges.newest(&Filter::default(), usize::MAX);
            if let Some(found) = newest.into_iter().find(|exchange| is_so(exchange)) {
                return found;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(PATIENCE, look)
        .await
        .expect("no such exchange was seen")
}

async fn ended(proxy: &Proxy) -> Arc<Exchange> {
    seen(proxy, |exchange| exchange.summary.state == State::Done).await
}

fn text(content: &Content) -> &str {
    match content {
        Content::Text(text) => text,
        other => panic!("{other:?}"),
    }
}

fn response_text(exchange: &Exchange) -> &str {
    let response = exchange.response.as_ref().unwrap();
    text(&response.body.as_ref().unwrap().content)
}

/// A proxy that leads `web.shop.localhost` to a server, and captures so.
async fn capturing(mode: CaptureMode, address: std::net::SocketAddr) -> Proxy {
    let proxy = Proxy::to(&[address]).await;
    let web = target("web", Leads::To(vec![upstream(address)]));
    proxy.shared.set_routes(Arc::new(Routes::new([Rule {
        host: Some("web.shop.localhost".to_owned()),
        path: None,
        target: Arc::new(Target {
            capture: mode,
            ..Target::clone(&web)
        }),
    }])));
    proxy
}

#[tokio::test]
async fn an_exchange_is_what_passed_with_where_it_went() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let answer = proxy
        .ask(
            "POST /v1/x?page=2 HTTP/1.1\r\nHost: web.shop.localhost:8080\r\nX-Request-Id: id-1\r\n\
             Content-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"a\":\"b\"}\r\n",
        )
        .await;
    let exchange = ended(&proxy).await;
    let summary = &exchange.summary;
    assert_eq!(
        (summary.method.as_str(), summary.path.as_str()),
        ("POST", "/v1/x?page=2")
    );
    assert_eq!(
        (summary.host.as_str(), summary.id.as_str()),
        ("web.shop.localhost:8080", "id-1")
    );
    assert_eq!(summary.status, Some(200));
    assert_eq!(summary.service.as_deref(), Some("web"));
    assert_eq!(summary.container.as_deref(), Some("shop-web-1"));
    assert_eq!(summary.generation.as_deref(), Some("made-1"));
    assert_eq!(
        (summary.bytes_in, summary.bytes_out),
        (11, answer.body.len() as u64)
    );
    assert!(summary.first_byte_ms.unwrap() <= summary.total_ms.unwrap());
    let body = exchange.request.body.as_ref().unwrap();
    assert_eq!(text(&body.content), "{\"a\":\"b\"}\r\n");
    assert!(body.complete && !body.truncated);
    assert_eq!(response_text(&exchange), answer.text());
    let headers = &exchange.request.headers;
    assert!(headers.contains(&("content-type".to_owned(), "application/json".to_owned())));
    assert!(
        !headers
            .iter()
            .any(|(name, _)| name.starts_with("x-forwarded")),
        "the request is shown as it came: {headers:?}"
    );
}

#[tokio::test]
async fn what_cosmos_answers_itself_is_seen_with_its_reason() {
    let proxy = Proxy::to(&[mirror().await]).await;
    proxy
        .ask("GET /x HTTP/1.1\r\nHost: nobody.localhost\r\n\r\n")
        .await;
    let exchange = ended(&proxy).await;
    assert_eq!(exchange.summary.status, Some(404));
    assert_eq!(exchange.summary.code.as_deref(), Some("no_route"));
    assert!(response_text(&exchange).contains("nobody.localhost"));
}

#[tokio::test]
async fn events_are_seen_while_they_flow() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let mut client = proxy.connect().await;
    client
        .send(
            "GET /events HTTP/1.1\r\nHost: web.shop.localhost\r\nAccept: text/event-stream\r\n\r\n",
        )
        .await;
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    seen(&proxy, |exchange| exchange.summary.status.is_none()).await;
    behind
        .send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for count in 1..=3 {
        behind
            .send(format!("c\r\ndata: n{count:04}\n\r\n1\r\n\n\r\n"))
            .await;
        let exchange = seen(&proxy, |exchange| exchange.summary.events == Some(count)).await;
        assert_eq!(exchange.summary.state, State::Open);
        assert!(response_text(&exchange).ends_with(&format!("data: n{count:04}\n\n")));
    }
    behind.send("0\r\n\r\n").await;
    assert!(
        ended(&proxy)
            .await
            .response
            .as_ref()
            .unwrap()
            .body
            .as_ref()
            .unwrap()
            .complete
    );
}

#[tokio::test]
async fn of_a_long_body_the_beginning_is_kept_and_its_length() {
    let long = 200_000;
    let address = server(move |request, _| async move {
        let read = request.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(read.len(), long);
        Response::new(full("y ".repeat(long / 2)))
    })
    .await;
    let proxy = Proxy::to(&[address]).await;
    let body = "x ".repeat(long / 2);
    proxy
        .ask(format!(
            "POST / HTTP/1.1\r\nHost: web.shop.localhost\r\nContent-Length: {long}\r\n\r\n{body}"
        ))
        .await;
    let exchange = ended(&proxy).await;
    let request = exchange.request.body.as_ref().unwrap();
    let response = exchange.response.as_ref().unwrap().body.as_ref().unwrap();
    for kept in [request, response] {
        assert_eq!(
            (kept.bytes, kept.truncated, kept.complete),
            (200_000, true, true)
        );
        assert_eq!(text(&kept.content).len(), 64 * 1024);
    }
    let error = proxy
        .shared
        .replay(exchange.summary.number, Edits::default())
        .await;
    assert!(matches!(error, Err(ReplayError::Unknown(why)) if why.contains("longer")));
}

/// A frame of text, masked as a client's, or not.
fn frame(text: &str, mask: Option<[u8; 4]>) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![0x81, bit | u8::try_from(text.len()).unwrap()];
    frame.extend(mask.into_iter().flatten());
    let mask = mask.unwrap_or_default();
    frame.extend(
        text.bytes()
            .enumerate()
            .map(|(place, byte)| byte ^ mask[place % 4]),
    );
    frame
}

async fn websocket(
    proxy: &Proxy,
    accepted: &mut tokio::sync::mpsc::Receiver<Client>,
) -> (Client, Client) {
    let mut client = proxy.connect().await;
    client
        .send(
            "GET /ws HTTP/1.1\r\nHost: web.shop.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n",
        )
        .await;
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    behind
        .send(
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )
        .await;
    assert_eq!(client.head().await.status, 101);
    (client, behind)
}

#[tokio::test]
async fn messages_of_a_websocket_are_counted_and_shown_without_secrets() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let (mut client, mut behind) = websocket(&proxy, &mut accepted).await;
    let sent = frame("{\"password\":\"c4nary-S3cret\"}", Some([1, 2, 3, 4]));
    // In pieces, as the network likes.
    for piece in sent.chunks(3) {
        client.send(piece).await;
    }
    behind.exactly(sent.len()).await;
    behind.send(frame("hello", None)).await;
    client.exactly(7).await;
    let exchange = seen(&proxy, |exchange| exchange.frames.len() == 2).await;
    let messages = exchange.summary.messages.unwrap();
    assert_eq!((messages.sent, messages.received), (1, 1));
    let [ours, theirs] = exchange.frames.as_slice() else {
        panic!("{:?}", exchange.frames);
    };
    assert_eq!(
        (ours.from, ours.kind, ours.bytes),
        (Side::Client, FrameKind::Text, 28)
    );
    assert!(
        ours.text
            .as_ref()
            .unwrap()
            .starts_with("{\"password\":\"[redacted 13 #")
    );
    assert_eq!(
        (theirs.from, theirs.text.as_deref()),
        (Side::Service, Some("hello"))
    );
}

#[tokio::test]
async fn a_route_says_that_nothing_is_captured_or_all() {
    let ask = "GET /?token=c4nary HTTP/1.1\r\nHost: web.shop.localhost\r\nAuthorization: Bearer c4nary\r\n\r\n";
    let off = capturing(CaptureMode::Off, mirror().await).await;
    off.ask(ask).await;
    // Another request, behind it, is seen: this one never will be.
    off.ask("GET / HTTP/1.1\r\nHost: other.localhost\r\n\r\n")
        .await;
    let exchange = ended(&off).await;
    assert_eq!(exchange.summary.host, "other.localhost");
    assert_eq!(
        off.shared.exchanges().newest(&Filter::default(), 9).len(),
        1
    );

    let all = capturing(CaptureMode::Unredacted, mirror().await).await;
    all.ask(ask).await;
    let exchange = ended(&all).await;
    assert!(exchange.summary.unredacted);
    assert_eq!(exchange.summary.path, "/?token=c4nary");
    assert!(
        exchange
            .request
            .headers
            .iter()
            .any(|(_, value)| value == "Bearer c4nary")
    );
}

#[tokio::test]
async fn a_request_is_sent_again_as_it_was_or_as_it_is_edited() {
    let proxy = Proxy::to(&[mirror().await]).await;
    proxy
        .ask(
            "POST /v1?a=1 HTTP/1.1\r\nHost: web.shop.localhost\r\nX-A: b\r\nAuthorization: Bearer c4nary\r\n\
             Content-Length: 5\r\n\r\nhello",
        )
        .await;
    let original = ended(&proxy).await.summary.number;
    let repeated = proxy
        .shared
        .replay(original, Edits::default())
        .await
        .unwrap();
    assert!(repeated > original);
    let done = |number| {
        move |exchange: &Exchange| {
            exchange.summary.number == number && exchange.summary.state == State::Done
        }
    };
    let exchange = seen(&proxy, done(repeated)).await;
    assert_eq!(exchange.summary.replay_of, Some(original));
    let said = response_text(&exchange);
    assert!(said.starts_with("POST /v1?a=1\n"), "{said}");
    assert!(
        said.contains("x-a: b\n") && said.ends_with("hello"),
        "{said}"
    );
    assert!(
        !said.contains("authorization"),
        "a mark was sent as a secret: {said}"
    );

    let edits = Edits {
        method: Some("PUT".to_owned()),
        path: Some("/v2".to_owned()),
        headers: Some(vec![("x-c".to_owned(), "d".to_owned())]),
        body: Some("other".to_owned()),
    };
    let edited = proxy.shared.replay(original, edits).await.unwrap();
    let exchange = seen(&proxy, done(edited)).await;
    let said = response_text(&exchange);
    assert!(
        said.starts_with("PUT /v2\n") && said.ends_with("other"),
        "{said}"
    );
    assert!(said.contains("x-c: d\n") && !said.contains("x-a"), "{said}");
}

#[tokio::test]
async fn what_is_repeated_is_no_order_to_cosmos() {
    let proxy = Proxy::to(&[mirror().await]).await;
    proxy
        .ask("POST /x HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 0\r\n\r\n")
        .await;
    let original = ended(&proxy).await.summary.number;
    let edits = Edits {
        path: Some("/container".to_owned()),
        headers: Some(vec![(
            "content-type".to_owned(),
            "application/json".to_owned(),
        )]),
        body: Some("{}".to_owned()),
        ..Edits::default()
    };
    // It is refused like any other, and not captured: it reached no route.
    let replayed = proxy.shared.replay(original, edits).await;
    assert_eq!(replayed, Err(ReplayError::Unseen));
    let refusals = proxy.shared.refusals();
    assert_eq!(refusals.get("misdirected"), Some(&1), "{refusals:?}");
}

#[tokio::test]
async fn more_than_anybody_looks_at_is_counted_and_passes_all_the_same() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let mut client = proxy.connect().await;
    let asked = 4000;
    for _ in 0..asked {
        client
            .send("GET / HTTP/1.1\r\nHost: web.shop.localhost\r\n\r\n")
            .await;
        assert_eq!(client.answer().await.status, 200);
    }
    let exchanges = proxy.shared.exchanges();
    let mut changes = exchanges.changes();
    let all = async {
        loop {
            let newest = exchanges.newest(&Filter::default(), 1);
            let last = newest.first().map_or(0, |exchange| exchange.summary.number);
            if last + exchanges.dropped() == asked {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(20), all)
        .await
        .expect("some were neither kept nor counted");
}
