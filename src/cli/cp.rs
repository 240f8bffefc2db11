//! `cosmos cp`: files between here and a container.
//!
//! Bytes go to the engine directly, as those of a terminal do: the proxy has nothing to
//! add to them. They stream through, in both directions, whatever their length. The rules
//! for names, slashes and what is there already are those of `docker cp` ([`place`]). What
//! comes from a container is trusted in nothing ([`unpack`]).

mod pack;
mod place;
mod stop;
mod unpack;

use std::{
    ffi::OsString,
    fs,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream::BoxStream};
use tokio::time::timeout;

use self::{
    pack::{Copied, Source},
    place::{Place, There, What},
    stop::Stop,
    unpack::Names,
};
use super::{
    args::{Cp, Global},
    bootstrap,
    error::{Failure, INTERRUPTED, Kind},
    exec::chosen,
    tar_stream,
    ui::{Transfer, plural, printable, sayln, size},
};
use crate::{
    docker::{
        DockerEngine,
        archive::{FileAt, FileKind},
    },
    reconcile::engine::{Console as _, EngineError},
    workspace::ContainerId,
};

/// One end of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
enum End {
    /// A path of a container: `web:/srv`.
    Inside { name: String, path: String },
    /// A path of this machine.
    Here(String),
    /// A tar on the input or output: `-`.
    Stream,
}

impl End {
    /// What stands before the first colon is a container, unless it begins as a path does.
    fn read(typed: &str) -> Result<Self, Failure> {
        if typed == "-" {
            return Ok(Self::Stream);
        }
        match typed.split_once(':') {
            Some(_) if typed.starts_with(['/', '.', '~']) => Ok(Self::Here(typed.to_owned())),
            Some(("", _)) => Err(Failure::usage(format!("`{typed}` names no container"))
                .hinted("write it like `web:/etc/hosts`; a path of this machine like `./a:b`")),
            Some((name, path)) => Ok(Self::Inside {
                name: name.to_owned(),
                path: place::absolute(path),
            }),
            None if typed.is_empty() => Err(Failure::usage("an empty path names nothing")
                .hinted("for this folder: `cosmos cp web:/etc/hosts .`")),
            None => Ok(Self::Here(typed.to_owned())),
        }
    }
}

