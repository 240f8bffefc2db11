// The sign-in screen, and the code that signs in.

import { signIn } from "./api.js";
import { fill, make } from "./dom.js";
import { writeText } from "./text.js";

export function showSignIn(screen, signedIn, problem = null) {
  const field = make("input", { type: "text", id: "code", autocomplete: "off", spellcheck: "false", class: "data", required: true });
  const said = make("div", { class: "problem", role: "alert" });
  const tell = (error) => {
    said.replaceChildren();
    if (!error) return;
    said.append(writeText(make("p"), error.message));
    if (error.hint) said.append(writeText(make("p", { class: "hint" }), error.hint));
  };
  const form = make("form", {
    on: {
      submit: async (event) => {
        event.preventDefault();
        tell(null);
        try {
          await signIn(field.value.trim().replace(/^.*code=/, ""));
          signedIn();
        } catch (error) {
          tell(error);
        }
      },
    },
  }, make("label", { for: "code" }, "Or paste the code here"), make("div", { class: "line" }, field, make("button", {}, "Sign in")));
  tell(problem);
  fill(screen,
    make("h1", {}, "Sign in"),
    make("p", {}, "In a terminal on this machine, run"),
    make("pre", { class: "command" }, "cosmos dashboard"),
    make("p", { class: "dim" }, "It opens this page with a code that works once. If this page was open already, run it again."),
    said, form);
}
