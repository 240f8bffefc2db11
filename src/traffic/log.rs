//! Writes one line of JSON for each request, once it is over.
//!
//! A line is made by a serializer and is plain ASCII: nothing that a client
//! sends can break a line or a terminal. Writing never holds up traffic: where
//! the writer is slower than the requests, lines are dropped and counted.

use std::{
    fmt::Write as _,
    io::{self, Write},
    net::IpAddr,
    ops::Deref,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use hyper::{HeaderMap, Method, StatusCode, Uri, Version};
use serde::{Serialize, Serializer, ser::SerializeMap as _};
use tokio::{sync::oneshot, time::Instant};

use super::{
    Shared,
    body::Progress,
    capture::{self, Capture, Inspector},
    connection::ConnectionWatch,
    guard::Caller,
    metrics::{Metrics, Passed},
    redact,
    routes::Target,
};

/// Many times what comes while lines are gathered; a few megabytes at most.
const MOST_WAITING: usize = 8192;

/// For so long after a first line others are waited for. Waking the writer for
/// each costs more than the request it tells of, and no person reads this fast.
const GATHERED_FOR: Duration = Duration::from_millis(10);

/// Where lines go.
#[derive(Debug, Clone)]
pub(super) struct Log {
    lines: SyncSender<Line>,
    dropped: Arc<AtomicU64>,
}

#[derive(Debug)]
enum Line {
    Record(Box<Record>),
    Flush(oneshot::Sender<()>),
}

/// One request, as it is logged.
#[derive(Debug)]
pub(super) struct Record {
    time: SystemTime,
    id: String,
    peer: IpAddr,
    method: Option<Method>,
    host: String,
    /// Written without the secrets in it.
    asked: Option<Uri>,
    /// 499 where the client left before there was an answer.
    status: u16,
    caller: Option<&'static str>,
    /// Why it was refused.
    code: Option<&'static str>,
    target: Option<Arc<Target>>,
    /// Which of the target's upstreams was reached last.
    reached: Option<usize>,
    bytes_in: u64,
    bytes_out: u64,
    connect_ms: Option<f64>,
    first_byte_ms: Option<f64>,
    total_ms: f64,
    /// Why the answer ended before its end.
    cut: Option<String>,
}

/// A record with its time in words.
struct Written<'a> {
    record: &'a Record,
    time: &'a str,
}

impl Deref for Written<'_> {
    type Target = Record;

    fn deref(&self) -> &Record {
        self.record
    }
}

impl Serialize for Written<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let target = self.target.as_deref();
        let upstream = self
            .reached
            .and_then(|place| target?.upstreams().get(place));
        let mut line = serializer.serialize_map(None)?;
        line.serialize_entry("time", self.time)?;
        line.serialize_entry("id", &self.id)?;
        line.serialize_entry("peer", &self.peer)?;
        line.serialize_entry("method", self.method.as_ref().map_or("", Method::as_str))?;
        line.serialize_entry("host", &self.host)?;
        let path = self.asked.as_ref().map(redact::logged);
        line.serialize_entry("path", path.as_deref().unwrap_or_default())?;
        line.serialize_entry("status", &self.status)?;
        for (key, value) in [
            ("caller", self.caller),
            ("code", self.code),
            // The route's own address.
            ("route", target.map(|target| target.url.as_str())),
            (
                "workspace",
                target.and_then(|target| target.workspace.as_deref()),
            ),
            (
                "service",
                target.and_then(|target| target.service.as_deref()),
            ),
            ("container", upstream.map(|upstream| upstream.name.as_str())),
            (
                "generation",
                upstream.and_then(|upstream| upstream.generation.as_deref()),
            ),
        ] {
            if let Some(value) = value {
                line.serialize_entry(key, value)?;
            }
        }
        line.serialize_entry("bytes_in", &self.bytes_in)?;
        line.serialize_entry("bytes_out", &self.bytes_out)?;
        for (key, value) in [
            ("connect_ms", self.connect_ms),
            ("first_byte_ms", self.first_byte_ms),
            ("total_ms", Some(self.total_ms)),
        ] {
            if let Some(value) = value {
                line.serialize_entry(key, &value)?;
            }
        }
        if let Some(cut) = &self.cut {
            line.serialize_entry("cut", cut)?;
        }
        line.end()
    }
}

impl Log {
    /// Starts the writer, on a thread of its own: it may block.
    pub(super) fn to(writer: Box<dyn Write + Send>) -> Self {
        let (lines, waiting) = sync_channel(MOST_WAITING);
        // Without a thread every line is dropped, and counted.
        let _ = std::thread::Builder::new()
            .name("access-log".to_owned())
            .spawn(move || write_all(&waiting, writer));
        Self {
            lines,
            dropped: Arc::default(),
        }
    }

