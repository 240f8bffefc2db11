//! `cosmos watch`: what is saved is done, once, and nothing else.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
    path::PathBuf,
    sync::mpsc::{Receiver, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use super::{
    idle,
    support::{Place, Running, docker, inspect, until},
};

/// As long as anything may take: other tests use the engine, too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A `cosmos watch` that runs, and what it says.
struct Watching {
    running: Running,
    lines: Receiver<String>,
    said: Vec<String>,
}

impl Watching {
    /// Starts it, and waits until it is up and watching.
    #[track_caller]
    fn start(place: &Place, arguments: &[&str]) -> Self {
        let mut watching = Self::begin(place, arguments);
        watching.expect("watching ");
        watching.expect_any(&["Ready in ", "up to date ("]);
        watching
    }

    fn begin(place: &Place, arguments: &[&str]) -> Self {
        let mut running = place.begin(&[&["watch"], arguments].concat());
        let (sender, lines) = channel();
        let child = running.child();
        read(child.stdout.take().unwrap(), sender.clone());
        read(child.stderr.take().unwrap(), sender);
        Self {
            running,
            lines,
            said: Vec::new(),
        }
    }

    /// Waits for a line with this in it, and gives that line.
    #[track_caller]
    fn expect(&mut self, text: &str) -> String {
        self.expect_any(&[text])
    }

    #[track_caller]
    fn expect_any(&mut self, texts: &[&str]) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no {texts:?} in\n{}", self.said.join("\n"));
            };
            self.said.push(line.clone());
            if texts.iter().any(|text| line.contains(text)) {
                return line;
            }
        }
    }

    /// Waits for a line with each of these, in whatever order they come.
    #[track_caller]
    fn expect_each(&mut self, texts: &[&str]) {
        let mut missing = texts.to_vec();
        while !missing.is_empty() {
            let line = self.expect_any(&missing);
            missing.retain(|text| !line.contains(text));
        }
    }

    /// Ctrl-C; all that it said.
    fn interrupt(mut self) -> (i32, Vec<String>) {
        self.running.interrupt();
        while let Ok(line) = self.lines.recv_timeout(PATIENCE) {
            self.said.push(line);
        }
        (self.running.end().code, self.said)
    }
}

fn read(source: impl Read + Send + 'static, lines: Sender<String>) {
    thread::spawn(move || {
        for line in BufReader::new(source).lines().map_while(Result::ok) {
            let _ = lines.send(line);
        }
    });
}

/// Saves as most editors do: written beside it, and moved over it.
fn save(place: &Place, file: &str, text: &str) {
    let beside = format!("{file}.tmp~");
    place.write(&beside, text);
    fs::rename(place.folder.join(&beside), place.folder.join(file)).unwrap();
}

fn environment(place: &Place, service: &str) -> String {
    inspect(&place.container(service), "{{.Config.Env}}").unwrap_or_default()
}

/// When a service's container was started last.
fn started(place: &Place, service: &str) -> String {
    inspect(&place.container(service), "{{.State.StartedAt}}").unwrap()
}

/// What a file in a container has; none if it is not there.
fn content(container: &str, path: &str) -> Option<String> {
    let said = super::support::output("docker", &["exec", container, "cat", path]);
    (said.code == 0).then(|| said.stdout.trim().to_owned())
}

#[test]
fn a_save_changes_the_service_that_it_is_about_and_no_other() {
    let with =
        |value: &str| idle("one", &format!("env = {{ A = \"{value}\" }}")) + &idle("two", "");
    let place = Place::new(&with("1"));
    let mut watching = Watching::start(&place, &[]);
    let (one, two) = (place.id("one"), started(&place, "two"));
    place.write("cosmos.toml", &with("2"));
    watching.expect("cosmos.toml changed");
    watching.expect("Ready in ");
    assert_ne!(place.id("one"), one);
    assert_eq!(started(&place, "two"), two);
    assert!(environment(&place, "one").contains("A=2"));
    let _ = place.cosmos(&["up"]).was_up_to_date();
}

