//! A corpus of malformed and unusual messages, over raw sockets.
//!
//! Each family is a file in `cases`, and a test here: what the upstream saw and
//! what the client got must be what the case says, in one line. Beside it stands
//! what nginx and haproxy do with the same bytes, as `scripts/oracles` recorded it.

mod case;
mod exchange;
mod message;

use std::{collections::BTreeSet, env, net::SocketAddr, sync::Arc, time::Duration};

use cosmos::traffic::{Limits, Routes, routes::Leads};

use self::{
    case::Case,
    exchange::{Outcome, Upstream, ask, has_line},
};
use super::harness::{proxy_with, rule, upstream};

/// `NAME ADDRESS UPSTREAM`: a proxy to record instead of trying Cosmos.
const ORACLE: &str = "COSMOS_TEST_ORACLE";
/// The one family to record, where not all.
const FAMILY: &str = "COSMOS_TEST_FAMILY";

macro_rules! families {
    ($($claim:ident $name:literal;)*) => {
        mod families {
            $(#[tokio::test]
            async fn $claim() {
                super::check($name).await;
            })*
        }

        const FAMILIES: &[&str] = &[$($name),*];
    };
}

families! {
    a_request_line_is_understood_exactly_or_refused "request_line";
    a_request_is_for_one_host_or_refused "host";
    a_header_is_understood_exactly_or_refused "headers";
    a_request_ends_where_its_upstream_thinks_it_ends "framing";
    a_body_in_chunks_is_whole_or_broken_off "chunks";
    what_is_for_one_connection_goes_no_further "connection";
    what_says_who_asked_is_written_by_us "forwarded";
    a_protocol_is_switched_only_behind_a_real_101 "upgrade";
    an_interim_answer_is_what_the_client_waits_for "interim";
    an_answer_is_the_upstreams_or_an_explanation "answers";
    management_is_two_paths_byte_for_byte "management";
    a_frame_of_http_2_is_understood_or_its_connection_closed "http2";
}

/// Tries a family, or records what an oracle makes of it.
async fn check(family: &str) {
    let cases = case::family(family);
    if let Ok(oracle) = env::var(ORACLE) {
        let only = env::var(FAMILY).unwrap_or_default();
        if only.is_empty() || only == family {
            record(family, &cases, &oracle).await;
        }
        return;
    }
    let mut differences = String::new();
    for case in &cases {
        for difference in differences_of(case, &through_cosmos(case).await) {
            differences += &format!("\n{family}: {} ({})\n{difference}\n", case.name, case.of);
        }
    }
    assert!(differences.is_empty(), "{differences}");
}

fn differences_of(case: &Case, outcome: &Outcome) -> Vec<String> {
    let mut differences = Vec::new();
    if what_counts(&outcome.line) != what_counts(&case.cosmos) {
        differences.push(format!(
            "    wanted {}\n    was    {}",
            case.cosmos, outcome.line
        ));
    }
    for (end, bytes, wanted, unwanted) in [
        ("the upstream", &outcome.seen, &case.saw, &case.saw_not),
        ("the client", &outcome.got, &case.got, &case.got_not),
    ] {
        let missing = wanted.iter().filter(|line| !has_line(bytes, line, false));
        let present = unwanted.iter().filter(|line| has_line(bytes, line, true));
        let lines: Vec<String> = missing
            .map(|line| format!("    {end} did not see `{line}`"))
            .chain(present.map(|line| format!("    {end} saw `{line}`")))
            .collect();
        if !lines.is_empty() {
            let all = String::from_utf8_lossy(&bytes[..bytes.len().min(1500)]).into_owned();
            differences.push(format!("{}\n    in {all:?}", lines.join("\n")));
        }
    }
    differences
}

/// An outcome without what was cut: how much of it is sent on before the proxy
/// notices is chance, and nobody takes it for a message.
fn what_counts(outcome: &str) -> String {
    let (requests, answer) = outcome.split_once(" -> ").unwrap();
    let whole: Vec<&str> = requests
        .split(" + ")
        .filter(|request| *request != "nothing" && !request.ends_with(" cut"))
        .collect();
    let answer = match answer.ends_with(" cut") {
        true => "closed",
        false => answer,
    };
    format!("{} -> {answer}", whole.join(" + "))
}

async fn through_cosmos(case: &Case) -> Outcome {
    let usual = Limits::default();
    let limits = match case.waits {
        false => usual,
        true => Limits {
            head: Duration::from_millis(300),
            keep_alive: Duration::from_millis(300),
            body_silence: Duration::from_millis(300),
            response_head: Duration::from_millis(300),
            ..usual
        },
    };
    let behind = Upstream::start("127.0.0.1:0", case).await;
    let proxy = proxy_with(limits).await;
    let leads = Leads::To(vec![upstream(behind.address)]);
    proxy
        .shared
        .set_routes(Arc::new(Routes::new([rule("a.localhost", leads)])));
    let answered = ask(proxy.address, case).await;
    // What it keeps open to the upstream goes with it.
    proxy.stop().await;
    Outcome::new(&behind.end().await, &answered)
}

async fn record(family: &str, cases: &[Case], oracle: &str) {
    let [name, address, upstream] = oracle.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{ORACLE} is not `NAME ADDRESS UPSTREAM`");
    };
    let address: SocketAddr = address.parse().unwrap();
    let mut outcomes = Vec::new();
    for case in cases {
        let behind = Upstream::start(upstream, case).await;
        let answered = ask(address, case).await;
        outcomes.push(Outcome::new(&behind.end().await, &answered).line);
    }
    case::record(family, name, &outcomes);
}

#[test]
fn every_family_is_tried() {
    let tried: BTreeSet<String> = FAMILIES.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(tried, case::families().into_iter().collect());
}

#[test]
fn every_case_has_a_name_of_its_own_and_what_the_oracles_did() {
    let mut names = BTreeSet::new();
    for case in FAMILIES.iter().flat_map(|family| case::family(family)) {
        let is_recorded = !case.nginx.is_empty() && !case.haproxy.is_empty();
        assert!(is_recorded, "run scripts/oracles: {}", case.name);
        assert!(names.insert(case.name.clone()), "twice: {}", case.name);
    }
}

#[test]
fn what_both_oracles_refuse_is_let_through_only_for_a_reason() {
    let mut laxer = String::new();
    for case in FAMILIES.iter().flat_map(|family| case::family(family)) {
        let is_laxer = !is_refused(&case.cosmos)
            && [&case.nginx, &case.haproxy]
                .into_iter()
                .all(|line| is_refused(line));
        if is_laxer != case.why.is_some() {
            laxer += &format!(
                "\n{}\n    {}\n    {}\n    {}\n    why: {:?}\n",
                case.name, case.cosmos, case.nginx, case.haproxy, case.why
            );
        }
    }
    assert!(laxer.is_empty(), "{laxer}");
}

/// The first answer says that it was somebody's fault, or there was none whole.
fn is_refused(line: &str) -> bool {
    let counts = what_counts(line);
    let (_, answer) = counts.split_once(" -> ").unwrap();
    answer.starts_with(['4', '5', 'c', '['])
}
