//! A plan as a tree: what is done to whom, and why, with a count at its foot.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};
use indexmap::IndexMap;

use super::{fold::columns, folded, hold, out, printable};
use crate::api::wire::{PlanReport, Quiet, Sign, StepSummary, Subject};

/// Prints a plan on stdout.
pub(crate) fn show_plan(report: &PlanReport) {
    let width = super::super::output_width();
    out!("{}", rendered(report, width.unwrap_or(usize::MAX)));
}

/// As wide as actions are in what most people have.
const ACTION: usize = 44;

/// In less than this, or where there is no room for it, a reason is below what it is a
/// reason for.
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
            let beside = format!("    {action:<ACTION$} {reason}{loses}");
            text.push_str(&match width >= NARROW && columns(&beside) <= width {
                true => beside + "\n",
                false => folded(&format!("    {action}\n      {reason}{loses}"), width),
            });
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
        text.push_str(&folded(
            &format!("! {}", printable(&problem.message)),
            width,
        ));
        if let Some(hint) = &problem.hint {
            text.push_str(&folded(&format!("    {}", printable(hint)), width));
        }
    }
    let count = |sign| report.steps.iter().filter(|step| step.sign == sign).count();
    if report.is_empty() {
        let _ = writeln!(text, "nothing to do");
    } else {
        let counts = format!(
            "{} to add, {} to change, {} to remove, {} unchanged{}",
            count(Sign::Add),
            count(Sign::Change),
            count(Sign::Remove),
            report.unchanged.len(),
            match report.quiet.len() {
                0 => String::new(),
                count => format!(", {count} without a step"),
            },
        );
        let digest = report.digest.get(..12).unwrap_or(&report.digest);
        let foot = format!("{counts}   plan {digest}");
        match columns(&foot) <= width {
            true => text.push_str(&(foot + "\n")),
            false => text.push_str(&folded(&format!("{counts}\nplan {digest}"), width)),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    /// One service with a long reason.
    fn report() -> PlanReport {
        let step = serde_json::json!({
            "id": 1, "needs": [], "sign": "change", "loses": null,
            "subject": { "kind": "service", "name": "db" },
            "action": "launch shop-db-1",
            "reason": "command changed (cosmos.toml:5); ports changed: - 127.0.0.1:25667:5432/tcp, + 127.0.0.1:15432:5432/tcp (cosmos.toml:7)",
        });
        serde_json::from_value(serde_json::json!({
            "steps": [step], "blocked": [], "unchanged": ["web"], "digest": "0123456789abcdef",
            "schema": 1,
        }))
        .unwrap()
    }

    #[test]
    fn no_word_is_broken_by_the_end_of_a_line() {
        for width in [40, 80, 120] {
            let shown = rendered(&report(), width);
            let wide: Vec<_> = shown.lines().filter(|it| columns(it) > width).collect();
            // What colours it takes no room.
            let wide = wide.into_iter().filter(|it| !it.contains('\x1b'));
            assert_eq!(wide.collect::<Vec<_>>(), Vec::<&str>::new(), "{shown}");
        }
        let shown = rendered(&report(), 80);
        assert!(
            shown.contains(
                "    launch shop-db-1\n      command changed (cosmos.toml:5); ports changed: -\n        127.0.0.1:25667:5432/tcp, "
            ),
            "{shown}"
        );
    }
}
