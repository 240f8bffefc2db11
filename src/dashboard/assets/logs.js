// The view of logs: live lines of several containers, with search.

import { colours } from "./ansi.js";
import { button, fill, make, reconcile, setAttribute, setHidden, setText } from "./dom.js";
import { exchanges } from "./exchange-store.js";
import { live } from "./live.js";
import { LogStream } from "./log-stream.js";
import { router } from "./router.js";
import { clock, plural, visible, writeText } from "./text.js";
import { VirtualList } from "./virtual-list.js";

const MOST = 5000;
const SLACK = 1000;
const STREAMS = 4;

export class LogsView {
  constructor(root) {
    this.root = root;
    this.streams = new Map();
    this.lines = [];
    this.coming = [];
    this.number = 0;
    this.longest = 0;
    this.build();
    live.addEventListener("state", () => this.attach());
  }

  build() {
    this.search = make("input", {
      type: "search", class: "filter data", "data-testid": "log-search", "aria-label": "Search the logs", autocomplete: "off", spellcheck: "false",
      placeholder: "Search: words, or /regular expression/  ( / )", on: { input: () => this.searched() },
    });
    this.only = make("input", { type: "checkbox", id: "only-matches", on: { change: () => this.refilter() } });
    this.only.checked = true;
    this.found = make("span", { class: "number dim", role: "status" });
    this.pause = button("Pause", () => this.togglePause(), { "aria-pressed": "false", title: "Pause (p)" });
    this.choices = make("div", { class: "choices", role: "group", "aria-label": "Containers to follow" });
    this.viewport = make("div", { class: "log", tabindex: "0", role: "list", "aria-label": "Log lines", on: { click: (event) => this.expand(event) } });
    this.empty = make("div", { class: "empty" });
    this.end = button("↓ To the end", () => this.toEnd(), { class: "more", hidden: true });
    this.whole = make("div", { class: "log-line", "data-testid": "log-line", hidden: true });
    fill(this.root,
      make("div", { class: "tools" },
        make("div", { class: "filter-line" }, this.search),
        make("label", { class: "check", for: "only-matches" }, this.only, "Only lines that match"),
        this.found,
        make("div", { class: "buttons" }, this.pause, button("Clear", () => this.reset(), { title: "Empty this view" }))),
      this.choices,
      make("div", { class: "list-frame" }, this.viewport, this.empty, this.end),
      this.whole);
    this.list = new VirtualList({ viewport: this.viewport, height: 19, create: createLine, key: (line) => line.number, show: (row, line) => showLine(row, line, this.pattern) });
    this.viewport.addEventListener("scroll", () => setHidden(this.end, this.atEnd()), { passive: true });
  }

  route() {
    this.shown = true;
    const search = router.get("search");
    if (this.search.value !== search) this.search.value = search;
    this.wanted = router.get("containers").split(",").filter(Boolean);
    if (!this.wanted.length) this.wanted = this.firstChoice();
    this.readPattern();
    this.attach();
    this.refilter();
  }

  leave() {
    this.shown = false;
    for (const stream of this.streams.values()) stream.stop();
    this.streams.clear();
    this.reset();
    this.rest(0);
  }

  firstChoice() {
    return live.containers().filter(({ container }) => container.state === "running").slice(0, 1).map(({ container }) => container.name);
  }

  attach() {
    if (!this.shown) return;
    if (!this.wanted.length) this.wanted = this.firstChoice();
    const all = live.containers();
    for (const [name, stream] of this.streams) {
      if (this.wanted.includes(name)) continue;
      stream.stop();
      this.streams.delete(name);
      this.lines = this.lines.filter((line) => line.name !== name);
    }
    for (const name of this.wanted) {
      const id = all.find(({ container }) => container.name === name)?.container.id;
      if (!id) continue;
      const stream = this.streams.get(name);
      if (stream) stream.change(id);
      else this.streams.set(name, new LogStream({ container: id, name, line: (line) => this.take(line) }));
    }
    this.rest(this.streams.size);
    reconcile(this.choices, all, ({ container }) => container.name, (item) => this.createChoice(item), (part, item) => this.showChoice(part, item));
    setHidden(this.empty, this.streams.size > 0);
    fill(this.empty, make("p", {}, all.length ? "Choose a container above to follow its log." : "No container is there yet. In a folder with a cosmos.toml, run"), all.length ? null : make("pre", { class: "command" }, "cosmos up"));
  }

