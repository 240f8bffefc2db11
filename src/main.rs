//! `cosmos`: parse, run, exit code.

use std::process::ExitCode;

use mimalloc::MiMalloc;

/// What a request passes through allocates often, and little.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    cosmos::cli::run()
}