#[test]
fn a_config_that_is_saved_by_replacing_it_is_seen_each_time() {
    let with = |value: u32| idle("one", &format!("env = {{ A = \"{value}\" }}"));
    let place = Place::new(&with(0));
    let mut watching = Watching::start(&place, &[]);
    for value in 1..=3 {
        save(&place, "cosmos.toml", &with(value));
        watching.expect("Ready in ");
        assert!(environment(&place, "one").contains(&format!("A={value}")));
    }
}

#[test]
fn what_a_config_is_read_from_is_watched_too() {
    let place = Place::new(&idle(
        "one",
        "env = { A = \"${A}\" }\nenv_file = [\"b.env\"]\nconfigs = { \"./c.conf\" = \"/c.conf\" }\nsecrets = [\"d\"]",
    ));
    let config = fs::read_to_string(place.folder.join("cosmos.toml")).unwrap();
    place.write("cosmos.toml", &(config + "[secrets.d]\nfile = \"d.txt\"\n"));
    for (file, text) in [
        (".env", "A=1"),
        ("b.env", "B=1"),
        ("c.conf", "1"),
        ("d.txt", "1"),
    ] {
        place.write(file, text);
    }
    let mut watching = Watching::start(&place, &[]);
    for (file, text) in [
        (".env", "A=2"),
        ("b.env", "B=2"),
        ("c.conf", "2"),
        ("d.txt", "2"),
    ] {
        save(&place, file, text);
        watching.expect(&format!("{file} changed"));
        watching.expect("Ready in ");
    }
    let environment = environment(&place, "one");
    assert!(
        environment.contains("A=2") && environment.contains("B=2"),
        "{environment}"
    );
    let container = place.container("one");
    assert_eq!(content(&container, "/c.conf").as_deref(), Some("2"));
    assert_eq!(content(&container, "/run/secrets/d").as_deref(), Some("2"));
    // One that is not there yet.
    place.write("cosmos.local.toml", "services.one.env.A = \"3\"\n");
    watching.expect("cosmos.local.toml changed");
    watching.expect("Ready in ");
}

#[test]
fn half_of_a_save_is_not_taken_for_all_of_it() {
    let place = Place::new(&(idle("one", "") + &idle("two", "")));
    let mut watching = Watching::start(&place, &[]);
    let two = started(&place, "two");
    // The first half alone is a valid config, without `two`.
    let mut file = fs::File::create(place.folder.join("cosmos.toml")).unwrap();
    file.write_all(idle("one", "env = { A = \"2\" }").as_bytes())
        .unwrap();
    file.sync_all().unwrap();
    place.write("unwatched", "");
    let one = place.id("one");
    let half_a_second = Instant::now() + Duration::from_millis(500);
    until("the pause in the middle", || {
        (Instant::now() > half_a_second).then_some(())
    });
    assert_eq!(place.id("one"), one);
    file.write_all(idle("two", "").as_bytes()).unwrap();
    drop(file);
    watching.expect("Ready in ");
    assert_ne!(place.id("one"), one);
    assert_eq!(started(&place, "two"), two);
}

#[test]
fn an_invalid_save_is_explained_and_changes_nothing_until_a_valid_one() {
    let place = Place::new(&idle("one", ""));
    let mut watching = Watching::start(&place, &[]);
    let one = started(&place, "one");
    place.write(
        "cosmos.toml",
        "[services.one]\nimage = \"busybox:latest\"\ncomand = \"x\"\n",
    );
    watching.expect("error: ");
    watching.expect("cosmos.toml:3:1");
    watching.expect("command");
    watching.expect("nothing was changed");
    assert_eq!(started(&place, "one"), one);
    // Emptied by whoever is about to write it.
    place.write("cosmos.toml", "");
    watching.expect("`cosmos.toml` is empty");
    watching.expect("nothing was changed");
    fs::remove_file(place.folder.join("cosmos.toml")).unwrap();
    watching.expect("nothing was changed");
    assert_eq!(started(&place, "one"), one);
    place.write("cosmos.toml", &idle("one", "env = { A = \"2\" }"));
    watching.expect("Ready in ");
    assert!(environment(&place, "one").contains("A=2"));
}

