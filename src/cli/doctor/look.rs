//! Looks at the machine, and changes nothing: no proxy is made or started, and what is
//! listened on stays so.
//!
//! What takes time is asked at once, and no question for longer than [`PATIENCE`]: that
//! nobody answers is what people come here for.

mod host;

use std::{
    env, fs, io,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout},
};

use super::{
    port::{find_holders, listeners},
    seen::{
        Answer, Asked, Clock, Config, Disk, Engine, Folder, Leftovers, Names, Port, Proxy, Ranges,
        Remembered, Seen, Socket,
    },
};
use crate::{
    api::{
        client::{Client, ClientError},
        wire::{Containers, Version},
    },
    cli::{
        args::{Global, Project},
        bootstrap, context,
        error::Failure,
    },
    config::{self, EngineName, Loaded, SecretReading, Severity, Sources},
    docker::{
        DockerEngine, Endpoint, FoundProxy,
        diagnose::{About, Listing, Machine},
        endpoint::{Disk as RealDisk, Environment},
        proxy,
    },
    reconcile::engine::EngineError,
    workspace::{Installation, ProxyNeeds},
};

/// For one question. Whoever is well answers it a thousand times faster.
const PATIENCE: Duration = Duration::from_secs(2);

/// For all of them: some are asked only once others are answered.
const PATIENCE_IN_ALL: Duration = Duration::from_millis(2_900);

/// The name that is looked up: nobody has it in a file of theirs.
const ANY_NAME: &str = "x.localhost";

/// Why the engine is not asked.
const NO_ENGINE: &str = "no engine answers";

/// Why the proxy is not asked.
const NO_PROXY: &str = "there is no proxy that answers";

/// What was reached, for whoever wants to ask more.
pub(super) struct Reached {
    pub(super) engine: Option<DockerEngine>,
    pub(super) client: Option<Client>,
    /// What opens the proxy: it must not be in anything that is shown.
    pub(super) token: Option<String>,
    pub(super) about: Option<About>,
    pub(super) machine: Option<Machine>,
    pub(super) listing: Option<Listing>,
    pub(super) containers: Option<Containers>,
    pub(super) loaded: Option<Loaded>,
    /// The config of this folder, whether it is valid or not.
    pub(super) config_file: Option<PathBuf>,
}

/// Looks at everything.
pub(super) async fn look(global: &Global, project: &Project) -> Result<(Seen, Reached), Failure> {
    let installation = context::installation()?;
    let sources = sources(global, project)?;
    let config_file = sources.as_ref().map(|sources| sources.file.clone());
    let hurry = Hurry::now();
    let (engine, (config, loaded), addresses) = tokio::join!(
        look_at_engine(&hurry, &installation),
        read_config(&hurry, sources),
        hurry.ask(host::addresses(ANY_NAME), |error: io::Error| error
            .to_string()),
    );
    let EngineSide {
        engine,
        socket,
        connected,
        about,
        machine,
        clock,
        listing,
        disks,
        is_local,
        proxy,
    } = engine;
    let seen = Seen {
        port: look_at_port(is_local, &proxy, listing.answer(), loaded.as_ref()).await,
        ranges: listing.map(|listing| Ranges {
            networks: listing.networks.clone(),
            routes: if is_local { host::routes() } else { Vec::new() },
        }),
        leftovers: Leftovers {
            workspaces: proxy
                .containers
                .map(|containers| remembered(containers, is_local)),
            containers: listing.map(|listing| listing.containers.clone()),
            volumes: listing
                .answer()
                .map(|listing| listing.unused_volumes.clone())
                .unwrap_or_default(),
        },
        engine,
        about,
        socket,
        proxy: proxy.seen,
        names: Names {
            asked: ANY_NAME,
            addresses,
            hosts: loaded.as_ref().map(hosts).unwrap_or_default(),
        },
        disks,
        clock,
        config,
        terminal: host::terminal(),
    };
    let reached = Reached {
        engine: connected,
        client: proxy.client,
        token: proxy.token,
        about: seen.about.answer().cloned(),
        machine: machine.answer().cloned(),
        listing: listing.answer().cloned(),
        containers: proxy.containers.answer().cloned(),
        loaded,
        config_file,
    };
    Ok((seen, reached))
}

/// What is left of the time for questions.
struct Hurry {
    until: Instant,
}

impl Hurry {
    fn now() -> Self {
        Self {
            until: Instant::now() + PATIENCE_IN_ALL,
        }
    }

