//! Any bytes at all, held against a second opinion.
//!
//! What hyper would let through as a request is made of bytes by chance and of the
//! words that matter. The gate has a verdict for each, and whatever it lets to
//! management satisfies rules that are written here once more, from the requirements
//! and not from the gate. `COSMOS_TEST_FUZZ` says how many there are to be.

use hyper::header::HeaderValue;
use proptest::prelude::*;

use super::{
    tests::{CODE, NOW, session},
    *,
};

const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// Enough for a minute of nobody's patience: a thousand take a tenth of a second.
const CASES: u32 = 4_000;

fn cases() -> u32 {
    let wished = std::env::var("COSMOS_TEST_FUZZ");
    wished.map_or(CASES, |text| text.parse().unwrap())
}

/// A word that matters, one with a byte changed, or no word at all.
fn bytes(words: &'static [&'static str]) -> impl Strategy<Value = Vec<u8>> {
    let word = prop::sample::select(words).prop_map(|word| word.as_bytes().to_vec());
    let bent = (word.clone(), any::<prop::sample::Index>(), any::<u8>()).prop_map(
        |(mut word, at, byte)| {
            if !word.is_empty() {
                let at = at.index(word.len());
                match byte % 3 {
                    0 => word[at] = byte,
                    1 => word.insert(at, byte),
                    _ => drop(word.remove(at)),
                }
            }
            word
        },
    );
    prop_oneof![
        6 => word,
        2 => bent,
        1 => prop::collection::vec(any::<u8>(), 0..40),
    ]
}

const METHODS: &[&str] = &[
    "POST", "GET", "OPTIONS", "PUT", "CONNECT", "TRACE", "post", "X",
];
const TARGETS: &[&str] = &[
    "/container",
    "/container",
    "/container?x",
    "/container/",
    "/x/../container",
    "/%63ontainer",
    "/_cosmos/v1/state",
    "/_cosmos/v1/",
    "/_cosmos/v1",
    "http://localhost:8080/container",
    "http://evil.example/container",
    "*",
    "localhost:8080",
    "/",
];
const HOSTS: &[&str] = &[
    "localhost:8080",
    "localhost:8080",
    "localhost",
    "LOCALHOST.",
    "127.0.0.1:8080",
    "[::1]:8080",
    "[::1%25lo]",
    "cosmos.localhost:8080",
    "web.shop.localhost",
    "evil.example",
    "localhost:8080@evil.example",
    "localhost:08080",
    "",
];
const NAMES: &[&str] = &[
    "authorization",
    "origin",
    "referer",
    "cookie",
    "sec-fetch-site",
    "x-forwarded-for",
    "forwarded",
    "via",
    "content-type",
    "content-encoding",
    "content-length",
    "transfer-encoding",
    "connection",
    "host",
    "accept",
];
const VALUES: &[&str] = &[
    "Bearer 0123456789abcdef0123456789abcdef",
    "bearer 0123456789abcdef0123456789abcdef",
    "Bearer 0123456789abcdef0123456789abcde",
    "application/json",
    "application/json; charset=utf-8",
    "text/plain",
    "chunked",
    "close",
    "host",
    "0",
    "2",
    "null",
    "",
];

fn addresses() -> impl Strategy<Value = IpAddr> {
    let known = prop::sample::select(vec![
        "172.18.0.1",
        "172.18.0.2",
        "127.0.0.1",
        "::1",
        "::ffff:172.18.0.1",
        "::ffff:172.18.0.2",
        "fd00:18::1",
        "fd00:18::2",
        "203.0.113.2",
    ]);
    prop_oneof![
        4 => known.prop_map(|text| text.parse().unwrap()),
        1 => any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())),
        1 => any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())),
    ]
}

#[derive(Debug)]
struct Message {
    method: Method,
    target: Uri,
    version: Version,
    headers: HeaderMap,
    peer: IpAddr,
    tokenless: Tokenless,
    knows_networks: bool,
}