#[test]
fn of_several_saves_during_an_apply_the_newest_valid_one_wins() {
    // Never ready by itself: the apply of it takes as long as its retries.
    let with = |value: &str, health: &str| {
        idle("one", &format!("env = {{ A = \"{value}\" }}\n{health}"))
            + &idle("two", "depends_on = { one = \"ready\" }")
    };
    let slow = "health = { command = [\"sh\", \"-c\", \"test -e /ready\"], interval = \"100ms\", retries = 600 }";
    let place = Place::new(&with("0", ""));
    let mut watching = Watching::start(&place, &[]);
    place.write("cosmos.toml", &with("1", slow));
    until("the apply has begun", || {
        environment(&place, "one").contains("A=1").then_some(())
    });
    place.write("cosmos.toml", &with("2", ""));
    place.write(".env", "X=1");
    save(&place, "cosmos.toml", &with("3", ""));
    // Each of them is read: what is not valid comes last and does not win.
    let pause = Instant::now() + Duration::from_secs(1);
    until("it is read", || (Instant::now() > pause).then_some(()));
    place.write("cosmos.toml", "nonsense");
    let pause = Instant::now() + Duration::from_secs(1);
    until("it is read", || (Instant::now() > pause).then_some(()));
    docker(&["exec", &place.container("one"), "touch", "/ready"]);
    watching.expect("Ready in ");
    watching.expect("Ready in ");
    assert!(environment(&place, "one").contains("A=3"));
    let (_, said) = watching.interrupt();
    assert!(!said.iter().any(|line| line.contains("A=2")));
    assert!(
        said.iter().any(|line| line.contains("cosmos.toml:1:")),
        "{said:#?}"
    );
}

#[test]
fn a_restart_names_the_file_that_caused_it() {
    let rule = "watch = [{ path = \"./src\", action = \"restart\" }]";
    let place = Place::new(&(idle("one", rule) + &idle("two", "")));
    place.write("src/deep/main.rs", "1");
    let mut watching = Watching::start(&place, &[]);
    let (id, before) = (place.id("one"), started(&place, "one"));
    let two = started(&place, "two");
    save(&place, "src/deep/main.rs", "2");
    watching.expect("src/deep/main.rs changed: one restarted (");
    assert_eq!(place.id("one"), id);
    assert_ne!(started(&place, "one"), before);
    assert_eq!(started(&place, "two"), two);
    let history = place.cosmos(&["history"]).succeeded().stdout;
    assert!(history.contains("watch: src/deep/main.rs"), "{history}");
    let why = place.cosmos(&["why", "one"]).succeeded().stdout;
    assert!(why.contains("watch: src/deep/main.rs"), "{why}");
}

#[test]
fn a_touch_restarts_nothing() {
    let rule = "watch = [{ path = \"./src\", action = \"restart\" }]";
    let place = Place::new(&idle("one", rule));
    place.write("src/a", "1");
    place.write("src/b", "1");
    let mut watching = Watching::start(&place, &[]);
    place.write("src/a", "1");
    place.write("src/.git/index", "2");
    place.write("src/.a.swp", "2");
    save(&place, "src/b", "2");
    watching.expect("src/b changed: one restarted");
}

#[test]
fn a_branch_switch_of_five_thousand_files_is_one_restart() {
    let rule = "watch = [{ path = \"./src\", action = \"restart\" }]";
    let place = Place::new(&idle("one", rule));
    place.write("src/a", "1");
    let mut watching = Watching::start(&place, &[]);
    // As git has it for as long as it switches.
    place.write(".git/index.lock", "");
    for number in 0..5_000 {
        place.write(&format!("src/{}/{number:04}", number % 40), "x");
    }
    fs::remove_file(place.folder.join(".git/index.lock")).unwrap();
    watching.expect("src/0/0000 and 4,999 more changed: one restarted");
    place.write("src/a", "2");
    let next = watching.expect("one restarted");
    assert!(next.starts_with("src/a changed"), "{next}");
}

