// Puts the page together: signing in, views, keys and the streams that feed them.

import { signedIn, signIn, whenSignedOut } from "./api.js";
import { dialogOpen, openHelp } from "./dialogs.js";
import { button, make, reconcile, setAttribute, setHidden } from "./dom.js";
import { exchanges } from "./exchange-store.js";
import { ExchangesView } from "./exchanges.js";
import { HistoryView } from "./history.js";
import { setUpKeys } from "./keys.js";
import { live } from "./live.js";
import { LogsView } from "./logs.js";
import { showBroken } from "./notices.js";
import { router, takeCode } from "./router.js";
import { ServicesView } from "./services.js";
import { showSignIn } from "./signin.js";
import { whenBroken } from "./streams.js";
import { visible } from "./text.js";
import { setUpTheme } from "./theme.js";

const HIDDEN_FOR = 20000;

const part = (id) => document.getElementById(id);
const tabs = [...document.querySelectorAll('[role="tab"]')];
const views = {
  exchanges: new ExchangesView(part("exchanges")),
  services: new ServicesView(part("services")),
  logs: new LogsView(part("logs")),
  history: new HistoryView(part("history")),
};
let running = false;
let current = null;

function show() {
  if (!running) return;
  if (current !== router.view) views[current]?.leave?.();
  current = router.view;
  for (const tab of tabs) {
    const chosen = tab.dataset.view === current;
    setAttribute(tab, "aria-selected", chosen);
    setAttribute(tab, "tabindex", chosen ? 0 : -1);
  }
  for (const name of Object.keys(views)) setHidden(part(name), name !== current);
  setHidden(part("signin"), true);
  views[current].route();
}

// Each view is as it was left.
const places = {};

function go(view) {
  if (!running || view === current) return;
  places[current] = Object.fromEntries(router.params);
  router.go(view, places[view] ?? {});
}

function run() {
  running = true;
  live.stream.start();
  if (router.view !== "exchanges") exchanges.stream.start();
  show();
}

function rest() {
  running = false;
  live.stream.stop();
  exchanges.stream.stop();
  views.logs.leave();
  exchanges.list = [];
}

function askToSignIn(error = null) {
  rest();
  current = null;
  for (const name of Object.keys(views)) setHidden(part(name), true);
  setHidden(part("signin"), false);
  showSignIn(part("signin"), run, error);
}

async function begin() {
  const code = takeCode();
  if (code) {
    router.read();
    try {
      await signIn(code);
    } catch (error) {
      if (!signedIn()) {
        askToSignIn(error);
        return;
      }
    }
  }
  if (signedIn()) run();
  else askToSignIn();
}

function showPulse() {
  const services = live.workspaces.flatMap((workspace) => workspace.services.map((service) => ({ workspace: workspace.workspace, service })));
  reconcile(part("pulse"), services, ({ workspace, service }) => `${workspace}/${service.name}`, ({ service }) => {
    const dot = make("span", { class: "dot" });
    const element = button("", () => router.go("services", { service: service.name }), { class: "quiet" });
    element.append(dot);
    return { element, dot };
  }, ({ element, dot }, { workspace, service }) => {
    const label = visible(`${workspace} / ${service.name}: ${service.state}`);
    setAttribute(dot, "class", `dot ${service.state}`);
    setAttribute(element, "aria-label", label);
    setAttribute(element, "title", label);
  });
  const bad = services.filter(({ service }) => ["unhealthy", "exited", "missing"].includes(service.state)).length;
  const title = bad ? `(${bad}) cosmos` : "cosmos";
  if (document.title !== title) document.title = title;
}

setUpTheme(part("theme"));
part("help").addEventListener("click", () => openHelp(live.version));
for (const tab of tabs) tab.addEventListener("click", () => go(tab.dataset.view));
document.querySelector('[role="tablist"]').addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
  if (!step) return;
  event.preventDefault();
  const next = tabs[(tabs.findIndex((tab) => tab.dataset.view === current) + step + tabs.length) % tabs.length];
  go(next.dataset.view);
  next.focus();
});
setUpKeys({ go, help: () => openHelp(live.version), dialogOpen, act: (key, event) => running && views[current].key?.(key, event) });
router.addEventListener("change", () => {
  if (location.hash.includes("code=") && takeCodeAgain()) return;
  show();
});

// The page was open already when `cosmos dashboard` opened it once more.
function takeCodeAgain() {
  if (!/^#(.*&)?code=/.test(location.hash)) return false;
  begin();
  return true;
}

live.addEventListener("state", showPulse);
whenBroken(showBroken);
whenSignedOut((error) => askToSignIn(error));

// A page that nobody sees needs no connections: a browser has only six for one host.
let hiddenTimer = 0;
let asleep = false;
document.addEventListener("visibilitychange", () => {
  clearTimeout(hiddenTimer);
  if (document.hidden) {
    hiddenTimer = setTimeout(() => {
      asleep = running;
      live.stream.stop();
      exchanges.stream.stop();
    }, HIDDEN_FOR);
  } else if (asleep) {
    asleep = false;
    live.stream.start();
    exchanges.stream.start();
  }
});

begin();
