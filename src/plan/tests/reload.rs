//! Files that are changed in a container that is there.

use insta::assert_snapshot;

use super::super::test_workspace::{Lab, service, shop};
use crate::workspace::{
    AfterCondition, ContainerState, Fingerprint, Service, ServiceName, Workspace,
};

fn web(content: &str, reload: Option<&str>) -> Service {
    service("node:20").file(content, reload)
}

fn with(web: Service) -> Workspace {
    shop()
        .with("web", web)
        .written_at("services.web.configs", 12)
}

/// The plan from one declaration to another.
fn change(from: Service, to: Service) -> String {
    Lab::running(&with(from)).plan(&with(to)).to_string()
}

#[test]
fn another_content_of_a_file_with_a_signal_is_put_there_and_signalled() {
    let plan = change(web("a", Some("SIGHUP")), web("b", Some("SIGHUP")));
    assert_snapshot!(plan, @"#1 reload shop-web-1 (SIGHUP)  configs changed: ~ /etc/app.conf (cosmos.toml:12)");
}

#[test]
fn another_mode_or_owner_of_such_a_file_is_no_new_container() {
    let mut other = web("a", Some("SIGHUP"));
    other.container.files[0].mode = 0o600;
    let plan = change(web("a", Some("SIGHUP")), other);
    assert_snapshot!(plan, @"#1 reload shop-web-1 (SIGHUP)  configs changed: ~ /etc/app.conf (cosmos.toml:12)");
}

#[test]
fn another_content_of_a_file_without_a_reload_is_another_container() {
    let plan = change(web("a", None), web("b", None));
    assert!(plan.contains("launch shop-web-1"), "{plan}");
    assert!(plan.contains("configs changed: ~ /etc/app.conf"), "{plan}");
}

#[test]
fn what_was_put_there_is_there() {
    let mut lab = Lab::running(&with(web("a", Some("SIGHUP"))));
    lab.apply(&with(web("b", Some("SIGHUP"))));
    assert_snapshot!(lab.plan(&with(web("b", Some("SIGHUP")))), @"");
    assert_snapshot!(lab.plan(&with(web("a", Some("SIGHUP")))), @"#1 reload shop-web-1 (SIGHUP)  configs changed: ~ /etc/app.conf (cosmos.toml:12)");
}

#[test]
fn a_restart_reads_every_file_and_makes_signals_needless() {
    let mut from = web("a", Some("SIGHUP")).file("a", Some("restart"));
    from.container.files[1].target = "/etc/other.conf".to_owned();
    let mut to = from.clone();
    for file in &mut to.container.files {
        file.content = b"b".to_vec();
    }
    assert_snapshot!(change(from, to), @"#1 reload shop-web-1 (restart)  configs changed: ~ /etc/app.conf, ~ /etc/other.conf (cosmos.toml:12)");
}

