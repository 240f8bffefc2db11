//! What somebody did to a container beside us, and what to do instead.
//!
//! A container that was stopped by hand is healed like one that ended by itself.
//! Whoever stopped it must be able to find out why it runs again, and how to keep
//! it stopped: the reason of its start says so, wherever that is read.

use std::sync::atomic::Ordering;

use super::Controller;
use crate::{
    plan::{Action, Plan, Subject},
    reconcile::engine::Change,
    workspace::{Kind, Observed, ObservedContainer},
};

impl Controller {
    /// Notes a stop that is not ours.
    pub(super) fn note_stop(&self, change: &Change) {
        let Change::Container { id, what, .. } = change else {
            return;
        };
        match what.as_str() {
            "stop" if self.is_left_alone(id.as_str()) => {
                self.lock_stopped().insert(id.clone());
            }
            "start" | "destroy" => {
                self.lock_stopped().remove(id);
            }
            _ => {}
        }
    }

    /// Whether neither an order nor healing is stopping this container of a service.
    fn is_left_alone(&self, id: &str) -> bool {
        let look = self.looked.borrow();
        let mut containers = look.observed.containers.iter();
        let Some(container) = containers.find(|container| container.id.as_str() == id) else {
            return false;
        };
        let is_ordered = |key: String| self.turn(&key).is_ordered.load(Ordering::Relaxed);
        !self.lock_leaving().contains(&container.name)
            && service_of(container).is_some_and(|key| !is_ordered(key))
    }

    /// Says in a plan which starts undo what somebody did by hand, and what holds
    /// the service stopped instead.
    pub(super) fn explain_starts(&self, observed: &Observed, plan: &mut Plan) {
        let stopped = self.lock_stopped();
        if stopped.is_empty() {
            return;
        }
        for step in &mut plan.steps {
            let (Action::Start { container, .. }, Subject::Service(service)) =
                (&step.action, &step.subject)
            else {
                continue;
            };
            let is_stopped = observed
                .container(container)
                .is_some_and(|container| stopped.contains(&container.id));
            if is_stopped {
                step.reason =
                    format!("was stopped by hand; `cosmos stop {service}` holds it stopped");
            }
        }
    }
}

/// The workspace whose service a container is of.
fn service_of(container: &ObservedContainer) -> Option<String> {
    let owner = container.owner.as_ref()?;
    (owner.kind == Kind::Service).then(|| owner.workspace.clone())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::controller::tests::Bench,
        workspace::ContainerState,
    };

    /// A service whose container ended, and what was told of that.
    async fn ended(told: &[&str]) -> String {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        let container = bench.container("shop-web-1");
        for what in told {
            bench.controller.note_stop(&Change::Container {
                id: container.id.clone(),
                name: Some(container.name.clone()),
                what: (*what).to_owned(),
                is_ours: true,
            });
        }
        bench.engine.edit(|observed| {
            observed.containers[0].state = ContainerState::Exited {
                code: 137,
                at: std::time::SystemTime::UNIX_EPOCH,
                out_of_memory: false,
            };
        });
        let observed = bench.engine.observed();
        let desired = bench.controller.desired_of("shop").unwrap();
        let memory = bench.store.memory("shop").unwrap();
        let mut plan = crate::plan::plan(&desired, &observed, &memory);
        bench.controller.explain_starts(&observed, &mut plan);
        plan.steps[0].reason.clone()
    }

    #[tokio::test]
    async fn a_stop_by_hand_is_told_from_a_crash_with_what_to_do_instead() {
        assert_eq!(ended(&["die"]).await, "exited with 137");
        assert_eq!(ended(&["die", "stop", "start"]).await, "exited with 137");
        assert_eq!(
            ended(&["die", "stop"]).await,
            "was stopped by hand; `cosmos stop web` holds it stopped"
        );
    }

    #[tokio::test]
    async fn a_stop_while_an_order_is_carried_out_is_not_by_hand() {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        let id = bench.container("shop-web-1").id;
        let turn = bench.controller.turn("shop");
        let ordered = turn.take(&bench.controller.world).await;
        assert!(!bench.controller.is_left_alone(id.as_str()));
        drop(ordered);
        assert!(bench.controller.is_left_alone(id.as_str()));
    }
}
