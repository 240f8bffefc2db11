//! Events folded into what a person sees while something is going on.
//!
//! On a terminal, what is running is shown in place, after 250 ms; elsewhere
//! each thing that happened is a line. All of it goes to stderr.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use anstyle::AnsiColor;
use futures_util::{Stream, StreamExt as _, pin_mut};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{super::args, duration, outln, plan::named, printable, say, sayln};
use crate::{
    api::{
        client::ClientError,
        wire::{Event, Problem, Progress, Sign, StepId, StepSummary},
    },
    cli::error::Failure,
};

/// What takes less is over before it could be read.
const QUIET_FOR: Duration = Duration::from_millis(250);

/// Where progress is shown, and what has failed so far.
pub(crate) struct Screen {
    form: Form,
    steps: HashMap<StepId, StepSummary>,
    problems: Vec<Problem>,
    skipped: u32,
}

enum Form {
    Silent,
    Json,
    Lines { said: HashMap<String, Instant> },
    InPlace(Box<InPlace>),
}

struct InPlace {
    bars: MultiProgress,
    running: HashMap<StepId, ProgressBar>,
    layers: HashMap<String, (u64, u64)>,
    image: Option<ProgressBar>,
    began: Instant,
}

impl Screen {
    pub(crate) fn new(global: &args::Global) -> Self {
        let form = match global.progress {
            args::Progress::Json => Form::Json,
            args::Progress::None => Form::Silent,
            _ if global.quiet => Form::Silent,
            args::Progress::Auto if stderr().is_terminal() && !is_dumb() => {
                Form::InPlace(Box::new(InPlace {
                    bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12)),
                    running: HashMap::new(),
                    layers: HashMap::new(),
                    image: None,
                    began: Instant::now(),
                }))
            }
            args::Progress::Auto | args::Progress::Plain => Form::Lines {
                said: HashMap::new(),
            },
        };
        Self {
            form,
            steps: HashMap::new(),
            problems: Vec::new(),
            skipped: 0,
        }
    }

    /// Whether events go to stdout as they are, and nothing else does.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.form, Form::Json)
    }

    /// Takes one event.
    pub(crate) fn show(&mut self, event: &Event) {
        if self.is_json() {
            outln!("{}", serde_json::to_string(event).unwrap_or_default());
        }
        match event {
            Event::PlanMade { steps } => {
                self.steps
                    .extend(steps.iter().map(|step| (step.id, step.clone())));
            }
            Event::StepStarted { step } => self.started(*step),
            Event::StepProgressed { step, progress } => {
                let what = self
                    .steps
                    .get(step)
                    .map(|step| named(&step.subject))
                    .unwrap_or_default();
                self.progressed(&what, progress);
            }
            Event::ImageProgressed { image, progress } => self.progressed(image, progress),
            Event::StepSucceeded { step, millis } => self.succeeded(*step, *millis),
            Event::StepFailed { step, problem } => self.failed(Some(*step), problem),
            Event::Blocked { problem, .. } | Event::ServiceFailed { problem, .. } => {
                self.failed(None, problem)
            }
            Event::StepSkipped { .. } => self.skipped += 1,
            Event::BuildNeeded { .. }
            | Event::ContainerCreated { .. }
            | Event::ContainerStarted { .. }
            | Event::Finished { .. }
            | Event::Failed { .. } => {}
        }
    }

    fn started(&mut self, id: StepId) {
        let (Form::InPlace(form), Some(step)) = (&mut self.form, self.steps.get(&id)) else {
            return;
        };
        let bar = form
            .bars
            .add(ProgressBar::new_spinner().with_style(running_style()));
        bar.set_message(printable(&format!("{} {}", step.action, step.reason)));
        form.running.insert(id, bar);
    }

    fn succeeded(&mut self, id: StepId, millis: u64) {
        let Some(step) = self.steps.get(&id) else {
            return;
        };
        let took = duration(Duration::from_millis(millis));
        match &mut self.form {
            Form::InPlace(form) => {
                if let Some(bar) = form.running.remove(&id) {
                    bar.finish_and_clear();
                }
                form.end_image();
                if step.sign != Sign::Wait {
                    form.say(&format!(
                        "{} {:<46} {took:>8}  {}",
                        mark(step.sign),
                        printable(&step.action),
                        printable(&step.reason)
                    ));
                }
            }
            Form::Lines { .. } => sayln!(
                "{} {} ({took}): {}",
                mark(step.sign),
                printable(&step.action),
                printable(&step.reason)
            ),
            Form::Silent | Form::Json => {}
        }
    }

    fn failed(&mut self, id: Option<StepId>, problem: &Problem) {
        if let Form::InPlace(form) = &mut self.form
            && let Some(bar) = id.and_then(|id| form.running.remove(&id))
        {
            bar.finish_and_clear();
        }
        self.problems.push(problem.clone());
    }

    fn progressed(&mut self, what: &str, progress: &Progress) {
        match (&mut self.form, progress) {
            (
                Form::InPlace(form),
                Progress::Layer {
                    id, current, total, ..
                },
            ) => {
                form.layers.insert(id.clone(), (*current, *total));
                let (current, total) = form
                    .layers
                    .values()
                    .fold((0, 0), |sum, layer| (sum.0 + layer.0, sum.1 + layer.1));
                form.image(
                    what,
                    &format!("{} of {} MB", current / 1_000_000, total / 1_000_000),
                );
            }
            (Form::InPlace(form), Progress::Line { text }) => {
                let text = printable(text.trim_end());
                form.image(what, &text);
            }
            (Form::Lines { .. }, Progress::Line { text }) => {
                sayln!("{what}: {}", printable(text.trim_end()))
            }
            (Form::Lines { said }, Progress::Layer { id, status, .. }) => {
                // A line a layer and status, not one for each handful of bytes.
                let line = format!("{what}: {id} {status}");
                if said.insert(line.clone(), Instant::now()).is_none() {
                    sayln!("{}", printable(&line));
                }
            }
            (Form::Silent | Form::Json, _) => {}
        }
    }

    /// Takes everything that moves off the screen.
    pub(crate) fn clear(&mut self) {
        if let Form::InPlace(form) = &mut self.form {
            form.end_image();
            for (_, bar) in form.running.drain() {
                bar.finish_and_clear();
            }
        }
    }

    /// What went wrong, as one failure that shows each problem; none if nothing did.
    pub(crate) fn verdict(&mut self) -> Result<(), Failure> {
        self.clear();
        let Some(last) = self.problems.pop() else {
            return Ok(());
        };
        for problem in self.problems.drain(..) {
            say!("{}", Failure::from(problem));
        }
        if self.skipped > 0 {
            let last_words = super::plural(self.skipped, "step");
            sayln!("{last_words} that needed a failed one not tried");
        }
        Err(last.into())
    }
}

