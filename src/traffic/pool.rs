//! Keeps connections to upstreams, each to one start of one container.
//!
//! A connection is kept by [`UpstreamKey`] and never by an address alone. What
//! leaves the routes leaves the pool: its idle connections are closed, those
//! in use end with their request.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    future::Future,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::watch,
    time::Instant,
};

use super::{
    connection::Registry,
    counted::{Count, Counted},
    http2::{self, Sender},
    routes::{Address, Routes, Upstream, UpstreamKey},
    tls::{self, TlsError},
};

/// As many as the clients that may wait at once in front of one container;
/// beyond that a connection is cheaper to make again than to keep.
const MOST_IDLE: usize = 256;

/// Less than what common servers wait (75 s), more than people think (a page at a time).
const IDLE_FOR: Duration = Duration::from_secs(60);

/// How much of an answer is read at once, and how long its head may be: 64 KiB with
/// their head in one read. Twice that is what a client costs that takes nothing.
pub(super) const MOST_READ: usize = 72 * 1024;
/// The same while there is a crowd, of which each may be such a client.
const MOST_READ_IN_A_CROWD: usize = 16 * 1024;

/// How long a connection that was just given back may take to be usable again:
/// its own task has to run once. Longer means that something is wrong with it.
const SETTLES_IN: Duration = Duration::from_millis(10);

/// The connections to every upstream.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Places>);

#[derive(Debug, Default)]
struct Places {
    all: HashMap<UpstreamKey, Arc<Place>>,
    /// What the routes lead to.
    wanted: HashSet<UpstreamKey>,
}

/// The connections to one upstream.
#[derive(Debug, Default)]
struct Place {
    idle: Mutex<VecDeque<Idle>>,
    in_flight: AtomicUsize,
    /// No route leads here.
    is_unrouted: watch::Sender<bool>,
    tls: tls::Client,
    /// The one connection to an upstream that speaks HTTP/2.
    shared: Mutex<Option<http2::Shared>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    sender: Sender,
    /// What came since the last request was handed over.
    heard: Count,
}

impl Connection {
    fn shared(sender: http2::Shared) -> Self {
        Self {
            sender: Sender::Http2(sender),
            heard: Count::default(),
        }
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// The container refuses it: nothing listens.
    #[error("connection refused")]
    Refused,
    /// It does not answer.
    #[error("no answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
    /// It cannot be trusted, or does not speak TLS.
    #[error(transparent)]
    Tls(TlsError),
    /// Anything else.
    #[error(transparent)]
    Other(io::Error),
}

/// How to make a connection, where there is none to use again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Dial<'a> {
    /// How long it may take.
    pub(super) within: Duration,
    /// Who is connected: only looked at where a connection is made.
    pub(super) clients: &'a Registry,
}

/// The right to use an upstream for one request. Counts as its load while it lives.
pub(super) struct Lease {
    place: Arc<Place>,
    connection: Option<Connection>,
    /// The connection has carried a request before.
    pub(super) is_reused: bool,
    /// How long it took to connect, if it had to.
    pub(super) connected_in: Option<Duration>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    fn place(&self, key: &UpstreamKey) -> Arc<Place> {
        let mut places = locked(&self.0);
        if let Some(place) = places.all.get(key) {
            return Arc::clone(place);
        }
        let place = Arc::<Place>::default();
        // Whoever read the routes just before they changed comes late.
        place.is_unrouted.send_replace(!places.wanted.contains(key));
        places.all.insert(key.clone(), Arc::clone(&place));
        place
    }

    /// How many requests an upstream has now.
    pub(super) fn load(&self, upstream: &Upstream) -> usize {
        locked(&self.0)
            .all
            .get(&upstream.key)
            .map_or(0, |place| place.in_flight.load(Ordering::Relaxed))
    }

    /// How many requests a container has, over all its starts.
    pub(super) fn under_way(&self, id: &str) -> usize {
        let places = locked(&self.0);
        let its = places.all.iter().filter(|(key, _)| key.id == id);
        its.map(|(_, place)| place.in_flight.load(Ordering::Relaxed))
            .sum()
    }

