//! `cosmos serve`: what runs inside the proxy container.

use std::process::ExitCode;

use super::{context, error::Failure};
use crate::server;

pub(super) async fn run() -> Result<ExitCode, Failure> {
    let settings = server::Settings::from_environment(context::installation()?)
        .map_err(|error| Failure::usage(error.to_string()))?;
    match server::serve(settings).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) => Err(Failure::new(error.to_string())),
    }
}
