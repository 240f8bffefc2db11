//! `cosmos rm`: what is in no config, and nothing else.

use super::{
    idle,
    support::{Place, docker, inspect},
};

/// Starts an ad-hoc container; its name.
fn start(place: &Place, name: &str, more: &[&str]) -> String {
    let name = format!("{}-{name}", place.name);
    let order = ["start", "-d", "--name", &name];
    let _ = place.cosmos(&[&order[..], more].concat()).succeeded();
    name
}

const SLEEPS: [&str; 2] = ["busybox:latest", "sleep"];

#[test]
fn what_has_ended_is_removed_and_its_volume_stays() {
    let place = Place::up(&idle("one", ""));
    let volume = format!("{}-kept", place.name);
    docker(&[
        "volume",
        "create",
        "--label",
        &format!("dev.cosmos.installation=it-{}", place.name),
        &volume,
    ]);
    let mount = format!("{volume}:/data");
    let first = start(&place, "first", &["-v", &mount, "busybox:latest", "true"]);
    let second = start(&place, "second", &["busybox:latest", "true"]);
    docker(&["wait", &first, &second]);
    let id = inspect(&second, "{{.Id}}").unwrap();
    let said = place.cosmos(&["rm", &first, &id[..12]]).succeeded();
    assert_eq!(
        said.stdout,
        format!(
            "Container removed: {first}\nContainer removed: {}\n",
            &id[..12]
        )
    );
    assert_eq!((inspect(&first, "."), inspect(&second, ".")), (None, None));
    docker(&["volume", "inspect", &volume]);
    // Nobody remembers it either.
    let _ = place
        .cosmos(&["rm", &first])
        .ended(1)
        .told(&["no container or service is called"]);
}

#[test]
fn what_runs_is_refused_off_a_terminal_and_asked_for_on_one() {
    let place = Place::up(&idle("one", ""));
    let name = start(&place, "web", &[SLEEPS[0], SLEEPS[1], "1000"]);
    let _ = place.cosmos(&["rm", &name]).ended(2).told(&[
        "is running",
        &format!("`cosmos stop {name}`"),
        "--force",
    ]);
    assert!(inspect(&name, ".").is_some());

    let mut terminal = place.on_a_terminal(&["rm", &name]);
    terminal.expect("is running. Stop and remove it? [y/N] ");
    terminal.type_line("n");
    assert_eq!(terminal.expect_end(), Some(2));
    assert!(inspect(&name, ".").is_some());

    let mut terminal = place.on_a_terminal(&["rm", &name]);
    terminal.expect("[y/N] ");
    terminal.type_line("y");
    terminal.expect(&format!("Container removed: {name}"));
    assert_eq!(terminal.expect_end(), Some(0));
    assert_eq!(inspect(&name, "."), None);

    let name = start(&place, "again", &[SLEEPS[0], SLEEPS[1], "1000"]);
    let _ = place.cosmos(&["rm", "--force", &name]).succeeded();
    assert_eq!(inspect(&name, "."), None);
}

#[test]
fn what_a_config_declares_is_refused_and_the_others_are_removed_all_the_same() {
    let commands = "[commands.task]\nimage = \"busybox:latest\"\nrun = [\"true\"]\n[services.two]\nimage = \"busybox:latest\"\ncommand = [\"sleep\", \"1000\"]\ninit = true\ndepends_on = { task = \"completed\" }\n";
    let place = Place::up(&(idle("one", "") + commands));
    let name = start(&place, "web", &["busybox:latest", "true"]);
    docker(&["wait", &name]);
    let (one, task) = (place.container("one"), format!("{}-task", place.name));
    let said = place
        .cosmos(&["rm", "--force", "one", &one, "task", &name])
        .ended(1);
    assert_eq!(said.stdout, format!("Container removed: {name}\n"));
    let _ = said.told(&[
        "`one` is a service",
        "cosmos stop one",
        "is of the service `one`",
        "`task` belongs to a workspace",
    ]);
    assert!(place.running("one").is_some());
    assert!(inspect(&task, ".").is_some(), "{task}");

    // One of somebody else's, not even by force.
    let foreign = format!("{}-foreign", place.name);
    let label = format!("dev.cosmos.installation=it-{}", place.name);
    docker(&[
        "run",
        "-d",
        "--name",
        &foreign,
        "--label",
        &label,
        "busybox:latest",
        "true",
    ]);
    let _ = place
        .cosmos(&["rm", "--force", &foreign])
        .ended(1)
        .told(&["no container or service is called"]);
    let near = start(&place, "nginx", &["busybox:latest", "true"]);
    let _ = place
        .cosmos(&["rm", &near.replace("nginx", "ngins")])
        .ended(1)
        .told(&[&format!("did you mean `{near}`?")]);
}