    /// A kept connection, or a new one.
    pub(super) async fn lease(
        &self,
        upstream: &Upstream,
        allow_reuse: bool,
        dial: Dial<'_>,
    ) -> Result<Lease, ConnectError> {
        let place = self.place(&upstream.key);
        place.in_flight.fetch_add(1, Ordering::Relaxed);
        let mut lease = Lease {
            place,
            connection: None,
            is_reused: false,
            connected_in: None,
        };
        if allow_reuse && let Some(connection) = lease.place.take_idle().await {
            lease.connection = Some(connection);
            lease.is_reused = true;
            return Ok(lease);
        }
        if let Some(sender) = lease.place.shared() {
            lease.connection = Some(Connection::shared(sender));
            lease.is_reused = true;
            return Ok(lease);
        }
        let started = Instant::now();
        // On the heap, as what is rare must not be carried along by every request.
        let connected = Box::pin(lease.place.connect(&upstream.key.address, dial));
        lease.connection = Some(connected.await?);
        lease.connected_in = Some(started.elapsed());
        Ok(lease)
    }

    /// Forgets what the routes do not lead to any more, and what nobody used for long.
    pub(super) fn keep_only(&self, routes: &Routes) {
        let wanted = routes
            .targets()
            .flat_map(|target| target.upstreams())
            .map(|upstream| upstream.key.clone())
            .collect();
        let mut places = locked(&self.0);
        let Places { all, wanted } = {
            places.wanted = wanted;
            &mut *places
        };
        all.retain(|key, place| {
            let is_wanted = wanted.contains(key);
            // Nobody is woken for routes that are not its own.
            place.is_unrouted.send_if_modified(|is_unrouted| {
                std::mem::replace(is_unrouted, !is_wanted) == is_wanted
            });
            if is_wanted {
                place.forget_old();
            } else {
                locked(&place.idle).clear();
                locked(&place.shared).take();
            }
            // Kept while somebody counts what is still under way there.
            is_wanted || place.in_flight.load(Ordering::Relaxed) > 0
        });
    }
}

impl Place {
    async fn take_idle(&self) -> Option<Connection> {
        loop {
            let Idle {
                mut connection,
                since,
            } = self.newest_idle()?;
            if connection.sender.is_closed() || since.elapsed() > IDLE_FOR {
                continue;
            }
            let is_usable = connection.sender.is_ready()
                || matches!(
                    tokio::time::timeout(SETTLES_IN, connection.sender.ready()).await,
                    Ok(Ok(()))
                );
            if is_usable {
                return Some(connection);
            }
        }
    }

    /// The newest, as it is the least likely to have been closed meanwhile, of those
    /// that are usable at once; else the newest of all.
    fn newest_idle(&self) -> Option<Idle> {
        let mut idle = locked(&self.idle);
        let usable = idle
            .iter()
            .rposition(|idle| idle.connection.sender.is_ready());
        match usable {
            Some(place) => idle.remove(place),
            None => idle.pop_back(),
        }
    }

    /// The one connection that carries all requests, if there is one.
    fn shared(&self) -> Option<http2::Shared> {
        let shared = locked(&self.shared);
        shared.clone().filter(|sender| !sender.is_closed())
    }

    /// Keeps it for all, unless another was quicker.
    fn share(&self, sender: http2::Shared) -> http2::Shared {
        if *self.is_unrouted.borrow() {
            return sender;
        }
        let mut shared = locked(&self.shared);
        match &*shared {
            Some(first) if !first.is_closed() => first.clone(),
            _ => shared.insert(sender).clone(),
        }
    }

    fn put_idle(&self, connection: Connection) {
        if *self.is_unrouted.borrow() || connection.sender.is_closed() {
            return;
        }
        let mut idle = locked(&self.idle);
        if idle.len() >= MOST_IDLE {
            idle.pop_front();
        }
        idle.push_back(Idle {
            connection,
            since: Instant::now(),
        });
    }

