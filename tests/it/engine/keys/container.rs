//! Keys of one container: its process, its limits, its rights.

use serde_json::json;

use super::{Row, both, holds, inspected, row, service_and_command};
use crate::engine::workspace::{
    idle,
    support::{Place, docker},
};

pub(super) fn process_rows() -> Vec<Row> {
    vec![
        row("services.*.image", "/Config/Image", "busybox:latest"),
        row(
            "services.*.entrypoint",
            "/Config/Entrypoint",
            json!(["/bin/env", "A=a b"]),
        ),
        row("services.*.user", "/Config/User", "1000:1000"),
        row("services.*.workdir", "/Config/WorkingDir", "/tmp"),
        row("services.*.hostname", "/Config/Hostname", "named"),
        row("services.*.init", "/HostConfig/Init", true),
        row("services.*.tty", "/Config/Tty", true),
        row("services.*.stdin", "/Config/OpenStdin", true),
        row("services.*.labels", "/Config/Labels/a.label", "7"),
        row("services.*.stop_signal", "/Config/StopSignal", "SIGUSR1"),
        row("services.*.stop_grace", "/Config/StopTimeout", 3),
        row(
            "services.*.logging.driver",
            "/HostConfig/LogConfig/Type",
            "json-file",
        ),
        row(
            "services.*.logging.options",
            "/HostConfig/LogConfig/Config/max-size",
            "1m",
        ),
    ]
}

#[test]
fn how_a_process_is_run() {
    let place = service_and_command(
        "image = \"busybox:latest\"\n\
         entrypoint = \"/bin/env 'A=a b'\"\n\
         user = \"1000:1000\"\nworkdir = \"/tmp\"\nhostname = \"named\"\n\
         init = true\ntty = true\nstdin = true\n\
         labels = { \"a.label\" = 7 }\n\
         stop_signal = \"usr1\"\nstop_grace = \"2500ms\"\n\
         logging = { driver = \"json-file\", options = { max-size = \"1m\" } }",
        "",
    );
    let [service, command] = both(&place);
    holds(&service, &process_rows());
    holds(&command, &process_rows());
    holds(
        &service,
        &[row(
            "services.*.command",
            "/Config/Cmd",
            json!(["sleep", "1000"]),
        )],
    );
    holds(
        &command,
        &[row("commands.*.run", "/Config/Cmd", json!(["true"]))],
    );
}

#[test]
fn a_platform_that_the_engine_does_not_have_is_refused_by_it() {
    let place = Place::new(&idle("web", "platform = \"linux/s390x\""));
    let _ = place.cosmos(&["up"]).ended(1).told(&["s390x"]);
    let command =
        "[commands.once]\nimage = \"busybox:latest\"\nrun = \"true\"\nplatform = \"linux/s390x\"\n";
    let place = Place::new(
        &idle("web", "depends_on = [\"once\"]")
            .replace("[services", &format!("{command}[services")),
    );
    let _ = place.cosmos(&["up"]).ended(1).told(&["s390x"]);
}

pub(super) fn environment_rows() -> Vec<Row> {
    vec![
        row("services.*.env", "/Config/Env/0", "FIRST=file"),
        row("services.*.env_file", "/Config/Env/1", "SECOND=1.20"),
        row("services.*.env", "/Config/Env/2", "THIRD=7"),
    ]
}

#[test]
fn the_environment_is_that_of_its_files_and_over_them_of_its_table() {
    let keys = "image = \"busybox:latest\"\ninit = true\n\
                env_file = [\"one.env\", \"two.env\"]\nenv = { SECOND = \"1.20\", THIRD = 7 }";
    let place = Place::new(&format!(
        "[services.it]\n{keys}\ncommand = [\"sleep\", \"1000\"]\ndepends_on = [\"once\"]\n\
         [commands.once]\n{keys}\nrun = [\"true\"]\n"
    ));
    place.write("one.env", "FIRST=file\nSECOND=one\n");
    place.write("two.env", "SECOND=two\n");
    let _ = place.cosmos(&["up"]).succeeded();
    let [service, command] = both(&place);
    holds(&service, &environment_rows());
    holds(&command, &environment_rows());
}

