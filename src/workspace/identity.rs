//! Who a workspace is, and the names that follow from it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::name::{
    CommandName, ContainerName, InstanceName, NetworkName, ServiceName, VolumeName, WorkspaceName,
};

/// A workspace's name, which of its checkouts this is, and its folder.
///
/// Two checkouts with one name are two workspaces only if the instance differs.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Identity {
    /// The workspace's name.
    pub name: WorkspaceName,
    /// Which of several checkouts, if not the only one.
    pub instance: Option<InstanceName>,
    /// The project's folder on the host: absolute, links resolved.
    pub folder: String,
}

impl Identity {
    /// What containers, hosts and API paths are named after: `shop` or `fix-42.shop`.
    pub fn key(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{instance}.{}", self.name),
            None => self.name.to_string(),
        }
    }

    /// The start of every container's name: `shop` or `shop-fix-42`.
    fn prefix(&self) -> String {
        match &self.instance {
            Some(instance) => format!("{}-{instance}", self.name),
            None => self.name.to_string(),
        }
    }

    /// The name of one replica's container: `shop-api-1`.
    pub fn container(&self, service: &ServiceName, replica: u32) -> ContainerName {
        word(&format!("{}-{service}-{replica}", self.prefix()))
    }

    /// The name of a command's container: `shop-migrate`.
    pub fn command_container(&self, command: &CommandName) -> ContainerName {
        word(&format!("{}-{command}", self.prefix()))
    }

    /// The engine's name of a volume that the file calls `name`: `shop_db-data`.
    ///
    /// An underscore, so that it can never be another workspace's: no label has one.
    pub fn volume(&self, name: &str) -> VolumeName {
        match VolumeName::new(format!("{}_{name}", self.prefix())) {
            Ok(volume) => volume,
            // `name` came from a `VolumeName`: only its length can be too much.
            Err(_) => word(&format!(
                "{}_{}",
                self.prefix(),
                super::fingerprint::short_hash(name)
            )),
        }
    }

    /// The engine's name of a further network that the file calls `name`: `shop_backend`.
    ///
    /// The proxy is in none of these, so it does not matter where the name sorts.
    pub fn network(&self, name: &str) -> NetworkName {
        word(&format!("{}_{name}", self.prefix()))
    }

    /// The tag of an image that is built here, from the fingerprint of what it is built from.
    pub fn built_image(&self, image: &str, digest: &str) -> String {
        format!(
            "{}-{}:{}",
            self.prefix(),
            image.to_lowercase(),
            &digest[..digest.len().min(16)]
        )
    }

    /// The DNS domain of this workspace's services: `shop.internal`.
    pub fn domain(&self) -> String {
        format!("{}.internal", self.key())
    }

    /// The host under which the proxy serves something of this workspace.
    pub fn host(&self, name: &str) -> String {
        format!("{name}.{}.localhost", self.key())
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.key())
    }
}

/// Joins parts that are names already: too long is the only way it can fail.
fn word<T: TryFrom<String>>(text: &str) -> T
where
    T::Error: fmt::Debug,
{
    let shortened = || {
        let head: String = text.chars().take(100).collect();
        format!("{head}-{}", super::fingerprint::short_hash(text))
    };
    match T::try_from(text.to_owned()) {
        Ok(name) => name,
        Err(_) => match T::try_from(shortened()) {
            Ok(name) => name,
            Err(error) => unreachable!("a joined name is a name: {error:?}"),
        },
    }
}

/// The names of one installation of Cosmos: a second one can live beside the first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Installation(String);

impl Installation {
    /// The name used unless `COSMOS_INSTALLATION` says otherwise.
    pub const DEFAULT: &'static str = "cosmos";

    /// Makes an installation's name.
    ///
    /// # Errors
    /// If it is no DNS label.
    pub fn new(name: &str) -> Result<Self, super::NameError> {
        WorkspaceName::new(name).map(|name| Self(name.into()))
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `cosmos-proxy`.
    pub fn proxy(&self) -> String {
        format!("{}-proxy", self.0)
    }

    /// `cosmos-net`, the network all share unless a workspace is isolated.
    pub fn network(&self) -> NetworkName {
        word(&format!("{}-net", self.0))
    }

    /// `cosmos-net-shop`: sorts after the shared one, so that connecting the
    /// proxy to it leaves the proxy's gateway alone.
    pub fn isolated_network(&self, identity: &Identity) -> NetworkName {
        word(&format!("{}-net-{}", self.0, identity.prefix()))
    }

    /// `cosmos-state`, the volume that survives the proxy.
    pub fn state_volume(&self) -> String {
        format!("{}-state", self.0)
    }
}

impl Default for Installation {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for Installation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
