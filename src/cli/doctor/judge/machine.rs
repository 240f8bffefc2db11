//! The machine around it: names, disks, clocks, addresses, the config here, the terminal.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use super::{
    super::{
        range::{Other, clashes, free_range},
        seen::{Asked, Clock, Config, Disk, Names, Ranges, Terminal},
    },
    Check, answer_or_return,
    proxy::listed,
};
use crate::cli::ui::{duration, plural, size};

/// Less free than this, and the next image may not fit.
const LITTLE: u64 = 5_000_000_000;

/// Less free than this, in percent, and a disk fills up sooner than somebody looks.
const LITTLE_PERCENT: u64 = 5;

/// Less free than this, and containers fail to start, databases to write.
const NOTHING: u64 = 500_000_000;

/// More apart, and logs are in the wrong order, tokens not valid yet or no more.
const APART: Duration = Duration::from_secs(2);

/// As many names as fit in a line that is still read.
const NAMES_IN_A_LINE: usize = 8;

pub(super) fn names(seen: &Names) -> Check {
    let name = "names";
    let asked = seen.asked;
    let hosts = match seen.hosts.len() {
        0 => "NAME.localhost".to_owned(),
        count => seen.hosts[..count.min(NAMES_IN_A_LINE)].join(" "),
    };
    let hint = format!(
        "for a program that needs a name: `echo \"127.0.0.1 {hosts}\" | sudo tee -a /etc/hosts`"
    );
    let unknown = format!(
        "the system's resolver does not know `{asked}`; browsers and curl know such names by themselves"
    );
    let addresses = match &seen.addresses {
        Asked::Answered(addresses) if !addresses.is_empty() => addresses,
        Asked::Answered(_) | Asked::Refused(_) => return Check::warning(name, unknown, hint),
        Asked::Late(limit) => {
            let found = format!(
                "the system's resolver did not say within {} what `{asked}` is",
                duration(*limit)
            );
            return Check::warning(name, found, hint);
        }
        Asked::Not(why) => return Check::skipped(name, *why),
    };
    let is = addresses
        .iter()
        .map(IpAddr::to_string)
        .collect::<Vec<_>>()
        .join(" and ");
    match addresses.iter().all(IpAddr::is_loopback) {
        true => Check::ok(name, format!("`{asked}` is {is}")),
        false => Check::warning(
            name,
            format!("`{asked}` is {is}, which is not this machine: somebody's name server says so"),
            hint,
        ),
    }
}

