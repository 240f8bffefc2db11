//! How a proxy shows that it has the token, before anybody sends it the token.
//!
//! Whoever listens at the port may be anybody: a proxy that is not running leaves its
//! port to the first local user who takes it, and the token stands for root. So a
//! client that knows the token sends a challenge first, and no token. The answer is a
//! 401, as to everybody, with a proof: an HMAC-SHA256 (RFC 2104) of the challenge and
//! the published port, keyed with the token. The port is in it so that nobody can
//! pass the challenge on to a proxy that is published elsewhere.

use ring::hmac;

use super::fingerprint::hex;

/// The request's header: up to 64 letters and digits that are not used twice.
pub const CHALLENGE: &str = "cosmos-challenge";

/// The answer's.
pub const PROOF: &str = "cosmos-proof";

/// 256 bits in hex.
const LONGEST: usize = 64;

/// What a holder of the token answers to a challenge at a published port; `None` if
/// that is no challenge.
pub fn proof(token: &str, challenge: &str, port: u16) -> Option<String> {
    let is_one = (1..=LONGEST).contains(&challenge.len())
        && challenge.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_one.then(|| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, token.as_bytes());
        // Of one meaning: a challenge has no colon.
        let tag = hmac::sign(&key, format!("{PROOF}:{port}:{challenge}").as_bytes());
        hex(tag.as_ref())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_token_another_challenge_and_another_port_have_another_proof() {
        let first = proof("a", "c", 8080);
        assert_eq!(proof("a", "c", 8080), first);
        for other in [
            proof("b", "c", 8080),
            proof("a", "d", 8080),
            proof("a", "c", 8081),
        ] {
            assert!(other.is_some() && other != first);
        }
    }

    #[test]
    fn only_a_challenge_is_answered() {
        assert!(proof("a", "abc123", 8080).is_some());
        for not_one in ["", "a:b", "a b", &"a".repeat(65)] {
            assert_eq!(proof("a", not_one, 8080), None, "{not_one:?}");
        }
    }
}
