//! What a request through the proxy costs, against nginx, haproxy and Caddy.
//!
//! All of them stand on one core, between one client (`wrk`, 64 kept connections) and
//! one origin (an nginx that answers from memory), which share another. They are
//! measured in turn, a few seconds each, so that a busy machine slows all; what is
//! said is the median of the rounds. Cosmos is there twice, with nothing captured and
//! with everything captured that the limits allow, as is its default. It needs two
//! cores and Debian's packages:
//!
//! ```sh
//! apt-get install nginx-light haproxy caddy wrk
//! cargo bench --bench traffic            # or: -- 30, for as many rounds
//! cargo bench --bench traffic -- growth  # with more routes, and more connections
//! ```
//!
//! nginx keeps its upstream connections and has buffers in which the larger body
//! fits; neither it nor haproxy writes a log. Cosmos writes its own, a line each
//! request, as it always does.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and its output is for people"
)]

use std::{
    env,
    fs::{self, File},
    net::{SocketAddr, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    sync::Arc,
    thread::sleep,
    time::{Duration, Instant, SystemTime},
};

use mimalloc::MiMalloc;

use cosmos::{
    traffic::{
        GuardConfig, Routes, Shared, Token,
        routes::{Address, Leads, Rule, Target, Upstream, UpstreamKey},
        serve,
    },
    workspace::{CaptureMode, Tokenless},
};
use tempfile::TempDir;

/// As the executable itself has it.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

#[path = "peers/report.rs"]
#[allow(dead_code, reason = "its other users have budgets of other kinds")]
mod report;

use report::{Budget, Row};

const HOST: &str = "web.shop.localhost";
const CONNECTIONS: u32 = 64;
const ROUNDS: usize = 7;
/// How long each is loaded in each round.
const LOADED_FOR: &str = "3s";

/// Whoever is measured has a core alone; who loads it and who answers have the other.
const MEASURED: &str = "0";
const AROUND: &str = "1";

/// As many routes as one workspace has, and as forty of forty.
const ROUTES: [usize; 4] = [1, 10, 100, 1_000];
const CROWDS: [u32; 4] = [10, 100, 1_000, 10_000];

const BODIES: [(&str, usize); 2] = [("1k", 1024), ("64k", 64 * 1024)];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        // What this program starts itself as.
        ["proxy", listen, upstream, log, capture, routes] => {
            let capture = match *capture {
                "off" => CaptureMode::Off,
                _ => CaptureMode::Redacted,
            };
            proxy(listen, upstream, log, capture, routes.parse().unwrap());
        }
        // `cargo test --benches` only wants to know that it builds.
        words if words.contains(&"--list") => {}
        words if words.contains(&"growth") => growth(),
        words => {
            let rounds = words.iter().find_map(|word| word.parse().ok());
            measure(rounds.unwrap_or(ROUNDS));
        }
    }
}

fn measure(rounds: usize) {
    let place = Place::new();
    let peers = [
        place.nginx(1),
        place.haproxy(),
        place.caddy(),
        place.cosmos("cosmos", "off", 1),
        place.cosmos("captures", "redacted", 1),
    ];
    for (body, size) in BODIES {
        let seen = in_turn(&place, &peers, rounds, body, CONNECTIONS);
        println!("{size} bytes, {CONNECTIONS} connections, {rounds} rounds of {LOADED_FOR}:");
        let [nginx, _, _, off, on] = &seen[..] else {
            unreachable!("one for each peer");
        };
        for (peer, own) in peers.iter().zip(&seen) {
            let figure = |of| (median(own.iter().map(of)), ratio(own, nginx, of));
            let (requests, more) = figure(|seen| seen.requests_a_second);
            let (cpu, costs) = figure(|seen| seen.cpu_micros);
            let (p99, waits) = figure(|seen| seen.p99_millis);
            println!(
                "  {:<8} {requests:>9.0} req/s x {more:.2}   {cpu:>7.1} us CPU a request x {costs:.2}   \
                 p99 {p99:>6.2} ms x {waits:.2}",
                peer.name
            );
        }
        let kept = ratio(on, off, |seen| seen.requests_a_second);
        println!("  capturing leaves x {kept:.2} of the requests a second");
        let row = |of: &str, unit: &'static str, figure: fn(&Seen) -> f64| {
            let what = format!("{size} bytes, {CONNECTIONS} connections: {of}");
            let mut row = Row::new(format!("traffic-{body}-{}", of.replace(' ', "-")), what);
            row.unit = unit;
            // Ours first, as in every other row.
            for at in [3, 4, 0, 1, 2] {
                row = row.of(peers[at].name, seen[at].iter().map(figure));
            }
            row
        };
        row("requests", "a second", |seen| seen.requests_a_second).report();
        row("processor", "us a request", |seen| seen.cpu_micros)
            .within(Budget::Times("nginx", 1.15))
            .report();
        row("p99", "ms", |seen| seen.p99_millis)
            .within(Budget::Times("nginx", 1.0))
            .report();
    }
}

