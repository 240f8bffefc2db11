//! Finding the proxy, or making it: exactly once, by any number of us at once.
//!
//! The fast path asks the endpoint we knew last, with the token we had, and
//! never asks the engine. Else the proxy's container is looked for by name; its
//! creation is the lock, whoever wins makes the network and starts it.

mod image;
mod remembered;

use std::{
    env,
    net::{Ipv4Addr, SocketAddr},
    os::unix::fs::MetadataExt as _,
    path::PathBuf,
    time::Duration,
};

use tokio::time::{Instant, sleep, timeout};

use self::remembered::Remembered;
use super::{
    args::{Global, Progress},
    context::installation,
    error::Failure,
    ui::{outln, sayln},
};
use crate::{
    api::{
        client::{Client, ClientError},
        wire::{API_VERSION, Version},
    },
    docker::{
        DockerEngine, Endpoint,
        attach::{self, Target},
        bootstrap::{FoundProxy, ProxyCreation},
        proxy::{self, ProxyRequest},
    },
    reconcile::engine::{Engine as _, EngineError},
    server::Settings,
    workspace::{ImageRef, Installation, Network, Observed, ProxyNeeds, Tokenless, Workspace},
};

/// Our version: the proxy's image has it as a label.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// For a proxy that we knew: it is on the loopback, and either answers at once or not at all.
const KNOWN_ANSWERS_IN: Duration = Duration::from_secs(2);

/// From the proxy's start to its first answer. It is there in tens of
/// milliseconds; a machine that builds something else may take longer.
const STARTED_ANSWERS_IN: Duration = Duration::from_secs(30);

/// How long whoever created the container has to start it, before we do.
const CREATOR_STARTS_IN: Duration = Duration::from_secs(5);

/// How long the engine may take to start a proxy that ended. One that keeps ending
/// waits for up to a minute, and whoever gives an order does not.
const ENGINE_RESTARTS_IN: Duration = Duration::from_secs(1);

/// How long an engine may take to publish the proxy's port anew.
const PUBLISHED_IN: Duration = Duration::from_secs(10);

/// Between two looks while somebody else makes the proxy.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A client of the proxy, which is made where it is absent.
pub(super) async fn client(global: &Global) -> Result<Client, Failure> {
    reach(global, &ProxyNeeds::default(), true).await
}

/// The same, with what a workspace needs of a proxy that is made for it.
pub(super) async fn client_for(global: &Global, workspace: &Workspace) -> Result<Client, Failure> {
    reach(global, &workspace.proxy, true).await
}

/// A client of a proxy that takes the place of another: on its port, and no
/// more open than it was.
pub(super) async fn client_after(
    global: &Global,
    before: Option<&FoundProxy>,
) -> Result<Client, Failure> {
    let mut needs = ProxyNeeds::default();
    if let Some(before) = before {
        needs.port = before.ports.iter().find_map(|port| port.host);
        let is_off = |line: &String| *line == format!("{}=off", Settings::TOKENLESS);
        needs.tokenless = before.env.iter().any(is_off).then_some(Tokenless::Off);
    }
    reach(global, &needs, true).await
}

/// A client of the proxy, if there is one: a stopped one is started.
pub(super) async fn existing(global: &Global) -> Result<Client, Failure> {
    reach(global, &ProxyNeeds::default(), false).await
}

/// The proxy that was known last: it is neither looked for, nor made, nor asked whether it
/// is there.
pub(super) fn known() -> Option<Client> {
    remembered(&installation().ok()?, &Endpoint::of_process().ok()?)
}

/// A client of the proxy that we knew last, if any. It may be gone by now.
pub(super) fn remembered(installation: &Installation, endpoint: &Endpoint) -> Option<Client> {
    Remembered::of(installation, endpoint).client()
}

/// Waits until a proxy that went away in the middle of a word answers again, or
/// has had its time.
///
/// Put into a network with both kinds of addresses, or taken out of one, the proxy
/// gets its gateway elsewhere, whatever the network is called: the engine publishes
/// its port anew, and cuts what was open.
pub(super) async fn answers_again(client: &Client) {
    let answers = async {
        while client.get::<Version>("/version").await.is_err() {
            sleep(LOOK_AGAIN).await;
        }
    };
    let _ = timeout(PUBLISHED_IN, answers).await;
}

