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
                join(client.unwrap(), engine, Arc::clone(&noted));
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

fn join(client: UnixStream, engine: UnixStream, calls: Arc<Mutex<Vec<String>>>) {
    let (from_client, from_engine) = (client.try_clone().unwrap(), engine.try_clone().unwrap());
    thread::spawn(move || {
        let mut lines = BufReader::new(from_client);
        relay(&mut lines, &engine, |line| {
            if let Some(call) = line.strip_suffix(" HTTP/1.1\r\n") {
                calls.lock().unwrap().push(call.to_owned());
            }
        });
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
fn relay(from: &mut BufReader<impl Read>, mut to: &UnixStream, mut show: impl FnMut(&str)) {
    let mut line = Vec::new();
    loop {
        let Ok(bytes) = from.fill_buf() else { return };
        if bytes.is_empty() || to.write_all(bytes).is_err() {
            return;
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
