// Reads JSON into a tree that keeps what a program's own reader loses: long numbers, names that come twice, and a text that was cut.

const WORD = /[^\s,\]}:"{[]+/y;
const NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const STRING = /"([^"\\]*(?:\\.[^"\\]*)*)"/sy;

// Answers null if the text is not JSON. With a list instead of recursion: a body can be nested as deep as it is long.
export function parseJson(text, { cut = false } = {}) {
  const reader = { text, at: 0 };
  const root = { kind: "array", children: [] };
  const open = [root];
  try {
    while (step(reader, open)) continue;
  } catch (error) {
    if (!(error instanceof Ended)) return null;
    const complete = open.length === 1 && root.children.length === 1;
    if (!cut && !complete) return null;
    const tree = root.children[0]?.node;
    if (tree && !complete) tree.cut = true;
    return root.children.length === 1 ? tree : null;
  }
  return null;
}

class Ended extends Error {}
class Wrong extends Error {}

function step(reader, open) {
  const parent = open.at(-1);
  space(reader);
  const sign = reader.text[reader.at];
  const isRoot = open.length === 1;
  if (!isRoot && sign === (parent.kind === "object" ? "}" : "]")) {
    reader.at += 1;
    if (parent.comma) throw new Wrong();
    open.pop();
    return true;
  }
  if (parent.children.length) {
    if (isRoot) throw new Wrong();
    if (!parent.comma) {
      if (sign !== ",") throw new Wrong();
      reader.at += 1;
      parent.comma = true;
      return true;
    }
  }
  let name = null;
  if (parent.kind === "object") {
    name = string(reader);
    space(reader);
    if (reader.text[reader.at] !== ":") throw new Wrong();
    reader.at += 1;
    space(reader);
  }
  const node = value(reader);
  parent.children.push({ name, node });
  parent.comma = false;
  if (node.children) open.push(node);
  return true;
}

function space(reader) {
  const { text } = reader;
  while (reader.at < text.length && " \n\r\t".includes(text[reader.at])) reader.at += 1;
  if (reader.at >= text.length) throw new Ended();
}

function value(reader) {
  const sign = reader.text[reader.at];
  if (sign === "{" || sign === "[") {
    reader.at += 1;
    return { kind: sign === "{" ? "object" : "array", children: [] };
  }
  if (sign === '"') return { kind: "string", value: string(reader) };
  WORD.lastIndex = reader.at;
  const word = WORD.exec(reader.text)?.[0];
  if (!word) throw new Wrong();
  if (!["true", "false", "null"].includes(word) && !NUMBER.test(word)) {
    if (reader.at + word.length === reader.text.length && /^[-\dtfn]/.test(word)) throw new Ended();
    throw new Wrong();
  }
  reader.at += word.length;
  return { kind: NUMBER.test(word) ? "number" : "word", value: word };
}

function string(reader) {
  if (reader.text[reader.at] !== '"') throw new Wrong();
  STRING.lastIndex = reader.at;
  const match = STRING.exec(reader.text);
  if (!match) throw new Ended();
  reader.at = STRING.lastIndex;
  try {
    return match[1].includes("\\") ? JSON.parse(match[0]) : match[1];
  } catch {
    throw new Wrong();
  }
}
