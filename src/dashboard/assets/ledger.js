// Keeps the history and the plan of every workspace, fetched anew when its state has changed.

import { call } from "./api.js";
import { live } from "./live.js";

const REST = 2000;
const LIMIT = 100;

class Ledger extends EventTarget {
  constructor() {
    super();
    this.books = new Map();
    live.addEventListener("state", () => this.look());
  }

  look() {
    const present = new Set();
    for (const workspace of live.workspaces) {
      const key = workspace.workspace;
      present.add(key);
      const book = this.books.get(key) ?? { history: null, plan: null, planProblem: null, signature: "", busy: false, timer: 0, last: 0 };
      this.books.set(key, book);
      const signature = sign(workspace);
      if (signature === book.signature) continue;
      book.signature = signature;
      this.plan(key, book);
    }
    for (const [key, book] of this.books) {
      if (present.has(key)) continue;
      clearTimeout(book.timer);
      this.books.delete(key);
    }
  }

  // Never more often than every two seconds, however busy the workspace is.
  plan(key, book) {
    if (book.timer) return;
    const wait = Math.max(150, book.last + REST - Date.now());
    book.timer = setTimeout(() => {
      book.timer = 0;
      this.fetch(key, book);
    }, wait);
  }

  refresh(key) {
    const book = this.books.get(key);
    if (book) this.plan(key, book);
  }

  async fetch(key, book) {
    if (book.busy) {
      this.plan(key, book);
      return;
    }
    book.busy = true;
    book.last = Date.now();
    const path = `/workspaces/${encodeURIComponent(key)}`;
    const [history, plan] = await Promise.allSettled([call(`${path}/history?limit=${LIMIT}`), call(`${path}/plan`)]);
    book.busy = false;
    if (this.books.get(key) !== book) return;
    if (history.status === "fulfilled") book.history = history.value;
    book.plan = plan.status === "fulfilled" ? plan.value : null;
    book.planProblem = plan.status === "rejected" ? plan.reason : null;
    this.dispatchEvent(new Event("change"));
    const underway = book.history?.entries.some((entry) => entry.state === "underway");
    if (underway || history.status === "rejected") this.plan(key, book);
  }

  entries(key) {
    return this.books.get(key)?.history?.entries ?? [];
  }
}

function sign(workspace) {
  return JSON.stringify(workspace, (name, value) => (name === "seconds" ? undefined : value));
}

export const ledger = new Ledger();