pub(super) fn limit_rows() -> Vec<Row> {
    vec![
        row(
            "services.*.resources.cpus",
            "/HostConfig/NanoCpus",
            500_000_000,
        ),
        row(
            "services.*.resources.memory",
            "/HostConfig/Memory",
            67_108_864,
        ),
        row("services.*.resources.pids", "/HostConfig/PidsLimit", 64),
        row("services.*.shm_size", "/HostConfig/ShmSize", 33_554_432),
        row(
            "services.*.ulimits",
            "/HostConfig/Ulimits",
            json!([{ "Name": "nofile", "Soft": 512, "Hard": 1024 }, { "Name": "nproc", "Soft": 4096, "Hard": 4096 }]),
        ),
        row(
            "services.*.ulimits.*.soft",
            "/HostConfig/Ulimits/0/Soft",
            512,
        ),
        row(
            "services.*.ulimits.*.hard",
            "/HostConfig/Ulimits/0/Hard",
            1024,
        ),
        row(
            "services.*.sysctls",
            "/HostConfig/Sysctls",
            json!({ "net.core.somaxconn": "256" }),
        ),
    ]
}

#[test]
fn what_a_container_may_use() {
    let place = service_and_command(
        "image = \"busybox:latest\"\ninit = true\n\
         resources = { cpus = 0.5, memory = \"64MiB\", pids = 64 }\nshm_size = \"32m\"\n\
         ulimits = { nofile = { soft = 512, hard = 1024 }, nproc = 4096 }\n\
         sysctls = { \"net.core.somaxconn\" = 256 }",
        "",
    );
    for told in both(&place) {
        holds(&told, &limit_rows());
    }
}

pub(super) fn right_rows() -> Vec<Row> {
    vec![
        row("services.*.read_only", "/HostConfig/ReadonlyRootfs", true),
        row(
            "services.*.cap_add",
            "/HostConfig/CapAdd",
            json!(["SYS_NICE"]),
        ),
        row(
            "services.*.cap_drop",
            "/HostConfig/CapDrop",
            json!(["MKNOD", "NET_RAW"]),
        ),
        row(
            "services.*.security_opt",
            "/HostConfig/SecurityOpt",
            json!(["no-new-privileges"]),
        ),
        row(
            "services.*.devices",
            "/HostConfig/Devices/0",
            json!({ "PathOnHost": "/dev/zero", "PathInContainer": "/dev/xzero", "CgroupPermissions": "r" }),
        ),
        row(
            "services.*.devices[].host",
            "/HostConfig/Devices/1/PathOnHost",
            "/dev/null",
        ),
        row(
            "services.*.devices[].container",
            "/HostConfig/Devices/1/PathInContainer",
            "/dev/xnull",
        ),
        row(
            "services.*.devices[].permissions",
            "/HostConfig/Devices/1/CgroupPermissions",
            "rw",
        ),
    ]
}

#[test]
fn what_a_container_may_do() {
    let place = service_and_command(
        "image = \"busybox:latest\"\ninit = true\nread_only = true\n\
         cap_add = [\"sys_nice\"]\ncap_drop = [\"CAP_MKNOD\"]\nsecurity_opt = [\"no-new-privileges\"]\n\
         devices = [\"/dev/zero:/dev/xzero:r\", { host = \"/dev/null\", container = \"/dev/xnull\", permissions = \"rw\" }]",
        "",
    );
    for told in both(&place) {
        holds(&told, &right_rows());
    }
}

