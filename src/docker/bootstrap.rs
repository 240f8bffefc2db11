//! What is asked of the engine before there is a proxy to ask.
//!
//! The CLI uses this, and only until the proxy answers: afterwards the proxy is
//! the one that talks to the engine.

use std::{collections::HashMap, io::Read as _};

use bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use bytes::BytesMut;
use futures_util::TryStreamExt as _;
use hyper::Method;
use serde::Deserialize;

use super::{
    client::{CHANGE, LOOK, Path, refused, within},
    engine::DockerEngine,
    failure, labels,
    proxy::{self, ProxyRequest},
};
use crate::{
    reconcile::engine::EngineError,
    workspace::{ContainerId, Network, PortPublish},
};

/// The longest file that is read out of a container: tokens are 64 bytes.
const LONGEST_FILE: usize = 1 << 20;

/// A proxy's container, or what has its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundProxy {
    /// Its id.
    pub id: ContainerId,
    /// Made by this installation, as its proxy.
    pub is_ours: bool,
    /// Whether it runs.
    pub is_running: bool,
    /// The engine's word for its state: `created`, `running`, `exited`.
    pub status: String,
    /// Its exit code, if it ended.
    pub exit_code: i64,
    /// The image that it was made from, as it was asked for.
    pub image: String,
    /// The version of Cosmos that made it.
    pub version: Option<String>,
    /// The host ports that it was made to hold.
    pub ports: Vec<PortPublish>,
    /// The names of the networks that it is in.
    pub networks: Vec<String>,
    /// The environment that it was made with: `NAME=value`.
    pub env: Vec<String>,
}

