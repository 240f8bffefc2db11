//! What around the containers is taken away: networks, ports, registries, names.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
    time::Instant,
};

use super::{
    super::workspace::{
        WEB, idle,
        support::{Place, docker, free_port, inspect, output, until},
    },
    figure, is_whole, settles,
};

fn answers(place: &Place) {
    until("it answers", || {
        let answer = place.get("web", "/").ok()?;
        (answer.status == 200).then_some(())
    });
}

#[test]
fn a_network_deleted_by_hand_is_made_again_with_all_that_was_in_it() {
    let place = Place::up(&format!(
        "[network]\nisolated = true\n{WEB}{}",
        idle("one", "")
    ));
    let network = format!("{}-{}", place.network(), place.name);
    let ids = ["web", "one"].map(|name| place.id(name));
    let id = || output("docker", &["network", "inspect", "-f", "{{.Id}}", &network]).stdout;
    let before = id();
    let members = [
        place.container("web"),
        place.container("one"),
        place.proxy(),
    ];
    // While the proxy cannot put anything back.
    docker(&["pause", &place.proxy()]);
    for member in &members {
        docker(&["network", "disconnect", "-f", &network, member]);
    }
    docker(&["network", "rm", &network]);
    let began = Instant::now();
    docker(&["unpause", &place.proxy()]);
    until("it is made again", || {
        let now = id();
        (!now.trim().is_empty() && now != before).then_some(())
    });
    answers(&place);
    figure(
        "the network is there with its members and requests pass",
        began,
    );
    settles(&place);
    assert_eq!(ids, ["web", "one"].map(|name| place.id(name)));
    is_whole(&place);
}

#[test]
fn a_port_that_somebody_holds_keeps_one_service_waiting_until_it_is_free() {
    let port = free_port();
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let place = Place::new(&(idle("one", &format!("ports = [\"{port}:80\"]")) + &idle("two", "")));
    let _ = place.cosmos(&["up"]).ended(1).told(&[&port.to_string()]);
    assert!(place.running("two").is_some());
    drop(holder);
    let began = Instant::now();
    until("it runs with nobody's order", || place.running("one"));
    figure("the port is free: its service runs", began);
    settles(&place);
    is_whole(&place);
}

#[test]
fn a_stranger_with_copied_labels_is_told_of_and_left_alone() {
    let place = Place::up(&idle("one", ""));
    let labels = inspect(
        &place.container("one"),
        "{{range $name, $value := .Config.Labels}}{{$name}}={{$value}}\n{{end}}",
    )
    .unwrap();
    let name = format!("{}-stranger", place.name);
    let mut words = vec!["run", "-d", "--name", &name];
    for label in labels.lines() {
        words.extend(["--label", label]);
    }
    words.extend(["busybox:latest", "sleep", "1000"]);
    let stranger = docker(&words);
    let id = place.id("one");
    let _ = place.cosmos(&["up"]).was_up_to_date();
    let said = place.cosmos(&["plan"]).succeeded();
    let told = said.stdout.clone() + &said.stderr;
    assert!(told.contains(&name), "{said}");
    docker(&["kill", &id]);
    let began = Instant::now();
    until("ours is healed", || {
        place.running("one").filter(|now| *now == id)
    });
    figure("ours was killed beside the stranger: it runs", began);
    let _ = place.cosmos(&["down"]).succeeded();
    let still = inspect(&stranger, "{{.State.Running}}");
    assert_eq!(still.as_deref(), Some("true"));
}

/// A registry that has one word for everybody.
fn registry_that_says(status: &'static str, body: &'static str) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(mut client) = client else { return };
            let mut asked = [0; 8 << 10];
            let _ = client.read(&mut asked);
            let length = body.len();
            let _ = write!(
                client,
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
            );
        }
    });
    port
}

