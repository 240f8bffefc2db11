//! `POST /container` by plain `curl`, who may not, and what else passes the port.

use insta::{allow_duplicates, assert_snapshot};

use crate::support::{Cosmos, docker, inspect, is_running, output_of, until};

/// The id in a reply.
#[track_caller]
fn id_in(reply: &str) -> String {
    let reply: serde_json::Value = serde_json::from_str(reply.lines().next().unwrap()).unwrap();
    reply["container_id"].as_str().unwrap().to_owned()
}

#[test]
fn the_founding_curl_starts_a_container() {
    let cosmos = Cosmos::with_the_usual_names();
    let _ = cosmos
        .run(["start", "--rm", "alpine:latest", "true"])
        .success();
    let reply = cosmos.curl([
        "-X",
        "POST",
        "http://localhost:8080/container",
        "-H",
        "Content-Type: application/json",
        "-d",
        r#"{"action":"start","image":"ubuntu:latest","args":["echo","x"]}"#,
    ]);
    assert_snapshot!(reply, @r#"
    {"container_id":"<64 hex>","status":"started"}[no newline]
    [exit code 0]
    "#);
    let id = id_in(&reply.stdout);
    until("it has said its word", || output_of(&id) == "x\n");
    assert_eq!(
        inspect(
            &id,
            "{{range $name, $_ := .NetworkSettings.Networks}}{{$name}}{{end}}"
        ),
        "cosmos-net"
    );
}

#[test]
fn the_founding_curl_is_obeyed_over_both_kinds_of_addresses() {
    let cosmos = Cosmos::ready();
    for address in ["127.0.0.1", "[::1]"] {
        if std::net::TcpListener::bind(format!("{address}:0")).is_err() {
            assert_eq!(address, "[::1]", "only IPv6 may be missing");
            continue;
        }
        let reply = cosmos.curl([
            "-X",
            "POST",
            &format!("http://{address}:{}/container", cosmos.port()),
            "-H",
            "Content-Type: application/json",
            "-d",
            r#"{"action":"start","image":"alpine:latest","args":["true"]}"#,
        ]);
        allow_duplicates!(assert_snapshot!(reply, @r#"
        {"container_id":"<64 hex>","status":"started"}[no newline]
        [exit code 0]
        "#));
    }
}

#[test]
fn what_curl_starts_has_its_limits() {
    let cosmos = Cosmos::ready();
    let name = cosmos.name("limited");
    let start = format!(
        r#"{{"action":"start","image":"alpine:latest","args":["sleep","600"],"name":"{name}"}}"#
    );
    let id = id_in(&cosmos.post_container(&start, []).stdout);
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.PidsLimit}}";
    assert_eq!(inspect(&id, limits), "2147483648 2147483648 512");
    let status = docker(["exec", &id, "cat", "/proc/1/status"]);
    assert!(status.contains("NoNewPrivs:\t1"), "{status}");
    // Bit 13 is NET_RAW.
    let bounding = status
        .lines()
        .find_map(|line| line.strip_prefix("CapBnd:\t"))
        .unwrap();
    let bounding = u64::from_str_radix(bounding, 16).unwrap();
    assert_eq!(bounding & (1 << 13), 0);
}

#[test]
fn curl_stops_and_restarts_what_curl_or_the_command_line_started() {
    let cosmos = Cosmos::ready();
    let by_hand = cosmos.run(["start", "-d", "alpine:latest"]).success().id();
    let start =
        r#"{"action":"start","image":"alpine:latest","args":["sleep","600"],"name":"NAME"}"#;
    let name = cosmos.name("curled");
    let reply = cosmos.post_container(&start.replace("NAME", &name), []);
    let by_curl = id_in(&reply.stdout);
    // As a whole id, as a prefix, and as a name.
    for (given, id) in [
        (&by_curl, &by_curl),
        (&by_hand, &by_hand),
        (&name, &by_curl),
    ] {
        let order = |action| format!(r#"{{"action":"{action}","container_id":"{given}"}}"#);
        let stopped = cosmos.post_container(&order("stop"), []).to_string();
        assert_eq!(
            stopped,
            "{\"container_id\":\"<64 hex>\",\"status\":\"stopped\"}\n200\n[exit code 0]"
        );
        assert!(!is_running(id));
        let restarted = cosmos.post_container(&order("restart"), []).to_string();
        assert_eq!(
            restarted,
            "{\"container_id\":\"<64 hex>\",\"status\":\"restarted\"}\n200\n[exit code 0]"
        );
        assert!(is_running(id));
    }
}

#[test]
fn curl_cannot_touch_what_cosmos_did_not_start() {
    let cosmos = Cosmos::ready();
    let theirs = cosmos.name("theirs");
    docker([
        "run",
        "-d",
        "--name",
        &theirs,
        "alpine:latest",
        "sleep",
        "600",
    ]);
    for id in [theirs.as_str(), "nobody", &cosmos.proxy()] {
        let body = format!(r#"{{"action":"stop","container_id":"{id}"}}"#);
        let reply = cosmos.post_container(&body, []);
        allow_duplicates!(assert_snapshot!(reply, @r#"
        {"error":{"code":"not_found","message":"there is no ad-hoc container with this `container_id`","hint":"POST /container manages only what it started; use the `cosmos` command for the rest"}}
        404
        [exit code 0]
        "#));
    }
    assert!(is_running(&theirs));
}

/// The last line of the proxy's log about a path. It may be written a moment
/// after the answer.
#[track_caller]
fn logged(cosmos: &Cosmos, path: &str) -> serde_json::Value {
    let find = || {
        let log = output_of(&cosmos.proxy());
        log.lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .rfind(|line| line["path"] == path)
    };
    until("the request is in the log", || find().is_some());
    find().unwrap()
}

#[test]
fn any_other_request_is_proxied_and_logged() {
    let cosmos = Cosmos::ready();
    let name = cosmos.name("site");
    let _ = cosmos
        .run([
            "start",
            "-d",
            "--name",
            &name,
            "nginx:alpine",
            "nginx",
            "-g",
            "daemon off;",
        ])
        .success();
    let host = format!("Host: {name}.localhost:{}", cosmos.port());
    until("the page passes", || {
        let page = cosmos.curl(["-H", &host, &cosmos.url("/?who=me")]);
        page.stdout.contains("Welcome to nginx!")
    });
    let passed = logged(&cosmos, "/?who=me");
    assert_eq!(passed["status"], 200);
    assert_eq!(passed["method"], "GET");
    assert_eq!(
        passed["host"],
        format!("{name}.localhost:{}", cosmos.port())
    );

    let nowhere = cosmos.url("/nowhere");
    let answer = cosmos.curl(["--write-out", "%{http_code}", "-o", "/dev/null", &nowhere]);
    assert_eq!(answer.stdout, "404");
    assert_eq!(logged(&cosmos, "/nowhere")["status"], 404);
}

/// An order that would be obeyed, were it not for what comes with it.
fn start(cosmos: &Cosmos) -> String {
    let name = cosmos.name("never");
    format!(r#"{{"action":"start","image":"alpine:latest","args":["true"],"name":"{name}"}}"#)
}

#[test]
fn what_a_browser_or_a_proxy_adds_is_refused() {
    let cosmos = Cosmos::ready();
    for header in [
        "Origin: http://localhost:8080",
        "Referer: http://localhost/",
        "Cookie: a=b",
        "Sec-Fetch-Site: same-origin",
        "X-Forwarded-For: 127.0.0.1",
    ] {
        let reply = cosmos.post_container(&start(&cosmos), ["-H", header]);
        assert!(reply.stdout.ends_with("\n403\n"), "{header}: {reply}");
    }
}

#[test]
fn a_wrong_token_a_wrong_type_and_an_unknown_key_are_refused() {
    let cosmos = Cosmos::ready();
    let start = start(&cosmos);
    let cases = [
        (start.as_str(), "Authorization: Bearer wrong", "401"),
        (start.as_str(), "Content-Type: text/plain", "415"),
        (start.as_str(), "Content-Encoding: gzip", "415"),
        (start.as_str(), "Host: example.com", "421"),
        (
            &start.replace('}', r#","privileged":true}"#),
            "Accept: */*",
            "400",
        ),
        (
            &start.replace('}', r#","image":"ubuntu:latest"}"#),
            "Accept: */*",
            "400",
        ),
        (r#"{"action":"dance"}"#, "Accept: */*", "400"),
    ];
    for (body, header, status) in cases {
        let reply = cosmos.post_container(body, ["-H", header]);
        assert!(
            reply.stdout.ends_with(&format!("\n{status}\n")),
            "{body} {header}: {reply}"
        );
        assert!(reply.stdout.starts_with(r#"{"error":{"code":""#), "{reply}");
    }
    let by_name = format!("name={}", cosmos.name("never"));
    assert_eq!(docker(["ps", "-aq", "--filter", &by_name]), "");
}

#[test]
fn a_container_may_not_manage() {
    let cosmos = Cosmos::ready();
    // By every way that leads to the proxy: its name, its address, the gateway.
    let template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{.Gateway}}{{end}}";
    let addresses = inspect(&cosmos.proxy(), template);
    let (address, gateway) = addresses.split_once(' ').unwrap();
    let post = |to: &str| {
        let host = format!("Host: localhost:{}", cosmos.port());
        cosmos.run([
            "-q",
            "start",
            "--rm",
            "ubuntu:latest",
            "curl",
            "-s",
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            "-H",
            &host,
            "-H",
            "Content-Type: application/json",
            "-d",
            &start(&cosmos),
            to,
        ])
    };
    for inside in [cosmos.proxy(), address.to_owned()] {
        let reply = post(&format!("http://{inside}:8080/container"));
        assert_eq!(reply.stdout, "403", "{inside}: {reply}");
    }
    let outside = post(&format!("http://{gateway}:{}/container", cosmos.port()));
    assert_eq!(
        outside.stdout, "000",
        "published on the loopback only: {outside}"
    );
}
