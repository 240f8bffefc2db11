//! Counts the messages of a WebSocket, and keeps how the newest of them begin.
//!
//! An [`Ear`] hears the bytes of one direction as they pass (RFC 6455), compressed or
//! not (RFC 7692). It holds nothing up: what it cannot follow any more it only counts.

use std::{
    collections::VecDeque,
    sync::atomic::{AtomicUsize, Ordering},
    time::SystemTime,
};

use flate2::{Decompress, FlushDecompress, Status};
use hyper::{HeaderMap, header::SEC_WEBSOCKET_EXTENSIONS};

use super::{
    super::{
        exchange::{Frame, FrameKind, Messages, Side, since_epoch},
        redact::Redactor,
    },
    Capture, MOST_UNDER_WAY,
};

/// Of one message, as much as fits on a screen.
const MOST_OF_A_MESSAGE: usize = 4 * 1024;

/// The newest messages of both directions.
const MOST_MESSAGES: usize = 200;

/// All of them together, in bytes.
const MOST_OF_ALL: usize = 64 * 1024;

/// How much is decompressed for one direction. Beyond it messages are only counted: it
/// is work that nobody may ever look at.
const MOST_DECOMPRESSED: usize = 8 << 20;

/// What a sender leaves away at the end of a compressed message (RFC 7692 section 7.2.1).
const LEFT_AWAY: [u8; 4] = [0, 0, 0xff, 0xff];

/// The two directions of a WebSocket that is captured.
#[derive(Debug)]
pub(in crate::traffic) struct Tap {
    pub(in crate::traffic) from_client: Ear,
    pub(in crate::traffic) from_service: Ear,
}

impl Tap {
    /// For a WebSocket that the service opened with this answer.
    pub(super) fn new(capture: &Capture, answer: &HeaderMap) -> Self {
        let extensions = answer.get_all(SEC_WEBSOCKET_EXTENSIONS).iter();
        let extensions: Vec<_> = extensions
            .map(|value| String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase())
            .collect();
        let is_said = |what| extensions.iter().any(|value| value.contains(what));
        let inflate =
            |forgets| is_said("permessage-deflate").then(|| Inflate::new(is_said(forgets)));
        let ear = |side, inflate| Ear {
            capture: capture.clone(),
            side,
            place: Place::First,
            frame: Head::default(),
            message: None,
            control: Vec::new(),
            inflate,
        };
        Self {
            from_client: ear(Side::Client, inflate("client_no_context_takeover")),
            from_service: ear(Side::Service, inflate("server_no_context_takeover")),
        }
    }
}

/// Hears one direction.
#[derive(Debug)]
pub(in crate::traffic) struct Ear {
    capture: Capture,
    side: Side,
    place: Place,
    frame: Head,
    /// The message under way: frames of control may stand between its own.
    message: Option<Beginning>,
    control: Vec<u8>,
    inflate: Option<Inflate>,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy)]
enum Place {
    First,
    Length,
    Longer { missing: u8 },
    Mask { missing: u8 },
    Payload,
}

/// The head of the frame under way.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    is_last: bool,
    is_compressed: bool,
    opcode: u8,
    is_masked: bool,
    mask: [u8; 4],
    length: u64,
    /// How much of the payload is still to come.
    left: u64,
}

/// A message, as far as it has come.
#[derive(Debug)]
struct Beginning {
    at: u64,
    kind: FrameKind,
    bytes: u64,
    is_compressed: bool,
    kept: Vec<u8>,
    is_all: bool,
}

impl Ear {
    /// Hears bytes that pass.
    pub(in crate::traffic) fn hear(&mut self, mut bytes: &[u8]) {
        while let [byte, after @ ..] = bytes {
            match self.place {
                Place::First => {
                    self.frame = Head {
                        is_last: byte & 0x80 != 0,
                        is_compressed: byte & 0x40 != 0,
                        opcode: byte & 0x0f,
                        ..Head::default()
                    };
                    self.place = Place::Length;
                }
                Place::Length => {
                    self.frame.is_masked = byte & 0x80 != 0;
                    match byte & 0x7f {
                        126 => self.place = Place::Longer { missing: 2 },
                        127 => self.place = Place::Longer { missing: 8 },
                        length => {
                            self.frame.length = u64::from(length);
                            self.head_so_far();
                        }
                    }
                }
                Place::Longer { missing } => {
                    self.frame.length = self.frame.length << 8 | u64::from(*byte);
                    match missing - 1 {
                        0 => self.head_so_far(),
                        missing => self.place = Place::Longer { missing },
                    }
                }
                Place::Mask { missing } => {
                    self.frame.mask[usize::from(4 - missing)] = *byte;
                    match missing - 1 {
                        0 => self.head_is_whole(),
                        missing => self.place = Place::Mask { missing },
                    }
                }
                Place::Payload => {
                    let left = usize::try_from(self.frame.left).unwrap_or(usize::MAX);
                    let (payload, rest) = bytes.split_at(bytes.len().min(left));
                    self.payload(payload);
                    bytes = rest;
                    continue;
                }
            }
            bytes = after;
        }
    }

