//! Imperative orders: stop, start, restart, scale, release, remove.
//!
//! An order about a declared service is recorded as an override before anything
//! is done, and honoured by every later reconcile. An order about any other
//! container of ours is just carried out. `docs/overrides.md` is the contract.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Controller, Event, Look, not_up};
use crate::{
    plan::{Action, Launch, plan, restart},
    reconcile::{
        adhoc::{self, AdhocError, random_word},
        event::Problem,
        history::Cause,
    },
    store::now_millis,
    workspace::{
        Asked, Aspect, CommandKind, ContainerId, ContainerName, Fingerprint, Hold, Hooks, Kind,
        ObservedContainer, Override, Owner, RunState, ServiceName, Workspace,
    },
};

/// What can be ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Let it run.
    Start,
    /// Stop it, and hold it stopped if it is a service.
    Stop,
    /// The same for a service, until this is over.
    StopFor(Duration),
    /// Stop it and start it again.
    Restart,
    /// Restart a service that runs, and leave alone one that is held stopped or off.
    Refresh,
    /// Let there be so many of a service.
    Scale(u32),
    /// Forget every hold on a service.
    Release,
    /// Remove an ad-hoc container.
    Remove,
}

/// What is to be remembered of an order, for whoever asks later.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Words {
    /// The order itself: `cosmos stop web`.
    pub by: String,
    /// Who gave it: `anna@host`.
    pub who: Option<String>,
    /// What for.
    pub why: Option<String>,
}

/// What an order did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Obeyed {
    /// The service, if it was one.
    pub service: Option<String>,
    /// The containers, by name.
    pub containers: Vec<String>,
    /// A sentence worth showing: an override that was recorded or released.
    pub note: Option<String>,
}

/// What a reference means.
#[derive(Debug, Clone)]
pub enum Meant {
    /// A declared service.
    Service {
        /// The workspace's key.
        key: String,
        /// The service.
        name: ServiceName,
    },
    /// One container of ours.
    Container(Box<ObservedContainer>),
}

/// How a command is run by hand.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default)]
pub struct RunCommand {
    /// Further arguments.
    pub args: Vec<String>,
    /// With a terminal.
    pub tty: bool,
    /// With standard input.
    pub stdin: bool,
}

impl Controller {
    /// Finds out what a person means: a service of the workspace they are in, a
    /// service of the only workspace that has one of this name, or a container.
    ///
    /// # Errors
    /// If nothing is meant, or more than one thing.
    pub async fn meant(&self, reference: &str, workspace: Option<&str>) -> Result<Meant, Problem> {
        if let Some((key, name)) = self.service_called(reference, workspace)? {
            return Ok(Meant::Service { key, name });
        }
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        self.meant_at(&look, reference, workspace)
    }

    /// The same, as things were at that look.
    pub(super) fn meant_at(
        &self,
        look: &Look,
        reference: &str,
        workspace: Option<&str>,
    ) -> Result<Meant, Problem> {
        if let Some((key, name)) = self.service_called(reference, workspace)? {
            return Ok(Meant::Service { key, name });
        }
        let mut ours = Vec::new();
        for container in &look.observed.containers {
            let is_ours = match container.owner.as_ref().map(|owner| owner.kind) {
                None | Some(Kind::Proxy) => false,
                // Labels can be copied: only the store knows these.
                Some(Kind::Adhoc) => self
                    .store
                    .owns_adhoc(&container.id)
                    .map_err(|error| Problem::from(&error))?,
                Some(Kind::Service | Kind::Command) => true,
            };
            if is_ours {
                ours.push(container);
            }
        }
        // `status` lists one-shots by their names, so these mean them.
        let one_shot = ours.iter().find(|container| {
            container.owner.as_ref().is_some_and(|owner| {
                owner.kind == Kind::Command
                    && owner.name.as_deref() == Some(reference)
                    && owner.workspace.as_deref() == workspace
            })
        });
        if let Some(container) = one_shot {
            return Ok(Meant::Container(Box::new((*container).clone())));
        }
        let container = adhoc::find(ours.into_iter(), reference)?;
        // A replica stands for its service: an order about one of several would be
        // undone by the next reconcile.
        if let Some(owner) = &container.owner
            && owner.kind == Kind::Service
            && let (Some(key), Some(name)) = (&owner.workspace, &owner.name)
            && let Some(desired) = self.desired_of(key)
            && let Some((name, _)) = desired.services.get_key_value(name.as_str())
        {
            return Ok(Meant::Service {
                key: key.clone(),
                name: name.clone(),
            });
        }
        Ok(Meant::Container(Box::new(container.clone())))
    }

