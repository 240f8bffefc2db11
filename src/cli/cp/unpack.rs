//! A tar from a container, put in its place here.
//!
//! It is not trusted: whoever writes in the container writes its names. So it is taken
//! apart in an empty folder of our own, beside the target: no name may lead out of that
//! one, nor through a link. Once all of it has arrived, it is moved to the target, where
//! what is a link already is replaced or refused, but never followed. Whatever goes wrong
//! before leaves nothing behind.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs::{self, File, FileTimes},
    io,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path, PathBuf},
    time::{Duration, SystemTime},
};

use rustix::fs::OFlags;

use super::pack::Copied;
use crate::reconcile::adhoc::random_word;

/// Where the tar goes here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    /// A folder that is there.
    pub(super) folder: PathBuf,
    /// What it is called in it; without a name, it is what is in it that goes there.
    pub(super) name: Option<OsString>,
}

/// What the names of a tar begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    /// All with one name: that of what was asked for.
    One,
    /// With a slash: the root was asked for. All of what is in it may come.
    Root,
}

/// Unpacks a tar and puts what is in it in its place.
pub(super) fn unpack(tar: impl io::Read, names: Names, target: &Target) -> io::Result<Copied> {
    let stage = Stage::in_folder(&target.folder)?;
    let (mut copied, folders) = stage.fill(tar, names)?;
    // Whatever comes of the rest, nothing was moved yet.
    let root = match names {
        Names::One => stage.only()?,
        Names::Root => Some(PathBuf::new()),
    };
    let Some(root) = root else {
        return match copied.left_out.is_empty() {
            true => Err(io::Error::other("nothing came")),
            false => Err(io::Error::other("it is a device, a pipe or a socket")),
        };
    };
    let from = stage.folder.join(&root);
    let to = match &target.name {
        Some(name) => target.folder.join(name),
        None => target.folder.clone(),
    };
    refuse_conflicts(&from, &to)?;
    let mut made = Vec::new();
    place(&from, &to, &mut made)?;
    // Last, as what is to be read-only could not be filled before.
    for folder in made.iter().rev() {
        let inside = folder.strip_prefix(&to).unwrap_or(Path::new(""));
        if let Some(kept) = folders.get(&root.join(inside)) {
            kept.give_to(folder)?;
        }
    }
    for left_out in &mut copied.left_out {
        *left_out = to.join(left_out.strip_prefix(&root).unwrap_or(left_out));
    }
    Ok(copied)
}

/// What a folder is to have once it is filled.
struct Kept {
    mode: u32,
    modified: SystemTime,
}

impl Kept {
    fn of(header: &tar::Header) -> io::Result<Self> {
        Ok(Self {
            // Set-user bits of somebody else's files are nothing to have here.
            mode: header.mode()? & 0o777,
            modified: SystemTime::UNIX_EPOCH
                .checked_add(Duration::from_secs(header.mtime()?))
                .unwrap_or(SystemTime::UNIX_EPOCH),
        })
    }

    fn give_to(&self, folder: &Path) -> io::Result<()> {
        let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
        let folder = File::options()
            .read(true)
            // The bits of both are far below the sign's.
            .custom_flags(flags.bits().cast_signed())
            .open(folder)?;
        folder.set_times(FileTimes::new().set_modified(self.modified))?;
        folder.set_permissions(fs::Permissions::from_mode(self.mode))
    }
}

/// A folder of ours in which a tar is taken apart. It goes when this does.
struct Stage {
    folder: PathBuf,
}

impl Stage {
    fn in_folder(folder: &Path) -> io::Result<Self> {
        let folder = folder.join(format!(".cosmos-cp-{}", random_word(12)));
        // Nobody else may put a link into it.
        let made = fs::DirBuilder::new().mode(0o700).create(&folder);
        made.map_err(|error| {
            let folder = folder.parent().unwrap_or(&folder).display();
            io::Error::new(error.kind(), format!("cannot write in `{folder}`: {error}"))
        })?;
        Ok(Self { folder })
    }

