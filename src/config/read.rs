//! Reading files, whatever is behind their names.
//!
//! One reader for everything a config is read from: its layers, env files,
//! config files and secrets. It never waits (a pipe has no end), never reads
//! more than [`LARGEST`] bytes, and says in words why it does not read.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::diagnostics::{Diagnostic, Location, Source};

/// More is no config, no secret and no config file, but a mistake, and all of it
/// would be held in memory. A file of ten thousand services is smaller.
pub(super) const LARGEST: u64 = 4 << 20;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("there is no such file")]
    Absent,
    #[error("it is a folder")]
    Folder,
    #[error("it is {0}, not a file")]
    Special(&'static str),
    #[error("it is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    #[error("its links lead in a circle")]
    Circle,
    #[error("{}", plain(.0))]
    System(#[from] io::Error),
}

impl Unreadable {
    fn of(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            return Self::Absent;
        }
        #[cfg(unix)]
        if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
            return Self::Circle;
        }
        Self::System(error)
    }

    /// What to do about it.
    pub(super) fn help(&self) -> &'static str {
        match self {
            Self::Absent => "create the file, or mend the path",
            Self::Folder => "name a file in it",
            Self::Special(_) => "write what it gives into a file, and name that",
            Self::TooLarge => "that is no file of this kind: mend the path",
            Self::Circle => "mend the links: `readlink -f` shows where they lead",
            Self::System(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                "let your user read it: chmod u+r, or chown"
            }
            Self::System(_) => "mend the path, or what it leads to",
        }
    }
}

/// Reads a whole file, if it is one and not too large.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Unreadable> {
    // Looked at before it is opened, since to open a device can do something;
    // and once more after, since it can have become another meanwhile.
    check(&fs::metadata(path).map_err(Unreadable::of)?)?;
    let file = open(path).map_err(Unreadable::of)?;
    let metadata = file.metadata()?;
    check(&metadata)?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1);
    io::Read::read_to_end(&mut io::Read::take(file, LARGEST + 1), &mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Unreadable::TooLarge);
    }
    Ok(bytes)
}

/// Without waiting: a pipe would wait for somebody to write.
fn open(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        let flags = rustix::fs::OFlags::NONBLOCK.bits();
        options.custom_flags(i32::try_from(flags).unwrap_or(0));
    }
    options.open(path)
}

fn check(metadata: &fs::Metadata) -> Result<(), Unreadable> {
    let kind = metadata.file_type();
    if kind.is_dir() {
        return Err(Unreadable::Folder);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt as _;
        if kind.is_fifo() {
            return Err(Unreadable::Special("a pipe"));
        }
        if kind.is_socket() {
            return Err(Unreadable::Special("a socket"));
        }
        if kind.is_char_device() || kind.is_block_device() {
            return Err(Unreadable::Special("a device"));
        }
    }
    if metadata.len() > LARGEST {
        return Err(Unreadable::TooLarge);
    }
    Ok(())
}

/// Reads a text file. A problem carries its place, where it has one.
pub(super) fn read_text(
    path: &Path,
    name: &str,
    rank: usize,
) -> Result<Option<Source>, Box<Diagnostic>> {
    let bytes = match read(path) {
        Ok(bytes) => bytes,
        Err(Unreadable::Absent) => return Ok(None),
        Err(why) => {
            let mut problem = Diagnostic::error(format!("cannot read `{name}`: {why}"));
            problem.help(why.help());
            return Err(Box::new(problem));
        }
    };
    match String::from_utf8(bytes) {
        // Editors on Windows write a mark that no line shows; spans would be off by it.
        Ok(mut text) => {
            if text.starts_with('\u{feff}') {
                text.drain(..'\u{feff}'.len_utf8());
            }
            Ok(Some(Source::new(name, text)))
        }
        Err(error) => Err(Box::new(not_utf8(name, rank, &error))),
    }
}

