// Makes and fills elements. Text only ever goes in as text, never as markup.

const SVG = "http://www.w3.org/2000/svg";

function dress(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "on") {
      for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
    } else {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  return element;
}

export function make(tag, attributes = {}, ...children) {
  const element = dress(document.createElement(tag), attributes);
  element.append(...present(children));
  return element;
}

export function makeSvg(tag, attributes = {}, ...children) {
  const element = dress(document.createElementNS(SVG, tag), attributes);
  element.append(...present(children));
  return element;
}

export function button(label, press, attributes = {}) {
  return make("button", { type: "button", on: { click: press }, ...attributes }, label);
}

export function fill(element, ...children) {
  element.replaceChildren(...present(children));
  return element;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  const text = String(value);
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

// Changes rows that have a key in place, so that focus and open parts survive.
export function reconcile(parent, items, key, create, update) {
  const before = parent.keyed ?? new Map();
  const after = new Map();
  let cursor = parent.firstChild;
  for (const item of items) {
    const name = key(item);
    const part = before.get(name) ?? create(item);
    update(part, item);
    after.set(name, part);
    if (part.element === cursor) cursor = cursor.nextSibling;
    else parent.insertBefore(part.element, cursor);
  }
  for (const [name, part] of before) if (!after.has(name)) part.element.remove();
  parent.keyed = after;
}

function present(children) {
  return children.flat(2).filter((child) => child !== null && child !== undefined && child !== false);
}
