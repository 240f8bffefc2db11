//! Commands: run to completion in a container of their own, or in a service.

use std::{
    fs,
    path::{Path, PathBuf},
};

use indexmap::IndexMap;
use sha2::{Digest as _, Sha256};

use super::{Resolver, each};
use crate::{
    config::{context::file_digest, decode::join, glob, schema::CommandTable},
    workspace::{Command, CommandKind, CommandName, ServiceName, fingerprint::hex},
};

impl Resolver<'_, '_> {
    pub(super) fn commands(&mut self) -> IndexMap<CommandName, Command> {
        let config = self.given.config;
        let mut commands = IndexMap::with_capacity(config.commands.len());
        for (name, table) in &config.commands {
            if self.report.is_full() {
                break;
            }
            let command_name = self.name::<CommandName>("commands", name);
            let command = self.command(name, table);
            if let (Some(command_name), Some(command)) = (command_name, command) {
                commands.insert(command_name, command);
            }
        }
        commands
    }

    fn command(&mut self, name: &str, table: &CommandTable) -> Option<Command> {
        let path = join("commands", name);
        let who = format!("command `{name}`");
        let run_path = format!("{path}.run");
        let run = match &table.run {
            Some(run) => self.words(&run_path, run),
            None => None,
        };
        let inputs = self.inputs(&format!("{path}.inputs"), &who, table);
        let kind = match (&table.image, &table.service) {
            (Some(_), Some(_)) => {
                self.report
                    .clash(
                        &format!("{path}.service"),
                        format!("{who} has both an image and a service"),
                        &format!("{path}.image"),
                        "the image",
                    )
                    .help("an image for a container of its own, a service to run inside that one");
                None
            }
            (Some(image), None) => {
                let image = self.image(&format!("{path}.image"), image);
                let image = image.unwrap_or_else(Self::no_image);
                let mut container = self.container(&path, &who, table.container(), image);
                container.command = run;
                Some(CommandKind::Container(Box::new(container)))
            }
            (None, Some(service)) => self.exec(name, &path, &who, service, table, run),
            (None, None) => {
                let is_refused = ["image", "service"]
                    .iter()
                    .any(|key| self.was_refused("commands", name, key));
                if !is_refused {
                    self.report
                        .key_error(&path, format!("{who} has neither an image nor a service"))
                        .help("add image = \"..\", or service = \"..\" to run inside that one");
                }
                None
            }
        };
        Some(Command {
            kind: kind?,
            // Filled in when all names are known.
            depends_on: IndexMap::new(),
            inputs,
            needed: false,
        })
    }

    fn exec(
        &mut self,
        name: &str,
        path: &str,
        who: &str,
        service: &str,
        table: &CommandTable,
        run: Option<Vec<String>>,
    ) -> Option<CommandKind> {
        let service_path = format!("{path}.service");
        if !self.is_written("services", service) {
            self.unknown_name(
                &service_path,
                format!("{who} runs in `{service}`, which is not a service"),
                service,
                &["services"],
            );
            return None;
        }
        // What belongs to a container of its own is not the service's to take over.
        let own = CommandTable {
            service: table.service.clone(),
            run: table.run.clone(),
            inputs: table.inputs.clone(),
            depends_on: table.depends_on.clone(),
            ..CommandTable::default()
        };
        if *table != own {
            self.report
                .key_error(
                    path,
                    format!("{who} runs in `{service}`, so it cannot have settings of its own"),
                )
                .help("keep service, run, inputs and depends_on, or give it an image instead");
        }
        if table.run.is_none() && !self.was_refused("commands", name, "run") {
            self.report
                .key_error(path, format!("{who} says nothing to run"))
                .help("add run = \"..\"");
        }
        Some(CommandKind::Exec {
            service: ServiceName::new(service).ok()?,
            run: run?,
        })
    }

    /// A digest of the paths and contents of the files that match `inputs`.
    fn inputs(&mut self, path: &str, who: &str, table: &CommandTable) -> Option<String> {
        table.inputs.iter().next()?;
        let mut matching: Vec<(String, PathBuf)> = Vec::new();
        for (path, pattern) in each(path, &table.inputs) {
            let clean = pattern.trim_start_matches("./");
            if clean.starts_with('/') || clean.split('/').any(|part| part == "..") {
                self.report
                    .error(
                        &path,
                        format!("`{pattern}` leads out of the project's folder"),
                    )
                    .help("a pattern is relative to it, like \"migrations/**\"");
                continue;
            }
            let (start, found) = files_matching(self.given.folder, clean);
            // One that is not there yet may match tomorrow.
            self.files.push(self.given.folder.join(start));
            if found.is_empty() {
                self.report
                    .warning(
                        &path,
                        format!("no file matches `{pattern}`, which {who} depends on"),
                    )
                    .help("mend the pattern: `*` is in one folder, `**` in all below");
            }
            matching.extend(found);
        }
        matching.sort();
        matching.dedup();
        let mut hasher = Sha256::new();
        for (relative, full) in matching {
            hasher.update((relative.len() as u64).to_le_bytes());
            hasher.update(&relative);
            match file_digest(&full) {
                Ok(digest) => hasher.update(digest),
                Err(_) => {
                    self.report
                        .error(
                            path,
                            format!("cannot read `{relative}`, which {who} depends on"),
                        )
                        .help("mend its permissions, or the pattern");
                }
            }
            self.files.push(full);
        }
        Some(hex(&hasher.finalize()))
    }
}

/// The files below `folder` that match a pattern, or are in a folder that does; and below
/// what all such files are.
fn files_matching(folder: &Path, pattern: &str) -> (String, Vec<(String, PathBuf)>) {
    let pattern = pattern.trim_end_matches('/');
    // Only where the pattern can lead: not through the whole project for `a/b/*.sql`.
    let is_plain = |part: &&str| !part.contains(['*', '?', '[', '\\']);
    let start: Vec<&str> = pattern.split('/').take_while(is_plain).collect();
    let start = start.join("/");
    let mut found = Vec::new();
    let mut todo = vec![(start.clone(), folder.join(&start))];
    while let Some((relative, full)) = todo.pop() {
        let Ok(metadata) = fs::symlink_metadata(&full) else {
            continue;
        };
        if metadata.is_dir() {
            let entries = fs::read_dir(&full).into_iter().flatten().flatten();
            for entry in entries.filter(|entry| entry.file_name() != ".git") {
                let name = entry.file_name().to_string_lossy().into_owned();
                let inside = if relative.is_empty() {
                    name
                } else {
                    format!("{relative}/{name}")
                };
                todo.push((inside, entry.path()));
            }
        } else if full.is_file()
            && (glob::matches(pattern, &relative)
                || relative
                    .match_indices('/')
                    .any(|(at, _)| glob::matches(pattern, &relative[..at])))
        {
            found.push((relative, full));
        }
    }
    (start, found)
}
