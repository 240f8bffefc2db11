//! Networks of a workspace that its file does not name any more.

use super::{
    action::{Action, StepId, Subject},
    planner::{Planner, is_alive},
    reason::Reason,
    teardown::other_folder,
};
use crate::workspace::{Kind, NetworkName, ObservedContainer, ObservedNetwork};

impl Planner<'_> {
    /// Last: removes the networks that were this workspace's and are not declared
    /// any more, each after whoever was in it has left. One that somebody stays in
    /// waits for them: what is held stopped, or a container that is not ours.
    pub(super) fn leave_networks(&mut self) {
        // They are named after the workspace alone, so they may be another checkout's.
        if other_folder(&self.desired.identity, self.observed).is_some() {
            return;
        }
        let observed = self.observed;
        for network in &observed.networks {
            let out = self
                .is_left(network)
                .then(|| self.steps_out_of(&network.name));
            let Some(needs) = out.flatten() else {
                continue;
            };
            let subject = Subject::Network(network.name.clone());
            let action = Action::RemoveNetwork {
                network: network.name.clone(),
            };
            self.step(&subject, needs, action, &Reason::NotDeclared);
        }
    }

    fn is_left(&self, network: &ObservedNetwork) -> bool {
        let is_ours = network.managed && network.workspace.as_ref() == Some(&self.key);
        is_ours
            && network.name != self.desired.network.name
            && !self.desired.networks.contains_key(&network.name)
    }

    /// The steps after which nobody is in a network; `None` if somebody stays.
    fn steps_out_of(&self, network: &NetworkName) -> Option<Vec<StepId>> {
        let containers = self.observed.containers.iter();
        let users = containers.filter(|one| one.networks.contains_key(network));
        users
            .filter(|one| !is_there_by_name(one))
            .map(|one| self.step_out_of(network, one))
            .collect()
    }

    fn step_out_of(&self, network: &NetworkName, one: &ObservedContainer) -> Option<StepId> {
        let called = self.estate.name_of(one);
        let leaves = |action: &Action| match action {
            Action::Remove { container } => container == called,
            Action::DisconnectNetwork {
                container,
                network: left,
            } => container == called && left == network,
            _ => false,
        };
        let step = self.plan.steps.iter().find(|step| leaves(&step.action));
        step.filter(|_| self.estate.is_ours(one)).map(|it| it.id)
    }
}

/// Whether a container keeps no network: the proxy, which is in it for the others'
/// sake, and a command that has ended, which is never started again.
fn is_there_by_name(one: &ObservedContainer) -> bool {
    let kind = one.owner.as_ref().map(|owner| owner.kind);
    kind == Some(Kind::Proxy) || kind == Some(Kind::Command) && !is_alive(one)
}
