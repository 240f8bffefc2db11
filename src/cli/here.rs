//! Which workspace the folder that we are in is, for whoever only looks.
//!
//! To see what runs needs no valid config: an edit that is not finished yet must not hide
//! what is up.

use super::{
    args::{Global, Project},
    bootstrap, context,
    error::Failure,
    ui::sayln,
};
use crate::{
    api::{client::Client, wire::Status},
    config::SecretReading,
};

/// A client of the proxy, and the key of the workspace: what its config says, or, where
/// that is not valid, what is up from there.
pub(super) async fn here(global: &Global, project: &Project) -> Result<(Client, String), Failure> {
    let loaded = context::load(global, project);
    let client = bootstrap::existing(global).await;
    let failure = match loaded {
        Ok(loaded) => return Ok((client?, loaded.workspace.identity.key())),
        Err(failure) => failure,
    };
    // What is wrong with the config is what was to be said, unless it is no matter.
    let Ok(client) = client else {
        return Err(failure);
    };
    let Some(key) = up_from_here(global, project, &client).await else {
        return Err(failure);
    };
    sayln!("the config is not valid (`cosmos check` says why); this is what is up from its folder");
    Ok((client, key))
}

/// The one workspace that is up from the folder of the config, if it is one.
async fn up_from_here(global: &Global, project: &Project, client: &Client) -> Option<String> {
    let sources = context::sources(global, project, SecretReading::None).ok()?;
    let folder = sources.file.canonicalize().ok()?;
    let folder = folder.parent()?.to_str()?;
    let all: Vec<Status> = client.get("/workspaces").await.ok()?;
    let mut from_here = all.into_iter().filter(|status| status.folder == folder);
    let only = from_here.next()?;
    from_here.next().is_none().then_some(only.workspace)
}
