//! How many requests a second are captured: as many as anybody could look at.

use std::time::Duration;

use tokio::time::Instant;

/// So many a second: a page in a browser is a hundred requests, and a person looks at
/// one. What a load test sends beyond it would only push out what came before.
const A_SECOND: u64 = 1000;

/// So many at once, as when a page is loaded by many.
const AT_ONCE: u64 = 1000;

/// How many more may be captured at this moment.
#[derive(Debug)]
pub(super) struct Pace {
    left: u64,
    since: Option<Instant>,
}

impl Pace {
    pub(super) fn full() -> Self {
        Self {
            left: AT_ONCE,
            since: None,
        }
    }

    /// Takes one; false if there is none.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        let passed = now.saturating_duration_since(since);
        // Less than that would round to nothing, again and again.
        if passed >= Duration::from_millis(1) {
            let more = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
            let more = more.saturating_mul(A_SECOND) / 1_000_000;
            self.left = (self.left + more).min(AT_ONCE);
            self.since = Some(now);
        }
        let left = self.left.checked_sub(1);
        self.left = left.unwrap_or(0);
        left.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_at_once_and_then_so_many_a_second() {
        let mut pace = Pace::full();
        let begun = Instant::now();
        let take = |pace: &mut Pace, at| (0..5000).filter(|_| pace.take(at)).count();
        assert_eq!(take(&mut pace, begun), 1000);
        assert_eq!(take(&mut pace, begun + Duration::from_millis(100)), 100);
        assert_eq!(take(&mut pace, begun + Duration::from_hours(1)), 1000);
        // Clocks of different cores: none goes back.
        assert_eq!(take(&mut pace, begun), 0);
    }
}
