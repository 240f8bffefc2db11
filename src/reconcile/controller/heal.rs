//! Healing: nobody at the keyboard, and yet it stays true.
//!
//! The wake-ups are the engine's events, the probes' results and a resync.
//! A container that ends is started again after a pause that doubles; one that
//! lived long enough starts over with the first pause. Commands are not healed:
//! they run when a person says so.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, PoisonError},
    time::Duration,
};

use futures_util::StreamExt as _;
use tokio::{
    sync::mpsc,
    task::{AbortHandle, JoinSet},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Controller, Look,
    beside::{Claimed, Claims},
    count,
};
use crate::{
    plan::{Action, Plan, Step, StepId, Subject, plan},
    reconcile::{
        engine::Change,
        event::{Event, Problem},
        history::Cause,
    },
    workspace::{
        ContainerId, ContainerName, ContainerState, ImageRef, Observed, ObservedContainer,
        RestartPolicy, ServiceName, Workspace,
    },
};

/// The first pause before a container that ended is started again.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The longest pause before an engine that went away is listened for again: asking
/// costs nothing, and all waits for its return.
const LONGEST_DEAFNESS: Duration = Duration::from_secs(1);
/// A container that lived this long did not crash at its start.
const LONG_ENOUGH: Duration = Duration::from_secs(10);
/// Without an event, everything is looked at again: events can be lost.
pub(super) const RESYNC: Duration = Duration::from_secs(30);
/// For the engine to finish removing a container. What is done to it meanwhile
/// makes that fail; the event of its end comes before this in any case but a fault.
const REMOVED_IN: Duration = Duration::from_secs(2);
/// What could not be done is tried again after this, doubling.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// How a container that keeps ending is doing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crash {
    /// Starts since it last lived long enough.
    pub(super) restarts: u32,
    /// When it may be started again.
    pub(super) next_try: Instant,
    /// When it was last seen running.
    alive_since: Option<Instant>,
}

impl Crash {
    fn pause(restarts: u32) -> Duration {
        FIRST_PAUSE
            .saturating_mul(1 << restarts.min(16))
            .min(LONGEST_PAUSE)
    }
}

/// Something of a workspace that could not be healed.
#[derive(Debug, Clone)]
pub(super) struct Retry {
    failures: u32,
    next_try: Instant,
    /// What was in the way the last time.
    because: String,
}

impl Retry {
    /// Doubling from a second to the resync, which tries everything again anyway.
    fn pause(failures: u32) -> Duration {
        FIRST_RETRY
            .saturating_mul(1 << failures.min(16))
            .min(RESYNC)
    }
}

impl Controller {
    /// Follows the engine and heals for as long as the server lives: each workspace
    /// by itself, so that an engine which hangs over one holds up no other.
    pub async fn run(self: Arc<Self>) {
        let listener = tokio::spawn(Arc::clone(&self).listen());
        let mut world = self.world.subscribe();
        let (mut healed, mut healers) = (HashMap::new(), JoinSet::new());
        loop {
            world.mark_unchanged();
            // Of an engine that cannot be looked at the healers tell.
            if let Ok(look) = self.look().await {
                self.forget_what_is_over(&look.observed);
            }
            let next_end = self.end_holds().await.unwrap_or_else(|problem| {
                tracing::warn!(problem = problem.message, "a hold could not be ended");
                Some(Instant::now() + FIRST_RETRY)
            });
            healed.retain(|_, healer: &mut AbortHandle| !healer.is_finished());
            for key in self.desired_keys() {
                healed.entry(key).or_insert_with_key(|key| {
                    healers.spawn(Arc::clone(&self).keep_healed(key.clone()))
                });
            }
            let resync = Instant::now() + RESYNC;
            // Every arm is cancel-safe: all of it is looked at again anyway.
            tokio::select! {
                _ = world.changed() => {}
                Some(_) = healers.join_next() => {}
                () = sleep_until(next_end.map_or(resync, |at| at.min(resync))) => {}
            }
            if listener.is_finished() {
                return;
            }
        }
    }

