//! Looking at and narrowing down a plan that was made.

use std::collections::BTreeSet;

use super::action::{Plan, Step, StepId, Subject};
use crate::workspace::ServiceName;

impl Plan {
    /// The services that some step is about.
    pub fn services(&self) -> BTreeSet<&ServiceName> {
        self.steps
            .iter()
            .filter_map(|step| match &step.subject {
                Subject::Service(service) => Some(service),
                _ => None,
            })
            .collect()
    }

    /// Keeps only the steps that `keep` says yes to and that need none of the others.
    pub fn retain(&mut self, mut keep: impl FnMut(&Step) -> bool) {
        let mut dropped = BTreeSet::<StepId>::new();
        // Each step stands after all that it needs, so one pass is enough.
        self.steps.retain(|step| {
            let stays = step.needs.iter().all(|need| !dropped.contains(need)) && keep(step);
            if !stays {
                dropped.insert(step.id);
            }
            stays
        });
    }
}
