//! `.dockerignore`: what is left out of a build context.
//!
//! The rules are Docker's, which are not a shell's: the last pattern that matches
//! a path or a folder around it decides, `!` takes back in, `**` spans folders,
//! and a pattern is always about the whole path from the context on.

use std::path::Path;

/// The patterns of one file, in order.
#[derive(Debug, Default)]
pub(super) struct Ignore {
    patterns: Vec<Pattern>,
}

/// A pattern that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BadPattern {
    /// Its line, from 1.
    pub(super) line: usize,
    /// As it is written.
    pub(super) pattern: String,
}

/// Which of the patterns match a folder or one around it.
#[derive(Debug, Clone, Default)]
pub(super) struct Matches(Vec<bool>);

impl Ignore {
    /// Reads a file.
    pub(super) fn parse(text: &str) -> Result<Self, BadPattern> {
        let mut patterns = Vec::new();
        for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
            // A comment begins the line: ` #x` is a pattern.
            if line.starts_with('#') || line.trim().is_empty() {
                continue;
            }
            let bad = || BadPattern {
                line: number,
                pattern: line.trim().to_owned(),
            };
            let (takes_in, text) = match line.trim().strip_prefix('!') {
                Some(text) => (true, text.trim()),
                None => (false, line.trim()),
            };
            if text.is_empty() {
                return Err(bad());
            }
            let shape = Shape::parse(&clean(text)).ok_or_else(bad)?;
            patterns.push(Pattern { takes_in, shape });
        }
        Ok(Self { patterns })
    }

    /// Whether a path is left out, and what its own entries go on from.
    pub(super) fn look(&self, around: &Matches, path: &str) -> (bool, Matches) {
        let matches: Vec<bool> = self
            .patterns
            .iter()
            .enumerate()
            .map(|(at, pattern)| {
                around.0.get(at).copied().unwrap_or(false) || pattern.shape.matches(path)
            })
            .collect();
        let last = self.patterns.iter().zip(&matches).rfind(|(_, is)| **is);
        let is_left_out = last.is_some_and(|(pattern, _)| !pattern.takes_in);
        (is_left_out, Matches(matches))
    }

    /// Whether something in a folder that is left out may be taken back in.
    pub(super) fn may_take_in(&self, folder: &str) -> bool {
        let inside = format!("{folder}/");
        self.patterns
            .iter()
            .any(|pattern| pattern.takes_in && pattern.shape.may_begin(&inside))
    }
}

#[derive(Debug)]
struct Pattern {
    takes_in: bool,
    shape: Shape,
}

/// What a pattern matches.
#[derive(Debug)]
enum Shape {
    /// `node_modules`
    Exactly(String),
    /// `**/target`: the end of a path, or all of it behind a slash.
    Suffix(String),
    /// Anything else.
    Parts(Vec<Part>),
}

#[derive(Debug)]
enum Part {
    Letter(char),
    /// `?`: any but a slash.
    One,
    /// `*`: any number but of slashes.
    Star,
    /// `**` before more: nothing, or folders with their slash.
    Folders,
    /// `**` at the end: anything.
    Rest,
    /// `[a-z]`
    Set {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
}

impl Shape {
    fn parse(pattern: &str) -> Option<Self> {
        let is_special = |letter: char| "*?[]\\".contains(letter);
        if !pattern.contains(is_special) {
            return Some(Self::Exactly(pattern.to_owned()));
        }
        if let Some(suffix) = pattern.strip_prefix("**")
            && !suffix.contains(is_special)
        {
            return Some(Self::Suffix(suffix.to_owned()));
        }
        let mut parts = Vec::new();
        let mut letters = pattern.chars().peekable();
        while let Some(letter) = letters.next() {
            parts.push(match letter {
                '*' if letters.next_if_eq(&'*').is_some() => {
                    let _ = letters.next_if_eq(&'/');
                    if letters.peek().is_none() {
                        Part::Rest
                    } else {
                        Part::Folders
                    }
                }
                '*' => Part::Star,
                '?' => Part::One,
                '\\' => Part::Letter(letters.next()?),
                '[' => {
                    let negated = letters.next_if_eq(&'^').is_some();
                    let mut ranges = Vec::new();
                    loop {
                        let from = match letters.next()? {
                            ']' if !ranges.is_empty() => break,
                            ']' => return None,
                            '\\' => letters.next()?,
                            letter => letter,
                        };
                        let to = match letters.next_if_eq(&'-') {
                            None => from,
                            Some(_) => match letters.next()? {
                                ']' => return None,
                                '\\' => letters.next()?,
                                letter => letter,
                            },
                        };
                        ranges.push((from, to));
                    }
                    Part::Set { negated, ranges }
                }
                letter => Part::Letter(letter),
            });
        }
        Some(Self::Parts(parts))
    }

