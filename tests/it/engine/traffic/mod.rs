//! The data plane of a real proxy: in front of containers, under load and attack.

use std::fs;

use super::workspace::support::{Place, inspect};

mod attacked;
mod bodies;
mod inside;
mod replaced;

/// The most memory that the proxy ever had, in megabytes.
pub(super) fn most_memory(place: &Place) -> u64 {
    let process = inspect(&place.proxy(), "{{.State.Pid}}").unwrap();
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.unwrap().split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() / 1024
}
