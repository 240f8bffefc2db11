//! A long day: a person orders, and everything breaks meanwhile, in any order.
//!
//! After each round all faults are over, and all that is promised must be so again.
//! In the second half of the day the proxy's process is left alone, so that its
//! memory can be seen to stay as it was.

use std::{
    fs,
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
    thread::{self, sleep},
    time::{Duration, Instant},
};

use super::{
    super::{
        own_engine::{OwnEngine, on_its_own},
        workspace::support::{Place, docker, get, inspect, output, until},
    },
    Dice,
    chaos::{Chaos, Fault},
    is_whole,
    person::{Doing, NAMES, Shop},
    setting, settles,
};

/// How long, in seconds. `COSMOS_TEST_SOAK=1800` is what is claimed of it.
const SECONDS: u64 = 45;

/// Longer than most orders take, in milliseconds.
const LONGEST: u64 = 1_500;

/// An order that takes this long after all faults are over is worth a look.
const SLOW: Duration = Duration::from_secs(12);

/// What grows in a working day is a leak; what an allocator keeps is not.
const MAY_GROW: u64 = 8 << 20;

/// What breaks.
#[derive(Debug, Clone, Copy)]
enum Breaks {
    Nothing,
    /// The proxy's process.
    Proxy,
    /// A container, by hand.
    Removed(&'static str),
    Stopped(&'static str),
    Renamed(&'static str),
    Updated(&'static str),
    Disconnected(&'static str),
    /// Calls of the engine of one kind.
    Calls(&'static str, &'static str, Fault),
    /// The stream of events.
    EventsCut,
    EventsBurst,
    /// The engine's daemon, ended or killed.
    Engine,
    EngineKilled,
}

impl Breaks {
    /// Any of them; `is_kind` leaves the proxy's process alone.
    fn any(dice: &mut Dice, is_kind: bool) -> Self {
        let name = dice.one_of(&[NAMES[0], NAMES[1], NAMES[2], "web"]);
        let (method, part) = dice.one_of(&[
            ("POST", "/containers/create"),
            ("POST", "/start"),
            ("POST", "/stop"),
            ("POST", "/rename"),
            ("DELETE", "/containers/"),
            ("GET", "/containers/json"),
            ("GET", "/networks"),
            ("GET", "/events"),
        ]);
        let fault = dice.one_of(&[
            Fault::Delay(Duration::from_millis(400)),
            Fault::Hang,
            Fault::Answer(500, "{\"message\":\"a bad day\"}"),
            Fault::Answer(409, "{\"message\":\"a conflict\"}"),
            Fault::Answer(200, "[{\"Id\":"),
            Fault::Cut(60),
            Fault::Cut(400),
            Fault::Twice,
        ]);
        let calls = Self::Calls(method, part, fault);
        let breaks = dice.one_of(&[
            Self::Nothing,
            Self::Proxy,
            Self::Proxy,
            Self::Removed(name),
            Self::Stopped(name),
            Self::Renamed(name),
            Self::Updated(name),
            Self::Disconnected(name),
            calls,
            calls,
            calls,
            calls,
            Self::EventsCut,
            Self::EventsBurst,
            Self::Engine,
            Self::EngineKilled,
        ]);
        // A daemon takes seconds to come back: seldom, or the day is nothing else.
        let is_rare = matches!(breaks, Self::Engine | Self::EngineKilled) && dice.below(3) > 0;
        let ends_the_proxy = matches!(breaks, Self::Proxy | Self::Engine | Self::EngineKilled);
        match is_rare || is_kind && ends_the_proxy {
            true => calls,
            false => breaks,
        }
    }

    fn happen(self, shop: &Shop, chaos: &Chaos, engine: &OwnEngine) {
        let place = &shop.place;
        let by_hand = |words: &[&str]| drop(output("docker", words));
        let renamed = |name: &str| format!("{}-moved", place.container(name));
        match self {
            Self::Nothing => {}
            Self::Proxy => {
                if let Some(process) = inspect(&place.proxy(), "{{.State.Pid}}")
                    && process != "0"
                {
                    let _ = output("kill", &["-KILL", &process]);
                }
            }
            Self::Removed(name) => by_hand(&["rm", "-f", &place.container(name)]),
            Self::Stopped(name) => by_hand(&["stop", "-t", "0", &place.container(name)]),
            Self::Renamed(name) => by_hand(&["rename", &place.container(name), &renamed(name)]),
            Self::Updated(name) => by_hand(&[
                "update",
                "--memory=64m",
                "--memory-swap=128m",
                &place.container(name),
            ]),
            Self::Disconnected(name) => by_hand(&[
                "network",
                "disconnect",
                "-f",
                &place.network(),
                &place.container(name),
            ]),
            Self::Calls(method, part, fault) => chaos.on(method, part, fault),
            Self::EventsCut => chaos.cut_events(),
            Self::EventsBurst => {
                for number in 0..30 {
                    let volume = format!("{}-burst-{number}", place.name);
                    by_hand(&["volume", "create", &volume]);
                    by_hand(&["volume", "rm", &volume]);
                }
            }
            Self::Engine => engine.restart(),
            Self::EngineKilled => engine.kill_and_start(),
        }
    }
}

/// How much memory the proxy's process has, in bytes.
fn memory(place: &Place) -> Option<u64> {
    let process = inspect(&place.proxy(), "{{.State.Pid}}")?;
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Somebody's container that no one may touch.
struct Stranger {
    name: String,
    id: String,
}

impl Stranger {
    fn new(place: &Place) -> Self {
        let name = format!("{}-nobodys", place.name);
        let id = docker(&[
            "run",
            "-d",
            "--name",
            &name,
            "busybox:latest",
            "sleep",
            "9999",
        ]);
        Self { name, id }
    }

    fn is_untouched(&self) -> bool {
        inspect(&self.name, "{{.Id}}").is_some_and(|id| id == self.id.trim())
    }
}

/// What is true again once nothing breaks any more.
fn all_is_well(shop: &mut Shop, doing: Doing, was_answered: bool, stranger: &Stranger) {
    settles(&shop.place);
    shop.remembers(doing, was_answered);
    if doing == Doing::AdHoc {
        shop.owns_what_it_made(was_answered);
    }
    is_whole(&shop.place);
    let _ = shop.place.cosmos(&["plan", "--exit-code"]).succeeded();
    shop.remembers(doing, true);
    until("what is declared is served", || {
        let answer = shop.place.get("web", "/").ok()?;
        (answer.status == 200).then_some(())
    });
    assert!(stranger.is_untouched(), "{}", stranger.name);
}

/// Somebody who asks for the page all day.
#[derive(Default)]
struct Reader {
    is_over: AtomicBool,
    asked: AtomicU32,
    answered: AtomicU32,
}

impl Reader {
    fn read(&self, port: u16, host: &str) {
        while !self.is_over.load(Ordering::Relaxed) {
            let answer = get(port, host, "/");
            self.asked.fetch_add(1, Ordering::Relaxed);
            let is_good = answer.is_ok_and(|answer| answer.status == 200);
            self.answered
                .fetch_add(u32::from(is_good), Ordering::Relaxed);
            // At leisure: what is tried here is not how much passes.
            sleep(Duration::from_millis(20));
        }
    }
}

/// Ends the reader's day with its own, also when that ends badly.
struct Day<'a>(&'a Reader);

impl Drop for Day<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

#[test]
fn after_a_long_day_of_faults_the_plan_is_empty_and_the_memory_flat() {
    on_its_own(
        "faults::soak::after_a_long_day_of_faults_the_plan_is_empty_and_the_memory_flat",
        &[],
        a_long_day,
    );
}

fn a_long_day(engine: &OwnEngine) {
    let day = Duration::from_secs(setting("COSMOS_TEST_SOAK", SECONDS));
    let mut dice = Dice::new();
    let chaos = Chaos::new();
    let mut shop = Shop::up(Place::new("").through(chaos.socket()));
    let stranger = Stranger::new(&shop.place);
    let began = Instant::now();
    let (mut rounds, mut longest) = (0, Duration::ZERO);
    let mut sizes = Vec::new();
    let reader = Reader::default();
    let port = shop.place.port;
    let host = format!("web.{}.localhost:{port}", shop.place.name);
    thread::scope(|scope| {
        scope.spawn(|| reader.read(port, &host));
        let _day = Day(&reader);
        while began.elapsed() < day {
            rounds += 1;
            shop.round = rounds;
            let is_kind = began.elapsed() * 2 > day;
            let (doing, breaks) = (Doing::any(&mut dice), Breaks::any(&mut dice, is_kind));
            let moment = Duration::from_millis(dice.below(LONGEST));
            eprintln!("{rounds}: {doing:?}, and {breaks:?} after {moment:?}");
            let words = shop.words(doing, &mut dice);
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let order = shop.place.begin(&words);
            // It is the moment that is tried, and nothing tells of it.
            sleep(moment / 2);
            breaks.happen(&shop, &chaos, engine);
            sleep(moment / 2);
            chaos.calm();
            let over = Instant::now();
            let said = order.end();
            let was_answered = said.code == 0;
            if over.elapsed() > SLOW {
                eprintln!("the order took {:?} more: {said}", over.elapsed());
            }
            if was_answered {
                shop.believe(doing);
            }
            all_is_well(&mut shop, doing, was_answered, &stranger);
            longest = longest.max(over.elapsed());
            if is_kind {
                sizes.extend(memory(&shop.place));
            }
        }
    });
    let mib = |bytes: u64| bytes >> 20;
    let third = sizes.len().div_ceil(3);
    let most = |sizes: &[u64]| sizes.iter().copied().max().unwrap_or_default();
    let (early, late) = (most(&sizes[..third]), most(&sizes[sizes.len() - third..]));
    eprintln!(
        "{rounds} rounds in {:?}, well again after {longest:?} at most; {} of {} requests answered with 200; \
         memory {} MiB early, {} MiB late",
        began.elapsed(),
        reader.answered.into_inner(),
        reader.asked.into_inner(),
        mib(early),
        mib(late),
    );
    assert!(late <= early + MAY_GROW, "{early} → {late}: {sizes:?}");
}
