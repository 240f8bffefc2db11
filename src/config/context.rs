//! The files an image is built from.
//!
//! What is listed here is what is hashed for the image's tag and what the CLI
//! puts into the tar, so the two cannot differ. Order: by path. Nothing is
//! followed: a link is listed as a link, and one that leads out of the context is
//! refused, since the builder would find nothing there.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Component, Path, PathBuf},
};

use sha2::{Digest as _, Sha256};

use super::{
    ignore::{BadPattern, Ignore, Matches, clean, text_of},
    read::{Unreadable, read},
};
use crate::workspace::fingerprint::hex;

/// One entry of a build context.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ContextFile {
    /// Relative to the context. Not every name is UTF-8.
    pub path: PathBuf,
    /// What it is.
    pub kind: ContextKind,
}

/// What an entry of a build context is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ContextKind {
    /// A folder.
    Folder {
        /// Who may do what: `0o755`.
        mode: u32,
    },
    /// A file. One with several names is a file of each.
    File {
        /// Who may do what: `0o644`.
        mode: u32,
    },
    /// A link.
    Link {
        /// Its text.
        target: PathBuf,
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
    /// A link leads out of it.
    #[error("`{}` of the build context leads out of it, to `{}`", .path.display(), .target.display())]
    LeadsOut {
        /// The link, relative to the context.
        path: PathBuf,
        /// Its text.
        target: PathBuf,
    },
    /// Something in it has no content that could be sent.
    #[error("`{}` of the build context is a {what}", .path.display())]
    Special {
        /// What, relative to the context.
        path: PathBuf,
        /// A pipe or a device.
        what: &'static str,
    },
    /// A line of its `.dockerignore` cannot be read.
    #[error("`{pattern}` in line {line} of `{file}` is no pattern")]
    Pattern {
        /// The file, relative to the context.
        file: String,
        /// The line.
        line: usize,
        /// As it is written.
        pattern: String,
    },
}

/// Lists what goes into a build: everything in `folder` but what its
/// `.dockerignore` (or `<dockerfile>.dockerignore`) leaves out, and but sockets.
///
/// # Errors
/// If the Dockerfile is missing, something cannot be read, or cannot be sent.
pub fn context_files(folder: &Path, dockerfile: &str) -> Result<Vec<ContextFile>, ContextError> {
    if !folder.join(dockerfile).is_file() {
        return Err(ContextError::NoDockerfile {
            folder: folder.to_owned(),
            dockerfile: dockerfile.to_owned(),
        });
    }
    let (ignore, ignore_file) = ignore_of(folder, dockerfile)?;
    // The builder itself reads these two, whatever the patterns say.
    let always = [clean(dockerfile), ignore_file];
    let mut files = Vec::new();
    // A stack, not recursion: a folder can be deeper than a thread's stack.
    let mut folders = vec![(PathBuf::new(), Matches::default())];
    while let Some((relative, around)) = folders.pop() {
        let read = |source| ContextError::Read {
            path: folder.join(&relative),
            source,
        };
        for entry in fs::read_dir(folder.join(&relative)).map_err(read)? {
            let entry = entry.map_err(read)?;
            let path = relative.join(entry.file_name());
            let text = text_of(&path);
            let (is_left_out, matches) = ignore.look(&around, &text);
            let is_needed = !is_left_out || always.contains(&text);
            let kind = entry.file_type().map_err(read)?;
            if kind.is_dir() {
                let leads_to_needed = always.iter().any(|path| {
                    path.strip_prefix(&text)
                        .is_some_and(|rest| rest.starts_with('/'))
                });
                if !is_left_out || leads_to_needed || ignore.may_take_in(&text) {
                    folders.push((path.clone(), matches));
                }
                if is_left_out {
                    continue;
                }
            } else if !is_needed {
                continue;
            }
            if let Some(kind) = kind_of(folder, &path, kind)? {
                files.push(ContextFile { path, kind });
            }
        }
    }
    files.sort();
    Ok(files)
}

/// What of a build context is left out, for whoever looks at one path of it at a time.
#[derive(Debug)]
pub struct LeftOut {
    folder: PathBuf,
    ignore: Ignore,
    always: [String; 2],
}

impl LeftOut {
    /// That of a Dockerfile's context.
    ///
    /// # Errors
    /// If its `.dockerignore` cannot be read.
    pub fn of(folder: &Path, dockerfile: &str) -> Result<Self, ContextError> {
        let (ignore, ignore_file) = ignore_of(folder, dockerfile)?;
        Ok(Self {
            folder: folder.to_owned(),
            ignore,
            always: [clean(dockerfile), ignore_file],
        })
    }

