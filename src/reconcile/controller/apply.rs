//! A person's wish for a whole workspace: made so, shown, or taken down.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::{Controller, Events, Held, Rerun, count, not_up, tell};
use crate::{
    plan::{Action, Plan, Volumes, plan},
    reconcile::{
        event::{Event, Problem},
        history::Cause,
    },
    store::StoreError,
    workspace::{Image, ImageRef, Memory, Observed, PullPolicy, RunState, SecretName, Workspace},
};

/// Twelve digits: as many as people know of ids, and far from a chance match.
const SHORT_DIGEST: usize = 12;

/// What a person wants now: `PUT /workspaces/KEY`.
#[derive(Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Wish {
    /// What is wanted.
    pub workspace: Workspace,
    /// The content of its secrets, base64.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub secrets: BTreeMap<SecretName, String>,
    /// Carry out only the plan with this digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<String>,
    /// Finish as soon as everything is started, without waiting for ready.
    #[serde(default)]
    pub no_wait: bool,
    /// Only these services, and what they depend on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub only: Vec<String>,
    /// Forget every override first.
    #[serde(default)]
    pub release: bool,
    /// One-shots to be run again though nothing changed.
    #[serde(default)]
    pub rerun: Rerun,
    /// Whatever is lost by it may be lost.
    #[serde(default)]
    pub yes: bool,
    /// There may be logins for registries: ask for them before anything is pulled.
    #[serde(default)]
    pub may_log_in: bool,
    /// The words of the order, for whoever asks later: `cosmos up`.
    #[serde(default)]
    pub by: String,
}

impl Wish {
    /// An earlier workspace again, with secrets that are known already.
    pub(super) fn again(
        workspace: Workspace,
        secrets: BTreeMap<SecretName, Vec<u8>>,
        no_wait: bool,
        by: String,
    ) -> Self {
        let encoded = secrets
            .into_iter()
            .map(|(name, content)| (name, STANDARD.encode(content)));
        Self {
            workspace,
            secrets: encoded.collect(),
            expect: None,
            no_wait,
            only: Vec::new(),
            release: false,
            rerun: Rerun::Nothing,
            // Whoever goes back wants what was, and not what came of it since.
            yes: true,
            may_log_in: false,
            by,
        }
    }
}

impl std::fmt::Debug for Wish {
    /// Without the content of secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wish")
            .field("workspace", &self.workspace)
            .field("secrets", &self.secrets.keys())
            .field("only", &self.only)
            .finish_non_exhaustive()
    }
}

/// What [`Controller::apply`] would do now.
#[derive(Debug, Clone)]
pub struct Preview {
    /// What it would do.
    pub plan: Plan,
    /// The services it would leave alone.
    pub unchanged: Vec<String>,
    /// The orders it would honour.
    pub holds: Vec<Held>,
}

impl Controller {
    /// Makes a workspace so. Tells what happens, and ends with
    /// [`Event::Finished`], or with what must be done first: [`Event::BuildNeeded`],
    /// [`Event::LoginsWanted`].
    ///
    /// # Errors
    /// If nothing could be tried.
    pub async fn apply(&self, wish: Wish, events: &Events) -> Result<(), Problem> {
        let turn = self.turn(&wish.workspace.identity.key());
        let _turn = turn.take(&self.world).await;
        self.apply_now(wish, events).await
    }

