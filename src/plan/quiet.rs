//! What changes in a declaration and needs no step: a route, a probe, a policy.
//!
//! It is in force as soon as it is declared. Without a word about it a person
//! could not tell that from an edit that was not seen.

use serde::{Deserialize, Serialize};

use super::{
    action::{Plan, Subject},
    diff::{self, FieldChange},
};
use crate::workspace::{Command, Service, Workspace, fingerprint};

/// A change that is in force without a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Quiet {
    /// What changed: `web`, `volume shop_data`.
    pub of: String,
    /// How: `route changed: 3000 → 8080 (cosmos.toml:14)`.
    pub change: String,
}

impl Plan {
    /// Adds what changes between two declarations and has no step in this plan.
    ///
    /// `before` is the last one that was accepted, if the workspace was up.
    #[must_use]
    pub fn with_quiet_changes(mut self, before: Option<&Workspace>, after: &Workspace) -> Self {
        let Some(before) = before else {
            return self;
        };
        if is_same(before, after) {
            return self;
        }
        self.quiet = Quieter {
            before,
            after,
            plan: &self,
            found: Vec::new(),
        }
        .all();
        if !self.quiet.is_empty() {
            self.declaration = Some(digest(after));
        }
        self
    }
}

/// Where a value was written is no part of what is wanted.
fn is_same(before: &Workspace, after: &Workspace) -> bool {
    // By hand, and so that no field of a later version is left out.
    let Workspace {
        identity,
        network,
        proxy,
        services,
        commands,
        routes,
        volumes,
        networks,
        origins: _,
    } = before;
    *identity == after.identity
        && *network == after.network
        && *proxy == after.proxy
        && *services == after.services
        && *commands == after.commands
        && *routes == after.routes
        && *volumes == after.volumes
        && *networks == after.networks
}

fn digest(workspace: &Workspace) -> String {
    fingerprint::digest(&Workspace {
        origins: Default::default(),
        ..workspace.clone()
    })
}

struct Quieter<'a> {
    before: &'a Workspace,
    after: &'a Workspace,
    plan: &'a Plan,
    found: Vec<Quiet>,
}

impl Quieter<'_> {
    fn all(mut self) -> Vec<Quiet> {
        for (name, service) in &self.after.services {
            let subject = Subject::Service(name.clone());
            let path = format!("services.{name}");
            match self.before.services.get(name) {
                Some(before) => self.service(&subject, &path, before, service),
                None => self.unless_planned(&subject, "declared".to_owned()),
            }
        }
        for (name, command) in &self.after.commands {
            let subject = Subject::Command(name.clone());
            let path = format!("commands.{name}");
            match self.before.commands.get(name) {
                Some(before) => self.command(&subject, &path, before, command),
                None => self.unless_planned(&subject, "declared".to_owned()),
            }
        }
        self.gone();
        self.routes();
        self.what_is_made_once();
        self.found
    }

    fn service(&mut self, subject: &Subject, path: &str, before: &Service, after: &Service) {
        if before == after {
            return;
        }
        let origins = &self.after.origins;
        let mut changes = diff::conduct(before, after, path, origins);
        // What a step is about is in its reason.
        let is_planned = self.is_planned(subject);
        if !is_planned {
            let (old, new) = (&before.container, &after.container);
            changes.extend(diff::changes(old, new, path, origins));
            changes.extend(diff::limits(&old.resources, &new.resources, path, origins));
        }
        if changes.is_empty() && !is_planned {
            changes.push(FieldChange::new(
                "declaration",
                String::new(),
                path,
                origins,
            ));
        }
        for change in changes {
            let after = if is_planned {
                ""
            } else {
                ", nothing to restart"
            };
            self.note(&subject.to_string(), format!("{change}{after}"));
        }
    }

    fn command(&mut self, subject: &Subject, path: &str, before: &Command, after: &Command) {
        if before != after {
            let change = FieldChange::new("declaration", String::new(), path, &self.after.origins);
            self.unless_planned(subject, format!("{change}, for its next run"));
        }
    }

    /// Parts that are not declared any more and had nothing to remove.
    fn gone(&mut self) {
        let services = self.before.services.keys();
        let services = services.filter(|name| !self.after.services.contains_key(*name));
        let commands = self.before.commands.keys();
        let commands = commands.filter(|name| !self.after.commands.contains_key(*name));
        let gone: Vec<_> = services
            .map(ToString::to_string)
            .chain(commands.map(ToString::to_string))
            .collect();
        for name in gone {
            let subject = Subject::Orphan(name);
            self.unless_planned(&subject, "not declared any more".to_owned());
        }
    }

    fn routes(&mut self) {
        let (before, after) = (&self.before.routes, &self.after.routes);
        let mut found = Vec::new();
        for (name, route) in after {
            match before.get(name) {
                None => found.push((name, "declared".to_owned())),
                Some(before) if before != route => {
                    // An upstream may have a password in it.
                    let (path, origins) = (format!("routes.{name}"), &self.after.origins);
                    let change = FieldChange::new("route", String::new(), &path, origins);
                    found.push((name, change.to_string()));
                }
                Some(_) => {}
            }
        }
        let gone = before.keys().filter(|name| !after.contains_key(*name));
        found.extend(gone.map(|name| (name, "not declared any more".to_owned())));
        for (name, change) in found {
            self.note(&format!("route {name}"), change);
        }
    }

    /// Networks, volumes and the proxy are made once, and keep what they were made with.
    fn what_is_made_once(&mut self) {
        const LATER: &str = "settings changed, for when it is made anew";
        let (before, after) = (self.before, self.after);
        if before.network.name == after.network.name && before.network != after.network {
            self.note(&format!("network {}", after.network.name), LATER.to_owned());
        }
        for (name, network) in &after.networks {
            let changed = before.networks.get(name).is_some_and(|it| it != network);
            if changed {
                self.note(&format!("network {name}"), LATER.to_owned());
            }
        }
        for (name, volume) in &after.volumes {
            let changed = before.volumes.get(name).is_some_and(|it| it != volume);
            if changed {
                self.note(&format!("volume {name}"), LATER.to_owned());
            }
        }
        if before.proxy != after.proxy {
            self.note("the proxy", LATER.to_owned());
        }
    }

    fn is_planned(&self, subject: &Subject) -> bool {
        let name = subject.to_string();
        let mut subjects = self.plan.steps.iter().map(|step| &step.subject);
        let is_it = |one: &Subject| match one {
            Subject::Service(_) | Subject::Command(_) | Subject::Orphan(_) => {
                one.to_string() == name
            }
            Subject::Image(_) | Subject::Network(_) | Subject::Volume(_) => false,
        };
        let mut blocked = self.plan.blocked.iter().map(|blocked| &blocked.subject);
        subjects.any(is_it) || blocked.any(is_it)
    }

    fn unless_planned(&mut self, subject: &Subject, change: String) {
        if !self.is_planned(subject) {
            self.note(&subject.to_string(), change);
        }
    }

    fn note(&mut self, of: &str, change: String) {
        self.found.push(Quiet {
            of: of.to_owned(),
            change,
        });
    }
}
