//! `cosmos up`: make the workspace in this folder true.

use std::{collections::BTreeMap, process::ExitCode, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::Method;

use super::{
    args::{self, Global, Up},
    ask, bootstrap, build, context, credentials,
    error::Failure,
    history, orders,
    run::no_command,
    ui::{
        Screen, duration, follow_to_end, out, outln, plural, printable, quiet_changes, sayln,
        show_plan,
    },
    watch,
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::{Event, Outcome, PlanReport, Problem, Quiet, Rerun, Status, Wish},
    },
    config::Loaded,
};

pub(super) async fn run(global: Global, args: Up) -> Result<ExitCode, Failure> {
    if args.watch {
        return watch::stay(global, args, "cosmos up").await;
    }
    if args.polling.interval.is_some() {
        return Err(Failure::usage("`--poll` says how `--watch` finds changes")
            .hinted("`cosmos up --watch --poll`, or `cosmos watch --poll`"));
    }
    let loaded = context::load_trusted(&global, &args.project, args.trust.given)?;
    orders::require_declared(&loaded, &args.services)?;
    let wish = wish(&loaded, &args)?;
    let client = bootstrap::client_for(&global, &loaded.workspace).await?;
    if args.build {
        build_all(&global, &client, &loaded).await?;
    }
    let mut screen = Screen::new(&global);
    let underway = screen.underway();
    let work = carry_out(&mut screen, &global, &client, &loaded, wish);
    let outcome = underway.until_left(GOES_ON, work).await?;
    if !global.quiet && global.progress != args::Progress::Json {
        report(&client, &loaded, screen.quiet(), &outcome, !args.no_wait).await?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Builds every image of the config that is built, whether or not it is there.
pub(super) async fn build_all(
    global: &Global,
    client: &Client,
    loaded: &Loaded,
) -> Result<(), Failure> {
    let images: Vec<_> = build::built_images(loaded)
        .map(|image| image.tag.to_string())
        .collect();
    build::build(global, client, loaded, &images).await
}

pub(super) fn wish(loaded: &Loaded, args: &Up) -> Result<Wish, Failure> {
    Ok(Wish {
        workspace: loaded.workspace.clone(),
        secrets: secrets(loaded),
        expect: args.expect.clone(),
        no_wait: args.no_wait,
        only: args.services.clone(),
        release: args.release,
        rerun: rerun(loaded, &args.rerun)?,
        yes: args.yes,
        may_log_in: credentials::may_be_any(),
        by: words("cosmos up", &args.services),
    })
}

/// The one-shots that are to be run again.
pub(super) fn rerun(loaded: &Loaded, args: &args::Rerun) -> Result<Rerun, Failure> {
    if args.commands.is_empty() {
        return Ok(Rerun::Nothing);
    }
    if args.commands.iter().any(|name| name == args::EVERY) {
        return Ok(Rerun::Everything);
    }
    let declared = &loaded.workspace.commands;
    let unknown = |name: &&String| !declared.contains_key(name.as_str());
    if let Some(name) = args.commands.iter().find(unknown) {
        return Err(no_command(loaded, name));
    }
    Ok(Rerun::Only(args.commands.iter().cloned().collect()))
}

/// An order in words, for whoever asks later. Without options: one may hold a secret.
pub(super) fn words(verb: &str, names: &[String]) -> String {
    let mut words = verb.to_owned();
    for name in names {
        words.push(' ');
        words.push_str(name);
    }
    words
}

pub(super) fn secrets(loaded: &Loaded) -> BTreeMap<crate::workspace::SecretName, String> {
    loaded
        .secrets
        .iter()
        .map(|(name, content)| (name.clone(), STANDARD.encode(content)))
        .collect()
}

/// What a person who leaves an `up` should know.
const GOES_ON: &str = "the proxy goes on with what it was told, a build is given up. `cosmos status` shows how far it is, `cosmos down` takes it back";

/// Orders and builds, and shows it, to the end.
pub(super) async fn carry_out(
    screen: &mut Screen,
    global: &Global,
    client: &Client,
    loaded: &Loaded,
    wish: Wish,
) -> Result<Outcome, Failure> {
    let last = order_and_build(screen, global, client, loaded, wish).await?;
    screen.verdict()?;
    match last {
        Some(Event::Finished { outcome }) if outcome.failed == 0 => Ok(outcome),
        Some(Event::BuildNeeded { images }) => Err(Failure::new(format!(
            "{} was built, and the engine does not have it",
            images.join(", ")
        ))
        .hinted("run `cosmos up` again; something may have removed it")),
        _ => Err(
            Failure::new("the proxy went away before everything was done")
                .hinted("run `cosmos up` again: it goes on where it was"),
        ),
    }
}

/// Does first what the server cannot do by itself, and orders again: tells it the
/// logins for what it is about to pull, and builds what it finds missing.
async fn order_and_build(
    screen: &mut Screen,
    global: &Global,
    client: &Client,
    loaded: &Loaded,
    mut wish: Wish,
) -> Result<Option<Event>, Failure> {
    let path = format!("/workspaces/{}", encoded(&loaded.workspace.identity.key()));
    let mut is_built = false;
    loop {
        match order(screen, client, &path, loaded, &wish).await? {
            Some(Event::LoginsWanted { images }) if wish.may_log_in => {
                credentials::log_in(client, &images).await?;
                wish.may_log_in = false;
            }
            Some(Event::BuildNeeded { images }) if !is_built => {
                build::build(global, client, loaded, &images).await?;
                is_built = true;
            }
            Some(Event::Failed { problem }) => match problem.code.as_str() {
                Problem::CONFIRM => confirm(client, &path, &mut wish, problem).await?,
                Problem::WORLD_MOVED => {
                    show_new_plan(global, client, &path, &wish).await?;
                    return Err(problem.into());
                }
                _ => return Err(problem.into()),
            },
            last => return Ok(last),
        }
    }
}

/// Asks whether what the plan loses may be lost. A yes is for that very plan.
async fn confirm(
    client: &Client,
    path: &str,
    wish: &mut Wish,
    problem: Problem,
) -> Result<(), Failure> {
    if !ask::can_answer() {
        let refusal = Failure::usage(problem.message);
        return Err(refusal.hinted("say so: `cosmos up --yes`"));
    }
    let report = planned(client, path, wish).await?;
    for step in &report.steps {
        if let Some(loses) = &step.loses {
            sayln!("! {} loses {}", printable(&step.action), printable(loses));
        }
    }
    ask::confirm("Nothing brings that back. Go on?", || {
        Failure::usage("nothing was changed")
    })?;
    wish.yes = true;
    wish.expect.get_or_insert(report.digest);
    Ok(())
}

/// Shows the plan that is not the expected one.
async fn show_new_plan(
    global: &Global,
    client: &Client,
    path: &str,
    wish: &Wish,
) -> Result<(), Failure> {
    let report = planned(client, path, wish).await?;
    if global.progress == args::Progress::Json {
        outln!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else if !global.quiet {
        show_plan(&report);
    }
    Ok(())
}

async fn planned(client: &Client, path: &str, wish: &Wish) -> Result<PlanReport, Failure> {
    Ok(client.post(&format!("{path}/plan"), wish).await?)
}

/// Orders, and follows what is done.
async fn order(
    screen: &mut Screen,
    client: &Client,
    path: &str,
    loaded: &Loaded,
    wish: &Wish,
) -> Result<Option<Event>, Failure> {
    let events = client.events(Method::PUT, path, Some(wish)).await?;
    let last = follow_to_end(screen, events, |_| {}).await?;
    let is_told = matches!(
        last,
        Some(
            Event::Finished { .. }
                | Event::BuildNeeded { .. }
                | Event::LoginsWanted { .. }
                | Event::Failed { .. }
        )
    );
    if is_told || !loaded.workspace.network.ipv6 {
        return Ok(last);
    }
    // The order stands; given again, it is told how it goes on. What was to run
    // again has begun to.
    bootstrap::answers_again(client).await;
    let wish = Wish {
        rerun: Rerun::Nothing,
        ..wish.clone()
    };
    let events = client.events(Method::PUT, path, Some(&wish)).await?;
    follow_to_end(screen, events, |_| {}).await
}

/// Whoever waited for so long wants to know for what.
const SLOW: Duration = Duration::from_secs(3);

/// `; web held stopped`: why less runs than is declared.
fn held(outcome: &Outcome) -> String {
    let said = outcome.held.iter();
    let said = said.map(|held| format!("{} {}", held.service, held.order.hold));
    match said.collect::<Vec<_>>() {
        none if none.is_empty() => String::new(),
        some => format!("; {}", some.join(", ")),
    }
}

pub(super) async fn report(
    client: &Client,
    loaded: &Loaded,
    quiet: &[Quiet],
    outcome: &Outcome,
    is_waited_for: bool,
) -> Result<(), Failure> {
    let took = duration(Duration::from_millis(outcome.millis));
    let services = plural(outcome.services, "service");
    let held = held(outcome);
    out!("{}", quiet_changes(quiet));
    if outcome.succeeded == 0 && quiet.is_empty() {
        outln!("up to date ({services}, {took}){held}");
        return Ok(());
    }
    let word = if is_waited_for { "Ready" } else { "Started" };
    outln!("{word} in {took} ({services}){held}");
    let key = loaded.workspace.identity.key();
    let status: Status = client
        .get(&format!("/workspaces/{}", encoded(&key)))
        .await?;
    let width = status
        .services
        .iter()
        .map(|service| service.name.len())
        .max()
        .unwrap_or(0);
    for service in status.services {
        if let Some(host) = service.host {
            outln!(
                "  {:<width$}  {}",
                service.name,
                super::status::url(&host, client)
            );
        }
        for port in service
            .containers
            .iter()
            .flat_map(|container| &container.ports)
        {
            outln!("  {:<width$}  {port}", service.name);
        }
    }
    if Duration::from_millis(outcome.millis) > SLOW {
        history::show_what_lasted(client, &key).await;
    }
    Ok(())
}
