//! Finds the keys that detach in what is typed.

use std::str::FromStr;

/// The keys that detach, Ctrl-P Ctrl-Q if nothing else was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DetachKeys(Vec<u8>);

/// What was to be keys is none.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no key: write `ctrl-` and a letter, or one character")]
pub struct NoKey(String);

/// As Docker writes them: `ctrl-p,ctrl-q`, or `ctrl-a,d`. `none` is no keys at all.
impl FromStr for DetachKeys {
    type Err = NoKey;

    fn from_str(text: &str) -> Result<Self, NoKey> {
        match text {
            "none" => Ok(Self(Vec::new())),
            keys => keys.split(',').map(key).collect::<Result<_, _>>().map(Self),
        }
    }
}

/// The byte that a terminal sends for a key.
fn key(name: &str) -> Result<u8, NoKey> {
    let no_key = || NoKey(name.to_owned());
    let controlled = name
        .get(..5)
        .filter(|start| start.eq_ignore_ascii_case("ctrl-"));
    let character = controlled.map_or(name, |start| &name[start.len()..]);
    let [byte] = character.as_bytes() else {
        return Err(no_key());
    };
    match (controlled, byte.to_ascii_uppercase()) {
        (None, _) if byte.is_ascii_graphic() => Ok(*byte),
        // A control character is the letter without its two upper bits.
        (Some(_), letter @ b'@'..=b'_') => Ok(letter & 0x1f),
        _ => Err(no_key()),
    }
}

impl Default for DetachKeys {
    fn default() -> Self {
        Self(vec![0x10, 0x11])
    }
}

/// What is left of some typed bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Typed {
    /// What goes to the process.
    pub(super) passed: Vec<u8>,
    /// The keys were there. What follows them is nobody's.
    pub(super) is_detached: bool,
}

/// Watches for the keys across any cut of the stream.
///
/// A byte that may be the first of them is kept back until the next shows that
/// it is not; then it passes, and is never lost.
#[derive(Debug)]
pub(super) struct KeyMatcher {
    keys: Vec<u8>,
    kept: usize,
}

impl KeyMatcher {
    pub(super) fn new(keys: &DetachKeys) -> Self {
        Self {
            keys: keys.0.clone(),
            kept: 0,
        }
    }

    pub(super) fn feed(&mut self, bytes: &[u8]) -> Typed {
        let mut passed = Vec::with_capacity(self.kept + bytes.len());
        for &byte in bytes {
            self.step(byte, &mut passed);
            if !self.keys.is_empty() && self.kept == self.keys.len() {
                self.kept = 0;
                return Typed {
                    passed,
                    is_detached: true,
                };
            }
        }
        Typed {
            passed,
            is_detached: false,
        }
    }

    /// What was kept back, at the end of what is typed.
    pub(super) fn finish(&mut self) -> &[u8] {
        let kept = std::mem::take(&mut self.kept);
        self.keys.get(..kept).unwrap_or_default()
    }

    /// What is kept back are the first `kept` keys. If `byte` does not go on
    /// with them, they pass one by one until it does.
    fn step(&mut self, byte: u8, passed: &mut Vec<u8>) {
        loop {
            if self.keys.get(self.kept) == Some(&byte) {
                self.kept += 1;
                return;
            }
            if self.kept == 0 {
                passed.push(byte);
                return;
            }
            let before = self.kept;
            self.kept = self.longest_border(before);
            let gone = before - self.kept;
            passed.extend(self.keys.iter().take(gone));
        }
    }

    /// The longest proper start of the first `length` keys that is their end, too.
    fn longest_border(&self, length: usize) -> usize {
        (0..length)
            .rev()
            .find(|&border| self.keys.get(..border) == self.keys.get(length - border..length))
            .unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const P: u8 = 0x10;
    const Q: u8 = 0x11;

    /// Feeds each chunk, then the end; what passed, and whether it detached.
    fn typed(keys: &[u8], chunks: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut matcher = KeyMatcher::new(&DetachKeys(keys.to_vec()));
        let mut all = Vec::new();
        for chunk in chunks {
            let typed = matcher.feed(chunk);
            all.extend(typed.passed);
            if typed.is_detached {
                return (all, true);
            }
        }
        all.extend_from_slice(matcher.finish());
        (all, false)
    }

    #[test]
    fn the_keys_detach_however_they_arrive() {
        assert_eq!(typed(&[P, Q], &[&[P, Q]]), (vec![], true));
        assert_eq!(
            typed(&[P, Q], &[b"ls", &[P], &[Q], b"lost"]),
            (b"ls".to_vec(), true)
        );
        assert_eq!(typed(&[P, Q], &[&[P, P, Q]]), (vec![P], true));
    }

    #[test]
    fn a_first_key_alone_passes_with_the_next() {
        assert_eq!(typed(&[P, Q], &[&[P], b"x"]), (vec![P, b'x'], false));
        assert_eq!(typed(&[P, Q], &[&[P, P], b"x"]), (vec![P, P, b'x'], false));
        assert_eq!(typed(&[P, Q], &[&[Q, P]]), (vec![Q, P], false));
    }

    #[test]
    fn keys_are_written_as_docker_writes_them() {
        let keys = |text: &str| text.parse::<DetachKeys>().map(|keys| keys.0);
        assert_eq!(keys("ctrl-p,ctrl-q"), Ok(vec![P, Q]));
        assert_eq!(keys("Ctrl-A,d"), Ok(vec![1, b'd']));
        assert_eq!(keys("ctrl-@,ctrl-[,ctrl-_"), Ok(vec![0, 0x1b, 0x1f]));
        assert_eq!(keys("none"), Ok(vec![]));
        for wrong in [
            "",
            "ctrl-",
            "ctrl-1",
            "ctrl-pq",
            "ab",
            "a,,b",
            "\u{e9}",
            "ctrl\u{e9}-a",
        ] {
            assert!(keys(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn without_keys_everything_passes() {
        assert_eq!(typed(&[], &[&[P, Q]]), (vec![P, Q], false));
    }

    proptest! {
        #[test]
        fn what_passes_is_what_stands_before_the_keys(
            keys in prop::collection::vec(0u8..3, 1..5),
            bytes in prop::collection::vec(0u8..3, 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let found = bytes.windows(keys.len()).position(|window| window == keys);
            let expected = match found {
                Some(at) => (bytes[..at].to_vec(), true),
                None => (bytes.clone(), false),
            };
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            prop_assert_eq!(typed(&keys, &[first, second]), expected);
        }
    }
}
