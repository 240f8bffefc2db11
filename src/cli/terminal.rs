//! Joins a process in a container to the terminal, or to pipes.
//!
//! [`interact`] is for a person: keys go to the process one by one, its window
//! follows ours, and Ctrl-P Ctrl-Q leaves it running. [`follow`] is for a script:
//! output to output, errors to errors, input only if somebody sends it.
//!
//! Both return when the process has ended and all of its output is shown, or when
//! a person or a signal says so; the terminal is then as it was. They ask nothing
//! of the engine but window sizes: the exit code is the caller's to fetch.
//!
//! From the first call on, SIGINT, SIGTERM, SIGHUP and SIGQUIT no longer end this
//! process by themselves, as the runtime keeps its handlers. A caller that goes on
//! to something long listens to them itself.

mod full;
mod keys;
mod raw;
mod streams;

use std::{convert::Infallible, future::pending, io, os::fd::AsFd, time::Duration};

use rustix::process::Signal;
use tokio::{
    signal::unix::{self, SignalKind},
    time::{sleep, timeout},
};

pub use self::{
    full::{FullScreen, Happened},
    keys::{DetachKeys, NoKey},
    raw::{RawMode, StdinKind, is_interactive, stdin_kind, window_size},
};
use self::{
    keys::KeyMatcher,
    streams::{Keyboard, Screen},
};
use crate::docker::attach::{self, Resizer, Session, SessionReader, SessionWriter};

/// How it came to an end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The process closed its streams: it has ended, or soon will have.
    Closed,
    /// The detach keys were typed. The process goes on.
    Detached,
    /// An interrupt stopped us. The process goes on.
    Interrupted,
    /// Another signal asks us to end. The process goes on.
    Terminated(i32),
    /// Nobody reads our output any more. The process goes on.
    OutputClosed,
}

impl End {
    /// The exit code that this end itself demands, as a shell counts signals.
    /// Without one, the process' own decides.
    pub fn exit_code(self) -> Option<i32> {
        match self {
            Self::Closed | Self::Detached | Self::OutputClosed => None,
            Self::Interrupted => Some(128 + Signal::INT.as_raw()),
            Self::Terminated(signal) => Some(128 + signal),
        }
    }
}

