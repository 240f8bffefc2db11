//! The guard and what is behind it.

use std::time::Duration;

use super::harness::{Proxy, TOKEN, mirror, proxy};
use cosmos::traffic::Limits;

fn call(extra: &str, body: &str) -> String {
    format!(
        "POST /container HTTP/1.1\r\nhost: localhost:8080\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{extra}\r\n{body}",
        body.len()
    )
}

#[tokio::test]
async fn an_honest_call_reaches_management_with_its_body() {
    let proxy = proxy().await;
    let answer = proxy.ask(call("", "{\"a\":1}")).await;
    assert_eq!(
        (answer.status, answer.text().as_str()),
        (200, "anonymous /container 7")
    );
    assert_eq!(answer.header("access-control-allow-origin"), None);
    let answer = proxy
        .ask(call(&format!("authorization: Bearer {TOKEN}\r\n"), "{}"))
        .await;
    assert_eq!(answer.text(), "token /container 2");
}

#[tokio::test]
async fn a_refusal_has_a_code_words_and_a_counter() {
    let proxy = proxy().await;
    let answer = proxy
        .ask(call("origin: http://web.shop.localhost:8080\r\n", "{}"))
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (403, "not_a_direct_call")
    );
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let mut keys: Vec<_> = body["error"].as_object().unwrap().keys().collect();
    keys.sort();
    assert_eq!(keys, ["code", "hint", "message"]);
    assert_eq!(proxy.shared.refusals()["not_a_direct_call"], 1);
}

#[tokio::test]
async fn a_wrong_token_is_answered_late() {
    let proxy = proxy().await;
    let started = std::time::Instant::now();
    let answer = proxy.ask(call("authorization: Bearer no\r\n", "{}")).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (401, "token_wrong")
    );
    assert!(started.elapsed() >= Duration::from_millis(100));
}

#[tokio::test]
async fn a_body_said_to_be_too_large_is_refused_before_it_is_sent() {
    let proxy = proxy().await;
    let answer = proxy
        .ask("POST /container HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 65537\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn a_body_that_turns_out_too_large_is_refused() {
    let proxy = proxy().await;
    let mut client = proxy.connect().await;
    client
        .send("POST /container HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n")
        .await;
    client
        .send(format!("10001\r\n{}\r\n", "x".repeat(65537)))
        .await;
    let answer = client.answer().await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
}

#[tokio::test]
async fn a_deep_body_is_refused() {
    let proxy = proxy().await;
    assert_eq!(
        proxy.ask(call("", &"[".repeat(17))).await.code(),
        "body_too_deep"
    );
    assert_eq!(proxy.ask(call("", &"[".repeat(16))).await.status, 200);
}

#[tokio::test]
async fn tokenless_calls_are_ten_a_second() {
    let proxy = proxy().await;
    for _ in 0..10 {
        assert_eq!(proxy.ask(call("", "{}")).await.status, 200);
    }
    let mut refused = None;
    // The bucket fills again while we ask, but not as fast as this.
    for _ in 0..20 {
        let answer = proxy.ask(call("", "{}")).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("no call was refused");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let with_token = call(&format!("authorization: Bearer {TOKEN}\r\n"), "{}");
    assert_eq!(proxy.ask(with_token).await.status, 200);
}

#[tokio::test]
async fn a_stream_has_no_bound_and_its_own_type() {
    let proxy = proxy().await;
    let mut client = proxy.connect().await;
    let size = 17 * 1024 * 1024;
    client
        .send(format!(
            "POST /_cosmos/v1/build HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/x-tar\r\ncontent-length: {size}\r\n\r\n"
        ))
        .await;
    client.send(vec![0; size]).await;
    assert_eq!(
        client.answer().await.text(),
        format!("token /_cosmos/v1/build {size}")
    );
    let answer = proxy
        .ask(format!(
            "POST /_cosmos/v1/up HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\
             content-type: application/json\r\ncontent-length: {size}\r\n\r\n"
        ))
        .await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn an_app_cannot_be_talked_into_managing() {
    // The page of an app has the app's host, or an `Origin`; neither manages.
    let proxy = Proxy::to(&[mirror().await]).await;
    let answer = proxy
        .ask("POST /container HTTP/1.1\r\nhost: web.shop.localhost:8080\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert!(
        answer.text().starts_with("POST /container\n"),
        "{}",
        answer.text()
    );
    let answer = proxy
        .ask("POST /container HTTP/1.1\r\nhost: rebound.example:8080\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (421, "misdirected")
    );
}

#[tokio::test]
async fn a_cut_body_never_reaches_management() {
    let proxy = super::harness::proxy_with(Limits {
        body_silence: Duration::from_millis(50),
        ..Limits::default()
    })
    .await;
    let answer = proxy
        .ask("POST /container HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{}")
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (408, "body_timeout")
    );
    let answer = proxy
        .ask("POST /container HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n")
        .await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (400, "body_broken")
    );
}

#[tokio::test]
async fn management_is_logged_without_secrets() {
    let proxy = proxy().await;
    proxy
        .ask(format!(
            "GET /_cosmos/v1/status?token=hunter2 HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        ))
        .await;
    let lines = proxy.stop().await;
    let text = format!("{lines:?}");
    assert!(!text.contains("hunter2") && !text.contains(TOKEN), "{text}");
    assert_eq!(lines[0]["caller"], "token");
    assert_eq!(lines[0]["path"], "/_cosmos/v1/status?token=[redacted]");
}

#[tokio::test]
async fn what_passed_is_counted_for_whoever_has_the_token() {
    let proxy = Proxy::to(&[mirror().await]).await;
    let metrics = "GET /_cosmos/v1/metrics HTTP/1.1\r\nhost: localhost\r\n";
    let refused = proxy.ask(format!("{metrics}\r\n")).await;
    assert_eq!(refused.status, 401);
    for _ in 0..3 {
        let post = "POST / HTTP/1.1\r\nhost: web.shop.localhost\r\ncontent-length: 4\r\n\r\nbody";
        assert_eq!(proxy.ask(post).await.status, 200);
    }
    let nobody = "GET / HTTP/1.1\r\nhost: nope.localhost\r\n\r\n";
    assert_eq!(proxy.ask(nobody).await.status, 404);

    let answer = proxy
        .ask(format!("{metrics}authorization: Bearer {TOKEN}\r\n\r\n"))
        .await;
    let kind = answer.header("content-type").unwrap();
    assert!(
        kind.starts_with("application/openmetrics-text; version=1.0.0"),
        "{kind}"
    );
    let text = answer.text();
    let web = "workspace=\"shop\",service=\"web\"";
    for line in [
        format!("cosmos_requests_total{{{web},code=\"200\"}} 3"),
        "cosmos_requests_total{workspace=\"\",service=\"\",code=\"404\"} 1".to_owned(),
        format!("cosmos_request_body_bytes_total{{{web}}} 12"),
        format!("cosmos_request_duration_seconds_count{{{web}}} 3"),
        format!("cosmos_upstreams{{{web}}} 1"),
        "cosmos_refusals_total{reason=\"token_required\"} 1".to_owned(),
        "cosmos_access_log_lines_dropped_total 0".to_owned(),
        format!(
            "cosmos_build_info{{version=\"{}\"}} 1",
            env!("CARGO_PKG_VERSION")
        ),
    ] {
        assert!(
            text.lines().any(|have| have == line),
            "no {line} in\n{text}"
        );
    }
    assert!(text.ends_with("# EOF\n"), "{text}");
}
