//! What to do, and why: `(desired, observed, memory) -> Plan`.
//!
//! Pure. The plan chooses every name, so that nothing flows from one step to
//! the next when it is carried out, and every choice is tested without an
//! engine. It prints as text, a line a step; tests compare that text.
//!
//! Start reading at `planner`; `replace` holds how one replica is made right,
//! `reload` how files are changed in it, `command` when a one-shot runs, `needs`
//! what must be there before, and `diff` with `reason` how a step says why.

mod action;
mod changes;
mod command;
mod diff;
mod estate;
mod needs;
mod networks;
mod planner;
mod print;
mod quiet;
mod reason;
mod reload;
mod replace;
mod restart;
mod select;
mod teardown;
#[cfg(test)]
pub(crate) mod test_workspace;
#[cfg(test)]
mod tests;

pub use action::{
    Action, Blocked, Ignored, Launch, Plan, Reread, Sign, Step, StepId, StepSummary, Subject,
};
pub use changes::{CHANGES, Change, Effect};
pub use command::completed_run;
pub use planner::plan;
pub use quiet::Quiet;
pub use restart::restart;
pub use teardown::{Volumes, teardown};
