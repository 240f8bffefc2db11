//! The files an image is built from.
//!
//! What is listed here is what is hashed for the image's tag and what the CLI
//! puts into the tar, so the two cannot differ. Order: by path. A link is listed
//! as a link and never followed, wherever it leads.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::glob;
use crate::workspace::fingerprint::hex;

/// One entry of a build context.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextFile {
    /// Relative to the context, with `/`.
    pub path: String,
    /// What it is.
    pub kind: ContextKind,
}

/// What an entry of a build context is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContextKind {
    /// A folder.
    Folder,
    /// A file.
    File {
        /// Somebody may execute it.
        executable: bool,
    },
    /// A link.
    Link {
        /// Its text.
        target: String,
    },
}

/// Why a context could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The Dockerfile is not there.
    #[error("the build context `{}` has no `{dockerfile}`", .folder.display())]
    NoDockerfile {
        /// The context.
        folder: PathBuf,
        /// The Dockerfile, relative to it.
        dockerfile: String,
    },
    /// Something in it could not be read.
    #[error("cannot read `{}` of the build context", .path.display())]
    Read {
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Lists what goes into a build: everything in `folder` but what its
/// `.dockerignore` (or `<dockerfile>.dockerignore`) leaves out.
///
/// # Errors
/// If the Dockerfile is missing, or something cannot be read.
pub fn context_files(folder: &Path, dockerfile: &str) -> Result<Vec<ContextFile>, ContextError> {
    if !folder.join(dockerfile).is_file() {
        return Err(ContextError::NoDockerfile {
            folder: folder.to_owned(),
            dockerfile: dockerfile.to_owned(),
        });
    }
    let own_ignore = format!("{dockerfile}.dockerignore");
    let ignore_file = if folder.join(&own_ignore).is_file() {
        own_ignore
    } else {
        ".dockerignore".to_owned()
    };
    let ignore = match fs::read(folder.join(&ignore_file)) {
        Ok(text) => Ignore::parse(&String::from_utf8_lossy(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ignore::default(),
        Err(source) => {
            return Err(ContextError::Read {
                path: folder.join(ignore_file),
                source,
            });
        }
    };
    // The builder itself reads these two, whatever the patterns say.
    let always = [clean(dockerfile), ignore_file];
    let mut files = Vec::new();
    // A stack, not recursion: a folder can be deeper than a thread's stack.
    let mut folders = vec![(folder.to_owned(), String::new(), false)];
    while let Some((path, relative, is_ignored)) = folders.pop() {
        let read = |source| ContextError::Read {
            path: path.clone(),
            source,
        };
        for entry in fs::read_dir(&path).map_err(read)? {
            let entry = entry.map_err(read)?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let inside = if relative.is_empty() {
                name
            } else {
                format!("{relative}/{name}")
            };
            let kind = entry.file_type().map_err(read)?;
            let is_left_out = ignore.leaves_out(&inside, is_ignored);
            let is_needed = always.contains(&inside);
            if kind.is_dir() {
                let leads_to_needed = always.iter().any(|path| {
                    path.strip_prefix(&inside)
                        .is_some_and(|rest| rest.starts_with('/'))
                });
                if !is_left_out {
                    files.push(ContextFile {
                        path: inside.clone(),
                        kind: ContextKind::Folder,
                    });
                }
                if !is_left_out || ignore.has_exceptions || leads_to_needed {
                    folders.push((entry.path(), inside, is_left_out));
                }
                continue;
            }
            if is_left_out && !is_needed {
                continue;
            }
            let kind = if kind.is_symlink() {
                let target = fs::read_link(entry.path()).map_err(read)?;
                ContextKind::Link {
                    target: target.to_string_lossy().into_owned(),
                }
            } else if kind.is_file() {
                ContextKind::File {
                    executable: is_executable(&entry.metadata().map_err(read)?),
                }
            } else {
                // Sockets, pipes and devices are no input of a build.
                continue;
            };
            files.push(ContextFile { path: inside, kind });
        }
    }
    files.sort();
    Ok(files)
}

/// A digest of everything a build is made from: 64 hex digits.
///
/// # Errors
/// If the context cannot be listed or read.
pub fn build_digest<'a>(
    folder: &Path,
    dockerfile: &str,
    target: Option<&str>,
    args: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<String, ContextError> {
    let mut hasher = Sha256::new();
    let mut word = |text: &[u8]| {
        // The length first, so that no two lists of words hash alike.
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text);
    };
    word(b"build 1");
    word(dockerfile.as_bytes());
    match target {
        Some(target) => word(target.as_bytes()),
        None => word(b""),
    }
    for (name, value) in args {
        word(name.as_bytes());
        word(value.as_bytes());
    }
    for file in context_files(folder, dockerfile)? {
        word(file.path.as_bytes());
        match &file.kind {
            ContextKind::Folder => word(b"folder"),
            ContextKind::Link { target } => {
                word(b"link");
                word(target.as_bytes());
            }
            ContextKind::File { executable } => {
                word(if *executable { b"program" } else { b"file" });
                word(&file_digest(&folder.join(&file.path))?);
            }
        }
    }
    Ok(hex(&hasher.finalize()))
}

/// Read in pieces: a context can hold files larger than memory.
pub(super) fn file_digest(path: &Path) -> Result<[u8; 32], ContextError> {
    let read = |source| ContextError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = fs::File::open(path).map_err(read)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match io::Read::read(&mut file, &mut piece).map_err(read)? {
            0 => return Ok(hasher.finalize().into()),
            length => hasher.update(&piece[..length]),
        }
    }
}

#[cfg(unix)]
fn is_executable(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o111 != 0
}

#[cfg(not(unix))]
fn is_executable(_: &fs::Metadata) -> bool {
    false
}

/// The patterns of a `.dockerignore`: the last that matches decides.
#[derive(Debug, Default)]
struct Ignore {
    patterns: Vec<(bool, String)>,
    has_exceptions: bool,
}

impl Ignore {
    fn parse(text: &str) -> Self {
        let patterns: Vec<(bool, String)> = text
            .trim_start_matches('\u{feff}')
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| match line.strip_prefix('!') {
                Some(kept) => (false, clean(kept.trim())),
                None => (true, clean(line)),
            })
            .filter(|(_, pattern)| !pattern.is_empty())
            .collect();
        Self {
            has_exceptions: patterns.iter().any(|(leaves_out, _)| !leaves_out),
            patterns,
        }
    }

    /// What holds for a folder holds for all in it, unless a later pattern says otherwise.
    fn leaves_out(&self, path: &str, is_parent_left_out: bool) -> bool {
        let matching = |pattern: &str| {
            // A pattern that matches a folder around it matches it, too.
            glob::matches(pattern, path)
                || path
                    .match_indices('/')
                    .any(|(at, _)| glob::matches(pattern, &path[..at]))
        };
        self.patterns
            .iter()
            .rev()
            .find(|(_, pattern)| matching(pattern))
            .map_or(is_parent_left_out, |(leaves_out, _)| *leaves_out)
    }
}

