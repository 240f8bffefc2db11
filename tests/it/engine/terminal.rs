//! Joining from a terminal and from pipes, as whole processes.
//!
//! Raw mode, window sizes and signals are a process' own, so each test starts
//! this test binary once more as [`as_child`], which joins and says how it ended.

use std::{
    env,
    io::{Read, Write},
    process::{Command, Stdio},
    thread,
};

use cosmos::{
    cli::terminal::{self, DetachKeys, End, StdinKind},
    docker::attach::{AttachOptions, ExecOptions},
};
use rustix::{
    process::{Pid, Signal, kill_process},
    termios::{LocalModes, tcgetattr},
};

use super::support::{Container, client};
use crate::support::Terminal;

/// Stands before the joined output, as the test harness has printed already.
const BEGIN: &str = "<begin>";

/// No test of its own: what the others start.
#[tokio::test]
async fn as_child() {
    let Ok(order) = env::var("COSMOS_TEST_JOIN") else {
        return;
    };
    let mut words = order.split('\n').map(str::to_owned);
    let (how, container) = (words.next().unwrap(), words.next().unwrap());
    let command: Vec<String> = words.collect();
    print!("{BEGIN}");
    let joined = match how.as_str() {
        "type" => {
            let options = ExecOptions {
                command,
                tty: true,
                stdin: true,
                ..ExecOptions::default()
            };
            let session = match client().exec(&container, &options).await {
                Ok((_, session)) => session,
                Err(failure) => {
                    assert_eq!(failure.cannot_run(), Some(127));
                    let options = ExecOptions {
                        command: vec!["/bin/sh".to_owned()],
                        ..options
                    };
                    client().exec(&container, &options).await.unwrap().1
                }
            };
            terminal::interact(session, &DetachKeys::default()).await
        }
        "attach" => {
            let options = AttachOptions {
                stdin: true,
                tty: true,
                ..AttachOptions::default()
            };
            let session = client().attach(&container, options).await.unwrap();
            terminal::interact(session, &DetachKeys::default()).await
        }
        _ => {
            let options = ExecOptions {
                command,
                stdin: terminal::stdin_kind() == StdinKind::Stream,
                ..ExecOptions::default()
            };
            let (_, session) = client().exec(&container, &options).await.unwrap();
            terminal::follow(session).await
        }
    };
    let end = joined.unwrap();
    eprint!("<{end:?}>");
    // Nothing of the harness behind it, which would panic if nobody reads it.
    std::process::exit(0);
}

fn child(program: &str, how: &str, container: &Container, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    if program != env::current_exe().unwrap().to_str().unwrap() {
        // Whoever runs the tests may ignore a hangup, as `nohup` does: that is inherited.
        let anew = ["--ctty", "env", "--default-signal=HUP"];
        command.args(anew).arg(env::current_exe().unwrap());
    }
    let order = [&[how, &container.0], words].concat().join("\n");
    command
        .args(["--exact", "engine::terminal::as_child", "--nocapture"])
        .env("COSMOS_TEST_JOIN", order);
    command
}

/// A terminal with a joined process in it.
fn open(how: &str, container: &Container, words: &[&str]) -> Terminal {
    let mut terminal = Terminal::open(&mut child("setsid", how, container, words));
    terminal.expect(BEGIN);
    terminal
}

/// Waits for the end and its name.
#[track_caller]
fn expect_end(terminal: &mut Terminal, end: End) {
    terminal.expect(&format!("<{end:?}>"));
    assert_eq!(terminal.expect_end(), Some(0));
}

#[test]
fn keys_go_to_the_process_and_its_end_is_ours() {
    let container = Container::idle();
    let mut terminal = open("type", &container, &["sh"]);
    // Quoted, so that the echo of what is typed is not taken for its output.
    terminal.press(b"echo 'hel''lo'\r");
    terminal.expect("hello\r\n");
    assert!(terminal.is_raw());
    terminal.press(b"echo 'wai''ting'; cat\r");
    terminal.expect("waiting\r\n");
    // Echoed and then said: only now it is `cat` that an interrupt reaches.
    terminal.press(b"there\r");
    terminal.expect("there\r\nthere\r\n");
    // The prompt, first: a shell throws away what is typed while it is interrupted.
    terminal.press(b"\x03");
    terminal.expect("/ # ");
    terminal.press(b"echo 'inter''rupted'\r");
    terminal.expect("interrupted\r\n");
    terminal.press(b"exit\r");
    expect_end(&mut terminal, End::Closed);
}

#[test]
fn an_end_that_nobody_typed_is_noticed() {
    let container = Container::idle();
    let mut terminal = open("type", &container, &["sh", "-c", "sleep 1; echo bye"]);
    terminal.expect("bye\r\n");
    expect_end(&mut terminal, End::Closed);
}

#[test]
fn the_window_is_told_at_the_start_and_when_it_changes() {
    let container = Container::idle();
    let mut terminal = open("type", &container, &["sh"]);
    let script = "until [ \"$(stty size)\" = '24 80' ]; do sleep 0.1; done; echo 'first'' size'\r";
    terminal.press(script.as_bytes());
    terminal.expect("first size\r\n");
    terminal.resize(132, 43);
    let script =
        "until [ \"$(stty size)\" = '43 132' ]; do sleep 0.1; done; echo 'second'' size'\r";
    terminal.press(script.as_bytes());
    terminal.expect("second size\r\n");
}

