//! `cosmos wait`: until services are ready, or otherwise as they should be.

use std::process::ExitCode;

use super::{
    args::{Global, Wait as Args, WaitFor},
    bootstrap, context,
    error::Failure,
    orders::{millis, suggesting, time},
    ui::outln,
};
use crate::api::{
    client::encoded,
    wire::{Condition, Waited},
};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let patience = time(&args.timeout)?;
    let loaded = context::load(&global, &args.project)?;
    let client = bootstrap::existing(&global).await?;
    let condition = args.condition.map(|condition| match condition {
        WaitFor::Ready => Condition::Ready,
        WaitFor::Started => Condition::Started,
        WaitFor::Completed => Condition::Completed,
        WaitFor::Stopped => Condition::Stopped,
    });
    let path = format!(
        "/workspaces/{}/wait?names={}&patience={}{}",
        encoded(&loaded.workspace.identity.key()),
        encoded(&args.names.join(",")),
        millis(patience),
        condition
            .map(|condition| format!("&condition={condition}"))
            .unwrap_or_default(),
    );
    let waited: Result<Waited, _> = client.get(&path).await;
    let waited = waited.map_err(|error| {
        // The one that nothing is called is among them.
        let declared = &loaded.workspace;
        let is_unknown = |name: &&String| {
            !declared.services.contains_key(name.as_str())
                && !declared.commands.contains_key(name.as_str())
        };
        let unknown = args.names.iter().find(is_unknown);
        suggesting(error, unknown.map_or("", String::as_str), Some(&loaded))
    })?;
    if args.json {
        outln!("{}", serde_json::to_string(&waited).unwrap_or_default());
    } else if !global.quiet {
        for met in waited.met {
            outln!("{} is {}", met.name, met.is);
        }
    }
    Ok(ExitCode::SUCCESS)
}