    /// Heals one workspace for as long as it is up.
    async fn keep_healed(self: Arc<Self>, key: String) {
        let (mut world, mut probes) = (self.world.subscribe(), self.probes.changed());
        let mut failures = 0_u32;
        while let Some(desired) = self.desired_of(&key) {
            world.mark_unchanged();
            probes.mark_unchanged();
            let resync = Instant::now() + RESYNC;
            let pause = match self.heal(&desired).await {
                Ok(next_try) => {
                    failures = 0;
                    next_try.map_or(resync, |at| at.min(resync))
                }
                Err(problem) => {
                    failures += 1;
                    tracing::warn!(
                        workspace = key,
                        code = problem.code,
                        problem = problem.message,
                        "healing failed"
                    );
                    Instant::now() + Retry::pause(failures)
                }
            };
            // Every arm is cancel-safe: all of it is looked at again anyway.
            tokio::select! {
                _ = world.changed() => {}
                _ = probes.changed() => {}
                () = sleep_until(pause) => {}
            }
        }
    }

    /// Turns the engine's hints into wake-ups, and asks again when they end.
    async fn listen(self: Arc<Self>) {
        let mut failures = 0_u32;
        loop {
            let began = Instant::now();
            let mut changes = self.engine.changes();
            while let Some(change) = changes.next().await {
                if change == Change::Connected {
                    failures = 0;
                    self.heard.send_replace(true);
                }
                self.note_stop(&change);
                if self.concerns_us(&change) {
                    self.world.send_modify(|version| *version += 1);
                }
            }
            self.heard.send_replace(false);
            // Nobody tells us of an address that changes hands meanwhile. One that ends as
            // soon as it began would be asked for ever.
            if failures == 0 && began.elapsed() > LONGEST_DEAFNESS {
                continue;
            }
            failures += 1;
            sleep(
                FIRST_PAUSE
                    .saturating_mul(1 << failures.min(10))
                    .min(LONGEST_DEAFNESS),
            )
            .await;
        }
    }

    /// Whether a change can be one for us: others' containers come and go on the
    /// same engine, and each look costs it a call for every container of ours.
    fn concerns_us(&self, change: &Change) -> bool {
        let look = self.looked.borrow();
        match change {
            Change::Connected | Change::Other => true,
            Change::Container {
                id, name, is_ours, ..
            } => {
                // What had or has a name of ours stands in the way, or did.
                let seen = look.observed.containers.iter().find(|one| one.id == *id);
                *is_ours
                    || seen.is_some_and(|one| one.owner.is_some() || is_wanted(&look, &one.name))
                    || name.as_ref().is_some_and(|name| is_wanted(&look, name))
            }
            Change::Network { name } => {
                let mut networks = look.observed.networks.iter();
                let mut workspaces = look.workspaces.iter();
                networks.any(|network| network.managed && network.name == *name)
                    || workspaces.any(|workspace| workspace.network.name == *name)
            }
        }
    }

    /// One round of what [`Controller::run`] does for ever: heals every workspace
    /// that nobody is working on; when to look again.
    #[cfg(test)]
    pub(super) async fn heal_all(&self) -> Result<Option<Instant>, Problem> {
        let mut next_try = self.end_holds().await?;
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        self.forget_what_is_over(&look.observed);
        for workspace in &look.workspaces {
            next_try = earlier(next_try, self.heal(workspace).await?);
        }
        Ok(next_try)
    }

