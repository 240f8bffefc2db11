//! The bodies that pass: what they are made of, and what is watched about them.
//!
//! Nothing is collected here but what is refused if it is large. A body that
//! passes is handed on frame by frame, with a limit on how long it may be silent.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::{
    Request,
    body::{Body, Frame, Incoming, SizeHint},
    header::EXPECT,
};
use tokio::time::{Instant, Sleep};

use super::{
    capture::{Capture, Way},
    headers,
    log::Trace,
    pool::Lease,
};

/// Why a body ended before its end.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;

/// A body of any origin.
pub type BoxBody = UnsyncBoxBody<Bytes, BodyError>;

/// A body that was silent for too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("nothing came for {} s", .0.as_secs_f32())]
pub struct Silent(pub Duration);

/// Ends a wait that goes on too long without a sign of life.
///
/// Costs nothing while data flows: the clock is only asked once there is a wait.
#[derive(Debug)]
pub(super) struct Patience {
    limit: Option<Duration>,
    sleep: Option<Pin<Box<Sleep>>>,
    is_waiting: bool,
}

impl Patience {
    pub(super) fn of(limit: Option<Duration>) -> Self {
        Self {
            limit,
            sleep: None,
            is_waiting: false,
        }
    }

    pub(super) fn progressed(&mut self) {
        self.is_waiting = false;
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Silent> {
        let Some(limit) = self.limit else {
            return Poll::Pending;
        };
        let sleep = match &mut self.sleep {
            Some(sleep) => {
                if !self.is_waiting {
                    sleep.as_mut().reset(Instant::now() + limit);
                }
                sleep
            }
            None => self.sleep.insert(Box::pin(tokio::time::sleep(limit))),
        };
        self.is_waiting = true;
        ready!(sleep.as_mut().poll(cx));
        Poll::Ready(Silent(limit))
    }
}

/// What is known of a request's body while others read it.
#[derive(Debug, Default)]
pub(super) struct Progress {
    bytes: AtomicU64,
    ended: AtomicBool,
    broken: AtomicBool,
    silent: AtomicBool,
    answer: AtomicU8,
    answering: AtomicWaker,
}

/// How far the answer to a request is.
const AWAITED: u8 = 0;
const BEGUN: u8 = 1;
const OVER: u8 = 2;

impl Progress {
    /// The upstream gave its final answer.
    pub(super) fn answer_begins(&self) {
        self.answer.store(BEGUN, Ordering::Release);
    }
    /// Nobody waits for more of the answer.
    fn answer_is_over(&self) {
        self.answer.store(OVER, Ordering::Release);
        self.answering.wake();
    }
    pub(super) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
    /// It was read to its end.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
    /// The client cut it or framed it badly.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Relaxed)
    }
    /// The client stopped sending.
    pub(super) fn is_silent(&self) -> bool {
        self.silent.load(Ordering::Relaxed)
    }
}

/// How long an upstream may leave a client waiting that asked before it sends:
/// many know nothing of `Expect`, and wait for the body themselves.
const PERMISSION_WITHIN: Duration = Duration::from_secs(1);

/// An upstream's word that a body may be sent: `100 Continue`.
#[derive(Debug, Default)]
pub(super) struct Permission {
    is_given: AtomicBool,
    waiting: AtomicWaker,
}

impl Permission {
    pub(super) fn give(&self) {
        self.is_given.store(true, Ordering::Release);
        self.waiting.wake();
    }
}

/// A body that was never asked for, as the answer came without it.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("the answer came before the body was asked for")]
struct Unwanted;

#[derive(Debug)]
struct AwaitedPermission {
    permission: Arc<Permission>,
    patience: Patience,
}

impl AwaitedPermission {
    fn poll(&mut self, progress: &Progress, cx: &mut Context<'_>) -> Poll<Result<(), Unwanted>> {
        self.permission.waiting.register(cx.waker());
        progress.answering.register(cx.waker());
        // Answered without it: what the client sends now may be its next request.
        match progress.answer.load(Ordering::Acquire) {
            AWAITED => {}
            BEGUN => return Poll::Pending,
            _ => return Poll::Ready(Err(Unwanted)),
        }
        if self.permission.is_given.load(Ordering::Acquire) {
            return Poll::Ready(Ok(()));
        }
        self.patience.poll(cx).map(|_| Ok(()))
    }
}

