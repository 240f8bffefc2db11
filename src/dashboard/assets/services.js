// The view of services: a card for each, under its workspace with its plan.

import { button, fill, make, reconcile, setHidden } from "./dom.js";
import { measureContainer, rewriteChanged, tickContainer } from "./container-row.js";
import { createCard, showAdhoc, showService } from "./service-card.js";
import { noWorkspace } from "./exchanges.js";
import { ledger } from "./ledger.js";
import { live } from "./live.js";
import { PlanView } from "./plan.js";
import { router } from "./router.js";
import { plural } from "./text.js";

export class ServicesView {
  constructor(root) {
    this.root = root;
    this.empty = make("div", { class: "empty" });
    this.list = make("div", { class: "workspaces" });
    fill(root, this.empty, this.list);
    live.addEventListener("state", () => this.soon());
    ledger.addEventListener("change", () => this.soon());
    live.addEventListener("usage", () => this.each(measureContainer));
    setInterval(() => this.each(tickContainer), 1000);
  }

  route() {
    this.show();
    const wanted = router.get("service");
    if (!wanted) return;
    const card = [...this.root.querySelectorAll(".card")].find((one) => one.dataset.service === wanted);
    card?.scrollIntoView({ block: "center" });
  }

  soon() {
    if (this.root.hidden || this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.show();
    });
  }

  each(act) {
    if (this.root.hidden) return;
    for (const group of this.list.keyed?.values() ?? []) {
      for (const card of group.cards.keyed?.values() ?? []) {
        for (const row of card.containers.keyed?.values() ?? []) act(row);
      }
    }
  }

  show() {
    const groups = live.workspaces.map((workspace) => ({ key: `w${workspace.workspace}`, workspace }));
    if (live.adhoc.length) groups.push({ key: "adhoc", adhoc: live.adhoc });
    setHidden(this.empty, groups.length > 0);
    if (!groups.length) fill(this.empty, ...(live.known ? noWorkspace() : [make("p", { class: "dim" }, "Waiting for cosmos…")]));
    reconcile(this.list, groups, (group) => group.key, createGroup, showGroup);
  }
}

function createGroup({ workspace }) {
  const group = {
    title: make("h2", { class: "data" }),
    folder: make("span", { class: "folder dim data" }),
    counts: make("span", { class: "dim" }),
    plan: new PlanView(),
    cards: make("div", { class: "cards" }),
    commands: make("ul", { class: "commands" }),
  };
  const history = workspace ? button("History and rollback", () => router.go("history", { workspace: group.key }), { class: "link" }) : null;
  group.element = make("section", { class: "workspace" },
    make("header", {}, group.title, group.counts, group.folder, history), group.plan.element, group.cards, group.commands);
  return group;
}

function showGroup(group, { workspace, adhoc }) {
  if (adhoc) {
    rewriteChanged(group.title, "Containers of no workspace");
    setHidden(group.plan.element, true);
    reconcile(group.cards, adhoc, (container) => container.id, createCard, (card, container) => showAdhoc(card, { container }));
    return;
  }
  group.key = workspace.workspace;
  rewriteChanged(group.title, workspace.workspace);
  rewriteChanged(group.folder, workspace.folder);
  const ready = workspace.services.filter((service) => service.state === "ready").length;
  rewriteChanged(group.counts, `${ready} of ${plural(workspace.services.length, "service")} ready`);
  group.plan.show(ledger.books.get(workspace.workspace));
  reconcile(group.cards, workspace.services, (service) => service.name, createCard, (card, service) => showService(card, { service, workspace }));
  reconcile(group.commands, workspace.commands, (command) => command.name, createCommand, showCommand);
}

function createCommand() {
  const dot = make("span", { class: "dot", "aria-hidden": "true" });
  const name = make("span", { class: "data" });
  const state = make("span", { class: "dim" });
  return { element: make("li", {}, dot, name, " ", state), dot, name, state };
}

function showCommand(row, command) {
  const mood = { completed: "ready", failed: "unhealthy", running: "starting" }[command.state] ?? "off";
  row.dot.className = `dot ${mood}`;
  rewriteChanged(row.name, command.name);
  rewriteChanged(row.state, `command, ${command.state}`);
}