    async fn ask<T, E>(
        &self,
        question: impl Future<Output = Result<T, E>>,
        words: impl FnOnce(E) -> String,
    ) -> Asked<T> {
        let left = self.until.saturating_duration_since(Instant::now());
        let limit = left.min(PATIENCE);
        match timeout(limit, question).await {
            Ok(Ok(answer)) => Asked::Answered(answer),
            Ok(Err(error)) => Asked::Refused(words(error)),
            Err(_) => Asked::Late(limit),
        }
    }

    async fn ask_engine<T>(
        &self,
        question: impl Future<Output = Result<T, EngineError>>,
    ) -> Asked<T> {
        // Where it was looked for is told beside it.
        let words = |error| match error {
            EngineError::Unreachable { cause, .. } => cause,
            other => other.to_string(),
        };
        self.ask(question, words).await
    }

    async fn ask_proxy<T>(
        &self,
        question: impl Future<Output = Result<T, ClientError>>,
    ) -> Asked<T> {
        let words = |error| match error {
            ClientError::Unreachable { address, source } => {
                format!("nothing answers at {address}: {source}")
            }
            other => other.to_string(),
        };
        self.ask(question, words).await
    }
}

/// What only the engine knows, or the proxy, which is found through it.
struct EngineSide {
    engine: Engine,
    socket: Option<Socket>,
    connected: Option<DockerEngine>,
    about: Asked<About>,
    machine: Asked<Machine>,
    clock: Asked<Clock>,
    listing: Asked<Listing>,
    disks: Asked<Vec<Disk>>,
    /// What is told of the engine's machine is true of this one.
    is_local: bool,
    proxy: ProxySide,
}

/// The proxy, and what it says.
struct ProxySide {
    seen: Proxy,
    client: Option<Client>,
    token: Option<String>,
    containers: Asked<Containers>,
}

async fn look_at_engine(hurry: &Hurry, installation: &Installation) -> EngineSide {
    let environment = Environment::of_process();
    let place = Endpoint::find_named(&environment, &RealDisk);
    let endpoint = place.as_ref().ok().map(|(endpoint, _)| endpoint.clone());
    let socket = endpoint
        .as_ref()
        .and_then(Endpoint::socket)
        .map(host::socket);
    let connected = match &endpoint {
        None => Asked::Not("it is not known where it is"),
        Some(_) if socket.as_ref().is_some_and(Socket::is_denied) => {
            Asked::Not("this user may not use its socket")
        }
        Some(endpoint) => {
            let connection = DockerEngine::connect(endpoint, installation.clone());
            hurry.ask_engine(connection).await
        }
    };
    let answers_in = match &connected {
        Asked::Answered(engine) => hurry.ask_engine(timed(engine.ping())).await,
        other => other.map(|_| Duration::ZERO),
    };
    let seen = Engine {
        elsewhere: match &answers_in {
            Asked::Refused(_) => elsewhere(&environment, endpoint.as_ref()).await,
            _ => None,
        },
        place,
        answers_in,
    };
    let usable = match (&connected, &seen.answers_in) {
        (Asked::Answered(engine), Asked::Answered(_)) => Some(engine),
        _ => None,
    };
    let remembered = endpoint
        .as_ref()
        .and_then(|endpoint| bootstrap::remembered(installation, endpoint));
    let Some(engine) = usable else {
        return EngineSide {
            engine: seen,
            socket,
            connected: None,
            about: Asked::Not(NO_ENGINE),
            machine: Asked::Not(NO_ENGINE),
            clock: Asked::Not(NO_ENGINE),
            listing: Asked::Not(NO_ENGINE),
            disks: Asked::Not(NO_ENGINE),
            is_local: endpoint.is_none_or(|endpoint| Seen::is_local(&endpoint, None)),
            proxy: look_at_proxy(hurry, None, installation, remembered).await,
        };
    };
    let state = installation.state_volume();
    let (about, machine, listing, volume, proxy) = tokio::join!(
        hurry.ask_engine(engine.about()),
        hurry.ask_engine(around(engine.machine())),
        hurry.ask_engine(engine.listing()),
        hurry.ask_engine(engine.volume_folder(&state)),
        look_at_proxy(hurry, Some(engine), installation, remembered),
    );
    let known = machine.answer().map(|(machine, _)| machine);
    let is_local = Seen::is_local(engine.endpoint(), known);
    EngineSide {
        clock: machine.and_then(|(machine, (before, after))| match machine.time() {
            Some(engine) => Asked::Answered(Clock {
                before: *before,
                engine,
                after: *after,
            }),
            None => Asked::Not("the engine does not say what time it is"),
        }),
        disks: match is_local {
            true => machine.and_then(|(machine, _)| {
                let volume = volume.answer().cloned().flatten();
                host::disks(&machine.root, volume.as_deref())
            }),
            false => Asked::Not("the engine's disk is on another machine"),
        },
        machine: machine.map(|(machine, _)| machine.clone()),
        connected: Some(engine.clone()),
        engine: seen,
        socket,
        about,
        listing,
        is_local,
        proxy,
    }
}

