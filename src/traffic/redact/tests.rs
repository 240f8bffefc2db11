use proptest::prelude::*;

use super::*;

const CANARY: &str = "c4nary-S3cret-v4lue";

fn redactor() -> Redactor {
    Redactor::with_key(b"a key that only this test has")
}

/// Whether the canary is gone, and what is said instead.
#[track_caller]
fn gone(redacted: Redacted) -> String {
    assert!(!redacted.text.contains(CANARY), "{}", redacted.text);
    assert!(redacted.count > 0, "{}", redacted.text);
    redacted.text
}

fn text(text: &str) -> Redacted {
    redactor().text(&text.replace("CANARY", CANARY))
}

#[test]
fn equal_secrets_have_equal_marks_with_their_length() {
    let redactor = redactor();
    let mark = redactor.mark("abc");
    assert!(mark.starts_with("[redacted 3 #"), "{mark}");
    assert_eq!(mark, redactor.mark("abc"));
    assert_ne!(mark, redactor.mark("abd"));
    assert_ne!(mark, Redactor::with_key(b"another").mark("abc"));
}

#[test]
fn json_keeps_its_form() {
    let said = gone(text(
        r#"{"user":"anna","password":"CANARY","nested":{"api_key" : "CANARY","n":1},"list":[{"token":"CANARY"}]}"#,
    ));
    let read: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(read["user"], "anna");
    assert_eq!(read["nested"]["n"], 1);
    assert!(
        read["password"]
            .as_str()
            .unwrap()
            .starts_with("[redacted 19 #")
    );
}

#[test]
fn a_secret_of_any_type_is_taken_out() {
    for json in [
        r#"{"secret":12345678901}"#,
        r#"{"secret":["CANARY","b"]}"#,
        r#"{"secret":{"a":"CANARY]}"}}"#,
        r#"{"code":"CANARY"}"#,
    ] {
        let said = gone(text(json));
        assert!(!said.contains("12345678901"), "{said}");
        serde_json::from_str::<serde_json::Value>(&said).unwrap();
    }
    for json in [r#"{"code":404,"token":null,"key":true,"secret":""}"#, "{}"] {
        assert_eq!(text(json).count, 0, "{json}");
    }
}

#[test]
fn secrets_are_found_wherever_they_stand() {
    for place in [
        // JSON, cut off, escaped, in a string of itself.
        r#"{"password": "CANARY"#,
        r#"{"password":{"a":["CANARY"#,
        r#"{"p\u0061ssword":"CANARY"}"#,
        r#"{"body":"{\"password\":\"CANARY\"}"}"#,
        r#"{"body":"{\"body\":\"{\\\"password\\\":\\\"CANARY\\\"}\"}"}"#,
        r#"{"url":"postgres:\/\/anna:CANARY@db\/x"}"#,
        // Events and lines of JSON.
        "data: {\"token\":\"CANARY\"}\n\ndata: {\"a\":1}\n\n",
        "{\"a\":1}\n{\"token\":\"CANARY\"}\n",
        // Others' notations.
        "{'password': 'CANARY', 'a': 1}",
        "password: CANARY\nuser: anna",
        "  db_password:   CANARY  # not good",
        "export DB_PASSWORD=CANARY",
        "DB_PASSWORD = \"CANARY\"",
        "Authorization: Bearer CANARY",
        "user=anna&password=CANARY&x=1",
        "pass%77ord=CANARY",
        "user[password]=CANARY",
        "<login><password>CANARY</password></login>",
        "<ns:Password type=\"text\">CANARY</ns:Password>",
        "<login password=\"CANARY\"/>",
        "{apiKey:`CANARY`}",
        ":password => 'CANARY'",
        "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\nCANARY\r\n--b--",
        "Content-Disposition: form-data; name=\"api_key\"\nX: y\n\nCANARY",
        // Told by their form.
        "see https://anna:CANARY@example.com/x",
        "curl -H 'x: Bearer CANARY'",
        "x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJDQU5BUlkifQ.CANARY y",
        "tail eyJhbGciOiJIUzI1NiJ9CANARY",
        "/path/sk-proj-CANARY-0123456789/x",
    ] {
        gone(text(place));
    }
}

#[test]
fn what_is_no_secret_stays_as_it_is() {
    for text in [
        "",
        "plain words, don't touch",
        r#"{"usage":{"total_tokens":12,"prompt_tokens":3},"model":"m-1"}"#,
        r#"{"path":"C:\\dir","n":[1,2]}"#,
        "https://example.com/a@b",
        "mailto:anna@example.com",
        "Basic usage: read the key chapter. Bearer bonds.",
        "a \" b ' c < d : e = f",
        "<p>token</p>",
        "secret",
        "password:",
        "\"password\"",
        "tests are sk-ipped",
        "data: {\"delta\":\"Hello\"}\n\n",
        "é\u{202e}😀 = ü: \"ñ\"",
    ] {
        assert_eq!(redactor().text(text), Redacted::untouched(text), "{text}");
    }
}

