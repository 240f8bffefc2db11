//! Finds secrets in text of any kind: JSON, forms, XML, code, streams of events, logs.
//!
//! One pass from left to right, which knows no document: each rule needs only what
//! stands around the place it looks at. So it does not matter whether the text is whole,
//! cut off, or several of them one behind the other.

use super::{Redacted, Redactor, name, percent_decoded};

/// JSON in a string of JSON, and so on: nobody goes deeper, and a stack has an end.
const DEEPEST: u8 = 4;

/// The shortest secret that is told from a word by its form alone.
const SHORTEST: usize = 8;

/// How often each byte may be looked at ahead of its turn, on average: a few times where
/// strings are in strings. Without a bound, what is made for it takes the square of its length.
const MOST_AHEAD: usize = 16;

/// A longer word is no name, and of tokens only one that is signed.
const LONGEST_WORD: usize = 4096;

/// Of a part of a form: its name, a file's name, a media type.
const LONGEST_HEAD: usize = 512;

/// What well-known tokens begin with, and how long they are at least.
const TOKENS: [(&str, usize); 16] = [
    ("sk-", 20),
    ("sk_live_", 16),
    ("sk_test_", 16),
    ("rk_live_", 16),
    ("rk_test_", 16),
    ("whsec_", 16),
    ("ghp_", 20),
    ("gho_", 20),
    ("ghs_", 20),
    ("ghu_", 20),
    ("github_pat_", 20),
    ("glpat-", 16),
    ("xoxb-", 16),
    ("xoxp-", 16),
    ("AKIA", 16),
    ("AIza", 30),
];

impl Redactor {
    /// A text of any kind.
    pub(crate) fn text(&self, text: &str) -> Redacted {
        self.text_in(text, 0)
    }

    fn text_in(&self, text: &str, depth: u8) -> Redacted {
        let mut scan = Scan {
            redactor: self,
            text,
            at: 0,
            copied: 0,
            out: String::new(),
            count: 0,
            depth,
            ahead: MOST_AHEAD * text.len().max(SHORTEST),
        };
        scan.run();
        scan.finish()
    }
}

/// One pass over one text.
struct Scan<'a> {
    redactor: &'a Redactor,
    text: &'a str,
    /// The byte that is looked at, always the first of a character.
    at: usize,
    /// What is before this is in `out`.
    copied: usize,
    out: String,
    count: u32,
    depth: u8,
    /// How many bytes may still be looked at ahead of their turn.
    ahead: usize,
}

