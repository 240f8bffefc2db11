//! From the text of a Compose file to a tree with places.
//!
//! `saphyr-parser` gives events with line and column; the tree is made of them
//! here, without recursion and within bounds, so that no file can use up the
//! stack, the memory or anybody's patience. Aliases and merge keys (`<<`) are
//! resolved; what YAML allows and Compose does not is refused.

use std::{
    collections::{HashMap, HashSet},
    rc::Rc,
};

use saphyr_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::tree::{Entry, Map, Node, Place, Value};

/// Four times what the largest public file that was looked at unfolds to: sixty services
/// by aliases. What is beyond it would take longer than anybody waits.
const MOST_VALUES: usize = 20_000;

/// Three times as deep as any key of Compose is.
const DEEPEST: usize = 32;

/// Why a text is no Compose file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// What is wrong.
    pub(super) message: String,
    /// Where.
    pub(super) place: Place,
    /// What to do about it.
    pub(super) help: String,
}

/// How many more values may be read or unfolded, in all files together.
#[derive(Debug)]
pub(super) struct Budget(usize);

impl Budget {
    pub(super) fn new() -> Self {
        Self(MOST_VALUES)
    }

    /// Takes so many, if there are as many left.
    pub(super) fn take(&mut self, values: usize) -> bool {
        match self.0.checked_sub(values) {
            Some(left) => {
                self.0 = left;
                true
            }
            None => false,
        }
    }
}

/// One document of a file.
#[derive(Debug)]
pub(super) struct Document {
    /// What it says.
    pub(super) root: Rc<Node>,
    /// Where a second document begins. It is not read.
    pub(super) second: Option<Place>,
}

/// Reads the first document of a text. Nothing at all is an empty document.
pub(super) fn read(text: &str, file: usize, budget: &mut Budget) -> Result<Document, Fault> {
    let mut builder = Builder {
        file,
        budget,
        open: Vec::new(),
        anchors: HashMap::new(),
        root: None,
    };
    let mut parser = Parser::new_from_str(text);
    let mut documents = 0;
    let mut second = None;
    while let Some(event) = parser.next_event() {
        let (event, span) = event.map_err(|error| Fault {
            message: error.info().to_owned(),
            place: place(file, error.marker()),
            help: "mend it there, or just before".to_owned(),
        })?;
        if let Event::DocumentStart(_) = event {
            documents += 1;
            if documents > 1 {
                second = Some(builder.place(span));
                break;
            }
        }
        builder.take(event, span)?;
    }
    let start = Place {
        file,
        line: 1,
        column: 1,
    };
    Ok(Document {
        root: builder
            .root
            .unwrap_or_else(|| Rc::new(Node::new(Value::Null, start))),
        second,
    })
}

fn place(file: usize, marker: &saphyr_parser::Marker) -> Place {
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    Place {
        file,
        line: count(marker.line()).max(1),
        column: count(marker.col()).saturating_add(1),
    }
}

/// Puts events together.
struct Builder<'a> {
    file: usize,
    budget: &'a mut Budget,
    open: Vec<Open>,
    anchors: HashMap<usize, Rc<Node>>,
    root: Option<Rc<Node>>,
}

/// A list or mapping that has not ended.
struct Open {
    place: Place,
    anchor: usize,
    is_override: bool,
    inside: Inside,
}

enum Inside {
    List(Vec<Rc<Node>>),
    Map {
        entries: Vec<Entry>,
        key: Option<(Rc<str>, Place)>,
    },
}