impl InPlace {
    /// A line that stays, above what moves.
    fn say(&self, line: &str) {
        // Fast commands show no progress: only their result.
        if self.began.elapsed() > QUIET_FOR {
            // A screen that cannot be written to is no reason to fail.
            let _ = self.bars.println(line);
        }
    }

    fn image(&mut self, what: &str, text: &str) {
        let bars = &self.bars;
        let bar = self.image.get_or_insert_with(|| {
            bars.add(ProgressBar::new_spinner().with_style(running_style()))
        });
        bar.set_message(format!("{what}: {text}"));
        bar.tick();
    }

    fn end_image(&mut self) {
        if let Some(bar) = self.image.take() {
            bar.finish_and_clear();
        }
        self.layers.clear();
    }
}

/// Follows events to their end; the last one. If the server went away, that is
/// none that says how it went.
///
/// # Errors
/// If the server said no.
pub(crate) async fn follow(
    screen: &mut Screen,
    events: impl Stream<Item = Result<Event, ClientError>>,
) -> Result<Option<Event>, Failure> {
    pin_mut!(events);
    let mut last = None;
    while let Some(event) = events.next().await {
        let event = match event {
            Ok(event) => event,
            // What it did until then was done.
            Err(ClientError::Unreachable { .. }) => break,
            Err(error) => {
                screen.clear();
                return Err(error.into());
            }
        };
        screen.show(&event);
        if let Event::Failed { problem } = event {
            screen.clear();
            return Err(problem.into());
        }
        last = Some(event);
    }
    Ok(last)
}

fn running_style() -> ProgressStyle {
    ProgressStyle::with_template("{spinner:.cyan} {wide_msg} {elapsed:>5}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn mark(sign: Sign) -> String {
    let (symbol, style) = match sign {
        Sign::Add => ('+', AnsiColor::Green.on_default()),
        Sign::Remove => ('-', AnsiColor::Red.on_default()),
        Sign::Change => ('~', AnsiColor::Yellow.on_default()),
        Sign::Wait => ('.', anstyle::Style::new().dimmed()),
    };
    if std::env::var_os("NO_COLOR").is_some() || !stderr().is_terminal() {
        return symbol.to_string();
    }
    format!("{style}{symbol}{style:#}")
}

fn is_dumb() -> bool {
    std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb")
}
