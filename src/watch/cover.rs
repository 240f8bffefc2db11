//! Which paths are meant, and which folders hold them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::look::Depth;

/// Folders that tools fill by themselves, with more than anybody edits. One is looked
/// into only where a watched path names it.
const PASSED_OVER: [&str; 6] = [".git", ".hg", ".jj", ".svn", "node_modules", "target"];

/// A file that is a link to a link to a link..
const MOST_HOPS: usize = 8;

/// Whether a path is passed over, by its absolute path; and if it is a folder, all
/// that is in it, too.
#[derive(Clone)]
pub struct Passed(Arc<Rule>);

type Rule = dyn Fn(&Path, bool) -> bool + Send + Sync;

impl Passed {
    /// What this says of a path, and of whether it is a folder.
    pub fn new(passed: impl Fn(&Path, bool) -> bool + Send + Sync + 'static) -> Self {
        Self(Arc::new(passed))
    }

    /// Nothing more than what is always passed over.
    pub fn nothing() -> Self {
        Self::new(|_, _| false)
    }
}

impl fmt::Debug for Passed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passed(..)")
    }
}

/// A file, or a folder with all that is in it.
#[derive(Debug, Clone)]
pub struct Tree {
    /// Absolute. It need not be there yet.
    pub path: PathBuf,
    /// What of it does not count.
    pub passed: Passed,
}

/// What is watched.
#[derive(Debug, Clone, Default)]
pub struct Watched {
    /// Files, absolute, whether or not they are there. Links are followed.
    pub files: BTreeSet<PathBuf>,
    /// Files and folders with all that is in them. What is a link in them is one.
    pub trees: Vec<Tree>,
    /// Files that somebody who changes many others has there meanwhile, as git has
    /// `.git/index.lock`. What he changes is told when he is done.
    pub locks: Vec<PathBuf>,
}

impl Tree {
    /// Whether a path is of it.
    pub fn has(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.path) else {
            return false;
        };
        let mut parts = below.components().map(|part| part.as_os_str());
        let Some(last) = parts.next_back() else {
            return true;
        };
        let is_in_passed = parts.any(|part| PASSED_OVER.iter().any(|name| part == *name));
        !is_in_passed && !is_litter(&last.to_string_lossy()) && !(self.passed.0)(path, false)
    }

    /// Every file and link of it that is there now.
    pub fn entries(&self) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        entries(self, &self.path, &mut paths);
        paths
    }

    /// Whether what is in a folder of it can count.
    fn is_open(&self, folder: &Path) -> bool {
        if folder == self.path {
            return true;
        }
        let name = folder.file_name().unwrap_or_default();
        !PASSED_OVER.iter().any(|passed| name == *passed) && !(self.passed.0)(folder, true)
    }
}

/// What editors and systems leave beside a file for their own use.
fn is_litter(name: &str) -> bool {
    name == ".git"
        || name == ".DS_Store"
        || name.ends_with('~')
        || name.ends_with("___jb_tmp___")
        || name.ends_with("___jb_old___")
        || name.starts_with(".#")
        || name.len() > 2 && name.starts_with('#') && name.ends_with('#')
        || name.starts_with('.')
            && [".swp", ".swx", ".swo"]
                .iter()
                .any(|end| name.ends_with(end))
}

impl Watched {
    /// How far a path is looked into.
    pub(super) fn depth(&self, path: &Path) -> Depth {
        match self.files.contains(path) {
            true => Depth::Through,
            false => Depth::Itself,
        }
    }

    /// The files that have another content when something is written at a path: the one of
    /// that name, and those that are links to it.
    pub(super) fn meant_by(&self, path: &Path) -> Vec<PathBuf> {
        let is_meant = |file: &&PathBuf| *file == path || hops(file).iter().any(|hop| hop == path);
        let name = path.file_name();
        // Nearly nothing that is hinted at is a link's goal: only a path that can be is compared.
        self.files
            .iter()
            .filter(|file| file.file_name() == name || file.is_symlink())
            .filter(is_meant)
            .cloned()
            .collect()
    }

    /// The files and the tops of trees below a folder.
    pub(super) fn below(&self, folder: &Path) -> impl Iterator<Item = PathBuf> {
        let folder = folder.to_owned();
        let tops = self.trees.iter().map(|tree| &tree.path);
        self.files
            .iter()
            .chain(tops)
            .filter(move |path| **path != folder && path.starts_with(&folder))
            .cloned()
    }

    /// On what kind of file system something is whose changes no kernel hints at.
    pub(super) fn unhinted(&self) -> Option<&'static str> {
        let tops = self.trees.iter().map(|tree| &tree.path);
        self.files
            .iter()
            .chain(tops)
            .filter_map(|path| there(path))
            .find_map(|path| file_system(&path))
    }
}

/// A folder that something watched is in: another one under the same name is told from it.
pub(super) type Folder = (u64, u64);

/// Every folder that something watched is in, or would be in: what is not there has the
/// nearest that is.
pub(super) fn armed_folders(watched: &Watched) -> BTreeMap<PathBuf, Folder> {
    let mut folders = BTreeMap::new();
    let mut add = |path: &Path| {
        if let Some(folder) = identity(path) {
            folders.insert(path.to_owned(), folder);
        }
    };
    for file in &watched.files {
        for path in std::iter::once(file).chain(&hops(file)) {
            if let Some(folder) = path.parent().and_then(there) {
                add(&folder);
            }
        }
    }
    for tree in &watched.trees {
        if let Some(folder) = tree.path.parent().and_then(there) {
            add(&folder);
        }
        walk(tree, &tree.path, &mut |path, is_folder| {
            if is_folder {
                add(path);
            }
        });
    }
    folders
}

