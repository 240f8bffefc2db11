//! `cosmos state`: a copy of all that the proxy remembers, and the way back.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::Path,
    process::ExitCode,
};

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _, stream};
use tokio::io::AsyncReadExt as _;

use super::{
    args::{Global, StateArgs, StateVerb},
    ask, bootstrap,
    error::Failure,
    private,
    ui::{outln, plural, sayln},
};
use crate::api::{client::ClientError, wire::Restored};

/// How much of a file is in memory at once.
const PART: usize = 64 << 10;

/// The file that stands for the output.
const OUTPUT: &str = "-";

pub(super) async fn run(global: Global, args: StateArgs) -> Result<ExitCode, Failure> {
    match args.verb {
        StateVerb::Backup { file } => backup(&global, &file).await,
        StateVerb::Restore { file, yes } => restore(&global, &file, yes).await,
    }
}

async fn backup(global: &Global, file: &Path) -> Result<ExitCode, Failure> {
    let is_output = file.as_os_str() == OUTPUT;
    if is_output && io::stdout().is_terminal() {
        return Err(Failure::usage("a backup is no text for a terminal")
            .hinted("name a file: `cosmos state backup cosmos.db`"));
    }
    let client = bootstrap::existing(global).await?;
    let parts = client.download("/state").await?;
    if is_output {
        write_all(&mut io::stdout().lock(), parts).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let written = write_beside(file, parts).await?;
    if !global.quiet {
        outln!(
            "{} written ({} KiB); secrets are not in it",
            file.display(),
            written.div_ceil(1024)
        );
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that only its owner reads: environments of services are in it. Whole
/// or not at all.
async fn write_beside(
    file: &Path,
    parts: impl Stream<Item = Result<Bytes, ClientError>>,
) -> Result<u64, Failure> {
    let beside = file.with_extension(format!("{}.new", std::process::id()));
    let written = async {
        let mut new = private::new_file(&beside)?;
        let written = write_all(&mut new, parts).await?;
        new.sync_all()?;
        fs::rename(&beside, file)?;
        Ok(written)
    };
    let written = written.await;
    if written.is_err() {
        // Why it failed is what matters.
        let _ = fs::remove_file(&beside);
    }
    written
}

async fn write_all(
    to: &mut impl io::Write,
    parts: impl Stream<Item = Result<Bytes, ClientError>>,
) -> Result<u64, Failure> {
    let mut parts = std::pin::pin!(parts);
    let mut written = 0;
    while let Some(part) = parts.try_next().await? {
        to.write_all(&part)?;
        written += part.len() as u64;
    }
    to.flush()?;
    Ok(written)
}

async fn restore(global: &Global, file: &Path, yes: bool) -> Result<ExitCode, Failure> {
    let source = tokio::fs::File::open(file)
        .await
        .map_err(|error| Failure::new(format!("{} cannot be read: {error}", file.display())))?;
    if !yes {
        let question = format!(
            "Replace all that the proxy remembers (workspaces, orders, history) by {}?",
            file.display()
        );
        ask::confirm(&question, || {
            Failure::new("nothing was restored").hinted("say yes beforehand: `--yes`")
        })?;
    }
    // Made where there is none: a state may come back to another machine.
    let client = bootstrap::client(global).await?;
    let parts = stream::try_unfold(source, async |mut source| {
        let mut part = bytes::BytesMut::with_capacity(PART);
        let read = source.read_buf(&mut part).await?;
        Ok((read > 0).then(|| (part.freeze(), source)))
    });
    let restored: Restored = client.put("/state", parts).await?;
    if !global.quiet {
        let count = u32::try_from(restored.workspaces.len()).unwrap_or(u32::MAX);
        outln!("restored: {}", plural(count, "workspace"));
        for key in &restored.workspaces {
            outln!("  {key}");
        }
        sayln!(
            "the state before it is kept in the volume; secrets stay as they were, and are sent by the next `cosmos up`"
        );
    }
    Ok(ExitCode::SUCCESS)
}
