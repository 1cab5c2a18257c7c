/** The view of a monitor that wants a token, and the form for it. */

import { attribute, h, text } from "./dom.js";
import { sentence } from "./format.js";

/** Return a form that signs in at the store. */
function form(store) {
  const token = h("input", { type: "password", name: "token", required: true, autocomplete: "current-password", spellcheck: "false", "aria-describedby": "token-help token-problem" });
  const problem = h("p", { class: "failed", id: "token-problem", role: "alert" });
  const button = h("button", { type: "submit", class: "main" }, "Sign in");
  const help = h("p", { class: "quiet", id: "token-help" }, "It is in the file that the monitor was started with (--token-file).");
  const element = h("form", { class: "signin" }, h("label", null, "Token", token), help, problem, h("div", { class: "buttons" }, button));
  element.addEventListener("submit", async (event) => {
    event.preventDefault();
    attribute(button, "disabled", true);
    try {
      await store.signIn(token.value);
      token.value = "";
      text(problem, "");
    } catch (error) {
      text(problem, `${sentence(error.message)}.`);
      attribute(token, "aria-invalid", "true");
      token.focus();
    } finally {
      attribute(button, "disabled", false);
    }
  });
  return element;
}

/** The page that stands in the place of all others while a token is wanted. */
export class Unauthorised {
  title = "Sign in";

  constructor(store) {
    this.element = h("section", { class: "panel gate" }, h("h1", { tabindex: -1 }, "This monitor wants a token"), h("p", null, "Sign in to see how the net is, and to act from here."), form(store));
  }

  start() {
    this.element.querySelector("input").focus();
  }

  stop() {}

  update() {}
}
