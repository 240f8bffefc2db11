//! A container goes into a file, and comes out again when the file is read.

use indexmap::IndexMap;

use super::*;
use crate::{
    config::{Loaded, Sources, load},
    workspace::{
        Device, Image, ImageRef, Logging, NetworkName, PullPolicy, Resources, Ulimit, VolumeName,
    },
};

fn of_image(reference: &str) -> Container {
    Container::of(Image::Pulled {
        reference: ImageRef::new(reference).unwrap(),
        policy: PullPolicy::Missing,
    })
}

fn nginx() -> Container {
    of_image("nginx:alpine")
}

fn service_name() -> ServiceName {
    ServiceName::new("new").unwrap()
}

fn adoptee<'a>(name: &'a ServiceName, container: &'a Container) -> Adoptee<'a> {
    Adoptee {
        name,
        origin: "the container new-k3f9",
        container,
        health: None,
        restart: RestartPolicy::Always,
        exposed: &[],
    }
}

fn adopted_with(text: &str, container: &Container, known: &Known) -> Adoption {
    let name = service_name();
    adopt(text, Path::new("/p"), &adoptee(&name, container), known).unwrap()
}

fn adopted(text: &str, container: &Container) -> Adoption {
    adopted_with(text, container, &Known::default())
}

/// What a file means that would stand in this folder, with these variables.
fn meaning(folder: &Path, text: &str, variables: &[(String, String)]) -> Loaded {
    let sources = Sources {
        file: folder.join("cosmos.toml"),
        text: Some(text.to_owned()),
        env: variables.iter().cloned().collect(),
        ..Sources::default()
    };
    load(&sources).unwrap_or_else(|problems| panic!("{problems}\n{text}"))
}

const SHOP: &str = r#"# The shop.
[workspace]
name = "shop"      # not the folder's

[services.web]     # what people see
image = "nginx:alpine"
ports = [
    80,            # plain
]
# env = { DEBUG = "1" }

# [services.db]
# image = "postgres"

[commands.seed]    # once
image = "busybox"
run = "true"
"#;

