//! `cosmos watch` and `cosmos up --watch`: again whenever a file is saved.
//!
//! The CLI watches, as it knows the user's files; the server acts. What the config is
//! read from is read again, and the workspace ordered anew: the server does what
//! changed, and only that. A config that is not valid is explained and changes nothing.
//! What `watch` rules name is synced, or restarts its service, or builds its image.
//!
//! One order is given at a time. What is saved meanwhile is read at once, so that the
//! newest valid config is what is done next, whatever was saved after it. Files are
//! synced beside it: a service that waits to be ready may wait for just these.
//!
//! `decide` says what changed files ask for, `damper` when that feeds itself, `sync` how
//! files get into a container; `work` does what is due.

mod damper;
mod decide;
mod sync;
mod work;

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::mpsc,
    task::{JoinHandle, block_in_place},
};

use self::{
    damper::{Damper, Deed},
    decide::{Rule, Todo, decide, named, thousands},
    work::{Apply, Done, Job, Synced, Syncing, work},
};
use super::{
    args::{Global, Polling, Rerun, Up, Watch as Args},
    context, error,
    error::{Failure, Kind},
    orders, trust,
    ui::{duration, plural, printable, sayln},
};
use crate::{
    config::{self, Diagnostics, LeftOut, Loaded, SecretReading, Sources},
    watch::{self, ChangeSet, Mode, POLL, Passed, Told, Tree, Watched, Watcher},
    workspace::{Image, WatchAction},
};

/// How often it is looked whether a container is another one, where files are synced.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The same while containers are being made: one may not get ready without its files.
const LOOK_AGAIN_MEANWHILE: Duration = Duration::from_millis(300);

/// How long whoever interrupts waits for what is under way to let go.
const PATIENCE: Duration = Duration::from_millis(300);

/// Looked for less often than this, a save is not noticed while one waits for it.
const LONGEST_POLL: Duration = Duration::from_secs(60);

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let args = Up {
        services: args.services,
        project: args.project,
        no_wait: false,
        build: false,
        release: false,
        rerun: Rerun::default(),
        expect: None,
        watch: true,
        polling: args.polling,
        trust: args.trust,
        yes: false,
    };
    stay(global, args, "cosmos watch").await
}

/// Does what `up` does, and stays.
pub(super) async fn stay(global: Global, args: Up, verb: &str) -> Result<ExitCode, Failure> {
    let mode = mode(&args.polling)?;
    let began = watch::now();
    let loaded = Arc::new(context::load_trusted(
        &global,
        &args.project,
        args.trust.given,
    )?);
    orders::require_declared(&loaded, &args.services)?;
    let mut sources = context::sources(&global, &args.project, SecretReading::All)?;
    // The same file for ever: while it is being replaced, none further up is meant.
    sources.file = std::path::absolute(&sources.file)?;

    // Only now: a question before it can be left by Ctrl-C as ever.
    let interrupts = signal(SignalKind::interrupt())?;
    let (tell, told) = mpsc::unbounded_channel();
    let watcher = Watcher::start(mode, move |what| {
        // Whoever would hear it has ended.
        let _ = tell.send(what);
    })?;
    let session = Session {
        rules: rules(&loaded, &args.services),
        global: Arc::new(global),
        by: super::up::words(verb, &args.services),
        args: Arc::new(args),
        sources,
        loaded: Arc::clone(&loaded),
        files: loaded.files.iter().cloned().collect(),
        watcher,
        told,
        interrupts,
        apply: Some(Apply {
            loaded,
            title: None,
            causes: BTreeSet::new(),
        }),
        todo: Todo::default(),
        refusal: None,
        damper: Damper::default(),
        working: None,
        syncing: None,
        synced: Synced::default(),
        looked: Instant::now(),
    };
    session.watch(began);
    session.say_what();
    session.run().await
}

fn mode(polling: &Polling) -> Result<Mode, Failure> {
    let Some(interval) = &polling.interval else {
        return Ok(Mode::Hints);
    };
    if interval.is_empty() {
        return Ok(Mode::Poll(POLL));
    }
    match config::duration(interval) {
        Some(every) if !every.is_zero() && every <= LONGEST_POLL => Ok(Mode::Poll(every)),
        _ => Err(Failure::usage(format!("`{interval}` is no interval"))
            .hinted("write `--poll=500ms` or `--poll=2s`; a minute is the longest")),
    }
}

