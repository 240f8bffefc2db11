//! `cosmos stop`, `restart` and `release`: one-line orders.

use std::process::ExitCode;

use hyper::Method;

use super::{
    args::{Global, OrderArgs},
    bootstrap, context,
    error::Failure,
    ui::{outln, sayln},
};
use crate::api::{
    client::{Client, encoded},
    wire::Ordered,
};

pub(super) async fn stop(global: Global, args: OrderArgs) -> Result<ExitCode, Failure> {
    each(&global, &args.ids, "stop", "stopped").await
}

pub(super) async fn restart(global: Global, args: OrderArgs) -> Result<ExitCode, Failure> {
    each(&global, &args.ids, "restart", "restarted").await
}

pub(super) async fn release(global: Global, args: OrderArgs) -> Result<ExitCode, Failure> {
    each(&global, &args.ids, "release", "released").await
}

/// Gives the order for each id; all are tried, the last failure is the answer.
async fn each(
    global: &Global,
    ids: &[String],
    order: &str,
    done: &str,
) -> Result<ExitCode, Failure> {
    let client = bootstrap::client(global).await?;
    let workspace = context::workspace_here(global).map(|loaded| loaded.workspace.identity.key());
    let mut failure = None;
    for id in ids {
        match give(&client, id, order, workspace.as_deref()).await {
            Ok(ordered) => {
                if !global.quiet {
                    outln!("Container {done}: {id}");
                    if let Some(note) = ordered.note {
                        sayln!("{note}");
                    }
                }
            }
            Err(error) => {
                if let Some(earlier) = failure.replace(error) {
                    super::error::report(&earlier);
                }
            }
        }
    }
    failure.map_or(Ok(ExitCode::SUCCESS), Err)
}

/// Gives one order about a container or service.
pub(super) async fn give(
    client: &Client,
    id: &str,
    order: &str,
    workspace: Option<&str>,
) -> Result<Ordered, Failure> {
    let path = format!(
        "/containers/{}/{order}?by={}{}",
        encoded(id),
        encoded(&format!("cosmos {order} {id}")),
        workspace
            .map(|key| format!("&workspace={}", encoded(key)))
            .unwrap_or_default()
    );
    Ok(client.call(Method::POST, &path).await?)
}

/// Removes a container that is in no config, running or not.
pub(super) async fn remove(client: &Client, id: &str) -> Result<(), Failure> {
    let path = format!("/containers/{}", encoded(id));
    client.call::<Ordered>(Method::DELETE, &path).await?;
    Ok(())
}
