//! Services that are kept as they were, because their newest form did not come up.
//!
//! As with overrides, a fallback is data: [`Fallbacks::apply`] puts the earlier
//! form in place of the declared one before planning, and the planner never
//! knows. It is in force for just the form that failed: the next edit is tried,
//! and so is the same form again when a person says `cosmos up`.

use serde::{Deserialize, Serialize};

use super::{
    desired::{Service, Workspace},
    fingerprint::Fingerprint,
    name::ServiceName,
};

/// What is kept of one service, and instead of what.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Fallback {
    /// What did not come up.
    pub failed: Fingerprint,
    /// The last form that did.
    pub kept: Service,
    /// Why the other did not, in one line.
    pub because: String,
    /// When, in milliseconds since the epoch.
    pub at: u64,
}

/// The fallbacks in force for one workspace, by service.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Fallbacks(pub Vec<(ServiceName, Fallback)>);

impl Fallbacks {
    /// The workspace as declared, but for what is kept as it was.
    ///
    /// Only what makes a container is kept: how many there are, what they wait
    /// for and which networks they join is as declared.
    pub fn apply(&self, declared: &Workspace) -> Workspace {
        let mut desired = declared.clone();
        for (name, fallback) in &self.0 {
            let Some(service) = desired.services.get_mut(name) else {
                continue;
            };
            if Fingerprint::of_service(service) != fallback.failed {
                continue;
            }
            let networks = std::mem::take(&mut service.container.networks);
            service.container = fallback.kept.container.clone();
            service.container.networks = networks;
            service.health = fallback.kept.health.clone();
            service.route = fallback.kept.route.clone();
        }
        desired
    }

    /// The fallback that this form of a service is, if it was put back.
    pub fn of(&self, name: &ServiceName, form: &Service) -> Option<&Fallback> {
        let (_, fallback) = self.0.iter().find(|(service, _)| service == name)?;
        let spec = Fingerprint::of_service(form);
        (Fingerprint::of_service(&fallback.kept) == spec).then_some(fallback)
    }
}
