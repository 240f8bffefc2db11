//! How an order in force reads: who gave it, when, what for, and what ends it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::age;
use crate::{
    api::wire::{Hold, Override},
    cli::who,
};

/// `held stopped by anna 2 h ago: "debugging" (cosmos start web releases it)`.
pub(crate) fn shown_hold(service: &str, order: &Override) -> String {
    shown(service, order, seconds_now())
}

/// `` held stopped by `cosmos stop web` 2 h ago``.
pub(super) fn ordered(order: &Override) -> String {
    let at = since(order, seconds_now());
    format!("{} by `{}` {at}", order.hold, order.by)
}

fn shown(service: &str, order: &Override, now: u64) -> String {
    let who = match &order.who {
        Some(who) => who::known(who).to_owned(),
        None => format!("`{}`", order.by),
    };
    let left = order.until.map(|until| (until / 1000).saturating_sub(now));
    let left = left.map(|left| format!(", for another {}", age(left)));
    let why = order.why.as_ref().map(|why| format!(": \"{why}\""));
    let verb = match order.hold {
        Hold::Stopped => "start",
        Hold::Started | Hold::Replicas(_) => "release",
    };
    format!(
        "{} by {who} {}{}{} (cosmos {verb} {service} releases it)",
        order.hold,
        since(order, now),
        left.unwrap_or_default(),
        why.unwrap_or_default(),
    )
}

fn since(order: &Override, now: u64) -> String {
    match now.saturating_sub(order.at / 1000) {
        0 => "just now".to_owned(),
        seconds => format!("{} ago", age(seconds)),
    }
}

fn seconds_now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(hold: Hold) -> Override {
        Override {
            hold,
            by: "cosmos stop web".to_owned(),
            who: Some("anna@elsewhere.invalid".to_owned()),
            at: 1_000_000,
            until: None,
            why: None,
        }
    }

    #[test]
    fn a_hold_says_who_when_what_for_and_what_releases_it() {
        let stopped = Override {
            why: Some("debugging".to_owned()),
            ..order(Hold::Stopped)
        };
        assert_eq!(
            shown("web", &stopped, 1_000 + 7_200),
            "held stopped by anna@elsewhere.invalid 2 h ago: \"debugging\" (cosmos start web releases it)"
        );
        assert_eq!(
            shown("web", &order(Hold::Replicas(3)), 1_000),
            "scaled to 3 by anna@elsewhere.invalid just now (cosmos release web releases it)"
        );
    }

    #[test]
    fn a_hold_that_ends_says_when() {
        let stopped = Override {
            until: Some(1_000_000 + 3_600_000),
            ..order(Hold::Stopped)
        };
        assert_eq!(
            shown("web", &stopped, 1_000 + 1_800),
            "held stopped by anna@elsewhere.invalid 30 min ago, for another 30 min (cosmos start web releases it)"
        );
    }

    #[test]
    fn an_order_of_somebody_unknown_is_named_by_its_words() {
        let unknown = Override {
            who: None,
            ..order(Hold::Stopped)
        };
        let shown = shown("web", &unknown, 1_005);
        assert!(
            shown.starts_with("held stopped by `cosmos stop web` 5 s ago ("),
            "{shown}"
        );
    }
}
