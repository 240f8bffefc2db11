//! One look, each action, and what goes wrong with it.
//!
//! Every test has an installation of its own, so that none sees another's
//! containers, and all of it is removed by label at the test's end.

use std::{env, path::PathBuf, process::Command, sync::Arc, time::Duration};

use cosmos::{
    docker::{
        DockerEngine, Endpoint, ProxyCreation, SecretSource, image::ProxyImage, labels,
        proxy::ProxyRequest, reference::normalise,
    },
    plan::{Action, Launch},
    reconcile::engine::{
        Change, Console as _, Done, Engine as _, EngineError, LogChunk, LogOptions, Login, Progress,
    },
    workspace::{
        Container, ContainerName, ContainerState, File, Fingerprint, Health, HealthProbe, Hooks,
        Image, ImageRef, Installation, Kind, Network, Observed, ObservedContainer, Owner,
        PortPublish, PullPolicy, Readiness, Resources, SecretFile, SecretName, Transport, Volume,
        VolumeName,
    },
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::timeout;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An installation of one test.
struct World {
    engine: DockerEngine,
    installation: Installation,
}

impl World {
    async fn new() -> Self {
        env::var("DOCKER_HOST").expect("DOCKER_HOST names the engine to test on");
        let installation = Installation::new(&format!("t-{}", random())).unwrap();
        let endpoint = Endpoint::of_process().unwrap();
        let engine = DockerEngine::connect(&endpoint, installation.clone())
            .await
            .unwrap();
        Self {
            engine,
            installation,
        }
    }

    async fn with_network() -> Self {
        let world = Self::new().await;
        world.remake_network().await;
        world
    }

    fn network(&self) -> Network {
        Network::bridge(self.installation.network())
    }

    async fn remake_network(&self) {
        self.engine
            .ensure_network(&self.network(), None)
            .await
            .unwrap();
    }

    fn name(&self, name: &str) -> ContainerName {
        ContainerName::new(format!("{}-{name}", self.installation)).unwrap()
    }

    /// A launch of busybox running a command.
    fn launch(&self, name: &str, command: &[&str]) -> Launch {
        let mut container = Container::of(Image::Pulled {
            reference: ImageRef::new("busybox:latest").unwrap(),
            policy: PullPolicy::Missing,
        });
        container.command = Some(strings(command));
        container.init = true;
        container.stop_grace = Duration::from_secs(2);
        Launch {
            name: self.name(name),
            owner: Owner {
                kind: Kind::Service,
                workspace: Some("fix-42.shop".to_owned()),
                folder: Some("/src/shop".to_owned()),
                name: Some(name.to_owned()),
                replica: 1,
                spec: Fingerprint::of_container(&container),
                generation: "g1".to_owned(),
            },
            container,
            network: self.installation.network(),
            aliases: vec![format!("{name}.fix-42.shop.internal")],
            search: Some("fix-42.shop.internal".to_owned()),
            health: None,
            remove_when_done: false,
        }
    }

    fn idle(&self, name: &str) -> Launch {
        self.launch(name, &["tail", "-f", "/dev/null"])
    }

    async fn perform(&self, action: Action) -> Result<Done, EngineError> {
        timeout(PATIENCE, self.engine.perform(&action, &|_| {}))
            .await
            .expect("an action ends")
    }

    /// Launches and returns the id.
    async fn run(&self, launch: &Launch) -> String {
        let action = Action::Launch(Box::new(launch.clone()));
        match self.perform(action).await.unwrap() {
            Done::Created(id) => id.to_string(),
            Done::Done => panic!("a launch creates"),
        }
    }

    async fn observe(&self) -> Observed {
        self.engine.observe().await.unwrap()
    }

    async fn container(&self, name: &str) -> ObservedContainer {
        let name = self.name(name);
        self.observe().await.container(&name).cloned().unwrap()
    }

    /// Exit code and standard output of a command in a container.
    async fn exec(&self, name: &str, command: &[&str]) -> (i64, String) {
        let (code, chunks) = self
            .engine
            .exec(self.name(name).as_str(), &strings(command))
            .await
            .unwrap();
        (code, text(&chunks))
    }

    /// What `docker inspect` says.
    fn inspect(&self, name: &str, format: &str) -> String {
        docker(&["inspect", "-f", format, self.name(name).as_str()])
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let filter = format!("label={}={}", labels::INSTALLATION, self.installation);
        let listed = |arguments: &[&str]| -> Vec<String> {
            let output = Command::new("docker")
                .args(arguments)
                .args(["--filter", &filter])
                .output();
            output
                .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect()
        };
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-fv"][..]),
            (&["network", "ls", "-q"], &["network", "rm"]),
            (&["volume", "ls", "-q"], &["volume", "rm"]),
        ] {
            let found = listed(list);
            if !found.is_empty() {
                let _ = Command::new("docker").args(remove).args(found).output();
            }
        }
    }
}

