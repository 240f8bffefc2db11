//! The promise, as properties: whatever was declared, whatever somebody did to
//! the engine, and wherever Cosmos died, one more plan makes it true, and the
//! next is empty. What is not ours is as it was.

use std::collections::BTreeMap;

use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop, prop_oneof, proptest};

use super::{engine::EngineError, fake::Fault};
use crate::{
    plan::test_workspace::{Lab, name, service, shop},
    workspace::{
        AfterCondition, ContainerId, ContainerState, FurtherNetwork, Kind, Network, NetworkName,
        Observed, ObservedContainer, Owner, Readiness, RestartPolicy, RunState, Service,
        UpdateOrder, Workspace,
    },
};

const NAMES: [&str; 4] = ["db", "api", "web", "worker"];

fn any_service(index: usize) -> impl Strategy<Value = Service> {
    let shape = (
        prop_oneof![Just("node:20"), Just("node:22")],
        1..3_u32,
        any::<bool>(),
        any::<bool>(),
        0..3_u8,
    );
    let conduct = (
        0..8_u8,
        prop_oneof![
            Just(UpdateOrder::Auto),
            Just(UpdateOrder::StartFirst),
            Just(UpdateOrder::StopFirst)
        ],
        any::<bool>(),
        prop::collection::vec(any::<(bool, bool)>(), index),
        any::<bool>(),
        0..3_i64,
        any::<bool>(),
        (
            prop_oneof![Just("a"), Just("b")],
            prop_oneof![Just(None), Just(Some("SIGHUP")), Just(Some("restart"))],
        ),
    );
    (shape, conduct).prop_map(move |(shape, conduct)| {
        let (image, replicas, is_probed, has_volume, port) = shape;
        let (run, update, restarts_always, depends_on, after_command, pids, is_within, file) =
            conduct;
        let mut it = service(image).replicas(replicas).file(file.0, file.1);
        if is_probed {
            it = it.probed();
        }
        if has_volume {
            it = it.volume(&format!("shop_{}", NAMES[index]));
        }
        match port {
            0 => it = it.port(None, 80),
            // Two replicas cannot publish one port: the config refuses it.
            1 => {
                let host = 8000 + u16::try_from(index).unwrap();
                it = it.port(Some(host), 80).replicas(1);
            }
            _ => {}
        }
        match run {
            0 => it = it.held(),
            1 => it.run = RunState::Off,
            _ => {}
        }
        it.update = update;
        if !restarts_always {
            it.restart = RestartPolicy::OnFailure;
        }
        for (on, (depends, ready)) in NAMES.iter().zip(depends_on) {
            let condition = match ready {
                true => AfterCondition::Ready,
                false => AfterCondition::Started,
            };
            if depends {
                it = it.after(on, condition);
            }
        }
        if after_command {
            it = it.after("migrate", AfterCondition::Completed);
        }
        it.container.resources.pids = (pids > 0).then_some(pids);
        if is_within {
            it.container.networks = vec![further()];
        }
        it
    })
}

/// The network that some services are in beside their own.
fn further() -> NetworkName {
    NetworkName::new("shop_back").unwrap()
}

pub(super) fn any_workspace() -> impl Strategy<Value = Workspace> {
    let services = (
        any_service(0),
        any_service(1),
        any_service(2),
        any_service(3),
    );
    let declared = prop::collection::vec(prop::bool::weighted(0.8), 4);
    let inputs = prop_oneof![Just("v1"), Just("v2")];
    (services, declared, inputs, prop::bool::weighted(0.2)).prop_map(
        |((db, api, web, worker), declared, inputs, isolated)| {
            let mut desired = shop().with_command("migrate", "api:1", inputs);
            let network = FurtherNetwork {
                external: false,
                network: Network::bridge(further()),
            };
            desired.networks.insert(further(), network);
            for ((name, service), declared) in
                NAMES.into_iter().zip([db, api, web, worker]).zip(declared)
            {
                if declared {
                    desired = desired.with(name, service);
                }
            }
            let names: Vec<_> = desired.services.keys().map(ToString::to_string).collect();
            for service in desired.services.values_mut() {
                // No dangling name: the config refuses it.
                service
                    .depends_on
                    .retain(|on, _| on == "migrate" || names.contains(on));
            }
            if isolated {
                desired.network.isolated = true;
                desired.network.name = "cosmos-net-shop".parse().unwrap();
            }
            desired
        },
    )
}

/// Something that somebody does to the engine by hand, to a container by number.
#[derive(Debug, Clone, Copy)]
enum Meddling {
    Stop(usize),
    Pause(usize),
    Remove(usize),
    Rename(usize),
    Swap(usize, usize),
    Limit(usize),
    Disconnect(usize),
    Double(usize),
    Unready(usize),
    LoseNetwork,
    LoseImages,
    /// Somebody else's container takes the name of one that they removed.
    TakeName(usize),
}

