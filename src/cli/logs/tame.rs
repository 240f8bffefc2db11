//! A container's line on a terminal: its colours stay, and whatever else an escape
//! sequence could do to the terminal of whoever reads it does not happen.

use anstyle_parse::{DefaultCharAccumulator, Params, Parser, Perform};

use crate::cli::ui::visible;

/// What a terminal would show of a line, and nothing else: no title is set, nothing is
/// put into a clipboard, no cursor moves. Of what writes over itself, as progress bars
/// do, the last is shown. Colours end with the line.
pub(super) fn tamed(line: &[u8]) -> String {
    let mut parser = Parser::<DefaultCharAccumulator>::new();
    let mut tame = Tame::default();
    for byte in String::from_utf8_lossy(line).bytes() {
        parser.advance(&mut tame, byte);
    }
    if tame.is_styled {
        tame.shown.push_str("\x1b[0m");
    }
    tame.shown
}

#[derive(Default)]
struct Tame {
    shown: String,
    is_styled: bool,
    /// The next letter is written over what is there.
    is_returned: bool,
}

impl Tame {
    fn push(&mut self, character: char) {
        if std::mem::take(&mut self.is_returned) {
            self.shown.clear();
        }
        self.shown.push(character);
    }
}

impl Perform for Tame {
    fn print(&mut self, character: char) {
        self.push(visible(character));
    }

    fn execute(&mut self, byte: u8) {
        match byte {
            b'\r' => self.is_returned = true,
            b'\t' => self.push('\t'),
            other => self.push(visible(char::from(other))),
        }
    }

    /// `m` is the style of what comes (SGR in ECMA-48); every other moves, erases or asks.
    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], ignore: bool, action: u8) {
        if action != b'm' || ignore || !intermediates.is_empty() {
            return;
        }
        let one = |param: &[u16]| {
            let parts: Vec<_> = param.iter().map(u16::to_string).collect();
            parts.join(":")
        };
        let params: Vec<_> = params.iter().map(one).collect();
        self.is_styled = true;
        self.shown.push_str("\x1b[");
        self.shown.push_str(&params.join(";"));
        self.shown.push('m');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shows(line: &str, shown: &str) {
        assert_eq!(tamed(line.as_bytes()), shown, "{line:?}");
    }

    #[test]
    fn colours_stay_and_end_with_the_line() {
        shows("\x1b[1;31mred", "\x1b[1;31mred\x1b[0m");
        shows(
            "\x1b[38;2;1;2;3mthis\x1b[m",
            "\x1b[38;2;1;2;3mthis\x1b[0m\x1b[0m",
        );
        shows("plain\tand ünicode", "plain\tand ünicode");
    }

    #[test]
    fn nothing_else_that_a_terminal_obeys_is_left() {
        for order in [
            "\x1b]0;another title\x07",
            "\x1b]52;c;cm0gLXJmIH4=\x1b\\",
            "\x1b]8;;http://evil.example\x1b\\",
            "\x1b[2J",
            "\x1b[1;1H",
            "\x1b[?1049h",
            "\x1b[6n",
            "\x1b[>1m",
            "\x1bP$q\"p\x1b\\",
            "\x1b_an application's\x1b\\",
            "\x1bc",
            "\x1b(0",
        ] {
            shows(&format!("a{order}b"), "ab");
        }
    }

    #[test]
    fn what_hides_or_reorders_letters_is_seen() {
        shows(
            "a\x08b\x07c\u{202e}d\u{9b}2Je",
            "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}2Je",
        );
        assert_eq!(tamed(b"a\xff\xfeb"), "a\u{fffd}\u{fffd}b");
    }

    #[test]
    fn of_a_progress_bar_the_last_form_is_shown() {
        shows("10 %\r50 %\r100 %", "100 %");
        shows("ends so\r", "ends so");
        shows("api | \rstop everything", "stop everything");
    }

    #[test]
    fn no_bytes_make_it_obey_or_panic() {
        proptest::proptest!(|(line: Vec<u8>)| {
            let shown = tamed(&line);
            let mut rest = shown.as_str();
            while let Some((_, sequence)) = rest.split_once('\x1b') {
                let end = sequence.find('m').expect("a style");
                let inside = &sequence[1..end];
                proptest::prop_assert!(sequence.starts_with('['));
                proptest::prop_assert!(inside.chars().all(|it| it.is_ascii_digit() || ";:".contains(it)));
                rest = &sequence[end..];
            }
            proptest::prop_assert!(shown.chars().all(|it| "\x1b\t".contains(it) || !it.is_control()));
        });
    }
}
