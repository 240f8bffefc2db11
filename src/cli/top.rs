//! `cosmos top`: what containers use, as long as somebody looks.
//!
//! The proxy measures, as it does for the dashboard, and only while somebody looks: this
//! reads the same stream. Who works most stands first.

mod draw;
mod sample;

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, stdout},
    process::ExitCode,
};

use futures_util::{Stream, StreamExt as _};
use serde::Serialize;

use self::sample::{Row, Wanted, World};
use super::{
    args::{Global, Top as Args},
    bootstrap, context,
    error::{Failure, INTERRUPTED},
    exec::found,
    terminal::{FullScreen, Happened, window_size},
    terminal_width,
    ui::{outln, sayln},
};
use crate::api::{
    client::{Client, ClientError},
    wire::{LiveLine, Usage},
};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let client = bootstrap::existing(&global).await?;
    let wanted = wanted(&global, &client, &args).await?;
    let lines = client.lines::<LiveLine>("/live?often=true").await?;
    let mut looks = Looks {
        lines: Box::pin(lines),
        world: World::default(),
        usage: BTreeMap::new(),
        wanted,
    };
    if args.once {
        let told = looks.complete().await?;
        match args.json {
            true => outln!("{}", looks.json(told)),
            false => looks.print(),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if args.json {
        return follow(looks).await;
    }
    if !stdout().is_terminal() {
        looks.complete().await?;
        looks.print();
        return Ok(ExitCode::SUCCESS);
    }
    watch(looks).await
}

/// Whose use is wanted: of everything where there is no workspace here.
async fn wanted(global: &Global, client: &Client, args: &Args) -> Result<Wanted, Failure> {
    let here = context::workspace_here(global).map(|here| here.workspace.identity.key());
    if !args.names.is_empty() {
        for name in &args.names {
            // Whether there is one.
            found(global, client, name).await?;
        }
        return Ok(Wanted::Names {
            names: args.names.clone(),
            here,
        });
    }
    Ok(match here {
        Some(key) if !args.all => Wanted::Workspace(key),
        _ => Wanted::All,
    })
}

/// What is told while we look.
struct Looks<S> {
    lines: std::pin::Pin<Box<S>>,
    world: World,
    usage: BTreeMap<String, Usage>,
    wanted: Wanted,
}

/// What a line of the stream was about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// What there is.
    World,
    /// What it uses, measured at this time.
    Usage(u64),
    /// Nothing that is shown.
    Other,
}

impl<S: Stream<Item = Result<LiveLine, ClientError>>> Looks<S> {
    /// Takes the next line. Cancel-safe: a line is taken whole or stays in the stream.
    async fn next(&mut self) -> Result<Told, Failure> {
        let Some(line) = self.lines.next().await else {
            return Err(Failure::new("the proxy went away").hinted("run it again"));
        };
        Ok(match line? {
            LiveLine::State { workspaces, adhoc } => {
                self.world = World { workspaces, adhoc };
                Told::World
            }
            LiveLine::Usage { at, containers } => {
                self.usage = containers;
                Told::Usage(at)
            }
            LiveLine::Hello { .. } | LiveLine::Alive => Told::Other,
        })
    }

