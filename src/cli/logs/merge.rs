//! The lines of several containers in the order in which they were written.

use std::{cmp::Reverse, collections::BinaryHeap};

use futures_util::{Stream, StreamExt as _, stream::BoxStream};

use super::line::Line;
use crate::{cli::error::Failure, reconcile::engine::LogTime};

/// The lines of one container, in its own order.
pub(super) type Said = BoxStream<'static, Result<Line, Failure>>;

/// Every line of all of them with the place of its container, in the order of time.
/// It begins once each has said its first, so all of them must end.
pub(super) fn by_time(sources: Vec<Said>) -> impl Stream<Item = Result<(usize, Line), Failure>> {
    futures_util::stream::try_unfold(Merge::of(sources), |mut merge| async move {
        Ok(merge.next().await?.map(|line| (line, merge)))
    })
}

struct Merge {
    sources: Vec<Said>,
    /// What each says next, if that is known.
    next: Vec<Option<Line>>,
    order: BinaryHeap<Reverse<(LogTime, usize)>>,
    /// Whose next line is not known.
    asked: Vec<usize>,
}

impl Merge {
    fn of(sources: Vec<Said>) -> Self {
        Self {
            next: sources.iter().map(|_| None).collect(),
            asked: (0..sources.len()).collect(),
            order: BinaryHeap::new(),
            sources,
        }
    }

    async fn next(&mut self) -> Result<Option<(usize, Line)>, Failure> {
        while let Some(at) = self.asked.pop() {
            if let Some(line) = self.sources[at].next().await.transpose()? {
                self.order.push(Reverse((line.time, at)));
                self.next[at] = Some(line);
            }
        }
        let Some(Reverse((_, at))) = self.order.pop() else {
            return Ok(None);
        };
        self.asked.push(at);
        Ok(self.next[at].take().map(|line| (at, line)))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::{TryStreamExt as _, stream};

    use super::*;

    fn said(times: &[u64]) -> Said {
        let line = |time: &u64| Line {
            time: LogTime(*time),
            stamp: "".into(),
            text: time.to_string().into(),
            is_error: false,
        };
        let lines: Vec<_> = times.iter().map(|time| Ok(line(time))).collect();
        stream::iter(lines).boxed()
    }

    async fn merged(sources: Vec<Said>) -> Vec<(usize, u64)> {
        let lines: Vec<_> = by_time(sources)
            .map_ok(|(at, line)| (at, line.time.0))
            .try_collect()
            .await
            .unwrap();
        lines
    }

    #[tokio::test]
    async fn lines_are_in_the_order_of_their_times() {
        let sources = vec![said(&[1, 4, 5]), said(&[]), said(&[2, 3, 6])];
        assert_eq!(
            merged(sources).await,
            [(0, 1), (2, 2), (2, 3), (0, 4), (0, 5), (2, 6)]
        );
    }

    #[tokio::test]
    async fn one_container_keeps_its_own_order_though_its_clock_was_set_back() {
        let sources = vec![said(&[5, 1, 2]), said(&[3])];
        assert_eq!(merged(sources).await, [(1, 3), (0, 5), (0, 1), (0, 2)]);
    }
}
