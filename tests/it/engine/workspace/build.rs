//! `cosmos build`: from a folder to an image.

use std::os::unix::fs::symlink;

use super::{
    support::{Place, docker, output, until},
    tap::Tap,
};

/// A project that builds one image from its own folder.
fn project(dockerfile: &str) -> Place {
    let place = Place::new("[images.app]\nbuild = {}\n");
    place.write("Dockerfile", dockerfile);
    place
}

/// The images of a project, gone after its test.
struct Images<'a>(&'a Place);

impl Images<'_> {
    fn tags(&self) -> Vec<String> {
        let repository = format!("{}-app", self.0.name);
        let form = "{{.Repository}}:{{.Tag}}";
        let listed = docker(&["image", "ls", "--format", form, &repository]);
        listed.lines().map(str::to_owned).collect()
    }

    /// What a command says in the one image there is.
    fn run(&self, command: &[&str]) -> String {
        let tags = self.tags();
        assert_eq!(tags.len(), 1, "{tags:?}");
        docker(&[&["run", "--rm", &tags[0]], command].concat())
    }
}

impl Drop for Images<'_> {
    fn drop(&mut self) {
        for tag in self.tags() {
            let _ = output("docker", &["image", "rm", "-f", &tag]);
        }
    }
}

#[test]
fn an_image_is_built_with_a_cache_mount_and_each_step_is_a_line() {
    let place = project(
        "FROM busybox\nRUN --mount=type=cache,target=/cache echo said > /cache/x; cat /cache/x | tee /x\n",
    );
    let images = Images(&place);
    let said = place.cosmos(&["build", "--no-cache"]).succeeded();
    assert!(said.stdout.starts_with("Spawning"), "{said}");
    assert!(said.stdout.contains("\nbuilt app ("), "{said}");
    let _ = said.told(&[
        "app [2/2] RUN --mount=type=cache",
        "app [2/2] | said\n",
        "app [2/2] done (",
    ]);
    assert_eq!(images.run(&["cat", "/x"]), "said");
    let again = place.cosmos(&["build"]).succeeded();
    let _ = again.told(&["(cached)\n"]);
    let quiet = place.cosmos(&["-q", "build"]).succeeded();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
}

#[test]
fn the_classic_builder_builds_where_it_is_asked_for() {
    let place = project("FROM busybox\nRUN --mount=type=cache,target=/c true\n")
        .with("DOCKER_BUILDKIT", "0");
    let images = Images(&place);
    let _ = place.cosmos(&["build"]).ended(1).told(&[
        "error: building `app` failed",
        "--> Dockerfile:2",
        "BuildKit",
    ]);
    place.write("Dockerfile", "FROM busybox\nRUN echo hello\n");
    let said = place.cosmos(&["build", "--no-cache"]).succeeded();
    let _ = said.told(&["app [2/2] RUN echo hello\n", "app [2/2] | hello\n"]);
    assert_eq!(images.tags().len(), 1);
}

#[test]
fn where_the_engine_has_no_buildkit_the_classic_builder_builds_and_it_is_said_once() {
    let tap = Tap::without_buildkit();
    let place = project("FROM busybox\nRUN echo hello\n").through(tap.socket());
    let images = Images(&place);
    let said = place.cosmos(&["build", "--no-cache"]).succeeded();
    let notice = "this engine does not build with BuildKit: BuildKit is not supported by this one; \
                  the classic builder builds, without `RUN --mount`\n";
    assert_eq!(said.stderr.matches(notice).count(), 1, "{said}");
    let _ = said.told(&["app [2/2] | hello\n"]);
    assert_eq!(images.tags().len(), 1);
}

#[test]
fn a_step_that_fails_is_told_with_its_line_its_output_and_what_to_do() {
    for buildkit in ["0", "1"] {
        let place = project(
            "FROM busybox AS one\nARG WHO=you\n# why\nRUN true\nRUN echo for \\\n  $WHO; exit 3\n",
        )
        .with("DOCKER_BUILDKIT", buildkit);
        let failed = place.cosmos(&["build"]).ended(1);
        let what_to_do = [
            "ended with exit code 3\n",
            "\n  --> Dockerfile:5\n",
            "\nhint: mend it, and build it again: `cosmos build app`\n",
        ];
        let failed = failed.told(&what_to_do);
        // Once, where each line stays.
        assert_eq!(failed.stderr.matches("for you").count(), 1, "{failed}");
        let quiet = place.cosmos(&["-q", "build"]).ended(1);
        let _ = quiet.told(&what_to_do).told(&["\n  | for you\n"]);
    }
}

