//! Docker Compose with the same services, under another name.

use std::{env, fs, process::Command};

use super::place::Place;

/// A project of Compose beside one of ours; its containers go with it.
pub(crate) struct Composed<'a>(&'a Place);

impl<'a> Composed<'a> {
    pub(crate) fn new(place: &'a Place) -> Self {
        Self(place)
    }

    /// Writes its file: these services.
    pub(crate) fn write(&self, services: &str) {
        let text = format!("name: {}-peer\nservices:\n{services}", self.0.name);
        fs::write(self.0.folder().join("compose.yaml"), text).unwrap();
    }

    /// A service that does nothing, with a value that can change.
    pub(crate) fn idle(&self, number: u32, value: u32) -> String {
        format!(
            "  s{number}:\n    image: busybox:latest\n    init: true\n    command: [sleep, \"10000\"]\n\
             \x20   environment: {{ VALUE: \"{value}\" }}\n"
        )
    }

    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let program = env::var("COSMOS_BENCH_COMPOSE");
        let program = program.expect("COSMOS_BENCH_COMPOSE is Docker Compose 2");
        self.0.command(&program, words)
    }

    /// podman-compose with the same file, if it is there, and has no more services than it
    /// starts in a minute: it starts one after the other.
    pub(crate) fn by_podman(&self, services: u32) -> Option<impl Fn(&[&str]) -> Command> {
        let program = env::var("COSMOS_BENCH_PODMAN_COMPOSE").ok();
        let program = program.filter(|_| services <= 20)?;
        Some(move |words: &[&str]| self.0.command(&program, words))
    }
}

impl Drop for Composed<'_> {
    fn drop(&mut self) {
        let _ = self.command(&["down", "-t", "0"]).status();
    }
}
