//! The language in which exchanges are looked for: `service:api status:>=500 slower:200ms`.
//!
//! Terms stand side by side, and all must hold; `-` before one turns it around. A term
//! without a name is text that is looked for in the path, the headers and the bodies.

use std::{fmt, time::Duration};

use super::exchange::{Content, Exchange, Message, State};

/// What exchanges have to be.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter(Vec<Term>);

#[derive(Debug, Clone, PartialEq)]
struct Term {
    is_not: bool,
    test: Test,
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    Service(Pattern),
    Workspace(Pattern),
    Host(Pattern),
    Container(Pattern),
    Method(String),
    Path(Pattern),
    Type(String),
    Status(u16, u16),
    NoStatus,
    Slower(Duration),
    Faster(Duration),
    Number(u64),
    Is(Being),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Being {
    Open,
    Error,
    WebSocket,
    Sse,
    Replay,
}

/// A text with `*` for anything, in small letters.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(Vec<String>);

/// Why a filter cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{term}` {why}")]
pub struct FilterError {
    /// The term.
    pub term: String,
    /// What is wrong with it.
    pub why: &'static str,
    /// What would be right.
    pub hint: &'static str,
}

/// The names of terms.
#[cfg(test)]
const NAMES: [&str; 12] = [
    "service",
    "workspace",
    "host",
    "container",
    "method",
    "path",
    "type",
    "status",
    "slower",
    "faster",
    "number",
    "is",
];

impl Filter {
    /// Reads a filter.
    ///
    /// # Errors
    /// If a term has a name that there is not, or a value that makes no sense.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        words(text)
            .iter()
            .map(term)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Whether it lets an exchange through.
    pub fn lets(&self, exchange: &Exchange) -> bool {
        self.0
            .iter()
            .all(|term| term.test.holds(exchange) != term.is_not)
    }
}

/// A word as it was written, and where its quotes were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Word {
    text: String,
    /// How much of it stands before its first quote: only there a colon is one.
    plain: Option<usize>,
}

/// Split at blanks, but not between quotes.
fn words(text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut in_quotes = false;
    for character in text.chars() {
        match character {
            '"' => {
                in_quotes = !in_quotes;
                let word = word.get_or_insert_default();
                word.plain.get_or_insert(word.text.len());
            }
            blank if blank.is_whitespace() && !in_quotes => words.extend(word.take()),
            other => word.get_or_insert_default().text.push(other),
        }
    }
    words.extend(word);
    words
}

fn term(word: &Word) -> Result<Term, FilterError> {
    let plain = &word.text[..word.plain.unwrap_or(word.text.len())];
    let is_not = plain.len() > 1 && plain.starts_with('-') || plain == "-" && word.plain.is_some();
    let text = &word.text[usize::from(is_not)..];
    let plain = &plain[usize::from(is_not)..];
    let name = plain.split_once(':').map(|(name, _)| name);
    let test = match name {
        // `http://..`, `12:30`: text with a colon in it.
        Some(name) if is_name(name) && !text[name.len()..].starts_with("://") => {
            let value = &text[name.len() + 1..];
            test(&name.to_ascii_lowercase(), value).map_err(|(why, hint)| FilterError {
                term: text.to_owned(),
                why,
                hint,
            })?
        }
        _ => Test::Text(text.to_lowercase()),
    };
    Ok(Term { is_not, test })
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphabetic())
}

type Wrong = (&'static str, &'static str);

fn test(name: &str, value: &str) -> Result<Test, Wrong> {
    const HINT: &str = "terms are service: workspace: host: container: method: path: type: status: slower: faster: number: is:, others stand in quotes";
    if value.is_empty() {
        return Err(("says nothing behind the colon", HINT));
    }
    let pattern = || Pattern::new(value);
    Ok(match name {
        "service" => Test::Service(pattern()),
        "workspace" => Test::Workspace(pattern()),
        "host" => Test::Host(pattern()),
        "container" => Test::Container(pattern()),
        "method" => Test::Method(value.to_ascii_uppercase()),
        "path" => Test::Path(Pattern::new(&format!("*{value}*"))),
        "type" => Test::Type(value.to_ascii_lowercase()),
        "status" => status(value)?,
        "slower" => Test::Slower(duration(value)?),
        "faster" => Test::Faster(duration(value)?),
        "number" => Test::Number(
            value
                .parse()
                .map_err(|_| ("is no number", "write number:12, as the list has it"))?,
        ),
        "is" => Test::Is(match value.to_ascii_lowercase().as_str() {
            "open" => Being::Open,
            "error" => Being::Error,
            "websocket" => Being::WebSocket,
            "sse" => Being::Sse,
            "replay" => Being::Replay,
            _ => {
                return Err((
                    "is nothing that an exchange can be",
                    "write is:open, is:error, is:websocket, is:sse or is:replay",
                ));
            }
        }),
        _ => return Err(("has no name that is known", HINT)),
    })
}