    fn forget_old(&self) {
        locked(&self.idle)
            .retain(|idle| idle.since.elapsed() <= IDLE_FOR && !idle.connection.sender.is_closed());
    }
}

impl Lease {
    /// The connection to send the request over.
    pub(super) fn sender(&mut self) -> Option<&mut Sender> {
        let connection = self.connection.as_mut()?;
        connection.heard.forget();
        Some(&mut connection.sender)
    }

    /// Whether the upstream sent anything since.
    pub(super) fn has_heard(&self) -> bool {
        self.connection.as_ref().is_some_and(|connection| {
            // On a shared connection nobody knows whose answer came.
            let is_shared = matches!(connection.sender, Sender::Http2(_));
            is_shared || connection.heard.get() > 0
        })
    }

    /// Returns once no route has led here for so long.
    pub(super) fn unrouted_for(&self, linger: Duration) -> impl Future<Output = ()> + Send + use<> {
        let mut is_unrouted = self.place.is_unrouted.subscribe();
        async move {
            // Without its place there is no route either.
            while is_unrouted.wait_for(|unrouted| *unrouted).await.is_ok() {
                let routed_again = is_unrouted.wait_for(|unrouted| !*unrouted);
                if tokio::time::timeout(linger, routed_again).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Keeps the connection for another request.
    pub(super) fn give_back(mut self) {
        if let Some(connection) = self.connection.take()
            && matches!(connection.sender, Sender::Http1(_))
        {
            self.place.put_idle(connection);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.place.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Place {
    async fn connect(
        &self,
        address: &Address,
        Dial { within, clients }: Dial<'_>,
    ) -> Result<Connection, ConnectError> {
        let most_read = if clients.is_a_crowd() {
            MOST_READ_IN_A_CROWD
        } else {
            MOST_READ
        };
        let stream = match tokio::time::timeout(within, dial(address)).await {
            Err(_) => return Err(ConnectError::Timeout(within)),
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
                return Err(ConnectError::Refused);
            }
            Ok(Err(error)) => return Err(ConnectError::Other(error)),
            Ok(Ok(stream)) => stream,
        };
        // Small writes go out at once; a failure here only means that they do not.
        let _ = stream.set_nodelay(true);
        match address {
            Address::Socket(_) | Address::Name(..) => shake_hands(stream, most_read).await,
            Address::Http2(_) => {
                let sender = http2::shake_hands(stream).await;
                let sender =
                    sender.map_err(|error| ConnectError::Other(io::Error::other(error)))?;
                Ok(Connection::shared(self.share(sender)))
            }
            Address::Tls { host, ca, .. } => {
                let connected = self.tls.connect(stream, host, ca.as_deref());
                match tokio::time::timeout(within, connected).await {
                    Err(_) => Err(ConnectError::Timeout(within)),
                    Ok(Err(error)) => Err(ConnectError::Tls(error)),
                    Ok(Ok(stream)) => shake_hands(stream, most_read).await,
                }
            }
        }
    }
}

async fn dial(address: &Address) -> io::Result<TcpStream> {
    match address {
        Address::Socket(address) | Address::Http2(address) => {
            TcpStream::connect::<SocketAddr>(*address).await
        }
        Address::Name(host, port) | Address::Tls { host, port, .. } => {
            TcpStream::connect((host.as_str(), *port)).await
        }
    }
}

/// Begins to speak HTTP over a stream of whatever kind.
async fn shake_hands<S>(stream: S, most_read: usize) -> Result<Connection, ConnectError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (stream, heard) = Counted::new(stream);
    let (sender, connection) = http1::Builder::new()
        .max_buf_size(most_read)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| ConnectError::Other(io::Error::other(error)))?;
    // What goes wrong on it is told to whoever sends the next request.
    tokio::spawn(connection.with_upgrades());
    Ok(Connection {
        sender: Sender::Http1(sender),
        heard,
    })
}
