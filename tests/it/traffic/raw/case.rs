//! How a case is written down: a message in text, and what must become of it.

use std::{fs, path::PathBuf};

use serde::Deserialize;

/// One message, and what each proxy makes of it.
///
/// An outcome is one line: what the upstream saw, an arrow, what the client got.
/// `POST /a length 2 [hi] -> 200 kept`: one request passed, was answered, and the
/// connection took another one afterwards.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    /// The claim, in words.
    pub(super) name: String,
    /// Where it is written: `RFC 9112 6.3`, or `ours`.
    pub(super) of: String,
    /// What the client sends.
    pub(super) send: String,
    /// What it sends once an interim answer has come.
    pub(super) then: Option<String>,
    /// What the upstream sends as soon as it has the head.
    pub(super) early: Option<String>,
    /// What it sends once it has the body.
    #[serde(default = "ok")]
    pub(super) answer: String,
    /// Whether it closes then; without an answer, as soon as it has the head.
    #[serde(default)]
    pub(super) hangs_up: bool,
    /// Whether only the proxy's own patience ends it.
    #[serde(default)]
    pub(super) waits: bool,
    /// Lines that the upstream must have seen.
    #[serde(default)]
    pub(super) saw: Vec<String>,
    /// What no line that it saw may begin with.
    #[serde(default)]
    pub(super) saw_not: Vec<String>,
    /// Lines that the client must have got.
    #[serde(default)]
    pub(super) got: Vec<String>,
    /// What no line that it got may begin with.
    #[serde(default)]
    pub(super) got_not: Vec<String>,
    /// What Cosmos must do.
    pub(super) cosmos: String,
    /// What nginx does, as recorded.
    #[serde(default)]
    pub(super) nginx: String,
    /// What haproxy does, as recorded.
    #[serde(default)]
    pub(super) haproxy: String,
    /// Why Cosmos lets through what both of them refuse.
    pub(super) why: Option<String>,
}

fn ok() -> String {
    "HTTP/1.1 200 OK\nContent-Length: 2\n\nok".to_owned()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Family {
    case: Vec<Case>,
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/it/traffic/raw/cases"
    ))
}

pub(super) fn family(name: &str) -> Vec<Case> {
    let path = folder().join(name).with_extension("toml");
    let text = fs::read_to_string(&path).unwrap();
    let family: Family =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{name}.toml: {error}"));
    family.case
}

/// The names of all families.
pub(super) fn families() -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

/// Writes what an oracle did into the family's file, and leaves the rest as it is.
pub(super) fn record(family: &str, oracle: &str, outcomes: &[String]) {
    let path = folder().join(family).with_extension("toml");
    let text = fs::read_to_string(&path).unwrap();
    let mut document: toml_edit::DocumentMut = text.parse().unwrap();
    let cases = document["case"].as_array_of_tables_mut().unwrap();
    for (case, outcome) in cases.iter_mut().zip(outcomes) {
        case[oracle] = toml_edit::value(outcome);
    }
    fs::write(path, document.to_string()).unwrap();
}

/// The bytes that a text stands for.
///
/// A line's end is CR LF. `\r \n \t \0 \xHH \\` are one byte each, a backslash at
/// a line's end is no line's end, and `\{3*x#}` is `x1x2x3`.
pub(super) fn bytes_of(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = &rest[first.len_utf8()..];
        if first == '\n' {
            bytes.extend(b"\r\n");
            continue;
        }
        if first != '\\' {
            bytes.extend(first.to_string().bytes());
            continue;
        }
        let escape = rest.chars().next().expect("something behind the backslash");
        rest = &rest[escape.len_utf8()..];
        match escape {
            '\n' => {}
            'r' => bytes.push(b'\r'),
            'n' => bytes.push(b'\n'),
            't' => bytes.push(b'\t'),
            '0' => bytes.push(0),
            '\\' => bytes.push(b'\\'),
            'x' => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).unwrap());
                rest = &rest[2..];
            }
            '{' => {
                let end = closing_brace(rest);
                let (count, what) = rest[..end].split_once('*').unwrap();
                for number in 1..=count.parse::<usize>().unwrap() {
                    bytes.extend(bytes_of(&what.replace('#', &number.to_string())));
                }
                rest = &rest[end + 1..];
            }
            other => panic!("no such escape: \\{other}"),
        }
    }
    bytes
}

/// Where the repetition ends that has begun: one may be within another.
fn closing_brace(text: &str) -> usize {
    let mut depth = 0;
    for (at, character) in text.char_indices() {
        match character {
            '{' if text[..at].ends_with('\\') => depth += 1,
            '}' if depth == 0 => return at,
            '}' => depth -= 1,
            _ => {}
        }
    }
    panic!("no closing brace: {text}");
}

#[test]
fn a_text_stands_for_its_bytes() {
    for (text, bytes) in [
        ("a\nb", &b"a\r\nb"[..]),
        ("a\\\nb", b"ab"),
        (r"\r\n\t\0\xff\\", b"\r\n\t\0\xff\\"),
        (r"\{3*x#\r}.", b"x1\rx2\rx3\r."),
        (r"\{2*#\{2*a},}", b"1aa,2aa,"),
    ] {
        assert_eq!(bytes_of(text), bytes, "{text}");
    }
}