impl Scan<'_> {
    fn run(&mut self) {
        let bytes = self.text.as_bytes();
        while let Some(&byte) = bytes.get(self.at) {
            match byte {
                // Nothing that people write is so tangled: nobody can tell what it is.
                _ if self.ahead == 0 => return self.take_out(self.at, self.text.len()),
                b'"' | b'\'' => self.quoted(byte),
                b'<' => self.element(),
                b':' if self.text[self.at..].starts_with("://") => self.address(),
                _ if is_of_name(byte) => self.word(),
                _ => self.at += 1,
            }
        }
    }

    fn finish(mut self) -> Redacted {
        if self.count == 0 {
            return Redacted::untouched(self.text);
        }
        self.out.push_str(&self.text[self.copied..]);
        Redacted {
            text: self.out,
            count: self.count,
        }
    }

    /// Puts something in the place of these bytes, and goes on behind them.
    fn replace(&mut self, from: usize, to: usize, with: &str, secrets: u32) {
        self.out.push_str(&self.text[self.copied..from]);
        self.out.push_str(with);
        (self.copied, self.at) = (to, to);
        self.count += secrets;
    }

    /// Takes these bytes out.
    fn take_out(&mut self, from: usize, to: usize) {
        if from == to {
            self.at = to;
            return;
        }
        let mark = self.redactor.mark(&self.text[from..to]);
        self.replace(from, to, &mark, 1);
    }

    /// A string of JSON, or of something that looks like it: a name, or a value that is
    /// looked into.
    fn quoted(&mut self, quote: u8) {
        let start = self.at + 1;
        let Some(end) = self.end_of_string(start, quote) else {
            // An apostrophe, or the rest of something that is cut off.
            self.at = start;
            return;
        };
        let inside = &self.text[start..end];
        let after = self.skip_blank(end + 1);
        if self.text[after..].starts_with(':') && name::is_secret(&unescaped(inside)) {
            self.at = self.skip_blank(after + 1);
            self.value(inside);
            return;
        }
        if quote == b'\'' {
            self.at = start;
            return;
        }
        if !inside.contains('\\') || self.depth >= DEEPEST {
            // What it has is looked at as any other text.
            self.at = start;
            return;
        }
        let redacted = self.redactor.text_in(&unescaped(inside), self.depth + 1);
        if redacted.count == 0 {
            self.at = end + 1;
            return;
        }
        let text = serde_json::to_string(&redacted.text).unwrap_or_default();
        self.replace(start - 1, end + 1, &text, redacted.count);
    }

    /// The value behind a secret's name in JSON, of whatever kind.
    fn value(&mut self, name: &str) {
        let rest = &self.text[self.at..];
        let start = self.at;
        match rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'')) => {
                let end = self
                    .end_of_string(start + 1, *quote)
                    .unwrap_or(self.text.len());
                self.take_out(start + 1, end);
                self.at = (end + 1).min(self.text.len());
            }
            Some(b'{' | b'[') => {
                let end = end_of_brackets(self.text, start);
                let mark = self.redactor.mark(&self.text[start..end]);
                self.replace(start, end, &format!("\"{mark}\""), 1);
            }
            Some(_) => {
                let length = rest
                    .find(|character: char| ",}] \t\r\n".contains(character))
                    .unwrap_or(rest.len());
                let value = &rest[..length];
                // A status and an error have a `code`, too.
                let is_plain = matches!(value, "" | "null" | "true" | "false")
                    || name.eq_ignore_ascii_case("code") && value.len() <= 3;
                if is_plain {
                    self.at = start + length;
                    return;
                }
                let mark = self.redactor.mark(value);
                self.replace(start, start + length, &format!("\"{mark}\""), 1);
            }
            None => {}
        }
    }

    /// `<password>..</password>`.
    fn element(&mut self) {
        let start = self.at + 1;
        let rest = &self.text[start..];
        let length = rest
            .find(|character: char| {
                !(character.is_ascii_alphanumeric() || "_-.:".contains(character))
            })
            .unwrap_or(rest.len());
        self.at = start;
        if length == 0 || !name::is_secret(&rest[..length]) {
            return;
        }
        let Some(open) = rest.find('>') else { return };
        self.ahead = self.ahead.saturating_sub(open);
        if rest[..open].ends_with('/') {
            self.at = start + open;
            return;
        }
        let inside = start + open + 1;
        let end = self.text[inside..]
            .find("</")
            .map_or(self.text.len(), |length| inside + length);
        if self.text[inside..end].trim().is_empty() {
            self.at = end;
            return;
        }
        self.take_out(inside, end);
    }

    /// Who somebody is before the `@` of an address.
    fn address(&mut self) {
        let start = self.at + "://".len();
        let rest = &self.text[start..];
        let length = rest
            .find(|character: char| "/?#\"'<>\\`".contains(character) || character.is_whitespace())
            .unwrap_or(rest.len());
        self.at = start;
        if let Some(user) = rest[..length].rfind('@') {
            self.take_out(start, start + user);
        }
    }

    /// A word: a name with a value behind it, or a token.
    fn word(&mut self) {
        let start = self.at;
        let rest = &self.text[start..];
        let length = rest
            .bytes()
            .position(|byte| !is_of_name(byte))
            .unwrap_or(rest.len());
        let word = &rest[..length];
        let end = start + length;
        self.at = end;
        if let Some(place) = token_in(word) {
            self.take_out(start + place, end);
            return;
        }
        let rest = &self.text[end..];
        if rest.starts_with("://") {
            return;
        }
        if let Some(value) = self.behind_scheme(word, end) {
            self.take_out(value.0, value.1);
            return;
        }
        if word == "name" && self.part(end) {
            return;
        }
        let sign = self.skip_blank(end);
        let after = match self.text.as_bytes().get(sign) {
            Some(b'=' | b':') => sign + 1,
            _ => return,
        };
        let is_secret = match word.contains('%') {
            true => name::is_secret(&percent_decoded(word)),
            false => name::is_secret(word),
        };
        if !is_secret {
            return;
        }
        // `a == b` and `a => b` have one, too.
        let after = after
            + self.text[after..]
                .bytes()
                .take_while(|byte| *byte == b'>' || *byte == b'=')
                .count();
        let value = self.skip_blank(after);
        let rest = &self.text[value..];
        match rest.as_bytes().first() {
            Some(quote @ (b'"' | b'\'' | b'`')) => {
                let end = self
                    .end_of_string(value + 1, *quote)
                    .unwrap_or(self.text.len());
                self.take_out(value + 1, end);
                self.at = (end + 1).min(self.text.len());
            }
            Some(b'{' | b'[' | b'(') | None => self.at = value,
            Some(_) => {
                // As in a header or in YAML: to the end of the line.
                let is_line = value > after && self.text.as_bytes()[sign] == b':';
                let ends = match is_line {
                    true => "\r\n",
                    false => "&;,<>\"')}]\\ \t\r\n",
                };
                let length = rest
                    .find(|character: char| ends.contains(character))
                    .unwrap_or(rest.len());
                self.take_out(value, value + length);
            }
        }
    }

    /// A part of a form with files, whose head says `name="password"`.
    fn part(&mut self, after_name: usize) -> bool {
        let rest = &self.text[after_name..];
        let Some((name, rest)) = rest
            .strip_prefix("=\"")
            .and_then(|rest| rest.split_once('"'))
        else {
            return false;
        };
        self.ahead = self.ahead.saturating_sub(name.len());
        if !name::is_secret(name) {
            return false;
        }
        // What else the head says, and an empty line.
        let head = rest.len().min(LONGEST_HEAD);
        let head = &rest[..rest.floor_char_boundary(head)];
        let Some((place, blank)) = ["\r\n\r\n", "\n\n"]
            .iter()
            .find_map(|blank| Some((head.find(blank)?, blank.len())))
        else {
            return false;
        };
        let start = self.text.len() - rest.len() + place + blank;
        let value = &self.text[start..];
        let length = ["\r\n--", "\n--"]
            .iter()
            .filter_map(|end| value.find(end))
            .min();
        self.take_out(start, start + length.unwrap_or(value.len()));
        true
    }

    /// Where the secret is behind `Bearer` and `Basic`, if this is one of them.
    fn behind_scheme(&self, word: &str, end: usize) -> Option<(usize, usize)> {
        let is_bearer = word.eq_ignore_ascii_case("bearer");
        if !is_bearer && !word.eq_ignore_ascii_case("basic") {
            return None;
        }
        let rest = self.text[end..].strip_prefix(' ')?;
        let length = rest
            .bytes()
            .position(|byte| !(byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)))
            .unwrap_or(rest.len());
        let value = &rest[..length];
        let is_word = value.bytes().all(|byte| byte.is_ascii_lowercase());
        (length >= SHORTEST && (is_bearer || !is_word)).then_some((end + 1, end + 1 + length))
    }

    /// Where a string ends that begins here; none if it does not, in its line.
    fn end_of_string(&mut self, start: usize, quote: u8) -> Option<usize> {
        let mut is_escaped = false;
        let bytes = self.text.as_bytes().get(start..)?;
        let mut end = None;
        let mut looked = 0;
        for (place, byte) in bytes.iter().enumerate() {
            looked = place;
            match byte {
                b'\n' => break,
                _ if is_escaped => is_escaped = false,
                b'\\' => is_escaped = true,
                byte if *byte == quote => {
                    end = Some(start + place);
                    break;
                }
                _ => {}
            }
        }
        self.ahead = self.ahead.saturating_sub(looked);
        end
    }

    /// The first place from here on that is not blank; line ends are not passed over.
    fn skip_blank(&self, from: usize) -> usize {
        let blank = self.text[from.min(self.text.len())..]
            .bytes()
            .take_while(|byte| matches!(byte, b' ' | b'\t'))
            .count();
        from.min(self.text.len()) + blank
    }
}

