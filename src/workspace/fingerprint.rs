//! Hashes that say whether two desired things are the same.
//!
//! What is hashed is a *versioned canonical form*: the JSON of the value with
//! its keys sorted, behind a version. A field added later with its default must
//! not change the form, or an upgrade of Cosmos would recreate every container.
//! [`canonical`] therefore leaves out what is empty, null or false.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::{
    container::{Container, Image},
    desired::{Command, CommandKind, HealthProbe, Service},
};

/// Raised only when the canonical form itself changes its meaning.
const VERSION: &str = "1";

/// Fields of a container that no container is replaced for: the first two are
/// compared with the live one and changed in place, the others act from outside.
const OUTSIDE: [&str; 4] = ["resources", "networks", "hooks", "stop_grace"];

/// The hash of one incarnation's desired settings, as in the label `dev.cosmos.spec`.
#[derive(
    Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(transparent)]
pub struct Fingerprint(String);

impl Fingerprint {
    /// A fingerprint read back from a label.
    pub fn from_label(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// The text of the label.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Of everything that a running container got from its declaration.
    ///
    /// What is changed in place is left out, and so are policies that act from
    /// outside the container. Of a file with a `reload` only its place is left.
    pub fn of_container(container: &Container) -> Self {
        Self::of_form(container, |form| {
            if let Some(Value::Array(files)) = form.get_mut("files") {
                files.iter_mut().for_each(leave_its_place);
            }
        })
    }

    fn of_form(container: &Container, change: impl FnOnce(&mut Map<String, Value>)) -> Self {
        let mut form = canonical_value(container);
        if let Value::Object(fields) = &mut form {
            for outside in OUTSIDE {
                fields.remove(outside);
            }
            // Only which image, not how or when it was fetched or built.
            fields.insert(
                "image".to_owned(),
                Value::String(container.image.reference().to_string()),
            );
            change(fields);
        }
        Self(hash(&form))
    }

    /// Of a service's container: what it is made from, and the check that the
    /// engine makes in it. Probes made from outside can change without it.
    pub fn of_service(service: &Service) -> Self {
        Self::with_health(Self::of_container(&service.container), service)
    }

    /// The same, with the content of every file in it: as it was before any could
    /// be changed in place, and as it is of a service without a `reload`.
    pub fn of_service_with_files(service: &Service) -> Self {
        Self::with_health(Self::of_form(&service.container, |_| {}), service)
    }

    fn with_health(container: Self, service: &Service) -> Self {
        match &service.health {
            Some(health) if matches!(health.probe, HealthProbe::Command { .. }) => Self(hash(
                &serde_json::json!({ "container": container, "health": canonical_value(health) }),
            )),
            _ => container,
        }
    }

    /// Of one run of a command: it runs again only when this changes.
    ///
    /// `image` is the id the reference stands for now, so that a moved tag
    /// counts as a change.
    pub fn of_run(command: &Command, image: Option<&str>) -> Self {
        let what = match &command.kind {
            CommandKind::Container(container) => {
                let mut form = canonical_value(container);
                if let Value::Object(fields) = &mut form {
                    // How it is limited, stopped and fetched does not change what it does.
                    for outside in OUTSIDE {
                        fields.remove(outside);
                    }
                    fields.remove("image");
                    // A built image's tag changes with its context, its id only with its content.
                    if let Image::Pulled { reference, .. } = &container.image {
                        fields.insert("image".to_owned(), Value::String(reference.to_string()));
                    }
                }
                form
            }
            CommandKind::Exec { service, run } => {
                serde_json::json!({ "service": service, "run": run })
            }
        };
        Self(hash(
            &serde_json::json!({ "what": what, "image": image, "inputs": command.inputs }),
        ))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The canonical form of a value: keys sorted, and nothing that is empty.
pub fn canonical(value: &impl Serialize) -> String {
    canonical_value(value).to_string()
}

/// A digest of any value's canonical form, 64 hex digits.
pub fn digest(value: &impl Serialize) -> String {
    hash(&canonical_value(value))
}

/// Eight hex digits that stand for a text.
pub fn short_hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))[..8].to_owned()
}

/// Lower-case hex of bytes.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |number: u8| char::from(DIGITS[usize::from(number & 0xf)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(*byte)])
        .collect()
}

fn hash(form: &Value) -> String {
    let mut hasher = Sha256::new();
    hasher.update(VERSION);
    hasher.update(form.to_string());
    hex(&hasher.finalize())
}

fn canonical_value(value: &impl Serialize) -> Value {
    // Our types have string keys only, which is all that can fail here.
    let mut value = serde_json::to_value(value).unwrap_or(Value::Null);
    take_out_empty(&mut value);
    value
}

/// Takes out of a file's form what can be changed in its container, and how its
/// process comes to know of that.
fn leave_its_place(file: &mut Value) {
    if let Value::Object(fields) = file
        && fields.contains_key("reload")
    {
        let target = fields.remove("target");
        *file = serde_json::json!({ "reload": true, "target": target });
    }
}

