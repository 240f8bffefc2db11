//! Says where a host and path lead.
//!
//! [`Routes`] is rebuilt whole from what is wanted and what is there, and never
//! changed: a request reads one table from its start to its end. Nothing here
//! asks the engine or the store.
//!
//! The order: exact host, then the most specific wildcard, then the default
//! route; among the routes of one host the longest path that fits. Before all of
//! them comes what a container asks the proxy itself for: `/_routes/..`.

mod derive;

use std::{
    collections::{BTreeMap, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::derive::RouteInputs;
use super::authority::Authority;
use crate::workspace::CaptureMode;

/// What paths begin with by which a container asks for an outside route.
const INSIDE_PREFIX: &str = "/_routes/";

/// Where an upstream listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// A container's own address.
    Socket(SocketAddr),
    /// The same, where HTTP/2 is spoken from the first byte.
    Http2(SocketAddr),
    /// A name outside, looked up at each connection.
    Name(String, u16),
    /// The same, with TLS: it must prove that it is who it is called.
    Tls {
        /// What it is looked up and verified by.
        host: String,
        /// Its port.
        port: u16,
        /// Who may vouch for it beside those everybody trusts: certificates in
        /// PEM. A part of the key, so that no route uses what another trusts.
        ca: Option<Arc<str>>,
    },
}

/// What connections are kept by: never an address alone, since a stopped
/// container's address goes to another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UpstreamKey {
    /// The container's id, or the outside route's authority.
    pub id: String,
    /// When it was started: a restarted container is another upstream.
    pub started: SystemTime,
    /// Where it listens.
    pub address: Address,
}

/// One container, or one place outside, that answers requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its identity.
    pub key: UpstreamKey,
    /// What people call it: the container's name.
    pub name: String,
    /// Which making of its service it belongs to, where it is one of ours.
    pub generation: Option<String>,
}

/// What a route leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// What people call it: ``service `web` of `shop` ``.
    pub name: String,
    /// The workspace's key, if it is one's.
    pub workspace: Option<String>,
    /// The service's or the outside route's name.
    pub service: Option<String>,
    /// Where it is found, as a person would type it.
    pub url: String,
    /// How long a request waits while it starts, where that was said.
    pub hold: Option<Duration>,
    /// What the inspector keeps of its requests.
    pub capture: CaptureMode,
    /// What answers.
    pub leads: Leads,
}

/// What answers at the end of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leads {
    /// Any of these containers.
    To(Vec<Upstream>),
    /// Nothing yet: its state, in words.
    Nowhere {
        /// Such as `exited with code 1`.
        state: String,
        /// Whether that may change by itself.
        outlook: Outlook,
        /// The id of the container whose last words may say why.
        container: Option<String>,
    },
    /// A server outside the engine, which knows itself by another name.
    Outside {
        /// The server.
        upstream: Upstream,
        /// What it calls itself: its Host.
        authority: String,
        /// What its paths start with, without a slash at the end.
        prefix: String,
    },
    /// Something that this version cannot speak to: why, in words.
    Unsupported {
        /// Such as `https upstreams are not there yet`.
        why: String,
    },
}

/// What may be expected of a target that does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlook {
    /// It is on its way.
    Starting,
    /// It ended then: for good, or only between two starts.
    Ended(SystemTime),
    /// It answers once somebody does something about it.
    Down,
}

impl Target {
    /// What containers call it, if it is an outside route: `workspace/route`.
    fn inside(&self) -> Option<String> {
        let is_outside = matches!(self.leads, Leads::Outside { .. });
        let (workspace, route) = (self.workspace.as_ref()?, self.service.as_ref()?);
        is_outside.then(|| format!("{workspace}/{route}"))
    }

    /// Whether HTTP/2 is spoken there.
    pub(super) fn speaks_http2(&self) -> bool {
        let upstreams = self.upstreams();
        upstreams
            .iter()
            .any(|upstream| matches!(upstream.key.address, Address::Http2(_)))
    }

    /// The upstreams it may use.
    pub fn upstreams(&self) -> &[Upstream] {
        match &self.leads {
            Leads::To(upstreams) => upstreams,
            Leads::Outside { upstream, .. } => std::slice::from_ref(upstream),
            Leads::Nowhere { .. } | Leads::Unsupported { .. } => &[],
        }
    }
}

/// One line of the table, before it is sorted.
#[derive(Debug, Clone)]
pub struct Rule {
    /// A host, or `*.host`; `None` for whatever no other rule takes.
    pub host: Option<String>,
    /// Only paths that start with this, on a segment's end.
    pub path: Option<String>,
    /// What it leads to.
    pub target: Arc<Target>,
}

/// The table: immutable, rebuilt whole.
#[derive(Debug, Default)]
pub struct Routes {
    exact: HashMap<String, Vec<Entry>>,
    /// `.host` of each `*.host`, the longest first.
    wildcards: Vec<(String, Vec<Entry>)>,
    default: Vec<Entry>,
    listed: Vec<Arc<Target>>,
    /// The proxy's own name in its networks; empty if it has none.
    proxy: String,
    /// Outside routes, by `workspace/route`.
    inside: BTreeMap<String, Arc<Target>>,
    conflicts: Vec<String>,
}

