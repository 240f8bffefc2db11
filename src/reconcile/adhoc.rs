//! Imperative orders about single containers, in no plan.
//!
//! Ad-hoc containers are ours if the store says so: labels can be copied.

use std::{sync::Arc, time::Duration};

use super::{
    engine::{Done, Engine, EngineError, Progress},
    event::Problem,
};
use crate::{
    plan::{Action, Launch},
    store::{Store, StoreError},
    workspace::{
        Container, ContainerId, ContainerName, ContainerState, Fingerprint, Hooks, Image, ImageRef,
        Installation, Kind, Observed, ObservedContainer, Owner, PullPolicy, Resources, fingerprint,
        name::label_from,
    },
};

/// Live ad-hoc containers that may exist before tokenless callers get no more.
pub const TOKENLESS_CAP: usize = 50;

/// What a container that is only to be kept alive runs.
const KEEP_ALIVE: [&str; 3] = ["tail", "-f", "/dev/null"];

/// What a tokenless caller's container gets of memory: 2 GiB.
const TOKENLESS_MEMORY: i64 = 2 << 30;

/// What a tokenless caller's container gets of processes.
const TOKENLESS_PIDS: i64 = 512;

/// Twelve: the word alone tells which container was being made, so that no two may
/// ever have the same.
pub(super) const GENERATION: usize = 12;

/// How long a stop may take before the engine kills, as Docker's own default.
pub const STOP_GRACE: Duration = Container::STOP_GRACE;

/// The orders about single containers.
pub struct Adhoc {
    engine: Arc<dyn Engine>,
    store: Arc<Store>,
    installation: Installation,
}

/// Why an order about a single container failed.
#[derive(Debug, thiserror::Error)]
pub enum AdhocError {
    /// The engine did not do it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The state could not be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request makes no sense.
    #[error("{}", .0.message)]
    Invalid(Problem),
}

/// Builds the container of a tokenless caller: every limit is a constant, and
/// nothing of the caller's reaches it but the image, the command and a name.
pub fn tokenless(image: ImageRef, args: Vec<String>) -> Container {
    let mut container = container(image, args);
    // With a command, too: what the engine is asked for is always the same.
    container.init = true;
    container.security_opt = vec!["no-new-privileges".to_owned()];
    container.resources = Resources {
        nano_cpus: None,
        memory: Some(TOKENLESS_MEMORY),
        pids: Some(TOKENLESS_PIDS),
    };
    container
}

/// Builds an ad-hoc container: with no command it is kept alive by `tail`, under
/// the engine's init, since `tail` as PID 1 takes ten seconds to stop.
pub fn container(image: ImageRef, args: Vec<String>) -> Container {
    let mut container = Container::of(Image::Pulled {
        reference: image,
        policy: PullPolicy::Missing,
    });
    if args.is_empty() {
        container.entrypoint = Some(KEEP_ALIVE.map(str::to_owned).to_vec());
        container.command = Some(Vec::new());
        container.init = true;
    } else {
        container.command = Some(args);
    }
    container
}

impl Adhoc {
    /// The orders of one installation.
    pub fn new(engine: Arc<dyn Engine>, store: Arc<Store>, installation: Installation) -> Self {
        Self {
            engine,
            store,
            installation,
        }
    }

