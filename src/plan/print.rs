//! How a plan reads: a line a step, a word for each action, a digest of the whole.
//!
//! The text is what tests compare and what `cosmos plan` starts from, so it is
//! the same for the same inputs, and never holds a value that may be secret.

use std::fmt;

use super::action::{Action, Plan, Reread, Sign, Step, StepId, StepSummary, Subject};
use crate::workspace::{Hooks, fingerprint};

impl Plan {
    /// Whether there is nothing to do, nothing in the way, and nothing that changes
    /// without a step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty() && self.blocked.is_empty() && self.quiet.is_empty()
    }

    /// How many steps change something: all but the waits.
    pub fn writes(&self) -> usize {
        let is_write = |step: &&Step| !matches!(step.action, Action::Await { .. });
        self.steps.iter().filter(is_write).count()
    }

    /// What people and the wire see of the steps.
    pub fn summaries(&self) -> Vec<StepSummary> {
        self.steps.iter().map(Step::summary).collect()
    }

    /// What is lost by it that nothing brings back, a line each.
    pub fn losses(&self) -> Vec<String> {
        let loss = |step: &Step| {
            let loses = step.loses.as_ref()?;
            Some(format!("{}: {loses}", step.action))
        };
        self.steps.iter().filter_map(loss).collect()
    }

    /// Stands for everything the plan would do: two plans with one digest do
    /// the same. Reasons are left out, since moving a line of the file changes
    /// a reason and nothing else; so are builds, which whoever has the context
    /// does first, and the plan after that is still the one that was looked at.
    pub fn digest(&self) -> String {
        let is_build = |step: &&Step| matches!(step.action, Action::BuildImage { .. });
        let builds: Vec<_> = self.steps.iter().filter(is_build).map(|it| it.id).collect();
        let number = |id: StepId| {
            let before = builds.iter().filter(|build| **build < id).count();
            id.0.saturating_sub(u32::try_from(before).unwrap_or(u32::MAX))
        };
        let needs = |step: &Step| -> Vec<u32> {
            let needs = step.needs.iter().filter(|need| !builds.contains(need));
            needs.map(|need| number(*need)).collect()
        };
        let steps: Vec<_> = self
            .steps
            .iter()
            .filter(|step| !builds.contains(&step.id))
            .map(|step| (number(step.id), needs(step), &step.subject, &step.action))
            .collect();
        match &self.declaration {
            None => fingerprint::digest(&steps),
            Some(declaration) => fingerprint::digest(&(steps, declaration)),
        }
    }
}

impl Step {
    /// What people and the wire see of it.
    pub fn summary(&self) -> StepSummary {
        StepSummary {
            id: self.id,
            needs: self.needs.clone(),
            subject: self.subject.clone(),
            action: self.action.to_string(),
            sign: self.action.sign(),
            reason: self.reason.clone(),
            loses: self.loses.clone(),
        }
    }
}

