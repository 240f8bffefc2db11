//! How everything is, told again whenever it changes: what the dashboard shows.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use axum::{extract::State, response::Response};
use futures_util::{StreamExt as _, stream};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep},
};

use super::{Management, Refused, input::Asked, lines};
use crate::{
    api::wire::{LiveLine, Usage, Watching},
    reconcile::{controller::Look, engine::Used},
    traffic::exchange::since_epoch,
    workspace::{ContainerId, ContainerState},
};

/// More often than people see nothing changes.
const PAUSE: Duration = Duration::from_millis(200);

/// How often it is said that all is well, and how long ago things began.
const ALIVE: Duration = Duration::from_secs(10);

/// Between two looks at what containers use. Asking costs the engine a millisecond each.
const USAGE_EVERY: Duration = Duration::from_secs(2);

/// The same, while somebody looks who wants it more often.
const USAGE_OFTEN: Duration = Duration::from_secs(1);

/// So many are asked at once.
const ASKED_AT_ONCE: usize = 4;

/// What containers use, measured while somebody looks.
#[derive(Debug)]
pub struct Usages {
    newest: watch::Sender<Option<LiveLine>>,
    is_measured: Mutex<bool>,
    /// Held by each who wants it often.
    often: Arc<()>,
}

impl Default for Usages {
    fn default() -> Self {
        Self {
            newest: watch::Sender::new(None),
            is_measured: Mutex::new(false),
            often: Arc::default(),
        }
    }
}

impl Usages {
    /// Follows them; they are measured from now on, if they were not.
    fn follow(management: &Arc<Management>) -> watch::Receiver<Option<LiveLine>> {
        let usages = &management.usages;
        let newest = usages.newest.subscribe();
        let mut is_measured = usages
            .is_measured
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *is_measured, true) {
            tokio::spawn(measure(Arc::clone(management)));
        }
        newest
    }

    /// How long to wait between two looks.
    fn pause(&self) -> Duration {
        match Arc::strong_count(&self.often) {
            1 => USAGE_EVERY,
            _ => USAGE_OFTEN,
        }
    }

    /// Whether nobody looks, and nobody will be missed who measures.
    fn may_rest(&self) -> bool {
        let mut is_measured = self
            .is_measured
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let may = self.newest.receiver_count() == 0;
        *is_measured = !may;
        may
    }
}

async fn measure(management: Arc<Management>) {
    let mut before: BTreeMap<ContainerId, (Instant, Used)> = BTreeMap::new();
    loop {
        let running = running(&management);
        let asked = stream::iter(running).map(|id| {
            let console = Arc::clone(&management.console);
            async move {
                let used = console.used(&id).await.ok()?;
                Some((id, (Instant::now(), used)))
            }
        });
        let now: BTreeMap<_, _> = asked
            .buffer_unordered(ASKED_AT_ONCE)
            .filter_map(|measured| async { measured })
            .collect()
            .await;
        let containers = now.iter().filter_map(|(id, (at, used))| {
            let (earlier, first) = before.get(id)?;
            Some((id.to_string(), usage(*at - *earlier, first, used)))
        });
        let line = LiveLine::Usage {
            at: since_epoch(SystemTime::now()),
            containers: containers.collect(),
        };
        before = now;
        management.usages.newest.send_replace(Some(line));
        sleep(management.usages.pause()).await;
        if management.usages.may_rest() {
            management.usages.newest.send_replace(None);
            return;
        }
    }
}

fn running(management: &Management) -> Vec<ContainerId> {
    let looked = management.controller.looked();
    let look = looked.borrow();
    let ours = look.observed.containers.iter().filter(|container| {
        container.owner.is_some() && matches!(container.state, ContainerState::Running { .. })
    });
    ours.map(|container| container.id.clone()).collect()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a percentage with one digit behind the point"
)]
fn usage(passed: Duration, before: &Used, now: &Used) -> Usage {
    let worked = now.cpu.saturating_sub(before.cpu).as_nanos() as f64;
    let cpu = worked / (passed.as_nanos().max(1) as f64) * 100.0;
    let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX).max(1);
    // Less than before: it was started again.
    let a_second =
        |before: u64, now: u64| now.saturating_sub(before).saturating_mul(1_000) / millis;
    Usage {
        cpu: (cpu * 10.0).round() / 10.0,
        memory: now.memory,
        limit: now.limit,
        received: a_second(before.received, now.received),
        sent: a_second(before.sent, now.sent),
        read: a_second(before.read, now.read),
        written: a_second(before.written, now.written),
        pids: now.pids,
    }
}

