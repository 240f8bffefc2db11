//! Names, each a type of its own, so that no two can be swapped.
//!
//! Workspaces, services, commands, routes and instances are one DNS label each
//! (RFC 1123): they become host names, container names and network aliases.

use std::{borrow::Borrow, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// It has no characters.
    #[error("a name cannot be empty")]
    Empty,
    /// It is longer than its kind of name may be.
    #[error("`{name}` is longer than {most} characters")]
    TooLong {
        /// The text.
        name: String,
        /// The longest length allowed.
        most: usize,
    },
    /// It is no DNS label.
    #[error(
        "`{name}` is not a DNS label: use a-z, 0-9 and `-`, starting and ending with a letter or digit"
    )]
    NotALabel {
        /// The text.
        name: String,
    },
    /// It has a character that its kind of name cannot have.
    #[error(
        "`{name}` has a character a name cannot have: use letters, digits, `_`, `.` and `-`, starting with a letter or digit"
    )]
    BadCharacter {
        /// The text.
        name: String,
    },
}

/// The longest DNS label, RFC 1035 section 2.3.4.
const LONGEST_LABEL: usize = 63;

/// Longer names make no engine happy; Docker itself sets no bound.
const LONGEST_WORD: usize = 128;

fn check_label(text: &str) -> Result<(), NameError> {
    let is_edge = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    match (bytes.first(), bytes.last()) {
        (None, _) | (_, None) => Err(NameError::Empty),
        _ if bytes.len() > LONGEST_LABEL => Err(NameError::TooLong {
            name: text.to_owned(),
            most: LONGEST_LABEL,
        }),
        (Some(first), Some(last))
            if is_edge(first)
                && is_edge(last)
                && bytes.iter().all(|byte| is_edge(byte) || *byte == b'-') =>
        {
            Ok(())
        }
        _ => Err(NameError::NotALabel {
            name: text.to_owned(),
        }),
    }
}

fn check_word(text: &str) -> Result<(), NameError> {
    let bytes = text.as_bytes();
    match bytes.first() {
        None => Err(NameError::Empty),
        Some(_) if bytes.len() > LONGEST_WORD => Err(NameError::TooLong {
            name: text.to_owned(),
            most: LONGEST_WORD,
        }),
        Some(first)
            if first.is_ascii_alphanumeric()
                && bytes
                    .iter()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(byte)) =>
        {
            Ok(())
        }
        Some(_) => Err(NameError::BadCharacter {
            name: text.to_owned(),
        }),
    }
}

/// Turns any text into the nearest DNS label, as for a folder's name.
///
/// Returns `None` where nothing usable is left.
pub fn label_from(text: &str) -> Option<String> {
    let mut label = String::new();
    for character in text.chars().flat_map(char::to_lowercase) {
        if character.is_ascii_alphanumeric() {
            label.push(character);
        } else if !label.is_empty() && !label.ends_with('-') {
            label.push('-');
        }
    }
    label.truncate(LONGEST_LABEL);
    let label = label.trim_end_matches('-');
    (!label.is_empty()).then(|| label.to_owned())
}

/// What the checks let through, for machines that write names.
const LABEL: &str = "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$";
const WORD: &str = "^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$";
const ANYTHING: &str = "^.";

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $check:path, $pattern:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(with = "String", extend("pattern" = $pattern))]
        pub struct $name(String);

        impl $name {
            /// Checks the text and makes it a name.
            ///
            /// # Errors
            /// If the text breaks the rule of this kind of name.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                $check(&text)?;
                Ok(Self(text))
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::new(text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

fn check_any(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        return Err(NameError::Empty);
    }
    Ok(())
}

name!(
    /// A workspace's name: one DNS label.
    WorkspaceName,
    check_label,
    LABEL
);
name!(
    /// The name of one of several checkouts of a workspace: one DNS label.
    InstanceName,
    check_label,
    LABEL
);
name!(
    /// A service's name: one DNS label.
    ServiceName,
    check_label,
    LABEL
);
name!(
    /// A command's name: one DNS label.
    CommandName,
    check_label,
    LABEL
);
name!(
    /// An outside route's name: one DNS label.
    RouteName,
    check_label,
    LABEL
);
name!(
    /// A named image's name, as in `[images.NAME]`.
    ImageName,
    check_word,
    WORD
);
name!(
    /// A named volume, as the engine knows it.
    VolumeName,
    check_word,
    WORD
);
name!(
    /// A network, as the engine knows it.
    NetworkName,
    check_word,
    WORD
);
name!(
    /// A secret's name: the file name under `/run/secrets`.
    SecretName,
    check_word,
    WORD
);
name!(
    /// A container's name, as the engine knows it, without the leading slash.
    ContainerName,
    check_word,
    WORD
);
name!(
    /// A container's id: 64 hex digits.
    ContainerId,
    check_any,
    ANYTHING
);
name!(
    /// An image reference: `postgres:16-alpine`, `host:5000/team/api@sha256:..`.
    ImageRef,
    check_any,
    ANYTHING
);

impl ContainerId {
    /// The first twelve digits, as people read and type them.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl ImageRef {
    /// The last path segment without tag or digest: `nginx` of `docker.io/library/nginx:alpine`.
    pub fn base_name(&self) -> &str {
        let name = self.0.split('@').next().unwrap_or(&self.0);
        let last = name.rsplit('/').next().unwrap_or(name);
        last.split(':').next().unwrap_or(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_label_has_lower_case_letters_digits_and_inner_hyphens() {
        for good in ["a", "web", "web-2", "0db", &"x".repeat(63)] {
            assert!(ServiceName::new(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "Web", "a_b", "a.b", "ä", &"x".repeat(64)] {
            assert!(ServiceName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_folder_name_becomes_the_nearest_label() {
        assert_eq!(label_from("My Shop_2").as_deref(), Some("my-shop-2"));
        assert_eq!(label_from("--"), None);
    }

    #[test]
    fn the_base_name_of_an_image_has_no_registry_tag_or_digest() {
        let image = |text: &str| ImageRef::new(text).unwrap().base_name().to_owned();
        assert_eq!(image("localhost:5000/team/api:1.2"), "api");
        assert_eq!(image("nginx@sha256:00"), "nginx");
        assert_eq!(image("ubuntu"), "ubuntu");
    }
}
