// Shows a long list of rows of one height with only those in the document that can be seen.

import { make, setAttribute } from "./dom.js";

const MARGIN = 6;

export class VirtualList {
  constructor({ viewport, create, show, key, height, before = () => {} }) {
    Object.assign(this, { viewport, create, show, key, height, before });
    this.items = [];
    this.rows = new Map();
    this.spare = [];
    this.frame = 0;
    this.canvas = make("div", { class: "canvas", role: "presentation" });
    viewport.append(this.canvas);
    viewport.addEventListener("scroll", () => this.schedule(), { passive: true });
    new ResizeObserver(() => this.schedule()).observe(viewport);
  }

  setItems(items) {
    this.items = items;
    this.schedule();
  }

  schedule() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.render();
    });
  }

  range(margin = 0) {
    const { scrollTop, clientHeight } = this.viewport;
    const first = Math.max(0, Math.floor(scrollTop / this.height) - margin);
    const last = Math.min(this.items.length, Math.ceil((scrollTop + clientHeight) / this.height) + margin);
    return [first, last];
  }

  render() {
    if (!this.viewport.clientHeight) return;
    this.canvas.style.height = `${this.items.length * this.height}px`;
    const [first, last] = this.range(MARGIN);
    this.before(...this.range());
    const wanted = new Set();
    for (let index = first; index < last; index += 1) wanted.add(this.key(this.items[index]));
    for (const [key, row] of this.rows) {
      if (wanted.has(key)) continue;
      this.rows.delete(key);
      row.element.remove();
      this.spare.push(row);
    }
    let cursor = this.canvas.firstChild;
    for (let index = first; index < last; index += 1) {
      const item = this.items[index];
      const key = this.key(item);
      let row = this.rows.get(key);
      if (!row) {
        row = this.spare.pop() ?? this.create();
        this.rows.set(key, row);
      }
      const top = index * this.height;
      if (row.top !== top) {
        row.top = top;
        row.element.style.transform = `translateY(${top}px)`;
      }
      setAttribute(row.element, "aria-posinset", index + 1);
      setAttribute(row.element, "aria-setsize", this.items.length);
      this.show(row, item, index);
      if (row.element === cursor) cursor = cursor.nextSibling;
      else this.canvas.insertBefore(row.element, cursor);
    }
    if (this.spare.length > 200) this.spare.length = 200;
  }

  reveal(index) {
    const top = index * this.height;
    const { scrollTop, clientHeight } = this.viewport;
    if (top < scrollTop) this.viewport.scrollTop = top;
    else if (top + this.height > scrollTop + clientHeight) this.viewport.scrollTop = top + this.height - clientHeight;
    this.schedule();
  }
}
