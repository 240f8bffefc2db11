//! `cosmos adopt`: a container of no config, written into `cosmos.toml` as a service.
//!
//! The container itself is left alone: it goes on running beside the service that is made
//! of it. The engine is asked directly, as any container of it will do.

mod diff;

use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::Path,
    process::ExitCode,
};

use indexmap::IndexMap;

use super::{
    args::{Adopt as Args, Global, Project},
    bootstrap, context,
    error::{Failure, Kind},
    ui::{out, printable, sayln},
};
use crate::{
    config::{
        self, Loaded, SecretReading, Sources,
        adopt::{AdoptError, Adoptee, Adoption, Known, Names, adopt},
    },
    docker::{DockerEngine, described::Described},
    reconcile::{
        adhoc::random_word,
        engine::{Engine as _, EngineError},
    },
    workspace::{Identity, Kind as Made, ServiceName, Workspace, name::label_from},
};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let sources = context::sources(&global, &Project::default(), SecretReading::None)?;
    let before = context::load(&global, &Project::default())?;
    let engine = bootstrap::engine().await?;
    let found = describe(&engine, &args.id, &before.workspace).await?;
    refuse_ours(&found)?;
    let name = service_name(&args, &found, &before.workspace)?;

    let text = fs::read_to_string(&sources.file)?;
    let adoption = extend(&text, &name, &found, &before)?;
    check(&sources, &before.workspace, &name, &adoption)?;
    out!("{}", diff::of(&sources.file, &text, &adoption.text));
    if !args.print {
        write(&sources.file, &text, &adoption.text)?;
    }
    report(&global, &args, &name, &found, &adoption);
    Ok(ExitCode::SUCCESS)
}

/// The container that is meant.
async fn describe(engine: &DockerEngine, id: &str, here: &Workspace) -> Result<Described, Failure> {
    let error = match engine.describe(id).await {
        Ok(found) => return Ok(found),
        Err(error) => error,
    };
    let EngineError::NotFound { .. } = error else {
        return Err(error.into());
    };
    if here.services.contains_key(id) {
        return Err(Failure::new(format!("`{id}` is a service already"))
            .hinted("name a container that is in no config: `cosmos status --all` lists those"));
    }
    let failure = Failure::new(format!("no container is called `{id}`"));
    let observed = engine.observe().await.unwrap_or_default();
    let containers = observed.containers.iter();
    let names = containers.map(|container| container.name.as_str());
    Err(match config::nearest(id, names) {
        Some(meant) => failure.hinted(format!("did you mean `{meant}`?")),
        None => failure.hinted("`cosmos status --all` and `docker ps -a` list what there is"),
    })
}

/// Refuses what belongs to a workspace already, or to Cosmos itself.
fn refuse_ours(found: &Described) -> Result<(), Failure> {
    let Some(owner) = &found.owner else {
        return Ok(());
    };
    let of = owner.workspace.as_deref().unwrap_or_default();
    let name = owner.name.as_deref().unwrap_or_default();
    let container = &found.name;
    match owner.kind {
        Made::Adhoc => Ok(()),
        Made::Proxy => Err(Failure::new(format!("`{container}` is the proxy"))
            .hinted("what it needs is said in [proxy]")),
        Made::Service => Err(Failure::new(format!(
            "`{container}` is of the service `{name}` of `{of}` already"
        ))
        .hinted("`cosmos config` prints what is declared of it")),
        Made::Command => Err(Failure::new(format!(
            "`{container}` is of the command `{name}` of `{of}`"
        ))
        .hinted("a container that is in no config can be adopted")),
    }
}

/// What the service is called: as it was said, else as the container.
fn service_name(args: &Args, found: &Described, here: &Workspace) -> Result<ServiceName, Failure> {
    let name = match &args.name {
        Some(name) => ServiceName::new(name.as_str()).map_err(|error| {
            let failure = Failure::usage(error.to_string());
            match label_from(name) {
                Some(label) => failure.hinted(format!("`--name {label}` would do")),
                None => failure.hinted("choose another, like `--name web`"),
            }
        })?,
        None => {
            let named = found.service.as_deref().unwrap_or(&found.name);
            let label = label_from(named).and_then(|label| ServiceName::new(label).ok());
            label.ok_or_else(|| {
                Failure::usage(format!("no service can be called `{named}`"))
                    .hinted(format!("say how: `cosmos adopt {} --name web`", args.id))
            })?
        }
    };
    let text = name.as_str();
    let what = if here.services.contains_key(text) {
        "a service"
    } else if here.commands.contains_key(text) {
        "a command"
    } else if here.routes.contains_key(text) {
        "a route"
    } else {
        return Ok(name);
    };
    Err(
        Failure::usage(format!("there is {what} `{name}` already")).hinted(format!(
            "choose another: `cosmos adopt {} --name {name}-2`",
            args.id
        )),
    )
}

