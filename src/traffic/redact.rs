//! Takes secrets out of what is kept of an exchange, before it is kept.
//!
//! What a secret is follows from where it stands: behind a name such as `password`, in
//! a header such as `Authorization`, before the `@` of an address, or in the form that
//! tokens have. Its place is kept, its length, and a short hash with a key of this
//! process: whether two secrets are the same can be seen, and nothing else.
//!
//! [`name`] knows names, [`text`] finds secrets in any text, JSON, forms and streams of
//! events included, whole or cut off anywhere. Everything here is total: any bytes have
//! an answer. Where it is in doubt, it takes out too much.

mod name;
mod text;

use hyper::{
    Uri,
    header::{
        AUTHORIZATION, COOKIE, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
        SEC_WEBSOCKET_PROTOCOL, SET_COOKIE,
    },
};
use ring::hmac;

pub(crate) use name::is_secret as is_secret_name;

/// Of a hash, what is enough to tell secrets apart by eye, and to guess nothing by.
const HASH_BYTES: usize = 3;

/// Headers that end so, whatever the words before it.
const SECRET_ENDS: [&str; 4] = ["-token", "-secret", "-key", "-password"];

/// Longer than this, one of several words in a header is no name of a protocol.
const LONG_WORD: usize = 20;

/// Takes secrets out, and marks them so that equal ones look equal.
#[derive(Debug, Clone)]
pub(crate) struct Redactor {
    key: hmac::Key,
}

/// What was made of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redacted {
    pub(crate) text: String,
    /// How many secrets were taken out.
    pub(super) count: u32,
}

impl Redacted {
    fn untouched(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            count: 0,
        }
    }
}

impl Redactor {
    /// With a key that nobody ever sees.
    pub(crate) fn new() -> Self {
        let mut key = [0; 32];
        if getrandom::fill(&mut key).is_err() {
            // Without chance there are no hashes that tell nothing; there is none, then.
            key = [0; 32];
        }
        Self::with_key(&key)
    }

    fn with_key(key: &[u8]) -> Self {
        Self {
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// What stands in a secret's place: `[redacted 24 #1f9c3e]`.
    fn mark(&self, secret: &str) -> String {
        use std::fmt::Write as _;
        let mut mark = format!("[redacted {} #", secret.len());
        for byte in hmac::sign(&self.key, secret.as_bytes())
            .as_ref()
            .iter()
            .take(HASH_BYTES)
        {
            let _ = write!(mark, "{byte:02x}");
        }
        mark.push(']');
        mark
    }

    /// A header's value.
    pub(super) fn header(&self, name: &HeaderName, value: &HeaderValue) -> Redacted {
        let value = String::from_utf8_lossy(value.as_bytes());
        if *name == COOKIE {
            return self.cookies(&value, usize::MAX);
        }
        if *name == SET_COOKIE {
            // Behind the first are attributes, which are no secret.
            return self.cookies(&value, 1);
        }
        if *name == AUTHORIZATION || *name == PROXY_AUTHORIZATION {
            return match value.split_once(' ') {
                Some((scheme, secret)) => Redacted {
                    text: format!("{scheme} {}", self.mark(secret)),
                    count: 1,
                },
                None => self.whole(&value),
            };
        }
        let is_named = SECRET_ENDS.iter().any(|end| name.as_str().ends_with(end));
        if is_named || name::is_secret(name.as_str()) {
            return self.whole(&value);
        }
        if *name == SEC_WEBSOCKET_PROTOCOL {
            // Where browsers let a page say nothing else, pages say their token here.
            return self.each(&value, ", ", |word| {
                let word = word.trim();
                match word.len() > LONG_WORD {
                    true => self.whole(word),
                    false => self.text(word),
                }
            });
        }
        self.text(&value)
    }

    /// A request's target: its path and its query.
    pub(super) fn target(&self, target: &Uri) -> Redacted {
        let mut redacted = self.text(target.path());
        if let Some(query) = target.query() {
            let query = self.form(query);
            redacted.text.push('?');
            redacted.text.push_str(&query.text);
            redacted.count += query.count;
        }
        redacted
    }

    /// Pairs as in a query: names and values, percent-encoded.
    pub(super) fn form(&self, form: &str) -> Redacted {
        self.each(form, "&", |pair| {
            let Some((name, value)) = pair.split_once('=') else {
                return self.text(pair);
            };
            let decoded = percent_decoded(value);
            let is_secret = !value.is_empty() && name::is_secret(&percent_decoded(name));
            if is_secret || self.text(&decoded).count > 0 {
                let text = format!("{name}={}", self.mark(&decoded));
                return Redacted { text, count: 1 };
            }
            Redacted::untouched(pair)
        })
    }

    pub(super) fn whole(&self, secret: &str) -> Redacted {
        match secret.is_empty() {
            true => Redacted::untouched(secret),
            false => Redacted {
                text: self.mark(secret),
                count: 1,
            },
        }
    }

    /// Cookies keep their names.
    fn cookies(&self, cookies: &str, secrets: usize) -> Redacted {
        let mut left = secrets;
        self.each(cookies, ";", |cookie| {
            if left == 0 {
                return Redacted::untouched(cookie);
            }
            left -= 1;
            match cookie.split_once('=') {
                Some((name, value)) => Redacted {
                    text: format!("{name}={}", self.mark(value.trim())),
                    count: 1,
                },
                None => self.whole(cookie.trim()),
            }
        })
    }

    fn each(
        &self,
        text: &str,
        separator: &str,
        mut redact: impl FnMut(&str) -> Redacted,
    ) -> Redacted {
        let mut all = Redacted::untouched("");
        for (place, part) in text.split(separator.trim_end()).enumerate() {
            let part = redact(part);
            if place > 0 {
                all.text.push_str(separator);
            }
            all.text.push_str(&part.text);
            all.count += part.count;
        }
        all
    }
}

/// The target as it is logged: without the values of what holds secrets, and without
/// anything in their place that could be compared.
pub(super) fn logged(target: &Uri) -> String {
    let Some(query) = target.query() else {
        return target.path().to_owned();
    };
    let mut text = format!("{}?", target.path());
    for (place, pair) in query.split('&').enumerate() {
        if place > 0 {
            text.push('&');
        }
        match pair.split_once('=') {
            Some((key, _)) if name::is_secret(&percent_decoded(key)) => {
                text.push_str(key);
                text.push_str("=[redacted]");
            }
            _ => text.push_str(pair),
        }
    }
    text
}

/// What percent signs and pluses stand for.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(text.len());
    let mut place = 0;
    while let Some(&byte) = bytes.get(place) {
        let hex = bytes
            .get(place + 1..place + 3)
            .filter(|_| byte == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        decoded.push(hex.unwrap_or(if byte == b'+' { b' ' } else { byte }));
        place += if hex.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&decoded).into_owned()
}

#[cfg(test)]
mod tests;
