//! What is kept of a body: decompressed, told apart, without secrets.

use std::io::Read;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use super::super::{
    exchange::{Body, Content},
    redact::{Redacted, Redactor},
};

/// What a body is decompressed to at most: a bomb goes off no further.
const MOST_DECODED: usize = 256 * 1024;

/// The end of a cut text that may be half of a secret is not shown, if it is no longer.
const LONGEST_TAIL: usize = 8 * 1024;

/// As much of a body as was kept, and what is known of the rest.
#[derive(Debug, Clone, Copy)]
pub(super) struct Passed<'a> {
    pub(super) kept: &'a [u8],
    /// How much has passed.
    pub(super) bytes: u64,
    pub(super) complete: bool,
    pub(super) headers: &'a HeaderMap,
}

/// What is kept of a body; none if it has none.
pub(super) fn body(passed: Passed<'_>, redactor: Option<&Redactor>) -> Option<Body> {
    if passed.bytes == 0 {
        return None;
    }
    let truncated = passed.kept.len() as u64 != passed.bytes;
    let mut body = Body {
        bytes: passed.bytes,
        complete: passed.complete,
        truncated,
        decoded: None,
        redacted: 0,
        content: Content::Omitted(String::new()),
    };
    let coding = coding(passed.headers);
    let decoded = match &coding {
        None => Ok(passed.kept.to_vec()),
        Some(coding) => decoded(passed.kept, coding),
    };
    let bytes = match decoded {
        Ok(bytes) => bytes,
        Err(why) => {
            body.content = Content::Omitted(why);
            return Some(body);
        }
    };
    body.decoded = coding;
    let mut bytes = bytes;
    if bytes.len() > MOST_DECODED {
        bytes.truncate(MOST_DECODED);
        body.truncated = true;
    }
    let is_whole = passed.complete && !body.truncated;
    let media_type = media_type(passed.headers);
    let told = told(
        &bytes,
        media_type.as_deref(),
        passed.headers,
        is_whole,
        redactor,
    );
    (body.content, body.redacted) = told;
    Some(body)
}

fn told(
    bytes: &[u8],
    media_type: Option<&str>,
    headers: &HeaderMap,
    is_whole: bool,
    redactor: Option<&Redactor>,
) -> (Content, u32) {
    let kind = media_type.unwrap_or_default();
    if let (Some(redactor), Some(boundary)) = (redactor, boundary(kind, headers)) {
        let Redacted { text, count } = parts(bytes, &boundary, redactor);
        return (Content::Text(text), count);
    }
    let Some(text) = text_of(bytes, kind, is_whole) else {
        // What people look at is no text, and has no passwords in it.
        let is_shown = redactor.is_none()
            || ["image/", "audio/", "video/", "font/"]
                .iter()
                .any(|start| kind.starts_with(start));
        return match is_shown {
            true => (Content::Base64(STANDARD.encode(bytes)), 0),
            false => (
                Content::Omitted("it is no text, and secrets in it could not be seen".to_owned()),
                0,
            ),
        };
    };
    let Some(redactor) = redactor else {
        return (Content::Text(text), 0);
    };
    let text = match is_whole {
        true => text.as_str(),
        false => without_tail(&text, kind),
    };
    let redacted = match kind {
        "application/x-www-form-urlencoded" => redactor.form(text),
        _ => redactor.text(text),
    };
    (Content::Text(redacted.text), redacted.count)
}

/// The media type without its parameters, in small letters.
pub(super) fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let kind = value.split(';').next()?.trim();
    (!kind.is_empty()).then(|| kind.to_ascii_lowercase())
}

fn coding(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_ENCODING)?.to_str().ok()?;
    let value = value.trim().to_ascii_lowercase();
    (!value.is_empty() && value != "identity").then_some(value)
}

