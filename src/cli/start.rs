//! `cosmos start`: a container of any image, or a service of this workspace.

use std::{future::pending, process::ExitCode, time::Duration};

use hyper::Method;
use tokio::time::sleep;

use super::{
    args::{Global, Start},
    attached::{self, Attached, attach_failed, is_interactive, with_values},
    bootstrap, context, credentials,
    error::Failure,
    exec,
    orders::{self, Order},
    shorthand,
    ui::{Screen, follow, outln, sayln},
};
use crate::{
    api::{
        client::Client,
        wire::{Event, StartAdhoc},
    },
    config::Loaded,
    docker::attach::WaitFor,
    workspace::{ContainerId, ImageRef},
};

/// Tried in this order by `cosmos start IMAGE` on a terminal.
const SHELLS: [&str; 2] = ["/bin/bash", "/bin/sh"];

pub(super) async fn run(global: Global, args: Start) -> Result<ExitCode, Failure> {
    let (first, command) = args
        .words
        .split_first()
        .ok_or_else(|| Failure::usage("no image was named"))?;
    if first.starts_with('-') {
        return Err(Failure::usage(format!("there is no option `{first}`"))
            .hinted("options come before the image: `cosmos start -d nginx:alpine`"));
    }
    let here = context::workspace_here(&global);
    let is_service = command.is_empty()
        && here
            .as_ref()
            .is_some_and(|loaded| loaded.workspace.services.contains_key(first.as_str()));
    if is_service {
        return start_service(&global, first, &args, here.as_ref()).await;
    }
    if args.reason.is_some() {
        return Err(
            Failure::usage(format!("`{first}` is no service of this workspace"))
                .hinted("`--reason` says why a service is held: leave it away for an image"),
        );
    }

    let started = start_image(&global, &args, first, command).await;
    started.map_err(|failure| {
        let meant = here.as_ref().and_then(|here| orders::meant(first, here));
        match meant.filter(|_| command.is_empty() && failure.is_without_image()) {
            Some(meant) => failure.hinted(orders::did_you_mean(meant)),
            None if failure.is_without_program() && is_option(command) => failure.hinted(format!(
                "options come before the image: `cosmos start {} {first}`",
                command.join(" ")
            )),
            None => failure,
        }
    })
}

/// Whether what should be a program looks like an option of ours.
fn is_option(command: &[String]) -> bool {
    command.first().is_some_and(|word| word.starts_with('-'))
}

async fn start_image(
    global: &Global,
    args: &Start,
    first: &str,
    command: &[String],
) -> Result<ExitCode, Failure> {
    let client = bootstrap::client(global).await?;
    if command.is_empty() {
        return keep_alive(global, &client, args, first).await;
    }
    if args.detach {
        let order = order(args, first, command, Attached::No).await?;
        announce(global, &create(global, &client, order).await?);
        return Ok(ExitCode::SUCCESS);
    }
    foreground(global, &client, args, first, command).await
}

