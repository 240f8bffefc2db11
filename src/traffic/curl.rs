//! An exchange's request as a command for a shell.

use super::{
    exchange::{Content, Exchange},
    replay::is_marked,
};

/// What curl says by itself, and better.
const BY_ITSELF: [&str; 4] = ["connection", "content-length", "host", "transfer-encoding"];

/// The command that sends the request again. Where a secret was taken out, its mark
/// stands: whoever runs it puts their own there.
pub fn curl(exchange: &Exchange) -> String {
    let summary = &exchange.summary;
    let mut words = vec!["curl".to_owned()];
    let body = exchange.request.body.as_ref();
    if summary.method == "HEAD" {
        words.push("--head".to_owned());
    } else if summary.method != "GET" || body.is_some() {
        words.extend(["-X".to_owned(), quoted(&summary.method)]);
    }
    words.push(quoted(&format!("http://{}{}", summary.host, summary.path)));
    let is_decoded = body.is_some_and(|body| body.decoded.is_some());
    for (name, value) in &exchange.request.headers {
        let is_gone = is_decoded && name == "content-encoding";
        if !BY_ITSELF.contains(&name.as_str()) && !is_gone {
            words.extend(["-H".to_owned(), quoted(&format!("{name}: {value}"))]);
        }
    }
    let mut notes = Vec::new();
    match body.map(|body| &body.content) {
        None => {}
        Some(Content::Text(text)) => words.extend(["--data-binary".to_owned(), quoted(text)]),
        Some(Content::Base64(_) | Content::Omitted(_)) => {
            words.extend(["--data-binary".to_owned(), "@body".to_owned()]);
            notes.push("the body is not text: put it into a file called `body`");
        }
    }
    if body.is_some_and(|body| body.truncated) {
        notes.push("the body is longer than what was kept of it");
    }
    if words.iter().any(|word| is_marked(word)) {
        notes.push("secrets were not kept: put yours where it says `[redacted ..]`");
    }
    let command = words.join(" ");
    match notes.is_empty() {
        true => command,
        false => format!("# {}\n{command}", notes.join("; ")),
    }
}

/// One word of a shell, whatever is in it.
fn quoted(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:@".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        return word.to_owned();
    }
    // What a terminal would act on is written as what it is, in bash, zsh and ksh.
    if word
        .chars()
        .any(|character| character.is_control() && character != '\n')
    {
        return format!("$'{}'", escaped(word));
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn escaped(word: &str) -> String {
    let mut escaped = String::new();
    for character in word.chars() {
        match character {
            '\'' | '\\' => escaped.extend(['\\', character]),
            '\n' => escaped.push_str("\\n"),
            control if control.is_control() => {
                let mut bytes = [0; 4];
                for byte in control.encode_utf8(&mut bytes).bytes() {
                    escaped.push_str(&format!("\\x{byte:02x}"));
                }
            }
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::exchange::{Body, Message, Summary};

    fn exchange(method: &str, path: &str, body: Option<&str>) -> Exchange {
        Exchange {
            summary: Summary {
                method: method.to_owned(),
                host: "api.shop.localhost:8080".to_owned(),
                path: path.to_owned(),
                ..Summary::default()
            },
            request: Message {
                headers: vec![
                    ("host".to_owned(), "api.shop.localhost:8080".to_owned()),
                    ("x-a".to_owned(), "it's \u{1b}[2J".to_owned()),
                ],
                body: body.map(|text| Body {
                    bytes: text.len() as u64,
                    complete: true,
                    truncated: false,
                    decoded: None,
                    redacted: 0,
                    content: Content::Text(text.to_owned()),
                }),
                ..Message::default()
            },
            ..Exchange::default()
        }
    }

    #[test]
    fn a_shell_reads_each_word_as_it_was() {
        let body = "a'b\n\"c\" $(touch x) \\ `d`";
        let command = curl(&exchange("PUT", "/a?b=$c&d=e f", Some(body)));
        // Words as a shell splits them.
        let said = std::process::Command::new("bash")
            .args(["-c", &command.replacen("curl", "printf '%s\\0'", 1)])
            .output()
            .unwrap();
        let words: Vec<_> = said.stdout.split(|byte| *byte == 0).collect();
        let expected: [&[u8]; 8] = [
            b"-X",
            b"PUT",
            b"http://api.shop.localhost:8080/a?b=$c&d=e f",
            b"-H",
            b"x-a: it's \x1b[2J",
            b"--data-binary",
            body.as_bytes(),
            b"",
        ];
        assert_eq!(words, expected, "{command}");
        assert!(!command.contains('\u{1b}'));
    }

    #[test]
    fn a_plain_get_is_a_plain_command() {
        let mut plain = exchange("GET", "/v1", None);
        plain.request.headers.truncate(1);
        assert_eq!(curl(&plain), "curl http://api.shop.localhost:8080/v1");
    }

    #[test]
    fn what_is_missing_is_said() {
        let marked = curl(&exchange("GET", "/a?token=[redacted 3 #1]", None));
        assert!(marked.starts_with("# secrets were not kept"), "{marked}");
    }
}
