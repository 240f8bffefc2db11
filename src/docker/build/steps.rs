//! What both builders' words become: steps that begin and end, and their lines.

use std::collections::VecDeque;

use super::{exit_code, point};
use crate::reconcile::engine::{BuildState, BuildStep, Progress, StepPlace};

/// As many lines of a failed build as a person reads.
const LAST_LINES: usize = 30;

/// A line that never ends is cut here: memory is bounded, whatever a step prints.
const LONGEST_LINE: usize = 16 << 10;

/// The steps of one build, by their ids.
#[derive(Default)]
pub(super) struct Steps {
    known: Vec<Step>,
    /// Lines of no step.
    loose: VecDeque<String>,
}

struct Step {
    step: BuildStep,
    /// What was told last.
    state: Option<BuildState>,
    /// A line that has not ended.
    begun: String,
    lines: VecDeque<String>,
}

impl Steps {
    /// A step that was not begun yet; its id.
    pub(super) fn add(&mut self, place: Option<StepPlace>, name: &str) -> u32 {
        // More than the engine can say in a lifetime.
        let id = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        self.known.push(Step {
            step: BuildStep {
                id,
                place,
                name: name.to_owned(),
            },
            state: None,
            begun: String::new(),
            lines: VecDeque::new(),
        });
        id
    }

    /// Tells how a step is. What is over stays as it was told first.
    pub(super) fn set(
        &mut self,
        id: u32,
        state: BuildState,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        self.flush(id, progress);
        let Some(step) = self.known.get_mut(id as usize) else {
            return;
        };
        let is_over = !matches!(step.state, None | Some(BuildState::Running));
        if is_over || step.state.as_ref() == Some(&state) {
            return;
        }
        step.state = Some(state.clone());
        progress(Progress::Build {
            step: step.step.clone(),
            state,
        });
    }

    /// Hears a part of a step's output, which is told by lines.
    pub(super) fn output(
        &mut self,
        id: u32,
        text: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        let Some(step) = self.known.get_mut(id as usize) else {
            return;
        };
        step.begun.push_str(text);
        let mut begun = std::mem::take(&mut step.begun);
        while let Some(end) = begun.find('\n') {
            let line: String = begun.drain(..=end).collect();
            self.line(Some(id), &line, progress);
        }
        if begun.len() > LONGEST_LINE {
            self.line(Some(id), &std::mem::take(&mut begun), progress);
        }
        if let Some(step) = self.known.get_mut(id as usize) {
            step.begun = begun;
        }
    }

    fn flush(&mut self, id: u32, progress: &(dyn Fn(Progress) + Send + Sync)) {
        if let Some(step) = self.known.get_mut(id as usize) {
            let begun = std::mem::take(&mut step.begun);
            self.line(Some(id), &begun, progress);
        }
    }

    /// Tells a line, of a step or of none. An empty one is not worth it.
    pub(super) fn line(
        &mut self,
        id: Option<u32>,
        text: &str,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        let text = text.trim_end();
        // A bar that is drawn over and over is what it was at last.
        let text = text.rsplit_once('\r').map_or(text, |(_, last)| last);
        if text.trim().is_empty() {
            return;
        }
        let known = id.and_then(|id| self.known.get_mut(id as usize));
        let lines = known.map_or(&mut self.loose, |step| &mut step.lines);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(text.to_owned());
        progress(Progress::Line {
            text: text.to_owned(),
            step: id,
        });
    }

    /// The step that failed.
    fn failed(&self) -> Option<&Step> {
        self.known
            .iter()
            .find(|step| matches!(step.state, Some(BuildState::Failed { .. })))
    }

    /// Why the build failed: the step's command and code, where it was that.
    pub(super) fn cause(&self, error: &str) -> String {
        match (self.failed(), exit_code(error)) {
            (Some(failed), Some(code)) => {
                format!("`{}` ended with exit code {code}", failed.step.name)
            }
            _ => point(error),
        }
    }

    /// The last lines of what failed, or else of all.
    pub(super) fn last_lines(&self) -> Vec<String> {
        let lines = self.failed().map_or(&self.loose, |step| &step.lines);
        lines.iter().cloned().collect()
    }
}
