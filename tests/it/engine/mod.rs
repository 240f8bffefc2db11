//! Against a real engine: that of `DOCKER_HOST`. Without one these fail, as a
//! skipped test proves nothing.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on has failed"
)]

mod attach;
mod attacks;
mod build;
mod contract;
mod docker;
mod dockerfile;
mod doctor;
pub(in crate::engine) mod faults;
mod founding;
mod inspector;
mod keys;
mod own_engine;
mod podman;
mod screens;
mod support;
mod terminal;
mod traffic;
pub(in crate::engine) mod workspace;
