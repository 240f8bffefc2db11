//! The files that a conversion reads, and how their relative paths are written
//! from the folder of the `cosmos.toml`.

use std::{
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use crate::{
    config::{
        diagnostics::{Diagnostic, Source},
        read::read_text,
    },
    workspace::name::label_from,
};

/// Compose files of all of GitHub that were looked at are below a tenth of it.
const LARGEST: usize = 1 << 20;

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
    ) -> Result<usize, Box<Diagnostic>> {
        if self.opened.len() >= MOST {
            return Err(refused(format!(
                "`{name}` would be one of more than {MOST} files"
            )));
        }
        let source = read(path, name)?;
        let folder = match folder {
            Some(folder) => folder,
            None => match path.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            },
        };
        self.opened.push(Opened {
            source: Arc::new(source),
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

/// Reads a Compose file with the one reader of configs.
fn read(path: &Path, name: &str) -> Result<Source, Box<Diagnostic>> {
    let Some(source) = read_text(path, name, 0)? else {
        return Err(refused(format!("there is no `{name}`")));
    };
    if source.text.len() > LARGEST {
        return Err(refused(format!(
            "`{name}` is larger than 1 MiB, which no Compose file is"
        )));
    }
    Ok(source)
}

fn refused(message: String) -> Box<Diagnostic> {
    let mut problem = Diagnostic::error(message);
    problem.help("name another file");
    Box::new(problem)
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
        assert_eq!(said(folder.path()), "cannot read `x`: it is a folder");
        assert_eq!(
            said(Path::new("/dev/zero")),
            "cannot read `x`: it is a device, not a file"
        );
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &path,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR,
            0,
        )
        .unwrap();
        assert_eq!(said(&path), "cannot read `x`: it is a pipe, not a file");
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
