//! What can be in the way: a line that says so, and a line that mends it.

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::PermissionsExt as _, net::UnixListener},
};

use insta::{allow_duplicates, assert_snapshot};

use crate::support::{Cosmos, Output, Running, docker, inspect};

/// Exactly one cause and one hint, and nothing of our insides.
#[track_caller]
fn is_plain(output: &Output) {
    assert_ne!(output.code, Some(0), "{output}");
    let lines: Vec<_> = output.stderr.lines().collect();
    let [cause, hint] = lines.as_slice() else {
        panic!("two lines are enough: {output}");
    };
    assert!(
        cause.starts_with("error: ") && hint.starts_with("hint: "),
        "{output}"
    );
}

#[test]
fn no_engine() {
    let cosmos = Cosmos::new();
    for host in ["unix:///nowhere/docker.sock", "tcp://127.0.0.1:1"] {
        let mut command = cosmos.cosmos(["start", "alpine:latest", "true"]);
        let output = Running::new(command.env("DOCKER_HOST", host)).output();
        is_plain(&output);
        assert!(output.stderr.contains(host), "{output}");
    }
    let mut command = cosmos.cosmos(["start", "alpine:latest", "true"]);
    let output = Running::new(command.env("DOCKER_HOST", "unix:///nowhere/docker.sock")).output();
    assert_snapshot!(output, @r"
    ---- stderr ----
    error: the container engine at unix:///nowhere/docker.sock does not answer: No such file or directory (os error 2)
    hint: start it: `sudo systemctl start docker`, or say where it is: DOCKER_HOST=unix:///path/to/docker.sock
    [exit code 1]
    ");
}

#[test]
fn no_rights_on_the_socket() {
    let cosmos = Cosmos::new();
    let socket = cosmos.project().join("docker.sock");
    let _engine = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o600)).unwrap();
    // Somebody else can look at the socket, and no more.
    for folder in [cosmos.home(), &cosmos.project()] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let program = cosmos.project().join("cosmos");
    // Not by `fs::copy`: while it writes, another test's child can inherit the
    // open file, and what is open for writing cannot be run.
    let mut copy = cosmos.command("cp");
    copy.arg(env!("CARGO_BIN_EXE_cosmos")).arg(&program);
    let _ = Running::new(&mut copy).output().success();
    let mut command = cosmos.command("setpriv");
    command
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(&program)
        .args(["start", "alpine:latest", "true"])
        .env("DOCKER_HOST", format!("unix://{}", socket.display()));
    let output = Running::new(&mut command).output();
    is_plain(&output);
    let said = output
        .to_string()
        .replace(socket.to_str().unwrap(), "SOCKET");
    assert_snapshot!(said, @r"
    ---- stderr ----
    error: no permission to use the container engine at unix://SOCKET
    hint: join the group of the socket: `sudo usermod -aG docker $USER`, then log in again
    [exit code 1]
    ");
}

