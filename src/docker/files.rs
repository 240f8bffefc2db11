//! Files on their way into a container that is there already, and out of it.

use bollard::query_parameters::UploadToContainerOptionsBuilder;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use super::{
    client::{CHANGE, refused, within},
    engine::DockerEngine,
};
use crate::{reconcile::engine::EngineError, workspace::ContainerId};

/// Bytes of paths on one command line: far below what any kernel takes.
const MOST_WORDS: usize = 64 << 10;

impl DockerEngine {
    /// Unpacks a tar in a container, as it comes.
    pub(super) async fn unpack(
        &self,
        container: &ContainerId,
        folder: &str,
        tar: BoxStream<'static, Result<Bytes, std::io::Error>>,
    ) -> Result<(), EngineError> {
        let options = UploadToContainerOptionsBuilder::new().path(folder).build();
        let sent = self.client().docker().upload_to_container(
            container.as_str(),
            Some(options),
            bollard::body_try_stream(tar),
        );
        within("upload", CHANGE, async {
            sent.await.map_err(|error| self.client().error(&error))
        })
        .await
    }

    /// Removes files with the image's own `rm`, as root: whoever the program runs as
    /// may not own what was put there.
    pub(super) async fn remove_inside(
        &self,
        container: &ContainerId,
        paths: &[String],
    ) -> Result<(), EngineError> {
        for paths in portions(paths) {
            let mut command = vec!["rm".to_owned(), "-rf".to_owned(), "--".to_owned()];
            command.extend_from_slice(paths);
            let (code, output) = within("rm", CHANGE, async {
                self.run_inside(container.as_str(), &command, Some("0"))
                    .await
            })
            .await?;
            if code != 0 {
                let said: Vec<u8> = output
                    .iter()
                    .flat_map(|chunk| chunk.bytes().to_vec())
                    .collect();
                return Err(refused(0, String::from_utf8_lossy(&said).trim().to_owned()));
            }
        }
        Ok(())
    }
}

/// Paths in portions that fit on a command line.
fn portions(paths: &[String]) -> impl Iterator<Item = &[String]> {
    let mut rest = paths;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest
            .iter()
            .take_while(|path| {
                bytes += path.len() + 1;
                bytes <= MOST_WORDS
            })
            .count();
        // One that alone is too long is the kernel's to refuse.
        let (portion, after) = rest.split_at(fitting.max(1).min(rest.len()));
        rest = after;
        (!portion.is_empty()).then_some(portion)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_is_in_one_portion_and_none_is_too_long_for_a_command_line() {
        let paths: Vec<String> = (0..20_000).map(|number| format!("/app/{number}")).collect();
        let cut: Vec<_> = portions(&paths).collect();
        assert!(cut.len() > 1);
        assert_eq!(cut.concat(), paths);
        for portion in cut {
            let bytes: usize = portion.iter().map(|path| path.len() + 1).sum();
            assert!(bytes <= MOST_WORDS, "{bytes}");
        }
        let long = ["x".repeat(MOST_WORDS), "y".to_owned()];
        assert_eq!(portions(&long).count(), 2);
        assert_eq!(portions(&[]).count(), 0);
    }
}
