//! The proxy's process is killed at any moment of an order. The engine starts it
//! again, and it goes on from what it wrote down and from what it sees.

use std::{
    collections::BTreeSet,
    thread::sleep,
    time::{Duration, Instant},
};

use super::{
    super::workspace::{
        WEB, idle,
        support::{Place, docker, inspect, output, until},
    },
    Dice, held, is_whole, setting, settles, shop,
};

/// How often it is killed here. `COSMOS_TEST_KILLS=200` is what is claimed of it,
/// and takes a quarter of an hour.
const KILLS: u32 = 12;

/// Longer than any of the orders here takes, in milliseconds.
const LONGEST: u64 = 1_200;

const NAMES: [&str; 3] = ["one", "two", "three"];

/// What a person may be doing when it happens.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Doing {
    Edit,
    Grow,
    Stop(&'static str),
    Start(&'static str),
    Restart(&'static str),
    Break(&'static str),
    AdHoc,
}

/// A workspace of which it is known what it should be.
struct Shop {
    place: Place,
    values: [(&'static str, u64); 3],
    has_more: bool,
    held: BTreeSet<String>,
    round: u32,
}

impl Shop {
    fn up() -> Self {
        let values = NAMES.map(|name| (name, 0));
        let shop = Self {
            place: Place::new(""),
            values,
            has_more: false,
            held: BTreeSet::new(),
            round: 0,
        };
        shop.save();
        let _ = shop.place.cosmos(&["up"]).succeeded();
        shop
    }

    fn save(&self) {
        let more = match self.has_more {
            true => idle("more", "depends_on = { web = \"ready\" }"),
            false => String::new(),
        };
        let config = WEB.to_owned() + &shop(&self.values) + &more;
        self.place.write("cosmos.toml", &config);
    }

    /// The name of the container that this round's [`Doing::AdHoc`] starts.
    fn ad_hoc(&self) -> String {
        format!("{}-adhoc-{}", self.place.name, self.round)
    }

    /// Gets everything ready for it; the words for `cosmos`.
    fn words(&mut self, doing: Doing, dice: &mut Dice) -> Vec<String> {
        let words: &[&str] = match doing {
            Doing::Edit => {
                for _ in 0..=dice.below(2) {
                    let which = usize::try_from(dice.below(3)).unwrap();
                    self.values[which].1 += 1;
                }
                self.save();
                &["up"]
            }
            Doing::Grow => {
                self.has_more = !self.has_more;
                self.save();
                &["up"]
            }
            Doing::Break(name) => {
                let _ = output("docker", &["rm", "-f", &self.place.container(name)]);
                &["up"]
            }
            Doing::Stop(name) => &["stop", name],
            Doing::Start(name) => &["start", name],
            Doing::Restart(name) => &["restart", name],
            Doing::AdHoc => {
                return ["start", "-d", "--name", &self.ad_hoc(), "busybox:latest"]
                    .into_iter()
                    .chain(["sleep", "1000"])
                    .map(str::to_owned)
                    .collect();
            }
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    /// What an order that was answered with yes means for all that comes after.
    fn believe(&mut self, doing: Doing) {
        match doing {
            Doing::Stop(name) => drop(self.held.insert(name.to_owned())),
            Doing::Start(name) | Doing::Restart(name) => drop(self.held.remove(name)),
            Doing::Edit | Doing::Grow | Doing::Break(_) | Doing::AdHoc => {}
        }
    }

    /// The services whose hold an order changes, which may have come to pass or not
    /// where nobody said that it was done.
    fn in_doubt(doing: Doing) -> Option<&'static str> {
        match doing {
            Doing::Stop(name) | Doing::Start(name) | Doing::Restart(name) => Some(name),
            Doing::Edit | Doing::Grow | Doing::Break(_) | Doing::AdHoc => None,
        }
    }

    /// No order that was answered is forgotten, and none is there that was not given.
    fn remembers(&mut self, doing: Doing, was_answered: bool) {
        let now = held(&self.place);
        if let Some(name) = Self::in_doubt(doing).filter(|_| !was_answered) {
            match now.contains(name) {
                true => self.held.insert(name.to_owned()),
                false => self.held.remove(name),
            };
        }
        assert_eq!(now, self.held, "after {doing:?}");
    }

    /// A container of nobody's workspace is there if that was answered, and ours if it is there.
    fn owns_what_it_made(&self, was_answered: bool) {
        let name = self.ad_hoc();
        let is_there = || inspect(&name, "{{.Id}}").is_some();
        assert!(
            is_there() || !was_answered,
            "{name} was started and is gone"
        );
        until("what was made without an answer is ours or gone", || {
            (!is_there() || self.place.cosmos(&["stop", &name]).code == 0).then_some(())
        });
        let _ = output("docker", &["rm", "-f", &name]);
    }
}

#[test]
fn a_proxy_killed_at_any_moment_leaves_no_orphan_no_double_and_no_lost_order() {
    let kills = setting("COSMOS_TEST_KILLS", KILLS);
    let mut dice = Dice::new();
    let mut shop = Shop::up();
    let (mut answered, mut longest) = (0, Duration::ZERO);
    for round in 1..=kills {
        shop.round = round;
        let name = dice.one_of(&NAMES);
        let doing = dice.one_of(&[
            Doing::Edit,
            Doing::Edit,
            Doing::Grow,
            Doing::Stop(name),
            Doing::Start(name),
            Doing::Restart(name),
            Doing::Break(name),
            Doing::AdHoc,
        ]);
        let moment = Duration::from_millis(dice.below(LONGEST));
        eprintln!("{round}: {doing:?}, killed after {moment:?}");
        let words = shop.words(doing, &mut dice);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let process = until("the proxy runs", || {
            inspect(&shop.place.proxy(), "{{.State.Pid}}").filter(|process| process != "0")
        });
        let order = shop.place.begin(&words);
        // It is the moment that is tried, and nothing tells of it.
        sleep(moment);
        let _ = output("kill", &["-KILL", &process]);
        let killed = Instant::now();
        let was_answered = order.end().code == 0;
        if was_answered {
            answered += 1;
            shop.believe(doing);
        }
        settles(&shop.place);
        longest = longest.max(killed.elapsed());
        shop.remembers(doing, was_answered);
        if doing == Doing::AdHoc {
            shop.owns_what_it_made(was_answered);
        }
        is_whole(&shop.place);
        shop.remembers(doing, true);
    }
    let networks = docker(&[
        "network",
        "ls",
        "-q",
        "--filter",
        &format!("name=^{}$", shop.place.network()),
    ]);
    assert_eq!(networks.lines().count(), 1, "{networks}");
    eprintln!(
        "{kills} kills, {answered} orders answered before, whole again after {longest:?} at most"
    );
}

#[test]
fn a_proxy_that_keeps_ending_is_started_by_whoever_needs_it() {
    let place = Place::up(&idle("one", ""));
    // The engine waits longer each time. That it counted is how one tells that it
    // was the engine; a start by hand begins to count again.
    for _ in 0..7 {
        let process = until("the proxy runs", || {
            inspect(&place.proxy(), "{{.State.Pid}}").filter(|process| process != "0")
        });
        let _ = output("kill", &["-KILL", &process]);
        until("it ended", || {
            inspect(&place.proxy(), "{{.State.Pid}}").filter(|now| *now != process)
        });
    }
    let _ = place.cosmos(&["status"]).succeeded();
    let restarts = inspect(&place.proxy(), "{{.RestartCount}}");
    assert_eq!(restarts.as_deref(), Some("0"));
}
