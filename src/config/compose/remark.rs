//! What a conversion could not do as it was written, by line of the Compose file.

use serde::Serialize;

use super::{files::Files, tree::Place};

/// What became of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is not in the `cosmos.toml`.
    LeftOut,
    /// It is there, and not quite the same.
    Changed,
    /// It is there, and something is left to do.
    ToDo,
}

/// What became of one key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Remark {
    /// What became of it.
    pub outcome: Outcome,
    /// The Compose file.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The key path in it: `services.web.ports[0]`.
    pub key: String,
    /// Why.
    pub why: String,
    /// What to do instead.
    pub instead: String,
}

/// Nobody reads more, and each costs time.
const MOST: usize = 1000;

/// All remarks of a conversion, as they come.
#[derive(Debug, Default)]
pub(super) struct Remarks {
    all: Vec<(Place, Remark)>,
    /// How many there are beyond [`MOST`].
    more: usize,
}

impl Remarks {
    pub(super) fn left_out(
        &mut self,
        place: Place,
        key: &str,
        why: impl Into<String>,
        instead: &str,
    ) {
        self.add(Outcome::LeftOut, place, key, why, instead);
    }

    pub(super) fn changed(
        &mut self,
        place: Place,
        key: &str,
        why: impl Into<String>,
        instead: &str,
    ) {
        self.add(Outcome::Changed, place, key, why, instead);
    }

    pub(super) fn left_to_do(
        &mut self,
        place: Place,
        key: &str,
        why: impl Into<String>,
        instead: &str,
    ) {
        self.add(Outcome::ToDo, place, key, why, instead);
    }

    fn add(
        &mut self,
        outcome: Outcome,
        place: Place,
        key: &str,
        why: impl Into<String>,
        instead: &str,
    ) {
        if self.all.len() >= MOST {
            self.more += 1;
            return;
        }
        let remark = Remark {
            outcome,
            file: String::new(),
            line: place.line,
            column: place.column,
            key: key.to_owned(),
            why: why.into(),
            instead: instead.to_owned(),
        };
        self.all.push((place, remark));
    }

    /// In the order of the files, each once, and how many were too many.
    pub(super) fn finish(mut self, files: &Files) -> (Vec<Remark>, usize) {
        self.all
            .sort_by_key(|(place, _)| (place.file, place.line, place.column));
        let mut all: Vec<Remark> = self
            .all
            .into_iter()
            .map(|(place, remark)| Remark {
                file: files.name(place.file).to_owned(),
                ..remark
            })
            .collect();
        all.dedup();
        (all, self.more)
    }
}
