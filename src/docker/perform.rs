//! Carries out one action.
//!
//! Every one of them can be given again: what is done already is success. What
//! an engine says no to is told apart where somebody acts on the difference.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bollard::{models::VolumeCreateRequest, query_parameters::UploadToContainerOptionsBuilder};
use bytes::Bytes;
use futures_util::StreamExt as _;
use hyper::Method;
use serde::Deserialize;

use super::{
    client::{CHANGE, LOOK, Path, refused, within},
    engine::DockerEngine,
    failure, labels, observe,
    reference::Reference,
    request::{self, CreateRequest, folder_of, grace_seconds},
};
use crate::{
    plan::{Action, Launch},
    reconcile::engine::{Done, EngineError, Progress},
    workspace::{ContainerId, ContainerName, File, ImageRef, Resources, Volume, VolumeName},
};

/// How long a pull may go on without a word. The engine tells of each part of a
/// layer, and nothing only while it waits for a registry or unpacks the largest ones.
const SILENCE: Duration = Duration::from_secs(180);

/// The answer to a create.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Made {
    id: String,
}

pub(super) fn container_path(container: &str) -> Path {
    Path::new("/containers").segment(container)
}

impl DockerEngine {
    pub(super) async fn carry_out(
        &self,
        action: &Action,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<Done, EngineError> {
        match action {
            Action::PullImage { image } => self.pull(image, progress).await?,
            Action::CreateNetwork { network, workspace } => {
                self.settle_network(network, workspace.as_deref()).await?;
            }
            Action::RemoveNetwork { network } => self.remove_network(network).await?,
            Action::ConnectNetwork {
                container,
                network,
                aliases,
            } => self.connect_container(container, network, aliases).await?,
            Action::DisconnectNetwork { container, network } => {
                self.leave(container.as_str(), network.as_str()).await?;
            }
            Action::CreateVolume {
                volume,
                settings,
                workspace,
            } => self.create_volume(volume, settings, workspace).await?,
            Action::RemoveVolume { volume } => self.remove_volume(volume).await?,
            Action::Create(launch) => return self.make(launch).await.map(Done::Created),
            Action::Launch(launch) => {
                let id = self.make(launch).await?;
                self.start_container(id.as_str()).await?;
                let hooks = &launch.container.hooks;
                self.after_start(id.as_str(), hooks).await?;
                return Ok(Done::Created(id));
            }
            Action::Start { container, hooks } => {
                self.start_container(container.as_str()).await?;
                self.after_start(container.as_str(), hooks).await?;
            }
            Action::Restart {
                container,
                grace,
                hooks,
            } => {
                self.before_stop(container.as_str(), hooks, *grace).await;
                self.restart(container.as_str(), *grace).await?;
                self.after_start(container.as_str(), hooks).await?;
            }
            Action::Stop {
                container,
                grace,
                hooks,
            } => {
                self.before_stop(container.as_str(), hooks, *grace).await;
                self.stop(container.as_str(), Some(*grace)).await?;
            }
            Action::Remove { container } => self.remove(container.as_str()).await?,
            Action::Rename { from, to } => self.rename(from, to).await?,
            Action::Update {
                container,
                resources,
            } => self.update(container, resources).await?,
            Action::Reload {
                id, files, then, ..
            } => self.reload(id, files, then).await?,
            Action::Await { .. } => {
                return Err(refused(0, "waiting is not the engine's to do".to_owned()));
            }
            Action::BuildImage { image } => {
                return Err(refused(
                    0,
                    format!("`{image}` is built by whoever has its context"),
                ));
            }
        }
        Ok(Done::Done)
    }

    // -- images

    pub(super) async fn pull(
        &self,
        image: &ImageRef,
        progress: &(dyn Fn(Progress) + Send + Sync),
    ) -> Result<(), EngineError> {
        let reference = Reference::parse(image.as_str());
        let (name, tag) = reference.pull_parameters();
        let options = bollard::query_parameters::CreateImageOptionsBuilder::new()
            .from_image(&name)
            .tag(&tag)
            .build();
        let credentials = self.credentials(&reference.registry);
        let had_login = credentials.is_some();
        let mut stream = self
            .client()
            .docker()
            .create_image(Some(options), None, credentials);
        // Its length has no bound, its silence has.
        while let Some(line) = within("pull", SILENCE, async { Ok(stream.next().await) }).await? {
            // A failure in the middle arrives as a line of a stream that began with 200.
            let line = line.map_err(|error| {
                let login = (reference.registry.as_str(), had_login);
                pull_failure(image, login, self.client().error(&error))
            })?;
            if let (Some(id), Some(status)) = (line.id, line.status) {
                let detail = line.progress_detail.unwrap_or_default();
                let bytes = |count: Option<i64>| {
                    count
                        .and_then(|count| u64::try_from(count).ok())
                        .unwrap_or(0)
                };
                progress(Progress::Layer {
                    id,
                    status,
                    current: bytes(detail.current),
                    total: bytes(detail.total),
                });
            }
        }
        Ok(())
    }

    // -- volumes

    async fn create_volume(
        &self,
        volume: &VolumeName,
        settings: &Volume,
        workspace: &str,
    ) -> Result<(), EngineError> {
        let labels: BTreeMap<String, String> = settings
            .labels
            .clone()
            .into_iter()
            .chain(labels::of_workspace(workspace, self.installation()))
            .collect();
        let body = VolumeCreateRequest {
            name: Some(volume.to_string()),
            driver: Some(settings.driver.clone()),
            driver_opts: Some(settings.options.clone().into_iter().collect()),
            labels: Some(labels.into_iter().collect()),
            cluster_volume_spec: None,
        };
        let path = Path::new("/volumes/create");
        within(
            "create volume",
            CHANGE,
            self.client().call_with(Method::POST, &path, &body),
        )
        .await
    }

    async fn remove_volume(&self, volume: &VolumeName) -> Result<(), EngineError> {
        let path = Path::new("/volumes").segment(volume.as_str());
        done_if_absent(
            within(
                "remove volume",
                CHANGE,
                self.client().call(Method::DELETE, &path),
            )
            .await,
        )
    }

    // -- containers

    /// Creates a container in all its networks and puts its files in; does not start it.
    async fn make(&self, launch: &Launch) -> Result<ContainerId, EngineError> {
        // First what can be missing here, then what can go wrong there.
        let archives = self.archives(launch)?;
        let created = self
            .ask_for(&request::create(launch, self.installation()))
            .await;
        let id = match created {
            Ok(id) => id,
            Err(conflict @ EngineError::Conflict { .. }) => match self.own_earlier(launch).await? {
                Some(id) => id,
                None => return Err(conflict),
            },
            Err(error) => return Err(error),
        };
        if let Err(error) = self.complete(&id, launch, archives).await {
            // Without its files or networks it is not what was asked for, and
            // whoever finds it could not tell.
            self.discard(id.as_str()).await?;
            return Err(error);
        }
        Ok(id)
    }

    /// Gives a container what cannot be said when it is created.
    async fn complete(
        &self,
        id: &ContainerId,
        launch: &Launch,
        archives: Vec<(String, Bytes)>,
    ) -> Result<(), EngineError> {
        // The API takes more than one network at once only since 1.44.
        for network in &launch.container.networks {
            self.join(id.as_str(), network.as_str(), &launch.aliases)
                .await?;
        }
        for (folder, archive) in archives {
            self.upload(id.as_str(), &folder, archive).await?;
        }
        Ok(())
    }

    /// Creates what a request says, whatever it is.
    pub(super) async fn ask_for(&self, create: &CreateRequest) -> Result<ContainerId, EngineError> {
        let mut path = Path::new("/containers/create").query("name", &create.name);
        if let Some(platform) = &create.platform {
            path = path.query("platform", platform);
        }
        let made: Made = within("create", CHANGE, self.client().post(&path, &create.body))
            .await
            .map_err(|error| match error {
                EngineError::NotFound { what } if what.to_lowercase().contains("image") => {
                    EngineError::NoImage {
                        image: create.body.image.clone().unwrap_or_default(),
                        cause: what,
                    }
                }
                other => other,
            })?;
        ContainerId::new(made.id).map_err(|error| refused(0, error.to_string()))
    }

    /// The container that an earlier try of this very launch left, if the name is its.
    async fn own_earlier(&self, launch: &Launch) -> Result<Option<ContainerId>, EngineError> {
        let found = self.inspect(launch.name.as_str()).await?;
        Ok(found
            .filter(|found| {
                labels::owner(&found.config.labels, self.installation()).as_ref()
                    == Some(&launch.owner)
            })
            .and_then(|found| ContainerId::new(found.id).ok()))
    }

    /// The tar archives of a container's files and secrets, by the folder that each goes into.
    fn archives(&self, launch: &Launch) -> Result<Vec<(String, Bytes)>, EngineError> {
        let container = &launch.container;
        let mut files: Vec<Packed> = container.files.iter().map(Packed::from).collect();
        for (name, file) in &container.secrets {
            let workspace = launch.owner.workspace.as_deref().unwrap_or_default();
            let Some(content) = self.secret(workspace, name, &file.hash) else {
                return Err(refused(
                    0,
                    format!("the value of the secret `{name}` is not known here"),
                ));
            };
            files.push(Packed {
                target: file.path(name),
                mode: file.mode,
                uid: file.uid,
                gid: file.gid,
                content,
            });
        }
        tar_by_folder(&files, |target| {
            request::needs_own_folder(container, target)
        })
    }

    pub(super) async fn upload(
        &self,
        id: &str,
        folder: &str,
        archive: Bytes,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        let sent = self.client().docker().upload_to_container(
            id,
            Some(options),
            bollard::body_full(archive),
        );
        within("upload", CHANGE, async {
            sent.await.map_err(|error| self.client().error(&error))
        })
        .await
    }

    /// Starts a container, in networks that are there.
    pub(super) async fn start_container(&self, container: &str) -> Result<(), EngineError> {
        let Err(error) = self.try_start(container).await else {
            return Ok(());
        };
        self.start_after(container, error).await
    }

    /// Tries again what can be mended: a network that was remade, a frozen container.
    async fn start_after(&self, container: &str, error: EngineError) -> Result<(), EngineError> {
        let error = if failure::is_paused(&error) {
            let path = container_path(container).then("/unpause");
            within("unpause", CHANGE, self.client().call(Method::POST, &path))
                .await
                .err()
        } else if failure::is_network_gone(&error) && self.reconnect(container).await? {
            self.try_start(container).await.err()
        } else {
            Some(error)
        };
        match error {
            None => Ok(()),
            Some(error) => Err(failure::of_start(error)),
        }
    }

    async fn try_start(&self, container: &str) -> Result<(), EngineError> {
        let path = container_path(container).then("/start");
        within("start", CHANGE, self.client().call(Method::POST, &path)).await
    }

    pub(super) async fn restart(
        &self,
        container: &str,
        grace: Duration,
    ) -> Result<(), EngineError> {
        let path = container_path(container)
            .then("/restart")
            .query("t", &grace_seconds(grace).to_string());
        let restarted = within(
            "restart",
            grace.saturating_add(CHANGE),
            self.client().call(Method::POST, &path),
        )
        .await;
        match restarted {
            Ok(()) => Ok(()),
            Err(error) => self.start_after(container, error).await,
        }
    }

    /// Stops a container, by its own grace unless another is given.
    pub(super) async fn stop(
        &self,
        container: &str,
        grace: Option<Duration>,
    ) -> Result<(), EngineError> {
        let mut path = container_path(container).then("/stop");
        if let Some(grace) = grace {
            path = path.query("t", &grace_seconds(grace).to_string());
        }
        // Without one, the container's own is not known here: minutes are.
        let limit = grace.unwrap_or(CHANGE).saturating_add(CHANGE);
        within("stop", limit, self.client().call(Method::POST, &path)).await
    }

    /// Stops and removes a container and the volumes that only it has.
    async fn remove(&self, container: &str) -> Result<(), EngineError> {
        // Asked first: removing alone would kill it, and a database would
        // have to mend itself at its next start.
        match self.stop(container, None).await {
            Err(EngineError::NotFound { .. }) => return Ok(()),
            // Created, dead or being removed: the engine knows better below.
            Ok(()) | Err(EngineError::Conflict { .. } | EngineError::Refused { .. }) => {}
            Err(error) => return Err(error),
        }
        self.discard(container).await
    }

    /// Removes a container at once, whatever it does.
    pub(super) async fn discard(&self, container: &str) -> Result<(), EngineError> {
        let path = container_path(container).then("?force=true&v=true");
        let removed = within("remove", CHANGE, self.client().call(Method::DELETE, &path)).await;
        match removed {
            // Somebody else is at it: done when they are.
            Err(EngineError::Conflict { what }) if what.contains("already in progress") => {
                let path = container_path(container).then("/wait?condition=removed");
                done_if_absent(
                    within("remove", CHANGE, self.client().call(Method::POST, &path)).await,
                )
            }
            other => done_if_absent(other),
        }
    }

    async fn rename(&self, from: &ContainerName, to: &ContainerName) -> Result<(), EngineError> {
        let path = container_path(from.as_str())
            .then("/rename")
            .query("name", to.as_str());
        match within("rename", CHANGE, self.client().call(Method::POST, &path)).await {
            Err(absent @ EngineError::NotFound { .. }) => match self.inspect(to.as_str()).await? {
                Some(_) => Ok(()),
                None => Err(absent),
            },
            other => other,
        }
    }

    async fn update(
        &self,
        container: &ContainerName,
        wanted: &Resources,
    ) -> Result<(), EngineError> {
        let now = self.must_inspect(container.as_str()).await?.resources();
        if now.nano_cpus.is_some() && wanted.nano_cpus.is_none() {
            return Err(refused(
                0,
                "a limit of processors can be changed but not lifted without a new container"
                    .to_owned(),
            ));
        }
        let path = container_path(container.as_str()).then("/update");
        let body = request::update(&now, wanted);
        within(
            "update",
            CHANGE,
            self.client().call_with(Method::POST, &path, &body),
        )
        .await
        .map_err(|error| match error {
            // Of the call, not of the container: Podman 4 has no such call.
            EngineError::NotFound { what } if what == "Not Found" => refused(
                404,
                "this engine cannot change the limits of a container that is there".to_owned(),
            ),
            other => other,
        })
    }

    pub(super) async fn inspect(
        &self,
        container: &str,
    ) -> Result<Option<observe::Inspected>, EngineError> {
        within(
            "inspect",
            LOOK,
            observe::inspect(self.client(), container.to_owned()),
        )
        .await
    }

    pub(super) async fn must_inspect(
        &self,
        container: &str,
    ) -> Result<observe::Inspected, EngineError> {
        match self.inspect(container).await? {
            Some(inspected) => Ok(inspected),
            None => Err(EngineError::NotFound {
                what: format!("no such container: {container}"),
            }),
        }
    }
}

/// That it is not there any more is what was wanted.
pub(super) fn done_if_absent(answer: Result<(), EngineError>) -> Result<(), EngineError> {
    match answer {
        Err(EngineError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

fn pull_failure(
    image: &ImageRef,
    (registry, had_login): (&str, bool),
    error: EngineError,
) -> EngineError {
    let image = image.to_string();
    match error {
        EngineError::NotFound { what: cause } | EngineError::Refused { message: cause, .. }
            if failure::is_login_needed(&cause) =>
        {
            EngineError::LoginNeeded {
                image,
                registry: registry.to_owned(),
                had_login,
                cause,
            }
        }
        EngineError::NotFound { what: cause } => EngineError::NoImage { image, cause },
        EngineError::Refused { message: cause, .. } if failure::is_image_absent(&cause) => {
            EngineError::NoImage { image, cause }
        }
        EngineError::Refused { message: cause, .. } => EngineError::Pull { image, cause },
        other => other,
    }
}

/// A file on its way into a container.
pub(super) struct Packed {
    target: String,
    mode: u32,
    uid: u32,
    gid: u32,
    content: Vec<u8>,
}

impl From<&File> for Packed {
    fn from(file: &File) -> Self {
        Self {
            target: file.target.clone(),
            mode: file.mode,
            uid: file.uid,
            gid: file.gid,
            content: file.content.clone(),
        }
    }
}

/// One archive for the root, and one for each folder that must be named itself.
///
/// Folders are left to the engine to make: an entry for one that is there would
/// change its mode, and `/tmp` would lose its sticky bit.
pub(super) fn tar_by_folder(
    files: &[Packed],
    needs_own: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Bytes)>, EngineError> {
    packed(files, needs_own)
        .map_err(|error| refused(0, format!("a file cannot be packed: {error}")))
}

fn packed(
    files: &[Packed],
    needs_own: impl Fn(&str) -> bool,
) -> std::io::Result<Vec<(String, Bytes)>> {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| since.as_secs());
    let mut archives: BTreeMap<String, tar::Builder<Vec<u8>>> = BTreeMap::new();
    for file in files {
        let folder = match needs_own(&file.target) {
            true => folder_of(&file.target),
            false => "/",
        };
        let name = file.target.strip_prefix(folder).unwrap_or(&file.target);
        let mut header = tar::Header::new_gnu();
        header.set_size(file.content.len() as u64);
        header.set_mode(file.mode);
        header.set_mtime(now);
        header.set_uid(file.uid.into());
        header.set_gid(file.gid.into());
        archives
            .entry(folder.to_owned())
            .or_insert_with(|| tar::Builder::new(Vec::new()))
            .append_data(
                &mut header,
                name.trim_start_matches('/'),
                file.content.as_slice(),
            )?;
    }
    archives
        .into_iter()
        .map(|(folder, archive)| Ok((folder, Bytes::from(archive.into_inner()?))))
        .collect()
}