#[test]
fn a_privileged_container_is_privileged() {
    let keys = "image = \"busybox:latest\"\ninit = true\nprivileged = true";
    let place = Place::new(&format!(
        "[services.it]\n{keys}\ncommand = \"sleep 1000\"\n[commands.once]\n{keys}\nrun = \"true\"\n{}",
        idle("other", "depends_on = [\"once\"]")
    ));
    // Asked for it is; an engine that is confined itself cannot start it.
    let _ = place.cosmos(&["up", "--trust"]);
    for told in both(&place) {
        holds(
            &told,
            &[row("services.*.privileged", "/HostConfig/Privileged", true)],
        );
    }
}

pub(super) fn health_rows() -> Vec<Row> {
    let second = 1_000_000_000_u64;
    vec![
        row(
            "services.*.health.command",
            "/Config/Healthcheck/Test",
            json!(["CMD", "true"]),
        ),
        row(
            "services.*.health.interval",
            "/Config/Healthcheck/Interval",
            second,
        ),
        row(
            "services.*.health.timeout",
            "/Config/Healthcheck/Timeout",
            3 * second,
        ),
        row(
            "services.*.health.retries",
            "/Config/Healthcheck/Retries",
            4,
        ),
        row(
            "services.*.health.start_period",
            "/Config/Healthcheck/StartPeriod",
            5 * second,
        ),
    ]
}

#[test]
fn a_health_check_by_command_is_the_engines() {
    let place = Place::up(&idle(
        "it",
        "health = { command = \"true\", interval = \"1s\", timeout = \"3s\", retries = 4, start_period = \"5s\" }",
    ));
    holds(
        &inspected("container", &place.container("it")),
        &health_rows(),
    );
}

#[test]
fn what_is_to_be_run_after_a_start_is_run_after_each() {
    let place = Place::up(&idle(
        "it",
        "hooks = { post_start = [\"sh -c 'echo started >> /said'\", [\"sh\", \"-c\", \"echo again >> /said\"]] }",
    ));
    let said = || docker(&["exec", &place.container("it"), "cat", "/said"]);
    assert_eq!(said(), "started\nagain");
    let _ = place.cosmos(&["restart", "it"]).succeeded();
    assert_eq!(said(), "started\nagain\nstarted\nagain");
}

#[test]
fn what_is_to_be_run_before_a_stop_is_run_before_it() {
    let place = Place::new(&idle(
        "it",
        "mounts = [\"./said:/said\"]\nhooks = { pre_stop = \"sh -c 'echo stopping >> /said/file'\" }",
    ));
    place.write("said/file", "");
    let said = || std::fs::read_to_string(place.folder.join("said/file")).unwrap();
    let _ = place.cosmos(&["up"]).succeeded();
    let _ = place.cosmos(&["stop", "it"]).succeeded();
    assert_eq!(said(), "stopping\n");
    let _ = place.cosmos(&["start", "it"]).succeeded();
    let _ = place.cosmos(&["down"]).succeeded();
    assert_eq!(said(), "stopping\nstopping\n");
}

#[test]
fn what_fails_after_a_start_stops_the_container_and_its_output_is_shown() {
    let place = Place::new(&idle(
        "it",
        "restart = \"never\"\nhooks = { post_start = \"sh -c 'echo no cache; exit 3'\" }",
    ));
    let _ = place
        .cosmos(&["up"])
        .ended(1)
        .told(&["post_start", "exit code 3", "no cache"]);
    let state = docker(&[
        "inspect",
        "-f",
        "{{.State.Running}}",
        &place.container("it"),
    ]);
    assert_eq!(state, "false");
}

#[test]
fn what_fails_before_a_stop_does_not_hold_it_up() {
    let place = Place::up(&idle("it", "hooks = { pre_stop = \"false\" }"));
    let _ = place.cosmos(&["stop", "it"]).succeeded();
    let state = docker(&[
        "inspect",
        "-f",
        "{{.State.Running}}",
        &place.container("it"),
    ]);
    assert_eq!(state, "false");
}
