//! A proxy with real sockets: raw bytes in front, a real server behind.

use std::{
    convert::Infallible,
    io::Write,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use cosmos::{
    traffic::{
        AttachedNetwork, BodyError, BoxBody, Caller, GuardConfig, Limits, ManagedBody, Routes,
        Shared, Subnet, Token,
        routes::{Address, Leads, Rule, Target, Upstream, UpstreamKey},
        serve,
    },
    workspace::{CaptureMode, Tokenless},
};
use http_body_util::{BodyExt as _, Full};
use hyper::{Request, Response, body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::{mpsc, oneshot},
};

pub(super) const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Longer than anything here takes: a test that hangs fails instead.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A running proxy.
pub(super) struct Proxy {
    pub(super) shared: Arc<Shared>,
    pub(super) address: SocketAddr,
    log: LogLines,
    stop: Option<oneshot::Sender<()>>,
    served: tokio::task::JoinHandle<()>,
}

/// Everything the access log has said so far.
#[derive(Clone, Default)]
struct LogLines(Arc<Mutex<Vec<u8>>>);

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

pub(super) fn guard() -> GuardConfig {
    GuardConfig {
        token: Token::new(TOKEN).unwrap(),
        port: 8080,
        tokenless: Tokenless::Adhoc,
        is_stream: |path| path.ends_with("/build"),
    }
}

/// Management that says who called, with what.
async fn echo(request: Request<ManagedBody>, caller: Caller) -> Response<BoxBody> {
    let path = request.uri().path().to_owned();
    let length = request
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .len();
    let text = format!("{} {path} {length}", caller.as_str());
    let body = Full::new(Bytes::from(text)).map_err(|never| -> BodyError { match never {} });
    Response::builder()
        .header("access-control-allow-origin", "*")
        .body(body.boxed_unsync())
        .unwrap()
}

pub(super) async fn proxy() -> Proxy {
    proxy_with(Limits::default()).await
}

pub(super) async fn proxy_with(limits: Limits) -> Proxy {
    let log = LogLines::default();
    let shared = Shared::with_limits(
        guard(),
        Box::new(log.clone()),
        Arc::new(|request, caller| Box::pin(echo(request, caller))),
        limits,
    );
    shared.set_networks(vec![AttachedNetwork {
        subnet: Subnet::parse("172.18.0.0/16").unwrap(),
        gateway: Some([172, 18, 0, 1].into()),
    }]);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(listener, Arc::clone(&shared), async {
        let _ = stopped.await;
    }));
    Proxy {
        shared,
        address,
        log,
        stop: Some(stop),
        served,
    }
}

pub(super) fn target(name: &str, leads: Leads) -> Arc<Target> {
    Arc::new(Target {
        name: format!("service `{name}` of `shop`"),
        workspace: Some("shop".to_owned()),
        service: Some(name.to_owned()),
        url: format!("http://{name}.shop.localhost:8080"),
        hold: None,
        capture: CaptureMode::default(),
        leads,
    })
}

pub(super) fn upstream(address: SocketAddr) -> Upstream {
    Upstream {
        key: UpstreamKey {
            id: format!("id-of-{address}"),
            started: SystemTime::UNIX_EPOCH,
            address: Address::Socket(address),
        },
        name: "shop-web-1".to_owned(),
        generation: Some("made-1".to_owned()),
    }
}

pub(super) fn rule(host: &str, leads: Leads) -> Rule {
    let name = host.split('.').next().unwrap();
    Rule {
        host: Some(host.to_owned()),
        path: None,
        target: target(name, leads),
    }
}

impl Proxy {
    /// A proxy that leads `web.shop.localhost` to these.
    pub(super) async fn to(upstreams: &[SocketAddr]) -> Self {
        let proxy = proxy().await;
        proxy.lead_to(upstreams);
        proxy
    }

    pub(super) fn lead_to(&self, upstreams: &[SocketAddr]) {
        let upstreams = upstreams.iter().copied().map(upstream).collect();
        let rule = rule("web.shop.localhost", Leads::To(upstreams));
        self.shared.set_routes(Arc::new(Routes::new([rule])));
    }

    pub(super) async fn connect(&self) -> Client {
        Client {
            stream: TcpStream::connect(self.address).await.unwrap(),
            read: Vec::new(),
        }
    }

    /// Sends bytes on a connection of their own and reads one answer.
    pub(super) async fn ask(&self, bytes: impl AsRef<[u8]>) -> Answer {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client.answer().await
    }

    /// Stops it, and gives every line it logged.
    pub(super) async fn stop(mut self) -> Vec<serde_json::Value> {
        let _ = self.stop.take().map(|stop| stop.send(()));
        tokio::time::timeout(PATIENCE, &mut self.served)
            .await
            .unwrap()
            .unwrap();
        self.logged()
    }