impl Action {
    /// How it reads in a plan tree.
    pub fn sign(&self) -> Sign {
        match self {
            Self::PullImage { .. }
            | Self::BuildImage { .. }
            | Self::CreateNetwork { .. }
            | Self::CreateVolume { .. }
            | Self::Create(_)
            | Self::Launch(_) => Sign::Add,
            Self::RemoveNetwork { .. } | Self::RemoveVolume { .. } | Self::Remove { .. } => {
                Sign::Remove
            }
            Self::ConnectNetwork { .. }
            | Self::DisconnectNetwork { .. }
            | Self::Start { .. }
            | Self::Restart { .. }
            | Self::Stop { .. }
            | Self::Rename { .. }
            | Self::Update { .. }
            | Self::Reload { .. } => Sign::Change,
            Self::Await { .. } => Sign::Wait,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PullImage { image } => write!(f, "pull {image}"),
            Self::BuildImage { image } => write!(f, "build {image}"),
            Self::CreateNetwork { network, .. } => write!(f, "create network {}", network.name),
            Self::RemoveNetwork { network } => write!(f, "remove network {network}"),
            Self::ConnectNetwork {
                container, network, ..
            } => write!(f, "connect {container} to {network}"),
            Self::DisconnectNetwork { container, network } => {
                write!(f, "disconnect {container} from {network}")
            }
            Self::CreateVolume { volume, .. } => write!(f, "create volume {volume}"),
            Self::RemoveVolume { volume } => write!(f, "remove volume {volume}"),
            Self::Create(launch) => write!(f, "create {}", launch.name),
            Self::Launch(launch) => {
                let hooks = &launch.container.hooks;
                write!(f, "launch {}{}", launch.name, After(hooks))
            }
            Self::Start { container, hooks } => write!(f, "start {container}{}", After(hooks)),
            Self::Restart {
                container, hooks, ..
            } => write!(f, "{}restart {container}{}", Before(hooks), After(hooks)),
            Self::Stop {
                container, hooks, ..
            } => write!(f, "{}stop {container}", Before(hooks)),
            Self::Remove { container } => write!(f, "remove {container}"),
            Self::Rename { from, to } => write!(f, "rename {from} to {to}"),
            Self::Update { container, .. } => write!(f, "update {container}"),
            Self::Reload {
                container, then, ..
            } => match then {
                Reread::AtStart => write!(f, "write the files of {container}"),
                Reread::Signals(signals) => {
                    write!(f, "reload {container} ({})", signals.join(", "))
                }
                Reread::Restart { hooks, .. } => write!(
                    f,
                    "{}reload {container} (restart){}",
                    Before(hooks),
                    After(hooks)
                ),
            },
            Self::Await {
                containers,
                condition,
                ..
            } => {
                f.write_str("wait for")?;
                for container in containers {
                    write!(f, " {container}")?;
                }
                write!(f, ": {condition}")
            }
        }
    }
}

/// What is run in a container before it is stopped, if anything is.
struct Before<'a>(&'a Hooks);

impl fmt::Display for Before<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.pre_stop.is_empty() {
            true => Ok(()),
            false => f.write_str("run pre_stop, then "),
        }
    }
}

/// What is run in a container once it is started, if anything is.
struct After<'a>(&'a Hooks);

impl fmt::Display for After<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.post_start.is_empty() {
            true => Ok(()),
            false => f.write_str(", then run post_start"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "{name}"),
            Self::Command(name) => write!(f, "{name}"),
            Self::Image(image) => write!(f, "{image}"),
            Self::Network(network) => write!(f, "{network}"),
            Self::Volume(volume) => write!(f, "{volume}"),
            Self::Orphan(name) => f.write_str(name),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows: Vec<[String; 3]> = self
            .steps
            .iter()
            .map(|step| [step.id.to_string(), step.action.to_string(), after(step)])
            .collect();
        let width = |column: usize| {
            let longest = rows.iter().map(|row| row[column].chars().count()).max();
            longest.unwrap_or(0)
        };
        let (ids, actions, needs) = (width(0), width(1), width(2));
        // A plan in which nothing waits for anything needs no such column.
        let gap = if needs == 0 { "" } else { "  " };
        for ([id, action, after], step) in rows.iter().zip(&self.steps) {
            let reason = &step.reason;
            let loses = step.loses.as_ref();
            let loses = loses.map(|loses| format!("  ! loses {loses}"));
            let loses = loses.unwrap_or_default();
            writeln!(
                f,
                "{id:ids$} {action:actions$}{gap}{after:needs$}  {reason}{loses}"
            )?;
        }
        for quiet in &self.quiet {
            writeln!(f, "= {}  {}", quiet.of, quiet.change)?;
        }
        for blocked in &self.blocked {
            writeln!(f, "blocked {}: {}", blocked.subject, blocked.why)?;
            if let Some(hint) = &blocked.hint {
                writeln!(f, "   hint: {hint}")?;
            }
        }
        for ignored in &self.ignored {
            writeln!(f, "ignored {}: {}", ignored.container, ignored.why)?;
        }
        Ok(())
    }
}

/// `after 1 4`, or nothing for a step that can go at once.
fn after(step: &Step) -> String {
    if step.needs.is_empty() {
        return String::new();
    }
    let needs: Vec<_> = step.needs.iter().map(|need| need.0.to_string()).collect();
    format!("after {}", needs.join(" "))
}
