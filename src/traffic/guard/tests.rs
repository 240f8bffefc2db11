use proptest::prelude::*;

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// An invitation to the dashboard.
pub(super) const CODE: &str = "c0dec0dec0dec0dec0dec0dec0dec0dec0dec0de";
/// The time of these tests, in seconds since 1970.
pub(super) const NOW: u64 = 1_800_000_000;

/// A session that ends a second after `NOW`, or so long before it.
pub(super) fn session(ended_before: u64) -> String {
    let token = Token::new(TOKEN).unwrap();
    token.signed(NOW + 1 - ended_before, &"d".repeat(64))
}

/// An honest `curl -X POST http://localhost:8080/container` from the host.
#[derive(Debug)]
struct Call {
    method: Method,
    target: &'static str,
    version: Version,
    headers: Vec<(String, String)>,
    peer: &'static str,
    tokenless: Tokenless,
    networks: bool,
}

fn curl() -> Call {
    Call {
        method: Method::POST,
        target: "/container",
        version: Version::HTTP_11,
        headers: vec![
            ("host".into(), "localhost:8080".into()),
            ("content-type".into(), "application/json".into()),
            ("content-length".into(), "2".into()),
        ],
        peer: "172.18.0.1",
        tokenless: Tokenless::Adhoc,
        networks: true,
    }
}

impl Call {
    fn to(mut self, target: &'static str) -> Self {
        self.target = target;
        self
    }
    fn by(mut self, method: Method) -> Self {
        self.method = method;
        self
    }
    fn from(mut self, peer: &'static str) -> Self {
        self.peer = peer;
        self
    }
    fn host(self, host: &str) -> Self {
        self.without("host").with("host", host)
    }
    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
    fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(have, _)| have != name);
        self
    }
    fn bearer(self) -> Self {
        self.with("authorization", &format!("Bearer {TOKEN}"))
    }
    fn verdict(&self) -> Verdict {
        let mut headers = HeaderMap::new();
        for (name, value) in &self.headers {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let networks = [
            AttachedNetwork {
                subnet: Subnet::parse("172.18.0.0/16").unwrap(),
                gateway: Some("172.18.0.1".parse().unwrap()),
            },
            AttachedNetwork {
                subnet: Subnet::parse("fd00:18::/64").unwrap(),
                gateway: Some("fd00:18::1".parse().unwrap()),
            },
        ];
        decide(&Facts {
            method: &self.method,
            target: &self.target.parse().unwrap(),
            version: self.version,
            headers: &headers,
            peer: self.peer.parse().unwrap(),
            is_live: &|host| host == "web.shop.localhost" || host == "localhost",
            networks: self.networks.then_some(&networks),
            is_invited: &|code| code == CODE.as_bytes(),
            now: NOW,
            config: &GuardConfig {
                token: Token::new(TOKEN).unwrap(),
                port: 8080,
                tokenless: self.tokenless,
                is_stream: |path| path.ends_with("/build"),
            },
        })
    }
    /// The verdict in a word: what a table can compare.
    fn word(&self) -> &'static str {
        match self.verdict() {
            Verdict::Proxy(_) => "proxy",
            Verdict::Manage(caller) => caller.as_str(),
            Verdict::Refuse(refusal) => refusal.code.as_str(),
        }
    }
}

#[test]
fn an_honest_call_from_the_host_passes() {
    assert_eq!(curl().word(), "anonymous");
    assert_eq!(curl().bearer().word(), "token");
    assert_eq!(curl().bearer().to("/_cosmos/v1/status").word(), "token");
}

#[test]
fn rule_2_management_is_on_the_names_of_this_machine() {
    for host in [
        "localhost",
        "localhost:8080",
        "LOCALHOST.:8080",
        "127.0.0.1",
        "127.0.0.1:8080",
        "[::1]",
        "[::1]:8080",
    ] {
        assert_eq!(curl().host(host).word(), "anonymous", "{host}");
    }
    for host in [
        "localhost:8081",
        "localhost:80",
        "127.0.0.2",
        "127.1",
        "0x7f000001",
        "2130706433",
        "0.0.0.0:8080",
        "[::ffff:127.0.0.1]",
        "[::]",
        "evil.example",
        "localhost.evil.example",
        "cosmos-proxy",
        "cosmos.localhost",
        "gone.shop.localhost",
    ] {
        assert_eq!(curl().host(host).word(), "misdirected", "{host}");
        assert_eq!(curl().bearer().host(host).word(), "misdirected", "{host}");
    }
}

