//! Tars on their way: made while they are sent, taken apart while they arrive.
//!
//! What makes or reads one is ordinary blocking code on a thread of its own; a few
//! chunks between it and the socket keep both busy, and memory the same however long
//! the tar is.

use std::io::{self, Read, Write};

use bytes::{Buf as _, Bytes};
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{sync::mpsc, task::JoinHandle};

/// Chunks under way. Enough to keep the disk and the socket both busy; more would only
/// be memory.
const UNDER_WAY: usize = 8;

/// The size of a chunk, and so of a write to the socket.
const CHUNK: usize = 64 << 10;

/// What a tar is written to.
pub(super) type Writer = io::BufWriter<Chunks>;

/// Starts to send what `write` writes; the chunks, and how the writing ends.
pub(super) fn send<T: Send + 'static>(
    write: impl FnOnce(&mut Writer) -> io::Result<T> + Send + 'static,
) -> (
    impl Stream<Item = io::Result<Bytes>> + Send,
    JoinHandle<io::Result<T>>,
) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let writing = tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::with_capacity(CHUNK, Chunks(sender.clone()));
        let written = write(&mut writer).and_then(|done| writer.flush().map(|()| done));
        if written.is_err() {
            // The body must break off, and not end, or half of it is taken for all. If
            // nobody reads any more, the failure is known there.
            let _ = sender.blocking_send(Err(io::Error::other("it broke off")));
        }
        written
    });
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    (chunks, writing)
}

/// A writer whose writes are sent.
pub(super) struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Starts to read chunks as `read` takes them; how the reading ends. Dropped, what it
/// gives ends the reading, too.
pub(super) async fn receive<T: Send + 'static, E: std::fmt::Display>(
    chunks: impl Stream<Item = Result<Bytes, E>>,
    read: impl FnOnce(Received) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let reading = tokio::task::spawn_blocking(move || {
        read(Received {
            receiver,
            at: Bytes::new(),
        })
    });
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| io::Error::other(error.to_string()));
        // Who reads no more has what it wanted, or says itself why not.
        if sender.send(chunk).await.is_err() {
            break;
        }
    }
    drop(sender);
    match reading.await {
        Ok(read) => read,
        Err(died) => Err(io::Error::other(died)),
    }
}

/// A reader of what arrives.
pub(super) struct Received {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    at: Bytes,
}

impl Read for Received {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.at = chunk?,
                None => return Ok(0),
            }
        }
        let length = self.at.len().min(buffer.len());
        self.at.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_written_at_one_end_is_read_at_the_other() {
        let whole: Vec<u8> = (0..=255).cycle().take(3 * CHUNK + 7).collect();
        let written = whole.clone();
        let (chunks, writing) = send(move |writer| writer.write_all(&written));
        let read = receive(chunks, |mut received| {
            let mut read = Vec::new();
            received.read_to_end(&mut read).map(|_| read)
        });
        assert_eq!(read.await.unwrap(), whole);
        writing.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn what_breaks_off_does_not_look_whole() {
        let (chunks, writing) = send(|writer| {
            writer.write_all(b"half")?;
            Err::<(), _>(io::Error::other("gone"))
        });
        let read = receive(chunks, |mut received| {
            io::copy(&mut received, &mut io::sink())
        });
        read.await.unwrap_err();
        writing.await.unwrap().unwrap_err();
    }
}
