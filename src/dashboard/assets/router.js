// Keeps the state of the page in the fragment of its address, so that it can be shared and gone back to.

const VIEWS = ["exchanges", "services", "logs", "history"];

class Router extends EventTarget {
  constructor() {
    super();
    this.read();
    addEventListener("hashchange", () => {
      this.read();
      this.tell();
    });
  }

  read() {
    const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
    this.view = VIEWS.includes(path) ? path : "exchanges";
    this.params = new URLSearchParams(query);
  }

  get(name) {
    return this.params.get(name) ?? "";
  }

  go(view, params = {}) {
    const pairs = Object.entries(params).filter(([, value]) => value !== "" && value !== null && value !== undefined);
    const target = address(view, pairs);
    if (location.hash === target) return;
    history.pushState(null, "", target);
    this.read();
    this.tell();
  }

  // Without a step to go back to, as for every letter that is typed.
  set(changes) {
    for (const [name, value] of Object.entries(changes)) {
      if (value === "" || value === null) this.params.delete(name);
      else this.params.set(name, value);
    }
    history.replaceState(null, "", address(this.view, [...this.params]));
  }

  tell() {
    this.dispatchEvent(new Event("change"));
  }
}

function address(view, pairs) {
  const query = new URLSearchParams(pairs).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
}

export function takeCode() {
  const match = /^#(?:.*&)?code=([^&]+)/.exec(location.hash);
  if (!match) return null;
  history.replaceState(null, "", `${location.pathname}${location.search}#/exchanges`);
  return new URLSearchParams(match[0].slice(1)).get("code");
}

export const router = new Router();
