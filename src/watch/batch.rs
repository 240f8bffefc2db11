//! When it is time to tell: what is hinted at, until it is quiet.
//!
//! Pure: the time is given. One save is told after [`QUIET`], which nobody feels.
//! A branch switch is told once: as long as further paths come, it is not over, and
//! the more there are, the longer is the pause that means "over". A path that is hinted
//! at again and again does not hold up the others for ever, and one that is open for
//! writing is waited for: half a config would be read as a whole one.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::look::Stamp;

/// No further hint for so long: the save of one file is over. An atomic one is two hints
/// within a millisecond.
pub(super) const QUIET: Duration = Duration::from_millis(25);

/// With every further path it takes as long again, up to this: whoever writes thousands
/// of files stops for breath.
const QUIET_BURST: Duration = Duration::from_millis(400);

/// More paths than anybody saves at once.
const BURST: usize = 16;

/// A path that is hinted at all the time, as a log is, is told after this.
const BUSY: Duration = Duration::from_millis(500);

/// No batch is longer than this, whatever happens.
const LONGEST: Duration = Duration::from_secs(30);

/// What is said of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hint {
    /// Something was written to it, and whoever did has it open: until it is closed it
    /// is waited for, but no longer than this.
    Written(Duration),
    /// Whoever wrote has closed it.
    Closed,
    /// Anything else: it came, it went, it has another name.
    Whole,
}

/// What was hinted at since the last time.
#[derive(Debug)]
pub(super) struct Batch {
    quiet: Duration,
    began: Option<Instant>,
    /// When the last path came that was not hinted at before.
    last_new: Option<Instant>,
    paths: BTreeMap<PathBuf, Hinted>,
    folders: bool,
    all: bool,
}

#[derive(Debug)]
struct Hinted {
    first: Instant,
    last: Instant,
    /// It is open for writing, and waited for until then.
    open_until: Option<Instant>,
    stamp: Option<Stamp>,
}

/// What is to be looked at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Settled {
    pub(super) paths: BTreeSet<PathBuf>,
    /// Folders came or went.
    pub(super) folders: bool,
    /// Hints were lost.
    pub(super) all: bool,
}

impl Batch {
    /// One that is over when there was no further hint for so long.
    pub(super) fn new(quiet: Duration) -> Self {
        Self {
            quiet,
            began: None,
            last_new: None,
            paths: BTreeMap::new(),
            folders: false,
            all: false,
        }
    }

    /// Says how long a pause means that it is over.
    pub(super) fn quiet(&mut self, quiet: Duration) {
        self.quiet = quiet;
    }

    /// Takes a hint at a path.
    pub(super) fn hint(&mut self, now: Instant, path: PathBuf, hint: Hint) {
        self.hinted(now, path, hint);
    }

    /// Takes a look at a path that is not as it was told last, from whoever looks again
    /// and again instead of being hinted at. As it was a look ago, it is no news.
    pub(super) fn looked(&mut self, now: Instant, path: &Path, stamp: Stamp) {
        let before = self.paths.get(path).and_then(|hinted| hinted.stamp);
        if before != Some(stamp) {
            self.hinted(now, path.to_owned(), Hint::Whole).stamp = Some(stamp);
        }
    }

    fn hinted(&mut self, now: Instant, path: PathBuf, hint: Hint) -> &mut Hinted {
        self.began.get_or_insert(now);
        let last_new = &mut self.last_new;
        let hinted = self.paths.entry(path).or_insert_with(|| {
            *last_new = Some(now);
            Hinted {
                first: now,
                last: now,
                open_until: None,
                stamp: None,
            }
        });
        hinted.last = now;
        hinted.open_until = match hint {
            Hint::Written(patience) => Some(hinted.first + patience),
            Hint::Closed | Hint::Whole => None,
        };
        hinted
    }

    /// Folders came or went: which are hinted at has to be thought over.
    pub(super) fn hint_at_folders(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        self.last_new = Some(now);
        self.folders = true;
    }

    /// Hints were lost: everything is to be looked at.
    pub(super) fn hint_at_all(&mut self, now: Instant) {
        self.began.get_or_insert(now);
        self.last_new = Some(now);
        self.all = true;
    }

    /// It is known that it is not over.
    pub(super) fn goes_on(&mut self, now: Instant) {
        self.last_new = Some(now);
    }

    /// Whether it is about more than anybody saves at once.
    pub(super) fn is_burst(&self) -> bool {
        self.paths.len() >= BURST
    }