    fn service_called(
        &self,
        reference: &str,
        workspace: Option<&str>,
    ) -> Result<Option<(String, ServiceName)>, Problem> {
        let desired = self.lock_desired();
        let service_in = |key: &str, workspace: &Workspace| {
            workspace
                .services
                .get_key_value(reference)
                .map(|(name, _)| (key.to_owned(), name.clone()))
        };
        if let Some((key, here)) = workspace.and_then(|key| desired.get_key_value(key))
            && let Some(found) = service_in(key, here)
        {
            return Ok(Some(found));
        }
        let mut found: Vec<_> = desired
            .iter()
            .filter_map(|(key, there)| service_in(key, there))
            .collect();
        if found.len() > 1 {
            let keys: Vec<_> = found.iter().map(|(key, _)| format!("`{key}`")).collect();
            return Err(Problem::new(
                "ambiguous",
                format!("{} have a service `{reference}`", keys.join(" and ")),
            )
            .hinted("give the order in the project's folder, or name the container"));
        }
        Ok(found.pop())
    }

    /// Carries out an order.
    ///
    /// # Errors
    /// If it makes no sense for what is meant, or was not done.
    pub async fn order(
        &self,
        reference: &str,
        order: Order,
        workspace: Option<&str>,
        words: &Words,
    ) -> Result<Obeyed, Problem> {
        match self.meant(reference, workspace).await? {
            Meant::Service { key, name } => self.order_service(&key, &name, order, words).await,
            Meant::Container(container) => self.order_container(&container, order).await,
        }
    }

    async fn order_container(
        &self,
        container: &ObservedContainer,
        order: Order,
    ) -> Result<Obeyed, Problem> {
        let name = container.name.clone();
        let grace = adhoc::STOP_GRACE;
        // Of a declared service only: an ad-hoc container has none.
        let hooks = Hooks::default();
        let action = match order {
            Order::Start => Action::Start {
                container: name,
                hooks,
            },
            Order::Stop => Action::Stop {
                container: name,
                grace,
                hooks,
            },
            Order::Restart => Action::Restart {
                container: name,
                grace,
                hooks,
            },
            Order::Remove => Action::Remove { container: name },
            Order::Release => return Err(no_service(&container.name, "nothing holds it")),
            Order::StopFor(_) => return Err(no_service(&container.name, "it cannot be held")),
            Order::Scale(_) => return Err(no_service(&container.name, "there is one of it")),
            Order::Refresh => {
                return Err(no_service(&container.name, "it is not in a config")
                    .hinted(format!("`cosmos restart {}` restarts it", container.name)));
            }
        };
        self.engine
            .perform(&action, &|_| ())
            .await
            .map_err(|error| Problem::of_action(&action, &error))?;
        if order == Order::Remove {
            self.store
                .disown_adhoc(&container.id)
                .map_err(|error| Problem::from(&error))?;
        }
        Ok(Obeyed {
            service: None,
            containers: vec![container.name.to_string()],
            note: None,
        })
    }

    async fn order_service(
        &self,
        key: &str,
        service: &ServiceName,
        order: Order,
        words: &Words,
    ) -> Result<Obeyed, Problem> {
        let turn = self.turn(key);
        let _turn = turn.take(&self.world).await;
        self.refuse_leaving(key)?;
        let declared = self
            .store
            .declared(key)
            .map_err(|error| Problem::from(&error))?
            .ok_or_else(|| not_up(key))?
            .workspace;
        // Decided here, where nobody else can give an order meanwhile.
        if order == Order::Refresh
            && let Some(desired) = self.desired_of(key)
            && let Some(note) = why_asleep(&desired, service)
        {
            return Ok(Obeyed {
                service: Some(service.to_string()),
                containers: Vec::new(),
                note: Some(note),
            });
        }
        let note = self.record(key, service, order, words, &declared)?;
        self.desire(&declared)
            .map_err(|error| Problem::from(&error))?;
        let desired = self.desired_of(key).ok_or_else(|| not_up(key))?;
        let containers = containers(&desired, service);
        self.forget_crashes(&containers);
        self.forget_failures(key);
        let mut asked = Asked::default();
        if matches!(order, Order::Start | Order::Release) {
            asked.started.insert(service.clone());
        }
        let restarted = matches!(order, Order::Restart | Order::Refresh).then_some(service);
        let cause = Cause::Order {
            by: words.by.clone(),
            who: words.who.clone(),
            why: words.why.clone(),
            note: note.clone(),
        };
        self.obey(&desired, restarted, asked, cause).await?;
        Ok(Obeyed {
            service: Some(service.to_string()),
            containers: containers.iter().map(ToString::to_string).collect(),
            note,
        })
    }

