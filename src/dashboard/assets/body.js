// Shows a body in the way that suits its type, or as it is.

import { button, fill, make, setAttribute, setHidden, setText } from "./dom.js";
import { drawJson } from "./json-tree.js";
import { parseJson } from "./json-parse.js";
import { EventsView } from "./event-stream.js";
import { drawForm, readForm } from "./form.js";
import { bytes, plural, visible, writeText } from "./text.js";

const LONG = 20000;
const HEX_SHOWN = 4096;

export class BodyView {
  constructor(testid) {
    this.raw = false;
    this.told = null;
    this.note = make("div", { class: "body-note dim" });
    this.modes = make("div", { class: "modes", role: "group", "aria-label": "How to show the body" },
      ["Pretty", "Raw"].map((label) => button(label, () => this.choose(label === "Raw"), { "aria-pressed": "false" })));
    this.content = make("div", { class: "body", "data-testid": testid });
    this.element = make("div", { class: "body-view" }, make("div", { class: "body-head" }, this.note, this.modes), this.content);
  }

  dispose() {
    if (this.url) URL.revokeObjectURL(this.url);
    this.url = null;
  }

  choose(raw) {
    this.raw = raw;
    this.told = null;
    this.draw();
  }

  show(body, type, context) {
    Object.assign(this, { body, shownType: type ?? "", type: (type ?? "").toLowerCase(), context });
    this.draw();
  }

  draw() {
    const { body, type, context } = this;
    setText(this.note, visible(describe(body, this.shownType)));
    if (!body || body.bytes === 0) {
      this.replace("none", () => make("p", { class: "dim" }, context.open && !body?.complete ? "Nothing has come yet." : context.none));
      setHidden(this.modes, true);
      return;
    }
    if (body.omitted !== undefined && body.omitted !== null) {
      this.replace(`omitted ${body.omitted}`, () => writeText(make("p", { class: "dim" }), `Not kept: ${body.omitted}.`));
      setHidden(this.modes, true);
      return;
    }
    const pretty = this.pretty(body, type, context);
    setHidden(this.modes, !pretty);
    const [first, second] = this.modes.children;
    setAttribute(first, "aria-pressed", !this.raw);
    setAttribute(second, "aria-pressed", this.raw);
    if (pretty && !this.raw) pretty();
    else if (typeof body.base64 === "string") this.replace(`hex ${body.base64.length}`, () => hex(body.base64));
    else this.plain(body.text ?? "");
  }

  // Answers how to draw it, or null if there is no better way than as it is.
  pretty(body, type, context) {
    const { text } = body;
    if (type.startsWith("image/")) return () => this.replace(`image ${(text ?? body.base64).length}`, () => this.image(body, type));
    if (typeof text !== "string") return null;
    if (type.startsWith("text/event-stream")) return () => this.events(text, context);
    if (type.includes("json") || /^\s*[{[]/.test(text)) {
      const same = this.told === `json ${text.length} ${body.complete}`;
      const tree = same ? true : parseJson(text, { cut: body.truncated || !body.complete });
      if (tree) return () => this.replace(`json ${text.length} ${body.complete}`, () => drawJson(tree));
    }
    const fields = readForm(text, this.shownType);
    if (fields) return () => this.replace(`form ${text.length}`, () => drawForm(fields));
    return null;
  }

  replace(told, draw) {
    if (told === this.told) return;
    this.told = told;
    this.dispose();
    this.list = null;
    this.shown = null;
    fill(this.content, draw());
  }

  events(text, context) {
    if (!this.list) {
      const list = new EventsView();
      this.replace("events", () => list.element);
      this.list = list;
    }
    this.list.show(text, { complete: !context.open, told: context.events ?? 0 });
  }

  plain(text) {
    // A body that grows is added to, so that a selection in it stays.
    if (this.told === "plain" && this.shown !== null && text.startsWith(this.shown) && !this.more?.isConnected) {
      if (text.length > this.shown.length) writeText(this.content.firstChild, text.slice(this.shown.length), { lines: true });
      this.shown = text;
      return;
    }
    if (this.told === "plain" && this.whole === text) return;
    this.told = null;
    const short = text.length > LONG ? text.slice(0, LONG) : text;
    const area = writeText(make("pre", { class: "data" }), short, { lines: true });
    this.replace("plain", () => area);
    this.whole = text;
    this.shown = short.length === text.length ? text : null;
    if (this.shown !== null) return;
    this.more = button(`Show all ${plural(text.length, "character")}`, () => {
      this.more.remove();
      writeText(area, this.whole.slice(LONG), { lines: true });
      this.shown = this.whole;
    }, { class: "link" });
    this.content.append(this.more);
  }

  image(body, type) {
    const data = typeof body.text === "string" ? new TextEncoder().encode(body.text) : decode(body.base64);
    // Inside an image nothing of it can run, whatever it is.
    this.url = URL.createObjectURL(new Blob([data], { type: type.split(";")[0] }));
    const size = make("figcaption", { class: "dim" });
    const picture = make("img", { alt: "The image of the body", on: {
      load: () => setText(size, `${picture.naturalWidth} × ${picture.naturalHeight}`),
      error: () => setText(size, body.truncated ? "Too little of it was kept to show it." : "It cannot be shown as an image."),
    } });
    picture.src = this.url;
    return make("figure", {}, picture, size);
  }
}

function describe(body, type) {
  if (!body) return "";
  const parts = [bytes(body.bytes)];
  if (type) parts.push(type);
  if (body.decoded) parts.push(`was ${body.decoded}`);
  if (!body.complete) parts.push("not all has come");
  if (body.truncated) parts.push("only its beginning is kept");
  if (body.redacted) parts.push(`${plural(body.redacted, "secret")} taken out`);
  return parts.join(" · ");
}

export function decode(base64) {
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
}

function hex(base64) {
  const data = decode(base64);
  const rows = [];
  for (let at = 0; at < Math.min(data.length, HEX_SHOWN); at += 16) {
    const part = [...data.subarray(at, at + 16)];
    const digits = part.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const letters = part.map((byte) => (byte >= 32 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    rows.push(`${at.toString(16).padStart(6, "0")}  ${digits.padEnd(47)}  ${letters}`);
  }
  if (data.length > HEX_SHOWN) rows.push(`… ${bytes(data.length - HEX_SHOWN)} more`);
  return make("pre", { class: "data hex" }, rows.join("\n"));
}
