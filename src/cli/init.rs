//! `cosmos init`: a `cosmos.toml` to begin with, or one made of a Compose file.
//!
//! What of a Compose file could not be carried over is listed, by line. A file that is there is never written over. Nothing here needs an engine or
//! the proxy.

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    args::{FIND, Global, Init},
    context::show_problems,
    error::{Failure, Kind},
    ui::{out, outln, plural, printable, say},
};
use crate::{
    config::{
        FILE_NAME,
        compose::{self, Outcome, Remark},
    },
    workspace::{WorkspaceName, name::label_from},
};

/// What a new file begins with. Each line in comments is one that works.
const BEGINNING: &str = r#"# What runs here, and how: `cosmos up` makes it true. After an edit, run it again.

[workspace]
# name = "shop"                     # else the folder's name

[services.web]                      # as many as you like; each is a container
image = "nginx:alpine"
route = 80                          # http://web.NAME.localhost:8080
# ports = ["8000:80"]               # beside that: port 8000 of this machine
# env = { GREETING = "hello", TOKEN = "${TOKEN:-}" }
# mounts = ["site:/usr/share/nginx/html"]    # a volume; "./site:.." is a folder
# depends_on = { db = "ready" }

# [services.db]
# image = "postgres:16-alpine"
# env = { POSTGRES_PASSWORD = "${DB_PASSWORD:-change me}" }
# mounts = ["db-data:/var/lib/postgresql/data"]
# health = { tcp = 5432 }           # ready once this port answers

# [commands.hello]                  # run by `cosmos run hello`
# image = "alpine"
# run = "echo hello"
"#;

/// Files that Compose looks for, in its order.
const COMPOSE_FILES: [&str; 4] = [
    "compose.yaml",
    "compose.yml",
    "docker-compose.yaml",
    "docker-compose.yml",
];

/// Carries out `cosmos init`.
pub(super) fn run(global: &Global, args: &Init) -> Result<ExitCode, Failure> {
    let target = Target::of(global, args)?;
    let name = workspace_name(args.name.as_deref(), &target)?;
    let written = match &args.from {
        None => Written::new(name.as_ref()),
        Some(from) => Written::from_compose(&compose_file(from)?, &target, name.as_ref())?,
    };
    if !(args.json && matches!(target, Target::Output)) {
        target.write(&written.toml)?;
    }
    if args.json {
        outln!("{}", written.as_json(&target));
    } else if !global.quiet {
        written.report(&target);
    }
    Ok(ExitCode::SUCCESS)
}

/// The Compose file that was named, or the one in this folder.
fn compose_file(from: &OsStr) -> Result<PathBuf, Failure> {
    if from != FIND {
        return Ok(PathBuf::from(from));
    }
    compose_file_here().map(PathBuf::from).ok_or_else(|| {
        let names = COMPOSE_FILES.join(", ");
        Failure::usage(format!("none of {names} is in this folder"))
            .hinted("name the Compose file: `cosmos init --from FILE`")
    })
}

fn compose_file_here() -> Option<&'static str> {
    COMPOSE_FILES
        .into_iter()
        .find(|file| Path::new(file).is_file())
}

/// A config, and what is to be said of it.
struct Written {
    toml: String,
    /// The Compose file it was made of.
    from: Option<PathBuf>,
    services: Vec<String>,
    commands: Vec<String>,
    remarks: Vec<Remark>,
    further_remarks: usize,
}

impl Written {
    fn new(name: Option<&WorkspaceName>) -> Self {
        Self {
            toml: beginning(name),
            from: None,
            services: vec!["web".to_owned()],
            commands: Vec::new(),
            remarks: Vec::new(),
            further_remarks: 0,
        }
    }

