//! Where what runs is not what is declared, field by field, before it is healed.

use std::collections::BTreeMap;

use super::{Controller, Look};
use crate::{
    plan::{Sign, Subject, plan},
    workspace::{Memory, ServiceName, Workspace},
};

/// What differs of each service that differs, in words.
pub(super) type Drift = BTreeMap<ServiceName, Vec<String>>;

impl Controller {
    /// The drift of a workspace. None while somebody works on it: what is not yet
    /// so has not drifted.
    pub(super) fn drift(&self, look: &Look, workspace: &Workspace, memory: &Memory) -> Drift {
        let turn = self.turn(&workspace.identity.key());
        let Ok(_turn) = turn.lock.try_lock() else {
            return Drift::new();
        };
        let mut drift = Drift::new();
        for step in plan(workspace, &look.observed, memory).steps {
            let Subject::Service(service) = &step.subject else {
                continue;
            };
            let reasons = drift.entry(service.clone()).or_default();
            if step.action.sign() != Sign::Wait && reasons.last() != Some(&step.reason) {
                reasons.push(step.reason);
            }
        }
        drift
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::controller::tests::Bench,
    };

    #[tokio::test]
    async fn status_tells_each_field_that_drifted() {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        bench.engine.edit(|observed| {
            let web = &mut observed.containers[0];
            web.live.resources.pids = Some(99);
            web.networks.clear();
        });
        let status = bench.controller.status("shop").await.unwrap();
        assert_eq!(
            status.services[0].drift,
            ["pids changed: 99 → none", "is not in cosmos-net"]
        );
    }

    #[tokio::test]
    async fn what_is_as_declared_has_not_drifted() {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        let status = bench.controller.status("shop").await.unwrap();
        assert!(status.services[0].drift.is_empty());
    }
}