fn any_meddling() -> impl Strategy<Value = Meddling> {
    let one = 0..8_usize;
    prop_oneof![
        one.clone().prop_map(Meddling::Stop),
        one.clone().prop_map(Meddling::Pause),
        one.clone().prop_map(Meddling::Remove),
        one.clone().prop_map(Meddling::Rename),
        (one.clone(), one.clone()).prop_map(|(left, right)| Meddling::Swap(left, right)),
        one.clone().prop_map(Meddling::Limit),
        one.clone().prop_map(Meddling::Disconnect),
        one.clone().prop_map(Meddling::Double),
        one.clone().prop_map(Meddling::Unready),
        Just(Meddling::LoseNetwork),
        Just(Meddling::LoseImages),
        one.prop_map(Meddling::TakeName),
    ]
}

/// Does it, as number `serial`.
fn meddle(observed: &mut Observed, meddling: Meddling, serial: usize) {
    let ours: Vec<_> = (0..observed.containers.len())
        .filter(|index| is_ours(&observed.containers[*index]))
        .collect();
    let pick = |number: usize| ours.get(number % ours.len().max(1)).copied();
    let exited = ContainerState::Exited {
        code: 137,
        at: std::time::SystemTime::UNIX_EPOCH,
        out_of_memory: false,
    };
    match meddling {
        Meddling::LoseNetwork => {
            observed.networks.clear();
            for one in &mut observed.containers {
                one.networks.clear();
            }
        }
        Meddling::LoseImages => observed.images.clear(),
        Meddling::Swap(left, right) => {
            let (Some(left), Some(right)) = (pick(left), pick(right)) else {
                return;
            };
            let kept = observed.containers[left].name.clone();
            observed.containers[left].name = observed.containers[right].name.clone();
            observed.containers[right].name = kept;
        }
        Meddling::Remove(number) => {
            if let Some(index) = pick(number) {
                observed.containers.remove(index);
            }
        }
        Meddling::Double(number) => {
            let Some(index) = pick(number) else { return };
            let mut double = observed.containers[index].clone();
            double.id = ContainerId::new(format!("double{serial}")).unwrap();
            double.name = name(&format!("double{serial}"));
            if let Some(owner) = &mut double.owner {
                owner.generation = format!("d{serial}");
            }
            observed.containers.push(double);
        }
        Meddling::TakeName(number) => {
            let Some(index) = pick(number) else { return };
            let one = &mut observed.containers[index];
            one.id = ContainerId::new(format!("foreign{serial}")).unwrap();
            one.owner = None;
            one.ports.clear();
        }
        Meddling::Stop(number)
        | Meddling::Pause(number)
        | Meddling::Rename(number)
        | Meddling::Limit(number)
        | Meddling::Disconnect(number)
        | Meddling::Unready(number) => {
            let Some(index) = pick(number) else { return };
            let one = &mut observed.containers[index];
            match meddling {
                Meddling::Stop(_) => one.state = exited,
                Meddling::Pause(_) if one.is_running() => one.state = ContainerState::Paused,
                Meddling::Pause(_) => {}
                Meddling::Rename(_) => one.name = name(&format!("renamed{serial}")),
                Meddling::Limit(_) => one.live.resources.pids = Some(99),
                Meddling::Disconnect(_) => one.networks.clear(),
                _ => one.readiness = Readiness::Starting,
            }
        }
    }
}

pub(super) fn is_ours(container: &ObservedContainer) -> bool {
    container
        .owner
        .as_ref()
        .is_some_and(|owner| owner.folder.as_deref() == Some("/src/shop"))
}

/// Containers that are none of our business.
pub(super) fn strangers() -> Observed {
    let stranger = |name: &str, owner| ObservedContainer {
        id: ContainerId::new(name).unwrap(),
        name: name.parse().unwrap(),
        owner,
        image: "other:1".parse().unwrap(),
        image_id: "other".to_owned(),
        state: ContainerState::Created,
        readiness: Readiness::Starting,
        networks: BTreeMap::new(),
        live: Default::default(),
        ports: Vec::new(),
        exposed: Vec::new(),
        nameless: Vec::new(),
    };
    let owner = |kind, folder: Option<&str>| Owner {
        kind,
        workspace: folder.map(|_| "shop".to_owned()),
        folder: folder.map(str::to_owned),
        name: Some("web".to_owned()),
        replica: 1,
        spec: crate::workspace::Fingerprint::from_label("0"),
        generation: "0000".to_owned(),
    };
    Observed {
        containers: vec![
            stranger("plain", None),
            stranger("nginx-k3f9", Some(owner(Kind::Adhoc, None))),
            stranger(
                "elsewhere-web-1",
                Some(owner(Kind::Service, Some("/src/other"))),
            ),
        ],
        volumes: ["precious".parse().unwrap()].into(),
        ..Observed::default()
    }
}

