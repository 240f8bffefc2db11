//! `cosmos http`, and what a config says of what is kept.

use super::{APP, CANARY, SCRIPTS, app, host, listed, send};
use crate::engine::workspace::support::{Place, docker, until};

#[test]
fn http_lists_shows_repeats_and_exports_what_passed() {
    let place = app();
    send(
        &place,
        "POST",
        "/cgi-bin/echo?a=1",
        &["Content-Type: application/json"],
        "{\"x\":[1]}",
    );
    send(&place, "GET", "/nothing", &[], "");
    let all = listed(&place, "service:app path:/cgi", 1);
    let number = all[0]["number"].to_string();
    assert_eq!(all[0]["container"], place.container("app"));

    let list = place
        .cosmos(&["http", "status:>=400", "path:/nothing"])
        .succeeded();
    assert_eq!(list.stdout.lines().count(), 1, "{list}");
    assert!(list.stdout.contains("404 GET    /nothing"), "{list}");
    let show = place.cosmos(&["http", "show", &number]).succeeded().stdout;
    for line in [
        "content-type: application/json",
        "  \"x\": [",
        "HTTP/1.1 200",
        "content-type: text/plain",
    ] {
        assert!(show.contains(line), "no {line:?} in {show}");
    }

    let again = [
        "http", "replay", &number, "-d", "other", "-H", "x-a: b", "--json",
    ];
    let again = place.cosmos(&again).succeeded().json();
    assert_eq!(again["exchange"]["replay_of"].to_string(), number);
    assert_eq!(again["exchange"]["response"]["body"]["text"], "other");

    let curl = place.cosmos(&["http", "curl", &number]).succeeded().stdout;
    assert!(curl.starts_with("curl -X POST 'http://app."), "{curl}");
    let har = place
        .cosmos(&["http", "har", &format!("number:{number}")])
        .succeeded()
        .json();
    assert_eq!(
        har["log"]["entries"][0]["request"]["postData"]["text"],
        "{\"x\":[1]}"
    );

    let _ = place
        .cosmos(&["http", "stat:5"])
        .ended(1)
        .told(&["`stat:5`", "status:"]);
    let _ = place
        .cosmos(&["http", "show", "99999"])
        .ended(1)
        .told(&["99999", "cosmos http"]);
    let _ = place.cosmos(&["http", "clear"]).succeeded();
    let none = place.cosmos(&["http"]).succeeded();
    assert_eq!(none.stdout, "", "{none}");
}

#[test]
fn what_passes_is_followed() {
    let place = app();
    let mut following = place.begin(&["http", "-f", "path:/cgi-bin/echo"]);
    let out = following.child().stdout.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(out));
    // Until it follows, nobody knows what it will see. What reads it stays: a further
    // line that nobody takes would end it before the interrupt does.
    let said = std::thread::spawn(move || (lines.next().unwrap().unwrap(), lines));
    until("its line", || {
        send(&place, "POST", "/cgi-bin/echo", &[], "x");
        said.is_finished().then_some(())
    });
    let (line, _lines) = said.join().unwrap();
    assert!(line.contains("200 POST   /cgi-bin/echo"), "{line}");
    following.interrupt();
    assert_eq!(following.end().code, 130);
}

#[test]
fn a_route_says_what_is_kept_of_its_requests() {
    let port = |name: &str, capture: &str| {
        APP.replace("services.app", &format!("services.{name}"))
            .replace(
                "route = 80",
                &format!("route = {{ port = 80, capture = \"{capture}\" }}"),
            )
    };
    let place = Place::new(&format!(
        "{}{}[routes.out]\nupstream = \"http://all.NAME.localhost:1\"\ncapture = \"off\"\n",
        port("all", "unredacted"),
        port("none", "off"),
    ));
    place.write("www/index.html", "hello\n");
    let _ = place.cosmos(&["up"]).succeeded();
    let ask = |service: &str| {
        place.get(service, &format!("/?token={CANARY}")).unwrap();
    };
    ask("none");
    place.get("out", "/").unwrap();
    ask("all");
    let all = listed(&place, "path:token", 1);
    assert_eq!(all.len(), 1, "{all:#?}");
    assert_eq!(all[0]["service"], "all");
    assert_eq!(all[0]["path"], format!("/?token={CANARY}"));
    assert_eq!(all[0]["unredacted"], true);
    assert!(listed(&place, "service:out", 0).is_empty());
}

