// Sends an exchange again, as it was or changed, and gives it away as curl or as a HAR file.

import { call, query, request } from "./api.js";
import { button, fill, make, setHidden } from "./dom.js";
import { copyText, openDialog } from "./dialogs.js";
import { notice, tellError } from "./notices.js";
import { writeText } from "./text.js";

const SECRET = /\[redacted \d+ #[0-9a-fA-F]+\]/;
const METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

export async function replay(number, changes) {
  try {
    const made = await call(`/exchanges/${number}/replay`, { method: "POST", body: changes });
    notice(`Sent again as number ${made.number}.`);
    return made.number;
  } catch (error) {
    tellError(error);
    return null;
  }
}

export async function copyCurl(number) {
  try {
    const { command } = await call(`/exchanges/${number}/curl`);
    if (await copyText(command)) notice("Copied as curl.");
  } catch (error) {
    tellError(error);
  }
  return null;
}

export async function download(filter) {
  try {
    const response = await request(`/exchanges/har${query({ filter })}`);
    const url = URL.createObjectURL(await response.blob());
    make("a", { href: url, download: "cosmos.har" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
  } catch (error) {
    tellError(error);
  }
}

// Answers the number of the new exchange, or null if it was given up.
export function editReplay(exchange) {
  if (!exchange) return Promise.resolve(null);
  const { headers = [], body = null } = exchange.request ?? {};
  const kept = headers.filter(([, value]) => !SECRET.test(value));
  const secrets = headers.filter(([, value]) => SECRET.test(value)).map(([name]) => name);
  const before = {
    method: exchange.method,
    path: exchange.path,
    headers: kept.map(([name, value]) => `${name}: ${value}`).join("\n"),
    body: typeof body?.text === "string" ? body.text : "",
  };
  const options = make("datalist", { id: "methods" }, METHODS.map((method) => make("option", { value: method })));
  const fields = {
    method: make("input", { id: "edit-method", class: "data", list: "methods", autocomplete: "off", spellcheck: "false", "data-testid": "edit-method" }),
    path: make("input", { id: "edit-path", class: "data", autocomplete: "off", spellcheck: "false", "data-testid": "edit-path" }),
    headers: make("textarea", { id: "edit-headers", class: "data", rows: "8", spellcheck: "false", "data-testid": "edit-headers" }),
    body: make("textarea", { id: "edit-body", class: "data", rows: "10", spellcheck: "false", "data-testid": "edit-body" }),
  };
  for (const [name, field] of Object.entries(fields)) {
    field.value = before[name];
    // A text field changes line ends; only what a person changed is sent.
    before[name] = field.value;
  }
  const said = make("div", { class: "problem", role: "alert", hidden: true });
  return new Promise((resolve) => {
    const form = make("form", { class: "dialog-body edit" },
      make("div", { class: "line" }, labelled("Method", fields.method), labelled("Path", fields.path)), options,
      labelled("Headers, one a line", fields.headers),
      secrets.length ? writeText(make("p", { class: "dim" }), `Left out, because their values are secret: ${secrets.join(", ")}. Add them to send them.`) : null,
      labelled("Body", fields.body),
      bodyNote(body),
      said,
      make("div", { class: "buttons" },
        make("button", { class: "main", "data-testid": "edit-send" }, "Send"),
        button("Cancel", () => dialog.close())));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      try {
        const changes = changed(before, fields);
        const made = await call(`/exchanges/${exchange.number}/replay`, { method: "POST", body: changes });
        resolve(made.number);
        notice(`Sent as number ${made.number}.`);
        dialog.close();
      } catch (error) {
        fill(said, writeText(make("p"), error.message), error.hint ? writeText(make("p", { class: "hint" }), error.hint) : null);
        setHidden(said, false);
      }
    });
    const dialog = openDialog("Edit and replay", form, { wide: true, testid: "edit-dialog" });
    dialog.addEventListener("close", () => resolve(null));
    fields.path.focus();
  });
}

function labelled(label, field) {
  return make("label", { for: field.id }, make("span", {}, label), field);
}

function bodyNote(body) {
  if (!body || body.bytes === 0 || (typeof body.text === "string" && !body.truncated && !body.redacted)) return null;
  const why = body.truncated ? "Only its beginning was kept" : body.redacted ? "Secrets were taken out of it" : "It is not text";
  return make("p", { class: "dim" }, `${why}. It is only sent as it stands here if it is changed.`);
}

function changed(before, fields) {
  const changes = {};
  for (const name of ["method", "path", "body"]) if (fields[name].value !== before[name]) changes[name] = fields[name].value;
  if (fields.headers.value !== before.headers) changes.headers = readHeaders(fields.headers.value);
  return changes;
}

function readHeaders(text) {
  return text.split("\n").filter((line) => line.trim()).map((line) => {
    const colon = line.indexOf(":");
    if (colon < 1) throw new Error(`“${line}” is not a header. Write it as Name: value.`);
    return [line.slice(0, colon).trim(), line.slice(colon + 1).trim()];
  });
}
