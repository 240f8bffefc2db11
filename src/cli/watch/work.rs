//! Does what is due: makes the workspace so, copies files, restarts services.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use hyper::Method;

use super::{
    super::{
        args::{Global, Progress, Up},
        bootstrap, error,
        error::Failure,
        ui::{Screen, duration, printable, sayln},
        up,
    },
    damper::Deed,
    decide::{Copied, Rule, named},
    files,
    sync::{Transfer, transfer},
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::{Ordered, Outcome, Rerun, Status},
    },
    config::Loaded,
    watch::Change,
    workspace::ServiceName,
};

/// A workspace that is to be made so.
pub(super) struct Apply {
    pub(super) loaded: Arc<Loaded>,
    /// Why, in words; none the first time.
    pub(super) title: Option<String>,
    /// The files because of which it is.
    pub(super) causes: BTreeSet<PathBuf>,
}

/// An order that is due.
pub(super) struct Job {
    pub(super) global: Arc<Global>,
    pub(super) args: Arc<Up>,
    /// The first order in words.
    pub(super) by: String,
    /// The newest valid config.
    pub(super) loaded: Arc<Loaded>,
    pub(super) apply: Option<Apply>,
    /// Services that are restarted, and because of which files.
    pub(super) restarts: BTreeMap<ServiceName, BTreeSet<PathBuf>>,
}

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) did: Vec<Deed>,
    /// What turned out to need nothing.
    pub(super) was_nothing: Vec<Deed>,
}

impl Job {
    /// What is about to be done, and because of which files.
    pub(super) fn deeds(&self) -> Vec<(Deed, BTreeSet<PathBuf>)> {
        let apply = self
            .apply
            .iter()
            .map(|apply| (Deed::Apply, apply.causes.clone()));
        let restarts = self.restarts.iter();
        let restarts = restarts.map(|(name, files)| (Deed::Restart(name.clone()), files.clone()));
        apply.chain(restarts).collect()
    }

    fn folder(&self) -> &Path {
        Path::new(&self.loaded.workspace.identity.folder)
    }

    fn key(&self) -> String {
        self.loaded.workspace.identity.key()
    }
}

/// Carries an order out. What fails is shown here, and the rest is done all the same.
pub(super) async fn work(mut job: Job) -> Done {
    let mut done = Done {
        did: job.deeds().into_iter().map(|(deed, _)| deed).collect(),
        ..Done::default()
    };
    let client = match bootstrap::client_for(&job.global, &job.loaded.workspace).await {
        Ok(client) => client,
        Err(failure) => {
            error::report(&failure);
            return done;
        }
    };
    let mut made = BTreeSet::new();
    if let Some(apply) = job.apply.take() {
        let before = running(&client, &job.key()).await.unwrap_or_default();
        match make(&job, &client, &apply).await {
            Ok(outcome) if outcome.succeeded == 0 => done.was_nothing.push(Deed::Apply),
            Ok(_) => {}
            Err(failure) => _ = error::report(&failure),
        }
        let now = running(&client, &job.key()).await.unwrap_or_default();
        made.extend(now.into_iter().filter_map(|(name, now)| {
            let before = before.get(&name)?;
            (!now.is_empty() && before.is_disjoint(&now)).then_some(name)
        }));
    }
    for (name, files) in &job.restarts {
        // What was just made began with what was saved before.
        if made.contains(name.as_str()) {
            continue;
        }
        match refresh(&job, &client, name, files).await {
            Ok(true) => {}
            Ok(false) => done.was_nothing.push(Deed::Restart(name.clone())),
            Err(failure) => _ = error::report(&failure),
        }
    }
    done
}

/// What containers have of what is synced.
#[derive(Debug, Default)]
pub(super) struct Synced {
    /// The containers that have all of it, by service.
    containers: BTreeMap<ServiceName, BTreeSet<String>>,
    /// What was removed since the beginning: one that did not run then has it still.
    removed: BTreeMap<ServiceName, BTreeSet<String>>,
}