pub(super) async fn run(global: Global, args: Cp) -> Result<ExitCode, Failure> {
    let (source, target) = (End::read(&args.source)?, End::read(&args.target)?);
    let (name, path) = match (&source, &target) {
        (End::Inside { .. }, End::Inside { .. }) => {
            let (from, to) = (&args.source, &args.target);
            return Err(
                Failure::usage("one of the two has to be here, not in a container").hinted(
                    format!("through here: `cosmos cp {from} - | cosmos cp - {to}`"),
                ),
            );
        }
        (End::Inside { name, path }, _) | (_, End::Inside { name, path }) => (name, path),
        _ => {
            return Err(Failure::usage("one of the two has to be in a container")
                .hinted("write it like `web:/srv`"));
        }
    };
    if matches!(target, End::Stream) && io::stdout().is_terminal() {
        return Err(
            Failure::usage("a tar is no text for a terminal").hinted(format!(
                "send it somewhere: `cosmos cp {} - | tar -tv`",
                args.source
            )),
        );
    }
    if matches!(source, End::Stream) && io::stdin().is_terminal() {
        return Err(
            Failure::usage("no tar is sent to the input").hinted(format!(
                "send one: `tar -c site | cosmos cp - {}`",
                args.target
            )),
        );
    }
    let client = bootstrap::existing(&global).await?;
    let container = chosen(&global, &client, name, args.replica).await?;
    let copy = Copy {
        global: &global,
        engine: bootstrap::engine().await?,
        id: ContainerId::new(container.id).map_err(|error| Failure::new(error.to_string()))?,
        name,
        path,
        stop: Stop::listen()?,
        shown: match &source {
            End::Inside { .. } => &args.source,
            _ => &args.target,
        },
    };
    match (&source, &target) {
        (End::Here(path), _) => copy.put(path).await,
        (End::Stream, _) => copy.put_stream().await,
        (_, End::Here(path)) => copy.fetch(path).await,
        (_, End::Stream) => copy.fetch_stream().await,
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// How long the engine may take to say that it noticed our stopping.
const NOTICED_IN: Duration = Duration::from_secs(2);

/// One copy to or from a container.
struct Copy<'a> {
    global: &'a Global,
    engine: DockerEngine,
    id: ContainerId,
    /// The container, as it was typed.
    name: &'a str,
    /// The path in it.
    path: &'a str,
    /// Both.
    shown: &'a str,
    stop: Stop,
}

impl Copy<'_> {
    // -- from the container

    async fn fetch(self, to: &str) -> Result<ExitCode, Failure> {
        let (path, found) = self.source().await?;
        let what = match found.kind {
            FileKind::Folder if path == "/" || place::is_contents(self.path) => What::Contents,
            FileKind::Folder => What::Folder,
            FileKind::File | FileKind::Link => What::File,
            FileKind::Special => {
                return Err(Failure::new(format!(
                    "`{}` is a device, a pipe or a socket",
                    self.shown
                ))
                .hinted("files, folders and links can be copied"));
            }
        };
        let target = local_target(what, place::name_of(&path), to)?;
        let transfer = Transfer::of(
            self.global,
            self.shown,
            (found.kind == FileKind::File).then_some(found.size),
        );
        let names = match path.as_str() {
            "/" => Names::Root,
            _ => Names::One,
        };
        let chunks = self.engine.pack(&self.id, &path);
        let chunks = self.stop.breaking(transfer.counting(chunks));
        let unpacking = tar_stream::receive(chunks, move |tar| unpack::unpack(tar, names, &target));
        match transfer.during(unpacking).await {
            Ok(copied) => Ok(self.report(&copied, &printable(to))),
            Err(_) if self.stop.is_stopped() => {
                sayln!("interrupted: nothing was copied");
                Err(Failure::shown(Kind::Interrupted))
            }
            Err(error) => Err(Failure::new(format!(
                "`{}` was not copied: {error}",
                self.shown
            ))),
        }
    }

    async fn fetch_stream(self) -> Result<ExitCode, Failure> {
        let (path, _) = self.source().await?;
        let transfer = Transfer::of(self.global, self.shown, None);
        let chunks = self.engine.pack(&self.id, &path);
        let chunks = self.stop.breaking(transfer.counting(chunks));
        let writing = tar_stream::receive(chunks, |mut tar| {
            let mut out = io::stdout().lock();
            io::copy(&mut tar, &mut out)?;
            out.flush()
        });
        match transfer.during(writing).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(_) if self.stop.is_stopped() => Ok(ExitCode::from(INTERRUPTED)),
            // `cosmos cp web:/ - | head`.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ExitCode::SUCCESS),
            Err(error) => Err(Failure::new(format!(
                "`{}` was not copied: {error}",
                self.shown
            ))),
        }
    }

    /// What is copied from the container: its path, with no link at its end that was to be
    /// followed, and what it is.
    async fn source(&self) -> Result<(String, FileAt), Failure> {
        let nothing = || {
            let folder = place::folder_of(self.path);
            Failure::new(format!("there is no `{}`", printable(self.shown))).hinted(format!(
                "`cosmos exec {} ls {folder}` lists what there is; of /proc, /dev and a tmpfs engines copy nothing",
                self.name
            ))
        };
        let wants_folder = place::wants_folder(self.path);
        let mut path = place::bare(self.path).to_owned();
        let mut found = self.at(&path).await?.ok_or_else(nothing)?;
        if found.kind == FileKind::Link && wants_folder {
            path = found.leads_to.take().ok_or_else(nothing)?;
            found = self.at(&path).await?.ok_or_else(nothing)?;
        }
        match found.kind {
            FileKind::Folder => {}
            _ if wants_folder => return Err(place::no_folder(self.shown)),
            _ => {}
        }
        Ok((path, found))
    }

    // -- into the container

    async fn put(self, from: &str) -> Result<ExitCode, Failure> {
        let (path, what) = local_source(from)?;
        let name = name_of(&path, from)?;
        let place = self.place(what, &name).await?;
        let source = Source {
            path,
            name: place.name.clone(),
            owner: self.engine.owner_in(&self.id).await?,
        };
        let length = match what {
            What::File => fs::symlink_metadata(&source.path).ok().map(|it| it.len()),
            What::Folder | What::Contents => None,
        };
        let transfer = Transfer::of(self.global, self.shown, length);
        let (chunks, writing) = tar_stream::send(move |writer| pack::write(&source, writer));
        let sent = self.send(&place.folder, transfer.counting(chunks).boxed());
        let sent = transfer.during(sent).await;
        if self.stop.is_stopped() && sent.is_err() {
            return Err(self.stopped(what, &place, length).await);
        }
        // What went wrong here is the cause of what went wrong there.
        match (writing.await, sent) {
            (Ok(Err(error)), _) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::new(format!("`{from}` was not copied: {error}"))
                    .hinted("what had arrived stays; run it again"))
            }
            (_, Err(error)) => Err(self.refused(error)),
            (Ok(Ok(copied)), Ok(())) => Ok(self.report(&copied, &printable(self.shown))),
            (_, Ok(())) => Ok(ExitCode::SUCCESS),
        }
    }

    async fn put_stream(self) -> Result<ExitCode, Failure> {
        // A tar says itself what its names are: it goes into a folder, as with `docker cp`.
        let (folder, found) = self.followed(place::bare(self.path)).await?;
        match found.map(|found| found.kind) {
            Some(FileKind::Folder) => {}
            Some(_) => {
                return Err(Failure::new(format!("`{}` is not a folder", self.shown))
                    .hinted("a tar is unpacked in a folder: name that"));
            }
            None => {
                return Err(
                    Failure::new(format!("there is no folder `{}`", self.shown)).hinted(format!(
                        "make it: `cosmos exec {} mkdir -p {folder}`",
                        self.name
                    )),
                );
            }
        }
        let transfer = Transfer::of(self.global, self.shown, None);
        let (chunks, _reading) =
            tar_stream::send(|writer| io::copy(&mut io::stdin().lock(), writer));
        let sent = self.send(&folder, transfer.counting(chunks).boxed());
        match transfer.during(sent).await {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(_) if self.stop.is_stopped() => {
                sayln!(
                    "interrupted: what had arrived in {} stays",
                    printable(self.shown)
                );
                Err(Failure::shown(Kind::Interrupted))
            }
            Err(error) => Err(self.refused(error)),
        }
    }

    /// Sends a tar; once somebody stops us it ends early, and the engine refuses it.
    async fn send(
        &self,
        folder: &str,
        tar: BoxStream<'static, io::Result<Bytes>>,
    ) -> Result<(), EngineError> {
        let sending = self
            .engine
            .unpack_in(&self.id, folder, self.stop.ending(tar).boxed());
        tokio::select! {
            // Whichever comes first is the end: nothing is continued.
            sent = sending => sent,
            () = self.stop.long_ago(NOTICED_IN) => Err(EngineError::Deadline {
                call: "upload",
                seconds: NOTICED_IN.as_secs(),
            }),
        }
    }

    /// Where it goes in the container.
    async fn place(&self, what: What, name: &str) -> Result<Place, Failure> {
        let bare = place::bare(self.path);
        let (path, found) = self.followed(bare).await?;
        let there = match found.map(|found| found.kind) {
            Some(FileKind::Folder) => There::Folder,
            Some(_) => There::File,
            None => match self.followed(place::folder_of(&path)).await?.1 {
                Some(folder) if folder.kind == FileKind::Folder => There::Nothing,
                _ => There::NoFolder,
            },
        };
        let end = self.path.strip_prefix(bare).unwrap_or_default();
        let target = match path.as_str() {
            "/" => path,
            _ => path + end,
        };
        place::place(what, name, &target, there, self.shown)
    }

    /// What is at a path of the container, and the path of it once a link is followed.
    async fn followed(&self, path: &str) -> Result<(String, Option<FileAt>), Failure> {
        match self.at(path).await? {
            Some(FileAt {
                kind: FileKind::Link,
                leads_to: Some(leads_to),
                ..
            }) => {
                // The engine has followed it to its end.
                let found = self.at(&leads_to).await?;
                Ok((leads_to, found))
            }
            found => Ok((path.to_owned(), found)),
        }
    }

    async fn at(&self, path: &str) -> Result<Option<FileAt>, Failure> {
        Ok(self.engine.file_at(&self.id, path).await?)
    }

    /// Says what is left there of a copy that was stopped. Of one file that is half there
    /// nothing is to be left: engines unpack as it comes, so it is removed.
    async fn stopped(&self, what: What, place: &Place, length: Option<u64>) -> Failure {
        let path = place.path();
        let shown = printable(&format!("{}:{path}", self.name));
        if what != What::File {
            sayln!("interrupted: what had arrived in {shown} stays");
            return Failure::shown(Kind::Interrupted);
        }
        let is_half = match self.engine.file_at(&self.id, &path).await {
            Ok(Some(found)) => found.kind == FileKind::File && Some(found.size) != length,
            _ => false,
        };
        let removed = async {
            let paths = [path.clone()];
            self.engine.remove_files(&self.id, &paths).await.is_ok()
        };
        match is_half {
            false => sayln!("interrupted: {shown} is as it was, or whole"),
            true if timeout(NOTICED_IN, removed).await == Ok(true) => {
                sayln!("interrupted: {shown} was half there, and is removed");
            }
            true => sayln!("interrupted: {shown} is half there, and cannot be removed"),
        }
        Failure::shown(Kind::Interrupted)
    }

    /// Why the engine did not take it.
    fn refused(&self, error: EngineError) -> Failure {
        let text = error.to_string();
        let failure = Failure::from(error);
        let is_read_only = text.contains("read-only") || text.contains("read only");
        match is_read_only {
            true => failure.hinted(format!(
                "engines write nothing into a read-only container but into its volumes; `cosmos exec -T {} sh -c 'cat > FILE'` writes where it can itself",
                self.name
            )),
            false => failure,
        }
    }

    fn report(&self, copied: &Copied, to: &str) -> ExitCode {
        for left_out in &copied.left_out {
            sayln!(
                "left out: {} is a device, a pipe or a socket",
                printable(&left_out.display().to_string())
            );
        }
        if !self.global.quiet {
            let files = u32::try_from(copied.files).unwrap_or(u32::MAX);
            sayln!(
                "copied {} ({}) to {to}",
                plural(files, "file"),
                size(copied.bytes)
            );
        }
        ExitCode::SUCCESS
    }
}