#[derive(Debug)]
struct Entry {
    path: Option<String>,
    target: Arc<Target>,
}

impl Routes {
    /// Sorts rules into a table. Of two rules for one host and path the first holds.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut routes = Self::default();
        let mut wildcards: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
        for rule in rules {
            if let Some(name) = rule.target.inside() {
                let target = || Arc::clone(&rule.target);
                routes.inside.entry(name).or_insert_with(target);
            }
            let named = rule
                .host
                .clone()
                .unwrap_or_else(|| "the default route".to_owned());
            let entries = match &rule.host {
                None => &mut routes.default,
                Some(host) => match host.strip_prefix('*') {
                    Some(suffix) => wildcards.entry(suffix.to_ascii_lowercase()).or_default(),
                    None => routes.exact.entry(canonical(host)).or_default(),
                },
            };
            // `/` and no path at all are the same claim.
            let path = rule
                .path
                .map(|path| path.trim_end_matches('/').to_owned())
                .filter(|path| !path.is_empty());
            if let Some(holder) = entries.iter().find(|entry| entry.path == path) {
                if holder.target != rule.target {
                    routes.conflicts.push(format!(
                        "{} cannot have {named}{}: {} has it",
                        rule.target.name,
                        path.unwrap_or_default(),
                        holder.target.name
                    ));
                }
                continue;
            }
            if !routes
                .listed
                .iter()
                .any(|target| Arc::ptr_eq(target, &rule.target))
            {
                routes.listed.push(Arc::clone(&rule.target));
            }
            entries.push(Entry {
                path,
                target: rule.target,
            });
        }
        routes.wildcards = wildcards.into_iter().collect();
        routes
            .wildcards
            .sort_by_key(|(suffix, _)| std::cmp::Reverse(suffix.len()));
        let all = routes
            .exact
            .values_mut()
            .chain(routes.wildcards.iter_mut().map(|(_, entries)| entries))
            .chain(std::iter::once(&mut routes.default));
        for entries in all {
            entries
                .sort_by_key(|entry| std::cmp::Reverse(entry.path.as_ref().map_or(0, String::len)));
        }
        routes
    }

    /// Where a host (as [`Authority`] reads it) and a path lead.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Target>> {
        let exact = self.exact.get(host).and_then(|entries| fit(entries, path));
        if exact.is_some() {
            return exact;
        }
        self.wildcards
            .iter()
            .filter(|(suffix, _)| is_under(host, suffix))
            .find_map(|(_, entries)| fit(entries, path))
            .or_else(|| fit(&self.default, path))
    }

    /// The same table, for a proxy that containers know by this name.
    #[must_use]
    pub fn of_proxy(mut self, name: &str) -> Self {
        name.clone_into(&mut self.proxy);
        self
    }

    /// Whether a container asks for an outside route with this. Nothing else
    /// ever answers then.
    pub fn is_from_inside(&self, host: &str, path: &str) -> bool {
        !host.is_empty() && host == self.proxy && path.starts_with(INSIDE_PREFIX)
    }

    /// Where `/_routes/<workspace>/<route>/..` leads, and how much of the path
    /// only said so.
    pub fn find_from_inside(&self, path: &str) -> Option<(&Arc<Target>, usize)> {
        let names = path.strip_prefix(INSIDE_PREFIX)?;
        let workspace = names.find('/')?;
        let route = names[workspace + 1..].find('/');
        let end = route.map_or(names.len(), |route| workspace + 1 + route);
        let target = self.inside.get(&names[..end])?;
        Some((target, INSIDE_PREFIX.len() + end))
    }

    /// The paths of [`Self::find_from_inside`], and where they lead.
    pub fn from_inside(&self) -> impl Iterator<Item = (String, &Target)> {
        let path = |name: &str| format!("{INSIDE_PREFIX}{name}/");
        let inside = self.inside.iter();
        inside.map(move |(name, target)| (path(name), target.as_ref()))
    }

    /// Whether a route other than the default one answers to the host.
    pub fn is_live(&self, host: &str) -> bool {
        self.exact.contains_key(host)
            || self
                .wildcards
                .iter()
                .any(|(suffix, _)| is_under(host, suffix))
    }

    /// Everything that can be reached, in the order of the files.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.shared_targets().map(AsRef::as_ref)
    }

    /// The same, to be kept.
    pub(super) fn shared_targets(&self) -> impl Iterator<Item = &Arc<Target>> {
        self.listed.iter()
    }

    /// Claims that were not granted, in words.
    pub fn conflicts(&self) -> &[String] {
        &self.conflicts
    }
}

fn canonical(host: &str) -> String {
    Authority::parse(host.as_bytes())
        .map_or_else(|| host.to_ascii_lowercase(), |authority| authority.host)
}

fn is_under(host: &str, suffix: &str) -> bool {
    host.len() > suffix.len() && host.ends_with(suffix)
}

/// The entry with the longest path that fits: they are sorted so.
fn fit<'a>(entries: &'a [Entry], path: &str) -> Option<&'a Arc<Target>> {
    entries
        .iter()
        .find(|entry| match &entry.path {
            None => true,
            Some(prefix) => path
                .strip_prefix(prefix.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
        })
        .map(|entry| &entry.target)
}

#[cfg(test)]
mod tests;