/// As much as can be decompressed of what may be cut off anywhere.
fn decoded(bytes: &[u8], coding: &str) -> Result<Vec<u8>, String> {
    let reader: Box<dyn Read + '_> = match coding {
        "gzip" | "x-gzip" => Box::new(flate2::read::MultiGzDecoder::new(bytes)),
        // Some send it without the head that the RFC wants.
        "deflate" if bytes.first().is_some_and(|first| first & 0x0f == 8) => {
            Box::new(flate2::read::ZlibDecoder::new(bytes))
        }
        "deflate" => Box::new(flate2::read::DeflateDecoder::new(bytes)),
        "br" => Box::new(brotli_decompressor::Decompressor::new(bytes, 4096)),
        "zstd" => match ruzstd::decoding::StreamingDecoder::new(bytes) {
            Ok(decoder) => Box::new(decoder),
            Err(_) => return Ok(Vec::new()),
        },
        other => {
            return Err(format!(
                "it is compressed with `{other}`, which is not read here"
            ));
        }
    };
    let mut decoded = Vec::new();
    // One more than is kept tells that there is more. What is cut off ends in an error.
    let _ = reader
        .take(MOST_DECODED as u64 + 1)
        .read_to_end(&mut decoded);
    Ok(decoded)
}

/// The body as text, if it is some.
fn text_of(bytes: &[u8], kind: &str, is_whole: bool) -> Option<String> {
    let is_binary = ["image/", "audio/", "video/", "font/"]
        .iter()
        .any(|start| kind.starts_with(start))
        && kind != "image/svg+xml";
    if is_binary {
        return None;
    }
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.contains('\0') => Some(text.to_owned()),
        Ok(_) => None,
        // In the middle of a character.
        Err(error) if !is_whole && error.error_len().is_none() => {
            let text = &bytes[..error.valid_up_to()];
            std::str::from_utf8(text)
                .ok()
                .filter(|text| !text.contains('\0'))
                .map(str::to_owned)
        }
        Err(_) => {
            let is_text = kind.starts_with("text/")
                || ["json", "xml", "javascript", "x-www-form-urlencoded"]
                    .iter()
                    .any(|word| kind.contains(word));
            is_text.then(|| String::from_utf8_lossy(bytes).into_owned())
        }
    }
}

/// A text that goes on, without the end of it that may be half of a secret.
pub(super) fn without_tail<'a>(text: &'a str, kind: &str) -> &'a str {
    let is_of_lines = kind.starts_with("text/event-stream") || kind.contains("ndjson");
    let ends: &[char] = match is_of_lines {
        true => &['\n'],
        false => &[
            ' ', '\n', '\t', '"', '\'', ',', ';', '&', '<', '>', '{', '}', '[', ']', '(', ')',
        ],
    };
    let end = text.rfind(ends).map_or(0, |place| place + 1);
    match text.len() - end > LONGEST_TAIL {
        true => text,
        false => &text[..end],
    }
}

/// What is between the parts of a form with files.
fn boundary(kind: &str, headers: &HeaderMap) -> Option<String> {
    if !kind.starts_with("multipart/") {
        return None;
    }
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let (_, rest) = value.split_once("boundary=")?;
    let boundary = match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next()?,
        None => rest.split(';').next()?.trim(),
    };
    (!boundary.is_empty()).then(|| format!("--{boundary}"))
}

