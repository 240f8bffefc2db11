//! What breaks while it is used, on a real engine: the proxy, the engine, the
//! network, and whoever works beside Cosmos by hand.
//!
//! After each of them the same must hold: nothing is doubled, nothing of ours is
//! left over, no order is forgotten, and another `up` finds nothing to do.
#![allow(
    clippy::print_stderr,
    reason = "what a failed test leaves is read by people"
)]

mod by_hand;
pub(in crate::engine) mod chaos;
mod crowd;
mod engine;
mod killed;
mod person;
mod restarts;
mod soak;
mod state;
mod world;

use std::{collections::BTreeSet, env, fmt::Display, str::FromStr, time::Instant};

use super::workspace::{
    idle,
    support::{Place, inspect, until},
};

/// A number from the environment, for who wants more than a quick run has.
fn setting<T: FromStr + Display>(name: &str, usual: T) -> T {
    match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name}={text} is no number")),
        Err(_) => usual,
    }
}

/// Numbers by chance that a seed gives again.
struct Dice(u64);

impl Dice {
    /// With the seed of `COSMOS_TEST_SEED`, or another each time. It is printed.
    fn new() -> Self {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::SystemTime::UNIX_EPOCH)
            .unwrap();
        let seed = setting("COSMOS_TEST_SEED", u64::from(now.subsec_nanos()) | 1);
        eprintln!("COSMOS_TEST_SEED={seed}");
        Self(seed)
    }

    /// One of 0, 1, .. up to but not `end`: xorshift, which is even enough here.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_of<T: Copy>(&mut self, these: &[T]) -> T {
        these[usize::try_from(self.below(these.len() as u64)).unwrap()]
    }
}

/// What `status --json` says, once the proxy says anything.
fn status(place: &Place) -> serde_json::Value {
    until("status answers", || {
        let said = place.cosmos(&["status", "--json"]);
        (said.code == 0).then(|| said.json())
    })
}

/// The services that are held stopped.
fn held(place: &Place) -> BTreeSet<String> {
    services(&status(place))
        .filter(|(_, state)| state == "held")
        .map(|(name, _)| name)
        .collect()
}

fn services(status: &serde_json::Value) -> impl Iterator<Item = (String, String)> {
    let services = status["services"].as_array().unwrap();
    services.iter().map(|service| {
        let text = |key: &str| service[key].as_str().unwrap().to_owned();
        (text("name"), text("state"))
    })
}

/// Waits, without giving any order, until everything is as declared and held,
/// and each service has the one container of its name.
fn settles(place: &Place) {
    let mut last = Last::default();
    until("everything is as declared, by itself", || {
        let status = status(place);
        last.0 = format!("{status}\n{:?}", place.containers(&["kind=service"]));
        let mut allowed = BTreeSet::new();
        for (name, state) in services(&status) {
            let container = place.container(&name);
            let runs = place.running(&name).is_some();
            let is_there = inspect(&container, "{{.Id}}").is_some();
            match state.as_str() {
                "ready" if runs => {}
                "held" if !runs => {}
                _ => return None,
            }
            if is_there {
                allowed.insert(container);
            }
        }
        let there: BTreeSet<_> = place.containers(&["kind=service"]).into_iter().collect();
        (there == allowed).then_some(())
    });
}

/// What was seen last, for whoever reads of a failure.
#[derive(Default)]
struct Last(String);

impl Drop for Last {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seen last: {}", self.0);
        }
    }
}

/// Says how long something took since a fault: what docs/reliability.md has as its figure.
fn figure(what: &str, since: Instant) {
    eprintln!(
        "figure: {what} after {:.2} s",
        since.elapsed().as_secs_f64()
    );
}

/// `up` goes through, and another one finds nothing to do.
fn is_whole(place: &Place) {
    let _ = place.cosmos(&["up"]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

/// Services that do nothing and end at once when told to, with a value each that can be changed.
fn shop(values: &[(&str, u64)]) -> String {
    values
        .iter()
        .map(|(name, value)| idle(name, &format!("env = {{ VALUE = \"{value}\" }}")))
        .collect()
}