    fn head_so_far(&mut self) {
        match self.frame.is_masked {
            true => self.place = Place::Mask { missing: 4 },
            false => self.head_is_whole(),
        }
    }

    fn head_is_whole(&mut self) {
        let frame = self.frame;
        self.frame.left = frame.length;
        let is_control = frame.opcode & 0x08 != 0;
        if !is_control && frame.opcode != 0 {
            self.message = Some(Beginning {
                at: since_epoch(SystemTime::now()),
                kind: kind(frame.opcode),
                bytes: 0,
                is_compressed: frame.is_compressed,
                kept: Vec::new(),
                is_all: true,
            });
        }
        self.control.clear();
        self.place = Place::Payload;
        if frame.length == 0 {
            self.frame_is_whole();
        }
    }

    fn payload(&mut self, payload: &[u8]) {
        let frame = &mut self.frame;
        let before = frame.length - frame.left;
        frame.left -= payload.len() as u64;
        let unmasked = |place: usize, byte: u8| {
            let at = before.wrapping_add(place as u64) % 4;
            byte ^ frame.mask[usize::try_from(at).unwrap_or(0)]
        };
        let is_control = frame.opcode & 0x08 != 0;
        let room = match (&self.message, is_control) {
            (_, true) => 125,
            // All of it, or what comes later cannot be read.
            (Some(message), false) if message.is_compressed && self.inflate.is_some() => usize::MAX,
            (Some(message), false) => MOST_OF_A_MESSAGE.saturating_sub(message.kept.len()),
            (None, false) => 0,
        };
        let read: Vec<u8> = payload
            .iter()
            .take(room)
            .enumerate()
            .map(|(place, byte)| unmasked(place, *byte))
            .collect();
        if is_control {
            self.control.extend_from_slice(&read);
        } else if let Some(message) = &mut self.message {
            message.bytes += payload.len() as u64;
            if !message.is_compressed {
                message.is_all &= read.len() == payload.len();
                message.kept.extend_from_slice(&read);
            } else if let Some(inflate) = &mut self.inflate {
                inflate.feed(&read, message);
            }
        }
        if self.frame.left == 0 {
            self.frame_is_whole();
        }
    }

    fn frame_is_whole(&mut self) {
        self.place = Place::First;
        if self.frame.opcode & 0x08 != 0 {
            let kind = kind(self.frame.opcode);
            // Of a goodbye, the reason stands behind a number.
            let said = match kind {
                FrameKind::Close => close_reason(&self.control),
                _ => String::from_utf8_lossy(&self.control).into_owned(),
            };
            let bytes = self.frame.length;
            self.tell(Message {
                at: since_epoch(SystemTime::now()),
                from: self.side,
                kind,
                bytes,
                text: (!said.is_empty()).then_some(said),
                is_all: true,
                is_compressed: false,
            });
            return;
        }
        if !self.frame.is_last {
            return;
        }
        let Some(mut message) = self.message.take() else {
            return;
        };
        if message.is_compressed {
            match &mut self.inflate {
                Some(inflate) => {
                    inflate.feed(&LEFT_AWAY, &mut message);
                    if !inflate.goes_on() {
                        self.inflate = None;
                    }
                }
                None => message.is_all = false,
            }
        }
        let text = match message.kind {
            FrameKind::Text if message.kept.is_empty() && !message.is_all => None,
            FrameKind::Text => Some(lossy(&message.kept)),
            _ => None,
        };
        self.tell(Message {
            at: message.at,
            from: self.side,
            kind: message.kind,
            bytes: message.bytes,
            text,
            is_all: message.is_all,
            is_compressed: message.is_compressed,
        });
    }

    fn tell(&self, message: Message) {
        self.capture.heard(message);
    }
}

/// Decompresses what one side sends.
#[derive(Debug)]
struct Inflate {
    state: Box<Decompress>,
    /// Each message stands alone.
    forgets: bool,
    left: usize,
    is_lost: bool,
}

impl Inflate {
    fn new(forgets: bool) -> Self {
        Self {
            state: Box::new(Decompress::new(false)),
            forgets,
            left: MOST_DECOMPRESSED,
            is_lost: false,
        }
    }

