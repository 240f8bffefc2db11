//! Wrong input and broken surroundings: told with what to do next, and nothing
//! is lost. Once mended, the next `up` goes through.

use std::net::TcpListener;

use super::{
    WEB, idle,
    support::{Place, Said, docker, free_port, inspect, output, until},
};

/// An `up` that fails beside a service that is well, then one that is mended.
fn fails_then_mends(place: &Place, code: i32, told: &[&str], mended: &str) -> Said {
    let well = idle("well", "");
    let file = std::fs::read_to_string(place.folder.join("cosmos.toml")).unwrap();
    place.write("cosmos.toml", &well);
    let _ = place.cosmos(&["up"]).succeeded();
    let id = place.id("well");

    place.write("cosmos.toml", &(file + &well));
    let said = place.cosmos(&["up"]).ended(code).told(told);
    assert_eq!(place.running("well").as_ref(), Some(&id), "{said}");

    place.write("cosmos.toml", &(mended.to_owned() + &well));
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(place.running("well"), Some(id));
    let _ = place.cosmos(&["up"]).was_up_to_date();
    said
}

#[test]
fn an_image_that_does_not_exist_is_named() {
    let image = "127.0.0.1:5000/fixture/nothing:1";
    let place = Place::new(&idle("one", "").replace("busybox:latest", image));
    let _ = fails_then_mends(&place, 1, &[image, "hint: "], &idle("one", ""));
}

#[test]
fn the_output_of_a_build_that_fails_is_shown() {
    let config = format!(
        "[images.bad]\nbuild = {{ context = \".\" }}\n{}",
        idle("one", "").replace("busybox:latest", "bad")
    );
    let place = Place::new(&config);
    place.write(
        "Dockerfile",
        "FROM busybox:latest\nRUN echo the reason; exit 3\n",
    );
    let _ = fails_then_mends(&place, 1, &["the reason"], &idle("one", ""));
}

#[test]
fn the_last_lines_of_a_one_shot_that_fails_are_shown() {
    let config = |code: u8| {
        format!(
            "[commands.migrate]\nimage = \"busybox:latest\"\nrun = [\"sh\", \"-c\", \"echo the reason; exit {code}\"]\n"
        ) + &idle("one", "depends_on = { migrate = \"completed\" }")
    };
    let place = Place::new(&config(1));
    let _ = fails_then_mends(
        &place,
        1,
        &["exit code 1", "the reason", "cosmos up"],
        &config(0),
    );
}

#[test]
fn the_last_lines_of_a_service_that_ends_at_once_are_shown() {
    let place = Place::new(&idle("one", "").replace(
        "\"sleep\", \"1000\"",
        "\"sh\", \"-c\", \"echo the reason; exit 1\"",
    ));
    let _ = fails_then_mends(
        &place,
        1,
        &["exit code 1", "the reason", "cosmos logs"],
        &idle("one", ""),
    );
}

#[test]
fn an_invalid_file_is_told_with_its_place_and_changes_nothing() {
    let place = Place::new("[services.one]\nimagee = \"busybox:latest\"\n");
    let _ = fails_then_mends(
        &place,
        2,
        &["cosmos.toml:2:1", "imagee", "image"],
        &idle("one", ""),
    );
}

#[test]
fn a_mount_source_that_is_missing_is_told_with_its_place() {
    let place = Place::new(&idle("one", "mounts = [\"./assets:/assets\"]"));
    let _ = fails_then_mends(&place, 2, &["./assets", "cosmos.toml:5:"], &idle("one", ""));
}

#[test]
fn a_host_port_that_somebody_else_holds_is_named() {
    let port = free_port();
    let holder = TcpListener::bind(("127.0.0.1", port)).unwrap();
    let config = idle("one", &format!("ports = [\"{port}:80\"]"));
    let place = Place::new(&config);
    let _ = place
        .cosmos(&["up"])
        .ended(1)
        .told(&[&port.to_string(), "hint: "]);
    drop(holder);
    let _ = place.cosmos(&["up"]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn a_container_name_that_a_stranger_has_is_named_and_left_alone() {
    let place = Place::new(&idle("one", ""));
    let stranger = docker(&[
        "run",
        "-d",
        "--name",
        &place.container("one"),
        "busybox:latest",
        "sleep",
        "1000",
    ]);
    let said = place.cosmos(&["up"]);
    let still = inspect(&stranger, "{{.State.Running}}");
    docker(&["rm", "-f", &stranger]);
    let _ = said.ended(1).told(&[&place.container("one"), "hint: "]);
    assert_eq!(still.as_deref(), Some("true"));
    let _ = place.cosmos(&["up"]).succeeded();
}

#[test]
fn a_proxy_that_is_killed_in_the_middle_of_an_up_is_told_and_nothing_is_doubled() {
    let slow = WEB.replace("exec httpd", "sleep 2; exec httpd");
    let place = Place::new(&(slow + &idle("one", "depends_on = { web = \"ready\" }")));
    let up = place.begin(&["up"]);
    until("it is in the middle", || place.running("web"));
    let id = place.id("web");
    let process = inspect(&place.proxy(), "{{.State.Pid}}").unwrap();
    let _ = output("kill", &["-KILL", &process]).succeeded();
    let _ = up.end().ended(1).told(&["cosmos up"]);
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(
        place.containers(&["kind=service"]),
        [place.container("one"), place.container("web")]
    );
    assert_eq!(place.id("web"), id);
    let _ = place.cosmos(&["up"]).was_up_to_date();
}
