//! By another user of this machine, who takes the proxy's port while nobody has it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use super::Stronghold;
use crate::engine::workspace::{
    idle,
    support::{docker, inspect},
};

/// Somebody at a port, who writes down all that they hear. They go with this.
struct Impostor {
    port: u16,
    heard: Arc<Mutex<String>>,
    is_over: Arc<AtomicBool>,
    listens: Option<JoinHandle<()>>,
}

impl Impostor {
    fn at(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (heard, is_over) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (noted, is_gone) = (Arc::clone(&heard), Arc::clone(&is_over));
        let listens = thread::spawn(move || {
            for client in listener.incoming() {
                if is_gone.load(Ordering::Relaxed) {
                    return;
                }
                listen(client.unwrap(), &noted);
            }
        });
        Self {
            port,
            heard,
            is_over,
            listens: Some(listens),
        }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It waits for whoever comes next.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        let _ = self.listens.take().unwrap().join();
    }
}

fn listen(mut client: TcpStream, heard: &Mutex<String>) {
    let mut said = vec![0; 64 << 10];
    while let Ok(count @ 1..) = client.read(&mut said) {
        let said = String::from_utf8_lossy(&said[..count]);
        heard.lock().unwrap().push_str(&said);
        // As a proxy would, but for what it cannot know.
        let _ = client.write_all(
            b"HTTP/1.1 401 Unauthorized\r\nCosmos-Proof: 00\r\nContent-Length: 0\r\n\r\n",
        );
    }
}

#[test]
fn whoever_takes_the_proxys_port_is_not_sent_the_token() {
    let stronghold = Stronghold::new(&idle("one", ""));
    let place = &stronghold.place;
    let token = place.token();
    docker(&["stop", &place.proxy()]);
    let impostor = Impostor::at(place.port);
    for verb in [&["status"][..], &["up"], &["stop", "one"]] {
        let said = place.cosmos(verb);
        assert_ne!(said.code, 0, "{said}");
    }
    let heard = impostor.heard.lock().unwrap().clone();
    assert!(heard.contains("cosmos-challenge"), "{heard}");
    assert!(!heard.contains(&token), "{heard}");
}

#[test]
fn the_token_is_in_nothing_that_is_said_shown_or_kept_but_its_two_files() {
    let stronghold = Stronghold::new(&idle("one", ""));
    let place = &stronghold.place;
    let token = place.token();
    let backup = place.elsewhere().join("state.db");
    let backup = backup.to_str().unwrap();
    let mut texts = Vec::new();
    for verb in [
        &["up"][..],
        &["up", "--progress", "json"],
        &["status", "--json"],
        &["plan", "--json"],
        &["history", "--json"],
        &["why", "one"],
        &["config", "--json"],
        &["logs", "one"],
        &["logs", "--http", "--json"],
        &["proxy", "status", "--json"],
        &["proxy", "logs"],
        &["stop", "nobody"],
        &["state", "backup", backup],
    ] {
        let said = place.cosmos(verb);
        texts.push((verb.join(" "), said.stdout + &said.stderr));
    }
    let process = inspect(&place.proxy(), "{{.State.Pid}}").unwrap();
    for file in [
        backup.to_owned(),
        format!("/proc/{process}/cmdline"),
        format!("/proc/{process}/environ"),
    ] {
        let bytes = fs::read(&file).unwrap();
        texts.push((file, String::from_utf8_lossy(&bytes).into_owned()));
    }
    for container in [place.proxy(), place.container("one")] {
        texts.push((
            format!("inspect {container}"),
            docker(&["inspect", &container]),
        ));
        texts.push((format!("logs {container}"), docker(&["logs", &container])));
    }
    let folder = place.elsewhere().join("volume");
    let state = format!("{}:/var/lib/cosmos", place.proxy());
    docker(&["cp", &state, folder.to_str().unwrap()]);
    let mut kept = 0;
    for file in fs::read_dir(&folder).unwrap() {
        let file = file.unwrap().path();
        let text = String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned();
        match file.ends_with("token") {
            true => kept += usize::from(text.trim() == token),
            false => texts.push((file.display().to_string(), text)),
        }
    }
    assert_eq!(kept, 1);
    for (what, text) in texts {
        assert!(!text.is_empty() || what.starts_with("logs"), "{what}");
        assert!(!text.contains(&token), "{what}");
    }
}

#[test]
fn a_token_that_was_rotated_opens_nothing_and_the_new_one_is_found() {
    let stronghold = Stronghold::new(&idle("one", ""));
    let place = &stronghold.place;
    let old = place.token();
    let said = place.cosmos(&["proxy", "rotate-token"]).succeeded();
    assert_eq!(
        said.stdout,
        "token rotated; `cosmos` finds the new one by itself\n"
    );
    let new = place.token();
    assert_ne!(new, old);
    assert!(!said.stdout.contains(&new) && !said.stderr.contains(&new));
    let ask = |token: &str| {
        let request = format!(
            "GET /_cosmos/v1/version HTTP/1.1\r\nHost: localhost:{}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n",
            place.port
        );
        crate::engine::workspace::support::ask(place.port, &request)
            .unwrap()
            .status
    };
    assert_eq!((ask(&old), ask(&new)), (401, 200));
    // It outlives the proxy's process, as the first one did.
    docker(&["restart", &place.proxy()]);
    let _ = place.cosmos(&["up"]).was_up_to_date();
    assert_eq!(place.token(), new);
    let log = docker(&["logs", &place.proxy()]);
    assert!(!log.contains(&new) && !log.contains(&old));
}
