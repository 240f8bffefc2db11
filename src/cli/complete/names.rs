//! Names of what there is here, for completion: quick, and silent about what is wrong.
//!
//! Names of a config are read from its files, valid or not, and need nothing else. What
//! runs is asked of the proxy that was known last: it is neither looked for, nor made,
//! nor waited for.

use std::{path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{
    line::Line,
    offer::{Candidate, Lookup},
};
use crate::{
    api::{
        client::encoded,
        wire::{Containers, ExchangeList, History, RevisionState},
    },
    cli::{
        args::{Global, Project},
        bootstrap, context, help,
        history::ago,
    },
    config::{self, Declared, SecretReading},
};

/// A person has pressed a key, and waits.
const ANSWERS_IN: Duration = Duration::from_millis(150);

/// Nobody reads through more of them.
const NEWEST: usize = 20;

/// What requests can be looked for with, as `cosmos help http` tells it.
const TERMS: [(&str, &str); 18] = [
    ("service:", "of this service"),
    ("workspace:", "of this workspace"),
    ("host:", "to this host name"),
    ("container:", "answered by this container"),
    ("method:", "with this method"),
    ("path:", "with this in their path"),
    ("type:", "with this type of content"),
    ("status:", "with this status: 404, 5xx"),
    ("slower:", "that took longer: 200ms"),
    ("faster:", "that took less time"),
    ("number:", "with this number"),
    ("is:open", "that are not over"),
    ("is:error", "that failed"),
    ("is:websocket", "that are WebSockets"),
    ("is:sse", "that are streams of events"),
    ("is:replay", "that were sent again"),
    ("method:GET", "with this method"),
    ("method:POST", "with this method"),
];

/// Where names are looked up: as the options before the cursor say.
pub(super) struct Names {
    global: Global,
    project: Project,
    declared: Option<Declared>,
}

impl Names {
    pub(super) fn of(line: &Line<'_>) -> Self {
        let file = ["verb_file", "file"].iter().find_map(|id| line.value(id));
        let many = |id| line.values(id).map(str::to_owned).collect();
        // What is empty in the environment is not set.
        let instance = line.value("instance").map(str::to_owned);
        let instance = instance.or_else(|| std::env::var("COSMOS_INSTANCE").ok());
        Self {
            global: Global {
                instance: instance.filter(|name| !name.is_empty()),
                ..Global::default()
            },
            project: Project {
                file: file.map(PathBuf::from),
                profiles: many("profiles"),
                set: many("set"),
            },
            declared: None,
        }
    }

    /// What is called so; nothing where it cannot be found out.
    pub(super) async fn look_up(&mut self, what: Lookup, typed: &str) -> Vec<Candidate> {
        match what {
            Lookup::Services => self.services(),
            Lookup::Counts => self.counts(typed),
            Lookup::Commands => named(&self.declared().commands, "command"),
            Lookup::BuiltImages => named(&self.declared().built, "image that is built here"),
            Lookup::PulledImages => named(&self.declared().pulled, "image"),
            Lookup::References => named(&self.declared().references, "image"),
            Lookup::Profiles => named(&self.declared().profiles, "profile"),
            Lookup::Running => self.containers(true).await.unwrap_or_default(),
            Lookup::Containers => self.containers(false).await.unwrap_or_default(),
            Lookup::Entries => self.entries().await.unwrap_or_default(),
            Lookup::Revisions => self.revisions().await.unwrap_or_default(),
            Lookup::Exchanges => exchanges().await.unwrap_or_default(),
            Lookup::Terms => self.terms(),
            Lookup::Topics => help::topics()
                .map(|(name, about)| Candidate::new(name, about))
                .collect(),
            Lookup::Files => Vec::new(),
        }
    }

    fn declared(&mut self) -> &Declared {
        self.declared.get_or_insert_with(|| {
            let sources = context::sources(&self.global, &self.project, SecretReading::None);
            sources.map_or_else(
                |_| Declared::default(),
                |sources| config::declared(&sources),
            )
        })
    }

    fn services(&mut self) -> Vec<Candidate> {
        let services = self.declared().services.iter();
        services
            .map(|(name, _)| Candidate::new(name, "service"))
            .collect()
    }

    /// `web=`; and behind it, how many there could be.
    fn counts(&mut self, typed: &str) -> Vec<Candidate> {
        let services = self.declared().services.iter();
        let Some((service, _)) = typed.split_once('=') else {
            return services
                .map(|(name, _)| Candidate::new(format!("{name}="), "service"))
                .collect();
        };
        let Some((_, declared)) = services.into_iter().find(|(name, _)| name == service) else {
            return Vec::new();
        };
        let declared = declared.unwrap_or(1);
        let about = |count| match count == declared {
            true => "as many as the config says",
            false => "",
        };
        let mut counts: Vec<i64> = (0..=5).collect();
        if declared > 5 {
            counts.push(declared);
        }
        counts
            .into_iter()
            .map(|count| Candidate::new(format!("{service}={count}"), about(count)))
            .collect()
    }

    fn terms(&mut self) -> Vec<Candidate> {
        let terms = TERMS.map(|(term, about)| Candidate::new(term, about));
        let services = self.declared().services.iter();
        let of_services =
            services.map(|(name, _)| Candidate::new(format!("service:{name}"), "of this service"));
        terms.into_iter().chain(of_services).collect()
    }

    async fn containers(&self, must_run: bool) -> Option<Vec<Candidate>> {
        let containers: Containers = asked("/containers").await?;
        let wanted = containers
            .adhoc
            .into_iter()
            .filter(|container| !must_run || container.state == "running");
        let shown = wanted.map(|container| {
            let about = format!("{}, {}", container.image, container.state);
            Candidate::new(container.name, about)
        });
        Some(shown.collect())
    }

    async fn entries(&self) -> Option<Vec<Candidate>> {
        let entries = self.history().await?.entries.into_iter().take(NEWEST);
        let shown = entries.map(|entry| {
            let about = format!("{}, {}", ago(entry.at), entry.doing.cause);
            Candidate::new(entry.number.to_string(), about)
        });
        Some(shown.collect())
    }

    async fn revisions(&self) -> Option<Vec<Candidate>> {
        let revisions = self.history().await?.revisions.into_iter().take(NEWEST);
        let shown = revisions.map(|revision| {
            let came_up = match revision.state {
                RevisionState::Begun => "begun",
                RevisionState::Good => "came up",
                RevisionState::Failed => "failed",
            };
            let about = format!("{came_up}, {}", ago(revision.at));
            Candidate::new(revision.revision.to_string(), about)
        });
        Some(shown.collect())
    }

    /// Only of a config that is valid: of another one it is not known whose history it is.
    async fn history(&self) -> Option<History> {
        let sources = context::sources(&self.global, &self.project, SecretReading::None).ok()?;
        let key = config::load(&sources).ok()?.workspace.identity.key();
        asked(&format!("/workspaces/{}/history", encoded(&key))).await
    }
}

fn named(names: &[String], about: &str) -> Vec<Candidate> {
    names
        .iter()
        .map(|name| Candidate::new(name, about))
        .collect()
}

async fn exchanges() -> Option<Vec<Candidate>> {
    let list: ExchangeList = asked(&format!("/exchanges?limit={NEWEST}&filter=")).await?;
    let shown = list.exchanges.into_iter().map(|exchange| {
        let status = exchange.status.map(|status| format!(" {status}"));
        let about = format!(
            "{} {}{}{}",
            exchange.method,
            exchange.host,
            exchange.path,
            status.unwrap_or_default()
        );
        Candidate::new(exchange.number.to_string(), about)
    });
    Some(shown.collect())
}

/// What the proxy that was known last answers, if it does so at once.
async fn asked<T: DeserializeOwned>(path: &str) -> Option<T> {
    let client = bootstrap::known()?;
    timeout(ANSWERS_IN, client.get(path)).await.ok()?.ok()
}
