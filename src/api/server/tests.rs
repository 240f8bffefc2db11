//! The endpoints on an engine that is one value.

use axum::http::Request;
use http_body_util::BodyExt as _;
use tower_service::Service as _;

use super::*;
use crate::{
    plan::test_workspace::{Lab, name, service, shop},
    reconcile::{engine::Engine, fake::FakeEngine},
    store::Store,
    workspace::Observed,
};

fn management(observed: Observed) -> (Arc<FakeEngine>, Router) {
    let engine = Arc::new(FakeEngine::new(observed));
    let store = Arc::new(Store::in_memory().unwrap());
    let installation = Installation::default();
    let shared: Arc<dyn Engine> = engine.clone();
    let controller =
        Controller::new(Arc::clone(&shared), engine.clone(), Arc::clone(&store)).unwrap();
    let management = Management {
        controller: Arc::new(controller),
        adhoc: Adhoc::new(shared, store, installation.clone()),
        console: engine.clone(),
        installation,
        starting: AtomicUsize::new(0),
        passing: Arc::default(),
        usages: Usages::default(),
        rotate_token: Box::new(|| Ok(())),
    };
    (engine, router(Arc::new(management)))
}

#[tokio::test(start_paused = true)]
async fn a_line_after_a_silence_is_sent_at_once_and_those_behind_it_together() {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let lines = stream::poll_fn(move |context| receiver.poll_recv(context));
    let mut gathered = std::pin::pin!(gathered(lines));
    let began = tokio::time::Instant::now();
    sender.send(1).unwrap();
    assert_eq!(gathered.next().await, Some(vec![1]));
    assert_eq!(began.elapsed(), Duration::ZERO);
    for line in 2..=4 {
        sender.send(line).unwrap();
    }
    drop(sender);
    assert_eq!(gathered.next().await, Some(vec![2, 3, 4]));
    assert!(began.elapsed() >= GATHERING);
    assert_eq!(gathered.next().await, None);
}

async fn ask(router: &mut Router, method: &str, path: &str, body: &str) -> (StatusCode, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(Trusted(false))
        .body(Body::from(body.to_owned()))
        .unwrap();
    let response = router.call(request).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

/// A container that somebody else made.
fn stranger() -> Observed {
    let desired = shop().with("web", service("node:20"));
    let mut observed = std::thread::spawn(move || Lab::running(&desired).engine.observed())
        .join()
        .unwrap();
    observed.containers[0].owner = None;
    observed.containers[0].name = name("stranger");
    observed
}

#[tokio::test]
async fn what_a_stranger_says_is_not_read_aloud() {
    let (engine, mut router) = management(stranger());
    engine.says(&name("stranger"), "a secret");
    let id = engine.observed().containers[0].id.to_string();
    for reference in ["stranger", &id] {
        let path = format!("{PREFIX}/containers/{reference}/logs");
        let (status, body) = ask(&mut router, "GET", &path, "").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    }
    assert!(engine.read().is_empty());
}

#[tokio::test]
async fn the_founding_api_does_not_find_a_stranger() {
    let (engine, mut router) = management(stranger());
    let order = r#"{"action":"stop","container_id":"stranger"}"#;
    let (status, _) = ask(&mut router, "POST", "/container", order).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    assert!(engine.calls().is_empty());
}

#[tokio::test]
async fn the_founding_api_gives_no_name_that_is_anothers_host_name() {
    let (engine, mut router) = management(Observed::default());
    let order = r#"{"action":"start","image":"nginx","name":"db.shop.internal"}"#;
    let (status, body) = ask(&mut router, "POST", "/container", order).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert!(engine.calls().is_empty());
}

#[tokio::test]
async fn the_founding_api_refuses_unknown_and_repeated_keys() {
    let (engine, mut router) = management(Observed::default());
    for order in [
        r#"{"action":"start","image":"a","privileged":true}"#,
        r#"{"action":"start","image":"a","image":"b"}"#,
        r#"{"action":"start","action":"stop","container_id":"a"}"#,
    ] {
        let (status, body) = ask(&mut router, "POST", "/container", order).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{order}: {body}");
    }
    assert!(engine.calls().is_empty());
}

#[tokio::test]
async fn what_is_not_understood_is_refused_as_a_problem() {
    let (_, mut router) = management(Observed::default());
    for (method, path, body) in [
        ("PUT", "/workspaces/shop", r#"{"workspace":{}}"#),
        ("PUT", "/workspaces/shop", "{"),
        ("DELETE", "/workspaces/shop?volumes=maybe", ""),
        ("PATCH", "/version", ""),
        ("GET", "/workspaces/%FF", ""),
    ] {
        let path = format!("{PREFIX}{path}");
        let (_, body) = ask(&mut router, method, &path, body).await;
        assert!(serde_json::from_str::<ErrorBody>(&body).is_ok(), "{body}");
    }
}

#[tokio::test]
async fn another_method_is_told_which_there_are() {
    let (_, mut router) = management(Observed::default());
    let request = Request::builder()
        .method("PATCH")
        .uri(format!("{PREFIX}/state"))
        .body(Body::empty())
        .unwrap();
    let response = router.call(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(response.headers()[header::ALLOW], "GET,HEAD,PUT");
}