    /// When it is over, as far as is known now. None if there is nothing.
    pub(super) fn settles_at(&self) -> Option<Instant> {
        let began = self.began?;
        let paths = u32::try_from(self.paths.len()).unwrap_or(u32::MAX).max(1);
        let quiet = self.quiet.saturating_mul(paths).min(QUIET_BURST);
        let last_new = self.last_new.unwrap_or(began) + quiet;
        let over = self
            .paths
            .values()
            .map(|hinted| match hinted.open_until {
                Some(until) => until,
                None => (hinted.last + self.quiet).min(hinted.first + BUSY),
            })
            .fold(last_new, Instant::max);
        Some(over.min(began + LONGEST))
    }

    /// All of it; what comes from now on is the next one.
    pub(super) fn take(&mut self) -> Settled {
        let batch = std::mem::replace(self, Self::new(self.quiet));
        Settled {
            paths: batch.paths.into_keys().collect(),
            folders: batch.folders,
            all: batch.all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As long as a file is waited for here.
    const OPEN: Duration = Duration::from_secs(4);

    /// Gives hints at these milliseconds; the millisecond at which it is over.
    fn over(hints: &[(u64, &str, Hint)]) -> u64 {
        let began = Instant::now();
        let mut batch = Batch::new(QUIET);
        for (millis, path, hint) in hints {
            let now = began + Duration::from_millis(*millis);
            assert!(
                batch.settles_at().is_none_or(|at| at > now),
                "over before {millis}"
            );
            batch.hint(now, PathBuf::from(path), *hint);
        }
        let over = batch.settles_at().unwrap() - began;
        u64::try_from(over.as_millis()).unwrap()
    }

    #[test]
    fn one_save_is_over_in_no_time() {
        assert_eq!(over(&[(0, "a", Hint::Whole)]), 25);
        let saved = [(0, "a", Hint::Written(OPEN)), (1, "a", Hint::Closed)];
        assert_eq!(over(&saved), 26);
    }

    #[test]
    fn a_save_of_two_files_is_one_batch() {
        let saved = [
            (0, ".a.tmp", Hint::Whole),
            (10, ".a.tmp", Hint::Written(OPEN)),
            (20, ".a.tmp", Hint::Closed),
            (30, "a", Hint::Whole),
        ];
        assert_eq!(over(&saved), 80);
    }

    #[test]
    fn what_is_open_for_writing_is_waited_for_until_it_is_closed() {
        let half = [
            (0, "a", Hint::Written(OPEN)),
            (1_000, "a", Hint::Written(OPEN)),
        ];
        assert_eq!(over(&half), 4_000);
        let whole = [half[0], half[1], (1_500, "a", Hint::Closed)];
        assert!(over(&whole) <= 1_525);
    }

    #[test]
    fn what_is_never_closed_does_not_hold_up_for_ever() {
        let log: Vec<_> = (0..39)
            .map(|at| (at * 100, "log", Hint::Written(OPEN)))
            .collect();
        assert_eq!(over(&log), 4_000);
    }

    #[test]
    fn what_changes_all_the_time_is_told_after_a_while() {
        let busy: Vec<_> = (0..49).map(|at| (at * 10, "a", Hint::Whole)).collect();
        assert_eq!(over(&busy), 500);
    }

    #[test]
    fn a_burst_of_thousands_with_pauses_is_one_batch() {
        let paths: Vec<String> = (0..5_000).map(|number| format!("f{number}")).collect();
        let mut hints = Vec::new();
        let mut at = 0;
        for (number, path) in paths.iter().enumerate() {
            at += if number > BURST && number % 1_000 == 0 {
                390
            } else {
                1
            };
            hints.push((at, path.as_str(), Hint::Whole));
        }
        assert_eq!(over(&hints), at + 400);
    }

    #[test]
    fn no_batch_is_longer_than_half_a_minute() {
        let paths: Vec<String> = (0..400).map(|number| format!("f{number}")).collect();
        let hints: Vec<_> = paths
            .iter()
            .zip(0..)
            .map(|(path, number)| (number * 20, path.as_str(), Hint::Whole))
            .collect();
        assert!(over(&hints) < 30_000);
        let began = Instant::now();
        let mut batch = Batch::new(QUIET);
        for number in 0..2_000_u64 {
            let now = began + Duration::from_millis(number * 20);
            batch.hint(now, PathBuf::from(number.to_string()), Hint::Whole);
        }
        assert_eq!(batch.settles_at().unwrap(), began + LONGEST);
    }

    #[test]
    fn what_is_taken_is_all_of_it_and_the_next_batch_is_empty() {
        let now = Instant::now();
        let mut batch = Batch::new(QUIET);
        assert_eq!(batch.settles_at(), None);
        batch.hint(now, "b".into(), Hint::Whole);
        batch.hint(now, "a".into(), Hint::Written(OPEN));
        batch.hint_at_folders(now);
        let settled = batch.take();
        assert_eq!(settled.paths, BTreeSet::from(["a".into(), "b".into()]));
        assert!(settled.folders && !settled.all);
        assert_eq!(batch.settles_at(), None);
    }
}
