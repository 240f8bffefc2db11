//! Why a step is in a plan. No step is without a reason, and a reason names the
//! field and the line where it knows them.

use std::fmt;

use super::diff::FieldChange;
use crate::workspace::{ContainerName, ContainerState, NetworkName, Origin};

/// Why a step is in a plan.
pub(super) enum Reason<'a> {
    /// It was never there.
    New(Option<&'a Origin>),
    /// It was there once.
    Missing(Option<&'a Origin>),
    /// Its declaration is not what its container was made from.
    Changed(Vec<FieldChange>, Option<&'a Origin>),
    /// Its tag stands for another image now.
    Moved {
        /// The reference.
        image: &'a str,
        /// The id of the image it runs.
        from: &'a str,
        /// The id of the image it should run.
        to: &'a str,
    },
    /// Limits of the live container are not the declared ones.
    Limits(Vec<FieldChange>),
    /// What a container has of the files that can be changed in it is not remembered.
    FilesUnknown,
    /// It should run and does not.
    Down(ContainerState),
    /// Somebody else has the host port that it was given.
    PortLost,
    /// It has another name.
    Renamed(&'a ContainerName),
    /// It was set aside for one that is not wanted any more.
    SetAside,
    /// It is not in one of its networks.
    Disconnected(&'a NetworkName),
    /// It is in a network that its declaration does not name any more.
    Left(Option<&'a Origin>),
    /// A newer container takes its place.
    Replaced,
    /// It is in the way of a name.
    InTheWay(&'a ContainerName),
    /// Another container of the same replica is the one to keep.
    LeftOver(&'a ContainerName),
    /// The proxy has to reach what is in it.
    Routed,
    /// Another part needs it.
    NeededBy(&'a str),
    /// Another part is begun only after it.
    Before(&'a str),
    /// Its replacement goes on only if the new one is well.
    BeforeRemoving(&'a str),
    /// Its service has more replicas, whose turn comes when it is well.
    BeforeNext,
    /// Somebody ordered it.
    Ordered(&'a str),
    /// Its profiles are off.
    Off,
    /// It should run only because somebody ordered it: by these words.
    HeldStarted(&'a Origin),
    /// There are more or fewer replicas now.
    Replicas(u32, Option<&'a Origin>),
    /// It is not declared any more.
    NotDeclared,
    /// A command that never ran to its end.
    NeverRan(Option<&'a Origin>),
    /// A command whose last run failed.
    FailedBefore(i64),
    /// A command that ran, with something else.
    InputsChanged(Option<&'a Origin>),
    /// A command that is done, and that somebody wants done again.
    AskedAgain,
    /// A command is begun to be ended.
    OneShot,
    /// The image is asked for at every `up`.
    PullAlways,
    /// The workspace is taken down.
    TakenDown,
}

impl fmt::Display for Reason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New(origin) => write!(f, "new{}", At(*origin)),
            Self::Missing(origin) => write!(f, "missing{}", At(*origin)),
            Self::Changed(changes, origin) if changes.is_empty() => {
                write!(f, "its declaration changed{}", At(*origin))
            }
            Self::Changed(changes, _) | Self::Limits(changes) => list(changes, f),
            Self::Moved { image, from, to } => {
                write!(f, "{image} moved: {} → {}", short(from), short(to))
            }
            Self::FilesUnknown => f.write_str("what it has of its configs is not known"),
            Self::Down(state) => match state {
                ContainerState::Created => f.write_str("was never started"),
                ContainerState::Running { .. } => f.write_str("is running"),
                ContainerState::Paused => f.write_str("is paused"),
                ContainerState::Dead => f.write_str("is dead"),
                ContainerState::Exited {
                    out_of_memory: true,
                    ..
                } => f.write_str("was killed for its memory"),
                ContainerState::Exited { code, .. } => write!(f, "exited with {code}"),
            },
            Self::PortLost => f.write_str("its host port was taken by something else"),
            Self::Renamed(name) => write!(f, "was renamed to {name}"),
            Self::SetAside => f.write_str("was set aside"),
            Self::Disconnected(network) => write!(f, "is not in {network}"),
            Self::Left(origin) => write!(f, "not in its networks any more{}", At(*origin)),
            Self::Replaced => f.write_str("replaced by a new one"),
            Self::InTheWay(name) => write!(f, "has the name of {name}"),
            Self::LeftOver(kept) => write!(f, "left over beside {kept}"),
            Self::Routed => f.write_str("the proxy leads to its services"),
            Self::NeededBy(name) => write!(f, "needed by {name}"),
            Self::Before(name) => write!(f, "{name} depends on it"),
            Self::BeforeRemoving(old) => write!(f, "before {old} goes"),
            Self::BeforeNext => f.write_str("before the next replica"),
            Self::Ordered(because) => f.write_str(because),
            Self::Off => f.write_str("none of its profiles is active"),
            Self::HeldStarted(order) => write!(f, "held started{}", At(Some(order))),
            Self::Replicas(replicas, origin) => write!(f, "replicas = {replicas}{}", At(*origin)),
            Self::NotDeclared => f.write_str("not in cosmos.toml"),
            Self::NeverRan(origin) => write!(f, "not run yet{}", At(*origin)),
            Self::FailedBefore(code) => write!(f, "its last run exited with {code}"),
            Self::InputsChanged(origin) => {
                write!(f, "its image, run, env or inputs changed{}", At(*origin))
            }
            Self::AskedAgain => f.write_str("asked for by --rerun"),
            Self::OneShot => f.write_str("it runs to its end"),
            Self::PullAlways => f.write_str("pull = \"always\""),
            Self::TakenDown => f.write_str("the workspace is taken down"),
        }
    }
}

/// Three: the rest of a long list is in `cosmos config`, and a line has an end.
const SHOWN_CHANGES: usize = 3;

fn list(changes: &[FieldChange], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (index, change) in changes.iter().take(SHOWN_CHANGES).enumerate() {
        let separator = if index == 0 { "" } else { "; " };
        write!(f, "{separator}{change}")?;
    }
    match changes.len().saturating_sub(SHOWN_CHANGES) {
        0 => Ok(()),
        more => write!(f, "; and {more} more"),
    }
}

/// `` (cosmos.toml:14)``, `` by `cosmos scale web=3` ``, or nothing.
pub(super) struct At<'a>(pub(super) Option<&'a Origin>);

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(written @ Origin::Written { .. }) => write!(f, " ({written})"),
            Some(ordered @ Origin::Ordered { .. }) => write!(f, " by {ordered}"),
            None => Ok(()),
        }
    }
}

/// The first digits of an image id, as the engine's own tools show it.
fn short(image_id: &str) -> &str {
    let digits = image_id.strip_prefix("sha256:").unwrap_or(image_id);
    digits.get(..12).unwrap_or(digits)
}
