//! Files on their way into the containers of a service.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use bytes::Bytes;
use futures_util::Stream;
use tokio::task::JoinHandle;

use super::super::{error::Failure, tar_stream};
use crate::{
    api::{
        client::{Client, encoded},
        wire::{Copied, RemoveFiles},
    },
    config::open_file,
    workspace::{Container, MountSource, Service, ServiceName},
};

/// What is to be so in the containers of a service.
#[derive(Debug, Default)]
pub(super) struct Transfer {
    /// What is there, by its path in the container.
    pub(super) put: BTreeMap<String, PathBuf>,
    /// What is not there any more.
    pub(super) removed: BTreeSet<String>,
}

/// Copies and removes; the containers that have it now.
pub(super) async fn transfer(
    client: &Client,
    key: &str,
    name: &ServiceName,
    service: &Service,
    transfer: Transfer,
) -> Result<BTreeSet<String>, Failure> {
    let path = format!(
        "/workspaces/{}/services/{}/files",
        encoded(key),
        encoded(name.as_str())
    );
    let mut reached: Option<BTreeSet<String>> = None;
    let mut reach = |copied: Copied| {
        let containers: BTreeSet<_> = copied.containers.into_iter().collect();
        reached = Some(match reached.take() {
            None => containers,
            Some(before) => before.intersection(&containers).cloned().collect(),
        });
    };
    // First what goes: a folder may come where a file was.
    let mut refusal = None;
    if !transfer.removed.is_empty() {
        let paths = transfer.removed.into_iter().collect();
        match client
            .post(&format!("{path}/remove"), &RemoveFiles { paths })
            .await
        {
            Ok(copied) => reach(copied),
            // What is there can be brought in all the same.
            Err(error) => refusal = Some(Failure::from(error)),
        }
    }
    for (folder, files) in by_folder(&service.container, transfer.put) {
        let owner = owner(&service.container);
        let (tar, reading) = send(folder.clone(), files, owner);
        let asked = format!("{path}?folder={}", encoded(&folder));
        let copied = client.put(&asked, tar).await;
        // What went wrong here is the cause of what went wrong there.
        if let Ok(Err(error)) = reading.await
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            return Err(Failure::new(format!("a file cannot be sent: {error}")));
        }
        reach(copied?);
    }
    match refusal {
        Some(refusal) => Err(refusal),
        None => Ok(reached.unwrap_or_default()),
    }
}

/// The folders of the container at which the engine unpacks: its root, but in one whose
/// root is read-only what is mounted writable there.
fn by_folder(
    container: &Container,
    files: BTreeMap<String, PathBuf>,
) -> BTreeMap<String, BTreeMap<String, PathBuf>> {
    let mut folders: BTreeMap<String, BTreeMap<String, PathBuf>> = BTreeMap::new();
    for (target, from) in files {
        let mounted = container
            .mounts
            .iter()
            .filter(|mount| container.read_only && !mount.read_only)
            .map(|mount| mount.target.trim_end_matches('/'))
            .filter(|folder| Path::new(&target).starts_with(folder))
            .max_by_key(|folder| folder.len());
        let folder = mounted.unwrap_or("/").to_owned();
        folders.entry(folder).or_default().insert(target, from);
    }
    folders
}

/// Whom the files belong to: whoever the program runs as, where that is a number.
fn owner(container: &Container) -> (u64, u64) {
    let user = container.user.as_deref().unwrap_or_default();
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let user = user.parse().unwrap_or(0);
    (user, group.parse().unwrap_or(0))
}

/// Where a service may itself write a file of the host, in its container.
pub(super) fn written_at(container: &Container, file: &Path) -> Option<String> {
    container.mounts.iter().find_map(|mount| {
        let MountSource::Host(source) = &mount.source else {
            return None;
        };
        let below = file.strip_prefix(source).ok()?;
        let target = Path::new(&mount.target).join(below);
        (!mount.read_only).then(|| target.display().to_string())
    })
}