/// Why joining failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The other side failed.
    #[error(transparent)]
    Attach(#[from] attach::Error),
    /// The terminal cannot be made raw.
    #[error("cannot take over the terminal: {0}")]
    Terminal(#[source] io::Error),
    /// Output cannot be written.
    #[error("cannot write the output: {0}")]
    Output(#[source] io::Error),
    /// A thread, a pipe or a signal handler was refused.
    #[error("cannot relay input and output: {0}")]
    System(#[source] io::Error),
}

/// Joins a process that has a terminal to ours.
///
/// Works without a terminal of ours, too: input is then sent as it comes, and its
/// end is typed as Ctrl-D.
pub async fn interact(session: Session, detach_keys: &DetachKeys) -> Result<End, Error> {
    // Handlers first: a signal must not find the terminal raw and nobody there.
    let signals = Signals::listen().map_err(Error::System)?;
    let raw = RawMode::stdin().map_err(Error::Terminal)?;
    let keyboard = match stdin_kind() {
        StdinKind::Terminal | StdinKind::Stream if session.stdin => Some(stdin()?),
        _ => None,
    };
    let keys = KeyMatcher::new(detach_keys);
    let input = Input::Typed { keyboard, keys };
    relay(session, input, signals, raw.as_ref()).await
}

/// Shows what a process writes until it ends.
///
/// What is sent to our input is relayed, and so is its end. A terminal is not
/// read: without [`interact`] it cannot be told from one that nobody looks at.
pub async fn follow(session: Session) -> Result<End, Error> {
    let signals = Signals::listen().map_err(Error::System)?;
    let input = match (session.stdin, stdin_kind()) {
        (false, _) => Input::None,
        (true, StdinKind::Stream) => Input::Sent(stdin()?),
        (true, StdinKind::Terminal | StdinKind::Nothing) => Input::Empty,
    };
    relay(session, input, signals, None).await
}

fn stdin() -> Result<Keyboard, Error> {
    let file = rustix::stdio::stdin()
        .try_clone_to_owned()
        .map_err(Error::System)?;
    Keyboard::open(file).map_err(Error::System)
}

fn screen() -> io::Result<Screen> {
    // What was printed before must stand before.
    io::Write::flush(&mut io::stdout())?;
    let out = rustix::stdio::stdout().as_fd().try_clone_to_owned()?;
    let err = rustix::stdio::stderr().as_fd().try_clone_to_owned()?;
    Screen::open(out, err)
}

/// Once we leave on our own account, output that nobody takes is not waited for.
const LINGER: Duration = Duration::from_millis(200);

async fn relay(
    session: Session,
    input: Input,
    mut signals: Signals,
    raw: Option<&RawMode>,
) -> Result<End, Error> {
    let mut screen = screen().map_err(Error::System)?;
    let Session {
        mut reader,
        mut writer,
        resizer,
        ..
    } = session;
    // None is cancelled to be continued: the first to end, ends all.
    let end = tokio::select! {
        end = show_output(&mut reader, &mut screen) => end,
        () = input.send(&mut writer) => Ok(End::Detached),
        end = signals.end(raw) => Ok(end),
        never = keep_size(&resizer) => match never.map_err(Error::System)? {},
    };
    // What has arrived is shown before the caller says something of its own.
    let _ = timeout(LINGER, screen.drain()).await;
    end
}

async fn show_output(reader: &mut SessionReader, screen: &mut Screen) -> Result<End, Error> {
    let shown = loop {
        // Both are cancel-safe: a frame is read whole or stays in the reader.
        let frame = tokio::select! {
            frame = reader.next() => frame?,
            shown = screen.failure() => break shown,
        };
        let Some(frame) = frame else {
            break match screen.drain().await {
                Ok(()) => return Ok(End::Closed),
                failure => failure,
            };
        };
        if let Err(failure) = screen.show(frame).await {
            break Err(failure);
        }
    };
    match shown {
        Err(failure) if failure.kind() != io::ErrorKind::BrokenPipe => Err(Error::Output(failure)),
        _ => Ok(End::OutputClosed),
    }
}

/// Where the process' input comes from.
enum Input {
    /// It has none, or it stays open with nothing in it.
    None,
    /// It ends at once.
    Empty,
    /// Whatever is sent, byte by byte.
    Sent(Keyboard),
    /// A person, who may detach.
    Typed {
        keyboard: Option<Keyboard>,
        keys: KeyMatcher,
    },
}

/// Ctrl-D: how a terminal is told that its input has ended. Half-closing would
/// make the engine close the output with it.
const END_OF_TRANSMISSION: &[u8] = &[4];

impl Input {
    /// Sends all of it, and returns only if the detach keys are typed.
    ///
    /// A process that no longer reads is no failure: its output goes on, and the
    /// end of that is what ends us. The writer stays open for the same reason.
    async fn send(self, writer: &mut SessionWriter) {
        match self {
            Self::None => {}
            Self::Empty => drop(writer.finish().await),
            Self::Sent(mut keyboard) => {
                while let Some(bytes) = keyboard.next().await {
                    if writer.write_all(&bytes).await.is_err() {
                        return pending().await;
                    }
                }
                let _ = writer.finish().await;
            }
            Self::Typed { keyboard: None, .. } => {}
            Self::Typed {
                keyboard: Some(mut keyboard),
                mut keys,
            } => {
                while let Some(bytes) = keyboard.next().await {
                    let typed = keys.feed(&bytes);
                    let written = writer.write_all(&typed.passed).await;
                    if typed.is_detached {
                        return;
                    }
                    if written.is_err() {
                        return pending().await;
                    }
                }
                let last = [keys.finish(), END_OF_TRANSMISSION].concat();
                let _ = writer.write_all(&last).await;
            }
        }
        pending().await
    }
}

/// What may ask us to end, or to take the terminal again.
struct Signals {
    interrupt: unix::Signal,
    terminate: unix::Signal,
    quit: unix::Signal,
    /// None if it is ignored, so that `nohup` works. An ignored interrupt is
    /// heard all the same: a script's background job ignores it by default, and
    /// whoever sends it one by hand means it.
    hangup: Option<unix::Signal>,
    resume: unix::Signal,
}

impl Signals {
    fn listen() -> io::Result<Self> {
        let hangup = SignalKind::hangup();
        Ok(Self {
            interrupt: unix::signal(SignalKind::interrupt())?,
            terminate: unix::signal(SignalKind::terminate())?,
            quit: unix::signal(SignalKind::quit())?,
            hangup: match raw::is_ignored(hangup.as_raw_value()) {
                true => None,
                false => Some(unix::signal(hangup)?),
            },
            resume: resumed()?,
        })
    }

    async fn end(&mut self, raw: Option<&RawMode>) -> End {
        loop {
            // All are cancel-safe: a signal stays noted until it is received.
            tokio::select! {
                Some(()) = self.interrupt.recv() => return End::Interrupted,
                Some(()) = self.terminate.recv() => return End::Terminated(Signal::TERM.as_raw()),
                Some(()) = self.quit.recv() => return End::Terminated(Signal::QUIT.as_raw()),
                () = heard(self.hangup.as_mut()) => return End::Terminated(Signal::HUP.as_raw()),
                // A shell that stopped and resumed us has set its own mode.
                Some(()) = self.resume.recv() => {
                    let _ = raw.map(RawMode::again);
                }
            }
        }
    }
}

fn resumed() -> io::Result<unix::Signal> {
    unix::signal(SignalKind::from_raw(Signal::CONT.as_raw()))
}

async fn heard(signal: Option<&mut unix::Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => pending().await,
    }
}

/// Tells the process our window's size, now and whenever it changes.
async fn keep_size(resizer: &Resizer) -> io::Result<Infallible> {
    let mut changed = unix::signal(SignalKind::window_change())?;
    let mut resumed = resumed()?;
    loop {
        tell_size(resizer).await;
        // Both are cancel-safe: a signal stays noted until it is received.
        tokio::select! {
            _ = changed.recv() => {}
            _ = resumed.recv() => {}
        }
    }
}

/// A process that was just started may have no terminal yet as the engine sees
/// it, so it is told again, a little later each time, for 0.6 s.
async fn tell_size(resizer: &Resizer) {
    for attempt in 0..7 {
        let Some(size) = window_size() else { return };
        if resizer.resize(size).await.is_ok() {
            return;
        }
        sleep(Duration::from_millis(5 << attempt)).await;
    }
}
