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
    ui::{Screen, duration, follow_to_end, outln},
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::Event,
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
    let underway = screen.underway();
    let work = carry_out(&mut screen, client, &path);
    let (last, is_again) = underway.until_left(GOES_ON, work).await?;
    let took = match last {
        Some(Event::Finished { outcome }) => Duration::from_millis(outcome.millis),
        Some(Event::Failed { problem }) if problem.code == "not_up" && is_again => began.elapsed(),
        Some(Event::Failed { problem }) if problem.code == "not_up" => {
            if !global.quiet && global.progress != Progress::Json {
                outln!("{key} is not up: nothing to take down");
            }
            return Ok(());
        }
        Some(Event::Failed { problem }) => return Err(problem.into()),
        _ => {
            return Err(
                Failure::new("the proxy went away before everything was removed")
                    .hinted("run `cosmos down` again"),
            );
        }
    };
    if !global.quiet && global.progress != Progress::Json {
        outln!("{key} is down ({})", duration(took));
    }
    Ok(())
}

/// What a person who leaves it should know.
const GOES_ON: &str = "the proxy goes on with it: `cosmos status --all` shows what is left";

/// Orders it and shows it, to the end; whether it had to be ordered again.
async fn carry_out(
    screen: &mut Screen,
    client: &Client,
    path: &str,
) -> Result<(Option<Event>, bool), Failure> {
    let mut last = ordered(screen, client, path).await?;
    // Whoever took it down meanwhile was we.
    let is_again = last.is_none();
    if is_again {
        // The order stands; given again, it is told how it goes on.
        bootstrap::answers_again(client).await;
        last = ordered(screen, client, path).await?;
    }
    screen.verdict()?;
    Ok((last, is_again))
}

/// Orders it, and follows it to its end; nothing, if that was not told.
async fn ordered(
    screen: &mut Screen,
    client: &Client,
    path: &str,
) -> Result<Option<Event>, Failure> {
    let events = client.events(Method::DELETE, path, None::<&()>).await?;
    let last = follow_to_end(screen, events, |_| {}).await?;
    let is_end = |event: &Event| matches!(event, Event::Finished { .. } | Event::Failed { .. });
    Ok(last.filter(is_end))
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
