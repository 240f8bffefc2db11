//! Host ports that nobody asked for by number: a container keeps the one it got
//! first, and gets another where somebody else has that by now.

use super::{Controller, Events};
use crate::{
    plan::{Action, Plan, plan},
    reconcile::{
        engine::EngineError,
        event::{Outcome, Problem},
        history::Cause,
    },
    workspace::{ContainerName, Kind, RunState, Service, ServiceName, Workspace},
};

impl Controller {
    /// Carries out what a person ordered. Where a container turns out to have lost
    /// its host port, what is left is planned anew, with another one.
    pub(super) async fn carry_out_ordered(
        &self,
        desired: &Workspace,
        planned: Plan,
        cause: Cause,
        events: &Events,
    ) -> Result<Outcome, Problem> {
        let key = desired.identity.key();
        let mut outcome = self
            .carry_out(desired, planned, cause.clone(), events)
            .await?;
        // Each can lose its port once: the one that it gets instead is free.
        let containers: u32 = desired.services.values().map(|it| it.replicas).sum();
        for _ in 0..containers {
            if outcome.skipped == 0 || !self.has_lost_a_port(desired)? {
                break;
            }
            let look = self.look().await.map_err(|error| Problem::from(&error))?;
            let memory = self.store.memory(&key);
            let memory = memory.map_err(|error| Problem::from(&error))?;
            let planned = plan(desired, &look.observed, &memory);
            let before = outcome;
            outcome = self
                .carry_out(desired, planned, cause.clone(), events)
                .await?;
            outcome.succeeded += before.succeeded;
            outcome.failed += before.failed;
        }
        Ok(outcome)
    }

    /// Whether a container that should run has to get another host port.
    pub(super) fn has_lost_a_port(&self, desired: &Workspace) -> Result<bool, Problem> {
        let memory = self.store.memory(&desired.identity.key());
        let given_up = memory.map_err(|error| Problem::from(&error))?.given_up;
        let of = |it: &ContainerName| service_of(desired, it);
        let runs = |service: &Service| service.run == RunState::Running;
        Ok(given_up.iter().filter_map(of).any(runs))
    }

    /// What a refused action means to a person. A host port that somebody else has
    /// is given up, unless it was asked for by its number.
    pub(super) fn what_was_refused(
        &self,
        desired: &Workspace,
        action: &Action,
        error: &EngineError,
    ) -> Problem {
        let problem = Problem::of_action(action, error);
        let EngineError::PortTaken { port } = error else {
            return problem;
        };
        let container = match action {
            Action::Launch(launch) => &launch.name,
            Action::Start { container, .. } | Action::Restart { container, .. } => container,
            _ => return problem,
        };
        match self.gives_up(desired, container, *port) {
            true => Problem::new(Problem::PORT_LOST, problem.message),
            false => self.taken_by(desired, container, *port, problem),
        }
    }

    /// The same, with whose port it was to be, where that is written, and who has it, if
    /// that is a container of ours: from the host, all of them look like the engine's own.
    fn taken_by(
        &self,
        desired: &Workspace,
        container: &ContainerName,
        port: u16,
        problem: Problem,
    ) -> Problem {
        let at = named_service_of(desired, container)
            .and_then(|(name, _)| desired.origins.of(&format!("services.{name}.ports")));
        let place = at.map(|at| format!(" ({at})")).unwrap_or_default();
        let message = format!(
            "`{container}` does not get its port: {}{place}",
            problem.message
        );
        let problem = Problem { message, ..problem };
        let look = self.looked.borrow();
        let mut running = look
            .observed
            .containers
            .iter()
            .filter(|one| one.is_running());
        let holder = running.find(|one| one.ports.iter().any(|held| held.host == Some(port)));
        match holder.and_then(|one| Some((&one.name, one.owner.as_ref()?.kind))) {
            Some((name, Kind::Adhoc)) => problem.hinted(format!(
                "the container `{name}` has it: `cosmos stop {name}`, or another number here"
            )),
            Some((name, Kind::Proxy)) => problem.hinted(format!(
                "the proxy, `{name}`, has it: write another number here"
            )),
            Some((name, _)) => problem.hinted(format!(
                "the container `{name}` has it: write another number for one of them"
            )),
            None => problem,
        }
    }

    fn gives_up(&self, desired: &Workspace, container: &ContainerName, host: u16) -> bool {
        let Some(service) = service_of(desired, container) else {
            return false;
        };
        let ports = &service.container.ports;
        if ports.iter().any(|port| port.host == Some(host)) {
            return false;
        }
        let open = ports.iter().filter(|port| port.host.is_none());
        let inside: Vec<u16> = open.map(|port| port.container).collect();
        match self.store.give_up_host_port(container, host, &inside) {
            Ok(()) => !inside.is_empty(),
            Err(error) => {
                tracing::warn!(%container, %error, "a host port cannot be given up");
                false
            }
        }
    }
}

/// The service that has a container of this name.
pub(super) fn service_of<'a>(
    desired: &'a Workspace,
    container: &ContainerName,
) -> Option<&'a Service> {
    named_service_of(desired, container).map(|(_, service)| service)
}

