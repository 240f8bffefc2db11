//! The engine's daemon ends in the middle of something, and comes back.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    super::{
        own_engine::{OwnEngine, on_its_own},
        workspace::{
            WEB, idle,
            support::{Place, docker, inspect, until},
        },
    },
    Dice, is_whole,
    person::{Doing, Shop},
    setting, settles,
};

/// How often the engine is restarted here. `COSMOS_TEST_RESTARTS=50` is what is claimed of
/// it, and takes a quarter of an hour.
const RESTARTS: u32 = 2;

/// A chain of which the first link takes its time.
fn chain() -> String {
    WEB.replace("exec httpd", "sleep 2; exec httpd")
        + &idle("one", "depends_on = { web = \"ready\" }")
        + &idle("two", "depends_on = [\"one\"]")
}

/// Restarts the engine in the middle of an `up`. Whoever starts the proxy again, it
/// goes on from there without an order.
fn in_the_middle_of_an_up(engine: &OwnEngine, restart: fn(&OwnEngine), then: fn(&Place)) {
    let place = Place::new(&chain());
    let up = place.begin(&["up"]);
    until("it is in the middle", || place.running("web"));
    restart(engine);
    let back = Instant::now();
    then(&place);
    until("all runs", || {
        ["web", "one", "two"]
            .into_iter()
            .all(|name| place.running(name).is_some())
            .then_some(())
    });
    eprintln!("all runs {:?} after the engine's return", back.elapsed());
    let _ = up.end().ended(1).told(&["error: "]);
    settles(&place);
    is_whole(&place);
    assert_eq!(place.containers(&["kind=proxy"]), [place.proxy()]);
}

#[test]
fn an_engine_restarted_in_the_middle_of_an_up_is_converged_on_by_itself() {
    on_its_own(
        "faults::restarts::an_engine_restarted_in_the_middle_of_an_up_is_converged_on_by_itself",
        &[],
        |engine| in_the_middle_of_an_up(engine, OwnEngine::restart, |_| ()),
    );
}

#[test]
fn an_engine_killed_in_the_middle_of_an_up_is_converged_on_once_anyone_asks() {
    on_its_own(
        "faults::restarts::an_engine_killed_in_the_middle_of_an_up_is_converged_on_once_anyone_asks",
        &[],
        |engine| {
            // One that was killed ends all containers as it comes back, and starts none
            // of them again (20.10): not the proxy, either.
            in_the_middle_of_an_up(engine, OwnEngine::kill_and_start, |place| {
                let _ = place.cosmos(&["status"]).succeeded();
            });
        },
    );
}

/// Asks the proxy's own address for the service: the engine's daemon publishes
/// ports, and its containers have addresses without it.
fn is_served(place: &Place, address: &str) -> bool {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect((address, 8080))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let host = format!("web.{}.localhost:{}", place.name, place.port);
        write!(
            stream,
            "GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().is_ok_and(|answer| answer.starts_with("HTTP/1.1 200"))
}

/// At any moment of an order, and each order is one of a person's.
#[test]
fn an_engine_restarted_at_any_moment_leaves_no_double_and_no_lost_order() {
    on_its_own(
        "faults::restarts::an_engine_restarted_at_any_moment_leaves_no_double_and_no_lost_order",
        &[],
        |engine| {
            let restarts = setting("COSMOS_TEST_RESTARTS", RESTARTS);
            let mut dice = Dice::new();
            let mut shop = Shop::up(Place::new(""));
            let mut longest = Duration::ZERO;
            for round in 1..=restarts {
                shop.round = round;
                let doing = Doing::any(&mut dice);
                let is_killed = dice.below(2) == 0;
                let moment = Duration::from_millis(dice.below(1_200));
                eprintln!("{round}: {doing:?}, after {moment:?} killed: {is_killed}");
                let words = shop.words(doing, &mut dice);
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                let order = shop.place.begin(&words);
                // It is the moment that is tried, and nothing tells of it.
                thread::sleep(moment);
                match is_killed {
                    true => engine.kill_and_start(),
                    false => engine.restart(),
                }
                let back = Instant::now();
                let was_answered = order.end().code == 0;
                if was_answered {
                    shop.believe(doing);
                }
                settles(&shop.place);
                longest = longest.max(back.elapsed());
                shop.remembers(doing, was_answered);
                if doing == Doing::AdHoc {
                    shop.owns_what_it_made(was_answered);
                }
                is_whole(&shop.place);
                shop.remembers(doing, true);
            }
            eprintln!("{restarts} restarts, whole again after {longest:?} at most");
        },
    );
}

#[test]
fn with_live_restore_requests_are_served_while_the_engine_is_away_and_healing_goes_on_after() {
    on_its_own(
        "faults::restarts::with_live_restore_requests_are_served_while_the_engine_is_away_and_healing_goes_on_after",
        &[("COSMOS_TEST_LIVE_RESTORE", "yes")],
        |engine| {
            let place = Place::up(&(WEB.to_owned() + &idle("one", "")));
            let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
            let address = inspect(&place.proxy(), format).unwrap();
            let web = place.id("web");
            assert!(is_served(&place, &address));
            let is_away = AtomicBool::new(true);
            let refused = thread::scope(|scope| {
                let asking = scope.spawn(|| {
                    let mut refused = 0;
                    while is_away.load(Ordering::Relaxed) {
                        refused += u32::from(!is_served(&place, &address));
                    }
                    refused
                });
                engine.restart();
                is_away.store(false, Ordering::Relaxed);
                asking.join().unwrap()
            });
            assert_eq!(refused, 0);
            let back = Instant::now();
            docker(&["rm", "-f", &place.container("one")]);
            until("it is healed over the engine's new socket", || {
                place.running("one")
            });
            eprintln!("healed {:?} after the engine's return", back.elapsed());
            assert_eq!(place.running("web"), Some(web));
            settles(&place);
            is_whole(&place);
        },
    );
}
