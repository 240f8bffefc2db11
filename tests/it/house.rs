//! What is said in more than one place, and must be the same in all.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

#[test]
fn the_dockerfile_has_the_version_and_the_rust_of_cargo_toml() {
    let dockerfile = read("Dockerfile");
    let version = env!("CARGO_PKG_VERSION");
    assert!(dockerfile.contains(&format!("LABEL dev.cosmos.version=\"{version}\"\n")));
    let rust = env!("CARGO_PKG_RUST_VERSION");
    assert!(dockerfile.contains(&format!("FROM rust:{rust}-bookworm ")));
}

#[test]
fn every_dependency_says_what_it_is_for() {
    let manifest = read("Cargo.toml");
    let without: Vec<&str> = manifest
        .split("\n[")
        .filter(|table| {
            table.starts_with("dependencies]") || table.starts_with("dev-dependencies]")
        })
        .flat_map(str::lines)
        .filter(|line| line.contains(" = ") && !line.contains(" # "))
        .collect();
    assert!(without.is_empty(), "{without:#?}");
}

#[test]
fn a_verb_that_is_named_anywhere_exists() {
    let mut verbs = BTreeSet::new();
    for text in texts() {
        for (at, begin) in text.match_indices("cosmos ") {
            let is_command = text[..at].ends_with(['`', '\n']) || text[..at].ends_with("  ");
            let word: String = text[at + begin.len()..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase())
                .collect();
            let ends =
                text[at + begin.len() + word.len()..].starts_with([' ', '`', '\n', '"', '\\']);
            if is_command && ends && !word.is_empty() {
                verbs.insert(word);
            }
        }
    }
    assert!(verbs.len() > 10, "{verbs:?}");
    let unknown: Vec<&String> = verbs.iter().filter(|verb| !is_known(verb)).collect();
    assert!(unknown.is_empty(), "`cosmos` has no {unknown:?}");
}

fn is_known(verb: &str) -> bool {
    let mut cosmos = Command::new(env!("CARGO_BIN_EXE_cosmos"));
    cosmos
        .args([verb, "--help"])
        .output()
        .unwrap()
        .status
        .success()
}

#[test]
fn every_verb_has_a_row_and_examples() {
    let rows = read("docs/verbs.md");
    let help = Command::new(env!("CARGO_BIN_EXE_cosmos"))
        .arg("-h")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    // Groups of verbs, a heading above each: between the examples and the options.
    let listed = help.split("\n\nWorkspace:\n").nth(1).unwrap();
    let listed = listed.split("\n\nOptions:\n").next().unwrap();
    let verbs: Vec<&str> = listed
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next())
        .filter(|verb| !verb.is_empty())
        .collect();
    assert!(verbs.len() > 20, "{verbs:?}");
    for verb in verbs {
        assert!(
            rows.contains(&format!("\n| [`{verb}`]")),
            "docs/verbs.md has no row of `{verb}`"
        );
        let own = Command::new(env!("CARGO_BIN_EXE_cosmos"))
            .args([verb, "-h"])
            .output()
            .unwrap();
        let own = String::from_utf8_lossy(&own.stdout);
        let (examples, options) = (own.find("\nExamples:\n"), own.find("\nOptions"));
        assert!(
            examples.is_some() && examples < options,
            "`cosmos {verb} --help` does not begin with examples"
        );
    }
}

#[test]
fn every_link_of_the_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for file in documents() {
        let text = read(&file);
        for (at, _) in text.match_indices("](") {
            let target = text[at + 2..].split(')').next().unwrap();
            let path = target.split('#').next().unwrap();
            if path.is_empty() || path.contains("://") {
                continue;
            }
            let from = root.join(&file);
            assert!(
                from.parent().unwrap().join(path).exists(),
                "{file} links to {target}, which is not there"
            );
        }
    }
}

/// The pages that people read.
fn documents() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<String> = [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CHANGELOG.md",
        "examples/shop/README.md",
    ]
    .map(str::to_owned)
    .into();
    for entry in fs::read_dir(root.join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".md") {
            files.push(format!("docs/{name}"));
        }
    }
    files
}

/// Everything in which a person is told what to type.
fn texts() -> Vec<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<String> = documents().iter().map(|file| read(file)).collect();
    texts.push(read("scripts/demo"));
    texts.push(read("cosmos.toml.example"));
    texts.push(read("examples/shop/cosmos.toml"));
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                None => folders.push(path),
                Some(_) => texts.push(fs::read_to_string(path).unwrap_or_default()),
            }
        }
    }
    texts
}

fn read(file: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap()
}
