//! `cosmos stop`, `restart` and `release`: one-line orders.

use std::{process::ExitCode, time::Duration};

use hyper::Method;

use super::{
    args::{Global, OrderArgs, Stop},
    bootstrap, context,
    error::Failure,
    ui::{outln, sayln},
    who,
};
use crate::{
    api::{
        client::{Client, ClientError, encoded},
        wire::{About, Ordered},
    },
    config::{self, Loaded},
};

/// An order, and what is to be remembered of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Order<'a> {
    /// The verb: `stop`.
    pub(super) verb: &'a str,
    /// What for.
    pub(super) reason: Option<&'a str>,
    /// How long it holds, as it was typed, and as it is.
    pub(super) lasting: Option<(&'a str, Duration)>,
    /// How many replicas there are to be.
    pub(super) replicas: Option<u32>,
}

impl<'a> Order<'a> {
    pub(super) fn of(verb: &'a str) -> Self {
        Self {
            verb,
            ..Self::default()
        }
    }

    /// The order as it can be typed: `cosmos stop web --for 2h`.
    fn words(&self, id: &str) -> String {
        let verb = self.verb;
        match (self.lasting, self.replicas) {
            (Some((typed, _)), _) => format!("cosmos {verb} {id} --for {typed}"),
            (None, Some(count)) => format!("cosmos {verb} {id}={count}"),
            (None, None) => format!("cosmos {verb} {id}"),
        }
    }
}

pub(super) async fn stop(global: Global, args: Stop) -> Result<ExitCode, Failure> {
    let lasting = match args.lasting.as_deref() {
        Some(typed) => Some((typed, time(typed)?)),
        None => None,
    };
    let order = Order {
        verb: "stop",
        reason: args.reason.as_deref(),
        lasting,
        replicas: None,
    };
    each(&global, &args.ids, &order, "stopped").await
}

pub(super) async fn restart(global: Global, args: OrderArgs) -> Result<ExitCode, Failure> {
    each(&global, &args.ids, &Order::of("restart"), "restarted").await
}

pub(super) async fn release(global: Global, args: OrderArgs) -> Result<ExitCode, Failure> {
    each(&global, &args.ids, &Order::of("release"), "released").await
}

/// A time that passes: `90s`, `2h`.
pub(super) fn time(typed: &str) -> Result<Duration, Failure> {
    match config::duration(typed) {
        Some(time) if !time.is_zero() => Ok(time),
        _ => Err(Failure::usage(format!("`{typed}` is no time"))
            .hinted("write it like `90s`, `2h` or `1h30m`")),
    }
}

/// Gives the order for each id; all are tried, the last failure is the answer.
async fn each(
    global: &Global,
    ids: &[String],
    order: &Order<'_>,
    done: &str,
) -> Result<ExitCode, Failure> {
    let client = bootstrap::client(global).await?;
    let here = context::workspace_here(global);
    let mut failures = Failures::default();
    for id in ids {
        match give(&client, id, order, here.as_ref()).await {
            Ok(ordered) => {
                if !global.quiet {
                    outln!("Container {done}: {id}");
                    if let Some(note) = ordered.note {
                        sayln!("{note}");
                    }
                }
            }
            Err(failure) => failures.add(failure),
        }
    }
    failures.last()
}

/// What failed of several orders: each is shown, and the last is the answer.
#[derive(Default)]
pub(super) struct Failures(Option<Failure>);

impl Failures {
    pub(super) fn add(&mut self, failure: Failure) {
        if let Some(earlier) = self.0.replace(failure) {
            super::error::report(&earlier);
        }
    }

    pub(super) fn last(self) -> Result<ExitCode, Failure> {
        self.0.map_or(Ok(ExitCode::SUCCESS), Err)
    }
}

/// Gives one order about a container or service.
pub(super) async fn give(
    client: &Client,
    id: &str,
    order: &Order<'_>,
    here: Option<&Loaded>,
) -> Result<Ordered, Failure> {
    let about = About {
        workspace: here.map(|here| here.workspace.identity.key()),
        folder: here.map(|here| here.workspace.identity.folder.clone()),
        by: order.words(id),
        who: Some(who::here()),
        why: order.reason.map(str::to_owned),
        lasting: order.lasting.map(|(_, lasting)| millis(lasting)),
        replicas: order.replicas,
    };
    let path = format!(
        "/containers/{}/{}?{}",
        encoded(id),
        order.verb,
        query(&about)
    );
    let ordered: Result<Ordered, _> = client.call(Method::POST, &path).await;
    ordered.map_err(|error| suggesting(error, id, here))
}

/// Whether nothing has the name that was asked for.
pub(super) fn is_unknown(error: &ClientError) -> bool {
    matches!(error, ClientError::Refused { problem, .. } if problem.code == "not_found")
}

/// The failure, with the service or command that may have been meant by a name that
/// nothing has.
pub(super) fn suggesting(error: ClientError, name: &str, here: Option<&Loaded>) -> Failure {
    let is_unknown = is_unknown(&error);
    let failure = Failure::from(error);
    match here.and_then(|here| meant(name, here)) {
        Some(meant) if is_unknown => failure.hinted(did_you_mean(meant)),
        _ => failure,
    }
}

/// The service or command of a config that may have been meant by a name that it does not
/// have.
pub(super) fn meant<'l>(name: &str, here: &'l Loaded) -> Option<&'l str> {
    let services = here.workspace.services.keys().map(|name| name.as_str());
    let commands = here.workspace.commands.keys().map(|name| name.as_str());
    config::nearest(name, services.chain(commands)).filter(|meant| *meant != name)
}

pub(super) fn did_you_mean(meant: &str) -> String {
    format!("did you mean `{meant}`?")
}

/// Goes on only if the config has all of these, so that no proxy is made for a slip.
///
/// # Errors
/// If one of them is neither a service nor a command.
pub(super) fn require_declared(loaded: &Loaded, names: &[String]) -> Result<(), Failure> {
    let declared = &loaded.workspace;
    let is_unknown = |name: &&String| {
        !declared.services.contains_key(name.as_str())
            && !declared.commands.contains_key(name.as_str())
    };
    let Some(name) = names.iter().find(is_unknown) else {
        return Ok(());
    };
    let failure = Failure::usage(format!("there is no service `{name}` in the config"));
    Err(match meant(name, loaded) {
        Some(meant) => failure.hinted(did_you_mean(meant)),
        None => failure.hinted("`cosmos config` lists the services"),
    })
}

/// Removes a container that is in no config, running or not.
pub(super) async fn remove(client: &Client, id: &str) -> Result<(), Failure> {
    let path = format!("/containers/{}", encoded(id));
    client.call::<Ordered>(Method::DELETE, &path).await?;
    Ok(())
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn query(about: &About) -> String {
    let numbers = [
        ("lasting", about.lasting),
        ("replicas", about.replicas.map(u64::from)),
    ];
    let texts = [
        ("workspace", about.workspace.clone()),
        ("folder", about.folder.clone()),
        ("by", Some(about.by.clone())),
        ("who", about.who.clone()),
        ("why", about.why.clone()),
    ];
    let numbers = numbers.map(|(name, value)| (name, value.map(|value| value.to_string())));
    let pairs: Vec<_> = texts
        .into_iter()
        .chain(numbers)
        .filter_map(|(name, value)| Some(format!("{name}={}", encoded(&value?))))
        .collect();
    pairs.join("&")
}
