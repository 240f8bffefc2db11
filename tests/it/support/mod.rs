//! What tests of the whole program share: a Cosmos of their own, what it said,
//! and the engine's own word for what is there.
//!
//! Start reading at [`Cosmos`]. A test that fails to clean up fails the next
//! one, so everything is removed on drop, and only what is known to be ours.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod browser;
mod cosmos;
mod docker;
mod output;
mod terminal;

use std::{
    net::TcpListener,
    sync::atomic::{AtomicU16, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

pub(crate) use self::{
    browser::Browser,
    cosmos::Cosmos,
    docker::{docker, inspect, is_running, output_of},
    output::{Output, Running},
    terminal::Terminal,
};

/// Everything here takes a second at most; this is for a machine under load.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A port that nobody has. Counted up, so that two tests never get the same; below
/// those that the kernel and the engine hand out.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(21_000);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        if TcpListener::bind(("0.0.0.0", port)).is_ok() {
            return port;
        }
    }
}

/// Waits for what no stream tells of.
#[track_caller]
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "still not so: {what}");
        sleep(Duration::from_millis(20));
    }
}
