// Makes and fills one row of the exchange list, and its bar in the waterfall.

import { make, setAttribute, setHidden, setText } from "./dom.js";
import { causeTitle, summary as summarise } from "./causes.js";
import { showBars } from "./waterfall.js";
import { bytes, clock, duration, rewrite, visible } from "./text.js";

export function keyOf(item) {
  return item.mark ? `m${item.workspace}/${item.entry.number}` : item.number;
}

export function createRow() {
  const cells = {};
  for (const name of ["time", "method", "status", "host", "path", "service", "type", "size", "took"]) cells[name] = make("span", { class: name });
  const bars = ["connect", "waiting", "receiving"].map((name) => make("span", { class: `bar ${name}` }));
  const track = make("span", { class: "track", "aria-hidden": "true" }, bars);
  const exchange = make("span", { class: "cells" },
    cells.time, cells.method, cells.status, make("span", { class: "url" }, cells.host, cells.path),
    cells.service, cells.type, cells.size, cells.took, track);
  const mark = make("span", { class: "mark-line" });
  const element = make("div", { role: "option" }, exchange, mark);
  return { element, exchange, mark, cells, bars, drawn: null, item: null };
}

export function showRow(row, item, { selected, open, window }) {
  const { element } = row;
  const state = `row${selected ? " selected" : ""}${open ? " opened" : ""}${item.mark ? ` mark ${item.entry.state}` : ` ${tone(item)}`}`;
  setAttribute(element, "class", state);
  setAttribute(element, "aria-selected", selected);
  setAttribute(element, "id", `row-${keyOf(item)}`);
  const version = item.mark ? item.entry.state : item.seq;
  if (row.item !== item || row.drawn !== version) {
    row.item = item;
    row.drawn = version;
    setHidden(row.exchange, Boolean(item.mark));
    setHidden(row.mark, !item.mark);
    if (item.mark) {
      showMark(row, item);
    } else {
      showCells(row, item);
    }
  }
  if (!item.mark && window) showBars(row.bars, item, window);
}

function showMark({ element, mark }, { entry, workspace }) {
  const { actions, reason } = summarise(entry);
  setAttribute(element, "data-testid", "mark-row");
  element.removeAttribute("data-number");
  mark.replaceChildren(
    make("span", { class: "time" }, clock(entry.at)),
    make("span", { class: "what" }, visible(`${workspace}: ${causeTitle(entry)}`)),
    make("span", { class: "actions" }, visible(actions)),
    make("span", { class: "why" }, visible(reason)),
  );
}

function showCells({ element, cells }, item) {
  setAttribute(element, "data-testid", "exchange-row");
  setAttribute(element, "data-number", item.number);
  setText(cells.time, clock(item.at));
  setText(cells.method, visible(item.method));
  setText(cells.status, statusText(item));
  rewrite(cells.host, item.host ?? "");
  rewrite(cells.path, item.path ?? "");
  setText(cells.service, visible(item.service ?? ""));
  setText(cells.type, kindText(item));
  setText(cells.size, bytes(item.bytes_out));
  setText(cells.took, item.state === "open" ? "open" : duration(item.total_ms));
}

export function statusText(item) {
  const status = item.status === null || item.status === undefined ? (item.state === "open" ? "···" : "none") : String(item.status);
  return visible(item.code ? `${status} ${item.code}` : status);
}

export function kindText(item) {
  const parts = [];
  if (item.messages) parts.push(`↑${item.messages.sent} ↓${item.messages.received}`);
  else if (item.events !== null && item.events !== undefined) parts.push(`${item.events} events`);
  else if (item.type) parts.push(item.type.split(";")[0].replace(/^(application|text)\//, ""));
  if (item.cut) parts.push("cut");
  if (item.replay_of) parts.push(`replay of ${item.replay_of}`);
  return visible(parts.join(" · "));
}

export function tone(item) {
  if (item.cut && item.state === "done") return "bad";
  if (item.status === null || item.status === undefined) return item.state === "open" ? "open" : "bad";
  if (item.status >= 500) return "bad";
  if (item.status >= 400) return "warn";
  if (item.status >= 300) return "info";
  return item.state === "open" ? "open" : "good";
}