    /// Whether a path, absolute, is left out: a folder only if all that is in it is. What
    /// is not in the context is not left out of it.
    pub fn has(&self, path: &Path, is_folder: bool) -> bool {
        let Ok(relative) = path.strip_prefix(&self.folder) else {
            return false;
        };
        let text = text_of(relative);
        if text.is_empty() || self.always.contains(&text) {
            return false;
        }
        let mut around = Matches::default();
        for (end, _) in text.match_indices('/') {
            around = self.ignore.look(&around, &text[..end]).1;
        }
        let (is_left_out, _) = self.ignore.look(&around, &text);
        is_left_out && !(is_folder && self.ignore.may_take_in(&text))
    }
}

/// The patterns that hold for a Dockerfile, and the file that they are in.
fn ignore_of(folder: &Path, dockerfile: &str) -> Result<(Ignore, String), ContextError> {
    let own = format!("{}.dockerignore", clean(dockerfile));
    let file = if folder.join(&own).is_file() {
        own
    } else {
        ".dockerignore".to_owned()
    };
    let path = folder.join(&file);
    let unreadable = |source| ContextError::Read {
        path: path.clone(),
        source,
    };
    let text = match read(&path) {
        Ok(text) => text,
        Err(Unreadable::Absent) => return Ok((Ignore::default(), file)),
        Err(why) => return Err(unreadable(io::Error::other(why.to_string()))),
    };
    match Ignore::parse(&String::from_utf8_lossy(&text)) {
        Ok(ignore) => Ok((ignore, file)),
        Err(BadPattern { line, pattern }) => Err(ContextError::Pattern {
            file,
            line,
            pattern,
        }),
    }
}

/// What an entry is; none if it is nothing to a build.
fn kind_of(
    folder: &Path,
    path: &Path,
    kind: fs::FileType,
) -> Result<Option<ContextKind>, ContextError> {
    let read = |source| ContextError::Read {
        path: folder.join(path),
        source,
    };
    let mode = || {
        let metadata = fs::symlink_metadata(folder.join(path)).map_err(read)?;
        Ok(mode_of(&metadata))
    };
    if kind.is_dir() {
        return Ok(Some(ContextKind::Folder { mode: mode()? }));
    }
    if kind.is_file() {
        return Ok(Some(ContextKind::File { mode: mode()? }));
    }
    if kind.is_symlink() {
        let target = fs::read_link(folder.join(path)).map_err(read)?;
        if leads_out(path, &target) {
            return Err(ContextError::LeadsOut {
                path: path.to_owned(),
                target,
            });
        }
        return Ok(Some(ContextKind::Link { target }));
    }
    match special(kind) {
        Some(what) => Err(ContextError::Special {
            path: path.to_owned(),
            what,
        }),
        // Left lying about by whatever runs there; Docker passes over them, too.
        None => Ok(None),
    }
}

/// Whether a link's text leads out of the context that the link is in.
fn leads_out(link: &Path, target: &Path) -> bool {
    let mut depth = link.components().count().saturating_sub(1);
    for part in target.components() {
        match part {
            Component::CurDir => {}
            Component::Normal(_) => depth += 1,
            Component::ParentDir => match depth.checked_sub(1) {
                Some(up) => depth = up,
                None => return true,
            },
            Component::RootDir | Component::Prefix(_) => return true,
        }
    }
    false
}

/// Opens a file of a context to read it. What became something else since it was
/// listed is refused: a link is not followed, and a pipe not waited for.
///
/// # Errors
/// If it is no file any more, or may not be read.
pub fn open_file(path: &Path) -> io::Result<fs::File> {
    let mut options = fs::OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;

        use rustix::fs::OFlags;
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        // The bits of both are far below the sign's.
        options.custom_flags(flags.bits().cast_signed());
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a file any more"));
    }
    Ok(file)
}

#[cfg(unix)]
fn special(kind: fs::FileType) -> Option<&'static str> {
    use std::os::unix::fs::FileTypeExt as _;
    if kind.is_fifo() {
        return Some("named pipe");
    }
    (kind.is_block_device() || kind.is_char_device()).then_some("device")
}

#[cfg(not(unix))]
fn special(_: fs::FileType) -> Option<&'static str> {
    None
}

#[cfg(unix)]
fn mode_of(metadata: &fs::Metadata) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    metadata.permissions().mode() & 0o7777
}

#[cfg(not(unix))]
fn mode_of(_: &fs::Metadata) -> u32 {
    0o755
}

