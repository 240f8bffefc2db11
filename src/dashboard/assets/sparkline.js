// A small line of how much was used in the last two minutes.

import { make, makeSvg, setAttribute, setText } from "./dom.js";

const WIDTH = 120;
const HEIGHT = 24;
const SPAN = 120000;

export class Sparkline {
  constructor(label, format) {
    this.label = label;
    this.format = format;
    this.line = makeSvg("polyline", { class: "line" });
    this.area = makeSvg("polygon", { class: "area" });
    this.svg = makeSvg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, this.area, this.line);
    this.value = make("span", { class: "value data" });
    this.element = make("div", { class: `spark ${label.toLowerCase()}` }, make("span", { class: "dim" }, label), this.value, this.svg);
  }

  show(points, { ceiling, text }) {
    setText(this.value, text);
    setAttribute(this.svg, "aria-label", `${this.label}: ${text || "not known"}`);
    const now = points.at(-1)?.at ?? 0;
    const top = Math.max(ceiling, ...points.map((point) => point.value)) || 1;
    const places = points.map(({ at, value }) => {
      const x = WIDTH - ((now - at) / SPAN) * WIDTH;
      const y = HEIGHT - 1 - (value / top) * (HEIGHT - 3);
      return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    setAttribute(this.line, "points", places.join(" "));
    const first = places[0]?.split(",")[0];
    setAttribute(this.area, "points", places.length ? `${first},${HEIGHT} ${places.join(" ")} ${WIDTH},${HEIGHT}` : "");
  }
}
