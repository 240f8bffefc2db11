//! What becomes of connections when the routes change under them.

use std::{collections::HashMap, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use cosmos::traffic::{
    Limits, Routes,
    routes::{Leads, Rule},
};
use http_body_util::BodyExt as _;
use hyper::{Method, Response};
use tokio::sync::{Mutex, mpsc};

use super::harness::{
    Client, PATIENCE, Proxy, full, proxy, proxy_with, raw_server, rule, server, upstream,
};

const GOING_AWAY: [u8; 4] = [0x88, 2, 0x03, 0xe9];
const FOR_EVER: Duration = Duration::from_secs(3600);

async fn lingering(linger: Duration) -> Proxy {
    proxy_with(Limits {
        linger,
        ..Limits::default()
    })
    .await
}

/// Switches `web.shop.localhost` to another protocol: its two ends.
async fn switched(
    proxy: &Proxy,
    accepted: &mut mpsc::Receiver<Client>,
    protocol: &str,
) -> (Client, Client) {
    let mut client = proxy.connect().await;
    let switch = format!("connection: upgrade\r\nupgrade: {protocol}\r\n\r\n");
    client
        .send(format!(
            "GET /ws HTTP/1.1\r\nhost: web.shop.localhost\r\n{switch}"
        ))
        .await;
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    behind
        .send(format!("HTTP/1.1 101 Switching Protocols\r\n{switch}"))
        .await;
    assert_eq!(client.head().await.status, 101);
    (client, behind)
}

/// Reads a close frame as a client sends it: its code.
async fn masked_close(behind: &mut Client) -> u16 {
    let frame = behind.exactly(8).await;
    assert_eq!(frame[..2], [0x88, 0x82]);
    u16::from_be_bytes([frame[6] ^ frame[2], frame[7] ^ frame[3]])
}

#[tokio::test]
async fn a_websocket_whose_upstream_is_routed_no_more_gets_1001_on_both_sides() {
    let (address, mut accepted) = raw_server().await;
    let proxy = lingering(Duration::from_millis(20)).await;
    proxy.lead_to(&[address]);
    let (mut client, mut behind) = switched(&proxy, &mut accepted, "WebSocket").await;
    proxy.shared.set_routes(Arc::default());
    assert_eq!(client.exactly(4).await, GOING_AWAY);
    assert_eq!(masked_close(&mut behind).await, 1001);
    assert!(client.is_closed().await && behind.is_closed().await);
    drop((client, behind));
    let lines = proxy.stop().await;
    assert_eq!(lines[0]["cut"], "no route leads there any more");
}

#[tokio::test]
async fn a_close_frame_waits_for_the_end_of_the_frame_under_way() {
    let (address, mut accepted) = raw_server().await;
    let proxy = lingering(Duration::ZERO).await;
    proxy.lead_to(&[address]);
    let (mut client, mut behind) = switched(&proxy, &mut accepted, "websocket").await;
    behind.send(b"\x82\x7e\x01").await;
    assert_eq!(client.exactly(3).await, b"\x82\x7e\x01");
    proxy.shared.set_routes(Arc::default());
    // It has begun to say goodbye: the other side, between two frames, is told.
    assert_eq!(masked_close(&mut behind).await, 1001);
    behind
        .send([&[0x02][..], &[7; 258], b"\x81\x01x"].concat())
        .await;
    assert_eq!(client.exactly(1).await, [0x02]);
    assert_eq!(client.exactly(258).await, [7; 258]);
    assert_eq!(client.exactly(4).await, GOING_AWAY);
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn nothing_is_said_after_a_close_frame() {
    let (address, mut accepted) = raw_server().await;
    let proxy = lingering(Duration::ZERO).await;
    proxy.lead_to(&[address]);
    let (mut client, mut behind) = switched(&proxy, &mut accepted, "websocket").await;
    behind.send(b"\x88\x02\x03\xe8").await;
    assert_eq!(client.exactly(4).await, b"\x88\x02\x03\xe8");
    proxy.shared.set_routes(Arc::default());
    assert!(client.is_closed().await);
}

#[tokio::test]
async fn another_protocol_is_only_closed() {
    let (address, mut accepted) = raw_server().await;
    let proxy = lingering(Duration::from_millis(20)).await;
    proxy.lead_to(&[address]);
    let (mut client, mut behind) = switched(&proxy, &mut accepted, "mine").await;
    proxy.shared.set_routes(Arc::default());
    assert!(client.is_closed().await && behind.is_closed().await);
}

#[tokio::test]
async fn a_websocket_is_told_that_the_proxy_stops() {
    let (address, mut accepted) = raw_server().await;
    let proxy = Proxy::to(&[address]).await;
    let (mut client, mut behind) = switched(&proxy, &mut accepted, "websocket").await;
    let stopped = tokio::spawn(proxy.stop());
    assert_eq!(client.exactly(4).await, GOING_AWAY);
    assert_eq!(masked_close(&mut behind).await, 1001);
    assert!(client.is_closed().await && behind.is_closed().await);
    drop((client, behind));
    let lines = stopped.await.unwrap();
    assert_eq!(lines[0]["cut"], "the proxy stopped");
}

#[tokio::test]
async fn a_route_that_comes_back_in_time_ends_nothing() {
    let (stays, mut accepted) = raw_server().await;
    let proxy = lingering(Duration::from_millis(100)).await;
    proxy.lead_to(&[stays]);
    let (mut client, mut behind) = switched(&proxy, &mut accepted, "websocket").await;
    proxy.shared.set_routes(Arc::default());
    let (leaves, mut accepted) = raw_server().await;
    proxy.lead_to(&[leaves]);
    let (mut other, _behind) = switched(&proxy, &mut accepted, "websocket").await;
    proxy.lead_to(&[stays]);
    // By now the first one would have been ended, too.
    assert_eq!(other.exactly(4).await, GOING_AWAY);
    client.send("still").await;
    assert_eq!(behind.exactly(5).await, b"still");
}

#[tokio::test]
async fn a_stream_of_events_ends_with_its_route_but_not_the_answer_to_a_post() {
    let (address, mut accepted) = raw_server().await;
    let proxy = lingering(Duration::from_millis(20)).await;
    proxy.lead_to(&[address]);
    let mut ends = Vec::new();
    for method in ["POST", "GET"] {
        let mut client = proxy.connect().await;
        client
            .send(format!(
                "{method} / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 0\r\n\r\n"
            ))
            .await;
        let mut behind = accepted.recv().await.unwrap();
        behind.head_text().await;
        behind
            .send("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n")
            .await;
        assert_eq!(client.head().await.status, 200);
        assert!(client.chunk().await.is_some());
        ends.push((client, behind));
    }
    proxy.shared.set_routes(Arc::default());
    let (mut events, mut behind_events) = ends.pop().unwrap();
    assert_eq!(events.chunk().await, None);
    assert!(behind_events.is_closed().await);
    let (mut answer, mut behind_answer) = ends.pop().unwrap();
    behind_answer.send("2\r\nho\r\n0\r\n\r\n").await;
    assert_eq!(answer.chunk().await.as_deref(), Some(&b"ho"[..]));
    assert_eq!(answer.chunk().await, None);
}

#[tokio::test]
async fn a_container_is_only_left_once_its_websockets_were_told() {
    let (address, mut accepted) = raw_server().await;
    let id = upstream(address).key.id;
    for (linger, is_left) in [(FOR_EVER, false), (Duration::from_millis(20), true)] {
        let proxy = lingering(linger).await;
        proxy.lead_to(&[address]);
        let (client, behind) = switched(&proxy, &mut accepted, "websocket").await;
        let ends = tokio::spawn(async move {
            let mut ends = (client, behind);
            assert_eq!(ends.0.exactly(4).await, GOING_AWAY);
        });
        proxy.shared.set_routes(Arc::default());
        let patience = if is_left {
            PATIENCE
        } else {
            Duration::from_millis(100)
        };
        let left = proxy.shared.left(&id, FOR_EVER);
        let left = tokio::time::timeout(patience, left).await;
        assert_eq!(left.is_ok(), is_left);
        ends.abort();
    }
}

#[tokio::test]
async fn a_hundred_websockets_outlive_a_thousand_edits_of_other_routes() {
    let (address, mut accepted) = raw_server().await;
    let proxy = lingering(Duration::ZERO).await;
    proxy.lead_to(&[address]);
    let mut open = Vec::new();
    for _ in 0..100 {
        open.push(switched(&proxy, &mut accepted, "websocket").await);
    }
    for edit in 0..1000_u16 {
        let other = SocketAddr::from(([127, 0, 0, 2], edit));
        let rules = [
            rule("web.shop.localhost", Leads::To(vec![upstream(address)])),
            rule("api.shop.localhost", Leads::To(vec![upstream(other)])),
        ];
        let kept = if edit % 2 == 0 { 1 } else { 2 };
        let rules: Vec<Rule> = rules.into_iter().take(kept).collect();
        proxy.shared.set_routes(Arc::new(Routes::new(rules)));
        if edit % 50 == 0 {
            tokio::task::yield_now().await;
        }
    }
    for (client, behind) in &mut open {
        client.send(b"\x81\x82\0\0\0\0hi").await;
        assert_eq!(behind.exactly(8).await, b"\x81\x82\0\0\0\0hi");
        behind.send(b"\x81\x02ho").await;
        assert_eq!(client.exactly(4).await, b"\x81\x02ho");
    }
}

/// How often each request was served.
type Served = Arc<Mutex<HashMap<(Method, String), u32>>>;

async fn counting(served: &Served) -> SocketAddr {
    let served = Arc::clone(served);
    server(move |request, _| {
        let served = Arc::clone(&served);
        async move {
            let asked = (request.method().clone(), request.uri().path().to_owned());
            *served.lock().await.entry(asked).or_default() += 1;
            let body = request.into_body().collect().await.unwrap().to_bytes();
            Response::new(full(Bytes::from([&b"had "[..], &body].concat())))
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_swaps_under_64_connections_lose_nothing_and_double_no_post() {
    let served = Served::default();
    let proxy = Arc::new(proxy().await);
    let mut now = counting(&served).await;
    proxy.lead_to(&[now]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut load = tokio::task::JoinSet::new();
    for client in 0..64 {
        let (proxy, stopped) = (Arc::clone(&proxy), stopped.clone());
        load.spawn(async move {
            let mut connection = proxy.connect().await;
            let mut count = 0;
            while !*stopped.borrow() {
                let head = format!("/{client}-{count} HTTP/1.1\r\nhost: web.shop.localhost\r\n");
                for (request, expected) in [
                    (format!("GET {head}\r\n"), "had "),
                    (format!("POST {head}content-length: 2\r\n\r\nhi"), "had hi"),
                ] {
                    connection.send(request).await;
                    let answer = connection.answer().await;
                    assert_eq!((answer.status, &*answer.text()), (200, expected));
                }
                count += 1;
            }
            count
        });
    }
    for _ in 0..20 {
        let next = counting(&served).await;
        // Not before the one that goes has answered a few.
        let before = served.lock().await.len();
        let answered = async {
            while served.lock().await.len() < before + 128 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, answered).await.unwrap();
        proxy.lead_to(&[next]);
        let old = upstream(std::mem::replace(&mut now, next)).key.id;
        proxy.shared.left(&old, PATIENCE).await;
    }
    stop.send_replace(true);
    let asked: usize = load.join_all().await.into_iter().sum();
    let served = served.lock().await;
    assert!(asked > 20 * 64, "{asked}");
    assert_eq!(served.len(), 2 * asked);
    let doubled: Vec<_> = served.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
}
