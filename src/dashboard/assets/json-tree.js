// Draws JSON as a tree whose parts fold; what is folded is not made until it is opened.

import { button, make } from "./dom.js";
import { writeText } from "./text.js";

const CHUNK = 100;
const UNFOLDED = 250;
const LONG = 2000;

export function drawJson(tree) {
  const budget = { left: UNFOLDED };
  const element = make("div", { class: "json data" }, drawNode(tree, null, budget, 0));
  if (tree.cut) element.append(make("p", { class: "dim" }, "The text ends here."));
  return element;
}

function drawNode(node, name, budget, depth) {
  budget.left -= 1;
  if (!node.children) return make("div", { class: "leaf" }, label(name), leaf(node));
  if (!node.children.length) return make("div", { class: "leaf" }, label(name), node.kind === "object" ? "{}" : "[]");
  const inside = make("div", { class: "inside" });
  const size = node.children.length;
  const summary = make("summary", {}, label(name),
    make("span", { class: "brace" }, node.kind === "object" ? "{" : "["),
    make("span", { class: "size" }, node.kind === "object" ? ` ${size} ${size === 1 ? "field" : "fields"} ` : ` ${size} ${size === 1 ? "item" : "items"} `),
    make("span", { class: "brace end" }, node.kind === "object" ? "}" : "]"));
  const element = make("details", {}, summary, inside);
  const unfold = depth < 12 && budget.left - Math.min(size, CHUNK) > 0;
  let made = false;
  const open = () => {
    if (made) return;
    made = true;
    more(node, inside, 0, budget, depth);
  };
  if (unfold) {
    element.open = true;
    open();
  }
  // What a person opens may open a little further by itself.
  element.addEventListener("toggle", () => {
    if (!element.open || made) return;
    budget.left = 60;
    open();
  });
  return element;
}

function more(node, inside, from, budget, depth) {
  const to = Math.min(node.children.length, from + CHUNK);
  for (let index = from; index < to; index += 1) {
    const { name, node: child } = node.children[index];
    inside.append(drawNode(child, name ?? index, budget, depth + 1));
  }
  if (to === node.children.length) return;
  const next = button(`${node.children.length - to} more`, () => {
    next.remove();
    more(node, inside, to, { left: 60 }, depth);
  }, { class: "link" });
  inside.append(next);
}

function label(name) {
  if (name === null) return null;
  const index = typeof name === "number";
  return make("span", { class: index ? "index" : "key" }, writeText(make("bdi"), String(name)), ": ");
}

function leaf(node) {
  const element = make("bdi", { class: node.kind });
  if (node.kind !== "string") return writeText(element, node.value);
  const short = node.value.length > LONG ? node.value.slice(0, LONG) : node.value;
  writeText(element, `"${short}"`, { lines: node.value.includes("\n") });
  if (short.length === node.value.length) return element;
  const rest = button(`… ${node.value.length - LONG} more characters`, () => {
    element.replaceChildren();
    writeText(element, `"${node.value}"`, { lines: true });
  }, { class: "link" });
  element.append(rest);
  return element;
}
