//! What BuildKit says: `StatusResponse` messages of its control API, in protobuf.
//!
//! Only the few fields that are shown are read, by hand: the schema has been the
//! same since the first BuildKit, and a field that is not known is passed over.
//! A message that makes no sense is read as far as it does, and never fails.

use std::collections::HashMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{point, steps::Steps};
use crate::reconcile::engine::{BuildState, Progress, StepPlace};

/// The steps that BuildKit told of, by their digests.
#[derive(Default)]
pub(super) struct Trace {
    /// None for what is BuildKit's own affair.
    vertices: HashMap<String, Option<u32>>,
}

impl Trace {
    /// Takes a message as it stands in the engine's answer: base64.
    pub(super) fn hear(
        &mut self,
        message: &str,
        steps: &mut Steps,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        let Ok(message) = STANDARD.decode(message) else {
            return;
        };
        for field in Fields(&message) {
            match field {
                (1, Value::Bytes(vertex)) => self.vertex(&Vertex::read(vertex), steps, progress),
                (3, Value::Bytes(log)) => {
                    let log = Log::read(log);
                    if let Some(Some(id)) = self.vertices.get(&log.vertex) {
                        steps.output(*id, &log.text, progress);
                    }
                }
                _ => {}
            }
        }
    }

    fn vertex(
        &mut self,
        vertex: &Vertex,
        steps: &mut Steps,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) {
        // It is told before it begins, too, and may never: another one is needed no more.
        let Some(state) = vertex.state() else {
            return;
        };
        let known = self.vertices.get(&vertex.digest).copied();
        let id = known.unwrap_or_else(|| {
            let shown = !is_own_affair(&vertex.name);
            let id = shown.then(|| {
                let (place, name) = place_of(&vertex.name);
                steps.add(place, name)
            });
            self.vertices.insert(vertex.digest.clone(), id);
            id
        });
        if let Some(id) = id {
            steps.set(id, state, progress);
        }
    }
}

/// Looking things up and carrying things about.
fn is_own_affair(name: &str) -> bool {
    name.starts_with("[internal]")
        || name.starts_with("[auth]")
        || name == "copy /context /"
        || name.starts_with("docker-image://")
}

/// `[dev 2/5] RUN make`: its place and the rest.
fn place_of(name: &str) -> (Option<StepPlace>, &str) {
    let parts = || {
        let (place, rest) = name.strip_prefix('[')?.split_once(']')?;
        let (stage, count) = match place.rsplit_once(' ') {
            Some((stage, count)) => (Some(stage.to_owned()), count),
            None => (None, place),
        };
        let (number, of) = count.trim().split_once('/')?;
        let place = StepPlace {
            stage,
            number: number.parse().ok()?,
            of: of.parse().ok()?,
        };
        Some((place, rest.trim_start()))
    };
    match parts() {
        Some((place, rest)) => (Some(place), rest),
        None => (None, name),
    }
}

/// A step, as it is said each time that it changes.
#[derive(Debug, Default, PartialEq)]
struct Vertex {
    digest: String,
    name: String,
    cached: bool,
    started: Option<Stamp>,
    completed: Option<Stamp>,
    error: String,
}

impl Vertex {
    fn read(message: &[u8]) -> Self {
        let mut vertex = Self::default();
        for field in Fields(message) {
            match field {
                (1, Value::Bytes(text)) => vertex.digest = lossy(text),
                (3, Value::Bytes(text)) => vertex.name = lossy(text),
                (4, Value::Number(cached)) => vertex.cached = cached != 0,
                (5, Value::Bytes(stamp)) => vertex.started = Some(Stamp::read(stamp)),
                (6, Value::Bytes(stamp)) => vertex.completed = Some(Stamp::read(stamp)),
                (7, Value::Bytes(text)) => vertex.error = lossy(text),
                _ => {}
            }
        }
        vertex
    }

    fn state(&self) -> Option<BuildState> {
        if !self.error.is_empty() {
            return Some(BuildState::Failed {
                cause: point(&self.error),
            });
        }
        if self.cached {
            return Some(BuildState::Cached);
        }
        match (&self.started, &self.completed) {
            (Some(started), Some(completed)) => Some(BuildState::Done {
                millis: completed.millis().saturating_sub(started.millis()),
            }),
            (Some(_), None) => Some(BuildState::Running),
            (None, _) => None,
        }
    }
}

/// A point in time.
#[derive(Debug, Default, PartialEq)]
struct Stamp {
    seconds: u64,
    nanos: u64,
}

impl Stamp {
    fn read(message: &[u8]) -> Self {
        let mut stamp = Self::default();
        for field in Fields(message) {
            match field {
                (1, Value::Number(seconds)) => stamp.seconds = seconds,
                (2, Value::Number(nanos)) => stamp.nanos = nanos,
                _ => {}
            }
        }
        stamp
    }

    fn millis(&self) -> u64 {
        self.seconds
            .saturating_mul(1_000)
            .saturating_add(self.nanos / 1_000_000)
    }
}

