//! `docs/overrides.md`, carried out: each row of its contract is done to a
//! controller on an engine that is one value.

use std::time::Duration;

use tokio::time::{advance, sleep};

use super::{
    Order,
    tests::{Bench, wish},
};
use crate::{
    plan::test_workspace::{service, shop},
    reconcile::event::Problem,
    workspace::{ContainerState, Kind, RunState, Workspace},
};

const PAGE: &str = include_str!("../../../docs/overrides.md");

const HOUR: Duration = Duration::from_secs(3600);

/// One row of the contract.
#[derive(Debug, Clone)]
struct Row {
    state: String,
    order: String,
    runs: usize,
    in_force: String,
    says: String,
}

fn rows() -> Vec<Row> {
    let contract = PAGE.split("\n## The contract\n").nth(1).unwrap();
    let lines = contract.lines().filter(|line| line.starts_with("| "));
    lines
        .skip(1)
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [state, order, runs, in_force, says] = cells[..] else {
                panic!("{line}");
            };
            Row {
                state: state.to_owned(),
                order: order.replace('`', ""),
                runs: runs.parse().unwrap(),
                in_force: in_force.to_owned(),
                says: says.to_owned(),
            }
        })
        .collect()
}

/// A service that is up, and what its config says.
struct Case {
    bench: Bench,
    config: Workspace,
    /// The config when it is back, where it is gone.
    whole: Workspace,
}

impl Case {
    async fn in_state(state: &str) -> Self {
        let mut web = service("node:20");
        if matches!(state, "off by its profile" | "held started") {
            web.run = RunState::Off;
        }
        let config = shop().with("web", web);
        let bench = Bench::empty();
        bench.apply(&config).await;
        let mut case = Self {
            bench,
            whole: config.clone(),
            config,
        };
        for part in state.split(", ") {
            match part {
                "as declared" | "off by its profile" => {}
                "held stopped" => drop(case.order("cosmos stop web").await),
                "held stopped for 1 h" => drop(case.order("cosmos stop web --for 1h").await),
                "held started" => drop(case.order("cosmos start web").await),
                "scaled to 3" => drop(case.order("cosmos scale web=3").await),
                "then gone from the config" => {
                    case.config = shop();
                    drop(case.order("cosmos up").await);
                }
                "then taken down" => drop(case.order("cosmos down").await),
                other => panic!("no state is {other}"),
            }
        }
        case
    }

    /// Does it; what was said.
    async fn order(&mut self, order: &str) -> Result<Option<String>, Problem> {
        let bench = &self.bench;
        let given = match order {
            "cosmos stop web" => Order::Stop,
            "cosmos stop web --for 1h" => Order::StopFor(HOUR),
            "cosmos start web" => Order::Start,
            "cosmos restart web" => Order::Restart,
            "cosmos release web" => Order::Release,
            "cosmos scale web=0" => Order::Scale(0),
            "cosmos scale web=2" => Order::Scale(2),
            "cosmos scale web=3" => Order::Scale(3),
            _ => {
                self.do_otherwise(order).await;
                return Ok(None);
            }
        };
        bench.order("web", given).await.map(|obeyed| obeyed.note)
    }

    async fn do_otherwise(&mut self, order: &str) {
        let bench = &self.bench;
        match order {
            "cosmos up" => {
                bench.apply(&self.config).await;
            }
            "cosmos up, with it back" => {
                self.config = self.whole.clone();
                bench.apply(&self.config).await;
            }
            "cosmos up --release" => {
                let mut wish = wish(&self.config);
                wish.release = true;
                bench.wish(wish).await.unwrap();
            }
            "cosmos down" => {
                bench.down(crate::plan::Volumes::Keep).await.unwrap();
            }
            "cosmos down, cosmos up" => {
                bench.down(crate::plan::Volumes::Keep).await.unwrap();
                bench.apply(&self.config).await;
            }
            "docker kill" => self.meddle(ContainerState::Exited {
                code: 137,
                at: std::time::SystemTime::UNIX_EPOCH,
                out_of_memory: false,
            }),
            "docker start" => self.meddle(ContainerState::Running {
                since: std::time::SystemTime::UNIX_EPOCH,
            }),
            "the proxy restarts" => {
                let bench = std::mem::replace(&mut self.bench, Bench::empty());
                self.bench = bench.restarted();
            }
            "1 h passes" => advance(HOUR).await,
            other => panic!("no order is {other}"),
        }
    }

