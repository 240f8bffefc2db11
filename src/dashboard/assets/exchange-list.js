// The list of exchanges, newest first, with what happened to containers drawn in between.

import { make, setAttribute, setHidden, setText } from "./dom.js";
import { createRow, keyOf, showRow } from "./exchange-row.js";
import { exchanges } from "./exchange-store.js";
import { ledger } from "./ledger.js";
import { live } from "./live.js";
import { summary } from "./causes.js";
import { plural } from "./text.js";
import { VirtualList } from "./virtual-list.js";
import { layOut } from "./waterfall.js";

const NARROW = 620;
const MEDIUM = 860;
const ROOMY = 1160;
// Faster than this nobody can read, and the frames are better spent on scrolling.
const REST = 90;

export class ExchangeList {
  constructor({ opened, openedNumber }) {
    this.opened = opened;
    this.openedNumber = openedNumber;
    this.paused = false;
    this.selected = null;
    this.items = [];
    this.top = 0;
    this.last = 0;
    this.timer = 0;
    this.viewport = make("div", {
      class: "list", role: "listbox", tabindex: "0", "aria-label": "Exchanges, newest first", "data-testid": "list",
      on: { click: (event) => this.click(event) },
    });
    this.more = make("button", { type: "button", class: "more", "data-testid": "more", hidden: true, on: { click: () => this.toTop() } });
    this.head = make("div", { class: "list-head", "aria-hidden": "true" },
      ["Time", "Method", "Status", "Address", "Service", "Type", "Size", "Took", "Waterfall"].map((name) => make("span", {}, name)));
    this.element = make("div", { class: "list-frame" }, this.head, this.viewport, this.more);
    this.list = new VirtualList({
      viewport: this.viewport,
      height: 26,
      create: createRow,
      key: keyOf,
      before: (first, last) => { this.window = this.measure(first, last); },
      show: (row, item) => showRow(row, item, {
        selected: keyOf(item) === this.selected,
        open: !item.mark && item.number === this.openedNumber(),
        window: this.window,
      }),
    });
    this.viewport.addEventListener("scroll", () => this.soon(), { passive: true });
    new ResizeObserver(() => this.resize()).observe(this.element);
    exchanges.addEventListener("change", () => this.soon());
    ledger.addEventListener("change", () => this.soon());
  }

  resize() {
    const width = this.element.clientWidth;
    this.element.dataset.width = width < NARROW ? "narrow" : width < MEDIUM ? "medium" : width < ROOMY ? "roomy" : "wide";
    this.list.height = width < NARROW ? 44 : 26;
    this.list.schedule();
  }

  get held() {
    return this.paused || this.viewport.scrollTop > this.list.height;
  }

  soon() {
    if (this.timer) return;
    const wait = this.last + REST - performance.now();
    const run = () => requestAnimationFrame(() => {
      this.timer = 0;
      this.last = performance.now();
      this.refresh();
    });
    this.timer = wait > 0 ? setTimeout(run, wait) : run() || 1;
  }

  refresh({ anyway = false } = {}) {
    if (!this.held || anyway || exchanges.list.length === 0) {
      this.items = merge(exchanges.list, marks());
      this.top = exchanges.list.at(-1)?.number ?? 0;
      this.list.setItems(this.items);
    } else {
      this.list.schedule();
    }
    const { list } = exchanges;
    const fresh = list.length - exchanges.place(this.top + 1);
    setHidden(this.more, fresh <= 0);
    if (fresh > 0) setText(this.more, `↑ ${fresh === list.length ? "New ones" : `${plural(fresh, "new one")}`}`);
    setAttribute(this.viewport, "aria-activedescendant", this.selected === null ? "" : `row-${this.selected}`);
  }

  // A new filter: what was seen says nothing about what comes.
  restart() {
    this.selected = null;
    this.viewport.scrollTop = 0;
    this.refresh({ anyway: true });
  }

  toTop() {
    this.viewport.scrollTop = 0;
    this.refresh({ anyway: true });
  }

  // The waterfall spans what can be seen.
  measure(first, last) {
    const now = Date.now();
    const items = this.items.slice(first, last).filter((item) => !item.mark);
    return { now, place: layOut(items, now) };
  }

  click(event) {
    const element = event.target.closest('[role="option"]');
    if (!element) return;
    const row = [...this.list.rows.values()].find((candidate) => candidate.element === element);
    if (row) this.select(row.item, { open: true });
  }

  select(item, { open = false } = {}) {
    this.selected = keyOf(item);
    this.refresh();
    if (open) this.opened(item);
  }

  position() {
    const key = this.selected ?? this.openedNumber();
    return this.items.findIndex((item) => keyOf(item) === key);
  }

  move(step, { marks = true } = {}) {
    if (!this.items.length) return;
    const at = this.position();
    const last = this.items.length - 1;
    let index = at < 0 ? this.list.range()[0] : Math.min(last, Math.max(0, at + step));
    const direction = step < 0 ? -1 : 1;
    while (!marks && this.items[index]?.mark) index += direction;
    if (index < 0 || index > last) return;
    this.list.reveal(index);
    this.select(this.items[index]);
  }

  current() {
    const at = this.position();
    return at < 0 ? null : this.items[at];
  }
}

function marks() {
  const wanted = wishes(exchanges.filter);
  const all = [];
  for (const workspace of live.workspaces) {
    if (wanted.workspace && wanted.workspace !== workspace.workspace) continue;
    for (const entry of ledger.entries(workspace.workspace)) {
      const { steps } = summary(entry);
      if (!steps.length) continue;
      if (wanted.service && !steps.some((step) => step.subject.name === wanted.service)) continue;
      all.push({ mark: true, at: entry.at, workspace: workspace.workspace, entry });
    }
  }
  return all.sort((one, other) => other.at - one.at);
}

function wishes(filter) {
  const wanted = {};
  for (const term of filter.split(/\s+/)) {
    const match = /^(workspace|service):([^*"]+)$/.exec(term);
    if (match) wanted[match[1]] = match[2];
  }
  return wanted;
}

// Both are sorted; a mark older than all exchanges would only say that there were none.
function merge(list, marked) {
  const items = [];
  let next = 0;
  for (let index = list.length - 1; index >= 0; index -= 1) {
    while (next < marked.length && marked[next].at >= list[index].at) {
      items.push(marked[next]);
      next += 1;
    }
    items.push(list[index]);
  }
  return items;
}
