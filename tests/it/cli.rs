//! The program as a shell sees it, where it needs no engine.

use std::{
    fs,
    process::{Command, Stdio},
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
