//! The proxy's image, made of one static executable: no registry, no Dockerfile.
//!
//! It is written as `docker save` writes images (a `manifest.json`, a config, a
//! layer), which Docker's two stores and Podman load alike, and streamed: the
//! executable is read twice, once for the layer's digest and once to send it,
//! and is never in memory as a whole. Nothing in it depends on the time, so one
//! executable is one image id.

use std::{
    io::{self, Read as _, Seek as _},
    path::{Path as FilePath, PathBuf},
};

use bollard::query_parameters::ImportImageOptionsBuilder;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt as _;

use super::{
    client::{CHANGE, refused, within},
    engine::DockerEngine,
    labels, proxy,
};
use crate::{reconcile::engine::EngineError, workspace::fingerprint::hex};

/// What tar counts in.
const BLOCK: u64 = 512;

/// As much as is read and sent at once.
const PART: usize = 256 << 10;

/// A self-made image of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyImage {
    /// A static executable for the engine's architecture.
    pub executable: PathBuf,
    /// The tag that it gets: `cosmos-proxy:0.1.0-cafe0123`.
    pub tag: String,
    /// The version of Cosmos that the executable is.
    pub version: String,
    /// The executable's hash: what its tag ends in is the start of it.
    pub build: String,
}

/// The hash of an executable, 64 hex digits.
///
/// # Errors
/// If it cannot be read.
pub fn executable_hash(executable: &FilePath) -> io::Result<String> {
    let mut hasher = Sha256::new();
    feed(&mut hasher, &mut std::fs::File::open(executable)?)?;
    Ok(hex(&hasher.finalize()))
}

fn feed(hasher: &mut Sha256, file: &mut std::fs::File) -> io::Result<u64> {
    let mut part = vec![0; PART];
    let mut length = 0;
    loop {
        let count = file.read(&mut part)?;
        if count == 0 {
            return Ok(length);
        }
        hasher.update(&part[..count]);
        length += count as u64;
    }
}

impl DockerEngine {
    /// Loads a self-made image; its id. One that is there already is not sent again.
    ///
    /// An image that has the tag but not our label is somebody else's: it keeps
    /// its tag, and ours gets none.
    ///
    /// # Errors
    /// If the executable cannot be read or the engine does not take the image.
    pub async fn load_image(&self, image: &ProxyImage) -> Result<String, EngineError> {
        let is_tagged = match self.image_label(&image.tag, labels::BUILD).await {
            Ok(Some(build)) if build == image.build => return self.image_id(&image.tag).await,
            Ok(None) => false,
            Ok(Some(_)) | Err(EngineError::NoImage { .. }) => true,
            Err(error) => return Err(error),
        };
        let unreadable = |error: io::Error| {
            refused(
                0,
                format!("{} cannot be read: {error}", image.executable.display()),
            )
        };
        let packed = pack(image.clone(), is_tagged).await.map_err(unreadable)?;
        let config_id = packed.id.clone();
        let said = within("load image", CHANGE, async {
            self.client()
                .docker()
                .import_image(
                    ImportImageOptionsBuilder::new().quiet(true).build(),
                    bollard::body_try_stream(packed.stream()),
                    None,
                )
                .map_ok(|line| line.stream.unwrap_or_default())
                .try_collect::<String>()
                .await
                .map_err(|error| self.client().error(&error))
        })
        .await?;
        if is_tagged {
            return self.image_id(&image.tag).await;
        }
        // Stores that name images by their manifest say so; others by the config, as we know it.
        let told = said
            .split_whitespace()
            .find(|word| word.starts_with("sha256:"));
        Ok(told.unwrap_or(&config_id).to_owned())
    }
}

/// An image ready to be sent.
struct Packed {
    /// The hash of its config, by which most stores know it.
    id: String,
    before: Vec<u8>,
    file: std::fs::File,
    after: Vec<u8>,
}

impl Packed {
    fn stream(self) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
        let file = tokio::fs::File::from_std(self.file);
        let content = stream::try_unfold(file, |mut file| async move {
            let mut part = vec![0; PART];
            let count = file.read(&mut part).await?;
            part.truncate(count);
            Ok((count > 0).then(|| (Bytes::from(part), file)))
        });
        stream::once(async { Ok(Bytes::from(self.before)) })
            .chain(content)
            .chain(stream::once(async { Ok(Bytes::from(self.after)) }))
    }
}

async fn pack(image: ProxyImage, is_tagged: bool) -> io::Result<Packed> {
    let packing = tokio::task::spawn_blocking(move || pack_now(&image, is_tagged));
    packing.await.map_err(io::Error::other)?
}

