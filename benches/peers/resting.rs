//! What the proxy costs while nobody asks anything of it: with services that only run, with
//! many workspaces, and while others' containers come and go on the same engine.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use super::{
    place::{Place, docker, millis, timed},
    report::{Budget, Row},
};

/// As many as somebody has on a laptop who has many.
const SERVICES: u32 = 40;

/// From one project to more than anybody has open.
const WORKSPACES: [u32; 3] = [1, 10, 50];

/// How long nobody asks anything.
const RESTING_FOR: Duration = Duration::from_secs(30);

/// How many containers of others are made, run and removed.
const STRANGERS: u32 = 50;

pub(crate) fn run() {
    let place = Place::new();
    let idle = |number: u32| {
        format!(
            "[services.s{number}]\nimage = \"busybox:latest\"\ninit = true\n\
             command = [\"sleep\", \"10000\"]\n"
        )
    };
    place.write(&(1..=SERVICES).map(idle).collect::<String>());
    place.up();
    resting(&place);
    stormed(&place);
    timed(place.cosmos(&["down"]));
    shared(&place);
}

/// An idle proxy: how often it wakes up, and what it uses of a processor.
fn resting(place: &Place) {
    let proxy = Proxy::of(place);
    // What came of the `up` has to settle.
    thread::sleep(Duration::from_secs(5));
    let (mut wakes, mut used) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (before, began) = (proxy.now(), Instant::now());
        thread::sleep(RESTING_FOR);
        let (after, seconds) = (proxy.now(), began.elapsed().as_secs_f64());
        wakes.push((after.wakes - before.wakes) as f64 / seconds);
        used.push((after.used - before.used) * 100.0 / seconds);
    }
    let mut row = Row::new(
        "idle-wakes",
        format!("an idle proxy with {SERVICES} services"),
    );
    row.unit = "wake-ups a second";
    row.of("cosmos", wakes).within(Budget::AtMost(1.0)).report();
    let mut row = Row::new(
        "idle-cpu",
        format!("an idle proxy with {SERVICES} services"),
    );
    row.unit = "% of a processor";
    row.of("cosmos", used).within(Budget::AtMost(0.1)).report();
}

/// Containers of others, six events each: what the proxy does about them.
fn stormed(place: &Place) {
    let proxy = Proxy::of(place);
    let (mut ours, mut looks) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let before = proxy.used();
        let storm = thread::spawn(|| {
            for _ in 0..STRANGERS {
                docker(&["run", "--rm", "--network", "none", "busybox:latest", "true"]);
            }
        });
        while !storm.is_finished() {
            looks.push(timed(place.cosmos(&["status"])));
            thread::sleep(Duration::from_millis(200));
        }
        storm.join().unwrap();
        ours.push((proxy.used() - before) * 1000.0);
    }
    Row::new(
        "storm",
        format!("processor time for {STRANGERS} containers of others made, run and removed"),
    )
    .of("cosmos proxy", ours)
    .report();
    Row::new("storm-status", "`cosmos status` meanwhile")
        .of("cosmos", millis(&looks))
        .report();
}

/// Many workspaces on one proxy: `up` of one of them with nothing to do, and the proxy at rest.
fn shared(place: &Place) {
    let mut up = 0;
    for count in WORKSPACES {
        while up < count {
            up += 1;
            place.write(&workspace(up));
            place.up();
        }
        place.write(&workspace(1));
        let times: Vec<_> = (0..20).map(|_| timed(place.cosmos(&["up"]))).collect();
        Row::new(
            format!("noop-of-{count}"),
            format!("`up` with nothing to do, one workspace of {count}"),
        )
        .of("cosmos", millis(&times))
        .report();
        let proxy = Proxy::of(place);
        thread::sleep(Duration::from_secs(5));
        let (before, began) = (proxy.now(), Instant::now());
        thread::sleep(RESTING_FOR);
        let (after, seconds) = (proxy.now(), began.elapsed().as_secs_f64());
        let mut row = Row::new(
            format!("idle-cpu-of-{count}"),
            format!("an idle proxy with {count} workspaces"),
        );
        row.unit = "% of a processor";
        row.of("cosmos", [(after.used - before.used) * 100.0 / seconds])
            .report();
        let mut row = Row::new(
            format!("memory-of-{count}"),
            format!("its memory with {count} workspaces"),
        );
        row.unit = "MB";
        row.of("cosmos", [proxy.memory()]).report();
    }
    for number in 1..=up {
        place.write(&workspace(number));
        timed(place.cosmos(&["down"]));
    }
}

fn workspace(number: u32) -> String {
    format!(
        "[workspace]\nname = \"bench-{number}\"\n[services.web]\nimage = \"busybox:latest\"\ninit = true\n\
         command = [\"sleep\", \"10000\"]\nroute = 80\n"
    )
}

/// A process that is looked at from outside.
struct Proxy(String);

/// What it has done so far.
struct Done {
    /// How often one of its threads went to sleep, and so woke up again.
    wakes: u64,
    /// Seconds of a processor.
    used: f64,
}

impl Proxy {
    fn of(place: &Place) -> Self {
        let name = format!("{}-proxy", place.name);
        let id = docker(&["inspect", "--format", "{{.State.Pid}}", &name]);
        Self(id.trim().to_owned())
    }

    fn now(&self) -> Done {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.0)).unwrap();
        let wakes = tasks.flatten().map(|task| {
            let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.map_or(0, |count| count.trim().parse::<u64>().unwrap())
        });
        let wakes = wakes.sum();
        Done {
            wakes,
            used: self.used(),
        }
    }

    /// Seconds of a processor, of threads that are over, too: as the kernel counts for its
    /// control group.
    fn used(&self) -> f64 {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", self.0)).unwrap();
        let version_1 = groups.lines().find_map(|line| {
            let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
            let mut controllers = controllers.split(',');
            controllers.any(|one| one == "cpuacct").then_some(path)
        });
        if let Some(path) = version_1 {
            let nanos = fs::read_to_string(format!("/sys/fs/cgroup/cpuacct{path}/cpuacct.usage"));
            return nanos.unwrap().trim().parse::<f64>().unwrap() / 1e9;
        }
        let path = groups.lines().find_map(|line| line.strip_prefix("0::"));
        let told = fs::read_to_string(format!("/sys/fs/cgroup{}/cpu.stat", path.unwrap()));
        let told = told.unwrap();
        let line = told
            .lines()
            .find_map(|line| line.strip_prefix("usage_usec "));
        line.unwrap().parse::<f64>().unwrap() / 1e6
    }

    /// What of it is in memory, in megabytes.
    fn memory(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes: f64 = line
            .unwrap()
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .unwrap();
        kilobytes / 1024.0
    }
}
