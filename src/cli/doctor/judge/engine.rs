//! The engine: whether it answers, speaks our API, and lets this user ask.

use std::path::Path;

use super::{
    super::seen::{Asked, Engine, Socket, SocketIs},
    Check, answer_or_return,
};
use crate::{
    cli::ui::duration,
    docker::{
        Endpoint, EndpointError, NamedBy,
        diagnose::{About, NEWEST_MINOR, OLDEST_MINOR},
    },
};

/// An engine that needs longer to say one word keeps everybody waiting. It takes less
/// than a millisecond otherwise.
const SLOW: std::time::Duration = std::time::Duration::from_millis(500);

pub(super) fn engine(seen: &Engine, about: &Asked<About>) -> Check {
    let name = "engine";
    let (endpoint, by) = match &seen.place {
        Ok(place) => place,
        Err(error) => return Check::failed(name, error.to_string(), way_to_one(error)),
    };
    let place = format!("{endpoint} ({by})");
    let took = match &seen.answers_in {
        Asked::Answered(took) => *took,
        Asked::Not(why) => return Check::skipped(name, format!("{place} is not asked: {why}")),
        Asked::Refused(why) => {
            let found = format!("nothing answers at {place}: {why}");
            return Check::failed(name, found, way_back(seen, endpoint, by));
        }
        Asked::Late(limit) => {
            return Check::failed(
                name,
                format!(
                    "the engine at {place} did not answer within {}",
                    duration(*limit)
                ),
                format!("it hangs: {}", look_at(endpoint)),
            );
        }
    };
    let who = match about.answer() {
        Some(about) => format!("{} {}", about.name, about.version),
        None => "an engine".to_owned(),
    };
    let found = format!("{who} at {place} answers in {}", duration(took));
    match took > SLOW {
        true => Check::warning(
            name,
            format!("{found}, which is slow"),
            format!("see what it is busy with: {}", look_at(endpoint)),
        ),
        false => Check::ok(name, found),
    }
}

/// What helps where no place is known.
fn way_to_one(error: &EndpointError) -> String {
    match error {
        EndpointError::Nowhere { .. } => {
            "install and start one: `sudo apt-get install docker.io`, or say where it is: `export DOCKER_HOST=unix:///path/to/docker.sock`".to_owned()
        }
        EndpointError::Context { .. } => "take the usual engine: `docker context use default`".to_owned(),
        EndpointError::Unsupported { address, .. } if address.starts_with("ssh://") => {
            let host = address.trim_start_matches("ssh://");
            format!(
                "forward its socket: `ssh -fnNT -L /tmp/docker.sock:/var/run/docker.sock {host}`, then `export DOCKER_HOST=unix:///tmp/docker.sock`"
            )
        }
        EndpointError::Unsupported { .. } => {
            "name its socket: `export DOCKER_HOST=unix:///var/run/docker.sock`".to_owned()
        }
    }
}

/// What helps where nothing answers.
fn way_back(seen: &Engine, endpoint: &Endpoint, by: &NamedBy) -> String {
    if let Some(elsewhere) = &seen.elsewhere {
        let elsewhere = elsewhere.display();
        return match by {
            NamedBy::Variable => {
                format!("there is one at {elsewhere}: `unset DOCKER_HOST`")
            }
            NamedBy::Context(_) => {
                format!("there is one at {elsewhere}: `docker context use default`")
            }
            NamedBy::Usual => {
                format!("there is one at {elsewhere}: `export DOCKER_HOST=unix://{elsewhere}`")
            }
        };
    }
    match endpoint {
        Endpoint::Unix(socket) => format!(
            "start it: `{}`, or say where it is: `export DOCKER_HOST=unix:///path/to/docker.sock`",
            service(socket).start()
        ),
        Endpoint::Tcp(_) => format!("see whether it runs there: `docker -H {endpoint} version`"),
    }
}

