//! How long a config takes: from the file to the workspace, and on to the plan.
//!
//! `services` grows tenfold from line to line: time that grows more than that is
//! superlinear. `hostile` is 1 MiB of what nobody writes: each line must stay
//! under 50 ms. `cargo bench --bench config`.

// A bench that cannot be set up is no bench.
#![allow(clippy::expect_used)]

use std::{fs, path::PathBuf};

use cosmos::{
    config::{FILE_NAME, Sources, load},
    plan::plan,
    workspace::{Memory, Observed},
};
use tempfile::TempDir;

#[path = "../tests/fixtures/config/hostile.rs"]
mod hostile;
#[path = "../tests/fixtures/config/many.rs"]
mod many;

use hostile::{HOSTILE, Hostile};

fn main() {
    divan::main();
}

/// A project's folder, with one file.
struct Project {
    _folder: TempDir,
    sources: Sources,
}

impl Project {
    fn new(text: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file: PathBuf = folder.path().join(FILE_NAME);
        fs::write(&file, text).expect("a file in it");
        Self {
            sources: Sources {
                file,
                ..Sources::default()
            },
            _folder: folder,
        }
    }
}

#[divan::bench(args = [10, 100, 1000])]
fn load_and_plan(bencher: divan::Bencher<'_, '_>, count: usize) {
    let project = Project::new(&many::services(count));
    bencher.bench(|| {
        let loaded = load(&project.sources).expect("a valid config");
        let plan = plan(&loaded.workspace, &Observed::default(), &Memory::default());
        // Both, so that dropping them is not measured.
        (loaded, plan)
    });
}

#[divan::bench(args = [10, 100, 1000])]
fn load_alone(bencher: divan::Bencher<'_, '_>, count: usize) {
    let project = Project::new(&many::services(count));
    bencher.bench(|| load(&project.sources).expect("a valid config"));
}

/// The name only, where a line is headed by its argument.
struct Named(&'static Hostile);

impl std::fmt::Display for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.0)
    }
}

#[divan::bench(args = HOSTILE.iter().map(Named), sample_count = 3, sample_size = 1)]
fn hostile_mebibyte(bencher: divan::Bencher<'_, '_>, hostile: &Named) {
    let project = Project::new(&hostile.0.1(1 << 20));
    bencher.bench(|| match load(&project.sources) {
        Ok(loaded) => loaded.warnings.render(false, 100),
        Err(problems) => problems.render(false, 100),
    });
}
