//! What around the containers is taken away: networks, ports, registries, names.

use std::net::TcpListener;

use super::{
    super::workspace::{
        WEB, idle,
        support::{Place, docker, free_port, inspect, output, until},
    },
    is_whole, settles,
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
    docker(&["unpause", &place.proxy()]);
    until("it is made again", || {
        let now = id();
        (!now.trim().is_empty() && now != before).then_some(())
    });
    answers(&place);
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
    until("it runs with nobody's order", || place.running("one"));
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
    until("ours is healed", || {
        place.running("one").filter(|now| *now == id)
    });
    let _ = place.cosmos(&["down"]).succeeded();
    let still = inspect(&stranger, "{{.State.Running}}");
    assert_eq!(still.as_deref(), Some("true"));
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
    let _up = place.begin(&["up"]);
    until("the others go on", || place.running("two"));
    let told = until("it is told what it waits for", || {
        place.service("far")["note"].as_str().map(str::to_owned)
    });
    assert!(told.contains(&format!("`pull {image}`")), "{told}");
    drop(registry);
}