/// The engine itself, for what needs no proxy.
pub(super) async fn engine() -> Result<DockerEngine, Failure> {
    Ok(DockerEngine::connect(&endpoint()?, installation()?).await?)
}

/// What there is on an engine on which Cosmos has never been: no proxy, and no state of
/// one. None where there is or was one, or the engine does not answer.
pub(super) async fn untouched() -> Option<Observed> {
    let (engine, installation) = (engine().await.ok()?, installation().ok()?);
    if engine
        .inspect_proxy(&installation.proxy())
        .await
        .ok()?
        .is_some()
    {
        return None;
    }
    let observed = engine.observe().await.ok()?;
    let state = installation.state_volume();
    let has_state = observed
        .volumes
        .iter()
        .any(|volume| volume.as_str() == state);
    (!has_state).then_some(observed)
}

/// What joins us to processes in containers.
pub(super) async fn attach_client() -> Result<attach::Client, Failure> {
    let engine = engine().await?;
    let target = Target::new(&engine.endpoint().to_string(), &engine.api_version())
        .map_err(|error| Failure::new(error.to_string()))?;
    Ok(attach::Client::new(target))
}

fn endpoint() -> Result<Endpoint, Failure> {
    Endpoint::of_process().map_err(|error| Failure::new(error.to_string()).hinted(
        "install and start one: `apt-get install docker.io`, or say where it is: DOCKER_HOST=unix:///path/to/docker.sock",
    ))
}

async fn reach(global: &Global, needs: &ProxyNeeds, may_make: bool) -> Result<Client, Failure> {
    let installation = installation()?;
    let endpoint = endpoint()?;
    let remembered = Remembered::of(&installation, &endpoint);
    if let Some(client) = remembered.client() {
        match timeout(KNOWN_ANSWERS_IN, client.get::<Version>("/version")).await {
            Ok(Ok(version)) if version.installation == installation.as_str() => {
                check(&version)?;
                return Ok(client);
            }
            _ => {}
        }
    }
    let engine = DockerEngine::connect(&endpoint, installation.clone()).await?;
    let found = Bootstrap {
        global,
        needs,
        engine: &engine,
        installation: &installation,
        may_make,
    }
    .found()
    .await?;
    let client = answering(&engine, &found, &installation).await?;
    remembered.keep(&client.0, &client.1);
    Ok(client.0)
}

/// A proxy of another version is used if it speaks our API.
fn check(version: &Version) -> Result<(), Failure> {
    if version.api != API_VERSION {
        return Err(Failure::new(format!(
            "the proxy is of version {} and speaks API {}; this `cosmos` speaks API {API_VERSION}",
            version.version, version.api
        ))
        .hinted("replace it, the state stays: `cosmos proxy upgrade`"));
    }
    if version.version != VERSION {
        sayln!(
            "the proxy is of version {}, this is {VERSION}: `cosmos proxy upgrade` replaces it",
            version.version
        );
    }
    Ok(())
}

/// One try to have a running proxy.
struct Bootstrap<'a> {
    global: &'a Global,
    needs: &'a ProxyNeeds,
    engine: &'a DockerEngine,
    installation: &'a Installation,
    may_make: bool,
}