/// The rules of a workspace, or of these services of it.
fn rules(loaded: &Loaded, only: &[String]) -> Vec<Rule> {
    let mut rules = Vec::new();
    for (name, service) in &loaded.workspace.services {
        if !only.is_empty() && !only.iter().any(|only| only == name.as_str()) {
            continue;
        }
        let passed = passed(&service.container.image);
        for rule in &service.watch {
            rules.push(Rule {
                service: name.clone(),
                action: rule.action,
                target: rule.target.clone().unwrap_or_default(),
                tree: Tree {
                    path: PathBuf::from(&rule.path),
                    passed: passed.clone(),
                },
            });
        }
    }
    rules
}

/// What a built image's context leaves out is nothing to its service.
fn passed(image: &Image) -> Passed {
    let Image::Built { build, .. } = image else {
        return Passed::nothing();
    };
    match LeftOut::of(Path::new(&build.context), &build.dockerfile) {
        Ok(left_out) => Passed::new(move |path, is_folder| left_out.has(path, is_folder)),
        // Whoever builds says what is wrong with it.
        Err(_) => Passed::nothing(),
    }
}

/// Why a saved config is not what is done next.
enum Refusal {
    Invalid(Diagnostics),
    Unwanted(Failure),
}

struct Session {
    global: Arc<Global>,
    args: Arc<Up>,
    /// The order in words.
    by: String,
    sources: Sources,
    /// The newest config that is valid.
    loaded: Arc<Loaded>,
    rules: Vec<Rule>,
    /// What the config is read from, that of a later one that is not valid included.
    files: BTreeSet<PathBuf>,
    watcher: Watcher,
    told: mpsc::UnboundedReceiver<Told>,
    interrupts: Signal,
    /// What is to be made so next.
    apply: Option<Apply>,
    todo: Todo,
    /// What is wrong with a config that was saved later than the newest valid one.
    refusal: Option<Refusal>,
    damper: Damper,
    /// The order that is being carried out.
    working: Option<JoinHandle<Done>>,
    /// The files that are on their way.
    syncing: Option<JoinHandle<(Synced, Vec<Deed>)>>,
    synced: Synced,
    /// When it was last looked whether containers have their files.
    looked: Instant,
}

impl Session {
    async fn run(mut self) -> Result<ExitCode, Failure> {
        loop {
            self.say_refusal();
            let now = Instant::now();
            let next = [self.begin(now), self.begin_sync(now)];
            tokio::select! {
                // Cancel-safe, all of them: what is not taken is there next time.
                _ = self.interrupts.recv() => return Err(self.end().await),
                Some(told) = self.told.recv() => self.hear(told),
                done = ended(&mut self.working) => {
                    self.finish(&done.unwrap_or_default());
                    // What was just made may not have its files.
                    self.looked = Instant::now().checked_sub(LOOK_AGAIN).unwrap_or(now);
                }
                synced = ended(&mut self.syncing) => {
                    let (synced, did) = synced.unwrap_or_default();
                    self.synced = synced;
                    self.finish(&Done { did, ..Done::default() });
                }
                () = until(next.into_iter().flatten().min()) => {}
            }
        }
    }