    fn write(&self, record: Box<Record>) {
        if self.lines.try_send(Line::Record(record)).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Bytes that were no request: hyper answered them by itself.
    pub(super) fn malformed(&self, peer: IpAddr, status: u16) {
        self.write(Box::new(Record {
            status,
            code: Some("malformed"),
            ..Record::of(peer)
        }));
    }

    /// How many lines were not written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Waits until everything logged so far is written.
    pub(super) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let mut line = Line::Flush(done);
        // Bounded: a writer that hangs must not keep the process from ending.
        for _ in 0..100 {
            line = match self.lines.try_send(line) {
                Ok(()) => {
                    let _ = tokio::time::timeout(Duration::from_secs(1), written).await;
                    return;
                }
                Err(TrySendError::Full(line)) => line,
                Err(TrySendError::Disconnected(_)) => return,
            };
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Record {
    fn of(peer: IpAddr) -> Self {
        Self {
            time: SystemTime::now(),
            id: String::new(),
            peer,
            method: None,
            host: String::new(),
            asked: None,
            status: 499,
            caller: None,
            code: None,
            target: None,
            reached: None,
            bytes_in: 0,
            bytes_out: 0,
            connect_ms: None,
            first_byte_ms: None,
            total_ms: 0.0,
            cut: None,
        }
    }
}

fn write_all(waiting: &Receiver<Line>, writer: Box<dyn Write + Send>) {
    let mut writer = io::BufWriter::with_capacity(64 * 1024, writer);
    let mut clock = Clock::default();
    while let Ok(first) = waiting.recv() {
        // Nobody is told of lines that come meanwhile; all go out together.
        std::thread::sleep(GATHERED_FOR);
        let mut next = Some(first);
        while let Some(line) = next {
            match line {
                // A line that cannot be written has nowhere to be complained about.
                Line::Record(record) => drop(write_line(&mut writer, &record, &mut clock)),
                Line::Flush(done) => {
                    let _ = writer.flush();
                    let _ = done.send(());
                }
            }
            next = waiting.try_recv().ok();
        }
        let _ = writer.flush();
    }
}

fn write_line(writer: &mut impl Write, record: &Record, clock: &mut Clock) -> io::Result<()> {
    let time = clock.told(record.time);
    let mut serializer = serde_json::Serializer::with_formatter(&mut *writer, AsciiFormatter);
    Written { record, time }.serialize(&mut serializer)?;
    writer.write_all(b"\n")
}

/// JSON in which everything but printable ASCII is escaped: a control or
/// direction character does nothing to the terminal it is shown on.
struct AsciiFormatter;

impl serde_json::ser::Formatter for AsciiFormatter {
    fn write_string_fragment<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        let is_plain = |character: char| (' '..='~').contains(&character);
        // All of them, without a stop at the first that is not: many at once.
        let plain = |so_far, byte| so_far & (b' '..=b'~').contains(&byte);
        if fragment.bytes().fold(true, plain) {
            return writer.write_all(fragment.as_bytes());
        }
        for character in fragment.chars() {
            if is_plain(character) {
                write!(writer, "{character}")?;
                continue;
            }
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
        }
        Ok(())
    }
}

/// One request under way. Logged when it is dropped: after the last byte, or
/// when the client is gone.
pub(super) struct Trace {
    record: Option<Box<Record>>,
    started: Instant,
    progress: Arc<Progress>,
    connection: Arc<ConnectionWatch>,
    log: Log,
    metrics: Arc<Metrics>,
    capture: Capture,
    has_ended: bool,
}

/// What [`Trace::begin`] needs of a request.
pub(super) struct Begin<'a> {
    pub(super) id: String,
    pub(super) peer: IpAddr,
    pub(super) method: &'a Method,
    pub(super) host: String,
    pub(super) target: &'a Uri,
    pub(super) connection: Arc<ConnectionWatch>,
    pub(super) shared: &'a Shared,
}

impl Trace {
    pub(super) fn begin(begin: Begin<'_>) -> Self {
        begin.connection.request_begins();
        Self {
            record: Some(Box::new(Record {
                id: begin.id,
                method: Some(begin.method.clone()),
                host: begin.host,
                asked: Some(begin.target.clone()),
                ..Record::of(begin.peer)
            })),
            started: Instant::now(),
            progress: Arc::default(),
            connection: begin.connection,
            log: begin.shared.log.clone(),
            metrics: Arc::clone(&begin.shared.metrics),
            capture: Capture::default(),
            has_ended: false,
        }
    }

