//! Decides who may manage: the gate in front of the engine's socket.
//!
//! [`decide`] is a pure function of one request's head. It promises that
//! nothing reaches management but `POST /container` and `/_cosmos/v1/..`, on
//! the names of this machine, from a caller who has the token or is the host's
//! own user with a plain HTTP client. What it does not let through it refuses
//! with a stable code, before a byte of the body is read.
//!
//! The rules and their order are requirements; each has a test. What needs a
//! clock or the body (the rate, the size) is in `manage.rs`, right behind it.

use std::{
    fmt,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use hyper::{
    HeaderMap, Method, Uri, Version,
    header::{
        AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, COOKIE,
        FORWARDED, HOST, HeaderName, HeaderValue, ORIGIN, REFERER, TRANSFER_ENCODING, VIA,
    },
};
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::{
    authority::Authority,
    refusal::{Code, Refusal},
};
use crate::workspace::{Tokenless, proof};

/// The path of the tokenless call.
pub const CONTAINER_PATH: &str = "/container";
/// The prefix of everything else that manages.
pub const API_PREFIX: &str = "/_cosmos/v1/";
/// The dashboard's name: the API answers there too, `/container` does not.
pub const DASHBOARD_HOST: &str = "cosmos.localhost";
/// Where a code is redeemed for a session.
pub const SESSION_PATH: &str = "/_cosmos/v1/session";

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names of this machine under which it can be managed.
pub const MANAGEMENT_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

/// More headers than browsers and servers send, less than would cost us anything.
pub(super) const MOST_HEADERS: usize = 100;

/// The secret that stands for the engine's socket.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Takes over a secret; `None` if it is shorter than 32 characters.
    ///
    /// A short or empty secret would be worse than none: it could be guessed.
    pub fn new(secret: impl Into<String>) -> Option<Self> {
        let secret = secret.into();
        (secret.len() >= 32).then_some(Self(secret))
    }

    /// What shows a client that we have it, if it asks: see [`crate::workspace::proof`].
    pub(super) fn proof(&self, asked: &HeaderMap, port: u16) -> Option<HeaderValue> {
        let challenge = asked.get(proof::CHALLENGE)?.to_str().ok()?;
        HeaderValue::from_str(&proof::proof(&self.0, challenge, port)?).ok()
    }

    /// Itself, for what is signed with it.
    pub(super) fn secret(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn is(&self, given: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(given).into()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What the guard knows beside the request.
#[derive(Debug, Clone)]
pub struct GuardConfig {
    /// The secret.
    pub token: Token,
    /// The port that is published on the host.
    pub port: u16,
    /// What may be done without the token.
    pub tokenless: Tokenless,
    /// Which API paths take a stream instead of JSON: builds, copies. They have
    /// no bound on size and any content type.
    pub is_stream: fn(&str) -> bool,
}

/// A range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subnet {
    address: IpAddr,
    bits: u8,
}

impl Subnet {
    /// Reads `172.18.0.0/16`; `None` if it is no range.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        (bits <= most).then_some(Self { address, bits })
    }

    /// Whether the address is in it.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(net), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.bits)).unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(net), IpAddr::V6(address)) => {
                let mask = u128::MAX
                    .checked_shl(128 - u32::from(self.bits))
                    .unwrap_or(0);
                net.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }
}

/// A network that the proxy's container is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttachedNetwork {
    /// Its addresses.
    pub subnet: Subnet,
    /// The one address in it that is the host, where there is one.
    pub gateway: Option<IpAddr>,
}

/// Who calls management.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// Somebody who has the token.
    Token,
    /// Somebody on the host without it.
    Anonymous,
    /// The dashboard, after somebody who has the token has signed in to it.
    Dashboard,
    /// Whoever asks for the dashboard's own files, which say nothing of anybody.
    Visitor,
}

impl Caller {
    /// For the access log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Anonymous => "anonymous",
            Self::Dashboard => "dashboard",
            Self::Visitor => "visitor",
        }
    }
}

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is traffic for whatever answers to this authority.
    Proxy(Authority),
    /// It is for us.
    Manage(Caller),
    /// It goes nowhere.
    Refuse(Refusal),
}

