//! The data plane of a real proxy: in front of containers, under load and attack.

mod attacked;
mod inside;
mod replaced;
