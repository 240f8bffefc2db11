//! Whose lines are shown, and where they are read.

use std::pin::Pin;

use futures_util::{
    StreamExt as _, TryStreamExt as _,
    stream::{self, BoxStream},
};

use super::{
    line::{Line, Lines},
    merge::Said,
};
use crate::{
    api::{
        client::{Client, ClientError, encoded},
        wire::{ContainerStatus, Found, ServiceStatus, Status},
    },
    cli::{bootstrap, error::Failure},
    reconcile::engine::{Console, LogChunk, LogOptions, LogTime},
};

/// What was named, or all of a workspace.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Every service of the workspace with this key.
    Workspace(String),
    /// One service of it.
    Service { workspace: String, name: String },
    /// One container, by id.
    Container(String),
}

/// A container whose lines are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) id: String,
    pub(super) container: String,
    pub(super) service: Option<String>,
    pub(super) is_running: bool,
    /// How often it was started again: another number is another run.
    pub(super) restarts: u32,
}

impl Source {
    fn of(container: &ContainerStatus, service: Option<&str>) -> Self {
        Self {
            id: container.id.clone(),
            container: own_name(&container.name).to_owned(),
            service: service.map(str::to_owned),
            is_running: container.state == "running",
            restarts: container.restarts,
        }
    }

    /// All of what a name was found to mean.
    pub(super) fn all_of(found: &Found) -> Vec<Self> {
        let service = found.service.as_deref();
        let containers = found.containers.iter();
        containers.map(|one| Self::of(one, service)).collect()
    }

    fn of_service(service: &ServiceStatus) -> impl Iterator<Item = Self> + '_ {
        let containers = service.containers.iter();
        containers.map(|one| Self::of(one, Some(&service.name)))
    }
}

/// The name of a container without what it has while another takes its place:
/// `shop-web-1` of `shop-web-1.77c0`.
fn own_name(name: &str) -> &str {
    let is_generation =
        |text: &str| text.len() >= 4 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match name.rsplit_once('.') {
        Some((own, generation)) if is_generation(generation) => own,
        _ => name,
    }
}

impl Wanted {
    /// Its containers, as everything is now.
    pub(super) fn sources(&self, workspaces: &[Status], adhoc: &[ContainerStatus]) -> Vec<Source> {
        let services = workspaces.iter().flat_map(|status| {
            let key = status.workspace.as_str();
            status.services.iter().map(move |service| (key, service))
        });
        match self {
            Self::Workspace(own) => services
                .filter(|(key, _)| key == own)
                .flat_map(|(_, service)| Source::of_service(service))
                .collect(),
            Self::Service { workspace, name } => services
                .filter(|(key, service)| key == workspace && service.name == *name)
                .flat_map(|(_, service)| Source::of_service(service))
                .collect(),
            Self::Container(id) => services
                .flat_map(|(_, service)| service.containers.iter())
                .chain(workspaces.iter().flat_map(of_commands))
                .chain(adhoc)
                .filter(|container| container.id == *id)
                .map(|container| Source::of(container, None))
                .collect(),
        }
    }
}

fn of_commands(status: &Status) -> impl Iterator<Item = &ContainerStatus> {
    let commands = status.commands.iter();
    commands.filter_map(|command| command.container.as_ref())
}

/// Which part of what a container wrote.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Part {
    pub(super) follow: bool,
    pub(super) tail: Option<u64>,
    pub(super) since: Option<LogTime>,
    pub(super) until: Option<LogTime>,
    pub(super) timestamps: bool,
}

/// Where what was written until now is read.
pub(super) enum Reader<'a> {
    /// At the engine itself: an engine tells each line by itself, and whoever stood between
    /// would have to handle each.
    Engine(Box<dyn Console>),
    /// At the proxy, where this process reaches no engine.
    Proxy(&'a Client),
}

impl<'a> Reader<'a> {
    /// The best that there is beside this client of the proxy.
    pub(super) async fn beside(client: &'a Client) -> Self {
        match bootstrap::engine().await {
            Ok(engine) => Self::Engine(Box::new(engine)),
            Err(_) => Self::Proxy(client),
        }
    }

    /// What a container wrote, as it came. The first of it has come.
    pub(super) async fn read(&self, id: &str, part: Part) -> Result<Written, Failure> {
        match self {
            Self::Engine(engine) => {
                let options = LogOptions {
                    follow: part.follow,
                    tail: part.tail,
                    since: part.since,
                    until: part.until,
                    timestamps: part.timestamps,
                };
                let mut chunks = engine.logs(id, options).peekable();
                Pin::new(&mut chunks).peek().await;
                Ok(chunks.map_err(Failure::from).boxed())
            }
            Self::Proxy(client) => {
                let chunks = open(client, id, part).await?;
                Ok(chunks.map_err(Failure::from).boxed())
            }
        }
    }
}

/// What a container wrote, in pieces.
pub(super) type Written = BoxStream<'static, Result<LogChunk, Failure>>;

/// What a container writes, as it comes, told by the proxy.
pub(super) async fn open(
    client: &Client,
    id: &str,
    part: Part,
) -> Result<BoxStream<'static, Result<LogChunk, ClientError>>, ClientError> {
    let mut path = format!(
        "/containers/{}/logs?follow={}&timestamps={}",
        encoded(id),
        part.follow,
        part.timestamps
    );
    let tail = part.tail.map(|lines| ("tail", lines.to_string()));
    let since = part.since.map(|time| ("since", time.to_string()));
    let until = part.until.map(|time| ("until", time.to_string()));
    for (key, value) in [tail, since, until].into_iter().flatten() {
        path.push_str(&format!("&{key}={value}"));
    }
    Ok(client.frames(&path).await?.boxed())
}

/// The lines of what a container wrote, to their end.
pub(super) fn lines(chunks: Written) -> Said {
    let begun = (chunks, Lines::default(), false);
    stream::unfold(begun, |(mut chunks, mut lines, is_over)| async move {
        if is_over {
            return None;
        }
        let mut told: Vec<Result<Line, Failure>> = Vec::new();
        let is_over = match chunks.next().await {
            Some(Ok(chunk)) => {
                lines.take(&chunk, |line| told.push(Ok(line)));
                false
            }
            Some(Err(error)) => {
                told.push(Err(error));
                true
            }
            None => {
                lines.end(|line| told.push(Ok(line)));
                true
            }
        };
        Some((stream::iter(told), (chunks, lines, is_over)))
    })
    .flatten()
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_that_is_replaced_keeps_its_name() {
        for (name, own) in [
            ("shop-web-1", "shop-web-1"),
            ("shop-web-1.77c0", "shop-web-1"),
            ("my.app", "my.app"),
            ("cosmos.dev", "cosmos.dev"),
        ] {
            assert_eq!(own_name(name), own);
        }
    }
}
