//! Changes the headers of a message on its way: what was for one connection
//! goes, what says who asked is written by us.

use std::net::IpAddr;

use bytes::Bytes;
use hyper::{
    HeaderMap, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, FORWARDED, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
        PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

use super::authority::Authority;

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// The request's id, kept from the client if it is one.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// How many times a request has been through a Cosmos proxy.
pub(super) const X_COSMOS_HOPS: HeaderName = HeaderName::from_static("x-cosmos-hops");

/// What is for one connection, whether its `Connection` says so or not.
static FOR_ONE_CONNECTION: [HeaderName; 7] = [
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// How many headers [`stamp`] writes.
const OURS: usize = 9;

/// A request that comes back this often is going round.
pub(super) const MOST_HOPS: u32 = 5;

/// Removes what was for one connection only: `Connection`, all it names, and
/// the usual ones whether it names them or not. Returns whether trailers are welcome.
pub(super) fn strip(headers: &mut HeaderMap) -> bool {
    let takes_trailers = headers.get_all(TE).iter().any(|value| {
        value
            .as_bytes()
            .split(|byte| *byte == b',')
            .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
    });
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
            .collect();
        headers.remove(CONNECTION);
        for name in named {
            headers.remove(name);
        }
    }
    // Mostly there is none of them, and looking is cheaper than removing.
    if headers.keys().any(is_for_one_connection) {
        for name in &FOR_ONE_CONNECTION {
            headers.remove(name);
        }
    }
    takes_trailers
}

fn is_for_one_connection(name: &HeaderName) -> bool {
    FOR_ONE_CONNECTION.contains(name)
}

/// Makes an answer say in one way where it ends; false if it says two things,
/// or nothing that can be passed on.
///
/// hyper reads chunks whatever the length beside them says, but would pass that
/// length on; and of an unknown coding it only knows the last bytes' end.
pub(super) fn settle_framing(answer: &mut HeaderMap) -> bool {
    let mut codings = answer.get_all(TRANSFER_ENCODING).iter();
    if let Some(coding) = codings.next() {
        let is_chunked = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
        let is_only = codings.next().is_none();
        answer.remove(CONTENT_LENGTH);
        return is_chunked && is_only;
    }
    let mut lengths = answer
        .get_all(CONTENT_LENGTH)
        .iter()
        .map(HeaderValue::as_bytes);
    let Some(length) = lengths.next() else {
        return true;
    };
    let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit);
    let is_one = is_number && lengths.all(|another| another == length);
    if let (true, Ok(length)) = (is_one, HeaderValue::from_bytes(length)) {
        answer.insert(CONTENT_LENGTH, length);
    }
    is_one
}

/// What is written into a request's headers.
pub(super) struct Stamp<'a> {
    /// The client.
    pub(super) peer: IpAddr,
    /// What it speaks.
    pub(super) version: Version,
    /// Whom it asked.
    pub(super) authority: &'a Authority,
    /// The port published on the host.
    pub(super) port: u16,
    /// The request's id.
    pub(super) id: &'a str,
    /// How often it has been here, this time included.
    pub(super) hops: u32,
}

/// Removes what only we say of a request, for its trailers: many an upstream
/// reads them as headers.
pub(super) fn strip_of_ours(trailers: &mut HeaderMap) {
    strip_look_alikes(trailers);
    let ours: Vec<HeaderName> = trailers
        .keys()
        .filter(|name| is_ours(name.as_str()) || **name == FORWARDED || **name == VIA)
        .cloned()
        .collect();
    for name in ours {
        trailers.remove(name);
    }
}

/// Writes who asked for what, over anything that the client says about it.
pub(super) fn stamp(headers: &mut HeaderMap, stamp: &Stamp<'_>) {
    strip_look_alikes(headers);
    // Room for all of ours at once: the map grows by moving everything.
    headers.reserve(OURS);
    let peer = stamp.peer.to_string();
    let host = stamp.authority.to_string();
    let forwarded = if stamp.peer.is_ipv6() {
        format!("for=\"[{peer}]\";host=\"{host}\";proto=http")
    } else {
        format!("for={peer};host=\"{host}\";proto=http")
    };
    let port = stamp.authority.port.unwrap_or(stamp.port);
    let peer = value_of(peer);
    set(headers, X_FORWARDED_FOR, peer.clone());
    set(headers, X_REAL_IP, peer);
    set(headers, X_FORWARDED_HOST, value_of(host));
    set(headers, FORWARDED, value_of(forwarded));
    set(headers, X_REQUEST_ID, HeaderValue::from_str(stamp.id).ok());
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static("http"));
    headers.insert(X_FORWARDED_PORT, HeaderValue::from(port));
    headers.insert(X_COSMOS_HOPS, HeaderValue::from(stamp.hops));
    let via = match stamp.version {
        Version::HTTP_10 => "1.0 cosmos",
        Version::HTTP_2 => "2.0 cosmos",
        _ => "1.1 cosmos",
    };
    headers.append(VIA, HeaderValue::from_static(via));
}

/// Removes what becomes a header of ours, or a body's end, in many an upstream
/// (CGI, WSGI): `X_Forwarded_For`.
fn strip_look_alikes(headers: &mut HeaderMap) {
    let colliding: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().contains('_'))
        .filter(|name| {
            let read_as = name.as_str().replace('_', "-");
            is_ours(&read_as) || is_framing(&read_as)
        })
        .cloned()
        .collect();
    for name in colliding {
        headers.remove(name);
    }
}

