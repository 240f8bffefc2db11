//! One-shots that a person wants run again: `cosmos up --rerun`.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Problem;
use crate::workspace::{CommandName, Workspace};

/// Which one-shots run again though nothing changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Rerun {
    /// None.
    #[default]
    Nothing,
    /// All that `up` runs.
    Everything,
    /// These.
    Only(BTreeSet<String>),
}

impl Rerun {
    /// The commands that are meant.
    pub(super) fn of(&self, wanted: &Workspace) -> Result<BTreeSet<CommandName>, Problem> {
        let needed = wanted
            .commands
            .iter()
            .filter(|(_, command)| command.needed)
            .map(|(name, _)| name);
        match self {
            Self::Nothing => Ok(BTreeSet::new()),
            Self::Everything => Ok(needed.cloned().collect()),
            Self::Only(names) => {
                let needed: Vec<_> = needed.collect();
                names
                    .iter()
                    .map(|name| {
                        let meant = needed.iter().find(|needed| needed.as_str() == name);
                        meant.copied().cloned().ok_or_else(|| not_run(name, wanted))
                    })
                    .collect()
            }
        }
    }
}

fn not_run(name: &str, wanted: &Workspace) -> Problem {
    if wanted.commands.contains_key(name) {
        return Problem::new(
            "invalid_request",
            format!("`up` does not run `{name}` here"),
        )
        .hinted(format!("run it by hand: `cosmos run {name}`"));
    }
    Problem::new(
        "not_found",
        format!("there is no command `{name}` in the config"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::test_workspace::{name, shop},
        reconcile::controller::{
            Wish,
            tests::{Bench, wish},
        },
        workspace::ContainerState,
    };

    fn migrating() -> Workspace {
        shop()
            .with_command("migrate", "api:1", "v1")
            .with_command("seed", "api:1", "v1")
    }

    fn again(rerun: Rerun) -> Wish {
        Wish {
            rerun,
            ..wish(&migrating())
        }
    }

    fn only(command: &str) -> Rerun {
        Rerun::Only(BTreeSet::from([command.to_owned()]))
    }

    #[tokio::test]
    async fn one_that_is_asked_for_runs_again_though_nothing_changed() {
        let bench = Bench::empty();
        bench.apply(&migrating()).await;
        let before = bench.container("shop-migrate").id;
        let seed = bench.container("shop-seed").id;
        bench.wish(again(only("migrate"))).await.unwrap();
        assert_ne!(bench.container("shop-migrate").id, before);
        assert_eq!(bench.container("shop-seed").id, seed);
    }

    #[tokio::test]
    async fn all_that_up_runs_run_again_and_not_once_more() {
        let bench = Bench::empty();
        bench.apply(&migrating()).await;
        let outcome = bench.wish(again(Rerun::Everything)).await.unwrap();
        assert_eq!((outcome.failed, outcome.succeeded), (0, 6));
        let calls = bench.engine.calls().len();
        bench.apply(&migrating()).await;
        assert_eq!(bench.calls_since(calls), Vec::<String>::new());
    }

    #[tokio::test]
    async fn a_plan_shows_it_with_its_reason_and_forgets_nothing() {
        let bench = Bench::empty();
        bench.apply(&migrating()).await;
        let shown = bench
            .controller
            .preview(&again(only("migrate")))
            .await
            .unwrap();
        insta::assert_snapshot!(shown.plan, @"
        #1 remove shop-migrate                        asked for by --rerun
        #2 launch shop-migrate               after 1  asked for by --rerun
        #3 wait for shop-migrate: completed  after 2  it runs to its end
        ");
        assert!(bench.store.memory("shop").unwrap().completed.len() == 2);
    }

    #[tokio::test]
    async fn one_that_fails_again_is_tried_by_the_next_up() {
        let bench = Bench::empty();
        bench.apply(&migrating()).await;
        bench.engine.exit_with(&name("shop-migrate"), 3);
        let outcome = bench.wish(again(only("migrate"))).await.unwrap();
        assert_eq!(outcome.failed, 1);
        // It is kept for a look …
        let failed = bench.container("shop-migrate");
        assert!(matches!(
            failed.state,
            ContainerState::Exited { code: 3, .. }
        ));
        // … and replaced by the next run.
        bench.engine.exit_with(&name("shop-migrate"), 0);
        let outcome = bench.apply(&migrating()).await;
        assert_eq!(outcome.failed, 0);
        assert_ne!(bench.container("shop-migrate").id, failed.id);
    }

    #[tokio::test]
    async fn one_that_fails_is_tried_by_the_next_up_though_its_container_is_gone() {
        let bench = Bench::empty();
        bench.apply(&migrating()).await;
        bench.engine.exit_with(&name("shop-migrate"), 3);
        bench.wish(again(only("migrate"))).await.unwrap();
        bench.engine.edit(|observed| {
            observed
                .containers
                .retain(|one| one.name != name("shop-migrate"));
        });
        let calls = bench.engine.calls().len();
        bench.apply(&migrating()).await;
        assert_eq!(bench.calls_since(calls), ["launch shop-migrate"]);
    }

    #[tokio::test]
    async fn one_that_is_under_way_is_waited_for_and_not_begun_again() {
        let bench = Bench::empty();
        bench.apply(&migrating()).await;
        bench.engine.edit(|observed| {
            for container in &mut observed.containers {
                container.state = ContainerState::Running {
                    since: std::time::SystemTime::UNIX_EPOCH,
                };
            }
        });
        let shown = bench
            .controller
            .preview(&again(only("migrate")))
            .await
            .unwrap();
        insta::assert_snapshot!(shown.plan, @"#1 wait for shop-migrate: completed  it runs to its end");
    }

    #[tokio::test]
    async fn what_up_does_not_run_is_refused_and_nothing_is_done() {
        let bench = Bench::empty();
        let mut desired = migrating();
        desired.commands["seed"].needed = false;
        let rerun = |command| Wish {
            rerun: only(command),
            ..wish(&desired)
        };
        assert_eq!(
            bench.wish(rerun("seed")).await.unwrap_err().code,
            "invalid_request"
        );
        assert_eq!(
            bench.wish(rerun("migrat")).await.unwrap_err().code,
            "not_found"
        );
        assert_eq!(bench.engine.calls(), Vec::<String>::new());
    }
}
