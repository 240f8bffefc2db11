//! What the engine is asked for by a call without the token, whatever the call is:
//! from the bytes of a body to the request that the engine gets.

use std::sync::{Arc, Mutex, atomic::AtomicUsize};

use axum::{Router, body::Body, http::Request};
use bollard::models::{ContainerCreateBody, HostConfig, RestartPolicy, RestartPolicyNameEnum};
use futures_util::{FutureExt as _, future::BoxFuture, stream::BoxStream};
use proptest::prelude::*;
use serde_json::{Value, json};
use tower_service::Service as _;

use crate::{
    api::server::{Management, Trusted, Usages, router},
    docker::request,
    plan::{Action, Launch},
    reconcile::{
        adhoc::Adhoc,
        controller::Controller,
        engine::{Change, Done, Engine, EngineError, Progress},
        fake::FakeEngine,
    },
    store::Store,
    workspace::{ContainerId, Installation, Observed},
};

/// An engine that only notes what it would have to make.
#[derive(Default)]
struct Noting(Mutex<Vec<Launch>>);

impl Engine for Noting {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        async { Ok(Observed::default()) }.boxed()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        _: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        async move {
            match action {
                Action::Create(launch) => {
                    self.0.lock().unwrap().push((**launch).clone());
                    Ok(Done::Created(ContainerId::new("c0ffee").unwrap()))
                }
                Action::Start { .. } => Ok(Done::Done),
                other => panic!("nobody may ask for `{other}`"),
            }
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        Box::pin(futures_util::stream::pending())
    }
}

/// Sends a body as a caller without the token; what the engine would be asked for.
async fn asked_for(body: Vec<u8>) -> Option<ContainerCreateBody> {
    let engine = Arc::new(Noting::default());
    let shared: Arc<dyn Engine> = engine.clone();
    let console = Arc::new(FakeEngine::default());
    let store = Arc::new(Store::in_memory().unwrap());
    let controller = Controller::new(Arc::clone(&shared), console.clone(), Arc::clone(&store));
    let installation = Installation::default();
    let mut router: Router = router(Arc::new(Management {
        controller: Arc::new(controller.unwrap()),
        adhoc: Adhoc::new(shared, store, installation.clone()),
        console,
        installation: installation.clone(),
        starting: AtomicUsize::new(0),
        passing: Arc::default(),
        usages: Usages::default(),
        rotate_token: Box::new(|| Ok(())),
    }));
    let request = Request::post("/container")
        .header("content-type", "application/json")
        .extension(Trusted(false))
        .body(Body::from(body))
        .unwrap();
    let answer = router.call(request).await.unwrap();
    let launches = engine.0.lock().unwrap();
    assert_eq!(answer.status().is_success(), launches.len() == 1);
    let launch = launches.first()?;
    Some(request::create(launch, &installation).body)
}

/// All that such a container may do, for ever.
fn the_constant() -> HostConfig {
    HostConfig {
        network_mode: Some("cosmos-net".to_owned()),
        memory: Some(2 << 30),
        memory_swap: Some(2 << 30),
        pids_limit: Some(512),
        init: Some(true),
        cap_drop: Some(vec!["NET_RAW".to_owned()]),
        security_opt: Some(vec!["no-new-privileges".to_owned()]),
        restart_policy: Some(RestartPolicy {
            name: Some(RestartPolicyNameEnum::NO),
            maximum_retry_count: None,
        }),
        ..HostConfig::default()
    }
}

/// A right order, as a base for wrong ones.
fn right() -> Value {
    json!({ "action": "start", "image": "ubuntu:latest", "args": ["echo", "x"] })
}

/// What somebody would add who wants more than is given.
fn more() -> impl Strategy<Value = (String, Value)> {
    let keys = prop::sample::select(vec![
        "image",
        "args",
        "name",
        "action",
        "container_id",
        "HostConfig",
        "host_config",
        "Privileged",
        "privileged",
        "Binds",
        "mounts",
        "ports",
        "env",
        "user",
        "network",
        "cap_add",
        "devices",
        "security_opt",
        "entrypoint",
        "labels",
        "init",
        "remove",
        "pid",
        "runtime",
        "platform",
        "",
    ]);
    let text = prop_oneof![
        ".{0,30}",
        prop::sample::select(vec![
            "start",
            "host",
            "/:/host",
            "/var/run/docker.sock",
            "ALL",
            "root",
            "--privileged",
            "ubuntu:latest",
            "a\u{0}b",
            "\u{202e}",
            "x-1",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    let value = leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    });
    (keys.prop_map(str::to_owned), value)
}

fn bodies() -> impl Strategy<Value = Vec<u8>> {
    let mixed = (prop::collection::vec(more(), 0..4), any::<bool>()).prop_map(|(more, whole)| {
        let mut order = if whole { right() } else { json!({}) };
        for (key, value) in more {
            order[key] = value;
        }
        order.to_string().into_bytes()
    });
    let valid = (
        "[a-z]{1,8}",
        prop::collection::vec(".{0,20}", 0..5),
        "[a-z][a-z0-9]{0,20}",
    )
        .prop_map(|(image, args, name)| {
            json!({ "action": "start", "image": image, "args": args, "name": name })
                .to_string()
                .into_bytes()
        });
    prop_oneof![
        4 => mixed,
        2 => valid,
        1 => prop::collection::vec(any::<u8>(), 0..200),
    ]
}

proptest! {
    #[test]
    fn whatever_is_sent_without_the_token_the_rights_of_what_is_made_are_constant(body in bodies()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let Some(asked) = runtime.block_on(asked_for(body)) else {
            return Ok(());
        };
        prop_assert_eq!(asked.host_config, Some(the_constant()));
        let networks = asked.networking_config.unwrap().endpoints_config.unwrap();
        prop_assert_eq!(networks.keys().collect::<Vec<_>>(), ["cosmos-net"]);
        let entrypoint = asked.entrypoint.unwrap_or_default();
        prop_assert!(entrypoint.is_empty() || entrypoint == ["tail", "-f", "/dev/null"]);
        // And nothing else is said, but what is to run and whose it is.
        let rest = ContainerCreateBody {
            image: None,
            cmd: None,
            entrypoint: None,
            labels: None,
            host_config: None,
            networking_config: None,
            ..asked
        };
        let silent = ContainerCreateBody { stop_timeout: Some(10), ..ContainerCreateBody::default() };
        prop_assert_eq!(rest, silent);
    }
}

#[tokio::test]
async fn the_founding_order_is_obeyed_with_those_rights() {
    let asked = asked_for(right().to_string().into_bytes()).await.unwrap();
    assert_eq!(asked.host_config, Some(the_constant()));
    assert_eq!(asked.image.as_deref(), Some("ubuntu:latest"));
    assert_eq!(asked.cmd.unwrap(), ["echo", "x"]);
}
