//! `cosmos status --watch`: how everything is, for as long as somebody looks.

use std::{
    io::{IsTerminal as _, stdout},
    process::ExitCode,
};

use futures_util::StreamExt as _;

use super::{all_lines, lines};
use crate::{
    api::{
        client::{Client, ClientError},
        wire::{Containers, LiveLine, Status},
    },
    cli::{
        bootstrap,
        error::{Failure, INTERRUPTED},
        terminal::{FullScreen, Happened, window_size},
        ui::outln,
    },
};

/// Follows one workspace, or everything: on the whole screen until `q` or Ctrl-C, or as
/// JSON, a line whenever something has changed.
pub(super) async fn run(
    client: &Client,
    key: Option<&str>,
    is_json: bool,
) -> Result<ExitCode, Failure> {
    if is_json {
        return follow(client, key).await;
    }
    if !stdout().is_terminal() {
        return Err(
            Failure::usage("`--watch` draws on a terminal, and the output is none")
                .hinted("`cosmos status --watch --json` writes a line whenever something changes"),
        );
    }
    draw(client, key).await
}

/// What is looked at, of all that there is.
enum Seen {
    Workspace(Status),
    All(Containers),
    /// The workspace is down.
    Nothing,
}

impl Seen {
    fn of(key: Option<&str>, state: LiveLine) -> Option<Self> {
        let LiveLine::State { workspaces, adhoc } = state else {
            return None;
        };
        let Some(key) = key else {
            let schema = 1;
            return Some(Self::All(Containers {
                schema,
                adhoc,
                workspaces,
            }));
        };
        let mut own = workspaces
            .into_iter()
            .filter(|status| status.workspace == key);
        Some(own.next().map_or(Self::Nothing, Self::Workspace))
    }

    fn lines(&self, client: &Client) -> Vec<String> {
        match self {
            Self::Workspace(status) => lines(status, client),
            Self::All(containers) => all_lines(containers, client),
            Self::Nothing => vec!["it is down: `cosmos up` brings it up".to_owned()],
        }
    }

    fn json(&self) -> String {
        match self {
            Self::Workspace(status) => serde_json::to_string(status),
            Self::All(containers) => serde_json::to_string(containers),
            Self::Nothing => return "null".to_owned(),
        }
        .unwrap_or_default()
    }
}

async fn follow(client: &Client, key: Option<&str>) -> Result<ExitCode, Failure> {
    let looks = client.lines::<LiveLine>("/live?usage=false").await?;
    tokio::pin!(looks);
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    let mut told = String::new();
    loop {
        // Both are cancel-safe: a line is taken whole or stays in the stream.
        let line = tokio::select! {
            line = looks.next() => line,
            _ = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let Some(line) = line.transpose()? else {
            return Err(Failure::new("the proxy went away").hinted("run it again"));
        };
        if let Some(seen) = Seen::of(key, line) {
            let now = seen.json();
            if now != told {
                outln!("{now}");
                told = now;
            }
        }
    }
}

async fn draw(client: &Client, key: Option<&str>) -> Result<ExitCode, Failure> {
    let opened = FullScreen::open();
    let mut screen = opened.map_err(|error| Failure::new(error.to_string()))?;
    let mut seen = None;
    loop {
        let looks = client.lines::<LiveLine>("/live?usage=false").await?;
        tokio::pin!(looks);
        loop {
            if let Some(seen) = &seen {
                show(&screen, seen, client)?;
            }
            // Both are cancel-safe: what is not taken stays where it is.
            tokio::select! {
                line = looks.next() => match line {
                    Some(Ok(line)) => seen = Seen::of(key, line).or(seen),
                    // The proxy is away: what was seen last stays.
                    Some(Err(ClientError::Unreachable { .. })) | None => break,
                    Some(Err(error)) => return Err(error.into()),
                },
                happened = screen.next() => match happened {
                    Happened::Changed => {}
                    Happened::Keys(keys) if !is_leaving(&keys) => {}
                    Happened::Keys(_) | Happened::Ended(_) => return Ok(ExitCode::SUCCESS),
                },
            }
        }
        bootstrap::answers_again(client).await;
    }
}

/// `q`, Ctrl-C, Ctrl-D or Escape alone.
fn is_leaving(keys: &[u8]) -> bool {
    matches!(keys, [b'q' | b'Q' | 3 | 4 | 27])
}

fn show(screen: &FullScreen, seen: &Seen, client: &Client) -> Result<(), Failure> {
    let rows = window_size().map_or(24, |size| usize::from(size.rows));
    let mut lines = seen.lines(client);
    if lines.len() > rows {
        let more = lines.split_off(rows.saturating_sub(1)).len();
        lines.push(format!("{more} more lines: there is no room for them"));
    }
    let drawn = screen.draw(&lines);
    drawn.map_err(|error| Failure::new(error.to_string()))
}
