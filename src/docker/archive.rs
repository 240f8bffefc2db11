//! Files of a container, in both directions, for whoever copies by hand.
//!
//! A tar streams through and is never held: neither is there a limit to its length,
//! nor to how long it takes. What is in the way of a name is looked at first, with
//! [`DockerEngine::file_at`], so that a refusal comes before anything is sent.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bollard::query_parameters::{
    DownloadFromContainerOptionsBuilder, UploadToContainerOptionsBuilder,
};
use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream::BoxStream};
use serde::Deserialize;

use super::{
    client::{LOOK, Path, refused, within},
    engine::DockerEngine,
};
use crate::{reconcile::engine::EngineError, workspace::ContainerId};

/// The header that says what is at a path: JSON in base64.
const STAT: &str = "x-docker-container-path-stat";

/// What is at a path of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileAt {
    /// Its kind.
    pub kind: FileKind,
    /// How long it is.
    pub size: u64,
    /// Where a link leads: the engine makes it absolute.
    pub leads_to: Option<String>,
}

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileKind {
    /// A file with content.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Link,
    /// A device, a pipe or a socket.
    Special,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stat {
    size: i64,
    /// As Go has it: its own bits for what a file is.
    mode: u32,
    #[serde(rename = "linkTarget")]
    link_target: String,
}

impl From<Stat> for FileAt {
    fn from(stat: Stat) -> Self {
        const FOLDER: u32 = 1 << 31;
        const LINK: u32 = 1 << 27;
        /// A device of either kind, a pipe, a socket, or what Go does not know.
        const SPECIAL: u32 = 1 << 26 | 1 << 25 | 1 << 24 | 1 << 21 | 1 << 19;
        let kind = match stat.mode {
            mode if mode & FOLDER != 0 => FileKind::Folder,
            mode if mode & LINK != 0 => FileKind::Link,
            mode if mode & SPECIAL != 0 => FileKind::Special,
            _ => FileKind::File,
        };
        Self {
            kind,
            size: u64::try_from(stat.size).unwrap_or_default(),
            leads_to: Some(stat.link_target).filter(|target| !target.is_empty()),
        }
    }
}

impl DockerEngine {
    /// What is at a path of a container; nothing if there is nothing. A link is not
    /// followed, unless it is a folder of the path.
    ///
    /// # Errors
    /// If the engine refuses.
    pub async fn file_at(
        &self,
        container: &ContainerId,
        path: &str,
    ) -> Result<Option<FileAt>, EngineError> {
        let path = Path::new("/containers")
            .segment(container.as_str())
            .then("/archive")
            .query("path", path);
        let headers = match within("stat", LOOK, self.client().head(&path)).await {
            Ok(headers) => headers,
            Err(EngineError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        let stat = headers
            .get(STAT)
            .and_then(|value| STANDARD.decode(value).ok())
            .and_then(|json| serde_json::from_slice::<Stat>(&json).ok())
            .ok_or_else(|| refused(0, "it does not say what is at a path".to_owned()))?;
        Ok(Some(stat.into()))
    }

    /// A file or folder as a tar, whose names begin with the path's last one.
    pub fn pack(
        &self,
        container: &ContainerId,
        path: &str,
    ) -> BoxStream<'static, Result<Bytes, EngineError>> {
        let options = DownloadFromContainerOptionsBuilder::new()
            .path(path)
            .build();
        let client = self.client().clone();
        self.client()
            .docker()
            .download_from_container(container.as_str(), Some(options))
            .map_err(move |error| client.error(&error))
            .boxed()
    }

    /// Unpacks a tar in a folder of a container, as it comes. A folder is not replaced by
    /// a file, nor a file by a folder.
    ///
    /// # Errors
    /// If the engine refuses, or the tar breaks off: what had come then stays.
    pub async fn unpack_in(
        &self,
        container: &ContainerId,
        folder: &str,
        tar: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::new()
            .path(folder)
            .no_overwrite_dir_non_dir("true")
            .build();
        let docker = self.client().docker();
        docker
            .upload_to_container(
                container.as_str(),
                Some(options),
                bollard::body_try_stream(tar),
            )
            .await
            .map_err(|error| self.client().error(&error))
    }

    /// The user and the group that a container's program runs as, where they are numbers;
    /// else root.
    ///
    /// # Errors
    /// If the engine refuses, or there is no such container.
    pub async fn owner_in(&self, container: &ContainerId) -> Result<(u64, u64), EngineError> {
        let inspected = self.must_inspect(container.as_str()).await?;
        Ok(owner(&inspected.config.user))
    }
}

/// `1000:100`: the names of an image mean nothing outside of it.
fn owner(user: &str) -> (u64, u64) {
    let (user, group) = user.split_once(':').unwrap_or((user, ""));
    let user = user.parse().unwrap_or(0);
    (user, group.parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> FileAt {
        serde_json::from_str::<Stat>(json).unwrap().into()
    }

    #[test]
    fn what_go_says_of_a_file_is_read() {
        let kind = |mode: u32| read(&format!("{{\"mode\":{mode}}}")).kind;
        assert_eq!(kind(0o644), FileKind::File);
        assert_eq!(kind(1 << 31 | 1 << 20 | 0o777), FileKind::Folder);
        assert_eq!(kind(1 << 27 | 0o777), FileKind::Link);
        assert_eq!(kind(1 << 26 | 1 << 21 | 0o666), FileKind::Special);
        assert_eq!(kind(1 << 25 | 0o600), FileKind::Special);
        // Set-user and sticky bits do not make it another kind.
        assert_eq!(kind(1 << 23 | 1 << 20 | 0o755), FileKind::File);
    }

    #[test]
    fn a_link_says_where_it_leads() {
        let link = read(
            r#"{"name":"l","size":5,"mode":134218239,"mtime":"2026-01-01T00:00:00Z","linkTarget":"/etc/x"}"#,
        );
        assert_eq!((link.kind, link.size), (FileKind::Link, 5));
        assert_eq!(link.leads_to.as_deref(), Some("/etc/x"));
        assert_eq!(read("{\"linkTarget\":\"\"}").leads_to, None);
    }

    #[test]
    fn only_numbers_own_files() {
        assert_eq!(owner("1000:100"), (1000, 100));
        assert_eq!(owner("1000"), (1000, 0));
        assert_eq!(owner("node"), (0, 0));
        assert_eq!(owner(""), (0, 0));
    }
}
