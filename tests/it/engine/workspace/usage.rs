//! `cosmos top`: what containers use.

use std::{
    io::{BufRead as _, BufReader},
    process::Command,
};

use rustix::process::Signal;
use serde_json::Value;

use super::{idle, support::Place};

/// A service that works all the time, and one that does nothing.
fn busy() -> String {
    idle("busy", "resources = { memory = \"64MiB\", cpus = 0.5 }").replace(
        "[\"sleep\", \"1000\"]",
        "[\"sh\", \"-c\", \"while :; do :; done\"]",
    ) + &idle("lazy", "replicas = 2")
}

#[test]
fn one_look_as_a_table_or_as_json_has_every_service_and_who_works_most_first() {
    let place = Place::up(&busy());
    // Off a terminal it is one table anyway.
    for arguments in [&["top"][..], &["top", "--once"]] {
        let said = place.cosmos(arguments).succeeded();
        let names: Vec<_> = said
            .stdout
            .lines()
            .map(|line| line.split_whitespace().next().unwrap())
            .collect();
        assert_eq!(names[..2], ["NAME", "busy"], "{said}");
        assert_eq!(names.len(), 4, "{said}");
        assert!(
            names.contains(&"lazy.1") && names.contains(&"lazy.2"),
            "{said}"
        );
        assert!(said.stdout.contains("67.1 MB"), "{said}");
    }
    let look = place
        .cosmos(&["top", "--once", "--json"])
        .succeeded()
        .json();
    assert_eq!(look["schema"], 1);
    let containers = look["containers"].as_array().unwrap();
    assert_eq!(containers.len(), 3, "{look}");
    let first = &containers[0];
    assert_eq!(
        (&first["service"], &first["workspace"]),
        (&"busy".into(), &place.name.clone().into())
    );
    assert_eq!(first["container"], place.container("busy"));
    assert!(first["cpu"].as_f64().unwrap() > 10.0, "{first}");
    assert_eq!(first["limit"], 64 << 20);
    for key in ["memory", "received", "sent", "read", "written"] {
        assert!(first[key].is_u64(), "{key} of {first}");
    }
    // `docker-init`, and the shell.
    assert_eq!(first["pids"], 2);
}

#[test]
fn names_choose_and_all_is_everything() {
    let place = Place::up(&busy());
    let name = format!("{}-adhoc", place.name);
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
    let rows = |arguments: &[&str]| {
        let look = place
            .cosmos(&[&["top", "--once", "--json"], arguments].concat())
            .succeeded()
            .json();
        let containers = look["containers"].as_array().unwrap().clone();
        let mut names: Vec<_> = containers
            .iter()
            .map(|one| one["container"].as_str().unwrap().to_owned())
            .collect();
        names.sort();
        names
    };
    let lazy = place.container("lazy");
    let second = lazy.replace("-lazy-1", "-lazy-2");
    let busy = place.container("busy");
    assert_eq!(rows(&["lazy", &name]), [&name[..], &lazy, &second]);
    assert_eq!(rows(&[&second]), [&second[..]]);
    assert_eq!(rows(&["--all"]), [&name[..], &busy, &lazy, &second]);
    let _ = place
        .cosmos(&["top", "lasy"])
        .ended(1)
        .told(&["is called `lasy`", "did you mean `lazy`?"]);
    let _ = place.cosmos(&["stop", "busy"]).succeeded();
    let said = place.cosmos(&["top", "busy"]).succeeded();
    assert_eq!(said.stdout, "");
    let _ = said.told(&["nothing of it runs"]);
}

#[test]
fn as_json_each_look_is_a_line_until_it_is_interrupted() {
    let place = Place::up(&busy());
    let mut running = place.begin(&["top", "--json"]);
    let mut lines = BufReader::new(running.child().stdout.take().unwrap()).lines();
    let mut times = Vec::new();
    while times.len() < 3 {
        let look: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        times.push(look["at"].as_u64().unwrap());
    }
    assert!(times.is_sorted(), "{times:?}");
    running.interrupt();
    let _ = running.end().ended(130);
}

#[test]
fn on_a_terminal_it_is_drawn_in_place_until_q_and_all_is_as_it_was() {
    let place = Place::up(&busy());
    for (keys, code) in [("q", 0), ("\x03", 0)] {
        let mut terminal = place.on_a_terminal(&["top"]);
        terminal.expect("\x1b[?1049h");
        terminal.expect("3 containers, CPU ");
        terminal.expect("NAME ");
        assert!(terminal.is_raw());
        // Drawn over what stood there, without clearing it before.
        let between = terminal.expect("\x1b[H");
        assert!(!between.contains("\x1b[2J"), "{between:?}");
        terminal.resize(40, 10);
        terminal.expect("\x1b[H");
        terminal.expect("busy");
        terminal.press(keys.as_bytes());
        terminal.expect("\x1b[?25h\x1b[?1049l");
        assert_eq!(terminal.expect_end(), Some(code));
    }
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143), (Signal::HUP, 129)] {
        let mut terminal = place.on_a_terminal(&["top"]);
        terminal.expect("NAME ");
        terminal.signal(signal);
        terminal.expect("\x1b[?25h\x1b[?1049l");
        assert_eq!(terminal.expect_end(), Some(code));
    }
    // The proxy goes: that is told on the screen that was there before.
    let mut terminal = place.on_a_terminal(&["top"]);
    terminal.expect("NAME ");
    let killed = Command::new("docker")
        .args(["kill", &place.proxy()])
        .output();
    assert!(killed.unwrap().status.success());
    terminal.expect("\x1b[?1049l");
    terminal.expect("the proxy");
    assert_eq!(terminal.expect_end(), Some(1));
}
