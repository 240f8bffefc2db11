//! Patterns over relative paths: `*`, `?`, `[a-z]` inside a segment, `**` over segments.

/// Whether the whole path matches the pattern. Both use `/`.
pub(super) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    segments(&pattern, &path)
}

/// The classic two-pointer match: on a failure only the last `**` is tried
/// again, so that it is never exponential.
fn segments(pattern: &[&str], path: &[&str]) -> bool {
    let (mut p, mut s) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while s < path.len() {
        match pattern.get(p) {
            Some(&"**") => {
                retry = Some((p + 1, s));
                p += 1;
            }
            Some(part) if segment(part, path[s]) => {
                p += 1;
                s += 1;
            }
            _ => match retry {
                Some((after, from)) => {
                    p = after;
                    s = from + 1;
                    retry = Some((after, from + 1));
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|part| *part == "**")
}

fn segment(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut s) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    while s < text.len() {
        if pattern.get(p) == Some(&'*') {
            retry = Some((p + 1, s));
            p += 1;
        } else if let Some(next) = one(&pattern, p, text[s]) {
            p = next;
            s += 1;
        } else if let Some((after, from)) = retry {
            p = after;
            s = from + 1;
            retry = Some((after, from + 1));
        } else {
            return false;
        }
    }
    pattern[p..].iter().all(|letter| *letter == '*')
}

/// Matches one letter at `p`; returns where the pattern goes on.
fn one(pattern: &[char], p: usize, letter: char) -> Option<usize> {
    match pattern.get(p)? {
        '?' => Some(p + 1),
        '\\' if p + 1 < pattern.len() => (pattern[p + 1] == letter).then_some(p + 2),
        '[' => {
            let close = (p + 2..pattern.len()).find(|at| pattern[*at] == ']');
            let Some(close) = close else {
                return (letter == '[').then_some(p + 1);
            };
            let (negated, set) = match pattern[p + 1] {
                '^' | '!' => (true, &pattern[p + 2..close]),
                _ => (false, &pattern[p + 1..close]),
            };
            (in_set(set, letter) != negated).then_some(close + 1)
        }
        literal => (*literal == letter).then_some(p + 1),
    }
}

fn in_set(set: &[char], letter: char) -> bool {
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            if (set[at]..=set[at + 2]).contains(&letter) {
                return true;
            }
            at += 3;
        } else if set[at] == letter {
            return true;
        } else {
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_match_as_in_a_shell() {
        for (pattern, path) in [
            ("a/b", "a/b"),
            ("*.rs", "x.rs"),
            ("a/**", "a/b/c"),
            ("**/c", "a/b/c"),
            ("**/c", "c"),
            ("a/**/c", "a/c"),
            ("a/**/c", "a/x/y/c"),
            ("[a-c]?", "bz"),
            ("[!a]", "b"),
            (r"\*", "*"),
            ("**", "a/b"),
        ] {
            assert!(matches(pattern, path), "{pattern} {path}");
        }
        for (pattern, path) in [
            ("*.rs", "a/x.rs"),
            ("a/**/c", "a/b"),
            ("[a-c]", "d"),
            ("?", ""),
            ("a*b", "ac"),
        ] {
            assert!(!matches(pattern, path), "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_is_not_exponential() {
        let pattern = "*a".repeat(40) + "b";
        assert!(!matches(&pattern, &"a".repeat(400)));
        let pattern = "**/a/".repeat(40) + "b";
        assert!(!matches(&pattern, &"a/".repeat(400)));
    }
}
