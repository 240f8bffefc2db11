//! The verbs that look at a workspace, and those that give orders.

use std::io::{BufRead as _, BufReader};

use super::{
    WEB, idle,
    support::{Place, docker, inspect, until},
};

#[test]
fn plan_shows_each_step_with_its_reason_and_writes_nothing() {
    let place = Place::up(&idle("one", ""));
    place.write(
        "cosmos.toml",
        &(idle("one", "env = { A = \"b\" }") + &idle("two", "")),
    );
    let said = place.cosmos(&["plan"]).succeeded();
    let two = format!("launch {}", place.container("two"));
    for text in ["~ one", "+ two", &two, "cosmos.toml:", "1 to "] {
        assert!(said.stdout.contains(text), "no {text:?} in {said}");
    }
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("one")]
    );
}

#[test]
fn plan_with_exit_code_ends_with_3_when_something_would_change() {
    let place = Place::up(&idle("one", ""));
    let said = place.cosmos(&["plan", "--exit-code"]).succeeded();
    assert!(said.stdout.contains("nothing to do"), "{said}");
    place.write("cosmos.toml", &idle("two", ""));
    let _ = place.cosmos(&["plan", "--exit-code"]).ended(3);
    let _ = place.cosmos(&["plan"]).succeeded();
}

#[test]
fn up_carries_out_exactly_the_expected_plan_or_nothing() {
    let place = Place::up(&idle("one", ""));
    place.write("cosmos.toml", &idle("two", ""));
    let plan = place.cosmos(&["plan", "--json"]).succeeded().json();
    assert_eq!(plan["schema"], 1);
    assert!(
        plan["steps"]
            .as_array()
            .unwrap()
            .iter()
            .all(|step| step["reason"] != ""),
        "{plan}"
    );
    let digest = plan["digest"].as_str().unwrap();

    place.write("cosmos.toml", &idle("three", ""));
    let _ = place
        .cosmos(&["up", "--expect", digest])
        .ended(1)
        .told(&["cosmos plan"]);
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("one")]
    );

    place.write("cosmos.toml", &idle("two", ""));
    let _ = place.cosmos(&["up", "--expect", digest]).succeeded();
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("two")]
    );
}

#[test]
fn up_takes_the_short_digest_that_plan_shows() {
    let place = Place::up(&idle("one", ""));
    place.write("cosmos.toml", &idle("two", ""));
    let said = place.cosmos(&["plan"]).succeeded();
    let digest = said.stdout.trim().rsplit(' ').next().unwrap();
    let _ = place.cosmos(&["up", "--expect", digest]).succeeded();
}

#[test]
fn status_is_a_table_and_ps_is_its_other_name() {
    let place = Place::up(WEB);
    let said = place.cosmos(&["status"]).succeeded();
    for text in [
        "SERVICE",
        "web",
        "ready",
        "1/1",
        &format!("http://web.{}.localhost:{}", place.name, place.port),
    ] {
        assert!(said.stdout.contains(text), "no {text:?} in {said}");
    }
    let other = place.cosmos(&["ps"]).succeeded();
    assert_eq!(other.stdout.lines().count(), said.stdout.lines().count());
}

#[test]
fn status_as_json_has_a_schema_and_each_container() {
    let place = Place::up(WEB);
    let status = place.cosmos(&["status", "--json"]).succeeded().json();
    assert_eq!(status["schema"], 1);
    assert_eq!(status["workspace"], place.name);
    assert_eq!(status["folder"], place.folder.to_str().unwrap());
    let web = &status["services"][0];
    assert_eq!(
        (&web["name"], &web["state"]),
        (&"web".into(), &"ready".into())
    );
    assert_eq!(web["containers"][0]["id"], place.id("web"));
}

/// Services that say one line each, and then nothing.
fn talkers() -> String {
    let talker = |name: &str| {
        idle(name, "").replace(
            "[\"sleep\", \"1000\"]",
            &format!("[\"sh\", \"-c\", \"echo first {name}; echo last {name}; sleep 1000\"]"),
        )
    };
    talker("one") + &talker("two")
}

#[test]
fn logs_of_several_services_name_the_container_of_each_line() {
    let place = Place::up(&talkers());
    let said = place.cosmos(&["logs"]).succeeded();
    for service in ["one", "two"] {
        let line = format!("{} | first {service}", place.container(service));
        assert!(said.stdout.contains(&line), "no {line:?} in {said}");
    }
}