#[test]
fn a_held_service_is_not_woken() {
    let place = Place::new(&format!(
        "[images.own]\nbuild = {{ context = \"./own\" }}\n{}{}{}",
        idle(
            "restarted",
            "watch = [{ path = \"./r\", action = \"restart\" }]"
        ),
        idle(
            "synced",
            "watch = [{ path = \"./s\", action = \"sync\", target = \"/s\" }]"
        ),
        "[services.rebuilt]\nimage = \"own\"\ncommand = [\"sleep\", \"1000\"]\nwatch = [{ path = \"./own\", action = \"rebuild\" }]\n",
    ));
    place.write("own/Dockerfile", "FROM busybox:latest\nCOPY a /a\n");
    for file in ["r/a", "s/a", "own/a"] {
        place.write(file, "1");
    }
    let mut watching = Watching::begin(&place, &[]);
    watching.expect_each(&["Ready in ", "1 file synced to synced"]);
    let services = ["restarted", "synced", "rebuilt"];
    let _ = place
        .cosmos(&[&["stop"], &services[..]].concat())
        .succeeded();
    save(&place, "r/a", "2");
    watching.expect(
        "r/a changed: service `restarted` is held stopped by `cosmos stop restarted`, and stays so",
    );
    save(&place, "s/a", "2");
    watching.expect("s/a changed: `synced` does not run");
    save(&place, "own/a", "2");
    watching.expect_any(&["own/a changed: nothing to do", "up to date (", "Ready in "]);
    for service in services {
        assert_eq!(place.running(service), None, "{service}");
        assert_eq!(place.service(service)["state"], "held");
    }
    // Started again, it has what was saved meanwhile.
    let _ = place.cosmos(&["start", "synced"]).succeeded();
    watching.expect("1 file synced to synced");
    assert_eq!(
        content(&place.container("synced"), "/s/a").as_deref(),
        Some("2")
    );
}

#[test]
fn what_is_synced_is_in_every_replica_and_goes_where_it_is_deleted() {
    let with = |value: &str| {
        idle(
            "one",
            &format!(
                "replicas = 2\nenv = {{ A = \"{value}\" }}\nwatch = [{{ path = \"./src\", action = \"sync\", target = \"/app/src\" }}]"
            ),
        )
    };
    let place = Place::new(&with("1"));
    place.write("src/old", "1");
    place.write("src/deep/a", "1");
    let replicas = [1, 2].map(|number| format!("{}-one-{number}", place.name));
    let has = |file: &str, text: Option<&str>| {
        for replica in &replicas {
            until(&format!("{file} in {replica}"), || {
                let found = content(replica, &format!("/app/src/{file}"));
                (found.as_deref() == text).then_some(())
            });
        }
    };
    let mut watching = Watching::begin(&place, &[]);
    watching.expect_each(&["Ready in ", "2 files synced to one"]);
    has("deep/a", Some("1"));
    let before = started(&place, "one");

    save(&place, "src/deep/a", "2");
    watching.expect("src/deep/a changed: 1 file synced to one");
    has("deep/a", Some("2"));
    place.write("src/new/er/b", "1");
    watching.expect("src/new/er/b changed: 1 file synced to one");
    has("new/er/b", Some("1"));
    fs::remove_file(place.folder.join("src/old")).unwrap();
    watching.expect("src/old changed: 0 files synced to one, 1 file removed");
    has("old", None);
    assert_eq!(started(&place, "one"), before);

    // A new container begins without it, and gets all of it.
    save(&place, "cosmos.toml", &with("2"));
    // All of it: a container that somebody removes in the middle of an `up` fails that.
    watching.expect_each(&["Ready in ", "2 files synced to one"]);
    has("deep/a", Some("2"));
    // Whoever made it anew.
    docker(&["rm", "-f", &replicas[0]]);
    watching.expect("2 files synced to one");
    has("new/er/b", Some("1"));
}

