//! How people write an image's name, and which writings mean the same.

use std::collections::BTreeSet;

/// The registry that a name without one means.
const DEFAULT_REGISTRY: &str = "docker.io";

/// What engines and people also call it.
const OTHER_NAMES: [&str; 2] = ["index.docker.io", "registry-1.docker.io"];

/// An image reference in parts, with everything said that people leave out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The registry's host: `docker.io`.
    pub registry: String,
    /// The repository in it: `library/nginx`.
    pub repository: String,
    /// The tag, unless only a digest was given.
    pub tag: Option<String>,
    /// The digest, if one was given.
    pub digest: Option<String>,
}

impl Reference {
    /// Reads a reference as Docker does. Total: what is no reference is asked
    /// of the engine as it stands, which says so best.
    pub fn parse(text: &str) -> Self {
        let (name, digest) = match text.split_once('@') {
            Some((name, digest)) => (name, Some(digest.to_owned())),
            None => (text, None),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash belongs to the registry's port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag.to_owned())),
            _ => (name, None),
        };
        let (registry, path) = match name.split_once('/') {
            Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
            _ => (DEFAULT_REGISTRY, name),
        };
        let registry = if OTHER_NAMES.contains(&registry) {
            DEFAULT_REGISTRY
        } else {
            registry
        };
        let repository = if registry == DEFAULT_REGISTRY && !path.contains('/') {
            format!("library/{path}")
        } else {
            path.to_owned()
        };
        let tag = match (&tag, &digest) {
            (None, None) => Some("latest".to_owned()),
            _ => tag,
        };
        Self {
            registry: registry.to_owned(),
            repository,
            tag,
            digest,
        }
    }

    /// What the engine's pull wants as `fromImage` and `tag`.
    pub fn pull_parameters(&self) -> (String, String) {
        let version = self.digest.clone().or_else(|| self.tag.clone());
        (
            format!("{}/{}", self.registry, self.repository),
            version.unwrap_or_else(|| "latest".to_owned()),
        )
    }
}

/// The one full writing of a reference: `docker.io/library/nginx:latest`.
pub fn normalise(text: &str) -> String {
    let reference = Reference::parse(text);
    let mut full = format!("{}/{}", reference.registry, reference.repository);
    if let Some(tag) = reference.tag {
        full.push(':');
        full.push_str(&tag);
    }
    if let Some(digest) = reference.digest {
        full.push('@');
        full.push_str(&digest);
    }
    full
}

/// Every way in which people write the reference that an engine lists, so that
/// a lookup by what was written finds it.
pub fn spellings(listed: &str) -> BTreeSet<String> {
    let reference = Reference::parse(listed);
    let mut names = vec![format!("{}/{}", reference.registry, reference.repository)];
    if reference.registry == DEFAULT_REGISTRY {
        names.push(reference.repository.clone());
        if let Some(short) = reference.repository.strip_prefix("library/") {
            names.push(short.to_owned());
            names.push(format!("{DEFAULT_REGISTRY}/{short}"));
        }
    }
    // Podman gives this host to what was built locally.
    if reference.registry == "localhost" {
        names.push(reference.repository.clone());
    }
    let mut spellings = BTreeSet::from([listed.to_owned()]);
    for name in names {
        match (&reference.tag, &reference.digest) {
            (Some(tag), None) => {
                spellings.insert(format!("{name}:{tag}"));
                if tag == "latest" {
                    spellings.insert(name);
                }
            }
            (Some(tag), Some(digest)) => {
                spellings.insert(format!("{name}:{tag}@{digest}"));
            }
            (None, Some(digest)) => {
                spellings.insert(format!("{name}@{digest}"));
            }
            (None, None) => {}
        }
    }
    spellings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_writing_of_one_image_has_one_full_form() {
        for text in [
            "nginx",
            "nginx:latest",
            "library/nginx",
            "docker.io/nginx",
            "docker.io/library/nginx:latest",
            "index.docker.io/library/nginx",
        ] {
            assert_eq!(normalise(text), "docker.io/library/nginx:latest", "{text}");
        }
        assert_eq!(normalise("localhost:5000/a"), "localhost:5000/a:latest");
        assert_eq!(normalise("a.io/b/c:1@sha256:0"), "a.io/b/c:1@sha256:0");
        assert_eq!(normalise("me/app@sha256:0"), "docker.io/me/app@sha256:0");
    }

    #[test]
    fn a_listed_image_is_found_by_each_of_its_writings() {
        let written = |listed: &str, text: &str| spellings(listed).contains(text);
        for text in ["nginx", "nginx:latest", "docker.io/nginx", "library/nginx"] {
            assert!(written("nginx:latest", text), "{text}");
            assert!(written("docker.io/library/nginx:latest", text), "{text}");
        }
        assert!(written("nginx:alpine", "docker.io/library/nginx:alpine"));
        assert!(!written("nginx:alpine", "nginx"));
        assert!(written("localhost/api:1", "api:1"));
        assert!(written(
            "nginx@sha256:0",
            "docker.io/library/nginx@sha256:0"
        ));
    }
}
