//! A real terminal with a program in it, and a person's fingers and eyes.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::OwnedFd,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    process::{Pid, Signal, kill_process},
    pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize},
};

use super::PATIENCE;

/// A terminal of 24 lines and 80 columns.
pub(crate) struct Terminal {
    keyboard: File,
    /// Kept, so that its mode can be looked at after the program's end.
    pub(crate) screen: OwnedFd,
    child: Child,
    output: Receiver<Vec<u8>>,
    /// All that it was ever told.
    told: Vec<u8>,
    /// Its sizes, each from so many bytes on.
    sizes: Vec<(usize, u16, u16)>,
    /// What was shown and not yet expected.
    pub(crate) seen: String,
    mode_before: String,
}

impl Terminal {
    /// Starts a program in a terminal of its own. The command must begin with
    /// `setsid --ctty`: taking a terminal by oneself needs `unsafe`.
    pub(crate) fn open(command: &mut Command) -> Self {
        Self::sized(command, 80, 24)
    }

    /// The same, of another size.
    pub(crate) fn sized(command: &mut Command, columns: u16, rows: u16) -> Self {
        assert_eq!(command.get_program(), "setsid");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let keyboard = openpt(flags).unwrap();
        grantpt(&keyboard).unwrap();
        unlockpt(&keyboard).unwrap();
        let screen = ioctl_tiocgptpeer(&keyboard, flags).unwrap();
        set_size(&keyboard, columns, rows);
        let mode_before = mode(&screen);
        let child = command
            .stdin(screen.try_clone().unwrap())
            .stdout(screen.try_clone().unwrap())
            .stderr(screen.try_clone().unwrap())
            .spawn()
            .unwrap();
        let (sender, output) = channel();
        let mut shown = File::from(keyboard.try_clone().unwrap());
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = shown.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self {
            keyboard: keyboard.into(),
            screen,
            child,
            output,
            told: Vec::new(),
            sizes: vec![(0, columns, rows)],
            seen: String::new(),
            mode_before,
        }
    }

    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).unwrap();
    }

    /// Types a line and Enter.
    pub(crate) fn type_line(&mut self, line: &str) {
        self.press(format!("{line}\r").as_bytes());
    }

    /// Waits for a text, forgets it and what came before it, and gives the latter.
    #[track_caller]
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(at) = self.seen.find(text) {
                let mut before: String = self.seen.drain(..at + text.len()).collect();
                before.truncate(at);
                return before;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => {
                    self.seen.push_str(&String::from_utf8_lossy(&bytes));
                    self.told.extend(bytes);
                }
                Err(_) => panic!("{text:?} is not in {:?}", self.seen),
            }
        }
    }

    /// Waits for the program's end and gives its exit code. The terminal must
    /// then be as it was.
    #[track_caller]
    pub(crate) fn expect_end(&mut self) -> Option<i32> {
        let deadline = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(Instant::now() < deadline, "it does not end");
            thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(
            mode(&self.screen),
            self.mode_before,
            "the terminal is given back as it was"
        );
        status.code()
    }

    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        set_size(&self.keyboard, columns, rows);
        self.sizes.push((self.told.len(), columns, rows));
    }

    /// What a person sees of all that the program has written so far: the screen, and what
    /// went up and out of it.
    #[track_caller]
    pub(crate) fn shown(&mut self) -> String {
        // Unseen by a person, and behind all that was written before.
        let mark = "\x1b]0;all of it\x07";
        File::from(self.screen.try_clone().unwrap())
            .write_all(mark.as_bytes())
            .unwrap();
        self.expect(mark);
        let mut parser = vt100::Parser::new(24, 80, 1000);
        let ends = self.sizes.iter().skip(1).map(|size| size.0);
        let ends: Vec<usize> = ends.chain([self.told.len()]).collect();
        for ((begin, columns, rows), end) in self.sizes.iter().zip(ends) {
            parser.screen_mut().set_size(*rows, *columns);
            parser.process(&self.told[*begin..end]);
        }
        let (_, columns) = parser.screen().size();
        let screen = parser.screen_mut();
        screen.set_scrollback(usize::MAX);
        let above = screen.scrollback();
        let mut lines: Vec<String> = Vec::new();
        for scrolled in (0..=above).rev() {
            screen.set_scrollback(scrolled);
            let mut rows = screen.rows(0, columns);
            if scrolled == 0 {
                lines.extend(rows);
            } else {
                lines.extend(rows.next());
            }
        }
        lines.join("\n").trim_end().to_owned()
    }

    pub(crate) fn is_raw(&self) -> bool {
        let mode = tcgetattr(&self.screen).unwrap();
        !mode
            .local_modes
            .contains(LocalModes::ICANON | LocalModes::ECHO)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every setting of a terminal but its size.
fn mode(terminal: &OwnedFd) -> String {
    let output = Command::new("stty")
        .arg("-g")
        .stdin(terminal.try_clone().unwrap())
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

fn set_size(keyboard: impl std::os::fd::AsFd, columns: u16, rows: u16) {
    let size = Winsize {
        ws_col: columns,
        ws_row: rows,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    tcsetwinsize(keyboard, size).unwrap();
}
