//! Carries out one case: a client of raw bytes in front of a proxy, an upstream
//! of raw bytes behind it, and one line that says what each of them saw.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::{JoinHandle, JoinSet},
    time::timeout,
};

use super::{
    case::{Case, bytes_of},
    message::{Body, Framing, Head, find, shown},
};

/// Longer than any proxy here waits by itself.
const PATIENCE: Duration = Duration::from_secs(15);

/// Asked after the case, over the same connection: it is kept if this is answered.
const PROBE: &[u8] = b"GET /probe HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n";
const PROBE_LINE: &[u8] = b"GET /probe HTTP/";
const PROBED: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nprobe";

/// What is sent through a tunnel, once it is one.
const THROUGH: &[u8] = b"through";

/// What both ends saw.
pub(super) struct Outcome {
    /// In one line.
    pub(super) line: String,
    /// What the upstream read, each request in turn.
    pub(super) seen: Vec<u8>,
    /// What the client read.
    pub(super) got: Vec<u8>,
}

impl Outcome {
    pub(super) fn new(seen: &[Vec<u8>], answered: &Answered) -> Self {
        let requests: Vec<String> = seen
            .iter()
            .filter(|message| !message.starts_with(PROBE_LINE))
            .map(|message| request_line(message))
            .collect();
        let requests = match requests.is_empty() {
            true => "nothing".to_owned(),
            false => requests.join(" + "),
        };
        Self {
            line: format!("{requests} -> {}", counted(&answered.words)),
            seen: seen.concat(),
            got: answered.raw.clone(),
        }
    }
}

/// The words in turn, a long row of the same one as one.
fn counted(words: &[String]) -> String {
    let rows: Vec<String> = words
        .chunk_by(|one, next| one == next)
        .map(|row| match row.len() {
            1..=3 => row.join(" "),
            many => format!("{}x{many}", row[0]),
        })
        .collect();
    rows.join(" ")
}

/// A request that the upstream saw, in short: `POST /a length 2 [hi]`.
fn request_line(message: &[u8]) -> String {
    let Some(head) = Head::of(message) else {
        return format!("{} cut", shown(message));
    };
    let mut line = head.start.trim_end_matches(" HTTP/1.1").to_owned();
    if line.len() > 80 {
        line = format!("<a line of {} bytes>", line.len());
    }
    let framing = head.of_request();
    let bytes = &message[head.length..];
    let body = Body::of(bytes, &framing);
    match framing {
        Framing::Length(length) => line += &format!(" length {length}"),
        Framing::Chunked => line += " chunked",
        Framing::None | Framing::Close => {}
    }
    if !body.data.is_empty() {
        line += &format!(" {}", shown(&body.data));
    }
    if !body.trailers.is_empty() {
        line += &format!(" trailers {}", shown(&body.trailers));
    }
    match body.length {
        Some(length) if length < bytes.len() => {
            line += &format!(" then {}", shown(&bytes[length..]))
        }
        Some(_) => {}
        None => line += " cut",
    }
    line
}

/// An upstream that keeps every byte, and answers what it was told to.
pub(super) struct Upstream {
    pub(super) address: SocketAddr,
    seen: Seen,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

type Seen = Arc<Mutex<Vec<Vec<u8>>>>;

/// What is sent in answer to the first request that is no probe.
struct Script {
    early: Vec<u8>,
    answer: Vec<u8>,
    hangs_up: bool,
}

impl Upstream {
    pub(super) async fn start(address: &str, case: &Case) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let script = Arc::new(Mutex::new(Some(Script {
            early: bytes_of(case.early.as_deref().unwrap_or_default()),
            answer: bytes_of(&case.answer),
            hangs_up: case.hangs_up,
        })));
        let seen = Seen::default();
        let (stop, mut stopped) = oneshot::channel();
        let served = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                let mut connections = JoinSet::new();
                loop {
                    // Accepting may be dropped half-way: it loses nothing.
                    let stream = tokio::select! {
                        _ = &mut stopped => break,
                        accepted = listener.accept() => accepted.unwrap().0,
                    };
                    connections.spawn(serve(stream, Arc::clone(&script), Arc::clone(&seen)));
                }
                connections.join_all().await;
            }
        });
        Self {
            address,
            seen,
            stop,
            served,
        }
    }

    /// Waits until the proxy has closed every connection, and tells what came.
    pub(super) async fn end(self) -> Vec<Vec<u8>> {
        let _ = self.stop.send(());
        timeout(PATIENCE, self.served)
            .await
            .expect("the proxy keeps a connection to its upstream")
            .unwrap();
        self.seen.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, script: Arc<Mutex<Option<Script>>>, seen: Seen) {
    let mut read = Vec::new();
    loop {
        while Head::of(&read).is_none() {
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                if !read.is_empty() {
                    seen.lock().unwrap().push(read);
                }
                return;
            }
        }
        let head = Head::of(&read).unwrap();
        let mine = if read.starts_with(PROBE_LINE) {
            None
        } else {
            script.lock().unwrap().take()
        };
        // Kept as it comes: the rest may never follow.
        let place = {
            let mut seen = seen.lock().unwrap();
            seen.push(read[..head.length].to_vec());
            seen.len() - 1
        };
        if let Some(script) = &mine {
            let _ = stream.write_all(&script.early).await;
            if script.hangs_up && script.answer.is_empty() {
                return;
            }
        }
        let framing = head.of_request();
        let length = loop {
            let body = Body::of(&read[head.length..], &framing);
            if let Some(length) = body.length {
                break head.length + length;
            }
            seen.lock().unwrap()[place] = read.clone();
            if stream.read_buf(&mut read).await.unwrap_or(0) == 0 {
                return;
            }
        };
        let message: Vec<u8> = read.drain(..length).collect();
        let is_probe = message.starts_with(PROBE_LINE);
        seen.lock().unwrap()[place] = message;

        let answer = match &mine {
            Some(script) => &script.answer[..],
            None if is_probe => PROBED,
            None => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        };
        let _ = stream.write_all(answer).await;
        if answer.starts_with(b"HTTP/1.1 101") {
            tunnel(stream, read, place, &seen).await;
            return;
        }
        if mine.is_some_and(|script| script.hangs_up) {
            return;
        }
    }
}

