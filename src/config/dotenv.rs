//! Files of `NAME=value` lines, as `.env`.
//!
//! Values are taken as they are written: `$` means nothing in them, so that a
//! password needs no escaping. `'..'` is literal; `".."` knows `\n \r \t \" \\ \$`
//! and leaves any other backslash; both may span lines. A value without quotes
//! is trimmed, and ends at white space and `#`, or at the line's end. A line may
//! begin with `export`; an empty one, and one that begins with `#`, is nothing.
//! Of a name that comes twice the last counts. Line ends may be those of Windows.

use std::ops::Range;

use indexmap::IndexMap;

/// What is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) span: Range<usize>,
    pub(super) message: String,
}

/// Reads all lines; a line that is none is reported and skipped.
pub(super) fn parse(text: &str) -> (IndexMap<String, String>, Vec<Fault>) {
    let mut values = IndexMap::new();
    let mut faults = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let line_end = text[at..].find('\n').map_or(text.len(), |end| at + end);
        let line = &text[at..line_end];
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            at = line_end + 1;
            continue;
        }
        let fault = |message: &str| Fault {
            span: at..at + line.trim_end().len(),
            message: message.to_owned(),
        };
        let Some((name, _)) = line.split_once('=') else {
            faults.push(fault("a line that is not NAME=value"));
            at = line_end + 1;
            continue;
        };
        let value_start = at + name.len() + 1;
        let name = name.trim();
        let name = match name.strip_prefix("export") {
            Some(rest) if rest.starts_with([' ', '\t']) => rest.trim_start(),
            _ => name,
        };
        if !is_name(name) {
            faults.push(fault("not the name of a variable before the `=`"));
            at = line_end + 1;
            continue;
        }
        let rest = &text[value_start..];
        let indent = rest.len() - rest.trim_start_matches([' ', '\t']).len();
        match rest[indent..].chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let Some((value, length)) = quoted(&rest[indent + 1..], quote) else {
                    faults.push(fault("a quote that is not closed"));
                    at = line_end + 1;
                    continue;
                };
                let after = value_start + indent + 1 + length;
                let end = text[after..]
                    .find('\n')
                    .map_or(text.len(), |end| after + end);
                let rest = text[after..end].trim();
                if rest.is_empty() || rest.starts_with('#') {
                    values.insert(name.to_owned(), value);
                } else {
                    // Left out it would be missed, and taken it would be a surprise.
                    faults.push(Fault {
                        span: after..after + text[after..end].trim_end().len(),
                        message: "text behind the closing quote".to_owned(),
                    });
                }
                at = end + 1;
            }
            _ => {
                let value = &text[value_start..line_end];
                let mut hashes = value.match_indices('#').map(|(at, _)| at);
                let comment = hashes.find(|at| value[..*at].ends_with([' ', '\t']));
                let value = &value[..comment.unwrap_or(value.len())];
                values.insert(name.to_owned(), value.trim().to_owned());
                at = line_end + 1;
            }
        }
    }
    (values, faults)
}

fn is_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && name.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || byte == b'-'
        })
}

/// The value up to the closing quote, and how many bytes it took with it.
fn quoted(text: &str, quote: char) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            _ if letter == quote => return Some((value, at + 1)),
            '\\' if quote == '"' => match letters.next()?.1 {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                'r' => value.push('\r'),
                other @ ('"' | '\\' | '$') => value.push(other),
                other => {
                    value.push('\\');
                    value.push(other);
                }
            },
            _ => value.push(letter),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_quotes_and_comments() {
        let (values, faults) = parse(
            "# c\nA=1\nexport B = two words # c\nC='$x\\n'\nD=\"a\\nb\nc\" # c\nE=\n\nF=p#q$r\r\n",
        );
        let values: Vec<_> = values.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(
            values,
            [
                "A=1",
                "B=two words",
                "C=$x\\n",
                "D=a\nb\nc",
                "E=",
                "F=p#q$r"
            ]
        );
        assert_eq!(faults, []);
    }

    fn value(line: &str) -> String {
        let (values, faults) = parse(line);
        assert_eq!(faults, [], "{line}");
        values["A"].clone()
    }

    #[test]
    fn a_value_is_taken_as_it_is_written() {
        for (line, expected) in [
            ("A=${B}$C`d`", "${B}$C`d`"),
            ("A=\"${B} \\$ \\q\"", "${B} $ \\q"),
            ("A='it is \\n'", "it is \\n"),
            ("A=p#w #c", "p#w"),
            ("A=x\t# c", "x"),
            ("A=# c", "# c"),
            ("A= # c", ""),
            ("A='#' # c", "#"),
            ("export\tA=1", "1"),
            ("  export A = 1  \r\n", "1"),
            ("A=\"one\r\ntwo\"\r\n", "one\r\ntwo"),
            ("A=a\"b", "a\"b"),
            ("A=1\nA=2", "2"),
            ("A=\u{e9}\u{1f433}", "\u{e9}\u{1f433}"),
        ] {
            assert_eq!(value(line), expected, "{line}");
        }
        let (values, _) = parse("exportA=1\nexport=2\nA.b-c=3");
        let names: Vec<_> = values.keys().map(String::as_str).collect();
        assert_eq!(names, ["exportA", "export", "A.b-c"]);
    }

    #[test]
    fn text_behind_a_closing_quote_is_pointed_at() {
        let text = "A=\"x\" y # z\nB=1\n";
        let (values, faults) = parse(text);
        assert_eq!(&text[faults[0].span.clone()], " y # z");
        assert_eq!(values.keys().collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn a_line_that_is_none_is_reported_and_the_rest_is_read() {
        let (values, faults) = parse("nonsense\n1A=2\nB=\"open\nC=3\n");
        assert_eq!(values.len(), 1);
        assert_eq!(faults.len(), 3);
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read(text in ".{0,60}") {
            let _ = parse(&text);
        }
    }
}
