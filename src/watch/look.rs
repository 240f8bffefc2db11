//! What is behind a path, short enough to be remembered.

use std::{
    fs,
    hash::{DefaultHasher, Hasher as _},
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rustix::fs::OFlags;

use super::Change;

/// A larger file is told apart by its length and times only: reading it at every hint
/// would take longer than anybody waits.
const LARGEST: u64 = 16 << 20;

/// The clock that files get their times from stands still for no longer than this.
const TICK: Duration = Duration::from_millis(10);

/// Now, by the clock that files get their times from: what is written later does not look
/// older.
pub fn now() -> SystemTime {
    #[cfg(target_os = "linux")]
    {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        moment(now.tv_sec, now.tv_nsec)
    }
    #[cfg(not(target_os = "linux"))]
    {
        SystemTime::now()
    }
}

fn moment(seconds: i64, nanos: i64) -> SystemTime {
    let seconds = u64::try_from(seconds).unwrap_or(0);
    let nanos = u32::try_from(nanos).unwrap_or(0);
    UNIX_EPOCH + Duration::new(seconds, nanos)
}

/// Whether a link is followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    Through,
    Itself,
}

/// What was seen behind a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// Nothing, or a folder, which is only where others are.
    Absent,
    /// A file.
    File {
        content: u64,
        mode: u32,
        stamp: Stamp,
        /// When it was looked at.
        at: SystemTime,
    },
    /// A link, with its text.
    Link(PathBuf),
    /// Something that cannot be read, or is none of these.
    Other,
    /// It was there, and with whatever content.
    Unknown,
}

/// What differs between two files, or two times of one, without their content.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    device: u64,
    number: u64,
    length: u64,
    modified: (i64, i64),
    /// When something of it was changed, its name included.
    touched: (i64, i64),
}

impl Stamp {
    fn of(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            number: found.ino(),
            length: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            touched: (found.ctime(), found.ctime_nsec()),
        }
    }

    fn touched(&self) -> SystemTime {
        moment(self.touched.0, self.touched.1)
    }
}

/// Looks at a path.
pub(super) fn look(path: &Path, depth: Depth) -> Mark {
    let at = now();
    let found = match found(path, depth) {
        Ok(found) => found,
        Err(error) if is_absent(&error) => return Mark::Absent,
        Err(_) => return Mark::Other,
    };
    if found.is_dir() {
        return Mark::Absent;
    }
    if found.is_symlink() {
        return fs::read_link(path).map_or(Mark::Other, Mark::Link);
    }
    if !found.is_file() {
        return Mark::Other;
    }
    let stamp = Stamp::of(&found);
    let content = match found.len() {
        0..=LARGEST => hash(path),
        _ => Ok(large(&stamp)),
    };
    match content {
        Ok(content) => Mark::File {
            content,
            mode: found.mode() & 0o7777,
            stamp,
            at,
        },
        Err(error) if is_absent(&error) => Mark::Absent,
        Err(_) => Mark::Other,
    }
}

/// What can be told without reading it.
pub(super) fn stamp(path: &Path, depth: Depth) -> Stamp {
    found(path, depth).map_or_else(|_| Stamp::default(), |found| Stamp::of(&found))
}

