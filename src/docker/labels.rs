//! The labels that say whose a container is.
//!
//! They are the only state of ours that the engine keeps, and they are what a
//! new proxy adopts a running world by. Anyone with the engine's socket can
//! write them, so they never grant a right.

use std::collections::{BTreeMap, HashMap};

use crate::workspace::{Fingerprint, Installation, Kind, Owner};

/// What all of our labels begin with.
pub const PREFIX: &str = "dev.cosmos.";
/// `true` on everything that Cosmos made.
pub const MANAGED: &str = "dev.cosmos.managed";
/// Which of several installations made it.
pub const INSTALLATION: &str = "dev.cosmos.installation";
/// The workspace's name, without the instance.
pub const WORKSPACE: &str = "dev.cosmos.workspace";
/// Which checkout of the workspace, if not the only one.
pub const INSTANCE: &str = "dev.cosmos.instance";
/// The service, or with kind `command` the command.
pub const SERVICE: &str = "dev.cosmos.service";
/// Which replica, from 1.
pub const REPLICA: &str = "dev.cosmos.replica";
/// Service, command, ad-hoc or proxy.
pub const KIND: &str = "dev.cosmos.kind";
/// The fingerprint of what it was made from.
pub const SPEC: &str = "dev.cosmos.spec";
/// Which incarnation.
pub const GENERATION: &str = "dev.cosmos.generation";
/// The project's folder.
pub const FOLDER: &str = "dev.cosmos.folder";
/// Which version of Cosmos an image or a proxy is.
pub const VERSION: &str = "dev.cosmos.version";
/// The hash of the executable in a self-made image.
pub const BUILD: &str = "dev.cosmos.build";

/// The labels that everything of an installation has.
pub fn of_installation(installation: &Installation) -> BTreeMap<String, String> {
    BTreeMap::from([
        (MANAGED.to_owned(), "true".to_owned()),
        (INSTALLATION.to_owned(), installation.to_string()),
    ])
}

/// The labels of something that belongs to a workspace, by its key.
pub fn of_workspace(key: &str, installation: &Installation) -> BTreeMap<String, String> {
    let mut labels = of_installation(installation);
    // Neither part can have a dot: both are DNS labels.
    let (instance, name) = match key.split_once('.') {
        Some((instance, name)) => (Some(instance), name),
        None => (None, key),
    };
    labels.insert(WORKSPACE.to_owned(), name.to_owned());
    if let Some(instance) = instance {
        labels.insert(INSTANCE.to_owned(), instance.to_owned());
    }
    labels
}

/// The labels of a container.
pub fn of_owner(owner: &Owner, installation: &Installation) -> BTreeMap<String, String> {
    let mut labels = match &owner.workspace {
        Some(key) => of_workspace(key, installation),
        None => of_installation(installation),
    };
    let mut put = |label: &str, value: &str| labels.insert(label.to_owned(), value.to_owned());
    put(KIND, owner.kind.as_str());
    put(SPEC, owner.spec.as_str());
    put(GENERATION, &owner.generation);
    put(REPLICA, &owner.replica.to_string());
    if let Some(name) = &owner.name {
        put(SERVICE, name);
    }
    if let Some(folder) = &owner.folder {
        put(FOLDER, folder);
    }
    labels
}

/// Whether something was made by this installation.
pub fn is_ours(labels: &HashMap<String, String>, installation: &Installation) -> bool {
    labels
        .get(INSTALLATION)
        .is_some_and(|name| name == installation.as_str())
}

/// The key of the workspace that something belongs to.
pub fn workspace_key(labels: &HashMap<String, String>) -> Option<String> {
    let name = labels.get(WORKSPACE)?;
    Some(match labels.get(INSTANCE) {
        Some(instance) => format!("{instance}.{name}"),
        None => name.clone(),
    })
}

/// Reads the owner back. Only what this installation made has one.
pub fn owner(labels: &HashMap<String, String>, installation: &Installation) -> Option<Owner> {
    if !is_ours(labels, installation) {
        return None;
    }
    let text = |label: &str| labels.get(label).cloned();
    Some(Owner {
        kind: Kind::from_label(labels.get(KIND)?)?,
        workspace: workspace_key(labels),
        folder: text(FOLDER),
        name: text(SERVICE),
        replica: labels
            .get(REPLICA)
            .and_then(|replica| replica.parse().ok())
            .unwrap_or(1),
        spec: Fingerprint::from_label(&text(SPEC).unwrap_or_default()),
        generation: text(GENERATION).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shop(workspace: Option<&str>) -> Owner {
        Owner {
            kind: Kind::Service,
            workspace: workspace.map(str::to_owned),
            folder: Some("/src/shop".to_owned()),
            name: Some("web".to_owned()),
            replica: 2,
            spec: Fingerprint::from_label("cafe"),
            generation: "k3x9".to_owned(),
        }
    }

    fn read(labels: BTreeMap<String, String>, installation: &str) -> Option<Owner> {
        let installation = Installation::new(installation).unwrap();
        owner(&labels.into_iter().collect(), &installation)
    }

    #[test]
    fn an_owner_survives_its_labels() {
        for key in [None, Some("shop"), Some("fix-42.shop")] {
            let owner = shop(key);
            let labels = of_owner(&owner, &Installation::default());
            assert_eq!(read(labels, "cosmos"), Some(owner));
        }
    }

    #[test]
    fn the_workspace_label_is_the_name_without_the_instance() {
        let labels = of_owner(&shop(Some("fix-42.shop")), &Installation::default());
        assert_eq!(labels[WORKSPACE], "shop");
        assert_eq!(labels[INSTANCE], "fix-42");
    }

    #[test]
    fn what_another_installation_made_has_no_owner_here() {
        let labels = of_owner(&shop(Some("shop")), &Installation::default());
        assert_eq!(read(labels, "second"), None);
    }

    #[test]
    fn a_kind_we_do_not_know_is_not_ours_to_touch() {
        let mut labels = of_owner(&shop(Some("shop")), &Installation::default());
        labels.insert(KIND.to_owned(), "planet".to_owned());
        assert_eq!(read(labels, "cosmos"), None);
    }
}
