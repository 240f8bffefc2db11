//! Files of a container that is there, changed in it: those whose config says by
//! a `reload` how its process comes to read another content.
//!
//! What a container has of them is known from memory alone: no engine tells the
//! content of a file. What is not known is written again, which harms nothing.

use std::collections::BTreeMap;

use super::{
    action::{Action, Reread},
    diff,
    estate::Owned,
    planner::{Planner, is_alive},
    reason::Reason,
    replace::Wanted,
};
use crate::workspace::{Container, File, Fingerprint, Reload, Service};

impl<'a> Planner<'a> {
    /// The declaration that a container was made from with every file in its
    /// fingerprint, if but for the content of files with a `reload` it is the
    /// wanted one: a Cosmos made it that could not change them, or none of its
    /// files had a `reload` then.
    pub(super) fn made_with_files(
        &self,
        wanted: &Wanted<'a>,
        one: &Owned<'_>,
    ) -> Option<&'a Container> {
        let service = wanted.service;
        service.container.reloadable().next()?;
        let applied = self.memory.applied.get(&one.owner.spec);
        let container = applied.unwrap_or(&service.container);
        let mut made = Service {
            container: container.clone(),
            ..service.clone()
        };
        if Fingerprint::of_service_with_files(&made) != one.owner.spec {
            return None;
        }
        for file in &mut made.container.files {
            let mut files = service.container.files.iter();
            let declared = files.find(|declared| declared.target == file.target);
            file.reload = declared.and_then(|declared| declared.reload.clone());
        }
        (Fingerprint::of_service(&made) == wanted.spec).then_some(container)
    }

    /// What has to be changed of the files in a container, and why.
    pub(super) fn reload(
        &self,
        wanted: &Wanted<'a>,
        one: &Owned<'_>,
    ) -> Option<(Action, Reason<'a>)> {
        let container = &wanted.service.container;
        let has = self.files_of(wanted, one);
        let is_other = |file: &&File| has.get(&file.target) != Some(&file.digest());
        let files: Vec<File> = container.reloadable().filter(is_other).cloned().collect();
        if files.is_empty() {
            return None;
        }
        let reason = match files.iter().all(|file| has.contains_key(&file.target)) {
            true => {
                let change = diff::reloaded(&files, &wanted.path, &self.desired.origins);
                Reason::Changed(vec![change], None)
            }
            false => Reason::FilesUnknown,
        };
        let action = Action::Reload {
            container: wanted.name.clone(),
            id: one.container.id.clone(),
            then: reread(container, &files, one),
            files,
        };
        Some((action, reason))
    }

    /// What a container has of such files, as far as it is known.
    fn files_of(&self, wanted: &Wanted<'a>, one: &Owned<'_>) -> BTreeMap<String, String> {
        if wanted.service.container.reloadable().next().is_none() {
            return BTreeMap::new();
        }
        let made = self.made_with_files(wanted, one).into_iter();
        let mut has: BTreeMap<String, String> = made
            .flat_map(|container| &container.files)
            .map(|file| (file.target.clone(), file.digest()))
            .collect();
        let written = self.memory.files.get(&one.container.id);
        has.extend(written.cloned().unwrap_or_default());
        has
    }
}

/// Whether a step restarts a container for its files.
pub(super) fn is_restart(action: &Action) -> bool {
    matches!(
        action,
        Action::Reload {
            then: Reread::Restart { .. },
            ..
        }
    )
}

/// What is done once the files are there. A restart reads all of them, so that no
/// signal is needed beside it.
fn reread(container: &Container, files: &[File], one: &Owned<'_>) -> Reread {
    // A signal for a frozen process waits until it is not.
    if !is_alive(one.container) {
        return Reread::AtStart;
    }
    let mut signals = Vec::new();
    for reload in files.iter().filter_map(|file| file.reload.as_ref()) {
        match reload {
            Reload::Signal(signal) if !signals.contains(signal) => signals.push(signal.clone()),
            Reload::Signal(_) => {}
            Reload::Restart => {
                return Reread::Restart {
                    grace: container.stop_grace,
                    hooks: container.hooks.clone(),
                };
            }
        }
    }
    Reread::Signals(signals)
}
