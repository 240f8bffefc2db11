//! `cosmos logs --http`: the requests that passed the proxy, from its access log,
//! one readable line each.

use std::{collections::VecDeque, fmt::Write as _, process::ExitCode, time::Duration};

use bytes::BytesMut;
use futures_util::StreamExt as _;
use serde::Deserialize;

use super::moment;
use crate::{
    cli::{
        args::{Global, Logs, Project},
        bootstrap, context,
        error::{Failure, INTERRUPTED},
        exec::found,
        ui::{duration, outln, printable, size, status_style},
    },
    reconcile::engine::{Console as _, LogChunk, LogOptions, LogTime},
};

/// No line of the access log is longer.
const LONGEST_LINE: usize = 64 << 10;

/// What is shown of a line of the access log: `traffic/log.rs` writes them.
#[derive(Debug, Deserialize)]
struct Entry {
    time: String,
    method: String,
    host: String,
    path: String,
    status: u16,
    #[serde(default)]
    code: Option<String>,
    #[serde(default)]
    workspace: Option<String>,
    #[serde(default)]
    service: Option<String>,
    #[serde(default)]
    container: Option<String>,
    bytes_out: u64,
    total_ms: f64,
    #[serde(default)]
    cut: Option<String>,
}

/// Whose requests are shown.
#[derive(Debug)]
struct Wanted {
    workspace: Option<String>,
    names: Vec<String>,
    /// The containers that the names stand for.
    containers: Vec<String>,
}

impl Wanted {
    fn has(&self, entry: &Entry) -> bool {
        let is_ours = entry.workspace.is_some() && entry.workspace == self.workspace;
        if self.names.is_empty() {
            return is_ours;
        }
        let is_one_of = |names: &[String], name: &Option<String>| {
            name.as_ref().is_some_and(|name| names.contains(name))
        };
        is_ours && is_one_of(&self.names, &entry.service)
            || is_one_of(&self.containers, &entry.container)
    }
}

/// Shows what passed, and goes on with `--follow`.
pub(super) async fn run(global: &Global, args: &Logs) -> Result<ExitCode, Failure> {
    // Says what to do where there is no proxy.
    let client = bootstrap::existing(global).await?;
    let workspace = match args.names.is_empty() {
        true => Some(context::load(global, &Project::default())?.workspace),
        false => context::workspace_here(global).map(|loaded| loaded.workspace),
    };
    let mut containers = Vec::new();
    for name in &args.names {
        let found = found(global, &client, name).await?;
        containers.extend(found.containers.into_iter().map(|container| container.name));
    }
    let wanted = Wanted {
        workspace: workspace.map(|workspace| workspace.identity.key()),
        names: args.names.clone(),
        containers,
    };
    let show = |line: &str, entry: &Entry| match args.json {
        true => outln!("{line}"),
        false => outln!("{}", readable(entry)),
    };
    let since = args.since.as_deref().map(moment).transpose()?;
    let until = args.until.as_deref().map(moment).transpose()?;
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);

    // How many of those that are there already are not shown.
    let mut skipped = 0;
    if let Some(tail) = args.tail {
        let mut last = VecDeque::new();
        let mut lines = Lines::open(false, since, until).await?;
        while let Some(line) = lines.next().await? {
            if let Some(entry) = entry_of(&line).filter(|entry| wanted.has(entry)) {
                last.push_back((line, entry));
                if last.len() as u64 > tail {
                    last.pop_front();
                    skipped += 1;
                }
            }
        }
        if !args.follow {
            for (line, entry) in last {
                show(&line, &entry);
            }
            return Ok(ExitCode::SUCCESS);
        }
    }
    let mut lines = Lines::open(args.follow, since, until).await?;
    loop {
        let line = tokio::select! {
            line = lines.next() => line?,
            _ = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let Some(line) = line else {
            return Ok(ExitCode::SUCCESS);
        };
        let Some(entry) = entry_of(&line).filter(|entry| wanted.has(entry)) else {
            continue;
        };
        if skipped > 0 {
            skipped -= 1;
            continue;
        }
        show(&line, &entry);
    }
}

/// What the proxy wrote, line by line.
struct Lines {
    chunks: futures_util::stream::BoxStream<'static, Result<LogChunk, Failure>>,
    pending: BytesMut,
}

impl Lines {
    async fn open(
        follow: bool,
        since: Option<LogTime>,
        until: Option<LogTime>,
    ) -> Result<Self, Failure> {
        let engine = bootstrap::engine().await?;
        let options = LogOptions {
            follow,
            since,
            until,
            ..LogOptions::default()
        };
        let chunks = engine.logs(&context::installation()?.proxy(), options);
        Ok(Self {
            chunks: chunks.map(|chunk| Ok(chunk?)).boxed(),
            pending: BytesMut::new(),
        })
    }