/// A part of a step's output.
#[derive(Debug, Default, PartialEq)]
struct Log {
    vertex: String,
    text: String,
}

impl Log {
    fn read(message: &[u8]) -> Self {
        let mut log = Self::default();
        for field in Fields(message) {
            match field {
                (1, Value::Bytes(text)) => log.vertex = lossy(text),
                (4, Value::Bytes(text)) => log.text = lossy(text),
                _ => {}
            }
        }
        log
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// The value of a field, as the wire has it.
#[derive(Debug, PartialEq)]
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

/// The fields of a message, by number. Ends where it makes no more sense.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = (u64, Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let key = self.varint()?;
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Bytes(self.take(8)?),
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).ok()?)?)
            }
            5 => Value::Bytes(self.take(4)?),
            _ => return None,
        };
        Some((key >> 3, value))
    }
}

impl<'a> Fields<'a> {
    /// Seven bits a byte, the lowest first; ten bytes hold any number.
    fn varint(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A field with bytes in it.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        assert!(length < 0x80);
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn stamp(seconds: u8) -> Vec<u8> {
        vec![1 << 3, seconds]
    }

    fn vertex(digest: &str, name: &str, more: &[Vec<u8>]) -> Vec<u8> {
        let own = [field(1, digest.as_bytes()), field(3, name.as_bytes())];
        field(1, &[own.concat(), more.concat()].concat())
    }

    fn log(digest: &str, text: &str) -> Vec<u8> {
        field(
            3,
            &[field(1, digest.as_bytes()), field(4, text.as_bytes())].concat(),
        )
    }

    fn heard(messages: &[Vec<u8>]) -> Vec<String> {
        let said = std::sync::Mutex::new(Vec::new());
        let progress = |progress| {
            said.lock().unwrap().push(match progress {
                Progress::Build { step, state } => {
                    let place = step.place.map(|place| place.to_string());
                    format!("{} {} {state:?}", place.unwrap_or_default(), step.name)
                }
                Progress::Line { text, step } => format!("{step:?} {text}"),
                Progress::Layer { .. } => unreachable!(),
            });
        };
        let (mut trace, mut steps) = (Trace::default(), Steps::default());
        for message in messages {
            trace.hear(&STANDARD.encode(message), &mut steps, &progress);
        }
        said.into_inner().unwrap()
    }

    #[test]
    fn a_step_is_told_when_it_begins_and_once_when_it_is_over() {
        let started = || field(5, &stamp(10));
        let completed = || field(6, &stamp(12));
        let named = |more: &[Vec<u8>]| vertex("a", "[dev 2/3] RUN make", more);
        assert_eq!(
            heard(&[
                named(&[]),
                named(&[started()]),
                named(&[started()]),
                log("a", "one\ntw"),
                log("a", "o"),
                named(&[started(), completed()]),
                named(&[vec![4 << 3, 1], started(), completed()]),
            ]),
            [
                "[dev 2/3] RUN make Running",
                "Some(0) one",
                "Some(0) two",
                "[dev 2/3] RUN make Done { millis: 2000 }",
            ]
        );
    }

    #[test]
    fn what_is_cached_and_what_failed_is_told_so() {
        assert_eq!(
            heard(&[
                vertex("a", "[1/2] FROM x", &[vec![4 << 3, 1]]),
                vertex(
                    "b",
                    "[2/2] RUN y",
                    &[field(5, &stamp(1)), field(7, b"failed to solve: no")]
                ),
            ]),
            [
                "[1/2] FROM x Cached",
                "[2/2] RUN y Failed { cause: \"no\" }",
            ]
        );
    }

    #[test]
    fn what_buildkit_does_for_itself_is_not_told() {
        let begun = [field(5, &stamp(1))];
        assert_eq!(
            heard(&[
                vertex("a", "[internal] load metadata for x", &begun),
                vertex("b", "copy /context /", &begun),
                log("a", "line\n"),
            ]),
            [""; 0]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let (mut trace, mut steps) = (Trace::default(), Steps::default());
            trace.hear(&STANDARD.encode(&bytes), &mut steps, &|_| {});
            trace.hear(&String::from_utf8_lossy(&bytes), &mut steps, &|_| {});
        }

        #[test]
        fn a_number_is_read_as_it_was_written(number: u64) {
            let mut written = Vec::new();
            let mut rest = number;
            loop {
                let low = u8::try_from(rest & 0x7f).unwrap();
                rest >>= 7;
                written.push(if rest == 0 { low } else { low | 0x80 });
                if rest == 0 {
                    break;
                }
            }
            prop_assert_eq!(Fields(&written).varint(), Some(number));
        }

        #[test]
        fn a_message_that_is_cut_keeps_what_is_whole(cut in 0_usize..24) {
            let whole = [field(1, b"abc"), field(3, b"name"), field(7, b"error")].concat();
            let cut = cut.min(whole.len());
            let vertex = Vertex::read(&whole[..cut]);
            prop_assert_eq!(vertex.digest.is_empty(), cut < 5);
            prop_assert_eq!(vertex.name.is_empty(), cut < 11);
        }
    }
}
