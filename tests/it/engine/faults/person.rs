//! What a person orders while things break, and what must be true after it.

use std::collections::BTreeSet;

use super::{
    super::workspace::{
        WEB, idle,
        support::{Place, inspect, output, until},
    },
    Dice, held, shop,
};

/// The services that it is about.
pub(super) const NAMES: [&str; 3] = ["one", "two", "three"];

/// What a person may be doing when it happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Doing {
    Edit,
    Grow,
    Stop(&'static str),
    Start(&'static str),
    Restart(&'static str),
    Break(&'static str),
    AdHoc,
}

/// A workspace of which it is known what it should be.
pub(super) struct Shop {
    pub(super) place: Place,
    values: [(&'static str, u64); 3],
    has_more: bool,
    held: BTreeSet<String>,
    pub(super) round: u32,
}

impl Doing {
    /// Any of them.
    pub(super) fn any(dice: &mut Dice) -> Self {
        let name = dice.one_of(&NAMES);
        dice.one_of(&[
            Self::Edit,
            Self::Edit,
            Self::Grow,
            Self::Stop(name),
            Self::Start(name),
            Self::Restart(name),
            Self::Break(name),
            Self::AdHoc,
        ])
    }
}

impl Shop {
    /// One that is up, in a place of which nothing is there yet.
    pub(super) fn up(place: Place) -> Self {
        let values = NAMES.map(|name| (name, 0));
        let shop = Self {
            place,
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
    pub(super) fn words(&mut self, doing: Doing, dice: &mut Dice) -> Vec<String> {
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
    pub(super) fn believe(&mut self, doing: Doing) {
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
    pub(super) fn remembers(&mut self, doing: Doing, was_answered: bool) {
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
    pub(super) fn owns_what_it_made(&self, was_answered: bool) {
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
