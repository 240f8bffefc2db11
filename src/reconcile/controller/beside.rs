//! Healing beside somebody's work: whoever has a workspace's turn may wait for
//! minutes, for a service that is never ready or an engine that hangs over one
//! call. What they do not work on is mended meanwhile.

use std::{
    collections::BTreeMap,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::FutureExt as _;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{Controller, heal::RESYNC};
use crate::{
    plan::{Action, Plan, Step, StepId, Subject},
    reconcile::event::Event,
    workspace::{ServiceName, Workspace},
};

/// Most work is over before this, and a look at what else there may be to do is a plan.
const PACE: Duration = Duration::from_millis(250);

/// What whoever has the turn is working on.
///
/// A subject is theirs until every step of theirs about it went well: what failed is
/// told to a person, and rolled back, before anybody tries again.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Whom each step is about, and whether it is a call and no wait.
    steps: BTreeMap<StepId, (Subject, bool)>,
    state: Mutex<Claimed>,
}

/// What is claimed at one moment, and not to be touched by anybody else.
#[derive(Debug, Default, Clone)]
pub(super) struct Claimed {
    /// How many of their steps are still to succeed.
    open: BTreeMap<Subject, usize>,
    /// The calls that are under way.
    calls: BTreeMap<StepId, Subject>,
}

impl Claims {
    /// All that a plan is about.
    pub(super) fn of_plan(plan: &Plan) -> Self {
        let is_call = |step: &Step| !matches!(step.action, Action::Await { .. });
        let of = |step: &Step| (step.id, (step.subject.clone(), is_call(step)));
        let steps: BTreeMap<_, _> = plan.steps.iter().map(of).collect();
        let mut claimed = Claimed::default();
        for (subject, _) in steps.values() {
            *claimed.open.entry(subject.clone()).or_default() += 1;
        }
        Self {
            steps,
            state: Mutex::new(claimed),
        }
    }

    /// These services, which are only waited for, until each is let go.
    pub(super) fn of_services<'a>(services: impl IntoIterator<Item = &'a ServiceName>) -> Self {
        let subjects = services.into_iter().cloned().map(Subject::Service);
        let claimed = Claimed {
            open: subjects.map(|subject| (subject, 1)).collect(),
            calls: BTreeMap::new(),
        };
        Self {
            steps: BTreeMap::new(),
            state: Mutex::new(claimed),
        }
    }

    /// Lets go of what a step was the last one of.
    pub(super) fn note(&self, event: &Event) {
        let (id, is_begun) = match event {
            Event::StepStarted { step } => (step, true),
            Event::StepSucceeded { step, .. }
            | Event::StepFailed { step, .. }
            | Event::StepSkipped { step, .. } => (step, false),
            _ => return,
        };
        let Some((subject, is_call)) = self.steps.get(id) else {
            return;
        };
        let mut claimed = self.claimed();
        match is_begun {
            true if !is_call => None,
            true => claimed.calls.insert(*id, subject.clone()),
            false => claimed.calls.remove(id),
        };
        if matches!(event, Event::StepSucceeded { .. }) {
            claimed.settle(subject);
        }
    }

    /// This one is done with.
    pub(super) fn let_go(&self, service: &ServiceName) {
        self.claimed().settle(&Subject::Service(service.clone()));
    }

    /// What is claimed now.
    pub(super) fn now(&self) -> Claimed {
        self.claimed().clone()
    }

    /// Whether the work was about this at any time.
    pub(super) fn was(&self, subject: &Subject) -> bool {
        self.steps.values().any(|(one, _)| one == subject)
    }

    fn claimed(&self) -> MutexGuard<'_, Claimed> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claimed {
    /// Whether somebody else may carry out this step meanwhile: of what is only waited
    /// for, what brings a running container back to where it was.
    pub(super) fn leaves(&self, step: &Step) -> bool {
        let is_mild = matches!(
            step.action,
            Action::ConnectNetwork { .. } | Action::Update { .. }
        );
        let mut called = self.calls.values();
        !self.open.contains_key(&step.subject)
            || is_mild && called.all(|subject| *subject != step.subject)
    }

    fn settle(&mut self, subject: &Subject) {
        if let Some(left) = self.open.get_mut(subject) {
            *left -= 1;
            if *left == 0 {
                self.open.remove(subject);
            }
        }
    }
}

impl Controller {
    /// Does `work`, which has the turn of this workspace, and heals meanwhile what it
    /// does not claim.
    pub(super) async fn healing_beside<T>(
        &self,
        desired: &Workspace,
        claims: &Claims,
        work: impl Future<Output = T>,
    ) -> T {
        let over = Notify::new();
        let work = async {
            let output = work.await;
            over.notify_one();
            output
        };
        // Boxed: most work is over before it is looked at, and is carried about much smaller so.
        let beside = Box::pin(self.heal_until(desired, claims, over.notified()));
        tokio::join!(work, beside).0
    }

