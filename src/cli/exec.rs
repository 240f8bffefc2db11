//! `cosmos exec`: a command in a running container.

use std::process::ExitCode;

use super::{
    args::{Exec, Global},
    attached::{attach_failed, is_interactive, join, with_values},
    bootstrap, context,
    error::Failure,
    orders::{is_unknown, suggesting},
    terminal::{self, DetachKeys, StdinKind},
};
use crate::{
    api::{
        client::{Client, ClientError, encoded},
        wire::{ContainerStatus, Found},
    },
    config::Loaded,
    docker::attach::ExecOptions,
};

pub(super) async fn run(global: Global, args: Exec) -> Result<ExitCode, Failure> {
    let (name, command) = args
        .words
        .split_first()
        .ok_or_else(|| Failure::usage("no container was named"))?;
    if command.is_empty() {
        return Err(Failure::usage("no command was given")
            .hinted(format!("for a shell: `cosmos exec {name} sh`")));
    }
    let client = bootstrap::existing(&global).await?;
    let container = running(&global, &client, name, args.replica).await?;
    let tty = !args.no_tty && is_interactive();
    let options = ExecOptions {
        command: command.to_vec(),
        tty,
        stdin: tty || terminal::stdin_kind() == StdinKind::Stream,
        user: args.user,
        workdir: args.workdir,
        env: with_values(&args.env),
    };
    let joined = join(&container, &options, &args.leaving.keys()).await?;
    joined.map_err(|error| attach_failed(error).of_child())
}

/// The id of the container that a name means, which must be running.
pub(super) async fn running(
    global: &Global,
    client: &Client,
    name: &str,
    replica: Option<u32>,
) -> Result<String, Failure> {
    let container = chosen(global, client, name, replica).await?;
    match container.state.as_str() {
        "running" => Ok(container.id),
        _ => Err(not_running(name)),
    }
}

fn not_running(name: &str) -> Failure {
    Failure::new(format!("`{name}` is not running"))
        .hinted(format!("start it: `cosmos start {name}`"))
}

/// What a name means here.
pub(super) async fn found(global: &Global, client: &Client, name: &str) -> Result<Found, Failure> {
    let here = context::workspace_here(global);
    ask(client, name, here.as_ref())
        .await
        .map_err(|error| suggesting(error, name, here.as_ref()))
}

async fn ask(client: &Client, name: &str, here: Option<&Loaded>) -> Result<Found, ClientError> {
    let query = here
        .map(|here| format!("?workspace={}", encoded(&here.workspace.identity.key())))
        .unwrap_or_default();
    client
        .get(&format!("/containers/{}{query}", encoded(name)))
        .await
}

/// The one container that a name means: `web` its first that runs, `web.2` its second
/// replica, as with `--replica 2`; a container's own name or id that one.
pub(super) async fn chosen(
    global: &Global,
    client: &Client,
    name: &str,
    replica: Option<u32>,
) -> Result<ContainerStatus, Failure> {
    let here = context::workspace_here(global);
    match ask(client, name, here.as_ref()).await {
        Ok(found) => choose(&found, name, replica),
        Err(error) => match of_replica(name).filter(|_| is_unknown(&error)) {
            Some((service, number)) if replica.is_none() => {
                let found = ask(client, service, here.as_ref())
                    .await
                    .map_err(|error| suggesting(error, service, here.as_ref()))?;
                choose(&found, service, Some(number))
            }
            _ => Err(suggesting(error, name, here.as_ref())),
        },
    }
}

/// `web.2`: a service, and which replica.
fn of_replica(name: &str) -> Option<(&str, u32)> {
    let (service, number) = name.rsplit_once('.')?;
    Some((service, number.parse().ok()?))
}

fn choose(found: &Found, name: &str, replica: Option<u32>) -> Result<ContainerStatus, Failure> {
    let Some(service) = &found.service else {
        return match (replica, found.containers.first()) {
            (None, Some(container)) => Ok(container.clone()),
            (None, None) => Err(not_running(name)),
            (Some(_), _) => Err(Failure::usage(format!(
                "`{name}` is no service: there is one of it"
            ))
            .hinted("leave the number of the replica away")),
        };
    };
    // The name of a container ends with its service's and its own number.
    let number = |container: &ContainerStatus| {
        let (_, number) = container.name.rsplit_once(&format!("-{service}-"))?;
        number.parse::<u32>().ok()
    };
    let mut containers = found.containers.iter();
    let chosen = match replica {
        Some(replica) => containers.find(|container| number(container) == Some(replica)),
        // A container's own name or id: it stands first.
        None if name != service => containers.next(),
        None => containers
            .find(|container| container.state == "running")
            .or(found.containers.first()),
    };
    let Some(chosen) = chosen else {
        let Some(replica) = replica.filter(|_| !found.containers.is_empty()) else {
            return Err(not_running(service));
        };
        let numbers = found.containers.iter().filter_map(number);
        let known: Vec<_> = numbers
            .map(|number| format!("{service}.{number}"))
            .collect();
        return Err(
            Failure::new(format!("service `{service}` has no replica {replica}"))
                .hinted(format!("there is {}", known.join(", "))),
        );
    };
    Ok(chosen.clone())
}

