//! `cosmos plan`: what `up` would do, and why.

use std::process::ExitCode;

use super::{
    args::{Global, Plan},
    bootstrap, context,
    error::Failure,
    ui::{outln, show_plan},
    up::secrets,
};
use crate::api::{
    client::encoded,
    wire::{PlanReport, Wish},
};

pub(super) async fn run(global: Global, args: Plan) -> Result<ExitCode, Failure> {
    let loaded = context::load(&global, &args.project)?;
    let client = bootstrap::existing(&global).await?;
    let wish = Wish {
        workspace: loaded.workspace.clone(),
        secrets: secrets(&loaded),
        expect: None,
        no_wait: false,
        only: Vec::new(),
        release: false,
    };
    let path = format!(
        "/workspaces/{}/plan",
        encoded(&loaded.workspace.identity.key())
    );
    let report: PlanReport = client.post(&path, &wish).await?;
    if args.json {
        outln!("{}", serde_json::to_string(&report).unwrap_or_default());
    } else {
        show_plan(&report);
    }
    let is_pending = !report.steps.is_empty() || !report.blocked.is_empty();
    Ok(ExitCode::from(if args.exit_code && is_pending {
        3
    } else {
        0
    }))
}
