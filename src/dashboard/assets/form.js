// Reads the fields of a form, and lists them.

import { make } from "./dom.js";
import { plural, writeText } from "./text.js";

const MOST = 500;

export function readForm(text, type) {
  if (/^application\/x-www-form-urlencoded/i.test(type)) return [...new URLSearchParams(text)].map(([name, value]) => ({ name, value }));
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)"?/i.exec(type)?.[1];
  return boundary ? readParts(text, `--${boundary}`) : null;
}

function readParts(text, mark) {
  const fields = [];
  for (const part of text.split(mark).slice(1)) {
    if (part.startsWith("--")) break;
    const [head, ...rest] = part.replace(/^\r?\n/, "").split(/\r?\n\r?\n/);
    const name = /[; ]name="([^"]*)"/i.exec(head)?.[1] ?? "";
    const file = /filename="([^"]*)"/i.exec(head)?.[1];
    fields.push({ name, file, value: rest.join("\n\n").replace(/\r?\n$/, "") });
  }
  return fields.length ? fields : null;
}

export function drawForm(fields) {
  const table = make("table", { class: "headers data", "aria-label": "Fields of the form" },
    make("tbody", {}, fields.slice(0, MOST).map(({ name, value, file }) => make("tr", {},
      writeText(make("th", { scope: "row" }), name),
      make("td", {}, file === undefined ? null : writeText(make("span", { class: "dim" }), `file ${file} `), writeText(make("bdi"), value, { lines: true }))))));
  return fields.length > MOST ? make("div", {}, table, make("p", { class: "dim" }, `${plural(fields.length - MOST, "more field")} under Raw.`)) : table;
}
