//! Events folded into what a person sees while something is going on.
//!
//! On a terminal, what is running is shown in place, after 250 ms; elsewhere
//! each thing that happened is a line. All of it goes to stderr.

use std::{
    collections::HashMap,
    io::{IsTerminal as _, stderr},
    time::{Duration, Instant},
};

use anstyle::{AnsiColor, Style};
use futures_util::{Stream, StreamExt as _, pin_mut};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    super::args,
    build::{Builds, plain},
    duration, outln,
    plan::named,
    printable,
    pulls::Pulls,
    sayln,
    underway::Underway,
};
use crate::{
    api::{
        client::ClientError,
        wire::{BuildState, Event, Problem, Progress, Quiet, Sign, StepId, StepSummary},
    },
    cli::error::Failure,
};

/// What takes less is over before it could be read.
pub(super) const QUIET_FOR: Duration = Duration::from_millis(250);

/// As many lines of a build's output as are shown under it.
const TAIL: usize = 4;

/// How often what runs is seen to run.
pub(super) const TICK: Duration = Duration::from_millis(100);

/// Where progress is shown, and what has failed so far.
pub(crate) struct Screen {
    form: Form,
    steps: HashMap<StepId, StepSummary>,
    underway: Underway,
    builds: Builds,
    problems: Vec<Problem>,
    skipped: u32,
    quiet: Vec<Quiet>,
    /// What all of it is about: said before the first of it.
    title: Option<String>,
}

enum Form {
    Silent,
    Json,
    Lines { pulls: Pulls },
    InPlace(Box<InPlace>),
}

struct InPlace {
    bars: MultiProgress,
    running: HashMap<StepId, ProgressBar>,
    /// Services that are waited for, by name.
    awaited: HashMap<String, ProgressBar>,
    /// Steps of builds, by image and number.
    building: HashMap<(String, u32), ProgressBar>,
    /// The last lines of what is built.
    tail: Vec<ProgressBar>,
    /// Images on their way.
    pulls: Pulls,
    images: HashMap<String, ProgressBar>,
    /// What was over before it was worth showing: it is, once the whole takes longer.
    held: Vec<String>,
    /// Whether it is held at all.
    holds: bool,
    began: Instant,
}

