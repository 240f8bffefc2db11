//! The planner: what to do to make a workspace true.
//!
//! First what must go is cleared away, then each part is brought up after all
//! that it depends on. A part that is as declared costs no step. Start reading
//! at [`plan`]; how one replica is made right is in [`super::replace`].

use std::{collections::HashMap, time::Duration};

use super::{
    action::{Action, Blocked, Plan, Step, StepId, Subject},
    estate::{Estate, Owned},
    needs::{Obstacle, Shared, Standing},
    reason::Reason,
};
use crate::workspace::{
    CommandName, Container, ContainerName, ContainerState, Hooks, Kind, Memory, Observed,
    ObservedContainer, ObservedNetwork, Owner, RunState, ServiceName, Workspace, order,
};

/// What to do to make `desired` true, given what is `observed` and remembered.
///
/// Nothing to do is an empty plan; the same inputs give the same plan. Only
/// containers whose labels name this workspace *and* its folder are touched.
///
/// An image is fetched when something is to be made from it and the engine does
/// not have it. For `pull = "always"` the caller leaves the image out of
/// `observed.images` at an `up`: the plan then fetches it, and a plan made after
/// that replaces what runs from an older one.
pub fn plan(desired: &Workspace, observed: &Observed, memory: &Memory) -> Plan {
    let mut planner = Planner {
        desired,
        observed,
        memory,
        key: desired.identity.key(),
        network: observed.network(&desired.network.name),
        estate: Estate::new(&desired.identity, observed),
        standings: HashMap::new(),
        shared: HashMap::new(),
        claims: HashMap::new(),
        plan: Plan::default(),
    };
    match order::topological(desired) {
        Ok(order) => {
            planner.clear_away();
            if planner.network.is_some() && planner.check_network().is_ok() {
                planner.door(None);
            }
            for name in &order {
                planner.bring_up(name);
            }
            planner.leave_networks();
        }
        // The CLI refuses such a file; a workspace from elsewhere gets here.
        Err(circle) => planner.block(
            Subject::Orphan(circle.0.first().cloned().unwrap_or_default()),
            Obstacle {
                code: "dependency_circle",
                why: format!("its dependencies go round in a circle: {circle}"),
                hint: Some("take one `depends_on` of them away".to_owned()),
            },
        ),
    }
    planner.plan.ignored = planner.estate.ignored;
    planner.plan
}

/// A plan in the making.
pub(super) struct Planner<'a> {
    pub(super) desired: &'a Workspace,
    pub(super) observed: &'a Observed,
    pub(super) memory: &'a Memory,
    /// The workspace's key, made once.
    pub(super) key: String,
    /// The workspace's network as it is, if it is there.
    pub(super) network: Option<&'a ObservedNetwork>,
    pub(super) estate: Estate<'a>,
    /// How each part stands that was planned so far.
    pub(super) standings: HashMap<&'a str, Standing>,
    /// Images, volumes and the network, by the step that makes it.
    pub(super) shared: HashMap<Shared<'a>, StepId>,
    /// Who wants which container name, so that two parts cannot want one.
    pub(super) claims: HashMap<ContainerName, Subject>,
    pub(super) plan: Plan,
}

impl<'a> Planner<'a> {
    /// First: removes what is not declared, off, or one replica too many.
    ///
    /// First, because what goes may hold a host port that something new wants.
    fn clear_away(&mut self) {
        for (name, owned) in self.estate.services() {
            let Some((name, service)) = self.desired.services.get_key_value(name) else {
                self.remove_all(
                    &owned,
                    &Subject::Orphan(name.to_owned()),
                    &Reason::NotDeclared,
                );
                continue;
            };
            let subject = Subject::Service(name.clone());
            if service.run == RunState::Off {
                self.remove_all(&owned, &subject, &Reason::Off);
                continue;
            }
            let is_surplus = |one: &Owned<'_>| !(1..=service.replicas).contains(&one.owner.replica);
            let surplus: Vec<_> = owned.into_iter().filter(is_surplus).collect();
            let origin = self
                .desired
                .origins
                .of(&format!("services.{name}.replicas"));
            self.remove_all(
                &surplus,
                &subject,
                &Reason::Replicas(service.replicas, origin),
            );
        }
        for (name, owned) in self.estate.commands() {
            if !self.desired.commands.contains_key(name) {
                self.remove_all(
                    &owned,
                    &Subject::Orphan(name.to_owned()),
                    &Reason::NotDeclared,
                );
            }
        }
    }

