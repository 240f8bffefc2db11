//! The page while far more passes than anybody could look at.

use std::{
    env,
    process::{Command, Stdio},
};

use serde_json::json;

use super::{page::Page, place};
use crate::engine::traffic::most_memory;

/// Answers fast enough: the app of the other tests starts a process for each request.
const FAST: &str = r#"
[services.app]
image = "nginx:latest"
route = 81
health = { tcp = 81, interval = "100ms" }
configs = { "app.conf" = "/etc/nginx/conf.d/app.conf" }
"#;

/// What a thousand connections that attack the proxy may take, in a build that was not
/// optimised; this is less.
const MEGABYTES: u64 = 200;

/// For so many seconds: `COSMOS_TEST_LOAD=300` is what the documents say was tried.
fn lasting() -> String {
    env::var("COSMOS_TEST_LOAD").unwrap_or_else(|_| "8".to_owned())
}

#[test]
fn a_thousand_requests_a_second_leave_the_page_responsive_and_are_counted() {
    let place = place(FAST);
    place.write(
        "app.conf",
        "server { listen 81; location / { return 200 '{\"answer\":42}'; default_type application/json; } }\n",
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let page = Page::open(&place);
    let mut load = Command::new("h2load")
        .args(["--h1", "-c", "20", "--rps=50", "-D", &lasting()])
        .arg(format!("--connect-to=127.0.0.1:{}", place.port))
        .arg(format!("http://{}/load", super::host(&place)))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    page.run(
        "await until('the first of them', () => row('/load'));
         window.waits = [];
         let last = performance.now();
         const tick = () => { const now = performance.now(); waits.push(now - last - 20); last = now; setTimeout(tick, 20); };
         setTimeout(tick, 20);",
        json!(null),
    );
    let mut looks = Vec::new();
    while load.try_wait().unwrap().is_none() {
        // What a person does with it: chooses, reads, filters and goes back.
        let took = page.run(
            "const begun = performance.now();
             find('list').focus();
             const chosen_one = () => find('list').getAttribute('aria-activedescendant');
             const before = chosen_one();
             key('j');
             await until('another choice', () => chosen_one() !== before);
             const chosen = performance.now() - begun;
             type(find('filter'), 'status:404');
             await until('none', () => !row('/load'));
             const filtered = performance.now() - begun - chosen;
             type(find('filter'), '');
             await until('them again', () => row('/load'));
             return { chosen, filtered };",
            json!(null),
        );
        looks.push(took);
    }
    let said = load.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&said.stdout).into_owned();
    let waits = page.run(
        "const sorted = window.waits.sort((a, b) => a - b);
         return { median: sorted[sorted.length >> 1], p99: sorted[Math.floor(sorted.length * 0.99)], most: sorted.at(-1), samples: sorted.length };",
        json!(null),
    );
    let most = |of: &str| {
        let times = looks.iter().map(|look| look[of].as_f64().unwrap());
        times.fold(0.0, f64::max)
    };
    // What was not kept is counted, and the page says the number that the API says.
    let dropped = place.cosmos(&["http", "--json", "-n", "1"]).succeeded();
    let dropped = dropped.json()["dropped"].as_u64().unwrap();
    page.run(
        "await until('what was not captured', () => Number((shown('dropped')?.textContent ?? '0').replace(/\\D/g, '')) >= given);",
        json!(dropped),
    );
    println!(
        "{} looks, chosen within {:.0} ms, filtered within {:.0} ms; turns of the page late by {waits}; {dropped} not captured; {} MB\n{said}",
        looks.len(),
        most("chosen"),
        most("filtered"),
        most_memory(&place)
    );
    assert!(!looks.is_empty());
    assert!(said.contains(" 0 failed, 0 errored, 0 timeout"), "{said}");
    assert!(
        most_memory(&place) < MEGABYTES,
        "{} MB",
        most_memory(&place)
    );
}