/// Keeps what comes until the other side is done, and says so.
async fn tunnel(mut stream: TcpStream, mut read: Vec<u8>, place: usize, seen: &Seen) {
    while stream.read_buf(&mut read).await.unwrap_or(0) > 0 {}
    let _ = stream.write_all(b"back").await;
    seen.lock().unwrap()[place].extend(read);
}

/// What a client was answered.
pub(super) struct Answered {
    words: Vec<String>,
    raw: Vec<u8>,
}

/// Sends the case and reads to the end, asking once more where that is possible.
pub(super) async fn ask(address: SocketAddr, case: &Case) -> Answered {
    let mut client = Client {
        stream: TcpStream::connect(address).await.unwrap(),
        read: Vec::new(),
        all: Vec::new(),
        words: Vec::new(),
    };
    if timeout(PATIENCE, client.talk(case)).await.is_err() {
        client.words.push("silent".to_owned());
    }
    Answered {
        words: client.words,
        raw: client.all,
    }
}

struct Client {
    stream: TcpStream,
    /// What is not understood yet.
    read: Vec<u8>,
    all: Vec<u8>,
    words: Vec<String>,
}

impl Client {
    fn say(&mut self, word: impl Into<String>) {
        self.words.push(word.into());
    }

    /// Who is refused early may be closed before all is written.
    async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Reads more; false at the end, a reset included.
    async fn more(&mut self) -> bool {
        let before = self.read.len();
        let count = self.stream.read_buf(&mut self.read).await.unwrap_or(0);
        self.all.extend(&self.read[before..]);
        count > 0
    }

    async fn talk(&mut self, case: &Case) {
        let sent = bytes_of(&case.send);
        let mut to_head = sent.starts_with(b"HEAD ");
        let mut then = case.then.as_deref().map(bytes_of);
        let mut is_probed = false;
        self.send(&sent).await;
        loop {
            let Some(head) = self.head().await else {
                return;
            };
            let status = head.status().unwrap_or(0);
            if status == 101 {
                self.say("101");
                self.tunnel().await;
                return;
            }
            if status < 200 {
                self.say(status.to_string());
                if let Some(then) = then.take() {
                    self.send(&then).await;
                }
                continue;
            }
            let framing = head.of_answer(std::mem::take(&mut to_head));
            let Some(body) = self.body(&framing).await else {
                self.say(format!("{status} cut"));
                return;
            };
            if is_probed && body.data == b"probe" {
                self.say("kept");
                self.rest().await;
                return;
            }
            self.say(status.to_string());
            if status < 300 && body.data != b"ok" {
                self.say(shown(&body.data));
            }
            if !body.trailers.is_empty() {
                self.say(format!("trailers {}", shown(&body.trailers)));
            }
            let closes = head.has("connection", "close")
                || head.start.starts_with("HTTP/1.0") && !head.has("connection", "keep-alive")
                || framing == Framing::Close;
            if closes {
                self.rest().await;
                self.say("closed");
                return;
            }
            if !is_probed {
                is_probed = true;
                self.send(PROBE).await;
            }
        }
    }

    async fn head(&mut self) -> Option<Head> {
        loop {
            if let Some(head) = Head::of(&self.read) {
                self.read.drain(..head.length);
                return Some(head);
            }
            if !self.more().await {
                if !self.read.is_empty() {
                    self.say(shown(&self.read.clone()));
                }
                self.say("closed");
                return None;
            }
        }
    }

    /// `None` if it was cut.
    async fn body(&mut self, framing: &Framing) -> Option<Body> {
        loop {
            let body = Body::of(&self.read, framing);
            if let Some(length) = body.length {
                self.read.drain(..length);
                return Some(body);
            }
            if !self.more().await {
                self.read.clear();
                return (*framing == Framing::Close).then_some(body);
            }
        }
    }

    /// Nothing may follow: what does is shown.
    async fn rest(&mut self) {
        while self.more().await {}
        if !self.read.is_empty() {
            self.say(format!("then {}", shown(&self.read.clone())));
        }
    }

    async fn tunnel(&mut self) {
        self.send(THROUGH).await;
        let _ = self.stream.shutdown().await;
        while self.more().await {}
        self.say(format!("tunnel {}", shown(&self.read.clone())));
    }
}

/// Whether one of the lines is this one; `starts` where its beginning is enough.
pub(super) fn has_line(bytes: &[u8], wanted: &str, starts: bool) -> bool {
    let mut rest = bytes;
    loop {
        let end = find(rest, b"\r\n").unwrap_or(rest.len());
        let line = String::from_utf8_lossy(&rest[..end]).to_ascii_lowercase();
        let wanted = wanted.to_ascii_lowercase();
        if line == wanted || starts && line.starts_with(&wanted) {
            return true;
        }
        match rest.get(end + 2..) {
            Some(behind) if !behind.is_empty() => rest = behind,
            _ => return false,
        }
    }
}
