//! `cosmos cp`: files in and out, of any size, and nowhere else.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink},
    path::Path,
};

use super::{
    idle,
    support::{Place, Said, docker, output, until},
};

/// A service with some files; each command of the shell is run before it sleeps.
fn with_files(name: &str, commands: &str, keys: &str) -> String {
    let script = format!("{commands}; touch /made; sleep 1000");
    idle(name, keys).replace(
        "[\"sleep\", \"1000\"]",
        &format!("[\"sh\", \"-c\", \"{script}\"]"),
    )
}

const SITE: &str = "mkdir -p /site/b /site/empty; echo one > /site/a; echo two > /site/b/c; chmod 750 /site/b; chmod 4640 /site/a; ln -s ../a /site/b/link; ln -s /etc/hostname /site/out; mkdir /home; mkfifo /pipe";

fn up(config: &str) -> Place {
    brought_up(Place::new(config))
}

fn brought_up(place: Place) -> Place {
    let _ = place.cosmos(&["up", "--trust"]).succeeded();
    until("its files are there", || {
        let container = place.container("web");
        let seen = output("docker", &["exec", &container, "ls", "/made"]);
        (seen.code == 0).then_some(())
    });
    place
}

fn inside(place: &Place, command: &str) -> String {
    docker(&["exec", &place.container("web"), "sh", "-c", command])
}

fn read(place: &Place, file: &str) -> String {
    fs::read_to_string(place.folder.join(file)).unwrap()
}

/// All that is in a folder of the project, without what was there before.
fn listed(place: &Place, folder: &str) -> Vec<String> {
    let found = output(
        "find",
        &[
            place.folder.join(folder).to_str().unwrap(),
            "-mindepth",
            "1",
            "-printf",
            "%P %m %l\n",
        ],
    );
    let mut lines: Vec<_> = found
        .succeeded()
        .stdout
        .lines()
        .map(|line| line.trim_end().to_owned())
        .filter(|line| !line.starts_with("cosmos.toml"))
        .collect();
    lines.sort();
    lines
}

#[test]
fn a_folder_comes_out_with_modes_and_links_as_they_are() {
    let place = up(&with_files("web", SITE, ""));
    let said = place.cosmos(&["cp", "web:/site", "."]).succeeded();
    assert_eq!(said.stdout, "");
    let _ = said.told(&["copied 4 files (8 B) to ."]);
    let site = [
        "a 640",
        "b 750",
        "b/c 644",
        "b/link 777 ../a",
        "empty 755",
        "out 777 /etc/hostname",
    ];
    assert_eq!(listed(&place, "site"), site);
    assert_eq!(read(&place, "site/b/c"), "two\n");
    // Into what is there: merged, under its own name. To what is not: as that.
    let _ = place.cosmos(&["cp", "web:/site/b", "site/b"]).succeeded();
    assert_eq!(read(&place, "site/b/b/c"), "two\n");
    let _ = place.cosmos(&["cp", "web:/site", "other"]).succeeded();
    assert_eq!(listed(&place, "other"), site);
    let _ = place.cosmos(&["cp", "web:/site/.", "other"]).succeeded();
    assert_eq!(listed(&place, "other"), site);
}

#[test]
fn a_file_comes_out_beside_or_in_the_place_of_another() {
    let place = up(&with_files("web", SITE, ""));
    let _ = place.cosmos(&["cp", "web:site/a", "."]).succeeded();
    assert_eq!(read(&place, "a"), "one\n");
    let _ = place.cosmos(&["cp", "web:/site/b/c", "./a"]).succeeded();
    assert_eq!(read(&place, "a"), "two\n");
    // A link is a link, unless a slash says that it is to be followed.
    let _ = place.cosmos(&["cp", "web:/site/b/link", "."]).succeeded();
    assert_eq!(
        fs::read_link(place.folder.join("link")).unwrap(),
        Path::new("../a")
    );

    for (arguments, told) in [
        (
            ["cp", "web:/nothing", "."],
            ["there is no `web:/nothing`", "ls /"],
        ),
        (["cp", "web:/site/a/", "."], ["is not a folder", "slash"]),
        (
            ["cp", "web:/site/a", "new/"],
            ["there is no folder `new/`", "slash"],
        ),
        (
            ["cp", "web:/site/a", "no/new"],
            ["there is no folder", "are not made"],
        ),
        (["cp", "web:/site", "a"], ["over the file `a`", "folder"]),
        (["cp", "web:/pipe", "."], ["is a device", "can be copied"]),
        (
            ["cp", "wed:/a", "."],
            ["is called `wed`", "did you mean `web`?"],
        ),
    ] {
        let _ = place.cosmos(&arguments).ended(1).told(&told);
    }
    for arguments in [
        ["cp", "a", "b"],
        ["cp", "web:/a", "web:/b"],
        ["cp", ":/a", "b"],
    ] {
        let _ = place.cosmos(&arguments).ended(2).told(&["hint"]);
    }
    assert_eq!(listed(&place, ".").len(), 2);
}