/// Everything [`decide`] looks at.
#[derive(Clone, Copy)]
pub struct Facts<'a> {
    /// The method.
    pub method: &'a Method,
    /// The target, byte for byte.
    pub target: &'a Uri,
    /// The version.
    pub version: Version,
    /// The headers, duplicates included.
    pub headers: &'a HeaderMap,
    /// Who is at the other end of the connection.
    pub peer: IpAddr,
    /// Whether a live route answers to a host.
    pub is_live: &'a dyn Fn(&str) -> bool,
    /// The networks the proxy is in; `None` while nobody has looked.
    pub networks: Option<&'a [AttachedNetwork]>,
    /// Whether somebody was invited to sign in with this code.
    pub is_invited: &'a dyn Fn(&[u8]) -> bool,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// The rest.
    pub config: &'a GuardConfig,
}

/// Decides what becomes of a request from its head alone.
pub fn decide(facts: &Facts<'_>) -> Verdict {
    match judge(facts) {
        Ok(verdict) => verdict,
        Err(refusal) => Verdict::Refuse(refusal),
    }
}

fn judge(facts: &Facts<'_>) -> Result<Verdict, Refusal> {
    check_message(facts)?;
    let authority = effective_authority(facts)?;

    // Rule 2: management is two paths, byte for byte, on names that cannot be a route's.
    let target = facts
        .target
        .path_and_query()
        .map_or("/", |target| target.as_str());
    let is_container = target == CONTAINER_PATH;
    let is_our_port = authority.port.is_none_or(|port| port == facts.config.port);
    let is_dashboard = authority.host == DASHBOARD_HOST && is_our_port;
    if !is_container && !target.starts_with(API_PREFIX) {
        // No route has this name. What is there is the same for everybody.
        return Ok(match is_dashboard {
            true => Verdict::Manage(Caller::Visitor),
            false => Verdict::Proxy(authority),
        });
    }
    let is_our_name = MANAGEMENT_HOSTS.contains(&authority.host.as_str())
        || (authority.host == DASHBOARD_HOST && !is_container);
    if !(is_our_name && is_our_port) {
        // A name of ours is no route's, even with a port that is not ours.
        if !is_our_name && (facts.is_live)(&authority.host) {
            return Ok(Verdict::Proxy(authority));
        }
        return Err(Refusal::new(
            Code::Misdirected,
            format!("`{authority}` is no name to manage containers under"),
            "call http://localhost:<published port> instead",
        ));
    }

    // Rule 3: the method. Preflights are never answered, so no other site can call.
    if facts.method == Method::OPTIONS {
        return Err(Refusal::new(
            Code::PreflightRefused,
            "no other site may manage containers",
            "call from a command line",
        ));
    }
    if is_container && facts.method != Method::POST {
        return Err(Refusal::new(
            Code::MethodNotAllowed,
            format!("{} is not possible on {CONTAINER_PATH}", facts.method),
            "use POST",
        ));
    }

    let caller = caller(facts, is_container, is_dashboard)?;
    if caller == Caller::Anonymous {
        check_peer(facts)?;
        check_direct(facts.headers)?;
    }
    check_content(facts, is_container)?;
    Ok(Verdict::Manage(caller))
}

/// Over HTTP/1.1 the parser counts them. Over HTTP/2 a browser sends each cookie as
/// a header of its own, and they become one.
fn has_too_many_headers(headers: &HeaderMap) -> bool {
    let cookies = || headers.get_all(COOKIE).iter().count();
    headers.len() > MOST_HEADERS && headers.len() - cookies() > MOST_HEADERS
}

