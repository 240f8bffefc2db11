//! The proxy: whether it is there, runs, is reached, and by nobody else; and what it
//! remembers that is no more.

use std::{collections::BTreeSet, net::IpAddr};

use super::{
    super::{
        port::Listener,
        seen::{Answer, Asked, Folder, Leftovers, Port, Proxy, Remembered},
    },
    Check, answer_or_return,
};
use crate::{
    api::wire::{API_VERSION, PortPublish},
    cli::{
        bootstrap::VERSION,
        ui::{duration, plural},
    },
    docker::{FoundProxy, diagnose::ListedContainer},
    workspace::Kind,
};

/// As many things of a kind as are named in a line.
const NAMED: usize = 3;

/// What holds a port for a container: whoever knows the container need not hear of it.
const STAND_INS: [&str; 5] = [
    "docker-proxy",
    "rootlessport",
    "slirp4netns",
    "pasta",
    "conmon",
];

pub(super) fn proxy(seen: &Proxy) -> Check {
    let name = "proxy";
    let container = &seen.name;
    // What answers is there, whatever can be seen of its container.
    if let (None, Asked::Answered(answer)) = (seen.found.answer(), &seen.answer) {
        return Check::ok(
            name,
            format!("{}; its container cannot be looked at", answers(answer)),
        );
    }
    let Some(found) = answer_or_return!(name, &seen.found) else {
        return Check::ok(
            name,
            "there is none yet: the next `cosmos up` or `cosmos start` makes it",
        );
    };
    if let Some(check) = trouble(name, seen, found) {
        return check;
    }
    let makes_anew = format!(
        "`docker logs {container}` has its last words; `cosmos proxy upgrade` makes it anew, and the state stays"
    );
    match &seen.answer {
        Asked::Answered(answer) => Check::ok(name, format!("`{container}` {}", answers(answer))),
        Asked::Not(why) => Check::ok(name, format!("`{container}` runs; it was not asked: {why}")),
        Asked::Refused(why) => Check::failed(
            name,
            format!("`{container}` runs, and does not answer as it should: {why}"),
            makes_anew,
        ),
        Asked::Late(limit) => Check::failed(
            name,
            format!(
                "`{container}` runs, and did not answer within {}",
                duration(*limit)
            ),
            makes_anew,
        ),
    }
}

fn answers(answer: &Answer) -> String {
    format!("answers at {} in {}", answer.address, duration(answer.took))
}

/// Why the container cannot be a proxy that answers, if that can be seen of it.
fn trouble(name: &'static str, seen: &Proxy, found: &FoundProxy) -> Option<Check> {
    let container = &seen.name;
    if !found.is_ours {
        return Some(Check::failed(
            name,
            format!("the container `{container}` is not a Cosmos proxy"),
            format!(
                "give it another name: `docker rename {container} {container}-old`, or have a second installation: `COSMOS_INSTALLATION=mine cosmos up`"
            ),
        ));
    }
    match found.status.as_str() {
        "restarting" => Some(Check::failed(
            name,
            format!(
                "`{container}` keeps ending, last with exit code {}",
                found.exit_code
            ),
            format!("see why: `docker logs {container}`"),
        )),
        "paused" => Some(Check::failed(
            name,
            format!("`{container}` is paused"),
            format!("let it go on: `docker unpause {container}`"),
        )),
        _ if !found.is_running => Some(Check::warning(
            name,
            format!(
                "`{container}` does not run (exit code {}): nothing is healed, and no route leads anywhere",
                found.exit_code
            ),
            "the next command of Cosmos starts it: `cosmos proxy status`",
        )),
        _ if !found.networks.contains(&seen.network) => Some(Check::failed(
            name,
            format!(
                "`{container}` is not in its network `{}`, and nobody reaches it",
                seen.network
            ),
            "the next command of Cosmos puts it back: `cosmos proxy status`",
        )),
        _ => None,
    }
}

