//! Named images and references.

use std::fs;

use indexmap::IndexMap;

use super::{Resolver, names_in, placeholder};
use crate::{
    config::{
        context::{ContextError, build_digest},
        decode::join,
        read::plain,
        schema::{BuildTable, ImageTable},
    },
    workspace::{Build, Image, ImageName, ImageRef, PullPolicy},
};

impl Resolver<'_, '_> {
    /// The image of a service or command: a name from `[images]`, else a reference.
    pub(super) fn image(&mut self, path: &str, text: &str) -> Option<Image> {
        if let Some(known) = self.images.get(text) {
            return known.clone();
        }
        if self.is_written("images", text) {
            let table = self.given.config.images.get(text);
            let image = table.and_then(|table| self.named_image(text, table));
            self.images.insert(text.to_owned(), image.clone());
            return image;
        }
        // A bare word that is nearly a name here is most often a typo.
        if !text.contains(['/', ':', '@']) {
            let names = names_in(self.given.written, "images");
            if let Some(meant) = self.report.nearest(text, names) {
                self.report
                    .warning(
                        path,
                        format!("`{text}` is not in [images], so it is pulled under that name"),
                    )
                    .help(format!("did you mean `{meant}`?"));
            }
        }
        let reference = self.reference(path, text)?;
        Some(Image::Pulled {
            reference,
            policy: PullPolicy::default(),
        })
    }

    fn named_image(&mut self, name: &str, table: &ImageTable) -> Option<Image> {
        let path = join("images", name);
        match (&table.reference, &table.build) {
            (Some(_), Some(_)) => {
                self.report
                    .key_error(
                        &path,
                        format!("the image `{name}` is both pulled (`ref`) and built (`build`)"),
                    )
                    .help("keep one of the two");
                None
            }
            (Some(reference), None) => Some(Image::Pulled {
                reference: self.reference(&format!("{path}.ref"), reference)?,
                policy: table.pull.unwrap_or_default(),
            }),
            (None, Some(build)) => {
                if table.pull.is_some() {
                    self.report
                        .error(
                            &format!("{path}.pull"),
                            format!("the image `{name}` is built, so it is never pulled"),
                        )
                        .help("take out `pull`");
                }
                self.built_image(name, &path, build)
            }
            (None, None) => {
                let is_refused = ["ref", "build"]
                    .iter()
                    .any(|key| self.was_refused("images", name, key));
                if !is_refused {
                    self.report
                        .key_error(&path, format!("the image `{name}` comes from nowhere"))
                        .help("add ref = \"postgres:16\", or build = { context = \".\" }");
                }
                None
            }
        }
    }

    fn built_image(&mut self, name: &str, path: &str, table: &BuildTable) -> Option<Image> {
        let path = format!("{path}.build");
        let context = table.context.as_deref().unwrap_or(".");
        let context_path = format!("{path}.context");
        let folder = self.host_path(context);
        if !folder.is_dir() {
            self.report
                .error(
                    &context_path,
                    format!("the image `{name}` is built from `{context}`, which is not a folder"),
                )
                .help("create the folder, or mend the path");
            return None;
        }
        let folder = fs::canonicalize(&folder).unwrap_or(folder);
        self.danger_of_reading(&context_path, &folder);
        let dockerfile = table.dockerfile.as_deref().unwrap_or("Dockerfile");
        if dockerfile.starts_with('/') || dockerfile.split('/').any(|part| part == "..") {
            self.report
                .error(
                    &format!("{path}.dockerfile"),
                    format!("`{dockerfile}` is outside of the build context"),
                )
                .help("move it in, or widen the context");
            return None;
        }
        let args = || {
            table
                .args
                .iter()
                .map(|(key, value)| (key.as_str(), value.0.as_str()))
        };
        let digest = match build_digest(&folder, dockerfile, table.target.as_deref(), args()) {
            Ok(digest) => digest,
            Err(error) => {
                self.context_error(name, &path, (context, dockerfile), &error);
                return None;
            }
        };
        let tag = self.identity.built_image(name, &digest);
        Some(Image::Built {
            tag: ImageRef::new(tag).ok()?,
            build: Build {
                context: folder.to_string_lossy().into_owned(),
                dockerfile: dockerfile.to_owned(),
                target: table.target.clone(),
                args: args()
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .collect(),
            },
        })
    }