/// Where something goes here.
fn local_target(what: What, name: &str, to: &str) -> Result<unpack::Target, Failure> {
    let typed = Path::new(place::bare(to));
    // What was named may be a link of the user's own, to wherever.
    let path = match typed.canonicalize() {
        Ok(path) => path,
        Err(_) => linked(typed),
    };
    let there = match fs::metadata(&path) {
        Ok(found) if found.is_dir() => There::Folder,
        Ok(found) if found.is_file() => There::File,
        // It would be replaced: nobody means that of `/dev/null`.
        Ok(_) => {
            return Err(
                Failure::new(format!("`{to}` is a device, a pipe or a socket"))
                    .hinted("`-` is the output, as a tar"),
            );
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => match parent(&path).is_dir() {
            true => There::Nothing,
            false => There::NoFolder,
        },
        Err(error) => return Err(Failure::new(format!("`{to}` cannot be looked at: {error}"))),
    };
    // The rules are about names; that of the target may be one that is no text.
    let end = to.strip_prefix(place::bare(to)).unwrap_or_default();
    let shown = format!("{}{end}", path.display());
    let found = place::place(what, name, &shown, there, to)?;
    let is_at_path = there != There::Folder;
    Ok(match found.name {
        Some(_) if is_at_path => unpack::Target {
            folder: parent(&path).to_owned(),
            name: path.file_name().map(OsString::from),
        },
        Some(name) => unpack::Target {
            folder: path,
            name: Some(name.into()),
        },
        None => unpack::Target {
            folder: path,
            name: None,
        },
    })
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}

/// Where a link leads that leads to nothing yet; what is no link as it is.
fn linked(path: &Path) -> PathBuf {
    match fs::read_link(path) {
        Ok(leads_to) => parent(path).join(leads_to),
        Err(_) => path.to_owned(),
    }
}

/// What is copied from here.
fn local_source(from: &str) -> Result<(PathBuf, What), Failure> {
    let wants_folder = place::wants_folder(from);
    let path = Path::new(place::bare(from));
    // With a slash at its end, a link is followed.
    let found = match wants_folder {
        true => fs::metadata(path),
        false => fs::symlink_metadata(path),
    };
    let found = found.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Failure::new(format!("there is no `{from}`"))
            .hinted("a path of a container has its name before it: `web:/srv`"),
        _ => Failure::new(format!("`{from}` cannot be read: {error}")),
    })?;
    let what = match found.is_dir() {
        true if place::is_contents(from) => What::Contents,
        true => What::Folder,
        false if wants_folder => return Err(place::no_folder(from)),
        false if !found.is_file() && !found.is_symlink() => {
            return Err(
                Failure::new(format!("`{from}` is a device, a pipe or a socket"))
                    .hinted("send what is in it: `tar`, or `cosmos exec -T`"),
            );
        }
        false => What::File,
    };
    let path = match wants_folder {
        true => path.canonicalize()?,
        false => path.to_owned(),
    };
    Ok((path, what))
}