fn random() -> String {
    let mut bytes = [0; 5];
    getrandom::fill(&mut bytes).unwrap();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn text(chunks: &[LogChunk]) -> String {
    let bytes = chunks.iter().flat_map(|chunk| match chunk {
        LogChunk::Out(bytes) | LogChunk::Err(bytes) => bytes.to_vec(),
    });
    String::from_utf8(bytes.collect()).unwrap()
}

fn docker(arguments: &[&str]) -> String {
    let output = Command::new("docker").args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn port(container: u16, host: Option<u16>) -> PortPublish {
    PortPublish {
        container,
        host,
        address: "127.0.0.1".to_owned(),
        transport: Transport::Tcp,
    }
}

struct Vault;

impl SecretSource for Vault {
    fn secret(&self, workspace: &str, name: &SecretName, hash: &str) -> Option<Vec<u8>> {
        (workspace == "fix-42.shop" && hash == "h1").then(|| name.as_str().as_bytes().to_vec())
    }
}

fn secret_and_file(container: &mut Container) {
    container
        .secrets
        .insert(SecretName::new("key").unwrap(), SecretFile::plain("h1"));
    container.files = vec![File {
        target: "/etc/new/folder/app.conf".to_owned(),
        content: b"port = 1\n".to_vec(),
        mode: 0o640,
        uid: 0,
        gid: 0,
        reload: None,
    }];
}

#[tokio::test]
async fn what_was_launched_is_observed() {
    let world = World::with_network().await;
    let mut launch = world.idle("web");
    launch.container.ports = vec![port(80, None)];
    launch.container.resources = Resources {
        nano_cpus: Some(500_000_000),
        memory: Some(64 << 20),
        pids: Some(50),
    };
    let id = world.run(&launch).await;

    let found = world.container("web").await;
    assert_eq!(found.id.as_str(), id);
    assert_eq!(found.owner.as_ref(), Some(&launch.owner));
    assert_eq!(
        normalise(found.image.as_str()),
        "docker.io/library/busybox:latest"
    );
    assert_eq!(found.readiness, Readiness::Ready);
    assert_eq!(found.live.resources, launch.container.resources);
    assert_eq!(found.exposed, [80]);
    assert_eq!(found.ports.len(), 1);
    assert!(found.ports[0].host.is_some_and(|port| port > 0));
    assert!(found.networks[&world.installation.network()].is_some());
    let ContainerState::Running { since } = found.state else {
        panic!("{:?}", found.state);
    };
    assert!(since.elapsed().unwrap() < PATIENCE);

    let observed = world.observe().await;
    assert_eq!(observed.owned_by("fix-42.shop").count(), 1);
    let image = |name: &str| observed.images.get(&ImageRef::new(name).unwrap());
    assert_eq!(image("busybox"), Some(&found.image_id));
    assert_eq!(
        image("docker.io/library/busybox:latest"),
        Some(&found.image_id)
    );
}

#[tokio::test]
async fn every_action_can_be_given_twice() {
    let world = World::with_network().await;
    let launch = world.idle("web");
    let (web, other) = (world.name("web"), world.name("other"));
    let volume = VolumeName::new(format!("{}_data", world.installation)).unwrap();
    let grace = Duration::from_secs(2);
    for action in [
        Action::CreateNetwork {
            network: world.network(),
            workspace: None,
        },
        Action::CreateVolume {
            volume: volume.clone(),
            settings: Volume::default(),
            workspace: "shop".to_owned(),
        },
        Action::Create(Box::new(launch.clone())),
        Action::Launch(Box::new(launch.clone())),
        Action::Start {
            container: web.clone(),
            hooks: Hooks::default(),
        },
        Action::ConnectNetwork {
            container: web.clone(),
            network: world.installation.network(),
            aliases: launch.aliases.clone(),
        },
        Action::Update {
            container: web.clone(),
            resources: Resources {
                memory: Some(64 << 20),
                ..Resources::default()
            },
        },
        Action::Stop {
            container: web.clone(),
            hooks: Hooks::default(),
            grace,
        },
        Action::Restart {
            container: web.clone(),
            hooks: Hooks::default(),
            grace,
        },
        Action::Rename {
            from: web.clone(),
            to: other.clone(),
        },
        Action::Remove { container: other },
        Action::RemoveVolume { volume },
        Action::RemoveNetwork {
            network: world.installation.network(),
        },
    ] {
        for time in ["first", "second"] {
            let done = world.perform(action.clone()).await;
            assert!(done.is_ok(), "{time} {action:?}: {done:?}");
        }
    }
}

#[tokio::test]
async fn a_name_that_another_container_has_is_a_conflict() {
    let world = World::with_network().await;
    let first = world.idle("web");
    world.run(&first).await;
    let mut second = first.clone();
    second.owner.generation = "g2".to_owned();
    let done = world.perform(Action::Launch(Box::new(second))).await;
    assert!(
        matches!(done, Err(EngineError::Conflict { .. })),
        "{done:?}"
    );
}

#[tokio::test]
async fn limits_are_changed_and_lifted_in_place() {
    let world = World::with_network().await;
    let mut launch = world.idle("web");
    launch.container.resources.memory = Some(64 << 20);
    launch.container.resources.pids = Some(50);
    world.run(&launch).await;
    let limits = |nano_cpus, memory, pids| Resources {
        nano_cpus,
        memory,
        pids,
    };
    for wanted in [
        limits(Some(250_000_000), Some(256 << 20), Some(60)),
        limits(Some(500_000_000), Some(32 << 20), None),
        limits(Some(500_000_000), None, Some(70)),
    ] {
        world
            .perform(Action::Update {
                container: launch.name.clone(),
                resources: wanted,
            })
            .await
            .unwrap();
        assert_eq!(world.container("web").await.live.resources, wanted);
    }
}

#[tokio::test]
async fn files_and_secrets_are_there_before_the_start() {
    let world = World::with_network().await;
    world.engine.set_secrets(Arc::new(Vault));
    // The last folder is there, and has a mode that a tar entry for it would change.
    let script = "cat /run/secrets/key /etc/new/folder/app.conf; \
                  stat -c %a /etc/new/folder/app.conf /run/secrets/key /tmp; sleep 60";
    for read_only in [false, true] {
        let name = if read_only { "fixed" } else { "free" };
        let mut launch = world.launch(name, &["sh", "-c", script]);
        launch.container.read_only = read_only;
        secret_and_file(&mut launch.container);
        launch.container.files.push(File {
            target: "/tmp/x".to_owned(),
            content: Vec::new(),
            mode: 0o600,
            uid: 0,
            gid: 0,
            reload: None,
        });
        world.run(&launch).await;
        let said = timeout(PATIENCE, async {
            let options = LogOptions {
                follow: true,
                ..LogOptions::default()
            };
            let logs = world.engine.logs(launch.name.as_str(), options);
            let chunks: Vec<_> = logs.take(4).try_collect().await.unwrap();
            text(&chunks)
        })
        .await
        .unwrap();
        assert!(
            said.starts_with("keyport = 1\n640\n444\n1777\n"),
            "{name}: {said}"
        );
    }
}

#[tokio::test]
async fn a_secret_without_a_value_creates_nothing() {
    let world = World::with_network().await;
    let mut launch = world.idle("web");
    secret_and_file(&mut launch.container);
    let done = world.perform(Action::Launch(Box::new(launch))).await;
    assert!(done.unwrap_err().to_string().contains("`key`"));
    assert_eq!(world.observe().await.container(&world.name("web")), None);
}

#[tokio::test]
async fn a_container_whose_network_was_remade_is_reconnected() {
    let world = World::with_network().await;
    let launch = world.idle("web");
    world.run(&launch).await;
    let stop = Action::Stop {
        container: launch.name.clone(),
        hooks: Hooks::default(),
        grace: Duration::from_secs(1),
    };
    let network = world.installation.network();
    for start in [
        Action::Start {
            container: launch.name.clone(),
            hooks: Hooks::default(),
        },
        Action::Restart {
            container: launch.name.clone(),
            hooks: Hooks::default(),
            grace: Duration::from_secs(1),
        },
    ] {
        world.perform(stop.clone()).await.unwrap();
        world
            .perform(Action::RemoveNetwork {
                network: network.clone(),
            })
            .await
            .unwrap();

        let gone = world.perform(start.clone()).await;
        assert!(
            matches!(gone, Err(EngineError::NotFound { .. })),
            "{gone:?}"
        );

        world.remake_network().await;
        assert_eq!(world.container("web").await.networks.len(), 0);
        world.perform(start).await.unwrap();
        let found = world.container("web").await;
        assert!(found.networks[&network].is_some());
        let (code, said) = world
            .exec(
                "web",
                &["nslookup", "web.fix-42.shop.internal", "127.0.0.11"],
            )
            .await;
        assert_eq!(code, 0, "{said}");
    }
}

#[tokio::test]
async fn a_lost_network_is_connected_with_its_aliases() {
    let world = World::with_network().await;
    let launch = world.idle("web");
    world.run(&launch).await;
    let network = world.installation.network();
    let name = launch.name.as_str();
    docker(&["network", "disconnect", network.as_str(), name]);
    assert_eq!(world.container("web").await.networks.len(), 0);
    world
        .perform(Action::ConnectNetwork {
            container: launch.name.clone(),
            network: network.clone(),
            aliases: launch.aliases.clone(),
        })
        .await
        .unwrap();
    assert!(world.container("web").await.networks[&network].is_some());
    let aliases = world.inspect("web", "{{json .NetworkSettings.Networks}}");
    assert!(aliases.contains("web.fix-42.shop.internal"), "{aliases}");
}

#[tokio::test]
async fn a_network_in_use_is_a_conflict() {
    let world = World::with_network().await;
    world.run(&world.idle("web")).await;
    let done = world
        .perform(Action::RemoveNetwork {
            network: world.installation.network(),
        })
        .await;
    assert!(
        matches!(done, Err(EngineError::Conflict { .. })),
        "{done:?}"
    );
}

#[tokio::test]
async fn twenty_who_make_one_network_make_one() {
    let world = World::new().await;
    let network = world.network();
    let _: Vec<String> = stream::iter(0..20)
        .map(|_| world.engine.ensure_network(&network, None))
        .buffer_unordered(20)
        .try_collect()
        .await
        .unwrap();
    // Once all are through: a late one may have taken a surplus one away.
    let kept = world.engine.ensure_network(&network, None).await.unwrap();
    let observed = world.observe().await;
    let named: Vec<_> = observed
        .networks
        .iter()
        .filter(|have| have.name == network.name)
        .collect();
    assert_eq!(named.len(), 1, "{named:?}");
    assert_eq!(named[0].id, kept);
    assert!(named[0].managed && named[0].driver == "bridge");
}

#[tokio::test]
async fn duplicate_networks_collapse_into_the_oldest() {
    let world = World::new().await;
    let network = world.network();
    let label = |label: &str, value: &str| format!("{label}={value}");
    let installation = label(labels::INSTALLATION, world.installation.as_str());
    // With a raw request: the engine's own client asks it to refuse a second.
    let make = || {
        let body = serde_json::json!({
            "Name": network.name, "Driver": "bridge",
            "Labels": { (labels::INSTALLATION): world.installation.as_str() },
        });
        let host = env::var("DOCKER_HOST").unwrap();
        let output = Command::new("curl")
            .args(["-sS", "-X", "POST", "-H", "Content-Type: application/json"])
            .args(["--unix-socket", host.trim_start_matches("unix://")])
            .args(["http://localhost/v1.41/networks/create", "-d"])
            .arg(body.to_string())
            .output()
            .unwrap();
        let made: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        made["Id"].as_str().map(str::to_owned)
    };
    let oldest = make().unwrap();
    let others: Vec<_> = (0..3).filter_map(|_| make()).collect();
    let kept = world.engine.ensure_network(&network, None).await.unwrap();
    assert_eq!(kept, oldest, "of {others:?} with {installation}");
    let left = world.observe().await.networks;
    let left = left.iter().filter(|have| have.name == network.name);
    assert_eq!(left.count(), 1);
}

#[tokio::test]
async fn a_command_that_is_not_there_is_127_and_a_folder_126() {
    let world = World::with_network().await;
    for (name, command, expected) in [
        ("absent", "nope", 127),
        ("absent-path", "/nope", 127),
        ("folder", "/etc", 126),
    ] {
        for init in [false, true] {
            let mut launch = world.launch(&format!("{name}-{init}"), &[command]);
            launch.container.init = init;
            let done = world.perform(Action::Launch(Box::new(launch))).await;
            match done {
                Err(EngineError::CannotRun { code, cause }) if !init => {
                    assert_eq!(code, expected, "{cause}");
                    assert!(cause.contains(command), "{cause}");
                }
                // With the engine's init, that starts, and ends with the code.
                Ok(_) if init => {
                    let name = world.name(&format!("{name}-{init}"));
                    let code = world.engine.wait(name.as_str()).await.unwrap();
                    assert!(matches!(code, 126 | 127), "{code}");
                }
                other => panic!("{name} {init}: {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let world = World::with_network().await;
    // Held by a container, which works whatever namespace the test runs in.
    let mut first = world.idle("first");
    first.container.ports = vec![port(80, None)];
    world.run(&first).await;
    let held = world.container("first").await.ports[0].host.unwrap();
    let mut second = world.idle("second");
    second.container.ports = vec![port(80, Some(held))];
    let done = world.perform(Action::Launch(Box::new(second))).await;
    assert_eq!(done, Err(EngineError::PortTaken { port: held }));
}

#[tokio::test]
async fn an_image_that_is_nowhere_is_told() {
    let world = World::with_network().await;
    let absent = "localhost:1/cosmos/absent:1";
    let mut launch = world.idle("web");
    launch.container.image = Image::Pulled {
        reference: ImageRef::new(absent).unwrap(),
        policy: PullPolicy::Never,
    };
    let done = world.perform(Action::Launch(Box::new(launch))).await;
    assert!(
        matches!(&done, Err(EngineError::NoImage { image, .. }) if image == absent),
        "{done:?}"
    );
    // No registry answers there: the engine's words, and which image.
    let done = world
        .perform(Action::PullImage {
            image: ImageRef::new(absent).unwrap(),
        })
        .await;
    assert!(
        matches!(&done, Err(EngineError::Pull { image, cause }) if image == absent && cause.contains("localhost:1")),
        "{done:?}"
    );
}

/// What the tests' registry serves, as its script says.
fn served(port: u16, name: &str) -> ImageRef {
    ImageRef::new(format!("127.0.0.1:{port}/fixture/{name}")).unwrap()
}

#[tokio::test]
async fn an_image_is_pulled_with_its_progress_and_a_login_where_one_is_asked() {
    let world = World::new().await;
    let (open, closed) = (served(5000, "busybox:1"), served(5001, "busybox:1"));
    for image in [&open, &closed] {
        let _ = Command::new("docker")
            .args(["rmi", image.as_str()])
            .output();
    }
    let layers = std::sync::Mutex::new(Vec::new());
    let progress = |progress: Progress| {
        if let Progress::Layer { status, .. } = progress {
            layers.lock().unwrap().push(status);
        }
    };
    let pull = |image: &ImageRef| Action::PullImage {
        image: image.clone(),
    };
    world.engine.perform(&pull(&open), &progress).await.unwrap();
    let layers = layers.into_inner().unwrap();
    assert!(!layers.is_empty());
    let observed = world.observe().await;
    assert!(observed.images.contains_key(&open));

    let refused = world.perform(pull(&closed)).await;
    assert!(
        matches!(
            refused,
            Err(EngineError::LoginNeeded {
                had_login: false,
                ..
            })
        ),
        "{refused:?}"
    );
    world.engine.log_in(vec![Login {
        host: "127.0.0.1:5001".to_owned(),
        username: "cosmos".to_owned(),
        password: "cosmos-test".to_owned(),
    }]);
    world.perform(pull(&closed)).await.unwrap();

    for absent in ["busybox:absent", "absent:1"] {
        let absent = served(5000, absent);
        let done = world.perform(pull(&absent)).await;
        assert!(
            matches!(&done, Err(EngineError::NoImage { image, .. }) if image == absent.as_str()),
            "{done:?}"
        );
    }
}

#[tokio::test]
async fn the_engines_health_check_is_readiness() {
    let world = World::with_network().await;
    let mut launch = world.launch("web", &["sh", "-c", "sleep 1; touch /ready; sleep 600"]);
    launch.health = Some(Health {
        probe: HealthProbe::Command {
            run: strings(&["test", "-e", "/ready"]),
        },
        interval: Duration::from_millis(300),
        timeout: Duration::from_secs(5),
        retries: 100,
        start_period: Duration::ZERO,
    });
    let mut changes = world.engine.changes();
    assert_eq!(changes.next().await, Some(Change::Connected));
    world.run(&launch).await;
    assert_eq!(world.container("web").await.readiness, Readiness::Starting);
    let healthy = timeout(PATIENCE, async {
        while let Some(change) = changes.next().await {
            if matches!(&change, Change::Container { name: Some(name), what, .. }
                if *name == launch.name && what == "health_status: healthy")
            {
                return;
            }
        }
        panic!("the stream ended");
    });
    healthy.await.unwrap();
    assert_eq!(world.container("web").await.readiness, Readiness::Ready);
}

#[tokio::test]
async fn what_a_container_says_is_told_by_stream_or_raw_from_a_terminal() {
    let world = World::with_network().await;
    let script = "printf 'out\\n'; sleep 0.3; printf 'err\\n' >&2; exit 3";
    for tty in [false, true] {
        let mut launch = world.launch(&format!("says-{tty}"), &["sh", "-c", script]);
        launch.container.tty = tty;
        world.run(&launch).await;
        let name = launch.name.as_str();
        assert_eq!(world.engine.wait(name).await, Ok(3));
        let logs = world.engine.logs(name, LogOptions::default());
        let chunks: Vec<_> = logs.try_collect().await.unwrap();
        if tty {
            assert_eq!(text(&chunks), "out\r\nerr\r\n");
        } else {
            let expected = [LogChunk::Out("out\n".into()), LogChunk::Err("err\n".into())];
            assert_eq!(chunks, expected);
        }
        let tail = world.engine.container_logs_tail(name, 1).await.unwrap();
        assert_eq!(tail, ["err"]);
        let found = world.container(&format!("says-{tty}")).await;
        assert!(matches!(
            found.state,
            ContainerState::Exited { code: 3, .. }
        ));
    }
}

#[tokio::test]
async fn a_command_is_run_inside_and_its_code_told() {
    let world = World::with_network().await;
    world.run(&world.idle("web")).await;
    let (code, said) = world.exec("web", &["sh", "-c", "echo hi; exit 5"]).await;
    assert_eq!((code, said.as_str()), (5, "hi\n"));
    let absent = world
        .engine
        .exec(world.name("web").as_str(), &strings(&["nope"]))
        .await;
    assert!(
        matches!(absent, Err(EngineError::CannotRun { code: 127, .. })),
        "{absent:?}"
    );
    let nobody = world.engine.exec("../../images", &strings(&["true"])).await;
    assert!(matches!(nobody, Err(EngineError::NotFound { .. })));
}

#[tokio::test]
async fn the_self_made_image_runs_as_the_proxy() {
    let world = World::with_network().await;
    let executable = PathBuf::from(env!("CARGO_BIN_EXE_cosmos"));
    let build = cosmos::docker::image::executable_hash(&executable).unwrap();
    let image = ProxyImage {
        executable,
        tag: format!("{}-proxy:0-{}", world.installation, &build[..8]),
        version: "0".to_owned(),
        build: build.clone(),
    };
    let engine = &world.engine;
    let id = engine.load_image(&image).await.unwrap();
    assert_eq!(engine.load_image(&image).await.unwrap(), id);
    let label = engine.image_label(&image.tag, labels::BUILD).await;
    assert_eq!(label.unwrap(), Some(build));

    let request = ProxyRequest {
        installation: world.installation.clone(),
        image: image.tag.clone(),
        version: "0".to_owned(),
        port: 0,
        ipv6: false,
        socket: Endpoint::of_process().unwrap().socket().unwrap().into(),
        socket_group: None,
        rootless: false,
        env: Vec::new(),
    };
    let name = world.installation.proxy();
    assert_eq!(engine.inspect_proxy(&name).await.unwrap(), None);
    let created = engine.create_proxy(&request).await.unwrap();
    assert!(matches!(created, ProxyCreation::Created(_)));
    let again = engine.create_proxy(&request).await.unwrap();
    assert_eq!(again, ProxyCreation::AlreadyThere);
    let found = engine.inspect_proxy(&name).await.unwrap().unwrap();
    assert!(found.is_ours && !found.is_running);
    assert_eq!(found.status, "created");
    assert_eq!(found.version.as_deref(), Some("0"));

    // Its own executable, out of the image, before anything has run in it.
    let read = engine.read_file(&name, "/var/lib/cosmos/absent").await;
    assert!(
        matches!(read, Err(EngineError::NotFound { .. })),
        "{read:?}"
    );

    // `--help` needs neither state nor engine: it only proves that it runs.
    let mut launch = world.launch("help", &["--help"]);
    launch.container.init = false;
    launch.container.image = Image::Pulled {
        reference: ImageRef::new(image.tag.clone()).unwrap(),
        policy: PullPolicy::Never,
    };
    world.run(&launch).await;
    assert_eq!(engine.wait(launch.name.as_str()).await, Ok(0));
    engine.remove_at_once(launch.name.as_str()).await.unwrap();
    engine.remove_at_once(&name).await.unwrap();
    docker(&["rmi", &image.tag]);

    // A tag that is somebody else's stays theirs.
    docker(&["tag", "busybox:latest", &image.tag]);
    let theirs = engine.image_id(&image.tag).await.unwrap();
    let ours = engine.load_image(&image).await.unwrap();
    assert_ne!(ours, theirs);
    assert_eq!(engine.image_id(&image.tag).await.unwrap(), theirs);
    assert!(engine.image_id(&ours).await.is_ok());
    docker(&["rmi", &image.tag, &ours]);
}

#[tokio::test]
async fn a_file_is_read_out_of_a_container_that_runs_or_not() {
    let world = World::with_network().await;
    world.engine.set_secrets(Arc::new(Vault));
    let mut launch = world.idle("web");
    secret_and_file(&mut launch.container);
    let created = Action::Create(Box::new(launch.clone()));
    world.perform(created).await.unwrap();
    for _ in 0..2 {
        let read = world
            .engine
            .read_file(launch.name.as_str(), "/etc/new/folder/app.conf")
            .await;
        assert_eq!(read.unwrap(), b"port = 1\n");
        world.engine.start(launch.name.as_str()).await.unwrap();
    }
}
