// Dialogs, the help among them.

import { button, make } from "./dom.js";
import { writeText } from "./text.js";

export function openDialog(title, content, { wide = false, testid = "dialog" } = {}) {
  const back = document.activeElement;
  const dialog = make("dialog", { class: wide ? "wide" : null, "aria-labelledby": "dialog-title", "data-testid": testid },
    make("header", {},
      make("h2", { id: "dialog-title", tabindex: "-1", autofocus: true }, title),
      button("×", () => dialog.close(), { class: "quiet", "aria-label": "Close" })),
    content);
  dialog.addEventListener("close", () => {
    dialog.remove();
    if (back?.isConnected) back.focus({ preventScroll: true });
  });
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

export function dialogOpen() {
  return document.querySelector("dialog[open]") !== null;
}

export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = make("textarea", { readonly: true, rows: 8, class: "data", "aria-label": "Text to copy" });
    area.value = text;
    openDialog("Copy it from here", make("div", { class: "dialog-body" },
      make("p", {}, "The browser did not let the page copy by itself."), area));
    area.select();
    return false;
  }
}

const KEYS = [
  ["/", "Filter, or search the logs"],
  ["j, k", "Next and previous exchange"],
  ["↓, ↑", "The same, with what happened between"],
  ["Enter", "Open"],
  ["Esc", "Close"],
  ["r", "Replay the exchange"],
  ["e", "Edit and replay it"],
  ["c", "Copy it as curl"],
  ["p", "Pause the list, go on"],
  ["g e", "Exchanges"],
  ["g s", "Services"],
  ["g l", "Logs"],
  ["g h", "History"],
  ["?", "This help"],
];

export const TERMS = [
  ["service:api", "of one service; also workspace:, container:"],
  ["host:api.*", "host name; * stands for anything"],
  ["path:/v1", "part of the path"],
  ["method:POST", "method"],
  ["status:5xx", "also 404, >=500, 400-499"],
  ["slower:200ms", "also faster:1s"],
  ["type:json", "type of the response"],
  ["is:error", "also open, websocket, sse, replay"],
  ["number:5", "one exchange"],
  ["words", "in path, headers and bodies; \"with spaces\""],
  ["-term", "not"],
];

export function openHelp(version) {
  if (dialogOpen()) return;
  openDialog("Keys and filters", make("div", { class: "dialog-body help" },
    make("section", {}, make("h3", {}, "Keys"), pairs(KEYS, "kbd")),
    make("section", {}, make("h3", {}, "Filter"), make("p", {}, "All terms must hold."), pairs(TERMS, "code")),
    version ? writeText(make("p", { class: "dim" }), `cosmos ${version}`) : null), { wide: true, testid: "help-dialog" });
}

export function pairs(rows, tag) {
  return make("dl", { class: "pairs" }, rows.map(([name, meaning]) => [
    make("dt", {}, make(tag, {}, name)),
    make("dd", {}, meaning),
  ]));
}
