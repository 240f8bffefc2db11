// Reads a stream of server-sent events, and lists them one by one as they come.

import { button, make, setHidden, setText } from "./dom.js";
import { drawJson } from "./json-tree.js";
import { parseJson } from "./json-parse.js";
import { plural, writeText } from "./text.js";

const SHOWN = 300;

export function parseEvents(text, { complete = true } = {}) {
  const whole = text.replace(/^\ufeff/, "").replace(/\r\n?/g, "\n");
  const blocks = whole.split(/\n\n+/);
  const rest = whole.endsWith("\n\n") || complete ? "" : blocks.pop();
  const events = blocks.map(parseBlock).filter(Boolean);
  return { events, rest };
}

function parseBlock(block) {
  const event = { type: "message", id: null, data: [], comment: [], retry: null };
  let any = false;
  for (const line of block.split("\n")) {
    if (line === "") continue;
    any = true;
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "") event.comment.push(value);
    else if (name === "data") event.data.push(value);
    else if (name === "event") event.type = value;
    else if (name === "id") event.id = value;
    else if (name === "retry") event.retry = value;
  }
  if (!any) return null;
  if (!event.data.length && event.comment.length) event.type = "comment";
  return { ...event, text: event.data.join("\n") || event.comment.join("\n") };
}

export class EventsView {
  constructor() {
    this.count = 0;
    this.first = null;
    this.note = make("p", { class: "dim" });
    this.earlier = button("", () => this.showEarlier(), { class: "link", hidden: true });
    this.rows = make("ol", { class: "events data" });
    this.element = make("div", { "data-testid": "events" }, this.earlier, this.rows, this.note);
  }

  show(text, { complete, told }) {
    const { events, rest } = parseEvents(text, { complete });
    this.events = events;
    if (this.first === null) this.first = Math.max(0, events.length - SHOWN);
    const from = Math.max(this.count, this.first);
    if (events.length > from) {
      this.rows.append(...events.slice(from).map((event, index) => row(event, from + index + 1)));
      this.count = events.length;
    }
    this.tellEarlier();
    const parts = [];
    if (!events.length && !complete) parts.push("No event yet.");
    if (rest.trim() && !complete) parts.push("One more is on its way.");
    if (told > events.length && complete === false && told - events.length > 1) parts.push(`${told} events came by; what is kept ends here.`);
    setText(this.note, parts.join(" "));
  }

  showEarlier() {
    const from = Math.max(0, this.first - SHOWN);
    this.rows.prepend(...this.events.slice(from, this.first).map((event, index) => row(event, from + index + 1)));
    this.first = from;
    this.tellEarlier();
  }

  tellEarlier() {
    setHidden(this.earlier, this.first === 0);
    setText(this.earlier, `Show more of ${plural(this.first, "earlier event")}`);
  }
}

function row(event, number) {
  const head = make("summary", {},
    make("span", { class: "index" }, String(number)),
    writeText(make("span", { class: "event-type" }), event.type),
    writeText(make("bdi", { class: "preview" }), event.text.slice(0, 300)));
  const inside = make("div", { class: "inside" });
  const element = make("details", {}, head, inside);
  element.addEventListener("toggle", () => {
    if (!element.open || inside.childElementCount) return;
    if (event.id !== null) inside.append(writeText(make("p", { class: "dim" }), `id ${event.id}`));
    if (event.retry !== null) inside.append(writeText(make("p", { class: "dim" }), `retry after ${event.retry} ms`));
    const tree = /^\s*[{[]/.test(event.text) ? parseJson(event.text) : null;
    inside.append(tree ? drawJson(tree) : writeText(make("pre"), event.text, { lines: true }));
  });
  return make("li", {}, element);
}