/// What hyper would hand on; `None` for what it would not.
fn message(
    method: &[u8],
    target: Vec<u8>,
    host: &[u8],
    fields: Vec<(Vec<u8>, Vec<u8>)>,
    rest: (IpAddr, bool, bool, bool),
) -> Option<Message> {
    let mut headers = HeaderMap::new();
    headers.append(HOST, HeaderValue::from_bytes(host).ok()?);
    for (name, value) in fields {
        let name = HeaderName::from_bytes(&name).ok()?;
        headers.append(name, HeaderValue::from_bytes(&value).ok()?);
    }
    let (peer, is_off, knows_networks, is_http2) = rest;
    Some(Message {
        method: Method::from_bytes(method).ok()?,
        target: Uri::try_from(target).ok()?,
        version: match is_http2 {
            true => Version::HTTP_2,
            false => Version::HTTP_11,
        },
        headers,
        peer,
        tokenless: match is_off {
            true => Tokenless::Off,
            false => Tokenless::Adhoc,
        },
        knows_networks,
    })
}

/// An honest call, of which some things are otherwise.
fn messages() -> impl Strategy<Value = Option<Message>> {
    fn mostly(
        honest: &'static str,
        other: &'static [&'static str],
    ) -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![4 => Just(honest.as_bytes().to_vec()), 1 => bytes(other)]
    }
    let field = (bytes(NAMES), bytes(VALUES));
    let further = prop_oneof![
        3 => Just(Vec::new()),
        1 => prop::collection::vec(field, 1..4),
    ];
    let token = prop_oneof![
        2 => Just(None),
        1 => mostly(VALUES[0], VALUES).prop_map(Some),
    ];
    let kind = mostly("application/json", VALUES);
    let fields = (further, token, kind).prop_map(|(mut fields, token, kind)| {
        fields.push((b"content-type".to_vec(), kind));
        fields.extend(token.map(|token| (b"authorization".to_vec(), token)));
        fields
    });
    let peer = prop_oneof![2 => Just(IpAddr::from([172, 18, 0, 1])), 1 => addresses()];
    let seldom = || prop::bool::weighted(0.15);
    let rest = (
        peer,
        seldom(),
        seldom().prop_map(|unknown| !unknown),
        seldom(),
    );
    let (method, target, host) = (
        mostly("POST", METHODS),
        mostly("/container", TARGETS),
        mostly("localhost:8080", HOSTS),
    );
    let any =
        (method, target, host, fields, rest).prop_map(|(method, target, host, fields, rest)| {
            message(&method, target, &host, fields, rest)
        });
    prop_oneof![3 => any, 1 => of_a_page()]
}

const OF_PAGES: &[&str] = &[
    "/",
    "/_cosmos/v1/session",
    "/_cosmos/v1/exchanges",
    "/_cosmos/v1/state",
    "/_cosmos/v1/containers/web/stop",
    "/_cosmos/v1/containers/web/scale",
    "/_cosmos/v1/workspaces/shop",
    "/_cosmos/v1/workspaces/shop/rollback",
    "/_cosmos/v1/exchanges/7/replay",
];
const PAGES: &[&str] = &[
    "http://cosmos.localhost:8080",
    "http://web.shop.localhost:8080",
    "same-origin",
    "same-site",
];

/// A call as the dashboard makes it, of which some things are otherwise.
fn of_a_page() -> impl Strategy<Value = Option<Message>> {
    let secret = prop::sample::select(vec![
        format!("Bearer {}", session(0)),
        format!("Bearer {}", session(2)),
        format!("Bearer {CODE}"),
        format!("Bearer {}x", session(0)),
    ]);
    let method = prop::sample::select(vec!["GET", "POST", "PUT", "DELETE"]);
    let host = prop_oneof![6 => Just(b"cosmos.localhost:8080".to_vec()), 1 => bytes(HOSTS)];
    let further = prop_oneof![
        2 => Just(Vec::new()),
        1 => (prop::sample::select(vec!["origin", "sec-fetch-site"]), bytes(PAGES))
            .prop_map(|(name, value)| vec![(name.as_bytes().to_vec(), value)]),
    ];
    let call = (method, bytes(OF_PAGES), host, secret, further, addresses());
    call.prop_map(|(method, target, host, secret, mut fields, peer)| {
        fields.push((b"authorization".to_vec(), secret.into_bytes()));
        message(
            method.as_bytes(),
            target,
            &host,
            fields,
            (peer, false, true, false),
        )
    })
}

