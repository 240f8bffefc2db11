// Light, dark, or as the system has it.

import { setText } from "./dom.js";

const KEY = "cosmos-theme";
const NEXT = { system: "light", light: "dark", dark: "system" };
const SIGNS = { system: "◐", light: "○", dark: "●" };

export function setUpTheme(control) {
  let theme = recall();
  const apply = () => {
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    setText(control, SIGNS[theme]);
    control.setAttribute("aria-label", `Theme: ${theme}. Change to ${NEXT[theme]}`);
    control.title = `Theme: ${theme}`;
  };
  control.addEventListener("click", () => {
    theme = NEXT[theme];
    keep(theme);
    apply();
  });
  apply();
}

function recall() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept in NEXT ? kept : "system";
  } catch {
    return "system";
  }
}

function keep(theme) {
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    return;
  }
}
