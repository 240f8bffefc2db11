//! The streams of one process: what it writes, what it reads, its window.

use std::{collections::VecDeque, fmt, time::Duration};

use bytes::{Bytes, BytesMut};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::timeout,
};

use super::{
    Client, Demultiplexer, Error, Exec, Frame, FrameError,
    call::{Call, Raw},
    segment,
};

/// A window of a terminal, in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WindowSize {
    /// Its width.
    pub columns: u16,
    /// Its height.
    pub rows: u16,
}

/// The streams of one process. Dropping it disconnects, and leaves it running.
pub struct Session {
    /// What it writes.
    pub reader: SessionReader,
    /// What it reads.
    pub writer: SessionWriter,
    /// How its window is resized.
    pub resizer: Resizer,
    /// Whether it has a terminal.
    pub tty: bool,
    /// Whether it reads what is written.
    pub stdin: bool,
}

impl Session {
    /// Streams that are joined already, for a stand-in of an engine.
    pub fn new(
        reader: impl AsyncRead + Send + Unpin + 'static,
        writer: impl AsyncWrite + Send + Unpin + 'static,
        tty: bool,
    ) -> Self {
        let raw = Raw {
            reader: Box::new(reader),
            writer: Box::new(writer),
            early: Bytes::new(),
        };
        Self::of(raw, tty, true, None)
    }

    pub(super) fn of(raw: Raw, tty: bool, stdin: bool, window: Option<Window>) -> Self {
        let mut framing = if tty {
            Framing::Raw(BytesMut::new())
        } else {
            Framing::Multiplexed(Demultiplexer::default())
        };
        framing.buffer().extend_from_slice(&raw.early);
        Self {
            reader: SessionReader {
                stream: raw.reader,
                framing,
                held: VecDeque::new(),
            },
            writer: SessionWriter { stream: raw.writer },
            resizer: Resizer(window.filter(|_| tty)),
            tty,
            stdin,
        }
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Session")
            .field("tty", &self.tty)
            .finish_non_exhaustive()
    }
}

/// Tells a process the size of its window; one without a terminal is told nothing.
#[derive(Debug, Clone)]
pub struct Resizer(Option<Window>);

impl Resizer {
    /// Tells it.
    pub async fn resize(&self, size: WindowSize) -> Result<(), Error> {
        match &self.0 {
            Some(window) => window.resize(size).await,
            None => Ok(()),
        }
    }
}

enum Framing {
    Raw(BytesMut),
    Multiplexed(Demultiplexer),
}

impl Framing {
    fn buffer(&mut self) -> &mut BytesMut {
        match self {
            Self::Raw(buffer) => buffer,
            Self::Multiplexed(demultiplexer) => demultiplexer.buffer(),
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        match self {
            Self::Raw(buffer) if buffer.is_empty() => Ok(None),
            Self::Raw(buffer) => Ok(Some(Frame::Out(buffer.split().freeze()))),
            Self::Multiplexed(demultiplexer) => demultiplexer.next_frame(),
        }
    }

    fn finish(&self) -> Result<(), FrameError> {
        match self {
            Self::Raw(_) => Ok(()),
            Self::Multiplexed(demultiplexer) => demultiplexer.finish(),
        }
    }
}

/// What a process writes.
pub struct SessionReader {
    stream: Box<dyn AsyncRead + Send + Unpin>,
    framing: Framing,
    /// Read ahead while its start was looked at.
    held: VecDeque<Frame>,
}

/// What the first look at a stream found.
pub(super) enum Held {
    /// Output of the process.
    Output,
    /// Nothing, and there will be nothing.
    End,
    /// Something that begins as the engine's complaint does.
    Complaint,
}

/// 64 KiB: what the engine's own copy loops fill twice, and a pipe holds.
const READ: usize = 64 * 1024;

impl SessionReader {
    /// The next bytes; `None` once there will be no more. Cancel-safe.
    pub async fn next(&mut self) -> Result<Option<Frame>, Error> {
        match self.held.pop_front() {
            Some(frame) => Ok(Some(frame)),
            None => self.read_frame().await,
        }
    }

    async fn read_frame(&mut self) -> Result<Option<Frame>, Error> {
        loop {
            if let Some(frame) = self.framing.next_frame()? {
                return Ok(Some(frame));
            }
            let buffer = self.framing.buffer();
            buffer.reserve(READ);
            if self.stream.read_buf(buffer).await.map_err(Error::Lost)? == 0 {
                self.framing.finish()?;
                return Ok(None);
            }
        }
    }

    /// Reads the first frame without taking it out. Cancel-safe.
    pub(super) async fn hold(&mut self) -> Result<Held, Error> {
        if self.held.is_empty() {
            match self.read_frame().await? {
                Some(frame) => self.held.push_back(frame),
                None => return Ok(Held::End),
            }
        }
        Ok(if begins_as_complaint(&self.held_text()) {
            Held::Complaint
        } else {
            Held::Output
        })
    }