    /// Heals one workspace; when something of it may be tried again. What fails
    /// waits by itself: the rest goes on.
    async fn heal(&self, desired: &Workspace) -> Result<Option<Instant>, Problem> {
        let key = desired.identity.key();
        let turn = self.turn(&key);
        let Some(_turn) = turn.take_to_heal() else {
            // Whoever has it wakes us when done, but for a glance at what drifted.
            return Ok(Some(Instant::now() + FIRST_RETRY));
        };
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let Some(desired) = self.desired_of(&key) else {
            return Ok(None);
        };
        let leaving = self.leaving(&key)?;
        let planned = match leaving {
            Some(volumes) => self.plan_to_leave(&desired, &look.observed, volumes),
            None => self
                .store
                .memory(&key)
                .map(|memory| plan(&desired, &look.observed, &memory)),
        };
        let mut plan = planned.map_err(|error| Problem::from(&error))?;
        let stays = count(&plan.blocked);
        let mut next_try = self.leave_out_failing(&key, &mut plan);
        let is_whole = next_try.is_none();
        if leaving.is_none() {
            next_try = earlier(next_try, self.postpone(&desired, &look.observed, &mut plan));
            if plan.writes() == 0 {
                return Ok(next_try);
            }
        }
        self.explain_starts(&look.observed, &mut plan);
        tell_healing(&key, &plan);
        let subjects = Subjects::of(&plan);
        let (sender, events) = mpsc::unbounded_channel();
        // A wait for a service that is never ready must not keep a person waiting.
        let gives_way = turn.wanted.notified();
        let outcome = self
            .carry_out_until(&desired, plan, Cause::Healing, &sender, gives_way)
            .await?;
        drop(sender);
        if outcome.skipped > 0 && leaving.is_none() && self.has_lost_a_port(&desired)? {
            next_try = earlier(next_try, Some(Instant::now() + FIRST_PAUSE));
        }
        let is_done = is_whole && outcome.failed == stays && outcome.skipped == 0;
        if let Some(volumes) = leaving
            && is_done
            && !self.end_leaving(&desired, volumes).await?
        {
            next_try = earlier(next_try, Some(Instant::now() + FIRST_RETRY));
        }
        Ok(earlier(
            next_try,
            self.note_failures(&key, &subjects, events),
        ))
    }

    /// The same, for what whoever has the turn does not claim.
    pub(super) async fn heal_unclaimed(
        &self,
        key: &str,
        claims: &Claims,
        over: impl Future<Output = ()> + Send,
    ) -> Result<Option<Instant>, Problem> {
        let Some(desired) = self.desired_of(key) else {
            return Ok(None);
        };
        if self.leaving(key)?.is_some() {
            return Ok(None);
        }
        // What everybody sees costs nothing, and mostly says that there is nothing to do.
        let seen = self.looked.borrow().clone();
        let (mut plan, next_try) =
            self.plan_unclaimed(&desired, &seen.observed, claims, &claims.now())?;
        let next_try = earlier(next_try, self.leave_out_paused(&mut plan));
        if plan.writes() == 0 {
            return Ok(next_try);
        }
        // What is claimed before a look is left alone after it: its end is not in that look.
        let claimed = claims.now();
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let (mut plan, next_try) =
            self.plan_unclaimed(&desired, &look.observed, claims, &claimed)?;
        let next_try = earlier(next_try, self.postpone(&desired, &look.observed, &mut plan));
        if plan.writes() == 0 {
            return Ok(next_try);
        }
        self.explain_starts(&look.observed, &mut plan);
        tell_healing(key, &plan);
        let subjects = Subjects::of(&plan);
        let (sender, events) = mpsc::unbounded_channel();
        self.carry_out_beside(&desired, plan, &sender, over).await?;
        drop(sender);
        Ok(earlier(
            next_try,
            self.note_failures(key, &subjects, events),
        ))
    }

    /// What there is to heal of what is not claimed, and when there may be more.
    fn plan_unclaimed(
        &self,
        desired: &Workspace,
        observed: &Observed,
        claims: &Claims,
        claimed: &Claimed,
    ) -> Result<(Plan, Option<Instant>), Problem> {
        let key = desired.identity.key();
        let memory = self.store.memory(&key);
        let mut plan = plan(
            desired,
            observed,
            &memory.map_err(|error| Problem::from(&error))?,
        );
        plan.blocked.clear();
        let next_try = self.leave_out_failing(&key, &mut plan);
        plan.retain(|step| may_be_healed(step) && claimed.leaves(step));
        // One that ended of itself after it was made failed what it was made for: whoever
        // waits for it has to see that.
        plan.retain(|step| match &step.action {
            Action::Start { container, .. } if claims.was(&step.subject) => observed
                .container(container)
                .is_some_and(|one| self.lock_stopped().contains(&one.id)),
            _ => true,
        });
        Ok((plan, next_try))
    }

    /// Takes out of the plan the starts of what crashed and waits for its next try; when
    /// the first of them is. Nothing is counted: nothing is tried yet.
    fn leave_out_paused(&self, plan: &mut Plan) -> Option<Instant> {
        let now = Instant::now();
        let crashes = self.lock_crashes();
        let mut next_try = None;
        plan.retain(|step| {
            let crash = match &step.action {
                Action::Start { container, .. } => crashes.get(container),
                _ => None,
            };
            let paused = crash.filter(|crash| crash.alive_since.is_none() && crash.next_try > now);
            next_try = earlier(next_try, paused.map(|crash| crash.next_try));
            paused.is_none()
        });
        next_try
    }

