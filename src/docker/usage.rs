//! What containers use of the machine.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use super::{
    client::{LOOK, Path, within},
    engine::DockerEngine,
    observe::or_empty,
};
use crate::{
    reconcile::engine::{EngineError, Used},
    workspace::ContainerId,
};

/// `GET /containers/ID/stats` of API 1.41, as far as it is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Stats {
    cpu_stats: Cpu,
    memory_stats: Memory,
    #[serde(deserialize_with = "or_empty")]
    networks: BTreeMap<String, Network>,
    blkio_stats: Disks,
    pids_stats: Processes,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    rx_bytes: u64,
    tx_bytes: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disks {
    #[serde(deserialize_with = "or_empty")]
    io_service_bytes_recursive: Vec<Disk>,
}

/// One kind of access to one disk.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Disk {
    op: String,
    value: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Processes {
    current: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    cpu_usage: CpuUsage,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    /// Nanoseconds.
    total_usage: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Memory {
    usage: u64,
    limit: u64,
    stats: MemoryStats,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemoryStats {
    /// Of control groups of version 2.
    inactive_file: u64,
    /// Of version 1.
    total_inactive_file: u64,
}

/// Beyond this a limit is none: engines say the machine's memory, or all that fits a page table.
const NO_LIMIT: u64 = 1 << 50;

impl DockerEngine {
    pub(super) async fn measure(&self, container: &ContainerId) -> Result<Used, EngineError> {
        let path = Path::new("/containers")
            .segment(container.as_str())
            // Once: the other way takes two looks, a second apart.
            .then("/stats?stream=false&one-shot=true");
        let stats: Stats = within("stats", LOOK, self.client().get(&path)).await?;
        Ok(used(&stats))
    }
}

fn used(stats: &Stats) -> Used {
    let memory = &stats.memory_stats;
    let files = memory
        .stats
        .inactive_file
        .max(memory.stats.total_inactive_file);
    let disks = &stats.blkio_stats.io_service_bytes_recursive;
    let of_disks = |word: &str| {
        disks
            .iter()
            // With a capital letter in control groups of version 1.
            .filter(|disk| disk.op.eq_ignore_ascii_case(word))
            .fold(0_u64, |sum, disk| sum.saturating_add(disk.value))
    };
    let of_networks = |bytes: fn(&Network) -> u64| {
        let networks = stats.networks.values();
        networks.fold(0_u64, |sum, network| sum.saturating_add(bytes(network)))
    };
    Used {
        received: of_networks(|network| network.rx_bytes),
        sent: of_networks(|network| network.tx_bytes),
        read: of_disks("read"),
        written: of_disks("write"),
        pids: stats.pids_stats.current,
        cpu: Duration::from_nanos(stats.cpu_stats.cpu_usage.total_usage),
        memory: memory.usage.saturating_sub(files),
        limit: (memory.limit > 0 && memory.limit < NO_LIMIT).then_some(memory.limit),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_keeps_of_files_is_not_used() {
        let stats = r#"{"cpu_stats":{"cpu_usage":{"total_usage":1500000}},
            "memory_stats":{"usage":1000,"limit":4096,"stats":{"inactive_file":400}}}"#;
        let used = used(&serde_json::from_str(stats).unwrap());
        assert_eq!(used.cpu, Duration::from_micros(1500));
        assert_eq!((used.memory, used.limit), (600, Some(4096)));
    }

    #[test]
    fn what_went_over_every_network_and_to_every_disk_is_one_number() {
        let stats = r#"{"networks":{"eth0":{"rx_bytes":1,"tx_bytes":10},"eth1":{"rx_bytes":2,"tx_bytes":20}},
            "blkio_stats":{"io_service_bytes_recursive":[
                {"major":8,"minor":0,"op":"Read","value":5},{"major":8,"minor":16,"op":"read","value":6},
                {"op":"Write","value":7},{"op":"Total","value":99}]},
            "pids_stats":{"current":3,"limit":18446744073709551615}}"#;
        let used = used(&serde_json::from_str(stats).unwrap());
        assert_eq!((used.received, used.sent), (3, 30));
        assert_eq!((used.read, used.written, used.pids), (11, 7, 3));
    }

    #[test]
    fn what_an_engine_does_not_say_is_nothing() {
        for nothing in [
            "{}",
            r#"{"networks":null,"blkio_stats":{"io_service_bytes_recursive":null}}"#,
        ] {
            let used = used(&serde_json::from_str(nothing).unwrap());
            assert_eq!(used, Used::default());
        }
    }
}
