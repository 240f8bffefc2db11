//! Recorded imperative orders, and how they join the declaration.
//!
//! An override is data: [`Overrides::apply`] merges it into the desired
//! workspace before planning, and the planner never knows it was there. The
//! words it leaves behind let a reason say who ordered what.

use serde::{Deserialize, Serialize};

use super::{
    desired::{RunState, Workspace},
    name::ServiceName,
};

/// One recorded order about one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Override {
    /// What was ordered.
    pub hold: Hold,
    /// By which words: `cosmos stop web`.
    pub by: String,
    /// When, in milliseconds since the epoch.
    pub at: u64,
}

/// What an override holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
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
    /// An order about a service that is not declared any more does nothing.
    pub fn apply(&self, declared: &Workspace) -> Workspace {
        let mut desired = declared.clone();
        for (name, order) in &self.0 {
            let Some(service) = desired.services.get_mut(name) else {
                continue;
            };
            match order.hold {
                Hold::Stopped => {
                    service.run = RunState::Stopped {
                        because: format!("held stopped by `{}`", order.by),
                    };
                }
                Hold::Started => service.run = RunState::Running,
                Hold::Replicas(count) => service.replicas = count,
            }
        }
        desired
    }

    /// What is held about this aspect of a service.
    pub fn hold(&self, service: &ServiceName, aspect: Aspect) -> Option<Hold> {
        self.0
            .iter()
            .find(|(name, order)| name == service && order.hold.aspect() == aspect)
            .map(|(_, order)| order.hold)
    }
}
