//! Copies what passes, for the inspector, and never stands in its way.
//!
//! While a request passes, a [`Capture`] copies its head and the beginning of its bodies
//! into memory that is bounded, and tells the `recorder` of it, a thread of its own, over
//! a queue that is bounded, too. Where any of this is full, or there are more requests in
//! a second than anybody could look at, the copy is left out and counted. The traffic
//! never waits, and nothing of it is changed.
//!
//! The `recorder` makes an exchange of the copy: `content` reads bodies and takes secrets
//! out, `messages` does so for WebSockets. Only what has none is kept.

mod content;
mod messages;
mod pace;
mod recorder;

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
        mpsc::{SyncSender, sync_channel},
    },
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, StatusCode, Uri, Version, header::HeaderValue, http::uri::PathAndQuery,
};
use tokio::time::Instant;

pub(super) use self::messages::{Ear, Tap};
use self::{
    messages::{Heard, Message},
    pace::Pace,
};
use super::{exchanges::Exchanges, redact::Redactor, routes::Target};
use crate::workspace::CaptureMode;

/// Of each body, as much as people read, and what most of them are shorter than.
const MOST_OF_A_BODY: usize = 64 * 1024;

/// Of all bodies that are under way together.
const MOST_UNDER_WAY: usize = 4 << 20;

/// Many times what comes while the recorder gathers.
const MOST_WAITING: usize = 1024;

/// What is captured, and who makes exchanges of it.
#[derive(Debug)]
pub(super) struct Inspector {
    exchanges: Arc<Exchanges>,
    queue: SyncSender<Arc<Live>>,
    /// How often the recorder could not be told.
    missed: Arc<AtomicU64>,
    under_way: Arc<AtomicUsize>,
    next: AtomicU64,
    pace: Mutex<Pace>,
}

impl Inspector {
    /// Starts the recorder.
    pub(super) fn new() -> Self {
        let exchanges = Arc::new(Exchanges::new());
        let (queue, waiting) = sync_channel(MOST_WAITING);
        let missed = Arc::<AtomicU64>::default();
        let recorder =
            recorder::Recorder::new(Arc::clone(&exchanges), Redactor::new(), Arc::clone(&missed));
        // Without a thread nothing is kept, and all is counted as dropped.
        let _ = std::thread::Builder::new()
            .name("recorder".to_owned())
            .spawn(move || recorder.run(&waiting));
        Self {
            exchanges,
            queue,
            missed,
            under_way: Arc::default(),
            next: AtomicU64::new(1),
            pace: Mutex::new(Pace::full()),
        }
    }

    /// What was captured.
    pub(super) fn exchanges(&self) -> &Arc<Exchanges> {
        &self.exchanges
    }

    /// Begins to capture a request, unless its route says otherwise or there are too many.
    pub(super) fn begin(&self, asked: &Request<'_>) -> Capture {
        let mode = asked
            .route
            .map_or(CaptureMode::Redacted, |route| route.capture);
        if mode == CaptureMode::Off {
            return Capture(None);
        }
        let mut pace = self.pace.lock().unwrap_or_else(PoisonError::into_inner);
        if !pace.take(asked.started) {
            self.exchanges.drop_one();
            return Capture(None);
        }
        drop(pace);
        let live = Arc::new(Live {
            number: self.next.fetch_add(1, Ordering::Relaxed),
            at: SystemTime::now(),
            started: asked.started,
            id: asked.id.to_owned(),
            peer: asked.peer,
            method: asked.method.clone(),
            host: asked.host.to_owned(),
            target: copy_of_target(asked.target),
            version: asked.version,
            headers: copy_of(asked.headers),
            is_unredacted: mode == CaptureMode::Unredacted,
            replay_of: asked.replay_of,
            passing: Mutex::new(Passing {
                route: asked.route.cloned(),
                ..Passing::default()
            }),
            is_told: AtomicBool::new(false),
            queue: self.queue.clone(),
            missed: Arc::clone(&self.missed),
            under_way: Arc::clone(&self.under_way),
        });
        match tell(&live) {
            true => Capture(Some(live)),
            false => {
                self.exchanges.drop_one();
                Capture(None)
            }
        }
    }
}

