//! The contract of the API, held against a running proxy by a stranger: schemathesis
//! makes requests of `schemas/cosmos.openapi.json`, right ones and wrong ones.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use super::workspace::{
    WEB, idle,
    support::{Place, docker, inspect, until},
};

/// Examples for each endpoint. `COSMOS_TEST_EXAMPLES=200` is for whoever has the time.
const EXAMPLES: &str = "10";

/// The checks of which one is left out: that whatever fits the schema is accepted. A
/// schema does not know which containers there are, or what an engine makes of a name.
const LEFT_OUT: &str = "positive_data_acceptance";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A program of the Python that `scripts/test` made.
fn python_program(name: &str) -> PathBuf {
    let state = env::var("COSMOS_TEST_STATE").unwrap_or("/var/tmp/cosmos-test".to_owned());
    Path::new(&state).join("cache/python/bin").join(name)
}

#[test]
fn schemathesis_finds_no_5xx_and_no_undocumented_answer() {
    let command = "[commands.task]\nimage = \"busybox:latest\"\nrun = [\"true\"]\n";
    let place = Place::up(&(WEB.to_owned() + &idle("one", "") + command));
    let token = place.token();
    let name = &place.name;
    // Names that there are, so that what is behind them is reached, too.
    let config = place.elsewhere().join("schemathesis.toml");
    let names = format!(
        "[parameters]\n\"path.key\" = \"{name}\"\n\"path.service\" = \"web\"\n\"path.command\" = \"task\"\n"
    );
    fs::write(&config, names).unwrap();
    let ran = Command::new(python_program("st"))
        .current_dir(place.elsewhere())
        .env("SCHEMATHESIS_HOOKS", "hooks")
        .env("PYTHONPATH", root().join("tests/it/engine/contract"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg("--config-file")
        .arg(&config)
        .arg("run")
        .arg(root().join("schemas/cosmos.openapi.json"))
        .args(["--url", &format!("http://127.0.0.1:{}", place.port)])
        .args(["--header", &format!("Authorization: Bearer {token}")])
        .args(["--phases", "coverage,fuzzing"])
        .args([
            "--max-examples",
            &env::var("COSMOS_TEST_EXAMPLES").unwrap_or(EXAMPLES.to_owned()),
        ])
        .args(["--exclude-checks", LEFT_OUT])
        // It would be the last of all good answers.
        .args(["--exclude-path", "/_cosmos/v1/token/rotate"])
        // These have no end, and whoever waits for one waits for ever: `inspector` follows them.
        .args(["--exclude-path", "/_cosmos/v1/live"])
        .args(["--exclude-path", "/_cosmos/v1/exchanges/follow"])
        .args(["--request-timeout", "30", "--no-color"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}");
    assert!(said.contains("Tested: "), "{said}");

    // It stood all of it: the same process, no word of a panic, and what is up works.
    let restarts = inspect(&place.proxy(), "{{.RestartCount}}");
    assert_eq!(restarts.as_deref(), Some("0"));
    let log = docker(&["logs", &place.proxy()]);
    assert!(!log.contains("panicked"), "{log}");
    let _ = place.cosmos(&["up", "--release"]).succeeded();
    until("what is declared is served", || {
        let answer = place.get("web", "/").ok()?;
        (answer.status == 200).then_some(())
    });
}