/// The parts of a form: text without secrets, and of files how long they are.
fn parts(bytes: &[u8], boundary: &str, redactor: &Redactor) -> Redacted {
    let mut all = Redacted {
        text: String::new(),
        count: 0,
    };
    for (place, part) in split(bytes, boundary.as_bytes()).into_iter().enumerate() {
        if place > 0 {
            all.text.push_str(boundary);
        }
        let (head, body) = match find(part, b"\r\n\r\n") {
            Some(end) => part.split_at(end + 4),
            None => (part, &[][..]),
        };
        let head = String::from_utf8_lossy(head);
        let head_redacted = redactor.text(&head);
        all.text.push_str(&head_redacted.text);
        all.count += head_redacted.count;
        let name = head.split_once("name=").map_or("", |(_, rest)| {
            rest.trim_start_matches('"')
                .split(['"', ';', '\r'])
                .next()
                .unwrap_or_default()
        });
        let body_redacted = match std::str::from_utf8(body) {
            Ok(text) if super::super::redact::is_secret_name(name) => redactor.whole(text),
            Ok(text) => redactor.text(text),
            // A file, which counts as taken out: nobody can send it again.
            Err(_) => Redacted {
                text: format!("[{} bytes of a file]\r\n", body.len()),
                count: 1,
            },
        };
        all.text.push_str(&body_redacted.text);
        all.count += body_redacted.count;
    }
    all
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn split<'a>(mut bytes: &'a [u8], between: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    while let Some(place) = find(bytes, between) {
        parts.push(&bytes[..place]);
        bytes = &bytes[place + between.len()..];
    }
    parts.push(bytes);
    parts
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const CANARY: &str = "c4nary-S3cret-v4lue";

    fn of(headers: &[(&'static str, &str)], kept: &[u8], whole: bool) -> Body {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        let passed = Passed {
            kept,
            bytes: kept.len() as u64 + u64::from(!whole),
            complete: true,
            headers: &map,
        };
        body(passed, Some(&Redactor::new())).unwrap()
    }

    #[track_caller]
    fn text(body: &Body) -> &str {
        match &body.content {
            Content::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_is_compressed_is_read_before_it_is_redacted() {
        let json = format!(r#"{{"a":1,"password":"{CANARY}"}}"#);
        let body = of(
            &[("content-encoding", "gzip")],
            &gzip(json.as_bytes()),
            true,
        );
        assert_eq!(body.decoded.as_deref(), Some("gzip"));
        assert_eq!(body.redacted, 1);
        assert!(text(&body).starts_with(r#"{"a":1,"password":"[redacted"#));
        let body = of(&[("content-encoding", "exi")], b"xx", true);
        assert!(matches!(body.content, Content::Omitted(_)));
    }

    #[test]
    fn a_bomb_goes_off_only_so_far() {
        let bomb = gzip(&vec![b' '; 64 << 20]);
        let body = of(&[("content-encoding", "gzip")], &bomb, true);
        assert!(body.truncated);
        assert_eq!(text(&body).len(), MOST_DECODED);
    }

    #[test]
    fn of_what_is_cut_off_no_half_of_a_secret_is_kept() {
        let whole = format!("see postgres://anna:{CANARY}@db and more");
        for cut in 0..whole.len() {
            let body = of(
                &[("content-type", "text/plain")],
                &whole.as_bytes()[..cut.max(1)],
                false,
            );
            assert!(!text(&body).contains(&CANARY[..3]), "{}", text(&body));
        }
    }

    #[test]
    fn of_a_form_with_files_fields_are_kept_and_files_counted() {
        let form = [
            b"--xyz\r\nContent-Disposition: form-data; name=\"user\"\r\n\r\nanna\r\n".as_slice(),
            format!("--xyz\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n{CANARY}\r\n").as_bytes(),
            b"--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\n\xff\xfe\r\n--xyz--\r\n",
        ]
        .concat();
        let body = of(
            &[("content-type", "multipart/form-data; boundary=xyz")],
            &form,
            true,
        );
        assert!(text(&body).contains("anna"));
        assert!(text(&body).contains("[4 bytes of a file]"));
        assert!(!text(&body).contains(CANARY));
        assert_eq!(body.redacted, 2);
    }

    #[test]
    fn images_are_kept_and_other_bytes_are_not() {
        let image = of(&[("content-type", "image/png")], b"\x89PNG", true);
        assert_eq!(image.content, Content::Base64(STANDARD.encode(b"\x89PNG")));
        let other = of(
            &[("content-type", "application/x-protobuf")],
            b"\xff\x00",
            true,
        );
        assert!(matches!(other.content, Content::Omitted(_)));
    }

    #[test]
    fn each_coding_is_known() {
        // Of `hello hello`, by the tools of others.
        let samples: [(&str, &[u8]); 2] = [
            (
                "br",
                &[
                    0x0b, 0x05, 0x80, b'h', b'e', b'l', b'l', b'o', b' ', b'h', b'e', b'l', b'l',
                    b'o', 0x03,
                ],
            ),
            (
                "zstd",
                &[
                    0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x0b, 0x59, 0x00, 0x00, b'h', b'e', b'l', b'l',
                    b'o', b' ', b'h', b'e', b'l', b'l', b'o',
                ],
            ),
        ];
        for (coding, bytes) in samples {
            let body = of(&[("content-encoding", coding)], bytes, true);
            assert_eq!(text(&body), "hello hello", "{coding}");
        }
    }
}
