//! `cosmos logs`: what containers say, many of them side by side.

mod follow;
mod http;
mod line;
mod merge;
mod show;
mod source;
mod tame;

use std::{future::Future, io, pin::Pin, process::ExitCode, time::SystemTime};

use futures_util::{FutureExt as _, Stream, StreamExt as _, TryStreamExt as _, stream};

use self::{
    follow::{Following, Seen},
    show::Shown,
    source::{Part, Reader, Source, Wanted},
};
use super::{
    args::{Global, Logs, Project},
    bootstrap, context,
    error::{Failure, INTERRUPTED},
    exec::found,
    here::here,
};
use crate::{
    api::{
        client::{Client, encoded},
        wire::Status,
    },
    config,
    reconcile::engine::LogTime,
    workspace::time,
};

/// So many logs are opened at once: each is a connection of its own.
const OPENED_AT_ONCE: usize = 16;

pub(super) async fn run(global: Global, args: Logs) -> Result<ExitCode, Failure> {
    if args.http {
        return http::run(&global, &args).await;
    }
    let part = part(&args)?;
    let (client, wanted, sources) = named(&global, &args.names).await?;
    let is_all = matches!(wanted[..], [Wanted::Workspace(_)]);
    let mut shown = Shown::new(&args, is_all)?;
    let reader = Reader::beside(&client).await;
    let stop = tokio::signal::ctrl_c();
    tokio::pin!(stop);

    // What a terminal would obey is taken out of whole lines.
    let is_plain = args.grep.is_none() && !args.json && !args.timestamps && !shown.is_tame();
    if let ([source], false, false, true) = (&sources[..], args.follow, is_all, is_plain) {
        return pass(&reader, source, part, &mut shown, &mut stop).await;
    }
    // What is there already, in the order of time; then, what comes.
    let begun = match past(&reader, sources, part, &mut shown, &mut stop).await? {
        Past::Shown(begun) => begun,
        Past::Left(code) => return Ok(code),
    };
    if !args.follow {
        return Ok(ExitCode::SUCCESS);
    }
    let following = Following::new(&client, wanted, shown, &begun, part.since);
    following.run(stop).await
}

fn part(args: &Logs) -> Result<Part, Failure> {
    Ok(Part {
        follow: false,
        tail: args.tail,
        since: args.since.as_deref().map(moment).transpose()?,
        until: args.until.as_deref().map(moment).transpose()?,
        timestamps: false,
    })
}