pub(super) fn disk(seen: &Asked<Vec<Disk>>) -> Check {
    let name = "disk";
    let disks = answer_or_return!(name, seen);
    let found: Vec<String> = disks.iter().map(shown).collect();
    let found = found.join("; ");
    let hint = "see what takes it: `docker system df`";
    let worst = disks.iter().map(fullness).max().unwrap_or(Fullness::Fine);
    match worst {
        Fullness::Fine => Check::ok(name, found),
        Fullness::Little => Check::warning(name, found, hint),
        Fullness::Nothing => Check::failed(name, found, hint),
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Fullness {
    Fine,
    Little,
    Nothing,
}

fn fullness(disk: &Disk) -> Fullness {
    let is_out_of_files = disk.files > 0 && disk.free_files == 0;
    if disk.free < NOTHING || is_out_of_files {
        return Fullness::Nothing;
    }
    if disk.free < LITTLE
        || is_little(disk.free, disk.size)
        || is_little(disk.free_files, disk.files)
    {
        return Fullness::Little;
    }
    Fullness::Fine
}

/// Of what has no bound, there is always enough.
fn is_little(free: u64, all: u64) -> bool {
    u128::from(free) * 100 < u128::from(all) * u128::from(LITTLE_PERCENT)
}

fn shown(disk: &Disk) -> String {
    let files = match is_little(disk.free_files, disk.files) {
        true => format!(", and room for {} more files", disk.free_files),
        false => String::new(),
    };
    format!(
        "{} of {} free for {} ({}){files}",
        size(disk.free),
        size(disk.size),
        disk.what,
        disk.path.display()
    )
}

pub(super) fn clock(seen: &Asked<Clock>) -> Check {
    let name = "clock";
    let clock = answer_or_return!(name, seen);
    let (is_ahead, apart) = apart(clock);
    let took = clock.after.duration_since(clock.before).unwrap_or_default();
    // The engine looked at its clock at some time in between.
    if apart <= APART + took / 2 {
        return Check::ok(
            name,
            format!(
                "the engine's and this machine's differ by {}",
                duration(apart)
            ),
        );
    }
    let way = if is_ahead { "ahead of" } else { "behind" };
    Check::warning(
        name,
        format!("the engine's is {} {way} this machine's", duration(apart)),
        "on the machine that is wrong: `sudo timedatectl set-ntp true`",
    )
}

/// Whether the engine is ahead, and by how much.
fn apart(clock: &Clock) -> (bool, Duration) {
    let took = clock.after.duration_since(clock.before).unwrap_or_default();
    let ours: SystemTime = clock.before + took / 2;
    match clock.engine.duration_since(ours) {
        Ok(ahead) => (true, ahead),
        Err(behind) => (false, behind.duration()),
    }
}

pub(super) fn ranges(seen: &Asked<Ranges>) -> Check {
    let name = "ranges";
    let seen = answer_or_return!(name, seen);
    let ours = seen.networks.iter().filter(|network| network.is_ours);
    let ours = u32::try_from(ours.count()).unwrap_or(u32::MAX);
    let clashes = clashes(&seen.networks, &seen.routes);
    if ours == 0 {
        return Check::ok(name, "there is no network of ours yet");
    }
    if clashes.is_empty() {
        return Check::ok(
            name,
            format!(
                "{}, whose addresses are nobody else's",
                plural(ours, "network")
            ),
        );
    }
    let told = clashes.iter().map(|clash| {
        let (network, range) = (&clash.network, clash.range);
        match &clash.with {
            Other::Network { name, range: other } => {
                format!("{network} ({range}) has addresses of the network {name} ({other})")
            }
            Other::Host {
                device,
                range: other,
            } => format!("{network} ({range}) has addresses that {device} leads to ({other})"),
        }
    });
    let free = free_range(&seen.networks, &seen.routes)
        .map_or_else(|| "10.213.200.0/24".to_owned(), |range| range.to_string());
    Check::warning(
        name,
        listed(told),
        format!(
            "give it others: in cosmos.toml under [network] `isolated = true` and `subnet = \"{free}\"`, then `cosmos up`"
        ),
    )
}

pub(super) fn config(seen: &Config) -> Check {
    let name = "config";
    let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
    let check = "see where: `cosmos check`";
    match seen {
        Config::None => Check::skipped(name, "there is no cosmos.toml here or above"),
        Config::Valid {
            file,
            services,
            warnings,
        } => {
            let found = format!(
                "{} is valid: {}",
                file.display(),
                plural(count(*services), "service")
            );
            match warnings {
                0 => Check::ok(name, found),
                warnings => Check::warning(
                    name,
                    format!("{found}, {}", plural(count(*warnings), "warning")),
                    check,
                ),
            }
        }
        Config::Invalid { file, mistakes } => Check::failed(
            name,
            format!(
                "{} has {}",
                file.display(),
                plural(count(*mistakes), "mistake")
            ),
            check,
        ),
        Config::Unsupported { file } => Check::failed(
            name,
            format!(
                "{} asks for `engine = \"swarm\"`, which there is not yet",
                file.display()
            ),
            "take it out of [workspace]: it is Docker then, or Podman",
        ),
        Config::Late(limit) => Check::warning(
            name,
            format!("the config was not read within {}", duration(*limit)),
            check,
        ),
    }
}

/// Only said: nothing of it is wrong.
pub(super) fn terminal(seen: &Terminal) -> Check {
    let mut said = match seen.is_terminal {
        true => vec!["a terminal".to_owned()],
        false => vec!["no terminal".to_owned()],
    };
    if let Some(kind) = &seen.kind {
        said.push(format!("TERM={kind}"));
    }
    if let Some(width) = seen.width.filter(|_| seen.is_terminal) {
        said.push(format!("{width} columns"));
    }
    said.push(match &seen.locale {
        Some(locale) if is_utf8(locale) => format!("UTF-8 ({locale})"),
        Some(locale) => format!("no UTF-8 ({locale})"),
        None => "no locale".to_owned(),
    });
    if seen.no_colour {
        said.push("NO_COLOR".to_owned());
    }
    Check::ok("terminal", said.join(", "))
}

fn is_utf8(locale: &str) -> bool {
    let locale = locale.to_ascii_lowercase();
    locale.contains("utf-8") || locale.contains("utf8")
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::{super::State, *};
    use crate::{
        cli::doctor::range::{Range, Route},
        docker::diagnose::ListedNetwork,
    };

    fn resolved(addresses: &[&str]) -> Check {
        names(&Names {
            asked: "x.localhost",
            addresses: Asked::Answered(
                addresses
                    .iter()
                    .map(|address| address.parse().unwrap())
                    .collect(),
            ),
            hosts: vec!["web.shop.localhost".to_owned()],
        })
    }

    #[test]
    fn a_name_that_is_this_machine_is_fine() {
        let check = resolved(&["127.0.0.1", "::1"]);
        assert_eq!(check.state, State::Ok);
        assert_eq!(check.found, "`x.localhost` is 127.0.0.1 and ::1");
    }

    #[test]
    fn a_name_that_nobody_knows_gets_a_line_for_the_hosts_file() {
        let check = resolved(&[]);
        assert_eq!(check.state, State::Warning);
        assert!(check.found.contains("browsers and curl"), "{check:?}");
        assert!(
            check
                .hint
                .unwrap()
                .ends_with("`echo \"127.0.0.1 web.shop.localhost\" | sudo tee -a /etc/hosts`")
        );
    }

    #[test]
    fn a_name_that_is_somebody_elses_machine_is_a_warning() {
        let check = resolved(&["203.0.113.7"]);
        assert_eq!(check.state, State::Warning);
        assert!(check.found.contains("not this machine"), "{check:?}");
    }

    const GB: u64 = 1_000_000_000;

    fn full(size: u64, free: u64) -> Disk {
        Disk {
            what: "the engine's data",
            path: "/var/lib/docker".into(),
            size,
            free,
            files: 1_000,
            free_files: 500,
        }
    }

    fn judged(disk_seen: Disk) -> Check {
        disk(&Asked::Answered(vec![disk_seen]))
    }

    #[test]
    fn a_disk_is_told_with_what_is_free_of_it() {
        let check = judged(full(100 * GB, 50 * GB));
        assert_eq!(check.state, State::Ok);
        assert_eq!(
            check.found,
            "50.0 GB of 100.0 GB free for the engine's data (/var/lib/docker)"
        );
    }

    #[test]
    fn a_disk_is_a_warning_below_five_gigabytes_or_percent_and_a_failure_below_half_a_gigabyte() {
        for (size, free, state) in [
            (100 * GB, 5 * GB, State::Ok),
            (100 * GB, 5 * GB - 1, State::Warning),
            (1_000 * GB, 49 * GB, State::Warning),
            (20 * GB, GB / 2, State::Warning),
            (20 * GB, GB / 2 - 1, State::Failed),
            (20 * GB, 0, State::Failed),
        ] {
            assert_eq!(judged(full(size, free)).state, state, "{free} of {size}");
        }
        let hint = judged(full(20 * GB, 0)).hint.unwrap();
        assert!(hint.ends_with("`docker system df`"), "{hint}");
    }

    #[test]
    fn a_disk_can_be_full_of_files() {
        let with = |files, free_files| {
            judged(Disk {
                files,
                free_files,
                ..full(100 * GB, 50 * GB)
            })
        };
        assert_eq!(with(1_000, 0).state, State::Failed);
        let few = with(1_000, 49);
        assert_eq!(few.state, State::Warning);
        assert!(
            few.found.ends_with(", and room for 49 more files"),
            "{few:?}"
        );
        assert_eq!(with(0, 0).state, State::Ok);
    }

    #[test]
    fn the_worst_of_several_disks_counts() {
        let disks = vec![full(100 * GB, 50 * GB), full(20 * GB, 0)];
        assert_eq!(disk(&Asked::Answered(disks)).state, State::Failed);
    }

    /// The engine so many milliseconds after half of the time that the question took.
    fn off(millis: i64, took: u64) -> Check {
        let before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let after = before + Duration::from_millis(took);
        let middle = before + Duration::from_millis(took / 2);
        let by = Duration::from_millis(millis.unsigned_abs());
        let engine = if millis < 0 { middle - by } else { middle + by };
        clock(&Asked::Answered(Clock {
            before,
            engine,
            after,
        }))
    }

    #[test]
    fn a_clock_is_a_warning_beyond_two_seconds_either_way() {
        assert_eq!(
            off(3, 2).found,
            "the engine's and this machine's differ by 3 ms"
        );
        assert_eq!(off(2_000, 0).state, State::Ok);
        let ahead = off(2_001, 0);
        assert_eq!(ahead.state, State::Warning);
        assert_eq!(ahead.found, "the engine's is 2.0 s ahead of this machine's");
        let behind = off(-3_600_000, 0);
        assert_eq!(behind.state, State::Warning);
        assert!(behind.found.contains("60 min 0 s behind"), "{behind:?}");
    }

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        assert_eq!(off(2_400, 1_000).state, State::Ok);
        assert_eq!(off(2_600, 1_000).state, State::Warning);
    }

    fn network(name: &str, subnet: &str) -> ListedNetwork {
        ListedNetwork {
            name: name.to_owned(),
            is_ours: name.starts_with("cosmos"),
            driver: "bridge".to_owned(),
            bridge: format!("br-{name}"),
            subnets: vec![subnet.to_owned()],
        }
    }

    fn addressed(networks: &[ListedNetwork], routes: &[Route]) -> Check {
        ranges(&Asked::Answered(Ranges {
            networks: networks.to_vec(),
            routes: routes.to_vec(),
        }))
    }

    #[test]
    fn both_sides_of_a_clash_are_named() {
        let ours = network("cosmos-net", "172.18.0.0/16");
        assert_eq!(addressed(from_ref(&ours), &[]).state, State::Ok);
        let vpn = Route {
            range: Range::parse("172.16.0.0/12").unwrap(),
            device: "tun0".to_owned(),
            is_direct: false,
        };
        let check = addressed(from_ref(&ours), &[vpn]);
        assert_eq!(check.state, State::Warning);
        assert_eq!(
            check.found,
            "cosmos-net (172.18.0.0/16) has addresses that tun0 leads to (172.16.0.0/12)"
        );
        assert!(
            check
                .hint
                .unwrap()
                .contains("`subnet = \"10.213.200.0/24\"`")
        );
        let theirs = network("theirs", "172.18.0.0/24");
        let check = addressed(&[ours, theirs], &[]);
        assert!(
            check.found.contains("the network theirs (172.18.0.0/24)"),
            "{check:?}"
        );
        assert_eq!(addressed(&[], &[]).state, State::Ok);
    }

    #[test]
    fn the_config_here_is_valid_doubtful_or_wrong() {
        let file = || "/src/cosmos.toml".into();
        let valid = |warnings| {
            config(&Config::Valid {
                file: file(),
                services: 2,
                warnings,
            })
        };
        assert_eq!(valid(0).found, "/src/cosmos.toml is valid: 2 services");
        assert_eq!(valid(0).state, State::Ok);
        assert_eq!(valid(1).state, State::Warning);
        assert!(valid(1).found.ends_with(", 1 warning"));
        let invalid = config(&Config::Invalid {
            file: file(),
            mistakes: 3,
        });
        assert_eq!(invalid.state, State::Failed);
        assert_eq!(invalid.found, "/src/cosmos.toml has 3 mistakes");
        assert_eq!(
            config(&Config::Unsupported { file: file() }).state,
            State::Failed
        );
        assert_eq!(config(&Config::None).state, State::Skipped);
        assert_eq!(
            config(&Config::Late(Duration::from_secs(2))).state,
            State::Warning
        );
    }

    #[test]
    fn the_terminal_is_told_and_never_wrong() {
        let seen = Terminal {
            is_terminal: true,
            kind: Some("xterm-256color".to_owned()),
            width: Some(80),
            locale: Some("C.UTF-8".to_owned()),
            no_colour: true,
        };
        let check = terminal(&seen);
        assert_eq!(check.state, State::Ok);
        assert_eq!(
            check.found,
            "a terminal, TERM=xterm-256color, 80 columns, UTF-8 (C.UTF-8), NO_COLOR"
        );
        let none = terminal(&Terminal {
            width: Some(80),
            ..Terminal::default()
        });
        assert_eq!(none.found, "no terminal, no locale");
    }
}
