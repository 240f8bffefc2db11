//! `cosmos exec`: a command in a running container.

use std::process::ExitCode;

use super::{
    args::{Exec, Global},
    attached::{attach_failed, is_interactive, join, with_values},
    bootstrap, context,
    error::Failure,
    orders::suggesting,
    terminal::{self, StdinKind},
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::Found,
    },
    docker::attach::ExecOptions,
};

pub(super) async fn run(global: Global, args: Exec) -> Result<ExitCode, Failure> {
    let (name, command) = args
        .words
        .split_first()
        .ok_or_else(|| Failure::usage("no container was named"))?;
    if command.is_empty() {
        return Err(Failure::usage("no command was given")
            .hinted(format!("for a shell: `cosmos exec {name} sh`")));
    }
    let client = bootstrap::existing(&global).await?;
    let container = running(&global, &client, name).await?;
    let tty = !args.no_tty && is_interactive();
    let options = ExecOptions {
        command: command.to_vec(),
        tty,
        stdin: tty || terminal::stdin_kind() == StdinKind::Stream,
        user: args.user,
        workdir: args.workdir,
        env: with_values(&args.env),
    };
    let joined = join(&container, &options).await?;
    joined.map_err(|error| attach_failed(error).of_child())
}

/// The id of the container that a name means, which must be running.
pub(super) async fn running(
    global: &Global,
    client: &Client,
    name: &str,
) -> Result<String, Failure> {
    let found = found(global, client, name).await?;
    match found
        .containers
        .into_iter()
        .find(|container| container.state == "running")
    {
        Some(container) => Ok(container.id),
        None => Err(Failure::new(format!("`{name}` is not running"))
            .hinted(format!("start it: `cosmos start {name}`"))),
    }
}

/// What a name means here.
pub(super) async fn found(global: &Global, client: &Client, name: &str) -> Result<Found, Failure> {
    let here = context::workspace_here(global);
    let query = here
        .as_ref()
        .map(|here| format!("?workspace={}", encoded(&here.workspace.identity.key())))
        .unwrap_or_default();
    client
        .get(&format!("/containers/{}{query}", encoded(name)))
        .await
        .map_err(|error| suggesting(error, name, here.as_ref()))
}

/// Opens the first of these shells that the container has, on our terminal.
pub(super) async fn shell(container: &str, shells: &[&str]) -> Result<ExitCode, Failure> {
    let mut missing = None;
    for shell in shells {
        let options = ExecOptions {
            command: vec![(*shell).to_owned()],
            tty: true,
            stdin: true,
            ..ExecOptions::default()
        };
        match join(container, &options).await? {
            Ok(code) => return Ok(code),
            Err(error) if error.cannot_run().is_some() => missing = Some(error),
            Err(error) => return Err(attach_failed(error)),
        }
    }
    let shells = shells.join(" nor ");
    Err(
        Failure::new(format!("the image has neither {shells}")).hinted(match missing {
            Some(_) => "give a command that it has: `cosmos start IMAGE COMMAND`",
            None => "no shell was tried",
        }),
    )
}
