//! Finding out whether a service is ready, without a tool in its image.
//!
//! `http`, `tcp` and `log` probes are made here, from inside the network; a
//! `command` probe is the engine's. Each running incarnation of a container has
//! one task; a result counts for that incarnation only, so that what was true
//! before a restart never is afterwards.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use http_body_util::Empty;
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpStream,
    sync::watch,
    task::AbortHandle,
    time::{Instant, sleep, timeout},
};

use super::engine::{Console, LogChunk, LogOptions, LogTime};
use crate::workspace::{
    ContainerId, ContainerState, Health, HealthProbe, Kind, Observed, ObservedContainer, Readiness,
    Workspace,
};

/// The first retry of a service that is still starting. Most are ready in tens
/// of milliseconds, and a refused connection costs the loopback almost nothing.
const FIRST_RETRY: Duration = Duration::from_millis(10);

/// A process may speak before the engine has noted when it started.
const LOG_MARGIN: Duration = Duration::from_millis(500);

/// One container between a start and the next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Incarnation {
    id: ContainerId,
    since: SystemTime,
}

/// The probes of every workspace.
pub struct Probes {
    console: Arc<dyn Console>,
    results: Arc<Results>,
}

struct Results {
    by_incarnation: Mutex<HashMap<Incarnation, Watched>>,
    /// Raised with every result that differs from the one before.
    changed: watch::Sender<u64>,
}

struct Watched {
    health: Health,
    /// Where it was when its probe began. It gets another address when its
    /// network is remade, and somebody else may get this one.
    address: Option<IpAddr>,
    readiness: Readiness,
    task: AbortHandle,
}

impl Probes {
    /// No probes yet.
    pub fn new(console: Arc<dyn Console>) -> Self {
        let results = Results {
            by_incarnation: Mutex::default(),
            changed: watch::Sender::new(0),
        };
        Self {
            console,
            results: Arc::new(results),
        }
    }

    /// Wakes whoever waits for a service to become ready.
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.results.changed.subscribe()
    }

    /// Replaces what the engine thinks of readiness by what the probes of this
    /// workspace found, and sees to it that every running replica has its probe.
    pub fn overlay(&self, workspace: &Workspace, observed: &mut Observed) {
        let mut alive = HashSet::new();
        for probed in probed(workspace, observed) {
            probed.container.readiness = self.result_of(&probed);
            alive.insert(probed.incarnation);
        }
        self.forget_ended(observed, &alive);
    }

    /// The same, and no probe begins or ends: for whoever only tells how things are.
    pub fn overlay_known(&self, workspace: &Workspace, observed: &mut Observed) {
        let watched = self.results.lock();
        for probed in probed(workspace, observed) {
            let known = watched.get(&probed.incarnation);
            probed.container.readiness = known
                .filter(|known| known.is_of(&probed))
                .map_or(Readiness::Starting, |known| known.readiness);
        }
    }

    fn result_of(&self, probed: &Probed) -> Readiness {
        let mut watched = self.results.lock();
        if let Some(known) = watched.get(&probed.incarnation) {
            if known.is_of(probed) {
                return known.readiness;
            }
            known.task.abort();
        }
        let task = tokio::spawn(watch_one(
            Arc::clone(&self.results),
            Arc::clone(&self.console),
            probed.incarnation.clone(),
            probed.health.clone(),
            probed.container.name.to_string(),
            probed.address,
        ));
        watched.insert(
            probed.incarnation.clone(),
            Watched {
                health: probed.health.clone(),
                address: probed.address,
                readiness: Readiness::Starting,
                task: task.abort_handle(),
            },
        );
        Readiness::Starting
    }

    /// Ends the probes of containers that are gone or were started again since.
    fn forget_ended(&self, observed: &Observed, just_seen: &HashSet<Incarnation>) {
        let running: HashSet<Incarnation> = observed
            .containers
            .iter()
            .filter_map(|container| match container.state {
                ContainerState::Running { since } => Some(Incarnation {
                    id: container.id.clone(),
                    since,
                }),
                _ => None,
            })
            .collect();
        self.results.lock().retain(|incarnation, watched| {
            let keep = just_seen.contains(incarnation) || running.contains(incarnation);
            if !keep {
                watched.task.abort();
            }
            keep
        });
    }
}

