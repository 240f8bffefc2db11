//! A build's context on its way to the builder: a tar, made while it is sent.

use std::{
    io::{self, Read, Write},
    path::PathBuf,
    time::SystemTime,
};

use bytes::Bytes;
use futures_util::Stream;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::super::tar_stream;
use crate::config::{BuildDigest, ContextFile, ContextKind, open_file};

/// What is sent.
pub(super) struct Context {
    pub(super) folder: PathBuf,
    pub(super) files: Vec<ContextFile>,
    /// That of the build, without the files so far.
    pub(super) digest: BuildDigest,
    /// How the digest must begin once all is read: the image is named after it.
    pub(super) expected: String,
}

/// Starts to send; the chunks, and how the reading ends.
pub(super) fn send(
    context: Context,
) -> (
    impl Stream<Item = io::Result<Bytes>> + Send,
    JoinHandle<io::Result<()>>,
) {
    tar_stream::send(move |writer| write(context, writer))
}

fn write(context: Context, writer: impl Write) -> io::Result<()> {
    let mut digest = context.digest;
    let mut tar = tar::Builder::new(writer);
    for file in &context.files {
        let content = append(&mut tar, &context.folder, file)
            .map_err(|error| io::Error::new(error.kind(), told(file, &error)))?;
        digest.add(file, content);
    }
    // Or its tag would name for ever what is not in it.
    if !digest.finish().starts_with(&context.expected) {
        return Err(io::Error::other("it changed while it was sent"));
    }
    tar.finish()
}

/// Appends an entry; the hash of its content, if it has any.
fn append(
    tar: &mut tar::Builder<impl Write>,
    folder: &std::path::Path,
    file: &ContextFile,
) -> io::Result<Option<[u8; 32]>> {
    let path = folder.join(&file.path);
    let mut header = tar::Header::new_gnu();
    // Owners are not part of what is built. Times are no part of its identity, but
    // compilers compare them: with a cache mount, a source that looked old would
    // never be compiled again.
    let modified = std::fs::symlink_metadata(&path)?.modified()?;
    header.set_mtime(
        modified
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
    );
    header.set_size(0);
    match &file.kind {
        ContextKind::Folder { mode } => {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(*mode);
            tar.append_data(&mut header, file.path.join(""), io::empty())?;
        }
        ContextKind::Link { target } => {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            tar.append_link(&mut header, &file.path, target)?;
        }
        ContextKind::File { mode } => {
            let source = open_file(&path)?;
            let size = source.metadata()?.len();
            header.set_mode(*mode);
            header.set_size(size);
            // A file that grows meanwhile must not spill into the next header.
            let mut source = Hashed {
                source: source.take(size),
                hasher: Sha256::new(),
                length: 0,
            };
            tar.append_data(&mut header, &file.path, &mut source)?;
            if source.length != size {
                return Err(io::Error::other("it changed while it was sent"));
            }
            return Ok(Some(source.hasher.finalize().into()));
        }
    }
    Ok(None)
}

fn told(file: &ContextFile, error: &io::Error) -> String {
    format!("`{}`: {error}", file.path.display())
}

/// A reader that hashes what it reads.
struct Hashed<R> {
    source: R,
    hasher: Sha256,
    length: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.length += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, fs, os::unix::fs::symlink, path::Path};

    use super::*;
    use crate::config::{build_digest, context_files};

    /// A file of a tar: its kind, mode, time and content.
    type Entry = (tar::EntryType, u32, u64, Vec<u8>);

    fn context(folder: &Path) -> Context {
        let none = std::iter::empty;
        Context {
            folder: folder.to_owned(),
            files: context_files(folder, "Dockerfile").unwrap(),
            digest: BuildDigest::new("Dockerfile", None, none()),
            expected: build_digest(folder, "Dockerfile", None, none()).unwrap()[..16].to_owned(),
        }
    }

    fn sent(context: Context) -> io::Result<BTreeMap<PathBuf, Entry>> {
        let mut archive = Vec::new();
        write(context, &mut archive)?;
        let mut entries = BTreeMap::new();
        for entry in tar::Archive::new(&*archive).entries()? {
            let mut entry = entry?;
            let path = entry.path()?.into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            let header = entry.header();
            if let Some(target) = entry.link_name()? {
                content = target.as_os_str().as_encoded_bytes().to_owned();
            }
            let entry = (
                header.entry_type(),
                header.mode()?,
                header.mtime()?,
                content,
            );
            entries.insert(path, entry);
        }
        Ok(entries)
    }

    #[test]
    fn what_is_listed_arrives_with_its_mode_time_and_content() {
        use std::os::unix::{ffi::OsStrExt as _, fs::PermissionsExt as _};
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &Path| folder.path().join(path);
        let strange = Path::new(std::ffi::OsStr::from_bytes(b"\xff"));
        let long = PathBuf::from("n".repeat(200)).join("m".repeat(200));
        fs::create_dir(at(long.parent().unwrap())).unwrap();
        for path in [Path::new("Dockerfile"), strange, &long] {
            fs::write(at(path), "text").unwrap();
        }
        symlink(&long, at(Path::new("link"))).unwrap();
        fs::hard_link(at(Path::new("Dockerfile")), at(Path::new("again"))).unwrap();
        fs::set_permissions(at(strange), fs::Permissions::from_mode(0o4750)).unwrap();
        let time = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
        fs::File::open(at(strange))
            .unwrap()
            .set_modified(time)
            .unwrap();

        let entries = sent(context(folder.path())).unwrap();
        assert_eq!(entries.len(), 6);
        let file = tar::EntryType::Regular;
        let text = b"text".to_vec();
        assert_eq!(
            entries[strange],
            (file, 0o4750, 1_000_000_000, text.clone())
        );
        assert_eq!(entries[&long].3, text);
        assert_eq!(entries[Path::new("again")].3, text);
        let link = &entries[Path::new("link")];
        assert_eq!(link.0, tar::EntryType::Symlink);
        assert_eq!(link.3, long.as_os_str().as_bytes());
    }

    #[test]
    fn a_file_that_changes_meanwhile_is_not_sent_under_the_old_name() {
        let changes: [fn(&Path); 4] = [
            |file| fs::write(file, "other").unwrap(),
            |file| fs::write(file, "longer than before").unwrap(),
            |file| fs::write(file, "").unwrap(),
            |file| fs::remove_file(file).unwrap(),
        ];
        for change in changes {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("Dockerfile"), "").unwrap();
            fs::write(folder.path().join("x"), "first").unwrap();
            let context = context(folder.path());
            change(&folder.path().join("x"));
            sent(context).unwrap_err();
        }
    }

    #[test]
    fn a_link_that_takes_a_files_place_is_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("Dockerfile"), "").unwrap();
        fs::write(folder.path().join("x"), "").unwrap();
        let context = context(folder.path());
        fs::remove_file(folder.path().join("x")).unwrap();
        symlink("/etc/hostname", folder.path().join("x")).unwrap();
        let error = sent(context).unwrap_err();
        assert!(error.to_string().starts_with("`x`: "), "{error}");
    }
}