    fn hear(&mut self, told: Told) {
        let mut changes = match told {
            Told::Changes(changes) => changes,
            Told::Polling { because } => return self.say_polling(&because),
        };
        // All that came meanwhile belongs to it.
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Changes(later) => changes.join(later),
                Told::Polling { because } => self.say_polling(&because),
            }
        }
        let now = Instant::now();
        let todo = decide(&self.rules, &changes);
        let mut causes = self.config_files(&changes);
        causes.extend(todo.rebuild.iter().cloned());
        if !causes.is_empty() {
            self.ask(&Deed::Apply, &causes, now);
            self.reload(causes);
        }
        for (service, todo) in &todo.services {
            if !todo.restart.is_empty() {
                self.ask(&Deed::Restart(service.clone()), &todo.restart, now);
            }
            let files: BTreeSet<_> = todo
                .sync
                .values()
                .map(|copied| copied.from.clone())
                .collect();
            if !files.is_empty() {
                self.ask(&Deed::Sync(service.clone()), &files, now);
            }
        }
        self.todo.join(todo);
        self.todo.rebuild.clear();
    }

    /// Which of these the config is read from.
    fn config_files(&self, changes: &ChangeSet) -> BTreeSet<PathBuf> {
        let is_read = |path: &PathBuf| path.ancestors().any(|at| self.files.contains(at));
        changes
            .0
            .keys()
            .filter(|path| is_read(path))
            .cloned()
            .collect()
    }

    /// Says it if something feeds itself.
    fn ask(&mut self, deed: &Deed, files: &BTreeSet<PathBuf>, now: Instant) {
        let Some(put_off) = self.damper.asked(deed, files, now) else {
            return;
        };
        let file = named([&put_off.file], self.folder());
        let (what, writer) = match deed {
            Deed::Apply => ("the workspace was made anew".to_owned(), None),
            Deed::Restart(service) => (format!("`{service}` was restarted"), Some(service)),
            Deed::Sync(service) => (format!("files were synced to `{service}`"), Some(service)),
        };
        let writer = writer.and_then(|name| {
            let service = self.loaded.workspace.services.get(name)?;
            let at = sync::written_at(&service.container, &put_off.file)?;
            Some(format!("`{name}` itself can write it, as {at}"))
        });
        self.say(format_args!(
            "`{file}` changed again right after {what}, the {} time in a row: it feeds itself, it seems. {}. Take the file out of what is watched; until then it waits {}",
            ordinal(put_off.times),
            writer.unwrap_or_else(|| "What was done may have written it".to_owned()),
            duration(put_off.pause),
        ));
    }

    /// Reads the config again, and takes it if it is valid.
    fn reload(&mut self, causes: BTreeSet<PathBuf>) {
        let began = watch::now();
        let (loaded, files) = block_in_place(|| self.load());
        match loaded {
            Ok(loaded) => {
                let loaded = Arc::new(loaded);
                self.refusal = None;
                self.files = files.into_iter().collect();
                self.rules = rules(&loaded, &self.args.services);
                self.say_warnings(&loaded);
                self.loaded = Arc::clone(&loaded);
                let mut all = causes;
                if let Some(earlier) = self.apply.take() {
                    all.extend(earlier.causes);
                }
                let title = format!("{} changed", named(&all, self.folder()));
                self.apply = Some(Apply {
                    loaded,
                    title: Some(title),
                    causes: all,
                });
            }
            Err(refusal) => {
                self.files.extend(files);
                self.refusal = Some(refusal);
            }
        }
        self.watch(began);
    }

    /// The config as it is now, and what it was read from.
    fn load(&self) -> (Result<Loaded, Refusal>, Vec<PathBuf>) {
        let mut sources = self.sources.clone();
        sources.secrets = SecretReading::None;
        let (loaded, files) = config::load_noting(&sources);
        let loaded = loaded
            .map_err(Refusal::Invalid)
            .and_then(|loaded| self.accept(loaded).map_err(Refusal::Unwanted));
        let loaded = match loaded {
            // Only now: a program that prints one must have been trusted before.
            Ok(loaded) if !loaded.secrets.is_empty() => {
                return match config::load_noting(&self.sources) {
                    (Ok(loaded), files) => (Ok(loaded), files),
                    (Err(diagnostics), files) => (Err(Refusal::Invalid(diagnostics)), files),
                };
            }
            other => other,
        };
        (loaded, files)
    }

    /// A config that this watch may make so.
    fn accept(&self, loaded: Loaded) -> Result<Loaded, Failure> {
        let name = &self.loaded.workspace.identity;
        if loaded.workspace.identity != *name {
            return Err(Failure::new(format!(
                "this watches `{name}`, and the config is of `{}` now",
                loaded.workspace.identity
            ))
            .hinted(format!(
                "end this, and `cosmos watch` again; what runs of `{name}` stays until you name it so again and `cosmos down`"
            )));
        }
        if loaded.engine != self.loaded.engine {
            return Err(Failure::new("the config is for another engine now")
                .hinted("end this, and `cosmos watch` again"));
        }
        // As a file is that somebody is about to write.
        let is_blank = std::fs::read(&self.sources.file)
            .is_ok_and(|text| text.iter().all(u8::is_ascii_whitespace));
        if is_blank && !self.loaded.workspace.services.is_empty() {
            let file = named([&self.sources.file], self.folder());
            return Err(Failure::new(format!("`{file}` is empty"))
                .hinted("`cosmos down` stops and removes what runs, if that is what you mean"));
        }
        if self.args.trust.given {
            trust::require(&loaded, true)?;
        }
        let untrusted: Vec<_> = trust::untrusted(&loaded)
            .into_iter()
            .map(trust::line)
            .collect();
        if !untrusted.is_empty() {
            return Err(Failure::new(
                "this reaches beyond its containers, and you have not said that it may",
            )
            .with_output(untrusted)
            .hinted("look at each; if you trust them: `cosmos up --trust`, once, and save again"));
        }
        Ok(loaded)
    }

    /// Watches what the config is read from and what its rules name. What of it changed
    /// after it was read is told at once.
    fn watch(&self, since: SystemTime) {
        let (folders, files): (Vec<PathBuf>, Vec<PathBuf>) =
            self.files.iter().cloned().partition(|path| path.is_dir());
        let folders = folders.into_iter().map(|path| Tree {
            path,
            passed: Passed::nothing(),
        });
        let watched = Watched {
            files: files.into_iter().collect(),
            trees: self
                .rules
                .iter()
                .map(|rule| rule.tree.clone())
                .chain(folders)
                .collect(),
            locks: locks(self.folder()),
        };
        block_in_place(|| self.watcher.watch(watched, since));
    }

    /// Gives the next order that is due, if none is being carried out. When another will be.
    fn begin(&mut self, now: Instant) -> Option<Instant> {
        if self.working.is_some() {
            return None;
        }
        let mut wait = Wait::new(now);
        let mut job = Job {
            global: Arc::clone(&self.global),
            args: Arc::clone(&self.args),
            by: self.by.clone(),
            loaded: Arc::clone(&self.loaded),
            apply: None,
            restarts: BTreeMap::new(),
        };
        if self.apply.is_some() && wait.is_over(&self.damper, &Deed::Apply) {
            job.apply = self.apply.take();
        }
        for (service, todo) in &mut self.todo.services {
            // It is started with its files.
            let has_files = todo.sync.is_empty() && self.syncing.is_none();
            let deed = Deed::Restart(service.clone());
            if !todo.restart.is_empty() && has_files && wait.is_over(&self.damper, &deed) {
                let files = std::mem::take(&mut todo.restart);
                job.restarts.insert(service.clone(), files);
            }
        }
        if job.apply.is_none() && job.restarts.is_empty() {
            return wait.until;
        }
        for (deed, files) in job.deeds() {
            self.damper.began(deed, files);
        }
        self.working = Some(tokio::spawn(work(job)));
        wait.until
    }

    /// Sends the files that are due, and looks whether a container does not have them. When
    /// others will be, or it is looked again.
    fn begin_sync(&mut self, now: Instant) -> Option<Instant> {
        let is_sync = |rule: &&Rule| rule.action == WatchAction::Sync;
        if self.syncing.is_some() || self.rules.iter().find(is_sync).is_none() {
            return None;
        }
        let mut wait = Wait::new(now);
        let mut changed = BTreeMap::new();
        for (service, todo) in &mut self.todo.services {
            let deed = Deed::Sync(service.clone());
            if !todo.sync.is_empty() && wait.is_over(&self.damper, &deed) {
                changed.insert(service.clone(), std::mem::take(&mut todo.sync));
            }
        }
        let every = match self.working.is_some() {
            true => LOOK_AGAIN_MEANWHILE,
            false => LOOK_AGAIN,
        };
        if changed.is_empty() && now < self.looked + every {
            return Some(
                wait.until
                    .map_or(self.looked + every, |due| due.min(self.looked + every)),
            );
        }
        self.looked = now;
        let syncing = Syncing {
            global: Arc::clone(&self.global),
            loaded: Arc::clone(&self.loaded),
            rules: self.rules.iter().filter(is_sync).cloned().collect(),
            changed,
            synced: std::mem::take(&mut self.synced),
        };
        for (deed, files) in syncing.deeds() {
            self.damper.began(deed, files);
        }
        self.syncing = Some(tokio::spawn(syncing.work()));
        wait.until
    }

    fn finish(&mut self, done: &Done) {
        let now = Instant::now();
        for deed in &done.did {
            self.damper.ended(deed, now);
        }
        for deed in &done.was_nothing {
            self.damper.forget(deed);
        }
    }

    /// Says what becomes of all that. These are the last words: whoever still works could
    /// only add that somebody hung up.
    async fn end(mut self) -> Failure {
        let was_working = give_up(self.working.take()).await;
        give_up(self.syncing.take()).await;
        let key = &self.loaded.workspace.identity;
        if was_working {
            self.say(format_args!(
                "\nnot watching any more: the proxy goes on with what it was told, a build is given up. `{key}` stays up; `cosmos down` takes it down"
            ));
        } else {
            self.say(format_args!(
                "\nnot watching any more: `{key}` stays up; `cosmos down` takes it down"
            ));
        }
        Failure::shown(Kind::Interrupted)
    }

    fn folder(&self) -> &Path {
        Path::new(&self.loaded.workspace.identity.folder)
    }

    fn say(&self, what: std::fmt::Arguments<'_>) {
        if !self.global.quiet {
            sayln!("{what}");
        }
    }

    /// What is watched, in one line.
    fn say_what(&self) {
        let files = plural(count(self.files.len()), "file");
        let of_actions: Vec<_> = [
            (WatchAction::Sync, "sync"),
            (WatchAction::Restart, "restart"),
            (WatchAction::Rebuild, "rebuild"),
        ]
        .into_iter()
        .filter_map(|(action, word)| {
            let rules = self
                .rules
                .iter()
                .filter(|rule| rule.action == action)
                .count();
            (rules > 0).then(|| format!("{} to {word}", plural(count(rules), "path")))
        })
        .collect();
        let rules = match of_actions.is_empty() {
            true => String::new(),
            false => format!(", {}", of_actions.join(", ")),
        };
        self.say(format_args!(
            "watching {}: {files} of its config{rules} (Ctrl-C ends it)",
            self.loaded.workspace.identity
        ));
    }

    fn say_polling(&self, because: &str) {
        self.say(format_args!(
            "changes are looked for every {}: {}",
            duration(POLL),
            printable(because)
        ));
    }

    /// What is doubtful in a config, unless it was so before.
    fn say_warnings(&self, loaded: &Loaded) {
        let before = self.loaded.warnings.render(false, 100);
        if loaded.warnings.render(false, 100) != before {
            context::warn(loaded);
        }
    }

    /// Says why a saved config changes nothing, once nothing else is on the screen.
    fn say_refusal(&mut self) {
        if self.working.is_some() || self.syncing.is_some() {
            return;
        }
        match self.refusal.take() {
            None => return,
            Some(Refusal::Invalid(diagnostics)) => context::show_problems(&diagnostics),
            Some(Refusal::Unwanted(failure)) => _ = error::report(&failure),
        }
        sayln!("nothing was changed: what runs stays as it is until a valid config is saved");
    }
}

