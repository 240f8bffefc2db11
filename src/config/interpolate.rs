//! `${VAR}` in text.
//!
//! `${V}` is an error if V is unset; `${V:-d}` and `${V-d}` have a default, for
//! unset-or-empty and for unset; `${V:?m}` and `${V?m}` say what to do; `$$` is
//! one `$`. A `$` before anything else is left as it is: commands have them.

use std::ops::Range;

use super::diagnostics::MOST_PROBLEMS;

/// What is wrong with one `${..}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    /// Where, in the text.
    pub(super) span: Range<usize>,
    /// What.
    pub(super) message: String,
    /// What to do about it.
    pub(super) help: String,
}

/// The value of a variable.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Replaces every `${..}`, or says what is wrong with each that cannot be.
pub(super) fn interpolate(text: &str, lookup: Lookup<'_>) -> Result<String, Vec<Fault>> {
    let mut faults = Vec::new();
    let done = expand(text, 0, 0, lookup, &mut faults);
    if faults.is_empty() {
        Ok(done)
    } else {
        Err(faults)
    }
}

/// What no text grows beyond: a value of a megabyte that is named a thousand
/// times is no config.
const LARGEST: usize = 1 << 20;

/// Deeper than anybody writes defaults in defaults.
const DEEPEST: usize = 16;

fn expand(
    text: &str,
    offset: usize,
    depth: usize,
    lookup: Lookup<'_>,
    faults: &mut Vec<Fault>,
) -> String {
    let mut done = String::with_capacity(text.len());
    let mut at = 0;
    while let Some(found) = text[at..].find('$') {
        let start = at + found;
        done.push_str(&text[at..start]);
        let rest = &text[start + 1..];
        if rest.starts_with('$') {
            done.push('$');
            at = start + 2;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let Some(length) = closing(inside) else {
                faults.push(Fault {
                    span: offset + start..offset + text.len(),
                    message: "`${` without its `}`".to_owned(),
                    help: "close it, or write `$$` for a plain `$`".to_owned(),
                });
                return done;
            };
            let end = start + 2 + length + 1;
            let place = Expression {
                text: &text[start + 2..end - 1],
                inner: offset + start + 2,
                span: offset + start..offset + end,
                depth,
            };
            let value = place.value(lookup, faults);
            if done.len() + value.len() > LARGEST {
                faults.push(place.fault(
                    "with this value the text is too long".to_owned(),
                    "put a text of this size into a file, and mount that",
                ));
                return done;
            }
            if faults.len() >= MOST_PROBLEMS {
                return done;
            }
            done.push_str(&value);
            at = end;
        } else {
            done.push('$');
            at = start + 1;
        }
    }
    done.push_str(&text[at..]);
    done
}

/// Where the brace that is open closes.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut open = 1_usize;
    let bytes = text.as_bytes();
    for (at, byte) in bytes.iter().enumerate() {
        match byte {
            b'{' if at > 0 && bytes[at - 1] == b'$' => open += 1,
            b'}' => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(at);
        }
    }
    None
}

/// What stands between `${` and `}`.
struct Expression<'a> {
    text: &'a str,
    inner: usize,
    span: Range<usize>,
    depth: usize,
}

