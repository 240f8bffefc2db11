//! The proxy's image: one that was asked for, one that the Dockerfile made, or
//! one made from this very executable.

use std::env;

use super::VERSION;
use crate::{
    cli::error::Failure,
    docker::{
        DockerEngine,
        image::{ProxyImage, executable_hash},
        labels,
    },
    platform,
    reconcile::engine::EngineError,
    workspace::ImageRef,
};

/// What the Dockerfile's image is tagged. Used where its version is ours.
const DOCKERFILE_TAG: &str = "tiborvass/coding-proxy:latest";

/// The image to make a proxy from.
pub(super) async fn proxy_image(
    engine: &DockerEngine,
    asked: Option<&ImageRef>,
) -> Result<String, Failure> {
    if let Some(image) = asked {
        return Ok(image.to_string());
    }
    if version_of(engine, DOCKERFILE_TAG).await?.as_deref() == Some(VERSION) {
        return Ok(DOCKERFILE_TAG.to_owned());
    }
    if !platform::RUNS_IN_CONTAINERS {
        return Err(Failure::new(
            "there is no image of the proxy, and none can be made of this `cosmos`: containers run Linux",
        )
        .hinted(format!(
            "make it from the sources of version {VERSION}: `docker build -t {DOCKERFILE_TAG} --target coding-proxy .`"
        )));
    }
    let executable = env::current_exe()?;
    let build = executable_hash(&executable)?;
    let tag = format!("cosmos-proxy:{VERSION}-{}", &build[..8]);
    let image = ProxyImage {
        executable,
        tag,
        version: VERSION.to_owned(),
        build,
    };
    Ok(engine.load_image(&image).await?)
}

/// The version label of an image; nothing if there is no such image, or it is not ours.
async fn version_of(engine: &DockerEngine, image: &str) -> Result<Option<String>, Failure> {
    match engine.image_label(image, labels::VERSION).await {
        Ok(version) => Ok(version),
        Err(EngineError::NoImage { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
