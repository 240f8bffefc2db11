//! The files that a conversion reads, and how their relative paths are written
//! from the folder of the `cosmos.toml`.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{diagnostics::Source, read::plain},
    workspace::name::label_from,
};

/// Compose files of all of GitHub that were looked at are below a tenth of it.
const LARGEST: u64 = 1 << 20;

/// More files than anybody's `include` and `extends` lead to.
const MOST: usize = 64;

/// A file that was read.
#[derive(Debug)]
struct Opened {
    source: Arc<Source>,
    /// Where its relative paths start.
    folder: PathBuf,
}

/// All files that were read.
#[derive(Debug)]
pub(super) struct Files {
    opened: Vec<Opened>,
    /// Where the relative paths of the `cosmos.toml` start.
    target: PathBuf,
}

impl Files {
    pub(super) fn new(target: &Path) -> Self {
        Self {
            opened: Vec::new(),
            target: real(target),
        }
    }

    /// Reads a file; its number. Its relative paths start at `folder`, else where it is.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn open(
        &mut self,
        path: &Path,
        name: &str,
        folder: Option<&Path>,
    ) -> Result<usize, Unreadable> {
        if self.opened.len() >= MOST {
            return Err(Unreadable::said(format!(
                "`{name}` would be one of more than {MOST} files"
            )));
        }
        let text = read(path, name)?;
        let folder = match folder {
            Some(folder) => folder,
            None => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        };
        self.opened.push(Opened {
            source: Arc::new(Source::new(name, text)),
            folder: real(folder),
        });
        Ok(self.opened.len() - 1)
    }

    /// What a file is called in messages.
    pub(super) fn name(&self, file: usize) -> &str {
        let opened = self.opened.get(file);
        opened.map_or("", |opened| opened.source.name.as_str())
    }

    /// The text of a file.
    pub(super) fn source(&self, file: usize) -> Option<&Arc<Source>> {
        self.opened.get(file).map(|opened| &opened.source)
    }

    /// The path on this machine that a file means by `path`.
    pub(super) fn absolute(&self, file: usize, path: &str) -> PathBuf {
        let folder = self.opened.get(file).map(|opened| &opened.folder);
        folder.map_or_else(|| PathBuf::from(path), |folder| tidy(&folder.join(path)))
    }

    /// The same path, as the `cosmos.toml` has it.
    pub(super) fn relative(&self, file: usize, path: &str) -> String {
        if path.starts_with(['/', '~', '$']) {
            return path.to_owned();
        }
        between(&self.target, &self.absolute(file, path))
    }

    /// The workspace's name, where nothing else is said.
    pub(super) fn target_name(&self) -> String {
        let folder = self.target.file_name().unwrap_or_default();
        label_from(&folder.to_string_lossy()).unwrap_or_default()
    }

    /// Whether a path of the `cosmos.toml` leads to something.
    pub(super) fn is_there(&self, path: &str) -> bool {
        self.target.join(path).exists()
    }

    /// Whether relative paths of a file and of the `cosmos.toml` start in one folder.
    pub(super) fn is_beside(&self, file: usize) -> bool {
        self.opened
            .get(file)
            .is_some_and(|opened| opened.folder == self.target)
    }
}

/// Why a file is not read.
#[derive(Debug)]
pub(super) struct Unreadable {
    /// In words.
    pub(super) message: String,
    /// What to do about it.
    pub(super) help: String,
    /// For a text that is no text: what it is, and from which byte on.
    pub(super) at: Option<(Source, usize)>,
}

impl Unreadable {
    fn said(message: String) -> Self {
        Self {
            message,
            help: "name another file".to_owned(),
            at: None,
        }
    }
}

