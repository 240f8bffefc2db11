//! Where something is copied to: the rules of `docker cp`, for both directions.

use super::super::error::Failure;

/// What is copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum What {
    /// A file, or a link.
    File,
    /// A folder, as itself.
    Folder,
    /// What is in a folder: `site/.`.
    Contents,
}

/// What is at the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum There {
    /// A file, or what is like one.
    File,
    /// A folder.
    Folder,
    /// Nothing; but the folder that it would be in is there.
    Nothing,
    /// Not even that.
    NoFolder,
}

/// Where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    /// A folder that is there.
    pub(super) folder: String,
    /// What it is called in it; without a name, it is what is in it that goes there.
    pub(super) name: Option<String>,
}

impl Place {
    /// The whole path.
    pub(super) fn path(&self) -> String {
        match &self.name {
            Some(name) => join(&self.folder, name),
            None => self.folder.clone(),
        }
    }
}

/// Finds the place of something called `name` that is copied to `target`; `shown` is the
/// target as it was typed.
pub(super) fn place(
    what: What,
    name: &str,
    target: &str,
    there: There,
    shown: &str,
) -> Result<Place, Failure> {
    let in_parent = || Place {
        folder: folder_of(target).to_owned(),
        name: Some(name_of(target).to_owned()),
    };
    let wants_folder = wants_folder(target);
    match (what, there) {
        (_, There::NoFolder) => {
            let folder = folder_of(target);
            Err(
                Failure::new(format!("there is no folder `{folder}` to copy to: `{shown}`"))
                    .hinted("folders above the target are not made; name one that is there"),
            )
        }
        (What::File, There::Nothing) if wants_folder => {
            Err(Failure::new(format!("there is no folder `{shown}`")).hinted(
                "with a slash at its end the target has to be a folder; without it, the file gets that name",
            ))
        }
        (_, There::File) if wants_folder => Err(no_folder(shown)),
        (What::Folder | What::Contents, There::File) => Err(Failure::new(format!(
            "a folder cannot be copied over the file `{shown}`"
        ))
        .hinted("name a folder, or one that is not there yet")),
        (What::File, There::File | There::Nothing)
        | (What::Folder | What::Contents, There::Nothing) => Ok(in_parent()),
        (What::Contents, There::Folder) => Ok(Place {
            folder: target.to_owned(),
            name: None,
        }),
        (What::File | What::Folder, There::Folder) => Ok(Place {
            folder: target.to_owned(),
            name: Some(name.to_owned()),
        }),
    }
}

/// Of a path with a slash at its end that is no folder.
pub(super) fn no_folder(shown: &str) -> Failure {
    Failure::new(format!("`{shown}` is not a folder")).hinted("leave the slash at its end away")
}

/// Whether a path means a folder only: `a/`, `a/.`.
pub(super) fn wants_folder(path: &str) -> bool {
    path.ends_with('/') || is_contents(path)
}

/// Whether a path means what is in a folder: `.`, `a/.`.
pub(super) fn is_contents(path: &str) -> bool {
    path == "." || path.ends_with("/.")
}

/// A path in a container, from its root and in its shortest form; what its end means
/// stays.
pub(super) fn absolute(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let end = match path {
        _ if parts.is_empty() => "",
        path if is_contents(path) => "/.",
        path if path.ends_with('/') => "/",
        _ => "",
    };
    format!("/{}{end}", parts.join("/"))
}

/// The same without what its end means.
pub(super) fn bare(path: &str) -> &str {
    let path = path.strip_suffix("/.").unwrap_or(path);
    match path.trim_end_matches('/') {
        "" if path.starts_with('/') => "/",
        bare => bare,
    }
}

/// The last name of a path.
pub(super) fn name_of(path: &str) -> &str {
    let bare = bare(path);
    bare.rsplit_once('/').map_or(bare, |(_, name)| name)
}

/// The folder that a path is in.
pub(super) fn folder_of(path: &str) -> &str {
    match bare(path).rsplit_once('/') {
        Some(("", _)) => "/",
        Some((folder, _)) => folder,
        None => ".",
    }
}

pub(super) fn join(folder: &str, name: &str) -> String {
    format!("{}/{name}", folder.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where it goes, or the first words of why it does not.
    fn placed(what: What, target: &str, there: There) -> String {
        match place(what, "src", target, there, target) {
            Ok(Place {
                folder,
                name: Some(name),
            }) => format!("{folder} + {name}"),
            Ok(Place { folder, name: None }) => format!("in {folder}"),
            Err(failure) => {
                let text = anstream::adapter::strip_str(&failure.to_string()).to_string();
                text.lines().next().unwrap_or_default().to_owned()
            }
        }
    }

    #[test]
    fn the_rules_are_those_of_docker_cp() {
        use There::{File as AFile, Folder as AFolder, NoFolder, Nothing};
        use What::{Contents, File, Folder};
        for (what, target, there, expected) in [
            (File, "/a/b", Nothing, "/a + b"),
            (File, "/a/b", AFile, "/a + b"),
            (File, "/a/b", AFolder, "/a/b + src"),
            (File, "/b", Nothing, "/ + b"),
            (File, "/", AFolder, "/ + src"),
            (File, "b", Nothing, ". + b"),
            (File, ".", AFolder, ". + src"),
            (File, "/a/b/", Nothing, "error: there is no folder `/a/b/`"),
            (File, "/a/b/", AFile, "error: `/a/b/` is not a folder"),
            (Folder, "/a/b", Nothing, "/a + b"),
            (Folder, "/a/b/", Nothing, "/a + b"),
            (Folder, "/a/b", AFolder, "/a/b + src"),
            (
                Folder,
                "/a/b",
                AFile,
                "error: a folder cannot be copied over the file `/a/b`",
            ),
            (Contents, "/a/b", Nothing, "/a + b"),
            (Contents, "/a/b", AFolder, "in /a/b"),
            (
                Contents,
                "/a/b",
                AFile,
                "error: a folder cannot be copied over the file `/a/b`",
            ),
            (
                File,
                "/a/b/c",
                NoFolder,
                "error: there is no folder `/a/b` to copy to: `/a/b/c`",
            ),
        ] {
            let found = placed(what, target, there);
            assert_eq!(found, expected, "{what:?} to {target}, {there:?}");
        }
    }

    #[test]
    fn a_path_in_a_container_begins_at_its_root_and_keeps_what_its_end_means() {
        for (typed, path) in [
            ("etc/nginx", "/etc/nginx"),
            ("/a//b/./c", "/a/b/c"),
            ("/a/../../b/", "/b/"),
            ("/a/.", "/a/."),
            ("", "/"),
            (".", "/"),
            ("/..", "/"),
        ] {
            assert_eq!(absolute(typed), path, "{typed}");
        }
    }

    #[test]
    fn a_path_has_a_name_and_a_folder_whatever_its_end() {
        for (path, folder, name) in [
            ("/a/b", "/a", "b"),
            ("/a/b/", "/a", "b"),
            ("/a/b/.", "/a", "b"),
            ("/b", "/", "b"),
            ("b", ".", "b"),
        ] {
            assert_eq!((folder_of(path), name_of(path)), (folder, name), "{path}");
        }
        assert_eq!(bare("/"), "/");
        assert_eq!(join("/", "a"), "/a");
    }
}
