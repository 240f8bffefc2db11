//! One exchange, all of it, for a terminal.

use anstyle::{AnsiColor, Style};

use super::{super::ui::outln, line};
use crate::{
    api::wire::{Body, Content, Exchange, ExchangeSide, Message},
    cli::ui::{printable, size},
};

const NAME: Style = AnsiColor::Cyan.on_default();
const DIM: Style = Style::new().dimmed();

/// Prints it.
pub(super) fn show(exchange: &Exchange) {
    let summary = &exchange.summary;
    outln!("{}", line(summary));
    outln!();
    outln!(
        "{} http://{}{}",
        printable(&summary.method),
        printable(&summary.host),
        printable(&summary.path)
    );
    message(&exchange.request);
    if let Some(response) = &exchange.response {
        outln!();
        outln!("HTTP/{} {}", summary.version, summary.status.unwrap_or(0));
        message(response);
    }
    if !exchange.frames.is_empty() {
        outln!();
    }
    for frame in &exchange.frames {
        let arrow = match frame.from {
            ExchangeSide::Client => "->",
            ExchangeSide::Service => "<-",
        };
        let kind = format!("{:?}", frame.kind).to_lowercase();
        let text = frame.text.as_deref().map(printable).unwrap_or_default();
        let more = if frame.truncated { " .." } else { "" };
        outln!(
            "{DIM}{} {arrow} {kind} {}{DIM:#} {text}{more}",
            super::time(frame.at),
            size(frame.bytes)
        );
    }
}

fn message(message: &Message) {
    let pairs = |pairs: &[(String, String)]| {
        for (name, value) in pairs {
            outln!("{NAME}{}{NAME:#}: {}", printable(name), printable(value));
        }
    };
    pairs(&message.headers);
    if let Some(body) = &message.body {
        outln!();
        show_body(body);
    }
    if !message.trailers.is_empty() {
        outln!();
        pairs(&message.trailers);
    }
}

fn show_body(body: &Body) {
    match &body.content {
        Content::Text(text) => {
            for line in pretty(text).lines() {
                outln!("{}", printable(line));
            }
        }
        Content::Base64(_) => outln!("{DIM}({} that are no text){DIM:#}", size(body.bytes)),
        Content::Omitted(why) => outln!("{DIM}({}: {}){DIM:#}", size(body.bytes), printable(why)),
    }
    let mut remarks = Vec::new();
    if let Some(coding) = &body.decoded {
        remarks.push(format!("it was compressed with {}", printable(coding)));
    }
    if body.truncated {
        remarks.push(format!(
            "it has {}, of which the first are kept",
            size(body.bytes)
        ));
    }
    if !body.complete {
        remarks.push("it has not ended".to_owned());
    }
    if !remarks.is_empty() {
        outln!("{DIM}({}){DIM:#}", remarks.join("; "));
    }
}

/// JSON with a line for each of its parts; anything else as it is.
fn pretty(text: &str) -> String {
    let is_json = matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'['));
    is_json
        .then(|| serde_json::from_str::<serde_json::Value>(text).ok())
        .flatten()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| text.to_owned())
}
