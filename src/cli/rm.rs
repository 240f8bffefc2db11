//! `cosmos rm`: removes containers that are in no config.

use std::process::ExitCode;

use super::{
    args::{Global, Rm as Args},
    ask, bootstrap,
    error::Failure,
    exec::found,
    orders::{self, Failures},
    ui::outln,
};
use crate::{
    api::{
        client::Client,
        wire::{ContainerStatus, Containers, Found},
    },
    config,
};

pub(super) async fn run(global: Global, args: Args) -> Result<ExitCode, Failure> {
    let client = bootstrap::existing(&global).await?;
    let Containers { adhoc, .. } = client.get("/containers").await?;
    let mut failures = Failures::default();
    for id in &args.ids {
        match remove(&global, &client, id, &adhoc, args.force).await {
            Ok(()) if global.quiet => {}
            Ok(()) => outln!("Container removed: {id}"),
            Err(failure) => failures.add(failure),
        }
    }
    failures.last()
}

async fn remove(
    global: &Global,
    client: &Client,
    id: &str,
    adhoc: &[ContainerStatus],
    force: bool,
) -> Result<(), Failure> {
    let found = match found(global, client, id).await {
        Ok(found) => found,
        Err(failure) => return Err(suggesting(failure, id, adhoc)),
    };
    let container = removable(&found, id, adhoc)?;
    if !force && !has_ended(container) {
        let is = format!("`{id}` is {}", container.state);
        ask::confirm(&format!("{is}. Stop and remove it?"), || {
            Failure::usage(is.as_str()).hinted(format!(
                "stop it first: `cosmos stop {id}`; `--force` does both"
            ))
        })?;
    }
    // By its whole id: what has this name by then may be another.
    orders::remove(client, &container.id).await
}

/// Whether nothing of it runs any more.
fn has_ended(container: &ContainerStatus) -> bool {
    matches!(container.state.as_str(), "exited" | "created" | "dead")
}

/// The container that is meant, if it is one that an order may remove: what a config
/// declares would come again.
fn removable<'a>(
    found: &'a Found,
    id: &str,
    adhoc: &[ContainerStatus],
) -> Result<&'a ContainerStatus, Failure> {
    if let Some(service) = &found.service {
        let is = match service == id {
            true => "is a service".to_owned(),
            false => format!("is of the service `{service}`"),
        };
        return Err(
            Failure::new(format!("`{id}` {is}, and would come again")).hinted(format!(
                "take it out of cosmos.toml, or hold it stopped: `cosmos stop {service}`"
            )),
        );
    }
    let container = found.containers.first();
    match container.filter(|container| adhoc.iter().any(|one| one.id == container.id)) {
        Some(container) => Ok(container),
        None => Err(Failure::new(format!("`{id}` belongs to a workspace"))
            .hinted("`cosmos up` removes there what is not declared any more")),
    }
}

/// The failure, with the ad-hoc container that may have been meant.
fn suggesting(failure: Failure, id: &str, adhoc: &[ContainerStatus]) -> Failure {
    let names = adhoc.iter().map(|container| container.name.as_str());
    match config::nearest(id, names) {
        Some(meant) if meant != id => failure.hinted(format!("did you mean `{meant}`?")),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::wire::Readiness;

    fn container(name: &str, state: &str) -> ContainerStatus {
        ContainerStatus {
            name: name.to_owned(),
            id: format!("id of {name}"),
            state: state.to_owned(),
            readiness: Readiness::Starting,
            seconds: None,
            exit_code: None,
            image: "a".to_owned(),
            addresses: Vec::new(),
            ports: Vec::new(),
            restarts: 0,
        }
    }

    fn found(service: Option<&str>, name: &str) -> Found {
        Found {
            service: service.map(str::to_owned),
            containers: vec![container(name, "exited")],
            host: None,
            path: None,
        }
    }

    fn said(result: Result<&ContainerStatus, Failure>) -> String {
        match result {
            Ok(container) => container.name.clone(),
            Err(failure) => anstream::adapter::strip_str(&failure.to_string()).to_string(),
        }
    }

    #[test]
    fn only_what_is_in_no_config_may_be_removed() {
        let adhoc = [container("nginx-k3f9", "exited")];
        let nginx = found(None, "nginx-k3f9");
        assert_eq!(said(removable(&nginx, "nginx", &adhoc)), "nginx-k3f9");
        let web = found(Some("web"), "shop-web-1");
        assert_eq!(
            said(removable(&web, "web", &adhoc)),
            "error: `web` is a service, and would come again\nhint: take it out of cosmos.toml, or hold it stopped: `cosmos stop web`\n"
        );
        assert!(said(removable(&web, "shop-web-1", &adhoc)).contains("is of the service `web`"));
        let migrate = found(None, "shop-migrate");
        assert!(said(removable(&migrate, "migrate", &adhoc)).contains("belongs to a workspace"));
    }

    #[test]
    fn what_is_frozen_has_not_ended() {
        for (state, ended) in [
            ("exited", true),
            ("created", true),
            ("dead", true),
            ("running", false),
            ("paused", false),
            ("removing", false),
        ] {
            assert_eq!(has_ended(&container("a", state)), ended, "{state}");
        }
    }
}
