//! `cosmos wait`: until services are as somebody needs them, or cannot be.
//!
//! No ticks: the present state is looked at first, then changes wake the waiter.
//! What cannot come about by itself is said at once; but while somebody works on
//! the workspace, an end is not final.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::{
    Controller, Look, not_up,
    orders::containers,
    waiting::{SETTLED, age},
};
use crate::{
    plan::{Action, Subject, plan},
    reconcile::event::Problem,
    workspace::{
        Command, CommandKind, CommandName, ContainerName, ContainerState, Kind, ObservedContainer,
        Readiness, RestartPolicy, RunState, Service, ServiceName, Workspace,
    },
};

/// Longer than any proxy lives: what stands in for an end that no clock can hold.
const AGES: Duration = Duration::from_secs(3600 * 24 * 365);

/// What can be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Every replica is ready, as `health` says; without one, it has lived for a moment.
    Ready,
    /// Every replica runs.
    Started,
    /// It ran to its end with exit code 0.
    Completed,
    /// Nothing of it runs.
    Stopped,
}

impl std::fmt::Display for Condition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ready => "ready",
            Self::Started => "started",
            Self::Completed => "completed",
            Self::Stopped => "stopped",
        })
    }
}

/// What was waited for, and is so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Met {
    /// The service or command.
    pub name: String,
    /// What it is.
    pub is: Condition,
}

/// How one look finds one of those that are waited for.
enum Finding {
    /// It is so.
    Met,
    /// It is not, and may be yet.
    Pending(Pending),
    /// It ended otherwise, and stays so unless somebody is at work.
    Ended(Problem, ContainerName),
    /// It is held or declared otherwise.
    Never(Problem),
}

/// What is not so yet.
#[derive(Debug, Clone)]
struct Pending {
    /// In words: ``its health check fails``.
    why: String,
    /// The container that it hangs on, if it is there.
    container: Option<ContainerName>,
    /// When time alone may have made it so.
    again: Option<Duration>,
}

fn pending(why: impl Into<String>, container: Option<&ObservedContainer>) -> Finding {
    Finding::Pending(Pending {
        why: why.into(),
        container: container.map(|container| container.name.clone()),
        again: None,
    })
}

impl Controller {
    /// Waits until all of these are so; of a service, that it is ready, and of a
    /// command, that it is completed, where nothing else is asked for.
    ///
    /// # Errors
    /// If one of them cannot be, or not all are within `patience`.
    pub async fn wait_for(
        &self,
        key: &str,
        names: &[String],
        condition: Option<Condition>,
        patience: Duration,
    ) -> Result<Vec<Met>, Problem> {
        let now = Instant::now();
        let deadline = now.checked_add(patience).unwrap_or_else(|| now + AGES);
        let (mut world, mut probes) = (self.world.subscribe(), self.probes.changed());
        let mut is_idle = false;
        loop {
            world.mark_unchanged();
            probes.mark_unchanged();
            let look = self.glance().await.map_err(|error| Problem::from(&error))?;
            let mut workspaces = look.workspaces.iter();
            let workspace = workspaces
                .find(|workspace| workspace.identity.key() == key)
                .ok_or_else(|| not_up(key))?;
            let (mut met, mut missing, mut ended) = (Vec::new(), Vec::new(), None);
            for name in names {
                let is = condition.unwrap_or_else(|| default_of(workspace, name));
                match self.find_out(&look, workspace, name, is)? {
                    Finding::Met => met.push(Met {
                        name: name.clone(),
                        is,
                    }),
                    Finding::Pending(pending) => missing.push((name, is, pending)),
                    Finding::Ended(problem, container) => ended = Some((problem, container)),
                    Finding::Never(problem) => return Err(problem),
                }
            }
            if let Some((problem, container)) = ended {
                if is_idle {
                    let output = self.last_lines(container.as_str()).await;
                    return Err(problem.with_output(output));
                }
                // Whoever is at work may be about to start it: they first, then one
                // more look.
                if timeout_at(deadline, self.idle(key)).await.is_ok() {
                    is_idle = true;
                    continue;
                }
                return Err(problem);
            }
            let Some((name, is, first)) = missing.first() else {
                return Ok(met);
            };
            is_idle = false;
            let again = missing.iter().filter_map(|(_, _, pending)| pending.again);
            let again = again.min().map(|left| Instant::now() + left);
            // Every arm is cancel-safe: a change not seen here is seen by the next look.
            tokio::select! {
                _ = world.changed() => {}
                _ = probes.changed() => {}
                () = sleep_until(again.map_or(deadline, |at| at.min(deadline))) => {
                    if again.is_none_or(|at| at >= deadline) {
                        return Err(self.too_late(name, *is, first, patience).await);
                    }
                }
            }
        }
    }