/// `500`, `5xx`, `>=500`, `<400`, `400-499`, `none`.
fn status(value: &str) -> Result<Test, Wrong> {
    const WRONG: Wrong = (
        "is no status",
        "write status:404, status:5xx, status:>=500 or status:400-499",
    );
    let number = |text: &str| text.parse::<u16>().map_err(|_| WRONG);
    let (from, to) = if value.eq_ignore_ascii_case("none") {
        return Ok(Test::NoStatus);
    } else if let Some(rest) = value.strip_prefix(">=") {
        (number(rest)?, u16::MAX)
    } else if let Some(rest) = value.strip_prefix("<=") {
        (0, number(rest)?)
    } else if let Some(rest) = value.strip_prefix('>') {
        (number(rest)?.saturating_add(1), u16::MAX)
    } else if let Some(rest) = value.strip_prefix('<') {
        (0, number(rest)?.saturating_sub(1))
    } else if let Some((from, to)) = value.split_once('-') {
        (number(from)?, number(to)?)
    } else if let Some(first) = value.to_ascii_lowercase().strip_suffix("xx") {
        let first = number(first)?.saturating_mul(100);
        (first, first.saturating_add(99))
    } else {
        let only = number(value)?;
        (only, only)
    };
    Ok(Test::Status(from, to))
}

/// `200ms`, `1.5s`, `2m`; a number alone is milliseconds.
fn duration(value: &str) -> Result<Duration, Wrong> {
    let (number, unit) = [("ms", 0.001), ("s", 1.0), ("m", 60.0)]
        .iter()
        .find_map(|(unit, seconds)| Some((value.strip_suffix(unit)?, *seconds)))
        .unwrap_or((value, 0.001));
    let seconds = number
        .trim()
        .parse::<f64>()
        .ok()
        .map(|number| number * unit);
    seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or(("is no time", "write slower:200ms or slower:1.5s"))
}

impl Pattern {
    fn new(text: &str) -> Self {
        Self(text.to_lowercase().split('*').map(str::to_owned).collect())
    }

    fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        let [first, rest @ ..] = self.0.as_slice() else {
            return true;
        };
        let Some(mut left) = text.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = rest.split_last() else {
            return left.is_empty();
        };
        for part in middle {
            let Some(place) = left.find(part.as_str()) else {
                return false;
            };
            left = &left[place + part.len()..];
        }
        left.ends_with(last.as_str())
    }

    fn fits_some(&self, text: Option<&String>) -> bool {
        text.is_some_and(|text| self.fits(text))
    }
}

impl Test {
    fn holds(&self, exchange: &Exchange) -> bool {
        let summary = &exchange.summary;
        match self {
            Self::Service(pattern) => pattern.fits_some(summary.service.as_ref()),
            Self::Workspace(pattern) => pattern.fits_some(summary.workspace.as_ref()),
            Self::Container(pattern) => pattern.fits_some(summary.container.as_ref()),
            Self::Host(pattern) => {
                let host = &summary.host;
                let name = host
                    .rsplit_once(':')
                    .map_or(host.as_str(), |(name, _)| name);
                pattern.fits(host) || pattern.fits(name)
            }
            Self::Method(method) => summary.method == *method,
            Self::Path(pattern) => pattern.fits(&summary.path),
            Self::Type(part) => {
                let kind = summary.media_type.as_ref();
                kind.is_some_and(|kind| kind.contains(part.as_str()))
            }
            Self::Status(from, to) => summary
                .status
                .is_some_and(|status| (*from..=*to).contains(&status)),
            Self::NoStatus => summary.status.is_none(),
            Self::Slower(limit) => taken(exchange).is_some_and(|taken| taken > *limit),
            Self::Faster(limit) => taken(exchange).is_some_and(|taken| taken < *limit),
            Self::Number(number) => summary.number == *number,
            Self::Is(Being::Open) => summary.state == State::Open,
            Self::Is(Being::Error) => {
                summary.status.is_some_and(|status| status >= 400) || summary.cut.is_some()
            }
            Self::Is(Being::WebSocket) => summary.messages.is_some(),
            Self::Is(Being::Sse) => summary.events.is_some(),
            Self::Is(Being::Replay) => summary.replay_of.is_some(),
            Self::Text(text) => has_text(exchange, text),
        }
    }
}

fn taken(exchange: &Exchange) -> Option<Duration> {
    let millis = exchange.summary.total_ms?;
    Duration::try_from_secs_f64(millis / 1000.0).ok()
}

