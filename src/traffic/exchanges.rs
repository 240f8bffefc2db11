//! The newest exchanges, and who follows them.
//!
//! Bounded in number and in memory: the oldest goes for the newest. Each change of an
//! exchange has a number of its own, so that whoever follows can go on where they were;
//! a slow one gets the newest state of each, and holds nobody up.

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use tokio::sync::watch;

use super::{
    exchange::{Exchange, State, Summary},
    filter::Filter,
};

/// More than a person scrolls through.
pub const MOST: usize = 1000;

/// In bytes, of all of them: 16 KiB for each if they are many. What is more would be felt in
/// the proxy's own budget, when many large answers are under way as well.
const MOST_WEIGHT: usize = 16 << 20;

/// The newest exchanges.
#[derive(Debug)]
pub struct Exchanges {
    ring: Mutex<Ring>,
    changes: watch::Sender<u64>,
    dropped: AtomicU64,
    epoch: String,
}

#[derive(Debug, Default)]
struct Ring {
    kept: BTreeMap<u64, Arc<Exchange>>,
    weight: usize,
    seq: u64,
    /// What went for a newer one does not come back when it changes.
    gone_up_to: u64,
    /// The change by which all were cleared away.
    cleared_at: u64,
}

/// What has changed since.
#[derive(Debug)]
pub struct News {
    /// The newest change.
    pub seq: u64,
    /// Whether all that was before it was cleared away.
    pub cleared: bool,
    /// Those that changed, in the order of their changes.
    pub exchanges: Vec<Arc<Exchange>>,
}

impl Default for Exchanges {
    fn default() -> Self {
        Self::new()
    }
}