/// Opens the first of these shells that the container has, on our terminal.
pub(super) async fn shell(
    container: &str,
    shells: &[&str],
    detach_keys: &DetachKeys,
) -> Result<ExitCode, Failure> {
    let mut missing = None;
    for shell in shells {
        let options = ExecOptions {
            command: vec![(*shell).to_owned()],
            tty: true,
            stdin: true,
            ..ExecOptions::default()
        };
        match join(container, &options, detach_keys).await? {
            Ok(code) => return Ok(code),
            Err(error) if error.cannot_run().is_some() => missing = Some(error),
            Err(error) => return Err(attach_failed(error)),
        }
    }
    let shells = shells.join(" nor ");
    Err(
        Failure::new(format!("the image has neither {shells}")).hinted(match missing {
            Some(_) => "give a command that it has: `cosmos start IMAGE COMMAND`",
            None => "no shell was tried",
        }),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace::Readiness;

    fn found(service: Option<&str>, containers: &[(&str, &str)]) -> Found {
        let containers = containers.iter().map(|(name, state)| ContainerStatus {
            name: (*name).to_owned(),
            id: format!("id of {name}"),
            state: (*state).to_owned(),
            readiness: Readiness::Ready,
            seconds: None,
            exit_code: None,
            image: "a".to_owned(),
            addresses: Vec::new(),
            ports: Vec::new(),
            restarts: 0,
        });
        Found {
            service: service.map(str::to_owned),
            containers: containers.collect(),
            host: None,
            path: None,
        }
    }

    /// The name of the chosen one, or why there is none.
    fn chosen(found: &Found, name: &str, replica: Option<u32>) -> String {
        match choose(found, name, replica) {
            Ok(container) => container.name,
            Err(failure) => anstream::adapter::strip_str(&failure.to_string()).to_string(),
        }
    }

    const WEB: [(&str, &str); 3] = [
        ("shop-web-1", "exited"),
        ("shop-web-2", "running"),
        ("shop-web-10", "running"),
    ];

    #[test]
    fn a_service_is_its_first_replica_that_runs_unless_one_is_named() {
        let web = found(Some("web"), &WEB);
        assert_eq!(chosen(&web, "web", None), "shop-web-2");
        assert_eq!(chosen(&web, "web", Some(1)), "shop-web-1");
        assert_eq!(chosen(&web, "web", Some(10)), "shop-web-10");
        assert_eq!(
            chosen(&web, "web", Some(3)),
            "error: service `web` has no replica 3\nhint: there is web.1, web.2, web.10\n"
        );
        let down = found(Some("web"), &WEB[..1]);
        assert_eq!(chosen(&down, "web", None), "shop-web-1");
        assert!(chosen(&found(Some("web"), &[]), "web", Some(1)).contains("is not running"));
    }

    #[test]
    fn a_containers_own_name_is_never_another_that_happens_to_run() {
        // As the proxy finds it: the one that is named stands first.
        let web = found(Some("web"), &WEB);
        assert_eq!(chosen(&web, "shop-web-1", None), "shop-web-1");
    }

    #[test]
    fn a_container_has_no_replicas() {
        let adhoc = found(None, &[("nginx-k3f9", "running")]);
        assert_eq!(chosen(&adhoc, "nginx-k3f9", None), "nginx-k3f9");
        assert!(chosen(&adhoc, "nginx-k3f9", Some(1)).contains("there is one of it"));
    }

    #[test]
    fn a_number_behind_a_point_is_a_replica() {
        assert_eq!(of_replica("web.2"), Some(("web", 2)));
        assert_eq!(of_replica("a.b.2"), Some(("a.b", 2)));
        for plain in ["web", "web.", "web.x", "2"] {
            assert_eq!(of_replica(plain), None, "{plain}");
        }
    }
}
