//! Files of the host, copied into what runs.
//!
//! The copy is no part of what is declared: a new container begins with what its
//! image and its mounts have. So nothing is remembered of it, and whoever copies
//! looks at the ids in [`Copied`] to see that a container is another one.

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::{join, join_all},
    stream::{self, BoxStream},
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use super::{Controller, not_up};
use crate::{
    reconcile::{engine::EngineError, event::Problem},
    workspace::{ContainerId, Kind, ServiceName},
};

/// Chunks under way to one container. It is as fast as the slowest of them anyway.
const UNDER_WAY: usize = 4;

/// A tar on its way.
pub type Tar = BoxStream<'static, Result<Bytes, std::io::Error>>;

/// Refuses what is no path in a container. There are no other bounds: whoever has the
/// token may run any program in it.
fn is_in_a_container(path: &str) -> Result<(), Problem> {
    match path.starts_with('/') && !path.contains('\0') {
        true => Ok(()),
        false => Err(Problem::new(
            "invalid_request",
            format!("{path:?} is no absolute path in a container"),
        )),
    }
}

/// Into which containers something was copied, or from which it was removed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Copied {
    /// Their ids. None if the service does not run.
    pub containers: Vec<String>,
}

impl Controller {
    /// Unpacks a tar at a folder of every container of a service that runs.
    ///
    /// # Errors
    /// If there is no such service, or a container does not take it.
    pub async fn put_files(
        &self,
        key: &str,
        service: &str,
        folder: &str,
        tar: Tar,
    ) -> Result<Copied, Problem> {
        is_in_a_container(folder)?;
        let (service, running) = self.running(key, service).await?;
        let (senders, tars): (Vec<_>, Vec<_>) = running.iter().map(|_| channel()).unzip();
        let puts = running
            .iter()
            .zip(tars)
            .map(|(container, tar)| self.console.put_files(container, folder, tar));
        let ((), put) = join(share(tar, senders), join_all(puts)).await;
        self.reached(running, put, |error| refused(&service, &error))
            .await
    }

    /// Removes files and folders from every container of a service that runs.
    ///
    /// # Errors
    /// If there is no such service, or a container does not let go of them.
    pub async fn remove_files(
        &self,
        key: &str,
        service: &str,
        paths: &[String],
    ) -> Result<Copied, Problem> {
        for path in paths {
            is_in_a_container(path)?;
        }
        let (service, running) = self.running(key, service).await?;
        let removals = running
            .iter()
            .map(|container| self.console.remove_files(container, paths));
        let removed = join_all(removals).await;
        self.reached(running, removed, |error| match error {
            EngineError::CannotRun { .. } => Problem::new(
                "cannot_remove",
                format!("the image of service `{service}` has no `rm`: what was deleted here is still there"),
            )
            .hinted("give the image one, or watch with `rebuild`: a new container is without them"),
            error => refused(&service, &error),
        })
        .await
    }

    /// The containers that were reached. One that ended or was replaced meanwhile was not,
    /// and that is no failure.
    async fn reached(
        &self,
        containers: Vec<ContainerId>,
        results: Vec<Result<(), EngineError>>,
        told: impl Fn(EngineError) -> Problem,
    ) -> Result<Copied, Problem> {
        let mut reached = Copied::default();
        for (container, result) in containers.into_iter().zip(results) {
            let Err(error) = result else {
                reached.containers.push(container.to_string());
                continue;
            };
            let look = self.engine.observe().await;
            let observed = look.map_err(|error| Problem::from(&error))?;
            let mut there = observed.containers.iter();
            if there.any(|one| one.id == container && one.is_running()) {
                return Err(told(error));
            }
        }
        Ok(reached)
    }

    /// The containers of a service that run now.
    async fn running(
        &self,
        key: &str,
        service: &str,
    ) -> Result<(ServiceName, Vec<ContainerId>), Problem> {
        let desired = self.desired_of(key).ok_or_else(|| not_up(key))?;
        let Some((name, _)) = desired.services.get_key_value(service) else {
            return Err(Problem::new(
                "not_found",
                format!("there is no service `{service}` in `{key}`"),
            ));
        };
        let observed = self
            .engine
            .observe()
            .await
            .map_err(|error| Problem::from(&error))?;
        let running = observed
            .owned_by(key)
            .filter(|(container, owner)| {
                // Labels can be copied: with another folder it is another checkout's.
                container.is_running()
                    && owner.kind == Kind::Service
                    && owner.name.as_deref() == Some(service)
                    && owner.folder.as_ref() == Some(&desired.identity.folder)
            })
            .map(|(container, _)| container.id.clone())
            .collect();
        Ok((name.clone(), running))
    }
}

