// Short notices in the corner, and the calm banner for when the server is away.

import { button, make, setHidden, setText } from "./dom.js";
import { writeText } from "./text.js";

const SHOWN = 5000;
const PATIENCE = 700;
const MOST = 5;

const corner = () => document.getElementById("notices");

export function notice(message, { hint = null, bad = false } = {}) {
  const element = make("div", { class: bad ? "notice bad" : "notice", "data-testid": "notice" });
  element.append(writeText(make("p"), message));
  if (hint) element.append(writeText(make("p", { class: "hint" }), hint));
  element.append(button("×", () => element.remove(), { class: "quiet", "aria-label": "Close this notice" }));
  corner().append(element);
  while (corner().children.length > MOST) corner().firstChild.remove();
  if (!bad) setTimeout(() => element.remove(), SHOWN);
}

export function tellError(error) {
  if (error.status === 401 || error.name === "AbortError") return;
  notice(error.message, { hint: error.hint, bad: true });
}

let timer = 0;

export function showBroken(number) {
  const banner = document.getElementById("banner");
  if (number === 0) {
    clearTimeout(timer);
    timer = 0;
    setHidden(banner, true);
  } else if (!timer) {
    // A moment's silence is nothing to tell of.
    timer = setTimeout(() => {
      setText(banner, "Cosmos does not answer. The page shows what it knew last, and comes back by itself.");
      setHidden(banner, false);
    }, PATIENCE);
  }
}
