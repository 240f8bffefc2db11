//! The words of the domain: what a person wants, what the engine has, and what
//! they are called.
//!
//! Everything here is plain data without I/O and without `async`. A
//! [`Workspace`] is complete and valid by construction: it has no relative
//! path, no dangling name and no option that means "the default", so whatever
//! reads it needs no validation of its own.
//!
//! Start reading at [`desired`], then [`observed`].

pub mod desired;
pub mod fingerprint;
pub mod name;
pub mod observed;
pub mod order;
pub mod overrides;

pub use desired::{
    AfterCondition, Build, Command, CommandKind, Container, Device, File, Health, HealthProbe,
    Hooks, Identity, Image, Installation, Logging, Mount, MountSource, Network, Origin, Origins,
    OutsideRoute, PortPublish, ProxyNeeds, PullPolicy, Resources, RestartPolicy, Route, RunState,
    Service, Tokenless, Transport, Ulimit, UpdateOrder, UpstreamProtocol, Volume, WatchAction,
    WatchRule, Workspace,
};
pub use fingerprint::Fingerprint;
pub use name::{
    CommandName, ContainerId, ContainerName, ImageName, ImageRef, InstanceName, NameError,
    NetworkName, RouteName, SecretName, ServiceName, VolumeName, WorkspaceName,
};
pub use observed::{
    ContainerState, Kind, LiveSettings, Memory, Observed, ObservedContainer, ObservedNetwork,
    Owner, Readiness,
};
pub use overrides::{Aspect, Hold, Override, Overrides};