  // A browser opens only six connections to one host; the list of exchanges can wait meanwhile.
  rest(number) {
    const resting = number > 2;
    if (resting === Boolean(this.resting)) return;
    this.resting = resting;
    if (resting) exchanges.stream.stop();
    else exchanges.stream.start();
  }

  createChoice({ container }) {
    const name = container.name;
    const dot = make("span", { class: "dot", "aria-hidden": "true" });
    const element = button("", () => this.toggle(name), { class: "chip data", "data-container": name });
    element.append(dot, visible(name));
    return { element, dot };
  }

  showChoice({ element, dot }, { container }) {
    const at = this.wanted.indexOf(container.name);
    setAttribute(element, "aria-pressed", at >= 0);
    setAttribute(element, "class", `chip data${at >= 0 ? ` tint-${at % STREAMS}` : ""}`);
    setAttribute(dot, "class", `dot ${container.state === "running" ? container.readiness : "exited"}`);
  }

  toggle(name) {
    const rest = this.wanted.filter((other) => other !== name);
    if (rest.length === this.wanted.length) {
      // The one chosen first makes room.
      this.wanted = [...rest, name].slice(-STREAMS);
    } else {
      this.wanted = rest;
    }
    router.set({ containers: this.wanted.join(",") });
    this.attach();
    this.refilter();
  }

  take(line) {
    this.number += 1;
    line.number = this.number;
    line.tint = Math.max(0, this.wanted.indexOf(line.name)) % STREAMS;
    this.coming.push(line);
    if (this.coming.length > MOST) this.coming.splice(0, this.coming.length - MOST);
    this.soon();
  }

  soon() {
    if (this.frame) return;
    this.frame = setTimeout(() => requestAnimationFrame(() => {
      this.frame = 0;
      if (!this.paused) this.settle();
    }), 60);
  }

  settle() {
    if (!this.coming.length) return;
    const atEnd = this.atEnd();
    const last = this.lines.at(-1)?.stamp ?? "";
    const ordered = this.coming.every((line, index) => line.stamp >= (index ? this.coming[index - 1].stamp : last));
    const shown = ordered ? this.coming.filter((line) => this.matches(line)) : null;
    this.lines.push(...this.coming);
    this.coming = [];
    if (!ordered) this.lines.sort((one, other) => (one.stamp < other.stamp ? -1 : one.stamp > other.stamp ? 1 : one.number - other.number));
    const tooMany = this.lines.length > MOST + (atEnd ? 0 : SLACK);
    if (tooMany) this.lines.splice(0, this.lines.length - MOST);
    if (ordered && !tooMany) {
      this.items.push(...shown);
      this.present(atEnd);
    } else {
      this.refilter(atEnd);
    }
  }

  refilter(atEnd = this.atEnd()) {
    this.items = this.lines.filter((line) => this.matches(line));
    this.present(atEnd);
  }

  present(atEnd) {
    for (const line of this.items.slice(-400)) this.longest = Math.max(this.longest, line.text.length);
    this.list.canvas.style.setProperty("--characters", String(Math.min(this.longest, 2000) + 40));
    setText(this.found, this.pattern ? `${plural(this.items.length, "line")} of ${this.lines.length}` : plural(this.lines.length, "line"));
    this.list.setItems(this.items);
    if (atEnd && !this.paused) this.toEnd();
  }

  matches(line) {
    if (!this.pattern || !this.only.checked) return true;
    this.pattern.lastIndex = 0;
    return this.pattern.test(line.text);
  }

