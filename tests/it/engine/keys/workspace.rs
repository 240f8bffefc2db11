//! Keys of the workspace, its images, its routes, and of how a service conducts itself.

use serde_json::{Value, json};

use super::{holds, inspected, row};
use crate::engine::workspace::{
    WEB, idle,
    support::{Place, docker, until},
};

/// The lines `KEY=value` of a container's environment.
fn environment(container: &str) -> Vec<String> {
    let told = inspected("container", container);
    serde_json::from_value(told["Config"]["Env"].clone()).unwrap()
}

#[test]
fn the_proxy_is_made_as_the_first_workspace_needs_it() {
    let place = Place::new("").with("COSMOS_PROXY_PORT", "");
    let port = place.port;
    place.write(
        "cosmos.toml",
        &format!(
            "[proxy]\nport = {port}\ntokenless = \"off\"\n{}",
            idle("it", "")
        ),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let told = inspected("container", &place.proxy());
    let bindings = &told["HostConfig"]["PortBindings"]["8080/tcp"][0];
    assert_eq!(bindings["HostPort"], json!(port.to_string()));
    assert!(
        environment(&place.proxy()).contains(&"COSMOS_PROXY_TOKENLESS=off".to_owned()),
        "{told}"
    );
}

#[test]
fn the_proxy_is_made_of_the_image_that_is_named() {
    let place = Place::up(&idle("it", ""));
    let image = inspected("container", &place.proxy())["Config"]["Image"].clone();
    let _ = place.cosmos(&["down"]).succeeded();
    let _ = place.cosmos(&["proxy", "rm"]).succeeded();
    let other = format!("{}-proxy:own", place.name);
    docker(&["tag", image.as_str().unwrap(), &other]);
    place.write(
        "cosmos.toml",
        &format!("[proxy]\nimage = \"{other}\"\n{}", idle("it", "")),
    );
    let _ = place
        .cosmos(&["up"])
        .ended(2)
        .told(&["proxy.image", "the engine's socket", "--trust"]);
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    holds(
        &inspected("container", &place.proxy()),
        &[row("proxy.image", "/Config/Image", other.as_str())],
    );
    docker(&["rmi", "-f", &other]);
}

#[test]
fn an_image_is_named_once_and_used_by_its_name() {
    let place = Place::new(
        "[images.base]\nref = \"busybox:latest\"\npull = \"never\"\n\
         [images.none]\nref = \"cosmos-test/nowhere:1\"\npull = \"never\"\n\
         [services.one]\nimage = \"base\"\ncommand = \"sleep 1000\"\ninit = true\n\
         [services.two]\nimage = \"none\"\n",
    );
    let _ = place
        .cosmos(&["up"])
        .ended(1)
        .told(&["cosmos-test/nowhere:1", "never"]);
    holds(
        &inspected("container", &place.container("one")),
        &[row("images.*.ref", "/Config/Image", "busybox:latest")],
    );
}

#[test]
fn an_image_is_built_of_its_context_dockerfile_stage_and_arguments() {
    let place = Place::new(
        "[images.made]\nbuild = { context = \"./src\", dockerfile = \"Own.dockerfile\", target = \"first\", args = { WHO = 7 } }\n\
         [services.it]\nimage = \"made\"\ncommand = \"sleep 1000\"\ninit = true\n",
    );
    place.write(
        "src/Own.dockerfile",
        "FROM busybox:latest AS first\nARG WHO\nCOPY text /text\nLABEL who=$WHO stage=first\n\
         FROM busybox:latest\nLABEL stage=second\n",
    );
    place.write("src/text", "of the context");
    let _ = place.cosmos(&["up"]).succeeded();
    let told = inspected("container", &place.container("it"));
    holds(
        &told,
        &[
            row("images.*.build.args", "/Config/Labels/who", "7"),
            row("images.*.build.target", "/Config/Labels/stage", "first"),
        ],
    );
    assert_eq!(
        docker(&["exec", &place.container("it"), "cat", "/text"]),
        "of the context"
    );
    docker(&["rmi", "-f", told["Config"]["Image"].as_str().unwrap()]);
}

#[test]
fn a_route_has_further_hosts_a_path_and_may_be_the_default() {
    let place = Place::new("");
    let other = format!("other.{}.example.com", place.name);
    let page = "command = [\"sh\", \"-c\", \"mkdir -p /www/in; echo PAGE > /www/index.html; echo PAGE > /www/in/index.html; exec httpd -f -p 81 -h /www\"]\n\
                image = \"busybox:latest\"\ninit = true\nhealth = { tcp = 81, interval = \"100ms\" }";
    place.write(
        "cosmos.toml",
        &format!(
            "[services.whole]\nroute = {{ port = 81, hosts = [\"{other}\"] }}\n{}\n\
             [services.part]\nroute = {{ port = 81, hosts = \"{other}\", path = \"/in\" }}\n{}\n",
            page.replace("PAGE", "whole"),
            page.replace("PAGE", "part"),
        ),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(place.get_host(&other, "/").unwrap().body, "whole");
    assert_eq!(place.get_host(&other, "/in/").unwrap().body, "part");
    assert_eq!(place.get("whole", "/in/").unwrap().body, "whole");
    // The default takes what no other route does; before there is one, nobody.
    let nobody = "nobody.example.com";
    assert_eq!(place.get_host(nobody, "/").unwrap().status, 404);
    let config = std::fs::read_to_string(place.folder.join("cosmos.toml")).unwrap();
    place.write(
        "cosmos.toml",
        &config.replacen("port = 81, hosts", "port = 81, default = true, hosts", 1),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(place.get_host(nobody, "/").unwrap().body, "whole");
}

#[test]
fn an_update_is_in_the_order_that_is_asked_for() {
    let config = |order: &str, value: &str| {
        idle(
            "it",
            &format!("update = \"{order}\"\nenv = {{ VALUE = \"{value}\" }}"),
        )
    };
    for (order, first) in [("start-first", "launch"), ("stop-first", "stop")] {
        let place = Place::up(&config(order, "one"));
        place.write("cosmos.toml", &config(order, "two"));
        let plan = place.cosmos(&["plan"]).succeeded();
        let launch = plan.stdout.find("launch").unwrap();
        let stop = plan.stdout.find("stop ").unwrap();
        assert_eq!(
            if launch < stop { "launch" } else { "stop" },
            first,
            "{plan}"
        );
        let _ = place.cosmos(&["up"]).succeeded();
        assert!(environment(&place.container("it")).contains(&"VALUE=two".to_owned()));
    }
}

#[test]
fn a_service_runs_only_with_one_of_its_profiles() {
    let place = Place::up(&format!(
        "{}{}",
        idle("always", ""),
        idle("debug", "profiles = [\"debug\"]")
    ));
    assert_eq!(place.containers(&["service=debug"]), [""; 0]);
    let _ = place.cosmos(&["up", "--profile", "debug"]).succeeded();
    assert_eq!(
        place.containers(&["service=debug"]),
        [place.container("debug")]
    );
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(place.containers(&["service=debug"]), [""; 0]);
}

#[test]
fn a_one_shot_waits_for_what_it_depends_on() {
    let place = Place::up(&format!(
        "{WEB}\n[commands.once]\nimage = \"busybox:latest\"\ndepends_on = {{ web = \"ready\" }}\nrun = [\"wget\", \"-qO-\", \"http://web/\"]\n{}",
        idle("it", "depends_on = [\"once\"]")
    ));
    let said = docker(&["logs", &format!("{}-once", place.name)]);
    assert!(said.contains("hello"), "{said}");
}

#[test]
fn an_outside_upstream_is_reached_by_its_name_and_its_hosts() {
    let place = Place::new("");
    let host = format!("far.{}.example.com", place.name);
    place.write(
        "cosmos.toml",
        &format!(
            "{WEB}\n[routes.far]\nupstream = \"http://web.{}.internal:80\"\nhosts = \"{host}\"\n",
            place.name
        ),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let answer = until("the route", || {
        place
            .get("far", "/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
    assert!(answer.body.starts_with("hello"), "{answer:?}");
    assert!(
        place
            .get_host(&host, "/")
            .unwrap()
            .body
            .starts_with("hello")
    );
}

/// An nginx that speaks TLS on port 443, with a certificate for `name` and the
/// authority that signed it in `ca.pem`.
fn write_https(place: &Place, name: &str) {
    let mut params = rcgen::CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let key = rcgen::KeyPair::generate().unwrap();
    let authority = rcgen::CertifiedIssuer::self_signed(params, key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &authority).unwrap();
    place.write("ca.pem", &authority.pem());
    place.write("server.pem", &certificate.pem());
    place.write("server.key", &key.serialize_pem());
    place.write(
        "tls.conf",
        "server { listen 443 ssl; ssl_certificate /etc/nginx/server.pem;\n\
         ssl_certificate_key /etc/nginx/server.key;\n\
         location / { return 200 \"$ssl_protocol $host $request_uri\"; } }\n",
    );
}

#[test]
fn an_https_upstream_is_trusted_if_its_authority_is_named() {
    let place = Place::new("");
    let name = format!("far.{}.internal", place.name);
    write_https(&place, &name);
    let config = format!(
        "[services.far]\nimage = \"nginx:latest\"\nhealth = {{ tcp = 443, interval = \"100ms\" }}\n\
         configs = {{ \"tls.conf\" = \"/etc/nginx/conf.d/tls.conf\", \
         \"server.pem\" = \"/etc/nginx/server.pem\", \"server.key\" = \"/etc/nginx/server.key\" }}\n\
         [routes.out]\nupstream = \"https://{name}/v1\"\n"
    );
    place.write("cosmos.toml", &config);
    let _ = place.cosmos(&["up"]).succeeded();
    let asked = |status: u16| {
        until("an answer", || {
            let answer = place.get("out", "/chat").ok();
            answer.filter(|answer| answer.status == status)
        })
    };
    assert!(asked(502).body.contains("certificate_untrusted"));
    place.write("cosmos.toml", &format!("{config}ca = \"ca.pem\"\n"));
    let _ = place.cosmos(&["up"]).succeeded();
    assert_eq!(asked(200).body, format!("TLSv1.3 {name} /v1/chat"));
}

#[test]
fn what_reaches_the_host_is_shown_by_plan_and_asked_for_once() {
    let dangerous = idle(
        "it",
        "security_opt = [\"seccomp=unconfined\"]\nmounts = [\"/etc:/host:ro\"]",
    );
    let place = Place::up(&idle("other", ""));
    place.write("cosmos.toml", &format!("{}{dangerous}", idle("other", "")));
    let plan = place.cosmos(&["plan"]).succeeded();
    for text in [
        "! services.it.security_opt[0]",
        "! services.it.mounts[0] mounts `/etc` for reading",
        "cosmos.toml:11",
    ] {
        assert!(plan.stdout.contains(text), "no {text} in {plan}");
    }
    let refused = place
        .cosmos(&["up"])
        .ended(2)
        .told(&["services.it.security_opt[0]", "--trust"]);
    assert!(place.running("it").is_none(), "{refused}");
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    let _ = place.cosmos(&["up"]).was_up_to_date();
    // What is new is asked for, and only that.
    place.write(
        "cosmos.toml",
        &format!(
            "{}{dangerous}devices = [\"/dev/null\"]\n",
            idle("other", "")
        ),
    );
    let refused = place
        .cosmos(&["up"])
        .ended(2)
        .told(&["services.it.devices[0]"]);
    assert!(!refused.stderr.contains("security_opt"), "{refused}");
    // One's own word is enough.
    let _ = place.cosmos(&["plan", "--json"]).succeeded().json()["dangers"][0]["key"]
        .as_str()
        .unwrap();
}

#[test]
fn no_program_of_a_project_runs_before_it_is_trusted() {
    let place = Place::new(&format!(
        "[secrets.key]\ncommand = [\"touch\", \"was-run\"]\n{}",
        idle("it", "secrets = [\"key\"]")
    ));
    let was_run = || place.folder.join("was-run").exists();
    let _ = place
        .cosmos(&["up"])
        .ended(2)
        .told(&["secrets.key.command", "touch was-run"]);
    for verb in ["check", "config", "status", "down", "plan"] {
        let _ = place.cosmos(&[verb]);
        assert!(!was_run(), "{verb}");
    }
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    assert!(was_run());
}

#[test]
fn who_does_not_wait_for_a_service_is_told_its_state_and_last_lines() {
    let place = Place::new(
        "[services.it]\nimage = \"busybox:latest\"\nroute = { port = 80, hold = \"0s\" }\n\
         command = [\"sh\", \"-c\", \"echo no such table >&2; exec sleep 1000\"]\n\
         health = { tcp = 80, interval = \"100ms\", retries = 10000 }\n",
    );
    let _up = place.begin(&["up"]);
    let answer = until("its last words", || {
        let answer = place.get("it", "/").ok()?;
        let is_told = answer.body.contains("no such table");
        is_told.then_some(answer)
    });
    assert_eq!(answer.status, 503);
    let error = &serde_json::from_str::<Value>(&answer.body).unwrap()["error"];
    assert_eq!(error["code"], "not_ready");
    assert_eq!(error["output"], json!(["no such table"]));
}

#[test]
fn an_upstream_of_http2_is_spoken_to_in_it() {
    let place = Place::new(
        "[services.it]\nimage = \"nginx:latest\"\nhealth = { tcp = 81, interval = \"100ms\" }\n\
         route = { port = 81, protocol = \"h2c\" }\n\
         configs = { \"h2c.conf\" = \"/etc/nginx/conf.d/h2c.conf\" }\n",
    );
    place.write(
        "h2c.conf",
        "server { listen 81 http2; location / { return 200 \"$server_protocol $host\"; } }\n",
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let answer = place.get("it", "/").unwrap();
    assert_eq!(
        (answer.status, answer.body),
        (200, format!("HTTP/2.0 it.{}.localhost", place.name))
    );
}

#[test]
fn an_engine_of_a_later_version_is_refused_and_harms_nothing() {
    let place = Place::up(&idle("it", ""));
    place.write(
        "cosmos.toml",
        &format!("[workspace]\nengine = \"swarm\"\n{}", idle("it", "")),
    );
    let _ = place
        .cosmos(&["up"])
        .ended(2)
        .told(&["there is no `engine = \"swarm\"` yet"]);
    assert!(place.running("it").is_some());
}
