//! What was: the history, why a service is what it is, and the way back.

use serde::{Deserialize, Serialize};

use super::{Controller, Events, Wish, not_up};
use crate::{
    reconcile::{
        event::Problem,
        history::{self, Cause, Doing, Told},
    },
    store::{EntryState, Revision, RevisionState, StoreError, Stored},
    workspace::{
        CommandKind, Container, Image, ImageRef, Observed, ObservedContainer, PullPolicy,
        ServiceName, Workspace,
    },
};

/// One entry of a workspace's history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Entry {
    /// Which, from 1 in each workspace.
    pub number: u64,
    /// The revision that was in force when it began; 0 if none was.
    pub revision: u64,
    /// When it began, in milliseconds since the epoch.
    pub at: u64,
    /// How it stands.
    pub state: EntryState,
    /// What was done.
    #[serde(flatten)]
    pub doing: Doing,
    /// The steps that the whole had to wait for, one after the other, by their ids.
    #[serde(default)]
    pub critical_path: Vec<crate::plan::StepId>,
}

/// A workspace's history: `GET /workspaces/KEY/history`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct History {
    /// The version of this form.
    pub schema: u32,
    /// The workspace's key.
    pub workspace: String,
    /// What was done, newest first.
    pub entries: Vec<Entry>,
    /// What can be gone back to, newest first.
    pub revisions: Vec<RevisionSummary>,
}

/// A revision, without what it wanted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct RevisionSummary {
    /// Which.
    pub revision: u64,
    /// When it was ordered first, in milliseconds since the epoch.
    pub at: u64,
    /// What became of it.
    pub state: RevisionState,
    /// How many services it has.
    pub services: usize,
}

/// Why a service is what it is: `GET /workspaces/KEY/services/NAME/why`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Why {
    /// The version of this form.
    pub schema: u32,
    /// How it is now.
    pub status: super::ServiceStatus,
    /// What made it so, newest first, each with the steps about it alone.
    pub because: Vec<Entry>,
}

/// What to go back to: `POST /workspaces/KEY/rollback`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Rollback {
    /// The revision; the last good one before the present one if none is named.
    #[serde(default)]
    pub revision: Option<u64>,
    /// The folder of whoever asks, so that no other checkout's is changed.
    pub folder: String,
    /// The words of the order: `cosmos rollback 3`.
    #[serde(default)]
    pub by: String,
    /// Finish as soon as everything is started.
    #[serde(default)]
    pub no_wait: bool,
}

impl Entry {
    fn of(stored: &Stored<Doing>) -> Self {
        let path = history::critical_path(&stored.form.steps);
        Self {
            number: stored.number,
            revision: stored.revision,
            at: stored.at,
            state: stored.state,
            doing: stored.form.clone(),
            critical_path: path.into_iter().map(|told| told.step.id).collect(),
        }
    }

    fn only(mut self, steps: Vec<&Told>) -> Self {
        self.doing.steps = steps.into_iter().cloned().collect();
        self.critical_path.clear();
        self
    }
}

/// Every entry that is kept.
const ALL: u64 = u32::MAX as u64;

impl Controller {
    /// What was done to a workspace, newest first, and what can be gone back to. It
    /// is there for a workspace that was taken down, too.
    ///
    /// # Errors
    /// If nothing was ever done to it, or the state cannot be read.
    pub fn history(&self, key: &str, limit: Option<u64>) -> Result<History, Problem> {
        let entries = self
            .store
            .entries(key, limit.unwrap_or(ALL))
            .map_err(|error| Problem::from(&error))?;
        let revisions = self.revisions(key)?;
        if entries.is_empty() && revisions.is_empty() {
            return Err(not_up(key));
        }
        Ok(History {
            schema: 1,
            workspace: key.to_owned(),
            entries: entries.iter().map(Entry::of).collect(),
            revisions: revisions.iter().map(summary).collect(),
        })
    }

    /// Why a service is what it is now.
    ///
    /// # Errors
    /// If there is no such service, or the engine or the state cannot be read.
    pub async fn why(&self, key: &str, service: &str) -> Result<Why, Problem> {
        let status = self.status(key).await?;
        let known: Vec<_> = status.services.iter().map(|one| one.name.clone()).collect();
        let Some(status) = status.services.into_iter().find(|one| one.name == service) else {
            return Err(no_such_service(key, service, &known));
        };
        let name = ServiceName::new(service)
            .map_err(|error| Problem::new("not_found", error.to_string()))?;
        let entries = self
            .store
            .entries(key, ALL)
            .map_err(|error| Problem::from(&error))?;
        let because = history::chain(&entries, &name)
            .into_iter()
            .map(|(entry, steps)| Entry::of(entry).only(steps))
            .collect();
        Ok(Why {
            schema: 1,
            status,
            because,
        })
    }