    /// Then: adds what is missing and mends what is there, what others depend on first.
    fn bring_up(&mut self, name: &str) {
        if let Some((name, service)) = self.desired.services.get_key_value(name) {
            let standing = self.service(name, service);
            self.standings.insert(name.as_str(), standing);
        } else if let Some((name, command)) = self.desired.commands.get_key_value(name) {
            let standing = self.command(name, command);
            self.standings.insert(name.as_str(), standing);
        }
    }

    /// Adds a step. No step is without a reason.
    pub(super) fn step(
        &mut self,
        subject: &Subject,
        mut needs: Vec<StepId>,
        action: Action,
        reason: &Reason<'_>,
    ) -> StepId {
        needs.sort_unstable();
        needs.dedup();
        let number = self.plan.steps.len() + 1;
        let id = StepId(u32::try_from(number).unwrap_or(u32::MAX));
        self.plan.steps.push(Step {
            id,
            needs,
            subject: subject.clone(),
            action,
            reason: reason.to_string(),
            loses: None,
        });
        id
    }

    /// Notes that something cannot be planned, once.
    pub(super) fn block(&mut self, subject: Subject, obstacle: Obstacle) {
        let Obstacle { code, why, hint } = obstacle;
        let blocked = Blocked {
            subject,
            code,
            why,
            hint,
        };
        // Only the replicas of one part can say the same twice, one after the other.
        if self.plan.blocked.last() != Some(&blocked) {
            self.plan.blocked.push(blocked);
        }
    }