#[test]
fn the_port_is_held() {
    let cosmos = Cosmos::new();
    let port = cosmos.port();
    for address in ["127.0.0.1", "[::1]"] {
        let Ok(holder) = TcpListener::bind(format!("{address}:{port}")) else {
            assert_eq!(address, "[::1]", "only IPv6 may be missing");
            continue;
        };
        let output = cosmos.run(["start", "alpine:latest", "echo", "hello"]);
        is_plain(&output);
        let said = output
            .to_string()
            .replace(&port.to_string(), "PORT")
            .replace(&(port + 1).to_string(), "NEXT");
        allow_duplicates!(assert_snapshot!(said, @r"
    Spawning coding-proxy container...
    ---- stderr ----
    error: port PORT is already in use, and the proxy needs it
    hint: `ss -ltnp 'sport = :PORT'` names its holder; free it, or use another: `COSMOS_PROXY_PORT=NEXT cosmos ...`
    [exit code 1]
    "));
        drop(holder);
    }
    let output = cosmos.run(["start", "alpine:latest", "echo", "hello"]);
    assert_snapshot!(output, @r"
    Spawning coding-proxy container...
    Proxy container started: <12 hex>
    Container started: <12 hex>
    hello
    [exit code 0]
    ");
}

#[test]
fn the_port_is_another_installations() {
    let (first, second) = (Cosmos::ready(), Cosmos::new());
    let mut command = second.cosmos(["start", "alpine:latest", "true"]);
    let port = first.port().to_string();
    let output = Running::new(command.env("COSMOS_PROXY_PORT", &port)).output();
    is_plain(&output);
    assert!(
        output
            .stderr
            .contains(&format!("port {port} is already in use")),
        "{output}"
    );
}

#[test]
fn no_shell() {
    let cosmos = Cosmos::ready();
    let image = without_a_shell(&cosmos);
    let mut terminal = cosmos.on_a_terminal(["start", &image]);
    terminal.expect("error: the image has neither /bin/bash nor /bin/sh\r\n");
    terminal.expect("hint: give a command that it has: `cosmos start IMAGE COMMAND`\r\n");
    assert_eq!(terminal.expect_end(), Some(1));
}

/// An image with `tail` and nothing else.
fn without_a_shell(cosmos: &Cosmos) -> String {
    let image = format!("{}:latest", cosmos.name("shell-less"));
    let folder = cosmos.project().join("shell-less");
    fs::create_dir_all(folder.join("bin")).unwrap();
    let container = docker(["create", "busybox:latest"]);
    docker([
        "cp",
        &format!("{container}:/bin/busybox"),
        folder.join("bin/tail").to_str().unwrap(),
    ]);
    docker(["rm", &container]);
    let archive = cosmos.project().join("shell-less.tar");
    let mut builder = tar::Builder::new(fs::File::create(&archive).unwrap());
    builder.append_dir_all(".", &folder).unwrap();
    builder.finish().unwrap();
    docker([
        "import",
        "--change",
        "ENV PATH=/bin",
        archive.to_str().unwrap(),
        &image,
    ]);
    image
}

#[test]
fn nothing_to_keep_it_alive() {
    // The proxy's own image: one file, and that is no `tail`.
    let cosmos = Cosmos::ready();
    let image = inspect(&cosmos.proxy(), "{{.Image}}");
    let mut terminal = cosmos.on_a_terminal(["start", &image]);
    terminal.expect("error: ");
    let said =
        terminal.expect("\r\nhint: give a command that it has: `cosmos start IMAGE COMMAND`\r\n");
    assert!(said.contains("tail"), "{said}");
    assert_eq!(terminal.expect_end(), Some(1));
}

#[test]
fn no_such_program() {
    let output = Cosmos::ready().run(["start", "alpine:latest", "nosuch"]);
    is_plain(&output);
    assert_snapshot!(output, @r#"
    ---- stderr ----
    error: "nosuch": executable file not found in $PATH
    hint: check `command` and `entrypoint`: the image has no such program
    [exit code 127]
    "#);
}

#[test]
fn a_program_that_may_not_be_run() {
    let output = Cosmos::ready().run(["start", "alpine:latest", "/etc"]);
    is_plain(&output);
    assert_snapshot!(output, @r#"
    ---- stderr ----
    error: "/etc": permission denied
    hint: check that `command` names a program that may be executed
    [exit code 126]
    "#);
}

#[test]
fn no_such_image() {
    let cosmos = Cosmos::ready();
    // A registry that knows nothing of it.
    let output = cosmos.run(["start", "127.0.0.1:5000/nobody/nothing:1", "true"]);
    is_plain(&output);
    assert_snapshot!(output, @r"
    ---- stderr ----
    error: image `127.0.0.1:5000/nobody/nothing:1` was not found: manifest for 127.0.0.1:5000/nobody/nothing:1 not found: manifest unknown: manifest unknown
    hint: check the name, or log in to its registry: `docker pull 127.0.0.1:5000/nobody/nothing:1`
    [exit code 1]
    ");
}

#[test]
fn no_way_to_the_registry() {
    let output = Cosmos::ready().run(["start", "127.0.0.1:1/nobody/nothing:1", "true"]);
    is_plain(&output);
    assert_snapshot!(output, @r#"
    ---- stderr ----
    error: image `127.0.0.1:1/nobody/nothing:1` could not be pulled: Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused
    hint: see whether its registry can be reached: `docker pull 127.0.0.1:1/nobody/nothing:1`
    [exit code 1]
    "#);
}

#[test]
fn no_proxy_that_is_ours() {
    let cosmos = Cosmos::new();
    docker(["create", "--name", &cosmos.proxy(), "alpine:latest"]);
    let output = cosmos.run(["start", "alpine:latest", "true"]);
    is_plain(&output);
    assert_snapshot!(output.to_string().replace(&cosmos.proxy(), "NAME"), @r"
    ---- stderr ----
    error: the container `NAME` is not a Cosmos proxy
    hint: rename or remove it: `docker rm -f NAME`
    [exit code 1]
    ");
}
