//! What `up` makes true.

use super::{
    WEB, idle,
    support::{Place, docker, free_port, get, inspect, until},
};

#[test]
fn up_says_ready_with_the_addresses_of_what_it_started() {
    let place = Place::new(WEB);
    let said = place.cosmos(&["up"]).succeeded();
    assert!(said.stdout.contains("Ready in "), "{said}");
    let url = format!("http://web.{}.localhost:{}", place.name, place.port);
    assert!(said.stdout.contains(&url), "{said}");
}

#[test]
fn an_image_is_pulled_from_a_registry_when_it_is_missing() {
    let image = "127.0.0.1:5000/fixture/busybox:1";
    let place = Place::new(&format!(
        "[services.one]\nimage = \"{image}\"\ncommand = [\"sleep\", \"1000\"]\ninit = true\n"
    ));
    let _ = std::process::Command::new("docker")
        .args(["image", "rm", image])
        .output();
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(
        inspect(&place.container("one"), "{{.Config.Image}}").as_deref(),
        Some(image)
    );
}

#[test]
fn an_image_is_built_from_its_context_and_built_again_when_that_changes() {
    let place = Place::new(
        "[images.page]\nbuild = { context = \"page\", args = { WHO = \"args\" } }\n\
         [services.one]\nimage = \"page\"\ninit = true\ncommand = [\"sleep\", \"1000\"]\n",
    );
    place.write(
        "page/Dockerfile",
        "FROM busybox:latest\nARG WHO\nCOPY text /text\nRUN echo $WHO >> /text\n",
    );
    place.write("page/text", "first\n");
    let read = || docker(&["exec", &place.container("one"), "cat", "/text"]);
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(read(), "first\nargs");
    let _ = place.cosmos(&["up"]).was_up_to_date();
    place.write("page/text", "second\n");
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(read(), "second\nargs");
}

#[test]
fn a_service_has_the_command_environment_and_user_of_its_declaration() {
    let place = Place::up(
        "[services.one]\nimage = \"busybox:latest\"\ninit = true\nuser = \"65534\"\nworkdir = \"/tmp\"\n\
         env = { A = \"one two\", B = \"$$x\" }\ncommand = 'sh -c \"echo $$A $$B $(id -u) $(pwd); sleep 1000\"'\n",
    );
    let log = until("its line", || {
        Some(docker(&["logs", &place.container("one")])).filter(|log| !log.is_empty())
    });
    assert_eq!(log, "one two $x 65534 /tmp");
}

#[test]
fn a_folder_of_the_host_is_mounted() {
    let place = Place::new(&idle("one", "mounts = [\"./src:/src:ro\"]"));
    place.write("src/file", "content");
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(
        docker(&["exec", &place.container("one"), "cat", "/src/file"]),
        "content"
    );
}

#[test]
fn a_named_volume_survives_down() {
    let place = Place::up(&idle("one", "mounts = [\"data:/data\"]"));
    docker(&[
        "exec",
        &place.container("one"),
        "sh",
        "-c",
        "echo kept > /data/file",
    ]);
    let _ = place.cosmos(&["down"]).succeeded();
    assert_eq!(place.containers(&["kind=service"]), Vec::<String>::new());
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(
        docker(&["exec", &place.container("one"), "cat", "/data/file"]),
        "kept"
    );
}

#[test]
fn a_port_that_the_engine_chose_stays_the_same() {
    let place = Place::up(&WEB.replace("route = 80", "ports = [80]"));
    let port = || {
        inspect(
            &place.container("web"),
            "{{(index (index .HostConfig.PortBindings \"80/tcp\") 0).HostPort}} {{(index (index .NetworkSettings.Ports \"80/tcp\") 0).HostPort}}",
        )
    };
    let published = || {
        port()
            .and_then(|ports| ports.rsplit(' ').next().map(str::to_owned))
            .filter(|port| !port.is_empty())
    };
    let first = published().unwrap();
    assert_eq!(get(first.parse().unwrap(), "x", "/").unwrap().status, 200);
    docker(&["rm", "-f", &place.container("web")]);
    let healed = until("healed", || place.running("web").and_then(|_| published()));
    assert_eq!(healed, first);
    let _ = place.cosmos(&["down"]).succeeded();
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(published().unwrap(), first);
}

