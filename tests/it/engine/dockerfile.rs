//! The Dockerfile makes an image that works, and the CLI makes its proxy of it.

use std::{
    net::TcpListener,
    process::{Command, Output},
};

/// Not the tag that the CLI looks for: a build takes long, and whoever makes a
/// proxy meanwhile would find it.
const BUILT: &str = "cosmos-test/dockerfile";

const TAG: &str = "tiborvass/coding-proxy";

const INSTALLATION: &str = "cosmos-dockerfile";

#[test]
fn the_image_of_the_dockerfile_is_what_the_proxy_is_made_of() {
    // `dev`, as it is built in a third of the time.
    let words = "build --build-arg PROFILE=dev --file Dockerfile --target coding-proxy";
    docker(&[words, "--tag", BUILT, "."]);
    let described = "{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Config.User}}";
    assert_eq!(
        inspected(BUILT, described),
        r#"["/cosmos"] ["serve"] 65532:65532"#
    );

    let home = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let _installation = Installation;
    let tag = Tag::given();
    let said = Command::new(env!("CARGO_BIN_EXE_cosmos"))
        .args(["start", "--rm", "busybox:latest", "echo", "hello"])
        .env("COSMOS_INSTALLATION", INSTALLATION)
        .env("COSMOS_PROXY_PORT", port.to_string())
        .env("HOME", home.path())
        .env_remove("XDG_CACHE_HOME")
        .env_remove("COSMOS_PROXY_IMAGE")
        .output()
        .unwrap();
    drop(tag);
    let said = succeeded(said);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[0], "Spawning coding-proxy container...");
    assert!(lines[1].starts_with("Proxy container started: "), "{said}");
    assert_eq!(lines[3], "hello");

    let proxy = format!("{INSTALLATION}-proxy");
    assert_eq!(
        inspected(&proxy, "{{.Config.Image}}"),
        format!("{TAG}:latest")
    );
    assert_eq!(inspected(&proxy, "{{.Image}}"), inspected(BUILT, "{{.Id}}"));
    assert_eq!(inspected(&proxy, "{{.State.Running}}"), "true");
}

/// The tag that the CLI looks for, for as long as this lives.
struct Tag;

impl Tag {
    fn given() -> Self {
        docker(&["tag", BUILT, TAG]);
        Self
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        let _ = asked(&["rmi", TAG]);
    }
}

/// What the test makes, gone with it.
struct Installation;

impl Drop for Installation {
    fn drop(&mut self) {
        let network = format!("{INSTALLATION}-net");
        let left = asked(&["ps -aq --filter", &format!("network={network}")]);
        for container in String::from_utf8_lossy(&left.stdout).lines() {
            let _ = asked(&["rm -fv", container]);
        }
        let _ = asked(&["network rm", &network]);
        let _ = asked(&["volume rm", &format!("{INSTALLATION}-state")]);
    }
}

fn inspected(what: &str, format: &str) -> String {
    let output = Command::new("docker")
        .args(["inspect", "--format", format, what])
        .output()
        .unwrap();
    succeeded(output).trim().to_owned()
}

fn docker(words: &[&str]) -> String {
    succeeded(asked(words))
}

fn asked(words: &[&str]) -> Output {
    Command::new("docker")
        .args(words.iter().flat_map(|word| word.split(' ')))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap()
}

fn succeeded(output: Output) -> String {
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}
