//! `cosmos rollback`: make the workspace what it was at an earlier revision.

use std::process::ExitCode;

use hyper::Method;

use super::{
    args::{Global, Progress, Rollback as Args},
    bootstrap, context,
    error::Failure,
    ui::{Screen, follow, outln, sayln},
    up::words,
};
use crate::api::{
    client::encoded,
    wire::{Event, Rollback},
};

/// What a person who leaves it should know.
const GOES_ON: &str = "the proxy goes on with it: `cosmos status` shows how far it is";

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let workspace = context::load(&global, &args.project)?.workspace;
    let client = bootstrap::existing(&global).await?;
    let named: Vec<_> = args.revision.iter().map(u64::to_string).collect();
    let rollback = Rollback {
        revision: args.revision,
        folder: workspace.identity.folder.clone(),
        by: words("cosmos rollback", &named),
        no_wait: args.no_wait,
    };
    let path = format!(
        "/workspaces/{}/rollback",
        encoded(&workspace.identity.key())
    );
    let mut screen = Screen::new(&global);
    let underway = screen.underway();
    let work = async {
        let events = client.events(Method::POST, &path, Some(&rollback)).await?;
        let last = follow(&mut screen, events).await?;
        screen.verdict()?;
        Ok(last)
    };
    let last = underway.until_left(GOES_ON, work).await?;
    let Some(Event::Finished { outcome }) = last else {
        return Err(
            Failure::new("the proxy went away before everything was done")
                .hinted("see how far it is: `cosmos status`"),
        );
    };
    if !global.quiet && global.progress != Progress::Json {
        match outcome.succeeded {
            0 => outln!("rolled back: nothing had to be restarted"),
            _ => outln!("rolled back"),
        }
        sayln!("cosmos.toml is as it was: the next `cosmos up` applies it again");
    }
    Ok(ExitCode::SUCCESS)
}
