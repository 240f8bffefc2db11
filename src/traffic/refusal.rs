//! Says why a request goes nowhere: a stable code, words, and a counter.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use hyper::StatusCode;

/// Why a request goes nowhere, and what to do instead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code, which is also its counter.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// What to do instead.
    pub hint: &'static str,
}

impl Refusal {
    pub(super) fn new(code: Code, message: impl Into<String>, hint: &'static str) -> Self {
        Self {
            code,
            message: message.into(),
            hint,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident $text:literal $status:ident;)*) => {
        /// The stable codes of refusals.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[$doc])* $name,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as it is sent.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The status it is sent with.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }
        }
    };
}

codes! {
    /// CONNECT or TRACE.
    MethodRefused "method_refused" METHOD_NOT_ALLOWED;
    /// The target is neither a path nor a URL.
    TargetInvalid "target_invalid" BAD_REQUEST;
    /// No Host.
    HostMissing "host_missing" BAD_REQUEST;
    /// More than one Host.
    HostDuplicate "host_duplicate" BAD_REQUEST;
    /// Not a host and perhaps a port.
    HostInvalid "host_invalid" BAD_REQUEST;
    /// Host and target name two authorities.
    HostDisagrees "host_disagrees" BAD_REQUEST;
    /// More headers than anybody needs.
    TooManyHeaders "too_many_headers" REQUEST_HEADER_FIELDS_TOO_LARGE;
    /// `Connection` names a header that is not its to remove.
    ConnectionInvalid "connection_invalid" BAD_REQUEST;
    /// A transfer coding other than chunked.
    CodingUnknown "coding_unknown" NOT_IMPLEMENTED;
    /// A management path under a name that manages nothing.
    Misdirected "misdirected" MISDIRECTED_REQUEST;
    /// Not POST on `/container`.
    MethodNotAllowed "method_not_allowed" METHOD_NOT_ALLOWED;
    /// A browser asks whether another site may call.
    PreflightRefused "preflight_refused" FORBIDDEN;
    /// A token, but not ours.
    TokenWrong "token_wrong" UNAUTHORIZED;
    /// No token where one is needed.
    TokenRequired "token_required" UNAUTHORIZED;
    /// Tokenless calls are switched off.
    TokenlessOff "tokenless_off" UNAUTHORIZED;
    /// It is not known yet which addresses are containers.
    NetworksUnknown "networks_unknown" SERVICE_UNAVAILABLE;
    /// A container calls.
    PeerIsContainer "peer_is_container" FORBIDDEN;
    /// Another machine calls.
    PeerIsElsewhere "peer_is_elsewhere" FORBIDDEN;
    /// A browser or another proxy calls.
    NotADirectCall "not_a_direct_call" FORBIDDEN;
    /// Another page than the dashboard, with its session.
    ForeignOrigin "foreign_origin" FORBIDDEN;
    /// The dashboard, for what it does not do.
    NotForTheDashboard "not_for_the_dashboard" FORBIDDEN;
    /// Not JSON.
    ContentType "content_type" UNSUPPORTED_MEDIA_TYPE;
    /// Compressed.
    ContentEncoding "content_encoding" UNSUPPORTED_MEDIA_TYPE;
    /// Larger than its bound.
    BodyTooLarge "body_too_large" PAYLOAD_TOO_LARGE;
    /// Slower than its bound.
    BodyTimeout "body_timeout" REQUEST_TIMEOUT;
    /// Nested deeper than its bound.
    BodyTooDeep "body_too_deep" BAD_REQUEST;
    /// Cut or badly framed.
    BodyBroken "body_broken" BAD_REQUEST;
    /// Too many tokenless calls.
    RateLimited "rate_limited" TOO_MANY_REQUESTS;
    /// The request has been here before.
    Loop "loop" LOOP_DETECTED;
    /// No free place for another connection.
    TooManyConnections "too_many_connections" SERVICE_UNAVAILABLE;
}

/// How often each refusal was made since the start.
#[derive(Debug, Default)]
pub struct Refusals([AtomicU64; Code::ALL.len()]);

impl Refusals {
    pub(super) fn count(&self, code: Code) {
        self.0[code as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often this one was made.
    pub fn of(&self, code: Code) -> u64 {
        self.0[code as usize].load(Ordering::Relaxed)
    }

    /// Every code that was used, with its count.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        Code::ALL
            .iter()
            .map(|code| (code.as_str(), self.of(*code)))
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_code_is_one_word_of_its_own() {
        let words: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(words.len(), Code::ALL.len());
        for (place, code) in Code::ALL.iter().enumerate() {
            assert_eq!(*code as usize, place);
            assert!(code.status().is_client_error() || code.status().is_server_error());
        }
    }
}