  searched() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => {
      router.set({ search: this.search.value });
      this.readPattern();
      this.refilter();
    }, 120);
  }

  readPattern() {
    const text = this.search.value;
    const expression = /^\/(.+)\/([imsu]*)$/.exec(text);
    this.pattern = null;
    setAttribute(this.search, "aria-invalid", false);
    if (!text) return;
    try {
      this.pattern = expression
        ? new RegExp(expression[1], `g${expression[2].includes("i") ? expression[2] : `${expression[2]}i`}`)
        : new RegExp(text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"), "gi");
    } catch {
      setAttribute(this.search, "aria-invalid", true);
    }
  }

  atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.viewport;
    return scrollHeight - scrollTop - clientHeight < 30;
  }

  toEnd() {
    this.list.canvas.style.height = `${this.list.items.length * this.list.height}px`;
    this.viewport.scrollTop = this.viewport.scrollHeight;
    this.list.schedule();
  }

  togglePause() {
    this.paused = !this.paused;
    setText(this.pause, this.paused ? "Go on" : "Pause");
    setAttribute(this.pause, "aria-pressed", this.paused);
    if (!this.paused) this.settle();
  }

  reset() {
    this.lines = [];
    this.items = [];
    this.coming = [];
    this.longest = 0;
    setHidden(this.whole, true);
    this.present(true);
  }

  expand(event) {
    const element = event.target.closest(".log-row");
    const row = [...this.list.rows.values()].find((candidate) => candidate.element === element);
    if (!row) return;
    fill(this.whole,
      make("header", {}, make("span", { class: "dim data" }, `${visible(row.line.stamp)} ${visible(row.line.name)}`), button("×", () => setHidden(this.whole, true), { class: "quiet", "aria-label": "Close the line" })),
      writeText(make("pre", { class: "data" }), row.line.text));
    setHidden(this.whole, false);
  }

  key(name, event) {
    if (name === "/") {
      event.preventDefault();
      this.search.focus();
      this.search.select();
    } else if (name === "p") {
      this.togglePause();
    } else if (name === "j" || name === "k") {
      this.viewport.scrollTop += name === "j" ? this.list.height * 3 : -this.list.height * 3;
    } else if (name === "Escape") {
      setHidden(this.whole, true);
    }
  }
}

function createLine() {
  const time = make("span", { class: "time" });
  const name = make("span", { class: "name" });
  const text = make("bdi", { class: "text" });
  return { element: make("div", { class: "log-row", role: "listitem" }, time, name, text), time, name, text, line: null };
}

function showLine(row, line, pattern) {
  if (row.line === line && row.pattern === pattern) return;
  row.line = line;
  row.pattern = pattern;
  setAttribute(row.element, "class", `log-row tint-${line.tint}${line.error ? " error" : ""}`);
  setText(row.time, Number.isNaN(line.at) ? "" : clock(line.at));
  setText(row.name, visible(line.name));
  row.text.replaceChildren();
  const marks = pattern ? hits(line.text, pattern) : [];
  const paints = colours(line.raw);
  const edges = [...new Set([0, line.text.length, ...[...marks, ...paints].flatMap(({ from, to }) => [from, to])])].sort((one, other) => one - other);
  for (let index = 0; index + 1 < edges.length; index += 1) {
    const [from, to] = [edges[index], edges[index + 1]];
    const style = paints.find((span) => span.from <= from && span.to >= to)?.style ?? "";
    const hit = marks.some((span) => span.from <= from && span.to >= to);
    const part = hit || style ? make(hit ? "mark" : "span", { class: style || null }) : row.text;
    writeText(part, line.text.slice(from, to));
    if (part !== row.text) row.text.append(part);
  }
}

function hits(text, pattern) {
  const spans = [];
  pattern.lastIndex = 0;
  for (const match of text.matchAll(pattern)) {
    if (match[0]) spans.push({ from: match.index, to: match.index + match[0].length });
    if (spans.length > 100) break;
  }
  return spans;
}
