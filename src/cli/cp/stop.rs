//! Being stopped in the middle of a copy, so that nothing half done stays.

use std::{io, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};

/// Whether somebody stops us, with Ctrl-C or otherwise.
#[derive(Debug, Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// From now on, a signal does not end us by itself.
    pub(super) fn listen() -> io::Result<Self> {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let (sender, receiver) = watch::channel(false);
        tokio::spawn(async move {
            // Both are cancel-safe: a signal stays noted until it is received.
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            sender.send_replace(true);
            // As long as somebody looks.
            sender.closed().await;
        });
        Ok(Self(receiver))
    }

    pub(super) fn is_stopped(&self) -> bool {
        *self.0.borrow()
    }

    /// Returns this long after somebody stopped us.
    pub(super) async fn long_ago(&self, long: Duration) {
        self.clone().stopped().await;
        sleep(long).await;
    }

    async fn stopped(&mut self) {
        if self.0.wait_for(|stopped| *stopped).await.is_err() {
            // Nobody listens any more.
            std::future::pending().await
        }
    }

    /// A stream that breaks off once somebody stops us: what reads it throws away what it
    /// has.
    pub(super) fn breaking<S, E>(
        &self,
        chunks: S,
    ) -> impl Stream<Item = io::Result<Bytes>> + use<S, E>
    where
        S: Stream<Item = Result<Bytes, E>>,
        E: std::fmt::Display,
    {
        let chunks = chunks.map(|chunk| chunk.map_err(|error| io::Error::other(error.to_string())));
        self.until(chunks, || Some(Err(io::Error::other("interrupted"))))
    }

    /// A stream that ends then, as if that were all.
    pub(super) fn ending<S: Stream>(&self, chunks: S) -> impl Stream<Item = S::Item> + use<S> {
        self.until(chunks, || None)
    }

    fn until<S: Stream>(
        &self,
        chunks: S,
        last: fn() -> Option<S::Item>,
    ) -> impl Stream<Item = S::Item> + use<S> {
        let state = Some((Box::pin(chunks), self.clone()));
        stream::unfold(state, move |state| async move {
            let (mut chunks, mut stop) = state?;
            // Both are cancel-safe: what was not taken stays in the stream.
            tokio::select! {
                biased;
                () = stop.stopped() => last().map(|last| (last, None)),
                chunk = chunks.next() => chunk.map(|chunk| (chunk, Some((chunks, stop)))),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks() -> impl Stream<Item = Result<Bytes, io::Error>> {
        stream::iter([Ok(Bytes::from_static(b"a"))]).chain(stream::pending())
    }

    #[tokio::test]
    async fn a_stream_breaks_off_or_ends_when_somebody_stops_us() {
        let (sender, receiver) = watch::channel(false);
        let stop = Stop(receiver);
        let mut breaking = Box::pin(stop.breaking(chunks()));
        let mut ending = Box::pin(stop.ending(chunks()));
        assert!(breaking.next().await.unwrap().is_ok());
        assert!(ending.next().await.unwrap().is_ok());
        sender.send_replace(true);
        assert!(stop.is_stopped());
        assert!(breaking.next().await.unwrap().is_err());
        assert!(breaking.next().await.is_none());
        assert!(ending.next().await.is_none());
    }
}
