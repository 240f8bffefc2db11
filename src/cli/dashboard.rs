//! `cosmos dashboard`: opens the inspector's page, signed in.
//!
//! The page gets a code that works once and soon, in the fragment of its address, which
//! a browser sends to nobody. Whoever else is on this machine could read the arguments of
//! a program: so the browser is not given the address but a file of our own, which only
//! its owner can read and which leads there.

use std::{fs, process::ExitCode};

use super::{
    args::{Dashboard as Args, Global},
    bootstrap, browser,
    error::Failure,
    private,
    ui::{outln, sayln},
};
use crate::{api::wire::Invitation, platform};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let client = bootstrap::existing(&global).await?;
    let invitation: Invitation = client.post("/session/invite", &()).await?;
    let page = format!("http://cosmos.localhost:{}/", client.address().port());
    let address = format!("{page}#code={}", invitation.code);
    if !args.print && platform::has_screen() && open(&address)? {
        sayln!("the dashboard opens in your browser: {page}");
        sayln!("if it does not: `cosmos dashboard --print`");
        return Ok(ExitCode::SUCCESS);
    }
    outln!("{address}");
    sayln!("open this within two minutes: it signs in one browser, once");
    Ok(ExitCode::SUCCESS)
}

/// Opens an address in the user's browser; false if there is none.
fn open(address: &str) -> Result<bool, Failure> {
    let Some(file) = platform::cache_folder().map(|folder| folder.join("dashboard.html")) else {
        return Ok(false);
    };
    private::write(&file, leading_to(address).as_bytes())
        .map_err(|error| Failure::new(format!("{} cannot be written: {error}", file.display())))?;
    if browser::open(&file) {
        return Ok(true);
    }
    // Nobody will read it.
    let _ = fs::remove_file(&file);
    Ok(false)
}

/// A page that is left at once.
fn leading_to(address: &str) -> String {
    format!(
        "<!doctype html><meta charset=\"utf-8\"><meta name=\"referrer\" content=\"no-referrer\"><meta http-equiv=\"refresh\" content=\"0; url={address}\"><title>Cosmos</title><p><a href=\"{address}\">The dashboard</a>\n"
    )
}
