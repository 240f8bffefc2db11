//! Networks: made once whatever their names allow, joined and left.

use bollard::models::{NetworkConnectRequest, NetworkDisconnectRequest};
use hyper::Method;

use super::{
    client::{CHANGE, LOOK, Path, within},
    engine::DockerEngine,
    labels,
    observe::Network as ListedNetwork,
    perform::{Made, done_if_absent},
    request,
};
use crate::{
    reconcile::engine::EngineError,
    workspace::{ContainerName, Network, NetworkName, time},
};

impl DockerEngine {
    async fn networks_named(&self, name: &NetworkName) -> Result<Vec<ListedNetwork>, EngineError> {
        // The engine's own filter by name also finds names that only contain it.
        let mut networks: Vec<ListedNetwork> = within(
            "list networks",
            LOOK,
            self.client().get(&Path::new("/networks")),
        )
        .await?;
        networks.retain(|network| network.name == name.as_str());
        // The oldest first: whoever looks keeps the same one.
        networks.sort_by_key(|network| (time(&network.created), network.id.clone()));
        Ok(networks)
    }

    /// Makes a network where there is none of that name; its id.
    ///
    /// Names are not unique on older engines (20 creates at once made 20
    /// networks), so whoever creates looks again, and all keep the oldest.
    pub(super) async fn settle_network(
        &self,
        network: &Network,
        workspace: Option<&str>,
    ) -> Result<String, EngineError> {
        let mut found = self.networks_named(&network.name).await?;
        if found.is_empty() {
            match self.create_network(network, workspace).await {
                Ok(()) | Err(EngineError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
            found = self.networks_named(&network.name).await?;
        }
        let mut found = found.into_iter();
        let Some(kept) = found.next() else {
            return Err(EngineError::NotFound {
                what: format!("network `{}` went as soon as it was made", network.name),
            });
        };
        for surplus in found {
            if labels::is_ours(&surplus.labels, self.installation()) {
                self.remove_network_by_id(&surplus.id)
                    .await
                    .or_else(|error| match error {
                        // In use already: whoever is in it has to leave first.
                        EngineError::Conflict { .. } => Ok(()),
                        other => Err(other),
                    })?;
            }
        }
        Ok(kept.id)
    }

    async fn create_network(
        &self,
        network: &Network,
        workspace: Option<&str>,
    ) -> Result<(), EngineError> {
        let mut labels = network.labels.clone();
        labels.extend(match workspace {
            Some(key) => labels::of_workspace(key, self.installation()),
            None => labels::of_installation(self.installation()),
        });
        let mut range = serde_json::Map::new();
        for (key, value) in [("Subnet", &network.subnet), ("Gateway", &network.gateway)] {
            if let Some(value) = value {
                range.insert(key.to_owned(), value.clone().into());
            }
        }
        let ranges = if range.is_empty() {
            vec![]
        } else {
            vec![range]
        };
        // bollard's own type has lost this field, which older engines need.
        let body = serde_json::json!({
            "Name": network.name,
            "CheckDuplicate": true,
            "Driver": network.driver,
            "Internal": network.internal,
            "EnableIPv6": network.ipv6,
            "IPAM": { "Config": ranges },
            "Options": network.options,
            "Labels": labels,
        });
        let path = Path::new("/networks/create");
        let made: Result<Made, _> =
            within("create network", CHANGE, self.client().post(&path, &body)).await;
        made.map(drop)
    }

    pub(super) async fn remove_network(&self, name: &NetworkName) -> Result<(), EngineError> {
        for network in self.networks_named(name).await? {
            self.detach_proxy(&network.id).await?;
            self.remove_network_by_id(&network.id).await?;
        }
        Ok(())
    }

    /// Takes our proxy out of a network that goes: it is in it for the others' sake.
    async fn detach_proxy(&self, network: &str) -> Result<(), EngineError> {
        match self.leave(&self.installation().proxy(), network).await {
            // It need not be in it.
            Err(EngineError::Conflict { .. } | EngineError::Refused { .. }) => Ok(()),
            other => other,
        }
    }

    async fn remove_network_by_id(&self, id: &str) -> Result<(), EngineError> {
        let path = Path::new("/networks").segment(id);
        // Podman would take it away from under whoever is in it.
        match within(
            "inspect network",
            LOOK,
            self.client().get::<ListedNetwork>(&path),
        )
        .await
        {
            Ok(network) if !network.containers.is_empty() => {
                return Err(EngineError::Conflict {
                    what: format!(
                        "network `{}` has active endpoints: {} containers are in it",
                        network.name,
                        network.containers.len()
                    ),
                });
            }
            Ok(_) => {}
            Err(EngineError::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        done_if_absent(
            within(
                "remove network",
                CHANGE,
                self.client().call(Method::DELETE, &path),
            )
            .await,
        )
    }

    pub(super) async fn connect_container(
        &self,
        container: &ContainerName,
        network: &NetworkName,
        aliases: &[String],
    ) -> Result<(), EngineError> {
        let inspected = self.must_inspect(container.as_str()).await?;
        let found = self.networks_named(network).await?;
        let Some(wanted) = found.first() else {
            return Err(EngineError::NotFound {
                what: format!("network `{network}` is not there"),
            });
        };
        if let Some(endpoint) = inspected.network_settings.networks.get(network.as_str()) {
            let is_by_name = endpoint.is_by_name(network.as_str());
            if is_by_name || found.iter().any(|have| have.id == endpoint.network_id) {
                return Ok(());
            }
            self.leave(&inspected.id, network.as_str()).await?;
        }
        self.join(&inspected.id, &wanted.id, aliases).await
    }

    pub(super) async fn join(
        &self,
        container: &str,
        network: &str,
        aliases: &[String],
    ) -> Result<(), EngineError> {
        let body = NetworkConnectRequest {
            container: container.to_owned(),
            endpoint_config: Some(request::endpoint(aliases)),
        };
        let path = Path::new("/networks").segment(network).then("/connect");
        let answer = within(
            "connect network",
            CHANGE,
            self.client().call_with(Method::POST, &path, &body),
        )
        .await;
        match answer {
            Err(EngineError::Refused { message, .. })
                if message.contains("already exists in network")
                    || message.contains("already connected") =>
            {
                Ok(())
            }
            other => other,
        }
    }

    pub(super) async fn leave(&self, container: &str, network: &str) -> Result<(), EngineError> {
        let body = NetworkDisconnectRequest {
            container: container.to_owned(),
            // An endpoint whose network is gone can only be taken off by force.
            force: Some(true),
        };
        let path = Path::new("/networks").segment(network).then("/disconnect");
        done_if_absent(
            within(
                "disconnect network",
                CHANGE,
                self.client().call_with(Method::POST, &path, &body),
            )
            .await,
        )
    }

    /// Takes a container off networks that were remade since it was in them, and
    /// puts it into those of the same names. Whether there was one.
    pub(super) async fn reconnect(&self, container: &str) -> Result<bool, EngineError> {
        let inspected = self.must_inspect(container).await?;
        let mut has_moved = false;
        for (name, endpoint) in &inspected.network_settings.networks {
            if endpoint.is_by_name(name) {
                continue;
            }
            let Ok(network) = NetworkName::new(name.clone()) else {
                continue;
            };
            let found = self.networks_named(&network).await?;
            if found.iter().any(|have| have.id == endpoint.network_id) {
                continue;
            }
            let Some(remade) = found.first() else {
                return Err(EngineError::NotFound {
                    what: format!("network `{name}` is not there"),
                });
            };
            // The engine adds the short id by itself, also to the new endpoint.
            let aliases: Vec<String> = endpoint
                .aliases
                .iter()
                .filter(|alias| !inspected.id.starts_with(alias.as_str()))
                .cloned()
                .collect();
            self.leave(&inspected.id, name).await?;
            self.join(&inspected.id, &remade.id, &aliases).await?;
            has_moved = true;
        }
        Ok(has_moved)
    }
}