#[test]
fn rule_2_the_dashboards_name_is_for_the_api_alone() {
    let call = || curl().bearer().host("cosmos.localhost:8080");
    assert_eq!(call().to("/_cosmos/v1/status").word(), "token");
    assert_eq!(call().to("/container").word(), "misdirected");
    assert_eq!(call().to("/").word(), "visitor");
    assert_eq!(call().host("cosmos.localhost:81").to("/").word(), "proxy");
}

/// A call that the dashboard's page makes.
fn page(target: &'static str) -> Call {
    curl()
        .by(Method::GET)
        .to(target)
        .host("cosmos.localhost:8080")
        .with("authorization", &format!("Bearer {}", session(0)))
        .with("sec-fetch-site", "same-origin")
        .with("referer", "http://cosmos.localhost:8080/")
}

#[test]
fn the_dashboards_files_are_for_everybody() {
    for target in ["/", "/app.js", "/x?y", "/_cosmos/v2/x"] {
        let call = page(target).without("authorization").from("172.18.0.9");
        assert_eq!(call.word(), "visitor", "{target}");
    }
}

#[test]
fn the_dashboard_looks_at_everything_but_the_state() {
    for target in [
        "/_cosmos/v1/exchanges",
        "/_cosmos/v1/live",
        "/_cosmos/v1/workspaces/shop/plan",
    ] {
        assert_eq!(page(target).word(), "dashboard", "{target}");
    }
    assert_eq!(page("/_cosmos/v1/state").word(), "not_for_the_dashboard");
}

#[test]
fn the_dashboard_orders_what_its_buttons_say_and_no_more() {
    let by = |method: Method, target| page(target).by(method).word();
    for (method, target) in [
        (
            Method::POST,
            "/_cosmos/v1/containers/web/stop?workspace=shop",
        ),
        (Method::POST, "/_cosmos/v1/containers/web/start"),
        (Method::POST, "/_cosmos/v1/containers/web/restart"),
        (Method::POST, "/_cosmos/v1/containers/web/release"),
        (Method::POST, "/_cosmos/v1/workspaces/shop/rollback"),
        (Method::POST, "/_cosmos/v1/exchanges/7/replay"),
        (Method::DELETE, "/_cosmos/v1/exchanges"),
    ] {
        assert_eq!(by(method, target), "dashboard", "{target}");
    }
    for (method, target) in [
        (Method::PUT, "/_cosmos/v1/workspaces/shop"),
        (Method::DELETE, "/_cosmos/v1/workspaces/shop"),
        (Method::POST, "/_cosmos/v1/containers"),
        (Method::DELETE, "/_cosmos/v1/containers/web"),
        (Method::POST, "/_cosmos/v1/containers/web/scale"),
        (Method::POST, "/_cosmos/v1/containers/web/stop/"),
        (Method::POST, "/_cosmos/v1/token/rotate"),
        (Method::POST, "/_cosmos/v1/session/invite"),
        (Method::POST, "/_cosmos/v1/logins"),
        (Method::PUT, "/_cosmos/v1/state"),
        (Method::PUT, "/_cosmos/v1/images"),
        (Method::POST, "/_cosmos/v1/workspaces/shop/commands/x/run"),
        (
            Method::PUT,
            "/_cosmos/v1/workspaces/shop/services/web/files",
        ),
    ] {
        assert_eq!(by(method, target), "not_for_the_dashboard", "{target}");
    }
    assert_eq!(by(Method::POST, "/container"), "misdirected");
}

