//! Exchanges as an HTTP Archive, version 1.2, which browsers and many tools load.
//!
//! <http://www.softwareishard.com/blog/har-12-spec/>. What is ours begins with `_`.

use serde_json::{Value, json};

use super::exchange::{Body, Content, Exchange, Message, Summary};
use super::log::rfc_3339;

/// The archive of these, in their order.
pub fn har<'a>(exchanges: impl IntoIterator<Item = &'a Exchange>) -> Value {
    let entries: Vec<_> = exchanges.into_iter().map(entry).collect();
    json!({
        "log": {
            "version": "1.2",
            "creator": { "name": "cosmos", "version": env!("CARGO_PKG_VERSION") },
            "entries": entries,
        }
    })
}

fn entry(exchange: &Exchange) -> Value {
    let summary = &exchange.summary;
    // What is not known is -1, and is no part of the whole.
    let total = summary.total_ms.or(summary.first_byte_ms).unwrap_or(0.0);
    let connect = summary.connect_ms.unwrap_or(-1.0);
    let first = summary.first_byte_ms.unwrap_or(total);
    let wait = (first - connect.max(0.0)).max(0.0);
    let mut entry = json!({
        "startedDateTime": rfc_3339(summary.at),
        "time": total,
        "request": request(exchange),
        "response": response(exchange),
        "cache": {},
        "timings": {
            "blocked": -1, "dns": -1, "connect": connect, "ssl": -1,
            "send": 0, "wait": wait, "receive": (total - first).max(0.0),
        },
        "_cosmos": summary,
    });
    if !exchange.frames.is_empty() {
        let frames = exchange.frames.iter().map(|frame| {
            json!({
                "type": if frame.from == super::exchange::Side::Client { "send" } else { "receive" },
                "time": frame.at,
                "opcode": frame.kind,
                "data": frame.text.as_deref().unwrap_or_default(),
            })
        });
        entry["_webSocketMessages"] = Value::Array(frames.collect());
    }
    entry
}

fn request(exchange: &Exchange) -> Value {
    let summary = &exchange.summary;
    let mut request = json!({
        "method": summary.method,
        "url": format!("http://{}{}", summary.host, summary.path),
        "httpVersion": version(summary),
        "cookies": [],
        "headers": headers(&exchange.request),
        "queryString": query(&summary.path),
        "headersSize": -1,
        "bodySize": summary.bytes_in,
    });
    if let Some(body) = &exchange.request.body {
        let (text, comment) = text(body);
        request["postData"] = json!({
            "mimeType": header(&exchange.request, "content-type").unwrap_or_default(),
            "params": [],
            "text": text.unwrap_or_default(),
        });
        if let Some(comment) = comment {
            request["postData"]["comment"] = comment.into();
        }
    }
    request
}

fn response(exchange: &Exchange) -> Value {
    let summary = &exchange.summary;
    let nothing = Message::default();
    let message = exchange.response.as_ref().unwrap_or(&nothing);
    let mut content = json!({
        "size": message.body.as_ref().map_or(0, |body| body.bytes),
        "mimeType": header(message, "content-type").unwrap_or_default(),
    });
    if let Some(body) = &message.body {
        let (text, comment) = text(body);
        if let Some(text) = text {
            content["text"] = text.into();
        }
        if matches!(body.content, Content::Base64(_)) {
            content["encoding"] = "base64".into();
        }
        if let Some(comment) = comment {
            content["comment"] = comment.into();
        }
    }
    json!({
        "status": summary.status.unwrap_or(0),
        "statusText": reason(summary.status),
        "httpVersion": version(summary),
        "cookies": [],
        "headers": headers(message),
        "content": content,
        "redirectURL": header(message, "location").unwrap_or_default(),
        "headersSize": -1,
        "bodySize": summary.bytes_out,
    })
}

fn reason(status: Option<u16>) -> &'static str {
    let status = status.and_then(|status| hyper::StatusCode::from_u16(status).ok());
    status
        .and_then(|status| status.canonical_reason())
        .unwrap_or_default()
}

fn version(summary: &Summary) -> String {
    format!("HTTP/{}", summary.version)
}

fn headers(message: &Message) -> Vec<Value> {
    let pair = |(name, value): &(String, String)| json!({ "name": name, "value": value });
    message.headers.iter().map(pair).collect()
}

fn header<'a>(message: &'a Message, wanted: &str) -> Option<&'a str> {
    let mut headers = message.headers.iter();
    headers
        .find(|(name, _)| name == wanted)
        .map(|(_, value)| value.as_str())
}

fn query(path: &str) -> Vec<Value> {
    let Some((_, query)) = path.split_once('?') else {
        return Vec::new();
    };
    let pair = |pair: &str| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        json!({ "name": name, "value": value })
    };
    query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(pair)
        .collect()
}

/// What is kept of a body, and what there is to say about it.
fn text(body: &Body) -> (Option<&str>, Option<String>) {
    let mut remarks = Vec::new();
    let text = match &body.content {
        Content::Text(text) | Content::Base64(text) => Some(text.as_str()),
        Content::Omitted(why) => {
            remarks.push(why.clone());
            None
        }
    };
    if body.truncated {
        remarks.push(format!("of {} bytes the first are kept", body.bytes));
    }
    if body.redacted > 0 {
        remarks.push(format!("{} secrets were taken out", body.redacted));
    }
    (text, (!remarks.is_empty()).then(|| remarks.join("; ")))
}
