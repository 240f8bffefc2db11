//! Who may look, and do what the page's buttons do.

use serde_json::Value;

use super::{app, send};
use crate::engine::workspace::support::{Answer, Place, ask, docker, until};

/// Calls the API as the page does, with what it was given.
fn call(place: &Place, bearer: &str, method: &str, path: &str, lines: &str) -> Answer {
    let port = place.port;
    let request = format!(
        "{method} /_cosmos/v1{path} HTTP/1.1\r\nHost: cosmos.localhost:{port}\r\n\
         Authorization: Bearer {bearer}\r\nSec-Fetch-Site: same-origin\r\n{lines}Connection: close\r\n\r\n"
    );
    ask(port, &request).unwrap()
}

/// The code that `cosmos dashboard` gives.
fn code(place: &Place) -> String {
    let said = place.cosmos(&["dashboard", "--print"]).succeeded();
    let address = said.stdout.trim();
    let page = format!("http://cosmos.localhost:{}/#code=", place.port);
    address.strip_prefix(&page).expect(address).to_owned()
}

fn session(place: &Place) -> String {
    let answer = call(place, &code(place), "POST", "/session", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    body["token"].as_str().unwrap().to_owned()
}

#[test]
fn a_code_opens_one_session_which_outlives_the_proxy_and_ends_with_the_token() {
    let place = app();
    let code = code(&place);
    let opened = call(&place, &code, "POST", "/session", "");
    assert_eq!(opened.status, 200, "{opened:?}");
    assert_eq!(call(&place, &code, "POST", "/session", "").status, 401);
    let body: Value = serde_json::from_str(&opened.body).unwrap();
    let session = body["token"].as_str().unwrap();
    let look = || call(&place, session, "GET", "/exchanges", "").status;
    assert_eq!(look(), 200);
    docker(&["restart", "-t", "2", &place.proxy()]);
    until("the proxy", || place.get("app", "/").ok());
    assert_eq!(look(), 200);
    let _ = place.cosmos(&["proxy", "rotate-token"]).succeeded();
    assert_eq!(look(), 401);
}

#[test]
fn a_session_does_what_the_buttons_say_and_nothing_else() {
    let place = app();
    let session = session(&place);
    let call = |method, path: &str| call(&place, &session, method, path, "").status;
    for path in ["/exchanges", "/workspaces", "/containers", "/exchanges/har"] {
        assert_eq!(call("GET", path), 200, "{path}");
    }
    let key = &place.name;
    assert_eq!(call("GET", &format!("/workspaces/{key}/plan")), 200);
    assert_eq!(
        call(
            "POST",
            &format!("/containers/app/stop?workspace={key}&by=it")
        ),
        200
    );
    assert_eq!(place.service("app")["state"], "held");
    assert_eq!(
        call("POST", &format!("/containers/app/release?workspace={key}")),
        200
    );
    for (method, path) in [
        ("GET", "/state"),
        ("POST", "/containers"),
        ("POST", "/token/rotate"),
        ("POST", "/session/invite"),
        ("DELETE", &format!("/workspaces/{key}")),
    ] {
        assert_eq!(call(method, path), 403, "{method} {path}");
    }
}

#[test]
fn a_session_is_of_no_use_to_another_page_or_under_another_name() {
    let place = app();
    let session = session(&place);
    let foreign = format!(
        "Origin: http://app.{}.localhost:{}\r\n",
        place.name, place.port
    );
    assert_eq!(
        call(&place, &session, "GET", "/exchanges", &foreign).status,
        403
    );
    let port = place.port;
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}")] {
        let request = format!(
            "GET /_cosmos/v1/exchanges HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {session}\r\nConnection: close\r\n\r\n"
        );
        assert_eq!(ask(port, &request).unwrap().status, 401, "{host}");
    }
}

#[test]
fn who_follows_goes_on_where_they_were() {
    let place = app();
    let session = session(&place);
    send(&place, "POST", "/cgi-bin/echo?first", &[], "x");
    let seen = super::listed(&place, "path:first", 1);
    let list = place.cosmos(&["http", "--json"]).succeeded().json();
    let (epoch, seq) = (list["epoch"].as_str().unwrap(), &list["seq"]);
    send(&place, "POST", "/cgi-bin/echo?second", &[], "x");
    super::listed(&place, "path:second", 1);
    let follow = |query: &str| {
        let request = format!(
            "GET /_cosmos/v1/exchanges/follow?filter=path:echo&{query} HTTP/1.1\r\nHost: cosmos.localhost:{}\r\nAuthorization: Bearer {session}\r\n\r\n",
            place.port
        );
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", place.port)).unwrap();
        std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
        let mut lines = std::io::BufRead::lines(std::io::BufReader::new(stream));
        let mut paths = Vec::new();
        while !paths.iter().any(|path: &String| path.ends_with("second")) {
            let line = lines.next().unwrap().unwrap();
            if let Ok(line) = serde_json::from_str::<Value>(&line)
                && line["kind"] == "exchange"
            {
                paths.push(line["path"].as_str().unwrap().to_owned());
            }
        }
        paths
    };
    assert_eq!(
        follow(&format!("after={seq}&epoch={epoch}")),
        ["/cgi-bin/echo?second"]
    );
    // Another process knows nothing of what this one has counted.
    assert_eq!(
        follow(&format!("after={seq}&epoch=another")).len(),
        2,
        "{seen:?}"
    );
}