/// What the dashboard may, once more.
fn may_dashboard(message: &Message, path: &str, name: &str) -> Result<(), &'static str> {
    let claim = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    claim(name == "cosmos.localhost", "the name is the dashboard's")?;
    let own = "http://cosmos.localhost:8080";
    let (origins, sites) = (values(message, "origin"), values(message, "sec-fetch-site"));
    let is_own = |origin: &String| {
        // A name may end with a dot, and is the same in capitals.
        origin
            .to_ascii_lowercase()
            .replace("localhost.:", "localhost:")
            == own
    };
    claim(
        origins.iter().all(is_own) && sites.iter().all(|site| site == "same-origin"),
        "no other page calls",
    )?;
    let path = path.split('?').next().unwrap_or_default();
    let method = message.method.as_str();
    match values(message, "authorization").as_slice() {
        [one] if *one == format!("Bearer {CODE}") => claim(
            method == "POST" && path == "/_cosmos/v1/session",
            "a code is good for one call",
        ),
        [one] if *one == format!("Bearer {}", session(0)) => {
            let rest = path.strip_prefix("/_cosmos/v1/").unwrap_or_default();
            let is = |start: &str, end: &str| {
                let about = rest
                    .strip_prefix(start)
                    .and_then(|rest| rest.strip_suffix(end));
                about.is_some_and(|about| !about.contains('/'))
            };
            let is_button = is("containers/", "/start")
                || is("containers/", "/stop")
                || is("containers/", "/restart")
                || is("containers/", "/release")
                || is("workspaces/", "/rollback")
                || is("exchanges/", "/replay");
            claim(
                matches!(method, "GET" | "HEAD") && rest != "state"
                    || method == "DELETE" && rest == "exchanges"
                    || method == "POST" && is_button,
                "it has a button for it",
            )
        }
        _ => Err("somebody has signed in"),
    }
}

fn judged(message: &Message) -> Verdict {
    let network = |subnet: &str, gateway: &str| AttachedNetwork {
        subnet: Subnet::parse(subnet).unwrap(),
        gateway: Some(gateway.parse().unwrap()),
    };
    let networks = [
        network("172.18.0.0/16", "172.18.0.1"),
        network("fd00:18::/64", "fd00:18::1"),
    ];
    decide(&Facts {
        method: &message.method,
        target: &message.target,
        version: message.version,
        headers: &message.headers,
        peer: message.peer,
        is_live: &|host| host == "web.shop.localhost",
        networks: message.knows_networks.then_some(&networks),
        is_invited: &|code| code == CODE.as_bytes(),
        now: NOW,
        config: &GuardConfig {
            token: Token::new(TOKEN).unwrap(),
            port: 8080,
            tokenless: message.tokenless,
            is_stream: |path| path == "/_cosmos/v1/state",
        },
    })
}

/// The values of a field, as they are.
fn values(message: &Message, name: &str) -> Vec<String> {
    let values = message.headers.get_all(name).iter();
    values
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect()
}

