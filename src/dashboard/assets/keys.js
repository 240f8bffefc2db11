// The keyboard: single keys act unless somebody is typing.

const VIEWS = { e: "exchanges", s: "services", l: "logs", h: "history" };
const CHORD = 1200;

export function setUpKeys({ go, help, act, dialogOpen }) {
  let chordUntil = 0;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || dialogOpen()) return;
    const typing = event.target.closest?.("input, textarea, select");
    if (typing && !(event.target.type === "checkbox")) {
      if (event.key === "Escape") {
        event.target.blur();
        act("blur", event);
      }
      return;
    }
    if (chordUntil > event.timeStamp) {
      chordUntil = 0;
      if (VIEWS[event.key]) {
        event.preventDefault();
        go(VIEWS[event.key]);
        return;
      }
    }
    if (event.key === "g") {
      chordUntil = event.timeStamp + CHORD;
    } else if (event.key === "?") {
      event.preventDefault();
      help();
    } else {
      act(event.key, event);
    }
  });
}