    /// Reads on to the end of a complaint; its text then, which stays to be
    /// read. `None` if it turns out to be output, or goes on.
    pub(super) async fn hold_complaint(&mut self) -> Result<Option<String>, Error> {
        loop {
            let text = self.held_text();
            if !begins_as_complaint(&text) || text.len() > LONGEST_COMPLAINT {
                return Ok(None);
            }
            match timeout(COMPLAINT_ENDS, self.read_frame()).await {
                Ok(Ok(Some(frame))) => self.held.push_back(frame),
                Ok(Ok(None)) => return Ok(Some(text)),
                Ok(Err(failure)) => return Err(failure),
                Err(_) => return Ok(None),
            }
        }
    }

    fn held_text(&self) -> String {
        let bytes: Vec<u8> = self
            .held
            .iter()
            .flat_map(|frame| frame.bytes().iter().copied())
            .collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// How the engine's complaint about a command begins.
const COMPLAINTS: [&str; 3] = ["OCI runtime", "crun:", "runc:"];

/// A complaint names a command, which may be long; no more is read ahead.
const LONGEST_COMPLAINT: usize = 16 * 1024;

/// The engine closes the stream right behind its complaint. A program whose
/// output begins with the letter of one, and then pauses, is not kept longer.
const COMPLAINT_ENDS: Duration = Duration::from_millis(500);

/// Whether it begins as a complaint does, as far as it goes.
fn begins_as_complaint(text: &str) -> bool {
    COMPLAINTS
        .iter()
        .any(|words| text.starts_with(words) || words.starts_with(text))
}

/// What a process reads.
///
/// Keep it until the output has ended: dropping it is [`SessionWriter::finish`],
/// and with a terminal the engine then ends the output, too (20.10).
pub struct SessionWriter {
    stream: Box<dyn AsyncWrite + Send + Unpin>,
}

impl SessionWriter {
    /// Writes all of it.
    pub async fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.stream.write_all(bytes).await.map_err(Error::Lost)?;
        self.stream.flush().await.map_err(Error::Lost)
    }

    /// Says that nothing more comes, while the other direction goes on.
    pub async fn finish(&mut self) -> Result<(), Error> {
        self.stream.shutdown().await.map_err(Error::Lost)
    }
}

/// What knows how to tell a process the size of its window.
#[derive(Debug, Clone)]
pub(super) struct Window {
    client: Client,
    path: String,
}

impl Window {
    pub(super) fn container(client: &Client, container: &str) -> Result<Self, Error> {
        Ok(Self {
            client: client.clone(),
            path: format!("/containers/{}/resize", segment(container)?),
        })
    }

    pub(super) fn exec(client: &Client, exec: &Exec) -> Result<Self, Error> {
        Ok(Self {
            client: client.clone(),
            path: format!("/exec/{}/resize", segment(&exec.id)?),
        })
    }

    pub(super) async fn resize(&self, size: WindowSize) -> Result<(), Error> {
        let path = format!("{}?h={}&w={}", self.path, size.rows, size.columns);
        Call::post("resize", &path)
            .within(15)
            .done(&self.client.target)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn first_look(tty: bool, bytes: &[u8]) -> (bool, Vec<u8>) {
        let (mut engine, ours) = tokio::io::duplex(64);
        let (reader, writer) = tokio::io::split(ours);
        let mut session = Session::new(reader, writer, tty);
        let bytes = bytes.to_vec();
        let writing = tokio::spawn(async move {
            for chunk in bytes.chunks(7) {
                engine.write_all(chunk).await.unwrap();
            }
        });
        let is_complaint = matches!(session.reader.hold().await.unwrap(), Held::Complaint);
        if is_complaint {
            session.reader.hold_complaint().await.unwrap();
        }
        let mut read = Vec::new();
        while let Some(frame) = session.reader.next().await.unwrap() {
            read.extend_from_slice(frame.bytes());
        }
        writing.await.unwrap();
        (is_complaint, read)
    }

    #[tokio::test]
    async fn looking_at_the_start_of_a_stream_takes_nothing_out_of_it() {
        let complaint = b"OCI runtime exec failed: exec: \"bash\": not found\r\n";
        assert_eq!(
            first_look(true, complaint).await,
            (true, complaint.to_vec())
        );
        assert_eq!(first_look(true, b"OCI").await, (true, b"OCI".to_vec()));
        assert_eq!(first_look(true, b"$ ").await, (false, b"$ ".to_vec()));
        let binary: Vec<u8> = (0..=255).cycle().take(100_000).collect();
        assert_eq!(first_look(true, &binary).await, (false, binary));
    }

    #[tokio::test]
    async fn a_terminals_stream_is_never_taken_apart() {
        let looks_framed = b"\x01\0\0\0\0\0\0\x03abc";
        assert_eq!(first_look(true, looks_framed).await.1, looks_framed);
        assert_eq!(first_look(false, looks_framed).await.1, b"abc");
    }
}