#[test]
fn what_is_here_goes_in_by_the_same_rules() {
    let place = up(&with_files("web", SITE, ""));
    place.write("dist/a", "new");
    place.write("dist/b/d", "deep");
    fs::set_permissions(
        place.folder.join("dist/a"),
        fs::Permissions::from_mode(0o751),
    )
    .unwrap();
    symlink("a", place.folder.join("dist/link")).unwrap();

    let said = place.cosmos(&["cp", "dist", "web:/srv"]).succeeded();
    let _ = said.told(&["copied 3 files (7 B) to web:/srv"]);
    assert_eq!(
        inside(&place, "cat /srv/a /srv/b/d; readlink /srv/link"),
        "newdeepa"
    );
    assert_eq!(inside(&place, "stat -c '%a %u %g' /srv/a"), "751 0 0");
    // Now it is there: under its own name; or what is in it, merged.
    let _ = place.cosmos(&["cp", "dist", "web:/srv"]).succeeded();
    assert_eq!(inside(&place, "cat /srv/dist/a"), "new");
    inside(&place, "chmod 711 /site");
    let _ = place.cosmos(&["cp", "dist/.", "web:/site"]).succeeded();
    assert_eq!(
        inside(&place, "cat /site/a /site/b/c /site/b/d; stat -c %a /site"),
        "newtwo\ndeep711"
    );
    // A file under another name, and through a link of the container.
    let _ = place.cosmos(&["cp", "dist/a", "web:/srv/x"]).succeeded();
    inside(&place, "ln -s /srv /to; ln -s /srv/x /file");
    let _ = place.cosmos(&["cp", "dist/b/d", "web:/to"]).succeeded();
    let _ = place.cosmos(&["cp", "dist/b/d", "web:/file"]).succeeded();
    assert_eq!(
        inside(&place, "cat /srv/x /srv/d; readlink /file"),
        "deepdeep/srv/x"
    );

    for (arguments, told) in [
        (
            ["cp", "nothing", "web:/"],
            ["there is no `nothing`", "web:/srv"],
        ),
        (
            ["cp", "dist/a", "web:/new/"],
            ["there is no folder", "slash"],
        ),
        (
            ["cp", "dist/a", "web:/no/new"],
            ["there is no folder", "are not made"],
        ),
        (["cp", "dist", "web:/site/a"], ["over the file", "folder"]),
    ] {
        let _ = place.cosmos(&arguments).ended(1).told(&told);
    }
}

#[test]
fn files_belong_to_whom_the_container_runs_as_and_a_read_only_one_says_why_not() {
    let keys = "user = \"1000:100\"\nread_only = true\nmounts = [\"data:/data\"]\n";
    let place = Place::up(&(idle("web", keys)));
    place.write("a", "text");
    let _ = place.cosmos(&["cp", "a", "web:/data"]).succeeded();
    assert_eq!(inside(&place, "stat -c '%u %g' /data/a"), "1000 100");
    let _ = place
        .cosmos(&["cp", "a", "web:/etc"])
        .ended(1)
        .told(&["read-only", "cosmos exec -T web"]);
}

#[test]
fn a_tar_goes_through_the_pipes() {
    let place = up(&with_files("web", SITE, ""));
    let tar = place.elsewhere().join("site.tar");
    let script = |line: &str| -> Said {
        let line = line
            .replace("cosmos", env!("CARGO_BIN_EXE_cosmos"))
            .replace("TAR", tar.to_str().unwrap());
        place.begin_as(Path::new("sh"), &["-c", &line]).end()
    };
    let _ = script("cosmos cp web:/site - > TAR").succeeded();
    let said = script("tar -tf TAR").succeeded();
    assert!(said.stdout.contains("site/b/c\n"), "{said}");
    let _ = script("cosmos cp - web:/home < TAR").succeeded();
    let _ = script("cosmos cp web:/site - | cosmos cp - web:/srv")
        .ended(1)
        .told(&["there is no folder", "mkdir"]);
    let _ = script("cosmos cp - web:/site/a < TAR")
        .ended(1)
        .told(&["not a folder"]);
    assert_eq!(inside(&place, "cat /home/site/b/c"), "two");
    let _ = script("cosmos cp web:/ - | head -c 1000 > TAR").succeeded();
}

#[test]
fn the_root_comes_out_as_what_is_in_it() {
    let place = up(&with_files("web", SITE, ""));
    let _ = place.cosmos(&["cp", "web:/", "root"]).succeeded();
    assert_eq!(read(&place, "root/site/b/c"), "two\n");
    assert!(place.folder.join("root/bin/busybox").exists());
}

