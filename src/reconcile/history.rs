//! What was done to a workspace and why: the memory behind `history` and `why`.
//!
//! An entry is written before the first effect of what it tells, and again when
//! that is over. [`critical_path`] and [`chain`] are what people ask of it.

use std::{collections::BTreeSet, fmt};

use serde::{Deserialize, Serialize};

use super::event::{Event, Problem};
use crate::{
    plan::{Plan, StepId, StepSummary, Subject},
    store::Stored,
    workspace::ServiceName,
};

pub use crate::store::{EntryState, RevisionState};

/// Why something was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Cause {
    /// The workspace was ordered so.
    Up {
        /// In which words: `cosmos up`.
        by: String,
    },
    /// It was ordered to be gone.
    Down {
        /// In which words.
        by: String,
    },
    /// An order about one service.
    Order {
        /// In which words: `cosmos stop web`.
        by: String,
        /// Who gave it: `anna@host`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<String>,
        /// What for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
        /// What it leaves behind: a hold that was recorded or released.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// The time of a hold is over: the service follows the config again.
    HoldEnded {
        /// The service.
        service: ServiceName,
        /// The words of the order that held it.
        by: String,
    },
    /// Nobody ordered it: what was so is no more.
    Healing,
    /// A service's new form did not come up, and the one before was put back.
    RollBack {
        /// The service.
        service: ServiceName,
        /// What did not come up, in one line.
        because: String,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Up { by } | Self::Down { by } | Self::Order { by, .. } => write!(f, "`{by}`"),
            Self::HoldEnded { by, .. } => write!(f, "the end of `{by}`"),
            Self::Healing => f.write_str("healing"),
            Self::RollBack { service, .. } => write!(f, "roll-back of {service}"),
        }
    }
}

/// What was done at one time, for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Doing {
    /// Why.
    pub cause: Cause,
    /// Its steps.
    pub steps: Vec<Told>,
    /// How long all of it took, in milliseconds; 0 until it is over.
    pub millis: u64,
}

/// A step, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Told {
    /// The step.
    #[serde(flatten)]
    pub step: StepSummary,
    /// When it began, in milliseconds after the whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<u64>,
    /// What became of it.
    #[serde(default)]
    pub result: StepResult,
}

/// What became of a step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "result")]
pub enum StepResult {
    /// It is not known: it was not begun, or its end was not seen.
    #[default]
    Unknown,
    /// It was done.
    Done {
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// It failed.
    Failed {
        /// Why.
        problem: Problem,
    },
    /// It was not tried, because one that it needs failed.
    Skipped,
}

impl Doing {
    /// Carrying out a plan, which begins.
    pub fn of(cause: Cause, plan: &Plan) -> Self {
        let told = |step| Told {
            step,
            began: None,
            result: StepResult::Unknown,
        };
        Self {
            cause,
            steps: plan.summaries().into_iter().map(told).collect(),
            millis: 0,
        }
    }

    /// Takes in what happened, so many milliseconds after the beginning.
    pub fn note(&mut self, event: &Event, after: u64) {
        let (id, result) = match event {
            Event::StepStarted { step } => {
                if let Some(told) = self.step(*step) {
                    told.began = Some(after);
                }
                return;
            }
            Event::StepSucceeded { step, millis } => (*step, StepResult::Done { millis: *millis }),
            Event::StepFailed { step, problem } => {
                let problem = problem.clone();
                (*step, StepResult::Failed { problem })
            }
            Event::StepSkipped { step, .. } => (*step, StepResult::Skipped),
            _ => return,
        };
        if let Some(told) = self.step(id) {
            told.result = result;
        }
    }

    /// The lines that containers which failed said last.
    pub fn outputs(&mut self) -> impl Iterator<Item = &mut String> {
        let problems = self
            .steps
            .iter_mut()
            .filter_map(|told| match &mut told.result {
                StepResult::Failed { problem } => Some(problem),
                _ => None,
            });
        problems.flat_map(|problem| &mut problem.output)
    }

