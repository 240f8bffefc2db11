use std::sync::Mutex;

use super::*;
use crate::{docker::client::refused, reconcile::engine::BuildState};

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    lines
        .iter()
        .map(|(name, value)| {
            let name = hyper::header::HeaderName::from_static(name);
            (name, HeaderValue::from_static(value))
        })
        .collect()
}

#[test]
fn the_builder_is_the_one_that_the_engine_has() {
    use Builder::{Auto, Buildkit, Classic};
    for (wanted, said, minor, chosen) in [
        (Auto, vec![("builder-version", "2")], 45, Buildkit),
        (Auto, vec![("builder-version", "1")], 45, Classic),
        // 20.10 says nothing of it.
        (Auto, vec![("ostype", "linux")], 41, Buildkit),
        (Auto, vec![], 38, Classic),
        (Auto, vec![("ostype", "windows")], 41, Classic),
        (Auto, vec![("libpod-api-version", "4.3")], 41, Classic),
        (Classic, vec![("builder-version", "2")], 45, Classic),
        (Buildkit, vec![("builder-version", "1")], 45, Buildkit),
        (Buildkit, vec![("libpod-api-version", "4.3")], 41, Classic),
    ] {
        let builder = choose(wanted, &headers(&said), minor);
        assert_eq!(builder, chosen, "{wanted:?} {said:?} {minor}");
    }
}

#[test]
fn a_refusal_of_buildkit_is_told_from_others() {
    let no = |message: &str, builder| {
        let error = refusal(refused(400, message.to_owned()), builder, "app:1");
        matches!(error, EngineError::NoBuildkit { .. })
    };
    assert!(no(
        "BuildKit is not supported on Windows",
        Builder::Buildkit
    ));
    assert!(no("buildkit not enabled", Builder::Buildkit));
    assert!(!no("no space left on device", Builder::Buildkit));
    assert!(!no("buildkit?", Builder::Classic));
}

/// What is told of these lines of an answer, and how it ended.
fn told(builder: Builder, lines: &[&str]) -> (Vec<String>, Result<(), EngineError>) {
    let said = Mutex::new(Vec::new());
    let progress = |progress| {
        said.lock().unwrap().push(match progress {
            Progress::Build { step, state } => {
                let state = match state {
                    BuildState::Done { .. } => "done".to_owned(),
                    BuildState::Failed { cause } => format!("failed: {cause}"),
                    BuildState::Running => "..".to_owned(),
                    BuildState::Cached => "cached".to_owned(),
                };
                format!("{} {} {state}", step.place.unwrap(), step.name)
            }
            Progress::Line { text, step } => match step {
                Some(step) => format!("  {step}| {text}"),
                None => text,
            },
            Progress::Layer { id, status, .. } => format!("{id} {status}"),
        });
    };
    let mut told = Told::new(builder);
    for line in lines {
        told.hear(line.as_bytes(), &progress);
    }
    let ended = told.end("app:1", &progress);
    (said.into_inner().unwrap(), ended)
}

fn stream(text: &str) -> String {
    serde_json::json!({ "stream": text }).to_string()
}

#[test]
fn the_classic_builders_prose_becomes_steps() {
    let lines = [
        stream("Step 1/3 : FROM busybox"),
        stream("\n"),
        r#"{"status":"Pulling from library/busybox","id":"latest"}"#.to_owned(),
        stream(" ---> 4db377711478\n"),
        stream("Step 2/3 : COPY . /\n"),
        stream(" ---> Using cache\n"),
        stream(" ---> 5db377711478\n"),
        stream("Step 3/3 : RUN echo one; echo two\n"),
        stream(" ---> Running in 0123\n"),
        stream("one\ntw"),
        stream("o\n"),
        stream("Removing intermediate container 0123\n"),
        r#"{"aux":{"ID":"sha256:0"}}"#.to_owned(),
        stream("Successfully built 6db377711478\n"),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let (said, ended) = told(Builder::Classic, &lines);
    ended.unwrap();
    assert_eq!(
        said,
        [
            "[1/3] FROM busybox ..",
            "latest Pulling from library/busybox",
            "[1/3] FROM busybox done",
            "[2/3] COPY . / ..",
            "[2/3] COPY . / cached",
            "[3/3] RUN echo one; echo two ..",
            "  2| one",
            "  2| two",
            "[3/3] RUN echo one; echo two done",
        ]
    );
}

#[test]
fn podmans_prose_becomes_the_same_steps() {
    let lines = [
        stream("STEP 1/2: FROM busybox\n"),
        stream("STEP 2/2: RUN make\n"),
        stream("--> Using cache 0123\n"),
        stream("COMMIT app:1\n"),
        stream("--> 0123\n"),
        stream("Successfully tagged localhost/app:1\n"),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let (said, ended) = told(Builder::Classic, &lines);
    ended.unwrap();
    assert_eq!(
        said,
        [
            "[1/2] FROM busybox ..",
            "[1/2] FROM busybox done",
            "[2/2] RUN make ..",
            "[2/2] RUN make cached",
        ]
    );
}

#[test]
fn a_step_that_fails_is_named_with_its_code_and_its_lines() {
    let lines = [
        stream("Step 1/2 : FROM busybox\n"),
        stream("Step 2/2 : RUN exit 3\n"),
        stream("why\n"),
        r#"{"errorDetail":{"code":3},"error":"The command '/bin/sh -c exit 3' returned a non-zero code: 3"}"#.to_owned(),
    ];
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    let (said, ended) = told(Builder::Classic, &lines);
    assert!(said.last().unwrap().starts_with("[2/2] RUN exit 3 failed:"));
    assert_eq!(
        ended,
        Err(EngineError::Build {
            tag: "app:1".to_owned(),
            cause: "`RUN exit 3` ended with exit code 3".to_owned(),
            output: vec!["why".to_owned()],
        })
    );
}

#[test]
fn an_answer_that_ends_without_an_image_is_a_failure() {
    for builder in [Builder::Classic, Builder::Buildkit] {
        let (_, ended) = told(builder, &["", "{", "[]", "null", r#"{"stream":7}"#]);
        assert!(matches!(ended, Err(EngineError::Build { .. })), "{ended:?}");
        let (_, ended) = told(builder, &[r#"{"aux":{"ID":"sha256:0"}}"#]);
        ended.unwrap();
    }
}

#[test]
fn what_buildkit_says_around_a_failure_is_left_out() {
    assert_eq!(
        point(
            "failed to solve with frontend dockerfile.v0: failed to create LLB definition: dockerfile parse error line 2: unknown instruction: RUNN"
        ),
        "dockerfile parse error line 2: unknown instruction: RUNN"
    );
    assert!(point("no active sessions").contains("a secret"));
    assert_eq!(
        exit_code("x did not complete successfully: exit code: 101"),
        Some(101)
    );
    assert_eq!(exit_code("x"), None);
}
