//! Carrying out a plan: recorded before its first effect, and gone back on where
//! a service's new form does not come up.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Instant,
};

use super::{Controller, Events, Look, beside::Claims, count, keeping::Keeping, tell, waiting};
use crate::{
    plan::{Action, Plan, Subject, plan},
    reconcile::{
        event::{Event, Outcome, Problem},
        execute::{Executed, Executor, WIDTH},
        history::{Cause, Doing},
    },
    store::{EntryState, Store, StoreError, now_millis},
    workspace::{
        Fallback, Fingerprint, Image, ImageRef, Kind, Observed, ObservedContainer, PullPolicy,
        Service, ServiceName, Workspace,
    },
};

/// Services that did not come up, and why.
type Failures = BTreeMap<ServiceName, Problem>;

/// What came of a plan.
#[derive(Default)]
struct Carried {
    executed: Executed,
    failures: Failures,
    /// A look after it, if there was anything to do.
    after: Option<Look>,
}

impl Controller {
    /// Executes a plan for a workspace, keeps what must be remembered of it, and
    /// rolls back what it could not replace.
    pub(super) async fn carry_out(
        &self,
        desired: &Workspace,
        plan: Plan,
        cause: Cause,
        events: &Events,
    ) -> Result<Outcome, Problem> {
        self.carry_out_until(desired, plan, cause, events, std::future::pending())
            .await
    }

    /// The same, until `cancel` is done: what is under way is finished then, and
    /// nothing else is begun.
    pub(super) async fn carry_out_until(
        &self,
        desired: &Workspace,
        plan: Plan,
        cause: Cause,
        events: &Events,
        cancel: impl Future<Output = ()> + Send,
    ) -> Result<Outcome, Problem> {
        let claims = Claims::of_plan(&plan);
        let work = self.execute(desired, &plan, cause, events, &claims, cancel);
        let carried = self.healing_beside(desired, &claims, work).await?;
        if let Some(after) = &carried.after {
            self.forget_applied(desired, &after.observed)
                .map_err(|error| Problem::from(&error))?;
        }
        let executed = carried.executed;
        let mut outcome = executed.outcome(0, 0);
        outcome.failed += count(&plan.blocked);
        if !executed.cancelled {
            self.roll_back(desired, carried.failures, events).await?;
        }
        Ok(outcome)
    }

    /// The same for what is healed beside somebody's work, until that is over: what it
    /// is about to make keeps its form.
    pub(super) async fn carry_out_beside(
        &self,
        desired: &Workspace,
        plan: Plan,
        events: &Events,
        over: impl Future<Output = ()> + Send,
    ) -> Result<(), Problem> {
        let claims = Claims::of_plan(&plan);
        let work = self.execute(desired, &plan, Cause::Healing, events, &claims, over);
        let carried = work.await?;
        match carried.executed.cancelled {
            true => Ok(()),
            false => self.roll_back(desired, carried.failures, events).await,
        }
    }