#[test]
fn a_dockerfile_that_makes_no_sense_is_told_with_its_line() {
    for buildkit in ["0", "1"] {
        let place = project("FROM busybox\nNOTHING x\n").with("DOCKER_BUILDKIT", buildkit);
        let failed = place.cosmos(&["build"]).ended(1);
        let _ = failed.told(&["unknown instruction: NOTHING", "--> Dockerfile:2"]);
    }
}

#[test]
fn what_is_ignored_does_not_arrive_and_what_arrives_is_as_it_was() {
    let place = project("FROM busybox\nCOPY . /in\n");
    let images = Images(&place);
    place.write(
        ".dockerignore",
        "*.log\nsecret\n!keep.log\ncosmos.toml\n.dockerignore\n",
    );
    for file in ["a.log", "keep.log", "secret/key", "sub/script"] {
        place.write(file, "text");
    }
    let mode = output(
        "chmod",
        &["750", &format!("{}/sub/script", place.folder.display())],
    );
    let _ = mode.succeeded();
    symlink("sub/script", place.folder.join("link")).unwrap();
    let _ = place.cosmos(&["build"]).succeeded();
    let listed = images.run(&["sh", "-c", "cd /in; find . ! -type d | sort"]);
    // BuildKit has no way to be sent a Dockerfile that it then leaves out.
    let listed: Vec<_> = listed
        .lines()
        .filter(|file| *file != "./.dockerignore")
        .collect();
    assert_eq!(
        listed,
        ["./Dockerfile", "./keep.log", "./link", "./sub/script"]
    );
    let script = images.run(&["stat", "-c", "%a %u", "/in/sub/script"]);
    assert_eq!(script, "750 0");
}

#[test]
fn a_link_out_of_the_context_is_refused_before_anything_is_built() {
    let place = project("FROM busybox\n");
    symlink("/etc", place.folder.join("out")).unwrap();
    let _ = place.cosmos(&["build"]).ended(2).told(&[
        "`out` is a link out of the context of the image `app`, to `/etc`",
        "cosmos.toml:2",
        "leave it out in .dockerignore",
    ]);
    place.write(".dockerignore", "out\n");
    let images = Images(&place);
    let _ = place.cosmos(&["build"]).succeeded();
    assert_eq!(images.tags().len(), 1);
}

#[test]
fn an_image_that_nothing_uses_is_built_and_one_that_is_not_there_named() {
    let place = Place::new("[images.app]\nbuild = {}\n[images.other]\nref = \"busybox\"\n");
    place.write("Dockerfile", "FROM busybox\n");
    let images = Images(&place);
    let _ = place
        .cosmos(&["build", "other"])
        .ended(2)
        .told(&["the config builds no image `other`", "it builds app"]);
    let _ = place.cosmos(&["build", "app"]).succeeded();
    assert_eq!(images.tags().len(), 1);
}

#[test]
fn whoever_gives_a_build_up_ends_it() {
    let sleep = "sleep 7654.";
    let place = project(&format!(
        "FROM busybox\nRUN {sleep}{}\n",
        std::process::id()
    ));
    let running = || {
        let seen = output("pgrep", &["-f", &format!("^{sleep}{}", std::process::id())]);
        seen.code == 0
    };
    let mut build = place.begin(&["build"]);
    until("the step runs", || running().then_some(()));
    build.interrupt();
    let _ = build.end();
    until("the step is over", || (!running()).then_some(()));
}

#[test]
fn the_arguments_of_a_build_are_not_in_the_proxys_log() {
    let place = Place::new("[images.app]\nbuild = { args = { TOKEN = \"hidden-word\" } }\n");
    place.write("Dockerfile", "FROM busybox\nARG TOKEN\n");
    let _images = Images(&place);
    let _ = place.cosmos(&["build"]).succeeded();
    let logs = output("docker", &["logs", &place.proxy()]).succeeded();
    assert!(logs.stdout.contains("/images"), "{logs}");
    assert!(!logs.stdout.contains("hidden-word"), "{logs}");
    assert!(!logs.stderr.contains("hidden-word"), "{logs}");
}

#[test]
fn a_build_tells_machines_the_same_as_people() {
    let place = project("FROM busybox\nRUN echo hello\n");
    let _images = Images(&place);
    let said = place.cosmos(&["build", "--no-cache", "--progress", "json"]);
    let said = said.succeeded();
    let events: Vec<serde_json::Value> = said
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let has = |state: &str| {
        events.iter().any(|event| {
            let progress = &event["progress"];
            progress["progress"] == "build"
                && progress["step"]["name"] == "RUN echo hello"
                && progress["step"]["place"]["number"] == 2
                && progress["state"]["state"] == state
        })
    };
    assert!(has("running") && has("done"), "{said}");
    let is_line = |event: &serde_json::Value| event["progress"]["text"] == "hello";
    assert!(events.iter().any(is_line), "{said}");
}
