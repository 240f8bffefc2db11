//! Holds that end by themselves: `cosmos stop web --for 2h`.
//!
//! When one ends is stored by the clock on the wall, which a reboot keeps. While
//! the server lives it is counted by the clock that never jumps: what is set in
//! between moves no end.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{MutexGuard, PoisonError},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::{Controller, Workspace, apply::other_folder, orders::containers};
use crate::{
    reconcile::{event::Problem, history::Cause},
    store::{StoreError, now_millis},
    workspace::{Asked, Aspect, Hold, Override, Overrides, RestartPolicy, ServiceName},
};

/// When a hold that is over is looked at again whose workspace somebody is working on.
const TAKEN_AGAIN: Duration = Duration::from_millis(100);

/// An order in force about a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Held {
    /// Which.
    pub service: String,
    /// The order.
    #[serde(flatten)]
    pub order: Override,
}

/// The end of one hold.
#[derive(Debug, Clone, PartialEq, Eq)]
struct End {
    service: ServiceName,
    aspect: Aspect,
    /// As it is stored: by this an order is told from a later one.
    until: u64,
    at: Instant,
}

/// The ends of all holds that have one, by workspace.
#[derive(Debug, Default)]
pub(super) struct Ends(HashMap<String, Vec<End>>);

impl Ends {
    /// Knows the ends of these overrides, and no others of this workspace.
    fn keep(&mut self, key: &str, overrides: &Overrides) {
        let known = self.0.remove(key).unwrap_or_default();
        let (now, wall) = (Instant::now(), now_millis());
        let ends = overrides.0.iter().filter_map(|(service, order)| {
            let (until, aspect) = (order.until?, order.hold.aspect());
            let is_same =
                |end: &&End| (&end.service, end.aspect, end.until) == (service, aspect, until);
            let left = Duration::from_millis(until.saturating_sub(wall));
            let at = match known.iter().find(is_same) {
                Some(end) => end.at,
                // Beyond what the clock can hold: not in this life.
                None => now.checked_add(left)?,
            };
            Some(End {
                service: service.clone(),
                aspect,
                until,
                at,
            })
        });
        let ends: Vec<_> = ends.collect();
        if !ends.is_empty() {
            self.0.insert(key.to_owned(), ends);
        }
    }

    /// When the next of them ends that has not ended before.
    fn next(&self, after: Instant) -> Option<Instant> {
        let ends = self.0.values().flatten().map(|end| end.at);
        ends.filter(|at| *at > after).min()
    }

    /// The workspaces of which one has ended.
    fn due(&self, now: Instant) -> Vec<String> {
        let is_due = |ends: &&Vec<End>| ends.iter().any(|end| end.at <= now);
        let due = self.0.iter().filter(|(_, ends)| is_due(ends));
        due.map(|(key, _)| key.clone()).collect()
    }
}

impl Controller {
    /// Ends the holds whose time is over; when the next one ends.
    pub(super) async fn end_holds(&self) -> Result<Option<Instant>, Problem> {
        let now = Instant::now();
        let due = self.lock_ends().due(now);
        let mut is_taken = false;
        for key in due {
            let turn = self.turn(&key);
            let Some(_turn) = turn.take_to_heal() else {
                // Whoever heals it wakes nobody when done.
                is_taken = true;
                continue;
            };
            let released = self
                .release_ended(&key, now)
                .map_err(|error| Problem::from(&error))?;
            let Some(desired) = self.desired_of(&key) else {
                continue;
            };
            self.follow_again(&desired, released).await;
            // Whoever heals that workspace sleeps until something changes.
            self.world.send_modify(|version| *version += 1);
        }
        let next = self.lock_ends().next(now);
        let again = is_taken.then(|| now + TAKEN_AGAIN);
        Ok(next.into_iter().chain(again).min())
    }

