//! Whole files: what they become, and what is said of those that are none.

use std::{fs, path::PathBuf};

use super::*;
use crate::config::{FILE_NAME, Loaded, SecretReading, Sources, load};

/// The folder of the fixtures: each `.yaml` in it is one; folders are for those that refer to them.
fn fixtures_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/compose")
}

fn fixtures(kind: &str) -> Vec<(String, Vec<u8>)> {
    let mut fixtures: Vec<_> = fs::read_dir(fixtures_folder().join(kind))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .map(|path| {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            (name, fs::read(path).unwrap())
        })
        .collect();
    fixtures.sort();
    assert!(fixtures.len() > 10, "the fixtures are not there");
    fixtures
}

fn beside(kind: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../../../tests/fixtures/compose/{kind}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

/// A project's folder with a Compose file, and what the fixtures refer to.
struct Project {
    outer: tempfile::TempDir,
    folder: PathBuf,
}

impl Project {
    fn new(compose: &[u8]) -> Self {
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().canonicalize().unwrap().join("shop");
        let parts = fixtures_folder().join("parts");
        for part in fs::read_dir(parts).unwrap() {
            let part = part.unwrap().path();
            let target = folder.join("parts").join(part.file_name().unwrap());
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::copy(part, target).unwrap();
        }
        fs::write(folder.join("compose.yaml"), compose).unwrap();
        Self { outer, folder }
    }

    fn convert(&self) -> Result<Conversion, Diagnostics> {
        convert(&self.folder.join("compose.yaml"), &self.folder, None)
    }

    /// Makes what is missing, as the remarks say, and loads what was written.
    fn load(&self, conversion: &Conversion, env: &[(&str, &str)]) -> Result<Loaded, Diagnostics> {
        for missing in &conversion.missing {
            let path = self.folder.join(&missing.path);
            match missing.kind {
                MissingKind::Folder => fs::create_dir_all(&path).unwrap(),
                MissingKind::File => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    fs::write(&path, "").unwrap();
                }
            }
        }
        let file = self.folder.join(FILE_NAME);
        fs::write(&file, &conversion.toml).unwrap();
        let pairs = env.iter();
        load(&Sources {
            file,
            env: pairs
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            secrets: SecretReading::None,
            ..Sources::default()
        })
    }

    /// Without what is another in each run.
    fn plain(&self, text: &str) -> String {
        let outer = self.outer.path().canonicalize().unwrap();
        text.replace(&format!("{}/", self.folder.display()), "")
            .replace(&*outer.to_string_lossy(), "/outer")
    }
}

/// The report as `cosmos init` lists it.
fn listed(conversion: &Conversion) -> String {
    let lines = conversion.remarks.iter().map(|remark| {
        let Remark {
            file,
            line,
            column,
            key,
            why,
            instead,
            ..
        } = remark;
        let outcome = serde_json::to_value(remark.outcome).unwrap();
        let outcome = outcome.as_str().unwrap().to_owned();
        format!("{outcome} {file}:{line}:{column} {key}\n    {why}\n    {instead}\n")
    });
    lines.collect()
}

/// Variables that a fixture wants set: `# env: A=1 B=2` in its first line.
fn wanted_env(text: &str) -> Vec<(&str, &str)> {
    let first = text.lines().next().unwrap_or_default();
    let pairs = first.strip_prefix("# env: ").unwrap_or_default();
    pairs
        .split_whitespace()
        .filter_map(|pair| pair.split_once('='))
        .collect()
}

/// Folders that a variable leads to: `# folders: a b` in its second line.
fn wanted_folders(text: &str) -> Vec<&str> {
    let second = text.lines().nth(1).unwrap_or_default();
    let folders = second.strip_prefix("# folders: ").unwrap_or_default();
    folders.split_whitespace().collect()
}

#[test]
fn every_file_is_converted_to_one_that_loads() {
    for (name, bytes) in fixtures("valid") {
        let project = Project::new(&bytes);
        let conversion = project
            .convert()
            .unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let shown = format!(
            "{}\n=== remarks ===\n{}",
            conversion.toml,
            listed(&conversion)
        );
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let env = wanted_env(&text);
        for wanted in wanted_folders(&text) {
            fs::create_dir_all(project.folder.join(wanted)).unwrap();
        }
        let loaded = project.load(&conversion, &env);
        let warnings = match &loaded {
            Ok(loaded) => loaded.warnings.render(false, 100),
            Err(problems) => panic!("{name} does not load:\n{problems}\n{}", conversion.toml),
        };
        let shown = match warnings.is_empty() {
            true => shown,
            false => format!("{shown}\n=== warnings ===\n{warnings}"),
        };
        beside("valid").bind(|| insta::assert_snapshot!(name, project.plain(&shown).trim_end()));
    }
}

