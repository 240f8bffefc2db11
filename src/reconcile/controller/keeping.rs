//! An engine whose containers' files and host ports are remembered.
//!
//! A host port that nobody asked for is chosen before its container is made: see `choosing`.
//!
//! What a container has of the files that can be changed in it is kept as soon as
//! it is there, step by step. If Cosmos dies in between, it is not known, and is
//! put there again: once more harms nothing.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{future::BoxFuture, stream::BoxStream};

use super::choosing;
use crate::{
    plan::Action,
    reconcile::engine::{Change, Done, Engine, EngineError, Progress},
    store::Store,
    workspace::{ContainerId, File, Observed},
};

/// The engine for the plans of one workspace.
pub(super) struct Keeping {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) store: Arc<Store>,
    /// The workspace's key.
    pub(super) key: String,
}

impl Keeping {
    /// The same action with the host ports chosen that it leaves open, if it leaves any.
    fn chosen(&self, action: &Action) -> Result<Option<Action>, EngineError> {
        let Action::Launch(launch) = action else {
            return Ok(None);
        };
        let chosen = choosing::chosen(&self.store, &self.key, launch);
        let chosen = chosen.map_err(|error| EngineError::Refused {
            status: 0,
            message: format!("the host port of `{}` cannot be kept: {error}", launch.name),
        })?;
        Ok(chosen.map(|launch| Action::Launch(Box::new(launch))))
    }

    fn keep(&self, action: &Action, done: &Done) -> Result<(), EngineError> {
        match (action, done) {
            (Action::Launch(launch), Done::Created(id)) => {
                self.remember(id, &launch.container.reloadable_digests())
            }
            (Action::Reload { id, files, .. }, _) => {
                let digest = |file: &File| (file.target.clone(), file.digest());
                self.remember(id, &files.iter().map(digest).collect())
            }
            _ => Ok(()),
        }
    }

    fn remember(
        &self,
        id: &ContainerId,
        digests: &BTreeMap<String, String>,
    ) -> Result<(), EngineError> {
        if digests.is_empty() {
            return Ok(());
        }
        let kept = self.store.remember_files(&self.key, id, digests);
        kept.map_err(|error| EngineError::Refused {
            status: 0,
            message: format!("its files are there, and that could not be kept: {error}"),
        })
    }
}

impl Engine for Keeping {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        self.engine.observe()
    }

    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        self.engine.glance()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        Box::pin(async move {
            let done = match self.chosen(action)? {
                Some(chosen) => self.engine.perform(&chosen, progress).await?,
                None => self.engine.perform(action, progress).await?,
            };
            self.keep(action, &done)?;
            Ok(done)
        })
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.engine.changes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{Bench, wish};
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::fake::Fault,
        workspace::Workspace,
    };

    fn with(content: &str) -> Workspace {
        shop().with("web", service("node:20").file(content, Some("SIGHUP")))
    }

    #[tokio::test]
    async fn what_was_put_into_a_container_is_not_put_there_again() {
        let bench = Bench::empty();
        bench.apply(&with("a")).await;
        assert_eq!(bench.apply(&with("a")).await.succeeded, 0);
        bench.apply(&with("b")).await;
        let calls = bench.engine.calls();
        assert_eq!(calls.last().unwrap(), "reload shop-web-1 (SIGHUP)");
        assert_eq!(bench.apply(&with("b")).await.succeeded, 0);
    }

    #[tokio::test]
    async fn what_was_put_there_by_one_who_died_of_it_is_put_there_again() {
        let bench = Bench::empty();
        bench.apply(&with("a")).await;
        let died = bench.engine.calls().len();
        bench.engine.fail(died, Fault::CrashAfter);
        assert!(bench.wish(wish(&with("b"))).await.is_err());
        bench.engine.recover();
        bench.apply(&with("b")).await;
        let id = bench.container("shop-web-1").id;
        assert_eq!(bench.engine.files_of(&id)["/etc/app.conf"], b"b");
        assert_eq!(
            bench.engine.calls()[died..],
            ["reload shop-web-1 (SIGHUP)"; 2]
        );
        assert_eq!(bench.apply(&with("b")).await.succeeded, 0);
    }

    #[tokio::test]
    async fn what_a_removed_container_had_is_forgotten() {
        let bench = Bench::empty();
        bench.apply(&with("a")).await;
        bench
            .apply(&shop().with("web", service("node:22").file("a", Some("SIGHUP"))))
            .await;
        let known = bench.store.memory("shop").unwrap().files;
        let there = bench.container("shop-web-1").id;
        assert_eq!(known.into_keys().collect::<Vec<_>>(), [there]);
    }
}
