//! Knows names behind which secrets stand: of headers, fields, parameters, variables.

/// Names that end with one of these words: `x-api-key`, `accessToken`, `DB_PASSWORD`.
const LAST_WORDS: [&str; 21] = [
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "jwt",
    "key",
    "otp",
    "passphrase",
    "passwd",
    "password",
    "passcode",
    "pwd",
    "secret",
    "secrets",
    "sessionid",
    "sid",
    "sig",
    "signature",
    "token",
];

/// Names that are one of these, written in one word.
const WHOLE: [&str; 12] = [
    "accesskey",
    "accesstoken",
    "apikey",
    "apitoken",
    "authtoken",
    "clientsecret",
    "code",
    "idtoken",
    "jsessionid",
    "phpsessid",
    "privatekey",
    "refreshtoken",
];

/// Names that only look so.
const NOT: [&str; 6] = [
    "foreignkey",
    "idempotencykey",
    "primarykey",
    "publickey",
    "sortkey",
    "partitionkey",
];

/// The longest name that is looked at: what is longer is no name.
const LONGEST: usize = 128;

/// Whether a secret stands behind this name, however it is written: `api_key`,
/// `X-Api-Key`, `apiKey`, `user[apiKey]`.
pub(crate) fn is_secret(name: &str) -> bool {
    if name.len() > LONGEST {
        return false;
    }
    let last = last_word(name);
    if last.is_empty() {
        return false;
    }
    let joined: String = name
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|character| character.to_ascii_lowercase())
        .collect();
    if NOT.contains(&joined.as_str()) {
        return false;
    }
    let is_session = last == "id" && joined.ends_with("sessionid");
    LAST_WORDS.contains(&last.as_str()) || WHOLE.contains(&joined.as_str()) || is_session
}

/// The last word of a name, in small letters: `key` of `X-Api-Key`, `apiKey` and `API_KEY`.
fn last_word(name: &str) -> String {
    let is_end = |character: char| !character.is_ascii_alphanumeric();
    let name = name.trim_end_matches(is_end);
    let start = name.rfind(is_end).map_or(0, |place| {
        place + name[place..].chars().next().map_or(1, char::len_utf8)
    });
    let word = &name[start..];
    // A hump: the last capital behind a small letter or a digit.
    let bytes = word.as_bytes();
    let hump = (1..bytes.len())
        .rev()
        .find(|&place| bytes[place].is_ascii_uppercase() && !bytes[place - 1].is_ascii_uppercase());
    word[hump.unwrap_or(0)..]
        .trim_end_matches(|character: char| character.is_ascii_digit())
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_known_however_they_are_written() {
        for name in [
            "password",
            "Password",
            "DB_PASSWORD",
            "dbPassword",
            "db.password",
            "user[password]",
            "password2",
            "X-Api-Key",
            "x-goog-api-key",
            "apikey",
            "apiKey",
            "API_KEY",
            "access_token",
            "accessToken",
            "id_token",
            "X-Auth-Token",
            "client_secret",
            "clientSecret",
            "code",
            "sig",
            "X-Amz-Signature",
            "Authorization",
            "sessionid",
            "session_id",
            "sessionId",
            "JSESSIONID",
            "connect.sid",
            "private_key",
            "$password",
            "ns:password",
        ] {
            assert!(is_secret(name), "{name}");
        }
    }

    #[test]
    fn names_that_only_sound_alike_are_not_taken() {
        for name in [
            "",
            "-",
            "tokens",
            "max_tokens",
            "total_tokens",
            "monkey",
            "keyboard",
            "codec",
            "country_code",
            "passwords_changed",
            "secretary",
            "primary_key",
            "idempotency-key",
            "tokenizer",
            "design",
            "résumé",
            "message",
        ] {
            assert!(!is_secret(name), "{name}");
        }
    }
}