fn read(path: &Path, name: &str) -> Result<String, Unreadable> {
    let refused = |error: &io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unreadable::said(format!("there is no `{name}`")),
        io::ErrorKind::PermissionDenied => Unreadable {
            help: format!("let this user read it: `chmod u+r {name}`"),
            ..Unreadable::said(format!("this user may not read `{name}`"))
        },
        _ => Unreadable::said(format!("cannot read `{name}`: {}", plain(error))),
    };
    // Looked at before it is opened: opening a pipe waits for whoever writes to it.
    let metadata = fs::metadata(path).map_err(|error| refused(&error))?;
    if metadata.is_dir() {
        return Err(Unreadable {
            help: "name the file in it".to_owned(),
            ..Unreadable::said(format!("`{name}` is a folder"))
        });
    }
    if !metadata.is_file() {
        return Err(Unreadable::said(format!(
            "`{name}` is no plain file, but a pipe, a socket or a device"
        )));
    }
    let mut bytes = Vec::new();
    // No more than is refused, even if it grows meanwhile.
    File::open(path)
        .and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        .map_err(|error| refused(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Unreadable::said(format!(
            "`{name}` is larger than 1 MiB, which no Compose file is"
        )));
    }
    match String::from_utf8(bytes) {
        Ok(text) => match text.strip_prefix('\u{feff}') {
            Some(text) => Ok(text.to_owned()),
            None => Ok(text),
        },
        Err(error) => {
            let at = error.utf8_error().valid_up_to();
            let source = Source::new(name, String::from_utf8_lossy(error.as_bytes()));
            Err(Unreadable {
                message: format!("`{name}` is not UTF-8 text"),
                help: "save the file as UTF-8".to_owned(),
                at: Some((source, at)),
            })
        }
    }
}

fn real(folder: &Path) -> PathBuf {
    fs::canonicalize(folder).unwrap_or_else(|_| tidy(folder))
}

/// Without `.` and `..`, by the text alone.
fn tidy(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut tidy, part| {
        match part {
            Component::CurDir => {}
            Component::ParentDir if tidy.file_name().is_some() => {
                tidy.pop();
            }
            part => tidy.push(part),
        }
        tidy
    })
}

/// The way from a folder to a path: `./api`, `../shared/api`.
fn between(from: &Path, to: &Path) -> String {
    let common = from
        .components()
        .zip(to.components())
        .take_while(|(one, other)| one == other)
        .count();
    let up = from.components().count() - common;
    let rest: PathBuf = to.components().skip(common).collect();
    let mut way = match up {
        0 => "./".to_owned(),
        up => "../".repeat(up),
    };
    way.push_str(&rest.to_string_lossy());
    if way.ends_with('/') && way != "./" {
        way.pop();
    }
    match way.as_str() {
        "./" => ".".to_owned(),
        _ => way,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_a_person_would() {
        let way = |to: &str| between(Path::new("/a/b"), &tidy(Path::new(to)));
        assert_eq!(way("/a/b"), ".");
        assert_eq!(way("/a/b/c/./d"), "./c/d");
        assert_eq!(way("/a/b/../c"), "../c");
        assert_eq!(way("/a"), "..");
        assert_eq!(way("/x/y"), "../../x/y");
    }

    #[test]
    fn each_kind_of_file_that_is_none_is_told_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let said = |path: &Path| read(path, "x").unwrap_err().message;
        assert_eq!(said(&path), "there is no `x`");
        assert_eq!(said(folder.path()), "`x` is a folder");
        assert_eq!(
            said(Path::new("/dev/zero")),
            "`x` is no plain file, but a pipe, a socket or a device"
        );
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(
            said(&path),
            "`x` is no plain file, but a pipe, a socket or a device"
        );
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink(&path, &path).unwrap();
        assert!(
            said(&path).starts_with("cannot read `x`: "),
            "{}",
            said(&path)
        );
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"a: \xff").unwrap();
        assert_eq!(said(&path), "`x` is not UTF-8 text");
        fs::write(&path, " ".repeat((1 << 20) + 1)).unwrap();
        assert_eq!(
            said(&path),
            "`x` is larger than 1 MiB, which no Compose file is"
        );
    }
}