/// A container that runs and is probed by us.
struct Probed<'a> {
    container: &'a mut ObservedContainer,
    incarnation: Incarnation,
    health: &'a Health,
    address: Option<IpAddr>,
}

/// The containers of a workspace that run and are probed by us. One that is to be
/// probed and does not run is starting.
fn probed<'a>(
    workspace: &'a Workspace,
    observed: &'a mut Observed,
) -> impl Iterator<Item = Probed<'a>> {
    let key = workspace.identity.key();
    let containers = observed.containers.iter_mut();
    containers.filter_map(move |container| {
        let owner = container.owner.as_ref()?;
        if owner.kind != Kind::Service || owner.workspace.as_deref() != Some(key.as_str()) {
            return None;
        }
        let service = workspace.services.get(owner.name.as_deref()?)?;
        let health = service.health.as_ref()?;
        if matches!(health.probe, HealthProbe::Command { .. }) {
            return None;
        }
        let ContainerState::Running { since } = container.state else {
            container.readiness = Readiness::Starting;
            return None;
        };
        let networks = &container.networks;
        Some(Probed {
            incarnation: Incarnation {
                id: container.id.clone(),
                since,
            },
            health,
            address: networks.get(&workspace.network.name).copied().flatten(),
            container,
        })
    })
}

impl Watched {
    /// Whether it asks what is to be asked now, where it is to be asked.
    fn is_of(&self, probed: &Probed) -> bool {
        self.health == *probed.health && self.address == probed.address
    }
}

impl Results {
    fn lock(&self) -> MutexGuard<'_, HashMap<Incarnation, Watched>> {
        self.by_incarnation
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn record(&self, incarnation: &Incarnation, readiness: Readiness) {
        let differs = match self.lock().get_mut(incarnation) {
            Some(watched) => std::mem::replace(&mut watched.readiness, readiness) != readiness,
            None => false,
        };
        if differs {
            self.changed.send_modify(|version| *version += 1);
        }
    }
}

/// Probes one incarnation until its task is aborted.
///
/// Until the first success it retries fast and fails only when the patience of
/// `health` is over; from then on it keeps the declared interval and counts
/// failures in a row.
async fn watch_one(
    results: Arc<Results>,
    console: Arc<dyn Console>,
    incarnation: Incarnation,
    health: Health,
    container: String,
    address: Option<IpAddr>,
) {
    if let HealthProbe::Log { contains } = &health.probe {
        let line = saw_line(&*console, &container, contains, incarnation.since);
        let found = timeout(health.patience(), line).await;
        let readiness = if found == Ok(true) {
            Readiness::Ready
        } else {
            Readiness::Unhealthy
        };
        return results.record(&incarnation, readiness);
    }
    let patience_ends = Instant::now() + health.patience();
    let mut was_ready = false;
    let mut failures = 0_u32;
    let mut pause = FIRST_RETRY.min(health.interval);
    loop {
        let succeeded = match address {
            Some(address) => {
                timeout(health.timeout, probe(&health.probe, address)).await == Ok(true)
            }
            None => false,
        };
        if succeeded {
            (was_ready, failures, pause) = (true, 0, health.interval);
            results.record(&incarnation, Readiness::Ready);
        } else {
            failures += 1;
            let exhausted = if was_ready {
                failures >= health.retries.max(1)
            } else {
                pause = (pause * 2).min(health.interval);
                Instant::now() >= patience_ends
            };
            if exhausted {
                results.record(&incarnation, Readiness::Unhealthy);
            }
        }
        sleep(pause).await;
    }
}

