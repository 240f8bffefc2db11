//! Streams to and from processes in containers.

use std::time::Duration;

use super::support::{Container, client};
use cosmos::docker::attach::{
    AttachOptions, Client, Error, ExecOptions, Frame, Session, Target, WaitFor, WindowSize,
};
use tokio::time::timeout;

fn command(words: &[&str]) -> ExecOptions {
    ExecOptions {
        command: words.iter().map(|&word| word.to_owned()).collect(),
        ..ExecOptions::default()
    }
}

/// All of its output, and all of its errors.
async fn read(session: &mut Session) -> (Vec<u8>, Vec<u8>) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let reading = async {
        while let Some(frame) = session.reader.next().await.unwrap() {
            match frame {
                Frame::Out(bytes) => out.extend_from_slice(&bytes),
                Frame::Err(bytes) => err.extend_from_slice(&bytes),
            }
        }
    };
    timeout(Duration::from_secs(60), reading)
        .await
        .expect("the stream ends");
    (out, err)
}

async fn run(container: &Container, options: &ExecOptions) -> (String, String, i64) {
    let (exec, mut session) = client().exec(&container.0, options).await.unwrap();
    let (out, err) = read(&mut session).await;
    let code = client().exec_end(&exec).await.unwrap();
    (
        String::from_utf8(out).unwrap(),
        String::from_utf8(err).unwrap(),
        code,
    )
}

/// Bytes without a pattern, the same in every run.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..length / 8).flat_map(|_| next()).collect()
}

#[tokio::test]
async fn eight_mebibytes_come_back_as_they_were_sent() {
    let container = Container::idle();
    let options = ExecOptions {
        stdin: true,
        ..command(&["cat"])
    };
    let (exec, session) = client().exec(&container.0, &options).await.unwrap();
    let Session {
        mut reader,
        mut writer,
        ..
    } = session;
    let sent = noise(8 * 1024 * 1024);
    let expected = sent.clone();
    let sending = tokio::spawn(async move {
        writer.write_all(&sent).await.unwrap();
        writer.finish().await.unwrap();
        writer
    });
    let mut received = Vec::new();
    while let Some(frame) = reader.next().await.unwrap() {
        received.extend_from_slice(frame.bytes());
    }
    assert!(
        received == expected,
        "{} bytes of {}",
        received.len(),
        expected.len()
    );
    assert_eq!(client().exec_end(&exec).await.unwrap(), 0);
    drop(sending.await.unwrap());
}

#[tokio::test]
async fn output_errors_and_code_of_a_command_arrive_apart() {
    let container = Container::idle();
    let script = "printf 'a\\0\\377' | od -c | head -1; echo oh >&2; exit 3";
    let (out, err, code) = run(&container, &command(&["sh", "-c", script])).await;
    assert_eq!(out, "0000000   a  \\0 377\n");
    assert_eq!((err.as_str(), code), ("oh\n", 3));
}

#[tokio::test]
async fn user_folder_and_environment_are_those_asked_for() {
    let container = Container::idle();
    let options = ExecOptions {
        user: Some("65534".to_owned()),
        workdir: Some("/tmp".to_owned()),
        env: vec!["GREETING=good day".to_owned()],
        ..command(&["sh", "-c", "id -u; pwd; echo $GREETING"])
    };
    let (out, ..) = run(&container, &options).await;
    assert_eq!(out, "65534\n/tmp\ngood day\n");
}

#[tokio::test]
async fn a_command_that_is_not_there_is_told_before_anything_is_shown() {
    let container = Container::idle();
    for (words, tty, code, cause) in [
        (
            ["/bin/bash"],
            true,
            127,
            "cannot run `/bin/bash`: no such file or directory",
        ),
        (
            ["/bin/bash"],
            false,
            127,
            "cannot run `/bin/bash`: no such file or directory",
        ),
        (["bash"], true, 127, "cannot run `bash`: not found in $PATH"),
        (
            ["/etc/passwd"],
            true,
            126,
            "cannot run `/etc/passwd`: permission denied",
        ),
    ] {
        let options = ExecOptions {
            tty,
            stdin: tty,
            ..command(&words)
        };
        let failure = client().exec(&container.0, &options).await.unwrap_err();
        assert_eq!(failure.cannot_run(), Some(code));
        assert_eq!(failure.to_string(), cause);
    }
}

#[tokio::test]
async fn what_only_looks_like_the_engines_complaint_is_output() {
    let container = Container::idle();
    let lie = "OCI runtime exec failed: exec: \"x\": no such file or directory";
    let (out, _, code) = run(&container, &command(&["echo", lie])).await;
    assert_eq!((out.trim_end(), code), (lie, 0));
    let (out, ..) = run(
        &container,
        &command(&["sh", "-c", "printf O; sleep 1; printf K"]),
    )
    .await;
    assert_eq!(out, "OK");
}

#[tokio::test]
async fn a_command_that_prints_nothing_is_confirmed_at_once() {
    let container = Container::idle();
    let (client, options) = (client(), command(&["sleep", "600"]));
    let starting = client.exec(&container.0, &options);
    timeout(Duration::from_secs(10), starting)
        .await
        .expect("it is confirmed")
        .unwrap();
    let (out, err, code) = run(&container, &command(&["true"])).await;
    assert_eq!((out.as_str(), err.as_str(), code), ("", "", 0));
}