impl Builder<'_> {
    fn place(&self, span: Span) -> Place {
        place(self.file, &span.start)
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        let place = self.place(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = match style {
                    ScalarStyle::Plain if is_null(&text) => Value::Null,
                    ScalarStyle::Plain => Value::Plain(text.into_owned()),
                    _ => Value::Quoted(text.into_owned()),
                };
                self.spend(1, place)?;
                self.end(value, place, anchor, is_override(tag.as_deref()))
            }
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Fault {
                        message: "this alias is inside of what it stands for".to_owned(),
                        place,
                        help: "it would never end: name something else".to_owned(),
                    });
                };
                self.spend(node.size, place)?;
                self.check_depth(node.height, place)?;
                self.put(node, place)
            }
            Event::SequenceStart(anchor, tag) => {
                self.begin(Inside::List(Vec::new()), place, anchor, tag.as_deref())
            }
            Event::MappingStart(anchor, tag) => {
                let inside = Inside::Map {
                    entries: Vec::new(),
                    key: None,
                };
                self.begin(inside, place, anchor, tag.as_deref())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Ok(());
                };
                let value = match open.inside {
                    Inside::List(items) => Value::List(items),
                    Inside::Map { entries, .. } => Value::Map(self.merged(entries)?),
                };
                self.end(value, open.place, open.anchor, open.is_override)
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        inside: Inside,
        place: Place,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), Fault> {
        self.check_depth(1, place)?;
        self.spend(1, place)?;
        self.open.push(Open {
            place,
            anchor,
            is_override: is_override(tag),
            inside,
        });
        Ok(())
    }

    fn end(
        &mut self,
        value: Value,
        place: Place,
        anchor: usize,
        is_override: bool,
    ) -> Result<(), Fault> {
        let node = Rc::new(Node {
            is_override,
            ..Node::new(value, place)
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Rc::clone(&node));
        }
        self.put(node, place)
    }

    /// Puts a value where the next one belongs.
    fn put(&mut self, node: Rc<Node>, at: Place) -> Result<(), Fault> {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.inside {
            Inside::List(items) => items.push(node),
            Inside::Map { entries, key } => match key.take() {
                Some((key, place)) => entries.push(Entry { key, place, node }),
                None => {
                    let text = match &node.value {
                        Value::Plain(text) | Value::Quoted(text) => text.as_str(),
                        Value::Null => "",
                        _ => {
                            return Err(Fault {
                                message: format!("a key cannot be {}", node.describe()),
                                place: at,
                                help:
                                    "a key is text; what begins with `{`, `[` or `?` needs quotes"
                                        .to_owned(),
                            });
                        }
                    };
                    *key = Some((Rc::from(text), at));
                }
            },
        }
        Ok(())
    }

    /// A mapping with what its `<<` bring in; its own keys win, and none is there twice.
    fn merged(&mut self, entries: Vec<Entry>) -> Result<Map, Fault> {
        let mut seen = HashSet::with_capacity(entries.len());
        for entry in &entries {
            if !seen.insert(Rc::clone(&entry.key)) && &*entry.key != "<<" {
                return Err(Fault {
                    message: format!("the key `{}` is there twice", entry.key),
                    place: entry.place,
                    help: "keep one of the two".to_owned(),
                });
            }
        }
        if !seen.contains("<<") {
            return Ok(Map(entries));
        }
        let mut all = Vec::with_capacity(entries.len());
        for entry in entries {
            if &*entry.key != "<<" {
                all.push(entry);
                continue;
            }
            for from in entry.node.one_or_many() {
                let Some(map) = from.as_map() else {
                    return Err(Fault {
                        message: format!("`<<` takes a mapping, not {}", from.describe()),
                        place: entry.place,
                        help: "write `<<: *name`, where `&name` is at a mapping".to_owned(),
                    });
                };
                self.spend(from.size, entry.place)?;
                for inherited in map.iter() {
                    if seen.insert(Rc::clone(&inherited.key)) {
                        all.push(inherited.clone());
                    }
                }
            }
        }
        Ok(Map(all))
    }

    fn spend(&mut self, values: usize, place: Place) -> Result<(), Fault> {
        if self.budget.take(values) {
            return Ok(());
        }
        Err(too_much(place))
    }

    fn check_depth(&self, more: usize, place: Place) -> Result<(), Fault> {
        if self.open.len() + more <= DEEPEST {
            return Ok(());
        }
        Err(Fault {
            message: format!("values inside values, deeper than {DEEPEST}"),
            place,
            help: "nothing to do in a Compose file is that deep".to_owned(),
        })
    }
}

/// What is said of a file that is larger than it looks, or just large.
pub(super) fn too_much(place: Place) -> Fault {
    Fault {
        message: format!(
            "more than {MOST_VALUES} values, aliases and what is extended counted each time"
        ),
        place,
        help: "convert it in parts".to_owned(),
    }
}

fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn is_override(tag: Option<&Tag>) -> bool {
    tag.is_some_and(|tag| matches!(tag.suffix.as_str(), "override" | "reset"))
}