    /// Makes an ad-hoc container, fetching its image and making the network where
    /// they are missing, and starts it unless it is held.
    ///
    /// # Errors
    /// If the engine or the store refuses. A container that was made but could
    /// not be started is removed again.
    pub async fn start(
        &self,
        container: Container,
        name: Option<String>,
        remove_when_done: bool,
        hold: bool,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(ContainerId, ContainerName), AdhocError> {
        let image = container.image.reference().clone();
        let launch = self.launch(container, name, remove_when_done)?;
        let name = launch.name.clone();
        let id = match self.create(launch.clone(), progress).await {
            Err(AdhocError::Engine(EngineError::NoImage { .. })) => {
                self.engine
                    .perform(&Action::PullImage { image }, progress)
                    .await?;
                self.create(launch, progress).await?
            }
            other => other?,
        };
        let start = Action::Start {
            container: name.clone(),
            hooks: Hooks::default(),
        };
        let started = match hold {
            true => Ok(()),
            false => self.engine.perform(&start, progress).await.map(drop),
        };
        if let Err(error) = started {
            let remove = Action::Remove { container: name };
            // Why it was not started is what the caller must hear of, not what came
            // of clearing up.
            if self.engine.perform(&remove, progress).await.is_ok() {
                let _ = self.store.disown_adhoc(&id);
            }
            return Err(error.into());
        }
        Ok((id, name))
    }

    /// Makes a container that is known as ours before it runs: nobody else would ever
    /// remove it.
    async fn create(
        &self,
        launch: Launch,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<ContainerId, AdhocError> {
        let name = launch.name.clone();
        match create_ours(&*self.engine, &self.store, launch, progress).await {
            Err(AdhocError::Engine(EngineError::Conflict { .. })) => {
                Err(AdhocError::Invalid(name_is_taken(&name)))
            }
            other => other,
        }
    }

    /// Removes what a server before this one was making when it ended: whoever
    /// wanted it was never told of it, so it is no one's.
    ///
    /// # Errors
    /// If the engine or the store refuses; asked again, it goes on where it was.
    pub async fn clear_up(&self, interrupted: &[String]) -> Result<(), AdhocError> {
        if interrupted.is_empty() {
            return Ok(());
        }
        let observed = self.engine.observe().await?;
        for generation in interrupted {
            let made = observed.containers.iter().find(|container| {
                // It never ran: what did is known by its id.
                container.state == ContainerState::Created
                    && container.owner.as_ref().is_some_and(|owner| {
                        owner.kind == Kind::Adhoc && owner.generation == *generation
                    })
            });
            if let Some(made) = made {
                let container = made.name.clone();
                tracing::info!(%container, "removing what was being made");
                self.engine
                    .perform(&Action::Remove { container }, &|_| ())
                    .await?;
            }
            self.store.forget_making(generation)?;
        }
        Ok(())
    }

    fn launch(
        &self,
        container: Container,
        name: Option<String>,
        remove_when_done: bool,
    ) -> Result<Launch, AdhocError> {
        let name = match name {
            Some(name) => name,
            None => generated_name(container.image.reference()),
        };
        let name = ContainerName::new(name).map_err(|error| {
            AdhocError::Invalid(Problem::new("invalid_name", error.to_string()))
        })?;
        if name.as_str() == self.installation.proxy() {
            return Err(AdhocError::Invalid(Problem::new(
                "invalid_name",
                format!("`{name}` is the proxy's own name"),
            )));
        }
        let alias = label_from(name.as_str());
        Ok(Launch {
            owner: Owner {
                kind: Kind::Adhoc,
                workspace: None,
                folder: None,
                name: None,
                replica: 1,
                spec: Fingerprint::of_container(&container),
                generation: random_word(GENERATION),
            },
            network: self.installation.network(),
            aliases: alias
                .into_iter()
                .filter(|alias| alias != name.as_str())
                .collect(),
            search: None,
            health: None,
            name,
            container,
            remove_when_done,
        })
    }

    /// The ad-hoc containers that are ours.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn ours<'a>(
        &self,
        observed: &'a Observed,
    ) -> Result<Vec<&'a ObservedContainer>, StoreError> {
        let mut ours = Vec::new();
        for container in &observed.containers {
            let is_adhoc = container
                .owner
                .as_ref()
                .is_some_and(|owner| owner.kind == Kind::Adhoc);
            if is_adhoc && self.store.owns_adhoc(&container.id)? {
                ours.push(container);
            }
        }
        Ok(ours)
    }
}

/// Makes a container that is in no plan. Intent first, then the engine, then its id:
/// killed anywhere between, the next server finds it by the intent.
pub(super) async fn create_ours(
    engine: &dyn Engine,
    store: &Store,
    launch: Launch,
    progress: &(dyn Fn(Progress) + Send + Sync),
) -> Result<ContainerId, AdhocError> {
    let generation = launch.owner.generation.clone();
    store.intend_adhoc(&generation)?;
    let create = Action::Create(Box::new(launch));
    match engine.perform(&create, progress).await {
        Ok(Done::Created(id)) => {
            store.made_adhoc(&generation, &id)?;
            Ok(id)
        }
        Ok(Done::Done) => Err(EngineError::Refused {
            status: 0,
            message: "the engine created a container without an id".to_owned(),
        }
        .into()),
        // It may be there for all we know.
        Err(error @ (EngineError::Deadline { .. } | EngineError::Unreachable { .. })) => {
            Err(error.into())
        }
        Err(error) => {
            store.forget_making(&generation)?;
            Err(error.into())
        }
    }
}

fn name_is_taken(name: &ContainerName) -> Problem {
    Problem::new(
        "conflict",
        format!("a container is called `{name}` already"),
    )
    .hinted(format!(
        "see who has it: `docker ps -a --filter name={name}`; remove it, or take another name"
    ))
}