#[test]
fn every_file_that_is_none_is_explained() {
    for (name, bytes) in fixtures("invalid") {
        let project = Project::new(&bytes);
        let problems = match project.convert() {
            Ok(conversion) => panic!("{name} is valid:\n{}", conversion.toml),
            Err(problems) => problems,
        };
        let location = problems
            .iter()
            .next()
            .and_then(|problem| problem.location.clone());
        assert!(location.is_some(), "{name}: no place");
        let shown = project.plain(&problems.render(false, 100));
        beside("invalid").bind(|| insta::assert_snapshot!(name, shown));
    }
}

fn converted(compose: &str) -> Conversion {
    let project = Project::new(compose.as_bytes());
    project
        .convert()
        .unwrap_or_else(|problems| panic!("{problems}"))
}

/// What became of the keys, in short.
fn outcomes(conversion: &Conversion) -> Vec<String> {
    let remarks = conversion.remarks.iter();
    remarks
        .map(|remark| {
            format!(
                "{:?} {}:{} {}",
                remark.outcome, remark.line, remark.column, remark.key
            )
        })
        .collect()
}

#[test]
fn what_is_not_carried_over_has_its_line() {
    let conversion =
        converted("services:\n  web:\n    image: nginx\n    container_name: mine\n    pid: host\n");
    assert_eq!(
        outcomes(&conversion),
        [
            "LeftOut 4:5 services.web.container_name",
            "LeftOut 5:5 services.web.pid"
        ]
    );
}

#[test]
fn services_keep_the_order_of_the_file() {
    let names = ["zoo", "web", "api", "db", "mid"];
    let text: String = names
        .map(|name| format!("  {name}: {{image: x}}\n"))
        .concat();
    assert_eq!(converted(&format!("services:\n{text}")).services, names);
}

#[test]
fn paths_start_at_the_folder_of_the_config() {
    let project = Project::new(
        b"services:\n  web:\n    build: ./api\n    volumes: [\"./a:/a\", \"../b:/b\", \"vol:/c\"]\n",
    );
    fs::write(project.folder.join(".env"), "A=1\n").unwrap();
    let elsewhere = project.folder.join("deploy");
    fs::create_dir(&elsewhere).unwrap();
    let conversion = convert(
        &project.folder.join("compose.yaml"),
        &elsewhere,
        Some("shop"),
    )
    .unwrap();
    insta::assert_snapshot!(conversion.toml, @r#"
    # Made of ../compose.yaml by `cosmos init --from`, which lists what it could not carry over.
    # `cosmos check` says what is missing, `cosmos up` makes it true.

    [workspace]
    name = "shop"
    env_file = ["../.env"]

    [network]
    # A network of its own, as Compose makes one. Without it: one that all workspaces share.
    isolated = true

    [images.web]
    build = { context = "../api" }

    [services.web]
    image = "web"
    mounts = ["../a:/a", "../../b:/b", "vol:/c"]
    # Compose was told nothing, and leaves what ends. Cosmos starts again what failed.
    restart = "on-failure"
    "#);
}

#[test]
fn a_service_whose_end_is_waited_for_is_a_command() {
    let conversion = converted(
        "services:\n  web:\n    image: a\n    depends_on:\n      migrate: {condition: service_completed_successfully}\n  \
         migrate:\n    image: a\n    command: migrate\n",
    );
    assert_eq!(conversion.services, ["web"]);
    assert_eq!(conversion.commands, ["migrate"]);
}

#[test]
fn a_file_that_cannot_be_read_is_told_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let problems = convert(&folder.path().join("nowhere.yaml"), folder.path(), None).unwrap_err();
    let message = &problems.iter().next().unwrap().message;
    assert!(message.starts_with("there is no `"), "{message}");
}

#[test]
fn a_thousand_services_and_a_thousand_mistakes_are_no_problem() {
    let mut text = "services:\n".to_owned();
    for number in 0..1000 {
        text += &format!(
            "  _{number}: {{image: x, imagee: y, depends_on: [_{}], ports: [80]}}\n",
            number / 2
        );
    }
    let conversion = converted(&text);
    assert_eq!(conversion.services.len(), 1000);
    assert_eq!(conversion.remarks.len() + conversion.further_remarks, 2000);
}