    /// Executes a plan, and keeps what must be remembered of it.
    async fn execute(
        &self,
        desired: &Workspace,
        plan: &Plan,
        cause: Cause,
        events: &Events,
        claims: &Claims,
        cancel: impl Future<Output = ()> + Send,
    ) -> Result<Carried, Problem> {
        let key = desired.identity.key();
        for blocked in &plan.blocked {
            tell(
                events,
                Event::Blocked {
                    subject: blocked.subject.clone(),
                    problem: Problem::from(blocked),
                },
            );
        }
        if plan.steps.is_empty() {
            return Ok(Carried::default());
        }
        self.remember_launches(&key, plan)?;
        tell(
            events,
            Event::PlanMade {
                steps: plan.summaries(),
            },
        );
        let record = Record::begin(&self.store, &key, Doing::of(cause, plan));
        let failures = Mutex::new(Failures::new());
        let lost = AtomicU32::new(0);
        let tell_each = |event: Event| {
            let event = match event {
                // No failure: it is planned anew, with another port.
                Event::StepFailed { step, problem } if problem.code == Problem::PORT_LOST => {
                    lost.fetch_add(1, Ordering::Relaxed);
                    let because = step;
                    Event::StepSkipped { step, because }
                }
                other => other,
            };
            record.note(&event);
            claims.note(&event);
            if let Some((service, problem)) = failure(plan, &event) {
                let mut failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
                failures.entry(service).or_insert(problem);
            }
            tell(events, event);
        };
        let waiter = waiting::ForDependants {
            controller: self,
            desired,
        };
        let engine = Keeping {
            engine: Arc::clone(&self.engine),
            store: Arc::clone(&self.store),
            key: key.clone(),
        };
        let executor = Executor {
            engine: &engine,
            waiter: &waiter,
            events: &tell_each,
            width: WIDTH,
        };
        let mut executed = executor.execute(plan, cancel).await;
        let lost = lost.load(Ordering::Relaxed);
        executed.failed -= lost;
        executed.skipped += lost;
        record.end(executed);
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        self.remember_ports(desired, &look.observed)
            .map_err(|error| Problem::from(&error))?;
        let failures = failures.into_inner();
        Ok(Carried {
            executed,
            failures: failures.unwrap_or_else(PoisonError::into_inner),
            after: Some(look),
        })
    }

    /// Keeps what each container is made from, before it is.
    fn remember_launches(&self, key: &str, plan: &Plan) -> Result<(), Problem> {
        let launches = plan.steps.iter().filter_map(|step| match &step.action {
            Action::Launch(launch) => Some((&launch.owner.spec, &launch.container)),
            _ => None,
        });
        let launches: Vec<_> = launches.collect();
        if launches.is_empty() {
            return Ok(());
        }
        self.store
            .remember_applied(key, &launches)
            .map_err(|error| Problem::from(&error))
    }

    /// Forgets what containers were made from that are not there any more.
    fn forget_applied(&self, desired: &Workspace, observed: &Observed) -> Result<(), StoreError> {
        let key = desired.identity.key();
        let there = observed.owned_by(&key).map(|(_, owner)| owner.spec.clone());
        let services = desired.services.values().map(Fingerprint::of_service);
        let commands = desired.commands.values();
        let commands = commands.map(|command| Fingerprint::of_run(command, None));
        let in_use = there.chain(services).chain(commands).collect();
        self.store.retain_applied(&key, &in_use)
    }

    /// Goes back to the form that was there before, of every service that did not
    /// come up in its new one and of which the old container is still there.
    async fn roll_back(
        &self,
        desired: &Workspace,
        failures: Failures,
        events: &Events,
    ) -> Result<(), Problem> {
        let key = desired.identity.key();
        if failures.is_empty() {
            return Ok(());
        }
        let in_force = self
            .store
            .fallbacks(&key)
            .map_err(|error| Problem::from(&error))?;
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let mut fallbacks = Vec::new();
        for (name, problem) in failures {
            let Some(service) = desired.services.get(&name) else {
                continue;
            };
            // A form that was put back and does not come up either is left to healing:
            // going to and fro helps nobody.
            let is_put_back = in_force.of(&name, service).is_some();
            if !is_put_back
                && let Some(kept) = self.kept_form(desired, &name, service, &look.observed)?
            {
                let fallback = Fallback {
                    failed: Fingerprint::of_service(service),
                    kept,
                    because: problem.message,
                    at: now_millis(),
                };
                fallbacks.push((name, fallback));
            }
        }
        for (name, fallback) in fallbacks {
            self.store
                .set_fallback(&key, &name, &fallback)
                .map_err(|error| Problem::from(&error))?;
            self.put_back(&key, &name, &fallback, events).await?;
        }
        Ok(())
    }

