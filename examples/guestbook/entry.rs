//! What stands in the book.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Somebody's words, and when they were written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// Chosen by whoever writes it: written twice, it stands there once.
    pub(crate) id: String,
    #[serde(flatten)]
    pub(crate) words: Words,
    /// Seconds since 1970.
    pub(crate) at: u64,
}

/// Who says what.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Words {
    pub(crate) name: String,
    pub(crate) message: String,
}

/// Fits on a line of the page.
const LONGEST_NAME: usize = 60;

/// Fits on a screen.
const LONGEST_MESSAGE: usize = 1000;

impl Words {
    /// Trimmed, if they can stand in the book; else why not.
    pub(crate) fn checked(&self) -> Result<Self, String> {
        let name = self.name.trim();
        let message = self.message.trim().replace("\r\n", "\n");
        if name.is_empty() || message.is_empty() {
            return Err("Please leave both a name and a few words.".to_owned());
        }
        if name.chars().count() > LONGEST_NAME {
            return Err(format!("That name is longer than {LONGEST_NAME} letters."));
        }
        if message.chars().count() > LONGEST_MESSAGE {
            return Err(format!("That is longer than {LONGEST_MESSAGE} letters."));
        }
        let is_printable = |letter: char| !letter.is_control() || letter == '\n';
        if name.chars().any(char::is_control) || !message.chars().all(is_printable) {
            return Err("That has letters in it that cannot be shown.".to_owned());
        }
        Ok(Self {
            name: name.to_owned(),
            message,
        })
    }
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, message: &str) -> Result<Words, String> {
        let (name, message) = (name.to_owned(), message.to_owned());
        Words { name, message }.checked()
    }

    #[test]
    fn words_are_trimmed_and_their_lines_kept() {
        let words = checked(" Ada ", "one\r\ntwo\n").unwrap();
        assert_eq!(
            (words.name.as_str(), words.message.as_str()),
            ("Ada", "one\ntwo")
        );
    }

    #[test]
    fn what_cannot_stand_in_the_book_is_refused() {
        assert!(checked("", "x").is_err());
        assert!(checked("x", " \n").is_err());
        assert!(checked(&"é".repeat(60), "x").is_ok());
        assert!(checked(&"é".repeat(61), "x").is_err());
        assert!(checked("x", &"y".repeat(1001)).is_err());
        assert!(checked("two\nlines", "x").is_err());
        assert!(checked("x", "\u{7}").is_err());
    }
}
