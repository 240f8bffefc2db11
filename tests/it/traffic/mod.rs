//! What the proxy does with bytes, over real sockets.

// clippy knows a test by its attribute, and not the helpers of tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod capture;
mod harness;
mod hold;
mod http2;
mod manage;
mod outside;
mod programs;
mod proxy;
mod raw;
mod swap;
