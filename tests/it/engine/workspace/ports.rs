//! `cosmos port` and `cosmos open`: where something is reached.

use std::fs;

use super::{
    WEB, idle,
    support::{Place, docker, until},
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
fn an_ad_hoc_container_has_ports_and_an_address_too() {
    let place = Place::new("");
    let name = format!("{}-web", place.name);
    let start = ["start", "-d", "--name", &name, "-p", "80"];
    let _ = place
        .cosmos(&[&start[..], &["busybox:latest", "sleep", "1000"]].concat())
        .succeeded();
    let said = place.cosmos(&["port", &name, "80"]).succeeded();
    assert_eq!(said.stdout.trim(), docker(&["port", &name, "80"]));
    let said = place.cosmos(&["open", &name, "--print"]).succeeded();
    let url = format!("http://{name}.localhost:{}\n", place.port);
    assert_eq!(said.stdout, url);
}

#[test]
fn open_prints_the_address_where_there_is_no_screen() {
    let place = Place::up(&(WEB.to_owned() + &idle("one", "")));
    let url = format!("http://web.{}.localhost:{}", place.name, place.port);
    let said = place.cosmos(&["open", "web"]).succeeded();
    assert_eq!(
        (said.stdout, said.stderr),
        (format!("{url}\n"), String::new())
    );
    let said = place
        .cosmos(&["open", "web", "a b?c=1", "--print"])
        .succeeded();
    assert_eq!(said.stdout, format!("{url}/a%20b?c=1\n"));
    let _ = place.cosmos(&["open", "one"]).ended(1).told(&[
        "service `one` has no route",
        "`route = 80` in [services.one]",
    ]);
    let _ = place.cosmos(&["stop", "web"]).succeeded();
    let said = place.cosmos(&["open", "web", "--print"]).succeeded();
    assert_eq!(said.stdout, format!("{url}\n"));
    let _ = said.told(&["`web` is not running", "cosmos start web"]);
}

#[test]
fn open_gives_the_address_to_the_browser() {
    let place = Place::up(&WEB.replace("route = 80", "route = { port = 80, path = \"/app\" }"));
    let opened = place.elsewhere().join("opened");
    let browser = place.elsewhere().join("browser");
    fs::write(
        &browser,
        format!(
            "#!/bin/sh\nprintf %s \"$1\" > {0}.new && mv {0}.new {0}\n",
            opened.display()
        ),
    )
    .unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    fs::set_permissions(&browser, mode).unwrap();
    let place = place.with("BROWSER", &browser.display().to_string());
    let url = format!("http://web.{}.localhost:{}/app", place.name, place.port);
    let said = place.cosmos(&["open", "web"]).succeeded();
    assert_eq!(said.stdout, "");
    let _ = said.told(&[&format!("{url} opens in your browser")]);
    let given = until("the browser is given an address", || {
        fs::read_to_string(&opened).ok()
    });
    assert_eq!(given, url);
}

#[test]
fn a_port_without_a_number_stays_the_same_whatever_is_done_to_its_container() {
    let place = Place::up(&idle("one", "ports = [80]"));
    let port = || {
        let told = place.cosmos(&["port", "one"]).succeeded();
        told.stdout.trim().to_owned()
    };
    let first = port();
    let container = place.container("one");
    for words in [
        &["cosmos", "stop", "one"][..],
        &["cosmos", "start", "one"],
        &["cosmos", "restart", "one"],
        &["docker", "restart", "-t", "0", &container],
    ] {
        match words[0] {
            "docker" => drop(docker(&words[1..])),
            _ => drop(place.cosmos(&words[1..]).succeeded()),
        }
        if words[1] != "stop" {
            assert_eq!(port(), first, "{words:?}");
        }
    }
}
