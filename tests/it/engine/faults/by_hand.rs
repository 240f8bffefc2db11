//! Somebody works on our containers beside us, with the engine's own command line.

use std::time::Instant;

use super::{
    super::workspace::{
        idle,
        support::{Place, docker, inspect, output, until},
    },
    figure, is_whole, settles,
};

fn networks(container: &str) -> String {
    let format = "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}";
    inspect(container, format).unwrap_or_default()
}

#[test]
fn four_services_broken_by_hand_at_once_are_all_mended() {
    let config = idle("limited", "resources = { cpus = 0.5 }")
        + &idle("cut-off", "")
        + &idle("renamed", "")
        + &idle("removed", "");
    let place = Place::up(&config);
    let container = |name: &str| place.container(name);
    let kept = ["limited", "cut-off", "renamed"].map(|name| (name, place.id(name)));
    let removed = place.id("removed");
    docker(&["update", "--cpus", "1.25", &container("limited")]);
    docker(&[
        "network",
        "disconnect",
        &place.network(),
        &container("cut-off"),
    ]);
    docker(&[
        "rename",
        &container("renamed"),
        &format!("{}-stray", place.name),
    ]);
    docker(&["rm", "-f", &container("removed")]);

    let began = Instant::now();
    until("all four are as declared", || {
        let limit = inspect(&container("limited"), "{{.HostConfig.NanoCpus}}")?;
        let is_back = |(name, id): &(&str, String)| place.running(name).as_ref() == Some(id);
        let is_mended = limit == "500000000"
            && networks(&container("cut-off")).contains(&place.network())
            && kept.iter().all(is_back)
            && place.running("removed").is_some_and(|id| id != removed);
        is_mended.then_some(())
    });
    figure(
        "the last of four services was broken: all are mended",
        began,
    );
    settles(&place);
    let history = place.cosmos(&["history", "--json"]).succeeded().stdout;
    for told in ["cpus", "is not in ", "was renamed to ", "missing"] {
        assert!(history.contains(told), "no {told:?} in {history}");
    }
    is_whole(&place);
}

#[test]
fn a_container_stopped_by_hand_runs_again_and_it_is_told_how_to_hold_it_stopped() {
    let place = Place::up(&idle("one", ""));
    let id = place.id("one");
    let started = || inspect(&id, "{{.State.StartedAt}}").unwrap();
    let before = started();
    docker(&["stop", &id]);
    let began = Instant::now();
    until("it runs again", || {
        (started() != before)
            .then(|| place.running("one"))
            .flatten()
    });
    figure("stopped by hand: it runs", began);
    let told = "was stopped by hand; `cosmos stop one` holds it stopped";
    until("the proxy's log says so", || {
        let said = output("docker", &["logs", &place.proxy()]);
        said.stderr.contains(told).then_some(())
    });
}

#[test]
fn a_container_removed_by_hand_while_an_up_waits_for_another_runs_again_meanwhile() {
    let never = "health = { tcp = 9, interval = \"500ms\", timeout = \"500ms\", retries = 1000 }";
    let place = Place::new(&(idle("one", "") + &idle("never", never)));
    let mut up = place.begin(&["up"]);
    let id = until("the first runs", || place.running("one"));
    until("the other runs", || place.running("never"));
    docker(&["rm", "-f", &id]);
    let began = Instant::now();
    until("it is made again", || {
        place.running("one").filter(|it| *it != id)
    });
    figure("removed by hand while an `up` waits: it runs", began);
    up.interrupt();
    let _ = up.end().ended(130);
}

#[test]
fn a_container_cut_off_its_network_while_an_up_waits_for_it_gets_ready_all_the_same() {
    let late = "[services.late]\nimage = \"busybox:latest\"\ninit = true\n\
                command = [\"sh\", \"-c\", \"sleep 2; exec httpd -f -p 80\"]\n\
                health = { tcp = 80, interval = \"500ms\", timeout = \"500ms\", retries = 1000 }\n";
    let place = Place::new(late);
    let up = place.begin(&["up"]);
    until("it runs", || place.running("late"));
    docker(&[
        "network",
        "disconnect",
        "-f",
        &place.network(),
        &place.container("late"),
    ]);
    let began = Instant::now();
    let _ = up.end().succeeded();
    figure("cut off while an `up` waits for it: it is ready", began);
    assert!(networks(&place.container("late")).contains(&place.network()));
}
