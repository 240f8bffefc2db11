//! Images built by a real engine, with each of its builders.

use std::{process::Command, sync::Mutex, time::Duration};

use bytes::Bytes;
use cosmos::{
    docker::{DockerEngine, Endpoint},
    reconcile::engine::{
        BuildState, Builder, Console as _, EngineError, ImageBuild, Login, Progress,
    },
    workspace::Installation,
};
use futures_util::{StreamExt as _, stream};
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const BOTH: [Builder; 2] = [Builder::Classic, Builder::Buildkit];

/// A tag that is free, and is gone after its test.
struct Tag(String);

impl Tag {
    fn new(name: &str) -> Self {
        Self(format!("it-{}-{name}:1", std::process::id()))
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        let _ = docker(&["rmi", &self.0]);
    }
}

fn docker(arguments: &[&str]) -> (bool, String) {
    let output = Command::new("docker").args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success(), said)
}

async fn engine() -> DockerEngine {
    let endpoint = Endpoint::of_process().unwrap();
    let installation = Installation::new("it-build").unwrap();
    DockerEngine::connect(&endpoint, installation)
        .await
        .unwrap()
}

fn order(tag: &Tag, builder: Builder) -> ImageBuild {
    ImageBuild {
        tag: tag.0.clone(),
        dockerfile: "sub/Dockerfile".to_owned(),
        builder,
        ..ImageBuild::default()
    }
}

/// A context of a Dockerfile and nothing else.
fn context(dockerfile: &str) -> Bytes {
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(dockerfile.len() as u64);
    header.set_mode(0o644);
    archive
        .append_data(&mut header, "sub/Dockerfile", dockerfile.as_bytes())
        .unwrap();
    archive.into_inner().unwrap().into()
}

/// Builds; what was told of it by lines, and how it ended.
async fn build(
    engine: &DockerEngine,
    order: ImageBuild,
    dockerfile: &str,
) -> (Vec<String>, Result<(), EngineError>) {
    let said = Mutex::new(Vec::new());
    let progress = |progress: Progress| {
        said.lock().unwrap().push(match progress {
            Progress::Line { text, step } => format!("{}| {text}", step.unwrap_or(99)),
            Progress::Layer { id, status, .. } => format!("{id} {status}"),
            Progress::Build { step, state } => {
                let place = step.place.map(|place| place.to_string());
                let state = match state {
                    BuildState::Running => "runs",
                    BuildState::Cached => "cached",
                    BuildState::Done { .. } => "done",
                    BuildState::Failed { .. } => "failed",
                };
                format!("{} {} {state}", place.unwrap_or_default(), step.name)
            }
        });
    };
    let context = stream::iter(vec![Ok(context(dockerfile))]).boxed();
    let ended = timeout(PATIENCE, engine.build(order, context, &progress))
        .await
        .expect("a build ends");
    (said.into_inner().unwrap(), ended)
}

fn has(said: &[String], wanted: &str) -> bool {
    said.iter().any(|line| line.contains(wanted))
}

#[tokio::test]
async fn a_cache_mount_works_where_nobody_asks_for_another_builder() {
    let engine = engine().await;
    let tag = Tag::new("mount");
    let dockerfile =
        "FROM busybox\nRUN --mount=type=cache,target=/cache echo kept > /cache/x && cat /cache/x\n";
    let order = ImageBuild {
        no_cache: true,
        ..order(&tag, Builder::Auto)
    };
    let (said, built) = build(&engine, order, dockerfile).await;
    built.unwrap();
    assert!(has(&said, "| kept"), "{said:?}");
}

#[tokio::test]
async fn both_builders_tell_the_same_steps_and_the_second_time_that_they_are_cached() {
    let engine = engine().await;
    for builder in BOTH {
        let tag = Tag::new("steps");
        let nonce = format!("{builder:?} {:?}", std::time::SystemTime::now());
        let dockerfile = format!("FROM busybox\nRUN echo \"{nonce}\"\n");
        let (said, built) = build(&engine, order(&tag, builder), &dockerfile).await;
        built.unwrap();
        let step = format!("2/2] RUN echo \"{nonce}\" ");
        assert!(has(&said, &format!("{step}runs")), "{said:?}");
        assert!(has(&said, &format!("| {nonce}")), "{said:?}");
        assert!(has(&said, &format!("{step}done")), "{said:?}");

        let (said, built) = build(&engine, order(&tag, builder), &dockerfile).await;
        built.unwrap();
        assert!(has(&said, &format!("{step}cached")), "{said:?}");
        let anew = ImageBuild {
            no_cache: true,
            ..order(&tag, builder)
        };
        let (said, built) = build(&engine, anew, &dockerfile).await;
        built.unwrap();
        assert!(has(&said, &format!("{step}done")), "{said:?}");
    }
}