/// Where a token begins in a word, if one does: only its end is where the word ends.
fn token_in(word: &str) -> Option<usize> {
    if word.len() > LONGEST_WORD {
        return word.starts_with("eyJ").then_some(0);
    }
    if word.len() <= SHORTEST {
        return None;
    }
    let bytes = word.as_bytes();
    let is_start = |place: &usize| *place == 0 || !bytes[place - 1].is_ascii_alphanumeric();
    let mut starts = (0..bytes.len() - SHORTEST).filter(is_start);
    starts.find(|place| is_token(&word[*place..]))
}

fn is_token(word: &str) -> bool {
    // A signed token is three parts in base64, the first an object: `{"` is `eyJ`.
    let is_signed = || {
        let mut bytes = word.bytes();
        let end = bytes.position(|byte| !byte.is_ascii_alphanumeric() && !b"-_".contains(&byte));
        end.unwrap_or(word.len()) > SHORTEST
    };
    let is_known = |(prefix, length): &(&str, usize)| {
        word.len() >= *length && word.starts_with(prefix) && has_digit(word)
    };
    word.starts_with("eyJ") && is_signed() || TOKENS.iter().any(is_known)
}

fn has_digit(word: &str) -> bool {
    word.bytes()
        .any(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.%$[]".contains(&byte)
}

/// Where what begins with a bracket here has ended.
fn end_of_brackets(text: &str, start: usize) -> usize {
    let (mut deep, mut in_string, mut is_escaped) = (0_u32, false, false);
    for (place, byte) in text.as_bytes()[start..].iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_string => is_escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'{' | b'[' => deep += 1,
            b'}' | b']' => {
                deep -= 1;
                if deep == 0 {
                    return start + place + 1;
                }
            }
            _ => {}
        }
    }
    text.len()
}

/// What a string of JSON says. Where its escapes are none of JSON's, what it looks like.
fn unescaped(inside: &str) -> String {
    if !inside.contains('\\') {
        return inside.to_owned();
    }
    serde_json::from_str(&format!("\"{inside}\"")).unwrap_or_else(|_| inside.replace('\\', ""))
}
