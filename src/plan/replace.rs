//! How one replica of a service is made right: the wanted container is brought
//! up under its name, and once it is ready every other one of that replica goes.
//!
//! One rule covers a first start, a replacement, a second container made by
//! hand, and what a crash in the middle of any of these left behind. The old
//! container is set aside under `NAME.GENERATION` and kept until the new one is
//! ready, so that a way back is always there.

use std::time::Duration;

use super::{
    action::{Action, Launch, StepId, Subject},
    diff,
    estate::Owned,
    needs::{Needs, Obstacle, Standing, Up},
    planner::{Planner, is_alive},
    reason::Reason,
    reload,
};
use crate::workspace::{
    AfterCondition, Container, ContainerName, ContainerState, Fingerprint, Health, HealthProbe,
    Image, Kind, Memory, MountSource, NetworkName, ObservedContainer, Origin, Owner, PullPolicy,
    Readiness, RestartPolicy, RunState, Service, ServiceName, UpdateOrder, fingerprint,
};

/// What one replica should be.
pub(super) struct Wanted<'a> {
    service_name: &'a ServiceName,
    pub(super) service: &'a Service,
    subject: Subject,
    /// The service's place in the file: `services.web`.
    pub(super) path: String,
    pub(super) spec: Fingerprint,
    replica: u32,
    /// The container's name.
    pub(super) name: ContainerName,
}

/// What becomes of one replica.
struct Risen {
    /// The steps after which it has been started.
    started: Vec<StepId>,
    /// The step that waits until it is ready, if there is one.
    ready: Option<StepId>,
    is_ready: bool,
    is_completed: bool,
    /// It takes the place of another, or is restarted: the next replica waits for it.
    is_rolling: bool,
}

