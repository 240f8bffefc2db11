//! Recorded imperative orders, and how they join the declaration.
//!
//! An override is data: [`Overrides::apply`] merges it into the desired
//! workspace before planning, and the planner never knows it was there. The
//! words it leaves behind let a reason say who ordered what.
//!
//! Which order does what in which state is written down in `docs/overrides.md`,
//! and that page is the test of it.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::{
    desired::{Origin, RunState, Workspace},
    name::ServiceName,
};

/// One recorded order about one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Override {
    /// What was ordered.
    #[serde(rename = "what", alias = "hold")]
    pub hold: Hold,
    /// By which words: `cosmos stop web`.
    pub by: String,
    /// By whom: `anna@host`, if that is known.
    #[serde(default)]
    pub who: Option<String>,
    /// When, in milliseconds since the epoch.
    pub at: u64,
    /// When it ends by itself, in milliseconds since the epoch, if it does.
    #[serde(default)]
    pub until: Option<u64>,
    /// What for, in the words of whoever ordered it.
    #[serde(default)]
    pub why: Option<String>,
}

/// What an override holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Hold {
    /// It stays stopped.
    Stopped,
    /// It runs, though its profile is off.
    Started,
    /// It has this many replicas.
    Replicas(u32),
}

impl Hold {
    /// What of a service it is about.
    pub fn aspect(self) -> Aspect {
        match self {
            Self::Stopped | Self::Started => Aspect::Run,
            Self::Replicas(_) => Aspect::Replicas,
        }
    }
}

impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("held stopped"),
            Self::Started => f.write_str("held started"),
            Self::Replicas(count) => write!(f, "scaled to {count}"),
        }
    }
}

/// What of a service an order is about. Of each there is at most one order, and
/// the orders about different ones stand side by side: a stop keeps a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aspect {
    /// Whether it runs.
    Run,
    /// How many there are of it.
    Replicas,
}

impl Aspect {
    /// The word for it in the state.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Replicas => "replicas",
        }
    }
}

/// The orders in force for one workspace, by service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides(pub Vec<(ServiceName, Override)>);

impl Overrides {
    /// The workspace as declared, with these orders on top.
    ///
    /// An order about a service that is not declared any more does nothing, and
    /// neither does a number of replicas that its declaration has come to forbid.
    pub fn apply(&self, declared: &Workspace) -> Workspace {
        let mut desired = declared.clone();
        for (name, order) in &self.0 {
            let Some(service) = desired.services.get_mut(name) else {
                continue;
            };
            let key = match order.hold {
                Hold::Stopped => {
                    service.run = RunState::Stopped {
                        because: format!("{} by `{}`", order.hold, order.by),
                    };
                    continue;
                }
                Hold::Started if service.run == RunState::Off => {
                    service.run = RunState::Running;
                    "run"
                }
                Hold::Replicas(count) if service.cannot_be(count).is_none() => {
                    service.replicas = count;
                    "replicas"
                }
                Hold::Started | Hold::Replicas(_) => continue,
            };
            let by = order.by.clone();
            let origin = Origin::Ordered { by };
            desired
                .origins
                .0
                .insert(format!("services.{name}.{key}"), origin);
        }
        desired
    }

    /// The order about this aspect of a service.
    pub fn about(&self, service: &str, aspect: Aspect) -> Option<&Override> {
        self.0
            .iter()
            .find(|(name, order)| name.as_str() == service && order.hold.aspect() == aspect)
            .map(|(_, order)| order)
    }

    /// The services that are held stopped.
    pub fn stopped(&self) -> BTreeSet<ServiceName> {
        let stopped = |(_, order): &&(ServiceName, Override)| order.hold == Hold::Stopped;
        let stopped = self.0.iter().filter(stopped);
        stopped.map(|(name, _)| name.clone()).collect()
    }

    /// What is held about this aspect of a service.
    pub fn hold(&self, service: &ServiceName, aspect: Aspect) -> Option<Hold> {
        self.about(service.as_str(), aspect).map(|order| order.hold)
    }
}
