//! Reads the authority of a request: which host, and which port.
//!
//! Total: every text is either one authority or refused. Nothing is repaired,
//! since what is repaired here and not by the upstream is a way round the guard.

use std::{fmt, net::Ipv6Addr};

/// The longest host name, RFC 1035 section 3.1.
const LONGEST_HOST: usize = 253;

/// A host and perhaps a port, as one request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// In lower case, without a trailing dot; an IPv6 address in brackets.
    pub host: String,
    /// The port, if one is written.
    pub port: Option<u16>,
}

impl Authority {
    /// Reads `host`, `host:port` or `[address]:port`; `None` if it is none of these.
    ///
    /// User names, percent-encoding, zone ids and anything that is not ASCII
    /// are refused.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(text).ok()?;
        if let Some(rest) = text.strip_prefix('[') {
            let (address, rest) = rest.split_once(']')?;
            let address: Ipv6Addr = address.parse().ok()?;
            let port = match rest.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if rest.is_empty() => None,
                None => return None,
            };
            return Some(Self {
                host: format!("[{address}]"),
                port,
            });
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, None),
        };
        let host = host.strip_suffix('.').unwrap_or(host);
        let is_host = host.len() <= LONGEST_HOST
            && host.split('.').all(|label| {
                !label.is_empty()
                    && label
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
            });
        is_host.then(|| Self {
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => write!(f, "{}:{port}", self.host),
            None => f.write_str(&self.host),
        }
    }
}

/// An empty port is an absent one (RFC 3986 section 3.2.3); a sign or a leading zero is no port.
fn parse_port(text: &str) -> Option<Option<u16>> {
    if text.is_empty() {
        return Some(None);
    }
    let is_port =
        text.len() <= 5 && text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    is_port.then(|| text.parse().ok()).flatten().map(Some)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Option<(String, Option<u16>)> {
        Authority::parse(text.as_bytes()).map(|authority| (authority.host, authority.port))
    }

    #[test]
    fn a_host_is_lower_case_and_has_no_trailing_dot() {
        for (text, host, port) in [
            ("localhost", "localhost", None),
            ("LOCALHOST:8080", "localhost", Some(8080)),
            ("localhost.:8080", "localhost", Some(8080)),
            ("localhost:", "localhost", None),
            ("127.0.0.1:8080", "127.0.0.1", Some(8080)),
            ("[::1]", "[::1]", None),
            ("[0:0:0:0:0:0:0:1]:8080", "[::1]", Some(8080)),
            ("my_app.localhost", "my_app.localhost", None),
        ] {
            assert_eq!(read(text), Some((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_is_not_exactly_one_authority_is_refused() {
        for text in [
            "",
            ".",
            "..",
            "a..b",
            "localhost..",
            " localhost",
            "localhost ",
            "local host",
            "user@localhost",
            "localhost:80:80",
            "localhost:+80",
            "localhost:080",
            "localhost:0",
            "localhost:65536",
            "localhost:8o",
            "%6cocalhost",
            "localhost/",
            "localhost,localhost",
            "[::1",
            "::1",
            "[::1]x",
            "[::1%lo]",
            "[127.0.0.1]",
            "[]",
            "löcalhost",
            "a\tb",
            &"a".repeat(254),
        ] {
            assert_eq!(read(text), None, "{text:?}");
        }
        assert_eq!(Authority::parse(b"local\xffhost"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_authority_or_not(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Some(authority) = Authority::parse(&bytes) {
                // What was understood once is understood the same way again.
                prop_assert_eq!(Authority::parse(authority.to_string().as_bytes()), Some(authority));
            }
        }
    }
}
