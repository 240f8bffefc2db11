//! `cosmos serve`: the one place where the parts are wired and shut down.
//!
//! Read [`serve`] as a table of contents: each part is made in the order in
//! which it is needed, and everything about it is elsewhere.

mod token;
#[cfg(test)]
mod tokenless;

use std::{
    collections::BTreeSet,
    env, io,
    net::IpAddr,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock, Weak, atomic::AtomicUsize},
    time::Duration,
};

use axum::body::Body;
use futures_util::{StreamExt as _, future::BoxFuture};
use http_body_util::BodyExt as _;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    time::sleep,
};
use tower_service::Service as _;

use crate::{
    api::server::{Management, Trusted, Usages, router, takes_stream},
    dashboard,
    docker::{DockerEngine, Endpoint, EndpointError, SecretSource, proxy},
    reconcile::{
        adhoc::Adhoc,
        controller::{Controller, Look},
        engine::{Console, Engine, EngineError, LogOptions, Traffic},
    },
    store::{Store, StoreError},
    traffic::{
        self, AttachedNetwork, Caller, GuardConfig, Limits, RouteInputs, Routes, Shared, Subnet,
    },
    workspace::{ContainerId, Installation, Kind, SecretName, Tokenless, Workspace},
};

/// How often it is looked whether the mounted socket is still the engine's.
const SOCKET_CHECK: Duration = Duration::from_millis(500);
/// The same while its engine is heard.
const SOCKET_REST: Duration = Duration::from_secs(60);

/// How long requests are still served once it is not. An engine that restarts takes
/// its socket away first; until it is back nobody would start us again.
const STALE_SERVES: Duration = Duration::from_secs(3);

/// Between two tries to reach an engine that does not answer.
const ENGINE_RETRY: Duration = Duration::from_secs(1);

/// How much of what a container said is shown to who finds it not answering; empty
/// lines among them are not.
const LAST_LINES: u64 = 20;

/// What the server is told by whoever made its container.
#[derive(Debug, Clone)]
pub struct Settings {
    installation: Installation,
    state: PathBuf,
    listen: String,
    /// The port on the host that leads here.
    published: u16,
    tokenless: Tokenless,
}