/// A digest of everything a build is made from, as it is read: 64 hex digits.
///
/// It does not depend on times and owners, since the builder's own cache does not.
pub struct BuildDigest(Sha256);

impl BuildDigest {
    /// That of a build without files so far.
    pub fn new<'a>(
        dockerfile: &str,
        target: Option<&str>,
        args: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let mut digest = Self(Sha256::new());
        digest.word(b"build 2");
        digest.word(clean(dockerfile).as_bytes());
        digest.word(target.unwrap_or_default().as_bytes());
        // In whatever order they are written, they mean the same.
        let args: BTreeMap<_, _> = args.collect();
        digest.word(&(args.len() as u64).to_le_bytes());
        for (name, value) in args {
            digest.word(name.as_bytes());
            digest.word(value.as_bytes());
        }
        digest
    }

    /// Adds an entry. A file's content is hashed by whoever reads it.
    pub fn add(&mut self, file: &ContextFile, content: Option<[u8; 32]>) {
        self.word(file.path.as_os_str().as_encoded_bytes());
        match &file.kind {
            ContextKind::Folder { mode } => {
                self.word(b"folder");
                self.word(&mode.to_le_bytes());
            }
            ContextKind::Link { target } => {
                self.word(b"link");
                self.word(target.as_os_str().as_encoded_bytes());
            }
            ContextKind::File { mode } => {
                self.word(b"file");
                self.word(&mode.to_le_bytes());
                self.word(&content.unwrap_or_default());
            }
        }
    }

    /// All of it.
    pub fn finish(self) -> String {
        hex(&self.0.finalize())
    }

    fn word(&mut self, text: &[u8]) {
        // The length first, so that no two lists of words hash alike.
        self.0.update((text.len() as u64).to_le_bytes());
        self.0.update(text);
    }
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
    let mut digest = BuildDigest::new(dockerfile, target, args);
    for file in context_files(folder, dockerfile)? {
        let content = match &file.kind {
            ContextKind::File { .. } => Some(file_digest(&folder.join(&file.path))?),
            ContextKind::Folder { .. } | ContextKind::Link { .. } => None,
        };
        digest.add(&file, content);
    }
    Ok(digest.finish())
}