fn pack_now(image: &ProxyImage, is_tagged: bool) -> io::Result<Packed> {
    // One opened file for both readings: a new build may replace the path between them.
    let mut file = std::fs::File::open(&image.executable)?;
    let length = file.metadata()?.len();

    // First the layer: what stands in it before and after the executable.
    let state_folder = proxy::STATE.trim_start_matches('/');
    let mut before = Vec::new();
    for folder in ["var/", "var/lib/"] {
        before.extend(header(folder, Entry::Folder, 0o755, 0)?);
    }
    // A fresh volume takes over owner and mode of the folder that it covers.
    before.extend(header(
        &format!("{state_folder}/"),
        Entry::Folder,
        0o700,
        proxy::USER,
    )?);
    before.extend(header("cosmos", Entry::File(length), 0o755, 0)?);
    let after = end(length);
    let layer_length = before.len() as u64 + length + after.len() as u64;

    let mut hasher = Sha256::new();
    hasher.update(&before);
    if feed(&mut hasher, &mut file)? != length {
        return Err(io::Error::other("it changed while it was read"));
    }
    hasher.update(&after);
    let layer = format!("sha256:{}", hex(&hasher.finalize()));
    file.rewind()?;

    // Then the image around it.
    let config = config(image, &layer).to_string();
    let id = hex(&Sha256::digest(config.as_bytes()));
    let manifest = serde_json::json!([{
        "Config": format!("{id}.json"),
        "RepoTags": is_tagged.then(|| vec![&image.tag]),
        "Layers": ["layer.tar"],
    }])
    .to_string();
    let mut outer_before = Vec::new();
    for (name, content) in [
        (format!("{id}.json"), config),
        ("manifest.json".to_owned(), manifest),
    ] {
        let length = content.len() as u64;
        outer_before.extend(header(&name, Entry::File(length), 0o644, 0)?);
        outer_before.extend(content.into_bytes());
        outer_before.extend(padding(length));
    }
    outer_before.extend(header("layer.tar", Entry::File(layer_length), 0o644, 0)?);
    outer_before.extend(before);
    let mut outer_after = after;
    outer_after.extend(end(layer_length));
    Ok(Packed {
        id: format!("sha256:{id}"),
        before: outer_before,
        file,
        after: outer_after,
    })
}

#[derive(Clone, Copy)]
enum Entry {
    Folder,
    File(u64),
}

fn header(name: &str, entry: Entry, mode: u32, owner: u32) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    let (kind, length) = match entry {
        Entry::Folder => (tar::EntryType::Directory, 0),
        Entry::File(length) => (tar::EntryType::Regular, length),
    };
    header.set_entry_type(kind);
    header.set_size(length);
    header.set_mode(mode);
    header.set_uid(u64::from(owner));
    header.set_gid(u64::from(owner));
    header.set_mtime(0);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

fn padding(length: u64) -> Vec<u8> {
    // Less than a block, which fits any `usize`.
    vec![0; (length.next_multiple_of(BLOCK) - length) as usize]
}

/// What follows the last file of an archive: its padding and two empty blocks.
fn end(length: u64) -> Vec<u8> {
    let mut end = padding(length);
    end.extend([0; 2 * BLOCK as usize]);
    end
}

fn config(image: &ProxyImage, layer: &str) -> serde_json::Value {
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    // A time that is always the same, so that the id is, too.
    let created = "1970-01-01T00:00:00Z";
    serde_json::json!({
        "architecture": architecture,
        "os": "linux",
        "created": created,
        "config": {
            "User": proxy::USER.to_string(),
            "ExposedPorts": { format!("{}/tcp", proxy::PORT): {} },
            "Env": ["PATH=/"],
            "Entrypoint": ["/cosmos"],
            "Cmd": ["serve"],
            "Labels": {
                (labels::VERSION): image.version,
                (labels::BUILD): image.build,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created": created, "created_by": "cosmos" }],
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Files = BTreeMap<String, (u32, u64, Vec<u8>)>;

    fn unpack(archive: &[u8]) -> Files {
        tar::Archive::new(archive)
            .entries()
            .unwrap()
            .map(|entry| {
                let mut entry = entry.unwrap();
                let name = entry.path().unwrap().display().to_string();
                let mut content = Vec::new();
                entry.read_to_end(&mut content).unwrap();
                let header = entry.header();
                (
                    name,
                    (header.mode().unwrap(), header.uid().unwrap(), content),
                )
            })
            .collect()
    }

    async fn packed(content: &[u8], is_tagged: bool) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let executable = folder.path().join("cosmos");
        std::fs::write(&executable, content).unwrap();
        let image = ProxyImage {
            tag: "cosmos-proxy:1-cafe".to_owned(),
            version: "1".to_owned(),
            build: executable_hash(&executable).unwrap(),
            executable,
        };
        let parts: Vec<Bytes> = pack(image, is_tagged)
            .await
            .unwrap()
            .stream()
            .try_collect()
            .await
            .unwrap();
        unpack(&parts.concat())
    }

    fn json(files: &Files, name: &str) -> serde_json::Value {
        serde_json::from_slice(&files[name].2).unwrap()
    }

    #[tokio::test]
    async fn the_image_says_true_things_about_itself() {
        for length in [0, 1, 511, 512, 513, PART + 1] {
            let content = vec![7; length];
            let files = packed(&content, true).await;
            let manifest = json(&files, "manifest.json");
            assert_eq!(manifest[0]["RepoTags"][0], "cosmos-proxy:1-cafe");
            let name = manifest[0]["Config"].as_str().unwrap();
            assert_eq!(
                name,
                format!("{}.json", hex(&Sha256::digest(&files[name].2)))
            );
            let config = json(&files, name);
            let layer = &files["layer.tar"].2;
            assert_eq!(
                config["rootfs"]["diff_ids"][0],
                format!("sha256:{}", hex(&Sha256::digest(layer)))
            );
            assert_eq!(
                config["config"]["Labels"][labels::BUILD],
                hex(&Sha256::digest(&content))
            );
            let layer = unpack(layer);
            assert_eq!(layer["cosmos"], (0o755, 0, content));
            assert_eq!(layer["var/lib/cosmos/"], (0o700, 65532, Vec::new()));
        }
    }

    #[tokio::test]
    async fn where_the_tag_is_somebody_elses_the_image_has_none() {
        let files = packed(b"x", false).await;
        assert!(json(&files, "manifest.json")[0]["RepoTags"].is_null());
    }
}