/// Why the server could not be, or ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting makes no sense.
    #[error("{name}={value} makes no sense")]
    Setting {
        /// The variable.
        name: &'static str,
        /// What it says.
        value: String,
    },
    /// No engine's address.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The engine said no.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The state cannot be used.
    #[error("the state in {folder} cannot be used: {source}")]
    State {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// The token cannot be kept.
    #[error("the token in {folder} cannot be read or written: {source}")]
    Token {
        /// Where.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The port cannot be had.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// Where.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The engine made its socket anew: only a restart mounts the new one.
    #[error("the engine's socket was replaced; starting again to mount the new one")]
    StaleSocket,
}

impl Settings {
    /// The variable that says which host port leads here.
    pub const PORT: &'static str = "COSMOS_PROXY_PORT";
    /// The variable that says what callers without the token may do.
    pub const TOKENLESS: &'static str = "COSMOS_PROXY_TOKENLESS";

    /// Reads the settings that the container was made with.
    ///
    /// # Errors
    /// If one makes no sense.
    pub fn from_environment(installation: Installation) -> Result<Self, ServeError> {
        let said = |name: &'static str| env::var(name).ok().filter(|value| !value.is_empty());
        let published = match said(Self::PORT) {
            Some(value) => value.parse().map_err(|_| ServeError::Setting {
                name: Self::PORT,
                value,
            })?,
            None => proxy::PORT,
        };
        let tokenless = match said(Self::TOKENLESS).as_deref() {
            None | Some("adhoc") => Tokenless::Adhoc,
            Some("off") => Tokenless::Off,
            Some(other) => {
                return Err(ServeError::Setting {
                    name: Self::TOKENLESS,
                    value: other.to_owned(),
                });
            }
        };
        Ok(Self {
            installation,
            state: said("COSMOS_STATE").map_or_else(|| proxy::STATE.into(), PathBuf::from),
            listen: said("COSMOS_LISTEN").unwrap_or_else(|| format!("[::]:{}", proxy::PORT)),
            published,
            tokenless,
        })
    }
}

/// Serves until a signal asks it to end.
///
/// # Errors
/// If a part cannot be made, or the engine's socket went stale.
pub async fn serve(settings: Settings) -> Result<(), ServeError> {
    log_as_json();

    // State first: what is wanted outlives everything else.
    let store = Store::open(&settings.state).map_err(|source| ServeError::State {
        folder: settings.state.clone(),
        source,
    })?;
    let store = Arc::new(store);
    let token = token::keep(&settings.state).map_err(|source| ServeError::Token {
        folder: settings.state.clone(),
        source,
    })?;

    // Then the engine, and the loop that keeps workspaces true on it.
    let endpoint = Endpoint::of_process()?;
    let engine = tokio::select! {
        // Cancel-safe: nothing was begun yet that could be left half done.
        engine = connect(&endpoint, &settings.installation) => Arc::new(engine?),
        () = socket_went_stale(endpoint.socket().map(Path::to_owned), never_heard()) => {
            return Err(ServeError::StaleSocket);
        }
        () = asked_to_end() => return Ok(()),
    };
    engine.set_secrets(Arc::new(StoredSecrets(Arc::clone(&store))));
    let console: Arc<dyn Console> = Arc::clone(&engine) as Arc<dyn Console>;
    let engine: Arc<dyn Engine> = engine;
    let controller = Controller::new(
        Arc::clone(&engine),
        Arc::clone(&console),
        Arc::clone(&store),
    )
    .map_err(|source| ServeError::State {
        folder: settings.state.clone(),
        source,
    })?;
    let controller = Arc::new(controller);

    // Then whoever gives it orders, behind the gate.
    let interrupted = store.making().map_err(|source| ServeError::State {
        folder: settings.state.clone(),
        source,
    })?;
    let adhoc = || {
        let (engine, store) = (Arc::clone(&engine), Arc::clone(&store));
        Adhoc::new(engine, store, settings.installation.clone())
    };
    let clearing = tokio::spawn(clear_up(adhoc(), interrupted));
    let gate = Arc::new(OnceLock::new());
    let passing = Arc::new(OnceLock::new());
    let management = Management {
        controller: Arc::clone(&controller),
        adhoc: adhoc(),
        console: Arc::clone(&console),
        installation: settings.installation.clone(),
        starting: AtomicUsize::new(0),
        passing: Arc::clone(&passing),
        usages: Usages::default(),
        rotate_token: Box::new(rotates(settings.state.clone(), Arc::clone(&gate))),
    };
    let guard = GuardConfig {
        token,
        port: settings.published,
        tokenless: settings.tokenless,
        is_stream: takes_stream,
    };
    let limits = Limits::of_open_files(raise_open_files());
    let log = Box::new(io::stdout());
    let shared = Shared::with_limits(guard.clone(), log, behind_the_gate(management), limits);
    // What is behind the gate can change its lock, and must not keep it alive.
    let _ = gate.set((guard, Arc::downgrade(&shared)));
    let _ = passing.set(Arc::downgrade(&shared));
    shared.read_output_by(last_output_from(console));

    // It is asked before a container is stopped.
    controller.set_traffic(Arc::new(Leaving(Arc::clone(&shared))));

    // Last the socket: whoever gets through finds everything in place.
    let listener = listen(&settings.listen).await?;
    let routes = tokio::spawn(follow_routes(
        Arc::clone(&shared),
        controller.looked(),
        settings.installation.clone(),
        settings.published,
    ));
    let heard = controller.heard();
    let healing = tokio::spawn(controller.run());
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        address = settings.listen,
        "serving"
    );

    let stale = tokio::spawn(socket_went_stale(
        endpoint.socket().map(Path::to_owned),
        heard,
    ));
    let stale_abort = stale.abort_handle();
    let (ended, end) = watch::channel(false);
    let watcher = tokio::spawn(async move {
        tokio::select! {
            // Cancel-safe: nothing is lost with a signal that ends us anyway.
            () = asked_to_end() => {}
            _ = stale => { ended.send_replace(true); }
        }
    });
    traffic::serve(listener, shared, async {
        watcher.await.unwrap_or_default()
    })
    .await;

    for task in [routes, healing, clearing] {
        task.abort();
    }
    stale_abort.abort();
    if *end.borrow() {
        return Err(ServeError::StaleSocket);
    }
    Ok(())
}

/// The gate as it was made, and where it stands.
type Gate = Arc<OnceLock<(GuardConfig, Weak<Shared>)>>;

