//! Restarting a service in place: ordered, not declared.

use super::{
    action::{Action, Plan, Step, StepId, Subject},
    estate::Estate,
    reason::Reason,
};
use crate::workspace::{ContainerState, Observed, ServiceName, Workspace};

/// Stops and starts each container of a service, one after the other: if one does
/// not come back, the next stays as it is.
///
/// Only those that are this workspace's own: whoever else has one of its names by
/// now is not ours to restart. And not what was never started: it may lack what
/// belongs in it, and is launched again instead.
pub fn restart(
    desired: &Workspace,
    service: &ServiceName,
    observed: &Observed,
    because: &str,
) -> Plan {
    let mut plan = Plan::default();
    let Some(declared) = desired.services.get(service) else {
        return plan;
    };
    let estate = Estate::new(&desired.identity, observed);
    let names = (1..=declared.replicas).map(|one| desired.identity.container(service, one));
    let ours = names.filter(|name| {
        estate
            .holder(name)
            .is_some_and(|holder| estate.is_ours(holder) && holder.state != ContainerState::Created)
    });
    for (id, container) in (1..).map(StepId).zip(ours) {
        plan.steps.push(Step {
            id,
            needs: plan.steps.last().map(|step| step.id).into_iter().collect(),
            subject: Subject::Service(service.clone()),
            action: Action::Restart {
                container,
                grace: declared.container.stop_grace,
                hooks: declared.container.hooks.clone(),
            },
            reason: Reason::Ordered(because).to_string(),
            loses: None,
        });
    }
    plan
}