/// A request's body on its way.
#[derive(Debug)]
pub(super) struct RequestBody {
    inner: Option<Incoming>,
    permission: Option<AwaitedPermission>,
    progress: Arc<Progress>,
    patience: Patience,
    capture: Capture,
}

impl RequestBody {
    pub(super) fn new(inner: Incoming, progress: Arc<Progress>, silence: Duration) -> Self {
        let inner = if inner.is_end_stream() {
            progress.ended.store(true, Ordering::Relaxed);
            None
        } else {
            Some(inner)
        };
        Self {
            inner,
            permission: None,
            progress,
            patience: Patience::of(Some(silence)),
            capture: Capture::default(),
        }
    }

    /// It is copied as it passes.
    pub(super) fn captured(mut self, capture: &Capture) -> Self {
        self.capture = capture.clone();
        self
    }

    /// Not a byte is asked of the client before the permission is given, or
    /// has been waited for long enough.
    pub(super) fn wait_for_permission(&mut self) -> Arc<Permission> {
        let permission = Arc::<Permission>::default();
        self.permission = Some(AwaitedPermission {
            permission: Arc::clone(&permission),
            patience: Patience::of(Some(PERMISSION_WITHIN)),
        });
        permission
    }

    /// For a request that is sent a second time: only ever one without a body.
    pub(super) fn empty(progress: Arc<Progress>) -> Self {
        progress.ended.store(true, Ordering::Relaxed);
        Self {
            inner: None,
            permission: None,
            progress,
            patience: Patience::of(None),
            capture: Capture::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner.is_none()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        if let Some(permission) = &mut this.permission {
            if let Err(unwanted) = ready!(permission.poll(&this.progress, cx)) {
                return Poll::Ready(Some(Err(unwanted.into())));
            }
            this.permission = None;
        }
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                this.patience.progressed();
                if let Some(trailers) = frame.trailers_mut() {
                    headers::strip_of_ours(trailers);
                    this.capture.trailed(Way::In, trailers);
                }
                if let Some(data) = frame.data_ref() {
                    let length = data.len() as u64;
                    this.progress.bytes.fetch_add(length, Ordering::Relaxed);
                    this.capture.passed(Way::In, data);
                }
                if this.inner.as_ref().is_some_and(Body::is_end_stream) {
                    this.progress.ended.store(true, Ordering::Relaxed);
                    this.capture.completed(Way::In);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.progress.broken.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(error.into())))
            }
            Poll::Ready(None) => {
                this.progress.ended.store(true, Ordering::Relaxed);
                this.capture.completed(Way::In);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let silent = ready!(this.patience.poll(cx));
                this.progress.silent.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(silent.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

/// Reads what a client still sends although it was answered already.
///
/// A socket closed with bytes unread is reset, and takes the answer with it
/// before the client has read it. Bounded: who sends more than this has its answer late.
pub(super) fn discard(request: Request<Incoming>) {
    const MOST: usize = 256 * 1024;
    const WITHIN: Duration = Duration::from_secs(2);
    // Who asks before it sends is answered instead of asked.
    if request.body().is_end_stream() || request.headers().contains_key(EXPECT) {
        return;
    }
    let read = async move {
        let mut left = MOST;
        let mut body = request.into_body();
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    tokio::spawn(tokio::time::timeout(WITHIN, read));
}

/// The body of a management call: bounded already, or a stream that may be long.
#[derive(Debug)]
pub struct ManagedBody(Managed);

#[derive(Debug)]
enum Managed {
    Whole(Full<Bytes>),
    Stream(RequestBody),
}

impl ManagedBody {
    /// A body that was read whole.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Managed::Whole(Full::new(bytes)))
    }

    pub(super) fn stream(body: RequestBody) -> Self {
        Self(Managed::Stream(body))
    }
}

impl Body for ManagedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.get_mut().0 {
            Managed::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Managed::Stream(body) => Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Managed::Whole(body) => body.is_end_stream(),
            Managed::Stream(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Managed::Whole(body) => body.size_hint(),
            Managed::Stream(body) => body.size_hint(),
        }
    }
}

/// A response's body on its way: counted, timed, and logged when it is done.
pub(super) struct ResponseBody {
    source: Source,
    patience: Patience,
    /// `None` where somebody else logs.
    trace: Option<Trace>,
    /// The connection it comes over, until it has all come.
    lease: Option<Lease>,
    /// What ends it if it does not end by itself.
    parting: Option<Parting>,
}

/// Is done when an endless answer has to end, with the reason.
pub(super) type Parting = Pin<Box<dyn Future<Output = &'static str> + Send>>;

enum Source {
    Upstream(Incoming),
    Whole(Full<Bytes>),
    Boxed(BoxBody),
}

impl ResponseBody {
    /// An answer of our own.
    ///
    /// It counts as sent: whether a client that got the head also took these
    /// few bytes is not seen from here (for HEAD, nobody even asks for them).
    pub(super) fn whole(bytes: Bytes, mut trace: Trace) -> Self {
        trace.ended();
        trace.capture().passed(Way::Out, &bytes);
        trace.capture().completed(Way::Out);
        Self {
            source: Source::Whole(Full::new(bytes)),
            patience: Patience::of(None),
            trace: Some(trace),
            lease: None,
            parting: None,
        }
    }

    /// Management's answer: events may be far apart.
    pub(super) fn boxed(body: BoxBody, mut trace: Trace) -> Self {
        if body.size_hint().exact().is_some() {
            trace.ended();
        }
        Self {
            source: Source::Boxed(body),
            patience: Patience::of(None),
            trace: Some(trace),
            lease: None,
            parting: None,
        }
    }

    /// An upstream's answer. `silence` is `None` for a stream of events.
    pub(super) fn upstream(
        body: Incoming,
        silence: Option<Duration>,
        lease: Lease,
        trace: Trace,
    ) -> Self {
        let mut this = Self {
            patience: Patience::of(silence),
            trace: Some(trace),
            lease: Some(lease),
            source: Source::Upstream(body),
            parting: None,
        };
        if this.is_end_stream() {
            this.finish();
        }
        this
    }

    /// No body, behind a head that somebody else logs.
    pub(super) fn nothing() -> Self {
        Self {
            source: Source::Whole(Full::default()),
            patience: Patience::of(None),
            trace: None,
            lease: None,
            parting: None,
        }
    }

    /// Ends it then, if it still comes.
    pub(super) fn end_at(&mut self, parting: Option<Parting>) {
        self.parting = parting;
    }

    fn cut(&mut self, why: &str) {
        if let Some(trace) = &mut self.trace {
            trace.cut(why);
        }
    }

    fn finish(&mut self) {
        let Some(trace) = &mut self.trace else { return };
        trace.ended();
        trace.capture().completed(Way::Out);
        // A connection that still takes the request's body is of no use to another.
        if trace.progress().has_ended()
            && let Some(lease) = self.lease.take()
        {
            lease.give_back();
        }
    }
}

impl Drop for ResponseBody {
    fn drop(&mut self) {
        if let Some(trace) = &self.trace {
            trace.progress().answer_is_over();
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Some(parting) = &mut this.parting
            && let Poll::Ready(why) = parting.as_mut().poll(cx)
        {
            // A whole answer, as far as HTTP goes: events never have a last one.
            this.cut(why);
            (this.parting, this.lease) = (None, None);
            this.source = Source::Whole(Full::default());
        }
        if let (Source::Upstream(_), Some(trace)) = (&this.source, &this.trace) {
            ready!(trace.connection().poll_takes(cx));
        }
        let polled = match &mut this.source {
            Source::Upstream(body) => Pin::new(body).poll_frame(cx).map_err(BodyError::from),
            Source::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map_err(|never| match never {}),
            Source::Boxed(body) => Pin::new(body).poll_frame(cx),
        };
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.patience.progressed();
                if let (Some(data), Some(trace)) = (frame.data_ref(), &mut this.trace) {
                    trace.passed_out(data.len() as u64);
                    trace.capture().passed(Way::Out, data);
                    trace.connection().handed_over(data.len());
                } else if let (Some(trailers), Some(trace)) = (frame.trailers_ref(), &this.trace) {
                    trace.capture().trailed(Way::Out, trailers);
                }
                if this.is_end_stream() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.cut(&error.to_string());
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => {
                this.finish();
                Poll::Ready(None)
            }
            Poll::Pending => {
                let silent = ready!(this.patience.poll(cx));
                this.cut(&silent.to_string());
                Poll::Ready(Some(Err(silent.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Upstream(body) => body.is_end_stream(),
            Source::Whole(body) => body.is_end_stream(),
            Source::Boxed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Upstream(body) => body.size_hint(),
            Source::Whole(body) => body.size_hint(),
            Source::Boxed(body) => body.size_hint(),
        }
    }
}
