//! `cosmos port`: where something is reached.

use super::{
    WEB, idle,
    support::{Place, docker},
};

#[test]
fn each_published_port_is_a_line_and_the_url_another() {
    let place = Place::up(&WEB.replace(
        "route = 80",
        "route = 80\nports = [80, \"0.0.0.0::53/udp\"]",
    ));
    let held = |port: &str| docker(&["port", &place.container("web"), port]);
    let (tcp, udp) = (held("80/tcp"), held("53/udp"));
    let said = place.cosmos(&["port", "web"]).succeeded();
    let url = format!("http://web.{}.localhost:{}", place.name, place.port);
    assert_eq!(
        said.stdout,
        format!("53/udp -> {udp}\n80/tcp -> {tcp}\n{url}\n")
    );
    // One alone is its address, for a program.
    let said = place.cosmos(&["port", "web", "80"]).succeeded();
    assert_eq!(said.stdout, format!("{tcp}\n"));
    let said = place.cosmos(&["port", "web", "53/udp"]).succeeded();
    assert_eq!(said.stdout, format!("{udp}\n"));
    // The container's own name means the same.
    let said = place
        .cosmos(&["port", &place.container("web"), "80"])
        .succeeded();
    assert_eq!(said.stdout, format!("{tcp}\n"));

    let json = place.cosmos(&["port", "web", "--json"]).succeeded().json();
    assert_eq!(
        (&json["schema"], &json["service"]),
        (&1.into(), &"web".into())
    );
    assert_eq!(json["url"], url);
    assert_eq!(json["ports"][0]["transport"], "udp");
    assert_eq!(json["ports"][1]["port"], 80);
    assert_eq!(json["ports"][1]["container"], place.container("web"));

    let _ = place
        .cosmos(&["port", "web", "81"])
        .ended(1)
        .told(&["port 81/tcp of `web` is not published", "80/tcp -> "]);
    let _ = place
        .cosmos(&["port", "web", "http"])
        .ended(2)
        .told(&["`http` is no port", "53/udp"]);
}

#[test]
fn what_publishes_nothing_is_told_the_way_to_it() {
    let place = Place::up(&(WEB.to_owned() + &idle("one", "")));
    let said = place.cosmos(&["port", "web"]).succeeded();
    let url = format!("http://web.{}.localhost:{}\n", place.name, place.port);
    assert_eq!(said.stdout, url);
    let _ = said.told(&["publishes no port", "`ports = [80]` in cosmos.toml"]);
    let _ = place
        .cosmos(&["port", "one"])
        .ended(1)
        .told(&["`one` publishes no port", "`ports = [80]` in cosmos.toml"]);
    let _ = place.cosmos(&["port", "wed"]).ended(1).told(&[
        "no container or service is called `wed`",
        "did you mean `web`?",
    ]);
    let _ = place.cosmos(&["stop", "one"]).succeeded();
    let _ = place
        .cosmos(&["port", "one"])
        .ended(1)
        .told(&["is not running", "cosmos start one"]);
}

#[test]
fn an_ad_hoc_container_has_ports_too() {
    let place = Place::new("");
    let name = format!("{}-web", place.name);
    let start = ["start", "-d", "--name", &name, "-p", "80"];
    let _ = place
        .cosmos(&[&start[..], &["busybox:latest", "sleep", "1000"]].concat())
        .succeeded();
    let said = place.cosmos(&["port", &name, "80"]).succeeded();
    assert_eq!(said.stdout.trim(), docker(&["port", &name, "80"]));
}
