//! An engine that is looked at by one at a time, for all who asked.
//!
//! A look costs an inspect of every container, and an engine that is starting some
//! answers those late. Where forty services are waited for, each would look at all
//! of them whenever anything happens, and each look would hold up the others. So
//! who asks while one looks gets the next look, together with all who asked by
//! then. It begins after they asked: nobody is told what was so before.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use futures_util::{FutureExt as _, future::BoxFuture, stream::BoxStream};

use super::engine::{Change, Done, Engine, EngineError, Progress};
use crate::{plan::Action, workspace::Observed};

/// The engine, with its looks shared.
pub(super) struct OneLook {
    engine: Arc<dyn Engine>,
    /// How many have asked.
    asked: AtomicU64,
    /// Held by the one who looks. Whoever gives up while looking leaves it to the next.
    turn: tokio::sync::Mutex<()>,
    last: Mutex<Option<Last>>,
}

/// The last look, and whom it is for: all who had asked when it began.
struct Last {
    asked: u64,
    seen: Result<Observed, EngineError>,
}

impl OneLook {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            asked: AtomicU64::new(0),
            turn: tokio::sync::Mutex::default(),
            last: Mutex::default(),
        }
    }

    async fn look(&self) -> Result<Observed, EngineError> {
        let mine = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        let _turn = self.turn.lock().await;
        if let Some(seen) = self.seen_for(mine) {
            return seen;
        }
        let asked = self.asked.load(Ordering::SeqCst);
        let seen = self.engine.observe().await;
        // Kept only for those who wait: with nobody behind us, it is of no use.
        let is_waited_for = asked > mine;
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = is_waited_for.then(|| Last {
            asked,
            seen: seen.clone(),
        });
        seen
    }

    fn seen_for(&self, mine: u64) -> Option<Result<Observed, EngineError>> {
        // Nothing panics while it is held.
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let last = last.as_ref().filter(|last| last.asked >= mine)?;
        Some(last.seen.clone())
    }
}

impl Engine for OneLook {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        self.look().boxed()
    }

    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        self.engine.glance()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        self.engine.perform(action, progress)
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.engine.changes()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{StreamExt as _, future::join_all};
    use tokio::{sync::Semaphore, time::timeout};

    use super::*;
    use crate::plan::test_workspace::name;

    /// An engine whose looks end when they may, and say how many there were.
    struct Slow {
        began: AtomicU64,
        may_end: Semaphore,
    }

    impl Slow {
        fn looks() -> (Arc<Self>, Arc<OneLook>) {
            let slow = Arc::new(Self {
                began: AtomicU64::new(0),
                may_end: Semaphore::new(0),
            });
            (slow.clone(), Arc::new(OneLook::new(slow)))
        }

        async fn has_begun(&self, looks: u64) {
            while self.began.load(Ordering::SeqCst) < looks {
                tokio::task::yield_now().await;
            }
        }
    }

    impl Engine for Slow {
        fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
            async move {
                let number = self.began.fetch_add(1, Ordering::SeqCst) + 1;
                self.may_end.acquire().await.unwrap().forget();
                let mut observed = crate::reconcile::convergence::strangers();
                observed.containers.truncate(1);
                observed.containers[0].name = name(&format!("look-{number}"));
                Ok(observed)
            }
            .boxed()
        }

        fn perform<'a>(
            &'a self,
            _: &'a Action,
            _: &'a (dyn Fn(Progress) + Send + Sync),
        ) -> BoxFuture<'a, Result<Done, EngineError>> {
            async { Ok(Done::Done) }.boxed()
        }

        fn changes(&self) -> BoxStream<'static, Change> {
            futures_util::stream::pending().boxed()
        }
    }

    fn asked(looks: &Arc<OneLook>) -> tokio::task::JoinHandle<String> {
        let looks = Arc::clone(looks);
        tokio::spawn(async move {
            let seen = looks.observe().await.unwrap();
            seen.containers[0].name.to_string()
        })
    }

    #[tokio::test]
    async fn all_who_ask_while_one_looks_share_the_next_look() {
        let (slow, looks) = Slow::looks();
        let first = asked(&looks);
        slow.has_begun(1).await;
        let others: Vec<_> = (0..40).map(|_| asked(&looks)).collect();
        while looks.asked.load(Ordering::SeqCst) < 41 {
            tokio::task::yield_now().await;
        }
        slow.may_end.add_permits(100);
        assert_eq!(first.await.unwrap(), "look-1");
        for seen in join_all(others).await {
            assert_eq!(seen.unwrap(), "look-2");
        }
    }

    #[tokio::test]
    async fn who_asks_later_is_not_told_what_was_so_before() {
        let (slow, looks) = Slow::looks();
        slow.may_end.add_permits(2);
        assert_eq!(asked(&looks).await.unwrap(), "look-1");
        assert_eq!(asked(&looks).await.unwrap(), "look-2");
    }

    #[tokio::test]
    async fn a_look_that_was_given_up_is_made_by_the_next() {
        let (slow, looks) = Slow::looks();
        let given_up = asked(&looks);
        slow.has_begun(1).await;
        let next = asked(&looks);
        given_up.abort();
        slow.has_begun(2).await;
        slow.may_end.add_permits(1);
        let seen = timeout(Duration::from_secs(10), next).await;
        assert_eq!(seen.unwrap().unwrap(), "look-2");
    }
}