    fn set(&mut self, change: impl FnOnce(&mut Record)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    /// The request's id.
    pub(super) fn id(&self) -> &str {
        self.record.as_ref().map_or("", |record| &record.id)
    }

    /// Whom the answer goes to.
    pub(super) fn connection(&self) -> &ConnectionWatch {
        &self.connection
    }

    /// Copies it from here on, for the inspector.
    pub(super) fn capture_by(
        &mut self,
        inspector: &Inspector,
        headers: &HeaderMap,
        version: Version,
    ) {
        let Some(record) = &self.record else { return };
        let (Some(method), Some(target)) = (&record.method, &record.asked) else {
            return;
        };
        self.capture = inspector.begin(&capture::Request {
            started: self.started,
            id: &record.id,
            peer: record.peer,
            method,
            host: &record.host,
            target,
            version,
            headers,
            route: record.target.as_ref(),
            replay_of: self.connection.replays(),
        });
    }

    /// The inspector's copy.
    pub(super) fn capture(&self) -> &Capture {
        &self.capture
    }

    /// What is known of the request's body.
    pub(super) fn progress(&self) -> &Arc<Progress> {
        &self.progress
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        let after = millis(self.started.elapsed());
        self.set(|record| {
            record.status = status.as_u16();
            record.first_byte_ms.get_or_insert(after);
        });
    }

    pub(super) fn refused(&mut self, code: &'static str) {
        self.set(|record| record.code = Some(code));
    }

    pub(super) fn managed(&mut self, caller: Caller) {
        self.set(|record| record.caller = Some(caller.as_str()));
    }

    pub(super) fn routed(&mut self, target: &Arc<Target>) {
        self.capture.routed(target);
        self.set(|record| record.target = Some(Arc::clone(target)));
    }

    /// It was sent to this one of its target's upstreams.
    pub(super) fn reached(&mut self, place: usize, connected_in: Option<Duration>) {
        self.capture.reached(place, connected_in);
        self.set(|record| {
            record.reached = Some(place);
            record.connect_ms = connected_in.map(millis).or(record.connect_ms);
        });
    }

    pub(super) fn passed_out(&mut self, bytes: u64) {
        self.set(|record| record.bytes_out += bytes);
    }

    pub(super) fn passed_in(&mut self, bytes: u64) {
        self.set(|record| record.bytes_in += bytes);
    }

    pub(super) fn cut(&mut self, why: &str) {
        self.has_ended = true;
        self.set(|record| record.cut = Some(why.to_owned()));
    }

    /// The answer was sent to its end.
    pub(super) fn ended(&mut self) {
        self.has_ended = true;
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        self.connection.request_ends();
        let Some(mut record) = self.record.take() else {
            return;
        };
        let took = self.started.elapsed();
        record.bytes_in += self.progress.bytes();
        record.total_ms = millis(took);
        if !self.has_ended && record.status != 499 {
            record.cut = Some("the client left".to_owned());
        }
        self.capture.ended(|| capture::End {
            status: record.status,
            code: record.code,
            cut: record.cut.clone(),
            bytes_in: record.bytes_in,
            bytes_out: record.bytes_out,
            took,
        });
        self.metrics.count(&Passed {
            target: record.target.as_ref(),
            status: record.status,
            took,
            received: record.bytes_in,
            sent: record.bytes_out,
        });
        self.log.write(record);
    }
}

/// In milliseconds, to the microsecond.
#[expect(
    clippy::cast_precision_loss,
    reason = "years of microseconds are exact"
)]
pub(super) fn millis(duration: Duration) -> f64 {
    duration.as_micros() as f64 / 1000.0
}

/// A time in milliseconds since 1970, in words.
pub(super) fn rfc_3339(millis: u64) -> String {
    let mut clock = Clock::default();
    clock
        .told(UNIX_EPOCH + Duration::from_millis(millis))
        .to_owned()
}

/// Tells times in words, and remembers the last second: many lines are of one.
#[derive(Default)]
struct Clock {
    second: u64,
    /// `2026-01-31T12:00:00.123Z`, RFC 3339.
    text: String,
}

impl Clock {
    fn told(&mut self, time: SystemTime) -> &str {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        if self.text.is_empty() || self.second != since.as_secs() {
            self.second = since.as_secs();
            self.text = second_in_words(self.second);
        }
        // What comes after the second.
        self.text.truncate("2026-01-31T12:00:00".len());
        let _ = write!(self.text, ".{:03}Z", since.subsec_millis());
        &self.text
    }
}

/// `2026-01-31T12:00:00`, of a second since 1970.
fn second_in_words(second: u64) -> String {
    let (days, second) = (second / 86_400, second % 86_400);
    // Days to a date, in the calendar that begins on the first of March of the
    // year 0 and so has its leap day last (H. Hinnant, "chrono-compatible
    // low-level date algorithms").
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}",
        second / 3600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_rfc_3339() {
        let mut clock = Clock::default();
        let mut at = |seconds, millis| {
            let since = Duration::from_secs(seconds) + Duration::from_millis(millis);
            clock.told(UNIX_EPOCH + since).to_owned()
        };
        assert_eq!(at(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(951_782_400, 70), "2000-02-29T00:00:00.070Z");
        assert_eq!(at(1_767_225_599, 999), "2025-12-31T23:59:59.999Z");
        assert_eq!(at(4_102_444_800, 0), "2100-01-01T00:00:00.000Z");
    }

    #[test]
    fn a_line_is_one_line_of_plain_ascii_whatever_is_in_it() {
        let mut line = Vec::new();
        let nasty = "a\nb\u{1b}[2J\u{202e}\u{7f}\u{85}\u{2028}\"\\ü😀";
        write_line(
            &mut line,
            &Record {
                host: nasty.to_owned(),
                ..Record::of(IpAddr::from([127, 0, 0, 1]))
            },
            &mut Clock::default(),
        )
        .unwrap();
        let line = String::from_utf8(line).unwrap();
        let body = line.strip_suffix('\n').unwrap();
        assert!(
            body.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
        let read: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(read["host"], nasty);
    }
}
