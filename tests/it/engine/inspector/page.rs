//! The page, in Chromium, in front of a real proxy.

use std::{fs, process::Command, thread};

use serde_json::{Value, json};

use super::{CANARY, app, send};
use crate::{
    engine::workspace::support::{Place, docker, inspect, until},
    support::Browser,
};

/// A browser that is signed in to the dashboard.
pub(super) struct Page {
    browser: Browser,
}

impl Page {
    pub(super) fn open(place: &Place) -> Self {
        let page = Self {
            browser: Browser::start(&["--window-size=1280,800"]),
        };
        let said = place.cosmos(&["dashboard", "--print"]).succeeded();
        page.browser.open(said.stdout.trim());
        page.run(
            "await until('signed in', () => shown('list') || shown('empty'));",
            json!(null),
        );
        page
    }

    /// Runs an async function in the page, with the words of `page.js`.
    #[track_caller]
    pub(super) fn run(&self, body: &str, given: Value) -> Value {
        let script = format!(
            "{}\n(async () => {{ {body} }})().then(done, (error) => done({{ failed: String(error) }}));",
            include_str!("page.js")
        );
        let result = self.browser.run(&script, vec![given]);
        assert!(result["failed"].is_null(), "{}", result["failed"]);
        result
    }

    fn view(&self, name: &str) {
        self.run("find(`tab-${given}`).click();", json!(name));
    }
}

/// Asks the app for something that can be found by its path.
fn ask(place: &Place, path: &str) {
    send(
        place,
        "POST",
        path,
        &["Content-Type: application/json"],
        "{\"a\":[1,2]}",
    );
}

#[test]
fn a_request_is_there_at_once_and_its_events_as_they_stream() {
    let place = app();
    let page = Page::open(&place);
    page.run(
        "window.seen = new Promise((tell) => {
           const look = () => { if (row('/cgi-bin/echo?now')) tell(Date.now()); };
           new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
         });",
        json!(null),
    );
    let sent = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let sent = sent.unwrap().as_millis();
    ask(&place, "/cgi-bin/echo?now");
    let seen = page.run("return await window.seen;", json!(null));
    let seen = u128::from(seen.as_u64().unwrap());
    println!(
        "seen on the page {} ms after it was sent",
        seen.saturating_sub(sent)
    );

    thread::scope(|scope| {
        scope.spawn(|| send(&place, "GET", "/cgi-bin/events", &[], ""));
        let counts = page.run(
            "await open('/cgi-bin/events');
             const counts = new Set();
             await until('all of its events', () => {
               const list = shown('events');
               if (list) counts.add(list.querySelectorAll('li').length);
               return counts.has(8);
             });
             return [...counts];",
            json!(null),
        );
        let counts = counts.as_array().unwrap();
        assert!(counts.len() > 3, "they came at once: {counts:?}");
    });
}

#[test]
fn the_list_is_filtered_and_a_request_repeated_and_edited() {
    let place = app();
    ask(&place, "/cgi-bin/echo?one");
    place.get("app", "/missing?two").unwrap();
    ask(&place, "/cgi-bin/echo?three");
    let page = Page::open(&place);
    let rows = page.run(
        "await until('all three', () => row('three') && row('two') && row('one'));
         type(find('filter'), 'status:404');
         await until('the others to go', () => row('two') && !row('three'));
         type(find('filter'), 'status:bad');
         const problem = await until('the problem', () => shown('filter-problem'));
         const said = problem.textContent;
         type(find('filter'), 'path:echo');
         await until('those', () => row('three') && !row('two'));
         return said;",
        json!(null),
    );
    assert!(rows.as_str().unwrap().contains("status:bad"), "{rows}");

    page.run(
        "await open('echo?one');
         find('replay').click();
         await until('another', () => all('exchange-row').filter((it) => it.textContent.includes('echo?one')).length > 1);
         find('edit-replay').click();
         await until('the form', () => shown('edit-dialog'));
         type(find('edit-path'), '/cgi-bin/echo?edited');
         type(find('edit-body'), 'another body');
         find('edit-send').click();
         await until('its body', () => row('echo?edited') && shown('body-response')?.textContent.includes('another body'));",
        json!(null),
    );
    let edited = super::listed(&place, "is:replay path:edited", 1);
    assert_eq!(edited[0]["status"], 200);
}