#[test]
fn replicas_are_restarted_one_after_the_other() {
    let from = web("a", Some("restart")).probed().replicas(3);
    let to = web("b", Some("restart")).probed().replicas(3);
    assert_snapshot!(change(from, to), @"
    #1 reload shop-web-1 (restart)           configs changed: ~ /etc/app.conf (cosmos.toml:12)
    #2 wait for shop-web-1: ready   after 1  before the next replica
    #3 reload shop-web-2 (restart)  after 2  configs changed: ~ /etc/app.conf (cosmos.toml:12)
    #4 wait for shop-web-2: ready   after 3  before the next replica
    #5 reload shop-web-3 (restart)  after 4  configs changed: ~ /etc/app.conf (cosmos.toml:12)
    ");
}

#[test]
fn who_needs_it_ready_waits_for_its_restart() {
    let desired = |content| with(web(content, Some("restart")).probed());
    let later = desired("b").with(
        "api",
        service("node:20").after("web", AfterCondition::Ready),
    );
    assert_snapshot!(Lab::running(&desired("a")).plan(&later), @"
    #1 reload shop-web-1 (restart)           configs changed: ~ /etc/app.conf (cosmos.toml:12)
    #2 wait for shop-web-1: ready   after 1  api depends on it
    #3 launch shop-api-1            after 2  new
    ");
}

#[test]
fn one_that_does_not_run_reads_it_when_it_is_started() {
    let lab = Lab::running(&with(web("a", Some("SIGHUP"))));
    lab.edit("shop-web-1", |one| {
        one.state = ContainerState::Exited {
            code: 1,
            at: std::time::SystemTime::UNIX_EPOCH,
            out_of_memory: false,
        };
    });
    assert_snapshot!(lab.plan(&with(web("b", Some("SIGHUP")))), @"
    #1 write the files of shop-web-1           configs changed: ~ /etc/app.conf (cosmos.toml:12)
    #2 start shop-web-1               after 1  exited with 1
    ");
}

#[test]
fn what_is_not_remembered_is_put_there_again() {
    let mut lab = Lab::running(&with(web("a", Some("SIGHUP"))));
    lab.memory.files.clear();
    assert_snapshot!(lab.plan(&with(web("a", Some("SIGHUP")))), @"#1 reload shop-web-1 (SIGHUP)  what it has of its configs is not known");
}

#[test]
fn another_way_to_reload_changes_nothing() {
    let plan = change(web("a", Some("SIGHUP")), web("a", Some("restart")));
    assert_snapshot!(plan, @"");
}

#[test]
fn a_reload_for_a_file_that_is_there_is_no_new_container() {
    assert_snapshot!(change(web("a", None), web("a", Some("SIGHUP"))), @"");
    let plan = change(web("a", None), web("b", Some("SIGHUP")));
    assert_snapshot!(plan, @"#1 reload shop-web-1 (SIGHUP)  configs changed: ~ /etc/app.conf (cosmos.toml:12)");
}

#[test]
fn a_reload_taken_away_makes_the_content_part_of_the_container_again() {
    let plan = change(web("a", Some("SIGHUP")), web("a", None));
    assert!(plan.contains("launch shop-web-1"), "{plan}");
}

/// As an earlier Cosmos made it: the content was in the label, whatever `reload` said.
fn made_earlier(desired: &Workspace) -> Lab {
    let mut lab = Lab::running(desired);
    let service = &desired.services[&ServiceName::new("web").unwrap()];
    let label = Fingerprint::of_service_with_files(service);
    lab.memory.files.clear();
    lab.memory.applied = [(label.clone(), service.container.clone())].into();
    lab.edit("shop-web-1", |one| {
        one.owner.as_mut().unwrap().spec = label;
    });
    lab
}

#[test]
fn a_container_of_an_earlier_cosmos_is_kept_and_its_files_are_known() {
    let mut lab = made_earlier(&with(web("a", Some("SIGHUP"))));
    assert_snapshot!(lab.plan(&with(web("a", Some("SIGHUP")))), @"");
    lab.apply(&with(web("b", Some("SIGHUP"))));
    assert_eq!(
        lab.engine.calls().last().unwrap(),
        "reload shop-web-1 (SIGHUP)"
    );
    assert_snapshot!(lab.plan(&with(web("b", Some("SIGHUP")))), @"");
}

#[test]
fn a_container_of_an_earlier_cosmos_is_replaced_for_anything_else() {
    let lab = made_earlier(&with(web("a", Some("SIGHUP"))));
    let plan = lab
        .plan(&with(web("b", Some("SIGHUP")).env("A", "b")))
        .to_string();
    assert!(plan.contains("env changed: + A"), "{plan}");
    assert!(!plan.contains("configs"), "{plan}");
}

#[test]
fn a_limit_of_processors_that_is_lifted_takes_another_container() {
    let mut limited = service("node:20");
    limited.container.resources.nano_cpus = Some(1_500_000_000);
    let plan = change(limited, service("node:20"));
    assert!(plan.contains("launch shop-web-1"), "{plan}");
    assert!(plan.contains("cpus changed: 1.5 → none"), "{plan}");
}