    /// Takes the tar apart in here: what there was, and the folders among it.
    fn fill(
        &self,
        tar: impl io::Read,
        names: Names,
    ) -> io::Result<(Copied, BTreeMap<PathBuf, Kept>)> {
        let mut copied = Copied::default();
        let mut folders = BTreeMap::new();
        let mut archive = tar::Archive::new(tar);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let kind = entry.header().entry_type();
            if kind.is_pax_global_extensions() {
                continue;
            }
            let path = inside(&entry.path()?, names)?;
            if kind.is_dir() {
                self.make_folder(&path)?;
                folders.insert(path, Kept::of(entry.header())?);
                continue;
            }
            let is_file = kind.is_file() || kind.is_contiguous() || kind.is_gnu_sparse();
            if !is_file && !kind.is_symlink() && !kind.is_hard_link() {
                copied.left_out.push(path);
                continue;
            }
            self.make_folder(path.parent().unwrap_or(Path::new("")))?;
            // This looks once more for itself, at what a hard link leads to, too.
            if !entry.unpack_in(&self.folder)? {
                return Err(refused(&path, "leads out of the target"));
            }
            copied.files += 1;
            copied.bytes += match is_file {
                true => entry.size(),
                false => 0,
            };
        }
        Ok((copied, folders))
    }

    /// Makes a folder in here with those it is in. None of them may be a link.
    fn make_folder(&self, inside: &Path) -> io::Result<()> {
        let mut folder = self.folder.clone();
        for part in inside {
            folder.push(part);
            match fs::symlink_metadata(&folder) {
                Ok(there) if there.is_dir() => {}
                Ok(_) => return Err(refused(inside, "goes through what is no folder")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Ours, until it is filled.
                    fs::DirBuilder::new().mode(0o700).create(&folder)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The one thing that is in here, if there is anything.
    fn only(&self) -> io::Result<Option<PathBuf>> {
        let mut entries = fs::read_dir(&self.folder)?;
        let Some(first) = entries.next() else {
            return Ok(None);
        };
        match entries.next() {
            None => Ok(Some(first?.file_name().into())),
            Some(_) => Err(io::Error::other("more came than was asked for")),
        }
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // It fails only for what nobody can remove: then it is not ours to say.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// The name of an entry, if it leads down from where it is unpacked, and nowhere else.
fn inside(path: &Path, names: Names) -> io::Result<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::RootDir if names == Names::Root => {}
            Component::RootDir | Component::ParentDir | Component::Prefix(_) => {
                return Err(refused(path, "leads out of the target"));
            }
        }
    }
    match names {
        Names::One if inside.as_os_str().is_empty() => Err(refused(path, "is no name")),
        _ => Ok(inside),
    }
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!("refused: `{}` {why}", path.display()))
}

/// Refuses to put a folder in the place of a file, or a file in that of a folder, before
/// anything is moved.
fn refuse_conflicts(from: &Path, to: &Path) -> io::Result<()> {
    let there = match fs::symlink_metadata(to) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let shown = to.display();
    match (fs::symlink_metadata(from)?.is_dir(), there.is_dir()) {
        (true, true) => {
            for entry in fs::read_dir(from)? {
                let name = entry?.file_name();
                refuse_conflicts(&from.join(&name), &to.join(&name))?;
            }
            Ok(())
        }
        (true, false) if there.is_symlink() => Err(io::Error::other(format!(
            "`{shown}` is a link, and nothing is written through it"
        ))),
        (true, false) => Err(io::Error::other(format!(
            "`{shown}` is a file, and would have to be a folder"
        ))),
        (false, true) => Err(io::Error::other(format!(
            "`{shown}` is a folder, and would have to be a file"
        ))),
        (false, false) => Ok(()),
    }
}

/// Moves what is at one path to another; the folders that were not there before.
fn place(from: &Path, to: &Path, made: &mut Vec<PathBuf>) -> io::Result<()> {
    if !fs::symlink_metadata(from)?.is_dir() {
        return fs::rename(from, to);
    }
    if fs::symlink_metadata(to).is_err() {
        fs::rename(from, to)?;
        return list_folders(to, made);
    }
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        place(&from.join(&name), &to.join(&name), made)?;
    }
    Ok(())
}