/// Sorts the keys and takes out what is empty; a value that is nothing is null then.
fn take_out_empty(value: &mut Value) {
    match value {
        Value::Bool(false) => *value = Value::Null,
        // An explicit empty list can mean something (an entrypoint cleared), so
        // lists stay where they are optional; serde gives `null` for "not set".
        Value::Array(items) => items.iter_mut().for_each(take_out_empty),
        Value::Object(fields) => {
            fields.values_mut().for_each(take_out_empty);
            fields.retain(|key, value| match value {
                Value::Null => false,
                Value::Array(items) => !(items.is_empty() && is_plain_list(key)),
                _ => true,
            });
            if fields.is_empty() {
                *value = Value::Null;
            } else {
                fields.sort_keys();
            }
        }
        _ => {}
    }
}

/// Lists whose emptiness means no more than their absence.
fn is_plain_list(key: &str) -> bool {
    !matches!(key, "entrypoint" | "command")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::{ImageRef, PullPolicy, SecretFile, SecretName};

    fn container() -> Container {
        Container::of(Image::Pulled {
            reference: ImageRef::new("nginx:alpine").unwrap(),
            policy: PullPolicy::Missing,
        })
    }

    #[test]
    fn the_fingerprint_of_a_plain_container_is_the_same_for_ever() {
        // A literal on purpose: if this changes, an upgrade recreates every container.
        assert_eq!(
            canonical(&container()),
            r#"{"image":{"pulled":{"policy":"missing","reference":"nginx:alpine"}},"stop_grace":10000}"#
        );
        assert_eq!(
            Fingerprint::of_container(&container()).as_str(),
            hash(&serde_json::json!({"image": "nginx:alpine"}))
        );
    }

    #[test]
    fn limits_are_not_part_of_the_fingerprint() {
        let mut limited = container();
        limited.resources.pids = Some(5);
        assert_eq!(
            Fingerprint::of_container(&limited),
            Fingerprint::of_container(&container())
        );
    }

    fn with_file(content: &[u8], reload: Option<&str>) -> Container {
        let mut container = container();
        container.files.push(crate::workspace::File {
            target: "/etc/app.conf".to_owned(),
            content: content.to_vec(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            reload: reload.map(|text| text.to_owned().into()),
        });
        container
    }

    #[test]
    fn the_content_of_a_file_is_part_of_the_fingerprint() {
        let with = |content| Fingerprint::of_container(&with_file(content, None));
        assert_ne!(with(b"a"), with(b"b"));
    }

    #[test]
    fn of_a_file_with_a_reload_only_its_place_is_part_of_the_fingerprint() {
        let with = |content, how| Fingerprint::of_container(&with_file(content, Some(how)));
        assert_eq!(with(b"a", "SIGHUP"), with(b"b", "restart"));
        let mut elsewhere = with_file(b"a", Some("SIGHUP"));
        elsewhere.files[0].target = "/etc/other.conf".to_owned();
        assert_ne!(with(b"a", "SIGHUP"), Fingerprint::of_container(&elsewhere));
    }

    #[test]
    fn the_fingerprint_of_a_container_with_a_file_is_the_same_for_ever() {
        // A literal on purpose: if this changes, an upgrade recreates such containers.
        assert_eq!(
            Fingerprint::of_container(&with_file(b"a", None)),
            Fingerprint(hash(&serde_json::json!({
                "files": [{ "content": "YQ==", "mode": 420, "target": "/etc/app.conf" }],
                "image": "nginx:alpine",
            })))
        );
        assert_eq!(
            Fingerprint::of_container(&with_file(b"a", Some("SIGHUP"))),
            Fingerprint(hash(&serde_json::json!({
                "files": [{ "reload": true, "target": "/etc/app.conf" }],
                "image": "nginx:alpine",
            })))
        );
    }

    #[test]
    fn a_plain_secret_is_its_hash_alone_as_it_was_before_there_were_others() {
        let with = |file: SecretFile| {
            let mut container = container();
            container
                .secrets
                .insert(SecretName::new("key").unwrap(), file);
            serde_json::to_value(&container).unwrap()["secrets"].clone()
        };
        let plain = with(SecretFile::plain("cafe"));
        assert_eq!(plain, serde_json::json!({ "key": "cafe" }));
        let mut other = SecretFile::plain("cafe");
        other.uid = 1000;
        let full = with(other.clone());
        assert_ne!(full, plain);
        assert_eq!(
            serde_json::from_value::<SecretFile>(full["key"].clone()).unwrap(),
            other
        );
    }

    #[test]
    fn an_empty_entrypoint_differs_from_none() {
        let mut cleared = container();
        cleared.entrypoint = Some(Vec::new());
        assert_ne!(
            Fingerprint::of_container(&cleared),
            Fingerprint::of_container(&container())
        );
    }
}