    /// Every line it has logged so far.
    pub(super) fn logged(&self) -> Vec<serde_json::Value> {
        let text = String::from_utf8(self.log.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

/// One answer, with its body decoded.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: Vec<u8>,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| {
            let (have, value) = line.split_once(':')?;
            have.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub(super) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        body["error"]["code"].as_str().unwrap().to_owned()
    }
}

/// A client that sends whatever bytes it is told.
pub(super) struct Client {
    pub(super) stream: TcpStream,
    read: Vec<u8>,
}

impl Client {
    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Reads more; false at the end.
    async fn more(&mut self) -> bool {
        let read = self.stream.read_buf(&mut self.read);
        let read = tokio::time::timeout(PATIENCE, read)
            .await
            .expect("no bytes came");
        // A reset is an end, too.
        read.unwrap_or(0) > 0
    }

    /// Whether the proxy closes without another byte.
    pub(super) async fn is_closed(&mut self) -> bool {
        self.read.is_empty() && !self.more().await
    }

    pub(super) async fn until(&mut self, end: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(end.len()).position(|found| found == end) {
                return self.read.drain(..at + end.len()).collect();
            }
            assert!(
                self.more().await,
                "closed after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
    }

    pub(super) async fn exactly(&mut self, count: usize) -> Vec<u8> {
        while self.read.len() < count {
            assert!(
                self.more().await,
                "closed after {:?}",
                String::from_utf8_lossy(&self.read)
            );
        }
        self.read.drain(..count).collect()
    }

    pub(super) async fn head(&mut self) -> Answer {
        let head = String::from_utf8(self.until(b"\r\n\r\n").await).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head,
            body: Vec::new(),
        }
    }

    pub(super) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        if let Some(length) = answer.header("content-length") {
            let length = length.parse().unwrap();
            answer.body = self.exactly(length).await;
        } else if answer.header("transfer-encoding").is_some() {
            while let Some(chunk) = self.chunk().await {
                answer.body.extend(chunk);
            }
        } else if answer.status != 101 && answer.status != 204 {
            while self.more().await {}
            answer.body = std::mem::take(&mut self.read);
        }
        answer
    }

    /// One chunk; `None` for the last, trailers read over.
    pub(super) async fn chunk(&mut self) -> Option<Vec<u8>> {
        let size = String::from_utf8(self.until(b"\r\n").await).unwrap();
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        if size == 0 {
            while self.until(b"\r\n").await != b"\r\n" {}
            return None;
        }
        let chunk = self.exactly(size).await;
        self.exactly(2).await;
        Some(chunk)
    }
}

/// A real server behind the proxy that tells what came, and counts connections.
pub(super) async fn server<F, A>(answer: F) -> SocketAddr
where
    F: Fn(Request<Incoming>, usize) -> A + Clone + Send + Sync + 'static,
    A: Future<Output = Response<BoxBody>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut connection = 0;
        while let Ok((stream, _)) = listener.accept().await {
            connection += 1;
            let answer = answer.clone();
            let service = service_fn(move |request| {
                let answered = answer(request, connection);
                async move { Ok::<_, Infallible>(answered.await) }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .with_upgrades(),
            );
        }
    });
    address
}

pub(super) fn full(text: impl Into<Bytes>) -> BoxBody {
    Full::new(text.into())
        .map_err(|never| -> BodyError { match never {} })
        .boxed_unsync()
}

/// A server that answers with what it was asked, head and body.
pub(super) async fn mirror() -> SocketAddr {
    server(|request, connection| async move {
        let mut text = format!("{} {}\n", request.method(), request.uri());
        let mut lines: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())))
            .collect();
        lines.sort();
        text.extend(lines);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        text.push_str(&String::from_utf8_lossy(&body));
        Response::builder()
            .header("x-connection", connection)
            .body(full(text))
            .unwrap()
    })
    .await
}

/// A server of raw bytes: each connection is handed over as it is accepted.
pub(super) async fn raw_server() -> (SocketAddr, mpsc::Receiver<Client>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (give, take) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if give
                .send(Client {
                    stream,
                    read: Vec::new(),
                })
                .await
                .is_err()
            {
                return;
            }
        }
    });
    (address, take)
}

/// An address where nothing listens.
pub(super) async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap()
}

impl Client {
    /// The head of a message as text, for a server of raw bytes.
    pub(super) async fn head_text(&mut self) -> String {
        String::from_utf8(self.until(b"\r\n\r\n").await).unwrap()
    }
}