    /// Keeps what failed and why; when the first of it is tried again.
    fn note_failures(
        &self,
        key: &str,
        subjects: &Subjects,
        mut events: mpsc::UnboundedReceiver<Event>,
    ) -> Option<Instant> {
        let mut next_try = None;
        // All was told: whoever tells holds its other end no more.
        while let Ok(event) = events.try_recv() {
            if let Event::StepFailed { step, problem } = event
                && let Some(subject) = subjects.0.get(&step)
            {
                tracing::warn!(workspace = key, problem = problem.message, "a step failed");
                let at = self.note_failure(key, subject, problem.message);
                next_try = earlier(next_try, Some(at));
            }
        }
        next_try
    }

    /// Forgets what went wrong once, also of workspaces that are gone: what went well
    /// for a while begins with the first pause again.
    fn forget_what_is_over(&self, observed: &Observed) {
        let now = Instant::now();
        self.lock_retries()
            .retain(|_, retry| now.saturating_duration_since(retry.next_try) <= LONG_ENOUGH);
        forget_healthy(&mut self.lock_crashes(), observed, now);
        let is_there = |id: &ContainerId| observed.containers.iter().any(|one| one.id == *id);
        self.lock_dying().retain(|id, _| is_there(id));
    }

    /// Takes out of the plan what failed and waits for its next try; when that is.
    fn leave_out_failing(&self, key: &str, plan: &mut Plan) -> Option<Instant> {
        let now = Instant::now();
        let retries = self.lock_retries();
        let mut next_try = None;
        plan.retain(|step| {
            let retry = retries.get(&(key.to_owned(), step.subject.clone()));
            let Some(retry) = retry.filter(|retry| retry.next_try > now) else {
                return true;
            };
            next_try = earlier(next_try, Some(retry.next_try));
            false
        });
        next_try
    }

    fn note_failure(&self, key: &str, subject: &Subject, because: String) -> Instant {
        let now = Instant::now();
        let mut retries = self.lock_retries();
        let retry = retries
            .entry((key.to_owned(), subject.clone()))
            .or_insert(Retry {
                failures: 0,
                next_try: now,
                because: String::new(),
            });
        retry.because = because;
        retry.next_try = now + Retry::pause(retry.failures);
        retry.failures += 1;
        retry.next_try
    }

    /// What keeps a service, or the image it is made of, from being healed, and when that
    /// is tried again.
    pub(super) fn failing(
        &self,
        key: &str,
        service: &ServiceName,
        image: &ImageRef,
    ) -> Option<String> {
        let retries = self.lock_retries();
        let of = |subject| retries.get(&(key.to_owned(), subject));
        let retry =
            of(Subject::Service(service.clone())).or_else(|| of(Subject::Image(image.clone())))?;
        let left = retry.next_try.saturating_duration_since(Instant::now());
        Some(format!(
            "{}; next try in {} s",
            retry.because,
            left.as_secs() + 1
        ))
    }

    /// Forgets what failed in a workspace: a person wants it tried now.
    pub(super) fn forget_failures(&self, key: &str) {
        self.lock_retries()
            .retain(|(failed_in, _), _| failed_in != key);
    }

