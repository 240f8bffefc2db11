//! Goes on with the lines of containers, across their restarts and replacements, and
//! across one of the proxy.
//!
//! Whatever a stream of lines ends with, it is opened again where it ended once its
//! container runs again, and that of a new container from its beginning: `/live` says
//! when. Every line has its time, so none is lost and none is shown twice.

use std::{collections::HashMap, future::Future, io, pin::Pin, process::ExitCode};

use futures_util::{
    FutureExt as _, StreamExt as _,
    stream::{self, BoxStream, SelectAll},
};

use super::{
    line::{Line, Lines},
    show::{Shown, Writer},
    source::{Part, Source, Wanted, open},
};
use crate::{
    api::{
        client::{Client, ClientError},
        wire::LiveLine,
    },
    cli::{
        bootstrap,
        error::{Failure, INTERRUPTED},
        ui::sayln,
    },
    reconcile::engine::{LogChunk, LogTime},
};

/// How far the lines of a container were shown: the newest time, and how many have it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    time: LogTime,
    count: usize,
}

impl Seen {
    pub(super) fn note(&mut self, time: LogTime) {
        if time == self.time {
            self.count += 1;
        } else {
            *self = Self { time, count: 1 };
        }
    }

    /// Where to go on, if anything was seen.
    fn since(self) -> Option<LogTime> {
        (self.count > 0).then_some(self.time)
    }
}

/// A container whose lines are shown as they come.
struct Watched {
    writer: Writer,
    lines: Lines,
    seen: Seen,
    /// What was shown last: an engine that reads a log and follows it may send a line twice.
    last: Option<Line>,
    /// Of a stream that was opened again: what is still to be seen that was shown already.
    again: Option<Seen>,
    is_open: bool,
    /// The run that was read last.
    restarts: u32,
    was_running: bool,
}

impl Watched {
    /// Whether this line was shown before its stream was opened again.
    fn was_shown(&mut self, line: &Line) -> bool {
        if self.last.as_ref() == Some(line) {
            return true;
        }
        let Some(again) = &mut self.again else {
            return false;
        };
        if line.time < again.time {
            return true;
        }
        if line.time == again.time && again.count > 0 {
            again.count -= 1;
            return true;
        }
        self.again = None;
        false
    }
}

type Chunks = BoxStream<'static, (String, Option<Result<LogChunk, ClientError>>)>;

/// Everything that is followed.
pub(super) struct Following<'a> {
    client: &'a Client,
    wanted: Vec<Wanted>,
    shown: Shown,
    watched: HashMap<String, Watched>,
    open: SelectAll<Chunks>,
    /// Where containers begin of which nothing was shown.
    since: Option<LogTime>,
    /// What there was when it was last told.
    sources: Vec<Source>,
    /// Whether it was told at all. The first time, it may be what was seen before a
    /// container was made that is there by now.
    was_told: bool,
}

/// Why it is over.
enum Over {
    /// Nobody reads, or there is nothing left to read.
    Done,
    /// The proxy is away.
    Lost,
}

impl<'a> Following<'a> {
    /// Goes on from where each of these was seen.
    pub(super) fn new(
        client: &'a Client,
        wanted: Vec<Wanted>,
        mut shown: Shown,
        begun: &[(Source, Seen)],
        since: Option<LogTime>,
    ) -> Self {
        let watched = begun.iter().map(|(source, seen)| {
            let watched = Watched {
                writer: shown.writer(&source.container, source.service.as_deref()),
                lines: Lines::default(),
                seen: *seen,
                last: None,
                again: None,
                is_open: false,
                restarts: source.restarts,
                was_running: source.is_running,
            };
            (source.id.clone(), watched)
        });
        let watched = watched.collect();
        Self {
            client,
            wanted,
            shown,
            watched,
            open: SelectAll::new(),
            since,
            sources: begun.iter().map(|(source, _)| source.clone()).collect(),
            was_told: false,
        }
    }

    /// Until nothing is left that could write, or it is interrupted.
    pub(super) async fn run(
        mut self,
        mut stop: Pin<&mut impl Future<Output = io::Result<()>>>,
    ) -> Result<ExitCode, Failure> {
        loop {
            let over = tokio::select! {
                over = self.until_lost() => over?,
                // Whatever is waited for just now.
                _ = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
            };
            match over {
                Over::Done => return Ok(ExitCode::SUCCESS),
                Over::Lost => {}
            }
            sayln!("the proxy is away; these lines go on when it is back");
            self.open.clear();
            for watched in self.watched.values_mut() {
                watched.is_open = false;
                // Whatever it says now is news.
                watched.was_running = true;
                // What was begun comes again, whole.
                watched.lines = Lines::default();
            }
            tokio::select! {
                () = bootstrap::answers_again(self.client) => {}
                // Cancel-safe: nothing was taken.
                _ = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
            }
        }
    }

