//! No key of the schema without a test on a real engine.
//!
//! This one needs no engine itself: it compares lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use serde_json::Value;

use super::{container, files, networks};

/// Tests that see the effect of keys which are no field of a container, and those keys.
const ELSEWHERE: &[(&str, &[&str])] = &[
    (
        "a_second_checkout_of_the_same_name_is_refused_and_touches_nothing",
        &["workspace.name"],
    ),
    (
        "configs_and_secrets_are_files_with_the_owner_and_mode_that_are_asked_for",
        &[
            "workspace.env_file",
            "services.*.configs",
            "services.*.configs.*.target",
            "services.*.configs.*.mode",
            "services.*.configs.*.uid",
            "services.*.configs.*.gid",
            "services.*.secrets",
            "services.*.secrets[].name",
            "services.*.secrets[].target",
            "services.*.secrets[].mode",
            "services.*.secrets[].uid",
            "services.*.secrets[].gid",
            "secrets.*.env",
            "secrets.*.file",
            "secrets.*.command",
        ],
    ),
    (
        "another_content_of_a_config_is_read_by_the_process_that_runs",
        &["services.*.configs.*.reload"],
    ),
    (
        "the_network_of_an_isolated_workspace_is_made_as_its_table_says",
        &[
            "network.name",
            "network.internal",
            "network.subnet",
            "network.gateway",
            "network.driver",
            "network.options",
            "network.labels",
        ],
    ),
    (
        "an_isolated_workspace_has_a_network_of_its_own_with_routes_that_goes_with_it",
        &["network.isolated"],
    ),
    (
        "networks_have_version_six_addresses_where_that_is_asked_for",
        &["network.ipv6", "networks.*.ipv6"],
    ),
    (
        "a_service_joins_and_leaves_an_external_network_without_a_new_container",
        &["networks.*.external"],
    ),
    (
        "a_further_network_is_made_as_its_table_says_and_goes_with_the_workspace",
        &[
            "networks.*.internal",
            "networks.*.subnet",
            "networks.*.gateway",
            "networks.*.driver",
            "networks.*.options",
            "networks.*.labels",
            "services.*.networks",
        ],
    ),
    (
        "the_proxy_is_made_as_the_first_workspace_needs_it",
        &["proxy.port", "proxy.tokenless"],
    ),
    (
        "the_proxy_is_made_of_the_image_that_is_named",
        &["proxy.image"],
    ),
    (
        "an_image_is_named_once_and_used_by_its_name",
        &["images.*.ref", "images.*.pull"],
    ),
    (
        "an_image_is_built_of_its_context_dockerfile_stage_and_arguments",
        &[
            "images.*.build.context",
            "images.*.build.dockerfile",
            "images.*.build.target",
            "images.*.build.args",
        ],
    ),
    (
        "how_a_process_is_run",
        &["services.*.command", "commands.*.run"],
    ),
    (
        "a_platform_that_the_engine_does_not_have_is_refused_by_it",
        &["services.*.platform"],
    ),
    (
        "a_service_starts_after_the_one_it_needs_started",
        &["services.*.depends_on"],
    ),
    ("ready_is_a_port_that_accepts", &["services.*.health.tcp"]),
    (
        "ready_is_a_path_that_answers",
        &["services.*.health.http", "services.*.health.port"],
    ),
    ("ready_is_a_line_in_the_log", &["services.*.health.log"]),
    ("a_route_leads_through_the_proxy", &["services.*.route"]),
    (
        "a_route_has_further_hosts_a_path_and_may_be_the_default",
        &[
            "services.*.route.port",
            "services.*.route.hosts",
            "services.*.route.path",
            "services.*.route.default",
        ],
    ),
    (
        "requests_are_spread_over_the_replicas",
        &["services.*.replicas"],
    ),
    (
        "an_update_is_in_the_order_that_is_asked_for",
        &["services.*.update"],
    ),
    (
        "what_fails_after_a_start_stops_the_container_and_its_output_is_shown",
        &["services.*.restart"],
    ),
    (
        "what_is_to_be_run_after_a_start_is_run_after_each",
        &["services.*.hooks.post_start"],
    ),
    (
        "what_is_to_be_run_before_a_stop_is_run_before_it",
        &["services.*.hooks.pre_stop"],
    ),
    (
        "a_service_runs_only_with_one_of_its_profiles",
        &["services.*.profiles"],
    ),
    (
        "a_privileged_container_is_privileged",
        &["services.*.privileged"],
    ),
    (
        "folders_volumes_and_memory_are_mounted",
        &["services.*.tmpfs"],
    ),
    (
        "run_executes_a_command_of_a_service_in_that_service",
        &["commands.*.service"],
    ),
    (
        "a_one_shot_runs_once_and_again_only_when_its_inputs_change",
        &["commands.*.inputs"],
    ),
    (
        "a_one_shot_waits_for_what_it_depends_on",
        &["commands.*.depends_on"],
    ),
    (
        "an_outside_upstream_is_reached_by_its_name_and_its_hosts",
        &["routes.*.upstream", "routes.*.hosts"],
    ),
    (
        "an_https_upstream_is_trusted_if_its_authority_is_named",
        &["routes.*.ca"],
    ),
    (
        "an_external_volume_is_mounted_under_its_own_name_and_never_removed",
        &["volumes.*.external"],
    ),
    (
        "a_volume_is_made_as_its_table_says",
        &["volumes.*.driver", "volumes.*.options", "volumes.*.labels"],
    ),
    (
        "what_is_synced_is_in_every_replica_and_goes_where_it_is_deleted",
        &[
            "services.*.watch",
            "services.*.watch[].path",
            "services.*.watch[].action",
            "services.*.watch[].target",
        ],
    ),
    (
        "who_does_not_wait_for_a_service_is_told_its_state_and_last_lines",
        &["services.*.route.hold"],
    ),
    (
        "an_upstream_of_http2_is_spoken_to_in_it",
        &["services.*.route.protocol"],
    ),
    (
        "a_route_says_what_is_kept_of_its_requests",
        &["services.*.route.capture", "routes.*.capture"],
    ),
    // Read, and not acted on yet: README.md says so, too.
    (
        "an_engine_of_a_later_version_is_refused_and_harms_nothing",
        &["workspace.engine"],
    ),
];

