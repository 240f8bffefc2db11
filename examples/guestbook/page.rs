//! The page as text.

use std::fmt;

use crate::entry::{Entry, Words};

/// Everything the page shows.
pub(crate) struct Page<'a> {
    /// None if they cannot be read: an empty book would look like a lost one.
    pub(crate) entries: Option<&'a [Entry]>,
    /// What is in the form, so that a refusal loses nobody's words.
    pub(crate) words: &'a Words,
    pub(crate) note: Option<Note<'a>>,
    /// Which container made the page.
    pub(crate) host: &'a str,
    pub(crate) now: u64,
}

/// Something to say above the book.
pub(crate) enum Note<'a> {
    /// The words were not taken.
    Refused(&'a str),
    /// The book cannot be read.
    Closed,
}

/// Text that shows as it is, inside an element and inside an attribute.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => out.write_str("&amp;")?,
                '<' => out.write_str("&lt;")?,
                '>' => out.write_str("&gt;")?,
                '"' => out.write_str("&quot;")?,
                '\'' => out.write_str("&#39;")?,
                other => fmt::Write::write_char(out, other)?,
            }
        }
        Ok(())
    }
}

impl fmt::Display for Page<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(HEAD)?;
        match self.note {
            Some(Note::Refused(why)) => {
                writeln!(out, r#"<p class="note" role="alert">{}</p>"#, Plain(why))?
            }
            Some(Note::Closed) => out.write_str(CLOSED)?,
            None => {}
        }
        writeln!(
            out,
            r#"<form method="post" action="/">
  <label>Your name<input name="name" value="{}" maxlength="60" required autocomplete="name"></label>
  <label>A few words<textarea name="message" rows="3" maxlength="1000" required>
{}</textarea></label>
  <button>Sign the book</button>
</form>"#,
            Plain(&self.words.name),
            Plain(&self.words.message)
        )?;
        if let Some(entries) = self.entries {
            write_entries(out, entries, self.now)?;
        }
        writeln!(
            out,
            "</main>\n<footer>made by <code>{}</code></footer>\n</body>\n</html>",
            Plain(self.host)
        )
    }
}

fn write_entries(out: &mut fmt::Formatter<'_>, entries: &[Entry], now: u64) -> fmt::Result {
    let count = entries.len();
    let plural = if count == 1 { "entry" } else { "entries" };
    writeln!(out, "<h2>{count} {plural}</h2>\n<ol>")?;
    for entry in entries {
        writeln!(
            out,
            r#"<li><blockquote>{}</blockquote><p class="by">{}<span>{}</span></p></li>"#,
            Plain(&entry.words.message),
            Plain(&entry.words.name),
            ago(now, entry.at)
        )?;
    }
    writeln!(out, "</ol>")
}

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Guestbook</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header>
<h1>Guestbook</h1>
<p>A small application behind <a href="http://cosmos.localhost:8080/">Cosmos</a>: leave a few words, they are kept.</p>
</header>
<main>
"#;

const CLOSED: &str = r#"<p class="note" role="alert">The book is closed just now: its keeper does not answer. It will be back.</p>
"#;

/// How long ago, as a person would say it.
fn ago(now: u64, at: u64) -> String {
    // What the seed wrote has no time of its own.
    if at < 365 * 24 * 3600 {
        return "before everybody".to_owned();
    }
    let passed = now.saturating_sub(at);
    let (number, unit) = match passed {
        0..60 => return "just now".to_owned(),
        60..3600 => (passed / 60, "minute"),
        3600..86_400 => (passed / 3600, "hour"),
        _ => (passed / 86_400, "day"),
    };
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Words {
        Words {
            name: text.to_owned(),
            message: text.to_owned(),
        }
    }

    #[test]
    fn nothing_that_somebody_wrote_is_markup() {
        let evil = r#"</textarea><script>"'&amp;"#;
        let entry = Entry {
            id: "a".to_owned(),
            words: words(evil),
            at: 0,
        };
        let page = Page {
            entries: Some(&[entry]),
            words: &words(evil),
            note: Some(Note::Refused(evil)),
            host: evil,
            now: 0,
        };
        let text = page.to_string();
        assert!(!text.contains("<script>"));
        let escaped = "&lt;/textarea&gt;&lt;script&gt;&quot;&#39;&amp;amp;";
        assert_eq!(text.matches(escaped).count(), 6);
    }

    #[test]
    fn time_is_told_as_a_person_would() {
        let at = 1_000_000_000;
        for (passed, said) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (7200, "2 hours ago"),
            (200_000, "2 days ago"),
        ] {
            assert_eq!(ago(at + passed, at), said);
        }
        assert_eq!(ago(at, at + 5), "just now");
        assert_eq!(ago(at, 1), "before everybody");
    }
}
