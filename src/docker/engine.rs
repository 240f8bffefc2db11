//! A connected engine.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bollard::auth::DockerCredentials;
use futures_util::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};

use super::{
    client::Client, endpoint::Endpoint, events, last_look::LastLook, observe, reference::Reference,
};
use crate::{
    plan::Action,
    reconcile::engine::{Change, Done, Engine, EngineError, Progress},
    workspace::{Installation, Observed, SecretName},
};

/// A container engine that speaks Docker's API. Cheap to clone.
#[derive(Clone)]
pub struct DockerEngine {
    shared: Arc<Shared>,
}

struct Shared {
    client: Client,
    last_look: LastLook,
    installation: Installation,
    credentials: Mutex<HashMap<String, Credentials>>,
    secrets: Mutex<Option<Arc<dyn SecretSource>>>,
}

/// A login at a registry. In memory only.
#[derive(Clone, PartialEq, Eq)]
pub enum Credentials {
    /// A name and a password.
    Password {
        /// The name.
        username: String,
        /// The password.
        password: String,
    },
    /// A token that stands for a login made elsewhere.
    IdentityToken(String),
}

impl Credentials {
    fn given(self, registry: &str) -> DockerCredentials {
        let mut given = DockerCredentials {
            serveraddress: Some(registry.to_owned()),
            ..DockerCredentials::default()
        };
        match self {
            Self::Password { username, password } => {
                given.username = Some(username);
                given.password = Some(password);
            }
            Self::IdentityToken(token) => given.identitytoken = Some(token),
        }
        given
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials(..)")
    }
}

/// Who knows the values of secrets: a launch carries only their hashes.
pub trait SecretSource: Send + Sync + 'static {
    /// The value of a workspace's secret whose keyed hash is this.
    fn secret(&self, workspace: &str, name: &SecretName, hash: &str) -> Option<Vec<u8>>;
}

impl DockerEngine {
    /// Connects and agrees on a version of the API.
    ///
    /// # Errors
    /// If nothing answers, its socket may not be used, or what answers is no engine.
    pub async fn connect(
        endpoint: &Endpoint,
        installation: Installation,
    ) -> Result<Self, EngineError> {
        Ok(Self {
            shared: Arc::new(Shared {
                client: Client::connect(endpoint).await?,
                last_look: LastLook::default(),
                installation,
                credentials: Mutex::default(),
                secrets: Mutex::default(),
            }),
        })
    }

    /// Where it is.
    pub fn endpoint(&self) -> &Endpoint {
        self.client().endpoint()
    }

    /// The version of the API that was agreed on: `1.41`.
    pub fn api_version(&self) -> String {
        self.client().version()
    }

    /// Whose containers are ours.
    pub fn installation(&self) -> &Installation {
        &self.shared.installation
    }

    /// Remembers a login for pulls from a registry's host: `docker.io`, `ghcr.io`.
    pub fn set_credentials(&self, registry: &str, credentials: Credentials) {
        // Logins are kept under addresses, too: `https://index.docker.io/v1/`.
        let registry = registry
            .split_once("://")
            .map_or(registry, |(_, rest)| rest);
        let registry = registry.split('/').next().unwrap_or(registry);
        // Through the same reading as an image's name, so that `index.docker.io` is `docker.io`.
        let registry = Reference::parse(&format!("{registry}/x")).registry;
        unpoisoned(&self.shared.credentials).insert(registry, credentials);
    }

    /// Says who knows the values of secrets.
    pub fn set_secrets(&self, secrets: Arc<dyn SecretSource>) {
        *unpoisoned(&self.shared.secrets) = Some(secrets);
    }

    pub(super) fn client(&self) -> &Client {
        &self.shared.client
    }

    pub(super) fn credentials(&self, registry: &str) -> Option<DockerCredentials> {
        let credentials = unpoisoned(&self.shared.credentials)
            .get(registry)
            .cloned()?;
        Some(credentials.given(registry))
    }

    /// For builds, which pull from whatever registry their `FROM` lines name.
    pub(super) fn all_credentials(&self) -> HashMap<String, DockerCredentials> {
        unpoisoned(&self.shared.credentials)
            .iter()
            .map(|(registry, credentials)| {
                // The one registry that engines look up under another name.
                let key = match registry.as_str() {
                    "docker.io" => "https://index.docker.io/v1/",
                    other => other,
                };
                (key.to_owned(), credentials.clone().given(registry))
            })
            .collect()
    }

    pub(super) fn secret(&self, workspace: &str, name: &SecretName, hash: &str) -> Option<Vec<u8>> {
        let secrets = unpoisoned(&self.shared.secrets).clone()?;
        secrets.secret(workspace, name, hash)
    }
}

/// Neither lock is held over anything that can panic, and both hold plain values.
fn unpoisoned<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine for DockerEngine {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        observe::observe(self.client(), self.installation(), &self.shared.last_look).boxed()
    }

    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        observe::glance(self.client(), &self.shared.last_look).boxed()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        async move {
            // Its events may come later than the next look.
            self.shared.last_look.changed();
            let done = self.carry_out(action, progress).await;
            self.shared.last_look.changed();
            done
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        let heard = self.clone();
        let ended = self.clone();
        events::changes(self.client().clone(), self.installation().clone())
            .inspect(move |change| match change {
                Change::Connected => heard.shared.last_look.follow(true),
                // All that is seen of it is in the list, which is compared.
                Change::Container { is_ours: false, .. } => {}
                Change::Network { name } => heard.shared.last_look.network_changed(name),
                Change::Container { .. } | Change::Other => heard.shared.last_look.changed(),
            })
            .chain(
                stream::once(async move { ended.shared.last_look.follow(false) })
                    .filter_map(|()| std::future::ready(None)),
            )
            .boxed()
    }
}
