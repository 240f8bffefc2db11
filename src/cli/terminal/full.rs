//! A whole screen, for what is drawn in place as long as somebody looks.
//!
//! It is the terminal's other screen: what stood before stands there again afterwards,
//! with the cursor and the mode that it had, whether we return, panic or are asked to
//! end by a signal.

use std::{
    io::{self, Write as _},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

use bytes::Bytes;
use tokio::signal::unix::{self, SignalKind};

use super::{End, Error, RawMode, Signals, StdinKind, stdin, stdin_kind, streams::Keyboard};

/// To the other screen; its cursor is not shown.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[2J";

/// And back.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// What happens while somebody looks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happened {
    /// Keys were pressed, Ctrl-C among them.
    Keys(Bytes),
    /// The window has another size, or was somebody else's meanwhile: draw again.
    Changed,
    /// A signal asks us to end.
    Ended(End),
}

/// The other screen, until this is dropped.
pub struct FullScreen {
    /// Dropped behind the screen: its terminal is then as it was.
    raw: Option<RawMode>,
    keyboard: Option<Keyboard>,
    signals: Signals,
    resized: unix::Signal,
    resumed: unix::Signal,
}

impl FullScreen {
    /// Takes the screen of standard output, and the keys of standard input if it is a
    /// terminal.
    pub fn open() -> Result<Self, Error> {
        // Handlers first: a signal must not find the terminal ours and nobody there.
        let signals = Signals::listen().map_err(Error::System)?;
        let resized = unix::signal(SignalKind::window_change()).map_err(Error::System)?;
        let resumed = super::resumed().map_err(Error::System)?;
        let raw = RawMode::stdin().map_err(Error::Terminal)?;
        let keyboard = match stdin_kind() {
            StdinKind::Terminal => Some(stdin()?),
            StdinKind::Stream | StdinKind::Nothing => None,
        };
        leave_on_panic();
        IS_SHOWN.store(true, Ordering::Relaxed);
        let screen = Self {
            raw,
            keyboard,
            signals,
            resized,
            resumed,
        };
        write(ENTER).map_err(Error::Output)?;
        Ok(screen)
    }

    /// Shows these lines and nothing else. None may be wider than the screen.
    pub fn draw(&self, lines: &[String]) -> Result<(), Error> {
        write(&frame(lines)).map_err(Error::Output)
    }

    /// What happens next. Cancel-safe.
    pub async fn next(&mut self) -> Happened {
        // All are cancel-safe: keys stay in their channel, and a signal stays noted.
        tokio::select! {
            keys = pressed(self.keyboard.as_mut()) => match keys {
                Some(keys) => Happened::Keys(keys),
                // The terminal was hung up.
                None => Happened::Ended(End::OutputClosed),
            },
            end = self.signals.end(self.raw.as_ref()) => Happened::Ended(end),
            _ = self.resized.recv() => Happened::Changed,
            _ = self.resumed.recv() => {
                let _ = write(ENTER);
                Happened::Changed
            }
        }
    }
}

impl Drop for FullScreen {
    fn drop(&mut self) {
        leave();
    }
}

async fn pressed(keyboard: Option<&mut Keyboard>) -> Option<Bytes> {
    match keyboard {
        Some(keyboard) => keyboard.next().await,
        None => std::future::pending().await,
    }
}

/// All of a screen in one piece, that terminals which can show at once: over what stands
/// there, and not after clearing it, or it would flicker.
fn frame(lines: &[String]) -> String {
    format!(
        "\x1b[?2026h\x1b[H{}\x1b[K\x1b[J\x1b[?2026l",
        lines.join("\x1b[K\r\n")
    )
}

fn write(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Whether the other screen is shown.
static IS_SHOWN: AtomicBool = AtomicBool::new(false);

fn leave() {
    if IS_SHOWN.swap(false, Ordering::Relaxed) {
        // A terminal that is gone needs it no more.
        let _ = write(LEAVE);
    }
}

/// The release profile aborts on a panic, so that no `drop` runs.
fn leave_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            leave();
            former(panic);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_covers_what_stood_there_and_clears_only_what_is_left() {
        let lines = ["a".to_owned(), "b".to_owned()];
        assert_eq!(
            frame(&lines),
            "\x1b[?2026h\x1b[Ha\x1b[K\r\nb\x1b[K\x1b[J\x1b[?2026l"
        );
    }
}