    /// Brings back the form of one service that was recorded as its fallback.
    async fn put_back(
        &self,
        key: &str,
        name: &ServiceName,
        fallback: &Fallback,
        events: &Events,
    ) -> Result<(), Problem> {
        let Some(declared) = self
            .store
            .declared(key)
            .map_err(|error| Problem::from(&error))?
        else {
            return Ok(());
        };
        self.desire(&declared.workspace)
            .map_err(|error| Problem::from(&error))?;
        let Some(desired) = self.desired_of(key) else {
            return Ok(());
        };
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let memory = self
            .store
            .memory(key)
            .map_err(|error| Problem::from(&error))?;
        let mut plan = plan(&desired, &look.observed, &memory);
        // What else is to be done is not this roll-back's.
        plan.retain(|step| step.subject == Subject::Service(name.clone()));
        plan.blocked.clear();
        let cause = Cause::RollBack {
            service: name.clone(),
            because: fallback.because.clone(),
        };
        let (claims, never) = (Claims::default(), std::future::pending());
        let carried = self
            .execute(&desired, &plan, cause, events, &claims, never)
            .await?;
        if let Some(health) = &fallback.kept.health {
            let containers = super::orders::containers(&desired, name);
            // Its probe begins anew. Whoever is told that it runs as before may ask at
            // once; that it is not well is told by `status`.
            let _ = self.ready(&containers, health.patience()).await;
        }
        tell(
            events,
            Event::ServiceRolledBack {
                service: name.to_string(),
                problem: rolled_back(name, carried.executed.is_complete()),
            },
        );
        Ok(())
    }

    /// The form of a service that the container was made from which its new form
    /// should have replaced, if that container is still there.
    fn kept_form(
        &self,
        desired: &Workspace,
        name: &ServiceName,
        service: &Service,
        observed: &Observed,
    ) -> Result<Option<Service>, Problem> {
        let identity = &desired.identity;
        let key = identity.key();
        let spec = Fingerprint::of_service(service);
        let mine: Vec<_> = observed
            .owned_by(&key)
            .filter(|(_, owner)| {
                owner.kind == Kind::Service
                    && owner.name.as_deref() == Some(name.as_str())
                    && owner.folder.as_ref() == Some(&identity.folder)
            })
            .collect();
        if let Some((_, owner)) = mine.iter().find(|(_, owner)| owner.spec != spec) {
            let revisions = self
                .store
                .revisions(&key)
                .map_err(|error| Problem::from(&error))?;
            let mut forms = revisions
                .iter()
                .filter_map(|it| it.workspace.services.get(name));
            let kept = forms.find(|form| {
                Fingerprint::of_service(form) == owner.spec
                    || Fingerprint::of_service_with_files(form) == owner.spec
            });
            return Ok(kept.cloned().map(without_a_newer_image));
        }
        // One form and two images: the tag moved.
        let is_named = |one: &ObservedContainer| {
            (1..=service.replicas).any(|replica| one.name == identity.container(name, replica))
        };
        let new = mine.iter().find(|(one, _)| is_named(one));
        let old =
            new.and_then(|(new, _)| mine.iter().find(|(one, _)| one.image_id != new.image_id));
        Ok(old.and_then(|(old, _)| {
            let mut kept = service.clone();
            kept.container.image = Image::Pulled {
                reference: ImageRef::new(old.image_id.clone()).ok()?,
                policy: PullPolicy::Missing,
            };
            Some(kept)
        }))
    }
}

/// A failure that a service's new form is to blame for.
fn failure(plan: &Plan, event: &Event) -> Option<(ServiceName, Problem)> {
    let Event::StepFailed { step, problem } = event else {
        return None;
    };
    let step = plan.steps.iter().find(|one| one.id == *step)?;
    let is_rise = matches!(
        step.action,
        Action::Launch(_) | Action::Start { .. } | Action::Await { .. }
    );
    match &step.subject {
        Subject::Service(name) if is_rise && problem.is_of_the_declaration() => {
            Some((name.clone(), problem.clone()))
        }
        _ => None,
    }
}

/// What ran is kept, whatever its tag stands for by now.
fn without_a_newer_image(mut service: Service) -> Service {
    if let Image::Pulled { policy, .. } = &mut service.container.image {
        *policy = PullPolicy::Missing;
    }
    service
}