/// A socket at which an engine takes calls, though another place was asked.
async fn elsewhere(environment: &Environment, asked: Option<&Endpoint>) -> Option<PathBuf> {
    let asked = asked.and_then(Endpoint::socket);
    for socket in environment.usual_sockets() {
        if Some(socket.as_path()) != asked && host::takes_calls(&socket).await {
            return Some(socket);
        }
    }
    None
}

/// How long it takes.
async fn timed<T, E>(question: impl Future<Output = Result<T, E>>) -> Result<Duration, E> {
    let began = Instant::now();
    question.await.map(|_| began.elapsed())
}

/// The answer, and our time before and after it.
async fn around<T, E>(
    question: impl Future<Output = Result<T, E>>,
) -> Result<(T, (SystemTime, SystemTime)), E> {
    let before = SystemTime::now();
    let answer = question.await?;
    Ok((answer, (before, SystemTime::now())))
}

async fn look_at_proxy(
    hurry: &Hurry,
    engine: Option<&DockerEngine>,
    installation: &Installation,
    remembered: Option<Client>,
) -> ProxySide {
    let name = installation.proxy();
    let nobody = if engine.is_some() {
        NO_PROXY
    } else {
        NO_ENGINE
    };
    let found = match engine {
        Some(engine) => hurry.ask_engine(engine.inspect_proxy(&name)).await,
        None => Asked::Not(NO_ENGINE),
    };
    let ours = found.answer().and_then(Option::as_ref);
    let ours = ours.filter(|found| found.is_ours);
    let token = match (engine, ours) {
        (Some(engine), Some(_)) => {
            let file = format!("{}/token", proxy::STATE);
            hurry.ask_engine(engine.read_file(&name, &file)).await
        }
        _ => Asked::Not(nobody),
    };
    let token = token.map(|token| String::from_utf8_lossy(token).trim().to_owned());
    let client = match (ours, token.answer()) {
        (Some(found), Some(token)) => Some(Client::new(address(found), token.clone())),
        // There is nobody to ask, or it would be asked with what was true before.
        (Some(_), None) => None,
        _ => remembered.filter(|_| found.answer().is_none()),
    };
    let is_running = ours.is_none_or(|found| found.is_running);
    let answer = match &client {
        Some(client) if is_running => hurry.ask_proxy(asked(client)).await,
        Some(_) => Asked::Not("it does not run"),
        None if ours.is_some() => Asked::Not("its token cannot be read"),
        None => Asked::Not(nobody),
    };
    let answer = match answer {
        Asked::Answered(answer) if answer.version.installation != installation.as_str() => {
            Asked::Refused(format!(
                "it is that of another installation, `{}`",
                answer.version.installation
            ))
        }
        // Nobody is where one was once: that is no finding.
        Asked::Refused(_) | Asked::Late(_) if ours.is_none() => Asked::Not(nobody),
        answer => answer,
    };
    let client = client.filter(|_| answer.answer().is_some());
    let containers = match &client {
        Some(client) => {
            hurry
                .ask_proxy(client.get::<Containers>("/containers"))
                .await
        }
        None => Asked::Not(nobody),
    };
    ProxySide {
        client,
        token: token.answer().cloned(),
        seen: Proxy {
            network: installation.network().to_string(),
            name,
            found,
            token: token.map(|_| ()),
            answer,
        },
        containers,
    }
}

fn address(found: &FoundProxy) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, bootstrap::published_port(found)).into()
}

async fn asked(client: &Client) -> Result<Answer, ClientError> {
    let began = Instant::now();
    let version: Version = client.get("/version").await?;
    Ok(Answer {
        address: client.address(),
        version,
        took: began.elapsed(),
    })
}

