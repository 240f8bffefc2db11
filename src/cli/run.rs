//! `cosmos run`: a command that the config declares.

use std::{collections::BTreeMap, process::ExitCode};

use super::{
    args::{Exec, Global, Project, Run},
    attached::{self, Attached},
    bootstrap, context,
    error::Failure,
    exec,
    orders::did_you_mean,
};
use crate::{
    api::{client::encoded, wire::RunCommand},
    config::{Loaded, nearest},
    workspace::{CommandKind, ContainerId},
};

pub(super) async fn run(global: Global, args: Run) -> Result<ExitCode, Failure> {
    let (name, more) = args
        .words
        .split_first()
        .ok_or_else(|| Failure::usage("no command was named"))?;
    let more = match more.split_first() {
        Some((dashes, rest)) if dashes == "--" => rest,
        _ => more,
    };
    let loaded = context::load_trusted(&global, &Project::default(), args.trust.given)?;
    let Some(command) = loaded.workspace.commands.get(name.as_str()) else {
        return Err(no_command(&loaded, name));
    };
    if let CommandKind::Exec { service, run } = &command.kind {
        let words = std::iter::once(service.to_string())
            .chain(run.iter().cloned())
            .chain(more.iter().cloned())
            .collect();
        let exec = Exec {
            replica: None,
            no_tty: false,
            user: None,
            workdir: None,
            env: Vec::new(),
            leaving: args.leaving,
            words,
        };
        return exec::run(global, exec).await;
    }

    let client = bootstrap::client(&global).await?;
    let attached = Attached::here();
    let path = format!(
        "/workspaces/{}/commands/{}/run",
        encoded(&loaded.workspace.identity.key()),
        encoded(name)
    );
    let order = RunCommand {
        args: more.to_vec(),
        tty: attached.tty(),
        stdin: attached.stdin(),
    };
    let created: BTreeMap<String, String> = client.post(&path, &order).await?;
    let id = created.get("id").cloned().unwrap_or_default();
    let id = ContainerId::new(id).map_err(|error| Failure::new(error.to_string()))?;
    let ended = attached::run(&client, &id, attached, &args.leaving.keys(), || ()).await?;
    ended.report(&global, &id)
}

/// Why there is no such command, with the one that may have been meant.
pub(super) fn no_command(loaded: &Loaded, name: &str) -> Failure {
    let known: Vec<_> = loaded
        .workspace
        .commands
        .keys()
        .map(|name| name.as_str())
        .collect();
    let failure = Failure::usage(format!("the config declares no command `{name}`"));
    match nearest(name, known.iter().copied()) {
        Some(meant) => failure.hinted(did_you_mean(meant)),
        None if known.is_empty() => failure.hinted("it declares none"),
        None => failure.hinted(format!("it declares: {}", known.join(", "))),
    }
}
