//! The container engine: Docker, and what speaks its API.
//!
//! The only folder that may import bollard. It observes, performs one action at
//! a time and hints at changes, in the words of [`crate::workspace`]; it decides
//! nothing.
//!
//! Start reading at [`engine`]; what the engine is asked is in [`request`] and
//! [`proxy`], which are pure.

pub mod archive;
pub mod attach;
pub mod bootstrap;
mod build;
mod client;
pub mod described;
pub mod diagnose;
pub mod endpoint;
pub mod engine;
mod events;
mod failure;
mod files;
mod hooks;
pub mod image;
pub mod labels;
mod last_look;
mod logs;
mod networks;
mod observe;
mod opened;
mod perform;
pub mod proxy;
pub mod reference;
mod reload;
pub mod request;
#[cfg(test)]
mod test_support;
mod usage;

pub use bootstrap::{FoundProxy, ProxyCreation};
pub use endpoint::{Endpoint, EndpointError, NamedBy};
pub use engine::{Credentials, DockerEngine, SecretSource};