fn look_at(endpoint: &Endpoint) -> String {
    match endpoint {
        Endpoint::Unix(socket) => format!("`{}`", service(socket).journal()),
        Endpoint::Tcp(_) => format!("`docker -H {endpoint} version`"),
    }
}

/// The service of systemd behind a socket, by the place that it usually has.
struct Service {
    name: &'static str,
    is_users: bool,
}

fn service(socket: &Path) -> Service {
    let text = socket.to_string_lossy();
    let is_podman = text.contains("podman");
    Service {
        name: if is_podman { "podman.socket" } else { "docker" },
        is_users: text.starts_with("/run/user/") || text.starts_with("/home/"),
    }
}

impl Service {
    fn start(&self) -> String {
        match self.is_users {
            true => format!("systemctl --user start {}", self.name),
            false => format!("sudo systemctl start {}", self.name),
        }
    }

    fn journal(&self) -> String {
        let unit = self.name.trim_end_matches(".socket");
        match self.is_users {
            true => format!("journalctl --user -u {unit} -n 50"),
            false => format!("sudo journalctl -u {unit} -n 50"),
        }
    }
}

pub(super) fn api(about: &Asked<About>) -> Check {
    let name = "api";
    let about = answer_or_return!(name, about);
    let spoken = &about.api;
    let upgrade = format!(
        "upgrade it to Docker 20.10 or newer, as with `sudo apt-get install --only-upgrade {}`",
        if about.name == "Podman" {
            "podman"
        } else {
            "docker.io"
        }
    );
    let Some(newest) = minor(spoken) else {
        let found = format!("what it says that it speaks is no version: `{spoken}`");
        return Check::warning(name, found, upgrade);
    };
    if newest < OLDEST_MINOR {
        let found = format!("it speaks {spoken}, and Cosmos needs 1.{OLDEST_MINOR} or newer");
        return Check::failed(name, found, upgrade);
    }
    let oldest = about.oldest_api.as_deref().and_then(minor);
    if oldest.is_some_and(|oldest| oldest > NEWEST_MINOR) {
        return Check::failed(
            name,
            format!(
                "it speaks nothing older than {}, and this `cosmos` speaks up to 1.{NEWEST_MINOR}",
                about.oldest_api.as_deref().unwrap_or_default()
            ),
            "a newer Cosmos speaks it: build and install that, then `cosmos proxy upgrade`",
        );
    }
    Check::ok(
        name,
        format!("it speaks {spoken}; Cosmos needs 1.{OLDEST_MINOR} or newer"),
    )
}

/// The `41` of `1.41`; of a later whole number, more than anything.
fn minor(version: &str) -> Option<u32> {
    let (major, minor) = version.split_once('.')?;
    match major.parse::<u32>().ok()? {
        1 => minor.parse().ok(),
        0 => Some(0),
        _ => Some(u32::MAX),
    }
}

