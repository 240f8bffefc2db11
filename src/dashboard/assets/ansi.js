// Splits a line of a log at its colour codes, and drops all other terminal codes.

const CODES = /\u001b\[([0-9;]*)m|\u001b\[[0-9;?]*[A-Za-z]|\u001b\][^\u0007\u001b]*(?:\u0007|\u001b\\)/g;
const NAMES = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];

export function plain(text) {
  return text.includes("\u001b") ? text.replace(CODES, "") : text;
}

export function colours(text) {
  if (!text.includes("\u001b")) return [];
  const spans = [];
  let at = 0;
  let from = 0;
  let style = "";
  for (const match of text.matchAll(CODES)) {
    const length = match.index - at;
    at = match.index + match[0].length;
    if (length && style) spans.push({ from, to: from + length, style });
    from += length;
    if (match[1] !== undefined) style = restyle(style, match[1]);
  }
  if (style && at < text.length) spans.push({ from, to: from + text.length - at, style });
  return spans;
}

function restyle(style, codes) {
  const parts = new Set(style.split(" ").filter(Boolean));
  const paint = (name) => {
    for (const part of parts) if (part.startsWith("ansi-") && part !== "ansi-bold") parts.delete(part);
    if (name) parts.add(name);
  };
  const numbers = codes.split(";").map(Number);
  for (let index = 0; index < numbers.length; index += 1) {
    const code = numbers[index];
    if (code === 0) parts.clear();
    else if (code === 1) parts.add("ansi-bold");
    else if (code === 22) parts.delete("ansi-bold");
    else if (code >= 30 && code <= 37) paint(`ansi-${NAMES[code - 30]}`);
    else if (code >= 90 && code <= 97) paint(`ansi-${NAMES[code - 90]}`);
    else if (code === 39) paint(null);
    else if (code === 38 || code === 48) index += numbers[index + 1] === 5 ? 2 : 4;
  }
  return [...parts].join(" ");
}
