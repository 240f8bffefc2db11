//! `cosmos history` and `cosmos why`: what was done, and what made it so.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures_util::StreamExt as _;

use super::{
    args::{Global, History as HistoryArgs, Why as WhyArgs},
    context,
    error::Failure,
    here::here,
    orders::suggesting,
    status::state_of,
    ui::{age, duration, folded, out, outln, plural, printable, show_table, table},
};
use crate::api::{
    client::{Client, encoded},
    wire::{Cause, Entry, EntryState, History, RevisionState, StepResult, Told, Why},
};

/// What a line of the list may say of its steps before it only counts them.
const NAMED_STEPS: usize = 1;

/// As many lines as a failed start shows of what was said last.
const LAST_WORDS: usize = 10;

pub(super) async fn history(global: Global, args: HistoryArgs) -> Result<ExitCode, Failure> {
    let mut history = asked(&global, &args.project).await?;
    if let Some(number) = args.number {
        history.entries.retain(|entry| entry.number == number);
        let Some(entry) = history.entries.first() else {
            return Err(Failure::new(format!("there is no entry {number}"))
                .hinted("`cosmos history` lists them"));
        };
        match args.json {
            true => outln!("{}", serde_json::to_string(&history).unwrap_or_default()),
            false => show_entry(entry),
        }
        return Ok(ExitCode::SUCCESS);
    }
    history.entries.truncate(args.limit);
    if args.json {
        outln!("{}", serde_json::to_string(&history).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let mut rows = table(["#", "WHEN", "CAUSE", "REVISION", "STATE", "TOOK", "WHAT"]);
    for entry in &history.entries {
        rows.add_row([
            entry.number.to_string(),
            ago(entry.at),
            printable(&entry.doing.cause.to_string()),
            numbered(entry.revision),
            entry.state.as_str().to_owned(),
            took(entry),
            printable(&what(entry)),
        ]);
    }
    show_table(&rows);
    outln!();
    let mut rows = table(["REVISION", "WHEN", "STATE", "SERVICES"]);
    for revision in history.revisions.iter().take(args.limit) {
        rows.add_row([
            revision.revision.to_string(),
            ago(revision.at),
            match revision.state {
                RevisionState::Begun => "begun",
                RevisionState::Good => "good",
                RevisionState::Failed => "failed",
            }
            .to_owned(),
            revision.services.to_string(),
        ]);
    }
    show_table(&rows);
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn why(global: Global, args: WhyArgs) -> Result<ExitCode, Failure> {
    let Some(service) = &args.service else {
        return last_start(&global, &args).await;
    };
    let (client, key) = here(&global, &args.project).await?;
    let path = format!(
        "/workspaces/{}/services/{}/why",
        encoded(&key),
        encoded(service)
    );
    let why: Result<Why, _> = client.get(&path).await;
    let loaded = context::workspace_here(&global);
    let why = why.map_err(|error| suggesting(error, service, loaded.as_ref()))?;
    if args.json {
        outln!("{}", serde_json::to_string(&why).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    let status = &why.status;
    match &status.note {
        Some(note) => outln!("{service} is {}: {}", status.state, printable(note)),
        None => outln!("{service} is {}", status.state),
    }
    for container in &status.containers {
        let seconds = container.seconds.map(age).unwrap_or_default();
        outln!("  {} {} {seconds}", container.name, state_of(container));
        if container.exit_code.is_some() {
            last_words(&client, &container.id).await;
        }
    }
    for entry in why.because.iter().take(CAUSES) {
        outln!();
        show_entry(entry);
    }
    let more = why.because.len().saturating_sub(CAUSES);
    if more > 0 {
        outln!("\nand {more} before: `cosmos history` lists them");
    }
    Ok(ExitCode::SUCCESS)
}

/// So many of what was done last explain it: what came before is history.
const CAUSES: usize = 3;

/// What a container that ended wrote last.
async fn last_words(client: &Client, container: &str) {
    let path = format!("/containers/{}/logs?tail={LAST_WORDS}", encoded(container));
    // That it cannot be told does not hide the rest.
    let Ok(chunks) = client.frames(&path).await else {
        return;
    };
    let chunks: Vec<_> = chunks.filter_map(async |chunk| chunk.ok()).collect().await;
    let said: Vec<u8> = chunks
        .iter()
        .flat_map(|chunk| chunk.bytes().iter().copied())
        .collect();
    for line in String::from_utf8_lossy(&said).lines() {
        outln!("    | {}", printable(line));
    }
}

/// Says what the start that has just ended had to wait for, if one thing had to wait
/// for another.
pub(super) async fn show_what_lasted(client: &Client, key: &str) {
    let path = format!("/workspaces/{}/history?limit=1", encoded(key));
    // Who asked for a start has it: that it cannot be told what lasted is no failure.
    let Ok(history) = client.get::<History>(&path).await else {
        return;
    };
    let Some(entry) = history.entries.first() else {
        return;
    };
    if entry.critical_path.len() > 1 {
        outln!("what it waited for:");
        show_path(entry);
    }
}

/// Without a service: what the last start had to wait for.
async fn last_start(global: &Global, args: &WhyArgs) -> Result<ExitCode, Failure> {
    let history = asked(global, &args.project).await?;
    let is_start = |entry: &&Entry| {
        matches!(entry.doing.cause, Cause::Up { .. }) && !entry.critical_path.is_empty()
    };
    let Some(entry) = history.entries.iter().find(is_start) else {
        return Err(Failure::new(
            "no `cosmos up` that is remembered had anything to do",
        ));
    };
    if args.json {
        outln!("{}", serde_json::to_string(entry).unwrap_or_default());
        return Ok(ExitCode::SUCCESS);
    }
    outln!(
        "#{} {}, {}, took {}, in which everything waited for:",
        entry.number,
        printable(&entry.doing.cause.to_string()),
        ago(entry.at),
        took(entry)
    );
    show_path(entry);
    Ok(ExitCode::SUCCESS)
}

async fn asked(global: &Global, project: &super::args::Project) -> Result<History, Failure> {
    let (client, key) = here(global, project).await?;
    let path = format!("/workspaces/{}/history", encoded(&key));
    Ok(client.get(&path).await?)
}

/// One entry with all of its steps.
fn show_entry(entry: &Entry) {
    let revision = match entry.revision {
        0 => String::new(),
        number => format!(", revision {number}"),
    };
    let state = match entry.state {
        EntryState::Done => String::new(),
        state => format!(", {}", state.as_str()),
    };
    outln!(
        "#{} {}, {}{revision}{state}",
        entry.number,
        printable(&entry.doing.cause.to_string()),
        ago(entry.at)
    );
    match &entry.doing.cause {
        Cause::Order {
            note: Some(text), ..
        }
        | Cause::RollBack { because: text, .. } => {
            outln!("  {}", printable(text));
        }
        _ => {}
    }
    for told in &entry.doing.steps {
        show_step(told);
    }
    if entry.critical_path.len() > 1 {
        outln!("  everything waited for:");
        show_path(entry);
    }
}

fn show_step(told: &Told) {
    let step = &told.step;
    let (mark, end) = match &told.result {
        StepResult::Done { millis } => (' ', duration(Duration::from_millis(*millis))),
        StepResult::Failed { .. } => ('x', "failed".to_owned()),
        StepResult::Skipped => ('-', "not tried".to_owned()),
        StepResult::Unknown => ('?', "not finished".to_owned()),
    };
    let width = super::output_width().unwrap_or(usize::MAX);
    let (action, reason) = (printable(&step.action), printable(&step.reason));
    out!(
        "{}",
        folded(&format!("{mark} {action} ({end}): {reason}"), width)
    );
    if let StepResult::Failed { problem } = &told.result {
        out!(
            "{}",
            folded(&format!("    {}", printable(&problem.message)), width)
        );
        for line in &problem.output {
            outln!("    | {}", printable(line));
        }
    }
}

/// What the whole had to wait for, each with its share.
fn show_path(entry: &Entry) {
    for id in &entry.critical_path {
        let Some(told) = entry.doing.steps.iter().find(|told| told.step.id == *id) else {
            continue;
        };
        if let StepResult::Done { millis } = told.result {
            let share = duration(Duration::from_millis(millis));
            outln!("  {share:>8}  {}", printable(&told.step.action));
        }
    }
}

/// The whole in a line.
fn what(entry: &Entry) -> String {
    match &entry.doing.cause {
        Cause::Order {
            note: Some(note), ..
        } => return note.clone(),
        Cause::RollBack { because, .. } => return because.clone(),
        _ => {}
    }
    let steps = &entry.doing.steps;
    let failed = steps.iter().find_map(|told| match &told.result {
        StepResult::Failed { problem } => Some(problem.message.clone()),
        _ => None,
    });
    match (failed, steps.as_slice()) {
        (Some(failed), _) => failed,
        (None, []) => "nothing to restart".to_owned(),
        (None, steps) if steps.len() <= NAMED_STEPS => steps
            .iter()
            .map(|told| format!("{}: {}", told.step.action, told.step.reason))
            .collect(),
        (None, steps) => plural(u32::try_from(steps.len()).unwrap_or(u32::MAX), "step"),
    }
}

fn took(entry: &Entry) -> String {
    duration(Duration::from_millis(entry.doing.millis))
}

fn numbered(revision: u64) -> String {
    match revision {
        0 => String::new(),
        number => number.to_string(),
    }
}

pub(super) fn ago(millis: u64) -> String {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_sub(Duration::from_millis(millis));
    format!("{} ago", age(since.as_secs()))
}