#[test]
fn a_session_is_for_the_dashboards_own_page_on_its_own_name() {
    let call = || page("/_cosmos/v1/exchanges");
    assert_eq!(
        call().with("origin", "http://cosmos.localhost:8080").word(),
        "dashboard"
    );
    for (name, value) in [
        ("origin", "http://web.shop.localhost:8080"),
        ("origin", "http://cosmos.localhost:8081"),
        ("origin", "https://cosmos.localhost:8080"),
        ("origin", "null"),
        ("sec-fetch-site", "same-site"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "none"),
    ] {
        assert_eq!(
            call().with(name, value).word(),
            "foreign_origin",
            "{name}: {value}"
        );
    }
    for host in ["localhost:8080", "127.0.0.1:8080"] {
        assert_eq!(call().host(host).word(), "token_wrong", "{host}");
    }
    let ended = format!("Bearer {}", session(1));
    let call = call()
        .without("authorization")
        .with("authorization", &ended);
    assert_eq!(call.word(), "token_wrong");
}

#[test]
fn a_code_is_good_for_one_call() {
    let call = |target| {
        let code = format!("Bearer {CODE}");
        let call = page(target).by(Method::POST);
        call.without("authorization").with("authorization", &code)
    };
    assert_eq!(call(SESSION_PATH).word(), "dashboard");
    assert_eq!(
        call(SESSION_PATH)
            .with("origin", "http://evil.example")
            .word(),
        "foreign_origin"
    );
    assert_eq!(call(SESSION_PATH).by(Method::GET).word(), "token_wrong");
    assert_eq!(
        call(SESSION_PATH).host("localhost:8080").word(),
        "token_wrong"
    );
    assert_eq!(call("/_cosmos/v1/exchanges").word(), "token_wrong");
}

#[test]
fn rule_2_a_live_routes_host_is_proxied_whatever_its_path() {
    for target in ["/container", "/_cosmos/v1/status", "/"] {
        assert_eq!(
            curl().host("web.shop.localhost:8080").to(target).word(),
            "proxy",
            "{target}"
        );
    }
}

#[test]
fn rule_2_no_route_can_take_over_a_management_name() {
    // The table of these tests says that `localhost` is a live route.
    assert_eq!(curl().host("localhost").word(), "anonymous");
}

#[test]
fn rule_2_the_path_is_compared_byte_for_byte() {
    for target in [
        "/",
        "/x/../container",
        "/%63ontainer",
        "//container",
        "/container/",
        "/Container",
        "/container?x=1",
        "/container;x",
        "/containers",
        "/_cosmos/v1",
        "/_cosmos/v2/x",
        "/_Cosmos/v1/x",
        "//_cosmos/v1/x",
        "/./_cosmos/v1/x",
        "/_cosmos//v1/x",
    ] {
        assert_eq!(curl().to(target).word(), "proxy", "{target}");
    }
}

#[test]
fn rule_2_an_absolute_target_must_agree_with_host() {
    let call = || curl().to("http://localhost:8080/container");
    assert_eq!(call().word(), "anonymous");
    assert_eq!(call().host("LOCALHOST:8080").word(), "anonymous");
    assert_eq!(call().host("web.shop.localhost").word(), "host_disagrees");
    assert_eq!(call().host("localhost").word(), "host_disagrees");
    assert_eq!(call().without("host").word(), "host_missing");
    assert_eq!(
        curl().to("https://localhost:8080/container").word(),
        "target_invalid"
    );
    assert_eq!(
        curl().to("http://me@localhost:8080/container").word(),
        "target_invalid"
    );
    assert_eq!(curl().to("localhost:8080").word(), "target_invalid");
}

#[test]
fn a_request_has_exactly_one_valid_host() {
    assert_eq!(curl().without("host").word(), "host_missing");
    assert_eq!(
        curl().with("host", "localhost:8080").word(),
        "host_duplicate"
    );
    for host in [
        "",
        "a b",
        "me@localhost",
        "localhost:8080,localhost",
        "localhost:x",
    ] {
        assert_eq!(curl().host(host).word(), "host_invalid", "{host:?}");
    }
}

