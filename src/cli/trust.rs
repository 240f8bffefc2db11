//! Whether a person trusts a project with what reaches the host.
//!
//! Asked once for each such thing of a project: the answer is kept beside the
//! user's other state, so that the project itself cannot give it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
};

use super::{
    ask,
    error::Failure,
    private,
    ui::{printable, sayln},
};
use crate::{
    config::{Danger, Loaded},
    platform,
};

/// What was trusted, by project folder: the fingerprints of its dangers.
type Trusted = BTreeMap<String, BTreeSet<String>>;

/// The dangers of a config that nobody said yes to yet.
pub(super) fn untrusted(loaded: &Loaded) -> Vec<&Danger> {
    if loaded.dangers.is_empty() {
        return Vec::new();
    }
    let trusted = file().map(|file| read(&file)).unwrap_or_default();
    let known = trusted.get(&loaded.workspace.identity.folder);
    loaded
        .dangers
        .iter()
        .filter(|danger| !known.is_some_and(|known| known.contains(&danger.fingerprint())))
        .collect()
}

/// Goes on only with a config that is trusted: asks where a person can answer,
/// and remembers the yes.
///
/// # Errors
/// If it is not trusted, or the answer cannot be kept.
pub(super) fn require(loaded: &Loaded, is_given: bool) -> Result<(), Failure> {
    let untrusted = untrusted(loaded);
    if untrusted.is_empty() {
        return Ok(());
    }
    if !is_given {
        let lines: Vec<_> = untrusted.iter().map(|danger| line(danger)).collect();
        if !ask::can_answer() {
            return Err(Failure::usage(
                "this project reaches beyond its containers, and you have not said that it may",
            )
            .with_output(lines)
            .hinted("look at each; if you trust them: `cosmos up --trust`, once"));
        }
        sayln!("This project reaches beyond its containers:");
        for line in &lines {
            sayln!("  {line}");
        }
        ask::confirm("Trust it with that?", || {
            Failure::usage("nothing was done: the project is not trusted with that")
        })?;
    }
    remember(loaded).map_err(|error| {
        Failure::new(format!(
            "it cannot be remembered that you trust this project: {error}"
        ))
    })
}

/// `services.web.privileged lifts every limit: .. (cosmos.toml:14)`.
pub(super) fn line(danger: &Danger) -> String {
    let at = match &danger.origin {
        Some(origin) => format!(" ({origin})"),
        None => String::new(),
    };
    printable(&format!("{} {}{at}", danger.key, danger.what))
}

fn remember(loaded: &Loaded) -> io::Result<()> {
    let Some(file) = file() else {
        // Nowhere to keep it: it is asked again next time.
        return Ok(());
    };
    let mut trusted = read(&file);
    // What is not in the config any more is forgotten: it would be asked for again.
    let dangers = loaded.dangers.iter().map(Danger::fingerprint).collect();
    trusted.insert(loaded.workspace.identity.folder.clone(), dangers);
    private::write(&file, &serde_json::to_vec_pretty(&trusted)?)
}

/// A file that cannot be read trusts nobody.
fn read(file: &Path) -> Trusted {
    let text = fs::read(file).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

fn file() -> Option<PathBuf> {
    platform::state_folder().map(|folder| folder.join("trust.json"))
}
