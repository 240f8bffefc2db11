//! Clients that keep the proxy busy with nothing.

use std::{
    env,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Command, Stdio},
};

use super::most_memory;
use crate::engine::workspace::support::{Place, inspect, until};

/// A service that answers whatever no other route takes, with a page and a large file.
fn place() -> Place {
    let place = Place::new(
        "[services.web]\nimage = \"nginx:latest\"\nroute = { port = 81, default = true }\n\
         health = { tcp = 81, interval = \"100ms\" }\n\
         configs = { \"web.conf\" = \"/etc/nginx/conf.d/web.conf\", \"big\" = \"/srv/big\" }\n",
    );
    place.write(
        "web.conf",
        "server { listen 81; location = / { return 200 \"here\"; } location / { root /srv; } }\n",
    );
    place.write("big", &"x".repeat(512 << 10));
    let _ = place.cosmos(&["up"]).succeeded();
    place
}

/// What the budget says of ten thousand idle connections.
const IDLE_MEGABYTES: u64 = 128;
/// A thousand busy ones may have more, in a build that was not optimised; the engine
/// would end the proxy at 256.
const BUSY_MEGABYTES: u64 = 200;

#[test]
fn the_four_attacks_of_slowhttptest_leave_others_served() {
    let place = place();
    for attack in [
        // Heads that never end, and bodies that do not.
        &["-H", "-i", "2"][..],
        &["-B", "-i", "2", "-s", "8192"],
        // A thousand ranges of one file.
        &["-R", "-a", "10", "-b", "3000"],
        // Large answers through a tiny window, several of them on each connection.
        &[
            "-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32", "-k", "3",
        ],
    ] {
        let path = if attack[0] == "-X" { "big" } else { "" };
        let url = format!("http://127.0.0.1:{}/{path}", place.port);
        let mut slow = Command::new("slowhttptest")
            .args(attack)
            .args(["-c", "1000", "-r", "500", "-l", "8", "-p", "3", "-u", &url])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut served = 0;
        while slow.try_wait().unwrap().is_none() {
            let answer = place.get("web", "/").unwrap();
            assert_eq!(
                (answer.status, answer.body.as_str()),
                (200, "here"),
                "{attack:?}"
            );
            served += 1;
        }
        let mut said = String::new();
        slow.stdout.unwrap().read_to_string(&mut said).unwrap();
        // It looks itself, with a connection of its own, every few seconds.
        let available = said.matches("service available:").count();
        assert!(available > 0 && !said.contains("NO"), "{attack:?}: {said}");
        println!(
            "{attack:?}: {served} others served, {} MB",
            most_memory(&place)
        );
    }
    assert!(
        most_memory(&place) < BUSY_MEGABYTES,
        "{} MB",
        most_memory(&place)
    );
}

const HOLD: &str = "COSMOS_TEST_HOLD";

/// Holds connections for the test below, in a process of its own: one process may not
/// have files enough for all.
#[test]
fn connections_are_held_for_another_test() {
    let Ok(held) = env::var(HOLD) else { return };
    let (address, count) = held.split_once(' ').unwrap();
    let mut open = Vec::new();
    for _ in 0..count.parse().unwrap() {
        // Asked once, or it is a head that is waited for, and not for long.
        let mut stream = TcpStream::connect(address).unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            .unwrap();
        let mut answer = [0; 64];
        assert!(stream.read(&mut answer).unwrap() > 0);
        open.push(stream);
    }
    println!("holding");
    let _ = std::io::stdin().read(&mut [0]);
}

fn hold(address: &str, count: u32) -> Child {
    let mut child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "--nocapture"])
        .arg("engine::traffic::attacked::connections_are_held_for_another_test")
        .env(HOLD, format!("{address} {count}"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stdout.take().unwrap());
    let is_held = said.lines().any(|line| line.unwrap().contains("holding"));
    assert!(is_held, "the connections were not made");
    child
}

#[test]
fn twenty_thousand_idle_connections_leave_others_served_within_the_budget() {
    let place = place();
    // To the container itself: what publishes its port keeps two more for each.
    let format = format!(
        "{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}:8080",
        place.network()
    );
    let address = inspect(&place.proxy(), &format).unwrap();
    let mut holders = vec![hold(&address, 10_000), hold(&address, 10_000)];
    for _ in 0..100 {
        assert_eq!(place.get("web", "/").unwrap().status, 200);
    }
    let memory = most_memory(&place);
    assert!(memory < IDLE_MEGABYTES, "{memory} MB");
    println!("20,000 idle connections: {memory} MB");
    for holder in &mut holders {
        drop(holder.stdin.take());
        holder.wait().unwrap();
    }
    // What they took is free again.
    until("room for another", || {
        let answer = place.get("web", "/").ok()?;
        (answer.status == 200).then_some(())
    });
}
