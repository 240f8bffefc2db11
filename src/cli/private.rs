//! Files that are their owner's alone: a token, what is trusted.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
};

/// Writes a file that only its owner reads, in a folder that only its owner enters.
///
/// Beside and renamed: many of us may do this at once, and whoever reads meanwhile
/// sees the old or the new.
pub(super) fn write(file: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    new_file(&beside)?.write_all(content)?;
    fs::rename(&beside, file)
}

/// An empty file that only its owner reads and writes.
pub(super) fn new_file(path: &Path) -> io::Result<fs::File> {
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
}
