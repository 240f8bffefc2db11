//! Makes exchanges of what was copied, on a thread of its own.
//!
//! It gathers for a moment before it looks, so that most requests are looked at once:
//! when they are over. One that lasts is looked at again while it passes, the less often
//! the longer that takes.

use std::{
    collections::HashMap,
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};

use hyper::{HeaderMap, StatusCode, Version, header::HOST};

use super::{
    Kept, Live, Passing,
    content::{self, Passed},
};
use crate::traffic::{
    exchange::{Exchange, Message, State, Summary, since_epoch},
    exchanges::Exchanges,
    log::millis,
    redact::{Redacted, Redactor},
    routes::Target,
};

/// For so long others are waited for after a first. Nobody sees it; ten thousand
/// requests a second would each wake a thread.
const GATHERED_FOR: Duration = Duration::from_millis(30);

/// After work it rests this many times as long: a fifth of a core is what it may take of
/// what the traffic needs. What it has no time for is counted as dropped.
const REST: u32 = 4;

/// So long it works at most before it rests.
const SHIFT: Duration = Duration::from_millis(25);

/// So many wait for it at most; more stay in the queue, which has an end.
const MOST_OPEN_DUE: usize = 1024;

/// One request may take this part of the recorder's time: a twentieth.
const SHARE: u32 = 20;

/// But it is not kept waiting longer than this.
const LONGEST_WAIT: Duration = Duration::from_secs(2);

/// Makes exchanges.
pub(super) struct Recorder {
    exchanges: Arc<Exchanges>,
    redactor: Redactor,
    /// How often it could not be told of something.
    missed: Arc<AtomicU64>,
    known_missed: u64,
    open: HashMap<u64, Open>,
}

/// A request that is not over.
struct Open {
    live: Arc<Live>,
    /// There is something new about it.
    is_due: bool,
    /// It is not looked at before.
    rests_until: Instant,
}

impl Recorder {
    pub(super) fn new(
        exchanges: Arc<Exchanges>,
        redactor: Redactor,
        missed: Arc<AtomicU64>,
    ) -> Self {
        Self {
            exchanges,
            redactor,
            missed,
            known_missed: 0,
            open: HashMap::new(),
        }
    }