    fn from_compose(
        file: &Path,
        target: &Target,
        name: Option<&WorkspaceName>,
    ) -> Result<Self, Failure> {
        let name = name.map(WorkspaceName::as_str);
        let conversion = compose::convert(file, &target.folder()?, name).map_err(|problems| {
            show_problems(&problems);
            Failure::shown(Kind::Usage)
        })?;
        Ok(Self {
            toml: conversion.toml,
            from: Some(file.to_owned()),
            services: conversion.services,
            commands: conversion.commands,
            remarks: conversion.remarks,
            further_remarks: conversion.further_remarks,
        })
    }

    fn as_json(&self, target: &Target) -> serde_json::Value {
        let (file, toml) = match target {
            Target::File(file) => (Some(file.display().to_string()), None),
            Target::Output => (None, Some(&self.toml)),
        };
        serde_json::json!({
            "schema": 1,
            "file": file,
            "toml": toml,
            "services": self.services,
            "commands": self.commands,
            "remarks": self.remarks,
            "further_remarks": self.further_remarks,
        })
    }

    /// Says what was written. Beside the config itself, if that is the output.
    fn report(&self, target: &Target) {
        let text = self.summary(target);
        match target {
            Target::Output if self.from.is_none() => {}
            Target::Output => say!("{text}"),
            Target::File(_) => out!("{text}"),
        }
    }

    fn summary(&self, target: &Target) -> String {
        let count =
            |names: &[String], word| plural(names.len().try_into().unwrap_or(u32::MAX), word);
        let services = count(&self.services, "service");
        let commands = match self.commands.as_slice() {
            [] => String::new(),
            commands => format!(" and {}", count(commands, "command")),
        };
        let mut text = String::new();
        if let Target::File(file) = target {
            let from = match &self.from {
                Some(from) => format!(", from {}", from.display()),
                None => ", and lines for more".to_owned(),
            };
            text = format!("Wrote {}: {services}{commands}{from}\n", file.display());
        }
        for (outcome, title) in [
            (Outcome::LeftOut, "Left out"),
            (Outcome::Changed, "Not quite the same"),
            (Outcome::ToDo, "To do"),
        ] {
            let remarks: Vec<_> = self
                .remarks
                .iter()
                .filter(|remark| remark.outcome == outcome)
                .collect();
            if !remarks.is_empty() {
                text += &format!("\n{title} ({}):\n", remarks.len());
            }
            for remark in remarks {
                text += &shown(remark);
            }
        }
        if self.further_remarks > 0 {
            text += &format!("\n.. and {} more\n", self.further_remarks);
        }
        if !self.remarks.is_empty() {
            text.push('\n');
        }
        if self.from.is_none()
            && let Some(compose) = compose_file_here()
        {
            text += &format!(
                "There is a {compose}, too: `cosmos init --from {compose} --print` shows what it would be here\n"
            );
        }
        if let Target::File(file) = target {
            let named = match file.as_os_str() == FILE_NAME {
                true => String::new(),
                false => format!(" -f {}", file.display()),
            };
            text += &format!("Next: `cosmos check{named}`, then `cosmos up{named}`\n");
        }
        text
    }
}

fn shown(remark: &Remark) -> String {
    let Remark {
        file,
        line,
        column,
        key,
        why,
        instead,
        ..
    } = remark;
    let [place, why, instead] = [
        format!("{file}:{line}:{column}  {key}"),
        why.clone(),
        instead.clone(),
    ]
    .map(|text| printable(&text));
    format!("  {place}\n      {why}\n      -> {instead}\n")
}

fn beginning(name: Option<&WorkspaceName>) -> String {
    match name {
        None => BEGINNING.to_owned(),
        Some(name) => BEGINNING
            .replace(
                "# name = \"shop\"                     # else the folder's name",
                &format!("name = \"{name}\""),
            )
            .replace("web.NAME.localhost", &format!("web.{name}.localhost")),
    }
}

