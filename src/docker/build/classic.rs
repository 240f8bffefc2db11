//! What the classic builder says, and Podman's: lines of prose.

use std::time::Instant;

use super::{point, steps::Steps};
use crate::reconcile::engine::{BuildState, Progress, StepPlace};

/// A reader of its output.
#[derive(Default)]
pub(super) struct Classic {
    begun: String,
    step: Option<(u32, Instant)>,
}

impl Classic {
    /// Takes a part of the output, however it is cut.
    pub(super) fn hear(
        &mut self,
        text: &str,
        steps: &mut Steps,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        self.begun.push_str(text);
        while let Some(end) = self.begun.find('\n') {
            let line: String = self.begun.drain(..=end).collect();
            self.line(line.trim_end(), steps, progress);
        }
    }

    fn line(&mut self, line: &str, steps: &mut Steps, progress: &(dyn Fn(Progress) + Send + Sync)) {
        if let Some((place, name)) = step_of(line) {
            self.done(steps, progress);
            let id = steps.add(Some(place), name);
            self.step = Some((id, Instant::now()));
            steps.set(id, BuildState::Running, progress);
            return;
        }
        let word = line.trim_start();
        if word.starts_with("---> Using cache") || word.starts_with("--> Using cache") {
            if let Some((id, _)) = self.step {
                steps.set(id, BuildState::Cached, progress);
            }
            return;
        }
        if is_bookkeeping(word) {
            return;
        }
        match self.step {
            Some((id, _)) => steps.line(Some(id), line, progress),
            None => steps.line(None, line, progress),
        }
    }

    fn done(&mut self, steps: &mut Steps, progress: &(dyn Fn(Progress) + Send + Sync)) {
        if let Some((id, began)) = self.step.take() {
            let millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
            steps.set(id, BuildState::Done { millis }, progress);
        }
    }

    /// Ends the last step, as it was.
    pub(super) fn end(
        &mut self,
        error: Option<&str>,
        steps: &mut Steps,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        let rest = std::mem::take(&mut self.begun);
        self.line(rest.trim_end(), steps, progress);
        match (error, self.step) {
            (Some(error), Some((id, _))) => {
                let cause = point(error);
                steps.set(id, BuildState::Failed { cause }, progress);
            }
            _ => self.done(steps, progress),
        }
    }
}

/// `Step 2/5 : RUN make`, or Podman's `STEP 2/5: RUN make`.
fn step_of(line: &str) -> Option<(StepPlace, &str)> {
    let rest = line
        .strip_prefix("Step ")
        .or_else(|| line.strip_prefix("STEP "))?;
    let (count, name) = rest.split_once(':')?;
    let (number, of) = count.trim().split_once('/')?;
    let place = StepPlace {
        stage: None,
        number: number.parse().ok()?,
        of: of.parse().ok()?,
    };
    Some((place, name.trim()))
}

/// What the builder says of its own doings.
fn is_bookkeeping(line: &str) -> bool {
    [
        "---> ",
        "--> ",
        "Removing intermediate container ",
        "Successfully built ",
        "Successfully tagged ",
        "COMMIT ",
    ]
    .iter()
    .any(|start| line.starts_with(start))
}