    /// Returns once nobody is at work on a workspace.
    async fn idle(&self, key: &str) {
        let turn = self.turn(key);
        drop(turn.lock.lock().await);
        // Healing passes over what it finds taken.
        self.world.send_modify(|version| *version += 1);
    }

    async fn too_late(
        &self,
        name: &str,
        is: Condition,
        pending: &Pending,
        patience: Duration,
    ) -> Problem {
        let problem = Problem::new(
            Problem::NOT_IN_TIME,
            format!(
                "`{name}` was not {is} within {} s: {}",
                patience.as_secs_f32(),
                pending.why
            ),
        );
        let Some(container) = &pending.container else {
            return problem.hinted("see how it is: `cosmos status`");
        };
        let output = self.last_lines(container.as_str()).await;
        problem
            .hinted(format!("see all it said: `cosmos logs {name}`"))
            .with_output(output)
    }

    /// How a look finds one that is waited for.
    fn find_out(
        &self,
        look: &Look,
        workspace: &Workspace,
        name: &str,
        is: Condition,
    ) -> Result<Finding, Problem> {
        if let Some((name, service)) = workspace.services.get_key_value(name) {
            return Ok(of_service(look, workspace, name, service, is));
        }
        if let Some((name, command)) = workspace.commands.get_key_value(name) {
            return self.of_command(look, workspace, name, command, is);
        }
        Err(Problem::new(
            "not_found",
            format!("there is no service or command `{name}` in the config"),
        ))
    }

    fn of_command(
        &self,
        look: &Look,
        workspace: &Workspace,
        name: &CommandName,
        command: &Command,
        is: Condition,
    ) -> Result<Finding, Problem> {
        let refused = |why: &str| Finding::Never(invalid(format!("command `{name}` {why}")));
        if matches!(command.kind, CommandKind::Exec { .. }) {
            return Ok(refused(
                "runs inside a service, where nothing can wait for it",
            ));
        }
        if !command.needed {
            return Ok(refused("is not one that `up` runs"));
        }
        let container = workspace.identity.command_container(name);
        let container = ours(look, workspace, &container);
        let is_running = container.is_some_and(ObservedContainer::is_running);
        match is {
            Condition::Ready => return Ok(refused("is never ready: wait `--for completed`")),
            Condition::Stopped if !is_running => return Ok(Finding::Met),
            Condition::Started if is_running => return Ok(Finding::Met),
            Condition::Stopped => return Ok(pending("it runs", container)),
            Condition::Started | Condition::Completed if is_running => {
                return Ok(pending("it runs", container));
            }
            Condition::Started | Condition::Completed => {}
        }
        let memory = self
            .store
            .memory(&workspace.identity.key())
            .map_err(|error| Problem::from(&error))?;
        let subject = Subject::Command(name.clone());
        let plan = plan(workspace, &look.observed, &memory);
        let is_due = plan.steps.iter().any(|step| {
            step.subject == subject
                && matches!(step.action, Action::Launch(_) | Action::Await { .. })
        });
        if !is_due && plan.blocked.iter().all(|it| it.subject != subject) {
            return Ok(Finding::Met);
        }
        Ok(match container {
            Some(container) => match container.state {
                ContainerState::Exited { code, .. } if code != 0 => ended(
                    "command",
                    name.as_str(),
                    code,
                    container,
                    "mend it, then `cosmos up` runs it again",
                ),
                _ => pending("it has not run since it changed", Some(container)),
            },
            None => pending("it has not run", None),
        })
    }
}

/// What is waited for of one of which nothing is said.
fn default_of(workspace: &Workspace, name: &str) -> Condition {
    match workspace.commands.contains_key(name) && !workspace.services.contains_key(name) {
        true => Condition::Completed,
        false => Condition::Ready,
    }
}

