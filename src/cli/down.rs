//! `cosmos down`: stop and remove what `up` made.

use std::{
    io::{IsTerminal as _, Write as _, stdin},
    process::ExitCode,
    time::Duration,
};

use hyper::Method;

use super::{
    args::{Down, Global, Progress},
    bootstrap, context,
    error::Failure,
    ui::{Screen, duration, follow, outln, say},
};
use crate::{
    api::{client::encoded, wire::Event},
    workspace::Workspace,
};

pub(super) async fn run(global: Global, args: Down) -> Result<ExitCode, Failure> {
    let workspace = context::load(&global, &args.project)?.workspace;
    let client = bootstrap::existing(&global).await?;
    if args.volumes && !args.yes {
        confirm(&workspace)?;
    }
    let path = format!(
        "/workspaces/{}?volumes={}&folder={}",
        encoded(&workspace.identity.key()),
        args.volumes,
        encoded(&workspace.identity.folder)
    );
    let mut screen = Screen::new(&global);
    let events = client.events(Method::DELETE, &path, None::<&()>).await?;
    let last = follow(&mut screen, events).await?;
    screen.verdict()?;
    let Some(Event::Finished { outcome }) = last else {
        return Err(
            Failure::new("the proxy went away before everything was removed")
                .hinted("run `cosmos down` again"),
        );
    };
    if !global.quiet && global.progress != Progress::Json {
        outln!(
            "{} is down ({})",
            workspace.identity,
            duration(Duration::from_millis(outcome.millis))
        );
    }
    Ok(ExitCode::SUCCESS)
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
    let refusal = || {
        Failure::usage(format!(
            "this would remove {}, and what is in them",
            volumes.join(", ")
        ))
        .hinted("say so: `cosmos down --volumes --yes`")
    };
    if !stdin().is_terminal() {
        return Err(refusal());
    }
    say!(
        "Remove {} and all that is in them? [y/N] ",
        volumes.join(", ")
    );
    std::io::stderr().flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(refusal())
    }
}