    /// Makes a workspace what it was at an earlier revision, with the images of
    /// that time. The file is not touched: the next `up` applies it again.
    ///
    /// # Errors
    /// If there is no such revision, or nothing could be tried.
    pub async fn rollback(
        &self,
        key: &str,
        rollback: Rollback,
        events: &Events,
    ) -> Result<(), Problem> {
        let turn = self.turn(key);
        let _turn = turn.take(&self.world).await;
        let Some(now) = self.desired_of(key) else {
            return Err(not_up(key));
        };
        if now.identity.folder != rollback.folder {
            return Err(super::apply::other_folder(
                key,
                &now.identity.folder,
                &rollback.folder,
            ));
        }
        let revisions = self.revisions(key)?;
        let target = target(&revisions, rollback.revision)?;
        let observed = self.seen(&now).await?;
        let workspace = as_it_was(target, &now, &observed)?;
        let secrets = self
            .store
            .secrets()
            .of(key)
            .map_err(|error| Problem::from(&error))?;
        let wish = Wish::again(workspace, secrets, rollback.no_wait, rollback.by);
        self.apply_now(wish, events).await
    }

    /// The number of the newest revision of a workspace that is up.
    pub(super) fn newest(&self, key: &str) -> Result<Option<u64>, Problem> {
        self.store
            .newest_revision(key)
            .map_err(|error| Problem::from(&error))
    }

    fn revisions(&self, key: &str) -> Result<Vec<Revision>, Problem> {
        self.store
            .revisions(key)
            .map_err(|error| Problem::from(&error))
    }

    /// Keeps that something was ordered that needed no step. A history that cannot
    /// be written holds nothing up.
    pub(super) fn remember(&self, key: &str, cause: Cause) {
        let doing = Doing {
            cause,
            steps: Vec::new(),
            millis: 0,
        };
        let written = self
            .store
            .begin_entry(key, &doing)
            .and_then(|number| self.store.end_entry(key, number, EntryState::Done, &doing));
        if let Err(error) = written {
            tracing::warn!(workspace = key, %error, "the history cannot be written");
        }
    }

    /// Keeps what became of the newest revision, and what its images stood for.
    pub(super) fn judge(
        &self,
        desired: &Workspace,
        observed: &Observed,
        is_good: bool,
    ) -> Result<(), StoreError> {
        let state = match is_good {
            true => RevisionState::Good,
            false => RevisionState::Failed,
        };
        let key = desired.identity.key();
        // What runs, not what a tag stands for by now.
        let run = observed.owned_by(&key).map(|(one, _)| one);
        let is_wanted = |one: &&ObservedContainer| {
            desired
                .images()
                .any(|image| *image.reference() == one.image)
        };
        let ids = run
            .filter(is_wanted)
            .map(|one| (one.image.clone(), one.image_id.clone()));
        self.store.judge_revision(&key, state, &ids.collect())
    }
}

/// The revision that is meant: the one of that number, else the last good one that
/// is not what is in force now.
fn target(revisions: &[Revision], number: Option<u64>) -> Result<&Revision, Problem> {
    let Some(number) = number else {
        let mut newest_first = revisions.iter();
        let now = newest_first.next();
        let differs = |it: &&Revision| now.is_some_and(|now| now.workspace != it.workspace);
        return newest_first
            .filter(|it| it.state == RevisionState::Good)
            .find(differs)
            .ok_or_else(|| {
                Problem::new("not_found", "there is no earlier revision that came up")
                    .hinted("`cosmos history` lists what there was")
            });
    };
    revisions
        .iter()
        .find(|it| it.revision == number)
        .ok_or_else(|| {
            Problem::new("not_found", format!("there is no revision {number}"))
                .hinted("`cosmos history` lists the revisions that there are")
        })
}

/// An earlier workspace with the images that it had, and the secrets of today:
/// their content of that time is nowhere any more.
fn as_it_was(
    revision: &Revision,
    now: &Workspace,
    observed: &Observed,
) -> Result<Workspace, Problem> {
    let mut workspace = revision.workspace.clone();
    let services = workspace.services.values_mut().map(|it| &mut it.container);
    let commands = workspace
        .commands
        .values_mut()
        .filter_map(|it| match &mut it.kind {
            CommandKind::Container(container) => Some(&mut **container),
            CommandKind::Exec { .. } => None,
        });
    for container in services.chain(commands) {
        pin_image(container, revision, observed)?;
        keep_secrets(container, revision, now)?;
    }
    Ok(workspace)
}

