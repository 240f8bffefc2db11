//! One plan: shown, expected, agreed to, and told when it needs no step.

use super::{
    idle,
    support::{Place, inspect},
};

#[test]
fn what_needs_no_step_is_shown_and_told_as_applied() {
    let place = Place::up(&idle("one", "route = 80"));
    let id = place.id("one");
    place.write("cosmos.toml", &idle("one", "route = 81"));
    let told = "= one  route changed: 80 → 81 (cosmos.toml:";
    let plan = place.cosmos(&["plan", "--exit-code"]).ended(3);
    assert!(plan.stdout.contains(told), "{plan}");
    let up = place.cosmos(&["up"]).succeeded();
    assert!(up.stdout.contains(told), "{up}");
    assert!(up.stdout.contains(", nothing to restart"), "{up}");
    assert!(!up.stdout.contains("up to date"), "{up}");
    assert_eq!(place.id("one"), id);
    let _ = place.cosmos(&["plan", "--exit-code"]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn a_plan_that_is_not_the_expected_one_is_shown_and_not_carried_out() {
    let place = Place::up(&idle("one", "route = 80"));
    place.write("cosmos.toml", &idle("one", "route = 81"));
    let looked_at = place.cosmos(&["plan", "--json"]).succeeded().json();
    let digest = looked_at["digest"].as_str().unwrap().to_owned();

    // Another port: no step in it differs, and it is another plan all the same.
    place.write("cosmos.toml", &idle("one", "route = 82"));
    let refused = place.cosmos(&["up", "--expect", &digest]).ended(1);
    assert!(
        refused.stdout.contains("route changed: 80 → 82"),
        "{refused}"
    );
    let _ = refused.told(&["not the one you looked at"]);
    let json = place
        .cosmos(&["up", "--expect", &digest, "--progress", "json"])
        .ended(1);
    let last = json.stdout.lines().last().unwrap();
    let shown: serde_json::Value = serde_json::from_str(last).unwrap();
    let now = place
        .cosmos(&["plan", "--json", "--exit-code"])
        .ended(3)
        .json();
    assert_eq!(shown["digest"], now["digest"]);

    let digest = now["digest"].as_str().unwrap();
    let done = place.cosmos(&["up", "--expect", &digest[..12]]).succeeded();
    assert!(done.stdout.contains("80 → 82"), "{done}");
}

/// A service with a volume that has no name.
fn with_data(env: &str) -> String {
    let keys = format!("mounts = [\"/data\"]\nenv = {{ A = \"{env}\" }}");
    idle("one", &keys)
}

#[test]
fn a_volume_without_a_name_is_not_lost_without_a_yes() {
    let place = Place::up(&with_data("a"));
    let id = place.id("one");
    place.write("cosmos.toml", &with_data("b"));
    let plan = place.cosmos(&["plan"]).succeeded();
    let loses = "loses what is in its volume /data";
    assert!(plan.stdout.contains(loses), "{plan}");
    let refused = place.cosmos(&["up"]).ended(2);
    let _ = refused.told(&["what is in its volume /data", "--yes"]);
    assert_eq!(place.running("one"), Some(id.clone()));
    let _ = place.cosmos(&["up", "--yes"]).succeeded();
    assert_ne!(place.id("one"), id);

    // What is not declared any more is removed without asking, unless it has one.
    place.write("cosmos.toml", &idle("two", ""));
    let _ = place.cosmos(&["up"]).ended(2);
    let _ = place.cosmos(&["up", "--yes"]).succeeded();
    assert_eq!(inspect(&place.container("one"), "{{.Id}}"), None);
    place.write("cosmos.toml", &idle("three", ""));
    let _ = place.cosmos(&["up"]).succeeded();
}

#[test]
fn a_person_is_asked_before_something_is_lost() {
    let place = Place::up(&with_data("a"));
    let before = place.id("one");
    place.write("cosmos.toml", &with_data("b"));
    for (answer, code, is_kept) in [("n", 2, true), ("y", 0, false)] {
        let mut terminal = place.on_a_terminal(&["up"]);
        terminal.expect("loses what is in its volume /data");
        terminal.expect("Go on? [y/N]");
        terminal.type_line(answer);
        assert_eq!(terminal.expect_end(), Some(code));
        assert_eq!(place.id("one") == before, is_kept, "{answer}");
    }
}