fn list_folders(folder: &Path, into: &mut Vec<PathBuf>) -> io::Result<()> {
    into.push(folder.to_owned());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            list_folders(&entry.path(), into)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use tar::EntryType;

    use super::*;

    /// A tar as whoever means harm would make it: no name of it is looked at.
    fn tar(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut tar = tar::Builder::new(Vec::new());
        for (name, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_mode(match kind {
                EntryType::Directory => 0o750,
                _ => 0o4640,
            });
            header.set_mtime(1_000_000_000);
            let is_file = *kind == EntryType::Regular;
            if !is_file && !content.is_empty() {
                header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
            }
            let content = if is_file { content.as_bytes() } else { b"" };
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content).unwrap();
        }
        tar.into_inner().unwrap()
    }

    const FILE: EntryType = EntryType::Regular;
    const FOLDER: EntryType = EntryType::Directory;
    const LINK: EntryType = EntryType::Symlink;
    const HARD: EntryType = EntryType::Link;

    struct Here(tempfile::TempDir);

    impl Here {
        fn new() -> Self {
            let here = Self(tempfile::tempdir().unwrap());
            fs::create_dir(here.at("out")).unwrap();
            fs::write(here.at("precious"), "precious").unwrap();
            here
        }

        fn at(&self, path: &str) -> PathBuf {
            self.0.path().join(path)
        }

        fn unpack(
            &self,
            name: Option<&str>,
            entries: &[(&str, EntryType, &str)],
        ) -> io::Result<Copied> {
            let target = Target {
                folder: self.at("out"),
                name: name.map(OsString::from),
            };
            unpack(&*tar(entries), Names::One, &target)
        }

        /// All that is in the target, as `find` would have it.
        fn all(&self) -> Vec<String> {
            let mut folders = vec![self.at("out")];
            let mut all = Vec::new();
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(&folder).unwrap() {
                    let path = entry.unwrap().path();
                    let kind = fs::symlink_metadata(&path).unwrap();
                    if kind.is_dir() {
                        folders.push(path.clone());
                    }
                    let shown = path.strip_prefix(self.at("out")).unwrap().display();
                    all.push(match kind.is_symlink() {
                        true => format!("{shown} -> {}", fs::read_link(&path).unwrap().display()),
                        false => shown.to_string(),
                    });
                }
            }
            all.sort();
            all
        }

        fn is_unharmed(&self) {
            assert_eq!(fs::read_to_string(self.at("precious")).unwrap(), "precious");
            let mut names: Vec<_> = fs::read_dir(self.0.path())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names, ["out", "precious"]);
        }
    }

    #[test]
    fn a_folder_arrives_with_its_modes_its_times_and_its_links() {
        let here = Here::new();
        let copied = here.unpack(
            Some("site"),
            &[
                ("www/", FOLDER, ""),
                ("www/a", FILE, "text"),
                ("www/b/", FOLDER, ""),
                ("www/b/link", LINK, "../../../precious"),
                ("www/b/hard", HARD, "www/a"),
            ],
        );
        let copied = copied.unwrap();
        assert_eq!((copied.files, copied.bytes), (3, 4));
        let all = [
            "site",
            "site/a",
            "site/b",
            "site/b/hard",
            "site/b/link -> ../../../precious",
        ];
        assert_eq!(here.all(), all);
        let found = |path| fs::metadata(here.at(path)).unwrap();
        // Without the set-user bit.
        assert_eq!(found("out/site/a").mode() & 0o7777, 0o640);
        assert_eq!(found("out/site/b").mode() & 0o7777, 0o750);
        assert_eq!(found("out/site").mode() & 0o7777, 0o750);
        for path in ["out/site/a", "out/site", "out/site/b"] {
            assert_eq!(found(path).mtime(), 1_000_000_000, "{path}");
        }
        assert_eq!(found("out/site/a").ino(), found("out/site/b/hard").ino());
        here.is_unharmed();
    }

    #[test]
    fn what_is_there_is_replaced_or_kept_and_a_folder_keeps_its_mode() {
        let here = Here::new();
        fs::create_dir(here.at("out/b")).unwrap();
        fs::set_permissions(here.at("out/b"), fs::Permissions::from_mode(0o711)).unwrap();
        fs::write(here.at("out/b/old"), "old").unwrap();
        fs::write(here.at("out/a"), "old").unwrap();
        let entries = [
            ("www/", FOLDER, ""),
            ("www/a", FILE, "new"),
            ("www/b/", FOLDER, ""),
            ("www/b/new", FILE, "new"),
        ];
        here.unpack(None, &entries).unwrap();
        assert_eq!(here.all(), ["a", "b", "b/new", "b/old"]);
        assert_eq!(fs::read_to_string(here.at("out/a")).unwrap(), "new");
        assert_eq!(
            fs::metadata(here.at("out/b")).unwrap().mode() & 0o777,
            0o711
        );
    }

    #[test]
    fn a_name_that_leads_out_is_refused_and_nothing_stays() {
        for name in [
            "../precious",
            "www/../../precious",
            "/precious",
            "www/..",
            "..",
            "/",
            ".",
        ] {
            let here = Here::new();
            let entries = [
                ("www/", FOLDER, ""),
                ("www/a", FILE, "a"),
                (name, FILE, "evil"),
            ];
            let error = here.unpack(Some("x"), &entries).unwrap_err().to_string();
            assert!(error.starts_with("refused: "), "{name}: {error}");
            assert_eq!(here.all(), Vec::<String>::new(), "{name}");
            here.is_unharmed();
        }
    }

    #[test]
    fn nothing_is_written_through_a_link_of_the_tar() {
        let here = Here::new();
        let outside = here.0.path().display().to_string();
        for (target, name) in [
            ("../..", "www/link/precious"),
            (outside.as_str(), "www/link/precious"),
            (outside.as_str(), "www/link/new/file"),
            (".", "www/link/file"),
        ] {
            let entries = [
                ("www/", FOLDER, ""),
                ("www/link", LINK, target),
                (name, FILE, "evil"),
            ];
            let error = here.unpack(Some("x"), &entries).unwrap_err().to_string();
            assert!(error.contains("goes through what is no folder"), "{error}");
            let entries = [
                ("www/", FOLDER, ""),
                ("www/link", LINK, target),
                ("www/link/", FOLDER, ""),
            ];
            here.unpack(Some("x"), &entries).unwrap_err();
            assert_eq!(here.all(), Vec::<String>::new());
            here.is_unharmed();
        }
    }

    #[test]
    fn a_file_in_the_place_of_a_link_of_the_tar_does_not_follow_it() {
        let here = Here::new();
        let precious = here.at("precious").display().to_string();
        let entries = [
            ("www/", FOLDER, ""),
            ("www/x", LINK, precious.as_str()),
            ("www/x", FILE, "evil"),
        ];
        here.unpack(Some("x"), &entries).unwrap();
        assert_eq!(fs::read_to_string(here.at("out/x/x")).unwrap(), "evil");
        here.is_unharmed();
    }

    #[test]
    fn a_hard_link_to_what_is_outside_is_refused() {
        let here = Here::new();
        let precious = here.at("precious").display().to_string();
        for leads_to in [precious.as_str(), "../../precious", "www/link"] {
            let entries = [
                ("www/", FOLDER, ""),
                ("www/link", LINK, precious.as_str()),
                ("www/hard", HARD, leads_to),
            ];
            here.unpack(Some("x"), &entries).unwrap_err();
            assert_eq!(here.all(), Vec::<String>::new());
            assert_eq!(fs::metadata(here.at("precious")).unwrap().nlink(), 1);
        }
    }

    #[test]
    fn nothing_is_written_through_a_link_of_the_target() {
        let here = Here::new();
        fs::create_dir(here.at("elsewhere")).unwrap();
        symlink(here.at("elsewhere"), here.at("out/b")).unwrap();
        symlink(here.at("precious"), here.at("out/c")).unwrap();
        let entries = [
            ("www/", FOLDER, ""),
            ("www/b/", FOLDER, ""),
            ("www/b/a", FILE, "evil"),
        ];
        let error = here.unpack(None, &entries).unwrap_err().to_string();
        assert!(error.contains("/out/b` is a link"), "{error}");
        assert_eq!(fs::read_dir(here.at("elsewhere")).unwrap().count(), 0);
        // A file takes the link's own place.
        here.unpack(None, &[("www/", FOLDER, ""), ("www/c", FILE, "new")])
            .unwrap();
        assert_eq!(fs::read_to_string(here.at("precious")).unwrap(), "precious");
        assert_eq!(fs::read_to_string(here.at("out/c")).unwrap(), "new");
    }

    #[test]
    fn a_folder_and_a_file_do_not_replace_each_other() {
        let here = Here::new();
        fs::write(here.at("out/b"), "").unwrap();
        fs::create_dir(here.at("out/d")).unwrap();
        let folder = [
            ("www/", FOLDER, ""),
            ("www/a", FILE, ""),
            ("www/b/", FOLDER, ""),
        ];
        here.unpack(None, &folder).unwrap_err();
        let file = [
            ("www/", FOLDER, ""),
            ("www/a", FILE, ""),
            ("www/d", FILE, ""),
        ];
        here.unpack(None, &file).unwrap_err();
        // Found out before anything was moved.
        assert_eq!(here.all(), ["b", "d"]);
    }

    #[test]
    fn what_breaks_off_leaves_nothing() {
        let here = Here::new();
        let whole = tar(&[("www/", FOLDER, ""), ("www/a", FILE, &"x".repeat(2000))]);
        let target = Target {
            folder: here.at("out"),
            name: Some("x".into()),
        };
        unpack(&whole[..1800], Names::One, &target).unwrap_err();
        assert_eq!(here.all(), Vec::<String>::new());
        unpack(io::empty(), Names::One, &target).unwrap_err();
    }

    #[test]
    fn devices_and_pipes_are_left_out_and_named() {
        let here = Here::new();
        let copied = here.unpack(
            Some("dev"),
            &[
                ("dev/", FOLDER, ""),
                ("dev/null", EntryType::Char, ""),
                ("dev/pipe", EntryType::Fifo, ""),
                ("dev/a", FILE, ""),
            ],
        );
        assert_eq!(here.all(), ["dev", "dev/a"]);
        let left_out = copied.unwrap().left_out;
        assert_eq!(left_out, [here.at("out/dev/null"), here.at("out/dev/pipe")]);
    }

    #[test]
    fn more_than_one_thing_was_not_asked_for() {
        let here = Here::new();
        here.unpack(Some("x"), &[("a", FILE, ""), ("b", FILE, "")])
            .unwrap_err();
        assert_eq!(here.all(), Vec::<String>::new());
    }

    #[test]
    fn the_root_is_all_that_is_in_it_and_leads_no_further_out_than_others() {
        let entries = [
            ("/", FOLDER, ""),
            ("/a", FILE, "a"),
            ("/b/", FOLDER, ""),
            ("/b/c", FILE, "c"),
        ];
        for name in [Some("new"), None] {
            let here = Here::new();
            let target = Target {
                folder: here.at("out"),
                name: name.map(OsString::from),
            };
            unpack(&*tar(&entries), Names::Root, &target).unwrap();
            let root = here.at("out").join(name.unwrap_or_default());
            assert_eq!(fs::read_to_string(root.join("b/c")).unwrap(), "c");
            let evil = tar(&[("/", FOLDER, ""), ("/../precious", FILE, "evil")]);
            unpack(&*evil, Names::Root, &target).unwrap_err();
            here.is_unharmed();
            if name.is_some() {
                assert_eq!(here.all(), ["new", "new/a", "new/b", "new/b/c"]);
                assert_eq!(fs::metadata(&root).unwrap().mode() & 0o777, 0o750);
            }
        }
    }

    #[test]
    fn a_folder_that_is_read_only_arrives_so() {
        let here = Here::new();
        let mut builder = tar::Builder::new(Vec::new());
        for (name, mode, kind) in [("www/", 0o500, FOLDER), ("www/a", 0o400, FILE)] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_mode(mode);
            header.set_size(0);
            builder.append_data(&mut header, name, io::empty()).unwrap();
        }
        let archive = builder.into_inner().unwrap();
        let target = Target {
            folder: here.at("out"),
            name: Some("x".into()),
        };
        unpack(&*archive, Names::One, &target).unwrap();
        assert_eq!(
            fs::metadata(here.at("out/x")).unwrap().mode() & 0o777,
            0o500
        );
        // So that it can be cleared up by whoever is not root.
        fs::set_permissions(here.at("out/x"), fs::Permissions::from_mode(0o700)).unwrap();
    }
}
