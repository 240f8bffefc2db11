//! What was seen of a machine: plain values, of which [`super::judge`] makes verdicts.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use super::{port::Listener, range::Route};
use crate::{
    api::wire::Version,
    docker::{
        Endpoint, EndpointError, FoundProxy, NamedBy,
        diagnose::{About, ListedContainer, ListedNetwork, Machine},
    },
};

/// What came of a question.
#[derive(Debug, Clone)]
pub(super) enum Asked<T> {
    /// It was answered.
    Answered(T),
    /// It was refused, or answered with nonsense: in these words.
    Refused(String),
    /// No answer came within this time.
    Late(Duration),
    /// It was not asked: this is in the way.
    Not(&'static str),
}

impl<T> Asked<T> {
    pub(super) fn answer(&self) -> Option<&T> {
        match self {
            Self::Answered(answer) => Some(answer),
            _ => None,
        }
    }

    /// What follows from the answer.
    pub(super) fn map<U>(&self, follows: impl FnOnce(&T) -> U) -> Asked<U> {
        self.and_then(|answer| Asked::Answered(follows(answer)))
    }

    /// What is asked once this is answered.
    pub(super) fn and_then<U>(&self, next: impl FnOnce(&T) -> Asked<U>) -> Asked<U> {
        match self {
            Self::Answered(answer) => next(answer),
            Self::Refused(why) => Asked::Refused(why.clone()),
            Self::Late(limit) => Asked::Late(*limit),
            Self::Not(why) => Asked::Not(why),
        }
    }
}

/// All that was seen.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) engine: Engine,
    pub(super) about: Asked<About>,
    pub(super) socket: Option<Socket>,
    pub(super) proxy: Proxy,
    pub(super) port: Asked<Port>,
    pub(super) names: Names,
    pub(super) disks: Asked<Vec<Disk>>,
    pub(super) clock: Asked<Clock>,
    pub(super) ranges: Asked<Ranges>,
    pub(super) leftovers: Leftovers,
    pub(super) config: Config,
    pub(super) terminal: Terminal,
}

/// Where the engine is looked for, and whether it answers there.
#[derive(Debug, Clone)]
pub(super) struct Engine {
    /// Where, and who said so; or why that is not known.
    pub(super) place: Result<(Endpoint, NamedBy), EndpointError>,
    /// How long it took to answer the shortest question.
    pub(super) answers_in: Asked<Duration>,
    /// A socket of an engine that is there, though another place was named.
    pub(super) elsewhere: Option<PathBuf>,
}

/// The engine's socket, and us.
#[derive(Debug, Clone)]
pub(super) struct Socket {
    pub(super) path: PathBuf,
    pub(super) is: SocketIs,
}

/// What is where a socket should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SocketIs {
    /// Nothing.
    Absent,
    /// In a folder that this user may not enter.
    Hidden,
    /// This.
    There(SocketFile),
}

impl Socket {
    /// There is one, and this user may not use it.
    pub(super) fn is_denied(&self) -> bool {
        match &self.is {
            SocketIs::Absent => false,
            SocketIs::Hidden => true,
            SocketIs::There(file) => file.is_socket && !file.may_use,
        }
    }
}

/// Whose a socket is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SocketFile {
    pub(super) is_socket: bool,
    /// Whether this user may read and write it.
    pub(super) may_use: bool,
    /// Its permissions: `0o660`.
    pub(super) mode: u32,
    /// The name of its group, or the number.
    pub(super) group: String,
    /// The group's number.
    pub(super) group_id: u32,
    /// This user was made a member of its group, but this login does not know it yet.
    pub(super) is_new_member: bool,
}

/// The proxy's container, and what answers there.
#[derive(Debug, Clone)]
pub(super) struct Proxy {
    /// The name it should have.
    pub(super) name: String,
    /// The network it should be in.
    pub(super) network: String,
    /// The container of that name.
    pub(super) found: Asked<Option<FoundProxy>>,
    /// Whether its token could be read.
    pub(super) token: Asked<()>,
    /// What answered, given the token.
    pub(super) answer: Asked<Answer>,
}

/// What a proxy says of itself.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) address: SocketAddr,
    pub(super) version: Version,
    pub(super) took: Duration,
}

