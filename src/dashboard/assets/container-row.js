// One container of a service: its state, and what it uses.

import { make, setAttribute, setHidden } from "./dom.js";
import { live } from "./live.js";
import { Sparkline } from "./sparkline.js";
import { bytes, plural, rewrite, span } from "./text.js";

export function createContainer() {
  const name = make("span", { class: "container-name data" });
  const state = make("span", { class: "container-state" });
  const notes = make("span", { class: "container-notes dim data" });
  const cpu = new Sparkline("CPU");
  const memory = new Sparkline("Memory");
  const usage = make("div", { class: "usage" }, cpu.element, memory.element);
  const dot = make("span", { class: "dot", "aria-hidden": "true" });
  const element = make("li", { class: "container" }, make("div", { class: "container-line" }, dot, name, state), notes, usage);
  return { element, name, state, notes, cpu, memory, usage, dot };
}

export function showContainer(row, container) {
  row.container = container;
  const running = container.state === "running";
  const mood = running ? container.readiness : "exited";
  setAttribute(row.dot, "class", `dot ${mood}`);
  rewriteChanged(row.name, container.name);
  rewriteChanged(row.state, stateText(container));
  rewriteChanged(row.notes, [container.image, ...container.ports].join(" · "));
  setHidden(row.usage, !running);
  measureContainer(row);
}

export function measureContainer({ container, cpu, memory }) {
  if (!container) return;
  const points = live.usage.get(container.id) ?? [];
  const last = points.at(-1);
  cpu.show(points.map(({ at, cpu: value }) => ({ at, value })), { ceiling: 10, text: last ? `${last.cpu.toFixed(last.cpu < 10 ? 1 : 0)} %` : "" });
  const limit = last?.limit ? ` of ${bytes(last.limit)}` : "";
  memory.show(points.map(({ at, memory: value }) => ({ at, value })), { ceiling: last?.limit ?? (last?.memory ?? 0) * 1.4, text: last ? `${bytes(last.memory)}${limit}` : "" });
}

export function tickContainer(row) {
  if (row.container) rewriteChanged(row.state, stateText(row.container));
}

function stateText(container) {
  const passed = container.seconds === null || container.seconds === undefined ? null : container.seconds + (Date.now() - live.receivedAt) / 1000;
  const parts = [];
  if (container.state === "running") {
    parts.push(container.readiness);
    if (passed !== null) parts.push(`up ${span(passed)}`);
  } else {
    parts.push(container.exit_code === null || container.exit_code === undefined ? container.state : `${container.state} with ${container.exit_code}`);
    if (passed !== null) parts.push(`${span(passed)} ago`);
  }
  if (container.restarts) parts.push(plural(container.restarts, "restart"));
  return parts.join(" · ");
}

export function rewriteChanged(element, text) {
  if (element.told === text) return;
  element.told = text;
  rewrite(element, text);
}