/// What a config is read from here; nothing where there is none.
fn sources(global: &Global, project: &Project) -> Result<Option<Sources>, Failure> {
    let is_named = global.file.is_some() || project.file.is_some();
    // In a folder that was removed there is no config, either.
    let here = env::current_dir().ok();
    if !is_named && here.and_then(|here| config::find(&here)).is_none() {
        return Ok(None);
    }
    let mut sources = context::sources(global, project, SecretReading::None)?;
    sources.thorough = true;
    Ok(Some(sources))
}

async fn read_config(hurry: &Hurry, sources: Option<Sources>) -> (Config, Option<Loaded>) {
    let Some(sources) = sources else {
        return (Config::None, None);
    };
    let file = sources.file.clone();
    let read = spawn_blocking(move || config::load(&sources));
    match hurry.ask(read, |error| error.to_string()).await {
        Asked::Answered(Ok(loaded)) => {
            let seen = match loaded.engine {
                EngineName::Swarm => Config::Unsupported { file },
                EngineName::Docker => Config::Valid {
                    file,
                    services: loaded.workspace.services.len(),
                    warnings: loaded.warnings.iter().len(),
                },
            };
            (seen, Some(loaded))
        }
        Asked::Answered(Err(diagnostics)) => {
            let told = diagnostics.iter();
            let errors = told.filter(|told| told.severity == Severity::Error);
            let mistakes = errors.count() + diagnostics.left_out();
            (Config::Invalid { file, mistakes }, None)
        }
        Asked::Late(limit) => (Config::Late(limit), None),
        // Whoever read it fell over: `cosmos check` shows how.
        Asked::Refused(_) | Asked::Not(_) => (Config::Invalid { file, mistakes: 1 }, None),
    }
}

/// The names of the services of a config, through the proxy.
fn hosts(loaded: &Loaded) -> Vec<String> {
    let workspace = &loaded.workspace;
    let routed = workspace
        .services
        .iter()
        .filter(|(_, service)| service.route.is_some());
    routed
        .map(|(name, _)| workspace.identity.host(name.as_str()))
        .collect()
}

async fn look_at_port(
    is_local: bool,
    proxy: &ProxySide,
    listing: Option<&Listing>,
    loaded: Option<&Loaded>,
) -> Asked<Port> {
    if !is_local {
        return Asked::Not("the engine's ports are those of another machine");
    }
    let found = proxy.seen.found.answer().and_then(Option::as_ref);
    let ours = found.filter(|found| found.is_ours);
    let running = ours.filter(|found| found.is_running);
    let needs = loaded.map_or_else(ProxyNeeds::default, |it| it.workspace.proxy.clone());
    let number = match (running, &proxy.client) {
        (Some(found), _) => bootstrap::published_port(found),
        (None, Some(client)) => client.address().port(),
        (None, None) => bootstrap::asked_port(&needs)
            .or_else(|| ours.map(bootstrap::published_port))
            .unwrap_or(proxy::PORT),
    };
    let containers = listing.map(|listing| {
        let others = listing
            .containers
            .iter()
            .filter(|container| container.holds(number) && container.name != proxy.seen.name);
        others.map(|container| container.name.clone()).collect()
    });
    let seen = spawn_blocking(move || {
        let all = listeners()?;
        let next = (number.saturating_add(1)..=u16::MAX)
            .find(|next| !all.iter().any(|one| one.is_in_the_way_of(*next)));
        let mut here = all;
        here.retain(|listener| listener.is_in_the_way_of(number));
        find_holders(&mut here);
        Some((here, next))
    });
    let (listeners, next) = seen.await.ok().flatten().unzip();
    Asked::Answered(Port {
        number,
        is_the_proxys: running.is_some() || proxy.client.is_some(),
        listeners,
        containers,
        next: next.flatten().unwrap_or(number.saturating_add(1)),
    })
}

/// The workspaces that are up, and what became of their folders.
fn remembered(containers: &Containers, is_local: bool) -> Vec<Remembered> {
    let is_absent = |path: &Path| matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound);
    let folder = |folder: &Path| {
        if !is_local {
            // It may be a folder of whoever else uses that engine.
            Folder::There
        } else if is_absent(folder) {
            Folder::Gone
        } else if is_absent(&folder.join(config::FILE_NAME)) {
            Folder::WithoutConfig
        } else {
            Folder::There
        }
    };
    let workspaces = containers.workspaces.iter();
    workspaces
        .map(|workspace| Remembered {
            key: workspace.workspace.clone(),
            is: folder(Path::new(&workspace.folder)),
            folder: workspace.folder.clone(),
        })
        .collect()
}
