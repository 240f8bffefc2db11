//! What is tested across the crate's edges, and against real engines.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test that cannot go on has failed, and says what it saw"
)]

mod changes;
mod cli;
mod completions;
mod config;
mod engine;
mod house;
mod layers;
mod package;
mod reference;
mod schema;
mod support;
mod traffic;
