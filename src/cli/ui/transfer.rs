//! How far a stream of bytes is: in place on a terminal, after 250 ms.

use std::{
    io::{IsTerminal as _, stderr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use indicatif::{ProgressBar, ProgressDrawTarget};

use super::{
    super::args,
    printable,
    screen::{QUIET_FOR, TICK, is_redrawn, running_style},
    size,
};

/// Counts what passes, and shows it.
pub(crate) struct Transfer {
    passed: Arc<AtomicU64>,
    /// How much there is, where that is known.
    total: Option<u64>,
    what: String,
    is_shown: bool,
    began: Instant,
}

impl Transfer {
    /// Of something that is called so.
    pub(crate) fn of(global: &args::Global, what: &str, total: Option<u64>) -> Self {
        let is_wanted = global.progress == args::Progress::Auto && !global.quiet;
        Self {
            passed: Arc::default(),
            total,
            what: printable(what),
            is_shown: is_wanted && stderr().is_terminal() && is_redrawn(),
            began: Instant::now(),
        }
    }

    /// Counts the bytes of a stream.
    pub(crate) fn counting<S, E>(
        &self,
        chunks: S,
    ) -> impl Stream<Item = Result<Bytes, E>> + use<S, E>
    where
        S: Stream<Item = Result<Bytes, E>>,
    {
        let passed = Arc::clone(&self.passed);
        chunks.inspect(move |chunk| {
            if let Ok(bytes) = chunk {
                passed.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
        })
    }

    /// Shows how far it is until the work is done.
    pub(crate) async fn during<T>(&self, work: impl Future<Output = T>) -> T {
        if !self.is_shown {
            return work.await;
        }
        let mut work = std::pin::pin!(work);
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())
            .with_style(running_style());
        let mut ticks = tokio::time::interval(TICK);
        loop {
            // Both are cancel-safe: the work is only polled again, and a tick that is
            // missed is made up for.
            tokio::select! {
                done = &mut work => {
                    bar.finish_and_clear();
                    return done;
                }
                _ = ticks.tick() => {
                    let took = self.began.elapsed();
                    if took > QUIET_FOR && bar.is_hidden() {
                        bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(12));
                    }
                    bar.set_message(line(&self.what, self.passed.load(Ordering::Relaxed), self.total, took));
                    bar.tick();
                }
            }
        }
    }
}

/// `web:/srv  120.3 MB of 1.1 GB  80.1 MB/s`.
fn line(what: &str, passed: u64, total: Option<u64>, took: Duration) -> String {
    // The heads of a tar count with what passes, and are nobody's.
    let so_far = match total.filter(|total| *total > 0) {
        Some(total) => format!("{} of {}", size(passed.min(total)), size(total)),
        None => size(passed),
    };
    let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    let a_second = passed.saturating_mul(1_000) / millis;
    format!("{what}  {so_far}  {}/s", size(a_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_far_it_is_and_how_fast() {
        let took = Duration::from_millis(2_000);
        assert_eq!(
            line("web:/a", 3_000_000, Some(2_999_000), took),
            "web:/a  3.0 MB of 3.0 MB  1.5 MB/s"
        );
        assert_eq!(line("web:/a", 500, None, took), "web:/a  500 B  250 B/s");
        assert_eq!(line("a", 0, Some(0), Duration::ZERO), "a  0 B  0 B/s");
    }
}