/// The one container that a person means by an id, a prefix of one, or a name.
///
/// # Errors
/// If none is meant, or more than one.
pub fn find<'a>(
    containers: impl Iterator<Item = &'a ObservedContainer>,
    reference: &str,
) -> Result<&'a ObservedContainer, Problem> {
    let is_hex = !reference.is_empty() && reference.bytes().all(|byte| byte.is_ascii_hexdigit());
    let mut by_prefix = Vec::new();
    for container in containers {
        if container.id.as_str() == reference || container.name.as_str() == reference {
            return Ok(container);
        }
        if is_hex && container.id.as_str().starts_with(reference) {
            by_prefix.push(container);
        }
    }
    match by_prefix.as_slice() {
        [one] => Ok(one),
        [] => Err(Problem::new(
            "not_found",
            format!("no container or service is called `{reference}`"),
        )
        .hinted("`cosmos status --all` lists what there is")),
        many => Err(Problem::new(
            "ambiguous",
            format!("`{reference}` begins the ids of {} containers", many.len()),
        )
        .hinted("give more digits, or the container's name")),
    }
}

/// `<image's base name>-<4 letters or digits>`, a DNS label: `nginx-k3f9`.
fn generated_name(image: &ImageRef) -> String {
    let base = label_from(image.base_name()).unwrap_or_else(|| "container".to_owned());
    let base: String = base.chars().take(40).collect();
    format!("{}-{}", base.trim_end_matches('-'), random_word(4))
}

/// Letters and digits that no one guesses twice.
pub(crate) fn random_word(length: usize) -> String {
    /// Without those that look alike.
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut bytes = vec![0_u8; length];
    if getrandom::fill(&mut bytes).is_err() {
        // Without the system's randomness the clock has to do: a clash is
        // refused by the engine, it does no harm.
        return fingerprint::short_hash(&format!("{:?}", std::time::SystemTime::now()))
            .chars()
            .take(length)
            .collect();
    }
    bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(*byte) % LETTERS.len()]))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconcile::fake::{FakeEngine, Fault};

    #[test]
    fn a_generated_name_is_a_dns_label() {
        for image in [
            "nginx:alpine",
            "host:5000/Team/My_App@sha256:00",
            &"x".repeat(90),
        ] {
            let name = generated_name(&ImageRef::new(image).unwrap());
            assert!(
                crate::workspace::ServiceName::new(name.clone()).is_ok(),
                "{name}"
            );
        }
    }

    fn adhoc(engine: &Arc<FakeEngine>, store: &Arc<Store>) -> Adhoc {
        let engine = Arc::clone(engine) as Arc<dyn Engine>;
        Adhoc::new(engine, Arc::clone(store), Installation::default())
    }

    /// An engine on which a container of `image` can be started.
    fn engine(image: &ImageRef) -> Arc<FakeEngine> {
        let engine = FakeEngine::default();
        engine.edit(|observed| {
            observed.images.insert(image.clone(), "sha256:1".to_owned());
            observed.networks.push(crate::workspace::ObservedNetwork {
                id: "1".to_owned(),
                name: Installation::default().network(),
                workspace: None,
                managed: true,
                internal: false,
                driver: "bridge".to_owned(),
                gateways: Vec::new(),
                subnets: Vec::new(),
            });
        });
        Arc::new(engine)
    }

    async fn start(adhoc: &Adhoc, image: &ImageRef) -> Result<(), AdhocError> {
        let wanted = container(image.clone(), Vec::new());
        let started = adhoc.start(wanted, None, false, false, &|_| ()).await;
        started.map(drop)
    }

    #[tokio::test]
    async fn what_was_being_made_at_a_crash_is_removed_by_the_next_server() {
        let image = ImageRef::new("alpine").unwrap();
        let (engine, store) = (engine(&image), Arc::new(Store::in_memory().unwrap()));
        let killed = adhoc(&engine, &store);
        engine.fail(0, Fault::CrashAfter);
        assert!(start(&killed, &image).await.is_err());
        assert_eq!(engine.observed().containers.len(), 1);

        engine.recover();
        let next = adhoc(&engine, &store);
        let interrupted = store.making().unwrap();
        start(&next, &image).await.unwrap();
        next.clear_up(&interrupted).await.unwrap();
        let observed = engine.observed();
        assert_eq!(next.ours(&observed).unwrap().len(), 1);
        assert_eq!(observed.containers.len(), 1);
        assert!(store.making().unwrap().is_empty());
    }

    #[test]
    fn a_container_without_a_command_is_kept_alive_under_init() {
        let kept = container(ImageRef::new("alpine").unwrap(), Vec::new());
        assert_eq!(kept.entrypoint.unwrap(), KEEP_ALIVE);
        assert!(kept.init);
    }
}
