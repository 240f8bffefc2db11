//! The words of the domain: what a person wants, what the engine has, and what
//! they are called.
//!
//! Everything here is plain data without I/O and without `async`. A
//! [`Workspace`] is complete and valid by construction: it has no relative
//! path, no dangling name and no option that means "the default", so whatever
//! reads it needs no validation of its own.
//!
//! Start reading at [`desired`], then [`observed`].

pub mod container;
pub mod desired;
pub mod fallback;
pub mod fingerprint;
pub mod identity;
mod millis;
pub mod name;
pub mod observed;
pub mod order;
pub mod overrides;
pub mod proof;
pub mod time;

pub use container::{
    Build, Container, Device, File, Hooks, Image, Logging, Mount, MountSource, PortPublish,
    PullPolicy, Reload, Resources, SECRETS, SecretFile, Transport, Ulimit,
};
pub use desired::{
    AfterCondition, CaptureMode, Command, CommandKind, FurtherNetwork, Health, HealthProbe,
    Network, Origin, Origins, OutsideRoute, ProxyNeeds, RestartPolicy, Route, RunState, Service,
    Tokenless, UpdateOrder, UpstreamProtocol, Volume, WatchAction, WatchRule, Workspace,
};
pub use fallback::{Fallback, Fallbacks};
pub use fingerprint::Fingerprint;
pub use identity::{Identity, Installation};
pub use name::{
    CommandName, ContainerId, ContainerName, ImageName, ImageRef, InstanceName, NameError,
    NetworkName, RouteName, SecretName, ServiceName, VolumeName, WorkspaceName,
};
pub use observed::{
    Asked, ContainerState, Kind, LiveSettings, Memory, Observed, ObservedContainer,
    ObservedNetwork, Owner, Readiness,
};
pub use overrides::{Aspect, Hold, Override, Overrides};
pub use time::time;
