//! Files put into a container that is there, and its process told to read them.

use hyper::Method;

use super::{
    client::{CHANGE, within},
    engine::DockerEngine,
    perform::{Packed, container_path, tar_by_folder},
};
use crate::{
    plan::Reread,
    reconcile::engine::EngineError,
    workspace::{ContainerId, File},
};

impl DockerEngine {
    /// Writes the files, then has the process read them.
    ///
    /// The engine puts a file in the place of the old one, and not at once: for a
    /// moment there is none. A process that reads it only when it is told to does
    /// not see that.
    pub(super) async fn reload(
        &self,
        id: &ContainerId,
        files: &[File],
        then: &Reread,
    ) -> Result<(), EngineError> {
        let files: Vec<Packed> = files.iter().map(Packed::from).collect();
        // By the folder each is in, which is there since the container was made: the
        // root of a read-only one cannot be written, the volume over a folder can.
        for (folder, archive) in tar_by_folder(&files, |_| true)? {
            match self.upload(id.as_str(), &folder, archive).await {
                // Somebody took the folder away: the engine makes it, below the root.
                Err(EngineError::NotFound { .. }) => self.upload_below_root(id, &files).await?,
                other => other?,
            }
        }
        match then {
            Reread::AtStart => {}
            Reread::Signals(signals) => {
                for signal in signals {
                    self.signal(id, signal).await?;
                }
            }
            Reread::Restart { grace, hooks } => {
                self.before_stop(id.as_str(), hooks, *grace).await;
                self.restart(id.as_str(), *grace).await?;
                self.after_start(id.as_str(), hooks).await?;
            }
        }
        Ok(())
    }

    async fn upload_below_root(
        &self,
        id: &ContainerId,
        files: &[Packed],
    ) -> Result<(), EngineError> {
        for (root, archive) in tar_by_folder(files, |_| false)? {
            self.upload(id.as_str(), &root, archive).await?;
        }
        Ok(())
    }

    /// Sends a signal to a container's first process. One that has ended meanwhile
    /// reads its files when it is started again.
    async fn signal(&self, id: &ContainerId, signal: &str) -> Result<(), EngineError> {
        let path = container_path(id.as_str())
            .then("/kill")
            .query("signal", signal);
        match within("signal", CHANGE, self.client().call(Method::POST, &path)).await {
            Err(EngineError::Conflict { .. }) => Ok(()),
            other => other,
        }
    }
}
