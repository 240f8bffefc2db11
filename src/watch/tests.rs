//! The watcher on real folders: what is saved is told, and when nothing was, nothing.

use std::{
    fs,
    io::Write as _,
    sync::mpsc::{Receiver, channel},
};

use super::*;

/// As long as anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder that is watched.
struct Bench {
    folder: tempfile::TempDir,
    told: Receiver<Told>,
    watcher: Watcher,
}

impl Bench {
    /// With these files, watched as this says.
    fn new(mode: Mode, files: &[(&str, &str)], watched: impl Fn(&Path) -> Watched) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (sender, told) = channel();
        let watcher = Watcher::start(mode, move |what| {
            let _ = sender.send(what);
        })
        .unwrap();
        let bench = Self {
            folder,
            told,
            watcher,
        };
        for (file, text) in files {
            bench.write(file, text);
        }
        // What was written before is no news.
        let since = SystemTime::now() + PATIENCE;
        bench.watcher.watch(watched(bench.folder.path()), since);
        bench
    }

    /// With all of it watched, as a tree.
    fn tree(mode: Mode, files: &[(&str, &str)]) -> Self {
        Self::new(mode, files, |folder| Watched {
            trees: vec![Tree {
                path: folder.join("src"),
                passed: Passed::nothing(),
            }],
            locks: vec![folder.join("lock")],
            ..Watched::default()
        })
    }

    /// With one file watched.
    fn file(mode: Mode, file: &'static str, text: Option<&str>) -> Self {
        let files: Vec<_> = text.map(|text| (file, text)).into_iter().collect();
        Self::new(mode, &files, |folder| Watched {
            files: [folder.join(file)].into(),
            ..Watched::default()
        })
    }

    fn at(&self, file: &str) -> PathBuf {
        self.folder.path().join(file)
    }

    fn write(&self, file: &str, text: &str) {
        let file = self.at(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }

    /// As most editors save: written beside it, and moved over it.
    fn save(&self, file: &str, text: &str) {
        let beside = format!("{file}.tmp~");
        self.write(&beside, text);
        fs::rename(self.at(&beside), self.at(file)).unwrap();
    }

    /// The next that is told, by paths as they were given here.
    #[track_caller]
    fn next(&self) -> Vec<(String, Change)> {
        match self.told.recv_timeout(PATIENCE) {
            Ok(Told::Changes(changes)) => changes
                .0
                .into_iter()
                .map(|(path, change)| {
                    let path = path.strip_prefix(self.folder.path()).unwrap();
                    (path.to_string_lossy().into_owned(), change)
                })
                .collect(),
            other => panic!("{other:?}"),
        }
    }

    /// The next that is told is this.
    #[track_caller]
    fn tells(&self, changes: &[(&str, Change)]) {
        let changes: Vec<_> = changes
            .iter()
            .map(|(file, change)| ((*file).to_owned(), *change))
            .collect();
        assert_eq!(self.next(), changes);
    }
}

/// Both ways to find changes.
const BOTH: [Mode; 2] = [Mode::Hints, Mode::Poll(Duration::from_millis(20))];

#[test]
fn a_file_that_is_saved_twice_by_replacing_it_is_seen_twice() {
    for mode in BOTH {
        let bench = Bench::file(mode, "cosmos.toml", Some("1"));
        for text in ["2", "3", "4"] {
            bench.save("cosmos.toml", text);
            bench.tells(&[("cosmos.toml", Change::Changed)]);
        }
    }
}

#[test]
fn a_file_that_is_not_there_yet_is_seen_when_it_comes() {
    for mode in BOTH {
        let bench = Bench::file(mode, "conf/deep/.env", None);
        bench.write("conf/deep/.env", "A=1");
        bench.tells(&[("conf/deep/.env", Change::Added)]);
        bench.write("conf/deep/.env", "A=2");
        bench.tells(&[("conf/deep/.env", Change::Changed)]);
    }
}

#[test]
fn a_file_whose_folder_goes_and_comes_back_is_seen() {
    for mode in BOTH {
        let bench = Bench::file(mode, "conf/a", Some("1"));
        fs::remove_dir_all(bench.at("conf")).unwrap();
        bench.tells(&[("conf/a", Change::Removed)]);
        bench.write("conf/a", "1");
        bench.tells(&[("conf/a", Change::Added)]);
        bench.save("conf/a", "2");
        bench.tells(&[("conf/a", Change::Changed)]);
    }
}

#[test]
fn a_touch_and_a_save_of_the_same_text_tell_nothing() {
    for mode in BOTH {
        let bench = Bench::file(mode, "a", Some("1"));
        bench.write("a", "1");
        bench.save("a", "1");
        bench.write("b", "somebody else's");
        let touched = fs::File::options().write(true).open(bench.at("a")).unwrap();
        touched.set_modified(SystemTime::UNIX_EPOCH).unwrap();
        drop(touched);
        bench.write("a", "2");
        bench.tells(&[("a", Change::Changed)]);
    }
}