/// Everything, as it is and as it comes to be.
pub(super) async fn follow(
    State(management): State<Arc<Management>>,
    Asked(watching): Asked<Watching>,
) -> Result<Response, Refused> {
    let hello = LiveLine::Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        installation: management.installation.to_string(),
        port: management.proxy()?.port(),
    };
    let (sender, receiver) = mpsc::channel(1);
    let often = watching.often.then(|| Arc::clone(&management.usages.often));
    tokio::spawn(async move {
        let _often = often;
        if sender.send(vec![hello]).await.is_ok() {
            tell(&management, &sender, watching.usage).await;
        }
    });
    Ok(lines(receiver))
}

async fn tell(
    management: &Arc<Management>,
    listener: &mpsc::Sender<Vec<LiveLine>>,
    with_usage: bool,
) {
    let mut looked = management.controller.looked();
    let mut usage = match with_usage {
        true => Usages::follow(management),
        // Nobody sends there.
        false => watch::Sender::new(None).subscribe(),
    };
    let mut has_changed = looked.borrow().was_taken();
    loop {
        if has_changed {
            let look = looked.borrow_and_update().clone();
            let state = state(management, &look);
            if listener.send(vec![state]).await.is_err() {
                return;
            }
            sleep(PAUSE).await;
        }
        // Every arm may be dropped: each only says that there is something to look at.
        has_changed = tokio::select! {
            changed = looked.changed() => match changed {
                Ok(()) => true,
                Err(_) => return,
            },
            Ok(()) = usage.changed() => {
                let line = usage.borrow_and_update().clone();
                let told = match line {
                    Some(line) => listener.send(vec![line]).await,
                    None => Ok(()),
                };
                if told.is_err() {
                    return;
                }
                false
            }
            () = sleep(ALIVE) => {
                if listener.send(vec![LiveLine::Alive]).await.is_err() {
                    return;
                }
                looked.borrow().was_taken()
            }
            () = listener.closed() => return,
        };
    }
}

fn state(management: &Management, look: &Look) -> LiveLine {
    // What the state cannot tell is missing; the rest is worth seeing.
    let adhoc = management.adhoc.ours(&look.observed).unwrap_or_default();
    LiveLine::State {
        workspaces: management.controller.statuses(look),
        adhoc: adhoc
            .into_iter()
            .map(|container| management.controller.container_status(container))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_passed_between_two_looks_is_a_rate() {
        let before = Used {
            cpu: Duration::from_millis(100),
            received: 1_000,
            read: 500,
            ..Used::default()
        };
        let now = Used {
            cpu: Duration::from_millis(850),
            memory: 7,
            limit: Some(9),
            received: 5_000,
            sent: 3,
            // It was started again meanwhile.
            read: 20,
            written: 0,
            pids: 4,
        };
        let usage = usage(Duration::from_millis(2_000), &before, &now);
        let expected = Usage {
            cpu: 37.5,
            memory: 7,
            limit: Some(9),
            received: 2_000,
            sent: 1,
            read: 0,
            written: 0,
            pids: 4,
        };
        assert_eq!(usage, expected);
    }

    #[test]
    fn who_wants_it_often_gets_it_as_long_as_they_look() {
        let usages = Usages::default();
        assert_eq!(usages.pause(), USAGE_EVERY);
        let often = Arc::clone(&usages.often);
        assert_eq!(usages.pause(), USAGE_OFTEN);
        drop(often);
        assert_eq!(usages.pause(), USAGE_EVERY);
    }
}