/// Nothing is left to do, and each replica has at most one container.
fn assert_converged(lab: &Lab, desired: &Workspace) {
    let plan = lab.plan(desired);
    let observed = lab.engine.observed();
    assert!(
        plan.steps.is_empty(),
        "left to do:\n{plan}\n{}",
        listing(&observed)
    );
    if !plan.blocked.is_empty() {
        return;
    }
    let mut seen = std::collections::BTreeSet::new();
    for one in observed.containers.iter().filter(|one| is_ours(one)) {
        let owner = one.owner.clone().unwrap();
        assert_files(lab, desired, one, &owner);
        assert!(
            seen.insert((owner.kind, owner.name.clone(), owner.replica)),
            "two of {:?} {}:\n{}",
            owner.name,
            owner.replica,
            listing(&observed)
        );
    }
}

/// What is in a container of a service that runs is what is declared.
fn assert_files(lab: &Lab, desired: &Workspace, one: &ObservedContainer, owner: &Owner) {
    let mut services = desired.services.iter();
    let name = owner.name.as_deref().unwrap();
    let Some((_, service)) = services.find(|(declared, _)| declared.as_str() == name) else {
        return;
    };
    let files = lab.engine.files_of(&one.id);
    if owner.kind != Kind::Service || service.run != RunState::Running {
        return;
    }
    for file in &service.container.files {
        // One that somebody made by copying another has only what was put there since.
        let is_copy = one.id.as_str().starts_with("double");
        let has = files.get(&file.target);
        assert!(
            has == Some(&file.content) || (has.is_none() && is_copy),
            "{} has {has:?}",
            one.name
        );
    }
}

/// What is there, a line each, for the message of a failed case.
pub(super) fn listing(observed: &Observed) -> String {
    let line = |one: &ObservedContainer| {
        let (name, state, networks) = (&one.name, one.state, one.networks.keys());
        format!(
            "{name} {state:?} {:?} {networks:?} {:?}\n",
            one.readiness, one.owner
        )
    };
    observed.containers.iter().map(line).collect()
}

/// What is not ours now, and what may never go.
fn untouchable(observed: &Observed) -> (Vec<ObservedContainer>, usize) {
    let foreign = observed.containers.iter().filter(|one| !is_ours(one));
    let mut foreign: Vec<_> = foreign.cloned().collect();
    foreign.sort_by(|left, right| left.id.cmp(&right.id));
    (foreign, observed.volumes.len())
}

/// What befalls the engine calls of one apply.
fn any_faults() -> impl Strategy<Value = Vec<(usize, Fault)>> {
    let error = || EngineError::Refused {
        status: 500,
        message: "no".to_owned(),
    };
    let fault = prop_oneof![
        Just(Fault::Before(error())),
        Just(Fault::After(error())),
        Just(Fault::CrashBefore),
        Just(Fault::CrashAfter),
    ];
    prop::collection::vec((0..20_usize, fault), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn one_plan_makes_it_true_and_the_next_is_empty(
        before in any_workspace(),
        meddling in prop::collection::vec(any_meddling(), 0..6),
        after in any_workspace(),
    ) {
        let mut lab = Lab::with(strangers());
        lab.apply(&before);
        lab.engine.edit(|observed| {
            for (serial, meddling) in meddling.into_iter().enumerate() {
                meddle(observed, meddling, serial);
            }
        });
        let untouched = untouchable(&lab.engine.observed());
        lab.apply(&after);
        assert_converged(&lab, &after);
        let now = untouchable(&lab.engine.observed());
        assert_eq!(now.0, untouched.0);
        assert!(now.1 >= untouched.1, "a volume went");
    }

    #[test]
    fn whatever_fails_one_more_plan_makes_it_true(
        history in prop::collection::vec((any_workspace(), any_faults()), 1..4),
    ) {
        let mut lab = Lab::with(strangers());
        let untouched = untouchable(&lab.engine.observed());
        for (desired, faults) in &history {
            let calls = lab.engine.calls().len();
            for (call, fault) in faults {
                lab.engine.fail(calls + call, fault.clone());
            }
            lab.apply(desired);
            lab.engine.recover();
        }
        let (last, _) = history.last().unwrap();
        lab.apply(last);
        assert_converged(&lab, last);
        assert_eq!(untouchable(&lab.engine.observed()).0, untouched.0);
    }

    #[test]
    fn no_change_of_a_declaration_is_silent(
        before in any_workspace(),
        after in any_workspace(),
    ) {
        let mut lab = Lab::with(strangers());
        lab.apply(&before);
        let plan = lab.plan(&after).with_quiet_changes(Some(&before), &after);
        assert_eq!(plan.is_empty(), before == after, "{plan}");
    }

    #[test]
    fn a_plan_does_not_depend_on_the_order_in_which_the_engine_lists(
        before in any_workspace(),
        meddling in prop::collection::vec(any_meddling(), 0..6),
        after in any_workspace(),
    ) {
        let mut lab = Lab::with(strangers());
        lab.apply(&before);
        lab.engine.edit(|observed| {
            for (serial, meddling) in meddling.into_iter().enumerate() {
                meddle(observed, meddling, serial);
            }
        });
        let first = lab.plan(&after).to_string();
        lab.engine.edit(|observed| observed.containers.reverse());
        assert_eq!(first, lab.plan(&after).to_string());
    }
}
