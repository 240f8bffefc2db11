//! A guestbook in four parts, to try Cosmos on.
//!
//! One program plays all of them, so that one small image is enough: `store`
//! keeps the entries on a volume, `api` decides what an entry may be, `web` is the
//! page, and `seed` writes the first entries and ends. They find each other by
//! the names that `cosmos.toml` gives them.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "its log is the container's"
)]

mod api;
mod entry;
mod page;
mod remote;
mod seed;
mod server;
mod store;
mod web;

use std::{env, process::ExitCode};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let part = env::args().nth(1).unwrap_or_default();
    let played = match part.as_str() {
        "store" => store::play().await,
        "api" => api::play().await,
        "web" => web::play().await,
        "seed" => seed::play().await,
        _ => {
            eprintln!("usage: guestbook store|api|web|seed");
            return ExitCode::from(2);
        }
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {part}: {failure}");
            ExitCode::FAILURE
        }
    }
}

/// An environment variable, or what it is if nobody set it.
fn setting(name: &str, default: &str) -> String {
    env::var(name).unwrap_or_else(|_| default.to_owned())
}