/// The files that git has while it changes others.
fn locks(folder: &Path) -> Vec<PathBuf> {
    let git = folder.ancestors().map(|folder| folder.join(".git"));
    git.take(8).map(|git| git.join("index.lock")).collect()
}

/// What became of a task. None if there was no end to it.
async fn ended<T>(task: &mut Option<JoinHandle<T>>) -> Option<T> {
    let Some(running) = task else {
        return pending().await;
    };
    let done = running.await.ok();
    *task = None;
    done
}

/// Ends a task wherever it is; whether there was one that had not ended.
async fn give_up<T>(task: Option<JoinHandle<T>>) -> bool {
    let Some(running) = task else {
        return false;
    };
    running.abort();
    match tokio::time::timeout(PATIENCE, running).await {
        Ok(ended) => ended.is_err(),
        // It is in the middle of a large file, say.
        Err(_) => true,
    }
}

/// What is due, and when what is not will be.
struct Wait {
    now: Instant,
    until: Option<Instant>,
}

impl Wait {
    fn new(now: Instant) -> Self {
        Self { now, until: None }
    }

    fn is_over(&mut self, damper: &Damper, deed: &Deed) -> bool {
        let due = damper.due(deed, self.now);
        if due > self.now {
            self.until = Some(self.until.map_or(due, |until| until.min(due)));
        }
        due <= self.now
    }
}

async fn until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => pending().await,
    }
}

/// `3rd`.
fn ordinal(number: u32) -> String {
    let end = match (number % 10, number % 100) {
        (1, rest) if rest != 11 => "st",
        (2, rest) if rest != 12 => "nd",
        (3, rest) if rest != 13 => "rd",
        _ => "th",
    };
    format!("{number}{end}")
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// `3 files`.
fn files(number: usize) -> String {
    match number {
        1 => "1 file".to_owned(),
        number => format!("{} files", thousands(number)),
    }
}
