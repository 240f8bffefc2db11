//! Several workspaces side by side.

use std::fs;

use super::{
    WEB, idle,
    support::{Place, docker, get},
};

/// Another folder with the same name and the same file.
pub(super) fn second_checkout(place: &Place) -> std::path::PathBuf {
    let folder = place
        .elsewhere()
        .canonicalize()
        .unwrap()
        .join("second")
        .join(&place.name);
    fs::create_dir_all(&folder).unwrap();
    fs::copy(place.folder.join("cosmos.toml"), folder.join("cosmos.toml")).unwrap();
    folder
}

#[test]
fn a_second_checkout_of_the_same_name_is_refused_and_touches_nothing() {
    let place = Place::up(WEB);
    let id = place.id("web");
    let second = second_checkout(&place);
    let folders = [
        place.folder.to_str().unwrap(),
        second.to_str().unwrap(),
        "--instance",
    ];
    let _ = place.cosmos_in(&second, &["up"]).ended(1).told(&folders);
    let _ = place.cosmos_in(&second, &["down"]).ended(1).told(&folders);
    assert_eq!(place.running("web"), Some(id));
}

#[test]
fn an_instance_works_beside_the_first_checkout() {
    let place = Place::up(WEB);
    let second = second_checkout(&place);
    let _ = place
        .cosmos_in(&second, &["--instance", "fix", "up"])
        .succeeded();
    let answer = |host: &str| place.get_host(host, "/").unwrap().body;
    let first = answer(&format!("web.{}.localhost", place.name));
    let other = answer(&format!("web.fix.{}.localhost", place.name));
    assert_ne!(first, other);
    let _ = place
        .cosmos_in(&second, &["--instance", "fix", "down"])
        .succeeded();
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("web")]
    );
}

#[test]
fn a_short_name_finds_the_service_of_ones_own_workspace() {
    let config = |who: &str| {
        WEB.replace("services.web", "services.db")
            .replace("hello", who)
            + &idle("one", "depends_on = [\"db\"]")
    };
    let place = Place::up(&config("first"));
    let second = second_checkout(&place);
    fs::write(second.join("cosmos.toml"), config("second")).unwrap();
    let _ = place
        .cosmos_in(&second, &["--instance", "b", "up"])
        .succeeded();
    let asks = |container: &str| docker(&["exec", container, "wget", "-qO-", "http://db/"]);
    assert!(asks(&place.container("one")).starts_with("first "));
    assert!(asks(&format!("{}-b-one-1", place.name)).starts_with("second "));
    let long = format!("http://db.b.{}.internal/", place.name);
    assert!(
        docker(&["exec", &place.container("one"), "wget", "-qO-", &long]).starts_with("second ")
    );
}

#[test]
fn a_sticky_port_is_each_checkouts_own() {
    let place = Place::up(&WEB.replace("route = 80", "ports = [80]"));
    let second = second_checkout(&place);
    let _ = place
        .cosmos_in(&second, &["--instance", "b", "up"])
        .succeeded();
    let body = |container: &str| {
        let published = docker(&["port", container, "80/tcp"]);
        get(
            published.rsplit(':').next().unwrap().parse().unwrap(),
            "x",
            "/",
        )
        .unwrap()
        .body
    };
    assert_ne!(
        body(&place.container("web")),
        body(&format!("{}-b-web-1", place.name))
    );
}
