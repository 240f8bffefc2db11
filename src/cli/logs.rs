//! `cosmos logs`: what containers say, many of them side by side.

mod http;

use std::{
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anstyle::{AnsiColor, Style};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};

use super::{
    args::{Global, Logs, Project},
    bootstrap, context,
    error::{Failure, INTERRUPTED},
    exec::found,
};
use crate::{api::client::encoded, reconcile::engine::LogChunk};

/// Colours that tell services apart on light and dark screens.
const COLOURS: [AnsiColor; 6] = [
    AnsiColor::Cyan,
    AnsiColor::Yellow,
    AnsiColor::Green,
    AnsiColor::Magenta,
    AnsiColor::Blue,
    AnsiColor::Red,
];

/// A line that is longer is cut: a progress bar may never end its own.
const LONGEST_LINE: usize = 64 << 10;

pub(super) async fn run(global: Global, args: Logs) -> Result<ExitCode, Failure> {
    if args.http {
        return http::run(&global, &args).await;
    }
    let client = bootstrap::existing(&global).await?;
    let names = if args.names.is_empty() {
        context::load(&global, &Project::default())?
            .workspace
            .services
            .keys()
            .map(ToString::to_string)
            .collect()
    } else {
        args.names.clone()
    };
    let mut sources = Vec::new();
    for name in &names {
        for container in found(&global, &client, name).await?.containers {
            sources.push((container.name, container.id));
        }
    }
    let query = query(&args)?;
    let is_alone = sources.len() == 1;
    let width = sources
        .iter()
        .map(|(name, _)| name.len())
        .max()
        .unwrap_or(0);
    let (mut outputs, mut labels) = (Vec::new(), Vec::new());
    for (index, (name, id)) in sources.into_iter().enumerate() {
        let frames = client
            .frames(&format!("/containers/{}/logs?{query}", encoded(&id)))
            .await?;
        let label = if is_alone {
            String::new()
        } else {
            label(&name, width, index)
        };
        labels.push(label);
        outputs.push(frames.map(move |chunk| (index, chunk)).boxed());
    }
    let mut lines: Vec<[BytesMut; 2]> = outputs.iter().map(|_| Default::default()).collect();
    let mut merged = stream::select_all(outputs);
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    let mut code = ExitCode::SUCCESS;
    loop {
        // Both are cancel-safe: what was not taken stays in the stream.
        let next = tokio::select! {
            next = merged.next() => next,
            _ = &mut stop => {
                code = ExitCode::from(INTERRUPTED);
                None
            }
        };
        let Some((index, chunk)) = next else {
            break;
        };
        let (stream, bytes) = match chunk? {
            LogChunk::Out(bytes) => (0, bytes),
            LogChunk::Err(bytes) => (1, bytes),
        };
        if write(
            &labels[index],
            &mut lines[index][stream],
            &bytes,
            stream == 1,
        )
        .is_err()
        {
            // Nobody reads us any more: `cosmos logs | head`.
            break;
        }
    }
    // What ended without an end of line still gets one, and its name.
    for (label, pending) in labels.iter().zip(&mut lines) {
        for (stream, pending) in pending.iter_mut().enumerate() {
            if !pending.is_empty()
                && write(label, pending, &Bytes::from_static(b"\n"), stream == 1).is_err()
            {
                return Ok(ExitCode::SUCCESS);
            }
        }
    }
    Ok(code)
}

/// Writes what is whole, line by line, so that two containers never share a line.
/// One container alone is passed through as it is.
fn write(label: &str, pending: &mut BytesMut, bytes: &Bytes, is_error: bool) -> io::Result<()> {
    let mut out: Box<dyn io::Write> = if is_error {
        Box::new(io::stderr().lock())
    } else {
        Box::new(io::stdout().lock())
    };
    if label.is_empty() {
        out.write_all(bytes)?;
        return out.flush();
    }
    pending.extend_from_slice(bytes);
    while let Some(end) = pending.iter().position(|byte| *byte == b'\n') {
        let line = pending.split_to(end + 1);
        out.write_all(label.as_bytes())?;
        out.write_all(&line)?;
    }
    if pending.len() > LONGEST_LINE {
        out.write_all(label.as_bytes())?;
        out.write_all(&pending.split())?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn label(name: &str, width: usize, index: usize) -> String {
    let is_plain = std::env::var_os("NO_COLOR").is_some() || !io::stdout().is_terminal();
    let style = if is_plain {
        Style::new()
    } else {
        COLOURS[index % COLOURS.len()].on_default()
    };
    format!("{style}{name:<width$}{style:#} | ")
}

fn query(args: &Logs) -> Result<String, Failure> {
    let mut query = format!("follow={}&timestamps={}", args.follow, args.timestamps);
    if let Some(tail) = args.tail {
        query.push_str(&format!("&tail={tail}"));
    }
    if let Some(since) = &args.since {
        query.push_str(&format!("&since={}", seconds(since)?));
    }
    Ok(query)
}

/// `90s`, `10m`, `2h`, `1d` ago, or seconds since the epoch.
fn seconds(text: &str) -> Result<u64, Failure> {
    let wrong = || {
        Failure::usage(format!("`{text}` is no time"))
            .hinted("write `10m`, `2h`, or seconds since the epoch")
    };
    if let Ok(seconds) = text.parse() {
        return Ok(seconds);
    }
    let (number, unit) = text
        .split_at_checked(text.len().saturating_sub(1))
        .ok_or_else(wrong)?;
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let unit = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err(wrong()),
    };
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    Ok(now.saturating_sub(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_age_or_seconds_since_the_epoch() {
        assert_eq!(seconds("12345").unwrap(), 12_345);
        assert!(seconds("10m").unwrap() < seconds("1s").unwrap());
        for wrong in ["", "m", "10x", "ä", "-5m"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
