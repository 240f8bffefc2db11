//! How many instructions the work takes that must not grow: `scripts/counts` counts them
//! and compares with `benches/counts.txt`.
//!
//! Time differs from run to run and from machine to machine, a count hardly does. Each
//! work is done a few times and some more times, under `valgrind --tool=callgrind`; the
//! difference of both counts, by the difference of the times, is what one costs, without
//! what it takes to prepare it.
//!
//! ```sh
//! cargo bench --bench counts -- plan 2     # the work itself, twice
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and its output is for a script"
)]

use std::{
    env, fs,
    hint::black_box,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::SystemTime,
};

use cosmos::{
    config::{FILE_NAME, Sources, load},
    plan::plan,
    traffic::{
        GuardConfig, Routes, Shared, Token,
        routes::{Address, Leads, Rule, Target, Upstream, UpstreamKey},
        serve,
    },
    workspace::{CaptureMode, Memory, Observed, Tokenless, Workspace},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

#[path = "../tests/fixtures/config/many.rs"]
mod many;

/// A work, what one of it is, and how often it is done at first and then.
const WORKS: [(&str, &str, u32, u32); 5] = [
    ("load", "a config of 100 services read", 1, 2),
    ("plan", "1,000 services planned", 1, 2),
    ("print", "a plan of 1,000 services printed", 1, 2),
    ("route", "a host found among 1,000 routes", 1_000, 11_000),
    ("request", "a GET of 1 KiB through the proxy", 100, 600),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [work, times] if times.parse::<u32>().is_ok() => {
            let times = times.parse().unwrap();
            match *work {
                "load" => read(times),
                "plan" => planned(times),
                "print" => printed(times),
                "route" => found(times),
                "request" => requested(times),
                other => panic!("there is no work `{other}`"),
            }
        }
        // `cargo test --benches` only wants to know that it builds.
        words if words.contains(&"--list") => {}
        _ => {
            for (work, what, few, more) in WORKS {
                println!("{work}\t{few}\t{more}\t{what}");
            }
        }
    }
}

fn workspace(services: usize, read: impl Fn(&Sources)) -> Workspace {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join(FILE_NAME);
    fs::write(&file, many::services(services)).unwrap();
    let sources = Sources {
        file,
        ..Sources::default()
    };
    read(&sources);
    load(&sources).unwrap().workspace
}

fn read(times: u32) {
    workspace(100, |sources| {
        for _ in 0..times {
            black_box(load(sources).unwrap());
        }
    });
}

fn planned(times: u32) {
    let workspace = workspace(1_000, |_| ());
    for _ in 0..times {
        black_box(plan(&workspace, &Observed::default(), &Memory::default()));
    }
}

fn printed(times: u32) {
    let workspace = workspace(1_000, |_| ());
    let plan = plan(&workspace, &Observed::default(), &Memory::default());
    for _ in 0..times {
        black_box(plan.to_string());
    }
}

fn host(number: usize) -> String {
    format!("s{number}.shop.localhost")
}

fn routes(count: usize, upstream: SocketAddr) -> Routes {
    Routes::new((0..count).map(|number| Rule {
        host: Some(host(number)),
        path: None,
        target: Arc::new(Target {
            name: format!("service `s{number}` of `shop`"),
            workspace: Some("shop".to_owned()),
            service: Some(format!("s{number}")),
            url: format!("http://{}:8080", host(number)),
            hold: None,
            capture: CaptureMode::Off,
            leads: Leads::To(vec![Upstream {
                key: UpstreamKey {
                    id: format!("origin{number}"),
                    started: SystemTime::UNIX_EPOCH,
                    address: Address::Socket(upstream),
                },
                name: format!("shop-s{number}-1"),
                generation: Some("made-1".to_owned()),
            }]),
        }),
    }))
}

fn found(times: u32) {
    let routes = routes(1_000, (Ipv4Addr::LOCALHOST, 1).into());
    let hosts = [host(0), host(500), host(999), "nobody.localhost".to_owned()];
    for host in hosts.iter().cycle().take(times.try_into().unwrap()) {
        black_box(routes.find(black_box(host), "/index.html"));
    }
}

/// One after the other on one kept connection, with client, proxy and origin on one
/// thread: so all of it is counted, and the proxy is most of it.
fn requested(times: u32) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let origin = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = proxy.local_addr().unwrap();
        let guard = GuardConfig {
            token: Token::new("0123456789abcdef0123456789abcdef").unwrap(),
            port: address.port(),
            tokenless: Tokenless::Off,
            is_stream: |_| false,
        };
        let nobody = Arc::new(|_, _| unreachable!("nobody manages"));
        let shared = Shared::new(guard, Box::new(io::sink()), nobody);
        shared.set_routes(Arc::new(routes(1_000, origin.local_addr().unwrap())));
        tokio::spawn(answer(origin));
        tokio::spawn(serve(proxy, shared, std::future::pending()));

        let mut client = TcpStream::connect(address).await.unwrap();
        let request = format!(
            "GET /index.html?page=2 HTTP/1.1\r\nHost: {}:{}\r\nUser-Agent: counted\r\n\
             Accept: text/html\r\nCookie: session=0123456789abcdef\r\n\r\n",
            host(500),
            address.port()
        );
        let mut answer = vec![0; 64 << 10];
        for _ in 0..times {
            client.write_all(request.as_bytes()).await.unwrap();
            let mut length = 0;
            while !answer[..length].ends_with(END) {
                let read = client.read(&mut answer[length..]).await.unwrap();
                assert_ne!(read, 0, "it was closed");
                length += read;
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 OK"));
        }
    });
}

/// What the body of the origin ends with.
const END: &[u8] = b"the end.";

async fn answer(origin: TcpListener) {
    let body = [&[b'x'; 1024 - END.len()], END].concat();
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = [head.as_bytes(), &body].concat();
    loop {
        let (mut stream, _) = origin.accept().await.unwrap();
        let answer = answer.clone();
        tokio::spawn(async move {
            let mut head = [0; 4096];
            // A request is small, and none is sent before the last was answered.
            while stream.read(&mut head).await.is_ok_and(|length| length > 0) {
                stream.write_all(&answer).await.unwrap();
            }
        });
    }
}