    /// Heals what is not claimed, until `over`.
    async fn heal_until(&self, desired: &Workspace, claims: &Claims, over: impl Future + Send) {
        let key = desired.identity.key();
        let mut over = pin!(over.map(drop).shared());
        let mut looked = self.looked.subscribe();
        let mut next_try = Instant::now() + RESYNC;
        loop {
            let pace = Instant::now() + PACE;
            // Every arm is cancel-safe: all of it is looked at again anyway.
            tokio::select! {
                biased;
                () = &mut over => return,
                () = async { sleep_until(pace).await; tokio::select! {
                    _ = looked.changed() => {}
                    () = sleep_until(next_try) => {}
                }} => {}
            }
            looked.mark_unchanged();
            next_try = match self.heal_unclaimed(&key, claims, over.clone()).await {
                Ok(next_try) => next_try.unwrap_or_else(|| Instant::now() + RESYNC),
                Err(problem) => {
                    tracing::warn!(
                        workspace = key,
                        code = problem.code,
                        problem = problem.message,
                        "healing beside an order failed"
                    );
                    Instant::now() + RESYNC
                }
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::{task::JoinHandle, time::sleep};

    use super::*;
    use crate::{
        plan::test_workspace::{name, service, shop},
        reconcile::{
            controller::tests::{Bench, outcome, wish},
            event::Outcome,
        },
        workspace::{AfterCondition, ContainerState, HealthProbe, NetworkName, Service},
    };

    /// Far less than the patience of a probe.
    const SOON: Duration = Duration::from_secs(2);

    /// A service that is waited for, for long.
    fn patient() -> Service {
        let mut service = service("postgres:16").probed();
        if let Some(health) = &mut service.health {
            health.probe = HealthProbe::Log {
                contains: "what it never says".to_owned(),
            };
            health.retries = 1_000;
        }
        service
    }

    /// `api` waits for `db`, which is never ready; `cache` has nothing to do with it.
    async fn waited_for() -> (Bench, JoinHandle<Outcome>) {
        let bench = Bench::empty();
        let desired = shop()
            .with("cache", service("redis:7"))
            .with("db", patient())
            .with("api", service("node:20").after("db", AfterCondition::Ready));
        tokio::spawn(Arc::clone(&bench.controller).run());
        let applied = applied(&bench, &desired);
        sleep(SOON).await;
        assert!(!applied.is_finished());
        (bench, applied)
    }

    fn applied(bench: &Bench, desired: &Workspace) -> JoinHandle<Outcome> {
        let (controller, wish) = (Arc::clone(&bench.controller), wish(desired));
        tokio::spawn(async move {
            let (sender, events) = tokio::sync::mpsc::unbounded_channel();
            controller.apply(wish, &sender).await.unwrap();
            drop(sender);
            outcome(events).await
        })
    }

    /// Somebody removes a container with the engine's own words.
    fn remove(bench: &Bench, container: &str) {
        let container = name(container);
        bench
            .engine
            .edit(|observed| observed.containers.retain(|one| one.name != container));
        bench.engine.hint();
    }

    /// A container's process ends of itself.
    fn end(bench: &Bench, container: &str) {
        let container = name(container);
        bench.engine.edit(|observed| {
            let mut containers = observed.containers.iter_mut();
            let ended = containers.find(|one| one.name == container).unwrap();
            ended.state = ContainerState::Exited {
                code: 1,
                at: std::time::SystemTime::now(),
                out_of_memory: false,
            };
        });
        bench.engine.hint();
    }

    fn is_running(bench: &Bench, container: &str) -> bool {
        let observed = bench.engine.observed();
        observed
            .container(&name(container))
            .is_some_and(|one| one.is_running())
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_up_is_done_with_is_mended_while_it_waits_for_another() {
        let (bench, applied) = waited_for().await;
        remove(&bench, "shop-cache-1");
        sleep(SOON).await;
        assert!(is_running(&bench, "shop-cache-1"));
        assert!(!applied.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_waited_for_gets_back_the_network_that_it_was_cut_off() {
        let (bench, applied) = waited_for().await;
        let network: NetworkName = "cosmos-net".parse().unwrap();
        bench.engine.edit(|observed| {
            let mut containers = observed.containers.iter_mut();
            let cut_off = name("shop-db-1");
            let db = containers.find(|one| one.name == cut_off).unwrap();
            db.networks.remove(&network);
        });
        bench.engine.hint();
        sleep(SOON).await;
        let db = bench.container("shop-db-1");
        assert!(db.networks.contains_key(&network));
        assert!(!applied.is_finished());
    }

    #[tokio::test(start_paused = true)]
    async fn what_ends_of_itself_after_an_up_made_it_is_told_and_not_hidden_by_a_restart() {
        let (bench, _applied) = waited_for().await;
        end(&bench, "shop-cache-1");
        sleep(SOON).await;
        assert!(!is_running(&bench, "shop-cache-1"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_an_up_has_still_to_make_is_left_to_it() {
        let (bench, _applied) = waited_for().await;
        for _ in 0..100 {
            bench.engine.hint();
            sleep(PACE).await;
        }
        // An attempt would be an entry of its own.
        let history = bench.controller.history("shop", None).unwrap();
        assert_eq!(history.entries.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_works_on_is_mended_while_an_up_waits_for_the_last_one() {
        let bench = Bench::empty();
        let web = service("node:20");
        let desired = shop().with("web", web.clone());
        bench.apply(&desired).await;
        tokio::spawn(Arc::clone(&bench.controller).run());
        let edited = desired.with("db", patient());
        let applied = applied(&bench, &edited);
        sleep(SOON).await;
        remove(&bench, "shop-web-1");
        sleep(SOON).await;
        assert!(is_running(&bench, "shop-web-1"));
        end(&bench, "shop-web-1");
        sleep(SOON).await;
        assert!(is_running(&bench, "shop-web-1"));
        assert!(!applied.is_finished());
    }

    #[test]
    fn a_subject_is_let_go_with_its_last_step_that_went_well() {
        let desired = shop().with("web", service("node:20").replicas(2));
        let plan = crate::plan::test_workspace::Lab::empty().plan(&desired);
        let claims = Claims::of_plan(&plan);
        let web = Subject::Service("web".parse().unwrap());
        let steps: Vec<_> = plan.steps.iter().filter(|it| it.subject == web).collect();
        for step in &steps {
            assert!(claims.now().open.contains_key(&web));
            claims.note(&Event::StepSucceeded {
                step: step.id,
                millis: 1,
            });
        }
        assert!(steps.len() > 1 && !claims.now().open.contains_key(&web));
    }
}