    fn remove_all(&mut self, owned: &[Owned<'a>], subject: &Subject, reason: &Reason<'_>) {
        for one in owned {
            let stopped = self.stop(one, subject, Vec::new(), reason);
            self.remove(one, subject, stopped, reason);
        }
    }

    /// Stops a container if it runs. What needs it stopped needs the result.
    pub(super) fn stop(
        &mut self,
        one: &Owned<'a>,
        subject: &Subject,
        needs: Vec<StepId>,
        reason: &Reason<'_>,
    ) -> Vec<StepId> {
        if !is_alive(one.container) {
            return needs;
        }
        let needs = self.once_renamed(one.container, needs);
        let action = Action::Stop {
            container: self.estate.name_of(one.container).clone(),
            grace: self.grace(one),
            hooks: self.hooks(one),
        };
        vec![self.step(subject, needs, action, reason)]
    }

    /// Removes a container that was stopped before.
    pub(super) fn remove(
        &mut self,
        one: &Owned<'a>,
        subject: &Subject,
        needs: Vec<StepId>,
        reason: &Reason<'_>,
    ) -> StepId {
        let needs = self.once_renamed(one.container, needs);
        let action = Action::Remove {
            container: self.estate.name_of(one.container).clone(),
        };
        let loses = loses(one, self.memory);
        let step = self.step(subject, needs, action, reason);
        if let Some(last) = self.plan.steps.last_mut() {
            last.loses = loses;
        }
        self.estate.remove(one.container, step);
        step
    }

    /// The needs of a step that calls a container by a name which an earlier step gives it.
    pub(super) fn once_renamed(
        &self,
        container: &ObservedContainer,
        mut needs: Vec<StepId>,
    ) -> Vec<StepId> {
        if let Some(step) = self.estate.renamed_by(container)
            && !self.is_implied(step, &needs)
        {
            needs.push(step);
        }
        needs
    }

    /// Whether a step is done before `needs` are anyway. What a step needs
    /// stands before it, so nothing before the sought one has to be looked at.
    fn is_implied(&self, sought: StepId, needs: &[StepId]) -> bool {
        let mut after = needs.to_vec();
        while let Some(id) = after.pop() {
            if id == sought {
                return true;
            }
            let step = self.plan.steps.get((id.0 as usize).saturating_sub(1));
            let needs = step.map(|step| step.needs.as_slice()).unwrap_or_default();
            after.extend(needs.iter().filter(|need| **need >= sought));
        }
        false
    }

    /// How long a container may take to stop: as it was declared when it was made.
    fn grace(&self, one: &Owned<'_>) -> Duration {
        let applied = self.memory.applied.get(&one.owner.spec);
        applied
            .or_else(|| self.declared(one))
            .map_or(Container::STOP_GRACE, |container| container.stop_grace)
    }

    /// What is run in a container before it stops: as it is declared now, since
    /// that changes without a new container; else as it was when it was made.
    fn hooks(&self, one: &Owned<'_>) -> Hooks {
        self.declared(one)
            .or_else(|| self.memory.applied.get(&one.owner.spec))
            .map(|container| container.hooks.clone())
            .unwrap_or_default()
    }

    /// The service's container that one of ours is, as it is declared now.
    fn declared(&self, one: &Owned<'_>) -> Option<&'a Container> {
        let service = self.desired.services.get(one.owner.name.as_deref()?)?;
        (one.owner.kind == Kind::Service).then_some(&service.container)
    }

    /// Sets aside whichever of our containers has the name.
    pub(super) fn free_name(
        &mut self,
        name: &ContainerName,
        mut needs: Vec<StepId>,
        reason: &Reason<'_>,
    ) -> Vec<StepId> {
        let Some(holder) = self.estate.holder(name) else {
            needs.extend(self.estate.freed_by(name));
            return needs;
        };
        let Some(owner) = &holder.owner else {
            return needs;
        };
        needs = self.once_renamed(holder, needs);
        let to = self.estate.aside(name, &owner.generation);
        let subject = subject_of(owner);
        let action = Action::Rename {
            from: name.clone(),
            to: to.clone(),
        };
        let step = self.step(&subject, needs, action, reason);
        self.estate.rename(holder, to, step);
        vec![step]
    }

    /// Refuses a name that somebody else has, or that another part wants too.
    pub(super) fn claim(
        &mut self,
        name: &ContainerName,
        subject: &Subject,
    ) -> Result<(), Obstacle> {
        if let Some(first) = self.claims.get(name)
            && first != subject
        {
            return Err(Obstacle::wanted_twice(name, first));
        }
        self.claims.insert(name.clone(), subject.clone());
        match self.estate.holder(name) {
            Some(holder) if !self.estate.is_ours(holder) => {
                Err(Obstacle::name_taken(name, holder, &self.key))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a container must be stopped before it can be removed.
pub(super) fn is_alive(container: &ObservedContainer) -> bool {
    matches!(
        container.state,
        ContainerState::Running { .. } | ContainerState::Paused
    )
}

/// What goes with a service's container and was nowhere else: the content of its
/// volumes without a name. One that never ran has put nothing there, and what a
/// command leaves there is of no use to its next run.
fn loses(one: &Owned<'_>, memory: &Memory) -> Option<String> {
    if one.owner.kind != Kind::Service || one.container.state == ContainerState::Created {
        return None;
    }
    let made = memory.applied.get(&one.owner.spec);
    let places = one.container.nameless.iter().filter(|place| {
        // Cosmos itself asks for one where a file cannot be put otherwise.
        !made.is_some_and(|container| container.has_file_in(place))
    });
    let places: Vec<_> = places.map(String::as_str).collect();
    match places.as_slice() {
        [] => None,
        [place] => Some(format!("what is in its volume {place}")),
        places => Some(format!("what is in its volumes {}", places.join(", "))),
    }
}

/// Whom a container of ours is about.
pub(super) fn subject_of(owner: &Owner) -> Subject {
    let name = owner.name.clone().unwrap_or_default();
    match owner.kind {
        Kind::Command => CommandName::new(name.as_str()).map(Subject::Command),
        _ => ServiceName::new(name.as_str()).map(Subject::Service),
    }
    .unwrap_or(Subject::Orphan(name))
}
