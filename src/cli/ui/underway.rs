//! What is being done at this moment, for a person who wants to leave.
//!
//! What was ordered is the proxy's to do, whoever looks. So a first Ctrl-C leaves at
//! once where nothing is being stopped, and says what goes on. While containers stop,
//! it says which, and for how long; a second one leaves.

use std::{
    collections::BTreeMap,
    future::Future,
    io::{self, Write as _},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use indicatif::MultiProgress;
use tokio::signal::unix::{self, SignalKind};

use super::{duration, printable, sayln};
use crate::{
    api::wire::{Sign, StepId, StepSummary},
    cli::error::{Failure, Kind},
};

/// So many are named; who waits for more reads the screen.
const NAMED: usize = 6;

/// What is being done, shared between who shows it and who may leave.
#[derive(Debug, Clone, Default)]
pub(crate) struct Underway {
    steps: Arc<Mutex<BTreeMap<StepId, (StepSummary, Instant)>>>,
    /// Services that are waited for.
    awaited: Arc<Mutex<BTreeMap<String, Instant>>>,
    bars: Option<MultiProgress>,
}

impl Underway {
    pub(super) fn beside(bars: Option<MultiProgress>) -> Self {
        Self {
            bars,
            ..Self::default()
        }
    }

    pub(super) fn started(&self, step: &StepSummary) {
        let begun = (step.clone(), Instant::now());
        self.steps().insert(step.id, begun);
    }

    pub(super) fn ended(&self, step: StepId) {
        self.steps().remove(&step);
    }

    pub(super) fn awaited(&self, service: &str) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.insert(service.to_owned(), Instant::now());
    }

    pub(super) fn came(&self, service: &str) {
        let mut awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        awaited.remove(service);
    }

    fn steps(&self) -> MutexGuard<'_, BTreeMap<StepId, (StepSummary, Instant)>> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopping(&self) -> bool {
        self.steps().values().any(|(step, _)| is_stop(step))
    }

    /// `stop shop-db-1 (12.1 s), remove shop-web-1 (3 ms)`; none if nothing is.
    fn told(&self, is_told: impl Fn(&StepSummary) -> bool) -> Option<String> {
        let steps = self.steps();
        let mut told: Vec<String> = steps
            .values()
            .filter(|(step, _)| is_told(step))
            .map(|(step, begun)| {
                format!(
                    "{} ({})",
                    printable(&step.action),
                    duration(begun.elapsed())
                )
            })
            .collect();
        if told.len() > NAMED {
            let more = told.split_off(NAMED).len();
            told.push(format!("{more} more"));
        }
        (!told.is_empty()).then(|| told.join(", "))
    }

    /// All of it, services that are waited for among it.
    fn all(&self) -> Option<String> {
        let awaited = self.awaited.lock().unwrap_or_else(PoisonError::into_inner);
        let waits = awaited.iter().map(|(service, begun)| {
            format!(
                "wait for {}: ready ({})",
                printable(service),
                duration(begun.elapsed())
            )
        });
        let told: Vec<String> = self.told(|_| true).into_iter().chain(waits).collect();
        (!told.is_empty()).then(|| told.join(", "))
    }

    /// Says something above what moves.
    fn say(&self, line: &str) {
        match &self.bars {
            // A screen that cannot be written to is no reason to fail.
            Some(bars) => drop(bars.println(line)),
            None => sayln!("{line}"),
        }
    }

    /// Takes the `^C` off the screen that a terminal shows where the cursor is. What moves
    /// is as wide as the screen, so that is on a line more than whoever draws knows of.
    fn forget_echo(&self) {
        let moves: &[u8] = match (&self.bars, self.all()) {
            (Some(_), Some(_)) => b"\r\x1b[2K\x1b[A",
            (Some(_), None) => b"\r\x1b[2K",
            (None, _) => return,
        };
        // Not as what is said: it is no colour, and there where there are none.
        let _ = io::stderr().write_all(moves);
    }

    fn clear(&self) {
        if let Some(bars) = &self.bars {
            let _ = bars.clear();
        }
    }

    /// Does the work to its end, or until a person leaves: what goes on then is said
    /// behind `goes_on`.
    ///
    /// # Errors
    /// Those of the work, and that somebody left.
    pub(crate) async fn until_left<T>(
        self,
        goes_on: &str,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::pin!(work);
        // One for all: what is pressed while something is said is heard, too.
        let mut interrupts = unix::signal(SignalKind::interrupt())?;
        let mut was_told = false;
        loop {
            tokio::select! {
                done = &mut work => return done,
                // Cancel-safe: what is given up is told, and goes on without us.
                _ = interrupts.recv() => {
                    self.forget_echo();
                    if !was_told && self.is_stopping()
                        && let Some(stops) = self.told(is_stop)
                    {
                        was_told = true;
                        self.say(&format!("still stopping: {stops}. Ctrl-C again leaves it to the proxy"));
                        continue;
                    }
                    self.clear();
                    match self.all() {
                        Some(steps) => sayln!("not following any more. Under way: {steps}\n{goes_on}"),
                        None => sayln!("not following any more: {goes_on}"),
                    }
                    return Err(Failure::shown(Kind::Interrupted));
                }
            }
        }
    }
}

/// Whether it lasts until a process has ended: by the words of [`crate::plan::Action`].
fn is_stop(step: &StepSummary) -> bool {
    step.sign == Sign::Remove || step.action.starts_with("stop ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::Subject;

    fn step(id: u32, sign: Sign, action: &str) -> StepSummary {
        StepSummary {
            id: StepId(id),
            needs: Vec::new(),
            subject: Subject::Orphan("shop".to_owned()),
            action: action.to_owned(),
            sign,
            reason: String::new(),
            loses: None,
        }
    }

    #[test]
    fn who_is_still_stopping_is_told_apart_from_what_else_is_done() {
        let underway = Underway::default();
        underway.started(&step(1, Sign::Add, "start shop-web-1"));
        assert!(!underway.is_stopping());
        underway.started(&step(2, Sign::Change, "stop shop-db-1"));
        assert!(underway.is_stopping());
        let told = underway.told(is_stop).unwrap();
        assert!(told.starts_with("stop shop-db-1 ("), "{told}");
        underway.ended(StepId(2));
        assert!(!underway.is_stopping());
        assert!(
            underway
                .told(|_| true)
                .unwrap()
                .contains("start shop-web-1")
        );
    }
}
