// What is still to be done in a workspace.

import { plain } from "./ansi.js";
import { fill, make, setAttribute, setHidden } from "./dom.js";
import { SIGNS } from "./causes.js";
import { overrideText } from "./service-card.js";
import { plural, writeText } from "./text.js";

export class PlanView {
  constructor() {
    this.head = make("summary");
    this.content = make("div", { class: "plan-content" });
    this.element = make("details", { class: "plan", "data-testid": "plan" }, this.head, this.content);
    this.told = "";
  }

  show({ plan, planProblem } = {}) {
    setHidden(this.element, !plan && !planProblem);
    const told = JSON.stringify([plan, planProblem?.message]);
    if (told === this.told) return;
    this.told = told;
    if (!plan) {
      fill(this.head, planProblem ? "The plan cannot be made" : "");
      fill(this.content, planProblem ? problem(planProblem) : null);
      return;
    }
    const { steps, blocked } = plan;
    const quiet = !steps.length && !blocked.length;
    setAttribute(this.element, "class", quiet ? "plan quiet-plan" : "plan");
    const counts = [steps.length ? `${plural(steps.length, "step")} to do` : null, blocked.length ? `${blocked.length} blocked` : null].filter(Boolean);
    fill(this.head, quiet ? "As declared: nothing to do" : `Plan: ${counts.join(", ")}`);
    if (!quiet && !this.everOpened) {
      this.everOpened = true;
      this.element.open = true;
    }
    fill(this.content,
      blocked.map(problem),
      steps.length ? make("ol", { class: "steps data" }, steps.map(stepRow)) : null,
      rows("Held", plan.holds, (held) => `${held.service}: ${overrideText(held)}`),
      rows("In force without a step", plan.quiet, ({ of, change }) => `${of}: ${change}`),
      rows("Left alone", plan.ignored, ({ container, why }) => `${container}: ${why}`),
      plan.unchanged?.length ? writeText(make("p", { class: "dim" }), `Unchanged: ${plan.unchanged.join(", ")}`) : null);
  }
}

export function stepRow(step) {
  return make("li", { class: `step ${step.sign}` },
    make("span", { class: "sign", "aria-label": step.sign }, SIGNS[step.sign] ?? "?"),
    writeText(make("bdi", { class: "action" }), step.action),
    writeText(make("span", { class: "reason dim" }), step.reason ?? ""),
    step.loses ? writeText(make("span", { class: "loses" }), `loses ${step.loses}`) : null);
}

export function problem({ message, hint, output }) {
  return make("div", { class: "problem" },
    writeText(make("p"), message),
    hint ? writeText(make("p", { class: "hint" }), hint) : null,
    output?.length ? writeText(make("pre", { class: "data" }), plain(output.join("\n")), { lines: true }) : null);
}

function rows(title, list, text) {
  if (!list?.length) return null;
  return make("div", {}, make("h4", {}, title), make("ul", {}, list.map((item) => writeText(make("li"), text(item)))));
}
