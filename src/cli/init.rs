//! `cosmos init`: a `cosmos.toml` to begin with.
//!
//! A file that is there is never written over. Nothing here needs an engine or
//! the proxy.

use std::{
    env,
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use super::{
    args::{Global, Init},
    error::Failure,
    ui::{out, outln},
};
use crate::{
    config::FILE_NAME,
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
    let text = beginning(name.as_ref());
    target.write(&text)?;
    if global.quiet || args.print {
        return Ok(ExitCode::SUCCESS);
    }
    outln!(
        "Wrote {}: one service, and the lines for more",
        target.shown()
    );
    if let Some(compose) = COMPOSE_FILES.iter().find(|file| Path::new(file).is_file()) {
        outln!(
            "There is a {compose}, too: `cosmos init --from {compose} --print` shows what it would be here"
        );
    }
    outln!("Next: `cosmos check`, then `cosmos up`");
    Ok(ExitCode::SUCCESS)
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
        if args.print {
            return Ok(Self::Output);
        }
        let file = file.map_or_else(|| PathBuf::from(FILE_NAME), Clone::clone);
        // Before anything is read or asked: it would be in vain.
        match file.symlink_metadata() {
            Ok(_) => Err(already_there(&file)),
            Err(_) => Ok(Self::File(file)),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Output => "the output".to_owned(),
            Self::File(file) => file.display().to_string(),
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