#[test]
fn a_service_that_is_not_ready_without_its_files_gets_them_while_it_is_waited_for() {
    let with = |file: &str| {
        idle(
            "one",
            &format!(
                "health = {{ command = [\"test\", \"-e\", \"/src/{file}\"], interval = \"100ms\", retries = 600 }}\n\
                 watch = [{{ path = \"./src\", action = \"sync\", target = \"/src\" }}]"
            ),
        )
    };
    let place = Place::new(&with("a"));
    place.write("src/a", "1");
    let mut watching = Watching::start(&place, &[]);
    place.write("cosmos.toml", &with("b"));
    until("the new one", || {
        (place.containers(&["service=one"]).len() == 2).then_some(())
    });
    place.write("src/b", "1");
    watching.expect("Ready in ");
}

#[test]
fn where_an_image_has_no_rm_it_is_said_what_stays() {
    let place = Place::new(&format!(
        "[images.bare]\nbuild = {{ context = \"./bare\" }}\n{}",
        "[services.one]\nimage = \"bare\"\ncommand = [\"/sleep\", \"1000\"]\nwatch = [{ path = \"./src\", action = \"sync\", target = \"/src\" }]\n"
    ));
    place.write("bare/Dockerfile", "FROM busybox:latest AS whole\nRUN cp /bin/busybox /sleep\nFROM scratch\nCOPY --from=whole /sleep /sleep\n");
    place.write("src/a", "1");
    place.write("src/b", "1");
    let mut watching = Watching::begin(&place, &[]);
    watching.expect_each(&["Ready in ", "2 files synced to one"]);
    fs::remove_file(place.folder.join("src/a")).unwrap();
    place.write("src/b", "2");
    watching.expect("the image of service `one` has no `rm`");
    let found = super::support::output(
        "docker",
        &["cp", &format!("{}:/src/b", place.container("one")), "-"],
    );
    assert_eq!(found.code, 0, "{found}");
}

#[test]
fn a_rebuild_replaces_what_runs_by_what_was_built_of_the_new_files() {
    let place = Place::new(&format!(
        "[images.own]\nbuild = {{ context = \"./own\" }}\n{}{}",
        "[services.one]\nimage = \"own\"\ncommand = [\"sleep\", \"1000\"]\nwatch = [{ path = \"./own\", action = \"rebuild\" }]\n",
        idle("two", "")
    ));
    place.write("own/Dockerfile", "FROM busybox:latest\nCOPY a /a\n");
    place.write("own/.dockerignore", "notes\n");
    place.write("own/a", "1");
    let mut watching = Watching::start(&place, &[]);
    let two = started(&place, "two");
    place.write("own/notes", "not of the image");
    save(&place, "own/a", "2");
    watching.expect("own/a changed");
    watching.expect("Ready in ");
    assert_eq!(content(&place.container("one"), "/a").as_deref(), Some("2"));
    assert_eq!(started(&place, "two"), two);
}

#[test]
fn a_service_that_writes_what_it_is_restarted_for_is_found_and_damped() {
    let place = Place::new(
        "[services.one]\nimage = \"busybox:latest\"\ninit = true\n\
         command = [\"sh\", \"-c\", \"cat /proc/sys/kernel/random/uuid > /src/build.log; exec sleep 1000\"]\n\
         mounts = [\"./src:/src\"]\n\
         watch = [{ path = \"./src\", action = \"restart\" }]\n",
    );
    place.write("src/a", "1");
    let mut watching = Watching::start(&place, &[]);
    place.write("src/a", "2");
    let said = watching.expect("changed again right after");
    assert!(said.contains("`src/build.log`"), "{said}");
    assert!(
        said.contains("`one` itself can write it, as /src/build.log"),
        "{said}"
    );
    assert!(said.contains("until then it waits 5.0 s"), "{said}");
    // It is put off, and not for ever.
    let damped = Instant::now();
    watching.expect("until then it waits 10.0 s");
    assert!(damped.elapsed() > Duration::from_secs(5));
}