#[test]
fn rule_3_container_takes_only_post() {
    for method in [
        Method::GET,
        Method::HEAD,
        Method::PUT,
        Method::DELETE,
        Method::PATCH,
    ] {
        assert_eq!(
            curl().by(method.clone()).word(),
            "method_not_allowed",
            "{method}"
        );
    }
    assert_eq!(curl().by(Method::OPTIONS).word(), "preflight_refused");
    assert_eq!(
        curl()
            .by(Method::OPTIONS)
            .to("/_cosmos/v1/status")
            .bearer()
            .word(),
        "preflight_refused"
    );
}

#[test]
fn rule_4_a_wrong_token_never_falls_back() {
    for value in [
        "Bearer",
        "Bearer ",
        "Bearer x",
        "Bearer 0123456789abcdef0123456789abcdeF",
        "Bearer 0123456789abcdef0123456789abcdef0",
        "Basic 0123456789abcdef0123456789abcdef",
        "0123456789abcdef0123456789abcdef",
        "",
    ] {
        assert_eq!(
            curl().with("authorization", value).word(),
            "token_wrong",
            "{value}"
        );
    }
    assert_eq!(curl().bearer().bearer().word(), "token_wrong");
    assert_eq!(
        curl()
            .with("authorization", &format!("bEARER  {TOKEN}"))
            .word(),
        "token"
    );
}

#[test]
fn rule_4_a_token_elsewhere_is_none() {
    let status = || curl().to("/_cosmos/v1/status");
    assert_eq!(status().word(), "token_required");
    assert_eq!(
        curl()
            .to("/_cosmos/v1/status?token=0123456789abcdef0123456789abcdef")
            .word(),
        "token_required"
    );
    assert_eq!(
        status().with("cookie", &format!("token={TOKEN}")).word(),
        "token_required"
    );
}

#[test]
fn rule_4_tokenless_can_be_off() {
    let mut call = curl();
    call.tokenless = Tokenless::Off;
    assert_eq!(call.word(), "tokenless_off");
    assert_eq!(call.bearer().word(), "token");
}

#[test]
fn rule_5_containers_and_other_machines_are_refused_and_a_gateway_is_not() {
    for (peer, word) in [
        ("172.18.0.1", "anonymous"),
        ("::ffff:172.18.0.1", "anonymous"),
        ("127.0.0.1", "anonymous"),
        ("::1", "anonymous"),
        ("172.18.0.2", "peer_is_container"),
        ("172.18.255.254", "peer_is_container"),
        ("::ffff:172.18.0.2", "peer_is_container"),
        ("fd00:18::2", "peer_is_container"),
        ("fd00:18::1", "anonymous"),
        ("203.0.113.2", "peer_is_elsewhere"),
        ("::ffff:10.0.0.1", "peer_is_elsewhere"),
        ("2001:db8::1", "peer_is_elsewhere"),
    ] {
        assert_eq!(curl().from(peer).word(), word, "{peer}");
    }
    for peer in ["172.18.0.2", "203.0.113.2"] {
        assert_eq!(curl().from(peer).bearer().word(), "token", "{peer}");
    }
}

#[test]
fn rule_5_nobody_is_trusted_before_the_networks_are_known() {
    let mut call = curl();
    call.networks = false;
    assert_eq!(call.word(), "networks_unknown");
    assert_eq!(call.bearer().word(), "token");
}

#[test]
fn rule_6_a_browser_or_a_proxy_is_refused() {
    for name in [
        "origin",
        "referer",
        "cookie",
        "sec-fetch-site",
        "sec-fetch-mode",
        "x-forwarded-for",
        "x-forwarded-anything",
        "forwarded",
        "via",
    ] {
        assert_eq!(curl().with(name, "x").word(), "not_a_direct_call", "{name}");
        assert_eq!(curl().with(name, "x").bearer().word(), "token", "{name}");
    }
}