fn named_service_of<'a>(
    desired: &'a Workspace,
    container: &ContainerName,
) -> Option<(&'a ServiceName, &'a Service)> {
    let mut services = desired.services.iter();
    let has_it = |(name, service): &(&ServiceName, &Service)| {
        let mut replicas = 1..=service.replicas;
        replicas.any(|replica| desired.identity.container(name, replica) == *container)
    };
    services.find(has_it)
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use tokio::{sync::mpsc, time::sleep_until};

    use crate::{
        plan::test_workspace::{name, service, shop},
        reconcile::{
            controller::tests::{Bench, wish},
            event::Event,
        },
        workspace::{ContainerId, ContainerState, Kind, Observed, Origin},
    };

    /// `web` has ended, and a stranger has the host port that it had.
    async fn robbed(host: Option<u16>) -> (Bench, u16) {
        let bench = Bench::empty();
        bench
            .apply(&shop().with("web", service("node:20").port(host, 80)))
            .await;
        let port = bench.container("shop-web-1").ports[0].host.unwrap();
        bench.engine.edit(|observed: &mut Observed| {
            let mut stranger = observed.containers[0].clone();
            stranger.id = ContainerId::new("stranger").unwrap();
            (stranger.name, stranger.owner) = (name("stranger"), None);
            observed.containers[0].state = ContainerState::Exited {
                code: 1,
                at: SystemTime::UNIX_EPOCH,
                out_of_memory: false,
            };
            observed.containers.push(stranger);
        });
        (bench, port)
    }

    async fn heal(bench: &Bench) {
        for _ in 0..5 {
            if let Some(at) = bench.controller.heal_all().await.unwrap() {
                sleep_until(at).await;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_port_that_somebody_took_meanwhile_is_given_up_for_another() {
        let (bench, taken) = robbed(None).await;
        heal(&bench).await;
        let web = bench.container("shop-web-1");
        assert!(web.is_running());
        let now = web.ports[0].host.unwrap();
        assert_ne!(now, taken);
        let memory = bench.store.memory("shop").unwrap();
        assert_eq!(memory.host_ports[&(name("shop-web-1"), 80)], now);
        assert!(memory.given_up.is_empty());
        assert!(bench.container("stranger").is_running());
    }

    #[tokio::test(start_paused = true)]
    async fn a_host_port_that_was_asked_for_by_number_is_waited_for() {
        let (bench, taken) = robbed(Some(8080)).await;
        heal(&bench).await;
        assert!(!bench.container("shop-web-1").is_running());
        bench.engine.edit(|observed| {
            observed
                .containers
                .retain(|one| one.name.as_str() != "stranger");
        });
        heal(&bench).await;
        let web = bench.container("shop-web-1");
        assert_eq!(web.ports[0].host, Some(taken));
    }

    #[tokio::test]
    async fn who_has_a_port_and_who_wants_it_is_told() {
        let bench = Bench::empty();
        let at = |number| service("node:20").port(Some(number), 80);
        bench.apply(&shop().with("web", at(8080))).await;
        bench.engine.edit(|observed| {
            let mut stranger = observed.containers[0].clone();
            stranger.id = ContainerId::new("adhoc").unwrap();
            stranger.name = name("cache");
            stranger.ports[0].host = Some(8081);
            stranger.owner.as_mut().unwrap().kind = Kind::Adhoc;
            observed.containers.push(stranger);
        });
        bench.controller.look().await.unwrap();
        let mut desired = shop().with("web", at(8081));
        let line = Origin::Written {
            file: "cosmos.toml".to_owned(),
            line: 7,
        };
        desired.origins.0.insert("services.web".to_owned(), line);
        let (sender, mut events) = mpsc::unbounded_channel();
        bench
            .controller
            .apply(wish(&desired), &sender)
            .await
            .unwrap();
        drop(sender);
        let mut told = Vec::new();
        while let Some(event) = events.recv().await {
            if let Event::StepFailed { problem, .. } = event {
                told.push((problem.message, problem.hint.unwrap()));
            }
        }
        let message =
            "`shop-web-1` does not get its port: host port 8081 is already in use (cosmos.toml:7)";
        let hint = "the container `cache` has it: `cosmos stop cache`, or another number here";
        assert_eq!(told[0], (message.to_owned(), hint.to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn an_up_takes_another_host_port_at_once_and_says_so() {
        let (bench, _) = robbed(None).await;
        let desired = shop().with("web", service("node:22").port(None, 80));
        let (sender, mut events) = mpsc::unbounded_channel();
        let applied = bench.controller.apply(wish(&desired), &sender);
        applied.await.unwrap();
        drop(sender);
        let (mut reasons, mut failed) = (Vec::new(), None);
        while let Some(event) = events.recv().await {
            match event {
                Event::PlanMade { steps } => {
                    reasons.extend(steps.into_iter().map(|step| step.reason));
                }
                Event::Finished { outcome } => failed = Some(outcome.failed),
                _ => {}
            }
        }
        assert_eq!(failed, Some(0));
        let why = "its host port was taken by something else".to_owned();
        assert!(reasons.contains(&why), "{reasons:?}");
        assert_eq!(bench.container("shop-web-1").image.as_str(), "node:22");
    }
}