fn set(headers: &mut HeaderMap, name: HeaderName, value: Option<HeaderValue>) {
    match value {
        Some(value) => headers.insert(name, value),
        // Better none than the client's.
        None => headers.remove(name),
    };
}

/// The text as a header's value, without another copy of it.
fn value_of(text: String) -> Option<HeaderValue> {
    HeaderValue::from_maybe_shared(Bytes::from(text)).ok()
}

fn is_ours(name: &str) -> bool {
    [
        X_FORWARDED_FOR,
        X_FORWARDED_HOST,
        X_FORWARDED_PROTO,
        X_FORWARDED_PORT,
        X_REAL_IP,
        X_REQUEST_ID,
        X_COSMOS_HOPS,
    ]
    .iter()
    .any(|ours| ours == name)
}

/// What says where a body ends: an upstream that reads `Content_Length` as such
/// would see another request than we do.
fn is_framing(name: &str) -> bool {
    [CONTENT_LENGTH, TRANSFER_ENCODING]
        .iter()
        .any(|framing| framing == name)
}

/// The client's own id for the request, if it is short and plain.
pub(super) fn valid_request_id(headers: &HeaderMap) -> Option<&str> {
    let mut ids = headers.get_all(X_REQUEST_ID).iter();
    let (Some(only), None) = (ids.next(), ids.next()) else {
        return None;
    };
    let id = only.to_str().ok()?;
    let is_plain = (1..=128).contains(&id.len())
        && id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    is_plain.then_some(id)
}

/// How often the request says it has been through a proxy like this.
pub(super) fn hops(headers: &HeaderMap) -> u32 {
    headers
        .get_all(X_COSMOS_HOPS)
        .iter()
        .filter_map(|value| value.to_str().ok()?.parse().ok())
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    fn names(headers: &HeaderMap) -> Vec<&str> {
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        names
    }

    #[test]
    fn what_is_for_one_connection_goes() {
        let mut headers = headers(&[
            ("connection", "close, X-Mine"),
            ("connection", "x-other"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-connection", "keep-alive"),
            ("proxy-authenticate", "x"),
            ("proxy-authorization", "x"),
            ("te", "gzip, Trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("accept", "text/html"),
            ("trailer", "x-sum"),
        ]);
        assert!(strip(&mut headers));
        assert_eq!(names(&headers), ["accept", "trailer"]);
        assert!(!strip(&mut headers));
    }

    #[test]
    fn an_answer_ends_in_one_way() {
        for (lines, left) in [
            (&[][..], Some(vec![])),
            (&[("content-length", "2")], Some(vec!["2"])),
            (
                &[("content-length", "2"), ("content-length", "2")],
                Some(vec!["2"]),
            ),
            (&[("content-length", "2"), ("content-length", "3")], None),
            (&[("content-length", "2, 2")], None),
            (&[("content-length", "")], None),
            (
                &[("transfer-encoding", "Chunked"), ("content-length", "9")],
                Some(vec![]),
            ),
            (&[("transfer-encoding", "gzip, chunked")], None),
            (&[("transfer-encoding", "identity")], None),
            (
                &[
                    ("transfer-encoding", "chunked"),
                    ("transfer-encoding", "chunked"),
                ],
                None,
            ),
        ] {
            let mut answer = headers(lines);
            let settled = settle_framing(&mut answer).then(|| {
                let lengths = answer.get_all("content-length").iter();
                lengths.map(|length| length.to_str().unwrap()).collect()
            });
            assert_eq!(settled, left, "{lines:?}");
        }
    }

    #[test]
    fn who_asked_is_written_by_us() {
        let mut headers = headers(&[
            ("x-forwarded-for", "6.6.6.6"),
            ("x-forwarded-for", "7.7.7.7"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x_request-id", "6"),
            ("content_length", "6"),
            ("transfer_encoding", "chunked"),
            ("x_mine", "kept"),
            ("forwarded", "for=6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("via", "1.1 other"),
        ]);
        stamp(
            &mut headers,
            &Stamp {
                peer: "fd00::2".parse().unwrap(),
                version: Version::HTTP_11,
                authority: &Authority::parse(b"web.shop.localhost:8080").unwrap(),
                port: 8080,
                id: "id-1",
                hops: 1,
            },
        );
        let mut lines: Vec<String> = headers
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        assert_eq!(
            lines,
            [
                "forwarded: for=\"[fd00::2]\";host=\"web.shop.localhost:8080\";proto=http",
                "via: 1.1 cosmos",
                "via: 1.1 other",
                "x-cosmos-hops: 1",
                "x-forwarded-for: fd00::2",
                "x-forwarded-host: web.shop.localhost:8080",
                "x-forwarded-port: 8080",
                "x-forwarded-proto: http",
                "x-real-ip: fd00::2",
                "x-request-id: id-1",
                "x_mine: kept",
            ]
        );
    }

    #[test]
    fn a_clients_request_id_is_kept_only_if_it_is_plain() {
        let id = |value| valid_request_id(&headers(&[("x-request-id", value)])).map(str::to_owned);
        assert_eq!(id("a-B_9.z").as_deref(), Some("a-B_9.z"));
        assert_eq!(id(""), None);
        assert_eq!(id("a b"), None);
        assert_eq!(
            valid_request_id(&headers(&[("x-request-id", "a"), ("x-request-id", "b")])),
            None
        );
    }
}