    /// Forgets the holds of a workspace whose time is over; whose they were.
    fn release_ended(&self, key: &str, now: Instant) -> Result<Vec<ServiceName>, StoreError> {
        let Some(declared) = self.store.declared(key)? else {
            // It was taken down meanwhile, and its holds with it.
            self.lock_ends().0.remove(key);
            return Ok(Vec::new());
        };
        let ended: Vec<End> = {
            let ends = self.lock_ends();
            let ends = ends.0.get(key).into_iter().flatten();
            ends.filter(|end| end.at <= now).cloned().collect()
        };
        let overrides = self.store.overrides(key)?;
        let mut released = Vec::new();
        for end in ended {
            let order = overrides.about(end.service.as_str(), end.aspect);
            // Another order may have come in its place.
            let Some(order) = order.filter(|order| order.until == Some(end.until)) else {
                continue;
            };
            self.store.release(key, &end.service, end.aspect)?;
            let (service, by) = (end.service.clone(), order.by.clone());
            self.remember(key, Cause::HoldEnded { service, by });
            tracing::info!(
                workspace = key,
                service = end.service.as_str(),
                order = order.by,
                "the time of a hold is over: the service follows the config again"
            );
            released.push(end.service);
        }
        self.desire(&declared.workspace)?;
        Ok(released)
    }

    /// Starts what was held: also what its policy would leave ended, which healing does.
    async fn follow_again(&self, desired: &Workspace, released: Vec<ServiceName>) {
        for service in &released {
            self.forget_crashes(&containers(desired, service));
        }
        let ends_by_itself = |name: &ServiceName| {
            let service = desired.services.get(name);
            service.is_some_and(|service| service.restart != RestartPolicy::Always)
        };
        let started: BTreeSet<_> = released.into_iter().filter(ends_by_itself).collect();
        if started.is_empty() {
            return;
        }
        let asked = Asked {
            started,
            ..Asked::default()
        };
        if let Err(problem) = self.obey(desired, None, asked, Cause::Healing).await {
            tracing::warn!(
                workspace = desired.identity.key(),
                problem = problem.message,
                "the time of a hold is over, and not all could be started"
            );
        }
    }

    /// The orders about services of a workspace that are honoured.
    pub(super) fn holds_on(&self, desired: &Workspace) -> Result<Vec<Held>, StoreError> {
        let overrides = self.store.overrides(&desired.identity.key())?;
        let held = overrides.0.into_iter().filter_map(|(service, order)| {
            let declared = desired.services.get(&service)?;
            // What cannot be is honoured again when it can.
            let is_honoured = match order.hold {
                Hold::Replicas(count) => declared.replicas == count,
                Hold::Stopped | Hold::Started => true,
            };
            let service = service.to_string();
            is_honoured.then_some(Held { service, order })
        });
        Ok(held.collect())
    }

    /// Refuses an order from another folder than a workspace is up from.
    ///
    /// # Errors
    /// If it is up from another one.
    pub fn check_folder(&self, key: &str, folder: &str) -> Result<(), Problem> {
        match self.desired_of(key) {
            Some(up) if up.identity.folder != folder => {
                Err(other_folder(key, &up.identity.folder, folder))
            }
            _ => Ok(()),
        }
    }

    /// Knows when the holds of a workspace end.
    pub(super) fn keep_ends(&self, key: &str, overrides: &Overrides) {
        self.lock_ends().keep(key, overrides);
    }

