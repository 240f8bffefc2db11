//! What is new in a file, as `diff -u` says it: pure.

use std::path::Path;

/// Lines around what is new.
const CONTEXT: usize = 3;

/// The lines that differ, with some around them. There is one place where they do.
pub(super) fn of(file: &Path, old: &str, new: &str) -> String {
    let name = file.file_name().unwrap_or(file.as_os_str());
    let name = name.to_string_lossy();
    let (before, after): (Vec<_>, Vec<_>) = (lines(old), lines(new));
    let same = |pairs: &mut dyn Iterator<Item = (&&str, &&str)>| {
        pairs.take_while(|(left, right)| left == right).count()
    };
    let start = same(&mut before.iter().zip(&after));
    let most = before.len().min(after.len()) - start;
    let end = same(&mut before.iter().rev().zip(after.iter().rev())).min(most);
    let (removed, added) = (
        &before[start..before.len() - end],
        &after[start..after.len() - end],
    );
    let above = &before[start.saturating_sub(CONTEXT)..start];
    let below = &after[after.len() - end..];
    let below = &below[..below.len().min(CONTEXT)];
    let around = above.len() + below.len();
    let mut text = format!(
        "--- {name}\n+++ {name}\n@@ -{} +{} @@\n",
        range(start - above.len(), around + removed.len()),
        range(start - above.len(), around + added.len())
    );
    for (sign, lines) in [(' ', above), ('-', removed), ('+', added), (' ', below)] {
        for line in lines {
            text.push(sign);
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
    }
    text
}

/// Each line with its end.
fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

/// `3,7`: from which line, and how many. Of none it is the line above.
fn range(start: usize, count: usize) -> String {
    match count {
        0 => format!("{start},0"),
        count => format!("{},{count}", start + 1),
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, process::Command};

    use super::*;

    fn diff(old: &str, new: &str) -> String {
        of(Path::new("/p/cosmos.toml"), old, new)
    }

    #[test]
    fn what_is_new_stands_between_what_was_there() {
        let old = "1\n2\n3\n4\n5\n6\n7\n8\n";
        let new = "1\n2\n3\n4\na\nb\n5\n6\n7\n8\n";
        assert_eq!(
            diff(old, new),
            "--- cosmos.toml\n+++ cosmos.toml\n@@ -2,6 +2,8 @@\n 2\n 3\n 4\n+a\n+b\n 5\n 6\n 7\n"
        );
        assert_eq!(
            diff("", "a\n"),
            "--- cosmos.toml\n+++ cosmos.toml\n@@ -0,0 +1,1 @@\n+a\n"
        );
    }

    #[test]
    fn patch_makes_the_new_file_of_the_old_one() {
        if Command::new("patch").arg("--version").output().is_err() {
            return;
        }
        for (old, new) in [
            ("a\nb\n", "a\nb\n\nc\n"),
            ("a\nb", "a\nb\n\nc"),
            ("a\r\n\r\nb\r\n", "a\r\n\r\nx\r\n\r\nb\r\n"),
            ("", "a\n"),
            ("a\na\na\n", "a\na\na\na\na\n"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            fs::write(folder.path().join("cosmos.toml"), old).unwrap();
            fs::write(folder.path().join("diff"), diff(old, new)).unwrap();
            let patched = Command::new("patch")
                .args(["--binary", "-i", "diff", "cosmos.toml"])
                .current_dir(folder.path())
                .output()
                .unwrap();
            assert!(patched.status.success(), "{patched:?}\n{}", diff(old, new));
            let read = fs::read_to_string(folder.path().join("cosmos.toml")).unwrap();
            assert_eq!(read, new);
        }
    }
}