    /// The same, for whoever has the workspace's turn.
    pub(super) async fn apply_now(&self, wish: Wish, events: &Events) -> Result<(), Problem> {
        let began = Instant::now();
        let (workspace, wanted) = self.selected(&wish)?;
        let key = workspace.identity.key();

        self.forget_failures(&key);
        self.refuse_strangers(&workspace)?;
        let always = pulled_always(&workspace);
        if wish.may_log_in && !always.is_empty() {
            let images = always.iter().map(ToString::to_string).collect();
            tell(events, Event::LoginsWanted { images });
            return Ok(());
        }
        self.pull_always(&always, events).await?;
        let (desired, mut memory) = self
            .merged(&wish, &workspace, &wanted)
            .map_err(|error| Problem::from(&error))?;
        memory.asked.again = wish.rerun.of(&workspace)?;
        let planned = |seen: Observed| {
            let plan = self.planned(&workspace, &desired, &seen, &memory)?;
            Ok::<_, Problem>((plan, seen))
        };
        // That nothing is to be done may be told of a moment ago; what is done may not.
        let glanced = self.glanced(&desired).await?.map(planned).transpose()?;
        let (plan, observed) = match glanced.filter(|(plan, _)| plan.steps.is_empty()) {
            Some(glanced) => glanced,
            None => planned(self.seen(&desired).await?)?,
        };

        refuse_unlooked_at(&wish, &plan)?;
        let pulled = pulled(&plan);
        if wish.may_log_in && !pulled.is_empty() {
            tell(events, Event::LoginsWanted { images: pulled });
            return Ok(());
        }
        let unbuilt = unbuilt(&plan);
        if !unbuilt.is_empty() {
            tell(events, Event::BuildNeeded { images: unbuilt });
            return Ok(());
        }
        // Intent, committed before the first effect, and only now: an order that
        // is refused releases nothing.
        let before = self.newest(&key)?;
        let is_new = self.commit(&wish, &workspace, &wanted)?;

        if !plan.quiet.is_empty() {
            let changes = plan.quiet.clone();
            tell(events, Event::DeclarationChanged { changes });
        }
        let is_done = plan.steps.is_empty();
        if is_done && !is_new {
            self.turn(&key).finds_nothing_to_do();
        }
        let cause = Cause::Up {
            by: wish.by.clone(),
        };
        if is_done && self.newest(&key)? != before {
            self.remember(&key, cause.clone());
        }
        let mut outcome = self
            .carry_out_ordered(&desired, plan, cause, events)
            .await?;
        let after = if is_done {
            observed
        } else {
            let after = self.seen(&desired).await?;
            let there = after.containers.iter().map(|container| &container.id);
            self.store
                .forget_files_but_of(&key, &there.collect())
                .map_err(|error| Problem::from(&error))?;
            after
        };
        if !wish.no_wait && outcome.failed == 0 {
            for (subject, problem) in self.unready(&desired, &after, events).await {
                outcome.failed += 1;
                tell(
                    events,
                    Event::ServiceFailed {
                        service: subject,
                        problem,
                    },
                );
            }
        }
        if is_new || !is_done {
            // Whoever is told that it is ready may ask at once: the routes must lead there.
            self.look().await.map_err(|error| Problem::from(&error))?;
        }
        self.judge(&desired, &after, outcome.failed == 0)
            .map_err(|error| Problem::from(&error))?;
        outcome.services = count(
            desired
                .services
                .values()
                .filter(|service| service.run == RunState::Running),
        );
        outcome.held = self
            .holds_on(&desired)
            .map_err(|error| Problem::from(&error))?;
        outcome.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(events, Event::Finished { outcome });
        Ok(())
    }

    /// What [`Controller::apply`] would do now.
    ///
    /// # Errors
    /// If the engine cannot be looked at.
    pub async fn preview(&self, wish: &Wish) -> Result<Preview, Problem> {
        let (workspace, wanted) = self.selected(wish)?;
        self.refuse_strangers(&workspace)?;
        let look = self.glance().await.map_err(|error| Problem::from(&error))?;
        let (desired, mut memory) = self
            .merged(wish, &workspace, &wanted)
            .map_err(|error| Problem::from(&error))?;
        memory.asked.again = wish.rerun.of(&workspace)?;
        // The probes go on as they are: whoever only looks changes nothing.
        let plan = self.planned(&workspace, &desired, &look.observed, &memory)?;
        let touched = plan.services();
        let unchanged = desired
            .services
            .iter()
            .filter(|(name, service)| service.run != RunState::Off && !touched.contains(*name))
            .map(|(name, _)| name.to_string())
            .collect();
        let holds = match wish.release {
            true => Vec::new(),
            false => self
                .holds_on(&desired)
                .map_err(|error| Problem::from(&error))?,
        };
        Ok(Preview {
            plan,
            unchanged,
            holds,
        })
    }

    /// What is still to be done of what was declared last.
    ///
    /// # Errors
    /// If the workspace is not up, or the engine cannot be looked at.
    pub async fn pending(&self, key: &str) -> Result<Preview, Problem> {
        let declared = self
            .store
            .declared(key)
            .map_err(|error| Problem::from(&error))?
            .ok_or_else(|| not_up(key))?;
        let wish = Wish::again(declared.workspace, BTreeMap::new(), false, String::new());
        self.preview(&wish).await
    }

    /// The plan for a workspace, with what changes in it without a step.
    fn planned(
        &self,
        workspace: &Workspace,
        desired: &Workspace,
        observed: &Observed,
        memory: &Memory,
    ) -> Result<Plan, Problem> {
        let before = self
            .store
            .declared(&workspace.identity.key())
            .map_err(|error| Problem::from(&error))?
            .map(|declared| declared.workspace);
        Ok(plan(desired, observed, memory).with_quiet_changes(before.as_ref(), workspace))
    }