    fn lock_retries(&self) -> std::sync::MutexGuard<'_, HashMap<(String, Subject), Retry>> {
        self.retries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes out of the plan what healing must not do, or not yet: commands, and
    /// starts of containers whose policy or pause says no.
    fn postpone(
        &self,
        desired: &Workspace,
        observed: &Observed,
        plan: &mut Plan,
    ) -> Option<Instant> {
        let now = Instant::now();
        let (dying, mut next_try) = self.dying(desired, observed, now);
        let mut crashes = self.lock_crashes();
        forget_healthy(&mut crashes, observed, now);
        plan.retain(|step| {
            let Subject::Service(service) = &step.subject else {
                return may_be_healed(step);
            };
            if dying.contains(service.as_str()) {
                return false;
            }
            let Action::Start { container, .. } = &step.action else {
                return true;
            };
            let Some(ContainerState::Exited { code, .. }) = observed
                .container(container)
                .map(|container| container.state)
            else {
                return true;
            };
            let policy = desired.services.get(service).map(|service| service.restart);
            match policy {
                Some(RestartPolicy::Never) => return false,
                Some(RestartPolicy::OnFailure) if code == 0 => return false,
                _ => {}
            }
            let crash = crashes.entry(container.clone()).or_insert_with(|| Crash {
                restarts: 0,
                next_try: now + FIRST_PAUSE,
                alive_since: None,
            });
            if let Some(since) = crash.alive_since.take() {
                // It ran since the last try, and ended again. Nobody may have looked
                // while it was alive for long enough.
                if now.duration_since(since) >= LONG_ENOUGH {
                    crash.restarts = 0;
                }
                crash.next_try = now + Crash::pause(crash.restarts);
            }
            if crash.next_try > now {
                next_try =
                    Some(next_try.map_or(crash.next_try, |at: Instant| at.min(crash.next_try)));
                return false;
            }
            crash.restarts += 1;
            crash.alive_since = Some(now);
            true
        });
        next_try
    }

    /// The services with a container that the engine is removing, and when that
    /// has taken too long.
    fn dying(
        &self,
        desired: &Workspace,
        observed: &Observed,
        now: Instant,
    ) -> (HashSet<String>, Option<Instant>) {
        let mut since = self.lock_dying();
        let is_dying = |one: &ObservedContainer| one.state == ContainerState::Dead;
        since.retain(|id, _| {
            let mut containers = observed.containers.iter();
            containers.any(|one| one.id == *id && is_dying(one))
        });
        let (mut services, mut next_try) = (HashSet::new(), None);
        let key = desired.identity.key();
        for (container, owner) in observed.owned_by(&key).filter(|(one, _)| is_dying(one)) {
            let until = *since.entry(container.id.clone()).or_insert(now) + REMOVED_IN;
            if until > now {
                services.extend(owner.name.clone());
                next_try = Some(next_try.map_or(until, |at: Instant| at.min(until)));
            }
        }
        (services, next_try)
    }

    /// Restarts of a container since it last lived long enough, and when it is tried next.
    pub(super) fn crash_of(&self, container: &ContainerName) -> Option<Crash> {
        self.lock_crashes().get(container).copied()
    }

    pub(super) fn forget_crashes(&self, containers: &[ContainerName]) {
        let mut crashes = self.lock_crashes();
        for container in containers {
            crashes.remove(container);
        }
    }

