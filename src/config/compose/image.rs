//! `image`, `build` and `pull_policy`: what a container is made of.

use std::collections::HashMap;

use super::{
    draft::{Item, Table},
    project::{MissingKind, Project},
    tree::{Map, Node, Value},
    variables::has_variable,
};

/// The images that are built.
#[derive(Debug, Default)]
pub(super) struct Images {
    /// By the tag that the Compose file gives them: services of other names use it.
    tags: HashMap<String, String>,
    /// By what they are built of: equal builds are one image here.
    built: HashMap<String, String>,
}

/// Keys of `build` that are not carried over, and what to do.
const NOT_BUILT_WITH: [(&str, &str); 17] = [
    ("additional_contexts", "copy from one context"),
    (
        "cache_from",
        "nothing to do: the engine keeps its own cache",
    ),
    ("cache_to", "nothing to do: the engine keeps its own cache"),
    ("dockerfile_inline", "write it to a Dockerfile"),
    ("entitlements", "build it beside, and name it with `ref`"),
    ("extra_hosts", "build it beside, and name it with `ref`"),
    ("isolation", "nothing to do: it is for Windows"),
    ("labels", "write LABEL into the Dockerfile"),
    ("network", "build it beside, and name it with `ref`"),
    ("no_cache", "`cosmos up --build`"),
    ("platforms", "build it beside, and name it with `ref`"),
    ("privileged", "build it beside, and name it with `ref`"),
    ("pull", "`docker pull` the base"),
    ("secrets", "build it beside, and name it with `ref`"),
    ("shm_size", "build it beside, and name it with `ref`"),
    ("ssh", "build it beside, and name it with `ref`"),
    ("tags", "`docker tag` it"),
];

