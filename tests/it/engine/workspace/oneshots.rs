//! One-shots of `up`: run when what they run from changes, or when asked for.

use super::{
    idle,
    support::{Place, docker, inspect},
};

/// A service behind a command that leaves a line for each of its runs, and ends
/// with 3 where there is a file `broken`.
fn config() -> String {
    r#"
[commands.migrate]
image = "busybox:latest"
run = ["sh", "-c", "echo run >> /data/runs; echo the reason; [ ! -e /data/broken ] || exit 3"]
mounts = ["data:/data"]
"#
    .to_owned()
        + &idle(
            "one",
            "mounts = [\"data:/data\"]\ndepends_on = { migrate = \"completed\" }",
        )
}

impl Place {
    /// How often the command ran.
    fn runs(&self) -> usize {
        let runs = docker(&["exec", &self.container("one"), "cat", "/data/runs"]);
        runs.lines().count()
    }

    fn migrate(&self) -> String {
        format!("{}-migrate", self.name)
    }
}

#[test]
fn one_that_is_done_runs_again_only_when_asked_for() {
    let place = Place::up(&config());
    let id = place.id("one");
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(place.runs(), 1);

    let plan = place.cosmos(&["plan", "--rerun"]).succeeded().stdout;
    assert!(plan.contains("asked for by --rerun"), "{plan}");
    assert_eq!(place.runs(), 1);

    let _ = place.cosmos(&["up", "--rerun"]).succeeded();
    assert_eq!(place.runs(), 2);
    let _ = place.cosmos(&["up", "--rerun=migrate"]).succeeded();
    assert_eq!(place.runs(), 3);
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(place.running("one"), Some(id));
}

#[test]
fn one_that_fails_again_is_kept_for_a_look_and_tried_by_the_next_up() {
    let place = Place::up(&config());
    let one = place.container("one");
    docker(&["exec", &one, "touch", "/data/broken"]);
    let _ = place
        .cosmos(&["up", "--rerun"])
        .ended(1)
        .told(&["ended with exit code 3", "the reason"]);
    let failed = inspect(&place.migrate(), "{{.Id}} {{.State.ExitCode}}").unwrap();
    assert!(failed.ends_with(" 3"), "{failed}");
    let logs = place.cosmos(&["logs", "migrate"]).succeeded();
    assert!(logs.stdout.contains("the reason"), "{logs}");

    // Not done: the next `up` tries again, and again it is kept.
    let _ = place.cosmos(&["up"]).ended(1);
    assert_eq!(place.runs(), 3);
    docker(&["exec", &one, "rm", "/data/broken"]);
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(place.runs(), 4);
    let replaced = inspect(&place.migrate(), "{{.Id}} {{.State.ExitCode}}").unwrap();
    assert!(replaced.ends_with(" 0"), "{replaced}");
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn one_that_is_not_declared_is_refused_with_what_may_be_meant() {
    let place = Place::up(&config());
    let _ = place
        .cosmos(&["up", "--rerun=migrat"])
        .ended(2)
        .told(&["`migrat`", "did you mean `migrate`?"]);
    assert_eq!(place.runs(), 1);
}