/// With more routes, and with more connections, beside nginx with as many of either.
fn growth() {
    let place = Place::new();
    let (body, _) = BODIES[0];
    let told = |name: String, what: String, seen: &[Vec<Seen>]| {
        let of =
            |seen: &[Seen]| -> Vec<f64> { seen.iter().map(|it| it.requests_a_second).collect() };
        let mut row = Row::new(name, what);
        row.unit = "requests a second";
        row.of("cosmos", of(&seen[0]))
            .of("nginx", of(&seen[1]))
            .report();
    };
    for routes in ROUTES {
        let peers = [place.cosmos("cosmos", "off", routes), place.nginx(routes)];
        let seen = in_turn(&place, &peers, 3, body, CONNECTIONS);
        let what = format!("1 KiB, {CONNECTIONS} connections, one route of {routes}");
        told(format!("routes-{routes}"), what, &seen);
    }
    let peers = [place.cosmos("cosmos", "off", 1), place.nginx(1)];
    for crowd in CROWDS {
        let seen = in_turn(&place, &peers, 3, body, crowd);
        let what = format!("1 KiB, {crowd} connections");
        told(format!("connections-{crowd}"), what, &seen);
    }
}

/// What each round showed of each peer.
fn in_turn(
    place: &Place,
    peers: &[Peer],
    rounds: usize,
    body: &str,
    connections: u32,
) -> Vec<Vec<Seen>> {
    let mut seen: Vec<Vec<Seen>> = peers.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        // Who comes first changes, too.
        for turn in 0..peers.len() {
            let at = (round + turn) % peers.len();
            seen[at].push(place.load(&peers[at], body, connections));
        }
    }
    seen
}

/// Round by round: what slowed one slowed its neighbour.
fn ratio(own: &[Seen], other: &[Seen], of: fn(&Seen) -> f64) -> f64 {
    let rounds = own.iter().zip(other);
    median(rounds.map(|(own, other)| of(own) / of(other)))
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What one round showed of one proxy.
struct Seen {
    requests_a_second: f64,
    cpu_micros: f64,
    p99_millis: f64,
}

/// A proxy that listens.
struct Peer {
    name: &'static str,
    address: SocketAddr,
    process: Running,
}

/// A process that ends with its measurement.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Running {
    fn on(core: &str, program: &str, words: &[&str]) -> Self {
        let child = Command::new("taskset")
            .args(["--cpu-list", core, program])
            .args(words)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
        Self(child)
    }

    /// The processor time it has used, in seconds.
    fn used(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat
            .rsplit(')')
            .next()
            .unwrap()
            .split_whitespace()
            .collect();
        // User and system time, the 14th and 15th of the whole line, in
        // hundredths of a second on every Linux that is about.
        let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
        (ticks(11) + ticks(12)) / 100.0
    }
}

/// Files, and an origin that answers with two of them.
struct Place {
    files: TempDir,
    origin: SocketAddr,
    _answering: Running,
}

impl Place {
    fn new() -> Self {
        let files = TempDir::new().unwrap();
        let folder = files.path().display().to_string();
        for (name, size) in BODIES {
            fs::write(files.path().join(name), vec![b'x'; size]).unwrap();
        }
        let origin = free_address();
        let config = nginx_config(
            files.path(),
            "origin",
            &format!(
                "open_file_cache max=10; sendfile on; tcp_nopush on; keepalive_requests 1000000000;\n\
                 server {{ listen {origin} backlog=1024; location / {{ root {folder}; }} }}"
            ),
        );
        let answering = Running::on(AROUND, "nginx", &["-e", "/dev/null", "-c", &config]);
        until_it_listens("nginx", origin);
        Self {
            files,
            origin,
            _answering: answering,
        }
    }