#[test]
fn the_detach_keys_leave_it_running_and_it_can_be_joined_again() {
    let container = Container::new("run", &["-dit", "busybox:latest", "sh"]);
    let mut terminal = open("attach", &container, &[]);
    terminal.press(b"word='kept'; echo 'first'' visit'\r");
    terminal.expect("first visit\r\n");
    terminal.press(&[0x10]);
    terminal.press(&[0x11]);
    expect_end(&mut terminal, End::Detached);

    let mut terminal = open("attach", &container, &[]);
    terminal.press(b"echo \"<$word>\"\r");
    terminal.expect("<kept>\r\n");
    terminal.press(b"exit\r");
    expect_end(&mut terminal, End::Closed);
}

#[test]
fn a_signal_gives_the_terminal_back() {
    let container = Container::idle();
    for (signal, end) in [
        (Signal::TERM, End::Terminated(15)),
        (Signal::HUP, End::Terminated(1)),
        (Signal::INT, End::Interrupted),
    ] {
        let mut terminal = open("type", &container, &["sh"]);
        terminal.press(b"echo 'he''re'\r");
        terminal.expect("here\r\n");
        assert!(terminal.is_raw());
        terminal.signal(signal);
        expect_end(&mut terminal, end);
    }
}

#[test]
fn stopped_and_resumed_it_takes_the_terminal_again() {
    let container = Container::idle();
    let mut terminal = open("type", &container, &["sh"]);
    terminal.press(b"echo 'he''re'\r");
    terminal.expect("here\r\n");
    terminal.signal(Signal::STOP);
    // As a shell does with a job that was stopped.
    let mut mode = tcgetattr(&terminal.screen).unwrap();
    mode.local_modes
        .insert(LocalModes::ICANON | LocalModes::ECHO);
    rustix::termios::tcsetattr(
        &terminal.screen,
        rustix::termios::OptionalActions::Now,
        &mode,
    )
    .unwrap();
    assert!(!terminal.is_raw());
    terminal.signal(Signal::CONT);
    terminal.press(b"echo 'ba''ck'\r");
    terminal.press(b"\n");
    terminal.expect("back\r\n");
    assert!(terminal.is_raw());
}

#[test]
fn another_shell_gets_what_was_typed_while_the_first_was_missing() {
    let container = Container::idle();
    let mut terminal = open("type", &container, &["/bin/bash"]);
    terminal.press(b"echo 'ahe''ad'; exit\r");
    terminal.expect("ahead\r\n");
    assert!(!terminal.seen.contains("OCI"));
    expect_end(&mut terminal, End::Closed);
}

fn piped(container: &Container, words: &[&str]) -> Command {
    let program = env::current_exe().unwrap();
    let mut command = child(program.to_str().unwrap(), "follow", container, words);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What was written after the harness' own lines.
fn joined(stdout: &[u8]) -> &[u8] {
    let at = stdout
        .windows(BEGIN.len())
        .position(|window| window == BEGIN.as_bytes());
    &stdout[at.unwrap() + BEGIN.len()..]
}

#[test]
fn off_a_terminal_output_and_errors_stay_apart() {
    let container = Container::idle();
    let script = "echo out; echo err >&2; cat";
    let output = piped(&container, &["sh", "-c", script]).output().unwrap();
    assert_eq!(joined(&output.stdout), b"out\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "err\n<Closed>");
}

#[test]
fn what_is_sent_arrives_and_so_does_its_end() {
    let container = Container::idle();
    let mut running = piped(&container, &["cat"])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = running.stdin.take().unwrap();
    let sent: Vec<u8> = (0..3_000_000_u32)
        .map(|number| (number % 251) as u8)
        .collect();
    let expected = sent.clone();
    let sending = thread::spawn(move || input.write_all(&sent).unwrap());
    let output = running.wait_with_output().unwrap();
    sending.join().unwrap();
    assert!(
        joined(&output.stdout) == expected,
        "{} bytes",
        joined(&output.stdout).len()
    );
    assert_eq!(String::from_utf8_lossy(&output.stderr), "<Closed>");
}

#[test]
fn an_interrupt_stops_following() {
    let container = Container::idle();
    let mut running = piped(&container, &["sh", "-c", "echo started; sleep 600"])
        .spawn()
        .unwrap();
    let mut output = running.stdout.take().unwrap();
    let mut seen = Vec::new();
    while !seen.ends_with(b"started\n") {
        let mut byte = [0];
        output.read_exact(&mut byte).unwrap();
        seen.extend(byte);
    }
    kill_process(Pid::from_child(&running), Signal::INT).unwrap();
    let mut said = String::new();
    running
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "<Interrupted>");
    assert!(running.wait().unwrap().success());
}

#[test]
fn a_reader_that_left_ends_it_quietly() {
    let container = Container::idle();
    let mut running = piped(&container, &["yes"]).spawn().unwrap();
    let mut output = running.stdout.take().unwrap();
    output.read_exact(&mut [0; 10_000]).unwrap();
    drop(output);
    let mut said = String::new();
    running
        .stderr
        .take()
        .unwrap()
        .read_to_string(&mut said)
        .unwrap();
    assert_eq!(said, "<OutputClosed>");
    assert!(running.wait().unwrap().success());
}
