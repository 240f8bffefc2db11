//! The program as a shell sees it, where it needs no engine.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

#[test]
fn output_that_nobody_reads_ends_it_quietly() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("cosmos.toml"),
        "[services.web]\nimage = \"nginx\"\n",
    )
    .unwrap();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let ended = Command::new(env!("CARGO_BIN_EXE_cosmos"))
        .arg("config")
        .current_dir(folder.path())
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
    assert_eq!(ended.status.code(), Some(141));
}

/// Runs `cosmos` where no engine is.
fn cosmos(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cosmos"))
        .args(arguments)
        .current_dir(folder)
        .env("DOCKER_HOST", "unix:///nowhere.sock")
        .env("COSMOS_INSTALLATION", "nowhere")
        .output()
        .unwrap()
}

#[test]
fn init_writes_a_file_that_check_accepts_without_an_engine() {
    let folder = tempfile::tempdir().unwrap();
    let said = cosmos(folder.path(), &["init", "--name", "shop"]);
    assert!(said.status.success(), "{said:?}");
    let stdout = String::from_utf8_lossy(&said.stdout).into_owned();
    assert!(stdout.contains("Wrote cosmos.toml"), "{stdout}");
    assert!(stdout.contains("Next: `cosmos check`"), "{stdout}");
    let checked = cosmos(folder.path(), &["check"]);
    assert!(checked.status.success(), "{checked:?}");
}

#[test]
fn init_leaves_a_file_that_is_there_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("cosmos.toml");
    fs::write(&file, "# mine\n").unwrap();
    let said = cosmos(folder.path(), &["init"]);
    assert_eq!(said.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&said.stderr).into_owned();
    assert!(
        stderr.contains("cosmos.toml is there already, and is left as it is"),
        "{stderr}"
    );
    assert!(stderr.contains("hint: `cosmos init --print`"), "{stderr}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "# mine\n");
}