impl Bootstrap<'_> {
    /// The proxy's container, running: found, started or made.
    async fn found(&self) -> Result<FoundProxy, Failure> {
        let name = self.installation.proxy();
        let (mut created_by_others, mut restarting) = (None, None);
        loop {
            match self.engine.inspect_proxy(&name).await? {
                Some(found) if !found.is_ours => {
                    return Err(Failure::new(format!(
                        "the container `{name}` is not a Cosmos proxy"
                    ))
                    .hinted(format!("rename or remove it: `docker rm -f {name}`")));
                }
                Some(found) if found.status == "restarting" => {
                    let since = *restarting.get_or_insert_with(Instant::now);
                    if since.elapsed() > ENGINE_RESTARTS_IN {
                        // Stopped, it is out of the engine's hands, and a start is ours.
                        self.engine.stop_gently(found.id.as_str()).await?;
                    } else {
                        sleep(LOOK_AGAIN).await;
                    }
                }
                Some(found) if found.is_running && self.is_connected(&found) => return Ok(found),
                // Running, and nobody can reach it. Stopped first, since only a
                // start publishes its port.
                Some(found) if found.is_running => {
                    self.engine.stop_gently(found.id.as_str()).await?;
                }
                Some(found) if found.status == "created" => {
                    // Whoever created it is about to start it; unless it was killed.
                    let since = *created_by_others.get_or_insert_with(Instant::now);
                    if since.elapsed() > CREATOR_STARTS_IN {
                        self.start(found.id.as_str(), self.port()).await?;
                    } else {
                        sleep(LOOK_AGAIN).await;
                    }
                }
                Some(found) if self.may_make && self.port_moved(&found) => {
                    self.engine.remove_at_once(&name).await?
                }
                Some(found) => {
                    if !self.is_connected(&found) {
                        let network = self.network().await?;
                        match self.engine.connect_to(found.id.as_str(), &network).await {
                            // Whoever made an older one took this one away: look again.
                            Err(EngineError::NotFound { .. }) => continue,
                            joined => joined?,
                        }
                    }
                    self.start(found.id.as_str(), published_port(&found))
                        .await?
                }
                None if !self.may_make => {
                    return Err(Failure::new("nothing is up: there is no proxy yet").hinted(
                        "`cosmos up` brings a workspace up, `cosmos start IMAGE` a container",
                    ));
                }
                None => self.make().await?,
            }
        }
    }

    /// Whether the proxy is in the network that its port leads through.
    fn is_connected(&self, found: &FoundProxy) -> bool {
        let network = self.installation.network();
        found.networks.iter().any(|name| name == network.as_str())
    }

    /// Whether a stopped proxy holds another port than the one asked for now.
    fn port_moved(&self, found: &FoundProxy) -> bool {
        self.asked_port()
            .is_some_and(|port| port != published_port(found))
    }

    fn asked_port(&self) -> Option<u16> {
        asked_port(self.needs)
    }

    fn port(&self) -> u16 {
        self.asked_port().unwrap_or(proxy::PORT)
    }

    /// Creates the container; if we are the first, makes the network and starts it.
    async fn make(&self) -> Result<(), Failure> {
        let port = self.port();
        let asked = self.asked_image();
        let image = image::proxy_image(self.engine, asked.as_ref()).await?;
        let tokenless = match self.needs.tokenless {
            Some(Tokenless::Off) => "off",
            Some(Tokenless::Adhoc) | None => "adhoc",
        };
        let socket = self.socket();
        let rootless = self.engine.is_rootless().await?;
        let seen = std::fs::metadata(&socket).ok();
        if let Some(seen) = &seen
            && !rootless
            && is_closed_to_its_group(seen.mode())
        {
            return Err(Failure::new(format!(
                "{} lets only its owner in, and the proxy does not run as root",
                socket.display()
            ))
            .hinted(format!(
                "let its group in, as Docker and Podman's own unit do: `chmod g+rw {}`",
                socket.display()
            )));
        }
        let request = ProxyRequest {
            installation: self.installation.clone(),
            image,
            version: VERSION.to_owned(),
            port,
            ipv6: std::net::TcpListener::bind("[::1]:0").is_ok(),
            socket_group: seen.map(|socket| socket.gid()),
            socket,
            rootless,
            env: vec![
                (Settings::PORT.to_owned(), port.to_string()),
                (Settings::TOKENLESS.to_owned(), tokenless.to_owned()),
            ],
        };
        let id = match self.engine.create_proxy(&request).await {
            Ok(ProxyCreation::Created(id)) => id,
            Ok(ProxyCreation::AlreadyThere) => return Ok(()),
            // Untagged or removed since we found it: the next look finds another.
            Err(EngineError::NoImage { .. }) if asked.is_none() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        self.say("Spawning coding-proxy container...");
        if let Err(failure) = self.start(id.as_str(), port).await {
            // The name is the lock: leaving it would make everyone else wait for us.
            // Why it does not start matters more than whether this worked.
            let _ = self.engine.remove_at_once(id.as_str()).await;
            return Err(failure);
        }
        self.say(&format!("Proxy container started: {}", id.short()));
        Ok(())
    }

    /// The network's id; made where it is absent.
    async fn network(&self) -> Result<String, EngineError> {
        let network = Network::bridge(self.installation.network());
        self.engine.ensure_network(&network, None).await
    }

    async fn start(&self, id: &str, port: u16) -> Result<(), Failure> {
        self.network().await?;
        self.engine.start(id).await.map_err(|error| match error {
            EngineError::PortTaken { .. } => Failure::new(format!("port {port} is already in use, and the proxy needs it"))
                .hinted(format!("`ss -ltnp 'sport = :{port}'` names its holder; free it, or use another: `{}={} cosmos ...`", Settings::PORT, port.saturating_add(1))),
            error => error.into(),
        })
    }

    fn asked_image(&self) -> Option<ImageRef> {
        let said = env::var("COSMOS_PROXY_IMAGE")
            .ok()
            .filter(|image| !image.is_empty());
        said.and_then(|image| ImageRef::new(image).ok())
            .or_else(|| self.needs.image.clone())
    }

    /// The socket as the engine's host has it: ours, or the usual one of a remote engine.
    fn socket(&self) -> PathBuf {
        self.engine.endpoint().socket().map_or_else(
            || proxy::SOCKET.into(),
            |socket| socket.canonicalize().unwrap_or_else(|_| socket.to_owned()),
        )
    }

    /// The founding lines go to stdout, where nothing else wants it.
    fn say(&self, line: &str) {
        match self.global.progress {
            _ if self.global.quiet => {}
            Progress::Json => sayln!("{line}"),
            _ => outln!("{line}"),
        }
    }
}