    fn matches(&self, path: &str) -> bool {
        match self {
            Self::Exactly(text) => path == text,
            Self::Suffix(suffix) => {
                path.ends_with(suffix.as_str()) || suffix.strip_prefix('/') == Some(path)
            }
            Self::Parts(parts) => {
                let mut at = Positions::new(parts);
                path.chars().for_each(|letter| at.advance(letter));
                at.is_end()
            }
        }
    }

    /// Whether a path that begins so can match.
    fn may_begin(&self, begin: &str) -> bool {
        match self {
            Self::Exactly(text) => text.starts_with(begin),
            Self::Suffix(_) => true,
            Self::Parts(parts) => {
                let mut at = Positions::new(parts);
                begin.chars().for_each(|letter| at.advance(letter));
                at.is_alive()
            }
        }
    }
}

/// Every place in a pattern that what was read so far may have come to: all are
/// followed at once, so that no pattern takes longer than its length times the path's.
struct Positions<'a> {
    parts: &'a [Part],
    /// Before this part, or at the end.
    before: Vec<bool>,
    /// Inside this part, which is [`Part::Folders`].
    inside: Vec<bool>,
}

impl<'a> Positions<'a> {
    fn new(parts: &'a [Part]) -> Self {
        let mut positions = Self {
            parts,
            before: vec![false; parts.len() + 1],
            inside: vec![false; parts.len()],
        };
        if let Some(first) = positions.before.first_mut() {
            *first = true;
        }
        positions.skip();
        positions
    }

    /// Goes past what may match nothing.
    fn skip(&mut self) {
        for (at, part) in self.parts.iter().enumerate() {
            if self.before[at] && matches!(part, Part::Star | Part::Folders | Part::Rest) {
                self.before[at + 1] = true;
            }
        }
    }

    fn advance(&mut self, letter: char) {
        let mut before = vec![false; self.before.len()];
        let mut inside = vec![false; self.inside.len()];
        for (at, part) in self.parts.iter().enumerate() {
            let is_before = self.before[at];
            match part {
                Part::Letter(own) => before[at + 1] |= is_before && letter == *own,
                Part::One => before[at + 1] |= is_before && letter != '/',
                Part::Star => before[at] |= is_before && letter != '/',
                Part::Rest => before[at] |= is_before,
                Part::Folders => {
                    let is_in = is_before || self.inside[at];
                    inside[at] |= is_in;
                    before[at + 1] |= is_in && letter == '/';
                }
                Part::Set { negated, ranges } => {
                    let is_in = ranges
                        .iter()
                        .any(|(from, to)| (*from..=*to).contains(&letter));
                    before[at + 1] |= is_before && is_in != *negated;
                }
            }
        }
        self.before = before;
        self.inside = inside;
        self.skip();
    }

    fn is_end(&self) -> bool {
        self.before.last().copied().unwrap_or(false)
    }

    fn is_alive(&self) -> bool {
        self.before.iter().chain(&self.inside).any(|is| *is)
    }
}

/// `./a//b/` as `a/b`, and `/a` as `a`: how Docker reads a pattern.
pub(super) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            // Above the root there is nothing.
            ".." if path.starts_with('/') => {}
            part => parts.push(part),
        }
    }
    if parts.is_empty() && !path.starts_with('/') {
        return ".".to_owned();
    }
    parts.join("/")
}