    /// Writes the override that an order means; what to tell of it.
    fn record(
        &self,
        key: &str,
        service: &ServiceName,
        order: Order,
        words: &Words,
        declared: &Workspace,
    ) -> Result<Option<String>, Problem> {
        let held_for = |hold, lasting: Option<Duration>| {
            let at = now_millis();
            let order = Override {
                hold,
                by: words.by.clone(),
                who: words.who.clone(),
                at,
                until: lasting.map(|lasting| {
                    at.saturating_add(u64::try_from(lasting.as_millis()).unwrap_or(u64::MAX))
                }),
                why: words.why.clone(),
            };
            self.store
                .set_override(key, service, &order)
                .map_err(|error| Problem::from(&error))
        };
        let held = |hold| held_for(hold, None);
        let Some(declared) = declared.services.get(service) else {
            return Err(not_declared(service));
        };
        let is_off = declared.run == RunState::Off;
        match order {
            Order::Stop => {
                held(Hold::Stopped)?;
                Ok(Some(format!(
                    "service `{service}` is held stopped until `cosmos start {service}`"
                )))
            }
            Order::StopFor(lasting) => {
                held_for(Hold::Stopped, Some(lasting))?;
                Ok(Some(format!(
                    "service `{service}` is held stopped for {}, or until `cosmos start {service}`",
                    Span(lasting)
                )))
            }
            Order::Scale(0) => Err(Problem::new(
                "invalid_request",
                format!("service `{service}` cannot have 0 replicas"),
            )
            .hinted(format!("to have it off: `cosmos stop {service}`"))),
            Order::Scale(count) => {
                if let Some(why) = declared.cannot_be(count) {
                    return Err(Problem::new(
                        "invalid_request",
                        format!("service `{service}` cannot have {count} replicas: {why}"),
                    ));
                }
                held(Hold::Replicas(count))?;
                Ok(Some(format!(
                    "service `{service}` is scaled to {count} until `cosmos release {service}`"
                )))
            }
            // A restart starts what is stopped, too, as it does with containers.
            Order::Start | Order::Restart if is_off => {
                held(Hold::Started)?;
                Ok(Some(format!(
                    "service `{service}` is off by its profile and is held started until `cosmos release {service}`"
                )))
            }
            // What else was ordered stays: how many replicas there are.
            Order::Start | Order::Restart => Ok(self
                .store
                .release(key, service, Aspect::Run)
                .map_err(|error| Problem::from(&error))?
                .then(|| format!("the hold on service `{service}` is released"))),
            // It was found awake: nothing holds it, and nothing has to be remembered.
            Order::Refresh => Ok(None),
            Order::Release => {
                let released = self
                    .store
                    .release_service(key, service)
                    .map_err(|error| Problem::from(&error))?;
                Ok(Some(if released {
                    format!("service `{service}` follows the config again")
                } else {
                    format!("nothing held service `{service}`")
                }))
            }
            Order::Remove => Err(Problem::new(
                "invalid_request",
                format!("`{service}` is declared in the config"),
            )
            .hinted(format!(
                "take it out of cosmos.toml, or hold it stopped: `cosmos stop {service}`"
            ))),
        }
    }

    /// Plans and executes for a workspace whose turn the caller has, a restart
    /// first if one was ordered. The first failure is the answer; the others are
    /// healed or told by `status`.
    pub(super) async fn obey(
        &self,
        desired: &Workspace,
        restarted: Option<&ServiceName>,
        asked: Asked,
        cause: Cause,
    ) -> Result<(), Problem> {
        let key = desired.identity.key();
        let (sender, mut events) = mpsc::unbounded_channel();
        let mut has_done = false;
        if let Some(service) = restarted {
            let look = self.look().await.map_err(|error| Problem::from(&error))?;
            let plan = restart(desired, service, &look.observed, &format!("by {cause}"));
            has_done |= !plan.steps.is_empty();
            self.carry_out(desired, plan, cause.clone(), &sender)
                .await?;
        }
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        let mut memory = self
            .store
            .memory(&key)
            .map_err(|error| Problem::from(&error))?;
        memory.asked = asked;
        let plan = plan(desired, &look.observed, &memory);
        has_done |= !plan.steps.is_empty();
        if !has_done {
            self.remember(&key, cause.clone());
        }
        self.carry_out_ordered(desired, plan, cause, &sender)
            .await?;
        drop(sender);
        while let Some(event) = events.recv().await {
            if let Event::StepFailed { problem, .. } | Event::Blocked { problem, .. } = event {
                return Err(problem);
            }
        }
        Ok(())
    }

