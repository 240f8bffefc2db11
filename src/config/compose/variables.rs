//! `$` as Compose reads it, written so that Cosmos reads the same.
//!
//! Both know `${V:-d}`, `${V-d}`, `${V:?m}`, `${V?m}` and `$$`. In Compose, a
//! variable that is not set is empty; here it is an error, so `${V}` becomes
//! `${V:-}`. Compose also takes `$V`, which is plain text here; and `${V:+x}`,
//! for which there is nothing here. Where an empty text would mean nothing (an
//! image, a number), `${V}` stays and its error is the better answer.

use crate::config::interpolate::closing;

/// A text as Cosmos has it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    /// The text.
    pub(super) text: String,
    /// What is empty now, as there is nothing like it.
    pub(super) lost: Vec<String>,
}

/// What becomes of a variable that is not set and has no default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unset {
    /// It is empty, as in Compose.
    Empty,
    /// It is an error, as empty would be none of the values there are.
    Refused,
}

/// Deeper than anybody writes defaults in defaults.
const DEEPEST: usize = 8;

/// Rewrites the variables of a text.
pub(super) fn translate(text: &str, unset: Unset) -> Translated {
    let mut rewriter = Rewriter {
        unset,
        lost: Vec::new(),
    };
    let text = rewriter.rewrite(text, 0);
    Translated {
        text,
        lost: rewriter.lost,
    }
}

struct Rewriter {
    unset: Unset,
    lost: Vec<String>,
}

impl Rewriter {
    fn plain(&self, name: &str) -> String {
        match self.unset {
            Unset::Empty => format!("${{{name}:-}}"),
            Unset::Refused => format!("${{{name}}}"),
        }
    }

    fn rewrite(&mut self, text: &str, depth: usize) -> String {
        let mut done = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(at) = rest.find('$') {
            done.push_str(&rest[..at]);
            let after = &rest[at + 1..];
            if let Some(tail) = after.strip_prefix('$') {
                done.push_str("$$");
                rest = tail;
            } else if let Some(inside) = after.strip_prefix('{') {
                let Some(end) = closing(inside) else {
                    // For Compose, this is no value at all. To look on, `${` by `${`, would take for ever.
                    done.push_str(&rest[at..]);
                    return done;
                };
                done.push_str(&self.expression(&inside[..end], depth));
                rest = &inside[end + 1..];
            } else {
                let name = name_of(after);
                match name {
                    "" => done.push('$'),
                    name => done.push_str(&self.plain(name)),
                }
                rest = &after[name.len()..];
            }
        }
        done.push_str(rest);
        done
    }

    /// What stands between `${` and `}`, as it is written here.
    fn expression(&mut self, inside: &str, depth: usize) -> String {
        let name = name_of(inside);
        let rest = &inside[name.len()..];
        let (operator, word) = [":-", "-", ":?", "?", ":+", "+"]
            .iter()
            .find_map(|operator| Some((*operator, rest.strip_prefix(*operator)?)))
            .unwrap_or(("", rest));
        match operator {
            "" if rest.is_empty() && !name.is_empty() => self.plain(name),
            ":-" | "-" if !name.is_empty() && depth < DEEPEST => {
                format!("${{{name}{operator}{}}}", self.rewrite(word, depth + 1))
            }
            ":?" | "?" if !name.is_empty() => format!("${{{name}{operator}{word}}}"),
            _ => {
                self.lost.push(format!("${{{inside}}}"));
                String::new()
            }
        }
    }
}

fn name_of(text: &str) -> &str {
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return "";
    }
    let end = text
        .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .unwrap_or(text.len());
    &text[..end]
}

/// Splits at a character where it is not inside of `${..}` or `[..]`.
pub(super) fn split(text: &str, at: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut braces, mut brackets) = (0, 0_usize, 0_usize);
    let mut before = '\0';
    for (index, letter) in text.char_indices() {
        match letter {
            '{' if before == '$' || braces > 0 => braces += 1,
            '}' => braces = braces.saturating_sub(1),
            '[' => brackets += 1,
            ']' => brackets = brackets.saturating_sub(1),
            letter if letter == at && braces == 0 && brackets == 0 => {
                parts.push(&text[start..index]);
                start = index + letter.len_utf8();
            }
            _ => {}
        }
        before = letter;
    }
    parts.push(&text[start..]);
    parts
}

/// The default of a text that is one variable: `${V:-default}`.
pub(super) fn default_of(text: &str) -> Option<&str> {
    let inside = text.strip_prefix("${")?;
    let end = closing(inside)?;
    if end + 1 != inside.len() {
        return None;
    }
    let rest = &inside[name_of(inside).len()..end];
    rest.strip_prefix(":-").or_else(|| rest.strip_prefix('-'))
}

/// Whether a text has a variable in it.
pub(super) fn has_variable(text: &str) -> bool {
    text.contains("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> String {
        translate(text, Unset::Empty).text
    }

    #[test]
    fn what_is_empty_in_compose_is_no_error_here() {
        assert_eq!(
            text("a ${A} $B-c $$C ${D:-x} ${E-}"),
            "a ${A:-} ${B:-}-c $$C ${D:-x} ${E-}"
        );
        assert_eq!(text("${A:?set it}${B?}"), "${A:?set it}${B?}");
        assert_eq!(text("${A:-${B}/$C}"), "${A:-${B:-}/${C:-}}");
        assert_eq!(text("$ 5$ $1 ${"), "$ 5$ $1 ${");
    }

    #[test]
    fn what_may_not_be_empty_has_to_be_set() {
        let text = |text| translate(text, Unset::Refused).text;
        assert_eq!(text("$A:${B}${C:-1}"), "${A}:${B}${C:-1}");
    }

    #[test]
    fn a_default_is_found_where_it_is_all_there_is() {
        assert_eq!(default_of("${A:-x:${B}}"), Some("x:${B}"));
        assert_eq!(default_of("${A-}"), Some(""));
        assert_eq!(default_of("${A:-x}y"), None);
        assert_eq!(default_of("${A}"), None);
    }

    #[test]
    fn what_cannot_be_said_here_is_named() {
        let translated = translate("a${A:+b}c${:x}", Unset::Empty);
        assert_eq!(translated.text, "ac");
        assert_eq!(translated.lost, ["${A:+b}", "${:x}"]);
    }

    #[test]
    fn what_is_never_closed_is_looked_at_once() {
        for piece in ["${", "${A:-", "$${", "${A"] {
            let never_closed = piece.repeat(500_000);
            assert_eq!(text(&never_closed), never_closed);
        }
    }

    #[test]
    fn a_colon_in_a_default_splits_nothing() {
        assert_eq!(
            split("${A:-127.0.0.1:80}:[::1]:80", ':'),
            ["${A:-127.0.0.1:80}", "[::1]", "80"]
        );
        assert_eq!(split("", ':'), [""]);
    }

    proptest::proptest! {
        #[test]
        fn what_was_translated_stays_as_it_is(words in r"[${}:?\-+aA1é]{0,30}") {
            let once = translate(&words, Unset::Empty).text;
            let parts = split(&once, ':').join(":");
            proptest::prop_assert_eq!(parts, once);
        }
    }
}