/// The proxy's container, if there is one that is ours; else why there is nothing to say of it.
fn ours<'a>(name: &'static str, seen: &'a Proxy) -> Result<&'a FoundProxy, Check> {
    match super::answered(name, &seen.found) {
        Ok(Some(found)) if found.is_ours => Ok(found),
        Ok(_) => Err(Check::skipped(name, "there is no proxy")),
        // Said once already, where the proxy itself is told of.
        Err(check) => Err(Check::skipped(name, check.found)),
    }
}

pub(super) fn version(seen: &Proxy) -> Check {
    let name = "version";
    if let Asked::Answered(answer) = &seen.answer
        && answer.version.api != API_VERSION
    {
        let found = format!(
            "the proxy is of {} and speaks API {}; this `cosmos` speaks API {API_VERSION}",
            answer.version.version, answer.version.api
        );
        return Check::failed(name, found, "`cosmos proxy upgrade`; the state stays");
    }
    let said = seen.answer.answer().map(|answer| &answer.version.version);
    let version = match said {
        Some(version) => Some(version),
        None => match ours(name, seen) {
            Ok(found) => found.version.as_ref(),
            Err(check) => return check,
        },
    };
    match version {
        Some(version) if version == VERSION => Check::ok(
            name,
            format!("the proxy is of {version}, as this `cosmos` is"),
        ),
        Some(version) => Check::warning(
            name,
            format!("the proxy is of {version}, and this `cosmos` of {VERSION}"),
            "`cosmos proxy upgrade`; the state stays, and so does what runs",
        ),
        None => Check::warning(
            name,
            "the proxy does not say of which version it is",
            "`cosmos proxy upgrade`; the state stays, and so does what runs",
        ),
    }
}

pub(super) fn address(seen: &Proxy) -> Check {
    let name = "address";
    let found = match ours(name, seen) {
        Ok(found) => found,
        Err(check) => return check,
    };
    let bound: Vec<String> = found.ports.iter().filter_map(shown).collect();
    let open: Vec<String> = found
        .ports
        .iter()
        .filter(|port| !is_loopback(port))
        .filter_map(shown)
        .collect();
    let upgrade = "`cosmos proxy upgrade` binds it to the loopback; the state stays";
    if bound.is_empty() {
        return Check::failed(name, "the proxy has no port of this machine", upgrade);
    }
    if !open.is_empty() {
        let found = format!(
            "the proxy is bound to {}: other machines reach it",
            open.join(" and ")
        );
        return Check::failed(name, found, upgrade);
    }
    Check::ok(
        name,
        format!(
            "the proxy is bound to {}: only this machine reaches it",
            bound.join(" and ")
        ),
    )
}

fn is_loopback(port: &PortPublish) -> bool {
    let address: Result<IpAddr, _> = port.address.parse();
    address.is_ok_and(|address| address.is_loopback())
}

fn shown(port: &PortPublish) -> Option<String> {
    let host = port.host?;
    Some(match port.address.as_str() {
        "" => format!("0.0.0.0:{host}"),
        address if address.contains(':') => format!("[{address}]:{host}"),
        address => format!("{address}:{host}"),
    })
}

pub(super) fn token(seen: &Proxy) -> Check {
    let name = "token";
    if let Err(check) = ours(name, seen) {
        return check;
    }
    let container = &seen.name;
    let hint = format!("see what it says: `docker logs {container}`");
    match &seen.token {
        Asked::Answered(()) => Check::ok(name, "the proxy's token can be read"),
        Asked::Not(why) => Check::skipped(name, *why),
        Asked::Refused(why) => Check::failed(
            name,
            format!("the proxy's token cannot be read: {why}"),
            hint,
        ),
        Asked::Late(limit) => Check::failed(
            name,
            format!(
                "the proxy's token could not be read within {}",
                duration(*limit)
            ),
            hint,
        ),
    }
}