impl Expression<'_> {
    fn value(&self, lookup: Lookup<'_>, faults: &mut Vec<Fault>) -> String {
        let end = self
            .text
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.text.len());
        let (name, rest) = self.text.split_at(end);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            faults.push(self.fault(
                format!("`${{{}}}` has no variable's name", self.text),
                "write ${NAME}, or `$$` for a plain `$`",
            ));
            return String::new();
        }
        let set = lookup(name);
        let filled = set.clone().filter(|value| !value.is_empty());
        let (value, word, what) = if let Some(word) = rest.strip_prefix(":-") {
            (filled, word, Otherwise::Default)
        } else if let Some(word) = rest.strip_prefix('-') {
            (set, word, Otherwise::Default)
        } else if let Some(word) = rest.strip_prefix(":?") {
            (filled, word, Otherwise::Fail)
        } else if let Some(word) = rest.strip_prefix('?') {
            (set, word, Otherwise::Fail)
        } else if rest.is_empty() {
            (set, "", Otherwise::Fail)
        } else {
            faults.push(self.fault(
                format!(
                    "`${{{}}}` has a `{rest}` that means nothing here",
                    self.text
                ),
                "known are ${V}, ${V:-default}, ${V-default}, ${V:?message} and ${V?message}",
            ));
            return String::new();
        };
        if let Some(value) = value {
            return value;
        }
        match what {
            Otherwise::Default if self.depth >= DEEPEST => {
                faults.push(self.fault(
                    "too many defaults inside defaults".to_owned(),
                    "write the value itself",
                ));
                String::new()
            }
            Otherwise::Default => {
                let offset = self.inner + self.text.len() - word.len();
                expand(word, offset, self.depth + 1, lookup, faults)
            }
            Otherwise::Fail => {
                let state = if lookup(name).is_some() {
                    "empty"
                } else {
                    "not set"
                };
                let fault = if word.is_empty() {
                    self.fault(
                        format!("the variable `{name}` is {state}"),
                        &format!(
                            "set it in .env or in the shell, or give a default: ${{{name}:-value}}"
                        ),
                    )
                } else {
                    self.fault(
                        format!("the variable `{name}` is {state}: {word}"),
                        "set it in .env or in the shell",
                    )
                };
                faults.push(fault);
                String::new()
            }
        }
    }

    fn fault(&self, message: String, help: &str) -> Fault {
        Fault {
            span: self.span.clone(),
            message,
            help: help.to_owned(),
        }
    }
}

enum Otherwise {
    Default,
    Fail,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        match name {
            "A" => Some("1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    fn ok(text: &str) -> String {
        interpolate(text, &lookup).unwrap()
    }

    #[test]
    fn the_forms_of_a_variable() {
        assert_eq!(ok("a ${A} b"), "a 1 b");
        assert_eq!(ok("${B:-x}${EMPTY:-y}${EMPTY-z}${B-w}"), "xyw");
        assert_eq!(ok("${B:-${A}${C:-}}"), "1");
        assert_eq!(ok("$$A $A $ ${A}$"), "$A $A $ 1$");
        assert_eq!(ok("${EMPTY}"), "");
    }

    #[test]
    fn every_fault_of_a_text_is_found_at_its_place() {
        let text = "x ${B} ${EMPTY:?set it} ${}";
        let faults = interpolate(text, &lookup).unwrap_err();
        let seen: Vec<_> = faults
            .iter()
            .map(|fault| (&text[fault.span.clone()], fault.message.as_str()))
            .collect();
        assert_eq!(
            seen,
            [
                ("${B}", "the variable `B` is not set"),
                ("${EMPTY:?set it}", "the variable `EMPTY` is empty: set it"),
                ("${}", "`${}` has no variable's name"),
            ]
        );
    }

    #[test]
    fn a_text_that_grows_without_end_is_refused() {
        let long = "x".repeat(LARGEST / 2);
        let faults = interpolate("${V}${V}${V}", &|_| Some(long.clone())).unwrap_err();
        assert_eq!(faults.len(), 1);
        assert_eq!(faults[0].span, 8..12);
    }

    #[test]
    fn defaults_nest_only_so_deep() {
        let deep = |depth| format!("{}x{}", "${B:-".repeat(depth), "}".repeat(depth));
        assert_eq!(ok(&deep(DEEPEST)), "x");
        assert_eq!(
            interpolate(&deep(DEEPEST + 1), &lookup).unwrap_err().len(),
            1
        );
        assert_eq!(interpolate(&deep(10_000), &lookup).unwrap_err().len(), 1);
    }

    #[test]
    fn a_default_holds_anything_but_its_closing_brace() {
        assert_eq!(ok("${B:-a:-b?c $$ é}"), "a:-b?c $ é");
        assert_eq!(ok("${B:-{\"a\": 1}}"), "{\"a\": 1}");
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_expanded_or_refused(text in r"[${}:?\-aAé]{0,40}") {
            if let Err(faults) = interpolate(&text, &lookup) {
                for fault in faults {
                    proptest::prop_assert!(text.get(fault.span).is_some());
                }
            }
        }
    }
}
