//! Images from a registry, with a login and without: `pull`, `up`, `start` and `build`.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicU16, Ordering},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::support::{Place, Said, docker, output};

/// The password that the registry takes, as `scripts/registry` has it.
const PASSWORD: &str = "cosmos-test";

/// The registry that asks for a login.
const CLOSED: &str = "127.0.0.1:5001";

/// An image that only the registry has, and that is this test's own.
struct Served {
    name: String,
}

impl Served {
    fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("it/p{}-{number}:1", std::process::id());
        let served = Self { name };
        served.push();
        served
    }

    /// Pushes an image that is another each time.
    fn push(&self) {
        let open = self.open();
        let container = docker(&["create", "busybox:latest", "true"]);
        let change = format!("ENV NONCE={container}");
        docker(&["commit", "--change", &change, &container, &open]);
        docker(&["rm", &container]);
        docker(&["push", "--quiet", &open]);
        docker(&["rmi", &open]);
    }

    fn open(&self) -> String {
        format!("127.0.0.1:5000/{}", self.name)
    }

    fn closed(&self) -> String {
        format!("{CLOSED}/{}", self.name)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Also what a newer one took the tag of.
        for image in [self.open(), self.closed()] {
            let (repository, _) = image.rsplit_once(':').unwrap();
            let ids = docker(&["image", "ls", "-q", "--no-trunc", repository]);
            for id in ids.lines() {
                let _ = output("docker", &["rmi", "-f", id]);
            }
        }
    }
}

/// How somebody is known to the registry.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Login {
    None,
    Wrong,
    Right,
    /// The right one, from a helper.
    Helper,
}