#[tokio::test]
async fn a_build_stops_at_its_target_and_has_its_arguments() {
    let engine = engine().await;
    for builder in BOTH {
        let tag = Tag::new("target");
        let order = ImageBuild {
            target: Some("first".to_owned()),
            args: [("WORD".to_owned(), "hello".to_owned())].into(),
            no_cache: true,
            ..order(&tag, builder)
        };
        let dockerfile =
            "FROM busybox AS first\nARG WORD\nRUN echo $WORD there\nFROM absent AS second\n";
        let (said, built) = build(&engine, order, dockerfile).await;
        built.unwrap();
        assert!(has(&said, "| hello there"), "{said:?}");
    }
}

#[tokio::test]
async fn a_step_that_fails_is_told_with_its_last_lines() {
    let engine = engine().await;
    for builder in BOTH {
        let tag = Tag::new("fails");
        let dockerfile = "FROM busybox\nRUN echo last words; exit 4\n";
        let (said, failed) = build(&engine, order(&tag, builder), dockerfile).await;
        assert!(has(&said, "RUN echo last words; exit 4 failed"), "{said:?}");
        let Err(EngineError::Build { output, cause, .. }) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(output, ["last words"]);
        assert_eq!(
            cause,
            "`RUN echo last words; exit 4` ended with exit code 4"
        );
    }
}

#[tokio::test]
async fn a_dockerfile_that_makes_no_sense_is_told_with_its_line() {
    let engine = engine().await;
    for builder in BOTH {
        let tag = Tag::new("nonsense");
        let dockerfile = "FROM busybox\nNOTHING x\n";
        let (_, failed) = build(&engine, order(&tag, builder), dockerfile).await;
        let Err(EngineError::Build { cause, .. }) = failed else {
            panic!("{failed:?}");
        };
        assert!(cause.starts_with("dockerfile parse error"), "{cause}");
        assert!(cause.contains("line 2"), "{cause}");
    }
}

#[tokio::test]
async fn a_context_that_breaks_off_builds_nothing() {
    let engine = engine().await;
    for builder in BOTH {
        let tag = Tag::new("cut");
        let whole = context("FROM busybox\nRUN true\n");
        let cut = vec![
            Ok(whole.slice(..1024)),
            Err(std::io::Error::other("it changed")),
        ];
        let built = engine.build(order(&tag, builder), stream::iter(cut).boxed(), &|_| {});
        let built = timeout(PATIENCE, built).await.expect("it ends");
        assert!(built.is_err(), "{builder:?}");
        assert!(!docker(&["image", "inspect", &tag.0]).0, "{builder:?}");
    }
}

#[tokio::test]
async fn a_build_begins_with_an_image_that_only_a_login_gets() {
    let engine = engine().await;
    let base = "127.0.0.1:5001/fixture/busybox:1";
    let login = |password: &str| {
        engine.log_in(vec![Login {
            host: "127.0.0.1:5001".to_owned(),
            username: "cosmos".to_owned(),
            password: password.to_owned(),
        }]);
    };
    for builder in BOTH {
        let tag = Tag::new("private");
        let order = ImageBuild {
            bases: vec![base.to_owned()],
            pull: true,
            ..order(&tag, builder)
        };
        let dockerfile = format!("FROM {base}\nRUN true\n");
        login("wrong");
        let (_, refused) = build(&engine, order.clone(), &dockerfile).await;
        assert!(refused.is_err(), "{builder:?}");
        if builder == Builder::Buildkit {
            assert!(
                matches!(
                    &refused,
                    Err(EngineError::LoginNeeded { image, had_login: true, .. }) if image == base
                ),
                "{refused:?}"
            );
        }
        assert!(!format!("{refused:?}").contains("wrong"));
        login("cosmos-test");
        let (_, built) = build(&engine, order, &dockerfile).await;
        built.unwrap();
    }
}