#[test]
fn the_archive_is_read_by_another_program() {
    let place = app();
    ask(&place, "/cgi-bin/echo?one");
    ask(&place, "/cgi-bin/secret");
    let page = Page::open(&place);
    let text = page.run(
        "await until('both', () => row('echo?one') && row('secret'));
         const made = new Promise((tell) => {
           const before = URL.createObjectURL;
           URL.createObjectURL = (blob) => { blob.text().then(tell); return before.call(URL, blob); };
         });
         find('har').click();
         return await made;",
        json!(null),
    );
    let text = text.as_str().unwrap();
    assert!(!text.contains(CANARY));
    let file = place.elsewhere().join("cosmos.har");
    fs::write(&file, text).unwrap();
    let state = std::env::var("COSMOS_TEST_STATE").unwrap_or("/var/tmp/cosmos-test".to_owned());
    let said = Command::new(format!("{state}/cache/python/bin/python"))
        .args(["-c", "import sys\nfrom haralyzer import HarParser\nfor e in HarParser.from_file(sys.argv[1]).har_data['entries']: print(e['request']['method'], e['response']['status'], e['request']['url'])\n"])
        .arg(&file)
        .output()
        .unwrap();
    let read = String::from_utf8(said.stdout).unwrap();
    let wrong = String::from_utf8_lossy(&said.stderr);
    assert!(
        read.contains("POST 200 http://app.") && read.contains("echo?one"),
        "{read}{wrong}"
    );
}

#[test]
fn a_hostile_answer_is_text_and_runs_nothing() {
    let place = app();
    send(
        &place,
        "GET",
        "/cgi-bin/hostile?<script>window.pwned=1</script>",
        &["X-A: <b onclick=pwned()>"],
        "",
    );
    send(&place, "GET", "/cgi-bin/hostile?plain", &[], "");
    let page = Page::open(&place);
    let told = page.run(
        "const before = document.querySelectorAll('script, iframe, object').length;
         await open('hostile?plain');
         const body = await until('its body', () => shown('body-response')?.textContent.includes('<script>') && shown('body-response'));
         await new Promise((next) => setTimeout(next, 300));
         const added = document.createElement('script');
         let refused = false;
         try { added.textContent = 'window.pwned = 2'; document.body.append(added); } catch { refused = true; }
         return {
           pwned: window.pwned ?? null,
           scripts: document.querySelectorAll('script, iframe, object').length - before - (refused ? 0 : 1),
           made: find('detail').querySelectorAll('svg[onload], img[onerror], script').length,
         };",
        json!(null),
    );
    assert_eq!(told, json!({ "pwned": null, "scripts": 0, "made": 0 }));
}

#[test]
fn no_secret_is_on_the_page() {
    let place = app();
    send(
        &place,
        "GET",
        &format!("/cgi-bin/secret?token={CANARY}"),
        &[&format!("Authorization: Bearer {CANARY}")],
        "",
    );
    let page = Page::open(&place);
    let said = page.run(
        "await open('secret');
         await until('the body', () => shown('body-response')?.textContent.includes('anna'));
         for (const one of document.querySelectorAll('details')) one.open = true;
         await new Promise((next) => setTimeout(next, 200));
         return document.documentElement.outerHTML + JSON.stringify({ ...sessionStorage, ...localStorage }) + location.href;",
        json!(null),
    );
    let said = said.as_str().unwrap();
    assert!(said.contains("[redacted ") && said.contains("anna"));
    assert!(!said.contains(CANARY));
}

#[test]
fn it_fits_narrow_and_wide_screens_in_the_dark_and_names_every_control() {
    let place = app();
    ask(
        &place,
        "/cgi-bin/echo?a-long-path-that-does-not-fit-on-a-narrow-screen&x=0123456789012345678901234567890123456789",
    );
    let page = Page::open(&place);
    for (width, height) in [(400, 800), (1280, 800), (2000, 1100)] {
        page.browser.resize(width, height);
        for view in ["services", "logs", "history", "exchanges"] {
            page.view(view);
            let told = page.run(
                "await new Promise((next) => setTimeout(next, 400));
                 if (given.view === 'exchanges') await open('echo?a-long');
                 const controls = [...document.querySelectorAll('button, input, textarea, select, a[href]')];
                 const unnamed = controls.filter((it) => it.offsetParent && !(it.textContent.trim() || it.getAttribute('aria-label') || it.labels?.length));
                 return {
                   over: document.scrollingElement.scrollWidth - window.innerWidth,
                   unnamed: unnamed.map((it) => it.outerHTML.slice(0, 200)),
                 };",
                json!({ "view": view }),
            );
            assert!(
                told["over"].as_i64().unwrap() <= 0,
                "{view} at {width}: {told}"
            );
            assert_eq!(told["unnamed"], json!([]), "{view} at {width}");
        }
    }
    let dark = page.run(
        "const colour = () => getComputedStyle(document.body).backgroundColor;
         const seen = new Set([colour()]);
         for (const _ of [1, 2, 3]) { find('theme').click(); await new Promise((next) => setTimeout(next, 100)); seen.add(colour()); }
         return [...seen];",
        json!(null),
    );
    assert!(
        dark.as_array().unwrap().len() >= 2,
        "light and dark look the same: {dark}"
    );
}

