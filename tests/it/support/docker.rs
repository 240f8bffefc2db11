//! The engine as its own command line shows it: nothing of Cosmos is believed
//! about what Cosmos did.

use std::process::Command;

/// What a `docker` command prints, which must succeed.
#[track_caller]
pub(crate) fn docker<const N: usize>(words: [&str; N]) -> String {
    let output = Command::new("docker").args(words).output().unwrap();
    assert!(
        output.status.success(),
        "docker {}: {}",
        words.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .unwrap()
        .trim_end()
        .to_owned()
}

/// One thing about a container, as a Go template says it.
#[track_caller]
pub(crate) fn inspect(container: &str, template: &str) -> String {
    docker(["container", "inspect", "--format", template, container])
}

/// Whether a container runs.
#[track_caller]
pub(crate) fn is_running(container: &str) -> bool {
    inspect(container, "{{.State.Running}}") == "true"
}

/// All that a container ever said, on both streams.
#[track_caller]
pub(crate) fn output_of(container: &str) -> String {
    let output = Command::new("docker")
        .args(["logs", container])
        .output()
        .unwrap();
    assert!(output.status.success(), "docker logs {container}");
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8(text).unwrap()
}
