//! The names that a config declares, valid or not: for whoever completes a word.
//!
//! A file is invalid while it is being written, and just then its names are wanted.
//! So nothing is decoded, no variable is put in, and what makes no sense is passed over.

use indexmap::IndexSet;

use super::{Document, Sources, decode::Node, diagnostics::Problems, read_layers};

/// What has a name in a config.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Declared {
    /// Services, and how many replicas the file says there are of each, if it says so.
    pub services: Vec<(String, Option<i64>)>,
    /// Commands.
    pub commands: Vec<String>,
    /// Images that are built here.
    pub built: Vec<String>,
    /// Images that have a name and are pulled.
    pub pulled: Vec<String>,
    /// References of images, as they are written: `postgres:16-alpine`.
    pub references: Vec<String>,
    /// Profiles that anything is in.
    pub profiles: Vec<String>,
}

/// The names of a config and its layers. One that cannot be read has none.
pub fn declared(sources: &Sources) -> Declared {
    let layers = read_layers(sources, &mut Vec::new(), &mut Problems::default());
    let root = Document::merge(layers).root;
    let images = entries(&root, "images");
    let is_built = |node: &Node| node.get("build").is_some();
    let services = entries(&root, "services");
    let references = images
        .iter()
        .filter_map(|(_, image)| text(image.get("ref")));
    let unnamed = services
        .iter()
        .filter_map(|(_, service)| text(service.get("image")))
        .filter(|image| images.iter().all(|(name, _)| name != image));
    let profiles = services
        .iter()
        .flat_map(|(_, service)| texts(service.get("profiles")));
    Declared {
        references: each_once(references.chain(unnamed)),
        profiles: each_once(profiles),
        services: services
            .iter()
            .map(|(name, service)| ((*name).to_owned(), number(service.get("replicas"))))
            .collect(),
        commands: names(&entries(&root, "commands"), |_| true),
        built: names(&images, is_built),
        pulled: names(&images, |image| !is_built(image)),
    }
}

/// What is in a table of the file, in its order.
fn entries<'a>(root: &'a Node, table: &str) -> Vec<(&'a str, &'a Node)> {
    match root.get(table) {
        Some(Node::Table(entries)) => entries
            .iter()
            .map(|(name, node)| (name.as_str(), node))
            .collect(),
        _ => Vec::new(),
    }
}

fn names(entries: &[(&str, &Node)], is_wanted: impl Fn(&Node) -> bool) -> Vec<String> {
    let wanted = entries.iter().filter(|(_, node)| is_wanted(node));
    wanted.map(|(name, _)| (*name).to_owned()).collect()
}

fn each_once<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: IndexSet<&str> = names.collect();
    names.into_iter().map(str::to_owned).collect()
}

fn text(node: Option<&Node>) -> Option<&str> {
    match node? {
        Node::Text(text) | Node::Loose(text) => Some(text),
        _ => None,
    }
}

/// A text, or a list of them.
fn texts(node: Option<&Node>) -> Vec<&str> {
    match node {
        Some(Node::List(items)) => items.iter().filter_map(|item| text(Some(item))).collect(),
        one => text(one).into_iter().collect(),
    }
}

fn number(node: Option<&Node>) -> Option<i64> {
    match node? {
        Node::Integer(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn of(text: &str, local: &str) -> Declared {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("cosmos.toml");
        fs::write(&file, text).unwrap();
        if !local.is_empty() {
            fs::write(folder.path().join("cosmos.local.toml"), local).unwrap();
        }
        declared(&Sources {
            file,
            ..Sources::default()
        })
    }

    #[test]
    fn everything_that_has_a_name_is_declared_in_the_order_of_the_file() {
        let declared = of(
            "[images.api]\nbuild = {}\n[images.db]\nref = \"postgres:16\"\n\
             [services.web]\nimage = \"nginx:alpine\"\nreplicas = 2\nprofiles = \"dev\"\n\
             [services.api]\nimage = \"api\"\nprofiles = [\"dev\", \"full\"]\n\
             [commands.migrate]\nimage = \"api\"\n",
            "[services.extra]\nimage = \"nginx:alpine\"\n",
        );
        let services = ["web", "api", "extra"];
        assert!(declared.services.iter().map(|(name, _)| name).eq(services));
        assert_eq!(declared.services[0].1, Some(2));
        assert_eq!(declared.commands, ["migrate"]);
        assert_eq!(declared.built, ["api"]);
        assert_eq!(declared.pulled, ["db"]);
        assert_eq!(declared.references, ["postgres:16", "nginx:alpine"]);
        assert_eq!(declared.profiles, ["dev", "full"]);
    }

    #[test]
    fn a_file_that_is_not_valid_has_names_all_the_same() {
        let text = "[services.web]\nimage = \nreplcas = ${\n[services.db]\nimage = 3\n[commands";
        let declared = of(text, "");
        let names: Vec<_> = declared.services.iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["web", "db"]);
    }

    #[test]
    fn a_file_that_is_not_there_declares_nothing() {
        let sources = Sources {
            file: "/nowhere/cosmos.toml".into(),
            ..Sources::default()
        };
        assert_eq!(declared(&sources), Declared::default());
    }
}
