//! Making it true: the engine's port, the executor, and the loop around them.
//!
//! Start reading at [`engine`], the trait that Docker, Swarm and the fake
//! implement; then [`event`], the facts that everything here tells; then
//! [`execute`], which carries out a plan. [`fake`] is an engine for tests.

pub mod adhoc;
pub mod controller;
pub mod engine;
pub mod event;
pub mod execute;
pub mod fake;
pub mod history;
mod one_look;
mod own_writes;
pub mod probe;
mod problem;
mod underway;

#[cfg(test)]
mod convergence;

pub use execute::{Executed, Executor, WIDTH, Waiter};