#[test]
fn logs_with_a_tail_are_the_last_lines_of_the_one_that_is_named() {
    let place = Place::up(&talkers());
    let said = place.cosmos(&["logs", "--tail", "1", "two"]).succeeded();
    assert_eq!(said.stdout, "last two\n");
}

#[test]
fn logs_are_followed_until_they_are_interrupted() {
    let place = Place::up(&idle("one", ""));
    let mut following = place.begin(&["logs", "-f", "one"]);
    docker(&[
        "exec",
        &place.container("one"),
        "sh",
        "-c",
        "echo later > /proc/1/fd/1",
    ]);
    let mut output = BufReader::new(following.child().stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "later\n");
    following.interrupt();
    let _ = following.end().ended(130);
}

#[test]
fn logs_of_http_are_the_requests_to_what_is_named_and_are_followed() {
    let place = Place::up(&(WEB.to_owned() + &idle("one", "")));
    let host = format!("web.{}.localhost", place.name);
    let _ = place.get_host(&host, "/first").unwrap();
    let mut following = place.begin(&["logs", "--http", "-f", "--tail", "1", "web"]);
    let mut output = BufReader::new(following.child().stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        line
    };
    let first = next();
    for text in ["web", "GET", "/first", "ms"] {
        assert!(first.contains(text), "no {text:?} in {first:?}");
    }
    let _ = place.get_host(&host, "/second").unwrap();
    let second = next();
    assert!(second.contains("/second"), "{second:?}");
    following.interrupt();
    let _ = following.end().ended(130);
    let others = place.cosmos(&["logs", "--http", "one"]).succeeded();
    assert_eq!(others.stdout, "");
    let _ = place
        .cosmos(&["logs", "--http", "nosuch"])
        .ended(1)
        .told(&["nosuch"]);
}

#[test]
fn exec_ends_with_the_exit_code_of_the_command() {
    let place = Place::up(&idle("one", ""));
    for code in [0, 7] {
        let _ = place
            .cosmos(&["exec", "one", "sh", "-c", &format!("exit {code}")])
            .ended(code);
    }
    let _ = place
        .cosmos(&["exec", "one", "no-such-program"])
        .ended(127)
        .told(&["no-such-program"]);
    let _ = place
        .cosmos(&["exec", "two", "true"])
        .ended(1)
        .told(&["two"]);
}

#[test]
fn exec_passes_a_mebibyte_both_ways_unchanged() {
    let place = Place::up(&idle("one", ""));
    let sent: String = (0..1 << 20)
        .map(|at| char::from(b' ' + (at * 7 % 94) as u8))
        .collect();
    let said = place
        .cosmos_sent(
            &place.folder,
            &["exec", "-T", "one", "cat"],
            sent.as_bytes(),
        )
        .succeeded();
    assert!(said.stdout == sent, "{} bytes came back", said.stdout.len());
}

#[test]
fn exec_runs_with_the_user_folder_and_environment_that_are_asked_for() {
    let place = Place::up(&idle("one", ""));
    let said = place
        .cosmos(&[
            "exec",
            "-u",
            "65534",
            "-w",
            "/tmp",
            "-e",
            "A=b c",
            "one",
            "sh",
            "-c",
            "id -u; pwd; echo $A",
        ])
        .succeeded();
    assert_eq!(said.stdout, "65534\n/tmp\nb c\n");
}

/// Commands: one with a container of its own, one in a service.
fn commands() -> String {
    idle("one", "env = { WHERE = \"service\" }")
        + "[commands.own]\nimage = \"busybox:latest\"\nenv = { WHERE = \"own\" }\nrun = [\"sh\", \"-c\", \"echo $WHERE $0 $1; exit 4\"]\n\
           [commands.inside]\nservice = \"one\"\nrun = [\"sh\", \"-c\", \"echo $WHERE $0 $1; exit 5\"]\n"
}

#[test]
fn run_gives_a_declared_command_a_container_of_its_own_that_goes_with_it() {
    let place = Place::up(&commands());
    let said = place.cosmos(&["run", "own", "a", "--", "b"]).ended(4);
    assert_eq!(said.stdout, "own a --\n");
    let said = place.cosmos(&["run", "own", "--", "a", "b"]).ended(4);
    assert_eq!(said.stdout, "own a b\n");
    until("its containers are gone", || {
        place.containers(&["kind=adhoc"]).is_empty().then_some(())
    });
}

#[test]
fn run_executes_a_command_of_a_service_in_that_service() {
    let place = Place::up(&commands());
    let said = place.cosmos(&["run", "inside", "a", "b"]).ended(5);
    assert_eq!(said.stdout, "service a b\n");
}

