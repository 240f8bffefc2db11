//! A socket before the engine's that notes what is asked of it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    os::unix::{
        fs::PermissionsExt as _,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
};

use tempfile::TempDir;

/// It listens until the test's process ends.
pub(super) struct Tap {
    socket: PathBuf,
    calls: Arc<Mutex<Vec<String>>>,
    _folder: TempDir,
}

impl Tap {
    pub(super) fn new() -> Self {
        Self::refusing(|_| false)
    }

    /// One that says to calls of BuildKit that there is none.
    pub(super) fn without_buildkit() -> Self {
        Self::refusing(|call| call.contains("/build?") && call.contains("version=2"))
    }

    fn refusing(refuses: fn(&str) -> bool) -> Self {
        let engine = env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine to test on");
        let engine = engine
            .strip_prefix("unix://")
            .expect("the engine has a socket")
            .to_owned();
        let folder = TempDir::new().unwrap();
        let socket = folder.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        // The proxy is not root.
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&calls);
        thread::spawn(move || {
            for client in listener.incoming() {
                let Ok(engine) = UnixStream::connect(&engine) else {
                    return;
                };
                join(client.unwrap(), engine, Arc::clone(&noted), refuses);
            }
        });
        Self {
            socket,
            calls,
            _folder: folder,
        }
    }

    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1.41/containers/json`, each since the start.
    pub(super) fn calls(&self) -> Vec<String> {
        self.calls.lock().unwrap().clone()
    }
}

/// What an engine says that has no BuildKit.
const REFUSAL: &str = "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\
    Content-Length: 51\r\nConnection: close\r\n\r\n\
    {\"message\":\"BuildKit is not supported by this one\"}";

fn join(
    client: UnixStream,
    engine: UnixStream,
    calls: Arc<Mutex<Vec<String>>>,
    refuses: fn(&str) -> bool,
) {
    let (from_client, from_engine) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
    thread::spawn(move || {
        let mut lines = BufReader::new(from_client);
        let is_refused = relay(&mut lines, &engine, refuses, |line| {
            if let Some(call) = line.strip_suffix(" HTTP/1.1\r\n") {
                calls.lock().unwrap().push(call.to_owned());
            }
        });
        if is_refused {
            let _ = lines.get_ref().write_all(REFUSAL.as_bytes());
            // Read to its end, or the answer is lost with the connection.
            let _ = std::io::copy(&mut lines, &mut std::io::sink());
        }
        let _ = engine.shutdown(std::net::Shutdown::Write);
    });
    thread::spawn(move || {
        let mut from_engine = from_engine;
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = from_engine.read(&mut buffer) {
            if (&client).write_all(&buffer[..count]).is_err() {
                break;
            }
        }
        let _ = client.shutdown(std::net::Shutdown::Both);
    });
}

/// Passes on what is there as soon as it is there, and shows each whole line.
/// Ends before what is refused, and says whether it did for that.
fn relay(
    from: &mut BufReader<impl Read>,
    mut to: &UnixStream,
    refuses: fn(&str) -> bool,
    mut show: impl FnMut(&str),
) -> bool {
    let mut line = Vec::new();
    loop {
        let Ok(bytes) = from.fill_buf() else {
            return false;
        };
        // A call begins what the client writes, as it sends none before an answer.
        if refuses(&String::from_utf8_lossy(bytes)) {
            return true;
        }
        if bytes.is_empty() || to.write_all(bytes).is_err() {
            return false;
        }
        for byte in bytes {
            line.push(*byte);
            if *byte == b'\n' {
                show(&String::from_utf8_lossy(&line));
                line.clear();
            }
        }
        let count = bytes.len();
        from.consume(count);
    }
}
