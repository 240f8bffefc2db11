// The pane with everything about one exchange; it follows while the exchange is open.

import { call } from "./api.js";
import { button, fill, make, makeSvg, setAttribute, setHidden, setText } from "./dom.js";
import { BodyView } from "./body.js";
import { Headers } from "./headers.js";
import { FramesView } from "./frames.js";
import { statusText, tone } from "./exchange-row.js";
import { copyCurl, download, editReplay, replay } from "./replay.js";
import { bytes, clock, duration, visible, writeText } from "./text.js";
import { phases } from "./waterfall.js";

const REST = 200;
const POLL = 1000;

export class Detail {
  constructor({ closed, opened }) {
    this.opened = opened;
    this.closed = closed;
    this.number = null;
    this.exchange = null;
    this.element = make("aside", { class: "detail", "data-testid": "detail", hidden: true, tabindex: "-1" });
    this.handle = make("div", {
      class: "handle", role: "separator", tabindex: "0", hidden: true, "aria-orientation": "vertical", "aria-label": "Width of the details",
      "aria-valuemin": "25", "aria-valuemax": "80", "aria-valuenow": "50",
      on: { pointerdown: (event) => this.drag(event), keydown: (event) => this.nudge(event) },
    });
  }

  open(number) {
    if (number === this.number) return;
    this.number = number;
    this.exchange = null;
    this.seen = -1;
    clearTimeout(this.timer);
    this.timer = 0;
    setHidden(this.element, number === null);
    setHidden(this.handle, number === null);
    if (number === null) {
      this.dispose();
      this.element.replaceChildren();
      return;
    }
    this.build(number);
    this.load();
  }

  dispose() {
    for (const part of this.parts ?? []) part.dispose?.();
    this.parts = [];
  }

  build(number) {
    this.dispose();
    const act = (name) => () => this.act(name, number);
    setAttribute(this.element, "aria-label", `Exchange ${number}`);
    this.title = make("h2", { class: "data" });
    this.facts = make("dl", { class: "facts" });
    this.problem = make("div", { class: "problem", role: "alert", hidden: true });
    this.timing = make("div", { class: "timing" });
    this.response = new BodyView("body-response");
    this.request = new BodyView("body-request");
    this.responseHeaders = new Headers("Response headers");
    this.requestHeaders = new Headers("Request headers");
    this.frames = new FramesView();
    this.noResponse = make("p", { class: "dim" });
    this.parts = [this.response, this.request];
    this.stream = make("section", { class: "part whole", "data-part": "frames", hidden: true }, make("h3", {}, "WebSocket messages"), this.frames.element);
    fill(this.element,
      make("header", { class: "detail-head" },
        make("div", { class: "detail-tools" },
          button("Replay", act("r"), { "data-testid": "replay", title: "Send it again (r)" }),
          button("Edit…", act("e"), { "data-testid": "edit-replay", title: "Change it and send it again (e)", "aria-label": "Edit and replay" }),
          button("Copy curl", act("c"), { "data-testid": "copy-curl", title: "Copy as curl (c)" }),
          button("HAR", () => download(`number:${number}`), { "data-testid": "har-one", title: "Save this exchange as a HAR file" }),
          button("×", () => this.closed(), { class: "quiet close", "aria-label": "Close the details", title: "Close (Esc)" })),
        this.title),
      this.problem,
      make("div", { class: "parts" },
        make("section", { class: "part whole" }, this.facts, this.timing),
        this.stream,
        make("section", { class: "part" }, make("h3", {}, "Response"), this.noResponse, this.response.element, this.responseHeaders.element),
        make("section", { class: "part" }, make("h3", {}, "Request"), this.request.element, this.requestHeaders.element)));
    this.element.scrollTop = 0;
  }

  // The list has news of it.
  changed(summary) {
    if (summary.seq > this.seen) this.soon(REST);
  }

  soon(wait) {
    if (this.timer) return;
    this.timer = setTimeout(() => {
      this.timer = 0;
      this.load();
    }, wait);
  }

  async load() {
    const { number } = this;
    if (number === null) return;
    if (this.busy === number) {
      this.soon(REST);
      return;
    }
    this.busy = number;
    try {
      const { exchange } = await call(`/exchanges/${number}`);
      if (number === this.number) this.show(exchange);
    } catch (error) {
      if (number === this.number) this.fail(error);
    } finally {
      if (this.busy === number) this.busy = null;
    }
    // One that the filter leaves out has no news in the list.
    if (number === this.number && this.exchange?.state === "open") this.soon(POLL);
  }

  fail(error) {
    if (this.exchange) {
      if (error.status === 0) this.soon(POLL);
      return;
    }
    fill(this.problem, writeText(make("p"), error.message), error.hint ? writeText(make("p", { class: "hint" }), error.hint) : null);
    setHidden(this.problem, false);
    if (error.status === 0) this.soon(POLL);
  }