#[test]
fn a_registry_that_says_no_keeps_only_its_own_service_waiting_and_is_told() {
    for (status, body, told) in [
        (
            "401 Unauthorized",
            r#"{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}"#,
            "asks for a login",
        ),
        (
            "404 Not Found",
            r#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#,
            "was not found",
        ),
        (
            "429 Too Many Requests",
            r#"{"errors":[{"code":"TOOMANYREQUESTS","message":"come back later"}]}"#,
            "could not be pulled",
        ),
        (
            "500 Internal Server Error",
            "a bad day",
            "could not be pulled",
        ),
    ] {
        let port = registry_that_says(status, body);
        let image = format!("127.0.0.1:{port}/it/nothing:1");
        let far = idle("far", "").replace("busybox:latest", &image);
        let place = Place::new(&(idle("one", "") + &far + &idle("two", "")));
        let _ = place.cosmos(&["up"]).ended(1).told(&[&image, told]);
        for name in ["one", "two"] {
            assert!(place.running(name).is_some(), "{name} beside {status}");
        }
        let note = until("it is told what it waits for", || {
            place.service("far")["note"].as_str().map(str::to_owned)
        });
        assert!(note.contains(told), "{status}: {note}");
        // The image comes to be there: nobody has to say it.
        docker(&["tag", "busybox:latest", &image]);
        let began = Instant::now();
        until("it runs with nobody's order", || place.running("far"));
        figure(&format!("{status}, and the image is there: it runs"), began);
        is_whole(&place);
        drop(place);
        docker(&["rmi", &image]);
    }
}

/// A container that goes before the network that it is in.
struct Other(String);

impl Drop for Other {
    fn drop(&mut self) {
        let _ = output("docker", &["rm", "-f", &self.0]);
    }
}

/// What a container's own address answers; nothing, if it does not yet.
fn get_at(address: &str) -> String {
    output("curl", &["-s", "-m", "2", &format!("http://{address}/")]).stdout
}

#[test]
fn an_address_that_is_anothers_now_never_gets_what_was_for_the_one_before() {
    let place = Place::up(&format!(
        "[network]\nisolated = true\nsubnet = \"10.211.77.0/24\"\n{WEB}"
    ));
    answers(&place);
    let address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = inspect(&place.id("web"), address).unwrap();
    let network = format!("{}-{}", place.network(), place.name);
    let other = Other(format!("{}-other", place.name));
    let _ = place.cosmos(&["stop", "web"]).succeeded();
    docker(&[
        "run",
        "-d",
        "--init",
        "--name",
        &other.0,
        "--network",
        &network,
        "--ip",
        &address,
        "busybox:latest",
        "sh",
        "-c",
        "mkdir /www; echo another >/www/index.html; exec httpd -f -p 80 -h /www",
    ]);
    // It answers there; connections to the one before are kept by whom they lead to.
    until("the other has begun", || {
        get_at(&address).contains("another").then_some(())
    });
    for _ in 0..20 {
        let answer = place.get("web", "/").unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
    }
    eprintln!("figure: 20 requests meanwhile, none of them led to the other");
    let _ = place.cosmos(&["start", "web"]).succeeded();
    until("the service itself answers again", || {
        let answer = place.get("web", "/").ok()?;
        assert!(!answer.body.contains("another"), "{answer:?}");
        (answer.status == 200).then_some(())
    });
    assert_eq!(
        inspect(&other.0, "{{.State.Running}}").as_deref(),
        Some("true")
    );
}

#[test]
fn a_registry_that_never_answers_keeps_only_its_own_service_waiting() {
    let port = free_port();
    // Takes calls, and says nothing.
    let registry = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let image = format!("127.0.0.1:{port}/it/nothing:1");
    let place = Place::up(&idle("one", ""));
    place.write(
        "cosmos.toml",
        &(idle("one", "") + &idle("two", "") + &idle("far", "").replace("busybox:latest", &image)),
    );
    let began = Instant::now();
    let _up = place.begin(&["up"]);
    until("the others go on", || place.running("two"));
    figure("a registry never answers: the others run", began);
    let told = until("it is told what it waits for", || {
        place.service("far")["note"].as_str().map(str::to_owned)
    });
    assert!(told.contains(&format!("`pull {image}`")), "{told}");
    figure("a registry never answers: it is told", began);
    drop(registry);
}
