//! Taking a workspace away: `cosmos down`.

use std::{collections::BTreeMap, time::Duration};

use super::{
    action::{Action, Blocked, Plan, Step, StepId, Subject},
    estate::{Estate, Owned},
    planner::{is_alive, subject_of},
    reason::Reason,
};
use crate::workspace::{Container, Hooks, Identity, Kind, Memory, Observed, Workspace, order};

/// What becomes of the volumes at a `down`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Volumes {
    /// They stay.
    Keep,
    /// The declared ones go, with what is in them; external ones never.
    Remove,
}

/// What to do to take a workspace away: every container of it, dependants
/// first, then the network if it was its own, then volumes if asked for.
///
/// Without `declared` the order is not known, and neither are the volumes: a
/// name that looks like ours may be another tool's.
pub fn teardown(
    identity: &Identity,
    declared: Option<&Workspace>,
    observed: &Observed,
    memory: &Memory,
    volumes: Volumes,
) -> Plan {
    let estate = Estate::new(identity, observed);
    let mut teardown = Teardown {
        memory,
        declared,
        dependants: declared.map(dependants).unwrap_or_default(),
        stopped: BTreeMap::new(),
        gone: Vec::new(),
        plan: Plan::default(),
    };
    teardown.containers(&estate);
    match other_folder(identity, observed) {
        Some(folder) => teardown.leave_shared(identity, folder),
        None => {
            teardown.networks(&identity.key(), observed);
            if volumes == Volumes::Remove {
                teardown.volumes(observed);
            }
        }
    }
    teardown.plan.ignored = estate.ignored;
    teardown.plan
}

struct Teardown<'a> {
    memory: &'a Memory,
    declared: Option<&'a Workspace>,
    /// What depends on each part.
    dependants: BTreeMap<&'a str, Vec<&'a str>>,
    /// The steps after which a part does not run any more.
    stopped: BTreeMap<String, Vec<StepId>>,
    /// The steps after which no container is left.
    gone: Vec<StepId>,
    plan: Plan,
}

impl Teardown<'_> {
    fn containers(&mut self, estate: &Estate<'_>) {
        let mut parts: Vec<_> = estate.services();
        parts.extend(estate.commands());
        // Dependants first; what is not declared has none, and goes first of all.
        let order = self.stopping_order();
        parts.sort_by_key(|(name, _)| order.get(*name).copied());
        for (name, owned) in parts {
            let after = self.after_dependants(name);
            let mut stopped: Vec<StepId> = Vec::new();
            for one in &owned {
                let subject = subject_of(one.owner);
                let needs = match is_alive(one.container) {
                    true => {
                        let action = Action::Stop {
                            container: one.container.name.clone(),
                            grace: self.grace(one),
                            hooks: self.hooks(one),
                        };
                        vec![self.step(subject.clone(), after.clone(), action)]
                    }
                    false => after.clone(),
                };
                stopped.extend(&needs);
                let action = Action::Remove {
                    container: one.container.name.clone(),
                };
                let gone = self.step(subject, needs, action);
                self.gone.push(gone);
            }
            self.stopped
                .entry(name.to_owned())
                .or_default()
                .extend(stopped);
        }
    }

    /// The place of each declared part when they stop: dependants first.
    fn stopping_order(&self) -> BTreeMap<String, usize> {
        let order = self
            .declared
            .and_then(|declared| order::topological(declared).ok())
            .unwrap_or_default();
        order
            .into_iter()
            .rev()
            .enumerate()
            .map(|(place, name)| (name, place))
            .collect()
    }

    /// The steps that stop whatever depends on a part.
    fn after_dependants(&self, name: &str) -> Vec<StepId> {
        let dependants = self.dependants.get(name).into_iter().flatten();
        dependants
            .filter_map(|dependant| self.stopped.get(*dependant))
            .flatten()
            .copied()
            .collect()
    }

    fn networks(&mut self, key: &str, observed: &Observed) {
        let is_own = |workspace: &Option<String>| workspace.as_deref() == Some(key);
        for network in observed
            .networks
            .iter()
            .filter(|network| network.managed && is_own(&network.workspace))
        {
            let action = Action::RemoveNetwork {
                network: network.name.clone(),
            };
            self.step(
                Subject::Network(network.name.clone()),
                self.gone.clone(),
                action,
            );
        }
    }

    fn volumes(&mut self, observed: &Observed) {
        let Some(declared) = self.declared else {
            return;
        };
        for (volume, settings) in &declared.volumes {
            if settings.external || !observed.volumes.contains(volume) {
                continue;
            }
            let action = Action::RemoveVolume {
                volume: volume.clone(),
            };
            self.step(Subject::Volume(volume.clone()), self.gone.clone(), action);
        }
    }

    /// Networks and volumes are named after the workspace alone, so they may be
    /// those of another checkout with this name.
    fn leave_shared(&mut self, identity: &Identity, folder: &str) {
        self.plan.blocked.push(Blocked {
            subject: Subject::Orphan(identity.key()),
            code: "name_shared",
            why: format!(
                "workspace `{identity}` of {folder} has the same name: its network and volumes stay"
            ),
            hint: Some("give one of the two a name of its own: `--instance NAME`".to_owned()),
        });
    }

    fn grace(&self, one: &Owned<'_>) -> Duration {
        let applied = self.memory.applied.get(&one.owner.spec);
        applied.map_or(Container::STOP_GRACE, |container| container.stop_grace)
    }

    fn hooks(&self, one: &Owned<'_>) -> Hooks {
        let name = one.owner.name.as_deref().unwrap_or_default();
        let declared = self.declared.and_then(|it| it.services.get(name));
        declared
            .filter(|_| one.owner.kind == Kind::Service)
            .map(|service| &service.container)
            .or_else(|| self.memory.applied.get(&one.owner.spec))
            .map(|container| container.hooks.clone())
            .unwrap_or_default()
    }

    fn step(&mut self, subject: Subject, needs: Vec<StepId>, action: Action) -> StepId {
        let number = self.plan.steps.len() + 1;
        let id = StepId(u32::try_from(number).unwrap_or(u32::MAX));
        self.plan.steps.push(Step {
            id,
            needs,
            subject,
            action,
            reason: Reason::TakenDown.to_string(),
            loses: None,
        });
        id
    }
}

/// The folder of another checkout with this name, if one has containers.
pub(super) fn other_folder<'a>(identity: &Identity, observed: &'a Observed) -> Option<&'a str> {
    let owners = observed
        .containers
        .iter()
        .filter_map(|one| one.owner.as_ref());
    let key = identity.key();
    owners
        .filter(|owner| owner.workspace.as_ref() == Some(&key))
        .filter_map(|owner| owner.folder.as_deref())
        .find(|folder| *folder != identity.folder)
}

/// What depends on each part.
fn dependants(declared: &Workspace) -> BTreeMap<&str, Vec<&str>> {
    let services = declared.services.iter();
    let commands = declared.commands.iter();
    let parts = services
        .map(|(name, service)| (name.as_str(), &service.depends_on))
        .chain(commands.map(|(name, command)| (name.as_str(), &command.depends_on)));
    let mut dependants: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (name, depends_on) in parts {
        for on in depends_on.keys() {
            dependants.entry(on).or_default().push(name);
        }
    }
    dependants
}
