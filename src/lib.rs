//! Cosmos.