/// The port that a proxy which is made now is asked to have, if anybody asks.
pub(super) fn asked_port(needs: &ProxyNeeds) -> Option<u16> {
    let said = env::var(Settings::PORT)
        .ok()
        .and_then(|port| port.parse().ok());
    said.or(needs.port)
}

/// The port of the host that leads to a proxy.
pub(super) fn published_port(found: &FoundProxy) -> u16 {
    found
        .ports
        .iter()
        .find_map(|port| port.host)
        .unwrap_or(proxy::PORT)
}

/// Waits until a running proxy answers to its token.
async fn answering(
    engine: &DockerEngine,
    found: &FoundProxy,
    installation: &Installation,
) -> Result<(Client, String), Failure> {
    let name = installation.proxy();
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, published_port(found)));
    let deadline = Instant::now() + STARTED_ANSWERS_IN;
    let mut pause = Duration::from_millis(2);
    loop {
        let refusal = match engine
            .read_file(&name, &format!("{}/token", proxy::STATE))
            .await
        {
            Ok(token) => {
                let token = String::from_utf8_lossy(&token).trim().to_owned();
                let client = Client::new(address, token.clone());
                match timeout(KNOWN_ANSWERS_IN, client.get::<Version>("/version")).await {
                    Ok(Ok(version)) => {
                        check(&version)?;
                        return Ok((client, token));
                    }
                    Ok(Err(error @ ClientError::Refused { .. })) => return Err(error.into()),
                    Ok(Err(error)) => Failure::from(error),
                    Err(_) => Failure::new(format!(
                        "the proxy at {address} takes the call, and does not answer"
                    ))
                    .hinted(format!("see what it says: `docker logs {name}`")),
                }
            }
            Err(error) => Failure::from(error),
        };
        if Instant::now() > deadline {
            return Err(refusal);
        }
        if let Some(now) = engine.inspect_proxy(&name).await?
            && !now.is_running
            && now.status != "created"
        {
            let output = engine
                .container_logs_tail(&name, 10)
                .await
                .unwrap_or_default();
            return Err(
                Failure::new(format!("the proxy ended with exit code {}", now.exit_code))
                    .with_output(output)
                    .hinted(format!("see all it said: `docker logs {name}`")),
            );
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Whether a socket of this mode cannot be used by who is only in its group.
fn is_closed_to_its_group(mode: u32) -> bool {
    mode & 0o060 != 0o060
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_lets_its_group_read_and_write_or_it_is_closed_to_it() {
        for mode in [0o140_660, 0o140_666, 0o140_777] {
            assert!(!is_closed_to_its_group(mode), "{mode:o}");
        }
        for mode in [0o140_600, 0o140_755, 0o140_640] {
            assert!(is_closed_to_its_group(mode), "{mode:o}");
        }
    }
}