#[test]
fn a_service_is_put_behind_the_last_one_and_every_comment_stays() {
    let adopted = adopted(SHOP, &nginx());
    insta::assert_snapshot!(adopted.text, @r#"
    # The shop.
    [workspace]
    name = "shop"      # not the folder's

    [services.web]     # what people see
    image = "nginx:alpine"
    ports = [
        80,            # plain
    ]
    # env = { DEBUG = "1" }

    # From the container new-k3f9.
    [services.new]
    image = "nginx:alpine"

    # [services.db]
    # image = "postgres"

    [commands.seed]    # once
    image = "busybox"
    run = "true"
    "#);
    // Without what was added it is, byte for byte, what it was.
    let added = format!("\n{}", adopted.added);
    assert_eq!(adopted.text.replacen(&added, "", 1), SHOP);
}

#[test]
fn a_file_keeps_its_line_ends_and_its_last_one() {
    let text = |text: &str| adopted(text, &nginx()).text;
    let added = "# From the container new-k3f9.\n[services.new]\nimage = \"nginx:alpine\"";
    let name = "[workspace]\nname = \"a\"";
    assert_eq!(text(""), format!("{added}\n"));
    assert_eq!(text(name), format!("{name}\n\n{added}"));
    assert_eq!(text(&format!("{name}\n")), format!("{name}\n\n{added}\n"));
    assert_eq!(
        text(&format!("{name}\n\n\n")),
        format!("{name}\n\n\n{added}\n")
    );
    let windows = SHOP.replace('\n', "\r\n");
    assert_eq!(text(&windows), text(SHOP).replace('\n', "\r\n"));
    // From another table right below, it is set apart.
    let tight = "[services.a]\nimage = \"a\"\n[proxy]\nport = 1\n";
    let expected = format!("[services.a]\nimage = \"a\"\n\n{added}\n\n[proxy]\nport = 1\n");
    assert_eq!(text(tight), expected);
}

#[test]
fn a_service_finds_its_place_whatever_form_the_others_have() {
    let folder = tempfile::tempdir().unwrap();
    for text in [
        "[services]\nweb = { image = \"a\" }\n\n[proxy]\nport = 1\n",
        "[services]\nweb.image = \"a\"\nweb.env.A = \"b\"\n[proxy]\nport = 1\n",
        "[services.web]\nimage = \"a\"\n[services.web.env]\nA = \"\"\"\n# no comment\n\"\"\"\n",
        "[proxy]\nport = 1\n[services.web]\nimage = \"a\"\n[network]\n[services.db]\nimage = \"b\"\n",
        "[services]\n",
        "[services.web]\nimage = \"a\"\nhealth = { tcp = 1 }   # [x]\n",
    ] {
        let new = adopted(text, &nginx()).text;
        let after = meaning(folder.path(), &new, &[]).workspace;
        let before = meaning(folder.path(), text, &[]).workspace;
        assert!(after.services.contains_key("new"), "{new}");
        for (name, service) in &before.services {
            assert_eq!(after.services[name], *service, "{new}");
        }
        assert_eq!(after.proxy, before.proxy, "{new}");
    }
}

#[test]
fn behind_services_on_one_line_there_is_no_place() {
    let (name, container) = (service_name(), nginx());
    let inline = "services = { web = { image = \"a\" } }\n";
    let refused = adopt(
        inline,
        Path::new("/p"),
        &adoptee(&name, &container),
        &Known::default(),
    );
    let Err(AdoptError::NoPlace { added }) = refused else {
        panic!("{refused:?}");
    };
    assert!(added.contains("[services.new]"), "{added}");
}

/// A container of which everything is said.
fn everything(folder: &Path) -> Container {
    let text = str::to_owned;
    let mount = |source, target: &str, read_only| Mount {
        source,
        target: text(target),
        read_only,
    };
    let host = |path: &Path| MountSource::Host(path.display().to_string());
    let port = |container, host, address: &str, transport| PortPublish {
        container,
        host,
        address: text(address),
        transport,
    };
    let mut container = nginx();
    container.entrypoint = Some(Vec::new());
    container.command = Some(vec![
        text("sh"),
        text("-c"),
        text("echo ${HOME} $$ $x 'a b'"),
    ]);
    container.env = IndexMap::from([
        (text("GREETING"), text("it's \"${so}\"")),
        (text("POSTGRES_PASSWORD"), text("hunter2")),
        (
            text("DATABASE_URL"),
            text("postgres://shop:hunter2@db/shop"),
        ),
    ]);
    container.mounts = vec![
        mount(MountSource::Anonymous, "/scratch", false),
        mount(host(folder), "/src", true),
        mount(host(&folder.join("site")), "/srv", false),
        mount(host(Path::new("/etc/hostname")), "/etc/host", true),
        mount(
            MountSource::Volume(VolumeName::new("data").unwrap()),
            "/var/lib",
            false,
        ),
    ];
    container.tmpfs = IndexMap::from([(text("/tmp"), text("size=64m"))]);
    container.ports = vec![
        port(80, None, "127.0.0.1", Transport::Tcp),
        port(443, Some(8443), "127.0.0.1", Transport::Tcp),
        port(53, Some(53), "0.0.0.0", Transport::Udp),
        port(81, None, "0.0.0.0", Transport::Tcp),
        port(82, Some(8082), "::1", Transport::Tcp),
        port(54, None, "127.0.0.1", Transport::Udp),
    ];
    container.networks = vec![NetworkName::new("back").unwrap()];
    container.resources = Resources {
        nano_cpus: Some(1_500_000_000),
        memory: Some(512 << 20),
        pids: Some(100),
    };
    container.user = Some(text("1000:1000"));
    container.workdir = Some(text("/work"));
    container.hostname = Some(text("box"));
    (container.init, container.tty, container.stdin) = (true, true, true);
    (container.read_only, container.privileged) = (true, true);
    container.labels = IndexMap::from([(text("team.name"), text("a"))]);
    container.extra_hosts = vec![text("db:10.0.0.5")];
    container.dns = vec![text("1.1.1.1")];
    container.shm_size = Some((1 << 30) + 1);
    container.cap_add = vec![text("NET_ADMIN")];
    container.cap_drop = vec![text("CHOWN")];
    container.security_opt = vec![text("no-new-privileges")];
    let device = |host, container, permissions| Device {
        host: text(host),
        container: text(container),
        permissions: text(permissions),
    };
    container.devices = vec![
        device("/dev/fuse", "/dev/fuse", "rwm"),
        device("/dev/sda", "/dev/xvda", "r"),
    ];
    container.ulimits = [("nofile", 9, 9), ("nproc", 1, 2)]
        .map(|(name, soft, hard)| (text(name), Ulimit { soft, hard }))
        .into();
    container.sysctls = [(text("net.core.somaxconn"), text("9"))].into();
    container.stop_signal = Some(text("SIGINT"));
    container.stop_grace = Duration::from_millis(1_500);
    container.logging = Some(Logging {
        driver: text("local"),
        options: [(text("max-size"), text("1m"))].into(),
    });
    container
}

#[test]
fn all_that_a_container_is_comes_back_when_the_file_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().canonicalize().unwrap();
    std::fs::create_dir(folder.join("site")).unwrap();
    let container = everything(&folder);
    let health = Health {
        probe: HealthProbe::Command {
            run: vec!["true".to_owned(), "$$".to_owned()],
        },
        interval: Duration::from_secs(30),
        timeout: Duration::from_millis(1_500),
        retries: 3,
        start_period: Duration::from_secs(5),
    };
    let name = service_name();
    let adoptee = Adoptee {
        health: Some(&health),
        restart: RestartPolicy::OnFailure,
        exposed: &[8080, 9090],
        ..adoptee(&name, &container)
    };
    let adopted = adopt(SHOP, &folder, &adoptee, &Known::default()).unwrap();
    assert_eq!(adopted.left_out, []);
    insta::assert_snapshot!(adopted.added);
    let loaded = meaning(&folder, &adopted.text, &adopted.variables);
    let service = &loaded.workspace.services["new"];
    assert_eq!(service.container, container, "{}", adopted.added);
    assert_eq!(service.health.as_ref(), Some(&health));
    assert_eq!(service.restart, RestartPolicy::OnFailure);
    assert_eq!(service.route.as_ref().unwrap().port, 8080);
    // Whose values nobody should see.
    let names: Vec<_> = adopted.variables.iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["POSTGRES_PASSWORD", "DATABASE_URL"]);
    assert!(!adopted.text.contains("hunter2"));
}