impl Exchanges {
    /// None yet.
    pub fn new() -> Self {
        let drawn = RandomState::new().hash_one(std::process::id());
        Self {
            ring: Mutex::default(),
            changes: watch::Sender::new(0),
            dropped: AtomicU64::new(0),
            epoch: format!("{drawn:016x}"),
        }
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Stands for this process: with another one, numbers begin anew.
    pub fn epoch(&self) -> &str {
        &self.epoch
    }

    /// How many were not captured.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    pub(super) fn drop_one(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps one that is new or has changed.
    pub(super) fn put(&self, mut exchange: Exchange) {
        let mut ring = self.ring();
        let number = exchange.summary.number;
        if number <= ring.gone_up_to {
            return;
        }
        ring.seq += 1;
        exchange.summary.seq = ring.seq;
        ring.weight += exchange.weight();
        if let Some(before) = ring.kept.insert(number, Arc::new(exchange)) {
            ring.weight -= before.weight();
        }
        while ring.kept.len() > MOST || ring.weight > MOST_WEIGHT && ring.kept.len() > 1 {
            let Some((number, oldest)) = ring.kept.pop_first() else {
                break;
            };
            ring.weight -= oldest.weight();
            ring.gone_up_to = number;
        }
        let seq = ring.seq;
        drop(ring);
        self.changes.send_replace(seq);
    }

    /// One of them.
    pub fn get(&self, number: u64) -> Option<Arc<Exchange>> {
        self.ring().kept.get(&number).cloned()
    }

    /// The newest that the filter lets through, newest first.
    pub fn newest(&self, filter: &Filter, most: usize) -> Vec<Arc<Exchange>> {
        // The lock is not held while texts are searched.
        let all: Vec<_> = self.ring().kept.values().rev().cloned().collect();
        let fitting = all.into_iter().filter(|exchange| filter.lets(exchange));
        fitting.take(most).collect()
    }

    /// What has changed since this change.
    pub fn since(&self, seq: u64) -> News {
        let ring = self.ring();
        let mut exchanges: Vec<_> = ring
            .kept
            .values()
            .filter(|exchange| exchange.summary.seq > seq)
            .cloned()
            .collect();
        exchanges.sort_by_key(|exchange| exchange.summary.seq);
        News {
            seq: ring.seq,
            cleared: ring.cleared_at > seq,
            exchanges,
        }
    }

    /// Tells of each change, by its number.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Forgets all that are over.
    pub fn clear(&self) {
        let mut ring = self.ring();
        ring.kept
            .retain(|_, exchange| exchange.summary.state == State::Open);
        ring.weight = ring.kept.values().map(|exchange| exchange.weight()).sum();
        ring.seq += 1;
        ring.cleared_at = ring.seq;
        let seq = ring.seq;
        // Those that stay are news to whoever is told that all are gone.
        let open: Vec<_> = ring.kept.keys().copied().collect();
        let mut next = seq;
        for number in open {
            let Some(exchange) = ring.kept.get(&number) else {
                continue;
            };
            next += 1;
            let summary = Summary {
                seq: next,
                ..exchange.summary.clone()
            };
            let exchange = Exchange {
                summary,
                ..Exchange::clone(exchange)
            };
            ring.kept.insert(number, Arc::new(exchange));
        }
        ring.seq = next;
        drop(ring);
        self.changes.send_replace(next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::exchange::{Body, Content, Message};

    fn exchange(number: u64, state: State) -> Exchange {
        Exchange {
            summary: Summary {
                number,
                state,
                ..Summary::default()
            },
            ..Exchange::default()
        }
    }

    fn numbers(exchanges: &[Arc<Exchange>]) -> Vec<u64> {
        exchanges
            .iter()
            .map(|exchange| exchange.summary.number)
            .collect()
    }

    #[test]
    fn the_oldest_goes_for_the_newest() {
        let exchanges = Exchanges::new();
        for number in 1..=1003 {
            exchanges.put(exchange(number, State::Open));
        }
        let kept = exchanges.newest(&Filter::default(), usize::MAX);
        assert_eq!((kept.len(), kept[0].summary.number), (MOST, 1003));
        exchanges.put(exchange(2, State::Done));
        assert!(exchanges.get(2).is_none(), "what is gone came back");
    }

    #[test]
    fn memory_is_bounded_whatever_is_in_it() {
        let exchanges = Exchanges::new();
        for number in 1..=400 {
            let mut large = exchange(number, State::Done);
            large.response = Some(Message {
                body: Some(Body {
                    bytes: 0,
                    complete: true,
                    truncated: false,
                    decoded: None,
                    redacted: 0,
                    content: Content::Text("x".repeat(256 << 10)),
                }),
                ..Message::default()
            });
            exchanges.put(large.clone());
            exchanges.put(large);
        }
        let ring = exchanges.ring();
        assert!(ring.weight <= MOST_WEIGHT);
        assert!(ring.kept.len() > 50, "{}", ring.kept.len());
    }

    #[test]
    fn who_follows_gets_each_in_its_newest_state() {
        let exchanges = Exchanges::new();
        exchanges.put(exchange(1, State::Open));
        exchanges.put(exchange(2, State::Open));
        let seen = exchanges.since(0);
        assert_eq!((numbers(&seen.exchanges), seen.seq), (vec![1, 2], 2));
        for _ in 0..5 {
            exchanges.put(exchange(1, State::Done));
        }
        let news = exchanges.since(seen.seq);
        assert_eq!(numbers(&news.exchanges), [1]);
        assert!(exchanges.since(news.seq).exchanges.is_empty());
    }

    #[test]
    fn clearing_forgets_what_is_over_and_tells_of_the_rest_again() {
        let exchanges = Exchanges::new();
        exchanges.put(exchange(1, State::Done));
        exchanges.put(exchange(2, State::Open));
        let seen = exchanges.since(0).seq;
        exchanges.clear();
        let news = exchanges.since(seen);
        assert!(news.cleared);
        assert_eq!(numbers(&news.exchanges), [2]);
        assert!(!exchanges.since(news.seq).cleared);
    }
}