    /// Waits until what is wanted was measured, which takes two looks at it; the time of it.
    async fn complete(&mut self) -> Result<u64, Failure> {
        let mut looks = 0;
        loop {
            let Told::Usage(at) = self.next().await? else {
                continue;
            };
            looks += 1;
            // One that was started just now is not waited for.
            if looks > 2 || self.rows().iter().all(|row| row.usage.is_some()) {
                return Ok(at);
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        self.world.rows(&self.wanted, &self.usage)
    }

    fn print(&self) {
        let rows = self.rows();
        if rows.is_empty() {
            sayln!("nothing of it runs");
            return;
        }
        for line in draw::table(&rows, terminal_width()) {
            outln!("{}", line.trim_end());
        }
    }

    fn json(&self, at: u64) -> String {
        let look = Look {
            schema: 1,
            at,
            containers: self.rows(),
        };
        serde_json::to_string(&look).unwrap_or_default()
    }
}

/// What `--json` prints on each line.
#[derive(Serialize)]
struct Look {
    schema: u32,
    /// When it was measured, in milliseconds since the epoch.
    at: u64,
    containers: Vec<Row>,
}

/// A line of JSON for each look, until we are interrupted.
async fn follow<S>(mut looks: Looks<S>) -> Result<ExitCode, Failure>
where
    S: Stream<Item = Result<LiveLine, ClientError>>,
{
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);
    loop {
        // Both are cancel-safe: what was not taken stays in the stream.
        let told = tokio::select! {
            told = looks.next() => told?,
            _ = &mut stop => return Ok(ExitCode::from(INTERRUPTED)),
        };
        if let Told::Usage(at) = told {
            outln!("{}", looks.json(at));
        }
    }
}

/// In place on the terminal, until a key or a signal ends it.
async fn watch<S>(mut looks: Looks<S>) -> Result<ExitCode, Failure>
where
    S: Stream<Item = Result<LiveLine, ClientError>>,
{
    let told = |error: super::terminal::Error| Failure::new(error.to_string());
    let mut screen = FullScreen::open().map_err(told)?;
    loop {
        // Both are cancel-safe: lines stay in the stream, keys and signals are noted.
        tokio::select! {
            told = looks.next() => {
                if told? == Told::Other {
                    continue;
                }
            }
            happened = screen.next() => match happened {
                Happened::Keys(keys) if !ends(&keys) => continue,
                Happened::Keys(_) => return Ok(ExitCode::SUCCESS),
                Happened::Changed => {}
                Happened::Ended(end) => {
                    let code = end.exit_code().and_then(|code| u8::try_from(code).ok());
                    return Ok(code.map_or(ExitCode::SUCCESS, ExitCode::from));
                }
            },
        }
        let (width, height) =
            window_size().map_or((80, 24), |size| (size.columns.into(), size.rows.into()));
        screen
            .draw(&draw::screen(&looks.rows(), width, height))
            .map_err(told)?;
    }
}

/// `q`, Ctrl-C or Ctrl-D.
fn ends(keys: &[u8]) -> bool {
    keys.iter().any(|key| matches!(key, b'q' | b'Q' | 3 | 4))
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    fn looks(lines: Vec<LiveLine>) -> Looks<impl Stream<Item = Result<LiveLine, ClientError>>> {
        Looks {
            lines: Box::pin(stream::iter(lines.into_iter().map(Ok))),
            world: World::default(),
            usage: BTreeMap::new(),
            wanted: Wanted::All,
        }
    }

    fn usage(at: u64, ids: &[&str]) -> LiveLine {
        let usage = sample::tests::usage(1.0, 1);
        LiveLine::Usage {
            at,
            containers: ids
                .iter()
                .map(|id| ((*id).to_owned(), usage.clone()))
                .collect(),
        }
    }

    fn state(names: &[&str]) -> LiveLine {
        LiveLine::State {
            workspaces: Vec::new(),
            adhoc: names
                .iter()
                .map(|name| sample::tests::container(name, "running"))
                .collect(),
        }
    }

    #[tokio::test]
    async fn a_table_waits_until_all_was_measured_but_not_for_ever() {
        let mut both = looks(vec![
            state(&["a", "b"]),
            usage(1, &[]),
            usage(2, &["a-id", "b-id"]),
        ]);
        assert_eq!(both.complete().await.unwrap(), 2);
        let mut late = looks(vec![
            state(&["a", "b"]),
            usage(1, &[]),
            usage(2, &["a-id"]),
            usage(3, &["a-id"]),
        ]);
        assert_eq!(late.complete().await.unwrap(), 3);
        assert_eq!(late.rows().len(), 2);
        let mut nothing = looks(vec![state(&[]), usage(1, &[])]);
        assert_eq!(nothing.complete().await.unwrap(), 1);
        nothing.complete().await.unwrap_err();
    }

    #[test]
    fn q_and_the_usual_keys_end_it() {
        for keys in ["q", "Q", "\x03", "\x04", "xq"] {
            assert!(ends(keys.as_bytes()), "{keys:?}");
        }
        assert!(!ends(b"x\x1b[A"));
    }
}