#[test]
fn buttons_do_what_the_verbs_do() {
    let place = app();
    let page = Page::open(&place);
    page.view("services");
    let press = |button: &str, state: &str| {
        page.run(
            "const card = () => all('service-card').find((it) => it.dataset.service === 'app');
             const button = await until('the button', () => { const it = find(given.button, card()); return it && !it.disabled && it; });
             button.click();
             await until(`it to be ${given.state}`, () => card().dataset.state === given.state);",
            json!({ "button": button, "state": state }),
        )
    };
    press("stop", "held");
    let service = place.service("app");
    assert_eq!(service["hold"]["by"], "cosmos stop app (dashboard)");
    press("release", "ready");
    press("stop", "held");
    press("start", "ready");
    assert_eq!(place.service("app")["hold"], json!(null));
    let before = place.id("app");
    press("restart", "ready");
    until("its restart", || {
        let history = place.cosmos(&["history", "--json"]).succeeded().json();
        history
            .to_string()
            .contains("cosmos restart app (dashboard)")
            .then_some(())
    });
    assert_eq!(place.id("app"), before);
    page.view("history");
    page.run(
        "await until('what was ordered', () => all('history-entry').some((it) => it.textContent.includes('cosmos stop app (dashboard)')));",
        json!(null),
    );
}

#[test]
fn an_earlier_revision_is_gone_back_to_as_the_verb_does() {
    let place = app();
    place.write(
        "cosmos.toml",
        &format!("{}env = {{ LATER = \"yes\" }}\n", super::APP),
    );
    let _ = place.cosmos(&["up"]).succeeded();
    let page = Page::open(&place);
    page.view("history");
    page.run(
        "const first = await until('the first revision', () => all('rollback').find((it) => is(it) && !it.disabled));
         first.click();
         const yes = await until('the question', () => shown('rollback-confirm'));
         yes.click();
         await until('what was done', () => all('history-entry').some((it) => it.textContent.includes('cosmos rollback 1 (dashboard)')));",
        json!(null),
    );
    until("the first form", || {
        let env = inspect(&place.running("app")?, "{{.Config.Env}}")?;
        (!env.contains("LATER")).then_some(())
    });
}

#[test]
fn logs_are_read_live_and_searched() {
    let place = Place::up(
        "[services.talker]\nimage = \"busybox:latest\"\ninit = true\n\
         command = [\"sh\", \"-c\", \"n=0; while sleep 0.2; do n=$((n+1)); echo line $n even$((n%2)); done\"]\n",
    );
    let page = Page::open(&place);
    page.view("logs");
    page.run(
        "const lines = () => [...document.querySelectorAll('#logs [role=listitem]')].filter(is);
         await until('its lines', () => lines().length > 3);
         type(find('log-search'), 'even1');
         await until('only those', () => lines().length > 1 && lines().every((it) => it.textContent.includes('even1')));",
        json!(null),
    );
}

#[test]
fn it_comes_back_by_itself_and_signed_in_when_the_proxy_does() {
    let place = app();
    ask(&place, "/cgi-bin/echo?before");
    let page = Page::open(&place);
    page.run("await until('it', () => row('before'));", json!(null));
    docker(&["restart", "-t", "1", &place.proxy()]);
    until("the proxy", || {
        place
            .get("app", "/")
            .ok()
            .filter(|answer| answer.status == 200)
    });
    ask(&place, "/cgi-bin/echo?after");
    page.run(
        "await until('what came after', () => row('after'));
         if (row('before')) throw new Error('numbers of another process are mixed');
         if (shown('signin')) throw new Error('signed out');",
        json!(null),
    );
}

/// Of which each has more than 25 pixels.
const ROWS: u64 = 10_000;

