//! Building images: the server cannot see the context, so it is streamed from here.

mod upload;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Instant,
};

use super::{
    args::{Build as Args, Global, Progress},
    bootstrap, context, credentials,
    error::Failure,
    orders::did_you_mean,
    ui::{Screen, duration, follow_to_end, outln, sayln},
};
use crate::{
    api::{
        client::Client,
        wire::{self, BuildState, BuildStep, Builder, Event, ImageBuild, Problem},
    },
    config::{BuildDigest, Dockerfile, Loaded, context_files, nearest},
    workspace::{Build, Image, ImageRef},
};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let loaded = context::load_trusted(&global, &args.project, args.trust.given)?;
    let images = chosen(&loaded, &args.images)?;
    let client = bootstrap::client_for(&global, &loaded.workspace).await?;
    let options = Options {
        no_cache: args.no_cache,
        pull: args.pull,
    };
    for image in images {
        let began = Instant::now();
        build_one(&global, &client, image, options).await?;
        if !global.quiet && global.progress != Progress::Json {
            outln!(
                "built {} ({}, {})",
                image.name,
                image.tag,
                duration(began.elapsed())
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How images are built.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Options {
    no_cache: bool,
    pull: bool,
}

/// An image that is built here.
#[derive(Debug, Clone, Copy)]
pub(super) struct Built<'a> {
    name: &'a str,
    pub(super) tag: &'a ImageRef,
    build: &'a Build,
}

/// Every image of the config that is built, in the order of the file.
pub(super) fn built_images(loaded: &Loaded) -> impl Iterator<Item = Built<'_>> {
    loaded
        .images
        .iter()
        .filter_map(|(name, image)| match image {
            Image::Built { tag, build } => Some(Built { name, tag, build }),
            Image::Pulled { .. } => None,
        })
}

/// Those that were named, or all.
fn chosen<'a>(loaded: &'a Loaded, names: &[String]) -> Result<Vec<Built<'a>>, Failure> {
    let all: Vec<_> = built_images(loaded).collect();
    if names.is_empty() && all.is_empty() {
        return Err(Failure::usage("the config builds no image")
            .hinted("an image is built where its `[images.NAME]` has a `build`"));
    }
    if names.is_empty() {
        return Ok(all);
    }
    let find = |name: &String| {
        let found = all.iter().find(|image| image.name == name.as_str());
        found.copied().ok_or_else(|| {
            let names: Vec<_> = all.iter().map(|image| image.name).collect();
            let failure = Failure::usage(format!("the config builds no image `{name}`"));
            match (nearest(name, names.iter().copied()), &names[..]) {
                (Some(meant), _) => failure.hinted(did_you_mean(meant)),
                (None, []) => {
                    failure.hinted("an image is built where its `[images.NAME]` has a `build`")
                }
                (None, _) => failure.hinted(format!("it builds {}", names.join(", "))),
            }
        })
    };
    names.iter().map(find).collect()
}

/// Builds these of the config's images, by their tags, one after the other.
pub(super) async fn build(
    global: &Global,
    client: &Client,
    loaded: &Loaded,
    tags: &[String],
) -> Result<(), Failure> {
    for image in built_images(loaded) {
        if tags.iter().any(|tag| tag == image.tag.as_str()) {
            build_one(global, client, image, Options::default()).await?;
        }
    }
    Ok(())
}

async fn build_one(
    global: &Global,
    client: &Client,
    image: Built<'_>,
    options: Options,
) -> Result<(), Failure> {
    let file = Path::new(&image.build.context).join(&image.build.dockerfile);
    let text = fs::read(&file).map_err(|error| unreadable(&file, &error))?;
    let dockerfile = Dockerfile::parse(&String::from_utf8_lossy(&text));
    let mut order = ImageBuild {
        tag: image.tag.to_string(),
        dockerfile: image.build.dockerfile.clone(),
        target: image.build.target.clone(),
        args: image.build.args.clone(),
        builder: builder_of(env::var("DOCKER_BUILDKIT").ok().as_deref()),
        no_cache: options.no_cache,
        pull: options.pull,
        bases: dockerfile.bases(image.build.target.as_deref(), &image.build.args),
    };
    credentials::log_in(client, &order.bases).await?;
    let mut screen = Screen::new(global);
    screen.building(&order.tag, image.name, dockerfile.stages());
    let mut ended = send(client, &mut screen, image, &order).await?;
    if let Some(problem) = ended
        .problem
        .take_if(|problem| problem.code == wire::NO_BUILDKIT)
    {
        sayln!(
            "{}; the classic builder builds, without `RUN --mount`",
            problem.message
        );
        order.builder = Builder::Classic;
        ended = send(client, &mut screen, image, &order).await?;
    }
    screen.clear();
    let Some(mut problem) = ended.problem else {
        return Ok(());
    };
    if screen.is_in_lines() {
        // All of it stands above.
        problem.output.clear();
    }
    let line = ended
        .failed
        .and_then(|step| {
            let place = step.place?;
            dockerfile.line_of(place.stage.as_deref(), place.number, &step.name)
        })
        .or_else(|| line_in(&problem.message));
    let place = line.map(|line| format!("{}:{line}", short(&file).display()));
    let next = if screen.is_in_place() {
        format!(
            "see all that it says: `cosmos build {} --progress plain`",
            image.name
        )
    } else {
        format!("mend it, and build it again: `cosmos build {}`", image.name)
    };
    let hint = problem.hint.clone().unwrap_or(next);
    let message = problem.message.replace(image.tag.as_str(), image.name);
    Err(Failure::from(Problem { message, ..problem })
        .placed(place)
        .hinted(hint))
}

