//! Taking a workspace down, to its end: what was begun is finished by healing, also
//! by a server that was not there when it was ordered.

use std::{collections::BTreeMap, sync::Arc};

use super::Controller;
use crate::{
    plan::{Plan, Volumes, teardown},
    reconcile::event::Problem,
    store::{Leaving, StoreError},
    workspace::{Observed, Workspace},
};

impl Controller {
    /// Writes down that a workspace is to go.
    pub(super) fn intend_to_leave(&self, key: &str, volumes: Volumes) -> Result<(), Problem> {
        let leaving = Leaving {
            with_volumes: volumes == Volumes::Remove,
        };
        self.store
            .leave(key, leaving)
            .map_err(|error| Problem::from(&error))
    }

    /// What becomes of the volumes of a workspace that is to go; `None` if it stays.
    pub(super) fn leaving(&self, key: &str) -> Result<Option<Volumes>, Problem> {
        let leaving = self.store.leaving(key);
        let leaving = leaving.map_err(|error| Problem::from(&error))?;
        Ok(leaving.map(|leaving| match leaving.with_volumes {
            true => Volumes::Remove,
            false => Volumes::Keep,
        }))
    }

    /// What is left to do until a workspace is gone.
    pub(super) fn plan_to_leave(
        &self,
        workspace: &Workspace,
        observed: &Observed,
        volumes: Volumes,
    ) -> Result<Plan, StoreError> {
        let identity = &workspace.identity;
        let memory = self.store.memory(&identity.key())?;
        Ok(teardown(
            identity,
            Some(workspace),
            observed,
            &memory,
            volumes,
        ))
    }

    /// Forgets a workspace once a look finds that nothing is left to take down;
    /// whether that is so. What the engine lists may lag behind what it did: who
    /// forgets a container that was not listed leaves it to nobody.
    pub(super) async fn end_leaving(
        &self,
        workspace: &Workspace,
        volumes: Volumes,
    ) -> Result<bool, Problem> {
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let plan = self.plan_to_leave(workspace, &look.observed, volumes);
        let plan = plan.map_err(|error| Problem::from(&error))?;
        if !plan.steps.is_empty() {
            return Ok(false);
        }
        self.gone(workspace)
            .map_err(|error| Problem::from(&error))?;
        Ok(true)
    }

    /// Nothing of it is left: forgets it.
    fn gone(&self, workspace: &Workspace) -> Result<(), StoreError> {
        let key = workspace.identity.key();
        // The secrets first: as long as the store has the workspace, healing comes
        // back here, and nobody would look for secrets that belong to nothing.
        self.store.secrets().replace(&key, &BTreeMap::new())?;
        self.store.take_down(&workspace.identity)?;
        self.lock_desired().remove(&key);
        self.looked.send_if_modified(|shown| {
            let before = shown.workspaces.len();
            shown
                .workspaces
                .retain(|shown: &Arc<Workspace>| shown.identity.key() != key);
            shown.workspaces.len() != before
        });
        Ok(())
    }

    /// Refuses an order about a workspace that is to go.
    pub(super) fn refuse_leaving(&self, key: &str) -> Result<(), Problem> {
        match self.leaving(key)? {
            None => Ok(()),
            Some(_) => Err(Problem::new("leaving", is_leaving(key))
                .hinted("`cosmos up` keeps it, and brings back what is gone")),
        }
    }
}

/// How it reads that a workspace is to go.
pub(super) fn is_leaving(key: &str) -> String {
    format!("workspace `{key}` is being taken down")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::{
            controller::{
                Order,
                tests::{Bench, refused},
            },
            fake::Fault,
        },
    };

    fn desired() -> Workspace {
        shop()
            .with("db", service("postgres:16").volume("shop_db"))
            .with("web", service("node:20"))
    }

    /// A workspace whose `down` got no further than two calls.
    async fn half_down(volumes: Volumes) -> Bench {
        let bench = Bench::empty();
        bench.apply(&desired()).await;
        let calls = bench.engine.calls().len();
        bench.engine.fail(calls + 2, Fault::CrashBefore);
        bench.down(volumes).await.unwrap_err();
        bench.restarted()
    }

    #[tokio::test]
    async fn a_down_that_was_killed_half_way_is_finished_by_the_next_server() {
        let bench = half_down(Volumes::Keep).await;
        bench.controller.heal_all().await.unwrap();
        let observed = bench.engine.observed();
        assert!(observed.containers.is_empty());
        assert_eq!(observed.volumes.len(), 1);
        assert!(bench.store.all_declared().unwrap().is_empty());
        assert!(bench.controller.looked().borrow().workspaces.is_empty());
    }

    #[tokio::test]
    async fn what_was_asked_about_the_volumes_is_remembered_with_it() {
        let bench = half_down(Volumes::Remove).await;
        bench.controller.heal_all().await.unwrap();
        assert!(bench.engine.observed().volumes.is_empty());
    }

    #[tokio::test]
    async fn an_up_takes_back_a_down_that_was_not_finished() {
        let bench = half_down(Volumes::Remove).await;
        bench.apply(&desired()).await;
        bench.controller.heal_all().await.unwrap();
        assert!(bench.container("shop-web-1").is_running());
        assert_eq!(bench.engine.observed().volumes.len(), 1);
    }

    #[tokio::test]
    async fn nothing_is_ordered_of_what_is_to_go() {
        let bench = half_down(Volumes::Keep).await;
        let refused = bench.order("web", Order::Start).await.unwrap_err();
        assert_eq!(refused.code, "leaving");
    }

    #[tokio::test]
    async fn what_the_engine_did_not_list_yet_is_not_left_behind() {
        let bench = Bench::empty();
        bench.apply(&desired()).await;
        // The last container is not in the list on which the plan is made.
        bench.engine.lag(1);
        bench.down(Volumes::Keep).await.unwrap();
        bench.controller.heal_all().await.unwrap();
        assert!(bench.engine.observed().containers.is_empty());
        assert!(bench.store.all_declared().unwrap().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_step_of_a_down_that_failed_is_tried_again_by_healing() {
        let bench = Bench::empty();
        bench.apply(&desired()).await;
        let calls = bench.engine.calls().len();
        bench.engine.fail(calls + 1, Fault::Before(refused()));
        assert!(bench.down(Volumes::Keep).await.unwrap().failed > 0);
        bench.controller.heal_all().await.unwrap();
        assert!(bench.engine.observed().containers.is_empty());
        assert_eq!(bench.store.leaving("shop").unwrap(), None);
    }
}