    /// Loses nothing when it is dropped half-way.
    async fn next(&mut self) -> Result<Option<String>, Failure> {
        loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == b'\n') {
                let line = self.pending.split_to(end + 1);
                let line = String::from_utf8_lossy(&line[..end]);
                return Ok(Some(line.into_owned()));
            }
            if self.pending.len() > LONGEST_LINE {
                self.pending.clear();
            }
            match self.chunks.next().await.transpose()? {
                Some(LogChunk::Out(bytes)) => self.pending.extend_from_slice(&bytes),
                // The access log is on stdout.
                Some(LogChunk::Err(_)) => {}
                None => return Ok(None),
            }
        }
    }
}

/// What a line says, if it is one of the access log.
fn entry_of(line: &str) -> Option<Entry> {
    serde_json::from_str(line).ok()
}

/// `10:04:05.120  web  GET 200 /cart  12 ms  1.2 kB`, with what went wrong behind.
fn readable(entry: &Entry) -> String {
    let time = entry.time.get(11..23).unwrap_or(&entry.time);
    let who = entry.service.as_ref().or(entry.container.as_ref());
    let who = printable(who.unwrap_or(&entry.host));
    let (method, path) = (printable(&entry.method), printable(&entry.path));
    let (status, style) = (entry.status, status_style(entry.status));
    let took = Duration::try_from_secs_f64(entry.total_ms / 1_000.0).unwrap_or_default();
    let mut line = format!(
        "{time}  {who:<12}  {style}{status}{style:#} {method:<6} {path}  {}  {}",
        duration(took),
        size(entry.bytes_out)
    );
    for said in [&entry.code, &entry.cut].into_iter().flatten() {
        // Writing to a text cannot fail.
        let _ = write!(line, "  ({})", printable(said));
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"time":"2026-01-02T10:04:05.120Z","id":"1","peer":"127.0.0.1","method":"GET","host":"web.shop.localhost","path":"/cart?a","status":200,"route":"http://web.shop.localhost:8080","workspace":"shop","service":"web","container":"shop-web-1","bytes_in":0,"bytes_out":1234,"first_byte_ms":3.5,"total_ms":12.2}"#;

    fn entry(of: &str, is_now: &str) -> Entry {
        entry_of(&LINE.replace(of, is_now)).unwrap()
    }

    fn wanted(workspace: Option<&str>, names: &[&str], containers: &[&str]) -> Wanted {
        let texts = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Wanted {
            workspace: workspace.map(str::to_owned),
            names: texts(names),
            containers: texts(containers),
        }
    }

    fn plain(entry: &Entry) -> String {
        anstream::adapter::strip_str(&readable(entry)).to_string()
    }

    #[test]
    fn a_request_is_one_readable_line() {
        assert_eq!(
            plain(&entry("", "")),
            "10:04:05.120  web           200 GET    /cart?a  12 ms  1.2 kB"
        );
    }

    #[test]
    fn what_went_wrong_stands_behind() {
        let cut = entry("12.2}", r#"12.2,"code":"refused","cut":"the client left"}"#);
        assert!(plain(&cut).ends_with("1.2 kB  (refused)  (the client left)"));
    }

    #[test]
    fn what_a_client_sent_cannot_move_the_cursor() {
        let hostile = entry("/cart", r"/\u001b[2J");
        assert!(!plain(&hostile).contains('\u{1b}'));
    }

    #[test]
    fn other_lines_of_the_proxy_are_no_requests() {
        for line in ["", "listening", "{}", r#"{"time":"now"}"#] {
            assert!(entry_of(line).is_none(), "{line}");
        }
    }

    #[test]
    fn only_requests_to_this_workspace_and_what_is_named_are_shown() {
        let web = entry("", "");
        assert!(wanted(Some("shop"), &[], &[]).has(&web));
        assert!(wanted(Some("shop"), &["web"], &[]).has(&web));
        assert!(wanted(None, &["shop-web-1"], &["shop-web-1"]).has(&web));
        assert!(!wanted(Some("other"), &[], &[]).has(&web));
        assert!(!wanted(Some("other"), &["web"], &[]).has(&web));
        assert!(!wanted(Some("shop"), &["api"], &["shop-api-1"]).has(&web));
        let stray = entry(r#""workspace":"shop","service":"web","#, "");
        assert!(!wanted(None, &[], &[]).has(&stray));
    }

    #[test]
    fn sizes_are_read_at_a_glance() {
        let sizes = [0, 999, 1_000, 999_949, 999_950, 34_500_000_000_000];
        let sizes: Vec<_> = sizes.into_iter().map(size).collect();
        assert_eq!(
            sizes,
            ["0 B", "999 B", "1.0 kB", "999.9 kB", "1.0 MB", "34.5 TB"]
        );
    }
}