#[test]
fn rule_7_the_body_is_json_as_it_is() {
    let typed = |kind: &str| {
        curl()
            .without("content-type")
            .with("content-type", kind)
            .word()
    };
    for kind in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=UTF-8",
        "application/json; charset=\"utf-8\"",
    ] {
        assert_eq!(typed(kind), "anonymous", "{kind}");
    }
    for kind in [
        "",
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/json, text/plain",
        "application/json; charset=utf-16",
        "application/json; x=1",
        "application/json; charset=utf-8; x=1",
        "application/jsonp",
        "text/plain; application/json",
    ] {
        assert_eq!(typed(kind), "content_type", "{kind}");
    }
    assert_eq!(curl().without("content-type").word(), "content_type");
    assert_eq!(
        curl().with("content-type", "application/json").word(),
        "content_type"
    );
    assert_eq!(
        curl().with("content-encoding", "gzip").word(),
        "content_encoding"
    );
    assert_eq!(
        curl().bearer().with("content-encoding", "gzip").word(),
        "content_encoding"
    );
}

#[test]
fn rule_7_a_call_without_a_body_needs_no_type_and_a_stream_has_its_own() {
    let get = curl().to("/_cosmos/v1/status").by(Method::GET).bearer();
    let get = get.without("content-type").without("content-length");
    assert_eq!(get.word(), "token");
    let build = || {
        curl()
            .to("/_cosmos/v1/build")
            .bearer()
            .without("content-type")
    };
    assert_eq!(
        build().with("content-type", "application/x-tar").word(),
        "token"
    );
    assert_eq!(build().with("content-encoding", "gzip").word(), "token");
}

#[test]
fn the_rules_are_tried_in_their_order() {
    // Everything is wrong; each step mends the first wrong thing.
    let call = curl()
        .host("evil.example")
        .by(Method::GET)
        .with("authorization", "Bearer x")
        .from("172.18.0.2")
        .with("origin", "http://evil.example")
        .without("content-type");
    assert_eq!(call.word(), "misdirected");
    let call = call.host("localhost");
    assert_eq!(call.word(), "method_not_allowed");
    let call = call.by(Method::POST);
    assert_eq!(call.word(), "token_wrong");
    let call = call.without("authorization");
    assert_eq!(call.word(), "peer_is_container");
    let call = call.from("172.18.0.1");
    assert_eq!(call.word(), "not_a_direct_call");
    let call = call.without("origin");
    assert_eq!(call.word(), "content_type");
    assert_eq!(
        call.with("content-type", "application/json").word(),
        "anonymous"
    );
}

#[test]
fn connect_and_trace_are_refused_everywhere() {
    assert_eq!(
        curl().by(Method::TRACE).host("web.shop.localhost").word(),
        "method_refused"
    );
    assert_eq!(
        curl().by(Method::CONNECT).to("localhost:8080").word(),
        "method_refused"
    );
}

#[test]
fn connection_cannot_name_what_is_not_its_own() {
    let call = |value: &str| {
        curl()
            .host("web.shop.localhost")
            .with("connection", value)
            .word()
    };
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "X-Forwarded-For",
        "x-forwarded-x",
        "Forwarded",
        "authorization",
        "Cookie",
    ] {
        assert_eq!(
            call(&format!("keep-alive, {name}")),
            "connection_invalid",
            "{name}"
        );
    }
    assert_eq!(call("keep-alive, x-mine"), "proxy");
}

#[test]
fn the_only_transfer_coding_is_chunked() {
    let call = |value: &str| {
        curl()
            .host("web.shop.localhost")
            .with("transfer-encoding", value)
    };
    assert_eq!(call("Chunked").word(), "proxy");
    for value in [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "xchunked",
        "",
    ] {
        assert_eq!(call(value).word(), "coding_unknown", "{value}");
    }
    assert_eq!(
        call("chunked").with("transfer-encoding", "chunked").word(),
        "coding_unknown"
    );
}

#[test]
fn a_short_secret_is_no_token() {
    assert_eq!(Token::new(""), None);
    assert_eq!(format!("{:?}", Token::new(TOKEN).unwrap()), "Token(..)");
}