/// A place whose Docker config has such a login.
fn place(config: &str, login: Login) -> Place {
    let place = Place::new(config);
    let folder = place.elsewhere().join("docker");
    fs::create_dir_all(&folder).unwrap();
    let auth = |password: &str| {
        let auth = STANDARD.encode(format!("cosmos:{password}"));
        serde_json::json!({ "auths": { CLOSED: { "auth": auth } } })
    };
    let written = match login {
        Login::None => serde_json::json!({}),
        Login::Wrong => auth("mistaken"),
        Login::Right => auth(PASSWORD),
        Login::Helper => serde_json::json!({ "credHelpers": { CLOSED: "test" } }),
    };
    fs::write(folder.join("config.json"), written.to_string()).unwrap();
    let helper = folder.join("docker-credential-test");
    let script = format!(
        "#!/bin/sh\nread host\n[ \"$1 $host\" = 'get {CLOSED}' ] || exit 1\n\
         echo '{{\"ServerURL\":\"{CLOSED}\",\"Username\":\"cosmos\",\"Secret\":\"{PASSWORD}\"}}'\n"
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", folder.display());
    place
        .with("DOCKER_CONFIG", &folder.to_string_lossy())
        .with("PATH", &path)
}

fn service(image: &str) -> String {
    format!("[services.one]\nimage = \"{image}\"\ninit = true\ncommand = [\"sleep\", \"1000\"]\n")
}

/// That a verb fails without a login, says so, and works with one, however it is kept.
fn needs_a_login(config: impl Fn(&str) -> String, verb: impl Fn(&str) -> Vec<String>) {
    for login in [Login::None, Login::Wrong, Login::Right, Login::Helper] {
        let served = Served::new();
        let image = served.closed();
        let place = place(&config(&image), login);
        place.write("Dockerfile", &format!("FROM {image}\nRUN true\n"));
        let verb = verb(&image);
        let said = place.cosmos(&verb.iter().map(String::as_str).collect::<Vec<_>>());
        tells_no_secret(&place, &said);
        let hint = format!("hint: log in, and run it again: `docker login {CLOSED}`");
        match login {
            Login::None => {
                let asks = format!("the registry {CLOSED} asks for a login for image `{image}`");
                let _ = said.ended(1).told(&[&asks, &hint]);
            }
            Login::Wrong => {
                let refuses = format!("the registry {CLOSED} does not accept the login");
                let _ = said.ended(1).told(&[&refuses, &image, &hint]);
            }
            Login::Right | Login::Helper => {
                let _ = said.succeeded();
            }
        }
        let built = docker(&["image", "ls", "-q", &format!("{}-app", place.name)]);
        drop(place);
        for image in built.lines() {
            let _ = output("docker", &["rmi", "-f", image]);
        }
    }
}

/// No password, as it is or as a header has it, is said, logged or kept.
fn tells_no_secret(place: &Place, said: &Said) {
    let encoded = STANDARD.encode(format!("cosmos:{PASSWORD}"));
    let logs = output("docker", &["logs", &place.proxy()]);
    let folder = place.elsewhere().join("state");
    let state = format!("{}:/var/lib/cosmos", place.proxy());
    let _ = output("docker", &["cp", &state, &folder.to_string_lossy()]).succeeded();
    assert!(fs::read_dir(&folder).unwrap().count() > 0);
    let kept = output(
        "grep",
        &[
            "-rl",
            "-e",
            PASSWORD,
            "-e",
            &encoded,
            &folder.to_string_lossy(),
        ],
    );
    assert_eq!(kept.stdout, "");
    for secret in [PASSWORD, "mistaken", &encoded] {
        for text in [&said.stdout, &said.stderr, &logs.stdout, &logs.stderr] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

#[test]
fn up_pulls_with_the_login_of_the_docker_config() {
    needs_a_login(service, |_| vec!["up".to_owned()]);
}

#[test]
fn up_pulls_with_it_what_it_always_pulls() {
    let config = |image: &str| {
        format!(
            "[images.own]\nref = \"{image}\"\npull = \"always\"\n{}",
            service("own")
        )
    };
    needs_a_login(config, |_| vec!["up".to_owned()]);
}

#[test]
fn start_pulls_with_the_login_of_the_docker_config() {
    let verb = |image: &str| {
        ["start", "-d", "--rm", image, "true"]
            .map(str::to_owned)
            .to_vec()
    };
    needs_a_login(service, verb);
}

#[test]
fn pull_pulls_with_the_login_of_the_docker_config() {
    needs_a_login(service, |_| vec!["pull".to_owned()]);
}

#[test]
fn build_begins_with_what_the_login_of_the_docker_config_gets() {
    needs_a_login(
        |_| "[images.app]\nbuild = {}\n".to_owned(),
        |_| vec!["build".to_owned()],
    );
}

#[test]
fn a_login_that_cannot_be_read_is_told_and_done_without() {
    let served = Served::new();
    let place = place(&service(&served.open()), Login::None);
    for (config, why) in [
        ("{", "Docker's config cannot be read"),
        (
            r#"{"credsStore":"nothing-here"}"#,
            "its credential helper cannot be run",
        ),
        (r#"{"credsStore":"test"}"#, "its credential helper failed"),
    ] {
        fs::write(place.elsewhere().join("docker/config.json"), config).unwrap();
        let said = place.cosmos(&["pull"]).succeeded();
        let _ = said.told(&[&format!("warning: no login for 127.0.0.1:5000: {why}\n")]);
    }
}

#[test]
fn a_pull_says_what_is_new_and_goes_on_past_what_is_not_there() {
    let served = Served::new();
    let (image, absent) = (served.open(), "127.0.0.1:5000/it/absent:1");
    let unreachable = "127.0.0.1:1/it/x:1";
    let place = place(
        &format!(
            "[images]\ngone = {{ ref = \"{absent}\" }}\nfar = {{ ref = \"{unreachable}\" }}\n\
             kept = {{ ref = \"busybox:latest\", pull = \"never\" }}\n{}",
            service(&image)
        ),
        Login::None,
    );
    let first = place.cosmos(&["pull"]).ended(1).told(&[
        &format!("error: image `{absent}` was not found: "),
        &format!("error: image `{unreachable}` could not be pulled: "),
        "hint: check the name",
        "`cosmos up` replaces what runs from older ones",
    ]);
    assert!(
        first.stdout.contains(&format!("pulled {image} (")),
        "{first}"
    );
    assert!(!first.stdout.contains("busybox"), "{first}");
    // A line, not one for each layer.
    let of_image = |line: &&str| line.starts_with(&image);
    let lines: Vec<_> = first.stderr.lines().filter(of_image).collect();
    assert_eq!(lines, [format!("{image}: pulling")], "{first}");

    let again = place.cosmos(&["pull", "one"]).succeeded();
    assert_eq!(again.stdout, format!("up to date: {image}\n"));
    served.push();
    let newer = place
        .cosmos(&["pull", &image, "one", "--json"])
        .succeeded()
        .json();
    assert_eq!(newer["images"][0]["status"], "pulled");
    assert_eq!(newer["images"][1], serde_json::Value::Null);
    let id = docker(&["image", "inspect", "-f", "{{.Id}}", &image]);
    assert_eq!(newer["images"][0]["id"], id);

    let unknown = place.cosmos(&["pull", "nothing"]).ended(2);
    let _ = unknown.told(&["the config has no image, service or command `nothing`"]);
}

#[test]
fn what_is_built_is_not_pulled() {
    let place = Place::new("[images.app]\nbuild = {}\n");
    place.write("Dockerfile", "FROM busybox\n");
    let _ = place
        .cosmos(&["pull", "app"])
        .ended(2)
        .told(&["is built here", "cosmos build"]);
    let _ = place
        .cosmos(&["pull"])
        .ended(2)
        .told(&["names no image that is pulled"]);
}

#[test]
fn a_build_that_is_to_pull_begins_with_the_newest() {
    let served = Served::new();
    let image = served.open();
    let place = place("[images.app]\nbuild = {}\n", Login::None);
    place.write("Dockerfile", &format!("FROM {image}\n"));
    let nonce = || {
        let tag = docker(&["image", "ls", "-q", &format!("{}-app", place.name)]);
        docker(&["image", "inspect", "-f", "{{.Config.Env}}", &tag])
    };
    let _ = place.cosmos(&["build"]).succeeded();
    let before = nonce();
    served.push();
    let _ = place.cosmos(&["build", "--pull"]).succeeded();
    assert_ne!(nonce(), before);
    let _ = output(
        "docker",
        &[
            "rmi",
            "-f",
            &docker(&["image", "ls", "-q", &format!("{}-app", place.name)]),
        ],
    );
}
