//! The order in which the parts of a workspace depend on each other.

use std::collections::BTreeSet;

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
    let mut done = BTreeSet::new();
    let mut order = Vec::with_capacity(edges.len());
    let mut path = Vec::new();
    for name in edges.keys() {
        visit(name, &edges, &mut done, &mut path, &mut order)?;
    }
    Ok(order)
}

/// What each service and command depends on, in the order of the file.
fn edges(workspace: &Workspace) -> IndexMap<String, Vec<String>> {
    let names = |after: &IndexMap<String, AfterCondition>| after.keys().cloned().collect();
    workspace
        .services
        .iter()
        .map(|(name, service)| (name.to_string(), names(&service.depends_on)))
        .chain(
            workspace
                .commands
                .iter()
                .map(|(name, command)| (name.to_string(), names(&command.depends_on))),
        )
        .collect()
}

fn visit(
    name: &str,
    edges: &IndexMap<String, Vec<String>>,
    done: &mut BTreeSet<String>,
    path: &mut Vec<String>,
    order: &mut Vec<String>,
) -> Result<(), Cycle> {
    if done.contains(name) {
        return Ok(());
    }
    if let Some(start) = path.iter().position(|on_path| on_path == name) {
        let mut circle = path[start..].to_vec();
        circle.push(name.to_owned());
        return Err(Cycle(circle));
    }
    path.push(name.to_owned());
    for next in edges.get(name).into_iter().flatten() {
        visit(next, edges, done, path, order)?;
    }
    path.pop();
    done.insert(name.to_owned());
    order.push(name.to_owned());
    Ok(())
}
