//! The proxy's container: made once by any number, and able to do very little.

use std::{fs, os::unix::fs::PermissionsExt as _};

use insta::assert_snapshot;

use crate::support::{Cosmos, docker, inspect, output_of};

#[test]
fn many_at_once_make_one_proxy_and_one_network() {
    let cosmos = Cosmos::new();
    let running: Vec<_> = (0..20)
        .map(|number| {
            cosmos.start([
                "start",
                "--rm",
                "alpine:latest",
                "echo",
                &number.to_string(),
            ])
        })
        .collect();
    let outputs: Vec<_> = running
        .into_iter()
        .map(|running| running.output().success())
        .collect();
    for (number, output) in outputs.iter().enumerate() {
        assert!(
            output.stdout.ends_with(&format!("\n{number}\n")),
            "{output}"
        );
    }
    let count = |line: &str| {
        let lines = outputs.iter().flat_map(|output| output.stdout.lines());
        lines.filter(|said| said.starts_with(line)).count()
    };
    assert_eq!(count("Spawning coding-proxy container..."), 1);
    assert_eq!(count("Proxy container started: "), 1);
    let by_name = format!("name={}", cosmos.name(""));
    let networks = docker(["network", "ls", "-q", "--filter", &by_name]);
    assert_eq!(networks.lines().count(), 1, "{networks}");
    let proxies = docker(["ps", "-aq", "--filter", &by_name]);
    assert_eq!(proxies.lines().count(), 1, "{proxies}");
}

#[test]
fn every_container_and_the_proxy_are_in_the_network() {
    let cosmos = Cosmos::with_the_usual_names();
    let first = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    let second = cosmos
        .run(["start", "-d", "alpine:latest", "sleep", "600"])
        .success()
        .id();
    let proxy = inspect("cosmos-proxy", "{{.Id}}")[..12].to_owned();
    let listed = docker(["ps", "-q", "--filter", "network=cosmos-net"]);
    let mut listed: Vec<_> = listed.lines().collect();
    let mut expected = [first.as_str(), &second, &proxy];
    listed.sort_unstable();
    expected.sort_unstable();
    assert_eq!(listed, expected);
}

#[test]
fn the_proxy_can_do_as_little_as_a_container_can() {
    let cosmos = Cosmos::ready();
    let template = "\
user       {{.Config.User}}
read-only  {{.HostConfig.ReadonlyRootfs}}
dropped    {{.HostConfig.CapDrop}}
added      {{.HostConfig.CapAdd}}
security   {{.HostConfig.SecurityOpt}}
privileged {{.HostConfig.Privileged}}
memory     {{.HostConfig.Memory}} {{.HostConfig.MemorySwap}}
restart    {{.HostConfig.RestartPolicy.Name}}
tmpfs      {{.HostConfig.Tmpfs}}
network    {{.HostConfig.NetworkMode}}
pid, ipc   {{.HostConfig.PidMode}} {{.HostConfig.IpcMode}}
devices    {{.HostConfig.Devices}}
mounts    {{range .HostConfig.Mounts}} {{.Type}}:{{.Target}}{{end}}
command    {{.Config.Entrypoint}} {{.Config.Cmd}}";
    let shown = inspect(&cosmos.proxy(), template).replace(&cosmos.name(""), "NAME-");
    assert_snapshot!(shown, @r"
    user       65532:65532
    read-only  true
    dropped    [ALL]
    added      []
    security   [no-new-privileges]
    privileged false
    memory     268435456 268435456
    restart    unless-stopped
    tmpfs      map[/tmp:mode=1777]
    network    NAME-net
    pid, ipc    private
    devices    []
    mounts     bind:/var/run/docker.sock volume:/var/lib/cosmos
    command    [/cosmos] [serve]
    ");
    let ports = inspect(
        &cosmos.proxy(),
        "{{range $port, $bound := .HostConfig.PortBindings}}{{$port}}{{range $bound}} {{.HostIp}}{{end}}{{end}}",
    );
    assert!(
        ["8080/tcp 127.0.0.1", "8080/tcp 127.0.0.1 ::1"].contains(&ports.as_str()),
        "{ports}"
    );
}

#[test]
fn the_token_is_its_owners_alone_and_said_nowhere() {
    let cosmos = Cosmos::ready();
    let folder = cosmos.home().join("cache/cosmos");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(&folder), 0o700);
    let files: Vec<_> = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let [file] = files.as_slice() else {
        panic!("{files:?}")
    };
    assert_eq!(mode(file), 0o600);
    let known: serde_json::Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let token = known["token"].as_str().unwrap();
    assert!(token.len() >= 43, "256 bits take at least so many letters");

    assert!(!docker(["inspect", &cosmos.proxy()]).contains(token));
    assert!(!docker(["inspect", &cosmos.volume()]).contains(token));
    assert!(!output_of(&cosmos.proxy()).contains(token));
    let archive = std::process::Command::new("docker")
        .args([
            "cp",
            &format!("{}:/var/lib/cosmos/token", cosmos.proxy()),
            "-",
        ])
        .output()
        .unwrap()
        .stdout;
    let mut archive = tar::Archive::new(archive.as_slice());
    let kept = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(kept.header().mode().unwrap() & 0o7777, 0o600);
}

#[test]
fn a_second_installation_lives_beside_the_first() {
    let (first, second) = (Cosmos::ready(), Cosmos::new());
    let ours = first.run(["start", "-d", "alpine:latest"]).success().id();
    let theirs = second.run(["start", "-d", "alpine:latest"]).success().id();
    assert_ne!(
        inspect(&first.proxy(), "{{.Id}}"),
        inspect(&second.proxy(), "{{.Id}}")
    );
    let listed = docker([
        "ps",
        "-q",
        "--filter",
        &format!("network={}", second.network()),
    ]);
    assert_eq!(
        listed.lines().count(),
        2,
        "its own proxy and container: {listed}"
    );
    // Neither knows what is the other's.
    for (cosmos, id) in [(&*first, &theirs), (&second, &ours)] {
        let stopped = cosmos.run(["stop", id]);
        assert_eq!(stopped.code, Some(1), "{stopped}");
    }
}
