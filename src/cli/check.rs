//! `cosmos check`: what is wrong with the config, without an engine.

use std::process::ExitCode;

use super::{
    args::{Check as Args, Global},
    context,
    error::Failure,
    ui::{outln, plural},
};
use crate::config::{self, SecretReading};

pub(super) fn run(global: &Global, args: &Args) -> Result<ExitCode, Failure> {
    let mut sources = context::sources(global, &args.project, SecretReading::None)?;
    sources.thorough = true;
    if args.json {
        let diagnostics = match config::load(&sources) {
            Ok(loaded) => loaded.warnings,
            Err(diagnostics) => diagnostics,
        };
        outln!(
            "{}",
            serde_json::json!({
                "schema": 1,
                "valid": !diagnostics.has_errors(),
                "diagnostics": &diagnostics,
                "left_out": diagnostics.left_out(),
            })
        );
        return Ok(ExitCode::from(if diagnostics.has_errors() { 2 } else { 0 }));
    }
    let loaded = context::load_from(&sources)?;
    if !global.quiet {
        let workspace = &loaded.workspace;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        outln!(
            "{} is valid: {}, {}",
            workspace.identity,
            plural(count(workspace.services.len()), "service"),
            plural(count(workspace.commands.len()), "command"),
        );
    }
    Ok(ExitCode::SUCCESS)
}
