//! Building images: the server cannot see the context, so it is streamed from here.

mod upload;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

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
    config::{BuildDigest, context_files},
    workspace::{Build, Image, ImageRef, Workspace},
};

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
    let args = build.args.iter();
    let args = args.map(|(name, value)| (name.as_str(), value.as_str()));
    let expected = tag
        .as_str()
        .rsplit_once(':')
        .map_or("", |(_, digest)| digest);
    let (chunks, reading) = upload::send(upload::Context {
        folder: PathBuf::from(&build.context),
        files,
        digest: BuildDigest::new(&build.dockerfile, build.target.as_deref(), args),
        expected: expected.to_owned(),
    });
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
    let built = async {
        let events = client.upload(&path, chunks).await?;
        follow(&mut screen, events).await
    }
    .await;
    screen.clear();
    // What went wrong here is the cause of what went wrong there.
    if let Ok(Err(error)) = reading.await
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        return Err(
            Failure::new(format!("the context of `{tag}` could not be sent: {error}"))
                .hinted("run it again once nothing writes there"),
        );
    }
    match built? {
        Some(Event::Finished { .. }) => Ok(()),
        _ => Err(
            Failure::new(format!("the proxy went away while building `{tag}`"))
                .hinted("run it again"),
        ),
    }
}