  show(exchange) {
    this.exchange = exchange;
    this.seen = exchange.seq;
    setHidden(this.problem, true);
    setAttribute(this.element, "data-state", exchange.state);
    this.title.replaceChildren(
      make("span", { class: `status ${tone(exchange)}` }, statusText(exchange)), " ",
      make("span", { class: "method" }, visible(exchange.method)), " ",
      writeText(make("bdi", { class: "host" }), exchange.host ?? ""),
      writeText(make("bdi", { class: "path" }), exchange.path ?? ""));
    this.showFacts(exchange);
    this.showTiming(exchange);
    const { request, response } = exchange;
    const socket = exchange.messages !== null && exchange.messages !== undefined;
    this.request.show(request?.body ?? null, headerOf(request, "content-type"), { open: exchange.state === "open" && !response, none: "No body." });
    this.requestHeaders.show(request);
    setHidden(this.noResponse, Boolean(response));
    setText(this.noResponse, exchange.state === "open" ? "No answer yet." : "There was no answer.");
    setHidden(this.response.element, !response);
    setHidden(this.responseHeaders.element, !response);
    if (response) {
      this.response.show(response.body, headerOf(response, "content-type") ?? exchange.type, {
        open: exchange.state === "open" && !socket,
        none: socket ? "Its messages are above." : "No body.",
        events: exchange.events,
      });
      this.responseHeaders.show(response);
    }
    setHidden(this.stream, !socket && !exchange.frames?.length);
    this.frames.show(exchange);
  }

  showFacts(exchange) {
    const rows = [
      ["Began", clock(exchange.at)],
      ["Service", [exchange.workspace, exchange.service].filter(Boolean).join(" / ")],
      ["Container", [exchange.container, exchange.generation && `generation ${exchange.generation}`].filter(Boolean).join(", ")],
      ["From", exchange.peer],
      ["Protocol", exchange.version],
      ["Size", `${bytes(exchange.bytes_in)} in, ${bytes(exchange.bytes_out)} out`],
      ["Replay of", exchange.replay_of ? `number ${exchange.replay_of}` : null],
      ["Answered by", exchange.code ? `cosmos itself: ${exchange.code}` : null],
      ["Cut short", exchange.cut],
      ["Secrets", exchange.unredacted ? "shown: this workspace leaves them in" : null],
    ].filter(([, value]) => value);
    const told = JSON.stringify(rows);
    if (told === this.toldFacts && this.facts.childElementCount) return;
    this.toldFacts = told;
    this.facts.replaceChildren(...rows.flatMap(([name, value]) => [make("dt", {}, name), writeText(make("dd"), value)]));
  }

  showTiming(exchange) {
    const parts = phases(exchange, Date.now());
    const total = Math.max(0.001, parts[2][1]);
    const names = [["connect", "Connecting"], ["waiting", "Waiting for the first byte"], ["receiving", exchange.state === "open" ? "Receiving, still open" : "Receiving"]];
    this.timing.replaceChildren(
      makeSvg("svg", { class: "waterfall", viewBox: "0 0 1000 12", preserveAspectRatio: "none", role: "img", "aria-label": "Waterfall of its timing" },
        parts.map(([begin, end], index) => makeSvg("rect", { class: names[index][0], x: begin / total * 1000, y: 0, height: 12, width: Math.max(0, (end - begin) / total * 1000) }))),
      make("ul", { class: "legend" },
        parts.map(([begin, end], index) => make("li", {}, make("span", { class: `swatch ${names[index][0]}`, "aria-hidden": "true" }), `${names[index][1]} `, make("b", {}, duration(end - begin)))),
        make("li", {}, "In all ", make("b", {}, exchange.state === "open" ? `${duration(total)} so far` : duration(exchange.total_ms)))));
  }

  async act(name, number) {
    const made = name === "c" ? copyCurl(number)
      : name === "r" ? replay(number, {})
        : editReplay(this.exchange?.number === number ? this.exchange : (await call(`/exchanges/${number}`).catch(() => null))?.exchange);
    const next = await made;
    if (next) this.opened(next);
  }

  drag(event) {
    event.preventDefault();
    this.handle.setPointerCapture(event.pointerId);
    const move = ({ clientX }) => this.widen(100 - (clientX / innerWidth) * 100);
    this.handle.addEventListener("pointermove", move);
    this.handle.addEventListener("pointerup", () => this.handle.removeEventListener("pointermove", move), { once: true });
  }

  nudge(event) {
    const step = { ArrowLeft: 3, ArrowRight: -3 }[event.key];
    if (!step) return;
    event.preventDefault();
    this.widen(Number(this.handle.getAttribute("aria-valuenow")) + step);
  }

  widen(percent) {
    const width = Math.min(80, Math.max(25, percent));
    setAttribute(this.handle, "aria-valuenow", Math.round(width));
    this.element.style.setProperty("--detail-width", `${width}%`);
  }
}

function headerOf(message, name) {
  return message?.headers?.find(([other]) => other.toLowerCase() === name)?.[1] ?? null;
}