/// What [`Inspector::begin`] needs of a request.
pub(super) struct Request<'a> {
    pub(super) started: Instant,
    pub(super) id: &'a str,
    pub(super) peer: IpAddr,
    pub(super) method: &'a Method,
    pub(super) host: &'a str,
    pub(super) target: &'a Uri,
    pub(super) version: Version,
    pub(super) headers: &'a HeaderMap,
    pub(super) route: Option<&'a Arc<Target>>,
    /// The exchange that this request repeats.
    pub(super) replay_of: Option<u64>,
}

/// A request that is captured, or is not: whoever it passes by need not know which.
#[derive(Debug, Clone, Default)]
pub(super) struct Capture(Option<Arc<Live>>);

/// Which of the two bodies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// The request's.
    In,
    /// The answer's.
    Out,
}

impl Capture {
    /// Hears the messages of a WebSocket that was opened with this answer.
    pub(super) fn tap(&self, answer: &HeaderMap) -> Option<Tap> {
        self.0.as_ref()?;
        self.change(|passing| passing.heard.begin());
        Some(Tap::new(self, answer))
    }

    /// This is where it leads, after all.
    pub(super) fn routed(&self, route: &Arc<Target>) {
        self.change(|passing| passing.route = Some(Arc::clone(route)));
    }

    /// It was sent to this one of its route's upstreams.
    pub(super) fn reached(&self, place: usize, connected_in: Option<Duration>) {
        self.change(|passing| {
            passing.reached = Some(place);
            passing.connected_in = connected_in.or(passing.connected_in);
        });
    }

    /// The answer has begun.
    pub(super) fn answered(&self, status: StatusCode, headers: &HeaderMap) {
        let Some(live) = &self.0 else { return };
        let after = live.started.elapsed();
        self.change(|passing| {
            if super::forward::is_events(headers) {
                passing.answer.events.get_or_insert(0);
            }
            passing.answered.get_or_insert_with(|| Answered {
                status,
                headers: copy_of(headers),
                after,
            });
        });
    }

    /// Some of a body has passed.
    pub(super) fn passed(&self, way: Way, bytes: &[u8]) {
        let Some(live) = &self.0 else { return };
        // What nothing more is kept of is not worth a look: its end says how long it was.
        if live.passing().kept(way).push(bytes, &live.under_way) {
            tell(live);
        }
    }

    /// A body has passed to its end.
    pub(super) fn completed(&self, way: Way) {
        self.change(|passing| passing.kept(way).complete = true);
    }

    /// What came behind a body.
    pub(super) fn trailed(&self, way: Way, trailers: &HeaderMap) {
        self.change(|passing| passing.kept(way).trailers = copy_of(trailers));
    }

    /// A message of a WebSocket has passed.
    fn heard(&self, message: Message) {
        let Some(live) = &self.0 else { return };
        let under_way = &live.under_way;
        self.change(|passing| passing.heard.push(message, under_way));
    }

    /// It is over.
    pub(super) fn ended(&self, end: impl FnOnce() -> End) {
        self.change(|passing| passing.end = Some(end()));
    }

    fn change(&self, change: impl FnOnce(&mut Passing)) {
        let Some(live) = &self.0 else { return };
        change(&mut live.passing());
        tell(live);
    }
}

/// The same headers, in memory of their own: hyper's are parts of what was read, and whoever
/// keeps one of them keeps all of that.
fn copy_of(headers: &HeaderMap) -> HeaderMap {
    let mut copy = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            copy.append(name.clone(), value);
        }
    }
    copy
}

fn copy_of_target(target: &Uri) -> Uri {
    let path = target.path_and_query().map_or("/", |path| path.as_str());
    let path = PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(path.as_bytes()));
    path.map(Uri::from).unwrap_or_default()
}