/// What both a service and a command can have: tried in both by the same rows.
fn of_both(key: &str) -> String {
    key.replacen("commands.*", "services.*", 1)
}

#[test]
fn no_key_of_the_schema_is_left_out() {
    let rows = [
        container::process_rows(),
        container::environment_rows(),
        container::limit_rows(),
        container::right_rows(),
        container::health_rows(),
        files::mount_rows(),
        networks::port_rows(),
    ];
    let mut tried: BTreeSet<String> = rows
        .iter()
        .flatten()
        .map(|row| row.key.to_owned())
        .collect();
    tried.extend(
        ELSEWHERE
            .iter()
            .flat_map(|(_, keys)| *keys)
            .map(|key| (*key).to_owned()),
    );
    let keys = keys();
    let left_out: Vec<_> = keys
        .iter()
        .filter(|key| !tried.contains(*key) && !tried.contains(&of_both(key)))
        .collect();
    assert!(left_out.is_empty(), "no engine test tries {left_out:#?}");
    let unknown: Vec<_> = tried.iter().filter(|key| !keys.contains(*key)).collect();
    assert!(unknown.is_empty(), "the schema has no {unknown:#?}");
}

#[test]
fn every_test_that_is_named_for_a_key_exists() {
    let mut sources = String::new();
    read_below(Path::new("tests/it/engine"), &mut sources);
    let missing: Vec<_> = ELSEWHERE
        .iter()
        .map(|(test, _)| test)
        .filter(|test| !sources.contains(&format!("fn {test}(")))
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}

fn read_below(folder: &Path, text: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read_below(&path, text);
        } else {
            text.push_str(&fs::read_to_string(path).unwrap());
        }
    }
}

/// Every key of the schema: `services.*.mounts[].source`.
fn keys() -> BTreeSet<String> {
    let schema = cosmos::config::schema();
    let mut keys = BTreeMap::new();
    collect(&schema, &schema, "", &mut keys);
    // A table is tried by what is in it.
    let is_table = |key: &String| {
        let below = format!("{key}.");
        keys.range(below.clone()..)
            .next()
            .is_some_and(|(next, ())| next.starts_with(&below))
    };
    let has_short_form = |key: &str| {
        [
            "route", "mounts", "ports", "devices", "configs", "secrets", "ulimits",
        ]
        .iter()
        .any(|form| key.ends_with(form) && key.contains(".*."))
    };
    keys.keys()
        .filter(|key| !is_table(key) || has_short_form(key))
        .cloned()
        .collect()
}

fn collect(schema: &Value, node: &Value, path: &str, keys: &mut BTreeMap<String, ()>) {
    if let Some(name) = node["$ref"].as_str() {
        let name = name.trim_start_matches("#/$defs/");
        collect(schema, &schema["$defs"][name], path, keys);
    }
    for form in ["anyOf", "oneOf", "allOf"] {
        for one in node[form].as_array().into_iter().flatten() {
            collect(schema, one, path, keys);
        }
    }
    if node["items"].is_object() {
        collect(schema, &node["items"], &format!("{path}[]"), keys);
    }
    if node["additionalProperties"].is_object() {
        collect(
            schema,
            &node["additionalProperties"],
            &format!("{path}.*"),
            keys,
        );
    }
    for (key, value) in node["properties"].as_object().into_iter().flatten() {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        keys.insert(path.clone(), ());
        collect(schema, value, &path, keys);
    }
}