    fn step(&mut self, id: StepId) -> Option<&mut Told> {
        self.steps.iter_mut().find(|told| told.step.id == id)
    }
}

impl Told {
    /// When it was over, in milliseconds after the beginning of the whole.
    fn ended(&self) -> Option<u64> {
        let StepResult::Done { millis } = self.result else {
            return None;
        };
        Some(self.began? + millis)
    }
}

/// The steps that the whole had to wait for: each began as soon as the one before
/// it was over, and the last one was over last.
///
/// Waits for a turn at the engine are in the time between two of them.
pub fn critical_path(steps: &[Told]) -> Vec<&Told> {
    let by_id = |id: &StepId| steps.iter().find(|told| told.step.id == *id);
    let mut path = Vec::new();
    let mut next = steps.iter().max_by_key(|told| told.ended());
    // Each step needs only earlier ones, so this ends.
    while let Some(told) = next.filter(|told| told.ended().is_some()) {
        path.push(told);
        let needs = told.step.needs.iter().filter_map(by_id);
        next = needs.max_by_key(|need| need.ended());
    }
    path.reverse();
    path
}

/// What made a service what it is now, newest first: every entry that did
/// something to it since its containers were made, and the one that made them.
pub fn chain<'a>(
    entries: &'a [Stored<Doing>],
    service: &ServiceName,
) -> Vec<(&'a Stored<Doing>, Vec<&'a Told>)> {
    let mut chain = Vec::new();
    for entry in entries {
        let all = &entry.form.steps;
        let in_the_way = in_the_way(all, service);
        let steps: Vec<_> = all
            .iter()
            .filter(|told| is_about(told, service) || in_the_way.contains(&told.step.id))
            .collect();
        let made_it = steps.iter().any(|told| {
            told.step.action.starts_with("launch ")
                && matches!(told.result, StepResult::Done { .. })
        });
        if !steps.is_empty() || is_ordered(&entry.form.cause, service) {
            chain.push((entry, steps));
        }
        if made_it && entry.state != EntryState::Failed {
            break;
        }
    }
    chain
}

/// The failed steps for which steps about the service were not tried: an image that
/// could not be pulled is why it has no container.
fn in_the_way(all: &[Told], service: &ServiceName) -> BTreeSet<StepId> {
    let mut needed: Vec<StepId> = all
        .iter()
        .filter(|told| is_about(told, service) && told.result == StepResult::Skipped)
        .flat_map(|told| told.step.needs.iter().copied())
        .collect();
    let mut failed = BTreeSet::new();
    let mut seen = BTreeSet::new();
    while let Some(id) = needed.pop() {
        let Some(told) = all.iter().find(|told| told.step.id == id) else {
            continue;
        };
        match told.result {
            StepResult::Failed { .. } => drop(failed.insert(id)),
            StepResult::Skipped if seen.insert(id) => needed.extend(&told.step.needs),
            _ => {}
        }
    }
    failed
}

fn is_about(told: &Told, service: &ServiceName) -> bool {
    matches!(&told.step.subject, Subject::Service(name) if name == service)
}

/// Whether the words of an order name the service.
fn is_ordered(cause: &Cause, service: &ServiceName) -> bool {
    match cause {
        Cause::HoldEnded { service: name, .. } => name == service,
        Cause::Order { by, .. } => by.split([' ', '=']).any(|word| word == service.as_str()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Sign;

    fn told(id: u32, needs: &[u32], began: u64, millis: u64) -> Told {
        Told {
            step: StepSummary {
                id: StepId(id),
                needs: needs.iter().copied().map(StepId).collect(),
                subject: Subject::Orphan("it".to_owned()),
                action: format!("do {id}"),
                sign: Sign::Change,
                reason: String::new(),
                loses: None,
            },
            began: Some(began),
            result: StepResult::Done { millis },
        }
    }

    fn path(steps: &[Told]) -> Vec<u32> {
        critical_path(steps)
            .iter()
            .map(|told| told.step.id.0)
            .collect()
    }

    #[test]
    fn the_critical_path_leads_to_the_last_end_through_the_last_needs() {
        let steps = [
            told(1, &[], 0, 10),
            told(2, &[], 0, 300),
            told(3, &[1, 2], 300, 50),
            told(4, &[1], 10, 20),
        ];
        assert_eq!(path(&steps), [2, 3]);
    }

    #[test]
    fn a_step_that_failed_is_on_no_critical_path() {
        let mut steps = [told(1, &[], 0, 10), told(2, &[1], 10, 500)];
        steps[1].result = StepResult::Skipped;
        assert_eq!(path(&steps), [1]);
    }

    #[test]
    fn nothing_done_has_no_critical_path() {
        assert_eq!(path(&[]), Vec::<u32>::new());
    }
}