    /// Takes a workspace down: its containers, its own network, and its volumes
    /// if that was asked for.
    ///
    /// # Errors
    /// If it is not up from this folder, or the engine cannot be looked at.
    pub async fn down(
        &self,
        key: &str,
        folder: &str,
        volumes: Volumes,
        by: &str,
        events: &Events,
    ) -> Result<(), Problem> {
        let began = Instant::now();
        let turn = self.turn(key);
        let _turn = turn.take(&self.world).await;
        let Some(workspace) = self.desired_of(key) else {
            return Err(not_up(key));
        };
        if workspace.identity.folder != folder {
            return Err(other_folder(key, &workspace.identity.folder, folder));
        }
        let look = self.look().await.map_err(|error| Problem::from(&error))?;
        // Intent before the first effect: whatever happens from here on, healing
        // finishes it and does not bring back what goes.
        self.intend_to_leave(key, volumes)?;
        self.forget_failures(key);
        let plan = self
            .plan_to_leave(&workspace, &look.observed, volumes)
            .map_err(|error| Problem::from(&error))?;
        let stays = count(&plan.blocked);
        let cause = Cause::Down { by: by.to_owned() };
        let mut outcome = self.carry_out(&workspace, plan, cause, events).await?;
        if outcome.failed == stays && outcome.skipped == 0 {
            self.end_leaving(&workspace, volumes).await?;
        }
        outcome.millis = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        tell(events, Event::Finished { outcome });
        Ok(())
    }

    /// Fetches the images that are asked for at every `up`. The plan made after
    /// that replaces what runs from older ones.
    async fn pull_always(
        &self,
        images: &BTreeSet<&ImageRef>,
        events: &Events,
    ) -> Result<(), Problem> {
        for &reference in images {
            let pull = Action::PullImage {
                image: reference.clone(),
            };
            let progressed = |progress| {
                tell(
                    events,
                    Event::ImageProgressed {
                        image: reference.to_string(),
                        progress,
                    },
                );
            };
            self.engine
                .perform(&pull, &progressed)
                .await
                .map_err(|error| Problem::of_action(&pull, &error))?;
        }
        Ok(())
    }

    /// The wanted workspace, and the services that the wish is about; where only
    /// some were named, the others stay as they were last declared.
    fn selected(&self, wish: &Wish) -> Result<(Workspace, Vec<String>), Problem> {
        let mut workspace = wish.workspace.clone();
        if wish.only.is_empty() {
            let all = workspace.services.keys().map(ToString::to_string).collect();
            return Ok((workspace, all));
        }
        let before = self
            .store
            .declared(&workspace.identity.key())
            .map_err(|error| Problem::from(&error))?
            .map(|declared| declared.workspace);
        let mut wanted: Vec<String> = wish.only.clone();
        let mut next = 0;
        while let Some(name) = wanted.get(next).cloned() {
            next += 1;
            let after = match (
                workspace.services.get_mut(name.as_str()),
                workspace.commands.get(name.as_str()),
            ) {
                (Some(service), _) => {
                    // Naming a service that is off by its profile turns it on.
                    service.run = RunState::Running;
                    service.depends_on.keys().cloned().collect::<Vec<_>>()
                }
                (None, Some(command)) => command.depends_on.keys().cloned().collect(),
                (None, None) => {
                    return Err(Problem::new(
                        "not_found",
                        format!("there is no service `{name}` in the config"),
                    )
                    .hinted("`cosmos config` lists the services"));
                }
            };
            wanted.extend(
                after
                    .into_iter()
                    .filter(|after| !wanted.contains(after))
                    .collect::<Vec<_>>(),
            );
        }
        for (name, service) in &mut workspace.services {
            if wanted.iter().any(|wanted| wanted == name.as_str()) {
                continue;
            }
            match before.as_ref().and_then(|before| before.services.get(name)) {
                Some(before) => *service = before.clone(),
                None => service.run = RunState::Off,
            }
        }
        for (name, command) in &mut workspace.commands {
            command.needed = command.needed && wanted.iter().any(|wanted| wanted == name.as_str());
        }
        Ok((workspace, wanted))
    }

    /// Refuses a workspace whose name another folder has, and shared settings
    /// on which two workspaces disagree.
    fn refuse_strangers(&self, workspace: &Workspace) -> Result<(), Problem> {
        let key = workspace.identity.key();
        for other in self.lock_desired().values() {
            let other_key = other.identity.key();
            if other_key == key {
                if other.identity.folder != workspace.identity.folder {
                    return Err(other_folder(
                        &key,
                        &other.identity.folder,
                        &workspace.identity.folder,
                    ));
                }
                continue;
            }
            if other.network.name == workspace.network.name && other.network != workspace.network {
                return Err(Problem::new(
                    "conflict",
                    format!(
                        "network `{}` is already set up otherwise by workspace `{other_key}` ({})",
                        workspace.network.name, other.identity.folder
                    ),
                )
                .hinted("make the two `[network]` tables the same, or set `isolated = true`"));
            }
        }
        Ok(())
    }