    /// Creates the container of a command, unstarted, so that its caller can attach first.
    ///
    /// # Errors
    /// If there is no such command, or the engine refuses.
    pub async fn create_command(
        &self,
        key: &str,
        command: &str,
        run: RunCommand,
    ) -> Result<(ContainerId, ContainerName), Problem> {
        self.refuse_leaving(key)?;
        let desired = self.desired_of(key).ok_or_else(|| not_up(key))?;
        let Some((name, declared)) = desired.commands.get_key_value(command) else {
            return Err(Problem::new(
                "not_found",
                format!("there is no command `{command}` in `{key}`"),
            ));
        };
        let CommandKind::Container(container) = &declared.kind else {
            return Err(Problem::new(
                "invalid_request",
                format!("command `{command}` runs in a service: exec it there"),
            ));
        };
        let mut container = (**container).clone();
        container.tty = run.tty;
        container.stdin = run.stdin;
        if let Some(words) = &mut container.command {
            words.extend(run.args);
        }
        let canonical = desired.identity.command_container(name);
        let unique = ContainerName::new(format!("{canonical}-run-{}", random_word(4)))
            .map_err(|error| Problem::new("invalid_name", error.to_string()))?;
        let launch = Launch {
            name: unique.clone(),
            owner: Owner {
                // In nobody's plan: it goes when it has run. The workspace is where
                // its secrets are looked up.
                kind: Kind::Adhoc,
                workspace: Some(desired.identity.key()),
                folder: Some(desired.identity.folder.clone()),
                name: Some(name.to_string()),
                replica: 1,
                spec: Fingerprint::of_container(&container),
                generation: random_word(adhoc::GENERATION),
            },
            network: desired.network.name.clone(),
            aliases: Vec::new(),
            search: Some(desired.identity.domain()),
            health: None,
            remove_when_done: true,
            container,
        };
        let action = Action::Create(Box::new(launch.clone()));
        match adhoc::create_ours(&*self.engine, &self.store, launch, &|_| ()).await {
            Ok(id) => Ok((id, unique)),
            Err(AdhocError::Engine(error)) => Err(Problem::of_action(&action, &error)),
            Err(error) => Err(Problem::from(&error)),
        }
    }
}

/// The containers that a service should have, by name.
pub(super) fn containers(desired: &Workspace, service: &ServiceName) -> Vec<ContainerName> {
    let replicas = desired
        .services
        .get(service)
        .map_or(0, |service| service.replicas);
    (1..=replicas)
        .map(|replica| desired.identity.container(service, replica))
        .collect()
}

fn no_service(container: &ContainerName, so: &str) -> Problem {
    Problem::new(
        "invalid_request",
        format!("`{container}` is no service: {so}"),
    )
}

fn not_declared(service: &ServiceName) -> Problem {
    Problem::new("not_found", format!("there is no service `{service}`"))
}

/// `2 h`, `90 min`: in the largest unit that it is a number of.
struct Span(Duration);

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let millis = self.0.as_millis();
        let units = [
            (86_400_000, "d"),
            (3_600_000, "h"),
            (60_000, "min"),
            (1_000, "s"),
        ];
        let whole = units
            .into_iter()
            .find(|(unit, _)| millis >= *unit && millis.is_multiple_of(*unit));
        match whole {
            Some((unit, word)) => write!(f, "{} {word}", millis / unit),
            None => write!(f, "{millis} ms"),
        }
    }
}

/// Why a service must not be woken, if it must not.
fn why_asleep(desired: &Workspace, service: &ServiceName) -> Option<String> {
    match &desired.services.get(service)?.run {
        RunState::Running => None,
        RunState::Stopped { because } => Some(format!("service `{service}` is {because}")),
        RunState::Off => Some(format!("service `{service}` is off by its profile")),
    }
}
