//! What passed through the proxy: listed, followed, shown, sent again.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use axum::{Json, extract::State, response::Response};
use tokio::{sync::mpsc, time::Instant};

use super::{
    Management, Refused,
    input::{Asked, Named, Sent},
    lines,
};
use crate::{
    api::wire::{
        Cleared, Curl, Edits, ExchangeLine, ExchangeList, Following, OneExchange, Problem,
        Replayed, Wanted,
    },
    traffic::{
        self, Exchanges, Filter, FilterError, MOST_EXCHANGES, ReplayError, exchange::Exchange,
    },
};

/// So often it is said that all is well: whoever hears nothing for longer may hang up.
const ALIVE: Duration = Duration::from_secs(10);

/// How often it is looked whether more were dropped: nobody is told of each.
const LOOK_AT_DROPPED: Duration = Duration::from_secs(1);

pub(super) async fn list(
    State(management): State<Arc<Management>>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<ExchangeList>, Refused> {
    let exchanges = management.proxy()?.exchanges();
    let filter = filter(wanted.filter.as_deref())?;
    let most = wanted.limit.unwrap_or(MOST_EXCHANGES);
    let newest = exchanges.newest(&filter, most);
    Ok(Json(ExchangeList {
        schema: 1,
        epoch: exchanges.epoch().to_owned(),
        seq: *exchanges.changes().borrow(),
        dropped: exchanges.dropped(),
        exchanges: newest
            .iter()
            .map(|exchange| exchange.summary.clone())
            .collect(),
    }))
}

pub(super) async fn follow(
    State(management): State<Arc<Management>>,
    Asked(following): Asked<Following>,
) -> Result<Response, Refused> {
    let exchanges = management.proxy()?.exchanges();
    let filter = filter(following.filter.as_deref())?;
    let goes_on = following.epoch.as_deref() == Some(exchanges.epoch());
    let after = following.after.filter(|_| goes_on);
    let (sender, receiver) = mpsc::channel(1);
    tokio::spawn(async move {
        // It ends when nobody listens any more.
        let _ = tell(&exchanges, &filter, after, &sender).await;
    });
    Ok(lines(receiver))
}

/// Whoever listens has hung up.
struct HungUp;

/// Tells of each change that the filter lets through, at the pace of whoever listens.
async fn tell(
    exchanges: &Exchanges,
    filter: &Filter,
    after: Option<u64>,
    listener: &mpsc::Sender<Vec<ExchangeLine>>,
) -> Result<(), HungUp> {
    let mut changes = exchanges.changes();
    let mut seq = after.unwrap_or(0);
    let mut dropped = exchanges.dropped();
    let mut known = BTreeSet::new();
    let mut said = Instant::now();
    let mut batch = vec![ExchangeLine::Hello {
        epoch: exchanges.epoch().to_owned(),
        seq: *changes.borrow_and_update(),
        most: MOST_EXCHANGES,
        dropped,
    }];
    let mut is_first = true;
    loop {
        let news = exchanges.since(seq);
        seq = news.seq;
        if news.cleared && (after.is_some() || !is_first) {
            known.clear();
            batch.push(ExchangeLine::Cleared);
        }
        for exchange in news.exchanges {
            let number = exchange.summary.number;
            if filter.lets(&exchange) {
                known.insert(number);
                batch.push(ExchangeLine::Exchange(Box::new(exchange.summary.clone())));
            } else if known.remove(&number) || is_first && after.is_some() {
                batch.push(ExchangeLine::Gone { number });
            }
        }
        while known.len() > MOST_EXCHANGES {
            known.pop_first();
        }
        let now_dropped = exchanges.dropped();
        if std::mem::replace(&mut dropped, now_dropped) != now_dropped {
            batch.push(ExchangeLine::Dropped { dropped });
        }
        if batch.is_empty() && said.elapsed() >= ALIVE {
            batch.push(ExchangeLine::Alive);
        }
        if !batch.is_empty() {
            said = Instant::now();
            let batch = std::mem::take(&mut batch);
            listener.send(batch).await.map_err(|_| HungUp)?;
        }
        is_first = false;
        // Every arm may be dropped: what is new is found by looking.
        tokio::select! {
            changed = changes.changed() => changed.map_err(|_| HungUp)?,
            () = tokio::time::sleep(LOOK_AT_DROPPED) => {}
            () = listener.closed() => return Err(HungUp),
        }
    }
}

pub(super) async fn one(
    State(management): State<Arc<Management>>,
    Named(number): Named<u64>,
) -> Result<Json<OneExchange>, Refused> {
    let exchange = found(&management, number)?;
    Ok(Json(OneExchange {
        schema: 1,
        exchange: Exchange::clone(&exchange),
    }))
}

pub(super) async fn curl(
    State(management): State<Arc<Management>>,
    Named(number): Named<u64>,
) -> Result<Json<Curl>, Refused> {
    let exchange = found(&management, number)?;
    Ok(Json(Curl {
        schema: 1,
        command: traffic::curl(&exchange),
    }))
}

pub(super) async fn har(
    State(management): State<Arc<Management>>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Json<serde_json::Value>, Refused> {
    let filter = filter(wanted.filter.as_deref())?;
    let most = wanted.limit.unwrap_or(MOST_EXCHANGES);
    let mut exchanges = management.proxy()?.exchanges().newest(&filter, most);
    exchanges.reverse();
    Ok(Json(traffic::har(exchanges.iter().map(AsRef::as_ref))))
}

pub(super) async fn replay(
    State(management): State<Arc<Management>>,
    Named(number): Named<u64>,
    Sent(edits): Sent<Edits>,
) -> Result<Json<Replayed>, Refused> {
    let proxy = management.proxy()?;
    let number = proxy
        .replay(number, edits)
        .await
        .map_err(|error| not_replayed(&error))?;
    Ok(Json(Replayed { schema: 1, number }))
}

pub(super) async fn clear(
    State(management): State<Arc<Management>>,
) -> Result<Json<Cleared>, Refused> {
    management.proxy()?.exchanges().clear();
    Ok(Json(Cleared { schema: 1 }))
}

fn found(management: &Management, number: u64) -> Result<Arc<Exchange>, Refused> {
    let exchange = management.proxy()?.exchanges().get(number);
    exchange.ok_or_else(|| gone(number).into())
}

fn gone(number: u64) -> Problem {
    Problem::new(
        "not_found",
        format!("there is no exchange {number} any more"),
    )
    .hinted(format!(
        "the newest {MOST_EXCHANGES} are kept: `cosmos http` lists them"
    ))
}

fn filter(text: Option<&str>) -> Result<Filter, Problem> {
    Filter::parse(text.unwrap_or_default()).map_err(|error: FilterError| {
        Problem::new("bad_filter", error.to_string()).hinted(error.hint)
    })
}

fn not_replayed(error: &ReplayError) -> Problem {
    match error {
        ReplayError::Gone(number) => gone(*number),
        ReplayError::Unknown(_) => Problem::new("cannot_replay", error.to_string()),
        ReplayError::Invalid(_) => Problem::new("invalid_request", error.to_string()),
        ReplayError::Unseen => Problem::new("cannot_replay", error.to_string())
            .hinted("its route may say `capture = \"off\"`, or there are too many requests now"),
    }
}
