//! The endpoint and the token we knew last: a 0600 file in the user's cache.

use std::{
    env, fs,
    io::Write as _,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::PathBuf,
};

use serde::{Deserialize, Serialize};

use crate::{
    api::client::Client,
    docker::Endpoint,
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
            file: folder().map(|folder| folder.join(name)),
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
        let write = || {
            if let Some(folder) = file.parent() {
                fs::DirBuilder::new()
                    .recursive(true)
                    .mode(0o700)
                    .create(folder)?;
            }
            // Beside and renamed: twenty of us may do this at once.
            let beside = file.with_extension(format!("{}.new", std::process::id()));
            let mut new = fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            new.write_all(&serde_json::to_vec(&known)?)?;
            fs::rename(&beside, file)
        };
        let _ = write();
    }
}

fn folder() -> Option<PathBuf> {
    let cache = match env::var_os("XDG_CACHE_HOME") {
        Some(folder) if !folder.is_empty() => PathBuf::from(folder),
        _ => PathBuf::from(env::var_os("HOME")?).join(".cache"),
    };
    Some(cache.join("cosmos"))
}