#[test]
fn a_replica_is_chosen_by_its_number() {
    let place = Place::up(&idle("web", "replicas = 2"));
    place.write("a", "text");
    let second = format!("{}-web-2", place.name);
    let has =
        |container: &str, file: &str| output("docker", &["exec", container, "ls", file]).code == 0;
    let _ = place.cosmos(&["cp", "a", "web.2:/one"]).succeeded();
    let _ = place
        .cosmos(&["cp", "--replica", "2", "a", "web:/two"])
        .succeeded();
    let _ = place
        .cosmos(&["cp", "a", &format!("{second}:/three")])
        .succeeded();
    for file in ["/one", "/two", "/three"] {
        assert!(has(&second, file), "{file}");
        assert!(!has(&place.container("web"), file), "{file}");
    }
    let said = place
        .cosmos(&["exec", "-T", "web.2", "ls", "/one"])
        .succeeded();
    assert_eq!(said.stdout, "/one\n");
    let _ = place
        .cosmos(&["exec", "-T", "--replica", "2", "web", "ls", "/one"])
        .succeeded();
    let _ = place
        .cosmos(&["cp", "a", "web.3:/"])
        .ended(1)
        .told(&["has no replica 3", "web.1, web.2"]);
    // A stopped one will do, but not for a command.
    let _ = place.cosmos(&["stop", "web"]).succeeded();
    let _ = place.cosmos(&["cp", "web.2:/one", "."]).succeeded();
    assert_eq!(read(&place, "one"), "text");
    let _ = place
        .cosmos(&["exec", "-T", "web.2", "ls"])
        .ended(1)
        .told(&["`web.2` is not running"]);
}

#[test]
fn nothing_is_written_through_a_link_that_is_here() {
    let place = up(&with_files("web", SITE, ""));
    let precious = place.elsewhere().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::create_dir_all(place.folder.join("site")).unwrap();
    symlink(&precious, place.folder.join("site/b")).unwrap();
    let _ = place
        .cosmos(&["cp", "web:/site", "."])
        .ended(1)
        .told(&["is a link, and nothing is written through it"]);
    assert_eq!(fs::read_dir(&precious).unwrap().count(), 0);
    assert_eq!(listed(&place, "site").len(), 1);
}

/// Runs a program; the most memory that it had at once, in KiB, is its last word.
const MEASURED: &str = "import resource, subprocess, sys\ncode = subprocess.call(sys.argv[1:])\nprint(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\nsys.exit(code)";

#[test]
fn two_hundred_megabytes_go_both_ways_in_little_memory() {
    let big = "dd if=/dev/urandom of=/big bs=1000000 count=200 2>/dev/null";
    let place = up(&with_files("web", big, ""));
    let copied = |arguments: &[&str]| {
        let program = ["-c", MEASURED, env!("CARGO_BIN_EXE_cosmos"), "cp"];
        let said = place
            .begin_as(Path::new("python3"), &[&program, arguments].concat())
            .end()
            .succeeded();
        let most: u64 = said.stdout.trim().parse().unwrap();
        assert!(most < 64 << 10, "{most} KiB\n{said}");
    };
    copied(&["web:/big", "."]);
    copied(&["big", "web:/again"]);
    let sums = inside(&place, "sha256sum < /big; sha256sum < /again");
    let here = output("sha256sum", &[place.folder.join("big").to_str().unwrap()]);
    let here = here.stdout.split(' ').next().unwrap().to_owned();
    assert_eq!(sums, format!("{here}  -\n{here}  -"));
    assert_eq!(
        fs::metadata(place.folder.join("big")).unwrap().size(),
        200_000_000
    );
}

#[test]
fn interrupted_it_leaves_nothing_half_done() {
    // Far more than is sent until somebody stops it.
    let big = "dd if=/dev/null of=/big bs=1M seek=4096";
    let place = Place::new(&with_files("web", big, "mounts = [\"./data:/data\"]"));
    fs::create_dir(place.folder.join("data")).unwrap();
    let place = brought_up(place);
    let mut running = place.begin(&["cp", "web:/big", "."]);
    until("it arrives", || {
        let mut there = fs::read_dir(&place.folder).unwrap();
        let is_stage = there.any(|entry| {
            let name = entry.unwrap().file_name();
            name.to_string_lossy().starts_with(".cosmos-cp-")
        });
        is_stage.then_some(())
    });
    running.interrupt();
    let _ = running.end().ended(130).told(&["nothing was copied"]);
    let left = fs::read_dir(&place.folder).unwrap().count();
    assert_eq!(left, 2, "only what was there: {:?}", listed(&place, "."));

    let file = fs::File::create(place.folder.join("big")).unwrap();
    file.set_len(4 << 30).unwrap();
    let mut running = place.begin(&["cp", "big", "web:/data/half"]);
    // Looked at from outside: the engine answers nothing about it meanwhile.
    let half = place.folder.join("data/half");
    until("it is sent", || half.exists().then_some(()));
    running.interrupt();
    let _ = running.end().ended(130).told(&["is removed"]);
    assert!(!half.exists());
}
