//! A service that is replaced under load.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpStream,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
};

use crate::engine::workspace::support::Place;

const CONNECTIONS: u32 = 64;
const REPLACEMENTS: u32 = 20;
const AT_LEAST: u64 = 10_000;

/// Says who it is, and writes down every POST: in a folder of the project, as what
/// a container says goes with it.
fn config(round: u32) -> String {
    format!(
        "[services.web]\nimage = \"nginx:latest\"\nroute = 81\nupdate = \"start-first\"\n\
         env = {{ ROUND = \"{round}\" }}\nmounts = [\"./seen:/seen\"]\n\
         configs = {{ \"web.conf\" = \"/etc/nginx/conf.d/web.conf\" }}\n\
         health = {{ tcp = 81, interval = \"100ms\" }}\n"
    )
}

const NGINX: &str = "log_format posts '$request_method $uri';\n\
    server { listen 81; access_log /seen/all posts; keepalive_requests 1000000;\n\
             location / { return 200 \"$hostname\"; } }\n";

/// A connection that is used again and again, as browsers and programs do.
struct Kept {
    host: String,
    port: u16,
    open: Option<BufReader<TcpStream>>,
}

impl Kept {
    /// Sends a request and reads its answer to the end: the status and the body.
    fn ask(&mut self, method: &str, path: &str) -> Result<(u16, String), std::io::Error> {
        let stream = match &mut self.open {
            Some(stream) => stream,
            None => {
                let stream = TcpStream::connect(("127.0.0.1", self.port))?;
                self.open.insert(BufReader::new(stream))
            }
        };
        let length = if method == "POST" {
            "Content-Length: 4\r\n"
        } else {
            ""
        };
        let body = if method == "POST" { "body" } else { "" };
        write!(
            stream.get_mut(),
            "{method} {path} HTTP/1.1\r\nHost: {}\r\n{length}\r\n{body}",
            self.host
        )?;
        let (mut status, mut length, mut closes) = (0, 0, false);
        for number in 0.. {
            let mut line = String::new();
            if stream.read_line(&mut line)? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end().to_ascii_lowercase();
            if number == 0 {
                status = line.split(' ').nth(1).unwrap().parse().unwrap();
            } else if let Some(value) = line.strip_prefix("content-length: ") {
                length = value.parse().unwrap();
            } else if line == "connection: close" {
                closes = true;
            } else if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        stream.read_exact(&mut body)?;
        if closes {
            self.open = None;
        }
        Ok((status, String::from_utf8_lossy(&body).into_owned()))
    }
}

#[test]
fn twenty_replacements_under_64_connections_fail_no_request_and_double_no_post() {
    let place = Place::new(&config(0));
    place.write("web.conf", NGINX);
    let seen = place.folder.join("seen");
    fs::create_dir(&seen).unwrap();
    // For the user that nginx gives itself.
    fs::set_permissions(&seen, fs::Permissions::from_mode(0o777)).unwrap();
    let _ = place.cosmos(&["up"]).succeeded();

    let (is_over, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    let asking = |connection: u32| {
        let mut kept = Kept {
            host: format!("web.{}.localhost:{}", place.name, place.port),
            port: place.port,
            open: None,
        };
        let (mut failed, mut posts) = (Vec::new(), Vec::new());
        let mut number = 0;
        while !is_over.load(Ordering::Relaxed) || asked.load(Ordering::Relaxed) < AT_LEAST {
            number += 1;
            let method = if number % 2 == 0 { "POST" } else { "GET" };
            let path = format!("/{connection}/{number}");
            match kept.ask(method, &path) {
                Ok((200, _)) => {}
                other => failed.push(format!("{method} {path}: {other:?}")),
            }
            if method == "POST" {
                posts.push(format!("POST {path}"));
            }
            asked.fetch_add(1, Ordering::Relaxed);
        }
        (failed, posts)
    };
    let (failed, posts) = thread::scope(|scope| {
        let clients: Vec<_> = (0..CONNECTIONS)
            .map(|connection| scope.spawn(move || asking(connection)))
            .collect();
        let mut ups = Vec::new();
        for round in 1..=REPLACEMENTS {
            place.write("cosmos.toml", &config(round));
            ups.push(place.cosmos(&["up"]));
        }
        is_over.store(true, Ordering::Relaxed);
        let (mut failed, mut posts) = (Vec::new(), Vec::new());
        for client in clients {
            let (its_failed, its_posts) = client.join().unwrap();
            failed.extend(its_failed);
            posts.extend(its_posts);
        }
        for up in ups {
            let _ = up.succeeded();
        }
        (failed, posts)
    });
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());

    let all = fs::read_to_string(seen.join("all")).unwrap();
    let arrived: Vec<&str> = all
        .lines()
        .filter(|line| line.starts_with("POST"))
        .collect();
    let distinct: HashSet<&str> = arrived.iter().copied().collect();
    assert_eq!(arrived.len(), distinct.len(), "a POST came twice");
    assert_eq!(distinct, posts.iter().map(String::as_str).collect());
    println!(
        "{} requests, {} of them POSTs, over {REPLACEMENTS} replacements",
        asked.load(Ordering::Relaxed),
        posts.len()
    );
}
