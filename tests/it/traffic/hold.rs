//! Requests for what is not there yet.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use cosmos::traffic::{
    Limits, Routes,
    routes::{Leads, Outlook},
};

use super::harness::{PATIENCE, Proxy, mirror, proxy, proxy_with, raw_server, rule};

const GET: &str = "GET / HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n";
const POST: &str = "POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 4\r\n";
const BROWSE: &str =
    "GET / HTTP/1.1\r\nhost: web.shop.localhost\r\naccept: text/html,*/*;q=0.8\r\n\r\n";
const ELSEWHERE: &str = "GET / HTTP/1.1\r\nhost: nope.localhost\r\n\r\n";

fn lead_nowhere(proxy: &Proxy, outlook: Outlook) {
    let state = "starting: not ready yet".to_owned();
    let leads = Leads::Nowhere {
        state,
        outlook,
        container: None,
    };
    let rule = rule("web.shop.localhost", leads);
    proxy.shared.set_routes(Arc::new(Routes::new([rule])));
}

/// A proxy that waits this long for a service that starts.
async fn holding(hold: Duration) -> Proxy {
    let proxy = proxy_with(Limits {
        hold,
        ..Limits::default()
    })
    .await;
    lead_nowhere(&proxy, Outlook::Starting);
    proxy
}

#[tokio::test]
async fn a_request_for_a_starting_service_waits_for_it() {
    let proxy = proxy().await;
    lead_nowhere(&proxy, Outlook::Starting);
    let (mut get, mut post) = (proxy.connect().await, proxy.connect().await);
    get.send(GET).await;
    post.send(format!("{POST}\r\nbo")).await;
    // Both have been read by the time that a later one is answered.
    assert_eq!(proxy.ask(ELSEWHERE).await.status, 404);
    // Other routes that do not lead there either change nothing, and neither does
    // time: a browser that came later is told before them.
    lead_nowhere(&proxy, Outlook::Starting);
    assert_eq!(proxy.ask(BROWSE).await.status, 503);

    proxy.lead_to(&[mirror().await]);
    assert!(get.answer().await.text().starts_with("GET /\n"));
    post.send("dy").await;
    assert!(post.answer().await.text().ends_with("\nbody"));
}

#[tokio::test]
async fn a_body_is_not_asked_for_while_its_request_waits() {
    let (address, mut accepted) = raw_server().await;
    let proxy = proxy().await;
    lead_nowhere(&proxy, Outlook::Starting);
    let mut client = proxy.connect().await;
    client
        .send(format!("{POST}expect: 100-continue\r\n\r\n"))
        .await;
    assert_eq!(proxy.ask(ELSEWHERE).await.status, 404);
    proxy.lead_to(&[address]);
    let mut behind = accepted.recv().await.unwrap();
    behind.head_text().await;
    behind
        .send("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
        .await;
    // The first head that comes is no 100.
    assert_eq!(client.answer().await.status, 204);
}

#[tokio::test]
async fn a_service_that_does_not_start_in_time_is_503_with_its_state() {
    let proxy = holding(Duration::from_millis(50)).await;
    let answer = proxy.ask(GET).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "not_ready"));
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    assert!(answer.text().contains("starting: not ready yet"));
}

#[tokio::test]
async fn a_browser_gets_a_page_that_asks_again() {
    let proxy = proxy().await;
    lead_nowhere(&proxy, Outlook::Starting);
    let page = proxy.ask(BROWSE).await;
    assert_eq!(page.status, 503);
    let refresh = "<meta http-equiv=\"refresh\" content=\"2\">";
    assert!(page.text().contains(refresh), "{page:?}");
    // What will not come by itself is not asked for again and again.
    lead_nowhere(&proxy, Outlook::Down);
    assert!(!proxy.ask(BROWSE).await.text().contains("refresh"));
}

#[tokio::test]
async fn a_client_that_hangs_up_while_it_waits_is_forgotten() {
    let proxy = holding(Duration::from_secs(3600)).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(proxy.ask(ELSEWHERE).await.status, 404);
    drop(client);
    let is_it = |line: &serde_json::Value| line["status"] == 499 && line["service"] == "web";
    let forgotten = async {
        while !proxy.logged().iter().any(is_it) {
            assert_eq!(proxy.ask(ELSEWHERE).await.status, 404);
        }
    };
    tokio::time::timeout(PATIENCE, forgotten).await.unwrap();
    let (address, mut accepted) = raw_server().await;
    proxy.lead_to(&[address]);
    assert_eq!(proxy.ask(ELSEWHERE).await.status, 404);
    assert!(accepted.try_recv().is_err(), "somebody still asked");
}

#[tokio::test]
async fn what_ended_a_moment_ago_may_come_back_and_what_ended_long_ago_not() {
    let proxy = proxy().await;
    lead_nowhere(&proxy, Outlook::Ended(SystemTime::now()));
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(proxy.ask(ELSEWHERE).await.status, 404);
    proxy.lead_to(&[mirror().await]);
    assert_eq!(client.answer().await.status, 200);

    lead_nowhere(&proxy, Outlook::Ended(SystemTime::UNIX_EPOCH));
    assert_eq!(proxy.ask(GET).await.status, 503);
}

#[tokio::test]
async fn a_request_that_waits_is_answered_when_the_proxy_stops() {
    let proxy = holding(Duration::from_secs(3600)).await;
    let mut client = proxy.connect().await;
    client.send(GET).await;
    assert_eq!(proxy.ask(ELSEWHERE).await.status, 404);
    let (answer, _) = tokio::join!(client.answer(), proxy.stop());
    assert_eq!(answer.status, 503);
}

#[tokio::test]
async fn a_route_says_itself_how_long_its_requests_wait() {
    let proxy = proxy().await;
    let leads = Leads::Nowhere {
        state: "starting".to_owned(),
        outlook: Outlook::Starting,
        container: None,
    };
    let mut rule = rule("web.shop.localhost", leads);
    Arc::make_mut(&mut rule.target).hold = Some(Duration::ZERO);
    proxy.shared.set_routes(Arc::new(Routes::new([rule])));
    // Or this would take half a minute, and the harness has less patience.
    assert_eq!(proxy.ask(GET).await.status, 503);
}
