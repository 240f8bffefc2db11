//! Who has signed in to the dashboard.
//!
//! Whoever has the token may invite: an invitation is a code that is redeemed once, within
//! two minutes, for a session. A session is signed with the token (HMAC-SHA256, RFC 2104)
//! and kept nowhere: it outlives a restart of the proxy, and ends with the token. It opens
//! less than the token does: see `guard`.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use ring::hmac;
use subtle::ConstantTimeEq as _;
use tokio::time::Instant;

use super::guard::Token;
use crate::workspace::fingerprint::hex;

/// What a session begins with: it is not mistaken for the token.
const SESSION: &str = "cosmos-session";

/// From `cosmos dashboard` to the page that it opens.
const INVITED_FOR: Duration = Duration::from_secs(2 * 60);

/// Longer than a working day; then one signs in again.
const SESSION_FOR: Duration = Duration::from_secs(16 * 60 * 60);

/// Nobody opens more pages in two minutes. The oldest goes for the newest.
const MOST_INVITATIONS: usize = 16;

/// Invitations that were not redeemed yet.
#[derive(Debug, Default)]
pub(super) struct Invitations(Mutex<Vec<Invitation>>);

struct Invitation {
    code: String,
    until: Instant,
}

impl std::fmt::Debug for Invitation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Invitation(..)")
    }
}

impl Invitations {
    /// A new code; none if the system has no chance to give.
    pub(super) fn invite(&self) -> Option<String> {
        let code = drawn()?;
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST_INVITATIONS {
            open.remove(0);
        }
        open.push(Invitation {
            code: code.clone(),
            until: Instant::now() + INVITED_FOR,
        });
        Some(code)
    }

    /// Whether this is a code that can be redeemed.
    pub(super) fn has(&self, code: &[u8]) -> bool {
        self.place(code).is_some()
    }

    /// Takes a code back; false if there is none such.
    pub(super) fn redeem(&self, code: &[u8]) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match place(&mut open, code) {
            Some(place) => {
                open.remove(place);
                true
            }
            None => false,
        }
    }

    fn place(&self, code: &[u8]) -> Option<usize> {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        place(&mut open, code)
    }
}

fn place(open: &mut Vec<Invitation>, code: &[u8]) -> Option<usize> {
    let now = Instant::now();
    open.retain(|invitation| invitation.until > now);
    // All of them, whether or not one was found: how long it takes says nothing.
    let mut found = None;
    for (place, invitation) in open.iter().enumerate() {
        if bool::from(invitation.code.as_bytes().ct_eq(code)) {
            found = Some(place);
        }
    }
    found
}

impl Token {
    /// A session that begins now; none if the system has no chance to give.
    pub(super) fn session(&self) -> Option<String> {
        let until = seconds() + SESSION_FOR.as_secs();
        Some(self.signed(until, &drawn()?))
    }

    pub(super) fn signed(&self, until: u64, drawn: &str) -> String {
        let said = format!("{SESSION}.{until}.{drawn}");
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret());
        let tag = hmac::sign(&key, said.as_bytes());
        format!("{said}.{}", hex(tag.as_ref()))
    }

    /// Whether this is a session that has not ended, at a time in seconds since 1970.
    pub(super) fn has_signed(&self, session: &[u8], now: u64) -> bool {
        let parts = || -> Option<(u64, &str)> {
            let text = std::str::from_utf8(session).ok()?;
            let (until, rest) = text
                .strip_prefix(SESSION)?
                .strip_prefix('.')?
                .split_once('.')?;
            let (drawn, _) = rest.split_once('.')?;
            Some((until.parse().ok()?, drawn))
        };
        let Some((until, drawn)) = parts() else {
            return false;
        };
        let is_signed: bool = self.signed(until, drawn).as_bytes().ct_eq(session).into();
        is_signed && until > now
    }
}

/// 256 bits in hex.
fn drawn() -> Option<String> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).ok()?;
    Some(hex(&bits))
}

/// Now, in seconds since 1970.
pub(super) fn seconds() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_invitation_is_redeemed_once_and_in_time() {
        let invitations = Invitations::default();
        let code = invitations.invite().unwrap();
        assert!(invitations.has(code.as_bytes()));
        assert!(!invitations.has(&code.as_bytes()[1..]));
        assert!(invitations.redeem(code.as_bytes()));
        assert!(!invitations.redeem(code.as_bytes()));
        let late = invitations.invite().unwrap();
        tokio::time::advance(INVITED_FOR).await;
        assert!(!invitations.has(late.as_bytes()));
    }

    #[test]
    fn only_so_many_are_open() {
        let invitations = Invitations::default();
        let codes: Vec<_> = (0..=MOST_INVITATIONS)
            .filter_map(|_| invitations.invite())
            .collect();
        assert!(!invitations.has(codes[0].as_bytes()));
        assert!(invitations.has(codes[1].as_bytes()));
    }

    #[test]
    fn a_session_is_its_tokens_alone_and_ends() {
        let token = Token::new("0123456789abcdef0123456789abcdef").unwrap();
        let now = seconds();
        let session = token.signed(now + SESSION_FOR.as_secs(), &drawn().unwrap());
        assert!(token.has_signed(session.as_bytes(), now));
        assert!(!token.has_signed(session.as_bytes(), now + SESSION_FOR.as_secs() + 1));
        let other = Token::new("another56789abcdef0123456789abcd").unwrap();
        assert!(!other.has_signed(session.as_bytes(), now));
        // A later end is another session, which nobody has signed.
        let until = now + SESSION_FOR.as_secs();
        let later = session.replacen(&format!(".{until}."), &format!(".{}.", until + 9), 1);
        assert_ne!(later, session);
        assert!(!token.has_signed(later.as_bytes(), now));
        for not_one in [
            "",
            "cosmos-session",
            "cosmos-session.1",
            "cosmos-session.x.y.z",
            "é",
        ] {
            assert!(!token.has_signed(not_one.as_bytes(), now), "{not_one}");
        }
    }
}
