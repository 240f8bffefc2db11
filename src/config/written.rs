//! Where each byte of a decoded text was written in its file.
//!
//! `"a\t${B}"` is shorter than it looks: a problem with `${B}` must point at
//! what the person sees, past the escapes, the quotes and the folded lines.

/// For each byte of the text, and for its end, its offset in what was written,
/// quotes included. `None` if it was not written as a TOML string.
pub(super) fn offsets(written: &str) -> Option<Vec<usize>> {
    let (quote, is_literal) = ["\"\"\"", "'''", "\"", "'"]
        .into_iter()
        .find(|quote| written.starts_with(quote) && written.len() >= 2 * quote.len())
        .map(|quote| (quote, quote.starts_with('\'')))?;
    let end = written.len() - quote.len();
    let mut at = quote.len();
    if quote.len() == 3 {
        // A newline behind the opening quotes is not part of the text.
        let body = &written[at..end];
        at += ["\n", "\r\n"]
            .into_iter()
            .find(|newline| body.starts_with(newline))
            .map_or(0, str::len);
    }
    let mut offsets = Vec::with_capacity(end - at + 1);
    while at < end {
        // In bytes: only what follows a backslash is more than itself.
        let rest = &written.as_bytes()[at..end];
        let escaped = rest.strip_prefix(b"\\").filter(|_| !is_literal);
        let (length, bytes) = match escaped {
            None => (1, 1),
            Some(escaped) => escape(escaped),
        };
        offsets.extend(std::iter::repeat_n(at, bytes));
        at += length;
    }
    offsets.push(end);
    Some(offsets)
}

/// How long an escape is, with its backslash, and how many bytes it stands for.
fn escape(escaped: &[u8]) -> (usize, usize) {
    let digits = match escaped.first() {
        Some(b'x') => 2,
        Some(b'u') => 4,
        Some(b'U') => 8,
        // A backslash at a line's end takes all white space after it away.
        Some(b' ' | b'\t' | b'\r' | b'\n') => {
            return (1 + escaped.len() - escaped.trim_ascii_start().len(), 0);
        }
        _ => return (2, 1),
    };
    let number = escaped.get(1..=digits).unwrap_or_default();
    let number = std::str::from_utf8(number).unwrap_or_default();
    let letter = u32::from_str_radix(number, 16)
        .ok()
        .and_then(char::from_u32);
    (2 + digits, letter.map_or(1, char::len_utf8))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a piece of a decoded text was written as.
    fn written_as<'a>(written: &'a str, piece: &str) -> &'a str {
        let document = format!("a = {written}\n");
        let table: toml::Table = toml::from_str(&document).unwrap();
        let text = table["a"].as_str().unwrap();
        let start = text.find(piece).unwrap();
        let offsets = offsets(written).unwrap();
        assert_eq!(offsets.len(), text.len() + 1, "{written}");
        &written[offsets[start]..offsets[start + piece.len()]]
    }

    #[test]
    fn a_piece_is_found_past_escapes_quotes_and_folded_lines() {
        for written in [
            r#""${B}""#,
            r#"'${B}'"#,
            r#""a\t\"\\$$ ${B} \n""#,
            r#""\u00e9\U0001F600\x41 é ${B}""#,
            "\"\"\"\na\r\nb ${B}\"\"\"",
            "\"\"\"\r\n${B}\"\"\"",
            "'''\n''\\t ${B}'''",
            "\"\"\"a \\\n   \n  ${B} \"\" \"\"\"",
            "\"\"\"${B}\"\"\"\"\"",
        ] {
            assert_eq!(written_as(written, "${B}"), "${B}", "{written}");
        }
    }

    #[test]
    fn an_escaped_dollar_is_shown_as_it_was_written() {
        assert_eq!(written_as(r#""x \u0024{B} y""#, "${B}"), r"\u0024{B}");
    }

    #[test]
    fn what_is_no_toml_string_has_no_offsets() {
        assert_eq!(offsets("${B}"), None);
        assert_eq!(offsets("\""), None);
    }

    proptest::proptest! {
        #[test]
        fn every_string_that_toml_reads_is_as_long_as_it_says(
            body in r#"([a-z $\{\}é"'\n]|\\[tn"\\]|\\u00e9|\\ *\n *){0,20}"#,
            quote in proptest::sample::select(vec!["\"", "'", "\"\"\"", "'''"]),
        ) {
            let written = format!("{quote}{body}{quote}");
            if let Ok(table) = toml::from_str::<toml::Table>(&format!("a = {written}\n"))
                && let Some(text) = table["a"].as_str()
            {
                proptest::prop_assert_eq!(offsets(&written).unwrap().len(), text.len() + 1);
            }
        }
    }
}
