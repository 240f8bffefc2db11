//! Where the user stands: which config, which workspace, which environment.

use std::{collections::BTreeMap, env};

use super::{
    args::{Global, Project},
    error::{Failure, Kind},
    trust,
    ui::sayln,
};
use crate::{
    config::{self, Diagnostics, EngineName, Loaded, SecretReading, Sources},
    platform,
    workspace::Installation,
};

/// The installation that `COSMOS_INSTALLATION` names.
pub(super) fn installation() -> Result<Installation, Failure> {
    match env::var("COSMOS_INSTALLATION") {
        Ok(name) if !name.is_empty() => Installation::new(&name)
            .map_err(|error| Failure::usage(format!("COSMOS_INSTALLATION: {error}"))),
        // Never another installation than the one that was meant.
        Err(env::VarError::NotUnicode(_)) => {
            Err(Failure::usage("COSMOS_INSTALLATION is not UTF-8"))
        }
        _ => Ok(Installation::default()),
    }
}

/// Loads the config of the folder we are in, or the one that was named, for a
/// verb that only has to know what is declared: no secret is read.
pub(super) fn load(global: &Global, project: &Project) -> Result<Loaded, Failure> {
    let loaded = load_from(&sources(global, project, SecretReading::None)?)?;
    // Not at all rather than on another engine than was asked for.
    if loaded.engine == EngineName::Swarm {
        return Err(Failure::usage("there is no `engine = \"swarm\"` yet")
            .hinted("take it out of [workspace]: it is Docker then, or Podman"));
    }
    Ok(loaded)
}

/// Loads it with its secrets, for a verb that makes it so. What reaches the host,
/// the programs that print secrets among it, must be trusted before.
pub(super) fn load_trusted(
    global: &Global,
    project: &Project,
    is_trusted: bool,
) -> Result<Loaded, Failure> {
    let loaded = load(global, project)?;
    trust::require(&loaded, is_trusted)?;
    with_secrets(global, project, loaded, SecretReading::All)
}

/// Loads it with its secrets, for a verb that only shows what would be. Of a
/// project that is not trusted no program is run for it.
pub(super) fn load_to_show(global: &Global, project: &Project) -> Result<Loaded, Failure> {
    let loaded = load(global, project)?;
    let reading = match trust::untrusted(&loaded).is_empty() {
        true => SecretReading::All,
        false => SecretReading::NoCommands,
    };
    with_secrets(global, project, loaded, reading)
}

/// Loads once more with the values of the secrets, if anything uses one.
fn with_secrets(
    global: &Global,
    project: &Project,
    loaded: Loaded,
    reading: SecretReading,
) -> Result<Loaded, Failure> {
    if loaded.secrets.is_empty() {
        return Ok(loaded);
    }
    read(&sources(global, project, reading)?)
}

/// Loads a config; what is wrong or doubtful is said.
pub(super) fn load_from(sources: &Sources) -> Result<Loaded, Failure> {
    let loaded = read(sources)?;
    warn(&loaded);
    Ok(loaded)
}

/// Says what is doubtful in a config.
pub(super) fn warn(loaded: &Loaded) {
    for warning in &loaded.warnings {
        sayln!(
            "{}",
            warning.render(colour(), super::terminal_width().unwrap_or(100))
        );
    }
}

/// Loads a config; what is wrong is said.
fn read(sources: &Sources) -> Result<Loaded, Failure> {
    match config::load(sources) {
        Ok(loaded) => Ok(loaded),
        Err(diagnostics) => {
            show_problems(&diagnostics);
            Err(Failure::shown(Kind::Usage))
        }
    }
}

/// Draws what is wrong with a file, each at its line.
pub(super) fn show_problems(problems: &Diagnostics) {
    let width = super::terminal_width().unwrap_or(100);
    sayln!("{}", problems.render(colour(), width));
}

/// The workspace of the folder we are in, if there is one and its config is valid.
pub(super) fn workspace_here(global: &Global) -> Option<Loaded> {
    config::load(&sources(global, &Project::default(), SecretReading::None).ok()?).ok()
}

/// Everything that a config is read from, here.
pub(super) fn sources(
    global: &Global,
    project: &Project,
    secrets: SecretReading,
) -> Result<Sources, Failure> {
    let named = project.file.clone().or_else(|| global.file.clone());
    let file = match named {
        Some(file) => file,
        None => {
            let here = env::current_dir()?;
            config::find(&here).ok_or_else(|| {
                Failure::usage(format!(
                    "no cosmos.toml in {} or in any folder above it",
                    here.display()
                ))
                .hinted("write one with `cosmos init`, or name it: `cosmos -f FILE ..`")
            })?
        }
    };
    Ok(Sources {
        file,
        user_file: platform::config_folder()
            .map(|folder| folder.join("config.toml"))
            .filter(|file| file.exists()),
        env: environment(),
        instance: global.instance.clone().filter(|name| !name.is_empty()),
        profiles: project.profiles.clone(),
        flags: flags(&project.set)?,
        installation: installation()?,
        secrets,
        ..Sources::default()
    })
}

/// What `--set` says, key by key.
fn flags(set: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let pair = |text: &String| match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(Failure::usage(format!("`{text}` is not KEY=VALUE"))
            .hinted("write it like `--set services.web.replicas=3`")),
    };
    set.iter().map(pair).collect()
}

/// Variables that are not UTF-8 cannot be named in a config.
fn environment() -> BTreeMap<String, String> {
    env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

fn colour() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none()
}