    fn feed(&mut self, mut bytes: &[u8], message: &mut Beginning) {
        let mut piece = [0; 4096];
        while !self.is_lost {
            let (before_in, before_out) = (self.state.total_in(), self.state.total_out());
            let status = self
                .state
                .decompress(bytes, &mut piece, FlushDecompress::Sync);
            let taken = usize::try_from(self.state.total_in() - before_in).unwrap_or(0);
            let made = usize::try_from(self.state.total_out() - before_out).unwrap_or(0);
            bytes = &bytes[taken.min(bytes.len())..];
            let room = MOST_OF_A_MESSAGE.saturating_sub(message.kept.len());
            message.kept.extend_from_slice(&piece[..made.min(room)]);
            message.is_all &= made <= room;
            self.left = self.left.saturating_sub(made);
            self.is_lost = self.left == 0 || !matches!(status, Ok(Status::Ok | Status::BufError));
            let is_done = taken == 0 && made == 0 || bytes.is_empty() && made < piece.len();
            if is_done {
                return;
            }
        }
        message.is_all = false;
    }

    /// Gets ready for the next message, if that can be read.
    fn goes_on(&mut self) -> bool {
        if self.forgets {
            self.state.reset(false);
        }
        !self.is_lost
    }
}

/// A message that has passed, secrets included.
#[derive(Debug, Clone)]
pub(super) struct Message {
    at: u64,
    from: Side,
    kind: FrameKind,
    bytes: u64,
    text: Option<String>,
    is_all: bool,
    is_compressed: bool,
}

/// The messages of one WebSocket, as far as they are kept.
#[derive(Debug, Default)]
pub(super) struct Heard {
    counted: Option<Messages>,
    newest: VecDeque<Message>,
    held: usize,
}

impl Heard {
    /// From now on messages are counted.
    pub(super) fn begin(&mut self) {
        self.counted.get_or_insert_default();
    }

    pub(super) fn push(&mut self, mut message: Message, under_way: &AtomicUsize) {
        let counted = self.counted.get_or_insert_default();
        // What keeps a connection alive is no message.
        if matches!(message.kind, FrameKind::Text | FrameKind::Binary) {
            match message.from {
                Side::Client => counted.sent += 1,
                Side::Service => counted.received += 1,
            }
        }
        let mut length = message.text.as_ref().map_or(0, String::len);
        if under_way.fetch_add(length, Ordering::Relaxed) + length > MOST_UNDER_WAY {
            under_way.fetch_sub(length, Ordering::Relaxed);
            (message.text, message.is_all, length) = (None, false, 0);
        }
        self.held += length;
        self.newest.push_back(message);
        while self.newest.len() > MOST_MESSAGES || self.held > MOST_OF_ALL {
            let Some(oldest) = self.newest.pop_front() else {
                return;
            };
            let length = oldest.text.as_ref().map_or(0, String::len);
            self.held -= length;
            under_way.fetch_sub(length, Ordering::Relaxed);
        }
    }

    /// How much is held of what was said.
    pub(super) fn held(&self) -> usize {
        self.held
    }

    pub(super) fn counted(&self) -> Option<Messages> {
        self.counted
    }

    /// What is kept of them, secrets included.
    pub(super) fn newest(&self) -> Vec<Message> {
        self.newest.iter().cloned().collect()
    }
}

impl Message {
    /// What is kept of it, without secrets.
    pub(super) fn frame(&self, redactor: Option<&Redactor>) -> Frame {
        let text = self.text.as_ref().map(|text| match redactor {
            None => text.clone(),
            Some(redactor) if self.is_all => redactor.text(text).text,
            Some(redactor) => redactor.text(super::content::without_tail(text, "")).text,
        });
        Frame {
            at: self.at,
            from: self.from,
            kind: self.kind,
            bytes: self.bytes,
            text,
            truncated: !self.is_all,
            compressed: self.is_compressed,
        }
    }
}

fn kind(opcode: u8) -> FrameKind {
    match opcode {
        1 => FrameKind::Text,
        2 => FrameKind::Binary,
        8 => FrameKind::Close,
        9 => FrameKind::Ping,
        10 => FrameKind::Pong,
        _ => FrameKind::Other,
    }
}

/// `1001 going away`.
fn close_reason(payload: &[u8]) -> String {
    let [high, low, reason @ ..] = payload else {
        return String::new();
    };
    let code = u16::from_be_bytes([*high, *low]);
    let reason = String::from_utf8_lossy(reason);
    format!("{code} {reason}").trim_end().to_owned()
}

/// Text that may be cut off in the middle of a character.
fn lossy(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(error) if error.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned()
        }
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    }
}