/// What it takes to have the wanted container.
#[derive(Clone, Copy)]
enum Rise<'a> {
    /// Nothing: it is as far as it should be.
    Up(Owned<'a>),
    /// It is there and does not run.
    Start(Owned<'a>),
    /// It is not there.
    Launch,
}

/// Ten seconds for a service without a probe: it only has to run, and an engine
/// under load takes its time to say so.
const NO_PROBE_PATIENCE: Duration = Duration::from_secs(10);

impl<'a> Planner<'a> {
    /// Makes a service right.
    pub(super) fn service(&mut self, name: &'a ServiceName, service: &'a Service) -> Standing {
        match &service.run {
            // Whatever it had was cleared away.
            RunState::Off => Standing::NotRun("none of the active profiles runs"),
            RunState::Stopped { because } => {
                self.hold(name, service, because);
                Standing::Held
            }
            RunState::Running => self.run(name, service),
        }
    }

    fn run(&mut self, name: &'a ServiceName, service: &'a Service) -> Standing {
        self.pull_always(&service.container.image);
        let present = self.estate.of_service(name);
        let spec = Fingerprint::of_service(service);
        let mut up = Up {
            is_ready: true,
            is_completed: true,
            has_no_probe: service.health.is_none(),
            patience: patience(service),
            ..Up::default()
        };
        let mut waits = Vec::new();
        let mut rolling = Vec::new();
        let mut is_blocked = false;
        for replica in 1..=service.replicas {
            let wanted = self.wanted(name, service, &spec, replica);
            match self.replica(&wanted, &present, &rolling) {
                Ok(risen) => {
                    // One replica after the other: if a new one is not well, the
                    // next old one stays.
                    if risen.is_rolling {
                        rolling = risen.ready.into_iter().collect();
                    }
                    up.is_ready &= risen.is_ready;
                    up.is_completed &= risen.is_completed;
                    up.started.extend(risen.started);
                    waits.extend(risen.ready);
                    up.containers.push(wanted.name);
                }
                Err(obstacle) => {
                    self.block(wanted.subject, obstacle);
                    is_blocked = true;
                }
            }
        }
        if is_blocked {
            return Standing::Blocked;
        }
        // Each replica is waited for already: no second wait for all of them.
        if let ([ready], 1) = (waits.as_slice(), service.replicas) {
            up.ready = Some(*ready);
        }
        Standing::Up(up)
    }

    /// `pull = "always"`: fetched even if nothing new is made from it now.
    fn pull_always(&mut self, image: &'a Image) {
        if let Image::Pulled {
            policy: PullPolicy::Always,
            ..
        } = image
        {
            self.image(image, &Reason::PullAlways);
        }
    }

    /// Makes one replica right.
    fn replica(
        &mut self,
        wanted: &Wanted<'a>,
        present: &[Owned<'a>],
        rolling: &[StepId],
    ) -> Result<Risen, Obstacle> {
        let mine = present
            .iter()
            .filter(|one| one.owner.replica == wanted.replica);
        let (right, others) = self.sort_out(wanted, mine.copied());
        let is_asked = self.memory.asked.started.contains(wanted.service_name);
        let rise = match right {
            None => Rise::Launch,
            Some(one) if one.container.is_running() => Rise::Up(one),
            Some(one) if !is_asked && has_ended(one.container.state, wanted.service.restart) => {
                Rise::Up(one)
            }
            Some(one) => Rise::Start(one),
        };
        let is_up = matches!(rise, Rise::Up(_));

        // Every obstacle before any step: what runs is not touched for what cannot be.
        self.claim(&wanted.name, &wanted.subject)?;
        let mut needs = self.needs_to_rise(wanted, rise)?;
        let reload = right.and_then(|one| self.reload(wanted, &one));
        let restarts = matches!(&reload, Some((action, _)) if reload::is_restart(action));
        if restarts || (!is_up && !others.is_empty()) {
            needs.extend(rolling);
        }

        // First out of the way what the wanted container cannot be beside …
        let in_favour = match right {
            Some(_) => Reason::LeftOver(&wanted.name),
            None => Reason::Replaced,
        };
        let stops_first =
            (!is_up || restarts) && is_stop_first(wanted.service, &wanted.name, self.memory);
        if stops_first {
            needs = self.stop_all(&others, &wanted.subject, needs, &in_favour);
        }
        if right.map(|one| self.estate.name_of(one.container)) != Some(&wanted.name) {
            let is_other = |holder: &ObservedContainer| {
                others.iter().any(|other| other.container.id == holder.id)
            };
            let reason = match self.estate.holder(&wanted.name) {
                Some(holder) if !is_other(holder) => &Reason::InTheWay(&wanted.name),
                _ => &in_favour,
            };
            needs = self.free_name(&wanted.name, needs, reason);
        }
        // … then the wanted one …
        let risen = match rise {
            Rise::Launch => self.launch(wanted, &others, needs),
            Rise::Up(one) | Rise::Start(one) => self.mend(wanted, one, rise, reload, needs),
        };
        let is_ready = is_ready(rise, wanted.service) && !restarts;
        let mut risen = Risen {
            started: risen,
            ready: None,
            is_ready,
            is_completed: is_completed(rise),
            is_rolling: restarts || (matches!(rise, Rise::Launch) && !others.is_empty()),
        };
        if restarts && others.is_empty() && wanted.replica < wanted.service.replicas {
            let wait = self.await_ready(wanted, risen.started.clone(), &Reason::BeforeNext);
            risen.ready = Some(wait);
        }
        // … and once it is ready, the others.
        if let Some(last) = others.first() {
            let mut after = risen.started.clone();
            if !is_ready {
                let old = self.estate.name_of(last.container).clone();
                let reason = Reason::BeforeRemoving(old.as_str());
                let wait = self.await_ready(wanted, after, &reason);
                risen.ready = Some(wait);
                after = vec![wait];
            }
            for other in &others {
                let stopped = match stops_first {
                    true => after.clone(),
                    false => self.stop(other, &wanted.subject, after.clone(), &in_favour),
                };
                self.remove(other, &wanted.subject, stopped, &in_favour);
            }
        }
        Ok(risen)
    }

    /// The container to keep, if one is as declared, and all others of the replica.
    fn sort_out(
        &self,
        wanted: &Wanted<'_>,
        mine: impl Iterator<Item = Owned<'a>>,
    ) -> (Option<Owned<'a>>, Vec<Owned<'a>>) {
        let mut others: Vec<_> = mine.collect();
        // The one with the name is the newest; of others a running one is worth more.
        others.sort_by_key(|one| {
            (
                one.container.name != wanted.name,
                !one.container.is_running(),
            )
        });
        let right = others
            .iter()
            .position(|one| self.reason_to_replace(wanted, one).is_none());
        (right.map(|index| others.remove(index)), others)
    }

    /// Why a container cannot be kept, if it cannot.
    fn reason_to_replace(&self, wanted: &Wanted<'_>, one: &Owned<'a>) -> Option<Reason<'a>> {
        let origin = self.desired.origins.of(&wanted.path);
        if one.owner.spec != wanted.spec && self.made_with_files(wanted, one).is_none() {
            // A port that was given is no change of the declaration that asked for any.
            let given = |it: &Container| with_sticky_ports(it, &wanted.name, self.memory);
            let new = &wanted.service.container;
            let changes = match self.memory.applied.get(&one.owner.spec) {
                Some(old) => diff::changes(
                    &given(old),
                    &given(new),
                    &wanted.path,
                    &self.desired.origins,
                ),
                None => Vec::new(),
            };
            return Some(Reason::Changed(changes, origin));
        }
        if one.container.state == ContainerState::Dead {
            return Some(Reason::Down(ContainerState::Dead));
        }
        if self.has_lost_its_port(wanted, one) {
            return Some(Reason::PortLost);
        }
        if let Some(moved) = self.moved_image(&wanted.service.container.image, one) {
            return Some(moved);
        }
        let (has, limits) = (
            &one.container.live.resources,
            &wanted.service.container.resources,
        );
        if has.nano_cpus.is_some() && limits.nano_cpus.is_none() {
            // The one limit that an engine changes in place and does not lift.
            let (path, origins) = (&wanted.path, &self.desired.origins);
            return Some(Reason::Limits(diff::limits(has, limits, path, origins)));
        }
        self.wrong_network(one).map(|had| {
            let how = format!("{had} → {}", self.desired.network.name);
            let origins = &self.desired.origins;
            let change = diff::FieldChange::new("network", how, &wanted.path, origins);
            Reason::Changed(vec![change], origin)
        })
    }

    /// It would have to be started, and cannot: an engine keeps the host ports that a
    /// container was made with.
    fn has_lost_its_port(&self, wanted: &Wanted<'_>, one: &Owned<'a>) -> bool {
        let state = one.container.state;
        let rises = !one.container.is_running() && !has_ended(state, wanted.service.restart);
        rises && self.memory.given_up.contains(&wanted.name)
    }

    /// The tag stands for another image than the container runs.
    ///
    /// Followed only where somebody said so: `always` asks for the newest, and
    /// what is never pulled is built by hand under that tag. With `missing`,
    /// another project's pull must not restart this one's database.
    fn moved_image(&self, image: &Image, one: &Owned<'a>) -> Option<Reason<'a>> {
        let Image::Pulled {
            policy: PullPolicy::Always | PullPolicy::Never,
            reference,
        } = image
        else {
            return None;
        };
        let (reference, now) = self.observed.images.get_key_value(reference)?;
        (*now != one.container.image_id).then_some(Reason::Moved {
            image: reference.as_str(),
            from: &one.container.image_id,
            to: now,
        })
    }

    /// A network of Cosmos that the container is in *instead of* its own: it
    /// would stay reachable from there, so it cannot just be connected.
    fn wrong_network(&self, one: &Owned<'a>) -> Option<&'a str> {
        let networks = &one.container.networks;
        if networks.contains_key(&self.desired.network.name) {
            return None;
        }
        let is_wrong = |name: &&NetworkName| {
            let present = self.observed.network(name);
            // One beside its own is no other in place of it.
            present.is_some_and(|network| {
                network.managed && network.workspace != Some(self.key.clone())
            })
        };
        networks.keys().find(is_wrong).map(NetworkName::as_str)
    }

    fn needs_to_rise(&mut self, wanted: &Wanted<'a>, rise: Rise<'a>) -> Needs {
        let name = wanted.service_name.as_str();
        let service = wanted.service;
        let missing = self.missing_networks(service, rise);
        match rise {
            Rise::Launch => self.needs_to_launch(name, &service.container, &service.depends_on),
            Rise::Start(one) if one.container.state == ContainerState::Created => {
                self.needs_to_launch(name, &service.container, &service.depends_on)
            }
            Rise::Start(_) => self.needs_to_start(name, &service.depends_on, &missing),
            Rise::Up(_) => self.needs_to_connect(name, &missing),
        }
    }

    /// The networks that a container should be in, of one that runs or is about to,
    /// and is not.
    fn missing_networks(&self, service: &'a Service, rise: Rise<'_>) -> Vec<&'a NetworkName> {
        let one = match rise {
            Rise::Start(one) => one,
            Rise::Up(one) if is_alive(one.container) => one,
            Rise::Up(_) | Rise::Launch => return Vec::new(),
        };
        // A container remembers the name of a network that is gone.
        let is_in = |network: &NetworkName| {
            one.container.networks.contains_key(network) && self.observed.network(network).is_some()
        };
        std::iter::once(&self.desired.network.name)
            .chain(&service.container.networks)
            .filter(|network| !is_in(network))
            .collect()
    }

    /// The networks of this workspace that a container is in, and should not be.
    fn surplus_networks(&self, service: &Service, one: &Owned<'a>) -> Vec<&'a NetworkName> {
        let is_ours = |network: &NetworkName| {
            let present = self.observed.network(network);
            present.is_some_and(|it| it.managed && it.workspace.as_ref() == Some(&self.key))
        };
        let networks = one.container.networks.keys();
        networks
            .filter(|network| **network != self.desired.network.name)
            .filter(|network| !service.container.networks.contains(network))
            .filter(|network| is_ours(network))
            .collect()
    }

    fn stop_all(
        &mut self,
        others: &[Owned<'a>],
        subject: &Subject,
        needs: Vec<StepId>,
        reason: &Reason<'_>,
    ) -> Vec<StepId> {
        let stops: Vec<_> = others
            .iter()
            .filter(|one| is_alive(one.container))
            .flat_map(|one| self.stop(one, subject, needs.clone(), reason))
            .collect();
        if stops.is_empty() { needs } else { stops }
    }

    fn launch(
        &mut self,
        wanted: &Wanted<'a>,
        others: &[Owned<'a>],
        needs: Vec<StepId>,
    ) -> Vec<StepId> {
        let origin = self.desired.origins.of(&wanted.path);
        let replaces = others
            .first()
            .and_then(|old| self.reason_to_replace(wanted, old));
        let reason = match replaces.or_else(|| self.ordered(wanted)) {
            Some(reason) => reason,
            None if self.memory.applied.contains_key(&wanted.spec) => Reason::Missing(origin),
            None => Reason::New(origin),
        };
        let generation = generation(&wanted.name, &wanted.spec, others);
        let action = self.launch_of(wanted, generation);
        vec![self.step(&wanted.subject, needs, action, &reason)]
    }

    fn launch_of(&self, wanted: &Wanted<'a>, generation: String) -> Action {
        let identity = &self.desired.identity;
        let by_engine = |health: &&Health| matches!(health.probe, HealthProbe::Command { .. });
        Action::Launch(Box::new(Launch {
            name: wanted.name.clone(),
            container: with_sticky_ports(&wanted.service.container, &wanted.name, self.memory),
            owner: Owner {
                kind: Kind::Service,
                workspace: Some(self.key.clone()),
                folder: Some(identity.folder.clone()),
                name: Some(wanted.service_name.to_string()),
                replica: wanted.replica,
                spec: wanted.spec.clone(),
                generation,
            },
            network: self.desired.network.name.clone(),
            aliases: self.aliases(wanted),
            search: Some(identity.domain()),
            health: wanted.service.health.as_ref().filter(by_engine).cloned(),
            remove_when_done: false,
        }))
    }

    /// The mildest change of each thing that drifted, one after the other.
    fn mend(
        &mut self,
        wanted: &Wanted<'a>,
        one: Owned<'a>,
        rise: Rise<'a>,
        reload: Option<(Action, Reason<'a>)>,
        mut needs: Vec<StepId>,
    ) -> Vec<StepId> {
        needs = self.once_renamed(one.container, needs);
        let mut done = Vec::new();
        if let Some(step) = self.give_name(wanted, one, &needs) {
            needs = vec![step];
            done = vec![step];
        }
        let mut go = |planner: &mut Self, action, reason: &Reason<'_>| {
            let step = planner.step(&wanted.subject, std::mem::take(&mut needs), action, reason);
            needs = vec![step];
            done = vec![step];
            step
        };

        let limits = &wanted.service.container.resources;
        let has = one.container.live.resources.without_defaults(limits);
        if has != *limits {
            let (path, origins) = (&wanted.path, &self.desired.origins);
            let changes = diff::limits(&has, limits, path, origins);
            let action = Action::Update {
                container: wanted.name.clone(),
                resources: *limits,
            };
            go(self, action, &Reason::Limits(changes));
        }
        for network in self.missing_networks(wanted.service, rise) {
            let action = Action::ConnectNetwork {
                container: wanted.name.clone(),
                network: network.clone(),
                aliases: self.aliases(wanted),
            };
            go(self, action, &Reason::Disconnected(network));
        }
        for network in self.surplus_networks(wanted.service, &one) {
            let action = Action::DisconnectNetwork {
                container: wanted.name.clone(),
                network: network.clone(),
            };
            let origin = self
                .desired
                .origins
                .of(&format!("{}.networks", wanted.path));
            go(self, action, &Reason::Left(origin));
        }
        if let Some((action, reason)) = reload {
            go(self, action, &reason);
        }
        if matches!(rise, Rise::Start(_)) {
            let action = match one.container.state {
                // What made it may have died before all that belongs in it was
                // there. The same launch again completes it, and starts it.
                ContainerState::Created => self.launch_of(wanted, one.owner.generation.clone()),
                _ => Action::Start {
                    container: wanted.name.clone(),
                    hooks: wanted.service.container.hooks.clone(),
                },
            };
            go(self, action, &Reason::Down(one.container.state));
        }
        done
    }

    /// The order that a new container is there for, if it is for one.
    fn ordered(&self, wanted: &Wanted<'a>) -> Option<Reason<'a>> {
        let order = |key: &str| {
            let origin = self.desired.origins.of(&format!("{}.{key}", wanted.path));
            origin.filter(|origin| matches!(origin, Origin::Ordered { .. }))
        };
        if let Some(started) = order("run") {
            return Some(Reason::HeldStarted(started));
        }
        // Only of one more: others of it are missing for reasons of their own.
        let present = self.estate.of_service(wanted.service_name);
        let most = present.iter().map(|one| one.owner.replica).max()?;
        let scaled = order("replicas").filter(|_| wanted.replica > most)?;
        Some(Reason::Replicas(wanted.service.replicas, Some(scaled)))
    }

    /// Gives a container its name, if it has another.
    fn give_name(
        &mut self,
        wanted: &Wanted<'a>,
        one: Owned<'a>,
        needs: &[StepId],
    ) -> Option<StepId> {
        let from = self.estate.name_of(one.container).clone();
        if from == wanted.name {
            return None;
        }
        let aside = format!("{}.{}", wanted.name, one.owner.generation);
        let reason = match one.container.name.as_str() == aside {
            true => Reason::SetAside,
            false => Reason::Renamed(&one.container.name),
        };
        let to = wanted.name.clone();
        let action = Action::Rename { from, to };
        let step = self.step(&wanted.subject, needs.to_vec(), action, &reason);
        self.estate.rename(one.container, wanted.name.clone(), step);
        Some(step)
    }

    /// Held stopped: one container of each replica is kept, and does not run.
    fn hold(&mut self, name: &'a ServiceName, service: &'a Service, because: &str) {
        let spec = Fingerprint::of_service(service);
        let present = self.estate.of_service(name);
        for replica in 1..=service.replicas {
            let wanted = self.wanted(name, service, &spec, replica);
            let mine = present.iter().filter(|one| one.owner.replica == replica);
            let (right, mut others) = self.sort_out(&wanted, mine.copied());
            let kept = match right {
                Some(right) => right,
                // None is as declared: that is seen to when it is released.
                None if !others.is_empty() => others.remove(0),
                None => continue,
            };
            let mut needs = self.stop(
                &kept,
                &wanted.subject,
                Vec::new(),
                &Reason::Ordered(because),
            );
            let reason = Reason::LeftOver(&kept.container.name);
            for other in &others {
                let stopped = self.stop(other, &wanted.subject, Vec::new(), &reason);
                self.remove(other, &wanted.subject, stopped, &reason);
            }
            // Found under its name by whoever looks for it there. If a stranger has
            // that, it is reported when there is something to start.
            let is_called_so = *self.estate.name_of(kept.container) == wanted.name;
            if !is_called_so && self.claim(&wanted.name, &wanted.subject).is_ok() {
                let reason = Reason::InTheWay(&wanted.name);
                needs = self.free_name(&wanted.name, needs, &reason);
                needs = self.once_renamed(kept.container, needs);
                self.give_name(&wanted, kept, &needs);
            }
        }
    }

    fn wanted(
        &self,
        service_name: &'a ServiceName,
        service: &'a Service,
        spec: &Fingerprint,
        replica: u32,
    ) -> Wanted<'a> {
        Wanted {
            service_name,
            service,
            subject: Subject::Service(service_name.clone()),
            path: format!("services.{service_name}"),
            spec: spec.clone(),
            replica,
            name: self.desired.identity.container(service_name, replica),
        }
    }

    fn await_ready(
        &mut self,
        wanted: &Wanted<'a>,
        needs: Vec<StepId>,
        reason: &Reason<'_>,
    ) -> StepId {
        let action = Action::Await {
            containers: vec![wanted.name.clone()],
            condition: AfterCondition::Ready,
            patience: patience(wanted.service),
        };
        self.step(&wanted.subject, needs, action, reason)
    }

    fn aliases(&self, wanted: &Wanted<'_>) -> Vec<String> {
        let domain = self.desired.identity.domain();
        vec![format!("{}.{domain}", wanted.service_name)]
    }
}

/// How long a service may take from its start to being ready.
fn patience(service: &Service) -> Duration {
    service
        .health
        .as_ref()
        .map_or(NO_PROBE_PATIENCE, Health::patience)
}

/// Whether it ended as its restart policy lets it.
fn has_ended(state: ContainerState, restart: RestartPolicy) -> bool {
    let ContainerState::Exited { code, .. } = state else {
        return false;
    };
    match restart {
        RestartPolicy::Always => false,
        RestartPolicy::OnFailure => code == 0,
        RestartPolicy::Never => true,
    }
}

/// Whether there is nothing to wait for: it is ready, or ended as it may.
fn is_ready(rise: Rise<'_>, service: &Service) -> bool {
    match rise {
        Rise::Up(one) if one.container.is_running() => {
            service.health.is_none() || one.container.readiness == Readiness::Ready
        }
        Rise::Up(_) => true,
        Rise::Start(_) | Rise::Launch => false,
    }
}

fn is_completed(rise: Rise<'_>) -> bool {
    let Rise::Up(one) = rise else {
        return false;
    };
    matches!(one.container.state, ContainerState::Exited { code: 0, .. })
}

/// Whether the old container must stop before the new one starts.
///
/// Two containers cannot hold one host port, whatever `update` says; and two
/// that write to one volume are asked for, not assumed.
fn is_stop_first(service: &Service, name: &ContainerName, memory: &Memory) -> bool {
    let holds_port = service.container.ports.iter().any(|port| {
        let sticky = (name.clone(), port.container);
        port.host.is_some() || memory.host_ports.contains_key(&sticky)
    });
    let shares_writable = service.replicas == 1
        && service
            .container
            .mounts
            .iter()
            .any(|mount| !mount.read_only && !matches!(mount.source, MountSource::Anonymous));
    match service.update {
        _ if holds_port => true,
        UpdateOrder::Auto => shares_writable,
        UpdateOrder::StartFirst => false,
        UpdateOrder::StopFirst => true,
    }
}

/// The container with each host port filled in that it had before.
pub(super) fn with_sticky_ports(
    container: &Container,
    name: &ContainerName,
    memory: &Memory,
) -> Container {
    let mut container = container.clone();
    for port in &mut container.ports {
        let sticky = (name.clone(), port.container);
        port.host = port
            .host
            .or_else(|| memory.host_ports.get(&sticky).copied());
    }
    container
}

/// Four hex digits for a new incarnation: the same for the same plan, another
/// for each that it replaces.
pub(super) fn generation(
    name: &ContainerName,
    spec: &Fingerprint,
    replaced: &[Owned<'_>],
) -> String {
    let ids: Vec<_> = replaced
        .iter()
        .map(|one| one.container.id.as_str())
        .collect();
    let word = |attempt: u32| {
        let text = format!("{name} {spec} {} {attempt}", ids.join(" "));
        fingerprint::short_hash(&text)[..4].to_owned()
    };
    let is_new = |word: &String| replaced.iter().all(|one| one.owner.generation != *word);
    // More attempts than there are others: one of them must be new.
    (0..=u32::MAX).map(word).find(is_new).unwrap_or_default()
}
