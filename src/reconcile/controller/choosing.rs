//! An engine that is told which host port a container gets where nobody asked for one.
//!
//! One that the engine chose would be another one after each start. So it is chosen
//! here, and kept before a container is made with it: where somebody else has it, it
//! is given up as any that was kept is, and another one is chosen.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    sync::Arc,
};

use futures_util::{FutureExt as _, future::BoxFuture, stream::BoxStream};

use crate::{
    plan::{Action, Launch},
    reconcile::engine::{Change, Done, Engine, EngineError, Progress},
    store::{Store, StoreError},
    workspace::Observed,
};

/// Below those that systems give to whoever connects (from 32768 on): what is free now
/// stays so while nothing is running.
const PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// The engine for the plans of one workspace.
pub(super) struct Choosing {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) store: Arc<Store>,
    /// The workspace's key.
    pub(super) key: String,
}

impl Choosing {
    /// The same launch with every host port chosen, if it leaves one open.
    fn chosen(&self, launch: &Launch) -> Result<Option<Launch>, StoreError> {
        if launch
            .container
            .ports
            .iter()
            .all(|port| port.host.is_some())
        {
            return Ok(None);
        }
        let kept = self.store.memory(&self.key)?.host_ports;
        let mut taken: BTreeSet<u16> = kept.into_values().collect();
        let mut launch = launch.clone();
        // Both transports of one port have one number.
        let mut chosen = BTreeMap::new();
        for port in &mut launch.container.ports {
            if port.host.is_none() {
                let host = chosen
                    .entry(port.container)
                    .or_insert_with(|| free(&mut taken));
                port.host = Some(*host);
            }
        }
        let rows: Vec<_> = chosen
            .into_iter()
            .map(|(inside, host)| (launch.name.clone(), inside, host))
            .collect();
        self.store.remember_host_ports(&rows)?;
        Ok(Some(launch))
    }
}

/// One that no container of ours has, which is taken then.
fn free(taken: &mut BTreeSet<u16>) -> u16 {
    let count = PORTS.end() - PORTS.start() + 1;
    let mut first = [0; 2];
    // Without the system's randomness, the first is as good as any.
    let _ = getrandom::fill(&mut first);
    let first = u16::from_ne_bytes(first) % count;
    let mut all = (0..count).map(|step| PORTS.start() + (first + step) % count);
    // With all of them kept, the engine refuses one of them, and says so.
    let port = all
        .find(|port| !taken.contains(port))
        .unwrap_or(*PORTS.start());
    taken.insert(port);
    port
}

impl Engine for Choosing {
    fn observe(&self) -> BoxFuture<'_, Result<Observed, EngineError>> {
        self.engine.observe()
    }

    fn glance(&self) -> BoxFuture<'_, Result<Option<Observed>, EngineError>> {
        self.engine.glance()
    }

    fn perform<'a>(
        &'a self,
        action: &'a Action,
        progress: &'a (dyn Fn(Progress) + Send + Sync),
    ) -> BoxFuture<'a, Result<Done, EngineError>> {
        async move {
            let Action::Launch(launch) = action else {
                return self.engine.perform(action, progress).await;
            };
            let chosen = self.chosen(launch).map_err(|error| EngineError::Refused {
                status: 0,
                message: format!("the host port of `{}` cannot be kept: {error}", launch.name),
            })?;
            match chosen {
                Some(launch) => {
                    let action = Action::Launch(Box::new(launch));
                    self.engine.perform(&action, progress).await
                }
                None => self.engine.perform(action, progress).await,
            }
        }
        .boxed()
    }

    fn changes(&self) -> BoxStream<'static, Change> {
        self.engine.changes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        plan::test_workspace::{name, service, shop},
        reconcile::controller::{Order, tests::Bench},
    };

    #[tokio::test]
    async fn a_port_without_a_number_is_chosen_once_and_made_with_the_container() {
        let bench = Bench::empty();
        let two = shop()
            .with("web", service("node:20").port(None, 80))
            .with("api", service("node:20").port(None, 80));
        bench.apply(&two).await;
        let port = |service: &str| bench.container(service).ports[0].host.unwrap();
        let (web, api) = (port("shop-web-1"), port("shop-api-1"));
        assert!(PORTS.contains(&web) && PORTS.contains(&api) && web != api);
        let kept = bench.store.memory("shop").unwrap().host_ports;
        assert_eq!(kept[&(name("shop-web-1"), 80)], web);
        bench.order("web", Order::Stop).await.unwrap();
        bench.order("web", Order::Start).await.unwrap();
        assert_eq!(port("shop-web-1"), web);
    }

    #[test]
    fn what_is_free_is_found_though_all_others_are_taken() {
        let mut taken: BTreeSet<u16> = PORTS.filter(|port| *port != 25_000).collect();
        assert_eq!(free(&mut taken), 25_000);
        assert!(PORTS.contains(&free(&mut taken)));
    }
}
