//! Logins at registries: those of `docker login`, from Docker's config and its helpers.
//!
//! The one place that reads them. They go to the proxy when something is about to
//! be pulled, and it keeps them in memory only. A login that cannot be read is
//! told, and does without: most images need none, and the registry says so if one does.

use std::{
    collections::{BTreeMap, BTreeSet},
    env,
    path::PathBuf,
};

use docker_credential::{CredentialRetrievalError, DockerCredential};

use super::{error::Failure, ui::sayln};
use crate::api::{
    client::Client,
    wire::{Credentials, TOKEN_USER},
};

/// What Docker's hub is called in configs and by helpers, most likely first.
const HUB: [&str; 3] = [
    "https://index.docker.io/v1/",
    "index.docker.io",
    "docker.io",
];

/// Whether there may be a login at all: asking helpers for one takes its time.
pub(super) fn may_be_any() -> bool {
    config().is_some_and(|config| config.is_file())
}

/// Docker's config, in which logins are.
pub(super) fn config() -> Option<PathBuf> {
    let folder = match env::var_os("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(env::var_os("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

/// Tells the proxy the logins at the registries of these images.
pub(super) async fn log_in(client: &Client, images: &[String]) -> Result<(), Failure> {
    let logins = of_images(images.to_vec()).await;
    if !logins.is_empty() {
        let _: serde_json::Value = client.post("/logins", &logins).await?;
    }
    Ok(())
}

/// The logins at the registries of these images, by host.
pub(super) async fn of_images(images: Vec<String>) -> BTreeMap<String, Credentials> {
    // Reading waits for helpers, which may ask a person.
    let read = tokio::task::spawn_blocking(move || read(&images));
    read.await.unwrap_or_default()
}

fn read(images: &[String]) -> BTreeMap<String, Credentials> {
    if !may_be_any() {
        return BTreeMap::new();
    }
    let registries: BTreeSet<&str> = images.iter().map(|image| registry(image)).collect();
    let mut logins = BTreeMap::new();
    for registry in registries {
        match login(registry) {
            Ok(Some(login)) => {
                logins.insert(registry.to_owned(), login);
            }
            Ok(None) => {}
            Err(why) => sayln!("warning: no login for {registry}: {why}"),
        }
    }
    logins
}

/// The login for one registry, if there is one.
fn login(registry: &str) -> Result<Option<Credentials>, &'static str> {
    let names: &[&str] = if registry == "docker.io" {
        &HUB
    } else {
        &[registry]
    };
    for name in names {
        match docker_credential::get_credential(name) {
            Ok(DockerCredential::UsernamePassword(username, password)) => {
                return Ok(Some(Credentials { username, password }));
            }
            Ok(DockerCredential::IdentityToken(token)) => {
                return Ok(Some(Credentials {
                    username: TOKEN_USER.to_owned(),
                    password: token,
                }));
            }
            Err(error) => {
                if let Some(why) = trouble(&error) {
                    return Err(why);
                }
            }
        }
    }
    Ok(None)
}

/// Why a login could not be read; none if there simply is none. Nothing of what a
/// helper said is repeated: it may be the secret itself.
fn trouble(error: &CredentialRetrievalError) -> Option<&'static str> {
    match error {
        CredentialRetrievalError::NoCredentialConfigured
        | CredentialRetrievalError::ConfigNotFound => None,
        CredentialRetrievalError::HelperFailure { stdout, stderr, .. }
            if [stdout, stderr]
                .iter()
                .any(|said| said.contains("credentials not found")) =>
        {
            None
        }
        CredentialRetrievalError::HelperFailure { .. } => Some("its credential helper failed"),
        CredentialRetrievalError::HelperCommunicationError => {
            Some("its credential helper cannot be run")
        }
        CredentialRetrievalError::MalformedHelperResponse => {
            Some("what its credential helper says makes no sense")
        }
        CredentialRetrievalError::ConfigReadError => Some("Docker's config cannot be read"),
        CredentialRetrievalError::CredentialDecodingError
        | CredentialRetrievalError::CredentialMismatchError => {
            Some("the one in Docker's config makes no sense: log in again")
        }
    }
}

/// The registry of an image, as people write it.
fn registry(image: &str) -> &str {
    match image.split_once('/') {
        Some((host, _)) if HUB.contains(&host) => "docker.io",
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_registry_is_what_stands_before_the_name_if_it_can_be_a_host() {
        for (image, host) in [
            ("nginx", "docker.io"),
            ("me/app:1", "docker.io"),
            ("docker.io/library/nginx", "docker.io"),
            ("index.docker.io/library/nginx", "docker.io"),
            ("ghcr.io/me/app", "ghcr.io"),
            ("localhost/app", "localhost"),
            ("registry:5000/app", "registry:5000"),
        ] {
            assert_eq!(registry(image), host, "{image}");
        }
    }

    #[test]
    fn what_a_helper_says_is_not_repeated() {
        let failed = |said: &str| CredentialRetrievalError::HelperFailure {
            helper: "docker-credential-x".to_owned(),
            stdout: said.to_owned(),
            stderr: String::new(),
        };
        let why = trouble(&failed("password: 1234")).unwrap();
        assert!(!why.contains("1234"));
        let none = "credentials not found in native keychain\n";
        assert_eq!(trouble(&failed(none)), None);
    }
}
