//! `cosmos adopt`: a container becomes a service, and everything else stays.

use std::fs;

use super::{
    WEB, idle,
    support::{Place, docker, inspect, output},
};

const FILE: &str = "# Mine.\n[services.one]   # the first\nimage = \"busybox:latest\"\ninit = true\ncommand = [\"sleep\", \"1000\"]\n\n[proxy] # nothing\n";

fn file(place: &Place) -> String {
    fs::read_to_string(place.folder.join("cosmos.toml")).unwrap()
}

#[test]
fn what_was_adopted_comes_up_and_is_as_it_was() {
    let place = Place::up(FILE);
    let name = format!("{}-site", place.name);
    place.write("site/index.html", "hello");
    let volume = format!("{}-kept", place.name);
    let ours = format!("dev.cosmos.installation=it-{}", place.name);
    docker(&["volume", "create", "--label", &ours, &volume]);
    let mount = format!("{volume}:/data");
    let order = [
        "start",
        "-d",
        "--name",
        &name,
        "-e",
        "GREETING=hello ${you}",
        "-e",
        "DB_PASSWORD=hunter2",
        "-v",
        "./site:/www:ro",
        "-v",
        &mount,
        "-p",
        "80",
        "-u",
        "0:0",
        "-w",
        "/www",
        "busybox:latest",
        "httpd",
        "-f",
        "-p",
        "80",
        "-h",
        "/www",
    ];
    let _ = place.cosmos(&order).succeeded();
    let id = inspect(&name, "{{.Id}}").unwrap();

    let said = place
        .cosmos(&["adopt", &name, "--name", "site"])
        .succeeded();
    assert!(
        said.stdout
            .starts_with("--- cosmos.toml\n+++ cosmos.toml\n@@ -4,"),
        "{said}"
    );
    assert!(said.stdout.contains("+[services.site]\n"), "{said}");
    let short = &id[..12];
    assert_eq!(
        file(&place),
        FILE.replace(
            "\n[proxy]",
            &format!(
                r#"
# From the container {name} ({short}).
[services.site]
image = "busybox:latest"
command = ["httpd", "-f", "-p", "80", "-h", "/www"]
env = {{ GREETING = "hello $${{you}}", DB_PASSWORD = "${{DB_PASSWORD:?set it in .env}}" }}
mounts = ["{volume}:/data", "./site:/www:ro"]
ports = [80]
user = "0:0"
workdir = "/www"

[volumes.{volume}]
external = true

[proxy]"#
            )
        )
    );
    let _ = said.told(&[
        "not written: the value of DB_PASSWORD",
        "`cosmos plan`",
        &format!("until `cosmos rm --force {short}`"),
    ]);

    // Its secret is said where secrets are.
    let _ = place.cosmos(&["up"]).ended(2).told(&["set it in .env"]);
    place.write(".env", "DB_PASSWORD=hunter2\n");
    let _ = place.cosmos(&["up"]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(place.get("site", "/").unwrap().body, "hello");
    let seen = |container: &str, what: &str| {
        let said = output("docker", &["exec", container, "sh", "-c", what]);
        said.succeeded().stdout
    };
    let what = "echo $GREETING $DB_PASSWORD $PWD; id -u; touch /data/x";
    assert_eq!(seen(&place.container("site"), what), seen(&name, what));
    // The container itself goes on, until somebody removes it.
    assert_eq!(
        inspect(&name, "{{.Id}} {{.State.Running}}"),
        Some(format!("{id} true"))
    );
    let _ = place.cosmos(&["rm", "--force", &name]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn any_container_of_the_engine_is_adopted_and_what_has_no_words_is_told() {
    let place = Place::up(FILE);
    let name = format!("{}-foreign", place.name);
    let ours = format!("dev.cosmos.installation=it-{}", place.name);
    let run = [
        "run",
        "-d",
        "--name",
        &name,
        "--label",
        &ours,
        "--restart",
        "always",
        "--pid",
        "host",
        "--memory",
        "64m",
        "--cpus",
        "0.5",
        "--ulimit",
        "nofile=100:200",
        "--tmpfs",
        "/tmp:size=1m",
        "--health-cmd",
        "true",
        "--health-interval",
        "1s",
        "--stop-timeout",
        "1",
        "--cap-add",
        "NET_ADMIN",
        "--init",
        "--add-host",
        "db:10.0.0.5",
        "-p",
        "127.0.0.1::80",
        "--label",
        "team=a",
        "--entrypoint",
        "sleep",
        "busybox:latest",
        "1000",
    ];
    docker(&run);
    let before = file(&place);
    let shown = place.cosmos(&["adopt", &name, "--print"]).succeeded();
    assert_eq!(file(&place), before);
    let id = inspect(&name, "{{.Id}}").unwrap();
    let said = place.cosmos(&["adopt", &id[..8]]).succeeded();
    assert_eq!(said.stdout, shown.stdout);
    let _ = said.told(&[
        "left out: --pid host: every container has its own",
        &format!("until `docker rm --force {}`", &id[..12]),
    ]);
    let expected = r#"entrypoint = ["sleep"]
command = ["1000"]
tmpfs = { "/tmp" = "size=1m" }
ports = [80]
stop_grace = "1s"
init = true
labels = { team = "a" }
health = { command = ["/bin/sh", "-c", "true"], interval = "1s", timeout = "30s", retries = 3 }
resources = { cpus = 0.5, memory = "64MiB" }
cap_add = ["NET_ADMIN"]
extra_hosts = ["db:10.0.0.5"]
ulimits = { nofile = { soft = 100, hard = 200 } }
"#;
    assert!(file(&place).contains(expected), "{}", file(&place));
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert!(place.running(&name).is_some());
}

#[test]
fn one_that_is_only_kept_alive_is_kept_alive_as_a_service() {
    let place = Place::up(FILE);
    let name = format!("{}-shell", place.name);
    let _ = place
        .cosmos(&["start", "-d", "--name", &name, "busybox:latest"])
        .succeeded();
    let _ = place
        .cosmos(&["adopt", &name, "--name", "shell"])
        .succeeded();
    let _ = place.cosmos(&["up"]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
    let said = place
        .cosmos(&["exec", "-T", "shell", "echo", "hi"])
        .succeeded();
    assert_eq!(said.stdout, "hi\n");
}

#[test]
fn what_cannot_be_adopted_is_told_and_nothing_is_written() {
    let place = Place::up(&(WEB.to_owned() + &idle("one", "")));
    let before = file(&place);
    let name = format!("{}-tool", place.name);
    let order = [
        "start",
        "-d",
        "--name",
        &name,
        "busybox:latest",
        "sleep",
        "1000",
    ];
    let _ = place.cosmos(&order).succeeded();
    let one = place.container("one");
    for (arguments, code, told) in [
        (
            vec!["adopt", "one"],
            1,
            ["`one` is a service already", "cosmos status --all"],
        ),
        (
            vec!["adopt", &one],
            1,
            ["is of the service `one`", "cosmos config"],
        ),
        (
            vec!["adopt", &place.proxy()],
            1,
            ["is the proxy", "[proxy]"],
        ),
        (
            vec!["adopt", &name.replace("tool", "tols")],
            1,
            ["no container is called", "did you mean"],
        ),
        (
            vec!["adopt", &name, "--name", "web"],
            2,
            ["there is a service `web`", "--name"],
        ),
        (
            vec!["adopt", &name, "--name", "A b"],
            2,
            ["not a DNS label", "`--name a-b`"],
        ),
        (
            vec!["adopt", "../images"],
            1,
            ["no container is called", "docker ps"],
        ),
    ] {
        let _ = place.cosmos(&arguments).ended(code).told(&told);
    }
    assert_eq!(file(&place), before);
    let _ = place
        .cosmos_in(place.elsewhere(), &["adopt", &name])
        .ended(2)
        .told(&["no cosmos.toml", "cosmos init"]);
    // One that does not load is not extended.
    place.write("cosmos.toml", "[services.one]\nimag = \"a\"\n");
    let _ = place.cosmos(&["adopt", &name]).ended(2).told(&["imag"]);
}