    fn lock_ends(&self) -> MutexGuard<'_, Ends> {
        // Nothing panics while it is held; if something did, the map is whole.
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::{
            controller::{Order, tests::Bench},
            fake::Fault,
        },
        workspace::{Hold, ObservedContainer, Override, RestartPolicy},
    };

    const HOUR: Duration = Duration::from_secs(3600);

    async fn held_for_an_hour(bench: &Bench) {
        bench.apply(&shop().with("web", service("node:20"))).await;
        bench.order("web", Order::StopFor(HOUR)).await.unwrap();
    }

    async fn advance(by: Duration) {
        tokio::time::advance(by).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_for_an_hour_is_one_until_the_hour_is_over() {
        let bench = Bench::empty();
        held_for_an_hour(&bench).await;
        advance(HOUR - Duration::from_millis(1)).await;
        bench.controller.heal_all().await.unwrap();
        assert!(!bench.container("shop-web-1").is_running());
        advance(Duration::from_millis(1)).await;
        bench.controller.heal_all().await.unwrap();
        assert!(bench.store.overrides("shop").unwrap().0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn healing_wakes_up_when_a_hold_ends() {
        let bench = Bench::empty();
        held_for_an_hour(&bench).await;
        let next = bench.controller.heal_all().await.unwrap().unwrap();
        let left = next.duration_since(Instant::now());
        assert!(
            left <= HOUR && left > HOUR - Duration::from_secs(60),
            "{left:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_that_ends_while_its_workspace_is_healed_is_ended_soon() {
        let bench = Bench::empty();
        held_for_an_hour(&bench).await;
        advance(HOUR).await;
        let turn = bench.controller.turn("shop");
        let taken = turn.take_to_heal().unwrap();
        let again = bench.controller.end_holds().await.unwrap().unwrap();
        assert!(again <= Instant::now() + Duration::from_secs(1));
        drop(taken);
        bench.controller.end_holds().await.unwrap();
        assert!(bench.store.overrides("shop").unwrap().0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_held_runs_again_as_soon_as_its_hold_ends() {
        let bench = Bench::empty();
        held_for_an_hour(&bench).await;
        let healing = tokio::spawn(Arc::clone(&bench.controller).run());
        let mut looked = bench.controller.looked();
        advance(HOUR - Duration::from_secs(1)).await;
        let began = Instant::now();
        looked
            .wait_for(|look| {
                let web = look.observed.container(&"shop-web-1".parse().unwrap());
                web.is_some_and(ObservedContainer::is_running)
            })
            .await
            .unwrap();
        assert!(began.elapsed() < Duration::from_secs(2), "{began:?}");
        healing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_that_ended_while_nobody_lived_is_over_at_once() {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        bench.order("web", Order::Stop).await.unwrap();
        let ended = Override {
            until: Some(now_millis() - 1),
            ..bench.store.overrides("shop").unwrap().0[0].1.clone()
        };
        let web = "web".parse().unwrap();
        bench.store.set_override("shop", &web, &ended).unwrap();
        let bench = bench.restarted();
        bench.controller.heal_all().await.unwrap();
        assert!(bench.store.overrides("shop").unwrap().0.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_stop_does_not_end_when_the_first_would_have() {
        let bench = Bench::empty();
        held_for_an_hour(&bench).await;
        bench.order("web", Order::Stop).await.unwrap();
        advance(HOUR + HOUR).await;
        bench.controller.heal_all().await.unwrap();
        let held = bench.store.overrides("shop").unwrap();
        assert_eq!(
            held.hold(&"web".parse().unwrap(), Aspect::Run),
            Some(Hold::Stopped)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_moves_no_end() {
        let mut ends = Ends::default();
        let order = |until| Override {
            hold: Hold::Stopped,
            by: "cosmos stop web --for 1h".to_owned(),
            who: None,
            at: 0,
            until: Some(until),
            why: None,
        };
        let until = now_millis() + 3_600_000;
        let held = Overrides(vec![("web".parse().unwrap(), order(until))]);
        ends.keep("shop", &held);
        let end = ends.next(Instant::now());
        // As if half an hour had passed on the wall and none by the other clock.
        tokio::time::advance(HOUR / 2).await;
        ends.keep("shop", &held);
        assert_eq!(ends.next(Instant::now()), end);
    }

    #[tokio::test(start_paused = true)]
    async fn what_its_policy_would_leave_ended_is_started_when_its_hold_ends() {
        let bench = Bench::empty();
        let mut once = service("node:20");
        once.restart = RestartPolicy::Never;
        bench.apply(&shop().with("web", once)).await;
        bench.order("web", Order::StopFor(HOUR)).await.unwrap();
        advance(HOUR).await;
        bench.controller.heal_all().await.unwrap();
        assert!(bench.container("shop-web-1").is_running());
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_ends_though_the_engine_fails() {
        let bench = Bench::empty();
        held_for_an_hour(&bench).await;
        bench
            .engine
            .fail(bench.engine.calls().len(), Fault::CrashBefore);
        advance(HOUR).await;
        let _ = bench.controller.heal_all().await;
        assert!(bench.store.overrides("shop").unwrap().0.is_empty());
    }
}
