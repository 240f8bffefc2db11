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

use crate::workspace::Observed;

/// How long a look may be trusted: events can be lost.
const TRUSTED_FOR: Duration = Duration::from_secs(30);

/// The last look at one engine.
#[derive(Default)]
pub(super) struct LastLook(Mutex<State>);

#[derive(Default)]
struct State {
    /// The stream of events is open.
    is_followed: bool,
    /// Raised with everything that may have changed something.
    epoch: u64,
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
        self.held().filter(|_| self.epoch == began.0)
    }
}

struct Held {
    at: Instant,
    /// The list of containers, in whatever form its reader compares.
    listed: Vec<String>,
    observed: Observed,
}

/// The moment a look began. What changed since makes it worthless.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Began(u64);

impl LastLook {
    /// Notes that a look begins.
    pub(super) fn begin(&self) -> Began {
        Began(self.lock().epoch)
    }

    /// Whether there is a look that a list could confirm.
    pub(super) fn is_held(&self) -> bool {
        self.lock().held().is_some()
    }

    /// The last look, if the list reads as it did and nothing was said since.
    pub(super) fn confirmed(&self, began: Began, listed: &[String]) -> Option<Observed> {
        let state = self.lock();
        let held = state.held_since(began)?;
        (held.listed == listed).then(|| held.observed.clone())
    }

    /// The last look, if nothing was said since.
    pub(super) fn unchanged(&self, began: Began) -> Option<Observed> {
        Some(self.lock().held_since(began)?.observed.clone())
    }

    /// Keeps a look, unless something may have changed since it began.
    pub(super) fn keep(&self, began: Began, listed: Vec<String>, observed: &Observed) {
        let mut state = self.lock();
        if state.is_followed && state.epoch == began.0 {
            state.held = Some(Held {
                at: Instant::now(),
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