/// Tells the recorder of it, unless it knows already; whether it knows now.
fn tell(live: &Arc<Live>) -> bool {
    if live.is_told.swap(true, Ordering::AcqRel) {
        return true;
    }
    if live.queue.try_send(Arc::clone(live)).is_ok() {
        return true;
    }
    live.is_told.store(false, Ordering::Release);
    live.missed.fetch_add(1, Ordering::Relaxed);
    false
}

/// How a request ended.
#[derive(Debug, Clone)]
pub(super) struct End {
    pub(super) status: u16,
    pub(super) code: Option<&'static str>,
    pub(super) cut: Option<String>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) took: Duration,
}

/// A request under way, as far as it is copied. What of it never changes is read without
/// a lock.
#[derive(Debug)]
struct Live {
    number: u64,
    at: SystemTime,
    started: Instant,
    id: String,
    peer: IpAddr,
    method: Method,
    host: String,
    target: Uri,
    version: Version,
    headers: HeaderMap,
    is_unredacted: bool,
    replay_of: Option<u64>,
    passing: Mutex<Passing>,
    /// The recorder has been told that there is something new, and has not looked yet.
    is_told: AtomicBool,
    queue: SyncSender<Arc<Self>>,
    missed: Arc<AtomicU64>,
    /// Of all requests, how much is kept of bodies.
    under_way: Arc<AtomicUsize>,
}

impl Live {
    fn passing(&self) -> MutexGuard<'_, Passing> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// So much less is kept of bodies.
    fn let_go(&self, bytes: usize) {
        self.under_way.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let passing = self
            .passing
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let kept = passing.asked.bytes.len() + passing.answer.bytes.len() + passing.heard.held();
        self.under_way.fetch_sub(kept, Ordering::Relaxed);
    }
}

/// What changes while a request passes.
#[derive(Debug, Default)]
struct Passing {
    route: Option<Arc<Target>>,
    reached: Option<usize>,
    connected_in: Option<Duration>,
    asked: Kept,
    answered: Option<Answered>,
    answer: Kept,
    heard: Heard,
    end: Option<End>,
}

impl Passing {
    fn kept(&mut self, way: Way) -> &mut Kept {
        match way {
            Way::In => &mut self.asked,
            Way::Out => &mut self.answer,
        }
    }
}

#[derive(Debug, Clone)]
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    after: Duration,
}

/// The beginning of a body.
#[derive(Debug, Clone, Default)]
struct Kept {
    bytes: Vec<u8>,
    /// How much has passed.
    length: u64,
    complete: bool,
    trailers: HeaderMap,
    /// How many events have come, where they are counted.
    events: Option<u64>,
    /// Nothing has come of the line under way.
    line_is_empty: bool,
}

impl Kept {
    /// Takes what has passed; whether there is more to show of it than before.
    fn push(&mut self, bytes: &[u8], under_way: &AtomicUsize) -> bool {
        let events = self.events;
        self.count_events(bytes);
        let has_more_events = self.events != events;
        let is_whole_so_far = self.length == self.bytes.len() as u64;
        self.length += bytes.len() as u64;
        let room = MOST_OF_A_BODY.saturating_sub(self.bytes.len());
        let kept = bytes.len().min(room);
        if !is_whole_so_far || kept == 0 {
            return has_more_events;
        }
        if under_way.fetch_add(kept, Ordering::Relaxed) + kept > MOST_UNDER_WAY {
            under_way.fetch_sub(kept, Ordering::Relaxed);
            return has_more_events;
        }
        self.bytes.extend_from_slice(&bytes[..kept]);
        true
    }

    /// An event ends with an empty line.
    fn count_events(&mut self, bytes: &[u8]) {
        let Some(events) = &mut self.events else {
            return;
        };
        for byte in bytes {
            match byte {
                b'\n' if self.line_is_empty => *events += 1,
                b'\n' => self.line_is_empty = true,
                b'\r' => {}
                _ => self.line_is_empty = false,
            }
        }
    }
}
