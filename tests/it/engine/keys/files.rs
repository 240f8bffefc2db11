//! Keys of what a container finds in its file system.

use serde_json::{Value, json};

use super::{Row, both, holds, inspected, row};
use crate::engine::workspace::support::{Place, docker, until};

/// Those of what is mounted; what is at each place is looked up by target.
pub(super) fn mount_rows() -> Vec<Row> {
    vec![
        row("services.*.mounts", "/~1short/RW", false),
        row("services.*.mounts[].source", "/~1long/Name", Value::Null),
        row("services.*.mounts[].target", "/~1long/Destination", "/long"),
        row("services.*.mounts[].read_only", "/~1long/RW", false),
    ]
}

/// What is mounted, by its place in the container.
fn mounts(told: &Value) -> Value {
    let mounts = told["Mounts"].as_array().unwrap();
    let by_target = mounts.iter().map(|mount| {
        (
            mount["Destination"].as_str().unwrap().to_owned(),
            mount.clone(),
        )
    });
    Value::Object(by_target.collect())
}

#[test]
fn folders_volumes_and_memory_are_mounted() {
    let keys = "image = \"busybox:latest\"\ninit = true\n\
                mounts = [\"./src:/short:ro\", { source = \"data\", target = \"/long\", read_only = true }, \"/nameless\"]\n\
                tmpfs = { \"/memory\" = \"size=1m\" }";
    let place = Place::new(&format!(
        "[volumes.data]\nlabels = {{ kind = \"test\" }}\n\
         [services.it]\n{keys}\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"once\"]\n\
         [commands.once]\n{keys}\nrun = [\"true\"]\n"
    ));
    place.write("src/file", "x");
    let _ = place.cosmos(&["up"]).succeeded();
    let volume = format!("{}_data", place.name);
    for told in both(&place) {
        let mut rows = mount_rows();
        rows[1].is = json!(volume);
        holds(&mounts(&told), &rows);
        assert_eq!(mounts(&told)["/nameless"]["Type"], "volume");
        holds(
            &told,
            &[row(
                "services.*.tmpfs",
                "/HostConfig/Tmpfs",
                json!({ "/memory": "size=1m" }),
            )],
        );
    }
}

#[test]
fn a_volume_is_made_as_its_table_says() {
    let place = Place::up(&format!(
        "[volumes.made]\ndriver = \"local\"\noptions = {{ type = \"tmpfs\", device = \"tmpfs\", o = \"size=1m\" }}\nlabels = {{ kind = 7 }}\n{}",
        crate::engine::workspace::idle("it", "mounts = [\"made:/made\"]")
    ));
    let told = inspected("volume", &format!("{}_made", place.name));
    holds(
        &told,
        &[
            row("volumes.*.driver", "/Driver", "local"),
            row("volumes.*.options", "/Options/o", "size=1m"),
            row("volumes.*.labels", "/Labels/kind", "7"),
        ],
    );
}

