// The card of one service, with the buttons for it.

import { button, make, reconcile, setAttribute, setHidden } from "./dom.js";
import { createContainer, rewriteChanged, showContainer } from "./container-row.js";
import { live, routeUrl } from "./live.js";
import { order } from "./orders.js";
import { router } from "./router.js";
import { dayAndClock, plural } from "./text.js";

export function createCard() {
  const card = {
    dot: make("span", { class: "dot", "aria-hidden": "true" }),
    name: make("h3", { class: "data" }),
    state: make("span", { class: "state" }),
    replicas: make("span", { class: "replicas dim" }),
    link: make("a", { class: "data host", target: "_blank", rel: "noopener noreferrer", hidden: true }),
    notes: make("ul", { class: "service-notes" }),
    containers: make("ul", { class: "containers" }),
    buttons: {},
  };
  for (const [verb, label] of [["start", "Start"], ["stop", "Stop"], ["restart", "Restart"], ["release", "Release"]]) {
    card.buttons[verb] = button(label, async () => {
      card.buttons[verb].disabled = true;
      card.busy = verb;
      await order(verb, card.target);
      card.busy = null;
      card.enable();
    }, { "data-testid": verb });
  }
  const more = [
    button("Logs", () => router.go("logs", { containers: card.names.join(",") }), { class: "link" }),
    button("Exchanges", () => router.go("exchanges", { filter: card.filter }), { class: "link" }),
  ];
  card.element = make("article", { class: "card", "data-testid": "service-card" },
    make("header", {}, card.dot, card.name, card.state, card.replicas),
    card.link, card.notes, card.containers,
    make("div", { class: "card-tools" }, make("div", { class: "buttons", role: "group" }, Object.values(card.buttons)), make("div", { class: "links" }, more)));
  card.enable = () => enable(card);
  return card;
}

export function showService(card, { service, workspace }) {
  card.target = { reference: service.name, name: service.name, workspace };
  card.names = service.containers.map((container) => container.name);
  card.filter = `workspace:${workspace.workspace} service:${service.name}`;
  card.held = Boolean(service.hold || service.scale);
  card.stopped = service.hold?.what === "stopped" || ["held", "off"].includes(service.state);
  card.running = ["ready", "starting", "unhealthy"].includes(service.state);
  const ready = service.containers.filter((container) => container.state === "running" && container.readiness === "ready").length;
  show(card, service.name, service.state, `${ready} of ${plural(service.replicas, "replica")} ready`);
  const url = service.host ? routeUrl(service.host, live.port) : null;
  setHidden(card.link, !url);
  if (url) setAttribute(card.link, "href", url);
  rewriteChanged(card.link, url ?? "");
  reconcile(card.notes, notes(service), (note) => note.text, createNote, () => {});
  reconcile(card.containers, service.containers, (container) => container.id, createContainer, showContainer);
}

export function showAdhoc(card, { container }) {
  card.target = { reference: container.id, name: container.name };
  card.names = [container.name];
  card.filter = `container:${container.name}`;
  card.held = false;
  card.stopped = container.state !== "running";
  card.running = container.state === "running";
  show(card, container.name, container.state === "running" ? container.readiness : container.state, "");
  setHidden(card.buttons.release, true);
  reconcile(card.containers, [container], (one) => one.id, createContainer, showContainer);
}

function show(card, name, state, replicas) {
  setAttribute(card.element, "data-service", name);
  setAttribute(card.element, "aria-label", `${name}, ${state}`);
  setAttribute(card.element, "data-state", state);
  setAttribute(card.dot, "class", `dot ${state}`);
  rewriteChanged(card.name, name);
  rewriteChanged(card.state, state);
  rewriteChanged(card.replicas, replicas);
  for (const [verb, control] of Object.entries(card.buttons)) setAttribute(control, "aria-label", `${verb[0].toUpperCase()}${verb.slice(1)} ${name}`);
  enable(card);
}

function enable(card) {
  const allowed = { start: card.stopped || !card.running, stop: !card.stopped || card.running, restart: card.running, release: card.held };
  for (const [verb, control] of Object.entries(card.buttons)) {
    const disabled = !allowed[verb] || card.busy === verb;
    if (control.disabled !== disabled) control.disabled = disabled;
  }
}

function createNote({ text, kind }) {
  const element = make("li", { class: kind });
  rewriteChanged(element, text);
  return { element };
}

function notes(service) {
  const list = [];
  if (service.hold) list.push({ kind: "hold", text: overrideText(service.hold) });
  if (service.scale) list.push({ kind: "hold", text: overrideText(service.scale) });
  if (service.note) list.push({ kind: "note", text: service.note });
  if (service.kept_because) list.push({ kind: "bad", text: `Kept as it was: ${service.kept_because}` });
  for (const drift of service.drift ?? []) list.push({ kind: "drift", text: `Drift: ${drift}` });
  return list;
}

export function overrideText({ what, by, who, at, until, why }) {
  const kind = what === "stopped" ? "Held stopped" : what === "started" ? "Held started" : `Held at ${plural(what.replicas, "replica")}`;
  return [
    `${kind} by ${by}`,
    who ? `(${who})` : "",
    `since ${dayAndClock(at)}`,
    until ? `until ${dayAndClock(until)}` : "",
    why ? `(${why})` : "",
  ].filter(Boolean).join(" ");
}