/// What was named, and the containers that there are of it.
async fn named(
    global: &Global,
    names: &[String],
) -> Result<(Client, Vec<Wanted>, Vec<Source>), Failure> {
    if names.is_empty() {
        let (client, key) = here(global, &Project::default()).await?;
        let status: Status = client
            .get(&format!("/workspaces/{}", encoded(&key)))
            .await?;
        let wanted = Wanted::Workspace(key);
        let sources = wanted.sources(&[status], &[]);
        return Ok((client, vec![wanted], sources));
    }
    let client = bootstrap::existing(global).await?;
    let here = || context::workspace_here(global).map(|loaded| loaded.workspace.identity.key());
    let (mut wanted, mut sources) = (Vec::new(), Vec::<Source>::new());
    for name in names {
        let found = found(global, &client, name).await?;
        wanted.extend(match (&found.service, here()) {
            (Some(service), Some(workspace)) => vec![Wanted::Service {
                workspace,
                name: service.clone(),
            }],
            _ => {
                let containers = found.containers.iter();
                containers
                    .map(|one| Wanted::Container(one.id.clone()))
                    .collect()
            }
        });
        for source in Source::all_of(&found) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    Ok((client, wanted, sources))
}

type Stop<'a, F> = Pin<&'a mut F>;

/// How the showing of what was there already ended.
enum Past {
    /// To its end: how far each was seen.
    Shown(Vec<(Source, Seen)>),
    /// Before.
    Left(ExitCode),
}

/// Shows what all of them wrote until now, in the order of time.
async fn past(
    reader: &Reader<'_>,
    sources: Vec<Source>,
    part: Part,
    shown: &mut Shown,
    stop: &mut Stop<'_, impl Future<Output = io::Result<()>>>,
) -> Result<Past, Failure> {
    let is_nothing_wanted = part.tail == Some(0);
    let part = Part {
        timestamps: true,
        // Where to go on is known from the last line, shown or not.
        tail: part.tail.map(|lines| lines.max(1)),
        ..part
    };
    let opened: Vec<_> = stream::iter(&sources)
        .map(|source| reader.read(&source.id, part))
        .buffered(OPENED_AT_ONCE)
        .try_collect()
        .await?;
    let writers: Vec<_> = sources
        .iter()
        .map(|source| shown.writer(&source.container, source.service.as_deref()))
        .collect();
    let lines = merge::by_time(opened.into_iter().map(source::lines).collect());
    tokio::pin!(lines);
    let mut seen = vec![Seen::default(); sources.len()];
    loop {
        let (at, line) = match next(&mut lines, shown, stop).await {
            Next::Some(line) => line?,
            Next::End => return Ok(Past::Shown(sources.into_iter().zip(seen).collect())),
            Next::Interrupted => return Ok(Past::Left(ExitCode::from(INTERRUPTED))),
        };
        seen[at].note(line.time);
        if is_nothing_wanted {
            continue;
        }
        if shown.show(&writers[at], &line).is_err() {
            return Ok(Past::Left(ExitCode::SUCCESS));
        }
    }
}

/// What one container wrote, byte by byte.
async fn pass(
    reader: &Reader<'_>,
    source: &Source,
    part: Part,
    shown: &mut Shown,
    stop: &mut Stop<'_, impl Future<Output = io::Result<()>>>,
) -> Result<ExitCode, Failure> {
    let mut chunks = reader.read(&source.id, part).await?;
    loop {
        let written = match next(&mut chunks, shown, stop).await {
            Next::Some(chunk) => shown.pass(&chunk?),
            Next::End => return Ok(ExitCode::SUCCESS),
            Next::Interrupted => return Ok(ExitCode::from(INTERRUPTED)),
        };
        if written.is_err() {
            return Ok(ExitCode::SUCCESS);
        }
    }
}

/// What comes of a stream that is shown.
enum Next<T> {
    Some(T),
    /// It has ended, or nobody reads us any more: `cosmos logs | head`.
    End,
    Interrupted,
}

/// What comes next; whoever reads us has all that came before, if it has to be waited for.
async fn next<T>(
    stream: &mut (impl Stream<Item = T> + Unpin),
    shown: &mut Shown,
    stop: &mut Stop<'_, impl Future<Output = io::Result<()>>>,
) -> Next<T> {
    let next = match stream.next().now_or_never() {
        Some(next) => next,
        None if shown.flush().is_err() => return Next::End,
        // Both are cancel-safe: what is not taken stays in its stream.
        None => tokio::select! {
            next = stream.next() => next,
            _ = &mut *stop => return Next::Interrupted,
        },
    };
    match next {
        Some(next) => Next::Some(next),
        None => {
            // That nobody reads is no failure.
            let _ = shown.flush();
            Next::End
        }
    }
}

/// An age (`90s`, `10m`, `1h30m`, `2d`), a time (`2026-11-23T23:08:17Z`), or seconds since
/// the epoch.
fn moment(text: &str) -> Result<LogTime, Failure> {
    let ago = || LogTime::at(SystemTime::now().checked_sub(config::duration(text)?)?);
    let of_clock = || LogTime::at(time(text)?);
    let found = text.parse().ok().or_else(of_clock).or_else(ago);
    found.ok_or_else(|| {
        Failure::usage(format!("`{text}` is no time")).hinted(
            "write how long ago, like `10m` or `2h`, or a time, like `2026-11-23T23:08:17Z`",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_an_age_a_time_of_the_clock_or_seconds_since_the_epoch() {
        assert_eq!(moment("12345").unwrap(), LogTime::of_seconds(12_345));
        assert_eq!(
            moment("1970-01-02T00:00:00Z").unwrap(),
            LogTime::of_seconds(86_400)
        );
        assert!(moment("10m").unwrap() < moment("1s").unwrap());
        assert!(moment("2d").unwrap() < moment("1h30m").unwrap());
        for wrong in ["", "m", "10x", "ä", "-5m"] {
            assert!(moment(wrong).is_err(), "{wrong}");
        }
    }
}