/// How a build ended.
struct Ended {
    /// Why there is no image, if there is none.
    problem: Option<Problem>,
    /// The step that failed.
    failed: Option<BuildStep>,
}

async fn send(
    client: &Client,
    screen: &mut Screen,
    image: Built<'_>,
    order: &ImageBuild,
) -> Result<Ended, Failure> {
    let Build {
        context,
        dockerfile,
        target,
        args,
    } = image.build;
    let folder = PathBuf::from(context);
    let files =
        context_files(&folder, dockerfile).map_err(|error| Failure::new(error.to_string()))?;
    let args = args
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let tag = image.tag.as_str();
    let (chunks, reading) = upload::send(upload::Context {
        folder,
        files,
        digest: BuildDigest::new(dockerfile, target.as_deref(), args),
        expected: tag
            .rsplit_once(':')
            .map_or(tag, |(_, digest)| digest)
            .to_owned(),
    });
    let mut failed = None;
    let followed = async {
        let events = client.build(order, chunks).await?;
        let each = |event: &Event| {
            if let Event::ImageProgressed {
                progress: wire::Progress::Build { step, state },
                ..
            } = event
                && matches!(state, BuildState::Failed { .. })
            {
                failed.get_or_insert_with(|| step.clone());
            }
        };
        follow_to_end(screen, events, each).await
    }
    .await;
    let last = match followed {
        Ok(Some(Event::Finished { .. })) => {
            return Ok(Ended {
                problem: None,
                failed: None,
            });
        }
        Ok(Some(Event::Failed { problem })) => Ok(problem),
        Ok(_) => Err(Failure::new(format!(
            "the proxy went away while building `{}`",
            image.name
        ))
        .hinted("run it again")),
        Err(failure) => Err(failure),
    };
    // What went wrong here is the cause of what went wrong there.
    if let Ok(Err(error)) = reading.await
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        screen.clear();
        return Err(Failure::new(format!(
            "the context of the image `{}` could not be sent: {error}",
            image.name
        ))
        .hinted("run it again once nothing writes there"));
    }
    last.map(|problem| Ended {
        problem: Some(problem),
        failed,
    })
}

/// A path as seen from where the user stands, if it is below.
fn short(file: &Path) -> &Path {
    env::current_dir()
        .ok()
        .and_then(|here| file.strip_prefix(here).ok())
        .unwrap_or(file)
}

fn unreadable(file: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", file.display()))
}

/// What `DOCKER_BUILDKIT` says, as Docker's own command reads it.
fn builder_of(variable: Option<&str>) -> Builder {
    match variable.map(str::to_lowercase).as_deref() {
        Some("0" | "f" | "false") => Builder::Classic,
        Some("1" | "t" | "true") => Builder::Buildkit,
        _ => Builder::Auto,
    }
}

/// The line of the Dockerfile that a builder's words name.
fn line_in(message: &str) -> Option<usize> {
    let (_, after) = message.split_once("parse error ")?;
    let after = after.strip_prefix("on ").unwrap_or(after);
    let after = after.strip_prefix("line ")?;
    let end = after.find(|letter: char| !letter.is_ascii_digit())?;
    after[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builder_can_be_chosen_as_for_docker() {
        for (variable, builder) in [
            (None, Builder::Auto),
            (Some(""), Builder::Auto),
            (Some("0"), Builder::Classic),
            (Some("False"), Builder::Classic),
            (Some("1"), Builder::Buildkit),
            (Some("yes"), Builder::Auto),
        ] {
            assert_eq!(builder_of(variable), builder, "{variable:?}");
        }
    }

    #[test]
    fn a_line_that_the_builder_names_is_found() {
        let said = "building `a` failed: dockerfile parse error line 12: unknown instruction: X";
        assert_eq!(line_in(said), Some(12));
        assert_eq!(line_in("dockerfile parse error on line 3: no"), Some(3));
        assert_eq!(line_in("line 3: no"), None);
    }
}