/// Adds every file and link of a tree that is at or below a path.
pub(super) fn entries(tree: &Tree, at: &Path, into: &mut BTreeSet<PathBuf>) {
    walk(tree, at, &mut |path, is_folder| {
        if !is_folder && tree.has(path) {
            into.insert(path.to_owned());
        }
    });
}

/// Tells of everything of a tree that is at or below a path, and whether it is a folder.
fn walk(tree: &Tree, at: &Path, tell: &mut dyn FnMut(&Path, bool)) {
    // The top may be a link: whoever named it means what is behind.
    let found = match at == tree.path {
        true => fs::metadata(at),
        false => fs::symlink_metadata(at),
    };
    let Ok(found) = found else { return };
    if !found.is_dir() {
        tell(at, false);
        return;
    }
    // A stack, not recursion: a folder can be deeper than a thread's stack.
    let mut folders = vec![at.to_owned()];
    while let Some(folder) = folders.pop() {
        if !tree.is_open(&folder) {
            continue;
        }
        tell(&folder, true);
        // Gone or closed meanwhile: there is nothing to tell.
        let Ok(listed) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in listed.flatten() {
            let path = entry.path();
            match entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                true => folders.push(path),
                false => tell(&path, false),
            }
        }
    }
}

/// Where a link leads, step by step.
fn hops(file: &Path) -> Vec<PathBuf> {
    let mut hops: Vec<PathBuf> = Vec::new();
    while hops.len() < MOST_HOPS {
        let at = hops.last().map_or(file, PathBuf::as_path);
        let Ok(target) = fs::read_link(at) else { break };
        let target = at
            .parent()
            .map_or(target.clone(), |folder| folder.join(&target));
        // Without `..`: hints name folders as they were named.
        let folder = target
            .parent()
            .and_then(|folder| folder.canonicalize().ok());
        match (folder, target.file_name()) {
            (Some(folder), Some(name)) => hops.push(folder.join(name)),
            _ => break,
        }
    }
    hops
}

/// The path, or the nearest folder around it that is there.
fn there(path: &Path) -> Option<PathBuf> {
    path.ancestors()
        .find(|path| path.is_dir())
        .map(Path::to_owned)
}

fn identity(path: &Path) -> Option<Folder> {
    let found = fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

/// The kind of file system that a path is on, if others write to it unseen.
#[cfg(target_os = "linux")]
fn file_system(path: &Path) -> Option<&'static str> {
    let magic = rustix::fs::statfs(path).ok()?.f_type;
    // As linux/magic.h has them; 32 bits are all that they have.
    Some(match magic & 0xffff_ffff {
        0x0102_1997 => "a 9p mount",
        0x6969 => "NFS",
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => "SMB",
        _ => return None,
    })
}

#[cfg(not(target_os = "linux"))]
fn file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(path: &str) -> Tree {
        Tree {
            path: path.into(),
            passed: Passed::nothing(),
        }
    }

    #[test]
    fn what_tools_fill_is_passed_over_unless_it_is_named() {
        let src = tree("/p");
        for (path, is_of_it) in [
            ("/p", true),
            ("/p/a.rs", true),
            ("/p/deep/er/a.rs", true),
            ("/q/a.rs", false),
            ("/pa/a.rs", false),
            ("/p/.git/index", false),
            ("/p/.git", false),
            ("/p/a/node_modules/x/y.js", false),
            ("/p/target/debug/a", false),
            ("/p/targets/a", true),
        ] {
            assert_eq!(src.has(Path::new(path)), is_of_it, "{path}");
        }
        assert!(tree("/p/target/site").has(Path::new("/p/target/site/index.html")));
        assert!(tree("/p/node_modules").has(Path::new("/p/node_modules/x.js")));
    }

    #[test]
    fn what_editors_leave_beside_a_file_is_passed_over() {
        for name in [
            ".a.swp",
            "a~",
            "#a#",
            ".#a",
            ".DS_Store",
            "a.js___jb_tmp___",
        ] {
            assert!(is_litter(name), "{name}");
        }
        for name in ["a.rs", ".env", "#", "a#b", "4913"] {
            assert!(!is_litter(name), "{name}");
        }
    }

    #[test]
    fn what_is_passed_over_by_a_rule_does_not_count() {
        let mut src = tree("/p");
        src.passed = Passed::new(|path, _| path.extension().is_some_and(|end| end == "log"));
        assert!(!src.has(Path::new("/p/a.log")));
        assert!(src.has(Path::new("/p/a.rs")));
    }

    #[test]
    fn what_is_not_there_has_the_nearest_folder_that_is() {
        let folder = tempfile::tempdir().unwrap();
        let watched = Watched {
            files: [folder.path().join("a/b/c.toml")].into(),
            ..Watched::default()
        };
        let folders: Vec<_> = armed_folders(&watched).into_keys().collect();
        assert_eq!(folders, [folder.path()]);
        fs::create_dir_all(folder.path().join("a/b")).unwrap();
        let folders: Vec<_> = armed_folders(&watched).into_keys().collect();
        assert_eq!(folders, [folder.path().join("a/b")]);
    }
}