    /// What keeps an image's context from being sent, at the key that leads there.
    fn context_error(
        &mut self,
        name: &str,
        path: &str,
        (context, dockerfile): (&str, &str),
        error: &ContextError,
    ) {
        let context_path = format!("{path}.context");
        let (key, message, help) = match error {
            ContextError::NoDockerfile { .. } => (
                format!("{path}.dockerfile"),
                format!("the image `{name}` has no `{dockerfile}` in `{context}`"),
                "create it, or name another: dockerfile = \"..\"",
            ),
            ContextError::Read { path: file, source } => (
                context_path,
                format!(
                    "cannot read `{}` for the image `{name}`: {}",
                    self.short(file),
                    plain(source)
                ),
                "mend its permissions, or leave it out in .dockerignore",
            ),
            ContextError::LeadsOut { path: link, target } => (
                context_path,
                format!(
                    "`{}` is a link out of the context of the image `{name}`, to `{}`",
                    link.display(),
                    target.display()
                ),
                "copy what it leads to, leave it out in .dockerignore, or make it in the Dockerfile: RUN ln -s ..",
            ),
            ContextError::Special { path: file, what } => (
                context_path,
                format!(
                    "`{}` in the context of the image `{name}` is a {what}",
                    file.display()
                ),
                "leave it out in .dockerignore",
            ),
            ContextError::Pattern { .. } => (
                context_path,
                format!("the context of the image `{name}`: {error}"),
                "a `[` needs its `]`, a `\\` the letter that it is before, a `!` its pattern",
            ),
        };
        self.report.error(&key, message).help(help);
    }

    /// Checks images that nothing uses: their problems are problems, too.
    pub(super) fn check_images(&mut self) {
        for (name, table) in &self.given.config.images {
            if self.name::<ImageName>("images", name).is_some() {
                let image = self.named_image(name, table);
                self.images.insert(name.clone(), image);
            }
        }
    }

    /// The named images, in the order of the file.
    pub(super) fn named_images(&self) -> IndexMap<String, Image> {
        let names = self.given.config.images.keys();
        names
            .filter_map(|name| Some((name.clone(), self.images.get(name)?.clone()?)))
            .collect()
    }

    /// Stands for an image that was refused, so that the rest is resolved as well.
    pub(super) fn no_image() -> Image {
        Image::Pulled {
            reference: placeholder(),
            policy: PullPolicy::Never,
        }
    }
}

/// What keeps a text from being an image reference, if anything does.
pub(super) fn fault_of_reference(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.contains(char::is_whitespace) {
        return Some("it has a space in it");
    }
    if text.contains("://") {
        return Some("a reference begins with the host");
    }
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    if digest.is_some_and(|digest| !digest.contains(':')) {
        return Some("the digest after `@` is like sha256:..");
    }
    let last_slash = name.rfind('/').map_or(0, |slash| slash + 1);
    let (repository, tag) = match name[last_slash..].find(':') {
        Some(colon) => (
            &name[..last_slash + colon],
            Some(&name[last_slash + colon + 1..]),
        ),
        None => (name, None),
    };
    let is_tag = |tag: &str| {
        !tag.is_empty()
            && tag.len() <= 128
            && !tag.starts_with(['.', '-'])
            && tag
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
    };
    if tag.is_some_and(|tag| !is_tag(tag)) {
        return Some("its tag is letters, digits, `_`, `.` and `-`");
    }
    // The first part is a registry if it could be a host: those may have upper case.
    let path = match repository.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => path,
        _ => repository,
    };
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"_.-".contains(&b))
    };
    if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Some("a repository's name is lower case");
    }
    (!path.split('/').all(is_part)).then_some("its name is letters, digits, `_`, `.`, `-` and `/`")
}