/// The positions in which a request and its answer can have a secret.
#[test]
fn secrets_in_twenty_positions_are_nowhere() {
    let place = app();
    let jwt = format!("eyJhbGciOiJIUzI1NiJ9.{CANARY}.x");
    let sent: Vec<(&str, String, Vec<String>, String)> = vec![
        ("GET", format!("/a?token={CANARY}"), vec![], String::new()),
        (
            "GET",
            format!("/a?api%5Fkey={CANARY}"),
            vec![],
            String::new(),
        ),
        (
            "GET",
            format!("/a?next=http%3A%2F%2Fu%3A{CANARY}%40x%2F"),
            vec![],
            String::new(),
        ),
        ("GET", format!("/{jwt}/x"), vec![], String::new()),
        (
            "GET",
            "/a".to_owned(),
            vec![format!("Authorization: Bearer {CANARY}")],
            String::new(),
        ),
        (
            "GET",
            "/a".to_owned(),
            vec![format!("Cookie: sid={CANARY}; b={CANARY}")],
            String::new(),
        ),
        (
            "GET",
            "/a".to_owned(),
            vec![format!("X-Api-Key: {CANARY}")],
            String::new(),
        ),
        (
            "GET",
            "/a".to_owned(),
            vec![format!("Referer: http://x/?signature={CANARY}")],
            String::new(),
        ),
        (
            "GET",
            "/a".to_owned(),
            vec![format!("X-Custom: Bearer {CANARY}")],
            String::new(),
        ),
        (
            "POST",
            "/cgi-bin/echo".to_owned(),
            vec!["Content-Type: application/json".to_owned()],
            format!(
                "{{\"a\":{{\"clientSecret\":\"{CANARY}\"}},\"list\":[{{\"password\":\"{CANARY}\"}}]}}"
            ),
        ),
        (
            "POST",
            "/cgi-bin/echo".to_owned(),
            vec!["Content-Type: application/json".to_owned()],
            format!("{{\"p\\u0061ssword\":\"{CANARY}\"}}"),
        ),
        (
            "POST",
            "/cgi-bin/echo".to_owned(),
            vec!["Content-Type: application/x-www-form-urlencoded".to_owned()],
            format!("user=anna&password={CANARY}"),
        ),
        (
            "POST",
            "/cgi-bin/echo".to_owned(),
            vec!["Content-Type: multipart/form-data; boundary=b".to_owned()],
            format!(
                "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{CANARY}\r\n--b--\r\n"
            ),
        ),
        (
            "POST",
            "/cgi-bin/echo".to_owned(),
            vec!["Content-Type: text/plain".to_owned()],
            format!("export DB_PASSWORD={CANARY}\nsee https://u:{CANARY}@x\n{jwt}\n"),
        ),
        (
            "POST",
            "/cgi-bin/echo".to_owned(),
            vec!["Content-Type: application/xml".to_owned()],
            format!("<login><password>{CANARY}</password></login>"),
        ),
        (
            "POST",
            "/cgi-bin/echo".to_owned(),
            vec!["Content-Type: application/json".to_owned()],
            format!("{{\"password\":\"{CANARY}"),
        ),
        ("GET", "/cgi-bin/secret".to_owned(), vec![], String::new()),
        ("GET", "/cgi-bin/drip".to_owned(), vec![], String::new()),
    ];
    let count = sent.len();
    for (method, path, lines, body) in &sent {
        let lines: Vec<_> = lines.iter().map(String::as_str).collect();
        send(&place, method, path, &lines, body);
    }
    let all = listed(&place, "service:app -path:/index status:>0", count);
    let mut said = serde_json::to_string(&all).unwrap();
    for exchange in &all {
        let number = exchange["number"].to_string();
        for verb in [
            &["http", "show", &number][..],
            &["http", "show", &number, "--json"],
            &["http", "curl", &number],
        ] {
            said += &place.cosmos(verb).succeeded().stdout;
        }
    }
    said += &place.cosmos(&["http", "har"]).succeeded().stdout;
    assert!(said.matches("[redacted ").count() > 60, "{said}");
    assert!(said.contains("anna"), "what is no secret is there");
    if let Some(at) = said.find(CANARY) {
        panic!("{}", &said[at.saturating_sub(300)..at + 60]);
    }
    // A search would be a way to guess: what is not there is not found.
    assert!(listed(&place, CANARY, 0).is_empty());
    let _ = (host(&place), SCRIPTS, docker(&["ps", "-q"]));
}
