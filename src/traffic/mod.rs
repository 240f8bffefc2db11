//! What the proxy does with a byte, from the socket to the upstream and back.
//!
//! Files in the order a request travels: `listener` takes the connection (and
//! `connection` watches it), [`guard`] decides whether it is management or
//! traffic, `manage` hands the one to the API, [`routes`] says where the other
//! leads (and `hold` keeps it until something is there, or tells the `last_lines`
//! of what does not come), `forward` sends it there
//! over the `pool` (`tls` where it leads outside, `http2` where that is spoken,
//! and `upgrade` joins what is no HTTP any more, a `websocket` so that it ends
//! politely), `log` writes one line when the last byte has passed,
//! and `metrics` counts it. Meanwhile `capture` copies what passes; without its secrets
//! (`redact`) it becomes an [`exchange`] among the newest [`Exchanges`], which are
//! looked for (`filter`), sent again (`replay`) and exported (`har`, `curl`).
//! `session` knows who has signed in to look at them.
//!
//! It knows neither engine nor store: routes, networks and the guard's
//! settings are handed in through [`Shared`], each replaced as a whole. The
//! data path never waits for whoever hands them in.
//!
//! Start reading at [`serve`], then [`guard::decide`].

mod answer;
mod authority;
mod body;
mod capture;
mod connection;
mod counted;
mod curl;
pub mod exchange;
mod exchanges;
mod filter;
mod forward;
pub mod guard;
mod har;
mod headers;
mod hold;
mod http2;
mod last_lines;
mod listener;
mod log;
mod manage;
mod metrics;
mod pool;
pub(crate) mod redact;
mod refusal;
mod replay;
pub mod routes;
mod session;
mod tls;
mod upgrade;
mod websocket;

use std::{
    collections::BTreeMap,
    hash::{BuildHasher as _, RandomState},
    io::Write,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};

pub use self::{
    authority::Authority,
    body::{BodyError, BoxBody, ManagedBody, Silent},
    curl::curl,
    exchanges::{Exchanges, MOST as MOST_EXCHANGES, News},
    filter::{Filter, FilterError},
    guard::{AttachedNetwork, Caller, GuardConfig, Subnet, Token},
    har::har,
    last_lines::ReadOutput,
    listener::serve,
    manage::{Management, Peer},
    refusal::{Code, Refusal, Refusals},
    replay::{Edits, ReplayError},
    routes::{RouteInputs, Routes},
};

/// From a look to the routes that follow from it. They take a millisecond; if
/// they are not there by then, nobody follows the looks.
const ROUTES_SWITCH_IN: Duration = Duration::from_secs(1);

/// Between two looks at what is under way. Nothing on the data path has to tell
/// anybody when it ends; a stop takes many times longer.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long and how many.
#[derive(Debug, Clone)]
pub struct Limits {
    /// For a head, from its first byte to its last.
    pub head: Duration,
    /// Between two requests on one connection.
    pub keep_alive: Duration,
    /// Without a request, before a connection gives up the buffers that it has for one.
    pub rest: Duration,
    /// For one try to connect to an upstream.
    pub connect: Duration,
    /// From the end of a request to the head of its answer; streams of events
    /// and switched protocols may take longer.
    pub response_head: Duration,
    /// Between two pieces of a body.
    pub body_silence: Duration,
    /// For a service that is starting, before a request is told so.
    pub hold: Duration,
    /// Open connections.
    pub connections: usize,
    /// For what lasts by its nature, once no route leads to its upstream.
    pub linger: Duration,
    /// For what is under way when the proxy ends.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            // Between two requests that belong together there is less.
            rest: Duration::from_secs(1),
            connect: Duration::from_secs(2),
            response_head: Duration::from_secs(60),
            body_silence: Duration::from_secs(60),
            hold: Duration::from_secs(30),
            connections: 10_000,
            // A container that is not ready for a moment loses nothing; a replaced
            // one, whose end waits for this, is soon gone all the same.
            linger: Duration::from_secs(5),
            // The engine kills a container 10 s after it asked it to stop.
            drain: Duration::from_secs(8),
        }
    }
}

/// Files that are open whoever is connected: the state, the engine, the log.
const OTHER_FILES: usize = 200;

impl Limits {
    /// The usual ones, with no more connections than so many open files are enough for.
    pub fn of_open_files(files: usize) -> Self {
        let usual = Self::default();
        // One file for the client, another for the container that answers it.
        let enough_for = files.saturating_sub(OTHER_FILES) / 2;
        Self {
            connections: usual.connections.min(enough_for.max(1)),
            ..usual
        }
    }
}

/// What every connection shares.
pub struct Shared {
    guard: Current<GuardConfig>,
    networks: Current<Option<Vec<AttachedNetwork>>>,
    routes: Current<Routes>,
    /// Tells whoever waits for other routes.
    route_changes: watch::Sender<()>,
    pool: pool::Pool,
    log: log::Log,
    metrics: Arc<metrics::Metrics>,
    invitations: session::Invitations,
    inspector: capture::Inspector,
    management: Management,
    last_lines: last_lines::LastLines,
    refusals: Refusals,
    bucket: guard::Bucket,
    connections: connection::Registry,
    limits: Limits,
    seed: u64,
    drawn: AtomicU64,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("limits", &self.limits)
            .field("refusals", &self.refusals)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A proxy without routes that writes its access log to `log`.
    ///
    /// Tokenless calls are refused until [`Shared::set_networks`] was called
    /// once: before that nobody knows which addresses are containers.
    pub fn new(
        guard: GuardConfig,
        log: Box<dyn Write + Send>,
        management: Management,
    ) -> Arc<Self> {
        Self::with_limits(guard, log, management, Limits::default())
    }