impl Screen {
    pub(crate) fn new(global: &args::Global) -> Self {
        let form = match global.progress {
            args::Progress::Json => Form::Json,
            args::Progress::None => Form::Silent,
            _ if global.quiet => Form::Silent,
            args::Progress::Auto if stderr().is_terminal() && is_redrawn() => {
                Form::InPlace(Box::new(InPlace {
                    bars: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(12)),
                    running: HashMap::new(),
                    awaited: HashMap::new(),
                    building: HashMap::new(),
                    tail: Vec::new(),
                    pulls: Pulls::default(),
                    images: HashMap::new(),
                    held: Vec::new(),
                    holds: true,
                    began: Instant::now(),
                }))
            }
            args::Progress::Auto | args::Progress::Plain => Form::Lines {
                pulls: Pulls::default(),
            },
        };
        let bars = match &form {
            Form::InPlace(form) => Some(form.bars.clone()),
            _ => None,
        };
        Self {
            form,
            steps: HashMap::new(),
            underway: Underway::beside(bars),
            builds: Builds::default(),
            problems: Vec::new(),
            skipped: 0,
            quiet: Vec::new(),
            title: None,
        }
    }

    /// The same, for who stays and reads: nothing is over too fast to be shown, and what
    /// it is about is said as soon as there is something to say.
    pub(crate) fn titled(global: &args::Global, title: String) -> Self {
        let mut screen = Self::new(global);
        if let Form::InPlace(form) = &mut screen.form {
            form.holds = false;
        }
        screen.title = Some(title);
        screen
    }

    /// What it is about, if there was nothing to say so far.
    pub(crate) fn untold(&mut self) -> Option<String> {
        self.title.take()
    }

    /// Says what it is about, if that was not said yet.
    pub(crate) fn say_title(&mut self) {
        let Some(title) = self.title.take() else {
            return;
        };
        match &mut self.form {
            Form::InPlace(form) => form.say(title),
            Form::Lines { .. } => sayln!("{title}"),
            Form::Silent | Form::Json => {}
        }
    }

    /// Says how a tag's image is called, and how many stages its Dockerfile has.
    pub(crate) fn building(&mut self, tag: &str, name: &str, stages: usize) {
        self.builds.name(tag, name, stages);
    }

    /// What is being done, for whoever may leave before it is over.
    pub(crate) fn underway(&self) -> Underway {
        self.underway.clone()
    }

    /// Whether events go to stdout as they are, and nothing else does.
    pub(crate) fn is_json(&self) -> bool {
        matches!(self.form, Form::Json)
    }

    /// Whether more was said than is still to be seen.
    pub(crate) fn is_in_place(&self) -> bool {
        matches!(self.form, Form::InPlace(_))
    }

    /// Whether each thing that happens is a line, which stays.
    pub(crate) fn is_in_lines(&self) -> bool {
        matches!(self.form, Form::Lines { .. })
    }

    /// What changed without a step, as far as was told.
    pub(crate) fn quiet(&self) -> &[Quiet] {
        &self.quiet
    }

    /// Takes one event.
    pub(crate) fn show(&mut self, event: &Event) {
        if self.is_json() {
            outln!("{}", serde_json::to_string(event).unwrap_or_default());
        }
        if !matches!(event, Event::Finished { .. } | Event::LoginsWanted { .. }) {
            self.say_title();
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
            Event::ServiceFailed { service, problem } => {
                self.came(service);
                self.failed(None, problem);
            }
            Event::Blocked { problem, .. } | Event::ServiceRolledBack { problem, .. } => {
                self.failed(None, problem);
            }
            Event::ServiceAwaited { service } => self.awaited(service),
            Event::ServiceReady { service } => self.came(service),
            Event::StepSkipped { .. } => self.skipped += 1,
            Event::ImagePulled { image, .. } => {
                if let Form::InPlace(form) = &mut self.form {
                    form.end_image(image);
                }
            }
            Event::DeclarationChanged { changes } => self.quiet.clone_from(changes),
            Event::BuildNeeded { .. }
            | Event::LoginsWanted { .. }
            | Event::ContainerCreated { .. }
            | Event::ContainerStarted { .. }
            | Event::Finished { .. }
            | Event::Failed { .. } => {}
        }
    }

    fn started(&mut self, id: StepId) {
        let Some(step) = self.steps.get(&id) else {
            return;
        };
        self.underway.started(step);
        let Form::InPlace(form) = &mut self.form else {
            return;
        };
        let bar = form
            .bars
            .add(ProgressBar::new_spinner().with_style(running_style()));
        bar.set_message(printable(&format!("{} {}", step.action, step.reason)));
        bar.enable_steady_tick(TICK);
        form.running.insert(id, bar);
    }

    fn awaited(&mut self, service: &str) {
        self.underway.awaited(service);
        if let Form::InPlace(form) = &mut self.form {
            let bar = form
                .bars
                .add(ProgressBar::new_spinner().with_style(running_style()));
            bar.set_message(printable(&format!("{service} is not ready yet")));
            bar.enable_steady_tick(TICK);
            form.awaited.insert(service.to_owned(), bar);
        }
    }

    fn came(&mut self, service: &str) {
        self.underway.came(service);
        if let Form::InPlace(form) = &mut self.form
            && let Some(bar) = form.awaited.remove(service)
        {
            bar.finish_and_clear();
        }
    }

    fn succeeded(&mut self, id: StepId, millis: u64) {
        self.underway.ended(id);
        let Some(step) = self.steps.get(&id) else {
            return;
        };
        let took = duration(Duration::from_millis(millis));
        match &mut self.form {
            Form::InPlace(form) => {
                if let Some(bar) = form.running.remove(&id) {
                    bar.finish_and_clear();
                }
                form.end_images();
                if step.sign != Sign::Wait {
                    let (action, reason) = (printable(&step.action), printable(&step.reason));
                    form.say(done_line(
                        &mark(step.sign),
                        &action,
                        &took,
                        &reason,
                        width(),
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
        if let Some(id) = id {
            self.underway.ended(id);
        }
        if let Form::InPlace(form) = &mut self.form
            && let Some(bar) = id.and_then(|id| form.running.remove(&id))
        {
            bar.finish_and_clear();
        }
        self.problems.push(problem.clone());
    }

    fn layer(&mut self, what: &str, id: &str, status: &str, bytes: (u64, u64)) {
        match &mut self.form {
            Form::InPlace(form) => {
                let shown = form.pulls.layer(what, id, status, bytes);
                form.image(what, &shown);
            }
            Form::Lines { pulls } => {
                if let Some(line) = pulls.line(what, id, status, bytes, Instant::now()) {
                    sayln!("{}", printable(&line));
                }
            }
            Form::Silent | Form::Json => {}
        }
    }

    fn progressed(&mut self, what: &str, progress: &Progress) {
        match (&mut self.form, progress) {
            (
                _,
                Progress::Layer {
                    id,
                    status,
                    current,
                    total,
                },
            ) => self.layer(what, id, status, (*current, *total)),
            (Form::InPlace(form), Progress::Build { step, state }) => {
                form.end_images();
                let title = self.builds.title(what, step);
                form.step((what.to_owned(), step.id), &title, state);
            }
            (Form::InPlace(form), Progress::Line { text, .. }) => form.tail(plain(text)),
            (Form::Lines { .. }, _) => {
                if let Some(line) = self.builds.line(what, progress) {
                    sayln!("{line}");
                }
            }
            (Form::Silent | Form::Json, _) => {}
        }
    }

    /// Takes everything that moves off the screen.
    pub(crate) fn clear(&mut self) {
        if let Form::InPlace(form) = &mut self.form {
            form.end_images();
            form.end_tail();
            let building = form.building.drain().map(|(_, bar)| bar);
            let running = form.running.drain().map(|(_, bar)| bar);
            let awaited = form.awaited.drain().map(|(_, bar)| bar);
            for bar in running.chain(building).chain(awaited) {
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
            Failure::from(problem).show();
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
    fn say(&mut self, line: String) {
        self.held.push(line);
        self.say_held();
    }

    fn say_held(&mut self) {
        // Fast commands show no progress: only their result.
        if !self.holds || self.began.elapsed() > QUIET_FOR {
            for line in self.held.drain(..) {
                // A screen that cannot be written to is no reason to fail.
                let _ = self.bars.println(line);
            }
        }
    }

    /// Shows how a step of a build is.
    fn step(&mut self, key: (String, u32), title: &str, state: &BuildState) {
        if let Some(bar) = self.building.remove(&key) {
            bar.finish_and_clear();
        }
        if self.building.is_empty() {
            self.end_tail();
        }
        let (symbol, style, end) = match state {
            BuildState::Running => {
                let bar = ProgressBar::new_spinner();
                // Above the lines that are said in it.
                let bar = match self.tail.first() {
                    Some(tail) => self.bars.insert_before(tail, bar),
                    None => self.bars.add(bar),
                };
                let bar = bar.with_style(running_style());
                bar.set_message(title.to_owned());
                bar.enable_steady_tick(TICK);
                self.building.insert(key, bar);
                return;
            }
            BuildState::Cached => ('=', Style::new().dimmed(), "cached".to_owned()),
            BuildState::Done { millis } => {
                let took = duration(Duration::from_millis(*millis));
                ('+', AnsiColor::Green.on_default(), took)
            }
            BuildState::Failed { .. } => ('x', AnsiColor::Red.on_default(), "failed".to_owned()),
        };
        // The mark, the time, and the spaces between.
        let room = width().saturating_sub(13).clamp(20, 100);
        let title = shortened(title, room);
        self.say(format!(
            "{} {title:<room$} {end:>8}",
            coloured(symbol, style)
        ));
    }

    /// Shows a line of output under what runs, with the few before it.
    fn tail(&mut self, text: String) {
        self.say_held();
        if self.tail.len() < TAIL {
            let bar = self.bars.add(ProgressBar::new_spinner());
            let bar = bar.with_style(tail_style());
            bar.enable_steady_tick(TICK);
            self.tail.push(bar);
        } else {
            for (above, below) in self.tail.iter().zip(self.tail.iter().skip(1)) {
                above.set_message(below.message());
            }
        }
        if let Some(last) = self.tail.last() {
            last.set_message(text);
        }
    }

    fn end_tail(&mut self) {
        for bar in self.tail.drain(..) {
            bar.finish_and_clear();
        }
    }

    /// Shows how far an image is.
    fn image(&mut self, what: &str, shown: &str) {
        let bars = &self.bars;
        let bar = self.images.entry(what.to_owned()).or_insert_with(|| {
            let bar = bars.add(ProgressBar::new_spinner().with_style(running_style()));
            bar.enable_steady_tick(TICK);
            bar
        });
        bar.set_message(printable(shown));
    }

    fn end_image(&mut self, image: &str) {
        if let Some(bar) = self.images.remove(image) {
            bar.finish_and_clear();
        }
        self.pulls.end(Some(image));
    }

    fn end_images(&mut self) {
        for (_, bar) in self.images.drain() {
            bar.finish_and_clear();
        }
        self.pulls.end(None);
    }
}

/// The width of what is drawn on.
fn width() -> usize {
    super::super::terminal_width().unwrap_or(80)
}

/// As wide as actions are in what most people have.
const ACTION: usize = 46;

/// What was done, how long it took and why, in one line of the screen: what there is no
/// room for is left out, the reason first.
fn done_line(mark: &str, action: &str, took: &str, reason: &str, width: usize) -> String {
    // The mark, the time, and the spaces between.
    let room = width.saturating_sub(12).min(ACTION);
    let action = shortened(action, room);
    let left = width.saturating_sub(room + 13);
    let reason = match left {
        0..12 => String::new(),
        _ => format!("  {}", shortened(reason, left)),
    };
    format!("{mark} {action:<room$} {took:>8}{reason}")
}

/// The beginning of a text that is too long for its place.
fn shortened(text: &str, room: usize) -> String {
    if text.chars().count() <= room {
        return text.to_owned();
    }
    let begin: String = text.chars().take(room.saturating_sub(2)).collect();
    format!("{begin}..")
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
    match follow_to_end(screen, events, |_| {}).await? {
        Some(Event::Failed { problem }) => Err(problem.into()),
        last => Ok(last),
    }
}

/// The same, for who looks at each event, and at why the work could not be done.
///
/// # Errors
/// If the server did not begin.
pub(crate) async fn follow_to_end(
    screen: &mut Screen,
    events: impl Stream<Item = Result<Event, ClientError>>,
    mut each: impl FnMut(&Event),
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
        each(&event);
        let is_over = matches!(event, Event::Failed { .. });
        last = Some(event);
        if is_over {
            screen.clear();
            break;
        }
    }
    Ok(last)
}

pub(super) fn running_style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{spinner:.cyan} {wide_msg} {elapsed:>5}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner());
    match has_unicode() {
        true => style,
        // The last one is for what is over.
        false => style.tick_chars("|/-\\ "),
    }
}

fn tail_style() -> ProgressStyle {
    ProgressStyle::with_template("    {wide_msg:.dim}")
        .unwrap_or_else(|_| ProgressStyle::default_spinner())
}

fn mark(sign: Sign) -> String {
    let (symbol, style) = match sign {
        Sign::Add => ('+', AnsiColor::Green.on_default()),
        Sign::Remove => ('-', AnsiColor::Red.on_default()),
        Sign::Change => ('~', AnsiColor::Yellow.on_default()),
        Sign::Wait => ('.', Style::new().dimmed()),
    };
    coloured(symbol, style)
}

fn coloured(symbol: char, style: Style) -> String {
    if std::env::var_os("NO_COLOR").is_some() || !stderr().is_terminal() {
        return symbol.to_string();
    }
    format!("{style}{symbol}{style:#}")
}

/// Whether lines can be drawn anew: a dumb terminal only adds to them, and what
/// continuous integration keeps of one is read as a file.
pub(super) fn is_redrawn() -> bool {
    let is_dumb = std::env::var("TERM").is_ok_and(|terminal| terminal == "dumb");
    let is_set =
        |name| std::env::var(name).is_ok_and(|value| !value.is_empty() && value != "false");
    !is_dumb && !is_set("CI")
}

/// Whether the terminal shows more than ASCII: as its locale says.
fn has_unicode() -> bool {
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let locale = locale.unwrap_or_default().to_ascii_uppercase();
    locale.contains("UTF-8") || locale.contains("UTF8")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_one_line_of_any_screen() {
        let line = |width| {
            done_line(
                "+",
                "start shop-recommendations-1",
                "1.2 s",
                "image changed: node:20 -> node:22",
                width,
            )
        };
        for width in 40..160 {
            let line = line(width);
            assert!(line.chars().count() <= width, "{width}: {line}");
            assert!(
                line.contains("start shop-recomm") && line.contains("1.2 s"),
                "{line}"
            );
        }
        assert!(line(100).ends_with("image changed: node:20 -> node:22"));
    }
}