/// Refuses what no upstream should see, whoever it is for.
fn check_message(facts: &Facts<'_>) -> Result<(), Refusal> {
    if facts.method == Method::CONNECT || facts.method == Method::TRACE {
        return Err(Refusal::new(
            Code::MethodRefused,
            format!("{} is not proxied", facts.method),
            "send the request itself, with the route's name as its Host",
        ));
    }
    if has_too_many_headers(facts.headers) {
        return Err(Refusal::new(
            Code::TooManyHeaders,
            format!("there are more than {MOST_HEADERS} headers"),
            "send fewer",
        ));
    }
    for value in facts.headers.get_all(CONNECTION) {
        let names = value.to_str().map_err(|_| {
            Refusal::new(
                Code::ConnectionInvalid,
                "`Connection` is not a list of names",
                "leave it away",
            )
        })?;
        for name in names.split(',').map(str::trim) {
            if is_kept_from_connection(name) {
                return Err(Refusal::new(
                    Code::ConnectionInvalid,
                    format!("`Connection` names `{name}`, which is not for one connection only"),
                    "leave the name out of `Connection`",
                ));
            }
        }
    }
    if facts.target.path() == "*" && facts.method != Method::OPTIONS {
        return Err(Refusal::new(
            Code::TargetInvalid,
            "only OPTIONS may ask about the whole server",
            "send a path, starting with `/`",
        ));
    }
    let mut codings = facts.headers.get_all(TRANSFER_ENCODING).iter();
    let is_plain = match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    };
    if !is_plain {
        return Err(Refusal::new(
            Code::CodingUnknown,
            "the only transfer coding understood is `chunked`",
            "compress with Content-Encoding instead",
        ));
    }
    Ok(())
}

/// Headers that say where a request goes or who sent it: removing them on a
/// client's word would make the upstream see another request.
fn is_kept_from_connection(name: &str) -> bool {
    const KEPT: [&str; 6] = [
        "host",
        "content-length",
        "transfer-encoding",
        "forwarded",
        "authorization",
        "cookie",
    ];
    KEPT.iter().any(|kept| name.eq_ignore_ascii_case(kept))
        || starts_with_ignoring_case(name, "x-forwarded-")
}

fn starts_with_ignoring_case(text: &str, prefix: &str) -> bool {
    text.get(..prefix.len())
        .is_some_and(|head| head.eq_ignore_ascii_case(prefix))
}

/// The one authority a request is for: its Host, which an absolute target must repeat.
fn effective_authority(facts: &Facts<'_>) -> Result<Authority, Refusal> {
    const HINT: &str = "send exactly one Host header: a host name and perhaps a port";
    // HTTP/2 has `:authority` in the place of Host.
    if facts.version == Version::HTTP_2 && !facts.headers.contains_key(HOST) {
        let authority = facts
            .target
            .authority()
            .ok_or_else(|| Refusal::new(Code::HostMissing, "the request names no host", HINT))?;
        return Authority::parse(authority.as_str().as_bytes()).ok_or_else(|| {
            Refusal::new(Code::HostInvalid, "`:authority` is not a host name", HINT)
        });
    }

    let mut hosts = facts.headers.get_all(HOST).iter();
    let host = match (hosts.next(), hosts.next()) {
        (Some(host), None) => host,
        (None, _) => {
            return Err(Refusal::new(
                Code::HostMissing,
                "the request names no host",
                HINT,
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Refusal::new(
                Code::HostDuplicate,
                "the request has more than one Host header",
                HINT,
            ));
        }
    };
    let host = Authority::parse(host.as_bytes()).ok_or_else(|| {
        Refusal::new(
            Code::HostInvalid,
            "the Host header is not a host name",
            HINT,
        )
    })?;

    match (facts.target.scheme_str(), facts.target.authority()) {
        (None, None) => Ok(host),
        (Some("http"), Some(target)) => {
            let target = Authority::parse(target.as_str().as_bytes()).ok_or_else(|| {
                Refusal::new(
                    Code::TargetInvalid,
                    "the target's authority is not a host name",
                    HINT,
                )
            })?;
            if target != host {
                return Err(Refusal::new(
                    Code::HostDisagrees,
                    format!("the target is for `{target}`, but Host says `{host}`"),
                    "make the two the same",
                ));
            }
            Ok(host)
        }
        _ => Err(Refusal::new(
            Code::TargetInvalid,
            "the target is neither a path nor an http URL",
            "send a path, starting with `/`",
        )),
    }
}

/// Rule 4. A wrong token never becomes a tokenless call: who sends one means to be known.
fn caller(facts: &Facts<'_>, is_container: bool, is_dashboard: bool) -> Result<Caller, Refusal> {
    let mut given = facts.headers.get_all(AUTHORIZATION).iter();
    let given = match (given.next(), given.next()) {
        (None, _) => None,
        (Some(only), None) => Some(bearer(only.as_bytes()).unwrap_or_default()),
        (Some(_), Some(_)) => Some(&b""[..]),
    };
    match given {
        None => {}
        Some(given) if facts.config.token.is(given) => return Ok(Caller::Token),
        Some(given) if is_dashboard && opens_session(facts, given) => {
            check_own_page(facts)?;
            return Ok(Caller::Dashboard);
        }
        Some(given) if is_dashboard && facts.config.token.has_signed(given, facts.now) => {
            check_own_page(facts)?;
            check_for_dashboard(facts)?;
            return Ok(Caller::Dashboard);
        }
        Some(_) => {
            return Err(Refusal::new(
                Code::TokenWrong,
                "the Authorization header does not hold this proxy's token",
                "send `Authorization: Bearer <token>`; the `cosmos` command does it by itself",
            ));
        }
    }
    if !is_container {
        return Err(Refusal::new(
            Code::TokenRequired,
            "this call needs the proxy's token",
            "use the `cosmos` command, which has it",
        ));
    }
    match facts.config.tokenless {
        Tokenless::Adhoc => Ok(Caller::Anonymous),
        Tokenless::Off => Err(Refusal::new(
            Code::TokenlessOff,
            "calls without the token are switched off here",
            "use the `cosmos` command, or set `[proxy] tokenless = \"adhoc\"`",
        )),
    }
}

/// What is behind `Bearer`.
pub fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, given) = value.split_at_checked(b"bearer ".len())?;
    let is_bearer = scheme.eq_ignore_ascii_case(b"bearer ");
    is_bearer.then(|| given.trim_ascii_start())
}