fn has_text(exchange: &Exchange, text: &str) -> bool {
    let has = |within: &str| within.to_lowercase().contains(text);
    let in_message = |message: &Message| {
        let mut pairs = message.headers.iter().chain(&message.trailers);
        let in_body = message
            .body
            .as_ref()
            .is_some_and(|body| match &body.content {
                Content::Text(body) => has(body),
                Content::Base64(_) | Content::Omitted(_) => false,
            });
        in_body || pairs.any(|(name, value)| has(name) || has(value))
    };
    has(&exchange.summary.path)
        || has(&exchange.summary.host)
        || has(&exchange.summary.id)
        || in_message(&exchange.request)
        || exchange.response.as_ref().is_some_and(in_message)
        || exchange
            .frames
            .iter()
            .any(|frame| frame.text.as_deref().is_some_and(has))
}

impl fmt::Display for Being {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Error => "error",
            Self::WebSocket => "websocket",
            Self::Sse => "sse",
            Self::Replay => "replay",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::traffic::exchange::{Body, Summary};

    fn sample() -> Exchange {
        Exchange {
            summary: Summary {
                number: 7,
                state: State::Done,
                method: "POST".to_owned(),
                host: "api.shop.localhost:8080".to_owned(),
                path: "/v1/Orders?page=2".to_owned(),
                status: Some(503),
                service: Some("api".to_owned()),
                workspace: Some("shop".to_owned()),
                container: Some("shop-api-1".to_owned()),
                media_type: Some("application/json".to_owned()),
                total_ms: Some(250.0),
                ..Summary::default()
            },
            request: Message {
                headers: vec![("user-agent".to_owned(), "curl/8".to_owned())],
                body: Some(Body {
                    bytes: 3,
                    complete: true,
                    truncated: false,
                    decoded: None,
                    redacted: 0,
                    content: Content::Text("two Words".to_owned()),
                }),
                ..Message::default()
            },
            ..Exchange::default()
        }
    }

    #[test]
    fn each_term_lets_through_what_it_says() {
        let exchange = sample();
        for filter in [
            "",
            "service:api",
            "service:a*",
            "workspace:shop",
            "host:api.shop.localhost",
            "host:api.*",
            "host:api.shop.localhost:8080",
            "method:post",
            "status:503",
            "status:5xx",
            "status:>=500",
            "status:>502",
            "status:<=503",
            "status:<504",
            "status:500-599",
            "path:/v1",
            "path:orders",
            "path:/v1*page",
            "slower:200ms",
            "slower:0.2s",
            "slower:249",
            "faster:1s",
            "type:json",
            "is:error",
            "number:7",
            "container:shop-api-1",
            "curl",
            "\"two words\"",
            "two words",
            "USER-AGENT",
            "-status:200",
            "-is:open",
            "service:api status:>=500 method:POST path:/v1 slower:200ms text:",
            "-\"three words\"",
            "localhost:8080",
        ] {
            if filter.ends_with("text:") {
                assert!(Filter::parse(filter).is_err());
                continue;
            }
            let read = Filter::parse(filter);
            if filter == "localhost:8080" {
                assert!(read.is_err(), "a name that is not known is no text");
                continue;
            }
            assert!(read.unwrap().lets(&exchange), "{filter}");
        }
        for filter in [
            "service:web",
            "service:ap",
            "method:GET",
            "status:404",
            "status:none",
            "path:/v2",
            "slower:250ms",
            "faster:250ms",
            "type:html",
            "is:open",
            "is:sse",
            "number:8",
            "three",
            "-curl",
            "service:api status:200",
            "\"words two\"",
        ] {
            assert!(!Filter::parse(filter).unwrap().lets(&exchange), "{filter}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_would_be_right() {
        for (filter, term, hint) in [
            ("servce:api", "servce:api", "service:"),
            ("a status:abc", "status:abc", "status:404"),
            ("slower:fast", "slower:fast", "200ms"),
            ("slower:-1s", "slower:-1s", "200ms"),
            ("is:bad", "is:bad", "is:open"),
            ("path:", "path:", "service:"),
        ] {
            let error = Filter::parse(filter).unwrap_err();
            assert_eq!(error.term, term);
            assert!(error.hint.contains(hint), "{error:?}");
        }
        for text in ["http://x/y", "\"a:b\"", "12:30"] {
            assert!(Filter::parse(text).is_ok(), "{text}");
        }
        for name in NAMES {
            let error = Filter::parse(&format!("{name}:")).unwrap_err();
            assert!(error.hint.contains(&format!("{name}:")), "{name}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_filter_or_is_explained(text in any::<String>()) {
            if let Ok(filter) = Filter::parse(&text) {
                let _ = filter.lets(&sample());
            }
        }
    }
}
