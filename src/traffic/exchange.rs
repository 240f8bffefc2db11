//! An exchange as it is kept, listed and sent: a request with its answer.
//!
//! It crosses the wire as it is here. What is in it was redacted before it came here.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A time as it crosses the wire: in milliseconds since the epoch.
pub fn since_epoch(at: SystemTime) -> u64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// What is listed of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Summary {
    /// Its number in this process: a later one began later.
    pub number: u64,
    /// Grows with each change of any exchange.
    pub seq: u64,
    /// The request's id, as its upstream and the access log have it.
    pub id: String,
    /// When it began, in milliseconds since the epoch.
    pub at: u64,
    /// Whether more of it may come.
    pub state: State,
    /// The method.
    pub method: String,
    /// The host that was asked, with its port.
    pub host: String,
    /// Path and query, without secrets.
    pub path: String,
    /// What the client speaks: `1.0`, `1.1` or `2`.
    pub version: String,
    /// The answer's status; none until there is one, 499 if the client left before.
    pub status: Option<u16>,
    /// Why Cosmos answered itself.
    pub code: Option<String>,
    /// Why it ended before its end.
    pub cut: Option<String>,
    /// The route's own address.
    pub route: Option<String>,
    /// The workspace's key.
    pub workspace: Option<String>,
    /// The service's or the outside route's name.
    pub service: Option<String>,
    /// The container that answered, by name.
    pub container: Option<String>,
    /// Which making of the service it belongs to.
    pub generation: Option<String>,
    /// The address it came from.
    pub peer: String,
    /// The exchange that this one repeats.
    pub replay_of: Option<u64>,
    /// Milliseconds until the container took the connection; none where one was kept.
    pub connect_ms: Option<f64>,
    /// Milliseconds until the answer's head.
    pub first_byte_ms: Option<f64>,
    /// Milliseconds until its end.
    pub total_ms: Option<f64>,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// The answer's media type, without parameters.
    #[serde(rename = "type")]
    pub media_type: Option<String>,
    /// How many events of a stream of events have come.
    pub events: Option<u64>,
    /// How many messages of a WebSocket have passed.
    pub messages: Option<Messages>,
    /// It is kept as it was, secrets included, as its route asks for.
    pub unredacted: bool,
}

/// Whether more of an exchange may come.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is under way.
    #[default]
    Open,
    /// Nothing more comes.
    Done,
}

/// How many messages of a WebSocket have passed.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub struct Messages {
    /// By the client.
    pub sent: u64,
    /// By the service.
    pub received: u64,
}

/// All that is kept of an exchange.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Exchange {
    /// What is listed of it.
    #[serde(flatten)]
    pub summary: Summary,
    /// What was asked.
    pub request: Message,
    /// What was answered, if there is an answer yet.
    pub response: Option<Message>,
    /// The first messages of a WebSocket, both ways.
    pub frames: Vec<Frame>,
}

/// A request or an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Message {
    /// Names and values, in their order, as they came.
    pub headers: Vec<(String, String)>,
    /// The same behind the body.
    pub trailers: Vec<(String, String)>,
    /// What it carries, if anything.
    pub body: Option<Body>,
    /// How many secrets were taken out of its headers.
    pub redacted: u32,
}

/// A body, as far as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Body {
    /// How many bytes have passed.
    pub bytes: u64,
    /// Whether all of it has.
    pub complete: bool,
    /// Whether more has passed than is kept.
    pub truncated: bool,
    /// What it was compressed with, if it was.
    pub decoded: Option<String>,
    /// How many secrets were taken out of it.
    pub redacted: u32,
    /// What it says.
    #[serde(flatten)]
    pub content: Content,
}

/// What is kept of a body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Content {
    /// Text.
    Text(String),
    /// Other bytes, in base64.
    Base64(String),
    /// Nothing: why.
    Omitted(String),
}

/// A message of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Frame {
    /// When it began, in milliseconds since the epoch.
    pub at: u64,
    /// Who sent it.
    pub from: Side,
    /// What it is.
    pub kind: FrameKind,
    /// How long it is, as it was sent.
    pub bytes: u64,
    /// How it begins, if it is text.
    pub text: Option<String>,
    /// Whether that is not all of it.
    pub truncated: bool,
    /// Whether it was compressed.
    pub compressed: bool,
}

/// One side of a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Who asked for it.
    Client,
    /// Who took it.
    Service,
}

/// What a message of a WebSocket is (RFC 6455 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum FrameKind {
    /// Text.
    Text,
    /// Other bytes.
    Binary,
    /// A goodbye.
    Close,
    /// A question whether somebody is there.
    Ping,
    /// The answer to it.
    Pong,
    /// Of an extension.
    Other,
}

/// One line of what follows the exchanges.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Line {
    /// The first one.
    Hello {
        /// Stands for this process: with another one, numbers begin anew.
        epoch: String,
        /// The newest change.
        seq: u64,
        /// How many exchanges are kept at most.
        most: usize,
        /// How many were not captured, all in all.
        dropped: u64,
    },
    /// One that is new, or has changed.
    Exchange(Box<Summary>),
    /// One that the filter does not let through any more.
    Gone {
        /// Its number.
        number: u64,
    },
    /// More were not captured.
    Dropped {
        /// How many, all in all.
        dropped: u64,
    },
    /// All that were before are gone.
    Cleared,
    /// Nothing happened, and the stream is well.
    Alive,
}

impl Exchange {
    /// About how much memory it takes, in bytes.
    pub(super) fn weight(&self) -> usize {
        let message = |message: &Message| {
            let pairs = message.headers.iter().chain(&message.trailers);
            let pairs: usize = pairs
                .map(|(name, value)| name.len() + value.len() + 48)
                .sum();
            let body = message.body.as_ref().map_or(0, |body| match &body.content {
                Content::Text(text) | Content::Base64(text) | Content::Omitted(text) => text.len(),
            });
            pairs + body
        };
        let frames = self.frames.iter();
        let frames: usize = frames
            .map(|frame| frame.text.as_ref().map_or(0, String::len) + size_of::<Frame>())
            .sum();
        size_of::<Self>()
            + 256
            + self.summary.path.len()
            + message(&self.request)
            + self.response.as_ref().map_or(0, message)
            + frames
    }
}
