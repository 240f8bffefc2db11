//! The inspector of a real proxy: what it keeps, who may look, and its page in a browser.

mod access;
mod load;
mod page;
mod terminal;

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::Value;

use super::workspace::support::{Answer, Place, ask, until};

/// A service that answers as its scripts say.
const APP: &str = r#"
[services.app]
image = "busybox:latest"
init = true
command = ["httpd", "-f", "-p", "80", "-h", "/www"]
mounts = ["./www:/www:ro"]
route = 80
health = { http = "/", port = 80, interval = "100ms" }
"#;

/// What the app answers with: CGI, as `httpd` of busybox runs it.
const SCRIPTS: [(&str, &str); 5] = [
    (
        "echo",
        "#!/bin/sh\nprintf 'Content-Type: text/plain\\r\\n\\r\\n'\ncat\n",
    ),
    (
        "events",
        "#!/bin/sh\nprintf 'Content-Type: text/event-stream\\r\\n\\r\\n'\nfor n in 1 2 3 4 5 6 7 8; do printf 'data: {\"n\":%s}\\n\\n' $n; sleep 0.4; done\n",
    ),
    (
        "hostile",
        "#!/bin/sh\nprintf 'Content-Type: text/html\\r\\nX-Name: <img src=x onerror=pwned()>\\r\\n\\r\\n'\nprintf '<script>window.pwned=1</script><img src=x onerror=\"window.pwned=1\"><svg onload=\"window.pwned=1\">'\n",
    ),
    (
        "secret",
        "#!/bin/sh\nprintf 'Content-Type: application/json\\r\\nSet-Cookie: sid=CANARY; Path=/\\r\\nX-Auth-Token: CANARY\\r\\nLocation: /cb?code=CANARY\\r\\n\\r\\n'\nprintf '{\"user\":\"anna\",\"password\":\"CANARY\",\"url\":\"postgres://anna:CANARY@db/x\",\"again\":\"{\\\\\"token\\\\\":\\\\\"CANARY\\\\\"}\"}'\n",
    ),
    (
        "drip",
        "#!/bin/sh\nprintf 'Content-Type: text/event-stream\\r\\n\\r\\n'\nprintf 'data: {\"api_key\":\"CANARY\"}\\n\\n'\nsleep 1\n",
    ),
];

/// Stands for every secret there is.
const CANARY: &str = "c4nary-S3cret-v4lue-0123456789";

/// A workspace with the app that is up.
fn app() -> Place {
    let place = place(APP);
    let _ = place.cosmos(&["up"]).succeeded();
    place
}

/// A workspace with the app's files; nothing is up.
fn place(config: &str) -> Place {
    let place = Place::new(config);
    place.write("www/index.html", "hello\n");
    for (name, script) in SCRIPTS {
        let file = format!("www/cgi-bin/{name}");
        place.write(&file, &script.replace("CANARY", CANARY));
        let file = place.folder.join(file);
        fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    }
    place
}

/// The host of the app.
fn host(place: &Place) -> String {
    format!("app.{}.localhost:{}", place.name, place.port)
}

/// Sends a request of this method to the app, with further lines of its head.
fn send(place: &Place, method: &str, path: &str, lines: &[&str], body: &str) -> Answer {
    let head: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nContent-Length: {}\r\n{head}\r\n{body}",
        host(place),
        body.len()
    );
    ask(place.port, &request).unwrap()
}

/// What `cosmos http --json` says, once there are so many that the filter lets through.
fn listed(place: &Place, filter: &str, count: usize) -> Vec<Value> {
    until("the exchanges", || {
        let said = place.cosmos(&["http", "--json", "-n", "1000", filter]);
        let list = said.succeeded().json();
        let exchanges = list["exchanges"].as_array().unwrap().clone();
        (exchanges.len() >= count).then_some(exchanges)
    })
}
