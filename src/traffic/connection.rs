//! Knows every open connection: which is idle since when, and what its client
//! sends that hyper does not tell of.

use std::{
    collections::HashMap,
    future::Future as _,
    io,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::Notify,
    time::{Instant, Sleep},
};

use super::{LOOK_AGAIN, Limits, Shared, body::Patience, http2::PREFACE};

/// More than the browsers and programs of one person keep open.
const CROWD: usize = 128;

/// Every open connection, upgraded ones included.
#[derive(Debug, Default)]
pub(super) struct Registry(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    watches: HashMap<u64, Arc<ConnectionWatch>>,
}

/// One connection's place among all; free again when it is dropped.
pub(super) struct Place {
    number: u64,
    pub(super) watch: Arc<ConnectionWatch>,
    shared: Arc<Shared>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections.open().watches.remove(&self.number);
    }
}

impl Registry {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.open().watches.len()
    }

    /// Whether there are so many that what each costs counts more than what it gets.
    pub(super) fn is_a_crowd(&self) -> bool {
        self.count() > CROWD
    }

    /// A place for one more, if need be that of whoever was idle longest.
    pub(super) fn admit(shared: &Arc<Shared>) -> Option<Place> {
        let mut open = shared.connections.open();
        if open.watches.len() >= shared.limits.connections {
            let idlest = open
                .watches
                .iter()
                .filter_map(|(number, watch)| Some((watch.idle_since()?, *number)))
                .min()?;
            if let Some(watch) = open.watches.remove(&idlest.1) {
                watch.evicted.notify_one();
            }
        }
        let number = open.next;
        open.next += 1;
        let watch = Arc::new(ConnectionWatch::new());
        open.watches.insert(number, Arc::clone(&watch));
        Some(Place {
            number,
            watch,
            shared: Arc::clone(shared),
        })
    }
}

/// What is known of a connection beside what hyper tells.
#[derive(Debug)]
pub(super) struct ConnectionWatch {
    state: Mutex<WatchState>,
    /// Something large was handed over or is being written, and not taken yet.
    is_stuck: AtomicBool,
    /// Who has more for it.
    has_more: AtomicWaker,
    /// It carries many answers at once, and nobody looks for heads in its frames.
    is_http2: AtomicBool,
    /// It is one of ours, and repeats this exchange.
    replays: Option<u64>,
    pub(super) evicted: Notify,
}

#[derive(Debug)]
struct WatchState {
    /// Since when no request is under way.
    idle_since: Option<Instant>,
    /// How many are: several at once over HTTP/2.
    under_way: usize,
    /// A byte of the next head has come.
    head_begun: bool,
    /// A line that starts like `Content-Length` has come since the last request.
    saw_length: bool,
    /// The start of a line whose end has not come.
    line: Vec<u8>,
    /// Everything that came so far ends where a head ends.
    ends_a_head: bool,
    /// Some of the next head may have come before anyone looked for it.
    is_partly_unseen: bool,
}

const LENGTH: &[u8] = b"content-length";

/// Of an answer, what is worth not to have twice.
const LARGE: usize = 16 * 1024;

impl ConnectionWatch {
    fn new() -> Self {
        Self {
            state: Mutex::new(WatchState {
                idle_since: Some(Instant::now()),
                under_way: 0,
                // A new connection is there to send a head.
                head_begun: true,
                saw_length: false,
                line: Vec::new(),
                ends_a_head: false,
                is_partly_unseen: false,
            }),
            is_stuck: AtomicBool::new(false),
            has_more: AtomicWaker::new(),
            is_http2: AtomicBool::new(false),
            replays: None,
            evicted: Notify::new(),
        }
    }

    /// Of a connection of our own: what is sent over it repeats this exchange.
    pub(super) fn of_replay(number: u64) -> Self {
        Self {
            replays: Some(number),
            ..Self::new()
        }
    }

    /// The exchange that is repeated over it, if one is.
    pub(super) fn replays(&self) -> Option<u64> {
        self.replays
    }

