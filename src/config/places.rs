//! Where each key and value of a layer is written.
//!
//! A tree, not a map from path to place: the paths of all values of a hostile
//! file are together larger than memory.

use std::ops::Range;

use indexmap::IndexMap;

use super::decode::Segment;

/// Where a key and its value are, and those inside it.
#[derive(Debug, Clone, Default)]
pub(super) struct Place {
    pub(super) key: Range<usize>,
    pub(super) value: Range<usize>,
    pub(super) inside: Inside,
}

/// What a value has inside.
#[derive(Debug, Clone, Default)]
pub(super) enum Inside {
    /// It is a value alone.
    #[default]
    Nothing,
    /// It is a list.
    List(Vec<Place>),
    /// It is a table, in the order of the text.
    Table(IndexMap<String, Place>),
}

impl Place {
    pub(super) fn table(entries: IndexMap<String, Place>) -> Self {
        Self {
            inside: Inside::Table(entries),
            ..Self::default()
        }
    }

    pub(super) fn is_table(&self) -> bool {
        matches!(self.inside, Inside::Table(_))
    }

    /// The place one step down.
    pub(super) fn child(&self, segment: &Segment) -> Option<&Place> {
        match (&self.inside, segment) {
            (Inside::Table(entries), Segment::Key(key)) => entries.get(key),
            (Inside::List(items), Segment::Index(index)) => items.get(*index),
            _ => None,
        }
    }

    /// The place at a path.
    pub(super) fn at(&self, path: &[Segment]) -> Option<&Place> {
        path.iter()
            .try_fold(self, |place, segment| place.child(segment))
    }

    /// Puts a place at a path of keys; tables on the way that are not there are
    /// made, at the same place. What is there stays.
    pub(super) fn insert(&mut self, path: &[String], place: &Place) {
        let mut here = self;
        for (depth, key) in path.iter().enumerate() {
            let Inside::Table(entries) = &mut here.inside else {
                return;
            };
            here = entries.entry(key.clone()).or_insert_with(|| Place {
                key: place.key.clone(),
                value: place.value.clone(),
                inside: if depth + 1 == path.len() {
                    Inside::Nothing
                } else {
                    Inside::Table(IndexMap::new())
                },
            });
        }
    }
}

/// A layer's number, and a place in it.
pub(super) type Numbered<'a> = (usize, &'a Place);

/// The places of one thing in the layers that make it: what a later layer
/// replaced is not among them.
#[derive(Debug, Clone)]
pub(super) struct Places<'a> {
    /// The one that counts: of a value the last, of a table the first.
    pub(super) first: Numbered<'a>,
    /// Further layers of a table. Nearly always there are none.
    rest: Vec<Numbered<'a>>,
}

impl<'a> Places<'a> {
    /// Of the layers' roots, in order.
    pub(super) fn new(roots: impl IntoIterator<Item = Numbered<'a>>) -> Option<Self> {
        let mut joined: Option<Self> = None;
        for (layer, place) in roots {
            match &mut joined {
                // Tables are joined; anything else stands for itself, and what was before it is gone.
                Some(before) if place.is_table() && before.first.1.is_table() => {
                    before.rest.push((layer, place));
                }
                _ => {
                    joined = Some(Self {
                        first: (layer, place),
                        rest: Vec::new(),
                    });
                }
            }
        }
        joined
    }

    fn all(&self) -> impl Iterator<Item = Numbered<'a>> {
        std::iter::once(self.first).chain(self.rest.iter().copied())
    }

    /// One step down. `None` if no layer has it.
    pub(super) fn child(&self, segment: &Segment) -> Option<Self> {
        Self::new(
            self.all()
                .filter_map(|(layer, place)| Some((layer, place.child(segment)?))),
        )
    }

    /// Each key inside with its places, in the order of the layers and of each text.
    pub(super) fn entries(&self) -> Vec<(&'a str, Self)> {
        let alone = |layer: usize, place: &'a Place| Self {
            first: (layer, place),
            rest: Vec::new(),
        };
        let mut entries = Vec::new();
        for (number, (layer, place)) in self.all().enumerate() {
            let Inside::Table(inside) = &place.inside else {
                continue;
            };
            entries.reserve(inside.len());
            for (key, place) in inside {
                if self.rest.is_empty() {
                    entries.push((key.as_str(), alone(layer, place)));
                    continue;
                }
                let is_new = self.all().take(number).all(|(_, earlier)| {
                    !matches!(&earlier.inside, Inside::Table(entries) if entries.contains_key(key))
                });
                if is_new {
                    let all = self.all().filter_map(|(layer, place)| match &place.inside {
                        Inside::Table(entries) => Some((layer, entries.get(key)?)),
                        _ => None,
                    });
                    entries.extend(Self::new(all).map(|places| (key.as_str(), places)));
                }
            }
        }
        entries
    }

    /// Each item inside, in order.
    pub(super) fn items(&self) -> impl Iterator<Item = Self> {
        let (layer, place) = self.first;
        let items: &'a [Place] = match &place.inside {
            Inside::List(items) => items,
            _ => &[],
        };
        items.iter().map(move |item| Self {
            first: (layer, item),
            rest: Vec::new(),
        })
    }
}
