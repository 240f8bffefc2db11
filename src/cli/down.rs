//! `cosmos down`: stop and remove what `up` made.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use hyper::Method;

use super::{
    args::{Down, Global, Progress},
    ask, bootstrap, context,
    error::Failure,
    ui::{Screen, duration, follow, outln},
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::{Containers, Event},
    },
    workspace::Workspace,
};

pub(super) async fn run(global: Global, args: Down) -> Result<ExitCode, Failure> {
    let workspace = context::load(&global, &args.project)?.workspace;
    let client = bootstrap::existing(&global).await?;
    if args.volumes && !args.yes {
        confirm(&workspace)?;
    }
    let identity = &workspace.identity;
    take_down(
        &global,
        &client,
        &identity.key(),
        &identity.folder,
        args.volumes,
    )
    .await?;
    Ok(ExitCode::SUCCESS)
}

/// Takes a workspace down, follows it to its end, and says that it is.
pub(super) async fn take_down(
    global: &Global,
    client: &Client,
    key: &str,
    folder: &str,
    volumes: bool,
) -> Result<(), Failure> {
    let path = format!(
        "/workspaces/{}?volumes={volumes}&folder={}&by={}",
        encoded(key),
        encoded(folder),
        encoded("cosmos down")
    );
    let began = Instant::now();
    let mut screen = Screen::new(global);
    let events = client.events(Method::DELETE, &path, None::<&()>).await?;
    let last = follow(&mut screen, events).await?;
    screen.verdict()?;
    let took = match last {
        Some(Event::Finished { outcome }) => Duration::from_millis(outcome.millis),
        _ => {
            bootstrap::answers_again(client).await;
            if is_up(client, key).await? {
                return Err(
                    Failure::new("the proxy went away before everything was removed")
                        .hinted("it goes on by itself; `cosmos down` again follows it"),
                );
            }
            began.elapsed()
        }
    };
    if !global.quiet && global.progress != Progress::Json {
        outln!("{key} is down ({})", duration(took));
    }
    Ok(())
}

/// Whether a workspace is up still.
async fn is_up(client: &Client, key: &str) -> Result<bool, Failure> {
    let containers: Containers = client.get("/containers").await?;
    let mut up = containers.workspaces.iter();
    Ok(up.any(|workspace| workspace.workspace == key))
}

/// Names the volumes that would go, and asks.
fn confirm(workspace: &Workspace) -> Result<(), Failure> {
    let volumes: Vec<_> = workspace
        .volumes
        .iter()
        .filter(|(_, volume)| !volume.external)
        .map(|(name, _)| name.to_string())
        .collect();
    if volumes.is_empty() {
        return Ok(());
    }
    let names = volumes.join(", ");
    ask::confirm(&format!("Remove {names} and all that is in them?"), || {
        Failure::usage(format!("this would remove {names}, and what is in them"))
            .hinted("say so: `cosmos down --volumes --yes`")
    })
}