#[test]
fn a_declared_host_port_leads_to_the_service() {
    let port = free_port();
    let place = Place::up(&WEB.replace("route = 80", &format!("ports = [\"{port}:80\"]")));
    assert_eq!(
        get(port, "x", "/").unwrap().body,
        format!("hello {}", &place.id("web")[..12])
    );
}

#[test]
fn a_route_leads_through_the_proxy() {
    let place = Place::up(WEB);
    let answer = place.get("web", "/").unwrap();
    assert_eq!(
        (answer.status, answer.body),
        (200, format!("hello {}", &place.id("web")[..12]))
    );
}

#[test]
fn requests_are_spread_over_the_replicas() {
    let place = Place::up(&WEB.replace("route = 80", "route = 80\nreplicas = 2"));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..40 {
        seen.insert(place.get("web", "/").unwrap().body);
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[test]
fn a_service_starts_after_the_one_it_needs_started() {
    let place = Place::up(&(idle("b", "depends_on = { a = \"started\" }") + &idle("a", "")));
    assert!(started(&place, "a") < started(&place, "b"));
}

/// A service that is ready 0.7 s after its start, and one that needs it ready.
fn ready_after_a_while(health: &str) -> String {
    format!(
        "[services.a]\nimage = \"busybox:latest\"\ninit = true\n\
         command = [\"sh\", \"-c\", \"sleep 0.7; date +%s.%N > /ready; echo ready; mkdir /www; echo > /www/index.html; exec httpd -f -p 80 -h /www\"]\n\
         health = {{ {health}, interval = \"100ms\" }}\n"
    ) + &idle("b", "depends_on = { a = \"ready\" }")
}

fn waits_for(health: &str) {
    let place = Place::up(&ready_after_a_while(health));
    let gap = started(&place, "b") - started(&place, "a");
    assert!(gap > 0.7, "b was started {gap} s after a");
}

#[test]
fn ready_is_a_port_that_accepts() {
    waits_for("tcp = 80");
}

#[test]
fn ready_is_a_path_that_answers() {
    waits_for("http = \"/\", port = 80");
}

#[test]
fn ready_is_a_command_that_succeeds() {
    waits_for("command = [\"test\", \"-f\", \"/ready\"]");
}

#[test]
fn ready_is_a_line_in_the_log() {
    waits_for("log = \"ready\"");
}

/// Seconds of the day at which a container was started.
fn started(place: &Place, service: &str) -> f64 {
    let at = inspect(&place.container(service), "{{.State.StartedAt}}").unwrap();
    let time = at.split_once('T').unwrap().1.trim_end_matches('Z');
    time.split(':')
        .fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
}

/// A command that writes to a volume each time it runs, and a service that needs it.
fn with_migration(run: &str) -> String {
    format!(
        "[commands.migrate]\nimage = \"busybox:latest\"\nrun = [\"sh\", \"-c\", \"{run}\"]\nmounts = [\"data:/data\"]\ninputs = [\"migrations/*\"]\n"
    ) + &idle(
        "one",
        "mounts = [\"data:/data\"]\ndepends_on = { migrate = \"completed\" }",
    )
}

#[test]
fn a_one_shot_runs_once_and_again_only_when_its_inputs_change() {
    let place = Place::new(&with_migration("echo ran >> /data/runs"));
    place.write("migrations/1", "one");
    let runs = || {
        docker(&["exec", &place.container("one"), "cat", "/data/runs"])
            .lines()
            .count()
    };
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(runs(), 1);
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(runs(), 1);
    let one = place.id("one");
    place.write("migrations/2", "two");
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(runs(), 2);
    assert_eq!(place.id("one"), one, "the service itself did not change");
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn an_isolated_workspace_has_a_network_of_its_own_with_routes_that_goes_with_it() {
    let place = Place::up(&format!("[network]\nisolated = true\n{WEB}"));
    let network = format!("{}-{}", place.network(), place.name);
    let networks = inspect(
        &place.container("web"),
        "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}",
    );
    assert_eq!(networks.as_deref(), Some(network.as_str()));
    assert_eq!(place.get("web", "/").unwrap().status, 200);
    let _ = place.cosmos(&["down"]).succeeded();
    let left = docker(&[
        "network",
        "ls",
        "-q",
        "--filter",
        &format!("name={network}"),
    ]);
    assert_eq!(left, "");
}

#[test]
fn only_the_named_services_and_what_they_need_are_brought_up() {
    let place = Place::new(&(idle("a", "") + &idle("b", "depends_on = [\"a\"]") + &idle("c", "")));
    let _ = place.cosmos(&["up", "b"]).succeeded();
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("a"), place.container("b")]
    );
}

#[test]
fn a_config_file_and_a_secret_are_in_the_container_and_their_content_is_its_identity() {
    let place = Place::new(&format!(
        "[secrets.key]\nfile = \"key.txt\"\n{}",
        idle(
            "one",
            "configs = { \"./app.conf\" = \"/etc/app.conf\" }\nsecrets = [\"key\"]"
        )
    ));
    place.write("app.conf", "first");
    place.write("key.txt", "hush");
    let _ = place.cosmos(&["up"]).succeeded();
    let read = || {
        docker(&[
            "exec",
            &place.container("one"),
            "cat",
            "/etc/app.conf",
            "/run/secrets/key",
        ])
    };
    assert_eq!(read(), "firsthush");
    place.write("app.conf", "second");
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(read(), "secondhush");
    place.write("key.txt", "shush");
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(read(), "secondshush");
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn the_proxy_is_nobody_over_a_socket_that_only_a_group_may_use() {
    use std::os::unix::fs::{PermissionsExt as _, chown};

    // A group that no system has given a name.
    const GROUP: u32 = 54_321;
    let chaos = crate::engine::faults::chaos::Chaos::new();
    chown(chaos.socket(), Some(0), Some(GROUP)).unwrap();
    std::fs::set_permissions(chaos.socket(), std::fs::Permissions::from_mode(0o660)).unwrap();
    let place = Place::new(&idle("one", "")).through(chaos.socket());
    let _ = place.cosmos(&["up"]).succeeded();
    assert!(place.running("one").is_some());
    let is = inspect(&place.proxy(), "{{.Config.User}} {{.HostConfig.GroupAdd}}");
    assert_eq!(is.as_deref(), Some("65532:65532 [54321]"));
}

#[test]
fn what_is_up_is_seen_though_its_config_is_not_valid_any_more() {
    let place = Place::up(&idle("one", ""));
    place.write("cosmos.toml", "[services.one\n");
    for words in [&["status"][..], &["history"], &["why", "one"], &["logs"]] {
        let said = place.cosmos(words).succeeded();
        assert!(said.stderr.contains("`cosmos check` says why"), "{said}");
    }
    let said = place.cosmos(&["status"]).succeeded();
    assert!(said.stdout.contains("one      ready"), "{said}");
    // What would change something goes by the config alone.
    let _ = place.cosmos(&["down"]).ended(2).told(&["cosmos.toml"]);
    // With nothing up from there, the config is what is to be told of.
    place.write("cosmos.toml", &idle("one", ""));
    let _ = place.cosmos(&["down"]).succeeded();
    place.write("cosmos.toml", "[services.one\n");
    let _ = place.cosmos(&["status"]).ended(2).told(&["cosmos.toml"]);
}