/// Where a tag has moved since, the image is named by its id.
fn pin_image(
    container: &mut Container,
    revision: &Revision,
    observed: &Observed,
) -> Result<(), Problem> {
    let reference = container.image.reference();
    let present = observed.images.get(reference);
    let was = revision.images.get(reference);
    let Some(was) = was.filter(|was| present != Some(was)) else {
        return match (&container.image, present) {
            (Image::Built { .. }, None) => Err(image_gone(reference, revision.revision)),
            _ => Ok(()),
        };
    };
    let id = ImageRef::new(was.clone()).ok();
    match id.filter(|id| observed.images.contains_key(id)) {
        Some(reference) => {
            container.image = Image::Pulled {
                reference,
                policy: PullPolicy::Missing,
            };
            Ok(())
        }
        None => Err(image_gone(reference, revision.revision)),
    }
}

fn image_gone(reference: &ImageRef, revision: u64) -> Problem {
    Problem::new(
        "image_not_found",
        format!(
            "the image that `{reference}` was at revision {revision} is not on this engine any more"
        ),
    )
    .hinted("go back to another one: `cosmos history` lists them")
}

fn keep_secrets(
    container: &mut Container,
    revision: &Revision,
    now: &Workspace,
) -> Result<(), Problem> {
    for (name, file) in &mut container.secrets {
        let of_today = now
            .services
            .values()
            .find_map(|service| service.container.secrets.get(name));
        match of_today {
            Some(today) => file.hash.clone_from(&today.hash),
            None => {
                return Err(Problem::new(
                    "secret_not_found",
                    format!(
                        "revision {} needs the secret `{name}`, which is not declared any more",
                        revision.revision
                    ),
                )
                .hinted("declare it again, then `cosmos up`"));
            }
        }
    }
    Ok(())
}

fn no_such_service(key: &str, service: &str, known: &[String]) -> Problem {
    Problem::new(
        "not_found",
        format!("there is no service `{service}` in `{key}`"),
    )
    .hinted(format!("there are {}", known.join(", ")))
}