/// The port that leads to the proxy, or would.
#[derive(Debug, Clone)]
pub(super) struct Port {
    pub(super) number: u16,
    /// A proxy that runs has it.
    pub(super) is_the_proxys: bool,
    /// What listens there; nothing where that cannot be seen.
    pub(super) listeners: Option<Vec<Listener>>,
    /// The containers that are not the proxy and hold it; nothing if no engine told.
    pub(super) containers: Option<Vec<String>>,
    /// The next one that nothing listens on.
    pub(super) next: u16,
}

/// What the system's resolver makes of a name under `.localhost`.
#[derive(Debug, Clone)]
pub(super) struct Names {
    pub(super) asked: &'static str,
    pub(super) addresses: Asked<Vec<IpAddr>>,
    /// The names that the config here gives its services.
    pub(super) hosts: Vec<String>,
}

/// A disk that something of ours is on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Disk {
    /// What is kept there: `the engine's data`.
    pub(super) what: &'static str,
    pub(super) path: PathBuf,
    pub(super) size: u64,
    pub(super) free: u64,
    /// How many files there can be; 0 where there is no such bound.
    pub(super) files: u64,
    pub(super) free_files: u64,
}

/// The engine's time, and ours around it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    pub(super) before: SystemTime,
    pub(super) engine: SystemTime,
    pub(super) after: SystemTime,
}

/// The engine's networks, and where the host sends what.
#[derive(Debug, Clone)]
pub(super) struct Ranges {
    pub(super) networks: Vec<ListedNetwork>,
    pub(super) routes: Vec<Route>,
}

/// What is there and may not be meant to be.
#[derive(Debug, Clone)]
pub(super) struct Leftovers {
    /// The workspaces that the proxy remembers.
    pub(super) workspaces: Asked<Vec<Remembered>>,
    /// Every container.
    pub(super) containers: Asked<Vec<ListedContainer>>,
    /// The volumes of this installation that no container uses.
    pub(super) volumes: Vec<String>,
}

/// A workspace that the proxy remembers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remembered {
    pub(super) key: String,
    pub(super) folder: String,
    pub(super) is: Folder,
}

/// What became of a workspace's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Folder {
    /// It is there, as far as anybody can tell.
    There,
    /// It is there, and has no `cosmos.toml`.
    WithoutConfig,
    /// It is not there.
    Gone,
}

/// The config of the folder we are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Config {
    /// There is none here or above.
    None,
    /// It means something.
    Valid {
        file: PathBuf,
        services: usize,
        warnings: usize,
    },
    /// It does not.
    Invalid { file: PathBuf, mistakes: usize },
    /// It asks for what there is not yet.
    Unsupported { file: PathBuf },
    /// It could not be looked at in time.
    Late(Duration),
}

/// Where this is read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Terminal {
    pub(super) is_terminal: bool,
    /// `TERM`.
    pub(super) kind: Option<String>,
    pub(super) width: Option<usize>,
    /// The locale that letters are in.
    pub(super) locale: Option<String>,
    pub(super) no_colour: bool,
}

impl Seen {
    /// The same, as a stranger may see it: no command line has its arguments.
    pub(super) fn for_strangers(mut self) -> Self {
        let Asked::Answered(port) = &mut self.port else {
            return self;
        };
        for listener in port.listeners.iter_mut().flatten() {
            if let Some(process) = &mut listener.process {
                process.command = process.program().to_owned();
            }
        }
        self
    }

    /// The machine of the engine is this one.
    pub(super) fn is_local(endpoint: &Endpoint, machine: Option<&Machine>) -> bool {
        let is_here = match endpoint {
            Endpoint::Unix(_) => true,
            Endpoint::Tcp(authority) => {
                let host = authority
                    .rsplit_once(':')
                    .map_or(&**authority, |(host, _)| host);
                let address = host.trim_matches(['[', ']']).parse::<IpAddr>();
                host == "localhost" || address.is_ok_and(|address| address.is_loopback())
            }
        };
        is_here && !machine.is_some_and(Machine::is_virtual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_here_if_its_files_can_be() {
        let tcp = |authority: &str| Endpoint::Tcp(authority.to_owned());
        assert!(Seen::is_local(&Endpoint::Unix("/x".into()), None));
        assert!(Seen::is_local(&tcp("127.0.0.1:2375"), None));
        assert!(Seen::is_local(&tcp("[::1]:2375"), None));
        assert!(!Seen::is_local(&tcp("10.0.0.2:2375"), None));
        let desktop = Machine {
            operating_system: "Docker Desktop".to_owned(),
            ..Machine::default()
        };
        assert!(!Seen::is_local(
            &Endpoint::Unix("/x".into()),
            Some(&desktop)
        ));
    }
}
