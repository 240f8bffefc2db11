//! `scripts/package`: what somebody else gets.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, process::Command};

/// Packages the program that is tested, without building it once more. What is packaged
/// only calls it: it is large before it is stripped, and takes long to be compressed.
fn package(folder: &Path, out: &str) -> String {
    let binary = folder.join("cosmos");
    let call = format!(
        "#!/bin/sh\nexec '{}' \"$@\"\n",
        env!("CARGO_BIN_EXE_cosmos")
    );
    fs::write(&binary, call).unwrap();
    fs::set_permissions(&binary, fs::Permissions::from_mode(0o700)).unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/package");
    let output = Command::new(script)
        .arg("--binary")
        .arg(binary)
        .arg("--out")
        .arg(folder.join(out))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn listed(archive: &str) -> String {
    let output = Command::new("tar")
        .args(["--list", "--verbose", "--numeric-owner", "--file", archive])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_package_is_whole_and_the_same_each_time() {
    let folder = tempfile::tempdir().unwrap();
    let said = package(folder.path(), "one");
    let again = package(folder.path(), "two");
    let [archive, size, sum] = said.lines().collect::<Vec<_>>()[..] else {
        panic!("{said}");
    };
    assert!(size.ends_with(" bytes"), "{said}");
    assert!(sum.starts_with("sha256 ") && sum.len() == 71, "{said}");
    assert!(again.contains(sum), "{said}{again}");

    let name = Path::new(archive).file_name().unwrap().to_str().unwrap();
    let name = name.strip_suffix(".tar.gz").unwrap();
    assert!(
        name.starts_with(concat!("cosmos-", env!("CARGO_PKG_VERSION"), "-")),
        "{name}"
    );
    let list = listed(archive);
    for file in [
        "bin/cosmos",
        "share/bash-completion/completions/cosmos",
        "share/zsh/site-functions/_cosmos",
        "share/fish/vendor_completions.d/cosmos.fish",
        "share/man/man1/cosmos.1",
        "share/man/man1/cosmos-up.1",
        "share/man/man1/cosmos-http-show.1",
        "README.md",
        "LICENSE",
        "LICENSE-MIT",
        "LICENSE-APACHE",
        "CHANGELOG.md",
        "cosmos.toml.example",
        "schemas/cosmos.schema.json",
        "schemas/cosmos.openapi.json",
    ] {
        assert!(
            list.contains(&format!(" {name}/{file}\n")),
            "no {file} in {list}"
        );
    }
    for line in list.lines() {
        assert!(line.contains(" 0/0 "), "{line}");
        let is_runnable = line.contains("/bin/cosmos") || line.starts_with('d');
        let mode = if is_runnable {
            "rwxr-xr-x"
        } else {
            "-rw-r--r--"
        };
        assert!(line.contains(mode), "{line}");
    }
}
