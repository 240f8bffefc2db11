//! From a page in a real browser: one of a service of ours, one of another site, and
//! one whose name turned out to be this machine's.

use std::{
    collections::BTreeMap,
    io::{Read, Write as _, copy},
    net::{Shutdown, TcpListener, TcpStream},
    thread,
};

use serde_json::{Value, json};

use super::Stronghold;
use crate::{engine::workspace::WEB, support::Browser};

/// A site on an address of the loopback that is not the proxy's. What is asked of it
/// but its page, it passes on where it is told to, byte for byte: to a browser, that
/// is a name which leads somewhere else now.
fn site(address: &str, leads_to: Option<u16>) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming() {
            let Ok(client) = client else { return };
            thread::spawn(move || answer(client, leads_to));
        }
    });
    port
}

fn answer(mut client: TcpStream, leads_to: Option<u16>) -> Option<()> {
    const PAGE: &str = "<!doctype html><title>a page</title><body>";
    let mut start = vec![0; 64 << 10];
    let count = client.read(&mut start).ok()?;
    let start = &start[..count];
    if start.starts_with(b"GET / ") {
        let length = PAGE.len();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nConnection: close\r\n";
        return write!(client, "{head}Content-Length: {length}\r\n\r\n{PAGE}").ok();
    }
    let mut proxy = TcpStream::connect(("127.0.0.1", leads_to?)).ok()?;
    proxy.write_all(start).ok()?;
    let (mut from_client, mut to_proxy) = (client.try_clone().ok()?, proxy.try_clone().ok()?);
    thread::spawn(move || {
        let _ = copy(&mut from_client, &mut to_proxy);
        let _ = to_proxy.shutdown(Shutdown::Write);
    });
    let _ = copy(&mut proxy, &mut client);
    client.shutdown(Shutdown::Both).ok()
}

/// Every order, in every way, to every name of the proxy and to the page's own: none is
/// obeyed, and no answer to one could be read.
fn nothing_is_obeyed(stronghold: &Stronghold, browser: &Browser, page: &str) {
    let port = stronghold.place.port;
    let bases = json!([
        "",
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
        format!("http://cosmos.localhost:{port}"),
    ]);
    let orders: Vec<Value> = stronghold
        .orders()
        .iter()
        .map(|order| json!({ "method": order.method, "path": order.path, "body": order.body }))
        .collect();
    let before = stronghold.standing();
    let refused = refusals(stronghold);
    browser.open(page);
    let read = browser.run(include_str!("attack.js"), vec![bases, json!(orders)]);
    let read = read.as_array().unwrap();
    assert!(read.len() > 100, "{read:#?}");
    let obeyed: Vec<_> = read
        .iter()
        .filter(|one| one[1].as_u64().is_some_and(|status| status < 400))
        .collect();
    assert!(obeyed.is_empty(), "{obeyed:#?}");
    assert_eq!(stronghold.standing(), before);
    // It was the gate that said no, and not a browser that never asked.
    let refused = refusals(stronghold) - refused;
    assert!(refused >= 20, "{refused} refused");
    assert_eq!(stronghold.honest_start(), 200);
}

/// How often the gate said no.
fn refusals(stronghold: &Stronghold) -> u64 {
    let log = crate::engine::workspace::support::docker(&["logs", &stronghold.place.proxy()]);
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok());
    let counts = lines.fold(BTreeMap::new(), |mut counts, line: Value| {
        if let Some(code) = line["code"].as_str() {
            *counts.entry(code.to_owned()).or_insert(0) += 1;
        }
        counts
    });
    counts.values().sum()
}

#[test]
fn a_page_of_a_service_of_ours_may_manage_nothing() {
    let stronghold = Stronghold::new(WEB);
    let (name, port) = (&stronghold.place.name, stronghold.place.port);
    let browser = Browser::start(&[]);
    nothing_is_obeyed(
        &stronghold,
        &browser,
        &format!("http://web.{name}.localhost:{port}/"),
    );
}

#[test]
fn a_page_of_another_site_may_manage_nothing() {
    let stronghold = Stronghold::new(WEB);
    let other = site("127.0.0.1:0", None);
    let browser = Browser::start(&[]);
    nothing_is_obeyed(&stronghold, &browser, &format!("http://127.0.0.1:{other}/"));
}

#[test]
fn a_page_whose_name_leads_to_this_machine_now_may_manage_nothing() {
    let stronghold = Stronghold::new(WEB);
    let port = stronghold.place.port;
    site(&format!("127.0.0.2:{port}"), Some(port));
    let browser = Browser::start(&["--host-resolver-rules=MAP rebound.example 127.0.0.2"]);
    nothing_is_obeyed(
        &stronghold,
        &browser,
        &format!("http://rebound.example:{port}/"),
    );
}