/// Starts to send; the chunks, and how the reading ends.
fn send(
    folder: String,
    files: BTreeMap<String, PathBuf>,
    owner: (u64, u64),
) -> (
    impl Stream<Item = io::Result<Bytes>> + Send,
    JoinHandle<io::Result<()>>,
) {
    tar_stream::send(move |writer| write(&folder, &files, owner, writer))
}

fn write(
    folder: &str,
    files: &BTreeMap<String, PathBuf>,
    owner: (u64, u64),
    writer: impl io::Write,
) -> io::Result<()> {
    let mut tar = tar::Builder::new(writer);
    for (target, from) in files {
        let inside = Path::new(target)
            .strip_prefix(folder)
            .unwrap_or(Path::new(target));
        match append(&mut tar, inside, from, owner) {
            // Gone again: that is told next.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other.map_err(|error| {
                io::Error::new(error.kind(), format!("`{}`: {error}", from.display()))
            })?,
        }
    }
    tar.finish()
}

fn append(
    tar: &mut tar::Builder<impl io::Write>,
    inside: &Path,
    from: &Path,
    (user, group): (u64, u64),
) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt as _;
    let found = fs::symlink_metadata(from)?;
    let mut header = tar::Header::new_gnu();
    header.set_uid(user);
    header.set_gid(group);
    header.set_mode(found.mode() & 0o7777);
    let since = found.modified()?.duration_since(SystemTime::UNIX_EPOCH);
    header.set_mtime(since.map_or(0, |since| since.as_secs()));
    header.set_size(0);
    if found.is_symlink() {
        header.set_entry_type(tar::EntryType::Symlink);
        return tar.append_link(&mut header, inside, fs::read_link(from)?);
    }
    if !found.is_file() {
        return Ok(());
    }
    let source = open_file(from)?;
    let size = source.metadata()?.len();
    header.set_size(size);
    // A file that grows or shrinks meanwhile must not break the tar. It is told again, and
    // then sent as it is.
    let content = io::Read::chain(source, io::repeat(0));
    tar.append_data(&mut header, inside, io::Read::take(content, size))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Mount;

    fn mount(source: &str, target: &str, read_only: bool) -> Mount {
        Mount {
            source: MountSource::Host(source.to_owned()),
            target: target.to_owned(),
            read_only,
        }
    }

    #[test]
    fn into_a_read_only_container_files_go_where_it_is_writable() {
        let files = || BTreeMap::from([("/data/a/b".to_owned(), PathBuf::from("/p/b"))]);
        let mut container = crate::plan::test_workspace::service("a:1").container;
        container.mounts = vec![mount("/p", "/data", false), mount("/q", "/data/a", true)];
        let folders: Vec<_> = by_folder(&container, files()).into_keys().collect();
        assert_eq!(folders, ["/"]);
        container.read_only = true;
        let folders: Vec<_> = by_folder(&container, files()).into_keys().collect();
        assert_eq!(folders, ["/data"]);
    }

    #[test]
    fn what_a_service_may_write_itself_is_known() {
        let mut container = crate::plan::test_workspace::service("a:1").container;
        container.mounts = vec![
            mount("/p/api", "/src", false),
            mount("/p/conf", "/conf", true),
        ];
        let at = |file: &str| written_at(&container, Path::new(file));
        assert_eq!(at("/p/api/build.log").as_deref(), Some("/src/build.log"));
        assert_eq!(at("/p/conf/a"), None);
        assert_eq!(at("/p/other"), None);
    }

    #[test]
    fn files_and_links_are_packed_below_the_folder_and_what_is_gone_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "text").unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        let files = ["a", "link", "gone"]
            .map(|name| (format!("/srv/www/{name}"), at(name)))
            .into();
        let mut packed = Vec::new();
        write("/srv", &files, (1000, 100), &mut packed).unwrap();
        let entries: Vec<_> = tar::Archive::new(&*packed)
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let header = entry.header();
                assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (1000, 100));
                (
                    entry.path().unwrap().display().to_string(),
                    header.entry_type(),
                )
            })
            .collect();
        let expected = [
            ("www/a".to_owned(), tar::EntryType::Regular),
            ("www/link".to_owned(), tar::EntryType::Symlink),
        ];
        assert_eq!(entries, expected);
    }
}