    fn state(&self) -> MutexGuard<'_, WatchState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn request_begins(&self) {
        let mut state = self.state();
        state.under_way += 1;
        state.idle_since = None;
    }

    pub(super) fn request_ends(&self) {
        let mut state = self.state();
        state.under_way = state.under_way.saturating_sub(1);
        if state.under_way > 0 {
            return;
        }
        state.idle_since = Some(Instant::now());
        state.head_begun = false;
        state.saw_length = false;
        state.line.clear();
        state.is_partly_unseen = !state.ends_a_head;
    }

    /// Notes how much of an answer is about to be written.
    pub(super) fn handed_over(&self, length: usize) {
        // Over HTTP/2 each stream has a window of its own.
        if length >= LARGE && !self.is_http2.load(Ordering::Relaxed) {
            self.is_stuck.store(true, Ordering::Release);
        }
    }

    /// Is ready once the client has taken some of what it was given. Nobody reads ahead
    /// for one that does not: what it will take is with the upstream as safe as here.
    pub(super) fn poll_takes(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.is_stuck.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.has_more.register(cx.waker());
        match self.is_stuck.load(Ordering::Acquire) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.state().idle_since.is_some()
    }

    /// Returns once nothing has been under way for so long.
    pub(super) async fn idles(&self, within: Duration) {
        let begun = Instant::now();
        loop {
            let since = self
                .idle_since()
                .map_or_else(Instant::now, |since| since.max(begun));
            tokio::time::sleep_until(since + within).await;
            if self.idle_since().is_some_and(|now| now <= since) {
                return;
            }
        }
    }

    /// Returns once nothing has been under way for so long, nothing has begun, and
    /// all that was written has gone out.
    pub(super) async fn rests(&self, within: Duration) {
        let mut looks_at = Instant::now() + within;
        loop {
            tokio::time::sleep_until(looks_at).await;
            let now = Instant::now();
            looks_at = match self.resting_since() {
                Some(since) if since + within <= now => return,
                Some(since) => since + within,
                None => now + within.max(LOOK_AGAIN),
            };
        }
    }

    fn resting_since(&self) -> Option<Instant> {
        let state = self.state();
        let rests = !state.head_begun && !self.is_stuck.load(Ordering::Relaxed);
        state.idle_since.filter(|_| rests)
    }

    fn idle_since(&self) -> Option<Instant> {
        self.state().idle_since
    }

    /// Whether the head of the present request had, or could have had, a
    /// `Content-Length` beside its `Transfer-Encoding`. hyper drops the length
    /// and says nothing, but RFC 9112 section 6.3 wants the connection closed:
    /// whoever sent both may have smuggled something in behind.
    pub(super) fn may_have_two_lengths(&self) -> bool {
        let state = self.state();
        state.saw_length || state.is_partly_unseen || !state.head_begun
    }

    /// Looks at bytes as they come. Returns whether a head is being waited for.
    fn received(&self, bytes: &[u8]) -> bool {
        let mut state = self.state();
        if bytes.is_empty() {
            return state.idle_since.is_some() && state.head_begun;
        }
        if state.idle_since.is_none() {
            // A body, or the next request: nobody looks into it here.
            state.ends_a_head = false;
            return false;
        }
        state.head_begun = true;
        state.ends_a_head = bytes.ends_with(b"\n\r\n") || bytes.ends_with(b"\n\n");
        for (place, part) in bytes.split(|byte| *byte == b'\n').enumerate() {
            if place > 0 {
                state.line.clear();
            }
            let room = LENGTH.len() - state.line.len();
            let part = &part[..part.len().min(room)];
            state.line.extend_from_slice(part);
            state.saw_length |= state.line.eq_ignore_ascii_case(LENGTH);
        }
        true
    }
}

/// A client's socket that is watched: for heads that never end, for clients
/// that never take their answer, and for what hyper does not tell of heads.
pub(super) struct ClientIo {
    stream: TcpStream,
    place: Place,
    head_within: Duration,
    /// What was read already, and is given again.
    begun: Bytes,
    deadline: Option<Pin<Box<Sleep>>>,
    /// With a client that takes nothing of what is written to it.
    taking: Patience,
}

