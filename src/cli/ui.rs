//! How things look: events folded into progress, plans as trees, tables.

mod build;
mod fold;
mod hold;
mod plan;
mod pulls;
mod screen;
mod table;
mod transfer;
mod underway;

pub(super) use fold::folded;
pub(super) use hold::shown_hold;
pub(super) use plan::{quiet_changes, show_plan};
pub(super) use screen::{Screen, follow, follow_to_end};
pub(super) use table::{columns_that_fit, show_table, table, table_lines};
pub(super) use transfer::Transfer;

use std::{fmt, io, process, time::Duration};

use anstyle::{AnsiColor, Style};

/// Writes data to stdout. Unlike `print!` it does not panic when nobody reads it.
macro_rules! out {
    ($($text:tt)*) => { $crate::cli::ui::write_out(format_args!($($text)*)) };
}

/// Writes a line of data to stdout, as [`out`] does.
macro_rules! outln {
    () => { $crate::cli::ui::write_out(format_args!("\n")) };
    ($($text:tt)*) => { $crate::cli::ui::write_out(format_args!("{}\n", format_args!($($text)*))) };
}

/// Writes to stderr, for people. That nobody reads it is no failure.
macro_rules! say {
    ($($text:tt)*) => { $crate::cli::ui::write_err(format_args!($($text)*)) };
}

/// Writes a line to stderr, as [`say`] does.
macro_rules! sayln {
    ($($text:tt)*) => { $crate::cli::ui::write_err(format_args!("{}\n", format_args!($($text)*))) };
}

pub(super) use {out, outln, say, sayln};

/// What a shell shows of a program that wrote where nobody reads: 128 + SIGPIPE.
const NOBODY_READS: i32 = 141;

pub(super) fn write_out(text: fmt::Arguments<'_>) {
    let mut out = anstream::stdout().lock();
    let Err(error) = io::Write::write_fmt(&mut out, text) else {
        return;
    };
    // `cosmos status | head -1`: what is left to say has no reader. What the server
    // was ordered to do goes on without us.
    if error.kind() == io::ErrorKind::BrokenPipe {
        process::exit(NOBODY_READS);
    }
    write_err(format_args!("error: cannot write the output: {error}\n"));
    process::exit(1);
}

pub(super) fn write_err(text: fmt::Arguments<'_>) {
    // There is no third place to complain.
    let _ = io::Write::write_fmt(&mut anstream::stderr().lock(), text);
}

/// A text without what could move the cursor, change colours or hide letters:
/// container output and names come from strangers.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\t' => ' ',
            other => visible(other),
        })
        .collect()
}

/// A letter, and for what is none a sign that something was there.
pub(super) fn visible(character: char) -> char {
    match character.is_control() || is_bidi(character) {
        true => char::REPLACEMENT_CHARACTER,
        false => character,
    }
}

/// The same of a text that may have several lines, each after the first indented.
pub(super) fn printable_lines(text: &str) -> String {
    let lines: Vec<_> = text.trim_end().lines().map(printable).collect();
    lines.join("\n  ")
}

/// Marks that reorder what is read: Unicode's "Trojan source" set.
fn is_bidi(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}' | '\u{061c}')
}

/// `12 ms`, `4.1 s`, `2 min 5 s`.
pub(super) fn duration(duration: Duration) -> String {
    match duration.as_millis() {
        millis @ 0..1_000 => format!("{millis} ms"),
        1_000..100_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!(
            "{} min {} s",
            duration.as_secs() / 60,
            duration.as_secs() % 60
        ),
    }
}

/// How a status is coloured.
pub(super) fn status_style(status: u16) -> Style {
    let colour = match status {
        500.. => AnsiColor::Red,
        400.. => AnsiColor::Yellow,
        300.. => AnsiColor::Cyan,
        _ => AnsiColor::Green,
    };
    colour.on_default()
}

/// `999 B`, `1.2 kB`, `34.5 MB`: in powers of ten.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if bytes < 1_000 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1_000.0;
    let mut unit = 0;
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1_000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// `5 s`, `12 min`, `3 h`, `2 d`: how long something has been so.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// `1 service`, `3 services`.
pub(super) fn plural(count: u32, word: &str) -> String {
    if count == 1 {
        format!("1 {word}")
    } else {
        format!("{count} {word}s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escape_sequence_of_a_container_does_not_reach_the_terminal() {
        assert_eq!(
            printable("a\x1b[31mred\u{202e}x\tb"),
            "a\u{fffd}[31mred\u{fffd}x b"
        );
    }

    #[test]
    fn a_message_of_several_lines_keeps_them() {
        assert_eq!(printable_lines("a\nb\x1b]0;c\r\n"), "a\n  b\u{fffd}]0;c");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration(Duration::from_millis(12)), "12 ms");
        assert_eq!(duration(Duration::from_millis(4_120)), "4.1 s");
        assert_eq!(duration(Duration::from_secs(125)), "2 min 5 s");
    }
}