#[test]
fn what_changes_is_found_by_looking_where_that_is_asked_for() {
    let with = |value: &str| {
        idle(
            "one",
            &format!(
                "env = {{ A = \"{value}\" }}\nwatch = [{{ path = \"./src\", action = \"restart\" }}]"
            ),
        )
    };
    let place = Place::new(&with("1"));
    place.write("src/a", "1");
    let mut watching = Watching::start(&place, &["--poll=100ms"]);
    save(&place, "src/a", "2");
    watching.expect("src/a changed: one restarted");
    save(&place, "cosmos.toml", &with("2"));
    watching.expect("Ready in ");
    assert!(environment(&place, "one").contains("A=2"));
    for wrong in ["--poll=x", "--poll=0s", "--poll=2h"] {
        let _ = place
            .cosmos(&["watch", wrong])
            .ended(2)
            .told(&["is no interval"]);
    }
    let _ = place.cosmos(&["up", "--poll"]).ended(2).told(&["--watch"]);
}

#[test]
fn where_the_kernel_does_not_hint_it_is_said_once_and_looked_for() {
    let rule = "watch = [{ path = \"./src\", action = \"restart\" }]";
    let place = Place::new(&idle("one", rule));
    place.write("src/a", "1");
    // The proxy first: from in there, the groups of the host look like others.
    let _ = place.cosmos(&["up"]).succeeded();
    let wrapper = without_inotify(&place);
    let mut running = place.begin_as(&wrapper, &["watch"]);
    let (sender, lines) = channel();
    let child = running.child();
    read(child.stdout.take().unwrap(), sender.clone());
    read(child.stderr.take().unwrap(), sender);
    let mut watching = Watching {
        running,
        lines,
        said: Vec::new(),
    };
    watching.expect("changes are looked for every 500 ms: ");
    watching.expect("up to date (");
    for text in ["2", "3"] {
        save(&place, "src/a", text);
        watching.expect("src/a changed: one restarted");
    }
    let (_, said) = watching.interrupt();
    let times = said.iter().filter(|line| line.contains("looked for every"));
    assert_eq!(times.count(), 1, "{said:#?}");
}

/// A program that runs `cosmos` where the kernel gives nobody an inotify.
fn without_inotify(place: &Place) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let wrapper = place.elsewhere().join("without-inotify");
    let text = format!(
        "#!/bin/sh\nexec unshare --user --map-root-user sh -c 'echo 0 > /proc/sys/user/max_inotify_instances && exec {} \"$@\"' sh \"$@\"\n",
        env!("CARGO_BIN_EXE_cosmos")
    );
    fs::write(&wrapper, text).unwrap();
    fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755)).unwrap();
    wrapper
}

#[test]
fn an_interrupt_ends_the_watch_and_what_runs_stays_up() {
    let place = Place::new(&idle("one", ""));
    let watching = Watching::start(&place, &[]);
    let (code, said) = watching.interrupt();
    assert_eq!(code, 130);
    let last = said.last().unwrap();
    assert!(
        last.contains("not watching any more") && last.contains("stays up"),
        "{last}"
    );
    assert!(place.running("one").is_some());
}

#[test]
fn up_can_stay_and_watch() {
    let place = Place::new(&idle("one", "env = { A = \"1\" }"));
    let mut running = place.begin(&["up", "--watch"]);
    let (sender, lines) = channel();
    read(running.child().stdout.take().unwrap(), sender);
    let mut watching = Watching {
        running,
        lines,
        said: Vec::new(),
    };
    watching.expect("Ready in ");
    place.write("cosmos.toml", &idle("one", "env = { A = \"2\" }"));
    watching.expect("Ready in ");
    assert!(environment(&place, "one").contains("A=2"));
}
