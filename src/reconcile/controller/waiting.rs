//! Waiting for containers to be ready or done. No ticks: the present state is
//! looked at first, then changes wake the waiter.

use std::time::{Duration, SystemTime};

use futures_util::{
    StreamExt as _,
    future::{BoxFuture, join_all},
};
use tokio::time::{Instant, sleep_until, timeout};

use super::{Controller, Events, beside::Claims, ports::service_of, tell};
use crate::{
    plan::{Action, completed_run},
    reconcile::{
        engine::{EngineError, LogChunk, LogOptions},
        event::{Event, Problem},
        execute::Waiter,
    },
    workspace::{
        AfterCondition, ContainerName, ContainerState, Health, Observed, ObservedContainer,
        Readiness, RunState, Workspace,
    },
};

/// How long a service without a `health` must live to count as running: a
/// process that cannot start ends within tens of milliseconds.
pub(super) const SETTLED: Duration = Duration::from_millis(300);

/// How long requests that are under way may hold up the end of a container that
/// was replaced.
const DRAIN: Duration = Duration::from_secs(30);

/// How many of a failed container's last lines are shown.
const LAST_LINES: u64 = 10;

/// And how much of them: a line has no end that anyone promised.
const LAST_BYTES: usize = 64 << 10;

/// The executor's waits, for one workspace.
pub(super) struct ForDependants<'a> {
    pub(super) controller: &'a Controller,
    pub(super) desired: &'a Workspace,
}

impl Waiter for ForDependants<'_> {
    fn wait<'a>(
        &'a self,
        containers: &'a [ContainerName],
        condition: AfterCondition,
        patience: Duration,
    ) -> BoxFuture<'a, Result<(), Problem>> {
        Box::pin(async move {
            match condition {
                AfterCondition::Started => Ok(()),
                AfterCondition::Ready => self.ready(containers, patience).await,
                AfterCondition::Completed => {
                    for container in containers {
                        self.completed(container, patience).await?;
                    }
                    Ok(())
                }
            }
        })
    }

    fn leave<'a>(&'a self, container: &'a ContainerName) -> BoxFuture<'a, ()> {
        Box::pin(self.leave(container))
    }

    fn left(&self, container: &ContainerName) {
        self.controller.lock_leaving().remove(container);
    }

    fn refused(&self, action: &Action, error: &EngineError) -> Problem {
        let controller = self.controller;
        controller.what_was_refused(self.desired, action, error)
    }
}

impl ForDependants<'_> {
    /// Waits for those with a probe to be ready, and for those without one to have
    /// lived long enough: a program that cannot start ends at once.
    async fn ready(&self, containers: &[ContainerName], patience: Duration) -> Result<(), Problem> {
        let (probed, plain): (Vec<_>, Vec<_>) = containers
            .iter()
            .cloned()
            .partition(|container| self.is_probed(container));
        self.controller.ready(&probed, patience).await?;
        let Some(first) = plain.first() else {
            return Ok(());
        };
        match timeout(patience, self.controller.settled(&plain)).await {
            Ok(settled) => settled,
            Err(_) => Err(not_ready_in(first, patience)),
        }
    }

    fn is_probed(&self, container: &ContainerName) -> bool {
        self.desired.services.iter().any(|(name, service)| {
            let mut replicas = 1..=service.replicas;
            service.health.is_some()
                && replicas
                    .any(|replica| self.desired.identity.container(name, replica) == *container)
        })
    }

    /// Takes a container out of the routes, and lets end what is under way there.
    async fn leave(&self, container: &ContainerName) {
        let controller = self.controller;
        controller.lock_leaving().insert(container.clone());
        let is_replaced = !self.is_wanted(container);
        let look = if is_replaced {
            // The one in its place is ready: the routes have to know it first.
            controller.look().await.ok()
        } else {
            controller
                .looked
                .send_modify(|shown| controller.mark_leaving(shown));
            Some(controller.looked.borrow().clone())
        };
        let seen = look
            .as_ref()
            .and_then(|look| look.observed.container(container));
        // Whoever orders a stop does not wait for those who are still talking.
        let patience = if is_replaced { DRAIN } else { Duration::ZERO };
        if let (Some(seen), Some(traffic)) = (seen, controller.traffic.get()) {
            traffic.left(&seen.id, patience).await;
        }
    }

    /// Whether a container of this name is declared: not one that was set aside.
    fn is_wanted(&self, container: &ContainerName) -> bool {
        service_of(self.desired, container).is_some()
    }

    /// Waits for a one-shot's end, and keeps that it went well.
    async fn completed(
        &self,
        container: &ContainerName,
        patience: Duration,
    ) -> Result<(), Problem> {
        let controller = self.controller;
        let Ok(ended) = timeout(patience, controller.console.wait(container.as_str())).await else {
            return Err(Problem::new(
                "not_completed",
                format!("`{container}` did not end within {} s", patience.as_secs()),
            )
            .hinted(format!("see what it does: `cosmos logs -f {container}`")));
        };
        let code = ended.map_err(|error| Problem::from(&error))?;
        if code != 0 {
            return Err(Problem::new(
                "command_failed",
                format!("`{container}` ended with exit code {code}"),
            )
            .hinted("mend it, then `cosmos up` runs it again")
            .with_output(controller.last_lines(container.as_str()).await));
        }
        let look = controller
            .look()
            .await
            .map_err(|error| Problem::from(&error))?;
        let run = look
            .observed
            .container(container)
            .and_then(|seen| completed_run(self.desired, seen));
        if let Some((command, fingerprint)) = run {
            controller
                .store
                .remember_run(&self.desired.identity.key(), &command, &fingerprint)
                .map_err(|error| Problem::from(&error))?;
        }
        Ok(())
    }
}