/// Files that are due, and a look at who does not have them.
pub(super) struct Syncing {
    pub(super) global: Arc<Global>,
    pub(super) loaded: Arc<Loaded>,
    /// Those of `sync`.
    pub(super) rules: Vec<Rule>,
    pub(super) changed: BTreeMap<ServiceName, BTreeMap<String, Copied>>,
    pub(super) synced: Synced,
}

impl Syncing {
    /// What is about to be done, and because of which files.
    pub(super) fn deeds(&self) -> Vec<(Deed, BTreeSet<PathBuf>)> {
        let changed = self.changed.iter();
        let deeds = changed.map(|(name, changed)| {
            let files = changed.values().map(|copied| copied.from.clone());
            (Deed::Sync(name.clone()), files.collect())
        });
        deeds.collect()
    }

    /// Sends them. What fails is shown here.
    pub(super) async fn work(mut self) -> (Synced, Vec<Deed>) {
        let mut synced = std::mem::take(&mut self.synced);
        let did = self.deeds().into_iter().map(|(deed, _)| deed).collect();
        let client = match bootstrap::existing(&self.global).await {
            Ok(client) => client,
            // Nobody saved anything: it is only not there yet, or not any more.
            Err(_) if self.changed.is_empty() => return (synced, did),
            Err(failure) => {
                error::report(&failure);
                synced.containers.clear();
                return (synced, did);
            }
        };
        let running = running(&client, &self.loaded.workspace.identity.key())
            .await
            .unwrap_or_default();
        for name in self.loaded.workspace.services.keys() {
            if let Err(failure) = bring(&self, &client, name, &running, &mut synced).await {
                error::report(&failure);
            }
        }
        (synced, did)
    }
}

fn say(global: &Global, what: std::fmt::Arguments<'_>) {
    if !global.quiet && global.progress != Progress::None {
        sayln!("{what}");
    }
}

/// Makes the workspace so.
async fn make(job: &Job, client: &Client, apply: &Apply) -> Result<Outcome, Failure> {
    let global = &job.global;
    let is_first = apply.title.is_none();
    let mut wish = up::wish(&apply.loaded, &job.args)?;
    wish.by = job.by.clone();
    let mut screen = Screen::new(global);
    if let Some(title) = &apply.title {
        // These were said once, for once.
        wish.expect = None;
        wish.release = false;
        wish.rerun = Rerun::Nothing;
        wish.by = format!("watch: {}", named(&apply.causes, job.folder()));
        screen = Screen::titled(global, title.clone());
    } else if job.args.build {
        up::build_all(global, client, &apply.loaded).await?;
    }
    let outcome = up::carry_out(&mut screen, global, client, &apply.loaded, wish).await;
    let is_shown = !global.quiet && global.progress != Progress::Json;
    let outcome = match outcome {
        Ok(outcome) => outcome,
        Err(failure) => {
            screen.say_title();
            return Err(failure);
        }
    };
    match screen.untold() {
        Some(title) if !is_first => {
            say(
                global,
                format_args!(
                    "{title}: nothing to do ({})",
                    duration(std::time::Duration::from_millis(outcome.millis))
                ),
            );
        }
        _ if is_shown => {
            up::report(client, &apply.loaded, screen.quiet(), &outcome, true).await?;
        }
        _ => {}
    }
    Ok(outcome)
}

/// The containers that run, by service.
async fn running(
    client: &Client,
    key: &str,
) -> Result<BTreeMap<String, BTreeSet<String>>, Failure> {
    let status: Status = client.get(&format!("/workspaces/{}", encoded(key))).await?;
    let services = status.services.into_iter().map(|service| {
        let running = service
            .containers
            .into_iter()
            .filter(|container| container.state == "running")
            .map(|container| container.id)
            .collect();
        (service.name, running)
    });
    Ok(services.collect())
}

