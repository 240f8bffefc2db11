//! Building images: the server cannot see the context, so it is streamed from here.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::mpsc;

use super::{
    args::{Build as Args, Global, Progress},
    bootstrap, context,
    error::Failure,
    ui::{Screen, follow, outln},
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::{Event, ImageBuild},
    },
    config::{ContextFile, ContextKind, context_files},
    workspace::{Build, Image, ImageRef, Workspace},
};

/// Chunks of the context under way. Enough to keep the disk and the socket both
/// busy; more would only be memory.
const CHUNKS_UNDER_WAY: usize = 8;

/// The size of a chunk, and so of a write to the socket.
const CHUNK: usize = 64 << 10;

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let workspace = context::load_trusted(&global, &args.project, args.trust.given)?.workspace;
    let images: Vec<_> = built_images(&workspace)
        .map(|(tag, _)| tag.to_string())
        .filter(|tag| {
            args.images.is_empty() || args.images.iter().any(|wanted| is_image(tag, wanted))
        })
        .collect();
    if images.is_empty() {
        return Err(Failure::usage("the config builds no such image")
            .hinted("an image is built where its `[images.NAME]` has a `build`"));
    }
    let client = bootstrap::client_for(&global, &workspace).await?;
    build(&global, &client, &workspace, &images).await?;
    if !global.quiet && global.progress != Progress::Json {
        for image in images {
            outln!("built {image}");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Whether a tag `shop-api:0123` is that of the image `api`.
fn is_image(tag: &str, name: &str) -> bool {
    tag.rsplit_once(':')
        .is_some_and(|(repository, _)| repository.ends_with(&format!("-{name}")))
}

/// Every image of the workspace that is built, once.
pub(super) fn built_images(workspace: &Workspace) -> impl Iterator<Item = (&ImageRef, &Build)> {
    let mut seen = std::collections::BTreeSet::new();
    workspace.images().filter_map(move |image| match image {
        Image::Built { tag, build } if seen.insert(tag) => Some((tag, build)),
        _ => None,
    })
}

/// Builds these of the workspace's images, one after the other.
pub(super) async fn build(
    global: &Global,
    client: &Client,
    workspace: &Workspace,
    images: &[String],
) -> Result<(), Failure> {
    for (tag, build) in built_images(workspace) {
        if images.iter().any(|image| image == tag.as_str()) {
            build_one(global, client, tag, build).await?;
        }
    }
    Ok(())
}

async fn build_one(
    global: &Global,
    client: &Client,
    tag: &ImageRef,
    build: &Build,
) -> Result<(), Failure> {
    let files = context_files(Path::new(&build.context), &build.dockerfile)
        .map_err(|error| Failure::new(error.to_string()))?;
    let order = ImageBuild {
        tag: tag.to_string(),
        dockerfile: build.dockerfile.clone(),
        target: build.target.clone(),
        args: build.args.clone(),
    };
    let path = format!(
        "/images?build={}",
        encoded(&serde_json::to_string(&order).unwrap_or_default())
    );
    let mut screen = Screen::new(global);
    let events = client
        .upload(&path, tar_of(build.context.clone(), files))
        .await?;
    let built = follow(&mut screen, events).await;
    screen.clear();
    match built? {
        Some(Event::Finished { .. }) => Ok(()),
        _ => Err(
            Failure::new(format!("the proxy went away while building `{tag}`"))
                .hinted("run it again"),
        ),
    }
}

/// The context as a tar, made while it is sent.
fn tar_of(folder: String, files: Vec<ContextFile>) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let (sender, receiver) = mpsc::channel(CHUNKS_UNDER_WAY);
    tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::with_capacity(CHUNK, Chunks(sender.clone()));
        let written =
            write_tar(Path::new(&folder), &files, &mut writer).and_then(|()| writer.flush());
        if let Err(error) = written {
            // If nobody reads any more, the failure is known there.
            let _ = sender.blocking_send(Err(error));
        }
    });
    stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    })
}

fn write_tar(folder: &Path, files: &[ContextFile], writer: impl Write) -> io::Result<()> {
    let mut tar = tar::Builder::new(writer);
    for file in files {
        // Owner and time are not part of what is built, so they are always the same.
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        match &file.kind {
            ContextKind::Folder => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_mode(0o755);
                header.set_size(0);
                tar.append_data(&mut header, format!("{}/", file.path), io::empty())?;
            }
            ContextKind::Link { target } => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_mode(0o777);
                header.set_size(0);
                tar.append_link(&mut header, &file.path, target)?;
            }
            ContextKind::File { executable } => {
                let source = File::open(folder.join(&file.path))?;
                let size = source.metadata()?.len();
                header.set_mode(if *executable { 0o755 } else { 0o644 });
                header.set_size(size);
                // A file that grows meanwhile must not spill into the next header.
                tar.append_data(&mut header, &file.path, io::Read::take(source, size))?;
            }
        }
    }
    tar.finish()
}

/// A writer whose writes are sent.
struct Chunks(mpsc::Sender<io::Result<Bytes>>);

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(bytes)))
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