fn rolled_back(service: &ServiceName, is_complete: bool) -> Problem {
    let how = match is_complete {
        true => "runs as it did before",
        false => "is being put back as it was before",
    };
    Problem::new(
        "rolled_back",
        format!("service `{service}` {how}: its new form did not come up"),
    )
    .hinted(format!(
        "mend it, and `cosmos up` tries again; `cosmos why {service}` tells what happened"
    ))
}

/// The entry of the history about what is being carried out.
///
/// A history that cannot be written holds nothing up: what runs must go on
/// running with a full disk.
struct Record<'a> {
    store: &'a Store,
    key: &'a str,
    number: Option<u64>,
    doing: Mutex<Doing>,
    began: Instant,
}

impl<'a> Record<'a> {
    fn begin(store: &'a Store, key: &'a str, doing: Doing) -> Self {
        let number = store.begin_entry(key, &doing);
        if let Err(error) = &number {
            tracing::warn!(workspace = key, %error, "the history cannot be written");
        }
        Self {
            store,
            key,
            number: number.ok(),
            doing: Mutex::new(doing),
            began: Instant::now(),
        }
    }

    fn note(&self, event: &Event) {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        doing.note(event, millis(self.began));
    }

    fn end(self, executed: Executed) {
        let mut doing = self.doing.lock().unwrap_or_else(PoisonError::into_inner);
        doing.millis = millis(self.began);
        self.hide_secrets(&mut doing);
        let state = match executed {
            Executed { failed: 1.., .. } => EntryState::Failed,
            Executed {
                cancelled: true, ..
            } => EntryState::GaveWay,
            _ => EntryState::Done,
        };
        if let Some(number) = self.number
            && let Err(error) = self.store.end_entry(self.key, number, state, &*doing)
        {
            tracing::warn!(workspace = self.key, %error, "the history cannot be written");
        }
    }
}