/// Whether this is the one call that a code is good for.
fn opens_session(facts: &Facts<'_>, code: &[u8]) -> bool {
    facts.method == Method::POST && facts.target.path() == SESSION_PATH && (facts.is_invited)(code)
}

/// A session is a page's, and no other page may use it: browsers say whose a call is.
fn check_own_page(facts: &Facts<'_>) -> Result<(), Refusal> {
    let is_own_origin = |origin: &HeaderValue| {
        let authority = origin.as_bytes().strip_prefix(b"http://");
        authority
            .and_then(Authority::parse)
            .is_some_and(|authority| {
                let port = authority.port.unwrap_or(80);
                authority.host == DASHBOARD_HOST && port == facts.config.port
            })
    };
    let mut origins = facts.headers.get_all(ORIGIN).iter();
    let mut sites = facts.headers.get_all(SEC_FETCH_SITE).iter();
    let is_own = origins.all(is_own_origin) && sites.all(|site| site == "same-origin");
    match is_own {
        true => Ok(()),
        false => Err(Refusal::new(
            Code::ForeignOrigin,
            "another page calls in the dashboard's name",
            "open the dashboard with `cosmos dashboard`",
        )),
    }
}

/// What the dashboard's buttons do, and what it shows. A page has bugs, and what it shows
/// is foreign; so it can neither make containers nor read the state, whatever happens in it.
fn check_for_dashboard(facts: &Facts<'_>) -> Result<(), Refusal> {
    let path = facts.target.path();
    let rest = path.strip_prefix(API_PREFIX).unwrap_or_default();
    let parts: Vec<_> = rest.split('/').collect();
    let is_for_it = match (facts.method.as_str(), parts.as_slice()) {
        ("GET" | "HEAD", ["state"]) => false,
        ("GET" | "HEAD", _) | ("DELETE", ["exchanges"]) => true,
        ("POST", ["containers", _, order]) => {
            ["start", "stop", "restart", "release"].contains(order)
        }
        ("POST", ["workspaces", _, "rollback"] | ["exchanges", _, "replay"]) => true,
        _ => false,
    };
    match is_for_it {
        true => Ok(()),
        false => Err(Refusal::new(
            Code::NotForTheDashboard,
            "this needs the token; the dashboard does not have it",
            "use the `cosmos` command",
        )),
    }
}

