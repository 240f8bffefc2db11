//! Whole files: what they mean, and what is said of those that mean nothing.

use std::fs;

use super::*;
use crate::workspace::fingerprint;

#[path = "../../tests/fixtures/config/hostile.rs"]
mod hostile;

/// A project's folder with what the fixtures refer to.
fn project(file: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("shop");
    let write = |path: &str, content: &[u8]| {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    };
    write("api/Dockerfile", b"FROM scratch\n");
    write("api/.env", b"LOG=debug\n");
    write("api/app.conf", b"port = 3000\n");
    write("api/src/main.rs", b"fn main() {}\n");
    write("api/migrations/1.sql", b"select 1;\n");
    write("broken.env", b"A=1\nnot a line\n");
    write("key.pem", b"secret\n");
    write(
        "ca.pem",
        include_bytes!("../../tests/fixtures/config/ca.pem"),
    );
    write("server.pem", b"-----BEGIN PRIVATE KEY-----\n");
    write(".env", b"DB_PASSWORD=hunter2\nEMPTY=\nPORT=3000\n");
    write(FILE_NAME, file);
    (outer, folder)
}

fn sources(folder: &Path) -> Sources {
    let path = std::env::var("PATH").unwrap_or_default();
    let env = [
        ("STRIPE_KEY", "sk_test"),
        ("HOME", "/nowhere"),
        ("PATH", path.as_str()),
    ];
    Sources {
        file: folder.join(FILE_NAME),
        env: env.map(|(k, v)| (k.to_owned(), v.to_owned())).into(),
        ..Sources::default()
    }
}

fn load_text(text: &str) -> Result<Loaded, Diagnostics> {
    let (_outer, folder) = project(text.as_bytes());
    load(&sources(&folder))
}

fn loaded(text: &str) -> Loaded {
    load_text(text).unwrap_or_else(|problems| panic!("{problems}"))
}