    fn lock_dying(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerId, Instant>> {
        self.dying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_crashes(&self) -> std::sync::MutexGuard<'_, HashMap<ContainerName, Crash>> {
        self.crashes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Commands run when a person says so, and only a person has what an image is built of.
fn may_be_healed(step: &Step) -> bool {
    !matches!(step.subject, Subject::Command(_))
        && !matches!(step.action, Action::BuildImage { .. })
}

/// Whom each step of a plan is about.
struct Subjects(HashMap<StepId, Subject>);

impl Subjects {
    fn of(plan: &Plan) -> Self {
        let of = |step: &Step| (step.id, step.subject.clone());
        Self(plan.steps.iter().map(of).collect())
    }
}

fn tell_healing(key: &str, plan: &Plan) {
    for step in plan.summaries() {
        tracing::info!(
            workspace = key,
            action = step.action,
            reason = step.reason,
            "healing"
        );
    }
}

fn earlier(left: Option<Instant>, right: Option<Instant>) -> Option<Instant> {
    [left, right].into_iter().flatten().min()
}

/// Whether a container of some workspace should have this name.
fn is_wanted(look: &Look, name: &ContainerName) -> bool {
    look.workspaces.iter().any(|workspace| {
        let mut services = workspace.services.iter();
        services.any(|(service, declared)| {
            let mut replicas = 1..=declared.replicas;
            replicas.any(|replica| workspace.identity.container(service, replica) == *name)
        })
    })
}

/// Forgets the crashes of containers that have lived long enough, or are gone.
fn forget_healthy(crashes: &mut HashMap<ContainerName, Crash>, observed: &Observed, now: Instant) {
    crashes.retain(|name, crash| match observed.container(name) {
        None => false,
        Some(container) if container.is_running() => crash
            .alive_since
            .is_none_or(|since| now.duration_since(since) < LONG_ENOUGH),
        Some(_) => true,
    });
}

/// How a crash, or a loop of them, reads in `status`.
pub(super) fn crash_note(crash: Crash) -> Option<String> {
    let left = crash.next_try.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return None;
    }
    let next = format!("next try in {} s", count(0..left.as_secs() + 1));
    Some(match crash.restarts {
        0 | 1 => next,
        _ => format!("crash loop, {next}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::test_workspace::{name, service, shop},
        reconcile::{
            controller::tests::Bench,
            engine::{Done, Engine, EngineError, Progress},
            fake::FakeEngine,
        },
        workspace::ContainerState,
    };
    use futures_util::{future::BoxFuture, stream::BoxStream};

    fn crash(bench: &Bench) {
        bench.engine.edit(|observed| {
            observed.containers[0].state = ContainerState::Exited {
                code: 1,
                at: std::time::SystemTime::UNIX_EPOCH,
                out_of_memory: false,
            };
        });
    }

    /// Heals until the container runs again; how long that took.
    async fn healed_in(bench: &Bench) -> Duration {
        let began = Instant::now();
        while !bench.container("shop-web-1").is_running() {
            if let Some(at) = bench.controller.heal_all().await.unwrap() {
                sleep_until(at).await;
            }
        }
        began.elapsed()
    }

    async fn up() -> Bench {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        bench
    }

    #[tokio::test(start_paused = true)]
    async fn the_pause_before_a_container_is_started_again_doubles() {
        let bench = up().await;
        let mut pauses = Vec::new();
        for _ in 0..4 {
            crash(&bench);
            pauses.push(healed_in(&bench).await.as_millis());
        }
        assert_eq!(pauses, [100, 200, 400, 800]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_container_that_lived_long_enough_starts_over_though_nobody_looked() {
        let bench = up().await;
        for _ in 0..4 {
            crash(&bench);
            healed_in(&bench).await;
        }
        sleep(LONG_ENOUGH).await;
        crash(&bench);
        assert_eq!(healed_in(&bench).await, FIRST_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_failed_is_not_run_again_by_healing() {
        let bench = Bench::empty();
        let migrate = name("shop-migrate");
        bench.engine.exit_with(&migrate, 1);
        let desired = shop().with_command("migrate", "api:1", "v1");
        let outcome = bench.apply(&desired).await;
        assert_eq!(outcome.failed, 1);
        let calls = bench.engine.calls();
        bench.controller.heal_all().await.unwrap();
        assert_eq!(bench.engine.calls(), calls);
    }

    /// An engine that hangs over whatever is about `blog`.
    struct Hanging(Arc<FakeEngine>);

    impl Engine for Hanging {
        fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
            self.0.observe()
        }

        fn perform<'a>(
            &'a self,
            action: &'a Action,
            progress: &'a (dyn Fn(Progress) + Send + Sync),
        ) -> BoxFuture<'a, Result<Done, EngineError>> {
            match action.to_string().contains("blog") {
                true => Box::pin(std::future::pending()),
                false => self.0.perform(action, progress),
            }
        }

        fn changes(&self) -> BoxStream<'static, Change> {
            self.0.changes()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_engine_that_hangs_over_one_workspace_holds_up_no_other() {
        let bench = up().await;
        let mut blog = shop().with("web", service("node:20"));
        blog.identity.name = "blog".parse().unwrap();
        bench.apply(&blog).await;
        bench.engine.edit(|observed| {
            observed.containers.retain(|one| one.owner.is_none());
        });
        let hanging = Arc::new(Hanging(Arc::clone(&bench.engine)));
        let controller = Controller::new(hanging, bench.engine.clone(), bench.store).unwrap();
        let controller = Arc::new(controller);
        let mut looked = controller.looked();
        let healing = tokio::spawn(Arc::clone(&controller).run());
        let web = name("shop-web-1");
        looked
            .wait_for(|look| look.observed.container(&web).is_some())
            .await
            .unwrap();
        healing.abort();
    }
}
