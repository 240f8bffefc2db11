//! The order in which the parts of a workspace depend on each other.

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;

use super::desired::{AfterCondition, Workspace};

/// A circle of dependencies, named in full: `a -> b -> a`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join(" -> "))]
pub struct Cycle(pub Vec<String>);

/// Every service and command of the workspace, what is depended on first.
///
/// Among those that could go next, the order of the file decides.
///
/// # Errors
/// If some of them depend on each other in a circle.
pub fn topological(workspace: &Workspace) -> Result<Vec<String>, Cycle> {
    let edges = edges(workspace);
    let mut done: HashSet<&str> = HashSet::with_capacity(edges.len());
    let mut order = Vec::with_capacity(edges.len());
    // A stack of our own: a chain can be longer than that of a thread.
    let mut path: Vec<(&str, usize)> = Vec::new();
    let mut on_path: HashMap<&str, usize> = HashMap::new();
    for start in edges.keys() {
        if done.contains(start) {
            continue;
        }
        path.push((start, 0));
        on_path.insert(start, 0);
        while let Some((name, next)) = path.last_mut() {
            let needs = edges.get(name).map_or(&[][..], Vec::as_slice);
            let Some(needed) = needs.get(*next).copied() else {
                done.insert(name);
                order.push((*name).to_owned());
                on_path.remove(name);
                path.pop();
                continue;
            };
            *next += 1;
            if let Some(from) = on_path.get(needed) {
                let circle = path[*from..].iter().map(|(name, _)| *name);
                return Err(Cycle(circle.chain([needed]).map(str::to_owned).collect()));
            }
            if !done.contains(needed) {
                on_path.insert(needed, path.len());
                path.push((needed, 0));
            }
        }
    }
    Ok(order)
}

/// What each service and command depends on, in the order of the file.
fn edges(workspace: &Workspace) -> IndexMap<&str, Vec<&str>> {
    fn names(after: &IndexMap<String, AfterCondition>) -> Vec<&str> {
        after.keys().map(String::as_str).collect()
    }
    let services = workspace.services.iter();
    let services = services.map(|(name, service)| (name.as_str(), names(&service.depends_on)));
    let commands = workspace.commands.iter();
    let commands = commands.map(|(name, command)| (name.as_str(), names(&command.depends_on)));
    services.chain(commands).collect()
}
