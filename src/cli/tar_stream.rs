//! Tars on their way: made while they are sent.
//!
//! What makes one is ordinary blocking code on a thread of its own; a few
//! chunks between it and the socket keep both busy, and memory the same however long
//! the tar is.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::{Stream, stream};
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

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn what_breaks_off_does_not_look_whole() {
        let (chunks, writing) = send(|writer| {
            writer.write_all(b"half")?;
            Err::<(), _>(io::Error::other("gone"))
        });
        let chunks: Vec<_> = chunks.collect().await;
        assert!(chunks.last().unwrap().is_err());
        writing.await.unwrap().unwrap_err();
    }
}
