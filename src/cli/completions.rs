//! `cosmos completions`: what a shell needs to complete `cosmos` commands.
//!
//! A small function for each shell, which asks `cosmos __complete` at every press of Tab
//! ([`super::complete`]): so what it offers is what there is, and a newer `cosmos` needs no
//! new function.

use std::process::ExitCode;

use super::{
    args::{Completions as Args, Shell},
    ui::out,
};

pub(super) fn run(args: &Args) -> ExitCode {
    out!("{}", script(args.shell));
    ExitCode::SUCCESS
}

fn script(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("completions/cosmos.bash"),
        Shell::Zsh => include_str!("completions/cosmos.zsh"),
        Shell::Fish => include_str!("completions/cosmos.fish"),
    }
}
