//! The endpoint and the token we knew last: a 0600 file in the user's cache.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use super::super::private;
use crate::{
    api::client::Client,
    docker::Endpoint,
    platform,
    workspace::{Installation, fingerprint::short_hash},
};

/// Where it is kept, one file an installation and engine.
pub(super) struct Remembered {
    file: Option<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct Known {
    port: u16,
    token: String,
}

impl Remembered {
    pub(super) fn of(installation: &Installation, endpoint: &Endpoint) -> Self {
        let name = format!("{installation}-{}.json", short_hash(&endpoint.to_string()));
        Self {
            file: platform::cache_folder().map(|folder| folder.join(name)),
        }
    }

    /// The client we had last, if any.
    pub(super) fn client(&self) -> Option<Client> {
        let text = fs::read(self.file.as_ref()?).ok()?;
        let known: Known = serde_json::from_slice(&text).ok()?;
        Some(Client::new(
            SocketAddr::from((Ipv4Addr::LOCALHOST, known.port)),
            known.token,
        ))
    }

    /// Keeps a client for the next time. If that does not work, the next time is slower.
    pub(super) fn keep(&self, client: &Client, token: &str) {
        let Some(file) = &self.file else { return };
        let known = Known {
            port: client.address().port(),
            token: token.to_owned(),
        };
        if let Ok(known) = serde_json::to_vec(&known) {
            let _ = private::write(file, &known);
        }
    }
}
