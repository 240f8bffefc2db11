//! Bodies larger than any memory.

use std::{
    env,
    io::{Read, Write as _},
    net::{TcpListener, TcpStream},
    thread,
};

use super::most_memory;
use crate::engine::workspace::support::{Place, docker};

/// As long as the body of a message is, in GiB; `COSMOS_TEST_GIB=10` for what the proxy
/// promises, which takes a minute or two.
fn gibibytes() -> u64 {
    env::var("COSMOS_TEST_GIB").map_or(1, |count| count.parse().unwrap())
}

static PIECE: [u8; 64 << 10] = [b'x'; 64 << 10];

/// Reads a head, byte by byte so that nothing of the body is taken with it.
fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

fn send(stream: &mut TcpStream, length: u64) {
    for _ in 0..length / PIECE.len() as u64 {
        stream.write_all(&PIECE).unwrap();
    }
}

fn receive(stream: &mut TcpStream, length: u64) {
    let mut piece = vec![0; PIECE.len()];
    let mut left = length;
    while left > 0 {
        let read = stream.read(&mut piece).unwrap();
        assert!(read > 0, "{left} bytes before its end");
        assert!(piece[..read].iter().all(|byte| *byte == b'x'));
        left -= read as u64;
    }
}

/// A server that sends as much as it is asked for, and takes as much as it is sent.
fn serve(length: u64) -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let is_upload = head(&mut stream).starts_with("PUT ");
            if is_upload {
                receive(&mut stream, length);
            }
            let told = if is_upload { 0 } else { length };
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {told}\r\n\r\n");
            stream.write_all(head.as_bytes()).unwrap();
            if !is_upload {
                send(&mut stream, length);
            }
        }
    });
    port
}

#[test]
fn bodies_of_gibibytes_pass_in_constant_memory_both_ways() {
    let length = gibibytes() << 30;
    let port = serve(length);
    let service = "[services.it]\nimage = \"busybox:latest\"\ncommand = [\"sleep\", \"10000\"]\n";
    let place = Place::up(service);
    let format = "{{(index .IPAM.Config 0).Gateway}}";
    let host = docker(&["network", "inspect", &place.network(), "--format", format]);
    place.write(
        "cosmos.toml",
        &format!(
            "{service}[routes.far]\nupstream = \"http://{}:{port}\"\n",
            host.trim()
        ),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let name = format!("far.{}.localhost", place.name);
    let ask = |request: &str, upload: u64, download: u64| {
        let mut stream = TcpStream::connect(("127.0.0.1", place.port)).unwrap();
        write!(
            stream,
            "{request} / HTTP/1.1\r\nhost: {name}\r\ncontent-length: {upload}\r\n\r\n"
        )
        .unwrap();
        send(&mut stream, upload);
        assert!(head(&mut stream).starts_with("HTTP/1.1 200 "));
        receive(&mut stream, download);
    };
    let before = most_memory(&place);
    ask("GET", 0, length);
    ask("PUT", length, 0);
    let after = most_memory(&place);
    println!(
        "{} GiB each way: {before} MB before, {after} MB at most",
        gibibytes()
    );
    assert!(after < before + 16, "{before} MB before, {after} MB after");
}