    /// Works until nobody can tell it anything any more.
    pub(super) fn run(mut self, told: &Receiver<Arc<Live>>) {
        let mut worked = Duration::ZERO;
        loop {
            std::thread::sleep(worked * REST);
            let first = match self.next_due() {
                None => told.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => told.recv_timeout(due.saturating_duration_since(Instant::now())),
            };
            match first {
                Ok(live) => {
                    std::thread::sleep(GATHERED_FOR);
                    self.hear(live);
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            let mut heard = self.open.values().filter(|open| open.is_due).count();
            while heard < MOST_OPEN_DUE
                && let Ok(live) = told.try_recv()
            {
                self.hear(live);
                heard += 1;
            }
            self.look_at_what_was_missed();
            let begun = Instant::now();
            self.look(begun);
            worked = begun.elapsed();
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let due = self.open.values().filter(|open| open.is_due);
        due.map(|open| open.rests_until).min()
    }

    fn hear(&mut self, live: Arc<Live>) {
        // What changes from here on is told of again.
        live.is_told.store(false, Ordering::Release);
        let open = self.open.entry(live.number).or_insert_with(|| Open {
            live,
            is_due: true,
            rests_until: Instant::now(),
        });
        open.is_due = true;
    }

    /// The end of a request may be what could not be told.
    fn look_at_what_was_missed(&mut self) {
        let missed = self.missed.load(Ordering::Relaxed);
        if mem::replace(&mut self.known_missed, missed) != missed {
            for open in self.open.values_mut() {
                open.is_due = true;
            }
        }
    }

    /// Looks at what is due, the oldest first, until its shift is over.
    fn look(&mut self, begun: Instant) {
        let mut due: Vec<u64> = self
            .open
            .iter()
            .filter(|(_, open)| open.is_due && open.rests_until <= begun)
            .map(|(number, _)| *number)
            .collect();
        due.sort_unstable();
        for number in due {
            if begun.elapsed() > SHIFT {
                return;
            }
            let Some(open) = self.open.get_mut(&number) else {
                continue;
            };
            let looked = Instant::now();
            let exchange = exchange(&open.live, &self.redactor);
            open.is_due = false;
            let now = Instant::now();
            let rest = (now - looked) * SHARE;
            open.rests_until = now + rest.min(LONGEST_WAIT);
            if exchange.summary.state == State::Done {
                self.open.remove(&number);
            }
            self.exchanges.put(exchange);
        }
    }
}

/// What is kept of a request at this moment.
fn exchange(live: &Live, redactor: &Redactor) -> Exchange {
    let Now {
        route,
        asked,
        answer,
        answered,
        end,
        reached,
        connected_in,
        messages,
        frames,
    } = now(live, redactor);
    let redactor = (!live.is_unredacted).then_some(redactor);

    let route = route.as_deref();
    let upstream = reached.and_then(|place| route?.upstreams().get(place));
    let path = match redactor {
        Some(redactor) => redactor.target(&live.target).text,
        None => live
            .target
            .path_and_query()
            .map_or_else(|| "/".to_owned(), ToString::to_string),
    };
    let summary = Summary {
        number: live.number,
        seq: 0,
        id: live.id.clone(),
        at: since_epoch(live.at),
        state: if end.is_some() {
            State::Done
        } else {
            State::Open
        },
        method: live.method.to_string(),
        host: live.host.clone(),
        path,
        version: version(live.version).to_owned(),
        status: match (&answered, &end) {
            (Some((status, ..)), _) => Some(status.as_u16()),
            (None, end) => end.as_ref().map(|end| end.status),
        },
        code: end.as_ref().and_then(|end| end.code).map(str::to_owned),
        cut: end.as_ref().and_then(|end| end.cut.clone()),
        route: route.map(|route| route.url.clone()),
        workspace: route.and_then(|route| route.workspace.clone()),
        service: route.and_then(|route| route.service.clone()),
        container: upstream.map(|upstream| upstream.name.clone()),
        generation: upstream.and_then(|upstream| upstream.generation.clone()),
        peer: live.peer.to_canonical().to_string(),
        replay_of: live.replay_of,
        connect_ms: connected_in.map(millis),
        first_byte_ms: answered.as_ref().map(|(_, _, after)| millis(*after)),
        total_ms: end.as_ref().map(|end| millis(end.took)),
        bytes_in: end.as_ref().map_or(asked.length, |end| end.bytes_in),
        bytes_out: end.as_ref().map_or(answer.length, |end| end.bytes_out),
        media_type: answered
            .as_ref()
            .and_then(|(_, headers, _)| content::media_type(headers)),
        events: answer.events,
        messages,
        unredacted: live.is_unredacted,
    };
    let mut request = message(&live.headers, &asked, redactor);
    if live.version == Version::HTTP_2 && !live.headers.contains_key(HOST) {
        // HTTP/2 has it elsewhere; whoever repeats the request needs it here.
        request
            .headers
            .insert(0, ("host".to_owned(), live.host.clone()));
    }
    Exchange {
        summary,
        request,
        response: answered.map(|(_, headers, _)| message(&headers, &answer, redactor)),
        frames,
    }
}

/// A copy of what changes, so that the request is not held up by what is made of it.
struct Now {
    route: Option<Arc<Target>>,
    asked: Kept,
    answer: Kept,
    answered: Option<(StatusCode, HeaderMap, Duration)>,
    end: Option<super::End>,
    reached: Option<usize>,
    connected_in: Option<Duration>,
    messages: Option<crate::traffic::exchange::Messages>,
    frames: Vec<crate::traffic::exchange::Frame>,
}

fn now(live: &Live, redactor: &Redactor) -> Now {
    let mut passing = live.passing();
    let Passing {
        route,
        reached,
        connected_in,
        asked,
        answered,
        answer,
        heard,
        end,
    } = &mut *passing;
    let is_over = end.is_some();
    // What is over is not needed a second time.
    let take = |kept: &mut Kept| match is_over {
        true => mem::take(kept),
        false => kept.clone(),
    };
    let (asked, answer) = (take(asked), take(answer));
    let answered = answered
        .as_ref()
        .map(|answered| (answered.status, answered.headers.clone(), answered.after));
    let (route, end) = (route.clone(), end.clone());
    let (reached, connected_in) = (*reached, *connected_in);
    let (messages, heard) = (heard.counted(), heard.newest());
    drop(passing);
    if is_over {
        live.let_go(asked.bytes.len() + answer.bytes.len());
    }
    let redactor = (!live.is_unredacted).then_some(redactor);
    Now {
        route,
        asked,
        answer,
        answered,
        end,
        reached,
        connected_in,
        messages,
        frames: heard
            .iter()
            .map(|message| message.frame(redactor))
            .collect(),
    }
}

fn message(headers: &HeaderMap, kept: &Kept, redactor: Option<&Redactor>) -> Message {
    let mut redacted = 0;
    let mut pairs = |headers: &HeaderMap| {
        let pair = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
            let value = match redactor {
                Some(redactor) => redactor.header(name, value),
                None => Redacted {
                    text: String::from_utf8_lossy(value.as_bytes()).into_owned(),
                    count: 0,
                },
            };
            redacted += value.count;
            (name.to_string(), value.text)
        };
        headers.iter().map(pair).collect::<Vec<_>>()
    };
    let (said, trailers) = (pairs(headers), pairs(&kept.trailers));
    let passed = Passed {
        kept: &kept.bytes,
        bytes: kept.length,
        complete: kept.complete,
        headers,
    };
    Message {
        headers: said,
        trailers,
        body: content::body(passed, redactor),
        redacted,
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
