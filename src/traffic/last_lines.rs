//! What a container that does not answer said last.
//!
//! It is somebody else's to read, and slow beside everything here: asked for once
//! a second at most, and not waited for longer than a person would not notice.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use futures_util::future::BoxFuture;
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};

/// Reads the last output of a container by its id; empty where there is none.
pub type ReadOutput = Arc<dyn Fn(String) -> BoxFuture<'static, Vec<u8>> + Send + Sync>;

/// As many as are read without scrolling.
pub(super) const MOST_LINES: usize = 10;
/// Of one line.
const MOST_CHARACTERS: usize = 400;

const FRESH_FOR: Duration = Duration::from_secs(1);
/// An answer without them is better than a late one.
const READ_WITHIN: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct LastLines {
    read: OnceLock<ReadOutput>,
    known: Mutex<HashMap<String, Known>>,
}

struct Known {
    at: Instant,
    lines: Arc<[String]>,
}

impl LastLines {
    /// Says who reads them. The first who does is believed.
    pub(super) fn read_by(&self, read: ReadOutput) {
        let _ = self.read.set(read);
    }

    /// The last lines of a container, or none if they cannot be had soon.
    pub(super) async fn of(&self, container: &str) -> Arc<[String]> {
        let Some(read) = self.read.get() else {
            return Arc::default();
        };
        timeout(READ_WITHIN, self.fresh(container, read))
            .await
            .unwrap_or_default()
    }

    async fn fresh(&self, container: &str, read: &ReadOutput) -> Arc<[String]> {
        // Held while they are read: a crowd that asks together reads them once.
        let mut known = self.known.lock().await;
        known.retain(|_, known| known.at.elapsed() < FRESH_FOR);
        if let Some(known) = known.get(container) {
            return Arc::clone(&known.lines);
        }
        let lines: Arc<[String]> = lines(&read(container.to_owned()).await).into();
        let at = Instant::now();
        known.insert(
            container.to_owned(),
            Known {
                at,
                lines: Arc::clone(&lines),
            },
        );
        lines
    }
}

impl fmt::Debug for LastLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastLines").finish_non_exhaustive()
    }
}

/// The last lines with something in them, as plain text.
fn lines(output: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<String> = text.lines().map(plain).collect();
    let mut last: Vec<String> = lines
        .into_iter()
        .rev()
        .filter(|line| !line.is_empty())
        .take(MOST_LINES)
        .collect();
    last.reverse();
    last
}

/// Without colours, and without what would do something to a terminal or turn
/// the text around.
fn plain(line: &str) -> String {
    let text = anstream::adapter::strip_str(line).to_string();
    // What was written over on a terminal was not meant to stay.
    let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
    let mut plain: String = text
        .chars()
        .map(|character| match character {
            '\t' => ' ',
            other => other,
        })
        .filter(|character| !character.is_control() && !turns_text(*character))
        .take(MOST_CHARACTERS)
        .collect();
    plain.truncate(plain.trim_end().len());
    plain
}

/// Marks that set the direction of what follows them (Unicode, UAX 9).
fn turns_text(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn the_last_lines_are_plain_and_bounded() {
        let many: String = (1..=30)
            .map(|number| format!("line {number}\n\n"))
            .collect();
        let last = lines(many.as_bytes());
        assert_eq!(last.len(), MOST_LINES);
        assert_eq!((&*last[0], &*last[9]), ("line 21", "line 30"));
        assert_eq!(
            lines(b"\x1b[31mred\x1b[0m\x1b]0;title\x07\n10%\r50%\r\xff\ta\x08b\n\xe2\x80\xaeevil"),
            ["red", "\u{fffd} ab", "evil"]
        );
        assert_eq!(
            lines("ü".repeat(1000).as_bytes())[0].chars().count(),
            MOST_CHARACTERS
        );
        assert!(lines(b"").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn a_crowd_reads_them_once_and_a_hanging_engine_holds_nobody_up() {
        let last = LastLines::default();
        assert!(last.of("a").await.is_empty());
        let asked = Arc::new(AtomicUsize::new(0));
        let counting = Arc::clone(&asked);
        last.read_by(Arc::new(move |container| {
            counting.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move {
                if container == "hangs" {
                    std::future::pending::<()>().await;
                }
                b"no such table\n".to_vec()
            })
        }));
        for _ in 0..100 {
            assert_eq!(&*last.of("a").await, ["no such table"]);
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::sleep(FRESH_FOR).await;
        last.of("a").await;
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        let began = Instant::now();
        assert!(last.of("hangs").await.is_empty());
        assert_eq!(began.elapsed(), READ_WITHIN);
        assert_eq!(last.of("a").await.len(), 1);
    }
}