#[tokio::test]
async fn a_terminal_learns_its_size() {
    let container = Container::idle();
    let options = ExecOptions {
        tty: true,
        stdin: true,
        ..command(&["sh"])
    };
    let (_exec, mut session) = client().exec(&container.0, &options).await.unwrap();
    for (columns, rows) in [(91, 31), (132, 43)] {
        session
            .resizer
            .resize(WindowSize { columns, rows })
            .await
            .unwrap();
        // Split, so that the terminal's echo of it is not taken for the answer.
        session
            .writer
            .write_all(b"echo 'size' $(stty size) 'end'\r")
            .await
            .unwrap();
        read_until(&mut session, &format!("size {rows} {columns} end\r\n")).await;
    }
}

#[tokio::test]
async fn the_end_of_typed_input_ends_a_shell() {
    let container = Container::idle();
    let options = ExecOptions {
        tty: true,
        stdin: true,
        ..command(&["sh", "-c", "cat; sleep 0.2; echo last; exit 4"])
    };
    let (exec, mut session) = client().exec(&container.0, &options).await.unwrap();
    session.writer.write_all(b"line\n\x04").await.unwrap();
    let (out, _) = read(&mut session).await;
    assert_eq!(String::from_utf8(out).unwrap(), "line\r\nline\r\nlast\r\n");
    assert_eq!(client().exec_end(&exec).await.unwrap(), 4);
}

async fn read_until(session: &mut Session, expected: &str) {
    let mut seen = String::new();
    let reading = async {
        while !seen.contains(expected) {
            let frame = session
                .reader
                .next()
                .await
                .unwrap()
                .expect("the shell lives on");
            seen.push_str(&String::from_utf8_lossy(frame.bytes()));
        }
    };
    let found = timeout(Duration::from_secs(30), reading).await;
    assert!(found.is_ok(), "{expected:?} is not in {seen:?}");
}

#[tokio::test]
async fn joined_before_its_start_a_container_loses_no_output() {
    for tty in [false, true] {
        let script = "seq 1 20000; echo last >&2; exit 7";
        let terminal = if tty { "--tty=true" } else { "--tty=false" };
        let container = Container::created(&[terminal, "busybox:latest", "sh", "-c", script]);
        let options = AttachOptions {
            tty,
            ..AttachOptions::default()
        };
        let mut session = client().attach(&container.0, options).await.unwrap();
        let waiting = client()
            .wait(&container.0, WaitFor::NextExit)
            .await
            .unwrap();
        client().start(&container.0).await.unwrap();
        let (out, err) = read(&mut session).await;
        assert_eq!(waiting.exit_code().await.unwrap(), 7);

        let (out, err) = (
            String::from_utf8(out).unwrap(),
            String::from_utf8(err).unwrap(),
        );
        let mut expected: Vec<String> = (1..=20000).map(|number| number.to_string()).collect();
        if tty {
            expected.push("last".to_owned());
        }
        assert_eq!(out.lines().collect::<Vec<_>>(), expected);
        assert_eq!(err, if tty { "" } else { "last\n" });
    }
}

#[tokio::test]
async fn a_container_reads_to_the_end_of_what_is_sent() {
    let container =
        Container::created(&["-i", "busybox:latest", "sh", "-c", "sha256sum; echo done"]);
    let options = AttachOptions {
        stdin: true,
        ..AttachOptions::default()
    };
    let mut session = client().attach(&container.0, options).await.unwrap();
    let waiting = client()
        .wait(&container.0, WaitFor::NextExit)
        .await
        .unwrap();
    client().start(&container.0).await.unwrap();
    session.writer.write_all(b"abc").await.unwrap();
    session.writer.finish().await.unwrap();
    let (out, _) = read(&mut session).await;
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!("{digest}  -\ndone\n")
    );
    assert_eq!(waiting.exit_code().await.unwrap(), 0);
}

#[tokio::test]
async fn a_container_that_removes_itself_still_tells_its_code() {
    let container = Container::created(&["--rm", "busybox:latest", "sh", "-c", "exit 5"]);
    let waiting = client().wait(&container.0, WaitFor::Removed).await.unwrap();
    client().start(&container.0).await.unwrap();
    assert_eq!(waiting.exit_code().await.unwrap(), 5);
}

#[tokio::test]
async fn each_refusal_says_what_is_wrong() {
    let missing = "cosmos-test-there-is-no-such-container";
    let failure = client()
        .attach(missing, AttachOptions::default())
        .await
        .unwrap_err();
    assert_eq!(failure.to_string(), format!("No such container: {missing}"));
    let failure = client().container_is_running(missing).await.unwrap_err();
    assert_eq!(failure.to_string(), format!("No such container: {missing}"));

    let container = Container::created(&["busybox:latest", "/nope"]);
    let failure = client()
        .exec_create(&container.0, &command(&["true"]))
        .await
        .unwrap_err();
    assert!(matches!(failure, Error::NotRunning { .. }), "{failure}");
    assert!(!client().container_is_running(&container.0).await.unwrap());

    let failure = client().start(&container.0).await.unwrap_err();
    assert_eq!(failure.cannot_run(), Some(127));
    assert_eq!(
        failure.to_string(),
        "cannot run `/nope`: no such file or directory"
    );

    let nowhere = Client::new(Target::unix("/nonexistent/engine.sock", "1.41"));
    let failure = nowhere.container_is_running("x").await.unwrap_err();
    let said = failure.to_string();
    assert!(
        said.starts_with("the container engine at unix:///nonexistent/engine.sock does not answer"),
        "{said}"
    );
}
