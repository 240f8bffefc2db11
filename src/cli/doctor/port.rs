//! Who listens on a port of this machine, as the kernel tells it.
//!
//! `/proc/net/tcp` says which sockets listen, and `/proc/PID/fd` whose they are: of
//! other users' processes only root is told. Where there is no `/proc`, nobody is known.

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::Path,
};

/// `TCP_LISTEN`.
const LISTENS: &str = "0A";

/// As much of a command line as is worth reading.
const SHOWN_COMMAND: usize = 60;

/// A socket that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listener {
    pub(super) address: SocketAddr,
    /// The user that it belongs to, by number.
    pub(super) user: u32,
    /// Whose it is, if that can be seen.
    pub(super) process: Option<Process>,
    inode: u64,
}

/// A process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Process {
    pub(super) id: u32,
    /// Its program and its arguments.
    pub(super) command: String,
}

impl Process {
    /// Its program, without the arguments: those can hold a secret.
    pub(super) fn program(&self) -> &str {
        self.command.split(' ').next().unwrap_or_default()
    }
}

impl Listener {
    #[cfg(test)]
    pub(super) fn of(address: SocketAddr, process: Option<Process>) -> Self {
        Self {
            address,
            user: 0,
            process,
            inode: 0,
        }
    }

    /// Whether the proxy cannot listen on the loopback because of it.
    pub(super) fn is_in_the_way_of(&self, port: u16) -> bool {
        let is_there = match self.address.ip() {
            IpAddr::V4(address) => address.is_unspecified() || address == Ipv4Addr::LOCALHOST,
            IpAddr::V6(address) => address.is_unspecified() || address == Ipv6Addr::LOCALHOST,
        };
        self.address.port() == port && is_there
    }
}

/// Every socket that listens; nothing where the kernel does not tell.
pub(super) fn listeners() -> Option<Vec<Listener>> {
    let mut listeners = read(&fs::read_to_string("/proc/net/tcp").ok()?);
    listeners.extend(read(
        &fs::read_to_string("/proc/net/tcp6").unwrap_or_default(),
    ));
    Some(listeners)
}

/// Finds out whose these are.
pub(super) fn find_holders(listeners: &mut [Listener]) {
    let mut wanted: BTreeMap<u64, &mut Listener> = listeners
        .iter_mut()
        .map(|listener| (listener.inode, listener))
        .collect();
    if wanted.is_empty() {
        return;
    }
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for id in ids {
        let folder = format!("/proc/{id}");
        let files = fs::read_dir(format!("{folder}/fd"));
        for file in files.into_iter().flatten().flatten() {
            let Some(inode) = fs::read_link(file.path()).ok().as_deref().and_then(socket) else {
                continue;
            };
            if let Some(listener) = wanted.get_mut(&inode) {
                // A child that inherited it is as much its holder: the first one is told.
                listener.process.get_or_insert_with(|| Process {
                    id,
                    command: command(&folder),
                });
            }
        }
    }
}

/// Reads `socket:[4711]`.
fn socket(link: &Path) -> Option<u64> {
    let inode = link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
    inode.parse().ok()
}

fn command(folder: &str) -> String {
    let words = fs::read(format!("{folder}/cmdline")).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).replace('\0', " ");
    match short(&words) {
        command if command.is_empty() => {
            let name = fs::read_to_string(format!("{folder}/comm")).unwrap_or_default();
            name.trim().to_owned()
        }
        command => command,
    }
}

/// A command line without the path of its program, and not longer than is read.
fn short(words: &str) -> String {
    let words = words.trim();
    let program = words.split(' ').next().unwrap_or_default();
    let path = program.rfind('/').map_or(0, |slash| slash + 1);
    let words = &words[path..];
    match words.char_indices().nth(SHOWN_COMMAND) {
        Some((end, _)) => format!("{}..", &words[..end]),
        None => words.to_owned(),
    }
}

/// Reads `/proc/net/tcp` and `/proc/net/tcp6`.
fn read(text: &str) -> Vec<Listener> {
    text.lines().skip(1).filter_map(listener).collect()
}

fn listener(line: &str) -> Option<Listener> {
    let mut fields = line.split_whitespace().skip(1);
    let local = fields.next()?;
    let state = fields.nth(1)?;
    let user = fields.nth(3)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    (state == LISTENS).then_some(Listener {
        address: address(local)?,
        user,
        process: None,
        inode,
    })
}

/// Reads `0100007F:1F90`: words of 32 bits as the machine has them in memory.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(address.get(at..at + 8)?, 16).ok();
    let address = match address.len() {
        8 => IpAddr::V4(word(0)?.to_ne_bytes().into()),
        32 => {
            let mut bytes = [0; 16];
            for (place, chunk) in bytes.chunks_mut(4).enumerate() {
                chunk.copy_from_slice(&word(place * 8)?.to_ne_bytes());
            }
            IpAddr::V6(bytes.into())
        }
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn sockets_that_listen_are_read_and_others_are_not() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
            \x20  0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 550 1 00000000ff354878 100 0 0 10 0\n\
            \x20  1: 020200C0:CE2E 507100CB:0050 06 00000000:00000000 03:00000996 00000000     0        0 0 3 0000000066e5e6fb\n";
        let found = read(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, "127.0.0.1:8080".parse().unwrap());
        assert_eq!((found[0].user, found[0].inode), (1000, 550));
        let six = "header\n 0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 0:0 00:0 0 0 0 7 1\n";
        assert_eq!(read(six)[0].address, "[::1]:8080".parse().unwrap());
    }

    #[test]
    fn only_what_has_the_loopback_is_in_the_way() {
        let at = |address: &str| Listener::of(address.parse().unwrap(), None);
        for address in ["127.0.0.1:8080", "0.0.0.0:8080", "[::]:8080", "[::1]:8080"] {
            assert!(at(address).is_in_the_way_of(8080), "{address}");
        }
        for address in ["127.0.0.1:8081", "192.168.1.5:8080", "127.0.0.2:8080"] {
            assert!(!at(address).is_in_the_way_of(8080), "{address}");
        }
    }

    #[test]
    fn this_very_process_is_found_by_what_it_holds() {
        let held = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = held.local_addr().unwrap();
        let mut found = listeners().unwrap();
        found.retain(|listener| listener.address == address);
        find_holders(&mut found);
        let process = found[0].process.as_ref().unwrap();
        assert_eq!(process.id, std::process::id());
        assert!(process.program().starts_with("cosmos"), "{process:?}");
    }

    #[test]
    fn a_command_is_told_without_its_path_and_not_at_any_length() {
        let command = short("/usr/bin/python3 -m http.server /a ");
        assert_eq!(command, "python3 -m http.server /a");
        let process = Process { id: 1, command };
        assert_eq!(process.program(), "python3");
        let long = short(&"x".repeat(100));
        assert_eq!(long.len(), SHOWN_COMMAND + 2);
    }
}
