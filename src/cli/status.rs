//! `cosmos status`: how everything is.

mod watch;

use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::{
    args::{Global, Status as Args},
    bootstrap,
    error::Failure,
    here::here,
    output_width,
    ui::{age, columns_that_fit, folded, outln, printable, shown_hold, table, table_lines},
};
use crate::api::{
    client::{Client, encoded},
    wire::{ContainerStatus, Containers, ServiceState, ServiceStatus, Status},
};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let (client, here) = if args.all || !has_config(&global, &args) {
        (bootstrap::existing(&global).await?, None)
    } else {
        let (client, key) = here(&global, &args.project).await?;
        (client, Some(key))
    };
    if args.watch {
        return watch::run(&client, here.as_deref(), args.json).await;
    }
    match here {
        Some(key) => {
            let status: Status = client
                .get(&format!("/workspaces/{}", encoded(&key)))
                .await?;
            show(args.json, &status, || lines(&status, &client));
        }
        None => {
            let containers: Containers = client.get("/containers").await?;
            show(args.json, &containers, || all_lines(&containers, &client));
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn show(is_json: bool, told: &impl Serialize, lines: impl FnOnce() -> Vec<String>) {
    if is_json {
        outln!("{}", serde_json::to_string(told).unwrap_or_default());
        return;
    }
    for line in lines() {
        outln!("{line}");
    }
}

/// Outside any project, `status` means everything.
fn has_config(global: &Global, args: &Args) -> bool {
    global.file.is_some()
        || args.project.file.is_some()
        || std::env::current_dir().is_ok_and(|here| crate::config::find(&here).is_some())
}

/// The address of a host name through the proxy.
pub(super) fn url(host: &str, client: &Client) -> String {
    match client.address().port() {
        80 => format!("http://{host}"),
        port => format!("http://{host}:{port}"),
    }
}

fn all_lines(containers: &Containers, client: &Client) -> Vec<String> {
    if containers.workspaces.is_empty() && containers.adhoc.is_empty() {
        return vec!["nothing is up".to_owned()];
    }
    let mut all = Vec::new();
    for status in &containers.workspaces {
        all.push(format!(
            "{}  {}",
            status.workspace,
            printable(&status.folder)
        ));
        all.extend(lines(status, client));
    }
    if !containers.adhoc.is_empty() {
        all.push("ad-hoc containers".to_owned());
        let mut rows = table(["NAME", "ID", "STATE", "SINCE", "IMAGE", "PORTS", "URL"]);
        for container in &containers.adhoc {
            let id = container.id.chars().take(12).collect();
            let is_running = container.state == "running";
            rows.add_row([
                container.name.clone(),
                id,
                state_of(container),
                since(container),
                printable(&container.image),
                container.ports.join(" "),
                if is_running {
                    url(&format!("{}.localhost", container.name), client)
                } else {
                    String::new()
                },
            ]);
        }
        all.extend(table_lines(&rows));
    }
    all
}

/// The columns of services, and which of them a narrow screen is without, one by one.
const HEADINGS: [&str; 8] = [
    "SERVICE", "STATE", "SINCE", "REPLICAS", "RESTARTS", "PORTS", "URL", "NOTE",
];
const URL: usize = 6;
const NOTE: usize = 7;
/// A note first: it is told below the table, whole.
const WITHOUT: [usize; 6] = [NOTE, 4, 3, 2, 5, URL];

fn lines(status: &Status, client: &Client) -> Vec<String> {
    let rows: Vec<_> = status.services.iter().map(|it| row(it, client)).collect();
    let is_kept = columns_that_fit(&rows, HEADINGS, &WITHOUT);
    let kept = |row: &[String; 8]| -> Vec<String> {
        let cells = row.iter().zip(is_kept);
        let kept = cells.filter(|(_, is)| *is).map(|(cell, _)| cell.clone());
        kept.collect()
    };
    let mut shown = table(kept(&HEADINGS.map(str::to_owned)));
    for row in &rows {
        shown.add_row(kept(row));
    }
    let mut lines = painted(table_lines(&shown), &status.services);
    // What there was no room for, and people want all the same.
    for row in &rows {
        let left_out = [URL, NOTE].into_iter().filter(|at| !is_kept[*at]);
        let said = left_out.filter(|at| !row[*at].is_empty());
        let width = output_width().unwrap_or(usize::MAX);
        for at in said {
            let line = format!("{}: {}", row[0], row[at]);
            lines.extend(folded(&line, width).lines().map(str::to_owned));
        }
    }
    if !status.commands.is_empty() {
        let mut rows = table(["COMMAND", "STATE", "SINCE"]);
        for command in &status.commands {
            let ago = command.container.as_ref().map(since).unwrap_or_default();
            rows.add_row([command.name.clone(), command.state.clone(), ago]);
        }
        lines.push(String::new());
        lines.extend(table_lines(&rows));
    }
    lines
}

fn row(service: &ServiceStatus, client: &Client) -> [String; 8] {
    let running = service
        .containers
        .iter()
        .filter(|container| container.state == "running")
        .count();
    let ports: Vec<_> = service
        .containers
        .iter()
        .flat_map(|container| container.ports.clone())
        .collect();
    let restarts: u32 = service
        .containers
        .iter()
        .map(|container| container.restarts)
        .sum();
    [
        service.name.clone(),
        service.state.to_string(),
        service.containers.first().map(since).unwrap_or_default(),
        format!("{running}/{}", service.replicas),
        restarts.to_string(),
        ports.join(" "),
        service
            .host
            .as_deref()
            .map(|host| url(host, client))
            .unwrap_or_default(),
        printable(&note(service)),
    ]
}

/// What a person should know: the orders that hold it, and what else there is to say.
fn note(service: &ServiceStatus) -> String {
    let orders = [&service.hold, &service.scale].into_iter().flatten();
    let mut notes: Vec<_> = orders
        .map(|order| shown_hold(&service.name, order))
        .collect();
    // That it is held is said already, and better.
    if service.state != ServiceState::Held || notes.is_empty() {
        notes.extend(service.note.clone());
    }
    if let Some(why) = &service.kept_because {
        notes.push(format!("kept as it was: {why}"));
    }
    if !service.drift.is_empty() {
        notes.push(format!("drift: {}", service.drift.join(", ")));
    }
    notes.join("; ")
}

/// The lines of a table of services, with their states in colour where there are colours.
/// It is painted when it is made: to a table, a colour is as wide as its letters.
fn painted(lines: impl Iterator<Item = String>, services: &[ServiceStatus]) -> Vec<String> {
    use std::io::IsTerminal as _;
    if std::env::var_os("NO_COLOR").is_some() || !std::io::stdout().is_terminal() {
        return lines.collect();
    }
    let mut services = services.iter().peekable();
    lines
        .map(
            |line| match services.peek().and_then(|one| paint(&line, one)) {
                Some(painted) => {
                    services.next();
                    painted
                }
                None => line,
            },
        )
        .collect()
}

/// The line with which a service begins, its state in colour; none if it is another line.
fn paint(line: &str, service: &ServiceStatus) -> Option<String> {
    let state = service.state.to_string();
    let behind = line.strip_prefix(service.name.as_str())?;
    let from_state = behind.trim_start();
    let rest = from_state.strip_prefix(state.as_str())?;
    let before = &line[..line.len() - from_state.len()];
    let style = style_of(service.state);
    Some(format!("{before}{style}{state}{style:#}{rest}"))
}

fn style_of(state: ServiceState) -> Style {
    match state {
        ServiceState::Ready => AnsiColor::Green.on_default(),
        ServiceState::Starting => AnsiColor::Yellow.on_default(),
        ServiceState::Unhealthy | ServiceState::Exited | ServiceState::Missing => {
            AnsiColor::Red.on_default()
        }
        ServiceState::Held | ServiceState::Off => Style::new().dimmed(),
    }
}

/// The engine's word for a container, with its exit code if it ended.
pub(super) fn state_of(container: &ContainerStatus) -> String {
    match container.exit_code {
        Some(code) => format!("{} ({code})", container.state),
        None => container.state.clone(),
    }
}

fn since(container: &ContainerStatus) -> String {
    container.seconds.map(age).unwrap_or_default()
}