impl Project<'_> {
    /// Notes which tags are built here, and by whom.
    pub(super) fn find_tags(&mut self) {
        for (name, node) in self.services() {
            let Some(map) = node.as_map() else { continue };
            if let (Some(_), Some(tag)) = (map.get("build"), map.text("image"))
                && let Some(known) = self.known.get(&name)
            {
                let tags = &mut self.images.tags;
                tags.entry(tag.to_owned())
                    .or_insert_with(|| known.name.clone());
            }
        }
    }

    /// The image of a service.
    pub(super) fn image(&mut self, path: &str, name: &str, service: &Map) -> Option<String> {
        let image = service.get("image");
        let policy = service.get("pull_policy");
        if let Some(build) = service.get("build")
            && let Some(built) = self.built(&format!("{path}.build"), name, build)
        {
            if let Some(image) = image {
                self.remarks.changed(
                    image.place,
                    &format!("{path}.image"),
                    format!("what is built is tagged by Cosmos, with a name that changes with its content; [images] calls it `{built}`"),
                    "`docker tag` it where that name is needed",
                );
            }
            if let Some(policy) = policy {
                self.remarks.left_out(
                    policy.place,
                    &format!("{path}.pull_policy"),
                    "an image that is built is never pulled",
                    "`cosmos up --build` builds it again",
                );
            }
            return Some(built);
        }
        let image = image?;
        let written = image.as_text().unwrap_or_default();
        if let Some(tagged) = self.images.tags.get(written) {
            return Some(tagged.clone());
        }
        let reference =
            self.filled(&format!("{path}.image"), image, "the reference of an image")?;
        match policy {
            None => Some(reference),
            Some(policy) => self.pulled(&format!("{path}.pull_policy"), name, reference, policy),
        }
    }

    /// An image that is not just pulled if it is missing.
    fn pulled(
        &mut self,
        key: &str,
        name: &str,
        reference: String,
        policy: &Node,
    ) -> Option<String> {
        let text = self.text(key, policy)?;
        let policy = match text.as_str() {
            "missing" | "if_not_present" => return Some(reference),
            "always" | "never" => text,
            _ => {
                self.remarks.left_out(
                    policy.place,
                    key,
                    format!("there is no `{text}`: it is pulled if it is missing"),
                    "pull = \"always\" in [images] is the nearest",
                );
                return Some(reference);
            }
        };
        let mut table = Table::default();
        table.push("ref", reference);
        table.push("pull", policy);
        self.draft.add("images", Some(name), table);
        Some(name.to_owned())
    }

    /// What `build` says, as a named image; `None` if it cannot be built here.
    fn built(&mut self, key: &str, name: &str, node: &Node) -> Option<String> {
        let empty = Map::default();
        let (context, map) = match &node.value {
            Value::Map(map) => (map.get("context").map(|node| &**node), map),
            _ => (Some(node), &empty),
        };
        let context_key = format!("{key}.context");
        let context = match context {
            None => (".".to_owned(), node.place),
            Some(context) => (self.text(&context_key, context)?, context.place),
        };
        let is_remote = context.0.contains("://") || context.0.starts_with("git@");
        if is_remote {
            self.remarks.left_out(
                context.1,
                &context_key,
                format!(
                    "`{}` is not on this machine: Cosmos builds from folders",
                    context.0
                ),
                "clone it, and name the folder; or name a built image",
            );
            return None;
        }
        let folder = self.path(&context_key, context.1, &context.0);
        let mut build = Table::default();
        build.push("context", folder.clone());
        if let Some(node) = map.get("dockerfile")
            && let Some(dockerfile) = self.text(&format!("{key}.dockerfile"), node)
        {
            self.check_dockerfile(&format!("{key}.dockerfile"), node, &dockerfile);
            build.push("dockerfile", dockerfile);
        }
        if let Some(node) = map.get("target")
            && let Some(target) = self.text(&format!("{key}.target"), node)
        {
            build.push("target", target);
        }
        if let Some(node) = map.get("args") {
            let mut args = Table::default();
            for pair in self.pairs(&format!("{key}.args"), node) {
                // Without a value, the shell's is meant.
                let value = pair
                    .value
                    .unwrap_or_else(|| format!("${{{}:-}}", pair.name));
                args.push(&pair.name, value);
            }
            if !args.is_empty() {
                build.push("args", args);
            }
        }
        for entry in map.iter() {
            let known = ["context", "dockerfile", "target", "args"].contains(&&*entry.key);
            if known || entry.key.starts_with("x-") || entry.node.is_null() {
                continue;
            }
            let instead = NOT_BUILT_WITH.iter().find(|(key, _)| *key == &*entry.key);
            self.remarks.left_out(
                entry.place,
                &format!("{key}.{}", entry.key),
                "an image is built of context, dockerfile, target and args",
                instead.map_or("look whether it is needed", |(_, instead)| instead),
            );
        }
        let dockerfile = match build.get("dockerfile") {
            Some(Item::Text(dockerfile)) => dockerfile.as_str(),
            _ => "Dockerfile",
        };
        if !has_variable(dockerfile) {
            let file = format!("{folder}/{dockerfile}");
            self.need(MissingKind::File, context.1, &context_key, &file);
        }
        // A service that builds the same would otherwise build it again.
        let what = format!("{build:?}");
        if let Some(same) = self.images.built.get(&what) {
            return Some(same.clone());
        }
        self.images.built.insert(what, name.to_owned());
        let mut table = Table::default();
        table.push("build", build);
        self.draft.add("images", Some(name), table);
        Some(name.to_owned())
    }

    fn check_dockerfile(&mut self, key: &str, node: &Node, dockerfile: &str) {
        let is_outside =
            dockerfile.starts_with('/') || dockerfile.split('/').any(|part| part == "..");
        if is_outside {
            self.remarks.left_to_do(
                node.place,
                key,
                format!(
                    "`{dockerfile}` is outside of the build context, which Cosmos does not take"
                ),
                "move it in, or widen the context",
            );
        }
    }
}