/// Brings what changed into the containers of a service, and all of it into one that
/// does not have it yet.
async fn bring(
    syncing: &Syncing,
    client: &Client,
    name: &ServiceName,
    running: &BTreeMap<String, BTreeSet<String>>,
    synced: &mut Synced,
) -> Result<(), Failure> {
    let rules = syncing.rules.iter();
    let rules: Vec<_> = rules.filter(|rule| rule.service == *name).collect();
    let workspace = &syncing.loaded.workspace;
    let Some(service) = workspace.services.get(name) else {
        return Ok(());
    };
    if rules.is_empty() {
        synced.containers.remove(name);
        return Ok(());
    }
    let changed = syncing.changed.get(name);
    let removed = synced.removed.entry(name.clone()).or_default();
    for (target, copied) in changed.into_iter().flatten() {
        match copied.change {
            Change::Removed => _ = removed.insert(target.clone()),
            Change::Added | Change::Changed => _ = removed.remove(target),
        }
    }
    let there = running.get(name.as_str()).cloned().unwrap_or_default();
    let have = synced.containers.entry(name.clone()).or_default();
    let is_whole = !there.is_subset(have);
    let mut moved = Transfer::default();
    if is_whole {
        for rule in &rules {
            let files = rule.tree.entries().into_iter();
            moved
                .put
                .extend(files.map(|path| (rule.target_of(&path), path)));
        }
        moved.removed.clone_from(removed);
    } else {
        for (target, copied) in changed.into_iter().flatten() {
            match copied.change {
                Change::Removed => _ = moved.removed.insert(target.clone()),
                Change::Added | Change::Changed => {
                    moved.put.insert(target.clone(), copied.from.clone());
                }
            }
        }
    }
    if moved.put.is_empty() && moved.removed.is_empty() {
        return Ok(());
    }
    let what = match changed {
        Some(changed) if !changed.is_empty() => {
            let paths = changed.values().map(|copied| &copied.from);
            format!(
                "{} changed: ",
                named(paths, Path::new(&workspace.identity.folder))
            )
        }
        _ => String::new(),
    };
    if there.is_empty() {
        have.clear();
        say(
            &syncing.global,
            format_args!("{what}`{name}` does not run; it gets it when it does"),
        );
        return Ok(());
    }
    let (count, gone) = (moved.put.len(), moved.removed.len());
    let began = Instant::now();
    let before = std::mem::replace(have, there);
    // If it fails, that is said once, and not tried again every two seconds.
    let reached = transfer(client, &workspace.identity.key(), name, service, moved).await?;
    *have = match is_whole {
        true => reached,
        false => before.intersection(&reached).cloned().collect(),
    };
    let gone = match gone {
        0 => String::new(),
        gone => format!(", {} removed", files(gone)),
    };
    say(
        &syncing.global,
        format_args!(
            "{what}{} synced to {name}{gone} ({})",
            files(count),
            duration(began.elapsed())
        ),
    );
    Ok(())
}

/// Restarts a service, if nothing holds it. Whether it was.
async fn refresh(
    job: &Job,
    client: &Client,
    name: &ServiceName,
    files: &BTreeSet<PathBuf>,
) -> Result<bool, Failure> {
    let cause = named(files, job.folder());
    let path = format!(
        "/containers/{}/refresh?by={}&workspace={}&folder={}",
        encoded(name.as_str()),
        encoded(&format!("watch: {cause}")),
        encoded(&job.key()),
        encoded(&job.loaded.workspace.identity.folder),
    );
    let began = Instant::now();
    let ordered: Ordered = client.call(Method::POST, &path).await?;
    let cause = printable(&cause);
    if ordered.containers.is_empty() {
        let why = ordered.note.unwrap_or_default();
        say(
            &job.global,
            format_args!("{cause} changed: {why}, and stays so"),
        );
        return Ok(false);
    }
    say(
        &job.global,
        format_args!(
            "{cause} changed: {name} restarted ({})",
            duration(began.elapsed())
        ),
    );
    Ok(true)
}