/// Read in pieces: a context can hold files larger than memory.
pub(super) fn file_digest(path: &Path) -> Result<[u8; 32], ContextError> {
    let read = |source| ContextError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = open_file(path).map_err(read)?;
    let mut hasher = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match io::Read::read(&mut file, &mut piece).map_err(read)? {
            0 => return Ok(hasher.finalize().into()),
            length => hasher.update(&piece[..length]),
        }
    }
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
        files.iter().map(|file| text_of(&file.path)).collect()
    }

    fn digest(folder: &Path) -> String {
        build_digest(folder, "Dockerfile", None, std::iter::empty()).unwrap()
    }

    #[test]
    fn one_path_at_a_time_the_same_is_left_out_as_of_the_whole() {
        let text = "*.log\n!keep.log\nnode_modules\n**/tmp\nsub/*\n!sub/yes\nDockerfile\n";
        let folder = folder(&[(".dockerignore", text), ("Dockerfile", "")]);
        let left_out = LeftOut::of(folder.path(), "Dockerfile").unwrap();
        for (path, is_folder, is_out) in [
            ("a.log", false, true),
            ("keep.log", false, false),
            ("deep/a.log", false, false),
            ("node_modules", true, true),
            ("node_modules/x/y", false, true),
            ("deep/tmp/z", false, true),
            ("sub", true, false),
            ("sub/no", false, true),
            ("sub/yes", false, false),
            ("sub/deep", true, true),
            ("Dockerfile", false, false),
        ] {
            let path = folder.path().join(path);
            assert_eq!(left_out.has(&path, is_folder), is_out, "{}", path.display());
        }
        assert!(!left_out.has(Path::new("/elsewhere/a.log"), false));
    }

    #[test]
    fn what_is_ignored_is_left_out_and_the_rest_listed_by_path() {
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
        let files = [
            (".dockerignore", "*"),
            ("Dockerfile", ""),
            ("a", ""),
            ("docker/Dockerfile", ""),
            ("docker/a", ""),
        ];
        let folder = folder(&files);
        assert_eq!(listed(folder.path()), [".dockerignore", "Dockerfile"]);
        let other = context_files(folder.path(), "./docker/Dockerfile").unwrap();
        let other: Vec<_> = other.iter().map(|file| text_of(&file.path)).collect();
        assert_eq!(other, [".dockerignore", "docker/Dockerfile"]);
    }

    #[test]
    fn the_dockerfiles_own_ignore_file_goes_before_the_contexts() {
        let folder = folder(&[
            (".dockerignore", "a"),
            ("Dockerfile", ""),
            ("Dockerfile.dockerignore", "b"),
            ("a", ""),
            ("b", ""),
        ]);
        assert_eq!(
            listed(folder.path()),
            [
                ".dockerignore",
                "Dockerfile",
                "Dockerfile.dockerignore",
                "a"
            ]
        );
    }

    #[test]
    fn a_pattern_that_makes_no_sense_is_named() {
        let folder = folder(&[(".dockerignore", "a\n[b\n"), ("Dockerfile", "")]);
        let error = context_files(folder.path(), "Dockerfile").unwrap_err();
        let said = "`[b` in line 2 of `.dockerignore` is no pattern";
        assert_eq!(error.to_string(), said);
    }

    #[test]
    fn a_missing_dockerfile_is_named() {
        let folder = folder(&[("x", "")]);
        let error = context_files(folder.path(), "Dockerfile").unwrap_err();
        assert!(error.to_string().ends_with("has no `Dockerfile`"));
    }

    #[test]
    fn a_link_leads_out_where_its_text_does() {
        for (link, target, is_out) in [
            ("a", "b", false),
            ("a", "./b/../c", false),
            ("x/a", "../b", false),
            ("x/y/a", "../../b", false),
            ("a", "..", true),
            ("a", "../b", true),
            ("x/a", "../../b", true),
            // In and out again is out.
            ("a", "x/../../b", true),
            ("a", "/", true),
            ("x/a", "/x/b", true),
        ] {
            let leads = leads_out(Path::new(link), Path::new(target));
            assert_eq!(leads, is_out, "{link} -> {target}");
        }
    }

    #[cfg(unix)]
    mod unix {
        use std::{
            ffi::OsStr,
            os::unix::{
                ffi::OsStrExt as _,
                fs::{PermissionsExt as _, symlink},
                net::UnixListener,
            },
        };

        use super::*;

        fn said(folder: &Path) -> String {
            let error = context_files(folder, "Dockerfile").unwrap_err();
            error.to_string()
        }

        fn set_mode(path: &Path, mode: u32) {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        }

        #[test]
        fn a_link_out_of_the_context_is_refused_unless_it_is_ignored() {
            let folder = folder(&[("Dockerfile", ""), ("sub/x", "")]);
            symlink("../../etc", folder.path().join("sub/out")).unwrap();
            assert_eq!(
                said(folder.path()),
                "`sub/out` of the build context leads out of it, to `../../etc`"
            );
            fs::write(folder.path().join(".dockerignore"), "sub/out").unwrap();
            let _ = listed(folder.path());
        }

        #[test]
        fn a_link_inside_the_context_is_listed_as_a_link() {
            let folder = folder(&[("Dockerfile", ""), ("sub/x", "")]);
            symlink("../sub", folder.path().join("sub/loop")).unwrap();
            let files = context_files(folder.path(), "Dockerfile").unwrap();
            assert_eq!(files.len(), 4);
            let target = PathBuf::from("../sub");
            assert_eq!(files[2].kind, ContextKind::Link { target });
        }

        #[test]
        fn a_pipe_is_refused_unless_it_is_ignored_and_a_socket_passed_over() {
            let folder = folder(&[("Dockerfile", "")]);
            let _socket = UnixListener::bind(folder.path().join("socket")).unwrap();
            assert_eq!(listed(folder.path()), ["Dockerfile"]);
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            assert_eq!(
                said(folder.path()),
                "`pipe` of the build context is a named pipe"
            );
            fs::write(folder.path().join(".dockerignore"), "pipe").unwrap();
            let _ = listed(folder.path());
        }

        #[test]
        fn a_file_that_became_a_link_or_a_pipe_is_not_opened() {
            let folder = folder(&[("x", "1")]);
            let link = folder.path().join("link");
            symlink("x", &link).unwrap();
            assert!(open_file(&link).is_err());
            let pipe = folder.path().join("pipe");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            assert!(open_file(&pipe).is_err());
            open_file(&folder.path().join("x")).unwrap();
        }

        #[test]
        fn an_ignore_file_that_is_none_is_refused_and_not_waited_for() {
            let folder = folder(&[("Dockerfile", "")]);
            let pipe = folder.path().join(".dockerignore");
            let made = std::process::Command::new("mkfifo").arg(&pipe).status();
            assert!(made.unwrap().success());
            assert!(said(folder.path()).contains(".dockerignore"));
        }

        #[test]
        fn names_need_not_be_utf8_and_may_be_long() {
            let folder = folder(&[("Dockerfile", "")]);
            let strange = OsStr::from_bytes(b"a\xffb");
            let long = "n".repeat(255);
            fs::write(folder.path().join(strange), "").unwrap();
            fs::create_dir(folder.path().join(&long)).unwrap();
            fs::write(folder.path().join(&long).join(&long), "").unwrap();
            let files = context_files(folder.path(), "Dockerfile").unwrap();
            assert!(files.iter().any(|file| file.path == Path::new(strange)));
            assert!(
                files
                    .iter()
                    .any(|file| file.path == Path::new(&long).join(&long))
            );
            let before = digest(folder.path());
            fs::rename(
                folder.path().join(strange),
                folder.path().join(OsStr::from_bytes(b"a\xfeb")),
            )
            .unwrap();
            assert_ne!(digest(folder.path()), before);
        }

        /// What a change of a context is to its digest.
        type Change = (&'static str, fn(&Path));

        const TELLING: [Change; 9] = [
            ("content", |it| fs::write(it.join("x"), "2").unwrap()),
            ("an empty file", |it| fs::write(it.join("y"), "").unwrap()),
            ("an empty folder", |it| {
                fs::create_dir(it.join("y")).unwrap()
            }),
            ("a name", |it| {
                fs::rename(it.join("x"), it.join("y")).unwrap()
            }),
            ("a file less", |it| fs::remove_file(it.join("x")).unwrap()),
            ("a mode", |it| set_mode(&it.join("x"), 0o755)),
            ("a folder's mode", |it| set_mode(&it.join("sub"), 0o700)),
            ("a link's target", |it| {
                fs::remove_file(it.join("link")).unwrap();
                symlink("sub", it.join("link")).unwrap();
            }),
            ("what is ignored", |it| {
                fs::write(it.join(".dockerignore"), "ignored\nx\n").unwrap();
            }),
        ];

        const NOTHING: [Change; 4] = [
            ("a time", |it| {
                let file = fs::File::open(it.join("x")).unwrap();
                file.set_modified(std::time::SystemTime::UNIX_EPOCH)
                    .unwrap();
            }),
            ("what is ignored", |it| {
                fs::write(it.join("ignored/a"), "2").unwrap();
                fs::write(it.join("ignored/b"), "").unwrap();
            }),
            ("the same again", |it| {
                fs::remove_file(it.join("x")).unwrap();
                fs::write(it.join("x"), "1").unwrap();
                set_mode(&it.join("x"), 0o644);
            }),
            ("a second name of a file", |it| {
                fs::hard_link(it.join("x"), it.join("ignored/x")).unwrap();
            }),
        ];

        fn sample() -> tempfile::TempDir {
            let folder = folder(&[
                ("Dockerfile", "FROM a"),
                (".dockerignore", "ignored\n"),
                ("x", "1"),
                ("sub/x", "1"),
                ("ignored/a", "1"),
            ]);
            symlink("x", folder.path().join("link")).unwrap();
            for (path, mode) in [("x", 0o644), ("sub", 0o755), ("sub/x", 0o644)] {
                set_mode(&folder.path().join(path), mode);
            }
            folder
        }

        #[test]
        fn the_digest_depends_on_all_that_goes_in() {
            for (what, change) in TELLING {
                let folder = sample();
                let before = digest(folder.path());
                change(folder.path());
                assert_ne!(digest(folder.path()), before, "{what}");
            }
        }

        #[test]
        fn the_digest_depends_on_nothing_else() {
            for (what, change) in NOTHING {
                let folder = sample();
                let before = digest(folder.path());
                change(folder.path());
                assert_eq!(digest(folder.path()), before, "{what}");
            }
            assert_eq!(digest(sample().path()), digest(sample().path()));
        }
    }

    #[test]
    fn the_digest_depends_on_target_and_arguments_but_not_on_their_order() {
        let folder = folder(&[("Dockerfile", "FROM a")]);
        let with = |target: Option<&str>, args: &[(&str, &str)]| {
            build_digest(folder.path(), "Dockerfile", target, args.iter().copied()).unwrap()
        };
        let plain = with(None, &[]);
        let one = with(None, &[("A", "1"), ("B", "2")]);
        assert_eq!(one, with(None, &[("B", "2"), ("A", "1")]));
        for other in [
            with(Some("dev"), &[]),
            with(None, &[("A", "1")]),
            with(None, &[("A", "2"), ("B", "1")]),
            with(None, &[("A1", ""), ("B", "2")]),
        ] {
            assert_ne!(other, plain);
            assert_ne!(other, one);
        }
    }
}