impl ClientIo {
    pub(super) fn new(stream: TcpStream, place: Place, limits: &Limits) -> Self {
        Self {
            stream,
            place,
            head_within: limits.head,
            begun: Bytes::new(),
            deadline: None,
            taking: Patience::of(Some(limits.body_silence)),
        }
    }
}

impl ClientIo {
    /// Whether the client speaks HTTP/2, as its first bytes say.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        let (mut begun, mut length) = ([0; PREFACE.len()], 0);
        while length < PREFACE.len() && PREFACE.starts_with(&begun[..length]) {
            match self.read(&mut begun[length..]).await? {
                0 => break,
                read => length += read,
            }
        }
        self.begun = Bytes::copy_from_slice(&begun[..length]);
        self.deadline = None;
        let is_http2 = begun == PREFACE;
        self.place.watch.is_http2.store(is_http2, Ordering::Relaxed);
        Ok(is_http2)
    }

    /// Takes back what was read, to give it to the next who reads.
    pub(super) fn give_again(&mut self, read: Bytes) {
        // Not even an empty part of a buffer is kept: it would keep the whole.
        if !read.is_empty() {
            self.begun = read;
        }
    }

    /// Returns once there is something to read. Reads nothing.
    pub(super) async fn next_byte(&self) -> io::Result<()> {
        match self.begun.is_empty() {
            true => self.stream.readable().await,
            false => Ok(()),
        }
    }

    /// Gives what was read before; false if that was nothing.
    fn give_begun(&mut self, buffer: &mut ReadBuf<'_>) -> bool {
        let length = self.begun.len().min(buffer.remaining());
        buffer.put_slice(&self.begun.split_to(length));
        length > 0
    }

    fn unless_stuck(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let watch = &self.place.watch;
        let is_stuck = written.is_pending() && !watch.is_http2.load(Ordering::Relaxed);
        if watch.is_stuck.swap(is_stuck, Ordering::AcqRel) && !is_stuck {
            watch.has_more.wake();
        }
        if written.is_pending() {
            return self
                .taking
                .poll(cx)
                .map(|silent| Err(io::Error::new(io::ErrorKind::TimedOut, silent)));
        }
        self.taking.progressed();
        written
    }
}

impl AsyncRead for ClientIo {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        // With what follows, if that is there: half a head is looked at in vain.
        let given = this.give_begun(buffer);
        let before = buffer.filled().len();
        let polled = match Pin::new(&mut this.stream).poll_read(cx, buffer) {
            _ if given => Poll::Ready(Ok(())),
            polled => polled,
        };
        if this.place.watch.is_http2.load(Ordering::Relaxed) {
            return polled;
        }
        let awaits_head = this.place.watch.received(&buffer.filled()[before..]);
        if !awaits_head {
            this.deadline = None;
            return polled;
        }
        if polled.is_ready() {
            return polled;
        }
        let within = this.head_within;
        let deadline = this
            .deadline
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(within)));
        match deadline.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncWrite for ClientIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.unless_stuck(cx, written)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.unless_stuck(cx, written)
    }
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    const WITHIN: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_connection_rests_once_all_is_answered_and_taken_and_nothing_begun() {
        let watch = ConnectionWatch::new();
        let rests = async || {
            let rests = watch.rests(WITHIN);
            tokio::time::timeout(WITHIN * 3, rests).await.is_ok()
        };
        assert!(!rests().await, "it is there to send a head");
        watch.received(b"GET / HTTP/1.1\r\n\r\n");
        watch.request_begins();
        assert!(!rests().await, "a request is under way");
        watch.request_ends();
        assert!(watch.rests(WITHIN).now_or_never().is_none(), "too soon");
        watch.is_stuck.store(true, Ordering::Relaxed);
        assert!(!rests().await, "its answer is not taken");
        watch.is_stuck.store(false, Ordering::Relaxed);
        assert!(rests().await);
        watch.received(b"GET");
        assert!(!rests().await, "the next head has begun");
    }
}