/// A path of the context as patterns see it.
pub(super) fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Whether a path is left out, looked at folder by folder as the walk does.
    fn leaves_out(text: &str, path: &str) -> bool {
        let ignore = Ignore::parse(text).unwrap();
        let mut matches = Matches::default();
        let mut is_left_out = false;
        let ends = path.match_indices('/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            (is_left_out, matches) = ignore.look(&matches, &path[..end]);
        }
        is_left_out
    }

    #[test]
    fn patterns_are_read_as_docker_reads_them() {
        for (pattern, out, kept) in [
            // From the context's root, and with all that is inside.
            ("a", &["a", "a/b", "a/b/c"][..], &["b/a", "ab", "A"][..]),
            ("/a", &["a", "a/b"], &["b/a"]),
            ("a/", &["a", "a/b"], &[]),
            ("./a//b/.", &["a/b"], &["a"]),
            ("a/../b", &["b"], &["a", "a/b"]),
            ("../a", &[], &["a"]),
            ("  a  ", &["a"], &[" a"]),
            ("*", &["a", "a/b", ".hidden"], &[]),
            ("*.log", &["x.log", ".log", "x.log/y"], &["a/x.log", "xlog"]),
            ("*/*.log", &["a/x.log"], &["x.log", "a/b/x.log"]),
            ("?", &["a"], &["ab", ""]),
            ("a?c", &["abc"], &["a/c", "ac"]),
            ("**", &["a", "a/b/c"], &[]),
            ("**/a", &["a", "x/a", "x/y/a", "x/a/y"], &["xa", "ax"]),
            ("**a", &["a", "xa", "x/ya"], &["ax"]),
            ("**/*.log", &["x.log", "a/b/x.log"], &["x.txt"]),
            ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
            ("a/**/b", &["a/b", "a/x/b", "a/x/y/b"], &["a/xb", "b"]),
            ("a**", &["a", "ab", "ab/c"], &["b/a"]),
            ("[ab]", &["a", "b"], &["c", "ab"]),
            ("[^ab]", &["c"], &["a"]),
            ("[!a]", &["!", "a"], &["b"]),
            ("[a-c]x", &["bx"], &["dx"]),
            (r"\*", &["*"], &["a"]),
            (r"a\?", &["a?"], &["ab"]),
            ("a.b", &["a.b"], &["axb"]),
            ("a+(b)|{c}$", &["a+(b)|{c}$"], &["ab"]),
            (" #a", &["#a"], &[]),
            ("ä*", &["äö"], &["aö"]),
        ] {
            for path in out {
                assert!(leaves_out(pattern, path), "{pattern:?} keeps {path:?}");
            }
            for path in kept {
                assert!(
                    !leaves_out(pattern, path),
                    "{pattern:?} leaves out {path:?}"
                );
            }
        }
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        for (text, path, is_out) in [
            ("*\n!a", "a", false),
            ("*\n!a", "a/b", false),
            ("!a\n*", "a", true),
            ("a\n!a/b\n", "a/b/c", false),
            ("a\n!a/b\na/b/c\n", "a/b/c", true),
            ("a\n! a/b", "a/b", false),
            ("**/*.md\n!README.md", "README.md", false),
            ("**/*.md\n!README.md", "docs/README.md", true),
            ("*\n!**/*.rs", "src/deep/x.rs", false),
            ("# a\n\n\u{20}\n", "# a", false),
            ("\u{feff}a\r\nb\r\n", "b", true),
        ] {
            assert_eq!(leaves_out(text, path), is_out, "{text:?} {path:?}");
        }
    }

    #[test]
    fn only_folders_in_which_something_may_be_taken_back_in_are_looked_into() {
        let ignore = Ignore::parse("*\n!src/deep/x\n!lib*/y\n").unwrap();
        for (folder, may) in [
            ("src", true),
            ("src/deep", true),
            ("src/other", false),
            ("lib1", true),
            ("node_modules", false),
        ] {
            assert_eq!(ignore.may_take_in(folder), may, "{folder}");
        }
        assert!(Ignore::parse("*\n!**/x").unwrap().may_take_in("any/where"));
        assert!(!Ignore::parse("*").unwrap().may_take_in("a"));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named_with_its_line() {
        for pattern in ["[", "[]", "[a", "[a-", "[a-]", "a\\", "!", "! "] {
            let bad = Ignore::parse(&format!("ok\n{pattern}\n")).unwrap_err();
            assert_eq!((bad.line, bad.pattern.as_str()), (2, pattern.trim()));
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_not_exponential() {
        let pattern = "*a".repeat(40) + "b";
        assert!(!leaves_out(&pattern, &"a".repeat(400)));
        let pattern = "**/a/".repeat(40) + "?b";
        assert!(!leaves_out(&pattern, &"a/".repeat(200)));
    }

    proptest! {
        #[test]
        fn any_text_is_read_and_matched_without_a_panic(
            text in "(?s)([*?!/\\\\\n#-]|\\[|\\]|\\.|a|.){0,40}",
            path in "[a/.*]{1,20}",
        ) {
            if let Ok(ignore) = Ignore::parse(&text) {
                let _ = ignore.look(&Matches::default(), &path);
                let _ = ignore.may_take_in(&path);
            }
        }

        #[test]
        fn a_folder_that_is_not_looked_into_holds_nothing_that_is_taken_in(
            out in "[ab*]{1,3}",
            back in "([ab?]|\\*|/){1,6}",
            path in "[ab](/[ab]{1,2}){1,3}",
        ) {
            let text = format!("{out}\n!{back}");
            let ignore = Ignore::parse(&text).unwrap();
            let mut matches = Matches::default();
            for (at, _) in path.match_indices('/') {
                let (is_out, inside) = ignore.look(&matches, &path[..at]);
                if is_out && !ignore.may_take_in(&path[..at]) {
                    prop_assert!(leaves_out(&text, &path));
                }
                matches = inside;
            }
        }
    }
}
