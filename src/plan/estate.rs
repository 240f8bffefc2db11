//! What a workspace has in the engine, looked up by what it is for and by name.
//!
//! Made once from one look at the engine, and kept true as steps are planned:
//! a name that a step gives up can be taken by a later one that needs it.
//!
//! A container is ours if its labels say so *and* name our folder: a second
//! checkout of the same name is somebody else. Labels can be copied, though, so
//! of two containers with one generation only one is believed.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::action::{Ignored, StepId};
use crate::workspace::{
    CommandName, ContainerId, ContainerName, Identity, Kind, Observed, ObservedContainer, Owner,
    ServiceName, fingerprint,
};

/// A container of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owned<'a> {
    pub(super) container: &'a ObservedContainer,
    pub(super) owner: &'a Owner,
}

/// What a workspace has in the engine.
pub(super) struct Estate<'a> {
    services: BTreeMap<&'a str, Vec<Owned<'a>>>,
    commands: BTreeMap<&'a str, Vec<Owned<'a>>>,
    ours: HashSet<&'a ContainerId>,
    pub(super) ignored: Vec<Ignored>,
    /// Who has each name once the steps planned so far are done.
    holders: HashMap<ContainerName, &'a ObservedContainer>,
    /// The names of containers that such a step renames.
    renamed: HashMap<&'a ContainerId, (ContainerName, StepId)>,
    /// The step that gave up a name.
    freed: HashMap<ContainerName, StepId>,
}

impl<'a> Estate<'a> {
    pub(super) fn new(identity: &Identity, observed: &'a Observed) -> Self {
        let mut estate = Self {
            services: BTreeMap::new(),
            commands: BTreeMap::new(),
            ours: HashSet::new(),
            ignored: Vec::new(),
            holders: observed
                .containers
                .iter()
                .map(|container| (container.name.clone(), container))
                .collect(),
            renamed: HashMap::new(),
            freed: HashMap::new(),
        };
        let key = identity.key();
        let is_ours = |owner: &Owner| {
            owner.workspace.as_deref() == Some(key.as_str())
                && owner.folder.as_deref() == Some(identity.folder.as_str())
        };
        let mut claims: Vec<_> = observed
            .containers
            .iter()
            .filter_map(|container| Some((container, container.owner.as_ref()?)))
            .filter(|(_, owner)| is_ours(owner))
            .collect();
        // The engine lists in an order of its own; ours is by replica and name.
        claims.sort_by_cached_key(|(container, owner)| {
            (
                owner.replica,
                is_stranger(identity, container, owner),
                &container.name,
            )
        });
        let mut seen = HashSet::new();
        for (container, owner) in claims {
            let Some(name) = owner.name.as_deref() else {
                continue;
            };
            let parts = match owner.kind {
                Kind::Service => &mut estate.services,
                Kind::Command => &mut estate.commands,
                Kind::Adhoc | Kind::Proxy => continue,
            };
            if !seen.insert((owner.kind, name, owner.replica, owner.generation.as_str())) {
                estate.ignored.push(Ignored {
                    container: container.name.clone(),
                    why: format!("has a copy of the labels of `{name}`"),
                });
                continue;
            }
            estate.ours.insert(&container.id);
            parts
                .entry(name)
                .or_default()
                .push(Owned { container, owner });
        }
        estate
    }

    /// The containers of a service, by replica and name.
    pub(super) fn of_service(&self, name: &ServiceName) -> Vec<Owned<'a>> {
        self.services
            .get(name.as_str())
            .cloned()
            .unwrap_or_default()
    }

    /// The containers of a command.
    pub(super) fn of_command(&self, name: &CommandName) -> Vec<Owned<'a>> {
        self.commands
            .get(name.as_str())
            .cloned()
            .unwrap_or_default()
    }

    /// Every service that has containers.
    pub(super) fn services(&self) -> Vec<(&'a str, Vec<Owned<'a>>)> {
        self.services
            .iter()
            .map(|(name, owned)| (*name, owned.clone()))
            .collect()
    }

    /// Every command that has containers.
    pub(super) fn commands(&self) -> Vec<(&'a str, Vec<Owned<'a>>)> {
        self.commands
            .iter()
            .map(|(name, owned)| (*name, owned.clone()))
            .collect()
    }

    pub(super) fn is_ours(&self, container: &ObservedContainer) -> bool {
        self.ours.contains(&container.id)
    }

    /// What a container is called once the steps planned so far are done.
    pub(super) fn name_of<'b>(&'b self, container: &'b ObservedContainer) -> &'b ContainerName {
        match self.renamed.get(&container.id) {
            Some((name, _)) => name,
            None => &container.name,
        }
    }

    /// The step that gave a container the name it has then, if one did.
    pub(super) fn renamed_by(&self, container: &ObservedContainer) -> Option<StepId> {
        self.renamed.get(&container.id).map(|(_, step)| *step)
    }

    /// Who has a name once the steps planned so far are done.
    pub(super) fn holder(&self, name: &ContainerName) -> Option<&'a ObservedContainer> {
        self.holders.get(name).copied()
    }

    /// The step that must be done before the name can be taken, if any.
    pub(super) fn freed_by(&self, name: &ContainerName) -> Option<StepId> {
        self.freed.get(name).copied()
    }

    /// A free name to set `container` aside under: `shop-web-1.77c0`.
    pub(super) fn aside(&self, name: &ContainerName, generation: &str) -> ContainerName {
        let plain = ContainerName::new(format!("{name}.{generation}")).ok();
        let hashed = (0_u32..).filter_map(|attempt| {
            let hash = fingerprint::short_hash(&format!("{name} {generation} {attempt}"));
            ContainerName::new(format!("cosmos-aside-{hash}")).ok()
        });
        plain
            .into_iter()
            .chain(hashed)
            .find(|free| !self.holders.contains_key(free))
            .unwrap_or_else(|| name.clone())
    }

    pub(super) fn rename(
        &mut self,
        container: &'a ObservedContainer,
        to: ContainerName,
        by: StepId,
    ) {
        let from = self.name_of(container).clone();
        self.holders.remove(&from);
        self.freed.insert(from, by);
        self.holders.insert(to.clone(), container);
        self.renamed.insert(&container.id, (to, by));
    }

    pub(super) fn remove(&mut self, container: &'a ObservedContainer, by: StepId) {
        let name = self.name_of(container).clone();
        self.holders.remove(&name);
        self.freed.insert(name, by);
    }
}

/// Whether a container is called neither what it should be nor set aside.
fn is_stranger(identity: &Identity, container: &ObservedContainer, owner: &Owner) -> bool {
    let name = owner.name.as_deref().unwrap_or_default();
    let right = match owner.kind {
        Kind::Service => {
            ServiceName::new(name).map(|name| identity.container(&name, owner.replica))
        }
        _ => CommandName::new(name).map(|name| identity.command_container(&name)),
    };
    let Ok(right) = right else {
        return true;
    };
    let aside = container
        .name
        .as_str()
        .strip_prefix(right.as_str())
        .and_then(|rest| rest.strip_prefix('.'));
    container.name != right && aside != Some(owner.generation.as_str())
}