/// What one look says of a container that should become ready.
enum Verdict {
    Ready,
    NotYet,
    /// It will not, unless something is done.
    Failed(Problem),
}

impl Controller {
    /// Waits until all of these containers are ready, or one cannot be.
    pub(super) async fn ready(
        &self,
        containers: &[ContainerName],
        patience: Duration,
    ) -> Result<(), Problem> {
        let deadline = Instant::now() + patience;
        let (mut world, mut probes) = (self.world.subscribe(), self.probes.changed());
        loop {
            world.mark_unchanged();
            probes.mark_unchanged();
            let look = self.look().await.map_err(|error| Problem::from(&error))?;
            let observed = &look.observed;
            let mut pending = None;
            for name in containers {
                match verdict(name, observed.container(name)) {
                    Verdict::Ready => {}
                    Verdict::NotYet => pending = Some(name),
                    Verdict::Failed(problem) => {
                        let problem = last_of(problem, observed, name);
                        return Err(problem.with_output(self.last_lines(name.as_str()).await));
                    }
                }
            }
            let Some(pending) = pending else {
                return Ok(());
            };
            // Every arm is cancel-safe: a change not seen here is seen by the next look.
            tokio::select! {
                _ = world.changed() => {}
                _ = probes.changed() => {}
                () = sleep_until(deadline) => {
                    let output = self.last_lines(pending.as_str()).await;
                    let problem = last_of(not_ready_in(pending, patience), observed, pending);
                    return Err(problem.with_output(output));
                }
            }
        }
    }

    /// Waits for every service that should run; those that do not, and why.
    ///
    /// What one look finds to be well is not waited for, so that nothing to do
    /// costs nothing more.
    pub(super) async fn unready(
        &self,
        desired: &Workspace,
        seen: &Observed,
        events: &Events,
    ) -> Vec<(String, Problem)> {
        let awaited = desired.services.iter().filter_map(|(name, service)| {
            let containers: Vec<_> = (1..=service.replicas)
                .map(|replica| desired.identity.container(name, replica))
                .collect();
            let is_well = |name| is_well(seen.container(name), service.health.is_some());
            let is_awaited = service.run == RunState::Running && !containers.iter().all(is_well);
            is_awaited.then_some((name, service, containers))
        });
        let awaited: Vec<_> = awaited.collect();
        if awaited.is_empty() {
            return Vec::new();
        }
        let claims = Claims::of_services(awaited.iter().map(|(name, ..)| *name));
        let waits = awaited.iter().map(|(name, declared, containers)| async {
            let service = || name.to_string();
            tell(events, Event::ServiceAwaited { service: service() });
            let result = match declared.health.as_ref().map(Health::patience) {
                Some(patience) => self.ready(containers, patience).await,
                None => self.settled(containers).await,
            };
            // Well or not, that is known now: from here on it is healed.
            claims.let_go(name);
            match result {
                Ok(()) => {
                    tell(events, Event::ServiceReady { service: service() });
                    None
                }
                Err(problem) => Some((service(), problem)),
            }
        });
        let waited = self.healing_beside(desired, &claims, join_all(waits));
        waited.await.into_iter().flatten().collect()
    }