fn not_utf8(name: &str, rank: usize, error: &std::string::FromUtf8Error) -> Diagnostic {
    let bytes = error.as_bytes();
    let at = error.utf8_error().valid_up_to();
    let is_utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
    let mut problem = Diagnostic::error(if is_utf16 {
        format!("`{name}` is UTF-16 text, not UTF-8")
    } else {
        format!("`{name}` is not UTF-8 text")
    });
    // The rest of the line is enough to show.
    let end = bytes.len().min(at + 200);
    let shown = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let source = Arc::new(Source::new(name, shown));
    problem
        .place(rank, Location::new(&source, at..at + 1))
        .help("save the file as UTF-8");
    problem
}

/// A path as short as it can be: relative to the project where it is inside.
pub(super) fn display_name(path: &Path, folder: &Path) -> String {
    let full = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            let parent = if parent.as_os_str().is_empty() {
                Path::new(".")
            } else {
                parent
            };
            fs::canonicalize(parent).map_or_else(|_| path.to_owned(), |parent| parent.join(name))
        }
        _ => path.to_owned(),
    };
    let short = full.strip_prefix(folder).unwrap_or(&full);
    short.display().to_string()
}

/// The folder that a config's relative paths start from.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    let folder = match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    // One that cannot be resolved cannot be read either: that is reported there.
    fs::canonicalize(folder).unwrap_or_else(|_| folder.to_owned())
}

/// What the system says, without its error number.
pub(super) fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_lowercase()
}

#[cfg(unix)]
#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of a thing that `make` puts at the path.
    fn said(make: impl FnOnce(&Path)) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        make(&path);
        match read(&path) {
            Ok(bytes) => format!("{} bytes", bytes.len()),
            Err(why) => why.to_string(),
        }
    }

    fn link(target: &'static str) -> impl FnOnce(&Path) {
        move |path| std::os::unix::fs::symlink(target, path).unwrap()
    }

    #[test]
    fn each_thing_that_is_no_file_is_named() {
        assert_eq!(said(|_| ()), "there is no such file");
        assert_eq!(said(link("nowhere")), "there is no such file");
        assert_eq!(said(|path| fs::create_dir(path).unwrap()), "it is a folder");
        assert_eq!(said(link("x")), "its links lead in a circle");
        assert_eq!(said(link("/dev/zero")), "it is a device, not a file");
        assert_eq!(said(link("/dev/null")), "it is a device, not a file");
        let socket = |path: &Path| drop(std::os::unix::net::UnixListener::bind(path).unwrap());
        assert_eq!(said(socket), "it is a socket, not a file");
        assert_eq!(said(make_pipe), "it is a pipe, not a file");
    }

    fn make_pipe(path: &Path) {
        use rustix::fs::{CWD, FileType, Mode, mknodat};
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    }

    #[test]
    fn a_file_behind_a_link_is_read() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a"), "abc").unwrap();
        std::os::unix::fs::symlink("a", folder.path().join("b")).unwrap();
        assert_eq!(read(&folder.path().join("b")).unwrap(), b"abc");
    }

    #[test]
    fn a_gibibyte_of_nothing_is_not_read() {
        let sparse =
            |length| move |path: &Path| fs::File::create(path).unwrap().set_len(length).unwrap();
        assert_eq!(said(sparse(1 << 30)), "it is larger than 4 MiB");
        assert_eq!(said(sparse(LARGEST + 1)), "it is larger than 4 MiB");
        assert_eq!(said(sparse(LARGEST)), "4194304 bytes");
    }

    #[test]
    fn a_file_that_does_not_say_its_length_is_read_to_its_end() {
        // The kernel's files have length 0.
        assert!(!read(Path::new("/proc/self/status")).unwrap().is_empty());
    }

    #[test]
    fn a_file_in_a_file_and_a_name_that_is_none_are_told_in_words() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a");
        fs::write(&file, "").unwrap();
        assert_eq!(
            read(&file.join("b")).unwrap_err().to_string(),
            "not a directory"
        );
        let long = folder.path().join("a".repeat(300));
        assert_eq!(read(&long).unwrap_err().to_string(), "file name too long");
        assert!(read(Path::new("a\0b")).is_err());
    }
}