#[test]
fn ten_thousand_exchanges_scroll_and_few_rows_are_made_for_them() {
    let place = app();
    let page = Page::open(&place);
    // More in a second than the recorder has time for are counted, and not kept: in as
    // many rounds as it takes.
    let heights = (0..30).map(|_| {
        let load = Command::new("h2load")
            .args(["-n", "1000", "-c", "4", "--h1", "--rps=125"])
            .arg(format!("--connect-to=127.0.0.1:{}", place.port))
            .arg(format!("http://{}/", super::host(&place)))
            .output()
            .unwrap();
        assert!(load.status.success(), "{load:?}");
        let height = page.run("return find('list').scrollHeight;", json!(null));
        height.as_u64().unwrap()
    });
    let height = heights.into_iter().find(|height| *height > ROWS * 25);
    assert!(height.is_some(), "too few of them are in the list");
    let told = page.run(
        "const list = find('list');
         const frames = [];
         let last = performance.now();
         for (let n = 0; n < 120; n += 1) {
           list.scrollTop = (n * 7919) % list.scrollHeight;
           await new Promise(requestAnimationFrame);
           const now = performance.now();
           frames.push(now - last);
           last = now;
         }
         frames.sort((a, b) => a - b);
         return { rows: all('exchange-row').length, height: list.scrollHeight, median: frames[60], p95: frames[114], most: frames[119] };",
        json!(null),
    );
    println!("{told}");
    assert!(told["rows"].as_u64().unwrap() < 200, "{told}");
}

/// The two of README.md, which `scripts/screenshots` makes anew.
#[test]
fn pictures_of_it_are_taken() {
    let is_for_readme = std::env::var_os("UPDATE_SCREENSHOTS").is_some();
    let idle = crate::engine::workspace::idle;
    let config = super::APP.replace("services.app", "services.api");
    let place = super::place(&format!(
        "{config}{}{}",
        idle("db", "resources = { memory = \"256MiB\" }"),
        idle(
            "worker",
            "depends_on = { db = \"started\", api = \"ready\" }"
        )
    ));
    let place = match is_for_readme {
        true => place.with("COSMOS_WORKSPACE__NAME", "shop"),
        false => place,
    };
    let _ = place.cosmos(&["up"]).succeeded();
    let name = if is_for_readme { "shop" } else { &place.name };
    let host = format!("api.{name}.localhost:{}", place.port);
    let ask = |method: &str, path: &str, lines: &str, body: &str| {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {}\r\n{lines}\r\n{body}",
            body.len()
        );
        crate::engine::workspace::support::ask(place.port, &request).unwrap()
    };
    let page = Page::open(&place);
    page.browser.resize(1280, 800);
    for number in 1..=4 {
        ask("GET", "/", "", "");
        ask(
            "POST",
            "/cgi-bin/echo",
            "Content-Type: application/json\r\n",
            &format!("{{\"order\":{number}}}"),
        );
        ask("GET", &format!("/orders/{number}"), "", "");
    }
    ask(
        "GET",
        "/cgi-bin/secret?token=abc",
        "Authorization: Bearer abc\r\n",
        "",
    );
    let _ = place.cosmos(&["restart", "api"]).succeeded();
    ask("GET", "/cgi-bin/events", "", "");
    ask(
        "POST",
        "/cgi-bin/echo?page=2",
        "Content-Type: application/json\r\nAuthorization: Bearer abc\r\n",
        "{\"items\":[{\"sku\":\"A-7\",\"count\":2}],\"coupon\":null,\"card\":{\"token\":\"tok_123\",\"last4\":\"4242\"}}",
    );
    page.run(
        "await open('echo?page=2'); await until('its body', () => shown('body-response'));",
        json!(null),
    );
    let exchanges = page.browser.picture();
    page.view("services");
    page.run(
        "await until('what they use', () => {
           const line = document.querySelector('#services polyline');
           return line && line.getAttribute('points').trim().split(/\\s+/).length >= given;
         });",
        json!(if is_for_readme { 8 } else { 2 }),
    );
    // A folder that is there for a test is nobody's home.
    page.run(
        "const folder = [...document.querySelectorAll('#services *')].find((it) => !it.children.length && it.textContent.startsWith('/'));
         folder.textContent = '/home/anna/shop';",
        json!(null),
    );
    let services = page.browser.picture();
    for (file, picture) in [("exchanges.png", exchanges), ("services.png", services)] {
        assert!(
            picture.starts_with(b"\x89PNG") && picture.len() > 10_000,
            "{file}"
        );
        if is_for_readme {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            fs::write(root.join("docs/pictures").join(file), picture).unwrap();
        }
    }
}