impl Record<'_> {
    /// What a container that failed said last is kept, without its secrets.
    fn hide_secrets(&self, doing: &mut Doing) {
        let outputs: Vec<_> = doing.outputs().collect();
        if outputs.is_empty() {
            return;
        }
        let secrets = self.store.secrets().of(self.key).unwrap_or_default();
        let contents = secrets.values().map(|it| String::from_utf8_lossy(it));
        let contents: Vec<_> = contents.map(|it| it.trim().to_owned()).collect();
        for line in outputs {
            for content in contents.iter().filter(|it| !it.is_empty()) {
                *line = line.replace(content.as_str(), "<hidden>");
            }
        }
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::controller::{Order, tests::Bench},
        workspace::{ContainerName, UpdateOrder},
    };

    /// `web` is up from node:20.
    async fn up(update: UpdateOrder) -> (Bench, Workspace) {
        let bench = Bench::empty();
        let mut web = service("node:20");
        web.update = update;
        let desired = shop().with("web", web);
        bench.apply(&desired).await;
        (bench, desired)
    }

    /// The same, of an image whose program ends at once.
    fn broken(bench: &Bench, desired: &Workspace) -> Workspace {
        let image: ImageRef = "node:22".parse().unwrap();
        bench.engine.broken(&image);
        let mut edited = desired.clone();
        edited.services[0].container.image = Image::Pulled {
            reference: image,
            policy: PullPolicy::Missing,
        };
        edited
    }

    fn names(bench: &Bench) -> Vec<ContainerName> {
        let observed = bench.engine.observed();
        observed
            .containers
            .into_iter()
            .map(|one| one.name)
            .collect()
    }

    async fn assert_put_back(update: UpdateOrder) {
        let (bench, desired) = up(update).await;
        let before = bench.container("shop-web-1").id;
        let outcome = bench.apply(&broken(&bench, &desired)).await;
        assert_eq!(outcome.failed, 1);
        let now = bench.container("shop-web-1");
        assert!(now.id == before && now.is_running(), "{now:?}");
        assert_eq!(names(&bench).len(), 1);
    }

    #[tokio::test]
    async fn a_start_first_replacement_that_fails_puts_the_old_container_back() {
        assert_put_back(UpdateOrder::StartFirst).await;
    }

    #[tokio::test]
    async fn a_stop_first_replacement_that_fails_puts_the_old_container_back() {
        assert_put_back(UpdateOrder::StopFirst).await;
    }

    #[tokio::test]
    async fn what_was_put_back_is_kept_by_healing_and_by_orders() {
        let (bench, desired) = up(UpdateOrder::Auto).await;
        bench.apply(&broken(&bench, &desired)).await;
        let calls = bench.engine.calls().len();
        bench.controller.heal_all().await.unwrap();
        assert_eq!(bench.calls_since(calls), Vec::<String>::new());
        let status = bench.controller.status("shop").await.unwrap();
        let why = status.services[0].kept_because.as_deref();
        assert_eq!(why, Some("`shop-web-1` ended with exit code 1"));
        bench.order("web", Order::Stop).await.unwrap();
        bench.order("web", Order::Start).await.unwrap();
        assert_eq!(bench.container("shop-web-1").image.as_str(), "node:20");
    }

    #[tokio::test]
    async fn what_was_put_back_is_tried_again_by_the_next_up() {
        let (bench, desired) = up(UpdateOrder::Auto).await;
        let edited = broken(&bench, &desired);
        bench.apply(&edited).await;
        bench.engine.mend();
        let outcome = bench.apply(&edited).await;
        assert_eq!(outcome.failed, 0);
        assert_eq!(bench.container("shop-web-1").image.as_str(), "node:22");
        assert!(bench.store.fallbacks("shop").unwrap().0.is_empty());
    }

    #[tokio::test]
    async fn a_server_that_starts_anew_keeps_what_was_put_back() {
        let (bench, desired) = up(UpdateOrder::Auto).await;
        bench.apply(&broken(&bench, &desired)).await;
        let calls = bench.engine.calls().len();
        let again = bench.restarted();
        again.controller.heal_all().await.unwrap();
        assert_eq!(again.calls_since(calls), Vec::<String>::new());
    }

    #[tokio::test]
    async fn with_one_replica_replaced_already_all_of_them_are_put_back() {
        let bench = Bench::empty();
        let desired = shop().with("web", service("node:20").replicas(2));
        bench.apply(&desired).await;
        let edited = broken(&bench, &desired);
        bench.apply(&edited).await;
        let observed = bench.engine.observed();
        let images = observed.containers.iter().map(|one| one.image.as_str());
        assert_eq!(images.collect::<Vec<_>>(), ["node:20", "node:20"]);
    }

    #[tokio::test]
    async fn a_first_start_that_fails_is_left_to_be_looked_at() {
        let bench = Bench::empty();
        let desired = shop().with("web", service("node:20"));
        let edited = broken(&bench, &desired);
        let outcome = bench.apply(&edited).await;
        assert!(outcome.failed > 0);
        assert_eq!(bench.container("shop-web-1").image.as_str(), "node:22");
    }

    #[tokio::test]
    async fn an_engine_that_says_no_rolls_nothing_back() {
        let (bench, desired) = up(UpdateOrder::Auto).await;
        let mut edited = desired.clone();
        edited.services[0].container.init = true;
        let refused = crate::reconcile::engine::EngineError::Refused {
            status: 500,
            message: "out of sorts".to_owned(),
        };
        let launch = bench.engine.calls().len() + 1;
        bench
            .engine
            .fail(launch, crate::reconcile::fake::Fault::Before(refused));
        bench.apply(&edited).await;
        assert!(bench.store.fallbacks("shop").unwrap().0.is_empty());
    }

    #[tokio::test]
    async fn a_plan_that_is_empty_leaves_no_entry() {
        let (bench, desired) = up(UpdateOrder::Auto).await;
        bench.apply(&desired).await;
        let history = bench.controller.history("shop", None).unwrap();
        assert_eq!(history.entries.len(), 1);
    }
}