/// Rule 5. Published on loopback, the host arrives as a gateway; a container can only
/// come in with an address of its own, and so can another machine: an engine before 28
/// lets it in to whatever is published, by the container's own address.
fn check_peer(facts: &Facts<'_>) -> Result<(), Refusal> {
    let Some(networks) = facts.networks else {
        return Err(Refusal::new(
            Code::NetworksUnknown,
            "the proxy is still starting",
            "try again in a second",
        ));
    };
    let peer = facts.peer.to_canonical();
    let is_gateway = networks.iter().any(|network| network.gateway == Some(peer));
    if is_gateway || peer.is_loopback() {
        return Ok(());
    }
    let is_inside = networks.iter().any(|network| network.subnet.contains(peer));
    let (code, message) = match is_inside {
        true => (
            Code::PeerIsContainer,
            "containers may not manage containers".to_owned(),
        ),
        false => (
            Code::PeerIsElsewhere,
            format!("{peer} is not the machine that this is on"),
        ),
    };
    Err(Refusal::new(
        code,
        message,
        "call from the host, or with the token",
    ))
}

/// Rule 6. Browsers and proxies send these, `curl` none of them.
fn check_direct(headers: &HeaderMap) -> Result<(), Refusal> {
    const INDIRECT: [HeaderName; 5] = [ORIGIN, REFERER, COOKIE, FORWARDED, VIA];
    let found = headers.keys().find(|name| {
        INDIRECT.contains(name)
            || name.as_str().starts_with("sec-fetch-")
            || name.as_str().starts_with("x-forwarded-")
    });
    match found {
        Some(name) => Err(Refusal::new(
            Code::NotADirectCall,
            format!("the request has a `{name}` header, as a browser or a proxy sends it"),
            "call directly, for example with curl, or send the token",
        )),
        None => Ok(()),
    }
}

/// Rule 7. JSON and nothing else: a form or plain text needs no preflight.
fn check_content(facts: &Facts<'_>, is_container: bool) -> Result<(), Refusal> {
    if is_stream(facts) {
        return Ok(());
    }
    if facts.headers.contains_key(CONTENT_ENCODING) {
        return Err(Refusal::new(
            Code::ContentEncoding,
            "compressed bodies are not read",
            "send the body as it is",
        ));
    }
    let has_body = facts.headers.contains_key(TRANSFER_ENCODING)
        || facts
            .headers
            .get(CONTENT_LENGTH)
            .is_some_and(|length| length != "0");
    let mut types = facts.headers.get_all(CONTENT_TYPE).iter();
    let is_fine = match (types.next(), types.next()) {
        (None, _) => !is_container && !has_body,
        (Some(only), None) => only.to_str().is_ok_and(is_json),
        (Some(_), Some(_)) => false,
    };
    if !is_fine {
        return Err(Refusal::new(
            Code::ContentType,
            "the body must be JSON",
            "send `Content-Type: application/json`",
        ));
    }
    Ok(())
}

/// Whether this is an API path that takes a stream.
pub(super) fn is_stream(facts: &Facts<'_>) -> bool {
    facts.target.path().starts_with(API_PREFIX) && (facts.config.is_stream)(facts.target.path())
}

fn is_json(media_type: &str) -> bool {
    let mut parts = media_type.split(';').map(str::trim);
    let is_json = parts
        .next()
        .is_some_and(|kind| kind.eq_ignore_ascii_case("application/json"));
    is_json
        && match (parts.next(), parts.next()) {
            (None, _) => true,
            (Some(parameter), None) => {
                parameter.eq_ignore_ascii_case("charset=utf-8")
                    || parameter.eq_ignore_ascii_case("charset=\"utf-8\"")
            }
            (Some(_), Some(_)) => false,
        }
}

/// Rule 10: so many tokenless calls a second, and no more.
#[derive(Debug)]
pub(super) struct Bucket(Mutex<(f64, Option<Instant>)>);

impl Bucket {
    /// Ten: more than a person or a script of a person needs.
    const A_SECOND: f64 = 10.0;

    pub(super) fn full() -> Self {
        Self(Mutex::new((Self::A_SECOND, None)))
    }

    /// Takes one, or says how long to wait for one.
    pub(super) fn take(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, last) = *state;
        let passed = last.map_or(0.0, |last| {
            now.saturating_duration_since(last).as_secs_f64()
        });
        let left = (left + passed * Self::A_SECOND).min(Self::A_SECOND);
        if left < 1.0 {
            *state = (left, Some(now));
            return Err(Duration::from_secs_f64((1.0 - left) / Self::A_SECOND));
        }
        *state = (left - 1.0, Some(now));
        Ok(())
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