#[test]
fn headers_are_judged_by_their_names_and_by_what_they_say() {
    let header = |name: &'static str, value: &str| {
        let value = value.replace("CANARY", CANARY);
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        redactor().header(&HeaderName::from_static(name), &value)
    };
    for (name, value, stays) in [
        ("authorization", "Bearer CANARY", "Bearer ["),
        ("authorization", "CANARY", "["),
        ("proxy-authorization", "Basic CANARY", "Basic ["),
        ("cookie", "a=CANARY; b=CANARY", "b=["),
        ("cookie", "CANARY", "["),
        (
            "set-cookie",
            "sid=CANARY; Path=/; HttpOnly",
            "; Path=/; HttpOnly",
        ),
        ("x-api-key", "CANARY", "["),
        ("api-key", "CANARY", "["),
        ("apikey", "CANARY", "["),
        ("idempotency-key", "CANARY", "["),
        ("x-csrf-token", "CANARY", "["),
        ("x-hub-signature", "sha1=CANARY", "["),
        ("location", "/cb?code=CANARY&state=1", "&state=1"),
        (
            "referer",
            "http://a.localhost/?token=CANARY",
            "http://a.localhost/?token=[",
        ),
        ("link", "<https://u:CANARY@x/>; rel=next", "@x/>; rel=next"),
        (
            "sec-websocket-protocol",
            "chat, CANARY-and-so-long",
            "chat, [",
        ),
    ] {
        let said = gone(header(name, value));
        assert!(said.contains(stays), "{name}: {said}");
    }
    assert_eq!(header("content-type", "text/html; charset=utf-8").count, 0);
    assert_eq!(
        header("sec-websocket-protocol", "graphql-ws, chat").count,
        0
    );
    assert_eq!(header("authorization", "").count, 0);
}

#[test]
fn targets_lose_secrets_in_path_and_query() {
    let target = |text: &str| redactor().target(&text.replace("CANARY", CANARY).parse().unwrap());
    for (text, stays) in [
        ("/a?x=1&token=CANARY&y", "/a?x=1&token=["),
        ("/a?t%6fken=CANARY", "/a?t%6fken=["),
        ("/a?next=https%3A%2F%2Fb%2F%3Ftoken%3DCANARY", "/a?next=["),
        ("/a;jsessionid=CANARY", "/a;jsessionid=["),
        ("/v/eyJhbGciOiJIUzI1NiJ9.CANARY.x/y", "/v/["),
    ] {
        let said = gone(target(text));
        assert!(said.starts_with(stays), "{said}");
    }
    assert_eq!(target("/a?x=1&y=&token=").text, "/a?x=1&y=&token=");
    assert_eq!(target("/a?").text, "/a?");
}

#[test]
fn a_log_line_has_no_secrets_of_a_query() {
    let of = |target: &str| logged(&target.parse().unwrap());
    assert_eq!(of("/a?x=1&token=abc&y"), "/a?x=1&token=[redacted]&y");
    assert_eq!(of("/a?t%6fken=abc"), "/a?t%6fken=[redacted]");
    assert_eq!(
        of("/a?API_KEY=a=b&tokens=1"),
        "/a?API_KEY=[redacted]&tokens=1"
    );
    assert_eq!(of("/a?"), "/a?");
    assert_eq!(of("/a?%=1&%4"), "/a?%=1&%4");
    assert_eq!(of("/token=1"), "/token=1");
}

#[test]
fn what_is_made_to_take_long_is_given_up() {
    let tangled = "\"\\".repeat(40_000);
    let redacted = redactor().text(&tangled);
    assert_eq!(redacted.count, 1);
    assert!(redacted.text.len() < tangled.len());
}

/// Pieces that the rules look at, in any order.
fn pieces() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\"password\""),
        Just("\"a\""),
        Just(":"),
        Just("://"),
        Just("@"),
        Just("="),
        Just("\""),
        Just("'"),
        Just("\\"),
        Just("\\\""),
        Just("{"),
        Just("}"),
        Just("["),
        Just("]"),
        Just("<password>"),
        Just("</"),
        Just("token"),
        Just("Bearer "),
        Just("eyJhbGciOiJI"),
        Just("%77"),
        Just("é😀"),
        Just("\n"),
        Just(" "),
        Just("x1"),
    ];
    proptest::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_has_an_answer(text in prop_oneof![any::<String>(), pieces()]) {
        let _ = redactor().text(&text);
        let _ = redactor().form(&text);
        let _ = is_secret_name(&text);
    }

    /// Wherever a body is cut, what was kept of it has no more than the whole would have.
    #[test]
    fn a_cut_text_has_no_secret_that_the_whole_has_not(before in pieces(), cut in 0..400_usize) {
        let whole = format!("{before}\n{{\"password\":\"{CANARY}\",\"url\":\"x\"}}\n");
        let cut = whole.floor_char_boundary(cut);
        let said = redactor().text(&whole[..cut]).text;
        let secret = &CANARY[..8];
        prop_assume!(!before.contains(secret));
        // The name is whole in a line of its own, whatever stands before it.
        prop_assert!(!said.contains(secret), "{said}");
    }
}