    /// With so many hosts, the last of which is asked for.
    fn nginx(&self, routes: usize) -> Peer {
        let (address, origin) = (free_address(), self.origin);
        let others: String = (1..routes)
            .map(|other| format!("server {{ listen {address}; server_name s{other}.shop.localhost; return 404; }}\n"))
            .collect();
        let config = nginx_config(
            self.files.path(),
            &format!("peer-{routes}"),
            &format!(
                "keepalive_requests 1000000000; proxy_buffers 16 16k; proxy_buffer_size 16k;\n\
                 proxy_busy_buffers_size 128k; tcp_nodelay on;\n\
                 upstream origin {{ server {origin}; keepalive 128; keepalive_requests 1000000000; }}\n\
                 server_names_hash_max_size 4096; {others}\n\
                 server {{ listen {address} backlog=1024; server_name {HOST}; location / {{\n\
                   proxy_pass http://origin; proxy_http_version 1.1;\n\
                   proxy_set_header Connection \"\"; proxy_set_header Host $http_host;\n\
                   proxy_set_header X-Real-IP $remote_addr;\n\
                   proxy_set_header X-Forwarded-For $remote_addr;\n\
                   proxy_set_header X-Forwarded-Proto $scheme;\n\
                   proxy_set_header X-Forwarded-Host $http_host;\n\
                   proxy_set_header X-Request-Id $request_id; }} }}"
            ),
        );
        let words = ["-e", "/dev/null", "-c", &config];
        Peer::begun("nginx", address, Running::on(MEASURED, "nginx", &words))
    }

    fn haproxy(&self) -> Peer {
        let (address, origin) = (free_address(), self.origin);
        let config = format!(
            "global\n nbthread 1\n maxconn 4096\ndefaults\n mode http\n timeout connect 5s\n \
             timeout client 60s\n timeout server 60s\n option forwardfor\n http-reuse always\n\
             frontend front\n bind {address}\n default_backend origin\n\
             backend origin\n http-request set-header X-Request-Id %[uuid]\n server one {origin}\n"
        );
        let file = self.files.path().join("haproxy.cfg");
        fs::write(&file, config).unwrap();
        let words = ["-db", "-q", "-f", file.to_str().unwrap()];
        Peer::begun("haproxy", address, Running::on(MEASURED, "haproxy", &words))
    }

    fn caddy(&self) -> Peer {
        let (address, origin) = (free_address(), self.origin);
        let file = self.files.path().join("Caddyfile");
        let config = format!(
            "{{\n admin off\n auto_https off\n}}\n\
             http://{HOST}:{} {{\n bind {}\n reverse_proxy {origin}\n}}\n",
            address.port(),
            address.ip()
        );
        fs::write(&file, config).unwrap();
        let words = [
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            file.to_str().unwrap(),
        ];
        Peer::begun("caddy", address, Running::on(MEASURED, "caddy", &words))
    }

    fn cosmos(&self, name: &'static str, capture: &str, routes: usize) -> Peer {
        let (address, origin) = (free_address(), self.origin);
        let own = env::current_exe().unwrap();
        let log = self.files.path().join(format!("{name}.log"));
        let words = [
            "proxy",
            &address.to_string(),
            &origin.to_string(),
            log.to_str().unwrap(),
            capture,
            &routes.to_string(),
        ];
        let process = Running::on(MEASURED, own.to_str().unwrap(), &words);
        Peer::begun(name, address, process)
    }