#[test]
fn a_subnet_holds_its_addresses() {
    let contains = |subnet: &str, address: &str| {
        Subnet::parse(subnet)
            .unwrap()
            .contains(address.parse().unwrap())
    };
    assert!(contains("0.0.0.0/0", "1.2.3.4"));
    assert!(contains("10.1.2.3/32", "10.1.2.3"));
    assert!(!contains("10.1.2.3/32", "10.1.2.4"));
    assert!(contains("172.18.0.5/16", "172.18.9.9"));
    assert!(!contains("172.18.0.0/16", "172.19.0.0"));
    assert!(contains("::/0", "fe80::1"));
    assert!(!contains("::/0", "1.2.3.4"));
    for bad in [
        "",
        "10.0.0.0",
        "10.0.0.0/33",
        "::/129",
        "x/8",
        "10.0.0.0/-1",
    ] {
        assert_eq!(Subnet::parse(bad), None, "{bad}");
    }
}

#[test]
fn rule_10_ten_calls_a_second() {
    let bucket = Bucket::full();
    let start = Instant::now();
    for _ in 0..10 {
        assert_eq!(bucket.take(start), Ok(()));
    }
    let wait = bucket.take(start).unwrap_err();
    assert!(
        wait > Duration::from_millis(99) && wait < Duration::from_millis(101),
        "{wait:?}"
    );
    assert_eq!(bucket.take(start + Duration::from_millis(101)), Ok(()));
    assert!(bucket.take(start + Duration::from_millis(101)).is_err());
    // However long it was quiet, no more than ten at once.
    let later = start + Duration::from_secs(3600);
    assert_eq!((0..20).filter(|_| bucket.take(later).is_ok()).count(), 10);
}

fn any_call() -> impl Strategy<Value = Call> {
    let method = prop::sample::select(vec![
        Method::GET,
        Method::POST,
        Method::OPTIONS,
        Method::CONNECT,
        Method::TRACE,
    ]);
    let target = prop::sample::select(vec![
        "/",
        "/container",
        "/_cosmos/v1/x",
        "/_cosmos/v1/build",
        "*",
        "localhost:8080",
        "http://localhost:8080/container",
        "http://evil.example/container",
    ]);
    let name = prop::sample::select(vec![
        "host",
        "authorization",
        "origin",
        "cookie",
        "content-type",
        "content-length",
        "transfer-encoding",
        "connection",
        "x-forwarded-for",
        "content-encoding",
        "x",
    ]);
    let value = prop_oneof![
        prop::sample::select(vec![
            "localhost:8080",
            "web.shop.localhost",
            "application/json",
            "chunked",
            "close",
            "Bearer 0123456789abcdef0123456789abcdef",
            "Host",
        ])
        .prop_map(str::to_owned),
        "[ -~]{0,24}",
    ];
    let headers = prop::collection::vec((name.prop_map(str::to_owned), value), 0..8);
    let peer = prop::sample::select(vec!["172.18.0.1", "172.18.0.2", "::1", "::ffff:172.18.0.2"]);
    (method, target, headers, peer, any::<bool>(), any::<bool>()).prop_map(
        |(method, target, headers, peer, off, networks)| Call {
            method,
            target,
            version: Version::HTTP_11,
            headers,
            peer,
            tokenless: if off {
                Tokenless::Off
            } else {
                Tokenless::Adhoc
            },
            networks,
        },
    )
}

proptest! {
    #[test]
    fn every_request_has_a_verdict_and_no_stranger_manages(call in any_call()) {
        if let Verdict::Manage(caller) = call.verdict() {
            let has = |name: &str| call.headers.iter().any(|(have, _)| have == name);
            match caller {
                Caller::Token | Caller::Dashboard => prop_assert!(has("authorization")),
                Caller::Visitor => prop_assert!(has("host")),
                Caller::Anonymous => {
                    prop_assert!(call.target.ends_with("/container"));
                    prop_assert!(call.method == Method::POST);
                    prop_assert!(!has("authorization") && !has("origin") && !has("cookie"));
                    prop_assert!(call.networks && call.tokenless == Tokenless::Adhoc);
                    prop_assert!(!call.peer.ends_with(".2"));
                }
            }
        }
    }
}
