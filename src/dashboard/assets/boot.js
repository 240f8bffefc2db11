// Starts the page, and again where one of its files did not come: a browser breaks off what it is loading
// when a network of the machine changes, which it does whenever a container starts.

const TRIES = "cosmos-tries";
const PAUSE = 300;
const MOST = 5;

function tried(set) {
  try {
    if (set !== undefined) sessionStorage.setItem(TRIES, String(set));
    return Number(sessionStorage.getItem(TRIES));
  } catch {
    // Without a memory it would try for ever.
    return MOST;
  }
}

import("./app.js").then(
  () => tried(0),
  (error) => {
    if (tried() >= MOST) throw error;
    tried(tried() + 1);
    setTimeout(() => location.reload(), PAUSE);
  },
);