fn refused(service: &ServiceName, error: &EngineError) -> Problem {
    let problem = Problem::from(error);
    Problem {
        message: format!(
            "service `{service}` does not take the files: {}",
            problem.message
        ),
        ..problem
    }
}

type Chunk = Result<Bytes, std::io::Error>;

fn channel() -> (mpsc::Sender<Chunk>, Tar) {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    let tar = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    (sender, tar.boxed())
}

/// Gives each of them all of it. One that takes no more has failed, and says why itself.
async fn share(mut tar: Tar, mut takers: Vec<mpsc::Sender<Chunk>>) {
    while let Some(chunk) = tar.next().await {
        let given = join_all(takers.iter().map(|taker| {
            taker.send(match &chunk {
                Ok(bytes) => Ok(bytes.clone()),
                Err(error) => Err(std::io::Error::new(error.kind(), error.to_string())),
            })
        }))
        .await;
        let mut given = given.into_iter();
        takers.retain(|_| given.next().is_some_and(|given| given.is_ok()));
        if takers.is_empty() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        plan::test_workspace::{service, shop},
        reconcile::controller::tests::Bench,
        workspace::ContainerState,
    };

    fn tar(chunks: &[&'static str]) -> Tar {
        let chunks: Vec<_> = chunks
            .iter()
            .map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())))
            .collect();
        stream::iter(chunks).boxed()
    }

    async fn bench() -> Bench {
        let bench = Bench::empty();
        let web = service("node:20").replicas(3);
        bench
            .apply(&shop().with("web", web).with("db", service("db:1")))
            .await;
        bench
    }

    async fn put(bench: &Bench, tar: Tar) -> Result<Copied, Problem> {
        bench.controller.put_files("shop", "web", "/app", tar).await
    }

    #[tokio::test]
    async fn every_replica_that_runs_gets_all_of_it_and_nobody_else() {
        let bench = bench().await;
        bench.engine.edit(|world| {
            let third = world
                .containers
                .iter_mut()
                .find(|one| one.name.as_str() == "shop-web-3");
            third.unwrap().state = ContainerState::Created;
        });
        let many: Vec<_> = std::iter::repeat_n("0123456789", 100).collect();
        let copied = put(&bench, tar(&many)).await.unwrap();
        let expected: Vec<_> = ["shop-web-1", "shop-web-2"]
            .iter()
            .map(|name| (bench.container(name).id, "/app".to_owned(), many.concat()))
            .collect();
        assert_eq!(bench.engine.files(), expected);
        let ids: Vec<_> = expected.iter().map(|(id, ..)| id.to_string()).collect();
        assert_eq!(copied.containers, ids);
    }

    #[tokio::test]
    async fn what_is_no_path_in_a_container_never_reaches_the_engine() {
        let bench = bench().await;
        for path in ["", "app", "../etc", "/a\0b"] {
            let put = bench.controller.put_files("shop", "web", path, tar(&[]));
            assert_eq!(put.await.unwrap_err().code, "invalid_request", "{path:?}");
            let paths = [path.to_owned()];
            let removed = bench.controller.remove_files("shop", "web", &paths);
            assert_eq!(
                removed.await.unwrap_err().code,
                "invalid_request",
                "{path:?}"
            );
        }
        assert!(bench.engine.files().is_empty());
    }

    #[tokio::test]
    async fn a_tar_that_breaks_off_is_a_failure() {
        let bench = bench().await;
        let broken = stream::iter([
            Ok(Bytes::from_static(b"half")),
            Err(std::io::Error::other("gone")),
        ]);
        put(&bench, broken.boxed()).await.unwrap_err();
    }

    #[tokio::test]
    async fn a_container_that_goes_meanwhile_is_no_failure() {
        let bench = bench().await;
        let gone = bench.container("shop-web-2").id;
        let engine = Arc::clone(&bench.engine);
        let goes = stream::once(async move {
            engine.edit(|world| world.containers.retain(|one| one.id != gone));
            Ok(Bytes::from_static(b"x"))
        });
        let copied = put(&bench, goes.boxed()).await.unwrap();
        assert_eq!(copied.containers.len(), 2);
    }

    #[tokio::test]
    async fn another_checkouts_container_with_our_labels_gets_nothing() {
        let bench = bench().await;
        bench.engine.edit(|world| {
            for container in &mut world.containers {
                container.owner.as_mut().unwrap().folder = Some("/src/other".to_owned());
            }
        });
        let copied = put(&bench, tar(&["x"])).await.unwrap();
        assert_eq!(copied, Copied::default());
        assert!(bench.engine.files().is_empty());
    }
}
