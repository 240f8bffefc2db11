//! Keeps the entries, one JSON line each, in a file on a volume.
//!
//! A line is on the disk before it is answered. A line that was cut short by a
//! crash was never answered, and is cut off at the next start.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{Json, Router, extract::State, http::StatusCode, routing::get};

use crate::{entry::Entry, server::serve, setting};

/// The entries, in the order they were first written, and their file.
struct Book {
    entries: Vec<Entry>,
    file: File,
}

type Shared = Arc<Mutex<Book>>;

pub(crate) async fn play() -> io::Result<()> {
    let folder = setting("DATA", "/data");
    let book = Book::open(&Path::new(&folder).join("entries.jsonl"))?;
    println!("{} entries in {folder}", book.entries.len());
    let routes = Router::new()
        .route("/entries", get(list).put(write))
        .with_state(Arc::new(Mutex::new(book)));
    serve(&setting("LISTEN", "0.0.0.0:7000"), routes).await
}

async fn list(State(book): State<Shared>) -> Json<Vec<Entry>> {
    Json(
        book.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entries
            .clone(),
    )
}

async fn write(
    State(book): State<Shared>,
    Json(entry): Json<Entry>,
) -> Result<Json<Entry>, (StatusCode, String)> {
    let kept = entry.clone();
    let keeping = tokio::task::spawn_blocking(move || {
        book.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .keep(kept)
    });
    match keeping.await {
        Ok(Ok(())) => Ok(Json(entry)),
        Ok(Err(failure)) => Err((StatusCode::INSUFFICIENT_STORAGE, failure.to_string())),
        Err(failure) => Err((StatusCode::INTERNAL_SERVER_ERROR, failure.to_string())),
    }
}

impl Book {
    fn open(path: &Path) -> io::Result<Self> {
        let text = match fs::read(path) {
            Ok(text) => text,
            Err(failure) if failure.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(failure) => return Err(failure),
        };
        let whole = text
            .iter()
            .rposition(|&byte| byte == b'\n')
            .map_or(0, |at| at + 1);
        let mut entries = Vec::new();
        for line in text
            .get(..whole)
            .unwrap_or_default()
            .split(|&byte| byte == b'\n')
        {
            if !line.is_empty() {
                put(&mut entries, serde_json::from_slice(line)?);
            }
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        file.set_len(whole as u64)?;
        Ok(Self { entries, file })
    }

    fn keep(&mut self, entry: Entry) -> io::Result<()> {
        if self.entries.contains(&entry) {
            return Ok(());
        }
        let mut line = serde_json::to_vec(&entry)?;
        line.push(b'\n');
        let before = self.file.metadata()?.len();
        if let Err(failure) = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data())
        {
            // No half line before the next one.
            self.file.set_len(before)?;
            return Err(failure);
        }
        put(&mut self.entries, entry);
        Ok(())
    }
}

fn put(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|other| other.id == entry.id) {
        Some(other) => *other = entry,
        None => entries.push(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Words;

    fn entry(id: &str, message: &str) -> Entry {
        let (name, message) = ("Ada".to_owned(), message.to_owned());
        Entry {
            id: id.to_owned(),
            words: Words { name, message },
            at: 1,
        }
    }

    #[test]
    fn what_was_kept_is_there_after_a_crash_and_half_a_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("entries.jsonl");
        let mut book = Book::open(&path).unwrap();
        book.keep(entry("a", "first\nline")).unwrap();
        book.keep(entry("b", "second")).unwrap();
        book.keep(entry("a", "again")).unwrap();
        drop(book);
        OpenOptions::new()
            .append(true)
            .open(&path)
            .unwrap()
            .write_all(b"{\"id\":\"c")
            .unwrap();

        let mut book = Book::open(&path).unwrap();
        assert_eq!(book.entries, [entry("a", "again"), entry("b", "second")]);
        book.keep(entry("c", "third")).unwrap();
        assert_eq!(Book::open(&path).unwrap().entries.len(), 3);
    }
}