    /// The workspace with its overrides, unless they are to be forgotten, and what
    /// the store remembers of it. What is wanted is tried, though it failed before.
    fn merged(
        &self,
        wish: &Wish,
        workspace: &Workspace,
        wanted: &[String],
    ) -> Result<(Workspace, Memory), StoreError> {
        let key = workspace.identity.key();
        let overrides = self.store.overrides(&key)?;
        let mut memory = self.store.memory(&key)?;
        let mut fallbacks = self.store.fallbacks(&key)?;
        fallbacks
            .0
            .retain(|(service, _)| !wanted.iter().any(|name| name == service.as_str()));
        let kept = fallbacks.apply(workspace);
        if wish.release {
            memory.asked.started = overrides.stopped();
            return Ok((kept, memory));
        }
        Ok((overrides.apply(&kept), memory))
    }

    /// Writes down what is wanted, and wants it. Whether it was not so before.
    fn commit(
        &self,
        wish: &Wish,
        workspace: &Workspace,
        wanted: &[String],
    ) -> Result<bool, Problem> {
        let key = workspace.identity.key();
        let secrets = decoded(&wish.secrets)?;
        let again = wish.rerun.of(workspace)?;
        let write = || {
            self.store.secrets().replace(&key, &secrets)?;
            match wish.release {
                true => self.store.declare_and_release(workspace)?,
                false => self.store.declare(workspace)?,
            };
            // Not done any more: if the new run fails, the next `up` tries again.
            self.store.forget_runs(&key, &again)?;
            let fallbacks = self.store.fallbacks(&key)?.0;
            let tried = fallbacks.iter().map(|(service, _)| service);
            let mut tried = tried.filter(|name| wanted.iter().any(|it| it == name.as_str()));
            self.store.forget_fallbacks(&key, &mut tried)?;
            self.desire(workspace)
        };
        write().map_err(|error: StoreError| Problem::from(&error))
    }
}

/// Refuses a plan that is not the one somebody looked at, and one that loses what
/// nobody has agreed to.
fn refuse_unlooked_at(wish: &Wish, plan: &Plan) -> Result<(), Problem> {
    if let Some(expected) = &wish.expect
        && !is_digest(expected, plan)
    {
        return Err(Problem::new(
            Problem::WORLD_MOVED,
            "the plan is not the one you looked at any more",
        )
        .hinted("look again: `cosmos plan`"));
    }
    let losses = plan.losses();
    if wish.yes || losses.is_empty() {
        return Ok(());
    }
    let message = format!("this loses what nothing brings back: {}", losses.join("; "));
    Err(Problem::new(Problem::CONFIRM, message).hinted("say so: `cosmos up --yes`"))
}

/// Whether a plan has this digest, or one that starts so: `cosmos plan` shows
/// twelve digits of it.
fn is_digest(expected: &str, plan: &Plan) -> bool {
    expected.len() >= SHORT_DIGEST && plan.digest().starts_with(expected)
}

/// The images that every `up` asks a registry for.
fn pulled_always(workspace: &Workspace) -> BTreeSet<&ImageRef> {
    let images = workspace.images().filter_map(|image| match image {
        Image::Pulled {
            reference,
            policy: PullPolicy::Always,
        } => Some(reference),
        _ => None,
    });
    images.collect()
}

/// The images that a plan pulls.
fn pulled(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::PullImage { image } => Some(image.to_string()),
            _ => None,
        })
        .collect()
}

/// The tags of images that only the CLI can build.
fn unbuilt(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .filter_map(|step| match &step.action {
            Action::BuildImage { image } => Some(image.to_string()),
            _ => None,
        })
        .collect()
}

fn decoded(
    secrets: &BTreeMap<SecretName, String>,
) -> Result<BTreeMap<SecretName, Vec<u8>>, Problem> {
    secrets
        .iter()
        .map(|(name, content)| match STANDARD.decode(content) {
            Ok(content) => Ok((name.clone(), content)),
            Err(_) => Err(Problem::new(
                "invalid_request",
                format!("secret `{name}` is not base64"),
            )),
        })
        .collect()
}

pub(super) fn other_folder(key: &str, theirs: &str, ours: &str) -> Problem {
    Problem::new(
        "other_folder",
        format!("workspace `{key}` is up from {theirs}, and this is {ours}"),
    )
    .hinted(
        "give this checkout a name of its own: `cosmos --instance NAME up`, or take the other down",
    )
}