/// Whether the text appears in a line before the output ends. What an earlier
/// incarnation of the container said does not count.
async fn saw_line(
    console: &dyn Console,
    container: &str,
    contains: &str,
    started: SystemTime,
) -> bool {
    let since = started.checked_sub(LOG_MARGIN).and_then(LogTime::at);
    let mut output = console.logs(
        container,
        LogOptions {
            follow: true,
            since,
            ..LogOptions::default()
        },
    );
    // The end of the line so far, no longer than what is looked for: a line may
    // never end.
    let mut end = VecDeque::with_capacity(contains.len());
    while let Some(Ok(LogChunk::Out(bytes) | LogChunk::Err(bytes))) = output.next().await {
        for byte in bytes {
            if byte == b'\n' {
                end.clear();
                continue;
            }
            if end.len() == contains.len() {
                end.pop_front();
            }
            end.push_back(byte);
            if end.iter().eq(contains.as_bytes()) {
                return true;
            }
        }
    }
    false
}

async fn probe(probe: &HealthProbe, address: IpAddr) -> bool {
    match probe {
        HealthProbe::Tcp { port } => TcpStream::connect(SocketAddr::new(address, *port))
            .await
            .is_ok(),
        HealthProbe::Http { path, port } => get(SocketAddr::new(address, *port), path)
            .await
            .unwrap_or(false),
        // Not made here.
        HealthProbe::Command { .. } | HealthProbe::Log { .. } => false,
    }
}

/// Whether a GET answers 2xx or 3xx.
async fn get(
    address: SocketAddr,
    path: &str,
) -> Result<bool, Box<dyn std::error::Error + Send + Sync>> {
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, address.to_string())
        .header(hyper::header::USER_AGENT, "cosmos-probe")
        .header(hyper::header::CONNECTION, "close")
        .body(Empty::<bytes::Bytes>::new())?;
    let answer = sender.send_request(request).await;
    connection.abort();
    let status = answer?.status();
    Ok(status.is_success() || status.is_redirection())
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;
    use crate::{
        plan::test_workspace::{Lab, name, service, shop},
        reconcile::fake::FakeEngine,
    };

    fn probed_at(address: &str, observed: &mut Observed) {
        for network in observed.containers[0].networks.values_mut() {
            *network = Some(address.parse().unwrap());
        }
    }

    #[tokio::test]
    async fn what_was_found_at_another_address_does_not_count() {
        let desired = shop().with("web", service("node:20").probed());
        let mut observed = std::thread::spawn({
            let desired = desired.clone();
            move || Lab::running(&desired).engine.observed()
        })
        .join()
        .unwrap();
        let probes = Probes::new(Arc::new(FakeEngine::default()));
        probed_at("192.0.2.1", &mut observed);
        probes.overlay(&desired, &mut observed);
        for watched in probes.results.lock().values_mut() {
            watched.readiness = Readiness::Ready;
        }
        probes.overlay(&desired, &mut observed);
        assert_eq!(observed.containers[0].readiness, Readiness::Ready);

        probed_at("192.0.2.2", &mut observed);
        probes.overlay(&desired, &mut observed);
        assert_eq!(observed.containers[0].readiness, Readiness::Starting);
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_is_looked_for_in_what_this_incarnation_said() {
        let engine = FakeEngine::default();
        engine.says(&name("shop-web-1"), "starting\nserver is ready now\n");
        let started = UNIX_EPOCH + Duration::from_millis(100_200);
        assert!(saw_line(&engine, "shop-web-1", "is ready", started).await);
        let torn = saw_line(&engine, "shop-web-1", "startingserver", started);
        assert!(timeout(FIRST_RETRY, torn).await.is_err());
        assert_eq!(engine.read()[0].1.since, Some(LogTime(99_700_000_000)));
    }
}