fn summary(revision: &Revision) -> RevisionSummary {
    RevisionSummary {
        revision: revision.revision,
        at: revision.at,
        state: revision.state,
        services: revision.workspace.services.len(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::controller::{Order, tests::Bench},
    };

    async fn go_back(bench: &Bench, revision: Option<u64>) -> Result<(), Problem> {
        let (sender, _events) = mpsc::unbounded_channel();
        let rollback = Rollback {
            revision,
            folder: "/src/shop".to_owned(),
            by: "cosmos rollback".to_owned(),
            no_wait: false,
        };
        bench.controller.rollback("shop", rollback, &sender).await
    }

    /// Up from node:20, then from node:22.
    async fn edited_once() -> Bench {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        bench.apply(&shop().with("web", service("node:22"))).await;
        bench
    }

    fn image(bench: &Bench) -> String {
        bench.container("shop-web-1").image.to_string()
    }

    #[tokio::test]
    async fn a_rollback_applies_the_last_good_revision_before_this_one() {
        let bench = edited_once().await;
        go_back(&bench, None).await.unwrap();
        assert_eq!(image(&bench), "node:20");
        // And the other way round.
        go_back(&bench, None).await.unwrap();
        assert_eq!(image(&bench), "node:22");
    }

    #[tokio::test]
    async fn a_rollback_passes_over_a_revision_that_did_not_come_up() {
        let bench = edited_once().await;
        let broken = "node:23".parse().unwrap();
        bench.engine.broken(&broken);
        bench.apply(&shop().with("web", service("node:23"))).await;
        bench.apply(&shop().with("web", service("node:24"))).await;
        go_back(&bench, None).await.unwrap();
        assert_eq!(image(&bench), "node:22");
    }

    #[tokio::test]
    async fn a_rollback_to_a_revision_that_never_was_says_so() {
        let bench = edited_once().await;
        let refused = go_back(&bench, Some(9)).await.unwrap_err();
        assert_eq!(refused.message, "there is no revision 9");
        assert_eq!(image(&bench), "node:22");
    }

    #[tokio::test]
    async fn a_rollback_takes_the_image_of_that_time_though_its_tag_moved() {
        let bench = edited_once().await;
        let tag: ImageRef = "node:20".parse().unwrap();
        let was = bench.engine.observed().images[&tag].clone();
        bench.engine.edit(|observed| {
            observed.images.insert(was.parse().unwrap(), was.clone());
            observed.images.insert(tag, "sha256:newer".to_owned());
        });
        go_back(&bench, Some(1)).await.unwrap();
        assert_eq!(image(&bench), was);
    }

    #[tokio::test]
    async fn a_tag_that_moves_under_what_runs_does_not_change_what_is_remembered() {
        let bench = Bench::empty();
        let desired = shop().with("web", service("node:20"));
        bench.apply(&desired).await;
        let tag: ImageRef = "node:20".parse().unwrap();
        let was = bench.container("shop-web-1").image_id;
        bench.engine.edit(|observed| {
            observed
                .images
                .insert(tag.clone(), "sha256:newer".to_owned());
        });
        bench.apply(&desired).await;
        let revisions = bench.store.revisions("shop").unwrap();
        assert_eq!(revisions[0].images[&tag], was);
    }

    #[tokio::test]
    async fn a_rollback_without_the_image_of_that_time_changes_nothing() {
        let bench = edited_once().await;
        bench.engine.edit(|observed| {
            observed
                .images
                .insert("node:20".parse().unwrap(), "sha256:newer".to_owned());
        });
        let refused = go_back(&bench, Some(1)).await.unwrap_err();
        assert_eq!(refused.code, "image_not_found");
        assert_eq!(image(&bench), "node:22");
    }

    #[tokio::test]
    async fn a_rollback_keeps_what_is_held() {
        let bench = edited_once().await;
        bench.order("web", Order::Stop).await.unwrap();
        go_back(&bench, None).await.unwrap();
        assert!(!bench.container("shop-web-1").is_running());
    }

    /// Each entry of the history, oldest first: its cause and its actions.
    fn told(bench: &Bench) -> Vec<String> {
        let history = bench.controller.history("shop", None).unwrap();
        let line = |entry: &Entry| {
            let actions: Vec<_> = entry
                .doing
                .steps
                .iter()
                .map(|told| format!("{}: {}", told.step.action, told.step.reason))
                .collect();
            format!("{}: {}", entry.doing.cause, actions.join(", "))
        };
        history.entries.iter().rev().map(line).collect()
    }

    #[tokio::test]
    async fn the_history_tells_orders_and_what_was_healed() {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        bench.order("web", Order::Restart).await.unwrap();
        bench.order("web", Order::Stop).await.unwrap();
        bench.order("web", Order::Start).await.unwrap();
        bench.engine.edit(|observed| {
            observed.containers[0].live.resources.pids = Some(99);
        });
        bench.controller.heal_all().await.unwrap();
        assert_eq!(
            told(&bench)[1..],
            [
                "`cosmos restart web`: restart shop-web-1: by `cosmos restart web`",
                "`cosmos stop web`: stop shop-web-1: held stopped by `cosmos stop web`",
                "`cosmos start web`: start shop-web-1: exited with 143",
                "healing: update shop-web-1: pids changed: 99 → none",
            ]
        );
    }

    #[tokio::test]
    async fn what_a_killed_server_was_doing_was_interrupted() {
        let bench = Bench::empty();
        bench.apply(&shop().with("web", service("node:20"))).await;
        let doing = Doing {
            cause: Cause::Healing,
            steps: Vec::new(),
            millis: 0,
        };
        bench.store.begin_entry("shop", &doing).unwrap();
        let history = bench
            .restarted()
            .controller
            .history("shop", Some(1))
            .unwrap();
        assert_eq!(history.entries[0].state, EntryState::Interrupted);
    }

    #[tokio::test]
    async fn the_chain_of_causes_ends_where_the_container_was_made() {
        let bench = edited_once().await;
        bench.order("web", Order::Restart).await.unwrap();
        let why = bench.controller.why("shop", "web").await.unwrap();
        let causes: Vec<_> = why
            .because
            .iter()
            .map(|it| it.doing.cause.to_string())
            .collect();
        assert_eq!(causes, ["`cosmos restart web`", "`cosmos up`"]);
        let made = &why.because[1].doing.steps;
        assert!(
            made.iter()
                .any(|told| told.step.reason == "image changed: node:20 → node:22")
        );
    }

    #[tokio::test]
    async fn why_of_a_service_that_is_not_there_names_those_that_are() {
        let bench = edited_once().await;
        let refused = bench.controller.why("shop", "wbe").await.unwrap_err();
        assert_eq!(refused.hint.unwrap(), "there are web");
    }
}
