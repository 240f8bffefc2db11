//! `cosmos prune`: remove what is left over, or all there is.

use std::process::ExitCode;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    args::{Global, Prune},
    ask, bootstrap, context, down,
    error::Failure,
    orders, proxy,
    ui::{outln, plural},
};
use crate::{
    api::{client::Client, wire::Containers},
    plan::Action,
    reconcile::engine::Engine as _,
    workspace::{Kind, Observed},
};

pub(super) async fn run(global: Global, args: Prune) -> Result<ExitCode, Failure> {
    if args.all {
        everything(&global, args.yes).await
    } else {
        left_over(&global, args.yes).await
    }
}

/// Removes the ad-hoc containers that have ended.
async fn left_over(global: &Global, yes: bool) -> Result<ExitCode, Failure> {
    let client = bootstrap::existing(global).await?;
    let containers: Containers = client.get("/containers").await?;
    let ended: Vec<_> = containers
        .adhoc
        .into_iter()
        .filter(|container| matches!(container.state.as_str(), "exited" | "created" | "dead"))
        .map(|container| container.name)
        .collect();
    if ended.is_empty() {
        return told(global, "nothing to prune: no ad-hoc container has ended");
    }
    if !yes {
        let what = format!("{}, with what they wrote and said", ended.join(", "));
        ask::confirm(&format!("Remove {what}?"), || {
            Failure::usage(format!("this would remove {what}"))
                .hinted("say so: `cosmos prune --yes`")
        })?;
    }
    for name in &ended {
        orders::remove(&client, name).await?;
    }
    told(global, &format!("removed {}", containers_of(ended.len())))
}

/// Removes every container of this installation, the proxy, and the network they
/// shared. Volumes stay, the one with the state among them.
async fn everything(global: &Global, yes: bool) -> Result<ExitCode, Failure> {
    let installation = context::installation()?;
    let engine = bootstrap::engine().await?;
    let observed = engine.observe().await?;
    let network = installation.network();
    let has_network = observed.networks.iter().any(|known| known.name == network);
    let is_there = has_network
        || observed
            .containers
            .iter()
            .any(|found| found.owner.is_some());
    if !is_there {
        return told(
            global,
            "nothing to prune: there is no proxy and no container",
        );
    }
    let ours = names(&observed);
    if !yes {
        let what = match ours.as_slice() {
            [] => "the proxy and its network".to_owned(),
            ours => format!("{}, the proxy and its network", ours.join(", ")),
        };
        ask::confirm(&format!("Remove {what}? Volumes stay."), || {
            Failure::usage(format!("this would remove {what}"))
                .hinted("say so: `cosmos prune --all --yes`")
        })?;
    }

    // First what people made, by the one who knows it; a workspace's end is told as `down` tells it.
    if !ours.is_empty() {
        let client = bootstrap::client(global).await?;
        let containers: Containers = client.get("/containers").await?;
        for workspace in &containers.workspaces {
            down::take_down(
                global,
                &client,
                &workspace.workspace,
                &workspace.folder,
                false,
            )
            .await?;
        }
        remove_each(&client, &engine.observe().await?).await?;
    }
    // Then what it all stood on.
    proxy::remove(&engine, &installation.proxy()).await?;
    if has_network {
        let remove = Action::RemoveNetwork {
            network: network.clone(),
        };
        engine.perform(&remove, &|_| ()).await.map_err(|error| {
            Failure::from(crate::api::wire::Problem::of_action(&remove, &error))
        })?;
    }
    told(
        global,
        &format!(
            "removed {}, the proxy and its network; the state stays in the volume `{}`",
            containers_of(ours.len()),
            installation.state_volume()
        ),
    )
}

/// So many are stopped at once: each may take its time to end.
const AT_ONCE: usize = 16;

/// What no workspace had: ad-hoc containers, and what an older state left behind.
async fn remove_each(client: &Client, observed: &Observed) -> Result<(), Failure> {
    stream::iter(names(observed))
        .map(async |name| orders::remove(client, &name).await)
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await
}

/// The containers of this installation but the proxy.
fn names(observed: &Observed) -> Vec<String> {
    observed
        .containers
        .iter()
        .filter(|container| {
            let owner = container.owner.as_ref();
            owner.is_some_and(|owner| owner.kind != Kind::Proxy)
        })
        .map(|container| container.name.to_string())
        .collect()
}

fn containers_of(count: usize) -> String {
    plural(u32::try_from(count).unwrap_or(u32::MAX), "container")
}

fn told(global: &Global, what: &str) -> Result<ExitCode, Failure> {
    if !global.quiet {
        outln!("{what}");
    }
    Ok(ExitCode::SUCCESS)
}
