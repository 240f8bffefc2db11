//! What changed on disk: paths in, debounced sets of changes out.
//!
//! A [`Watcher`] is told what is [`Watched`] and tells, in batches, what of it has
//! other content than before. It promises:
//!
//! - What the kernel says is a hint: a path is looked at, and counts only if its
//!   content or mode differs. A touch, or a save of the same text, tells nothing.
//! - Folders are watched, not files, so that a file which is replaced (as most
//!   editors save) is seen every time, and one that is not there yet is seen when
//!   it comes.
//! - A save that is half written is waited for, as far as the kernel tells, and a
//!   burst is one batch, however many files it is about: `batch`.
//! - Where the kernel cannot hint, or was asked not to, the same is found by looking
//!   again and again.
//!
//! It knows nothing of configs and services. `cover` says which paths are meant,
//! `look` what is behind one, `batch` when it is time to tell.

mod batch;
mod cover;
mod look;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant, SystemTime},
};

use notify::{
    EventKind, RecommendedWatcher, RecursiveMode, Watcher as _,
    event::{AccessKind, AccessMode, CreateKind, ModifyKind},
};

use self::{
    batch::{Batch, Hint, QUIET},
    cover::{Folder, armed_folders, entries},
    look::{Mark, look, stamp},
};

pub use cover::{Passed, Tree, Watched};
pub use look::now;

/// How often it is looked where nobody hints, unless said otherwise: often enough to
/// feel prompt, and a few thousand files are looked at in milliseconds.
pub const POLL: Duration = Duration::from_millis(500);

/// While something is seen to change, it is looked more often whether it still does.
const POLL_WHILE_CHANGING: Duration = Duration::from_millis(50);

/// Two looks fit into what counts as quiet then.
const QUIET_POLLED: Duration = Duration::from_millis(120);

/// A file that stands for itself, as a config does, is read as a whole: it is waited for
/// as long as nearly any save takes.
const OPEN_FILE: Duration = Duration::from_secs(10);

/// What is in a tree can be a log, which is always open.
const OPEN_IN_TREE: Duration = Duration::from_secs(1);

/// No branch switch takes longer.
const LEFT_BEHIND: Duration = Duration::from_secs(60);

/// What became of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It was not there before.
    Added,
    /// It has other content, or another mode.
    Changed,
    /// It is not there any more.
    Removed,
}

/// What changed, by path: files and links. Folders are only where these are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangeSet(pub BTreeMap<PathBuf, Change>);

impl ChangeSet {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds what changed later.
    pub fn join(&mut self, later: Self) {
        for (path, change) in later.0 {
            self.0
                .entry(path)
                .and_modify(|earlier| {
                    *earlier = match (*earlier, change) {
                        (Change::Added, Change::Changed) => Change::Added,
                        (Change::Removed, Change::Added) => Change::Changed,
                        (_, later) => later,
                    }
                })
                .or_insert(change);
        }
    }
}

/// How changes are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The kernel hints; where it cannot, by looking.
    Hints,
    /// By looking every so often.
    Poll(Duration),
}

/// What a watcher tells.
#[derive(Debug)]
pub enum Told {
    /// Something changed.
    Changes(ChangeSet),
    /// The kernel does not hint, or not any more: from now on it is looked every so often.
    Polling {
        /// Why.
        because: String,
    },
}

/// Watches until it is dropped.
pub struct Watcher {
    notes: Sender<Note>,
    thread: Option<thread::JoinHandle<()>>,
}

enum Note {
    Watch {
        watched: Watched,
        since: SystemTime,
        armed: Sender<()>,
    },
    Hint(notify::Result<notify::Event>),
    End,
}