/// Makes another token, and has the gate open to it alone.
fn rotates(state: PathBuf, gate: Gate) -> impl Fn() -> io::Result<()> + Send + Sync {
    move || {
        let Some((guard, shared)) = gate.get() else {
            return Err(io::Error::other("the proxy is still starting"));
        };
        let token = token::rotate(&state)?;
        if let Some(shared) = shared.upgrade() {
            shared.set_guard(GuardConfig {
                token,
                ..guard.clone()
            });
        }
        Ok(())
    }
}

/// How many files may be open, raised to as many as the engine lets us have: of some
/// engines a process gets a thousand, unless it asks.
fn raise_open_files() -> usize {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let asked = Rlimit {
        current: maximum,
        maximum,
    };
    let limit = match setrlimit(Resource::Nofile, asked) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    limit.map_or(usize::MAX, |limit| {
        usize::try_from(limit).unwrap_or(usize::MAX)
    })
}

/// The data plane, as whoever stops containers knows it.
struct Leaving(Arc<Shared>);

impl Traffic for Leaving {
    fn left<'a>(&'a self, container: &'a ContainerId, patience: Duration) -> BoxFuture<'a, ()> {
        Box::pin(self.0.left(container.as_str(), patience))
    }
}

/// Secrets go from their one file straight into a container that is being made.
struct StoredSecrets(Arc<Store>);

impl SecretSource for StoredSecrets {
    fn secret(&self, workspace: &str, name: &SecretName, _hash: &str) -> Option<Vec<u8>> {
        self.0.secrets().of(workspace).ok()?.remove(name)
    }
}

/// Clears up after the server before this one, as soon as the engine lets it.
async fn clear_up(adhoc: Adhoc, interrupted: Vec<String>) {
    while let Err(error) = adhoc.clear_up(&interrupted).await {
        tracing::warn!(%error, "what was being made is still there");
        sleep(ENGINE_RETRY).await;
    }
}

/// An engine that is only stopped is waited for, for ever.
async fn connect(
    endpoint: &Endpoint,
    installation: &Installation,
) -> Result<DockerEngine, EngineError> {
    loop {
        match DockerEngine::connect(endpoint, installation.clone()).await {
            Err(error @ EngineError::Unreachable { .. }) => {
                tracing::warn!(%error, "waiting for the engine");
                sleep(ENGINE_RETRY).await;
            }
            other => return other,
        }
    }
}

/// IPv6 and IPv4 together where the kernel has both, IPv4 alone elsewhere.
async fn listen(address: &str) -> Result<TcpListener, ServeError> {
    let listener = match TcpListener::bind(address).await {
        Err(_) if address.starts_with("[::]") => {
            TcpListener::bind(address.replace("[::]", "0.0.0.0")).await
        }
        other => other,
    };
    listener.map_err(|source| ServeError::Listen {
        address: address.to_owned(),
        source,
    })
}

/// The API, and the dashboard's files, as the listener calls them: for callers that the
/// gate let through to them.
fn behind_the_gate(management: Management) -> traffic::Management {
    let api = router(Arc::new(management));
    let page = dashboard::router();
    Arc::new(move |mut request, caller| {
        let is_trusted = matches!(caller, Caller::Token | Caller::Dashboard);
        request.extensions_mut().insert(Trusted(is_trusted));
        let mut router = match caller {
            Caller::Visitor => page.clone(),
            Caller::Token | Caller::Dashboard | Caller::Anonymous => api.clone(),
        };
        Box::pin(async move {
            let answered = router.call(request.map(Body::new)).await;
            let response = answered.unwrap_or_else(|never| match never {});
            response.map(|body| body.map_err(Into::into).boxed_unsync())
        })
    })
}

/// What a container said last, for whoever finds it not answering.
fn last_output_from(console: Arc<dyn Console>) -> traffic::ReadOutput {
    Arc::new(move |container| {
        let options = LogOptions {
            tail: Some(LAST_LINES),
            ..LogOptions::default()
        };
        let output = console.logs(&container, options);
        Box::pin(async move {
            output
                // What cannot be read is not missed: it is shown beside the state.
                .filter_map(|chunk| async { chunk.ok() })
                .fold(Vec::new(), |mut all, chunk| async move {
                    all.extend_from_slice(chunk.bytes());
                    all
                })
                .await
        })
    })
}

