//! `cosmos plan`: what `up` would do, and why.

use std::process::ExitCode;

use serde::Serialize;

use super::{
    args::{Global, Plan},
    bootstrap, context,
    error::Failure,
    trust,
    ui::{outln, show_plan},
    up::{rerun, secrets},
};
use crate::{
    api::{
        client::encoded,
        wire::{PlanReport, Wish},
    },
    config::{Danger, Loaded},
    plan::plan,
    reconcile::controller::Preview,
    workspace::Memory,
};

/// What `--json` prints: the server's plan, and what only the config's reader knows.
#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a PlanReport,
    /// What reaches the host.
    dangers: &'a [Danger],
}

pub(super) async fn run(global: Global, args: Plan) -> Result<ExitCode, Failure> {
    let loaded = context::load_to_show(&global, &args.project)?;
    let client = bootstrap::existing(&global).await;
    let wish = Wish {
        workspace: loaded.workspace.clone(),
        secrets: secrets(&loaded),
        expect: None,
        no_wait: false,
        only: Vec::new(),
        release: false,
        rerun: rerun(&loaded, &args.rerun)?,
        yes: false,
        may_log_in: false,
        by: "cosmos plan".to_owned(),
    };
    let path = format!(
        "/workspaces/{}/plan",
        encoded(&loaded.workspace.identity.key())
    );
    let report: PlanReport = match client {
        Ok(client) => client.post(&path, &wish).await?,
        Err(failure) => first_plan(&loaded).await.ok_or(failure)?,
    };
    if args.json {
        let shown = Shown {
            report: &report,
            dangers: &loaded.dangers,
        };
        outln!("{}", serde_json::to_string(&shown).unwrap_or_default());
    } else {
        show_plan(&report);
        for stranger in &report.ignored {
            outln!(
                "! {} {}: it is left alone",
                stranger.container,
                stranger.why
            );
        }
        show_dangers(&loaded);
    }
    let is_pending = !report.is_empty();
    Ok(ExitCode::from(if args.exit_code && is_pending {
        3
    } else {
        0
    }))
}

/// The plan of the first `up` on an engine, which makes the proxy, too: planned here, as
/// nobody is there to be asked.
async fn first_plan(loaded: &Loaded) -> Option<PlanReport> {
    let observed = bootstrap::untouched().await?;
    let plan = plan(&loaded.workspace, &observed, &Memory::default());
    let preview = Preview {
        plan,
        unchanged: Vec::new(),
        holds: Vec::new(),
    };
    Some(preview.into())
}

/// What of the config reaches the host, whether or not it is trusted with it.
fn show_dangers(loaded: &Loaded) {
    if loaded.dangers.is_empty() {
        return;
    }
    outln!();
    for danger in &loaded.dangers {
        outln!("! {}", trust::line(danger));
    }
    match trust::untrusted(loaded).len() {
        0 => outln!("this reaches beyond the containers, and you trust the project with it"),
        _ => outln!(
            "this reaches beyond the containers: `cosmos up` asks for it, `--trust` says yes"
        ),
    }
}
