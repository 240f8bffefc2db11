//! From a Compose file to a `cosmos.toml`, and a list of what could not be carried over.
//!
//! Four steps, each in its files:
//!
//! 1. **read**: `files` opens, `read` makes a `tree` in which everything
//!    has its line, `gather` resolves `include` and `extends`;
//! 2. **convert**: `project` and `service` go through the tree in its order;
//!    each of `image`, `ports`, `mounts`, `health`, `after`, `limits`,
//!    `networks` and `sources` knows one subject, `values` the forms of a
//!    value, `variables` the two meanings of `$`;
//! 3. **model**: what they make is a `draft`, and a `remark` for each thing that is
//!    lost, changed or left to do, with its line;
//! 4. **write**: `write` makes text of the draft.
//!
//! The promise: what comes out loads, and means what the Compose file meant, but
//! for what the remarks say. Nothing is left out in silence, except what Compose
//! itself ignores (`version`, `x-..`). Any file is converted or explained, within bounds
//! that keep its reading short.

mod after;
pub(super) mod draft;
mod files;
mod gather;
mod health;
mod image;
mod limits;
mod mounts;
mod networks;
mod ports;
mod project;
mod read;
mod remark;
mod service;
mod sources;
mod tree;
mod values;
mod variables;
pub(super) mod write;

#[cfg(test)]
mod tests;

use std::path::Path;

use super::Diagnostics;

pub use project::{Missing, MissingKind};
pub use remark::{Outcome, Remark};

/// A Compose file, converted.
#[derive(Debug)]
pub struct Conversion {
    /// The `cosmos.toml`.
    pub toml: String,
    /// What it does not carry over as it was, in the order of the files.
    pub remarks: Vec<Remark>,
    /// How many more remarks there would be.
    pub further_remarks: usize,
    /// The names of its services.
    pub services: Vec<String>,
    /// The names of its commands.
    pub commands: Vec<String>,
    /// Files and folders that it needs and that are not there.
    pub missing: Vec<Missing>,
}

/// Converts a Compose file for a `cosmos.toml` in `folder`.
///
/// # Errors
/// If `file` is no Compose file: its first fault, with its place.
pub fn convert(file: &Path, folder: &Path, name: Option<&str>) -> Result<Conversion, Diagnostics> {
    let gather::Gathered {
        root,
        files,
        remarks,
    } = gather::gather(file, folder)?;
    let converted = project::convert(&root, files, remarks, name);
    let (remarks, further_remarks) = converted.remarks.finish(&converted.files);
    Ok(Conversion {
        toml: write::write(&converted.draft),
        remarks,
        further_remarks,
        services: converted.services,
        commands: converted.commands,
        missing: converted.missing,
    })
}
