// Lists the messages of a WebSocket in both directions.

import { button, make, setHidden, setText } from "./dom.js";
import { drawJson } from "./json-tree.js";
import { parseJson } from "./json-parse.js";
import { bytes, plural, writeText } from "./text.js";

const SHOWN = 400;

export class FramesView {
  constructor() {
    this.frames = [];
    this.first = null;
    this.count = 0;
    this.note = make("p", { class: "dim" });
    this.earlier = button("", () => this.showEarlier(), { class: "link", hidden: true });
    this.rows = make("ol", { class: "frames data", "data-testid": "frames" });
    this.element = make("div", {}, this.earlier, this.rows, this.note);
  }

  show({ frames, messages, at }) {
    const list = frames ?? [];
    const start = list[0] ? `${list[0].at}${list[0].from}${list[0].bytes}` : "";
    // The server may let go of the oldest ones.
    if (start !== this.start) {
      this.start = start;
      this.rows.replaceChildren();
      this.count = 0;
      this.first = null;
    }
    this.at = at;
    this.frames = list;
    if (this.first === null) this.first = Math.max(0, list.length - SHOWN);
    const from = Math.max(this.count, this.first);
    if (list.length > from) {
      this.rows.append(...list.slice(from).map((frame) => row(frame, at)));
      this.count = list.length;
    }
    this.tellEarlier();
    const told = messages ? messages.sent + messages.received : list.length;
    const kept = list.filter((frame) => frame.kind === "text" || frame.kind === "binary").length;
    const totals = messages ? `${messages.sent} sent by the client, ${messages.received} by the service.` : "";
    setText(this.note, told > kept ? `${totals} ${plural(kept, "message")} kept.` : totals);
  }

  showEarlier() {
    const from = Math.max(0, this.first - SHOWN);
    this.rows.prepend(...this.frames.slice(from, this.first).map((frame) => row(frame, this.at)));
    this.first = from;
    this.tellEarlier();
  }

  tellEarlier() {
    setHidden(this.earlier, this.first === 0);
    setText(this.earlier, `Show more of ${plural(this.first, "earlier message")}`);
  }
}

function row(frame, began) {
  const notes = [frame.truncated ? "cut" : null, frame.compressed ? "compressed" : null].filter(Boolean).join(", ");
  const client = frame.from === "client";
  const head = make("summary", {},
    make("span", { class: client ? "way out" : "way in", title: client ? "From the client" : "From the service" }, client ? "↑" : "↓"),
    make("span", { class: "offset" }, `+${((frame.at - began) / 1000).toFixed(3)} s`),
    writeText(make("span", { class: "event-type" }), frame.kind),
    writeText(make("bdi", { class: "preview" }), frame.text === null || frame.text === undefined ? "" : frame.text.slice(0, 300)),
    make("span", { class: "size" }, `${bytes(frame.bytes)}${notes ? `, ${notes}` : ""}`));
  const inside = make("div", { class: "inside" });
  const element = make("details", {}, head, inside);
  element.addEventListener("toggle", () => {
    if (!element.open || inside.childElementCount) return;
    if (frame.text === null || frame.text === undefined) {
      inside.append(make("p", { class: "dim" }, "Its content is not text."));
      return;
    }
    const tree = /^\s*[{[]/.test(frame.text) ? parseJson(frame.text, { cut: frame.truncated }) : null;
    inside.append(tree ? drawJson(tree) : writeText(make("pre"), frame.text, { lines: true }));
  });
  return make("li", { class: client ? "from-client" : "from-service" }, element);
}
