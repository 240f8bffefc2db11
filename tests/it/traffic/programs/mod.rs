//! Programs that other people wrote, in front of the proxy and behind it: they
//! see the same with it as without.
//!
//! `scripts/test` installs them; `--quick` leaves these tests out.

use std::{
    env,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
};

use cosmos::traffic::{
    Routes,
    routes::{Leads, Rule},
};

use super::harness::{Proxy, mirror, proxy, target, upstream};

fn here(file: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/it/traffic/programs").join(file)
}

/// A Python that has `websockets` and `h11`.
fn python(file: &str) -> Command {
    let state = env::var("COSMOS_TEST_STATE").unwrap_or("/var/tmp/cosmos-test".to_owned());
    let mut command = Command::new(Path::new(&state).join("cache/python/bin/python"));
    command.arg(here(file));
    command
}

/// Runs a program to its end, beside the proxy: what it said, if it was content.
async fn run(mut command: Command) -> String {
    let name = format!("{command:?}");
    let output = tokio::task::spawn_blocking(move || command.output());
    let output = output
        .await
        .unwrap()
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let wrong = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}\n{said}\n{wrong}");
    said
}

/// A server in Python, that says its port first.
struct App {
    child: Child,
    says: BufReader<ChildStdout>,
    port: u16,
}

impl App {
    fn start(file: &str) -> Self {
        let mut child = python(file)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("scripts/test makes this Python");
        let mut says = BufReader::new(child.stdout.take().unwrap());
        let mut port = String::new();
        says.read_line(&mut port).unwrap();
        let port = port.trim().parse().unwrap();
        Self { child, says, port }
    }

    /// Ends it, and gives all that it saw.
    fn stop(mut self) -> Vec<String> {
        drop(self.child.stdin.take());
        let mut saw: Vec<String> = self.says.lines().map(Result::unwrap).collect();
        self.child.wait().unwrap();
        saw.sort();
        saw
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn websockets_of_python_see_the_same_with_the_proxy_as_without() {
    let client = |port: u16| {
        let mut command = python("client.py");
        command.arg(port.to_string());
        run(command)
    };
    let app = App::start("app.py");
    let said = client(app.port).await;
    let saw = app.stop();
    assert!(
        said.lines().count() > 200 && said.contains("permessage-deflate"),
        "{said}"
    );
    assert!(saw.iter().any(|line| line.contains("4001")), "{saw:#?}");

    let app = App::start("app.py");
    let proxy = Proxy::to(&[([127, 0, 0, 1], app.port).into()]).await;
    let said_through = client(proxy.address.port()).await;
    assert_eq!(said_through, said);
    assert_eq!(app.stop(), saw);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_parser_on_either_side_sees_the_same_with_the_proxy_as_without() {
    let app = App::start("parsers.py");
    let client = |port: u16| {
        let mut command = python("parsers.py");
        command.arg(port.to_string());
        run(command)
    };
    let said = client(app.port).await;
    assert_eq!(said.lines().count(), 11, "{said}");
    let proxy = Proxy::to(&[([127, 0, 0, 1], app.port).into()]).await;
    assert_eq!(client(proxy.address.port()).await, said);
    let _ = app.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_of_a_python_server_comes_before_the_next_is_sent() {
    let app = App::start("events.py");
    let proxy = Proxy::to(&[([127, 0, 0, 1], app.port).into()]).await;
    let mut client = proxy.connect().await;
    let head =
        "GET /events HTTP/1.1\r\nhost: web.shop.localhost\r\naccept: text/event-stream\r\n\r\n";
    client.send(head).await;
    for number in 0..20 {
        client
            .until(format!("data: word {number}\n\n").as_bytes())
            .await;
        let next = "GET /next HTTP/1.1\r\nhost: web.shop.localhost\r\n\r\n";
        assert_eq!(proxy.ask(next).await.status, 204);
    }
    client.until(b"0\r\n\r\n").await;
    let _ = app.stop();
}

/// A proxy that leads whatever comes to a server that tells what it got.
async fn leads_everything() -> Proxy {
    let proxy = proxy().await;
    let leads = Leads::To(vec![upstream(mirror().await)]);
    let rule = Rule {
        host: None,
        path: None,
        target: target("web", leads),
    };
    proxy.shared.set_routes(Arc::new(Routes::new([rule])));
    proxy
}

#[tokio::test(flavor = "multi_thread")]
async fn all_requests_of_h2load_are_answered() {
    let proxy = leads_everything().await;
    let mut h2load = Command::new("h2load");
    h2load.args([
        "-n",
        "2000",
        "-c",
        "20",
        "-m",
        "10",
        &format!("http://{}/", proxy.address),
    ]);
    let said = run(h2load).await;
    let counted =
        "2000 total, 2000 started, 2000 done, 2000 succeeded, 0 failed, 0 errored, 0 timeout";
    assert!(said.contains(counted) && said.contains("h2c"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_asks_before_it_sends_and_speaks_both_versions() {
    let proxy = leads_everything().await;
    let url = format!("http://{}/a?b", proxy.address);
    // More than curl sends without being told to go on.
    let body = "x".repeat(2 << 20);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &body).unwrap();
    for (version, told) in [("--http1.1", "1.1"), ("--http2-prior-knowledge", "2")] {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "20", version])
            .args([
                "--header",
                "Expect: 100-continue",
                "--expect100-timeout",
                "20",
            ])
            .args([
                "--write-out",
                "\n%{http_version} %{http_code}",
                "--upload-file",
            ])
            .arg(file.path())
            .arg(&url);
        let said = run(curl).await;
        assert!(said.starts_with("PUT /a?b\n"), "{said:.200}");
        let ends = format!("\n{body}\n{told} 200");
        assert!(said.ends_with(&ends), "{version}: {} bytes", said.len());
    }
}
