//! `cosmos`: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    cosmos::cli::run()
}
