//! Small workspaces for tests, and the engine as it is once they are up.

use std::{sync::Mutex, time::Duration};

use crate::{
    plan::{Action, Plan, plan},
    reconcile::{Executor, WIDTH, event::Event, fake::FakeEngine},
    workspace::{
        AfterCondition, Command, CommandKind, Container, ContainerName, File, Fingerprint, Health,
        HealthProbe, Identity, Image, ImageRef, Installation, Memory, Mount, MountSource, Network,
        Observed, ObservedContainer, Origin, PortPublish, ProxyNeeds, PullPolicy, RestartPolicy,
        RunState, Service, Transport, UpdateOrder, Volume, VolumeName, Workspace,
    },
};

/// An empty workspace `shop` in `/src/shop`.
pub(crate) fn shop() -> Workspace {
    let identity = Identity {
        name: "shop".parse().unwrap(),
        instance: None,
        folder: "/src/shop".to_owned(),
    };
    Workspace {
        identity,
        network: Network::bridge(Installation::default().network()),
        proxy: ProxyNeeds::default(),
        services: Default::default(),
        commands: Default::default(),
        routes: Default::default(),
        volumes: Default::default(),
        networks: Default::default(),
        origins: Default::default(),
    }
}

/// A service that says nothing but its image.
pub(crate) fn service(image: &str) -> Service {
    Service {
        container: container(image),
        run: RunState::Running,
        replicas: 1,
        depends_on: Default::default(),
        health: None,
        route: None,
        update: UpdateOrder::Auto,
        restart: RestartPolicy::Always,
        watch: Vec::new(),
    }
}

pub(crate) fn container(image: &str) -> Container {
    Container::of(Image::Pulled {
        reference: ImageRef::new(image).unwrap(),
        policy: PullPolicy::Missing,
    })
}

pub(crate) fn name(text: &str) -> ContainerName {
    text.parse().unwrap()
}

impl Service {
    pub(crate) fn replicas(mut self, count: u32) -> Self {
        self.replicas = count;
        self
    }

    pub(crate) fn after(mut self, on: &str, condition: AfterCondition) -> Self {
        self.depends_on.insert(on.to_owned(), condition);
        self
    }

    pub(crate) fn probed(mut self) -> Self {
        self.health = Some(Health {
            probe: HealthProbe::Tcp { port: 80 },
            interval: Duration::from_secs(1),
            timeout: Duration::from_secs(1),
            retries: 3,
            start_period: Duration::ZERO,
        });
        self
    }

    pub(crate) fn volume(mut self, volume: &str) -> Self {
        self.container.mounts.push(Mount {
            source: MountSource::Volume(VolumeName::new(volume).unwrap()),
            target: "/data".to_owned(),
            read_only: false,
        });
        self
    }

    pub(crate) fn env(mut self, key: &str, value: &str) -> Self {
        self.container.env.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A file `/etc/app.conf`, that is read again as `reload` says.
    pub(crate) fn file(mut self, content: &str, reload: Option<&str>) -> Self {
        self.container.files.push(File {
            target: "/etc/app.conf".to_owned(),
            content: content.as_bytes().to_vec(),
            mode: 0o644,
            uid: 0,
            gid: 0,
            reload: reload.map(|how| how.to_owned().into()),
        });
        self
    }

    pub(crate) fn port(mut self, host: Option<u16>, inside: u16) -> Self {
        self.container.ports.push(PortPublish {
            container: inside,
            host,
            address: "127.0.0.1".to_owned(),
            transport: Transport::Tcp,
        });
        self
    }

    pub(crate) fn held(mut self) -> Self {
        self.run = RunState::Stopped {
            because: "held stopped by `cosmos stop web`".to_owned(),
        };
        self
    }
}

impl Workspace {
    pub(crate) fn with(mut self, name: &str, service: Service) -> Self {
        for mount in &service.container.mounts {
            if let MountSource::Volume(volume) = &mount.source {
                self.volumes.insert(volume.clone(), Volume::default());
            }
        }
        self.services.insert(name.parse().unwrap(), service);
        self
    }

    pub(crate) fn with_command(mut self, name: &str, image: &str, inputs: &str) -> Self {
        let command = Command {
            kind: CommandKind::Container(Box::new(container(image))),
            depends_on: Default::default(),
            inputs: Some(inputs.to_owned()),
            needed: true,
        };
        self.commands.insert(name.parse().unwrap(), command);
        self
    }

    pub(crate) fn written_at(mut self, key: &str, line: u32) -> Self {
        let origin = Origin::Written {
            file: "cosmos.toml".to_owned(),
            line,
        };
        self.origins.0.insert(key.to_owned(), origin);
        self
    }
}

/// The engine and the memory of a workspace.
pub(crate) struct Lab {
    pub(crate) engine: FakeEngine,
    pub(crate) memory: Memory,
}

impl Lab {
    /// Nothing is there.
    pub(crate) fn empty() -> Self {
        Self::with(Observed::default())
    }

    pub(crate) fn with(observed: Observed) -> Self {
        Self {
            engine: FakeEngine::new(observed),
            memory: Memory::default(),
        }
    }

    /// All of `desired` is up.
    pub(crate) fn running(desired: &Workspace) -> Self {
        let mut lab = Self::empty();
        lab.apply(desired);
        lab
    }

    pub(crate) fn plan(&self, desired: &Workspace) -> Plan {
        plan(desired, &self.engine.observed(), &self.memory)
    }

    /// Plans and carries out once, and remembers what the store would.
    pub(crate) fn apply(&mut self, desired: &Workspace) -> Plan {
        let plan = self.plan(desired);
        for service in desired.services.values() {
            let spec = Fingerprint::of_service(service);
            self.memory.applied.insert(spec, service.container.clone());
        }
        let done = Mutex::new(Vec::new());
        let executor = Executor {
            engine: &self.engine,
            waiter: &self.engine,
            events: &|event| {
                if let Event::StepSucceeded { step, .. } = event {
                    done.lock().unwrap().push(step);
                }
            },
            width: WIDTH,
        };
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(executor.execute(&plan, std::future::pending()));
        for container in &self.engine.observed().containers {
            if let Some((command, run)) = super::completed_run(desired, container) {
                self.memory.completed.insert(command, run);
            }
        }
        let done = done.into_inner().unwrap();
        for step in plan.steps.iter().filter(|step| done.contains(&step.id)) {
            self.remember_files(&step.action);
        }
        plan
    }

    fn remember_files(&mut self, action: &Action) {
        let observed = self.engine.observed();
        let (id, digests) = match action {
            Action::Launch(launch) => {
                let mut containers = observed.containers.iter();
                let made = containers.find(|one| one.owner.as_ref() == Some(&launch.owner));
                // Another step may have removed it since.
                let Some(made) = made else { return };
                (made.id.clone(), launch.container.reloadable_digests())
            }
            Action::Reload { id, files, .. } => {
                let digest = |file: &File| (file.target.clone(), file.digest());
                (id.clone(), files.iter().map(digest).collect())
            }
            _ => return,
        };
        self.memory.files.entry(id).or_default().extend(digests);
    }

    /// Changes one container by hand.
    pub(crate) fn edit(&self, container: &str, edit: impl FnOnce(&mut ObservedContainer)) {
        self.engine.edit(|observed| {
            let mut containers = observed.containers.iter_mut();
            edit(
                containers
                    .find(|one| one.name.as_str() == container)
                    .unwrap(),
            );
        });
    }
}
