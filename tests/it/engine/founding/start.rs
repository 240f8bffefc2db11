//! `cosmos start`, off a terminal.

use std::fs;

use insta::assert_snapshot;
use rustix::process::Signal;

use crate::support::{Cosmos, Running, docker, inspect, is_running, output_of, until};

#[test]
fn the_first_start_says_that_it_makes_the_proxy_and_the_second_does_not() {
    let cosmos = Cosmos::new();
    let first = cosmos.run(["start", "ubuntu:latest", "echo", "hello"]);
    assert_snapshot!(first, @r"
    Spawning coding-proxy container...
    Proxy container started: <12 hex>
    Container started: <12 hex>
    hello
    [exit code 0]
    ");
    let proxy = inspect(&cosmos.proxy(), "{{.Id}}");
    assert!(proxy.starts_with(&first.after("Proxy container started: ")));

    let second = cosmos.run(["start", "ubuntu:latest", "echo", "hello"]);
    assert_snapshot!(second, @r"
    Container started: <12 hex>
    hello
    [exit code 0]
    ");
    assert_eq!(inspect(&cosmos.proxy(), "{{.Id}}"), proxy);
}

#[test]
fn the_container_stays_and_can_be_asked_what_it_said() {
    let cosmos = Cosmos::ready();
    let id = cosmos
        .run(["start", "ubuntu:latest", "echo", "hello"])
        .success()
        .id();
    assert_eq!(output_of(&id), "hello\n");
    assert!(!is_running(&id));
}

#[test]
fn the_exit_code_and_both_streams_are_the_commands_own() {
    let script = "echo out; echo err >&2; exit 7";
    let output = Cosmos::ready().run(["start", "ubuntu:latest", "sh", "-c", script]);
    assert_snapshot!(output, @r"
    Container started: <12 hex>
    out
    ---- stderr ----
    err
    [exit code 7]
    ");
}

#[test]
fn what_looks_like_an_option_behind_the_image_is_the_commands() {
    let output =
        Cosmos::ready().run(["start", "alpine:latest", "echo", "--help", "-d", "--", "-q"]);
    assert_snapshot!(output, @r"
    Container started: <12 hex>
    --help -d -- -q
    [exit code 0]
    ");
}

#[test]
fn quietly_only_the_commands_own_output_is_left() {
    // Of the first start, which has most to say.
    let cosmos = Cosmos::new();
    let output = cosmos.run(["-q", "start", "alpine:latest", "echo", "hello"]);
    assert_snapshot!(output, @r"
    hello
    [exit code 0]
    ");
}

#[test]
fn quietly_and_detached_only_the_id_is_left() {
    let cosmos = Cosmos::ready();
    let output = cosmos.run(["start", "-q", "-d", "alpine:latest", "sleep", "600"]);
    assert_snapshot!(output, @r"
    <12 hex>
    [exit code 0]
    ");
    assert!(is_running(output.stdout.trim()));
    assert!(
        cosmos
            .run(["-q", "stop", output.stdout.trim()])
            .stdout
            .is_empty()
    );
}

#[test]
fn what_is_piped_in_reaches_the_command_and_so_does_its_end() {
    let output = Cosmos::ready().run_with_input(["start", "alpine", "cat"], "data\n");
    assert_snapshot!(output, @r"
    Container started: <12 hex>
    data
    [exit code 0]
    ");
}

#[test]
fn an_image_alone_is_kept_alive_and_off_a_terminal_that_is_all() {
    let cosmos = Cosmos::ready();
    // nginx has an own command, which must not run.
    let output = cosmos.run(["start", "nginx:alpine"]);
    assert_snapshot!(output, @r"
    Container started: <12 hex>
    [exit code 0]
    ");
    let what =
        "{{.State.Running}} {{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.HostConfig.Init}}";
    let kept = inspect(&output.id(), what).replace("] null ", "] [] ");
    assert_eq!(kept, r#"true ["tail","-f","/dev/null"] [] true"#);
}

#[test]
fn a_server_answers_by_address_and_by_name_from_another_container() {
    let cosmos = Cosmos::ready();
    let name = cosmos.name("server");
    let started = cosmos.run([
        "start",
        "-d",
        "--name",
        &name,
        "nginx:alpine",
        "nginx",
        "-g",
        "daemon off;",
    ]);
    assert_snapshot!(started, @r"
    Container started: <12 hex>
    [exit code 0]
    ");
    let id = started.id();
    assert!(is_running(&id));
    let address = inspect(
        &id,
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
    );
    for host in [address, name, id] {
        // It runs; that it listens, too, is a moment later.
        let script = format!("until curl -sf http://{host}/; do sleep 0.05; done");
        let page = cosmos
            .run([
                "-q",
                "start",
                "--rm",
                "ubuntu:latest",
                "timeout",
                "30",
                "sh",
                "-c",
                &script,
            ])
            .success();
        assert!(page.stdout.contains("Welcome to nginx!"), "{host}: {page}");
    }
}

#[test]
fn a_published_port_answers_on_the_host() {
    let cosmos = Cosmos::ready();
    let id = cosmos
        .run([
            "start",
            "-d",
            "-p",
            "20999:80",
            "nginx:alpine",
            "nginx",
            "-g",
            "daemon off;",
        ])
        .success()
        .id();
    assert_eq!(docker(["port", &id, "80/tcp"]), "127.0.0.1:20999");
    until("nginx answers on the host", || {
        let page = cosmos.curl(["http://127.0.0.1:20999/"]);
        page.stdout.contains("Welcome to nginx!")
    });
}

#[test]
fn folders_and_volumes_are_mounted() {
    let cosmos = Cosmos::ready();
    fs::create_dir_all(cosmos.project().join("src")).unwrap();
    fs::write(cosmos.project().join("src/note"), "from the host\n").unwrap();
    let volume = format!("{}:/data", cosmos.name("data"));
    let mounts = ["-v", "./src:/src:ro", "-v", &volume];
    let [a, b, c, d] = mounts;
    let script =
        "cat /src/note; echo kept > /data/note; touch /src/x 2>/dev/null || echo read-only";
    let first = cosmos.run(["start", a, b, c, d, "alpine:latest", "sh", "-c", script]);
    assert_snapshot!(first, @r"
    Container started: <12 hex>
    from the host
    read-only
    [exit code 0]
    ");
    let second = cosmos.run([
        "-q",
        "start",
        "-v",
        &volume,
        "alpine:latest",
        "cat",
        "/data/note",
    ]);
    assert_eq!(second.stdout, "kept\n");
}

#[test]
fn the_environment_is_given_and_taken() {
    let cosmos = Cosmos::ready();
    let words = [
        "-q",
        "start",
        "-e",
        "GIVEN=a=b",
        "-e",
        "TAKEN",
        "-e",
        "EMPTY=",
    ];
    let [a, b, c, d, e, f, g, h] = words;
    let script = "echo $GIVEN,$TAKEN,${EMPTY-unset},${HOST_ONLY-unset}";
    let mut command = cosmos.cosmos([a, b, c, d, e, f, g, h, "alpine:latest", "sh", "-c", script]);
    command.env("TAKEN", "from here").env("HOST_ONLY", "x");
    let output = Running::new(&mut command).output();
    assert_eq!(output.stdout, "a=b,from here,,unset\n", "{output}");
}

#[test]
fn with_rm_it_is_gone_when_it_ends_and_its_code_is_known_all_the_same() {
    let cosmos = Cosmos::ready();
    let name = cosmos.name("short");
    let output = cosmos.run([
        "start",
        "--rm",
        "--name",
        &name,
        "alpine:latest",
        "sh",
        "-c",
        "exit 3",
    ]);
    assert_eq!(output.code, Some(3), "{output}");
    let filter = format!("name={name}");
    until("it is removed", || {
        docker(["ps", "-aq", "--filter", &filter]).is_empty()
    });
}

#[test]
fn a_name_that_is_taken_is_said_to_be() {
    let cosmos = Cosmos::ready();
    let name = cosmos.name("taken");
    let _ = cosmos
        .run(["start", "-d", "--name", &name, "alpine:latest"])
        .success();
    let output = cosmos.run(["start", "-d", "--name", &name, "alpine:latest"]);
    assert_eq!(output.code, Some(1));
    let said = output.to_string().replace(&name, "NAME");
    assert_snapshot!(said, @r"
    ---- stderr ----
    error: a container is called `NAME` already
    hint: see who has it: `docker ps -a --filter name=NAME`; remove it, or take another name
    [exit code 1]
    ");
}

#[test]
fn off_a_terminal_an_interrupt_stops_following_and_leaves_it_running() {
    let cosmos = Cosmos::ready();
    let mut running = cosmos.start([
        "start",
        "alpine:latest",
        "sh",
        "-c",
        "echo ready; sleep 600",
    ]);
    running.expect_line("ready");
    running.signal(Signal::INT);
    let output = running.output();
    assert_snapshot!(output, @r"
    Container started: <12 hex>
    ready
    ---- stderr ----
    <12 hex> goes on running; stop it: `cosmos stop <12 hex>`
    [exit code 130]
    ");
    let id = output.id();
    assert!(output.stderr.contains(&id));
    assert!(is_running(&id));
}

#[test]
fn a_container_has_no_way_to_forge_packets() {
    let cosmos = Cosmos::ready();
    let id = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    assert_eq!(
        inspect(&id, "{{json .HostConfig.CapDrop}}"),
        r#"["NET_RAW"]"#
    );
    // Bit 13, as the kernel counts.
    let script = "c=$(sed -n 's/^CapBnd:\\s*//p' /proc/self/status); echo $(( 0x$c >> 13 & 1 ))";
    let effective = cosmos.run(["-q", "start", "--rm", "alpine:latest", "sh", "-c", script]);
    assert_eq!(effective.stdout, "0\n", "{effective}");
}

#[test]
fn a_service_has_no_way_to_forge_packets() {
    let cosmos = Cosmos::new();
    let config = "[services.web]\nimage = 'alpine:latest'\ncommand = 'sleep 600'\ninit = true\n";
    fs::write(cosmos.project().join("cosmos.toml"), config).unwrap();
    let _ = cosmos.run(["up"]).success();
    let by_label = cosmos.label_filter();
    let id = docker([
        "ps",
        "-q",
        "--filter",
        &by_label,
        "--filter",
        "label=dev.cosmos.service=web",
    ]);
    assert_eq!(
        inspect(&id, "{{json .HostConfig.CapDrop}}"),
        r#"["NET_RAW"]"#
    );
}
