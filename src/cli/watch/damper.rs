//! Loops that feed themselves: an action that writes to a path it is watched for.
//!
//! Nobody tells who wrote a file. But what an action writes comes while it is done or
//! right after, every time, and what a person saves does not. So a change right after
//! an action is done at once a few times, and after that later and later, until one
//! comes that is not right after. Nothing is lost: what is put off is done with what
//! is there then. Pure: the time is given.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::workspace::ServiceName;

/// What may feed itself.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Deed {
    /// Making the workspace so, builds included.
    Apply,
    /// Restarting a service.
    Restart(ServiceName),
    /// Copying into a service.
    Sync(ServiceName),
}

/// When it is taken for a loop.
struct Limits {
    /// A change within this after the last action is right after it.
    right_after: Duration,
    /// So many in a row, and the next is put off.
    in_a_row: u32,
}

impl Deed {
    fn limits(&self) -> Limits {
        match self {
            // A program writes its files as it starts. A person needs longer to see that a
            // restart did not do, and to save again.
            Self::Apply | Self::Restart(_) => Limits {
                right_after: Duration::from_secs(3),
                in_a_row: 3,
            },
            // Over in milliseconds, and with an editor that saves by itself there is one a second.
            Self::Sync(_) => Limits {
                right_after: Duration::from_millis(400),
                in_a_row: 8,
            },
        }
    }
}

/// How long the first is put off; each one after it twice as long..
const FIRST_PAUSE: Duration = Duration::from_secs(5);

/// ..but no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Counts what comes right after what.
#[derive(Debug, Default)]
pub(super) struct Damper {
    streaks: HashMap<Deed, Streak>,
}

#[derive(Debug, Default)]
struct Streak {
    /// When the last one was over; none while it is under way.
    ended: Option<Instant>,
    /// The files that asked for it.
    files: BTreeSet<PathBuf>,
    /// How many came right after the one before.
    length: u32,
    /// One came already right after the last.
    is_counted: bool,
}

/// That something is put off, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PutOff {
    /// How many came right after the one before.
    pub(super) times: u32,
    /// The file that asks for it, again if there is such a one.
    pub(super) file: PathBuf,
    /// How long.
    pub(super) pause: Duration,
}

impl Damper {
    /// A change asks for this. Says it if it is put off from now on.
    pub(super) fn asked(
        &mut self,
        deed: &Deed,
        files: &BTreeSet<PathBuf>,
        now: Instant,
    ) -> Option<PutOff> {
        let limits = deed.limits();
        // What was never done feeds nothing.
        let streak = self.streaks.get_mut(deed)?;
        let is_right_after = streak
            .ended
            .is_none_or(|ended| now.saturating_duration_since(ended) <= limits.right_after);
        if !is_right_after {
            *streak = Streak {
                ended: streak.ended,
                ..Streak::default()
            };
            return None;
        }
        if streak.is_counted {
            return None;
        }
        streak.is_counted = true;
        streak.length += 1;
        let again = files.intersection(&streak.files).next();
        let file = again.or_else(|| files.first())?.clone();
        (streak.length >= limits.in_a_row).then(|| PutOff {
            times: streak.length,
            file,
            pause: pause(streak.length, &limits),
        })
    }

    /// When this may be done that was asked for.
    pub(super) fn due(&self, deed: &Deed, now: Instant) -> Instant {
        let limits = deed.limits();
        match self.streaks.get(deed) {
            Some(streak) if streak.is_counted && streak.length >= limits.in_a_row => {
                streak.ended.unwrap_or(now) + pause(streak.length, &limits)
            }
            _ => now,
        }
    }

    /// It is begun, because of these files.
    pub(super) fn began(&mut self, deed: Deed, files: BTreeSet<PathBuf>) {
        let streak = self.streaks.entry(deed).or_default();
        streak.files = files;
        streak.ended = None;
        streak.is_counted = false;
    }

    /// It is over.
    pub(super) fn ended(&mut self, deed: &Deed, now: Instant) {
        if let Some(streak) = self.streaks.get_mut(deed) {
            streak.ended = Some(now);
        }
    }

    /// It turned out that there was nothing to do: nothing was fed.
    pub(super) fn forget(&mut self, deed: &Deed) {
        self.streaks.remove(deed);
    }
}

fn pause(length: u32, limits: &Limits) -> Duration {
    let doublings = (length - limits.in_a_row).min(8);
    (FIRST_PAUSE * 2_u32.pow(doublings)).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restart() -> Deed {
        Deed::Restart("api".parse().unwrap())
    }

    fn files(names: &[&str]) -> BTreeSet<PathBuf> {
        names.iter().map(PathBuf::from).collect()
    }

    /// Does it for changes that come so long after the one before was over, each as soon
    /// as it may be; how long each was put off, in seconds.
    fn put_off(deed: &Deed, gaps: &[(u64, &str)]) -> Vec<u64> {
        let mut damper = Damper::default();
        let mut now = Instant::now();
        let mut pauses = Vec::new();
        for (millis, file) in gaps {
            now += Duration::from_millis(*millis);
            let said = damper.asked(deed, &files(&[file]), now);
            let due = damper.due(deed, now);
            assert_eq!(said.is_some(), due > now);
            pauses.push((due - now).as_secs_f64().round() as u64);
            now = due;
            damper.began(deed.clone(), files(&[file]));
            now += Duration::from_millis(200);
            damper.ended(deed, now);
        }
        pauses
    }

    #[test]
    fn a_restart_that_writes_what_it_is_restarted_for_is_damped() {
        let loops = [(100, "build.log"); 10];
        assert_eq!(
            put_off(&restart(), &loops),
            [0, 0, 0, 5, 10, 20, 40, 60, 60, 60]
        );
    }

    #[test]
    fn it_is_damped_too_when_the_file_has_another_name_each_time() {
        let loops = [
            (100, "tmp-1"),
            (100, "tmp-2"),
            (100, "tmp-3"),
            (100, "tmp-4"),
        ];
        assert_eq!(put_off(&restart(), &loops), [0, 0, 0, 5]);
    }

    #[test]
    fn a_person_who_saves_again_and_again_is_served_at_once() {
        assert_eq!(put_off(&restart(), &[(3_500, "main.rs"); 20]), [0; 20]);
        let sync = Deed::Sync("web".parse().unwrap());
        assert_eq!(put_off(&sync, &[(1_000, "index.html"); 20]), [0; 20]);
    }

    #[test]
    fn after_a_pause_a_save_is_served_at_once_again() {
        let mut gaps = vec![(100, "build.log"); 5];
        gaps.push((4_000, "main.rs"));
        gaps.push((100, "build.log"));
        assert_eq!(put_off(&restart(), &gaps), [0, 0, 0, 5, 10, 0, 0]);
    }

    #[test]
    fn the_file_that_comes_again_is_the_one_that_is_named() {
        let mut damper = Damper::default();
        let now = Instant::now();
        let deed = restart();
        for _ in 0..2 {
            damper.asked(&deed, &files(&["a", "build.log"]), now);
            damper.began(deed.clone(), files(&["build.log"]));
            damper.ended(&deed, now);
        }
        assert_eq!(damper.asked(&deed, &files(&["a", "build.log"]), now), None);
        damper.began(deed.clone(), files(&["build.log"]));
        // It comes while it is still under way.
        let said = damper
            .asked(&deed, &files(&["a", "build.log"]), now)
            .unwrap();
        assert_eq!((said.times, said.file), (3, PathBuf::from("build.log")));
        // The rest of the same is said once.
        assert_eq!(damper.asked(&deed, &files(&["b"]), now), None);
    }
}
