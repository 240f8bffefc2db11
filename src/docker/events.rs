//! The engine's events, as hints that something may have changed.

use std::collections::HashMap;

use bytes::{Buf as _, BytesMut};
use futures_util::{
    StreamExt as _,
    stream::{self, BoxStream},
};
use serde::Deserialize;

use super::{
    client::{Client, Path},
    labels,
    opened::Opened,
};
use crate::{
    reconcile::engine::Change,
    workspace::{ContainerId, ContainerName, Installation, NetworkName},
};

/// Longer than any event; what has no line's end by then is no event stream.
const LONGEST_LINE: usize = 1 << 20;

#[derive(Deserialize)]
struct Message {
    #[serde(rename = "Type", default)]
    kind: String,
    #[serde(rename = "Action", default)]
    action: String,
    #[serde(rename = "Actor")]
    actor: Actor,
}

#[derive(Deserialize)]
struct Actor {
    #[serde(rename = "ID", default)]
    id: String,
    #[serde(rename = "Attributes", default)]
    attributes: HashMap<String, String>,
}

impl Message {
    /// What it hints at; `None` if at nothing that anybody here acts on.
    fn change(self, installation: &Installation) -> Option<Change> {
        // `health_status: healthy` and `exec_start: sh -c ..` carry more behind a colon.
        let verb = self.action.split(':').next().unwrap_or_default();
        match (self.kind.as_str(), verb) {
            (
                "container",
                "create" | "start" | "die" | "died" | "oom" | "stop" | "pause" | "unpause"
                | "rename" | "update" | "destroy" | "remove" | "health_status",
            ) => Some(Change::Container {
                // An engine tells a container's labels with its events.
                is_ours: labels::is_ours(&self.actor.attributes, installation),
                id: ContainerId::new(self.actor.id).ok()?,
                name: self
                    .actor
                    .attributes
                    .get("name")
                    .and_then(|name| ContainerName::new(name.clone()).ok()),
                // Podman's words in Docker's spelling.
                what: match verb {
                    "died" => "die".to_owned(),
                    "remove" => "destroy".to_owned(),
                    _ => self.action,
                },
            }),
            ("network", "create" | "connect" | "disconnect" | "destroy" | "remove") => {
                let name = self.actor.attributes.get("name");
                let name = name.and_then(|name| NetworkName::new(name.clone()).ok());
                // Without a name it may have been any.
                Some(name.map_or(Change::Other, |name| Change::Network { name }))
            }
            ("volume", "create" | "destroy" | "remove")
            | ("image", "pull" | "tag" | "untag" | "delete" | "remove" | "load" | "import") => {
                Some(Change::Other)
            }
            _ => None,
        }
    }
}

/// Follows the engine's events until it goes away.
pub(super) fn changes(client: Client, installation: Installation) -> BoxStream<'static, Change> {
    let filters = r#"{"type":["container","network","volume","image"]}"#;
    stream::once(async move {
        let path = Path::new("/events").query("filters", filters);
        client.open(&path).await.ok()
    })
    .filter_map(std::future::ready)
    // The engine answers once it listens: nothing from here on is missed.
    .flat_map(move |body| {
        stream::once(async { Change::Connected }).chain(messages(body, installation.clone()))
    })
    .boxed()
}

fn messages(
    body: Opened,
    installation: Installation,
) -> impl futures_util::Stream<Item = Change> + Send {
    let state = (body, BytesMut::new(), installation);
    stream::unfold(state, |(mut body, mut buffer, installation)| async move {
        loop {
            while let Some(end) = buffer.iter().position(|byte| *byte == b'\n') {
                let line = buffer.split_to(end);
                buffer.advance(1);
                // One that cannot be read may have been anything.
                let change = match serde_json::from_slice::<Message>(&line) {
                    Ok(message) => message.change(&installation),
                    Err(_) if line.trim_ascii().is_empty() => None,
                    Err(_) => Some(Change::Other),
                };
                if let Some(change) = change {
                    return Some((change, (body, buffer, installation)));
                }
            }
            buffer.extend_from_slice(&body.next().await?.ok()?);
            if buffer.len() > LONGEST_LINE {
                return None;
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(kind: &str, action: &str) -> Option<Change> {
        serde_json::from_value::<Message>(serde_json::json!({
            "Type": kind, "Action": action, "scope": "local", "time": 7,
            "Actor": {"ID": "ff", "Attributes": {
                "name": "web", "exitCode": "0",
                "dev.cosmos.managed": "true", "dev.cosmos.installation": "cosmos",
            }},
        }))
        .unwrap()
        .change(&Installation::default())
    }

    #[test]
    fn podmans_words_are_told_in_dockers() {
        let what = |action: &str| match change("container", action) {
            Some(Change::Container {
                what,
                name,
                is_ours,
                ..
            }) => {
                assert_eq!(name.unwrap().as_str(), "web");
                assert!(is_ours);
                what
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(what("die"), "die");
        assert_eq!(what("died"), "die");
        assert_eq!(what("remove"), "destroy");
        assert_eq!(what("health_status: healthy"), "health_status: healthy");
    }

    #[test]
    fn what_changes_nothing_is_no_hint() {
        for action in ["exec_start: sh -c true", "attach", "resize", "top"] {
            assert_eq!(change("container", action), None, "{action}");
        }
        assert_eq!(change("volume", "mount"), None);
        let name = "web".parse().unwrap();
        assert_eq!(
            change("network", "disconnect"),
            Some(Change::Network { name })
        );
        assert_eq!(change("image", "tag"), Some(Change::Other));
    }
}