#[test]
fn run_of_what_is_not_declared_names_what_is() {
    let place = Place::up(&commands());
    let _ = place
        .cosmos(&["run", "nothing"])
        .ended(2)
        .told(&["`nothing`", "own, inside"]);
}

#[test]
fn a_stopped_service_stays_stopped_through_up_until_it_is_started() {
    let place = Place::up(WEB);
    let id = place.id("web");
    let said = place.cosmos(&["stop", "web"]).succeeded();
    assert_eq!(said.stdout, "Container stopped: web\n");
    let _ = said.told(&["held stopped", "cosmos start web"]);
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(place.running("web"), None);
    let web = place.service("web");
    assert_eq!(web["state"], "held");
    assert!(
        web["note"].as_str().unwrap().contains("cosmos stop web"),
        "{web}"
    );

    let _ = place.cosmos(&["start", "web"]).succeeded();
    assert_eq!(place.running("web"), Some(id));
    until("it is ready", || {
        (place.service("web")["state"] == "ready").then_some(())
    });
}

#[test]
fn release_and_up_with_release_let_a_service_follow_the_config_again() {
    let place = Place::up(&idle("one", ""));
    for release in [["release", "one"], ["up", "--release"]] {
        let _ = place.cosmos(&["stop", "one"]).succeeded();
        assert_eq!(place.running("one"), None);
        let _ = place.cosmos(&release).succeeded();
        assert!(place.running("one").is_some(), "{release:?}");
    }
}

#[test]
fn restart_starts_the_same_container_again() {
    let place = Place::up(&idle("one", ""));
    let seen = || inspect(&place.container("one"), "{{.Id}} {{.State.StartedAt}}").unwrap();
    let before = seen();
    let said = place.cosmos(&["restart", "one"]).succeeded();
    assert_eq!(said.stdout, "Container restarted: one\n");
    let after = seen();
    assert_ne!(before, after);
    assert_eq!(before.split(' ').next(), after.split(' ').next());
}

#[test]
fn down_removes_containers_and_keeps_volumes() {
    let place = Place::up(&idle("one", "mounts = [\"data:/data\"]"));
    let said = place.cosmos(&["down"]).succeeded();
    assert!(said.stdout.contains("is down"), "{said}");
    assert_eq!(place.containers(&[]), [place.proxy()]);
    assert_eq!(
        docker(&[
            "volume",
            "ls",
            "-q",
            "--filter",
            &format!("name=^{}_data$", place.name)
        ]),
        format!("{}_data", place.name)
    );
    let _ = place
        .cosmos(&["status"])
        .ended(1)
        .told(&["is not up", "cosmos up"]);
}

#[test]
fn a_second_down_finds_nothing_to_take_down() {
    let place = Place::up(&idle("one", ""));
    let _ = place.cosmos(&["down"]).succeeded();
    let again = place.cosmos(&["down"]).succeeded();
    let name = &place.name;
    assert_eq!(
        again.stdout,
        format!("{name} is not up: nothing to take down\n")
    );
}

#[test]
fn down_with_volumes_refuses_off_a_terminal_and_names_them() {
    let place = Place::up(&idle("one", "mounts = [\"data:/data\"]"));
    let volume = format!("{}_data", place.name);
    let _ = place
        .cosmos(&["down", "--volumes"])
        .ended(2)
        .told(&[&volume, "--yes"]);
    assert!(place.running("one").is_some());
    let _ = place.cosmos(&["down", "--volumes", "--yes"]).succeeded();
    assert_eq!(
        docker(&[
            "volume",
            "ls",
            "-q",
            "--filter",
            &format!("name=^{volume}$")
        ]),
        ""
    );
}

#[test]
fn reading_verbs_make_no_proxy_where_there_is_none() {
    let place = Place::new(WEB);
    for verb in ["status", "logs"] {
        let _ = place
            .cosmos(&[verb])
            .ended(1)
            .told(&["nothing is up", "cosmos up"]);
    }
    // What `up` would do is known without one.
    let plan = place.cosmos(&["plan"]).succeeded();
    let launch = format!("launch {}", place.container("web"));
    assert!(plan.stdout.contains(&launch), "{plan}");
    assert_eq!(place.containers(&[]), Vec::<String>::new());
}

#[test]
fn wrong_usage_ends_with_2() {
    let place = Place::new(WEB);
    let _ = place.cosmos(&["up", "--no-such-flag"]).ended(2);
    let _ = place
        .cosmos_in(place.elsewhere(), &["up"])
        .ended(2)
        .told(&["cosmos.toml"]);
}