    /// The same with other limits.
    pub fn with_limits(
        guard: GuardConfig,
        log: Box<dyn Write + Send>,
        management: Management,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            guard: Current::new(guard),
            networks: Current::new(None),
            routes: Current::new(Routes::default()),
            route_changes: watch::Sender::new(()),
            pool: pool::Pool::default(),
            log: log::Log::to(log),
            metrics: Arc::new(metrics::Metrics::new()),
            invitations: session::Invitations::default(),
            inspector: capture::Inspector::new(),
            management,
            last_lines: last_lines::LastLines::default(),
            refusals: Refusals::default(),
            bucket: guard::Bucket::full(),
            connections: connection::Registry::default(),
            limits,
            // Keyed from the OS once a process: what is drawn from it need only
            // be distinct and spread out, never secret.
            seed: RandomState::new().hash_one(0),
            drawn: AtomicU64::new(0),
        })
    }

    /// Says who reads what containers wrote: whoever asks for one that does not
    /// answer is shown its last lines.
    pub fn read_output_by(&self, read: ReadOutput) {
        self.last_lines.read_by(read);
    }

    /// Replaces the guard's settings, as when the token is rotated.
    pub fn set_guard(&self, guard: GuardConfig) {
        self.guard.set(Arc::new(guard));
    }

    /// Says which networks the proxy is in now.
    pub fn set_networks(&self, networks: Vec<AttachedNetwork>) {
        self.networks.set(Arc::new(Some(networks)));
    }

    /// Replaces the routes. Requests under way keep the ones they began with;
    /// idle connections to what is no upstream any more are closed.
    pub fn set_routes(&self, routes: Arc<Routes>) {
        self.pool.keep_only(&routes);
        self.routes.set(routes);
        self.route_changes.send_replace(());
    }

    /// The routes of this moment.
    pub fn routes(&self) -> Arc<Routes> {
        self.routes.get()
    }

    /// Returns once no route leads to a container any more, and no request is
    /// under way there; what lasts by its nature has [`Limits::linger`] to end. What
    /// is under way is not waited for longer than `patience`.
    pub async fn left(&self, container: &str, patience: Duration) {
        let deadline = Instant::now() + patience;
        let is_routed = || {
            let routes = self.routes();
            let mut upstreams = routes.targets().flat_map(routes::Target::upstreams);
            upstreams.any(|upstream| upstream.key.id == container)
        };
        let given_up = Instant::now() + ROUTES_SWITCH_IN;
        while is_routed() && Instant::now() < given_up {
            sleep(LOOK_AGAIN).await;
        }
        // Whoever read the routes just before is on its way to the pool.
        sleep(LOOK_AGAIN).await;
        while self.pool.under_way(container) > 0 && Instant::now() < deadline {
            sleep(LOOK_AGAIN).await;
        }
    }

    /// How often each refusal was made, by its code.
    pub fn refusals(&self) -> BTreeMap<&'static str, u64> {
        self.refusals.all()
    }

    /// How many lines of the access log were dropped.
    pub fn dropped_log_lines(&self) -> u64 {
        self.log.dropped()
    }

    /// The port that is published on the host.
    pub fn port(&self) -> u16 {
        self.guard().port
    }

    /// What was captured of the newest requests.
    pub fn exchanges(&self) -> Arc<Exchanges> {
        Arc::clone(self.inspector.exchanges())
    }

    /// A code with which somebody can sign in to the dashboard, once and soon; none if
    /// the system has no chance to give.
    pub fn invite(&self) -> Option<String> {
        self.invitations.invite()
    }

    /// Redeems a code for a session. None if there is no such code.
    pub fn open_session(&self, code: &[u8]) -> Option<String> {
        match self.invitations.redeem(code) {
            true => self.guard().token.session(),
            false => None,
        }
    }

    fn guard(&self) -> Arc<GuardConfig> {
        self.guard.get()
    }

    fn networks(&self) -> Arc<Option<Vec<AttachedNetwork>>> {
        self.networks.get()
    }

    /// The next of a sequence without visible order (splitmix64).
    fn random(&self) -> u64 {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        let mut mixed = self
            .seed
            .wrapping_add(drawn.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// A value that is replaced as a whole while others read it.
#[derive(Debug)]
struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    fn get(&self) -> Arc<T> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, value: Arc<T>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_are_taken_than_there_are_files_for() {
        for (files, connections) in [
            (usize::MAX, 10_000),
            (20_200, 10_000),
            (20_000, 9_900),
            (1024, 412),
            (0, 1),
        ] {
            assert_eq!(
                Limits::of_open_files(files).connections,
                connections,
                "{files}"
            );
        }
    }
}