/// The container of that name, if it is this workspace's.
fn ours<'a>(
    look: &'a Look,
    workspace: &Workspace,
    name: &ContainerName,
) -> Option<&'a ObservedContainer> {
    look.observed.container(name).filter(|container| {
        container.owner.as_ref().is_some_and(|owner| {
            owner.workspace == Some(workspace.identity.key())
                && owner.folder.as_ref() == Some(&workspace.identity.folder)
        })
    })
}

fn of_service(
    look: &Look,
    workspace: &Workspace,
    name: &ServiceName,
    service: &Service,
    is: Condition,
) -> Finding {
    if is == Condition::Stopped {
        return of_stopped(look, workspace, name);
    }
    match &service.run {
        RunState::Stopped { because } => {
            return Finding::Never(
                invalid(format!("`{name}` is {because}"))
                    .hinted(format!("release it: `cosmos start {name}`")),
            );
        }
        RunState::Off => {
            return Finding::Never(
                invalid(format!("`{name}` is off: none of its profiles is active"))
                    .hinted(format!("hold it started: `cosmos start {name}`")),
            );
        }
        RunState::Running => {}
    }
    if is == Condition::Completed && service.restart == RestartPolicy::Always {
        return Finding::Never(
            invalid(format!(
                "`{name}` is started again whenever it ends: it never completes"
            ))
            .hinted("`restart = \"on-failure\"` lets it end"),
        );
    }
    let replicas = containers(workspace, name);
    let findings = replicas
        .iter()
        .map(|replica| match ours(look, workspace, replica) {
            None => pending(format!("`{replica}` is not there"), None),
            Some(container) => of_replica(name, service, container, is),
        });
    worst(findings)
}

fn of_stopped(look: &Look, workspace: &Workspace, name: &ServiceName) -> Finding {
    let key = workspace.identity.key();
    // Of any generation, and of replicas that are too many as well.
    let running = look.observed.owned_by(&key).find(|(container, owner)| {
        owner.kind == Kind::Service
            && owner.name.as_deref() == Some(name.as_str())
            && owner.folder.as_ref() == Some(&workspace.identity.folder)
            && container.is_running()
    });
    match running {
        None => Finding::Met,
        Some((container, _)) => pending(format!("`{}` runs", container.name), Some(container)),
    }
}

/// Of several replicas the one that says most: one that ended, else one that is
/// not so yet.
fn worst(findings: impl Iterator<Item = Finding>) -> Finding {
    let mut worst = Finding::Met;
    for finding in findings {
        match (&worst, finding) {
            (_, ended @ (Finding::Ended(..) | Finding::Never(_))) => return ended,
            (Finding::Met, finding) => worst = finding,
            _ => {}
        }
    }
    worst
}

fn of_replica(
    name: &ServiceName,
    service: &Service,
    container: &ObservedContainer,
    is: Condition,
) -> Finding {
    let container_name = &container.name;
    match container.state {
        ContainerState::Running { since } => match (is, container.readiness) {
            (Condition::Completed, _) => {
                pending(format!("`{container_name}` runs"), Some(container))
            }
            (Condition::Ready, Readiness::Ready) if service.health.is_none() => {
                match SETTLED.saturating_sub(age(since)) {
                    Duration::ZERO => Finding::Met,
                    left => Finding::Pending(Pending {
                        why: format!("`{container_name}` has just started"),
                        container: Some(container_name.clone()),
                        again: Some(left),
                    }),
                }
            }
            (Condition::Ready, Readiness::Starting) => pending(
                format!("the health check of `{container_name}` has not succeeded yet"),
                Some(container),
            ),
            (Condition::Ready, Readiness::Unhealthy) => pending(
                format!("the health check of `{container_name}` fails"),
                Some(container),
            ),
            _ => Finding::Met,
        },
        ContainerState::Exited { code: 0, .. } if is == Condition::Completed => Finding::Met,
        ContainerState::Exited { code, .. } => {
            let stays = match service.restart {
                RestartPolicy::Always => false,
                RestartPolicy::OnFailure => code == 0,
                RestartPolicy::Never => true,
            };
            match stays {
                true => ended(
                    "service",
                    name.as_str(),
                    code,
                    container,
                    &format!("start it: `cosmos start {name}`"),
                ),
                false => pending(
                    format!("`{container_name}` ended with exit code {code}"),
                    Some(container),
                ),
            }
        }
        ContainerState::Created | ContainerState::Paused | ContainerState::Dead => {
            pending(format!("`{container_name}` does not run"), Some(container))
        }
    }
}

