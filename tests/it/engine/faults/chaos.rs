//! A socket before the engine's that does to chosen calls what a bad day does.
//!
//! It knows of HTTP only where a request begins: its clients send none before the
//! answer to the last. All else is bytes that are passed on as they come.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::Duration,
};

use tempfile::TempDir;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{UnixListener, UnixStream, unix::OwnedWriteHalf},
    runtime::Runtime,
    sync::watch,
    time::sleep,
};

/// What is done to a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::engine) enum Fault {
    /// It reaches the engine later.
    Delay(Duration),
    /// It never reaches the engine, and is never answered while this holds.
    Hang,
    /// It never reaches the engine, which seems to say this.
    Answer(u16, &'static str),
    /// The engine does it; of its answer only so many bytes come back.
    Cut(usize),
    /// Each part of the answer comes twice: meant for events.
    Twice,
}

/// A call that is meant: how its first line begins after `GET /v1.41`, and a part of it.
#[derive(Clone)]
struct Rule {
    method: &'static str,
    part: String,
    fault: Fault,
}

#[derive(Clone, Default)]
struct Rules {
    all: Vec<Rule>,
    /// Raised to end every stream of events.
    cuts: u64,
}

/// It listens until the end of its test.
pub(in crate::engine) struct Chaos {
    socket: PathBuf,
    rules: watch::Sender<Rules>,
    calls: Arc<Mutex<Vec<String>>>,
    _runtime: Runtime,
    _folder: TempDir,
}

impl Chaos {
    pub(in crate::engine) fn new() -> Self {
        let engine = env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine to test on");
        let engine = engine
            .strip_prefix("unix://")
            .expect("the engine has a socket")
            .to_owned();
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("chaos.sock");
        let runtime = Runtime::new().unwrap();
        let listener = {
            let _context = runtime.enter();
            UnixListener::bind(&socket).unwrap()
        };
        // The proxy is not root.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let (rules, watched) = watch::channel(Rules::default());
        let noted = Arc::clone(&calls);
        runtime.spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let Ok(engine) = UnixStream::connect(&engine).await else {
                    continue;
                };
                tokio::spawn(join(client, engine, watched.clone(), Arc::clone(&noted)));
            }
        });
        Self {
            socket,
            rules,
            calls,
            _runtime: runtime,
            _folder: folder,
        }
    }

    pub(in crate::engine) fn socket(&self) -> &Path {
        &self.socket
    }

    /// From now on, this happens to calls of this method with this in their path.
    pub(in crate::engine) fn on(&self, method: &'static str, part: &str, fault: Fault) {
        let part = part.to_owned();
        self.rules.send_modify(|rules| {
            rules.all.push(Rule {
                method,
                part,
                fault,
            });
        });
    }

    /// From now on, nothing happens to any call.
    pub(in crate::engine) fn calm(&self) {
        self.rules.send_modify(|rules| rules.all.clear());
    }

    /// Ends every stream of events.
    pub(in crate::engine) fn cut_events(&self) {
        self.rules.send_modify(|rules| rules.cuts += 1);
    }

    /// How many calls of this method with this in their path came by.
    pub(in crate::engine) fn count(&self, method: &str, part: &str) -> usize {
        let calls = self.calls.lock().unwrap();
        let is_meant = |call: &&String| call.starts_with(method) && call.contains(part);
        calls.iter().filter(is_meant).count()
    }
}

/// What the answer to the call that is under way suffers.
#[derive(Default)]
struct Suffers {
    is_events: bool,
    fault: Option<Fault>,
}

async fn join(
    client: UnixStream,
    engine: UnixStream,
    rules: watch::Receiver<Rules>,
    calls: Arc<Mutex<Vec<String>>>,
) {
    let (from_client, to_client) = client.into_split();
    let (from_engine, to_engine) = engine.into_split();
    let to_client = Arc::new(tokio::sync::Mutex::new(to_client));
    let suffers = Arc::new(Mutex::new(Suffers::default()));
    let asked = ask(
        from_client,
        to_engine,
        Arc::clone(&to_client),
        rules.clone(),
        Arc::clone(&suffers),
        calls,
    );
    let answered = answer(from_engine, to_client, rules, suffers);
    // When one side ends, so does the other: a client that reads on has closed its half.
    tokio::select! {
        () = answered => {}
        () = async { asked.await; std::future::pending().await } => {}
    }
}

async fn ask(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    back: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    mut rules: watch::Receiver<Rules>,
    suffers: Arc<Mutex<Suffers>>,
    calls: Arc<Mutex<Vec<String>>>,
) {
    let mut buffer = vec![0; 64 << 10];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let bytes = &buffer[..count];
        if let Some(call) = call_in(bytes) {
            calls.lock().unwrap().push(call.clone());
            let fault = rules.borrow().of(&call);
            *suffers.lock().unwrap() = Suffers {
                is_events: call.contains("/events"),
                fault,
            };
            match fault {
                Some(Fault::Delay(pause)) => sleep(pause).await,
                Some(Fault::Hang) => {
                    let _ = rules.wait_for(|rules| rules.of(&call).is_none()).await;
                }
                Some(Fault::Answer(status, body)) => {
                    let length = body.len();
                    let head = format!(
                        "HTTP/1.1 {status} Chaos\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
                    );
                    let mut back = back.lock().await;
                    let _ = back.write_all(head.as_bytes()).await;
                    let _ = back.shutdown().await;
                    return;
                }
                Some(Fault::Cut(_) | Fault::Twice) | None => {}
            }
        }
        if to.write_all(bytes).await.is_err() {
            return;
        }
    }
    let _ = to.shutdown().await;
}

async fn answer(
    mut from: impl AsyncRead + Unpin,
    to: Arc<tokio::sync::Mutex<OwnedWriteHalf>>,
    mut rules: watch::Receiver<Rules>,
    suffers: Arc<Mutex<Suffers>>,
) {
    let before = rules.borrow().cuts;
    let mut buffer = vec![0; 64 << 10];
    let mut is_head = true;
    loop {
        let read = tokio::select! {
            // Both are cancel-safe, and what is cut is cut.
            read = from.read(&mut buffer) => read,
            _ = rules.wait_for(|rules| rules.cuts > before && suffers.lock().unwrap().is_events) => return,
        };
        let Ok(count @ 1..) = read else { return };
        let fault = suffers.lock().unwrap().fault;
        let mut to = to.lock().await;
        let parts: &[&[u8]] = match fault {
            Some(Fault::Cut(length)) => {
                let _ = to.write_all(&buffer[..count.min(length)]).await;
                return;
            }
            // The head comes once, or it would be no answer at all.
            Some(Fault::Twice) if !is_head => &[&buffer[..count], &buffer[..count]],
            _ => &[&buffer[..count]],
        };
        for part in parts {
            if to.write_all(part).await.is_err() {
                return;
            }
        }
        is_head = false;
    }
}

impl Rules {
    fn of(&self, call: &str) -> Option<Fault> {
        let mut all = self.all.iter().rev();
        let rule = all.find(|rule| call.starts_with(rule.method) && call.contains(&rule.part));
        rule.map(|rule| rule.fault)
    }
}

/// `GET /v1.41/info`, if a request begins here.
fn call_in(bytes: &[u8]) -> Option<String> {
    let line = bytes.split(|byte| *byte == b'\r').next()?;
    let line = std::str::from_utf8(line).ok()?;
    line.strip_suffix(" HTTP/1.1").map(str::to_owned)
}