/// What came of creating the proxy: its name is the lock, and somebody wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProxyCreation {
    /// It was made, and whoever made it makes the network and starts it.
    Created(ContainerId),
    /// Somebody was first.
    AlreadyThere,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Image {
    id: String,
    config: Option<ImageConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ImageConfig {
    labels: Option<HashMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Daemon {
    security_options: Option<Vec<String>>,
}

impl DockerEngine {
    /// Whether it answers.
    ///
    /// # Errors
    /// If it does not.
    pub async fn ping(&self) -> Result<(), EngineError> {
        within(
            "ping",
            LOOK,
            self.client().call(Method::GET, &Path::new("/_ping")),
        )
        .await
    }

    /// Whether the engine runs as a user: root in its containers is then that user.
    ///
    /// # Errors
    /// If the engine does not say.
    pub async fn is_rootless(&self) -> Result<bool, EngineError> {
        let path = Path::new("/info");
        let daemon: Daemon = within("info", LOOK, self.client().get(&path)).await?;
        Ok(daemon
            .security_options
            .unwrap_or_default()
            .iter()
            .any(|option| option.contains("rootless")))
    }

    /// Looks at whatever has the proxy's name.
    ///
    /// # Errors
    /// If the engine does not say; that there is none is no error.
    pub async fn inspect_proxy(&self, name: &str) -> Result<Option<FoundProxy>, EngineError> {
        let Some(found) = self.inspect(name).await? else {
            return Ok(None);
        };
        let owner = labels::owner(&found.config.labels, self.installation());
        Ok(Some(FoundProxy {
            is_ours: owner.is_some_and(|owner| owner.kind == crate::workspace::Kind::Proxy),
            is_running: found.is_running(),
            status: found.state.status.clone(),
            exit_code: found.state.exit_code,
            image: found.config.image.clone(),
            version: found.config.labels.get(labels::VERSION).cloned(),
            ports: found.bound_ports(),
            env: found.config.env.clone(),
            networks: found.network_settings.networks.keys().cloned().collect(),
            id: ContainerId::new(found.id).map_err(|error| refused(0, error.to_string()))?,
        }))
    }

    /// Creates the proxy's container, unstarted. Its network need not be there yet: Docker
    /// wants it for the start only, and where an engine wants it now, it is made first.
    ///
    /// # Errors
    /// If it cannot be made; that it is there already is no error.
    pub async fn create_proxy(&self, request: &ProxyRequest) -> Result<ProxyCreation, EngineError> {
        let create = proxy::create(request);
        let mut made = self.ask_for(&create).await;
        if made.as_ref().is_err_and(failure::is_network_gone) {
            let network = Network::bridge(request.installation.network());
            self.ensure_network(&network, None).await?;
            made = self.ask_for(&create).await;
        }
        match made {
            Ok(id) => Ok(ProxyCreation::Created(id)),
            Err(EngineError::Conflict { .. }) => Ok(ProxyCreation::AlreadyThere),
            Err(error) => Err(error),
        }
    }

    /// Starts a container; one that runs is started. A network of its that was
    /// remade since is joined first.
    ///
    /// # Errors
    /// [`EngineError::PortTaken`] and [`EngineError::CannotRun`] among others.
    pub async fn start(&self, container: &str) -> Result<(), EngineError> {
        self.start_container(container).await
    }

    /// Stops a container by its own grace. Absent is stopped.
    ///
    /// # Errors
    /// If the engine does not do it.
    pub async fn stop_gently(&self, container: &str) -> Result<(), EngineError> {
        match self.stop(container, None).await {
            Err(EngineError::NotFound { .. }) => Ok(()),
            other => other,
        }
    }

    /// Removes a container at once, running or not. Absent is removed.
    ///
    /// # Errors
    /// If the engine does not do it.
    pub async fn remove_at_once(&self, container: &str) -> Result<(), EngineError> {
        self.discard(container).await
    }

    /// Makes a network where there is none of that name; its id.
    ///
    /// However many do this at once, one network is left. An id that was given to one of them
    /// may be that of a network that another, who made an older one, takes away: whoever then
    /// finds it gone asks again.
    ///
    /// # Errors
    /// If it cannot be made.
    pub async fn ensure_network(
        &self,
        network: &Network,
        workspace: Option<&str>,
    ) -> Result<String, EngineError> {
        self.settle_network(network, workspace).await
    }

    /// Connects a container to a network, by id. In it already is connected.
    ///
    /// # Errors
    /// If the engine does not do it.
    pub async fn connect_to(&self, container: &str, network: &str) -> Result<(), EngineError> {
        self.join(container, network, &[]).await
    }

    /// A label of an image; `None` if the image has no such label.
    ///
    /// # Errors
    /// [`EngineError::NoImage`] if the engine does not have the image.
    pub async fn image_label(
        &self,
        reference: &str,
        label: &str,
    ) -> Result<Option<String>, EngineError> {
        let labels = self.image(reference).await?.config.and_then(|it| it.labels);
        Ok(labels.and_then(|mut labels| labels.remove(label)))
    }

    /// The id of an image.
    ///
    /// # Errors
    /// [`EngineError::NoImage`] if the engine does not have it.
    pub async fn image_id(&self, reference: &str) -> Result<String, EngineError> {
        Ok(self.image(reference).await?.id)
    }

    async fn image(&self, reference: &str) -> Result<Image, EngineError> {
        let path = Path::new("/images").image(reference).then("/json");
        within("inspect image", LOOK, self.client().get(&path))
            .await
            .map_err(|error| match error {
                EngineError::NotFound { what } => EngineError::NoImage {
                    image: reference.to_owned(),
                    cause: what,
                },
                other => other,
            })
    }

    /// The content of a file in a container, running or not.
    ///
    /// # Errors
    /// [`EngineError::NotFound`] if there is no such container or file.
    pub async fn read_file(&self, container: &str, path: &str) -> Result<Vec<u8>, EngineError> {
        // By id, so that nothing from outside becomes a part of the address.
        let id = self.must_inspect(container).await?.id;
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let archive = within("read file", CHANGE, async {
            self.client()
                .docker()
                .download_from_container(&id, Some(options))
                .map_err(|error| self.client().error(&error))
                .try_fold(BytesMut::new(), |mut whole, part| async move {
                    if whole.len() + part.len() > LONGEST_FILE {
                        return Err(refused(0, format!("`{path}` is too long to be read")));
                    }
                    whole.extend_from_slice(&part);
                    Ok(whole)
                })
                .await
        })
        .await?;
        first_file(&archive)
            .map_err(|error| refused(0, format!("`{path}` cannot be read: {error}")))
    }
}

fn first_file(archive: &[u8]) -> std::io::Result<Vec<u8>> {
    for entry in tar::Archive::new(archive).entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            return Ok(content);
        }
    }
    Err(std::io::Error::new(
        std::io::ErrorKind::NotFound,
        "it is no file",
    ))
}