/// Every fixture of a folder, by name, with its content.
fn fixtures(kind: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(kind);
    let mut fixtures: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            let name = path.to_string_lossy();
            name.ends_with(".toml") && !name.ends_with(".local.toml")
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

/// The project of a fixture, with the layer that lies beside it, if one does.
fn fixture_project(kind: &str, name: &str, file: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let (outer, folder) = project(file);
    let local = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/config")
        .join(kind)
        .join(format!("{name}.local.toml"));
    if local.exists() {
        fs::copy(local, folder.join(LOCAL_FILE_NAME)).unwrap();
    }
    (outer, folder)
}

/// The snapshots lie beside their fixtures.
fn beside(kind: &str) -> insta::Settings {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(format!("../../tests/fixtures/config/{kind}"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings
}

#[test]
fn every_invalid_file_is_explained() {
    let fixtures = fixtures("invalid");
    assert!(fixtures.len() >= 80);
    for (name, file) in fixtures {
        let (_outer, folder) = fixture_project("invalid", &name, &file);
        let problems = match load(&sources(&folder)) {
            Ok(_) => panic!("{name} is valid"),
            Err(problems) => problems,
        };
        for problem in &problems {
            let location = problem.location.as_ref();
            assert!(
                location.is_some(),
                "{name}: no place for {}",
                problem.message
            );
            assert!(
                problem.help.is_some(),
                "{name}: no help for {}",
                problem.message
            );
        }
        beside("invalid").bind(|| insta::assert_snapshot!(name, problems.render(false, 100)));
    }
}

#[test]
fn every_valid_file_has_its_meaning() {
    let fixtures = fixtures("valid");
    assert!(fixtures.len() >= 60);
    for (name, file) in fixtures {
        let (outer, folder) = fixture_project("valid", &name, &file);
        let sources = Sources {
            thorough: true,
            ..sources(&folder)
        };
        let loaded = load(&sources).unwrap_or_else(|problems| panic!("{name}: {problems}"));
        let mut workspace = loaded.workspace;
        workspace.origins = Origins::default();
        let canonical: serde_json::Value =
            serde_json::from_str(&fingerprint::canonical(&workspace)).unwrap();
        let home = fs::canonicalize(outer.path()).unwrap();
        let shown = format!(
            "{}\n{}",
            serde_json::to_string_pretty(&canonical).unwrap(),
            loaded.warnings.render(false, 100)
        )
        .replace(&*home.to_string_lossy(), "/project");
        // Hashes of the folder's path, which is another each time, and of modes.
        let shown = without_hashes(&shown);
        beside("valid").bind(|| insta::assert_snapshot!(name, shown.trim_end()));
    }
}

/// 64 hex digits in a row, or the 16 of a built image's tag, are shown as `<hash>`.
fn without_hashes(text: &str) -> String {
    let mut shown = String::new();
    let mut digits = String::new();
    for letter in text.chars().chain(['\n']) {
        if letter.is_ascii_hexdigit() {
            digits.push(letter);
            continue;
        }
        shown += if matches!(digits.len(), 16 | 64) {
            "<hash>"
        } else {
            &digits
        };
        digits.clear();
        shown.push(letter);
    }
    shown
}

#[test]
fn the_example_loads_without_a_word() {
    let loaded = loaded(include_str!("../../cosmos.toml.example"));
    assert_eq!(loaded.warnings.render(false, 100), "");
    assert_eq!(loaded.workspace.identity.name.as_str(), "shop");
    assert_eq!(loaded.secrets.len(), 1);
}

#[test]
fn every_example_loads_without_a_word() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for example in fs::read_dir(examples).unwrap() {
        let folder = example.unwrap().path();
        let mut sources = sources(&folder);
        // What a person copies to `.env`.
        if folder.join(".env.example").exists() {
            let key = "workspace.env_file".to_owned();
            sources.flags = vec![(key, ".env.example".to_owned())];
        }
        let loaded = load(&sources).unwrap_or_else(|problems| panic!("{problems}"));
        assert_eq!(loaded.warnings.render(false, 100), "");
        let name = loaded.workspace.identity.name;
        assert_eq!(Some(name.as_str()), folder.file_name().unwrap().to_str());
    }
}

#[test]
fn the_schema_in_the_repository_is_the_schema_of_the_code() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas/cosmos.schema.json");
    let text = serde_json::to_string_pretty(&schema()).unwrap() + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == text,
        "schemas/cosmos.schema.json is stale: run `UPDATE_SCHEMA=1 cargo test --lib schema`"
    );
}