pub(super) fn port(seen: &Asked<Port>) -> Check {
    let name = "port";
    let seen = answer_or_return!(name, seen);
    let number = seen.number;
    if seen.is_the_proxys {
        return Check::ok(name, format!("{number} leads to the proxy"));
    }
    let in_the_way = seen.listeners.iter().flatten();
    let in_the_way = in_the_way.filter(|listener| listener.is_in_the_way_of(number));
    // What holds it for a container is known by the container, if at all.
    let (known, unclear): (Vec<&Listener>, Vec<&Listener>) =
        in_the_way.partition(|listener| is_itself(listener));
    let containers = seen.containers.iter().flatten();
    let mut holders: Vec<String> = containers
        .map(|container| format!("the container `{container}`"))
        .chain(known.into_iter().map(holder))
        .collect();
    // A process that listens on both kinds of addresses is one holder.
    holders.dedup();
    let mut hint = format!(
        "free the port, or take another: `COSMOS_PROXY_PORT={} cosmos up`",
        seen.next
    );
    if let (true, Some(first)) = (holders.is_empty(), unclear.first()) {
        if seen.containers.is_none() {
            let found = format!(
                "{number} is held by {}: no engine tells whether it is the proxy",
                holder(first)
            );
            return Check::skipped(name, found);
        }
        if first.process.is_none() {
            hint = format!("`sudo ss -ltnp 'sport = :{number}'` names it; {hint}");
        }
        holders.push(holder(first));
    }
    if holders.is_empty() {
        return match seen.listeners {
            Some(_) => Check::ok(name, format!("{number} is free for the proxy")),
            None => Check::skipped(name, format!("who has {number} cannot be seen here")),
        };
    }
    let found = format!(
        "{number} is held by {}, and the proxy needs it",
        holders.join(" and ")
    );
    Check::failed(name, found, hint)
}

/// Whether it holds the port for itself, and not for a container, as far as can be seen.
fn is_itself(listener: &Listener) -> bool {
    let process = listener.process.as_ref();
    process.is_some_and(|process| !STAND_INS.contains(&process.program()))
}

fn holder(listener: &Listener) -> String {
    match &listener.process {
        Some(process) if !is_itself(listener) => {
            format!("a container of some engine (`{}`)", process.program())
        }
        Some(process) => format!("process {} (`{}`)", process.id, process.command),
        None => format!("a process of user {} that cannot be seen", listener.user),
    }
}

pub(super) fn leftovers(seen: &Leftovers) -> Check {
    let name = "leftovers";
    let workspaces = answer_or_return!(name, &seen.workspaces);
    let containers = answer_or_return!(name, &seen.containers);
    let mut findings = Vec::new();
    let mut hint = None;

    let strays = strays(containers, workspaces);
    if let Some(first) = strays.first() {
        let names = strays.iter().map(|stray| format!("`{}`", stray.name));
        findings.push(format!(
            "the proxy does not know the workspace of {}",
            listed(names)
        ));
        let owner = first.owner.as_ref();
        let folder = owner.and_then(|owner| owner.folder.as_deref());
        hint = Some(match folder {
            // A label is whatever somebody wrote into it.
            Some(folder) => format!(
                "take them over: `cd {} && cosmos up`",
                shell_words::quote(folder)
            ),
            None => format!("look at it: `docker inspect {}`", first.name),
        });
    }
    for workspace in workspaces {
        let Remembered { key, folder, is } = workspace;
        let (found, mends) = match is {
            Folder::There => continue,
            Folder::Gone => (
                format!("workspace `{key}` is up from {folder}, which is not there any more"),
                "put its folder back, and `cosmos down` there takes it down".to_owned(),
            ),
            Folder::WithoutConfig => (
                format!(
                    "workspace `{key}` is up from {folder}, which has no cosmos.toml (it may have been `cosmos -f`)"
                ),
                format!(
                    "write it again, and `cd {} && cosmos down` takes it down",
                    shell_words::quote(folder)
                ),
            ),
        };
        findings.push(found);
        hint.get_or_insert(format!(
            "{mends}; until then `cosmos status --all` shows what it runs"
        ));
    }
    let unused = match seen.volumes.len() {
        0 => None,
        count => Some(format!(
            "{} that no container uses: {}",
            plural(u32::try_from(count).unwrap_or(u32::MAX), "volume"),
            listed(seen.volumes.iter().map(|volume| format!("`{volume}`")))
        )),
    };
    let Some(hint) = hint else {
        // Volumes outlive their containers on purpose: that is said, and nothing is wrong.
        return Check::ok(
            name,
            unused.unwrap_or_else(|| "nothing is left over".to_owned()),
        );
    };
    findings.extend(unused);
    Check::warning(name, findings.join("; "), hint)
}

