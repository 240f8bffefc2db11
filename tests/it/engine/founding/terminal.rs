//! `cosmos start`, on a terminal.

use crate::support::{Cosmos, Terminal, docker, is_running, until};

/// The id behind `Container started: `.
#[track_caller]
fn started(terminal: &mut Terminal) -> String {
    terminal.expect("Container started: ");
    terminal.expect("\r\n").trim().to_owned()
}

// What is typed has quotes where what is expected has none: the terminal echoes
// it, and the echo must not be taken for the answer.

#[test]
fn an_image_alone_opens_bash_and_its_exit_code_is_ours() {
    let cosmos = Cosmos::ready();
    let mut terminal = cosmos.on_a_terminal(["start", "ubuntu:latest"]);
    let id = started(&mut terminal);
    terminal.type_line("echo \"this is ${BASH_VERSION:+'ba'}sh\"");
    terminal.expect("this is 'ba'sh\r\n");
    assert!(terminal.is_raw());
    terminal.type_line("exit 7");
    assert_eq!(terminal.expect_end(), Some(7));
    assert!(is_running(&id), "it is kept alive");
}

#[test]
fn where_bash_is_missing_sh_opens() {
    let cosmos = Cosmos::ready();
    let mut terminal = cosmos.on_a_terminal(["start", "alpine:latest"]);
    started(&mut terminal);
    terminal.type_line("echo \"this is $0\"");
    terminal.expect("this is /bin/sh\r\n");
    terminal.type_line("exit");
    assert_eq!(terminal.expect_end(), Some(0));
}

#[test]
fn quietly_there_is_only_the_shell() {
    let cosmos = Cosmos::ready();
    let mut terminal = cosmos.on_a_terminal(["-q", "start", "alpine:latest"]);
    // Its own first word.
    let before = terminal.expect("BusyBox");
    assert_eq!(before.trim(), "");
}

#[test]
fn the_window_and_its_changes_are_seen_inside() {
    let cosmos = Cosmos::ready();
    let mut terminal = cosmos.on_a_terminal(["start", "alpine:latest"]);
    let wait_for = |size| {
        format!("until [ \"$(stty size)\" = '{size}' ]; do sleep 0.05; done; echo 'it'' is' {size}")
    };
    terminal.type_line(&wait_for("24 80"));
    terminal.expect("it is 24 80\r\n");
    terminal.resize(132, 43);
    terminal.type_line(&wait_for("43 132"));
    terminal.expect("it is 43 132\r\n");
}

#[test]
fn a_command_has_the_terminal_and_ctrl_c_is_its_own() {
    let cosmos = Cosmos::ready();
    let script = "trap 'echo caught; exit 5' INT; tty && echo ready; while :; do sleep 0.1; done";
    let mut terminal = cosmos.on_a_terminal(["start", "alpine:latest", "sh", "-c", script]);
    let id = started(&mut terminal);
    terminal.expect("ready\r\n");
    terminal.press(b"\x03");
    terminal.expect("caught\r\n");
    assert_eq!(terminal.expect_end(), Some(5));
    assert!(!is_running(&id));
}

#[test]
fn keys_go_to_the_command_one_by_one() {
    let cosmos = Cosmos::ready();
    let script = "stty -echo -icanon; echo ready; k=$(dd bs=1 count=1 2>/dev/null); echo \"<$k>\"";
    let mut terminal = cosmos.on_a_terminal(["start", "alpine:latest", "sh", "-c", script]);
    terminal.expect("ready\r\n");
    terminal.press(b"k");
    terminal.expect("<k>\r\n");
    assert_eq!(terminal.expect_end(), Some(0));
}

#[test]
fn the_detach_keys_leave_a_command_running_and_say_how_to_stop_it() {
    let cosmos = Cosmos::ready();
    let mut terminal =
        cosmos.on_a_terminal(["start", "alpine:latest", "sh", "-c", "echo ready; cat"]);
    let id = started(&mut terminal);
    terminal.expect("ready\r\n");
    terminal.press(b"\x10\x11");
    terminal.expect(&format!(
        "{id} goes on running; stop it: `cosmos stop {id}`"
    ));
    assert_eq!(terminal.expect_end(), Some(0));
    assert!(is_running(&id));
}

#[test]
fn other_detach_keys_leave_a_command() {
    let cosmos = Cosmos::ready();
    let mut terminal = cosmos.on_a_terminal([
        "start",
        "--detach-keys",
        "ctrl-a,d",
        "alpine:latest",
        "sh",
        "-c",
        "echo ready; cat",
    ]);
    let id = started(&mut terminal);
    terminal.expect("ready\r\n");
    terminal.press(b"\x01d");
    terminal.expect(&format!("{id} goes on running"));
    assert_eq!(terminal.expect_end(), Some(0));
    assert!(is_running(&id));
}

#[test]
fn the_detach_keys_leave_a_shell() {
    let cosmos = Cosmos::ready();
    let mut terminal = cosmos.on_a_terminal(["start", "alpine:latest"]);
    let id = started(&mut terminal);
    terminal.expect("/ # ");
    terminal.press(b"\x10\x11");
    assert_eq!(terminal.expect_end(), Some(0));
    assert!(is_running(&id));
}

#[test]
fn with_rm_the_shells_end_is_the_containers() {
    let cosmos = Cosmos::ready();
    let mut terminal = cosmos.on_a_terminal(["start", "--rm", "alpine:latest"]);
    let id = started(&mut terminal);
    terminal.type_line("exit 4");
    assert_eq!(terminal.expect_end(), Some(4));
    let filter = format!("id={id}");
    until("it is removed", || {
        docker(["ps", "-aq", "--filter", &filter]).is_empty()
    });
}