    async fn until_lost(&mut self) -> Result<Over, Failure> {
        let live = self.client.lines::<LiveLine>("/live?usage=false").await?;
        tokio::pin!(live);
        loop {
            let next = self.open.next().now_or_never().flatten();
            if next.is_none() && self.shown.flush().is_err() {
                return Ok(Over::Done);
            }
            let next = match next {
                Some(next) => Some(next),
                // All are cancel-safe: what is not taken stays in its stream.
                None => tokio::select! {
                    Some(next) = self.open.next() => Some(next),
                    line = live.next() => match line {
                        Some(Ok(LiveLine::State { workspaces, adhoc })) => {
                            let wanted = self.wanted.iter();
                            let sources: Vec<_> = wanted.flat_map(|wanted| wanted.sources(&workspaces, &adhoc)).collect();
                            if std::mem::replace(&mut self.was_told, true) || !sources.is_empty() {
                                self.sources = sources;
                            }
                            self.look().await?;
                            None
                        }
                        Some(Ok(_)) => None,
                        Some(Err(ClientError::Unreachable { .. })) | None => return Ok(Over::Lost),
                        Some(Err(error)) => return Err(error.into()),
                    },
                },
            };
            let is_read = match next {
                Some((id, chunk)) => self.take(&id, chunk).is_ok(),
                None => true,
            };
            if !is_read || self.is_over() {
                return Ok(Over::Done);
            }
        }
    }

    /// Whether nobody is left who could write: a service that was taken out or down has
    /// no container any more, and a container of no service does not come back by itself.
    fn is_over(&self) -> bool {
        let may_write = |source: &Source| source.is_running || source.service.is_some();
        self.open.is_empty() && !self.sources.iter().any(may_write)
    }

    /// Opens what is not open and has something to say.
    async fn look(&mut self) -> Result<(), Failure> {
        for source in self.sources.clone() {
            let is_known = self.watched.contains_key(&source.id);
            let writer = self
                .shown
                .writer(&source.container, source.service.as_deref());
            let watched = self.watched.entry(source.id.clone());
            let watched = watched.or_insert_with(|| Watched {
                writer,
                lines: Lines::default(),
                seen: Seen::default(),
                last: None,
                again: None,
                is_open: false,
                restarts: 0,
                was_running: true,
            });
            // One that ended says nothing more, but what it said since it was read last.
            let has_run = watched.was_running || watched.restarts != source.restarts;
            if watched.is_open || !(source.is_running || has_run || !is_known) {
                continue;
            }
            watched.restarts = source.restarts;
            watched.was_running = source.is_running;
            let part = Part {
                follow: true,
                timestamps: true,
                since: watched.seen.since().or(self.since),
                ..Part::default()
            };
            match open(self.client, &source.id, part).await {
                Ok(chunks) => {
                    watched.is_open = true;
                    watched.again = watched.seen.since().map(|_| watched.seen);
                    let id = source.id;
                    let end = stream::once(async { None });
                    let chunks = chunks.map(Some).chain(end);
                    self.open
                        .push(chunks.map(move |chunk| (id.clone(), chunk)).boxed());
                }
                // It is gone again, or the proxy is: `/live` tells.
                Err(ClientError::Refused { .. } | ClientError::Unreachable { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Shows what a container said. The error is that nobody reads it.
    fn take(&mut self, id: &str, chunk: Option<Result<LogChunk, ClientError>>) -> io::Result<()> {
        let Some(watched) = self.watched.get_mut(id) else {
            return Ok(());
        };
        let mut told = Vec::new();
        match chunk {
            Some(Ok(chunk)) => watched.lines.take(&chunk, |line| told.push(line)),
            // Of a stream that broke, the end comes again with the next one.
            Some(Err(_)) => watched.lines = Lines::default(),
            None => {
                watched.lines.end(|line| told.push(line));
                watched.is_open = false;
            }
        }
        for line in told {
            if !watched.was_shown(&line) {
                watched.seen.note(line.time);
                self.shown.show(&watched.writer, &line)?;
                watched.last = Some(line);
            }
        }
        Ok(())
    }
}