#[test]
fn a_volume_of_the_engine_is_never_taken_for_one_of_the_files_own() {
    let mut container = nginx();
    let mounted = |name: &str| {
        vec![Mount {
            source: MountSource::Volume(VolumeName::new(name).unwrap()),
            target: "/data".to_owned(),
            read_only: false,
        }]
    };
    let shop = "[workspace]\nname = \"shop\"\n";
    container.mounts = mounted("data");
    // Nothing is called so: it is declared as somebody else's.
    let new = adopted(shop, &container);
    assert!(
        new.added.contains("[volumes.data]\nexternal = true"),
        "{}",
        new.added
    );
    // It is declared so already.
    let declared = format!("{shop}[volumes.data]\nexternal = true\n");
    let new = adopted(&declared, &container);
    assert!(!new.added.contains("[volumes"), "{}", new.added);
    assert!(new.added.contains("data:/data"), "{}", new.added);
    // The file calls another one so, in words or by using it.
    let used = Known {
        volumes: Names {
            own: ["data".to_owned()].into(),
            ..Names::default()
        },
        ..Known::default()
    };
    let own = format!("{shop}[volumes.data]\nlabels = {{ a = \"b\" }}\n");
    for new in [
        adopted(&own, &container),
        adopted_with(shop, &container, &used),
    ] {
        assert!(!new.added.contains("mounts"), "{}", new.added);
        assert_eq!(new.left_out[0].0, "the volume `data`");
    }
    // It is the file's own, under the engine's name.
    container.mounts = mounted("shop_data");
    let own = Known {
        volumes: Names {
            of_engine: [("shop_data".to_owned(), "data".to_owned())].into(),
            own: ["data".to_owned()].into(),
        },
        ..Known::default()
    };
    let new = adopted_with(shop, &container, &own);
    assert!(
        new.added.contains("mounts = [\"data:/data\"]"),
        "{}",
        new.added
    );
}

#[test]
fn an_image_is_never_taken_for_one_of_the_files_own() {
    let known = Known {
        images: ["api".to_owned()].into(),
        ..Known::default()
    };
    let new = adopted_with("", &of_image("api"), &known);
    assert!(
        new.added.contains("image = \"api:latest\""),
        "{}",
        new.added
    );
}

#[test]
fn what_looks_like_a_secret_is_one() {
    for (name, value) in [
        ("DB_PASSWORD", "x"),
        ("password", "1234"),
        ("GITHUB_TOKEN", "abc"),
        ("API_KEY", "abc"),
        ("X", "-----BEGIN RSA PRIVATE KEY-----"),
        ("X", "ghp_0123"),
        ("REDIS_URL", "redis://:secret@cache:6379/0"),
        ("DSN", "https://key:secret@host"),
    ] {
        assert!(is_secret(name, value), "{name}={value}");
    }
    for (name, value) in [
        ("GREETING", "hello"),
        ("ALLOW_EMPTY_PASSWORD", "yes"),
        ("DB_PASSWORD", ""),
        ("DB_PASSWORD_FILE", "/run/secrets/db"),
        ("PWD", "/srv"),
        ("KEYBOARD", "de"),
        ("URL", "http://host:8080/a@b:c"),
        ("DATABASE_URL", "postgres://shop@db/shop"),
        ("PATH", "/usr/bin"),
    ] {
        assert!(!is_secret(name, value), "{name}={value}");
    }
}

#[test]
fn a_name_that_no_variable_has_is_left_out() {
    let mut container = nginx();
    container.env = ["a b", "db-password", "a.b"]
        .map(|name| (name.to_owned(), "x".to_owned()))
        .into();
    let new = adopted("", &container);
    let lost: Vec<_> = new.left_out.iter().map(|(what, _)| what.as_str()).collect();
    assert_eq!(lost, ["the variable `a b`", "the variable `db-password`"]);
    assert!(new.added.contains("\"a.b\" = \"x\""), "{}", new.added);
}

proptest::proptest! {
    #[test]
    fn any_text_means_what_it_was(text in "[\\PC\n\t\"'${}]{0,30}") {
        let folder = tempfile::tempdir().unwrap();
        let mut container = nginx();
        container.command = Some(vec![text.clone()]);
        container.labels = IndexMap::from([("a".to_owned(), text)]);
        let new = adopted(SHOP, &container);
        let loaded = meaning(folder.path(), &new.text, &[]);
        proptest::prop_assert_eq!(&loaded.workspace.services["new"].container, &container);
    }
}
