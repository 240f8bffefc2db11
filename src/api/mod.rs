//! Both ends of the wire in one folder: what crosses it, who answers, who asks.
//!
//! Start reading at [`wire`], which lists all that crosses.

pub mod client;
#[cfg(test)]
mod contract;
pub mod server;
pub mod wire;
