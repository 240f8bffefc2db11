// The headers and trailers of a message, as a table that can be folded.

import { make, setHidden, setText } from "./dom.js";
import { writeText } from "./text.js";

export class Headers {
  constructor(title) {
    this.title = title;
    this.summary = make("summary", {}, title);
    this.table = make("table", { class: "headers data", "aria-label": title });
    this.element = make("details", { class: "fold", open: true }, this.summary, this.table);
    this.told = "";
  }

  show(message) {
    const headers = message?.headers ?? [];
    const trailers = message?.trailers ?? [];
    const told = JSON.stringify([headers, trailers]);
    if (told === this.told) return;
    this.told = told;
    setText(this.summary, `${this.title} (${headers.length})`);
    setHidden(this.element, headers.length + trailers.length === 0);
    this.table.replaceChildren(make("tbody", {},
      headers.map(row),
      trailers.length ? make("tr", {}, make("th", { colspan: "2", scope: "rowgroup" }, "Trailers")) : null,
      trailers.map(row)));
  }
}

function row([name, value]) {
  return make("tr", {}, writeText(make("th", { scope: "row" }), name), writeText(make("td"), value));
}
