//! Which host port a container gets where nobody asked for one.
//!
//! One that the engine chose would be another one after each start. So it is chosen
//! here, and kept before a container is made with it: where somebody else has it, it
//! is given up as any that was kept is, and another one is chosen.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
};

use crate::{
    plan::Launch,
    store::{Store, StoreError},
};

/// Below those that systems give to whoever connects (from 32768 on): what is free now
/// stays so while nothing is running.
const PORTS: RangeInclusive<u16> = 20_000..=29_999;

/// The same launch of a workspace with every host port chosen, if it leaves one open.
pub(super) fn chosen(
    store: &Store,
    key: &str,
    launch: &Launch,
) -> Result<Option<Launch>, StoreError> {
    let ports = &launch.container.ports;
    if ports.iter().all(|port| port.host.is_some()) {
        return Ok(None);
    }
    let mut taken: BTreeSet<u16> = store.memory(key)?.host_ports.into_values().collect();
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
    store.remember_host_ports(&rows)?;
    Ok(Some(launch))
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