/// The containers of workspaces that the proxy does not remember.
fn strays<'a>(
    containers: &'a [ListedContainer],
    workspaces: &[Remembered],
) -> Vec<&'a ListedContainer> {
    let known: BTreeSet<&str> = workspaces.iter().map(|known| known.key.as_str()).collect();
    let is_stray = |container: &&ListedContainer| {
        let owner = container.owner.as_ref();
        owner.is_some_and(|owner| {
            matches!(owner.kind, Kind::Service | Kind::Command)
                && owner
                    .workspace
                    .as_deref()
                    .is_some_and(|key| !known.contains(key))
        })
    };
    containers.iter().filter(is_stray).collect()
}

/// The first few of them, and how many more there are.
pub(super) fn listed(names: impl ExactSizeIterator<Item = String>) -> String {
    let count = names.len();
    let named: Vec<String> = names.take(NAMED).collect();
    match count.saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use super::{super::State, *};
    use crate::{
        api::wire::Version,
        cli::doctor::port::Process,
        workspace::{ContainerId, Fingerprint, Owner, Transport},
    };

    fn at(address: &str, host: u16) -> PortPublish {
        PortPublish {
            container: 8080,
            host: Some(host),
            address: address.to_owned(),
            transport: Transport::Tcp,
        }
    }

    fn container() -> FoundProxy {
        FoundProxy {
            id: ContainerId::new("0123456789abcdef").unwrap(),
            is_ours: true,
            is_running: true,
            status: "running".to_owned(),
            exit_code: 0,
            image: "cosmos-proxy".to_owned(),
            version: Some(VERSION.to_owned()),
            ports: vec![at("127.0.0.1", 8080), at("::1", 8080)],
            networks: vec!["cosmos-net".to_owned()],
            env: Vec::new(),
        }
    }

    fn seen(found: Option<FoundProxy>) -> Proxy {
        Proxy {
            name: "cosmos-proxy".to_owned(),
            network: "cosmos-net".to_owned(),
            token: Asked::Answered(()),
            answer: match &found {
                Some(_) => Asked::Answered(Answer {
                    address: "127.0.0.1:8080".parse().unwrap(),
                    version: Version {
                        version: VERSION.to_owned(),
                        api: API_VERSION,
                        installation: "cosmos".to_owned(),
                    },
                    took: Duration::from_millis(2),
                }),
                None => Asked::Not("there is no proxy"),
            },
            found: Asked::Answered(found),
        }
    }

    fn with(change: impl FnOnce(&mut FoundProxy)) -> Proxy {
        let mut found = container();
        change(&mut found);
        seen(Some(found))
    }

    fn silent(answer: Asked<Answer>) -> Proxy {
        Proxy {
            answer,
            ..seen(Some(container()))
        }
    }

    #[test]
    fn a_proxy_that_answers_is_fine_and_so_is_none_at_all() {
        let check = proxy(&seen(Some(container())));
        assert_eq!(check.state, State::Ok);
        assert_eq!(
            check.found,
            "`cosmos-proxy` answers at 127.0.0.1:8080 in 2 ms"
        );
        assert_eq!(proxy(&seen(None)).state, State::Ok);
        for check in [version, address, token] {
            assert_eq!(check(&seen(None)).state, State::Skipped);
        }
    }

    #[test]
    fn a_stranger_with_the_proxys_name_is_a_failure() {
        let check = proxy(&with(|found| found.is_ours = false));
        assert_eq!(check.state, State::Failed);
        let hint = check.hint.unwrap();
        assert!(
            hint.contains("`docker rename cosmos-proxy cosmos-proxy-old`"),
            "{hint}"
        );
    }

    #[test]
    fn a_proxy_that_does_not_run_is_started_by_the_next_command() {
        let check = proxy(&with(|found| {
            (found.is_running, found.status) = (false, "exited".to_owned());
        }));
        assert_eq!(check.state, State::Warning);
        assert!(check.hint.unwrap().ends_with("`cosmos proxy status`"));
    }

    #[test]
    fn a_proxy_that_keeps_ending_is_paused_or_out_of_its_network_is_a_failure() {
        let status = |status: &str| with(|found| found.status = status.to_owned());
        for seen in [
            status("restarting"),
            status("paused"),
            with(|found| found.networks.clear()),
        ] {
            assert_eq!(proxy(&seen).state, State::Failed);
        }
    }

    #[test]
    fn a_proxy_that_does_not_answer_is_a_failure() {
        let late = proxy(&silent(Asked::Late(Duration::from_secs(2))));
        assert_eq!(late.state, State::Failed);
        assert!(late.found.ends_with("within 2.0 s"), "{late:?}");
        let refused = proxy(&silent(Asked::Refused("it is another".to_owned())));
        assert_eq!(refused.state, State::Failed);
        let not = proxy(&silent(Asked::Not("its token cannot be read")));
        assert_eq!(not.state, State::Ok);
    }

    #[test]
    fn a_proxy_that_answers_is_fine_without_an_engine_to_ask() {
        let no_engine = Proxy {
            found: Asked::Not("no engine answers"),
            ..seen(Some(container()))
        };
        assert_eq!(proxy(&no_engine).state, State::Ok);
        assert_eq!(version(&no_engine).state, State::Ok);
        assert_eq!(address(&no_engine).state, State::Skipped);
        let nothing = Proxy {
            answer: Asked::Not("no engine answers"),
            ..no_engine
        };
        assert_eq!(proxy(&nothing).state, State::Skipped);
    }

    #[test]
    fn another_version_is_a_warning_and_another_api_a_failure() {
        assert_eq!(version(&seen(Some(container()))).state, State::Ok);
        let answer = |release: &str, api: u32| {
            let mut seen = seen(Some(container()));
            if let Asked::Answered(answer) = &mut seen.answer {
                (answer.version.version, answer.version.api) = (release.to_owned(), api);
            }
            version(&seen)
        };
        let older = answer("0.0.1", API_VERSION);
        assert_eq!(older.state, State::Warning);
        assert!(older.hint.unwrap().starts_with("`cosmos proxy upgrade`"));
        assert_eq!(answer("9.0.0", API_VERSION + 1).state, State::Failed);
        let labelled = Proxy {
            answer: Asked::Not("it does not run"),
            ..with(|found| found.version = Some("0.0.1".to_owned()))
        };
        assert_eq!(version(&labelled).state, State::Warning);
    }

    #[test]
    fn a_proxy_that_others_reach_is_a_failure() {
        let check = address(&seen(Some(container())));
        assert_eq!(check.state, State::Ok);
        assert!(
            check.found.contains("127.0.0.1:8080 and [::1]:8080"),
            "{check:?}"
        );
        for (open, shown) in [
            ("0.0.0.0", "0.0.0.0:8080"),
            ("", "0.0.0.0:8080"),
            ("::", "[::]:8080"),
            ("192.168.1.5", "192.168.1.5:8080"),
        ] {
            let check = address(&with(|found| found.ports.push(at(open, 8080))));
            assert_eq!(check.state, State::Failed, "{open}");
            assert!(
                check.found.contains(&format!("bound to {shown}:")),
                "{check:?}"
            );
        }
        assert_eq!(
            address(&with(|found| found.ports.clear())).state,
            State::Failed
        );
    }

    #[test]
    fn a_token_that_cannot_be_read_is_a_failure() {
        assert_eq!(token(&seen(Some(container()))).state, State::Ok);
        let unreadable = Proxy {
            token: Asked::Refused("no such file".to_owned()),
            ..seen(Some(container()))
        };
        assert_eq!(token(&unreadable).state, State::Failed);
    }

    fn free() -> Port {
        Port {
            number: 8080,
            is_the_proxys: false,
            listeners: Some(Vec::new()),
            containers: Some(Vec::new()),
            next: 8081,
        }
    }

    fn listens(address: &str, command: Option<&str>) -> Listener {
        Listener::of(
            address.parse().unwrap(),
            command.map(|command| Process {
                id: 4711,
                command: command.to_owned(),
            }),
        )
    }

    fn judged(seen: Port) -> Check {
        port(&Asked::Answered(seen))
    }

    #[test]
    fn a_port_that_is_free_or_the_proxys_is_fine() {
        assert_eq!(judged(free()).state, State::Ok);
        let held = Port {
            is_the_proxys: true,
            listeners: Some(vec![listens("127.0.0.1:8080", Some("docker-proxy"))]),
            ..free()
        };
        assert_eq!(judged(held).found, "8080 leads to the proxy");
        let elsewhere = Port {
            listeners: Some(vec![listens("192.168.1.5:8080", Some("nginx"))]),
            ..free()
        };
        assert_eq!(judged(elsewhere).state, State::Ok);
    }

    #[test]
    fn a_process_that_holds_the_port_is_named() {
        let check = judged(Port {
            listeners: Some(vec![
                listens("0.0.0.0:8080", Some("python3 -m http.server 8080")),
                listens("[::]:8080", Some("python3 -m http.server 8080")),
            ]),
            next: 8082,
            ..free()
        });
        assert_eq!(check.state, State::Failed);
        assert_eq!(
            check.found,
            "8080 is held by process 4711 (`python3 -m http.server 8080`), and the proxy needs it"
        );
        assert_eq!(
            check.hint.unwrap(),
            "free the port, or take another: `COSMOS_PROXY_PORT=8082 cosmos up`"
        );
    }

    #[test]
    fn a_process_that_cannot_be_seen_is_found_by_root() {
        let check = judged(Port {
            listeners: Some(vec![listens("127.0.0.1:8080", None)]),
            ..free()
        });
        assert_eq!(check.state, State::Failed);
        assert!(check.found.contains("a process of user 0"), "{check:?}");
        assert!(check.hint.unwrap().contains("`sudo ss -ltnp"));
        // Of a container that is known, it is the stand-in.
        let known = judged(Port {
            listeners: Some(vec![listens("127.0.0.1:8080", None)]),
            containers: Some(vec!["web".to_owned()]),
            ..free()
        });
        assert!(
            known.found.contains("by the container `web`, and"),
            "{known:?}"
        );
        // Without an engine nobody knows whether it is the proxy.
        let unknown = judged(Port {
            listeners: Some(vec![listens("127.0.0.1:8080", None)]),
            containers: None,
            ..free()
        });
        assert_eq!(unknown.state, State::Skipped);
    }

    #[test]
    fn a_container_that_holds_the_port_is_named_and_not_its_stand_in() {
        let check = judged(Port {
            listeners: Some(vec![listens("0.0.0.0:8080", Some("docker-proxy -x"))]),
            containers: Some(vec!["web".to_owned()]),
            ..free()
        });
        assert_eq!(
            check.found,
            "8080 is held by the container `web`, and the proxy needs it"
        );
    }

    #[test]
    fn what_holds_the_port_for_a_container_that_nobody_told_of_is_no_process_to_end() {
        let held = |containers| {
            judged(Port {
                listeners: Some(vec![
                    listens("127.0.0.1:8080", Some("docker-proxy -x")),
                    listens("[::1]:8080", Some("docker-proxy -y")),
                ]),
                containers,
                ..free()
            })
        };
        let other = held(Some(Vec::new()));
        assert_eq!(other.state, State::Failed);
        assert!(
            other
                .found
                .contains("held by a container of some engine (`docker-proxy`),"),
            "{other:?}"
        );
        // Without an engine nobody knows whether it is the proxy.
        assert_eq!(held(None).state, State::Skipped);
    }

    #[test]
    fn where_nobody_can_be_seen_nothing_is_claimed() {
        let blind = Port {
            listeners: None,
            ..free()
        };
        assert_eq!(judged(blind).state, State::Skipped);
    }

    fn service(name: &str, workspace: &str, folder: Option<&str>) -> ListedContainer {
        ListedContainer {
            name: name.to_owned(),
            id: String::new(),
            image: String::new(),
            state: "running".to_owned(),
            status: String::new(),
            ports: Vec::new(),
            owner: Some(Owner {
                kind: Kind::Service,
                workspace: Some(workspace.to_owned()),
                folder: folder.map(str::to_owned),
                name: Some("web".to_owned()),
                replica: 1,
                spec: Fingerprint::from_label("cafe"),
                generation: String::new(),
            }),
            labels: BTreeMap::new(),
        }
    }

    fn shop(is: Folder) -> Leftovers {
        Leftovers {
            workspaces: Asked::Answered(vec![Remembered {
                key: "shop".to_owned(),
                folder: "/src/shop".to_owned(),
                is,
            }]),
            containers: Asked::Answered(vec![service("shop-web-1", "shop", Some("/src/shop"))]),
            volumes: Vec::new(),
        }
    }

    #[test]
    fn a_workspace_whose_folder_is_gone_is_named() {
        assert_eq!(leftovers(&shop(Folder::There)).state, State::Ok);
        let gone = leftovers(&shop(Folder::Gone));
        assert_eq!(gone.state, State::Warning);
        assert!(
            gone.found.contains("`shop` is up from /src/shop"),
            "{gone:?}"
        );
        let empty = leftovers(&shop(Folder::WithoutConfig));
        assert_eq!(empty.state, State::Warning);
        assert!(empty.hint.unwrap().contains("`cosmos status --all`"));
    }

    #[test]
    fn containers_of_a_workspace_that_nobody_remembers_are_named() {
        let check = leftovers(&Leftovers {
            containers: Asked::Answered(vec![
                service("blog-web-1", "blog", Some("/src/blog")),
                service("shop-web-1", "shop", None),
            ]),
            ..shop(Folder::There)
        });
        assert_eq!(check.state, State::Warning);
        assert_eq!(
            check.found,
            "the proxy does not know the workspace of `blog-web-1`"
        );
        assert_eq!(
            check.hint.unwrap(),
            "take them over: `cd /src/blog && cosmos up`"
        );
    }

    #[test]
    fn volumes_that_nothing_uses_are_said_and_no_fault() {
        let check = leftovers(&Leftovers {
            volumes: ["a", "b", "c", "d"].map(str::to_owned).into(),
            ..shop(Folder::There)
        });
        assert_eq!(check.state, State::Ok);
        assert_eq!(
            check.found,
            "4 volumes that no container uses: `a`, `b`, `c` and 1 more"
        );
        assert_eq!(check.hint, None);
    }

    #[test]
    fn without_a_proxy_nobody_knows_what_is_left_over() {
        let check = leftovers(&Leftovers {
            workspaces: Asked::Not("there is no proxy"),
            ..shop(Folder::There)
        });
        assert_eq!(check.state, State::Skipped);
    }
}
