//! One-shots of `up`: run to their end once, and again only when what they run
//! from changes.

use super::{
    action::{Action, Launch, Subject},
    estate::Owned,
    needs::{Needs, Obstacle, RUN_PATIENCE, Standing, Up},
    planner::{Planner, is_alive},
    reason::Reason,
    replace::{generation, with_sticky_ports},
};
use crate::workspace::{
    AfterCondition, Command, CommandKind, CommandName, Container, ContainerState, Fingerprint,
    Kind, ObservedContainer, Owner, Workspace,
};

/// What to remember of a command's container that has ended: that this run of
/// it is completed. `None` if it failed, or is not a run of the command as it
/// is declared now.
pub fn completed_run(
    desired: &Workspace,
    container: &ObservedContainer,
) -> Option<(CommandName, Fingerprint)> {
    let owner = container.owner.as_ref()?;
    let (name, command) = desired.commands.get_key_value(owner.name.as_deref()?)?;
    let is_run = owner.kind == Kind::Command
        && owner.spec == Fingerprint::of_run(command, None)
        && is_completed(container.state);
    is_run.then(|| {
        (
            name.clone(),
            Fingerprint::of_run(command, Some(&container.image_id)),
        )
    })
}

impl<'a> Planner<'a> {
    /// Runs a command, if `up` needs it and it has not run like this before.
    pub(super) fn command(&mut self, name: &'a CommandName, command: &'a Command) -> Standing {
        if !command.needed {
            return Standing::NotRun("`up` does not run");
        }
        let subject = Subject::Command(name.clone());
        let planned = match &command.kind {
            CommandKind::Container(container) => self.one_shot(name, command, container),
            CommandKind::Exec { service, .. } => Err(Obstacle {
                code: "command_in_service",
                why: format!("`{name}` runs inside `{service}`, so nothing can wait for it"),
                hint: Some("give it an `image`, and it runs in a container of its own".to_owned()),
            }),
        };
        planned.unwrap_or_else(|obstacle| {
            self.block(subject, obstacle);
            Standing::Blocked
        })
    }

    fn one_shot(
        &mut self,
        name: &'a CommandName,
        command: &'a Command,
        container: &'a Container,
    ) -> Result<Standing, Obstacle> {
        let subject = Subject::Command(name.clone());
        // The label cannot hold the image's id: it is not known before a pull.
        let spec = Fingerprint::of_run(command, None);
        let image = self.observed.images.get(container.image.reference());
        let present = self.estate.of_command(name);
        let is_this_run = |one: &&Owned<'_>| {
            one.owner.spec == spec && image.is_none_or(|id| *id == one.container.image_id)
        };
        let this_run = present.iter().find(is_this_run).copied();
        let image_id = image.or(this_run.as_ref().map(|one| &one.container.image_id));
        let run = Fingerprint::of_run(command, image_id.map(String::as_str));
        let remembered = self.memory.completed.get(name);
        let is_done = remembered == Some(&run)
            || this_run.is_some_and(|one| is_completed(one.container.state));
        if is_done && !self.memory.asked.again.contains(name) {
            self.forget_doubles(&subject, this_run, &present);
            return Ok(Standing::Done);
        }

        let container_name = match this_run {
            // On its way already: awaited under whatever name it has.
            Some(one) if one.container.is_running() => one.container.name.clone(),
            _ => self.desired.identity.command_container(name),
        };
        let started = match this_run {
            Some(one) if one.container.is_running() => Vec::new(),
            _ => {
                self.claim(&container_name, &subject)?;
                let needs = self.needs_to_launch(name.as_str(), container, &command.depends_on)?;
                let reason = match is_done {
                    // Nothing but that would have it run.
                    true => Reason::AskedAgain,
                    false => self.reason_to_run(name, &spec, &present),
                };
                self.rerun(name, container, &spec, &present, needs, &reason)?
            }
        };
        let action = Action::Await {
            containers: vec![container_name.clone()],
            condition: AfterCondition::Completed,
            patience: RUN_PATIENCE,
        };
        let wait = self.step(&subject, started.clone(), action, &Reason::OneShot);
        Ok(Standing::Up(Up {
            containers: vec![container_name],
            started,
            // Nobody probes a command: whoever wants it ready gets it started.
            has_no_probe: true,
            completed: Some(wait),
            patience: RUN_PATIENCE,
            ..Up::default()
        }))
    }

    /// Of a command that is done one container is kept, for its output. One that
    /// runs is left alone: somebody is running it by hand.
    fn forget_doubles(
        &mut self,
        subject: &Subject,
        this_run: Option<Owned<'a>>,
        present: &[Owned<'a>],
    ) {
        let Some(kept) = this_run.or_else(|| present.first().copied()) else {
            return;
        };
        let reason = Reason::LeftOver(&kept.container.name);
        for one in present {
            if one.container.id != kept.container.id && !is_alive(one.container) {
                self.remove(one, subject, Vec::new(), &reason);
            }
        }
    }

    /// Why a command is run that is not under way.
    fn reason_to_run(
        &self,
        name: &CommandName,
        spec: &Fingerprint,
        present: &[Owned<'a>],
    ) -> Reason<'a> {
        let origin = self.desired.origins.of(&format!("commands.{name}"));
        let failed = present.iter().find_map(|one| match one.container.state {
            ContainerState::Exited { code, .. } if code != 0 && one.owner.spec == *spec => {
                Some(code)
            }
            _ => None,
        });
        match failed {
            Some(code) => Reason::FailedBefore(code),
            None if self.memory.completed.contains_key(name) || !present.is_empty() => {
                Reason::InputsChanged(origin)
            }
            None => Reason::NeverRan(origin),
        }
    }

    /// Removes what is left of earlier runs, and runs it.
    fn rerun(
        &mut self,
        name: &'a CommandName,
        container: &'a Container,
        spec: &Fingerprint,
        present: &[Owned<'a>],
        mut needs: Vec<super::StepId>,
        reason: &Reason<'_>,
    ) -> Needs {
        let subject = Subject::Command(name.clone());
        let container_name = self.desired.identity.command_container(name);
        let generation = generation(&container_name, spec, present);
        let mut gone = Vec::new();
        for old in present {
            let stopped = match is_alive(old.container) {
                true => self.stop(old, &subject, needs.clone(), reason),
                false => needs.clone(),
            };
            gone.push(self.remove(old, &subject, stopped, reason));
        }
        needs.extend(gone);
        // Another of ours may have been given its name by hand.
        let needs = self.free_name(&container_name, needs, &Reason::InTheWay(&container_name));
        let launch = Launch {
            container: with_sticky_ports(container, &container_name, self.memory),
            owner: Owner {
                kind: Kind::Command,
                workspace: Some(self.key.clone()),
                folder: Some(self.desired.identity.folder.clone()),
                name: Some(name.to_string()),
                replica: 1,
                spec: spec.clone(),
                generation,
            },
            name: container_name,
            network: self.desired.network.name.clone(),
            aliases: Vec::new(),
            search: Some(self.desired.identity.domain()),
            health: None,
            remove_when_done: false,
        };
        Ok(vec![self.step(
            &subject,
            needs,
            Action::Launch(Box::new(launch)),
            reason,
        )])
    }
}

fn is_completed(state: ContainerState) -> bool {
    matches!(state, ContainerState::Exited { code: 0, .. })
}