fn ended(kind: &str, name: &str, code: i64, container: &ObservedContainer, hint: &str) -> Finding {
    let problem = Problem::new(
        Problem::CANNOT_BE,
        format!("{kind} `{name}` ended with exit code {code}"),
    );
    Finding::Ended(problem.hinted(hint), container.name.clone())
}

fn invalid(message: String) -> Problem {
    Problem::new(Problem::CANNOT_BE, message)
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::SystemTime};

    use super::*;
    use crate::{
        plan::test_workspace::{name, service, shop},
        reconcile::controller::{Order, tests::Bench},
        workspace::HealthProbe,
    };

    const MINUTE: Duration = Duration::from_secs(60);

    /// Waits for one, as its own task.
    fn waiting(
        bench: &Bench,
        who: &str,
        condition: Option<Condition>,
    ) -> tokio::task::JoinHandle<Result<Vec<Met>, Problem>> {
        let controller = Arc::clone(&bench.controller);
        let names = [who.to_owned()];
        tokio::spawn(async move { controller.wait_for("shop", &names, condition, MINUTE).await })
    }

    /// Something of `web` changes, and the engine hints at it.
    fn change(bench: &Bench, change: impl FnOnce(&mut ObservedContainer)) {
        bench
            .engine
            .edit(|observed| change(&mut observed.containers[0]));
        bench.controller.world.send_modify(|version| *version += 1);
    }

    fn exited(code: i64) -> ContainerState {
        ContainerState::Exited {
            code,
            at: SystemTime::UNIX_EPOCH,
            out_of_memory: false,
        }
    }

    async fn up(web: Service) -> Bench {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", web)).await;
        bench
    }

    fn met(is: Condition) -> Vec<Met> {
        vec![Met {
            name: "web".to_owned(),
            is,
        }]
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_so_already_is_not_waited_for() {
        let bench = up(service("node:20")).await;
        let begun = Instant::now();
        let found = waiting(&bench, "web", None).await.unwrap();
        assert_eq!(found, Ok(met(Condition::Ready)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_wakes_the_waiter_and_time_alone_does_not() {
        let bench = up(service("node:20")).await;
        change(&bench, |web| web.state = ContainerState::Created);
        let waiting = waiting(&bench, "web", Some(Condition::Started));
        tokio::time::sleep(MINUTE / 2).await;
        assert!(!waiting.is_finished());
        let begun = Instant::now();
        change(&bench, |web| {
            web.state = ContainerState::Running {
                since: SystemTime::UNIX_EPOCH,
            };
        });
        assert_eq!(waiting.await.unwrap(), Ok(met(Condition::Started)));
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn a_service_without_a_health_is_ready_when_it_has_lived_for_a_moment() {
        let bench = up(service("node:20")).await;
        let since = SystemTime::now();
        change(&bench, |web| web.state = ContainerState::Running { since });
        let found = waiting(&bench, "web", None).await.unwrap();
        assert_eq!(found, Ok(met(Condition::Ready)));
        assert!(age(since) >= SETTLED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_was_set_back_or_forward_keeps_nobody_waiting() {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let now = SystemTime::now();
        for since in [now + DAY, now - DAY] {
            let bench = up(service("node:20")).await;
            change(&bench, |web| web.state = ContainerState::Running { since });
            let begun = Instant::now();
            let found = waiting(&bench, "web", None).await.unwrap();
            assert_eq!(found, Ok(met(Condition::Ready)));
            assert_eq!(begun.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn when_the_time_is_over_it_says_what_is_not_so_and_the_last_lines() {
        let mut checked = service("node:20").probed();
        if let Some(health) = &mut checked.health {
            // The engine's own check, which is what this one says it is.
            health.probe = HealthProbe::Command { run: Vec::new() };
        }
        let bench = up(checked).await;
        bench.engine.says(&name("shop-web-1"), "no database\n");
        change(&bench, |web| web.readiness = Readiness::Unhealthy);
        let late = bench
            .controller
            .wait_for("shop", &["web".to_owned()], None, MINUTE)
            .await
            .unwrap_err();
        assert_eq!(late.code, Problem::NOT_IN_TIME);
        assert_eq!(
            late.message,
            "`web` was not ready within 60 s: the health check of `shop-web-1` fails"
        );
        assert_eq!(late.output, ["no database"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_held_stopped_is_refused_at_once_by_its_order() {
        let bench = up(service("node:20")).await;
        bench.order("web", Order::Stop).await.unwrap();
        let refused = waiting(&bench, "web", None).await.unwrap().unwrap_err();
        assert_eq!(
            refused.message,
            "`web` is held stopped by `cosmos stop web`"
        );
        assert_eq!(
            refused.hint.as_deref(),
            Some("release it: `cosmos start web`")
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_for_it() {
        let bench = up(service("node:20")).await;
        let waiting = waiting(&bench, "web", Some(Condition::Stopped));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        bench.order("web", Order::Stop).await.unwrap();
        assert_eq!(waiting.await.unwrap(), Ok(met(Condition::Stopped)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_is_always_started_again_never_completes() {
        let bench = up(service("node:20")).await;
        let refused = waiting(&bench, "web", Some(Condition::Completed));
        assert_eq!(refused.await.unwrap().unwrap_err().code, Problem::CANNOT_BE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_service_that_ended_for_good_is_completed_or_said_to_have_failed() {
        let mut once = service("node:20");
        once.restart = RestartPolicy::Never;
        let bench = up(once).await;
        bench.engine.says(&name("shop-web-1"), "the reason\n");
        for (code, completed) in [(0, Ok(met(Condition::Completed))), (3, Err(()))] {
            change(&bench, |web| web.state = exited(code));
            let found = waiting(&bench, "web", Some(Condition::Completed));
            let found = found.await.unwrap();
            assert_eq!(found.clone().map_err(drop), completed);
            if let Err(problem) = found {
                assert_eq!(problem.message, "service `web` ended with exit code 3");
                assert_eq!(problem.output, ["the reason"]);
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_crash_that_is_healed_is_waited_out() {
        let bench = up(service("node:20")).await;
        change(&bench, |web| web.state = exited(1));
        let waiting = waiting(&bench, "web", None);
        tokio::time::sleep(MINUTE / 2).await;
        assert!(!waiting.is_finished());
        change(&bench, |web| {
            web.state = ContainerState::Running {
                since: SystemTime::UNIX_EPOCH,
            };
        });
        assert_eq!(waiting.await.unwrap(), Ok(met(Condition::Ready)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_failed_ends_the_wait_with_what_it_said() {
        let bench = Bench::empty();
        bench.engine.exit_with(&name("shop-migrate"), 3);
        bench.engine.says(&name("shop-migrate"), "the reason\n");
        bench
            .apply(&shop().with_command("migrate", "api:1", "v1"))
            .await;
        let failed = waiting(&bench, "migrate", None);
        let failed = failed.await.unwrap().unwrap_err();
        assert_eq!(failed.message, "command `migrate` ended with exit code 3");
        assert_eq!(failed.output, ["the reason"]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_end_is_not_final_while_somebody_is_at_work() {
        let bench = Bench::empty();
        let desired = shop().with_command("migrate", "api:1", "v1");
        bench.engine.exit_with(&name("shop-migrate"), 3);
        bench.apply(&desired).await;
        let turn = bench.controller.turn("shop");
        let at_work = turn.lock.lock().await;
        let waiting = waiting(&bench, "migrate", None);
        tokio::time::sleep(MINUTE / 2).await;
        assert!(!waiting.is_finished());
        change(&bench, |migrate| migrate.state = exited(0));
        drop(at_work);
        let found = waiting.await.unwrap().unwrap();
        assert_eq!(found[0].is, Condition::Completed);
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_is_done_is_completed_though_its_container_is_gone() {
        let bench = Bench::empty();
        bench
            .apply(&shop().with_command("migrate", "api:1", "v1"))
            .await;
        bench.engine.edit(|observed| observed.containers.clear());
        let found = waiting(&bench, "migrate", None).await.unwrap().unwrap();
        assert_eq!(found[0].is, Condition::Completed);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_declared_is_not_found() {
        let bench = up(service("node:20")).await;
        let refused = waiting(&bench, "wbe", None).await.unwrap().unwrap_err();
        assert_eq!(refused.code, "not_found");
    }
}
