//! What a plan loses that nothing brings back.

use super::super::test_workspace::{Lab, service, shop};
use crate::workspace::{ContainerState, Mount, MountSource, Service, Workspace};

/// A service with a volume that has no name.
fn cache(image: &str) -> Service {
    let mut cache = service(image);
    cache.container.mounts.push(Mount {
        source: MountSource::Anonymous,
        target: "/data".to_owned(),
        read_only: false,
    });
    cache
}

fn with(cache: Service) -> Workspace {
    shop().with("cache", cache)
}

#[test]
fn a_replacement_loses_what_is_in_a_volume_without_a_name() {
    let plan = Lab::running(&with(cache("redis:7"))).plan(&with(cache("redis:8")));
    let losses = plan.losses();
    assert_eq!(losses.len(), 1, "{plan}");
    assert!(losses[0].starts_with("remove shop-cache-1."), "{plan}");
    assert!(
        losses[0].ends_with(": what is in its volume /data"),
        "{plan}"
    );
}

#[test]
fn a_removal_of_what_is_not_declared_any_more_loses_it_too() {
    let plan = Lab::running(&with(cache("redis:7"))).plan(&shop());
    assert_eq!(
        plan.losses(),
        ["remove shop-cache-1: what is in its volume /data"]
    );
}

#[test]
fn a_named_volume_is_not_lost() {
    let of = |image| with(service(image).volume("shop_data"));
    let plan = Lab::running(&of("redis:7")).plan(&of("redis:8"));
    assert_eq!(plan.losses(), Vec::<String>::new());
}

#[test]
fn a_container_that_never_ran_has_nothing_to_lose() {
    let lab = Lab::running(&with(cache("redis:7")));
    lab.edit("shop-cache-1", |one| one.state = ContainerState::Created);
    assert_eq!(lab.plan(&shop()).losses(), Vec::<String>::new());
}

#[test]
fn a_volume_that_cosmos_puts_its_files_in_is_no_loss() {
    let desired = with(service("redis:7").file("a", None));
    let lab = Lab::running(&desired);
    lab.edit("shop-cache-1", |one| one.nameless = vec!["/etc".to_owned()]);
    assert_eq!(lab.plan(&shop()).losses(), Vec::<String>::new());
}

#[test]
fn a_plan_has_the_same_digest_when_its_image_is_built() {
    let mut built = service("api:1");
    built.container.image = crate::workspace::Image::Built {
        tag: "api:1".parse().unwrap(),
        build: crate::workspace::Build {
            context: "/src/shop".to_owned(),
            dockerfile: "Dockerfile".to_owned(),
            target: None,
            args: Default::default(),
        },
    };
    let desired = with(built);
    let lab = Lab::empty();
    let before = lab.plan(&desired);
    lab.engine.edit(|observed| {
        let id = "sha256:0".to_owned();
        observed.images.insert("api:1".parse().unwrap(), id);
    });
    let after = lab.plan(&desired);
    assert_eq!(before.steps.len(), after.steps.len() + 1);
    assert_eq!(before.digest(), after.digest());
}