/// `./a//b/` as `a/b`.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn listed(folder: &Path) -> Vec<String> {
        let files = context_files(folder, "Dockerfile").unwrap();
        files.into_iter().map(|file| file.path).collect()
    }

    fn digest(folder: &Path) -> String {
        build_digest(folder, "Dockerfile", None, std::iter::empty()).unwrap()
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let folder = folder(&[
            (
                ".dockerignore",
                "# c\n*.log\n!keep.log\nnode_modules\n**/tmp\nsub/*\n!sub/yes\n",
            ),
            ("Dockerfile", ""),
            ("a.log", ""),
            ("keep.log", ""),
            ("node_modules/x/y", ""),
            ("deep/tmp/z", ""),
            ("deep/a.log", ""),
            ("sub/no", ""),
            ("sub/yes", ""),
        ]);
        assert_eq!(
            listed(folder.path()),
            [
                ".dockerignore",
                "Dockerfile",
                "deep",
                "deep/a.log",
                "keep.log",
                "sub",
                "sub/yes"
            ]
        );
    }

    #[test]
    fn the_dockerfile_goes_in_even_if_everything_is_ignored() {
        let folder = folder(&[(".dockerignore", "*"), ("Dockerfile", ""), ("a", "")]);
        assert_eq!(listed(folder.path()), [".dockerignore", "Dockerfile"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_link_out_of_the_context_is_listed_as_a_link() {
        let folder = folder(&[("Dockerfile", "")]);
        std::os::unix::fs::symlink("/", folder.path().join("root")).unwrap();
        let files = context_files(folder.path(), "Dockerfile").unwrap();
        assert_eq!(files.len(), 2);
        assert_eq!(
            files[1].kind,
            ContextKind::Link {
                target: "/".to_owned()
            }
        );
    }

    #[test]
    fn the_digest_changes_with_content_name_target_and_arguments_only() {
        let one = folder(&[("Dockerfile", "FROM a"), ("x", "1")]);
        let same = folder(&[("x", "1"), ("Dockerfile", "FROM a")]);
        assert_eq!(digest(one.path()), digest(same.path()));
        let content = folder(&[("Dockerfile", "FROM a"), ("x", "2")]);
        let name = folder(&[("Dockerfile", "FROM a"), ("y", "1")]);
        assert_ne!(digest(one.path()), digest(content.path()));
        assert_ne!(digest(one.path()), digest(name.path()));
        let with = |target: Option<&str>, args: &[(&str, &str)]| {
            build_digest(one.path(), "Dockerfile", target, args.iter().copied()).unwrap()
        };
        assert_ne!(with(None, &[]), with(Some("dev"), &[]));
        assert_ne!(with(None, &[("A", "1")]), with(None, &[("A", "2")]));
    }

    #[test]
    fn a_missing_dockerfile_is_named() {
        let folder = folder(&[("x", "")]);
        let error = context_files(folder.path(), "Dockerfile").unwrap_err();
        assert!(error.to_string().ends_with("has no `Dockerfile`"));
    }
}