/// The file with the service in it.
fn extend(
    text: &str,
    name: &ServiceName,
    found: &Described,
    before: &Loaded,
) -> Result<Adoption, Failure> {
    let identity = &before.workspace.identity;
    let origin = format!("the container {} ({})", found.name, found.id.short());
    let adoptee = Adoptee {
        name,
        origin: &origin,
        container: &found.container,
        health: found.health.as_ref(),
        restart: found.restart,
        exposed: &found.exposed,
    };
    adopt(text, Path::new(&identity.folder), &adoptee, &known(before)).map_err(|error| {
        let AdoptError::NoPlace { added } = &error;
        let lines = added.lines().map(str::to_owned).collect();
        Failure::new(error.to_string()).with_output(lines).hinted(
            "give each service a table of its own, [services.NAME]; or put this there by hand",
        )
    })
}

/// What this workspace calls by names of its own.
fn known(before: &Loaded) -> Known {
    let workspace = &before.workspace;
    let volumes = workspace.volumes.iter();
    let networks = workspace.networks.iter();
    Known {
        images: before.images.keys().cloned().collect(),
        volumes: names(
            volumes.map(|(name, volume)| (name.to_string(), volume.external)),
            &prefix(&workspace.identity, |of, name| of.volume(name).to_string()),
        ),
        networks: names(
            networks.map(|(name, network)| (name.to_string(), network.external)),
            &prefix(&workspace.identity, |of, name| of.network(name).to_string()),
        ),
    }
}

/// What the engine's names of things of this workspace begin with.
fn prefix(identity: &Identity, name: impl Fn(&Identity, &str) -> String) -> String {
    let mut prefix = name(identity, "x");
    prefix.pop();
    prefix
}

fn names(of_engine: impl Iterator<Item = (String, bool)>, prefix: &str) -> Names {
    let mut names = Names::default();
    for (engine, is_external) in of_engine {
        let called = match is_external {
            true => engine.clone(),
            false => match engine.strip_prefix(prefix) {
                Some(own) => own.to_owned(),
                // Too long to be read back: it is nobody's to mount here.
                None => continue,
            },
        };
        if !is_external {
            names.own.insert(called.clone());
        }
        names.of_engine.insert(engine, called);
    }
    names
}

/// Makes sure that the new file loads, and that it changes nothing else. Variables that
/// are to be set yet are taken as if they were.
fn check(
    sources: &Sources,
    before: &Workspace,
    name: &ServiceName,
    adoption: &Adoption,
) -> Result<(), Failure> {
    let mut sources = Sources {
        text: Some(adoption.text.clone()),
        ..sources.clone()
    };
    for (variable, value) in &adoption.variables {
        sources
            .env
            .entry(variable.clone())
            .or_insert_with(|| value.clone());
    }
    let mut after = match config::load(&sources) {
        Ok(loaded) => loaded.workspace,
        Err(problems) => {
            context::show_problems(&problems);
            sayln!("nothing was written");
            return Err(Failure::shown(Kind::Usage));
        }
    };
    after.services.shift_remove(name.as_str());
    let has_changed = after.services != before.services
        || after.commands != before.commands
        || after.routes != before.routes
        || (&after.network, &after.proxy) != (&before.network, &before.proxy)
        || lacks(&after.volumes, &before.volumes)
        || lacks(&after.networks, &before.networks);
    match has_changed {
        false => Ok(()),
        true => Err(Failure::new("it would change more than the one service")
            .with_output(adoption.added.lines().map(str::to_owned).collect())
            .hinted("nothing was written: put it there by hand, and see `cosmos plan`")),
    }
}

