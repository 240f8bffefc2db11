//! What is here, as a tar on its way into a container.

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::config::open_file;

/// What was copied.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Copied {
    /// Files and links.
    pub(super) files: u64,
    /// The bytes in them.
    pub(super) bytes: u64,
    /// What is no file, folder or link, and was left out.
    pub(super) left_out: Vec<PathBuf>,
}

/// Something here, and what it becomes there.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Where it is.
    pub(super) path: PathBuf,
    /// What it is called in the tar; without a name, it is what is in it that goes there.
    pub(super) name: Option<String>,
    /// Whom it belongs to there.
    pub(super) owner: (u64, u64),
}

/// Writes a source as a tar.
///
/// A folder comes before what is in it, and its entries in the order of their names.
/// Links stay links. What changes its length meanwhile breaks the tar off.
pub(super) fn write(source: &Source, writer: impl io::Write) -> io::Result<Copied> {
    let mut tar = tar::Builder::new(writer);
    let mut copied = Copied::default();
    let root = source.name.as_ref().map(PathBuf::from).unwrap_or_default();
    // Those that are left to do, the next one last.
    let mut left = vec![(source.path.clone(), root)];
    while let Some((path, inside)) = left.pop() {
        let told = |error: io::Error| {
            io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
        };
        let found = fs::symlink_metadata(&path).map_err(told)?;
        if found.is_dir() {
            if !inside.as_os_str().is_empty() {
                let mut header = header(&found, source.owner);
                header.set_entry_type(tar::EntryType::Directory);
                tar.append_data(&mut header, inside.join(""), io::empty())
                    .map_err(told)?;
            }
            let mut names: Vec<_> = fs::read_dir(&path)
                .and_then(|entries| entries.map(|entry| Ok(entry?.file_name())).collect())
                .map_err(told)?;
            names.sort();
            let below = names.into_iter().rev();
            left.extend(below.map(|name| (path.join(&name), inside.join(&name))));
        } else if found.is_symlink() {
            let mut header = header(&found, source.owner);
            header.set_entry_type(tar::EntryType::Symlink);
            let leads_to = fs::read_link(&path).map_err(told)?;
            tar.append_link(&mut header, &inside, leads_to)
                .map_err(told)?;
            copied.files += 1;
        } else if found.is_file() {
            copied.bytes += append_file(&mut tar, &path, &inside, source.owner).map_err(told)?;
            copied.files += 1;
        } else {
            copied.left_out.push(path);
        }
    }
    tar.finish()?;
    Ok(copied)
}

fn append_file(
    tar: &mut tar::Builder<impl io::Write>,
    path: &Path,
    inside: &Path,
    owner: (u64, u64),
) -> io::Result<u64> {
    let file = open_file(path)?;
    let found = file.metadata()?;
    let mut header = header(&found, owner);
    header.set_size(found.len());
    let mut counted = Counted {
        file: io::Read::take(file, found.len()),
        length: 0,
    };
    tar.append_data(&mut header, inside, &mut counted)?;
    // One that grew is as long as it was; one that shrank would move all behind it.
    match counted.length == found.len() {
        true => Ok(found.len()),
        false => Err(io::Error::other("it changed while it was copied")),
    }
}

fn header(found: &fs::Metadata, (user, group): (u64, u64)) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_uid(user);
    header.set_gid(group);
    header.set_mode(found.mode() & 0o7777);
    let modified = found.modified().ok();
    let since = modified.and_then(|time| time.duration_since(SystemTime::UNIX_EPOCH).ok());
    header.set_mtime(since.map_or(0, |since| since.as_secs()));
    header.set_size(0);
    header
}

/// A reader that counts what it reads.
struct Counted<R> {
    file: R,
    length: u64,
}

impl<R: io::Read> io::Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(buffer)?;
        self.length += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt as _, net::UnixListener};

    use super::*;

    /// Each entry: its name, its kind, its mode, and its content or where it leads.
    fn packed(name: Option<&str>, path: &Path) -> (Copied, Vec<(String, char, u32, String)>) {
        let mut archive = Vec::new();
        let source = Source {
            path: path.to_owned(),
            name: name.map(str::to_owned),
            owner: (7, 8),
        };
        let copied = write(&source, &mut archive).unwrap();
        let mut archive = tar::Archive::new(&*archive);
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let header = entry.header().clone();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (7, 8));
            let name = entry.path().unwrap().display().to_string();
            let (kind, content) = match header.entry_type() {
                tar::EntryType::Directory => ('d', String::new()),
                tar::EntryType::Symlink => {
                    let leads_to = entry.link_name().unwrap().unwrap();
                    ('l', leads_to.display().to_string())
                }
                _ => ('f', io::read_to_string(&mut entry).unwrap()),
            };
            (name, kind, header.mode().unwrap(), content)
        });
        (copied, entries.collect())
    }

    #[test]
    fn a_folder_is_packed_with_all_that_is_in_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::create_dir(at("empty")).unwrap();
        fs::create_dir(at("b")).unwrap();
        fs::write(at("b/file"), "text").unwrap();
        fs::set_permissions(at("b/file"), fs::Permissions::from_mode(0o750)).unwrap();
        fs::set_permissions(at("b"), fs::Permissions::from_mode(0o700)).unwrap();
        std::os::unix::fs::symlink("/etc", at("a")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        fs::set_permissions(at("empty"), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711)).unwrap();

        let (copied, entries) = packed(Some("site"), folder.path());
        let text = |text: &str| text.to_owned();
        let below = [
            (text("site/a"), 'l', 0o777, text("/etc")),
            (text("site/b/"), 'd', 0o700, text("")),
            (text("site/b/file"), 'f', 0o750, text("text")),
            (text("site/empty/"), 'd', 0o755, text("")),
        ];
        assert_eq!(entries[0], (text("site/"), 'd', 0o711, text("")));
        assert_eq!(entries[1..], below);
        assert_eq!((copied.files, copied.bytes), (2, 4));
        assert_eq!(copied.left_out, [at("socket")]);

        // Only what is in it: the folder that it goes to keeps its own mode.
        let (_, entries) = packed(None, folder.path());
        assert_eq!(entries.len(), 4);
        assert_eq!(entries[0].0, "a");
    }

    #[test]
    fn a_file_gets_the_name_it_is_to_have() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("x");
        fs::write(&file, "text").unwrap();
        let (copied, entries) = packed(Some("nginx.conf"), &file);
        assert_eq!(entries[0].0, "nginx.conf");
        assert_eq!((copied.files, copied.bytes), (1, 4));
    }

    #[test]
    fn what_is_gone_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let source = Source {
            path: folder.path().join("gone"),
            name: Some("gone".to_owned()),
            owner: (0, 0),
        };
        let error = write(&source, io::sink()).unwrap_err().to_string();
        assert!(error.contains("/gone`: "), "{error}");
    }
}
