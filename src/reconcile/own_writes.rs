//! An engine whose looks show what was done through it.
//!
//! What an engine lists may lag behind what it did a moment ago. A plan made from
//! such a list renames, stops and removes by names that have another holder by now,
//! and makes again what is there. So a look that contradicts a write of ours is
//! taken again, until it does not or the write is old enough: then somebody else
//! changed it since.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture, stream::BoxStream};
use tokio::time::{Instant, sleep};

use super::engine::{Change, Done, Engine, EngineError, Progress};
use crate::{
    plan::Action,
    workspace::{ContainerId, ContainerName, Observed},
};

/// How long a list may lag behind. Longer, and what somebody does by hand right
/// after us would be seen late.
const SHOWN_IN: Duration = Duration::from_millis(500);

/// Between two looks: what lags does so for a few milliseconds.
const AGAIN: Duration = Duration::from_millis(20);

/// The engine, read through what was written.
pub(super) struct OwnWrites {
    engine: Arc<dyn Engine>,
    written: Mutex<HashMap<ContainerName, Written>>,
}

/// What was written about a name.
struct Written {
    holder: Holder,
    at: Instant,
}

/// Who has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Holder {
    Nobody,
    /// Whoever had the name that it was renamed from.
    Somebody,
    This(ContainerId),
}

impl OwnWrites {
    pub(super) fn new(engine: Arc<dyn Engine>) -> Self {
        Self {
            engine,
            written: Mutex::default(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContainerName, Written>> {
        // Nothing panics while it is held; if something did, the map is whole.
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a look does not show something that was written just before it began.
    /// What was written since is not expected of it: where many write at once, no
    /// look would ever do.
    fn is_contradicted(&self, observed: &Observed, began: Instant) -> bool {
        let mut written = self.lock();
        written.retain(|_, it| it.at + SHOWN_IN > began);
        let mut before = written.iter().filter(|(_, it)| it.at <= began);
        before.any(|(name, it)| {
            let shown = observed.container(name).map(|one| &one.id);
            match &it.holder {
                Holder::Nobody => shown.is_some(),
                Holder::Somebody => shown.is_none(),
                Holder::This(id) => shown != Some(id),
            }
        })
    }

    fn note(&self, action: &Action, done: Option<&Done>) {
        let mut written = self.lock();
        let mut write = |name: &ContainerName, holder| {
            let at = Instant::now();
            written.insert(name.clone(), Written { holder, at })
        };
        match (action, done) {
            // The engine removes it by itself, whenever it ends.
            (Action::Launch(launch) | Action::Create(launch), _) if launch.remove_when_done => {
                written.remove(&launch.name);
            }
            (Action::Launch(launch) | Action::Create(launch), Some(Done::Created(id))) => {
                write(&launch.name, Holder::This(id.clone()));
            }
            (Action::Remove { container }, Some(_)) => {
                write(container, Holder::Nobody);
            }
            (Action::Rename { from, to }, Some(_)) => {
                let before = write(from, Holder::Nobody);
                let holder = before.map_or(Holder::Somebody, |it| it.holder);
                write(to, holder);
            }
            // Nobody knows what came of it.
            (Action::Launch(launch) | Action::Create(launch), _) => {
                written.remove(&launch.name);
            }
            (Action::Remove { container }, None) => {
                written.remove(container);
            }
            (Action::Rename { from, to }, None) => {
                written.remove(from);
                written.remove(to);
            }
            _ => {}
        }
    }
}

impl Engine for OwnWrites {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        async move {
            loop {
                let began = Instant::now();
                let observed = self.engine.observe().await?;
                if !self.is_contradicted(&observed, began) {
                    return Ok(observed);
                }
                sleep(AGAIN).await;
            }
        }
        .boxed()
    }

    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        async move {
            let began = Instant::now();
            let seen = self.engine.glance().await?;
            Ok(seen.filter(|observed| !self.is_contradicted(observed, began)))
        }
        .boxed()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        async move {
            let done = self.engine.perform(action, progress).await;
            self.note(action, done.as_ref().ok());
            done
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.engine.changes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{plan::test_workspace::name, reconcile::fake::FakeEngine};

    fn remove(text: &str) -> Action {
        Action::Remove {
            container: name(text),
        }
    }

    /// An engine with `web`, seen through its own writes.
    fn with_web() -> (Arc<FakeEngine>, OwnWrites) {
        let mut observed = crate::reconcile::convergence::strangers();
        observed.containers.truncate(1);
        observed.containers[0].name = name("web");
        let engine = Arc::new(FakeEngine::new(observed));
        (engine.clone(), OwnWrites::new(engine))
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_from_before_a_write_is_not_believed() {
        let (engine, seen) = with_web();
        seen.perform(&remove("web"), &|_| ()).await.unwrap();
        engine.lag(1);
        assert!(seen.observe().await.unwrap().containers.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_written_while_one_looked_is_not_asked_of_the_look() {
        let (engine, seen) = with_web();
        let before = engine.observed();
        let began = Instant::now();
        sleep(AGAIN).await;
        seen.perform(&remove("web"), &|_| ()).await.unwrap();
        assert!(!seen.is_contradicted(&before, began));
        assert!(seen.is_contradicted(&before, Instant::now()));
    }

    #[tokio::test(start_paused = true)]
    async fn what_somebody_else_did_since_is_believed_soon() {
        let (engine, seen) = with_web();
        let before = engine.observed();
        seen.perform(&remove("web"), &|_| ()).await.unwrap();
        engine.edit(|observed| *observed = before);
        let began = Instant::now();
        assert_eq!(seen.observe().await.unwrap().containers.len(), 1);
        assert_eq!(began.elapsed(), SHOWN_IN);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_of_what_is_shown_for_long() {
        let (_, seen) = with_web();
        seen.perform(&remove("web"), &|_| ()).await.unwrap();
        sleep(SHOWN_IN).await;
        seen.observe().await.unwrap();
        assert!(seen.lock().is_empty());
    }
}
