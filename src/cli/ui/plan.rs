//! A plan as a tree: what is done to whom, and why, with a count at its foot.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;

use super::{hold, out, printable};
use crate::api::wire::{PlanReport, Quiet, Sign, StepSummary, Subject};

/// Prints a plan on stdout.
pub(crate) fn show_plan(report: &PlanReport) {
    let width = super::super::output_width();
    out!("{}", rendered(report, width.unwrap_or(usize::MAX)));
}

/// As wide as actions are in what most people have.
const ACTION: usize = 44;

/// In less than this, the reason is below what it is a reason for.
const NARROW: usize = 76;

fn rendered(report: &PlanReport, width: usize) -> String {
    let mut text = String::new();
    // Writing to a `String` cannot fail.
    for (subject, steps) in by_subject(&report.steps) {
        let sign = overall(&steps);
        let style = style(sign);
        let held = held(report, &subject);
        let _ = writeln!(text, "{style}{} {subject}{style:#}{held}", symbol(sign));
        for step in steps {
            let loses = step.loses.as_ref();
            let loses = loses.map(|loses| format!("  ! loses {}", printable(loses)));
            let (action, reason) = (printable(&step.action), printable(&step.reason));
            let loses = loses.unwrap_or_default();
            let _ = match width < NARROW {
                true => writeln!(text, "    {action}\n      {reason}{loses}"),
                false => writeln!(text, "    {action:<ACTION$} {reason}{loses}"),
            };
        }
    }
    for name in &report.unchanged {
        let held = held(report, name);
        // What changed of it is said below.
        if !held.is_empty() || !report.quiet.iter().any(|quiet| quiet.of == *name) {
            let _ = writeln!(text, "= {name}{held}");
        }
    }
    text.push_str(&quiet_changes(&report.quiet));
    for problem in &report.blocked {
        let _ = writeln!(text, "! {}", printable(&problem.message));
        if let Some(hint) = &problem.hint {
            let _ = writeln!(text, "    {}", printable(hint));
        }
    }
    let count = |sign| report.steps.iter().filter(|step| step.sign == sign).count();
    if report.is_empty() {
        let _ = writeln!(text, "nothing to do");
    } else {
        let _ = writeln!(
            text,
            "{} to add, {} to change, {} to remove, {} unchanged{}   plan {}",
            count(Sign::Add),
            count(Sign::Change),
            count(Sign::Remove),
            report.unchanged.len(),
            match report.quiet.len() {
                0 => String::new(),
                count => format!(", {count} without a step"),
            },
            report.digest.get(..12).unwrap_or(&report.digest),
        );
    }
    text
}

/// `` held stopped by `cosmos stop web` 2 h ago``, if the service is held.
fn held(report: &PlanReport, service: &str) -> String {
    let orders = report.holds.iter().filter(|held| held.service == service);
    let orders: Vec<_> = orders
        .map(|held| printable(&hold::ordered(&held.order)))
        .collect();
    match orders.is_empty() {
        true => String::new(),
        false => format!("  {}", orders.join("; ")),
    }
}

/// What is in force without a step, a line each.
pub(crate) fn quiet_changes(changes: &[Quiet]) -> String {
    let width = changes.iter().map(|quiet| quiet.of.chars().count()).max();
    let width = width.unwrap_or(0);
    changes
        .iter()
        .map(|Quiet { of, change }| format!("= {:<width$}  {}\n", printable(of), printable(change)))
        .collect()
}

fn by_subject(steps: &[StepSummary]) -> IndexMap<String, Vec<&StepSummary>> {
    let mut grouped: IndexMap<String, Vec<&StepSummary>> = IndexMap::new();
    for step in steps {
        grouped.entry(named(&step.subject)).or_default().push(step);
    }
    grouped
}

/// `web`, `image nginx:alpine`: services without the word, they are most of it.
pub(super) fn named(subject: &Subject) -> String {
    match subject {
        Subject::Service(name) => name.to_string(),
        Subject::Command(name) => format!("command {name}"),
        Subject::Image(image) => format!("image {image}"),
        Subject::Network(network) => format!("network {network}"),
        Subject::Volume(volume) => format!("volume {volume}"),
        Subject::Orphan(name) => name.clone(),
    }
}

/// A subject that only gains is added, one that only loses is removed.
fn overall(steps: &[&StepSummary]) -> Sign {
    let has = |sign| steps.iter().any(|step| step.sign == sign);
    match (has(Sign::Add), has(Sign::Change), has(Sign::Remove)) {
        (true, false, false) => Sign::Add,
        (false, false, true) => Sign::Remove,
        (false, false, false) => Sign::Wait,
        _ => Sign::Change,
    }
}

fn symbol(sign: Sign) -> char {
    match sign {
        Sign::Add => '+',
        Sign::Remove => '-',
        Sign::Change => '~',
        Sign::Wait => '.',
    }
}

fn style(sign: Sign) -> Style {
    match sign {
        Sign::Add => AnsiColor::Green.on_default(),
        Sign::Remove => AnsiColor::Red.on_default(),
        Sign::Change => AnsiColor::Yellow.on_default(),
        Sign::Wait => Style::new().dimmed(),
    }
}
