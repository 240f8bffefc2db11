//! What is shown is what is done, word for word.

use proptest::prelude::{ProptestConfig, proptest};

use super::tests::{Bench, wish};
use crate::{
    plan::{
        Action, Plan, StepId,
        test_workspace::{service, shop},
    },
    reconcile::{controller::Wish, convergence::any_workspace, event::Event},
    workspace::{Health, HealthProbe, Mount, MountSource, Service, Workspace},
};

/// Without what the world decides: the engine itself checks the health, as nobody
/// can probe what is not there, and it chooses no port, as it can choose one that
/// was kept for another service.
fn without_surprises(mut workspace: Workspace) -> Workspace {
    for service in workspace.services.values_mut() {
        service.container.ports.retain(|port| port.host.is_some());
        if let Some(health) = &mut service.health {
            *health = Health {
                probe: HealthProbe::Command {
                    run: vec!["true".to_owned()],
                },
                ..health.clone()
            };
        }
    }
    workspace
}

/// Every step that is not a wait was called for, once, and after all that it needs.
fn assert_carried_out(plan: &Plan, calls: &[String]) {
    let is_call = |action: &Action| !matches!(action, Action::Await { .. });
    let mut planned: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| is_call(&step.action))
        .map(|step| step.action.to_string())
        .collect();
    let mut called = calls.to_vec();
    planned.sort();
    called.sort();
    assert_eq!(called, planned, "{plan}");

    // Steps with the same words are told apart by taking them in the plan's order.
    let mut left: Vec<Option<&String>> = calls.iter().map(Some).collect();
    let mut at: std::collections::HashMap<StepId, usize> = Default::default();
    for step in &plan.steps {
        let after = step.needs.iter().filter_map(|need| at.get(need)).max();
        let after = after.copied();
        if !is_call(&step.action) {
            // Whoever needs a wait needs what the wait needs.
            if let Some(after) = after {
                at.insert(step.id, after);
            }
            continue;
        }
        let text = step.action.to_string();
        let place = left.iter().position(|call| *call == Some(&text)).unwrap();
        left[place] = None;
        assert!(after.is_none_or(|after| after < place), "{text} in\n{plan}");
        at.insert(step.id, place);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn what_is_shown_is_what_is_done(
        before in any_workspace(),
        after in any_workspace(),
    ) {
        let (before, after) = (without_surprises(before), without_surprises(after));
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let bench = Bench::empty();
            bench.apply(&before).await;
            let shown = bench.controller.preview(&wish(&after)).await.unwrap();
            let calls = bench.engine.calls().len();
            let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
            bench.controller.apply(wish(&after), &sender).await.unwrap();
            drop(sender);
            while let Some(event) = events.recv().await {
                let is_bad = matches!(event, Event::StepFailed { .. } | Event::ServiceFailed { .. });
                assert!(!is_bad, "{event:?} in\n{}", shown.plan);
            }
            assert_carried_out(&shown.plan, &bench.engine.calls()[calls..]);
        });
    }
}

fn cache(image: &str) -> Workspace {
    let mut cache: Service = service(image);
    cache.container.mounts.push(Mount {
        source: MountSource::Anonymous,
        target: "/data".to_owned(),
        read_only: false,
    });
    shop().with("cache", cache)
}

#[tokio::test]
async fn what_nothing_brings_back_is_not_lost_without_a_yes() {
    let bench = Bench::empty();
    bench.apply(&cache("redis:7")).await;
    let calls = bench.engine.calls().len();
    let refused = bench.wish(wish(&cache("redis:8"))).await.unwrap_err();
    assert_eq!(refused.code, "confirm");
    assert!(refused.message.contains("volume /data"), "{refused:?}");
    assert_eq!(bench.calls_since(calls), Vec::<String>::new());
    let declared = bench.store.declared("shop").unwrap().unwrap();
    assert_eq!(declared.workspace, cache("redis:7"));

    let yes = Wish {
        yes: true,
        ..wish(&cache("redis:8"))
    };
    assert_eq!(bench.wish(yes).await.unwrap().failed, 0);
    let image = bench.container("shop-cache-1").image;
    assert_eq!(image.as_str(), "redis:8");
}