    /// Waits until containers without a health check have lived long enough.
    async fn settled(&self, containers: &[ContainerName]) -> Result<(), Problem> {
        let mut world = self.world.subscribe();
        loop {
            world.mark_unchanged();
            let observed = self
                .engine
                .observe()
                .await
                .map_err(|error| Problem::from(&error))?;
            let mut left = Duration::ZERO;
            for name in containers {
                match observed.container(name) {
                    Some(ObservedContainer {
                        state: ContainerState::Running { since },
                        ..
                    }) => {
                        left = left.max(SETTLED.saturating_sub(age(*since)));
                    }
                    other => {
                        if let Verdict::Failed(problem) = verdict(name, other) {
                            let problem = last_of(problem, &observed, name);
                            return Err(problem.with_output(self.last_lines(name.as_str()).await));
                        }
                    }
                }
            }
            if left.is_zero() {
                return Ok(());
            }
            // Cancel-safe: a change not seen here is seen by the next look.
            tokio::select! {
                _ = world.changed() => {}
                () = tokio::time::sleep(left) => {}
            }
        }
    }

    /// The last lines a container wrote, or nothing if they cannot be had.
    pub(super) async fn last_lines(&self, container: &str) -> Vec<String> {
        let options = LogOptions {
            tail: Some(LAST_LINES),
            ..LogOptions::default()
        };
        let mut chunks = self.console.logs(container, options);
        let mut text = Vec::new();
        while let Some(Ok(LogChunk::Out(bytes) | LogChunk::Err(bytes))) = chunks.next().await {
            text.extend_from_slice(&bytes);
            if text.len() > LAST_BYTES {
                text.truncate(LAST_BYTES);
                break;
            }
        }
        String::from_utf8_lossy(&text)
            .lines()
            .map(str::to_owned)
            .collect()
    }
}

fn not_ready_in(container: &ContainerName, patience: Duration) -> Problem {
    Problem::new(
        Problem::NOT_READY,
        format!(
            "`{container}` was not ready within {} s",
            patience.as_secs_f32()
        ),
    )
    .hinted(format!("see what it says: `cosmos logs {container}`"))
}

/// Whether a container is as it should be: ready, or running for long enough to believe it.
fn is_well(container: Option<&ObservedContainer>, has_health: bool) -> bool {
    container.is_some_and(|container| match container.state {
        ContainerState::Running { .. } if has_health => container.readiness == Readiness::Ready,
        ContainerState::Running { since } => age(since) >= SETTLED,
        _ => false,
    })
}

/// How long something has been so. A clock that jumped makes it old, which only ends a wait.
pub(super) fn age(since: SystemTime) -> Duration {
    since.elapsed().unwrap_or(SETTLED)
}

/// The same problem, of a container that was to take the place of another: it goes, and
/// under its name will be the other one again, which said nothing of it.
fn last_of(problem: Problem, observed: &Observed, name: &ContainerName) -> Problem {
    let whose = |one: &ObservedContainer| {
        let owner = one.owner.as_ref()?;
        Some((
            owner.kind,
            owner.workspace.clone(),
            owner.name.clone(),
            owner.replica,
        ))
    };
    let own = observed.container(name).and_then(whose);
    let mut others = observed.containers.iter().filter(|one| one.name != *name);
    match own.is_some() && others.any(|other| whose(other) == own) {
        true => problem.hinted(
            "what it said last is all that is left of it: the one before it takes its place again",
        ),
        false => problem,
    }
}

fn verdict(name: &ContainerName, container: Option<&ObservedContainer>) -> Verdict {
    let Some(container) = container else {
        return Verdict::Failed(Problem::new(
            Problem::NOT_READY,
            format!("`{name}` is gone"),
        ));
    };
    match (container.state, container.readiness) {
        (ContainerState::Running { .. }, Readiness::Ready) => Verdict::Ready,
        (ContainerState::Running { .. }, Readiness::Starting) | (ContainerState::Created, _) => {
            Verdict::NotYet
        }
        (ContainerState::Running { .. }, Readiness::Unhealthy) => Verdict::Failed(
            Problem::new(
                Problem::NOT_READY,
                format!("`{name}` is running, but its health check fails"),
            )
            .hinted(format!("see what it says: `cosmos logs {name}`")),
        ),
        (
            ContainerState::Exited {
                code,
                out_of_memory,
                ..
            },
            _,
        ) => {
            let why = if out_of_memory { ", out of memory" } else { "" };
            Verdict::Failed(
                Problem::new(
                    Problem::CONTAINER_ENDED,
                    format!("`{name}` ended with exit code {code}{why}"),
                )
                .hinted(format!("see all it said: `cosmos logs {name}`")),
            )
        }
        (ContainerState::Paused | ContainerState::Dead, _) => Verdict::Failed(Problem::new(
            Problem::NOT_READY,
            format!("`{name}` is paused or dead"),
        )),
    }
}
