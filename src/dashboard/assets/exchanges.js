// The view of exchanges: filter, tools, list and the details beside it.

import { call, query } from "./api.js";
import { button, fill, make, setAttribute, setHidden, setText } from "./dom.js";
import { openHelp, TERMS } from "./dialogs.js";
import { exchanges } from "./exchange-store.js";
import { ExchangeList } from "./exchange-list.js";
import { Detail } from "./detail.js";
import { download } from "./replay.js";
import { live } from "./live.js";
import { tellError } from "./notices.js";
import { router } from "./router.js";
import { count, plural, visible, writeText } from "./text.js";

const TYPING = 220;
const CHIPS = [["Errors", "is:error"], ["Slow", "slower:500ms"], ["Open", "is:open"], ["Events", "is:sse"], ["WebSocket", "is:websocket"], ["Replays", "is:replay"]];

export class ExchangesView {
  constructor(root) {
    this.root = root;
    this.detail = new Detail({ closed: () => this.open(null), opened: (number) => this.open(number) });
    this.list = new ExchangeList({
      opened: (item) => (item.mark ? router.go("history", { workspace: item.workspace, entry: item.entry.number }) : this.open(item.number)),
      openedNumber: () => this.detail.number,
    });
    this.build();
    exchanges.addEventListener("change", () => this.soon());
    exchanges.addEventListener("reset", () => {
      this.open(null);
      this.list.restart();
    });
    live.addEventListener("state", () => this.soon());
  }

  build() {
    this.filter = make("input", {
      type: "search", class: "filter data", "data-testid": "filter", "aria-label": "Filter exchanges", autocomplete: "off", spellcheck: "false",
      placeholder: "Filter: service:api status:5xx /path words  ( / )", "aria-describedby": "filter-problem",
      on: { input: () => this.typed(), keydown: (event) => this.filterKey(event) },
    });
    this.problem = make("div", { class: "problem", id: "filter-problem", role: "status", "data-testid": "filter-problem", hidden: true });
    this.chips = CHIPS.map(([label, term]) => button(label, () => this.toggleTerm(term), { class: "chip", "data-term": term, "aria-pressed": "false" }));
    this.number = make("span", { class: "number" });
    this.dropped = make("span", { class: "dropped", "data-testid": "dropped", hidden: true });
    this.pause = button("Pause", () => this.togglePause(), { "data-testid": "pause", "aria-pressed": "false", title: "Pause the list (p)" });
    const har = button("HAR", () => download(exchanges.filter), { "data-testid": "har", title: "Save the exchanges of this filter as a HAR file" });
    const clear = button("Clear", () => this.clear(), { "data-testid": "clear", title: "Empty the list for everybody" });
    this.empty = make("div", { class: "empty", "data-testid": "empty", hidden: true });
    this.list.element.append(this.empty);
    fill(this.root,
      make("div", { class: "tools" },
        make("div", { class: "filter-line" }, this.filter, button("?", () => openHelp(live.version), { class: "quiet", "aria-label": "How to filter" })),
        make("div", { class: "chips", role: "group", "aria-label": "Ready-made filters" }, this.chips),
        make("div", { class: "counts" }, this.number, this.dropped),
        make("div", { class: "buttons" }, this.pause, har, clear)),
      this.problem,
      make("div", { class: "split" }, this.list.element, this.detail.handle, this.detail.element));
  }

  // Called when the address has changed, and at the beginning.
  route() {
    const filter = router.get("filter");
    if (this.filter.value !== filter) this.filter.value = filter;
    if (!this.started || exchanges.filter !== filter) this.follow(filter);
    const number = Number(router.get("open")) || null;
    if (number !== this.detail.number) this.detail.open(number);
    this.list.refresh();
    this.soon();
  }

  follow(filter) {
    this.started = true;
    exchanges.follow(filter);
    this.list.restart();
  }

  typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      const filter = this.filter.value.trim();
      router.set({ filter });
      if (exchanges.filter !== filter) this.follow(filter);
    }, TYPING);
  }

  filterKey(event) {
    if (event.key !== "Enter" && event.key !== "ArrowDown") return;
    event.preventDefault();
    this.list.viewport.focus();
    if (this.list.position() < 0) this.list.move(0, { marks: false });
  }

  toggleTerm(term) {
    const terms = this.filter.value.split(/\s+/).filter(Boolean);
    const rest = terms.filter((other) => other !== term);
    this.filter.value = (rest.length === terms.length ? [...terms, term] : rest).join(" ");
    this.typed();
  }

  togglePause() {
    this.list.paused = !this.list.paused;
    this.list.refresh();
    this.show();
  }

  async clear() {
    try {
      await call("/exchanges", { method: "DELETE" });
      this.open(null);
    } catch (error) {
      tellError(error);
    }
  }

  open(number) {
    this.detail.open(number);
    if (router.view === "exchanges") router.set({ open: number });
    if (number === null && this.root.contains(document.activeElement)) this.list.viewport.focus({ preventScroll: true });
    this.list.refresh();
  }

  key(name, event) {
    const step = { j: 1, ArrowDown: 1, k: -1, ArrowUp: -1, PageDown: 15, PageUp: -15, Home: -Infinity, End: Infinity }[name];
    const inDetail = this.detail.element.contains(event.target);
    if (name === "/") {
      event.preventDefault();
      this.filter.focus();
      this.filter.select();
    } else if (step !== undefined && (name.length === 1 || !inDetail)) {
      event.preventDefault();
      this.list.move(step, { marks: name.length > 1 });
      this.followSelection();
    } else if (name === "Enter" && (event.target === document.body || event.target === this.list.viewport)) {
      const item = this.list.current();
      if (item) this.list.opened(item);
    } else if (name === "Escape") {
      this.open(null);
    } else if (name === "p") {
      this.togglePause();
    } else if (["r", "e", "c"].includes(name)) {
      const number = this.detail.number ?? this.list.current()?.number;
      if (number) this.detail.act(name, number);
    }
  }

  // With the details open, moving means reading the next ones; not every one on the way.
  followSelection() {
    if (this.detail.number === null) return;
    clearTimeout(this.following);
    this.following = setTimeout(() => {
      const item = this.list.current();
      if (item && !item.mark) this.open(item.number);
    }, 120);
  }

  soon() {
    if (this.pending) return;
    this.pending = true;
    setTimeout(() => requestAnimationFrame(() => {
      this.pending = false;
      this.show();
    }), 100);
  }

  show() {
    const { list, most, dropped, filter, problem } = exchanges;
    setText(this.number, `${plural(Math.min(list.length, most), "exchange")}${filter ? " match" : ""}`);
    setHidden(this.dropped, !dropped);
    setText(this.dropped, `${count(dropped)} not captured`);
    setHidden(this.problem, !problem);
    setText(this.problem, problem ? visible([problem.message, problem.hint].filter(Boolean).join(". ")) : "");
    setAttribute(this.filter, "aria-invalid", Boolean(problem));
    setText(this.pause, this.list.paused ? "Go on" : "Pause");
    setAttribute(this.pause, "aria-pressed", this.list.paused);
    const terms = filter.split(/\s+/);
    for (const chip of this.chips) setAttribute(chip, "aria-pressed", terms.includes(chip.dataset.term));
    const open = this.detail.number === null ? null : exchanges.get(this.detail.number);
    if (open) this.detail.changed(open);
    this.showEmpty(list.length === 0);
  }

  showEmpty(empty) {
    setHidden(this.empty, !empty);
    const routes = live.routes();
    const told = `${exchanges.filter}|${live.known}|${routes.map((route) => `${route.url} ${route.state}`).join()}`;
    if (!empty || told === this.told) return;
    this.told = told;
    if (exchanges.filter) {
      fill(this.empty,
        writeText(make("h2"), `Nothing matches ${exchanges.filter}`),
        button("Clear the filter", () => {
          this.filter.value = "";
          this.typed();
        }),
        make("dl", { class: "pairs" }, TERMS.map(([term, meaning]) => [make("dt", {}, make("code", {}, term)), make("dd", {}, meaning)])));
    } else if (routes.length) {
      fill(this.empty,
        make("h2", {}, "Nothing has come by yet"),
        make("p", {}, "Every request to these addresses is shown here as it comes:"),
        make("ul", { class: "routes" }, routes.map(({ url, service, state }) => make("li", {},
          make("span", { class: `dot ${state}`, "aria-hidden": "true" }),
          make("a", { href: url, target: "_blank", rel: "noopener noreferrer" }, url), " ",
          writeText(make("span", { class: "dim" }), `${service}, ${state}`)))));
    } else {
      fill(this.empty, ...noWorkspace());
    }
  }
}

export function noWorkspace() {
  return live.known && live.workspaces.length
    ? [make("h2", {}, "No service has a route yet"), make("p", {}, "Give one a host name in its cosmos.toml, then run"), make("pre", { class: "command" }, "cosmos up")]
    : [make("h2", {}, "No workspace is up yet"), make("p", {}, "In a folder with a cosmos.toml, run"), make("pre", { class: "command" }, "cosmos up"),
      make("p", { class: "dim" }, "Its services, logs and requests appear here by themselves.")];
}