/// Who may manage, once more.
fn may_manage(message: &Message, caller: Caller) -> Result<(), &'static str> {
    let claim = |holds: bool, what| if holds { Ok(()) } else { Err(what) };
    let target = message.target.to_string();
    let path = target
        .strip_prefix("http://")
        .map_or(target.as_str(), |rest| {
            rest.find('/').map_or("/", |at| &rest[at..])
        });
    let is_container = path == "/container";
    claim(
        is_container || path.starts_with("/_cosmos/v1/") || caller == Caller::Visitor,
        "the path is management's",
    )?;

    let [host] = values(message, "host").try_into().map_err(|_| "one Host")?;
    let host = host.to_ascii_lowercase();
    let name = match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => {
            claim(port.is_empty() || port == "8080", "the port is ours")?;
            name.to_owned()
        }
        _ => host,
    };
    let name = name.strip_suffix('.').unwrap_or(&name);
    claim(
        ["localhost", "127.0.0.1", "[::1]"].contains(&name)
            || name == "cosmos.localhost" && !is_container,
        "the name is ours",
    )?;
    if caller == Caller::Visitor {
        return claim(
            name == "cosmos.localhost",
            "only the dashboard is for everybody",
        );
    }
    claim(message.method != Method::OPTIONS, "no preflight")?;
    claim(
        !is_container || message.method == Method::POST,
        "POST on /container",
    )?;

    let tokens = values(message, "authorization");
    match caller {
        Caller::Token => claim(
            matches!(tokens.as_slice(), [one] if one[..7].eq_ignore_ascii_case("bearer ") && one[7..].trim() == TOKEN),
            "the token is there, once",
        ),
        Caller::Visitor => Err("it is decided above"),
        Caller::Dashboard => may_dashboard(message, path, name),
        Caller::Anonymous => {
            claim(tokens.is_empty(), "no token is no token")?;
            claim(is_container, "only /container")?;
            claim(message.tokenless == Tokenless::Adhoc, "it is not off")?;
            claim(message.knows_networks, "it is known who is who")?;
            let peer = message.peer.to_canonical().to_string();
            claim(
                ["172.18.0.1", "fd00:18::1", "::1"].contains(&peer.as_str())
                    || peer.starts_with("127."),
                "the peer is the host",
            )?;
            let is_foreign = message.headers.keys().any(|name| {
                let name = name.as_str();
                ["origin", "referer", "cookie", "forwarded", "via"].contains(&name)
                    || name.starts_with("sec-fetch-")
                    || name.starts_with("x-forwarded-")
            });
            claim(!is_foreign, "no browser and no proxy")?;
            claim(
                values(message, "content-encoding").is_empty(),
                "it is not compressed",
            )?;
            claim(
                matches!(values(message, "content-type").as_slice(), [one] if one.to_ascii_lowercase().starts_with("application/json")),
                "it is JSON",
            )
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(cases()))]

    #[test]
    fn any_bytes_have_a_verdict_and_whoever_manages_may(message in messages()) {
        let Some(message) = message else { return Ok(()) };
        match judged(&message) {
            Verdict::Manage(caller) => {
                let opinion = may_manage(&message, caller);
                prop_assert!(opinion.is_ok(), "{opinion:?} of {caller:?}");
            }
            Verdict::Refuse(refusal) => {
                prop_assert!(!refusal.message.is_empty() && !refusal.hint.is_empty());
                let is_printable = refusal.message.chars().all(|letter| !letter.is_control());
                prop_assert!(is_printable, "{:?}", refusal.message);
            }
            // Nobody's name but a route's, or a path that is not ours.
            Verdict::Proxy(_) => {}
        }
    }
}

/// Without these, a fuzzer that never gets past the first rule would seem content.
#[test]
fn those_who_may_are_among_the_messages() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let (mut anonymous, mut known, mut of_pages) = (0, 0, 0);
    let mut refused = std::collections::BTreeSet::new();
    for _ in 0..20_000 {
        let Some(message) = messages().new_tree(&mut runner).unwrap().current() else {
            continue;
        };
        match judged(&message) {
            Verdict::Manage(Caller::Anonymous) => anonymous += 1,
            Verdict::Manage(Caller::Token) => known += 1,
            Verdict::Manage(Caller::Dashboard) => of_pages += 1,
            Verdict::Manage(Caller::Visitor) => {}
            Verdict::Refuse(refusal) => drop(refused.insert(refusal.code)),
            Verdict::Proxy(_) => {}
        }
    }
    assert!(
        anonymous > 500 && known > 500 && of_pages > 100 && refused.len() > 15,
        "{anonymous} without, {known} with the token, {of_pages} of pages, {refused:?}"
    );
}