#[test]
fn a_save_that_is_half_written_is_waited_for() {
    let bench = Bench::file(Mode::Hints, "a", Some("whole"));
    let mut file = fs::File::create(bench.at("a")).unwrap();
    file.write_all(b"half").unwrap();
    file.flush().unwrap();
    // Long enough for a half to be told, were it.
    assert!(bench.told.recv_timeout(QUIET * 12).is_err());
    file.write_all(b" and half").unwrap();
    drop(file);
    bench.tells(&[("a", Change::Changed)]);
    assert!(bench.told.recv_timeout(QUIET * 4).is_err());
}

#[test]
fn a_link_is_seen_when_what_it_leads_to_is_saved() {
    for mode in BOTH {
        let bench = Bench::new(mode, &[("shared/real", "1"), ("here/x", "")], |folder| {
            std::os::unix::fs::symlink("../shared/real", folder.join("here/a")).unwrap();
            Watched {
                files: [folder.join("here/a")].into(),
                ..Watched::default()
            }
        });
        bench.save("shared/real", "2");
        bench.tells(&[("here/a", Change::Changed)]);
    }
}

#[test]
fn all_that_happens_in_a_tree_is_seen() {
    for mode in BOTH {
        let bench = Bench::tree(mode, &[("src/a", "1"), ("src/deep/b", "1")]);
        bench.write("src/deep/b", "2");
        bench.tells(&[("src/deep/b", Change::Changed)]);
        // A folder that comes with what is in it, and in that one later.
        bench.write("new/er/c", "1");
        fs::rename(bench.at("new"), bench.at("src/new")).unwrap();
        bench.tells(&[("src/new/er/c", Change::Added)]);
        bench.write("src/new/er/c", "2");
        bench.tells(&[("src/new/er/c", Change::Changed)]);
        fs::rename(bench.at("src/new"), bench.at("src/old")).unwrap();
        bench.tells(&[
            ("src/new/er/c", Change::Removed),
            ("src/old/er/c", Change::Added),
        ]);
        bench.write("src/old/er/c", "3");
        bench.tells(&[("src/old/er/c", Change::Changed)]);
        fs::remove_dir_all(bench.at("src")).unwrap();
        bench.tells(&[
            ("src/a", Change::Removed),
            ("src/deep/b", Change::Removed),
            ("src/old/er/c", Change::Removed),
        ]);
        bench.write("src/a", "1");
        bench.tells(&[("src/a", Change::Added)]);
    }
}

#[test]
fn a_burst_of_five_thousand_files_is_one_batch() {
    for mode in BOTH {
        let bench = Bench::tree(mode, &[("src/a", "")]);
        // As git has one while it switches: however long it is held up, it is one batch.
        bench.write("lock", "");
        for number in 0..5_000 {
            bench.write(&format!("src/{}/{number}", number % 50), "x");
        }
        fs::remove_file(bench.at("lock")).unwrap();
        assert_eq!(bench.next().len(), 5_000);
        assert!(bench.told.recv_timeout(QUIET * 12).is_err());
    }
}

#[test]
fn what_tools_fill_tells_nothing() {
    for mode in BOTH {
        let bench = Bench::tree(mode, &[("src/.git/HEAD", "a"), ("src/a", "1")]);
        bench.write("src/.git/HEAD", "b");
        bench.write("src/node_modules/x/y.js", "b");
        bench.write("src/a", "2");
        bench.tells(&[("src/a", Change::Changed)]);
    }
}

#[test]
fn what_was_saved_while_it_was_read_is_told() {
    let bench = Bench::file(Mode::Hints, "a", Some("1"));
    let since = now();
    bench.write("b", "read before it was watched, and saved since");
    let watched = Watched {
        files: [bench.at("a"), bench.at("b")].into(),
        ..Watched::default()
    };
    bench.watcher.watch(watched, since);
    bench.tells(&[("b", Change::Changed)]);
}

#[test]
fn what_is_not_watched_any_more_tells_nothing() {
    let bench = Bench::tree(Mode::Hints, &[("src/a", "1"), ("b", "1")]);
    let watched = Watched {
        files: [bench.at("b")].into(),
        ..Watched::default()
    };
    bench.watcher.watch(watched, SystemTime::now() + PATIENCE);
    bench.write("src/a", "2");
    bench.write("b", "2");
    bench.tells(&[("b", Change::Changed)]);
}

#[test]
fn what_changes_at_the_same_path_later_joins_what_changed_before() {
    let set = |changes: &[(&str, Change)]| {
        ChangeSet(
            changes
                .iter()
                .map(|(path, change)| (PathBuf::from(path), *change))
                .collect(),
        )
    };
    let mut changes = set(&[
        ("a", Change::Added),
        ("b", Change::Removed),
        ("c", Change::Changed),
    ]);
    changes.join(set(&[
        ("a", Change::Changed),
        ("b", Change::Added),
        ("c", Change::Removed),
        ("d", Change::Changed),
    ]));
    let joined = set(&[
        ("a", Change::Added),
        ("b", Change::Changed),
        ("c", Change::Removed),
        ("d", Change::Changed),
    ]);
    assert_eq!(changes, joined);
}
