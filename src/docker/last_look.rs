//! Remembering the last look, so that looking again costs one call.
//!
//! It is trusted while nothing can have changed: the stream of events is
//! unbroken and said nothing since, and the list of containers reads as it did.
//! An event can be late, a list cannot; a list does not know everything, events
//! do. A look older than [`TRUSTED_FOR`] is made anew all the same. Whoever only tells
//! people how things are does without the list.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::workspace::{NetworkName, Observed};

/// How long a look may be trusted: events can be lost.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

/// The last look at one engine.
#[derive(Default)]
pub(super) struct LastLook(Mutex<State>);

#[derive(Default)]
struct State {
    /// The stream of events is open.
    is_followed: bool,
    /// Raised with everything that may have changed something of ours.
    epoch: u64,
    /// Raised with what changed of others, and is in no list of containers.
    elsewhere: u64,
    held: Option<Held>,
}

impl State {
    /// What is held and may be trusted.
    fn held(&self) -> Option<&Held> {
        let held = self.held.as_ref().filter(|_| self.is_followed)?;
        (held.at.elapsed() < TRUSTED_FOR).then_some(held)
    }

    /// The same, if nothing was said since.
    fn held_since(&self, began: Began) -> Option<&Held> {
        self.held().filter(|_| self.epoch == began.epoch)
    }
}

struct Held {
    at: Instant,
    /// When it began.
    began: Began,
    /// The list of containers, in whatever form its reader compares.
    listed: Vec<String>,
    observed: Observed,
}

/// The moment a look began. What changed since makes it worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Began {
    epoch: u64,
    elsewhere: u64,
}

impl LastLook {
    /// Notes that a look begins.
    pub(super) fn begin(&self) -> Began {
        let state = self.lock();
        Began {
            epoch: state.epoch,
            elsewhere: state.elsewhere,
        }
    }

    /// Whether there is a look that a list could confirm.
    pub(super) fn is_held(&self) -> bool {
        self.lock().held().is_some()
    }

    /// The last look, if the list reads as it did and nothing was said since.
    pub(super) fn confirmed(&self, began: Began, listed: &[String]) -> Option<Observed> {
        let state = self.lock();
        let held = state.held_since(began)?;
        let is_known = held.began.elsewhere == state.elsewhere;
        (is_known && held.listed == listed).then(|| held.observed.clone())
    }

    /// The last look, if nothing was said of ours since.
    pub(super) fn unchanged(&self, began: Began) -> Option<Observed> {
        Some(self.lock().held_since(began)?.observed.clone())
    }

    /// Keeps a look, unless something may have changed since it began.
    pub(super) fn keep(&self, began: Began, listed: Vec<String>, observed: &Observed) {
        let mut state = self.lock();
        if state.is_followed && state.epoch == began.epoch {
            state.held = Some(Held {
                at: Instant::now(),
                began,
                listed,
                observed: observed.clone(),
            });
        }
    }

    /// Something may have changed.
    pub(super) fn changed(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.held = None;
    }

    /// Something may have changed of a network: of ours, if it was seen as ours, or with a
    /// container of ours in it; else of others.
    pub(super) fn network_changed(&self, name: &NetworkName) {
        let mut state = self.lock();
        let is_ours = state.held.as_ref().is_none_or(|held| {
            let mut networks = held.observed.networks.iter();
            let mut containers = held.observed.containers.iter();
            networks.any(|network| network.managed && network.name == *name)
                || containers.any(|one| one.owner.is_some() && one.networks.contains_key(name))
        });
        if is_ours {
            state.epoch += 1;
            state.held = None;
        } else {
            state.elsewhere += 1;
        }
    }

    /// The stream of events was opened, or has ended.
    pub(super) fn follow(&self, is_followed: bool) {
        let mut state = self.lock();
        state.is_followed = is_followed;
        state.epoch += 1;
        state.held = None;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<String> {
        vec!["web running".to_owned()]
    }

    fn kept() -> LastLook {
        let last = LastLook::default();
        last.follow(true);
        last.keep(last.begin(), list(), &Observed::default());
        last
    }

    #[test]
    fn a_look_is_trusted_while_nothing_was_said() {
        let last = kept();
        assert!(last.confirmed(last.begin(), &list()).is_some());
        assert!(last.unchanged(last.begin()).is_some());
    }

    #[test]
    fn a_list_that_reads_otherwise_is_believed() {
        let last = kept();
        assert!(last.confirmed(last.begin(), &[]).is_none());
    }

    #[test]
    fn an_event_makes_the_last_look_worthless() {
        let last = kept();
        let began = last.begin();
        last.changed();
        for began in [began, last.begin()] {
            assert!(last.confirmed(began, &list()).is_none());
            assert!(last.unchanged(began).is_none());
        }
    }

    #[test]
    fn a_network_of_others_is_no_news_of_ours_and_none_to_plan_without() {
        let last = kept();
        last.network_changed(&"theirs".parse().unwrap());
        assert!(last.unchanged(last.begin()).is_some());
        assert!(last.confirmed(last.begin(), &list()).is_none());
    }

    #[test]
    fn an_event_during_a_look_keeps_it_from_being_kept() {
        let last = LastLook::default();
        last.follow(true);
        let began = last.begin();
        last.changed();
        last.keep(began, list(), &Observed::default());
        assert!(!last.is_held());
    }

    #[test]
    fn without_a_stream_of_events_nothing_is_trusted() {
        let last = kept();
        last.follow(false);
        last.keep(last.begin(), list(), &Observed::default());
        assert!(!last.is_held());
    }
}