#[test]
fn every_key_of_the_schema_has_its_text() {
    fn check(at: &str, schema: &serde_json::Value, missing: &mut Vec<String>) {
        let keys = schema.get("properties").and_then(|keys| keys.as_object());
        for (key, value) in keys.into_iter().flatten() {
            if value.get("description").is_none() {
                missing.push(format!("{at}.{key}"));
            }
        }
    }
    let schema = schema();
    let mut missing = Vec::new();
    check("", &schema, &mut missing);
    for (name, table) in schema["$defs"].as_object().unwrap() {
        check(name, table, &mut missing);
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// Adds a file beside the project's and says what it is for.
fn with_files(file: &str, others: &[(&str, &str)]) -> (tempfile::TempDir, Sources) {
    let (outer, folder) = project(file.as_bytes());
    for (path, text) in others {
        let path = folder.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let sources = sources(&folder);
    (outer, sources)
}

#[test]
fn later_layers_win() {
    let (outer, mut sources) = with_files(
        "[proxy]\nport = 2\n[services.web]\nimage = \"a\"\nreplicas = 2\n",
        &[(
            LOCAL_FILE_NAME,
            "[services.web]\nreplicas = 3\nports = [80]\n",
        )],
    );
    let user_file = outer.path().join("user.toml");
    fs::write(&user_file, "[proxy]\nport = 1\ntokenless = \"off\"\n").unwrap();
    sources.user_file = Some(user_file);

    let web = |loaded: &Loaded| loaded.workspace.services["web"].clone();
    let file = load(&sources).unwrap();
    assert_eq!(file.workspace.proxy.port, Some(2));
    assert_eq!(
        file.workspace.proxy.tokenless,
        Some(crate::workspace::Tokenless::Off)
    );
    assert_eq!(web(&file).replicas, 3);
    assert_eq!(web(&file).container.ports.len(), 1);

    sources.env.insert("COSMOS_PROXY_PORT".into(), "4".into());
    sources
        .env
        .insert("COSMOS_SERVICES__WEB__REPLICAS".into(), "5".into());
    let environment = load(&sources).unwrap();
    assert_eq!(environment.workspace.proxy.port, Some(4));
    assert_eq!(web(&environment).replicas, 5);

    sources.flags.push(("proxy.port".into(), "6".into()));
    let flag = load(&sources).unwrap();
    assert_eq!(flag.workspace.proxy.port, Some(6));
    let said: Vec<_> = flag
        .explain("proxy.port")
        .unwrap()
        .said
        .into_iter()
        .rev()
        .map(|said| {
            format!(
                "{:?} {}:{} {}",
                said.layer,
                said.location.file.rsplit('/').next().unwrap(),
                said.location.line,
                said.text
            )
        })
        .collect();
    assert_eq!(
        said,
        [
            "User user.toml:2 1",
            "Project cosmos.toml:2 2",
            "Environment environment:1 4",
            "Flag command line:1 6",
        ]
    );
}

#[test]
fn a_value_of_the_environment_keeps_its_letters() {
    let (_outer, mut sources) = with_files("[services.web]\nimage = \"a\"\n", &[]);
    let mut set = |name: &str, value: &str| sources.env.insert(name.into(), value.into());
    set("COSMOS_SERVICES__WEB__IMAGE", "1.20");
    set("COSMOS_SERVICES__WEB__HOSTNAME", "true");
    set("COSMOS_SERVICES__WEB__INIT", "true");
    let web = load(&sources).unwrap().workspace.services["web"].clone();
    assert_eq!(web.container.image.reference().as_str(), "1.20");
    assert_eq!(web.container.hostname.as_deref(), Some("true"));
    assert!(web.container.init);
}

#[test]
fn a_variable_for_the_environment_of_a_service_keeps_its_case_and_its_zeros() {
    let (_outer, mut sources) = with_files(
        "[services.web]\nimage = \"a\"\nenv = { B = \"1\", VERSION = \"x\", A = \"2\" }\n",
        &[],
    );
    sources
        .env
        .insert("COSMOS_SERVICES__WEB__ENV__VERSION".into(), "1.20".into());
    let loaded = load(&sources).unwrap();
    let env: Vec<_> = loaded.workspace.services["web"]
        .container
        .env
        .iter()
        .collect();
    let env: Vec<_> = env.iter().map(|(k, v)| format!("{k}={v}")).collect();
    assert_eq!(env, ["B=1", "VERSION=1.20", "A=2"]);
}

/// A config whose secrets come from a variable, which other keys name, too.
const SECRETIVE: &str = "[services.web]\nimage = \"x\"\nsecrets = [\"a\"]\n\
     command = [\"${STRIPE_KEY}\"]\n\
     env = { PASSWORD = \"${DB_PASSWORD}\", PLAIN = \"is ${STRIPE_KEY}\" }\n\
     [secrets.a]\nenv = \"STRIPE_KEY\"\n";

#[test]
fn nothing_that_is_shown_has_a_secret_in_it() {
    let (_outer, mut sources) = with_files(SECRETIVE, &[]);
    sources
        .env
        .insert("COSMOS_SERVICES__WEB__ENV__OTHER".into(), "hunter3".into());
    let loaded = load(&sources).unwrap();
    let mut shown = vec![loaded.shown().to_string()];
    for key in [
        "services.web.env.OTHER",
        "services.web.env.PASSWORD",
        "services.web.command",
        "secrets.a.env",
        "secrets.a",
    ] {
        shown.push(serde_json::to_string(&loaded.explain(key).unwrap()).unwrap());
    }
    for text in &shown {
        for secret in ["sk_test", "hunter2"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    assert!(!shown[1].contains("hunter3"), "{}", shown[1]);
    assert!(shown[0].contains("is <hidden>"), "{}", shown[0]);
}

#[test]
fn no_diagnostic_has_the_value_of_a_variable_in_it() {
    let places = [
        "image = \"${S}\"",
        "ports = [\"${S}\"]",
        "restart = \"${S}\"",
        "stop_grace = \"${S}\"",
        "replicas = \"${S}\"",
        "mounts = [\"${S}:x\"]",
        "mounts = [\"./${S}:/x\"]",
        "route = \"${S}\"",
        "stop_signal = \"${S}\"",
        "workdir = \"${S}\"",
        "platform = \"${S}\"",
        "dns = [\"${S}\"]",
        "cap_add = [\"${S}\"]",
        "shm_size = \"${S}\"",
        "env_file = \"${S}\"",
        "depends_on = [\"${S}\"]",
        "secrets = [\"${S}\"]",
        "resources = { memory = \"${S}\", cpus = \"${S}\" }",
        "devices = [\"${S}\"]",
        "tmpfs = \"${S}\"",
        "extra_hosts = [\"${S}\"]",
        "health = { http = \"${S}\" }",
        "env = [\"${S} x=1\"]",
        "route = { port = 80, hosts = \"${S}\", path = \"${S}\" }",
        "watch = [{ path = \"${S}\", action = \"restart\" }]",
    ];
    for place in places {
        let text = format!(
            "[services.web]\n{}{place}\n",
            if place.starts_with("image") {
                ""
            } else {
                "image = \"x\"\n"
            }
        );
        let (_outer, mut sources) = with_files(&text, &[]);
        sources.env.insert("S".into(), "hunter four!".into());
        let said = load(&sources).expect_err(place).render(false, 100);
        assert!(!said.contains("hunter"), "{place}: {said}");
    }
}

#[test]
fn a_key_is_explained_by_who_said_it() {
    let (_outer, mut sources) = with_files(
        "[services.web]\nimage = \"a\"\nreplicas = 2\nports = [1]\nenv = { A = \"1\" }\n",
        &[(
            LOCAL_FILE_NAME,
            "[services.web]\nreplicas = 3\nenv = [\"B=2\"]\n",
        )],
    );
    sources
        .env
        .insert("COSMOS_SERVICES__WEB__REPLICAS".into(), "4".into());
    let loaded = load(&sources).unwrap();
    let explained = |key: &str| match loaded.explain(key) {
        Ok(found) => {
            let said: Vec<_> = found
                .said
                .iter()
                .map(|said| {
                    format!(
                        "{}:{} {}",
                        said.location.file, said.location.line, said.text
                    )
                })
                .collect();
            format!("{:?} {} {:?}", found.state, said.join(", "), found.keys)
        }
        Err(unknown) => format!("{unknown}; {:?}", unknown.meant),
    };
    assert_eq!(
        explained("services.web.replicas"),
        "Value environment:1 4, cosmos.local.toml:2 3, cosmos.toml:3 2 []"
    );
    assert_eq!(
        explained("services.web.ports[0]"),
        "Value cosmos.toml:4 1 []"
    );
    assert_eq!(
        explained("services.web.env.A"),
        "Replaced cosmos.toml:5 \"1\" []"
    );
    assert_eq!(explained("services.web.init"), "Default  []");
    assert_eq!(
        explained("workspace.engine"),
        "Value built-in defaults:2 \"docker\" []"
    );
    assert!(
        explained("services.web").starts_with("Table "),
        "{}",
        explained("services.web")
    );
    assert!(
        explained("services.web").ends_with(r#"["image", "replicas", "ports", "env"]"#),
        "{}",
        explained("services.web")
    );
    assert_eq!(
        explained("services.web.prots"),
        "there is no key `prots` in `services.web`; Some(\"services.web.ports\")"
    );
    assert_eq!(
        explained("services.wbe"),
        "there is no key `wbe` in `services`; Some(\"services.web\")"
    );
    assert_eq!(
        explained("services.web.replicas.x"),
        "there is no key `x` in `services.web.replicas`; None"
    );
    assert_eq!(
        explained("servics"),
        "there is no key `servics`; Some(\"services\")"
    );
}

#[test]
fn a_wrong_value_of_the_environment_is_drawn_like_any_other() {
    let (_outer, mut sources) = with_files("", &[]);
    sources
        .env
        .insert("COSMOS_PROXY_PORT".into(), "http".into());
    sources.env.insert("COSMOS_PROXY_IMGAE".into(), "x".into());
    insta::assert_snapshot!(load(&sources).unwrap_err(), @"
    warning: the variable `COSMOS_PROXY_IMGAE` does nothing
     |
     = help: did you mean `COSMOS_PROXY_IMAGE`?

    error: `port` must be a whole number from 0 to 65535, not this text
     --> environment:1:19
      |
    1 | COSMOS_PROXY_PORT=http
      |                   ^^^^ proxy.port
      |
      = help: it is from a variable: set that to one
    ");
}

#[test]
fn a_user_file_cannot_declare_services() {
    let (outer, mut sources) = with_files("", &[]);
    let user_file = outer.path().join("shop/user.toml");
    fs::write(
        &user_file,
        "[proxy]\nport = 1\n\n[services.web]\nimage = \"a\"\n",
    )
    .unwrap();
    sources.user_file = Some(user_file);
    insta::assert_snapshot!(load(&sources).unwrap_err(), @"
    error: `services` cannot be set for all workspaces at once
     --> user.toml:4:2
      |
    4 | [services.web]
      |  ^^^^^^^^ services
      |
      = help: the user file may have `proxy` or `network`; the rest belongs into a cosmos.toml
    ");
}

#[test]
fn the_order_of_the_file_is_kept() {
    let text: String = ["zoo", "web", "api", "db", "mid"]
        .iter()
        .map(|name| format!("[services.{name}]\nimage = \"x\"\nenv = {{ Z = 1, A = 2 }}\n"))
        .collect();
    let (_outer, sources) = with_files(
        &text,
        &[(
            LOCAL_FILE_NAME,
            "[services.more]\nimage = \"x\"\n[services.api]\ninit = true\n",
        )],
    );
    let workspace = load(&sources).unwrap().workspace;
    let names: Vec<_> = workspace
        .services
        .keys()
        .map(|name| name.as_str())
        .collect();
    assert_eq!(names, ["zoo", "web", "api", "db", "mid", "more"]);
    let env: Vec<_> = workspace.services["web"].container.env.keys().collect();
    assert_eq!(env, ["Z", "A"]);
}

#[test]
fn each_key_has_its_origin() {
    let loaded = loaded("[services.web]\nimage = \"a\"\n\nports = [1]\n");
    let origin = |key| loaded.workspace.origins.of(key).unwrap().to_string();
    assert_eq!(origin("services.web.image"), "cosmos.toml:2");
    assert_eq!(origin("services.web.ports"), "cosmos.toml:4");
    assert_eq!(origin("services.web.replicas"), "cosmos.toml:1");
}

#[test]
fn the_shells_environment_wins_over_the_env_file() {
    let (_outer, mut sources) = with_files("[services.web]\nimage = \"x:${DB_PASSWORD}\"\n", &[]);
    let image = |sources: &Sources| {
        let workspace = load(sources).unwrap().workspace;
        workspace.services["web"]
            .container
            .image
            .reference()
            .to_string()
    };
    assert_eq!(image(&sources), "x:hunter2");
    sources.env.insert("DB_PASSWORD".into(), "other".into());
    assert_eq!(image(&sources), "x:other");
}

#[test]
fn a_linked_worktree_is_an_instance_and_a_submodule_is_none() {
    let git = |target: &str| {
        let (_outer, sources) = with_files("", &[(".git", target)]);
        load(&sources).unwrap().workspace.identity.key()
    };
    assert_eq!(
        git("gitdir: /src/shop/.git/worktrees/Fix_42\n"),
        "fix-42.shop"
    );
    assert_eq!(git("gitdir: ../.git/modules/shop\n"), "shop");
}

#[test]
fn an_ordered_instance_wins() {
    let (_outer, mut sources) =
        with_files("", &[(".git", "gitdir: /src/shop/.git/worktrees/fix\n")]);
    let key = |sources: &Sources| load(sources).unwrap().workspace.identity.key();
    sources.env.insert("COSMOS_INSTANCE".into(), "env".into());
    assert_eq!(key(&sources), "env.shop");
    sources.instance = Some("flag".into());
    assert_eq!(key(&sources), "flag.shop");
    sources.instance = Some("No Name".into());
    assert!(load(&sources).is_err());
}

#[test]
fn an_active_profile_turns_its_services_on() {
    let (_outer, mut sources) =
        with_files("[services.web]\nimage = \"x\"\nprofiles = [\"dev\"]\n", &[]);
    let run = |sources: &Sources| load(sources).unwrap().workspace.services["web"].run.clone();
    assert_eq!(run(&sources), crate::workspace::RunState::Off);
    sources.profiles = vec!["dev".into()];
    assert_eq!(run(&sources), crate::workspace::RunState::Running);
    sources.profiles.clear();
    sources
        .env
        .insert("COSMOS_PROFILES".into(), "test, dev".into());
    assert_eq!(run(&sources), crate::workspace::RunState::Running);
}

#[test]
fn a_changed_file_is_another_image_config_or_run() {
    let text = "[images.api]\nbuild = { context = \"./api\" }\n\
        [services.web]\nimage = \"api\"\nconfigs = { \"api/app.conf\" = \"/a\" }\n\
        [commands.migrate]\nimage = \"x\"\nrun = \"true\"\ninputs = [\"api/migrations/**\"]\n";
    let (_outer, sources) = with_files(text, &[]);
    let load = || load(&sources).unwrap().workspace;
    let before = load();
    assert_eq!(before, load());
    let folder = sources.file.parent().unwrap();
    fs::write(folder.join("api/migrations/1.sql"), "select 2;").unwrap();
    fs::write(folder.join("api/app.conf"), "port = 4000").unwrap();
    let after = load();
    let web = |workspace: &Workspace| workspace.services["web"].container.clone();
    assert_ne!(web(&before).image, web(&after).image);
    assert_ne!(web(&before).files, web(&after).files);
    let inputs = |workspace: &Workspace| workspace.commands["migrate"].inputs.clone();
    assert_ne!(inputs(&before), inputs(&after));
}

#[test]
fn secrets_are_not_read_where_nobody_needs_them() {
    let (_outer, mut sources) = with_files(
        "[services.web]\nimage = \"x\"\nsecrets = [\"a\"]\n[secrets.a]\ncommand = \"false\"\n",
        &[],
    );
    assert!(load(&sources).is_err());
    sources.secrets = SecretReading::None;
    assert!(load(&sources).unwrap().secrets["a"].is_empty());
}

#[test]
fn a_missing_file_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = sources(folder.path());
    sources.file = PathBuf::from("nowhere/cosmos.toml");
    insta::assert_snapshot!(load(&sources).unwrap_err(), @"
    error: there is no `nowhere/cosmos.toml`
     |
     = help: write one with `cosmos init`, or name another: `-f FILE`
    ");
}

#[test]
fn the_file_is_found_from_any_folder_below() {
    let (_outer, folder) = project(b"");
    assert_eq!(find(&folder.join("api/src")), Some(folder.join(FILE_NAME)));
}

#[test]
fn problems_are_data_too() {
    let problems = load_text("[services.web]\nimage = \"x\"\nreplica = 2\n").unwrap_err();
    insta::assert_snapshot!(serde_json::to_string_pretty(&problems).unwrap(), @r#"
    [
      {
        "severity": "error",
        "message": "there is no key `replica` in `services.web`",
        "key": "services.web.replica",
        "file": "cosmos.toml",
        "line": 3,
        "column": 1,
        "end_line": 3,
        "end_column": 8,
        "help": "did you mean `replicas`?"
      }
    ]
    "#);
}

#[test]
fn ten_mistakes_are_ten_diagnostics_in_the_order_of_the_file() {
    let file = include_bytes!("../../tests/fixtures/config/invalid/ten-mistakes.toml");
    let (_outer, folder) = project(file);
    let problems = load(&sources(&folder)).unwrap_err();
    let places: Vec<_> = problems
        .iter()
        .map(|problem| problem.location.as_ref().unwrap())
        .map(|place| (place.line, place.column))
        .collect();
    assert_eq!(
        places,
        [
            (2, 8),
            (5, 7),
            (8, 1),
            (9, 12),
            (10, 10),
            (11, 11),
            (12, 15),
            (13, 15),
            (17, 11),
            (18, 21)
        ]
    );
}

#[test]
fn a_long_chain_and_a_thousand_services_are_no_problem() {
    let mut text = String::new();
    for number in 0..1000 {
        text += &format!(
            "[services.s{number}]\nimage = \"nginx:alpine\"\nenv = {{ A = \"${{A:-1}}\", B = 2 }}\n\
             ports = [80]\nmounts = [\"data:/data\"]\nhealth = {{ tcp = 80 }}\n"
        );
        if number > 0 {
            text += &format!("depends_on = [\"s{}\"]\n", number - 1);
        }
    }
    let loaded = loaded(&text);
    assert_eq!(loaded.workspace.services.len(), 1000);
}

#[test]
fn a_value_in_a_value_in_a_value_is_refused_and_no_overflow() {
    for deep in ["[", "{a=", "a.", "[a."] {
        let text = format!("a = {}", deep.repeat(20_000));
        assert!(load_text(&text).is_err());
        assert!(load_text(&deep.repeat(20_000)).is_err());
    }
}

#[test]
fn what_nobody_writes_is_read_or_explained_in_few_words() {
    for (name, make) in hostile::HOSTILE {
        let said = match load_text(&make(40_000)) {
            Ok(loaded) => loaded.warnings.render(false, 100),
            Err(problems) => problems.render(false, 100),
        };
        assert!(
            said.len() < 200_000,
            "{name}: {} bytes are said",
            said.len()
        );
    }
}

/// Loads bytes as each of the files that a config is read from; whatever is wrong is said.
fn survives(bytes: &[u8]) -> Result<(), String> {
    for name in [FILE_NAME, LOCAL_FILE_NAME, ".env"] {
        let (_outer, folder) = project(b"[services.web]\nimage = \"x:${PORT:-1}\"\n");
        fs::write(folder.join(name), bytes).unwrap();
        // What chance makes of a command is not run.
        let sources = Sources {
            thorough: true,
            secrets: SecretReading::None,
            ..sources(&folder)
        };
        match load(&sources) {
            Ok(loaded) => {
                loaded.warnings.render(true, 60);
                loaded.shown();
                let _ = loaded.explain("services.web.image");
            }
            Err(problems) if problems.is_empty() => return Err("nothing is said".to_owned()),
            Err(problems) => {
                problems.render(true, 60);
                problems.render(false, 1);
                serde_json::to_string(&problems).map_err(|error| error.to_string())?;
            }
        }
    }
    Ok(())
}

#[test]
fn every_file_of_the_corpus_is_read_or_explained() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/config/corpus");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        survives(&fs::read(&path).unwrap())
            .unwrap_or_else(|why| panic!("{}: {why}", path.display()));
        count += 1;
    }
    assert!(count > 20);
}

/// A fixture in which some bytes are others, or are missing, or come twice.
fn nearly_a_fixture() -> impl proptest::strategy::Strategy<Value = Vec<u8>> {
    use proptest::prelude::*;
    let all: Vec<Vec<u8>> = ["valid", "invalid"]
        .into_iter()
        .flat_map(fixtures)
        .map(|(_, file)| file)
        .filter(|file| file.len() < 4000)
        .collect();
    let interesting = prop_oneof![
        any::<u8>(),
        proptest::sample::select(b"[]{}\"'=.,#$\\\n\r\t \0\xff0-".to_vec()),
    ];
    let edit = (any::<proptest::sample::Index>(), 0..3_u8, interesting);
    (
        proptest::sample::select(all),
        proptest::collection::vec(edit, 1..6),
    )
        .prop_map(|(mut file, edits)| {
            for (at, what, byte) in edits {
                if file.is_empty() {
                    break;
                }
                let at = at.index(file.len());
                match what {
                    0 => file[at] = byte,
                    1 => file.insert(at, byte),
                    _ => drop(file.remove(at)),
                }
            }
            file
        })
}

/// Pieces of a config, so that chance makes something near to one.
fn nearly_a_config() -> impl proptest::strategy::Strategy<Value = String> {
    use proptest::prelude::*;
    let piece = prop_oneof![
        "[a-z.\\[\\]\"'={},#\n $:{}0-9-]{0,12}",
        Just("[services.web]\n".to_owned()),
        Just("[[services.web.watch]]\n".to_owned()),
        Just("image = \"x${A:-é}\"\n".to_owned()),
        Just("ports = [1, \"2:3\", {container = 4}]\n".to_owned()),
        Just("depends_on = [\"web\"]\n".to_owned()),
        Just("health = { http = \"/\" ".to_owned()),
        Just("commands.web = {}\n".to_owned()),
        Just("x = \"\"\"\n\\u0024{A}\n".to_owned()),
        Just("[workspace]\nname = \"é\"\n".to_owned()),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_are_read_or_explained(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        let (_outer, folder) = project(&bytes);
        if let Err(problems) = load(&sources(&folder)) {
            proptest::prop_assert!(!problems.render(true, 60).is_empty());
        }
    }

    #[test]
    fn anything_like_a_config_is_read_or_explained(text in nearly_a_config()) {
        match load_text(&text) {
            Ok(loaded) => drop(loaded.warnings.render(true, 60)),
            Err(problems) => proptest::prop_assert!(!problems.render(true, 60).is_empty()),
        }
    }

    #[test]
    fn a_fixture_with_a_slip_is_read_or_explained(file in nearly_a_fixture()) {
        if let Err(why) = survives(&file) {
            return Err(proptest::test_runner::TestCaseError::fail(why));
        }
    }
}

#[test]
fn far_too_much_of_anything_is_refused_at_its_place_before_it_is_parsed() {
    let said = |text: &str| {
        let (_outer, sources) = with_files(text, &[]);
        load(&sources).unwrap_err().to_string()
    };
    let keys: String = (0..50_000).map(|key| format!("k{key} = 1\n")).collect();
    assert!(said(&keys).contains("this table has far too many entries up to here"));
    assert!(said(&keys).contains("cosmos.toml:40001:"), "its place");
    let steps = format!("{}a = 1", "a.".repeat(600));
    assert!(said(&steps).contains("this key has far too many steps"));
    // As many in many tables are none too many for any of them.
    let tables: String = (0..1_000)
        .map(|name| {
            format!(
                "[services.s{name}]\nimage = \"a.b.c/d:1.2\"\nenv = {{ A = \"{}\" }}\n",
                "=".repeat(60)
            )
        })
        .collect();
    let (_outer, sources) = with_files(&tables, &[]);
    assert_eq!(load(&sources).unwrap().workspace.services.len(), 1_000);
}