/// Whether something is not there any more, or is another.
fn lacks<K: std::hash::Hash + Eq, V: PartialEq>(
    after: &IndexMap<K, V>,
    before: &IndexMap<K, V>,
) -> bool {
    before
        .iter()
        .any(|(name, value)| after.get(name) != Some(value))
}

/// Puts a text in the place of a file: beside and renamed, so that whoever reads meanwhile
/// sees the old or the new. A link stays one, and mode and owner stay as they are.
fn write(file: &Path, old: &str, new: &str) -> Result<(), Failure> {
    let told = |error: io::Error| {
        Failure::new(format!("cannot write {}: {error}", file.display()))
            .hinted("`--print` only shows it")
    };
    let real = file.canonicalize().map_err(told)?;
    let found = fs::metadata(&real).map_err(told)?;
    let folder = real.parent().unwrap_or(Path::new("/"));
    let beside = folder.join(format!(".cosmos-adopt-{}", random_word(12)));
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)?;
        file.write_all(new.as_bytes())?;
        // Who may not give it away keeps it; the mode is right all the same.
        let _ = std::os::unix::fs::fchown(&file, Some(found.uid()), Some(found.gid()));
        file.set_permissions(found.permissions())?;
        file.sync_all()?;
        if fs::read_to_string(&real)? != old {
            return Err(io::Error::other("it was saved meanwhile: run it again"));
        }
        fs::rename(&beside, &real)
    })();
    if written.is_err() {
        // Why it failed is what matters.
        let _ = fs::remove_file(&beside);
    }
    written.map_err(told)
}

/// Says what was done, what was not, and what is to be done.
fn report(global: &Global, args: &Args, name: &ServiceName, found: &Described, new: &Adoption) {
    let container = &found.name;
    for (what, why) in found
        .left_out
        .iter()
        .map(|lost| (&lost.what, &lost.why))
        .chain(new.left_out.iter().map(|(what, why)| (what, why)))
    {
        sayln!("left out: {}: {}", printable(what), printable(why));
    }
    for (variable, _) in &new.variables {
        sayln!(
            "not written: the value of {variable}, which looks like a secret; put `{variable}=..` into .env, `docker inspect {container}` has it"
        );
    }
    if global.quiet {
        return;
    }
    if args.print {
        sayln!("nothing was written");
        return;
    }
    let held: BTreeSet<String> = found
        .container
        .ports
        .iter()
        .filter_map(|port| port.host)
        .map(|port| port.to_string())
        .collect();
    sayln!("{container} is the service `{name}` now: `cosmos plan` shows what `cosmos up` does");
    if !found.is_running {
        return;
    }
    // By its id: its name may be the service's by now.
    let id: String = found.id.as_str().chars().take(12).collect();
    let ways = match found.owner {
        Some(_) => format!("`cosmos rm --force {id}`"),
        None => format!("`docker rm --force {id}`"),
    };
    sayln!("the container itself goes on running beside it, until {ways}");
    if !held.is_empty() {
        let held: Vec<_> = held.into_iter().collect();
        sayln!(
            "until then it holds host port {}, which the service needs to come up",
            held.join(", ")
        );
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode_and_a_link_stays_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("real.toml"), "old").unwrap();
        fs::set_permissions(at("real.toml"), fs::Permissions::from_mode(0o640)).unwrap();
        symlink("real.toml", at("cosmos.toml")).unwrap();
        write(&at("cosmos.toml"), "old", "new").unwrap();
        assert!(at("cosmos.toml").is_symlink());
        assert_eq!(fs::read_to_string(at("real.toml")).unwrap(), "new");
        let mode = fs::metadata(at("real.toml")).unwrap().mode() & 0o7777;
        assert_eq!(mode, 0o640);
        // Somebody saved it: that is not lost.
        write(&at("cosmos.toml"), "old", "newer").unwrap_err();
        assert_eq!(fs::read_to_string(at("real.toml")).unwrap(), "new");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn what_the_file_calls_something_is_known_by_the_engines_name() {
        let of_engine = [("shop_data", false), ("theirs", true)];
        let of_engine = of_engine.map(|(name, external)| (name.to_owned(), external));
        let names = names(of_engine.into_iter(), "shop_");
        assert_eq!(names.of_engine["shop_data"], "data");
        assert_eq!(names.of_engine["theirs"], "theirs");
        assert!(names.own.contains("data") && !names.own.contains("theirs"));
    }
}
