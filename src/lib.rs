//! Cosmos: declare containers in `cosmos.toml`, and keep them so.

pub mod api;
pub mod config;
pub mod docker;
pub mod plan;
pub mod reconcile;
pub mod store;
pub mod traffic;
pub mod workspace;
