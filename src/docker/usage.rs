//! What containers use of the machine.

use std::time::Duration;

use serde::Deserialize;

use super::{
    client::{LOOK, Path, within},
    engine::DockerEngine,
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
    Used {
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
    fn what_an_engine_does_not_say_is_nothing() {
        let used = used(&serde_json::from_str("{}").unwrap());
        assert_eq!(used, Used::default());
    }
}
