//! `cosmos logs`: what containers wrote, in one order, across whatever happens to them.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    process::ChildStdout,
};

use serde_json::Value;

use super::{
    idle,
    support::{Place, Running, docker, until},
    tap::Tap,
};

/// Writes a line as the container itself does.
fn say(place: &Place, service: &str, text: &str) {
    say_in(&place.container(service), text, 1);
}

fn say_in(container: &str, text: &str, descriptor: u8) {
    let write = format!("echo '{text}' > /proc/1/fd/{descriptor}");
    docker(&["exec", container, "sh", "-c", &write]);
}

/// A `cosmos logs -f` whose lines are read one by one.
struct Following {
    running: Running,
    output: BufReader<ChildStdout>,
}

impl Following {
    fn of(place: &Place, names: &[&str]) -> Self {
        let mut running = place.begin(&[&["logs", "-f"], names].concat());
        let output = BufReader::new(running.child().stdout.take().unwrap());
        Self { running, output }
    }

    fn next(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    fn interrupt(mut self) {
        self.running.interrupt();
        let _ = self.running.end().ended(130);
    }
}

/// A service that says its own beginning.
fn beginning(name: &str, version: u32) -> String {
    idle(name, "").replace(
        "[\"sleep\", \"1000\"]",
        &format!("[\"sh\", \"-c\", \"echo begins {version}; exec sleep 1000\"]"),
    )
}

#[test]
fn lines_of_several_services_are_in_the_order_in_which_they_were_written() {
    let place = Place::up(&(idle("one", "") + &idle("second", "")));
    for number in 0..6 {
        let service = ["one", "second"][number % 2];
        say(&place, service, &format!("line {number}"));
    }
    let said = place.cosmos(&["logs"]).succeeded();
    let names = ["one", "second"].map(|service| place.container(service));
    let width = names[1].len();
    let wanted: String = (0..6)
        .map(|number| format!("{:<width$} | line {number}\n", names[number % 2]))
        .collect();
    assert_eq!(said.stdout, wanted);
}

#[test]
fn a_followed_service_is_followed_across_a_restart_a_crash_and_a_replacement() {
    let place = Place::up(&beginning("one", 1));
    let mut following = Following::of(&place, &["-t", "one"]);
    let mut lines: Vec<String> = Vec::new();
    // A machine under load may have a container started once more: what it says then is
    // another line, at another time.
    let mut until_told = |text: &str| {
        while lines.last().is_none_or(|line| !line.ends_with(text)) {
            lines.push(following.next());
        }
        lines.push(String::new());
    };
    until_told("begins 1");
    say(&place, "one", "first");
    until_told("first");

    docker(&["restart", "--time", "0", &place.container("one")]);
    until_told("begins 1");
    say(&place, "one", "after a restart");
    until_told("after a restart");

    docker(&["exec", &place.container("one"), "kill", "-9", "-1"]);
    until_told("begins 1");

    place.write("cosmos.toml", &beginning("one", 2));
    let _ = place.cosmos(&["up"]).succeeded();
    until_told("begins 2");
    say(&place, "one", "after a replacement");
    until_told("after a replacement");
    following.interrupt();

    lines.retain(|line| !line.is_empty());
    let mut each = lines.clone();
    each.sort();
    each.dedup();
    assert_eq!(each.len(), lines.len(), "a line came twice: {lines:#?}");
    let mut texts: Vec<&str> = lines
        .iter()
        .map(|line| line.split_once(' ').unwrap().1)
        .collect();
    texts.dedup();
    assert_eq!(
        texts,
        [
            "begins 1",
            "first",
            "begins 1",
            "after a restart",
            "begins 1",
            "begins 2",
            "after a replacement"
        ]
    );
}

#[test]
fn a_followed_workspace_is_followed_across_a_restart_of_the_proxy() {
    let place = Place::up(&idle("one", ""));
    say(&place, "one", "before");
    let mut following = Following::of(&place, &[]);
    let name = place.container("one");
    assert_eq!(following.next(), format!("{name} | before"));
    docker(&["restart", &place.proxy()]);
    say(&place, "one", "meanwhile");
    assert_eq!(following.next(), format!("{name} | meanwhile"));
    say(&place, "one", "after");
    assert_eq!(following.next(), format!("{name} | after"));
    following.interrupt();
}

#[test]
fn following_ends_when_nobody_is_left_who_could_write() {
    let place = Place::up(&idle("one", ""));
    say(&place, "one", "here");
    let mut following = Following::of(&place, &[]);
    assert!(following.next().ends_with("| here"));
    let _ = place.cosmos(&["down"]).succeeded();
    let _ = following.running.end().succeeded();
}

#[test]
fn following_a_container_of_no_service_ends_with_it() {
    let place = Place::up(&idle("one", ""));
    let name = format!("{}-short", place.name);
    let started = place.cosmos(&[
        "start",
        "-d",
        "--name",
        &name,
        "busybox:latest",
        "sh",
        "-c",
        "mkfifo /go; read x < /go; echo over",
    ]);
    let _ = started.succeeded();
    let mut following = Following::of(&place, &[&name]);
    until("it waits", || {
        docker(&["exec", &name, "ls", "/"])
            .contains("go")
            .then_some(())
    });
    docker(&["exec", &name, "sh", "-c", "echo > /go"]);
    assert_eq!(following.next(), "over");
    let _ = following.running.end().succeeded();
}

#[test]
fn a_line_of_many_pieces_is_one_line_and_the_streams_stay_apart() {
    let place = Place::up(&(idle("one", "") + &idle("two", "")));
    let long = "head -c 100000 /dev/zero | tr '\\0' x > /proc/1/fd/1; echo > /proc/1/fd/1";
    docker(&["exec", &place.container("one"), "sh", "-c", long]);
    say_in(&place.container("two"), "to the error", 2);
    let said = place.cosmos(&["logs", "-t"]).succeeded();
    let lines: Vec<&str> = said.stdout.lines().collect();
    let [line] = lines[..] else {
        panic!("{} lines", lines.len());
    };
    assert!(line.ends_with(&"x".repeat(100_000)), "{} long", line.len());
    assert_eq!(line.matches('x').count(), 100_000);
    assert!(said.stderr.contains(" to the error\n"), "{}", said.stderr);
    assert!(line.contains(" | 2"), "the time is before the line");
}

#[test]
fn lines_are_chosen_by_pattern_and_time_and_told_as_objects() {
    let place = Place::up(&idle("one", ""));
    for text in ["an error 1", "all well", "an Error 2"] {
        say(&place, "one", text);
    }
    say_in(&place.container("one"), "error 3", 2);
    let said = place
        .cosmos(&["logs", "--json", "--grep", "(?i)error [0-9]", "one"])
        .succeeded();
    let lines: Vec<Value> = said
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let told: Vec<_> = lines
        .iter()
        .map(|line| {
            (
                line["line"].as_str().unwrap(),
                line["stream"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            ("an error 1", "stdout"),
            ("an Error 2", "stdout"),
            ("error 3", "stderr")
        ]
    );
    assert_eq!(lines[0]["service"], "one");
    assert_eq!(lines[0]["container"], place.container("one"));

    let second = lines[1]["time"].as_str().unwrap();
    let since = place
        .cosmos(&["logs", "--since", second, "one"])
        .succeeded();
    assert_eq!(since.stdout, "an Error 2\n");
    let until = place
        .cosmos(&["logs", "--until", second, "--grep", "E", "one"])
        .succeeded();
    assert_eq!(until.stdout, "an Error 2\n");
    let none = place.cosmos(&["logs", "--since", "0s", "one"]).succeeded();
    assert_eq!(none.stdout, "");
    let _ = place
        .cosmos(&["logs", "--grep", "(", "one"])
        .ended(2)
        .told(&["`(` is no pattern", "hint"]);
    let _ = place
        .cosmos(&["logs", "--since", "soon", "one"])
        .ended(2)
        .told(&["`soon` is no time", "10m"]);
}

#[test]
fn a_new_replica_is_followed_from_its_first_line_and_both_are_named_from_then_on() {
    let place = Place::up(&beginning("one", 1));
    let mut following = Following::of(&place, &["one"]);
    assert_eq!(following.next(), "begins 1");
    let _ = place.cosmos(&["scale", "one=2"]).succeeded();
    let second = format!("{}-one-2", place.name);
    assert_eq!(following.next(), format!("{second} | begins 1"));
    following.interrupt();
}

#[test]
fn following_with_no_line_of_before_shows_what_comes() {
    let (tap, place) = tapped();
    let mut following = place.begin(&["logs", "-f", "-n", "0", "one"]);
    // Where it goes on from is known then.
    until("it is followed", || {
        let mut calls = tap.calls().into_iter();
        let is_followed = |call: String| call.contains("/logs?") && call.contains("follow=true");
        calls.any(is_followed).then_some(())
    });
    say(&place, "one", "new");
    let mut line = String::new();
    let mut output = BufReader::new(following.child().stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "new\n");
    following.interrupt();
    let _ = following.end().ended(130);
}

/// A workspace with a service that says its own beginning, and the calls to its engine.
fn tapped() -> (Tap, Place) {
    let tap = Tap::new();
    let place = Place::new(&beginning("one", 1)).through(tap.socket());
    let _ = place.cosmos(&["up"]).succeeded();
    (tap, place)
}

#[test]
fn what_was_written_is_read_at_the_engine_or_where_it_is_out_of_reach_at_the_proxy() {
    let (tap, place) = tapped();
    let read = || {
        let shown = place.cosmos(&["logs", "one"]).succeeded();
        assert_eq!(shown.stdout, "begins 1\n");
    };
    let is_asked = || docker(&["logs", &place.proxy()]).contains("/logs?");
    read();
    assert!(!is_asked());
    // The proxy has it still, and nobody else comes by it.
    fs::remove_file(tap.socket()).unwrap();
    read();
    until("the proxy was asked", || is_asked().then_some(()));
}

#[test]
fn what_a_terminal_would_obey_stays_out_of_it_and_goes_into_a_pipe_as_it_is() {
    let place = Place::up(&idle("web", ""));
    let said = r"\033]0;another title\007\033[2Ja \033[31mred\033[0m word";
    let write = format!("printf '{said}\\n' > /proc/1/fd/1");
    docker(&["exec", &place.container("web"), "sh", "-c", &write]);
    let piped = place.cosmos(&["logs", "web"]).succeeded().stdout;
    assert_eq!(
        piped,
        "\x1b]0;another title\x07\x1b[2Ja \x1b[31mred\x1b[0m word\n"
    );
    let mut terminal = place.on_a_terminal_of(80, &["logs", "web"]);
    let shown = terminal.expect("word");
    assert_eq!(terminal.expect_end(), Some(0));
    assert!(shown.ends_with("a \x1b[31mred\x1b[0m "), "{shown:?}");
    assert!(
        !shown.contains("title") && !shown.contains("\x1b[2J"),
        "{shown:?}"
    );
}