fn found(path: &Path, depth: Depth) -> io::Result<fs::Metadata> {
    match depth {
        Depth::Through => fs::metadata(path),
        Depth::Itself => fs::symlink_metadata(path),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

/// Not cryptographic: nobody gains by a change that goes unseen here.
fn hash(path: &Path) -> io::Result<u64> {
    let mut options = fs::OpenOptions::new();
    // A pipe that took the file's place must not be waited for.
    options
        .read(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    let mut file = options.open(path)?;
    let mut hasher = DefaultHasher::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        match file.read(&mut piece)? {
            0 => return Ok(hasher.finish()),
            length => hasher.write(&piece[..length]),
        }
    }
}

fn large(stamp: &Stamp) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write_u64(stamp.number);
    hasher.write_u64(stamp.length);
    hasher.write_i64(stamp.modified.0);
    hasher.write_i64(stamp.modified.1);
    hasher.finish()
}

impl Mark {
    /// What became of it since this was seen, if anything that counts.
    pub(super) fn became(&self, now: &Self) -> Option<Change> {
        match (self, now) {
            (Self::Absent, Self::Absent) => None,
            (Self::Absent, _) => Some(Change::Added),
            (_, Self::Absent) => Some(Change::Removed),
            (
                Self::File { content, mode, .. },
                Self::File {
                    content: content_now,
                    mode: mode_now,
                    ..
                },
            ) => ((content, mode) != (content_now, mode_now)).then_some(Change::Changed),
            (before, now) => (before != now).then_some(Change::Changed),
        }
    }

    /// Whether it was touched at or after this moment, as far as files know.
    pub(super) fn is_since(&self, moment: SystemTime) -> bool {
        match self {
            Self::File { stamp, .. } => stamp.touched() >= moment,
            _ => false,
        }
    }

    /// The same, and nothing is known of its content.
    pub(super) fn forgotten(self) -> Self {
        match self {
            Self::Absent => Self::Absent,
            _ => Self::Unknown,
        }
    }

    /// Whether nothing can have changed at a path since this was seen there. Cheap, and
    /// when in doubt, no.
    pub(super) fn is_surely_still(&self, path: &Path, depth: Depth) -> bool {
        match self {
            Self::File { stamp, at, .. } => {
                // Written twice within one tick of that clock, it looks the same.
                let is_settled = stamp.touched() + TICK < *at;
                match found(path, depth) {
                    Ok(found) if is_settled => Stamp::of(&found) == *stamp,
                    _ => self.became(&look(path, depth)).is_none(),
                }
            }
            Self::Unknown => false,
            _ => self.became(&look(path, depth)).is_none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn change(before: impl FnOnce(&Path), after: impl FnOnce(&Path)) -> Option<Change> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        before(&path);
        let mark = look(&path, Depth::Itself);
        after(&path);
        mark.became(&look(&path, Depth::Itself))
    }

    fn write(text: &'static str) -> impl FnOnce(&Path) {
        move |path| fs::write(path, text).unwrap()
    }

    #[test]
    fn only_another_content_or_mode_is_a_change() {
        assert_eq!(change(write("a"), write("a")), None);
        assert_eq!(change(write("a"), write("b")), Some(Change::Changed));
        assert_eq!(change(|_| (), write("a")), Some(Change::Added));
        let remove = |path: &Path| fs::remove_file(path).unwrap();
        assert_eq!(change(write("a"), remove), Some(Change::Removed));
        let chmod = |path: &Path| {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        assert_eq!(change(write("a"), chmod), Some(Change::Changed));
        let replace = |path: &Path| {
            let other = path.with_extension("tmp");
            fs::write(&other, "a").unwrap();
            fs::rename(other, path).unwrap();
        };
        assert_eq!(change(write("a"), replace), None);
    }

    #[test]
    fn a_file_that_makes_way_for_a_folder_is_removed() {
        let folder = |path: &Path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        };
        assert_eq!(change(write("a"), folder), Some(Change::Removed));
    }

    #[test]
    fn a_link_is_its_text_or_what_is_behind_it() {
        let folder = tempfile::tempdir().unwrap();
        let (link, goal) = (folder.path().join("link"), folder.path().join("goal"));
        fs::write(&goal, "a").unwrap();
        std::os::unix::fs::symlink("goal", &link).unwrap();
        let itself = look(&link, Depth::Itself);
        let through = look(&link, Depth::Through);
        fs::write(&goal, "b").unwrap();
        assert_eq!(itself.became(&look(&link, Depth::Itself)), None);
        assert_eq!(
            through.became(&look(&link, Depth::Through)),
            Some(Change::Changed)
        );
    }

    #[test]
    fn what_was_written_since_a_moment_is_known() {
        let before = now();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "a").unwrap();
        let mark = look(&path, Depth::Itself);
        assert!(mark.is_since(before));
        assert!(!mark.is_since(SystemTime::now() + Duration::from_secs(1)));
        let unknown = mark.clone().forgotten();
        assert_eq!(unknown.became(&mark), Some(Change::Changed));
    }
}
