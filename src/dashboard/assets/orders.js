// Gives the orders of the verbs: start, stop, restart, release, rollback.

import { call, lines, query, request } from "./api.js";
import { button, fill, make, setHidden } from "./dom.js";
import { openDialog } from "./dialogs.js";
import { ledger } from "./ledger.js";
import { notice, tellError } from "./notices.js";
import { SIGNS } from "./causes.js";
import { dayAndClock, duration, plural, writeText } from "./text.js";

export async function order(verb, { reference, name, workspace = null }) {
  const path = `/containers/${encodeURIComponent(reference)}/${verb}${query({
    workspace: workspace?.workspace,
    folder: workspace?.folder,
    by: `cosmos ${verb} ${name} (dashboard)`,
  })}`;
  try {
    const done = await call(path, { method: "POST" });
    notice(done.note ?? `cosmos ${verb} ${name}: done.`);
  } catch (error) {
    tellError(error);
  }
  if (workspace) ledger.refresh(workspace.workspace);
}

export function rollBack(workspace, revision) {
  const progress = make("ol", { class: "progress data", "aria-live": "polite", "aria-label": "What is done" });
  const said = make("div", { class: "problem", role: "alert", hidden: true });
  const go = button(`Roll back to ${revision.revision}`, async () => {
    go.disabled = true;
    setHidden(said, true);
    try {
      await follow(workspace, revision.revision, progress);
      go.remove();
      cancel.textContent = "Close";
    } catch (error) {
      fill(said, writeText(make("p"), error.message), error.hint ? writeText(make("p", { class: "hint" }), error.hint) : null);
      setHidden(said, false);
      go.disabled = false;
    }
    ledger.refresh(workspace.workspace);
  }, { class: "main", "data-testid": "rollback-confirm" });
  const cancel = button("Cancel", () => dialog.close());
  const dialog = openDialog(`Roll back to revision ${revision.revision}`, make("div", { class: "dialog-body" },
    writeText(make("p"), `${workspace.workspace} becomes what it was on ${dayAndClock(revision.at)}, with ${plural(revision.services, "service")}. Containers that differ are replaced. You can go forward again in the same way.`),
    progress, said, make("div", { class: "buttons" }, go, cancel)), { testid: "rollback-dialog" });
}

async function follow(workspace, revision, progress) {
  const response = await request(`/workspaces/${encodeURIComponent(workspace.workspace)}/rollback`, {
    method: "POST",
    body: { revision, folder: workspace.folder, by: `cosmos rollback ${revision} (dashboard)` },
  });
  const steps = new Map();
  const say = (text, tone = "") => progress.append(writeText(make("li", { class: tone }), text));
  for await (const line of lines(response)) {
    const event = line.event ?? line.kind;
    if (event === "plan_made") {
      for (const step of line.steps) {
        const element = make("li", {}, `${SIGNS[step.sign] ?? ""} `, writeText(make("bdi"), step.action), " ");
        const state = make("span", { class: "dim" });
        element.append(state);
        progress.append(element);
        steps.set(step.id, state);
      }
      if (!line.steps.length) say("Nothing has to be done.");
    } else if (steps.has(line.step)) {
      const state = steps.get(line.step);
      if (event === "step_started") state.textContent = "…";
      else if (event === "step_succeeded") state.textContent = `done in ${duration(line.millis)}`;
      else if (event === "step_skipped") state.textContent = "left out";
      else if (event === "step_failed") writeText(fill(state, "failed: "), line.problem?.message ?? "");
    } else if (event === "failed" || event === "service_failed" || event === "service_rolled_back" || event === "blocked") {
      if (event === "failed") throw Object.assign(new Error(line.problem?.message ?? "It could not be done"), { hint: line.problem?.hint });
      say([line.service ?? line.subject?.name, line.problem?.message, line.problem?.hint].filter(Boolean).join(": "), "bad");
    } else if (event === "finished") {
      say(`Finished${typeof line.outcome === "string" ? `: ${line.outcome}` : "."}`);
    }
  }
}
