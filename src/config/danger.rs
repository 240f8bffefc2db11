//! What a config asks for beyond a container of its own.
//!
//! A config can come with somebody else's project. Whatever in it reaches the
//! host (its files, its devices, its programs, the engine) is told apart here,
//! so that a person is asked before it is done. What the person set themselves,
//! on the command line, in the environment or in their own file, is not asked for.

use serde::Serialize;

use super::layers::{Document, LayerKind};
use crate::workspace::{Origin, fingerprint};

/// One thing that reaches the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Danger {
    /// The key: `services.web.privileged`.
    pub key: String,
    /// What it does, as a sentence without its subject: ``mounts `/etc` ..``.
    pub what: String,
    /// Where it was written.
    pub origin: Option<Origin>,
}

impl Danger {
    /// Stands for it where it is remembered: another value is another danger,
    /// another line is not.
    pub fn fingerprint(&self) -> String {
        fingerprint::digest(&(&self.key, &self.what))[..16].to_owned()
    }
}

/// The places of what was found, without what the person set themselves.
pub(super) fn placed(found: Vec<(String, String)>, document: &Document) -> Vec<Danger> {
    let place = |(key, what): (String, String)| {
        let origin = match document.origin(&key) {
            Some((LayerKind::Project | LayerKind::Local, origin)) => Some(origin),
            Some(_) => return None,
            None => None,
        };
        Some(Danger { key, what, origin })
    };
    let mut dangers: Vec<_> = found.into_iter().filter_map(place).collect();
    let at = |danger: &Danger| danger.origin.clone();
    dangers.sort_by_key(at);
    dangers
}
