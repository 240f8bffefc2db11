//! Standard input and output, each on a thread of its own.
//!
//! A blocked read or write must hold up neither the other direction nor the end
//! of the program, as those of the runtime's own pool would. And neither file
//! may be made non-blocking: the mode belongs to the terminal's open file, which
//! is shared with the shell that started us.

use std::{io, os::fd::OwnedFd, thread};

use bytes::Bytes;
use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use tokio::sync::{mpsc, oneshot};

use crate::docker::attach::Frame;

/// What a pipe holds by default.
const CHUNK: usize = 64 * 1024;

/// A few, so that reading and sending overlap; more would only fill memory.
const WAITING: usize = 4;

/// What arrives at standard input.
pub(super) struct Keyboard {
    chunks: mpsc::Receiver<Bytes>,
    /// Closed when this is dropped. That wakes the thread, so that it does not
    /// take a key which is meant for what comes after us.
    _wake: io::PipeWriter,
}

impl Keyboard {
    pub(super) fn open(file: OwnedFd) -> io::Result<Self> {
        let (woken, wake) = io::pipe()?;
        let (sender, chunks) = mpsc::channel(WAITING);
        thread::Builder::new()
            .name("stdin".to_owned())
            .spawn(move || read_until_woken(&file, &woken, &sender))?;
        Ok(Self {
            chunks,
            _wake: wake,
        })
    }

    /// What came next; `None` at the end. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Bytes> {
        self.chunks.recv().await
    }
}

fn read_until_woken(file: &OwnedFd, woken: &io::PipeReader, chunks: &mpsc::Sender<Bytes>) {
    let mut buffer = vec![0; CHUNK];
    loop {
        let mut ready = [
            PollFd::new(woken, PollFlags::IN),
            PollFd::new(file, PollFlags::IN),
        ];
        match poll(&mut ready, None) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
        let [woken, readable] = ready.map(|file| !file.revents().is_empty());
        if woken {
            return;
        }
        if !readable {
            continue;
        }
        match rustix::io::read(file, &mut buffer) {
            Ok(length @ 1..) => {
                let Some(bytes) = buffer.get(..length) else {
                    return;
                };
                if chunks.blocking_send(Bytes::copy_from_slice(bytes)).is_err() {
                    return;
                }
            }
            // Non-blocking already, by somebody else's doing.
            Err(Errno::INTR | Errno::AGAIN) => {}
            // A terminal that was hung up says EIO: an end like any other.
            Ok(0) | Err(_) => return,
        }
    }
}

/// Standard output and standard error, in the order things were written.
pub(super) struct Screen {
    frames: Option<mpsc::Sender<Frame>>,
    end: oneshot::Receiver<io::Result<()>>,
}

impl Screen {
    pub(super) fn open(out: OwnedFd, err: OwnedFd) -> io::Result<Self> {
        let (frames, receiver) = mpsc::channel(WAITING);
        let (ended, end) = oneshot::channel();
        thread::Builder::new()
            .name("stdout".to_owned())
            .spawn(move || ended.send(write_until_closed(&out, &err, receiver)))?;
        Ok(Self {
            frames: Some(frames),
            end,
        })
    }

    /// Shows some bytes, as soon as those before are.
    pub(super) async fn show(&mut self, frame: Frame) -> io::Result<()> {
        let is_gone = match &self.frames {
            Some(frames) => frames.send(frame).await.is_err(),
            None => true,
        };
        if is_gone {
            self.failure().await
        } else {
            Ok(())
        }
    }

    /// Returns when nothing can be shown any more, and why. Cancel-safe.
    pub(super) async fn failure(&mut self) -> io::Result<()> {
        if self.end.is_terminated() {
            return Ok(());
        }
        (&mut self.end).await.unwrap_or(Ok(()))
    }

    /// Waits until everything is shown.
    pub(super) async fn drain(&mut self) -> io::Result<()> {
        self.frames = None;
        self.failure().await
    }
}

fn write_until_closed(
    out: &OwnedFd,
    err: &OwnedFd,
    mut frames: mpsc::Receiver<Frame>,
) -> io::Result<()> {
    while let Some(frame) = frames.blocking_recv() {
        match frame {
            Frame::Out(bytes) => write_all(out, &bytes)?,
            // Nobody who reads the output should lose it because nobody reads
            // the errors.
            Frame::Err(bytes) => drop(write_all(err, &bytes)),
        }
    }
    Ok(())
}

fn write_all(file: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(file, bytes) {
            Ok(length) => bytes = bytes.get(length..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            // Non-blocking already, by somebody else's doing.
            Err(Errno::AGAIN) => match poll(&mut [PollFd::new(file, PollFlags::OUT)], None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(cause) => return Err(cause.into()),
            },
            Err(cause) => return Err(cause.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[tokio::test]
    async fn a_key_typed_after_the_end_is_left_for_what_comes_next() {
        let (mut read, mut write) = io::pipe().unwrap();
        let mut keyboard = Keyboard::open(read.try_clone().unwrap().into()).unwrap();
        write.write_all(b"first").unwrap();
        assert_eq!(keyboard.next().await.as_deref(), Some(&b"first"[..]));

        let closed = keyboard.chunks;
        drop(keyboard._wake);
        // The thread's end shows in its channel.
        let mut closed = closed;
        assert_eq!(closed.recv().await, None);
        write.write_all(b"second").unwrap();
        drop(write);
        let mut left = String::new();
        read.read_to_string(&mut left).unwrap();
        assert_eq!(left, "second");
    }

    #[tokio::test]
    async fn the_end_of_input_is_told_after_its_bytes() {
        let (read, mut write) = io::pipe().unwrap();
        let mut keyboard = Keyboard::open(read.into()).unwrap();
        write.write_all(b"all").unwrap();
        drop(write);
        assert_eq!(keyboard.next().await.as_deref(), Some(&b"all"[..]));
        assert_eq!(keyboard.next().await, None);
    }

    #[tokio::test]
    async fn everything_is_shown_before_the_end() {
        let (mut out, out_write) = io::pipe().unwrap();
        let (mut err, err_write) = io::pipe().unwrap();
        let mut screen = Screen::open(out_write.into(), err_write.into()).unwrap();
        let reading = thread::spawn(move || {
            let mut shown = Vec::new();
            out.read_to_end(&mut shown).unwrap();
            shown
        });
        let chunk = Bytes::from(vec![7; 100_000]);
        for _ in 0..10 {
            screen.show(Frame::Out(chunk.clone())).await.unwrap();
        }
        screen
            .show(Frame::Err(Bytes::from_static(b"oh")))
            .await
            .unwrap();
        screen.drain().await.unwrap();
        assert_eq!(reading.join().unwrap().len(), 1_000_000);
        let mut shown = String::new();
        err.read_to_string(&mut shown).unwrap();
        assert_eq!(shown, "oh");
    }

    #[tokio::test]
    async fn a_reader_that_left_is_noticed() {
        let (out, out_write) = io::pipe().unwrap();
        let (_err, err_write) = io::pipe().unwrap();
        let mut screen = Screen::open(out_write.into(), err_write.into()).unwrap();
        drop(out);
        screen
            .show(Frame::Out(Bytes::from_static(b"x")))
            .await
            .unwrap();
        let failure = screen.failure().await.unwrap_err();
        assert_eq!(failure.kind(), io::ErrorKind::BrokenPipe);
    }
}