/// The last name of a path here: of `..`, that of the folder it means.
fn name_of(path: &Path, typed: &str) -> Result<String, Failure> {
    let absolute;
    let name = match path.file_name() {
        Some(name) => Some(name),
        None => {
            absolute = path.canonicalize()?;
            absolute.file_name()
        }
    };
    let Some(name) = name else {
        // The root: only what is in it can be meant.
        return Ok(String::new());
    };
    name.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::new(format!("the name of `{typed}` is not UTF-8"))
            .hinted("copy the folder that it is in: names below are taken as they are")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_before_a_colon_is_a_container_unless_it_is_a_path() {
        let inside = |name: &str, path: &str| End::Inside {
            name: name.to_owned(),
            path: path.to_owned(),
        };
        let here = |path: &str| End::Here(path.to_owned());
        for (typed, end) in [
            ("web:/etc/nginx/", inside("web", "/etc/nginx/")),
            ("web:srv", inside("web", "/srv")),
            ("web.2:", inside("web.2", "/")),
            ("web:a:b", inside("web", "/a:b")),
            ("./a:b", here("./a:b")),
            ("/a:b", here("/a:b")),
            ("a/b", here("a/b")),
            (".", here(".")),
            ("-", End::Stream),
        ] {
            assert_eq!(End::read(typed).unwrap(), end, "{typed}");
        }
        assert!(End::read(":/x").is_err());
        assert!(End::read("").is_err());
    }

    #[test]
    fn a_target_here_is_found_through_the_users_own_link() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let at = |path: &str| root.join(path);
        fs::create_dir(at("real")).unwrap();
        std::os::unix::fs::symlink("real", at("folder")).unwrap();
        std::os::unix::fs::symlink("real/new", at("dangling")).unwrap();
        let target = |path: &str| {
            let shown = at(path).display().to_string() + if path.ends_with('/') { "/" } else { "" };
            local_target(What::File, "src", &shown)
        };
        let found = |folder: &str, name: &str| unpack::Target {
            folder: at(folder),
            name: Some(name.into()),
        };
        assert_eq!(target("folder").unwrap(), found("real", "src"));
        assert_eq!(target("dangling").unwrap(), found("real", "new"));
        assert_eq!(target("real/new").unwrap(), found("real", "new"));
        assert!(target("real/new/").is_err());
        assert!(target("no/new").is_err());
        assert!(local_target(What::File, "src", "/dev/null").is_err());
    }

    #[test]
    fn a_source_here_is_a_file_a_folder_or_what_is_in_one() {
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| folder.path().join(path).display().to_string();
        fs::write(at("file"), "").unwrap();
        fs::create_dir(at("site")).unwrap();
        std::os::unix::fs::symlink("site", at("link")).unwrap();
        let what = |path: &str| local_source(&at(path)).map(|(_, what)| what).ok();
        assert_eq!(what("file"), Some(What::File));
        assert_eq!(what("link"), Some(What::File));
        assert_eq!(what("site"), Some(What::Folder));
        assert_eq!(what("site/"), Some(What::Folder));
        assert_eq!(what("link/"), Some(What::Folder));
        assert_eq!(what("site/."), Some(What::Contents));
        assert_eq!(what("file/"), None);
        assert_eq!(what("gone"), None);
    }
}