async fn start_service(
    global: &Global,
    service: &str,
    args: &Start,
    here: Option<&Loaded>,
) -> Result<ExitCode, Failure> {
    let client = bootstrap::client(global).await?;
    let order = Order {
        reason: args.reason.as_deref(),
        ..Order::of("start")
    };
    let ordered = orders::give(&client, service, &order, here).await?;
    if !global.quiet {
        outln!(
            "Service started: {service} ({})",
            ordered.containers.join(", ")
        );
        if let Some(note) = ordered.note {
            sayln!("{note}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Without a command: a container that stays, and on a terminal a shell in it.
async fn keep_alive(
    global: &Global,
    client: &Client,
    args: &Start,
    image: &str,
) -> Result<ExitCode, Failure> {
    let started = create(global, client, order(args, image, &[], Attached::No).await?).await?;
    if args.detach || !is_interactive() {
        announce(global, &started);
        return Ok(ExitCode::SUCCESS);
    }
    if !global.quiet {
        announce(global, &started);
    }
    let keys = args.leaving.keys();
    let opened = tokio::select! {
        // Neither is continued: what ends first, ends both.
        opened = exec::shell(started.as_str(), &SHELLS, &keys) => opened,
        failure = long_ended(&started) => Err(failure),
    };
    let code = match opened {
        Ok(ExitCode::SUCCESS) => Ok(ExitCode::SUCCESS),
        // Of a shell that was opened just as its container ended, engine 20.10 says why on
        // our terminal, as if the shell itself had.
        opened => match why_it_ended(global, client, &started).await {
            Some(failure) => Err(failure),
            None => opened,
        },
    };
    if args.rm {
        // Whether or not there was a shell: nobody wants what is left.
        let stopped = orders::give(client, started.as_str(), &Order::of("stop"), None).await;
        if code.is_ok() {
            stopped?;
        }
    }
    code
}

/// After its container's end a shell gets this long to end by itself.
const SHELL_ENDS_IN: Duration = Duration::from_secs(2);

/// Returns when a container has ended and its shell has not: one that was being
/// opened just then is neither started nor refused by engine 20.10.
async fn long_ended(id: &ContainerId) -> Failure {
    if end_of(id).await.is_err() {
        return pending().await;
    }
    sleep(SHELL_ENDS_IN).await;
    Failure::new(format!("{} ended, and its shell with it", id.short()))
}

/// Waits for a container's exit code.
async fn end_of(id: &ContainerId) -> Result<i64, Failure> {
    let engine = bootstrap::attach_client().await?;
    let waiting = engine.wait(id.as_str(), WaitFor::NotRunning).await;
    let ended = waiting.map_err(attach_failed)?.exit_code().await;
    ended.map_err(attach_failed)
}

/// No shell can be opened in what ended at once: that is then the cause.
async fn why_it_ended(global: &Global, client: &Client, id: &ContainerId) -> Option<Failure> {
    let running = exec::running(global, client, id.as_str(), None).await;
    if running.is_ok() {
        return None;
    }
    // The code of the engine's init where it finds no program.
    let has_no_tail = matches!(end_of(id).await, Ok(127));
    has_no_tail.then(|| {
        Failure::new(format!(
            "{} ended at once: the image has no `tail` to keep it alive",
            id.short()
        ))
        .hinted("give a command that it has: `cosmos start IMAGE COMMAND`")
    })
}

/// With a command: attached before it starts, so that nothing it says is lost.
async fn foreground(
    global: &Global,
    client: &Client,
    args: &Start,
    image: &str,
    command: &[String],
) -> Result<ExitCode, Failure> {
    let attached = Attached::here();
    let created = create(global, client, order(args, image, command, attached).await?).await?;
    let started = || {
        // With `-q` all of stdout is the command's own.
        if !global.quiet {
            announce(global, &created);
        }
    };
    let ended = attached::run(client, &created, attached, &args.leaving.keys(), started).await?;
    ended.report(global, &created)
}

async fn create(
    global: &Global,
    client: &Client,
    order: StartAdhoc,
) -> Result<ContainerId, Failure> {
    let mut screen = Screen::new(global);
    let events = client
        .events(Method::POST, "/containers", Some(&order))
        .await?;
    let last = follow(&mut screen, events).await;
    screen.clear();
    match last? {
        Some(Event::ContainerCreated { id, .. } | Event::ContainerStarted { id, .. }) => {
            ContainerId::new(id).map_err(|error| Failure::new(error.to_string()))
        }
        _ => Err(
            Failure::new("the proxy went away before the container was there")
                .hinted("run it again"),
        ),
    }
}

async fn order(
    args: &Start,
    image: &str,
    command: &[String],
    attached: Attached,
) -> Result<StartAdhoc, Failure> {
    ImageRef::new(image).map_err(|error| Failure::usage(error.to_string()))?;
    let credentials = credentials::of_images(vec![image.to_owned()]).await;
    Ok(StartAdhoc {
        image: image.to_owned(),
        args: command.to_vec(),
        name: args.name.clone(),
        env: with_values(&args.env),
        mounts: args
            .volume
            .iter()
            .map(|text| shorthand::mount(text))
            .collect::<Result<_, _>>()?,
        ports: args
            .publish
            .iter()
            .map(|text| shorthand::port(text))
            .collect::<Result<_, _>>()?,
        remove: args.rm,
        tty: attached.tty(),
        stdin: attached.stdin(),
        hold: attached != Attached::No,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        credentials,
    })
}

fn announce(global: &Global, created: &ContainerId) {
    if global.quiet {
        outln!("{}", created.short());
    } else {
        outln!("Container started: {}", created.short());
    }
}
