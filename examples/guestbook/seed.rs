//! Writes the first entries, and ends. Run again, it changes only what differs.

use std::{fs, io};

use hyper::Method;

use crate::{
    entry::{Entry, Words},
    remote::Remote,
    setting,
};

/// The first entries stand below all others, in their order: 1970 is the past.
const FIRST: u64 = 1;

pub(crate) async fn play() -> io::Result<()> {
    let path = setting("ENTRIES", "/entries.json");
    let text =
        fs::read_to_string(&path).map_err(|cause| io::Error::other(format!("{path}: {cause}")))?;
    let all: Vec<Words> = serde_json::from_str(&text)
        .map_err(|cause| io::Error::other(format!("{path}: {cause}")))?;

    let store = Remote::new(&setting("STORE", "http://store:7000"));
    for (number, words) in all.iter().enumerate() {
        let words = words
            .checked()
            .map_err(|why| io::Error::other(format!("{path}: entry {number}: {why}")))?;
        let entry = Entry {
            id: format!("seed-{number}"),
            words,
            at: FIRST,
        };
        let _: Entry = store
            .send(Method::PUT, "/entries", &entry)
            .await
            .map_err(io::Error::other)?;
    }
    println!("{} entries written", all.len());
    Ok(())
}
