//! The terminal's mode, its size, and what standard input is.

use std::{
    fs, io,
    os::fd::{AsFd, OwnedFd},
    panic,
    sync::{Arc, Mutex, Once, PoisonError},
};

use rustix::{
    fs::{FileType, fstat},
    termios::{OptionalActions, Termios, isatty, tcgetattr, tcgetwinsize, tcsetattr},
};

use crate::docker::attach::WindowSize;

/// What standard input is, which decides whether it is read at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdinKind {
    /// Somebody types.
    Terminal,
    /// A pipe, a file or a socket: somebody sends.
    Stream,
    /// `/dev/null`, another device, or nothing: nobody is there.
    Nothing,
}

/// What the standard input of this process is.
pub fn stdin_kind() -> StdinKind {
    kind_of(rustix::stdio::stdin())
}

fn kind_of(file: impl AsFd) -> StdinKind {
    if isatty(&file) {
        return StdinKind::Terminal;
    }
    match fstat(&file).map(|found| FileType::from_raw_mode(found.st_mode)) {
        Ok(FileType::Fifo | FileType::RegularFile | FileType::Socket) => StdinKind::Stream,
        _ => StdinKind::Nothing,
    }
}

/// Whether somebody sits before this process: types to it and sees what it prints.
pub fn is_interactive() -> bool {
    stdin_kind() == StdinKind::Terminal && isatty(rustix::stdio::stdout())
}

/// The size of the window, `None` off a terminal and where it does not tell.
pub fn window_size() -> Option<WindowSize> {
    let size = tcgetwinsize(rustix::stdio::stdout())
        .or_else(|_| tcgetwinsize(rustix::stdio::stdin()))
        .ok()?;
    (size.ws_col > 0 && size.ws_row > 0).then_some(WindowSize {
        columns: size.ws_col,
        rows: size.ws_row,
    })
}

/// A terminal whose keys arrive one by one and unread, until this is dropped.
///
/// It is given back in its former mode on drop, and on a panic, also where a
/// panic aborts. On a signal, whoever holds this must return: see
/// [`super::interact`].
#[derive(Debug)]
pub struct RawMode(Arc<Saved>);

#[derive(Debug)]
struct Saved {
    terminal: OwnedFd,
    mode: Termios,
}

/// Every terminal that is raw now, for the panic hook.
static RAW: Mutex<Vec<Arc<Saved>>> = Mutex::new(Vec::new());

impl RawMode {
    /// Makes the terminal at standard input raw; `None` if there is none.
    pub fn stdin() -> io::Result<Option<Self>> {
        match stdin_kind() {
            StdinKind::Terminal => {
                let terminal = rustix::stdio::stdin().try_clone_to_owned()?;
                Self::of(terminal).map(Some)
            }
            StdinKind::Stream | StdinKind::Nothing => Ok(None),
        }
    }

    /// Makes any terminal raw.
    pub fn of(terminal: OwnedFd) -> io::Result<Self> {
        restore_on_panic();
        let saved = Arc::new(Saved {
            mode: tcgetattr(&terminal)?,
            terminal,
        });
        // Known before it is raw: a panic in between restores what needs none.
        RAW.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(Arc::clone(&saved));
        let raw = Self(saved);
        raw.again()?;
        Ok(raw)
    }

    /// Makes it raw once more, after a shell took it over in between.
    pub fn again(&self) -> io::Result<()> {
        let mut mode = self.0.mode.clone();
        mode.make_raw();
        // At once: what was typed ahead is for the process.
        Ok(tcsetattr(&self.0.terminal, OptionalActions::Now, &mode)?)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        self.0.restore();
        RAW.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain(|saved| !Arc::ptr_eq(saved, &self.0));
    }
}

impl Saved {
    /// A terminal that cannot be restored is gone, and needs it no more.
    fn restore(&self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.mode);
    }
}

/// The release profile aborts on a panic, so that no `drop` runs.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let former = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            // Not waited for: whoever panicked may hold it.
            if let Ok(raw) = RAW.try_lock() {
                raw.iter().for_each(|saved| saved.restore());
            }
            former(panic);
        }));
    });
}

/// Whether this process was started with a signal ignored, as `nohup` does.
pub(super) fn is_ignored(signal: i32) -> bool {
    // The one way without `unsafe`; where it does not exist, nothing is ignored.
    let Ok(status) = fs::read_to_string("/proc/self/status") else {
        return false;
    };
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

#[cfg(test)]
mod tests {
    use std::{mem::ManuallyDrop, os::unix::net::UnixStream};

    use rustix::{
        pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
        termios::{LocalModes, OutputModes},
    };

    use super::*;

    /// Both ends of a new terminal.
    fn terminal() -> (OwnedFd, OwnedFd) {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let terminal = ioctl_tiocgptpeer(&keyboard, flags).unwrap();
        (keyboard, terminal)
    }

    fn is_raw(terminal: &OwnedFd) -> bool {
        let mode = tcgetattr(terminal).unwrap();
        let is_cooked = mode
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        assert_eq!(is_cooked, mode.output_modes.contains(OutputModes::OPOST));
        !is_cooked
    }

    #[test]
    fn a_terminal_is_given_back_as_it_was() {
        let (_keyboard, terminal) = terminal();
        assert!(!is_raw(&terminal));
        let raw = RawMode::of(terminal.try_clone().unwrap()).unwrap();
        assert!(is_raw(&terminal));
        drop(raw);
        assert!(!is_raw(&terminal));
    }

    #[test]
    fn a_panic_gives_it_back_even_if_nothing_is_dropped() {
        let (_keyboard, terminal) = terminal();
        let raw = ManuallyDrop::new(RawMode::of(terminal.try_clone().unwrap()).unwrap());
        assert!(is_raw(&terminal));
        let panicked = panic::catch_unwind(|| panic!("on purpose"));
        assert!(panicked.is_err());
        assert!(!is_raw(&terminal));
        drop(ManuallyDrop::into_inner(raw));
    }

    #[test]
    fn a_shell_that_took_it_over_is_undone() {
        let (_keyboard, terminal) = terminal();
        let raw = RawMode::of(terminal.try_clone().unwrap()).unwrap();
        raw.0.restore();
        assert!(!is_raw(&terminal));
        raw.again().unwrap();
        assert!(is_raw(&terminal));
    }

    #[test]
    fn only_what_can_be_sent_to_is_a_stream() {
        let (_keyboard, terminal) = terminal();
        assert_eq!(kind_of(&terminal), StdinKind::Terminal);
        let (pipe, _end) = io::pipe().unwrap();
        assert_eq!(kind_of(&pipe), StdinKind::Stream);
        let (socket, _end) = UnixStream::pair().unwrap();
        assert_eq!(kind_of(&socket), StdinKind::Stream);
        assert_eq!(
            kind_of(fs::File::open("/proc/self/exe").unwrap()),
            StdinKind::Stream
        );
        assert_eq!(
            kind_of(fs::File::open("/dev/null").unwrap()),
            StdinKind::Nothing
        );
        assert_eq!(kind_of(fs::File::open("/").unwrap()), StdinKind::Nothing);
    }
}