impl Watcher {
    /// A watcher that watches nothing yet. What it finds is told from a thread of its own.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn start(mode: Mode, tell: impl FnMut(Told) + Send + 'static) -> std::io::Result<Self> {
        let (notes, heard) = mpsc::channel();
        let hints = notes.clone();
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                Watching {
                    watched: Watched::default(),
                    seen: BTreeMap::new(),
                    batch: Batch::new(QUIET),
                    source: Source::Poll(POLL),
                    hints,
                    tell: Box::new(tell),
                }
                .run(mode, &heard);
            })?;
        Ok(Self {
            notes,
            thread: Some(thread),
        })
    }

    /// Watches this, and nothing else, from now on. When it returns, no later change is
    /// missed. What was not watched before and changed at or after `since`, which was [`now`]
    /// then, is told, too:
    /// whoever read it then may have read something else.
    pub fn watch(&self, watched: Watched, since: SystemTime) {
        let (armed, is_armed) = mpsc::channel();
        let note = Note::Watch {
            watched,
            since,
            armed,
        };
        // The thread ends with us only.
        if self.notes.send(note).is_ok() {
            let _ = is_armed.recv();
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.notes.send(Note::End);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Watching {
    watched: Watched,
    /// What was last seen behind every path.
    seen: BTreeMap<PathBuf, Mark>,
    batch: Batch,
    source: Source,
    hints: Sender<Note>,
    tell: Box<dyn FnMut(Told) + Send>,
}

enum Source {
    Kernel {
        watcher: Box<RecommendedWatcher>,
        /// The folders that the kernel hints at, and which they were.
        armed: BTreeMap<PathBuf, Folder>,
    },
    Poll(Duration),
}

impl Watching {
    fn run(mut self, mode: Mode, notes: &Receiver<Note>) {
        match mode {
            Mode::Poll(every) => self.poll_every(every),
            Mode::Hints => {
                let hints = self.hints.clone();
                match notify::recommended_watcher(move |event| {
                    // Whoever would hear it is gone.
                    let _ = hints.send(Note::Hint(event));
                }) {
                    Ok(watcher) => {
                        self.source = Source::Kernel {
                            watcher: Box::new(watcher),
                            armed: BTreeMap::new(),
                        };
                    }
                    Err(error) => self.poll_because(&error.to_string()),
                }
            }
        }
        let mut next_poll = Instant::now();
        loop {
            let wake = match (self.batch.settles_at(), &self.source) {
                (Some(at), Source::Kernel { .. }) => Some(at),
                (None, Source::Kernel { .. }) => None,
                (Some(at), Source::Poll(_)) => Some(at.min(next_poll)),
                (None, Source::Poll(_)) => Some(next_poll),
            };
            let note = match wake {
                None => notes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(at) => notes.recv_timeout(at.saturating_duration_since(Instant::now())),
            };
            // All that was said before something is decided.
            let mut next = match note {
                Ok(note) => Some(note),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            while let Some(note) = next {
                match note {
                    Note::End => return,
                    Note::Watch {
                        watched,
                        since,
                        armed,
                    } => {
                        self.begin(watched, since);
                        let _ = armed.send(());
                    }
                    Note::Hint(hint) => self.hear(hint),
                }
                next = notes.try_recv().ok();
            }
            if let Source::Poll(every) = self.source
                && Instant::now() >= next_poll
            {
                self.poll();
                let every = match self.batch.settles_at() {
                    Some(_) => every.min(POLL_WHILE_CHANGING),
                    None => every,
                };
                next_poll = Instant::now() + every;
            }
            if self.is_over() && !self.goes_on() {
                self.settle();
            }
        }
    }

    fn poll_every(&mut self, every: Duration) {
        self.source = Source::Poll(every);
        self.batch.quiet(QUIET_POLLED);
    }

    fn poll_because(&mut self, because: &str) {
        self.poll_every(POLL);
        (self.tell)(Told::Polling {
            because: because.to_owned(),
        });
    }

    /// Watches something else.
    fn begin(&mut self, watched: Watched, since: SystemTime) {
        self.watched = watched;
        if let (Source::Kernel { .. }, Some(kind)) = (&self.source, self.watched.unhinted()) {
            self.poll_because(&format!(
                "the files are on {kind}, whose changes are not told"
            ));
        }
        self.arm();
        // Only now it is looked: what changes from here on is hinted at.
        let paths = self.watched_paths();
        self.seen.retain(|path, _| paths.contains(path));
        let now = Instant::now();
        for path in paths {
            if self.seen.contains_key(&path) {
                continue;
            }
            let mark = look(&path, self.watched.depth(&path));
            if mark.is_since(since) {
                // As if it had not been seen before: it is told.
                self.batch.hint(now, path.clone(), Hint::Whole);
                self.seen.insert(path, mark.forgotten());
            } else {
                self.seen.insert(path, mark);
            }
        }
    }

    /// Every path that is watched: the files, there or not, and what is in the trees.
    fn watched_paths(&self) -> BTreeSet<PathBuf> {
        let mut paths: BTreeSet<PathBuf> = self.watched.files.clone();
        for tree in &self.watched.trees {
            entries(tree, &tree.path, &mut paths);
        }
        paths
    }

    /// Has the kernel hint at every folder that something watched is in, or would be in.
    /// The folders that it did not hint at before.
    fn arm(&mut self) -> Vec<PathBuf> {
        let Source::Kernel { watcher, armed } = &mut self.source else {
            return Vec::new();
        };
        let wanted = armed_folders(&self.watched);
        armed.retain(|path, folder| {
            let stays = wanted.get(path) == Some(folder);
            if !stays {
                // It may be gone, and the kernel's hints with it.
                let _ = watcher.unwatch(path);
            }
            stays
        });
        let mut new = Vec::new();
        let mut refused = None;
        for (path, folder) in wanted {
            if armed.contains_key(&path) {
                continue;
            }
            match watcher.watch(&path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    armed.insert(path.clone(), folder);
                    new.push(path);
                }
                // Gone again: whoever removed it is hinted at, in the folder around it.
                Err(_) if !path.is_dir() => {}
                Err(error) => {
                    refused = Some(reason(&error));
                    break;
                }
            }
        }
        if let Some(because) = refused {
            self.poll_because(&because);
        }
        new
    }

    /// Takes a hint of the kernel.
    fn hear(&mut self, hint: notify::Result<notify::Event>) {
        let now = Instant::now();
        let event = match hint {
            Ok(event) => event,
            Err(error) => {
                self.poll_because(&reason(&error));
                return;
            }
        };
        if event.need_rescan() {
            // Too much happened at once: whatever was not told is looked for.
            if let Source::Kernel { watcher, armed } = &mut self.source {
                for path in std::mem::take(armed).into_keys() {
                    let _ = watcher.unwatch(&path);
                }
            }
            self.batch.hint_at_folders(now);
            self.batch.hint_at_all(now);
            return;
        }
        let hint = |patience| match event.kind {
            EventKind::Access(_) => Hint::Closed,
            EventKind::Modify(ModifyKind::Data(_)) => Hint::Written(patience),
            _ => Hint::Whole,
        };
        // We ourselves open what we look at.
        if matches!(event.kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write))
        {
            return;
        }
        let is_of_folders = matches!(
            event.kind,
            EventKind::Remove(_) | EventKind::Modify(ModifyKind::Name(_))
        );
        for path in event.paths {
            if is_of_folders {
                self.disarm(&path);
            }
            if matches!(event.kind, EventKind::Create(CreateKind::Folder)) {
                self.batch.hint_at_folders(now);
            }
            // A folder on the way to something came or went.
            let mut below = self.watched.below(&path).peekable();
            if below.peek().is_some() {
                self.batch.hint_at_folders(now);
            }
            for path in below.collect::<Vec<_>>() {
                self.batch.hint(now, path, Hint::Whole);
            }
            for file in self.watched.meant_by(&path) {
                self.batch.hint(now, file, hint(OPEN_FILE));
            }
            if self.watched.trees.iter().any(|tree| tree.has(&path)) {
                self.batch.hint(now, path, hint(OPEN_IN_TREE));
            }
        }
    }

    /// What was at a path is not there any more: neither are the kernel's hints at it.
    fn disarm(&mut self, path: &Path) {
        let Source::Kernel { watcher, armed } = &mut self.source else {
            return;
        };
        let gone: Vec<_> = armed
            .keys()
            .filter(|folder| folder.starts_with(path))
            .cloned()
            .collect();
        if !gone.is_empty() {
            self.batch.hint_at_folders(Instant::now());
        }
        for folder in gone {
            armed.remove(&folder);
            let _ = watcher.unwatch(&folder);
        }
    }

    fn is_over(&self) -> bool {
        self.batch
            .settles_at()
            .is_some_and(|at| Instant::now() >= at)
    }

    /// Whether more is to come though nothing was hinted at for a while: somebody says
    /// that he is not done, or a look at everything finds more. On a machine that is busy
    /// with a burst, hints come late.
    fn goes_on(&mut self) -> bool {
        if self.watched.locks.iter().any(|lock| is_held(lock)) {
            self.batch.goes_on(Instant::now());
        } else if self.batch.is_burst() {
            self.poll();
        }
        !self.is_over()
    }

    /// Looks at everything, where nobody hints.
    fn poll(&mut self) {
        let now = Instant::now();
        let mut paths = self.watched_paths();
        paths.extend(self.seen.keys().cloned());
        for path in paths {
            let depth = self.watched.depth(&path);
            let is_as_before = self
                .seen
                .get(&path)
                .unwrap_or(&Mark::Absent)
                .is_surely_still(&path, depth);
            if !is_as_before {
                self.batch.looked(now, &path, stamp(&path, depth));
            }
        }
    }

    /// Looks at all that was hinted at, and tells what differs.
    fn settle(&mut self) {
        let settled = self.batch.take();
        let mut dirty = settled.paths;
        if settled.folders {
            for folder in self.arm() {
                // Whatever came into it before the kernel hinted at it.
                for tree in self.watched.trees.iter().filter(|tree| tree.has(&folder)) {
                    entries(tree, &folder, &mut dirty);
                }
                dirty.extend(self.watched.below(&folder));
            }
        }
        if settled.all {
            dirty.extend(self.watched_paths());
            dirty.extend(self.seen.keys().cloned());
        }
        // A folder that went took with it what was in it, one that came brought it.
        for path in dirty.clone() {
            let below = self
                .seen
                .range(path.clone()..)
                .take_while(|(seen, _)| seen.starts_with(&path))
                .map(|(seen, _)| seen.clone());
            dirty.extend(below);
            for tree in self.watched.trees.iter().filter(|tree| tree.has(&path)) {
                entries(tree, &path, &mut dirty);
            }
        }
        let mut changes = BTreeMap::new();
        for path in dirty {
            let mark = look(&path, self.watched.depth(&path));
            let before = self.seen.get(&path).unwrap_or(&Mark::Absent);
            if let Some(change) = before.became(&mark) {
                changes.insert(path.clone(), change);
            }
            match mark {
                Mark::Absent if !self.watched.files.contains(&path) => self.seen.remove(&path),
                mark => self.seen.insert(path, mark),
            };
        }
        if !changes.is_empty() {
            (self.tell)(Told::Changes(ChangeSet(changes)));
        }
    }
}

/// Whether a lock is there, and not left behind by somebody who died.
fn is_held(lock: &Path) -> bool {
    let made = std::fs::symlink_metadata(lock).and_then(|found| found.modified());
    made.is_ok_and(|made| made.elapsed().is_ok_and(|age| age < LEFT_BEHIND))
}

/// Why the kernel does not hint, for people.
fn reason(error: &notify::Error) -> String {
    match &error.kind {
        notify::ErrorKind::MaxFilesWatch => {
            "the kernel watches no more folders for this user (fs.inotify.max_user_watches)"
                .to_owned()
        }
        _ => error.to_string(),
    }
}