pub(super) fn socket(seen: Option<&Socket>) -> Check {
    let name = "socket";
    let Some(socket) = seen else {
        return Check::skipped(name, "the engine is not at a socket");
    };
    let path = socket.path.display();
    let file = match &socket.is {
        SocketIs::Absent => return Check::skipped(name, format!("there is none at {path}")),
        SocketIs::Hidden => {
            return Check::failed(
                name,
                format!("this user may not enter the folder of {path}"),
                "use an engine that you may: `export DOCKER_HOST=unix:///var/run/docker.sock`",
            );
        }
        SocketIs::There(file) => file,
    };
    if !file.is_socket {
        return Check::failed(
            name,
            format!("{path} is no socket"),
            "say where it is: `export DOCKER_HOST=unix:///path/to/docker.sock`",
        );
    }
    let (mode, group) = (file.mode & 0o777, &file.group);
    if !file.may_use {
        let found = format!("this user may not use {path} (mode {mode:04o}, group {group})");
        let has_group = mode & 0o060 == 0o060 && file.group_id != 0;
        let hint = match (has_group, file.is_new_member) {
            (true, true) => format!(
                "you are in its group since your last login: log in again, or `newgrp {group}` in this shell"
            ),
            (true, false) => {
                format!("join its group: `sudo usermod -aG {group} $USER`, then log in again")
            }
            (false, _) => format!(
                "give it to a group, and join that: `sudo groupadd -f docker && sudo usermod -aG docker $USER && sudo chgrp docker {path} && sudo chmod g+rw {path}`, then log in again"
            ),
        };
        return Check::failed(name, found, hint);
    }
    if mode & 0o002 != 0 {
        return Check::warning(
            name,
            format!("everybody here may use {path}, and is by that as good as root"),
            format!("leave it to its owner and its group: `sudo chmod o= {path}`"),
        );
    }
    Check::ok(
        name,
        format!("{path} may be read and written (mode {mode:04o}, group {group})"),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{super::State, *};
    use crate::cli::doctor::seen::SocketFile;

    fn at(path: &str) -> Engine {
        Engine {
            place: Ok((Endpoint::Unix(path.into()), NamedBy::Usual)),
            answers_in: Asked::Answered(Duration::from_millis(1)),
            elsewhere: None,
        }
    }

    fn docker(api: &str) -> Asked<About> {
        Asked::Answered(About {
            name: "Docker".to_owned(),
            version: "20.10.24".to_owned(),
            api: api.to_owned(),
            oldest_api: Some("1.12".to_owned()),
        })
    }

    fn hint(check: Check) -> String {
        check.hint.unwrap()
    }

    #[test]
    fn an_engine_that_answers_is_named_with_its_place_and_its_time() {
        let check = engine(&at("/var/run/docker.sock"), &docker("1.41"));
        assert_eq!(check.state, State::Ok);
        assert_eq!(
            check.found,
            "Docker 20.10.24 at unix:///var/run/docker.sock (a usual place) answers in 1 ms"
        );
    }

    #[test]
    fn an_engine_that_answers_slowly_is_a_warning() {
        let slow = Engine {
            answers_in: Asked::Answered(Duration::from_millis(900)),
            ..at("/var/run/docker.sock")
        };
        let check = engine(&slow, &docker("1.41"));
        assert_eq!(check.state, State::Warning);
        assert!(check.found.ends_with("900 ms, which is slow"), "{check:?}");
    }

    #[test]
    fn an_engine_that_hangs_is_told_with_its_limit() {
        let hanging = Engine {
            answers_in: Asked::Late(Duration::from_secs(2)),
            ..at("/run/user/7/docker.sock")
        };
        let check = engine(&hanging, &Asked::Not("it hangs"));
        assert_eq!(check.state, State::Failed);
        assert!(
            check.found.contains("did not answer within 2.0 s"),
            "{check:?}"
        );
        assert_eq!(hint(check), "it hangs: `journalctl --user -u docker -n 50`");
    }

    #[test]
    fn where_nothing_answers_the_hint_starts_what_is_usually_there() {
        let dead = |path: &str| {
            let dead = Engine {
                answers_in: Asked::Refused("Connection refused".to_owned()),
                ..at(path)
            };
            engine(&dead, &Asked::Not("no"))
        };
        let check = dead("/var/run/docker.sock");
        assert_eq!(check.state, State::Failed);
        assert!(check.found.ends_with(": Connection refused"), "{check:?}");
        assert!(hint(check).contains("`sudo systemctl start docker`"));
        for (path, start) in [
            (
                "/run/podman/podman.sock",
                "`sudo systemctl start podman.socket`",
            ),
            (
                "/run/user/7/podman/podman.sock",
                "`systemctl --user start podman.socket`",
            ),
            ("/run/user/7/docker.sock", "`systemctl --user start docker`"),
        ] {
            assert!(hint(dead(path)).contains(start), "{path}");
        }
    }

    #[test]
    fn where_another_engine_is_the_hint_leads_there() {
        let named = |by: NamedBy| {
            let seen = Engine {
                place: Ok((Endpoint::Unix("/nowhere".into()), by)),
                answers_in: Asked::Refused("No such file".to_owned()),
                elsewhere: Some("/var/run/docker.sock".into()),
            };
            hint(engine(&seen, &Asked::Not("no")))
        };
        assert!(named(NamedBy::Variable).ends_with("`unset DOCKER_HOST`"));
        assert!(named(NamedBy::Context("x".to_owned())).ends_with("`docker context use default`"));
    }

    #[test]
    fn an_engine_that_nobody_knows_of_is_installed() {
        let nowhere = |error| Engine {
            place: Err(error),
            answers_in: Asked::Not("no"),
            elsewhere: None,
        };
        let none = EndpointError::Nowhere {
            tried: vec!["/x".to_owned()],
        };
        let check = engine(&nowhere(none), &Asked::Not("no"));
        assert_eq!(check.state, State::Failed);
        assert!(hint(check).contains("`sudo apt-get install docker.io`"));
        let ssh = EndpointError::Unsupported {
            address: "ssh://me@there".to_owned(),
            source_name: "DOCKER_HOST".to_owned(),
            cause: "no",
        };
        assert!(hint(engine(&nowhere(ssh), &Asked::Not("no"))).contains("docker.sock me@there`"));
    }

    #[test]
    fn an_engine_is_too_old_below_20_10_and_too_new_above_what_is_spoken() {
        assert_eq!(api(&docker("1.41")).state, State::Ok);
        assert_eq!(api(&docker("1.99")).state, State::Ok);
        let old = api(&docker("1.40"));
        assert_eq!(old.state, State::Failed);
        assert!(hint(old).contains("docker.io`"));
        assert_eq!(api(&docker("none")).state, State::Warning);
        let Asked::Answered(about) = docker("1.99") else {
            unreachable!()
        };
        let new = api(&Asked::Answered(About {
            oldest_api: Some("1.60".to_owned()),
            ..about
        }));
        assert_eq!(new.state, State::Failed);
        assert!(new.found.contains("1.60"), "{new:?}");
    }

    fn with(change: impl FnOnce(&mut SocketFile)) -> Check {
        let mut file = SocketFile {
            is_socket: true,
            may_use: false,
            mode: 0o660,
            group: "docker".to_owned(),
            group_id: 998,
            is_new_member: false,
        };
        change(&mut file);
        socket(Some(&Socket {
            path: "/s".into(),
            is: SocketIs::There(file),
        }))
    }

    #[test]
    fn who_may_not_use_the_socket_is_told_how_to_get_the_right() {
        let check = with(|_| {});
        assert_eq!(check.state, State::Failed);
        assert_eq!(
            check.found,
            "this user may not use /s (mode 0660, group docker)"
        );
        assert_eq!(
            hint(check),
            "join its group: `sudo usermod -aG docker $USER`, then log in again"
        );
        assert!(hint(with(|file| file.is_new_member = true)).contains("`newgrp docker`"));
        assert!(hint(with(|file| file.group_id = 0)).contains("`sudo groupadd -f docker"));
        assert!(hint(with(|file| file.mode = 0o600)).contains("chmod g+rw /s`"));
    }

    #[test]
    fn a_socket_that_everybody_may_use_is_a_warning() {
        assert_eq!(with(|file| file.may_use = true).state, State::Ok);
        let open = with(|file| (file.may_use, file.mode) = (true, 0o666));
        assert_eq!(open.state, State::Warning);
        assert!(hint(open).ends_with("`sudo chmod o= /s`"));
    }

    #[test]
    fn what_is_no_socket_is_told_from_none() {
        assert_eq!(with(|file| file.is_socket = false).state, State::Failed);
        let is = |is| {
            socket(Some(&Socket {
                path: "/s".into(),
                is,
            }))
        };
        assert_eq!(is(SocketIs::Absent).state, State::Skipped);
        assert_eq!(is(SocketIs::Hidden).state, State::Failed);
        assert_eq!(socket(None).state, State::Skipped);
    }
}
