// Writes untrusted text so that nothing in it is invisible or misleading, and formats numbers and times.

const HIDDEN = "\\u0000-\\u0008\\u000b-\\u001f\\u007f-\\u009f\\u00ad\\u061c\\u180e\\u200b-\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb\\ud800-\\udfff\\u{e0000}-\\u{e007f}";
const ODD = new RegExp(`[${HIDDEN}]`, "u");
const ODD_IN_LINE = new RegExp(`[${HIDDEN}\\t\\n]`, "u");
const SECRET = "\\[redacted \\d+ #[0-9a-fA-F]+\\]";
const PARTS = new RegExp(`(${SECRET})|([${HIDDEN}]+)`, "gu");
const PARTS_IN_LINE = new RegExp(`(${SECRET})|([${HIDDEN}\\t\\n]+)`, "gu");
const MOST_MARKS = 2000;

function escapeOne(character) {
  if (character === "\n") return "\\n";
  if (character === "\t") return "\\t";
  if (character === "\r") return "\\r";
  const code = character.codePointAt(0);
  return code > 0xffff ? `\\u{${code.toString(16)}}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

function escapeAll(text) {
  return Array.from(text, escapeOne).join("");
}

export function visible(text) {
  const whole = String(text);
  if (!ODD_IN_LINE.test(whole)) return whole;
  return whole.replace(new RegExp(`[${HIDDEN}\\t\\n]+`, "gu"), escapeAll);
}

// `lines` lets tabs and line ends through, as in a body.
export function writeText(element, text, { lines = false } = {}) {
  const whole = lines ? String(text).replaceAll("\r\n", "\n") : String(text);
  const odd = lines ? ODD : ODD_IN_LINE;
  if (!odd.test(whole) && !whole.includes("[redacted ")) {
    element.append(whole);
    return element;
  }
  let from = 0;
  let marks = 0;
  const pieces = [];
  for (const match of whole.matchAll(lines ? PARTS : PARTS_IN_LINE)) {
    if (match.index > from) pieces.push(whole.slice(from, match.index));
    from = match.index + match[0].length;
    const mark = document.createElement(match[1] ? "mark" : "span");
    mark.className = match[1] ? "secret" : "escape";
    mark.textContent = match[1] ?? escapeAll(match[2]);
    mark.title = match[1] ? "A secret was taken out here" : "A character that cannot be seen";
    pieces.push(mark);
    marks += 1;
    if (marks >= MOST_MARKS) break;
  }
  const rest = whole.slice(from);
  if (rest) pieces.push(marks >= MOST_MARKS ? rest.replace(new RegExp(`[${HIDDEN}]+`, "gu"), escapeAll) : rest);
  // Without spreading: an argument list has a limit.
  const fragment = document.createDocumentFragment();
  for (const piece of pieces) fragment.append(piece);
  element.append(fragment);
  return element;
}

export function rewrite(element, text, options) {
  element.replaceChildren();
  return writeText(element, text, options);
}

const NUMBER = new Intl.NumberFormat("en-GB");

export function count(number) {
  return NUMBER.format(number);
}

export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

export function bytes(number) {
  if (number === null || number === undefined) return "";
  if (number < 1024) return `${number} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = number;
  let unit = -1;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value < 10 ? value.toFixed(1) : Math.round(value)} ${units[unit]}`;
}

export function duration(milliseconds) {
  if (milliseconds === null || milliseconds === undefined) return "";
  if (milliseconds < 1) return `${milliseconds.toFixed(2)} ms`;
  if (milliseconds < 10) return `${milliseconds.toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60000) return `${(milliseconds / 1000).toFixed(milliseconds < 10000 ? 2 : 1)} s`;
  return span(milliseconds / 1000);
}

export function span(seconds) {
  const whole = Math.max(0, Math.floor(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 86400) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} d ${Math.floor((whole % 86400) / 3600)} h`;
}

function pad(number, width = 2) {
  return String(number).padStart(width, "0");
}

export function clock(at, { thousandths = true } = {}) {
  const date = new Date(at);
  const time = `${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())}`;
  return thousandths ? `${time}.${pad(date.getMilliseconds(), 3)}` : time;
}

export function dayAndClock(at) {
  const date = new Date(at);
  const today = new Date().toDateString() === date.toDateString();
  const time = clock(at, { thousandths: false });
  return today ? time : `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())} ${time}`;
}