/// Pieces of a Compose file, so that chance makes something near to one.
fn nearly_compose() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let value = prop_oneof![
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just("- a\n      - {a: b, source: x, target: /y}\n".to_owned()),
        Just("\n      a: 1\n      condition: service_healthy\n".to_owned()),
        Just("[\"${A:-1}:80/udp\", 1-3, '[::1]:5:6', {target: 80, published: \"1-2\"}]".to_owned()),
        Just("[./a:/b:ro, c:/d, /e, \"${X}:/f\", {type: tmpfs, target: /g}]".to_owned()),
        Just("{test: [CMD], interval: 1s}".to_owned()),
        Just("{test: [CMD-SHELL, x], retries: $R}".to_owned()),
        Just("[db, web]".to_owned()),
        Just("{file: compose.yaml, service: web}".to_owned()),
        Just("*x".to_owned()),
        Just("&x {a: 1}".to_owned()),
        Just("!reset null".to_owned()),
        "[a-z0-9$:{}.,/ -]{0,12}".prop_map(|text| format!("\"{text}\"")),
    ];
    let key = prop_oneof![
        4 => proptest::sample::select(service::every_key()),
        1 => proptest::sample::select(vec!["web", "db", "x-a", "a", "<<", "extends", "nobody"]),
    ];
    let line = (key, value, 0..3_usize)
        .prop_map(|(key, value, depth)| format!("{}{key}: {value}\n", "  ".repeat(depth)));
    let section = proptest::sample::select(vec![
        "services:\n  web:\n",
        "  db:\n",
        "volumes:\n",
        "networks:\n",
        "secrets:\n",
        "configs:\n",
        "include: [compose.yaml]\n",
        "---\n",
    ]);
    let section = section.prop_map(str::to_owned);
    proptest::collection::vec(prop_oneof![4 => line, 1 => section], 0..14)
        .prop_map(|lines| format!("services:\n  web:\n    image: x\n{}", lines.concat()))
}

fn is_converted_or_explained(bytes: &[u8]) -> Result<(), proptest::test_runner::TestCaseError> {
    let project = Project::new(bytes);
    match project.convert() {
        Ok(conversion) => {
            let read = toml::from_str::<toml::Value>(&conversion.toml);
            proptest::prop_assert!(read.is_ok(), "{}\n{:?}", conversion.toml, read);
            for remark in &conversion.remarks {
                proptest::prop_assert!(remark.line > 0 && remark.column > 0);
            }
            // What it says to somebody is tried, too.
            drop(project.load(&conversion, &[]));
        }
        Err(problems) => {
            proptest::prop_assert!(!problems.render(true, 60).is_empty());
            proptest::prop_assert!(problems.iter().all(|problem| problem.location.is_some()));
        }
    }
    Ok(())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(256))]

    #[test]
    fn any_bytes_are_converted_or_explained(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        is_converted_or_explained(&bytes)?;
    }

    #[test]
    fn any_yaml_is_converted_or_explained(text in "[\\[\\]{}:,&*!|>'\"%#?@` \n\tax\\-<~]{0,60}") {
        is_converted_or_explained(text.as_bytes())?;
    }

    #[test]
    fn anything_like_a_compose_file_is_converted_or_explained(text in nearly_compose()) {
        is_converted_or_explained(text.as_bytes())?;
    }

    #[test]
    fn a_damaged_file_is_converted_or_explained(
        which in proptest::prelude::any::<proptest::sample::Index>(),
        at in proptest::prelude::any::<proptest::sample::Index>(),
        cut in 0..20_usize,
        instead in "[ \n:\\-{}\\[\\]&*$\"'a]{0,6}",
    ) {
        let fixtures = fixtures("valid");
        let mut bytes = which.get(&fixtures).1.clone();
        let at = at.index(bytes.len());
        let end = (at + cut).min(bytes.len());
        bytes.splice(at..end, instead.bytes());
        is_converted_or_explained(&bytes)?;
    }
}

#[test]
fn ranges_of_ports_do_not_pile_up() {
    let conversion = converted(&format!(
        "services:\n  web:\n    image: x\n    ports:\n{}",
        "      - 1-256\n".repeat(5000)
    ));
    assert_eq!(outcomes(&conversion), ["LeftOut 9:9 services.web.ports[4]"]);
}