/// Derives the routes and the proxy's own networks from every look.
async fn follow_routes(
    shared: Arc<Shared>,
    mut looked: watch::Receiver<Look>,
    installation: Installation,
    port: u16,
) {
    let mut warned = false;
    while looked.changed().await.is_ok() {
        let look = looked.borrow_and_update().clone();
        let proxy = look.observed.containers.iter().find(|container| {
            container.name.as_str() == installation.proxy()
                && container
                    .owner
                    .as_ref()
                    .is_some_and(|owner| owner.kind == Kind::Proxy)
        });
        if let Some(open) = proxy
            .into_iter()
            .flat_map(|proxy| &proxy.ports)
            .find(|port| !is_loopback(&port.address))
            && !std::mem::replace(&mut warned, true)
        {
            tracing::warn!(
                address = open.address,
                "published beyond the loopback: containers and other machines can come in as if they were this host"
            );
        }
        let attached: BTreeSet<_> = proxy
            .map(|proxy| proxy.networks.keys().cloned().collect())
            .unwrap_or_default();
        let networks = look
            .observed
            .networks
            .iter()
            .filter(|network| attached.contains(&network.name))
            .flat_map(|network| {
                network.subnets.iter().filter_map(|subnet| {
                    let subnet = Subnet::parse(subnet)?;
                    let gateway = network
                        .gateways
                        .iter()
                        .copied()
                        .find(|gateway| subnet.contains(*gateway));
                    Some(AttachedNetwork { subnet, gateway })
                })
            })
            .collect();
        shared.set_networks(networks);
        let workspaces: Vec<&Workspace> = look.workspaces.iter().map(AsRef::as_ref).collect();
        shared.set_routes(Arc::new(Routes::derive(&RouteInputs {
            workspaces: &workspaces,
            observed: &look.observed,
            attached: &attached,
            port,
            proxy: &installation.proxy(),
        })));
    }
}

/// Whether only this host can come in at an address. Without one, everybody can.
fn is_loopback(address: &str) -> bool {
    address
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_loopback())
}

/// Returns when the mounted socket has no name any more: the engine made a new
/// one, and this one will never answer again. An engine that is only stopped
/// leaves the name where it was.
///
/// As long as the engine's events are `heard`, its process lives, and the socket with it:
/// then it is hardly looked at, as a proxy that nobody needs should sleep.
async fn socket_went_stale(socket: Option<PathBuf>, mut heard: watch::Receiver<bool>) {
    let Some(socket) = socket else {
        return std::future::pending().await;
    };
    while std::fs::metadata(&socket).map_or(true, |socket| socket.nlink() > 0) {
        let is_heard = *heard.borrow_and_update();
        let pause = if is_heard { SOCKET_REST } else { SOCKET_CHECK };
        // Cancel-safe: a change not seen here is seen by the next look. Whoever told may be
        // gone with its engine: then only time passes.
        tokio::select! {
            Ok(()) = heard.changed() => {}
            () = sleep(pause) => {}
        }
    }
    tracing::error!(socket = %socket.display(), "the engine's socket was replaced");
    sleep(STALE_SERVES).await;
}

/// Of an engine that nobody has listened to yet.
fn never_heard() -> watch::Receiver<bool> {
    watch::Sender::new(false).subscribe()
}

async fn asked_to_end() {
    let (Ok(mut terminate), Ok(mut interrupt)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn log_as_json() {
    // A second logger in one process is only a test's.
    let _ = tracing_subscriber::fmt()
        .json()
        .with_writer(io::stderr)
        .with_max_level(tracing::Level::INFO)
        .try_init();
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd as _};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_socket_is_hardly_looked_at_until_its_engine_is_heard_no_more() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let held = File::open(file.path()).unwrap();
        // Leads to what has no name any more, as a mount does.
        let socket = PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()));
        let heard = watch::Sender::new(true);
        let stale = tokio::spawn(socket_went_stale(Some(socket), heard.subscribe()));
        sleep(SOCKET_CHECK).await;
        drop(file);
        sleep(SOCKET_REST / 2).await;
        assert!(!stale.is_finished());
        let began = Instant::now();
        heard.send_replace(false);
        stale.await.unwrap();
        assert_eq!(began.elapsed(), STALE_SERVES);
    }
}