/// The name that was asked for. Without one it is the folder's, which must do then.
fn workspace_name(asked: Option<&str>, target: &Target) -> Result<Option<WorkspaceName>, Failure> {
    let Some(asked) = asked else {
        let folder = target.folder()?;
        let folder = folder.file_name().unwrap_or_default().to_string_lossy();
        return match label_from(&folder) {
            Some(_) => Ok(None),
            None => Err(Failure::usage(format!(
                "no workspace name can be made of the folder's, `{folder}`"
            ))
            .hinted("give it one: `cosmos init --name shop`")),
        };
    };
    WorkspaceName::new(asked).map(Some).map_err(|error| {
        let failure = Failure::usage(error.to_string());
        match label_from(asked) {
            Some(label) => failure.hinted(format!("`cosmos init --name {label}` would do")),
            None => failure,
        }
    })
}

/// Where the config goes.
enum Target {
    Output,
    File(PathBuf),
}

impl Target {
    fn of(global: &Global, args: &Init) -> Result<Self, Failure> {
        let file = args.file.as_ref().or(global.file.as_ref());
        if args.print || file.is_some_and(|file| file.as_os_str() == "-") {
            return Ok(Self::Output);
        }
        let file = file.map_or_else(|| PathBuf::from(FILE_NAME), Clone::clone);
        // Before anything is read or asked: it would be in vain.
        match file.symlink_metadata() {
            Ok(_) => Err(already_there(&file)),
            Err(_) => Ok(Self::File(file)),
        }
    }

    /// The folder that relative paths of the config start from.
    fn folder(&self) -> Result<PathBuf, Failure> {
        let here = env::current_dir()?;
        Ok(match self {
            Self::Output => here,
            Self::File(file) => match file.parent() {
                Some(folder) => {
                    let folder = here.join(folder);
                    folder.canonicalize().unwrap_or(folder)
                }
                None => here,
            },
        })
    }

    fn write(&self, text: &str) -> Result<(), Failure> {
        let file = match self {
            Self::Output => {
                out!("{text}");
                return Ok(());
            }
            Self::File(file) => file,
        };
        // Not over one that came in the meantime either.
        let written = File::create_new(file).and_then(|mut new| new.write_all(text.as_bytes()));
        written.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => already_there(file),
            io::ErrorKind::NotFound => {
                let folder = file.parent().unwrap_or(file).display();
                Failure::new(format!(
                    "there is no folder {folder} to write {} to",
                    file.display()
                ))
                .hinted(format!("make it: `mkdir -p {folder}`"))
            }
            _ => Failure::new(format!("cannot write {}: {error}", file.display()))
                .hinted("`cosmos init --print` only shows it"),
        })
    }
}

fn already_there(file: &Path) -> Failure {
    Failure::new(format!(
        "{} is there already, and is left as it is",
        file.display()
    ))
    .hinted("`cosmos init --print` shows what would be written, `-f FILE` writes it elsewhere; `cosmos check` checks the one that is there")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Loaded, Sources, load};

    fn loaded(text: &str) -> Loaded {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join(FILE_NAME);
        std::fs::write(&file, text).unwrap();
        let sources = Sources {
            file,
            ..Sources::default()
        };
        load(&sources).unwrap_or_else(|problems| panic!("{problems}"))
    }

    #[test]
    fn a_new_file_loads_without_a_word() {
        let name = WorkspaceName::new("shop").unwrap();
        let loaded = loaded(&beginning(Some(&name)));
        assert_eq!(loaded.warnings.render(false, 100), "");
        assert_eq!(loaded.workspace.identity.name, name);
        assert_eq!(loaded.workspace.services.len(), 1);
    }

    #[test]
    fn every_line_in_comments_works_too() {
        let text: String = beginning(None)
            .lines()
            .skip(1)
            .map(|line| line.strip_prefix("# ").unwrap_or(line).to_owned() + "\n")
            .collect();
        let loaded = loaded(&text);
        assert_eq!(loaded.warnings.render(false, 100), "");
        assert_eq!(loaded.workspace.services.len(), 2);
        assert_eq!(loaded.workspace.commands.len(), 1);
    }
}