#[test]
fn an_external_volume_is_mounted_under_its_own_name_and_never_removed() {
    let place = Place::new("");
    let volume = format!("{}-theirs", place.name);
    docker(&["volume", "create", &volume]);
    place.write(
        "cosmos.toml",
        &format!(
            "[volumes.{volume}]\nexternal = true\n{}",
            crate::engine::workspace::idle("it", &format!("mounts = [\"{volume}:/theirs\"]"))
        ),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let told = mounts(&inspected("container", &place.container("it")));
    assert_eq!(told["/theirs"]["Name"], json!(volume));
    let _ = place.cosmos(&["down", "--volumes", "--yes"]).succeeded();
    docker(&["volume", "rm", &volume]);
}

/// Mode, owner, group and content of a file in a container that runs.
fn file(container: &str, path: &str) -> String {
    let stat = docker(&["exec", container, "stat", "-c", "%a %u %g", path]);
    format!("{stat} {}", docker(&["exec", container, "cat", path]))
}

#[test]
fn configs_and_secrets_are_files_with_the_owner_and_mode_that_are_asked_for() {
    let keys = "image = \"busybox:latest\"\ninit = true\n\
                configs = { \"./plain.conf\" = \"/etc/plain.conf\", \"./own.conf\" = { target = \"/etc/own.conf\", mode = \"0640\", uid = 1000, gid = 1001, reload = \"HUP\" } }\n\
                secrets = [\"plain\", { name = \"own\", target = \"other\", mode = 0o400, uid = 1000, gid = 1001 }, { name = \"far\", target = \"/etc/far\" }]";
    let place = Place::new(&format!(
        "[secrets]\nplain = {{ file = \"plain.key\" }}\nown = {{ command = \"echo spoken\" }}\nfar = {{ env = \"FAR\" }}\n\
         [services.it]\n{keys}\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"once\"]\n\
         [commands.once]\n{keys}\nrun = [\"cat\", \"/run/secrets/other\", \"/etc/own.conf\"]\n"
    ));
    place.write("plain.conf", "a");
    place.write("own.conf", "b");
    place.write("plain.key", "k");
    place.write(".env", "FAR=away");
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    let container = place.container("it");
    assert_eq!(file(&container, "/etc/plain.conf"), "644 0 0 a");
    assert_eq!(file(&container, "/etc/own.conf"), "640 1000 1001 b");
    assert_eq!(file(&container, "/run/secrets/plain"), "444 0 0 k");
    assert_eq!(
        file(&container, "/run/secrets/other"),
        "400 1000 1001 spoken"
    );
    assert_eq!(file(&container, "/etc/far"), "444 0 0 away");
    let said = docker(&["logs", &format!("{}-once", place.name)]);
    assert_eq!(said, "spokenb");
}

#[test]
fn a_secret_is_there_on_a_read_only_root_and_under_a_memory_file_system() {
    let place = Place::new(&format!(
        "[secrets.key]\nfile = \"key\"\n{}{}",
        crate::engine::workspace::idle(
            "one",
            "secrets = [\"key\"]\nread_only = true\ntmpfs = \"/run\""
        ),
        crate::engine::workspace::idle("two", "secrets = [\"key\"]\ntmpfs = [\"/run:size=1m\"]"),
    ));
    place.write("key", "k");
    let _ = place.cosmos(&["up"]).succeeded();
    for service in ["one", "two"] {
        let container = place.container(service);
        assert_eq!(file(&container, "/run/secrets/key"), "444 0 0 k");
    }
}

/// A process that notes what its file says at its start and at each signal.
const READER: &str = "trap 'cat /etc/app/app.conf >> /tmp/seen' HUP; cat /etc/app/app.conf > /tmp/seen; while :; do sleep 0.05; done";

fn reader(name: &str, reload: &str, keys: &str) -> String {
    format!(
        "[services.{name}]\nimage = \"busybox:latest\"\nstop_grace = \"0s\"\n\
         command = [\"sh\", \"-c\", \"{READER}\"]\n{keys}\n\
         configs.\"./app.conf\" = {{ target = \"/etc/app/app.conf\", {reload} }}\n"
    )
}

/// Which container a service has, and since when it runs.
fn incarnation(place: &Place, service: &str) -> (String, String) {
    let told = inspected("container", &place.container(service));
    let text = |at: &str| told.pointer(at).unwrap().as_str().unwrap().to_owned();
    (text("/Id"), text("/State/StartedAt"))
}

#[test]
fn another_content_of_a_config_is_read_by_the_process_that_runs() {
    let config = |mode: &str| {
        reader("signal", &format!("reload = \"HUP\", {mode}"), "")
            + &reader(
                "fixed",
                "reload = \"SIGHUP\"",
                "read_only = true\ntmpfs = \"/tmp\"",
            )
            + &reader("restart", "reload = \"restart\"", "")
            + &reader("replace", "mode = \"0644\"", "")
    };
    let place = Place::new(&config("mode = \"0640\""));
    place.write("app.conf", "first;");
    let _ = place.cosmos(&["up"]).succeeded();
    let services = ["signal", "fixed", "restart", "replace"];
    let before = services.map(|service| incarnation(&place, service));

    place.write("app.conf", "second;");
    place.write("cosmos.toml", &config("mode = \"0600\", uid = 1000"));
    let plan = place.cosmos(&["plan"]).succeeded();
    for line in ["reload", "(SIGHUP)", "(restart)", "~ /etc/app/app.conf"] {
        assert!(plan.stdout.contains(line), "{plan}");
    }
    let _ = place.cosmos(&["up"]).succeeded();
    let now = services.map(|service| incarnation(&place, service));
    assert_eq!((&now[0], &now[1]), (&before[0], &before[1]));
    assert_eq!(now[2].0, before[2].0);
    assert_ne!(now[2].1, before[2].1);
    assert_ne!(now[3].0, before[3].0);

    let seen = |service| docker(&["exec", &place.container(service), "cat", "/tmp/seen"]);
    for service in ["signal", "fixed"] {
        until("it reads its file again", || {
            (seen(service) == "first;second;").then_some(())
        });
    }
    assert_eq!(seen("restart"), "second;");
    let container = place.container("signal");
    assert_eq!(file(&container, "/etc/app/app.conf"), "600 1000 0 second;");
    let container = place.container("fixed");
    assert_eq!(file(&container, "/etc/app/app.conf"), "644 0 0 second;");
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn another_content_of_a_secret_replaces_what_uses_it_and_is_said_nowhere() {
    let place = Place::new(&format!(
        "[secrets.key]\nfile = \"key\"\n{}{}",
        crate::engine::workspace::idle("uses", "secrets = [\"key\"]"),
        crate::engine::workspace::idle("other", ""),
    ));
    place.write("key", "first-canary");
    let _ = place.cosmos(&["up"]).succeeded();
    let (uses, other) = (place.id("uses"), place.id("other"));
    place.write("key", "second-canary");
    let plan = place.cosmos(&["plan"]).succeeded();
    assert!(plan.stdout.contains("secrets changed: ~ key"), "{plan}");
    let up = place.cosmos(&["up"]).succeeded();
    assert_ne!(place.id("uses"), uses);
    assert_eq!(place.id("other"), other);
    assert_eq!(
        file(&place.container("uses"), "/run/secrets/key"),
        "444 0 0 second-canary"
    );
    let config = place.cosmos(&["config", "--json"]).succeeded();
    let told = inspected("container", &place.container("uses")).to_string();
    let logs = docker(&["logs", &place.proxy()]);
    let said = [
        &plan.stdout,
        &up.stdout,
        &up.stderr,
        &config.stdout,
        &told,
        &logs,
    ];
    for text in said {
        assert!(!text.contains("canary"), "{text}");
    }
}