    fn load(&self, peer: &Peer, body: &str, connections: u32) -> Seen {
        // A log that grows for an hour is nobody's cost here.
        if let Ok(log) = File::options()
            .write(true)
            .open(self.files.path().join(format!("{}.log", peer.name)))
        {
            log.set_len(0).unwrap();
        }
        let before = peer.process.used();
        let output = Command::new("taskset")
            .args([
                "--cpu-list",
                AROUND,
                "wrk",
                "--latency",
                "-t1",
                "--timeout",
                "30s",
            ])
            .args([&format!("-c{connections}"), &format!("-d{LOADED_FOR}")])
            .args(["-H", &format!("Host: {HOST}")])
            .arg(format!("http://{}/{body}", peer.address))
            .output()
            .unwrap();
        let used = peer.process.used() - before;
        let said = String::from_utf8(output.stdout).unwrap();
        let wrong = ["Non-2xx", "Socket errors"]
            .iter()
            .any(|word| said.contains(word));
        assert!(output.status.success() && !wrong, "{}: {said}", peer.name);
        let word = |line: &str, at: usize| {
            let line = said.lines().find(|found| found.contains(line));
            line.unwrap().split_whitespace().nth(at).unwrap().to_owned()
        };
        let answered: f64 = word(" requests in ", 0).parse().unwrap();
        Seen {
            requests_a_second: word("Requests/sec:", 1).parse().unwrap(),
            cpu_micros: used * 1e6 / answered,
            p99_millis: millis(&word(" 99%", 1)),
        }
    }
}

impl Peer {
    fn begun(name: &'static str, address: SocketAddr, process: Running) -> Self {
        until_it_listens(name, address);
        Self {
            name,
            address,
            process,
        }
    }
}

/// As wrk writes it: `850.00us`, `1.20ms`, `2.00s`.
fn millis(written: &str) -> f64 {
    let digits = written.trim_end_matches(char::is_alphabetic);
    let value: f64 = digits.parse().unwrap();
    match &written[digits.len()..] {
        "us" => value / 1e3,
        "ms" => value,
        _ => value * 1e3,
    }
}

/// One process that does all, and writes no log.
fn nginx_config(folder: &Path, name: &str, http: &str) -> String {
    let place = folder.display();
    let config = format!(
        "daemon off; master_process off; user root; pid {place}/{name}.pid;\n\
         worker_rlimit_nofile 65536; events {{ worker_connections 32768; }}\n\
         http {{ access_log off; client_body_temp_path {place}/{name}.body;\n\
         proxy_temp_path {place}/{name}.proxy; {http} }}\n"
    );
    let file = folder.join(format!("{name}.conf"));
    fs::write(&file, config).unwrap();
    file.display().to_string()
}

fn free_address() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

fn until_it_listens(name: &str, address: SocketAddr) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(address).is_err() {
        assert!(
            Instant::now() < deadline,
            "{name} does not listen: is it installed?"
        );
        sleep(Duration::from_millis(20));
    }
}

/// The data plane as `cosmos proxy` runs it, with so many routes; all but one lead nowhere.
fn proxy(listen: &str, upstream: &str, log: &str, capture: CaptureMode, routes: usize) {
    let guard = GuardConfig {
        token: Token::new("0123456789abcdef0123456789abcdef").unwrap(),
        port: 8080,
        tokenless: Tokenless::Off,
        is_stream: |_| false,
    };
    let log = File::create(log).unwrap();
    let shared = Shared::new(
        guard,
        Box::new(log),
        Arc::new(|_, _| unreachable!("nobody manages")),
    );
    let upstream = Upstream {
        key: UpstreamKey {
            id: "origin".to_owned(),
            started: SystemTime::UNIX_EPOCH,
            address: Address::Socket(upstream.parse().unwrap()),
        },
        name: "shop-web-1".to_owned(),
        generation: Some("made-1".to_owned()),
    };
    let rule = |host: &str, upstreams: Vec<Upstream>| Rule {
        host: Some(host.to_owned()),
        path: None,
        target: Arc::new(Target {
            name: format!("service `{host}` of `shop`"),
            workspace: Some("shop".to_owned()),
            service: Some("web".to_owned()),
            url: format!("http://{host}:8080"),
            hold: None,
            capture,
            leads: Leads::To(upstreams),
        }),
    };
    let others = (1..routes).map(|other| rule(&format!("s{other}.shop.localhost"), Vec::new()));
    let rules = others.chain([rule(HOST, vec![upstream])]);
    shared.set_routes(Arc::new(Routes::new(rules)));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(listen).await.unwrap();
        serve(listener, shared, std::future::pending()).await;
    });
}
