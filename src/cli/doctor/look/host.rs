//! What this machine itself tells: its files, its disks, its routes, its resolver, its
//! terminal.

use std::{
    collections::BTreeSet,
    env, fs, io,
    io::IsTerminal as _,
    net::{IpAddr, ToSocketAddrs as _},
    os::unix::fs::{FileTypeExt as _, MetadataExt as _},
    path::Path,
    process::Stdio,
};

use rustix::fs::{Access, StatVfs, access, statvfs};
use tokio::{net::UnixStream, process::Command, task::spawn_blocking};

use super::super::{
    range::{Route, routes_v4, routes_v6},
    seen::{Asked, Disk, Socket, SocketFile, SocketIs, Terminal},
};
use crate::cli::{terminal_width, who};

/// A socket, and what this user may do with it.
pub(super) fn socket(path: &Path) -> Socket {
    let is = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => SocketIs::Hidden,
        Err(_) => SocketIs::Absent,
        Ok(metadata) => {
            let groups = fs::read_to_string("/etc/group").unwrap_or_default();
            let (group, members) = group_of(&groups, metadata.gid());
            SocketIs::There(SocketFile {
                is_socket: metadata.file_type().is_socket(),
                may_use: access(path, Access::READ_OK | Access::WRITE_OK).is_ok(),
                mode: metadata.mode(),
                group: group.unwrap_or_else(|| metadata.gid().to_string()),
                group_id: metadata.gid(),
                is_new_member: members.contains(&who::user()) && !is_in_group(metadata.gid()),
            })
        }
    };
    Socket {
        path: path.to_owned(),
        is,
    }
}

/// The name and the members of a group, by its number, in the form of `/etc/group`.
fn group_of(groups: &str, id: u32) -> (Option<String>, Vec<String>) {
    let found = groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let number: u32 = fields.nth(1)?.parse().ok()?;
        let members = fields.next().unwrap_or_default();
        (number == id).then(|| {
            let members = members.split(',').map(str::to_owned).collect();
            (name.to_owned(), members)
        })
    });
    found.map_or((None, Vec::new()), |(name, members)| (Some(name), members))
}

/// Whether this very process is in a group.
fn is_in_group(id: u32) -> bool {
    let groups = rustix::process::getgroups().unwrap_or_default();
    rustix::process::getegid().as_raw() == id || groups.iter().any(|group| group.as_raw() == id)
}

/// Whether somebody takes calls at a socket.
pub(super) async fn takes_calls(path: &Path) -> bool {
    UnixStream::connect(path).await.is_ok()
}

/// The disks of the engine's data and of our state, as far as this user sees them.
pub(super) fn disks(root: &str, volume: Option<&str>) -> Asked<Vec<Disk>> {
    if root.is_empty() {
        return Asked::Not("the engine does not say where its data is");
    }
    let Ok(data) = statvfs(root) else {
        return Asked::Not("the engine's data cannot be seen from here");
    };
    let mut disks = vec![disk("the engine's data", root, &data)];
    // On the same disk it is the same figures. Of a folder that only root enters, nobody else knows.
    if let Some(volume) = volume
        && let Ok(state) = statvfs(volume)
        && (state.f_fsid, state.f_blocks) != (data.f_fsid, data.f_blocks)
    {
        disks.push(disk("the proxy's state", volume, &state));
    }
    Asked::Answered(disks)
}

fn disk(what: &'static str, path: &str, seen: &StatVfs) -> Disk {
    Disk {
        what,
        path: path.into(),
        size: seen.f_blocks.saturating_mul(seen.f_frsize),
        free: seen.f_bavail.saturating_mul(seen.f_frsize),
        files: seen.f_files,
        free_files: seen.f_favail,
    }
}

/// Where this machine sends what; nothing where the kernel does not tell.
pub(super) fn routes() -> Vec<Route> {
    let mut routes = routes_v4(&fs::read_to_string("/proc/net/route").unwrap_or_default());
    routes.extend(routes_v6(
        &fs::read_to_string("/proc/net/ipv6_route").unwrap_or_default(),
    ));
    routes
}

/// What the system's resolver makes of a name; nothing if it does not know it.
///
/// `getent` asks it as every program does that is no static one: a static one like this
/// does not have the resolver's modules (`myhostname`, `resolve`), which are what knows
/// `*.localhost` where anything does. Where there is no `getent`, our own has to do.
pub(super) async fn addresses(name: &'static str) -> io::Result<Vec<IpAddr>> {
    let asked = Command::new("getent")
        .args(["ahosts", name])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await;
    match asked {
        Ok(output) => Ok(read_addresses(&String::from_utf8_lossy(&output.stdout))),
        Err(_) => {
            let found = spawn_blocking(move || (name, 80).to_socket_addrs()).await;
            let found = found.map_err(io::Error::other)?;
            // That a name is not known is an error, and so is everything else: no code tells.
            let found: BTreeSet<IpAddr> = found
                .into_iter()
                .flatten()
                .map(|address| address.ip())
                .collect();
            Ok(found.into_iter().collect())
        }
    }
}

/// Reads `127.0.0.1 STREAM x.localhost` and what else `getent ahosts` prints, each address once.
fn read_addresses(text: &str) -> Vec<IpAddr> {
    let found: BTreeSet<IpAddr> = text
        .lines()
        .filter_map(|line| line.split_whitespace().next()?.parse().ok())
        .collect();
    found.into_iter().collect()
}

/// Where this is read.
pub(super) fn terminal() -> Terminal {
    let said = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    Terminal {
        is_terminal: io::stdout().is_terminal(),
        kind: said("TERM"),
        width: terminal_width(),
        locale: ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(said),
        no_colour: said("NO_COLOR").is_some(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::{fs::PermissionsExt as _, net::UnixListener};

    use super::*;

    #[test]
    fn a_group_is_found_by_its_number() {
        let groups = "root:x:0:\nbroken\ndocker:x:998:anna,bob\n";
        assert_eq!(
            group_of(groups, 998),
            (
                Some("docker".to_owned()),
                vec!["anna".to_owned(), "bob".to_owned()]
            )
        );
        assert_eq!(group_of(groups, 7), (None, Vec::new()));
    }

    #[test]
    fn what_is_at_a_socket_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engine.sock");
        assert_eq!(socket(&path).is, SocketIs::Absent);
        fs::write(&path, "").unwrap();
        let SocketIs::There(file) = socket(&path).is else {
            panic!("it is there");
        };
        assert!(!file.is_socket);
        fs::remove_file(&path).unwrap();
        let _engine = UnixListener::bind(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let SocketIs::There(file) = socket(&path).is else {
            panic!("it is there");
        };
        assert!(file.is_socket && file.may_use);
        assert_eq!(file.mode & 0o777, 0o640);
    }

    #[test]
    fn a_disk_is_seen_once_for_all_that_is_on_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_str().unwrap();
        let Asked::Answered(disks) = disks(path, Some(path)) else {
            panic!("it can be seen");
        };
        assert_eq!(disks.len(), 1);
        assert!(disks[0].size > disks[0].free, "{disks:?}");
        assert!(matches!(super::disks("/nowhere", None), Asked::Not(_)));
    }

    #[test]
    fn what_getent_prints_is_read() {
        let text =
            "127.0.0.1       STREAM x.localhost\n127.0.0.1       DGRAM\n::1 STREAM\nnonsense\n";
        assert_eq!(
            read_addresses(text),
            [
                "127.0.0.1".parse::<IpAddr>().unwrap(),
                "::1".parse().unwrap()
            ]
        );
        assert!(read_addresses("").is_empty());
    }
}
