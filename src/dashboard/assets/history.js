// The view of the history: what was done, why, how long it took, and what can be gone back to.

import { button, fill, make, reconcile, setAttribute, setHidden } from "./dom.js";
import { causeDetail, causeTitle, SIGNS, STATES, writing } from "./causes.js";
import { rewriteChanged } from "./container-row.js";
import { noWorkspace } from "./exchanges.js";
import { ledger } from "./ledger.js";
import { live } from "./live.js";
import { rollBack } from "./orders.js";
import { problem } from "./plan.js";
import { router } from "./router.js";
import { dayAndClock, duration, plural, writeText } from "./text.js";

export class HistoryView {
  constructor(root) {
    this.root = root;
    this.picker = make("div", { class: "choices", role: "group", "aria-label": "Workspace" });
    this.entries = make("ol", { class: "entries" });
    this.revisions = make("ol", { class: "revisions" });
    this.empty = make("div", { class: "empty" });
    this.columns = make("div", { class: "columns" },
      make("section", { "aria-label": "What was done" }, make("h2", {}, "What was done"), this.entries),
      make("section", { "aria-label": "Revisions" }, make("h2", {}, "Revisions"), this.revisions));
    fill(root, this.picker, this.empty, this.columns);
    ledger.addEventListener("change", () => this.soon());
    live.addEventListener("state", () => this.soon());
  }

  route() {
    this.pending = router.get("entry");
    this.show();
  }

  soon() {
    if (this.root.hidden || this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.show();
    });
  }

  show() {
    const names = live.workspaces.map((workspace) => workspace.workspace);
    const wanted = router.get("workspace");
    const current = names.includes(wanted) ? wanted : names[0];
    const workspace = live.workspaces.find((one) => one.workspace === current);
    const history = ledger.books.get(current)?.history;
    setHidden(this.picker, names.length < 2);
    reconcile(this.picker, names, (name) => name, createPick, (part, name) => setAttribute(part.element, "aria-pressed", name === current));
    setHidden(this.empty, Boolean(history));
    setHidden(this.columns, !history);
    if (!history) {
      fill(this.empty, ...(live.known && !names.length ? noWorkspace() : [make("p", { class: "dim" }, "Waiting for the history…")]));
      return;
    }
    const key = (entry) => `${current}/${entry.number}`;
    reconcile(this.entries, history.entries, key, createEntry, showEntry);
    reconcile(this.revisions, history.revisions, (revision) => `${current}/${revision.revision}`, createRevision,
      (part, revision) => showRevision(part, { revision, workspace, newest: revision === history.revisions[0] }));
    const target = this.pending ? this.entries.keyed.get(`${current}/${this.pending}`) : null;
    if (target) {
      this.pending = null;
      target.element.open = true;
      target.head.focus({ preventScroll: true });
      target.element.scrollIntoView({ block: "center" });
    }
  }

  key(name) {
    if (name !== "j" && name !== "k") return;
    const heads = [...this.entries.querySelectorAll("summary")];
    const at = heads.indexOf(document.activeElement);
    heads[Math.min(heads.length - 1, Math.max(0, at + (name === "j" ? 1 : -1)))]?.focus();
  }
}

function createPick(name) {
  const element = button("", () => router.go("history", { workspace: name }), { class: "chip data" });
  return { element: writeText(element, name) && element };
}

function createEntry() {
  const entry = {
    title: make("span", { class: "cause data" }),
    detail: make("span", { class: "dim" }),
    state: make("span", { class: "entry-state" }),
    when: make("span", { class: "when dim data" }),
    steps: make("ol", { class: "steps data" }),
  };
  entry.head = make("summary", {}, entry.when, entry.title, entry.state, entry.detail);
  entry.element = make("details", { class: "entry", "data-testid": "history-entry" }, entry.head, entry.steps);
  return entry;
}

function showEntry(part, entry) {
  const told = `${entry.state} ${entry.millis} ${entry.steps.length} ${entry.steps.map((step) => step.result?.result).join()}`;
  rewriteChanged(part.when, dayAndClock(entry.at));
  if (part.told === told) return;
  part.told = told;
  setAttribute(part.element, "class", `entry ${entry.state}`);
  rewriteChanged(part.title, causeTitle(entry));
  const took = entry.millis ? ` in ${duration(entry.millis)}` : "";
  rewriteChanged(part.state, `${STATES[entry.state] ?? entry.state}${took}`);
  const did = writing(entry);
  rewriteChanged(part.detail, [causeDetail(entry), did.length ? plural(did.length, "step") : "nothing to do", `revision ${entry.revision}`].filter(Boolean).join(" · "));
  const whole = Math.max(1, entry.millis, ...entry.steps.map((step) => (step.began ?? 0) + (step.result?.millis ?? 0)));
  fill(part.steps, entry.steps.length ? entry.steps.map((step) => stepRow(step, entry, whole)) : make("li", { class: "dim" }, "It had no steps."));
}

function stepRow(step, entry, whole) {
  const result = step.result?.result ?? "unknown";
  const words = { done: duration(step.result?.millis ?? 0), failed: "failed", skipped: "left out", unknown: entry.state === "underway" ? "…" : "not known" }[result] ?? result;
  const critical = entry.critical_path?.includes(step.id);
  const bar = make("span", { class: `bar ${result}` });
  if (step.began !== null && step.began !== undefined) {
    bar.style.left = `${(step.began / whole) * 100}%`;
    bar.style.width = `${Math.max(0.5, ((step.result?.millis ?? whole - step.began) / whole) * 100)}%`;
  }
  return make("li", { class: `step ${step.sign} ${result}${critical ? " critical" : ""}` },
    make("span", { class: "sign", "aria-label": step.sign }, SIGNS[step.sign] ?? "?"),
    writeText(make("bdi", { class: "action" }), step.action),
    make("span", { class: "took", title: critical ? "The whole had to wait for this step" : null }, critical ? `${words} ◂` : words),
    make("span", { class: "track", "aria-hidden": "true" }, bar),
    writeText(make("span", { class: "reason dim" }), step.reason ?? ""),
    step.loses ? writeText(make("span", { class: "loses" }), `loses ${step.loses}`) : null,
    step.result?.problem ? problem(step.result.problem) : null);
}

function createRevision() {
  const part = {
    number: make("b", { class: "data" }),
    state: make("span", { class: "entry-state" }),
    about: make("span", { class: "dim" }),
  };
  part.back = button("Roll back", () => rollBack(part.workspace, part.revision), { "data-testid": "rollback" });
  part.element = make("li", { class: "revision" }, part.number, part.state, part.about, part.back);
  return part;
}

function showRevision(part, { revision, workspace, newest }) {
  part.revision = revision;
  part.workspace = workspace;
  setAttribute(part.element, "data-revision", revision.revision);
  setAttribute(part.element, "class", `revision ${revision.state}`);
  rewriteChanged(part.number, String(revision.revision));
  rewriteChanged(part.state, newest ? `${revision.state}, in force` : revision.state);
  rewriteChanged(part.about, `${dayAndClock(revision.at)} · ${plural(revision.services, "service")}`);
  setAttribute(part.back, "aria-label", `Roll back to revision ${revision.revision}`);
  setHidden(part.back, newest);
}