    fn meddle(&self, state: ContainerState) {
        self.bench.engine.edit(|observed| {
            for container in &mut observed.containers {
                container.state = state;
            }
        });
    }

    /// Lets healing do what it would by itself.
    async fn heal(&self) {
        for _ in 0..3 {
            self.bench.controller.heal_all().await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    }

    fn running(&self) -> usize {
        let observed = self.bench.engine.observed();
        let of_web = observed.containers.iter().filter(|container| {
            let owner = container.owner.as_ref();
            owner.is_some_and(|owner| {
                owner.kind == Kind::Service && owner.name.as_deref() == Some("web")
            })
        });
        of_web.filter(|container| container.is_running()).count()
    }

    fn in_force(&self) -> String {
        let overrides = self.bench.store.overrides("shop").unwrap();
        let texts: Vec<_> = overrides
            .0
            .iter()
            .map(|(_, order)| match order.until {
                Some(until) => {
                    assert_eq!(until - order.at, 3_600_000);
                    format!("{} for 1 h", order.hold)
                }
                None => order.hold.to_string(),
            })
            .collect();
        match texts.is_empty() {
            true => "-".to_owned(),
            false => texts.join(", "),
        }
    }
}

/// What is wrong with a row, if anything is.
async fn carried_out(row: &Row) -> Result<(), String> {
    let mut case = Case::in_state(&row.state).await;
    let said = match case.order(&row.order).await {
        Ok(note) => note.unwrap_or_default(),
        Err(problem) => format!("{} {}", problem.message, problem.hint.unwrap_or_default()),
    };
    case.heal().await;
    if case.running() != row.runs {
        return Err(format!("{} run", case.running()));
    }
    if case.in_force() != row.in_force {
        return Err(format!("in force is {}", case.in_force()));
    }
    if !said.contains(&row.says) || said.is_empty() != row.says.is_empty() {
        return Err(format!("it says {said:?}"));
    }
    if case.bench.controller.desired_of("shop").is_none() {
        return Ok(());
    }
    let calls = case.bench.engine.calls().len();
    case.bench.apply(&case.config).await;
    match case.bench.calls_since(calls).as_slice() {
        [] => Ok(()),
        further => Err(format!("and then `cosmos up` does {further:?}")),
    }
}

#[tokio::test(start_paused = true)]
async fn every_row_of_the_contract_is_so() {
    let rows = rows();
    assert!(rows.len() > 100, "only {} rows were found", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        if let Err(but) = carried_out(row).await {
            wrong.push(format!("{} | {}: {but}", row.state, row.order));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn every_state_of_the_contract_meets_every_order() {
    let rows = rows();
    let orders_in = |state: &str| {
        let of_state = rows.iter().filter(|row| row.state == state);
        let mut orders: Vec<_> = of_state.map(|row| row.order.clone()).collect();
        orders.sort();
        orders
    };
    let all = orders_in("as declared");
    let states: std::collections::BTreeSet<_> = rows.iter().map(|row| &row.state).collect();
    assert_eq!(states.len(), 9);
    for state in states.into_iter().filter(|state| !state.contains("then")) {
        assert_eq!(orders_in(state), all, "{state}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_row_is_found() {
    let right = rows().swap_remove(0);
    carried_out(&right).await.unwrap();
    let wrong = [
        Row {
            runs: right.runs + 1,
            ..right.clone()
        },
        Row {
            in_force: "-".to_owned(),
            ..right.clone()
        },
        Row {
            says: "nothing of that kind".to_owned(),
            ..right
        },
    ];
    for row in &wrong {
        carried_out(row).await.unwrap_err();
    }
}
