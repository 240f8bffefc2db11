//! What a person waits for, beside what others take for the same.
//!
//! Each figure stands beside those of its peers and of the engine's own calls with nothing
//! between, taken in turn in the same run, so that a busy machine slows all of them; what
//! is said is the median, and how far the figures are apart. It needs an engine
//! (`DOCKER_HOST`, a Unix socket) with `busybox:latest`, Docker Compose 2
//! (`COSMOS_BENCH_COMPOSE`) and GNU time; `scripts/bench` sees to all of that:
//!
//! ```sh
//! scripts/bench starting reading edited resting
//! scripts/bench starting 1 10 100        # with so many services
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a measurement that cannot go on has failed, and its output is for people"
)]

mod composed;
mod edited;
mod engine;
mod place;
mod reading;
mod report;
mod resting;
mod starting;

use std::env;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    // `cargo test --benches` only wants to know that it builds.
    if arguments.iter().any(|argument| argument == "--list") {
        return;
    }
    let numbers: Vec<u32> = arguments
        .iter()
        .filter_map(|word| word.parse().ok())
        .collect();
    let is_asked = |name: &str| arguments.iter().any(|word| word == name);
    let all = ["starting", "reading", "edited", "resting"];
    let is_any = all.into_iter().any(is_asked);
    for name in all {
        if is_any && !is_asked(name) {
            continue;
        }
        match name {
            "starting" => starting::run(&numbers),
            "reading" => reading::run(),
            "resting" => resting::run(),
            _ => edited::run(),
        }
    }
}
