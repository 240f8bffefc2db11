//! `cosmos proxy`: looking after the proxy container.

use std::process::ExitCode;

use futures_util::StreamExt as _;
use hyper::Method;

use super::{
    args::{Global, ProxyArgs, ProxyVerb},
    bootstrap, context,
    error::Failure,
    ui::outln,
};
use crate::{
    api::wire::{Rotated, Version},
    docker::{DockerEngine, bootstrap::FoundProxy},
    reconcile::engine::{Console as _, LogChunk, LogOptions},
};

pub(super) async fn run(global: Global, args: ProxyArgs) -> Result<ExitCode, Failure> {
    match args.verb {
        ProxyVerb::Status { json } => status(&global, json).await,
        ProxyVerb::Logs { follow, tail } => logs(follow, tail).await,
        ProxyVerb::Upgrade => upgrade(&global).await,
        ProxyVerb::Rm => rm(&global).await,
        ProxyVerb::RotateToken => rotate_token(&global).await,
    }
}

async fn status(global: &Global, json: bool) -> Result<ExitCode, Failure> {
    let client = bootstrap::existing(global).await?;
    let version: Version = client.get("/version").await?;
    let name = context::installation()?.proxy();
    let found = bootstrap::engine().await?.inspect_proxy(&name).await?;
    let Some(found) = found else {
        return Err(Failure::new(format!("the container `{name}` is gone"))
            .hinted("`cosmos up` makes it again"));
    };
    if json {
        outln!(
            "{}",
            serde_json::json!({
                "schema": 1,
                "container": name,
                "id": found.id,
                "version": version.version,
                "api": version.api,
                "address": client.address().to_string(),
                "image": found.image,
            })
        );
    } else {
        outln!("container  {name} ({})", found.id.short());
        outln!("version    {} (API {})", version.version, version.api);
        outln!("address    http://{}", client.address());
        outln!("image      {}", found.image);
    }
    Ok(ExitCode::SUCCESS)
}

async fn logs(follow: bool, tail: Option<u64>) -> Result<ExitCode, Failure> {
    use std::io::Write as _;
    let engine = bootstrap::engine().await?;
    let name = context::installation()?.proxy();
    let mut chunks = engine.logs(
        &name,
        LogOptions {
            follow,
            tail,
            ..LogOptions::default()
        },
    );
    while let Some(chunk) = chunks.next().await {
        let written = match chunk? {
            LogChunk::Out(bytes) => std::io::stdout().write_all(&bytes),
            LogChunk::Err(bytes) => std::io::stderr().write_all(&bytes),
        };
        if written.is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The proxy, if there is one; a stranger with its name is not ours to stop.
async fn ours(engine: &DockerEngine, name: &str) -> Result<Option<FoundProxy>, Failure> {
    match engine.inspect_proxy(name).await? {
        Some(found) if !found.is_ours => Err(Failure::new(format!(
            "the container `{name}` is not a Cosmos proxy"
        ))
        .hinted(format!("look at it: `docker inspect {name}`"))),
        found => Ok(found),
    }
}

/// Replaces the proxy by one of this version. The volume with the state stays,
/// and so does everything that runs.
async fn upgrade(global: &Global) -> Result<ExitCode, Failure> {
    let engine = bootstrap::engine().await?;
    let name = context::installation()?.proxy();
    let before = ours(&engine, &name).await?;
    engine.stop_gently(&name).await?;
    engine.remove_at_once(&name).await?;
    let client = bootstrap::client_after(global, before.as_ref()).await?;
    let version: Version = client.get("/version").await?;
    if !global.quiet {
        let before = before
            .and_then(|found| found.version)
            .unwrap_or_else(|| "none".to_owned());
        outln!("proxy upgraded: {before} -> {}", version.version);
    }
    Ok(ExitCode::SUCCESS)
}

/// Puts another token in the place of the one we have, and fetches it.
async fn rotate_token(global: &Global) -> Result<ExitCode, Failure> {
    let client = bootstrap::existing(global).await?;
    let _: Rotated = client.call(Method::POST, "/token/rotate").await?;
    // The old one opens nothing any more, so that this asks the engine.
    bootstrap::existing(global).await?;
    if !global.quiet {
        outln!("token rotated; `cosmos` finds the new one by itself");
    }
    Ok(ExitCode::SUCCESS)
}

async fn rm(global: &Global) -> Result<ExitCode, Failure> {
    let engine = bootstrap::engine().await?;
    remove(&engine, &context::installation()?.proxy()).await?;
    if !global.quiet {
        outln!(
            "proxy removed; its state stays in the volume `{}`",
            context::installation()?.state_volume()
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Ends the proxy and removes its container, if there is one and it is ours.
pub(super) async fn remove(engine: &DockerEngine, name: &str) -> Result<(), Failure> {
    ours(engine, name).await?;
    engine.stop_gently(name).await?;
    engine.remove_at_once(name).await?;
    Ok(())
}
